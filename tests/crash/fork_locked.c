/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/fork_locked.c - a producing process forks in the middle of its appends and is then
 * killed, while the forked child lives on with what it inherited: others go on within a second. In
 * the child every call on an inherited handle gives KAJA_ERR_FORKED, and closing harms nobody.
 *
 *     fork_locked [TURNS]       KJ_SEED=... repeats the choices
 */
#include "crash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The forked child of a program with threads starts none. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

enum { PARTITIONS = 2, OTHER = 0, ROOM = 200000, CHILD_LIMIT_S = 60 };
static const char topic[] = "forked";

static struct shared {
    _Atomic bool stop, release;
    _Atomic int child_pid, child_done;
    _Atomic int64_t last_acked_ns, longest_ns, parent_acked;
} * shared;
static char dir[128];
static uint64_t run;
static struct worker *workers;

struct turn {
    uint32_t number; /* of the parent's worker */
    uint64_t seed;
    bool child_closes;
};

struct handles {
    struct kaja_store *store;
    struct kaja_producer *producer;
    struct kaja_consumer *consumer;
    struct sender sender;
};

static struct sender sender_of(struct kaja_producer *producer, uint32_t number, uint64_t seed)
{
    return (struct sender){.producer = producer,
                           .topic = topic,
                           .partitions = PARTITIONS,
                           .run = run,
                           .number = number,
                           .worker = &workers[number],
                           .value_bytes_max = 4000,
                           .rng = {seed}};
}

/* --- the other one, who must go on --- */

static void note_ack(void)
{
    int64_t now = now_ns(), gap = now - shared->last_acked_ns;
    shared->last_acked_ns = now;
    if (gap > shared->longest_ns)
        shared->longest_ns = gap;
}

static void other(void *arg)
{
    (void)arg;
    role("the other");
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_producer *producer = open_producer(store, conf("acks", "1", NULL));
    struct sender sender = sender_of(producer, OTHER, run);
    shared->last_acked_ns = now_ns();
    on_acked = note_ack;
    while (!shared->stop) {
        for (int i = 0; i < 10; i++)
            CHECK(send_next(&sender, true), "too many records");
        nap_us(1000);
    }
    MUST(kaja_producer_close(producer, 30000));
    MUST(kaja_store_close(store));
}

/* --- the parent that forks --- */

static void *hammer(void *arg)
{
    struct handles *h = arg;
    for (;;) {
        for (int i = 0; i < 20; i++)
            if (!send_next(&h->sender, i == 19))
                nap_us(1000);
        shared->parent_acked++;
    }
    return NULL;
}

static void must_be_forked(const char *what, int err)
{
    CHECK(err == KAJA_ERR_FORKED, "%s in a forked child gives %s", what, kaja_error_name(err));
}

static void forked(const struct turn *turn, struct handles *h)
{
    struct kaja_partition_info info;
    struct kaja_topic_list *list;
    struct kaja_producer *producer;
    struct kaja_batch *batch;
    struct kaja_metadata metadata;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.value = "x";
    record.value_bytes = 1;
    role("forked child");
    (void)alarm(CHILD_LIMIT_S);
    must_be_forked("send", kaja_producer_send(h->producer, &record, 1000, &metadata));
    must_be_forked("produce", kaja_producer_produce(h->producer, &record, NULL, NULL));
    must_be_forked("producer poll", kaja_producer_poll(h->producer, 10, NULL));
    must_be_forked("producer flush", kaja_producer_flush(h->producer, 1000));
    must_be_forked("consumer poll", kaja_consumer_poll(h->consumer, 10, &batch));
    must_be_forked("admin_partition", kaja_admin_partition(h->store, topic, 0, &info));
    must_be_forked("admin_topics", kaja_admin_topics(h->store, &list));
    must_be_forked("admin_flush", kaja_admin_flush(h->store, NULL));
    must_be_forked("create_topic", kaja_admin_create_topic(h->store, "by.child", 1, NULL));
    must_be_forked("producer open", kaja_producer_open(h->store, NULL, &producer));
    must_be_forked("store step", kaja_store_step(h->store));
    if (turn->child_closes) {
        int err = kaja_producer_close(h->producer, 1000);
        CHECK(err == 0 || err == KAJA_ERR_FORKED, "producer close: %s", kaja_error_name(err));
        err = kaja_consumer_close(h->consumer, 30000);
        CHECK(err == 0 || err == KAJA_ERR_FORKED, "consumer close: %s", kaja_error_name(err));
        err = kaja_store_close(h->store);
        CHECK(err == 0 || err == KAJA_ERR_FORKED, "store close: %s", kaja_error_name(err));
    }
    CHECK(!dir_has(dir, ".kafka_cleanshutdown"), "the child's close left a marker");
    shared->child_done = 1;
    while (!shared->release)
        nap_us(1000);
    _exit(0);
}

