/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_blob.c - a group's live state as bytes: see coord/group_state.h.
 *
 *   u64 checksum | u32 version | u32 phase, generation, assignor, flags | i64 x 5 times
 *   string id, leader
 *   u32 topics:  each string name, i32 partition count, u64 seen
 *   u32 members: each string id, instance id, client id; u32 slot, session and rebalance timeout,
 *                joined, owned generation; u32 count + u8 assignors; u32 count + u32 topics;
 *                u32 count + (u32 topic, i32 partition) owned; the same assigned
 */
#include "coord/group_state.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

#include <string.h>
#include <xxhash.h>

enum { BLOB_VERSION = 1, CHECKSUM = 8, FLAG_NEWCOMERS = 1, FLAG_RECORD_DUE = 2 };

_Static_assert(sizeof(struct kj_group_partition) == 8, "partitions go in and out as they are");

/* --- writing --- */

static int put(struct kj_buffer *out, const void *bytes, size_t len)
{
    if (out->capacity - out->len < len)
        KJ_TRY(kj_buffer_reserve(out, 2 * out->capacity + len + 1024));
    if (len > 0)
        memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
    return 0;
}

static int put_u32(struct kj_buffer *out, uint32_t value)
{
    return put(out, &value, sizeof value);
}

static int put_i64(struct kj_buffer *out, int64_t value)
{
    return put(out, &value, sizeof value);
}

static int put_text(struct kj_buffer *out, const char *text)
{
    size_t len = strlen(text);
    KJ_TRY(put_u32(out, (uint32_t)len));
    return put(out, text, len + 1);
}

static int put_list(struct kj_buffer *out, const void *items, size_t count, size_t bytes)
{
    KJ_TRY(put_u32(out, (uint32_t)count));
    return put(out, items, count * bytes);
}

static int put_member(struct kj_buffer *out, const struct kj_group_member *member)
{
    KJ_TRY(put_text(out, member->id));
    KJ_TRY(put_text(out, member->instance_id));
    KJ_TRY(put_text(out, member->client_id));
    KJ_TRY(put_u32(out, member->slot));
    KJ_TRY(put_u32(out, (uint32_t)member->session_timeout_ms));
    KJ_TRY(put_u32(out, (uint32_t)member->rebalance_timeout_ms));
    KJ_TRY(put_u32(out, member->joined));
    KJ_TRY(put_u32(out, (uint32_t)member->owned_generation));
    KJ_TRY(put_list(out, member->assignors, member->assignor_count, 1));
    KJ_TRY(put_list(out, member->topics, member->topic_count, sizeof *member->topics));
    KJ_TRY(put_list(out, member->owned.items, member->owned.count, sizeof *member->owned.items));
    return put_list(out, member->assigned.items, member->assigned.count,
                    sizeof *member->assigned.items);
}

int kj_group_encode(const struct kj_group *group, struct kj_buffer *ret_bytes)
{
    struct kj_buffer *out = ret_bytes;
    const int64_t times[] = {group->state_timestamp_ms, group->deadline_ms, group->initial_end_ms,
                             group->initial_left_ms, group->initial_delay_ms};
    static const uint8_t zeros[8];
    out->len = 0;
    KJ_TRY(put_i64(out, 0));
    KJ_TRY(put_u32(out, BLOB_VERSION));
    KJ_TRY(put_u32(out, (uint32_t)group->phase));
    KJ_TRY(put_u32(out, (uint32_t)group->generation));
    KJ_TRY(put_u32(out, group->assignor));
    KJ_TRY(put_u32(out, (group->newcomers ? FLAG_NEWCOMERS : 0u) |
                            (group->record_due ? FLAG_RECORD_DUE : 0u)));
    KJ_TRY(put(out, times, sizeof times));
    KJ_TRY(put_text(out, group->id));
    KJ_TRY(put_text(out, group->leader));
    KJ_TRY(put_u32(out, (uint32_t)group->topic_count));
    for (size_t i = 0; i < group->topic_count; i++) {
        KJ_TRY(put_text(out, group->topics[i].name));
        KJ_TRY(put_u32(out, (uint32_t)group->topics[i].partition_count));
        KJ_TRY(put_i64(out, (int64_t)group->topics[i].seen));
    }
    KJ_TRY(put_u32(out, (uint32_t)group->member_count));
    for (size_t i = 0; i < group->member_count; i++)
        KJ_TRY(put_member(out, &group->members[i]));
    KJ_TRY(put(out, zeros, (size_t)-out->len % sizeof zeros)); /* it is stored as words */
    uint64_t sum = XXH3_64bits(out->bytes + CHECKSUM, out->len - CHECKSUM);
    memcpy(out->bytes, &sum, sizeof sum);
    return 0;
}

