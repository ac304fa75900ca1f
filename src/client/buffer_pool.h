/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/buffer_pool.h - buffer.memory of one producer: buffers of a few sizes, reused, and larger
 * ones for records that do not fit into them. The sizes are batch.size, its half, quarter ...:
 * where records go to so many partitions that an open batch of each would fill buffer.memory, the
 * batches are smaller.
 *
 * Two things are handed out together and come back apart:
 *   the memory     a buffer; free again as soon as its bytes stand in the page cache
 *   the allowance  its size, counted against buffer.memory; free again when the batch is
 *                  acknowledged, so that buffer.memory bounds what is not acknowledged yet
 * Memory in use never exceeds the allowance in use, so buffer.memory bounds both.
 *
 * The memory given back last is handed out first: it is still in the processor's caches.
 * Kafka: BufferPool.
 */
#ifndef KJ_CLIENT_BUFFER_POOL_H
#define KJ_CLIENT_BUFFER_POOL_H

#include "base/atomic.h"
#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_POOL_SIZES = 5, KJ_POOL_BYTES_MIN = 512 };

struct kj_pool_waiter;
struct kj_pool_buffer;

struct kj_buffer_pool {
    struct kj_lock lock;
    size_t total;                               /* buffer.memory */
    size_t buffer_bytes;                        /* of the largest kept buffers, at most total */
    size_t used;                                /* allowance handed out */
    size_t allocated;                           /* bytes of memory handed out or kept */
    struct kj_pool_buffer *kept[KJ_POOL_SIZES]; /* of buffer_bytes >> i */
    struct kj_pool_waiter *first, **last;       /* those who wait, in order of arrival */
    kj_atomic_u64 wanted; /* threads that want memory which open batches may hold */
};

void kj_buffer_pool_init(struct kj_buffer_pool *pool, size_t total, size_t buffer_bytes);
/* Everything must have been given back. */
void kj_buffer_pool_destroy(struct kj_buffer_pool *pool);

/* The size of a buffer for at least bytes, if share of that kind are to take no more than half of
 * the memory. */
size_t kj_buffer_pool_size(const struct kj_buffer_pool *pool, size_t bytes, size_t share);

/* A buffer of size (as from above) with its allowance, or NULL with nothing told: it is full, or
 * others wait already (then *ret_full), or there is no memory. Never blocks. */
uint8_t *kj_buffer_pool_try(struct kj_buffer_pool *pool, size_t size, bool *ret_full);
/* The same, waiting in turn until deadline_ns. stop (may be NULL) is asked whether to give up, and
 * lowers *look_ns to when it wants to be asked again; it takes no lock. BUFFER_EXHAUSTED,
 * OUT_OF_MEMORY. */
typedef bool kj_pool_stop(void *arg, int64_t *look_ns);
int kj_buffer_pool_take(struct kj_buffer_pool *pool, size_t size, int64_t deadline_ns,
                        kj_pool_stop *stop, void *arg, uint8_t **ret_buffer);
void kj_buffer_pool_give_memory(struct kj_buffer_pool *pool, uint8_t *buffer, size_t size);
void kj_buffer_pool_give_allowance(struct kj_buffer_pool *pool, size_t size);
size_t kj_buffer_pool_used(struct kj_buffer_pool *pool);

/* Says that somebody wants memory, or no longer does; kj_sender_want_memory() tells the worker too. */
static inline void kj_buffer_pool_want(struct kj_buffer_pool *pool, bool want)
{
    kj_fetch_add(&pool->wanted, want ? 1 : UINT64_MAX);
}

static inline bool kj_buffer_pool_wanted(const struct kj_buffer_pool *pool)
{
    return kj_load_relaxed(&pool->wanted) != 0;
}

#endif
