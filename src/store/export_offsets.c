/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export_offsets.c - __consumer_offsets for another number of partitions. A group's records
 * stand in the partition that its name's hash gives, so each record is written anew where the
 * target looks for it, in the order of the source.
 *
 *   key     i16 version 0, 1: an offset     string group, string topic, i32 partition
 *           i16 version 2: a group          string group
 *           others                          newer kinds of groups: left out
 *   value of an offset, from version 3 on   i16 version, i64 offset, i32 leader epoch, ...
 *
 * Of a transaction only what was committed goes along, as plain records: the target's coordinator
 * knows nothing of the others and would wait for their ends for ever. Two things in an offset mean
 * nothing in the target and would make its clients doubt it: a leader epoch other than 0 (it
 * becomes -1, none) and the topic's id, a tagged field of version 4 (left out). Tombstones stay.
 */
#include "store/export_internal.h"

#include "base/bytes.h"
#include "base/javahash.h"
#include "base/varint.h"
#include "record/batch_reader.h"
#include "record/control.h"

#include <stdlib.h>
#include <string.h>

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

/* The group that a key is about; false: not one that we know. */
static bool group_of(const struct kj_record_view *view, const char **ret_group, size_t *ret_bytes,
                     bool *ret_offset)
{
    enum { VERSION = 2, LENGTH = 2, OFFSET_MAX = 1, GROUP = 2 };
    if (view->key == NULL || view->key_bytes < VERSION + LENGTH)
        return false;
    int version = kj_get_be16s(view->key);
    int bytes = kj_get_be16s(view->key + VERSION);
    if (version < 0 || version > GROUP || bytes < 0 ||
        (size_t)bytes > view->key_bytes - VERSION - LENGTH)
        return false;
    *ret_group = (const char *)view->key + VERSION + LENGTH;
    *ret_bytes = (size_t)bytes;
    *ret_offset = version <= OFFSET_MAX;
    return true;
}

/* Where the tagged fields of a version 4 begin; 0: it is malformed. */
static size_t tags_of(const uint8_t *value, size_t bytes)
{
    enum { METADATA_AT = 14, TIMESTAMP = 8 };
    uint32_t length; /* of the metadata, plus 1 */
    const uint8_t *end = value + bytes;
    if (bytes <= METADATA_AT)
        return 0;
    const uint8_t *p = kj_uvarint_get(value + METADATA_AT, end, &length);
    if (p == NULL)
        return 0;
    size_t skip = (length > 0 ? length - 1 : 0) + (size_t)TIMESTAMP;
    return skip < (size_t)(end - p) ? (size_t)(p - value) + skip : 0;
}

/* The value of an offset as the target shall have it. */
static int translate(struct offsets *offsets, struct kj_record *record, bool *ret_known)
{
    enum { EPOCH_AT = 10, EPOCH_END = 14, WITH_EPOCH = 3, WITH_TAGS = 4 };
    const uint8_t *value = record->value;
    size_t bytes = record->value_bytes;
    *ret_known = bytes >= 2 && kj_get_be16s(value) >= 0 && kj_get_be16s(value) <= WITH_TAGS;
    if (!*ret_known || kj_get_be16s(value) < WITH_EPOCH)
        return 0;
    size_t tags = kj_get_be16s(value) == WITH_TAGS ? tags_of(value, bytes) : bytes;
    *ret_known = bytes >= EPOCH_END && tags > 0;
    if (!*ret_known)
        return 0;
    KJ_TRY(kj_buffer_reserve(&offsets->value, tags + 1));
    memcpy(offsets->value.bytes, value, tags);
    if (kj_get_be32s(value + EPOCH_AT) > 0)
        kj_put_be32(offsets->value.bytes + EPOCH_AT, (uint32_t)-1);
    if (kj_get_be16s(value) == WITH_TAGS)
        offsets->value.bytes[tags++] = 0; /* none */
    record->value = offsets->value.bytes;
    record->value_bytes = tags;
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
    const char *group;
    size_t group_bytes;
    bool is_offset, known = true;
    struct kj_record record = {
        .timestamp = kj_batch_record_timestamp(batch, view),
        .key = view->key,
        .key_bytes = view->key_bytes,
        .value = view->value,
        .value_bytes = view->value_bytes,
    };
    if (!group_of(view, &group, &group_bytes, &is_offset)) {
        offsets->export->result.left_out++;
        return 0;
    }
    if (is_offset && view->value != NULL)
        KJ_TRY(translate(offsets, &record, &known));
    if (!known) {
        offsets->export->result.left_out++;
        return 0;
    }
    int32_t hash = kj_javahash(group, group_bytes);
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
