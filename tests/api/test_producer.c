/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Producing through the public face: what a program sees. Failures of the disk are tests/client's
 * and tests/crash's business.
 */
#include "api_test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct kaja_producer *open_producer(struct kaja_store *store, struct kaja_conf *conf)
{
    struct kaja_producer *producer = NULL;
    assert_ok(kaja_producer_open(store, conf, &producer));
    kaja_conf_free(conf);
    return producer;
}

static void make_topic(struct kaja_store *store, const char *name, int32_t partitions,
                       struct kaja_conf *conf)
{
    assert_ok(kaja_admin_create_topic(store, name, partitions, conf));
    kaja_conf_free(conf);
}

static struct kaja_record record_of(int32_t partition, const void *value, size_t bytes)
{
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "topic";
    record.partition = partition;
    record.value = value;
    record.value_bytes = bytes;
    return record;
}

/* Reads partitions 0 .. count-1 from the beginning to their ends; the number of records. */
static int64_t read_all(struct kaja_store *store, int32_t partitions,
                        void (*callback)(void *arg, const struct kaja_record_view *view), void *arg)
{
    struct kaja_consumer *consumer = NULL;
    struct kaja_topic_partition wanted[64];
    int64_t count = 0;
    for (int32_t i = 0; i < partitions; i++)
        wanted[i] = (struct kaja_topic_partition){"topic", i, 0};
    assert_ok(kaja_consumer_open(store, NULL, &consumer));
    assert_ok(kaja_consumer_assign(consumer, wanted, (size_t)partitions));
    assert_ok(kaja_consumer_seek_to_beginning(consumer, NULL, 0));
    for (;;) {
        struct kaja_batch *batch;
        struct kaja_record_view view;
        assert_ok(kaja_consumer_poll(consumer, 0, &batch));
        size_t got = kaja_batch_count(batch);
        while (kaja_batch_next(batch, &view)) {
            if (callback != NULL)
                callback(arg, &view);
            count++;
        }
        kaja_batch_release(batch);
        if (got == 0)
            break;
    }
    assert_ok(kaja_consumer_close(consumer, 20000));
    return count;
}

/* --- order --- */

enum { THREADS = 4, EACH = 3000 };

struct numbered {
    int32_t thread, number;
};

struct job {
    struct kaja_producer *producer;
    int32_t thread;
};

static void *produce_numbered(void *arg)
{
    struct job *job = arg;
    for (int32_t i = 0; i < EACH; i++) {
        struct numbered value = {job->thread, i};
        struct kaja_record record = record_of(KAJA_PARTITION_ANY, &value, sizeof value);
        record.key = &job->thread;
        record.key_bytes = sizeof job->thread;
        assert_ok(kaja_producer_produce(job->producer, &record, NULL, NULL));
    }
    return NULL;
}

static void check_numbered(void *arg, const struct kaja_record_view *view)
{
    int32_t *next = arg;
    struct numbered value;
    assert_int_equal(view->value_bytes, sizeof value);
    memcpy(&value, view->value, sizeof value);
    assert_int_equal(value.number, next[value.thread]++);
    assert_int_equal(view->partition,
                     kaja_partition_for_key(&value.thread, sizeof value.thread, 3));
}

