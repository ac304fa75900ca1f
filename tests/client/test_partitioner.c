/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "client/consumer.h"
#include "client/partitioner.h"

/* Keys go where Apache Kafka sends them. */
static void test_keys(void **state)
{
    (void)state;
    size_t len;
    uint8_t *text = golden_read("kafka/murmur2.txt", &len);
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    char *at = (char *)text;
    int lines = 0;
    for (char *line; (line = golden_line(&at)) != NULL; lines++) {
        int hash, p3, p12, p50, p1000;
        assert_int_equal(
            sscanf(strchr(line, ' '), "%d %d %d %d %d", &hash, &p3, &p12, &p50, &p1000), 5);
        size_t n = golden_hex(line, bytes);
        assert_int_equal(kj_partition_for_key(bytes, n, 3), p3);
        assert_int_equal(kj_partition_for_key(bytes, n, 12), p12);
        assert_int_equal(kj_partition_for_key(bytes, n, 1000), p1000);
    }
    assert_in_range(lines, 20, 100000);
    free(bytes);
    free(text);
}

static void test_sticky_keeps(void **state)
{
    (void)state;
    struct kj_sticky sticky;
    kj_sticky_init(&sticky, kjtest_seed());
    assert_int_equal(kj_sticky_partition(&sticky, 7), -1);
    int32_t first = kj_sticky_next(&sticky, 7, NULL, NULL);
    assert_in_range(first, 0, 6);
    assert_int_equal(kj_sticky_partition(&sticky, 7), first);
    assert_false(kj_sticky_used(&sticky, 1000, 1500));
    assert_true(kj_sticky_used(&sticky, 500, 1500));
    assert_int_equal(kj_sticky_partition(&sticky, 7), first);
    int32_t second = kj_sticky_next(&sticky, 7, NULL, NULL);
    assert_int_not_equal(second, first);
    assert_false(kj_sticky_used(&sticky, 1499, 1500)); /* counted anew */
    /* A topic that was made anew with fewer partitions. */
    while (kj_sticky_partition(&sticky, 7) < 1)
        kj_sticky_next(&sticky, 7, NULL, NULL);
    assert_int_equal(kj_sticky_partition(&sticky, 1), -1);
    assert_int_equal(kj_sticky_next(&sticky, 1, NULL, NULL), 0);
    assert_int_equal(kj_sticky_next(&sticky, 1, NULL, NULL), 0);
}

/* Never the same twice in a row, and evenly: chi-square of 5 choices far below what chance allows.
 */
static void test_sticky_even(void **state)
{
    (void)state;
    struct kj_sticky sticky;
    kj_sticky_init(&sticky, kjtest_seed());
    enum { COUNT = 5, DRAWS = 50000 };
    int seen[COUNT] = {0};
    int32_t before = -1;
    for (int i = 0; i < DRAWS; i++) {
        int32_t next = kj_sticky_next(&sticky, COUNT, NULL, NULL);
        assert_in_range(next, 0, COUNT - 1);
        assert_int_not_equal(next, before);
        before = next;
        seen[next]++;
    }
    for (int i = 0; i < COUNT; i++)
        assert_in_range(seen[i], DRAWS / COUNT * 95 / 100, DRAWS / COUNT * 105 / 100);
}

static size_t queue_of(void *arg, int32_t partition)
{
    const size_t *queues = arg;
    return queues[partition];
}

/* A partition with a long queue is drawn less often: only when both draws hit it. */
static void test_sticky_adaptive(void **state)
{
    (void)state;
    struct kj_sticky sticky;
    kj_sticky_init(&sticky, kjtest_seed());
    size_t queues[4] = {0, 0, 100, 0};
    int seen[4] = {0};
    for (int i = 0; i < 40000; i++)
        seen[kj_sticky_next(&sticky, 4, queue_of, queues)]++;
    assert_true(seen[2] > 0);
    assert_true(seen[2] * 2 < seen[0]);
}

