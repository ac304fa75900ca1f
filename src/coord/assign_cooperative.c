/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_cooperative.c - the sticky assignment, but what one member has to give up is given
 * to nobody yet: members go on reading what they keep, and rejoin once they gave up the rest.
 */
#include "base/alloc.h"
#include "base/err.h"
#include "coord/assign_work.h"

/* Where subscriptions differ: what somebody claims, but not the member that gets it. */
static int find_moving(struct kj_assign_work *work, bool *moving)
{
    bool *stays = kj_assign_take(work, work->partition_count, sizeof *stays);
    if (stays == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t m = 0; m < work->member_count; m++) {
        const struct kj_assign_member *member = work->members[m].from;
        for (size_t i = 0; i < member->owned_count; i++) {
            uint32_t p = kj_assign_number(work, member->owned[i]);
            if (p == KJ_ASSIGN_NONE)
                continue;
            moving[p] = true;
            stays[p] = stays[p] || work->owner[p] == m;
        }
    }
    for (uint32_t p = 0; p < work->partition_count; p++)
        moving[p] = moving[p] && !stays[p];
    return 0;
}

int kj_assign_cooperative(struct kj_assign_work *work)
{
    bool equal;
    bool *moving = kj_assign_take(work, work->partition_count, sizeof *moving);
    if (moving == NULL)
        return kj_err_oom("an assignment");
    KJ_TRY(kj_assign_sticky(work, moving, &equal));
    if (!equal)
        KJ_TRY(find_moving(work, moving));
    for (uint32_t p = 0; p < work->partition_count; p++)
        if (moving[p])
            work->owner[p] = KJ_ASSIGN_NONE;
    return 0;
}
