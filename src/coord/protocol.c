/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/protocol.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <string.h>

enum { VERSION_OWNED = 1, VERSION_GENERATION = 2, VERSION_RACK = 3, VERSION_WRITTEN = 3 };

/* --- reading: whatever goes wrong once makes the rest zeros and nulls --- */

struct input {
    const uint8_t *at, *end;
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

/* Null where the length is negative, whatever it is. */
static struct kj_span take_span(struct input *in, int32_t len)
{
    const uint8_t *p = len < 0 || in->bad ? NULL : take(in, (size_t)len);
    return p == NULL ? (struct kj_span){NULL, 0} : (struct kj_span){(const char *)p, (size_t)len};
}

static struct kj_span take_string(struct input *in)
{
    struct kj_span span = take_span(in, take_i16(in));
    if (span.at == NULL)
        in->bad = true;
    return span;
}

static int32_t take_count(struct input *in)
{
    int32_t count = take_i32(in);
    if (count < 0)
        in->bad = true;
    return in->bad ? 0 : count;
}

/* Walks over a list, so that those who walk it later meet nothing bad. Each topic takes two bytes
 * at least and each partition four, so the bytes bound the loops. */
static struct kj_protocol_list take_topics(struct input *in)
{
    struct kj_protocol_list list = {.topics = take_count(in)};
    list.at = in->at;
    for (int32_t i = 0; i < list.topics && !in->bad; i++)
        (void)take_string(in); /* only its length is of interest here */
    list.end = in->at;
    return in->bad ? (struct kj_protocol_list){.topics = 0} : list;
}

static struct kj_protocol_list take_partitions(struct input *in)
{
    struct kj_protocol_list list = {.topics = take_count(in)};
    list.at = in->at;
    for (int32_t i = 0; i < list.topics && !in->bad; i++) {
        (void)take_string(in); /* only its length is of interest here */
        size_t count = (size_t)take_count(in);
        (void)take(in, count * 4); /* they may be any numbers */
    }
    list.end = in->at;
    return in->bad ? (struct kj_protocol_list){.topics = 0} : list;
}

bool kj_protocol_next_topic(struct kj_protocol_list *list, struct kj_span *ret_topic)
{
    if (list->topics == 0)
        return false;
    struct input in = {.at = list->at, .end = list->end};
    struct kj_span topic = take_string(&in);
    KJ_ASSERT(!in.bad);
    list->at = in.at;
    list->topics--;
    *ret_topic = topic;
    return true;
}

bool kj_protocol_next_partition(struct kj_protocol_list *list,
                                struct kj_protocol_partition *ret_partition)
{
    while (list->partitions == 0) { /* a topic may have none */
        if (!kj_protocol_next_topic(list, &list->topic))
            return false;
        struct input in = {.at = list->at, .end = list->end};
        list->partitions = take_count(&in);
        KJ_ASSERT(!in.bad);
        list->at = in.at;
    }
    struct input in = {.at = list->at, .end = list->end};
    *ret_partition = (struct kj_protocol_partition){list->topic, take_i32(&in)};
    KJ_ASSERT(!in.bad);
    list->at = in.at;
    list->partitions--;
    return true;
}

bool kj_subscription_decode(const uint8_t *bytes, size_t len,
                            struct kj_subscription *ret_subscription)
{
    struct input in = {.at = bytes, .end = bytes + len};
    struct kj_subscription found = {.version = take_i16(&in), .generation = -1};
    if (in.bad || found.version < 0)
        return false;
    found.topics = take_topics(&in);
    found.user_data = take_span(&in, take_i32(&in));
    if (found.version >= VERSION_OWNED)
        found.owned = take_partitions(&in);
    if (found.version >= VERSION_GENERATION)
        found.generation = take_i32(&in);
    if (found.version >= VERSION_RACK)
        found.rack_id = take_span(&in, take_i16(&in));
    if (in.bad)
        return false;
    *ret_subscription = found;
    return true;
}

bool kj_assignment_decode(const uint8_t *bytes, size_t len,
                          struct kj_assignment_view *ret_assignment)
{
    struct input in = {.at = bytes, .end = bytes + len};
    struct kj_assignment_view found = {.version = take_i16(&in)};
    if (in.bad || found.version < 0)
        return false;
    found.partitions = take_partitions(&in);
    found.user_data = take_span(&in, take_i32(&in));
    if (in.bad)
        return false;
    *ret_assignment = found;
    return true;
}

void kj_sticky_data_decode(struct kj_span data, struct kj_protocol_list *ret_owned,
                           int32_t *ret_generation)
{
    const uint8_t *bytes = (const uint8_t *)data.at;
    struct input in = {.at = bytes, .end = bytes == NULL ? NULL : bytes + data.len,
                       .bad = bytes == NULL};
    *ret_generation = -1;
    *ret_owned = take_partitions(&in);
    int32_t generation = take_i32(&in);
    if (!in.bad)
        *ret_generation = generation;
}

int32_t kj_cooperative_data_decode(struct kj_span data)
{
    return data.at == NULL || data.len < KJ_COOPERATIVE_DATA_BYTES ? -1 : kj_get_be32s(data.at);
}

/* --- writing --- */

static uint8_t *put_i32(uint8_t *p, int32_t value)
{
    kj_put_be32(p, (uint32_t)value);
    return p + 4;
}

static uint8_t *put_string(uint8_t *p, struct kj_span span)
{
    KJ_ASSERT(span.len <= KJ_COORD_STRING_MAX);
    kj_put_be16(p, span.at == NULL ? UINT16_MAX : (uint16_t)span.len);
    if (span.len > 0)
        memcpy(p + 2, span.at, span.len);
    return p + 2 + span.len;
}

static uint8_t *put_bytes(uint8_t *p, struct kj_span span)
{
    KJ_ASSERT(span.len <= INT32_MAX);
    p = put_i32(p, span.at == NULL ? -1 : (int32_t)span.len);
    if (span.len > 0)
        memcpy(p, span.at, span.len);
    return p + span.len;
}

static bool same_topic(const struct kj_protocol_partition *a, const struct kj_protocol_partition *b)
{
    return a->topic.len == b->topic.len &&
           (a->topic.at == b->topic.at || memcmp(a->topic.at, b->topic.at, a->topic.len) == 0);
}

/* How many from here on are of one topic. */
static size_t run_of(const struct kj_protocol_partition *partitions, size_t count)
{
    size_t run = 1;
    while (run < count && same_topic(&partitions[0], &partitions[run]))
        run++;
    return run;
}

static size_t partitions_bytes(const struct kj_protocol_partition *partitions, size_t count)
{
    size_t bytes = 4 + 4 * count;
    for (size_t i = 0; i < count; i += run_of(partitions + i, count - i))
        bytes += 2 + partitions[i].topic.len + 4;
    return bytes;
}

static uint8_t *put_partitions(uint8_t *p, const struct kj_protocol_partition *partitions,
                               size_t count)
{
    uint8_t *at = p;
    int32_t topics = 0;
    p += 4;
    for (size_t i = 0, run; i < count; i += run, topics++) {
        run = run_of(partitions + i, count - i);
        p = put_i32(put_string(p, partitions[i].topic), (int32_t)run);
        for (size_t k = 0; k < run; k++)
            p = put_i32(p, partitions[i + k].partition);
    }
    (void)put_i32(at, topics); /* behind it are the topics */
    return p;
}

size_t kj_subscription_bytes(const struct kj_subscription_parts *parts)
{
    size_t bytes = 2 + 4 + 4 + parts->user_data.len +
                   partitions_bytes(parts->owned, parts->owned_count) + 4 + 2 + parts->rack_id.len;
    for (size_t i = 0; i < parts->topic_count; i++)
        bytes += 2 + parts->topics[i].len;
    return bytes;
}

uint8_t *kj_subscription_encode(const struct kj_subscription_parts *parts, uint8_t *p)
{
    kj_put_be16(p, VERSION_WRITTEN);
    p = put_i32(p + 2, (int32_t)parts->topic_count);
    for (size_t i = 0; i < parts->topic_count; i++)
        p = put_string(p, parts->topics[i]);
    p = put_bytes(p, parts->user_data);
    p = put_partitions(p, parts->owned, parts->owned_count);
    return put_string(put_i32(p, parts->generation), parts->rack_id);
}

size_t kj_assignment_bytes(const struct kj_protocol_partition *partitions, size_t count)
{
    return 2 + partitions_bytes(partitions, count) + 4;
}

uint8_t *kj_assignment_encode(const struct kj_protocol_partition *partitions, size_t count,
                              uint8_t *p)
{
    kj_put_be16(p, VERSION_WRITTEN);
    return put_bytes(put_partitions(p + 2, partitions, count), (struct kj_span){NULL, 0});
}

size_t kj_sticky_data_bytes(const struct kj_protocol_partition *owned, size_t count)
{
    return partitions_bytes(owned, count) + 4;
}

uint8_t *kj_sticky_data_encode(const struct kj_protocol_partition *owned, size_t count,
                               int32_t generation, uint8_t *p)
{
    return put_i32(put_partitions(p, owned, count), generation);
}

uint8_t *kj_cooperative_data_encode(int32_t generation, uint8_t *p)
{
    return put_i32(p, generation);
}
