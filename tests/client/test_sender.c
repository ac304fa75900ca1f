/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The whole producer over a store in memory (tests/client/fake_store.h): order, acks, retries,
 * reports, waiting, with and without a worker.
 */
#include "client/fake_store.h"

#include "client/producer.h"
#include "client/sequence.h"
#include "record/batch_reader.h"
#include "record/compress.h"

#include <poll.h>
#include <signal.h>

struct setup {
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_producer_options options;
    struct kj_producer_client *producer;
};

static void begin(struct setup *s, bool worker, int32_t partitions)
{
    memset(s, 0, sizeof *s);
    s->store = fake_store_new(worker, true);
    fake = s->store;
    s->topic = fake_topic_new(s->store, "topic", partitions);
    kj_producer_options_defaults(&s->options);
    s->options.retry_backoff_ms = 1;
    s->options.retry_backoff_max_ms = 4;
}

static void open_producer(struct setup *s)
{
    assert_ok(kj_producer_new(s->store, &s->options, &s->producer));
}

static void finish(struct setup *s)
{
    if (s->producer != NULL)
        assert_ok(kj_producer_close(s->producer, 5000));
    assert_int_equal(s->store->metrics[KJ_METRIC_PRODUCE_BUFFERED], 0);
    fake_store_free(s->store);
    fake = NULL;
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

/* Calls back for each record of a partition's log, in order. */
static int64_t walk(struct kj_log *log,
                    void (*callback)(void *arg, int64_t offset, const uint8_t *value, size_t bytes),
                    void *arg)
{
    int64_t offset = 0;
    for (size_t i = 0; i < log->count; i++) {
        struct kj_batch_reader reader;
        struct kj_record_view view;
        struct kj_buffer plain = {NULL, 0, 0};
        assert_int_equal(log->batches[i].base_offset, offset);
        assert_ok(kj_batch_reader_init(&reader, log->batches[i].bytes, log->batches[i].len, &plain,
                                       1 << 24));
        while (kj_batch_reader_next(&reader, &view) == 1) {
            if (callback != NULL)
                callback(arg, offset, view.value, view.value_bytes);
            offset++;
        }
        kj_buffer_free(&plain);
    }
    return offset;
}

/* --- reports --- */

struct seen {
    int64_t next_offset[FAKE_PARTITIONS];
    uint64_t count, failed;
    int error;
    pthread_t thread;
};

static void note(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct seen *seen = arg;
    seen->count++;
    if (error != 0) {
        seen->failed++;
        seen->error = error;
        assert_int_equal(metadata->offset, -1);
        assert_int_equal(metadata->timestamp, -1);
        return;
    }
    assert_string_equal(metadata->topic, "topic");
    assert_true(metadata->timestamp > 0);
    if (metadata->offset >= 0) {
        assert_int_equal(metadata->offset, seen->next_offset[metadata->partition]);
        seen->next_offset[metadata->partition]++;
    }
    seen->thread = pthread_self();
}

static void only_count(void *arg, int error, const struct kaja_metadata *metadata)
{
    uint64_t *count = arg;
    (void)metadata;
    assert_int_equal(error, 0);
    ++*count;
}

static void check_number(void *arg, int64_t offset, const uint8_t *value, size_t bytes)
{
    (void)arg;
    int64_t number;
    assert_int_equal(bytes, sizeof number);
    memcpy(&number, value, sizeof number);
    assert_int_equal(number, offset);
}

/* Many records, all acks, with a worker and without: each arrives once, in order, and is reported.
 */
static void all_arrive(bool worker, int acks, int codec)
{
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, worker, 4);
    s.options.acks = acks;
    s.options.codec = codec;
    open_producer(&s);
    enum { PER_PARTITION = 5000 };
    for (int64_t i = 0; i < PER_PARTITION; i++)
        for (int32_t p = 0; p < 4; p++) {
            struct kaja_record record = record_of(p, &i, sizeof i);
            assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        }
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.count, 4 * PER_PARTITION);
    assert_int_equal(seen.failed, 0);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    for (int32_t p = 0; p < 4; p++) {
        struct kj_log *log = &s.topic->partitions[p].log;
        assert_int_equal(walk(log, check_number, NULL), PER_PARTITION);
        if (acks == KJ_ACKS_ALL)
            assert_int_equal(log->durable, PER_PARTITION);
        assert_int_equal(log->batches[0].durable, acks == KJ_ACKS_ALL);
        assert_int_equal(seen.next_offset[p], acks != 0 ? PER_PARTITION : 0); /* -1 with acks=0 */
    }
    finish(&s);
}

static void test_all_arrive(void **state)
{
    (void)state;
    for (int acks = KJ_ACKS_ALL; acks <= 1; acks++) {
        all_arrive(true, acks, KJ_CODEC_NONE);
        all_arrive(false, acks, KJ_CODEC_NONE);
    }
}

static void test_codecs(void **state)
{
    (void)state;
    for (int codec = 0; codec < KJ_CODEC_COUNT; codec++)
        if (kj_codec_built((enum kj_codec)codec))
            all_arrive(true, KJ_ACKS_ALL, codec);
}

/* Nothing is flushed, polled or closed: the worker delivers a lone record by itself. */
static void test_worker_delivers(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, true, 1);
    open_producer(&s);
    for (int i = 0; i < 5; i++) {
        struct kaja_record record = record_of(0, "x", 1);
        size_t served = 0;
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        assert_ok(kj_producer_poll(s.producer, 2000, &served));
        assert_int_equal(served, 1);
        fake_sleep_us(1000); /* lets it fall asleep */
    }
    assert_int_equal(seen.count, 5);
    finish(&s);
}

/* linger.ms keeps an open batch; flush does not wait for it. */
static void test_linger(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    size_t served;
    begin(&s, true, 1);
    s.options.linger_ms = 600;
    open_producer(&s);
    struct kaja_record record = record_of(0, "x", 1);
    int64_t before = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    fake_sleep_us(5000);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_ok(kj_producer_poll(s.producer, 3000, &served));
    assert_true(kj_mono_ns(&kj_clock_system) - before >= 600000000);
    assert_int_equal(served, 2);
    assert_int_equal(s.topic->partitions[0].log.count, 1);
    before = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_ok(kj_producer_flush(s.producer, 3000));
    assert_true(kj_mono_ns(&kj_clock_system) - before < 600000000);
    finish(&s);
}

/* --- send --- */

