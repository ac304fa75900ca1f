/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/export.c and export_writer.c: one partition's directory for a broker.
 */
#include "broker_dir.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/checkpoint.h"
#include "log/export.h"
#include "log/inspect.h"
#include "log/verify.h"
#include "record/batch_reader.h"
#include "record/batch_writer.h"

#include <errno.h>

static struct temp_dir dir;

static int setup(void **state)
{
    (void)state;
    dir = temp_dir_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

static const char *in(const char *name)
{
    static char path[4][600];
    static int next;
    char *to = path[next++ % 4];
    (void)snprintf(to, sizeof path[0], "%s/%s", dir.path, name);
    return to;
}

static int copy_to(const char *from, const char *like, const char *to, int64_t end,
                   struct kj_export_counts *ret_counts)
{
    const struct kj_export_copy what = {.from = dir.io,
                                        .to = dir.io,
                                        .from_dir = from,
                                        .dir = to,
                                        .like = like,
                                        .end = end};
    return kj_export_copy(&what, ret_counts);
}

/* A segment of one-record batches with these epochs, offsets from base on. */
static void put_segment(const char *partition, int64_t base, const int32_t *epochs, size_t count)
{
    uint8_t bytes[4096];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        struct kj_batch_writer writer;
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        const struct kj_record record = {.timestamp = 1000, .value = "v", .value_bytes = 1};
        uint8_t *batch;
        size_t batch_len;
        kj_batch_writer_init(&writer, bytes + len, sizeof bytes - len);
        assert_true(kj_batch_writer_append(&writer, &record));
        assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &batch, &batch_len));
        kj_batch_assign(batch, base + (int64_t)i, epochs[i]);
        len += batch_len;
    }
    char path[KJ_PATH_MAX];
    kj_file_path(path, partition, KJ_FILE_LOG, base);
    temp_dir_put(&dir, path, bytes, len);
    kj_file_path(path, partition, KJ_FILE_INDEX, base);
    temp_dir_put(&dir, path, "", 0);
}

static void golden_copied(void **state)
{
    (void)state;
    struct kj_export_counts counts;
    (void)shell("cp -R '%s/kafka/logs/events' '%s'", KJ_GOLDEN_DIR, in("events-0"));
    (void)shell("touch '%s/00000000000000000046.prepared' '%s/00000000000000000000.log.damaged-7'"
                " '%s/00000000000000000030.log.deleted' '%s/note'",
                in("events-0"), in("events-0"), in("events-0"), in("events-0"));
    broker_partition(dir.path, "target", 0, "0\n1\n7 0\n");
    assert_ok(copy_to("events-0", "target-0", "copy", 46, &counts));
    assert_int_equal(counts.segments, 2);
    /* Byte for byte, and nothing else but the two small files and an empty segment at the end. */
    assert_string_equal(shell("cd '%s' && for f in 0*.log 0*index; do cmp $f ../copy/$f; done 2>&1",
                              in("events-0")),
                        "");
    assert_string_equal(shell("ls '%s'", in("copy")),
                        "00000000000000000000.index\n00000000000000000000.log\n"
                        "00000000000000000000.timeindex\n00000000000000000030.index\n"
                        "00000000000000000030.log\n00000000000000000030.timeindex\n"
                        "00000000000000000030.txnindex\n00000000000000000046.index\n"
                        "00000000000000000046.log\n00000000000000000046.snapshot\n"
                        "00000000000000000046.timeindex\nleader-epoch-checkpoint\n"
                        "partition.metadata");
    /* A producer of the broker's may get an id that somebody had here. */
    assert_string_equal(shell("cd '%s' && cat *46.log *46.index *46.timeindex | wc -c && "
                              "wc -c <00000000000000000046.snapshot",
                              in("copy")),
                        "0\n10");
    assert_string_equal(shell("cat '%s/partition.metadata'", in("copy")),
                        "version: 0\ntopic_id: " BROKER_TOPIC_ID);
    assert_string_equal(shell("cmp '%s/leader-epoch-checkpoint' '%s/leader-epoch-checkpoint' 2>&1",
                              in("events-0"), in("copy")),
                        "");
}

