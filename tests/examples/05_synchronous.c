/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 05_synchronous - one record after the other, each on the disk before the next one.
 *
 *     05_synchronous DIRECTORY TEXT...
 */
#include <kaja.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

int main(int argc, char **argv)
{
    struct kaja_store *store;
    struct kaja_producer *producer;
    int error;

    if (argc < 3)
        return 2;
    if ((error = kaja_store_open(argv[1], NULL, &store)) != 0)
        return fail(argv[1], error);
    if ((error = kaja_producer_open(store, NULL, &producer)) != 0)
        return fail("producer", error);

    for (int i = 2; i < argc; i++) {
        struct kaja_metadata metadata;
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = "entries";
        record.value = argv[i];
        record.value_bytes = strlen(argv[i]);
        /* What may go better at another time (a full disk, a lock held by a stopped process) was
         * tried again already when this returns. After TIMED_OUT the record is still on its way; it
         * cannot arrive twice by itself, but would if it were sent once more. Many threads may send
         * at once: they share the flushes. */
        if ((error = kaja_producer_send(producer, &record, 10000, &metadata)) != 0)
            return fail("send", error);
        printf("%s: offset %lld, on the disk\n", argv[i], (long long)metadata.offset);
    }

    if ((error = kaja_producer_close(producer, 10000)) != 0)
        return fail("close", error);
    if ((error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return 0;
}
