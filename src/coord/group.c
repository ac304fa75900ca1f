/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group.c - a member's own steps: join, look, leave, commit. See coord/group.h for the whole.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the offset store asks (kj_offset_groups) --- */

/* Under the append lock of the group's partition, so it cannot change. *ret_group NULL: nobody is
 * there; the dead are left out. False: that cannot be found out now, so nothing may be thrown away.
 */
static bool live(struct kj_groups *groups, const char *group_id, struct kj_group **ret_group)
{
    struct kj_area area;
    uint64_t state;
    *ret_group = NULL;
    int err = kj_area_find(groups->store, -1, kj_area_hash(group_id), &area);
    if (err == 0 && area.word != 0)
        err = kj_group_peek(groups, area, group_id, ret_group, &state);
    if (err != 0)
        kj_err_clear();
    if (err == 0 && *ret_group != NULL) {
        struct kj_group_op op = {
            .groups = groups, .group = *ret_group, .now_ms = kj_groups_now_ms(groups)};
        kj_group_reap(&op, false); /* in this copy only: a sweep does it for good */
    }
    return err == 0;
}

static void sweep(void *arg)
{
    if (kj_groups_sweep(arg) != 0)
        kj_err_clear(); /* the next one does it */
}

static bool has_members(void *arg, const char *group_id)
{
    struct kj_group *group;
    if (!live(arg, group_id, &group))
        return true;
    bool has = group != NULL && group->member_count > 0;
    kj_group_free(group);
    return has;
}

static bool has_reader(const struct kj_group *group, const char *topic)
{
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *member = &group->members[i];
        for (size_t k = 0; k < member->topic_count; k++)
            if (strcmp(group->topics[member->topics[k]].name, topic) == 0)
                return true;
    }
    return false;
}

static bool subscribes(void *arg, const char *group_id, const char *topic)
{
    struct kj_group *group;
    if (!live(arg, group_id, &group))
        return true;
    bool found = group != NULL && has_reader(group, topic);
    kj_group_free(group);
    return found;
}

/* --- the groups of a handle --- */

int kj_groups_open(struct kj_store *store, struct kj_offset_store *offsets,
                   const struct kj_groups_options *options, struct kj_groups **ret_groups)
{
    struct kj_groups *groups = kj_alloc_zero(1, sizeof *groups);
    if (groups == NULL)
        return kj_err_oom("the groups of a store");
    groups->store = store;
    groups->offsets = offsets;
    groups->options = *options;
    kj_lock_init(&groups->lock, KJ_RANK_LEAF);
    kj_cond_init(&groups->cond);
    groups->task = (struct kj_store_task){.run = kj_groups_task, .arg = groups};
    kj_offset_store_set_groups(offsets,
                               &(struct kj_offset_groups){
                                   has_members, subscribes, sweep, groups});
    kj_store_task_add(store, &groups->task);
    *ret_groups = groups;
    return 0;
}

void kj_groups_close(struct kj_groups *groups)
{
    if (groups == NULL)
        return;
    KJ_ASSERT(groups->members == NULL);
    kj_store_task_remove(groups->store, &groups->task);
    kj_offset_store_set_groups(groups->offsets, &(struct kj_offset_groups){0});
    kj_map_free(&groups->slots);
    kj_cond_destroy(&groups->cond);
    kj_lock_destroy(&groups->lock);
    kj_free(groups);
}

/* --- making and freeing members --- */

enum { INSTANCE_ID_MAX = 249, CLIENT_ID_SHOWN = 200, GROUP_ID_MAX = INT16_MAX };

