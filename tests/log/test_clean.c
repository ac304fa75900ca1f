/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Compaction: the rounds that Kafka's cleaner did, byte for byte; tombstones, several segments as one, a map that
 * is too small, damage.
 */
#include "fixture.h"

#include "newest.h"

#include "log/clean.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t T = FIXTURE_T;

static char *golden_dir(int round)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/kafka/logs/compact-r%d", KJ_GOLDEN_DIR, round);
    return path;
}

static void begin_compacted(struct fixture *fixture)
{
    fixture_base_in_memory();
    fixture_begin(fixture);
    fixture->config.cleanup_compact = true;
    fixture->config.cleanup_delete = false;
    fixture->config.segment_bytes = 4000;
    fixture->config.index_interval_bytes = 300;
    fixture->config.segment_index_bytes = 1200;
    fixture->config.delete_retention_ms = 1000;
}

/* One round's first half; the .cleaned files of the first group lie there afterwards. */
static void write_first_group(struct kj_log *log, int64_t first_dirty, size_t map_bytes,
                              struct kj_clean_group *ret_group, int64_t *ret_end)
{
    struct kj_clean clean;
    struct kj_clean_txns txns = {0};
    assert_ok(kj_clean_begin(log, first_dirty, 0, &clean));
    assert_ok(kj_clean_keys(&clean, map_bytes));
    assert_true(clean.segment_count > 0);
    kj_clean_next_group(&clean, 0, ret_group);
    assert_ok(kj_clean_write(&clean, &txns, ret_group));
    *ret_end = clean.end;
    ret_group->segments = NULL; /* the round's */
    kj_clean_txns_free(&txns);
    kj_clean_free(&clean);
}

static char *file_at(const char *dir, int64_t base, const char *kind)
{
    static char path[640];
    (void)snprintf(path, sizeof path, "%s/%020lld.%s", dir, (long long)base, kind);
    return path;
}

static void assert_same_file(const char *dir, const char *golden, const char *kind)
{
    char cleaned[64];
    size_t len, golden_len;
    (void)snprintf(cleaned, sizeof cleaned, "%s.cleaned", kind);
    uint8_t *bytes = slurp(file_at(dir, 0, cleaned), &len);
    uint8_t *expected = slurp(file_at(golden, 0, kind), &golden_len);
    if (expected == NULL) { /* none where there is no entry */
        assert_int_equal(len, 0);
        free(bytes);
        return;
    }
    assert_non_null(bytes);
    assert_int_equal(len, golden_len);
    assert_memory_equal(bytes, expected, len);
    free(bytes);
    free(expected);
}

/* vectors: every round cleans [0, 17). */
static void test_rounds_as_kafka(void **state)
{
    (void)state;
    static const int64_t now[] = {1000001, 1001003, 173801004, 173802006, 173803008};
    for (int round = 0; round < 5; round++) {
        struct fixture fixture;
        struct handle h;
        struct kj_clean_group group;
        int64_t end;
        char dir[128];
        begin_compacted(&fixture);
        (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
        copy_dir(golden_dir(round), dir);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, -1, 0));
        fixture.now_ms = T + now[round];
        write_first_group(h.log, 0, 1 << 20, &group, &end);
        assert_int_equal(end, 17);
        assert_int_equal(group.count, 1);
        assert_true(group.changed);
        static const char *const kinds[] = {"log", "index", "timeindex", "txnindex"};
        for (int i = 0; i < 4; i++)
            assert_same_file(dir, golden_dir(round + 1), kinds[i]);
        handle_close(&h);
        fixture_end(&fixture);
    }
}

/* A further round after the last changes nothing, and leaves no file. */
static void test_nothing_to_do(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean_group group;
    int64_t end;
    char dir[128];
    begin_compacted(&fixture);
    (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
    copy_dir(golden_dir(5), dir);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, 0));
    fixture.now_ms = T + 173804010;
    write_first_group(h.log, 0, 1 << 20, &group, &end);
    assert_false(group.changed);
    assert_int_equal(access(file_at(dir, 0, "log.cleaned"), F_OK), -1);
    assert_int_equal(access(file_at(dir, 0, "index.cleaned"), F_OK), -1);
    handle_close(&h);
    fixture_end(&fixture);
}

