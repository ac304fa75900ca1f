/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>

static int64_t now_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(void *arg)
{
    (void)arg;
    return now_ns(CLOCK_REALTIME_COARSE) / 1000000;
}

static int64_t system_mono_ns(void *arg)
{
    (void)arg;
    return now_ns(CLOCK_MONOTONIC);
}

/* Where getrandom() is refused (a filter): what the kernel gave this process at its start, with
 * time and a counter stirred in. Unique, and as secret as the process's memory. */
static void stir(uint8_t *to, size_t bytes)
{
    static _Atomic uint64_t counter;
    uint64_t seed[2] = {0, 0};
    const void *from_kernel = (const void *)getauxval(AT_RANDOM);
    if (from_kernel != NULL)
        memcpy(seed, from_kernel, sizeof seed);
    uint64_t state =
        seed[0] ^ (uint64_t)now_ns(CLOCK_MONOTONIC) ^ (uint64_t)now_ns(CLOCK_REALTIME) << 20;
    while (bytes > 0) {
        state += 0x9e3779b97f4a7c15u + atomic_fetch_add(&counter, 1);
        uint64_t z = state ^ seed[1];
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        size_t n = bytes < sizeof z ? bytes : sizeof z;
        memcpy(to, &z, n);
        to += n;
        bytes -= n;
    }
}

static void system_random(void *arg, void *buf, size_t bytes)
{
    (void)arg;
    uint8_t *to = buf;
    while (bytes > 0) {
        ssize_t n = getrandom(to, bytes, 0);
        if (n < 0 && errno != EINTR) {
            stir(to, bytes);
            return;
        }
        if (n > 0) {
            to += n;
            bytes -= (size_t)n;
        }
    }
}

const struct kj_clock kj_clock_system = {
    .wall_ms = system_wall_ms, .mono_ns = system_mono_ns, .random = system_random};

int64_t kj_deadline_ns(const struct kj_clock *clock, int64_t timeout_ms)
{
    int64_t timeout_ns, deadline_ns;
    if (timeout_ms < 0 || __builtin_mul_overflow(timeout_ms, (int64_t)1000000, &timeout_ns) ||
        __builtin_add_overflow(kj_mono_ns(clock), timeout_ns, &deadline_ns))
        return INT64_MAX;
    return deadline_ns;
}
