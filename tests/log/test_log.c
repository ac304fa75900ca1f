/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One partition against the directories that Apache Kafka's own classes wrote: the same steps give the
 * same bytes, lookups give the same answers, recovery ends at the same place.
 */
#include "fixture.h"

#include "base/alloc.h"
#include "log/internal.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t T = FIXTURE_T;
static struct maker maker;

static void events_config(struct fixture *fixture)
{
    fixture->config.segment_bytes = 2000;
    fixture->config.index_interval_bytes = 300;
    fixture->config.segment_index_bytes = 1200;
}

static void fill(char *to, const char *head, char c, int n)
{
    size_t len = strlen(head);
    memcpy(to, head, len);
    memset(to + len, c, (size_t)n);
    to[len + (size_t)n] = 0;
}

static void plain_steps(struct kj_log *log, int64_t *line)
{
    for (int n = 0; n <= 22; n += 2) {
        char key[16], head[32], value[128];
        maker_begin(&maker);
        snprintf(key, sizeof key, "k%d", n);
        snprintf(head, sizeof head, "value-%d-", n);
        fill(value, head, 'x', 40);
        maker_add(&maker, T + *line * 10, key, value);
        snprintf(key, sizeof key, "k%d", n + 1);
        snprintf(value, sizeof value, "value-%d", n + 1);
        maker_add(&maker, T + *line * 10 + 1, key, value);
        assert_ok(maker_append(&maker, log, KJ_APPEND_CLIENT, false, NULL));
        ++*line;
    }
}

static int producer_step(struct kj_log *log, int64_t timestamp, int64_t pid, int16_t epoch, int32_t seq, bool txn,
                         const char *k1, const char *v1, const char *k2, const char *v2,
                         struct kj_append_batch *ret)
{
    maker_begin(&maker);
    maker.seal.producer_id = pid;
    maker.seal.producer_epoch = epoch;
    maker.seal.base_sequence = seq;
    maker.seal.transactional = txn;
    maker_add(&maker, timestamp, k1, v1);
    if (k2 != NULL)
        maker_add(&maker, timestamp + 1, k2, v2);
    return maker_append(&maker, log, KJ_APPEND_CLIENT, false, ret);
}

static int64_t stable(struct kj_log *log)
{
    int64_t offset;
    assert_ok(kj_log_last_stable(log, &offset));
    return offset;
}

static void write_events(struct kj_log *log)
{
    int64_t line = 0;
    struct kj_append_batch b;
    plain_steps(log, &line);
    assert_ok(producer_step(log, T + line++ * 10, 7, 0, 0, false, "i0", "idem0", "i1", "idem1", NULL));
    assert_ok(producer_step(log, T + line * 10, 7, 0, 2, false, "i2", "idem2", NULL, NULL, &b));
    assert_int_equal(b.ret_base_offset, 26);
    assert_ok(producer_step(log, T + line++ * 10, 7, 0, 2, false, "i2", "idem2", NULL, NULL, &b));
    assert_true(b.ret_duplicate);
    assert_int_equal(b.ret_base_offset, 26);
    assert_int_equal(kj_log_end(log), 27);
    assert_ok(producer_step(log, T + line++ * 10, 100, 0, 0, true, "t0", "abort-me-0", "t1", "abort-me-1", NULL));
    assert_ok(producer_step(log, T + line++ * 10, 101, 0, 0, true, "t2", "commit-me", NULL, NULL, NULL));
    assert_ok(producer_step(log, T + line++ * 10, -1, -1, -1, false, "mid", "non-txn between", NULL, NULL, &b));
    assert_int_equal(b.ret_base_offset, 30);
    assert_int_equal(stable(log), 27);
    assert_ok(append_marker(log, 0, 100, 0, T + line++ * 10, &b));
    assert_int_equal(b.ret_base_offset, 31);
    assert_int_equal(stable(log), 29);
    assert_ok(append_marker(log, 1, 101, 0, T + line++ * 10, NULL));
    assert_int_equal(stable(log), 33);
    for (int n = 24; n <= 33; n++) {
        char key[16], head[32], value[128];
        snprintf(key, sizeof key, "k%d", n);
        snprintf(head, sizeof head, "value-%d-", n);
        fill(value, head, 'y', 60);
        assert_ok(producer_step(log, T + line++ * 10, -1, -1, -1, false, key, value, NULL, NULL, NULL));
    }
    assert_ok(producer_step(log, T + line++ * 10, 102, 4, 0, true, "open", "left open", NULL, NULL, NULL));
    assert_ok(producer_step(log, T + line++ * 10, 100, 0, 2, true, "t3", "abort again", NULL, NULL, NULL));
    assert_ok(append_marker(log, 0, 100, 0, T + line++ * 10, NULL));
    assert_int_equal(kj_log_end(log), 46);
    assert_int_equal(stable(log), 43);
}

