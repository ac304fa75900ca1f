/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/whole_file.h - reading a file that the user named, wherever it lies: properties. Unlike the
 * files of a directory (os/io.h) it may be reached through links, or be a pipe.
 */
#ifndef KJ_OS_WHOLE_FILE_H
#define KJ_OS_WHOLE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Its bytes with a NUL behind them, kj_free() by the caller. 0 or errno; EFBIG beyond max_bytes,
 * EISDIR. */
int kj_whole_file_read(const char *path, size_t max_bytes, uint8_t **ret_bytes, size_t *ret_len);

#endif
