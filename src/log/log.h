/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/log.h - one partition: an ordered sequence of batches over segment files, appended to and read by
 * many handles at once. A kj_log is one handle's view of it. What is common to all handles stands in
 * the files and in the slot (log/slot.h), never in a kj_log.
 *
 * Kafka: UnifiedLog, LocalLog, LogSegments.
 */
#ifndef KJ_LOG_LOG_H
#define KJ_LOG_LOG_H

#include "log/producer_state.h"
#include "log/slot.h"
#include "os/clock.h"
#include "os/io.h"
#include "os/shared.h"
#include "record/batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The properties of a topic as a log needs them, by value. */
struct kj_log_config {
    int64_t segment_bytes;
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int64_t index_interval_bytes;
    int64_t segment_index_bytes;
    int64_t max_message_bytes;
    int64_t timestamp_before_max_ms;
    int64_t timestamp_after_max_ms;
    int64_t retention_ms;    /* -1 off */
    int64_t retention_bytes; /* < 0 off */
    int64_t flush_messages;
    int64_t flush_ms;
    int64_t delete_retention_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms;
    int64_t min_cleanable_ppm; /* min.cleanable.dirty.ratio, in millionths */
    int64_t producer_expiration_ms;
    bool log_append_time;
    bool cleanup_delete;
    bool cleanup_compact;
    bool preallocate;
    int compression; /* -1 producer, else enum kj_codec to store with */
    int compression_level;
};
void kj_log_config_defaults(struct kj_log_config *config);

/* News for the store: recovered, damage, poisoned. May be called with locks held: it only queues. */
struct kj_log_news {
    int kind;  /* enum kaja_event_kind */
    int error;
    int64_t offset, end_offset;
    const char *text;
};
typedef void kj_log_news_callback(void *arg, const struct kj_log_news *news);

/* Open descriptors and maps of one store handle, bounded, least recently used first out; a descriptor
 * with bytes above `durable` is flushed before it is closed. */
struct kj_file_cache;
int kj_file_cache_new(size_t files_max, size_t maps_max, struct kj_file_cache **ret_cache);
void kj_file_cache_free(struct kj_file_cache *cache); /* every log closed before */
size_t kj_file_cache_open_files(struct kj_file_cache *cache);
/* What the owner of the cache is told, from within any call and under any locks. */
struct kj_file_cache_calls {
    void *arg;
    /* Making room made a partition durable further: who waits for that is to be woken. */
    void (*flushed)(void *arg, uint32_t slot_number);
    /* Room can be made by flushes only: kj_file_cache_trim() is wanted soon. */
    void (*full)(void *arg);
};
void kj_file_cache_listen(struct kj_file_cache *cache, const struct kj_file_cache_calls *calls);
/* Goes back below the bounds, with flushes where they are needed. Nothing may be held. */
void kj_file_cache_trim(struct kj_file_cache *cache);
/* Closes what was not used since the call before. */
void kj_file_cache_sweep(struct kj_file_cache *cache);

/* What is common to the logs of one store handle; outlives them. */
struct kj_log_env {
    struct kj_io *io;
    struct kj_shared *shared;
    const struct kj_clock *clock;
    struct kj_file_cache *files;
    uint64_t owner;          /* handle number << 32 | pid */
    int64_t lock_timeout_ns; /* for append and flush locks */
    int64_t prepare_window_max; /* bytes; 0: nothing is prepared */
    size_t producer_ids_max;
    bool read_only;
    bool fetch_copy;         /* read with pread instead of through maps */
};

struct kj_log_options {
    const struct kj_log_env *env;
    const char *topic; /* copied */
    int32_t partition;
    const char *dir; /* "<topic>-<partition>"; copied */
    uint8_t topic_id[16];
    uint32_t slot_number;
    kj_word slot; /* its first word; UINT32_MAX: no control file (read-only, nobody live): words are private */
    bool adopted; /* Kafka wrote parts of it: offsets may have gaps left by compaction */
    struct kj_log_config config;
    kj_log_news_callback *news;
    void *news_arg;
};

struct kj_log;

