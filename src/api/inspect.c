/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/inspect.c - kaja/inspect.h: dumping single files. Callbacks end a walk with any number;
 * inside that is told apart from an error by `stopped`.
 */
#include "base/err.h"
#include "log/inspect.h"
#include "record/batch_reader.h"
#include "record/control.h"

/* A batch whose records would be larger is refused, whatever its header says. */
enum { PLAIN_MAX = 1 << 28, STOPPED = 1 };

static int argument_missing(const char *function)
{
    return kj_err(KAJA_ERR_INVALID_ARG, "%s: the file or the callback is NULL", function);
}

/* --- logs --- */

struct log_walk {
    const struct kj_inspect *inspect;
    kaja_dump_batch_callback *on_batch;
    kaja_dump_record_callback *on_record;
    void *arg;
    struct kj_buffer plain;
    bool stopped;
};

static struct kaja_batch_info info_of(const struct kj_inspect_batch *seen)
{
    const struct kj_batch *batch = &seen->batch;
    return (struct kaja_batch_info){
        .pos = seen->pos,
        .base_offset = batch->base_offset,
        .last_offset = kj_batch_last_offset(batch),
        .bytes = (int32_t)kj_batch_bytes(batch),
        .leader_epoch = batch->epoch,
        .magic = batch->magic,
        .crc = batch->crc,
        .crc_valid = seen->crc_ok,
        .attributes = batch->attributes,
        .codec = kj_codec_name((int)kj_batch_codec(batch)),
        .base_timestamp = batch->base_timestamp,
        .max_timestamp = batch->max_timestamp,
        .producer_id = batch->producer_id,
        .producer_epoch = batch->producer_epoch,
        .base_sequence = batch->base_sequence,
        .last_sequence = kj_batch_last_sequence(batch),
        .record_count = batch->count,
        .raw = seen->bytes,
    };
}

static int fill_record(const struct log_walk *walk, const struct kj_batch *batch,
                       const struct kj_record_view *view, struct kaja_dump_record *record)
{
    record->view = (struct kaja_record_view){
        .topic = walk->inspect->topic,
        .partition = walk->inspect->partition,
        .leader_epoch = batch->epoch,
        .offset = (int64_t)((uint64_t)batch->base_offset + (uint64_t)(int64_t)view->offset_delta),
        .timestamp = kj_batch_record_timestamp(batch, view),
        .timestamp_type =
            kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME) ? KAJA_LOG_APPEND_TIME : KAJA_CREATE_TIME,
        .key = view->key,
        .key_bytes = view->key_bytes,
        .value = view->value,
        .value_bytes = view->value_bytes,
        .header_count = (size_t)view->header_count,
        .headers = view->headers,
        .headers_bytes = view->headers_bytes,
    };
    record->sequence =
        batch->base_sequence < 0
            ? -1
            : (int32_t)(((uint32_t)batch->base_sequence + (uint32_t)view->offset_delta) &
                        INT32_MAX);
    record->control_type = -1;
    record->coordinator_epoch = -1;
    if (!kj_batch_has(batch, KJ_ATTR_CONTROL))
        return 0;
    return kj_control_decode(view, &record->control_type, &record->coordinator_epoch);
}

static int walk_records(struct log_walk *walk, const struct kj_inspect_batch *seen,
                        const struct kaja_batch_info *info)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    KJ_TRY(kj_batch_reader_init(&reader, seen->bytes, kj_batch_bytes(&seen->batch), &walk->plain,
                                PLAIN_MAX));
    uint64_t raw_pos = 0;
    int got;
    while ((got = kj_batch_reader_next(&reader, &view)) > 0) {
        struct kaja_dump_record record = {.raw_pos = raw_pos, .raw_bytes = (uint32_t)view.bytes};
        KJ_TRY(fill_record(walk, &seen->batch, &view, &record));
        raw_pos += view.bytes;
        if (walk->on_record(walk->arg, info, &record) != 0) {
            walk->stopped = true;
            return STOPPED;
        }
    }
    return got == 0 ? 0 : kj_batch_reader_fault(&reader);
}

static int walk_batch(void *arg, const struct kj_inspect_batch *seen)
{
    struct log_walk *walk = arg;
    const struct kaja_batch_info info = info_of(seen);
    if (walk->on_batch != NULL && walk->on_batch(walk->arg, &info) != 0) {
        walk->stopped = true;
        return STOPPED;
    }
    if (walk->on_record == NULL)
        return 0;
    int err = walk_records(walk, seen, &info);
    if (err != 0 && !seen->crc_ok && !walk->stopped && err != KAJA_ERR_OUT_OF_MEMORY) {
        kj_err_clear(); /* the batch was already said to be damaged: what follows is still of
                           interest */
        return 0;
    }
    if (err != 0 && !walk->stopped) {
        const char *topic = walk->inspect->topic;
        return kj_err_at(err, topic[0] != '\0' ? topic : NULL, walk->inspect->partition,
                         seen->batch.base_offset, seen->pos);
    }
    return err;
}

