/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/props.h"
#include "tools/common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct kj_pair kj_pair_split(const struct kj_args *args, const char *option, const char *text)
{
    struct kj_pair pair = {.name = kj_xstrdup(text)};
    char *equals = strchr(pair.name, '=');
    if (equals == pair.name || pair.name[0] == '\0')
        kj_usage(args, "Option %s wants name=value, not '%s'", option, text);
    if (equals != NULL)
        *equals = '\0';
    pair.value = equals != NULL ? equals + 1 : pair.name + strlen(pair.name);
    return pair;
}

/* --- properties files --------------------------------------------------------------------- */

struct source {
    FILE *file;
    bool at_line_start; /* only blanks were seen since the last line break */
};

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* One logical line without its continuation breaks, escapes still in place; NULL at the end. */
static char *next_line(struct source *source)
{
    size_t used = 0, room = 256;
    char *line = kj_xmalloc(room);
    bool escaped = false, comment = false;
    int c;
    source->at_line_start = true;
    while ((c = getc(source->file)) != EOF) {
        if (c == '\n' || c == '\r') {
            if (c == '\r') {
                int after = getc(source->file);
                if (after != '\n' && after != EOF)
                    ungetc(after, source->file);
            }
            if (comment || (used == 0 && !escaped)) {
                comment = false;
            } else if (escaped) {
                used--; /* the backslash */
            } else {
                break;
            }
            escaped = false;
            source->at_line_start = true;
            continue;
        }
        if (source->at_line_start && is_blank(c))
            continue;
        if (source->at_line_start && used == 0 && (c == '#' || c == '!'))
            comment = true;
        source->at_line_start = false;
        if (comment)
            continue;
        if (used + 2 > room)
            line = kj_xrealloc(line, room *= 2);
        line[used++] = (char)c;
        escaped = c == '\\' && !escaped;
    }
    if (used == 0) {
        free(line);
        return NULL;
    }
    line[used] = '\0';
    return line;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return at != NULL ? (int)(at - digits) : -1;
}

/* \uXXXX as UTF-8 (pairs of surrogates are not put together: names and values here are plain). */
static const char *unescape_unicode(const char *from, char **to)
{
    unsigned unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(from[i]);
        if (digit < 0) {
            *(*to)++ = 'u';
            return from;
        }
        unit = unit << 4 | (unsigned)digit;
    }
    if (unit < 0x80) {
        *(*to)++ = (char)unit;
    } else if (unit < 0x800) {
        *(*to)++ = (char)(0xc0 | unit >> 6);
        *(*to)++ = (char)(0x80 | (unit & 63));
    } else {
        *(*to)++ = (char)(0xe0 | unit >> 12);
        *(*to)++ = (char)(0x80 | (unit >> 6 & 63));
        *(*to)++ = (char)(0x80 | (unit & 63));
    }
    return from + 4;
}

/* Resolves escapes in place: the result is never longer. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        char c = *++from;
        if (c == '\0')
            break;
        from++;
        if (c == 'u')
            from = unescape_unicode(from, &to);
        else
            *to++ = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
    }
    *to = '\0';
}

/* Ends the name at the first `=`, `:` or blank that is not escaped; returns where the value begins.
 */
static char *split_line(char *line)
{
    char *p = line;
    while (*p != '\0' && *p != '=' && *p != ':' && !is_blank(*p))
        p += *p == '\\' && p[1] != '\0' ? 2 : 1;
    char *value = p;
    while (is_blank(*value))
        value++;
    if (*value == '=' || *value == ':')
        value++;
    while (is_blank(*value))
        value++;
    if (*p != '\0')
        *p = '\0';
    return value;
}

void kj_props_read_file(const struct kj_args *args, const char *path, kj_props_callback *callback,
                        void *arg)
{
    struct source source = {.file = fopen(path, "re")};
    if (source.file == NULL) {
        kj_complain("kaja %s: cannot read %s: %s", args->command->name, path, strerror(errno));
        exit(KJ_EXIT_FAILURE);
    }
    char *line;
    while ((line = next_line(&source)) != NULL) {
        char *value = split_line(line);
        unescape(value);
        unescape(line);
        callback(arg, line, value);
        free(line);
    }
    if (ferror(source.file)) {
        kj_complain("kaja %s: cannot read %s: %s", args->command->name, path, strerror(errno));
        exit(KJ_EXIT_FAILURE);
    }
    fclose(source.file);
}

