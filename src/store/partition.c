/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/partition.c - partitions as this handle knows them: made and loaded when somebody first
 * asks, so that a directory of ten thousand costs only those in use.
 */
#include "store/internal.h"

#include <string.h>

struct kj_log *kj_partition_log(struct kj_partition *partition)
{
    return atomic_load(&partition->log);
}

int32_t kj_partition_number(const struct kj_partition *partition)
{
    return partition->number;
}

struct kj_topic *kj_partition_topic(const struct kj_partition *partition)
{
    return partition->topic;
}

bool kj_partition_live(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    kj_lock_acquire(&store->lock);
    bool live =
        partition->session != NULL && partition->session->attached && !partition->private_words;
    kj_lock_release(&store->lock);
    return live;
}

uint64_t kj_slot_word(struct kj_store *store, uint32_t slot_number, enum kj_slot_word word)
{
    kj_word slot;
    if (kj_control_slot(kj_shared_of(store), slot_number, &slot) != 0) {
        kj_err_clear();
        return 0;
    }
    return kj_shared_load(kj_shared_of(store), slot + (kj_word)word);
}

bool kj_store_recovered_end(struct kj_store *store, const char *name, int32_t partition,
                            int64_t *ret_end)
{
    struct kj_catalog *catalog = kj_store_catalog(store);
    const struct kj_catalog_topic *topic = kj_catalog_find(catalog, name);
    bool found = topic != NULL && !topic->deleting && partition >= 0 &&
                 partition < topic->partitions;
    uint32_t slot_number = found ? kj_catalog_slot(topic, partition) : 0;
    kj_catalog_release(catalog);
    if (!found || kj_slot_word(store, slot_number, KJ_SLOT_STATE) != KJ_SLOT_READY)
        return false;
    *ret_end = (int64_t)kj_slot_word(store, slot_number, KJ_SLOT_END);
    return true;
}

/* --- logs --- */

int kj_partition_log_new(struct kj_store *store, struct kj_session *session, const char *topic,
                         const uint8_t id[static 16], int32_t partition, uint32_t slot_number,
                         bool adopted, bool private_words, const struct kj_log_config *config,
                         struct kj_news_target *news, struct kj_log **ret_log)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    kj_word slot = UINT32_MAX;
    (void)store;
    if (!kj_partition_dir_name(dir, topic, partition))
        return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION, "%s-%d is too long for a directory's name",
                      topic, partition);
    if (!private_words)
        KJ_TRY(kj_control_slot(session->shared, slot_number, &slot));
    struct kj_log_options options = {.env = &session->env,
                                     .topic = topic,
                                     .partition = partition,
                                     .dir = dir,
                                     .slot_number = slot_number,
                                     .slot = slot,
                                     .adopted = adopted,
                                     .config = *config,
                                     .news = kj_store_news,
                                     .news_arg = news};
    memcpy(options.topic_id, id, sizeof options.topic_id);
    return kj_log_new(&options, ret_log);
}

int kj_slot_load(struct kj_store *store, struct kj_session *session, struct kj_log *log,
                 uint32_t slot_number)
{
    kj_word slot;
    (void)store;
    KJ_TRY(kj_control_slot(session->shared, slot_number, &slot));
    int64_t point = (int64_t)kj_shared_load(session->shared, slot + KJ_SLOT_RECOVERY_POINT);
    int64_t log_start = (int64_t)kj_shared_load(session->shared, slot + KJ_SLOT_LOG_START);
    if (point == KJ_POINT_RECOVER)
        point = 0; /* not its end, so it is recovered */
    return kj_log_load(log, point, log_start);
}

int kj_spare_log_open(struct kj_store *store, const struct kj_catalog *catalog,
                      const struct kj_catalog_topic *topic, int32_t partition,
                      struct kj_spare_log *ret_spare)
{
    struct kj_log_config config;
    KJ_TRY(kj_topic_config_of(store, catalog, topic, &config));
    ret_spare->news = (struct kj_news_target){store, topic->name, partition};
    ret_spare->log = NULL;
    ret_spare->slot_number = kj_catalog_slot(topic, partition);
    return kj_partition_log_new(store, kj_session_of(store), topic->name, topic->id, partition,
                                kj_catalog_slot(topic, partition), topic->adopted, false, &config,
                                &ret_spare->news, &ret_spare->log);
}

