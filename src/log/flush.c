/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/flush.c - making what is below END survive a power cut.
 *
 * `durable` may pass the base of a segment only when the segments before it are on disk and so is its
 * own name. So a flush takes, in this order: every closed segment from SYNCED_BASE on, with its indexes,
 * because recovery leaves whole segments below the recovery point as they are; the directory;
 * the active segment up to the END noted first. The last step is the caller's, so that many
 * partitions share it.
 *
 * A flush that fails is never tried again on the same file: after it the kernel calls the lost pages
 * clean, and a second fsync would succeed. The partition is poisoned for everybody. Repair is the
 * work of the next open: without a clean marker it reads past the page cache and keeps what is
 * really there.
 *
 * A descriptor reports only errors since it was opened. Bytes that others wrote before this handle
 * opened the file, and that nobody flushed, are therefore read back past the page cache.
 */
#include "log/internal.h"

#include <errno.h>
#include <string.h>

static void poison(struct kj_log *log, int os_errno)
{
    kj_log_set_word(log, KJ_SLOT_POISON, (uint64_t)os_errno + 1);
    kj_log_tell(log, KAJA_EVENT_POISONED, KAJA_ERR_POISONED, kj_log_durable(log), kj_log_end(log),
                "%s-%d: a flush failed (%s): reading goes on, appends are refused until repair", log->topic,
                log->partition, strerror(os_errno));
}

static int poisoned_error(struct kj_log *log)
{
    int os = (int)kj_log_word(log, KJ_SLOT_POISON) - 1;
    return kj_err_at(kj_err(KAJA_ERR_POISONED, "%s-%d: a flush failed (%s)", log->topic, log->partition,
                            strerror(os)),
                     log->topic, log->partition, kj_log_durable(log), -1);
}

static int busy_error(struct kj_log *log, int os, int64_t began_ns)
{
    int64_t waited_ns = kj_mono_ns(log->env->clock) - began_ns;
    return kj_log_lock_error(log, os, "flush", KJ_SLOT_FLUSHER, waited_ns);
}

static void stop_flushing(struct kj_log *log)
{
    kj_lock_acquire(&log->flush_lock);
    log->flushing = false;
    kj_cond_broadcast(&log->flush_cond); /* each looks whether it was done for him too */
    kj_lock_release(&log->flush_lock);
}

/* One at a time in this handle: the flush lock does not exclude its own threads. deadline_ns 0:
 * nothing is waited for. *ret_done, and nothing is held: others made everything below `enough`
 * durable. */
static int enter(struct kj_log *log, int64_t deadline_ns, int64_t enough, bool *ret_done)
{
    int64_t began_ns = kj_mono_ns(log->env->clock);
    bool wait = deadline_ns > 0;
    for (bool entered = false; !entered;) {
        *ret_done = wait && kj_log_durable(log) >= enough && !kj_log_stale(log);
        if (*ret_done)
            return 0;
        kj_lock_acquire(&log->flush_lock);
        entered = !log->flushing;
        log->flushing = true;
        bool late = !entered && (!wait || !kj_cond_wait_until(&log->flush_cond, &log->flush_lock,
                                                              deadline_ns));
        kj_lock_release(&log->flush_lock);
        if (late)
            return busy_error(log, EAGAIN, began_ns);
    }
    if (!log->has_slot)
        return 0;
    int os = wait ? kj_shared_lock(log->env->shared, kj_flush_lock(log->slot_number), KJ_LOCK_EXCLUSIVE,
                                   log->slot + KJ_SLOT_FLUSH_WAITERS, deadline_ns)
                  : kj_shared_try_lock(log->env->shared, kj_flush_lock(log->slot_number), KJ_LOCK_EXCLUSIVE);
    if (os == 0) {
        kj_log_set_word(log, KJ_SLOT_FLUSHER, log->env->owner);
        return 0;
    }
    stop_flushing(log);
    return busy_error(log, os, began_ns);
}

static void leave(struct kj_log *log)
{
    if (log->has_slot)
        kj_shared_unlock(log->env->shared, kj_flush_lock(log->slot_number),
                         log->slot + KJ_SLOT_FLUSH_WAITERS);
    stop_flushing(log);
}

/* Behind a sync that said nothing is wrong: bytes below end that are not durable yet and were in
 * the file before this handle opened it are read back. */
static int verify_hidden(struct kj_log *log, const struct kj_segment *segment, int64_t end)
{
    int64_t from = kj_log_durable(log);
    if (from < segment->base_offset)
        from = segment->base_offset;
    bool all = segment->opened_amid || segment->opened_end > end;
    return kj_log_verify_direct(log, from, all ? end : segment->opened_end);
}

