/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/partitioner.h"

#include "base/assert.h"

void kj_sticky_init(struct kj_sticky *sticky, uint64_t seed)
{
    kj_store_relaxed(&sticky->partition, UINT64_MAX);
    kj_store_relaxed(&sticky->bytes, 0);
    kj_store_relaxed(&sticky->random, seed | 1);
}

/* xorshift64*: enough to spread batches, and no system call. */
static uint32_t draw(struct kj_sticky *sticky)
{
    uint64_t x = kj_load_relaxed(&sticky->random);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    kj_store_relaxed(&sticky->random, x);
    return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static int32_t below(struct kj_sticky *sticky, int32_t n)
{
    return (int32_t)((uint64_t)draw(sticky) * (uint64_t)n >> 32);
}

int32_t kj_sticky_next(struct kj_sticky *sticky, int32_t count, kj_sticky_queue *queue, void *arg)
{
    KJ_ASSERT(count > 0);
    uint64_t old = kj_load_relaxed(&sticky->partition);
    bool known = old < (uint64_t)count;
    int32_t choices = known && count > 1 ? count - 1 : count;
    int32_t next = below(sticky, choices);
    if (queue != NULL && choices > 1) {
        /* Two draws and the shorter queue: nearly as even as looking at all of them. */
        int32_t other = below(sticky, choices);
        int32_t skip = known ? (int32_t)old : count;
        if (queue(arg, other + (other >= skip)) < queue(arg, next + (next >= skip)))
            next = other;
    }
    if (choices < count && next >= (int32_t)old)
        next++;
    kj_store_relaxed(&sticky->partition, (uint64_t)next);
    kj_store_relaxed(&sticky->bytes, 0);
    return next;
}
