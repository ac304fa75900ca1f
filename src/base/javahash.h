/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/javahash.h - Java's String.hashCode, by which Kafka chooses the partition of a group in
 * __consumer_offsets (and of a transactional id in __transaction_state).
 */
#ifndef KJ_BASE_JAVAHASH_H
#define KJ_BASE_JAVAHASH_H

#include <stddef.h>
#include <stdint.h>

/* Hash of UTF-8 text over its UTF-16 units: h = 31 h + unit. A byte that is not UTF-8 counts as the
 * replacement character U+FFFD. */
int32_t kj_javahash(const char *text, size_t bytes);

/* Partition of a hash among n > 0: its absolute value modulo n, -2^31 counting as 0. */
static inline int32_t kj_partition_for_group(int32_t hash, int32_t n)
{
    return hash == INT32_MIN ? 0 : (hash < 0 ? -hash : hash) % n;
}

#endif
