/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/atomic.h - the only file that names memory orders. Each use of these says with what it
 * pairs: "pairs with <function>: X is seen before Y". Words shared between processes go through
 * os/shared, which is built on these.
 */
#ifndef KJ_BASE_ATOMIC_H
#define KJ_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t kj_atomic_u64;
typedef _Atomic uint32_t kj_atomic_u32;

static inline uint64_t kj_load_acquire(const kj_atomic_u64 *p)
{
    return atomic_load_explicit(p, memory_order_acquire);
}

static inline uint64_t kj_load_relaxed(const kj_atomic_u64 *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static inline void kj_store_release(kj_atomic_u64 *p, uint64_t v)
{
    atomic_store_explicit(p, v, memory_order_release);
}

static inline void kj_store_relaxed(kj_atomic_u64 *p, uint64_t v)
{
    atomic_store_explicit(p, v, memory_order_relaxed);
}

/* Full barrier on success and on failure; *expected receives what was found. */
static inline bool kj_cas(kj_atomic_u64 *p, uint64_t *expected, uint64_t v)
{
    return atomic_compare_exchange_strong_explicit(p, expected, v, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}

static inline uint64_t kj_fetch_add(kj_atomic_u64 *p, uint64_t v)
{
    return atomic_fetch_add_explicit(p, v, memory_order_seq_cst);
}

/* Counters that nobody orders anything by. */
static inline uint64_t kj_fetch_add_relaxed(kj_atomic_u64 *p, uint64_t v)
{
    return atomic_fetch_add_explicit(p, v, memory_order_relaxed);
}

/* Orders an earlier store before a later load (store-load), for sleep/wake handshakes. */
static inline void kj_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

#endif