void kj_spare_log_close(struct kj_spare_log *spare)
{
    kj_log_free(spare->log);
    spare->log = NULL;
}

/* --- partitions --- */

void kj_partition_free(struct kj_partition *partition)
{
    if (partition == NULL)
        return;
    struct kj_store *store = partition->topic->store;
    kj_lock_acquire(&store->lock);
    if (atomic_load(&partition->log) != NULL) {
        if (partition->loaded_prev != NULL)
            partition->loaded_prev->loaded_next = partition->loaded_next;
        else
            store->loaded = partition->loaded_next;
        if (partition->loaded_next != NULL)
            partition->loaded_next->loaded_prev = partition->loaded_prev;
    }
    kj_lock_release(&store->lock);
    for (size_t i = 0; i < partition->retired_count; i++)
        kj_log_free(partition->retired[i]);
    kj_free(partition->retired);
    kj_log_free(atomic_load(&partition->log));
    kj_free(partition);
}

/* A log for the partition in the session as it is now, loaded. */
static int make_log(struct kj_partition *partition, struct kj_session *session,
                    struct kj_log **ret_log, bool *ret_private)
{
    struct kj_topic *topic = partition->topic;
    struct kj_store *store = topic->store;
    struct kj_log_config config;
    uint64_t version = kj_load_acquire(&topic->config_version);
    kj_topic_config(topic, &config);
    bool private_words = !session->attached;
    /* A read-only handle cannot load a slot for others: until somebody does, it looks for itself.
     */
    if (session->attached && store->options.read_only) {
        kj_word slot;
        KJ_TRY(kj_control_slot(session->shared, partition->slot_number, &slot));
        private_words = kj_shared_load(session->shared, slot + KJ_SLOT_STATE) == KJ_SLOT_UNLOADED;
    }
    struct kj_log *log;
    KJ_TRY(kj_partition_log_new(store, session, topic->name, topic->id, partition->number,
                                partition->slot_number, kj_topic_adopted(topic), private_words,
                                &config, &partition->news, &log));
    int64_t recovery_point, log_start, cleaned;
    int err;
    if (private_words) {
        kj_checkpoint_of(store, topic->name, partition->number, &recovery_point, &log_start,
                         &cleaned);
        kj_log_set_cleaned(log, cleaned);
        err = kj_log_load(log, recovery_point, log_start);
    } else {
        err = kj_slot_load(store, session, log, partition->slot_number);
    }
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        kj_log_free(log);
        return kj_err_restore(&why);
    }
    kj_store_release(&partition->config_seen, version);
    *ret_log = log;
    *ret_private = private_words;
    return 0;
}

static void link_loaded(struct kj_store *store, struct kj_partition *partition)
{
    partition->loaded_prev = NULL;
    partition->loaded_next = store->loaded;
    if (store->loaded != NULL)
        store->loaded->loaded_prev = partition;
    else
        kj_store_poke(store); /* from now on there is something to do each second */
    store->loaded = partition;
}

/* STORE lock held; given up while it loads. */
static int load(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    struct kj_session *session = kj_session_of(store);
    struct kj_log *log = NULL;
    bool private_words = false;
    partition->load = KJ_LOAD_RUNNING;
    kj_lock_release(&store->lock);
    int err = kj_log_gone(session->shared, true);
    if (err == 0)
        err = make_log(partition, session, &log, &private_words);
    kj_lock_acquire(&store->lock);
    struct kj_log *old = atomic_load(&partition->log);
    void *retired = partition->retired;
    if (err == 0 && old != NULL) {
        err = kj_grow(&retired, &partition->retired_capacity, partition->retired_count + 1,
                      sizeof old);
        partition->retired = retired;
        if (err != 0)
            kj_log_free(log);
        else
            partition->retired[partition->retired_count++] = old;
    }
    if (err == 0) {
        partition->session = session;
        partition->private_words = private_words;
        atomic_store(&partition->log, log);
        if (old == NULL)
            link_loaded(store, partition);
    }
    partition->load = err == 0 || old != NULL ? KJ_LOAD_DONE : KJ_LOAD_NONE;
    kj_cond_broadcast(&store->cond);
    return err;
}