static void test_send(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++)
        for (int acks = KJ_ACKS_ALL; acks <= 1; acks++) {
            struct setup s;
            begin(&s, worker != 0, 1);
            s.options.acks = acks;
            open_producer(&s);
            for (int64_t i = 0; i < 20; i++) {
                struct kaja_metadata metadata;
                struct kaja_record record = record_of(0, &i, sizeof i);
                record.timestamp = 1000 + i;
                assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
                assert_null(metadata.topic);
                assert_int_equal(metadata.partition, 0);
                assert_int_equal(metadata.offset, acks == 0 ? -1 : i);
                assert_int_equal(metadata.timestamp, 1000 + i);
            }
            if (acks == KJ_ACKS_ALL) {
                /* In the caller's own thread: one append and one flush each, nobody was woken. */
                assert_int_equal(s.store->flushes, 20);
                assert_int_equal(s.store->pokes, 0);
                assert_int_equal(s.topic->partitions[0].log.appends, 20);
            }
            finish(&s);
        }
}

struct sending {
    struct setup *s;
    int number;
    int count;
};

static void *send_many(void *arg)
{
    struct sending *sending = arg;
    for (int i = 0; i < sending->count; i++) {
        struct kaja_metadata metadata;
        struct kaja_record record = record_of(0, &i, sizeof i);
        assert_ok(kj_producer_send(sending->s->producer, &record, 20000, &metadata));
        assert_true(metadata.offset >= 0);
        assert_true(sending->s->topic->partitions[0].log.durable > (uint64_t)metadata.offset);
    }
    return NULL;
}

/* Many waiting senders share flushes: far fewer than one a record. */
static void test_send_shares_flushes(void **state)
{
    (void)state;
    enum { THREADS = 16, EACH = 25 };
    for (int worker = 0; worker < 2; worker++) {
        struct setup s;
        pthread_t threads[THREADS];
        struct sending sending[THREADS];
        begin(&s, worker != 0, 1);
        s.store->flush_us = 500;
        open_producer(&s);
        for (int i = 0; i < THREADS; i++) {
            sending[i] = (struct sending){&s, i, EACH};
            assert_int_equal(pthread_create(&threads[i], NULL, send_many, &sending[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(walk(&s.topic->partitions[0].log, NULL, NULL), THREADS * EACH);
        assert_in_range(s.store->flushes, EACH, THREADS * EACH / 3);
        finish(&s);
    }
}

static void test_send_timeout(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true, 1);
    s.options.retry_backoff_ms = 20;
    s.options.retry_backoff_max_ms = 20;
    open_producer(&s);
    struct kaja_metadata metadata = {NULL, 77, 77, 77};
    struct kaja_record record = record_of(0, "x", 1);
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    s.store->append_error_left = 1000000;
    int64_t before = kj_mono_ns(&kj_clock_system);
    assert_err(kj_producer_send(s.producer, &record, 50, &metadata), KAJA_ERR_TIMED_OUT);
    int64_t took = kj_mono_ns(&kj_clock_system) - before;
    assert_in_range(took, 50000000, 1000000000);
    assert_int_equal(metadata.partition, 77); /* untouched */
    /* It is still on its way, and arrives once there is room. */
    s.store->append_error_left = 0;
    for (int i = 0; i < 500 && s.topic->partitions[0].log.durable == 0; i++)
        fake_sleep_us(10000);
    assert_int_equal(s.topic->partitions[0].log.durable, 1);
    assert_err(kj_producer_send(s.producer, &record, 0, &metadata),
               KAJA_ERR_TIMED_OUT); /* does not wait */
    finish(&s);
}

static void *send_one(void *arg)
{
    struct setup *s = arg;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(
        kj_producer_send(s->producer, &record, 20000, &(struct kaja_metadata){NULL, 0, 0, 0}));
    return NULL;
}

/* A send gives up while another's flush runs: its record is taken along by the worker. */
static void test_send_gives_up(void **state)
{
    (void)state;
    struct setup s;
    pthread_t thread;
    struct kaja_metadata metadata;
    begin(&s, true, 1);
    s.store->flush_us = 1000000; /* far longer than a loaded machine takes to get here */
    open_producer(&s);
    assert_int_equal(pthread_create(&thread, NULL, send_one, &s), 0);
    fake_sleep_us(200000);
    struct kaja_record record = record_of(0, "y", 1);
    assert_err(kj_producer_send(s.producer, &record, 10, &metadata), KAJA_ERR_TIMED_OUT);
    pthread_join(thread, NULL);
    for (int i = 0; i < 300 && s.topic->partitions[0].log.durable < 2; i++)
        fake_sleep_us(10000);
    assert_int_equal(s.topic->partitions[0].log.durable, 2);
    finish(&s);
}

/* --- order --- */

enum { ORDER_THREADS = 4, ORDER_EACH = 20000 };

struct numbered {
    int32_t thread;
    int32_t number;
};

static void *produce_numbered(void *arg)
{
    struct sending *sending = arg;
    for (int32_t i = 0; i < sending->count; i++) {
        struct numbered value = {sending->number, i};
        struct kaja_record record = record_of(KAJA_PARTITION_ANY, &value, sizeof value);
        record.key = &sending->number;
        record.key_bytes = sizeof sending->number;
        assert_ok(kj_producer_produce(sending->s->producer, &record, NULL, NULL));
    }
    return NULL;
}

static void check_numbered(void *arg, int64_t offset, const uint8_t *value, size_t bytes)
{
    int32_t *next = arg;
    struct numbered numbered;
    (void)offset;
    assert_int_equal(bytes, sizeof numbered);
    memcpy(&numbered, value, sizeof numbered);
    assert_int_equal(numbered.number, next[numbered.thread]++);
}

/* Each thread's records of a key keep their order, whatever fails on the way. */
static void test_order(void **state)
{
    (void)state;
    struct setup s;
    pthread_t threads[ORDER_THREADS];
    struct sending sending[ORDER_THREADS];
    int32_t next[ORDER_THREADS] = {0};
    begin(&s, true, 3);
    s.options.batch_bytes = 600;
    s.options.buffer_bytes = 60000;
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    open_producer(&s);
    for (int i = 0; i < ORDER_THREADS; i++) {
        sending[i] = (struct sending){&s, i, ORDER_EACH};
        assert_int_equal(pthread_create(&threads[i], NULL, produce_numbered, &sending[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        s.store->append_error_left = 2;
        fake_sleep_us(2000);
    }
    for (int i = 0; i < ORDER_THREADS; i++)
        pthread_join(threads[i], NULL);
    s.store->append_error_left = 0;
    assert_ok(kj_producer_flush(s.producer, 10000));
    for (int32_t p = 0; p < 3; p++)
        walk(&s.topic->partitions[p].log, check_numbered, next);
    for (int i = 0; i < ORDER_THREADS; i++)
        assert_int_equal(next[i], ORDER_EACH);
    finish(&s);
}

/* --- failures --- */

static void test_retry(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, true, 1);
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_LOCK_TIMED_OUT;
    s.store->append_error_left = 5;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.failed, 0);
    assert_int_equal(s.store->append_error_left, 0);
    finish(&s);
}

static void expect_detail(void *arg, int error, const struct kaja_metadata *metadata)
{
    note(arg, error, metadata);
    assert_non_null(strstr(kaja_error_detail(), "as the test wanted"));
}

static void test_final_error(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    struct kaja_metadata metadata;
    begin(&s, true, 1);
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_POISONED;
    s.store->append_error_left = 1;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kj_producer_produce(s.producer, &record, expect_detail, &seen));
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.error, KAJA_ERR_POISONED);
    s.store->append_error_left = 1;
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_POISONED);
    assert_non_null(strstr(kaja_error_detail(), "as the test wanted"));
    /* Only those: the next record goes through. */
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.offset, 0);
    finish(&s);
}

