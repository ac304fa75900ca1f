/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/catch_up.c - this handle's producer state follows the log: never a message between processes,
 * only the batches themselves, from the newest valid snapshot on.
 */
#include "log/internal.h"

#include "record/batch_reader.h"
#include "record/control.h"

#include <errno.h>
#include <stdlib.h>

/* How much is read at a time. */
enum { WINDOW_BYTES = 1 << 20 };

int kj_log_note_batch(struct kj_log *log, const struct kj_batch *batch, const uint8_t *bytes,
                      struct kj_txn_entry *ret_txn, bool *ret_has_txn)
{
    *ret_has_txn = false;
    if (batch->producer_id < 0)
        return 0;
    if (!kj_batch_has(batch, KJ_ATTR_CONTROL))
        return kj_producers_add(log->producers, batch);
    struct kj_batch_reader reader;
    struct kj_record_view view;
    KJ_TRY(kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &log->plain, 1 << 20));
    int got = kj_batch_reader_next(&reader, &view);
    if (got == 0)
        return 0; /* compaction took the marker and kept its empty batch */
    if (got < 0)
        return kj_batch_reader_fault(&reader);
    int type;
    int32_t coordinator_epoch;
    KJ_TRY(kj_control_decode(&view, &type, &coordinator_epoch));
    if (type != KJ_CONTROL_ABORT && type != KJ_CONTROL_COMMIT)
        return 0;
    bool ended;
    struct kj_txn_entry entry;
    KJ_TRY(kj_producers_add_marker(log->producers, batch, type, coordinator_epoch, &ended, &entry));
    if (ended && type == KJ_CONTROL_ABORT) {
        *ret_txn = entry;
        *ret_has_txn = true;
    }
    return 0;
}

struct snapshots {
    int64_t *offsets;
    size_t count, capacity;
    int err;
};

static int note_snapshot(void *arg, const char *name, enum kj_io_type type)
{
    struct snapshots *list = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if (kind != KJ_FILE_SNAPSHOT || suffix != KJ_SUFFIX_NONE || type != KJ_IO_FILE)
        return 0;
    list->err = kj_grow((void **)&list->offsets, &list->capacity, list->count + 1, sizeof *list->offsets);
    if (list->err != 0)
        return ENOMEM;
    list->offsets[list->count++] = offset;
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x > y ? -1 : x < y;
}

/* The newest valid snapshot at or below end; where the state then stands to *ret_offset. */
int kj_log_load_snapshot(struct kj_log *log, int64_t end, int64_t *ret_offset)
{
    struct snapshots list = {0};
    int os = kj_io_list(log->env->io, log->dir, note_snapshot, &list);
    int err = list.err;
    if (err == 0 && os != 0)
        err = kj_log_io_error(log, os, "listing", KJ_FILE_OTHER, 0, -1);
    int64_t start = kj_log_start(log);
    int64_t found = -1;
    kj_producers_clear(log->producers);
    if (err == 0 && list.count > 0) {
        qsort(list.offsets, list.count, sizeof *list.offsets, newest_first);
        for (size_t i = 0; i < list.count && found < 0; i++)
            if (list.offsets[i] <= end && list.offsets[i] > start &&
                kj_producers_read(log->producers, log->env->io, log->dir, list.offsets[i]) == 0)
                found = list.offsets[i];
        if (found < 0)
            kj_producers_clear(log->producers);
    }
    kj_free(list.offsets);
    if (err != 0)
        return err;
    kj_producers_expire(log->producers, kj_wall_ms(log->env->clock), log->config.producer_expiration_ms);
    *ret_offset = found >= 0 ? found : start;
    return 0;
}

/* From the newest snapshot that counts. */
static int begin_anew(struct kj_log *log, int64_t end)
{
    /* A snapshot above the high watermark has forgotten transactions whose marker nobody may read
     * yet; they still hold the last stable offset. */
    int64_t high_watermark = kj_log_high_watermark(log);
    int64_t from;
    KJ_TRY(kj_log_load_snapshot(log, end < high_watermark ? end : high_watermark, &from));
    log->producers_end = from;
    return 0;
}

