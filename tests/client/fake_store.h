/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/client/fake_store.h - a store in memory for tests of client/: topics with partitions whose
 * log keeps the appended batches, appends and flushes that fail, wait or take time on demand. Takes
 * the place of store/ and log/ at link time; included by one file of a test program.
 */
#ifndef KJ_TESTS_FAKE_STORE_H
#define KJ_TESTS_FAKE_STORE_H

#include "kjtest.h"

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "os/clock.h"
#include "os/worker.h"
#include "record/batch.h"
#include "store/store.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { FAKE_PARTITIONS = 64, FAKE_BATCHES = 100000, FAKE_LOCK_TIMEOUT_NS = 300000000 };

struct fake_batch {
    uint8_t *bytes;
    size_t len;
    int64_t base_offset;
    bool durable;
};

struct kj_log {
    int32_t number;
    struct kj_topic *topic;
    pthread_mutex_t lock;
    struct fake_batch *batches;
    size_t count;
    kj_atomic_u64 end, durable, poisoned;
    uint64_t appends; /* calls */
    uint64_t bytes;
    /* the last idempotent producer, and what must come of it; checked as a log does */
    int64_t producer_id;
    int16_t epoch;
    int32_t next_sequence;
    int64_t forgotten;    /* the producer id that was retired last */
    kj_atomic_u64 inside; /* threads appending now: never more than one */
    /* for reading: batches one after the other, as fake_add() put them there */
    uint8_t *image;
    size_t image_len;
    size_t image_capacity;
    int64_t start, stable; /* stable: the last stable offset; 0: the end */
    struct fake_aborted {
        int64_t producer_id, first_offset, last_offset;
    } aborted[8];
    size_t aborted_count;
    uint64_t reads;
};

struct kj_view {
    kj_atomic_u64 refs;
};

struct kj_partition {
    struct kj_log log;
};

struct kj_topic {
    char name[64];
    kj_atomic_u64 refs;
    kj_atomic_u64 deleted;
    kj_atomic_u64 partition_count;
    bool internal;
    struct kj_log_config config;
    struct kj_partition partitions[FAKE_PARTITIONS];
};

struct kj_store {
    struct kj_topic *topics[16];
    size_t topic_count;
    kj_atomic_u64 generation;
    struct kj_worker *worker;
    struct kj_store_task *tasks;
    pthread_mutex_t lock;
    bool keep;                       /* the bytes of batches */
    kj_atomic_u64 append_error;      /* given by each append while it is not 0 (a negated code) */
    kj_atomic_u64 append_error_left; /* so many times */
    kj_atomic_u64 reject_at; /* 1 + the batch of an append that alone gets append_error */
    kj_atomic_u64 flush_error;
    kj_atomic_u64 flush_us; /* that a flush takes */
    kj_atomic_u64 append_us;
    kj_atomic_u64 flushes, flushed_partitions;
    kj_atomic_u64 pokes;
    kj_atomic_u64 hold; /* while not 0, appends wait */
    kj_atomic_u64 busy; /* 1 + the partition whose append lock another process holds */
    kj_atomic_u64 busy_appends; /* that were put off */
    bool leaves_work;           /* each append does, until the tasks have run */
    kj_atomic_u64 work_waits;   /* appends since the tasks ran */
    kj_atomic_u64 untasked;     /* appends since the tasks ran, whatever they leave */
    kj_atomic_u64 work_most;    /* the most of them */
    pthread_mutex_t flush_lock;
    kj_atomic_u64 metrics[KJ_METRIC_COUNT];
    kj_atomic_u64 views; /* held now */
    kj_atomic_u64 waits;
    kj_atomic_u64 wait_error; /* given by each wait that would sleep, while not 0 (negated) */
};

static inline void fake_sleep_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

/* --- set up --- */

static int64_t fake_run(void *arg)
{
    struct kj_store *store = arg;
    int64_t when = INT64_MAX;
    pthread_mutex_lock(&store->lock);
    for (struct kj_store_task *task = store->tasks; task != NULL; task = task->next) {
        int64_t at = task->run(task->arg);
        when = at < when ? at : when;
    }
    pthread_mutex_unlock(&store->lock);
    kj_store_release(&store->work_waits, 0);
    kj_store_release(&store->untasked, 0);
    return when;
}