/* --- wakeups --- */

struct sleeper {
    struct setup *s;
    int (*call)(struct setup *s);
    kj_atomic_u64 begun;
    int err;
    int64_t ended_ns;
};

static void *run_sleeper(void *arg)
{
    struct sleeper *sleeper = arg;
    kj_store_release(&sleeper->begun, 1);
    sleeper->err = sleeper->call(sleeper->s);
    sleeper->ended_ns = kj_mono_ns(&kj_clock_system);
    return NULL;
}

static int call_poll(struct setup *s)
{
    size_t count = 7;
    int err = kj_producer_poll(s->producer, 60000, &count);
    return count == 0 ? err : -1;
}

static int call_flush(struct setup *s)
{
    return kj_producer_flush(s->producer, 60000);
}

static int call_send(struct setup *s)
{
    struct kaja_metadata metadata;
    struct kaja_record record = record_of(0, "x", 1);
    return kj_producer_send(s->producer, &record, 60000, &metadata);
}

static int call_produce(struct setup *s)
{
    char value[900] = {0};
    struct kaja_record record = record_of(0, value, sizeof value);
    int err = 0;
    for (int i = 0; i < 100 && err == 0; i++)
        err = kj_producer_produce(s->producer, &record, NULL, NULL);
    return err;
}

static struct kj_producer_client *woken_by_signal;

static void wake_on_signal(int number)
{
    (void)number;
    kj_producer_wakeup(woken_by_signal);
}

/* Two threads in each of the calls that wait, with the log refusing everything for a minute: one
 * wakeup, out of a signal handler, ends both, and no call after them. */
static void test_wakeup(void **state)
{
    (void)state;
    static int (*const calls[])(struct setup * s) = {call_poll, call_flush, call_send,
                                                     call_produce};
    for (size_t i = 0; i < 2 * sizeof calls / sizeof calls[0]; i++) {
        struct setup s;
        struct sleeper sleepers[2];
        pthread_t threads[2];
        begin(&s, i % 2 != 0, 1);
        s.options.retry_backoff_ms = s.options.retry_backoff_max_ms = 60000;
        s.options.batch_bytes = 1000;
        s.options.buffer_bytes = 8000;
        open_producer(&s);
        s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
        s.store->append_error_left = 1000000;
        struct kaja_record record = record_of(0, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
        for (int t = 0; t < 2; t++) {
            sleepers[t] = (struct sleeper){.s = &s, .call = calls[i / 2]};
            assert_int_equal(pthread_create(&threads[t], NULL, run_sleeper, &sleepers[t]), 0);
        }
        for (int t = 0; t < 2; t++)
            while (kj_load_acquire(&sleepers[t].begun) == 0)
                fake_sleep_us(1000);
        fake_sleep_us(50000);
        woken_by_signal = s.producer;
        signal(SIGUSR1, wake_on_signal);
        int64_t woken_ns = kj_mono_ns(&kj_clock_system);
        assert_int_equal(raise(SIGUSR1), 0);
        for (int t = 0; t < 2; t++) {
            pthread_join(threads[t], NULL);
            assert_int_equal(sleepers[t].err, KAJA_ERR_INTERRUPTED);
            assert_true(sleepers[t].ended_ns >= woken_ns);
            assert_true(sleepers[t].ended_ns < woken_ns + 5000000000);
        }
        assert_ok(kj_producer_poll(s.producer, 10, NULL));
        /* With nobody waiting: the next one that would, once. */
        kj_producer_wakeup(s.producer);
        kj_producer_wakeup(s.producer);
        assert_ok(kj_producer_poll(s.producer, 0, NULL));
        assert_err(call_poll(&s), KAJA_ERR_INTERRUPTED);
        assert_ok(kj_producer_poll(s.producer, 10, NULL));
        assert_int_equal(kj_producer_close(s.producer, 0), KAJA_ERR_TIMED_OUT);
        s.producer = NULL;
        finish(&s);
    }
    signal(SIGUSR1, SIG_DFL);
}

static bool readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1;
}

static void test_descriptor(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    int fd = -1, again = -1;
    begin(&s, true, 2);
    open_producer(&s);
    assert_ok(kj_producer_descriptor(s.producer, &fd));
    assert_false(readable(fd));
    for (int round = 0; round < 3; round++) {
        for (int32_t i = 0; i < 2; i++) {
            struct kaja_record record = record_of(i, "x", 1);
            assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        }
        struct pollfd wanted = {.fd = fd, .events = POLLIN};
        while (seen.count < 2 * (uint64_t)(round + 1)) {
            assert_int_equal(poll(&wanted, 1, 20000), 1);
            assert_true(readable(fd)); /* as long as nobody polls */
            assert_ok(kj_producer_poll(s.producer, 0, NULL));
        }
        assert_false(readable(fd));
    }
    assert_ok(kj_producer_descriptor(s.producer, &again));
    assert_int_equal(again, fd);
    finish(&s);
    /* Asked for when reports wait already. */
    seen = (struct seen){.count = 0};
    begin(&s, true, 1);
    open_producer(&s);
    struct kaja_record record = record_of(0, "x", 1);
    struct kaja_metadata metadata;
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_ok(kj_producer_send(s.producer, &record, 20000, &metadata)); /* it is before this one */
    assert_ok(kj_producer_descriptor(s.producer, &fd));
    assert_true(readable(fd));
    finish(&s);
}

/* --- partitioners --- */

struct chooser {
    int32_t answer;
    int calls;
};

static int32_t choose(void *arg, const struct kaja_record *record, int32_t partition_count)
{
    struct chooser *chooser = arg;
    assert_string_equal(record->topic, "topic");
    assert_int_equal(record->partition, KAJA_PARTITION_ANY);
    assert_int_equal(partition_count, 3);
    chooser->calls++;
    return chooser->answer;
}

