/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/clock.h - time and randomness as seams: a simulation puts its own behind them.
 */
#ifndef KJ_OS_CLOCK_H
#define KJ_OS_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct kj_clock {
    int64_t (*wall_ms)(void *arg);                      /* ms since the Unix epoch; may jump */
    int64_t (*mono_ns)(void *arg);                      /* never goes back; all timeouts */
    void (*random)(void *arg, void *buf, size_t bytes); /* for ids: unpredictable in production */
    void *arg;
};

/* CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC, getrandom(). */
extern const struct kj_clock kj_clock_system;

static inline int64_t kj_wall_ms(const struct kj_clock *clock)
{
    return clock->wall_ms(clock->arg);
}

static inline int64_t kj_mono_ns(const struct kj_clock *clock)
{
    return clock->mono_ns(clock->arg);
}

/* now + timeout_ms, INT64_MAX for a negative timeout or on overflow. */
int64_t kj_deadline_ns(const struct kj_clock *clock, int64_t timeout_ms);

#endif