static void test_reset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int reset;
        int64_t ms;
    } good[] = {{"latest", KJ_RESET_LATEST, 0},
                {"earliest", KJ_RESET_EARLIEST, 0},
                {"none", KJ_RESET_NONE, 0},
                {"by_duration:PT1H", KJ_RESET_BY_DURATION, 3600000},
                {"by_duration:P1DT2H3M4.5S", KJ_RESET_BY_DURATION, 93784500},
                {"by_duration:p2d", KJ_RESET_BY_DURATION, 172800000},
                {"by_duration:PT0S", KJ_RESET_BY_DURATION, 0},
                {"by_duration:PT0.0019S", KJ_RESET_BY_DURATION, 1}};
    static const char *const bad[] = {"",
                                      "Latest",
                                      "by_duration:",
                                      "by_duration:P",
                                      "by_duration:PT",
                                      "by_duration:P1DT",
                                      "by_duration:PT1",
                                      "by_duration:P1H",
                                      "by_duration:PT1D",
                                      "by_duration:PT1S1H",
                                      "by_duration:PT1H1H",
                                      "by_duration:PT-1H",
                                      "by_duration:PT1.5H",
                                      "by_duration:PT.5S",
                                      "by_duration:P99999999999999999999D",
                                      "by_duration:P106751991168D",
                                      "by_duration:PT1S ",
                                      "earliest "};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        enum kj_offset_reset reset;
        int64_t ms;
        assert_true(kj_offset_reset_parse(good[i].text, &reset, &ms));
        assert_int_equal(reset, good[i].reset);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum kj_offset_reset reset = KJ_RESET_NONE;
        int64_t ms = 7;
        if (kj_offset_reset_parse(bad[i], &reset, &ms))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(ms, 7);
    }
}

/* By librdkafka's names. The hashes are those of its own tests (0048-partitioner, rdfnv1a), which
 * come from the crc32 command, a Java client and Go. -1: sticks; -2: any. */
static void test_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t crc, murmur2, fnv1a;
    } keys[] = {
        {"23456", 0xb1b451d7, 0x058d780f, 0x27e6f469},
        {"this is another string with more length to it perhaps", 0xb0150df7, 0x4f7703da,
         0x155e3e5f},
        {"hejsan", 0xd077037e, 0x5ec19395, 0x17b1e27a},
        {"kafka", 0x5bbc7517, 0x5067cf64, 0x0d33c4e1},
        {"giberish123456789", 0x7b3a8e3f, 0x0f552b0c, 0x77a58295},
    };
    struct kj_sticky sticky;
    kj_sticky_init(&sticky, kjtest_seed());
    for (int32_t count = 1; count < 60; count++) {
        const uint32_t n = (uint32_t)count;
#define CHOOSE(name, key, bytes)                                                                   \
    kj_partitioner_choose(KJ_PARTITIONER_##name, &sticky, key, bytes, count)
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            const char *key = keys[i].key;
            size_t len = strlen(key);
            assert_int_equal(CHOOSE(CONSISTENT, key, len), keys[i].crc % n);
            assert_int_equal(CHOOSE(CONSISTENT_RANDOM, key, len), keys[i].crc % n);
            assert_int_equal(CHOOSE(MURMUR2, key, len), keys[i].murmur2 % n);
            assert_int_equal(CHOOSE(FNV1A, key, len), keys[i].fnv1a % n);
            assert_int_equal(CHOOSE(FNV1A_RANDOM, key, len), keys[i].fnv1a % n);
            assert_int_equal(kj_partition_for_key(key, len, count), keys[i].murmur2 % n);
            assert_int_equal(CHOOSE(MURMUR2_RANDOM, key, len), -1); /* as the default */
            assert_int_equal(CHOOSE(DEFAULT, key, len), -1);
            assert_in_range(CHOOSE(RANDOM, key, len), 0, count - 1);
        }
        for (const char *key = NULL;; key = "") {
            assert_int_equal(CHOOSE(CONSISTENT, key, 0), 0);
            assert_int_equal(CHOOSE(MURMUR2, key, 0), 0x106e08d9 % n);
            assert_int_equal(CHOOSE(FNV1A, key, 0), 0x7ee3623b % n);
            if (key != NULL)
                break;
        }
        assert_int_equal(CHOOSE(CONSISTENT_RANDOM, NULL, 0), -1);
        assert_in_range(CHOOSE(CONSISTENT_RANDOM, "", 0), 0, count - 1);
        assert_int_equal(CHOOSE(FNV1A_RANDOM, NULL, 0), -1);
        assert_int_equal(CHOOSE(FNV1A_RANDOM, "", 0), 0x7ee3623b % n);
    }
    const int32_t count = 3;
    for (int i = 0; i < 9; i++)
        assert_int_equal(CHOOSE(ROUND_ROBIN, "key", 3), i % 3);
    int seen[3] = {0};
    for (int i = 0; i < 3000; i++)
        seen[CHOOSE(RANDOM, "key", 3)]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 800, 1200);
#undef CHOOSE
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),        cmocka_unit_test(test_sticky_keeps),
        cmocka_unit_test(test_sticky_even), cmocka_unit_test(test_sticky_adaptive),
        cmocka_unit_test(test_reset),       cmocka_unit_test(test_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
