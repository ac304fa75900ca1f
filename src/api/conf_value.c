/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_value.c - values of properties: judged, brought into one form, stored. Nothing here
 * depends on the locale of the process.
 */
#include "api/conf_row.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A piece of text. */
struct piece {
    const char *at;
    size_t len;
};

static struct piece trim(struct piece p)
{
    while (p.len > 0 && blank(p.at[0])) {
        p.at++;
        p.len--;
    }
    while (p.len > 0 && blank(p.at[p.len - 1]))
        p.len--;
    return p;
}

/* Cuts the next item off a comma separated list; false at its end. */
static bool next_item(struct piece *list, struct piece *ret_item)
{
    if (list->at == NULL)
        return false;
    const char *comma = memchr(list->at, ',', list->len);
    struct piece item = *list;
    if (comma != NULL) {
        item.len = (size_t)(comma - list->at);
        list->at += item.len + 1;
        list->len -= item.len + 1;
    } else {
        list->at = NULL;
    }
    *ret_item = trim(item);
    return true;
}

static bool same(struct piece a, struct piece b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool same_word(struct piece p, const char *word)
{
    size_t i = 0;
    for (; i < p.len && word[i] != '\0'; i++) {
        char c = p.at[i];
        if ((c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c) != word[i])
            return false;
    }
    return i == p.len && word[i] == '\0';
}

/* As Java's Long.parseLong(): an optional sign and digits. */
static bool parse_number(struct piece p, int64_t *ret_number)
{
    bool negative = p.len > 0 && p.at[0] == '-';
    size_t i = p.len > 0 && (p.at[0] == '-' || p.at[0] == '+') ? 1 : 0;
    if (i == p.len)
        return false;
    int64_t n = 0; /* negative inside: there is one more of these */
    for (; i < p.len; i++) {
        if (!digit(p.at[i]) || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_sub_overflow(n, p.at[i] - '0', &n))
            return false;
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, n, &n))
        return false;
    *ret_number = n;
    return true;
}

/* Digits, a point, an exponent; good to the precision that a range check needs. */
static bool parse_double(struct piece p, long double *ret_real)
{
    size_t i = 0;
    bool negative = p.len > 0 && p.at[0] == '-';
    if (p.len > 0 && (p.at[0] == '-' || p.at[0] == '+'))
        i++;
    long double real = 0; /* rounding shall not carry Double.MAX_VALUE beyond itself */
    int scale = 0;
    size_t digits = 0;
    for (bool point = false; i < p.len && (digit(p.at[i]) || (!point && p.at[i] == '.')); i++) {
        if (p.at[i] == '.') {
            point = true;
            continue;
        }
        digits++;
        real = real * 10 + (p.at[i] - '0');
        scale -= point ? 1 : 0;
    }
    if (digits == 0 || digits > 400)
        return false;
    if (i < p.len && (p.at[i] == 'e' || p.at[i] == 'E')) {
        int64_t exponent;
        if (!parse_number((struct piece){p.at + i + 1, p.len - i - 1}, &exponent) ||
            exponent > 400 || exponent < -400)
            return false;
        scale += (int)exponent;
        i = p.len;
    }
    for (; scale > 0; scale--)
        real *= 10;
    for (; scale < 0; scale++)
        real /= 10;
    *ret_real = negative ? -real : real;
    return i == p.len;
}

