/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/cleaner.c - compaction: whoever's time has come and who gets the lock KJ_TASK_CLEANER looks
 * through all compacted partitions, a few a step, and compacts the one with the largest share of
 * bytes that were not compacted yet; then it looks again, until there is nothing to do. The others
 * come by every log.cleaner.backoff.ms.
 *
 *     waiting -> looking -> cleaning -> looking -> ... -> waiting
 *
 * All of it in slices of some milliseconds, as the step has other things to do and a close does not
 * wait: nothing but the lock is held between two of them. A process that is stopped in between
 * keeps the others from compacting, and from nothing else.
 *
 * What stands on disk at every point: log/clean_swap.c. Ahead of a round's first swap kaja.cleaned
 * says how far it may go, behind its last one cleaner-offset-checkpoint says where the next begins:
 * in this order, or what a tombstone stands for could come back.
 */
#include "store/settle.h"

#include <string.h>

enum { LOOK_PARTITIONS = 64, SLICE_NS = 5000000, STEP_BYTES = 1 << 18, LOCK_NS = 10000000 };
/* Free space that a round leaves to those who append. */
enum { ROOM_BYTES = 1 << 20 };

static const int64_t second_ns = 1000000000;

/* --- partitions that are passed over --- */

static struct kj_clean_aside *find_aside(struct kj_cleaner *cleaner, uint32_t slot)
{
    for (size_t i = 0; i < cleaner->aside_count; i++)
        if (cleaner->aside[i].slot == slot)
            return &cleaner->aside[i];
    return NULL;
}

/* for_good: until what is there now was deleted; else in this pass. */
static void put_aside(struct kj_store *store, uint32_t slot, bool for_good)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    struct kj_clean_aside *aside = find_aside(cleaner, slot);
    if (aside == NULL) {
        void *grown = cleaner->aside;
        int err = kj_grow(&grown, &cleaner->aside_capacity, cleaner->aside_count + 1,
                          sizeof *aside);
        cleaner->aside = grown;
        if (err != 0) {
            kj_err_clear();
            cleaner->broken_off = true; /* or it would be looked at for ever */
            return;
        }
        aside = &cleaner->aside[cleaner->aside_count++];
    }
    *aside = (struct kj_clean_aside){
        .slot = slot, .for_good = for_good, .log_start = kj_slot_word(store, slot,
                                                                      KJ_SLOT_LOG_START)};
}

static bool is_aside(struct kj_store *store, uint32_t slot)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    struct kj_clean_aside *aside = find_aside(cleaner, slot);
    if (aside == NULL)
        return false;
    if (aside->for_good && kj_slot_word(store, slot, KJ_SLOT_LOG_START) != aside->log_start) {
        *aside = cleaner->aside[--cleaner->aside_count];
        return false;
    }
    return true;
}

static void end_of_pass_aside(struct kj_cleaner *cleaner)
{
    size_t left = 0;
    for (size_t i = 0; i < cleaner->aside_count; i++)
        if (cleaner->aside[i].for_good)
            cleaner->aside[left++] = cleaner->aside[i];
    cleaner->aside_count = left;
}

/* Something kept a partition from being compacted: others are looked at. */
static void failed(struct kj_store *store, int err, const struct kj_catalog_topic *topic,
                   int32_t partition, bool moved)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    uint32_t slot = kj_catalog_slot(topic, partition);
    bool passes = true;
    switch (err) {
    case KAJA_ERR_UNKNOWN_TOPIC_ID: /* deleted */
    case KAJA_ERR_POISONED:         /* which told its own story */
    case KAJA_ERR_LOCK_TIMED_OUT:   /* somebody is stopped in it */
        break;
    case KAJA_ERR_DISK_FULL:
    case KAJA_ERR_OUT_OF_MEMORY:
    case KAJA_ERR_FILE_LIMIT:
    case KAJA_ERR_KAFKA_STORAGE_ERROR:
        /* Once, until a round succeeds; not at all where retention took the files away. */
        if (!moved && !cleaner->told) {
            cleaner->told = true;
            kj_store_background_error(store, err, topic->name, partition);
        }
        break;
    default:
        passes = false;
        kj_store_metric_add(store, KJ_METRIC_COMPACTION_ASIDE, 1);
        kj_store_background_error(
            store, kj_err_at(kj_err(err, "%s-%d is not compacted any more: %s", topic->name,
                                    (int)partition,
                                    kaja_error_detail()),
                             topic->name, partition, -1, -1),
            topic->name, partition);
    }
    kj_err_clear();
    put_aside(store, slot, !passes);
}

