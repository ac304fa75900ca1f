/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/admin_groups.c - the groups of kaja/admin.h: lists, and changes of what a group without
 * members has committed.
 */
#include "api/handles.h"
#include "api/text_pool.h"
#include "base/alloc.h"
#include "base/err.h"

#include <string.h>

static int check(struct kaja_store *store, const char *group_id)
{
    KJ_TRY(kj_handle_store(store));
    if (group_id == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "the group id is NULL");
    return kj_offset_group_check(group_id);
}

/* --- groups --- */

/* A kaja_group_list with what it owns. */
struct groups {
    struct kaja_group_list list;
    struct kaja_group_info *infos;
    size_t capacity;
    struct kj_text_pool pool;
};

static int copy_info(struct kj_text_pool *pool, const struct kj_group_info *group,
                     struct kaja_group_info *ret_info)
{
    static const enum kaja_group_state states[] = {
        [KJ_GROUP_DEAD] = KAJA_GROUP_DEAD,
        [KJ_GROUP_EMPTY] = KAJA_GROUP_EMPTY,
        [KJ_GROUP_PREPARING] = KAJA_GROUP_PREPARING_REBALANCE,
        [KJ_GROUP_STABLE] = KAJA_GROUP_STABLE,
    };
    struct kaja_group_info info = {.state = states[group->phase],
                                   .generation = group->generation,
                                   .member_count = group->member_count};
    KJ_TRY(kj_text_pool_add(pool, group->group_id, &info.group_id));
    KJ_TRY(kj_text_pool_add(pool, group->assignor, &info.assignor));
    KJ_TRY(kj_text_pool_add(pool, group->leader, &info.leader));
    *ret_info = info;
    return 0;
}

static int add_group(void *arg, const struct kj_group_info *group)
{
    struct groups *groups = arg;
    void *grown = groups->infos;
    KJ_TRY(kj_grow(&grown, &groups->capacity, groups->list.count + 1, sizeof *groups->infos));
    groups->infos = grown;
    KJ_TRY(copy_info(&groups->pool, group, &groups->infos[groups->list.count]));
    groups->list.count++;
    groups->list.groups = groups->infos;
    return 0;
}

void kaja_group_list_free(struct kaja_group_list *list)
{
    if (list == NULL)
        return;
    struct groups *groups = (struct groups *)list;
    kj_text_pool_free(&groups->pool);
    kj_free(groups->infos);
    kj_free(groups);
}

/* group_id NULL: all. */
static int list_groups(struct kaja_store *store, const char *group_id,
                       struct kaja_group_list **ret_list)
{
    if (ret_list == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "ret_list is NULL");
    struct groups *groups = kj_alloc_zero(1, sizeof *groups);
    if (groups == NULL)
        return kj_err_oom("a list of groups");
    int err = group_id == NULL ? kj_groups_list(store->groups, add_group, groups)
                               : kj_group_describe(store->groups, group_id, add_group, groups);
    if (err == 0 && group_id != NULL &&
        (groups->list.count == 0 || groups->infos[0].state == KAJA_GROUP_DEAD))
        err = kj_err(KAJA_ERR_GROUP_ID_NOT_FOUND, "there is no group %.200s", group_id);
    if (err != 0) {
        kaja_group_list_free(&groups->list);
        return err;
    }
    *ret_list = &groups->list;
    return 0;
}

int kaja_admin_groups(struct kaja_store *store, struct kaja_group_list **ret_list)
{
    KJ_TRY(kj_handle_store(store));
    return list_groups(store, NULL, ret_list);
}

int kaja_admin_group(struct kaja_store *store, const char *group_id,
                     struct kaja_group_list **ret_list)
{
    KJ_TRY(check(store, group_id));
    return list_groups(store, group_id, ret_list);
}

/* --- members --- */

/* A kaja_group_member_list with what it owns; the arrays of all members lie one after another. */
struct members {
    struct kaja_group_member_list list;
    struct kaja_group_member *items;
    const char **topics;
    struct kaja_topic_partition *partitions;
    struct kj_text_pool pool;
};

