/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/coord/group_model.h - the smallest of assignors, for tests of the state machine: each
 * subscribed partition to the members that want it, one after the other.
 */
#ifndef KJ_TESTS_GROUP_MODEL_H
#define KJ_TESTS_GROUP_MODEL_H

#include "coord/group_state.h"

#include <stdlib.h>

static inline bool model_wants(const struct kj_group_member *member, uint32_t topic)
{
    for (size_t i = 0; i < member->topic_count; i++)
        if (member->topics[i] == topic)
            return true;
    return false;
}

static inline int model_assign(void *arg, struct kj_group *group, uint8_t assignor)
{
    size_t *calls = arg;
    (void)assignor;
    if (calls != NULL)
        ++*calls;
    for (size_t m = 0; m < group->member_count; m++) {
        struct kj_group_partition *items = NULL;
        size_t count = 0;
        for (uint32_t t = 0; t < group->topic_count; t++) {
            size_t wanting = 0, mine = SIZE_MAX;
            for (size_t k = 0; k < group->member_count; k++)
                if (model_wants(&group->members[k], t)) {
                    if (k == m)
                        mine = wanting;
                    wanting++;
                }
            for (int32_t p = 0; mine != SIZE_MAX && p < group->topics[t].partition_count; p++)
                if ((size_t)p % wanting == mine) {
                    items = realloc(items, (count + 1) * sizeof *items);
                    items[count++] = (struct kj_group_partition){t, p};
                }
        }
        int err = kj_group_give(group, &group->members[m], items, count);
        free(items);
        if (err != 0)
            return err;
    }
    return 0;
}

#endif
