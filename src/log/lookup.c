/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/lookup.c - offsets by timestamp (Kafka: ListOffsets). Records are not ordered by time: the answer
 * is the smallest offset, found segment by segment, batch by batch, record by record.
 */
#include "log/internal.h"

#include "record/batch_reader.h"

#include <errno.h>

enum { READ_BYTES = 1 << 20, PLAIN_MAX = 1 << 28 };

struct search {
    struct kj_log *log;
    int64_t timestamp;   /* at least this; or, with exact, this one */
    bool exact;
    int64_t least_offset;
    int64_t limit_offset;
    bool found;
    int64_t offset, found_timestamp;
};

static int search_batch(struct search *search, const struct kj_batch *batch, const uint8_t *bytes)
{
    if (search->exact ? batch->max_timestamp != search->timestamp : batch->max_timestamp < search->timestamp)
        return 0;
    struct kj_buffer plain = {0};
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int err = kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &plain, PLAIN_MAX);
    int got = 0;
    while (err == 0 && !search->found && (got = kj_batch_reader_next(&reader, &view)) == 1) {
        int64_t offset = batch->base_offset + view.offset_delta;
        int64_t timestamp = kj_batch_record_timestamp(batch, &view);
        if (timestamp >= search->timestamp && offset >= search->least_offset) {
            search->found = true;
            search->offset = offset;
            search->found_timestamp = timestamp;
        }
    }
    if (err == 0 && got < 0)
        err = kj_batch_reader_fault(&reader);
    kj_buffer_free(&plain);
    return err;
}

/* From offset on, to the end of the segment that begins at base. */
static int search_segment(struct search *search, int64_t offset, int64_t segment_end)
{
    struct kj_log_cursor cursor = {0};
    while (offset < segment_end && !search->found) {
        struct kj_log_read read = {0};
        KJ_TRY(kj_log_read(search->log, offset, search->limit_offset, READ_BYTES, true, &cursor, &read));
        if (read.view == NULL)
            return 0;
        int err = 0;
        for (size_t at = 0; at < read.len && err == 0 && !search->found;) {
            struct kj_batch batch;
            kj_batch_decode(read.bytes + at, &batch);
            if (batch.base_offset >= segment_end) {
                offset = segment_end;
                break;
            }
            err = search_batch(search, &batch, read.bytes + at);
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        if (err != 0)
            return err;
        if (offset < segment_end)
            offset = read.next_offset;
    }
    return 0;
}

/* Where to begin inside the segment: by its time index. */
static int64_t start_in(struct kj_segment *segment, int64_t timestamp)
{
    uint32_t count;
    struct kj_file *file;
    int64_t i;
    struct kj_time_entry entry = {.offset = segment->base_offset};
    if (kj_segment_index_count(segment, KJ_FILE_TIMEINDEX, &count) != 0 || count == 0)
        return segment->base_offset;
    if (kj_segment_pin(segment, KJ_FILE_TIMEINDEX, false, &file) != 0)
        return segment->base_offset;
    /* timestamp - 1: an entry equal to it names the batch that reached it first, which must be seen. */
    int os = kj_time_index_lookup(file, segment->base_offset, count, timestamp - 1, &i, &entry);
    kj_segment_unpin(segment);
    return os == 0 && i >= 0 && entry.offset >= segment->base_offset ? entry.offset : segment->base_offset;
}

static int lookup_at_least(struct search *search)
{
    struct kj_log *log = search->log;
    int64_t find = kj_log_start(log);
    for (;;) {
        int64_t next, max;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        int err = kj_segment_time(segment, &max);
        int64_t from = segment->base_offset;
        bool fits = err == 0 && max >= search->timestamp;
        if (fits)
            from = start_in(segment, search->timestamp);
        kj_segment_release(segment);
        if (err != 0)
            return err;
        if (fits) {
            if (from < search->least_offset)
                from = search->least_offset;
            KJ_TRY(search_segment(search, from, next));
            if (search->found) /* else what reached that time lies below the log start */
                return 0;
        }
        if (next == INT64_MAX)
            return 0;
        find = next;
    }
}

static int lookup_max(struct search *search)
{
    struct kj_log *log = search->log;
    int64_t find = kj_log_start(log);
    int64_t best = -1, best_offset = -1, best_next = INT64_MAX;
    for (;;) {
        int64_t next, max, at;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            break;
        int err = kj_segment_max_timestamp(segment, &max, &at);
        kj_segment_release(segment);
        if (err != 0)
            return err;
        if (max > best) {
            best = max;
            best_offset = at;
            best_next = next;
        }
        if (next == INT64_MAX)
            break;
        find = next;
    }
    if (best < 0)
        return 0;
    search->timestamp = best;
    search->exact = true;
    return search_segment(search, best_offset > search->least_offset ? best_offset : search->least_offset,
                          best_next);
}

static int lookup_once(struct kj_log *log, int64_t timestamp, int64_t limit_offset, int64_t *ret_offset,
                       int64_t *ret_timestamp)
{
    int64_t end = kj_log_end(log);
    struct search search = {
        .log = log,
        .timestamp = timestamp,
        .least_offset = kj_log_start(log),
        .limit_offset = end, /* segments are chosen by all that is there; the limit is checked at last */
    };
    KJ_TRY(kj_segments_refresh(log));
    KJ_TRY(timestamp == KAJA_OFFSET_MAX_TIMESTAMP ? lookup_max(&search) : lookup_at_least(&search));
    bool visible = search.found && search.offset < limit_offset;
    *ret_offset = visible ? search.offset : -1;
    *ret_timestamp = visible ? search.found_timestamp : -1;
    return 0;
}

int kj_log_offset_for_time(struct kj_log *log, int64_t timestamp, int64_t limit_offset, int64_t *ret_offset,
                           int64_t *ret_timestamp)
{
    for (int tries = 1;; tries++) {
        uint64_t before = kj_log_word(log, KJ_SLOT_INCARNATION);
        int err = lookup_once(log, timestamp, limit_offset, ret_offset, ret_timestamp);
        if (err == 0 || tries == KJ_MOVED_TRIES || !kj_log_moved(log, before))
            return err;
        kj_err_clear();
    }
}
