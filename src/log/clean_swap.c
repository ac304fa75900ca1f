/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean_swap.c - a cleaned group takes the place of its segments [A, B), under the append lock and
 * INTENT_REPLACE.
 *
 *   1. INCARNATION rises: what handles know of closed segments counts no more
 *   2. A.*.cleaned become A.*.swap, the .log last; directory flushed. From here on it is finished, before undone
 *   3. A.log.swap becomes A.log, in one step for every reader
 *   4. the other segments of the group go; directory flushed
 *   5. the .swap indexes get their names; INCARNATION and CHANGES rise
 *
 * A .cleaned that is left says: undo. A .swap that is left says: finish; while .log.swap is there from 3 on, else
 * from 4 on. The directory alone tells that (log/recover_files.c), the words only hasten it.
 *
 * Readers are not kept out. Between 3 and 4 the new A.log holds offsets of segments that are still there: with the
 * intent a walk ends at the next base, and goes on in what is old and as good. Indexes are no evidence; the
 * old index of aborted transactions serves the new .log, as all their records are gone.
 */
#include "log/clean.h"

#include <errno.h>

static const enum kj_file_kind indexes[] = {KJ_FILE_INDEX, KJ_FILE_TXNINDEX, KJ_FILE_TIMEINDEX};
enum { INDEXES = sizeof indexes / sizeof indexes[0] };

static bool exists(struct kj_log *log, enum kj_file_kind kind, int64_t base_offset, const char *suffix)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_clean_path(path, log, kind, base_offset, suffix);
    return kj_io_stat(log->env->io, path, &stat) == 0;
}

static int rename_file(struct kj_log *log, enum kj_file_kind kind, int64_t base_offset, const char *from_suffix,
                       const char *to_suffix)
{
    char from[KJ_PATH_MAX], to[KJ_PATH_MAX];
    kj_clean_path(from, log, kind, base_offset, from_suffix);
    kj_clean_path(to, log, kind, base_offset, to_suffix);
    int os = kj_io_rename(log->env->io, from, to);
    kj_log_point(log, "clean: renamed");
    return os == 0 || os == ENOENT ? 0 : kj_log_io_error(log, os, "renaming", kind, base_offset, -1);
}

static int remove_file(struct kj_log *log, enum kj_file_kind kind, int64_t base_offset, const char *suffix)
{
    char path[KJ_PATH_MAX];
    kj_clean_path(path, log, kind, base_offset, suffix);
    int os = kj_io_unlink(log->env->io, path);
    kj_log_point(log, "clean: removed");
    return os == 0 || os == ENOENT ? 0 : kj_log_io_error(log, os, "removing", kind, base_offset, -1);
}

static int sync_names(struct kj_log *log)
{
    int os = kj_io_sync_dir(log->env->io, log->dir);
    return os == 0 ? 0 : kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
}

/* As long as the .log.cleaned is there, a recovery takes no .swap for finished. */
static int undo(struct kj_log *log, int64_t base_offset)
{
    for (int i = 0; i < INDEXES; i++)
        KJ_TRY(remove_file(log, indexes[i], base_offset, ".swap"));
    for (int i = 0; i < INDEXES; i++)
        KJ_TRY(remove_file(log, indexes[i], base_offset, ".cleaned"));
    KJ_TRY(sync_names(log));
    return remove_file(log, KJ_FILE_LOG, base_offset, ".cleaned");
}

static int commit(struct kj_log *log, int64_t base_offset)
{
    for (int i = 0; i < INDEXES; i++)
        KJ_TRY(rename_file(log, indexes[i], base_offset, ".cleaned", ".swap"));
    return rename_file(log, KJ_FILE_LOG, base_offset, ".cleaned", ".swap");
}

/* The segments of the group but the first go. */
static int remove_others(struct kj_log *log, int64_t base_offset, int64_t end)
{
    for (int64_t find = base_offset;;) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        int64_t base = segment->base_offset;
        kj_segment_release(segment);
        if (base > base_offset && base < end) {
            KJ_TRY(kj_segment_remove_files(log, base));
            kj_log_point(log, "clean: segment removed");
        }
        if (next >= end)
            return 0;
        find = next;
    }
}

