/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A consumer's position is its own affair: it seeks where it likes, pauses a partition, is woken
 * out of a poll, and begins where auto.offset.reset says.
 */
#include "lesson.h"

#include <pthread.h>

static void *wake_soon(void *arg)
{
    (void)usleep(100000);
    kaja_consumer_wakeup(arg);
    return NULL;
}

static void seeks_and_pauses(struct kaja_store *store)
{
    struct kaja_topic_partition both[2] = {{"letters", 0, 0}, {"letters", 1, 0}};
    struct kaja_consumer *consumer = consumer_with(store, "auto.offset.reset", "earliest", NULL);
    struct seen seen[32];
    must(kaja_consumer_assign(consumer, both, 2));
    so(take(consumer, seen, 32, 200) == 20, "ten records in each of two partitions");

    must(kaja_consumer_seek(consumer, "letters", 0, 7));
    size_t count = take(consumer, seen, 32, 200);
    so(count == 3 && seen[0].offset == 7, "after a seek to 7 come 7, 8 and 9");

    must(kaja_consumer_seek_to_beginning(consumer, NULL, 0));
    must(kaja_consumer_pause(consumer, "letters", 0));
    count = take(consumer, seen, 32, 200);
    so(count == 10 && seen[0].partition == 1, "a paused partition gives nothing");
    must(kaja_consumer_resume(consumer, "letters", 0));
    so(take(consumer, seen, 32, 200) == 10, "resumed, it goes on where it stood");

    pthread_t thread;
    struct kaja_batch *batch = NULL;
    int64_t began = now_ms();
    if (pthread_create(&thread, NULL, wake_soon, consumer) != 0)
        exit(99);
    int err = kaja_consumer_poll(consumer, 10000, &batch);
    so(err == KAJA_ERR_INTERRUPTED && now_ms() - began < 5000,
       "a poll that waits is woken by another thread");
    (void)pthread_join(thread, NULL);
    must(kaja_consumer_close(consumer, 1000));
}

static void begins(struct kaja_store *store, struct kaja_producer *producer)
{
    struct kaja_topic_partition one = {"letters", 0, 0};
    struct seen seen[32];
    struct kaja_consumer *latest = consumer_with(store, "auto.offset.reset", "latest", NULL);
    must(kaja_consumer_assign(latest, &one, 1));
    so(take(latest, seen, 32, 100) == 0, "latest: what was there before does not come");
    (void)put(producer, "letters", 0, NULL, "new");
    size_t count = take(latest, seen, 1, 2000);
    so(count == 1 && seen[0].offset == 10, "latest: what comes after does");
    must(kaja_consumer_close(latest, 1000));

    struct kaja_batch *batch = NULL;
    struct kaja_consumer *none = consumer_with(store, "auto.offset.reset", "none", NULL);
    must(kaja_consumer_assign(none, &one, 1));
    so(kaja_consumer_poll(none, 100, &batch) == KAJA_ERR_NO_OFFSET,
       "none: an error asks for a seek");
    must(kaja_consumer_seek(none, "letters", 0, 1000));
    so(kaja_consumer_poll(none, 100, &batch) == KAJA_ERR_OFFSET_OUT_OF_RANGE,
       "none: so is an offset that is not there");
    must(kaja_consumer_close(none, 1000));

    struct kaja_consumer *hour =
        consumer_with(store, "auto.offset.reset", "by_duration:PT1H", NULL);
    must(kaja_consumer_assign(hour, &one, 1));
    so(take(hour, seen, 32, 200) == 11, "by_duration:PT1H: everything of the last hour");
    must(kaja_consumer_close(hour, 1000));
}

int main(void)
{
    lesson("seek, pause, wakeup, auto.offset.reset");
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, "letters", 2, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 20; i++)
        (void)put(producer, "letters", i % 2, NULL, "old");
    seeks_and_pauses(store);
    begins(store, producer);
    must(kaja_producer_close(producer, 1000));
    must(kaja_store_close(store));
    return 0;
}
