/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/close.c - the orderly end of a partition: after it the files are as Kafka's orderly stop leaves
 * them, sizes exact, and need no recovery.
 */
#include "log/internal.h"

#include <errno.h>

/* A clean stop promises that the indexes may be used as they are. Closed segments below the recovery
 * point of this open were flushed by the close before. */
static int sync_indexes(struct kj_log *log)
{
    int64_t find = (int64_t)kj_log_word(log, KJ_SLOT_RECOVERY_POINT);
    for (;;) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        int err = kj_segment_sync_indexes(segment);
        kj_segment_release(segment);
        if (err != 0 || next == INT64_MAX)
            return err;
        find = next;
    }
}

static int close_locked(struct kj_log *log)
{
    struct kj_tail tail;
    KJ_TRY(kj_tail_get(log, &tail));
    /* Before the trim: END must be in the active segment's file when it is cut to it. */
    KJ_TRY(kj_log_catch_up(log, tail.end));
    struct kj_segment *active = kj_segment_active(log);
    if (active == NULL)
        return kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir);
    int err = kj_segment_trim(log, active, &tail);
    if (err == 0)
        kj_tail_reset(log, &tail);
    kj_segment_release(active);
    if (err != 0)
        return err;
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, KJ_FILE_PREPARED, (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE));
    int os = kj_io_unlink(log->env->io, path);
    if (os != 0 && os != ENOENT)
        return kj_err_os(os, "removing %s", path);
    KJ_TRY(kj_producers_write(log->producers, log->env->io, log->dir, tail.end, true));
    KJ_TRY(sync_indexes(log));
    if (log->epochs_read)
        KJ_TRY(kj_epochs_write(log->env->io, log->dir, &log->epochs, true));
    return 0;
}

int kj_log_close_clean(struct kj_log *log)
{
    KJ_TRY(kj_log_load(log, -1, -1));
    KJ_TRY(kj_log_lock(log, false));
    int err = close_locked(log);
    kj_log_unlock(log);
    KJ_TRY(err);
    KJ_TRY(kj_log_flush(log));
    /* The sizes that the trim changed, and names. */
    struct kj_segment *active = kj_segment_active(log);
    if (active != NULL) {
        struct kj_file *file;
        err = kj_segment_pin(active, KJ_FILE_LOG, false, &file);
        if (err == 0) {
            int os = kj_io_sync(file);
            kj_segment_unpin(active);
            if (os != 0)
                err = kj_log_io_error(log, os, "flushing", KJ_FILE_LOG, active->base_offset, -1);
        }
        kj_segment_release(active);
        KJ_TRY(err);
    }
    int os = kj_io_sync_dir(log->env->io, log->dir);
    if (os != 0)
        return kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
    kj_log_set_word(log, KJ_SLOT_RECOVERY_POINT, kj_log_word(log, KJ_SLOT_END));
    return 0;
}