/* --- looking --- */

static int64_t map_bytes_max(struct kj_store *store)
{
    kj_lock_acquire(&store->lock);
    int64_t bytes = store->options.cleaner_map_bytes;
    kj_lock_release(&store->lock);
    int64_t most = store->options.memory_max / 2; /* it may stand beside the one it grew out of */
    return most > 0 && most < bytes ? most : bytes;
}

static bool enabled(struct kj_store *store)
{
    kj_lock_acquire(&store->lock);
    bool enabled = store->options.cleaner_enable;
    kj_lock_release(&store->lock);
    return enabled;
}

/* The share of dirty bytes in millionths, -1: it is not due. */
static int64_t dirt_of(struct kj_store *store, const struct kj_log_config *config,
                       const struct kj_log_dirt *dirt)
{
    int64_t age, now_ms = kj_wall_ms(store->clock);
    if (dirt->dirty_bytes == 0)
        return -1;
    double share = (double)dirt->dirty_bytes / (double)(dirt->dirty_bytes + dirt->clean_bytes);
    bool overdue = dirt->oldest_ms >= 0 && !__builtin_sub_overflow(now_ms, dirt->oldest_ms, &age) &&
                   age > config->max_compaction_lag_ms;
    int64_t millionths = (int64_t)(share * 1000000);
    return overdue || millionths > config->min_cleanable_ppm ? millionths : -1;
}

/* With the properties of now: a log of this handle may have older ones. */
static int load(struct kj_store *store, struct kj_borrowed *borrowed)
{
    KJ_TRY(kj_borrowed_load(store, borrowed));
    if (!borrowed->spare)
        kj_partition_apply_config(borrowed->partition);
    return 0;
}

static void look_at(struct kj_store *store, const struct kj_catalog_topic *topic, int32_t partition)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    struct kj_borrowed borrowed;
    struct kj_log_dirt dirt = {0};
    uint32_t slot = kj_catalog_slot(topic, partition);
    uint64_t state = kj_slot_word(store, slot, KJ_SLOT_STATE);
    int64_t first_dirty = kj_checkpoint_get(&cleaner->points, topic->name, partition);
    if (state == KJ_SLOT_DELETED || is_aside(store, slot))
        return;
    if (state == KJ_SLOT_READY) {
        int64_t active = (int64_t)kj_slot_word(store, slot, KJ_SLOT_ACTIVE_BASE);
        if (active <= (int64_t)kj_slot_word(store, slot, KJ_SLOT_LOG_START) ||
            active == first_dirty)
            return; /* the usual case: nothing ended since */
    }
    int err = kj_slot_borrow(store, cleaner->catalog, topic, partition, &borrowed);
    if (err == 0) {
        err = load(store, &borrowed);
        int64_t log_start = err == 0 ? kj_log_start(borrowed.log) : INT64_MAX;
        if (err == 0)
            err = kj_log_dirt(borrowed.log, first_dirty, &dirt);
        bool moved = err != 0 && kj_log_start(borrowed.log) > log_start;
        kj_borrowed_return(&borrowed);
        if (err != 0)
            failed(store, err, topic, partition, moved);
    } else {
        failed(store, err, topic, partition, false);
    }
    int64_t share = err == 0 ? dirt_of(store, &cleaner->config, &dirt) : -1;
    if (share > cleaner->best_share) {
        cleaner->best_share = share;
        cleaner->best_topic = cleaner->topic;
        cleaner->best_partition = partition;
        cleaner->cleaning.first_dirty = dirt.first_dirty;
    }
}