/* True if batches that this handle has not seen are deleted: what it knows of their producers is old. */
static bool fell_behind(struct kj_log *log, int64_t end)
{
    return log->producers_end < end && log->producers_end < kj_log_start(log);
}

/* What cannot be read tells nothing; what follows may still be known: from the next segment on, or
 * from end. A producer with batches in there is taken for one that lost its place, and begins a new
 * epoch. */
static int pass_damage(struct kj_log *log, int64_t end, int err)
{
    int64_t next;
    if (err != KAJA_ERR_DAMAGED && err != KAJA_ERR_UNSUPPORTED_MAGIC)
        return err;
    struct kj_segment *segment = kj_segment_find(log, log->producers_end, &next);
    if (segment == NULL)
        return err;
    kj_segment_release(segment);
    log->producers_end = next < end ? next : end;
    return 0;
}

static int catch_up(struct kj_log *log, int64_t end, bool past_damage)
{
    if (log->producers == NULL)
        KJ_TRY(kj_producers_new(&log->producers));
    if (log->producers_end < 0)
        KJ_TRY(begin_anew(log, end));
    struct kj_log_cursor cursor = {0};
    while (log->producers_end < end) {
        if (fell_behind(log, end)) {
            KJ_TRY(begin_anew(log, end));
            continue; /* nearer by at least one deletion */
        }
        struct kj_log_read read = {0};
        int read_err = kj_log_read(log, log->producers_end, end, WINDOW_BYTES, true, &cursor, &read);
        if (read_err == KAJA_ERR_OFFSET_OUT_OF_RANGE && fell_behind(log, end))
            continue; /* deleted just now */
        if (read_err != 0 && past_damage) {
            KJ_TRY(pass_damage(log, end, read_err));
            continue;
        }
        KJ_TRY(read_err);
        if (read.view == NULL) {
            log->producers_end = end; /* nothing but a gap left by repair */
            break;
        }
        size_t at = 0;
        int err = 0;
        while (err == 0 && at < read.len) {
            struct kj_batch batch;
            struct kj_txn_entry txn;
            bool has_txn;
            kj_batch_decode(read.bytes + at, &batch);
            if (kj_batch_next_offset(&batch) > log->producers_end)
                err = kj_log_note_batch(log, &batch, read.bytes + at, &txn, &has_txn);
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        if (err != 0)
            return err;
        log->producers_end = read.next_offset;
    }
    kj_producers_bound(log->producers, log->env->producer_ids_max);
    return 0;
}

int kj_log_catch_up(struct kj_log *log, int64_t end)
{
    return catch_up(log, end, false);
}

int kj_log_catch_up_to_append(struct kj_log *log, int64_t end)
{
    return catch_up(log, end, true);
}

void kj_log_forget_producer(struct kj_log *log, int64_t producer_id)
{
    kj_lock_acquire(&log->append_lock);
    if (log->producers != NULL)
        kj_producers_forget(log->producers, producer_id);
    kj_lock_release(&log->append_lock);
}

int kj_log_open_producers(struct kj_log *log, struct kj_producers **ret_open)
{
    kj_lock_acquire(&log->append_lock);
    int err = kj_log_catch_up(log, kj_log_end(log));
    if (err == 0)
        err = kj_producers_copy_open(log->producers, ret_open);
    kj_lock_release(&log->append_lock);
    return err;
}

int kj_log_last_stable(struct kj_log *log, int64_t *ret_offset)
{
    kj_lock_acquire(&log->append_lock);
    int64_t high_watermark = kj_log_high_watermark(log);
    int err = kj_log_catch_up(log, kj_log_end(log));
    if (err == 0) {
        int64_t unstable = kj_producers_first_unstable(log->producers, high_watermark);
        int64_t stable = unstable >= 0 && unstable < high_watermark ? unstable : high_watermark;
        int64_t start = kj_log_start(log);
        *ret_offset = stable > start ? stable : start;
    }
    kj_lock_release(&log->append_lock);
    return err;
}