static int check_options(const struct kj_groups *groups, const struct kj_member_options *options)
{
    size_t group_bytes = options->group_id == NULL ? 0 : strlen(options->group_id);
    if (kj_store_read_only(groups->store))
        return kj_err(KAJA_ERR_READ_ONLY, "members of a group commit: the directory was opened "
                                          "read-only");
    if (group_bytes == 0 || group_bytes > GROUP_ID_MAX)
        return kj_err(KAJA_ERR_INVALID_GROUP_ID, "group.id has %zu bytes, 1 to %d are allowed",
                      group_bytes, (int)GROUP_ID_MAX);
    if (options->session_timeout_ms < groups->options.min_session_timeout_ms ||
        options->session_timeout_ms > groups->options.max_session_timeout_ms ||
        options->session_timeout_ms > INT32_MAX || options->session_timeout_ms < 1)
        return kj_err(KAJA_ERR_INVALID_SESSION_TIMEOUT,
                      "session.timeout.ms=%lld lies outside group.min.session.timeout.ms=%lld and "
                      "group.max.session.timeout.ms=%lld",
                      (long long)options->session_timeout_ms,
                      (long long)groups->options.min_session_timeout_ms,
                      (long long)groups->options.max_session_timeout_ms);
    if (options->instance_id != NULL &&
        (options->instance_id[0] == '\0' || strlen(options->instance_id) > INSTANCE_ID_MAX))
        return kj_err(KAJA_ERR_INVALID_ARG, "group.instance.id has 1 to %d bytes",
                      (int)INSTANCE_ID_MAX);
    if (options->client_id != NULL && strlen(options->client_id) > INT16_MAX)
        return kj_err(KAJA_ERR_INVALID_ARG, "client.id has at most %d bytes", (int)INT16_MAX);
    if (options->rebalance_timeout_ms < 1 || options->heartbeat_interval_ms < 1)
        return kj_err(KAJA_ERR_INVALID_ARG,
                      "max.poll.interval.ms and heartbeat.interval.ms are at least 1");
    if (options->assignor_count == 0 || options->assignor_count > KJ_MEMBER_ASSIGNORS_MAX)
        return kj_err(KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL, "a member needs an assignor");
    return 0;
}

static bool in_group(uint64_t state)
{
    return state == KJ_MEMBER_JOINED || state == KJ_MEMBER_STABLE || state == KJ_MEMBER_REJOIN;
}

static bool blob_changed(struct kj_member *member)
{
    struct kj_area area = {(kj_word)kj_load_acquire(&member->area)};
    return area.word != 0 &&
           kj_area_state(member->groups->store, area) != kj_load_acquire(&member->seen);
}

/* For kj_store_wait_also(): would kj_member_look() have something new to say? */
static bool member_changed(void *arg)
{
    struct kj_member *member = arg;
    uint64_t state = kj_load_acquire(&member->state);
    return state != kj_load_acquire(&member->looked) || (in_group(state) && blob_changed(member));
}

static void member_destroy(struct kj_member *member)
{
    kj_lock_destroy(&member->lock);
    kj_free(member->group_id);
    kj_free(member->client_id);
    kj_free(member->instance_id);
    kj_free(member->assignment);
    kj_free(member->topics);
    kj_free(member->watched);
    kj_free(member);
}

int kj_member_new(struct kj_groups *groups, const struct kj_member_options *options,
                  struct kj_member **ret_member)
{
    KJ_TRY(check_options(groups, options));
    struct kj_member *member = kj_alloc_zero(1, sizeof *member);
    if (member == NULL)
        return kj_err_oom("a member of a group");
    kj_lock_init(&member->lock, KJ_RANK_MEMBER);
    member->groups = groups;
    member->group_id = kj_strdup(options->group_id);
    member->client_id = kj_strdup(options->client_id == NULL ? "" : options->client_id);
    member->instance_id = kj_strdup(options->instance_id == NULL ? "" : options->instance_id);
    if (member->group_id == NULL || member->client_id == NULL || member->instance_id == NULL) {
        member_destroy(member);
        return kj_err_oom("a member of a group");
    }
    member->hash = kj_area_hash(member->group_id);
    member->wait = (struct kj_wait_also){(uint32_t)member->hash, member_changed, member};
    member->session_timeout_ms = (int32_t)options->session_timeout_ms;
    member->rebalance_timeout_ms = (int32_t)(options->rebalance_timeout_ms < INT32_MAX
                                                 ? options->rebalance_timeout_ms
                                                 : INT32_MAX);
    member->heartbeat_interval_ms = options->heartbeat_interval_ms;
    for (size_t i = 0; i < options->assignor_count; i++)
        member->assignors[i] = (uint8_t)options->assignors[i];
    member->assignor_count = options->assignor_count;
    member->generation = -1;
    member->missed_generation = -1;
    kj_store_release(&member->due_ns, INT64_MAX);
    kj_lock_acquire(&groups->lock);
    member->next = groups->members;
    groups->members = member;
    kj_lock_release(&groups->lock);
    *ret_member = member;
    return 0;
}