static bool is_compacted(struct kj_store *store, const struct kj_catalog *catalog,
                         const struct kj_catalog_topic *topic, struct kj_log_config *ret_config)
{
    if (!topic->deleting && kj_topic_config_of(store, catalog, topic, ret_config) == 0)
        return ret_config->cleanup_compact;
    kj_err_clear();
    return false;
}

/* True while there is more to look at. */
static bool look_on(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    int64_t until_ns = kj_mono_ns(store->clock) + SLICE_NS;
    for (int i = 0; i < LOOK_PARTITIONS && kj_mono_ns(store->clock) < until_ns; i++) {
        if (cleaner->topic >= cleaner->catalog->count)
            return false;
        const struct kj_catalog_topic *topic = cleaner->catalog->topics[cleaner->topic];
        if (cleaner->partition == 0)
            cleaner->wanted = is_compacted(store, cleaner->catalog, topic, &cleaner->config);
        if (!cleaner->wanted || cleaner->partition >= topic->partitions) {
            cleaner->topic++;
            cleaner->partition = 0;
            continue;
        }
        look_at(store, topic, cleaner->partition++);
    }
    return true;
}

/* --- a round --- */

static int before_swaps(void *arg, int64_t end)
{
    struct kj_store *store = arg;
    struct kj_cleaner *cleaner = &store->cleaner;
    if (!kj_lock_try(&store->change_lock))
        return kj_err(KAJA_ERR_LOCK_TIMED_OUT, "another thread changes topics");
    int err = kj_cleaned_note(store, cleaner->catalog->topics[cleaner->best_topic],
                              cleaner->best_partition, end);
    kj_lock_release(&store->change_lock);
    return err;
}

/* For what is written beside what is there. kaja.disk.max is not asked: a directory that has
 * reached it would stay full for ever. */
static int room(void *arg, int64_t bytes)
{
    struct kj_store *store = arg;
    struct kj_io_fs fs;
    int os = kj_io_fs(store->io, &fs);
    if (os != 0)
        return kj_err_os(os, "looking at the file system");
    if (fs.free_bytes - ROOM_BYTES >= bytes)
        return 0;
    return kj_err(KAJA_ERR_DISK_FULL,
                  "compacting %lld bytes needs as much free space for a while; %lld are free",
                  (long long)bytes, (long long)fs.free_bytes);
}

/* The topic may have been deleted, or be compacted no more. */
static bool still_wanted(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    const struct kj_catalog_topic *topic = cleaner->catalog->topics[cleaner->best_topic];
    struct kj_log_config config;
    if (kj_store_sync(store) != 0) {
        kj_err_clear();
        return false;
    }
    struct kj_catalog *catalog = kj_store_catalog(store);
    const struct kj_catalog_topic *now = kj_catalog_find(catalog, topic->name);
    bool wanted = now != NULL && memcmp(now->id, topic->id, sizeof now->id) == 0 &&
                  is_compacted(store, catalog, now, &config);
    kj_catalog_release(catalog);
    return wanted;
}

static void end_round(struct kj_store *store, struct kj_log *log)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    if (cleaner->round != NULL)
        kj_log_clean_end(cleaner->round, log);
    cleaner->round = NULL;
    cleaner->rounded = false;
    kj_err_clear();
}

static int begin_round(struct kj_store *store, struct kj_log *log)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    cleaner->cleaning = (struct kj_log_cleaning){
        .first_dirty = cleaner->cleaning.first_dirty,
        .map_bytes = (size_t)map_bytes_max(store),
        .wait_ns = LOCK_NS,
        .begin = before_swaps,
        .room = room,
        .arg = store,
    };
    cleaner->log_start = kj_log_start(log);
    cleaner->was_dirty = cleaner->cleaning.first_dirty;
    return kj_log_clean_begin(log, &cleaner->cleaning, &cleaner->round);
}

static int go_on(struct kj_store *store, struct kj_log *log)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    int64_t until_ns = kj_mono_ns(store->clock) + SLICE_NS;
    if (cleaner->round == NULL && !cleaner->rounded)
        return begin_round(store, log);
    do {
        KJ_TRY(kj_log_clean_step(cleaner->round, log, &cleaner->cleaning, STEP_BYTES,
                                 &cleaner->rounded));
        cleaner->slice_bytes += STEP_BYTES;
    } while (!cleaner->rounded && kj_mono_ns(store->clock) < until_ns &&
             cleaner->slice_bytes < 32 * STEP_BYTES);
    return 0;
}