static void same_file(const char *root, const char *golden, const char *name)
{
    char a[512], b[512];
    size_t la = 0, lb = 0;
    snprintf(a, sizeof a, "%s/events-0/%s", root, name);
    snprintf(b, sizeof b, "%s/kafka/logs/%s/%s", KJ_GOLDEN_DIR, golden, name);
    uint8_t *x = slurp(a, &la), *y = slurp(b, &lb);
    if (x == NULL || y == NULL)
        fail_msg("%s: %s is missing", name, x == NULL ? "ours" : "the golden one");
    if (la != lb || memcmp(x, y, la) != 0)
        fail_msg("%s differs: %zu bytes, golden %zu", name, la, lb);
    free(x);
    free(y);
}

static void check_lookups(struct kj_log *log)
{
    static const struct {
        int64_t time, offset, found;
    } rows[] = {{-1, 0, 0},    {0, 0, 0},     {1, 1, 1},        {55, 12, 60},
                {115, 24, 120}, {300, 44, 300}, {310, 45, 310}, {320, -1, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t offset, timestamp;
        assert_ok(kj_log_offset_for_time(log, T + rows[i].time, kj_log_end(log), &offset, &timestamp));
        assert_int_equal(offset, rows[i].offset);
        assert_int_equal(timestamp, rows[i].found < 0 ? -1 : T + rows[i].found);
    }
    int64_t offset, timestamp;
    assert_ok(kj_log_offset_for_time(log, T + 130, kj_log_end(log), &offset, &timestamp));
    assert_int_equal(offset, 26);
    assert_ok(kj_log_offset_for_time(log, INT64_MAX, kj_log_end(log), &offset, &timestamp));
    assert_int_equal(offset, -1);
    assert_ok(kj_log_offset_for_time(log, -3, kj_log_end(log), &offset, &timestamp));
    assert_int_equal(offset, 45);
    assert_int_equal(timestamp, T + 310);
}

static void expect_read(struct kj_log *log, int64_t offset, size_t max, int64_t first, int64_t next, int64_t pos,
                        int count)
{
    struct kj_log_read read;
    assert_ok(kj_log_read(log, offset, kj_log_end(log), max, true, NULL, &read));
    assert_non_null(read.view);
    struct kj_batch batch;
    kj_batch_decode(read.bytes, &batch);
    assert_int_equal(batch.base_offset, first);
    assert_int_equal(read.next_offset, next);
    assert_int_equal(read.batch_count, count);
    if (pos >= 0)
        assert_int_equal(read.pos, pos);
    kj_view_release(read.view);
}

static void check_reads(struct kj_log *log)
{
    struct kj_log_read read;
    expect_read(log, 0, 1, 0, 2, 0, 1);
    expect_read(log, 1, 1, 0, 2, 0, 1);
    expect_read(log, 26, 200, 26, 29, 1725, 2);
    expect_read(log, 29, 1 << 20, 29, 30, -1, 1);
    assert_ok(kj_log_read(log, 46, 46, 100, true, NULL, &read));
    assert_null(read.view);
    assert_err(kj_log_read(log, 47, 100, 100, true, NULL, &read), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    assert_err(kj_log_read(log, -1, 100, 100, true, NULL, &read), KAJA_ERR_OFFSET_OUT_OF_RANGE);
}

static int note_aborted(void *arg, const struct kj_txn_entry *entry)
{
    char *text = arg;
    sprintf(text + strlen(text), "(%lld,%lld)", (long long)entry->producer_id, (long long)entry->first_offset);
    return 0;
}

static void expect_aborted(struct kj_log *log, int64_t from, int64_t to, const char *expected)
{
    char text[256] = "";
    assert_ok(kj_log_aborted(log, from, to, note_aborted, text));
    assert_string_equal(text, expected);
}

static void test_same_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle handle;
    fixture_begin(&fixture);
    events_config(&fixture);
    fixture_create_files(&fixture);
    handle_open(&handle, &fixture, true);
    assert_ok(kj_log_load(handle.log, 0, 0));
    write_events(handle.log);
    check_lookups(handle.log);
    check_reads(handle.log);
    expect_aborted(handle.log, 0, 30, "(100,27)");
    expect_aborted(handle.log, 28, 30, "(100,27)");
    expect_aborted(handle.log, 31, 43, "(100,27)");
    expect_aborted(handle.log, 32, 43, "");
    assert_ok(kj_log_close_clean(handle.log));
    handle_close(&handle);
    static const char *const names[] = {
        "00000000000000000000.log",       "00000000000000000000.index",   "00000000000000000000.timeindex",
        "00000000000000000030.log",       "00000000000000000030.index",   "00000000000000000030.timeindex",
        "00000000000000000030.txnindex",  "leader-epoch-checkpoint",      "partition.metadata",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        same_file(fixture.root, "events", names[i]);

    /* And again from the files alone. */
    handle_open(&handle, &fixture, true);
    assert_ok(kj_log_load(handle.log, 46, 0));
    assert_int_equal(kj_log_end(handle.log), 46);
    assert_int_equal(stable(handle.log), 43);
    check_lookups(handle.log);
    check_reads(handle.log);
    handle_close(&handle);
    fixture_end(&fixture);
}

static void open_golden(struct fixture *fixture, const char *name)
{
    char from[512], to[512];
    fixture_begin(fixture);
    events_config(fixture);
    snprintf(from, sizeof from, "%s/kafka/logs/%s", KJ_GOLDEN_DIR, name);
    snprintf(to, sizeof to, "%s/events-0", fixture->root);
    copy_dir(from, to);
}

/* Kafka's directory copied while it was open: indexes full of zeros, no clean stop. */
static void test_recover_open(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle handle;
    open_golden(&fixture, "events-open");
    handle_open(&handle, &fixture, true);
    assert_ok(kj_log_recover(handle.log, 0, 0));
    assert_int_equal(kj_log_end(handle.log), 46);
    assert_int_equal(stable(handle.log), 43);
    check_lookups(handle.log);
    check_reads(handle.log);
    assert_ok(kj_log_close_clean(handle.log));
    handle_close(&handle);
    same_file(fixture.root, "events", "00000000000000000030.index");
    same_file(fixture.root, "events", "00000000000000000030.timeindex");
    same_file(fixture.root, "events", "00000000000000000030.txnindex");
    fixture_end(&fixture);
}

static void test_recover_damaged_tail(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle handle;
    open_golden(&fixture, "recover-before");
    handle_open(&handle, &fixture, true);
    assert_ok(kj_log_recover(handle.log, 0, 0));
    assert_int_equal(kj_log_end(handle.log), 45);
    const struct kj_producer *p = kj_producers_find(handle.log->producers, 100);
    assert_non_null(p);
    assert_int_equal(p->txn_first_offset, 44);
    handle_close(&handle);
    static const char *const names[] = {
        "00000000000000000030.log",       "00000000000000000030.index",  "00000000000000000030.timeindex",
        "00000000000000000030.txnindex",  "00000000000000000000.index",  "00000000000000000000.timeindex",
        "00000000000000000000.log",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        same_file(fixture.root, "recover-after", names[i]);
    char path[512];
    size_t len;
    snprintf(path, sizeof path, "%s/events-0/00000000000000000030.snapshot", fixture.root);
    uint8_t *bytes = slurp(path, &len);
    assert_non_null(bytes);
    free(bytes);
    snprintf(path, sizeof path, "%s/events-0/00000000000000000045.snapshot", fixture.root);
    bytes = slurp(path, &len);
    assert_non_null(bytes);
    free(bytes);
    fixture_end(&fixture);
}

/* Two handles take turns; each finds what the other wrote, across rolls. */
static void test_two_handles(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle a, b;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 500;
    fixture_create_files(&fixture);
    handle_open(&a, &fixture, true);
    assert_ok(kj_log_load(a.log, 0, 0));
    handle_open(&b, &fixture, false);
    assert_ok(kj_log_load(b.log, 0, 0));
    for (int i = 0; i < 200; i++) {
        char value[32];
        snprintf(value, sizeof value, "v%d", i);
        assert_int_equal(append_one(i % 3 == 0 ? b.log : a.log, T + i, value, i % 7 == 0), i);
    }
    assert_int_equal(kj_log_end(b.log), 200);
    assert_ok(kj_log_flush(b.log));
    assert_int_equal(kj_log_high_watermark(a.log), 200);
    char *x = read_all(a.log), *y = read_all(b.log);
    assert_string_equal(x, y);
    char *at = x;
    for (int i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "%d:v%d\n", i, i);
        assert_int_equal(strncmp(at, line, strlen(line)), 0);
        at += strlen(line);
    }
    assert_int_equal(*at, 0);
    free(x);
    free(y);
    handle_close(&a);
    assert_ok(kj_log_close_clean(b.log));
    handle_close(&b);
    fixture_end(&fixture);
}

/* A cache too small for the segments that wait for a flush: making room inside a flush must not wait for
 * that flush. */
static void test_few_files(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture.files_max = 8;
    fixture.config.segment_bytes = 200;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (int i = 0; i < 120; i++)
        assert_int_equal(append_one(h.log, T + i, "vv", true), i);
    assert_ok(kj_log_flush(h.log));
    assert_int_equal(kj_log_durable(h.log), 120);
    assert_true(kj_file_cache_open_files(h.files) <= 16); /* what is pinned comes on top */
    handle_close(&h);
    fixture_end(&fixture);
}

static void test_readable_at_its_level(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "one", false);
    assert_int_equal(kj_log_high_watermark(h.log), 1);
    append_one(h.log, T, "all", true);
    assert_int_equal(kj_log_high_watermark(h.log), 1); /* not before its flush */
    append_one(h.log, T, "one behind all", false);
    assert_int_equal(kj_log_high_watermark(h.log), 1);
    assert_true(kj_log_flush_due(h.log));
    assert_ok(kj_log_flush(h.log));
    assert_int_equal(kj_log_high_watermark(h.log), 3);
    assert_int_equal(kj_log_durable(h.log), 3);
    assert_false(kj_log_flush_due(h.log));
    handle_close(&h);
    fixture_end(&fixture);
}

static void test_retention_by_size(void **state)
{
    (void)state;
    static const struct {
        int64_t limit;
        int deleted;
    } rows[] = {{350, 0}, {349, 0}, {280, 1}, {141, 2}, {140, 3}, {139, 3}, {70, 4}, {1, 4}, {0, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        struct handle h;
        int64_t freed;
        fixture_begin(&fixture);
        fixture.config.segment_bytes = 139;
        fixture.config.retention_ms = -1;
        fixture.config.retention_bytes = rows[i].limit;
        fixture_create_files(&fixture);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, 0, 0));
        for (int n = 0; n < 5; n++)
            append_one(h.log, T, "vv", false); /* 70 bytes */
        struct kj_log_stats stats;
        assert_ok(kj_log_get_stats(h.log, &stats));
        assert_int_equal(stats.bytes, 350);
        assert_int_equal(stats.segment_count, 5);
        assert_ok(kj_log_retain(h.log, &freed));
        assert_int_equal(freed, 70 * rows[i].deleted);
        assert_int_equal(kj_log_start(h.log), rows[i].deleted);
        assert_ok(kj_log_retain(h.log, &freed));
        assert_int_equal(freed, 0);
        handle_close(&h);
        fixture_end(&fixture);
    }
}

