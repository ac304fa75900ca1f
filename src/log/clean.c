/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean.c - a round of compaction: what can be cleaned, the keys of it, the groups of segments.
 *
 * Never cleaned: the active segment, what is not wholly on disk, what an open transaction or the high
 * watermark holds back, what is younger than min.compaction.lag.ms. Offsets outside the CRC are checked
 * against their neighbours; anything that is not as it should be ends the round with nothing changed.
 */
#include "log/clean.h"

#include "record/batch_reader.h"

#include <errno.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, PLAIN_MAX = 1 << 28 };

void kj_clean_free(struct kj_clean *clean)
{
    kj_clean_map_free(&clean->map);
    kj_free(clean->segments);
    kj_map_free(&clean->producers);
    kj_free(clean->producer_items);
    kj_buffer_free(&clean->plain);
    kj_buffer_free(&clean->chunk);
    *clean = (struct kj_clean){0};
}

/* --- what can be cleaned; append lock held --- */

static int64_t index_bytes(struct kj_segment *segment, enum kj_file_kind kind, size_t entry_bytes, int *ret_err)
{
    uint32_t count = 0;
    if (*ret_err == 0)
        *ret_err = kj_segment_index_count(segment, kind, &count);
    return (int64_t)count * (int64_t)entry_bytes;
}

static int note_segment(struct kj_clean *clean, struct kj_segment *segment, int64_t next)
{
    KJ_TRY(kj_grow((void **)&clean->segments, &clean->segment_capacity, clean->segment_count + 1,
                   sizeof *clean->segments));
    int err = 0;
    struct kj_clean_segment noted = {.base_offset = segment->base_offset, .next_offset = next};
    noted.index_bytes = index_bytes(segment, KJ_FILE_INDEX, KJ_OFFSET_ENTRY_BYTES, &err);
    noted.time_bytes = index_bytes(segment, KJ_FILE_TIMEINDEX, KJ_TIME_ENTRY_BYTES, &err);
    if (err == 0)
        err = kj_segment_bytes(segment, &noted.bytes);
    if (err == 0)
        clean->segments[clean->segment_count++] = noted;
    return err;
}

/* Younger than min.compaction.lag.ms, by its newest record. */
static int is_young(struct kj_clean *clean, struct kj_segment *segment, bool *ret_young)
{
    int64_t timestamp, age;
    *ret_young = false;
    if (clean->config.min_compaction_lag_ms <= 0)
        return 0;
    KJ_TRY(kj_segment_time(segment, &timestamp));
    *ret_young = !__builtin_sub_overflow(clean->now_ms, timestamp, &age) &&
                 age < clean->config.min_compaction_lag_ms;
    return 0;
}

/* The closed segments that lie wholly below bound, from the first on. */
static int note_segments(struct kj_clean *clean, int64_t bound)
{
    struct kj_log *log = clean->log;
    for (int64_t find = INT64_MIN;;) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            return 0;
        bool stop = next > bound, young = false;
        int err = 0;
        if (!stop && next > clean->first_dirty)
            err = is_young(clean, segment, &young);
        if (err == 0 && !stop && !young)
            err = note_segment(clean, segment, next);
        kj_segment_release(segment);
        if (err != 0 || stop || young)
            return err;
        clean->uncleanable = next;
        find = next;
    }
}

static int note_producers(struct kj_clean *clean)
{
    struct kj_producers *producers = clean->log->producers;
    const struct kj_producer *producer;
    kj_producers_expire(producers, clean->now_ms, clean->config.producer_expiration_ms);
    size_t count = kj_producers_count(producers), n = 0;
    clean->producer_items = kj_alloc_zero(count + 1, sizeof *clean->producer_items);
    if (clean->producer_items == NULL)
        return kj_err_oom("the producers of a partition");
    for (size_t at = 0; n < count && (producer = kj_producers_next(producers, &at)) != NULL; n++) {
        struct kj_clean_producer *item = &clean->producer_items[n];
        item->epoch = producer->epoch;
        item->last_data_offset =
            producer->batch_count > 0 ? producer->batches[producer->batch_count - 1].last_offset : -1;
        KJ_TRY(kj_map_put_u64(&clean->producers, (uint64_t)producer->producer_id, item));
    }
    return 0;
}