static inline struct kj_store *fake_store_new(bool worker, bool keep)
{
    struct kj_store *store = calloc(1, sizeof *store);
    assert_non_null(store);
    store->keep = keep;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->flush_lock, NULL);
    if (worker)
        assert_int_equal(kj_worker_start("fake", &kj_clock_system, fake_run, store, &store->worker),
                         0);
    return store;
}

static inline struct kj_topic *fake_topic_new(struct kj_store *store, const char *name,
                                              int32_t partitions)
{
    struct kj_topic *topic = calloc(1, sizeof *topic);
    assert_non_null(topic);
    (void)snprintf(topic->name, sizeof topic->name, "%s", name);
    topic->refs = 1;
    topic->partition_count = (uint64_t)partitions;
    topic->config.max_message_bytes = 1048588;
    topic->config.compression = -1;
    topic->config.timestamp_before_max_ms = INT64_MAX;
    topic->config.timestamp_after_max_ms = 3600000;
    for (int32_t i = 0; i < FAKE_PARTITIONS; i++) {
        struct kj_log *log = &topic->partitions[i].log;
        log->number = i;
        log->producer_id = -1;
        log->topic = topic;
        pthread_mutex_init(&log->lock, NULL);
        if (store->keep)
            log->batches = calloc(FAKE_BATCHES, sizeof *log->batches);
    }
    pthread_mutex_lock(&store->lock);
    store->topics[store->topic_count++] = topic;
    pthread_mutex_unlock(&store->lock);
    kj_fetch_add(&store->generation, 1);
    return topic;
}

static inline void fake_topic_free(struct kj_topic *topic)
{
    assert_int_equal(topic->refs, 1); /* every hold was given back */
    for (int32_t i = 0; i < FAKE_PARTITIONS; i++) {
        struct kj_log *log = &topic->partitions[i].log;
        for (size_t b = 0; log->batches != NULL && b < log->count; b++)
            free(log->batches[b].bytes);
        free(log->batches);
        free(log->image);
    }
    free(topic);
}

static inline void fake_store_free(struct kj_store *store)
{
    kj_worker_stop(store->worker);
    assert_null(store->tasks);
    assert_int_equal(store->views, 0);
    for (size_t i = 0; i < store->topic_count; i++)
        fake_topic_free(store->topics[i]);
    free(store);
}

/* --- store.h --- */

const struct kj_clock *kj_store_clock(struct kj_store *store)
{
    (void)store;
    return &kj_clock_system;
}

bool kj_store_has_worker(const struct kj_store *store)
{
    return store->worker != NULL;
}

bool kj_store_work_waits(const struct kj_store *store)
{
    return kj_load_acquire(&store->work_waits) != 0;
}

bool kj_store_read_only(const struct kj_store *store)
{
    (void)store;
    return false;
}

bool kj_store_gone(struct kj_store *store)
{
    (void)store;
    return false;
}

int kj_store_check(struct kj_store *store)
{
    (void)store;
    return 0;
}

void kj_store_poke(struct kj_store *store)
{
    kj_fetch_add(&store->pokes, 1);
    if (store->worker != NULL)
        kj_worker_poke(store->worker);
}

void kj_store_task_add(struct kj_store *store, struct kj_store_task *task)
{
    pthread_mutex_lock(&store->lock);
    task->next = store->tasks;
    store->tasks = task;
    pthread_mutex_unlock(&store->lock);
}

void kj_store_task_remove(struct kj_store *store, struct kj_store_task *task)
{
    pthread_mutex_lock(&store->lock);
    struct kj_store_task **at = &store->tasks;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    pthread_mutex_unlock(&store->lock);
}

void kj_store_metric_add(struct kj_store *store, enum kj_metric metric, uint64_t n)
{
    kj_fetch_add_relaxed(&store->metrics[metric], n);
}

uint64_t kj_store_catalog_generation(struct kj_store *store)
{
    return kj_load_acquire(&store->generation);
}

int kj_topic_find(struct kj_store *store, const char *name, bool create,
                  struct kj_topic **ret_topic)
{
    (void)create;
    int err = kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "no topic %s", name);
    for (size_t i = 0; i < store->topic_count; i++)
        if (strcmp(store->topics[i]->name, name) == 0 && !store->topics[i]->deleted) {
            *ret_topic = store->topics[i];
            kj_topic_hold(*ret_topic);
            err = 0;
        }
    return err;
}

void kj_topic_hold(struct kj_topic *topic)
{
    kj_fetch_add(&topic->refs, 1);
}

