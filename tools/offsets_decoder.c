/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/offsets_decoder.c - see the header. Layouts (strings: i16 length and UTF-8, -1 null; bytes:
 * i32 length; arrays: i32 count; "flexible" ones have lengths as uvarint(n + 1), 0 null, and tagged
 * fields at the end of each structure):
 *
 *   key    i16 type; 0, 1: group, topic, i32 partition; 2: group
 *   offset i16 version 0..4, i64 offset, v3+ i32 leader epoch, metadata, i64 commit timestamp, v1
 * i64 expire timestamp; v4 is flexible, tag 0 the topic id group  i16 version 0..4, protocol type,
 * i32 generation, protocol, leader, v2+ i64 state timestamp, members (id, v3+ instance id, client
 * id, host, v1+ i32 rebalance timeout, i32 session timeout, bytes subscription, bytes assignment);
 * v4 is flexible
 */
#include "tools/offsets_decoder.h"
#include "tools/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- primitives ------------------------------------------------------------------------------ */

/* Length of a string, bytes or array; -1 null. */
static int64_t take_length(struct kj_wire *wire, bool flexible, size_t width)
{
    if (!flexible)
        return kj_wire_int(wire, width);
    uint64_t n = kj_wire_uvarint(wire);
    return n > INT32_MAX ? INT64_MAX : (int64_t)n - 1;
}

static void put_string(struct kj_json *json, const char *name, struct kj_wire *wire, bool flexible)
{
    int64_t n = take_length(wire, flexible, 2);
    const uint8_t *p = n < 0 ? NULL : kj_wire_take(wire, (size_t)n);
    kj_json_bytes(json, name, p, p != NULL ? (size_t)n : 0);
}

static void put_int(struct kj_json *json, const char *name, struct kj_wire *wire, size_t width)
{
    kj_json_int(json, name, kj_wire_int(wire, width));
}

/* How many items follow; no more than there are bytes, so that a loop over them is bounded. */
static int64_t take_count(struct kj_wire *wire, bool flexible)
{
    int64_t n = take_length(wire, flexible, 4);
    if (n > (int64_t)(wire->count - wire->pos)) {
        wire->bad = true;
        return 0;
    }
    return wire->bad ? 0 : n;
}

static void put_uuid(struct kj_json *json, const char *name, const uint8_t *p)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[23];
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6)
            text[at++] = digits[bits >> (have - 6) & 63];
    }
    text[at++] = digits[bits << (6 - have) & 63];
    text[at] = '\0';
    kj_json_text(json, name, text);
}

/* Tagged fields; on_tag gets each one's own bytes. */
static void take_tags(struct kj_json *json, struct kj_wire *wire, bool flexible,
                      void (*on_tag)(struct kj_json *json, uint64_t tag, struct kj_wire *field))
{
    if (!flexible)
        return;
    uint64_t count = kj_wire_uvarint(wire);
    for (uint64_t i = 0; i < count && !wire->bad; i++) {
        uint64_t tag = kj_wire_uvarint(wire);
        uint64_t bytes = kj_wire_uvarint(wire);
        if (bytes > wire->count - wire->pos) {
            wire->bad = true;
            return;
        }
        struct kj_wire field = {kj_wire_take(wire, bytes), bytes, 0, false};
        if (on_tag != NULL)
            on_tag(json, tag, &field);
        wire->bad = wire->bad || field.bad;
    }
}

static void put_version(struct kj_json *json, const char *name, bool texts, int64_t version)
{
    char text[8];
    snprintf(text, sizeof text, "%d", (int)version);
    if (texts)
        kj_json_text(json, name, text);
    else
        kj_json_int(json, name, version);
}

/* --- subscriptions and assignments ------------------------------------------------------------ */

/* (topic, partitions) pairs as [{"topic":..., "partitions":[...]}]. */
static void put_partitions(struct kj_json *json, const char *name, struct kj_wire *wire,
                           bool flexible, const char *topic_name, const char *partitions_name)
{
    int64_t topics = take_count(wire, flexible);
    if (topics < 0) {
        kj_json_null(json, name);
        return;
    }
    kj_json_open(json, name, '[');
    for (int64_t i = 0; i < topics && !wire->bad; i++) {
        kj_json_open(json, NULL, '{');
        put_string(json, topic_name, wire, flexible);
        int64_t count = take_count(wire, flexible);
        kj_json_open(json, partitions_name, '[');
        for (int64_t p = 0; p < count && !wire->bad; p++)
            put_int(json, NULL, wire, 4);
        kj_json_close(json, ']');
        take_tags(json, wire, flexible, NULL);
        kj_json_close(json, '}');
    }
    kj_json_close(json, ']');
}

