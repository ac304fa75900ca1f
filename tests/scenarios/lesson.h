/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/scenarios/lesson.h - the few words that the lessons are told in. Each lesson is a program:
 * it says what it does, checks what it says, and ends with 0 if all of it was so.
 */
#ifndef KJ_TESTS_LESSON_H
#define KJ_TESTS_LESSON_H

#include <kaja.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char lesson_dir[64];
static pid_t lesson_process;

static inline void lesson_over(void)
{
    char command[96];
    if (getpid() != lesson_process)
        return; /* a child of the lesson */
    (void)snprintf(command, sizeof command, "rm -rf '%s'", lesson_dir);
    if (system(command) != 0)
        (void)fprintf(stderr, "%s is left behind\n", lesson_dir);
}

/* A directory of its own, removed at the end. */
static inline void lesson(const char *title)
{
    lesson_process = getpid();
    (void)strcpy(lesson_dir, "lesson.XXXXXX");
    if (mkdtemp(lesson_dir) == NULL || atexit(lesson_over) != 0)
        exit(99);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# %s\n", title);
}

#define so(condition, ...)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("NOT SO, line %d: ", __LINE__);                                                 \
            printf(__VA_ARGS__);                                                                   \
            printf(" (%s)\n", #condition);                                                         \
            exit(1);                                                                               \
        }                                                                                          \
        printf("  ");                                                                              \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
    } while (0)

#define must(call)                                                                                 \
    do {                                                                                           \
        int must_err_ = (call);                                                                    \
        if (must_err_ != 0) {                                                                      \
            printf("FAILED, line %d: %s: %s (%s)\n", __LINE__, #call, kaja_error_name(must_err_),  \
                   kaja_error_detail());                                                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "name", "value", ..., NULL */
static inline struct kaja_conf *properties(const char *name, va_list args)
{
    struct kaja_conf *conf = NULL;
    must(kaja_conf_new(&conf));
    for (; name != NULL; name = va_arg(args, const char *))
        must(kaja_conf_set(conf, name, va_arg(args, const char *)));
    return conf;
}

static inline struct kaja_store *open_directory(void)
{
    struct kaja_conf *conf = NULL;
    struct kaja_store *store = NULL;
    must(kaja_conf_new(&conf));
    if (getenv("KJ_TEST_BACKEND") != NULL)
        must(kaja_conf_set(conf, "kaja.io.backend", getenv("KJ_TEST_BACKEND")));
    must(kaja_store_open(lesson_dir, conf, &store));
    kaja_conf_free(conf);
    return store;
}

static inline struct kaja_consumer *consumer_with(struct kaja_store *store, const char *name, ...)
{
    struct kaja_consumer *consumer = NULL;
    va_list args;
    va_start(args, name);
    struct kaja_conf *conf = properties(name, args);
    va_end(args);
    must(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    return consumer;
}

/* Sends one record and waits until it is durable; partition KAJA_PARTITION_ANY lets the key decide.
 * NULL key or value: none. */
static inline struct kaja_metadata put(struct kaja_producer *producer, const char *topic,
                                       int32_t partition, const char *key, const char *value)
{
    struct kaja_metadata metadata;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.partition = partition;
    record.key = key;
    record.key_bytes = key != NULL ? strlen(key) : 0;
    record.value = value;
    record.value_bytes = value != NULL ? strlen(value) : 0;
    must(kaja_producer_send(producer, &record, 20000, &metadata));
    return metadata;
}

struct seen {
    int32_t partition;
    int64_t offset;
    char key[32], value[32];
};

/* Polls until count records came or nothing more comes for quiet_ms. */
static inline size_t take(struct kaja_consumer *consumer, struct seen *seen, size_t count,
                          int64_t quiet_ms)
{
    size_t got = 0;
    for (int64_t last = now_ms(); got < count && now_ms() - last <= quiet_ms;) {
        struct kaja_batch *batch = NULL;
        struct kaja_record_view record;
        must(kaja_consumer_poll(consumer, quiet_ms < 100 ? quiet_ms : 100, &batch));
        while (kaja_batch_next(batch, &record) != 0 && got < count) {
            struct seen *one = &seen[got++];
            one->partition = record.partition;
            one->offset = record.offset;
            (void)snprintf(one->key, sizeof one->key, "%.*s", (int)record.key_bytes,
                           record.key != NULL ? (const char *)record.key : "");
            (void)snprintf(one->value, sizeof one->value, "%.*s", (int)record.value_bytes,
                           record.value != NULL ? (const char *)record.value : "");
            last = now_ms();
        }
        kaja_batch_release(batch);
    }
    return got;
}

#endif
