/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A process dies, or the power goes, while a topic is deleted. Whoever comes next, or survives,
 * finds its committed offsets gone with it, before a topic can be made anew under its name; those of
 * other topics, and of the new one, stay.
 *
 * KJ_STRIDE=1 stops at every step; the short form at some. KJ_SEED and KJ_ROUNDS for the power cuts.
 */
#include "group_process.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

static int topic_gone(void *arg, struct kj_store *store, const char *topic)
{
    (void)arg;
    return kj_offset_store_topic_gone(store, topic);
}

static int commit(struct kj_offset_store *offsets, const char *topic, int64_t offset)
{
    static const char *const groups[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        const struct kj_offset_item item = {topic, i, -1, offset, NULL};
        const struct kj_offset_commit what = {
            .group_id = groups[i], .items = &item, .count = 1, .durable = true};
        struct kj_offset_ticket ticket;
        KJ_TRY(kj_offset_store_commit(offsets, &what, &ticket));
        KJ_TRY(kj_offset_store_wait(offsets, &ticket));
    }
    return 0;
}

/* -1: none; -2: the groups do not agree. */
static int64_t committed(struct process *p, const char *topic)
{
    int64_t one = -1, two = -1;
    bool found;
    assert_ok(kj_offset_store_fetch(p->offsets, "one", topic, 0, &found, &one, NULL, NULL));
    assert_ok(kj_offset_store_fetch(p->offsets, "two", topic, 1, &found, &two, NULL, NULL));
    return one == two ? one : -2;
}

static struct kj_store_options options_here(void)
{
    struct kj_store_options options = test_options(dir.path);
    options.hooks.topic_gone = topic_gone;
    return options;
}

static struct process open_here(void)
{
    struct process process;
    struct kj_store_options options = options_here();
    assert_ok(start(&process, &options));
    return process;
}

