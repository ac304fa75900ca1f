/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/java_text.h"

#include <stdio.h>
#include <string.h>

/* --- UTF-8 --- */

static bool follows(const uint8_t *p, size_t left, size_t i)
{
    return i < left && (p[i] & 0xc0) == 0x80;
}

/* Three bytes that spell a surrogate are replaced as one; of what is cut short or wrong, as many as
 * could have begun a character. */
static size_t three(const uint8_t *p, size_t left, bool *ret_good)
{
    if (!follows(p, left, 1) || (p[0] == 0xe0 && p[1] < 0xa0))
        return 1;
    if (!follows(p, left, 2))
        return 2;
    *ret_good = p[0] != 0xed || p[1] < 0xa0;
    return 3;
}

static size_t four(const uint8_t *p, size_t left, bool *ret_good)
{
    if (p[0] > 0xf4 || !follows(p, left, 1) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 1;
    if (!follows(p, left, 2))
        return 2;
    if (!follows(p, left, 3))
        return 3;
    *ret_good = true;
    return 4;
}

size_t kj_java_utf8(const uint8_t *p, size_t left, bool *ret_good)
{
    *ret_good = p[0] < 0x80;
    if (p[0] < 0xc2) /* ASCII, a byte that only follows, or one that is longer than need be */
        return 1;
    if (p[0] < 0xe0) {
        *ret_good = follows(p, left, 1);
        return *ret_good ? 2 : 1;
    }
    if (p[0] < 0xf0)
        return three(p, left, ret_good);
    return p[0] < 0xf8 ? four(p, left, ret_good) : 1;
}

size_t kj_java_string(const uint8_t *bytes, size_t count, char *to)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t written = 0;
    for (size_t i = 0, taken; i < count; i += taken) {
        bool good;
        taken = kj_java_utf8(bytes + i, count - i, &good);
        size_t len = good ? taken : 3;
        memcpy(to + written, good ? (const char *)bytes + i : replacement, len);
        written += len;
    }
    return written;
}

/* --- bytes --- */

size_t kj_java_escape(const uint8_t *bytes, size_t count, char *to)
{
    static const char digits[] = "0123456789ABCDEF";
    char *p = to;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '\\') {
            *p++ = (char)bytes[i];
            continue;
        }
        *p++ = '\\';
        *p++ = 'x';
        *p++ = digits[bytes[i] >> 4];
        *p++ = digits[bytes[i] & 15];
    }
    return (size_t)(p - to);
}

/* --- UUIDs --- */

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Long.parseLong(text, 16) of what stands before the next dash or the end. */
static bool number(const uint8_t **p, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (*p < end && **p == '+')
        ++*p;
    const uint8_t *first = *p;
    for (; *p < end && **p != '-'; ++*p) {
        int digit = digit_of(**p);
        if (digit < 0 || value > (uint64_t)INT64_MAX >> 4)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *ret_value = value;
    return *p > first;
}

bool kj_java_uuid(const uint8_t *bytes, size_t count, char text[37])
{
    enum { GROUPS = 5, TEXT_MAX = 36 };
    uint64_t groups[GROUPS];
    const uint8_t *p = bytes, *end = bytes + count;
    if (count > TEXT_MAX)
        return false;
    for (int i = 0; i < GROUPS; i++) {
        if (!number(&p, end, &groups[i]) || (i < GROUPS - 1) != (p < end))
            return false;
        p++; /* the dash */
    }
    snprintf(text, TEXT_MAX + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(groups[0] & 0xffffffff),
             (unsigned)(groups[1] & 0xffff), (unsigned)(groups[2] & 0xffff),
             (unsigned)(groups[3] & 0xffff), (unsigned long long)(groups[4] & 0xffffffffffff));
    return true;
}