static int sync_index(struct kj_log *log, struct kj_segment *segment, enum kj_file_kind kind)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    struct kj_file *file;
    kj_file_path(path, log->dir, kind, segment->base_offset);
    int os = kj_io_stat(log->env->io, path, &stat);
    if (os == ENOENT)
        return 0;
    if (os == 0) {
        KJ_TRY(kj_segment_pin(segment, kind, false, &file));
        os = kj_io_sync(file);
        kj_segment_unpin(segment);
    }
    return os == 0 ? 0 : kj_log_io_error(log, os, "flushing", kind, segment->base_offset, -1);
}

int kj_segment_sync_indexes(struct kj_segment *segment)
{
    int err = 0;
    for (int kind = KJ_FILE_INDEX; kind <= KJ_FILE_TXNINDEX && err == 0; kind++)
        err = sync_index(segment->log, segment, (enum kj_file_kind)kind);
    return err;
}

/* end: of the segment. */
static int sync_closed(struct kj_log *log, struct kj_segment *segment, int64_t end)
{
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_sync(file);
    int err = 0;
    if (os != 0) {
        poison(log, os);
        err = poisoned_error(log);
    } else {
        err = verify_hidden(log, segment, end);
    }
    kj_segment_unpin(segment);
    return err != 0 ? err : kj_segment_sync_indexes(segment);
}

/* The error of a file that retention, of another process perhaps, removed just now: what ends at or
 * below the log start needs no flush. */
static bool deleted_below(struct kj_log *log, int64_t end)
{
    return kj_log_start(log) >= end && !kj_log_poisoned(log) && !kj_log_stale(log) &&
           kj_log_gone(log->env->shared, false) == 0;
}

/* Closed segments that may have bytes in the page cache only, and the directory. */
static int sync_older(struct kj_log *log, int64_t active_base)
{
    int64_t base = (int64_t)kj_log_word(log, KJ_SLOT_SYNCED_BASE);
    if (base >= active_base)
        return 0;
    KJ_TRY(kj_segments_refresh(log));
    while (base < active_base) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, base, &next);
        if (segment == NULL)
            break;
        int err = 0;
        if (segment->base_offset < active_base)
            err = sync_closed(log, segment, next);
        kj_segment_release(segment);
        if (err != 0 && !deleted_below(log, next))
            return err;
        if (err != 0)
            kj_err_clear();
        base = next;
    }
    int os = kj_io_sync_dir(log->env->io, log->dir);
    if (os != 0) {
        KJ_TRY(kj_log_gone(log->env->shared, true)); /* not a disk that fails */
        poison(log, os);
        return poisoned_error(log);
    }
    kj_log_point(log, "flush: older");
    return 0;
}

static int begin_once(struct kj_log *log, struct kj_log_flush *flush)
{
    if (kj_log_stale(log))
        return kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "topic %s was deleted", log->topic);
    KJ_TRY(kj_log_gone(log->env->shared, false));
    if (kj_log_poisoned(log))
        return poisoned_error(log);
    /* END first: the segments known afterwards hold everything below it. */
    flush->end = kj_log_end(log);
    flush->active_base = (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
    if (kj_log_durable(log) >= flush->end)
        return 0;
    KJ_TRY(kj_segments_refresh(log));
    KJ_TRY(sync_older(log, flush->active_base));
    struct kj_segment *active = kj_segment_active(log);
    if (active == NULL)
        return kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir);
    if (active->base_offset != flush->active_base) {
        /* Rolled meanwhile: this flush covers what ended before the new segment. */
        int64_t next;
        kj_segment_release(active);
        active = kj_segment_find(log, flush->active_base, &next);
        if (active == NULL)
            return kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir);
    }
    int err = kj_segment_pin(active, KJ_FILE_LOG, false, &flush->file);
    if (err != 0) {
        kj_segment_release(active);
        return err;
    }
    flush->pin = active;
    return 0;
}

