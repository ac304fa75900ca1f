/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/kill_producer.c - a producing process dies of kill -9 at a random moment; whatever
 * was acknowledged to it is there, in order, without gaps, phantoms or doubles.
 *
 *     kill_producer [ROUNDS]       KJ_SEED=... repeats the choices
 *
 * The child opens, produces with 1 to 4 threads through two producers (acks=1 and acks=all),
 * closes, and begins again, so that it may die anywhere, also while it recovers what its
 * predecessor left.
 */
#include "crash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 3,
    THREADS_MAX = 4,
    WORKERS_PER_ROUND = 2 * THREADS_MAX,
    ROUNDS_PER_DIR = 8,
    WORKERS = WORKERS_PER_ROUND * ROUNDS_PER_DIR,
    ROOM = 16384
};
static const char topic[] = "killed";

struct plan {
    char dir[128];
    uint64_t run, seed;
    unsigned threads, first_worker;
    struct worker *workers;
};

struct hand {
    pthread_t thread;
    struct sender senders[2]; /* acks=1 and acks=all */
    uint64_t seed;
    _Atomic bool *stop;
};

static void *hand_run(void *arg)
{
    struct hand *hand = arg;
    struct rng rng = {hand->seed};
    while (!*hand->stop) {
        struct sender *sender = &hand->senders[rng_below(&rng, 2)];
        bool wait = rng_below(&rng, 8) == 0;
        uint32_t burst = wait ? rng_below(&rng, 4) + 1 : rng_below(&rng, 200) + 1;
        while (burst-- > 0 && !*hand->stop)
            if (!send_next(sender, wait))
                nap_us(1000);
        MUST(kaja_producer_poll(sender->producer, rng_below(&rng, 4) == 0 ? 5 : 0, NULL));
    }
    return NULL;
}

static struct kaja_producer *random_producer(struct kaja_store *store, struct rng *rng,
                                             const char *acks)
{
    static const char *const sizes[] = {"200", "1000", "16384"};
    return open_producer(store, conf("acks", acks, "batch.size", sizes[rng_below(rng, 3)],
                                     "linger.ms", rng_below(rng, 3) == 0 ? "2" : "0",
                                     "compression.type", random_codec(rng), NULL));
}

/* One opening: produces for a while and closes as it should. */
static void work(const struct plan *plan, struct rng *rng)
{
    struct hand hands[THREADS_MAX];
    struct kaja_producer *producers[2];
    _Atomic bool stop = false;
    struct kaja_store *store = open_store(plan->dir, NULL);
    hear(store, NULL);
    make_topic(store, topic, PARTITIONS,
               conf("segment.bytes", "40000", "index.interval.bytes", "300", NULL));
    producers[0] = random_producer(store, rng, "1");
    producers[1] = random_producer(store, rng, "all");
    for (unsigned i = 0; i < plan->threads; i++) {
        hands[i] = (struct hand){.seed = rng_next(rng), .stop = &stop};
        for (unsigned k = 0; k < 2; k++) {
            uint32_t number = plan->first_worker + 2 * i + k;
            hands[i].senders[k] = (struct sender){.producer = producers[k],
                                                  .topic = topic,
                                                  .partitions = PARTITIONS,
                                                  .run = plan->run,
                                                  .number = number,
                                                  .worker = &plan->workers[number],
                                                  .value_bytes_max = 4000,
                                                  .rng = {rng_next(rng)}};
        }
        CHECK(pthread_create(&hands[i].thread, NULL, hand_run, &hands[i]) == 0, "pthread_create");
    }
    nap_us(rng_below(rng, rng_below(rng, 3) == 0 ? 5000 : 200000));
    stop = true;
    for (unsigned i = 0; i < plan->threads; i++)
        (void)pthread_join(hands[i].thread, NULL);
    for (unsigned k = 0; k < 2; k++)
        MUST(kaja_producer_close(producers[k], 30000));
    MUST(kaja_store_close(store));
}

static void child(void *arg)
{
    const struct plan *plan = arg;
    struct rng rng = {plan->seed};
    role("child");
    for (;;)
        work(plan, &rng);
}

struct totals {
    uint64_t acked, records;
    unsigned recoveries;
};

/* Opens what is left, reads it all, closes, and looks once more. */
static void examine(const struct plan *plan, struct census *census, struct totals *totals)
{
    struct census now;
    struct heard heard = {0};
    if (dir_has(plan->dir, "kaja.catalog")) /* else the first child did not come so far */
        (void)verify_sound(plan->dir);
    struct kaja_store *store = open_store(plan->dir, NULL);
    hear(store, &heard);
    make_topic(store, topic, PARTITIONS, NULL); /* likewise */
    census_take(store, topic, PARTITIONS, plan->run, &now);
    MUST(kaja_store_step(store));
    MUST(kaja_store_close(store));
    census_compare(census, &now);
    totals->acked = census_check(&now, plan->workers, WORKERS);
    totals->recoveries += heard.recovered > 0;
    int64_t count = 0;
    for (int32_t i = 0; i < PARTITIONS; i++)
        count += (int64_t)now.columns[i].count;
    int64_t verified = verify_sound(plan->dir);
    CHECK(verified == count, "verify counts %lld records instead of %lld", (long long)verified,
          (long long)count);
    CHECK(dir_has(plan->dir, ".kafka_cleanshutdown"), "no marker after an orderly close");
    totals->records = (uint64_t)count;
    census_free(census);
    *census = now;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 25;
    struct rng rng = {begin(rounds * 3 + 60)};
    struct plan plan = {.workers = NULL};
    struct census census = {.partitions = 0};
    struct totals totals = {0};
    uint64_t records = 0, acked = 0;
    int64_t started_ns = now_ns();

    for (unsigned round = 0; round < rounds; round++) {
        if (round % ROUNDS_PER_DIR == 0) {
            plan.run = rng_next(&rng);
            dir_new(plan.dir);
            plan.workers = workers_new(WORKERS, ROOM);
        }
        plan.first_worker = round % ROUNDS_PER_DIR * WORKERS_PER_ROUND;
        plan.seed = rng_next(&rng);
        plan.threads = 1 + rng_below(&rng, THREADS_MAX);
        pid_t pid = child_start(child, &plan);
        nap_us(rng_below(&rng, rng_below(&rng, 4) == 0 ? 10000 : slow_build() ? 300000 : 100000));
        child_kill(pid);
        bool last = round % ROUNDS_PER_DIR == ROUNDS_PER_DIR - 1 || round == rounds - 1;
        if (!last && rng_below(&rng, 4) == 0)
            continue; /* the next child finds what this one left */
        examine(&plan, &census, &totals);
        if (last) {
            acked += totals.acked;
            records += totals.records;
            census_free(&census);
            workers_free(plan.workers, WORKERS);
            dir_free(plan.dir);
        }
    }
    printf("%u kills, %u recoveries looked at, %llu records acknowledged, %llu found, %.1f s\n",
           rounds, totals.recoveries, (unsigned long long)acked, (unsigned long long)records,
           (double)(now_ns() - started_ns) / 1e9);
    CHECK(acked > 0, "nothing was acknowledged: nothing was tested");
    return 0;
}
