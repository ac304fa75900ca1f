/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The power goes while a store makes, fills, grows, deletes and alters topics, opens and closes.
 * What is left on the simulated disk is any state that os/io.h allows. Opened again, it must have
 * every topic that was acknowledged and none that was deleted, every record of acks=all, and
 * nothing half.
 *
 * KJ_SEED repeats a run, KJ_ROUNDS lengthens it.
 */
#include "store_test.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

enum { TOPICS = 4, PARTITIONS = 3 };

/* What was acknowledged. */
struct topic_oracle {
    int partitions;     /* 0: it does not exist */
    int maybe;          /* what a change that is going on makes of it; -1: none is going on */
    bool retention_set; /* a property */
    bool maybe_set;
    int64_t durable[PARTITIONS];  /* records below are there */
    int64_t appended[PARTITIONS]; /* no more than these */
};

struct oracle {
    struct topic_oracle topics[TOPICS];
};

struct run {
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *shared;
    uint64_t random;
    struct oracle oracle;
    uint64_t op, cut_at;
    struct kj_sim *left; /* the disk after the cut */
    struct oracle at_cut;
    enum kj_sim_crash_mode mode;
};

static uint64_t draw(struct run *run, uint64_t below)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return run->random % below;
}

/* The cut: a copy of the disk as it is just now. The run itself goes on and ends as usual. */
static int count_op(void *arg, const char *op, const char *path)
{
    struct run *run = arg;
    (void)op;
    (void)path;
    if (++run->op == run->cut_at) {
        run->left = kj_sim_crash_copy(run->sim, run->cut_at * 7919 + 1, run->mode);
        run->at_cut = run->oracle;
    }
    return 0;
}

static struct kj_store *open_sim(struct run *run, struct kj_sim *sim, struct kj_sim_shared *shared,
                                 kj_io_step *step)
{
    struct kj_store_options options = test_options("simulated");
    struct kj_store *store = NULL;
    options.io = kj_sim_open(sim, false, step, run);
    options.clock = kj_sim_tasks_clock(run->tasks);
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = shared;
    assert_ok(kj_store_open(&options, &store));
    return store;
}

static const char *name_of(int i)
{
    static const char *const names[TOPICS] = {"a", "b", "c", "d"};
    return names[i];
}

/* --- the run --- */

static void fill(struct run *run, struct kj_store *store, int i, bool flush)
{
    struct topic_oracle *oracle = &run->oracle.topics[i];
    struct kj_topic *topic = topic_of(store, name_of(i));
    for (int p = 0; p < oracle->partitions; p++) {
        struct kj_partition *partition = partition_of(topic, p);
        oracle->appended[p]++;
        assert_ok(append_text(partition, "record", flush, NULL));
        if (flush) {
            assert_ok(kj_store_flush(store, &partition, 1));
            oracle->durable[p] = oracle->appended[p];
        }
    }
    kj_topic_release(topic);
}

static void delete_topic(struct run *run, struct kj_store *store, int i)
{
    struct topic_oracle *oracle = &run->oracle.topics[i];
    oracle->maybe = 0;
    assert_ok(kj_topic_delete(store, name_of(i)));
    *oracle = (struct topic_oracle){.maybe = -1};
}

static void change(struct run *run, struct kj_store *store)
{
    int i = (int)draw(run, TOPICS);
    struct topic_oracle *oracle = &run->oracle.topics[i];
    if (oracle->partitions == 0) {
        int partitions = 1 + (int)draw(run, PARTITIONS);
        oracle->maybe = partitions;
        assert_ok(kj_topic_create(store, name_of(i), partitions, NULL, 0));
        oracle->partitions = partitions;
        oracle->maybe = -1;
        return;
    }
    const struct kj_property set = {"retention.ms", "5"};
    switch (draw(run, 8)) {
    case 0:
        delete_topic(run, store, i);
        break;
    case 1:
        if (oracle->partitions == PARTITIONS)
            break;
        oracle->maybe = PARTITIONS;
        assert_ok(kj_topic_add_partitions(store, name_of(i), PARTITIONS));
        oracle->partitions = PARTITIONS;
        oracle->maybe = -1;
        break;
    case 2:
        oracle->maybe_set = true;
        assert_ok(kj_topic_alter(store, name_of(i), &set, 1, NULL, 0));
        oracle->retention_set = true;
        break;
    case 3:
        assert_ok(kj_store_step(store));
        break;
    default:
        fill(run, store, i, draw(run, 2) == 0);
        break;
    }
}

