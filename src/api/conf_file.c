/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/conf_file.h"

#include "base/alloc.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct parser {
    const char *file;
    const char *at, *end;
    int line;     /* of at */
    int begun_at; /* line on which the logical line begins */
    char *logical; /* room for the whole file: no logical line is longer */
    size_t len;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* Cuts the next natural line off, without its end. False when there is none. */
static bool next_natural(struct parser *p, const char **ret_from, const char **ret_to)
{
    if (p->at == p->end)
        return false;
    const char *from = p->at;
    while (p->at < p->end && !line_end(*p->at))
        p->at++;
    *ret_from = from;
    *ret_to = p->at;
    if (p->end - p->at >= 2 && p->at[0] == '\r' && p->at[1] == '\n')
        p->at++;
    if (p->at < p->end)
        p->at++;
    p->line++;
    return true;
}

static bool continued(const char *from, const char *to)
{
    size_t backslashes = 0;
    while (to > from && to[-1] == '\\') {
        to--;
        backslashes++;
    }
    return backslashes % 2 == 1;
}

/* Gathers the next logical line that is neither empty nor a comment. */
static bool next_logical(struct parser *p)
{
    const char *from, *to;
    p->len = 0;
    for (bool joined = false; next_natural(p, &from, &to);) {
        while (from < to && blank(*from))
            from++;
        if (!joined) {
            if (from == to || *from == '#' || *from == '!')
                continue;
            p->begun_at = p->line - 1;
        }
        joined = continued(from, to);
        size_t len = (size_t)(to - from) - (joined ? 1 : 0);
        memcpy(p->logical + p->len, from, len);
        p->len += len;
        if (!joined)
            return true;
    }
    return p->len > 0; /* the file ends in a backslash */
}

/* --- escapes --- */

static int hex4(const char *p, const char *end, uint32_t *ret_unit)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = p + i < end ? p[i] : '\0';
        uint32_t nibble;
        if (c >= '0' && c <= '9')
            nibble = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            nibble = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            nibble = (uint32_t)(c - 'A') + 10;
        else
            return -1;
        unit = unit << 4 | nibble;
    }
    *ret_unit = unit;
    return 0;
}

/* At most 4 bytes. */
static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* The \uXXXX whose digits begin at *at, or a pair of them. A half of a pair alone is
 * U+FFFD. */
static int unescape_unicode(const char **at, const char *end, char **out)
{
    uint32_t c, low;
    if (hex4(*at, end, &c) != 0 || c == 0)
        return -1;
    *at += 4;
    if (c >= 0xd800 && c < 0xe000) {
        bool pair = c < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
                    hex4(*at + 2, end, &low) == 0 && low >= 0xdc00 && low < 0xe000;
        if (pair) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            *at += 6;
        } else {
            c = 0xfffd;
        }
    }
    *out = put_utf8(*out, c);
    return 0;
}

/* Resolves escapes of [from, to) in place of an own buffer and ends it; never
 * longer than before. */
static int unescape(const struct parser *p, const char *from, const char *to, char *out)
{
    while (from < to) {
        if (*from != '\\') {
            *out++ = *from++;
            continue;
        }
        if (++from == to)
            break;
        char c = *from++;
        if (c == 'u') {
            if (unescape_unicode(&from, to, &out) != 0)
                return kj_err(KAJA_ERR_INVALID_CONFIG,
                              "%s, line %d: \\u wants four hexadecimal digits, not all 0", p->file,
                              p->begun_at);
            continue;
        }
        *out++ = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
    }
    *out = '\0';
    return 0;
}

/* Splits the logical line and resolves its parts. name and value: room for len + 1 each. */
static int take_apart(const struct parser *p, char *name, char *value)
{
    const char *from = p->logical, *end = p->logical + p->len, *at = from;
    while (at < end && *at != '=' && *at != ':' && !blank(*at))
        at += *at == '\\' && end - at >= 2 ? 2 : 1;
    const char *name_end = at;
    while (at < end && blank(*at))
        at++;
    if (at < end && (*at == '=' || *at == ':'))
        at++;
    while (at < end && blank(*at))
        at++;
    KJ_TRY(unescape(p, from, name_end, name));
    return unescape(p, at, end, value);
}

int kj_conf_file_parse(const char *file, const char *bytes, size_t len,
                       kj_conf_file_callback *callback, void *arg)
{
    if (len > 0 && memchr(bytes, 0, len) != NULL)
        return kj_err(KAJA_ERR_INVALID_CONFIG, "%s is no properties file: it has a zero byte in it",
                      file);
    struct parser p = {.file = file, .at = bytes, .end = bytes + len, .line = 1};
    p.logical = kj_alloc(3 * (len + 1));
    if (p.logical == NULL)
        return kj_err_oom("reading properties");
    char *name = p.logical + len + 1, *value = name + len + 1;
    int err = 0;
    while (err == 0 && next_logical(&p)) {
        err = take_apart(&p, name, value);
        if (err == 0)
            err = callback(arg, p.begun_at, name, value);
    }
    kj_free(p.logical);
    return err;
}
