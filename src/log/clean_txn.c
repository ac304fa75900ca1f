/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean_txn.c - transactions during a walk of compaction. A marker may go only when no batch of its
 * transaction is left: a reader that met one of them without its marker would take it for open.
 */
#include "log/clean.h"

#include "record/batch_reader.h"
#include "record/control.h"

#include <stdlib.h>

struct kj_clean_abort {
    struct kj_txn_entry entry;
    bool seen; /* a batch of it, even an empty one */
};

void kj_clean_txns_free(struct kj_clean_txns *txns)
{
    struct kj_map_entry entry;
    for (size_t at = 0; kj_map_next(&txns->running, &at, &entry);)
        kj_free(entry.value);
    kj_map_free(&txns->running);
    kj_map_free(&txns->committed);
    kj_free(txns->aborted);
    *txns = (struct kj_clean_txns){0};
}

static int note_aborted(void *arg, const struct kj_txn_entry *entry)
{
    struct kj_clean_txns *txns = arg;
    KJ_TRY(kj_grow((void **)&txns->aborted, &txns->aborted_capacity, txns->aborted_count + 1,
                   sizeof *txns->aborted));
    txns->aborted[txns->aborted_count++] = *entry;
    return 0;
}

static int by_first_offset(const void *a, const void *b)
{
    const struct kj_txn_entry *x = a, *y = b;
    return x->first_offset < y->first_offset ? -1 : x->first_offset > y->first_offset;
}

/* The marker that a batch holds; type -1: none, an empty batch. */
static int marker_of(const struct kj_batch *batch, const uint8_t *bytes, int *ret_type)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    struct kj_buffer plain = {0};
    int32_t coordinator_epoch;
    int type = -1;
    int err = kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &plain, 1 << 20);
    int got = err == 0 ? kj_batch_reader_next(&reader, &view) : 0;
    if (got < 0)
        err = kj_batch_reader_fault(&reader);
    else if (got > 0)
        err = kj_control_decode(&view, &type, &coordinator_epoch);
    kj_buffer_free(&plain);
    if (err == 0)
        *ret_type = type;
    return err;
}

static int contradiction(struct kj_log *log, int64_t offset, int64_t producer_id)
{
    return kj_err_at(kj_err(KAJA_ERR_DAMAGED,
                            "%s-%d: the index of aborted transactions and the marker of producer %lld at offset "
                            "%lld disagree: which records count cannot be told",
                            log->topic, log->partition, (long long)producer_id, (long long)offset),
                     log->topic, log->partition, offset, -1);
}

/* The index has no checksum, and what it calls aborted is removed: the log itself must say so too. */
static int confirm(struct kj_log *log, const struct kj_txn_entry *entry)
{
    struct kj_log_read read = {0};
    struct kj_batch batch = {0};
    int type = -1;
    if (entry->last_offset < 0 || entry->first_offset < 0 || entry->first_offset > entry->last_offset ||
        entry->last_offset >= kj_log_end(log))
        return contradiction(log, entry->last_offset, entry->producer_id);
    KJ_TRY(kj_log_read(log, entry->last_offset, entry->last_offset + 1, 1, true, NULL, &read));
    int err = 0;
    if (read.view != NULL) {
        kj_batch_decode(read.bytes, &batch);
        if (kj_batch_has(&batch, KJ_ATTR_CONTROL) && kj_batch_crc_ok(read.bytes, kj_batch_bytes(&batch)))
            err = marker_of(&batch, read.bytes, &type);
    }
    kj_view_release(read.view);
    if (err == 0 && (type != KJ_CONTROL_ABORT || batch.producer_id != entry->producer_id ||
                     batch.base_offset != entry->last_offset))
        err = contradiction(log, entry->last_offset, entry->producer_id);
    return err;
}

int kj_clean_txns_add(struct kj_clean_txns *txns, struct kj_log *log, int64_t from, int64_t to)
{
    /* Those that were met are in `running`, or over. */
    size_t left = txns->aborted_count - txns->aborted_at;
    for (size_t i = 0; i < left; i++)
        txns->aborted[i] = txns->aborted[txns->aborted_at + i];
    txns->aborted_count = left;
    txns->aborted_at = 0;
    KJ_TRY(kj_log_aborted(log, from, to, note_aborted, txns));
    for (size_t i = left; i < txns->aborted_count; i++)
        KJ_TRY(confirm(log, &txns->aborted[i]));
    if (txns->aborted_count > 0)
        qsort(txns->aborted, txns->aborted_count, sizeof *txns->aborted, by_first_offset);
    return 0;
}

/* A transaction over several segments is told by each of them: the second time it is running already. */
static int meet(struct kj_clean_txns *txns, int64_t offset)
{
    while (txns->aborted_at < txns->aborted_count &&
           txns->aborted[txns->aborted_at].first_offset <= offset) {
        const struct kj_txn_entry *entry = &txns->aborted[txns->aborted_at++];
        if (kj_map_get_u64(&txns->running, (uint64_t)entry->producer_id) != NULL)
            continue;
        struct kj_clean_abort *abort = kj_alloc(sizeof *abort);
        if (abort == NULL)
            return kj_err_oom("an aborted transaction");
        *abort = (struct kj_clean_abort){.entry = *entry};
        int err = kj_map_put_u64(&txns->running, (uint64_t)entry->producer_id, abort);
        if (err != 0) {
            kj_free(abort);
            return err;
        }
    }
    return 0;
}

int kj_clean_txns_batch(struct kj_clean_txns *txns, const struct kj_batch *batch, bool *ret_aborted)
{
    KJ_TRY(meet(txns, kj_batch_last_offset(batch)));
    *ret_aborted = false;
    if (!kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL))
        return 0;
    struct kj_clean_abort *abort = kj_map_get_u64(&txns->running, (uint64_t)batch->producer_id);
    if (abort == NULL)
        return kj_map_put_u64(&txns->committed, (uint64_t)batch->producer_id, txns);
    abort->seen = true;
    *ret_aborted = true;
    return 0;
}

int kj_clean_txns_marker(struct kj_clean_txns *txns, struct kj_log *log, const struct kj_batch *batch,
                         const uint8_t *bytes, bool *ret_needless, bool *ret_has_entry,
                         struct kj_txn_entry *ret_entry)
{
    uint64_t id = (uint64_t)batch->producer_id;
    int type;
    *ret_has_entry = false;
    *ret_needless = true;
    KJ_TRY(meet(txns, kj_batch_last_offset(batch)));
    KJ_TRY(marker_of(batch, bytes, &type));
    if (type == -1)
        return 0; /* its marker went before */
    if (type != KJ_CONTROL_ABORT && type != KJ_CONTROL_COMMIT) {
        *ret_needless = false;
        return 0;
    }
    /* Batches that the index took for the other kind. */
    if (kj_map_get_u64(type == KJ_CONTROL_ABORT ? &txns->committed : &txns->running, id) != NULL)
        return contradiction(log, batch->base_offset, batch->producer_id);
    if (type == KJ_CONTROL_COMMIT) {
        *ret_needless = kj_map_remove_u64(&txns->committed, id) == NULL;
        return 0;
    }
    struct kj_clean_abort *abort = kj_map_remove_u64(&txns->running, id);
    if (abort != NULL && abort->entry.last_offset != batch->base_offset) {
        kj_free(abort);
        return contradiction(log, batch->base_offset, batch->producer_id);
    }
    if (abort != NULL && abort->seen) {
        *ret_entry = abort->entry;
        *ret_has_entry = true;
        *ret_needless = false;
    }
    kj_free(abort);
    return 0;
}
