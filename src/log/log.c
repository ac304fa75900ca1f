/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/recover.h"

#include "base/bytes.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void kj_log_config_defaults(struct kj_log_config *config)
{
    *config = (struct kj_log_config){
        .segment_bytes = 64 << 20,
        .segment_ms = 604800000,
        .index_interval_bytes = 4096,
        .segment_index_bytes = 10 << 20,
        .max_message_bytes = 1048588,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = 3600000,
        .retention_ms = 604800000,
        .retention_bytes = -1,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .delete_retention_ms = 86400000,
        .max_compaction_lag_ms = INT64_MAX,
        .min_cleanable_ppm = 500000,
        .producer_expiration_ms = 86400000,
        .cleanup_delete = true,
        .compression = -1,
        .compression_level = KJ_LEVEL_DEFAULT,
    };
}

/* What is looked at without a lock. */
static void mirror_config(struct kj_log *log)
{
    kj_store_relaxed(&log->segment_bytes, (uint64_t)log->config.segment_bytes);
    kj_store_relaxed(&log->flush_messages, (uint64_t)log->config.flush_messages);
    kj_store_relaxed(&log->flush_ms, (uint64_t)log->config.flush_ms);
}

int kj_log_new(const struct kj_log_options *options, struct kj_log **ret_log)
{
    struct kj_log *log = kj_alloc_zero(1, sizeof *log);
    if (log == NULL)
        return kj_err_oom("a partition");
    log->env = options->env;
    log->topic = kj_strdup(options->topic);
    log->dir = kj_strdup(options->dir);
    log->partition = options->partition;
    log->id_hi = kj_get_be64(options->topic_id);
    log->id_lo = kj_get_be64(options->topic_id + 8);
    log->slot_number = options->slot_number;
    log->slot = options->slot;
    log->has_slot = options->slot != UINT32_MAX;
    log->adopted = options->adopted;
    if (!log->has_slot)
        log->own_words = kj_alloc_zero(KJ_SLOT_WORDS, sizeof *log->own_words);
    if (log->topic == NULL || log->dir == NULL || (!log->has_slot && log->own_words == NULL)) {
        kj_free(log->topic);
        kj_free(log->dir);
        kj_free(log->own_words);
        kj_free(log);
        return kj_err_oom("a partition");
    }
    log->news = options->news;
    log->news_arg = options->news_arg;
    log->config = options->config;
    mirror_config(log);
    log->jitter_base = -1;
    log->last_time_end = -1;
    log->producers_end = -1;
    log->seen_changes = UINT64_MAX;
    kj_lock_init(&log->locking_lock, KJ_RANK_LEAF);
    kj_cond_init(&log->locking_cond);
    kj_lock_init(&log->append_lock, KJ_RANK_LOG_APPEND);
    kj_lock_init(&log->prepare_lock, KJ_RANK_LOG_PREPARE);
    kj_lock_init(&log->list_lock, KJ_RANK_LOG_LIST);
    kj_lock_init(&log->segments_lock, KJ_RANK_LOG_SEGMENTS);
    kj_lock_init(&log->flush_lock, KJ_RANK_LEAF);
    kj_cond_init(&log->flush_cond);
    *ret_log = log;
    return 0;
}

void kj_log_free(struct kj_log *log)
{
    if (log == NULL)
        return;
    kj_file_cache_leave(log->env->files, log);
    for (size_t i = 0; i < log->segment_count; i++)
        kj_segment_release(log->segments[i]);
    kj_free(log->segments);
    kj_producers_free(log->producers);
    kj_epochs_free(&log->epochs);
    kj_buffer_free(&log->plain);
    kj_lock_destroy(&log->locking_lock);
    kj_cond_destroy(&log->locking_cond);
    kj_lock_destroy(&log->append_lock);
    kj_lock_destroy(&log->prepare_lock);
    kj_lock_destroy(&log->list_lock);
    kj_lock_destroy(&log->segments_lock);
    kj_lock_destroy(&log->flush_lock);
    kj_cond_destroy(&log->flush_cond);
    kj_free(log->own_words);
    kj_free(log->topic);
    kj_free(log->dir);
    kj_free(log);
}