void kj_topic_release(struct kj_topic *topic)
{
    assert_true(kj_fetch_add(&topic->refs, UINT64_MAX) > 1);
}

const char *kj_topic_name(const struct kj_topic *topic)
{
    return topic->name;
}

int32_t kj_topic_partition_count(struct kj_topic *topic)
{
    return (int32_t)topic->partition_count;
}

bool kj_topic_deleted(struct kj_topic *topic)
{
    return topic->deleted != 0;
}

bool kj_topic_internal(const struct kj_topic *topic)
{
    return topic->internal;
}

void kj_topic_config(struct kj_topic *topic, struct kj_log_config *ret_config)
{
    *ret_config = topic->config;
}

int kj_topic_partition(struct kj_topic *topic, int32_t partition,
                       struct kj_partition **ret_partition)
{
    if ((uint64_t)partition >= topic->partition_count)
        return kj_err(KAJA_ERR_UNKNOWN_PARTITION, "no partition %d", partition);
    *ret_partition = &topic->partitions[partition];
    return 0;
}

struct kj_log *kj_partition_log(struct kj_partition *partition)
{
    return &partition->log;
}

static struct kj_store *fake; /* the store that appends look at */

static int fake_number(struct kj_log *log, const struct kj_batch *batch)
{
    if (batch->producer_id < 0)
        return 0;
    if (batch->producer_id == log->producer_id) {
        assert_true(batch->producer_epoch >= log->epoch);
        int32_t wanted = batch->producer_epoch == log->epoch ? log->next_sequence : 0;
        if (batch->base_sequence != wanted)
            return kj_err(KAJA_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "%d where %d must come",
                          batch->base_sequence, wanted);
    }
    log->producer_id = batch->producer_id;
    log->epoch = batch->producer_epoch;
    log->next_sequence = batch->base_sequence + batch->count;
    return 0;
}

void kj_log_forget_producer(struct kj_log *log, int64_t producer_id)
{
    log->forgotten = producer_id;
}

int kj_partition_append(struct kj_partition *partition, struct kj_append_batch *batches,
                        size_t count, enum kj_append_origin origin)
{
    struct kj_log *log = &partition->log;
    assert_int_equal(origin, KJ_APPEND_TRUSTED);
    assert_in_range(count, 1, 16);
    assert_int_equal(kj_fetch_add(&log->inside, 1), 0);
    while (fake != NULL && kj_load_acquire(&fake->hold) != 0)
        fake_sleep_us(100);
    if (fake != NULL && fake->append_us != 0)
        fake_sleep_us(fake->append_us);
    int err = 0;
    if (log->topic->deleted)
        err = kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "%s is gone", log->topic->name);
    if (fake != NULL && fake->append_error_left != 0) {
        kj_fetch_add(&fake->append_error_left, UINT64_MAX);
        err = kj_err(-(int)fake->append_error, "as the test wanted");
    }
    pthread_mutex_lock(&log->lock);
    log->appends++;
    for (size_t i = 0; i < count; i++) {
        struct kj_append_batch *batch = &batches[i];
        batch->ret_error = err;
        if (err != 0)
            continue;
        struct kj_batch header;
        kj_batch_decode(batch->bytes, &header);
        if (fake != NULL && fake->reject_at == i + 1) {
            fake->reject_at = 0;
            batch->ret_error = kj_err(-(int)fake->append_error, "as the test wanted");
            continue;
        }
        batch->ret_error = fake_number(log, &header);
        if (batch->ret_error != 0)
            continue;
        batch->ret_base_offset = (int64_t)log->end;
        batch->ret_append_time = log->topic->config.log_append_time ? 12345 : -1;
        if (log->batches != NULL) {
            assert_int_equal(kj_batch_look(batch->bytes, batch->len, &header), KJ_BATCH_OK);
            assert_true(kj_batch_crc_ok(batch->bytes, batch->len));
            assert_true(log->count < FAKE_BATCHES);
            log->batches[log->count] = (struct fake_batch){malloc(batch->len), batch->len,
                                                           batch->ret_base_offset, batch->durable};
            memcpy(log->batches[log->count++].bytes, batch->bytes, batch->len);
        }
        log->bytes += batch->len;
        kj_store_release(&log->end, log->end + (uint64_t)header.count);
    }
    pthread_mutex_unlock(&log->lock);
    if (fake != NULL) {
        uint64_t most = kj_fetch_add(&fake->untasked, 1) + 1;
        if (most > fake->work_most)
            fake->work_most = most;
        if (fake->leaves_work)
            kj_fetch_add(&fake->work_waits, 1);
    }
    kj_fetch_add(&log->inside, UINT64_MAX);
    return err;
}

