/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_describe.c - groups as seen from outside, by tools: without a lock, and by read-only
 * handles too. What a group is follows from its blob; without members, from its records.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* --- one group with members --- */

struct described {
    struct kj_group_member_info *members;
    const char **topics;
    struct kj_member_partition *partitions;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_partitions(const void *a, const void *b)
{
    const struct kj_member_partition *x = a, *y = b;
    int by_topic = strcmp(x->topic, y->topic);
    return by_topic != 0 ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

static void describe_member(const struct kj_group *group, const struct kj_group_member *member,
                            struct kj_group_member_info *info, const char **topics,
                            struct kj_member_partition *partitions)
{
    size_t count = group->phase == KJ_GROUP_STABLE ? member->assigned.count : 0;
    for (size_t i = 0; i < member->topic_count; i++)
        topics[i] = group->topics[member->topics[i]].name;
    for (size_t i = 0; i < count; i++)
        partitions[i] =
            (struct kj_member_partition){group->topics[member->assigned.items[i].topic].name,
                                         member->assigned.items[i].partition};
    if (member->topic_count > 1)
        qsort(topics, member->topic_count, sizeof *topics, compare_names);
    if (count > 1)
        qsort(partitions, count, sizeof *partitions, compare_partitions);
    *info = (struct kj_group_member_info){
        .member_id = member->id,
        .client_id = member->client_id,
        .instance_id = member->instance_id[0] == '\0' ? NULL : member->instance_id,
        .topics = topics,
        .topic_count = member->topic_count,
        .partitions = partitions,
        .partition_count = count};
}

static int describe_group(struct kj_group *group, kj_group_callback *callback, void *arg)
{
    size_t topic_count = 1, partition_count = 1;
    for (size_t i = 0; i < group->member_count; i++) {
        topic_count += group->members[i].topic_count;
        partition_count += group->members[i].assigned.count;
    }
    struct kj_group_member_info *members =
        kj_group_alloc(group, group->member_count + 1, sizeof *members);
    const char **topics = kj_group_alloc(group, topic_count, sizeof *topics);
    struct kj_member_partition *partitions =
        kj_group_alloc(group, partition_count, sizeof *partitions);
    if (members == NULL || topics == NULL || partitions == NULL)
        return kj_err_oom("a group's description");
    for (size_t i = 0; i < group->member_count; i++) {
        describe_member(group, &group->members[i], &members[i], topics, partitions);
        topics += group->members[i].topic_count;
        partitions += group->members[i].assigned.count;
    }
    bool chosen = group->phase == KJ_GROUP_STABLE && group->assignor < KJ_ASSIGNOR_COUNT;
    struct kj_group_info info = {
        .group_id = group->id,
        .phase = group->phase,
        .generation = group->generation,
        .assignor = chosen ? kj_assignor_name((enum kj_assignor)group->assignor) : "",
        .leader = group->leader,
        .members = members,
        .member_count = group->member_count};
    return callback(arg, &info);
}

static void drop_dead(struct kj_groups *groups, struct kj_group *group)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *member = &group->members[i];
        if (!kj_group_member_gone(groups, member))
            group->members[kept++] = *member;
    }
    group->member_count = kept;
    if (kept == 0)
        group->phase = KJ_GROUP_EMPTY;
}

/* --- all of them --- */

/* One group that somebody left a trace of. */
struct trace {
    char *id;
    int32_t generation; /* -1: only offsets */
};

struct traces {
    struct trace *items;
    size_t count, capacity;
};

static int add_trace(struct traces *traces, const char *id, size_t len, int32_t generation)
{
    void *items = traces->items;
    KJ_TRY(kj_grow(&items, &traces->capacity, traces->count + 1, sizeof *traces->items));
    traces->items = items;
    char *copy = kj_alloc(len + 1);
    if (copy == NULL)
        return kj_err_oom("the list of groups");
    memcpy(copy, id, len);
    copy[len] = '\0';
    traces->items[traces->count++] = (struct trace){copy, generation};
    return 0;
}

static int note_stored(void *arg, const struct kj_offset_group *group)
{
    return add_trace(arg, group->group_id, strlen(group->group_id),
                     group->has_record ? group->generation : -1);
}

/* Groups that live, records or not. */
struct living {
    struct kj_groups *groups;
    struct traces *traces;
};

static int note_living(void *arg, struct kj_group *group)
{
    const struct living *living = arg;
    drop_dead(living->groups, group);
    return group->member_count == 0
               ? 0
               : add_trace(living->traces, group->id, strlen(group->id), group->generation);
}

static int compare_traces(const void *a, const void *b)
{
    const struct trace *x = a, *y = b;
    int by_id = strcmp(x->id, y->id);
    return by_id != 0 ? by_id : (x->generation < y->generation) - (x->generation > y->generation);
}

static void traces_free(struct traces *traces)
{
    for (size_t i = 0; i < traces->count; i++)
        kj_free(traces->items[i].id);
    kj_free(traces->items);
}

/* generation: of its records; -1: it has none but offsets. */
static int tell(struct kj_groups *groups, const char *group_id, enum kj_group_phase without,
                int32_t generation, kj_group_callback *callback, void *arg)
{
    struct kj_area area;
    struct kj_group *group = NULL;
    uint64_t state;
    KJ_TRY(kj_area_find(groups->store, -1, kj_area_hash(group_id), &area));
    if (area.word != 0)
        KJ_TRY(kj_group_peek(groups, area, group_id, &group, &state));
    if (group != NULL)
        drop_dead(groups, group);
    if (group != NULL && group->member_count > 0) {
        int err = describe_group(group, callback, arg);
        kj_group_free(group);
        return err;
    }
    kj_group_free(group); /* whether there is anything else of it, its records say */
    struct kj_group_info info = {.group_id = group_id,
                                 .phase = without,
                                 .generation = generation < 0 ? 0 : generation,
                                 .assignor = "",
                                 .leader = ""};
    return callback(arg, &info);
}

int kj_group_describe(struct kj_groups *groups, const char *group_id, kj_group_callback *callback,
                      void *arg)
{
    struct kj_offset_group stored;
    bool found;
    KJ_TRY(kj_offset_store_group(groups->offsets, group_id, &found, &stored));
    return tell(groups, group_id, found ? KJ_GROUP_EMPTY : KJ_GROUP_DEAD,
                found && stored.has_record ? stored.generation : -1, callback, arg);
}

int kj_groups_list(struct kj_groups *groups, kj_group_callback *callback, void *arg)
{
    struct traces traces = {0};
    int err = kj_groups_each(groups, note_living, &(struct living){groups, &traces});
    if (err == 0)
        err = kj_offset_store_groups(groups->offsets, note_stored, &traces);
    if (err == 0 && traces.count > 1)
        qsort(traces.items, traces.count, sizeof *traces.items, compare_traces);
    for (size_t i = 0; i < traces.count && err == 0; i++)
        if (i == 0 || strcmp(traces.items[i - 1].id, traces.items[i].id) != 0)
            err = tell(groups, traces.items[i].id, KJ_GROUP_EMPTY, traces.items[i].generation,
                       callback, arg);
    traces_free(&traces);
    return err;
}
