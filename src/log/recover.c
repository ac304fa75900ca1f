/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/recover.c - a partition after an unclean stop, by the first opener alone. Segments from the one
 * that holds the recovery point on are read and their indexes rebuilt (recover_segment.c); older ones
 * stay as they are. Deviates from Kafka on purpose: there replicas hold what is deleted behind damage,
 * here nothing does, so nothing is deleted.
 */
#include "log/recover.h"

#include <errno.h>
#include <string.h>

int kj_log_epochs(struct kj_log *log)
{
    if (!log->epochs_read) {
        KJ_TRY(kj_epochs_read(log->env->io, log->dir, &log->epochs));
        log->epochs_read = true;
    }
    return 0;
}

/* It is replaced without a flush as appends go on, so a power cut may have torn it. Nothing but the
 * epochs of the batches themselves stands in it: every segment is read then. */
static int read_epochs(struct kj_recovery *recovery)
{
    struct kj_log *log = recovery->log;
    int err = kj_log_epochs(log);
    if (err != KAJA_ERR_DAMAGED)
        return err;
    kj_log_tell(log, KAJA_EVENT_DAMAGE, err, -1, -1, "%s: it is made anew from the batches", kaja_error_detail());
    kj_err_clear();
    recovery->epochs_lost = true;
    log->epochs_read = true;
    return 0;
}

static int ensure_segment(struct kj_log *log, int64_t log_start)
{
    KJ_TRY(kj_segments_list(log));
    if (log->segment_count > 0)
        return 0;
    KJ_TRY(kj_segment_create_files(log, log_start > 0 ? log_start : 0, -1));
    return kj_segments_list(log);
}

static bool lacks_index(struct kj_log *log, struct kj_segment *segment)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    for (int kind = KJ_FILE_INDEX; kind <= KJ_FILE_TXNINDEX && log->index_in_the_way; kind++) {
        kj_file_path(path, log->dir, (enum kj_file_kind)kind, segment->base_offset);
        if (kj_not_a_file(log->env->io, path))
            return true;
    }
    kj_file_path(path, log->dir, KJ_FILE_INDEX, segment->base_offset);
    return kj_io_stat(log->env->io, path, &stat) == ENOENT;
}

static int snapshot_at(struct kj_log *log, int64_t offset)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, log->dir, KJ_FILE_SNAPSHOT, offset);
    if (kj_io_stat(log->env->io, path, &stat) == 0 && stat.size > 0)
        return 0;
    return kj_producers_write(log->producers, log->env->io, log->dir, offset, true);
}

/* The end of a segment that nobody had flushed went in a power cut, while the segments behind it came
 * to the disk. */
static void tell_gap(struct kj_recovery *recovery, int64_t from, int64_t to)
{
    struct kj_log *log = recovery->log;
    if (from < 0 || from >= to || kj_log_gap_ok(log, to) || to <= kj_log_start(log))
        return;
    recovery->damaged_ranges++;
    kj_log_tell_gap(log, to, from, to);
}

static int recover_segments(struct kj_recovery *recovery)
{
    struct kj_log *log = recovery->log;
    int64_t find = INT64_MIN;
    int64_t before = -1; /* end of the segment before, if it was read and not split */
    for (;;) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return kj_err(KAJA_ERR_DAMAGED, "%s lost its segments during recovery", log->dir);
        int64_t base = segment->base_offset;
        bool last = next == INT64_MAX;
        int err = 0;
        bool split = false;
        /* A flush that ended just before the roll had no part in what the roll wrote to the indexes. */
        if (last || next >= recovery->recovery_point || recovery->epochs_lost || lacks_index(log, segment)) {
            if (base > recovery->expected && recovery->expected > 0 && !kj_log_gap_ok(log, base))
                log->producers_end = -1; /* a gap: the state begins anew from a snapshot */
            tell_gap(recovery, before, base);
            recovery->last = last;
            err = kj_recover_segment(recovery, segment, &split);
            before = err == 0 && !split ? recovery->expected : -1;
        } else {
            before = -1;
        }
        kj_segment_release(segment);
        KJ_TRY(err);
        if (split) {
            KJ_TRY(kj_segments_list(log));
            find = base;
            if (recovery->again) {
                recovery->again = false;
                continue;
            }
            struct kj_segment *same = kj_segment_find(log, base, &next);
            if (same != NULL)
                kj_segment_release(same);
            if (next == INT64_MAX)
                return 0;
            find = next;
            continue;
        }
        if (last)
            return 0;
        /* The state as of the next segment's base is what its snapshot holds. */
        if (log->producers_end == next)
            KJ_TRY(snapshot_at(log, next));
        find = next;
    }
}

/* What was flushed once is not there any more: no crash does that. */
void kj_log_tell_shorter(struct kj_log *log, int64_t recovery_point, int64_t end)
{
    if (recovery_point > end)
        kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, end, recovery_point,
                    "%s was flushed up to offset %lld and ends at %lld: what stood between is lost", log->dir,
                    (long long)recovery_point, (long long)end);
}

/* Everything lies below the log start: begin anew there. */
static int restart_at(struct kj_recovery *recovery, int64_t log_start)
{
    struct kj_log *log = recovery->log;
    kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, recovery->expected, log_start,
                "%s ends at %lld, below its log start %lld: it begins anew there", log->dir,
                (long long)recovery->expected, (long long)log_start);
    KJ_TRY(kj_segment_create_files(log, log_start, -1));
    KJ_TRY(kj_segments_list(log));
    recovery->tail = (struct kj_tail){.end = log_start, .max_timestamp = -1, .max_ts_offset = log_start};
    recovery->expected = log_start;
    if (log->producers != NULL)
        kj_producers_clear(log->producers);
    log->producers_end = log_start;
    return 0;
}

int kj_log_recover(struct kj_log *log, int64_t recovery_point, int64_t log_start)
{
    struct kj_recovery recovery = {
        .log = log,
        .recovery_point = recovery_point > 0 ? recovery_point : 0,
    };
    log->producers_end = -1;
    log->last_time_end = -1;
    kj_log_set_word(log, KJ_SLOT_LOG_START, (uint64_t)(log_start > 0 ? log_start : 0));
    KJ_TRY(kj_recover_leftovers(log));
    KJ_TRY(read_epochs(&recovery));
    KJ_TRY(ensure_segment(log, log_start));
    KJ_TRY(recover_segments(&recovery));
    if (log_start <= recovery.expected)
        kj_log_tell_shorter(log, recovery.recovery_point, recovery.expected);
    if (log_start > recovery.expected)
        KJ_TRY(restart_at(&recovery, log_start));
    if (kj_epochs_cut_end(&log->epochs, recovery.expected) || recovery.epochs_lost)
        KJ_TRY(kj_epochs_write(log->env->io, log->dir, &log->epochs, true));
    KJ_TRY(kj_recover_snapshots(log, recovery.expected));
    if (log->producers == NULL)
        KJ_TRY(kj_producers_new(&log->producers));
    KJ_TRY(kj_producers_write(log->producers, log->env->io, log->dir, recovery.expected, true));
    int os = kj_io_sync_dir(log->env->io, log->dir);
    if (os != 0)
        return kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
    KJ_TRY(kj_segments_list(log));
    kj_log_publish_recovered(log, &recovery.tail, log_start);
    kj_log_tell(log, KAJA_EVENT_RECOVERED, 0, recovery.recovery_point, recovery.expected,
                "%s recovered up to offset %lld, %lld bytes of unfinished appends cut, %d damaged ranges",
                log->dir, (long long)recovery.expected, (long long)recovery.cut_bytes, recovery.damaged_ranges);
    return 0;
}
