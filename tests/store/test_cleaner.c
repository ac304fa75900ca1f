/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Compaction as a housekeeping task, on a simulated disk: which partition, how much at a time, what
 * happens when others change what is compacted, when the disk is full or damaged, at a close. What
 * dies in it is tests/store/test_cleaner_faults.c.
 */
#include "cleaner_test.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

static struct world {
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *shared;
    char first[256]; /* directory that was compacted first */
    struct kj_clock clock;
    int open;         /* stores */
    struct kj_partition *strike; /* loses records when the first group is written, not yet swapped */
    int64_t later_ms; /* added to the wall clock */
} world;

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return kj_wall_ms(kj_sim_tasks_clock(world.tasks)) + world.later_ms;
}

static int setup(void **state)
{
    (void)state;
    world = (struct world){.sim = kj_sim_new(1), .tasks = kj_sim_tasks_new(1, 0)};
    world.shared = kj_sim_shared_new(world.tasks);
    world.clock = *kj_sim_tasks_clock(world.tasks);
    world.clock.wall_ms = wall_ms;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (world.open > 0)
        return 0; /* the test failed, and told why */
    kj_sim_shared_free(world.shared);
    kj_sim_free(world.sim);
    return kj_sim_tasks_free(world.tasks) ? 0 : -1;
}

static int note_io(void *arg, const char *op, const char *path)
{
    (void)arg;
    struct kj_partition *strike = world.strike;
    if (strike != NULL && path != NULL && strcmp(op, "open") == 0 &&
        strstr(path, ".txnindex.cleaned") != NULL) {
        int64_t start;
        world.strike = NULL;
        assert_ok(kj_log_delete_records(kj_partition_log(strike), 100, &start));
    }
    const char *slash = path == NULL ? NULL : strchr(path, '/');
    if (strcmp(op, "open") == 0 && slash != NULL && strstr(path, ".log.cleaned") != NULL &&
        world.first[0] == '\0')
        (void)snprintf(world.first, sizeof world.first, "%.*s", (int)(slash - path), path);
    return 0;
}

static struct kj_store *open_sim(void)
{
    struct kj_store_options options = cleaner_options("simulated");
    struct kj_store *store = NULL;
    options.io = kj_sim_open(world.sim, false, note_io, NULL);
    options.clock = &world.clock;
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = world.shared;
    assert_ok(kj_store_open(&options, &store));
    world.open++;
    return store;
}

static int close_sim(struct kj_store *store)
{
    world.open--;
    return kj_store_close(store);
}

static int count_cleaned(void *arg, const char *name, enum kj_io_type type)
{
    (void)type;
    *(int *)arg += strstr(name, ".cleaned") != NULL || strstr(name, ".swap") != NULL;
    return 0;
}

static int litter(struct kj_store *store, const char *dir)
{
    int count = 0;
    assert_int_equal(kj_io_list(kj_store_io(store), dir, count_cleaned, &count), 0);
    return count;
}

static int64_t point_of(struct kj_store *store, const char *file, const char *topic)
{
    struct kj_checkpoint checkpoint;
    kj_checkpoint_init(&checkpoint);
    assert_ok(kj_checkpoint_read(kj_store_io(store), file, &checkpoint));
    int64_t offset = kj_checkpoint_get(&checkpoint, topic, 0);
    kj_checkpoint_free(&checkpoint);
    return offset;
}

/* --- what it is for --- */

static void last_values_stay(void **state)
{
    (void)state;
    struct kj_store *a = open_sim(), *b = open_sim();
    struct kj_partition *p = make_topic(a, "t", NULL, NULL), *q = known(b, "t");
    put_many(a, p, 0, 300, 7);
    int64_t bytes = bytes_of(p);
    const char *before = newest(q);
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 1);
    assert_true(bytes_of(p) < bytes / 5);
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTION_BYTES), bytes - bytes_of(p));
    assert_string_equal(newest(p), before);
    assert_string_equal(newest(q), before);
    assert_int_equal(litter(a, "t-0"), 0);
    int64_t active = (int64_t)kj_slot_word(a, p->slot_number, KJ_SLOT_ACTIVE_BASE);
    assert_int_equal(point_of(a, "cleaner-offset-checkpoint", "t"), active);
    assert_int_equal(point_of(a, "kaja.cleaned", "t"), active);
    /* Nothing more to do, for anybody. */
    assert_true(clean_all(b));
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS) +
                         kj_store_metric(b, KJ_METRIC_COMPACTIONS),
                     1);
    /* The other one goes on where the first ended. */
    put_many(b, q, 300, 100, 7);
    before = newest(p);
    assert_true(clean_all(b));
    assert_int_equal(kj_store_metric(b, KJ_METRIC_COMPACTIONS), 1);
    assert_string_equal(newest(p), before);
    assert_int_equal(count_events(a, KAJA_EVENT_DAMAGE) + count_events(b, KAJA_EVENT_DAMAGE), 0);
    assert_ok(close_sim(b));
    assert_ok(close_sim(a));
}

