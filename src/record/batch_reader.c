/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/batch_reader.h"

#include "base/err.h"
#include "record/compress.h"

int kj_batch_reader_init(struct kj_batch_reader *reader, const uint8_t *p, size_t bytes,
                         struct kj_buffer *plain, size_t limit)
{
    struct kj_batch batch;
    if (bytes < KJ_BATCH_HEADER_BYTES)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a batch of %zu bytes has no whole header", bytes);
    kj_batch_decode(p, &batch);
    if (batch.magic == 0 || batch.magic == 1)
        return kj_err(KAJA_ERR_UNSUPPORTED_MAGIC, "the batch at offset %lld has magic %d",
                      (long long)batch.base_offset, batch.magic);
    if (batch.magic != KJ_BATCH_MAGIC || batch.length < KJ_BATCH_LENGTH_MIN ||
        kj_batch_bytes(&batch) != bytes)
        return kj_err(KAJA_ERR_INVALID_RECORD, "magic %d, length %d in %zu bytes is no batch",
                      batch.magic, batch.length, bytes);
    if (batch.count < 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "the batch at offset %lld says it has %d records",
                      (long long)batch.base_offset, batch.count);
    const uint8_t *at = p + KJ_BATCH_HEADER_BYTES;
    const uint8_t *end = p + bytes;
    /* Without records there is nothing to decompress; next() refuses bytes that are left. */
    if (kj_batch_codec(&batch) != KJ_CODEC_NONE && batch.count > 0) {
        plain->len = 0;
        KJ_TRY(kj_decompress(kj_batch_codec(&batch), at, (size_t)(end - at), limit, plain));
        at = plain->bytes;
        end = plain->bytes + plain->len;
    }
    *reader = (struct kj_batch_reader){batch, at, end, batch.count};
    return 0;
}

int kj_batch_reader_fault(const struct kj_batch_reader *reader)
{
    const struct kj_batch *batch = &reader->batch;
    if (reader->left == 0)
        return kj_err(
            KAJA_ERR_INVALID_RECORD, "the batch at offset %lld has %zu bytes behind its %d records",
            (long long)batch->base_offset, (size_t)(reader->end - reader->at), batch->count);
    return kj_err(KAJA_ERR_INVALID_RECORD,
                  "record %d of %d in the batch at offset %lld is malformed",
                  batch->count - reader->left, batch->count, (long long)batch->base_offset);
}
