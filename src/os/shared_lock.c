/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Locks between handles: OFD byte ranges on the lock file, which the kernel drops when their
 * owner's descriptor goes, by close or by death.
 *
 * Waiting. The kernel can wait for such a lock (F_OFD_SETLKW), but not with a deadline. So a waiter
 * counts itself in the waiter word's high half, tries once more, and sleeps until the low half
 * changes; an unlock that finds sleepers changes it and wakes one:
 *
 *     waiter: sleepers + 1; seq = low half; try -> EAGAIN; sleep while low half == seq
 *     owner:  unlock; sleepers != 0: low half + 1; wake one
 *
 * Either the owner sees the sleeper, or the sleeper's try comes after the unlock. What is woken may
 * die before it takes the lock, and an owner may die without waking anybody: therefore a sleep
 * lasts 10 ms at most.
 */
#include "os/shared_handle.h"

#include "base/assert.h"
#include "os/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
    SPIN_TRIES = 6,      /* with growing pauses between them, a few microseconds together */
    ROUND_NS = 10000000, /* the longest sleep */
    NAP_FIRST_NS = 50000 /* without a waiter word */
};

static const uint64_t one_sleeper = (uint64_t)1 << 32;

static int open_regular(struct kj_shared_handle *handle)
{
    int flags = handle->read_only ? O_RDONLY : O_RDWR | O_CREAT;
    int fd;
    do
        fd = openat(handle->root_fd, handle->lock_name,
                    flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno;
    struct stat st;
    int err = fstat(fd, &st) != 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (err == 0)
        handle->lock_fd = fd;
    else
        close(fd);
    return err;
}

int kj_shared_lock_file_open(struct kj_shared_handle *handle)
{
    /* A fork between opening and noting would leave the child a descriptor that nobody closes. */
    kj_fork_hold();
    int err = 0;
    if (handle->lock_fd < 0)
        err = open_regular(handle);
    kj_fork_allow();
    return err;
}

bool kj_shared_lock_current(struct kj_shared *shared)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    if (handle->sim != NULL)
        return true;
    struct stat ours, named;
    int fd = handle->lock_fd;
    return fd >= 0 && fstat(fd, &ours) == 0 &&
           fstatat(handle->root_fd, handle->lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static struct flock range_of(uint64_t lock, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)lock, .l_len = 1};
}

static int try_lock(struct kj_shared_handle *handle, uint64_t lock, enum kj_lock_mode mode)
{
    if (handle->read_only)
        return EROFS;
    if (handle->sim != NULL)
        return handle->sim->try_lock(handle->sim_arg, &handle->shared, lock, (int)mode);
    struct flock range = range_of(lock, mode == KJ_LOCK_SHARED ? F_RDLCK : F_WRLCK);
    while (fcntl(handle->lock_fd, F_OFD_SETLK, &range) != 0)
        if (errno != EINTR)
            return errno == EACCES ? EAGAIN : errno;
    return 0;
}

int kj_shared_try_lock(struct kj_shared *shared, uint64_t lock, enum kj_lock_mode mode)
{
    kj_shared_stepped(shared, KJ_STEP_LOCK, lock);
    return try_lock(kj_shared_handle(shared), lock, mode);
}

bool kj_shared_lock_held(struct kj_shared *shared, uint64_t lock)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    kj_shared_stepped(shared, KJ_STEP_LOCK, lock);
    if (handle->sim != NULL)
        return handle->sim->held(handle->sim_arg, shared, lock);
    if (handle->lock_fd < 0 && kj_shared_lock_file_open(handle) != 0)
        return false; /* there is no lock file yet */
    struct flock range = range_of(lock, F_WRLCK);
    while (fcntl(handle->lock_fd, F_OFD_GETLK, &range) != 0)
        if (errno != EINTR)
            return false;
    return range.l_type != F_UNLCK;
}

/* --- the waiter word --- */

/* Each half is changed without disturbing the other. The word is input: it may hold anything, so
 * the count stops at both ends. */
static void count_sleeper(kj_atomic_u64 *word)
{
    uint64_t seen = kj_load_relaxed(word);
    while (seen >> 32 != UINT32_MAX && !kj_cas(word, &seen, seen + one_sleeper))
        ;
}

static void discount_sleeper(kj_atomic_u64 *word)
{
    uint64_t seen = kj_load_relaxed(word);
    while (seen >> 32 != 0 && !kj_cas(word, &seen, seen - one_sleeper))
        ;
}