static void append_keyed(struct kj_log *log, int64_t timestamp, const char *key, const char *value)
{
    static struct maker maker;
    maker_begin(&maker);
    maker_add(&maker, timestamp, key, value);
    assert_ok(maker_append(&maker, log, KJ_APPEND_TRUSTED, false, NULL));
}

/* count records over `keys` keys, one a batch, flushed: so many small segments. */
static void fill(struct handle *h, int count, int keys)
{
    for (int i = 0; i < count; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "key-%d", i % keys);
        (void)snprintf(value, sizeof value, "value-%d", i);
        append_keyed(h->log, T + i, key, value);
    }
    assert_ok(kj_log_flush(h->log));
}

static void test_many_segments_become_one(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean clean;
    struct kj_clean_group group;
    begin_compacted(&fixture);
    fixture.config.segment_bytes = 400;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    fill(&h, 100, 5);
    fixture.config.segment_bytes = 4000; /* a later config */
    kj_log_set_config(h.log, &fixture.config);
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_true(clean.segment_count > 15);
    assert_ok(kj_clean_keys(&clean, 1 << 20));
    assert_int_equal(clean.end, clean.uncleanable);
    kj_clean_next_group(&clean, 0, &group);
    assert_true(group.count > 5);
    assert_true(group.count < clean.segment_count);
    int64_t bytes = 0;
    for (size_t i = 0; i < group.count; i++)
        bytes += group.segments[i].bytes;
    assert_true(bytes <= 4000);
    assert_true(bytes + group.segments[group.count].bytes > 4000);
    kj_clean_free(&clean);
    /* What the whole group leaves: nothing below the last five keys. */
    int64_t end;
    write_first_group(h.log, 0, 1 << 20, &group, &end);
    assert_true(group.changed);
    assert_int_equal(group.bytes, 0);
    handle_close(&h);
    fixture_end(&fixture);
}

/* What the map has no place for stays dirty, and stays. */
static void test_small_map(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean clean;
    begin_compacted(&fixture);
    fixture.config.segment_bytes = 20000;
    fixture.config.segment_index_bytes = 1 << 20;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    fill(&h, 3000, 3000);
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_ok(kj_clean_keys(&clean, 1));
    assert_true(clean.map.slot_count * sizeof *clean.map.slots <= 1024 * sizeof *clean.map.slots);
    assert_true(clean.end > 900 && clean.end < 1024);
    assert_true(clean.end < clean.uncleanable);
    kj_clean_free(&clean);
    handle_close(&h);
    fixture_end(&fixture);
}

/* Another process appends and cleans, round after round; whoever reads beside it, from the start each time, meets no
 * error and no offset twice. */
static void test_readers_beside(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle reader;
    char text[4096];
    int status, rounds = 0;
    begin_compacted(&fixture);
    fixture.files_max = 8; /* files are opened again and again */
    fixture.config.segment_bytes = 400;
    fixture_create_files(&fixture);
    handle_open(&reader, &fixture, true);
    assert_ok(kj_log_load(reader.log, 0, 0));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct handle h;
        struct kj_log_cleaning cleaning = {.map_bytes = 1 << 16};
        fixture.config.segment_bytes = 900;
        handle_open(&h, &fixture, false);
        if (kj_log_load(h.log, 0, 0) != 0)
            _exit(2);
        for (int i = 0; i < 40; i++) {
            fixture.config.segment_bytes = i % 2 == 0 ? 300 : 900;
            kj_log_set_config(h.log, &fixture.config);
            fill(&h, 25, 7);
            if (kj_log_clean(h.log, &cleaning) != 0)
                _exit(3);
        }
        _exit(0);
    }
    for (; waitpid(pid, &status, WNOHANG) == 0; rounds++)
        what_counts(reader.log, text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    print_message("read %d times\n", rounds);
    assert_true(rounds > 5);
    handle_close(&reader);
    fixture_end(&fixture);
}

/* True if byte `at` belongs to a leader epoch. */
static bool in_epoch(const uint8_t *bytes, size_t len, size_t at)
{
    for (size_t pos = 0; pos < len; pos += (size_t)kj_get_be32(bytes + pos + KJ_BATCH_LENGTH_AT) + 12)
        if (at >= pos + KJ_BATCH_EPOCH_AT && at < pos + KJ_BATCH_MAGIC_AT)
            return true;
    return false;
}

