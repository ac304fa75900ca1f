/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/sim/sim_shared.h - the shared words and locks of one directory, in memory: what os/shared.h
 * needs from a system, for processes of tests/sim/sim_tasks.h. Words are ordinary memory (atomics
 * of one real process); a killed process loses its locks and leaves its words as they are.
 *
 *     struct kj_shared_options options = {.root_fd = -1, .lock_name = "l", .control_name = "c",
 *         .clock = kj_sim_tasks_clock(tasks), .step = kj_sim_shared_step, .step_arg = tasks,
 *         .sim = &kj_sim_shared_ops, .sim_arg = shared_files};
 */
#ifndef SIM_SHARED_H
#define SIM_SHARED_H

#include "os/shared.h"
#include "sim/sim_tasks.h"

struct kj_sim_shared;

/* One directory's lock file and control file. Takes the tasks' kill hook. */
struct kj_sim_shared *kj_sim_shared_new(struct kj_sim_tasks *tasks);
/* After every handle of it was closed, or its process killed. */
void kj_sim_shared_free(struct kj_sim_shared *files);
/* The system goes down: every lock is dropped, the control file stays with garbage in it. */
void kj_sim_shared_crash(struct kj_sim_shared *files);

extern const struct kj_shared_sim_ops kj_sim_shared_ops;

#endif