static void test_order(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++) {
        struct kaja_store *store =
            open_store(conf_of("kaja.background.threads", worker != 0 ? "1" : "0", NULL));
        if (worker == 0)
            make_topic(store, "topic", 3, NULL);
        struct kaja_producer *producer = open_producer(store, conf_of("batch.size", "1000", NULL));
        pthread_t threads[THREADS];
        struct job jobs[THREADS];
        for (int i = 0; i < THREADS; i++) {
            jobs[i] = (struct job){producer, i + worker * THREADS};
            assert_int_equal(pthread_create(&threads[i], NULL, produce_numbered, &jobs[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_ok(kaja_producer_flush(producer, 20000));
        int32_t next[2 * THREADS] = {0};
        assert_int_equal(read_all(store, 3, check_numbered, next), (worker + 1) * THREADS * EACH);
        assert_ok(kaja_producer_close(producer, 20000));
        assert_ok(kaja_store_close(store));
    }
}

/* --- callbacks --- */

struct seen {
    int64_t next[3];
    int64_t count;
    pthread_t thread;
};

static void note(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct seen *seen = arg;
    assert_int_equal(error, 0);
    assert_string_equal(metadata->topic, "topic");
    assert_int_equal(metadata->offset, seen->next[metadata->partition]++);
    assert_true(metadata->timestamp > 1500000000000);
    assert_true(pthread_equal(pthread_self(), seen->thread));
    seen->count++;
}

static void test_callbacks(void **state)
{
    (void)state;
    static const char *const acks[] = {"1", "all"};
    for (int i = 0; i < 2; i++) {
        struct kaja_store *store = open_store(NULL);
        make_topic(store, "topic", 3, NULL);
        struct kaja_producer *producer = open_producer(store, conf_of("acks", acks[i], NULL));
        struct seen seen = {.thread = pthread_self()};
        for (int n = 0; n < 9000; n++) {
            struct kaja_record record = record_of(n % 3, "value", 5);
            assert_ok(kaja_producer_produce(producer, &record, note, &seen));
        }
        size_t served = 0;
        int64_t before = seen.count;
        assert_int_equal(before, 0); /* only inside poll, flush and close */
        assert_ok(kaja_producer_poll(producer, 5000, &served));
        assert_int_equal(served, seen.count);
        assert_true(served > 0);
        assert_ok(kaja_producer_flush(producer, 20000));
        assert_int_equal(seen.count, 9000);
        assert_ok(kaja_producer_poll(producer, 0, &served));
        assert_int_equal(served, 0);
        assert_ok(kaja_producer_close(producer, 0));
        assert_ok(kaja_admin_delete_topic(store, "topic"));
        assert_ok(kaja_store_close(store));
    }
}

static void must_not(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct kaja_producer *producer = arg;
    (void)metadata;
    assert_int_equal(error, 0);
    assert_err(kaja_producer_flush(producer, 0), KAJA_ERR_STATE);
    assert_err(kaja_producer_close(producer, 0), KAJA_ERR_STATE);
    struct kaja_record record = record_of(0, "again", 5);
    assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
}

static void test_inside_callback(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kaja_producer_produce(producer, &record, must_not, producer));
    assert_ok(kaja_producer_flush(producer, 20000));
    assert_ok(kaja_producer_close(producer, 20000));
    assert_int_equal(read_all(store, 1, NULL, NULL), 2);
    assert_ok(kaja_store_close(store));
}

/* --- send --- */

static void *send_some(void *arg)
{
    struct job *job = arg;
    for (int32_t i = 0; i < 50; i++) {
        struct numbered value = {job->thread, i};
        struct kaja_record record = record_of(0, &value, sizeof value);
        struct kaja_metadata metadata = {"x", 5, 5, 5};
        assert_ok(kaja_producer_send(job->producer, &record, 20000, &metadata));
        assert_null(metadata.topic);
        assert_int_equal(metadata.partition, 0);
        assert_true(metadata.offset >= 0);
    }
    return NULL;
}

static uint64_t metric(struct kaja_store *store, const char *name)
{
    struct kaja_metric metrics[64];
    size_t count = kaja_metrics(store, metrics, 64);
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return metrics[i].value;
    fail_msg("no metric %s", name);
    return 0;
}

static void test_send(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    struct kaja_metadata metadata;
    struct kaja_record record = record_of(0, "first", 5);
    record.timestamp = 1600000000000;
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    assert_int_equal(metadata.offset, 0);
    assert_int_equal(metadata.timestamp, 1600000000000);
    assert_ok(kaja_producer_send(producer, &record, 20000, NULL));
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){producer, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_some, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct kaja_partition_info info;
    assert_ok(kaja_admin_partition(store, "topic", 0, &info));
    assert_int_equal(info.end_offset, 2 + THREADS * 50);
    assert_int_equal(info.durable_offset, info.end_offset);
    assert_in_range(metric(store, "flush.calls"), 50, 2 + THREADS * 50);
    assert_int_equal(metric(store, "produce.records"), 2 + THREADS * 50);
    assert_int_equal(metric(store, "produce.buffered"), 0);
    assert_ok(kaja_producer_close(producer, 0));
    assert_ok(kaja_store_close(store));
}

/* --- numbers --- */

static int note_batch(void *arg, const struct kaja_batch_info *info)
{
    struct kaja_batch_info *last = arg;
    *last = *info;
    return 0;
}

static int count_entry(void *arg, const struct kaja_snapshot_entry *entry)
{
    int *count = arg;
    (void)entry;
    ++*count;
    return 0;
}

/* Batches carry numbers by default, and an orderly end leaves nothing of the producer to remember;
 * one that is still there when the store dies is remembered (tests/store/test_producer_ids.c). */
static void test_idempotent(void **state)
{
    (void)state;
    char path[256];
    struct kaja_batch_info last = {.producer_id = -2};
    for (int i = 0; i < 3; i++) {
        struct kaja_store *store = open_store(NULL);
        struct kaja_conf *conf = i < 2 ? NULL : conf_of("enable.idempotence", "false", NULL);
        struct kaja_producer *producer = open_producer(store, conf);
        struct kaja_record record = record_of(0, "x", 1);
        for (int n = 0; n < 2; n++)
            assert_ok(kaja_producer_send(producer, &record, 20000, NULL));
        assert_ok(kaja_producer_close(producer, 20000));
        assert_ok(kaja_store_close(store));
        int64_t before = last.producer_id;
        (void)snprintf(path, sizeof path, "%s/topic-0/%020d.log", test_dir, 0);
        assert_ok(kaja_dump_log(path, -1, note_batch, NULL, &last, NULL));
        assert_int_equal(last.base_offset, 2 * i + 1);
        assert_int_equal(last.base_sequence, i < 2 ? 1 : -1);
        assert_true(i < 2 ? last.producer_id >= 0 : last.producer_id == -1);
        assert_true(last.producer_id != before);
        int count = 0;
        (void)snprintf(path, sizeof path, "%s/topic-0/%020d.snapshot", test_dir, 2 * (i + 1));
        assert_ok(kaja_dump_snapshot(path, count_entry, &count));
        assert_int_equal(count, 0);
    }
}

static int check_numbers(void *arg, const struct kaja_batch_info *info)
{
    int64_t *next = arg;
    assert_int_equal(info->base_offset, *next);
    assert_int_equal(info->base_sequence, *next);
    assert_int_equal(info->producer_epoch, 0);
    *next = info->last_offset + 1;
    return 0;
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full for a while: what could not be written is tried again in order, with the numbers
 * that it has, and nothing is there twice. */
static void test_full_disk(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct kaja_store *store = open_store(
        conf_of("kaja.background.threads", "1", "kaja.prepare.max.bytes", "0", NULL));
    struct kaja_producer *producer =
        open_producer(store, conf_of("batch.size", "1000", "retry.backoff.ms", "5", NULL));
    static char value[200];
    struct seen seen = {.thread = pthread_self()};
    struct kaja_record record = record_of(0, value, sizeof value);
    assert_ok(kaja_producer_produce(producer, &record, note, &seen));
    assert_ok(kaja_producer_flush(producer, 20000));
    signal(SIGXFSZ, SIG_IGN);
    limit_files(20000);
    for (int i = 1; i < COUNT; i++)
        assert_ok(kaja_producer_produce(producer, &record, note, &seen));
    int64_t give_up = now_ns() + 20000000000;
    while (metric(store, "produce.retries") < 20 && now_ns() < give_up)
        assert_ok(kaja_producer_poll(producer, 5, NULL));
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(metric(store, "produce.retries") >= 20);
    assert_in_range(seen.count, 1, COUNT - 1);
    assert_ok(kaja_producer_flush(producer, 20000));
    assert_int_equal(seen.count, COUNT); /* each once, in the order of offsets: note() looks */
    assert_int_equal(metric(store, "produce.failed"), 0);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(store));
    char path[256];
    int64_t next = 0;
    (void)snprintf(path, sizeof path, "%s/topic-0/%020d.log", test_dir, 0);
    assert_ok(kaja_dump_log(path, -1, check_numbers, NULL, &next, NULL));
    assert_int_equal(next, COUNT);
}

/* --- waiting beside other things --- */

static void test_descriptor(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.background.threads", "1", NULL));
    struct kaja_producer *producer = open_producer(store, NULL);
    int fd = -1;
    assert_err(kaja_producer_fd(producer, NULL), KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_producer_fd(producer, &fd));
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wanted, 1, 0), 0);
    struct seen seen = {.thread = pthread_self()};
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kaja_producer_produce(producer, &record, note, &seen));
    assert_int_equal(poll(&wanted, 1, 20000), 1);
    assert_ok(kaja_producer_poll(producer, 0, NULL));
    assert_int_equal(seen.count, 1);
    assert_int_equal(poll(&wanted, 1, 0), 0);
    kaja_producer_wakeup(NULL);
    kaja_producer_wakeup(producer);
    assert_err(kaja_producer_poll(producer, -1, NULL), KAJA_ERR_INTERRUPTED);
    assert_ok(kaja_producer_poll(producer, 1, NULL));
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(store));
}

