/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A power cut before every operation on the disk that a round of compaction does, in each way that a disk
 * forgets, and again before some operations of the recovery behind it: the newest record of each key is there, nothing
 * is reported damaged, appends go on.
 */
#include "sim_handle.h"

#include "newest.h"
#include "sim/sim_disk.h"

static const int64_t T = FIXTURE_T;

struct scene {
    struct kj_sim *sim;
    struct kj_log_config config;
    char expected[4096];
    uint64_t operation, seed, random;
    int images;
    int64_t cleaned; /* as kept before the first file changed */
    bool again; /* cuts in a recovery */
    struct {
        struct kj_sim *sim;
        uint64_t operation;
    } *cuts; /* looked at later: where the power is cut, locks are held */
    size_t cut_count, cut_capacity;
};

static int note_cleaned(void *arg, int64_t end)
{
    struct scene *scene = arg;
    assert_int_equal(scene->cleaned, 0);
    scene->cleaned = end;
    return 0;
}

static void append_keyed(struct kj_log *log, int64_t timestamp, const char *key, const char *value, bool durable)
{
    static struct maker maker;
    maker_begin(&maker);
    maker_add(&maker, timestamp, key, value);
    assert_ok(maker_append(&maker, log, KJ_APPEND_TRUSTED, durable, NULL));
}

static int on_io(void *arg, const char *op, const char *path)
{
    struct scene *scene = arg;
    (void)path;
    if (strcmp(op, "pread") == 0 || strcmp(op, "stat") == 0 || strcmp(op, "stat_file") == 0 ||
        strcmp(op, "open") == 0 || strcmp(op, "list") == 0 || strcmp(op, "map") == 0 || strcmp(op, "next_data") == 0)
        return 0; /* they change nothing */
    scene->operation++;
    if (scene->again && sim_random(&scene->random) % 16 != 0)
        return 0;
    for (int i = 0; i < KJ_SIM_CRASH_MODES; i++) {
        if (scene->again && sim_random(&scene->random) % KJ_SIM_CRASH_MODES != 0)
            continue;
        sim_grow((void **)&scene->cuts, &scene->cut_capacity, scene->cut_count + 1, sizeof *scene->cuts);
        scene->cuts[scene->cut_count].operation = scene->operation;
        scene->cuts[scene->cut_count++].sim =
            kj_sim_crash_copy(scene->sim, scene->seed + scene->operation, (enum kj_sim_crash_mode)i);
    }
    return 0;
}

static void look_at_cuts(struct scene *scene, int depth);

/* What is left of the disk is recovered; depth 0: with more cuts. */
static void look_at(struct scene *scene, struct kj_sim *image, int depth)
{
    struct handle_of handle;
    struct news news = {.recovered = 0};
    char text[4096], before[4096];
    struct kj_sim_tasks *tasks = kj_sim_tasks_new(5, 0);
    struct kj_sim_shared *words = kj_sim_shared_new(tasks);
    struct scene inner = {.sim = image, .seed = scene->seed, .random = scene->operation + 1, .again = true};
    memcpy(inner.expected, scene->expected, sizeof inner.expected);
    inner.config = scene->config;
    inner.config.cleanup_compact = depth > 0; /* what it is now says nothing of what happened */
    inner.cleaned = scene->cleaned;
    handle_begin(&handle, image, tasks, words, &inner.config, true, &news);
    kj_log_set_cleaned(handle.log, scene->cleaned);
    if (depth == 0) {
        handle.io->step = on_io;
        handle.io->step_arg = &inner;
    }
    assert_ok(kj_log_recover(handle.log, 0, 0));
    handle.io->step = NULL;
    what_counts(handle.log, text);
    if (strcmp(text, scene->expected) != 0 || news.damaged != 0)
        fail_msg("seed %llu, operation %llu, depth %d: %s\nfound:\n%s\nexpected:\n%s", (unsigned long long)scene->seed,
                 (unsigned long long)scene->operation, depth, news.text, text, scene->expected);
    append_keyed(handle.log, T + 500, "key-0", "after-the-cut", true);
    assert_ok(kj_log_flush(handle.log));
    struct kj_log_cleaning cleaning = {.map_bytes = 1 << 16};
    what_counts(handle.log, before);
    assert_ok(kj_log_clean(handle.log, &cleaning));
    what_counts(handle.log, text);
    assert_string_equal(text, before);
    handle_end(&handle);
    assert_true(kj_sim_tasks_free(tasks));
    kj_sim_shared_free(words);
    look_at_cuts(&inner, depth + 1);
    scene->images += 1 + inner.images;
}

static void look_at_cuts(struct scene *scene, int depth)
{
    for (size_t i = 0; i < scene->cut_count; i++) {
        scene->operation = scene->cuts[i].operation;
        look_at(scene, scene->cuts[i].sim, depth);
        kj_sim_free(scene->cuts[i].sim);
    }
    free(scene->cuts);
}

static void test_every_operation(void **state)
{
    (void)state;
    int images = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct scene scene = {.seed = seed, .random = seed, .sim = kj_sim_new(seed)};
        struct handle_of handle;
        struct news news = {.recovered = 0};
        kj_sim_limit(scene.sim, 0, 1 << 20);
        kj_log_config_defaults(&scene.config);
        scene.config.cleanup_compact = true;
        scene.config.cleanup_delete = false;
        scene.config.segment_bytes = 400;
        scene.config.index_interval_bytes = 100;
        struct kj_io *io = kj_sim_open(scene.sim, false, NULL, NULL);
        assert_ok(kj_log_create_files(io, DIR, fixture_topic_id));
        kj_io_destroy(io);
        struct kj_sim_tasks *tasks = kj_sim_tasks_new(5, 0);
        struct kj_sim_shared *words = kj_sim_shared_new(tasks);
        handle_begin(&handle, scene.sim, tasks, words, &scene.config, true, &news);
        assert_ok(kj_log_load(handle.log, 0, 0));
        for (int i = 0; i < 30; i++) {
            char key[16], value[64];
            (void)snprintf(key, sizeof key, "key-%d", (int)((uint64_t)i * seed % 5));
            (void)snprintf(value, sizeof value, "value-%d", i);
            append_keyed(handle.log, T + i, key, value, true);
        }
        assert_ok(kj_log_flush(handle.log));
        what_counts(handle.log, scene.expected);
        kj_sim_settle(scene.sim); /* what appends owe the disk is another test's */
        scene.config.segment_bytes = 800;
        kj_log_set_config(handle.log, &scene.config);
        handle.io->step = on_io;
        handle.io->step_arg = &scene;
        struct kj_log_cleaning cleaning = {.map_bytes = 1 << 16, .begin = note_cleaned, .arg =
            &scene};
        assert_ok(kj_log_clean(handle.log, &cleaning));
        assert_int_equal(scene.cleaned, cleaning.first_dirty);
        assert_true(cleaning.ret_freed_bytes > 0);
        on_io(&scene, "end", "");
        handle.io->step = NULL;
        handle_end(&handle);
        assert_true(kj_sim_tasks_free(tasks));
        kj_sim_shared_free(words);
        look_at_cuts(&scene, 0);
        images += scene.images;
        kj_sim_free(scene.sim);
    }
    print_message("%d images\n", images);
    assert_true(images > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
