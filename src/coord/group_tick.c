/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_tick.c - what comes due for a member without anybody asking: its heartbeat, looking
 * after the others, the end of a join phase, topics that changed, its own owner gone silent.
 *
 * Looking after the others costs little and needs no lock: one look at the successor's live byte
 * (each member has one who looks at it) and a load of each heartbeat. Only who finds something to
 * do takes the group's lock, and there looks again.
 *
 * The worker that calls this also sends what producers wait for, so it never waits for a group's
 * lock that somebody else holds, who may be stopped: it comes again.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/err.h"

#include <string.h>

enum {
    TICK_MS = 100,  /* a dead process is noticed within so long */
    AGAIN_MS = 10,  /* the group was being changed */
    RETRY_MS = 1000 /* a record that could not be written */
};

static bool in_group(const struct kj_member *member)
{
    uint64_t state = kj_load_acquire(&member->state);
    return state == KJ_MEMBER_JOINED || state == KJ_MEMBER_STABLE || state == KJ_MEMBER_REJOIN;
}

/* --- what is watched --- */

static int note(struct kj_member *member, const struct kj_group *group)
{
    void *watched = member->watched;
    KJ_TRY(kj_grow(&watched, &member->watched_capacity, group->member_count + 1,
                   sizeof *member->watched));
    member->watched = watched;
    member->watched_count = group->member_count;
    member->watched_self = group->member_count;
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *other = &group->members[i];
        member->watched[i] = (struct kj_watched){other->slot, other->session_timeout_ms,
                                                 other->instance_id[0] == '\0'};
        if (strcmp(other->id, member->id) == 0)
            member->watched_self = i;
    }
    member->group_due_ms = kj_group_due_ms(group);
    if (!group->record_due)
        member->record_retry_ms = 0;
    else if (member->record_retry_ms == 0)
        member->record_retry_ms = kj_groups_now_ms(member->groups) + RETRY_MS;
    return 0;
}

/* Reads the blob if it is another than the last time. */
static int follow(struct kj_member *member)
{
    struct kj_groups *groups = member->groups;
    struct kj_area area = {(kj_word)kj_load_acquire(&member->area)};
    struct kj_group *group;
    uint64_t state;
    if (member->tick_fresh && kj_area_state(groups->store, area) == member->tick_seen)
        return 0;
    KJ_TRY(kj_group_peek(groups, area, member->group_id, &group, &state));
    if (group == NULL) { /* damaged, or no member is left: the next look finds out */
        member->watched_count = 0;
        member->group_due_ms = INT64_MAX;
        member->tick_seen = state;
        member->tick_fresh = true;
        return 0;
    }
    int err = note(member, group);
    kj_group_free(group);
    KJ_TRY(err);
    member->tick_seen = state;
    member->tick_fresh = true;
    return 0;
}

/* The successors, up to the first that is alive. */
static bool found_dead(struct kj_member *member)
{
    size_t count = member->watched_count, self = member->watched_self;
    for (size_t i = 1; i < count && self < count; i++) {
        const struct kj_watched *other = &member->watched[(self + i) % count];
        if (kj_group_slot_alive(member->groups, other->slot))
            return false;
        if (other->dynamic)
            return true;
    }
    return false;
}

static bool found_expired(struct kj_member *member, int64_t now_ms)
{
    struct kj_store *store = member->groups->store;
    for (size_t i = 0; i < member->watched_count; i++) {
        const struct kj_watched *other = &member->watched[i];
        if (!kj_area_slot_ok(store, other->slot))
            return true;
        struct kj_group_member as = {.session_timeout_ms = other->session_timeout_ms};
        int64_t heartbeat_ms = (int64_t)kj_shared_load(kj_scratch_shared(store), other->slot);
        if (kj_group_expired(&as, heartbeat_ms, now_ms))
            return true;
    }
    return false;
}

/* Are the topics as they were when it joined? */
static int found_topics_changed(struct kj_member *member, bool *ret_changed)
{
    struct kj_store *store = member->groups->store;
    *ret_changed = member->topics_changed;
    if (*ret_changed || kj_store_catalog_generation(store) == member->topics_seen)
        return 0;
    struct kj_group_join_topic *now =
        kj_alloc((member->topic_count + 1) * sizeof(struct kj_group_join_topic));
    uint64_t seen;
    if (now == NULL)
        return kj_err_oom("a subscription");
    if (member->topic_count > 0)
        memcpy(now, member->topics, member->topic_count * sizeof *now);
    int err = kj_member_count_topics(member, now, member->topic_count, &seen);
    for (size_t i = 0; i < member->topic_count && err == 0; i++)
        if (now[i].partition_count != member->topics[i].partition_count)
            *ret_changed = true;
    kj_free(now);
    if (err == 0 && !*ret_changed)
        member->topics_seen = seen;
    member->topics_changed = *ret_changed;
    return err;
}

/* --- acting --- */