static void test_own_partitioner(void **state)
{
    (void)state;
    struct setup s;
    struct chooser chooser = {.answer = 2};
    struct kaja_metadata metadata;
    begin(&s, false, 3);
    open_producer(&s);
    assert_ok(kj_producer_set_partitioner(s.producer, choose, &chooser));
    struct kaja_record record = record_of(KAJA_PARTITION_ANY, "x", 1);
    for (int i = 0; i < 5; i++)
        assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.partition, 2);
    assert_int_equal(metadata.offset, 4);
    assert_int_equal(chooser.calls, 5);
    for (int i = 0; i < 5000; i++) /* many batches: asked once for each record all the same */
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    assert_int_equal(chooser.calls, 5005);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(s.topic->partitions[2].log.end, 5005);
    record.partition = 1; /* it names one itself */
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(chooser.calls, 5005);
    record.partition = KAJA_PARTITION_ANY;
    chooser.answer = 3;
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL), KAJA_ERR_UNKNOWN_PARTITION);
    chooser.answer = -2;
    assert_err(kj_producer_send(s.producer, &record, 0, &metadata), KAJA_ERR_UNKNOWN_PARTITION);
    chooser.answer = KAJA_PARTITION_ANY;
    record.key = "key";
    record.key_bytes = 3;
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.partition, kj_partition_for_key("key", 3, 3));
    assert_err(kj_producer_set_partitioner(s.producer, NULL, NULL), KAJA_ERR_STATE);
    finish(&s);
}

static void test_round_robin(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, false, 3);
    s.options.partitioner = KJ_PARTITIONER_ROUND_ROBIN;
    s.options.batch_bytes = 1000;
    open_producer(&s);
    struct kaja_record record = record_of(KAJA_PARTITION_ANY, "x", 1);
    record.key = "key";
    record.key_bytes = 3;
    for (int i = 0; i < 9000; i++) /* also where a batch is full, none is left out */
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    assert_ok(kj_producer_flush(s.producer, 5000));
    for (int32_t p = 0; p < 3; p++)
        assert_int_equal(s.topic->partitions[p].log.end, 3000);
    finish(&s);
}

/* --- numbers of an idempotent producer --- */

static const struct fake_batch *batch_of(const struct setup *s, size_t i, struct kj_batch *ret)
{
    const struct kj_log *log = &s->topic->partitions[0].log;
    assert_true(i < log->count);
    kj_batch_decode(log->batches[i].bytes, ret);
    return &log->batches[i];
}

/* A batch each: with the fake holding the first append, all others go down in the next. */
static void produce_batches(struct setup *s, int64_t first, int count, struct seen *seen)
{
    for (int64_t i = first; i < first + count; i++) {
        struct kaja_record record = record_of(0, &i, sizeof i);
        assert_ok(kj_producer_produce(s->producer, &record, seen != NULL ? note : NULL, seen));
    }
}

static void test_numbers(void **state)
{
    (void)state;
    struct setup s;
    struct kj_batch batch;
    begin(&s, false, 1);
    s.options.batch_bytes = 0;
    open_producer(&s);
    produce_batches(&s, 0, 3, NULL);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(s.topic->partitions[0].log.count, 3);
    int64_t id = 0;
    for (int i = 0; i < 3; i++) {
        (void)batch_of(&s, (size_t)i, &batch);
        assert_true(batch.producer_id >= 0 && batch.producer_id < INT64_C(1) << 62);
        assert_true(i == 0 || batch.producer_id == id);
        id = batch.producer_id;
        assert_int_equal(batch.producer_epoch, 0);
        assert_int_equal(batch.base_sequence, i);
    }
    assert_ok(kj_producer_close(s.producer, 5000));
    assert_int_equal(s.topic->partitions[0].log.forgotten, id);
    /* Each producer has an id of its own, and none without acks=all. */
    open_producer(&s);
    produce_batches(&s, 3, 1, NULL);
    assert_ok(kj_producer_close(s.producer, 5000));
    (void)batch_of(&s, 3, &batch);
    assert_true(batch.producer_id >= 0 && batch.producer_id != id);
    assert_int_equal(batch.base_sequence, 0);
    s.options.acks = 1;
    open_producer(&s);
    produce_batches(&s, 4, 1, NULL);
    assert_ok(kj_producer_flush(s.producer, 5000));
    (void)batch_of(&s, 4, &batch);
    assert_int_equal(batch.producer_id, -1);
    assert_int_equal(batch.producer_epoch, -1);
    assert_int_equal(batch.base_sequence, -1);
    finish(&s);
}

/* An attempt that may be repeated keeps the numbers, and the order. */
static void test_numbers_of_a_retry(void **state)
{
    (void)state;
    struct setup s;
    struct kj_batch batch;
    struct seen seen = {.count = 0};
    begin(&s, false, 1);
    s.options.batch_bytes = 0;
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    s.store->append_error_left = 3;
    produce_batches(&s, 0, 40, &seen);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(s.store->append_error_left, 0);
    assert_int_equal(seen.failed, 0);
    assert_int_equal(walk(&s.topic->partitions[0].log, check_number, NULL), 40);
    for (int i = 0; i < 40; i++) {
        (void)batch_of(&s, (size_t)i, &batch);
        assert_int_equal(batch.producer_epoch, 0);
        assert_int_equal(batch.base_sequence, i);
    }
    finish(&s);
}

/* One that fails for good leaves a gap: those behind it go on in the next epoch, in order. */
static void test_numbers_behind_a_gap(void **state)
{
    (void)state;
    struct setup s;
    struct kj_batch batch;
    struct seen seen = {.count = 0};
    begin(&s, false, 1);
    s.options.batch_bytes = 0;
    s.options.retry_backoff_ms = s.options.retry_backoff_max_ms = 60000; /* nothing may wait */
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_RECORD_TOO_LARGE;
    s.store->reject_at = 3;
    produce_batches(&s, 0, 40, &seen);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(s.store->reject_at, 0);
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.error, KAJA_ERR_RECORD_TOO_LARGE);
    assert_int_equal(seen.count, 40);
    assert_int_equal(s.topic->partitions[0].log.count, 39);
    bool next_epoch = false;
    int64_t before = -1;
    for (int i = 0; i < 39; i++) {
        int64_t number;
        struct kj_batch_reader reader;
        struct kj_record_view view;
        struct kj_buffer plain = {NULL, 0, 0};
        const struct fake_batch *stored = batch_of(&s, (size_t)i, &batch);
        assert_ok(kj_batch_reader_init(&reader, stored->bytes, stored->len, &plain, 1 << 20));
        assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
        memcpy(&number, view.value, sizeof number);
        if (number != before + 1 && !next_epoch) {
            next_epoch = true;
            assert_int_equal(number, before + 2); /* the one that failed */
            assert_int_equal(batch.base_sequence, 0);
        } else {
            assert_int_equal(number, before + 1);
        }
        assert_int_equal(batch.producer_epoch, next_epoch ? 1 : 0);
        before = number;
    }
    assert_true(next_epoch);
    finish(&s);
}

