/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_snapshot.c - a producer snapshot, once as it is and once with version, checksum
 * and count put right. What is taken must live: be used, written and read again.
 */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "log/producer_state.h"
#include "record/control.h"

#include "memory_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char path[] = "t-0/00000000000000000007.snapshot";
enum { HEAD_BYTES = 10, ENTRY_BYTES = 46 };

static int count_one(void *arg, const struct kj_producer *producer)
{
    check(producer->batch_count <= 1 && producer->producer_id >= 0);
    ++*(size_t *)arg;
    return 0;
}

/* Every producer appends, aborts, is forgotten: nothing may be left. */
static void use(struct kj_producers *producers)
{
    struct kj_producer_answer answer;
    struct kj_txn_entry entry;
    const struct kj_producer *producer;
    bool ended;
    size_t at = 0;
    int64_t first = kj_producers_first_unstable(producers, INT64_MAX), least = -1;
    while ((producer = kj_producers_next(producers, &at)) != NULL) {
        int64_t txn = producer->txn_first_offset;
        if (txn >= 0 && (least < 0 || txn < least))
            least = txn;
        struct kj_batch batch = {
            .base_offset = INT64_MAX / 2,
            .producer_id = producer->producer_id,
            .producer_epoch = producer->epoch,
            .base_sequence = 5,
            .attributes = KJ_ATTR_TRANSACTIONAL,
        };
        (void)kj_producers_check(producers, &batch, true, &answer);
        check(kj_producers_add(producers, &batch) == 0);
        batch.attributes = KJ_ATTR_TRANSACTIONAL | KJ_ATTR_CONTROL;
        check(kj_producers_add_marker(producers, &batch, KJ_CONTROL_ABORT, 1, &ended, &entry) == 0);
        check(ended && entry.first_offset == (txn >= 0 ? txn : batch.base_offset));
    }
    check(first == least);
    check(kj_producers_first_unstable(producers, INT64_MAX) == -1);
    (void)kj_producers_bound(producers, 0);
    check(kj_producers_count(producers) == 0);
}

static void run(const uint8_t *bytes, size_t len)
{
    struct kj_producers *producers;
    size_t count = 0, decoded = 0;
    memory_put(path, bytes, len);
    check(kj_producers_new(&producers) == 0);
    int err = kj_snapshot_decode(bytes, len, count_one, &decoded);
    if (kj_producers_read(producers, &memory_io, "t-0", 7) == 0) {
        count = kj_producers_count(producers);
        check(err == 0 && count == decoded && len == HEAD_BYTES + count * ENTRY_BYTES);
        check(kj_producers_write(producers, &memory_io, "t-0", 7, false) == 0);
        const struct memory_entry *file = memory_find(path);
        check(file != NULL && file->len == len);
        check(kj_producers_read(producers, &memory_io, "t-0", 7) == 0);
        check(kj_producers_count(producers) == count);
        kj_producers_expire(producers, 1700000000000, 1000000000000);
        use(producers);
    } else {
        check(kj_producers_count(producers) == 0);
    }
    kj_producers_free(producers);
    memory_clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(data, size);
    if (size < HEAD_BYTES)
        return 0;
    size_t count = (size - HEAD_BYTES) / ENTRY_BYTES;
    size_t len = HEAD_BYTES + count * ENTRY_BYTES;
    uint8_t *fixed = malloc(len);
    check(fixed != NULL);
    memcpy(fixed, data, len);
    kj_put_be16(fixed, 1);
    kj_put_be32(fixed + 6, (uint32_t)count);
    kj_put_be32(fixed + 2, kj_crc32c(0, fixed + 6, len - 6));
    run(fixed, len);
    free(fixed);
    return 0;
}
