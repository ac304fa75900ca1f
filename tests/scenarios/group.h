/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/scenarios/group.h - words for lessons about groups.
 */
#ifndef KJ_TESTS_LESSON_GROUP_H
#define KJ_TESTS_LESSON_GROUP_H

#include "lesson.h"

#include <signal.h>

enum { PARTITIONS_MAX = 16 };

/* How many partitions a consumer has now, and which, by number. */
static inline size_t has(struct kaja_consumer *consumer, bool *which)
{
    struct kaja_topic_partition partitions[PARTITIONS_MAX];
    size_t count = kaja_consumer_assignment(consumer, partitions, PARTITIONS_MAX);
    memset(which, 0, PARTITIONS_MAX * sizeof *which);
    for (size_t i = 0; i < count; i++)
        which[partitions[i].partition] = true;
    return count;
}

/* Every one of the partitions belongs to exactly one of the consumers. */
static inline bool shared_out(struct kaja_consumer *const *consumers, size_t count,
                              size_t partitions)
{
    bool taken[PARTITIONS_MAX] = {false};
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        bool which[PARTITIONS_MAX];
        sum += has(consumers[i], which);
        for (size_t p = 0; p < PARTITIONS_MAX; p++)
            taken[p] = taken[p] || which[p];
    }
    size_t distinct = 0;
    for (size_t p = 0; p < PARTITIONS_MAX; p++)
        distinct += taken[p];
    return sum == partitions && distinct == partitions;
}

static inline int32_t generation_of(struct kaja_consumer *consumer)
{
    struct kaja_group_metadata metadata;
    must(kaja_consumer_group_metadata(consumer, &metadata));
    return metadata.generation;
}

static inline void poll_once(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    struct kaja_batch *batch = NULL;
    must(kaja_consumer_poll(consumer, timeout_ms, &batch));
    kaja_batch_release(batch);
}

/* Polls them in turn until all are of one generation and share all partitions, for some rounds on
 * end. How long that took; -1: it never came to that. */
static inline int64_t settle(struct kaja_consumer *const *consumers, size_t count,
                             size_t partitions)
{
    int64_t began = now_ms();
    int64_t settled_at = -1;
    for (int quiet = 0; quiet < 5;) {
        if (now_ms() - began > 20000)
            return -1;
        for (size_t i = 0; i < count; i++)
            poll_once(consumers[i], 5);
        bool good = shared_out(consumers, count, partitions);
        for (size_t i = 0; i < count; i++)
            good = good && generation_of(consumers[i]) > 0 &&
                   generation_of(consumers[i]) == generation_of(consumers[0]);
        if (good && quiet == 0)
            settled_at = now_ms();
        quiet = good ? quiet + 1 : 0;
    }
    return settled_at - began;
}

#endif
