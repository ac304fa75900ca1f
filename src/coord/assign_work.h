/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_work.h - what the assignors share, for assign*.c only. Everything has a number that
 * rises in the order in which it is sorted: members by id (range and round-robin: first by instance
 * id), topics by name, partitions by topic and number. Topics that do not exist or that nobody
 * subscribes to have none.
 */
#ifndef KJ_COORD_ASSIGN_WORK_H
#define KJ_COORD_ASSIGN_WORK_H

#include "coord/assign.h"

#define KJ_ASSIGN_NONE UINT32_MAX
/* Each pass over the partitions but the last moves some, and moves nearly always narrow the gap
 * between two members; random cases take up to 4. */
enum { KJ_ASSIGN_PASSES_MAX = 1000 };

struct kj_assign_seat {
    const struct kj_assign_member *from;
    size_t input; /* its index there */
};

struct kj_assign_range { /* of a topic's partitions */
    const struct kj_assign_topic *from;
    uint32_t input;        /* its index there */
    uint32_t first, count; /* numbers of its partitions */
    uint32_t *subscribers; /* members, rising */
    uint32_t subscriber_count;
};

struct kj_assign_block;
struct kj_assign_work {
    const struct kj_assign_input *input;
    struct kj_assign_seat *members;
    uint32_t member_count;
    struct kj_assign_range *topics;
    uint32_t topic_count;
    uint32_t *topic_of_input; /* number of an input topic, or KJ_ASSIGN_NONE */
    uint32_t partition_count;
    uint32_t *topic_of; /* of each partition */
    uint32_t *owner;    /* the result: the member of each partition, or KJ_ASSIGN_NONE */
    struct kj_assign_block *blocks;
};

/* Zeroed, freed with the work; NULL is out of memory, which the caller must tell. */
void *kj_assign_take(struct kj_assign_work *work, size_t count, size_t bytes);
/* The number of a claimed partition, or KJ_ASSIGN_NONE. */
uint32_t kj_assign_number(const struct kj_assign_work *work, struct kj_assign_partition partition);
/* All members in the order in which java.util.HashMap hands out their ids, put in as they joined:
 * by bucket, and by arrival within one. (Buckets of more than eight, which the map would rebuild,
 * do not happen with ids that nobody chose for it.) */
int kj_assign_map_order(struct kj_assign_work *work, uint32_t *ret_members);
/* The bucket of a hash in a map or set of so many slots, a power of two. */
static inline uint32_t kj_assign_bucket(int32_t hash, uint32_t slots)
{
    uint32_t h = (uint32_t)hash;
    return (h ^ h >> 16) & (slots - 1);
}

void kj_assign_by_range(struct kj_assign_work *work);
void kj_assign_roundrobin(struct kj_assign_work *work);

/* What members say they own. */
struct kj_assign_claims {
    uint32_t *order; /* members, in the order of the Java map */
    uint32_t *owner; /* of each partition: who owns it by its claim, or KJ_ASSIGN_NONE */
    bool *twice;     /* two members of one generation claimed it */
};
/* moving: where all members subscribe to the same topics, set for each partition that changes its
 * owner; *ret_equal is then true. */
int kj_assign_sticky(struct kj_assign_work *work, bool *moving, bool *ret_equal);
/* The part of it for subscriptions that differ. */
int kj_assign_sticky_general(struct kj_assign_work *work, const struct kj_assign_claims *claims);
int kj_assign_cooperative(struct kj_assign_work *work);

#endif