/* A log that expects other numbers than ours has nothing of the batch: it goes there anew. */
static void test_numbers_refused(void **state)
{
    (void)state;
    struct setup s;
    struct kj_batch batch;
    struct seen seen = {.count = 0};
    begin(&s, false, 1);
    s.options.batch_bytes = 0;
    open_producer(&s);
    produce_batches(&s, 0, 3, &seen);
    assert_ok(kj_producer_flush(s.producer, 5000));
    s.topic->partitions[0].log.next_sequence = 77;
    produce_batches(&s, 3, 30, &seen);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.failed, 0);
    assert_int_equal(walk(&s.topic->partitions[0].log, check_number, NULL), 33);
    (void)batch_of(&s, 3, &batch);
    assert_int_equal(batch.producer_epoch, 1);
    assert_int_equal(batch.base_sequence, 0);
    finish(&s);
}

/* What had its number and makes room for others leaves a gap too. */
static void test_numbers_behind_a_dropped(void **state)
{
    (void)state;
    struct setup s;
    struct kj_batch batch;
    begin(&s, false, 1);
    s.options.batch_bytes = 1000;
    s.options.buffer_bytes = 8000;
    s.options.buffer_full = KJ_BUFFER_FULL_DROP_OLDEST;
    s.options.max_block_ms = 0;
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    s.store->append_error_left = 1000000;
    char value[600] = {0};
    struct kaja_record record = record_of(0, value, sizeof value);
    for (int i = 0; i < 50; i++) {
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
        assert_ok(kj_producer_poll(s.producer, 0, NULL)); /* an attempt */
    }
    s.store->append_error_left = 0;
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_in_range(s.topic->partitions[0].log.count, 4, 8);
    (void)batch_of(&s, 0, &batch);
    assert_true(batch.producer_epoch > 0);
    assert_int_equal(batch.base_sequence, 0);
    finish(&s);
}

static void test_epochs_run_out(void **state)
{
    (void)state;
    struct kj_sequence sequence = {.producer_id = 5, .epoch = INT16_MAX - 1, .next = INT32_MAX - 1};
    struct kj_sequence of = KJ_SEQUENCE_NONE;
    kj_sequence_take(&sequence, 5, &of);
    assert_int_equal(of.next, INT32_MAX - 1);
    assert_int_equal(sequence.next, 3); /* ... 2^31 - 2, 2^31 - 1, 0, 1, 2 */
    kj_sequence_take(&sequence, 5, &of); /* it has its number */
    assert_int_equal(sequence.next, 3);
    kj_sequence_restart(&sequence, &kj_clock_system);
    assert_int_equal(sequence.producer_id, 5);
    assert_int_equal(sequence.epoch, INT16_MAX);
    assert_int_equal(sequence.next, 0);
    kj_sequence_restart(&sequence, &kj_clock_system);
    assert_true(sequence.producer_id != 5 && sequence.producer_id >= 0);
    assert_int_equal(sequence.epoch, 0);
}

static void test_delivery_timeout(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++) {
        struct setup s;
        struct seen seen = {.count = 0};
        begin(&s, worker != 0, 1);
        s.options.delivery_timeout_ms = 200;
        open_producer(&s);
        s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
        s.store->append_error_left = 1000000;
        struct kaja_record record = record_of(0, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, expect_detail, &seen));
        assert_ok(kj_producer_flush(s.producer, 5000));
        assert_int_equal(seen.failed, 1);
        assert_int_equal(seen.error, KAJA_ERR_MSG_TIMED_OUT);
        assert_true(s.store->append_error_left < 1000000 - 1); /* it was tried again */
        finish(&s);
    }
}

/* Retries are counted for each batch: one that used them up leaves the next ones theirs. */
static void test_retries(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, false, 1);
    s.options.retries = 2;
    s.options.acks = 1;
    open_producer(&s);
    struct kaja_record record = record_of(0, "x", 1);
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    static const struct {
        uint64_t failures;
        uint64_t failed;
    } rounds[] = {{2, 0}, {3, 1}, {2, 0}, {1000, 1}};
    uint64_t failed = 0;
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        s.store->append_error_left = rounds[i].failures;
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        assert_ok(kj_producer_flush(s.producer, 5000));
        failed += rounds[i].failed;
        assert_int_equal(seen.count, i + 1);
        assert_int_equal(seen.failed, failed);
        assert_int_equal(s.store->append_error_left, i < 3 ? 0 : 1000 - 3);
    }
    assert_int_equal(seen.error, KAJA_ERR_DISK_FULL);
    assert_int_equal(s.store->metrics[KJ_METRIC_PRODUCE_RETRIES], 8);
    assert_int_equal(s.store->metrics[KJ_METRIC_PRODUCE_FAILED], 2);
    finish(&s);
}

static void wait_for_reports(struct setup *s, const struct seen *seen, uint64_t count,
                             int64_t deadline_ns)
{
    while (seen->count < count && kj_mono_ns(&kj_clock_system) < deadline_ns)
        assert_ok(kj_producer_poll(s->producer, 5, NULL));
}

/* A process that was stopped in the middle of an append holds up its partition, and not the worker:
 * what is for others goes on. It is no failure before the lock's timeout is over. */
static void test_busy_partition(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++) {
        struct setup s;
        struct seen seen = {.count = 0}, others = {.count = 0};
        begin(&s, worker == 1, 2);
        s.options.retries = 0;
        s.options.acks = 1;
        s.options.batch_bytes = 100; /* most are closed by the produce() of the next */
        open_producer(&s);
        struct kaja_record record = record_of(0, "x", 1), other = record_of(1, "y", 1);
        kj_store_release(&s.store->busy, 1);
        int64_t began_ns = kj_mono_ns(&kj_clock_system);
        for (int i = 0; i < 20; i++)
            assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        for (int i = 0; i < 20; i++)
            assert_ok(kj_producer_produce(s.producer, &other, note, &others));
        wait_for_reports(&s, &others, 20, began_ns + FAKE_LOCK_TIMEOUT_NS / 2);
        assert_int_equal(others.count, 20);
        assert_int_equal(seen.count, 0);
        assert_true(s.store->busy_appends > 0 && s.store->busy_appends < 10); /* looks, no loop */
        kj_store_release(&s.store->busy, 0);
        wait_for_reports(&s, &seen, 20, began_ns + 10000000000);
        assert_int_equal(seen.count, 20);
        assert_int_equal(seen.failed, 0);
        assert_int_equal(s.store->metrics[KJ_METRIC_PRODUCE_RETRIES], 0);

        kj_store_release(&s.store->busy, 1);
        began_ns = kj_mono_ns(&kj_clock_system);
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        wait_for_reports(&s, &seen, 21, began_ns + 10000000000);
        assert_int_equal(seen.failed, 1);
        assert_int_equal(seen.error, KAJA_ERR_LOCK_TIMED_OUT);
        assert_true(kj_mono_ns(&kj_clock_system) - began_ns >= FAKE_LOCK_TIMEOUT_NS);
        kj_store_release(&s.store->busy, 0);
        finish(&s);
    }
}

