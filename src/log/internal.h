/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/internal.h - what the files of log/ share: the log object, its segments, its words. Nobody
 * outside log/ includes it.
 *
 * Invariants of a partition, for all handles together
 *   1. Bytes below END are whole valid batches with rising offsets and never change while INCARNATION
 *      stays. Bytes at and behind END's position in the active segment mean nothing.
 *   2. Only the holder of the append lock writes to the active segment, its indexes, and the words of
 *      the appending end. It leaves INTENT = 0; a holder that finds another value finishes or undoes
 *      that change first (log/intent.c).
 *   3. A segment is active or closed. The closed ones are trimmed: their file ends with their last
 *      batch. The set of segments changes only under the append lock, and then CHANGES rises.
 *   4. Everything below DURABLE stands in segments below SYNCED_BASE, which are on disk with their
 *      names, or in the part of later ones that a flush covered.
 *   5. LOG_START <= HIGH_WATERMARK <= END, DURABLE <= END; none of them goes back while anybody is present.
 *
 * A handle's own view (struct kj_log) may lag: its list of segments follows CHANGES, its producer
 * state follows END, both when they are needed.
 *
 * Locks: `locking` around the append lock between processes: who waits for that holds no mutex, and
 * no other thread waits with him. append_lock inside of it, and alone for the state that an append
 * has; prepare_lock around the prepare lock; segments_lock for the list and the fields of segments
 * marked (s); the file cache's own lock for (f).
 */
#ifndef KJ_LOG_INTERNAL_H
#define KJ_LOG_INTERNAL_H

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/lock.h"
#include "log/checkpoint.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "log/index.h"
#include "log/log.h"
#include "log/slot.h"
#include "record/batch_writer.h"

enum { KJ_SEGMENT_FILES = 4 }; /* KJ_FILE_LOG .. KJ_FILE_TXNINDEX */

struct kj_segment {
    struct kj_log *log;
    int64_t base_offset;
    kj_atomic_u64 refs;   /* the list holds one, each user one */
    kj_atomic_u64 incarnation; /* of the partition when the directory was read */
    kj_atomic_u64 ino;         /* of the .log once it is on disk for good; 0: not looked at */
    kj_atomic_u64 moved;       /* 1: another file has its name */
    int64_t bytes;        /* (s) of the .log once closed; -1 while active */
    int64_t created_ms;   /* when this handle first saw it */
    int64_t first_batch_max_timestamp; /* (append lock) INT64_MIN: not read yet */
    int64_t max_timestamp; /* (s) of a closed segment, INT64_MIN: not read yet; -1 none */
    int64_t max_ts_offset; /* (s) */
    bool gap_told; /* (s) a reader came over missing offsets to this one, and said so */
    /* (f) open descriptors and the map */
    struct kj_file *files[KJ_SEGMENT_FILES];
    struct kj_view *view;
    /* Set by the open; opened_amid by the flush lock's holder too. A descriptor tells of write
     * errors since its open only: bytes that were in the file before may hide one. */
    int64_t opened_end; /* END behind the open */
    bool opened_amid; /* somebody was appending then: the next END too is of bytes from before */
    uint32_t pins;
    bool used; /* since the last sweep */
    struct kj_segment *lru_prev, *lru_next; /* linked while anything is open */
};

/* The hints of log/slot.h, loaded. */
struct kj_tail {
    int64_t end;
    int64_t pos;
    int64_t index_count, time_count, txn_count;
    int64_t since_index;
    int64_t max_timestamp, max_ts_offset;
};

struct kj_log {
    const struct kj_log_env *env;
    char *topic;
    char *dir;
    int32_t partition;
    uint64_t id_hi, id_lo;
    uint32_t slot_number;
    kj_word slot;
    bool has_slot; /* else words are own_words */
    bool adopted;
    kj_atomic_u64 *own_words;
    kj_log_news_callback *news;
    void *news_arg;

