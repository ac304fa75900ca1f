/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden_logs.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "log/producer_state.h"
#include "record/control.h"

enum { HEAD_BYTES = 10, ENTRY_BYTES = 46 };

static struct temp_dir dir;
static struct kj_producers *producers;

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_new();
    assert_ok(kj_producers_new(&producers));
    return kj_io_mkdir(dir.io, "t-0");
}

static int tear_down(void **state)
{
    (void)state;
    kj_producers_free(producers);
    temp_dir_free(&dir);
    return 0;
}

static const char path[] = "t-0/00000000000000000046.snapshot";

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, ENTRY_BYTES);
}

/* Sorts the entries; the checksum is then no longer that of the bytes. */
static void sort_entries(uint8_t *bytes, size_t len)
{
    qsort(bytes + HEAD_BYTES, (len - HEAD_BYTES) / ENTRY_BYTES, ENTRY_BYTES, by_bytes);
}

static void golden_snapshot(const struct golden_file *golden)
{
    size_t len, out_len, count = 0;
    uint8_t *bytes = golden_file_bytes(golden, &len);
    temp_dir_put(&dir, path, bytes, len);
    assert_ok(kj_producers_read(producers, dir.io, "t-0", 46));
    char *p = golden->at, *line = golden_line(&p);
    assert_true(golden_is(line, "snapshot"));
    assert_int_equal(golden_number(line, "entries"), kj_producers_count(producers));
    for (; (line = golden_line(&p)) != NULL; count++) {
        const struct kj_producer *producer =
            kj_producers_find(producers, golden_number(line, "id"));
        assert_non_null(producer);
        assert_int_equal(producer->epoch, golden_number(line, "epoch"));
        assert_int_equal(producer->timestamp, golden_number(line, "timestamp"));
        assert_int_equal(producer->coordinator_epoch, golden_number(line, "coordinator_epoch"));
        assert_int_equal(producer->txn_first_offset,
                         golden_number(line, "current_txn_first_offset"));
        assert_int_equal(producer->batch_count, golden_number(line, "last_offset") >= 0);
        if (producer->batch_count == 0)
            continue;
        const struct kj_producer_batch *last = &producer->batches[0];
        assert_int_equal(last->last_sequence, golden_number(line, "last_sequence"));
        assert_int_equal(last->last_offset, golden_number(line, "last_offset"));
        assert_int_equal(last->offset_delta, golden_number(line, "offset_delta"));
        assert_int_equal(last->first_sequence, last->last_sequence - last->offset_delta);
    }
    assert_int_equal(count, kj_producers_count(producers));
    assert_ok(kj_producers_write(producers, dir.io, "t-0", 46, true));
    uint8_t *out = temp_dir_get(&dir, path, &out_len);
    assert_int_equal(out_len, len);
    sort_entries(out, len);
    sort_entries(bytes, len);
    assert_memory_equal(out, bytes, 2);
    assert_memory_equal(out + 6, bytes + 6, len - 6);
    kj_free(out);
    free(bytes);
}

static void test_golden(void **state)
{
    (void)state;
    assert_int_equal(golden_logs_each(".snapshot", golden_snapshot), 17);
}

static int reject(void *arg, const struct kj_producer *producer)
{
    (void)arg;
    (void)producer;
    fail_msg("a damaged snapshot has an entry");
    return 1;
}

static void test_every_bit(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = golden_read("kafka/logs/events/00000000000000000046.snapshot", &len);
    temp_dir_put(&dir, path, bytes, len);
    assert_ok(kj_producers_read(producers, dir.io, "t-0", 46));
    for (size_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int err = kj_snapshot_decode(bytes, len, reject, NULL);
        assert_int_equal(err, bit < 16 ? KAJA_ERR_UNSUPPORTED_VERSION : KAJA_ERR_DAMAGED);
        if (bit % 64 == 3) { /* the same through a file; the state is untouched */
            temp_dir_put(&dir, path, bytes, len);
            assert_err(kj_producers_read(producers, dir.io, "t-0", 46), KAJA_ERR_DAMAGED);
            assert_non_null(strstr(kaja_error_detail(), path));
            assert_int_equal(kj_producers_count(producers), 4);
        }
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(kj_snapshot_decode(bytes, cut, reject, NULL), KAJA_ERR_DAMAGED);
    free(bytes);
}

/* A snapshot of these entries with a right checksum. */
static size_t forge(uint8_t *bytes, int32_t announced, const int64_t (*entries)[4], size_t count)
{
    size_t len = HEAD_BYTES + count * ENTRY_BYTES;
    memset(bytes, 0, len);
    kj_put_be16(bytes, 1);
    kj_put_be32(bytes + 6, (uint32_t)announced);
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = bytes + HEAD_BYTES + i * ENTRY_BYTES;
        kj_put_be64(p, (uint64_t)entries[i][0]);
        kj_put_be64(p + 14, (uint64_t)entries[i][1]);
        kj_put_be32(p + 22, (uint32_t)entries[i][2]);
        kj_put_be64(p + 38, (uint64_t)entries[i][3]);
    }
    kj_put_be32(bytes + 2, kj_crc32c(0, bytes + 6, len - 6));
    return len;
}