/* A worker with a long queue before it stops between two appends for what they leave to be done, room
 * for the next ones above all, and comes back at once; and when its time is up, as there is housekeeping. */
static void test_work_between_appends(void **state)
{
    (void)state;
    enum { RECORDS = 200, MANY = 1600 };
    for (int leaves = 0; leaves < 2; leaves++) {
        struct setup s;
        struct seen seen = {.count = 0};
        uint64_t records = leaves ? RECORDS : MANY;
        begin(&s, true, 1);
        s.options.acks = 1;
        s.options.batch_bytes = 100; /* a record each */
        open_producer(&s);
        struct kj_log *log = &s.topic->partitions[0].log;
        struct kaja_record record = record_of(0, "xxxxxxxxxxxxxxxxxxxx", 20);
        s.store->leaves_work = leaves != 0;
        s.store->append_us = leaves ? 0 : 500;
        kj_store_release(&s.store->hold, 1);
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        while (kj_load_acquire(&log->inside) == 0) /* the worker is; so it is the one that appends */
            fake_sleep_us(100);
        for (uint64_t i = 1; i < records; i++)
            assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
        kj_store_release(&s.store->hold, 0);
        wait_for_reports(&s, &seen, records, kj_mono_ns(&kj_clock_system) + 20000000000);
        assert_int_equal(seen.count, records);
        assert_true(log->appends > 2);
        /* This thread may append too, while it polls. */
        assert_in_range(s.store->work_most, 1, leaves ? 3 : 40);
        finish(&s);
    }
}

/* A wait between two tries does not outlast delivery.timeout.ms. */
static void test_delivery_timeout_cuts_backoff(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, true, 1);
    s.options.delivery_timeout_ms = 50;
    s.options.retry_backoff_ms = s.options.retry_backoff_max_ms = 60000;
    open_producer(&s);
    s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
    s.store->append_error_left = 1000000;
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.error, KAJA_ERR_MSG_TIMED_OUT);
    assert_int_equal(s.store->append_error_left, 1000000 - 2);
    finish(&s);
}

static void test_flush_fails(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    struct kaja_metadata metadata;
    begin(&s, true, 2);
    open_producer(&s);
    struct kaja_record record = record_of(0, "x", 1);
    /* Once it could not be done: tried again. */
    s.store->flush_error = (uint64_t)-KAJA_ERR_LOCK_TIMED_OUT;
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    assert_err(kj_producer_flush(s.producer, 30), KAJA_ERR_TIMED_OUT);
    s.store->flush_error = 0;
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.failed, 0);
    /* Failed: the bytes may be lost. */
    s.store->flush_error = (uint64_t)-KAJA_ERR_POISONED;
    record.partition = 1;
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_POISONED);
    s.store->flush_error = 0;
    record.partition = 0; /* the other partition goes on */
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    finish(&s);
}

static void test_close_with_pending(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, true, 2);
    s.options.linger_ms = 10000;
    open_producer(&s);
    for (int i = 0; i < 1000; i++) {
        struct kaja_record record = record_of(i % 2, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    }
    assert_int_equal(seen.count, 0);
    assert_err(kj_producer_close(s.producer, 0), KAJA_ERR_TIMED_OUT);
    s.producer = NULL;
    assert_int_equal(seen.count, 1000);
    assert_int_equal(seen.failed, 1000);
    assert_int_equal(seen.error, KAJA_ERR_DESTROYED);
    finish(&s);
}

