/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/limits.h - what the system allows this process, and who we are.
 */
#ifndef KJ_OS_LIMITS_H
#define KJ_OS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Descriptors that this process may have open (RLIMIT_NOFILE), SIZE_MAX without a limit. */
size_t kj_limit_files(void);
/* Maps that a process may have (vm.max_map_count). */
size_t kj_limit_maps(void);
/* The process id in its own PID namespace: for people to read only. */
uint32_t kj_process_id(void);

#endif
