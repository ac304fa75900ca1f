/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/validate.h - what a log demands of a batch before it appends it. Kafka: LogValidator.
 */
#ifndef KJ_RECORD_VALIDATE_H
#define KJ_RECORD_VALIDATE_H

#include "record/batch.h"
#include "record/batch_writer.h"

struct kj_validate_options {
    bool client;          /* the checks that only clients' batches get (semantics (c)) */
    bool compacted;       /* null keys are refused */
    bool log_append_time; /* no window check */
    int64_t now_ms;
    int64_t before_max_ms; /* message.timestamp.before.max.ms */
    int64_t after_max_ms;
    size_t max_bytes;       /* max.message.bytes */
    size_t plain_max_bytes; /* limit for decompression */
    struct kj_buffer *plain; /* scratch for decompression */
};

/* Checks the batch in [p, p + bytes): exactly one batch, size, length, CRC, client rules, every record.
 * Fills *ret_batch and the true maximum timestamp (for a wrong header to be corrected).
 * RECORD_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_MAGIC, ... */
int kj_batch_validate(const uint8_t *p, size_t bytes, const struct kj_validate_options *options,
                      struct kj_batch *ret_batch, int64_t *ret_max_timestamp);

#endif