static void test_close_flushes(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    begin(&s, false, 2);
    open_producer(&s);
    for (int i = 0; i < 1000; i++) {
        struct kaja_record record = record_of(i % 2, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    }
    assert_ok(kj_producer_close(s.producer, 5000));
    s.producer = NULL;
    assert_int_equal(seen.count, 1000);
    assert_int_equal(seen.failed, 0);
    assert_int_equal(s.topic->partitions[0].log.durable, 500);
    finish(&s);
}

/* --- buffer.memory --- */

static void *let_go(void *arg)
{
    struct kj_store *store = arg;
    fake_sleep_us(30000);
    kj_store_release(&store->hold, 0);
    return NULL;
}

static void test_buffer_full(void **state)
{
    (void)state;
    static const int errors[] = {KAJA_ERR_BUFFER_EXHAUSTED, KAJA_ERR_QUEUE_FULL, 0};
    for (int mode = KJ_BUFFER_FULL_BLOCK; mode <= KJ_BUFFER_FULL_DROP_OLDEST; mode++) {
        struct setup s;
        struct seen seen = {.count = 0};
        begin(&s, true, 2);
        s.options.batch_bytes = 1024;
        s.options.buffer_bytes = 8192;
        s.options.max_block_ms = 20;
        s.options.linger_ms = 100000; /* only full batches move: the worker stays out of it */
        s.options.buffer_full = (enum kj_buffer_full)mode;
        open_producer(&s);
        char value[800] = {0};
        struct kaja_record record = record_of(0, value, sizeof value);
        int err = 0, taken = 0;
        s.store->append_error = (uint64_t)-KAJA_ERR_DISK_FULL;
        s.store->append_error_left = 1000000000;
        while (err == 0 && taken < 50)
            if ((err = kj_producer_produce(s.producer, &record, note, &seen)) == 0)
                taken++;
        assert_int_equal(err, errors[mode]);
        if (mode == KJ_BUFFER_FULL_DROP_OLDEST) {
            assert_int_equal(taken, 50);
            assert_ok(kj_producer_poll(s.producer, 0, NULL));
            assert_in_range(seen.failed, 50 - 8, 49);
            assert_int_equal(seen.error, KAJA_ERR_BUFFER_EXHAUSTED);
            assert_int_equal(s.store->metrics[KJ_METRIC_PRODUCE_DROPPED], seen.failed);
        } else {
            assert_int_equal(taken, 8);
        }
        s.store->append_error_left = 0;
        assert_ok(kj_producer_flush(s.producer, 5000));
        assert_int_equal(seen.count, taken);
        finish(&s);
    }
}

/* A blocked produce() goes on as soon as there is room; also where only open batches hold memory.
 */
static void test_buffer_waits(void **state)
{
    (void)state;
    struct setup s;
    pthread_t thread;
    begin(&s, true, 16);
    s.options.batch_bytes = 1024;
    s.options.buffer_bytes = 8192;
    s.options.linger_ms = 100000;
    open_producer(&s);
    s.store->hold = 1;
    assert_int_equal(pthread_create(&thread, NULL, let_go, s.store), 0);
    for (int32_t i = 0; i < 160; i++) {
        struct kaja_record record = record_of(i % 16, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    }
    pthread_join(thread, NULL);
    assert_ok(kj_producer_flush(s.producer, 5000));
    int64_t sum = 0;
    for (int32_t p = 0; p < 16; p++)
        sum += walk(&s.topic->partitions[p].log, NULL, NULL);
    assert_int_equal(sum, 160);
    finish(&s);
    /* Without a worker the call does the work itself. */
    begin(&s, false, 16);
    s.options.batch_bytes = 1024;
    s.options.buffer_bytes = 8192;
    open_producer(&s);
    for (int32_t i = 0; i < 160; i++) {
        struct kaja_record record = record_of(i % 16, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    }
    finish(&s);
}

/* Memory is wanted just when the worker, which did not see it yet, lies down until the linger ends. */
static void test_buffer_waits_for_one_lying_down(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct setup s;
        begin(&s, true, 16);
        s.options.batch_bytes = 1024;
        s.options.buffer_bytes = 8192;
        s.options.linger_ms = 100000;
        s.options.max_block_ms = 10000;
        open_producer(&s);
        for (int32_t i = 0; i < 160; i++) {
            struct kaja_record record = record_of(i % 16, "x", 1);
            assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
        }
        assert_ok(kj_producer_flush(s.producer, 10000));
        finish(&s);
    }
}

static void test_too_large(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true, 1);
    s.options.request_bytes_max = 2000;
    open_producer(&s);
    static char value[70000];
    struct kaja_metadata metadata;
    /* 61 of the batch, 21 before the key, 1 null key, 2 length of the value, 1 header count */
    struct kaja_record record = record_of(0, value, 2000 - 61 - 21 - 1 - 2 - 1);
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    record.value_bytes++;
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_RECORD_TOO_LARGE);
    assert_ok(kj_producer_close(s.producer, 1000));
    s.options.request_bytes_max = 1048576;
    s.options.buffer_bytes = 65536;
    open_producer(&s);
    record.value_bytes = 60000; /* larger than a batch: has one of its own */
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    record.value_bytes = 65500;
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_RECORD_TOO_LARGE);
    struct kj_log *log = &s.topic->partitions[0].log;
    assert_int_equal(log->count, 2);
    finish(&s);
}

/* Batches stay below max.message.bytes, and batch.size=0 is a batch a record. */
static void test_batch_sizes(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true, 1);
    s.topic->config.max_message_bytes = 500;
    s.options.linger_ms = 100000;
    open_producer(&s);
    struct kj_log *log = &s.topic->partitions[0].log;
    for (int i = 0; i < 100; i++) {
        struct kaja_record record = record_of(0, "0123456789012345678901234567890123456789", 40);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    }
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(walk(log, NULL, NULL), 100);
    for (size_t i = 0; i < log->count; i++)
        assert_in_range(log->batches[i].len, 61, 500);
    assert_in_range(log->count, 100 / 9, 100 / 8 + 1);
    finish(&s);

    begin(&s, true, 1);
    s.options.batch_bytes = 0;
    open_producer(&s);
    for (int i = 0; i < 100; i++) {
        struct kaja_record record = record_of(0, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    }
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(s.topic->partitions[0].log.count, 100);
    finish(&s);
}

/* --- topics --- */

static void test_topic_rules(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true, 2);
    open_producer(&s);
    int64_t now = kj_wall_ms(&kj_clock_system);
    struct kaja_record record = record_of(2, "x", 1);
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL), KAJA_ERR_UNKNOWN_PARTITION);
    record.topic = "nowhere";
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    record = record_of(0, "x", 1);
    record.timestamp = now + 3600000 + 60000;
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL), KAJA_ERR_INVALID_TIMESTAMP);
    record.timestamp = now + 3600000 - 60000;
    assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    record.timestamp = 0;
    assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    s.topic->config.timestamp_before_max_ms = 1000;
    s.topic->config.cleanup_compact = true;
    kj_fetch_add(&s.store->generation, 1); /* properties are looked at again */
    record.key = "k";
    record.key_bytes = 1;
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL), KAJA_ERR_INVALID_TIMESTAMP);
    record.timestamp = KAJA_TIMESTAMP_NOW;
    assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    record.key = NULL;
    record.key_bytes = 0;
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL), KAJA_ERR_INVALID_RECORD);
    s.topic->config.cleanup_compact = false;
    s.topic->config.log_append_time = true;
    kj_fetch_add(&s.store->generation, 1);
    struct kaja_metadata metadata;
    record.timestamp = 5; /* nobody minds */
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.timestamp, 12345);
    struct kj_topic *internal = fake_topic_new(s.store, "__internal", 1);
    internal->internal = true;
    record.topic = "__internal";
    assert_err(kj_producer_produce(s.producer, &record, NULL, NULL),
               KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    finish(&s);
}

/* Partitions that are added are used at once. */
static void test_more_partitions(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_metadata metadata;
    begin(&s, true, 1);
    open_producer(&s);
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    record.partition = 40;
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_UNKNOWN_PARTITION);
    s.topic->partition_count = 41;
    kj_fetch_add(&s.store->generation, 1);
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.partition, 40);
    finish(&s);
}

/* A topic is deleted and made anew: what was gathered for the old one fails, the rest arrives. */
static void test_topic_made_anew(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    struct kaja_metadata metadata;
    begin(&s, true, 4);
    s.options.linger_ms = 100000;
    open_producer(&s);
    struct kaja_record record = record_of(1, "x", 1);
    assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    s.topic->deleted = 1;
    kj_fetch_add(&s.store->generation, 1);
    assert_err(kj_producer_produce(s.producer, &record, note, &seen),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    struct kj_topic *anew = fake_topic_new(s.store, "topic", 2);
    assert_ok(kj_producer_send(s.producer, &record, 5000, &metadata));
    assert_int_equal(metadata.offset, 0);
    assert_int_equal(anew->partitions[1].log.end, 1);
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.error, KAJA_ERR_UNKNOWN_TOPIC_ID);
    record.partition = 3; /* the new one has fewer */
    assert_err(kj_producer_send(s.producer, &record, 5000, &metadata), KAJA_ERR_UNKNOWN_PARTITION);
    assert_ok(kj_producer_close(s.producer, 1000));
    s.producer = NULL;
    assert_int_equal(s.topic->refs, 1); /* nothing of the old one is kept */
    finish(&s);
}

