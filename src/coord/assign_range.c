/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_range.c - each topic for itself: its partitions in runs, as long as each other or
 * one longer, to its subscribers in their order. The same subscribers get the same numbers of each
 * topic, so topics with equal keys stay together.
 */
#include "coord/assign_work.h"

void kj_assign_by_range(struct kj_assign_work *work)
{
    for (uint32_t t = 0; t < work->topic_count; t++) {
        const struct kj_assign_range *topic = &work->topics[t];
        uint32_t each = topic->count / topic->subscriber_count;
        uint32_t longer = topic->count % topic->subscriber_count;
        uint32_t p = topic->first;
        for (uint32_t i = 0; i < topic->subscriber_count; i++)
            for (uint32_t n = each + (i < longer); n > 0; n--)
                work->owner[p++] = topic->subscribers[i];
    }
}
