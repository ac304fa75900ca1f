/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/admin.c - kaja/admin.h: topics and partitions. Properties are in api/admin_configs.c.
 */
#include "api/conf.h"
#include "api/conf_row.h"
#include "api/handles.h"
#include "api/text_pool.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/file_names.h"

#include <stdio.h>
#include <string.h>

static int check(struct kaja_store *store, const char *topic)
{
    KJ_TRY(kj_handle_store(store));
    return topic != NULL ? 0 : kj_err(KAJA_ERR_INVALID_ARG, "the topic is NULL");
}

static int check_result(const void *ret)
{
    return ret != NULL ? 0 : kj_err(KAJA_ERR_INVALID_ARG, "the place for the result is NULL");
}

/* --- topics --- */

/* num.partitions of the directory as the catalog has it now, whoever changed it. */
static int default_partition_count(struct kj_store *store, int32_t *ret_count)
{
    struct kj_property *properties;
    struct kj_property_list directory;
    KJ_TRY(kj_topic_properties(store, NULL, &properties, &directory.count));
    directory.items = properties;
    const struct kj_conf_row *row = kj_conf_row_find("num.partitions", KJ_SCOPE_DIRECTORY);
    struct kj_conf_effective effective;
    int64_t count = 0;
    int err = kj_conf_effective(row, (struct kj_property_list){0}, directory, &effective);
    if (err == 0)
        err = kj_conf_value_parse(row, effective.value, &count);
    kj_free_properties(properties, directory.count);
    if (err == 0)
        *ret_count = (int32_t)count;
    return err;
}

int kaja_admin_create_topic(struct kaja_store *store, const char *topic, int32_t partition_count,
                            const struct kaja_conf *conf)
{
    KJ_TRY(check(store, topic));
    KJ_TRY(kj_conf_check(conf));
    KJ_TRY(kj_topic_name_check(topic));
    if (partition_count == -1)
        KJ_TRY(default_partition_count(store->store, &partition_count));
    if (partition_count < 1)
        return kj_err(KAJA_ERR_INVALID_PARTITIONS,
                      "%s cannot have %d partitions: at least 1, or -1 for num.partitions", topic,
                      (int)partition_count);
    struct kj_property *properties;
    size_t count;
    KJ_TRY(kj_conf_properties(conf, KJ_SCOPE_TOPIC, true, &properties, &count));
    int err = kj_topic_create(store->store, topic, partition_count, properties, count);
    kj_free(properties);
    return err;
}

int kaja_admin_delete_topic(struct kaja_store *store, const char *topic)
{
    KJ_TRY(check(store, topic));
    return kj_topic_delete(store->store, topic); /* its committed offsets go with it: store hooks */
}

int kaja_admin_add_partitions(struct kaja_store *store, const char *topic, int32_t partition_count)
{
    KJ_TRY(check(store, topic));
    return kj_topic_add_partitions(store->store, topic, partition_count);
}

/* A kaja_topic_list with what it owns. */
struct topics {
    struct kaja_topic_list list;
    struct kaja_topic_info *infos;
    size_t capacity;
    struct kj_text_pool pool;
};

static int add_topic(void *arg, struct kj_topic *topic)
{
    struct topics *topics = arg;
    void *grown = topics->infos;
    KJ_TRY(kj_grow(&grown, &topics->capacity, topics->list.count + 1, sizeof *topics->infos));
    topics->infos = grown;
    struct kaja_topic_info info = {
        .partition_count = kj_topic_partition_count(topic),
        .internal = kj_topic_internal(topic),
        .adopted = kj_topic_adopted(topic),
    };
    KJ_TRY(kj_text_pool_add(&topics->pool, kj_topic_name(topic), &info.name));
    kj_uuid_text(kj_topic_id(topic), info.id);
    topics->infos[topics->list.count++] = info;
    topics->list.topics = topics->infos;
    return 0;
}

