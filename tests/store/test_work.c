/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Flushing together, waiting for records, and the work that is done on the side.
 */
#include "store_test.h"

#include <pthread.h>
#include <stdatomic.h>

static int setup(void **state)
{
    static struct temp_dir dir;
    dir = temp_dir_new();
    *state = &dir;
    return 0;
}

static int teardown(void **state)
{
    temp_dir_free(*state);
    return 0;
}

static int64_t now(void)
{
    return kj_mono_ns(&kj_clock_system);
}

/* --- flushing --- */

static void a_flush_makes_readable(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 3, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *p[3];
    for (int i = 0; i < 3; i++) {
        p[i] = partition_of(topic, i);
        assert_ok(append_text(p[i], "x", true, NULL));
        assert_int_equal(count_records(p[i]), 0); /* not yet at the level that was asked for */
        assert_true(kj_log_flush_due(kj_partition_log(p[i])));
    }
    assert_ok(kj_store_flush(store, p, 2));
    assert_int_equal(count_records(p[0]), 1);
    assert_int_equal(count_records(p[1]), 1);
    assert_int_equal(count_records(p[2]), 0);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_FLUSH_CALLS), 1);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_FLUSH_PARTITIONS), 2);
    assert_ok(kj_store_flush(store, p, 2)); /* nothing to do */
    assert_int_equal(kj_store_metric(store, KJ_METRIC_FLUSH_CALLS), 1);
    assert_ok(kj_store_flush(store, NULL, 0));
    assert_int_equal(count_records(p[2]), 1);
    struct kj_partition *twice[4] = {p[0], p[1], p[0], p[1]};
    assert_ok(append_text(p[0], "x", true, NULL));
    assert_ok(kj_store_flush(store, twice, 4));
    assert_int_equal(count_records(p[0]), 2);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

struct flusher_thread {
    struct kj_store *store;
    struct kj_topic *topic;
    int number, rounds;
    int err;
};

static void *append_and_flush(void *arg)
{
    struct flusher_thread *t = arg;
    for (int i = 0; i < t->rounds && t->err == 0; i++) {
        struct kj_partition *p[2];
        int64_t offset = 0;
        t->err = kj_topic_partition(t->topic, t->number % 4, &p[0]);
        if (t->err == 0)
            t->err = kj_topic_partition(t->topic, (t->number + 1) % 4, &p[1]);
        if (t->err == 0)
            t->err = append_text(p[0], "together", true, &offset);
        if (t->err == 0)
            t->err = kj_store_flush(t->store, p, 2);
        if (t->err == 0 && kj_log_durable(kj_partition_log(p[0])) <= offset)
            t->err = KAJA_ERR_STATE;
    }
    return NULL;
}

/* Two handles, whose flushes overlap on the same partitions in both orders: nobody waits for ever.
 */
