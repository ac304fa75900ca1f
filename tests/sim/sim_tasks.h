/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/sim/sim_tasks.h - several processes in one, one step at a time. A task is a thread of such
 * a process; exactly one runs, until it yields: at each step of shared words and of files (give the
 * hooks below to kj_shared and kj_io). Who goes on is drawn from the seed, so a seed is a history
 * that can be played again.
 *
 * Time stands still but for a little with each look at the clock; when everybody waits it jumps to
 * the earliest deadline.
 */
#ifndef SIM_TASKS_H
#define SIM_TASKS_H

#include "os/clock.h"
#include "os/shared.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_sim_tasks;

/* switch_pct: how often a step is a change of tasks, of 100. */
struct kj_sim_tasks *kj_sim_tasks_new(uint64_t seed, unsigned switch_pct);
/* Tasks of killed processes, and stuck ones, keep their threads, parked, so that what they held is
 * not reported as leaked. False if there are such: what they use must stay too. */
bool kj_sim_tasks_free(struct kj_sim_tasks *tasks);

/* Before the run, or from a task. process: a number that kj_sim_kill() can name. */
void kj_sim_task_add(struct kj_sim_tasks *tasks, unsigned process, void (*run)(void *arg),
                     void *arg);
/* Until every task has ended or was killed. False: those left wait for each other for ever. */
bool kj_sim_tasks_run(struct kj_sim_tasks *tasks);

/* From a task: perhaps others first. */
void kj_sim_yield(struct kj_sim_tasks *tasks);
/* From a task: others go on; 0 when something may have changed, ETIMEDOUT at the deadline. From
 * outside of any task: ETIMEDOUT, and time has passed. */
int kj_sim_pause(struct kj_sim_tasks *tasks, int64_t deadline_ns);
/* Others go on for so long, whatever changes: what a stopped process does. */
void kj_sim_sleep(struct kj_sim_tasks *tasks, int64_t ns);
/* Something has changed that others may wait for. */
void kj_sim_stir(struct kj_sim_tasks *tasks);
/* The process dies at once, with whatever it holds; does not return if it is the caller's. */
void kj_sim_kill(struct kj_sim_tasks *tasks, unsigned process);
/* The caller's process; UINT32_MAX outside of any task. */
unsigned kj_sim_process(const struct kj_sim_tasks *tasks);
/* Called for each process that is killed. */
void kj_sim_on_kill(struct kj_sim_tasks *tasks, void (*on_kill)(void *arg, unsigned process),
                    void *arg);

/* A number from the seed. */
uint64_t kj_sim_draw(struct kj_sim_tasks *tasks, uint64_t below);
/* A hash of every choice so far: the same for the same seed. */
uint64_t kj_sim_trace(const struct kj_sim_tasks *tasks);
/* Time, and random bytes from the seed. */
const struct kj_clock *kj_sim_tasks_clock(struct kj_sim_tasks *tasks);

/* Hooks; their arg is the tasks. */
int kj_sim_io_step(void *arg, const char *op, const char *path);
kj_shared_step_fn kj_sim_shared_step;

#endif