static int count_files(const char *dir, const char *ending)
{
    int count = 0;
    DIR *d = opendir(dir);
    struct dirent *entry;
    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        size_t n = strlen(entry->d_name), m = strlen(ending);
        count += n >= m && strcmp(entry->d_name + n - m, ending) == 0;
    }
    closedir(d);
    return count;
}

static bool told_damage(const struct fixture *fixture)
{
    char line[16];
    size_t n = (size_t)snprintf(line, sizeof line, "\n%d:", KAJA_EVENT_DAMAGE);
    return strncmp(fixture->news, line + 1, n - 1) == 0 || strstr(fixture->news, line) != NULL;
}

/* A whole round, with another handle that reads and holds views, and a third one that comes later. */
static void test_round(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h, reader, late;
    char dir[128], before[4096], after[4096];
    begin_compacted(&fixture);
    (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
    fixture.config.segment_bytes = 400;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    fill(&h, 100, 7);
    int segments = count_files(dir, ".log");
    handle_open(&reader, &fixture, false);
    assert_ok(kj_log_load(reader.log, 0, 0));
    what_counts(reader.log, before);
    struct kj_log_cursor cursor = {0};
    struct kj_log_read held = {0}, read = {0};
    assert_ok(kj_log_read(reader.log, 10, 100, 300, true, &cursor, &held));
    uint8_t copy[400];
    memcpy(copy, held.bytes, held.len);

    fixture.config.segment_bytes = 1000;
    kj_log_set_config(h.log, &fixture.config);
    struct kj_log_cleaning cleaning = {.map_bytes = 1 << 20};
    assert_ok(kj_log_clean(h.log, &cleaning));
    assert_true(cleaning.first_dirty > 80);
    assert_true(cleaning.ret_freed_bytes > 4000);
    assert_true(count_files(dir, ".log") < segments / 2);
    assert_int_equal(count_files(dir, ".swap") + count_files(dir, ".cleaned"), 0);

    assert_memory_equal(copy, held.bytes, held.len); /* what is held stays */
    kj_view_release(held.view);
    assert_ok(kj_log_read(reader.log, held.next_offset, 100, 300, true, &cursor, &read));
    assert_non_null(read.view); /* goes on, over what is gone */
    assert_true(read.next_offset > held.next_offset);
    kj_view_release(read.view);
    what_counts(reader.log, after);
    assert_string_equal(before, after);
    handle_open(&late, &fixture, false);
    assert_ok(kj_log_load(late.log, 0, 0));
    what_counts(late.log, after);
    assert_string_equal(before, after);
    append_keyed(reader.log, T + 1000, "key-1", "appended");

    /* Everybody goes without a word; the files alone, and how far it was cleaned. The topic is
     * compacted no more, or still is: that says nothing of what happened. */
    what_counts(h.log, before);
    handle_close(&late);
    handle_close(&reader);
    handle_close(&h);
    for (int i = 0; i < 2; i++) {
        fixture.config.cleanup_compact = i == 0;
        fixture.config.cleanup_delete = i == 1;
        handle_open(&h, &fixture, true);
        kj_log_set_cleaned(h.log, cleaning.first_dirty);
        assert_ok(kj_log_recover(h.log, 0, 0));
        what_counts(h.log, after);
        assert_string_equal(before, after);
        assert_int_equal(kj_log_end(h.log), 101);
        assert_false(told_damage(&fixture));
        handle_close(&h);
    }
    fixture.config.cleanup_compact = true;
    fixture.config.cleanup_delete = false;
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, -1, 0)); /* as a handle that was not told */
    what_counts(h.log, after);
    assert_true(told_damage(&fixture));
    handle_close(&h);
    fixture_end(&fixture);
}

/* --- dying --- */

struct killer {
    long left;
};

static void killer_tick(struct killer *killer)
{
    if (--killer->left <= 0)
        kill(getpid(), SIGKILL);
}

static void on_shared(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)step, (void)number, (void)name;
    killer_tick(arg);
}

static int on_io(void *arg, const char *op, const char *path)
{
    (void)op, (void)path;
    killer_tick(arg);
    return 0;
}