static void threads_of_two_handles_flush_together(void **state)
{
    const struct temp_dir *dir = *state;
    enum { THREADS = 8, ROUNDS = 40 };
    struct kj_store *stores[2] = {open_store(dir->path), open_store(dir->path)};
    assert_ok(kj_topic_create(stores[0], "t", 4, NULL, 0));
    struct kj_topic *topics[2] = {topic_of(stores[0], "t"), topic_of(stores[1], "t")};
    struct flusher_thread threads[THREADS];
    pthread_t ids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct flusher_thread){stores[i % 2], topics[i % 2], i / 2, ROUNDS, 0};
        assert_int_equal(pthread_create(&ids[i], NULL, append_and_flush, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    int64_t count = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(threads[i].err, 0);
    for (int i = 0; i < 4; i++)
        count += count_records(partition_of(topics[0], i));
    assert_int_equal(count, THREADS * ROUNDS);
    kj_topic_release(topics[0]);
    kj_topic_release(topics[1]);
    assert_ok(kj_store_close(stores[0]));
    assert_ok(kj_store_close(stores[1]));
    assert_true(is_clean(dir->path));
}

/* --- room ahead of the end --- */

/* The bound is for what is ready and not used yet: one that was used up long ago does not count. */
static void room_is_made_as_fast_as_it_is_used(void **state)
{
    const struct temp_dir *dir = *state;
    enum { TEXT = 900, BATCHES = 2000, BOUND = 256 << 10 };
    static char text[TEXT + 1];
    memset(text, 'x', TEXT);
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.prepare_max_bytes = BOUND;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    assert_false(kj_store_work_waits(store));
    assert_ok(append_text(partition, text, false, NULL));
    assert_true(kj_store_work_waits(store));
    assert_ok(kj_store_step(store));
    assert_false(kj_store_work_waits(store));
    for (int i = 1; i < BATCHES; i++) {
        assert_ok(append_text(partition, text, false, NULL));
        assert_ok(kj_store_step(store));
    }
    assert_true(kj_store_metric(store, KJ_METRIC_PREPARED_BYTES) >= (BATCHES - 1) * TEXT);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* Holds each lock a little longer, so that orders that could block each other do. */
static void linger_in_locks(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)arg;
    (void)name;
    if (step == KJ_STEP_LOCK && number >= KJ_LOCK_SLOTS)
        (void)usleep(200);
}

struct order_thread {
    struct kj_store *store;
    struct kj_partition *p[2];
    int err;
};

static void *flush_in_order(void *arg)
{
    struct order_thread *t = arg;
    for (int i = 0; i < 30 && t->err == 0; i++) {
        t->err = append_text(t->p[0], "x", true, NULL);
        if (t->err == 0)
            t->err = append_text(t->p[1], "x", true, NULL);
        if (t->err == 0)
            t->err = kj_store_flush(t->store, t->p, 2);
    }
    return NULL;
}

static void opposite_orders_do_not_block(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct order_thread threads[2] = {0};
    struct kj_topic *topics[2];
    pthread_t ids[2];
    options.shared_step = linger_in_locks;
    options.lock_timeout_ms = 3000;
    for (int i = 0; i < 2; i++) {
        assert_ok(kj_store_open(&options, &threads[i].store));
        if (i == 0)
            assert_ok(kj_topic_create(threads[i].store, "t", 2, NULL, 0));
        topics[i] = topic_of(threads[i].store, "t");
        threads[i].p[i] = partition_of(topics[i], 0);
        threads[i].p[1 - i] = partition_of(topics[i], 1);
    }
    int64_t began = now();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, flush_in_order, &threads[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    assert_true(now() - began < 2000000000); /* no lock was waited for until its timeout */
    for (int i = 0; i < 2; i++) {
        assert_ok(threads[i].err);
        kj_topic_release(topics[i]);
        assert_ok(kj_store_close(threads[i].store));
    }
}

static int fail_sync(void *arg, const char *op, const char *path)
{
    const atomic_int *on = arg;
    return atomic_load(on) != 0 && strcmp(op, "sync") == 0 && strstr(path, "t-0/") != NULL ? EIO
                                                                                           : 0;
}

static void a_failed_flush_is_told_and_leaves_no_marker(void **state)
{
    const struct temp_dir *dir = *state;
    static atomic_int on;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.io_step = fail_sync;
    options.step_arg = &on;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "t", 2, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *p[2] = {partition_of(topic, 0), partition_of(topic, 1)};
    assert_ok(append_text(p[0], "x", true, NULL));
    assert_ok(append_text(p[1], "x", true, NULL));
    atomic_store(&on, 1);
    assert_err(kj_store_flush(store, p, 2), KAJA_ERR_POISONED);
    atomic_store(&on, 0);
    assert_int_equal(count_records(p[1]), 1); /* the other one is none the worse */
    assert_int_equal(kj_store_metric(store, KJ_METRIC_FLUSH_ERRORS), 1);
    assert_err(append_text(p[0], "x", false, NULL), KAJA_ERR_POISONED);
    assert_ok(append_text(p[1], "x", false, NULL));
    assert_int_equal(count_events(store, KAJA_EVENT_POISONED), 1);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_false(is_clean(dir->path));
    store = open_store(dir->path);
    assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), 2);
    topic = topic_of(store, "t");
    assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
}

/* --- waiting --- */

struct waiter_thread {
    struct kj_store *store;
    struct kj_partition *partition;
    int64_t offset;
    bool durable_only;
    _Atomic uint32_t *extra;
    int64_t deadline_ns;
    int64_t woke_ns;
    int err;
};

static void *wait_for_records(void *arg)
{
    struct waiter_thread *w = arg;
    w->err = kj_store_wait(w->store, &w->partition, &w->offset, 1, w->durable_only, w->extra, 0,
                           w->deadline_ns);
    w->woke_ns = now();
    return NULL;
}

static void nap_ms(int ms)
{
    (void)usleep((useconds_t)ms * 1000);
}

