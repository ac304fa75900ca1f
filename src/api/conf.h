/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf.h - the bag of properties, and what each room takes out of it. Only api/ knows property
 * names; the rooms below get plain structs.
 *
 * What belongs to whom
 *   directory  broker properties and the defaults of topics: they stand in the catalog. At open
 *              they are stored in a new directory and compared with an existing one. A topic's
 *              name means its broker synonym there (retention.ms is log.retention.ms), unless that
 *              is set too. The names a topic shares with the producer (compression.*) are taken as
 *              the producer's.
 *   handle     kaja.*: resource limits and habits of this handle only.
 *   topic      own properties of a topic that is created or altered.
 *   producer, consumer
 */
#ifndef KJ_API_CONF_H
#define KJ_API_CONF_H

#include "store/store.h"

#include <kaja.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_producer_options;
struct kj_consumer_options;
struct kj_offset_store_options;
struct kj_groups_options;

enum kj_scope {
    KJ_SCOPE_DIRECTORY = 1,
    KJ_SCOPE_HANDLE = 2,
    KJ_SCOPE_TOPIC = 4,
    KJ_SCOPE_PRODUCER = 8,
    KJ_SCOPE_CONSUMER = 16,
    KJ_SCOPE_ANY = 31
};

/* INVALID_ARG unless conf is NULL or a bag. */
int kj_conf_check(const struct kaja_conf *conf);

/* Everything a store handle needs but the seams. conf may be NULL. The strings of
 * options->directory are conf's (or static). */
int kj_conf_store_options(const struct kaja_conf *conf, const char *path,
                          struct kj_store_options *ret_options);
void kj_conf_store_options_free(struct kj_store_options *options);
/* What the directory says about groups and their offsets. */
int kj_conf_group_options(struct kj_store *store, struct kj_offset_store_options *ret_offsets,
                          struct kj_groups_options *ret_groups);
int kj_conf_producer_options(const struct kaja_conf *conf, struct kj_producer_options *ret_options);
int kj_conf_consumer_options(const struct kaja_conf *conf, struct kj_consumer_options *ret_options);

/* The properties of scope TOPIC or DIRECTORY that the bag sets and a catalog keeps. shared_names:
 * those the directory shares with the producer too (see above). INVALID_CONFIG if a value is good
 * for another scope only. Strings are the bag's, the array is to be freed with kj_free(). */
int kj_conf_properties(const struct kaja_conf *conf, enum kj_scope scope, bool shared_names,
                       struct kj_property **ret_properties, size_t *ret_count);

/* --- what follows from a catalog (api/conf_log.c) --- */

/* Properties of a catalog. */
struct kj_property_list {
    const struct kj_property *items;
    size_t count;
};

/* NULL if it is not there. */
const char *kj_property_get(struct kj_property_list list, const char *name);

/* The rules the store asks: see store/store.h. */
extern const struct kj_property_rules kj_conf_rules;

/* A property and where its value comes from; NULL values: there is none. Coarser forms
 * (log.retention.hours) count where the finer one is not set, and segment.index.bytes follows from
 * others. The texts are the lists', static, or in buffers. */
struct kj_conf_effective {
    const char *value, *topic_value, *store_value, *default_value;
    enum kaja_config_source source;
    char buffers[2][24];
};
/* row: of scope TOPIC, or of scope DIRECTORY with topic empty. */
struct kj_conf_row;
int kj_conf_effective(const struct kj_conf_row *row, struct kj_property_list topic,
                      struct kj_property_list directory, struct kj_conf_effective *ret_effective);

#endif
