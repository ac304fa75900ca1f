/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/batch.h"

#include "base/crc32c.h"

void kj_batch_decode(const uint8_t *p, struct kj_batch *ret_batch)
{
    *ret_batch = (struct kj_batch){
        .base_offset = kj_get_be64s(p + KJ_BATCH_BASE_OFFSET_AT),
        .length = kj_get_be32s(p + KJ_BATCH_LENGTH_AT),
        .epoch = kj_get_be32s(p + KJ_BATCH_EPOCH_AT),
        .magic = (int8_t)p[KJ_BATCH_MAGIC_AT],
        .crc = kj_get_be32(p + KJ_BATCH_CRC_AT),
        .attributes = kj_get_be16s(p + KJ_BATCH_ATTRIBUTES_AT),
        .last_offset_delta = kj_get_be32s(p + KJ_BATCH_LAST_DELTA_AT),
        .base_timestamp = kj_get_be64s(p + KJ_BATCH_BASE_TIMESTAMP_AT),
        .max_timestamp = kj_get_be64s(p + KJ_BATCH_MAX_TIMESTAMP_AT),
        .producer_id = kj_get_be64s(p + KJ_BATCH_PRODUCER_ID_AT),
        .producer_epoch = kj_get_be16s(p + KJ_BATCH_PRODUCER_EPOCH_AT),
        .base_sequence = kj_get_be32s(p + KJ_BATCH_BASE_SEQUENCE_AT),
        .count = kj_get_be32s(p + KJ_BATCH_COUNT_AT),
    };
}

void kj_batch_encode(const struct kj_batch *batch, uint8_t *p)
{
    kj_put_be64(p + KJ_BATCH_BASE_OFFSET_AT, (uint64_t)batch->base_offset);
    kj_put_be32(p + KJ_BATCH_LENGTH_AT, (uint32_t)batch->length);
    kj_put_be32(p + KJ_BATCH_EPOCH_AT, (uint32_t)batch->epoch);
    p[KJ_BATCH_MAGIC_AT] = (uint8_t)batch->magic;
    kj_put_be32(p + KJ_BATCH_CRC_AT, batch->crc);
    kj_put_be16(p + KJ_BATCH_ATTRIBUTES_AT, (uint16_t)batch->attributes);
    kj_put_be32(p + KJ_BATCH_LAST_DELTA_AT, (uint32_t)batch->last_offset_delta);
    kj_put_be64(p + KJ_BATCH_BASE_TIMESTAMP_AT, (uint64_t)batch->base_timestamp);
    kj_put_be64(p + KJ_BATCH_MAX_TIMESTAMP_AT, (uint64_t)batch->max_timestamp);
    kj_put_be64(p + KJ_BATCH_PRODUCER_ID_AT, (uint64_t)batch->producer_id);
    kj_put_be16(p + KJ_BATCH_PRODUCER_EPOCH_AT, (uint16_t)batch->producer_epoch);
    kj_put_be32(p + KJ_BATCH_BASE_SEQUENCE_AT, (uint32_t)batch->base_sequence);
    kj_put_be32(p + KJ_BATCH_COUNT_AT, (uint32_t)batch->count);
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 0)
            return false;
    return true;
}

enum kj_batch_look kj_batch_look(const uint8_t *p, size_t available, struct kj_batch *ret_batch)
{
    enum { OLD_LENGTH_MIN = 14 }; /* crc, magic, attributes, two lengths */
    if (available < KJ_BATCH_SCAN_BYTES)
        return KJ_BATCH_PARTIAL;
    int32_t length = kj_get_be32s(p + KJ_BATCH_LENGTH_AT);
    if (p[KJ_BATCH_MAGIC_AT] < KJ_BATCH_MAGIC && length >= OLD_LENGTH_MIN)
        return KJ_BATCH_OLD_MAGIC;
    if (available < KJ_BATCH_HEADER_BYTES)
        return KJ_BATCH_PARTIAL;
    if (length == 0 && all_zero(p, KJ_BATCH_HEADER_BYTES))
        return KJ_BATCH_ZEROS;
    struct kj_batch batch;
    kj_batch_decode(p, &batch);
    if (batch.magic != KJ_BATCH_MAGIC || length < KJ_BATCH_LENGTH_MIN || batch.base_offset < 0 ||
        batch.last_offset_delta < 0 || batch.base_offset >= INT64_MAX - batch.last_offset_delta)
        return KJ_BATCH_BAD;
    if ((size_t)length > available - KJ_BATCH_LENGTH_OVERHEAD)
        return KJ_BATCH_PARTIAL;
    *ret_batch = batch;
    return KJ_BATCH_OK;
}

static uint32_t crc_of(const uint8_t *p, size_t bytes)
{
    return kj_crc32c(0, p + KJ_BATCH_ATTRIBUTES_AT, bytes - KJ_BATCH_ATTRIBUTES_AT);
}

bool kj_batch_crc_ok(const uint8_t *p, size_t bytes)
{
    return bytes >= KJ_BATCH_HEADER_BYTES && kj_get_be32(p + KJ_BATCH_CRC_AT) == crc_of(p, bytes);
}

void kj_batch_set_crc(uint8_t *p, size_t bytes)
{
    kj_put_be32(p + KJ_BATCH_CRC_AT, crc_of(p, bytes));
}

void kj_batch_assign_append_time(uint8_t *p, size_t bytes, int64_t now_ms)
{
    uint16_t attributes = kj_get_be16(p + KJ_BATCH_ATTRIBUTES_AT);
    kj_put_be16(p + KJ_BATCH_ATTRIBUTES_AT, attributes | KJ_ATTR_LOG_APPEND_TIME);
    kj_put_be64(p + KJ_BATCH_MAX_TIMESTAMP_AT, (uint64_t)now_ms);
    kj_batch_set_crc(p, bytes);
}

static const char *const codec_names[KJ_CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *kj_codec_name(int codec)
{
    return codec >= 0 && codec < KJ_CODEC_COUNT ? codec_names[codec] : "unknown";
}