/* --- reading: a source that runs dry stays dry, and is looked at once at the end --- */

struct in {
    struct kj_group *group;
    const uint8_t *at; /* in memory of the group's own */
    size_t left;
    bool bad;
    bool no_memory; /* it may be good */
};

static const uint8_t *take(struct in *in, size_t len)
{
    if (in->bad || len > in->left) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *at = in->at;
    in->at += len;
    in->left -= len;
    return at;
}

static uint32_t take_u32(struct in *in)
{
    const uint8_t *at = take(in, 4);
    return at == NULL ? 0 : kj_get_le32(at);
}

static int64_t take_i64(struct in *in)
{
    const uint8_t *at = take(in, 8);
    int64_t value = 0;
    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return value;
}

/* Points into the blob. */
static const char *take_text(struct in *in)
{
    uint32_t len = take_u32(in);
    /* Before the addition, which may wrap where size_t has 32 bits. */
    const uint8_t *at = take(in, len < in->left ? (size_t)len + 1 : SIZE_MAX);
    if (at == NULL)
        return "";
    if (at[len] != '\0' || memchr(at, '\0', len) != NULL) {
        in->bad = true;
        return "";
    }
    return (const char *)at;
}

/* A list in aligned memory; count 0 where it is bad. */
static void *take_list(struct in *in, size_t bytes, size_t *ret_count)
{
    size_t count = take_u32(in);
    const uint8_t *at = count > in->left / bytes ? NULL : take(in, count * bytes);
    void *items = at == NULL ? NULL : kj_group_alloc(in->group, count, bytes);
    *ret_count = 0;
    if (items == NULL) {
        in->bad = true;
        in->no_memory = in->no_memory || at != NULL;
        return NULL;
    }
    memcpy(items, at, count * bytes);
    *ret_count = count;
    return items;
}

static void take_partitions(struct in *in, struct kj_group_partitions *ret_list)
{
    ret_list->items = take_list(in, sizeof *ret_list->items, &ret_list->count);
    for (size_t i = 0; i < ret_list->count; i++) {
        const struct kj_group_partition *item = &ret_list->items[i];
        const struct kj_group_partition *last = i > 0 ? item - 1 : NULL;
        if (item->topic >= in->group->topic_count || item->partition < 0 ||
            (last != NULL && (last->topic > item->topic || (last->topic == item->topic &&
                                                            last->partition >= item->partition))))
            in->bad = true;
    }
}

static void take_member(struct in *in, struct kj_group_member *member)
{
    member->id = take_text(in);
    member->instance_id = take_text(in);
    member->client_id = take_text(in);
    member->slot = take_u32(in);
    member->session_timeout_ms = (int32_t)take_u32(in);
    member->rebalance_timeout_ms = (int32_t)take_u32(in);
    uint32_t joined = take_u32(in);
    member->joined = joined != 0;
    member->owned_generation = (int32_t)take_u32(in);
    member->assignor_count = take_u32(in);
    if (joined > 1 || member->assignor_count == 0 ||
        member->assignor_count > KJ_GROUP_ASSIGNORS_MAX || member->id[0] == '\0' ||
        member->session_timeout_ms < 0 || member->rebalance_timeout_ms < 0)
        in->bad = true;
    const uint8_t *assignors = take(in, member->assignor_count);
    if (assignors != NULL)
        memcpy(member->assignors, assignors, member->assignor_count);
    member->topics = take_list(in, sizeof *member->topics, &member->topic_count);
    for (size_t i = 0; i < member->topic_count; i++)
        if (member->topics[i] >= in->group->topic_count ||
            (i > 0 && member->topics[i - 1] >= member->topics[i]))
            in->bad = true;
    take_partitions(in, &member->owned);
    take_partitions(in, &member->assigned);
}

