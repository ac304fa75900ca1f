/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The power goes while producers write with acks=1 and groups commit what they have read. Opened
 * again, every committed offset is the one that was acknowledged, or the end of its partition if
 * that is lower: before anybody can append, in every group, told of once each. The power may go
 * again on the way. After a mere kill nothing moves.
 *
 * KJ_SEED repeats a run, KJ_ROUNDS lengthens it.
 */
#include "group_process.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

enum { GROUPS = 3, PARTITIONS = 2, MORE_GROUPS = 20 };

struct commit {
    int64_t acknowledged; /* -1: none */
    int64_t going_on;     /* another that may have come through; -1: none */
};

struct run {
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    uint64_t random;
    uint64_t op, cut_at;
    struct kj_sim *left; /* the disk after the cut */
    enum kj_sim_crash_mode mode;
    struct commit commits[GROUPS][PARTITIONS], at_cut[GROUPS][PARTITIONS];
    int moved;
};

static uint64_t draw(struct run *run, uint64_t below)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return run->random % below;
}

static int count_op(void *arg, const char *op, const char *path)
{
    struct run *run = arg;
    (void)op;
    (void)path;
    if (++run->op == run->cut_at) {
        run->left = kj_sim_crash_copy(run->sim, run->cut_at * 7919 + 1, run->mode);
        memcpy(run->at_cut, run->commits, sizeof run->commits);
    }
    return 0;
}

static int move_back(void *arg, struct kj_store *store)
{
    (void)arg;
    return kj_offset_store_move_back(store);
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
    options.hooks.ends_fell = move_back;
    assert_ok(start(&process, &options));
    return process;
}

static const char *group_name(int group, char name[static 16])
{
    (void)snprintf(name, 16, "g%d", group);
    return name;
}

static void commit(struct process *p, int group, int32_t partition, int64_t offset)
{
    char name[16];
    struct kj_offset_ticket ticket;
    const struct kj_offset_item item = {"t", partition, 7, offset, "note"};
    const struct kj_offset_commit what = {
        .group_id = group_name(group, name), .items = &item, .count = 1, .durable = true};
    assert_ok(kj_offset_store_commit(p->offsets, &what, &ticket));
    assert_ok(kj_offset_store_wait(p->offsets, &ticket));
}

static int64_t committed(struct process *p, int group, int32_t partition)
{
    char name[16];
    bool found;
    int64_t offset = -1;
    assert_ok(kj_offset_store_fetch(p->offsets, group_name(group, name), "t", partition, &found,
                                    &offset, NULL, NULL));
    return found ? offset : -1;
}

static int64_t end_of(struct process *p, int32_t partition)
{
    struct kj_topic *topic = topic_of(p->store, "t");
    int64_t end = kj_log_end(kj_partition_log(partition_of(topic, partition)));
    kj_topic_release(topic);
    return end;
}

/* --- the run --- */

static void step(struct run *run, struct process *p)
{
    struct kj_topic *topic = topic_of(p->store, "t");
    int32_t number = (int32_t)draw(run, PARTITIONS);
    struct kj_partition *partition = partition_of(topic, number);
    bool durable = draw(run, 4) == 0;
    for (uint64_t i = draw(run, 5); i > 0; i--)
        assert_ok(append_text(partition, "record", durable, NULL));
    if (durable)
        assert_ok(kj_store_flush(p->store, &partition, 1));
    int group = (int)draw(run, GROUPS);
    struct commit *c = &run->commits[group][number];
    c->going_on = kj_log_end(kj_partition_log(partition));
    commit(p, group, number, c->going_on);
    *c = (struct commit){c->going_on, -1};
    kj_topic_release(topic);
}

static void play(struct run *run, struct kj_sim_shared *shared)
{
    for (int g = 0; g < GROUPS; g++)
        for (int p = 0; p < PARTITIONS; p++)
            run->commits[g][p] = (struct commit){-1, -1};
    for (int opened = 0; opened < 2; opened++) {
        struct process p = open_sim(run, run->sim, shared, count_op);
        if (opened == 0)
            assert_ok(kj_topic_create(p.store, "t", PARTITIONS, NULL, 0));
        for (int i = 0; i < 12; i++)
            step(run, &p);
        close_process(&p);
    }
}

/* --- what is left --- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What the events say; 0 of them after another cut, if the first round came through. */
static int take_events(struct run *run, struct process *p)
{
    struct kj_event event;
    int moved = 0;
    while (kj_store_event_take(p->store, &event)) {
        assert_int_not_equal(event.kind, KAJA_EVENT_BACKGROUND);
        if (event.kind != KAJA_EVENT_OFFSETS_MOVED)
            continue;
        moved++;
        assert_string_equal(event.topic, "t");
        assert_true(event.offset == end_of(p, event.partition));
        assert_true(event.end_offset > event.offset);
        assert_non_null(strstr(event.text, "moved back"));
    }
    run->moved += moved;
    return moved;
}

