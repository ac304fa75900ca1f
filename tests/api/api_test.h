/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/api/api_test.h - a directory per test, and the few steps that all of them need. Only what a
 * program sees.
 */
#ifndef KJ_API_TEST_H
#define KJ_API_TEST_H

#include "kjtest.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* A codec that this build has, in the words of a producer and of a topic. */
#ifdef KJ_HAVE_GZIP
#define SOME_CODEC "gzip"
#define SOME_TOPIC_CODEC "gzip"
#else
#define SOME_CODEC "none"
#define SOME_TOPIC_CODEC "uncompressed"
#endif

static char test_dir[64];

static inline int test_dir_make(void **state)
{
    (void)state;
    (void)snprintf(test_dir, sizeof test_dir, "%s", "api_test.XXXXXX");
    return mkdtemp(test_dir) == NULL;
}

static inline int test_dir_remove(void **state)
{
    (void)state;
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", test_dir);
    return system(command);
}

#define test_in_dir(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, test_dir_make, test_dir_remove)

/* "name", "value", ..., NULL */
static inline struct kaja_conf *conf_of(const char *name, ...)
{
    struct kaja_conf *conf = NULL;
    assert_ok(kaja_conf_new(&conf));
    va_list args;
    va_start(args, name);
    for (; name != NULL; name = va_arg(args, const char *))
        assert_ok(kaja_conf_set(conf, name, va_arg(args, const char *)));
    va_end(args);
    return conf;
}

/* Takes conf over. KJ_TEST_BACKEND is asked for where the test does not care. */
static inline struct kaja_store *open_store(struct kaja_conf *conf)
{
    struct kaja_store *store = NULL;
    const char *backend = getenv("KJ_TEST_BACKEND");
    if (backend != NULL && conf == NULL)
        assert_ok(kaja_conf_new(&conf));
    if (backend != NULL && strcmp(kaja_conf_get(conf, "kaja.io.backend"), "auto") == 0)
        assert_ok(kaja_conf_set(conf, "kaja.io.backend", backend));
    assert_ok(kaja_store_open(test_dir, conf, &store));
    kaja_conf_free(conf);
    return store;
}

/* Timestamps of the records sent: this and the following ones; -1: the time when they are. */
static int64_t send_timestamp = KAJA_TIMESTAMP_NOW;

/* Sends count records of value_bytes, "key<i>", in one producer; each batch waited for if apart. */
static inline void send_records(struct kaja_store *store, const char *topic, int32_t partition,
                                int count, size_t value_bytes, bool apart, struct kaja_conf *conf)
{
    struct kaja_producer *producer = NULL;
    char *value = malloc(value_bytes + 1), key[24];
    assert_non_null(value);
    memset(value, 'v', value_bytes + 1);
    assert_ok(kaja_producer_open(store, conf, &producer));
    kaja_conf_free(conf);
    for (int i = 0; i < count; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = topic;
        record.partition = partition;
        (void)snprintf(key, sizeof key, "key%d", i);
        record.key = key;
        record.key_bytes = strlen(key);
        record.value = value;
        record.value_bytes = value_bytes;
        record.timestamp = send_timestamp < 0 ? KAJA_TIMESTAMP_NOW : send_timestamp + i;
        struct kaja_metadata metadata;
        if (apart)
            assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
        else
            assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
    }
    assert_ok(kaja_producer_flush(producer, 20000));
    assert_ok(kaja_producer_close(producer, 20000));
    free(value);
}

static inline bool detail_has(const char *text)
{
    if (strstr(kaja_error_detail(), text) != NULL)
        return true;
    print_message("detail: %s\n", kaja_error_detail());
    return false;
}

#endif
