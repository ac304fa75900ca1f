/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The three index files: against Kafka's, and lookups against a plain walk.
 */
#include "golden_logs.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "log/file_names.h"
#include "log/index.h"

#include <errno.h>

static struct temp_dir dir;

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

static struct kj_file *file_of(const void *bytes, size_t len)
{
    struct kj_file *file;
    temp_dir_put(&dir, "index", bytes, len);
    assert_int_equal(kj_io_open(dir.io, "index", KJ_IO_READ, &file), 0);
    return file;
}

static int64_t base_of(const char *name)
{
    return strtoll(name, NULL, 10);
}

/* --- golden files --- */

static void check_rest(const uint8_t *bytes, size_t at, size_t len, const char *line,
                       size_t entry_bytes)
{
    size_t zeros = line != NULL ? (size_t)golden_number(line, "entries") : 0;
    assert_int_equal(len - at, zeros * entry_bytes);
    for (size_t i = at; i < len; i++)
        assert_int_equal(bytes[i], 0);
}

static void golden_offset_index(const struct golden_file *golden)
{
    size_t len, at = 0;
    uint8_t *bytes = golden_file_bytes(golden, &len), out[KJ_OFFSET_ENTRY_BYTES];
    struct kj_file *file = file_of(bytes, len);
    int64_t base = base_of(golden->name);
    char *line, *p = golden->at;
    uint32_t i = 0;
    for (; (line = golden_line(&p)) != NULL && golden_is(line, "offset_entry"); i++) {
        struct kj_offset_entry entry;
        kj_offset_entry_decode(bytes + at, base, &entry);
        assert_int_equal(entry.offset, golden_number(line, "offset"));
        assert_int_equal(entry.pos, golden_number(line, "position"));
        kj_offset_entry_encode(&entry, base, out);
        assert_memory_equal(out, bytes + at, sizeof out);
        at += sizeof out;
        /* Found by its own offset, not by the one before. */
        int64_t found;
        struct kj_offset_entry other;
        assert_int_equal(kj_offset_index_lookup(file, base, i + 1, entry.offset, &found, &other),
                         0);
        assert_int_equal(found, i);
        assert_int_equal(other.pos, entry.pos);
        assert_int_equal(
            kj_offset_index_lookup(file, base, i + 1, entry.offset - 1, &found, &other), 0);
        assert_int_equal(found, (int64_t)i - 1);
    }
    check_rest(bytes, at, len, line, sizeof out);
    kj_io_close(file);
    free(bytes);
}

static void golden_time_index(const struct golden_file *golden)
{
    size_t len, at = 0;
    uint8_t *bytes = golden_file_bytes(golden, &len), out[KJ_TIME_ENTRY_BYTES];
    struct kj_file *file = file_of(bytes, len);
    int64_t base = base_of(golden->name);
    char *line, *p = golden->at;
    uint32_t i = 0;
    for (; (line = golden_line(&p)) != NULL && golden_is(line, "time_entry"); i++) {
        struct kj_time_entry entry;
        assert_int_equal(kj_time_index_read(file, base, i, &entry), 0);
        assert_int_equal(entry.timestamp, golden_number(line, "timestamp"));
        assert_int_equal(entry.offset, golden_number(line, "offset"));
        kj_time_entry_encode(&entry, base, out);
        assert_memory_equal(out, bytes + at, sizeof out);
        at += sizeof out;
        int64_t found;
        struct kj_time_entry other;
        assert_int_equal(kj_time_index_lookup(file, base, i + 1, entry.timestamp, &found, &other),
                         0);
        assert_int_equal(found, i);
        assert_int_equal(other.offset, entry.offset);
        assert_int_equal(
            kj_time_index_lookup(file, base, i + 1, entry.timestamp - 1, &found, &other), 0);
        assert_int_equal(found, (int64_t)i - 1);
    }
    check_rest(bytes, at, len, line, sizeof out);
    kj_io_close(file);
    free(bytes);
}

struct txn_list {
    struct kj_txn_entry entries[8];
    uint32_t count;
};

static int take_txn(void *arg, const struct kj_txn_entry *entry)
{
    struct txn_list *list = arg;
    assert_true(list->count < 8);
    list->entries[list->count++] = *entry;
    return 0;
}

static void golden_txn_index(const struct golden_file *golden)
{
    size_t len;
    uint8_t *bytes = golden_file_bytes(golden, &len), out[KJ_TXN_ENTRY_BYTES];
    struct kj_file *file = file_of(bytes, len);
    struct txn_list list = {.count = 0};
    assert_int_equal(len % KJ_TXN_ENTRY_BYTES, 0);
    assert_ok(kj_txn_index_walk(file, base_of(golden->name), (uint32_t)(len / KJ_TXN_ENTRY_BYTES),
                                take_txn, &list));
    char *line, *p = golden->at;
    uint32_t i = 0;
    for (; (line = golden_line(&p)) != NULL; i++) {
        assert_true(i < list.count && golden_is(line, "aborted_txn"));
        const struct kj_txn_entry *entry = &list.entries[i];
        assert_int_equal(golden_number(line, "version"), 0);
        assert_int_equal(entry->producer_id, golden_number(line, "producer_id"));
        assert_int_equal(entry->first_offset, golden_number(line, "first_offset"));
        assert_int_equal(entry->last_offset, golden_number(line, "last_offset"));
        assert_int_equal(entry->last_stable_offset, golden_number(line, "last_stable_offset"));
        kj_txn_entry_encode(entry, out);
        assert_memory_equal(out, bytes + (size_t)i * sizeof out, sizeof out);
    }
    assert_int_equal(i, list.count);
    kj_io_close(file);
    free(bytes);
}

