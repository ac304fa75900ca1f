/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_op.c - one step of a group, under its lock:
 *
 *     hold the partition -> area -> blob -> [the step] -> complete -> record -> publish -> let go
 *     -> wake
 *
 * A blob that is missing, damaged or another group's counts for none: the group is then as its
 * newest record says, without members. Those who believe they are members find out and join anew.
 */
#include "coord/group_internal.h"

#include "base/err.h"

#include <string.h>

int64_t kj_groups_now_ms(struct kj_groups *groups)
{
    return kj_mono_ns(kj_store_clock(groups->store)) / 1000000;
}

/* group_id NULL: any. */
static int decode(const struct kj_buffer *blob, const char *group_id, struct kj_group **ret_group)
{
    struct kj_group *group = NULL;
    *ret_group = NULL;
    if (blob->len == 0)
        return 0;
    int err = kj_group_decode(blob->bytes, blob->len, &group);
    if (err == KAJA_ERR_DAMAGED) {
        kj_err_clear();
        return 0;
    }
    KJ_TRY(err);
    if (group_id != NULL && strcmp(group->id, group_id) != 0) {
        kj_group_free(group);
        return 0;
    }
    *ret_group = group;
    return 0;
}

int kj_group_peek(struct kj_groups *groups, struct kj_area area, const char *group_id,
                  struct kj_group **ret_group, uint64_t *ret_state)
{
    struct kj_buffer blob = {0};
    *ret_group = NULL;
    int err = kj_area_read(groups->store, area, &blob, ret_state);
    if (err == KAJA_ERR_DAMAGED) {
        kj_err_clear();
        blob.len = 0;
        *ret_state = kj_area_state(groups->store, area);
        err = 0;
    }
    if (err == 0)
        err = decode(&blob, group_id, ret_group);
    kj_buffer_free(&blob);
    return err;
}

int kj_groups_each(struct kj_groups *groups, kj_group_each *callback, void *arg)
{
    enum { AREAS_MAX = 1 << 20 }; /* the chain is input */
    struct kj_area area = {0};
    int32_t partition;
    for (int i = 0; i < AREAS_MAX && kj_scratch_shared(groups->store) != NULL; i++) {
        struct kj_group *group = NULL;
        uint64_t state;
        KJ_TRY(kj_area_next(groups->store, area, &area, &partition));
        if (area.word == 0)
            break;
        KJ_TRY(kj_group_peek(groups, area, NULL, &group, &state));
        int err = group == NULL ? 0 : callback(arg, group);
        kj_group_free(group);
        KJ_TRY(err);
    }
    return 0;
}

/* --- who is alive --- */

bool kj_group_slot_alive(struct kj_groups *groups, uint32_t slot)
{
    kj_lock_acquire(&groups->lock);
    bool own = kj_map_get_u64(&groups->slots, slot) != NULL;
    kj_lock_release(&groups->lock);
    /* The kernel does not show us our own locks. */
    return own || (kj_area_slot_ok(groups->store, slot) &&
                   kj_shared_lock_held(kj_scratch_shared(groups->store), kj_scratch_lock(slot)));
}

/* ask: the kernel too, for dynamic ones. */
static bool is_gone(struct kj_groups *groups, const struct kj_group_member *member, int64_t now_ms,
                    bool ask)
{
    struct kj_store *store = groups->store;
    if (ask && member->instance_id[0] == '\0' && !kj_group_slot_alive(groups, member->slot))
        return true;
    if (!kj_area_slot_ok(store, member->slot))
        return true;
    int64_t heartbeat_ms = (int64_t)kj_shared_load(kj_scratch_shared(store), member->slot);
    return kj_group_expired(member, heartbeat_ms, now_ms);
}

bool kj_group_member_gone(struct kj_groups *groups, const struct kj_group_member *member)
{
    return is_gone(groups, member, kj_groups_now_ms(groups), true);
}

static bool gone(struct kj_group_op *op, const struct kj_group_member *member, bool unjoined_only)
{
    bool ask = !unjoined_only || (op->group->phase == KJ_GROUP_PREPARING && !member->joined);
    return is_gone(op->groups, member, op->now_ms, ask);
}

static bool all_joined(const struct kj_group *group)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (!group->members[i].joined)
            return false;
    return group->phase == KJ_GROUP_PREPARING;
}

static void reap(struct kj_group_op *op, bool unjoined_only)
{
    for (size_t i = 0; i < op->group->member_count;)
        if (gone(op, &op->group->members[i], unjoined_only))
            kj_group_remove(op->group, &op->group->members[i], op->now_ms);
        else
            i++;
}

void kj_group_reap(struct kj_group_op *op, bool unjoined_only)
{
    reap(op, unjoined_only);
    /* About to complete: one who joined and died since would get a share for nothing. */
    if (unjoined_only && all_joined(op->group))
        reap(op, false);
}

/* --- groups that all have left without a word --- */

/* May another group have the area? Its record is written, and the rest is as after the death of
 * everybody: what comes next follows from the record. The lock of the partition, which is the lock
 * of both groups, is held. */
static bool area_is_dead(void *arg, struct kj_area area)
{
    struct kj_groups *groups = arg;
    struct kj_group *group = NULL;
    uint64_t state;
    if (kj_group_peek(groups, area, NULL, &group, &state) != 0)
        kj_err_clear();
    bool dead = group != NULL && !group->record_due;
    for (size_t i = 0; dead && i < group->member_count; i++)
        dead = kj_group_member_gone(groups, &group->members[i]);
    kj_group_free(group);
    return dead;
}