static void parent(void *arg)
{
    const struct turn *turn = arg;
    struct rng rng = {turn->seed};
    struct handles h;
    struct kaja_topic_partition assigned = {.topic = topic, .partition = 0};
    pthread_t thread;
    role("parent %u", turn->number);
    h.store = open_store(dir, NULL);
    hear(h.store, NULL);
    h.producer = open_producer(h.store, conf("acks", "1", NULL));
    h.consumer = open_consumer(h.store, NULL);
    MUST(kaja_consumer_assign(h.consumer, &assigned, 1));
    h.sender = sender_of(h.producer, turn->number, turn->seed);
    CHECK(pthread_create(&thread, NULL, hammer, &h) == 0, "pthread_create");
    while (shared->parent_acked == 0)
        nap_us(100);
    nap_us(rng_below(&rng, 3000));
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0)
        forked(turn, &h);
    shared->child_pid = pid;
    for (;;) /* until it is killed */
        nap_us(1000000);
}

static void one_turn(struct rng *rng, uint32_t number)
{
    struct turn turn = {.number = number, .seed = rng_next(rng), .child_closes = number % 2 == 0};
    shared->child_pid = 0;
    shared->child_done = 0;
    shared->parent_acked = 0;
    shared->release = false;
    pid_t pid = child_start(parent, &turn);
    for (int64_t until = now_ns() + (slow_build() ? 60000 : 20000) * MS_NS;
         shared->child_done == 0;) {
        CHECK(now_ns() < until, "the forked child hangs");
        nap_us(500);
    }
    /* The child's calls and closes have not hurt its parent. */
    int64_t before = shared->parent_acked;
    for (int64_t until = now_ns() + 10000 * MS_NS; shared->parent_acked <= before + 1;) {
        CHECK(now_ns() < until, "the parent does not go on beside its child");
        nap_us(500);
    }
    nap_us(rng_below(rng, 3000));
    child_kill(pid);
    int64_t killed_ns = now_ns();
    while (shared->last_acked_ns < killed_ns) {
        CHECK(now_ns() < killed_ns + 20000 * MS_NS, "the other does not go on");
        nap_us(500);
    }
    nap_us(20000); /* with the child alive */
    shared->release = true;
    child_wait(shared->child_pid);
}

int main(int argc, char **argv)
{
    unsigned turns = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 12;
    struct rng rng = {begin(turns * 5 + 60)};
    run = rng_next(&rng);
    shared = share(sizeof *shared);
    workers = workers_new(turns + 1, ROOM);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, conf("segment.bytes", "1000000", NULL));
    MUST(kaja_store_close(store));
    pid_t pid = child_start(other, NULL);
    while (shared->last_acked_ns == 0)
        nap_us(500);
    for (uint32_t i = 1; i <= turns; i++)
        one_turn(&rng, i);
    shared->stop = true;
    child_wait(pid);

    struct census census;
    struct heard heard = {0};
    CHECK(dir_has(dir, ".kafka_cleanshutdown"), "no marker after an orderly end");
    store = open_store(dir, NULL);
    hear(store, &heard);
    census_take(store, topic, PARTITIONS, run, &census);
    MUST(kaja_store_step(store));
    MUST(kaja_store_close(store));
    CHECK(heard.recovered == 0, "recovered after an orderly end");
    uint64_t acked = census_check(&census, workers, turns + 1);
    (void)verify_sound(dir);
    printf(
        "%u parents killed, their children alive; %llu records acknowledged; the other waited %.0f "
        "ms at most\n",
        turns, (unsigned long long)acked, (double)shared->longest_ns / 1e6);
    CHECK(shared->longest_ns < (slow_build() ? 5000 : 1000) * MS_NS,
          "the other waited for too long");
    census_free(&census);
    workers_free(workers, turns + 1);
    share_free(shared, sizeof *shared);
    dir_free(dir);
    return 0;
}