static void test_golden(void **state)
{
    (void)state;
    assert_int_equal(golden_logs_each(".index", golden_offset_index), 20);
    assert_int_equal(golden_logs_each(".timeindex", golden_time_index), 19);
    assert_int_equal(golden_logs_each(".txnindex", golden_txn_index), 8);
}

/* --- lookups against a walk --- */

enum { ENTRIES_MAX = 3000 };

static void test_offset_lookup(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    uint8_t *bytes = malloc(ENTRIES_MAX * KJ_OFFSET_ENTRY_BYTES);
    static const uint32_t counts[] = {0,   1,    2,    3,    511,  512,  513,
                                      514, 1023, 1024, 1025, 1026, 1537, 3000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        uint32_t count = counts[c];
        int64_t base = (int64_t)(kjtest_random(&random) >> 2), offset = base, pos = 0;
        for (uint32_t i = 0; i < count; i++) {
            offset += 1 + (int64_t)(kjtest_random(&random) % 5);
            pos += 61 + (int64_t)(kjtest_random(&random) % 1000);
            kj_offset_entry_encode(&(struct kj_offset_entry){offset, pos}, base,
                                   bytes + (size_t)i * KJ_OFFSET_ENTRY_BYTES);
        }
        struct kj_file *file = file_of(bytes, (size_t)count * KJ_OFFSET_ENTRY_BYTES);
        for (int round = 0; round < 400; round++) {
            uint64_t r = kjtest_random(&random);
            int64_t target = round == 0   ? INT64_MIN
                             : round == 1 ? INT64_MAX
                             : round == 2 ? base - 1
                                          : base - 2 + (int64_t)(r % (uint64_t)(offset - base + 6));
            int64_t want = -1, got_i = -9;
            struct kj_offset_entry want_entry = {base, 0}, entry = {-9, -9};
            for (uint32_t i = 0; i < count; i++) {
                struct kj_offset_entry at;
                kj_offset_entry_decode(bytes + (size_t)i * KJ_OFFSET_ENTRY_BYTES, base, &at);
                if (at.offset <= target) {
                    want = i;
                    want_entry = at;
                }
            }
            assert_int_equal(kj_offset_index_lookup(file, base, count, target, &got_i, &entry), 0);
            assert_int_equal(got_i, want);
            assert_int_equal(entry.offset, want_entry.offset);
            assert_int_equal(entry.pos, want_entry.pos);
        }
        kj_io_close(file);
    }
    free(bytes);
}

static void test_time_lookup(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    uint8_t *bytes = malloc(ENTRIES_MAX * KJ_TIME_ENTRY_BYTES);
    static const uint32_t counts[] = {0,   1,   2,   340, 341,  342,  343,
                                      681, 682, 683, 684, 1023, 1024, 3000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        uint32_t count = counts[c];
        int64_t base = (int64_t)(kjtest_random(&random) >> 2), offset = base, time = -500;
        for (uint32_t i = 0; i < count; i++) {
            offset += (int64_t)(kjtest_random(&random) % 5);
            time += 1 + (int64_t)(kjtest_random(&random) % 7);
            kj_time_entry_encode(&(struct kj_time_entry){time, offset}, base,
                                 bytes + (size_t)i * KJ_TIME_ENTRY_BYTES);
        }
        struct kj_file *file = file_of(bytes, (size_t)count * KJ_TIME_ENTRY_BYTES);
        for (int round = 0; round < 400; round++) {
            uint64_t r = kjtest_random(&random);
            int64_t target = round == 0   ? INT64_MIN
                             : round == 1 ? INT64_MAX
                                          : -510 + (int64_t)(r % (uint64_t)(time + 520));
            int64_t want = -1, got_i = -9;
            struct kj_time_entry want_entry = {-1, base}, entry = {-9, -9};
            for (uint32_t i = 0; i < count; i++) {
                struct kj_time_entry at;
                kj_time_entry_decode(bytes + (size_t)i * KJ_TIME_ENTRY_BYTES, base, &at);
                if (at.timestamp <= target) {
                    want = i;
                    want_entry = at;
                }
            }
            assert_int_equal(kj_time_index_lookup(file, base, count, target, &got_i, &entry), 0);
            assert_int_equal(got_i, want);
            assert_int_equal(entry.timestamp, want_entry.timestamp);
            assert_int_equal(entry.offset, want_entry.offset);
        }
        kj_io_close(file);
    }
    free(bytes);
}

/* --- the file is hostile --- */

static int reads;