/* --- where to --- */

static int32_t by_length(void *arg, const struct kaja_record *record, int32_t partition_count)
{
    (void)arg;
    return (int32_t)record->value_bytes % partition_count;
}

static void test_partitioner(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, "topic", 3, NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    struct kaja_metadata metadata;
    assert_err(kaja_producer_set_partitioner(NULL, by_length, NULL), KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_producer_set_partitioner(producer, by_length, NULL));
    for (size_t i = 1; i < 7; i++) {
        struct kaja_record record = record_of(KAJA_PARTITION_ANY, "lengths", i);
        assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
        assert_int_equal(metadata.partition, i % 3);
    }
    assert_err(kaja_producer_set_partitioner(producer, NULL, NULL), KAJA_ERR_STATE);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(store));
}

/* --- refusals --- */

static void test_arguments(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("auto.create.topics.enable", "false", NULL));
    make_topic(store, "topic", 2, NULL);
    make_topic(store, "window", 1, conf_of("message.timestamp.before.max.ms", "1000", NULL));
    struct kaja_producer *producer =
        open_producer(store, conf_of("max.request.size", "5000", NULL));
    static char value[10000];
    struct kaja_record record = record_of(0, value, 1);
    record.size = 8;
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    record = record_of(-2, value, 1);
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    record = record_of(0, NULL, 1);
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    record = record_of(0, value, 1);
    record.timestamp = -2;
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    record = record_of(0, value, 1);
    record.header_count = 1;
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_producer_produce(producer, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_producer_produce(NULL, &record, NULL, NULL), KAJA_ERR_INVALID_ARG);
    record = record_of(2, value, 1);
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_UNKNOWN_PARTITION);
    record = record_of(0, value, 5000);
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_RECORD_TOO_LARGE);
    record.topic = "nowhere";
    record.value_bytes = 1;
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    record.topic = "no/where";
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL),
               KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    record.topic = "window";
    record.timestamp = 1000;
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_INVALID_TIMESTAMP);
    assert_err(kaja_store_close(store), KAJA_ERR_STATE); /* the producer is open */
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_producer_close(NULL, 0));
    assert_ok(kaja_store_close(store));
}

