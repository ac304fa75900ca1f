/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/indexer.c - which batch gets an index entry. One set of rules for appending and for rebuilding,
 * so that both give the same bytes as Kafka.
 *
 * For each batch, in order: it may raise the greatest timestamp (strictly greater replaces); if more than
 * interval bytes went by since the last entry, the batch's last offset and position become an offset
 * entry, the greatest timestamp a time entry if it rose, and the counter starts anew; then the batch
 * counts itself. So the first batch never gets an entry. A rebuild counts by position instead.
 */
#include "log/internal.h"

void kj_indexer_init(struct kj_indexer *indexer, int64_t base_offset, int64_t interval,
                     const struct kj_tail *tail, int64_t last_time)
{
    *indexer = (struct kj_indexer){
        .base_offset = base_offset, .interval = interval, .tail = *tail, .last_time = last_time};
}

void kj_indexer_free(struct kj_indexer *indexer)
{
    kj_buffer_free(&indexer->offsets);
    kj_buffer_free(&indexer->times);
}

static int add_time(struct kj_indexer *indexer)
{
    struct kj_tail *tail = &indexer->tail;
    if (tail->max_timestamp <= indexer->last_time)
        return 0;
    struct kj_buffer *times = &indexer->times;
    KJ_TRY(kj_buffer_reserve(times, times->len + KJ_TIME_ENTRY_BYTES));
    struct kj_time_entry entry = {.timestamp = tail->max_timestamp, .offset = tail->max_ts_offset};
    kj_time_entry_encode(&entry, indexer->base_offset, times->bytes + times->len);
    times->len += KJ_TIME_ENTRY_BYTES;
    indexer->last_time = tail->max_timestamp;
    tail->time_count++;
    return 0;
}

int kj_indexer_batch(struct kj_indexer *indexer, const struct kj_batch *batch)
{
    struct kj_tail *tail = &indexer->tail;
    int64_t bytes = (int64_t)kj_batch_bytes(batch);
    int64_t last_offset = kj_batch_last_offset(batch);
    if (batch->max_timestamp > tail->max_timestamp) {
        tail->max_timestamp = batch->max_timestamp;
        tail->max_ts_offset = last_offset;
    }
    int64_t gone = indexer->rebuild ? tail->pos - indexer->last_entry_pos : tail->since_index;
    if (gone > indexer->interval) {
        struct kj_buffer *offsets = &indexer->offsets;
        KJ_TRY(kj_buffer_reserve(offsets, offsets->len + KJ_OFFSET_ENTRY_BYTES));
        struct kj_offset_entry entry = {.offset = last_offset, .pos = tail->pos};
        kj_offset_entry_encode(&entry, indexer->base_offset, offsets->bytes + offsets->len);
        offsets->len += KJ_OFFSET_ENTRY_BYTES;
        tail->index_count++;
        KJ_TRY(add_time(indexer));
        tail->since_index = 0;
        indexer->last_entry_pos = tail->pos;
    }
    tail->since_index += bytes;
    tail->pos += bytes;
    tail->end = last_offset + 1;
    return 0;
}

int kj_indexer_close(struct kj_indexer *indexer)
{
    return indexer->tail.max_timestamp >= 0 ? add_time(indexer) : 0;
}

static int write_entries(struct kj_segment *segment, enum kj_file_kind kind, struct kj_buffer *entries,
                         int64_t count, size_t entry_bytes)
{
    if (entries->len == 0)
        return 0;
    int64_t pos = count * (int64_t)entry_bytes - (int64_t)entries->len;
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(segment, kind, true, &file));
    int os = kj_io_pwrite(file, entries->bytes, entries->len, pos);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(segment->log, os, "writing", kind, segment->base_offset, pos);
    entries->len = 0;
    return 0;
}

int kj_indexer_write_times(struct kj_indexer *indexer, struct kj_segment *segment)
{
    return write_entries(segment, KJ_FILE_TIMEINDEX, &indexer->times, indexer->tail.time_count,
                         KJ_TIME_ENTRY_BYTES);
}

int kj_indexer_write(struct kj_indexer *indexer, struct kj_segment *segment)
{
    KJ_TRY(write_entries(segment, KJ_FILE_INDEX, &indexer->offsets, indexer->tail.index_count,
                         KJ_OFFSET_ENTRY_BYTES));
    return kj_indexer_write_times(indexer, segment);
}