void kj_log_set_config(struct kj_log *log, const struct kj_log_config *config)
{
    kj_lock_acquire(&log->append_lock);
    kj_lock_acquire(&log->segments_lock);
    log->config = *config;
    mirror_config(log);
    kj_lock_release(&log->segments_lock);
    kj_lock_release(&log->append_lock);
}

int kj_log_gone(struct kj_shared *shared, bool look)
{
    if (look ? !kj_shared_look_gone(shared, false) : !kj_shared_gone(shared))
        return 0;
    return kj_err(KAJA_ERR_NO_DIRECTORY,
                  "the directory was removed, or replaced by another one, while it was open here: "
                  "close everything and open it again");
}

int kj_log_io_error(struct kj_log *log, int os_errno, const char *what, enum kj_file_kind kind,
                    int64_t base_offset, int64_t pos)
{
    char path[KJ_PATH_MAX];
    if (kind == KJ_FILE_OTHER)
        snprintf(path, sizeof path, "%s", log->dir);
    else
        kj_file_path(path, log->dir, kind, base_offset);
    if (os_errno == ENOENT)
        KJ_TRY(kj_log_gone(log->env->shared, true));
    /* The files of a deleted topic go while others are still at them. */
    if (os_errno == ENOENT && kj_log_stale(log))
        return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "%s %s: the topic was deleted", what, path), log->topic,
                         log->partition, -1, pos);
    int err = kind == KJ_FILE_OTHER ? 0 : kj_file_in_the_way(log->env->io, os_errno, path);
    if (err == 0)
        err = pos >= 0 ? kj_err_os(os_errno, "%s %s at %lld", what, path, (long long)pos)
                       : kj_err_os(os_errno, "%s %s", what, path);
    return kj_err_at(err, log->topic, log->partition, -1, pos);
}

void kj_log_tell(struct kj_log *log, int kind, int error, int64_t offset, int64_t end_offset,
                 const char *format, ...)
{
    if (log->news == NULL)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct kj_log_news news = {.kind = kind, .error = error, .offset = offset, .end_offset = end_offset, .text = text};
    log->news(log->news_arg, &news);
}

void kj_log_tell_gap(struct kj_log *log, int64_t base_offset, int64_t from, int64_t to)
{
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, KJ_FILE_LOG, base_offset);
    kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, from, to,
                "offsets %lld to %lld in front of %s are lost, what follows is kept", (long long)from,
                (long long)to - 1, path);
}

void kj_log_set_cleaned(struct kj_log *log, int64_t offset)
{
    kj_log_raise_word(log, KJ_SLOT_CLEANED, offset);
}

/* The word may say "unknown"; the active segment was never cleaned. */
int64_t kj_log_cleaned(struct kj_log *log)
{
    int64_t cleaned = (int64_t)kj_log_word(log, KJ_SLOT_CLEANED);
    int64_t active = (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE);
    return cleaned < active ? cleaned : active;
}

int kj_scan_too_far(struct kj_log *log, const struct kj_scan *scan, const struct kj_batch *batch,
                    int64_t base_offset)
{
    if (scan->pos + (int64_t)kj_batch_bytes(batch) <= INT32_MAX)
        return 0;
    char path[KJ_PATH_MAX];
    kj_file_path(path, log->dir, KJ_FILE_LOG, base_offset);
    return kj_err_at(kj_err(KAJA_ERR_DAMAGED,
                            "%s goes on with batches behind %d bytes, which no broker opens: it is "
                            "too large for a segment; nothing was changed",
                            path, INT32_MAX),
                     log->topic, log->partition, base_offset, scan->pos);
}

/* --- the tail hints --- */

static enum kj_slot_word hint(int copy, enum kj_hint_word word)
{
    return (enum kj_slot_word)(KJ_SLOT_HINTS + copy * KJ_HINT_WORDS + (int)word);
}

