/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/record.h - what goes in and what comes out.
 */
#ifndef KAJA_RECORD_H
#define KAJA_RECORD_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* timestamp of a record that shall get the current time when it is produced */
#define KAJA_TIMESTAMP_NOW (-1)
/* partition of a record that the partitioner shall choose */
#define KAJA_PARTITION_ANY (-1)

/* Kafka: Header. The value may be NULL (null); its size is then 0. */
struct kaja_header {
    const char *key; /* UTF-8, not terminated */
    size_t key_bytes;
    const void *value;
    size_t value_bytes;
};

/* A record to send. Fill with KAJA_RECORD_INIT and then what is needed. key == NULL is a null key,
 * value == NULL a null value (a tombstone); a zero-length one has a non-NULL pointer.
 * Everything is copied before the producing call returns. Kafka: ProducerRecord.
 * Later releases may add members at the end. size says which there are: the others get their
 * defaults; bytes that the library does not know must be zero (else UNSUPPORTED_FEATURE). */
struct kaja_record {
    size_t size;        /* sizeof(struct kaja_record); KAJA_RECORD_INIT sets it */
    const char *topic;  /* NUL-terminated */
    int32_t partition;  /* KAJA_PARTITION_ANY: by key, else sticky */
    int64_t timestamp;  /* ms since the epoch; KAJA_TIMESTAMP_NOW */
    const void *key;
    size_t key_bytes;
    const void *value;
    size_t value_bytes;
    const struct kaja_header *headers;
    size_t header_count;
};
/* clang-format off */
#define KAJA_RECORD_INIT { sizeof(struct kaja_record), NULL, KAJA_PARTITION_ANY, \
                           KAJA_TIMESTAMP_NOW, NULL, 0, NULL, 0, NULL, 0 }
/* clang-format on */

enum kaja_timestamp_type {
    KAJA_NO_TIMESTAMP = -1,
    KAJA_CREATE_TIME = 0,
    KAJA_LOG_APPEND_TIME = 1
};

/* A record that was read. Pointers are views into the log: owned by the batch it came from, not to
 * be written, valid until kaja_batch_release(). Kafka: ConsumerRecord. */
struct kaja_record_view {
    const char *topic; /* NUL-terminated */
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset;
    int64_t timestamp; /* ms, -1 if none */
    enum kaja_timestamp_type timestamp_type;
    const void *key; /* NULL: null key */
    size_t key_bytes;
    const void *value; /* NULL: null value */
    size_t value_bytes;
    size_t header_count;
    const void *headers; /* opaque: kaja_record_header() reads it */
    size_t headers_bytes;
};

/* Header number i (from 0) of a record. Walks from the first one: cost grows with i.
 * Errors: INVALID_ARG (no such header). Threads: any. Blocks: no. */
KAJA_API int kaja_record_header(const struct kaja_record_view *record, size_t i,
                                struct kaja_header *ret_header);

/* A topic and a partition, with an offset where a call takes or gives one. */
struct kaja_topic_partition {
    const char *topic;
    int32_t partition;
    int64_t offset;
};

/* Special offsets, as in Kafka's ListOffsets. */
#define KAJA_OFFSET_LATEST (-1)
#define KAJA_OFFSET_EARLIEST (-2)
#define KAJA_OFFSET_MAX_TIMESTAMP (-3)
#define KAJA_OFFSET_NONE (-1001) /* no offset: not stored, not found */

#ifdef __cplusplus
}
#endif
#endif
