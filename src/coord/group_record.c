/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_record.c - a group's lasting state: Kafka's group metadata record, one for each
 * completed generation and one when the group has become empty. Subscriptions and assignments in
 * it have the form of Kafka's "consumer" protocol, so that its tools can show them.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "record/coord_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kj_span span(const char *text)
{
    return (struct kj_span){text, strlen(text)};
}

/* A batch of one record. */
static int append(struct kj_partition *partition, int64_t wall_ms, const void *key,
                  size_t key_bytes, const void *value, size_t value_bytes)
{
    enum { ROOM = 256 }; /* batch header, and what a record adds to its key and value */
    size_t capacity = key_bytes + value_bytes + ROOM;
    uint8_t *buf = kj_alloc(capacity);
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    struct kj_append_batch batch = {0};
    const struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    struct kj_record record = {.timestamp = wall_ms,
                               .key = key,
                               .key_bytes = key_bytes,
                               .value = value,
                               .value_bytes = value_bytes};
    if (buf == NULL)
        return kj_err_oom("a group's record");
    kj_batch_writer_init(&writer, buf, capacity);
    int err = kj_batch_writer_append(&writer, &record)
                  ? kj_batch_writer_seal(&writer, &seal, &out, &batch.bytes, &batch.len)
                  : kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a group's record is too large");
    if (err == 0)
        err = kj_partition_append_held(partition, &batch, 1, KJ_APPEND_INTERNAL);
    if (err == 0)
        err = batch.ret_error;
    kj_buffer_free(&out);
    kj_free(buf);
    return err;
}

/* --- the "consumer" protocol's bytes: version 3, big-endian, strings with i16 length --- */

enum { PROTOCOL_VERSION = 3, NONE = -1 };

static int put(struct kj_buffer *out, const void *bytes, size_t len)
{
    if (out->capacity - out->len < len)
        KJ_TRY(kj_buffer_reserve(out, 2 * out->capacity + len + 1024));
    if (len > 0)
        memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
    return 0;
}

static int put_i16(struct kj_buffer *out, int16_t value)
{
    uint8_t bytes[2];
    kj_put_be16(bytes, (uint16_t)value);
    return put(out, bytes, sizeof bytes);
}

static int put_i32(struct kj_buffer *out, int32_t value)
{
    uint8_t bytes[4];
    kj_put_be32(bytes, (uint32_t)value);
    return put(out, bytes, sizeof bytes);
}

static int put_name(struct kj_buffer *out, const char *name)
{
    size_t len = strlen(name);
    KJ_TRY(put_i16(out, (int16_t)len)); /* a topic's name: 249 bytes at most */
    return put(out, name, len);
}

struct named {
    const char *name;
    size_t first, count; /* of a list of partitions */
};

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Array of (topic, array of partition), sorted by name. names: room for as many as there are
 * topics. */
static int put_partitions(struct kj_buffer *out, const struct kj_group *group,
                          const struct kj_group_partitions *list, struct named *names)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || list->items[i].topic != list->items[i - 1].topic)
            names[count++] = (struct named){group->topics[list->items[i].topic].name, i, 0};
        names[count - 1].count++;
    }
    if (count > 1)
        qsort(names, count, sizeof *names, compare_named);
    KJ_TRY(put_i32(out, (int32_t)count));
    for (size_t i = 0; i < count; i++) {
        KJ_TRY(put_name(out, names[i].name));
        KJ_TRY(put_i32(out, (int32_t)names[i].count));
        for (size_t k = 0; k < names[i].count; k++)
            KJ_TRY(put_i32(out, list->items[names[i].first + k].partition));
    }
    return 0;
}

static int put_subscription(struct kj_buffer *out, const struct kj_group *group,
                            const struct kj_group_member *member, struct named *names)
{
    for (size_t i = 0; i < member->topic_count; i++)
        names[i] = (struct named){group->topics[member->topics[i]].name, 0, 0};
    if (member->topic_count > 1)
        qsort(names, member->topic_count, sizeof *names, compare_named);
    KJ_TRY(put_i16(out, PROTOCOL_VERSION));
    KJ_TRY(put_i32(out, (int32_t)member->topic_count));
    for (size_t i = 0; i < member->topic_count; i++)
        KJ_TRY(put_name(out, names[i].name));
    KJ_TRY(put_i32(out, NONE)); /* user data */
    KJ_TRY(put_partitions(out, group, &member->owned, names));
    KJ_TRY(put_i32(out, member->owned_generation));
    return put_i16(out, NONE); /* rack */
}

static int put_assignment(struct kj_buffer *out, const struct kj_group *group,
                          const struct kj_group_member *member, struct named *names)
{
    KJ_TRY(put_i16(out, PROTOCOL_VERSION));
    KJ_TRY(put_partitions(out, group, &member->assigned, names));
    return put_i32(out, NONE); /* user data */
}

