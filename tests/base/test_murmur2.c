/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/bytes.h"
#include "base/murmur2.h"

static void test_golden(void **state)
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
        assert_int_equal(kj_murmur2(bytes, n), hash);
        assert_int_equal(kj_partition_for_key(bytes, n, 3), p3);
        assert_int_equal(kj_partition_for_key(bytes, n, 12), p12);
        assert_int_equal(kj_partition_for_key(bytes, n, 50), p50);
        assert_int_equal(kj_partition_for_key(bytes, n, 1000), p1000);
    }
    assert_in_range(lines, 20, 100000);
    free(bytes);
    free(text);
}

/* Vectors of Kafka's own test. */
static void test_known(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107},
                 {"", 275646681}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(kj_murmur2(known[i].key, strlen(known[i].key)), known[i].hash);
    assert_int_equal(kj_murmur2(NULL, 0), 275646681);
}

/* 100 random strings of each length 0..1000: the sum of all unsigned hashes. */
static void test_mass(void **state)
{
    (void)state;
    uint64_t random = 0, sum = 0;
    uint8_t bytes[1008];
    for (size_t len = 0; len <= 1000; len++) {
        for (int i = 0; i < 100; i++) {
            for (size_t at = 0; at < len; at += 8) {
                uint64_t v = kjtest_random(&random);
                for (size_t b = 0; b < 8; b++)
                    bytes[at + b] = (uint8_t)(v >> (8 * b));
            }
            sum += (uint32_t)kj_murmur2(bytes, len);
        }
    }
    assert_int_equal(sum, 0xc3b8cf7c99fc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_mass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