static bool load_copy(struct kj_log *log, int copy, int64_t end, struct kj_tail *ret_tail)
{
    if ((int64_t)kj_log_word(log, hint(copy, KJ_HINT_END)) != end)
        return false;
    struct kj_tail tail = {
        .end = end,
        .pos = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_POS)),
        .index_count = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_INDEX_COUNT)),
        .time_count = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_TIME_COUNT)),
        .txn_count = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_TXN_COUNT)),
        .since_index = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_SINCE_INDEX)),
        .max_timestamp = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_MAX_TIMESTAMP)),
        .max_ts_offset = (int64_t)kj_log_word(log, hint(copy, KJ_HINT_MAX_TS_OFFSET)),
    };
    /* Pairs with store_copy(): it takes the tag away before it changes the first field, so a tag that
     * still stands says that the fields belong to it. */
    if ((int64_t)kj_log_word(log, hint(copy, KJ_HINT_END)) != end)
        return false;
    /* Input, not trusted: numbers that cannot be are as good as none. */
    if (tail.pos < 0 || tail.pos > INT32_MAX || tail.index_count < 0 || tail.index_count > INT32_MAX ||
        tail.time_count < 0 || tail.time_count > INT32_MAX || tail.txn_count < 0 ||
        tail.txn_count > INT32_MAX || tail.since_index < 0)
        return false;
    *ret_tail = tail;
    return true;
}

static void store_copy(struct kj_log *log, int copy, const struct kj_tail *tail)
{
    kj_log_set_word(log, hint(copy, KJ_HINT_END), UINT64_MAX);
    kj_log_set_word(log, hint(copy, KJ_HINT_POS), (uint64_t)tail->pos);
    kj_log_set_word(log, hint(copy, KJ_HINT_INDEX_COUNT), (uint64_t)tail->index_count);
    kj_log_set_word(log, hint(copy, KJ_HINT_TIME_COUNT), (uint64_t)tail->time_count);
    kj_log_set_word(log, hint(copy, KJ_HINT_TXN_COUNT), (uint64_t)tail->txn_count);
    kj_log_set_word(log, hint(copy, KJ_HINT_SINCE_INDEX), (uint64_t)tail->since_index);
    kj_log_set_word(log, hint(copy, KJ_HINT_MAX_TIMESTAMP), (uint64_t)tail->max_timestamp);
    kj_log_set_word(log, hint(copy, KJ_HINT_MAX_TS_OFFSET), (uint64_t)tail->max_ts_offset);
    kj_log_set_word(log, hint(copy, KJ_HINT_END), (uint64_t)tail->end);
}

bool kj_tail_load(struct kj_log *log, struct kj_tail *ret_tail)
{
    int64_t end = (int64_t)kj_log_word(log, KJ_SLOT_END);
    return load_copy(log, 0, end, ret_tail) || load_copy(log, 1, end, ret_tail);
}

void kj_tail_store(struct kj_log *log, const struct kj_tail *tail)
{
    uint64_t end = kj_log_word(log, KJ_SLOT_END);
    int copy = kj_log_word(log, hint(0, KJ_HINT_END)) == end ? 1 : 0;
    store_copy(log, copy, tail);
}

void kj_tail_reset(struct kj_log *log, const struct kj_tail *tail)
{
    store_copy(log, 0, tail);
    store_copy(log, 1, tail);
}

/* --- offsets --- */

int64_t kj_log_end(struct kj_log *log)
{
    return (int64_t)kj_log_word(log, KJ_SLOT_END);
}

int64_t kj_log_durable(struct kj_log *log)
{
    return (int64_t)kj_log_word(log, KJ_SLOT_DURABLE);
}

int64_t kj_log_start(struct kj_log *log)
{
    return (int64_t)kj_log_word(log, KJ_SLOT_LOG_START);
}

