/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/many_open.c - 64 processes open at once a directory that a killed process left
 * behind: exactly one recovers, all produce and consume afterwards.
 *
 *     many_open [ROUNDS]       KJ_SEED=... repeats the choices
 */
#include "crash.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 3, OPENERS = 64, EACH = 10, VICTIM = OPENERS, ROOM = 20000 };
static const char topic[] = "opened";

static struct shared {
    _Atomic bool go;
    _Atomic int ready, opened, produced, consumed, recoverers;
    _Atomic uint64_t totals[OPENERS];
    _Atomic int64_t longest_open_ns;
} * shared;
static char dir[128];
static uint64_t run;
static struct worker *workers;

static struct sender sender_of(struct kaja_producer *producer, uint32_t number)
{
    return (struct sender){.producer = producer,
                           .topic = topic,
                           .partitions = PARTITIONS,
                           .run = run,
                           .number = number,
                           .worker = &workers[number],
                           .value_bytes_max = 1000,
                           .rng = {run + number}};
}

static void victim(void *arg)
{
    (void)arg;
    role("victim");
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, conf("segment.bytes", "100000", NULL));
    struct kaja_producer *producer = open_producer(store, conf("acks", "1", NULL));
    struct sender sender = sender_of(producer, VICTIM);
    shared->ready++;
    for (;;)
        if (!send_next(&sender, true))
            nap_us(1000);
}

static void wait_until(_Atomic int *count, int wanted)
{
    while (*count < wanted)
        nap_us(500);
}

static void opener(void *arg)
{
    uint32_t number = *(const uint32_t *)arg;
    struct heard heard = {0};
    struct census census;
    role("opener %u", number);
    shared->ready++;
    while (!shared->go)
        nap_us(100);
    int64_t begun_ns = now_ns();
    struct kaja_store *store = open_store(dir, conf("kaja.lock.timeout.ms", "60000", NULL));
    int64_t took_ns = now_ns() - begun_ns;
    if (took_ns > shared->longest_open_ns)
        shared->longest_open_ns = took_ns;
    hear(store, &heard);
    MUST(kaja_store_step(store));
    shared->recoverers += heard.recovered > 0;
    shared->opened++;
    struct kaja_producer *producer =
        open_producer(store, conf("acks", number % 2 == 0 ? "1" : "all", NULL));
    struct sender sender = sender_of(producer, number);
    for (int i = 0; i < EACH; i++)
        send_next(&sender, true);
    MUST(kaja_producer_close(producer, 30000));
    shared->produced++;
    wait_until(&shared->produced, OPENERS);
    census_take(store, topic, PARTITIONS, run, &census);
    for (int i = 0; i < PARTITIONS; i++)
        shared->totals[number] += census.columns[i].count;
    census_free(&census);
    shared->consumed++;
    wait_until(&shared->consumed, OPENERS);
    MUST(kaja_store_close(store));
}

static void one_round(struct rng *rng, uint32_t *numbers)
{
    pid_t pids[OPENERS];
    struct census census;
    struct heard heard = {0};
    dir_new(dir);
    run = rng_next(rng);
    memset(shared, 0, sizeof *shared);
    workers = workers_new(OPENERS + 1, ROOM);
    pid_t pid = child_start(victim, NULL);
    wait_until(&shared->ready, 1);
    nap_us(5000 + rng_below(rng, 50000));
    child_kill(pid);
    CHECK(!dir_has(dir, ".kafka_cleanshutdown"), "a marker after kill -9");

    shared->ready = 0;
    for (uint32_t i = 0; i < OPENERS; i++)
        pids[i] = child_start(opener, &numbers[i]);
    wait_until(&shared->ready, OPENERS);
    shared->go = true;
    for (int i = 0; i < OPENERS; i++)
        child_wait(pids[i]);
    CHECK(shared->recoverers == 1, "%d of %d recovered", shared->recoverers, OPENERS);
    CHECK(dir_has(dir, ".kafka_cleanshutdown"), "no marker after all have closed");

    struct kaja_store *store = open_store(dir, NULL);
    hear(store, &heard);
    census_take(store, topic, PARTITIONS, run, &census);
    MUST(kaja_store_step(store));
    CHECK(heard.recovered == 0, "recovered after an orderly end");
    MUST(kaja_store_close(store));
    uint64_t acked = census_check(&census, workers, OPENERS + 1), total = 0;
    for (int i = 0; i < PARTITIONS; i++)
        total += census.columns[i].count;
    for (int i = 0; i < OPENERS; i++)
        CHECK(shared->totals[i] == total, "opener %d read %llu of %llu records", i,
              (unsigned long long)shared->totals[i], (unsigned long long)total);
    (void)verify_sound(dir);
    printf("%d opened, 1 recovered, longest opening %.0f ms, %llu records acknowledged\n", OPENERS,
           (double)shared->longest_open_ns / 1e6, (unsigned long long)acked);
    census_free(&census);
    workers_free(workers, OPENERS + 1);
    dir_free(dir);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    struct rng rng = {begin(rounds * 20 + 30)};
    static uint32_t numbers[OPENERS];
    for (uint32_t i = 0; i < OPENERS; i++)
        numbers[i] = i;
    shared = share(sizeof *shared);
    for (unsigned round = 0; round < rounds; round++)
        one_round(&rng, numbers);
    share_free(shared, sizeof *shared);
    return 0;
}
