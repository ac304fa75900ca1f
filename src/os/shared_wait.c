/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Sleeping until one of several words changes. The kernel compares and goes to sleep in one step,
 * so a change between our look and the sleep is not missed. Words lie in a shared file: the futexes
 * are those of the file, whoever has it mapped, and wherever.
 */
#include "os/shared_handle.h"

#include "base/assert.h"
#include "os/futex.h"

#include <errno.h>
#include <limits.h>

/* As in linux/futex.h of 5.16, which may be newer than the headers here. */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
enum { WAITV_32 = 2, WAITV_PRIVATE = 128 };
struct waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

/* Without futex_waitv: how late news of all but the first word may be. */
enum { ROUND_NS = 5000000 };

struct wait {
    struct kj_shared *shared;
    const kj_word *words;
    const uint32_t *expected;
    size_t count;
    _Atomic uint32_t *extra;
    uint32_t extra_expected;
};

static bool changed(const struct wait *wait)
{
    for (size_t i = 0; i < wait->count; i++)
        if ((uint32_t)kj_load_acquire(kj_shared_at(wait->shared, wait->words[i])) !=
            wait->expected[i])
            return true;
    return wait->extra != NULL && atomic_load(wait->extra) != wait->extra_expected;
}

/* 0, ETIMEDOUT, or ENOSYS. */
static int sleep_on_all(const struct wait *wait, int64_t deadline_ns)
{
    struct waitv list[KJ_SHARED_WAIT_MAX + 1];
    size_t count = 0;
    for (; count < wait->count; count++)
        list[count] = (struct waitv){.value = wait->expected[count],
                                     .address = kj_shared_futex(wait->shared, wait->words[count]),
                                     .flags = WAITV_32};
    if (wait->extra != NULL)
        list[count++] = (struct waitv){.value = wait->extra_expected,
                                       .address = (uintptr_t)wait->extra,
                                       .flags = WAITV_32 | WAITV_PRIVATE};
    struct timespec until = kj_timespec(deadline_ns);
    long woken = syscall(SYS_futex_waitv, list, count, 0, deadline_ns == INT64_MAX ? NULL : &until,
                         CLOCK_MONOTONIC);
    if (woken >= 0 || errno == EAGAIN || errno == EINTR)
        return 0;
    return errno == ETIMEDOUT ? ETIMEDOUT : ENOSYS;
}

/* One sleep on the first; the caller looks at all of them between rounds. */
static void sleep_on_first(const struct wait *wait, int64_t until_ns)
{
    if (wait->count > 0)
        kj_futex_wait(kj_shared_futex(wait->shared, wait->words[0]), 0, wait->expected[0],
                      until_ns);
    else
        kj_futex_wait((uintptr_t)wait->extra, FUTEX_PRIVATE_FLAG, wait->extra_expected, until_ns);
}

static int wait_in_rounds(struct kj_shared_handle *handle, const struct wait *wait,
                          int64_t deadline_ns)
{
    bool single = wait->count + (wait->extra != NULL) == 1;
    while (!changed(wait)) {
        int64_t now_ns = kj_mono_ns(handle->clock);
        if (now_ns >= deadline_ns)
            return ETIMEDOUT;
        bool whole = single || deadline_ns - now_ns < ROUND_NS;
        sleep_on_first(wait, whole ? deadline_ns : now_ns + ROUND_NS);
        if (single)
            return changed(wait) || kj_mono_ns(handle->clock) < deadline_ns ? 0 : ETIMEDOUT;
    }
    return 0;
}

static int wait_simulated(struct kj_shared_handle *handle, const struct wait *wait,
                          int64_t deadline_ns)
{
    while (!changed(wait))
        if (handle->sim->pause(handle->sim_arg, wait->shared, deadline_ns) == ETIMEDOUT)
            return changed(wait) ? 0 : ETIMEDOUT;
    return 0;
}

int kj_shared_wait(struct kj_shared *shared, const kj_word *words, const uint32_t *expected,
                   size_t count, _Atomic uint32_t *extra, uint32_t extra_expected,
                   int64_t deadline_ns)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    KJ_ASSERT(count <= KJ_SHARED_WAIT_MAX && (count > 0 || extra != NULL));
    for (size_t i = 0; i < count; i++)
        KJ_ASSERT(words[i] < kj_shared_words(shared));
    kj_shared_stepped(shared, KJ_STEP_WAIT, count > 0 ? words[0] : UINT64_MAX);
    struct wait wait = {.shared = shared,
                        .words = words,
                        .expected = expected,
                        .count = count,
                        .extra = extra,
                        .extra_expected = extra_expected};
    if (handle->sim != NULL)
        return wait_simulated(handle, &wait, deadline_ns);
    if (changed(&wait))
        return 0;
    if (kj_mono_ns(handle->clock) >= deadline_ns)
        return ETIMEDOUT;
    if (!atomic_load(&handle->no_futex_waitv)) {
        int err = sleep_on_all(&wait, deadline_ns);
        if (err != ENOSYS)
            return err;
        atomic_store(&handle->no_futex_waitv, true); /* an old kernel, or a filter */
    }
    return wait_in_rounds(handle, &wait, deadline_ns);
}

void kj_shared_wake(struct kj_shared *shared, kj_word word)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    kj_shared_stepped(shared, KJ_STEP_WAKE, word);
    if (handle->sim != NULL)
        handle->sim->wake(handle->sim_arg, shared, word);
    else
        kj_futex_wake(kj_shared_futex(shared, word), 0, INT_MAX);
}

void kj_shared_wake_extra(_Atomic uint32_t *extra)
{
    kj_futex_wake((uintptr_t)extra, FUTEX_PRIVATE_FLAG, INT_MAX);
}
