/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_expire.c - offsets that nobody asked for in offsets.retention.minutes go.
 *
 *     written with an expire time       at that time
 *     the group has members             retention after the commit, topics alone that no member
 *                                       subscribes to
 *     it had members once               retention after it became empty (after the commit, if its
 *                                       last record still has members: they died without a word)
 *     it only ever committed            retention after the commit
 *
 * A topic that was deleted takes its offsets along, or one made anew under its name would be read
 * from where the old one was left. A group without members, offsets and a use goes too. Several handles may look at the same time:
 * who writes looks again under the append lock, and finds what the other has left.
 */
#include "coord/offset_internal.h"

#include <string.h>

struct round {
    struct kj_offset_store *offsets;
    struct kj_offset_part *part;
    int64_t now_ms;
    int64_t retention_ms;
    const char *topic; /* not NULL: this one was deleted, its offsets go whatever their age */
};

/* Of a topic: by a call of the application, which waits for the lock as its others do. By age: by
 * the worker, who has other things to do than to wait for a handle that is stopped. */
static int hold(const struct round *round)
{
    struct kj_partition *partition = atomic_load(&round->part->partition);
    return round->topic != NULL ? kj_partition_hold(partition) : kj_partition_hold_soon(partition);
}

/* Is it time, if nobody in the group reads the topic? */
static bool is_old(const struct round *round, const struct kj_offset_kept *entry, bool members)
{
    const struct kj_offset_owner *owner = entry->owner;
    if (round->topic != NULL)
        return entry->topic.len == strlen(round->topic) &&
               memcmp(entry->topic.at, round->topic, entry->topic.len) == 0;
    if (entry->expire_ms >= 0)
        return round->now_ms >= entry->expire_ms;
    int64_t from = entry->commit_ms;
    if (!members && owner->consumer && owner->state_ms >= 0 &&
        (owner->member_count == 0 || owner->state_ms > from))
        from = owner->state_ms;
    return from <= round->now_ms && round->now_ms - from >= round->retention_ms;
}

/* A group with something to do, its id copied. OFFSETS lock held while it is looked for. */
struct group_list {
    char **ids;
    size_t count, capacity;
};

static bool has_old(const struct round *round, const struct kj_offset_owner *owner)
{
    /* Members in the record may be dead since: who is left is asked under the lock. */
    bool any = round->topic == NULL && owner->count == 0 && owner->has_record;
    for (const struct kj_offset_kept *e = owner->first; e != NULL && !any; e = e->next)
        any = is_old(round, e, false) || is_old(round, e, true);
    return any;
}

static int add_id(struct group_list *list, const char *id)
{
    void *ids = list->ids;
    KJ_TRY(kj_grow(&ids, &list->capacity, list->count + 1, sizeof *list->ids));
    list->ids = ids;
    list->ids[list->count] = kj_strdup(id);
    if (list->ids[list->count] == NULL)
        return kj_err_oom("a group's name");
    list->count++;
    return 0;
}

static int find_groups(struct round *round, struct group_list *list)
{
    struct kj_map_entry at;
    kj_lock_acquire(&round->offsets->lock);
    int err = kj_offset_follow(round->part);
    for (size_t i = 0; err == 0 && kj_map_next(&round->part->map.owners, &i, &at);)
        if (has_old(round, at.value))
            err = add_id(list, ((const struct kj_offset_owner *)at.value)->id);
    kj_lock_release(&round->offsets->lock);
    return err;
}

/* --- one group, its append lock held: nothing of it changes meanwhile --- */

static bool subscribed(const struct round *round, const char *id, const struct kj_offset_kept *e)
{
    const struct kj_offset_groups *groups = &round->offsets->groups;
    char topic[256];
    if (round->topic != NULL)
        return false; /* to what is there no more */
    if (groups->subscribes == NULL || e->topic.len >= sizeof topic)
        return true;
    memcpy(topic, e->topic.at, e->topic.len);
    topic[e->topic.len] = '\0';
    return groups->subscribes(groups->arg, id, topic);
}

static int add_tombstone(const struct round *round, struct kj_offset_scratch *scratch, int version,
                         const uint8_t *key, size_t bytes)
{
    KJ_TRY(kj_buffer_reserve(&scratch->text, bytes + 2));
    kj_put_be16(scratch->text.bytes, (uint16_t)version);
    memcpy(scratch->text.bytes + 2, key, bytes);
    return kj_offset_scratch_add(scratch, round->now_ms, scratch->text.bytes, bytes + 2, NULL, 0);
}