static void readers_wake_when_there_is_something(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *a = open_store(dir->path), *b = open_store(dir->path);
    assert_ok(kj_topic_create(a, "t", 1, NULL, 0));
    struct kj_topic *ta = topic_of(a, "t"), *tb = topic_of(b, "t");
    struct kj_partition *pa = partition_of(ta, 0);
    struct waiter_thread w = {b, partition_of(tb, 0), 0, false, NULL, now() + 10000000000, 0, 0};
    pthread_t id;
    /* acks=1 */
    assert_int_equal(pthread_create(&id, NULL, wait_for_records, &w), 0);
    nap_ms(30);
    int64_t began = now();
    assert_ok(append_text(pa, "x", false, NULL));
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(w.err);
    assert_true(w.woke_ns - began < 300000000);
    /* acks=all: with the flush, not before */
    w.offset = 1;
    assert_int_equal(pthread_create(&id, NULL, wait_for_records, &w), 0);
    nap_ms(30);
    began = now();
    assert_ok(append_text(pa, "x", true, NULL));
    assert_ok(kj_store_flush(a, &pa, 1));
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(w.err);
    assert_true(w.woke_ns - began < 300000000);
    /* durable only: acks=1 does not wake it, a flush does */
    assert_ok(append_text(pa, "x", false, NULL));
    w.offset = 2;
    w.durable_only = true;
    w.deadline_ns = now() + 50000000;
    (void)wait_for_records(&w);
    assert_int_equal(w.err, KAJA_ERR_TIMED_OUT);
    w.deadline_ns = now() + 10000000000;
    assert_int_equal(pthread_create(&id, NULL, wait_for_records, &w), 0);
    nap_ms(30);
    assert_ok(kj_store_flush(a, &pa, 1));
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(w.err);
    /* somebody else's word, and a topic that goes */
    _Atomic uint32_t extra = 0;
    w.offset = 100;
    w.extra = &extra;
    assert_int_equal(pthread_create(&id, NULL, wait_for_records, &w), 0);
    nap_ms(30);
    began = now();
    atomic_store(&extra, 1);
    kj_shared_wake_extra(&extra);
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(w.err);
    assert_true(w.woke_ns - began < 300000000);
    w.extra = NULL;
    assert_int_equal(pthread_create(&id, NULL, wait_for_records, &w), 0);
    nap_ms(30);
    began = now();
    assert_ok(kj_topic_delete(a, "t"));
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(w.err);
    assert_true(w.woke_ns - began < 300000000);
    kj_topic_release(ta);
    kj_topic_release(tb);
    assert_ok(kj_store_close(a));
    assert_ok(kj_store_close(b));
}

static void *flush_one(void *arg)
{
    struct order_thread *t = arg;
    t->err = kj_store_flush(t->store, t->p, 1);
    return NULL;
}

/* A neighbour that was stopped in the middle of a flush holds up those who want this partition
 * durable, and nobody else: neither other partitions of the same call nor other calls. */
static void a_stopped_flush_delays_only_its_partition(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *stopped, *store;
    struct kj_log_flush flush;
    pthread_t id;
    assert_ok(kj_store_open(&options, &stopped));
    options.lock_timeout_ms = 2000;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(stopped, "t", 3, NULL, 0));
    struct kj_topic *topic = topic_of(stopped, "t"), *written = topic_of(store, "t");
    struct kj_partition *p[3];
    struct kj_log *logs[3];
    for (int i = 0; i < 3; i++) {
        p[i] = partition_of(written, i);
        logs[i] = kj_partition_log(p[i]);
        assert_ok(append_text(p[i], "x", true, NULL));
    }
    assert_ok(kj_log_flush_begin(kj_partition_log(partition_of(topic, 0)), true, &flush));

    struct order_thread waiting = {store, {p[0], NULL}, 0};
    assert_int_equal(pthread_create(&id, NULL, flush_one, &waiting), 0);
    nap_ms(50);
    int64_t began_ns = now();
    assert_ok(kj_store_flush(store, &p[1], 1));
    assert_true(now() - began_ns < 500000000);
    /* Who has more to do comes back at once, with the others done. */
    assert_ok(append_text(p[1], "y", true, NULL));
    assert_err(kj_store_flush_soon(store, p, 3), KAJA_ERR_LOCK_TIMED_OUT);
    assert_true(now() - began_ns < 1000000000);
    assert_int_equal(kj_log_durable(logs[0]), 0);
    assert_int_equal(kj_log_durable(logs[1]), 2);
    assert_int_equal(kj_log_durable(logs[2]), 1);
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_int_equal(waiting.err, KAJA_ERR_LOCK_TIMED_OUT);

    /* It goes on: whoever waits has what it waited for, others' flush or its own. */
    assert_ok(append_text(p[0], "y", true, NULL));
    assert_ok(append_text(p[1], "z", true, NULL));
    waiting = (struct order_thread){store, {p[0], NULL}, 0};
    assert_int_equal(pthread_create(&id, NULL, flush_one, &waiting), 0);
    nap_ms(50);
    assert_ok(kj_log_flush_end(&flush, kj_io_sync(flush.file)));
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_ok(waiting.err);
    assert_int_equal(kj_log_durable(logs[0]), 2);
    assert_ok(kj_store_flush(store, p, 3));
    assert_int_equal(kj_log_durable(logs[1]), 3);
    kj_topic_release(topic);
    kj_topic_release(written);
    assert_ok(kj_store_close(store));
    assert_ok(kj_store_close(stopped));
}

