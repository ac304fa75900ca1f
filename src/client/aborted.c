/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/aborted.h"

#include "base/alloc.h"
#include "base/err.h"
#include "record/control.h"

#include <stdlib.h>

static int note(void *arg, const struct kj_txn_entry *entry)
{
    struct kj_aborted *aborted = arg;
    void *txns = aborted->txns;
    KJ_TRY(kj_grow(&txns, &aborted->capacity, aborted->count + 1, sizeof *aborted->txns));
    aborted->txns = txns;
    aborted->txns[aborted->count++] =
        (struct kj_aborted_txn){entry->producer_id, entry->first_offset};
    return 0;
}

static int by_first_offset(const void *a, const void *b)
{
    const struct kj_aborted_txn *one = a;
    const struct kj_aborted_txn *other = b;
    return (one->first_offset > other->first_offset) - (one->first_offset < other->first_offset);
}

static int load(struct kj_assigned *assigned)
{
    struct kj_aborted *aborted = &assigned->aborted;
    aborted->count = 0;
    aborted->next = 0;
    aborted->active_count = 0;
    KJ_TRY(
        kj_log_aborted(assigned->log, assigned->piece_begin, assigned->piece_end, note, aborted));
    if (aborted->count > 1)
        qsort(aborted->txns, aborted->count, sizeof *aborted->txns, by_first_offset);
    aborted->loaded = true;
    return 0;
}

static size_t find_active(const struct kj_aborted *aborted, int64_t producer_id)
{
    size_t i = 0;
    while (i < aborted->active_count && aborted->active[i] != producer_id)
        i++;
    return i;
}

/* Those that begin at or before last_offset. */
static int activate(struct kj_aborted *aborted, int64_t last_offset)
{
    for (;
         aborted->next < aborted->count && aborted->txns[aborted->next].first_offset <= last_offset;
         aborted->next++) {
        int64_t producer_id = aborted->txns[aborted->next].producer_id;
        if (find_active(aborted, producer_id) < aborted->active_count)
            continue;
        void *active = aborted->active;
        KJ_TRY(kj_grow(&active, &aborted->active_capacity, aborted->active_count + 1,
                       sizeof *aborted->active));
        aborted->active = active;
        aborted->active[aborted->active_count++] = producer_id;
    }
    return 0;
}

static bool is_abort_marker(const struct kj_batch *batch, const uint8_t *bytes)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int type;
    int32_t coordinator_epoch;
    /* A control batch is never compressed; one that says so is no marker we know. */
    if (kj_batch_codec(batch) != KJ_CODEC_NONE ||
        kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), NULL, 0) != 0)
        return false;
    return kj_batch_reader_next(&reader, &view) == 1 &&
           kj_control_decode(&view, &type, &coordinator_epoch) == 0 && type == KJ_CONTROL_ABORT;
}

int kj_aborted_skip(struct kj_assigned *assigned, const struct kj_batch *batch,
                    const uint8_t *bytes, bool *ret_skip)
{
    struct kj_aborted *aborted = &assigned->aborted;
    bool transactional = kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL);
    *ret_skip = false;
    if (!transactional)
        return 0;
    if (!aborted->loaded)
        KJ_TRY(load(assigned));
    KJ_TRY(activate(aborted, kj_batch_last_offset(batch)));
    size_t i = find_active(aborted, batch->producer_id);
    if (i == aborted->active_count)
        return 0;
    if (kj_batch_has(batch, KJ_ATTR_CONTROL)) {
        if (is_abort_marker(batch, bytes))
            aborted->active[i] = aborted->active[--aborted->active_count];
        return 0;
    }
    *ret_skip = true;
    return 0;
}
