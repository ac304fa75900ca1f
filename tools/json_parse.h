/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/json_parse.h - reading the small JSON files that commands take.
 */
#ifndef KJ_TOOLS_JSON_PARSE_H
#define KJ_TOOLS_JSON_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_json_kind {
    KJ_JSON_NULL,
    KJ_JSON_BOOL,
    KJ_JSON_NUMBER,
    KJ_JSON_STRING,
    KJ_JSON_ARRAY,
    KJ_JSON_OBJECT
};

/* A value; the members of an object and the items of an array hang on child, linked by next. */
struct kj_json_value {
    enum kj_json_kind kind;
    bool whole;     /* NUMBER: it is a whole one that fits number */
    int64_t number; /* NUMBER, and BOOL as 0 or 1 */
    char *text;     /* STRING, UTF-8; holds no NUL */
    char *key;      /* of a member */
    struct kj_json_value *child;
    struct kj_json_value *next;
};

/* Parses a whole document. NULL, and *ret_pos where it went wrong, if it is not JSON, is nested
 * deeper than 32, or has a string with a NUL inside. */
struct kj_json_value *kj_json_parse(const char *text, size_t bytes, size_t *ret_pos);
void kj_json_free(struct kj_json_value *value);
/* The member of an object with this key (the last, if it stands there twice), or NULL. */
const struct kj_json_value *kj_json_member(const struct kj_json_value *object, const char *key);

#endif
