/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/file_error.h - the story of a failed operation on a file by its path. Links are never
 * followed, and directories, FIFOs, sockets and devices never read or written: what the kernel says
 * then (ELOOP, EISDIR, EINVAL, ENXIO) tells nobody what is wrong, and trying again never helps.
 */
#ifndef KJ_LOG_FILE_ERROR_H
#define KJ_LOG_FILE_ERROR_H

#include "os/io.h"

#include <stdbool.h>

/* True if something else than a regular file stands there. */
bool kj_not_a_file(struct kj_io *io, const char *path);
/* NOT_KAJA naming the path and what stands there, or 0 if that is not why os_errno came. */
int kj_file_in_the_way(struct kj_io *io, int os_errno, const char *path);
/* "<what> <path>: ..." */
int kj_file_error(struct kj_io *io, int os_errno, const char *what, const char *path);
/* Of kj_io_replace_file(): its <path>.tmp may be what is in the way. */
int kj_file_replace_error(struct kj_io *io, int os_errno, const char *path);

#endif
