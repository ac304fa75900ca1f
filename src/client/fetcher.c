/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/fetcher.h"

#include "base/alloc.h"
#include "base/err.h"
#include "client/aborted.h"

/* --- positions --- */

int kj_fetcher_limit(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                     int64_t *ret_limit)
{
    int64_t limit;
    if (fetcher->options->read_committed)
        KJ_TRY(kj_log_last_stable(assigned->log, &limit));
    else
        limit = kj_log_high_watermark(assigned->log);
    if (fetcher->options->read_durable) {
        int64_t durable = kj_log_durable(assigned->log);
        if (durable < limit)
            limit = durable;
    }
    *ret_limit = limit;
    return 0;
}

static int time_to_offset(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                          int64_t time_ms, int64_t *ret_offset)
{
    int64_t limit, offset, timestamp;
    KJ_TRY(kj_fetcher_limit(fetcher, assigned, &limit));
    KJ_TRY(kj_log_offset_for_time(assigned->log, time_ms, limit, &offset, &timestamp));
    *ret_offset = offset >= 0 ? offset : limit;
    return 0;
}

static int reset_offset(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                        int64_t *ret_offset)
{
    switch (fetcher->options->reset) {
    case KJ_RESET_EARLIEST:
        *ret_offset = kj_log_start(assigned->log);
        return 0;
    case KJ_RESET_LATEST:
        return kj_fetcher_limit(fetcher, assigned, ret_offset);
    case KJ_RESET_BY_DURATION: {
        int64_t time = kj_wall_ms(fetcher->clock) - fetcher->options->reset_duration_ms;
        return time_to_offset(fetcher, assigned, time > 0 ? time : 0, ret_offset);
    }
    case KJ_RESET_NONE:
    default:
        return kj_err_at(kj_err(KAJA_ERR_NO_OFFSET,
                                "%s-%d has no position and auto.offset.reset is none",
                                assigned->name, assigned->number),
                         assigned->name, assigned->number, -1, -1);
    }
}

static int first_offset(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                        int64_t *ret_offset, int32_t *ret_leader_epoch)
{
    bool found = false;
    if (fetcher->first_offset != NULL)
        KJ_TRY(fetcher->first_offset(fetcher->first_arg, assigned->name, assigned->number, &found,
                                     ret_offset, ret_leader_epoch));
    return found ? 0 : reset_offset(fetcher, assigned, ret_offset);
}

int kj_fetcher_resolve(const struct kj_fetcher *fetcher, struct kj_assigned *assigned)
{
    int64_t offset;
    int32_t leader_epoch = -1;
    switch (assigned->kind) {
    case KJ_POSITION_AT:
        return 0;
    case KJ_POSITION_BEGINNING:
        offset = kj_log_start(assigned->log);
        break;
    case KJ_POSITION_END:
        KJ_TRY(kj_fetcher_limit(fetcher, assigned, &offset));
        break;
    case KJ_POSITION_TIME:
        KJ_TRY(time_to_offset(fetcher, assigned, assigned->offset, &offset));
        break;
    case KJ_POSITION_NEW:
        KJ_TRY(first_offset(fetcher, assigned, &offset, &leader_epoch));
        break;
    case KJ_POSITION_RESET:
    default:
        KJ_TRY(reset_offset(fetcher, assigned, &offset));
        break;
    }
    kj_assigned_move(assigned, KJ_POSITION_AT, offset);
    assigned->leader_epoch = leader_epoch;
    return 0;
}

/* --- a piece of the log --- */

/* How much of the log the next read may bring. */
static size_t piece_bytes(const struct kj_fetcher *fetcher, const struct kaja_batch *batch)
{
    size_t left = fetcher->options->fetch_bytes_max > batch->bytes
                      ? fetcher->options->fetch_bytes_max - batch->bytes
                      : 0;
    size_t piece = fetcher->options->partition_fetch_bytes_max;
    return piece < left ? piece : left;
}

/* Reads the piece at the position. None there is no error: source stays NULL. */
static int read_piece(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                      const struct kaja_batch *batch)
{
    int64_t limit;
    /* Before the limit: what becomes readable after the look raises it above this. */
    int64_t seen = kj_fetcher_watched(fetcher, assigned);
    KJ_TRY(kj_fetcher_limit(fetcher, assigned, &limit));
    if (assigned->offset >= limit && assigned->offset <= kj_log_end(assigned->log) &&
        assigned->offset >= kj_log_start(assigned->log)) {
        assigned->seen = seen;
        return 0;
    }
    struct kj_log_read read;
    int err = kj_log_read(assigned->log, assigned->offset, limit, piece_bytes(fetcher, batch),
                          batch->count == 0, &assigned->cursor, &read);
    if (err == KAJA_ERR_OFFSET_OUT_OF_RANGE && fetcher->options->reset != KJ_RESET_NONE) {
        kj_assigned_move(assigned, KJ_POSITION_RESET, 0);
        KJ_TRY(kj_fetcher_resolve(fetcher, assigned));
        KJ_TRY(kj_fetcher_limit(fetcher, assigned, &limit));
        if (assigned->offset >= limit) {
            assigned->seen = seen;
            return 0;
        }
        err = kj_log_read(assigned->log, assigned->offset, limit, piece_bytes(fetcher, batch),
                          batch->count == 0, &assigned->cursor, &read);
    }
    KJ_TRY(err);
    if (read.view == NULL) {
        assigned->seen = seen;
        return 0;
    }
    assigned->source = kj_source_new(fetcher->pool, read.view, assigned->topic);
    if (assigned->source == NULL) {
        kj_view_release(read.view);
        return kj_err_oom("a piece of the log");
    }
    assigned->at = read.bytes;
    assigned->left = read.len;
    assigned->piece_begin = assigned->offset;
    assigned->piece_end = read.next_offset;
    assigned->aborted.loaded = false;
    return 0;
}

