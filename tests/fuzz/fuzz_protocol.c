/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_protocol.c - bytes as a subscription, an assignment and user data of the sticky
 * assignors. What decodes can be walked, is encoded again, and then says the same.
 */
#include "coord/protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static int same(struct kj_span a, struct kj_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* All partitions of a list; the caller frees. */
static struct kj_protocol_partition *walk(struct kj_protocol_list list, size_t size,
                                          size_t *ret_count)
{
    struct kj_protocol_partition *all = calloc(size / 4 + 1, sizeof *all), one;
    check(all != NULL);
    *ret_count = 0;
    while (kj_protocol_next_partition(&list, &one)) {
        check(*ret_count < size / 4);
        all[(*ret_count)++] = one;
    }
    return all;
}

static void compare(struct kj_protocol_list list, const struct kj_protocol_partition *all,
                    size_t count)
{
    struct kj_protocol_partition one;
    for (size_t i = 0; i < count; i++) {
        check(kj_protocol_next_partition(&list, &one));
        check(same(one.topic, all[i].topic) && one.partition == all[i].partition);
    }
    check(!kj_protocol_next_partition(&list, &one));
}

static void try_subscription(const uint8_t *data, size_t size)
{
    struct kj_subscription got, back;
    if (!kj_subscription_decode(data, size, &got))
        return;
    size_t topic_count = 0, owned_count;
    struct kj_span *topics = calloc(size / 2 + 1, sizeof *topics), topic;
    check(topics != NULL);
    for (struct kj_protocol_list list = got.topics; kj_protocol_next_topic(&list, &topic);)
        topics[topic_count++] = topic;
    struct kj_protocol_partition *owned = walk(got.owned, size, &owned_count);
    struct kj_subscription_parts parts = {.topics = topics,
                                          .topic_count = topic_count,
                                          .owned = owned,
                                          .owned_count = owned_count,
                                          .generation = got.generation,
                                          .user_data = got.user_data,
                                          .rack_id = got.rack_id};
    size_t bytes = kj_subscription_bytes(&parts);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_subscription_encode(&parts, again) == again + bytes);
    check(kj_subscription_decode(again, bytes, &back) && back.version == 3);
    check(back.generation == got.generation && same(back.user_data, got.user_data) &&
          same(back.rack_id, got.rack_id));
    for (size_t i = 0; i < topic_count; i++)
        check(kj_protocol_next_topic(&back.topics, &topic) && same(topic, topics[i]));
    compare(back.owned, owned, owned_count);
    free(again);
    free(owned);
    free(topics);
}

static void try_assignment(const uint8_t *data, size_t size)
{
    struct kj_assignment_view got, back;
    if (!kj_assignment_decode(data, size, &got))
        return;
    size_t count;
    struct kj_protocol_partition *all = walk(got.partitions, size, &count);
    size_t bytes = kj_assignment_bytes(all, count);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_assignment_encode(all, count, again) == again + bytes);
    check(kj_assignment_decode(again, bytes, &back));
    compare(back.partitions, all, count);
    free(again);
    free(all);
}

static void try_user_data(const uint8_t *data, size_t size)
{
    struct kj_span span = {(const char *)data, size};
    struct kj_protocol_list owned, back;
    int32_t generation, generation_back;
    (void)kj_cooperative_data_decode(span); /* any four bytes are one */
    kj_sticky_data_decode(span, &owned, &generation);
    size_t count;
    struct kj_protocol_partition *all = walk(owned, size, &count);
    size_t bytes = kj_sticky_data_bytes(all, count);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_sticky_data_encode(all, count, generation, again) == again + bytes);
    kj_sticky_data_decode((struct kj_span){(const char *)again, bytes}, &back, &generation_back);
    check(generation_back == generation);
    compare(back, all, count);
    free(again);
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_subscription(data, size);
    try_assignment(data, size);
    try_user_data(data, size);
    return 0;
}