/* Another process's thread, so to say: it holds the append lock from 1 to 2 of at. */
struct holder {
    struct kj_partition *partition;
    atomic_int at;
    int err;
};

static void *hold_partition(void *arg)
{
    struct holder *holder = arg;
    holder->err = kj_partition_hold(holder->partition);
    atomic_store(&holder->at, 1);
    while (atomic_load(&holder->at) != 2)
        (void)usleep(1000);
    if (holder->err == 0)
        kj_partition_let_go(holder->partition);
    return NULL;
}

static void *append_one(void *arg)
{
    struct order_thread *t = arg;
    t->err = append_text(t->p[0], "x", false, NULL);
    return NULL;
}

/* A neighbour that was stopped in the middle of an append: while one thread waits for it the others
 * of the handle look at the partition, and do the work of the step, without waiting. */
static void looks_do_not_wait_beside_a_stopped_append(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *stopped, *store;
    pthread_t ids[2], holding;
    char owner[64];
    assert_ok(kj_store_open(&options, &stopped));
    options.lock_timeout_ms = 1500;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(stopped, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(stopped, "t"), *written = topic_of(store, "t");
    struct kj_partition *partition = partition_of(written, 0);
    struct kj_log *log = kj_partition_log(partition);
    assert_ok(append_text(partition, "x", false, NULL));
    struct holder holder = {.partition = partition_of(topic, 0)};
    assert_int_equal(pthread_create(&holding, NULL, hold_partition, &holder), 0);
    while (atomic_load(&holder.at) == 0)
        nap_ms(1);
    assert_ok(holder.err);

    struct order_thread waiting[2] = {{store, {partition, NULL}, 0}, {store, {partition, NULL}, 0}};
    int64_t began_ns = now();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, append_one, &waiting[i]), 0);
    nap_ms(50);
    int64_t stable;
    assert_ok(kj_log_last_stable(log, &stable));
    assert_int_equal(stable, 1);
    kj_store_relaxed(&partition->config_seen, 12345); /* new properties are put into force */
    store->next_tick_ns = 0;
    assert_ok(kj_store_step(store));
    assert_true(now() - began_ns < 700000000);
    (void)snprintf(owner, sizeof owner, "process %d (handle %u)", (int)getpid(),
                   stopped->handle_number);
    assert_err(append_text(partition, "x", false, NULL), KAJA_ERR_LOCK_TIMED_OUT);
    assert_non_null(strstr(kaja_error_detail(), owner));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(waiting[i].err, KAJA_ERR_LOCK_TIMED_OUT);
    }
    /* All together had one timeout, not each in turn. */
    assert_true(now() - began_ns < 3000000000);
    atomic_store(&holder.at, 2);
    assert_int_equal(pthread_join(holding, NULL), 0);
    assert_ok(append_text(partition, "x", false, NULL));
    kj_topic_release(topic);
    kj_topic_release(written);
    assert_ok(kj_store_close(store));
    assert_ok(kj_store_close(stopped));
}

static int append_durable_and_die(void *arg)
{
    struct kj_store_options options = test_options(arg);
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_partition *partition;
    KJ_TRY(kj_store_open(&options, &store));
    KJ_TRY(kj_topic_find(store, "t", false, &topic));
    KJ_TRY(kj_topic_partition(topic, 0, &partition));
    KJ_TRY(append_text(partition, "orphan", true, NULL));
    return kill(getpid(), SIGKILL); /* before its flush */
}

static void what_a_dead_writer_left_is_flushed(void **state)
{
    struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct waiter_thread w = {store, partition_of(topic, 0), 0, false,
                              NULL,  now() + 10000000000,    0, 0};
    assert_int_equal(child_end(child_start(append_durable_and_die, dir->path)), 1000 + SIGKILL);
    assert_int_equal(count_records(w.partition), 0);
    int64_t began = now();
    (void)wait_for_records(&w);
    assert_ok(w.err);
    assert_true(now() - began < 1000000000);
    assert_int_equal(count_records(w.partition), 1);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* --- on the side --- */

struct counted_task {
    struct kj_store_task task;
    _Atomic int runs;
    int64_t next_ns;
};

static int64_t count_run(void *arg)
{
    struct counted_task *task = arg;
    atomic_fetch_add(&task->runs, 1);
    return task->next_ns;
}

static void tasks_run_in_steps_and_in_the_worker(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    struct counted_task task = {.task = {count_run, &task, NULL}, .next_ns = INT64_MAX};
    assert_ok(kj_store_open(&options, &store));
    assert_false(kj_store_has_worker(store));
    kj_store_task_add(store, &task.task);
    assert_true(kj_store_next_deadline_ns(store) <= now());
    assert_ok(kj_store_step(store));
    assert_int_equal(atomic_load(&task.runs), 1);
    assert_true(kj_store_next_deadline_ns(store) >
                now() + 1000000000); /* idle: the checkpoints, in a minute */
    task.next_ns = 1;
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_store_next_deadline_ns(store), 1);
    kj_store_task_remove(store, &task.task);
    assert_ok(kj_store_step(store));
    assert_int_equal(atomic_load(&task.runs), 2);
    assert_ok(kj_store_close(store));

    options.background_threads = 1;
    assert_ok(kj_store_open(&options, &store));
    assert_true(kj_store_has_worker(store));
    assert_int_equal(kj_store_next_deadline_ns(store), INT64_MAX);
    task.next_ns = INT64_MAX;
    atomic_store(&task.runs, 0);
    kj_store_task_add(store, &task.task);
    for (int i = 0; i < 200 && atomic_load(&task.runs) == 0; i++)
        nap_ms(5);
    assert_true(atomic_load(&task.runs) > 0);
    kj_store_task_remove(store, &task.task);
    int runs = atomic_load(&task.runs);
    kj_store_poke(store);
    nap_ms(20);
    assert_int_equal(atomic_load(&task.runs), runs);
    assert_ok(kj_store_close(store));
}

