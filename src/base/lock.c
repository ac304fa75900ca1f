/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/lock.h"

#include "base/assert.h"

#include <errno.h>
#include <time.h>

#ifdef KJ_DEBUG
enum { HELD_MAX = 16 };
static _Thread_local enum kj_lock_rank held_ranks[HELD_MAX];
static _Thread_local int held_count;

static void note_acquire(struct kj_lock *lock, bool tried)
{
    KJ_ASSERT(held_count < HELD_MAX);
    if (!tried)
        for (int i = 0; i < held_count; i++)
            KJ_ASSERT(held_ranks[i] < lock->rank);
    held_ranks[held_count++] = lock->rank;
    lock->owner = pthread_self();
    lock->held = true;
}

static void note_release(struct kj_lock *lock)
{
    KJ_ASSERT(lock->held && pthread_equal(lock->owner, pthread_self()));
    lock->held = false;
    for (int i = held_count - 1; i >= 0; i--)
        if (held_ranks[i] == lock->rank) {
            for (int j = i; j + 1 < held_count; j++)
                held_ranks[j] = held_ranks[j + 1];
            held_count--;
            return;
        }
    KJ_ASSERT(false && "released a lock that was not held");
}

bool kj_lock_held(const struct kj_lock *lock)
{
    return lock->held && pthread_equal(lock->owner, pthread_self());
}
#else
static inline void note_acquire(struct kj_lock *lock, bool tried)
{
    (void)lock;
    (void)tried;
}

static inline void note_release(struct kj_lock *lock)
{
    (void)lock;
}

bool kj_lock_held(const struct kj_lock *lock)
{
    (void)lock;
    return true;
}
#endif

void kj_lock_init(struct kj_lock *lock, enum kj_lock_rank rank)
{
    KJ_ASSERT(pthread_mutex_init(&lock->mutex, NULL) == 0);
    lock->rank = rank;
    lock->held = false;
}

void kj_lock_destroy(struct kj_lock *lock)
{
    KJ_ASSERT(pthread_mutex_destroy(&lock->mutex) == 0);
}

void kj_lock_acquire(struct kj_lock *lock)
{
    KJ_ASSERT(pthread_mutex_lock(&lock->mutex) == 0);
    note_acquire(lock, false);
}

bool kj_lock_try(struct kj_lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    note_acquire(lock, true);
    return true;
}

void kj_lock_release(struct kj_lock *lock)
{
    note_release(lock);
    KJ_ASSERT(pthread_mutex_unlock(&lock->mutex) == 0);
}

void kj_cond_init(struct kj_cond *cond)
{
    pthread_condattr_t attr;
    KJ_ASSERT(pthread_condattr_init(&attr) == 0);
    KJ_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    KJ_ASSERT(pthread_cond_init(&cond->cond, &attr) == 0);
    KJ_ASSERT(pthread_condattr_destroy(&attr) == 0);
}

void kj_cond_destroy(struct kj_cond *cond)
{
    KJ_ASSERT(pthread_cond_destroy(&cond->cond) == 0);
}

void kj_cond_wait(struct kj_cond *cond, struct kj_lock *lock)
{
    (void)kj_cond_wait_until(cond, lock, INT64_MAX);
}

bool kj_cond_wait_until(struct kj_cond *cond, struct kj_lock *lock, int64_t deadline_ns)
{
    note_release(lock);
    int err;
    if (deadline_ns == INT64_MAX) {
        err = pthread_cond_wait(&cond->cond, &lock->mutex);
    } else {
        if (deadline_ns < 0)
            deadline_ns = 0;
        struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                 .tv_nsec = (long)(deadline_ns % 1000000000)};
        err = pthread_cond_timedwait(&cond->cond, &lock->mutex, &until);
    }
    note_acquire(lock, true);
    KJ_ASSERT(err == 0 || err == ETIMEDOUT);
    return err == 0;
}

void kj_cond_signal(struct kj_cond *cond)
{
    KJ_ASSERT(pthread_cond_signal(&cond->cond) == 0);
}

void kj_cond_broadcast(struct kj_cond *cond)
{
    KJ_ASSERT(pthread_cond_broadcast(&cond->cond) == 0);
}