/* Topics and partitions go where *topics and *partitions point, which move behind them. */
static int copy_member(struct members *members, const struct kj_group_member_info *member,
                       const char ***topics, struct kaja_topic_partition **partitions)
{
    struct kj_text_pool *pool = &members->pool;
    struct kaja_group_member item = {.topics = *topics,
                                     .topic_count = member->topic_count,
                                     .partitions = *partitions,
                                     .partition_count = member->partition_count};
    KJ_TRY(kj_text_pool_add(pool, member->member_id, &item.member_id));
    KJ_TRY(kj_text_pool_add(pool, member->client_id, &item.client_id));
    KJ_TRY(kj_text_pool_add(pool, member->instance_id, &item.instance_id));
    for (size_t i = 0; i < member->topic_count; i++)
        KJ_TRY(kj_text_pool_add(pool, member->topics[i], (*topics)++));
    const char *topic = NULL;
    for (size_t i = 0; i < member->partition_count; i++) {
        const struct kj_member_partition *given = &member->partitions[i];
        if (topic == NULL || strcmp(topic, given->topic) != 0)
            KJ_TRY(kj_text_pool_add(pool, given->topic, &topic));
        *(*partitions)++ =
            (struct kaja_topic_partition){topic, given->partition, KAJA_OFFSET_NONE};
    }
    members->items[members->list.count++] = item;
    return 0;
}

static int copy_members(void *arg, const struct kj_group_info *group)
{
    struct members *members = arg;
    size_t topic_count = 0, partition_count = 0;
    for (size_t i = 0; i < group->member_count; i++) {
        topic_count += group->members[i].topic_count;
        partition_count += group->members[i].partition_count;
    }
    KJ_TRY(copy_info(&members->pool, group, &members->list.group));
    members->items = kj_alloc_zero(group->member_count + 1, sizeof *members->items);
    members->topics = kj_alloc_zero(topic_count + 1, sizeof *members->topics);
    members->partitions = kj_alloc_zero(partition_count + 1, sizeof *members->partitions);
    if (members->items == NULL || members->topics == NULL || members->partitions == NULL)
        return kj_err_oom("a list of members");
    members->list.members = members->items;
    const char **topics = members->topics;
    struct kaja_topic_partition *partitions = members->partitions;
    for (size_t i = 0; i < group->member_count; i++)
        KJ_TRY(copy_member(members, &group->members[i], &topics, &partitions));
    return 0;
}

void kaja_group_member_list_free(struct kaja_group_member_list *list)
{
    if (list == NULL)
        return;
    struct members *members = (struct members *)list;
    kj_text_pool_free(&members->pool);
    kj_free(members->items);
    kj_free(members->topics);
    kj_free(members->partitions);
    kj_free(members);
}

int kaja_admin_group_members(struct kaja_store *store, const char *group_id,
                             struct kaja_group_member_list **ret_list)
{
    KJ_TRY(check(store, group_id));
    if (ret_list == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "ret_list is NULL");
    struct members *members = kj_alloc_zero(1, sizeof *members);
    if (members == NULL)
        return kj_err_oom("a list of members");
    int err = kj_group_describe(store->groups, group_id, copy_members, members);
    if (err == 0 && members->list.group.state == KAJA_GROUP_DEAD)
        err = kj_err(KAJA_ERR_GROUP_ID_NOT_FOUND, "there is no group %.200s", group_id);
    if (err != 0) {
        kaja_group_member_list_free(&members->list);
        return err;
    }
    *ret_list = &members->list;
    return 0;
}

/* --- their offsets --- */

struct offsets {
    struct kaja_offset_list list;
    struct kaja_committed_offset *items;
    size_t capacity;
    struct kj_text_pool pool;
};

static int add_offset(void *arg, const struct kj_committed *committed)
{
    struct offsets *offsets = arg;
    void *grown = offsets->items;
    KJ_TRY(kj_grow(&grown, &offsets->capacity, offsets->list.count + 1, sizeof *offsets->items));
    offsets->items = grown;
    struct kaja_committed_offset item = {.partition = committed->partition,
                                         .leader_epoch = committed->leader_epoch,
                                         .offset = committed->offset};
    KJ_TRY(kj_text_pool_add(&offsets->pool, committed->topic, &item.topic));
    KJ_TRY(kj_text_pool_add(&offsets->pool, committed->metadata, &item.metadata));
    offsets->items[offsets->list.count++] = item;
    offsets->list.offsets = offsets->items;
    return 0;
}

void kaja_offset_list_free(struct kaja_offset_list *list)
{
    if (list == NULL)
        return;
    struct offsets *offsets = (struct offsets *)list;
    kj_text_pool_free(&offsets->pool);
    kj_free(offsets->items);
    kj_free(offsets);
}

int kaja_admin_group_offsets(struct kaja_store *store, const char *group_id,
                             struct kaja_offset_list **ret_list)
{
    KJ_TRY(check(store, group_id));
    if (ret_list == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "ret_list is NULL");
    struct offsets *offsets = kj_alloc_zero(1, sizeof *offsets);
    if (offsets == NULL)
        return kj_err_oom("a list of offsets");
    int err = kj_offset_store_each(store->offsets, group_id, add_offset, offsets);
    if (err != 0) {
        kaja_offset_list_free(&offsets->list);
        return err;
    }
    *ret_list = &offsets->list;
    return 0;
}

