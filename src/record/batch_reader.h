/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/batch_reader.h - walks the records of one batch. Uncompressed records are views of the bytes
 * given; compressed ones live in a buffer of the reader's owner, sized by a limit.
 *
 * Kafka: DefaultRecordBatch.iterator().
 */
#ifndef KJ_RECORD_BATCH_READER_H
#define KJ_RECORD_BATCH_READER_H

#include "record/batch.h"
#include "record/batch_writer.h"
#include "record/record.h"

struct kj_batch_reader {
    struct kj_batch batch;
    const uint8_t *at;
    const uint8_t *end;
    int32_t left; /* records not yet read */
};

/* Starts on the batch at p (bytes long, already looked at; CRC not checked here). A compressed one is
 * decompressed into plain, whose content it replaces, at most limit bytes of it; views then point
 * there. Without compression plain is not touched and may be NULL.
 * INVALID_RECORD, BAD_COMPRESSION, UNSUPPORTED_COMPRESSION_TYPE, UNSUPPORTED_MAGIC, RECORD_TOO_LARGE (limit), OUT_OF_MEMORY. */
int kj_batch_reader_init(struct kj_batch_reader *reader, const uint8_t *p, size_t bytes,
                         struct kj_buffer *plain, size_t limit);

/* 1 and the record, 0 at the end, or a negative number if the batch is malformed here (fewer or more
 * records than the header says, a bad length): kj_batch_reader_fault() tells the story. */
static inline int kj_batch_reader_next(struct kj_batch_reader *reader, struct kj_record_view *ret_view)
{
    if (reader->left == 0)
        return reader->at == reader->end ? 0 : -1;
    const uint8_t *next = kj_record_decode(reader->at, reader->end, ret_view);
    if (__builtin_expect(next == NULL, 0))
        return -1;
    reader->at = next;
    reader->left--;
    return 1;
}
int kj_batch_reader_fault(const struct kj_batch_reader *reader);

/* The timestamp of a record of the batch, by its type; -1 if it has none. */
static inline int64_t kj_batch_record_timestamp(const struct kj_batch *batch,
                                                const struct kj_record_view *view)
{
    if (kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME))
        return batch->max_timestamp;
    return (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)view->timestamp_delta);
}

#endif
