/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A process dies at every step of opening, making, growing and deleting topics, and leaving. What
 * it leaves is taken over by a survivor, or by the next opener; both must find a directory in which
 * everything is there or nothing, and everything works.
 *
 * KJ_STRIDE=1 stops at every step; the short form at some.
 */
#include "store_test.h"

enum action { MAKE, GROW, DELETE, ALTER, LEAVE, OPEN_UNCLEAN };

struct job {
    const char *path;
    enum action action;
    struct killer killer;
    bool die_opening; /* count from the first step of opening on */
};

static int do_action(struct kj_store *store, enum action action)
{
    const struct kj_property set = {"x", "y"};
    switch (action) {
    case MAKE:
        return kj_topic_create(store, "new", 2, NULL, 0);
    case GROW:
        return kj_topic_add_partitions(store, "old", 4);
    case DELETE:
        return kj_topic_delete(store, "old");
    case ALTER:
        return kj_topic_alter(store, "old", &set, 1, NULL, 0);
    case LEAVE:
    case OPEN_UNCLEAN:
    default:
        return 0;
    }
}

static int run_job(void *arg)
{
    struct job *job = arg;
    struct kj_store_options options = test_options(job->path);
    struct kj_store *store;
    int at = job->killer.at;
    if (!job->die_opening)
        job->killer.at = 0;
    killer_install(&job->killer, &options);
    KJ_TRY(kj_store_open(&options, &store));
    if (!job->die_opening) {
        job->killer.at = at;
        job->killer.count = 0;
    }
    if (job->action == LEAVE) {
        struct kj_topic *topic;
        struct kj_partition *partition;
        KJ_TRY(kj_topic_find(store, "old", false, &topic));
        KJ_TRY(kj_topic_partition(topic, 0, &partition));
        job->killer.at = 0;
        KJ_TRY(append_text(partition, "x", false, NULL));
        kj_topic_release(topic);
        job->killer.at = at;
        job->killer.count = 0;
    }
    KJ_TRY(do_action(store, job->action));
    if (job->action == LEAVE)
        return kj_store_close(store);
    return 0; /* _exit() without closing: as good as a death after the last step */
}