/* Small segments, so that retention has something to take. */
static int small_segments(const struct kj_property *topic, size_t topic_count,
                          const struct kj_property *directory, size_t directory_count,
                          struct kj_log_config *ret_config)
{
    struct kj_log_config config;
    (void)directory;
    (void)directory_count;
    kj_log_config_defaults(&config);
    config.segment_bytes = 1000;
    config.retention_ms = -1;
    for (size_t i = 0; i < topic_count; i++) {
        if (strcmp(topic[i].name, "retention.bytes") == 0)
            config.retention_bytes = atoll(topic[i].value);
        if (strcmp(topic[i].name, "cleanup.policy") == 0)
            config.cleanup_delete =
                !(config.cleanup_compact = strcmp(topic[i].value, "compact") == 0);
    }
    *ret_config = config;
    return 0;
}

static void fill(struct kj_partition *partition, int batches)
{
    char value[101];
    memset(value, 'v', 100);
    value[100] = '\0';
    for (int i = 0; i < batches; i++)
        assert_ok(append_text(partition, value, false, NULL));
}

static void retention_is_done_by_whoever_comes(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *a, *b;
    options.rules.log_config = small_segments;
    assert_ok(kj_store_open(&options, &a));
    const struct kj_property limit = {"retention.bytes", "2000"};
    assert_ok(kj_topic_create(a, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(a, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    fill(partition, 50);
    assert_ok(kj_store_step(a));
    assert_int_equal(kj_log_start(kj_partition_log(partition)), 0);
    assert_true(kj_store_metric(a, KJ_METRIC_ROLLS) >= 5);
    assert_int_equal(kj_log_durable(kj_partition_log(partition)),
                     50); /* closed segments get flushed */
    assert_ok(kj_topic_alter(a, "t", &limit, 1, NULL, 0));
    /* Not due for five minutes: nothing. Then whoever steps next does it, also on what it never
     * touched. */
    assert_ok(kj_store_step(a));
    assert_int_equal(kj_log_start(kj_partition_log(partition)), 0);
    kj_shared_store(kj_shared_of(a), KJ_CONTROL_TASKS + KJ_TASK_RETENTION, 0);
    assert_ok(kj_store_open(&options, &b));
    assert_ok(kj_store_step(b));
    assert_true(kj_log_start(kj_partition_log(partition)) > 20);
    assert_true(kj_store_metric(b, KJ_METRIC_RETENTION_BYTES) > 2000);
    assert_true(kj_store_metric(b, KJ_METRIC_SEGMENTS_DELETED) >= 2);
    assert_null(b->loaded);
    assert_int_equal(count_records(partition), 50 - kj_log_start(kj_partition_log(partition)));
    /* A roll is followed by retention of its own partition. */
    int64_t start = kj_log_start(kj_partition_log(partition));
    fill(partition, 20);
    assert_ok(kj_store_step(a));
    assert_true(kj_log_start(kj_partition_log(partition)) > start);
    /* The log start reaches its checkpoint, other processes and the next open. */
    int64_t low;
    assert_ok(kj_partition_delete_records(partition, 69, &low));
    assert_int_equal(low, 69);
    assert_err(kj_partition_delete_records(partition, 99, &low), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    const struct kj_property compact = {"cleanup.policy", "compact"};
    assert_ok(kj_topic_alter(a, "t", &compact, 1, NULL, 0));
    assert_err(kj_partition_delete_records(partition, 70, &low), KAJA_ERR_POLICY_VIOLATION);
    kj_topic_release(topic);
    assert_ok(kj_store_close(a));
    assert_ok(kj_store_close(b));
    assert_ok(kj_store_open(&options, &a));
    topic = topic_of(a, "t");
    assert_int_equal(kj_log_start(kj_partition_log(partition_of(topic, 0))), 69);
    assert_int_equal(count_records(partition_of(topic, 0)), 1);
    kj_topic_release(topic);
    assert_ok(kj_store_close(a));
}

static void checkpoints_are_written_from_time_to_time(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    for (int i = 0; i < 4; i++)
        assert_ok(append_text(partition, "x", i < 3, NULL));
    assert_ok(kj_store_flush(store, &partition, 1));
    assert_ok(append_text(partition, "x", false, NULL));
    int64_t low;
    assert_ok(kj_partition_delete_records(partition, 2, &low));
    assert_ok(kj_store_step(store));
    char *text = slurp(dir->path, "recovery-point-offset-checkpoint");
    assert_string_equal(text, "0\n1\nt 0 4\n");
    free(text);
    text = slurp(dir->path, "log-start-offset-checkpoint");
    assert_string_equal(text, "0\n1\nt 0 2\n");
    free(text);
    text = slurp(dir->path, "replication-offset-checkpoint");
    assert_string_equal(text, "0\n1\nt 0 5\n");
    free(text);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static void a_full_directory_says_so(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.rules.log_config = small_segments;
    options.disk_max = 5000;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    char value[101];
    memset(value, 'v', 100);
    value[100] = '\0';
    int err = 0, appended = 0;
    while (err == 0 && appended < 1000) {
        err = append_text(partition, value, false, NULL);
        appended += err == 0;
    }
    assert_err(err, KAJA_ERR_DISK_FULL);
    assert_true(appended > 20 && appended < 30);
    assert_int_equal(count_records(partition), appended);
    /* Room is made by whoever deletes, and found by the next append. */
    int64_t low;
    assert_ok(kj_partition_delete_records(partition, -1, &low));
    assert_ok(append_text(partition, value, false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    /* A limit is judged by what is there, also what others left. */
    options.disk_max = 100;
    assert_ok(kj_store_open(&options, &store));
    topic = topic_of(store, "t");
    assert_err(append_text(partition_of(topic, 0), value, false, NULL), KAJA_ERR_DISK_FULL);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static void events_are_bounded(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    struct kj_event event = {.kind = KAJA_EVENT_BACKGROUND};
    options.event_queue_max = 10;
    assert_ok(kj_store_open(&options, &store));
    assert_false(kj_store_event_take(store, &event));
    for (int i = 0; i < 13; i++) {
        event.offset = i;
        kj_store_event_add(store, &event);
    }
    assert_int_equal(kj_store_metric(store, KJ_METRIC_EVENTS_DROPPED), 3);
    for (int i = 0; i < 10; i++) {
        assert_true(kj_store_event_take(store, &event));
        assert_int_equal(event.offset, i);
    }
    assert_true(kj_store_event_take(store, &event));
    assert_int_equal(event.kind, KAJA_EVENT_DROPPED);
    assert_int_equal(event.offset, 3);
    assert_false(kj_store_event_take(store, &event));
    assert_ok(kj_store_close(store));
}

/* --- deleting under load --- */

struct load {
    const char *path;
    _Atomic int stop;
    int err;
    int64_t appended;
};

static void *append_all_the_time(void *arg)
{
    struct load *load = arg;
    struct kj_store_options options = test_options(load->path);
    struct kj_store *store;
    options.background_threads = 1;
    load->err = kj_store_open(&options, &store);
    if (load->err != 0)
        return NULL;
    while (atomic_load(&load->stop) == 0 && load->err == 0) {
        struct kj_topic *topic;
        struct kj_partition *partition;
        load->err = kj_topic_find(store, "t", true, &topic);
        if (load->err != 0)
            break;
        int err = kj_topic_partition(topic, 0, &partition);
        for (int i = 0; i < 50 && err == 0; i++) {
            err = append_text(partition, "x", i % 8 == 0, NULL);
            load->appended += err == 0;
        }
        if (err == 0)
            err = kj_store_flush(store, &partition, 1);
        if (err != 0 && err != KAJA_ERR_UNKNOWN_TOPIC_ID && err != KAJA_ERR_UNKNOWN_PARTITION)
            load->err = err;
        kj_topic_release(topic);
    }
    int err = kj_store_close(store);
    if (load->err == 0)
        load->err = err;
    return NULL;
}

static int flushed_by_itself(const struct kj_property *topic, size_t topic_count,
                             const struct kj_property *directory, size_t directory_count,
                             struct kj_log_config *ret_config)
{
    (void)directory;
    (void)directory_count;
    kj_log_config_defaults(ret_config);
    ret_config->retention_ms = -1;
    for (size_t i = 0; i < topic_count; i++) {
        if (strcmp(topic[i].name, "flush.messages") == 0)
            ret_config->flush_messages = atoll(topic[i].value);
        if (strcmp(topic[i].name, "flush.ms") == 0)
            ret_config->flush_ms = atoll(topic[i].value);
    }
    return 0;
}

static bool durable_within(struct kj_log *log, int64_t end, int ms)
{
    for (int i = 0; i < ms / 5 && kj_log_durable(log) < end; i++)
        nap_ms(5);
    return kj_log_durable(log) >= end;
}

/* flush.messages: so many records of acks=1 and no more stay unflushed, and wait for nobody else
 * to become readable. */
static void flush_messages_flushes(void **state)
{
    const struct temp_dir *dir = *state;
    const struct kj_property three = {"flush.messages", "3"};
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.rules.log_config = flushed_by_itself;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "t", 1, &three, 1));
    struct kj_topic *topic = topic_of(store, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    struct kj_log *log = kj_partition_log(partition);
    for (int i = 1; i <= 7; i++) {
        assert_ok(append_text(partition, "x", false, NULL));
        assert_ok(kj_store_step(store));
        assert_int_equal(kj_log_durable(log), i / 3 * 3);
        assert_int_equal(count_records(partition), i);
    }
    uint64_t calls = kj_store_metric(store, KJ_METRIC_FLUSH_CALLS);
    assert_int_equal(calls, 2);
    /* Who appends with acks=all flushes by himself. */
    for (int i = 0; i < 4; i++)
        assert_ok(append_text(partition, "x", true, NULL));
    assert_null(store->work_first);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));

    options.background_threads = 1;
    assert_ok(kj_store_open(&options, &store));
    topic = topic_of(store, "t");
    partition = partition_of(topic, 0);
    log = kj_partition_log(partition);
    for (int i = 0; i < 3; i++)
        assert_ok(append_text(partition, "x", false, NULL));
    assert_true(durable_within(log, 14, 5000));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* A flush of flush.messages that could not be done is made good. */
static void flush_messages_is_not_forgotten(void **state)
{
    const struct temp_dir *dir = *state;
    const struct kj_property one = {"flush.messages", "1"};
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store, *other;
    struct kj_log_flush flush;
    options.rules.log_config = flushed_by_itself;
    assert_ok(kj_store_open(&options, &other));
    options.lock_timeout_ms = 50;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "t", 1, &one, 1));
    struct kj_topic *topic = topic_of(store, "t"), *others = topic_of(other, "t");
    struct kj_log *log = kj_partition_log(partition_of(topic, 0));
    struct kj_log *busy = kj_partition_log(partition_of(others, 0));
    assert_ok(kj_log_flush_begin(busy, true, &flush));
    assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    assert_ok(kj_store_step(store));
    assert_ok(kj_log_flush_end(&flush, 0));
    assert_int_equal(kj_log_durable(log), 0);
    store->next_tick_ns = 0;
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_log_durable(log), 1);
    kj_topic_release(topic);
    kj_topic_release(others);
    assert_ok(kj_store_close(store));
    assert_ok(kj_store_close(other));
}

/* flush.ms: each partition has its own deadline, from its oldest unflushed record on, and not the
 * second in which the step looks at everything. */
static void flush_ms_flushes_in_time(void **state)
{
    const struct temp_dir *dir = *state;
    const struct kj_property soon = {"flush.ms", "30"}, late = {"flush.ms", "3000000"};
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.rules.log_config = flushed_by_itself;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "soon", 1, &soon, 1));
    assert_ok(kj_topic_create(store, "late", 1, &late, 1));
    struct kj_topic *topics[2] = {topic_of(store, "soon"), topic_of(store, "late")};
    struct kj_partition *p[2] = {partition_of(topics[0], 0), partition_of(topics[1], 0)};
    struct kj_log *logs[2] = {kj_partition_log(p[0]), kj_partition_log(p[1])};
    assert_ok(kj_store_step(store));
    for (int64_t round = 1; round <= 3; round++) {
        int64_t began_ns = now();
        for (int i = 0; i < 2; i++)
            assert_ok(append_text(p[i], "x", false, NULL));
        assert_ok(kj_store_step(store));
        int64_t at_ns = kj_store_next_deadline_ns(store);
        assert_true(at_ns >= began_ns && at_ns <= now() + 30000000);
        while (now() < at_ns)
            nap_ms(1);
        assert_ok(kj_store_step(store));
        assert_int_equal(kj_log_durable(logs[0]), round);
        assert_int_equal(kj_log_durable(logs[1]), 0);
    }
    /* What is appended after a flush ages from then on: not each second from the first on. */
    kj_store_relaxed(&p[1]->unflushed_since_ns, (uint64_t)(now() - 4000000000000));
    store->next_tick_ns = 0;
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_log_durable(logs[1]), 3);
    assert_ok(append_text(p[1], "x", false, NULL));
    store->next_tick_ns = 0;
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_log_durable(logs[1]), 3);
    kj_topic_release(topics[0]);
    kj_topic_release(topics[1]);
    assert_ok(kj_store_close(store));
}