bool kj_log_owes_flush(struct kj_log *log)
{
    int64_t own = (int64_t)kj_load_relaxed(&log->own_end);
    int64_t end = kj_log_end(log);
    return kj_log_durable(log) < (own < end ? own : end) && !kj_log_poisoned(log) &&
           !kj_log_stale(log);
}

bool kj_log_poisoned(struct kj_log *log)
{
    return kj_log_word(log, KJ_SLOT_POISON) != 0;
}

bool kj_log_flush_due(struct kj_log *log)
{
    int64_t end = kj_log_end(log);
    int64_t wanted = (int64_t)kj_log_word(log, KJ_SLOT_FLUSH_WANTED);
    if (wanted > end)
        wanted = end;
    return kj_log_durable(log) < wanted;
}

bool kj_log_flush_messages_due(struct kj_log *log)
{
    return (int64_t)kj_load_relaxed(&log->flush_messages) < INT64_MAX && kj_log_flush_due(log);
}

int64_t kj_log_flush_ms(struct kj_log *log)
{
    return (int64_t)kj_load_relaxed(&log->flush_ms);
}

int64_t kj_log_high_watermark(struct kj_log *log)
{
    /* The order of these three loads is the rule of design 2.2: a FLUSH_WANTED that belongs to END is
     * stored before it, and DURABLE only rises, so no acks=all batch is shown before its flush. */
    int64_t end = (int64_t)kj_log_word(log, KJ_SLOT_END);
    int64_t wanted = (int64_t)kj_log_word(log, KJ_SLOT_FLUSH_WANTED);
    int64_t durable = (int64_t)kj_log_word(log, KJ_SLOT_DURABLE);
    if (wanted > end)
        wanted = end;
    int64_t old = (int64_t)kj_log_word(log, KJ_SLOT_HIGH_WATERMARK);
    int64_t now = durable >= wanted ? end : durable;
    if (now <= old)
        return old;
    if (!log->env->read_only || !log->has_slot)
        kj_log_raise_word(log, KJ_SLOT_HIGH_WATERMARK, now);
    return now;
}

bool kj_log_stale(struct kj_log *log)
{
    uint64_t state = kj_log_word(log, KJ_SLOT_STATE);
    if (state == KJ_SLOT_UNLOADED)
        return false;
    return state != KJ_SLOT_READY || kj_log_word(log, KJ_SLOT_ID_HI) != log->id_hi ||
           kj_log_word(log, KJ_SLOT_ID_LO) != log->id_lo;
}

/* --- the append lock --- */

static int stale_error(struct kj_log *log)
{
    return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "topic %s was deleted, or deleted and created anew",
                            log->topic),
                     log->topic, log->partition, -1, -1);
}

int kj_log_lock_error(struct kj_log *log, int os_errno, const char *which, enum kj_slot_word owner,
                      int64_t waited_ns)
{
    if (os_errno != EAGAIN)
        return kj_log_io_error(log, os_errno, "locking", KJ_FILE_OTHER, 0, -1);
    uint64_t last = kj_log_word(log, owner);
    return kj_err_at(kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                            "%s-%d: the %s lock stayed held for %lld ms, last taken by process %u "
                            "(handle %u): is it stopped?",
                            log->topic, log->partition, which,
                            (long long)(waited_ns / 1000000),
                            (unsigned)(last & UINT32_MAX), (unsigned)(last >> 32)),
                     log->topic, log->partition, -1, -1);
}

/* The turn of one thread of this handle: locks between processes do not keep threads apart. */
static bool take_turn(struct kj_log *log, int64_t deadline_ns)
{
    bool late = false;
    kj_lock_acquire(&log->locking_lock);
    while (log->locking && !late)
        late = !kj_cond_wait_until(&log->locking_cond, &log->locking_lock, deadline_ns);
    bool ours = !log->locking;
    log->locking = true;
    kj_lock_release(&log->locking_lock);
    return ours;
}

static void end_turn(struct kj_log *log)
{
    kj_lock_acquire(&log->locking_lock);
    log->locking = false;
    kj_cond_signal(&log->locking_cond);
    kj_lock_release(&log->locking_lock);
}