/* --- a batch of it --- */

static int bad_batch(struct kj_assigned *assigned, int error, const char *what)
{
    kj_err(error, "%s-%d: the batch at offset %lld %s", assigned->name, assigned->number,
           (long long)assigned->offset, what);
    return kj_err_at(error, assigned->name, assigned->number, assigned->offset, -1);
}

static int check_batch(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                       struct kj_batch *ret_header)
{
    switch (kj_batch_look(assigned->at, assigned->left, ret_header)) {
    case KJ_BATCH_OK:
        break;
    case KJ_BATCH_OLD_MAGIC:
        return bad_batch(assigned, KAJA_ERR_UNSUPPORTED_MAGIC, "has the format before 0.11");
    case KJ_BATCH_PARTIAL:
    case KJ_BATCH_ZEROS:
    case KJ_BATCH_BAD:
    default:
        return bad_batch(assigned, KAJA_ERR_CORRUPT_MESSAGE, "is no batch");
    }
    if (fetcher->options->check_crcs && !kj_batch_crc_ok(assigned->at, kj_batch_bytes(ret_header)))
        return bad_batch(assigned, KAJA_ERR_CORRUPT_MESSAGE, "fails its checksum");
    return 0;
}

/* Nothing more of the batch at `at` is wanted. */
static void step_over(struct kj_assigned *assigned, const struct kj_batch *header)
{
    size_t bytes = kj_batch_bytes(header);
    assigned->at += bytes;
    assigned->left -= bytes;
    if (assigned->offset >= kj_batch_next_offset(header))
        return;
    assigned->offset = kj_batch_next_offset(header);
    assigned->leader_epoch = header->epoch;
}

static int malformed(struct kj_assigned *assigned)
{
    kj_err(KAJA_ERR_INVALID_RECORD, "%s-%d: the record at or behind offset %lld is malformed",
           assigned->name, assigned->number, (long long)assigned->offset);
    return kj_err_at(KAJA_ERR_INVALID_RECORD, assigned->name, assigned->number, assigned->offset,
                     -1);
}

/* Offsets must rise and stay within the batch, and the last record must end with it: else the
 * position would pass over what is wrong, and it would be told once at most. */
static inline bool out_of_order(const struct kj_batch_reader *reader,
                                const struct kj_record_view *view, int32_t last_delta)
{
    return view->offset_delta <= last_delta ||
           view->offset_delta > reader->batch.last_offset_delta ||
           (reader->left == 0 && reader->at != reader->end);
}

/* Moves the reader to the first record at or behind the position. */
static int skip_records(struct kj_assigned *assigned)
{
    int64_t base = assigned->reader.batch.base_offset;
    while (base + assigned->last_delta + 1 < assigned->offset) {
        struct kj_batch_reader before = assigned->reader;
        struct kj_record_view view;
        int got = kj_batch_reader_next(&assigned->reader, &view);
        if (got == 0)
            return 0;
        if (got < 0 || out_of_order(&assigned->reader, &view, assigned->last_delta))
            return malformed(assigned);
        if (base + view.offset_delta >= assigned->offset) {
            assigned->reader = before;
            return 0;
        }
        assigned->last_delta = view.offset_delta;
    }
    return 0;
}

/* Starts on the records of a batch that was checked. */
static int open_batch(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                      const struct kj_batch *header)
{
    if (header->count < 0 || header->count - 1 > header->last_offset_delta)
        return bad_batch(assigned, KAJA_ERR_INVALID_RECORD, "has more records than offsets");
    struct kj_source *records = assigned->source;
    if (kj_batch_codec(header) != KJ_CODEC_NONE && header->count > 0) {
        records = kj_source_new(fetcher->pool, NULL, assigned->topic);
        if (records == NULL)
            return kj_err_oom("a decompressed batch");
    } else {
        kj_source_hold(records);
    }
    int err = kj_batch_reader_init(&assigned->reader, assigned->at, kj_batch_bytes(header),
                                   &records->plain, fetcher->options->decompressed_bytes_max);
    if (err == 0) {
        assigned->last_delta = -1;
        err = skip_records(assigned);
    } else {
        kj_err(err, "%s-%d: the batch at offset %lld: %s", assigned->name, assigned->number,
               (long long)assigned->offset, kaja_error_detail());
        kj_err_at(err, assigned->name, assigned->number, assigned->offset, -1);
    }
    if (err != 0) {
        kj_source_release(records);
        return err;
    }
    assigned->records = records;
    assigned->in_batch = true;
    assigned->batch_bytes = kj_batch_bytes(header);
    assigned->batch_pinned =
        records != assigned->source ? records->plain.len : assigned->batch_bytes;
    return 0;
}