void kaja_topic_list_free(struct kaja_topic_list *list)
{
    if (list == NULL)
        return;
    struct topics *topics = (struct topics *)list;
    kj_text_pool_free(&topics->pool);
    kj_free(topics->infos);
    kj_free(topics);
}

static int list_topics(struct kaja_store *store, const char *name,
                       struct kaja_topic_list **ret_list)
{
    struct topics *topics = kj_alloc_zero(1, sizeof *topics);
    if (topics == NULL)
        return kj_err_oom("a list of topics");
    int err;
    if (name == NULL) {
        err = kj_store_topics(store->store, add_topic, topics);
    } else {
        struct kj_topic *topic;
        err = kj_topic_find(store->store, name, false, &topic);
        if (err == 0) {
            err = add_topic(topics, topic);
            kj_topic_release(topic);
        }
    }
    if (err != 0) {
        kaja_topic_list_free(&topics->list);
        return err;
    }
    *ret_list = &topics->list;
    return 0;
}

int kaja_admin_topics(struct kaja_store *store, struct kaja_topic_list **ret_list)
{
    KJ_TRY(kj_handle_store(store));
    KJ_TRY(check_result(ret_list));
    return list_topics(store, NULL, ret_list);
}

int kaja_admin_topic(struct kaja_store *store, const char *topic, struct kaja_topic_list **ret_list)
{
    KJ_TRY(check(store, topic));
    KJ_TRY(check_result(ret_list));
    return list_topics(store, topic, ret_list);
}

/* --- partitions --- */

/* The partition, with its topic held: kj_topic_release() afterwards. */
static int find_partition(struct kaja_store *store, const char *name, int32_t number,
                          struct kj_topic **ret_topic, struct kj_partition **ret_partition)
{
    struct kj_topic *topic;
    KJ_TRY(check(store, name));
    KJ_TRY(kj_topic_find(store->store, name, false, &topic));
    int err = kj_topic_partition(topic, number, ret_partition);
    if (err != 0) {
        kj_topic_release(topic);
        return err == KAJA_ERR_UNKNOWN_PARTITION ? KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION : err;
    }
    *ret_topic = topic;
    return 0;
}

static int64_t clamp(int64_t n, int64_t least, int64_t most)
{
    return n > most ? most : n < least ? least : n;
}

int kaja_admin_partition(struct kaja_store *store, const char *topic, int32_t partition,
                         struct kaja_partition_info *ret_info)
{
    struct kj_topic *t;
    struct kj_partition *p;
    KJ_TRY(check_result(ret_info));
    KJ_TRY(find_partition(store, topic, partition, &t, &p));
    struct kj_log *log = kj_partition_log(p);
    struct kj_log_stats stats;
    int64_t last_stable = 0;
    int err = kj_log_get_stats(log, &stats);
    if (err == 0)
        err = kj_log_last_stable(log, &last_stable);
    if (err == 0) {
        /* The two looks may differ while others write: the invariant is kept by the first. */
        int64_t high_watermark = clamp(stats.high_watermark, stats.start, stats.end);
        *ret_info = (struct kaja_partition_info){
            .log_start_offset = stats.start,
            .last_stable_offset = clamp(last_stable, stats.start, high_watermark),
            .high_watermark = high_watermark,
            .end_offset = stats.end,
            .durable_offset = stats.durable,
            .bytes = stats.bytes,
            .segment_count = stats.segment_count,
            .poisoned = kj_log_poisoned(log),
        };
    }
    kj_topic_release(t);
    return err;
}

static int offset_for_time(struct kj_log *log, int64_t timestamp, int isolation,
                           int64_t *ret_offset, int64_t *ret_timestamp)
{
    *ret_timestamp = -1;
    if (timestamp == KAJA_OFFSET_EARLIEST) {
        *ret_offset = kj_log_start(log);
        return 0;
    }
    int64_t limit = kj_log_high_watermark(log);
    if (isolation == 1) {
        int64_t last_stable;
        KJ_TRY(kj_log_last_stable(log, &last_stable));
        limit = last_stable < limit ? last_stable : limit;
    }
    *ret_offset = limit;
    if (timestamp == KAJA_OFFSET_LATEST)
        return 0;
    KJ_TRY(kj_log_offset_for_time(log, timestamp, limit, ret_offset, ret_timestamp));
    if (*ret_offset < 0)
        *ret_offset = KAJA_OFFSET_NONE;
    return 0;
}

