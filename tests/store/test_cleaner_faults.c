/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever fails in a round of compaction, and wherever it dies: the newest record of each key is
 * there, nothing is called damaged, and the next round does what is left. Every step of it in turn:
 *
 *     the power goes, in each way that the disk forgets
 *     an operation on the disk fails, once
 *     an allocation fails
 *     the process is killed, beside another one that goes on at once
 *
 * KJ_STRIDE: every so manieth step of the first and the last (default 3).
 */
#include "cleaner_test.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

enum { RECORDS = 60, KEYS = 5 };

static struct world {
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *shared;
    uint64_t op, cut_at;
    struct kj_sim *left[KJ_SIM_CRASH_MODES];
} world;

static void begin(void)
{
    world = (struct world){.sim = kj_sim_new(1), .tasks = kj_sim_tasks_new(1, 0)};
    world.shared = kj_sim_shared_new(world.tasks);
}

static void end(void)
{
    kj_sim_shared_free(world.shared);
    kj_sim_free(world.sim);
    assert_true(kj_sim_tasks_free(world.tasks));
}

static bool changes(const char *op)
{
    static const char *const looks[] = {"pread", "stat", "stat_file", "open", "list", "map",
        "next_data", "fs"};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (strcmp(op, looks[i]) == 0)
            return false;
    return true;
}

static int cut(void *arg, const char *op, const char *path)
{
    (void)arg, (void)path;
    if (world.cut_at > 0 && changes(op) && ++world.op == world.cut_at)
        for (int i = 0; i < KJ_SIM_CRASH_MODES; i++)
            world.left[i] = kj_sim_crash_copy(world.sim, world.cut_at, (enum kj_sim_crash_mode)i);
    return 0;
}

static struct kj_store *open_sim(struct kj_sim *sim, struct kj_sim_shared *shared)
{
    struct kj_store_options options = cleaner_options("simulated");
    struct kj_store *store = NULL;
    options.io = kj_sim_open(sim, false, cut, NULL);
    options.clock = kj_sim_tasks_clock(world.tasks);
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = shared;
    assert_ok(kj_store_open(&options, &store));
    return store;
}

/* A topic with segments that are dirty, some of it compacted before. All of it is on the disk. */
static struct kj_partition *prepare(struct kj_store *store)
{
    struct kj_partition *p = make_topic(store, "t", "segment.bytes", "1500");
    put_many(store, p, 0, RECORDS, KEYS);
    assert_true(clean_all(store));
    put_many(store, p, RECORDS, RECORDS, KEYS);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_COMPACTIONS), 1);
    kj_sim_settle(world.sim);
    return p;
}

/* Opened anew after a death of all. */
static void look_at(struct kj_sim *left, const char *before, const char *what, uint64_t at)
{
    struct kj_sim_shared *shared = kj_sim_shared_new(world.tasks);
    struct kj_store *store = open_sim(left, shared);
    for (int i = 0; i < 2; i++) {
        const char *now = newest(known(store, "t"));
        if (strcmp(now, before) != 0)
            fail_msg("%s %llu, %d: found\n%swanted\n%s", what, (unsigned long long)at, i, now,
                     before);
        if (i == 0)
            assert_true(clean_all(store));
    }
    assert_int_equal(count_events(store, KAJA_EVENT_DAMAGE), 0);
    assert_ok(put_text(known(store, "t"), "k1", "goes on"));
    assert_ok(kj_store_close(store));
    kj_sim_shared_free(shared);
}

static void power_cuts(void **state)
{
    (void)state;
    uint64_t stride = (uint64_t)test_number("KJ_STRIDE", 3);
    int images = 0;
    for (uint64_t at = 1;; at += stride) {
        begin();
        struct kj_store *store = open_sim(world.sim, world.shared);
        struct kj_partition *p = prepare(store);
        char before[4096];
        (void)snprintf(before, sizeof before, "%s", newest(p));
        world.cut_at = at;
        assert_true(clean_all(store));
        bool reached = world.op >= at;
        world.cut_at = 0;
        assert_int_equal(kj_store_metric(store, KJ_METRIC_COMPACTIONS), 2);
        assert_ok(kj_store_close(store));
        for (int i = 0; i < KJ_SIM_CRASH_MODES && reached; i++, images++) {
            look_at(world.left[i], before, "cut", at);
            kj_sim_free(world.left[i]);
        }
        end();
        if (!reached)
            break;
    }
    print_message("%d images\n", images);
    assert_true(images > 100 / (int)stride);
}