/* Cleans, and dies at the given step; exits 0 if it was faster. */
static void clean_and_die(struct fixture *fixture, long steps)
{
    struct handle h;
    struct killer killer = {.left = steps};
    handle_open(&h, fixture, false);
    if (kj_log_load(h.log, 0, 0) != 0)
        _exit(2);
    h.shared->step = on_shared;
    h.shared->step_arg = &killer;
    h.io->step = on_io;
    h.io->step_arg = &killer;
    struct kj_log_cleaning cleaning = {.map_bytes = 1 << 16};
    _exit(kj_log_clean(h.log, &cleaning) == 0 ? 0 : 3);
}

/* At every single step: the survivors read and append on at once, and what counts is there; in every other run
 * everybody dies, and the files alone tell it. */
static void test_dying(void **state)
{
    (void)state;
    const char *wanted = getenv("KJ_KILL_STRIDE"), *seed = getenv("KJ_SEED");
    long stride = wanted != NULL ? atol(wanted) : 4; /* 1 in the long form */
    long first = 1 + (seed != NULL ? atol(seed) : (long)time(NULL) % 1000) % stride;
    print_message("KJ_SEED=%ld\n", first - 1);
    bool ended = false;
    int runs = 0;
    for (long steps = first; !ended; steps += stride, runs++) {
        struct fixture fixture;
        struct handle h, reader;
        char before[4096], after[4096], dir[128];
        int status;
        begin_compacted(&fixture);
        (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
        fixture.config.segment_bytes = 400;
        fixture_create_files(&fixture);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, 0, 0));
        fill(&h, 24, 3);
        what_counts(h.log, before);
        handle_open(&reader, &fixture, false);
        assert_ok(kj_log_load(reader.log, 0, 0));
        what_counts(reader.log, after);
        fixture.config.segment_bytes = 1000;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            clean_and_die(&fixture, steps);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            ended = true;
        }
        what_counts(reader.log, after); /* nobody settled anything yet */
        assert_string_equal(before, after);
        if (runs % 2 == 0 || ended) {
            append_keyed(h.log, T + 100, "key-0", "survivor");
            assert_ok(kj_log_flush(h.log));
            what_counts(h.log, before);
            what_counts(reader.log, after);
            assert_string_equal(before, after);
            struct kj_log_cleaning cleaning = {.map_bytes = 1 << 16};
            assert_ok(kj_log_clean(h.log, &cleaning));
            what_counts(reader.log, after);
            assert_string_equal(before, after);
            assert_int_equal(count_files(dir, ".swap") + count_files(dir, ".cleaned"), 0);
        }
        int64_t cleaned = (int64_t)kj_log_word(h.log, KJ_SLOT_CLEANED);
        handle_close(&reader);
        handle_close(&h);
        fixture.config.cleanup_compact = false;
        handle_open(&h, &fixture, true);
        kj_log_set_cleaned(h.log, cleaned);
        assert_ok(kj_log_recover(h.log, 0, 0));
        what_counts(h.log, after);
        assert_string_equal(before, after);
        assert_int_equal(count_files(dir, ".swap") + count_files(dir, ".cleaned"), 0);
        if (told_damage(&fixture))
            fail_msg("step %ld: %s", steps, fixture.news);
        handle_close(&h);
        fixture_end(&fixture);
    }
    print_message("died at %d steps\n", runs - 1);
    assert_true(runs > 100 / stride);
}

/* One bit anywhere: the round ends before anything is written. */
static void test_damage(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean clean;
    char dir[128];
    size_t len;
    begin_compacted(&fixture);
    (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
    copy_dir(golden_dir(0), dir);
    uint8_t *bytes = slurp(file_at(dir, 0, "log"), &len);
    for (size_t at = 0; at < len; at += 5) {
        bytes[at] ^= 4;
        spit(file_at(dir, 0, "log"), bytes, len);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, -1, 0));
        assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
        int err = kj_clean_keys(&clean, 1 << 20);
        bytes[at] ^= 4;
        if (err == 0 && !in_epoch(bytes, len, at)) /* which no neighbour tells */
            fail_msg("a changed byte %zu was not noticed", at);
        if (err != 0)
            assert_true(err == KAJA_ERR_DAMAGED || err == KAJA_ERR_UNSUPPORTED_MAGIC);
        kj_clean_free(&clean);
        handle_close(&h);
    }
    free(bytes);
    fixture_end(&fixture);
}

