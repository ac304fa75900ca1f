/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/tasks.c - the step: everything that is due, by the worker thread or, without one, by
 * whoever calls kj_store_step().
 *
 *     each step       what upper rooms registered; what appends left (prepare, flush, retain)
 *     flush.ms        each partition's own deadline
 *     each second     while partitions are in use: whether the directory is still there, segments
 *                     that others deleted, flushes nobody did, unfinished changes
 *     each 10 s       descriptors that nobody used
 *     for all handles retention, checkpoints and compaction. No handle is in charge of them:
 *     whoever's
 *                     time has come tries the task's lock, looks in its word when it was last done,
 *                     does it.
 *
 * Nothing here is needed for correctness; errors become events and it is tried again.
 */
#include "store/settle.h"

#include <errno.h>
#include <string.h>

static const int64_t second_ns = 1000000000;
enum { SWEEP_SECONDS = 10 };

/* --- what upper rooms registered --- */

void kj_store_task_add(struct kj_store *store, struct kj_store_task *task)
{
    kj_lock_acquire(&store->lock);
    task->next = store->tasks;
    store->tasks = task;
    kj_lock_release(&store->lock);
    kj_store_poke(store);
}

void kj_store_task_remove(struct kj_store *store, struct kj_store_task *task)
{
    kj_lock_acquire(&store->lock);
    for (struct kj_store_task **at = &store->tasks; *at != NULL; at = &(*at)->next)
        if (*at == task) {
            *at = task->next;
            break;
        }
    while (store->running_task == task)
        kj_cond_wait(&store->cond, &store->lock);
    kj_lock_release(&store->lock);
}

static bool registered(const struct kj_store *store, const struct kj_store_task *task)
{
    const struct kj_store_task *at = store->tasks;
    while (at != NULL && at != task)
        at = at->next;
    return at != NULL;
}

/* Each once; a list that changes meanwhile is looked at again next time. */
static int64_t run_tasks(struct kj_store *store)
{
    int64_t deadline_ns = INT64_MAX;
    kj_lock_acquire(&store->lock);
    for (struct kj_store_task *task = store->tasks; task != NULL;) {
        store->running_task = task;
        kj_lock_release(&store->lock);
        int64_t next_ns = task->run(task->arg);
        kj_lock_acquire(&store->lock);
        store->running_task = NULL;
        kj_cond_broadcast(&store->cond);
        if (next_ns < deadline_ns)
            deadline_ns = next_ns;
        if (!registered(store, task)) {
            deadline_ns = 0; /* it was removed, and memory with it: begin anew */
            break;
        }
        task = task->next;
    }
    kj_lock_release(&store->lock);
    return deadline_ns;
}

/* --- what appends left --- */

/* Space is prepared only while there is plenty of it. */
static bool may_prepare(struct kj_store *store, int64_t now_ns)
{
    struct kj_io_fs fs;
    if (store->space_looked_ns == 0 || now_ns - store->space_looked_ns > second_ns) {
        store->space_looked_ns = now_ns;
        store->space_short =
            kj_io_fs(store->io, &fs) != 0 || fs.free_bytes < store->options.prepare_max_bytes;
    }
    return !store->space_short && store->prepared_bytes < store->options.prepare_max_bytes;
}

/* Bytes that are ready behind the end of one partition, roughly. */
static int64_t prepared_of(struct kj_store *store, const struct kj_partition *partition)
{
    int64_t ready = (int64_t)kj_slot_word(store, partition->slot_number, KJ_SLOT_PREPARED_POS);
    int64_t pos = 0;
    for (int copy = 0; copy < 2; copy++) {
        int64_t at = (int64_t)kj_slot_word(
            store, partition->slot_number,
            (enum kj_slot_word)(KJ_SLOT_HINTS + copy * KJ_HINT_WORDS + KJ_HINT_POS));
        pos = at > pos ? at : pos;
    }
    return ready > pos ? ready - pos : 0;
}

/* What appends used up makes room for more. */
static void count_prepared(struct kj_store *store, struct kj_partition *partition)
{
    int64_t bytes = prepared_of(store, partition);
    store->prepared_bytes += bytes - partition->prepared_counted;
    partition->prepared_counted = bytes;
}

static void prepare(struct kj_store *store, struct kj_partition *partition, int64_t now_ns)
{
    struct kj_log *log = kj_partition_log(partition);
    count_prepared(store, partition);
    if (!may_prepare(store, now_ns))
        return;
    int64_t before = (int64_t)kj_slot_word(store, partition->slot_number, KJ_SLOT_PREPARED_POS);
    int err = kj_log_prepare(log);
    int64_t after = (int64_t)kj_slot_word(store, partition->slot_number, KJ_SLOT_PREPARED_POS);
    if (after > before)
        kj_store_metric_add(store, KJ_METRIC_PREPARED_BYTES, (uint64_t)(after - before));
    count_prepared(store, partition);
    /* It is only for speed: an append that finds no space will say so. */
    if (err != 0 && err != KAJA_ERR_DISK_FULL && !kj_log_stale(log))
        kj_store_background_error(store, err, partition->topic->name, partition->number);
    if (err == KAJA_ERR_DISK_FULL)
        store->space_short = true;
    kj_err_clear();
}