/* Right checksum, wrong content. */
static void test_forged(void **state)
{
    (void)state;
    static const int64_t bad[][4] = {
        /* id, last offset, offset delta, transaction's first */
        {-1, 5, 0, -1},        {INT64_MIN, 5, 0, -1}, {1, 5, -1, -1}, {1, 5, 6, -1},
        {1, 5, INT32_MAX, -1}, {1, INT64_MAX, 0, -1}, {1, 5, 0, -2},  {1, 5, 0, INT64_MIN},
    };
    uint8_t bytes[HEAD_BYTES + 3 * ENTRY_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t len = forge(bytes, 1, &bad[i], 1);
        assert_err(kj_snapshot_decode(bytes, len, reject, NULL), KAJA_ERR_DAMAGED);
        temp_dir_put(&dir, path, bytes, len);
        assert_err(kj_producers_read(producers, dir.io, "t-0", 46), KAJA_ERR_DAMAGED);
    }
    static const int64_t good[3][4] = {{1, 5, 0, -1}, {2, 9, 0, 8}, {1, 6, 0, -1}};
    static const int32_t counts[] = {-1, 0, 1, 3, INT32_MAX, INT32_MIN, 93368856 /* * 46 wraps */};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_err(kj_snapshot_decode(bytes, forge(bytes, counts[i], good, 2), reject, NULL),
                   KAJA_ERR_DAMAGED);
    size_t len = forge(bytes, 2, good, 3) - ENTRY_BYTES + 1; /* a byte too many */
    kj_put_be32(bytes + 2, kj_crc32c(0, bytes + 6, len - 6));
    assert_err(kj_snapshot_decode(bytes, len, reject, NULL), KAJA_ERR_DAMAGED);
    len = forge(bytes, 3, good, 3); /* an id twice */
    temp_dir_put(&dir, path, bytes, len);
    assert_err(kj_producers_read(producers, dir.io, "t-0", 46), KAJA_ERR_DAMAGED);
    len = forge(bytes, 2, good, 2);
    temp_dir_put(&dir, path, bytes, len);
    assert_ok(kj_producers_read(producers, dir.io, "t-0", 46));
    assert_int_equal(kj_producers_count(producers), 2);
}

static void test_missing_and_big(void **state)
{
    (void)state;
    assert_err(kj_producers_read(producers, dir.io, "t-0", 999), KAJA_ERR_KAFKA_STORAGE_ERROR);
    struct kj_file *file;
    assert_int_equal(
        kj_io_open(dir.io, "t-0/00000000000000000998.snapshot", KJ_IO_WRITE | KJ_IO_CREATE, &file),
        0);
    assert_int_equal(kj_io_truncate(file, (64 << 20) + 1), 0);
    kj_io_close(file);
    assert_err(kj_producers_read(producers, dir.io, "t-0", 998), KAJA_ERR_DAMAGED);
}

static void add(int64_t id, int64_t offset, int sequence, int count, bool transactional)
{
    const struct kj_batch batch = {
        .base_offset = offset,
        .last_offset_delta = count - 1,
        .attributes = transactional ? KJ_ATTR_TRANSACTIONAL : 0,
        .max_timestamp = 5000,
        .producer_id = id,
        .base_sequence = sequence,
        .count = count,
    };
    assert_ok(kj_producers_add(producers, &batch));
}

static int count_entries(void *arg, const struct kj_producer *producer)
{
    (void)producer;
    ++*(int *)arg;
    return 0;
}

static int stop_at_once(void *arg, const struct kj_producer *producer)
{
    (void)producer;
    ++*(int *)arg;
    return 42;
}

/* What a snapshot brings back: one batch of each producer, with a wrapped sequence; open
 * transactions; the order of forgetting. */
