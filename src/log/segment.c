/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/segment.c - the list of segments of one handle, and what can be asked of a segment.
 */
#include "log/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kj_segment_hold(struct kj_segment *segment)
{
    kj_fetch_add_relaxed(&segment->refs, 1);
}

void kj_segment_release(struct kj_segment *segment)
{
    if (kj_fetch_add(&segment->refs, UINT64_MAX) != 1)
        return;
    kj_segment_close(segment);
    kj_free(segment);
}

static struct kj_segment *new_segment(struct kj_log *log, int64_t base_offset, uint64_t incarnation)
{
    struct kj_segment *segment = kj_alloc_zero(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->log = log;
    segment->base_offset = base_offset;
    segment->incarnation = incarnation;
    segment->refs = 1;
    segment->bytes = -1;
    segment->created_ms = kj_wall_ms(log->env->clock);
    segment->first_batch_max_timestamp = INT64_MIN;
    segment->max_timestamp = INT64_MIN;
    return segment;
}

/* --- the list --- */

struct listing {
    const char *dir;
    int64_t *bases;
    size_t count, capacity;
    bool index_in_the_way, leftovers;
    int err;
};

static int note_name(void *arg, const char *name, enum kj_io_type type)
{
    struct listing *listing = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if (suffix != KJ_SUFFIX_NONE) {
        listing->leftovers = listing->leftovers || type == KJ_IO_FILE;
        return 0;
    }
    if (type != KJ_IO_FILE &&
        (kind == KJ_FILE_INDEX || kind == KJ_FILE_TIMEINDEX || kind == KJ_FILE_TXNINDEX))
        listing->index_in_the_way = true;
    if (kind != KJ_FILE_LOG)
        return 0;
    if (type != KJ_IO_FILE) { /* passing over it would give its offsets away a second time */
        listing->err = kj_err(KAJA_ERR_NOT_KAJA, "%s/%s is a link or something else than a file: what it leads to "
                                                 "is neither read nor written",
                              listing->dir, name);
        return ENOTSUP;
    }
    listing->err = kj_grow((void **)&listing->bases, &listing->capacity, listing->count + 1,
                           sizeof *listing->bases);
    if (listing->err != 0)
        return ENOMEM;
    listing->bases[listing->count++] = offset;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Only segments that are on disk for good are ever replaced: no other's descriptor is let go here. */
static bool may_move(struct kj_segment *segment)
{
    struct kj_log *log = segment->log;
    return kj_log_word(log, KJ_SLOT_STATE) == KJ_SLOT_READY &&
           segment->base_offset < (int64_t)kj_log_word(log, KJ_SLOT_SYNCED_BASE);
}

static bool still(struct kj_segment *segment, uint64_t incarnation)
{
    return kj_load_relaxed(&segment->moved) == 0 &&
           (kj_load_relaxed(&segment->incarnation) == incarnation || !may_move(segment));
}

bool kj_segment_same(struct kj_segment *segment, uint64_t ino)
{
    struct kj_log *log = segment->log;
    uint64_t known = 0;
    if (!may_move(segment))
        return true;
    /* INCARNATION behind the look at the file: it rises before the first name changes. Within one change a
     * name changes once, and the old file's number is not given out again while the new one is there. */
    if (kj_load_relaxed(&segment->moved) == 0 &&
        kj_load_relaxed(&segment->incarnation) == kj_log_word(log, KJ_SLOT_INCARNATION) &&
        (kj_cas(&segment->ino, &known, ino) || known == ino))
        return true;
    kj_store_relaxed(&segment->moved, 1);
    kj_store_release(&log->seen_changes, UINT64_MAX);
    return false;
}

int kj_segment_moved_error(struct kj_segment *segment)
{
    struct kj_log *log = segment->log;
    return kj_err_at(kj_err(KAJA_ERR_KAFKA_STORAGE_ERROR, "%s: segment %lld is replaced by compaction just now",
                            log->dir, (long long)segment->base_offset),
                     log->topic, log->partition, segment->base_offset, -1);
}

bool kj_log_moved(struct kj_log *log, uint64_t before)
{
    if (kj_load_acquire(&log->listed) != 1)
        return false;
    if (kj_log_word(log, KJ_SLOT_INTENT) == KJ_INTENT_REPLACE) /* names go one by one: what is there now? */
        kj_store_release(&log->seen_changes, UINT64_MAX);
    return kj_log_word(log, KJ_SLOT_INCARNATION) != before ||
           kj_load_acquire(&log->seen_changes) == UINT64_MAX;
}

/* Segments that are still there keep their objects, with what is open. Both lists are sorted. */
static int replace_list(struct kj_log *log, const struct listing *listing, uint64_t incarnation)
{
    struct kj_segment **fresh = kj_alloc_zero(listing->count, sizeof *fresh);
    if (fresh == NULL)
        return kj_err_oom("the list of segments");
    kj_lock_acquire(&log->segments_lock);
    struct kj_segment **old = log->segments;
    size_t old_count = log->segment_count;
    int err = 0;
    for (size_t i = 0, k = 0; i < listing->count && err == 0; i++) {
        while (k < old_count && old[k]->base_offset < listing->bases[i])
            k++;
        if (k < old_count && old[k]->base_offset == listing->bases[i] && still(old[k], incarnation)) {
            fresh[i] = old[k];
            kj_segment_hold(fresh[i]);
            kj_store_relaxed(&fresh[i]->incarnation, incarnation);
        } else if ((fresh[i] = new_segment(log, listing->bases[i], incarnation)) == NULL) {
            err = kj_err_oom("a segment");
        }
    }
    if (err == 0) {
        for (size_t i = 0; i < listing->count; i++) {
            /* what was known of an active one is not what is true of a closed one */
            fresh[i]->bytes = -1;
            fresh[i]->max_timestamp = INT64_MIN;
        }
        log->segments = fresh;
        log->segment_count = listing->count;
        log->segment_capacity = listing->count;
        kj_store_release(&log->listed, 1);
    }
    kj_lock_release(&log->segments_lock);
    struct kj_segment **gone = err == 0 ? old : fresh;
    size_t gone_count = err == 0 ? old_count : listing->count;
    for (size_t i = 0; i < gone_count; i++)
        if (gone[i] != NULL)
            kj_segment_release(gone[i]);
    kj_free(gone);
    return err;
}

static int list_locked(struct kj_log *log)
{
    struct listing listing = {.dir = log->dir};
    uint64_t changes = kj_log_word(log, KJ_SLOT_CHANGES); /* before the look */
    uint64_t incarnation = kj_log_word(log, KJ_SLOT_INCARNATION);
    int os = kj_io_list(log->env->io, log->dir, note_name, &listing);
    int err = listing.err;
    if (err == 0 && os != 0)
        err = kj_log_io_error(log, os, "listing", KJ_FILE_OTHER, 0, -1);
    if (err == 0) {
        if (listing.count > 0)
            qsort(listing.bases, listing.count, sizeof *listing.bases, by_offset);
        err = replace_list(log, &listing, incarnation);
        log->index_in_the_way = listing.index_in_the_way;
        log->leftovers = listing.leftovers;
    }
    if (err == 0)
        kj_store_release(&log->seen_changes, changes);
    kj_free(listing.bases);
    return err;
}

int kj_segments_list(struct kj_log *log)
{
    kj_lock_acquire(&log->list_lock);
    int err = list_locked(log);
    kj_lock_release(&log->list_lock);
    return err;
}

static bool up_to_date(struct kj_log *log)
{
    /* Pairs with the rise of CHANGES under the append lock: whoever saw an END behind a roll sees it. */
    return kj_load_acquire(&log->listed) == 1 &&
           kj_load_acquire(&log->seen_changes) == kj_log_word(log, KJ_SLOT_CHANGES);
}

int kj_segments_refresh(struct kj_log *log)
{
    if (up_to_date(log))
        return 0;
    kj_lock_acquire(&log->list_lock);
    int err = up_to_date(log) ? 0 : list_locked(log);
    kj_lock_release(&log->list_lock);
    return err;
}

struct kj_segment *kj_segment_find(struct kj_log *log, int64_t offset, int64_t *ret_next)
{
    struct kj_segment *segment = NULL;
    kj_lock_acquire(&log->segments_lock);
    size_t low = 0, high = log->segment_count; /* the answer is the last with base <= offset */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (log->segments[mid]->base_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    size_t i = low > 0 ? low - 1 : 0;
    if (log->segment_count > 0) {
        segment = log->segments[i];
        kj_segment_hold(segment);
        *ret_next = i + 1 < log->segment_count ? log->segments[i + 1]->base_offset : INT64_MAX;
    }
    kj_lock_release(&log->segments_lock);
    return segment;
}

struct kj_segment *kj_segment_active(struct kj_log *log)
{
    /* By the word, not by being last: a roll that failed may have left a file behind END. */
    int64_t next;
    return kj_segment_find(log, (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE), &next);
}

/* --- one segment --- */

static bool is_active(struct kj_segment *segment)
{
    return segment->base_offset >= (int64_t)kj_log_word(segment->log, KJ_SLOT_ACTIVE_BASE) &&
           kj_log_word(segment->log, KJ_SLOT_STATE) == KJ_SLOT_READY;
}

int kj_segment_bytes(struct kj_segment *segment, int64_t *ret_bytes)
{
    struct kj_log *log = segment->log;
    if (is_active(segment)) {
        struct kj_tail tail;
        for (int tries = 0; tries < 100; tries++)
            if (kj_tail_load(log, &tail)) { /* else a writer is at it just now */
                if (!is_active(segment))
                    break; /* rolled in between: these are the hints of the new one (kj_roll_publish()) */
                *ret_bytes = tail.pos;
                return 0;
            }
    }
    kj_lock_acquire(&log->segments_lock);
    int64_t bytes = segment->bytes;
    kj_lock_release(&log->segments_lock);
    if (bytes >= 0) {
        *ret_bytes = bytes;
        return 0;
    }
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, KJ_FILE_LOG, segment->base_offset);
    struct kj_io_stat stat;
    int os = kj_io_stat(log->env->io, path, &stat);
    if (os != 0)
        return kj_log_io_error(log, os, "looking at", KJ_FILE_LOG, segment->base_offset, -1);
    if (!kj_segment_same(segment, stat.ino))
        return kj_segment_moved_error(segment);
    if (!is_active(segment)) {
        kj_lock_acquire(&log->segments_lock);
        segment->bytes = stat.size;
        kj_lock_release(&log->segments_lock);
    }
    *ret_bytes = stat.size;
    return 0;
}

static const size_t entry_bytes[KJ_SEGMENT_FILES] = {
    [KJ_FILE_INDEX] = KJ_OFFSET_ENTRY_BYTES,
    [KJ_FILE_TIMEINDEX] = KJ_TIME_ENTRY_BYTES,
    [KJ_FILE_TXNINDEX] = KJ_TXN_ENTRY_BYTES,
};

int kj_segment_index_count(struct kj_segment *segment, enum kj_file_kind kind, uint32_t *ret_count)
{
    struct kj_log *log = segment->log;
    struct kj_tail tail;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, log->dir, kind, segment->base_offset);
    int os = kj_io_stat(log->env->io, path, &stat);
    if (os == ENOENT) {
        *ret_count = 0;
        return 0;
    }
    if (os == 0 && stat.type != KJ_IO_FILE) {
        /* Without the others reading is slower; without this one it would show what was aborted. */
        if (kind == KJ_FILE_TXNINDEX)
            return kj_log_io_error(log, EINVAL, "looking at", kind, segment->base_offset, -1);
        *ret_count = 0;
        return 0;
    }
    if (os != 0)
        return kj_log_io_error(log, os, "looking at", kind, segment->base_offset, -1);
    int64_t count = stat.size / (int64_t)entry_bytes[kind];
    if (is_active(segment) && kj_tail_load(log, &tail) && is_active(segment)) {
        int64_t counted = kind == KJ_FILE_INDEX       ? tail.index_count
                          : kind == KJ_FILE_TIMEINDEX ? tail.time_count
                                                      : tail.txn_count;
        if (counted < count)
            count = counted;
    }
    *ret_count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
    return 0;
}

/* True if a whole batch header stands at the entry's position and ends with its offset. */
static int entry_agrees(struct kj_segment *segment, const struct kj_offset_entry *entry, bool *ret_agrees)
{
    struct kj_file *file;
    uint8_t head[KJ_BATCH_HEADER_BYTES];
    size_t len = 0;
    *ret_agrees = false;
    if (entry->pos < 0)
        return 0;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_pread(file, head, sizeof head, entry->pos, &len);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(segment->log, os, "reading", KJ_FILE_LOG, segment->base_offset, entry->pos);
    struct kj_batch batch;
    *ret_agrees = len == sizeof head && kj_batch_look(head, SIZE_MAX, &batch) == KJ_BATCH_OK &&
                  kj_batch_last_offset(&batch) == entry->offset && batch.base_offset >= segment->base_offset;
    return 0;
}

int kj_segment_position(struct kj_segment *segment, int64_t offset, int64_t *ret_pos)
{
    uint32_t count;
    KJ_TRY(kj_segment_index_count(segment, KJ_FILE_INDEX, &count));
    int64_t i = -1;
    struct kj_offset_entry entry = {.offset = segment->base_offset};
    if (count > 0) {
        struct kj_file *file;
        KJ_TRY(kj_segment_pin(segment, KJ_FILE_INDEX, false, &file));
        int os = kj_offset_index_lookup(file, segment->base_offset, count, offset, &i, &entry);
        kj_segment_unpin(segment);
        if (os != 0)
            i = -1; /* shorter than it should be: the log itself is the evidence */
    }
    bool agrees = false;
    if (i >= 0)
        KJ_TRY(entry_agrees(segment, &entry, &agrees));
    *ret_pos = agrees ? entry.pos : 0;
    return 0;
}

int kj_segment_max_timestamp(struct kj_segment *segment, int64_t *ret_timestamp, int64_t *ret_offset)
{
    struct kj_log *log = segment->log;
    if (is_active(segment)) {
        struct kj_tail tail;
        if (kj_tail_load(log, &tail) && is_active(segment)) {
            *ret_timestamp = tail.max_timestamp;
            *ret_offset = tail.max_ts_offset;
            return 0;
        }
    }
    kj_lock_acquire(&log->segments_lock);
    int64_t timestamp = segment->max_timestamp, offset = segment->max_ts_offset;
    kj_lock_release(&log->segments_lock);
    if (timestamp != INT64_MIN) {
        *ret_timestamp = timestamp;
        *ret_offset = offset;
        return 0;
    }
    timestamp = -1;
    offset = segment->base_offset;
    uint32_t count;
    KJ_TRY(kj_segment_index_count(segment, KJ_FILE_TIMEINDEX, &count));
    if (count > 0) {
        struct kj_file *file;
        struct kj_time_entry entry;
        KJ_TRY(kj_segment_pin(segment, KJ_FILE_TIMEINDEX, false, &file));
        int os = kj_time_index_read(file, segment->base_offset, count - 1, &entry);
        kj_segment_unpin(segment);
        if (os != 0)
            return kj_log_io_error(log, os, "reading", KJ_FILE_TIMEINDEX, segment->base_offset, -1);
        timestamp = entry.timestamp;
        offset = entry.offset;
    }
    if (!is_active(segment)) {
        kj_lock_acquire(&log->segments_lock);
        segment->max_timestamp = timestamp;
        segment->max_ts_offset = offset;
        kj_lock_release(&log->segments_lock);
    }
    *ret_timestamp = timestamp;
    *ret_offset = offset;
    return 0;
}

int kj_segment_time(struct kj_segment *segment, int64_t *ret_timestamp)
{
    int64_t offset;
    KJ_TRY(kj_segment_max_timestamp(segment, ret_timestamp, &offset));
    if (*ret_timestamp >= 0)
        return 0;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, segment->log->dir, KJ_FILE_LOG, segment->base_offset);
    int os = kj_io_stat(segment->log->env->io, path, &stat);
    if (os != 0)
        return kj_log_io_error(segment->log, os, "looking at", KJ_FILE_LOG, segment->base_offset, -1);
    *ret_timestamp = stat.mtime_ms;
    return 0;
}

