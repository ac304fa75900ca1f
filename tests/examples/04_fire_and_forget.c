/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 04_fire_and_forget - measurements, of which a few may be lost, but which must never hold up the
 * program that takes them.
 *
 *     04_fire_and_forget DIRECTORY COUNT
 */
#include <kaja.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

static unsigned long long metric(struct kaja_store *store, const char *name)
{
    struct kaja_metric metrics[64];
    size_t count = kaja_metrics(store, metrics, 64);
    for (size_t i = 0; i < count && i < 64; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return metrics[i].value;
    return 0;
}

int main(int argc, char **argv)
{
    struct kaja_conf *conf;
    struct kaja_store *store;
    struct kaja_producer *producer;
    int error;

    if (argc != 3)
        return 2;
    if ((error = kaja_store_open(argv[1], NULL, &store)) != 0)
        return fail(argv[1], error);
    /* acks=0: a record counts as sent when it is in memory. Should the disk not keep up, the oldest
     * measurements make room for the newest. */
    if ((error = kaja_conf_new(&conf)) != 0 || (error = kaja_conf_set(conf, "acks", "0")) != 0 ||
        (error = kaja_conf_set(conf, "kaja.buffer.full", "drop.oldest")) != 0)
        return fail("properties", error);
    if ((error = kaja_producer_open(store, conf, &producer)) != 0)
        return fail("producer", error);
    kaja_conf_free(conf);

    for (long i = 0; i < atol(argv[2]); i++) {
        uint8_t value[KAJA_DOUBLE_BYTES]; /* as a Java program would read it */
        struct kaja_record record = KAJA_RECORD_INIT;
        kaja_encode_double(20 + (double)(i % 7) / 2, value);
        record.topic = "temperatures";
        record.value = value;
        record.value_bytes = sizeof value;
        /* No callback: nobody waits for an answer. What is wrong with the record itself is still
         * told here. */
        if ((error = kaja_producer_produce(producer, &record, NULL, NULL)) != 0)
            return fail("produce", error);
    }

    /* Gives what is left a second to get out. */
    if ((error = kaja_producer_close(producer, 1000)) != 0)
        fail("close", error);
    printf("sent %s, dropped %llu\n", argv[2], metric(store, "produce.dropped"));
    if ((error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return 0;
}
