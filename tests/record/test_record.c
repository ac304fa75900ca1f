/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "record/record.h"

static const struct kj_record_view untouched = {.offset_delta = 12345};

static bool refused(const uint8_t *bytes, size_t n)
{
    struct kj_record_view view = untouched;
    bool null = kj_record_decode(bytes, bytes + n, &view) == NULL;
    if (null)
        assert_memory_equal(&view, &untouched, sizeof view);
    return null;
}

static void check_field(const void *p, size_t n, const uint8_t *got, size_t got_bytes)
{
    if (p == NULL) {
        assert_null(got);
        assert_int_equal(got_bytes, 0);
        return;
    }
    assert_non_null(got);
    assert_int_equal(got_bytes, n);
    if (n > 0)
        assert_memory_equal(got, p, n);
}

/* Encodes, checks the sizes said in advance, decodes, compares all. */
static void round_trip(const struct kj_record *record, int64_t timestamp_delta,
                       int32_t offset_delta)
{
    size_t bytes = kj_record_bytes(record, timestamp_delta, offset_delta);
    assert_in_range(bytes, 7, kj_record_bytes_max(record));
    uint8_t *buf = malloc(bytes);
    assert_non_null(buf);
    assert_ptr_equal(kj_record_encode(record, timestamp_delta, offset_delta, buf), buf + bytes);
    struct kj_record_view view;
    assert_ptr_equal(kj_record_decode(buf, buf + bytes, &view), buf + bytes);
    assert_int_equal(view.timestamp_delta, timestamp_delta);
    assert_int_equal(view.offset_delta, offset_delta);
    assert_int_equal(view.bytes, bytes);
    check_field(record->key, record->key_bytes, view.key, view.key_bytes);
    check_field(record->value, record->value_bytes, view.value, view.value_bytes);
    assert_int_equal(view.header_count, record->header_count);
    const uint8_t *p = view.headers, *end = view.headers + view.headers_bytes;
    for (size_t i = 0; i < record->header_count; i++) {
        struct kj_header header;
        p = kj_header_decode(p, end, &header);
        assert_non_null(p);
        check_field(record->headers[i].key, record->headers[i].key_bytes,
                    (const uint8_t *)header.key, header.key_bytes);
        check_field(record->headers[i].value, record->headers[i].value_bytes, header.value,
                    header.value_bytes);
    }
    assert_ptr_equal(p, end);
    /* Not one byte less suffices. */
    for (size_t cut = 0; cut < bytes && cut < 200; cut++)
        assert_null(kj_record_decode(buf, buf + cut, &view));
    free(buf);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    static uint8_t data[70000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)kjtest_random(&random);
    static const size_t sizes[] = {0, 1, 62, 63, 64, 65, 127, 128, 8190, 8191, 8192, 8193, 70000};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    struct kj_header headers[3];
    for (int i = 0; i < 3000; i++) {
        for (int h = 0; h < 3; h++) {
            headers[h].key = (const char *)data + h;
            headers[h].key_bytes = kjtest_random(&random) % 80;
            headers[h].value = kjtest_random(&random) % 4 == 0 ? NULL : data + 10;
            headers[h].value_bytes = headers[h].value == NULL ? 0 : kjtest_random(&random) % 80;
        }
        struct kj_record record = {0};
        if (kjtest_random(&random) % 4 != 0) {
            record.key = data;
            record.key_bytes = sizes[kjtest_random(&random) % (i % 16 == 0 ? SIZES : 8)];
        }
        if (kjtest_random(&random) % 4 != 0) {
            record.value = data;
            record.value_bytes = sizes[kjtest_random(&random) % (i % 16 == 0 ? SIZES : 8)];
        }
        record.headers = headers;
        record.header_count = kjtest_random(&random) % 4;
        round_trip(&record, (int64_t)kjtest_random(&random) >> kjtest_random(&random) % 64,
                   (int32_t)((uint32_t)kjtest_random(&random) >> kjtest_random(&random) % 32));
    }
    /* Counts and lengths that need two bytes and more. */
    static struct kj_header many[20000];
    for (size_t i = 0; i < 20000; i++)
        many[i] = (struct kj_header){"", 0, i % 2 == 0 ? NULL : "", 0};
    for (size_t n = 60; n <= 20000; n = n * 3 + 1)
        round_trip(&(struct kj_record){.headers = many, .header_count = n}, INT64_MIN, INT32_MAX);
    round_trip(&(struct kj_record){.value = "", .headers = many, .header_count = 20000}, INT64_MAX,
               INT32_MIN);
}