static void test_retention_by_time(void **state)
{
    (void)state;
    static const int64_t ages[] = {5000, 1000, 4000, 3000};
    struct fixture fixture;
    struct handle h;
    int64_t freed;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 139;
    fixture.config.retention_ms = 1000;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (size_t i = 0; i < 4; i++)
        append_one(h.log, T - ages[i], "vv", false);
    assert_ok(kj_log_retain(h.log, &freed));
    assert_int_equal(kj_log_start(h.log), 1);
    fixture.now_ms = T + 1;
    assert_ok(kj_log_retain(h.log, &freed));
    assert_int_equal(kj_log_start(h.log), 4);
    assert_int_equal(kj_log_end(h.log), 4);
    struct kj_log_stats stats;
    assert_ok(kj_log_get_stats(h.log, &stats));
    assert_int_equal(stats.segment_count, 1);
    assert_int_equal(stats.bytes, 0);
    assert_ok(kj_log_retain(h.log, &freed));
    assert_int_equal(freed, 0);
    assert_int_equal(append_one(h.log, T, "vv", false), 4);
    handle_close(&h);
    fixture_end(&fixture);
}

static void test_delete_records(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    int64_t start;
    struct kj_log_read read;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 139;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (int i = 0; i < 3; i++)
        append_one(h.log, T, "vv", false);
    assert_err(kj_log_delete_records(h.log, 4, &start), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    assert_ok(kj_log_delete_records(h.log, -1, &start));
    assert_int_equal(start, 3);
    assert_err(kj_log_read(h.log, 2, 3, 100, true, NULL, &read), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    struct kj_log_stats stats;
    assert_ok(kj_log_get_stats(h.log, &stats));
    assert_int_equal(stats.segment_count, 1);
    assert_ok(kj_log_delete_records(h.log, 1, &start)); /* below: no change, success */
    assert_int_equal(start, 3);
    handle_close(&h);
    fixture_end(&fixture);
}

static int segments_of(struct kj_log *log)
{
    struct kj_log_stats stats;
    assert_ok(kj_log_get_stats(log, &stats));
    return stats.segment_count;
}

static void test_rolling(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 140;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "vv", false);
    append_one(h.log, T, "vv", false); /* filled exactly */
    assert_int_equal(segments_of(h.log), 1);
    append_one(h.log, T, "vv", false);
    assert_int_equal(segments_of(h.log), 2);
    handle_close(&h);
    fixture_end(&fixture);

    fixture_begin(&fixture);
    fixture.config.segment_ms = 1000;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "vv", false);
    append_one(h.log, T + 1000, "vv", false);
    assert_int_equal(segments_of(h.log), 1);
    append_one(h.log, T + 1001, "vv", false);
    assert_int_equal(segments_of(h.log), 2);
    append_one(h.log, T + 500, "vv", false);
    fixture.now_ms += 5000; /* wall clock alone does not roll */
    append_one(h.log, T + 1400, "vv", false);
    assert_int_equal(segments_of(h.log), 2);
    handle_close(&h);
    fixture_end(&fixture);

    fixture_begin(&fixture);
    fixture.config.segment_index_bytes = 24;
    fixture.config.index_interval_bytes = 1;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (int i = 0; i < 6; i++)
        append_one(h.log, T + i, "vv", false);
    assert_int_equal(segments_of(h.log), 3);
    handle_close(&h);
    fixture_end(&fixture);
}