static void topics_come_and_go_under_load(void **state)
{
    const struct temp_dir *dir = *state;
    enum { THREADS = 3, ROUNDS = 25 };
    struct load loads[THREADS] = {0};
    pthread_t ids[THREADS];
    struct kj_store *store = open_store(dir->path);
    for (int i = 0; i < THREADS; i++) {
        loads[i].path = dir->path;
        assert_int_equal(pthread_create(&ids[i], NULL, append_all_the_time, &loads[i]), 0);
    }
    int deleted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        nap_ms(5);
        int err = kj_topic_delete(store, "t");
        assert_true(err == 0 || err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
        deleted += err == 0;
    }
    for (int i = 0; i < THREADS; i++)
        atomic_store(&loads[i].stop, 1);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        if (loads[i].err != 0)
            fail_msg("thread %d: %s", i, kaja_error_name(loads[i].err));
        assert_true(loads[i].appended > 0);
    }
    assert_true(deleted > 0);
    assert_int_equal(count_events(store, KAJA_EVENT_BACKGROUND), 0);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
}

/* A neighbour that was stopped in the middle of a flush: who only reads neither waits for it when
 * it does its work nor when it leaves; who wrote does, and the error says for whom. */
static void readers_leave_beside_a_stopped_flush(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *stopped, *reader, *writer;
    struct kj_log_flush flush;
    char owner[64];
    options.rules.log_config = small_segments;
    assert_ok(kj_store_open(&options, &stopped));
    options.lock_timeout_ms = 300;
    assert_ok(kj_store_open(&options, &reader));
    assert_ok(kj_store_open(&options, &writer));
    assert_ok(kj_topic_create(stopped, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(stopped, "t");
    struct kj_log *log = kj_partition_log(partition_of(topic, 0));
    struct kj_topic *read = topic_of(reader, "t"), *written = topic_of(writer, "t");
    fill(partition_of(topic, 0), 20); /* several segments that nobody flushed */
    assert_true(kj_log_owes_flush(log));
    assert_ok(kj_log_flush_begin(log, true, &flush));
    assert_ok(append_text(partition_of(written, 0), "mine", false, NULL));
    assert_int_equal(count_records(partition_of(read, 0)), 21);
    assert_false(kj_log_owes_flush(kj_partition_log(partition_of(read, 0))));

    int64_t began_ns = kj_mono_ns(reader->clock);
    assert_ok(kj_store_step(reader));
    kj_topic_release(read);
    assert_ok(kj_store_close(reader));
    assert_true(kj_mono_ns(stopped->clock) - began_ns < 300000000);

    (void)snprintf(owner, sizeof owner, "process %d (handle %u)", (int)getpid(),
                   stopped->handle_number);
    struct kj_partition *mine = partition_of(written, 0);
    assert_err(kj_store_flush(writer, &mine, 1), KAJA_ERR_LOCK_TIMED_OUT);
    assert_non_null(strstr(kaja_error_detail(), owner));
    assert_non_null(strstr(kaja_error_detail(), "t-0: the flush lock"));
    kj_topic_release(written);
    assert_err(kj_store_close(writer), KAJA_ERR_LOCK_TIMED_OUT);

    assert_ok(kj_log_flush_end(&flush, 0));
    assert_true(kj_log_owes_flush(log) == false);
    kj_topic_release(topic);
    assert_ok(kj_store_close(stopped)); /* the last one sees to what the others left */
    assert_true(is_clean(dir->path));
    stopped = open_store(dir->path);
    topic = topic_of(stopped, "t");
    assert_int_equal(count_records(partition_of(topic, 0)), 21);
    kj_topic_release(topic);
    assert_ok(kj_store_close(stopped));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flush_makes_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_of_two_handles_flush_together, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_made_as_fast_as_it_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(opposite_orders_do_not_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_flush_is_told_and_leaves_no_marker, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(readers_wake_when_there_is_something, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_dead_writer_left_is_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_run_in_steps_and_in_the_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(retention_is_done_by_whoever_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_are_written_from_time_to_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_directory_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(events_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_flush_delays_only_its_partition, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_do_not_wait_beside_a_stopped_append, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_messages_flushes, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_messages_is_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(flush_ms_flushes_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(topics_come_and_go_under_load, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_leave_beside_a_stopped_flush, setup, teardown),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