    struct kj_lock locking_lock; /* leaf: guards locking */
    struct kj_cond locking_cond;
    bool locking; /* a thread of this handle has the append lock, or waits for it */
    struct kj_lock append_lock;
    kj_atomic_u64 own_end; /* (append_lock) END behind the last append of this handle */
    struct kj_log_config config; /* written under append_lock and segments_lock, read under either */
    kj_atomic_u64 segment_bytes; /* the config's, for those who hold neither */
    kj_atomic_u64 flush_messages, flush_ms; /* likewise */
    int64_t roll_jitter_ms;
    int64_t jitter_base; /* segment the jitter was drawn for */
    int64_t last_time_base, last_time_end, last_time_timestamp; /* newest .timeindex entry, valid at that END */
    struct kj_producers *producers; /* NULL until needed */
    int64_t producers_end;          /* they follow the log up to here */
    struct kj_epochs epochs;
    bool epochs_read;
    struct kj_buffer plain; /* scratch of validation */

    struct kj_lock prepare_lock;
    kj_atomic_u64 window; /* bytes made ready at a time; written under prepare_lock */
    int64_t window_ns; /* (prepare_lock) when it was last extended */

    struct kj_lock list_lock; /* one reads the directory at a time */
    struct kj_lock segments_lock;
    struct kj_segment **segments; /* sorted by base offset; the last is the active one */
    size_t segment_count, segment_capacity;
    kj_atomic_u64 seen_changes; /* CHANGES when the list was read */
    kj_atomic_u64 listed; /* 1 once the list was read */
    bool index_in_the_way; /* (list_lock) an index is a link or something else than a file */
    bool leftovers;        /* (list_lock) .deleted, .cleaned or .swap are there */

    bool leaving; /* (f) it is being freed: the cache does not flush it any more */
    unsigned room_flushes; /* (f) flushes of it that make room for files just now */
    struct kj_lock flush_lock; /* leaf: guards flushing */
    struct kj_cond flush_cond;
    bool flushing;
};

/* The error of a lock between handles that was not had: os as it came, which of them ("append",
 * "flush"), the word that holds who took it last, and how long it was waited for. */
int kj_log_lock_error(struct kj_log *log, int os_errno, const char *which, enum kj_slot_word owner,
                      int64_t waited_ns);

/* --- words (log/log.c) --- */

static inline uint64_t kj_log_word(struct kj_log *log, enum kj_slot_word word)
{
    return log->has_slot ? kj_shared_load(log->env->shared, log->slot + (kj_word)word)
                         : kj_load_acquire(&log->own_words[word]);
}

static inline void kj_log_set_word(struct kj_log *log, enum kj_slot_word word, uint64_t value)
{
    if (log->has_slot)
        kj_shared_store(log->env->shared, log->slot + (kj_word)word, value);
    else
        kj_store_release(&log->own_words[word], value);
}

static inline void kj_log_raise_word(struct kj_log *log, enum kj_slot_word word, int64_t value)
{
    if (log->has_slot)
        kj_shared_raise(log->env->shared, log->slot + (kj_word)word, (uint64_t)value);
    else if ((int64_t)kj_load_acquire(&log->own_words[word]) < value)
        kj_store_release(&log->own_words[word], (uint64_t)value);
}

static inline void kj_log_point(struct kj_log *log, const char *name)
{
    if (log->has_slot)
        kj_shared_point(log->env->shared, name);
}

/* The hints that belong to END. False if neither copy does (a writer died, or words were damaged). */
bool kj_tail_load(struct kj_log *log, struct kj_tail *ret_tail);
/* Writes the copy that does not belong to END. The caller publishes tail->end afterwards. */
void kj_tail_store(struct kj_log *log, const struct kj_tail *tail);
/* Writes both copies, where END does not change: under an intent. */
void kj_tail_reset(struct kj_log *log, const struct kj_tail *tail);
/* The same as kj_tail_load(), recomputed from the files where the hints are no use. Append lock held. */
int kj_tail_get(struct kj_log *log, struct kj_tail *ret_tail);

/* Tells the story of a failed system call on a file of this partition. */
int kj_log_io_error(struct kj_log *log, int os_errno, const char *what, enum kj_file_kind kind,
                    int64_t base_offset, int64_t pos);
