/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export_offsets.c - __consumer_offsets for another number of partitions. A group's records
 * stand in the partition that its name's hash gives, so each record is written anew where the
 * target looks for it, in the order of the source.
 * Newer kinds of groups are left out.
 *
 * Of a transaction only what was committed goes along, as plain records: the target's coordinator
 * knows nothing of the others and would wait for their ends for ever. Two things in an offset mean
 * nothing in the target and would make its clients doubt it: a leader epoch other than 0 (it
 * becomes -1, none) and the topic's id, a tagged field of version 4 (left out). Tombstones stay.
 */
#include "store/export_internal.h"

#include "base/javahash.h"
#include "record/batch_reader.h"
#include "record/control.h"
#include "record/coord_record.h"

#include <stdlib.h>

enum { PLAIN_MAX = 256 << 20, READ_BYTES = 1 << 20 };

/* The end of a transaction. */
struct marker {
    int64_t producer_id;
    int64_t offset;
    bool commit;
};

struct offsets {
    struct kj_export *export;
    int32_t partitions;
    struct kj_export_writer **writers; /* [partitions], NULL: no record yet */
    size_t *items;                     /* numbers of their items */
    /* of the source's partition being read */
    struct marker *markers; /* sorted by producer id and offset */
    size_t marker_count, marker_capacity;
    int64_t last_stable;
    struct kj_buffer plain, value;
};

/* --- reading --- */

typedef int batch_fn(struct offsets *offsets, const struct kj_batch *batch, const uint8_t *bytes);

static int each_batch(struct offsets *offsets, struct kj_log *log, batch_fn *each)
{
    struct kj_log_cursor cursor = {0};
    int64_t offset = kj_log_start(log), end = kj_log_end(log);
    int err = 0;
    while (offset < end && err == 0) {
        struct kj_log_read read = {0};
        KJ_TRY(kj_log_read(log, offset, end, READ_BYTES, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len && err == 0;) {
            struct kj_batch batch;
            if (kj_batch_look(read.bytes + at, read.len - at, &batch) != KJ_BATCH_OK)
                err = kj_err(KAJA_ERR_DAMAGED, KJ_OFFSETS_TOPIC ": no batch behind offset %lld",
                             (long long)offset);
            else
                err = each(offsets, &batch, read.bytes + at);
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        offset = read.next_offset;
    }
    return err;
}

static int note_marker(struct offsets *offsets, const struct kj_batch *batch, const uint8_t *bytes)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int type;
    int32_t epoch;
    if (!kj_batch_has(batch, KJ_ATTR_CONTROL) || batch->producer_id < 0)
        return 0;
    KJ_TRY(kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &offsets->plain, PLAIN_MAX));
    int got = kj_batch_reader_next(&reader, &view);
    if (got < 0)
        return kj_batch_reader_fault(&reader);
    if (got == 0)
        return 0; /* compaction took it */
    KJ_TRY(kj_control_decode(&view, &type, &epoch));
    if (type != KJ_CONTROL_ABORT && type != KJ_CONTROL_COMMIT)
        return 0;
    void *markers = offsets->markers;
    KJ_TRY(kj_grow(&markers, &offsets->marker_capacity, offsets->marker_count + 1,
                   sizeof *offsets->markers));
    offsets->markers = markers;
    offsets->markers[offsets->marker_count++] =
        (struct marker){batch->producer_id, batch->base_offset, type == KJ_CONTROL_COMMIT};
    return 0;
}

