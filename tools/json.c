/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/json.h"

#include <math.h>
#include <string.h>

void kj_json_init(struct kj_json *json, FILE *file)
{
    json->file = file;
    json->comma = false;
}

/* Characters that stand for themselves are written in runs. */
static void put_string(FILE *file, const char *text, size_t count)
{
    size_t from = 0;
    putc('"', file);
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= ' ' && c != '"' && c != '\\' && c != 0x7f)
            continue;
        fwrite(text + from, 1, i - from, file);
        from = i + 1;
        switch (c) {
        case '"':
            fputs("\\\"", file);
            break;
        case '\\':
            fputs("\\\\", file);
            break;
        case '\n':
            fputs("\\n", file);
            break;
        case '\r':
            fputs("\\r", file);
            break;
        case '\t':
            fputs("\\t", file);
            break;
        default:
            fprintf(file, "\\u%04x", c);
            break;
        }
    }
    fwrite(text + from, 1, count - from, file);
    putc('"', file);
}

static void begin(struct kj_json *json, const char *key)
{
    if (json->comma)
        putc(',', json->file);
    json->comma = true;
    if (key != NULL) {
        put_string(json->file, key, strlen(key));
        putc(':', json->file);
    }
}

void kj_json_open(struct kj_json *json, const char *key, char bracket)
{
    begin(json, key);
    putc(bracket, json->file);
    json->comma = false;
}

void kj_json_close(struct kj_json *json, char bracket)
{
    putc(bracket, json->file);
    json->comma = true;
}

void kj_json_end(struct kj_json *json)
{
    putc('\n', json->file);
    json->comma = false;
}

void kj_json_null(struct kj_json *json, const char *key)
{
    begin(json, key);
    fputs("null", json->file);
}

/* Length of the UTF-8 sequence at p, 0 if there is none: shortest form, no surrogates. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool kj_is_utf8(const void *bytes, size_t count)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < count;) {
        size_t n = utf8_sequence(p + i, count - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void kj_json_text(struct kj_json *json, const char *key, const char *text)
{
    kj_json_bytes(json, key, text, text != NULL ? strlen(text) : 0);
}

static void put_base64(FILE *file, const unsigned char *p, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', file);
    for (size_t i = 0; i < count; i += 3) {
        size_t n = count - i < 3 ? count - i : 3;
        uint32_t word = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (n > 2 ? (uint32_t)p[i + 2] : 0);
        putc(digits[word >> 18], file);
        putc(digits[word >> 12 & 63], file);
        putc(n > 1 ? digits[word >> 6 & 63] : '=', file);
        putc(n > 2 ? digits[word & 63] : '=', file);
    }
    putc('"', file);
}

void kj_json_bytes(struct kj_json *json, const char *key, const void *bytes, size_t count)
{
    if (bytes == NULL) {
        kj_json_null(json, key);
        return;
    }
    if (kj_is_utf8(bytes, count)) {
        begin(json, key);
        put_string(json->file, bytes, count);
        return;
    }
    begin(json, NULL);
    if (key == NULL) {
        fputs("{\"base64\":", json->file);
        put_base64(json->file, bytes, count);
        putc('}', json->file);
        return;
    }
    fprintf(json->file, "\"%s_base64\":", key); /* keys are our own words */
    put_base64(json->file, bytes, count);
}

void kj_json_raw(struct kj_json *json, const char *key, const char *text)
{
    begin(json, key);
    fputs(text, json->file);
}

void kj_json_int(struct kj_json *json, const char *key, int64_t value)
{
    begin(json, key);
    fprintf(json->file, "%lld", (long long)value);
}

void kj_json_uint(struct kj_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    fprintf(json->file, "%llu", (unsigned long long)value);
}

void kj_json_number(struct kj_json *json, const char *key, double value)
{
    begin(json, key);
    if (isfinite(value))
        fprintf(json->file, "%.6f", value);
    else
        fputs("null", json->file);
}

void kj_json_bool(struct kj_json *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->file);
}