/* Makes one empty file, cutting what a dead roll left under its name. */
static int make_empty(struct kj_log *log, enum kj_file_kind kind, int64_t base_offset)
{
    char path[KJ_PATH_MAX];
    struct kj_file *file;
    kj_file_path(path, log->dir, kind, base_offset);
    int os = kj_io_open(log->env->io, path, KJ_IO_WRITE | KJ_IO_CREATE, &file);
    if (os == 0) {
        struct kj_io_stat stat;
        os = kj_io_stat_file(file, &stat);
        if (os == 0 && stat.size != 0)
            os = kj_io_truncate(file, 0);
        kj_io_close(file);
    }
    return os == 0 ? 0 : kj_log_io_error(log, os, "making", kind, base_offset, -1);
}

int kj_segment_create_files(struct kj_log *log, int64_t base_offset, int64_t prepared_of)
{
    KJ_TRY(make_empty(log, KJ_FILE_INDEX, base_offset));
    KJ_TRY(make_empty(log, KJ_FILE_TIMEINDEX, base_offset));
    char txn[KJ_PATH_MAX];
    kj_file_path(txn, log->dir, KJ_FILE_TXNINDEX, base_offset);
    int os = kj_io_unlink(log->env->io, txn);
    if (os != 0 && os != ENOENT)
        return kj_log_io_error(log, os, "removing", KJ_FILE_TXNINDEX, base_offset, -1);
    /* The .log last: an index without its log is litter, a log without index is rebuilt. */
    if (prepared_of >= 0) {
        char from[KJ_PATH_MAX], to[KJ_PATH_MAX];
        kj_file_path(from, log->dir, KJ_FILE_PREPARED, prepared_of);
        kj_file_path(to, log->dir, KJ_FILE_LOG, base_offset);
        os = kj_io_rename(log->env->io, from, to);
        if (os != 0 && os != ENOENT)
            return kj_log_io_error(log, os, "renaming", KJ_FILE_PREPARED, prepared_of, -1);
        if (os == 0)
            return 0;
    }
    return make_empty(log, KJ_FILE_LOG, base_offset);
}