/* The old ones, which stay where they are as long as the caller has both locks. */
static int add_old(const struct round *round, const char *id, bool members,
                   struct kj_offset_scratch *scratch)
{
    enum { KEY_OFFSET = 1 };
    struct kj_offset_owner *owner = kj_offset_map_owner(&round->part->map, id);
    size_t left = 0;
    if (owner == NULL)
        return 0;
    for (struct kj_offset_kept *e = owner->first; e != NULL; e = e->next) {
        if (!is_old(round, e, members) || (members && subscribed(round, id, e)))
            left++;
        else
            KJ_TRY(add_tombstone(round, scratch, KEY_OFFSET, e->key, e->key_bytes));
    }
    /* A deleted topic does not end a group: whether anybody uses that, a round by age asks. */
    if (left > 0 || members || !owner->has_record || round->topic != NULL)
        return 0;
    const struct kj_coord_key key = {.group = {id, strlen(id)}};
    KJ_TRY(kj_buffer_reserve(&scratch->text, kj_coord_key_bytes(&key)));
    const uint8_t *end = kj_coord_key_encode(&key, scratch->text.bytes);
    return kj_offset_scratch_add(scratch, round->now_ms, scratch->text.bytes,
                                 (size_t)(end - scratch->text.bytes), NULL, 0);
}

static int expire_group(const struct round *round, const char *id)
{
    struct kj_offset_store *offsets = round->offsets;
    struct kj_partition *partition = atomic_load(&round->part->partition);
    struct kj_offset_ticket ticket;
    struct kj_offset_scratch *scratch = kj_offset_scratch_take(offsets, round->part, false);
    if (scratch == NULL)
        return kj_err_oom("tombstones");
    int err = hold(round);
    if (err == 0) {
        bool members = offsets->groups.has_members != NULL &&
                       offsets->groups.has_members(offsets->groups.arg, id);
        kj_lock_acquire(&offsets->lock);
        err = kj_offset_follow(round->part);
        if (err == 0)
            err = add_old(round, id, members, scratch);
        kj_lock_release(&offsets->lock);
        if (err == 0)
            err = kj_offset_scratch_finish(scratch);
        if (err == 0 && scratch->batch_count > 0)
            err = kj_offset_scratch_append(scratch, round->part, &ticket);
        kj_partition_let_go(partition);
    }
    kj_offset_scratch_give(offsets, scratch);
    return err;
}

static int expire_part(struct kj_offset_store *offsets, struct kj_offset_part *part,
                       const char *topic)
{
    struct round round = {.offsets = offsets,
                          .part = part,
                          .now_ms = kj_wall_ms(offsets->clock),
                          .retention_ms = offsets->options.retention_minutes * 60000,
                          .topic = topic};
    struct group_list list = {0};
    int err = find_groups(&round, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (err == 0)
            err = expire_group(&round, list.ids[i]);
        kj_free(list.ids[i]);
    }
    kj_free(list.ids);
    return err;
}

static int expire_all(struct kj_offset_store *offsets, const char *topic)
{
    bool found;
    if (kj_store_read_only(offsets->store))
        return 0;
    KJ_TRY(kj_offset_parts(offsets, false, &found));
    for (int32_t p = 0; found && p < offsets->part_count; p++) {
        struct kj_offset_part *part = &atomic_load(&offsets->parts)[p];
        KJ_TRY(kj_offset_part_load(part));
        KJ_TRY(expire_part(offsets, part, topic));
    }
    return 0;
}

int kj_offset_store_expire(struct kj_offset_store *offsets)
{
    if (offsets->groups.sweep != NULL && !kj_store_read_only(offsets->store))
        offsets->groups.sweep(offsets->groups.arg);
    return expire_all(offsets, NULL);
}

int kj_offset_store_forget_topic(struct kj_offset_store *offsets, const char *topic)
{
    return expire_all(offsets, topic);
}

static int flush(struct kj_offset_store *offsets)
{
    for (int32_t p = 0; p < offsets->part_count; p++) {
        struct kj_partition *partition = atomic_load(&atomic_load(&offsets->parts)[p].partition);
        struct kj_log *log = partition != NULL ? kj_partition_log(partition) : NULL;
        if (log != NULL && kj_log_durable(log) < kj_log_end(log))
            KJ_TRY(kj_store_flush(offsets->store, &partition, 1));
    }
    return 0;
}

int kj_offset_store_topic_gone(struct kj_store *store, const char *topic)
{
    struct kj_offset_store_options options;
    struct kj_offset_store *offsets;
    struct kj_err_saved why;
    kj_offset_store_options_defaults(&options); /* nothing is made, so none of them counts */
    /* Apart from the handle's own, which may not be there yet, or any more. */
    KJ_TRY(kj_offset_store_new(store, &options, &offsets));
    int err = kj_offset_store_forget_topic(offsets, topic);
    if (err == 0)
        err = flush(offsets);
    if (err != 0)
        kj_err_save(err, &why);
    kj_offset_store_close(offsets);
    return err == 0 ? 0 : kj_err_restore(&why);
}
