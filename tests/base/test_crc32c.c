/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/crc32c.h"

static uint32_t bit_by_bit(uint32_t state, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        state ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            state = (state >> 1) ^ (state & 1 ? 0x82F63B78u : 0);
    }
    return state;
}

static void test_golden(void **state)
{
    (void)state;
    size_t len;
    uint8_t *text = golden_read("kafka/crc32c.txt", &len);
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    char *at = (char *)text;
    int lines = 0;
    for (char *line; (line = golden_line(&at)) != NULL; lines++) {
        char *crc = strchr(line, ' ');
        assert_non_null(crc);
        size_t n = golden_hex(line, bytes);
        assert_int_equal(kj_crc32c(0, bytes, n), strtoul(crc + 1, NULL, 16));
    }
    assert_in_range(lines, 5, 1000);
    assert_int_equal(kj_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(kj_crc32c(0, "Some String", 11), 0x2445290f);
    free(bytes);
    free(text);
}

/* Every way of this CPU and the tables agree with the definition: all lengths around the steps
 * (8, 64, 256, 384, 3072 bytes), all alignments, random states. */
static void test_ways(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    enum { BYTES = 20000 };
    uint8_t *bytes = malloc(BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)kjtest_random(&random);
    struct kj_crc32c_way ways[KJ_CRC32C_WAYS_MAX + 1] = {0};
    kj_crc32c_cpu_ways(ways);
    size_t count = 0;
    while (ways[count].fn != NULL)
        count++;
    assert_in_range(count, 0, KJ_CRC32C_WAYS_MAX - 1);
    ways[count++] = (struct kj_crc32c_way){"tables", kj_crc32c_tables};
    for (size_t n = 0; n < 1100; n++) {
        const uint8_t *p = bytes + n % 67;
        uint32_t from = (uint32_t)kjtest_random(&random);
        uint32_t right = bit_by_bit(from, p, n);
        for (size_t w = 0; w < count; w++)
            if (ways[w].fn(from, p, n) != right)
                fail_msg("%s: wrong for %zu bytes", ways[w].name, n);
    }
    for (int i = 0; i < 60; i++) {
        size_t n = kjtest_random(&random) % (BYTES - 64);
        const uint8_t *p = bytes + kjtest_random(&random) % 64;
        uint32_t right = bit_by_bit(0xffffffff, p, n);
        for (size_t w = 0; w < count; w++)
            if (ways[w].fn(0xffffffff, p, n) != right)
                fail_msg("%s: wrong for %zu bytes", ways[w].name, n);
        assert_int_equal(kj_crc32c(0, p, n), ~right);
        /* In two parts. */
        size_t half = n == 0 ? 0 : kjtest_random(&random) % n;
        assert_int_equal(kj_crc32c(kj_crc32c(0, p, half), p + half, n - half), ~right);
    }
    free(bytes);
}

/* The constants of crc32c_x86.c and crc32c_arm.c, from their definition. */
static uint32_t x_to_the(unsigned n)
{
    uint32_t r = 0x80000000; /* x^0, reflected */
    while (n-- > 0)
        r = (r >> 1) ^ (r & 1 ? 0x82F63B78u : 0);
    return r;
}

static void test_constants(void **state)
{
    (void)state;
    static const struct {
        unsigned bits;
        uint32_t first, last;
    } folds[] = {{128, 0xf20c0dfe, 0x493c7d27},  {256, 0x3da6d0cb, 0xba4fc28e},
                 {384, 0x1c291d04, 0xddc0152b},  {512, 0x740eef02, 0x9e4addf8},
                 {1024, 0x6992cea2, 0x0d3b6092}, {1536, 0xa87ab8a8, 0xab7aff2a},
                 {2048, 0xdcb17aa4, 0xb9e02b86}};
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        assert_int_equal(folds[i].first, x_to_the(folds[i].bits + 31));
        assert_int_equal(folds[i].last, x_to_the(folds[i].bits - 33));
    }
    assert_int_equal(0x0d3b6092, x_to_the(8 * 128 - 33));
    assert_int_equal(0xb9e02b86, x_to_the(8 * 256 - 33));
    assert_int_equal(0x170076fa, x_to_the(8 * 1024 - 33));
    assert_int_equal(0xa51b6135, x_to_the(8 * 2048 - 33));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