int kj_segment_allocate(struct kj_log *log, int64_t base_offset)
{
    char path[KJ_PATH_MAX];
    struct kj_file *file;
    kj_file_path(path, log->dir, KJ_FILE_LOG, base_offset);
    int os = kj_io_open(log->env->io, path, KJ_IO_WRITE, &file);
    if (os == 0) {
        struct kj_io_req req = {
            .op = KJ_IO_OP_ALLOCATE, .file = file, .len = (size_t)log->config.segment_bytes};
        os = kj_io_submit(log->env->io, &req, 1);
        kj_io_close(file);
        if (os == EOPNOTSUPP)
            os = 0;
    }
    return os == 0 ? 0 : kj_log_io_error(log, os, "allocating", KJ_FILE_LOG, base_offset, -1);
}

int kj_log_create_files(struct kj_io *io, const char *dir, const uint8_t topic_id[static 16])
{
    int os = kj_io_mkdir(io, dir);
    if (os != 0 && os != EEXIST)
        return kj_err_os(os, "making directory %s", dir);
    KJ_TRY(kj_partition_metadata_write(io, dir, topic_id, true));
    static const enum kj_file_kind kinds[] = {KJ_FILE_INDEX, KJ_FILE_TIMEINDEX, KJ_FILE_LOG};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char path[KJ_PATH_MAX];
        struct kj_file *file;
        kj_file_path(path, dir, kinds[i], 0);
        if ((os = kj_io_open(io, path, KJ_IO_WRITE | KJ_IO_CREATE, &file)) != 0)
            return kj_err_os(os, "making %s", path);
        kj_io_close(file);
    }
    char path[KJ_PATH_MAX];
    snprintf(path, sizeof path, "%s/leader-epoch-checkpoint", dir);
    struct kj_file *file;
    if ((os = kj_io_open(io, path, KJ_IO_WRITE | KJ_IO_CREATE, &file)) != 0)
        return kj_err_os(os, "making %s", path);
    kj_io_close(file);
    if ((os = kj_io_sync_dir(io, dir)) != 0 || (os = kj_io_sync_dir(io, "")) != 0)
        return kj_err_os(os, "flushing directory %s", dir);
    return 0;
}

int kj_log_epoch(struct kj_log *log, int64_t base_offset, int32_t *ret_epoch)
{
    KJ_TRY(kj_log_epochs(log));
    if (log->epochs.count == 0) {
        bool changed;
        KJ_TRY(kj_epochs_note(&log->epochs, 0, base_offset, &changed));
        KJ_TRY(kj_epochs_write(log->env->io, log->dir, &log->epochs, false));
    }
    *ret_epoch = kj_epochs_last(&log->epochs);
    return 0;
}
