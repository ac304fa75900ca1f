/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/coord_record.h - keys and values of the records in __consumer_offsets. A string is i16
 * length and UTF-8, -1 null; "bytes" i32 length. All integers big-endian.
 *
 *   key     i16 0 or 1   group string, topic string, partition i32       an offset; 1 is written
 *           i16 2        group string                                    a group
 *           others       newer kinds of groups
 *
 *   offset  i16 0, 2     offset i64, metadata string, commit time i64
 *           1            the same, expire time i64
 *           3            offset i64, leader epoch i32, metadata string, commit time i64    written
 *           4            offset i64, leader epoch i32, metadata with uvarint length + 1, commit
 *                        time i64, tagged fields: uvarint count, each uvarint tag, uvarint size, bytes
 *                        (0: 16 bytes of topic id)
 *
 *   group   i16 0 .. 4   protocol type string, generation i32, protocol string or null, leader
 *                        string or null, from 2 on time of the state i64, i32 count of members
 *           member       id string, from 3 on instance id string or null, client id string, client
 *                        host string, from 1 on rebalance timeout i32, session timeout i32,
 *                        subscription bytes, assignment bytes
 *           4            all lengths uvarint + 1, 0 null; tagged fields behind each member and at
 *                        the end. 3 is written.
 *
 * A null value removes what its key names. Bytes behind what is known are passed over, as in Kafka:
 * its generated message classes OffsetCommitKey/Value, GroupMetadataKey/Value.
 */
#ifndef KJ_RECORD_COORD_RECORD_H
#define KJ_RECORD_COORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text or bytes inside a record: not terminated; at NULL: null. */
struct kj_span {
    const char *at;
    size_t len;
};
/* The longest string that fits into a length of 16 bits. */
enum { KJ_COORD_STRING_MAX = INT16_MAX };

enum kj_coord_kind {
    KJ_COORD_BAD,    /* malformed */
    KJ_COORD_OFFSET, /* group, topic, partition */
    KJ_COORD_GROUP,  /* group */
    KJ_COORD_OTHER   /* of a kind that is not known here */
};

struct kj_coord_key {
    struct kj_span group;
    struct kj_span topic;
    int32_t partition;
};

/* Views into key. bytes NULL is malformed. */
enum kj_coord_kind kj_coord_key_decode(const uint8_t *key, size_t bytes,
                                       struct kj_coord_key *ret_key);
/* The key of an offset; topic.at NULL: of the group. Strings no longer than KJ_COORD_STRING_MAX. */
size_t kj_coord_key_bytes(const struct kj_coord_key *key);
/* Writes that many bytes; returns the end. */
uint8_t *kj_coord_key_encode(const struct kj_coord_key *key, uint8_t *p);

struct kj_coord_offset {
    int version;
    int64_t offset;
    int32_t leader_epoch; /* -1: none, and below version 3 */
    struct kj_span metadata;
    int64_t commit_ms;
    int64_t expire_ms; /* -1: none, and not in version 1 */
    const uint8_t *topic_id; /* 16 bytes; NULL: none, and below version 4 */
};
/* False: malformed, or of a version that is not known. */
bool kj_coord_offset_decode(const uint8_t *value, size_t bytes, struct kj_coord_offset *ret_offset);
/* version 3, or 4 without topic id. */
size_t kj_coord_offset_bytes(const struct kj_coord_offset *offset);
uint8_t *kj_coord_offset_encode(const struct kj_coord_offset *offset, uint8_t *p);

struct kj_coord_group {
    int version;
    struct kj_span protocol_type; /* empty: it only commits */
    int32_t generation;
    struct kj_span protocol, leader; /* null: none */
    int64_t state_ms;                /* -1 unknown */
    int32_t member_count;
    const uint8_t *members, *end; /* kj_coord_member_next() */
};
struct kj_coord_member {
    struct kj_span id, instance_id, client_id, client_host;
    int32_t rebalance_timeout_ms, session_timeout_ms;
    struct kj_span subscription, assignment;
};
/* False: malformed in any part, members too, or of a version that is not known. */
bool kj_coord_group_decode(const uint8_t *value, size_t bytes, struct kj_coord_group *ret_group);
/* *at begins as group->members; call it group->member_count times. False: malformed, which it is
 * not where kj_coord_group_decode() has looked. */
bool kj_coord_member_next(const struct kj_coord_group *group, const uint8_t **at,
                          struct kj_coord_member *ret_member);
/* Version 3. members: group->member_count of them; group's pointers to them are not
 * looked at. */
size_t kj_coord_group_bytes(const struct kj_coord_group *group,
                            const struct kj_coord_member *members);
uint8_t *kj_coord_group_encode(const struct kj_coord_group *group,
                               const struct kj_coord_member *members, uint8_t *p);

#endif
