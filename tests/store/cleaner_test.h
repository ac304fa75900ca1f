/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/store/cleaner_test.h - compacted topics for the tests of the cleaner: keyed records, what
 * may never change of them, and rounds on demand.
 */
#ifndef KJ_TESTS_STORE_CLEANER_TEST_H
#define KJ_TESTS_STORE_CLEANER_TEST_H

#include "store_test.h"

#include "record/compress.h"

enum { KEYS_MAX = 16 };

/* The properties that these tests set, by what they stand for. */
static inline int cleaner_rules(const struct kj_property *topic, size_t topic_count,
                                const struct kj_property *directory, size_t directory_count,
                                struct kj_log_config *ret_config)
{
    struct kj_log_config config;
    (void)directory, (void)directory_count;
    kj_log_config_defaults(&config);
    config.segment_bytes = 700;
    config.index_interval_bytes = 200;
    config.retention_ms = -1;
    config.min_cleanable_ppm = 0;
    for (size_t i = 0; i < topic_count; i++) {
        int64_t number = atoll(topic[i].value);
        if (strcmp(topic[i].name, "cleanup.policy") == 0) {
            config.cleanup_delete = strstr(topic[i].value, "delete") != NULL;
            config.cleanup_compact = strstr(topic[i].value, "compact") != NULL;
        } else if (strcmp(topic[i].name, "segment.bytes") == 0) {
            config.segment_bytes = number;
        } else if (strcmp(topic[i].name, "min.cleanable.dirty.ratio") == 0) {
            config.min_cleanable_ppm = number * 10000; /* percent, here */
        } else if (strcmp(topic[i].name, "max.compaction.lag.ms") == 0) {
            config.max_compaction_lag_ms = number;
        } else if (strcmp(topic[i].name, "retention.bytes") == 0) {
            config.retention_bytes = number;
        }
    }
    *ret_config = config;
    return 0;
}

static inline struct kj_store_options cleaner_options(const char *path)
{
    struct kj_store_options options = test_options(path);
    options.rules.log_config = cleaner_rules;
    options.cleaner_enable = true;
    options.cleaner_backoff_ms = 3600000; /* when a test asks */
    options.cleaner_map_bytes = 1 << 20;
    options.cleaner_microbytes_per_second = INT64_MAX;
    return options;
}

/* value NULL: a tombstone. For children too. */
static inline int put(struct kj_partition *partition, const char *key, const void *value,
                      size_t value_bytes, enum kj_codec codec)
{
    static uint8_t buf[8192];
    static int64_t timestamp = 1700000000000;
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    uint8_t *bytes;
    size_t len;
    kj_batch_writer_init(&writer, buf, sizeof buf);
    struct kj_record record = {.timestamp = timestamp++,
                               .key = key,
                               .key_bytes = strlen(key),
                               .value = value,
                               .value_bytes = value_bytes};
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    seal.codec = codec;
    if (!kj_batch_writer_append(&writer, &record))
        return KAJA_ERR_RECORD_TOO_LARGE;
    KJ_TRY(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len));
    struct kj_append_batch batch = {.bytes = bytes, .len = len, .durable = true};
    int err = kj_partition_append(partition, &batch, 1, KJ_APPEND_TRUSTED);
    kj_buffer_free(&out);
    return err == 0 ? batch.ret_error : err;
}

static inline int put_text(struct kj_partition *partition, const char *key, const char *value)
{
    return put(partition, key, value, value == NULL ? 0 : strlen(value), KJ_CODEC_NONE);
}

/* count records over keys keys, flushed; every fourth batch compressed, if there is a codec. */
static inline void put_many(struct kj_store *store, struct kj_partition *partition, int from,
                            int count,
                            int keys)
{
    for (int i = from; i < from + count; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "k%d", i % keys);
        (void)snprintf(value, sizeof value, "%s value %d",
                       kj_topic_name(kj_partition_topic(partition)), i);
        enum kj_codec codec = i % 4 == 0 && kj_codec_built(KJ_CODEC_GZIP) ? KJ_CODEC_GZIP
            : KJ_CODEC_NONE;
        assert_ok(put(partition, key, value, strlen(value), codec));
    }
    assert_ok(kj_store_flush(store, &partition, 1));
}