static void flush_list(struct kj_store *store, struct kj_partition **list, size_t count)
{
    int err = count > 0 ? kj_store_flush_soon(store, list, count) : 0;
    /* A poisoned one has told its own story; one that another handle is flushing is looked at again
     * in a second. */
    if (err != 0 && err != KAJA_ERR_UNKNOWN_TOPIC_ID && err != KAJA_ERR_POISONED &&
        err != KAJA_ERR_LOCK_TIMED_OUT)
        kj_store_background_error(store, err, NULL, -1);
    if (err != 0)
        kj_err_clear();
}

/* --- flush.ms --- */

/* When the partition is to be flushed, INT64_MAX: not for its flush.ms. */
static int64_t flush_at(struct kj_store *store, struct kj_partition *partition, int64_t now_ns)
{
    struct kj_log *log = kj_partition_log(partition);
    int64_t ms = kj_log_flush_ms(log);
    if (ms > INT64_MAX / 2 / 1000000 || kj_log_poisoned(log) || kj_log_stale(log))
        return INT64_MAX;
    if (kj_log_durable(log) >= kj_log_end(log)) {
        kj_store_relaxed(&partition->unflushed_since_ns, 0);
        kj_fence(); /* an append that still saw the old value published its END before */
        if (kj_log_durable(log) >= kj_log_end(log))
            return INT64_MAX;
    }
    if (kj_load_relaxed(&partition->unflushed_since_ns) == 0)
        kj_store_relaxed(&partition->unflushed_since_ns, (uint64_t)now_ns);
    /* Whoever is at it already may be stopped: nobody waits for it here. */
    if (kj_shared_lock_held(kj_shared_of(store), kj_flush_lock(partition->slot_number)))
        return now_ns + second_ns;
    return (int64_t)kj_load_relaxed(&partition->unflushed_since_ns) + ms * 1000000;
}

static void flush_by(struct kj_store *store, int64_t at_ns)
{
    if (at_ns < store->next_flush_ns)
        store->next_flush_ns = at_ns;
}

static int64_t flush_aged(struct kj_store *store, int64_t now_ns)
{
    struct kj_partition **loaded;
    size_t count, flush_count = 0;
    if (now_ns < store->next_flush_ns)
        return store->next_flush_ns;
    store->next_flush_ns = INT64_MAX;
    struct kj_partition **flush = NULL;
    int err = kj_partitions_loaded(store, &loaded, &count);
    if (err == 0 && (flush = kj_alloc((count + 1) * sizeof(*flush))) == NULL)
        kj_partitions_let_go(loaded, count);
    if (flush == NULL) {
        kj_err_clear();
        store->next_flush_ns = now_ns + second_ns;
        return store->next_flush_ns;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t at_ns = flush_at(store, loaded[i], now_ns);
        if (at_ns <= now_ns)
            flush[flush_count++] = loaded[i];
        else
            flush_by(store, at_ns);
    }
    /* What is appended from here on begins to age anew. */
    for (size_t i = 0; i < flush_count; i++)
        kj_store_relaxed(&flush[i]->unflushed_since_ns, 0);
    flush_list(store, flush, flush_count);
    for (size_t i = 0; i < flush_count; i++) {
        int64_t at_ns = flush_at(store, flush[i], now_ns);
        flush_by(store, at_ns > now_ns ? at_ns : now_ns + second_ns); /* no faster than it can be */
    }
    kj_free(flush);
    kj_partitions_let_go(loaded, count);
    return store->next_flush_ns;
}

/* --- what appends left, done --- */

/* One partition's share, its work flags given. */
static void do_work(struct kj_store *store, struct kj_partition *partition, unsigned work,
                    int64_t now_ns)
{
    if ((work & KJ_WORK_PREPARE) != 0)
        prepare(store, partition, now_ns);
    if ((work & KJ_WORK_FLUSH) != 0)
        flush_list(store, &partition, 1);
    if ((work & KJ_WORK_FLUSH_LATER) != 0)
        flush_by(store, flush_at(store, partition, now_ns));
    if ((work & KJ_WORK_RETAIN) != 0)
        kj_retain_log(store, kj_partition_log(partition), partition->topic->name,
                      partition->number);
}

bool kj_store_work_waits(const struct kj_store *store)
{
    return kj_load_relaxed(&store->work_waits) != 0;
}

