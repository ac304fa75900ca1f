/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Consuming through the public face. Damage, transactions and the finer points of positions are
 * tests/client's business.
 */
#include "api_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* Records here are of 1970: retention by time must leave them alone. */
static void make_topic_sized(struct kaja_store *store, int32_t partitions,
                             const char *segment_bytes)
{
    struct kaja_conf *conf = conf_of("retention.ms", "-1", "segment.bytes", segment_bytes, NULL);
    assert_ok(kaja_admin_create_topic(store, "topic", partitions, conf));
    kaja_conf_free(conf);
}

static void make_topic(struct kaja_store *store, int32_t partitions)
{
    make_topic_sized(store, partitions, "10000000");
}

/* Takes conf over; assigned to partitions 0 .. count-1. */
static struct kaja_consumer *open_consumer(struct kaja_store *store, int32_t count,
                                           struct kaja_conf *conf)
{
    struct kaja_consumer *consumer = NULL;
    struct kaja_topic_partition wanted[128];
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    for (int32_t i = 0; i < count; i++)
        wanted[i] = (struct kaja_topic_partition){"topic", i, 0};
    assert_ok(kaja_consumer_assign(consumer, wanted, (size_t)count));
    return consumer;
}

/* Sends records 0 .. count-1 of the topic's partition: key "key<i>", time 1000 + i. */
static void send_numbered(struct kaja_store *store, int32_t partition, int count,
                          size_t value_bytes, bool apart)
{
    struct kaja_producer *producer = NULL;
    char *value = malloc(value_bytes + 1), key[24];
    assert_non_null(value);
    memset(value, 'v', value_bytes + 1);
    assert_ok(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < count; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = "topic";
        record.partition = partition;
        record.key = key;
        record.key_bytes = (size_t)snprintf(key, sizeof key, "key%d", i);
        record.value = value;
        record.value_bytes = value_bytes;
        record.timestamp = 1000 + i;
        if (apart)
            assert_ok(kaja_producer_send(producer, &record, 20000, NULL));
        else
            assert_ok(kaja_producer_produce(producer, &record, NULL, NULL));
    }
    assert_ok(kaja_producer_close(producer, 20000));
    free(value);
}

/* Polls once and checks that the records are offsets from on, as send_numbered() made them. */
static size_t take(struct kaja_consumer *consumer, int64_t timeout_ms, int64_t from)
{
    struct kaja_batch *batch;
    struct kaja_record_view view;
    size_t count = 0;
    assert_ok(kaja_consumer_poll(consumer, timeout_ms, &batch));
    while (kaja_batch_next(batch, &view)) {
        char key[32];
        int n = snprintf(key, sizeof key, "key%lld", (long long)view.offset);
        assert_int_equal(view.offset, from + (int64_t)count);
        assert_int_equal(view.key_bytes, n);
        assert_memory_equal(view.key, key, view.key_bytes);
        assert_int_equal(view.timestamp, 1000 + view.offset);
        assert_int_equal(view.leader_epoch, 0);
        count++;
    }
    assert_int_equal(kaja_batch_count(batch), count);
    kaja_batch_release(batch);
    return count;
}

static size_t take_all(struct kaja_consumer *consumer, int64_t from)
{
    size_t sum = 0;
    for (size_t got; (got = take(consumer, 0, from + (int64_t)sum)) > 0;)
        sum += got;
    return sum;
}