static int lock_words(struct kj_log *log, int64_t wait_ns, int64_t since_ns)
{
    if (log->has_slot && log->env->read_only)
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    int64_t deadline_ns = kj_mono_ns(log->env->clock) + wait_ns;
    int os = take_turn(log, deadline_ns) ? 0 : EAGAIN;
    if (os == 0 && log->has_slot) {
        os = kj_shared_lock(log->env->shared, kj_append_lock(log->slot_number), KJ_LOCK_EXCLUSIVE,
                            log->slot + KJ_SLOT_APPEND_WAITERS, deadline_ns);
        if (os != 0)
            end_turn(log);
    }
    if (os != 0)
        return kj_log_lock_error(log, os, "append", KJ_SLOT_OWNER,
                                 kj_mono_ns(log->env->clock) - since_ns);
    if (log->has_slot)
        kj_log_set_word(log, KJ_SLOT_OWNER, log->env->owner);
    kj_lock_acquire(&log->append_lock);
    return 0;
}

int kj_log_lock_words(struct kj_log *log)
{
    return lock_words(log, log->env->lock_timeout_ns, kj_mono_ns(log->env->clock));
}

int kj_log_poison_error(struct kj_log *log)
{
    if (!kj_log_poisoned(log))
        return 0;
    int os = (int)kj_log_word(log, KJ_SLOT_POISON) - 1;
    return kj_err_at(kj_err(KAJA_ERR_POISONED,
                            "%s-%d refuses appends: a flush failed (%s); close every handle and open the "
                            "directory again to repair it",
                            log->topic, log->partition, strerror(os)),
                     log->topic, log->partition, -1, -1);
}

int kj_log_lock_within(struct kj_log *log, bool poison_ok, int64_t wait_ns, int64_t since_ns)
{
    KJ_TRY(lock_words(log, wait_ns, since_ns));
    int err = 0;
    if (kj_log_stale(log) || kj_log_word(log, KJ_SLOT_STATE) != KJ_SLOT_READY)
        err = stale_error(log);
    if (err == 0 && kj_log_word(log, KJ_SLOT_INTENT) != KJ_INTENT_NONE)
        err = kj_intent_settle(log);
    if (err == 0 && !poison_ok)
        err = kj_log_poison_error(log);
    if (err == 0)
        err = kj_segments_refresh(log);
    if (err != 0)
        kj_log_unlock(log);
    return err;
}

int kj_log_lock(struct kj_log *log, bool poison_ok)
{
    return kj_log_lock_within(log, poison_ok, log->env->lock_timeout_ns,
                              kj_mono_ns(log->env->clock));
}

void kj_log_unlock(struct kj_log *log)
{
    kj_lock_release(&log->append_lock);
    if (log->has_slot)
        kj_shared_unlock(log->env->shared, kj_append_lock(log->slot_number),
                         log->slot + KJ_SLOT_APPEND_WAITERS);
    end_turn(log);
}

/* --- loading --- */

/* Finds the end of the active segment: from the last index entry that its batch confirms, else from the
 * segment's first byte. Whole valid-looking batches only; what follows is left to the caller. */