void kj_member_free(struct kj_member *member)
{
    if (member == NULL)
        return;
    struct kj_groups *groups = member->groups;
    kj_lock_acquire(&groups->lock);
    while (member->ticking)
        kj_cond_wait(&groups->cond, &groups->lock);
    struct kj_member **at = &groups->members;
    while (*at != member)
        at = &(*at)->next;
    *at = member->next;
    kj_lock_release(&groups->lock);
    kj_lock_acquire(&member->lock);
    kj_member_drop_slot(member);
    kj_lock_release(&member->lock);
    member_destroy(member);
}

/* --- slots --- */

void kj_member_drop_slot(struct kj_member *member)
{
    struct kj_groups *groups = member->groups;
    if (member->slot == 0)
        return;
    /* Both at once: who takes the slot in between, in this handle, would lose its lock to us. */
    kj_lock_acquire(&groups->lock);
    (void)kj_map_remove_u64(&groups->slots, member->slot);
    kj_shared_unlock(kj_scratch_shared(groups->store), kj_scratch_lock(member->slot), UINT32_MAX);
    kj_lock_release(&groups->lock);
    member->slot = 0;
}

static bool slot_in_use(const struct kj_group *group, kj_word slot)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].slot == slot)
            return true;
    return false;
}

/* Is it anybody's? If not, its lock is ours now. */
static int try_slot(struct kj_member *member, kj_word slot, bool *ret_taken)
{
    struct kj_groups *groups = member->groups;
    kj_lock_acquire(&groups->lock);
    int err = 0, os = EAGAIN;
    *ret_taken = false;
    if (kj_map_get_u64(&groups->slots, slot) == NULL)
        os = kj_shared_try_lock(kj_scratch_shared(groups->store), kj_scratch_lock(slot),
                                KJ_LOCK_EXCLUSIVE);
    if (os != 0 && os != EAGAIN)
        err = kj_err(KAJA_ERR_CRIT_SYS_RESOURCE, "taking a lock for a member: %s",
                     os == ENOLCK ? "the system has no locks left" : strerror(os));
    if (os == 0) {
        err = kj_map_put_u64(&groups->slots, slot, member);
        if (err == 0)
            *ret_taken = true;
        else
            kj_shared_unlock(kj_scratch_shared(groups->store), kj_scratch_lock(slot), UINT32_MAX);
    }
    kj_lock_release(&groups->lock);
    return err;
}

/* A slot that no member has, its heartbeat set. The group's lock is held. */
static int take_slot(struct kj_member *member, const struct kj_group_op *op)
{
    enum { BLOCKS_MAX = 2 }; /* nobody knows the slots of a new one: its first is free */
    struct kj_store *store = member->groups->store;
    kj_word slot = 0;
    bool taken = false;
    int blocks = 0;
    KJ_ASSERT(member->slot == 0);
    while (!taken) {
        KJ_TRY(kj_area_next_slot(store, op->area, slot, &slot));
        if (slot == 0 && ++blocks > BLOCKS_MAX)
            return kj_err(KAJA_ERR_CRIT_SYS_RESOURCE, "somebody holds all locks of members");
        if (slot == 0)
            KJ_TRY(kj_area_more_slots(store, op->area, &slot));
        if (!slot_in_use(op->group, slot))
            KJ_TRY(try_slot(member, slot, &taken));
    }
    member->slot = slot;
    kj_shared_store(kj_scratch_shared(store), slot, (uint64_t)op->now_ms);
    return 0;
}