void kj_log_tell(struct kj_log *log, int kind, int error, int64_t offset, int64_t end_offset,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Tells it if a recovered log ends below its recovery point: something flushed is lost. */
void kj_log_tell_shorter(struct kj_log *log, int64_t recovery_point, int64_t end);

/* True if compaction may have taken offsets in front of `to`: that they are missing is no
 * damage. */
static inline bool kj_log_gap_ok(struct kj_log *log, int64_t to)
{
    return log->adopted || to <= (int64_t)kj_log_word(log, KJ_SLOT_CLEANED);
}

/* Tells that the offsets [from, to) in front of the segment that begins at base_offset are lost. */
void kj_log_tell_gap(struct kj_log *log, int64_t base_offset, int64_t from, int64_t to);

/* POISONED if a flush of it has failed. */
int kj_log_poison_error(struct kj_log *log);
/* Takes append_lock and the append lock; checks id, state, poison (unless poison_ok); finishes what a
 * dead holder left; brings the list of segments up to date. */
int kj_log_lock(struct kj_log *log, bool poison_ok);
/* LOCK_TIMED_OUT after wait_ns. since_ns: when the caller began to try, for the error. */
int kj_log_lock_within(struct kj_log *log, bool poison_ok, int64_t wait_ns, int64_t since_ns);
void kj_log_unlock(struct kj_log *log);
/* The two locks alone, for a partition that may not be loaded. */
int kj_log_lock_words(struct kj_log *log);
/* Who does it beside other things waits so long, and comes again. */
enum { KJ_LOG_SOON_NS = 10000000 };
/* Finishes or undoes the change of a dead holder. Append lock held. */
int kj_intent_settle(struct kj_log *log);
/* Finishes or undoes the swap of a compaction (log/clean_swap.c). */
int kj_clean_settle(struct kj_log *log);
/* Zeroes [pos, reach) of the active segment and takes FLUSH_WANTED back to END. */
int kj_intent_undo_append(struct kj_log *log, struct kj_segment *active, int64_t pos, int64_t reach);
int kj_log_zero(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to);
/* Raises LOG_START to log_start and removes the segments that lie wholly below it; append lock held, under
 * INTENT_DELETE. ret_bytes may be NULL. */
int kj_segments_delete_below(struct kj_log *log, int64_t log_start, int64_t *ret_bytes);

/* What recovery found, made visible. */
void kj_log_publish_recovered(struct kj_log *log, const struct kj_tail *tail, int64_t log_start);

/* --- segments (log/segment.c) --- */

/* The last segment, held. Append lock or not; the list must have been refreshed. */
struct kj_segment *kj_segment_active(struct kj_log *log);
/* The segment with the greatest base <= offset (else the first), held; *ret_next: the base of the one
 * behind it, or INT64_MAX. NULL: there are no segments. */
struct kj_segment *kj_segment_find(struct kj_log *log, int64_t offset, int64_t *ret_next);
void kj_segment_hold(struct kj_segment *segment);
void kj_segment_release(struct kj_segment *segment);
/* False, and the list is read anew next time: the .log under the segment's name, number ino, is not the one
 * that is known, or may not be. Compaction replaced it. */
bool kj_segment_same(struct kj_segment *segment, uint64_t ino);
int kj_segment_moved_error(struct kj_segment *segment);
/* For those who fail without a lock: did segments get other files since INCARNATION was `before`? Then they try
 * again, so often at most. */
enum { KJ_MOVED_TRIES = 100 };
bool kj_log_moved(struct kj_log *log, uint64_t before);
/* All files of a segment, with its snapshot. */
int kj_segment_remove_files(struct kj_log *log, int64_t base_offset);
/* Reads the directory if CHANGES moved since. */
int kj_segments_refresh(struct kj_log *log);
/* Reads the directory in any case. */
int kj_segments_list(struct kj_log *log);
/* Size of a closed segment's .log, or the tail's position for the active one. */
int kj_segment_bytes(struct kj_segment *segment, int64_t *ret_bytes);
/* Number of entries of one of its indexes that count. */
int kj_segment_index_count(struct kj_segment *segment, enum kj_file_kind kind, uint32_t *ret_count);
/* Greatest timestamp and the last offset of the batch that has it; -1 without timestamps. */
int kj_segment_max_timestamp(struct kj_segment *segment, int64_t *ret_timestamp, int64_t *ret_offset);
/* The same for ageing and lookups: the file's modification time when no record has a timestamp. */
int kj_segment_time(struct kj_segment *segment, int64_t *ret_timestamp);
/* The files of a new empty segment: from <old base>.prepared if there is one. */
int kj_segment_create_files(struct kj_log *log, int64_t base_offset, int64_t prepared_of);
/* preallocate=true: the .log has its full size from its first batch until it is closed or rolled. */
int kj_segment_allocate(struct kj_log *log, int64_t base_offset);
/* Position from which a walk finds the batch that holds offset: an index entry that its batch header confirms,
 * or 0. */
int kj_segment_position(struct kj_segment *segment, int64_t offset, int64_t *ret_pos);

/* --- open files (log/file_cache.c) --- */

/* The open file, pinned until kj_segment_unpin(); made if create. ENOENT etc. with a story told. */
int kj_segment_pin(struct kj_segment *segment, enum kj_file_kind kind, bool create,
                   struct kj_file **ret_file);
void kj_segment_unpin(struct kj_segment *segment);
/* A held view that maps at least bytes of the .log. */
int kj_segment_view(struct kj_segment *segment, int64_t bytes, struct kj_view **ret_view);
/* Makes the indexes of a closed segment survive a power cut (log/flush.c). */
int kj_segment_sync_indexes(struct kj_segment *segment);
/* The log is about to be freed: waits for a flush of it that makes room, and lets none begin. */
void kj_file_cache_leave(struct kj_file_cache *cache, struct kj_log *log);
/* Closes what is open, when nothing is pinned any more; flushes nothing. */
void kj_segment_close(struct kj_segment *segment);

struct kj_view {
    kj_atomic_u64 refs;
    const uint8_t *base; /* byte `pos` of the segment stands at base + (pos - start) */
    size_t len;
    int64_t start;
    struct kj_io *io; /* NULL: base is memory of its own */
};
/* A copy of [pos, pos + len) read with pread. */
int kj_view_copy(struct kj_segment *segment, int64_t pos, size_t len, struct kj_view **ret_view);

/* --- scanning (log/scan.c): batches of a file one after the other, by pread, bounded memory --- */

enum kj_scan_result {
    KJ_SCAN_BATCH,    /* *batch is one, and its CRC right if asked */
    KJ_SCAN_END,      /* at the limit exactly */
    KJ_SCAN_PARTIAL,  /* fewer bytes left than a batch needs */
    KJ_SCAN_ZEROS,    /* prepared space */
    KJ_SCAN_BAD,      /* no plausible header */
    KJ_SCAN_BAD_CRC,  /* a plausible header (in *batch) whose CRC is wrong */
    KJ_SCAN_OLD_MAGIC,
    KJ_SCAN_ERROR     /* reading failed: errno in scan->os_errno */
};

struct kj_scan {
    struct kj_file *file;
    int64_t pos;   /* of the batch to look at next */
    int64_t limit; /* bytes of the file that count */
    bool crc;
    int os_errno;
    uint8_t *buf; /* aligned for O_DIRECT */
    size_t capacity;
    int64_t buf_pos;
    size_t buf_len;
};

int kj_scan_init(struct kj_scan *scan, struct kj_file *file, int64_t pos, int64_t limit, bool crc);
void kj_scan_free(struct kj_scan *scan);
/* Looks at scan->pos and does not move. head (61 bytes, or as many as a marker needs) may be NULL. */
enum kj_scan_result kj_scan_look(struct kj_scan *scan, struct kj_batch *ret_batch);
/* DAMAGED if the batch at scan->pos ends where Kafka's positions of 32 bits do not reach. */
int kj_scan_too_far(struct kj_log *log, const struct kj_scan *scan, const struct kj_batch *batch,
                    int64_t base_offset);
/* Bytes [pos, pos + len), len <= 4096, or NULL (end of file or error). Valid until the next call. */
const uint8_t *kj_scan_bytes(struct kj_scan *scan, int64_t pos, size_t len);
/* The first position from pos on, below the limit, whose byte is not zero or cannot be read; the limit
 * if there is none. What it costs goes by the data there is, not by the file's size: holes are passed over. */
int64_t kj_scan_nonzero(struct kj_scan *scan, int64_t pos);
/* For searches, byte by byte: p, at pos, begins no batch. A position in front of the next one to look at:
 * a header has its magic at 16, so that zeros are passed over at once. */
int64_t kj_scan_candidate(struct kj_scan *scan, int64_t pos, const uint8_t *p);
static inline void kj_scan_skip(struct kj_scan *scan, const struct kj_batch *batch)
{
    scan->pos += (int64_t)kj_batch_bytes(batch);
}

/* --- indexing as batches go by (log/indexer.c): the same rules for append and rebuild --- */

struct kj_indexer {
    int64_t base_offset;
    int64_t interval;
    struct kj_tail tail; /* pos, counts, since_index, timestamps: moved on by each batch */
    int64_t last_time;   /* timestamp of the newest time entry, -1 none */
    bool rebuild;        /* recovery's rule: by position of the last entry */
    int64_t last_entry_pos;
    struct kj_buffer offsets, times; /* encoded entries not written yet */
};
void kj_indexer_init(struct kj_indexer *indexer, int64_t base_offset, int64_t interval,
                     const struct kj_tail *tail, int64_t last_time);
void kj_indexer_free(struct kj_indexer *indexer);
int kj_indexer_batch(struct kj_indexer *indexer, const struct kj_batch *batch);
/* The closing time entry, if it is due. */
int kj_indexer_close(struct kj_indexer *indexer);
/* Writes the pending entries to the segment's files; first_index, first_time: where they begin. */
int kj_indexer_write(struct kj_indexer *indexer, struct kj_segment *segment);
int kj_indexer_write_times(struct kj_indexer *indexer, struct kj_segment *segment);

/* --- producer state of this handle (log/catch_up.c); append lock held unless said --- */
int kj_log_catch_up(struct kj_log *log, int64_t end);
/* The same, past what cannot be read. */
int kj_log_catch_up_to_append(struct kj_log *log, int64_t end);
int kj_log_load_snapshot(struct kj_log *log, int64_t end, int64_t *ret_offset);
/* Notes a batch of the log in the state; txn entries of ABORT markers to *ret_txn (count 0 or 1). */
int kj_log_note_batch(struct kj_log *log, const struct kj_batch *batch, const uint8_t *bytes,
                      struct kj_txn_entry *ret_txn, bool *ret_has_txn);

/* --- rolling (log/roll.c); append lock held --- */
bool kj_roll_due(struct kj_log *log, struct kj_segment *active, const struct kj_tail *tail,
                 const struct kj_batch *batch, size_t bytes);
int kj_roll(struct kj_log *log, struct kj_tail *tail);
int kj_roll_publish(struct kj_log *log, struct kj_tail *tail);
/* Closing time entry; files cut to what counts. Moves tail's counts. */
int kj_segment_trim(struct kj_log *log, struct kj_segment *segment, struct kj_tail *tail);
/* Timestamp of the newest time index entry, -1 none. */
int kj_log_last_time(struct kj_log *log, struct kj_segment *segment, const struct kj_tail *tail,
                     int64_t *ret_timestamp);

/* Reads leader-epoch-checkpoint once. */
int kj_log_epochs(struct kj_log *log);
int kj_log_epoch(struct kj_log *log, int64_t base_offset, int32_t *ret_epoch);
/* CRCs of [from, to) read past the page cache. */
int kj_log_verify_direct(struct kj_log *log, int64_t from_offset, int64_t to_offset);

#endif
