/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/lock.h - mutex and condition of one process, with a rank (base/lock_table.h). A debug build
 * asserts that ranks rise and can answer "do I hold it?".
 */
#ifndef KJ_BASE_LOCK_H
#define KJ_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum kj_lock_rank {
#define KJ_LOCK(name, rank, what) KJ_RANK_##name = (rank),
#include "base/lock_table.h"
#undef KJ_LOCK
};

struct kj_lock {
    pthread_mutex_t mutex;
    enum kj_lock_rank rank;
    pthread_t owner; /* debug builds only; meaningful while held */
    bool held;
};

void kj_lock_init(struct kj_lock *lock, enum kj_lock_rank rank);
void kj_lock_destroy(struct kj_lock *lock);
void kj_lock_acquire(struct kj_lock *lock);
bool kj_lock_try(struct kj_lock *lock); /* may be taken out of order: it never waits */
void kj_lock_release(struct kj_lock *lock);
/* For KJ_ASSERT_SLOW: true if the caller holds it (always true outside debug builds). */
bool kj_lock_held(const struct kj_lock *lock);

/* A condition on CLOCK_MONOTONIC. */
struct kj_cond {
    pthread_cond_t cond;
};

void kj_cond_init(struct kj_cond *cond);
void kj_cond_destroy(struct kj_cond *cond);
void kj_cond_wait(struct kj_cond *cond, struct kj_lock *lock);
/* deadline_ns: CLOCK_MONOTONIC; INT64_MAX waits for ever. False if it passed. */
bool kj_cond_wait_until(struct kj_cond *cond, struct kj_lock *lock, int64_t deadline_ns);
void kj_cond_signal(struct kj_cond *cond);
void kj_cond_broadcast(struct kj_cond *cond);

#endif