int kj_partition_object_new(struct kj_topic *topic, int32_t number,
                            struct kj_partition **ret_partition)
{
    struct kj_partition *partition = kj_alloc_zero(1, sizeof *partition);
    if (partition == NULL)
        return kj_err_oom("a partition");
    partition->topic = topic;
    partition->number = number;
    partition->slot_number = topic->slots[number];
    partition->news = (struct kj_news_target){topic->store, topic->name, number};
    kj_store_relaxed(&partition->active_seen, UINT64_MAX);
    *ret_partition = partition;
    return 0;
}

/* Is another log due? Only for read-only handles. STORE lock held. */
static bool outdated(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    if (!store->options.read_only || partition->load != KJ_LOAD_DONE)
        return false;
    struct kj_session *session = kj_session_of(store);
    if (partition->session != session)
        return true;
    return partition->private_words && session->attached &&
           kj_slot_word(store, partition->slot_number, KJ_SLOT_STATE) != KJ_SLOT_UNLOADED;
}

int kj_partition_follow(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    if (!store->options.read_only)
        return 0;
    KJ_TRY(kj_session_follow(store));
    KJ_TRY(kj_store_sync(store));
    int err = 0;
    kj_lock_acquire(&store->lock);
    /* The slot's number belongs to a catalog: a deleted topic keeps what it has. */
    if (kj_load_acquire(&partition->topic->deleted) == 0 && outdated(partition))
        err = load(partition);
    kj_lock_release(&store->lock);
    return err;
}

int kj_topic_partition(struct kj_topic *topic, int32_t number, struct kj_partition **ret_partition)
{
    struct kj_store *store = topic->store;
    struct kj_partition *partition = NULL;
    KJ_TRY(kj_store_sync(store));
    kj_lock_acquire(&store->lock);
    int err = 0;
    if (number < 0 || (uint64_t)number >= kj_load_acquire(&topic->partition_count))
        err =
            kj_err_at(kj_err(KAJA_ERR_UNKNOWN_PARTITION,
                             "topic %s has %llu partitions, no number %d", topic->name,
                             (unsigned long long)kj_load_acquire(&topic->partition_count), number),
                      topic->name, number, -1, -1);
    if (err == 0 && topic->partitions[number] == NULL) {
        err = kj_partition_object_new(topic, number, &partition);
        if (err == 0)
            topic->partitions[number] = partition;
    }
    if (err == 0) {
        partition = topic->partitions[number];
        while (partition->load == KJ_LOAD_RUNNING)
            kj_cond_wait(&store->cond, &store->lock);
        if (partition->load == KJ_LOAD_NONE || outdated(partition))
            err = load(partition);
    }
    kj_lock_release(&store->lock);
    KJ_TRY(err);
    kj_partition_apply_config(partition);
    *ret_partition = partition;
    return 0;
}

void kj_partition_apply_config(struct kj_partition *partition)
{
    struct kj_topic *topic = partition->topic;
    struct kj_log *log = atomic_load(&partition->log);
    /* Again if it changed meanwhile: whoever sets last has looked last. */
    while (log != NULL) {
        uint64_t version = kj_load_acquire(&topic->config_version);
        if (version == kj_load_acquire(&partition->config_seen))
            return;
        struct kj_log_config config;
        kj_topic_config(topic, &config);
        kj_log_set_config(log, &config);
        kj_store_release(&partition->config_seen, version);
    }
}

/* --- lists --- */

int kj_partitions_loaded(struct kj_store *store, struct kj_partition ***ret_partitions,
                         size_t *ret_count)
{
    void *list = NULL;
    size_t count = 0, capacity = 0;
    int err = 0;
    kj_lock_acquire(&store->lock);
    for (struct kj_partition *p = store->loaded; p != NULL && err == 0; p = p->loaded_next) {
        err = kj_grow(&list, &capacity, count + 1, sizeof p);
        if (err == 0 && kj_topic_try_hold(p->topic))
            ((struct kj_partition **)list)[count++] = p;
    }
    kj_lock_release(&store->lock);
    if (err != 0) {
        kj_partitions_let_go(list, count);
        return err;
    }
    *ret_partitions = list;
    *ret_count = count;
    return 0;
}

