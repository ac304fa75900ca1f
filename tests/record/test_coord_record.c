/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/coord_record.c against what Kafka's own classes wrote.
 */
#include "golden.h"

#include "record/coord_record.h"

static size_t golden(const char *name, uint8_t *ret_bytes)
{
    size_t len, bytes = 0;
    uint8_t *text = golden_read("kafka/messages.txt", &len);
    char *at = (char *)text;
    bool found = false;
    for (char *line; !found && (line = golden_line(&at)) != NULL;) {
        char *bar = strstr(line, " | ");
        assert_non_null(bar);
        *bar = 0;
        found = strcmp(line, name) == 0;
        if (found)
            bytes = golden_hex(bar + 3, ret_bytes);
    }
    if (!found)
        fail_msg("no golden message \"%s\"", name);
    free(text);
    return bytes;
}

static void assert_span(struct kj_span span, const char *text)
{
    if (text == NULL) {
        assert_null(span.at);
        return;
    }
    assert_non_null(span.at);
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(span.at, text, span.len);
}

static void assert_key(const char *name, enum kj_coord_kind kind, const char *group,
                       const char *topic, int32_t partition)
{
    uint8_t bytes[256], again[256];
    struct kj_coord_key key;
    size_t len = golden(name, bytes);
    assert_int_equal(kj_coord_key_decode(bytes, len, &key), kind);
    assert_span(key.group, group);
    assert_span(key.topic, topic);
    assert_int_equal(key.partition, partition);
    assert_int_equal(kj_coord_key_bytes(&key), len);
    assert_ptr_equal(kj_coord_key_encode(&key, again), again + len);
    assert_memory_equal(again, bytes, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(kj_coord_key_decode(bytes, cut, &key), KJ_COORD_BAD);
}

static void test_keys(void **state)
{
    (void)state;
    assert_key("key offset-commit g1/events/3", KJ_COORD_OFFSET, "g1", "events", 3);
    assert_key("key offset-commit empty group", KJ_COORD_OFFSET, "", "t", 0);
    assert_key("key group g1", KJ_COORD_GROUP, "g1", NULL, -1);
    struct kj_coord_key key;
    uint8_t bytes[256];
    size_t len = golden("key offset-commit g1/events/3", bytes);
    bytes[1] = 0; /* the older number of the same */
    assert_int_equal(kj_coord_key_decode(bytes, len, &key), KJ_COORD_OFFSET);
    bytes[1] = 3;
    assert_int_equal(kj_coord_key_decode(bytes, len, &key), KJ_COORD_OTHER);
    bytes[0] = 0xff;
    assert_int_equal(kj_coord_key_decode(bytes, len, &key), KJ_COORD_BAD);
    assert_int_equal(kj_coord_key_decode(NULL, 0, &key), KJ_COORD_BAD);
    const uint8_t null_group[] = {0, 2, 0xff, 0xff};
    assert_int_equal(kj_coord_key_decode(null_group, sizeof null_group, &key), KJ_COORD_BAD);
}

static const int64_t T = 1700000000000;

static struct kj_coord_offset assert_offset(const char *name, int version, int32_t epoch,
                                            const char *metadata)
{
    uint8_t bytes[256], again[256];
    struct kj_coord_offset value;
    size_t len = golden(name, bytes);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(kj_coord_offset_decode(bytes, cut, &value));
    assert_true(kj_coord_offset_decode(bytes, len, &value));
    assert_int_equal(value.version, version);
    assert_int_equal(value.offset, 1234);
    assert_int_equal(value.leader_epoch, epoch);
    assert_span(value.metadata, metadata);
    assert_int_equal(value.commit_ms, T);
    if (version >= 3 && value.topic_id == NULL) {
        assert_int_equal(kj_coord_offset_bytes(&value), len);
        assert_ptr_equal(kj_coord_offset_encode(&value, again), again + len);
        assert_memory_equal(again, bytes, len);
    }
    value.metadata = (struct kj_span){NULL, 0}; /* points into bytes, which end here */
    if (value.topic_id != NULL)
        assert_memory_equal(value.topic_id, "\x01\x23\x45\x67\x89\xab\xcd\xef\x11\x22", 10);
    return value;
}

static void test_offsets(void **state)
{
    (void)state;
    assert_int_equal(assert_offset("offset value v0", 0, -1, "meta").expire_ms, -1);
    assert_int_equal(assert_offset("offset value v1", 1, -1, "meta").expire_ms, T + 5000);
    assert_int_equal(assert_offset("offset value v2", 2, -1, "meta").expire_ms, -1);
    assert_null(assert_offset("offset value v3", 3, 5, "meta").topic_id);
    assert_null(assert_offset("offset value v4", 4, 5, "meta").topic_id);
    assert_null(assert_offset("offset value v4 no epoch", 4, -1, "meta").topic_id);
    assert_non_null(
        assert_offset("offset value v4 empty metadata + topicId", 4, -1, "").topic_id);
    uint8_t bytes[256];
    struct kj_coord_offset value;
    size_t len = golden("offset value v3", bytes);
    bytes[1] = 5;
    assert_false(kj_coord_offset_decode(bytes, len, &value)); /* not known yet */
    bytes[1] = 3;
    assert_true(kj_coord_offset_decode(bytes, len + 1, &value)); /* more behind is passed over */
    bytes[14] = bytes[15] = 0xff;
    assert_false(kj_coord_offset_decode(bytes, len, &value)); /* null metadata */
}

static void assert_group(const char *name, int version, const char *instance)
{
    uint8_t bytes[1024], again[1024], v3[1024];
    struct kj_coord_group group;
    struct kj_coord_member member, extra;
    size_t len = golden(name, bytes);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(kj_coord_group_decode(bytes, cut, &group));
    assert_true(kj_coord_group_decode(bytes, len, &group));
    assert_int_equal(group.version, version);
    assert_span(group.protocol_type, "consumer");
    assert_int_equal(group.generation, 8);
    assert_span(group.protocol, "range");
    assert_span(group.leader, "m1");
    assert_int_equal(group.state_ms, version >= 2 ? T : -1);
    assert_int_equal(group.member_count, 1);
    const uint8_t *at = group.members;
    assert_true(kj_coord_member_next(&group, &at, &member));
    assert_ptr_equal(at, group.end);
    assert_false(kj_coord_member_next(&group, &at, &extra));
    assert_span(member.id, "m1");
    assert_span(member.instance_id, instance);
    assert_span(member.client_id, "c1");
    assert_span(member.client_host, "/127.0.0.1");
    assert_int_equal(member.rebalance_timeout_ms, version >= 1 ? 300000 : -1);
    assert_int_equal(member.session_timeout_ms, 45000);
    assert_int_equal(member.subscription.len, 0x38);
    assert_int_equal(member.assignment.len, 0x1e);
    if (version < 2)
        return;
    size_t v3_len = golden("group value v3", v3); /* says the same */
    assert_int_equal(kj_coord_group_bytes(&group, &member), v3_len);
    assert_ptr_equal(kj_coord_group_encode(&group, &member, again), again + v3_len);
    assert_memory_equal(again, v3, v3_len);
}

static void test_groups(void **state)
{
    (void)state;
    assert_group("group value v0", 0, NULL);
    assert_group("group value v1", 1, NULL);
    assert_group("group value v2", 2, NULL);
    assert_group("group value v3", 3, NULL);
    assert_group("group value v4", 4, NULL);
    static const char *const empty[] = {"group value v3 empty group",
                                        "group value v3 simple group"};
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[256], again[256];
        struct kj_coord_group group;
        size_t len = golden(empty[i], bytes);
        assert_true(kj_coord_group_decode(bytes, len, &group));
        assert_span(group.protocol_type, i == 0 ? "consumer" : "");
        assert_int_equal(group.generation, i == 0 ? 9 : 0);
        assert_span(group.protocol, NULL);
        assert_span(group.leader, NULL);
        assert_int_equal(group.member_count, 0);
        assert_int_equal(kj_coord_group_bytes(&group, NULL), len);
        assert_ptr_equal(kj_coord_group_encode(&group, NULL, again), again + len);
        assert_memory_equal(again, bytes, len);
    }
}

/* A count that the bytes cannot hold ends with the bytes. */
static void test_many_members(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct kj_coord_group group;
    size_t len = golden("group value v3 empty group", bytes);
    memset(bytes + len - 4, 0x7f, 4);
    assert_false(kj_coord_group_decode(bytes, len, &group));
    memset(bytes + len - 4, 0xff, 4);
    assert_false(kj_coord_group_decode(bytes, len, &group));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_many_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