/* An index of aborted transactions that does not fit the log must not take records away. */
static void test_lying_txn_index(void **state)
{
    (void)state;
    for (int lie = 0; lie < 4; lie++) {
        struct fixture fixture;
        struct handle h;
        struct kj_clean clean;
        char dir[128];
        size_t len;
        begin_compacted(&fixture);
        (void)snprintf(dir, sizeof dir, "%s/events-0", fixture.root);
        copy_dir(golden_dir(0), dir);
        uint8_t *bytes = slurp(file_at(dir, 0, "txnindex"), &len);
        assert_int_equal(len, KJ_TXN_ENTRY_BYTES);
        bytes[lie == 1 ? 9 : 25] ^= 1; /* producer 101, which committed; a last offset that is data */
        if (lie == 3) {                /* producer 101 and its COMMIT */
            kj_put_be64(bytes + 2, 101);
            kj_put_be64(bytes + 10, 10);
            kj_put_be64(bytes + 18, 11);
        }
        spit(file_at(dir, 0, "txnindex"), bytes, lie == 0 ? 0 : len);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, -1, 0));
        assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
        assert_int_equal(kj_clean_keys(&clean, 1 << 20), KAJA_ERR_DAMAGED);
        kj_clean_free(&clean);
        handle_close(&h);
        free(bytes);
        fixture_end(&fixture);
    }
}

/* What an open transaction, or min.compaction.lag.ms, holds back is not touched. */
static void test_bounds(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean clean;
    static struct maker maker;
    begin_compacted(&fixture);
    fixture.config.segment_bytes = 400;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    fill(&h, 20, 5);
    maker_begin(&maker);
    maker.seal = (struct kj_batch_seal){KJ_CODEC_NONE, KJ_LEVEL_DEFAULT, true, 7, 0, 0};
    maker_add(&maker, T + 20, "key-1", "open");
    assert_ok(maker_append(&maker, h.log, KJ_APPEND_TRUSTED, false, NULL));
    fill(&h, 20, 5);
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_true(clean.uncleanable > 0 && clean.uncleanable <= 20);
    kj_clean_free(&clean);
    assert_ok(append_marker(h.log, 1, 7, 0, T + 40, NULL));
    assert_ok(kj_log_flush(h.log));
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_true(clean.uncleanable > 20);
    kj_clean_free(&clean);
    fixture.now_ms = T + 1000;
    fixture.config.min_compaction_lag_ms = 990; /* records up to T + 10 are old enough */
    kj_log_set_config(h.log, &fixture.config);
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_true(clean.uncleanable > 0 && clean.uncleanable <= 11);
    kj_clean_free(&clean);
    handle_close(&h);
    fixture_end(&fixture);
}

/* Who takes the .cleaned files away takes no record with them. */
static void test_files_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    struct kj_clean clean;
    struct kj_clean_group group;
    struct kj_clean_txns txns = {0};
    bool done;
    begin_compacted(&fixture);
    fixture.config.segment_bytes = 400;
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    fill(&h, 100, 100);
    fixture.config.segment_bytes = 4000;
    kj_log_set_config(h.log, &fixture.config);
    char *before = read_all(h.log);
    assert_ok(kj_clean_begin(h.log, 0, 0, &clean));
    assert_ok(kj_clean_keys(&clean, 1 << 20));
    kj_clean_next_group(&clean, 0, &group);
    assert_true(group.count > 1);
    assert_ok(kj_clean_write(&clean, &txns, &group));
    assert_ok(kj_clean_discard(h.log, 0));
    assert_ok(kj_clean_swap(&clean, &group, 0, &done));
    assert_false(done);
    char *after = read_all(h.log);
    assert_string_equal(before, after);
    free(before);
    free(after);
    kj_clean_txns_free(&txns);
    kj_clean_free(&clean);
    handle_close(&h);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds_as_kafka),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_many_segments_become_one),
        cmocka_unit_test(test_small_map),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_dying),
        cmocka_unit_test(test_readers_beside),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_lying_txn_index),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_files_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
