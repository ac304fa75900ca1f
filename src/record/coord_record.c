/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/coord_record.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/varint.h"

#include <string.h>

enum { KEY_OFFSET_OLD = 0, KEY_OFFSET = 1, KEY_GROUP = 2 };
enum { OFFSET_EXPIRES = 1, OFFSET_EPOCH = 3, OFFSET_FLEXIBLE = 4, OFFSET_VERSION_MAX = 4 };
enum {
    GROUP_REBALANCE_TIMEOUT = 1,
    GROUP_STATE_TIME = 2,
    GROUP_INSTANCE = 3,
    GROUP_WRITTEN = 3,
    GROUP_FLEXIBLE = 4,
    GROUP_VERSION_MAX = 4
};
enum { TOPIC_ID_TAG = 0, TOPIC_ID_BYTES = 16 };

/* --- reading: whatever goes wrong once makes the rest zeros and nulls --- */

struct input {
    const uint8_t *at, *end;
    bool flexible;
    bool bad;
};

static const uint8_t *take(struct input *in, size_t bytes)
{
    const uint8_t *p = in->at;
    if (in->bad || bytes > (size_t)(in->end - in->at)) {
        in->bad = true;
        return NULL;
    }
    in->at += bytes;
    return p;
}

static int16_t take_i16(struct input *in)
{
    const uint8_t *p = take(in, 2);
    return p == NULL ? 0 : kj_get_be16s(p);
}

static int32_t take_i32(struct input *in)
{
    const uint8_t *p = take(in, 4);
    return p == NULL ? 0 : kj_get_be32s(p);
}

static int64_t take_i64(struct input *in)
{
    const uint8_t *p = take(in, 8);
    return p == NULL ? 0 : kj_get_be64s(p);
}

static uint32_t take_uvarint(struct input *in)
{
    uint32_t u = 0;
    const uint8_t *p = in->bad ? NULL : kj_uvarint_get(in->at, in->end, &u);
    if (p == NULL) {
        in->bad = true;
        return 0;
    }
    in->at = p;
    return u;
}

static struct kj_span take_span(struct input *in, int64_t len, bool nullable)
{
    struct kj_span span = {NULL, 0};
    if (len < -1 || (len == -1 && !nullable))
        in->bad = true;
    if (len >= 0 && !in->bad) {
        span.at = (const char *)take(in, (size_t)len);
        span.len = span.at != NULL ? (size_t)len : 0;
    }
    return span;
}

static struct kj_span take_string(struct input *in, bool nullable)
{
    int64_t len = in->flexible ? (int64_t)take_uvarint(in) - 1 : take_i16(in);
    if (len > KJ_COORD_STRING_MAX)
        in->bad = true;
    return take_span(in, len, nullable);
}

static struct kj_span take_bytes(struct input *in)
{
    int64_t len = in->flexible ? (int64_t)take_uvarint(in) - 1 : take_i32(in);
    return take_span(in, len, false);
}

/* Tagged fields, of which only a topic's id is of interest (ret_topic_id may be NULL). */
static void take_tags(struct input *in, const uint8_t **ret_topic_id)
{
    if (!in->flexible)
        return;
    int64_t before = -1; /* tags rise */
    for (uint32_t count = take_uvarint(in); count > 0 && !in->bad; count--) {
        uint32_t tag = take_uvarint(in);
        uint32_t size = take_uvarint(in);
        const uint8_t *p = take(in, size);
        if (tag <= before)
            in->bad = true;
        before = tag;
        if (tag == TOPIC_ID_TAG && ret_topic_id != NULL && p != NULL) {
            in->bad = in->bad || size != TOPIC_ID_BYTES;
            *ret_topic_id = p;
        }
    }
}

/* --- keys --- */

