/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 09_copy - reads one topic and writes another: every line of "lines" in capitals to "shouts".
 *
 *     09_copy DIRECTORY
 *
 * The place in "lines" is committed when all that came of it stands in "shouts", on the disk. So
 * nothing is missed; but whoever dies after writing and before the commit leaves records in
 * "shouts" that the next one writes again, at other offsets. No setting of the producer prevents
 * that: to the log the second is another producer. Whoever reads "shouts" can tell them by the
 * header "from", which says where in "lines" a record comes from.
 *
 * Runs until it is killed. Any number of them share the partitions of "lines".
 */
#include <kaja.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(const char *what, int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    exit(1);
}

/* Runs inside kaja_producer_flush(): a record that did not arrive ends the program, uncommitted. */
static void delivered(void *arg, int error, const struct kaja_metadata *metadata)
{
    (void)arg;
    must("a shout", error);
    printf("%s-%d, offset %lld\n", metadata->topic, (int)metadata->partition,
           (long long)metadata->offset);
    fflush(stdout);
}

static void shout(struct kaja_producer *producer, const struct kaja_record_view *line)
{
    char value[1024], from[300];
    size_t bytes = line->value_bytes < sizeof value ? line->value_bytes : sizeof value;
    for (size_t i = 0; i < bytes; i++)
        value[i] = (char)toupper(((const unsigned char *)line->value)[i]);
    (void)snprintf(from, sizeof from, "%s-%d %lld", line->topic, (int)line->partition,
                   (long long)line->offset);
    const struct kaja_header header = {"from", 4, from, strlen(from)};
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "shouts";
    record.key = line->key; /* same key, same order */
    record.key_bytes = line->key_bytes;
    record.value = value;
    record.value_bytes = bytes;
    record.headers = &header;
    record.header_count = 1;
    must("produce", kaja_producer_produce(producer, &record, delivered, NULL));
}

int main(int argc, char **argv)
{
    static const char *const topic = "lines";
    struct kaja_conf *conf;
    struct kaja_store *store;
    struct kaja_consumer *consumer;
    struct kaja_producer *producer;

    if (argc != 2)
        return 2;
    must("properties", kaja_conf_new(&conf));
    must("properties", kaja_conf_set(conf, "group.id", "copy"));
    must("properties", kaja_conf_set(conf, "auto.offset.reset", "earliest"));
    must("properties", kaja_conf_set(conf, "enable.auto.commit", "false"));
    must(argv[1], kaja_store_open(argv[1], NULL, &store));
    must("consumer", kaja_consumer_open(store, conf, &consumer));
    must("producer", kaja_producer_open(store, NULL, &producer));
    kaja_conf_free(conf);
    must("subscribe", kaja_consumer_subscribe(consumer, &topic, 1, NULL));

    for (;;) {
        struct kaja_batch *batch;
        struct kaja_record_view line;
        int error = kaja_consumer_poll(consumer, 1000, &batch);
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID)
            continue; /* was away for too long; the next poll joins the group anew */
        must("poll", error);
        int64_t last = -1;
        for (; kaja_batch_next(batch, &line); last = line.offset)
            shout(producer, &line);
        kaja_batch_release(batch);
        if (last < 0)
            continue;
        /* First the one, then the other. */
        must("flush", kaja_producer_flush(producer, 30000));
        error = kaja_consumer_commit(consumer, NULL, 0, 10000);
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID || error == KAJA_ERR_ILLEGAL_GENERATION)
            continue; /* took too long: others have the partitions, and write this again */
        must("commit", error);
        printf("%s up to %lld\n", topic, (long long)last);
        fflush(stdout);
    }
}
