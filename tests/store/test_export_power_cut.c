/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The power goes while topics are exported to a simulated disk. What is left may be any state that
 * os/io.h allows. A broker that starts then must find each partition empty or complete under its
 * own name, or nothing there and what it takes for deleted partitions; exported again, all must be
 * there, and stay there when the power goes once more.
 *
 * KJ_STRIDE=1 cuts at every step, the short form at some; KJ_ROUNDS lengthens a run.
 */
#include "broker_dir.h"
#include "store_test.h"

#include "sim/sim_io.h"
#include "store/export.h"

enum { PARTITIONS = 2 };
static const char *const names[PARTITIONS] = {"events-0", "ours-0"};
static const int64_t logs[PARTITIONS][2] = {{0, 30}, {0, -1}};

static struct temp_dir dir; /* the source */

static void fill_source(void)
{
    (void)shell("cp -R '%s/kafka/logs/events' '%s/events-0'", KJ_GOLDEN_DIR, dir.path);
    struct kj_store *store = open_store(dir.path);
    assert_ok(kj_topic_create(store, "ours", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "ours");
    for (int i = 0; i < 20; i++)
        assert_ok(append_text(partition_of(topic, 0), "value", false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static void put(struct kj_io *io, const char *path, const char *text)
{
    assert_int_equal(kj_io_replace_file(io, path, text, strlen(text), true), 0);
}

static void fill_target(struct kj_sim *sim)
{
    struct kj_io *io = kj_sim_open(sim, false, NULL, NULL);
    put(io, "meta.properties", "version=1\n");
    for (int i = 0; i < PARTITIONS; i++) {
        char path[KJ_PATH_MAX];
        assert_int_equal(kj_io_mkdir(io, names[i]), 0);
        kj_file_path(path, names[i], KJ_FILE_LOG, 0);
        put(io, path, "");
        kj_file_path(path, names[i], KJ_FILE_INDEX, 0);
        put(io, path, "");
        (void)snprintf(path, sizeof path, "%s/partition.metadata", names[i]);
        put(io, path, "version: 0\ntopic_id: " BROKER_TOPIC_ID);
    }
    kj_io_destroy(io);
    kj_sim_settle(sim);
}

/* --- exporting --- */

static int export_to(struct kj_sim *sim, kj_io_step *step, void *arg)
{
    const struct kj_export_options options = {
        .source = dir.path, .target = "sim", .target_io = kj_sim_open(sim, false, step, arg)};
    struct kj_store_options store_options = test_options(dir.path);
    struct kj_export *export;
    struct kj_store *store;
    struct kj_export_result result;
    bool clean;
    store_options.read_only = true;
    assert_ok(kj_export_open(&options, &export));
    assert_ok(kj_export_hold_source(export, &clean));
    assert_true(clean);
    assert_ok(kj_store_open(&store_options, &store));
    int err = kj_export_run(export, store, &result);
    assert_ok(kj_store_close(store));
    kj_export_close(export);
    return err;
}

/* --- looking --- */

static int note_log(void *arg, const char *name, enum kj_io_type type)
{
    int *count = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    assert_int_equal(type, KJ_IO_FILE);
    kj_file_name_parse(name, &kind, &suffix, &offset);
    *count += kind == KJ_FILE_LOG;
    return 0;
}

static bool same_file(struct kj_io *io, const char *path)
{
    uint8_t *bytes, *wanted;
    size_t len, wanted_len;
    if (kj_io_read_file(io, path, 1 << 20, &bytes, &len) != 0)
        return false;
    assert_int_equal(kj_io_read_file(dir.io, path, 1 << 20, &wanted, &wanted_len), 0);
    bool same = len == wanted_len && memcmp(bytes, wanted, len) == 0;
    kj_free(bytes);
    kj_free(wanted);
    return same;
}

/* The partition's own name: complete, or as the broker made it (unless it must be complete). */
static void check_partition(struct kj_io *io, int i, bool complete)
{
    static const char metadata[] = "version: 0\ntopic_id: " BROKER_TOPIC_ID;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    uint8_t *bytes;
    size_t len;
    int count = 0;
    if (kj_io_stat(io, names[i], &stat) != 0) {
        assert_false(complete);
        return;
    }
    (void)snprintf(path, sizeof path, "%s/partition.metadata", names[i]);
    assert_int_equal(kj_io_read_file(io, path, 1000, &bytes, &len), 0);
    assert_int_equal(len, sizeof metadata - 1);
    assert_memory_equal(bytes, metadata, len);
    kj_free(bytes);
    assert_int_equal(kj_io_list(io, names[i], note_log, &count), 0);
    kj_file_path(path, names[i], KJ_FILE_LOG, 0);
    assert_int_equal(kj_io_stat(io, path, &stat), 0);
    if (!complete && stat.size == 0) {
        assert_int_equal(count, 1);
        return;
    }
    int segments = logs[i][1] < 0 ? 1 : 2;
    assert_int_equal(count, segments + 1); /* and an empty one at the end */
    for (int log = 0; log < segments; log++)
        for (enum kj_file_kind kind = KJ_FILE_LOG; kind <= KJ_FILE_TIMEINDEX; kind++) {
            kj_file_path(path, names[i], kind, logs[i][log]);
            assert_true(same_file(io, path));
        }
}

/* *arg: how many partitions there are, as a broker counts them. */
static int note_root(void *arg, const char *name, enum kj_io_type type)
{
    char topic[KJ_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int *foreign = arg;
    if (type == KJ_IO_DIR && !kj_partition_dir_parse(name, topic, &partition) &&
        !kj_deleted_dir_parse(name))
        ++*foreign; /* a broker would not start */
    return 0;
}

static void check(struct kj_sim *sim, bool complete)
{
    struct kj_io *io = kj_sim_open(sim, true, NULL, NULL);
    int foreign = 0;
    assert_int_equal(kj_io_list(io, "", note_root, &foreign), 0);
    assert_int_equal(foreign, 0);
    for (int i = 0; i < PARTITIONS; i++)
        check_partition(io, i, complete);
    if (complete) {
        struct kj_checkpoint points;
        assert_ok(kj_checkpoint_read(io, "recovery-point-offset-checkpoint", &points));
        assert_int_equal(kj_checkpoint_get(&points, "events", 0), 46);
        assert_int_equal(kj_checkpoint_get(&points, "ours", 0), 20);
        kj_checkpoint_free(&points);
    }
    kj_io_destroy(io);
}

/* --- cutting --- */

struct cutting {
    struct kj_sim *sim;
    uint64_t at, op, seed;
    enum kj_sim_crash_mode mode;
    struct kj_sim *left;
};

static int cut(void *arg, const char *op, const char *path)
{
    struct cutting *cutting = arg;
    (void)op, (void)path;
    if (++cutting->op == cutting->at)
        cutting->left = kj_sim_crash_copy(cutting->sim, cutting->seed, cutting->mode);
    return 0;
}

static void drop_and_check(struct kj_sim *sim)
{
    struct kj_sim *left = kj_sim_crash_copy(sim, 1, KJ_SIM_CRASH_DROP);
    check(left, true);
    kj_sim_free(left);
}

/* False: the export was over before. */
static bool one_cut(uint64_t at, enum kj_sim_crash_mode mode, uint64_t round)
{
    struct kj_sim *sim = kj_sim_new(at);
    struct cutting cutting = {.sim = sim, .at = at, .seed = at * 7919 + round, .mode = mode};
    fill_target(sim);
    assert_ok(export_to(sim, cut, &cutting));
    drop_and_check(sim); /* acknowledged, so it is on the disk */
    if (cutting.left != NULL) {
        check(cutting.left, false);
        assert_ok(export_to(cutting.left, NULL, NULL));
        drop_and_check(cutting.left);
        kj_sim_free(cutting.left);
    }
    kj_sim_free(sim);
    return cutting.left != NULL;
}

static void power_cuts(void **state)
{
    (void)state;
    uint64_t stride = (uint64_t)test_number("KJ_STRIDE", 3), at = 1;
    int rounds = test_number("KJ_ROUNDS", 1);
    dir = temp_dir_new();
    fill_source();
    for (int i = 0; i < rounds * KJ_SIM_CRASH_MODES; i++)
        for (at = 1 + (uint64_t)i % stride;
             one_cut(at, (enum kj_sim_crash_mode)(i % KJ_SIM_CRASH_MODES), (uint64_t)i);)
            at += stride;
    assert_true(at > 100);
    temp_dir_free(&dir);
}

int main(void)
{
    prefer_memory();
    const struct CMUnitTest tests[] = {cmocka_unit_test(power_cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