/* An entry only when more than the interval went by, not when exactly that much did. */
static void test_index_interval(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_tail tail;
    fixture_begin(&fixture);
    fixture.config.index_interval_bytes = 70;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (int i = 0; i < 5; i++) {
        static const int64_t counts[] = {0, 0, 1, 1, 2};
        append_one(h.log, T + i, "vv", false);
        assert_true(kj_tail_load(h.log, &tail));
        assert_int_equal(tail.index_count, counts[i]);
        assert_int_equal(tail.time_count, counts[i]);
    }
    handle_close(&h);
    fixture_end(&fixture);
}

/* Retention never passes the high watermark: what nobody could read yet stays. */
static void test_retention_spares_unflushed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    int64_t freed;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 139;
    fixture.config.retention_bytes = 0;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "vv", false);
    append_one(h.log, T, "vv", true);
    append_one(h.log, T, "vv", true);
    assert_int_equal(kj_log_high_watermark(h.log), 1);
    assert_ok(kj_log_retain(h.log, &freed));
    assert_int_equal(kj_log_start(h.log), 1);
    assert_ok(kj_log_flush(h.log));
    assert_ok(kj_log_retain(h.log, &freed));
    assert_int_equal(kj_log_start(h.log), 3);
    handle_close(&h);
    fixture_end(&fixture);
}

