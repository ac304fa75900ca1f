/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_map.h - what the newest record of each key in a partition of __consumer_offsets
 * says. Fed with batches in the order of the log; does no I/O. Kafka:
 * OffsetMetadataManager.replay().
 *
 * Offsets committed in a transaction count from its COMMIT marker on, and only over what was
 * committed before them. Records that cannot be understood are told of and passed over.
 */
#ifndef KJ_COORD_OFFSET_MAP_H
#define KJ_COORD_OFFSET_MAP_H

#include "base/hash.h"
#include "record/batch.h"
#include "record/batch_writer.h"
#include "record/coord_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_offset_owner;

/* One offset. */
struct kj_offset_kept {
    struct kj_offset_kept *prev, *next; /* of the group */
    struct kj_offset_owner *owner;
    int64_t offset;
    int64_t commit_ms;
    int64_t expire_ms; /* -1: none of its own */
    int64_t at;        /* offset of its record in the log */
    int32_t leader_epoch;
    int32_t partition;
    char *metadata; /* terminated; "" is NULL */
    size_t metadata_capacity;
    struct kj_span topic; /* in key */
    size_t key_bytes;     /* behind the version: two versions are one key */
    uint8_t key[];
};

/* A group: it is here while it has an offset or a record. */
struct kj_offset_owner {
    struct kj_offset_kept *first;
    size_t count;
    bool has_record, consumer;
    int32_t generation, member_count;
    int64_t state_ms;
    size_t id_bytes;
    char id[]; /* terminated */
};

struct kj_offset_pending;

/* Tells of a record that was passed over. */
typedef void kj_offset_odd_callback(void *arg, int64_t offset, const char *what);

struct kj_offset_map {
    struct kj_map entries; /* key behind the version -> entry */
    struct kj_map owners;  /* id -> owner */
    struct kj_offset_pending *pending, **pending_end; /* of open transactions, in order */
    struct kj_buffer plain;
    kj_offset_odd_callback *odd;
    void *odd_arg;
};

void kj_offset_map_init(struct kj_offset_map *map, kj_offset_odd_callback *odd, void *odd_arg);
/* Leaves an empty map. */
void kj_offset_map_clear(struct kj_offset_map *map);
/* A whole batch that was looked at; its CRC is checked here. OUT_OF_MEMORY: it can be given again.
 */
int kj_offset_map_batch(struct kj_offset_map *map, const struct kj_batch *batch,
                        const uint8_t *bytes);
/* NULL: none. */
struct kj_offset_owner *kj_offset_map_owner(const struct kj_offset_map *map, const char *group_id);
/* key: encoded, with its version. */
struct kj_offset_kept *kj_offset_map_get(const struct kj_offset_map *map, const uint8_t *key,
                                          size_t key_bytes);

#endif
