/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_assign.c - the assignors' view of a group, and their result given to its members.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/err.h"

_Static_assert(sizeof(struct kj_assign_partition) == sizeof(struct kj_group_partition),
               "partitions are topic and number in both");

static void fill_input(const struct kj_group *group, struct kj_assign_topic *topics,
                      struct kj_assign_member *members, struct kj_assign_partition *owned)
{
    for (size_t i = 0; i < group->topic_count; i++)
        topics[i] =
            (struct kj_assign_topic){group->topics[i].name, group->topics[i].partition_count};
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *from = &group->members[i];
        members[i] = (struct kj_assign_member){.id = from->id,
                                               .instance_id = from->instance_id,
                                               .topics = from->topics,
                                               .topic_count = from->topic_count,
                                               .owned = owned,
                                               .owned_count = from->owned.count,
                                               .generation = from->owned_generation};
        for (size_t k = 0; k < from->owned.count; k++)
            *owned++ = (struct kj_assign_partition){from->owned.items[k].topic,
                                                    from->owned.items[k].partition};
    }
}

/* The assignors' result, given to the members. */
static int give_all(struct kj_group *group, const struct kj_assignment *assignment)
{
    size_t longest = 0;
    for (size_t i = 0; i < group->member_count; i++)
        if (assignment->starts[i + 1] - assignment->starts[i] > longest)
            longest = assignment->starts[i + 1] - assignment->starts[i];
    struct kj_group_partition *list = kj_group_alloc(group, longest + 1, sizeof *list);
    if (list == NULL)
        return kj_err_oom("an assignment");
    for (size_t i = 0; i < group->member_count; i++) {
        size_t count = assignment->starts[i + 1] - assignment->starts[i];
        for (size_t k = 0; k < count; k++) {
            const struct kj_assign_partition *from =
                &assignment->partitions[assignment->starts[i] + k];
            list[k] = (struct kj_group_partition){from->topic, from->partition};
        }
        KJ_TRY(kj_group_give(group, &group->members[i], list, count));
    }
    return 0;
}

int kj_group_assign(void *arg, struct kj_group *group, uint8_t assignor)
{
    size_t owned_count = 0;
    (void)arg;
    for (size_t i = 0; i < group->member_count; i++)
        owned_count += group->members[i].owned.count;
    struct kj_assign_topic *topics = kj_group_alloc(group, group->topic_count + 1, sizeof *topics);
    struct kj_assign_member *members =
        kj_group_alloc(group, group->member_count + 1, sizeof *members);
    struct kj_assign_partition *owned = kj_group_alloc(group, owned_count + 1, sizeof *owned);
    struct kj_assignment assignment = {0};
    if (topics == NULL || members == NULL || owned == NULL)
        return kj_err_oom("an assignment");
    if (assignor >= KJ_ASSIGNOR_COUNT) /* the blob is input */
        return kj_err(KAJA_ERR_DAMAGED, "group %s has an assignor that is none", group->id);
    fill_input(group, topics, members, owned);
    KJ_TRY(kj_assign((enum kj_assignor)assignor,
                     &(struct kj_assign_input){topics, group->topic_count, members,
                                               group->member_count},
                     &assignment));
    int err = give_all(group, &assignment);
    kj_assignment_free(&assignment);
    return err;
}