static int note_epoch(void *arg, const struct kj_inspect_batch *batch)
{
    char *text = arg;
    assert_true(batch->crc_ok);
    (void)sprintf(text + strlen(text), " %d", batch->batch.epoch);
    return 0;
}

static const char *epochs_of(const char *partition, int64_t base)
{
    static char text[256];
    char path[KJ_PATH_MAX];
    struct kj_inspect inspect;
    int64_t trailing;
    text[0] = '\0';
    kj_file_path(path, partition, KJ_FILE_LOG, base);
    const char *whole = in(path);
    assert_ok(kj_inspect_open(whole, &inspect));
    assert_ok(kj_inspect_log(&inspect, -1, note_epoch, text, &trailing));
    kj_inspect_close(&inspect);
    assert_int_equal(trailing, 0);
    return text;
}

static void epochs_set_down(void **state)
{
    static const struct {
        const char *known, *first, *second, *file;
    } cases[] = {
        {NULL, " 0 0 0", " 0 0 0", "0\n1\n0 0"},
        {"0\n1\n0 0\n", " 0 0 0", " 0 0 0", "0\n1\n0 0"},
        {"0\n2\n0 0\n2 9\n", " 0 0 2", " 2 2 2", "0\n2\n0 0\n2 2"},
        {"0\n1\n3 0\n", " 0 0 2", " 3 3 3", "0\n3\n0 0\n2 2\n3 3"},
        {"0\n1\n4 0\n", " 0 0 2", " 4 4 4", "0\n3\n0 0\n2 2\n4 3"},
        {"0\n1\n90 0\n", " 0 0 2", " 4 4 9", "0\n4\n0 0\n2 2\n4 3\n9 5"},
    };
    (void)state;
    static const int32_t first[] = {0, 0, 2}, second[] = {4, 4, 9};
    assert_int_equal(kj_io_mkdir(dir.io, "t-0"), 0);
    put_segment("t-0", 0, first, 3);
    put_segment("t-0", 3, second, 3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kj_export_counts counts;
        char copy[16];
        (void)snprintf(copy, sizeof copy, "copy%zu", i);
        broker_partition(dir.path, "target", (int)i, cases[i].known);
        char like[16];
        (void)snprintf(like, sizeof like, "target-%zu", i);
        assert_ok(copy_to("t-0", like, copy, 6, &counts));
        assert_string_equal(epochs_of(copy, 0), cases[i].first);
        assert_string_equal(epochs_of(copy, 3), cases[i].second);
        assert_string_equal(shell("cat '%s/leader-epoch-checkpoint'", in(copy)), cases[i].file);
    }
    assert_string_equal(epochs_of("t-0", 3), " 4 4 9");
}

static void not_a_batch(void **state)
{
    (void)state;
    static const int32_t epochs[] = {0};
    struct kj_export_counts counts;
    assert_int_equal(kj_io_mkdir(dir.io, "t-0"), 0);
    put_segment("t-0", 0, epochs, 1);
    (void)shell("printf 'zzz' >> '%s/00000000000000000000.log'", in("t-0"));
    broker_partition(dir.path, "target", 0, NULL);
    assert_err(copy_to("t-0", "target-0", "copy", 6, &counts),
               KAJA_ERR_DAMAGED);
    assert_non_null(strstr(kaja_error_detail(), "t-0/00000000000000000000.log"));
    assert_ok(kj_export_remove(dir.io, "copy"));
    assert_ok(kj_export_remove(dir.io, "copy"));
    (void)shell("rm '%s/partition.metadata'", in("target-0"));
    assert_err(copy_to("t-0", "target-0", "copy", 6, &counts),
               KAJA_ERR_UNKNOWN_TOPIC_ID);
}

