/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/index.h - the three index files of a segment. Entries of fixed size, no header, big-endian.
 *
 *   .index      8 bytes   i32 relative offset, i32 position: the batch that starts at position ends with
 *                         this offset. Both strictly rise.
 *   .timeindex  12 bytes  i64 timestamp, i32 relative offset: the greatest timestamp so far is this, first
 *                         reached in the batch that ends with this offset. Timestamps strictly rise.
 *   .txnindex   34 bytes  i16 version 0, i64 producer id, i64 first offset, i64 last offset (the ABORT
 *                         marker's), i64 last stable offset: one per aborted transaction.
 *
 * How many entries count is not known to the file: a writer that died may have left some behind the
 * count. The count is the slot's (log/slot.h) for an active segment and size / entry for a closed one.
 * An index is never evidence: whoever uses an entry checks the batch header it points to, and a
 * segment whose index lies is indexed anew.
 *
 * Reads go through pread in pieces of 4 KiB: a map per index would cost too many maps.
 * Kafka: OffsetIndex, TimeIndex, TransactionIndex.
 */
#ifndef KJ_LOG_INDEX_H
#define KJ_LOG_INDEX_H

#include "os/io.h"

#include <stdbool.h>
#include <stdint.h>

enum { KJ_OFFSET_ENTRY_BYTES = 8, KJ_TIME_ENTRY_BYTES = 12, KJ_TXN_ENTRY_BYTES = 34 };

struct kj_offset_entry {
    int64_t offset; /* absolute: last offset of the batch at pos */
    int64_t pos;
};

struct kj_time_entry {
    int64_t timestamp;
    int64_t offset; /* absolute */
};

struct kj_txn_entry {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset;
    int64_t last_stable_offset;
};

/* --- .index (log/offset_index.c); file functions return 0 or errno --- */
void kj_offset_entry_encode(const struct kj_offset_entry *entry, int64_t base_offset, uint8_t *p);
void kj_offset_entry_decode(const uint8_t *p, int64_t base_offset, struct kj_offset_entry *ret_entry);
/* The greatest of the first count entries with offset <= target: its number to *ret_i, and the entry;
 * none: *ret_i = -1 and (base_offset, 0). */
int kj_offset_index_lookup(struct kj_file *file, int64_t base_offset, uint32_t count, int64_t target,
                           int64_t *ret_i, struct kj_offset_entry *ret_entry);

/* --- .timeindex (log/time_index.c) --- */
void kj_time_entry_encode(const struct kj_time_entry *entry, int64_t base_offset, uint8_t *p);
void kj_time_entry_decode(const uint8_t *p, int64_t base_offset, struct kj_time_entry *ret_entry);
int kj_time_index_read(struct kj_file *file, int64_t base_offset, uint32_t i,
                       struct kj_time_entry *ret_entry);
/* The greatest with timestamp <= target; none: *ret_i = -1 and (-1, base_offset). */
int kj_time_index_lookup(struct kj_file *file, int64_t base_offset, uint32_t count, int64_t target,
                         int64_t *ret_i, struct kj_time_entry *ret_entry);

/* --- .txnindex (log/txn_index.c) --- */
void kj_txn_entry_encode(const struct kj_txn_entry *entry, uint8_t *p);
/* DAMAGED: version not 0, or last offset below base_offset. */
int kj_txn_entry_decode(const uint8_t *p, int64_t base_offset, struct kj_txn_entry *ret_entry);
/* Calls back for entries 0 .. count-1 in order; non-zero stops and is returned. 0, DAMAGED, or
 * KAFKA_STORAGE_ERROR with its story. */
typedef int kj_txn_index_callback(void *arg, const struct kj_txn_entry *entry);
int kj_txn_index_walk(struct kj_file *file, int64_t base_offset, uint32_t count,
                      kj_txn_index_callback *callback, void *arg);

#endif
