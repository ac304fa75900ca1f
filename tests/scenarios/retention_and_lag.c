/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Retention does not wait for readers: a group that was away for so long that its place was
 * removed, by age or by size, is told so (auto.offset.reset=none), or goes on where its property
 * says.
 */
#include "group.h"

enum { OLD = 20, NEW_MAX = 2000, HOUR_MS = 3600000 };

static struct kaja_consumer *member(struct kaja_store *store, const char *topic, const char *reset)
{
    struct kaja_consumer *consumer =
        consumer_with(store, "group.id", topic, "auto.offset.reset", reset, "enable.auto.commit",
                      "false", NULL);
    must(kaja_consumer_subscribe(consumer, &topic, 1, NULL));
    return consumer;
}

static void send(struct kaja_producer *producer, const char *topic, int64_t timestamp)
{
    static const char value[100] = "a letter";
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.timestamp = timestamp;
    record.value = value;
    record.value_bytes = sizeof value;
    must(kaja_producer_send(producer, &record, 20000, NULL));
}

static struct kaja_partition_info partition_of(struct kaja_store *store, const char *topic)
{
    struct kaja_partition_info info;
    must(kaja_admin_partition(store, topic, 0, &info));
    return info;
}

static struct kaja_conf *with(const char *property, const char *value)
{
    struct kaja_conf *conf = NULL;
    must(kaja_conf_new(&conf));
    must(kaja_conf_set(conf, property, value));
    return conf;
}

static void without_reset(struct kaja_store *store, const char *topic, int64_t start)
{
    struct kaja_batch *batch = NULL;
    char said[64];
    struct seen first;
    struct kaja_consumer *consumer = member(store, topic, "none");
    int err = 0;
    for (int i = 0; i < 200 && err == 0; i++) {
        err = kaja_consumer_poll(consumer, 100, &batch);
        if (err == 0 && kaja_batch_count(batch) > 0)
            so(false, "none: records come before the error");
        if (err == 0)
            kaja_batch_release(batch);
    }
    (void)snprintf(said, sizeof said, "%s-0: offset 5 ", topic);
    so(err == KAJA_ERR_OFFSET_OUT_OF_RANGE && strstr(kaja_error_detail(), said) != NULL,
       "none: an error: %s", kaja_error_detail());
    must(kaja_consumer_seek_to_beginning(consumer, topic, 0));
    so(take(consumer, &first, 1, 5000) == 1 && first.offset == start,
       "after a seek the error is gone, and it goes on at %lld", (long long)start);
    must(kaja_consumer_close(consumer, 1000));
}

static void lag(struct kaja_store *store, const char *topic, const char *property,
                const char *value)
{
    static struct seen seen[OLD + NEW_MAX + 1];
    const struct kaja_committed_offset five = {
        .topic = topic, .partition = 0, .offset = 5, .leader_epoch = -1};
    struct kaja_producer *producer = NULL;
    const int64_t long_ago = (int64_t)time(NULL) * 1000 - 2 * HOUR_MS;
    /* Small segments: retention removes whole ones, and looks when a new one is begun. */
    struct kaja_conf *conf = with("segment.bytes", "1000");
    must(kaja_admin_create_topic(store, topic, 1, conf));
    kaja_conf_free(conf);
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < OLD; i++)
        send(producer, topic, long_ago + i);
    struct kaja_consumer *consumer = member(store, topic, "earliest");
    so(take(consumer, seen, 5, 5000) == 5, "a group has read 0 to 4 of records two hours old");
    must(kaja_consumer_commit(consumer, &five, 1, 5000));
    must(kaja_consumer_close(consumer, 1000));

    conf = with(property, value);
    must(kaja_admin_alter_configs(store, topic, conf, NULL, 0));
    kaja_conf_free(conf);
    int sent = 0;
    while (partition_of(store, topic).log_start_offset <= 5 && sent < NEW_MAX) {
        send(producer, topic, KAJA_TIMESTAMP_NOW);
        sent++;
        (void)usleep(sent > 100 ? 10000 : 0); /* somebody has to be given time for it */
    }
    so(sent < NEW_MAX, "%s=%s, new records come: some of the old ones go", property, value);
    int64_t start, end;
    do { /* until nothing more goes */
        start = partition_of(store, topic).log_start_offset;
        (void)usleep(200000);
    } while (start != partition_of(store, topic).log_start_offset);
    end = partition_of(store, topic).end_offset;
    so(end == OLD + sent && start < end, "what is left begins at %lld", (long long)start);

    without_reset(store, topic, start);
    consumer = member(store, topic, "earliest");
    size_t count = take(consumer, seen, OLD + NEW_MAX + 1, 500);
    so(count == (size_t)(end - start) && seen[0].offset == start,
       "earliest: it goes on there, and gets all that is left");
    must(kaja_consumer_close(consumer, 1000));
    consumer = member(store, topic, "latest");
    so(settle(&consumer, 1, 1) >= 0 && take(consumer, seen, 1, 200) == 0,
       "latest: it goes on behind the last");
    send(producer, topic, KAJA_TIMESTAMP_NOW);
    so(take(consumer, seen, 1, 5000) == 1 && seen[0].offset == end, "and gets what is new");
    must(kaja_consumer_close(consumer, 1000));
    must(kaja_producer_close(producer, 1000));
}

int main(void)
{
    lesson("retention while a group lags");
    struct kaja_store *store = open_directory();
    lag(store, "by-age", "retention.ms", "3600000");
    lag(store, "by-size", "retention.bytes", "2000");
    must(kaja_store_close(store));
    return 0;
}
