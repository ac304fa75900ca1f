/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/futex.h - the system calls for sleeping on 32 bits of memory.
 */
#ifndef KJ_OS_FUTEX_H
#define KJ_OS_FUTEX_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline struct timespec kj_timespec(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

/* flags: FUTEX_PRIVATE_FLAG for memory of this process, 0 for shared memory. until_ns:
 * CLOCK_MONOTONIC, INT64_MAX for ever. -1 and errno on failure, as the call itself. */
static inline long kj_futex_wait(uintptr_t address, int flags, uint32_t expected, int64_t until_ns)
{
    struct timespec until = kj_timespec(until_ns);
    return syscall(SYS_futex, address, FUTEX_WAIT_BITSET | flags, expected,
                   until_ns == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline void kj_futex_wake(uintptr_t address, int flags, int count)
{
    (void)syscall(SYS_futex, address, FUTEX_WAKE | flags, count, NULL, NULL, 0);
}

#endif