static void play(struct run *run)
{
    for (int i = 0; i < TOPICS; i++)
        run->oracle.topics[i].maybe = -1;
    for (int opened = 0; opened < 3; opened++) {
        struct kj_store *store = open_sim(run, run->sim, run->shared, count_op);
        for (int i = 0; i < 12; i++)
            change(run, store);
        assert_ok(kj_store_close(store));
    }
}

/* --- what is left --- */

static void check_topic(struct run *run, struct kj_store *store, int i)
{
    const struct topic_oracle *oracle = &run->at_cut.topics[i];
    struct kj_topic *topic;
    int err = kj_topic_find(store, name_of(i), false, &topic);
    int partitions = err == 0 ? kj_topic_partition_count(topic) : 0;
    if (partitions != oracle->partitions && partitions != oracle->maybe)
        fail_msg("topic %s has %d partitions, not %d (or %d)", name_of(i), partitions,
                 oracle->partitions, oracle->maybe);
    if (err != 0)
        return;
    for (int p = 0; p < partitions; p++) {
        struct kj_partition *partition = partition_of(topic, p);
        int64_t records = count_records(partition);
        if (records < oracle->durable[p] || records > oracle->appended[p])
            fail_msg("%s-%d has %lld records, durable were %lld of %lld", name_of(i), p,
                     (long long)records, (long long)oracle->durable[p],
                     (long long)oracle->appended[p]);
        assert_ok(append_text(partition, "after", true, NULL));
        assert_ok(kj_store_flush(store, &partition, 1));
        assert_int_equal(count_records(partition), records + 1);
    }
    struct kj_property *properties;
    size_t count;
    assert_ok(kj_topic_properties(store, name_of(i), &properties, &count));
    assert_true(count == 1 ? oracle->maybe_set : !oracle->retention_set);
    kj_free_properties(properties, count);
    kj_topic_release(topic);
}

static void check(struct run *run)
{
    struct kj_sim_shared *shared = kj_sim_shared_new(run->tasks);
    struct kj_store *store = open_sim(run, run->left, shared, NULL);
    for (int i = 0; i < TOPICS; i++)
        check_topic(run, store, i);
    /* All of it can go, and come again. */
    for (int i = 0; i < TOPICS; i++) {
        int err = kj_topic_delete(store, name_of(i));
        assert_true(err == 0 || err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
        assert_ok(kj_topic_create(store, name_of(i), PARTITIONS, NULL, 0));
        struct kj_topic *topic = topic_of(store, name_of(i));
        for (int p = 0; p < PARTITIONS; p++)
            assert_int_equal(kj_log_end(kj_partition_log(partition_of(topic, p))), 0);
        kj_topic_release(topic);
    }
    assert_int_equal(count_events(store, KAJA_EVENT_BACKGROUND), 0);
    assert_ok(kj_store_close(store));
    store = open_sim(run, run->left, shared, NULL);
    assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), 0);
    assert_ok(kj_store_close(store));
    kj_sim_shared_free(shared);
}

/* --- */

static char place[128]; /* shown when something is wrong */

/* One history, cut at op cut_at (0: never); the number of its operations. */
static uint64_t history(uint64_t seed, uint64_t cut_at, enum kj_sim_crash_mode mode)
{
    struct run run = {
        .random = seed * 2654435761u + 88172645463325252u, .cut_at = cut_at, .mode = mode};
    run.sim = kj_sim_new(seed);
    run.tasks = kj_sim_tasks_new(seed, 0);
    run.shared = kj_sim_shared_new(run.tasks);
    play(&run);
    if (run.left != NULL) {
        check(&run);
        kj_sim_free(run.left);
    }
    kj_sim_shared_free(run.shared);
    kj_sim_free(run.sim);
    assert_true(kj_sim_tasks_free(run.tasks));
    return run.op;
}

static void power_cuts(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)test_number("KJ_SEED", (int)(time(NULL) % 100000));
    int rounds = test_number("KJ_ROUNDS", 60);
    print_message("KJ_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < rounds;) {
        uint64_t ops = history(seed, 0, KJ_SIM_CRASH_DROP);
        for (int i = 0; i < 12 && round < rounds; i++, round++) {
            uint64_t cut_at = 1 + (seed * 31 + (uint64_t)i * 7919) % ops;
            enum kj_sim_crash_mode mode = (enum kj_sim_crash_mode)(i % KJ_SIM_CRASH_MODES);
            (void)snprintf(place, sizeof place,
                           "seed %llu, cut before operation %llu of %llu, mode %d",
                           (unsigned long long)seed, (unsigned long long)cut_at,
                           (unsigned long long)ops, (int)mode);
            (void)history(seed, cut_at, mode);
        }
        seed++;
    }
}

static int show_place(void **state)
{
    (void)state;
    print_message("         %s\n", place);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(power_cuts, show_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