/* Compacted once, and then no more: what is missing is still no damage, whatever the topic says
 * now. */
static void known_for_good(void **state)
{
    (void)state;
    static const char *const policies[] = {"delete", "compact"};
    for (int i = 0; i < 4; i++) {
        struct kj_store *a = open_sim();
        struct kj_partition *p = make_topic(a, "t", NULL, NULL);
        put_many(a, p, 0, 300, 7);
        assert_true(clean_all(a));
        put_many(a, p, 300, 40, 7);
        const struct kj_property set = {"cleanup.policy", policies[i % 2]};
        assert_ok(kj_topic_alter(a, "t", &set, 1, NULL, 0));
        char before[4096];
        (void)snprintf(before, sizeof before, "%s", newest(p));
        assert_int_equal(count_events(a, KAJA_EVENT_DAMAGE), 0);
        if (i >= 2) { /* as if nobody had kept it: this test can tell */
            assert_int_equal(kj_io_unlink(kj_store_io(a), "kaja.cleaned"), 0);
            assert_int_equal(kj_io_unlink(kj_store_io(a), "cleaner-offset-checkpoint"), 0);
        }
        struct world whole = world;
        world.sim = kj_sim_crash_copy(whole.sim, 1, KJ_SIM_CRASH_KEEP);
        world.shared = kj_sim_shared_new(world.tasks);
        struct kj_store *left = open_sim();
        assert_string_equal(newest(known(left, "t")), before);
        if ((count_events(left, KAJA_EVENT_DAMAGE) > 0) != (i >= 2))
            fail_msg("%d: damage", i);
        assert_ok(close_sim(left));
        kj_sim_shared_free(world.shared);
        kj_sim_free(world.sim);
        world = whole;
        assert_ok(kj_topic_delete(a, "t"));
        assert_ok(close_sim(a));
    }
    /* Another topic of the name begins anew. */
    struct kj_store *a = open_sim();
    assert_int_equal(point_of(a, "kaja.cleaned", "t"), -1);
    assert_int_equal(point_of(a, "cleaner-offset-checkpoint", "t"), -1);
    assert_ok(close_sim(a));
}

/* --- which, and when --- */

static void filthiest_first(void **state)
{
    (void)state;
    struct kj_store *a = open_sim();
    struct kj_partition *little = make_topic(a, "a", NULL, NULL), *lots = make_topic(a, "b", NULL,
                                                                                     NULL);
    struct kj_partition *patient = make_topic(a, "c", "min.cleanable.dirty.ratio", "80");
    put_many(a, little, 0, 100, 16);
    put_many(a, lots, 0, 100, 16);
    put_many(a, patient, 0, 100, 16);
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 3); /* all of it was dirty */
    put_many(a, little, 100, 20, 16);
    put_many(a, lots, 100, 60, 16);
    put_many(a, patient, 100, 12, 16);
    world.first[0] = '\0';
    assert_true(clean_all(a));
    assert_string_equal(world.first, "b-0");
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 5); /* c: too little as yet */
    put_many(a, patient, 120, 100, 16);
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 6);
    /* However little: when it is old. The records' time is long ago. */
    const struct kj_property set = {"max.compaction.lag.ms", "1000"};
    put_many(a, patient, 220, 12, 16);
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 6);
    assert_ok(kj_topic_alter(a, "c", &set, 1, NULL, 0));
    world.later_ms = 1800000000000;
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 7);
    assert_ok(close_sim(a));
}

/* --- what is in the way --- */

