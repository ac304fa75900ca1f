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

enum {
    CHUNK_BYTES = 1 << 20,
    PLAIN_MAX = 1 << 28,
    GROUP_MAX = 256 /* segments, whose files go while the append lock is held */
};

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

/* --- what can be cleaned --- */

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
static int is_young(const struct kj_log_config *config, int64_t now_ms, struct kj_segment *segment,
                    bool *ret_young)
{
    int64_t timestamp, age;
    *ret_young = false;
    if (config->min_compaction_lag_ms <= 0)
        return 0;
    KJ_TRY(kj_segment_time(segment, &timestamp));
    *ret_young = !__builtin_sub_overflow(now_ms, timestamp, &age) &&
        age < config->min_compaction_lag_ms;
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
            err = is_young(&clean->config, clean->now_ms, segment, &young);
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

/* What lies below is in segments that are closed, on disk and readable. */
static int64_t closed_below(struct kj_log *log)
{
    int64_t bound = (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
    int64_t synced = (int64_t)kj_log_word(log, KJ_SLOT_SYNCED_BASE);
    int64_t high_watermark = kj_log_high_watermark(log);
    if (synced < bound)
        bound = synced;
    return high_watermark < bound ? high_watermark : bound;
}

static int64_t believed(struct kj_log *log, int64_t first_dirty)
{
    int64_t start = kj_log_start(log);
    return first_dirty < start || first_dirty > kj_log_end(log) ? start : first_dirty;
}

static int first_timestamp(struct kj_segment *segment, int64_t *ret_timestamp)
{
    struct kj_file *file;
    struct kj_batch batch;
    uint8_t head[KJ_BATCH_HEADER_BYTES];
    size_t len = 0;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_pread(file, head, sizeof head, 0, &len);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(segment->log, os, "reading", KJ_FILE_LOG, segment->base_offset, 0);
    bool is_one = len == sizeof head && kj_batch_look(head, SIZE_MAX, &batch) == KJ_BATCH_OK;
    *ret_timestamp = is_one ? batch.max_timestamp : -1;
    return 0;
}

static int add_dirt(struct kj_segment *segment, int64_t next, struct kj_log_dirt *dirt, bool ages)
{
    int64_t bytes, timestamp = -1;
    KJ_TRY(kj_segment_bytes(segment, &bytes));
    if (next <= dirt->first_dirty) {
        dirt->clean_bytes += bytes;
        return 0;
    }
    dirt->dirty_bytes += bytes;
    if (!ages)
        return 0;
    KJ_TRY(first_timestamp(segment, &timestamp));
    if (timestamp >= 0 && (dirt->oldest_ms < 0 || timestamp < dirt->oldest_ms))
        dirt->oldest_ms = timestamp;
    return 0;
}

int kj_log_dirt(struct kj_log *log, int64_t first_dirty, struct kj_log_dirt *ret_dirt)
{
    struct kj_log_dirt dirt = {.first_dirty = believed(log, first_dirty), .oldest_ms = -1};
    struct kj_log_config config;
    int64_t bound = closed_below(log), now_ms = kj_wall_ms(log->env->clock);
    kj_lock_acquire(&log->segments_lock);
    config = log->config;
    kj_lock_release(&log->segments_lock);
    KJ_TRY(kj_segments_refresh(log));
    for (int64_t find = INT64_MIN;;) {
        int64_t next;
        bool young = false;
        struct kj_segment *segment = kj_segment_find(log, find, &next);
        if (segment == NULL)
            break;
        int err = 0;
        if (next <= bound && next > dirt.first_dirty)
            err = is_young(&config, now_ms, segment, &young);
        bool stop = next > bound || young;
        if (err == 0 && !stop)
            err = add_dirt(segment, next, &dirt, config.max_compaction_lag_ms < INT64_MAX);
        kj_segment_release(segment);
        KJ_TRY(err);
        if (stop)
            break;
        find = next;
    }
    *ret_dirt = dirt;
    return 0;
}

/* Append lock held. */
static int look(struct kj_clean *clean, int64_t *ret_bound)
{
    struct kj_log *log = clean->log;
    KJ_TRY(kj_log_catch_up(log, kj_log_end(log)));
    int64_t bound = closed_below(log);
    int64_t unstable = kj_producers_first_unstable(log->producers, kj_log_high_watermark(log));
    if (unstable >= 0 && unstable < bound)
        bound = unstable;
    clean->first_dirty = believed(log, clean->first_dirty);
    *ret_bound = bound;
    return note_producers(clean);
}

int kj_clean_begin(struct kj_log *log, int64_t first_dirty, int64_t wait_ns,
                   struct kj_clean *ret_clean)
{
    int64_t bound = -1, stable;
    struct kj_clean clean = {
        .log = log, .now_ms = kj_wall_ms(log->env->clock), .first_dirty = first_dirty, .uncleanable = -1};
    /* The log is followed to its end before the lock between processes is taken, and read for
     * long. */
    KJ_TRY(kj_log_last_stable(log, &stable));
    KJ_TRY(kj_log_lock_within(log, false, wait_ns, kj_mono_ns(log->env->clock)));
    clean.config = log->config;
    int err = look(&clean, &bound);
    kj_log_unlock(log);
    /* Closed segments do not change but by retention, which the swap looks for. */
    if (err == 0)
        err = note_segments(&clean, bound);
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

/* One batch, or on to the next segment. */
static int next_keys(struct kj_clean *clean, struct kj_clean_keys *keys, int64_t *budget_bytes)
{
    struct kj_batch batch;
    const uint8_t *bytes;
    struct kj_txn_entry entry;
    bool skip = true, has_entry;
    if (!keys->walking) {
        while (keys->at < clean->segment_count &&
               clean->segments[keys->at].next_offset <= clean->first_dirty)
            keys->at++;
        keys->done = keys->at == clean->segment_count;
        if (keys->done) {
            clean->end = clean->uncleanable; /* gaps at the end are covered too */
            return 0;
        }
        const struct kj_clean_segment *segment = &clean->segments[keys->at];
        KJ_TRY(kj_clean_txns_add(&keys->txns, clean->log, segment->base_offset,
                                 segment->next_offset));
        KJ_TRY(kj_clean_walk_begin(clean, segment, &keys->walk));
        keys->walking = true;
    }
    KJ_TRY(kj_clean_walk_next(&keys->walk, &batch, &bytes));
    if (bytes == NULL) {
        kj_clean_walk_end(&keys->walk);
        keys->walking = false;
        keys->at++;
        return 0;
    }
    *budget_bytes -= (int64_t)kj_batch_bytes(&batch);
    if (kj_batch_has(&batch, KJ_ATTR_CONTROL)) {
        bool needless;
        KJ_TRY(kj_clean_txns_marker(&keys->txns, clean->log, &batch, bytes, &needless, &has_entry,
                                    &entry));
    } else {
        KJ_TRY(kj_clean_txns_batch(&keys->txns, &batch, &skip));
    }
    if (!skip)
        KJ_TRY(keys_of_batch(clean, &batch, bytes, &keys->done));
    if (!keys->done && kj_batch_next_offset(&batch) > clean->end)
        clean->end = kj_batch_next_offset(&batch);
    return 0;
}

int kj_clean_keys_step(struct kj_clean *clean, struct kj_clean_keys *keys, int64_t *budget_bytes)
{
    while (!keys->done && *budget_bytes > 0)
        KJ_TRY(next_keys(clean, keys, budget_bytes));
    return 0;
}

void kj_clean_keys_end(struct kj_clean_keys *keys)
{
    if (keys->walking)
        kj_clean_walk_end(&keys->walk);
    kj_clean_txns_free(&keys->txns);
    *keys = (struct kj_clean_keys){0};
}

int kj_clean_keys(struct kj_clean *clean, size_t map_bytes)
{
    struct kj_clean_keys keys = {0};
    int64_t budget_bytes = INT64_MAX;
    KJ_TRY(kj_clean_map_init(&clean->map, clean->log->env->clock, map_bytes));
    int err = kj_clean_keys_step(clean, &keys, &budget_bytes);
    kj_clean_keys_end(&keys);
    return err;
}

/* --- groups --- */

void kj_clean_next_group(const struct kj_clean *clean, size_t at, struct kj_clean_group *ret_group)
{
    const struct kj_clean_segment *first = &clean->segments[at];
    int64_t bytes = 0, index = 0, time = 0;
    size_t count = 0;
    for (; at + count < clean->segment_count && count < GROUP_MAX; count++) {
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
