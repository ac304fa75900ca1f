/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Keys and values in the bytes of Kafka's serialisers. The same against Kafka's own classes:
 * tests/interop/run-kafka-serde.
 */
#include "api_test.h"

#include <float.h>
#include <math.h>

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *bytes; /* of an int64; the shorter ones are its end */
    } vectors[] = {
        {0, "\0\0\0\0\0\0\0\0"},
        {1, "\0\0\0\0\0\0\0\1"},
        {-1, "\xff\xff\xff\xff\xff\xff\xff\xff"},
        {258, "\0\0\0\0\0\0\1\2"},
        {INT16_MIN, "\xff\xff\xff\xff\xff\xff\x80\0"},
        {INT16_MAX, "\0\0\0\0\0\0\x7f\xff"},
        {INT32_MIN, "\xff\xff\xff\xff\x80\0\0\0"},
        {0x01020304, "\0\0\0\0\1\2\3\4"},
        {INT64_MIN, "\x80\0\0\0\0\0\0\0"},
        {INT64_MAX, "\x7f\xff\xff\xff\xff\xff\xff\xff"},
        {0x0102030405060708, "\1\2\3\4\5\6\7\10"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t bytes[9];
        int16_t i16;
        int32_t i32;
        int64_t value = vectors[i].value, i64;
        memset(bytes, 0xaa, sizeof bytes);
        kaja_encode_int64(value, bytes);
        assert_memory_equal(bytes, vectors[i].bytes, 8);
        assert_int_equal(bytes[8], 0xaa);
        assert_ok(kaja_decode_int64(bytes, KAJA_INT64_BYTES, &i64));
        assert_int_equal(i64, value);
        if (value == (int32_t)value) {
            memset(bytes, 0xaa, sizeof bytes);
            kaja_encode_int32((int32_t)value, bytes);
            assert_memory_equal(bytes, vectors[i].bytes + 4, 4);
            assert_int_equal(bytes[4], 0xaa);
            assert_ok(kaja_decode_int32(bytes, KAJA_INT32_BYTES, &i32));
            assert_int_equal(i32, value);
        }
        if (value == (int16_t)value) {
            memset(bytes, 0xaa, sizeof bytes);
            kaja_encode_int16((int16_t)value, bytes);
            assert_memory_equal(bytes, vectors[i].bytes + 6, 2);
            assert_int_equal(bytes[2], 0xaa);
            assert_ok(kaja_decode_int16(bytes, KAJA_INT16_BYTES, &i16));
            assert_int_equal(i16, value);
        }
    }
}

static void test_floats(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *as_float, *as_double;
    } vectors[] = {
        {0, "\0\0\0\0", "\0\0\0\0\0\0\0\0"},
        {-0.0, "\x80\0\0\0", "\x80\0\0\0\0\0\0\0"},
        {1.5, "\x3f\xc0\0\0", "\x3f\xf8\0\0\0\0\0\0"},
        {-2, "\xc0\0\0\0", "\xc0\0\0\0\0\0\0\0"},
        {(double)INFINITY, "\x7f\x80\0\0", "\x7f\xf0\0\0\0\0\0\0"},
        {(double)FLT_MIN, "\0\x80\0\0", "\x38\x10\0\0\0\0\0\0"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t bytes[8];
        float f;
        double d;
        kaja_encode_float((float)vectors[i].value, bytes);
        assert_memory_equal(bytes, vectors[i].as_float, 4);
        assert_ok(kaja_decode_float(bytes, KAJA_FLOAT_BYTES, &f));
        assert_true(!(f < (float)vectors[i].value) && !(f > (float)vectors[i].value));
        assert_int_equal(signbit(f) != 0, signbit(vectors[i].value) != 0);
        kaja_encode_double(vectors[i].value, bytes);
        assert_memory_equal(bytes, vectors[i].as_double, 8);
        assert_ok(kaja_decode_double(bytes, KAJA_DOUBLE_BYTES, &d));
        assert_true(!(d < vectors[i].value) && !(d > vectors[i].value));
        assert_int_equal(signbit(d) != 0, signbit(vectors[i].value) != 0);
    }
    double d;
    assert_ok(kaja_decode_double("\x7f\xf8\0\0\0\0\0\0", 8, &d));
    assert_true(isnan(d));
}

