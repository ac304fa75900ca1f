/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 07_at_least_once - works on records first and commits behind them: nothing is missed.
 *
 *     07_at_least_once DIRECTORY
 *
 * Whoever dies between the work and the commit leaves that work to be done once more. So the work
 * should be of a kind that bears it: set a value rather than add to it, or keep the offset together
 * with the result and leave out what is not beyond it.
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
    fflush(stdout); /* what still lay in our memory would not be done */
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
    must("properties", kaja_conf_set(conf, "group.id", "at-least-once"));
    must("properties", kaja_conf_set(conf, "auto.offset.reset", "earliest"));
    must("properties", kaja_conf_set(conf, "enable.auto.commit", "false"));
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
        size_t count = kaja_batch_count(batch);
        while (kaja_batch_next(batch, &record))
            work(&record);
        kaja_batch_release(batch);
        if (count == 0)
            continue;
        /* The place behind all that polls returned so far, which is all done. It is on the disk
         * when this returns, and comes before the next poll, so partitions never change hands in
         * between. */
        error = kaja_consumer_commit(consumer, NULL, 0, 10000);
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID || error == KAJA_ERR_ILLEGAL_GENERATION)
            continue; /* worked for too long: others have the partitions, and do this again */
        must("commit", error);
    }
}