/* --- what the group says about a member --- */

static int compare_partitions(const void *a, const void *b)
{
    const struct kj_member_partition *x = a, *y = b;
    int by_topic = strcmp(x->topic, y->topic);
    return by_topic != 0 ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

/* A list with the names of its topics in one piece of memory. */
static int copy_partitions(const struct kj_group *group, const struct kj_group_partitions *list,
                           struct kj_member_partition **ret_items)
{
    size_t bytes = list->count * sizeof(struct kj_member_partition) + 1;
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || list->items[i - 1].topic != list->items[i].topic)
            bytes += strlen(group->topics[list->items[i].topic].name) + 1;
    struct kj_member_partition *items = kj_alloc(bytes);
    if (items == NULL)
        return kj_err_oom("an assignment");
    char *names = (char *)(items + list->count);
    for (size_t i = 0; i < list->count; i++) {
        items[i].partition = list->items[i].partition;
        if (i > 0 && list->items[i - 1].topic == list->items[i].topic) {
            items[i].topic = items[i - 1].topic;
            continue;
        }
        const char *name = group->topics[list->items[i].topic].name;
        size_t len = strlen(name) + 1;
        memcpy(names, name, len);
        items[i].topic = names;
        names += len;
    }
    if (list->count > 1)
        qsort(items, list->count, sizeof *items, compare_partitions);
    *ret_items = items;
    return 0;
}

static void set_state(struct kj_member *member, enum kj_member_state state, uint64_t seen)
{
    kj_store_release(&member->state, state);
    kj_store_release(&member->seen, seen); /* pairs with kj_member_look(): state belongs to it */
}

static void lose(struct kj_member *member, enum kj_member_state state, uint64_t seen)
{
    kj_member_drop_slot(member);
    kj_store_release(&member->due_ns, INT64_MAX);
    set_state(member, state, seen);
}

/* A static member stays in the group when a generation is completed without it, but what it had
 * may be another's by now, and what it would commit is of the past. */
static bool passed_over(const struct kj_member *member, const struct kj_group *group,
                        const struct kj_group_member *me)
{
    return !me->joined && group->generation > member->joined_for;
}

int kj_member_adopt(struct kj_member *member, const struct kj_group *group, uint64_t state)
{
    const struct kj_group_member *me = group == NULL ? NULL : kj_group_find(group, member->id);
    if (me == NULL) {
        bool fenced =
            group != NULL && kj_group_find_instance(group, member->instance_id) != NULL;
        lose(member, fenced ? KJ_MEMBER_FENCED : KJ_MEMBER_LOST, state);
        return 0;
    }
    if (passed_over(member, group, me)) {
        lose(member, KJ_MEMBER_LOST, state);
        return 0;
    }
    /* The next rebalance may begin before a member saw what the last one gave it. */
    bool stable = group->phase == KJ_GROUP_STABLE;
    bool missed = !stable && !me->joined && group->generation != member->generation;
    if (stable || missed) {
        struct kj_member_partition *items = NULL;
        KJ_TRY(copy_partitions(group, &me->assigned, &items));
        kj_free(member->assignment);
        member->assignment = items;
        member->assignment_count = me->assigned.count;
    }
    if (stable)
        member->generation = group->generation;
    member->missed_generation = missed ? group->generation : -1;
    set_state(member,
              stable       ? KJ_MEMBER_STABLE
              : me->joined ? KJ_MEMBER_JOINED
                           : KJ_MEMBER_REJOIN,
              state);
    return 0;
}

static int look_again(struct kj_member *member)
{
    struct kj_groups *groups = member->groups;
    struct kj_area area = {(kj_word)kj_load_acquire(&member->area)};
    struct kj_group *group;
    uint64_t state;
    if (!in_group(kj_load_acquire(&member->state)) || area.word == 0)
        return 0;
    KJ_TRY(kj_group_peek(groups, area, member->group_id, &group, &state));
    int err = kj_member_adopt(member, group, state);
    kj_group_free(group);
    return err;
}