/* Looks at the next batch of the piece: opens it, or steps over it. */
static int next_batch(const struct kj_fetcher *fetcher, struct kj_assigned *assigned)
{
    struct kj_batch header;
    KJ_TRY(check_batch(fetcher, assigned, &header));
    bool skip =
        kj_batch_next_offset(&header) <= assigned->offset || kj_batch_has(&header, KJ_ATTR_CONTROL);
    if (fetcher->options->read_committed) {
        bool aborted;
        KJ_TRY(kj_aborted_skip(assigned, &header, assigned->at, &aborted));
        skip = skip || aborted;
    }
    if (skip) {
        step_over(assigned, &header);
        return 0;
    }
    return open_batch(fetcher, assigned, &header);
}

/* --- its records --- */

/* Decodes records into entries [count, max). Returns what the reader said last. */
static int decode(struct kj_assigned *assigned, struct kaja_batch *batch, size_t max)
{
    struct kj_record_view *entry = batch->entries + batch->count;
    const struct kj_record_view *end = batch->entries + max;
    int32_t last = assigned->last_delta;
    int got = 1;
    for (; entry < end; entry++) {
        got = kj_batch_reader_next(&assigned->reader, entry);
        if (got <= 0)
            break;
        if (__builtin_expect(out_of_order(&assigned->reader, entry, last), 0)) {
            got = -1;
            break;
        }
        last = entry->offset_delta;
    }
    batch->count = (size_t)(entry - batch->entries);
    if (last != assigned->last_delta) {
        assigned->offset = assigned->reader.batch.base_offset + last + 1;
        assigned->leader_epoch = assigned->reader.batch.epoch;
    }
    assigned->last_delta = last;
    return got;
}

/* Takes records out of the open batch until it ends or batch is full. */
static int take_records(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                        struct kaja_batch *batch)
{
    size_t max = (size_t)fetcher->options->max_poll_records;
    size_t before = batch->count;
    int got = 1;
    while (got > 0 && batch->count < max) {
        KJ_TRY(kj_fetched_reserve(batch, max));
        if (batch->count == before) {
            KJ_TRY(kj_fetched_run(batch, &assigned->reader.batch, assigned->name, assigned->number,
                                  assigned->records));
            batch->bytes += assigned->batch_bytes;
            batch->pinned += assigned->batch_pinned;
        }
        got = decode(assigned, batch, max < batch->capacity ? max : batch->capacity);
    }
    if (got < 0)
        return malformed(assigned);
    /* Full, and perhaps at the end of the batch at the same time. */
    if (got == 0 || (assigned->reader.left == 0 && assigned->reader.at == assigned->reader.end)) {
        step_over(assigned, &assigned->reader.batch);
        kj_source_release(assigned->records);
        assigned->records = NULL;
        assigned->in_batch = false;
    }
    return 0;
}

bool kj_fetcher_full(const struct kj_fetcher *fetcher, const struct kaja_batch *batch)
{
    const struct kj_consumer_options *options = fetcher->options;
    if (batch->count >= (size_t)options->max_poll_records)
        return true;
    if (batch->count == 0)
        return false;
    return batch->bytes >= options->fetch_bytes_max ||
           (options->memory_bytes_max != 0 &&
            batch->pinned + kj_load_relaxed(&fetcher->pool->pinned) >= options->memory_bytes_max);
}

int kj_fetcher_take(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                    struct kaja_batch *batch)
{
    kj_assigned_follow(assigned);
    if (assigned->gone || kj_log_stale(assigned->log))
        return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID,
                                "%s was deleted, or deleted and made anew", assigned->name),
                         assigned->name, assigned->number, -1, -1);
    KJ_TRY(kj_fetcher_resolve(fetcher, assigned));
    if (!kj_assigned_has_piece(assigned)) {
        kj_assigned_drop_piece(assigned);
        KJ_TRY(read_piece(fetcher, assigned, batch));
    }
    while (kj_assigned_has_piece(assigned) && !kj_fetcher_full(fetcher, batch)) {
        int err = assigned->in_batch ? take_records(fetcher, assigned, batch)
                                     : next_batch(fetcher, assigned);
        if (err != 0) {
            /* Told again by each poll, from the bytes as they are then. */
            kj_assigned_drop_piece(assigned);
            return err;
        }
    }
    return 0;
}
