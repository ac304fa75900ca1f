/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/fetched.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

int kj_fetch_pool_new(kj_atomic_u64 *out, struct kj_fetch_pool **ret_pool)
{
    struct kj_fetch_pool *pool = kj_alloc_zero(1, sizeof *pool);
    if (pool == NULL)
        return kj_err_oom("a consumer");
    kj_lock_init(&pool->lock, KJ_RANK_LEAF);
    pool->owners = 1;
    pool->out = out;
    *ret_pool = pool;
    return 0;
}

static void batch_free(struct kaja_batch *batch)
{
    kj_free(batch->entries);
    kj_free(batch->runs);
    kj_free(batch);
}

static void source_free(struct kj_source *source)
{
    kj_buffer_free(&source->plain);
    kj_free(source);
}

/* Gives back the lock, and the pool itself if nobody owns it any more. */
static void unlock_owned(struct kj_fetch_pool *pool)
{
    bool last = pool->owners == 0;
    kj_lock_release(&pool->lock);
    if (last) {
        kj_lock_destroy(&pool->lock);
        kj_free(pool);
    }
}

void kj_fetch_pool_close(struct kj_fetch_pool *pool)
{
    kj_lock_acquire(&pool->lock);
    pool->closed = true;
    struct kaja_batch *batches = pool->batches;
    struct kj_source *sources = pool->sources;
    pool->batches = NULL;
    pool->sources = NULL;
    pool->owners--;
    unlock_owned(pool);
    while (batches != NULL) {
        struct kaja_batch *next = batches->next;
        batch_free(batches);
        batches = next;
    }
    while (sources != NULL) {
        struct kj_source *next = sources->next;
        source_free(sources);
        sources = next;
    }
}

struct kaja_batch *kj_fetch_pool_batch(struct kj_fetch_pool *pool)
{
    kj_lock_acquire(&pool->lock);
    struct kaja_batch *batch = pool->batches;
    if (batch != NULL)
        pool->batches = batch->next;
    pool->owners++;
    kj_lock_release(&pool->lock);
    if (batch == NULL)
        batch = kj_alloc_zero(1, sizeof *batch);
    if (batch == NULL) {
        kj_lock_acquire(&pool->lock);
        pool->owners--;
        kj_lock_release(&pool->lock);
        return NULL;
    }
    if (pool->out != NULL)
        kj_fetch_add(pool->out, 1);
    batch->pool = pool;
    batch->count = 0;
    batch->run_count = 0;
    batch->at = 0;
    batch->run_at = 0;
    batch->bytes = 0;
    batch->pinned = 0;
    return batch;
}

void kj_fetched_done(struct kaja_batch *batch)
{
    if (batch->run_count > 0)
        batch->runs[batch->run_count - 1].end = batch->count;
    kj_fetch_add_relaxed(&batch->pool->pinned, batch->pinned);
}

void kj_fetched_release(struct kaja_batch *batch)
{
    struct kj_fetch_pool *pool = batch->pool;
    kj_atomic_u64 *out = pool->out;
    for (size_t i = 0; i < batch->run_count; i++)
        kj_source_release(batch->runs[i].source);
    batch->run_count = 0;
    kj_fetch_add_relaxed(&pool->pinned, UINT64_C(0) - batch->pinned);
    kj_lock_acquire(&pool->lock);
    bool keep = !pool->closed;
    if (keep) {
        batch->next = pool->batches;
        pool->batches = batch;
    }
    pool->owners--;
    unlock_owned(pool);
    if (!keep)
        batch_free(batch);
    /* Last: the store may be closed from here on. */
    if (out != NULL)
        kj_fetch_add(out, UINT64_MAX); /* minus one */
}

struct kj_source *kj_source_new(struct kj_fetch_pool *pool, struct kj_view *view,
                                struct kj_topic *topic)
{
    kj_lock_acquire(&pool->lock);
    struct kj_source *source = pool->sources;
    if (source != NULL)
        pool->sources = source->next;
    kj_lock_release(&pool->lock);
    if (source == NULL) {
        source = kj_alloc_zero(1, sizeof *source);
        if (source == NULL)
            return NULL;
        source->pool = pool;
    }
    kj_lock_acquire(&pool->lock);
    pool->owners++;
    kj_lock_release(&pool->lock);
    kj_store_relaxed(&source->refs, 1);
    source->view = view;
    kj_topic_hold(topic);
    source->topic = topic;
    return source;
}

/* A waiting source keeps its memory for the next batch, but not that of an uncommonly large one: as many
 * of them may wait as were ever in use. */
enum { PLAIN_KEPT_MAX = 1 << 20 };

void kj_source_release(struct kj_source *source)
{
    /* A full barrier: what the last but one read is over before the memory is given away. */
    if (kj_fetch_add(&source->refs, UINT64_MAX) != 1)
        return;
    struct kj_fetch_pool *pool = source->pool;
    if (source->view != NULL)
        kj_view_release(source->view);
    source->view = NULL;
    kj_topic_release(source->topic);
    source->topic = NULL;
    if (source->plain.capacity > PLAIN_KEPT_MAX)
        kj_buffer_free(&source->plain);
    kj_lock_acquire(&pool->lock);
    bool keep = !pool->closed;
    if (keep) {
        source->next = pool->sources;
        pool->sources = source;
    }
    pool->owners--;
    unlock_owned(pool);
    if (!keep)
        source_free(source);
}

int kj_fetched_reserve(struct kaja_batch *batch, size_t max)
{
    if (batch->count < batch->capacity)
        return 0;
    size_t wanted = batch->count + 1;
    if (wanted < 512)
        wanted = 512 < max ? 512 : max;
    void *entries = batch->entries;
    KJ_TRY(kj_grow(&entries, &batch->capacity, wanted, sizeof *batch->entries));
    batch->entries = entries;
    return 0;
}

int kj_fetched_run(struct kaja_batch *batch, const struct kj_batch *header, const char *topic,
                   int32_t partition, struct kj_source *source)
{
    void *runs = batch->runs;
    KJ_TRY(kj_grow(&runs, &batch->run_capacity, batch->run_count + 1, sizeof *batch->runs));
    batch->runs = runs;
    if (batch->run_count > 0)
        batch->runs[batch->run_count - 1].end = batch->count;
    bool append_time = kj_batch_has(header, KJ_ATTR_LOG_APPEND_TIME);
    kj_source_hold(source);
    batch->runs[batch->run_count++] = (struct kj_run){
        .end = SIZE_MAX,
        .source = source,
        .topic = topic,
        .partition = partition,
        .epoch = header->epoch,
        .base_offset = header->base_offset,
        .base_timestamp = append_time ? header->max_timestamp : header->base_timestamp,
        .timestamp_type = append_time ? KAJA_LOG_APPEND_TIME : KAJA_CREATE_TIME,
    };
    return 0;
}