int kj_member_look(struct kj_member *member, enum kj_member_state *ret_state)
{
    int err = 0;
    uint64_t state = kj_load_acquire(&member->state);
    if (in_group(state) && blob_changed(member)) {
        kj_lock_acquire(&member->lock);
        err = look_again(member);
        kj_lock_release(&member->lock);
        state = kj_load_acquire(&member->state);
    }
    KJ_TRY(err);
    kj_store_release(&member->looked, state);
    *ret_state = (enum kj_member_state)state;
    return 0;
}

int kj_member_assignment(struct kj_member *member,
                         const struct kj_member_partition **ret_partitions, size_t *ret_count,
                         int32_t *ret_generation)
{
    int err = 0;
    kj_lock_acquire(&member->lock);
    uint64_t state = kj_load_acquire(&member->state);
    if (state == KJ_MEMBER_REJOIN && member->missed_generation >= 0) {
        member->generation = member->missed_generation;
        member->missed_generation = -1;
        state = KJ_MEMBER_STABLE;
    }
    if (state != KJ_MEMBER_STABLE) {
        err = kj_err(KAJA_ERR_ILLEGAL_GENERATION, "the member of group %s has no assignment now",
                     member->group_id);
    } else {
        *ret_partitions = member->assignment;
        *ret_count = member->assignment_count;
        *ret_generation = member->generation;
    }
    kj_lock_release(&member->lock);
    return err;
}

/* --- joining --- */

int kj_member_count_topics(struct kj_member *member, struct kj_group_join_topic *topics,
                           size_t count, uint64_t *ret_seen)
{
    struct kj_store *store = member->groups->store;
    *ret_seen = kj_store_catalog_generation(store); /* before: what is found is at least as new */
    for (size_t i = 0; i < count; i++) {
        struct kj_topic *topic;
        int err = kj_topic_find(store, topics[i].name, false, &topic);
        topics[i].partition_count = -1;
        if (err == 0) {
            topics[i].partition_count = kj_topic_partition_count(topic);
            kj_topic_release(topic);
        } else if (err != KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION) {
            return err;
        }
    }
    return 0;
}

/* Names and counts in one piece of memory. */
static int copy_topics(const char *const *names, size_t count,
                       struct kj_group_join_topic **ret_topics)
{
    size_t bytes = count * sizeof(struct kj_group_join_topic) + 1;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(names[i]) + 1;
    struct kj_group_join_topic *topics = kj_alloc(bytes);
    if (topics == NULL)
        return kj_err_oom("a subscription");
    char *text = (char *)(topics + count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]) + 1;
        memcpy(text, names[i], len);
        topics[i] = (struct kj_group_join_topic){text, -1};
        text += len;
    }
    *ret_topics = topics;
    return 0;
}