/* A writer killed in the middle of a write leaves a batch whose header is whole: nobody may see it. */
static void test_read_only_torn(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_tail tail;
    char path[256];
    fixture_begin(&fixture);
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "whole", false);
    assert_true(kj_tail_load(h.log, &tail));
    append_one(h.log, T, "torn in the middle of its value", false);
    handle_close(&h);
    snprintf(path, sizeof path, "%s/events-0/00000000000000000000.log", fixture.root);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)tail.pos + 70, SEEK_SET);
    assert_int_equal(fwrite("\0\0\0\0\0\0\0\0", 1, 8, f), 8);
    fclose(f);
    handle_open(&h, &fixture, true);
    struct kj_log_options options = {.env = &h.env, .topic = "events", .dir = "events-0", .slot = UINT32_MAX,
                                     .config = fixture.config};
    struct kj_log *reader;
    h.env.read_only = true;
    assert_ok(kj_log_new(&options, &reader));
    assert_ok(kj_log_load(reader, -1, 0));
    assert_int_equal(kj_log_end(reader), 1);
    char *text = read_all(reader);
    assert_string_equal(text, "0:whole\n");
    free(text);
    kj_log_free(reader);
    handle_close(&h);
    fixture_end(&fixture);
}

static int64_t size_of(const struct fixture *fixture, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/events-0/%s", fixture->root, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void test_preallocate(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 140;
    fixture.config.preallocate = true;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "vv", false);
    assert_int_equal(size_of(&fixture, "00000000000000000000.log"), 140); /* the first one too */
    for (int i = 1; i < 5; i++)
        append_one(h.log, T, "vv", false);
    assert_int_equal(size_of(&fixture, "00000000000000000002.log"), 140);
    assert_int_equal(size_of(&fixture, "00000000000000000004.log"), 140); /* 70 of it used */
    assert_ok(kj_log_close_clean(h.log));
    assert_int_equal(size_of(&fixture, "00000000000000000004.log"), 70);
    handle_close(&h);
    fixture_end(&fixture);
}

