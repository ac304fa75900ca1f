/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/producer_state.h - what a partition knows of its producers: sequences for idempotence, open
 * transactions for the last stable offset. It follows from the log: every handle builds its own by
 * reading batches, a snapshot only shortens the way.
 *
 * Snapshot file %020d.snapshot (number: the next offset when it was taken):
 *   i16 version 1, u32 CRC-32C of everything from byte 6, i32 count, then 46 bytes each:
 *   i64 producer id, i16 epoch, i32 last sequence, i64 last offset, i32 offset delta, i64 timestamp,
 *   i32 coordinator epoch, i64 current transaction's first offset
 *
 * Kafka: ProducerStateManager, ProducerStateEntry, ProducerAppendInfo.
 */
#ifndef KJ_LOG_PRODUCER_STATE_H
#define KJ_LOG_PRODUCER_STATE_H

#include "log/index.h"
#include "os/io.h"
#include "record/batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_PRODUCER_BATCHES = 5 }; /* the duplicate window */

struct kj_producer_batch {
    int32_t first_sequence, last_sequence;
    int64_t last_offset;
    int32_t offset_delta; /* first offset = last_offset - offset_delta */
    int64_t timestamp;
};

struct kj_producer {
    int64_t producer_id;
    int16_t epoch;
    uint8_t batch_count; /* newest last in batches[] */
    struct kj_producer_batch batches[KJ_PRODUCER_BATCHES];
    int64_t timestamp; /* of its newest batch or marker */
    int32_t coordinator_epoch; /* -1 */
    int64_t txn_first_offset;  /* -1: no open transaction */
};

struct kj_producers; /* all producers of one partition; not thread-safe */

int kj_producers_new(struct kj_producers **ret_producers);
void kj_producers_free(struct kj_producers *producers);
void kj_producers_clear(struct kj_producers *producers);
size_t kj_producers_count(const struct kj_producers *producers);
/* NULL if unknown. Valid until the next change. */
const struct kj_producer *kj_producers_find(const struct kj_producers *producers, int64_t producer_id);
/* Walk: *at starts at 0; NULL at the end. */
const struct kj_producer *kj_producers_next(const struct kj_producers *producers, size_t *at);

/* May this data batch (producer id >= 0) be appended? Changes nothing. A duplicate of one of the last
 * five: 0 with *ret_duplicate = true and its offsets. client: sequences are checked.
 * OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE. */
struct kj_producer_answer {
    bool duplicate;
    int64_t first_offset, last_offset, timestamp; /* of the original, if duplicate */
};
int kj_producers_check(const struct kj_producers *producers, const struct kj_batch *batch, bool client,
                       struct kj_producer_answer *ret_answer);
/* May this marker be appended? INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED. */
int kj_producers_check_marker(const struct kj_producers *producers, const struct kj_batch *batch,
                              int32_t coordinator_epoch);

/* Notes a data batch that stands in the log (offsets assigned). Batches without producer id are ignored. */
int kj_producers_add(struct kj_producers *producers, const struct kj_batch *batch);
/* Notes a marker; if it ends a transaction, *ret_entry is filled and *ret_ended true (for ABORT the
 * entry goes to the txn index; last_stable_offset is right for the moment behind the marker). */
int kj_producers_add_marker(struct kj_producers *producers, const struct kj_batch *batch, int type,
                            int32_t coordinator_epoch, bool *ret_ended, struct kj_txn_entry *ret_entry);

/* First offset of the earliest transaction that is open for a reader of records below high_watermark:
 * also one whose marker lies at or behind it. -1: none. Ended transactions below it are forgotten. */
int64_t kj_producers_first_unstable(struct kj_producers *producers, int64_t high_watermark);

/* Forgets producers without open transaction and with now - timestamp >= expiration_ms. */
void kj_producers_expire(struct kj_producers *producers, int64_t now_ms, int64_t expiration_ms);
/* Drops the oldest without open transaction until at most max are left; returns how many went. */
size_t kj_producers_bound(struct kj_producers *producers, size_t max);
/* Those with an open transaction, as a state of their own; NULL: none has one. */
int kj_producers_copy_open(const struct kj_producers *producers, struct kj_producers **ret_open);
/* A handle that closes cleanly takes its own id along. */
void kj_producers_forget(struct kj_producers *producers, int64_t producer_id);

/* Snapshots. dir: the partition's. read replaces the state; DAMAGED: bad version, CRC or size. */
int kj_producers_read(struct kj_producers *producers, struct kj_io *io, const char *dir, int64_t offset);
int kj_producers_write(const struct kj_producers *producers, struct kj_io *io, const char *dir,
                       int64_t offset, bool durable);
/* Decodes snapshot bytes (for inspection): DAMAGED, UNSUPPORTED_VERSION. */
typedef int kj_producer_callback(void *arg, const struct kj_producer *producer);
int kj_snapshot_decode(const uint8_t *bytes, size_t len, kj_producer_callback *callback, void *arg);

#endif
