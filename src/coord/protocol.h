/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/protocol.h - the bytes in which consumers of a group tell each other what they want and
 * get: the subscription and assignment of a member in a group metadata record of
 * __consumer_offsets, and what the sticky assignors put into a subscription. All integers
 * big-endian; a string is i16 length and UTF-8, "bytes" i32 length (below 0: null).
 *
 *   partitions    i32 count, each: topic string, i32 count of partitions, each i32
 *
 *   subscription  i16 version 0 .. 3, i32 count of topics, each a string; user data bytes
 *        from 1   owned partitions
 *        from 2   generation i32, -1 none
 *        from 3   rack id string or null
 *   assignment    i16 version 0 .. 3, partitions, user data bytes
 *
 *   user data     sticky: owned partitions, generation i32 (left out by its first version)
 *                 cooperative-sticky: generation i32
 *                 range, roundrobin: null
 *
 * Version 3 is written. A higher one is read as 3, and bytes behind what is known are passed over.
 * Kafka: ConsumerProtocol and its message classes; StickyAssignor, CooperativeStickyAssignor.
 */
#ifndef KJ_COORD_PROTOCOL_H
#define KJ_COORD_PROTOCOL_H

#include "record/coord_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_protocol_partition {
    struct kj_span topic;
    int32_t partition;
};

/* A list of partitions, or of topics, inside bytes that were decoded: walk it with the functions
 * below. All zeros is an empty one. */
struct kj_protocol_list {
    const uint8_t *at, *end;
    int32_t topics;     /* that are still to come */
    int32_t partitions; /* of the current topic */
    struct kj_span topic;
};
/* False: the end. (The bytes were looked at when they were decoded.) */
bool kj_protocol_next_partition(struct kj_protocol_list *list,
                                struct kj_protocol_partition *ret_partition);
bool kj_protocol_next_topic(struct kj_protocol_list *list, struct kj_span *ret_topic);

struct kj_subscription {
    int version;
    struct kj_protocol_list topics;
    struct kj_protocol_list owned; /* empty below version 1 */
    int32_t generation;            /* -1 below version 2 */
    struct kj_span user_data;      /* at NULL: null */
    struct kj_span rack_id;        /* null below version 3 */
};
struct kj_subscription_parts {
    const struct kj_span *topics; /* sorted, as Kafka's client writes them */
    size_t topic_count;
    const struct kj_protocol_partition *owned; /* sorted by topic and number */
    size_t owned_count;
    int32_t generation;
    struct kj_span user_data, rack_id;
};
/* False: malformed. Views into bytes. */
bool kj_subscription_decode(const uint8_t *bytes, size_t len,
                            struct kj_subscription *ret_subscription);
/* Strings no longer than KJ_COORD_STRING_MAX; the sum must stay below 2 GiB. */
size_t kj_subscription_bytes(const struct kj_subscription_parts *parts);
/* Writes that many bytes; returns the end. */
uint8_t *kj_subscription_encode(const struct kj_subscription_parts *parts, uint8_t *p);

struct kj_assignment_view {
    int version;
    struct kj_protocol_list partitions;
    struct kj_span user_data;
};
bool kj_assignment_decode(const uint8_t *bytes, size_t len,
                          struct kj_assignment_view *ret_assignment);
/* Partitions sorted by topic and number; user data null. */
size_t kj_assignment_bytes(const struct kj_protocol_partition *partitions, size_t count);
uint8_t *kj_assignment_encode(const struct kj_protocol_partition *partitions, size_t count,
                              uint8_t *p);

/* The sticky assignor's user data. What is null, empty or malformed owns nothing and has generation
 * -1, as in Kafka. */
void kj_sticky_data_decode(struct kj_span data, struct kj_protocol_list *ret_owned,
                           int32_t *ret_generation);
size_t kj_sticky_data_bytes(const struct kj_protocol_partition *owned, size_t count);
uint8_t *kj_sticky_data_encode(const struct kj_protocol_partition *owned, size_t count,
                               int32_t generation, uint8_t *p);
/* The cooperative one's: KJ_COOPERATIVE_DATA_BYTES. -1 if it is null or too short. */
enum { KJ_COOPERATIVE_DATA_BYTES = 4 };
int32_t kj_cooperative_data_decode(struct kj_span data);
uint8_t *kj_cooperative_data_encode(int32_t generation, uint8_t *p);

#endif
