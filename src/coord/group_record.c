/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_record.c - a group's lasting state: Kafka's group metadata record, one for each
 * completed generation and one when the group has become empty. Subscriptions and assignments in
 * it have the form of Kafka's "consumer" protocol, so that its tools can show them.
 */
#include "coord/group_internal.h"

#include "base/alloc.h"
#include "base/err.h"
#include "record/coord_record.h"

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

/* The members as the record has them; bytes holds what they point to. */
static int fill_members(const struct kj_group *group, struct kj_coord_member *members,
                        struct kj_buffer *bytes)
{
    (void)bytes;
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *from = &group->members[i];
        members[i] = (struct kj_coord_member){
            .id = span(from->id),
            .instance_id =
                from->instance_id[0] == '\0' ? (struct kj_span){NULL, 0} : span(from->instance_id),
            .client_id = span(from->client_id),
            .client_host = span("/127.0.0.1"),
            .rebalance_timeout_ms = from->rebalance_timeout_ms,
            .session_timeout_ms = from->session_timeout_ms,
            .subscription = span(""),
            .assignment = span("")};
    }
    return 0;
}

int kj_group_record_write(struct kj_group_op *op)
{
    const struct kj_group *group = op->group;
    const struct kj_coord_key key = {.group = span(group->id)};
    const bool stable = group->phase == KJ_GROUP_STABLE;
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
