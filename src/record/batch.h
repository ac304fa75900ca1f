/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/batch.h - the header of a record batch, version 2 (magic 2): the unit of everything.
 *
 *   at  0  i64 base offset          first record's offset                          not under the CRC
 *       8  i32 batch length         bytes behind this field: total - 12, >= 49     not under the CRC
 *      12  i32 leader epoch         set by the log                                 not under the CRC
 *      16  i8  magic                2                                              not under the CRC
 *      17  u32 crc                  CRC-32C of bytes 21 .. end
 *      21  i16 attributes           codec 0-2, time type 3, transactional 4, control 5, horizon 6
 *      23  i32 last offset delta    last offset = base + this; stays when compaction removes records
 *      27  i64 base timestamp       of the first record, or the delete horizon
 *      35  i64 max timestamp
 *      43  i64 producer id          -1 none
 *      51  i16 producer epoch       -1 none
 *      53  i32 base sequence        -1 none
 *      57  i32 record count
 *      61      records              one stream of the codec if one is set
 *
 * Offset and epoch lie outside the CRC so that the log can assign them without reading the batch;
 * whoever reads them back checks them against their neighbours. All integers big-endian.
 * Kafka: DefaultRecordBatch.
 */
#ifndef KJ_RECORD_BATCH_H
#define KJ_RECORD_BATCH_H

#include "base/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KJ_BATCH_BASE_OFFSET_AT = 0,
    KJ_BATCH_LENGTH_AT = 8,
    KJ_BATCH_EPOCH_AT = 12,
    KJ_BATCH_MAGIC_AT = 16,
    KJ_BATCH_CRC_AT = 17,
    KJ_BATCH_ATTRIBUTES_AT = 21,
    KJ_BATCH_LAST_DELTA_AT = 23,
    KJ_BATCH_BASE_TIMESTAMP_AT = 27,
    KJ_BATCH_MAX_TIMESTAMP_AT = 35,
    KJ_BATCH_PRODUCER_ID_AT = 43,
    KJ_BATCH_PRODUCER_EPOCH_AT = 51,
    KJ_BATCH_BASE_SEQUENCE_AT = 53,
    KJ_BATCH_COUNT_AT = 57,
    KJ_BATCH_HEADER_BYTES = 61,
    KJ_BATCH_LENGTH_OVERHEAD = 12, /* offset and length, which the length leaves out */
    KJ_BATCH_LENGTH_MIN = 49,
    KJ_BATCH_MAGIC = 2,
    KJ_BATCH_SCAN_BYTES = 17 /* offset .. magic: what a file scan reads first */
};
static_assert(KJ_BATCH_LENGTH_MIN + KJ_BATCH_LENGTH_OVERHEAD == KJ_BATCH_HEADER_BYTES, "header");
static_assert(KJ_BATCH_COUNT_AT + 4 == KJ_BATCH_HEADER_BYTES, "fields add up");

enum kj_codec {
    KJ_CODEC_NONE = 0,
    KJ_CODEC_GZIP = 1,
    KJ_CODEC_SNAPPY = 2,
    KJ_CODEC_LZ4 = 3,
    KJ_CODEC_ZSTD = 4,
    KJ_CODEC_COUNT = 5
};

enum {
    KJ_ATTR_CODEC_MASK = 0x07,
    KJ_ATTR_LOG_APPEND_TIME = 0x08,
    KJ_ATTR_TRANSACTIONAL = 0x10,
    KJ_ATTR_CONTROL = 0x20,
    KJ_ATTR_DELETE_HORIZON = 0x40
};

/* The header taken apart. */
struct kj_batch {
    int64_t base_offset;
    int32_t length; /* as stored: total - 12 */
    int32_t epoch;
    int8_t magic;
    uint32_t crc;
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t count;
};

static inline size_t kj_batch_bytes(const struct kj_batch *batch)
{
    return (size_t)batch->length + KJ_BATCH_LENGTH_OVERHEAD;
}

static inline int64_t kj_batch_last_offset(const struct kj_batch *batch)
{
    return (int64_t)((uint64_t)batch->base_offset + (uint64_t)(int64_t)batch->last_offset_delta);
}

static inline int64_t kj_batch_next_offset(const struct kj_batch *batch)
{
    return (int64_t)((uint64_t)kj_batch_last_offset(batch) + 1);
}

/* -1 without sequence; wraps from 2^31-1 to 0. */
static inline int32_t kj_batch_last_sequence(const struct kj_batch *batch)
{
    if (batch->base_sequence < 0)
        return -1;
    return (int32_t)(((uint32_t)batch->base_sequence + (uint32_t)batch->last_offset_delta) & 0x7fffffffu);
}

static inline enum kj_codec kj_batch_codec(const struct kj_batch *batch)
{
    return (enum kj_codec)(batch->attributes & KJ_ATTR_CODEC_MASK); /* 5..7 are possible: illegal */
}

static inline bool kj_batch_has(const struct kj_batch *batch, int attribute)
{
    return (batch->attributes & attribute) != 0;
}

/* Takes the 61 bytes at p apart; checks nothing. */
void kj_batch_decode(const uint8_t *p, struct kj_batch *ret_batch);
/* Writes the 61 bytes of a header at p, crc as given. */
void kj_batch_encode(const struct kj_batch *batch, uint8_t *p);

/* What the bytes at p look like, with available bytes left. Checks only what a scan can: whole
 * header there, magic, length >= 49 and inside available, last_offset_delta >= 0, base offset >= 0.
 * Reads the first min(available, 61) bytes only, so a header alone may lie at p while available counts
 * what the file has. Never tells a story; *ret_batch is filled for KJ_BATCH_OK alone. */
enum kj_batch_look {
    KJ_BATCH_OK = 0,
    KJ_BATCH_PARTIAL,   /* fewer bytes than a header, or than the length says: a torn tail */
    KJ_BATCH_ZEROS,     /* length 0 and all 61 bytes zero: prepared space */
    KJ_BATCH_OLD_MAGIC, /* magic 0 or 1 */
    KJ_BATCH_BAD        /* not a batch */
};
enum kj_batch_look kj_batch_look(const uint8_t *p, size_t available, struct kj_batch *ret_batch);

/* True if the CRC of the batch at p is right; bytes = kj_batch_bytes(). */
bool kj_batch_crc_ok(const uint8_t *p, size_t bytes);
/* Computes and stores the CRC of the batch at p. */
void kj_batch_set_crc(uint8_t *p, size_t bytes);

/* What the log writes into a sealed batch; none of it lies under the CRC. */
static inline void kj_batch_assign(uint8_t *p, int64_t base_offset, int32_t epoch)
{
    kj_put_be64(p + KJ_BATCH_BASE_OFFSET_AT, (uint64_t)base_offset);
    kj_put_be32(p + KJ_BATCH_EPOCH_AT, (uint32_t)epoch);
}
/* LogAppendTime: sets the bit and the max timestamp, and computes the CRC anew. */
void kj_batch_assign_append_time(uint8_t *p, size_t bytes, int64_t now_ms);

/* "none", "gzip", "snappy", "lz4", "zstd"; "unknown" for 5..7. Never NULL. */
const char *kj_codec_name(int codec);

#endif
