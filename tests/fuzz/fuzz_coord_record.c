/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_coord_record.c - bytes as a key, as an offset and as a group of
 * __consumer_offsets. What decodes is encoded again, in the version that is written, and then says
 * the same.
 */
#include "record/coord_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static void same(struct kj_span a, struct kj_span b)
{
    check((a.at == NULL) == (b.at == NULL) && a.len == b.len);
    check(a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void try_key(const uint8_t *data, size_t size)
{
    struct kj_coord_key key, back;
    enum kj_coord_kind kind = kj_coord_key_decode(data, size, &key);
    if (kind != KJ_COORD_OFFSET && kind != KJ_COORD_GROUP)
        return;
    size_t bytes = kj_coord_key_bytes(&key);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_coord_key_encode(&key, again) == again + bytes);
    check(kj_coord_key_decode(again, bytes, &back) == kind && back.partition == key.partition);
    same(back.group, key.group);
    same(back.topic, key.topic);
    free(again);
}

static void try_offset(const uint8_t *data, size_t size)
{
    struct kj_coord_offset offset, back;
    if (!kj_coord_offset_decode(data, size, &offset))
        return;
    if (offset.version < 3)
        offset.version = 3;
    size_t bytes = kj_coord_offset_bytes(&offset);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_coord_offset_encode(&offset, again) == again + bytes);
    check(kj_coord_offset_decode(again, bytes, &back));
    check(back.offset == offset.offset && back.leader_epoch == offset.leader_epoch);
    check(back.commit_ms == offset.commit_ms);
    same(back.metadata, offset.metadata);
    free(again);
}

static void try_group(const uint8_t *data, size_t size)
{
    struct kj_coord_group group, back;
    if (!kj_coord_group_decode(data, size, &group))
        return;
    check((size_t)group.member_count <= size);
    struct kj_coord_member *members = calloc((size_t)group.member_count + 1, sizeof *members);
    check(members != NULL);
    const uint8_t *at = group.members;
    for (int32_t i = 0; i < group.member_count; i++)
        check(kj_coord_member_next(&group, &at, &members[i]));
    check(at == group.end);
    size_t bytes = kj_coord_group_bytes(&group, members);
    uint8_t *again = malloc(bytes);
    check(again != NULL && kj_coord_group_encode(&group, members, again) == again + bytes);
    check(kj_coord_group_decode(again, bytes, &back));
    check(back.member_count == group.member_count && back.generation == group.generation);
    same(back.leader, group.leader);
    at = back.members;
    for (int32_t i = 0; i < group.member_count; i++) {
        struct kj_coord_member member;
        check(kj_coord_member_next(&back, &at, &member));
        same(member.id, members[i].id);
        same(member.instance_id, members[i].instance_id);
        same(member.assignment, members[i].assignment);
    }
    free(again);
    free(members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_key(data, size);
    try_offset(data, size);
    try_group(data, size);
    return 0;
}
