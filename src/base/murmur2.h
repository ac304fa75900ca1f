/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/murmur2.h - the hash by which Kafka's clients choose the partition of a key, and nothing
 * else. Kafka: Utils.murmur2.
 */
#ifndef KJ_BASE_MURMUR2_H
#define KJ_BASE_MURMUR2_H

#include <stddef.h>
#include <stdint.h>

int32_t kj_murmur2(const void *p, size_t n);

/* The partition of a key among n > 0: the sign bit is masked off, not negated. */
static inline int32_t kj_partition_for_key(const void *key, size_t key_bytes, int32_t n)
{
    return (kj_murmur2(key, key_bytes) & 0x7fffffff) % n;
}

#endif
