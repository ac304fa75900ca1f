/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/intent.c - finishing or undoing what a writer that died was about. Whoever takes the append lock
 * and finds an intent comes here. Everything can be done again from the start, because whoever settles
 * may die too. When all handles died, recovery does the same from the files alone.
 *
 *   APPEND   undone: bytes between END and the reach are zeroed, or a shorter append on top would leave
 *            the rest of an older batch standing behind it, as valid as if it were meant
 *   ROLL     finished if the new segment's .log is there, else nothing happened yet
 *   DELETE   finished
 *   REPLACE  finished, or undone while a .cleaned is left
 */
#include "log/internal.h"

#include <errno.h>

/* Zeroes [from, to) of the active segment, as far as the file goes. */
int kj_log_zero(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to)
{
    static const uint8_t zeros[65536];
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    struct kj_io_stat stat;
    int os = kj_io_stat_file(file, &stat);
    if (os == 0 && to > stat.size)
        to = stat.size;
    while (os == 0 && from < to) {
        size_t n = to - from < (int64_t)sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        os = kj_io_pwrite(file, zeros, n, from);
        from += (int64_t)n;
    }
    kj_segment_unpin(segment);
    return os == 0 ? 0 : kj_log_io_error(log, os, "zeroing", KJ_FILE_LOG, segment->base_offset, from);
}

int kj_intent_undo_append(struct kj_log *log, struct kj_segment *active, int64_t pos, int64_t reach)
{
    KJ_TRY(kj_log_zero(log, active, pos, reach));
    int64_t end = kj_log_end(log);
    if ((int64_t)kj_log_word(log, KJ_SLOT_FLUSH_WANTED) > end)
        kj_log_set_word(log, KJ_SLOT_FLUSH_WANTED, (uint64_t)end);
    return 0;
}

static int settle_append(struct kj_log *log)
{
    int64_t base = (int64_t)kj_log_word(log, KJ_SLOT_INTENT_A);
    int64_t reach = (int64_t)kj_log_word(log, KJ_SLOT_INTENT_B);
    struct kj_segment *active = kj_segment_active(log);
    if (active == NULL || active->base_offset != base) { /* words of a change that came to its end */
        if (active != NULL)
            kj_segment_release(active);
        return 0;
    }
    struct kj_tail tail;
    int err = kj_tail_get(log, &tail);
    if (err == 0 && tail.pos < reach)
        err = kj_intent_undo_append(log, active, tail.pos, reach);
    kj_segment_release(active);
    return err;
}

static int settle_roll(struct kj_log *log)
{
    int64_t base = (int64_t)kj_log_word(log, KJ_SLOT_INTENT_A);
    if (base != kj_log_end(log))
        return 0; /* appends went on behind it: it was finished */
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, log->dir, KJ_FILE_LOG, base);
    int os = kj_io_stat(log->env->io, path, &stat);
    if (os == ENOENT)
        return 0;
    if (os != 0)
        return kj_log_io_error(log, os, "looking at", KJ_FILE_LOG, base, -1);
    struct kj_tail tail = {.end = base};
    return kj_roll_publish(log, &tail);
}

int kj_intent_settle(struct kj_log *log)
{
    KJ_TRY(kj_segments_list(log));
    /* What this handle remembers of the dead one's work may be half of it. */
    log->last_time_end = -1;
    switch ((enum kj_slot_intent)kj_log_word(log, KJ_SLOT_INTENT)) {
    case KJ_INTENT_NONE:
        break;
    case KJ_INTENT_APPEND:
        KJ_TRY(settle_append(log));
        break;
    case KJ_INTENT_ROLL:
        KJ_TRY(settle_roll(log));
        break;
    case KJ_INTENT_DELETE:
        KJ_TRY(kj_segments_delete_below(log, (int64_t)kj_log_word(log, KJ_SLOT_INTENT_A), NULL));
        break;
    case KJ_INTENT_REPLACE:
        KJ_TRY(kj_clean_settle(log));
        break;
    default:
        return kj_err_at(kj_err(KAJA_ERR_KAFKA_STORAGE_ERROR,
                                "%s: an unknown change was begun: close every handle and open again", log->dir),
                         log->topic, log->partition, -1, -1);
    }
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
    kj_log_point(log, "intent settled");
    return 0;
}