static int begin(struct kj_log *log, struct kj_log_flush *flush)
{
    enum { TRIES = 8 }; /* each time a segment was begun, and all before it deleted */
    int err = begin_once(log, flush);
    for (int i = 0; i < TRIES && err != 0; i++) {
        int64_t active_base = (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
        if (active_base == flush->active_base || !deleted_below(log, active_base))
            break;
        kj_err_clear();
        err = begin_once(log, flush);
    }
    return err;
}

/* The same as kj_log_flush_begin(); *ret_done: see enter(). */
static int begin_until(struct kj_log *log, int64_t deadline_ns, int64_t enough,
                       struct kj_log_flush *ret_flush, bool *ret_done)
{
    struct kj_log_flush flush = {.log = log};
    KJ_TRY(enter(log, deadline_ns, enough, ret_done));
    if (*ret_done)
        return 0;
    int err = begin(log, &flush);
    if (err != 0) {
        leave(log);
        return err;
    }
    *ret_flush = flush;
    return 0;
}

int kj_log_flush_begin(struct kj_log *log, bool wait, struct kj_log_flush *ret_flush)
{
    bool done;
    int64_t deadline_ns = wait ? kj_mono_ns(log->env->clock) + log->env->lock_timeout_ns : 0;
    return begin_until(log, deadline_ns, INT64_MAX, ret_flush, &done);
}

int kj_log_flush_end(struct kj_log_flush *flush, int sync_errno)
{
    struct kj_log *log = flush->log;
    int err = 0;
    if (flush->file != NULL) {
        struct kj_segment *active = flush->pin;
        if (sync_errno != 0) {
            poison(log, sync_errno);
            err = poisoned_error(log);
        } else {
            err = verify_hidden(log, active, flush->end);
            if (err != 0 && deleted_below(log, flush->end)) {
                kj_err_clear();
                err = 0;
            }
        }
        /* Behind the sync: if the files still have their names now, they had them then. */
        if (err == 0)
            err = kj_log_gone(log->env->shared, true);
        if (err == 0) {
            kj_log_raise_word(log, KJ_SLOT_SYNCED_BASE, flush->active_base);
            kj_log_point(log, "flush: synced");
            kj_log_raise_word(log, KJ_SLOT_DURABLE, flush->end);
            /* What was being appended at the open has its END by now. */
            if (flush->end > active->opened_end)
                active->opened_amid = false;
        }
        kj_segment_unpin(active);
        kj_segment_release(active);
    }
    leave(log);
    return err;
}

int kj_log_flush(struct kj_log *log)
{
    struct kj_log_flush flush;
    KJ_TRY(kj_log_flush_begin(log, true, &flush));
    return kj_log_flush_end(&flush, flush.file != NULL ? kj_io_sync(flush.file) : 0);
}

int kj_log_flush_to(struct kj_log *log, int64_t end, int64_t deadline_ns)
{
    struct kj_log_flush flush;
    bool done;
    KJ_TRY(begin_until(log, deadline_ns, end, &flush, &done));
    return done ? 0 : kj_log_flush_end(&flush, flush.file != NULL ? kj_io_sync(flush.file) : 0);
}

/* --- reading back past the page cache --- */

static int verify_file(struct kj_log *log, struct kj_segment *segment, struct kj_file *file, int64_t from,
                       int64_t to)
{
    int64_t start, bytes;
    KJ_TRY(kj_segment_position(segment, from, &start));
    KJ_TRY(kj_segment_bytes(segment, &bytes));
    struct kj_scan scan;
    KJ_TRY(kj_scan_init(&scan, file, start, bytes, true));
    int64_t next = segment->base_offset;
    int err = 0;
    while (next < to && scan.pos < bytes) {
        struct kj_batch batch;
        enum kj_scan_result look = kj_scan_look(&scan, &batch);
        if (look != KJ_SCAN_BATCH) {
            int os = look == KJ_SCAN_ERROR ? scan.os_errno : EIO;
            poison(log, os);
            err = poisoned_error(log);
            break;
        }
        next = kj_batch_next_offset(&batch);
        kj_scan_skip(&scan, &batch);
    }
    kj_scan_free(&scan);
    return err;
}

int kj_log_verify_direct(struct kj_log *log, int64_t from_offset, int64_t to_offset)
{
    if (from_offset >= to_offset)
        return 0;
    KJ_TRY(kj_segments_refresh(log));
    int64_t offset = from_offset;
    while (offset < to_offset) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, offset, &next);
        if (segment == NULL)
            return 0;
        char path[KJ_PATH_MAX];
        struct kj_file *file;
        kj_file_path(path, log->dir, KJ_FILE_LOG, segment->base_offset);
        int os = kj_io_open(log->env->io, path, KJ_IO_READ | KJ_IO_DIRECT, &file);
        if (os == EINVAL) /* no O_DIRECT here (tmpfs): the cache is all there is */
            os = kj_io_open(log->env->io, path, KJ_IO_READ, &file);
        int err = 0;
        if (os != 0) {
            err = kj_log_io_error(log, os, "opening", KJ_FILE_LOG, segment->base_offset, -1);
        } else {
            err = verify_file(log, segment, file, offset, to_offset < next ? to_offset : next);
            kj_io_close(file);
        }
        kj_segment_release(segment);
        if (err != 0)
            return err;
        if (next == INT64_MAX)
            break;
        offset = next;
    }
    return 0;
}
