/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/roll.c - when a new segment begins, and its beginning. Under the append lock.
 *
 * Steps, each repeatable, under INTENT_ROLL:
 *   1. closing time index entry; old indexes and .log trimmed to what counts
 *   2. snapshot of the producer state, named by the new base
 *   3. files of the new segment (the prepared one renamed)
 *   4. ACTIVE_BASE, hints for the new segment (both copies), CHANGES
 * Nothing is flushed here: SYNCED_BASE stays below the old segment, and the next flush takes it, the
 * directory and the new one in this order before `durable` passes the new base (log/flush.c).
 */
#include "log/internal.h"

#include <errno.h>
#include <string.h>

static int first_batch_timestamp(struct kj_log *log, struct kj_segment *active, int64_t *ret_timestamp)
{
    if (active->first_batch_max_timestamp == INT64_MIN) {
        struct kj_file *file;
        uint8_t head[KJ_BATCH_HEADER_BYTES];
        size_t len;
        KJ_TRY(kj_segment_pin(active, KJ_FILE_LOG, false, &file));
        int os = kj_io_pread(file, head, sizeof head, 0, &len);
        kj_segment_unpin(active);
        if (os != 0)
            return kj_log_io_error(log, os, "reading", KJ_FILE_LOG, active->base_offset, 0);
        struct kj_batch batch;
        if (len < sizeof head || kj_batch_look(head, SIZE_MAX, &batch) != KJ_BATCH_OK) {
            *ret_timestamp = -1; /* not remembered: it may still come */
            return 0;
        }
        active->first_batch_max_timestamp = batch.max_timestamp;
    }
    *ret_timestamp = active->first_batch_max_timestamp;
    return 0;
}

static int64_t jitter(struct kj_log *log, int64_t base_offset)
{
    int64_t most = log->config.segment_jitter_ms < log->config.segment_ms ? log->config.segment_jitter_ms
                                                                          : log->config.segment_ms;
    if (most <= 0)
        return 0;
    if (log->jitter_base != base_offset) {
        uint64_t random;
        log->env->clock->random(log->env->clock->arg, &random, sizeof random);
        log->roll_jitter_ms = (int64_t)(random % (uint64_t)most);
        log->jitter_base = base_offset;
    }
    return log->roll_jitter_ms;
}

static bool aged(struct kj_log *log, struct kj_segment *active, const struct kj_batch *batch)
{
    int64_t first = -1;
    if (first_batch_timestamp(log, active, &first) != 0)
        return false;
    int64_t limit = log->config.segment_ms - jitter(log, active->base_offset);
    /* What is active is not compacted. */
    if (log->config.cleanup_compact && log->config.max_compaction_lag_ms < limit)
        limit = log->config.max_compaction_lag_ms;
    /* Wall clock alone never rolls a segment whose data has timestamps. */
    int64_t waited;
    if (first >= 0) {
        if (__builtin_sub_overflow(batch->max_timestamp, first, &waited))
            return false;
    } else {
        waited = kj_wall_ms(log->env->clock) - active->created_ms;
    }
    return waited > limit;
}

bool kj_roll_due(struct kj_log *log, struct kj_segment *active, const struct kj_tail *tail,
                 const struct kj_batch *batch, size_t bytes)
{
    const struct kj_log_config *config = &log->config;
    if (tail->pos > config->segment_bytes - (int64_t)bytes)
        return tail->pos > 0;
    int64_t last_offset = tail->end + batch->last_offset_delta;
    if (last_offset - active->base_offset > INT32_MAX)
        return true;
    if (tail->index_count >= config->segment_index_bytes / KJ_OFFSET_ENTRY_BYTES ||
        tail->time_count >= config->segment_index_bytes / KJ_TIME_ENTRY_BYTES - 1)
        return tail->pos > 0;
    return tail->pos > 0 && aged(log, active, batch);
}

/* Cuts a file to what counts; a missing index is none. */
static int trim(struct kj_log *log, struct kj_segment *segment, enum kj_file_kind kind, int64_t bytes)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, log->dir, kind, segment->base_offset);
    int os = kj_io_stat(log->env->io, path, &stat);
    if (os == ENOENT && kind != KJ_FILE_LOG)
        return 0;
    if (os == 0 && stat.size > bytes) {
        struct kj_file *file;
        KJ_TRY(kj_segment_pin(segment, kind, false, &file));
        os = kj_io_truncate(file, bytes);
        kj_segment_unpin(segment);
    }
    return os == 0 ? 0 : kj_log_io_error(log, os, "trimming", kind, segment->base_offset, bytes);
}

int kj_log_last_time(struct kj_log *log, struct kj_segment *segment, const struct kj_tail *tail,
                     int64_t *ret_timestamp)
{
    if (tail->time_count == 0) {
        *ret_timestamp = -1;
        return 0;
    }
    if (log->last_time_base == segment->base_offset && log->last_time_end == tail->end) {
        *ret_timestamp = log->last_time_timestamp;
        return 0;
    }
    struct kj_file *file;
    struct kj_time_entry entry;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_TIMEINDEX, false, &file));
    int os = kj_time_index_read(file, segment->base_offset, (uint32_t)tail->time_count - 1, &entry);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(log, os, "reading", KJ_FILE_TIMEINDEX, segment->base_offset, -1);
    *ret_timestamp = entry.timestamp;
    return 0;
}

