/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/protocol.h"

#include "golden.h"

/* The bytes of a message of Kafka's. */
static size_t message(const char *name, uint8_t *ret_bytes)
{
    size_t len;
    char *text = (char *)golden_read("kafka/messages.txt", &len), *at = text;
    for (char *line; (line = golden_line(&at)) != NULL;) {
        char *hex = strstr(line, " | ");
        assert_non_null(hex);
        *hex = 0;
        if (strcmp(line, name) == 0) {
            size_t n = golden_hex(hex + 3, ret_bytes);
            free(text);
            return n;
        }
    }
    fail_msg("no message %s", name);
    return 0;
}

static struct kj_span span(const char *text)
{
    return (struct kj_span){text, strlen(text)};
}

static void assert_span(struct kj_span got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.at, wanted, got.len);
}

static void assert_events(struct kj_protocol_list list)
{
    struct kj_protocol_partition got;
    for (int32_t p = 0; p <= 2; p += 2) {
        assert_true(kj_protocol_next_partition(&list, &got));
        assert_span(got.topic, "events");
        assert_int_equal(got.partition, p);
    }
    assert_false(kj_protocol_next_partition(&list, &got));
}

static const struct kj_protocol_partition events[] = {{{"events", 6}, 0}, {{"events", 6}, 2}};

static void test_subscription(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct kj_subscription got;
    for (int version = 0; version <= 3; version++) {
        char name[32];
        (void)snprintf(name, sizeof name, "subscription v%d", version);
        size_t len = message(name, bytes);
        assert_true(kj_subscription_decode(bytes, len, &got));
        assert_int_equal(got.version, version);
        struct kj_span topic;
        assert_true(kj_protocol_next_topic(&got.topics, &topic));
        assert_span(topic, "events");
        assert_true(kj_protocol_next_topic(&got.topics, &topic));
        assert_span(topic, "orders");
        assert_false(kj_protocol_next_topic(&got.topics, &topic));
        assert_null(got.user_data.at);
        assert_null(got.rack_id.at);
        assert_int_equal(got.generation, version >= 2 ? 7 : -1);
        if (version >= 1)
            assert_events(got.owned);
        else
            assert_int_equal(got.owned.topics, 0);
        for (size_t cut = 0; cut < len; cut++)
            assert_false(kj_subscription_decode(bytes, cut, &got));
        assert_true(kj_subscription_decode(bytes, len + 1, &got)); /* more behind is passed over */
    }
    const struct kj_span topics[] = {{"events", 6}, {"orders", 6}};
    const struct kj_subscription_parts parts = {
        .topics = topics, .topic_count = 2, .owned = events, .owned_count = 2, .generation = 7};
    uint8_t again[256];
    size_t len = message("subscription v3", bytes);
    assert_int_equal(kj_subscription_bytes(&parts), len);
    assert_ptr_equal(kj_subscription_encode(&parts, again), again + len);
    assert_memory_equal(again, bytes, len);
    bytes[1] = 9; /* a version to come */
    assert_true(kj_subscription_decode(bytes, len, &got));
    assert_int_equal(got.generation, 7);
    bytes[0] = 0xff;
    assert_false(kj_subscription_decode(bytes, len, &got));
}

