/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_row.h - the rows of api/conf_table.h as data: finding them, and judging values by them.
 */
#ifndef KJ_API_CONF_ROW_H
#define KJ_API_CONF_ROW_H

#include "api/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_conf_type {
    KJ_CONF_BOOL,
    KJ_CONF_INT,
    KJ_CONF_LONG,
    KJ_CONF_DOUBLE,
    KJ_CONF_STRING,
    KJ_CONF_LIST
};

/* Where a value goes. */
enum kj_conf_room {
    KJ_CONF_ROOM_NONE,
    KJ_CONF_ROOM_LOG,     /* struct kj_log_config */
    KJ_CONF_ROOM_STORE,   /* struct kj_store_options */
    KJ_CONF_ROOM_PRODUCER, /* struct kj_producer_options */
    KJ_CONF_ROOM_CONSUMER /* struct kj_consumer_options */
};

enum kj_conf_ctype {
    KJ_CONF_C_NONE,
    KJ_CONF_C_I64,
    KJ_CONF_C_I32,
    KJ_CONF_C_U32,
    KJ_CONF_C_SIZE,
    KJ_CONF_C_BOOL
};

struct kj_conf_field {
    enum kj_conf_room room;
    enum kj_conf_ctype ctype;
    size_t offset;
};

struct kj_conf_row {
    struct kaja_conf_info info;
    const char *importance;
    unsigned scopes; /* enum kj_scope */
    enum kj_conf_type type;
    int64_t min, max, also; /* of a number: min .. max, or also */
    const char *choices;    /* "a, b, c", or NULL */
    bool (*parsed)(const char *text); /* judges a STRING; NULL: any text */
    struct kj_conf_field field;
};

/* Row i, NULL behind the last. */
const struct kj_conf_row *kj_conf_row(size_t i);
/* The first row of this name that has one of the scopes, or NULL. */
const struct kj_conf_row *kj_conf_row_find(const char *name, unsigned scopes);
/* The first row at all of the name a row has: where a bag keeps its value. */
size_t kj_conf_row_slot(const struct kj_conf_row *row);
/* Tells INVALID_CONFIG for a name that has no row, with the nearest that has one. */
int kj_conf_unknown(const char *name);

/* Judges text (surrounding blanks do not count) by the row. INVALID_CONFIG, the story says what is
 * allowed. *ret_number: an INT or LONG; a BOOL as 0 or 1; for a STRING with choices which of them
 * it is; a DOUBLE in millionths, INT64_MAX for what is more; else 0. */
int kj_conf_value_parse(const struct kj_conf_row *row, const char *text, int64_t *ret_number);
/* The same, and gives the text in its one canonical form (kj_free() by the caller): equal values
 * have equal texts. */
int kj_conf_value_text(const struct kj_conf_row *row, const char *text, char **ret_text);
/* UNSUPPORTED_FEATURE if the canonical text asks for something that is not built yet. */
int kj_conf_value_built(const struct kj_conf_row *row, const char *text);
/* Stores a parsed value in the row's member of *options, the struct of its room. */
void kj_conf_value_store(const struct kj_conf_row *row, int64_t number, void *options);

#endif