static void fail_note(void *arg, int error, const struct kaja_metadata *metadata)
{
    int *errors = arg;
    assert_int_equal(metadata->offset, -1);
    *errors = error;
}

static void test_close_with_pending(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = open_producer(store, conf_of("linger.ms", "60000", NULL));
    int error = 0;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kaja_producer_produce(producer, &record, fail_note, &error));
    assert_err(kaja_producer_close(producer, 0), KAJA_ERR_TIMED_OUT);
    assert_int_equal(error, KAJA_ERR_DESTROYED);
    producer = open_producer(store, conf_of("linger.ms", "60000", NULL));
    assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
    assert_ok(kaja_producer_close(producer, 20000)); /* does not linger */
    assert_int_equal(read_all(store, 1, NULL, NULL), 1);
    assert_ok(kaja_store_close(store));
}

static void test_buffer_full(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.background.threads", "1", NULL));
    make_topic(store, "topic", 8, NULL);
    static char value[400];
    /* Open batches of eight partitions hold twice the memory: whoever waits gets it all the same.
     */
    struct kaja_producer *producer = open_producer(
        store, conf_of("batch.size", "1000", "buffer.memory", "4000", "linger.ms", "60000", NULL));
    for (int i = 0; i < 200; i++) {
        struct kaja_record record = record_of(i % 8, value, sizeof value);
        assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
    }
    assert_ok(kaja_producer_close(producer, 20000));
    producer =
        open_producer(store, conf_of("batch.size", "1000", "buffer.memory", "4000", "linger.ms",
                                     "60000", "kaja.buffer.full", "fail", NULL));
    int err = 0, taken = 0;
    while (err == 0 && taken < 50) {
        struct kaja_record record = record_of(taken % 8, value, sizeof value);
        err = kaja_producer_produce(producer, &record, NULL, NULL);
        taken += err == 0;
    }
    assert_int_equal(err, KAJA_ERR_QUEUE_FULL);
    assert_int_equal(taken, 4);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_int_equal(read_all(store, 8, NULL, NULL), 204);
    assert_ok(kaja_store_close(store));
}