/* Makes the handle's object; touches no file. */
int kj_log_new(const struct kj_log_options *options, struct kj_log **ret_log);
/* Frees it. Bytes of this handle above durable must have been flushed, or the fd cache flushes them. */
void kj_log_free(struct kj_log *log);

/* Makes directory, partition.metadata, leader-epoch-checkpoint and first segment of a new partition, and
 * fsyncs them. Completes a half-made one. Exclusive: under the catalog lock. */
int kj_log_create_files(struct kj_io *io, const char *dir, const uint8_t topic_id[static 16]);

/* Brings the slot from UNLOADED to READY after a clean stop: end from the last segment, checked
 * against recovery_point (-1: unknown); if it does not fit, recovers. Safe to call by many at once. Every function
 * below needs a loaded log and returns an error if the slot's topic id is another (UNKNOWN_TOPIC_ID). */
int kj_log_load(struct kj_log *log, int64_t recovery_point, int64_t log_start);
/* Compaction was, or will be, below this offset: missing ones are no damage there. Raised only;
 * known to all handles. What keeps it is the caller's (store/checkpoints.c): on disk before
 * kj_log_clean() changes a file. Where the words are the log's own, before kj_log_load(). */
void kj_log_set_cleaned(struct kj_log *log, int64_t offset);
/* Below it records may have been taken away; 0: none was. Raised before the first one goes. */
int64_t kj_log_cleaned(struct kj_log *log);
/* After an unclean stop, by the first opener alone: design 2.5. */
int kj_log_recover(struct kj_log *log, int64_t recovery_point, int64_t log_start);

/* --- appending (log/append.c) --- */

struct kj_append_batch {
    uint8_t *bytes; /* sealed; offset, epoch and, for LogAppendTime, time and CRC are written into it */
    size_t len;
    bool durable;  /* acks=all: readable once flushed */
    int ret_error; /* of this batch; the others go on */
    bool ret_duplicate;
    int64_t ret_base_offset;
    int64_t ret_append_time; /* -1 unless LogAppendTime */
};

enum kj_append_origin {
    KJ_APPEND_CLIENT,  /* untrusted bytes: every check of semantics 2 */
    KJ_APPEND_TRUSTED, /* sealed by our own producer, which checked each record */
    KJ_APPEND_INTERNAL /* markers and coordinator records: no client-only checks */
};

/* Appends batches in order, as many as can go in one write. Each batch has its own result; the return
 * value is 0 or an error that concerns all that have ret_error set to it. News of the new end is
 * the caller's to spread. Threads: any. Blocks: for the append lock (LOCK_TIMED_OUT). */
int kj_log_append(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                  enum kj_append_origin origin);
/* The same for those who have other things to do: waits for some milliseconds. *ret_busy with
 * LOCK_TIMED_OUT: it is to be tried again, as lock_timeout_ns have not passed since since_ns, when
 * the caller tried first. */
int kj_log_append_soon(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                       enum kj_append_origin origin, int64_t since_ns, bool *ret_busy);
/* The same in steps, for those to whom the append lock means more (groups): hold takes it, a
 * poisoned partition's too; append_held appends as often as wanted; let_go gives it up. In between no
 * call on this log but the cheap ones and reading. Errors as kj_log_append(). */
int kj_log_hold(struct kj_log *log);
/* The same, waiting for some milliseconds only. */
int kj_log_hold_soon(struct kj_log *log);
/* The same until the deadline, but some milliseconds at least. */
int kj_log_hold_by(struct kj_log *log, int64_t deadline_ns);
int kj_log_append_held(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                       enum kj_append_origin origin);
void kj_log_let_go(struct kj_log *log);
/* A producer of this handle is gone for good: what this handle knows of it goes too, and so does not
 * get into the snapshots that it writes. */
void kj_log_forget_producer(struct kj_log *log, int64_t producer_id);

/* NO_DIRECTORY once the directory was removed, or replaced by another one, while this handle has it
 * open: what goes into its files from then on is seen by nobody. look: asks the kernel, one
 * fstat(); else what is known already. */
int kj_log_gone(struct kj_shared *shared, bool look);

