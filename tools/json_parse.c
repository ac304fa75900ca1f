/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/json_parse.h"
#include "tools/common.h"
#include "tools/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

struct parser {
    const char *text;
    size_t bytes;
    size_t pos;
};

static struct kj_json_value *parse_value(struct parser *p, int depth);

/* The byte at the position; -1 at the end. */
static int peek(const struct parser *p)
{
    return p->pos < p->bytes ? (unsigned char)p->text[p->pos] : -1;
}

static void skip_space(struct parser *p)
{
    int c;
    while ((c = peek(p)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        p->pos++;
}

static bool take(struct parser *p, const char *word)
{
    size_t bytes = strlen(word);
    if (p->bytes - p->pos < bytes || memcmp(p->text + p->pos, word, bytes) != 0)
        return false;
    p->pos += bytes;
    return true;
}

static struct kj_json_value *new_value(enum kj_json_kind kind)
{
    struct kj_json_value *value = kj_xmalloc(sizeof *value);
    memset(value, 0, sizeof *value);
    value->kind = kind;
    return value;
}

void kj_json_free(struct kj_json_value *value)
{
    while (value != NULL) { /* depth is bounded by the parser */
        struct kj_json_value *next = value->next;
        kj_json_free(value->child);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}

static bool hex4(struct parser *p, uint32_t *ret_unit)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        unit = unit << 4 | (uint32_t)digit;
        p->pos++;
    }
    *ret_unit = unit;
    return true;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* What follows a backslash; the result is never longer than the source. */
static bool parse_escape(struct parser *p, char *out, size_t *at)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(p);
    p->pos++;
    if (c == 'u') {
        uint32_t unit, low;
        if (!hex4(p, &unit))
            return false;
        if (unit >= 0xd800 && unit < 0xdc00) {
            if (!take(p, "\\u") || !hex4(p, &low) || low < 0xdc00 || low > 0xdfff)
                return false;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        } else if (unit == 0 || (unit >= 0xdc00 && unit < 0xe000)) {
            return false;
        }
        *at += put_utf8(out + *at, unit);
        return true;
    }
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (found == NULL)
        return false;
    out[(*at)++] = to[found - from];
    return true;
}

static char *parse_string(struct parser *p)
{
    if (!take(p, "\""))
        return NULL;
    char *out = kj_xmalloc(p->bytes - p->pos + 1);
    size_t at = 0;
    for (;;) {
        int c = peek(p);
        if (c < ' ')
            break; /* the end, or a control character */
        p->pos++;
        if (c == '"') {
            out[at] = '\0';
            if (!kj_is_utf8(out, at))
                break;
            return out;
        }
        if (c != '\\')
            out[at++] = (char)c;
        else if (!parse_escape(p, out, &at))
            break;
    }
    free(out);
    return NULL;
}

static size_t digits(struct parser *p)
{
    size_t n = 0;
    for (; peek(p) >= '0' && peek(p) <= '9'; n++)
        p->pos++;
    return n;
}

static struct kj_json_value *parse_number(struct parser *p)
{
    size_t from = p->pos;
    bool whole = true;
    take(p, "-");
    if (!take(p, "0") && digits(p) == 0)
        return NULL;
    if (take(p, ".")) {
        whole = false;
        if (digits(p) == 0)
            return NULL;
    }
    if (take(p, "e") || take(p, "E")) {
        whole = false;
        if (!take(p, "+"))
            take(p, "-");
        if (digits(p) == 0)
            return NULL;
    }
    struct kj_json_value *value = new_value(KJ_JSON_NUMBER);
    char *copy = kj_xstrndup(p->text + from, p->pos - from);
    value->whole = whole && kj_parse_int(copy, &value->number);
    free(copy);
    return value;
}

/* Items or members up to the closing bracket. */
static struct kj_json_value *parse_list(struct parser *p, bool object, int depth)
{
    struct kj_json_value *list = new_value(object ? KJ_JSON_OBJECT : KJ_JSON_ARRAY);
    struct kj_json_value **end = &list->child;
    const char *bracket = object ? "}" : "]";
    p->pos++;
    skip_space(p);
    if (take(p, bracket))
        return list;
    for (;;) {
        char *key = NULL;
        skip_space(p);
        if (object) {
            key = parse_string(p);
            skip_space(p);
            if (key == NULL || !take(p, ":")) {
                free(key);
                break;
            }
        }
        struct kj_json_value *item = parse_value(p, depth + 1);
        if (item == NULL) {
            free(key);
            break;
        }
        item->key = key;
        *end = item;
        end = &item->next;
        skip_space(p);
        if (take(p, bracket))
            return list;
        if (!take(p, ","))
            break;
    }
    kj_json_free(list);
    return NULL;
}

static struct kj_json_value *parse_value(struct parser *p, int depth)
{
    skip_space(p);
    int c = peek(p);
    if (c == '{' || c == '[')
        return depth < DEPTH_MAX ? parse_list(p, c == '{', depth) : NULL;
    if (c == '"') {
        char *text = parse_string(p);
        if (text == NULL)
            return NULL;
        struct kj_json_value *value = new_value(KJ_JSON_STRING);
        value->text = text;
        return value;
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(p);
    if (take(p, "null"))
        return new_value(KJ_JSON_NULL);
    bool yes = take(p, "true");
    if (!yes && !take(p, "false"))
        return NULL;
    struct kj_json_value *value = new_value(KJ_JSON_BOOL);
    value->number = yes;
    return value;
}

struct kj_json_value *kj_json_parse(const char *text, size_t bytes, size_t *ret_pos)
{
    struct parser p = {text, bytes, 0};
    struct kj_json_value *value = parse_value(&p, 0);
    skip_space(&p);
    if (value != NULL && p.pos == p.bytes)
        return value;
    kj_json_free(value);
    *ret_pos = p.pos;
    return NULL;
}

const struct kj_json_value *kj_json_member(const struct kj_json_value *object, const char *key)
{
    const struct kj_json_value *found = NULL;
    if (object == NULL || object->kind != KJ_JSON_OBJECT)
        return NULL;
    for (const struct kj_json_value *v = object->child; v != NULL; v = v->next)
        if (strcmp(v->key, key) == 0)
            found = v;
    return found;
}
