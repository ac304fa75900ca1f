/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A segment that goes on behind 2^31 - 1 bytes: Kafka makes none and opens none, and what opens,
 * recovers or verifies it here says so and changes nothing. One byte less is an ordinary segment,
 * which is appended to. The file is sparse: a record of two billion zeros between two small ones.
 *
 * No unit test by its name, as valgrind would take minutes for the checksums.
 */
#include "api_test.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/varint.h"
#include "record/batch.h"

#include <fcntl.h>

enum { ZEROS = 1 << 20 };
static const char log_name[] = "t-0/00000000000000000000.log";

static uint32_t crc_with_zeros(uint32_t crc, int64_t count)
{
    static const uint8_t zeros[ZEROS];
    for (; count > ZEROS; count -= ZEROS)
        crc = kj_crc32c(crc, zeros, ZEROS);
    return kj_crc32c(crc, zeros, (size_t)count);
}

/* A batch of one record at offset 1, `bytes` long, of which all behind those that are returned in
 * begin are zero. */
static size_t big_batch(int64_t bytes, uint8_t begin[static 128])
{
    uint8_t record[32], *p = record;
    /* attributes, two deltas, null key, the value's length, number of headers */
    enum { FIXED = 1 + 1 + 1 + 1 + 5 + 1 };
    int64_t body = bytes - KJ_BATCH_HEADER_BYTES - 5;
    p = kj_varint_put(p, (int32_t)body);
    *p++ = 0;
    p = kj_varint_put(p, 0);
    p = kj_varint_put(p, 0);
    p = kj_varint_put(p, -1);
    p = kj_varint_put(p, (int32_t)(body - FIXED));
    memset(begin, 0, 128);
    kj_put_be64(begin + KJ_BATCH_BASE_OFFSET_AT, 1);
    kj_put_be32(begin + KJ_BATCH_LENGTH_AT, (uint32_t)(bytes - 12));
    begin[KJ_BATCH_MAGIC_AT] = 2;
    kj_put_be64(begin + KJ_BATCH_PRODUCER_ID_AT, UINT64_MAX);
    kj_put_be16(begin + KJ_BATCH_PRODUCER_EPOCH_AT, UINT16_MAX);
    kj_put_be32(begin + KJ_BATCH_BASE_SEQUENCE_AT, UINT32_MAX);
    kj_put_be32(begin + KJ_BATCH_COUNT_AT, 1);
    size_t len = KJ_BATCH_HEADER_BYTES + (size_t)(p - record);
    memcpy(begin + KJ_BATCH_HEADER_BYTES, record, (size_t)(p - record));
    uint32_t crc = kj_crc32c(0, begin + KJ_BATCH_ATTRIBUTES_AT, len - KJ_BATCH_ATTRIBUTES_AT);
    kj_put_be32(begin + KJ_BATCH_CRC_AT, crc_with_zeros(crc, bytes - (int64_t)len));
    return len;
}

static void log_path(char path[static 128])
{
    (void)snprintf(path, 128, "%s/%s", test_dir, log_name);
}

/* The log of one small record grows to size: by the big one, and a copy of the small one. */
static void grow(int64_t size)
{
    char path[128];
    uint8_t first[256], begin[128];
    log_path(path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t first_bytes = pread(fd, first, sizeof first, 0);
    assert_true(first_bytes > KJ_BATCH_HEADER_BYTES && first_bytes < (ssize_t)sizeof first);
    int64_t third_pos = size - first_bytes;
    size_t len = big_batch(third_pos - first_bytes, begin);
    kj_put_be64(first + KJ_BATCH_BASE_OFFSET_AT, 2);
    assert_int_equal(pwrite(fd, begin, len, first_bytes), len);
    assert_int_equal(pwrite(fd, first, (size_t)first_bytes, third_pos), first_bytes);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(close(fd), 0);
}

static void fill(void)
{
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, NULL));
    assert_ok(kaja_admin_create_topic(store, "other", 1, NULL));
    send_records(store, "t", 0, 1, 10, true, NULL);
    assert_ok(kaja_store_close(store));
}

static void shell(const char *what)
{
    char command[256];
    (void)snprintf(command, sizeof command, "cd '%s' && %s", test_dir, what);
    assert_int_equal(system(command), 0);
}

struct findings {
    int damage;
    char text[256];
};

static void note_finding(void *arg, const struct kaja_finding *finding)
{
    struct findings *findings = arg;
    if (finding->kind != KAJA_FINDING_DAMAGE)
        return;
    findings->damage++;
    (void)snprintf(findings->text, sizeof findings->text, "%s", finding->text);
}

static void verify(struct findings *ret_findings)
{
    struct kaja_verify_result result;
    *ret_findings = (struct findings){0};
    assert_ok(kaja_verify(test_dir, NULL, note_finding, ret_findings, &result));
}

static void one_byte_too_far_is_refused(void **state)
{
    (void)state;
    struct kaja_partition_info info;
    struct findings findings;
    struct stat before, after;
    char path[128];
    fill();
    int64_t size = (int64_t)INT32_MAX + 1;
    grow(size);
    log_path(path);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, size);
    assert_true(before.st_blocks < 1000);
    verify(&findings);
    assert_int_equal(findings.damage, 1);
    assert_non_null(strstr(findings.text, "too large for a segment"));
    /* Opened as one that was closed in order; then recovered. */
    for (int recover = 0; recover < 2; recover++) {
        if (recover)
            shell("rm .kafka_cleanshutdown");
        else
            shell("sed -i 's/^t 0 1$/t 0 3/' recovery-point-offset-checkpoint");
        struct kaja_store *store = open_store(NULL);
        assert_err(kaja_admin_partition(store, "t", 0, &info), KAJA_ERR_DAMAGED);
        assert_true(detail_has(log_name));
        assert_true(detail_has("too large for a segment; nothing was changed"));
        /* Nobody else is the worse for it. */
        send_records(store, "other", 0, 1, 10, true, NULL);
        assert_ok(kaja_store_close(store));
    }
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void the_last_place_is_good(void **state)
{
    (void)state;
    struct kaja_partition_info info;
    struct findings findings;
    fill();
    grow(INT32_MAX);
    shell("rm .kafka_cleanshutdown");
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 3);
    assert_int_equal(info.segment_count, 1);
    send_records(store, "t", 0, 1, 10, true, NULL);
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 4);
    assert_int_equal(info.segment_count, 2); /* there was no more room in the first */
    assert_ok(kaja_store_close(store));
    verify(&findings);
    assert_int_equal(findings.damage, 0);
}

int main(void)
{
    /* Holes that are read fill no page cache there. */
    if (access("/dev/shm", W_OK) == 0)
        assert_int_equal(chdir("/dev/shm"), 0);
    const struct CMUnitTest tests[] = {
        test_in_dir(one_byte_too_far_is_refused),
        test_in_dir(the_last_place_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
