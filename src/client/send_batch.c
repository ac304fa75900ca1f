/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/send_batch.h"

#include "base/alloc.h"
#include "base/assert.h"

void kj_batch_cache_init(struct kj_batch_cache *cache)
{
    kj_lock_init(&cache->lock, KJ_RANK_LEAF);
    cache->free = NULL;
}

static void batch_free(struct kj_send_batch *batch)
{
    kj_cond_destroy(&batch->cond);
    kj_free(batch->reports);
    kj_free(batch);
}

void kj_batch_cache_destroy(struct kj_batch_cache *cache)
{
    while (cache->free != NULL) {
        struct kj_send_batch *batch = cache->free;
        cache->free = batch->next;
        batch_free(batch);
    }
    kj_lock_destroy(&cache->lock);
}

struct kj_send_batch *kj_batch_cache_get(struct kj_batch_cache *cache)
{
    kj_lock_acquire(&cache->lock);
    struct kj_send_batch *batch = cache->free;
    if (batch != NULL)
        cache->free = batch->next;
    kj_lock_release(&cache->lock);
    if (batch != NULL) {
        batch->next = NULL; /* in no list: what followed may be another partition's by now */
        return batch;
    }
    batch = kj_alloc_zero(1, sizeof *batch);
    if (batch != NULL)
        kj_cond_init(&batch->cond);
    return batch;
}

void kj_batch_cache_put(struct kj_batch_cache *cache, struct kj_send_batch *batch)
{
    KJ_ASSERT(batch->memory == NULL && batch->topic == NULL && batch->waiters == 0);
    kj_free(batch->story);
    batch->story = NULL;
    kj_lock_acquire(&cache->lock);
    batch->next = cache->free;
    cache->free = batch;
    kj_lock_release(&cache->lock);
}

int kj_send_batch_reserve_report(struct kj_send_batch *batch)
{
    if (batch->report_count < batch->report_capacity)
        return 0;
    void *reports = batch->reports;
    KJ_TRY(kj_grow(&reports, &batch->report_capacity, batch->report_count + 1,
                   sizeof *batch->reports));
    batch->reports = reports;
    return 0;
}

void kj_send_batch_fail(struct kj_send_batch *batch, int error)
{
    KJ_ASSERT(error != 0);
    batch->error = error;
    batch->base_offset = -1;
    batch->append_time = -1;
    if (batch->story == NULL)
        batch->story = kj_alloc(sizeof *batch->story);
    if (batch->story != NULL)
        kj_err_save(error, batch->story);
}
