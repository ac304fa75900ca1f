/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/read.c - from an offset to bytes: segment, index entry, walk. Without a lock: everything below
 * END stands still, END was loaded before the list of segments was looked at, and a file that retention
 * unlinks lives on as long as it is mapped or open.
 */
#include "log/internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int out_of_range(struct kj_log *log, int64_t offset, int64_t start, int64_t end)
{
    return kj_err_at(kj_err(KAJA_ERR_OFFSET_OUT_OF_RANGE, "%s-%d: offset %lld is outside [%lld, %lld]",
                            log->topic, log->partition, (long long)offset, (long long)start, (long long)end),
                     log->topic, log->partition, offset, -1);
}

static int damaged(struct kj_log *log, struct kj_segment *segment, int64_t offset, int64_t pos, const char *why)
{
    return kj_err_at(kj_err(KAJA_ERR_DAMAGED, "%s-%d: segment %lld at %lld: %s", log->topic, log->partition,
                            (long long)segment->base_offset, (long long)pos, why),
                     log->topic, log->partition, offset, pos);
}

/* A window of a segment for the walk: the map, or with fetch_copy bytes read with pread. */
struct window {
    struct kj_view *view;
    int64_t bytes; /* of the segment that may be looked at */
};

static int open_window(struct kj_segment *segment, int64_t pos, size_t len, struct window *window)
{
    int64_t bytes;
    KJ_TRY(kj_segment_bytes(segment, &bytes));
    window->bytes = bytes;
    window->view = NULL;
    if (pos >= bytes)
        return 0;
    if (!segment->log->env->fetch_copy)
        return kj_segment_view(segment, bytes, &window->view);
    if ((int64_t)len > bytes - pos)
        len = (size_t)(bytes - pos);
    return kj_view_copy(segment, pos, len, &window->view);
}

static const uint8_t *window_at(const struct window *window, int64_t pos)
{
    return window->view->base + (pos - window->view->start);
}

/* Bytes of the segment from pos on that the window shows. */
static size_t window_left(const struct window *window, int64_t pos)
{
    int64_t shown = window->view->start + (int64_t)window->view->len;
    int64_t end = shown < window->bytes ? shown : window->bytes;
    return end > pos ? (size_t)(end - pos) : 0;
}

enum walked { WALK_FOUND, WALK_SEGMENT_ENDS, WALK_MORE, WALK_FAILED };

/* Base offsets lie outside the checksum: a batch must follow the one before it and end before the next
 * segment, or before END, and within the bytes of its own. */
static const char *misplaced(const struct window *window, const struct kj_batch *batch, int64_t pos,
                             int64_t least, int64_t bound)
{
    if (batch->base_offset < least)
        return "a batch with an offset that was passed";
    if (kj_batch_last_offset(batch) >= bound)
        return "a batch with an offset that belongs to the next segment, or behind the end";
    if ((int64_t)kj_batch_bytes(batch) > window->bytes - pos)
        return "a batch reaches past the end of its segment";
    return NULL;
}

/* Moves *pos to the first batch whose last offset is at or behind offset. No batch from *pos on has an offset
 * below least or from bound on. */
static enum walked walk_to(struct kj_segment *segment, const struct window *window, int64_t offset,
                           int64_t least, int64_t bound, int64_t *pos, int *ret_err)
{
    for (;;) {
        if (*pos >= window->bytes)
            return WALK_SEGMENT_ENDS;
        struct kj_batch batch;
        size_t left = window_left(window, *pos);
        enum kj_batch_look look = left >= KJ_BATCH_HEADER_BYTES
                                      ? kj_batch_look(window_at(window, *pos), SIZE_MAX, &batch)
                                      : KJ_BATCH_PARTIAL;
        if (look == KJ_BATCH_PARTIAL && window->view->start + (int64_t)window->view->len < window->bytes)
            return WALK_MORE; /* a copy that ends too early */
        if (look == KJ_BATCH_OLD_MAGIC) {
            *ret_err = kj_err_at(kj_err(KAJA_ERR_UNSUPPORTED_MAGIC,
                                        "%s-%d: segment %lld holds batches of magic 0 or 1",
                                        segment->log->topic, segment->log->partition,
                                        (long long)segment->base_offset),
                                 segment->log->topic, segment->log->partition, offset, *pos);
            return WALK_FAILED;
        }
        const char *why = look != KJ_BATCH_OK ? "no batch where one should be"
                                              : misplaced(window, &batch, *pos, least, bound);
        /* A compaction that is being put in place: what is behind the bound stands in the old segment too. */
        if (look == KJ_BATCH_OK && batch.base_offset >= least && kj_batch_last_offset(&batch) >= bound &&
            bound < kj_log_end(segment->log) &&
            kj_log_word(segment->log, KJ_SLOT_INTENT) == KJ_INTENT_REPLACE)
            return WALK_SEGMENT_ENDS;
        if (why != NULL) {
            *ret_err = damaged(segment->log, segment, offset, *pos, why);
            return WALK_FAILED;
        }
        if (kj_batch_last_offset(&batch) >= offset)
            return WALK_FOUND;
        least = kj_batch_next_offset(&batch);
        *pos += (int64_t)kj_batch_bytes(&batch);
    }
}

