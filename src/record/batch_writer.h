/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/batch_writer.h - encodes records in place into an open batch: room for the header is left
 * in front, records follow in their final form, sealing fills the header.
 *
 * Life: init -> append ... -> seal -> bytes() go to the log. The buffer is the caller's throughout.
 * One thread at a time. Kafka: MemoryRecordsBuilder.
 */
#ifndef KJ_RECORD_BATCH_WRITER_H
#define KJ_RECORD_BATCH_WRITER_H

#include "record/batch.h"
#include "record/record.h"

struct kj_batch_writer {
    uint8_t *buf;
    size_t capacity;
    size_t len; /* used, header included */
    int32_t count;
    int64_t base_timestamp; /* first record's, -1 while empty */
    int64_t max_timestamp;
};

/* What sealing puts into the header. */
struct kj_batch_seal {
    enum kj_codec codec;
    int level;          /* of the codec; KJ_LEVEL_DEFAULT */
    bool transactional;
    int64_t producer_id; /* -1 none */
    int16_t producer_epoch;
    int32_t base_sequence;
};
#define KJ_BATCH_SEAL_PLAIN ((struct kj_batch_seal){KJ_CODEC_NONE, KJ_LEVEL_DEFAULT, false, -1, -1, -1})
enum { KJ_LEVEL_DEFAULT = -2147483647 - 1 };

/* buf: at least KJ_BATCH_HEADER_BYTES. */
void kj_batch_writer_init(struct kj_batch_writer *writer, uint8_t *buf, size_t capacity);

/* Appends a record; its offset delta is the count before. False (and nothing changed) if it does not
 * fit into the capacity. */
bool kj_batch_writer_append(struct kj_batch_writer *writer, const struct kj_record *record);

/* Fills the header (base offset 0, epoch -1) and the CRC. With a codec the records are compressed
 * into out (grown with kj_realloc() as needed, reused from call to call); *ret_bytes and *ret_len are
 * then out's, else the writer's buffer. Compressed data is used even where it is larger, as in Kafka.
 * UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_MEMORY, INVALID_RECORD (no records). */
struct kj_buffer {
    uint8_t *bytes;
    size_t capacity;
    size_t len;
};
int kj_batch_writer_seal(struct kj_batch_writer *writer, const struct kj_batch_seal *seal,
                         struct kj_buffer *out, uint8_t **ret_bytes, size_t *ret_len);
void kj_buffer_free(struct kj_buffer *buffer);
int kj_buffer_reserve(struct kj_buffer *buffer, size_t bytes); /* keeps content */

#endif