static enum kj_export_look look(const char *name, const char *want_foreign)
{
    enum kj_export_look found;
    char foreign[KJ_DIR_NAME_MAX + 1] = "";
    assert_ok(kj_export_look(dir.io, name, 8, &found, foreign));
    assert_string_equal(foreign, want_foreign);
    return found;
}

static void looks(void **state)
{
    (void)state;
    broker_partition(dir.path, "t", 0, NULL);
    assert_int_equal(look("t-0", ""), KJ_EXPORT_EMPTY);
    (void)shell("touch '%s/00000000000000000000.snapshot'", in("t-0"));
    assert_int_equal(look("t-0", ""), KJ_EXPORT_EMPTY);
    (void)shell("echo x > '%s/00000000000000000000.log'", in("t-0"));
    assert_int_equal(look("t-0", ""), KJ_EXPORT_RECORDS);
    broker_partition(dir.path, "t", 1, NULL);
    (void)shell("cd '%s' && mv 00000000000000000000.log 00000000000000000009.log", in("t-1"));
    assert_int_equal(look("t-1", ""), KJ_EXPORT_RECORDS); /* it had some */
    (void)shell("cd '%s' && mv 00000000000000000009.log 00000000000000000008.log", in("t-1"));
    assert_int_equal(look("t-1", ""), KJ_EXPORT_EMPTY); /* where ours begins */
    static const char *const foreign[] = {"note", "00000000000000000000.log.damaged-4", "d"};
    for (int i = 0; i < 3; i++) {
        broker_partition(dir.path, "t", 2 + i, NULL);
        char name[8];
        (void)snprintf(name, sizeof name, "t-%d", 2 + i);
        (void)shell(i == 2 ? "mkdir '%s/%s'" : "touch '%s/%s'", in(name), foreign[i]);
        assert_int_equal(look(name, foreign[i]), KJ_EXPORT_FOREIGN);
        assert_err(kj_export_remove(dir.io, name),
                   i == 1 ? 0 : KAJA_ERR_KAFKA_STORAGE_ERROR); /* foreign things stay */
    }
}

static void sameness(void **state)
{
    (void)state;
    static const int32_t epochs[] = {0, 0, 0};
    bool same;
    assert_int_equal(kj_io_mkdir(dir.io, "a"), 0);
    put_segment("a", 0, epochs, 3);
    put_segment("a", 3, epochs, 3);
    (void)shell("cp -R '%s' '%s'", in("a"), in("b"));
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_true(same);
    (void)shell("touch '%s/00000000000000000006.snapshot'", in("b")); /* follows from the others */
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_true(same);
    (void)shell("printf x >> '%s/00000000000000000003.log'", in("b"));
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_false(same);
    (void)shell("rm '%s/00000000000000000003.log'", in("b"));
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_false(same);
    (void)shell("cd '%s' && cp ../a/*3.log 00000000000000000004.log", in("b"));
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_false(same);
    (void)shell("cd '%s' && mv *4.log 00000000000000000003.log && printf y | "
                "dd of=00000000000000000003.log bs=1 seek=66 conv=notrunc 2>/dev/null",
                in("b"));
    assert_ok(kj_export_same(dir.io, "a", "b", &same));
    assert_false(same);
}

/* --- the writer --- */

static void no_finding(void *arg, const struct kj_verify_finding *finding)
{
    (void)arg;
    fail_msg("%s at %lld: %s", finding->file, (long long)finding->pos, finding->text);
}

static int count_batch(void *arg, const struct kj_inspect_batch *batch)
{
    int64_t *next = arg;
    assert_true(batch->crc_ok);
    assert_int_equal(batch->batch.base_offset, *next);
    assert_int_equal(batch->batch.epoch, 5);
    assert_int_equal(batch->batch.attributes, 0);
    assert_int_equal(batch->batch.base_timestamp, 1000 + *next);
    *next = kj_batch_next_offset(&batch->batch);
    return 0;
}