static int lists_until_failure;

static int fail_list(void *arg, const char *op, const char *path)
{
    (void)arg, (void)path;
    return strcmp(op, "list") == 0 && lists_until_failure > 0 && --lists_until_failure == 0 ? EMFILE : 0;
}

/* A roll whose new segment this handle cannot see: nothing is written over the old one. */
static void test_roll_not_seen(void **state)
{
    (void)state;
    for (int at = 1; at <= 3; at++) {
        struct fixture fixture;
        struct handle h;
        char value[301];
        fixture_begin(&fixture);
        fixture.config.segment_bytes = 1000;
        fixture_create_files(&fixture);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, -1, -1));
        memset(value, 'a', 300);
        value[300] = 0;
        append_one(h.log, T, value, false);
        append_one(h.log, T, value, false);
        char *before = read_all(h.log);
        lists_until_failure = at;
        h.io->step = fail_list;
        int good = 0;
        for (int i = 0; i < 4; i++) {
            maker_begin(&maker);
            maker_add(&maker, T, NULL, value);
            good += maker_append(&maker, h.log, KJ_APPEND_TRUSTED, false, NULL) == 0;
        }
        h.io->step = NULL;
        assert_true(good >= 3);
        assert_int_equal(kj_log_end(h.log), 2 + good);
        char *after = read_all(h.log);
        assert_int_equal(strncmp(before, after, strlen(before)), 0);
        free(before);
        free(after);
        handle_close(&h);
        fixture_end(&fixture);
    }
}

/* count batches of one record, 300 bytes each, a day apart if days. */
static void make_batches(struct kj_append_batch *batches, int count, bool days)
{
    static struct maker makers[20];
    static struct kj_buffer out;
    char value[301];
    memset(value, 'a', 300);
    value[300] = 0;
    memset(batches, 0, (size_t)count * sizeof *batches);
    for (int i = 0; i < count; i++) {
        maker_begin(&makers[i]);
        maker_add(&makers[i], T + (days ? i * INT64_C(86400000) : 0), NULL, value);
        assert_ok(kj_batch_writer_seal(&makers[i].writer, &makers[i].seal, &out, &batches[i].bytes,
                                       &batches[i].len));
        batches[i].ret_base_offset = -1;
    }
}

static long allocations_until_failure;

static int fail_allocation(void *arg)
{
    (void)arg;
    return allocations_until_failure > 0 && --allocations_until_failure == 0;
}