/* Takes whole batches from pos on. */
static void gather(const struct window *window, int64_t pos, int64_t limit_offset, size_t max_bytes,
                   bool min_one, struct kj_log_read *read)
{
    int64_t at = pos;
    int64_t next = -1;
    int32_t count = 0;
    while (at < window->bytes) {
        struct kj_batch batch;
        size_t left = window_left(window, at);
        if (left < KJ_BATCH_HEADER_BYTES || kj_batch_look(window_at(window, at), left, &batch) != KJ_BATCH_OK)
            break;
        if (kj_batch_last_offset(&batch) >= limit_offset || batch.base_offset < next)
            break;
        size_t bytes = kj_batch_bytes(&batch);
        if ((size_t)(at - pos) + bytes > max_bytes && !(count == 0 && min_one))
            break;
        at += (int64_t)bytes;
        next = kj_batch_next_offset(&batch);
        count++;
    }
    read->bytes = window_at(window, pos);
    read->len = (size_t)(at - pos);
    read->pos = pos;
    read->next_offset = next;
    read->batch_count = count;
}

static bool cursor_fits(struct kj_log *log, const struct kj_log_cursor *cursor, int64_t offset,
                        const struct kj_segment *segment)
{
    return cursor != NULL && cursor->valid && cursor->offset == offset &&
           cursor->segment_base == segment->base_offset &&
           cursor->incarnation == kj_log_word(log, KJ_SLOT_INCARNATION);
}

/* First bytes of a batch that a copy must hold to know its length. */
static size_t copy_bytes(size_t max_bytes)
{
    return max_bytes > 65536 ? max_bytes : 65536;
}

/* Looks into one segment; next: the base of the one behind it. 0 with read->view NULL: nothing to be had;
 * *ret_ends then tells whether the segment has nothing at or behind offset. */
static int read_segment(struct kj_segment *segment, int64_t offset, int64_t limit_offset, int64_t next,
                        size_t max_bytes, bool min_one, struct kj_log_cursor *cursor,
                        struct kj_log_read *read, bool *ret_ends)
{
    struct kj_log *log = segment->log;
    int64_t pos = 0;
    int64_t least = segment->base_offset;
    if (cursor_fits(log, cursor, offset, segment)) {
        pos = cursor->pos;
        least = offset;
    } else if (offset > segment->base_offset) {
        KJ_TRY(kj_segment_position(segment, offset, &pos));
    }
    size_t want = copy_bytes(max_bytes);
    *ret_ends = true;
    for (;;) {
        struct window window;
        KJ_TRY(open_window(segment, pos, want, &window));
        if (window.view == NULL)
            return 0;
        int err = 0;
        int64_t before = pos;
        int64_t end = kj_log_end(log); /* after the window: it covers what the window shows */
        enum walked walked = walk_to(segment, &window, offset, least, next < end ? next : end, &pos, &err);
        if (walked == WALK_FOUND) {
            gather(&window, pos, limit_offset, max_bytes, min_one, read);
            if (read->batch_count > 0) {
                read->view = window.view;
                read->segment_base = segment->base_offset;
                return 0;
            }
            /* A copy that does not hold one whole batch: take a larger one. */
            struct kj_batch batch;
            bool header = window_left(&window, pos) >= KJ_BATCH_HEADER_BYTES;
            if (header)
                kj_batch_decode(window_at(&window, pos), &batch);
            bool whole = header && window_left(&window, pos) >= kj_batch_bytes(&batch);
            size_t wanted = want;
            kj_view_release(window.view);
            want = header ? kj_batch_bytes(&batch) : KJ_BATCH_HEADER_BYTES;
            if (!whole && pos == before && want <= wanted)
                return damaged(log, segment, offset, pos, "the file is shorter than what was written");
            if (whole || (want > max_bytes && !min_one)) {
                *ret_ends = false; /* it is there, but the limits keep it back */
                return 0;
            }
            least = segment->base_offset; /* what was walked over is walked over again, or not at all */
            continue;
        }
        kj_view_release(window.view);
        if (walked == WALK_FAILED)
            return err;
        if (walked == WALK_SEGMENT_ENDS)
            return 0;
        if (pos == before && want > (size_t)INT_MAX)
            return damaged(log, segment, offset, pos, "a batch longer than any segment");
        if (pos == before)
            want *= 2;
    }
}

/* The walk went on from offset into a later segment, and its first batch begins behind that. Where
 * compaction never was every offset is some batch's: an event says that these are lost, once for each
 * place. Those below the log start were deleted. */