static void check(struct run *run, struct process *p, bool first)
{
    int most = 0, certain = 0;
    int moved = take_events(run, p);
    struct kj_topic *topic;
    if (kj_topic_find(p->store, "t", false, &topic) != 0)
        return; /* the cut came before it was made */
    kj_topic_release(topic);
    for (int g = 0; g < GROUPS; g++)
        for (int32_t n = 0; n < PARTITIONS; n++) {
            const struct commit *c = &run->at_cut[g][n];
            int64_t end = end_of(p, n), offset = committed(p, g, n);
            most += c->acknowledged > end || c->going_on > end;
            certain += c->acknowledged > end && c->going_on < 0;
            if (offset != least(c->acknowledged, end) &&
                (c->going_on < 0 || offset != least(c->going_on, end)))
                fail_msg("g%d has offset %lld of t-%d, committed was %lld (or %lld), end is %lld",
                         g, (long long)offset, n, (long long)c->acknowledged,
                         (long long)c->going_on, (long long)end);
        }
    assert_true(moved <= most);
    assert_true(!first || moved >= certain);
}

/* Cut again at each operation of the opening that moves. */
static void cut_again(struct run *run)
{
    uint64_t ops = 1;
    for (uint64_t cut_at = 1; cut_at <= ops; cut_at += 1 + cut_at / 4) {
        struct run again = {.random = run->random, .tasks = run->tasks, .cut_at = cut_at,
                            .mode = (enum kj_sim_crash_mode)(cut_at % KJ_SIM_CRASH_MODES)};
        struct kj_sim_shared *shared = kj_sim_shared_new(run->tasks);
        again.sim = kj_sim_crash_copy(run->left, 1, KJ_SIM_CRASH_KEEP);
        struct process p = open_sim(&again, again.sim, shared, count_op);
        ops = again.op;
        memcpy(again.at_cut, run->at_cut, sizeof run->at_cut);
        check(&again, &p, true);
        close_process(&p);
        kj_sim_shared_free(shared);
        if (again.left != NULL) {
            shared = kj_sim_shared_new(run->tasks);
            p = open_sim(&again, again.left, shared, NULL);
            memcpy(again.at_cut, run->at_cut, sizeof run->at_cut);
            check(&again, &p, false);
            close_process(&p);
            kj_sim_shared_free(shared);
            kj_sim_free(again.left);
        }
        kj_sim_free(again.sim);
    }
}

static char place[128]; /* shown when something is wrong */

static uint64_t history(uint64_t seed, uint64_t cut_at, enum kj_sim_crash_mode mode, int *moved)
{
    struct run run = {
        .random = seed * 2654435761u + 88172645463325252u, .cut_at = cut_at, .mode = mode};
    run.sim = kj_sim_new(seed);
    run.tasks = kj_sim_tasks_new(seed, 0);
    struct kj_sim_shared *shared = kj_sim_shared_new(run.tasks);
    play(&run, shared);
    kj_sim_shared_free(shared);
    if (run.left != NULL) {
        cut_again(&run);
        shared = kj_sim_shared_new(run.tasks);
        struct process p = open_sim(&run, run.left, shared, NULL);
        check(&run, &p, true);
        close_process(&p);
        p = open_sim(&run, run.left, shared, NULL); /* that was a clean end */
        assert_int_equal(take_events(&run, &p), 0);
        close_process(&p);
        kj_sim_shared_free(shared);
        kj_sim_free(run.left);
    }
    *moved += run.moved;
    kj_sim_free(run.sim);
    assert_true(kj_sim_tasks_free(run.tasks));
    return run.op;
}

static void test_power_cuts(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)test_number("KJ_SEED", (int)(time(NULL) % 100000));
    int rounds = test_number("KJ_ROUNDS", 24), moved = 0;
    print_message("KJ_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < rounds;) {
        uint64_t ops = history(seed, 0, KJ_SIM_CRASH_DROP, &moved);
        for (int i = 0; i < 12 && round < rounds; i++, round++) {
            uint64_t cut_at = 1 + (seed * 31 + (uint64_t)i * 7919) % ops;
            enum kj_sim_crash_mode mode = (enum kj_sim_crash_mode)(i % KJ_SIM_CRASH_MODES);
            (void)snprintf(place, sizeof place,
                           "seed %llu, cut before operation %llu of %llu, mode %d",
                           (unsigned long long)seed, (unsigned long long)cut_at,
                           (unsigned long long)ops, (int)mode);
            (void)history(seed, cut_at, mode, &moved);
        }
        seed++;
    }
    print_message("%d offsets were moved\n", moved); /* now and then none, by the seed */
}

