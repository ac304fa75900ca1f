/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 08_at_most_once - commits first and works on the records behind it: nothing is done twice.
 *
 *     08_at_most_once DIRECTORY
 *
 * Whoever dies between the commit and the end of the work leaves what is not done undone for ever:
 * right for an alarm that must not ring twice, wrong for an order. max.poll.records bounds how much
 * that is.
 *
 * Runs until it is killed. Any number of them share the topic's partitions.
 */
#include <kaja.h>

#include <stdio.h>
#include <stdlib.h>

static void must(const char *what, int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    exit(1);
}

static void work(const struct kaja_record_view *record)
{
    printf("%lld: %.*s\n", (long long)record->offset, (int)record->value_bytes,
           (const char *)record->value);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const topic = "lines";
    struct kaja_conf *conf;
    struct kaja_store *store;
    struct kaja_consumer *consumer;

    if (argc != 2)
        return 2;
    must("properties", kaja_conf_new(&conf));
    must("properties", kaja_conf_set(conf, "group.id", "at-most-once"));
    must("properties", kaja_conf_set(conf, "auto.offset.reset", "earliest"));
    must("properties", kaja_conf_set(conf, "enable.auto.commit", "false"));
    must("properties", kaja_conf_set(conf, "max.poll.records", "100"));
    must(argv[1], kaja_store_open(argv[1], NULL, &store));
    must("consumer", kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    must("subscribe", kaja_consumer_subscribe(consumer, &topic, 1, NULL));

    for (;;) {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        int error = kaja_consumer_poll(consumer, 1000, &batch);
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID)
            continue; /* was away for too long; the next poll joins the group anew */
        must("poll", error);
        /* The place behind these records is on the disk before the first of them is worked on.
         * Without that nothing may be done: the next to read would be given them again. */
        if (kaja_batch_count(batch) > 0)
            error = kaja_consumer_commit(consumer, NULL, 0, 10000);
        while (error == 0 && kaja_batch_next(batch, &record))
            work(&record);
        kaja_batch_release(batch);
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID || error == KAJA_ERR_ILLEGAL_GENERATION)
            continue; /* others have the partitions, and these records */
        must("commit", error);
    }
}
