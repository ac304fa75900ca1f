/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The first lesson: a partition is a log. Each record gets the next offset, from 0 on, and is read
 * in that order, as often as one likes.
 */
#include "lesson.h"

int main(void)
{
    static const char *const keys[] = {"anna", "ben", "anna", "ben", "anna"};
    static const char *const values[] = {"1", "2", "3", "4", "5"};
    lesson("five messages to one partition");
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, "letters", 1, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 5; i++) {
        struct kaja_metadata sent =
            put(producer, "letters", KAJA_PARTITION_ANY, keys[i], values[i]);
        so(sent.partition == 0 && sent.offset == i, "%s=%s went to partition 0 at offset %d",
           keys[i], values[i], i);
    }

    struct kaja_consumer *consumer = consumer_with(store, "auto.offset.reset", "earliest", NULL);
    struct kaja_topic_partition partition = {"letters", 0, 0};
    must(kaja_consumer_assign(consumer, &partition, 1));
    struct seen seen[6];
    size_t count = take(consumer, seen, 6, 300);
    so(count == 5, "five records are read, and no sixth");
    for (int i = 0; i < 5; i++)
        so(seen[i].offset == i && strcmp(seen[i].value, values[i]) == 0, "offset %d holds %s=%s", i,
           seen[i].key, seen[i].value);
    so(strcmp(seen[0].value, "1") == 0 && strcmp(seen[2].value, "3") == 0 &&
           strcmp(seen[4].value, "5") == 0,
       "what anna wrote is read in the order she wrote it: 1, 3, 5");

    must(kaja_consumer_seek_to_beginning(consumer, NULL, 0));
    so(take(consumer, seen, 6, 300) == 5, "reading takes nothing away: all five are there again");
    must(kaja_consumer_close(consumer, 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