/* Behind the last swap: the next round begins where this one ended. */
static int finish(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    const struct kj_catalog_topic *topic = cleaner->catalog->topics[cleaner->best_topic];
    const struct kj_log_cleaning *cleaning = &cleaner->cleaning;
    if (cleaning->first_dirty > cleaner->was_dirty) {
        if (!kj_lock_try(&store->change_lock))
            return kj_err(KAJA_ERR_LOCK_TIMED_OUT, "another thread changes topics");
        int err = kj_cleaner_point_put(store, topic, cleaner->best_partition,
                                       cleaning->first_dirty);
        kj_lock_release(&store->change_lock);
        KJ_TRY(err);
        kj_store_metric_add(store, KJ_METRIC_COMPACTIONS, 1);
        cleaner->told = false;
    } else {
        put_aside(store, kj_catalog_slot(topic, cleaner->best_partition), false);
    }
    if (cleaning->ret_freed_bytes != 0)
        kj_space_add(store, -cleaning->ret_freed_bytes);
    if (cleaning->ret_freed_bytes > 0)
        kj_store_metric_add(store, KJ_METRIC_COMPACTION_BYTES, (uint64_t)cleaning->ret_freed_bytes);
    return 0;
}

/* --- the pass --- */

static void end_look(struct kj_cleaner *cleaner)
{
    kj_catalog_release(cleaner->catalog);
    cleaner->catalog = NULL;
    kj_checkpoint_free(&cleaner->points);
}

static int begin_look(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    KJ_TRY(kj_store_sync(store));
    KJ_TRY(kj_cleaner_points_read(store, &cleaner->points));
    cleaner->catalog = kj_store_catalog(store);
    cleaner->topic = 0;
    cleaner->partition = 0;
    cleaner->best_share = -1;
    cleaner->stuck_ns = 0;
    return 0;
}

static void end_pass(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    struct kj_shared *shared = kj_shared_of(store);
    end_look(cleaner);
    end_of_pass_aside(cleaner);
    cleaner->state = KJ_CLEANER_WAITS;
    cleaner->broken_off = false;
    kj_shared_store(shared, KJ_CONTROL_TASKS + (kj_word)KJ_TASK_CLEANER,
                    (uint64_t)kj_mono_ns(store->clock));
    kj_shared_unlock(shared, KJ_LOCK_TASKS + (uint64_t)KJ_TASK_CLEANER, UINT32_MAX);
}

/* A look at everything, for the next one that is due. */
static void look_anew(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    end_look(cleaner);
    cleaner->state = KJ_CLEANER_LOOKS;
    int err = cleaner->broken_off ? 0 : begin_look(store);
    if (err != 0)
        kj_store_background_error(store, err, NULL, -1);
    kj_err_clear();
    if (cleaner->catalog == NULL)
        end_pass(store);
}

static void clean_slice(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    const struct kj_catalog_topic *topic = cleaner->catalog->topics[cleaner->best_topic];
    struct kj_borrowed borrowed;
    bool wanted = still_wanted(store), moved = false, over = !wanted;
    int err = kj_slot_borrow(store, cleaner->catalog, topic, cleaner->best_partition, &borrowed);
    if (err != 0) {
        kj_err_clear();
        end_round(store, NULL);
        put_aside(store, kj_catalog_slot(topic, cleaner->best_partition), false);
        look_anew(store);
        return;
    }
    if (wanted)
        err = load(store, &borrowed);
    if (wanted && err == 0 && !cleaner->rounded)
        err = go_on(store, borrowed.log);
    if (wanted && err == 0 && cleaner->rounded) {
        err = finish(store);
        over = err == 0;
    }
    int64_t now_ns = kj_mono_ns(store->clock);
    if (err == KAJA_ERR_LOCK_TIMED_OUT && cleaner->round != NULL) {
        if (cleaner->stuck_ns == 0)
            cleaner->stuck_ns = now_ns;
        cleaner->resume_ns = now_ns + 5 * (int64_t)LOCK_NS;
        if (now_ns - cleaner->stuck_ns < store->options.lock_timeout_ms * 1000000)
            err = 0; /* again */
    } else {
        cleaner->stuck_ns = 0;
    }
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        moved = kj_log_start(borrowed.log) > cleaner->log_start;
        end_round(store, borrowed.log);
        failed(store, kj_err_restore(&why), topic, cleaner->best_partition, moved);
    } else if (over) {
        end_round(store, borrowed.log);
    }
    kj_err_clear();
    kj_borrowed_return(&borrowed);
    if (err != 0 || over)
        look_anew(store);
}