static void tell_gap(struct kj_segment *segment, int64_t offset, const uint8_t *batch)
{
    struct kj_log *log = segment->log;
    int64_t base = kj_get_be64s(batch);
    if (base <= offset || kj_log_gap_ok(log, base) || kj_log_start(log) > offset)
        return;
    kj_lock_acquire(&log->segments_lock);
    bool due = !segment->gap_told;
    segment->gap_told = true;
    kj_lock_release(&log->segments_lock);
    if (due)
        kj_log_tell_gap(log, segment->base_offset, offset, base);
}

static int read_once(struct kj_log *log, int64_t offset, int64_t limit_offset, size_t max_bytes, bool min_one,
                     struct kj_log_cursor *cursor, struct kj_log_read *ret_read)
{
    int64_t end = kj_log_end(log); /* before the list is looked at, see above */
    int64_t start = kj_log_start(log);
    if (kj_log_stale(log))
        return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "topic %s was deleted, or deleted and created anew",
                                log->topic),
                         log->topic, log->partition, -1, -1);
    if (offset < start || offset > end)
        return out_of_range(log, offset, start, end);
    struct kj_log_read read = {.next_offset = offset};
    if (limit_offset > end)
        limit_offset = end;
    KJ_TRY(kj_segments_refresh(log));
    int64_t find = offset;
    while (offset < limit_offset) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            break;
        bool ends = true;
        int err = read_segment(segment, offset, limit_offset, next, max_bytes, min_one, cursor, &read, &ends);
        struct kj_log_cursor moved = {.offset = read.next_offset,
                                      .pos = read.pos + (int64_t)read.len,
                                      .segment_base = segment->base_offset,
                                      .incarnation = kj_log_word(log, KJ_SLOT_INCARNATION),
                                      .valid = true};
        bool gone = err != 0 && kj_log_start(log) > offset;
        if (err == 0 && read.view != NULL && find != offset)
            tell_gap(segment, offset, read.bytes);
        kj_segment_release(segment);
        if (gone) /* retention was faster: say so, not that a file is missing */
            return out_of_range(log, offset, kj_log_start(log), end);
        if (err != 0)
            return err;
        if (read.view != NULL) {
            if (cursor != NULL)
                *cursor = moved;
            break;
        }
        if (!ends || next == INT64_MAX || next >= limit_offset)
            break;
        find = next; /* the segment ends before offset: a gap left by compaction, repair or loss */
    }
    *ret_read = read;
    return 0;
}

int kj_log_read(struct kj_log *log, int64_t offset, int64_t limit_offset, size_t max_bytes, bool min_one,
                struct kj_log_cursor *cursor, struct kj_log_read *ret_read)
{
    for (int tries = 1;; tries++) {
        uint64_t before = kj_log_word(log, KJ_SLOT_INCARNATION);
        int err = read_once(log, offset, limit_offset, max_bytes, min_one, cursor, ret_read);
        if (err == 0 || err == KAJA_ERR_OFFSET_OUT_OF_RANGE || tries == KJ_MOVED_TRIES ||
            !kj_log_moved(log, before))
            return err;
        kj_err_clear();
    }
}

/* --- aborted transactions --- */

struct aborted {
    int64_t from, to;
    kj_txn_index_callback *callback;
    void *arg;
    bool done;
};

static int pick_aborted(void *arg, const struct kj_txn_entry *entry)
{
    struct aborted *aborted = arg;
    if (entry->last_offset >= aborted->from && entry->first_offset < aborted->to) {
        int stop = aborted->callback(aborted->arg, entry);
        if (stop != 0)
            return stop;
    }
    if (entry->last_stable_offset >= aborted->to) {
        aborted->done = true;
        return 1;
    }
    return 0;
}

static int aborted_once(struct kj_log *log, int64_t from, int64_t to, kj_txn_index_callback *callback, void *arg)
{
    struct aborted aborted = {.from = from, .to = to, .callback = callback, .arg = arg};
    KJ_TRY(kj_segments_refresh(log));
    int64_t find = from;
    for (;;) {
        int64_t next;
        uint32_t count;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        int err = kj_segment_index_count(segment, KJ_FILE_TXNINDEX, &count);
        if (err == 0 && count > 0) {
            struct kj_file *file;
            err = kj_segment_pin(segment, KJ_FILE_TXNINDEX, false, &file);
            if (err == 0) {
                err = kj_txn_index_walk(file, segment->base_offset, count, pick_aborted, &aborted);
                kj_segment_unpin(segment);
            }
        }
        kj_segment_release(segment);
        if (aborted.done)
            return 0;
        if (err != 0)
            return err;
        if (next == INT64_MAX)
            return 0;
        find = next;
    }
}

/* What was told is told again after a change: to those who gather, the same twice is no harm. */
int kj_log_aborted(struct kj_log *log, int64_t from, int64_t to, kj_txn_index_callback *callback, void *arg)
{
    for (int tries = 1;; tries++) {
        uint64_t before = kj_log_word(log, KJ_SLOT_INCARNATION);
        int err = aborted_once(log, from, to, callback, arg);
        if (err == 0 || tries == KJ_MOVED_TRIES || !kj_log_moved(log, before))
            return err;
        kj_err_clear();
    }
}
