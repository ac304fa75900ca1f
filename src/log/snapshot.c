/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/snapshot.c - producer state as a file.
 *
 *   at  0  i16 version         1
 *       2  u32 crc             CRC-32C of everything from 6
 *       6  i32 count
 *      10      entries         46 bytes each, in any order
 *
 *   entry 0  i64 producer id
 *         8  i16 epoch
 *        10  i32 last sequence  -1 without a batch
 *        14  i64 last offset    -1 without a batch
 *        22  i32 offset delta   0 without a batch
 *        26  i64 timestamp      of the newest batch or marker
 *        34  i32 coordinator epoch
 *        38  i64 first offset of the open transaction, -1
 *
 * Only the newest batch of a producer is kept, so its duplicate window begins anew with one batch.
 * The version lies outside the CRC but has one legal value, and the file's size follows from count:
 * every changed bit is noticed. Kafka: ProducerStateManager.
 */
#include "log/producer_state.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "log/producer_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    VERSION = 1,
    CRC_AT = 2,
    COVERED_AT = 6, /* by the CRC */
    COUNT_AT = 6,
    HEAD_BYTES = 10,
    ENTRY_BYTES = 46,
    LAST_OFFSET_AT = 14,
    TXN_FIRST_AT = 38,
    FILE_MAX = 64 << 20
};
static_assert(TXN_FIRST_AT + 8 == ENTRY_BYTES, "fields add up");

static void encode_entry(const struct kj_producer *producer, uint8_t *p)
{
    struct kj_producer_batch last = {.last_sequence = -1, .last_offset = -1, .offset_delta = 0};
    if (producer->batch_count > 0)
        last = producer->batches[producer->batch_count - 1];
    kj_put_be64(p, (uint64_t)producer->producer_id);
    kj_put_be16(p + 8, (uint16_t)producer->epoch);
    kj_put_be32(p + 10, (uint32_t)last.last_sequence);
    kj_put_be64(p + LAST_OFFSET_AT, (uint64_t)last.last_offset);
    kj_put_be32(p + 22, (uint32_t)last.offset_delta);
    kj_put_be64(p + 26, (uint64_t)producer->timestamp);
    kj_put_be32(p + 34, (uint32_t)producer->coordinator_epoch);
    kj_put_be64(p + TXN_FIRST_AT, (uint64_t)producer->txn_first_offset);
}

static int decode_entry(const uint8_t *p, struct kj_producer *ret_producer)
{
    int32_t last_sequence = kj_get_be32s(p + 10);
    int64_t last_offset = kj_get_be64s(p + LAST_OFFSET_AT);
    int32_t offset_delta = kj_get_be32s(p + 22);
    struct kj_producer producer = {
        .producer_id = kj_get_be64s(p),
        .epoch = kj_get_be16s(p + 8),
        .timestamp = kj_get_be64s(p + 26),
        .coordinator_epoch = kj_get_be32s(p + 34),
        .txn_first_offset = kj_get_be64s(p + TXN_FIRST_AT),
    };
    if (producer.producer_id < 0 || producer.txn_first_offset < -1)
        return kj_err(KAJA_ERR_DAMAGED,
                      "a snapshot entry of producer %lld with a transaction at %lld",
                      (long long)producer.producer_id, (long long)producer.txn_first_offset);
    if (last_offset >= 0) {
        if (offset_delta < 0 || offset_delta > last_offset || last_offset == INT64_MAX)
            return kj_err(KAJA_ERR_DAMAGED,
                          "a snapshot entry whose batch ends at %lld and has %d more",
                          (long long)last_offset, offset_delta);
        producer.batch_count = 1;
        producer.batches[0] = (struct kj_producer_batch){
            /* backwards, with 2^31-1 before 0 */
            .first_sequence =
                last_sequence < 0
                    ? -1
                    : (int32_t)(((uint32_t)last_sequence - (uint32_t)offset_delta) & INT32_MAX),
            .last_sequence = last_sequence < 0 ? -1 : last_sequence,
            .last_offset = last_offset,
            .offset_delta = offset_delta,
            .timestamp = producer.timestamp,
        };
    }
    *ret_producer = producer;
    return 0;
}

/* Checks everything but the entries. */
static int check_head(const uint8_t *bytes, size_t len, size_t *ret_count)
{
    if (len < HEAD_BYTES)
        return kj_err(KAJA_ERR_DAMAGED, "a snapshot of %zu bytes", len);
    int16_t version = kj_get_be16s(bytes);
    if (version != VERSION)
        return kj_err(KAJA_ERR_UNSUPPORTED_VERSION, "a snapshot of version %d", version);
    uint32_t crc = kj_crc32c(0, bytes + COVERED_AT, len - COVERED_AT);
    if (crc != kj_get_be32(bytes + CRC_AT))
        return kj_err(KAJA_ERR_DAMAGED, "a snapshot with checksum %08x instead of %08x",
                      kj_get_be32(bytes + CRC_AT), crc);
    int32_t count = kj_get_be32s(bytes + COUNT_AT);
    if (count < 0 || (len - HEAD_BYTES) % ENTRY_BYTES != 0 ||
        (len - HEAD_BYTES) / ENTRY_BYTES != (size_t)count)
        return kj_err(KAJA_ERR_DAMAGED, "a snapshot of %d entries in %zu bytes", count, len);
    *ret_count = (size_t)count;
    return 0;
}