enum kj_coord_kind kj_coord_key_decode(const uint8_t *key, size_t bytes,
                                       struct kj_coord_key *ret_key)
{
    if (key == NULL)
        return KJ_COORD_BAD;
    struct input in = {.at = key, .end = key + bytes};
    int version = take_i16(&in);
    if (in.bad || version < 0)
        return KJ_COORD_BAD;
    if (version > KEY_GROUP)
        return KJ_COORD_OTHER;
    struct kj_coord_key found = {.group = take_string(&in, false), .partition = -1};
    if (version <= KEY_OFFSET) {
        found.topic = take_string(&in, false);
        found.partition = take_i32(&in);
    }
    if (in.bad)
        return KJ_COORD_BAD;
    *ret_key = found;
    return version == KEY_GROUP ? KJ_COORD_GROUP : KJ_COORD_OFFSET;
}

static uint8_t *put_string(uint8_t *p, struct kj_span span)
{
    KJ_ASSERT(span.len <= KJ_COORD_STRING_MAX);
    kj_put_be16(p, span.at == NULL ? UINT16_MAX : (uint16_t)span.len);
    if (span.len > 0)
        memcpy(p + 2, span.at, span.len);
    return p + 2 + span.len;
}

static uint8_t *put_i32(uint8_t *p, int32_t value)
{
    kj_put_be32(p, (uint32_t)value);
    return p + 4;
}

static uint8_t *put_i64(uint8_t *p, int64_t value)
{
    kj_put_be64(p, (uint64_t)value);
    return p + 8;
}

size_t kj_coord_key_bytes(const struct kj_coord_key *key)
{
    return 2 + 2 + key->group.len + (key->topic.at == NULL ? 0 : 2 + key->topic.len + 4);
}

uint8_t *kj_coord_key_encode(const struct kj_coord_key *key, uint8_t *p)
{
    bool offset = key->topic.at != NULL;
    kj_put_be16(p, offset ? KEY_OFFSET : KEY_GROUP);
    p = put_string(p + 2, key->group);
    return offset ? put_i32(put_string(p, key->topic), key->partition) : p;
}

/* --- offsets --- */

bool kj_coord_offset_decode(const uint8_t *value, size_t bytes, struct kj_coord_offset *ret_offset)
{
    struct input in = {.at = value, .end = value + bytes};
    struct kj_coord_offset found = {.version = take_i16(&in), .leader_epoch = -1, .expire_ms = -1};
    if (in.bad || found.version < 0 || found.version > OFFSET_VERSION_MAX)
        return false;
    in.flexible = found.version >= OFFSET_FLEXIBLE;
    found.offset = take_i64(&in);
    if (found.version >= OFFSET_EPOCH)
        found.leader_epoch = take_i32(&in);
    found.metadata = take_string(&in, false);
    found.commit_ms = take_i64(&in);
    if (found.version == OFFSET_EXPIRES)
        found.expire_ms = take_i64(&in);
    take_tags(&in, &found.topic_id);
    if (in.bad)
        return false;
    *ret_offset = found;
    return true;
}

size_t kj_coord_offset_bytes(const struct kj_coord_offset *offset)
{
    size_t fixed = 2 + 8 + 4 + 8;
    if (offset->version == OFFSET_FLEXIBLE)
        return fixed + kj_uvarint_bytes((uint32_t)offset->metadata.len + 1) + offset->metadata.len +
               1;
    return fixed + 2 + offset->metadata.len;
}

uint8_t *kj_coord_offset_encode(const struct kj_coord_offset *offset, uint8_t *p)
{
    bool flexible = offset->version == OFFSET_FLEXIBLE;
    KJ_ASSERT(flexible || offset->version == OFFSET_EPOCH);
    kj_put_be16(p, (uint16_t)offset->version);
    p = put_i32(put_i64(p + 2, offset->offset), offset->leader_epoch);
    if (!flexible) {
        struct kj_span text = offset->metadata;
        p = put_string(p, text.at == NULL ? (struct kj_span){"", 0} : text);
        return put_i64(p, offset->commit_ms);
    }
    p = kj_uvarint_put(p, (uint32_t)offset->metadata.len + 1);
    if (offset->metadata.len > 0)
        memcpy(p, offset->metadata.at, offset->metadata.len);
    p = put_i64(p + offset->metadata.len, offset->commit_ms);
    *p = 0; /* no tagged fields */
    return p + 1;
}

/* --- groups --- */