static int look(struct kj_clean *clean)
{
    struct kj_log *log = clean->log;
    KJ_TRY(kj_log_catch_up(log, kj_log_end(log)));
    int64_t bound = (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
    int64_t synced = (int64_t)kj_log_word(log, KJ_SLOT_SYNCED_BASE);
    int64_t high_watermark = kj_log_high_watermark(log);
    int64_t unstable = kj_producers_first_unstable(log->producers, high_watermark);
    if (synced < bound)
        bound = synced;
    if (high_watermark < bound)
        bound = high_watermark;
    if (unstable >= 0 && unstable < bound)
        bound = unstable;
    if (clean->first_dirty < kj_log_start(log) || clean->first_dirty > kj_log_end(log))
        clean->first_dirty = kj_log_start(log);
    KJ_TRY(note_producers(clean));
    return note_segments(clean, bound);
}

int kj_clean_begin(struct kj_log *log, int64_t first_dirty, struct kj_clean *ret_clean)
{
    struct kj_clean clean = {
        .log = log, .now_ms = kj_wall_ms(log->env->clock), .first_dirty = first_dirty, .uncleanable = -1};
    KJ_TRY(kj_log_lock(log, false));
    clean.config = log->config;
    int err = look(&clean);
    kj_log_unlock(log);
    if (err != 0) {
        kj_clean_free(&clean);
        return err;
    }
    if (clean.uncleanable < clean.first_dirty)
        clean.uncleanable = clean.first_dirty;
    clean.end = clean.first_dirty;
    *ret_clean = clean;
    return 0;
}

/* --- walking --- */

int kj_clean_damaged(const struct kj_clean_walk *walk, const char *why)
{
    struct kj_log *log = walk->clean->log;
    return kj_err_at(kj_err(KAJA_ERR_DAMAGED, "%s-%d: segment %lld at %lld: %s", log->topic, log->partition,
                            (long long)walk->segment->base_offset, (long long)walk->pos, why),
                     log->topic, log->partition, walk->expected, walk->pos);
}

int kj_clean_walk_begin(struct kj_clean *clean, const struct kj_clean_segment *segment,
                        struct kj_clean_walk *ret_walk)
{
    struct kj_log *log = clean->log;
    struct kj_clean_walk walk = {.clean = clean, .segment = segment, .expected = segment->base_offset};
    struct kj_io_stat stat;
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, KJ_FILE_LOG, segment->base_offset);
    int os = kj_io_open(log->env->io, path, KJ_IO_READ, &walk.file);
    if (os != 0)
        return kj_log_io_error(log, os, "opening", KJ_FILE_LOG, segment->base_offset, -1);
    if ((os = kj_io_stat_file(walk.file, &stat)) != 0) {
        kj_io_close(walk.file);
        return kj_log_io_error(log, os, "looking at", KJ_FILE_LOG, segment->base_offset, -1);
    }
    walk.size = stat.size;
    clean->chunk.len = 0;
    *ret_walk = walk;
    return 0;
}

void kj_clean_walk_end(struct kj_clean_walk *walk)
{
    kj_io_close(walk->file);
}

/* Makes len bytes at walk->pos available; short only at the end of the file. */
static int fill(struct kj_clean_walk *walk, size_t len, size_t *ret_left)
{
    struct kj_buffer *chunk = &walk->clean->chunk;
    if (walk->pos < walk->chunk_pos || walk->pos + (int64_t)len > walk->chunk_pos + (int64_t)chunk->len) {
        size_t want = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        KJ_TRY(kj_buffer_reserve(chunk, want));
        int os = kj_io_pread(walk->file, chunk->bytes, want, walk->pos, &chunk->len);
        if (os != 0) {
            chunk->len = 0;
            return kj_log_io_error(walk->clean->log, os, "reading", KJ_FILE_LOG, walk->segment->base_offset,
                                   walk->pos);
        }
        walk->chunk_pos = walk->pos;
    }
    *ret_left = (size_t)(walk->chunk_pos + (int64_t)chunk->len - walk->pos);
    return 0;
}

int kj_clean_walk_next(struct kj_clean_walk *walk, struct kj_batch *ret_batch, const uint8_t **ret_bytes)
{
    struct kj_batch batch;
    size_t left;
    *ret_bytes = NULL;
    if (walk->pos >= walk->size)
        return 0;
    KJ_TRY(fill(walk, KJ_BATCH_HEADER_BYTES, &left));
    const uint8_t *p = walk->clean->chunk.bytes + (walk->pos - walk->chunk_pos);
    if (left < KJ_BATCH_HEADER_BYTES)
        return kj_clean_damaged(walk, "the end of a batch is missing");
    enum kj_batch_look look = kj_batch_look(p, (size_t)(walk->size - walk->pos), &batch);
    if (look == KJ_BATCH_OLD_MAGIC)
        return kj_err_at(kj_err(KAJA_ERR_UNSUPPORTED_MAGIC, "%s-%d: segment %lld holds batches of magic 0 or 1",
                                walk->clean->log->topic, walk->clean->log->partition,
                                (long long)walk->segment->base_offset),
                         walk->clean->log->topic, walk->clean->log->partition, walk->expected, walk->pos);
    if (look != KJ_BATCH_OK)
        return kj_clean_damaged(walk, "no batch where one should be");
    if (batch.base_offset < walk->expected || kj_batch_last_offset(&batch) >= walk->segment->next_offset)
        return kj_clean_damaged(walk, "a batch with an offset that is not its segment's");
    size_t bytes = kj_batch_bytes(&batch);
    KJ_TRY(fill(walk, bytes, &left));
    p = walk->clean->chunk.bytes + (walk->pos - walk->chunk_pos);
    if (left < bytes)
        return kj_clean_damaged(walk, "the end of a batch is missing");
    if (!kj_batch_crc_ok(p, bytes))
        return kj_clean_damaged(walk, "a batch whose checksum is wrong");
    walk->expected = kj_batch_next_offset(&batch);
    walk->pos += (int64_t)bytes;
    *ret_batch = batch;
    *ret_bytes = p;
    return 0;
}

