/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/javahash.h"

/* Decodes one character at p (n > 0 bytes left); returns its bytes, 1 and U+FFFD if malformed:
 * a wrong or missing continuation byte, an overlong form, a surrogate, beyond U+10FFFF. */
static size_t decode_utf8(const uint8_t *p, size_t n, uint32_t *ret_char)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = p[0];
    size_t bytes = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
    if (bytes == 0 || bytes > n)
        goto malformed;
    if (bytes > 1)
        c &= 0x7fu >> bytes;
    for (size_t i = 1; i < bytes; i++) {
        if ((p[i] & 0xc0) != 0x80)
            goto malformed;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[bytes] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        goto malformed;
    *ret_char = c;
    return bytes;
malformed:
    *ret_char = 0xfffd;
    return 1;
}

int32_t kj_javahash(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    uint32_t h = 0;
    while (bytes > 0) {
        uint32_t c;
        size_t used = decode_utf8(p, bytes, &c);
        p += used;
        bytes -= used;
        if (c >= 0x10000) {
            h = h * 31 + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + (c & 0x3ff);
        }
        h = h * 31 + c;
    }
    return (int32_t)h;
}