static int walk_tail(struct kj_log *log, struct kj_segment *active, struct kj_tail *ret_tail,
                     enum kj_scan_result *ret_stop, int64_t *ret_size)
{
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(active, KJ_FILE_LOG, false, &file));
    struct kj_io_stat stat;
    struct kj_scan scan = {0};
    struct kj_tail tail = {.end = active->base_offset, .max_timestamp = -1, .max_ts_offset = active->base_offset};
    int err = 0;
    int os = kj_io_stat_file(file, &stat);
    if (os != 0) {
        err = kj_log_io_error(log, os, "looking at", KJ_FILE_LOG, active->base_offset, -1);
        goto out;
    }
    uint32_t index_count, time_count, txn_count;
    if ((err = kj_segment_index_count(active, KJ_FILE_INDEX, &index_count)) != 0 ||
        (err = kj_segment_index_count(active, KJ_FILE_TIMEINDEX, &time_count)) != 0)
        goto out;
    err = kj_segment_index_count(active, KJ_FILE_TXNINDEX, &txn_count);
    if (err == KAJA_ERR_NOT_KAJA) { /* whoever asks for aborted transactions is told */
        kj_err_clear();
        txn_count = 0;
        err = 0;
    }
    if (err != 0)
        goto out;
    tail.index_count = index_count;
    tail.time_count = time_count;
    tail.txn_count = txn_count;
    int64_t start = 0;
    if ((err = kj_segment_position(active, INT64_MAX, &start)) != 0)
        goto out;
    if (start > 0 && time_count > 0) {
        struct kj_file *times;
        struct kj_time_entry entry;
        if ((err = kj_segment_pin(active, KJ_FILE_TIMEINDEX, false, &times)) != 0)
            goto out;
        os = kj_time_index_read(times, active->base_offset, time_count - 1, &entry);
        kj_segment_unpin(active);
        if (os == 0) {
            tail.max_timestamp = entry.timestamp;
            tail.max_ts_offset = entry.offset;
        } else {
            start = 0;
        }
    }
    /* With CRCs: a writer that was killed may have left the first pages of a batch whose header is whole. */
    if ((err = kj_scan_init(&scan, file, start, stat.size, true)) != 0)
        goto out;
    struct kj_batch batch;
    int64_t expected = -1;
    enum kj_scan_result look;
    while ((look = kj_scan_look(&scan, &batch)) == KJ_SCAN_BATCH) {
        if ((err = kj_scan_too_far(log, &scan, &batch, active->base_offset)) != 0)
            goto out;
        if (batch.base_offset < active->base_offset || (expected >= 0 && batch.base_offset < expected)) {
            look = KJ_SCAN_BAD;
            break;
        }
        expected = kj_batch_next_offset(&batch);
        tail.end = expected;
        if (batch.max_timestamp > tail.max_timestamp) {
            tail.max_timestamp = batch.max_timestamp;
            tail.max_ts_offset = kj_batch_last_offset(&batch);
        }
        kj_scan_skip(&scan, &batch);
    }
    if (look == KJ_SCAN_ERROR)
        err = kj_log_io_error(log, scan.os_errno, "reading", KJ_FILE_LOG, active->base_offset, scan.pos);
    tail.pos = scan.pos;
    *ret_tail = tail;
    *ret_stop = look;
    *ret_size = stat.size;
out:
    kj_scan_free(&scan);
    kj_segment_unpin(active);
    return err;
}

static void publish_loaded(struct kj_log *log, const struct kj_tail *tail, int64_t log_start, int64_t durable)
{
    int64_t first = log->segments[0]->base_offset;
    int64_t active = log->segments[log->segment_count - 1]->base_offset;
    if (log_start < first)
        log_start = first;
    if (log_start > tail->end)
        log_start = tail->end;
    kj_log_set_word(log, KJ_SLOT_ID_HI, log->id_hi);
    kj_log_set_word(log, KJ_SLOT_ID_LO, log->id_lo);
    kj_log_set_word(log, KJ_SLOT_POISON, 0);
    kj_log_set_word(log, KJ_SLOT_ACTIVE_BASE, (uint64_t)active);
    kj_log_set_word(log, KJ_SLOT_LOG_START, (uint64_t)log_start);
    kj_log_set_word(log, KJ_SLOT_FLUSH_WANTED, 0);
    kj_log_set_word(log, KJ_SLOT_DURABLE, (uint64_t)durable);
    kj_log_set_word(log, KJ_SLOT_SYNCED_BASE, (uint64_t)active);
    kj_log_set_word(log, KJ_SLOT_RECOVERY_POINT, (uint64_t)durable);
    kj_log_set_word(log, KJ_SLOT_PREPARED_POS, 0);
    kj_log_set_word(log, KJ_SLOT_HIGH_WATERMARK, (uint64_t)log_start);
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
    kj_tail_reset(log, tail);
    kj_log_set_word(log, KJ_SLOT_END, (uint64_t)tail->end);
    kj_log_set_word(log, KJ_SLOT_STATE, KJ_SLOT_READY);
    kj_log_point(log, "loaded");
}