static void put_user_data(struct kj_json *json, struct kj_wire *wire)
{
    int64_t n = kj_wire_int(wire, 4);
    const uint8_t *p = n < 0 ? NULL : kj_wire_take(wire, (size_t)n);
    kj_json_bytes(json, "userData", p, p != NULL ? (size_t)n : 0);
}

static void put_subscription(struct kj_json *json, struct kj_wire *wire)
{
    int64_t version = kj_wire_int(wire, 2);
    int64_t topics = take_count(wire, false);
    kj_json_open(json, "topics", '[');
    for (int64_t i = 0; i < topics && !wire->bad; i++)
        put_string(json, NULL, wire, false);
    kj_json_close(json, ']');
    put_user_data(json, wire);
    if (version >= 1)
        put_partitions(json, "ownedPartitions", wire, false, "topic", "partitions");
    if (version >= 2)
        put_int(json, "generationId", wire, 4);
    if (version >= 3)
        put_string(json, "rackId", wire, false);
}

static void put_assignment(struct kj_json *json, struct kj_wire *wire)
{
    kj_wire_int(wire, 2);
    put_partitions(json, "assignedPartitions", wire, false, "topic", "partitions");
    put_user_data(json, wire);
}

/* Bytes that are a structure of their own. What does not fit it is shown as bytes: other protocols
 * than the consumers' may stand here, so that is no damage. */
static void put_nested(struct kj_json *json, const char *name, struct kj_wire *wire, bool flexible,
                       bool consumer, void (*put)(struct kj_json *json, struct kj_wire *wire))
{
    int64_t n = take_length(wire, flexible, 4);
    const uint8_t *p = n < 0 ? NULL : kj_wire_take(wire, (size_t)n);
    size_t bytes = p != NULL ? (size_t)n : 0;
    char *text = NULL;
    size_t text_bytes;
    FILE *memory = consumer && bytes > 0 ? open_memstream(&text, &text_bytes) : NULL;
    if (memory != NULL) {
        struct kj_json inner;
        struct kj_wire fields = {p, bytes, 0, false};
        kj_json_init(&inner, memory);
        kj_json_open(&inner, NULL, '{');
        put(&inner, &fields);
        kj_json_close(&inner, '}');
        bool whole = fclose(memory) == 0 && !fields.bad;
        if (whole)
            kj_json_raw(json, name, text);
        free(text);
        if (whole)
            return;
    }
    kj_json_bytes(json, name, p, bytes);
}

/* --- values ----------------------------------------------------------------------------------- */

static void topic_id_tag(struct kj_json *json, uint64_t tag, struct kj_wire *field)
{
    const uint8_t *p = tag == 0 ? kj_wire_take(field, 16) : NULL;
    if (p != NULL)
        put_uuid(json, "topicId", p);
}

static void put_offset_value(struct kj_json *json, struct kj_wire *wire, int64_t version)
{
    bool flexible = version >= 4;
    put_int(json, "offset", wire, 8);
    if (version >= 3)
        put_int(json, "leaderEpoch", wire, 4);
    put_string(json, "metadata", wire, flexible);
    put_int(json, "commitTimestamp", wire, 8);
    if (version == 1)
        put_int(json, "expireTimestamp", wire, 8);
    take_tags(json, wire, flexible, topic_id_tag);
}

static void put_member(struct kj_json *json, struct kj_wire *wire, int64_t version, bool consumer)
{
    bool flexible = version >= 4;
    kj_json_open(json, NULL, '{');
    put_string(json, "memberId", wire, flexible);
    if (version >= 3)
        put_string(json, "groupInstanceId", wire, flexible);
    put_string(json, "clientId", wire, flexible);
    put_string(json, "clientHost", wire, flexible);
    if (version >= 1)
        put_int(json, "rebalanceTimeout", wire, 4);
    put_int(json, "sessionTimeout", wire, 4);
    put_nested(json, "subscription", wire, flexible, consumer, put_subscription);
    put_nested(json, "assignment", wire, flexible, consumer, put_assignment);
    take_tags(json, wire, flexible, NULL);
    kj_json_close(json, '}');
}