static void failing_disk(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EMFILE};
    int failures = 0;
    int64_t clean_bytes = 0; /* of the first, where what fails is of no importance */
    for (uint64_t at = 1, reached = 1; reached; at++) {
        begin();
        struct kj_store *store = open_sim(world.sim, world.shared);
        struct kj_partition *p = prepare(store);
        char before[4096];
        (void)snprintf(before, sizeof before, "%s", newest(p));
        uint64_t count = kj_sim_count(world.sim, NULL);
        kj_sim_fail(world.sim, NULL, at, errors[at % 3], false);
        assert_true(clean_all(store));
        reached = kj_sim_count(world.sim, NULL) >= count + at;
        kj_sim_fail(world.sim, NULL, 0, 0, false);
        if (strcmp(newest(p), before) != 0)
            fail_msg("failure %llu: found\n%swanted\n%s", (unsigned long long)at, newest(p),
                     before);
        failures += kj_store_metric(store, KJ_METRIC_COMPACTIONS) < 2;
        assert_int_equal(count_events(store, KAJA_EVENT_DAMAGE), 0);
        if (at % 2 == 0) { /* everybody dies just then */
            struct kj_sim *left = kj_sim_crash_copy(world.sim, at, KJ_SIM_CRASH_PREFIX);
            look_at(left, before, "death behind failure", at);
            kj_sim_free(left);
        }
        assert_true(clean_all(store));
        if (clean_bytes == 0)
            clean_bytes = bytes_of(p);
        if (bytes_of(p) != clean_bytes || kj_store_metric(store, KJ_METRIC_COMPACTION_ASIDE) != 0)
            fail_msg("failure %llu: no round succeeds behind it", (unsigned long long)at);
        assert_string_equal(newest(p), before);
        assert_ok(kj_store_close(store));
        end();
    }
    print_message("%d rounds failed\n", failures);
    assert_true(failures > 20);
}

struct shortage {
    int at, count;
};

static int refuse(void *arg)
{
    struct shortage *shortage = arg;
    return ++shortage->count == shortage->at;
}

static void no_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (int at = 1;; at++) {
        begin();
        struct kj_store *store = open_sim(world.sim, world.shared);
        struct kj_partition *p = prepare(store);
        struct shortage shortage = {.at = at};
        char before[4096];
        (void)snprintf(before, sizeof before, "%s", newest(p));
        kj_alloc_set_hook(refuse, &shortage);
        bool ended = clean_all(store);
        kj_alloc_set_hook(NULL, NULL);
        assert_true(ended);
        failures += kj_store_metric(store, KJ_METRIC_COMPACTIONS) < 2;
        assert_string_equal(newest(p), before);
        assert_true(clean_all(store));
        assert_int_equal(kj_store_metric(store, KJ_METRIC_COMPACTIONS), 2);
        assert_int_equal(kj_store_metric(store, KJ_METRIC_COMPACTION_ASIDE), 0);
        assert_string_equal(newest(p), before);
        assert_ok(kj_store_close(store));
        end();
        if (shortage.count < at)
            break;
    }
    print_message("%d rounds failed\n", failures);
    assert_true(failures > 10);
}

/* --- killed beside another --- */

struct victim {
    const char *path;
    struct killer killer;
};

static int clean_and_die(void *arg)
{
    struct victim *victim = arg;
    struct kj_store_options options = cleaner_options(victim->path);
    struct kj_store *store;
    killer_install(&victim->killer, &options);
    KJ_TRY(kj_store_open(&options, &store));
    victim->killer.count = 0; /* from here on */
    victim->killer.at = -victim->killer.at;
    return clean_all(store) ? 0 : 1;
}

static void killed_beside_another(void **state)
{
    (void)state;
    prefer_memory();
    int stride = test_number("KJ_STRIDE", 3), deaths = 0;
    for (int at = 1;; at += stride) {
        struct temp_dir dir = temp_dir_new();
        struct kj_store_options options = cleaner_options(dir.path);
        struct kj_store *store;
        assert_ok(kj_store_open(&options, &store));
        struct kj_partition *p = make_topic(store, "t", "segment.bytes", "1500");
        put_many(store, p, 0, RECORDS, KEYS);
        char before[4096];
        (void)snprintf(before, sizeof before, "%s", newest(p));
        struct victim victim = {dir.path, {.at = -at}}; /* not while it opens */
        int end = child_end(child_start(clean_and_die, &victim));
        if (strcmp(newest(p), before) != 0)
            fail_msg("death %d: found\n%swanted\n%s", at, newest(p), before);
        put_many(store, p, RECORDS, 20, KEYS);
        (void)snprintf(before, sizeof before, "%s", newest(p));
        assert_true(clean_all(store));
        assert_string_equal(newest(p), before);
        assert_int_equal(count_events(store, KAJA_EVENT_DAMAGE), 0);
        assert_ok(kj_store_close(store));
        assert_ok(kj_store_open(&options, &store));
        assert_string_equal(newest(known(store, "t")), before);
        assert_int_equal(count_events(store, KAJA_EVENT_DAMAGE), 0);
        assert_ok(kj_store_close(store));
        temp_dir_free(&dir);
        if (end == 0)
            break;
        assert_int_equal(end, 1000 + SIGKILL);
        deaths++;
    }
    print_message("%d deaths\n", deaths);
    assert_true(deaths > 60 / stride);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(failing_disk),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(killed_beside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