/* <client id or instance id>-<uuid> */
static void make_id(const struct kj_member *member, char *id, size_t bytes)
{
    const struct kj_clock *clock = kj_store_clock(member->groups->store);
    const char *stem = member->instance_id[0] != '\0' ? member->instance_id : member->client_id;
    uint8_t r[16];
    char uuid[40];
    clock->random(clock->arg, r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* UUID version 4 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    char *to = uuid;
    for (size_t i = 0; i < sizeof r; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        to += snprintf(to, 3, "%02x", r[i]);
    }
    int shown = (int)strnlen(stem, INSTANCE_ID_MAX > CLIENT_ID_SHOWN ? INSTANCE_ID_MAX
                                                                     : CLIENT_ID_SHOWN);
    /* A character of UTF-8 is not cut in two. */
    while (stem[shown] != '\0' && shown > 0 && ((uint8_t)stem[shown] & 0xc0) == 0x80)
        shown--;
    (void)snprintf(id, bytes, "%.*s-%s", shown, stem, uuid);
}

/* The step itself. *ret_lost: it is not what it was any more. */
static int join_step(struct kj_member *member, struct kj_group_op *op, struct kj_group_join *join,
                     bool *ret_lost)
{
    *ret_lost = false;
    if (join->member_id[0] == '\0')
        KJ_TRY(take_slot(member, op));
    join->slot = member->slot;
    join->now_ms = op->now_ms;
    int err = kj_group_join(op->group, join);
    if (err == KAJA_ERR_UNKNOWN_MEMBER_ID || err == KAJA_ERR_FENCED_INSTANCE_ID)
        *ret_lost = true;
    KJ_TRY(err);
    /* A join is a sign of life, and the next heartbeat counts from it. */
    kj_shared_store(kj_scratch_shared(member->groups->store), member->slot, (uint64_t)op->now_ms);
    kj_group_reap(op, true);
    return kj_group_op_publish(op);
}

static int join_locked(struct kj_member *member, struct kj_group_join *join)
{
    struct kj_groups *groups = member->groups;
    struct kj_group_op op;
    char new_id[sizeof member->id] = "";
    bool lost = false, fresh = !in_group(kj_load_acquire(&member->state));
    if (fresh)
        make_id(member, new_id, sizeof new_id);
    join->member_id = fresh ? "" : member->id;
    join->new_id = new_id;
    KJ_TRY(kj_group_op_begin(groups, member->group_id, KJ_OP_MAKE, INT64_MAX, &op));
    int err = join_step(member, &op, join, &lost);
    if (err == 0) {
        if (fresh)
            memcpy(member->id, new_id, sizeof new_id);
        kj_store_release(&member->area, op.area.word);
        member->joined_for =
            op.group->generation + (op.group->phase == KJ_GROUP_STABLE ? 0 : 1);
        member->tick_fresh = false;
        member->heartbeat_ms = op.now_ms + member->heartbeat_interval_ms;
        if (kj_load_acquire(&member->polled_ms) != INT64_MAX) /* else it is in a poll now */
            kj_store_release(&member->polled_ms, (uint64_t)op.now_ms);
        kj_store_release(&member->due_ns, 0);
        if (kj_member_adopt(member, op.group, op.state) != 0)
            set_state(member, KJ_MEMBER_JOINED, 0); /* no memory: the next look tries again */
    } else if (lost) {
        lose(member, err == KAJA_ERR_FENCED_INSTANCE_ID ? KJ_MEMBER_FENCED : KJ_MEMBER_LOST,
             op.state);
    } else if (fresh) {
        kj_member_drop_slot(member);
    }
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_group_op_end(&op);
    return err == 0 ? 0 : kj_err_restore(&why);
}

int kj_member_join(struct kj_member *member, const char *const *topics, size_t topic_count,
                   const struct kj_member_partition *owned, size_t owned_count)
{
    struct kj_groups *groups = member->groups;
    struct kj_group_join join = {.instance_id = member->instance_id,
                                 .client_id = member->client_id,
                                 .session_timeout_ms = member->session_timeout_ms,
                                 .rebalance_timeout_ms = member->rebalance_timeout_ms,
                                 .assignors = member->assignors,
                                 .assignor_count = member->assignor_count,
                                 .topic_count = topic_count,
                                 .owned_count = owned_count,
                                 .max_size = groups->options.max_size,
                                 .initial_delay_ms = groups->options.initial_delay_ms};
    struct kj_group_join_topic *copy = NULL;
    struct kj_group_join_partition *keeps =
        kj_alloc((owned_count + 1) * sizeof(struct kj_group_join_partition));
    if (keeps == NULL)
        return kj_err_oom("a subscription");
    for (size_t i = 0; i < owned_count; i++)
        keeps[i] = (struct kj_group_join_partition){owned[i].topic, owned[i].partition};
    int err = copy_topics(topics, topic_count, &copy);
    if (err != 0) {
        kj_free(keeps);
        return err;
    }
    kj_lock_acquire(&member->lock);
    if (kj_load_acquire(&member->state) == KJ_MEMBER_FENCED)
        err = kj_err(KAJA_ERR_FENCED_INSTANCE_ID,
                     "another member of group %s has taken over group.instance.id %s",
                     member->group_id, member->instance_id);
    if (err == 0)
        err = kj_member_count_topics(member, copy, topic_count, &join.seen);
    if (err == 0) {
        join.topics = copy;
        join.owned = keeps;
        join.owned_generation = owned_count > 0 ? member->generation : -1;
        join.force = member->force;
        err = join_locked(member, &join);
    }
    if (err == 0) {
        kj_free(member->topics);
        member->topics = copy;
        member->topic_count = topic_count;
        member->topics_seen = join.seen;
        member->topics_changed = false;
        member->force = false;
        copy = NULL;
    }
    kj_lock_release(&member->lock);
    kj_free(copy);
    kj_free(keeps);
    if (err == 0)
        kj_store_poke(groups->store);
    return err;
}

/* --- leaving --- */

int kj_member_go(struct kj_member *member, unsigned flags, int64_t deadline_ns,
                 enum kj_member_state state)
{
    struct kj_group_op op;
    if (!in_group(kj_load_acquire(&member->state)))
        return 0;
    KJ_TRY(kj_group_op_begin(member->groups, member->group_id, flags, deadline_ns, &op));
    struct kj_group_member *me = op.group == NULL ? NULL : kj_group_find(op.group, member->id);
    int err = 0;
    if (me != NULL) {
        kj_group_remove(op.group, me, op.now_ms);
        kj_group_reap(&op, true);
        err = kj_group_op_publish(&op);
    }
    struct kj_err_saved why;
    if (err == 0)
        lose(member, state, op.state);
    else
        kj_err_save(err, &why);
    kj_group_op_end(&op);
    return err == 0 ? 0 : kj_err_restore(&why);
}

int kj_member_leave(struct kj_member *member)
{
    return kj_member_leave_by(member, INT64_MAX);
}

int kj_member_leave_by(struct kj_member *member, int64_t deadline_ns)
{
    kj_lock_acquire(&member->lock);
    int err = kj_member_go(member, 0, deadline_ns, KJ_MEMBER_NONE);
    /* Whatever came of it: it is out for itself, and the others find its live byte free. */
    lose(member, KJ_MEMBER_NONE, kj_load_acquire(&member->seen));
    member->generation = -1;
    kj_lock_release(&member->lock);
    return err;
}

void kj_member_step_out(struct kj_member *member)
{
    kj_lock_acquire(&member->lock);
    if (kj_load_acquire(&member->state) != KJ_MEMBER_FENCED)
        lose(member, KJ_MEMBER_NONE, kj_load_acquire(&member->seen));
    member->generation = -1;
    kj_lock_release(&member->lock);
}

/* --- small things --- */

void kj_member_force(struct kj_member *member)
{
    kj_lock_acquire(&member->lock);
    member->force = true;
    kj_lock_release(&member->lock);
}

/* A static member that was silent beats again from its next poll on: at once, as its session may
 * end before the tick that would. */
void kj_member_poll_enter(struct kj_member *member)
{
    int64_t now_ms = kj_groups_now_ms(member->groups);
    int64_t before_ms = (int64_t)kj_load_acquire(&member->polled_ms);
    kj_store_release(&member->polled_ms, INT64_MAX); /* as long as it takes */
    if (now_ms - before_ms <= member->rebalance_timeout_ms)
        return;
    kj_lock_acquire(&member->lock);
    if (member->slot != 0) {
        kj_shared_store(kj_scratch_shared(member->groups->store), member->slot, (uint64_t)now_ms);
        member->heartbeat_ms = now_ms + member->heartbeat_interval_ms;
    }
    kj_lock_release(&member->lock);
}

void kj_member_poll_seen(struct kj_member *member)
{
    kj_store_release(&member->polled_ms, (uint64_t)kj_groups_now_ms(member->groups));
}

const char *kj_member_id(struct kj_member *member)
{
    return member->id;
}

const char *kj_member_group_id(const struct kj_member *member)
{
    return member->group_id;
}

bool kj_member_missed(struct kj_member *member)
{
    kj_lock_acquire(&member->lock);
    bool missed =
        kj_load_acquire(&member->state) == KJ_MEMBER_REJOIN && member->missed_generation >= 0;
    kj_lock_release(&member->lock);
    return missed;
}

int32_t kj_member_generation(struct kj_member *member)
{
    kj_lock_acquire(&member->lock);
    int32_t generation = member->generation;
    kj_lock_release(&member->lock);
    return generation;
}

const struct kj_wait_also *kj_member_wait(struct kj_member *member)
{
    return &member->wait;
}

/* --- commits --- */

void kj_member_commit_as(struct kj_member *member, struct kj_commit_as *ret_as)
{
    _Static_assert(sizeof ret_as->member_id == sizeof member->id, "ids fit");
    kj_lock_acquire(&member->lock);
    ret_as->groups = member->groups;
    ret_as->group_id = member->group_id;
    memcpy(ret_as->member_id, member->id, sizeof member->id);
    (void)snprintf(ret_as->instance_id, sizeof ret_as->instance_id, "%s", member->instance_id);
    ret_as->generation = member->generation;
    kj_lock_release(&member->lock);
}

/* The group's state under the append lock; members whose processes are dead taken out if it is to
 * be empty. *ret_group NULL: there is no live state, so no members. */
static int group_now(const struct kj_commit_as *as, bool reap, struct kj_group **ret_group)
{
    struct kj_groups *groups = as->groups;
    struct kj_group_op op = {.groups = groups};
    *ret_group = NULL;
    KJ_TRY(kj_area_find(groups->store, -1, kj_area_hash(as->group_id), &op.area));
    if (op.area.word == 0)
        return 0;
    KJ_TRY(kj_group_peek(groups, op.area, as->group_id, &op.group, &op.state));
    op.now_ms = kj_groups_now_ms(groups);
    if (reap && op.group != NULL)
        kj_group_reap(&op, false); /* in this copy only: the tick of a member does it for good */
    *ret_group = op.group;
    return 0;
}

int kj_group_check_commit(void *arg)
{
    const struct kj_commit_as *as = arg;
    struct kj_group *group;
    bool simple = as->generation < 0 && as->member_id[0] == '\0';
    KJ_TRY(group_now(as, simple, &group));
    int err = 0;
    if (group != NULL)
        err = kj_group_commit_error(group, as->member_id, as->instance_id, as->generation);
    else if (!simple || as->instance_id[0] != '\0')
        err = kj_err(KAJA_ERR_UNKNOWN_MEMBER_ID, "group %s has no members", as->group_id);
    kj_group_free(group);
    return err;
}

int kj_group_check_empty(void *arg)
{
    const struct kj_commit_as *as = arg;
    struct kj_group *group;
    KJ_TRY(group_now(as, true, &group));
    int err = 0;
    if (group != NULL && group->member_count > 0)
        err = kj_err(KAJA_ERR_NON_EMPTY_GROUP, "group %s has %zu members", as->group_id,
                     group->member_count);
    kj_group_free(group);
    return err;
}

int kj_group_check_unread(void *arg)
{
    const struct kj_group_unread *unread = arg;
    struct kj_group *group;
    KJ_TRY(group_now(&unread->as, true, &group));
    int err = 0;
    for (size_t i = 0; group != NULL && i < unread->topic_count && err == 0; i++)
        if (has_reader(group, unread->topics[i]))
            err = kj_err(KAJA_ERR_GROUP_SUBSCRIBED_TO_TOPIC,
                         "members of group %s subscribe to topic %s: its offsets stay",
                         unread->as.group_id, unread->topics[i]);
    kj_group_free(group);
    return err;
}