static void test_too_large(void **state)
{
    (void)state;
    const struct kj_header long_key = {"k", (size_t)INT32_MAX + 1, NULL, 0};
    const struct kj_header halves[3] = {{"k", INT32_MAX / 2, NULL, 0},
                                        {"k", INT32_MAX / 2, NULL, 0},
                                        {"k", INT32_MAX / 2, NULL, 0}};
    const struct kj_record records[] = {
        {.key = "k", .key_bytes = SIZE_MAX},
        {.key = "k", .key_bytes = (size_t)INT32_MAX + 1},
        {.value = "v", .value_bytes = SIZE_MAX - 5},
        {.headers = &long_key, .header_count = 1},
        {.headers = halves, .header_count = 3},
        {.headers = halves, .header_count = SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        assert_true(kj_record_bytes_max(&records[i]) == SIZE_MAX);
        assert_true(kj_record_bytes(&records[i], 0, 0) == SIZE_MAX);
        assert_true(kj_record_body_bytes(&records[i], 0, 0) == SIZE_MAX);
    }
    /* Each part fits, but not their sum. */
    const struct kj_record sum = {
        .key = "k", .key_bytes = INT32_MAX, .value = "v", .value_bytes = INT32_MAX};
    assert_true(kj_record_bytes(&sum, 0, 0) == SIZE_MAX);
}

/* length 12, attributes 0, deltas 0 0, key "k", value "v", headers: "h" -> "x" */
static const uint8_t good[] = {22, 0, 0, 0, 2, 'k', 2, 'v', 2, 2, 'h', 2};

static void test_malformed(void **state)
{
    (void)state;
    uint8_t bytes[16];
    memcpy(bytes, good, sizeof good);
    bytes[12] = 'x';
    bytes[0] = 24; /* 12 bytes behind the length */
    assert_false(refused(bytes, 13));
    static const struct {
        size_t at;
        uint8_t value;
        const char *what;
    } faults[] = {
        {0, 22, "length one too small"},
        {0, 26, "length one too large"},
        {0, 0, "length 0"},
        {0, 1, "length -1"},
        {0, 0x80, "length in two bytes, 0"},
        {4, 4, "key one too long"},
        {4, 100, "key beyond the record"},
        {6, 4, "value too long"},
        {6, 0, "value too short"},
        {6, 0xfe, "value length in two bytes"},
        {8, 0, "header count too small"},
        {8, 4, "header count too large"},
        {8, 1, "header count negative"},
        {8, 0x7e, "header count beyond the bytes"},
        {9, 1, "header key null"},
        {9, 3, "header key negative"},
        {9, 6, "header key too long"},
        {11, 4, "header value too long"},
        {11, 0, "header value too short"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint8_t was = bytes[faults[i].at];
        bytes[faults[i].at] = faults[i].value;
        if (!refused(bytes, 13))
            fail_msg("accepted: %s", faults[i].what);
        /* More bytes behind the record do not help. */
        bytes[13] = bytes[14] = bytes[15] = 0;
        if (faults[i].value != 26 && faults[i].value != 0x80 && !refused(bytes, 16))
            fail_msg("accepted with bytes behind: %s", faults[i].what);
        bytes[faults[i].at] = was;
    }
    assert_false(refused(bytes, 13));
}

/* What Kafka reads as well: any negative length as null, padded numbers, any attributes. */
static void test_lenient(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x9c, 0x80, 0x00, /* 14 */ 0xff, 0,    0x80, 0x80, 0, 3, 5,
                             2,    0x82, 0,    'h',           0xff, 0xff, 0x00};
    struct kj_record_view view;
    assert_ptr_equal(kj_record_decode(bytes, bytes + sizeof bytes, &view), bytes + sizeof bytes);
    assert_null(view.key);
    assert_null(view.value);
    assert_int_equal(view.header_count, 1);
    struct kj_header header;
    assert_non_null(kj_header_decode(view.headers, view.headers + view.headers_bytes, &header));
    assert_int_equal(header.key_bytes, 1);
    assert_null(header.value);
}

/* Counts at their limits cost no more than the bytes that are there. */
static void test_extreme_counts(void **state)
{
    (void)state;
    uint8_t bytes[1024] = {0};
    /* length 1022 - 2 = two bytes of length; header count 2^31 - 1 */
    static const uint8_t start[] = {0xfc, 0x0f, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f};
    memcpy(bytes, start, sizeof start);
    assert_true(refused(bytes, sizeof bytes));
    bytes[11] = 0x7f; /* bits beyond 32 are dropped: the same */
    assert_true(refused(bytes, sizeof bytes));
    /* 2^31 - 1 bytes in 1022 */
    static const uint8_t longest[] = {0xfe, 0xff, 0xff, 0xff, 0x0f};
    memcpy(bytes, longest, sizeof longest);
    assert_true(refused(bytes, sizeof bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_malformed),      cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_extreme_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
