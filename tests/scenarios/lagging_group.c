/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Records go by the log's rules, not by who has read them: a group that lags behind what was
 * deleted finds its committed offset out of range, and auto.offset.reset says where it goes on.
 */
#include "group.h"

static const char *const topic = "letters";

static struct kaja_consumer *member(struct kaja_store *store, const char *reset)
{
    struct kaja_consumer *consumer =
        consumer_with(store, "group.id", "g", "auto.offset.reset", reset, "enable.auto.commit",
                      "false", NULL);
    must(kaja_consumer_subscribe(consumer, &topic, 1, NULL));
    return consumer;
}

int main(void)
{
    lesson("records deleted while a group lags");
    struct seen seen[32];
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, topic, 1, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 20; i++)
        (void)put(producer, topic, 0, NULL, "x");
    struct kaja_consumer *consumer = member(store, "earliest");
    so(take(consumer, seen, 5, 5000) == 5, "a group has read 0 to 4");
    const struct kaja_committed_offset five = {
        .topic = topic, .partition = 0, .offset = 5, .leader_epoch = -1};
    must(kaja_consumer_commit(consumer, &five, 1, 5000));
    must(kaja_consumer_close(consumer, 1000));

    int64_t low = -1;
    must(kaja_admin_delete_records(store, topic, 0, 12, &low));
    so(low == 12, "everything below 12 is deleted");

    struct kaja_batch *batch = NULL;
    consumer = member(store, "none");
    int err = 0;
    for (int i = 0; i < 50 && err == 0; i++) {
        err = kaja_consumer_poll(consumer, 100, &batch);
        if (err == 0)
            kaja_batch_release(batch);
    }
    so(err == KAJA_ERR_OFFSET_OUT_OF_RANGE, "none: the group is told that 5 is out of range");
    must(kaja_consumer_close(consumer, 1000));

    consumer = member(store, "earliest");
    size_t count = take(consumer, seen, 32, 500);
    so(count == 8 && seen[0].offset == 12, "earliest: it goes on at 12, the first that is there");
    must(kaja_consumer_close(consumer, 1000));

    consumer = member(store, "latest");
    so(take(consumer, seen, 32, 500) == 0, "latest: it goes on behind the last");
    (void)put(producer, topic, 0, NULL, "new");
    so(take(consumer, seen, 1, 5000) == 1 && seen[0].offset == 20, "and gets what is new");
    must(kaja_consumer_close(consumer, 1000));
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