/* --- codecs, headers --- */

static void check_round_trip(void *arg, const struct kaja_record_view *view)
{
    int *next = arg;
    char expected[400];
    int n = (*next)++;
    memset(expected, 'a' + n % 26, sizeof expected);
    assert_int_equal(view->value_bytes, (size_t)n % sizeof expected);
    assert_memory_equal(view->value, expected, view->value_bytes);
    assert_int_equal(view->key_bytes, n % 3);
    if (n % 3 == 0)
        assert_true((view->key == NULL) == (n % 2 == 0));
    assert_int_equal(view->timestamp, 1000000 + n);
    assert_int_equal(view->header_count, n % 4);
    struct kaja_header header;
    for (int h = 0; h < n % 4; h++) {
        assert_ok(kaja_record_header(view, (size_t)h, &header));
        assert_int_equal(header.key_bytes, 2);
        assert_memory_equal(header.key, "h", 1);
        assert_int_equal(header.key[1], '0' + h);
        if (h == 2)
            assert_null(header.value);
        else
            assert_int_equal(header.value_bytes, h * 100);
    }
    assert_err(kaja_record_header(view, (size_t)(n % 4), &header), KAJA_ERR_INVALID_ARG);
}

static void test_codecs(void **state)
{
    (void)state;
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    struct kaja_store *store = open_store(NULL);
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        struct kaja_producer *producer =
            open_producer(store, conf_of("compression.type", codecs[c], NULL));
        static char value[400], filler[300];
        struct kaja_header headers[3] = {
            {"h0", 2, "", 0}, {"h1", 2, filler, 100}, {"h2", 2, NULL, 0}};
        struct kaja_metadata metadata;
        struct kaja_record probe = record_of(0, "", 0);
        int err = kaja_producer_send(producer, &probe, 20000, &metadata);
        if (err == KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE) { /* configured out */
            assert_ok(kaja_producer_close(producer, 0));
            continue;
        }
        assert_ok(err);
        assert_ok(kaja_admin_delete_topic(store, "topic"));
        for (int i = 0; i < 1000; i++) {
            memset(value, 'a' + i % 26, sizeof value);
            struct kaja_record record = record_of(0, value, (size_t)i % sizeof value);
            record.timestamp = 1000000 + i;
            record.key = i % 3 == 0 && i % 2 == 0 ? NULL : "kk";
            record.key_bytes = (size_t)(i % 3);
            record.headers = headers;
            record.header_count = (size_t)(i % 4);
            assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
        }
        assert_ok(kaja_producer_close(producer, 20000));
        int next = 0;
        assert_int_equal(read_all(store, 1, check_round_trip, &next), 1000);
        assert_ok(kaja_admin_delete_topic(store, "topic"));
    }
    assert_ok(kaja_store_close(store));
}

/* --- topics that change --- */

static void test_topic_changes(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_store *other = open_store(NULL); /* counts as another process */
    make_topic(store, "topic", 1, NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    struct kaja_metadata metadata;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    record.partition = 1;
    assert_err(kaja_producer_send(producer, &record, 20000, &metadata), KAJA_ERR_UNKNOWN_PARTITION);
    assert_ok(kaja_admin_add_partitions(other, "topic", 2));
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    assert_ok(kaja_admin_delete_topic(other, "topic"));
    make_topic(other, "topic", 1, conf_of("message.timestamp.type", "LogAppendTime", NULL));
    record.partition = 0;
    record.timestamp = 5;
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    assert_int_equal(metadata.offset, 0);
    assert_true(metadata.timestamp > 1500000000000);
    record.partition = 1;
    assert_err(kaja_producer_send(producer, &record, 20000, &metadata), KAJA_ERR_UNKNOWN_PARTITION);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_store_close(store));
}

