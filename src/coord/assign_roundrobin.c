/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_roundrobin.c - all partitions in order, dealt to the members as they sit in a
 * circle; who does not subscribe to the topic is passed over and is not owed anything for it.
 */
#include "coord/assign_work.h"

void kj_assign_roundrobin(struct kj_assign_work *work)
{
    uint32_t turn = 0; /* of the first member from here on that subscribes */
    for (uint32_t t = 0; t < work->topic_count; t++) {
        const struct kj_assign_range *topic = &work->topics[t];
        uint32_t low = 0, high = topic->subscriber_count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (topic->subscribers[middle] < turn)
                low = middle + 1;
            else
                high = middle;
        }
        for (uint32_t p = 0; p < topic->count; p++, low++) {
            if (low == topic->subscriber_count)
                low = 0;
            work->owner[topic->first + p] = topic->subscribers[low];
        }
        turn = topic->subscribers[low - 1] + 1;
    }
}
