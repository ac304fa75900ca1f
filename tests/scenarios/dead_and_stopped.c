/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A member whose process is killed is missed at once, and its partitions go to the others; one that
 * is only stopped is missed when its session ends, and finds itself out when it goes on.
 */
#include "group.h"

static const char *const topic = "work";

static struct kaja_consumer *member(struct kaja_store *store)
{
    struct kaja_consumer *consumer =
        consumer_with(store, "group.id", "g", "session.timeout.ms", "1000", "heartbeat.interval.ms",
                      "200", NULL);
    must(kaja_consumer_subscribe(consumer, &topic, 1, NULL));
    return consumer;
}

static void told_lost(void *arg, struct kaja_consumer *consumer,
                      const struct kaja_topic_partition *partitions, size_t count)
{
    (void)consumer;
    (void)partitions;
    *(size_t *)arg += count;
}

/* A process of its own that polls for ever; ends with 7 once it lost its partitions. */
static pid_t other_process(void)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child;
    size_t lost = 0;
    struct kaja_rebalance_listener listener = KAJA_REBALANCE_LISTENER_INIT;
    listener.arg = &lost;
    listener.lost = told_lost;
    struct kaja_store *store = open_directory();
    struct kaja_consumer *consumer = member(store);
    must(kaja_consumer_subscribe(consumer, &topic, 1, &listener));
    while (lost == 0)
        poll_once(consumer, 100);
    must(kaja_consumer_close(consumer, 1000));
    must(kaja_store_close(store));
    _exit(7);
}

/* Polls until the consumer has so many partitions; how long it took, -1: never. */
static int64_t until(struct kaja_consumer *consumer, size_t count)
{
    bool which[PARTITIONS_MAX];
    int64_t began = now_ms();
    while (has(consumer, which) != count) {
        if (now_ms() - began > 20000)
            return -1;
        poll_once(consumer, 10);
    }
    return now_ms() - began;
}

int main(void)
{
    int status;
    lesson("a killed member, a stopped member");
    pid_t killed = other_process();
    pid_t stopped = other_process();
    struct kaja_store *store = open_directory();
    must(kaja_admin_create_topic(store, topic, 6, NULL));
    struct kaja_consumer *mine = member(store);
    so(until(mine, 2) >= 0, "three processes have two partitions each");

    (void)kill(killed, SIGKILL);
    int64_t took = until(mine, 3);
    /* Some tens of milliseconds; on a machine that has more to do than it can, more. */
    so(took >= 0 && took < 5000, "after kill -9 two have three each, %d ms later", (int)took);
    (void)waitpid(killed, &status, 0);

    (void)kill(stopped, SIGSTOP);
    took = until(mine, 6);
    so(took >= 0 && took < 15000, "a stopped one is missed when its session of a second ends: %d ms",
       (int)took);
    (void)kill(stopped, SIGCONT);
    so(waitpid(stopped, &status, 0) == stopped && WIFEXITED(status) && WEXITSTATUS(status) == 7,
       "when it goes on, it is told that it lost its partitions");
    must(kaja_consumer_close(mine, 1000));
    must(kaja_store_close(store));
    return 0;
}