static void test_read_only(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, "topic", 1, NULL);
    struct kaja_store *reader = open_store(conf_of("kaja.read.only", "true", NULL));
    struct kaja_producer *producer = NULL;
    assert_err(kaja_producer_open(reader, NULL, &producer), KAJA_ERR_READ_ONLY);
    assert_ok(kaja_store_close(reader));
    assert_ok(kaja_store_close(store));
}

/* Two processes append to one partition: nothing is lost, each one's order holds. */
enum { CHILD_RECORDS = 4000 };

/* Forked before this process opens anything or has a thread. */
static pid_t start_child(int32_t number)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    struct kaja_store *store = NULL;
    struct kaja_producer *producer = NULL;
    int bad = kaja_store_open(test_dir, NULL, &store) != 0 ||
              kaja_producer_open(store, NULL, &producer) != 0;
    for (int32_t i = 0; i < CHILD_RECORDS && !bad; i++) {
        struct numbered value = {number, i};
        struct kaja_record record = record_of(0, &value, sizeof value);
        bad = i % 500 == 0 ? kaja_producer_send(producer, &record, 20000, NULL) != 0
                           : kaja_producer_produce(producer, &record, NULL, NULL) != 0;
    }
    bad = bad || kaja_producer_close(producer, 20000) != 0 || kaja_store_close(store) != 0;
    if (bad)
        fprintf(stderr, "child: %s\n", kaja_error_detail());
    _exit(bad);
}

static void check_child(void *arg, const struct kaja_record_view *view)
{
    int32_t *next = arg;
    struct numbered value;
    memcpy(&value, view->value, sizeof value);
    assert_int_equal(value.number, next[value.thread]++);
}

static void test_two_processes(void **state)
{
    (void)state;
    pid_t children[2] = {start_child(0), start_child(1)};
    for (int c = 0; c < 2; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    int32_t next[2] = {0};
    struct kaja_store *store = open_store(NULL);
    assert_int_equal(read_all(store, 1, check_child, next), 2 * CHILD_RECORDS);
    assert_ok(kaja_store_close(store));
}

/* In a child of fork() the parent's handles give a clear error and stay unharmed. */
static void test_fork(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kaja_producer_send(producer, &record, 20000, NULL));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int good = kaja_producer_produce(producer, &record, NULL, NULL) == KAJA_ERR_FORKED &&
                   kaja_producer_send(producer, &record, 0, NULL) == KAJA_ERR_FORKED &&
                   kaja_producer_close(producer, 1000) == KAJA_ERR_FORKED;
        leave_child(!good);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct kaja_metadata metadata;
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    assert_int_equal(metadata.offset, 1);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(store));
}

/* A send returns no later than its timeout says, give or take a flush. */
static void test_timeouts(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = open_producer(store, NULL);
    struct kaja_metadata metadata;
    struct kaja_record record = record_of(0, "x", 1);
    int64_t before = now_ns();
    assert_err(kaja_producer_send(producer, &record, 0, &metadata), KAJA_ERR_TIMED_OUT);
    assert_ok(kaja_producer_flush(producer, 20000)); /* it was not taken back */
    assert_int_equal(read_all(store, 1, NULL, NULL), 1);
    before = now_ns();
    size_t served = 7;
    assert_ok(kaja_producer_poll(producer, 30, &served));
    assert_int_equal(served, 0);
    assert_in_range(now_ns() - before, 30000000, 2000000000);
    assert_ok(kaja_producer_close(producer, -1));
    assert_ok(kaja_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_order),           test_in_dir(test_callbacks),
        test_in_dir(test_inside_callback), test_in_dir(test_send),
        test_in_dir(test_arguments),       test_in_dir(test_close_with_pending),
        test_in_dir(test_buffer_full),     test_in_dir(test_codecs),
        test_in_dir(test_topic_changes),   test_in_dir(test_read_only),
        test_in_dir(test_two_processes),   test_in_dir(test_fork),
        test_in_dir(test_timeouts),        test_in_dir(test_idempotent),
        test_in_dir(test_partitioner),     test_in_dir(test_descriptor),
        test_in_dir(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