static void damage_is_told_once(void **state)
{
    (void)state;
    struct kj_store *a = open_sim();
    struct kj_partition *bad = make_topic(a, "bad", NULL, NULL), *good = make_topic(a, "good",
                                                                                    NULL, NULL);
    put_many(a, bad, 0, 100, 5);
    put_many(a, good, 0, 60, 5);
    assert_true(kj_sim_rot(world.sim, "bad-0/00000000000000000000.log", 100, "x", 1));
    for (int i = 0; i < 4; i++)
        assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 1);
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTION_ASIDE), 1);
    assert_int_equal(count_events(a, KAJA_EVENT_BACKGROUND), 1);
    assert_int_equal(litter(a, "bad-0"), 0);
    assert_ok(put_text(bad, "k1", "goes on"));
    /* What was damaged is deleted: from there on it is compacted again. */
    int64_t start;
    assert_ok(kj_log_delete_records(kj_partition_log(bad), 30, &start));
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 2);
    assert_ok(close_sim(a));
}

static void no_room(void **state)
{
    (void)state;
    struct kj_store *a = open_sim();
    struct kj_partition *p = make_topic(a, "t", NULL, NULL);
    put_many(a, p, 0, 200, 5);
    int64_t bytes = bytes_of(p);
    const char *before = newest(p);
    kj_sim_limit(world.sim, 1 << 20, 0);
    for (int i = 0; i < 4; i++)
        assert_true(clean_all(a));
    assert_int_equal(bytes_of(p), bytes);
    assert_int_equal(count_events(a, KAJA_EVENT_BACKGROUND), 1);
    assert_int_equal(litter(a, "t-0"), 0);
    kj_sim_limit(world.sim, 1 << 30, 0);
    assert_true(clean_all(a));
    assert_true(bytes_of(p) < bytes / 2);
    assert_string_equal(newest(p), before);
    assert_ok(close_sim(a));
}

/* --- in the middle of it --- */

/* More than a slice: the round is under way when this returns. */
static struct kj_partition *under_way(struct kj_store *store)
{
    static char value[4000];
    struct kj_partition *p = make_topic(store, "t", "segment.bytes", "1000000");
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 4500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 7);
        (void)snprintf(value, 16, "%d", i);
        assert_ok(put(p, key, value, sizeof value, KJ_CODEC_NONE));
    }
    assert_ok(kj_store_flush(store, &p, 1));
    clean_soon(store);
    for (int i = 0; i < 4 || litter(store, "t-0") == 0; i++)
        (void)kj_store_run(store);
    assert_int_equal(store->cleaner.state, KJ_CLEANER_CLEANS);
    assert_non_null(store->cleaner.round);
    return p;
}

static void closed_in_the_middle(void **state)
{
    (void)state;
    struct kj_store *a = open_sim(), *b = open_sim();
    char before[4096];
    (void)snprintf(before, sizeof before, "%s", newest(under_way(a)));
    assert_ok(close_sim(a));
    assert_int_equal(litter(b, "t-0"), 0);
    assert_string_equal(newest(known(b, "t")), before);
    assert_true(clean_all(b)); /* it is free for others */
    assert_int_equal(kj_store_metric(b, KJ_METRIC_COMPACTIONS), 1);
    assert_true(bytes_of(known(b, "t")) < 1100000);
    assert_string_equal(newest(known(b, "t")), before);
    assert_int_equal(count_events(b, KAJA_EVENT_BACKGROUND), 0);
    assert_ok(close_sim(b));
}

/* Whoever compacts is stopped: the others do everything but that. */
static void stopped_in_the_middle(void **state)
{
    (void)state;
    struct kj_store *a = open_sim(), *b = open_sim();
    struct kj_partition *p = under_way(a), *q = known(b, "t");
    assert_true(clean_all(b)); /* looks, and goes away */
    assert_int_equal(kj_store_metric(b, KJ_METRIC_COMPACTIONS), 0);
    put_many(b, q, 0, 3000, 3); /* rolls */
    struct kj_partition *other = make_topic(b, "other", NULL, NULL);
    put_many(b, other, 0, 100, 3);
    assert_ok(kj_topic_delete(b, "other"));
    char before[4096];
    (void)snprintf(before, sizeof before, "%s", newest(q));
    /* And it goes on. */
    for (int i = 0; i < 1000 && a->cleaner.state != KJ_CLEANER_WAITS; i++)
        (void)kj_store_run(a);
    assert_int_equal(a->cleaner.state, KJ_CLEANER_WAITS);
    assert_true(kj_store_metric(a, KJ_METRIC_COMPACTIONS) > 0);
    assert_string_equal(newest(p), before);
    assert_string_equal(newest(q), before);
    assert_int_equal(count_events(a, KAJA_EVENT_BACKGROUND) + count_events(b,
                                                                           KAJA_EVENT_BACKGROUND),
                                                                               0);
    assert_ok(close_sim(b));
    assert_ok(close_sim(a));
}