static void written_anew(void **state)
{
    (void)state;
    enum { RECORDS = 3000, LARGE_AT = 1500, LARGE = 100000 };
    struct kj_export_writer *writer;
    struct kj_export_counts counts;
    int64_t end, next = 0, trailing;
    char *large = calloc(1, LARGE);
    assert_non_null(large);
    broker_partition(dir.path, "target", 0, "0\n1\n5 0\n");
    assert_ok(kj_export_writer_open(dir.io, "target-0", "copy", &writer));
    for (int i = 0; i < RECORDS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%d", i);
        struct kj_record record = {.timestamp = 1000 + i, .key = key, .key_bytes = strlen(key)};
        if (i == LARGE_AT) {
            record.value = large;
            record.value_bytes = LARGE;
        }
        assert_ok(kj_export_writer_add(writer, &record));
    }
    free(large);
    assert_ok(kj_export_writer_finish(writer, &counts, &end));
    kj_export_writer_free(writer);
    assert_int_equal(end, RECORDS);
    assert_int_equal(counts.segments, 1);
    struct kj_inspect inspect;
    assert_ok(kj_inspect_open(in("copy/00000000000000000000.log"), &inspect));
    assert_int_equal(inspect.bytes, counts.bytes);
    assert_ok(kj_inspect_log(&inspect, -1, count_batch, &next, &trailing));
    kj_inspect_close(&inspect);
    assert_int_equal(next, RECORDS);
    assert_int_equal(trailing, 0);
    /* Indexes and all: as after an orderly stop. */
    struct kj_verify_counts verified = {0};
    const struct kj_verify_options options = {.io = dir.io,
                                              .dir = "copy",
                                              .end = INT64_MAX,
                                              .clean = true,
                                              .recovery_point = RECORDS,
                                              .callback = no_finding};
    assert_ok(kj_verify_partition(&options, &verified));
    assert_int_equal(verified.records, RECORDS);
    assert_true(atoi(shell("wc -c < '%s'", in("copy/00000000000000000000.index"))) > 0);
    assert_string_equal(shell("cat '%s'", in("copy/leader-epoch-checkpoint")), "0\n1\n5 0");
    /* One that is given up. */
    assert_ok(kj_export_writer_open(dir.io, "target-0", "other", &writer));
    kj_export_writer_free(writer);
    kj_export_writer_free(NULL);
    assert_ok(kj_export_remove(dir.io, "other"));
}

/* --- failures --- */

struct failing {
    int at, count;
};

static int fail_once(void *arg, const char *op, const char *path)
{
    struct failing *failing = arg;
    (void)op, (void)path;
    return ++failing->count == failing->at ? EIO : 0;
}

/* Each call of a copy fails once; the copy then can be removed and made. */
static void each_call_fails(void **state)
{
    (void)state;
    static const int32_t epochs[] = {0, 3};
    struct kj_export_counts counts;
    assert_int_equal(kj_io_mkdir(dir.io, "t-0"), 0);
    put_segment("t-0", 0, epochs, 2);
    broker_partition(dir.path, "target", 0, NULL);
    int err = KAJA_ERR_KAFKA_STORAGE_ERROR, at = 0;
    while (err != 0) {
        struct failing failing = {.at = ++at};
        dir.io->step = fail_once;
        dir.io->step_arg = &failing;
        err = copy_to("t-0", "target-0", "copy", 6, &counts);
        dir.io->step = NULL;
        if (err != 0)
            assert_int_equal(err, KAJA_ERR_KAFKA_STORAGE_ERROR);
        else
            assert_string_equal(epochs_of("copy", 0), " 0 0");
        assert_ok(kj_export_remove(dir.io, "copy"));
    }
    assert_true(at > 20);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(golden_copied), CASE(epochs_set_down), CASE(not_a_batch),    CASE(looks),
        CASE(sameness),      CASE(written_anew),    CASE(each_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