static int by_producer(const void *a, const void *b)
{
    const struct marker *x = a, *y = b;
    if (x->producer_id != y->producer_id)
        return x->producer_id < y->producer_id ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Was the transaction that a batch belongs to committed? */
static bool committed(const struct offsets *offsets, const struct kj_batch *batch)
{
    const struct marker here = {.producer_id = batch->producer_id, .offset = batch->base_offset};
    size_t low = 0, high = offsets->marker_count;
    while (low < high) { /* the first one behind it */
        size_t middle = low + (high - low) / 2;
        if (by_producer(&offsets->markers[middle], &here) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < offsets->marker_count && offsets->markers[low].producer_id == batch->producer_id)
        return offsets->markers[low].commit;
    /* Compaction may have taken the marker of one that was committed long ago. */
    return batch->base_offset < offsets->last_stable;
}

/* --- records --- */

/* The value of an offset as the target shall have it. */
static int translate(struct offsets *offsets, struct kj_record *record, bool *ret_known)
{
    enum { WITH_EPOCH = 3 };
    struct kj_coord_offset value;
    *ret_known = kj_coord_offset_decode(record->value, record->value_bytes, &value);
    if (!*ret_known || value.version < WITH_EPOCH)
        return 0;
    if (value.leader_epoch > 0)
        value.leader_epoch = -1;
    size_t bytes = kj_coord_offset_bytes(&value);
    KJ_TRY(kj_buffer_reserve(&offsets->value, bytes));
    kj_coord_offset_encode(&value, offsets->value.bytes);
    record->value = offsets->value.bytes;
    record->value_bytes = bytes;
    return 0;
}

/* Makes the writer of a partition when it gets its first record. */
static int writer_of(struct offsets *offsets, int32_t partition,
                     struct kj_export_writer **ret_writer)
{
    struct kj_export *export = offsets->export;
    struct kj_export_names names;
    struct kj_export_item *item;
    if (offsets->writers[partition] == NULL) {
        kj_export_names(KJ_OFFSETS_TOPIC, partition, &names);
        KJ_TRY(kj_export_add_item(export, KJ_OFFSETS_TOPIC, partition, &item));
        item->how = KJ_EXPORT_REWRITTEN;
        KJ_TRY(kj_export_check_place(export, item));
        offsets->items[partition] = (size_t)(item - export->items.items);
        item->copied = true;
        KJ_TRY(kj_export_writer_open(export->target, names.dir, names.copy,
                                     &offsets->writers[partition]));
    }
    *ret_writer = offsets->writers[partition];
    return 0;
}

static int take_record(struct offsets *offsets, const struct kj_batch *batch,
                       const struct kj_record_view *view)
{
    struct kj_export_writer *writer;
    struct kj_coord_key key;
    bool known = true;
    struct kj_record record = {
        .timestamp = kj_batch_record_timestamp(batch, view),
        .key = view->key,
        .key_bytes = view->key_bytes,
        .value = view->value,
        .value_bytes = view->value_bytes,
    };
    enum kj_coord_kind kind = kj_coord_key_decode(view->key, view->key_bytes, &key);
    if (kind != KJ_COORD_OFFSET && kind != KJ_COORD_GROUP) {
        offsets->export->result.left_out++;
        return 0;
    }
    if (kind == KJ_COORD_OFFSET && view->value != NULL)
        KJ_TRY(translate(offsets, &record, &known));
    if (!known) {
        offsets->export->result.left_out++;
        return 0;
    }
    int32_t hash = kj_javahash(key.group.at, key.group.len);
    KJ_TRY(writer_of(offsets, kj_partition_for_group(hash, offsets->partitions), &writer));
    offsets->export->result.offsets++;
    return kj_export_writer_add(writer, &record);
}

static int take_batch(struct offsets *offsets, const struct kj_batch *batch, const uint8_t *bytes)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int got;
    if (kj_batch_has(batch, KJ_ATTR_CONTROL))
        return 0;
    if (kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL) && !committed(offsets, batch)) {
        offsets->export->result.left_out += batch->count;
        return 0;
    }
    KJ_TRY(kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &offsets->plain, PLAIN_MAX));
    while ((got = kj_batch_reader_next(&reader, &view)) > 0)
        KJ_TRY(take_record(offsets, batch, &view));
    return got == 0 ? 0 : kj_batch_reader_fault(&reader);
}

/* --- all of it --- */

static int take_log(struct kj_export *export, const char *topic, int32_t partition,
                    struct kj_log *log, void *arg)
{
    struct offsets *offsets = arg;
    (void)export;
    offsets->marker_count = 0;
    int err = kj_log_last_stable(log, &offsets->last_stable);
    if (err == 0)
        err = each_batch(offsets, log, note_marker);
    if (offsets->marker_count > 1)
        qsort(offsets->markers, offsets->marker_count, sizeof *offsets->markers, by_producer);
    if (err == 0)
        err = each_batch(offsets, log, take_batch);
    return err == 0 ? 0 : kj_err_at(err, topic, partition, -1, -1);
}

static int finish(struct offsets *offsets)
{
    struct kj_export *export = offsets->export;
    for (int32_t p = 0; p < offsets->partitions; p++) {
        struct kj_export_names names;
        bool same = true;
        if (offsets->writers[p] == NULL)
            continue;
        struct kj_export_item *item = &export->items.items[offsets->items[p]];
        KJ_TRY(kj_export_writer_finish(offsets->writers[p], &item->counts, &item->end));
        kj_export_names(item->topic, p, &names);
        if (item->holds)
            KJ_TRY(kj_export_same(export->target, names.dir, names.copy, &same));
        if (!same)
            return kj_export_conflict(export, item);
    }
    return 0;
}

int kj_export_offsets(struct kj_export *export, int32_t partitions)
{
    struct offsets offsets = {.export = export, .partitions = partitions};
    offsets.writers = kj_alloc_zero((size_t)partitions, sizeof(struct kj_export_writer *));
    offsets.items = kj_alloc_zero((size_t)partitions, sizeof *offsets.items);
    int err = offsets.writers == NULL || offsets.items == NULL ? kj_err_oom("writers") : 0;
    if (err == 0)
        err = kj_export_each_log(export, KJ_OFFSETS_TOPIC, take_log, &offsets);
    if (err == 0)
        err = finish(&offsets);
    for (int32_t p = 0; p < partitions && offsets.writers != NULL; p++)
        kj_export_writer_free(offsets.writers[p]);
    kj_free(offsets.writers);
    kj_free(offsets.items);
    kj_free(offsets.markers);
    kj_buffer_free(&offsets.plain);
    kj_buffer_free(&offsets.value);
    return err;
}