/* --- the record --- */

/* The members as the record has them; bytes holds their subscriptions and assignments. */
static int fill_members(const struct kj_group *group, struct kj_coord_member *members,
                        struct kj_buffer *bytes)
{
    int err = 0;
    struct named *names = kj_alloc((group->topic_count + 1) * sizeof *names);
    if (names == NULL)
        return kj_err_oom("a group's record");
    for (size_t i = 0; i < group->member_count && err == 0; i++) {
        const struct kj_group_member *from = &group->members[i];
        size_t begin = bytes->len;
        err = put_subscription(bytes, group, from, names);
        size_t middle = bytes->len;
        if (err == 0)
            err = put_assignment(bytes, group, from, names);
        members[i] = (struct kj_coord_member){
            .id = span(from->id),
            .instance_id =
                from->instance_id[0] == '\0' ? (struct kj_span){NULL, 0} : span(from->instance_id),
            .client_id = span(from->client_id),
            .client_host = span("/127.0.0.1"),
            .rebalance_timeout_ms = from->rebalance_timeout_ms,
            .session_timeout_ms = from->session_timeout_ms,
            .subscription = {NULL, middle - begin},
            .assignment = {NULL, bytes->len - middle}};
    }
    /* They lie one behind the other; now they do not move any more. */
    const char *at = (const char *)bytes->bytes;
    for (size_t i = 0; i < group->member_count && err == 0; i++) {
        members[i].subscription.at = at;
        members[i].assignment.at = at + members[i].subscription.len;
        at = members[i].assignment.at + members[i].assignment.len;
    }
    kj_free(names);
    return err;
}

static int write_record(struct kj_group_op *op, bool with_members)
{
    const struct kj_group *group = op->group;
    const struct kj_coord_key key = {.group = span(group->id)};
    const bool stable = with_members && group->phase == KJ_GROUP_STABLE;
    struct kj_coord_group record = {
        .protocol_type = span("consumer"),
        .generation = group->generation,
        .state_ms = group->state_timestamp_ms,
        .member_count = stable ? (int32_t)group->member_count : 0,
    };
    if (stable) {
        record.protocol = span(kj_assignor_name((enum kj_assignor)group->assignor));
        record.leader = span(group->leader);
    }
    struct kj_buffer bytes = {0};
    uint8_t *key_bytes = kj_alloc(kj_coord_key_bytes(&key)), *value = NULL;
    struct kj_coord_member *members = kj_alloc_zero(group->member_count + 1, sizeof *members);
    int err = key_bytes == NULL || members == NULL ? kj_err_oom("a group's record") : 0;
    if (err == 0 && stable)
        err = fill_members(group, members, &bytes);
    if (err == 0) {
        value = kj_alloc(kj_coord_group_bytes(&record, members));
        err = value == NULL ? kj_err_oom("a group's record") : 0;
    }
    if (err == 0) {
        size_t key_len = (size_t)(kj_coord_key_encode(&key, key_bytes) - key_bytes);
        size_t value_len = (size_t)(kj_coord_group_encode(&record, members, value) - value);
        err = append(op->partition, group->state_timestamp_ms, key_bytes, key_len, value,
                     value_len);
    }
    kj_free(value);
    kj_free(members);
    kj_free(key_bytes);
    kj_buffer_free(&bytes);
    return err;
}

static bool too_large(int err)
{
    return err == KAJA_ERR_RECORD_TOO_LARGE || err == KAJA_ERR_RECORD_LIST_TOO_LARGE;
}

static void tell_too_large(struct kj_group_op *op)
{
    struct kj_event event = {.kind = KAJA_EVENT_BACKGROUND,
                             .error = KAJA_ERR_RECORD_TOO_LARGE,
                             .partition = kj_partition_number(op->partition),
                             .offset = -1,
                             .end_offset = -1};
    (void)snprintf(event.topic, sizeof event.topic, "%s", KJ_OFFSETS_TOPIC);
    (void)snprintf(event.text, sizeof event.text,
                   "group %.100s goes on, but generation %d with its %zu members is not recorded: "
                   "%.200s",
                   op->group_id, op->group->generation, op->group->member_count,
                   kaja_error_detail());
    kj_store_event_add(op->groups->store, &event);
    kj_err_clear();
}

int kj_group_record_write(struct kj_group_op *op)
{
    int err = write_record(op, true);
    if (!too_large(err))
        return err;
    tell_too_large(op);
    err = write_record(op, false);
    return too_large(err) ? KAJA_ERR_RECORD_TOO_LARGE : err;
}