static int act(struct kj_member *member, bool topics_changed)
{
    struct kj_group_op op;
    uint64_t seen = 0;
    if (topics_changed) /* outside the lock; what is found belongs to seen */
        KJ_TRY(kj_member_count_topics(member, member->topics, member->topic_count, &seen));
    KJ_TRY(kj_group_op_begin(member->groups, member->group_id, KJ_OP_NO_WAIT, INT64_MAX,
                             &op));
    int err = 0;
    if (op.group != NULL) {
        kj_group_reap(&op, false);
        if (topics_changed)
            err = kj_group_topics(op.group, member->topics, member->topic_count, seen, op.now_ms,
                                  NULL);
        if (err == 0)
            err = kj_group_op_publish(&op);
        if (err == 0 && topics_changed) {
            member->topics_seen = seen;
            member->topics_changed = false;
        }
    }
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_group_op_end(&op);
    return err == 0 ? 0 : kj_err_restore(&why);
}

/* Its owner does not poll: a dynamic member leaves, a static one lets its session end. */
static bool silent(const struct kj_member *member, int64_t now_ms)
{
    int64_t polled_ms = (int64_t)kj_load_acquire(&member->polled_ms);
    return now_ms - polled_ms > member->rebalance_timeout_ms;
}

static int tick(struct kj_member *member, int64_t now_ms)
{
    struct kj_store *store = member->groups->store;
    bool topics_changed;
    if (silent(member, now_ms)) {
        if (member->instance_id[0] == '\0')
            return kj_member_go(member, KJ_OP_NO_WAIT, INT64_MAX, KJ_MEMBER_LOST);
        member->heartbeat_ms = now_ms + member->heartbeat_interval_ms; /* perhaps it polls then */
    } else if (now_ms >= member->heartbeat_ms && member->slot != 0) {
        kj_shared_store(kj_scratch_shared(store), member->slot, (uint64_t)now_ms);
        member->heartbeat_ms = now_ms + member->heartbeat_interval_ms;
    }
    KJ_TRY(follow(member));
    KJ_TRY(found_topics_changed(member, &topics_changed));
    bool record_due = member->record_retry_ms != 0 && now_ms >= member->record_retry_ms;
    if (!topics_changed && !record_due && now_ms < member->group_due_ms && !found_dead(member) &&
        !found_expired(member, now_ms))
        return 0;
    if (record_due)
        member->record_retry_ms = now_ms + RETRY_MS;
    return act(member, topics_changed);
}

static void set_due(struct kj_member *member, int64_t now_ms, int err)
{
    if (!in_group(member)) {
        kj_store_release(&member->due_ns, INT64_MAX);
        return;
    }
    int64_t due_ms = now_ms + (err == 0 ? TICK_MS : AGAIN_MS);
    if (err == 0 && member->heartbeat_ms < due_ms)
        due_ms = member->heartbeat_ms;
    if (err == 0 && member->group_due_ms < due_ms)
        due_ms = member->group_due_ms;
    if (due_ms <= now_ms)
        due_ms = now_ms + 1; /* what is due for ever must not keep a thread busy */
    kj_store_release(&member->due_ns, (uint64_t)due_ms * 1000000);
}

static int64_t due_ns(struct kj_member *member)
{
    return (int64_t)kj_load_acquire(&member->due_ns);
}

int kj_member_tick(struct kj_member *member, int64_t *ret_next_due_ns)
{
    int err = 0;
    int64_t now_ns = kj_mono_ns(kj_store_clock(member->groups->store));
    if (now_ns >= due_ns(member)) {
        /* Its owner is in a step: that may wait for the group's lock. */
        if (!kj_lock_try(&member->lock)) {
            if (ret_next_due_ns != NULL)
                *ret_next_due_ns = now_ns + (int64_t)AGAIN_MS * 1000000;
            return 0;
        }
        int64_t now_ms = now_ns / 1000000;
        if (in_group(member))
            err = tick(member, now_ms);
        set_due(member, now_ms, err);
        kj_lock_release(&member->lock);
    }
    if (ret_next_due_ns != NULL)
        *ret_next_due_ns = due_ns(member);
    return err;
}

int64_t kj_member_next_due_ns(struct kj_member *member)
{
    return due_ns(member);
}

/* --- all members of the handle: the store's worker --- */

static struct kj_member *end_tick(struct kj_groups *groups, struct kj_member *member)
{
    kj_lock_acquire(&groups->lock);
    struct kj_member *next = member == NULL ? groups->members : member->next;
    if (member != NULL) {
        member->ticking = false; /* from here on it may be freed */
        kj_cond_broadcast(&groups->cond);
    }
    if (next != NULL)
        next->ticking = true;
    kj_lock_release(&groups->lock);
    return next;
}

int64_t kj_groups_task(void *arg)
{
    struct kj_groups *groups = arg;
    int64_t due_ns = INT64_MAX;
    for (struct kj_member *member = end_tick(groups, NULL); member != NULL;
         member = end_tick(groups, member)) {
        int64_t next_ns;
        if (kj_member_tick(member, &next_ns) != 0)
            kj_err_clear(); /* it is tried again; whoever needs it meets it in a call of his own */
        if (next_ns < due_ns)
            due_ns = next_ns;
    }
    return due_ns;
}
