/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean_write.c - a group of segments written anew without what compaction takes away.
 *
 * A record stays if it lies behind what the map covers, or is the newest of its key and no tombstone whose time is
 * over. A batch keeps its offsets, sequence and last offset whatever it loses; without records it goes, unless it
 * carries the last sequence of a producer or ends where the round ends: then its header stays. A batch
 * that loses nothing is copied as it is, and so is one whose only change would be another compression.
 *
 * Tombstones and markers of transactions that have no batch left get a time (delete horizon, in the place of the
 * base timestamp) when they are met first, and go in the first round behind it.
 */
#include "log/clean.h"

#include "base/varint.h"
#include "record/batch_reader.h"
#include "record/compress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    OUT_BYTES = 1 << 20,
    SYNC_BYTES = 8 << 20, /* so that the last flush is not a long one */
    PLAIN_MAX = 1 << 28
};

/* The .cleaned files of one group. */
struct kj_clean_output {
    struct kj_clean *clean;
    struct kj_clean_txns *txns;
    struct kj_clean_group *group;
    size_t at; /* segment of the group */
    struct kj_clean_walk walk;
    bool walking;
    int64_t base_offset;
    struct kj_file *file;
    struct kj_indexer indexer;
    struct kj_buffer out; /* not written yet */
    int64_t written, synced;
    struct kj_buffer entries; /* of the txn index */
    struct kj_buffer records; /* of one batch */
    bool changed;
};

void kj_clean_path(char path[static KJ_PATH_MAX], struct kj_log *log, enum kj_file_kind kind, int64_t base_offset,
                   const char *suffix)
{
    kj_file_path(path, log->dir, kind, base_offset);
    size_t len = strlen(path);
    KJ_ASSERT(len + strlen(suffix) < KJ_PATH_MAX);
    memcpy(path + len, suffix, strlen(suffix) + 1);
}

static int file_error(struct kj_log *log, int os, const char *what, const char *path)
{
    return kj_err_at(kj_err_os(os, "%s %s", what, path), log->topic, log->partition, -1, -1);
}

int kj_clean_discard(struct kj_log *log, int64_t base_offset)
{
    for (int kind = KJ_FILE_LOG; kind <= KJ_FILE_TXNINDEX; kind++) {
        char path[KJ_PATH_MAX];
        kj_clean_path(path, log, (enum kj_file_kind)kind, base_offset, ".cleaned");
        int os = kj_io_unlink(log->env->io, path);
        if (os != 0 && os != ENOENT)
            return file_error(log, os, "removing", path);
    }
    return 0;
}

/* --- output --- */

static int write_out(struct kj_clean_output *output)
{
    struct kj_log *log = output->clean->log;
    if (output->out.len == 0)
        return 0;
    int os = kj_io_pwrite(output->file, output->out.bytes, output->out.len, output->written);
    if (os != 0)
        return kj_log_io_error(log, os, "cleaning", KJ_FILE_LOG, output->base_offset, output->written);
    output->written += (int64_t)output->out.len;
    output->out.len = 0;
    if (output->written - output->synced >= SYNC_BYTES) {
        if ((os = kj_io_sync(output->file)) != 0)
            return kj_log_io_error(log, os, "flushing", KJ_FILE_LOG, output->base_offset, -1);
        output->synced = output->written;
    }
    return 0;
}

static int put_batch(struct kj_clean_output *output, const struct kj_batch *batch,
                     const uint8_t *bytes)
{
    size_t len = kj_batch_bytes(batch);
    /* A delete horizon or another compression may make a batch longer. */
    if (output->indexer.tail.pos + (int64_t)len > INT32_MAX)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "segment %lld would be longer than %d bytes",
                      (long long)output->base_offset, INT32_MAX);
    KJ_TRY(kj_buffer_reserve(&output->out, output->out.len + len));
    memcpy(output->out.bytes + output->out.len, bytes, len);
    output->out.len += len;
    KJ_TRY(kj_indexer_batch(&output->indexer, batch));
    return output->out.len >= OUT_BYTES ? write_out(output) : 0;
}

static int put_entry(struct kj_clean_output *output, const struct kj_txn_entry *entry)
{
    struct kj_buffer *entries = &output->entries;
    KJ_TRY(kj_buffer_reserve(entries, entries->len + KJ_TXN_ENTRY_BYTES));
    kj_txn_entry_encode(entry, entries->bytes + entries->len);
    entries->len += KJ_TXN_ENTRY_BYTES;
    return 0;
}

/* --- one batch --- */

struct verdict {
    bool aborted;  /* all records go */
    bool needless; /* a marker whose transaction has no batch left */
    bool keep_empty;
};