static int count_reads(void *arg, const char *op, const char *path)
{
    (void)arg;
    (void)path;
    reads += strcmp(op, "pread") == 0;
    return 0;
}

/* Whatever stands there: an entry that reaches the target or none, in few reads. */
static void test_garbage(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    uint64_t random = kjtest_seed();
    uint8_t *bytes = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(kjtest_random(&random) >> 7);
    dir.io->step = count_reads;
    struct kj_file *file = file_of(bytes, BYTES);
    for (int round = 0; round < 2000; round++) {
        int64_t base = (int64_t)(kjtest_random(&random) >> 1);
        uint32_t count = (uint32_t)(kjtest_random(&random) % (BYTES / KJ_TIME_ENTRY_BYTES));
        int64_t target = (int64_t)kjtest_random(&random), i = -9;
        struct kj_offset_entry at;
        struct kj_time_entry time;
        reads = 0;
        assert_int_equal(kj_offset_index_lookup(file, base, count, target, &i, &at), 0);
        assert_in_range(reads, 0, 2 + 8 + 1);
        assert_true(i >= -1 && i < (int64_t)count && (i < 0 || at.offset <= target));
        reads = 0;
        assert_int_equal(kj_time_index_lookup(file, base, count, target, &i, &time), 0);
        assert_in_range(reads, 0, 2 + 8 + 1);
        assert_true(i >= -1 && i < (int64_t)count && (i < 0 || time.timestamp <= target));
    }
    dir.io->step = NULL;
    kj_io_close(file);
    free(bytes);
}

/* A file that holds fewer entries than the count is noticed, whatever is looked up. */
static void test_short_file(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static uint8_t bytes[COUNT * KJ_TIME_ENTRY_BYTES];
    for (uint32_t i = 0; i < COUNT; i++)
        kj_offset_entry_encode(&(struct kj_offset_entry){i + 1, i + 1}, 0,
                               bytes + (size_t)i * KJ_OFFSET_ENTRY_BYTES);
    struct kj_file *file = file_of(bytes, COUNT * KJ_OFFSET_ENTRY_BYTES - 1);
    for (int64_t target = 0; target <= COUNT + 1; target++) {
        int64_t i = 77;
        struct kj_offset_entry entry = {77, 77};
        assert_int_equal(kj_offset_index_lookup(file, 0, COUNT, target, &i, &entry), EIO);
        assert_int_equal(i, 77);
        assert_int_equal(entry.offset, 77);
        assert_int_equal(kj_offset_index_lookup(file, 0, COUNT - 1, target, &i, &entry), 0);
    }
    struct kj_offset_entry entry;
    struct kj_time_entry time;
    int64_t i;
    assert_int_equal(kj_offset_index_lookup(file, 0, UINT32_MAX, 5, &i, &entry), EIO);
    assert_int_equal(kj_time_index_read(file, 0, COUNT, &time), EIO);
    assert_int_equal(kj_time_index_lookup(file, 0, COUNT, 5, &i, &time), EIO);
    struct txn_list list = {.count = 0};
    kj_io_close(file);
    memset(bytes, 0, sizeof bytes);
    file = file_of(bytes, 3 * KJ_TXN_ENTRY_BYTES);
    assert_err(kj_txn_index_walk(file, 0, 4, take_txn, &list), KAJA_ERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(list.count, 0);
    kj_io_close(file);
}

static int stop_at(void *arg, const struct kj_txn_entry *entry)
{
    int64_t *seen = arg;
    assert_int_equal(entry->last_offset, 100 + *seen);
    ++*seen;
    return *seen == 250 ? 42 : 0;
}

static void test_txn_walk(void **state)
{
    (void)state;
    enum { COUNT = 300 }; /* more than two pieces */
    static uint8_t bytes[COUNT * KJ_TXN_ENTRY_BYTES];
    for (int64_t i = 0; i < COUNT; i++)
        kj_txn_entry_encode(&(struct kj_txn_entry){7, i, 100 + i, 101 + i},
                            bytes + (size_t)i * KJ_TXN_ENTRY_BYTES);
    struct kj_file *file = file_of(bytes, sizeof bytes);
    int64_t seen = 0;
    assert_int_equal(kj_txn_index_walk(file, 100, COUNT, stop_at, &seen), 42);
    seen = 0;
    assert_int_equal(kj_txn_index_walk(file, 100, 249, stop_at, &seen), 0);
    assert_int_equal(seen, 249);
    seen = 0;
    assert_err(kj_txn_index_walk(file, 101, COUNT, stop_at, &seen), KAJA_ERR_DAMAGED);
    assert_int_equal(seen, 0);
    kj_io_close(file);
    bytes[130 * KJ_TXN_ENTRY_BYTES + 1] = 1; /* a version to come */
    file = file_of(bytes, sizeof bytes);
    assert_err(kj_txn_index_walk(file, 100, COUNT, stop_at, &seen), KAJA_ERR_DAMAGED);
    assert_int_equal(seen, 130);
    kj_io_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_offset_lookup),
        cmocka_unit_test(test_time_lookup), cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_short_file),  cmocka_unit_test(test_txn_walk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
