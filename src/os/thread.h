/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/thread.h - starting the library's own threads: every signal is blocked in them, so that the
 * host's handlers run in the host's threads.
 */
#ifndef KJ_OS_THREAD_H
#define KJ_OS_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* 0 or errno. stack_bytes: 0 is the system's default. The thread is to be joined. */
int kj_thread_start(void *(*run)(void *arg), void *arg, size_t stack_bytes, pthread_t *ret_thread);
/* Names the calling thread; at most 15 characters count. */
void kj_thread_name(const char *name);

#endif