static int judge(struct kj_clean_output *output, const struct kj_batch *batch, const uint8_t *bytes,
                 struct verdict *ret_verdict)
{
    struct kj_clean *clean = output->clean;
    struct verdict verdict = {0};
    struct kj_txn_entry entry;
    bool has_entry;
    if (kj_batch_has(batch, KJ_ATTR_CONTROL)) {
        KJ_TRY(kj_clean_txns_marker(output->txns, clean->log, batch, bytes, &verdict.needless, &has_entry, &entry));
        if (has_entry)
            KJ_TRY(put_entry(output, &entry));
        verdict.aborted = verdict.needless && kj_batch_has(batch, KJ_ATTR_DELETE_HORIZON) &&
                          batch->base_timestamp <= clean->now_ms;
    } else {
        KJ_TRY(kj_clean_txns_batch(output->txns, batch, &verdict.aborted));
    }
    const struct kj_clean_producer *producer =
        batch->producer_id >= 0 ? kj_map_get_u64(&clean->producers, (uint64_t)batch->producer_id) : NULL;
    if (producer != NULL)
        verdict.keep_empty = producer->last_data_offset >= 0
                                 ? producer->last_data_offset == kj_batch_last_offset(batch)
                                 : kj_batch_has(batch, KJ_ATTR_CONTROL) && producer->epoch == batch->producer_epoch;
    if (kj_batch_next_offset(batch) == clean->uncleanable)
        verdict.keep_empty = true;
    *ret_verdict = verdict;
    return 0;
}

static bool keeps(struct kj_clean_output *output, const struct kj_batch *batch,
                  const struct kj_record_view *view)
{
    const struct kj_clean *clean = output->clean;
    int64_t offset = batch->base_offset + view->offset_delta;
    if (kj_batch_has(batch, KJ_ATTR_CONTROL) || offset >= clean->end)
        return true;
    if (view->key == NULL || offset < kj_clean_map_get(&clean->map, view->key, view->key_bytes))
        return false;
    return view->value != NULL || !kj_batch_has(batch, KJ_ATTR_DELETE_HORIZON) ||
           clean->now_ms < batch->base_timestamp;
}

/* The part of a record behind its deltas, which stays as it is. */
static const uint8_t *record_rest(const uint8_t *p, const uint8_t *end)
{
    int32_t number;
    int64_t delta;
    p = kj_varint_get(p, end, &number);
    if (p != NULL && p < end)
        p = kj_varlong_get(p + 1, end, &delta); /* behind the attributes */
    if (p != NULL)
        p = kj_varint_get(p, end, &number);
    return p;
}

static int put_record(struct kj_buffer *records, const uint8_t *p, const struct kj_record_view *view,
                      int64_t timestamp_delta)
{
    const uint8_t *rest = record_rest(p, p + view->bytes);
    if (rest == NULL)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a record that was whole is not");
    size_t rest_bytes = (size_t)(p + view->bytes - rest);
    size_t body = 1 + kj_varlong_bytes(timestamp_delta) + kj_varint_bytes(view->offset_delta) + rest_bytes;
    if (body > INT32_MAX)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a record of %zu bytes", body);
    KJ_TRY(kj_buffer_reserve(records, records->len + KJ_VARINT_BYTES_MAX + body));
    uint8_t *to = records->bytes + records->len;
    to = kj_varint_put(to, (int32_t)body);
    *to++ = 0; /* attributes */
    to = kj_varlong_put(to, timestamp_delta);
    to = kj_varint_put(to, view->offset_delta);
    memcpy(to, rest, rest_bytes);
    records->len = (size_t)(to + rest_bytes - records->bytes);
    return 0;
}

/* Writes a batch of these records, which stand in output->records, with the header of another. */
static int put_rebuilt(struct kj_clean_output *output, struct kj_batch header)
{
    struct kj_buffer *records = &output->records;
    size_t plain_bytes = records->len - KJ_BATCH_HEADER_BYTES;
    const uint8_t *bytes = records->bytes;
    size_t len = records->len;
    struct kj_buffer packed = {0};
    int err = 0;
    if (kj_batch_codec(&header) != KJ_CODEC_NONE) {
        err = kj_buffer_reserve(&packed, KJ_BATCH_HEADER_BYTES);
        packed.len = KJ_BATCH_HEADER_BYTES;
        if (err == 0)
            err = kj_compress(kj_batch_codec(&header), KJ_LEVEL_DEFAULT, records->bytes + KJ_BATCH_HEADER_BYTES,
                              plain_bytes, &packed);
        bytes = packed.bytes;
        len = packed.len;
    }
    if (err == 0 && len - KJ_BATCH_LENGTH_OVERHEAD > INT32_MAX)
        err = kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a batch of %zu bytes", len);
    if (err == 0) {
        uint8_t *p = packed.bytes != NULL ? packed.bytes : records->bytes;
        header.length = (int32_t)(len - KJ_BATCH_LENGTH_OVERHEAD);
        kj_batch_encode(&header, p);
        kj_batch_set_crc(p, len);
        err = put_batch(output, &header, bytes);
    }
    kj_buffer_free(&packed);
    return err;
}