static void test_positions(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    send_numbered(store, 0, 1000, 100, false);
    struct kaja_consumer *consumer = open_consumer(store, 1, NULL);
    int64_t offset, lag;
    struct kaja_topic_partition at;
    assert_int_equal(kaja_consumer_assignment(consumer, &at, 1), 1);
    assert_int_equal(at.offset, KAJA_OFFSET_NONE);
    assert_ok(kaja_consumer_position(consumer, "topic", 0, &offset)); /* latest */
    assert_int_equal(offset, 1000);
    assert_int_equal(take(consumer, 0, 0), 0);
    assert_ok(kaja_consumer_seek_to_beginning(consumer, NULL, 0));
    assert_int_equal(take(consumer, 0, 0), 500); /* max.poll.records */
    assert_ok(kaja_consumer_lag(consumer, "topic", 0, &lag));
    assert_int_equal(lag, 500);
    for (int64_t o = 997; o >= 0; o -= 83) {
        assert_ok(kaja_consumer_seek(consumer, "topic", 0, o));
        assert_int_equal(take_all(consumer, o), 1000 - o);
    }
    assert_ok(kaja_consumer_seek_to_timestamp(consumer, "topic", 0, 1000 + 321));
    assert_int_equal(take_all(consumer, 321), 1000 - 321);
    assert_ok(kaja_consumer_seek_to_timestamp(consumer, "topic", 0, 99999));
    assert_ok(kaja_consumer_position(consumer, "topic", 0, &offset));
    assert_int_equal(offset, 1000);
    assert_ok(kaja_consumer_seek_to_end(consumer, "topic", 0));
    assert_int_equal(take_all(consumer, 0), 0);
    assert_err(kaja_consumer_seek(consumer, "topic", 0, -1), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_seek(consumer, "topic", 1, 0), KAJA_ERR_STATE);
    assert_err(kaja_consumer_position(consumer, "other", 0, &offset), KAJA_ERR_STATE);
    assert_err(kaja_store_close(store), KAJA_ERR_STATE);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

static void test_reset(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_batch *batch;
    make_topic(store, 1);
    send_numbered(store, 0, 100, 10, false);
    struct kaja_consumer *consumer =
        open_consumer(store, 1, conf_of("auto.offset.reset", "earliest", NULL));
    assert_int_equal(take_all(consumer, 0), 100);
    assert_ok(kaja_consumer_seek(consumer, "topic", 0, 5000)); /* out of range */
    assert_int_equal(take_all(consumer, 0), 100);
    assert_ok(kaja_consumer_close(consumer, 20000));
    consumer = open_consumer(store, 1, conf_of("auto.offset.reset", "none", NULL));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_NO_OFFSET);
    assert_ok(kaja_consumer_seek(consumer, "topic", 0, 5000));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    assert_ok(kaja_consumer_seek(consumer, "topic", 0, 42));
    assert_int_equal(take_all(consumer, 42), 58);
    assert_ok(kaja_consumer_close(consumer, 20000));
    /* Their timestamps are of 1970. */
    consumer = open_consumer(store, 1, conf_of("auto.offset.reset", "by_duration:PT1H", NULL));
    assert_int_equal(take_all(consumer, 0), 0);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

static void test_pause(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 2);
    send_numbered(store, 0, 10, 10, false);
    struct kaja_consumer *consumer =
        open_consumer(store, 2, conf_of("auto.offset.reset", "earliest", NULL));
    assert_ok(kaja_consumer_pause(consumer, "topic", 0));
    int64_t before = now_ns();
    assert_int_equal(take(consumer, 30, 0), 0);
    assert_true(now_ns() - before >= 30000000);
    assert_ok(kaja_consumer_resume(consumer, "topic", 0));
    assert_int_equal(take(consumer, 30, 0), 10);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

/* More than 64 partitions, which is more than one sleep can watch directly. */
static void test_many_partitions(void **state)
{
    (void)state;
    enum { PARTITIONS = 70 };
    struct kaja_store *store = open_store(NULL);
    make_topic(store, PARTITIONS);
    struct kaja_producer *producer = NULL;
    assert_ok(kaja_producer_open(store, NULL, &producer));
    struct kaja_consumer *consumer =
        open_consumer(store, PARTITIONS, conf_of("auto.offset.reset", "earliest", NULL));
    bool seen[PARTITIONS] = {false};
    assert_int_equal(take(consumer, 0, 0), 0);
    for (int32_t p = 0; p < PARTITIONS; p += 9) {
        struct kaja_record record = KAJA_RECORD_INIT;
        struct kaja_metadata metadata;
        struct kaja_batch *batch;
        struct kaja_record_view view;
        record.topic = "topic";
        record.partition = p;
        assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
        assert_ok(kaja_consumer_poll(consumer, 5000, &batch));
        assert_int_equal(kaja_batch_next(batch, &view), 1);
        assert_int_equal(view.partition, p);
        assert_null(view.value);
        seen[p] = true;
        kaja_batch_release(batch);
    }
    assert_true(seen[0] && seen[63]);
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

/* --- waiting --- */

static struct kaja_consumer *to_wake;

static void *wake_soon(void *arg)
{
    sleep_ms(*(int *)arg);
    kaja_consumer_wakeup(to_wake);
    return NULL;
}

static void wake_in_handler(int signal_number)
{
    (void)signal_number;
    kaja_consumer_wakeup(to_wake);
}

static void test_wakeup(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    struct kaja_batch *batch;
    struct kaja_consumer *consumer = to_wake = open_consumer(store, 1, NULL);
    pthread_t thread;
    int ms = 30;
    int64_t before = now_ns();
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, &ms), 0);
    assert_err(kaja_consumer_poll(consumer, 20000, &batch), KAJA_ERR_INTERRUPTED);
    assert_in_range(now_ns() - before, 20000000, 5000000000);
    pthread_join(thread, NULL);
    struct sigaction action = {.sa_handler = wake_in_handler};
    struct itimerval timer = {{0, 0}, {0, 30000}};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    before = now_ns();
    assert_err(kaja_consumer_poll(consumer, 20000, &batch), KAJA_ERR_INTERRUPTED);
    assert_true(now_ns() - before < 5000000000);
    /* Before the poll, and once for several. */
    kaja_consumer_wakeup(consumer);
    kaja_consumer_wakeup(consumer);
    assert_err(kaja_consumer_poll(consumer, -1, &batch), KAJA_ERR_INTERRUPTED);
    assert_int_equal(take(consumer, 10, 0), 0);
    kaja_consumer_wakeup(NULL);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

/* A wakeup that meets a poll which waits for more than it has: that poll gives out what it has, and
 * the wakeup is the next one's. */
static void test_wakeup_of_a_gathering_poll(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    send_records(store, "topic", 0, 5, 10, false, NULL);
    struct kaja_batch *batch;
    struct kaja_consumer *consumer = to_wake =
        open_consumer(store, 1,
                      conf_of("auto.offset.reset", "earliest", "fetch.min.bytes", "1000000",
                              "fetch.max.wait.ms", "20000", NULL));
    pthread_t thread;
    int ms = 30;
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, &ms), 0);
    size_t count = 0;
    int err = kaja_consumer_poll(consumer, 20000, &batch);
    if (err == 0) { /* else the machine was so slow that the wakeup came before */
        count = kaja_batch_count(batch);
        kaja_batch_release(batch);
        assert_int_equal(count, 5);
        err = kaja_consumer_poll(consumer, 2000, &batch);
    }
    assert_err(err, KAJA_ERR_INTERRUPTED);
    pthread_join(thread, NULL);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

