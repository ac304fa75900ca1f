/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 02_consume - reads a partition from its beginning to its end, without copying a record.
 *
 *     02_consume DIRECTORY
 */
#include <kaja.h>

#include <stdio.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

int main(int argc, char **argv)
{
    struct kaja_conf *conf;
    struct kaja_store *store;
    struct kaja_consumer *consumer;
    struct kaja_batch *batch;
    struct kaja_record_view record;
    size_t count;
    int error;

    if (argc != 2)
        return 2;
    /* One bag of properties for both calls: each takes what concerns it. */
    if ((error = kaja_conf_new(&conf)) != 0 ||
        (error = kaja_conf_set(conf, "kaja.read.only", "true")) != 0 ||
        (error = kaja_conf_set(conf, "auto.offset.reset", "earliest")) != 0)
        return fail("properties", error);
    if ((error = kaja_store_open(argv[1], conf, &store)) != 0)
        return fail(argv[1], error);
    if ((error = kaja_consumer_open(store, conf, &consumer)) != 0)
        return fail("consumer", error);
    kaja_conf_free(conf);

    const struct kaja_topic_partition birds = {.topic = "birds", .partition = 0};
    if ((error = kaja_consumer_assign(consumer, &birds, 1)) != 0)
        return fail("assign", error);
    do {
        /* Waits for the first record, then returns what is there. */
        if ((error = kaja_consumer_poll(consumer, 100, &batch)) != 0)
            return fail("poll", error);
        while (kaja_batch_next(batch, &record))
            printf("%lld: %.*s=%.*s\n", (long long)record.offset, (int)record.key_bytes,
                   (const char *)record.key, (int)record.value_bytes, (const char *)record.value);
        count = kaja_batch_count(batch);
        /* Keys and values point into the log: they end here. */
        kaja_batch_release(batch);
    } while (count > 0); /* nothing came for 100 ms: the end */

    if ((error = kaja_consumer_close(consumer, 10000)) != 0 || (error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return 0;
}