static int put_empty(struct kj_clean_output *output, struct kj_batch header)
{
    KJ_TRY(kj_buffer_reserve(&output->records, KJ_BATCH_HEADER_BYTES));
    output->records.len = KJ_BATCH_HEADER_BYTES;
    header.attributes = (int16_t)(header.attributes &
                                  (KJ_ATTR_LOG_APPEND_TIME | KJ_ATTR_TRANSACTIONAL | KJ_ATTR_CONTROL));
    header.base_timestamp = -1;
    header.count = 0;
    return put_rebuilt(output, header);
}

struct kept {
    int32_t count;
    bool tombstones;
    int64_t first_timestamp, max_timestamp;
};

/* With the horizon in force, records go into output->records in their new form. */
static int gather(struct kj_clean_output *output, const struct kj_batch *batch,
                  const uint8_t *bytes, bool write,
                  int64_t base_timestamp, struct kept *ret_kept)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    struct kept kept = {.first_timestamp = -1, .max_timestamp = -1};
    int got;
    KJ_TRY(kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &output->clean->plain, PLAIN_MAX));
    const uint8_t *p = reader.at;
    while ((got = kj_batch_reader_next(&reader, &view)) == 1) {
        const uint8_t *record = p;
        p = reader.at;
        if (view.offset_delta < 0 || view.offset_delta > batch->last_offset_delta)
            return kj_err(KAJA_ERR_INVALID_RECORD, "a record outside its batch at offset %lld",
                          (long long)batch->base_offset);
        if (!keeps(output, batch, &view))
            continue;
        int64_t timestamp = kj_batch_record_timestamp(batch, &view);
        if (kept.count == 0)
            kept.first_timestamp = timestamp;
        if (timestamp > kept.max_timestamp)
            kept.max_timestamp = timestamp;
        kept.tombstones |= view.value == NULL;
        kept.count++;
        if (write)
            KJ_TRY(put_record(&output->records, record, &view,
                              (int64_t)((uint64_t)timestamp - (uint64_t)base_timestamp)));
    }
    if (got < 0)
        return kj_batch_reader_fault(&reader);
    *ret_kept = kept;
    return 0;
}

/* Some records stay. */
static int put_kept(struct kj_clean_output *output, const struct kj_batch *batch,
                    const uint8_t *bytes,
                    const struct verdict *verdict, struct kept *kept)
{
    bool horizon = kj_batch_has(batch, KJ_ATTR_DELETE_HORIZON);
    bool set = (kept->tombstones || verdict->needless) && !horizon;
    if (kept->count == batch->count && !set)
        return put_batch(output, batch, bytes);
    struct kj_batch header = *batch;
    output->changed = true;
    if (set) {
        header.attributes |= KJ_ATTR_DELETE_HORIZON;
        if (__builtin_add_overflow(output->clean->now_ms, output->clean->config.delete_retention_ms,
                                   &header.base_timestamp))
            header.base_timestamp = INT64_MAX;
    } else if (!horizon) {
        header.base_timestamp = kept->first_timestamp;
    }
    if (!kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME))
        header.max_timestamp = kept->max_timestamp;
    header.count = kept->count;
    KJ_TRY(kj_buffer_reserve(&output->records, KJ_BATCH_HEADER_BYTES));
    output->records.len = KJ_BATCH_HEADER_BYTES;
    KJ_TRY(gather(output, batch, bytes, true, header.base_timestamp, kept));
    return put_rebuilt(output, header);
}

static int clean_batch(struct kj_clean_output *output, const struct kj_batch *batch,
                       const uint8_t *bytes)
{
    struct verdict verdict;
    struct kept kept = {0};
    KJ_TRY(judge(output, batch, bytes, &verdict));
    if (!verdict.aborted)
        KJ_TRY(gather(output, batch, bytes, false, 0, &kept));
    if (kept.count > 0)
        return put_kept(output, batch, bytes, &verdict, &kept);
    if (!verdict.keep_empty) {
        output->changed = true;
        return 0;
    }
    if (batch->count == 0)
        return put_batch(output, batch, bytes);
    output->changed = true;
    return put_empty(output, *batch);
}

/* One batch, or on to the next segment. */
static int clean_next(struct kj_clean_output *output, int64_t *budget_bytes)
{
    struct kj_batch batch;
    const uint8_t *bytes;
    if (!output->walking) {
        const struct kj_clean_segment *segment = &output->group->segments[output->at];
        KJ_TRY(kj_clean_txns_add(output->txns, output->clean->log, segment->base_offset,
                                 segment->next_offset));
        KJ_TRY(kj_clean_walk_begin(output->clean, segment, &output->walk));
        output->walking = true;
    }
    KJ_TRY(kj_clean_walk_next(&output->walk, &batch, &bytes));
    if (bytes != NULL) {
        *budget_bytes -= (int64_t)kj_batch_bytes(&batch);
        return clean_batch(output, &batch, bytes);
    }
    kj_clean_walk_end(&output->walk);
    output->walking = false;
    output->at++;
    return 0;
}

