/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_group_state.c - a group's blob, its checksum put right. What is taken must come
 * back the same when it is written and read again, and every step can be taken from it.
 */
#include "base/err.h"
#include "coord/group_state.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static int assign_nothing(void *arg, struct kj_group *group, uint8_t assignor)
{
    (void)arg;
    (void)assignor;
    for (size_t i = 0; i < group->member_count; i++)
        KJ_TRY(kj_group_give(group, &group->members[i], group->members[i].owned.items,
                             group->members[i].owned.count));
    return 0;
}

static void run_steps(struct kj_group *group)
{
    static const uint8_t assignors[] = {0, 1, 2, 3};
    static const struct kj_group_join_topic topics[] = {{"t", 3}, {"u", -1}};
    static const struct kj_group_join_partition owned[] = {{"t", 1}};
    struct kj_group_join join = {.member_id = "",
                                 .new_id = "new",
                                 .instance_id = "i",
                                 .client_id = "c",
                                 .session_timeout_ms = 10,
                                 .rebalance_timeout_ms = 100,
                                 .assignors = assignors,
                                 .assignor_count = 4,
                                 .topics = topics,
                                 .topic_count = 2,
                                 .seen = 5,
                                 .owned = owned,
                                 .owned_count = 1,
                                 .max_size = 10,
                                 .now_ms = 1000};
    (void)kj_group_commit_error(group, "a", "i", 3);
    (void)kj_group_due_ms(group);
    (void)kj_group_topics(group, topics, 2, 9, 1000, NULL);
    if (group->member_count > 0)
        kj_group_remove(group, &group->members[0], 1000);
    (void)kj_group_complete(group, 1000, 1000, assign_nothing, NULL);
    if (kj_group_join(group, &join) == 0)
        (void)kj_group_complete(group, 1 << 30, 1000, assign_nothing, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kj_buffer one = {0}, two = {0};
    struct kj_group *group, *again;
    if (size < 8)
        return 0;
    uint8_t *bytes = malloc(size);
    check(bytes != NULL);
    memcpy(bytes, data, size);
    uint64_t sum = XXH3_64bits(bytes + 8, size - 8);
    memcpy(bytes, &sum, sizeof sum);
    if (kj_group_decode(bytes, size, &group) == 0) {
        check(kj_group_encode(group, &one) == 0);
        check(kj_group_decode(one.bytes, one.len, &again) == 0);
        check(kj_group_encode(again, &two) == 0);
        check(one.len == two.len && memcmp(one.bytes, two.bytes, one.len) == 0);
        run_steps(again);
        kj_group_free(again);
        kj_group_free(group);
        kj_buffer_free(&one);
        kj_buffer_free(&two);
    }
    free(bytes);
    return 0;
}