int kaja_dump_log(const char *file, int64_t max_bytes, kaja_dump_batch_callback *on_batch,
                  kaja_dump_record_callback *on_record, void *arg, int64_t *ret_trailing)
{
    if (file == NULL || (on_batch == NULL && on_record == NULL))
        return argument_missing("kaja_dump_log");
    struct kj_inspect inspect;
    KJ_TRY(kj_inspect_open(file, &inspect));
    struct log_walk walk = {
        .inspect = &inspect, .on_batch = on_batch, .on_record = on_record, .arg = arg};
    int64_t trailing = 0;
    int err = kj_inspect_log(&inspect, max_bytes, walk_batch, &walk, &trailing);
    kj_buffer_free(&walk.plain);
    kj_inspect_close(&inspect);
    if (err != 0 && !walk.stopped)
        return err;
    if (ret_trailing != NULL)
        *ret_trailing = trailing;
    return 0;
}

/* --- indexes --- */

struct index_walk {
    kaja_dump_index_callback *callback;
    void *arg;
    bool stopped;
};

static int walk_entry(void *arg, const struct kj_inspect_entry *seen)
{
    struct index_walk *walk = arg;
    struct kaja_index_entry entry = {
        .position = -1,
        .timestamp = -1,
        .producer_id = -1,
        .first_offset = -1,
        .last_stable_offset = -1,
    };
    if (seen->kind == KJ_FILE_INDEX) {
        entry.offset = seen->u.offset.offset;
        entry.position = seen->u.offset.pos;
    } else if (seen->kind == KJ_FILE_TIMEINDEX) {
        entry.offset = seen->u.time.offset;
        entry.timestamp = seen->u.time.timestamp;
    } else {
        entry.offset = seen->u.txn.last_offset;
        entry.producer_id = seen->u.txn.producer_id;
        entry.first_offset = seen->u.txn.first_offset;
        entry.last_stable_offset = seen->u.txn.last_stable_offset;
    }
    walk->stopped = walk->callback(walk->arg, &entry) != 0;
    return walk->stopped ? STOPPED : 0;
}

int kaja_dump_index(const char *file, kaja_dump_index_callback *callback, void *arg)
{
    if (file == NULL || callback == NULL)
        return argument_missing("kaja_dump_index");
    struct kj_inspect inspect;
    KJ_TRY(kj_inspect_open(file, &inspect));
    struct index_walk walk = {.callback = callback, .arg = arg};
    int err = kj_inspect_index(&inspect, walk_entry, &walk);
    kj_inspect_close(&inspect);
    return walk.stopped ? 0 : err;
}

/* --- snapshots --- */

struct snapshot_walk {
    kaja_dump_snapshot_callback *callback;
    void *arg;
    bool stopped;
};

static int walk_producer(void *arg, const struct kj_producer *producer)
{
    struct snapshot_walk *walk = arg;
    struct kaja_snapshot_entry entry = {
        .producer_id = producer->producer_id,
        .producer_epoch = producer->epoch,
        .coordinator_epoch = producer->coordinator_epoch,
        .current_txn_first_offset = producer->txn_first_offset,
        .last_timestamp = producer->timestamp,
        .first_sequence = -1,
        .last_sequence = -1,
        .last_offset = -1,
    };
    if (producer->batch_count > 0) {
        const struct kj_producer_batch *last = &producer->batches[producer->batch_count - 1];
        entry.first_sequence = last->first_sequence;
        entry.last_sequence = last->last_sequence;
        entry.last_offset = last->last_offset;
        entry.offset_delta = last->offset_delta;
    }
    walk->stopped = walk->callback(walk->arg, &entry) != 0;
    return walk->stopped ? STOPPED : 0;
}

int kaja_dump_snapshot(const char *file, kaja_dump_snapshot_callback *callback, void *arg)
{
    if (file == NULL || callback == NULL)
        return argument_missing("kaja_dump_snapshot");
    struct kj_inspect inspect;
    KJ_TRY(kj_inspect_open(file, &inspect));
    struct snapshot_walk walk = {.callback = callback, .arg = arg};
    int err = kj_inspect_snapshot(&inspect, walk_producer, &walk);
    kj_inspect_close(&inspect);
    return walk.stopped ? 0 : err;
}
