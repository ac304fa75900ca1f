/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/varint.h"

/* Decodes by kind; NULL if refused. */
static const uint8_t *get(const char *kind, const uint8_t *p, const uint8_t *end,
                          int64_t *ret_value)
{
    int32_t v32 = 0;
    uint32_t u32 = 0;
    if (strcmp(kind, "varlong") == 0)
        return kj_varlong_get(p, end, ret_value);
    if (strcmp(kind, "uvarint") == 0) {
        p = kj_uvarint_get(p, end, &u32);
        *ret_value = u32;
    } else {
        p = kj_varint_get(p, end, &v32);
        *ret_value = v32;
    }
    return p;
}

static size_t put(const char *kind, int64_t value, uint8_t *p, size_t *ret_predicted)
{
    if (strcmp(kind, "varlong") == 0) {
        *ret_predicted = kj_varlong_bytes(value);
        return (size_t)(kj_varlong_put(p, value) - p);
    }
    if (strcmp(kind, "uvarint") == 0) {
        *ret_predicted = kj_uvarint_bytes((uint32_t)value);
        return (size_t)(kj_uvarint_put(p, (uint32_t)value) - p);
    }
    *ret_predicted = kj_varint_bytes((int32_t)value);
    return (size_t)(kj_varint_put(p, (int32_t)value) - p);
}

static void test_golden(void **state)
{
    (void)state;
    size_t len;
    uint8_t *text = golden_read("kafka/varint.txt", &len);
    char *at = (char *)text;
    int lines = 0;
    for (char *line; (line = golden_line(&at)) != NULL; lines++) {
        char kind[32], number[32], hex[64];
        assert_int_equal(sscanf(line, "%31s %31s %63s", kind, number, hex), 3);
        uint8_t bytes[16];
        size_t n = golden_hex(hex, bytes);
        int64_t value = 0;
        bool bad = strncmp(kind, "bad_", 4) == 0;
        bool lenient = strncmp(kind, "lenient_", 8) == 0;
        const char *plain = bad ? kind + 4 : lenient ? kind + 8 : kind;
        const uint8_t *end = get(plain, bytes, bytes + n, &value);
        if (bad) {
            assert_null(end);
            continue;
        }
        assert_ptr_equal(end, bytes + n);
        assert_int_equal(value, strtoll(number, NULL, 10));
        /* Cut short, it is refused; exactly these bytes are read. */
        for (size_t cut = 0; cut < n; cut++)
            assert_null(get(plain, bytes, bytes + cut, &value));
        if (lenient)
            continue;
        uint8_t out[16];
        size_t predicted;
        assert_int_equal(put(plain, strtoll(number, NULL, 10), out, &predicted), n);
        assert_int_equal(predicted, n);
        assert_memory_equal(out, bytes, n);
    }
    assert_in_range(lines, 60, 1000);
    free(text);
}

static void check_both(int64_t value)
{
    static const char *const kinds[] = {"varint", "varlong", "uvarint"};
    for (int k = 0; k < 3; k++) {
        int64_t v = k == 0 ? (int32_t)value : k == 1 ? value : (int64_t)(uint32_t)value;
        uint8_t out[16];
        size_t predicted;
        size_t n = put(kinds[k], v, out, &predicted);
        assert_int_equal(predicted, n);
        int64_t back = ~v;
        assert_ptr_equal(get(kinds[k], out, out + n, &back), out + n);
        assert_int_equal(back, v);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    for (int bit = 0; bit < 64; bit++) {
        uint64_t edge = UINT64_C(1) << bit;
        for (uint64_t d = 0; d < 3; d++) {
            check_both((int64_t)(edge + d - 1));
            check_both((int64_t)(0 - (edge + d - 1)));
        }
        for (int i = 0; i < 50; i++)
            check_both((int64_t)(kjtest_random(&random) >> bit));
    }
}

/* A padded form of every length is read up to the maximum; one byte more is not. */
static void test_padding(void **state)
{
    (void)state;
    uint8_t bytes[12];
    int64_t value;
    for (size_t n = 1; n <= 11; n++) {
        memset(bytes, 0x80, sizeof bytes);
        bytes[0] |= 6;
        if (n == 1)
            bytes[0] = 6;
        else
            bytes[n - 1] = 0;
        value = 0;
        const uint8_t *end = get("varint", bytes, bytes + sizeof bytes, &value);
        assert_ptr_equal(end, n <= 5 ? bytes + n : NULL);
        if (end != NULL)
            assert_int_equal(value, 3);
        end = get("varlong", bytes, bytes + sizeof bytes, &value);
        assert_ptr_equal(end, n <= 10 ? bytes + n : NULL);
    }
    /* Bits beyond the type in the last byte are dropped. */
    const uint8_t dropped[] = {0xff, 0xff, 0xff, 0xff, 0x7f};
    assert_non_null(get("varint", dropped, dropped + 5, &value));
    assert_int_equal(value, INT32_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