/* Whichever allocation of an append fails: a batch without error is in the log. */
static void test_append_out_of_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (long at = 1; at < 100; at++) {
        struct fixture fixture;
        struct handle h;
        struct kj_append_batch batches[20];
        fixture_begin(&fixture);
        fixture.config.index_interval_bytes = 100;
        fixture_create_files(&fixture);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, -1, -1));
        append_one(h.log, T, "x", false);
        make_batches(batches, 20, false);
        allocations_until_failure = at;
        kj_alloc_set_hook(fail_allocation, NULL);
        failures += kj_log_append(h.log, batches, 20, KJ_APPEND_TRUSTED) != 0;
        kj_alloc_set_hook(NULL, NULL);
        bool over = allocations_until_failure > 0;
        allocations_until_failure = 0;
        for (int i = 0; i < 20; i++)
            assert_true(batches[i].ret_error != 0 || batches[i].ret_base_offset < kj_log_end(h.log));
        handle_close(&h);
        fixture_end(&fixture);
        if (over)
            break;
    }
    assert_true(failures > 0);
}

/* segment.ms goes by the first batch, also if that came in one write with others. */
static void test_roll_by_time_after_a_group(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_log_stats stats;
    struct kj_append_batch batches[4];
    fixture_begin(&fixture);
    fixture.config.segment_ms = 60000;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, -1));
    make_batches(batches, 2, false);
    assert_ok(kj_log_append(h.log, batches, 2, KJ_APPEND_TRUSTED));
    for (int i = 1; i <= 3; i++)
        append_one(h.log, T + i * INT64_C(86400000), "w", false);
    assert_ok(kj_log_get_stats(h.log, &stats));
    assert_int_equal(stats.segment_count, 4);
    handle_close(&h);
    fixture_end(&fixture);

    fixture_begin(&fixture); /* and within one append */
    fixture.config.segment_ms = 60000;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, -1));
    make_batches(batches, 4, true);
    assert_ok(kj_log_append(h.log, batches, 4, KJ_APPEND_TRUSTED));
    assert_ok(kj_log_get_stats(h.log, &stats));
    assert_int_equal(stats.segment_count, 4);
    handle_close(&h);
    fixture_end(&fixture);
}

static int lists;

static int count_lists(void *arg, const char *op, const char *path)
{
    (void)arg, (void)path;
    lists += strcmp(op, "list") == 0;
    return 0;
}

/* Many segments go without a look at the directory for each. */
static void test_deleting_many(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    int64_t start;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 80;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, -1));
    for (int i = 0; i < 60; i++)
        append_one(h.log, T, "w", false);
    h.io->step = count_lists;
    assert_ok(kj_log_delete_records(h.log, 50, &start));
    h.io->step = NULL;
    assert_int_equal(start, 50);
    assert_true(lists <= 4);
    assert_int_equal(size_of(&fixture, "00000000000000000049.log"), -1);
    assert_int_equal(size_of(&fixture, "00000000000000000050.log") > 0, 1);
    char *left = read_all(h.log);
    assert_int_equal(strncmp(left, "50:w\n", 5), 0);
    free(left);
    handle_close(&h);
    fixture_end(&fixture);
}

/* A log start behind the end of a log that was closed cleanly is no reason to delete it. */
static void test_log_start_behind_the_end(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 140;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, -1));
    for (int i = 0; i < 5; i++)
        append_one(h.log, T, "vv", false);
    assert_ok(kj_log_close_clean(h.log));
    handle_close(&h);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 5, 99999));
    assert_int_equal(kj_log_start(h.log), 0);
    assert_int_equal(kj_log_end(h.log), 5);
    handle_close(&h);
    fixture_end(&fixture);
}

/* A segment's name that leaves no offsets: an error, not an overflow. */
static void test_last_offsets(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    char from[256], to[256];
    fixture_begin(&fixture);
    fixture_create_files(&fixture);
    snprintf(from, sizeof from, "%s/events-0/00000000000000000000.log", fixture.root);
    snprintf(to, sizeof to, "%s/events-0/09223372036854775800.log", fixture.root);
    assert_int_equal(rename(from, to), 0);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, -1));
    maker_begin(&maker);
    maker_add(&maker, T, NULL, "v");
    assert_err(maker_append(&maker, h.log, KJ_APPEND_CLIENT, false, NULL), KAJA_ERR_DAMAGED);
    handle_close(&h);
    fixture_end(&fixture);
}