/* --- the keys --- */

/* *ret_full: the map took no more, *clean->end stands behind the last record it has. */
static int keys_of_batch(struct kj_clean *clean, const struct kj_batch *batch, const uint8_t *bytes, bool *ret_full)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int got;
    KJ_TRY(kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &clean->plain, PLAIN_MAX));
    while ((got = kj_batch_reader_next(&reader, &view)) == 1) {
        int64_t offset = batch->base_offset + view.offset_delta;
        if (view.key == NULL || offset < clean->first_dirty)
            continue;
        if (!kj_clean_map_put(&clean->map, view.key, view.key_bytes, offset)) {
            *ret_full = true;
            return 0;
        }
        clean->end = offset + 1;
    }
    return got < 0 ? kj_batch_reader_fault(&reader) : 0;
}

static int keys_of_segment(struct kj_clean *clean, struct kj_clean_txns *txns,
                           const struct kj_clean_segment *segment, bool *ret_full)
{
    struct kj_clean_walk walk;
    KJ_TRY(kj_clean_txns_add(txns, clean->log, segment->base_offset, segment->next_offset));
    KJ_TRY(kj_clean_walk_begin(clean, segment, &walk));
    int err = 0;
    for (;;) {
        struct kj_batch batch;
        const uint8_t *bytes;
        struct kj_txn_entry entry;
        bool skip = true, has_entry;
        err = kj_clean_walk_next(&walk, &batch, &bytes);
        if (err != 0 || bytes == NULL)
            break;
        if (kj_batch_has(&batch, KJ_ATTR_CONTROL)) {
            bool needless;
            err = kj_clean_txns_marker(txns, clean->log, &batch, bytes, &needless, &has_entry, &entry);
        } else {
            err = kj_clean_txns_batch(txns, &batch, &skip);
        }
        if (err == 0 && !skip)
            err = keys_of_batch(clean, &batch, bytes, ret_full);
        if (err != 0 || *ret_full)
            break;
        if (kj_batch_next_offset(&batch) > clean->end)
            clean->end = kj_batch_next_offset(&batch);
    }
    kj_clean_walk_end(&walk);
    return err;
}

int kj_clean_keys(struct kj_clean *clean, size_t map_bytes)
{
    struct kj_clean_txns txns = {0};
    bool full = false;
    KJ_TRY(kj_clean_map_init(&clean->map, clean->log->env->clock, map_bytes));
    int err = 0;
    for (size_t i = 0; i < clean->segment_count && err == 0 && !full; i++)
        if (clean->segments[i].next_offset > clean->first_dirty)
            err = keys_of_segment(clean, &txns, &clean->segments[i], &full);
    if (err == 0 && !full)
        clean->end = clean->uncleanable; /* gaps at the end are covered too */
    kj_clean_txns_free(&txns);
    return err;
}

/* --- groups --- */

void kj_clean_next_group(const struct kj_clean *clean, size_t at, struct kj_clean_group *ret_group)
{
    const struct kj_clean_segment *first = &clean->segments[at];
    int64_t bytes = 0, index = 0, time = 0;
    size_t count = 0;
    for (; at + count < clean->segment_count; count++) {
        const struct kj_clean_segment *segment = &first[count];
        bytes += segment->bytes;
        index += segment->index_bytes;
        time += segment->time_bytes;
        if (count > 0 &&
            (segment->base_offset >= clean->end || bytes > clean->config.segment_bytes ||
             index > clean->config.segment_index_bytes || time > clean->config.segment_index_bytes ||
             segment->next_offset - 1 - first->base_offset > INT32_MAX))
            break;
    }
    *ret_group = (struct kj_clean_group){.segments = first, .count = count};
}
