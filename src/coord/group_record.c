/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_record.c - a group's lasting state: Kafka's group metadata record, one for each
 * completed generation and one when the group has become empty. Subscriptions and assignments in
 * it have the form of Kafka's "consumer" protocol, so that its tools can show them.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/err.h"
#include "coord/protocol.h"
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

/* --- what the members say, in the "consumer" protocol's bytes (coord/protocol.h) --- */

/* Room for the lists of any one member. */
struct lists {
    struct kj_span *topics;
    struct kj_protocol_partition *owned, *assigned;
};

static void lists_free(struct lists *lists)
{
    kj_free(lists->topics);
    kj_free(lists->owned);
    kj_free(lists->assigned);
}

static int lists_new(const struct kj_group *group, struct lists *ret_lists)
{
    size_t topics = 1, owned = 1, assigned = 1;
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *member = &group->members[i];
        topics = member->topic_count > topics ? member->topic_count : topics;
        owned = member->owned.count > owned ? member->owned.count : owned;
        assigned = member->assigned.count > assigned ? member->assigned.count : assigned;
    }
    *ret_lists = (struct lists){.topics = kj_alloc_zero(topics, sizeof(struct kj_span)),
                                .owned = kj_alloc_zero(owned, sizeof *ret_lists->owned),
                                .assigned = kj_alloc_zero(assigned, sizeof *ret_lists->assigned)};
    if (ret_lists->topics != NULL && ret_lists->owned != NULL && ret_lists->assigned != NULL)
        return 0;
    lists_free(ret_lists);
    return kj_err_oom("a group's record");
}

static int compare_spans(const struct kj_span *a, const struct kj_span *b)
{
    return strcmp(a->at, b->at); /* names in a group are terminated */
}

static int compare_topics(const void *a, const void *b)
{
    return compare_spans(a, b);
}

static int compare_partitions(const void *a, const void *b)
{
    const struct kj_protocol_partition *x = a, *y = b;
    int by_topic = compare_spans(&x->topic, &y->topic);
    return by_topic != 0 ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

/* By names, where the group has numbers. */
static void name_partitions(const struct kj_group *group, const struct kj_group_partitions *list,
                            struct kj_protocol_partition *partitions)
{
    for (size_t i = 0; i < list->count; i++)
        partitions[i] = (struct kj_protocol_partition){
            .topic = i > 0 && list->items[i - 1].topic == list->items[i].topic
                         ? partitions[i - 1].topic
                         : span(group->topics[list->items[i].topic].name),
            .partition = list->items[i].partition};
    if (list->count > 1)
        qsort(partitions, list->count, sizeof *partitions, compare_partitions);
}

/* Appends one member's subscription and assignment; how long each is. */
static int put_member(struct kj_buffer *out, const struct kj_group *group,
                      const struct kj_group_member *member, struct lists *lists,
                      size_t *ret_subscription, size_t *ret_assignment)
{
    for (size_t i = 0; i < member->topic_count; i++)
        lists->topics[i] = span(group->topics[member->topics[i]].name);
    if (member->topic_count > 1)
        qsort(lists->topics, member->topic_count, sizeof *lists->topics, compare_topics);
    name_partitions(group, &member->owned, lists->owned);
    name_partitions(group, &member->assigned, lists->assigned);
    const struct kj_subscription_parts parts = {.topics = lists->topics,
                                                .topic_count = member->topic_count,
                                                .owned = lists->owned,
                                                .owned_count = member->owned.count,
                                                .generation = member->owned_generation};
    *ret_subscription = kj_subscription_bytes(&parts);
    *ret_assignment = kj_assignment_bytes(lists->assigned, member->assigned.count);
    size_t len = *ret_subscription + *ret_assignment;
    if (out->capacity - out->len < len)
        KJ_TRY(kj_buffer_reserve(out, 2 * out->capacity + len));
    uint8_t *at = kj_subscription_encode(&parts, out->bytes + out->len);
    (void)kj_assignment_encode(lists->assigned, member->assigned.count, at);
    out->len += len;
    return 0;
}

/* --- the record --- */

static bool fits(const char *text)
{
    return strlen(text) <= KJ_COORD_STRING_MAX;
}

/* They come from the blob, which is input. */
static int check_names(const struct kj_group *group)
{
    bool good = fits(group->leader);
    for (size_t i = 0; i < group->topic_count; i++)
        good = good && fits(group->topics[i].name);
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *member = &group->members[i];
        good = good && fits(member->id) && fits(member->instance_id) && fits(member->client_id);
    }
    return good ? 0
                : kj_err(KAJA_ERR_DAMAGED, "a name in the state of group %.100s is too long",
                         group->id);
}

/* The members as the record has them; bytes holds their subscriptions and assignments. */
static int fill_members(const struct kj_group *group, struct kj_coord_member *members,
                        struct kj_buffer *bytes)
{
    struct lists lists;
    int err = 0;
    KJ_TRY(lists_new(group, &lists));
    for (size_t i = 0; i < group->member_count && err == 0; i++) {
        const struct kj_group_member *from = &group->members[i];
        struct kj_coord_member *to = &members[i];
        *to = (struct kj_coord_member){
            .id = span(from->id),
            .instance_id =
                from->instance_id[0] == '\0' ? (struct kj_span){NULL, 0} : span(from->instance_id),
            .client_id = span(from->client_id),
            .client_host = span("/127.0.0.1"),
            .rebalance_timeout_ms = from->rebalance_timeout_ms,
            .session_timeout_ms = from->session_timeout_ms};
        err = put_member(bytes, group, from, &lists, &to->subscription.len, &to->assignment.len);
    }
    lists_free(&lists);
    /* They lie one behind the other; now they do not move any more. */
    const char *at = (const char *)bytes->bytes;
    for (size_t i = 0; i < group->member_count && err == 0; i++) {
        members[i].subscription.at = at;
        members[i].assignment.at = at + members[i].subscription.len;
        at = members[i].assignment.at + members[i].assignment.len;
    }
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
    if (err == 0)
        err = check_names(group);
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
