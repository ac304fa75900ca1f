/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Two groups do not know of each other: both get every record, each shares them among its members.
 */
#include "group.h"

enum { RECORDS = 60 };

/* Reads until nothing comes any more; counts what each offset of each partition was seen. */
static int read_all(struct kaja_consumer *const *members, size_t count, int seen[3][RECORDS])
{
    int sum = 0;
    for (int64_t last = now_ms(); now_ms() - last < 500;)
        for (size_t i = 0; i < count; i++) {
            struct kaja_batch *batch = NULL;
            struct kaja_record_view record;
            must(kaja_consumer_poll(members[i], 10, &batch));
            while (kaja_batch_next(batch, &record) != 0) {
                seen[record.partition][record.offset]++;
                last = now_ms();
                sum++;
            }
            kaja_batch_release(batch);
        }
    return sum;
}

int main(void)
{
    const char *topic = "letters";
    lesson("two groups both get everything");
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, topic, 3, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < RECORDS; i++)
        (void)put(producer, topic, i % 3, NULL, "x");
    struct kaja_consumer *readers[2], *archive[1];
    for (int i = 0; i < 2; i++) {
        readers[i] =
            consumer_with(store, "group.id", "readers", "auto.offset.reset", "earliest", NULL);
        must(kaja_consumer_subscribe(readers[i], &topic, 1, NULL));
    }
    archive[0] = consumer_with(store, "group.id", "archive", "auto.offset.reset", "earliest", NULL);
    must(kaja_consumer_subscribe(archive[0], &topic, 1, NULL));

    int by_readers[3][RECORDS] = {{0}}, by_archive[3][RECORDS] = {{0}};
    int at_least = read_all(readers, 2, by_readers);
    so(at_least >= RECORDS, "the two readers together got %d records", at_least);
    so(read_all(archive, 1, by_archive) == RECORDS, "the archive got %d of its own", RECORDS);
    bool whole = true;
    for (int p = 0; p < 3; p++)
        for (int o = 0; o < RECORDS / 3; o++)
            whole = whole && by_readers[p][o] >= 1 && by_archive[p][o] == 1;
    so(whole, "neither missed one");
    so(shared_out(readers, 2, 3), "no partition has two readers");
    for (int i = 0; i < 2; i++)
        must(kaja_consumer_close(readers[i], 1000));
    must(kaja_consumer_close(archive[0], 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
