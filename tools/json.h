/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/json.h - writing JSON as it is known, without holding it in memory.
 *
 * Inside an object every call names its key, inside an array key is NULL.
 */
#ifndef KJ_TOOLS_JSON_H
#define KJ_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kj_json {
    FILE *file;
    bool comma; /* the next item follows another */
};

void kj_json_init(struct kj_json *json, FILE *file);
void kj_json_open(struct kj_json *json, const char *key, char bracket);     /* '{' or '[' */
void kj_json_close(struct kj_json *json, char bracket);                     /* '}' or ']' */
void kj_json_text(struct kj_json *json, const char *key, const char *text); /* NULL: null */
/* Bytes that are UTF-8 become a string; others a string of base64 under the key `<key>_base64` (in
 * an array: {"base64": ...}). bytes NULL: null. */
void kj_json_bytes(struct kj_json *json, const char *key, const void *bytes, size_t count);
void kj_json_int(struct kj_json *json, const char *key, int64_t value);
void kj_json_uint(struct kj_json *json, const char *key, uint64_t value);
void kj_json_number(struct kj_json *json, const char *key, double value); /* not finite: null */
void kj_json_bool(struct kj_json *json, const char *key, bool value);
void kj_json_null(struct kj_json *json, const char *key);
/* Text that is JSON already. */
void kj_json_raw(struct kj_json *json, const char *key, const char *text);
/* Ends the line behind the outermost item. */
void kj_json_end(struct kj_json *json);

bool kj_is_utf8(const void *bytes, size_t count);

#endif