static void test_limits(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture.config.max_message_bytes = 70;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    maker_begin(&maker);
    maker_add(&maker, T, NULL, "vv");
    assert_ok(maker_append(&maker, h.log, KJ_APPEND_CLIENT, false, NULL));
    maker_begin(&maker);
    maker_add(&maker, T, NULL, "vvv");
    assert_err(maker_append(&maker, h.log, KJ_APPEND_CLIENT, false, NULL), KAJA_ERR_RECORD_TOO_LARGE);
    struct kj_log_config config = fixture.config;
    config.segment_bytes = 69;
    kj_log_set_config(h.log, &config);
    maker_begin(&maker);
    maker_add(&maker, T, NULL, "vv");
    assert_err(maker_append(&maker, h.log, KJ_APPEND_CLIENT, false, NULL), KAJA_ERR_RECORD_LIST_TOO_LARGE);
    handle_close(&h);
    fixture_end(&fixture);
}

static int told(const struct fixture *fixture, const char *text)
{
    int count = 0;
    for (const char *at = fixture->news; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

/* Records that were acknowledged are missing between two segments after an orderly stop: who reads over
 * the place is told once, and reads on. Not where compaction may have been, nor below the log start. */
static void test_gap_told(void **state)
{
    (void)state;
    static const char *const how[] = {"rm", ": >", "truncate -s"};
    for (int i = 0; i < 7; i++) {
        struct fixture f;
        struct handle h;
        char command[256];
        fixture_begin(&f);
        f.config.segment_bytes = 300;
        fixture_create_files(&f);
        handle_open(&h, &f, true);
        assert_ok(kj_log_load(h.log, -1, -1));
        for (int n = 0; n < 20; n++)
            append_one(h.log, T + n, "value", false);
        int64_t second = h.log->segments[1]->base_offset, third = h.log->segments[2]->base_offset;
        int64_t batch;
        assert_ok(kj_segment_bytes(h.log->segments[1], &batch));
        batch /= third - second;
        assert_ok(kj_log_close_clean(h.log));
        handle_close(&h);
        char size[24] = "";
        if (i % 3 == 2)
            snprintf(size, sizeof size, "%lld", (long long)batch);
        snprintf(command, sizeof command, "%s %s %s/events-0/%020lld.log", how[i % 3], size, f.root,
                 (long long)second);
        assert_int_equal(system(command), 0);
        f.config.cleanup_compact = i == 1; /* which says nothing of what happened */
        f.adopted = i == 5;
        handle_open(&h, &f, true);
        kj_log_set_cleaned(h.log, i == 4 ? third : i == 6 ? third - 1 : 0);
        assert_ok(kj_log_load(h.log, 20, i == 3 ? third : -1));
        for (int round = 0; round < 2; round++) {
            char *all = read_all(h.log);
            assert_non_null(strstr(all, "19:value"));
            free(all);
        }
        char text[128];
        snprintf(text, sizeof text, "offsets %lld to %lld in front of events-0/%020lld.log are lost",
                 (long long)(i % 3 == 2 ? second + 1 : second), (long long)third - 1, (long long)third);
        bool wanted = i < 3 || i == 6;
        if (told(&f, "lost") != wanted || told(&f, text) != wanted)
            fail_msg("%d: wanted %s\n%s", i, text, f.news);
        handle_close(&h);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_recover_open),
        cmocka_unit_test(test_recover_damaged_tail),
        cmocka_unit_test(test_two_handles),
        cmocka_unit_test(test_few_files),
        cmocka_unit_test(test_readable_at_its_level),
        cmocka_unit_test(test_retention_by_size),
        cmocka_unit_test(test_retention_by_time),
        cmocka_unit_test(test_delete_records),
        cmocka_unit_test(test_rolling),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_gap_told),
        cmocka_unit_test(test_read_only_torn),
        cmocka_unit_test(test_preallocate),
        cmocka_unit_test(test_log_start_behind_the_end),
        cmocka_unit_test(test_deleting_many),
        cmocka_unit_test(test_last_offsets),
        cmocka_unit_test(test_roll_not_seen),
        cmocka_unit_test(test_append_out_of_memory),
        cmocka_unit_test(test_roll_by_time_after_a_group),
        cmocka_unit_test(test_index_interval),
        cmocka_unit_test(test_retention_spares_unflushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