/* log.cleaner.io.max.bytes.per.second: what was read is waited for. */
static void brake(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    kj_lock_acquire(&store->lock);
    double most = (double)store->options.cleaner_microbytes_per_second / 1000000;
    kj_lock_release(&store->lock);
    double wait_ns = most > 0 ? (double)cleaner->slice_bytes / most * 1e9 : 0;
    int64_t resume_ns = kj_mono_ns(store->clock) + (int64_t)(wait_ns < 1e10 ? wait_ns : 1e10);
    if (wait_ns >= SLICE_NS && resume_ns > cleaner->resume_ns)
        cleaner->resume_ns = resume_ns;
    cleaner->slice_bytes = 0;
}

/* Gets the lock, if it is time. Returns when to come again, 0: now. */
static int64_t begin_pass(struct kj_store *store, int64_t now_ns)
{
    struct kj_shared *shared = kj_shared_of(store);
    int64_t due_ns;
    if (!kj_task_due(store, KJ_TASK_CLEANER, now_ns, &due_ns))
        return due_ns;
    if (kj_shared_try_lock(shared, KJ_LOCK_TASKS + (uint64_t)KJ_TASK_CLEANER,
                           KJ_LOCK_EXCLUSIVE) != 0)
        return now_ns + second_ns;
    if (!kj_task_due(store, KJ_TASK_CLEANER, now_ns, &due_ns)) {
        kj_shared_unlock(shared, KJ_LOCK_TASKS + (uint64_t)KJ_TASK_CLEANER, UINT32_MAX);
        return due_ns;
    }
    look_anew(store);
    return 0;
}

int64_t kj_cleaner_run(struct kj_store *store, int64_t now_ns)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    if (!enabled(store)) {
        kj_cleaner_stop(store);
        return INT64_MAX;
    }
    if (cleaner->state == KJ_CLEANER_WAITS) {
        int64_t due_ns = begin_pass(store, now_ns);
        return due_ns > 0 ? due_ns : now_ns;
    }
    if (now_ns < cleaner->resume_ns)
        return cleaner->resume_ns;
    if (cleaner->state == KJ_CLEANER_CLEANS) {
        clean_slice(store);
        brake(store);
    } else if (!look_on(store)) {
        if (cleaner->best_share >= 0)
            cleaner->state = KJ_CLEANER_CLEANS;
        else
            end_pass(store);
    }
    return cleaner->resume_ns > now_ns ? cleaner->resume_ns : now_ns;
}

void kj_cleaner_stop(struct kj_store *store)
{
    struct kj_cleaner *cleaner = &store->cleaner;
    if (cleaner->state == KJ_CLEANER_WAITS)
        return;
    if (cleaner->round != NULL) {
        struct kj_borrowed borrowed;
        bool gone = kj_store_gone(store);
        const struct kj_catalog_topic *topic = cleaner->catalog->topics[cleaner->best_topic];
        if (!gone && kj_slot_borrow(store, cleaner->catalog, topic, cleaner->best_partition,
                                    &borrowed) == 0) {
            end_round(store, borrowed.log);
            kj_borrowed_return(&borrowed);
        } else {
            end_round(store, NULL);
        }
    }
    end_pass(store);
    cleaner->resume_ns = 0;
}

void kj_cleaner_free(struct kj_cleaner *cleaner)
{
    kj_free(cleaner->aside);
}