static void run_queue(struct kj_store *store, int64_t now_ns)
{
    kj_lock_acquire(&store->work_lock);
    struct kj_partition *first = store->work_first;
    store->work_first = NULL;
    kj_store_relaxed(&store->work_waits, 0);
    kj_lock_release(&store->work_lock);
    while (first != NULL) {
        struct kj_partition *partition = first;
        kj_lock_acquire(&store->work_lock);
        unsigned work = partition->work;
        first = partition->work_next;
        partition->work = 0; /* what comes from here on queues it again */
        kj_lock_release(&store->work_lock);
        do_work(store, partition, work, now_ns);
        kj_topic_release(partition->topic);
    }
}

/* --- each second --- */

/* Segments that ended, or flush.messages, without anybody flushing since. */
static bool wants_flush(struct kj_store *store, struct kj_partition *partition)
{
    struct kj_log *log = kj_partition_log(partition);
    if (kj_log_durable(log) >= kj_log_end(log) || kj_log_poisoned(log) || kj_log_stale(log))
        return false;
    bool due = kj_log_flush_messages_due(log) ||
               kj_slot_word(store, partition->slot_number, KJ_SLOT_SYNCED_BASE) <
                   kj_slot_word(store, partition->slot_number, KJ_SLOT_ACTIVE_BASE);
    /* Whoever is at it already may be stopped: nobody waits for it here. */
    return due && !kj_shared_lock_held(kj_shared_of(store), kj_flush_lock(partition->slot_number));
}

static void tick_loaded(struct kj_store *store, int64_t now_ns)
{
    struct kj_partition **loaded;
    size_t count, flush_count = 0;
    if (kj_partitions_loaded(store, &loaded, &count) != 0) {
        kj_err_clear();
        return;
    }
    struct kj_partition **flush = kj_alloc((count + 1) * sizeof(*flush));
    int64_t prepared_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct kj_partition *partition = loaded[i];
        int err = kj_log_refresh(kj_partition_log(partition));
        if (err != 0 && !kj_log_stale(kj_partition_log(partition)))
            kj_store_background_error(store, err, partition->topic->name, partition->number);
        if (err != 0)
            kj_err_clear();
        if (store->options.read_only)
            continue;
        kj_partition_apply_config(partition);
        partition->prepared_counted = prepared_of(store, partition);
        prepared_bytes += partition->prepared_counted;
        flush_by(store, flush_at(store, partition, now_ns)); /* others append too */
        if (flush != NULL && wants_flush(store, partition))
            flush[flush_count++] = partition;
    }
    store->prepared_bytes = prepared_bytes;
    flush_list(store, flush, flush_count);
    kj_free(flush);
    kj_partitions_let_go(loaded, count);
}

static int64_t tick(struct kj_store *store, int64_t now_ns)
{
    kj_lock_acquire(&store->lock);
    bool busy = store->loaded != NULL;
    kj_lock_release(&store->lock);
    if (!busy) {
        store->next_tick_ns = 0;
        return INT64_MAX;
    }
    if (now_ns < store->next_tick_ns)
        return store->next_tick_ns;
    store->next_tick_ns = now_ns + second_ns;
    if (kj_shared_look_gone(kj_shared_of(store), true))
        return now_ns; /* see tell_gone() */
    int err = kj_store_sync(store);
    if (err == 0 && !store->options.read_only)
        err = kj_settle_try(store);
    if (err != 0) {
        kj_store_background_error(store, err, NULL, -1);
        kj_err_clear();
    }
    tick_loaded(store, now_ns);
    if (now_ns >= store->next_sweep_ns) {
        store->next_sweep_ns = now_ns + SWEEP_SECONDS * second_ns;
        kj_file_cache_sweep(store->files);
    }
    return store->next_tick_ns;
}

/* --- for all handles --- */

static int64_t interval_ns(struct kj_store *store, enum kj_task task)
{
    kj_lock_acquire(&store->lock);
    int64_t ms = task == KJ_TASK_RETENTION     ? store->options.retention_check_ms
                 : task == KJ_TASK_CLEANER     ? store->options.cleaner_backoff_ms
                 : task == KJ_TASK_CHECKPOINTS ? store->options.checkpoint_ms
                                               : store->options.start_checkpoint_ms;
    kj_lock_release(&store->lock);
    if (ms < 100)
        ms = 100; /* as often as makes sense */
    return ms < INT64_MAX / 2000000 ? ms * 1000000 : INT64_MAX / 2;
}

/* The word holds CLOCK_MONOTONIC ns, which in another time namespace is another clock: a value that
 * lies ahead of ours counts from when we first saw it. */
