/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/accumulator.h"

#include "base/assert.h"

void kj_accumulator_init(struct kj_accumulator *acc, const char *name, int32_t number,
                         kj_atomic_u64 *open_batches, int64_t producer_id)
{
    *acc = (struct kj_accumulator){.name = name,
                                   .number = number,
                                   .open_batches = open_batches,
                                   .sequence = {.producer_id = producer_id}};
    kj_lock_init(&acc->lock, KJ_RANK_OPEN_BATCH);
    kj_batch_queue_init(&acc->closed);
    kj_batch_queue_init(&acc->appended);
}

void kj_accumulator_destroy(struct kj_accumulator *acc)
{
    KJ_ASSERT(acc->begun == acc->done && acc->topic == NULL);
    kj_lock_destroy(&acc->lock);
}

void kj_accumulator_begin(struct kj_accumulator *acc, struct kj_send_batch *batch)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    KJ_ASSERT(acc->open == NULL);
    batch->home = acc;
    batch->state = KJ_SEND_OPEN;
    acc->open = batch;
    acc->begun++;
    kj_fetch_add_relaxed(acc->open_batches, 1);
}

void kj_accumulator_close_open(struct kj_accumulator *acc)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    if (acc->open == NULL || acc->open->writer.count == 0)
        return;
    acc->open->state = KJ_SEND_CLOSED;
    kj_batch_queue_push(&acc->closed, acc->open);
    kj_store_relaxed(&acc->queue, acc->closed.count);
    acc->open = NULL;
    kj_fetch_add_relaxed(acc->open_batches, UINT64_MAX);
}

size_t kj_accumulator_take(struct kj_accumulator *acc, struct kj_send_batch **batches)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    if (acc->drain_wanted) {
        acc->drain_wanted = false;
        kj_accumulator_close_open(acc);
    }
    size_t count = 0;
    size_t bytes = 0;
    while (count < KJ_DRAIN_BATCHES_MAX && acc->closed.first != NULL) {
        struct kj_send_batch *batch = acc->closed.first;
        bytes += batch->writer.len;
        if (count > 0 && (bytes > KJ_DRAIN_BYTES_MAX || batch->partition != batches[0]->partition))
            break;
        kj_batch_queue_pop(&acc->closed);
        batch->state = KJ_SEND_TAKEN;
        kj_sequence_take(&acc->sequence, batch->writer.count, &batch->number);
        batches[count++] = batch;
    }
    kj_store_relaxed(&acc->queue, acc->closed.count);
    return count;
}

/* Records come so fast that their producer will soon have gathered what is worth an append. Judged
 * by what came since the last look; two looks right after each other say nothing. */
static bool growing(struct kj_accumulator *acc, int64_t now_ns)
{
    if (now_ns - acc->seen_ns < KJ_GROWING_LOOK_NS / 2)
        return acc->seen_growing;
    int32_t count = acc->open != NULL ? acc->open->writer.count : 0;
    uint64_t batches = acc->begun - acc->seen_begun;
    int32_t records = batches == 0 ? count - acc->seen_count : count;
    acc->seen_ns = now_ns;
    acc->seen_begun = acc->begun;
    acc->seen_count = count;
    acc->seen_growing = records > KJ_GROWING_RECORDS_MIN || batches >= KJ_GROWING_BATCHES_MIN;
    return acc->seen_growing;
}

int64_t kj_accumulator_ripe(struct kj_accumulator *acc, int64_t now_ns, int64_t linger_ns)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    if (kj_accumulator_empty(acc))
        return INT64_MAX;
    if (acc->retry_at_ns > now_ns)
        return acc->retry_at_ns;
    if (acc->drain_wanted)
        return KJ_RIPE_NOW;
    int64_t grown_ns = growing(acc, now_ns) ? KJ_GROWING_NS_MAX : 0;
    int64_t closed_at = INT64_MAX;
    int64_t open_at = INT64_MAX;
    if (acc->closed.first != NULL)
        closed_at = acc->closed.first->created_ns + grown_ns;
    if (acc->open != NULL && acc->open->writer.count > 0)
        open_at = acc->open->created_ns + (linger_ns > grown_ns ? linger_ns : grown_ns);
    acc->drain_wanted = open_at <= now_ns;
    if (closed_at <= now_ns || open_at <= now_ns)
        return KJ_RIPE_NOW;
    /* What grows may stop growing. */
    int64_t at = closed_at < open_at ? closed_at : open_at;
    return grown_ns != 0 && at > now_ns + KJ_GROWING_LOOK_NS ? now_ns + KJ_GROWING_LOOK_NS : at;
}

static bool wake_first(struct kj_send_batch *batch)
{
    while (batch != NULL && batch->waiters == 0)
        batch = batch->next;
    if (batch == NULL)
        return false;
    kj_cond_signal(&batch->cond);
    return true;
}

bool kj_accumulator_hand_over(struct kj_accumulator *acc)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    if (acc->waiters == 0)
        return false;
    bool woke = wake_first(acc->appended.first);
    woke = wake_first(acc->closed.first) || woke;
    return wake_first(acc->open) || woke;
}
