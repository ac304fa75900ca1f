/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/buffer_pool.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

/* A kept buffer holds its own link. */
struct kj_pool_buffer {
    struct kj_pool_buffer *next;
};

struct kj_pool_waiter {
    struct kj_pool_waiter *next;
    struct kj_cond cond;
};

void kj_buffer_pool_init(struct kj_buffer_pool *pool, size_t total, size_t buffer_bytes)
{
    if (buffer_bytes < sizeof(struct kj_pool_buffer))
        buffer_bytes = sizeof(struct kj_pool_buffer);
    *pool = (struct kj_buffer_pool){
        .total = total,
        .buffer_bytes = buffer_bytes < total ? buffer_bytes : total,
    };
    pool->last = &pool->first;
    kj_lock_init(&pool->lock, KJ_RANK_BUFFERS);
}

/* Gives a kept buffer back to the system, a large one first. False: there is none. */
static bool drop_kept(struct kj_buffer_pool *pool)
{
    for (size_t i = 0; i < KJ_POOL_SIZES; i++) {
        struct kj_pool_buffer *buffer = pool->kept[i];
        if (buffer == NULL)
            continue;
        pool->kept[i] = buffer->next;
        pool->allocated -= pool->buffer_bytes >> i;
        kj_free(buffer);
        return true;
    }
    return false;
}

void kj_buffer_pool_destroy(struct kj_buffer_pool *pool)
{
    KJ_ASSERT(pool->first == NULL && pool->used == 0);
    while (drop_kept(pool))
        ;
    KJ_ASSERT(pool->allocated == 0);
    kj_lock_destroy(&pool->lock);
}

size_t kj_buffer_pool_size(const struct kj_buffer_pool *pool, size_t bytes, size_t share)
{
    if (bytes > pool->buffer_bytes)
        return bytes;
    size_t size = pool->buffer_bytes;
    for (int i = 1; i < KJ_POOL_SIZES; i++) {
        size_t half = pool->buffer_bytes >> i;
        if (half < bytes || half < KJ_POOL_BYTES_MIN || size <= pool->total / 2 / (share + 1))
            break;
        size = half;
    }
    return size;
}

/* Which of the kept sizes it is, KJ_POOL_SIZES: none. */
static size_t kept_index(const struct kj_buffer_pool *pool, size_t size)
{
    size_t i = 0;
    while (i < KJ_POOL_SIZES && pool->buffer_bytes >> i != size)
        i++;
    return i;
}

static bool fits(const struct kj_buffer_pool *pool, size_t size)
{
    return size <= pool->total - pool->used;
}

/* Lock held, the allowance is there. NULL: no memory. */
static uint8_t *take_now(struct kj_buffer_pool *pool, size_t size)
{
    struct kj_pool_buffer *buffer;
    size_t i = kept_index(pool, size);
    if (i < KJ_POOL_SIZES && pool->kept[i] != NULL) {
        buffer = pool->kept[i];
        pool->kept[i] = buffer->next;
    } else {
        while (size > pool->total - pool->allocated && drop_kept(pool))
            ;
        buffer = kj_alloc_aligned(64, size);
        if (buffer == NULL)
            return NULL;
        pool->allocated += size;
    }
    pool->used += size;
    return (uint8_t *)buffer;
}

uint8_t *kj_buffer_pool_try(struct kj_buffer_pool *pool, size_t size, bool *ret_full)
{
    uint8_t *buffer = NULL;
    kj_lock_acquire(&pool->lock);
    *ret_full = pool->first != NULL || !fits(pool, size);
    if (!*ret_full)
        buffer = take_now(pool, size);
    kj_lock_release(&pool->lock);
    return buffer;
}

static void wake_first(struct kj_buffer_pool *pool)
{
    if (pool->first != NULL)
        kj_cond_signal(&pool->first->cond);
}

static void leave_queue(struct kj_buffer_pool *pool, struct kj_pool_waiter *waiter)
{
    struct kj_pool_waiter **at = &pool->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    if (pool->last == &waiter->next)
        pool->last = at;
}

int kj_buffer_pool_take(struct kj_buffer_pool *pool, size_t size, int64_t deadline_ns,
                        kj_pool_stop *stop, void *arg, uint8_t **ret_buffer)
{
    struct kj_pool_waiter waiter = {.next = NULL};
    KJ_ASSERT(size <= pool->total);
    kj_cond_init(&waiter.cond);
    kj_lock_acquire(&pool->lock);
    *pool->last = &waiter;
    pool->last = &waiter.next;
    bool in_time = true;
    while (in_time && !(pool->first == &waiter && fits(pool, size))) {
        int64_t until = deadline_ns;
        if (stop != NULL && stop(arg, &until))
            break;
        in_time = kj_cond_wait_until(&waiter.cond, &pool->lock, until) || until < deadline_ns;
    }
    bool mine = pool->first == &waiter && fits(pool, size);
    uint8_t *buffer = mine ? take_now(pool, size) : NULL;
    leave_queue(pool, &waiter);
    /* What is left may do for the next one. */
    wake_first(pool);
    size_t used = pool->used;
    kj_lock_release(&pool->lock);
    kj_cond_destroy(&waiter.cond);
    if (!mine)
        return kj_err(KAJA_ERR_BUFFER_EXHAUSTED,
                      "%zu bytes are wanted, %zu of buffer.memory's %zu are in use", size, used,
                      pool->total);
    if (buffer == NULL)
        return kj_err_oom("a batch");
    *ret_buffer = buffer;
    return 0;
}

void kj_buffer_pool_give_memory(struct kj_buffer_pool *pool, uint8_t *buffer, size_t size)
{
    size_t i = kept_index(pool, size);
    kj_lock_acquire(&pool->lock);
    if (i < KJ_POOL_SIZES) {
        struct kj_pool_buffer *kept = (struct kj_pool_buffer *)(void *)buffer;
        kept->next = pool->kept[i];
        pool->kept[i] = kept;
        buffer = NULL;
    } else {
        pool->allocated -= size;
    }
    kj_lock_release(&pool->lock);
    kj_free(buffer);
}

void kj_buffer_pool_give_allowance(struct kj_buffer_pool *pool, size_t size)
{
    kj_lock_acquire(&pool->lock);
    KJ_ASSERT(size <= pool->used);
    pool->used -= size;
    wake_first(pool);
    kj_lock_release(&pool->lock);
}

size_t kj_buffer_pool_used(struct kj_buffer_pool *pool)
{
    kj_lock_acquire(&pool->lock);
    size_t used = pool->used;
    kj_lock_release(&pool->lock);
    return used;
}
