/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/javahash.h"

static void test_golden(void **state)
{
    (void)state;
    size_t len;
    uint8_t *text = golden_read("kafka/javahash.txt", &len);
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    char *at = (char *)text;
    int lines = 0, smallest = 0;
    for (char *line; (line = golden_line(&at)) != NULL; lines++) {
        int hash, partition;
        assert_int_equal(sscanf(strchr(line, ' '), "%d %d", &hash, &partition), 2);
        size_t n = golden_hex(line, bytes);
        assert_int_equal(kj_javahash((const char *)bytes, n), hash);
        assert_int_equal(kj_partition_for_group(hash, 50), partition);
        smallest += hash == INT32_MIN;
    }
    assert_in_range(lines, 10, 10000);
    assert_int_equal(smallest, 1);
    free(bytes);
    free(text);
}

/* What is not UTF-8 counts as U+FFFD, byte by byte, and is never read beyond its end. */
static void test_malformed(void **state)
{
    (void)state;
    const int32_t one = 0xfffd;
    assert_int_equal(kj_javahash("\x80", 1), one);
    assert_int_equal(kj_javahash("\xff", 1), one);
    assert_int_equal(kj_javahash("\xc3", 1), one);
    assert_int_equal(kj_javahash("\xc3\xa9", 1), one);
    assert_int_equal(kj_javahash("\xc3\xa9", 2), 0xe9);
    assert_int_equal(kj_javahash("\xc0\x80", 2), one * 31 + one);                  /* overlong */
    assert_int_equal(kj_javahash("\xed\xa0\x80", 3), (one * 31 + one) * 31 + one); /* surrogate */
    assert_int_equal(kj_javahash("\xf0\x9f\x98\x80", 4), 0xd83d * 31 + 0xde00);
    assert_int_equal(kj_javahash("\xf0\x9f\x98", 3), (one * 31 + one) * 31 + one);
    assert_int_equal(kj_javahash(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