/* A reader of a directory where nobody lives: words of its own, nothing changed on disk. */
static int load_read_only(struct kj_log *log, int64_t recovery_point, int64_t log_start)
{
    KJ_TRY(kj_segments_list(log));
    if (log->segment_count == 0)
        return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "%s has no segment", log->dir),
                         log->topic, log->partition, -1, -1);
    struct kj_tail tail;
    enum kj_scan_result stop;
    int64_t size;
    KJ_TRY(walk_tail(log, log->segments[log->segment_count - 1], &tail, &stop, &size));
    int64_t durable = recovery_point >= 0 && recovery_point < tail.end ? recovery_point : tail.end;
    publish_loaded(log, &tail, log_start, durable);
    if (log->leftovers) /* a compaction that died: old and new segments may stand side by side */
        kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_REPLACE);
    return 0;
}

/* Recovery makes leader-epoch-checkpoint anew from the batches. Any other error is for those who append:
 * nobody reads by it. */
static bool epochs_damaged(struct kj_log *log)
{
    struct kj_epochs epochs = {0};
    int err = kj_epochs_read(log->env->io, log->dir, &epochs);
    kj_epochs_free(&epochs);
    kj_err_clear();
    return err == KAJA_ERR_DAMAGED;
}

static int load_locked(struct kj_log *log, int64_t recovery_point, int64_t log_start, bool *ret_recover)
{
    *ret_recover = false;
    if (kj_log_stale(log))
        return stale_error(log);
    if (kj_log_word(log, KJ_SLOT_STATE) == KJ_SLOT_READY)
        return kj_segments_refresh(log);
    KJ_TRY(kj_segments_list(log));
    /* An orderly stop too leaves what a broker would have removed a minute later. */
    if (log->leftovers) {
        KJ_TRY(kj_recover_leftovers(log));
        KJ_TRY(kj_segments_list(log));
    }
    if (log->segment_count == 0) {
        int64_t base = log_start > 0 ? log_start : 0;
        KJ_TRY(kj_segment_create_files(log, base, -1));
        int os = kj_io_sync_dir(log->env->io, log->dir);
        if (os != 0)
            return kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
        KJ_TRY(kj_segments_list(log));
    }
    if (log->index_in_the_way || epochs_damaged(log)) {
        *ret_recover = true;
        return 0;
    }
    struct kj_tail tail;
    enum kj_scan_result stop;
    int64_t size;
    KJ_TRY(walk_tail(log, log->segments[log->segment_count - 1], &tail, &stop, &size));
    if (stop != KJ_SCAN_END || (recovery_point >= 0 && tail.end != recovery_point)) {
        *ret_recover = true;
        return 0;
    }
    if (log_start > tail.end) {
        /* No orderly close writes that: a file without checksum must not delete everything. */
        kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, tail.end, log_start,
                    "%s ends at %lld: the log start %lld of log-start-offset-checkpoint is not believed", log->dir,
                    (long long)tail.end, (long long)log_start);
        log_start = -1;
    }
    publish_loaded(log, &tail, log_start, tail.end);
    return 0;
}

int kj_log_load(struct kj_log *log, int64_t recovery_point, int64_t log_start)
{
    if (!log->has_slot)
        return load_read_only(log, recovery_point, log_start);
    if (kj_log_word(log, KJ_SLOT_STATE) == KJ_SLOT_READY) /* the usual case: somebody did it */
        return kj_log_stale(log) ? stale_error(log) : kj_segments_refresh(log);
    bool recover;
    KJ_TRY(kj_log_lock_words(log));
    int err = load_locked(log, recovery_point, log_start, &recover);
    /* The marker said clean, the files say otherwise: believe the files. Still alone, as nobody
     * uses a partition that is not READY. */
    if (err == 0 && recover) {
        err = kj_log_recover(log, 0, log_start);
        if (err == 0)
            kj_log_tell_shorter(log, recovery_point, kj_log_end(log));
    }
    kj_log_unlock(log);
    return err;
}