/* --- offsets; cheap, lock-free --- */
int64_t kj_log_end(struct kj_log *log);
int64_t kj_log_durable(struct kj_log *log);
int64_t kj_log_high_watermark(struct kj_log *log);
int64_t kj_log_start(struct kj_log *log);
bool kj_log_poisoned(struct kj_log *log);
/* True if this handle itself appended what is not durable yet: it alone is sure to hear of it if it
 * cannot be written. */
bool kj_log_owes_flush(struct kj_log *log);
/* True if some acks=all batch waits for a flush. */
bool kj_log_flush_due(struct kj_log *log);
/* True if flush.messages is set and a flush is due: its asking, or an acks=all batch's. */
bool kj_log_flush_messages_due(struct kj_log *log);
/* flush.ms; INT64_MAX: never. */
int64_t kj_log_flush_ms(struct kj_log *log);
/* The producers whose transactions are open at the end; NULL: none. kj_producers_free(). */
struct kj_producers;
int kj_log_open_producers(struct kj_log *log, struct kj_producers **ret_open);
/* Catches up first. Waits for an append of this handle that is going on; for another process only
 * when that append rolls, and the other was stopped while it made pages ready: up to
 * lock_timeout_ns. */
int kj_log_last_stable(struct kj_log *log, int64_t *ret_offset);

/* --- reading (log/read.c) --- */

/* A piece of memory that holds whole batches: a pinned map of a segment, or a copy. */
struct kj_view;
void kj_view_hold(struct kj_view *view);
void kj_view_release(struct kj_view *view); /* any thread */

/* Where a reader stands; zeroed = unknown. Keyed by incarnation and segment, so it may be stale. */
struct kj_log_cursor {
    int64_t offset;
    int64_t pos;
    int64_t segment_base;
    uint64_t incarnation;
    bool valid;
};

struct kj_log_read {
    struct kj_view *view; /* held for the caller; NULL when there is nothing */
    const uint8_t *bytes; /* whole batches, the first may begin below the offset asked */
    size_t len;
    int64_t next_offset; /* behind the last batch */
    int64_t pos;         /* of bytes in the segment's file */
    int64_t segment_base;
    int32_t batch_count;
};

/* Batches from the one that holds offset, up to max_bytes (the first always whole when min_one), below
 * limit_offset (high watermark or last stable offset, the caller's choice), not across a segment's end.
 * OFFSET_OUT_OF_RANGE (below start, above end), DAMAGED (a refused range: place.offset behind it). CRCs are the reader's business. */
int kj_log_read(struct kj_log *log, int64_t offset, int64_t limit_offset, size_t max_bytes, bool min_one,
                struct kj_log_cursor *cursor, struct kj_log_read *ret_read);

/* Aborted transactions among [from, to): callback gets producer id and first offset. Semantics 5. */
int kj_log_aborted(struct kj_log *log, int64_t from, int64_t to, kj_txn_index_callback *callback, void *arg);

/* Semantics 6. timestamp >= 0, or -3 for the maximum. None: *ret_offset = -1, *ret_timestamp = -1. */
int kj_log_offset_for_time(struct kj_log *log, int64_t timestamp, int64_t limit_offset,
                           int64_t *ret_offset, int64_t *ret_timestamp);

/* --- flushing (log/flush.c) --- */

/* One partition's part in a flush. begin takes the flush lock, notes the end and finishes older
 * segments; then the caller syncs file (NULL: nothing to do) together with others'; end publishes
 * durable, or poisons the partition. Every successful begin needs an end. */
struct kj_log_flush {
    struct kj_log *log;
    struct kj_file *file;
    int64_t end;
    int64_t active_base;
    void *pin;
};
/* wait = false: LOCK_TIMED_OUT at once if another flushes. POISONED. */
int kj_log_flush_begin(struct kj_log *log, bool wait, struct kj_log_flush *ret_flush);
int kj_log_flush_end(struct kj_log_flush *flush, int sync_errno);
/* begin, sync, end: everything below the end at the call is durable. */
int kj_log_flush(struct kj_log *log);
/* The same up to end, which others may have done when they let go. LOCK_TIMED_OUT at the
 * deadline. */