int kj_store_flush(struct kj_store *store, struct kj_partition *const *partitions, size_t count)
{
    int err = 0;
    uint64_t ends[FAKE_PARTITIONS];
    assert_in_range(count, 1, FAKE_PARTITIONS);
    pthread_mutex_lock(&store->flush_lock);
    for (size_t i = 0; i < count; i++)
        ends[i] = kj_load_acquire(&partitions[i]->log.end);
    if (store->flush_us != 0)
        fake_sleep_us(store->flush_us);
    kj_fetch_add(&store->flushes, 1);
    kj_fetch_add(&store->flushed_partitions, count);
    if (store->flush_error != 0) {
        err = kj_err(-(int)store->flush_error, "as the test wanted");
        if (err == KAJA_ERR_POISONED)
            for (size_t i = 0; i < count; i++)
                partitions[i]->log.poisoned = 1;
    } else {
        for (size_t i = 0; i < count; i++)
            if (partitions[i]->log.durable < ends[i])
                kj_store_release(&partitions[i]->log.durable, ends[i]);
    }
    pthread_mutex_unlock(&store->flush_lock);
    return err;
}

int kj_partition_append_soon(struct kj_partition *partition, struct kj_append_batch *batches,
                             size_t count, enum kj_append_origin origin, int64_t since_ns,
                             bool *ret_busy)
{
    int64_t waited_ns = kj_mono_ns(&kj_clock_system) - since_ns;
    if (fake == NULL || kj_load_acquire(&fake->busy) != 1 + (uint64_t)partition->log.number)
        return kj_partition_append(partition, batches, count, origin);
    fake_sleep_us(1000);
    kj_fetch_add(&fake->busy_appends, 1);
    *ret_busy = waited_ns < FAKE_LOCK_TIMEOUT_NS;
    int err = kj_err(KAJA_ERR_LOCK_TIMED_OUT, "it is stopped");
    for (size_t i = 0; i < count; i++)
        batches[i].ret_error = err;
    return err;
}

int kj_store_flush_soon(struct kj_store *store, struct kj_partition *const *partitions,
                        size_t count)
{
    return kj_store_flush(store, partitions, count);
}

bool kj_log_stale(struct kj_log *log)
{
    return log->topic->deleted != 0;
}

int64_t kj_log_durable(struct kj_log *log)
{
    return (int64_t)kj_load_acquire(&log->durable);
}

bool kj_log_poisoned(struct kj_log *log)
{
    return log->poisoned != 0;
}

/* --- reading --- */

/* Adds a whole batch to the image, at the end offset; also one that is damaged. */
static inline void fake_add(struct kj_log *log, const uint8_t *bytes, size_t len, int64_t offsets)
{
    if (log->image == NULL) {
        log->image_capacity = (size_t)64 << 20;
        log->image = malloc(log->image_capacity);
        assert_non_null(log->image);
    }
    assert_true(len <= log->image_capacity - log->image_len);
    memcpy(log->image + log->image_len, bytes, len);
    kj_batch_assign(log->image + log->image_len, (int64_t)log->end, 0);
    log->image_len += len;
    kj_store_release(&log->durable, log->end + (uint64_t)offsets);
    kj_store_release(&log->end, log->end + (uint64_t)offsets);
}

int64_t kj_log_end(struct kj_log *log)
{
    return (int64_t)kj_load_acquire(&log->end);
}

int64_t kj_log_high_watermark(struct kj_log *log)
{
    return (int64_t)kj_load_acquire(&log->end);
}

int64_t kj_log_start(struct kj_log *log)
{
    return log->start;
}

int kj_log_last_stable(struct kj_log *log, int64_t *ret_offset)
{
    *ret_offset = log->stable != 0 ? log->stable : (int64_t)log->end;
    return 0;
}

int kj_log_offset_for_time(struct kj_log *log, int64_t timestamp, int64_t limit_offset,
                           int64_t *ret_offset, int64_t *ret_timestamp)
{
    (void)limit_offset;
    *ret_offset = timestamp < (int64_t)log->end ? timestamp : -1; /* offset n has time n */
    *ret_timestamp = *ret_offset;
    return 0;
}