int kaja_admin_offset_for_time(struct kaja_store *store, const char *topic, int32_t partition,
                               int64_t timestamp_ms, int isolation, int64_t *ret_offset,
                               int64_t *ret_timestamp)
{
    struct kj_topic *t;
    struct kj_partition *p;
    KJ_TRY(check_result(ret_offset));
    KJ_TRY(check_result(ret_timestamp));
    if (timestamp_ms < KAJA_OFFSET_MAX_TIMESTAMP)
        return kj_err(KAJA_ERR_INVALID_ARG,
                      "%lld is no timestamp and none of LATEST, EARLIEST, MAX_TIMESTAMP",
                      (long long)timestamp_ms);
    if (isolation != 0 && isolation != 1)
        return kj_err(KAJA_ERR_INVALID_ARG, "isolation is %d: 0 read_uncommitted, 1 read_committed",
                      isolation);
    KJ_TRY(find_partition(store, topic, partition, &t, &p));
    int64_t offset, timestamp;
    int err = offset_for_time(kj_partition_log(p), timestamp_ms, isolation, &offset, &timestamp);
    if (err == 0) {
        *ret_offset = offset;
        *ret_timestamp = timestamp;
    }
    kj_topic_release(t);
    return err;
}

int kaja_admin_delete_records(struct kaja_store *store, const char *topic, int32_t partition,
                              int64_t offset, int64_t *ret_low_watermark)
{
    struct kj_topic *t;
    struct kj_partition *p;
    KJ_TRY(find_partition(store, topic, partition, &t, &p));
    int64_t low_watermark;
    int err = kj_partition_delete_records(p, offset, &low_watermark);
    if (err == 0 && ret_low_watermark != NULL)
        *ret_low_watermark = low_watermark;
    kj_topic_release(t);
    return err;
}

/* --- flush --- */

/* Partitions to flush, each with its topic held once. */
struct flush_list {
    struct kj_partition **partitions;
    size_t count, capacity;
};

static int add_unflushed(void *arg, struct kj_topic *topic)
{
    struct flush_list *list = arg;
    int32_t partition_count = kj_topic_partition_count(topic);
    for (int32_t i = 0; i < partition_count; i++) {
        struct kj_partition *partition;
        KJ_TRY(kj_topic_partition(topic, i, &partition));
        struct kj_log *log = kj_partition_log(partition);
        if (kj_log_durable(log) >= kj_log_end(log) && !kj_log_poisoned(log))
            continue;
        void *grown = list->partitions;
        KJ_TRY(kj_grow(&grown, &list->capacity, list->count + 1, sizeof(struct kj_partition *)));
        list->partitions = grown;
        kj_topic_hold(topic);
        list->partitions[list->count++] = partition;
    }
    return 0;
}

int kaja_admin_flush(struct kaja_store *store, const char *topic)
{
    KJ_TRY(kj_handle_store(store));
    struct flush_list list = {0};
    int err;
    if (topic == NULL) {
        err = kj_store_topics(store->store, add_unflushed, &list);
    } else {
        struct kj_topic *t;
        KJ_TRY(kj_topic_find(store->store, topic, false, &t));
        err = add_unflushed(&list, t);
        kj_topic_release(t);
    }
    if (err == 0 && list.count > 0)
        err = kj_store_flush(store->store, list.partitions, list.count);
    for (size_t i = 0; i < list.count; i++)
        kj_topic_release(kj_partition_topic(list.partitions[i]));
    kj_free(list.partitions);
    return err;
}