/* A disk on which the records of t-0 are lost and the commits are there. */
static struct kj_sim *lossy_disk(struct run *run, int groups)
{
    struct kj_sim_shared *shared = kj_sim_shared_new(run->tasks);
    run->sim = kj_sim_new(1);
    struct process p = open_sim(run, run->sim, shared, NULL);
    assert_ok(kj_topic_create(p.store, "t", PARTITIONS, NULL, 0));
    struct kj_topic *topic = topic_of(p.store, "t");
    for (int i = 0; i < 9; i++)
        assert_ok(append_text(partition_of(topic, 0), "record", false, NULL));
    kj_topic_release(topic);
    for (int g = 0; g < groups; g++)
        commit(&p, g, 0, 9);
    commit(&p, 0, 1, 0);
    struct kj_sim *left = kj_sim_crash_copy(run->sim, 1, KJ_SIM_CRASH_DROP);
    close_process(&p);
    kj_sim_shared_free(shared);
    return left;
}

/* All groups; the offset of a partition whose end is fine stays as it was; metadata stays. */
static int check_kept(void *arg, const struct kj_committed *c)
{
    (*(int *)arg)++;
    assert_string_equal(c->metadata, "note");
    assert_int_equal(c->leader_epoch, 7);
    return 0;
}

static void test_all_groups(void **state)
{
    (void)state;
    struct run run = {.tasks = kj_sim_tasks_new(1, 0)};
    struct kj_sim *left = lossy_disk(&run, MORE_GROUPS);
    struct kj_sim_shared *shared = kj_sim_shared_new(run.tasks);
    struct process p = open_sim(&run, left, shared, NULL);
    int kept = 0;
    assert_int_equal(take_events(&run, &p), MORE_GROUPS);
    for (int g = 0; g < MORE_GROUPS; g++)
        assert_int_equal(committed(&p, g, 0), 0);
    assert_int_equal(committed(&p, 0, 1), 0);
    assert_ok(kj_offset_store_each(p.offsets, "g0", check_kept, &kept));
    assert_int_equal(kept, 2);
    close_process(&p);
    kj_sim_shared_free(shared);
    kj_sim_free(left);
    kj_sim_free(run.sim);
    assert_true(kj_sim_tasks_free(run.tasks));
}

/* No room to write them: told of, the directory is not left clean, the next to open does it. */
static void test_no_room(void **state)
{
    (void)state;
    struct run run = {.tasks = kj_sim_tasks_new(1, 0)};
    struct kj_sim *left = lossy_disk(&run, 2);
    struct kj_sim_shared *shared = kj_sim_shared_new(run.tasks);
    kj_sim_fail(left, "pwrite", 1, ENOSPC, true);
    struct process p = open_sim(&run, left, shared, NULL);
    kj_sim_fail(left, NULL, 0, 0, false);
    assert_int_equal(committed(&p, 0, 0), 9);
    assert_true(count_events(p.store, KAJA_EVENT_BACKGROUND) > 0);
    close_process(&p);
    p = open_sim(&run, left, shared, NULL);
    assert_int_equal(take_events(&run, &p), 2);
    assert_int_equal(committed(&p, 0, 0), 0);
    close_process(&p);
    kj_sim_shared_free(shared);
    kj_sim_free(left);
    kj_sim_free(run.sim);
    assert_true(kj_sim_tasks_free(run.tasks));
}

/* --- a mere kill --- */

static struct process open_real(void)
{
    struct process process;
    struct kj_store_options options = test_options(dir.path);
    options.hooks.ends_fell = move_back;
    assert_ok(start(&process, &options));
    return process;
}

static int commit_and_die(void *arg)
{
    (void)arg;
    struct process p = open_real();
    commit(&p, 0, 0, 1000); /* as reset-offsets may set it */
    struct kj_topic *topic = topic_of(p.store, "t");
    assert_ok(append_text(partition_of(topic, 1), "record", false, NULL));
    commit(&p, 0, 1, 1);
    return kill(getpid(), SIGKILL);
}

static void test_kill(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(child_end(child_start(commit_and_die, NULL)), 1000 + SIGKILL);
        struct process p = open_real();
        assert_int_equal(count_events(p.store, KAJA_EVENT_OFFSETS_MOVED), 0);
        assert_int_equal(committed(&p, 0, 0), 1000);
        assert_int_equal(committed(&p, 0, 1), 1);
        close_process(&p);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_power_cuts, show_place),
        cmocka_unit_test(test_all_groups),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test_setup_teardown(test_kill, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