static void put_group_value(struct kj_json *json, struct kj_wire *wire, int64_t version)
{
    bool flexible = version >= 4;
    struct kj_wire ahead = *wire;
    int64_t n = take_length(&ahead, flexible, 2);
    const uint8_t *type = n < 0 ? NULL : kj_wire_take(&ahead, (size_t)n);
    bool consumer = type != NULL && n == 8 && memcmp(type, "consumer", 8) == 0;
    put_string(json, "protocolType", wire, flexible);
    put_int(json, "generation", wire, 4);
    put_string(json, "protocol", wire, flexible);
    put_string(json, "leader", wire, flexible);
    if (version >= 2)
        put_int(json, "currentStateTimestamp", wire, 8);
    int64_t members = take_count(wire, flexible);
    kj_json_open(json, "members", '[');
    for (int64_t i = 0; i < members && !wire->bad; i++)
        put_member(json, wire, version, consumer);
    kj_json_close(json, ']');
    take_tags(json, wire, flexible, NULL);
}

static void transaction_tag(struct kj_json *json, uint64_t tag, struct kj_wire *field)
{
    if (tag == 0)
        put_int(json, "previousProducerId", field, 8);
    else if (tag == 1)
        put_int(json, "nextProducerId", field, 8);
    else if (tag == 2)
        put_int(json, "clientTransactionVersion", field, 2);
    else if (tag == 3)
        put_int(json, "nextProducerEpoch", field, 2);
}

static void put_transaction_value(struct kj_json *json, struct kj_wire *wire, int64_t version)
{
    bool flexible = version >= 1;
    put_int(json, "producerId", wire, 8);
    put_int(json, "producerEpoch", wire, 2);
    put_int(json, "transactionTimeoutMs", wire, 4);
    put_int(json, "transactionStatus", wire, 1);
    put_partitions(json, "transactionPartitions", wire, flexible, "topic", "partitionIds");
    put_int(json, "transactionLastUpdateTimestampMs", wire, 8);
    put_int(json, "transactionStartTimestampMs", wire, 8);
    take_tags(json, wire, flexible, transaction_tag);
}

/* --- entry points ------------------------------------------------------------------------------
 */

int kj_coord_key_type(const void *key, size_t key_bytes)
{
    struct kj_wire wire = {key, key_bytes, 0, false};
    int64_t type = kj_wire_int(&wire, 2);
    return wire.bad ? -1 : (int)type;
}

bool kj_coord_key_json(struct kj_json *json, const char *name, enum kj_coord_topic topic,
                       bool texts, const void *key, size_t key_bytes)
{
    struct kj_wire wire = {key, key_bytes, 0, false};
    int64_t type = kj_wire_int(&wire, 2);
    if (wire.bad || type < 0 || type > (topic == KJ_COORD_OFFSETS ? 2 : 0))
        return false;
    kj_json_open(json, name, '{');
    put_version(json, "type", texts, type);
    kj_json_open(json, "data", '{');
    if (topic == KJ_COORD_TRANSACTIONS) {
        put_string(json, "transactionalId", &wire, false);
    } else {
        put_string(json, "group", &wire, false);
        if (type < 2) {
            put_string(json, "topic", &wire, false);
            put_int(json, "partition", &wire, 4);
        }
    }
    kj_json_close(json, '}');
    kj_json_close(json, '}');
    return !wire.bad;
}

bool kj_coord_value_json(struct kj_json *json, const char *name, enum kj_coord_topic topic,
                         bool texts, int key_type, const void *value, size_t value_bytes)
{
    struct kj_wire wire = {value, value_bytes, 0, false};
    int64_t version = kj_wire_int(&wire, 2);
    if (wire.bad || version < 0 || version > (topic == KJ_COORD_OFFSETS ? 4 : 1))
        return false;
    kj_json_open(json, name, '{');
    put_version(json, "version", texts, version);
    kj_json_open(json, "data", '{');
    if (topic == KJ_COORD_TRANSACTIONS)
        put_transaction_value(json, &wire, version);
    else if (key_type < 2)
        put_offset_value(json, &wire, version);
    else
        put_group_value(json, &wire, version);
    kj_json_close(json, '}');
    kj_json_close(json, '}');
    return !wire.bad;
}
