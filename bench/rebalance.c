/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/rebalance.c - how long a group is busy with itself when a member comes or goes.
 *
 *     rebalance [--dir DIR] [--members N] [--partitions N] [--rounds N]
 *
 * All members poll in turn in one thread, over an empty topic, so what is measured is work, not
 * sleep. It stands beside a round of polls in which nothing happens.
 */
#include "bench.h"

enum { MEMBERS_MAX = 500 };

static long members, partitions;
static struct kaja_consumer *consumers[MEMBERS_MAX];
static const char *const topic = "bench";

static void poll_now(struct kaja_consumer *consumer)
{
    struct kaja_batch *batch;
    bench_ok(kaja_consumer_poll(consumer, 0, &batch), "poll");
    kaja_batch_release(batch);
}

static struct kaja_consumer *join(struct kaja_store *store, const char *assignor)
{
    struct kaja_conf *conf;
    struct kaja_consumer *consumer;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "group.id", assignor), "conf");
    bench_ok(kaja_conf_set(conf, "partition.assignment.strategy", assignor), "conf");
    bench_ok(kaja_conf_set(conf, "enable.auto.commit", "false"), "conf");
    bench_ok(kaja_consumer_open(store, conf, &consumer), "consumer");
    bench_ok(kaja_consumer_subscribe(consumer, &topic, 1, NULL), "subscribe");
    kaja_conf_free(conf);
    return consumer;
}

static int32_t generation_of(struct kaja_consumer *consumer)
{
    struct kaja_group_metadata metadata;
    bench_ok(kaja_consumer_group_metadata(consumer, &metadata), "group");
    return metadata.generation;
}

/* Everybody is of one generation, after an earlier one, and has his share. */
static int settled(long count, int32_t after)
{
    struct kaja_topic_partition one;
    size_t sum = 0;
    for (long i = 0; i < count; i++) {
        size_t has = kaja_consumer_assignment(consumers[i], &one, 1);
        if (generation_of(consumers[i]) <= after ||
            generation_of(consumers[i]) != generation_of(consumers[0]) ||
            has < (size_t)(partitions / count))
            return 0;
        sum += has;
    }
    return sum == (size_t)partitions;
}

/* ns until the first count of them are settled; *ret_turns: how often each was polled. */
static double settle(long count, int32_t after, long *ret_turns)
{
    double began = bench_now();
    for (*ret_turns = 0; !settled(count, after); ++*ret_turns) {
        for (long i = 0; i < count; i++)
            poll_now(consumers[i]);
        if (bench_now() - began > 60e9)
            bench_ok(KAJA_ERR_REBALANCE_IN_PROGRESS, "the group does not settle");
    }
    return bench_now() - began;
}

struct way {
    const char *assignor;
    struct bench_figure come, go;
    long turns;
};
static struct way ways[] = {
    {"range", {.name = "range: one comes"}, {.name = "range: one goes"}, 0},
    {"roundrobin", {.name = "roundrobin: one comes"}, {.name = "roundrobin: one goes"}, 0},
    {"sticky", {.name = "sticky: one comes"}, {.name = "sticky: one goes"}, 0},
    {"cooperative-sticky",
     {.name = "cooperative-sticky: one comes"},
     {.name = "cooperative-sticky: one goes"},
     0},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void measure(struct kaja_store *store, struct way *way, long rounds,
                    struct bench_figure *idle)
{
    long turns;
    for (long i = 0; i < members - 1; i++)
        consumers[i] = join(store, way->assignor);
    (void)settle(members - 1, 0, &turns);
    for (long round = 0; round < rounds; round++) {
        double began = bench_now();
        for (long i = 0; i < members - 1; i++)
            poll_now(consumers[i]);
        bench_add(idle, (bench_now() - began) / 1e6);
        int32_t before = generation_of(consumers[0]);
        consumers[members - 1] = join(store, way->assignor);
        bench_add(&way->come, settle(members, before, &way->turns) / 1e6);
        before = generation_of(consumers[0]);
        began = bench_now();
        bench_ok(kaja_consumer_close(consumers[members - 1], -1), "close");
        (void)settle(members - 1, before, &turns);
        bench_add(&way->go, (bench_now() - began) / 1e6);
    }
    for (long i = 0; i < members - 1; i++)
        bench_ok(kaja_consumer_close(consumers[i], -1), "close");
}

int main(int argc, char **argv)
{
    members = bench_number(argc, argv, "--members", 100);
    partitions = bench_number(argc, argv, "--partitions", 1000);
    long rounds = bench_number(argc, argv, "--rounds", 9);
    const char *only = bench_text(argc, argv, "--only", "");
    if (members < 2 || members > MEMBERS_MAX || partitions < members)
        return 2;
    bench_begin(bench_text(argc, argv, "--dir", "."));
    bench_need(1e9);
    struct bench_figure idle = {.name = "a round of polls, nothing happens"};
    struct kaja_store *store;
    bench_ok(kaja_store_open(bench_path("store"), NULL, &store), "open");
    bench_ok(kaja_admin_create_topic(store, topic, (int32_t)partitions, NULL), "create");
    for (int w = 0; w < WAYS; w++)
        if (strstr(ways[w].assignor, only) != NULL)
            measure(store, &ways[w], rounds, &idle);
    bench_ok(kaja_store_close(store), "close");
    printf("%ld members, %ld partitions, %ld rounds: median (least .. most)\n", members, partitions,
           rounds);
    bench_print(&idle, "ms", NULL, NULL);
    for (int w = 0; w < WAYS; w++) {
        if (ways[w].come.count == 0)
            continue;
        bench_print(&ways[w].come, "ms", NULL, NULL);
        bench_print(&ways[w].go, "ms", NULL, NULL);
        printf("%-34s %10ld polls of each\n", "", ways[w].turns);
    }
    bench_end();
    return 0;
}
