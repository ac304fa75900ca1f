/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/bell.h - a descriptor that is readable while something waits, for programs that sleep in
 * poll() or epoll_wait() with others.
 */
#ifndef KJ_OS_BELL_H
#define KJ_OS_BELL_H

/* 0 or errno; the descriptor is not readable. */
int kj_bell_open(int *ret_fd);
void kj_bell_close(int fd);
/* Any number of rings before are one; neither waits. */
void kj_bell_ring(int fd);
void kj_bell_quiet(int fd);

#endif