/* --- changes: of groups without members, or of what their members do not read --- */

typedef int change_fn(struct kj_offset_store *offsets, const struct kj_offset_commit *change,
                      struct kj_offset_ticket *ret_ticket);

static struct kj_commit_as nobody_of(struct kaja_store *store, const char *group_id)
{
    return (struct kj_commit_as){.groups = store->groups, .group_id = group_id, .generation = -1};
}

/* check and its arg come in *commit. */
static int change(struct kaja_store *store, struct kj_offset_commit *commit, change_fn *function)
{
    struct kj_offset_ticket ticket;
    commit->durable = true;
    KJ_TRY(function(store->offsets, commit, &ticket));
    return kj_offset_store_wait(store->offsets, &ticket);
}

static int check_place(const char *topic, int32_t partition, size_t i)
{
    if (topic != NULL && topic[0] != '\0' && partition >= 0)
        return 0;
    return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has no topic, or partition %d", i, partition);
}

/* The partition is there: an offset of one that is not would never be used. */
static int check_exists(struct kaja_store *store, const char *name, int32_t partition)
{
    struct kj_topic *topic;
    KJ_TRY(kj_topic_find(store->store, name, false, &topic));
    int32_t count = kj_topic_partition_count(topic);
    kj_topic_release(topic);
    if (partition < count)
        return 0;
    return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                            "topic %s has %d partitions, no number %d", name, count, partition),
                     name, partition, -1, -1);
}

int kaja_admin_alter_group_offsets(struct kaja_store *store, const char *group_id,
                                   const struct kaja_committed_offset *offsets, size_t count)
{
    KJ_TRY(check(store, group_id));
    if (offsets == NULL || count == 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "no offsets");
    for (size_t i = 0; i < count; i++) {
        KJ_TRY(check_place(offsets[i].topic, offsets[i].partition, i));
        if (offsets[i].offset < 0 || offsets[i].leader_epoch < -1)
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has offset %lld, leader epoch %d", i,
                          (long long)offsets[i].offset, offsets[i].leader_epoch);
        KJ_TRY(check_exists(store, offsets[i].topic, offsets[i].partition));
    }
    struct kj_offset_item *items = kj_alloc_zero(count, sizeof *items);
    if (items == NULL)
        return kj_err_oom("offsets");
    for (size_t i = 0; i < count; i++)
        items[i] = (struct kj_offset_item){.topic = offsets[i].topic,
                                           .partition = offsets[i].partition,
                                           .leader_epoch = offsets[i].leader_epoch,
                                           .offset = offsets[i].offset,
                                           .metadata = offsets[i].metadata};
    struct kj_commit_as as = nobody_of(store, group_id);
    struct kj_offset_commit commit = {.group_id = group_id,
                                      .items = items,
                                      .count = count,
                                      .check = kj_group_check_empty,
                                      .check_arg = &as};
    int err = change(store, &commit, kj_offset_store_commit);
    kj_free(items);
    return err;
}

int kaja_admin_delete_group_offsets(struct kaja_store *store, const char *group_id,
                                    const struct kaja_topic_partition *partitions, size_t count)
{
    KJ_TRY(check(store, group_id));
    if (partitions == NULL || count == 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "no partitions");
    for (size_t i = 0; i < count; i++)
        KJ_TRY(check_place(partitions[i].topic, partitions[i].partition, i));
    struct kj_offset_item *items = kj_alloc_zero(count, sizeof *items);
    const char **topics = kj_alloc_zero(count, sizeof *topics);
    int err = items == NULL || topics == NULL ? kj_err_oom("offsets") : 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        items[i] = (struct kj_offset_item){.topic = partitions[i].topic,
                                           .partition = partitions[i].partition};
        topics[i] = partitions[i].topic;
    }
    struct kj_group_unread unread = {
        .as = nobody_of(store, group_id), .topics = topics, .topic_count = count};
    struct kj_offset_commit commit = {.group_id = group_id,
                                      .items = items,
                                      .count = count,
                                      .check = kj_group_check_unread,
                                      .check_arg = &unread};
    if (err == 0)
        err = change(store, &commit, kj_offset_store_delete);
    kj_free(topics);
    kj_free(items);
    return err;
}

int kaja_admin_delete_group(struct kaja_store *store, const char *group_id)
{
    KJ_TRY(check(store, group_id));
    struct kj_commit_as as = nobody_of(store, group_id);
    struct kj_offset_commit commit = {
        .group_id = group_id, .check = kj_group_check_empty, .check_arg = &as};
    return change(store, &commit, kj_offset_store_delete);
}
