/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Keys: murmur2 of the key names the partition, as in every Kafka client. All records of a key are
 * in one partition, in the order they were sent; between partitions there is no order.
 */
#include "lesson.h"

enum { KEYS = 6, ROUNDS = 4 };

int main(void)
{
    static const char *const keys[KEYS] = {"red", "green", "blue", "black", "white", "brown"};
    int32_t home[KEYS];
    lesson("the same keys over three partitions");
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, "letters", 3, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < KEYS; k++) {
            char value[8];
            (void)snprintf(value, sizeof value, "%d", round);
            int32_t partition =
                put(producer, "letters", KAJA_PARTITION_ANY, keys[k], value).partition;
            if (round == 0)
                home[k] = partition;
            if (home[k] != partition)
                so(false, "%s moved from partition %d to %d", keys[k], home[k], partition);
        }
    for (int k = 0; k < KEYS; k++)
        so(home[k] >= 0 && home[k] < 3, "every record of %s is in partition %d", keys[k], home[k]);

    struct kaja_consumer *consumer = consumer_with(store, "auto.offset.reset", "earliest", NULL);
    struct kaja_topic_partition all[3] = {{"letters", 0, 0}, {"letters", 1, 0}, {"letters", 2, 0}};
    must(kaja_consumer_assign(consumer, all, 3));
    struct seen seen[KEYS * ROUNDS + 1];
    size_t count = take(consumer, seen, KEYS * ROUNDS + 1, 300);
    so(count == KEYS * ROUNDS, "%d records are read from the three partitions", KEYS * ROUNDS);
    int next[KEYS] = {0};
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < KEYS; k++)
            if (strcmp(seen[i].key, keys[k]) == 0 && atoi(seen[i].value) != next[k]++)
                so(false, "%s=%s came out of turn", seen[i].key, seen[i].value);
    so(next[0] == ROUNDS, "each key's records came in the order they were sent");
    must(kaja_consumer_close(consumer, 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
