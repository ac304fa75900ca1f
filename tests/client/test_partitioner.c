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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),        cmocka_unit_test(test_sticky_keeps),
        cmocka_unit_test(test_sticky_even), cmocka_unit_test(test_sticky_adaptive),
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