static int take_topics(struct in *in)
{
    struct kj_group *group = in->group;
    enum { LEAST = 4 + 1 + 4 + 8 };
    size_t count = take_u32(in);
    if (count > in->left / LEAST) {
        in->bad = true;
        return 0;
    }
    group->topics = kj_alloc_zero(count + 1, sizeof *group->topics);
    if (group->topics == NULL)
        return kj_err_oom("a group");
    group->topic_capacity = count + 1;
    for (; group->topic_count < count; group->topic_count++) {
        struct kj_group_topic *topic = &group->topics[group->topic_count];
        topic->name = take_text(in);
        topic->partition_count = (int32_t)take_u32(in);
        topic->seen = (uint64_t)take_i64(in);
        if (topic->partition_count < -1)
            in->bad = true;
    }
    return 0;
}

static int take_members(struct in *in)
{
    struct kj_group *group = in->group;
    enum { LEAST = 3 * 5 + 9 * 4 };
    size_t count = take_u32(in);
    if (count > in->left / LEAST) {
        in->bad = true;
        return 0;
    }
    group->members = kj_alloc_zero(count + 1, sizeof *group->members);
    if (group->members == NULL)
        return kj_err_oom("a group");
    group->member_capacity = count + 1;
    for (; group->member_count < count && !in->bad; group->member_count++)
        take_member(in, &group->members[group->member_count]);
    return 0;
}

static int take_all(struct in *in)
{
    struct kj_group *group = in->group;
    uint32_t version = take_u32(in);
    uint32_t phase = take_u32(in);
    group->generation = (int32_t)take_u32(in);
    uint32_t assignor = take_u32(in);
    uint32_t flags = take_u32(in);
    group->state_timestamp_ms = take_i64(in);
    group->deadline_ms = take_i64(in);
    group->initial_end_ms = take_i64(in);
    group->initial_left_ms = take_i64(in);
    group->initial_delay_ms = take_i64(in);
    group->id = take_text(in);
    group->leader = take_text(in);
    if (version != BLOB_VERSION || phase < KJ_GROUP_EMPTY || phase > KJ_GROUP_STABLE ||
        assignor > KJ_GROUP_NO_ASSIGNOR || flags > (FLAG_NEWCOMERS | FLAG_RECORD_DUE) ||
        group->generation < 0 || group->deadline_ms < 0 || group->initial_end_ms < 0 ||
        group->initial_left_ms < 0 || group->initial_left_ms > INT32_MAX ||
        group->initial_delay_ms < 0 || group->initial_delay_ms > INT32_MAX)
        in->bad = true;
    group->phase = (enum kj_group_phase)phase;
    group->assignor = (uint8_t)assignor;
    group->newcomers = (flags & FLAG_NEWCOMERS) != 0;
    group->record_due = (flags & FLAG_RECORD_DUE) != 0;
    KJ_TRY(take_topics(in));
    KJ_TRY(take_members(in));
    if (in->left > 7 || (group->phase == KJ_GROUP_EMPTY) != (group->member_count == 0))
        in->bad = true;
    return 0;
}

int kj_group_decode(const uint8_t *bytes, size_t len, struct kj_group **ret_group)
{
    uint64_t sum;
    struct kj_group *group = NULL;
    static const char damaged[] = "the state of a group in the control file is damaged";
    if (len < CHECKSUM)
        return kj_err(KAJA_ERR_DAMAGED, "%s", damaged);
    memcpy(&sum, bytes, sizeof sum);
    if (sum != XXH3_64bits(bytes + CHECKSUM, len - CHECKSUM))
        return kj_err(KAJA_ERR_DAMAGED, "%s", damaged);
    KJ_TRY(kj_group_new("", 0, &group));
    uint8_t *copy = kj_group_alloc(group, len, 1);
    int err = copy == NULL ? kj_err_oom("a group") : 0;
    if (err == 0) {
        memcpy(copy, bytes, len);
        struct in in = {.group = group, .at = copy + CHECKSUM, .left = len - CHECKSUM};
        err = take_all(&in);
        if (err == 0 && in.no_memory)
            err = kj_err_oom("a group");
        if (err == 0 && in.bad)
            err = kj_err(KAJA_ERR_DAMAGED, "%s", damaged);
    }
    if (err != 0) {
        kj_group_free(group);
        return err;
    }
    *ret_group = group;
    return 0;
}
