/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/producer_topic.h - the topics a producer has sent to, by name, and their accumulators.
 *
 * An entry stays for the producer's life, so that the way from a record's topic name to its
 * accumulator needs no lock and no counting of references: a topic that is deleted and made anew
 * only changes what the entry and its accumulators point to. They notice by the catalog's
 * generation, which is compared for each record.
 */
#ifndef KJ_CLIENT_PRODUCER_TOPIC_H
#define KJ_CLIENT_PRODUCER_TOPIC_H

#include "base/atomic.h"
#include "base/hash.h"
#include "base/lock.h"
#include "client/accumulator.h"
#include "client/partitioner.h"
#include "store/store.h"

#include <string.h>

enum { KJ_TOPIC_CACHE = 16 };

typedef struct kj_accumulator *_Atomic kj_accumulator_slot;

struct kj_producer_topic {
    char *name;
    struct kj_topic *topic;   /* (lock) held */
    kj_atomic_u64 generation; /* of the catalog + 1, as of which topic and count hold; set last */
    kj_atomic_u64 count;      /* partitions; set behind slots */
    /* At least count of them; NULL where nothing was sent yet */
    kj_accumulator_slot *_Atomic slots;
    size_t slot_count;               /* (lock) */
    kj_accumulator_slot **old_slots; /* (lock) shorter arrays that a thread may still look at */
    size_t old_count, old_capacity;
    struct kj_sticky sticky;
};

struct kj_producer_topics {
    struct kj_store *store;
    struct kj_lock lock;         /* PRODUCER */
    struct kj_map map;           /* name -> kj_producer_topic */
    kj_atomic_u64 *open_batches; /* of the producer */
    int64_t producer_id;         /* -1: none */
    /* Looked at first, without a lock; the place follows from the address of the caller's string,
     * the name decides. */
    struct kj_producer_topic *_Atomic cache[KJ_TOPIC_CACHE];
};

void kj_producer_topics_init(struct kj_producer_topics *topics, struct kj_store *store,
                             kj_atomic_u64 *open_batches, int64_t producer_id);
/* Every accumulator must be empty. */
void kj_producer_topics_destroy(struct kj_producer_topics *topics);

int kj_producer_topic_find(struct kj_producer_topics *topics, const char *name,
                           struct kj_producer_topic **ret_topic);
/* Brings it up to generation. */
int kj_producer_topic_refresh(struct kj_producer_topics *topics, struct kj_producer_topic *topic,
                              uint64_t generation);
/* Makes the accumulator of partition < count, or brings it up to date. Nothing may be held. */
int kj_producer_topic_prepare(struct kj_producer_topics *topics, struct kj_producer_topic *topic,
                              int32_t partition, struct kj_accumulator **ret_acc);

/* Calls back for each accumulator there is, with the lock held: callbacks may take the
 * accumulator's. */
typedef void kj_accumulator_callback(void *arg, struct kj_accumulator *acc);
void kj_producer_topics_each(struct kj_producer_topics *topics, kj_accumulator_callback *callback,
                             void *arg);

static inline size_t kj_topic_cache_place(const char *name)
{
    uintptr_t bits = (uintptr_t)name;
    return (bits >> 4 ^ bits >> 8) % KJ_TOPIC_CACHE;
}

static inline int kj_producer_topic_get(struct kj_producer_topics *topics, const char *name,
                                        uint64_t generation, struct kj_producer_topic **ret_topic)
{
    struct kj_producer_topic *topic = topics->cache[kj_topic_cache_place(name)];
    if (__builtin_expect(topic == NULL || strcmp(topic->name, name) != 0, 0))
        KJ_TRY(kj_producer_topic_find(topics, name, &topic));
    if (__builtin_expect(kj_load_acquire(&topic->generation) < generation, 0))
        KJ_TRY(kj_producer_topic_refresh(topics, topic, generation));
    *ret_topic = topic;
    return 0;
}

#endif