static void test_round_trip(void **state)
{
    (void)state;
    kj_producers_clear(producers);
    size_t len;
    assert_ok(kj_producers_write(producers, dir.io, "t-0", 46, false));
    uint8_t *bytes = temp_dir_get(&dir, path, &len);
    assert_int_equal(len, HEAD_BYTES);
    kj_free(bytes);
    assert_ok(kj_producers_read(producers, dir.io, "t-0", 46));
    assert_int_equal(kj_producers_count(producers), 0);

    enum { COUNT = 300 };
    add(1000, 1, INT32_MAX - 1, 5, false); /* ends with sequence 2 */
    for (int i = 0; i < COUNT; i++)
        add(i, 10 + 2 * i, 0, 2, i % 3 == 0);
    add(7, 10 + 2 * COUNT, 2, 1, false); /* the newest now */
    const struct kj_batch marker = {.base_offset = 9999,
                                    .producer_id = 2000,
                                    .producer_epoch = 3,
                                    .attributes = KJ_ATTR_CONTROL,
                                    .max_timestamp = 6000};
    bool ended;
    struct kj_txn_entry entry;
    assert_ok(kj_producers_add_marker(producers, &marker, KJ_CONTROL_COMMIT, 8, &ended, &entry));
    assert_ok(kj_producers_write(producers, dir.io, "t-0", 46, false));
    bytes = temp_dir_get(&dir, path, &len);
    int n = 0;
    assert_int_equal(kj_snapshot_decode(bytes, len, count_entries, &n), 0);
    assert_int_equal(n, COUNT + 2);
    n = 0;
    assert_int_equal(kj_snapshot_decode(bytes, len, stop_at_once, &n), 42);
    assert_int_equal(n, 1);
    kj_free(bytes);
    assert_ok(kj_producers_read(producers, dir.io, "t-0", 46));
    assert_int_equal(kj_producers_count(producers), COUNT + 2);

    const struct kj_producer *producer = kj_producers_find(producers, 1000);
    assert_int_equal(producer->batches[0].first_sequence, INT32_MAX - 1);
    assert_int_equal(producer->batches[0].last_sequence, 2);
    producer = kj_producers_find(producers, 2000);
    assert_int_equal(producer->batch_count, 0);
    assert_int_equal(producer->epoch, 3);
    assert_int_equal(producer->coordinator_epoch, 8);
    assert_int_equal(kj_producers_first_unstable(producers, 100000), 10);
    assert_int_equal(kj_producers_find(producers, 7)->batch_count, 1);
    /* Oldest first: the marker's (no batch), 1000, then 1, 2, 4, ... ; 7 is the last. */
    assert_int_equal(kj_producers_bound(producers, COUNT), 2);
    assert_null(kj_producers_find(producers, 2000));
    assert_null(kj_producers_find(producers, 1000));
    assert_int_equal(kj_producers_bound(producers, COUNT / 3 + 1), COUNT * 2 / 3 - 1);
    assert_non_null(kj_producers_find(producers, 7));
    assert_int_equal(kj_producers_bound(producers, 0), 1);
    /* The transactions end in order. */
    for (int i = 0; i < COUNT; i += 3) {
        const struct kj_batch end = {
            .base_offset = 10000 + i, .producer_id = i, .attributes = KJ_ATTR_CONTROL};
        assert_ok(kj_producers_add_marker(producers, &end, KJ_CONTROL_ABORT, 0, &ended, &entry));
        assert_true(ended);
        assert_int_equal(entry.first_offset, 10 + 2 * i);
        assert_int_equal(entry.last_stable_offset, i + 3 < COUNT ? 10 + 2 * (i + 3) : 10001 + i);
    }
}

static int fail_at;

static int fail_alloc(void *arg)
{
    (void)arg;
    return --fail_at == 0;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = golden_read("kafka/logs/events/00000000000000000046.snapshot", &len);
    temp_dir_put(&dir, path, bytes, len);
    free(bytes);
    kj_producers_clear(producers);
    add(5, 1, 0, 1, false);
    for (int n = 1;; n++) {
        fail_at = n;
        kj_alloc_set_hook(fail_alloc, NULL);
        int err = kj_producers_read(producers, dir.io, "t-0", 46);
        kj_alloc_set_hook(NULL, NULL);
        if (err == 0) {
            assert_in_range(n, 4, 40);
            break;
        }
        assert_int_equal(err, KAJA_ERR_OUT_OF_MEMORY);
        assert_int_equal(kj_producers_count(producers), 1);
    }
    assert_int_equal(kj_producers_count(producers), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_forged),     cmocka_unit_test(test_missing_and_big),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