void kj_partitions_let_go(struct kj_partition **partitions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kj_topic_release(partitions[i]->topic);
    kj_free(partitions);
}

void kj_partition_queue(struct kj_partition *partition, unsigned work)
{
    struct kj_store *store = partition->topic->store;
    kj_lock_acquire(&store->work_lock);
    bool idle = partition->work == 0;
    bool more = (partition->work | work) != partition->work;
    partition->work |= work;
    if (idle) {
        kj_topic_hold(partition->topic);
        partition->work_next = store->work_first;
        store->work_first = partition;
        kj_store_relaxed(&store->work_waits, 1);
    }
    kj_lock_release(&store->work_lock);
    if (more)
        kj_store_poke(store);
}

/* --- appending --- */

static void count_appended(struct kj_store *store, const struct kj_append_batch *batches,
                           size_t count)
{
    uint64_t bytes = 0, good = 0;
    for (size_t i = 0; i < count; i++)
        if (batches[i].ret_error == 0 && !batches[i].ret_duplicate) {
            bytes += batches[i].len;
            good++;
        }
    kj_store_metric_add(store, KJ_METRIC_APPEND_CALLS, 1);
    kj_store_metric_add(store, KJ_METRIC_APPEND_BATCHES, good);
    kj_store_metric_add(store, KJ_METRIC_APPEND_BYTES, bytes);
    for (size_t i = 0; i < count; i++)
        if (batches[i].ret_error != 0)
            kj_store_metric_add(store, KJ_METRIC_APPEND_ERRORS, 1);
    if (bytes > 0)
        kj_space_add(store, (int64_t)bytes);
}

/* What the append leaves to others: readers, the worker. */
static void spread_news(struct kj_partition *partition, struct kj_log *log, int64_t high_watermark,
                        bool durable)
{
    struct kj_store *store = partition->topic->store;
    unsigned work = 0;
    /* Batches of acks=all become readable with their flush, which wakes then. */
    if (kj_log_high_watermark(log) > high_watermark)
        kj_wake_readers(store, partition->slot_number);
    uint64_t active = kj_slot_word(store, partition->slot_number, KJ_SLOT_ACTIVE_BASE);
    uint64_t seen = kj_load_relaxed(&partition->active_seen);
    if (active != seen) {
        kj_store_relaxed(&partition->active_seen, active);
        if (seen != UINT64_MAX) {
            kj_store_metric_add(store, KJ_METRIC_ROLLS, 1);
            work |= KJ_WORK_FLUSH | KJ_WORK_RETAIN;
        }
    }
    if (store->options.prepare_max_bytes > 0 && kj_log_prepare_due(log))
        work |= KJ_WORK_PREPARE;
    /* Whoever appended with acks=all flushes by itself, and everything before. */
    if (!durable && kj_log_flush_messages_due(log))
        work |= KJ_WORK_FLUSH;
    if (!durable && kj_log_flush_ms(log) < INT64_MAX &&
        kj_load_relaxed(&partition->unflushed_since_ns) == 0) {
        kj_store_relaxed(&partition->unflushed_since_ns, (uint64_t)kj_mono_ns(store->clock));
        work |= KJ_WORK_FLUSH_LATER;
    }
    if (work != 0)
        kj_partition_queue(partition, work);
}

static bool any_durable(const struct kj_append_batch *batches, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (batches[i].durable && batches[i].ret_error == 0 && !batches[i].ret_duplicate)
            return true;
    return false;
}

/* What comes before every append. */
static int may_append(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    KJ_TRY(store->options.read_only
               ? kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only")
               : kj_log_gone(kj_shared_of(store), false));
    KJ_TRY(kj_store_sync(store)); /* one word is looked at: new properties hold from now on */
    kj_partition_apply_config(partition);
    return 0;
}

int kj_partition_hold(struct kj_partition *partition)
{
    KJ_TRY(may_append(partition));
    return kj_log_hold(atomic_load(&partition->log));
}

