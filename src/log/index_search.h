/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/index_search.h - the search that the offset and the time index share. Nobody else includes
 * it.
 *
 * The last piece of the entries is read first: most lookups are for the newest data, and a file
 * that is shorter than the count is noticed whatever the target. Else a binary search reads single
 * entries until one piece is left, and goes on inside it. So a lookup costs 1 read at the end of
 * the file, at most 2 + log2(pieces) elsewhere, whatever the entries hold.
 */
#ifndef KJ_LOG_INDEX_SEARCH_H
#define KJ_LOG_INDEX_SEARCH_H

#include "os/io.h"

#include <stdbool.h>
#include <stdint.h>

enum { KJ_INDEX_PIECE_BYTES = 4096 };

/* Is the entry at p at or before the target? */
typedef bool kj_index_reaches(const uint8_t *p, int64_t base_offset, int64_t target);

struct kj_index_search {
    struct kj_file *file;
    uint32_t entry_bytes; /* at most 16 */
    kj_index_reaches *reaches;
    int64_t base_offset;
    int64_t target;
};

/* The last of the first count entries that reaches the target: its number to *ret_i and its bytes
 * to ret_entry; *ret_i = -1 if there is none. In a file whose entries do not rise it is some entry
 * that reaches the target, or none. 0 or errno; EIO if the file holds fewer than count. */
int kj_index_find(const struct kj_index_search *search, uint32_t count, int64_t *ret_i,
                  uint8_t *ret_entry);

/* Reads exactly len bytes at pos; EIO behind the end of the file. */
int kj_index_pread(struct kj_file *file, void *buf, size_t len, int64_t pos);

#endif
