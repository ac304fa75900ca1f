/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_index.c - 12 bytes that say what to look for (target, count), then the file. What
 * is found must be an entry of the file that reaches the target, and in a file that rises the last
 * one.
 */
#include "base/bytes.h"
#include "log/index.h"

#include "memory_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BASE_OFFSET = 1000, HEAD_BYTES = 12 };

static void check_offset_index(struct kj_file *file, const uint8_t *bytes, size_t len,
                               uint32_t count, int64_t target)
{
    struct kj_offset_entry got, at, before = {INT64_MIN, 0};
    int64_t i = -9, wanted = -1;
    int err = kj_offset_index_lookup(file, BASE_OFFSET, count, target, &i, &got);
    check(err == (count > len / KJ_OFFSET_ENTRY_BYTES ? EIO : 0));
    if (err != 0)
        return;
    check(i >= -1 && i < (int64_t)count);
    bool rises = true;
    for (uint32_t k = 0; k < count; k++) {
        kj_offset_entry_decode(bytes + (size_t)k * KJ_OFFSET_ENTRY_BYTES, BASE_OFFSET, &at);
        rises = rises && at.offset >= before.offset;
        before = at;
        if (at.offset <= target)
            wanted = k;
        if (k == i)
            check(at.offset == got.offset && at.pos == got.pos && at.offset <= target);
    }
    check(!rises || i == wanted);
    check(i >= 0 || (got.offset == BASE_OFFSET && got.pos == 0));
}

static void check_time_index(struct kj_file *file, const uint8_t *bytes, size_t len, uint32_t count,
                             int64_t target)
{
    struct kj_time_entry got, at, before = {INT64_MIN, 0};
    int64_t i = -9, wanted = -1;
    int err = kj_time_index_lookup(file, BASE_OFFSET, count, target, &i, &got);
    check(err == (count > len / KJ_TIME_ENTRY_BYTES ? EIO : 0));
    if (err != 0)
        return;
    check(i >= -1 && i < (int64_t)count);
    bool rises = true;
    for (uint32_t k = 0; k < count; k++) {
        kj_time_entry_decode(bytes + (size_t)k * KJ_TIME_ENTRY_BYTES, BASE_OFFSET, &at);
        rises = rises && at.timestamp >= before.timestamp;
        before = at;
        if (at.timestamp <= target)
            wanted = k;
        if (k == i)
            check(at.offset == got.offset && at.timestamp == got.timestamp &&
                  at.timestamp <= target);
    }
    check(!rises || i == wanted);
    check(i >= 0 || (got.offset == BASE_OFFSET && got.timestamp == -1));
}

static int encode_again(void *arg, const struct kj_txn_entry *entry)
{
    const uint8_t **at = arg;
    uint8_t bytes[KJ_TXN_ENTRY_BYTES];
    kj_txn_entry_encode(entry, bytes);
    check(memcmp(bytes, *at, sizeof bytes) == 0 && entry->last_offset >= BASE_OFFSET);
    *at += sizeof bytes;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    int64_t target = kj_get_be64s(data);
    const uint8_t *bytes = data + HEAD_BYTES;
    size_t len = size - HEAD_BYTES;
    struct kj_file *file;
    memory_put("index", bytes, len);
    check(kj_io_open(&memory_io, "index", KJ_IO_READ, &file) == 0);
    /* Mostly as many entries as there are, or one more. */
    uint32_t extra = kj_get_be32(data + 8);
    uint32_t count =
        extra < UINT32_MAX / 2 ? (uint32_t)(len / KJ_OFFSET_ENTRY_BYTES) + extra % 2 : extra;
    check_offset_index(file, bytes, len, count, target);
    count = extra < UINT32_MAX / 2 ? (uint32_t)(len / KJ_TIME_ENTRY_BYTES) + extra % 2 : extra;
    check_time_index(file, bytes, len, count, target);
    const uint8_t *at = bytes;
    count = extra < UINT32_MAX / 2 ? (uint32_t)(len / KJ_TXN_ENTRY_BYTES) + extra % 2 : extra;
    int err = kj_txn_index_walk(file, BASE_OFFSET, count, encode_again, &at);
    check(err != 0 || at == bytes + (size_t)count * KJ_TXN_ENTRY_BYTES);
    kj_io_close(file);
    memory_clear();
    return 0;
}
