/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/partitioner.h - which partition a record goes to: its own choice, else its key, else the
 * one that the topic sticks to at the moment.
 *
 * Sticking fills one batch at a time instead of a thin one per partition: the topic keeps a
 * partition until a batch of it is full, or batch.size bytes went there in thinner ones. Then the
 * next is drawn at random; of two drawn, the one with the shorter queue (where that is asked for).
 *
 * Kafka: BuiltInPartitioner. The other choices are librdkafka's, by its names, and Kafka's
 * RoundRobinPartitioner.
 */
#ifndef KJ_CLIENT_PARTITIONER_H
#define KJ_CLIENT_PARTITIONER_H

#include "base/atomic.h"
#include "base/murmur2.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shared by the threads of a producer without a lock: a lost update costs at worst a batch that is
 * a little thinner or fatter, so nothing here is ordered by anything. */
struct kj_sticky {
    kj_atomic_u64 partition;
    kj_atomic_u64 bytes;  /* that went there since it was drawn */
    kj_atomic_u64 random; /* state of the generator, never 0 */
    kj_atomic_u64 turn;   /* of those that take the partitions in turn */
};

/* The batches that wait in the queue of a partition. */
typedef size_t kj_sticky_queue(void *arg, int32_t partition);

void kj_sticky_init(struct kj_sticky *sticky, uint64_t seed);

/* Draws the next partition of count > 0; never the present one when there are others. queue may be
 * NULL. */
int32_t kj_sticky_next(struct kj_sticky *sticky, int32_t count, kj_sticky_queue *queue, void *arg);

/* The present one, -1 if none of count was drawn yet. */
static inline int32_t kj_sticky_partition(struct kj_sticky *sticky, int32_t count)
{
    uint64_t partition = kj_load_relaxed(&sticky->partition);
    return partition < (uint64_t)count ? (int32_t)partition : -1;
}

/* Counts bytes that went to the present partition; true once it had batch_bytes of them. */
static inline bool kj_sticky_used(struct kj_sticky *sticky, size_t bytes, size_t batch_bytes)
{
    uint64_t sum = kj_load_relaxed(&sticky->bytes) + bytes;
    kj_store_relaxed(&sticky->bytes, sum);
    return sum >= batch_bytes;
}

/* In the order of the choices of `partitioner`, behind the default. */
enum kj_partitioner {
    KJ_PARTITIONER_DEFAULT, /* murmur2 of the key; null keys stick */
    KJ_PARTITIONER_RANDOM,
    KJ_PARTITIONER_CONSISTENT, /* CRC-32 of the key; no key as an empty one */
    KJ_PARTITIONER_CONSISTENT_RANDOM,
    KJ_PARTITIONER_MURMUR2, /* no key as an empty one */
    KJ_PARTITIONER_MURMUR2_RANDOM,
    KJ_PARTITIONER_FNV1A, /* no key as an empty one */
    KJ_PARTITIONER_FNV1A_RANDOM,
    KJ_PARTITIONER_ROUND_ROBIN
};
/* The partition of count > 0 for a key (NULL: none); -1: the default's choice, which sticks. */
int32_t kj_partitioner_choose(enum kj_partitioner partitioner, struct kj_sticky *sticky,
                              const void *key, size_t key_bytes, int32_t count);

#endif
