/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/retention.c - old segments go, oldest first, whole ones only: below the log start, over the size,
 * over the age. Each pass stops at the first segment that does not qualify and never passes the high
 * watermark. Readers that hold a view keep what they see; the disk gives the space back when the last
 * of them lets go.
 */
#include "log/internal.h"

#include <errno.h>

static int remove_file(struct kj_log *log, enum kj_file_kind kind, int64_t base_offset)
{
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, kind, base_offset);
    int os = kj_io_unlink(log->env->io, path);
    return os == 0 || os == ENOENT ? 0 : kj_log_io_error(log, os, "removing", kind, base_offset, -1);
}

int kj_segment_remove_files(struct kj_log *log, int64_t base_offset)
{
    /* The .log last: indexes without a log are litter, a log without indexes is whole. */
    KJ_TRY(remove_file(log, KJ_FILE_INDEX, base_offset));
    KJ_TRY(remove_file(log, KJ_FILE_TIMEINDEX, base_offset));
    KJ_TRY(remove_file(log, KJ_FILE_TXNINDEX, base_offset));
    KJ_TRY(remove_file(log, KJ_FILE_SNAPSHOT, base_offset));
    return remove_file(log, KJ_FILE_LOG, base_offset);
}

int kj_segments_delete_below(struct kj_log *log, int64_t log_start, int64_t *ret_bytes)
{
    int64_t freed = 0;
    KJ_TRY(kj_segments_list(log));
    if (log_start > kj_log_start(log)) {
        kj_log_set_word(log, KJ_SLOT_LOG_START, (uint64_t)log_start);
        kj_log_point(log, "retention: log start");
    }
    /* The list is made anew once, behind the last one: who finds an entry whose file is gone looks again, as
     * after a deletion by another process. */
    for (int64_t find = INT64_MIN;;) {
        int64_t next, bytes = 0;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            break;
        int64_t base = segment->base_offset;
        bool goes = next <= log_start && base < (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
        if (goes && kj_segment_bytes(segment, &bytes) == 0)
            freed += bytes; /* else the file cannot be looked at, and goes all the same */
        kj_segment_release(segment);
        if (!goes)
            break;
        KJ_TRY(kj_segment_remove_files(log, base));
        kj_log_point(log, "retention: removed");
        find = next;
    }
    /* SYNCED_BASE stays: segments that nobody flushed are gone, but the name of the one that is active
     * now may not be on disk. */
    kj_log_set_word(log, KJ_SLOT_CHANGES, kj_log_word(log, KJ_SLOT_CHANGES) + 1);
    if (log->epochs_read && kj_epochs_cut_start(&log->epochs, log_start))
        KJ_TRY(kj_epochs_write(log->env->io, log->dir, &log->epochs, false));
    if (ret_bytes != NULL)
        *ret_bytes = freed;
    return kj_segments_refresh(log);
}

/* Raises the log start under an intent and removes what lies below. Append lock held. */
static int delete_below(struct kj_log *log, int64_t log_start, int64_t *ret_bytes)
{
    kj_log_set_word(log, KJ_SLOT_INTENT_A, (uint64_t)log_start);
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_DELETE);
    kj_log_point(log, "retention: intent");
    int err = kj_segments_delete_below(log, log_start, ret_bytes);
    if (err == 0)
        kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
    return err; /* else the intent stands and the next holder of the lock goes on */
}

struct pass {
    int64_t now_ms;
    int64_t excess; /* bytes that size retention may still take */
    int64_t limit;  /* the high watermark */
    int64_t new_start; /* -1: nothing goes */
    bool all;          /* even the active segment qualifies */
};

/* Does the segment go? Each of the three passes begins at the oldest, so one walk serves all: it ends at
 * the first segment that none of them takes. */
