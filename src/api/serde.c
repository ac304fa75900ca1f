/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/serde.c - kaja/serde.h.
 */
#include "base/bytes.h"
#include "base/err.h"

#include <kaja.h>

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static_assert(sizeof(float) == KAJA_FLOAT_BYTES && sizeof(double) == KAJA_DOUBLE_BYTES,
              "IEEE 754");

/* --- numbers --- */

void kaja_encode_int16(int16_t value, void *ret_bytes)
{
    kj_put_be16(ret_bytes, (uint16_t)value);
}

void kaja_encode_int32(int32_t value, void *ret_bytes)
{
    kj_put_be32(ret_bytes, (uint32_t)value);
}

void kaja_encode_int64(int64_t value, void *ret_bytes)
{
    kj_put_be64(ret_bytes, (uint64_t)value);
}

void kaja_encode_float(float value, void *ret_bytes)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    kj_put_be32(ret_bytes, bits);
}

void kaja_encode_double(double value, void *ret_bytes)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    kj_put_be64(ret_bytes, bits);
}

static int check(const char *what, const void *bytes, size_t count, size_t wanted)
{
    if (bytes == NULL)
        return kj_err(KAJA_ERR_DESERIALIZATION, "null where %s should be", what);
    if (count != wanted)
        return kj_err(KAJA_ERR_DESERIALIZATION, "%zu bytes where %s of %zu should be", count, what,
                      wanted);
    return 0;
}

int kaja_decode_int16(const void *bytes, size_t count, int16_t *ret_value)
{
    KJ_TRY(check("an int16", bytes, count, KAJA_INT16_BYTES));
    *ret_value = kj_get_be16s(bytes);
    return 0;
}

int kaja_decode_int32(const void *bytes, size_t count, int32_t *ret_value)
{
    KJ_TRY(check("an int32", bytes, count, KAJA_INT32_BYTES));
    *ret_value = kj_get_be32s(bytes);
    return 0;
}

int kaja_decode_int64(const void *bytes, size_t count, int64_t *ret_value)
{
    KJ_TRY(check("an int64", bytes, count, KAJA_INT64_BYTES));
    *ret_value = kj_get_be64s(bytes);
    return 0;
}

int kaja_decode_float(const void *bytes, size_t count, float *ret_value)
{
    KJ_TRY(check("a float", bytes, count, KAJA_FLOAT_BYTES));
    const uint32_t bits = kj_get_be32(bytes);
    memcpy(ret_value, &bits, sizeof bits);
    return 0;
}

int kaja_decode_double(const void *bytes, size_t count, double *ret_value)
{
    KJ_TRY(check("a double", bytes, count, KAJA_DOUBLE_BYTES));
    const uint64_t bits = kj_get_be64(bytes);
    memcpy(ret_value, &bits, sizeof bits);
    return 0;
}

/* --- UUIDs --- */

/* 00112233-4455-6677-8899-aabbccddeeff */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void kaja_encode_uuid(const uint8_t *uuid, void *ret_bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = ret_bytes;
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i))
            *text++ = '-';
        *text++ = digits[uuid[i] >> 4];
        *text++ = digits[uuid[i] & 15];
    }
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int kaja_decode_uuid(const void *bytes, size_t count, uint8_t *ret_uuid)
{
    uint8_t uuid[16];
    const char *text = bytes;
    KJ_TRY(check("a UUID", bytes, count, KAJA_UUID_BYTES));
    for (size_t i = 0; i < 16; i++) {
        bool dash = !dash_before(i) || *text++ == '-';
        int high = digit_of(text[0]);
        int low = digit_of(text[1]);
        text += 2;
        if (!dash || high < 0 || low < 0)
            return kj_err(KAJA_ERR_DESERIALIZATION, "no UUID at character %zu",
                          (size_t)(text - (const char *)bytes) - 2);
        uuid[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_uuid, uuid, sizeof uuid);
    return 0;
}

/* --- strings --- */

/* Bytes of the character of more than one byte that begins at p, 0: none does. Neither longer than
 * need be, nor a surrogate, nor above 10FFFF. */
static size_t character(const uint8_t *p, size_t left)
{
    size_t bytes = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < bytes)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return bytes;
}

/* The first byte that is not part of one, count: all are. */
static size_t utf8_until(const uint8_t *bytes, size_t count)
{
    size_t at = 0;
    while (at < count) {
        size_t step = bytes[at] < 0x80 ? 1 : character(bytes + at, count - at);
        if (step == 0)
            break;
        at += step;
    }
    return at;
}

int kaja_encode_string(const char *text, const void **ret_bytes, size_t *ret_count)
{
    size_t count = text != NULL ? strlen(text) : 0;
    size_t good = text != NULL ? utf8_until((const uint8_t *)text, count) : 0;
    if (good < count)
        return kj_err(KAJA_ERR_SERIALIZATION, "the string is not UTF-8 at byte %zu", good);
    *ret_bytes = text;
    *ret_count = count;
    return 0;
}

int kaja_decode_string(const void *bytes, size_t count, char *ret_text, size_t capacity)
{
    if (bytes == NULL)
        return kj_err(KAJA_ERR_DESERIALIZATION, "null where a string should be");
    size_t good = utf8_until(bytes, count);
    if (good < count)
        return kj_err(KAJA_ERR_DESERIALIZATION, "the string is not UTF-8 at byte %zu", good);
    const uint8_t *zero = memchr(bytes, 0, count);
    if (zero != NULL)
        return kj_err(KAJA_ERR_DESERIALIZATION, "the string has a zero at byte %zu",
                      (size_t)(zero - (const uint8_t *)bytes));
    if (capacity <= count)
        return kj_err(KAJA_ERR_INVALID_ARG, "a string of %zu bytes and room for %zu", count,
                      capacity);
    memcpy(ret_text, bytes, count);
    ret_text[count] = 0;
    return 0;
}