static void take_member(struct input *in, int version, struct kj_coord_member *member)
{
    *member = (struct kj_coord_member){.id = take_string(in, false), .rebalance_timeout_ms = -1};
    if (version >= GROUP_INSTANCE)
        member->instance_id = take_string(in, true);
    member->client_id = take_string(in, false);
    member->client_host = take_string(in, false);
    if (version >= GROUP_REBALANCE_TIMEOUT)
        member->rebalance_timeout_ms = take_i32(in);
    member->session_timeout_ms = take_i32(in);
    member->subscription = take_bytes(in);
    member->assignment = take_bytes(in);
    take_tags(in, NULL);
}

bool kj_coord_member_next(const struct kj_coord_group *group, const uint8_t **at,
                          struct kj_coord_member *ret_member)
{
    struct input in = {
        .at = *at, .end = group->end, .flexible = group->version >= GROUP_FLEXIBLE};
    struct kj_coord_member member;
    take_member(&in, group->version, &member);
    if (in.bad)
        return false;
    *at = in.at;
    *ret_member = member;
    return true;
}

bool kj_coord_group_decode(const uint8_t *value, size_t bytes, struct kj_coord_group *ret_group)
{
    struct input in = {.at = value, .end = value + bytes};
    struct kj_coord_group found = {.version = take_i16(&in), .state_ms = -1};
    if (in.bad || found.version < 0 || found.version > GROUP_VERSION_MAX)
        return false;
    in.flexible = found.version >= GROUP_FLEXIBLE;
    found.protocol_type = take_string(&in, false);
    found.generation = take_i32(&in);
    found.protocol = take_string(&in, true);
    found.leader = take_string(&in, true);
    if (found.version >= GROUP_STATE_TIME)
        found.state_ms = take_i64(&in);
    int64_t count = in.flexible ? (int64_t)take_uvarint(&in) - 1 : take_i32(&in);
    if (in.bad || count < 0 || count > INT32_MAX)
        return false;
    found.member_count = (int32_t)count;
    found.members = in.at;
    for (; count > 0 && !in.bad; count--) { /* each takes bytes, so the value bounds them */
        struct kj_coord_member member;
        take_member(&in, found.version, &member);
    }
    found.end = in.at;
    take_tags(&in, NULL);
    if (in.bad)
        return false;
    *ret_group = found;
    return true;
}

size_t kj_coord_group_bytes(const struct kj_coord_group *group,
                            const struct kj_coord_member *members)
{
    enum { GROUP_FIXED = 2 + 2 + 4 + 2 + 2 + 8 + 4, MEMBER_FIXED = 4 * 2 + 2 * 4 + 2 * 4 };
    size_t bytes =
        GROUP_FIXED + group->protocol_type.len + group->protocol.len + group->leader.len;
    for (int32_t i = 0; i < group->member_count; i++)
        bytes += MEMBER_FIXED + members[i].id.len + members[i].instance_id.len +
                 members[i].client_id.len + members[i].client_host.len +
                 members[i].subscription.len + members[i].assignment.len;
    return bytes;
}

static uint8_t *put_bytes(uint8_t *p, struct kj_span span)
{
    p = put_i32(p, (int32_t)span.len);
    if (span.len > 0)
        memcpy(p, span.at, span.len);
    return p + span.len;
}

uint8_t *kj_coord_group_encode(const struct kj_coord_group *group,
                               const struct kj_coord_member *members, uint8_t *p)
{
    kj_put_be16(p, GROUP_WRITTEN);
    p = put_i32(put_string(p + 2, group->protocol_type), group->generation);
    p = put_string(put_string(p, group->protocol), group->leader);
    p = put_i32(put_i64(p, group->state_ms), group->member_count);
    for (int32_t i = 0; i < group->member_count; i++) {
        const struct kj_coord_member *member = &members[i];
        p = put_string(put_string(p, member->id), member->instance_id);
        p = put_string(put_string(p, member->client_id), member->client_host);
        p = put_i32(put_i32(p, member->rebalance_timeout_ms), member->session_timeout_ms);
        p = put_bytes(put_bytes(p, member->subscription), member->assignment);
    }
    return p;
}
