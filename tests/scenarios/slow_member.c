/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A member that does not poll for max.poll.interval.ms is thrown out: its partitions go to another,
 * and what it commits afterwards is refused, so that it cannot undo what its successor did.
 */
#include "group.h"

static const char *const topic = "work";

static struct kaja_consumer *member(struct kaja_store *store, const char *max_poll_interval_ms)
{
    struct kaja_consumer *consumer =
        consumer_with(store, "group.id", "g", "auto.offset.reset", "earliest", "enable.auto.commit",
                      "false", "max.poll.interval.ms", max_poll_interval_ms, NULL);
    must(kaja_consumer_subscribe(consumer, &topic, 1, NULL));
    return consumer;
}

int main(void)
{
    lesson("a slow member is thrown out and fenced");
    struct seen seen[10];
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, topic, 1, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 10; i++)
        (void)put(producer, topic, 0, NULL, "x");
    struct kaja_consumer *slow = member(store, "500");
    so(take(slow, seen, 10, 5000) == 10, "a member has read ten records and works on them");
    struct kaja_consumer *other = member(store, "300000");
    int64_t began = now_ms();
    so(take(other, seen, 10, 10000) == 10 && now_ms() - began < 8000,
       "it does not come back in time: another gets its partition, and the records");
    must(kaja_consumer_commit(other, NULL, 0, 5000));

    const struct kaja_committed_offset late = {
        .topic = topic, .partition = 0, .offset = 3, .leader_epoch = -1};
    int err = kaja_consumer_commit(slow, &late, 1, 5000);
    so(err == KAJA_ERR_UNKNOWN_MEMBER_ID || err == KAJA_ERR_ILLEGAL_GENERATION,
       "the slow one's commit is refused: %s", kaja_error_name(err));
    const struct kaja_topic_partition partition = {topic, 0, 0};
    struct kaja_committed_offset committed;
    must(kaja_consumer_committed(other, &partition, 1, &committed));
    so(committed.offset == 10, "what the other committed stands");
    must(kaja_consumer_close(slow, 1000));
    must(kaja_consumer_close(other, 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