bool kj_task_due(struct kj_store *store, enum kj_task task, int64_t now_ns, int64_t *ret_due_ns)
{
    uint64_t last = kj_shared_load(kj_shared_of(store), KJ_CONTROL_TASKS + (kj_word)task);
    if (last != store->tasks_seen[task].value) {
        store->tasks_seen[task].value = last;
        store->tasks_seen[task].seen_ns = now_ns;
    }
    int64_t since_ns = (int64_t)last;
    if (since_ns < 0 || since_ns > now_ns)
        since_ns = store->tasks_seen[task].seen_ns;
    *ret_due_ns = last == 0 ? now_ns : since_ns + interval_ns(store, task);
    return *ret_due_ns <= now_ns;
}

static int do_task(struct kj_store *store, enum kj_task task)
{
    KJ_TRY(kj_store_sync(store)); /* behind the lock: see kj_checkpoints_forget() */
    if (task == KJ_TASK_RETENTION) {
        kj_retention_begin(store);
        return store->options.disk_max >= 0 ? kj_space_count(store) : 0;
    }
    struct kj_catalog *catalog = kj_store_catalog(store);
    int err = kj_checkpoints_write(store, catalog,
                                   task == KJ_TASK_CHECKPOINTS ? KJ_CHECKPOINT_RECOVERY
                                                               : KJ_CHECKPOINT_STARTS);
    kj_catalog_release(catalog);
    return err;
}

/* Returns when to look again. */
static int64_t run_task(struct kj_store *store, enum kj_task task, int64_t now_ns)
{
    struct kj_shared *shared = kj_shared_of(store);
    uint64_t lock = KJ_LOCK_TASKS + (uint64_t)task;
    int64_t due_ns;
    if (!kj_task_due(store, task, now_ns, &due_ns))
        return due_ns;
    /* change_lock keeps out the threads of this handle that change the catalog, and these locks
     * with it. */
    if (!kj_lock_try(&store->change_lock))
        return now_ns + second_ns;
    int os = kj_shared_try_lock(shared, lock, KJ_LOCK_EXCLUSIVE);
    if (os == 0 && kj_task_due(store, task, now_ns, &due_ns)) {
        int err = do_task(store, task);
        kj_shared_store(shared, KJ_CONTROL_TASKS + (kj_word)task, (uint64_t)now_ns);
        if (err != 0) {
            kj_store_background_error(store, err, NULL, -1);
            kj_err_clear();
        }
        due_ns = now_ns + interval_ns(store, task);
    }
    if (os == 0)
        kj_shared_unlock(shared, lock, UINT32_MAX);
    kj_lock_release(&store->change_lock);
    return os == 0 ? due_ns : now_ns + second_ns;
}

/* --- the step --- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The directory went from under us: nothing is done for it any more. Those who wait for records
 * find out now; what upper rooms registered fails what it holds, each time it runs from now on. */
static void tell_gone(struct kj_store *store)
{
    if (store->gone_told)
        return;
    store->gone_told = true;
    kj_store_background_error(store, kj_log_gone(kj_shared_of(store), false), NULL, -1);
    kj_err_clear();
    if (!store->options.read_only)
        kj_wake_everybody(store);
}

/* What the store does by itself. Returns when the next of it is due. */
static int64_t run_own(struct kj_store *store)
{
    int64_t now_ns = kj_mono_ns(store->clock);
    kj_file_cache_trim(store->files);
    run_queue(store, now_ns);
    int64_t deadline_ns = tick(store, now_ns);
    if (kj_store_gone(store))
        return now_ns; /* another step, and what is registered hears of it */
    if (!store->options.read_only)
        deadline_ns = earliest(deadline_ns, flush_aged(store, now_ns));
    for (int task = 0; task < KJ_TASK_COUNT && !store->options.read_only; task++)
        deadline_ns = earliest(deadline_ns, run_task(store, (enum kj_task)task, now_ns));
    if (!store->options.read_only && kj_retention_round(store))
        deadline_ns = now_ns;
    if (!store->options.read_only)
        deadline_ns = earliest(deadline_ns, kj_cleaner_run(store, now_ns));
    return deadline_ns;
}

int64_t kj_store_run(struct kj_store *store)
{
    uint64_t idle = 0;
    if (!kj_cas(&store->stepping, &idle, 1))
        return kj_mono_ns(store->clock);              /* another thread is at it */
    kj_store_release(&store->deadline_ns, INT64_MAX); /* a poke from here on lowers it again */
    bool gone = kj_store_gone(store);
    int64_t deadline_ns = run_tasks(store);
    if (gone)
        tell_gone(store);
    else
        deadline_ns = earliest(deadline_ns, run_own(store));
    uint64_t expected = INT64_MAX;
    (void)kj_cas(&store->deadline_ns, &expected, (uint64_t)deadline_ns); /* else: poked meanwhile */
    kj_store_release(&store->stepping, 0);
    return deadline_ns;
}
