/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 01_produce - sends records to a topic and hears what became of each.
 *
 *     01_produce DIRECTORY
 */
#include <kaja.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

/* Runs inside kaja_producer_flush() below, in this thread: no locks needed. */
static void delivered(void *arg, int error, const struct kaja_metadata *metadata)
{
    int *failed = arg;
    if (error != 0)
        (*failed)++;
    else
        printf("%s-%d, offset %lld\n", metadata->topic, (int)metadata->partition,
               (long long)metadata->offset);
}

int main(int argc, char **argv)
{
    static const char *const birds[] = {"jackdaw", "rook", "jay"};
    struct kaja_store *store;
    struct kaja_producer *producer;
    int error, failed = 0;

    if (argc != 2)
        return 2;
    /* Makes the directory if it is not there. Any number of processes may have it open. */
    if ((error = kaja_store_open(argv[1], NULL, &store)) != 0)
        return fail(argv[1], error);
    /* Without properties: acks=all, a record is delivered when it would survive a power cut. */
    if ((error = kaja_producer_open(store, NULL, &producer)) != 0)
        return fail("producer", error);

    for (size_t i = 0; i < sizeof birds / sizeof birds[0]; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = "birds"; /* made at first use */
        record.key = birds[i];  /* records with the same key stay in order */
        record.key_bytes = strlen(birds[i]);
        record.value = "seen";
        record.value_bytes = 4;
        /* Copies the record and returns; the callback comes later. */
        if ((error = kaja_producer_produce(producer, &record, delivered, &failed)) != 0)
            return fail("produce", error);
    }
    /* All three go out together, with one flush of the disk. */
    if ((error = kaja_producer_flush(producer, 10000)) != 0)
        return fail("flush", error);

    if ((error = kaja_producer_close(producer, 10000)) != 0)
        return fail("close", error);
    if ((error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return failed != 0;
}
