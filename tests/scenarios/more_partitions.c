/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Partitions can be added while a group runs: the group shares anew. Old records stay where they
 * are; only new ones of the same key may go elsewhere.
 */
#include "group.h"

int main(void)
{
    const char *topic = "letters";
    lesson("partitions added while a group runs");
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, topic, 2, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 10; i++)
        (void)put(producer, topic, i % 2, NULL, "old");
    struct kaja_consumer *members[2];
    for (int i = 0; i < 2; i++) {
        members[i] = consumer_with(store, "group.id", "g", "auto.offset.reset", "earliest", NULL);
        must(kaja_consumer_subscribe(members[i], &topic, 1, NULL));
    }
    so(settle(members, 2, 2) >= 0, "two members have a partition each");
    must(kaja_admin_add_partitions(store, topic, 5));
    int64_t took = settle(members, 2, 5);
    so(took >= 0 && took < 5000, "with three more they share all five");
    so(put(producer, topic, 4, NULL, "new").offset == 0, "the new ones begin at offset 0");
    struct kaja_partition_info info;
    must(kaja_admin_partition(store, topic, 0, &info));
    so(info.end_offset == 5, "the old ones keep what they had");
    for (int i = 0; i < 2; i++)
        must(kaja_consumer_close(members[i], 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