static bool there(struct process *p, const char *name)
{
    struct kj_topic *topic;
    int err = kj_topic_find(p->store, name, false, &topic);
    if (err == 0)
        kj_topic_release(topic);
    else
        assert_int_equal(err, KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    return err == 0;
}

/* --- kills --- */

struct job {
    int at;
    int count;
};

static void job_step(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    struct job *job = arg;
    (void)number;
    (void)name;
    if (step != KJ_STEP_LOAD && step != KJ_STEP_WAIT && job->at > 0 && ++job->count == job->at)
        (void)kill(getpid(), SIGKILL);
}

static int delete_topic(void *arg)
{
    struct job *job = arg;
    struct kj_store_options options = options_here();
    struct process p;
    int at = job->at;
    job->at = 0;
    options.shared_step = job_step;
    options.step_arg = job;
    KJ_TRY(start(&p, &options));
    job->at = at;
    KJ_TRY(kj_topic_delete(p.store, "t"));
    job->at = 0;
    kj_groups_close(p.groups);
    kj_offset_store_close(p.offsets);
    return kj_store_close(p.store);
}

static void fill(struct process *p)
{
    if (!there(p, "t"))
        assert_ok(kj_topic_create(p->store, "t", 6, NULL, 0));
    if (!there(p, "u"))
        assert_ok(kj_topic_create(p->store, "u", 2, NULL, 0));
    assert_ok(commit(p->offsets, "t", 7));
    assert_ok(commit(p->offsets, "u", 8));
}

/* The topic was deleted, wholly or not at all. Made anew, it knows nothing of the old one. */
static void check(struct process *p)
{
    if (there(p, "t")) {
        assert_int_equal(committed(p, "t"), 7);
        /* The one who died may have written that it is gone, and not told it yet. */
        int err = kj_topic_delete(p->store, "t");
        assert_true(err == 0 || err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    assert_ok(kj_topic_create(p->store, "t", 2, NULL, 0));
    assert_int_equal(committed(p, "t"), -1);
    assert_int_equal(committed(p, "u"), 8);
    assert_ok(commit(p->offsets, "t", 1));
    assert_ok(kj_store_step(p->store));
    assert_int_equal(committed(p, "t"), 1);
    assert_int_equal(count_events(p->store, KAJA_EVENT_BACKGROUND), 0);
}

static void kill_at_each(int first, bool survivor)
{
    int stride = test_number("KJ_STRIDE", 5);
    int result = 1, steps = 0;
    for (int at = first; result != 0; at += stride, steps++) {
        struct job job = {.at = at};
        struct process p = open_here();
        fill(&p);
        if (!survivor)
            close_process(&p);
        result = child_end(child_start(delete_topic, &job));
        assert_true(result == 0 || result == 1000 + SIGKILL);
        if (!survivor)
            p = open_here();
        if (!survivor && !there(&p, "t")) {
            assert_int_equal(committed(&p, "t"), -1); /* nobody had to ask for it */
            assert_int_equal(committed(&p, "u"), 8);
        }
        check(&p);
        close_process(&p);
        p = open_here(); /* and nothing is left to be done */
        assert_int_equal(committed(&p, "t"), 1);
        assert_int_equal(committed(&p, "u"), 8);
        close_process(&p);
    }
    assert_true(steps * stride > 20);
}

static void test_survivor(void **state)
{
    (void)state;
    kill_at_each(1, true);
}

static void test_all_dead(void **state)
{
    (void)state;
    kill_at_each(1, false);
}

/* --- power cuts --- */

struct run {
    struct kj_sim *sim, *left;
    struct kj_sim_tasks *tasks;
    uint64_t op, cut_at;
    enum kj_sim_crash_mode mode;
    int64_t acknowledged, at_cut; /* committed of the topic there is: -1 none, -2 it is changing */
};

static int count_op(void *arg, const char *op, const char *path)
{
    struct run *run = arg;
    (void)op;
    (void)path;
    if (++run->op == run->cut_at) {
        run->left = kj_sim_crash_copy(run->sim, run->cut_at * 7919 + 1, run->mode);
        run->at_cut = run->acknowledged;
    }
    return 0;
}

static struct process open_sim(struct run *run, struct kj_sim *sim, struct kj_sim_shared *shared,
                               kj_io_step *step)
{
    struct process process;
    struct kj_store_options options = test_options("simulated");
    options.io = kj_sim_open(sim, false, step, run);
    options.clock = kj_sim_tasks_clock(run->tasks);
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = shared;
    options.hooks.topic_gone = topic_gone;
    assert_ok(start(&process, &options));
    return process;
}

static void play(struct run *run, struct process *p)
{
    run->acknowledged = -2;
    assert_ok(kj_topic_create(p->store, "u", 2, NULL, 0));
    assert_ok(commit(p->offsets, "u", 8));
    for (int64_t round = 1; round <= 3; round++) {
        run->acknowledged = -2;
        assert_ok(kj_topic_create(p->store, "t", 2, NULL, 0));
        assert_ok(commit(p->offsets, "t", round));
        run->acknowledged = round;
        assert_ok(kj_topic_delete(p->store, "t"));
        run->acknowledged = -1;
    }
}

static void check_left(struct run *run)
{
    struct kj_sim_shared *shared = kj_sim_shared_new(run->tasks);
    struct process p = open_sim(run, run->left, shared, NULL);
    int64_t now = committed(&p, "t");
    bool is_there = there(&p, "t");
    if (!is_there && now != -1)
        fail_msg("cut before operation %llu: t is gone, its offset %lld is not",
                 (unsigned long long)run->cut_at, (long long)now);
    if (is_there && run->at_cut > 0)
        assert_int_equal(now, run->at_cut);
    if (run->at_cut != -2)
        assert_int_equal(committed(&p, "u"), 8);
    close_process(&p);
    kj_sim_shared_free(shared);
}

static uint64_t history(uint64_t seed, uint64_t cut_at, enum kj_sim_crash_mode mode)
{
    struct run run = {.cut_at = cut_at, .mode = mode, .acknowledged = -2};
    run.sim = kj_sim_new(seed);
    run.tasks = kj_sim_tasks_new(seed, 0);
    struct kj_sim_shared *shared = kj_sim_shared_new(run.tasks);
    struct process p = open_sim(&run, run.sim, shared, count_op);
    play(&run, &p);
    close_process(&p);
    kj_sim_shared_free(shared);
    if (run.left != NULL) {
        check_left(&run);
        kj_sim_free(run.left);
    }
    kj_sim_free(run.sim);
    assert_true(kj_sim_tasks_free(run.tasks));
    return run.op;
}

static void test_power_cuts(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)test_number("KJ_SEED", (int)(time(NULL) % 100000));
    uint64_t rounds = (uint64_t)test_number("KJ_ROUNDS", 60);
    print_message("KJ_SEED=%llu\n", (unsigned long long)seed);
    uint64_t ops = history(seed, 0, KJ_SIM_CRASH_DROP);
    for (uint64_t i = 0; i < rounds; i++)
        (void)history(seed, 1 + (seed + i * 7919) % ops,
                      (enum kj_sim_crash_mode)(i % KJ_SIM_CRASH_MODES));
}

int main(void)
{
    prefer_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_survivor, make, clear),
        cmocka_unit_test_setup_teardown(test_all_dead, make, clear),
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