/* --- properties of readers and formatters --------------------------------------------------- */

static void append(void *arg, const char *name, const char *value)
{
    struct kj_props *props = arg;
    size_t name_bytes = strlen(name) + 1, value_bytes = strlen(value) + 1;
    struct kj_pair pair = {.name = kj_xmalloc(name_bytes + value_bytes)};
    pair.value = pair.name + name_bytes;
    memcpy(pair.name, name, name_bytes);
    memcpy(pair.value, value, value_bytes);
    props->pairs = kj_xrealloc(props->pairs, (props->count + 1) * sizeof *props->pairs);
    props->pairs[props->count++] = pair;
}

void kj_props_load(const struct kj_args *args, const char *file_option, const char *pair_option,
                   struct kj_props *ret_props)
{
    struct kj_props props = {NULL, 0};
    const char *path = kj_args_get(args, file_option);
    if (path != NULL)
        kj_props_read_file(args, path, append, &props);
    const char *text;
    for (size_t i = 0; (text = kj_args_nth(args, pair_option, i)) != NULL; i++) {
        struct kj_pair pair = kj_pair_split(args, pair_option, text);
        append(&props, pair.name, pair.value);
        free(pair.name);
    }
    *ret_props = props;
}

void kj_props_free(struct kj_props *props)
{
    for (size_t i = 0; i < props->count; i++)
        free(props->pairs[i].name);
    free(props->pairs);
    props->pairs = NULL;
    props->count = 0;
}

const char *kj_props_get(const struct kj_props *props, const char *name, const char *fallback)
{
    for (size_t i = props->count; i-- > 0;)
        if (strcmp(props->pairs[i].name, name) == 0)
            return props->pairs[i].value;
    return fallback;
}

bool kj_props_flag(const struct kj_props *props, const char *name, bool fallback)
{
    const char *value = kj_props_get(props, name, NULL);
    return value != NULL ? strcasecmp(value, "true") == 0 : fallback;
}

static const char *known_at(size_t i, const void *arg)
{
    return ((const char *const *)arg)[i];
}

void kj_props_check(const struct kj_args *args, const struct kj_props *props,
                    const char *const *known, const char *what)
{
    for (size_t i = 0; i < props->count; i++) {
        const char *name = props->pairs[i].name;
        size_t at = 0;
        while (known[at] != NULL && strcmp(known[at], name) != 0)
            at++;
        if (known[at] != NULL)
            continue;
        const char *near = kj_nearest(name, known_at, known);
        if (near != NULL)
            kj_usage(args, "'%s' is not a property of the %s; did you mean %s?", name, what, near);
        kj_usage(args, "'%s' is not a property of the %s", name, what);
    }
}

/* --- lists of topic properties -------------------------------------------------------------- */

static _Noreturn void bad_config(const struct kj_args *args)
{
    kj_usage(args, "Invalid entity config: all configs to be added must be in the format "
                   "\"key=val\" or \"key=[val1,val2]\" to group values which contain commas.");
}

void kj_props_each_config(const struct kj_args *args, const char *text, kj_props_callback *callback,
                          void *arg)
{
    char *copy = kj_xstrdup(text);
    for (char *p = copy; *p != '\0';) {
        while (*p == ' ')
            p++;
        char *name = p;
        size_t name_bytes = strcspn(p, "=,");
        if (name_bytes == 0 || name[name_bytes] != '=')
            bad_config(args);
        char *value = name + name_bytes + 1;
        name[name_bytes] = '\0';
        char *end;
        if (*value == '[') {
            value++;
            end = strchr(value, ']');
            if (end == NULL || (end[1] != '\0' && end[1] != ','))
                bad_config(args);
            p = end[1] == ',' ? end + 2 : end + 1;
        } else {
            end = value + strcspn(value, ",");
            p = *end == ',' ? end + 1 : end;
            if (memchr(value, '=', (size_t)(end - value)) != NULL)
                bad_config(args);
        }
        *end = '\0';
        while (name_bytes > 0 && name[name_bytes - 1] == ' ')
            name[--name_bytes] = '\0';
        callback(arg, name, value);
    }
    free(copy);
}