static double cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* Waiting costs no processor time. */
static void test_waits_idle(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++) {
        struct kaja_store *store =
            open_store(conf_of("kaja.background.threads", worker != 0 ? "1" : "0", NULL));
        struct kaja_consumer *consumer = NULL;
        if (worker == 0)
            make_topic(store, 1);
        send_numbered(store, 0, 10, 10, false);
        sleep_ms(100); /* what the worker has to do first */
        consumer = open_consumer(store, 1, NULL);
        double before = cpu_ms();
        int64_t began = now_ns();
        assert_int_equal(take(consumer, 400, 0), 0);
        assert_in_range(now_ns() - began, 400000000, 5000000000);
        double used = cpu_ms() - before;
        if (used > 40)
            fail_msg("400 ms of waiting took %.1f ms of processor time", used);
        assert_ok(kaja_consumer_close(consumer, 20000));
        assert_ok(kaja_store_close(store));
    }
}

static void *send_soon(void *arg)
{
    sleep_ms(30);
    send_numbered(arg, 0, 3, 10, true);
    return NULL;
}

static void test_wait_for_record(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_store *other = open_store(NULL);
    make_topic(store, 1);
    struct kaja_consumer *consumer =
        open_consumer(store, 1, conf_of("auto.offset.reset", "earliest", NULL));
    pthread_t thread;
    int64_t before = now_ns();
    assert_int_equal(pthread_create(&thread, NULL, send_soon, other), 0);
    size_t got = take(consumer, 20000, 0);
    assert_true(got >= 1);
    assert_in_range(now_ns() - before, 20000000, 5000000000);
    while (got < 3)
        got += take(consumer, 20000, (int64_t)got);
    pthread_join(thread, NULL);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_store_close(store));
}

static void *poll_long(void *arg)
{
    struct kaja_batch *batch;
    assert_err(kaja_consumer_poll(arg, 20000, &batch), KAJA_ERR_INTERRUPTED);
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    struct kaja_consumer *consumer = open_consumer(store, 1, NULL);
    pthread_t thread;
    struct kaja_batch *batch;
    assert_int_equal(pthread_create(&thread, NULL, poll_long, consumer), 0);
    sleep_ms(50);
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_STATE);
    assert_err(kaja_consumer_seek_to_end(consumer, NULL, 0), KAJA_ERR_STATE);
    assert_err(kaja_consumer_close(consumer, 20000), KAJA_ERR_STATE);
    kaja_consumer_wakeup(consumer);
    pthread_join(thread, NULL);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

/* --- batches that are out --- */