int kj_log_flush_to(struct kj_log *log, int64_t end, int64_t deadline_ns);

/* --- housekeeping (log/retention.c, log/prepare.c, log/close.c) --- */

/* One pass of log start, size and time. *ret_bytes: freed. LOCK_TIMED_OUT after 100 ms. */
int kj_log_retain(struct kj_log *log, int64_t *ret_bytes);
/* How much there is to compact, roughly: open transactions are not looked at. */
struct kj_log_dirt {
    int64_t first_dirty; /* as given, or the log start if that cannot be */
    int64_t clean_bytes, dirty_bytes;
    /* The least of the greatest timestamps that the first batches of dirty segments have; -1: none
     * has one. */
    int64_t oldest_ms;
};
int kj_log_dirt(struct kj_log *log, int64_t first_dirty, struct kj_log_dirt *ret_dirt);
/* One round of compaction: keys from first_dirty on, the log written anew up to where they went. One handle at a time,
 * which the caller sees to. On an error nothing is lost, and what was not swapped is as it was. DAMAGED: what is
 * there is not as it should be, and is not cleaned. */
struct kj_log_cleaning {
    int64_t first_dirty; /* in, and out: where the next round begins */
    size_t map_bytes;    /* for the keys */
    int64_t wait_ns;     /* for the append lock */
    /* Before the first file changes: keeps for good that offsets below end may be missing. May be
     * NULL. */
    int (*begin)(void *arg, int64_t end);
    /* Before so many bytes, at most, are written beside those that are there. May be NULL. */
    int (*room)(void *arg, int64_t bytes);
    void *arg;
    int64_t ret_read_bytes, ret_freed_bytes;
};
int kj_log_clean(struct kj_log *log, struct kj_log_cleaning *cleaning);
/* The same in steps of about budget_bytes read. Nothing is held in between; log may be another
 * object of the same partition each time. LOCK_TIMED_OUT: try that step again, or end. Any other
 * error: end. */
struct kj_clean_round;
int kj_log_clean_begin(struct kj_log *log, const struct kj_log_cleaning *cleaning,
                       struct kj_clean_round **ret_round);
int kj_log_clean_step(struct kj_clean_round *round, struct kj_log *log,
                      struct kj_log_cleaning *cleaning,
                      int64_t budget_bytes, bool *ret_done);
/* Removes what is half written, where log is not NULL. The current story is gone afterwards. */
void kj_log_clean_end(struct kj_clean_round *round, struct kj_log *log);
/* offset -1: the high watermark. OFFSET_OUT_OF_RANGE. Policy is the caller's to check. */
int kj_log_delete_records(struct kj_log *log, int64_t offset, int64_t *ret_log_start);
/* Drops files, maps and list entries of segments that other handles deleted; picks up new ones. */
int kj_log_refresh(struct kj_log *log);
/* Makes room and pages ready ahead of the end when the appends of late ask for it. */
int kj_log_prepare(struct kj_log *log);
/* True if kj_log_prepare() would do something: one look at three words, after an append. */
bool kj_log_prepare_due(struct kj_log *log);
void kj_log_set_config(struct kj_log *log, const struct kj_log_config *config);
/* By the last handle, alone: trims, closing time index entry, flush, snapshot at the end. */
int kj_log_close_clean(struct kj_log *log);
/* The topic was deleted: takes the slot's id away, so that every handle finds out. Needs no loaded log. */
int kj_log_retire(struct kj_log *log);

/* What the checkpoints need, and kaja_admin_partition(). */
struct kj_log_stats {
    int64_t start, end, durable, high_watermark, recovery_point, bytes;
    int32_t segment_count;
};
int kj_log_get_stats(struct kj_log *log, struct kj_log_stats *ret_stats);
/* As this handle listed them last; looks at no file. */
size_t kj_log_segment_count(struct kj_log *log);

/* The slot's id differs from the log's: the topic was deleted (and perhaps made anew). */
bool kj_log_stale(struct kj_log *log);

#endif