/* Neither shorter nor longer ones are taken, nor null, and the result is left alone. */
static void test_lengths(void **state)
{
    (void)state;
    static const char bytes[64] = "00112233-4455-6677-8899-aabbccddeeff";
    int16_t i16 = 7;
    int32_t i32 = 7;
    int64_t i64 = 7;
    float f = 7;
    double d = 7;
    uint8_t uuid[16] = {7};
    for (size_t n = 0; n < 40; n++) {
        assert_int_equal(kaja_decode_int16(bytes, n, &i16), n == 2 ? 0 : KAJA_ERR_DESERIALIZATION);
        assert_int_equal(kaja_decode_int32(bytes, n, &i32), n == 4 ? 0 : KAJA_ERR_DESERIALIZATION);
        assert_int_equal(kaja_decode_int64(bytes, n, &i64), n == 8 ? 0 : KAJA_ERR_DESERIALIZATION);
        assert_int_equal(kaja_decode_float(bytes, n, &f), n == 4 ? 0 : KAJA_ERR_DESERIALIZATION);
        assert_int_equal(kaja_decode_double(bytes, n, &d), n == 8 ? 0 : KAJA_ERR_DESERIALIZATION);
        assert_int_equal(kaja_decode_uuid(bytes, n, uuid), n == 36 ? 0 : KAJA_ERR_DESERIALIZATION);
        if (n < 2)
            assert_true(i16 == 7 && i32 == 7 && i64 == 7 && uuid[0] == 7);
    }
    assert_err(kaja_decode_int32(bytes, 3, &i32), KAJA_ERR_DESERIALIZATION);
    assert_true(detail_has("3 bytes where an int32 of 4 should be"));
    assert_err(kaja_decode_int16(NULL, 0, &i16), KAJA_ERR_DESERIALIZATION);
    assert_err(kaja_decode_int64(NULL, 8, &i64), KAJA_ERR_DESERIALIZATION);
    assert_err(kaja_decode_uuid(NULL, 36, uuid), KAJA_ERR_DESERIALIZATION);
    assert_true(detail_has("null"));
}

static void test_uuids(void **state)
{
    (void)state;
    static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    static const char text[] = "00112233-4455-6677-8899-aabbccddeeff";
    char bytes[KAJA_UUID_BYTES + 1];
    uint8_t got[16] = {0};
    bytes[KAJA_UUID_BYTES] = 'x';
    kaja_encode_uuid(uuid, bytes);
    assert_memory_equal(bytes, text, KAJA_UUID_BYTES);
    assert_int_equal(bytes[KAJA_UUID_BYTES], 'x');
    assert_ok(kaja_decode_uuid(text, KAJA_UUID_BYTES, got));
    assert_memory_equal(got, uuid, sizeof uuid);
    assert_ok(kaja_decode_uuid("00112233-4455-6677-8899-AABBCCDDEEFF", KAJA_UUID_BYTES, got));
    assert_memory_equal(got, uuid, sizeof uuid);
    for (size_t i = 0; i < KAJA_UUID_BYTES; i++) {
        memcpy(bytes, text, KAJA_UUID_BYTES);
        bytes[i] = i % 2 != 0 ? 'g' : ' ';
        assert_err(kaja_decode_uuid(bytes, KAJA_UUID_BYTES, got), KAJA_ERR_DESERIALIZATION);
        assert_memory_equal(got, uuid, sizeof uuid);
    }
}

static void test_strings(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "kavka", "k\xc3\xa4ja", "\xe2\x82\xac", "\xf0\x9f\x90\xa6", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"};
    static const char *const bad[] = {
        "\x80", "\xc3", "a\xc3(", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "\xf0\x9f\x90"};
    char text[16];
    const void *bytes;
    size_t count;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(kaja_encode_string(good[i], &bytes, &count));
        assert_ptr_equal(bytes, good[i]);
        assert_int_equal(count, strlen(good[i]));
        assert_ok(kaja_decode_string(bytes, count, text, count + 1));
        assert_string_equal(text, good[i]);
        (void)snprintf(text, sizeof text, "%s", "kept");
        assert_err(kaja_decode_string(bytes, count, text, count), KAJA_ERR_INVALID_ARG);
        assert_string_equal(text, "kept");
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bytes = text;
        assert_err(kaja_encode_string(bad[i], &bytes, &count), KAJA_ERR_SERIALIZATION);
        assert_ptr_equal(bytes, text);
        assert_err(kaja_decode_string(bad[i], strlen(bad[i]), text, sizeof text),
                   KAJA_ERR_DESERIALIZATION);
    }
    assert_ok(kaja_encode_string(NULL, &bytes, &count));
    assert_null(bytes);
    assert_int_equal(count, 0);
    assert_err(kaja_decode_string(NULL, 0, text, sizeof text), KAJA_ERR_DESERIALIZATION);
    assert_err(kaja_decode_string("a\0b", 3, text, sizeof text), KAJA_ERR_DESERIALIZATION);
    assert_true(detail_has("a zero at byte 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers), cmocka_unit_test(test_floats),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_uuids),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