/* A directory with a topic "old" of two partitions and a record in each. */
static void prepare(const char *path)
{
    struct kj_store *store = open_store(path);
    assert_ok(kj_topic_create(store, "old", 2, NULL, 0));
    struct kj_topic *topic = topic_of(store, "old");
    for (int p = 0; p < 2; p++)
        assert_ok(append_text(partition_of(topic, p), "first", false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static int count_dirs(const char *path, const char *prefix)
{
    char command[512];
    (void)snprintf(command, sizeof command, "ls -d '%s'/%s* 2>/dev/null | wc -l", path, prefix);
    FILE *f = popen(command, "r");
    int n = -1;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    (void)pclose(f);
    return n;
}

/* Each partition of a topic can be used, and no other directory is there. */
static void check_topic(struct kj_store *store, const char *path, const char *name, int *ret_count)
{
    struct kj_topic *topic;
    int err = kj_topic_find(store, name, false, &topic);
    *ret_count = 0;
    if (err == 0) {
        *ret_count = kj_topic_partition_count(topic);
        for (int p = 0; p < *ret_count; p++) {
            int64_t before = count_records(partition_of(topic, p));
            assert_ok(append_text(partition_of(topic, p), "after", false, NULL));
            assert_int_equal(count_records(partition_of(topic, p)), before + 1);
            assert_true(strcmp(name, "old") != 0 || p >= 2 || before >= 1);
        }
        kj_topic_release(topic);
    } else {
        assert_int_equal(err, KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    assert_int_equal(count_dirs(path, name), *ret_count);
}

static void check_all(struct kj_store *store, const char *path, enum action action, bool finished)
{
    int old_count, new_count;
    /* A change makes whoever makes it settle what was left. */
    assert_ok(kj_topic_create(store, "probe", 1, NULL, 0));
    check_topic(store, path, "old", &old_count);
    check_topic(store, path, "new", &new_count);
    assert_true(new_count == 0 || (new_count == 2 && action == MAKE));
    assert_true(old_count == 2 || (old_count == 4 && action == GROW) ||
                (old_count == 0 && action == DELETE));
    if (finished) {
        assert_int_equal(new_count, action == MAKE ? 2 : 0);
        assert_int_equal(old_count, action == GROW ? 4 : action == DELETE ? 0 : 2);
    }
    /* The same change can be made now, if it was not. */
    if (action == MAKE && new_count == 0)
        assert_ok(do_action(store, MAKE));
    if (action == GROW && old_count == 2)
        assert_ok(do_action(store, GROW));
    if (action == DELETE && old_count == 2)
        assert_ok(do_action(store, DELETE));
}

/* One death at step at; true if the child came through. */
static bool one_death(const char *base, enum action action, bool survivor, bool die_opening, int at)
{
    char path[256], command[1200];
    (void)snprintf(path, sizeof path, "%s/run", base);
    (void)snprintf(command, sizeof command, "rm -rf '%s' && cp -R '%s/start' '%s'", path, base,
                   path);
    assert_int_equal(system(command), 0);
    struct kj_store *alive = survivor ? open_store(path) : NULL;
    struct job job = {
        .path = path, .action = action, .killer = {.at = at}, .die_opening = die_opening};
    int result = child_end(child_start(run_job, &job));
    assert_true(result == 0 || result == 1000 + SIGKILL);
    bool finished = result == 0;
    if (survivor) {
        check_all(alive, path, action, finished);
        assert_ok(kj_store_close(alive));
    } else {
        bool clean = is_clean(path);
        struct kj_store *store = open_store(path);
        assert_true(!finished || action != LEAVE || clean);
        check_all(store, path, action, finished);
        assert_ok(kj_store_close(store));
    }
    assert_true(is_clean(path));
    /* Once more: what was left must not be there again. */
    struct kj_store *store = open_store(path);
    assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), 0);
    assert_false(kj_catalog_pending(store->catalog));
    assert_ok(kj_store_close(store));
    assert_int_equal(count_dirs(path, "*-delete"), 0);
    return finished;
}

static void every_death(enum action action, bool survivor, bool die_opening)
{
    struct temp_dir dir = temp_dir_new();
    char path[256];
    int stride = test_number("KJ_STRIDE", 13);
    (void)snprintf(path, sizeof path, "%s/start", dir.path);
    prepare(path);
    if (action == OPEN_UNCLEAN) {
        (void)snprintf(path, sizeof path, "%s/start/.kafka_cleanshutdown", dir.path);
        assert_int_equal(unlink(path), 0);
    }
    int at = 1;
    while (!one_death(dir.path, action, survivor, die_opening, at)) {
        at += stride;
        assert_true(at < 2000);
    }
    print_message("         %d steps\n", at);
    temp_dir_free(&dir);
}

static void making_alone(void **state)
{
    (void)state;
    every_death(MAKE, false, false);
}

static void making_beside_others(void **state)
{
    (void)state;
    every_death(MAKE, true, false);
}

static void growing_alone(void **state)
{
    (void)state;
    every_death(GROW, false, false);
}

static void growing_beside_others(void **state)
{
    (void)state;
    every_death(GROW, true, false);
}

static void deleting_alone(void **state)
{
    (void)state;
    every_death(DELETE, false, false);
}

static void deleting_beside_others(void **state)
{
    (void)state;
    every_death(DELETE, true, false);
}

static void altering(void **state)
{
    (void)state;
    every_death(ALTER, true, false);
}

static void leaving_alone(void **state)
{
    (void)state;
    every_death(LEAVE, false, false);
}

static void leaving_beside_others(void **state)
{
    (void)state;
    every_death(LEAVE, true, false);
}

static void opening_clean(void **state)
{
    (void)state;
    every_death(LEAVE, false, true);
}

static void opening_unclean(void **state)
{
    (void)state;
    every_death(OPEN_UNCLEAN, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_alone),
        cmocka_unit_test(making_beside_others),
        cmocka_unit_test(growing_alone),
        cmocka_unit_test(growing_beside_others),
        cmocka_unit_test(deleting_alone),
        cmocka_unit_test(deleting_beside_others),
        cmocka_unit_test(altering),
        cmocka_unit_test(leaving_alone),
        cmocka_unit_test(leaving_beside_others),
        cmocka_unit_test(opening_clean),
        cmocka_unit_test(opening_unclean),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