static void test_assignment(void **state)
{
    (void)state;
    uint8_t bytes[256], again[256];
    struct kj_assignment_view got;
    size_t len = message("assignment v0", bytes);
    assert_true(kj_assignment_decode(bytes, len, &got));
    assert_int_equal(got.version, 0);
    assert_events(got.partitions);
    len = message("assignment v3", bytes);
    assert_true(kj_assignment_decode(bytes, len, &got));
    assert_events(got.partitions);
    assert_null(got.user_data.at);
    assert_int_equal(kj_assignment_bytes(events, 2), len);
    assert_ptr_equal(kj_assignment_encode(events, 2, again), again + len);
    assert_memory_equal(again, bytes, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(kj_assignment_decode(bytes, cut, &got));
    bytes[2] = 0x80; /* a negative count */
    assert_false(kj_assignment_decode(bytes, len, &got));
    static const uint8_t many[] = {0, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff};
    assert_false(kj_assignment_decode(many, sizeof many, &got));
}

static void test_several_topics(void **state)
{
    (void)state;
    const struct kj_protocol_partition some[] = {{{"a", 1}, 5},  {{"a", 1}, 6},   {{"ab", 2}, 0},
                                                 {{"b", 1}, -1}, {{"b", 1}, 1000}};
    uint8_t bytes[256];
    struct kj_assignment_view got;
    struct kj_protocol_partition one;
    uint8_t *end = kj_assignment_encode(some, 5, bytes);
    assert_int_equal(end - bytes, kj_assignment_bytes(some, 5));
    assert_true(kj_assignment_decode(bytes, (size_t)(end - bytes), &got));
    for (size_t i = 0; i < 5; i++) {
        assert_true(kj_protocol_next_partition(&got.partitions, &one));
        assert_int_equal(one.topic.len, some[i].topic.len);
        assert_memory_equal(one.topic.at, some[i].topic.at, one.topic.len);
        assert_int_equal(one.partition, some[i].partition);
    }
    assert_false(kj_protocol_next_partition(&got.partitions, &one));
    /* A topic without partitions between two that have some. */
    static const uint8_t gap[] = {0, 0, 0, 0, 0, 3, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 4, 0, 1,
                                  'b', 0, 0, 0, 0, 0, 1, 'c', 0, 0, 0, 1, 0, 0, 0, 9,
                                  0, 0, 0, 1, 'u'};
    assert_true(kj_assignment_decode(gap, sizeof gap, &got));
    assert_span(got.user_data, "u");
    assert_true(kj_protocol_next_partition(&got.partitions, &one));
    assert_span(one.topic, "a");
    assert_true(kj_protocol_next_partition(&got.partitions, &one));
    assert_span(one.topic, "c");
    assert_int_equal(one.partition, 9);
    assert_false(kj_protocol_next_partition(&got.partitions, &one));
}

static void test_user_data(void **state)
{
    (void)state;
    uint8_t bytes[256], again[256];
    struct kj_protocol_list owned;
    int32_t generation = 0;
    size_t len = message("sticky user data", bytes);
    struct kj_span data = {(const char *)bytes, len};
    kj_sticky_data_decode(data, &owned, &generation);
    assert_events(owned);
    assert_int_equal(generation, 7);
    assert_int_equal(kj_sticky_data_bytes(events, 2), len);
    assert_ptr_equal(kj_sticky_data_encode(events, 2, 7, again), again + len);
    assert_memory_equal(again, bytes, len);
    for (size_t cut = 0; cut <= len; cut++) {
        data.len = cut;
        kj_sticky_data_decode(data, &owned, &generation);
        assert_int_equal(generation, cut == len ? 7 : -1);
        if (cut + 4 >= len) /* its first version has no generation */
            assert_events(owned);
        else
            assert_int_equal(owned.topics, 0);
    }
    kj_sticky_data_decode((struct kj_span){NULL, 0}, &owned, &generation);
    assert_int_equal(owned.topics, 0);
    assert_int_equal(generation, -1);
    len = message("cooperative-sticky user data", bytes);
    assert_int_equal(len, KJ_COOPERATIVE_DATA_BYTES);
    assert_int_equal(kj_cooperative_data_decode((struct kj_span){(const char *)bytes, len}), 7);
    assert_int_equal(kj_cooperative_data_decode((struct kj_span){(const char *)bytes, 3}), -1);
    assert_int_equal(kj_cooperative_data_decode((struct kj_span){NULL, 0}), -1);
    assert_ptr_equal(kj_cooperative_data_encode(7, again), again + len);
    assert_memory_equal(again, bytes, len);
}

static void test_rack_and_user_data(void **state)
{
    (void)state;
    const struct kj_subscription_parts parts = {
        .generation = -1, .user_data = span("data"), .rack_id = span("")};
    uint8_t bytes[64];
    struct kj_subscription got;
    uint8_t *end = kj_subscription_encode(&parts, bytes);
    assert_int_equal(end - bytes, kj_subscription_bytes(&parts));
    assert_true(kj_subscription_decode(bytes, (size_t)(end - bytes), &got));
    assert_span(got.user_data, "data");
    assert_non_null(got.rack_id.at);
    assert_int_equal(got.rack_id.len, 0);
    assert_int_equal(got.topics.topics, 0);
    assert_int_equal(got.owned.topics, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscription),   cmocka_unit_test(test_assignment),
        cmocka_unit_test(test_several_topics), cmocka_unit_test(test_user_data),
        cmocka_unit_test(test_rack_and_user_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