int kj_partition_hold_soon(struct kj_partition *partition)
{
    KJ_TRY(may_append(partition));
    return kj_log_hold_soon(atomic_load(&partition->log));
}

int kj_partition_hold_by(struct kj_partition *partition, int64_t deadline_ns)
{
    KJ_TRY(may_append(partition));
    return kj_log_hold_by(atomic_load(&partition->log), deadline_ns);
}

int kj_partition_append_held(struct kj_partition *partition, struct kj_append_batch *batches,
                             size_t count, enum kj_append_origin origin)
{
    struct kj_log *log = atomic_load(&partition->log);
    int64_t high_watermark = kj_log_high_watermark(log);
    int err = kj_log_append_held(log, batches, count, origin);
    count_appended(partition->topic->store, batches, count);
    spread_news(partition, log, high_watermark, any_durable(batches, count));
    if (err == KAJA_ERR_DISK_FULL)
        kj_partition_queue(partition, KJ_WORK_RETAIN);
    return err;
}

void kj_partition_let_go(struct kj_partition *partition)
{
    kj_log_let_go(atomic_load(&partition->log));
}

bool kj_partition_busy(struct kj_partition *partition)
{
    return kj_shared_lock_held(kj_shared_of(partition->topic->store),
                               kj_append_lock(partition->slot_number));
}

/* soon: with since_ns and ret_busy as kj_log_append_soon() has them. */
static int append_within(struct kj_partition *partition, struct kj_append_batch *batches,
                         size_t count, enum kj_append_origin origin, bool soon, int64_t since_ns,
                         bool *ret_busy)
{
    struct kj_store *store = partition->topic->store;
    struct kj_log *log = atomic_load(&partition->log);
    int err = may_append(partition);
    if (err == 0 && store->options.disk_max >= 0) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < count; i++)
            bytes += batches[i].len;
        err = kj_space_check(store, bytes);
    }
    if (err != 0) {
        for (size_t i = 0; i < count; i++)
            batches[i].ret_error = err;
        kj_store_metric_add(store, KJ_METRIC_APPEND_ERRORS, count);
        return err;
    }
    int64_t high_watermark = kj_log_high_watermark(log);
    if (soon)
        err = kj_log_append_soon(log, batches, count, origin, since_ns, ret_busy);
    else
        err = kj_log_append(log, batches, count, origin);
    if (*ret_busy)
        return err; /* it is only put off */
    count_appended(store, batches, count);
    spread_news(partition, log, high_watermark, any_durable(batches, count));
    if (err == KAJA_ERR_DISK_FULL)
        kj_partition_queue(partition, KJ_WORK_RETAIN);
    return err;
}

int kj_partition_append(struct kj_partition *partition, struct kj_append_batch *batches,
                        size_t count, enum kj_append_origin origin)
{
    bool busy = false;
    return append_within(partition, batches, count, origin, false, 0, &busy);
}

int kj_partition_append_soon(struct kj_partition *partition, struct kj_append_batch *batches,
                             size_t count, enum kj_append_origin origin, int64_t since_ns,
                             bool *ret_busy)
{
    *ret_busy = false;
    return append_within(partition, batches, count, origin, true, since_ns, ret_busy);
}

int kj_partition_delete_records(struct kj_partition *partition, int64_t offset,
                                int64_t *ret_log_start)
{
    struct kj_topic *topic = partition->topic;
    struct kj_log_config config;
    if (topic->store->options.read_only)
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(kj_store_sync(topic->store));
    kj_topic_config(topic, &config);
    if (config.cleanup_compact && !config.cleanup_delete)
        return kj_err_at(
            kj_err(KAJA_ERR_POLICY_VIOLATION,
                   "topic %s is compacted: its cleanup.policy does not have \"delete\"",
                   topic->name),
            topic->name, partition->number, offset, -1);
    struct kj_log *log = atomic_load(&partition->log);
    struct kj_log_stats before, after;
    KJ_TRY(kj_log_get_stats(log, &before));
    KJ_TRY(kj_log_delete_records(log, offset, ret_log_start));
    if (kj_log_get_stats(log, &after) == 0 && after.bytes < before.bytes)
        kj_space_add(topic->store, after.bytes - before.bytes);
    return 0;
}