int kj_snapshot_decode(const uint8_t *bytes, size_t len, kj_producer_callback *callback, void *arg)
{
    size_t count;
    KJ_TRY(check_head(bytes, len, &count));
    for (size_t i = 0; i < count; i++) {
        struct kj_producer producer;
        KJ_TRY(decode_entry(bytes + HEAD_BYTES + i * ENTRY_BYTES, &producer));
        int stop = callback(arg, &producer);
        if (stop != 0)
            return stop;
    }
    return 0;
}

/* Idle producers first, by their newest batch, as they shall be forgotten; then those with open
 * transactions by their beginning. Each then goes to the end of its list. */
static int in_log_order(const void *a, const void *b)
{
    const uint8_t *const *x = a, *const *y = b;
    int64_t x_txn = kj_get_be64s(*x + TXN_FIRST_AT), y_txn = kj_get_be64s(*y + TXN_FIRST_AT);
    if (x_txn != y_txn)
        return x_txn < y_txn ? -1 : 1;
    int64_t x_last = kj_get_be64s(*x + LAST_OFFSET_AT), y_last = kj_get_be64s(*y + LAST_OFFSET_AT);
    return x_last < y_last ? -1 : x_last > y_last;
}

static int decode_into(struct kj_producers *producers, const uint8_t *bytes, size_t len)
{
    size_t count;
    KJ_TRY(check_head(bytes, len, &count));
    const uint8_t **entries = kj_alloc(count * sizeof *entries); /* count < len */
    if (entries == NULL)
        return kj_err_oom("a producer snapshot");
    for (size_t i = 0; i < count; i++)
        entries[i] = bytes + HEAD_BYTES + i * ENTRY_BYTES;
    qsort(entries, count, sizeof *entries, in_log_order);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        struct kj_producer producer;
        err = decode_entry(entries[i], &producer);
        if (err == 0)
            err = kj_producers_restore(producers, &producer);
    }
    kj_free(entries);
    return err;
}

int kj_producers_read(struct kj_producers *producers, struct kj_io *io, const char *dir,
                      int64_t offset)
{
    char path[KJ_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    kj_file_path(path, dir, KJ_FILE_SNAPSHOT, offset);
    int os = kj_io_read_file(io, path, FILE_MAX, &bytes, &len);
    if (os == EFBIG)
        return kj_err(KAJA_ERR_DAMAGED, "%s is larger than %d bytes", path, FILE_MAX);
    if (os != 0)
        return kj_file_error(io, os, "reading", path);
    struct kj_producers fresh = {0};
    int err = decode_into(&fresh, bytes, len);
    kj_free(bytes);
    if (err != 0) {
        kj_producers_clear(&fresh);
        /* Told again, with the file's name. */
        if (err == KAJA_ERR_DAMAGED || err == KAJA_ERR_UNSUPPORTED_VERSION)
            return kj_err(KAJA_ERR_DAMAGED, "%s: %s", path, kaja_error_detail());
        return err;
    }
    kj_producers_clear(producers);
    *producers = fresh;
    return 0;
}

int kj_producers_write(const struct kj_producers *producers, struct kj_io *io, const char *dir,
                       int64_t offset, bool durable)
{
    char path[KJ_PATH_MAX];
    size_t count = kj_producers_count(producers);
    size_t len = HEAD_BYTES + count * ENTRY_BYTES;
    kj_file_path(path, dir, KJ_FILE_SNAPSHOT, offset);
    if (count > (FILE_MAX - HEAD_BYTES) / ENTRY_BYTES)
        return kj_err(KAJA_ERR_MEMORY_LIMIT, "%s would have %zu producers", path, count);
    uint8_t *bytes = kj_alloc(len);
    if (bytes == NULL)
        return kj_err_oom("a producer snapshot");
    uint8_t *p = bytes + HEAD_BYTES;
    const struct kj_producer_list *const lists[] = {&producers->idle, &producers->open};
    for (int i = 0; i < 2; i++)
        for (const struct kj_producer_node *node = lists[i]->head; node != NULL;
             node = node->next) {
            encode_entry(&node->producer, p);
            p += ENTRY_BYTES;
        }
    KJ_ASSERT(p == bytes + len);
    kj_put_be16(bytes, VERSION);
    kj_put_be32(bytes + COUNT_AT, (uint32_t)count);
    kj_put_be32(bytes + CRC_AT, kj_crc32c(0, bytes + COVERED_AT, len - COVERED_AT));
    int os = kj_io_replace_file(io, path, bytes, len, durable);
    kj_free(bytes);
    return os == 0 ? 0 : kj_file_replace_error(io, os, path);
}