int kj_log_aborted(struct kj_log *log, int64_t from, int64_t to, kj_txn_index_callback *callback,
                   void *arg)
{
    for (size_t i = 0; i < log->aborted_count; i++)
        if (log->aborted[i].last_offset >= from && log->aborted[i].first_offset < to) {
            struct kj_txn_entry entry = {.producer_id = log->aborted[i].producer_id,
                                         .first_offset = log->aborted[i].first_offset,
                                         .last_offset = log->aborted[i].last_offset};
            int err = callback(arg, &entry);
            if (err != 0)
                return err;
        }
    return 0;
}

int kj_log_read(struct kj_log *log, int64_t offset, int64_t limit_offset, size_t max_bytes,
                bool min_one, struct kj_log_cursor *cursor, struct kj_log_read *ret_read)
{
    log->reads++;
    if (offset < log->start || offset > (int64_t)log->end)
        return kj_err(KAJA_ERR_OFFSET_OUT_OF_RANGE, "offset %lld", (long long)offset);
    size_t at = cursor->valid && cursor->offset == offset ? (size_t)cursor->pos : 0;
    struct kj_log_read read = {.next_offset = -1};
    size_t first = SIZE_MAX, end = 0;
    while (at < log->image_len) {
        struct kj_batch batch;
        kj_batch_decode(log->image + at, &batch);
        size_t len = kj_batch_bytes(&batch);
        if (kj_batch_last_offset(&batch) >= offset) {
            if (kj_batch_last_offset(&batch) >= limit_offset ||
                (first != SIZE_MAX && at + len - first > max_bytes) ||
                (first == SIZE_MAX && len > max_bytes && !min_one))
                break;
            if (first == SIZE_MAX)
                first = at;
            end = at + len;
            read.next_offset = kj_batch_next_offset(&batch);
            read.batch_count++;
        }
        at += len;
    }
    if (first != SIZE_MAX) {
        read.view = calloc(1, sizeof *read.view);
        assert_non_null(read.view);
        read.view->refs = 1;
        kj_fetch_add(&fake->views, 1);
        read.bytes = log->image + first;
        read.len = end - first;
        *cursor =
            (struct kj_log_cursor){.offset = read.next_offset, .pos = (int64_t)end, .valid = true};
    }
    *ret_read = read;
    return 0;
}

void kj_view_hold(struct kj_view *view)
{
    kj_fetch_add(&view->refs, 1);
}

void kj_view_release(struct kj_view *view)
{
    if (kj_fetch_add(&view->refs, UINT64_MAX) == 1) {
        kj_fetch_add(&fake->views, UINT64_MAX);
        free(view);
    }
}

int kj_store_step(struct kj_store *store)
{
    if (store->worker == NULL)
        (void)fake_run(store);
    return 0;
}

int64_t kj_store_next_deadline_ns(struct kj_store *store)
{
    (void)store;
    return INT64_MAX;
}

int kj_store_wait_also(struct kj_store *store, struct kj_partition *const *partitions,
                       const int64_t *offsets, size_t count, bool durable_only,
                       _Atomic uint32_t *extra, uint32_t extra_expected,
                       const struct kj_wait_also *also, int64_t deadline_ns)
{
    (void)durable_only;
    (void)also;
    kj_fetch_add(&store->waits, 1);
    for (;;) {
        for (size_t i = 0; i < count; i++)
            if (kj_log_end(&partitions[i]->log) > offsets[i])
                return 0;
        if (atomic_load(extra) != extra_expected)
            return 0;
        int error = -(int)kj_load_acquire(&store->wait_error);
        if (error != 0)
            return kj_err(error, "the wait fails");
        if (kj_mono_ns(&kj_clock_system) >= deadline_ns)
            return kj_err(KAJA_ERR_TIMED_OUT, "nothing");
        fake_sleep_us(200);
    }
}

int kj_store_wait(struct kj_store *store, struct kj_partition *const *partitions,
                  const int64_t *offsets, size_t count, bool durable_only, _Atomic uint32_t *extra,
                  uint32_t extra_expected, int64_t deadline_ns)
{
    return kj_store_wait_also(store, partitions, offsets, count, durable_only, extra,
                              extra_expected, NULL, deadline_ns);
}

#endif
