/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/close_race.c - 2 and 8 handles close at once, as processes and inside one process:
 * each time the marker of an orderly stop is there afterwards, and the next opener has nothing to
 * recover.
 *
 *     close_race [ROUNDS]       of each kind; KJ_SEED=... repeats the choices
 */
#include "crash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLES = 8, PARTITIONS = 2, ROOM = 40000 };
static const char topic[] = "closed";

static struct shared {
    _Atomic int round, width, opened, go, closed;
    _Atomic bool end;
} * shared;
static char dir[128];
static uint64_t run;
static struct worker *workers;

/* One of the handles, in each round in which it takes part. */
static void handle_run(uint32_t number)
{
    struct rng rng = {run ^ number};
    int last = shared->round;
    while (!shared->end) {
        if (shared->round == last || shared->width <= (int)number) {
            nap_us(100);
            continue;
        }
        last = shared->round;
        struct heard heard = {0};
        struct kaja_store *store = open_store(dir, NULL);
        hear(store, &heard);
        if (rng_below(&rng, 3) == 0) {
            struct kaja_producer *producer =
                open_producer(store, conf("acks", rng_below(&rng, 2) == 0 ? "1" : "all", NULL));
            struct sender sender = {.producer = producer,
                                    .topic = topic,
                                    .partitions = PARTITIONS,
                                    .run = run,
                                    .number = number,
                                    .worker = &workers[number],
                                    .value_bytes_max = 300,
                                    .rng = {rng_next(&rng)}};
            for (uint32_t i = rng_below(&rng, 4) + 1; i > 0; i--)
                CHECK(send_next(&sender, true), "too many rounds");
            MUST(kaja_producer_close(producer, 30000));
        }
        MUST(kaja_store_step(store));
        CHECK(heard.recovered == 0, "round %d: recovered after an orderly end", last);
        shared->opened++;
        while (shared->go != last)
            nap_us(20);
        MUST(kaja_store_close(store));
        shared->closed++;
    }
}

static void process(void *arg)
{
    role("process %u", *(const uint32_t *)arg);
    handle_run(*(const uint32_t *)arg);
}

static void *thread(void *arg)
{
    handle_run(*(const uint32_t *)arg);
    return NULL;
}

static void rounds_of(unsigned rounds, int width, const char *what)
{
    int64_t begun_ns = now_ns();
    for (unsigned i = 0; i < rounds; i++) {
        int64_t until_ns = now_ns() + 60000 * MS_NS;
        shared->opened = 0;
        shared->closed = 0;
        shared->width = width;
        shared->round++;
        while (shared->opened < width) {
            CHECK(now_ns() < until_ns, "somebody does not open");
            nap_us(50);
        }
        CHECK(!dir_has(dir, ".kafka_cleanshutdown"), "a marker while %d handles are open", width);
        shared->go = shared->round;
        while (shared->closed < width) {
            CHECK(now_ns() < until_ns, "somebody does not close");
            nap_us(50);
        }
        CHECK(dir_has(dir, ".kafka_cleanshutdown"), "round %u: %d %s closed and left no marker", i,
              width, what);
    }
    printf("%d %s closed at once %u times, %.1f ms each\n", width, what, rounds,
           (double)(now_ns() - begun_ns) / 1e6 / rounds);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 25;
    struct rng rng = {begin(rounds + 60)};
    static uint32_t numbers[HANDLES] = {0, 1, 2, 3, 4, 5, 6, 7};
    pid_t pids[HANDLES];
    pthread_t threads[HANDLES];
    run = rng_next(&rng);
    shared = share(sizeof *shared);
    workers = workers_new(HANDLES, ROOM);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, NULL);
    MUST(kaja_store_close(store));

    for (int i = 0; i < HANDLES; i++)
        pids[i] = child_start(process, &numbers[i]);
    nap_us(50000); /* each has seen round 0 */
    rounds_of(rounds, 2, "processes");
    rounds_of(rounds, 8, "processes");
    shared->end = true;
    for (int i = 0; i < HANDLES; i++)
        child_wait(pids[i]);

    shared->end = false;
    for (int i = 0; i < HANDLES; i++)
        CHECK(pthread_create(&threads[i], NULL, thread, &numbers[i]) == 0, "pthread_create");
    nap_us(50000);
    rounds_of(rounds, 2, "handles of one process");
    rounds_of(rounds, 8, "handles of one process");
    shared->end = true;
    for (int i = 0; i < HANDLES; i++)
        (void)pthread_join(threads[i], NULL);

    struct census census;
    store = open_store(dir, NULL);
    census_take(store, topic, PARTITIONS, run, &census);
    MUST(kaja_store_close(store));
    printf("%llu records acknowledged and found\n",
           (unsigned long long)census_check(&census, workers, HANDLES));
    (void)verify_sound(dir);
    census_free(&census);
    workers_free(workers, HANDLES);
    share_free(shared, sizeof *shared);
    dir_free(dir);
    return 0;
}