/* "key=value@offset" of the newest record of each key, in the order of keys. Offsets must rise. */
static inline const char *newest(struct kj_partition *partition)
{
    static char text[4][KEYS_MAX * 96];
    static unsigned turn;
    static char values[KEYS_MAX][80];
    char *out = text[turn++ % 4];
    struct kj_log *log = kj_partition_log(partition);
    struct kj_log_cursor cursor = {0};
    struct kj_buffer plain = {0};
    int64_t offset = kj_log_start(log), limit = kj_log_high_watermark(log), last = -1;
    memset(values, 0, sizeof values);
    while (offset < limit) {
        struct kj_log_read read = {0};
        assert_ok(kj_log_read(log, offset, limit, 1 << 20, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len;) {
            struct kj_batch batch;
            struct kj_batch_reader reader;
            struct kj_record_view view;
            assert_int_equal(kj_batch_look(read.bytes + at, read.len - at, &batch), KJ_BATCH_OK);
            assert_true(kj_batch_crc_ok(read.bytes + at, kj_batch_bytes(&batch)));
            assert_ok(kj_batch_reader_init(&reader, read.bytes + at, kj_batch_bytes(&batch),
                                           &plain, 1 << 20));
            while (kj_batch_reader_next(&reader, &view) == 1) {
                int64_t now = batch.base_offset + view.offset_delta;
                int key = atoi((const char *)view.key + 1);
                assert_true(now > last && key < KEYS_MAX);
                last = now;
                (void)snprintf(values[key], sizeof values[key], "%.*s@%lld",
                               view.value == NULL ? 1 : view.value_bytes < 40
                                   ? (int)view.value_bytes : 40,
                               view.value == NULL ? "-" : (const char *)view.value, (long long)now);
            }
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        offset = read.next_offset;
    }
    kj_buffer_free(&plain);
    out[0] = '\0';
    for (int i = 0; i < KEYS_MAX; i++)
        if (values[i][0] != '\0')
            (void)snprintf(out + strlen(out), sizeof text[0] - strlen(out), "k%d=%s\n", i,
                           values[i]);
    return out;
}

static inline int64_t bytes_of(struct kj_partition *partition)
{
    struct kj_log_stats stats;
    assert_ok(kj_log_get_stats(kj_partition_log(partition), &stats));
    return stats.bytes;
}

static inline void clean_soon(struct kj_store *store)
{
    kj_shared_store(kj_shared_of(store), KJ_CONTROL_TASKS + (kj_word)KJ_TASK_CLEANER, 0);
}

/* Everything that is due; true unless it does not come to an end. */
static inline bool clean_all(struct kj_store *store)
{
    clean_soon(store);
    for (int i = 0; i < 1000; i++) {
        (void)kj_store_run(store);
        if (store->cleaner.state == KJ_CLEANER_WAITS)
            return true;
    }
    return false;
}

static inline struct kj_partition *make_topic(struct kj_store *store, const char *name,
                                              const char *property, const char *value)
{
    const struct kj_property properties[] = {{"cleanup.policy", "compact"}, {property, value}};
    assert_ok(kj_topic_create(store, name, 1, properties, property != NULL ? 2 : 1));
    struct kj_topic *topic = topic_of(store, name);
    struct kj_partition *partition = partition_of(topic, 0);
    kj_topic_release(topic); /* the store has it */
    return partition;
}

static inline struct kj_partition *known(struct kj_store *store, const char *name)
{
    struct kj_topic *topic = topic_of(store, name);
    struct kj_partition *partition = partition_of(topic, 0);
    kj_topic_release(topic);
    return partition;
}

#endif
