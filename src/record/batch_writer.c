/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/batch_writer.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/varint.h"
#include "record/compress.h"

void kj_batch_writer_init(struct kj_batch_writer *writer, uint8_t *buf, size_t capacity)
{
    KJ_ASSERT(capacity >= KJ_BATCH_HEADER_BYTES);
    *writer = (struct kj_batch_writer){
        .buf = buf,
        /* A batch's length, and with it every record's and the count, is an i32. */
        .capacity = capacity < INT32_MAX ? capacity : INT32_MAX,
        .len = KJ_BATCH_HEADER_BYTES,
        .base_timestamp = -1,
        .max_timestamp = -1,
    };
}

bool kj_batch_writer_append(struct kj_batch_writer *writer, const struct kj_record *record)
{
    int64_t base = writer->count == 0 ? record->timestamp : writer->base_timestamp;
    int64_t delta = (int64_t)((uint64_t)record->timestamp - (uint64_t)base);
    size_t body = kj_record_body_bytes(record, delta, writer->count);
    size_t left = writer->capacity - writer->len;
    if (__builtin_expect(body > left || kj_varint_bytes((int32_t)body) > left - body, 0))
        return false;
    uint8_t *end = kj_record_put(record, body, delta, writer->count, writer->buf + writer->len);
    writer->len = (size_t)(end - writer->buf);
    writer->base_timestamp = base;
    if (record->timestamp > writer->max_timestamp)
        writer->max_timestamp = record->timestamp;
    writer->count++;
    return true;
}

int kj_batch_writer_seal(struct kj_batch_writer *writer, const struct kj_batch_seal *seal,
                         struct kj_buffer *out, uint8_t **ret_bytes, size_t *ret_len)
{
    if (writer->count == 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a batch without records cannot be sealed");
    uint8_t *bytes = writer->buf;
    size_t len = writer->len;
    if (seal->codec != KJ_CODEC_NONE) {
        out->len = 0;
        KJ_TRY(kj_buffer_reserve(out, KJ_BATCH_HEADER_BYTES));
        out->len = KJ_BATCH_HEADER_BYTES;
        KJ_TRY(kj_compress(seal->codec, seal->level, writer->buf + KJ_BATCH_HEADER_BYTES,
                           writer->len - KJ_BATCH_HEADER_BYTES, out));
        bytes = out->bytes;
        len = out->len;
        if (len > INT32_MAX)
            return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a batch of %zu bytes after %s", len,
                          kj_codec_name((int)seal->codec));
    }
    const struct kj_batch batch = {
        .base_offset = 0,
        .length = (int32_t)(len - KJ_BATCH_LENGTH_OVERHEAD),
        .epoch = -1,
        .magic = KJ_BATCH_MAGIC,
        .crc = 0,
        .attributes =
            (int16_t)((int)seal->codec | (seal->transactional ? KJ_ATTR_TRANSACTIONAL : 0)),
        .last_offset_delta = writer->count - 1,
        .base_timestamp = writer->base_timestamp,
        .max_timestamp = writer->max_timestamp,
        .producer_id = seal->producer_id,
        .producer_epoch = seal->producer_epoch,
        .base_sequence = seal->base_sequence,
        .count = writer->count,
    };
    kj_batch_encode(&batch, bytes);
    kj_batch_set_crc(bytes, len);
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
}
