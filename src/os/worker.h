/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/worker.h - the one background thread of a store, named, with all signals blocked. It runs one
 * function again and again; the function says when it wants to run next.
 */
#ifndef KJ_OS_WORKER_H
#define KJ_OS_WORKER_H

#include "os/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_worker;

/* Does what is due and returns when it wants to be called next (CLOCK_MONOTONIC ns; INT64_MAX: only
 * when poked). */
typedef int64_t kj_worker_run(void *arg);

/* 0 or errno. name: at most 15 characters. */
int kj_worker_start(const char *name, const struct kj_clock *clock, kj_worker_run *run, void *arg,
                    struct kj_worker **ret_worker);
/* Sleeps in the worker's place, as long as *state == idle, at most until until_ns; for no reason
 * shorter. False: it has nothing to wait for but state, and did not sleep. */
typedef bool kj_worker_sleep(void *arg, _Atomic uint32_t *state, uint32_t idle, int64_t until_ns);
/* The same with a sleep of the caller's own, which may end for other news too. */
int kj_worker_start_with(const char *name, const struct kj_clock *clock, kj_worker_run *run,
                         kj_worker_sleep *sleep, void *arg, struct kj_worker **ret_worker);
/* Runs the function soon. Cheap when it is running already (one atomic, no system call). Any
 * thread. */
void kj_worker_poke(struct kj_worker *worker);
/* Lets the function end, joins and frees. NULL is allowed. */
void kj_worker_stop(struct kj_worker *worker);

#endif
