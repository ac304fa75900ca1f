/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/conf.h - properties: Kafka's names, Kafka's values, one bag for everything.
 */
#ifndef KAJA_CONF_H
#define KAJA_CONF_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A bag of properties, checked against the table (man kaja-config) as they are set. One bag may
 * hold store, topic, producer and consumer properties; each open call takes what concerns it.
 * Kafka: Properties. */
struct kaja_conf;

/* Makes an empty bag: every property has its default.
 * Ownership: the caller's, until kaja_conf_free(). Errors: none. Threads: any. Blocks: no. */
KAJA_API int kaja_conf_new(struct kaja_conf **ret_conf);

/* Frees a bag; NULL is allowed. Errors: none. Threads: one. Blocks: no. */
KAJA_API void kaja_conf_free(struct kaja_conf *conf);

/* Sets a property; name and value are copied. A later set of the same name replaces the value.
 * Errors: INVALID_CONFIG (unknown name: the detail suggests the nearest; or a bad value: the
 * detail says what is allowed), UNSUPPORTED_FEATURE (known, not built yet). Threads: one.
 * Blocks: no. */
KAJA_API int kaja_conf_set(struct kaja_conf *conf, const char *name, const char *value);

/* Reads `name=value` lines as of a Java properties file (# and ! comments, \-escapes,
 * continuation lines) and sets each. The detail of an error names the line.
 * Errors: as kaja_conf_set(), KAFKA_STORAGE_ERROR. Threads: one. Blocks: on the file. */
KAJA_API int kaja_conf_set_file(struct kaja_conf *conf, const char *path);

/* The value that is in force: as set, else the default. NULL for an unknown name or a property
 * that has no default and is not set.
 * Ownership: the bag's, valid until the property is set again or the bag freed.
 * Errors: none. Threads: one. Blocks: no. */
KAJA_API const char *kaja_conf_get(const struct kaja_conf *conf, const char *name);

/* 1 if the property was set in this bag, 0 if not. Errors: none. Threads: one. Blocks: no. */
KAJA_API int kaja_conf_is_set(const struct kaja_conf *conf, const char *name);

/* A row of the table of properties, for tools and documentation. */
struct kaja_conf_info {
    const char *name;
    const char *scope;         /* "store", "topic", "producer", "consumer"; several joined by ',' */
    const char *type;          /* "bool", "int", "long", "double", "string", "list" */
    const char *default_value; /* NULL: none */
    const char *valid;         /* allowed values in words */
    const char *unit;          /* "ms", "bytes", "" ... */
    const char *text;          /* what it does */
    const char *broker_name;   /* the broker synonym of a topic property, NULL if none */
    int effect;                /* 1 in force; 0 accepted without effect; -1 not built yet */
};

/* Row i of the table, i from 0; NULL behind the last.
 * Ownership: static storage. Errors: none. Threads: any. Blocks: no. */
KAJA_API const struct kaja_conf_info *kaja_conf_table(size_t i);

#ifdef __cplusplus
}
#endif
#endif