static void raise_sequence(kj_atomic_u64 *word)
{
    uint64_t seen = kj_load_relaxed(word);
    while (!kj_cas(word, &seen, (seen >> 32 << 32) | (uint32_t)(seen + 1)))
        ;
}

/* --- waiting --- */

static void relax(unsigned times)
{
    while (times-- > 0) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    }
}

static int spin(struct kj_shared_handle *handle, uint64_t lock, enum kj_lock_mode mode)
{
    int err = try_lock(handle, lock, mode);
    for (unsigned i = 0; err == EAGAIN && i < SPIN_TRIES; i++) {
        relax(4u << i);
        err = try_lock(handle, lock, mode);
    }
    return err;
}

static int64_t round_end(int64_t now_ns, int64_t round_ns, int64_t deadline_ns)
{
    return deadline_ns - now_ns < round_ns ? deadline_ns : now_ns + round_ns;
}

static int lock_sleeping(struct kj_shared_handle *handle, uint64_t lock, enum kj_lock_mode mode,
                         kj_word waiters, int64_t deadline_ns)
{
    kj_atomic_u64 *word = kj_shared_at(&handle->shared, waiters);
    uintptr_t futex = kj_shared_futex(&handle->shared, waiters);
    int err;
    count_sleeper(word); /* pairs with kj_shared_unlock(): counted before our next try */
    for (;;) {
        uint32_t sequence = (uint32_t)kj_load_acquire(word);
        err = try_lock(handle, lock, mode);
        if (err != EAGAIN)
            break;
        int64_t now_ns = kj_mono_ns(handle->clock);
        if (now_ns >= deadline_ns)
            break;
        kj_shared_stepped(&handle->shared, KJ_STEP_WAIT, waiters);
        kj_futex_wait(futex, 0, sequence, round_end(now_ns, ROUND_NS, deadline_ns));
    }
    discount_sleeper(word);
    return err;
}

static int lock_napping(struct kj_shared_handle *handle, uint64_t lock, enum kj_lock_mode mode,
                        int64_t deadline_ns)
{
    int64_t nap_ns = NAP_FIRST_NS;
    for (;;) {
        int64_t now_ns = kj_mono_ns(handle->clock);
        if (now_ns >= deadline_ns)
            return EAGAIN;
        struct timespec until = kj_timespec(round_end(now_ns, nap_ns, deadline_ns));
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        nap_ns = nap_ns * 2 < ROUND_NS ? nap_ns * 2 : ROUND_NS;
        int err = try_lock(handle, lock, mode);
        if (err != EAGAIN)
            return err;
    }
}

static int lock_simulated(struct kj_shared_handle *handle, uint64_t lock, enum kj_lock_mode mode,
                          int64_t deadline_ns)
{
    for (;;) {
        int err = try_lock(handle, lock, mode);
        if (err != EAGAIN)
            return err;
        if (handle->sim->pause(handle->sim_arg, &handle->shared, deadline_ns) == ETIMEDOUT)
            return EAGAIN;
    }
}

int kj_shared_lock(struct kj_shared *shared, uint64_t lock, enum kj_lock_mode mode, kj_word waiters,
                   int64_t deadline_ns)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    kj_shared_stepped(shared, KJ_STEP_LOCK, lock);
    if (handle->sim != NULL)
        return lock_simulated(handle, lock, mode, deadline_ns);
    int err = spin(handle, lock, mode);
    if (err != EAGAIN)
        return err;
    if (waiters == UINT32_MAX)
        return lock_napping(handle, lock, mode, deadline_ns);
    KJ_ASSERT(waiters < kj_shared_words(shared));
    return lock_sleeping(handle, lock, mode, waiters, deadline_ns);
}

void kj_shared_unlock(struct kj_shared *shared, uint64_t lock, kj_word waiters)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    kj_shared_stepped(shared, KJ_STEP_UNLOCK, lock);
    if (handle->sim != NULL) {
        handle->sim->unlock(handle->sim_arg, shared, lock);
        return;
    }
    struct flock range = range_of(lock, F_UNLCK);
    while (fcntl(handle->lock_fd, F_OFD_SETLK, &range) != 0 && errno == EINTR)
        ;
    if (waiters == UINT32_MAX)
        return;
    kj_fence(); /* pairs with count_sleeper(): the unlock is done before we look for sleepers */
    kj_atomic_u64 *word = kj_shared_at(shared, waiters);
    if (kj_load_relaxed(word) >> 32 == 0)
        return;
    raise_sequence(word);
    kj_futex_wake(kj_shared_futex(shared, waiters), 0, 1);
}
