/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean_map.h - key -> its last offset, for one round of compaction. Bounded: the keys themselves are
 * not kept, only 16 bytes of XXH3-128 under a secret drawn for the round.
 *
 * Two keys with the same 16 bytes would lose the older one's record. By chance that takes 2^64 keys; the
 * secret keeps whoever chooses keys from looking for such a pair. Kafka: SkimpyOffsetMap (MD5).
 */
#ifndef KJ_LOG_CLEAN_MAP_H
#define KJ_LOG_CLEAN_MAP_H

#include "os/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_CLEAN_SECRET_BYTES = 192 };

struct kj_clean_slot {
    uint64_t low, high; /* of the hash */
    int64_t next; /* the offset + 1; 0: empty */
};

struct kj_clean_map {
    struct kj_clean_slot *slots;
    size_t slot_count; /* a power of two */
    size_t count, count_max;
    uint8_t secret[KJ_CLEAN_SECRET_BYTES];
};

/* Begins small and doubles at need, up to the largest table of at most max_bytes; while it grows the old table
 * stands beside the new one. OUT_OF_MEMORY. */
int kj_clean_map_init(struct kj_clean_map *map, const struct kj_clock *clock, size_t max_bytes);
void kj_clean_map_free(struct kj_clean_map *map);
/* Notes the newest offset of a key. False, and nothing noted: it is new and there is no place left, in the
 * bound or in memory. */
bool kj_clean_map_put(struct kj_clean_map *map, const void *key, size_t key_bytes, int64_t offset);
/* -1: not there. */
int64_t kj_clean_map_get(const struct kj_clean_map *map, const void *key, size_t key_bytes);

#endif