static void test_outlive(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic_sized(store, 1, "2000");
    send_numbered(store, 0, 145, 100, true);
    struct kaja_consumer *consumer = open_consumer(
        store, 1, conf_of("auto.offset.reset", "earliest", "max.poll.records", "7", NULL));
    struct kaja_batch *batches[20];
    for (int i = 0; i < 20; i++)
        assert_ok(kaja_consumer_poll(consumer, 0, &batches[i]));
    assert_ok(kaja_consumer_seek_to_end(consumer, NULL, 0));
    assert_int_equal(take(consumer, 0, 0), 0);
    assert_ok(kaja_consumer_close(consumer, 20000));
    /* Every segment but the last goes. */
    assert_ok(kaja_admin_delete_records(store, "topic", 0, 144, NULL));
    sleep_ms(20);
    for (int64_t i = 0; i < 20; i++)
        for (int pass = 0; pass < 2; pass++) {
            struct kaja_record_view view;
            char value[100];
            memset(value, 'v', sizeof value);
            kaja_batch_rewind(batches[i]);
            for (int64_t n = 0; n < 7; n++) {
                assert_int_equal(kaja_batch_next(batches[i], &view), 1);
                assert_int_equal(view.offset, 7 * i + n);
                assert_string_equal(view.topic, "topic");
                assert_int_equal(view.value_bytes, sizeof value);
                assert_memory_equal(view.value, value, sizeof value);
            }
            assert_int_equal(kaja_batch_next(batches[i], &view), 0);
        }
    for (int i = 0; i < 20; i++)
        kaja_batch_release(batches[i]);
    kaja_batch_release(NULL);
    assert_int_equal(kaja_batch_count(NULL), 0);
    assert_ok(kaja_store_close(store));
}

/* Batches keep the store open: with their records, with none, and after the consumer's close. */
static void test_close_with_batches(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    send_numbered(store, 0, 10, 100, true);
    struct kaja_consumer *consumer =
        open_consumer(store, 1, conf_of("auto.offset.reset", "earliest", NULL));
    struct kaja_batch *full, *empty;
    struct kaja_record_view view;
    assert_ok(kaja_consumer_poll(consumer, 1000, &full));
    assert_ok(kaja_consumer_poll(consumer, 0, &empty));
    assert_int_equal(kaja_batch_count(full), 10);
    assert_int_equal(kaja_batch_count(empty), 0);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_err(kaja_store_close(store), KAJA_ERR_STATE);
    assert_non_null(strstr(kaja_error_detail(), "2 batches of polls were not released"));
    kaja_batch_release(empty);
    assert_err(kaja_store_close(store), KAJA_ERR_STATE);
    assert_non_null(strstr(kaja_error_detail(), "1 batches of polls were not released"));
    /* Nothing happened. */
    assert_int_equal(kaja_batch_next(full, &view), 1);
    assert_memory_equal(view.key, "key0", 4);
    assert_int_equal(((const char *)view.value)[99], 'v');
    kaja_batch_release(full);
    assert_ok(kaja_store_close(store));
}

/* kaja.read.durable: a record of acks=1 is read only when something flushed it. */
static void test_read_durable(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    make_topic(store, 1);
    struct kaja_producer *soft = NULL, *hard = NULL;
    struct kaja_conf *conf = conf_of("acks", "1", NULL);
    assert_ok(kaja_producer_open(store, conf, &soft));
    kaja_conf_free(conf);
    assert_ok(kaja_producer_open(store, NULL, &hard));
    struct kaja_consumer *any =
        open_consumer(store, 1, conf_of("auto.offset.reset", "earliest", NULL));
    struct kaja_consumer *durable = open_consumer(
        store, 1, conf_of("auto.offset.reset", "earliest", "kaja.read.durable", "true", NULL));
    struct kaja_record record = KAJA_RECORD_INIT;
    struct kaja_metadata metadata;
    record.topic = "topic";
    record.partition = 0;
    record.timestamp = 1000;
    record.key = "key0";
    record.key_bytes = 4;
    assert_ok(kaja_producer_send(soft, &record, 20000, &metadata));
    assert_int_equal(take(any, 0, 0), 1);
    assert_int_equal(take(durable, 20, 0), 0);
    record.timestamp = 1001;
    record.key = "key1";
    assert_ok(kaja_producer_send(hard, &record, 20000, &metadata));
    assert_int_equal(take(durable, 5000, 0), 2);
    assert_ok(kaja_consumer_close(any, 20000));
    assert_ok(kaja_consumer_close(durable, 20000));
    assert_ok(kaja_producer_close(soft, 20000));
    assert_ok(kaja_producer_close(hard, 20000));
    assert_ok(kaja_store_close(store));
}

