/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A compacted topic keeps the last record of each key. What stays keeps its offset; a record
 * without a value, a tombstone, says that the key is gone, and goes itself some time later.
 */
#include "lesson.h"

enum { CITIES = 3, HOURS = 40, SEEN_MAX = 4000 };

static struct seen seen[SEEN_MAX];

/* Everything that is there, from the beginning on; each time a consumer of its own. */
static size_t read_all(struct kaja_store *store)
{
    struct kaja_consumer *consumer = consumer_with(store, "auto.offset.reset", "none", NULL);
    struct kaja_topic_partition from = {"weather", 0, 0};
    must(kaja_consumer_assign(consumer, &from, 1));
    must(kaja_consumer_seek(consumer, "weather", 0, 0)); /* whether it is still there or not */
    size_t count = take(consumer, seen, SEEN_MAX, 100);
    must(kaja_consumer_close(consumer, 1000));
    return count;
}

/* The last one of a key, or NULL. */
static const struct seen *last_of(const char *key, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (strcmp(seen[i - 1].key, key) == 0)
            return &seen[i - 1];
    return NULL;
}

static struct kaja_store *open_with_cleaner(void)
{
    struct kaja_conf *conf = NULL;
    struct kaja_store *store = NULL;
    must(kaja_conf_new(&conf));
    must(kaja_conf_set(conf, "log.cleaner.backoff.ms", "100")); /* 15 seconds, usually */
    must(kaja_store_open(lesson_dir, conf, &store));
    kaja_conf_free(conf);
    return store;
}

int main(void)
{
    static const char *const cities[CITIES] = {"Lund", "Oslo", "Turku"};
    int64_t offsets[CITIES], end = 0;
    lesson("the last word on each key");
    struct kaja_store *store = open_with_cleaner();
    struct kaja_producer *producer = NULL;
    struct kaja_conf *conf = NULL;
    must(kaja_conf_new(&conf));
    must(kaja_conf_set(conf, "cleanup.policy", "compact"));
    /* small, as the last segment is never compacted */
    must(kaja_conf_set(conf, "segment.bytes", "1000"));
    must(kaja_conf_set(conf, "min.cleanable.dirty.ratio", "0.01"));
    must(kaja_conf_set(conf, "delete.retention.ms", "1000"));
    must(kaja_admin_create_topic(store, "weather", 1, conf));
    kaja_conf_free(conf);
    must(kaja_producer_open(store, NULL, &producer));

    for (int hour = 0; hour < HOURS; hour++)
        for (int c = 0; c < CITIES; c++) {
            char value[16];
            (void)snprintf(value, sizeof value, "%d:00", hour);
            offsets[c] = put(producer, "weather", 0, cities[c], value).offset;
        }
    printf("  %d reports of %d cities were sent\n", HOURS * CITIES, CITIES);
    size_t count = HOURS * CITIES;
    for (int64_t begin = now_ms(); count >= HOURS * CITIES / 2 && now_ms() - begin < 60000;)
        count = read_all(store);
    so(count < HOURS * CITIES / 2, "some time later fewer than half are left");
    for (int c = 0; c < CITIES; c++) {
        const struct seen *last = last_of(cities[c], count);
        so(last != NULL && strcmp(last->value, "39:00") == 0 && last->offset == offsets[c],
           "the last of %s is there, at its offset %lld", cities[c], (long long)offsets[c]);
    }
    so(seen[0].offset > 0, "who asks for offset 0 gets what is left from there on: %lld",
       (long long)seen[0].offset);
    for (size_t i = 1; i < count; i++)
        if (seen[i].offset <= seen[i - 1].offset)
            so(false, "offset %lld comes behind %lld", (long long)seen[i].offset,
               (long long)seen[i - 1].offset);

    int64_t gone = put(producer, "weather", 0, "Oslo", NULL).offset;
    count = read_all(store);
    const struct seen *last = last_of("Oslo", count);
    so(last != NULL && last->offset == gone,
       "Oslo closes its station: a record without a value, offset %lld",
       (long long)gone);
    for (int64_t begin = now_ms(); last_of("Oslo", count) != NULL && now_ms() - begin < 60000;) {
        for (int i = 0; i < 10; i++) /* segments end only as records come */
            end = put(producer, "weather", 0, "Lund", "fog").offset;
        count = read_all(store);
    }
    so(last_of("Oslo", count) == NULL, "and then Oslo is forgotten, with all that it ever said");
    last = last_of("Turku", count);
    so(last != NULL && last->offset == offsets[2], "Turku, who said nothing new, is not");
    last = last_of("Lund", count);
    so(last != NULL && last->offset == end,
       "and Lund's last report is the last of all, offset %lld", (long long)end);

    struct kaja_record nameless = KAJA_RECORD_INIT;
    nameless.topic = "weather";
    nameless.value = "rain, somewhere";
    nameless.value_bytes = 15;
    so(kaja_producer_send(producer, &nameless, 20000, NULL) == KAJA_ERR_INVALID_RECORD,
       "a record without a key is refused");
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    struct kaja_verify_result result;
    must(kaja_verify(lesson_dir, NULL, NULL, NULL, &result));
    so(result.damage == 0,
       "and what is missing is nobody's loss: kaja_verify() finds nothing wrong");
    return 0;
}