/* Prepared space goes, and what a writer that died left behind the end. */
int kj_segment_trim(struct kj_log *log, struct kj_segment *segment, struct kj_tail *tail)
{
    struct kj_indexer indexer;
    int64_t last_time;
    KJ_TRY(kj_log_last_time(log, segment, tail, &last_time));
    kj_indexer_init(&indexer, segment->base_offset, log->config.index_interval_bytes, tail, last_time);
    int err = kj_indexer_close(&indexer);
    if (err == 0)
        err = kj_indexer_write(&indexer, segment);
    if (err == 0) {
        *tail = indexer.tail;
        log->last_time_base = segment->base_offset;
        log->last_time_end = tail->end;
        log->last_time_timestamp = indexer.last_time;
    }
    kj_indexer_free(&indexer);
    if (err == 0)
        err = trim(log, segment, KJ_FILE_INDEX, tail->index_count * KJ_OFFSET_ENTRY_BYTES);
    if (err == 0)
        err = trim(log, segment, KJ_FILE_TIMEINDEX, tail->time_count * KJ_TIME_ENTRY_BYTES);
    if (err == 0)
        err = trim(log, segment, KJ_FILE_TXNINDEX, tail->txn_count * KJ_TXN_ENTRY_BYTES);
    if (err == 0)
        err = trim(log, segment, KJ_FILE_LOG, tail->pos);
    return err;
}

static int begin_segment(struct kj_log *log, struct kj_segment *old, struct kj_tail *tail)
{
    int64_t base = tail->end;
    KJ_TRY(kj_segment_trim(log, old, tail));
    kj_log_point(log, "roll: trimmed");
    KJ_TRY(kj_log_catch_up(log, base));
    KJ_TRY(kj_producers_write(log->producers, log->env->io, log->dir, base, false));
    kj_log_point(log, "roll: snapshot");
    return kj_segment_create_files(log, base, old->base_offset);
}

/* Makes the segment at END the active one in the words; its files are there. */
int kj_roll_publish(struct kj_log *log, struct kj_tail *tail)
{
    *tail = (struct kj_tail){.end = tail->end, .max_timestamp = -1, .max_ts_offset = tail->end};
    kj_log_set_word(log, KJ_SLOT_PREPARED_POS, 0);
    /* ACTIVE_BASE before the hints: a reader that took these for the old segment's looks at it again
     * and sees that it moved (kj_segment_bytes()). */
    kj_log_set_word(log, KJ_SLOT_ACTIVE_BASE, (uint64_t)tail->end);
    kj_tail_reset(log, tail);
    kj_log_set_word(log, KJ_SLOT_CHANGES, kj_log_word(log, KJ_SLOT_CHANGES) + 1);
    kj_log_point(log, "roll: published");
    return kj_segments_refresh(log);
}

int kj_roll(struct kj_log *log, struct kj_tail *tail)
{
    struct kj_segment *old = kj_segment_active(log);
    if (old == NULL)
        return kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir);
    KJ_ASSERT(tail->end > old->base_offset);
    /* Whoever makes pages ready in the old file must be done before it is trimmed. */
    kj_lock_acquire(&log->prepare_lock);
    int err = 0;
    if (log->has_slot) {
        int os = kj_shared_lock(log->env->shared, kj_prepare_lock(log->slot_number), KJ_LOCK_EXCLUSIVE,
                                UINT32_MAX, kj_mono_ns(log->env->clock) + log->env->lock_timeout_ns);
        if (os != 0)
            err = kj_err(KAJA_ERR_LOCK_TIMED_OUT, "%s: a process that makes pages ready does not end",
                         log->dir);
    }
    if (err == 0) {
        kj_log_set_word(log, KJ_SLOT_INTENT_A, (uint64_t)tail->end);
        kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_ROLL);
        kj_log_point(log, "roll: intent");
        err = begin_segment(log, old, tail);
        bool published = err == 0;
        if (published)
            err = kj_roll_publish(log, tail);
        if (!published) {
            /* The old segment, trimmed, goes on as the active one; the closing time entry lies behind
             * its count and the files at END are made anew by the next try. */
            log->last_time_end = -1;
            char path[KJ_PATH_MAX];
            kj_file_path(path, log->dir, KJ_FILE_LOG, (int64_t)kj_log_word(log, KJ_SLOT_INTENT_A));
            (void)kj_io_unlink(log->env->io, path); /* if it stays, ACTIVE_BASE says it is none */
        }
        /* Published, but not seen by this handle: the intent stands, and the next holder of the lock
         * looks again. Nobody may take the old segment for the active one. */
        if (!published || err == 0)
            kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
        if (log->has_slot)
            kj_shared_unlock(log->env->shared, kj_prepare_lock(log->slot_number), UINT32_MAX);
    }
    kj_lock_release(&log->prepare_lock);
    if (err == 0) {
        kj_lock_acquire(&log->segments_lock);
        old->bytes = -1; /* stat it at need */
        kj_lock_release(&log->segments_lock);
    }
    kj_segment_release(old);
    return err;
}