static int finish(struct kj_log *log, int64_t base_offset, int64_t end)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    KJ_TRY(rename_file(log, KJ_FILE_LOG, base_offset, ".swap", ""));
    KJ_TRY(remove_others(log, base_offset, end));
    KJ_TRY(sync_names(log));
    for (int i = 0; i < INDEXES; i++)
        KJ_TRY(rename_file(log, indexes[i], base_offset, ".swap", ""));
    /* Kafka has none where there is no entry. */
    kj_file_path(path, log->dir, KJ_FILE_TXNINDEX, base_offset);
    if (kj_io_stat(log->env->io, path, &stat) == 0 && stat.size == 0)
        KJ_TRY(remove_file(log, KJ_FILE_TXNINDEX, base_offset, ""));
    return 0;
}

static void raise_word(struct kj_log *log, enum kj_slot_word word)
{
    kj_log_set_word(log, word, kj_log_word(log, word) + 1);
}

/* Everybody looks anew. */
static int publish(struct kj_log *log)
{
    raise_word(log, KJ_SLOT_INCARNATION);
    raise_word(log, KJ_SLOT_CHANGES);
    kj_log_point(log, "clean: published");
    return kj_segments_refresh(log);
}

int kj_clean_settle(struct kj_log *log)
{
    int64_t base = (int64_t)kj_log_word(log, KJ_SLOT_INTENT_A);
    int64_t end = (int64_t)kj_log_word(log, KJ_SLOT_INTENT_B);
    bool pending = false;
    if (base < 0 || end <= base)
        return publish(log); /* words of nothing that we began */
    if (exists(log, KJ_FILE_LOG, base, ".cleaned")) {
        KJ_TRY(undo(log, base));
        return publish(log);
    }
    for (int i = 0; i < INDEXES; i++)
        pending |= exists(log, indexes[i], base, ".swap");
    if (pending) {
        /* Words are not believed where they would delete: the group ends where another segment begins. */
        int64_t next;
        struct kj_segment *behind = kj_segment_find(log, end, &next);
        bool fits = behind != NULL && behind->base_offset == end &&
                    end <= (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
        if (behind != NULL)
            kj_segment_release(behind);
        if (!fits)
            return kj_err_at(kj_err(KAJA_ERR_DAMAGED,
                                    "%s: a compaction of offsets %lld to %lld that died cannot be finished while "
                                    "others are present: close every handle and open again",
                                    log->dir, (long long)base, (long long)end),
                             log->topic, log->partition, base, -1);
        KJ_TRY(finish(log, base, end));
    }
    return publish(log);
}

/* Retention may have been there since the round began. */
static bool unchanged(struct kj_log *log, const struct kj_clean_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, group->segments[i].base_offset, &next);
        bool same = segment != NULL && segment->base_offset == group->segments[i].base_offset &&
                    next == group->segments[i].next_offset;
        if (segment != NULL)
            kj_segment_release(segment);
        if (!same)
            return false;
    }
    return true;
}

/* Append lock held. */
static int swap(struct kj_log *log, int64_t base, int64_t end)
{
    kj_log_set_word(log, KJ_SLOT_INTENT_A, (uint64_t)base);
    kj_log_set_word(log, KJ_SLOT_INTENT_B, (uint64_t)end);
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_REPLACE);
    kj_log_point(log, "clean: intent");
    raise_word(log, KJ_SLOT_INCARNATION);
    int err = commit(log, base);
    if (err != 0) {
        struct kj_err_saved saved;
        kj_err_save(err, &saved);
        if (undo(log, base) == 0 && publish(log) == 0)
            kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
        return kj_err_restore(&saved);
    }
    /* From here on the intent stands until it is through: the next holder of the lock goes on. */
    KJ_TRY(sync_names(log));
    KJ_TRY(finish(log, base, end));
    KJ_TRY(publish(log));
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
    return 0;
}

int kj_clean_swap(struct kj_clean *clean, const struct kj_clean_group *group, int64_t wait_ns,
                  bool *ret_done)
{
    struct kj_log *log = clean->log;
    int64_t base = group->segments[0].base_offset;
    *ret_done = false;
    int err = kj_log_lock_within(log, false, wait_ns, kj_mono_ns(log->env->clock));
    if (err == 0) {
        /* Without the new file nothing would be put into the place of what goes. */
        *ret_done = unchanged(log, group) && exists(log, KJ_FILE_LOG, base, ".cleaned");
        if (*ret_done)
            err = swap(log, base, group->segments[group->count - 1].next_offset);
        kj_log_unlock(log);
    }
    if (err == 0 && !*ret_done)
        err = kj_clean_discard(log, base);
    return err;
}