static void changed_in_the_middle(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct kj_store *a = open_sim(), *b = open_sim();
        const struct kj_property set = {"cleanup.policy", "delete"};
        const struct kj_property both[] = {{"cleanup.policy", "compact,delete"},
            {"retention.bytes", "2500000"}};
        struct kj_partition *p = under_way(a);
        int64_t start = 0;
        if (i == 0)
            assert_ok(kj_topic_delete(b, "t"));
        else if (i == 1)
            assert_ok(kj_topic_alter(b, "t", &set, 1, NULL, 0));
        else if (i == 2)
            assert_ok(kj_log_delete_records(kj_partition_log(known(b, "t")), 3000, &start));
        else
            assert_ok(kj_topic_alter(b, "t", both, 2, NULL, 0));
        if (i == 3)
            assert_ok(kj_retention_now(b));
        for (int k = 0; k < 1000 && a->cleaner.state != KJ_CLEANER_WAITS; k++)
            (void)kj_store_run(a);
        assert_int_equal(a->cleaner.state, KJ_CLEANER_WAITS);
        assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 0);
        assert_true(clean_all(a)); /* the next pass does it */
        assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), i < 2 ? 0 : 1);
        assert_int_equal(count_events(a, KAJA_EVENT_BACKGROUND), 0);
        assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTION_ASIDE), 0);
        if (i > 0) {
            assert_int_equal(litter(b, "t-0"), 0);
            assert_non_null(strstr(newest(known(b, "t")), "@4499"));
            if (i == 3)
                assert_true(kj_log_start(kj_partition_log(p)) > 0);
            assert_ok(kj_topic_delete(b, "t"));
        }
        assert_ok(close_sim(b));
        assert_ok(close_sim(a));
    }
}

/* Deleted between writing and putting in place: it does not come back. */
static void deleted_before_the_swap(void **state)
{
    (void)state;
    struct kj_store *a = open_sim(), *b = open_sim();
    struct kj_partition *p = make_topic(a, "t", NULL, NULL);
    struct kj_io_stat stat;
    put_many(a, p, 0, 300, 7);
    const char *before = newest(p);
    world.strike = known(b, "t");
    assert_true(clean_all(a));
    assert_null(world.strike);
    assert_int_equal(kj_log_start(kj_partition_log(p)), 100);
    assert_int_equal(kj_io_stat(kj_store_io(a), "t-0/00000000000000000000.log", &stat), ENOENT);
    assert_int_equal(litter(a, "t-0"), 0);
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 0);
    assert_true(clean_all(a));
    assert_int_equal(kj_store_metric(a, KJ_METRIC_COMPACTIONS), 1);
    assert_string_equal(newest(p), before);
    assert_int_equal(count_events(a, KAJA_EVENT_BACKGROUND), 0);
    assert_ok(close_sim(b));
    assert_ok(close_sim(a));
}

/* Tombstones go in the first round after their time, and what they stood for does not come back. */
static void tombstones(void **state)
{
    (void)state;
    struct kj_store *a = open_sim();
    struct kj_partition *p = make_topic(a, "t", NULL, NULL);
    put_many(a, p, 0, 60, 7);
    assert_ok(put_text(p, "k3", NULL));
    put_many(a, p, 7 * 100, 3, 7); /* k0, k1, k2 */
    for (int i = 0; i < 40; i++)
        assert_ok(put_text(p, "k9", "something else, so that segments end"));
    assert_ok(kj_store_flush(a, &p, 1));
    assert_true(clean_all(a));
    assert_non_null(strstr(newest(p), "k3=-@60"));
    world.later_ms = 86400000 + 1000;
    for (int i = 0; i < 40; i++)
        assert_ok(put_text(p, "k9", "something else, so that segments end"));
    assert_ok(kj_store_flush(a, &p, 1));
    assert_true(clean_all(a));
    assert_null(strstr(newest(p), "k3="));
    assert_non_null(strstr(newest(p), "k2="));
    assert_ok(close_sim(a));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(last_values_stay),     CASE(known_for_good),        CASE(filthiest_first),
        CASE(damage_is_told_once),  CASE(no_room),               CASE(closed_in_the_middle),
        CASE(stopped_in_the_middle), CASE(changed_in_the_middle), CASE(tombstones), CASE(deleted_before_the_swap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