static int qualifies(struct kj_log *log, struct kj_segment *segment, int64_t next, struct pass *pass,
                     bool *ret_goes)
{
    const struct kj_log_config *config = &log->config;
    int64_t bytes, timestamp;
    *ret_goes = false;
    int64_t end = next == INT64_MAX ? kj_log_end(log) : next;
    if (end > pass->limit)
        return 0;
    KJ_TRY(kj_segment_bytes(segment, &bytes));
    if (next == INT64_MAX && bytes == 0)
        return 0; /* an empty last segment stays */
    if (next != INT64_MAX && next <= kj_log_start(log))
        *ret_goes = true;
    if (config->cleanup_delete && config->retention_bytes >= 0 && pass->excess - bytes >= 0)
        *ret_goes = true;
    if (!*ret_goes && config->cleanup_delete && config->retention_ms >= 0) {
        KJ_TRY(kj_segment_time(segment, &timestamp));
        *ret_goes = pass->now_ms - timestamp > config->retention_ms;
    }
    if (*ret_goes)
        pass->excess -= bytes;
    return 0;
}

static int find_new_start(struct kj_log *log, struct pass *pass)
{
    /* All sizes are looked at only where there is a limit: each roll comes here. */
    if (log->config.cleanup_delete && log->config.retention_bytes >= 0) {
        struct kj_log_stats stats;
        KJ_TRY(kj_log_get_stats(log, &stats));
        pass->excess = stats.bytes - log->config.retention_bytes;
    } else {
        KJ_TRY(kj_segments_refresh(log));
    }
    int64_t find = INT64_MIN;
    for (;;) {
        int64_t next;
        bool goes;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        int err = qualifies(log, segment, next, pass, &goes);
        kj_segment_release(segment);
        if (err != 0)
            return err;
        if (!goes)
            return 0;
        if (next == INT64_MAX) {
            pass->all = true;
            pass->new_start = kj_log_end(log);
            return 0;
        }
        pass->new_start = next;
        find = next;
    }
}

int kj_log_retain(struct kj_log *log, int64_t *ret_bytes)
{
    struct pass pass = {.now_ms = kj_wall_ms(log->env->clock), .new_start = -1};
    int64_t freed = 0;
    /* The worker comes here, which has more to do than to wait for a process that is stopped. */
    KJ_TRY(kj_log_lock_within(log, true, 10 * (int64_t)KJ_LOG_SOON_NS,
                              kj_mono_ns(log->env->clock)));
    pass.limit = kj_log_high_watermark(log);
    int err = find_new_start(log, &pass);
    if (err == 0 && pass.all && !kj_log_poisoned(log)) {
        struct kj_tail tail;
        err = kj_tail_get(log, &tail);
        if (err == 0)
            err = kj_roll(log, &tail);
    }
    /* A log start inside the first kept segment stays where it is. */
    if (err == 0 && pass.new_start >= 0)
        err = delete_below(log, pass.new_start > kj_log_start(log) ? pass.new_start : kj_log_start(log), &freed);
    kj_log_unlock(log);
    if (err == 0)
        *ret_bytes = freed;
    return err;
}

int kj_log_delete_records(struct kj_log *log, int64_t offset, int64_t *ret_log_start)
{
    KJ_TRY(kj_log_lock(log, true));
    int64_t high_watermark = kj_log_high_watermark(log);
    int64_t start = kj_log_start(log);
    int err = 0;
    if (offset == -1)
        offset = high_watermark;
    if (offset < 0 || offset > high_watermark)
        err = kj_err_at(kj_err(KAJA_ERR_OFFSET_OUT_OF_RANGE, "%s-%d: offset %lld is outside [%lld, %lld]",
                               log->topic, log->partition, (long long)offset, (long long)start,
                               (long long)high_watermark),
                        log->topic, log->partition, offset, -1);
    else if (offset > start)
        err = delete_below(log, offset, NULL);
    if (err == 0)
        *ret_log_start = kj_log_start(log);
    kj_log_unlock(log);
    return err;
}

int kj_log_refresh(struct kj_log *log)
{
    if (kj_load_acquire(&log->listed) != 1 || kj_log_stale(log))
        return 0;
    return kj_segments_refresh(log);
}
