/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_log.c - from the properties in a catalog to what is in force: a topic's own value,
 * else the directory's under the broker synonym (or a coarser form of it), else the default.
 */
#include "api/conf_row.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

const char *kj_property_get(struct kj_property_list list, const char *name)
{
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0)
            return list.items[i].value;
    return NULL;
}

/* Forms of a broker property in another unit, the finest first. */
static const struct coarser {
    const char *name, *coarser;
    int64_t ms;
} coarser[] = {
    {"log.retention.ms", "log.retention.minutes", 60000},
    {"log.retention.ms", "log.retention.hours", 3600000},
    {"log.roll.ms", "log.roll.hours", 3600000},
    {"log.roll.jitter.ms", "log.roll.jitter.hours", 3600000},
};

/* The directory's value under a broker's name, which may be NULL; written to buffer if it has to be
 * computed. */
static int stored_value(const char *name, struct kj_property_list directory, char buffer[24],
                        const char **ret_value)
{
    *ret_value = name == NULL ? NULL : kj_property_get(directory, name);
    for (size_t i = 0; *ret_value == NULL && name != NULL && i < sizeof coarser / sizeof *coarser;
         i++) {
        if (strcmp(coarser[i].name, name) != 0)
            continue;
        const char *text = kj_property_get(directory, coarser[i].coarser);
        if (text == NULL)
            continue;
        int64_t n;
        KJ_TRY(kj_conf_value_parse(kj_conf_row_find(coarser[i].coarser, KJ_SCOPE_DIRECTORY), text,
                                   &n));
        (void)snprintf(buffer, 24, "%lld", (long long)(n < 0 ? -1 : n * coarser[i].ms));
        *ret_value = buffer;
    }
    return 0;
}

static int number_in_force(const char *topic_name, struct kj_property_list topic,
                           struct kj_property_list directory, int64_t *ret_number)
{
    struct kj_conf_effective effective;
    const struct kj_conf_row *row = kj_conf_row_find(topic_name, KJ_SCOPE_TOPIC);
    KJ_TRY(kj_conf_effective(row, topic, directory, &effective));
    return kj_conf_value_parse(row, effective.value, ret_number);
}

/* Room for an entry per index interval of a full segment, and a closing one, in both indexes. */
static int index_bytes(struct kj_property_list topic, struct kj_property_list directory,
                       char buffer[24])
{
    enum { ENTRY = 12, MOST = 10485760, LEAST = 4096 };
    int64_t segment, interval;
    KJ_TRY(number_in_force("segment.bytes", topic, directory, &segment));
    KJ_TRY(number_in_force("index.interval.bytes", topic, directory, &interval));
    int64_t bytes = interval == 0 ? MOST : (segment / interval + 2) * ENTRY;
    bytes = (bytes + LEAST - 1) / LEAST * LEAST;
    (void)snprintf(buffer, 24, "%lld", (long long)(bytes < MOST ? bytes : MOST));
    return 0;
}

int kj_conf_effective(const struct kj_conf_row *row, struct kj_property_list topic,
                      struct kj_property_list directory, struct kj_conf_effective *ret_effective)
{
    struct kj_conf_effective *e = ret_effective;
    bool of_topic = (row->scopes & KJ_SCOPE_TOPIC) != 0;
    const char *broker = of_topic ? row->info.broker_name : row->info.name;
    e->topic_value = of_topic ? kj_property_get(topic, row->info.name) : NULL;
    KJ_TRY(stored_value(broker, directory, e->buffers[0], &e->store_value));
    e->default_value = row->info.default_value;
    if (e->default_value == NULL && broker != NULL &&
        strcmp(broker, "log.index.size.max.bytes") == 0) {
        KJ_TRY(index_bytes(topic, directory, e->buffers[1]));
        e->default_value = e->buffers[1];
    }
    if (e->topic_value != NULL) {
        e->value = e->topic_value;
        e->source = KAJA_CONFIG_TOPIC;
    } else if (e->store_value != NULL) {
        e->value = e->store_value;
        e->source = KAJA_CONFIG_STORE;
    } else {
        e->value = e->default_value;
        e->source = KAJA_CONFIG_DEFAULT;
    }
    return 0;
}

/* --- the rules --- */