void kj_log_publish_recovered(struct kj_log *log, const struct kj_tail *tail, int64_t log_start)
{
    publish_loaded(log, tail, log_start, tail->end);
}

int kj_tail_get(struct kj_log *log, struct kj_tail *ret_tail)
{
    if (kj_tail_load(log, ret_tail))
        return 0;
    /* A writer died between its hints and END, twice; or somebody scribbled over the words. END is
     * the truth: walk to it. */
    struct kj_segment *active = kj_segment_active(log);
    if (active == NULL)
        return kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir);
    struct kj_file *file = NULL;
    struct kj_scan scan = {0};
    int64_t end = kj_log_end(log);
    struct kj_tail tail = {.end = end, .max_timestamp = -1, .max_ts_offset = active->base_offset};
    int err = kj_segment_pin(active, KJ_FILE_LOG, false, &file);
    if (err != 0)
        goto out;
    if ((err = kj_scan_init(&scan, file, 0, INT32_MAX, false)) != 0)
        goto unpin;
    int64_t next = active->base_offset;
    while (next < end) {
        struct kj_batch batch;
        if (kj_scan_look(&scan, &batch) != KJ_SCAN_BATCH || batch.base_offset < next) {
            err = kj_err_at(kj_err(KAJA_ERR_DAMAGED, "%s: no batch at %lld although the log ends at %lld", log->dir,
                                   (long long)scan.pos, (long long)end),
                            log->topic, log->partition, next, scan.pos);
            goto unpin;
        }
        next = kj_batch_next_offset(&batch);
        if (batch.max_timestamp > tail.max_timestamp) {
            tail.max_timestamp = batch.max_timestamp;
            tail.max_ts_offset = kj_batch_last_offset(&batch);
        }
        kj_scan_skip(&scan, &batch);
    }
    tail.pos = scan.pos;
    /* Index entries that are there may lie: start them anew behind the last one that is below the end
     * by writing none; lookups then walk from the segment's start. */
    kj_tail_reset(log, &tail);
    *ret_tail = tail;
unpin:
    kj_scan_free(&scan);
    kj_segment_unpin(active);
out:
    kj_segment_release(active);
    return err;
}

static int stats_once(struct kj_log *log, struct kj_log_stats *ret_stats)
{
    KJ_TRY(kj_segments_refresh(log));
    struct kj_log_stats stats = {
        .start = kj_log_start(log),
        .durable = kj_log_durable(log),
        .high_watermark = kj_log_high_watermark(log),
        .recovery_point = (int64_t)kj_log_word(log, KJ_SLOT_RECOVERY_POINT),
    };
    stats.end = kj_log_end(log);
    int64_t offset = INT64_MIN;
    for (;;) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, offset, &next);
        if (segment == NULL)
            break;
        int64_t bytes;
        int err = kj_segment_bytes(segment, &bytes);
        kj_segment_release(segment);
        if (err != 0)
            return err;
        stats.bytes += bytes;
        stats.segment_count++;
        if (next == INT64_MAX)
            break;
        offset = next;
    }
    *ret_stats = stats;
    return 0;
}

size_t kj_log_segment_count(struct kj_log *log)
{
    kj_lock_acquire(&log->segments_lock);
    size_t count = log->segment_count;
    kj_lock_release(&log->segments_lock);
    return count;
}

int kj_log_get_stats(struct kj_log *log, struct kj_log_stats *ret_stats)
{
    for (int tries = 1;; tries++) {
        uint64_t before = kj_log_word(log, KJ_SLOT_INCARNATION);
        int err = stats_once(log, ret_stats);
        if (err == 0 || tries == KJ_MOVED_TRIES || !kj_log_moved(log, before))
            return err;
        kj_err_clear();
    }
}
