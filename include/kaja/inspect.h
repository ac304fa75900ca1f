/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/inspect.h - looking at files: verify and dump, without changing a byte.
 */
#ifndef KAJA_INSPECT_H
#define KAJA_INSPECT_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum kaja_finding_kind {
    KAJA_FINDING_DAMAGE = 1,        /* bytes that should be a batch are not */
    KAJA_FINDING_UNFLUSHED_TAIL = 2, /* a torn or zero tail: normal after a crash, not damage */
    KAJA_FINDING_INDEX = 3,         /* an index disagrees with its log (it is rebuilt at need) */
    KAJA_FINDING_FOREIGN = 4        /* a file that does not belong here */
};

struct kaja_finding {
    enum kaja_finding_kind kind;
    int error;
    const char *file; /* relative to the directory */
    const char *topic; /* NULL if none */
    int32_t partition;
    int64_t offset; /* first offset concerned, -1 unknown */
    int64_t pos;    /* byte position, -1 unknown */
    int64_t bytes;  /* extent, -1 unknown */
    const char *text;
};
typedef void kaja_finding_callback(void *arg, const struct kaja_finding *finding);

struct kaja_verify_result {
    int64_t partitions, segments, batches, records, bytes;
    int64_t damage; /* findings of kind DAMAGE or INDEX */
};

/* Reads everything in the directory (topic NULL: all), also while others write, and reports what it
 * finds. Changes nothing and needs no open store. Pointers in findings are valid during the call.
 * Errors: NO_DIRECTORY, UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR; findings are no error.
 * Threads: any. Blocks: on reads. */
KAJA_API int kaja_verify(const char *path, const char *topic, kaja_finding_callback *callback,
                         void *arg, struct kaja_verify_result *ret_result);

/* A batch header as it stands in a file. */
struct kaja_batch_info {
    int64_t pos;
    int64_t base_offset, last_offset;
    int32_t bytes; /* of the whole batch */
    int32_t leader_epoch;
    int8_t magic;
    uint32_t crc;
    int crc_valid;
    int16_t attributes;
    const char *codec;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence, last_sequence;
    int32_t record_count;
    const uint8_t *raw; /* the whole batch, valid during the call */
};

/* One record of a dumped batch. control_type: -1 for data, else 0 ABORT, 1 COMMIT, ... */
struct kaja_dump_record {
    struct kaja_record_view view;
    int32_t sequence;
    int control_type;
    int32_t coordinator_epoch;
    uint64_t raw_pos;   /* position of the record in the uncompressed section */
    uint32_t raw_bytes; /* its length there */
};

/* Return non-zero to stop. */
typedef int kaja_dump_batch_callback(void *arg, const struct kaja_batch_info *batch);
typedef int kaja_dump_record_callback(void *arg, const struct kaja_batch_info *batch,
                                      const struct kaja_dump_record *record);

/* Walks the batches of a .log file up to max_bytes (negative: all); with on_record != NULL also
 * their records. *ret_trailing gets the bytes behind the last whole batch.
 * Errors: KAFKA_STORAGE_ERROR, CORRUPT_MESSAGE, INVALID_RECORD, BAD_COMPRESSION,
 * UNSUPPORTED_MAGIC, UNSUPPORTED_COMPRESSION_TYPE. Threads: any. Blocks: on reads. */
KAJA_API int kaja_dump_log(const char *file, int64_t max_bytes, kaja_dump_batch_callback *on_batch,
                           kaja_dump_record_callback *on_record, void *arg, int64_t *ret_trailing);

struct kaja_index_entry {
    int64_t offset;    /* .index, .timeindex: absolute offset; .txnindex: last offset */
    int64_t position;  /* .index */
    int64_t timestamp; /* .timeindex */
    int16_t version;   /* .txnindex and the following */
    int64_t producer_id, first_offset, last_stable_offset;
};
typedef int kaja_dump_index_callback(void *arg, const struct kaja_index_entry *entry);

/* Walks the entries of an .index, .timeindex or .txnindex file.
 * Errors: INVALID_ARG (name), KAFKA_STORAGE_ERROR, DAMAGED. Threads: any. Blocks: on reads. */
KAJA_API int kaja_dump_index(const char *file, kaja_dump_index_callback *callback, void *arg);

struct kaja_snapshot_entry {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t coordinator_epoch;
    int64_t current_txn_first_offset; /* -1: none */
    int64_t last_timestamp;
    int32_t first_sequence, last_sequence; /* -1 and -1: no batch */
    int64_t last_offset;
    int32_t offset_delta;
};
typedef int kaja_dump_snapshot_callback(void *arg, const struct kaja_snapshot_entry *entry);

/* Walks a producer .snapshot file. Errors: KAFKA_STORAGE_ERROR, DAMAGED, UNSUPPORTED_VERSION.
 * Threads: any. Blocks: on reads. */
KAJA_API int kaja_dump_snapshot(const char *file, kaja_dump_snapshot_callback *callback, void *arg);

#ifdef __cplusplus
}
#endif
#endif