/* Every name must be one of the scope's; values are judged where they come into force. */
static int known(struct kj_property_list list, unsigned scope)
{
    for (size_t i = 0; i < list.count; i++)
        if (kj_conf_row_find(list.items[i].name, scope) == NULL)
            return kj_conf_unknown(list.items[i].name);
    return 0;
}

static int set_compression(struct kj_property_list topic, struct kj_property_list directory,
                           struct kj_log_config *config)
{
    static const int codecs[] = {KJ_CODEC_NONE, KJ_CODEC_GZIP, KJ_CODEC_SNAPPY,
                                 KJ_CODEC_LZ4,  KJ_CODEC_ZSTD, -1}; /* the row's choices */
    static const char *const levels[KJ_CODEC_COUNT] = {
        [KJ_CODEC_GZIP] = "compression.gzip.level",
        [KJ_CODEC_LZ4] = "compression.lz4.level",
        [KJ_CODEC_ZSTD] = "compression.zstd.level",
    };
    int64_t number;
    KJ_TRY(number_in_force("compression.type", topic, directory, &number));
    config->compression = codecs[number];
    if (config->compression < 0 || levels[config->compression] == NULL)
        return 0;
    KJ_TRY(number_in_force(levels[config->compression], topic, directory, &number));
    if (config->compression != KJ_CODEC_GZIP || number != -1)
        config->compression_level = (int)number;
    return 0;
}

static int set_cleanup(struct kj_property_list topic, struct kj_property_list directory,
                       struct kj_log_config *config)
{
    struct kj_conf_effective e;
    const struct kj_conf_row *row = kj_conf_row_find("cleanup.policy", KJ_SCOPE_TOPIC);
    int64_t ignored;
    KJ_TRY(kj_conf_effective(row, topic, directory, &e));
    KJ_TRY(kj_conf_value_parse(row, e.value, &ignored));
    config->cleanup_delete = strstr(e.value, "delete") != NULL;
    config->cleanup_compact = strstr(e.value, "compact") != NULL;
    return 0;
}

static int log_config(const struct kj_property *topic_items, size_t topic_count,
                      const struct kj_property *directory_items, size_t directory_count,
                      struct kj_log_config *ret_config)
{
    struct kj_property_list topic = {topic_items, topic_count};
    struct kj_property_list directory = {directory_items, directory_count};
    struct kj_log_config config;
    kj_log_config_defaults(&config);
    KJ_TRY(known(topic, KJ_SCOPE_TOPIC));
    KJ_TRY(known(directory, KJ_SCOPE_DIRECTORY));
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        if (row->field.room != KJ_CONF_ROOM_LOG)
            continue;
        struct kj_conf_effective e;
        int64_t number;
        KJ_TRY(kj_conf_effective(row, topic, directory, &e));
        KJ_TRY(kj_conf_value_parse(row, e.value, &number));
        kj_conf_value_store(row, number, &config);
    }
    KJ_TRY(set_compression(topic, directory, &config));
    KJ_TRY(set_cleanup(topic, directory, &config));
    *ret_config = config;
    return 0;
}

static int directory_config(const struct kj_property *items, size_t count,
                            struct kj_store_options *options)
{
    struct kj_property_list directory = {items, count};
    KJ_TRY(known(directory, KJ_SCOPE_DIRECTORY));
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        if ((row->scopes & KJ_SCOPE_DIRECTORY) == 0 || row->field.room != KJ_CONF_ROOM_STORE)
            continue;
        struct kj_conf_effective e;
        int64_t number;
        KJ_TRY(kj_conf_effective(row, (struct kj_property_list){0}, directory, &e));
        KJ_TRY(kj_conf_value_parse(row, e.value, &number));
        kj_conf_value_store(row, number, options);
    }
    return 0;
}

static int directory_value(const char *name, const struct kj_property *items, size_t count,
                           char *value, size_t bytes)
{
    struct kj_property_list directory = {items, count};
    const struct kj_conf_row *row = kj_conf_row_find(name, KJ_SCOPE_DIRECTORY);
    struct kj_conf_effective e;
    if (row == NULL)
        return kj_conf_unknown(name);
    KJ_TRY(kj_conf_effective(row, (struct kj_property_list){0}, directory, &e));
    (void)snprintf(value, bytes, "%s", e.value != NULL ? e.value : "");
    return 0;
}

const struct kj_property_rules kj_conf_rules = {
    .log_config = log_config,
    .directory_config = directory_config,
    .directory_value = directory_value,
};