/* --- callbacks --- */

struct nested {
    struct setup *s;
    int left;
    uint64_t count;
};

static void produce_again(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct nested *nested = arg;
    (void)metadata;
    assert_int_equal(error, 0);
    nested->count++;
    assert_err(kj_producer_flush(nested->s->producer, 100), KAJA_ERR_STATE);
    assert_err(kj_producer_close(nested->s->producer, 100), KAJA_ERR_STATE);
    if (nested->left-- > 0) {
        struct kaja_record record = record_of(0, "again", 5);
        assert_ok(kj_producer_produce(nested->s->producer, &record, produce_again, nested));
    }
}

static void test_callback_produces(void **state)
{
    (void)state;
    for (int worker = 0; worker < 2; worker++) {
        struct setup s;
        begin(&s, worker != 0, 1);
        open_producer(&s);
        struct nested nested = {.s = &s, .left = 3};
        struct kaja_record record = record_of(0, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, produce_again, &nested));
        for (int i = 0; i < 100 && nested.count < 4; i++)
            assert_ok(kj_producer_flush(s.producer, 5000));
        assert_int_equal(nested.count, 4);
        finish(&s);
    }
}

static void *poll_often(void *arg)
{
    struct setup *s = arg;
    for (int i = 0; i < 300; i++)
        assert_ok(kj_producer_poll(s->producer, 1, NULL));
    return NULL;
}

/* Several threads poll: note() sees each partition's offsets in order all the same. */
static void test_pollers(void **state)
{
    (void)state;
    struct setup s;
    struct seen seen = {.count = 0};
    pthread_t threads[3];
    begin(&s, true, 2);
    s.options.batch_bytes = 300;
    open_producer(&s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poll_often, &s), 0);
    for (int i = 0; i < 30000; i++) {
        struct kaja_record record = record_of(i % 2, "x", 1);
        assert_ok(kj_producer_produce(s.producer, &record, note, &seen));
    }
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(seen.count, 30000);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    finish(&s);
}

static void test_report_limit(void **state)
{
    (void)state;
    struct setup s;
    uint64_t count = 0;
    begin(&s, true, 1);
    s.options.report_max = 100;
    s.options.batch_bytes = 200;
    open_producer(&s);
    int err = 0, taken = 0;
    for (; taken < 10000; taken++) {
        struct kaja_record record = record_of(0, "x", 1);
        if ((err = kj_producer_produce(s.producer, &record, only_count, &count)) != 0)
            break;
        fake_sleep_us(20);
    }
    assert_int_equal(err, KAJA_ERR_QUEUE_FULL);
    struct kaja_record record = record_of(0, "x", 1);
    assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL)); /* without one it may go on */
    assert_ok(kj_producer_flush(s.producer, 5000));
    assert_int_equal(count, taken);
    assert_ok(kj_producer_produce(s.producer, &record, only_count, &count));
    finish(&s);
}

/* --- batching --- */

/* Null keys fill one batch after the other instead of a thin one in each partition. */
static void test_sticky(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true, 8);
    s.options.linger_ms = 100000;
    open_producer(&s);
    enum { RECORDS = 40000 };
    char value[100] = {0};
    for (int i = 0; i < RECORDS; i++) {
        struct kaja_record record = record_of(KAJA_PARTITION_ANY, value, sizeof value);
        assert_ok(kj_producer_produce(s.producer, &record, NULL, NULL));
    }
    assert_ok(kj_producer_flush(s.producer, 5000));
    size_t batches = 0;
    int64_t records = 0;
    int used = 0;
    for (int32_t p = 0; p < 8; p++) {
        batches += s.topic->partitions[p].log.count;
        int64_t here = walk(&s.topic->partitions[p].log, NULL, NULL);
        records += here;
        used += here > RECORDS / 64; /* drawn at random: half of a fair share is too near */
    }
    assert_int_equal(records, RECORDS);
    assert_int_equal(used, 8);
    assert_in_range(batches, RECORDS / 155, RECORDS / 140); /* all full but one */
    finish(&s);
}

static int allocations;

static int count_allocations(void *arg)
{
    (void)arg;
    allocations++;
    return 0;
}

/* In steady state nothing is allocated, with callbacks or without. */
static void test_no_allocation(void **state)
{
    (void)state;
    struct setup s;
    uint64_t count = 0;
    memset(&s, 0, sizeof s);
    s.store = fake_store_new(false, false);
    fake = s.store;
    s.topic = fake_topic_new(s.store, "topic", 4);
    kj_producer_options_defaults(&s.options);
    open_producer(&s);
    allocations = 0;
    for (int round = 0; round < 6; round++) {
        if (round == 2)
            kj_alloc_set_hook(count_allocations, NULL);
        for (int i = 0; i < 20000; i++) {
            struct kaja_record record = record_of(i % 4, "0123456789", 10);
            assert_ok(
                kj_producer_produce(s.producer, &record, i % 3 != 0 ? only_count : NULL, &count));
        }
        assert_ok(kj_producer_flush(s.producer, 5000));
    }
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(count, 6 * 13333);
    assert_int_equal(allocations, 0);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrive),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_worker_delivers),
        cmocka_unit_test(test_linger),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_send_shares_flushes),
        cmocka_unit_test(test_send_timeout),
        cmocka_unit_test(test_send_gives_up),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_final_error),
        cmocka_unit_test(test_wakeup),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_own_partitioner),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_of_a_retry),
        cmocka_unit_test(test_numbers_behind_a_gap),
        cmocka_unit_test(test_numbers_refused),
        cmocka_unit_test(test_numbers_behind_a_dropped),
        cmocka_unit_test(test_epochs_run_out),
        cmocka_unit_test(test_delivery_timeout),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_busy_partition),
        cmocka_unit_test(test_work_between_appends),
        cmocka_unit_test(test_delivery_timeout_cuts_backoff),
        cmocka_unit_test(test_flush_fails),
        cmocka_unit_test(test_close_with_pending),
        cmocka_unit_test(test_close_flushes),
        cmocka_unit_test(test_buffer_full),
        cmocka_unit_test(test_buffer_waits),
        cmocka_unit_test(test_buffer_waits_for_one_lying_down),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_topic_rules),
        cmocka_unit_test(test_more_partitions),
        cmocka_unit_test(test_topic_made_anew),
        cmocka_unit_test(test_callback_produces),
        cmocka_unit_test(test_pollers),
        cmocka_unit_test(test_report_limit),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