static void test_topic_deleted(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_store *other = open_store(NULL);
    struct kaja_batch *batch;
    make_topic(store, 1);
    send_numbered(store, 0, 10, 10, false);
    struct kaja_consumer *consumer =
        open_consumer(store, 1, conf_of("auto.offset.reset", "earliest", NULL));
    assert_int_equal(take_all(consumer, 0), 10);
    assert_ok(kaja_admin_delete_topic(other, "topic"));
    assert_err(kaja_consumer_poll(consumer, 5000, &batch), KAJA_ERR_UNKNOWN_TOPIC_ID);
    make_topic(other, 1);
    send_numbered(other, 0, 3, 10, false);
    assert_err(kaja_consumer_poll(consumer, 5000, &batch), KAJA_ERR_UNKNOWN_TOPIC_ID);
    struct kaja_topic_partition wanted = {"topic", 0, 0};
    assert_ok(kaja_consumer_assign(consumer, &wanted, 1));
    assert_int_equal(take_all(consumer, 0), 3);
    wanted.partition = 1;
    assert_err(kaja_consumer_assign(consumer, &wanted, 1), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_store_close(store));
}

/* Another process produces while this one reads. */
static void test_two_processes(void **state)
{
    (void)state;
    enum { RECORDS = 300 };
    pid_t child = fork(); /* before this process opens anything or has a thread */
    assert_true(child >= 0);
    if (child == 0) {
        struct kaja_conf *conf = conf_of("log.retention.ms", "-1", NULL);
        struct kaja_store *mine = NULL;
        struct kaja_producer *producer = NULL;
        int bad = kaja_store_open(test_dir, conf, &mine) != 0 ||
                  kaja_producer_open(mine, NULL, &producer) != 0;
        for (int i = 0; i < RECORDS && !bad; i++) {
            char key[24];
            struct kaja_record record = KAJA_RECORD_INIT;
            record.topic = "topic";
            record.partition = 0;
            record.key = key;
            record.key_bytes = (size_t)snprintf(key, sizeof key, "key%d", i);
            record.timestamp = 1000 + i;
            bad = kaja_producer_send(producer, &record, 20000, NULL) != 0;
        }
        bad = bad || kaja_producer_close(producer, 20000) != 0 || kaja_store_close(mine) != 0;
        kaja_conf_free(conf);
        if (bad)
            fprintf(stderr, "child: %s\n", kaja_error_detail());
        _exit(bad);
    }
    struct kaja_store *store = open_store(conf_of("log.retention.ms", "-1", NULL));
    struct kaja_consumer *consumer =
        open_consumer(store, 0, conf_of("auto.offset.reset", "earliest", NULL));
    struct kaja_topic_partition wanted = {"topic", 0, 0};
    int64_t began = now_ns();
    int err;
    while ((err = kaja_consumer_assign(consumer, &wanted, 1)) ==
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION &&
           now_ns() - began < 20000000000)
        sleep_ms(2); /* until the child has made it */
    assert_ok(err);
    size_t got = 0;
    while (got < RECORDS && now_ns() - began < 20000000000)
        got += take(consumer, 1000, (int64_t)got);
    assert_int_equal(got, RECORDS);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_store_close(store));
}

static void test_arguments(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_consumer *consumer = NULL;
    struct kaja_batch *batch;
    struct kaja_topic_partition bad = {NULL, 0, 0};
    assert_err(kaja_consumer_open(store, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_open(NULL, NULL, &consumer), KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_consumer_open(store, NULL, &consumer));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_STATE);
    assert_err(kaja_consumer_assign(consumer, &bad, 1), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_assign(consumer, NULL, 1), KAJA_ERR_INVALID_ARG);
    bad = (struct kaja_topic_partition){"topic", -1, 0};
    assert_err(kaja_consumer_assign(consumer, &bad, 1), KAJA_ERR_INVALID_ARG);
    bad.partition = 0;
    assert_err(kaja_consumer_assign(consumer, &bad, 1), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_consumer_close(NULL, 20000));
    assert_ok(kaja_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_positions),       test_in_dir(test_reset),
        test_in_dir(test_pause),           test_in_dir(test_many_partitions),
        test_in_dir(test_wakeup),          test_in_dir(test_waits_idle),
        test_in_dir(test_wakeup_of_a_gathering_poll),
        test_in_dir(test_wait_for_record), test_in_dir(test_two_threads),
        test_in_dir(test_outlive),         test_in_dir(test_read_durable),
        test_in_dir(test_topic_deleted),   test_in_dir(test_two_processes),
        test_in_dir(test_arguments),       test_in_dir(test_close_with_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
