/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean.h - what the files of compaction share: clean_round.c drives a round, some bytes at a
 * time, clean.c finds what can be cleaned and its keys, clean_txn.c follows the transactions,
 * clean_write.c writes a group of segments anew, clean_swap.c puts it in place.
 *
 * A round of one partition: under the append lock what can be cleaned is looked up; then, without a lock, the keys
 * of the dirty segments go into the map, and all segments below its end are written anew, several
 * small ones as one, beside the old ones as <base>.<kind>.cleaned. Only closed segments that are wholly on disk.
 * Exclusive between the handles: one task lock of the store.
 * Kafka: LogCleaner, Cleaner, CleanedTransactionMetadata.
 */
#ifndef KJ_LOG_CLEAN_H
#define KJ_LOG_CLEAN_H

#include "base/hash.h"
#include "log/clean_map.h"
#include "log/internal.h"

/* A closed segment as it was when the round began. */
struct kj_clean_segment {
    int64_t base_offset, next_offset; /* next: the base of the one behind it */
    int64_t bytes, index_bytes, time_bytes;
};

/* The transactions that a walk over the log meets, in its order. */
struct kj_clean_txns {
    struct kj_txn_entry *aborted; /* not yet met, by first offset */
    size_t aborted_count, aborted_capacity, aborted_at;
    struct kj_map running;   /* producer id -> struct kj_clean_abort */
    struct kj_map committed; /* producer id -> itself: batches were seen, the marker not yet */
};

struct kj_clean {
    struct kj_log *log; /* whoever goes on may have another object of the same log */
    struct kj_log_config config; /* as it was when the round began */
    int64_t now_ms;
    int64_t first_dirty, uncleanable;
    int64_t end; /* keys below are in the map */
    struct kj_clean_map map;
    struct kj_clean_segment *segments; /* from the log's first to the last cleanable one */
    size_t segment_count, segment_capacity;
    struct kj_map producers; /* producer id -> struct kj_clean_producer */
    struct kj_clean_producer *producer_items;
    struct kj_buffer plain;
    struct kj_buffer chunk; /* what is read */
};

/* What must stay of a producer, so that its sequence stays known. */
struct kj_clean_producer {
    int64_t last_data_offset; /* -1: only markers */
    int16_t epoch;
};

/* A walk over the batches of a segment's .log, each whole, its CRC checked, in order. */
struct kj_clean_walk {
    struct kj_clean *clean;
    const struct kj_clean_segment *segment;
    struct kj_file *file;
    int64_t pos, size;
    int64_t expected; /* least offset of the next batch */
    int64_t chunk_pos;
};
int kj_clean_walk_begin(struct kj_clean *clean, const struct kj_clean_segment *segment,
                        struct kj_clean_walk *ret_walk);
/* *ret_bytes NULL: the end. Else valid until the next call. DAMAGED, UNSUPPORTED_MAGIC. */
int kj_clean_walk_next(struct kj_clean_walk *walk, struct kj_batch *ret_batch, const uint8_t **ret_bytes);
void kj_clean_walk_end(struct kj_clean_walk *walk);
int kj_clean_damaged(const struct kj_clean_walk *walk, const char *why);

/* --- clean_txn.c --- */
void kj_clean_txns_free(struct kj_clean_txns *txns);
/* Takes in what the txn indexes say of [from, to), if the markers in the log confirm it. DAMAGED. */
int kj_clean_txns_add(struct kj_clean_txns *txns, struct kj_log *log, int64_t from, int64_t to);
/* *ret_aborted: a batch of a transaction that was aborted. */
int kj_clean_txns_batch(struct kj_clean_txns *txns, const struct kj_batch *batch, bool *ret_aborted);
/* *ret_needless: no batch of the marker's transaction is left. Else *ret_entry (of ABORT, *ret_has_entry) belongs
 * into the new txn index. DAMAGED: the index does not know it, or knows it otherwise. */
int kj_clean_txns_marker(struct kj_clean_txns *txns, struct kj_log *log, const struct kj_batch *batch,
                         const uint8_t *bytes, bool *ret_needless, bool *ret_has_entry,
                         struct kj_txn_entry *ret_entry);

/* --- clean_write.c --- */
/* What became of a group. */
struct kj_clean_group {
    const struct kj_clean_segment *segments;
    size_t count;
    int64_t bytes; /* of the new .log */
    bool changed;  /* false: it would be the same bytes, and no file is left */
};
/* Writes the .cleaned files of the group, flushed; not their names. What it is given stays where it
 * is until end. step: until *budget_bytes were read; *ret_done with group->bytes and group->changed
 * set. end: frees; unless it went well and something changed (keep), the files are removed. */
struct kj_clean_output;
int kj_clean_write_begin(struct kj_clean *clean, struct kj_clean_txns *txns,
                         struct kj_clean_group *group,
                         struct kj_clean_output **ret_output);
int kj_clean_write_step(struct kj_clean_output *output, int64_t *budget_bytes, bool *ret_done);
int kj_clean_write_end(struct kj_clean_output *output, bool keep);
/* All at once. */
int kj_clean_write(struct kj_clean *clean, struct kj_clean_txns *txns, struct kj_clean_group *group);
/* Removes them. */
int kj_clean_discard(struct kj_log *log, int64_t base_offset);
/* "<dir>/<base>.<kind><suffix>" */
void kj_clean_path(char path[static KJ_PATH_MAX], struct kj_log *log, enum kj_file_kind kind, int64_t base_offset,
                   const char *suffix);

/* --- clean_swap.c --- */
/* Puts the .cleaned files of the group into the place of its segments. *ret_done false: they are not any more what
 * they were, and the files are gone. LOCK_TIMED_OUT after wait_ns, with nothing changed. */
int kj_clean_swap(struct kj_clean *clean, const struct kj_clean_group *group, int64_t wait_ns,
                  bool *ret_done);

/* --- clean.c --- */
void kj_clean_free(struct kj_clean *clean);
/* What can be cleaned, and what must stay. Takes the append lock for it: LOCK_TIMED_OUT. */
int kj_clean_begin(struct kj_log *log, int64_t first_dirty, int64_t wait_ns,
                   struct kj_clean *ret_clean);
/* Puts the keys into the map, which was made; sets end. Until *budget_bytes were read, or
 * keys->done. */
struct kj_clean_keys {
    struct kj_clean_txns txns;
    struct kj_clean_walk walk;
    size_t at;
    bool walking, done;
};
int kj_clean_keys_step(struct kj_clean *clean, struct kj_clean_keys *keys, int64_t *budget_bytes);
void kj_clean_keys_end(struct kj_clean_keys *keys);
/* All at once, with a map of at most map_bytes. */
int kj_clean_keys(struct kj_clean *clean, size_t map_bytes);
/* The next segments that become one, from clean->segments[at] on. */
void kj_clean_next_group(const struct kj_clean *clean, size_t at, struct kj_clean_group *ret_group);

#endif