/* Takes the dead out of one group, if there are any. */
static int sweep_group(struct kj_groups *groups, const struct kj_group *seen)
{
    struct kj_group_op op;
    bool any = false;
    for (size_t i = 0; i < seen->member_count && !any; i++)
        any = kj_group_member_gone(groups, &seen->members[i]);
    if (!any)
        return 0;
    KJ_TRY(kj_group_op_begin(groups, seen->id, KJ_OP_NO_WAIT, INT64_MAX, &op));
    int err = 0;
    if (op.group != NULL) {
        kj_group_reap(&op, false);
        err = kj_group_op_publish(&op);
    }
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_group_op_end(&op);
    return err == 0 ? 0 : kj_err_restore(&why);
}

static int sweep_each(void *arg, struct kj_group *seen)
{
    int err = sweep_group(arg, seen);
    if (err == 0 || err == KAJA_ERR_OUT_OF_MEMORY)
        return err;
    kj_err_clear(); /* somebody is at that group */
    return 0;
}

int kj_groups_sweep(struct kj_groups *groups)
{
    return kj_groups_each(groups, sweep_each, groups);
}

/* --- the step --- */

static int find_partition(struct kj_group_op *op, unsigned flags)
{
    KJ_TRY(kj_offset_store_partition(op->groups->offsets, op->group_id, (flags & KJ_OP_MAKE) != 0,
                                     &op->partition));
    if (op->partition == NULL)
        return kj_err(KAJA_ERR_GROUP_ID_NOT_FOUND, "there is no group %s", op->group_id);
    if ((flags & KJ_OP_NO_WAIT) != 0 && kj_partition_busy(op->partition))
        return kj_err(KAJA_ERR_LOCK_TIMED_OUT, "group %s is being changed", op->group_id);
    return 0;
}

static int read_state(struct kj_group_op *op, unsigned flags)
{
    struct kj_groups *groups = op->groups;
    struct kj_offset_group stored;
    bool found;
    int32_t number = kj_partition_number(op->partition);
    if ((flags & KJ_OP_MAKE) != 0)
        KJ_TRY(kj_area_claim(groups->store, number, op->hash, area_is_dead, groups, &op->area));
    else
        KJ_TRY(kj_area_find(groups->store, number, op->hash, &op->area));
    if (op->area.word == 0)
        return 0;
    KJ_TRY(kj_group_peek(groups, op->area, op->group_id, &op->group, &op->state));
    if (op->group != NULL)
        return 0;
    KJ_TRY(kj_offset_store_group(groups->offsets, op->group_id, &found, &stored));
    found = found && stored.has_record && stored.generation > 0;
    return kj_group_new(op->group_id, found ? stored.generation : 0, &op->group);
}

int kj_group_op_begin(struct kj_groups *groups, const char *group_id, unsigned flags,
                      int64_t deadline_ns, struct kj_group_op *ret_op)
{
    struct kj_group_op op = {
        .groups = groups, .group_id = group_id, .hash = kj_area_hash(group_id)};
    KJ_TRY(find_partition(&op, flags));
    KJ_TRY((flags & KJ_OP_NO_WAIT) != 0 ? kj_partition_hold_soon(op.partition)
                                        : kj_partition_hold_by(op.partition, deadline_ns));
    op.now_ms = kj_groups_now_ms(groups); /* behind the lock: it may have been waited for */
    kj_shared_point(kj_scratch_shared(groups->store), "group: locked");
    int err = read_state(&op, flags);
    if (err != 0) {
        kj_group_op_end(&op);
        return err;
    }
    *ret_op = op;
    return 0;
}

/* A group that was deleted after its members died needs no record that says it is empty: that would
 * bring it back. */
static int drop_record_of_deleted(struct kj_group_op *op)
{
    struct kj_offset_group stored;
    bool found;
    if (op->group->member_count > 0 || !op->group->record_due)
        return 0;
    KJ_TRY(kj_offset_store_group(op->groups->offsets, op->group_id, &found, &stored));
    op->group->record_due = found;
    return 0;
}

int kj_group_op_publish(struct kj_group_op *op)
{
    struct kj_group *group = op->group;
    struct kj_store *store = op->groups->store;
    int64_t wall_ms = kj_wall_ms(kj_store_clock(store));
    KJ_TRY(kj_group_complete(group, op->now_ms, wall_ms, kj_group_assign, NULL));
    KJ_TRY(drop_record_of_deleted(op));
    if (group->record_due) {
        kj_shared_point(kj_scratch_shared(store), "group: record");
        /* Consuming goes on although a full disk or a poisoned partition takes no record: it stays
         * due, and is tried again. */
        int err = kj_group_record_write(op);
        if (err == 0 || err == KAJA_ERR_RECORD_TOO_LARGE) { /* that does not get better */
            kj_err_clear();
            group->record_due = false;
            group->changed = true;
        } else if (err == KAJA_ERR_OUT_OF_MEMORY) {
            return err;
        } else {
            kj_err_clear();
        }
    }
    if (!group->changed)
        return 0;
    KJ_TRY(kj_group_encode(group, &op->blob));
    KJ_TRY(kj_area_write(store, op->area, &op->blob,
                         group->member_count == 0 && !group->record_due));
    op->state = kj_area_state(store, op->area);
    return 0;
}

void kj_group_op_end(struct kj_group_op *op)
{
    bool wake = op->group != NULL && op->group->changed;
    kj_partition_let_go(op->partition);
    if (wake)
        kj_store_wake_group(op->groups->store, (uint32_t)op->hash);
    kj_buffer_free(&op->blob);
    kj_group_free(op->group);
    op->group = NULL;
}
