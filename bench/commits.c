/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/commits.c - how fast offsets are committed.
 *
 *     commits [--dir DIR] [--commits N] [--offsets N] [--threads N] [--rounds N]
 *
 * acks=1 stands beside a plain pwrite() of as many bytes; acks=all beside the flush rate of the disk.
 * N threads that wait for one flush each can at best share each one, and those that come while it
 * runs wait for the next: N/2 commits a flush is what there is to be had.
 */
#include "bench.h"

#include <pthread.h>

enum { OFFSETS_MAX = 10000, THREADS_MAX = 256 };

static long commits, offsets_a_call, threads;
static struct kaja_committed_offset offsets[OFFSETS_MAX];

static struct kaja_consumer *open_consumer(struct kaja_store *store, const char *acks)
{
    struct kaja_conf *conf;
    struct kaja_consumer *consumer;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "group.id", "bench"), "conf");
    bench_ok(kaja_conf_set(conf, "enable.auto.commit", "false"), "conf");
    bench_ok(kaja_conf_set(conf, "kaja.commit.acks", acks), "conf");
    bench_ok(kaja_consumer_open(store, conf, &consumer), "consumer");
    kaja_conf_free(conf);
    return consumer;
}

static void commit(struct kaja_consumer *consumer, long number, size_t count)
{
    struct kaja_committed_offset one = offsets[0];
    struct kaja_committed_offset *these = count == 1 ? &one : offsets;
    for (size_t i = 0; i < count; i++)
        these[i].offset = number;
    bench_ok(kaja_consumer_commit(consumer, these, count, -1), "commit");
}

/* ns a call of count offsets. */
static double alone(struct kaja_store *store, const char *acks, long calls, size_t count)
{
    struct kaja_consumer *consumer = open_consumer(store, acks);
    for (long i = 0; i < 100; i++) /* until space is prepared */
        commit(consumer, i, count);
    double began = bench_now();
    for (long i = 0; i < calls; i++)
        commit(consumer, i, count);
    double took = bench_now() - began;
    bench_ok(kaja_consumer_close(consumer, -1), "close");
    return took / (double)calls;
}

/* --- many threads --- */

static struct kaja_consumer *consumers[THREADS_MAX];
static pthread_barrier_t barrier;
static long calls_each;

static void *commit_calls(void *arg)
{
    (void)pthread_barrier_wait(&barrier);
    for (long i = 0; i < calls_each; i++)
        commit(arg, i, 1);
    return NULL;
}

/* ns a commit, of all threads together. */
static double together(struct kaja_store *store, long calls)
{
    pthread_t ids[THREADS_MAX];
    calls_each = calls / threads > 0 ? calls / threads : 1;
    (void)pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; i++) {
        consumers[i] = open_consumer(store, "all");
        if (pthread_create(&ids[i], NULL, commit_calls, consumers[i]) != 0)
            bench_die("thread");
    }
    (void)pthread_barrier_wait(&barrier);
    double began = bench_now();
    for (long i = 0; i < threads; i++)
        (void)pthread_join(ids[i], NULL);
    double took = bench_now() - began;
    for (long i = 0; i < threads; i++)
        bench_ok(kaja_consumer_close(consumers[i], -1), "close");
    (void)pthread_barrier_destroy(&barrier);
    return took / (double)(calls_each * threads);
}

int main(int argc, char **argv)
{
    commits = bench_number(argc, argv, "--commits", 200000);
    offsets_a_call = bench_number(argc, argv, "--offsets", 100);
    threads = bench_number(argc, argv, "--threads", 16);
    long rounds = bench_number(argc, argv, "--rounds", 5);
    if (offsets_a_call > OFFSETS_MAX || threads > THREADS_MAX || commits < threads)
        return 2;
    bench_begin(bench_text(argc, argv, "--dir", "."));
    bench_need(2e9);
    for (int32_t i = 0; i < offsets_a_call; i++)
        offsets[i] = (struct kaja_committed_offset){"bench", i, -1, 0, NULL};
    long calls = commits / offsets_a_call * 10 > 0 ? commits / offsets_a_call * 10 : 1;
    long waited = commits / 50 > threads ? commits / 50 : threads;
    struct bench_figure write = {.name = "roof: pwrite, resident, 160 bytes"};
    struct bench_figure sync = {.name = "roof: 4 KiB pwrite + fdatasync"};
    struct bench_figure share = {.name = "roof: the same, shared by threads/2"};
    struct bench_figure one = {.name = "acks=1, an offset a call"};
    struct bench_figure many = {.name = "acks=1, an offset of a large call"};
    struct bench_figure all = {.name = "acks=all, one thread"};
    struct bench_figure all_threads = {.name = "acks=all, all threads"};
    for (long round = 0; round < rounds; round++) {
        struct kaja_store *store;
        bench_ok(kaja_store_open(bench_path("store"), NULL, &store), "open");
        bench_ok(kaja_admin_create_topic(store, "bench", (int32_t)offsets_a_call, NULL), "create");
        for (int part = 0; part < 2; part++) {
            if ((part == 0) == (round % 2 == 0)) {
                bench_add(&write, bench_roof_resident((size_t)commits * 160, 160) / 1000 /
                                      (double)commits);
                double flush = bench_roof_sync((int)waited) / 1000;
                bench_add(&sync, flush);
                bench_add(&share, 2 * flush / (double)threads);
                continue;
            }
            bench_add(&one, alone(store, "1", commits, 1) / 1000);
            bench_add(&many, alone(store, "1", calls, (size_t)offsets_a_call) / 1000 /
                                 (double)offsets_a_call);
            bench_add(&all, alone(store, "all", waited, 1) / 1000);
            bench_add(&all_threads, together(store, waited) / 1000);
        }
        bench_ok(kaja_store_close(store), "close");
        bench_remove("store");
    }
    printf("%ld commits, %ld offsets a large call, %ld threads, %ld rounds: median "
           "(least .. most)\n",
           commits, offsets_a_call, threads, rounds);
    bench_print(&write, "us each", NULL, NULL);
    bench_print(&one, "us each", &write, "pwrite, resident");
    printf("%-34s %10.0f a second\n", "", 1e6 / bench_median(&one));
    bench_print(&many, "us each", NULL, NULL);
    printf("%-34s %10.0f a second\n", "", 1e6 / bench_median(&many));
    bench_print(&sync, "us each", NULL, NULL);
    bench_print(&all, "us each", &sync, "pwrite + fdatasync");
    bench_print(&all_threads, "us each", &share, "threads/2 a flush");
    bench_end();
    return 0;
}