/* The number of the choice that item is; false if none. */
static bool find_choice(const char *choices, struct piece item, int64_t *ret_number)
{
    struct piece list = {choices, strlen(choices)}, choice;
    for (int64_t i = 0; next_item(&list, &choice); i++) {
        if (same(choice, item)) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

static bool good_string(const struct kj_conf_row *row, struct piece text, int64_t *ret_number)
{
    if (row->choices != NULL)
        return find_choice(row->choices, text, ret_number);
    if (row->parsed == NULL)
        return true;
    char copy[64];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return row->parsed(copy);
}

/* An empty list is allowed, an empty item and one that comes twice are not. */
static bool good_list(const struct kj_conf_row *row, struct piece text)
{
    struct piece list = text, item;
    int64_t number;
    while (text.len > 0 && next_item(&list, &item)) {
        if (item.len == 0 || (row->choices != NULL && !find_choice(row->choices, item, &number)))
            return false;
        struct piece rest = list, other;
        while (next_item(&rest, &other))
            if (same(item, other))
                return false;
    }
    return true;
}

static bool good_value(const struct kj_conf_row *row, struct piece text, int64_t *ret_number)
{
    long double real;
    switch (row->type) {
    case KJ_CONF_BOOL:
        *ret_number = same_word(text, "true");
        return *ret_number || same_word(text, "false");
    case KJ_CONF_INT:
    case KJ_CONF_LONG:
        if (!parse_number(text, ret_number))
            return false;
        if (row->type == KJ_CONF_INT && (*ret_number < INT32_MIN || *ret_number > INT32_MAX))
            return false;
        return (*ret_number >= row->min && *ret_number <= row->max) || *ret_number == row->also;
    case KJ_CONF_DOUBLE:
        if (!parse_double(text, &real) || real < (long double)row->min ||
            real > (row->max == INT64_MAX ? (long double)DBL_MAX : (long double)row->max))
            return false;
        *ret_number = real < 9e12L ? (int64_t)(real * 1000000 + 0.5L) : INT64_MAX;
        return true;
    case KJ_CONF_STRING:
        return good_string(row, text, ret_number);
    case KJ_CONF_LIST:
        return good_list(row, text);
    }
    return false;
}

int kj_conf_value_parse(const struct kj_conf_row *row, const char *text, int64_t *ret_number)
{
    int64_t number = 0;
    if (!good_value(row, trim((struct piece){text, strlen(text)}), &number))
        return kj_err(KAJA_ERR_INVALID_CONFIG, "%s: \"%.100s\" is not valid; allowed: %s%s, %s",
                      row->info.name, text,
                      row->choices == NULL ? "" : row->type == KJ_CONF_LIST ? "a " : "one ",
                      row->info.type, row->info.valid);
    *ret_number = number;
    return 0;
}

/* Room: as much as the trimmed text and a number take. */
static void write_canonical(const struct kj_conf_row *row, struct piece text, int64_t number,
                            char *out)
{
    struct piece item;
    switch (row->type) {
    case KJ_CONF_BOOL:
        strcpy(out, number ? "true" : "false");
        return;
    case KJ_CONF_INT:
    case KJ_CONF_LONG:
        (void)snprintf(out, 24, "%lld", (long long)number);
        return;
    case KJ_CONF_LIST:
        while (text.len > 0 && next_item(&text, &item)) {
            memcpy(out, item.at, item.len);
            out += item.len;
            if (text.at != NULL)
                *out++ = ',';
        }
        *out = '\0';
        return;
    case KJ_CONF_DOUBLE:
    case KJ_CONF_STRING:
        memcpy(out, text.at, text.len);
        out[text.len] = '\0';
        return;
    }
}

int kj_conf_value_text(const struct kj_conf_row *row, const char *text, char **ret_text)
{
    int64_t number;
    KJ_TRY(kj_conf_value_parse(row, text, &number));
    struct piece trimmed = trim((struct piece){text, strlen(text)});
    char *out = kj_alloc(trimmed.len + 24);
    if (out == NULL)
        return kj_err_oom("a property");
    write_canonical(row, trimmed, number, out);
    *ret_text = out;
    return 0;
}

int kj_conf_value_built(const struct kj_conf_row *row, const char *text)
{
    if (row->info.effect >= 0)
        return 0;
    if (row->info.default_value != NULL) {
        char *ordinary;
        KJ_TRY(kj_conf_value_text(row, row->info.default_value, &ordinary));
        bool equal = strcmp(ordinary, text) == 0;
        kj_free(ordinary);
        if (equal)
            return 0;
        return kj_err(KAJA_ERR_UNSUPPORTED_FEATURE,
                      "%s=%.100s: this is not built yet, only \"%s\" is accepted (%s)",
                      row->info.name, text, row->info.default_value, row->info.text);
    }
    return kj_err(KAJA_ERR_UNSUPPORTED_FEATURE, "%s: this is not built yet (%s)", row->info.name,
                  row->info.text);
}

void kj_conf_value_store(const struct kj_conf_row *row, int64_t number, void *options)
{
    char *member = (char *)options + row->field.offset;
    uint32_t u32;
    int32_t i32;
    size_t size;
    bool flag;
    switch (row->field.ctype) {
    case KJ_CONF_C_I64:
        memcpy(member, &number, sizeof number);
        return;
    case KJ_CONF_C_I32:
        i32 = (int32_t)number;
        memcpy(member, &i32, sizeof i32);
        return;
    case KJ_CONF_C_U32:
        u32 = (uint32_t)number;
        memcpy(member, &u32, sizeof u32);
        return;
    case KJ_CONF_C_SIZE:
        size = (size_t)number;
        memcpy(member, &size, sizeof size);
        return;
    case KJ_CONF_C_BOOL:
        flag = number != 0;
        memcpy(member, &flag, sizeof flag);
        return;
    case KJ_CONF_C_NONE:
        KJ_ASSERT(row->field.ctype != KJ_CONF_C_NONE); /* a row without a field */
    }
}