/* --- files --- */

static int write_index(struct kj_clean_output *output, enum kj_file_kind kind,
                       const struct kj_buffer *entries)
{
    struct kj_log *log = output->clean->log;
    char path[KJ_PATH_MAX];
    struct kj_file *file;
    kj_clean_path(path, log, kind, output->base_offset, ".cleaned");
    int os = kj_io_open(log->env->io, path, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &file);
    if (os == 0) {
        if (entries->len > 0)
            os = kj_io_pwrite(file, entries->bytes, entries->len, 0);
        if (os == 0)
            os = kj_io_sync(file);
        kj_io_close(file);
    }
    return os == 0 ? 0 : file_error(log, os, "writing", path);
}

static int finish(struct kj_clean_output *output, struct kj_clean_group *group)
{
    struct kj_log *log = output->clean->log;
    KJ_TRY(write_out(output));
    KJ_TRY(kj_indexer_close(&output->indexer));
    int os = kj_io_sync(output->file);
    if (os != 0)
        return kj_log_io_error(log, os, "flushing", KJ_FILE_LOG, output->base_offset, -1);
    KJ_TRY(write_index(output, KJ_FILE_INDEX, &output->indexer.offsets));
    KJ_TRY(write_index(output, KJ_FILE_TIMEINDEX, &output->indexer.times));
    /* Even an empty one, which takes the old one's place. */
    KJ_TRY(write_index(output, KJ_FILE_TXNINDEX, &output->entries));
    group->bytes = output->written;
    return 0;
}

int kj_clean_write_begin(struct kj_clean *clean, struct kj_clean_txns *txns,
                         struct kj_clean_group *group,
                         struct kj_clean_output **ret_output)
{
    struct kj_log *log = clean->log;
    int64_t base = group->segments[0].base_offset;
    struct kj_tail tail = {.end = base, .max_timestamp = -1, .max_ts_offset = base};
    char path[KJ_PATH_MAX];
    KJ_TRY(kj_clean_discard(log, base)); /* what a round that died left */
    struct kj_clean_output *output = kj_alloc_zero(1, sizeof *output);
    if (output == NULL)
        return kj_err_oom("a segment that is cleaned");
    *output = (struct kj_clean_output){.clean = clean, .txns = txns, .group = group,
                                         .base_offset = base};
    kj_indexer_init(&output->indexer, base, clean->config.index_interval_bytes, &tail, -1);
    kj_clean_path(path, log, KJ_FILE_LOG, base, ".cleaned");
    int os = kj_io_open(log->env->io, path, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &output->file);
    if (os != 0) {
        kj_indexer_free(&output->indexer);
        kj_free(output);
        return file_error(log, os, "making", path);
    }
    *ret_output = output;
    return 0;
}

int kj_clean_write_step(struct kj_clean_output *output, int64_t *budget_bytes, bool *ret_done)
{
    struct kj_clean_group *group = output->group;
    *ret_done = false;
    while (output->at < group->count && *budget_bytes > 0)
        KJ_TRY(clean_next(output, budget_bytes));
    if (output->at < group->count)
        return 0;
    group->changed = output->changed || group->count > 1;
    if (group->changed)
        KJ_TRY(finish(output, group));
    *ret_done = true;
    return 0;
}

int kj_clean_write_end(struct kj_clean_output *output, bool keep)
{
    struct kj_log *log = output->clean->log;
    int64_t base = output->base_offset;
    keep = keep && output->group->changed;
    if (output->walking)
        kj_clean_walk_end(&output->walk);
    kj_io_close(output->file);
    kj_indexer_free(&output->indexer);
    kj_buffer_free(&output->out);
    kj_buffer_free(&output->entries);
    kj_buffer_free(&output->records);
    kj_free(output);
    return keep ? 0 : kj_clean_discard(log, base);
}

int kj_clean_write(struct kj_clean *clean, struct kj_clean_txns *txns, struct kj_clean_group *group)
{
    struct kj_clean_output *output;
    int64_t budget_bytes = INT64_MAX;
    bool done;
    KJ_TRY(kj_clean_write_begin(clean, txns, group, &output));
    int err = kj_clean_write_step(output, &budget_bytes, &done);
    if (err == 0)
        return kj_clean_write_end(output, true);
    struct kj_err_saved saved;
    kj_err_save(err, &saved);
    (void)kj_clean_write_end(output, false); /* the first error is the one to tell */
    return kj_err_restore(&saved);
}
