/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/pattern.h"
#include "tools/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN_BYTES_MAX = 4096, EXPANSION_MAX = 16 /* bytes one source byte can become */ };

struct translation {
    const char *at;
    char *out; /* room for EXPANSION_MAX bytes per source byte */
    size_t used;
    int flags;
    const char *why;
};

static void put(struct translation *t, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(t->out + t->used, text, bytes);
    t->used += bytes;
}

static void put_literal(struct translation *t, char c)
{
    char text[3] = {'\\', c, '\0'};
    put(t, strchr(".[]{}()*+?^$|\\", c) != NULL ? text : text + 1);
}

/* \d and its like, outside or inside brackets. */
static const char *class_of(char c, bool in_brackets)
{
    switch (c) {
    case 'd':
        return in_brackets ? "0-9" : "[0-9]";
    case 'w':
        return in_brackets ? "a-zA-Z0-9_" : "[a-zA-Z0-9_]";
    case 's':
        return in_brackets ? "[:space:]" : "[[:space:]]";
    case 'D':
        return in_brackets ? NULL : "[^0-9]";
    case 'W':
        return in_brackets ? NULL : "[^a-zA-Z0-9_]";
    case 'S':
        return in_brackets ? NULL : "[^[:space:]]";
    default:
        return NULL;
    }
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A backslash and what follows; t->at stands on the backslash. */
static void escape(struct translation *t)
{
    char c = t->at[1];
    t->at += 2;
    if (c == '\0') {
        t->why = "a backslash at the end";
        t->at--;
    } else if (c == 'Q') {
        while (*t->at != '\0' && strncmp(t->at, "\\E", 2) != 0)
            put_literal(t, *t->at++);
        if (*t->at != '\0')
            t->at += 2;
    } else if (class_of(c, false) != NULL) {
        put(t, class_of(c, false));
    } else if (is_alnum(c)) {
        t->why = "an escape that is not known here";
    } else {
        put_literal(t, c);
    }
}

/* A set in brackets; t->at stands behind the opening one. POSIX knows no backslash inside and wants
 * `]` first and `-` last, so literal ones are gathered and put there. */
static void brackets(struct translation *t)
{
    bool has_bracket = false, has_dash = false, has_caret = false, any = false;
    char inner[EXPANSION_MAX * PATTERN_BYTES_MAX];
    size_t used = 0;
    bool negated = *t->at == '^';
    t->at += negated;
    while (*t->at != '\0' && (*t->at != ']' || !any)) {
        const char *class = NULL;
        char c = *t->at++;
        any = true;
        bool escaped = c == '\\' && *t->at != '\0';
        if (escaped) {
            c = *t->at++;
            class = class_of(c, true);
            if (class == NULL && is_alnum(c)) {
                t->why = "an escape inside brackets that is not known here";
                return;
            }
        } else if (c == '[' || (c == '&' && *t->at == '&')) {
            t->why = "a set inside a set";
            return;
        }
        if (class != NULL) {
            memcpy(inner + used, class, strlen(class));
            used += strlen(class);
        } else if (c == ']') {
            has_bracket = true;
        } else if (c == '^') {
            has_caret = true;
        } else if (c == '-' && (escaped || used == 0 || *t->at == ']' || *t->at == '\\')) {
            has_dash = true;
        } else {
            inner[used++] = c;
        }
    }
    if (*t->at != ']') {
        t->why = "a bracket that is not closed";
        return;
    }
    t->at++;
    if (used == 0 && !has_bracket && !has_dash && has_caret && !negated) {
        put(t, "\\^"); /* `[^]` would be a negation */
        return;
    }
    inner[used] = '\0';
    put(t, negated ? "[^" : "[");
    put(t, has_bracket ? "]" : "");
    put(t, inner);
    put(t, has_caret ? "^" : "");
    put(t, has_dash ? "-]" : "]");
}

static void translate(struct translation *t)
{
    if (strncmp(t->at, "(?i)", 4) == 0) {
        t->flags |= REG_ICASE;
        t->at += 4;
    }
    put(t, "^(");
    bool in_braces = false; /* where `,` belongs to a repetition */
    while (*t->at != '\0' && t->why == NULL) {
        char c = *t->at;
        in_braces = c == '{' || (in_braces && c != '}');
        if (c == '\\') {
            escape(t);
        } else if (c == '[') {
            t->at++;
            brackets(t);
        } else if (strncmp(t->at, "(?:", 3) == 0) {
            put(t, "(");
            t->at += 3;
        } else if (c == '(' && t->at[1] == '?') {
            t->why = "look-around or flags inside";
        } else if (strchr("*+?}", c) != NULL && (t->at[1] == '?' || t->at[1] == '+')) {
            /* lazy and possessive forms match the same whole names */
            char text[2] = {c, '\0'};
            put(t, text);
            t->at += 2;
        } else {
            char text[2] = {c == ',' && !in_braces ? '|' : c, '\0'};
            put(t, text);
            t->at++;
        }
    }
    put(t, ")$");
}

/* Blanks anywhere and quotes around are the shell's and the habit's, not the name's. */
static char *prepare(const char *java)
{
    char *text = kj_xmalloc(strlen(java) + 1);
    size_t used = 0;
    for (const char *p = java; *p != '\0'; p++)
        if (*p != ' ')
            text[used++] = *p;
    text[used] = '\0';
    if (used >= 2 && (text[0] == '"' || text[0] == '\'') && text[used - 1] == text[0]) {
        memmove(text, text + 1, used - 2);
        text[used - 2] = '\0';
    }
    return text;
}

bool kj_pattern_init(struct kj_pattern *pattern, const char *java, char *why, size_t why_bytes)
{
    if (strlen(java) > PATTERN_BYTES_MAX) {
        snprintf(why, why_bytes, "it is longer than %d bytes", PATTERN_BYTES_MAX);
        return false;
    }
    char *text = prepare(java);
    struct translation t = {.at = text, .flags = REG_EXTENDED | REG_NOSUB};
    t.out = kj_xmalloc(EXPANSION_MAX * strlen(text) + 8);
    translate(&t);
    t.out[t.used] = '\0';
    bool good = t.why == NULL;
    if (!good) {
        snprintf(why, why_bytes, "it holds %s", t.why);
    } else {
        int failed = regcomp(&pattern->regex, t.out, t.flags);
        good = failed == 0;
        if (!good)
            regerror(failed, &pattern->regex, why, why_bytes);
    }
    free(t.out);
    free(text);
    return good;
}

void kj_pattern_free(struct kj_pattern *pattern)
{
    regfree(&pattern->regex);
}

bool kj_pattern_matches(const struct kj_pattern *pattern, const char *name)
{
    return regexec(&pattern->regex, name, 0, NULL, 0) == 0;
}
