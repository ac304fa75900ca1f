/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/append.c - the way of a batch into the active segment. Under the append lock:
 *
 *   admit    sizes, timestamps, producer state: what is refused costs nothing
 *   assign   offset and epoch into the batch; index entries pile up in memory
 *   write    INTENT, one pwritev for the group, index entries, hints, FLUSH_WANTED, END, INTENT = 0
 *
 * Batches that fit the same segment go down in one write. END is stored once per group: until then
 * nobody sees any of it, and a failure before it is undone by zeroing.
 */
#include "log/internal.h"

#include "record/batch_reader.h"
#include "record/control.h"
#include "record/validate.h"

#include <string.h>

enum { GROUP_MAX = 64, PLAIN_MAX = 1 << 28 };

/* Nobody comes here by appending; a file's name may say so. A group reaches no further than what is left. */
static const int64_t OFFSET_MAX = INT64_MAX - GROUP_MAX * (INT64_C(1) << 32);

/* What goes down in one write. */
struct group {
    struct kj_indexer indexer;
    struct kj_segment *active;
    int64_t start_pos, start_end;
    struct iovec iov[GROUP_MAX];
    struct kj_append_batch *members[GROUP_MAX];
    int count;
    int64_t flush_wanted; /* end of the newest durable batch in it, -1 none */
    struct kj_txn_entry txns[GROUP_MAX];
    int txn_count;
    bool following; /* the producer state stood at start_end */
};

static int batch_error(struct kj_log *log, int err)
{
    return kj_err_at(err, log->topic, log->partition, -1, -1);
}

static int check_sizes(struct kj_log *log, const struct kj_append_batch *b)
{
    if ((int64_t)b->len > log->config.max_message_bytes)
        return batch_error(log, kj_err(KAJA_ERR_RECORD_TOO_LARGE,
                                       "a batch of %zu bytes is larger than max.message.bytes=%lld of topic %s",
                                       b->len, (long long)log->config.max_message_bytes, log->topic));
    return 0;
}

static int check_segment(struct kj_log *log, const struct kj_append_batch *b)
{
    if ((int64_t)b->len > log->config.segment_bytes)
        return batch_error(log, kj_err(KAJA_ERR_RECORD_LIST_TOO_LARGE,
                                       "a batch of %zu bytes is larger than segment.bytes=%lld of topic %s",
                                       b->len, (long long)log->config.segment_bytes, log->topic));
    return 0;
}

/* Bytes from outside: everything is looked at. A wrong max timestamp is put right, as a broker does. */
static int admit_bytes(struct kj_log *log, struct kj_append_batch *b, enum kj_append_origin origin,
                       struct kj_batch *ret_batch)
{
    const struct kj_log_config *config = &log->config;
    struct kj_validate_options options = {
        .client = origin == KJ_APPEND_CLIENT,
        .compacted = config->cleanup_compact && origin == KJ_APPEND_CLIENT,
        .log_append_time = config->log_append_time,
        .now_ms = kj_wall_ms(log->env->clock),
        .before_max_ms = config->timestamp_before_max_ms,
        .after_max_ms = config->timestamp_after_max_ms,
        .max_bytes = (size_t)config->max_message_bytes,
        .plain_max_bytes = PLAIN_MAX,
        .plain = &log->plain,
    };
    int64_t max_timestamp;
    int err = kj_batch_validate(b->bytes, b->len, &options, ret_batch, &max_timestamp);
    if (err != 0)
        return batch_error(log, err);
    if (!config->log_append_time && ret_batch->max_timestamp != max_timestamp) {
        kj_put_be64(b->bytes + KJ_BATCH_MAX_TIMESTAMP_AT, (uint64_t)max_timestamp);
        kj_batch_set_crc(b->bytes, b->len);
        ret_batch->max_timestamp = max_timestamp;
    }
    return 0;
}

static int admit_marker(struct kj_log *log, struct kj_append_batch *b, const struct kj_batch *batch)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    KJ_TRY(kj_batch_reader_init(&reader, b->bytes, b->len, &log->plain, PLAIN_MAX));
    if (kj_batch_reader_next(&reader, &view) != 1)
        return kj_batch_reader_fault(&reader);
    int type;
    int32_t coordinator_epoch;
    KJ_TRY(kj_control_decode(&view, &type, &coordinator_epoch));
    return kj_producers_check_marker(log->producers, batch, coordinator_epoch);
}

/* May b be appended at `end`? Fills *ret_batch; *ret_duplicate when it is in the log already. */
static int admit(struct kj_log *log, struct kj_append_batch *b, enum kj_append_origin origin, int64_t end,
                 struct kj_batch *ret_batch, bool *ret_duplicate)
{
    *ret_duplicate = false;
    KJ_TRY(check_sizes(log, b));
    if (origin == KJ_APPEND_TRUSTED) {
        KJ_ASSERT(b->len >= KJ_BATCH_HEADER_BYTES);
        kj_batch_decode(b->bytes, ret_batch);
        KJ_ASSERT(kj_batch_bytes(ret_batch) == b->len && ret_batch->count > 0);
    } else {
        KJ_TRY(admit_bytes(log, b, origin, ret_batch));
    }
    KJ_TRY(check_segment(log, b));
    if (ret_batch->producer_id < 0)
        return 0;
    KJ_TRY(kj_log_catch_up_to_append(log, end));
    if (kj_batch_has(ret_batch, KJ_ATTR_CONTROL))
        return admit_marker(log, b, ret_batch);
    struct kj_producer_answer answer = {0};
    KJ_TRY(kj_producers_check(log->producers, ret_batch, origin != KJ_APPEND_INTERNAL, &answer));
    if (answer.duplicate) {
        b->ret_duplicate = true;
        b->ret_base_offset = answer.first_offset;
        b->ret_append_time = log->config.log_append_time ? answer.timestamp : -1;
        *ret_duplicate = true;
    }
    return 0;
}

static int begin_group(struct kj_log *log, struct group *group, const struct kj_tail *tail)
{
    group->active = kj_segment_active(log);
    if (group->active == NULL)
        return batch_error(log, kj_err(KAJA_ERR_DAMAGED, "%s has no segment", log->dir));
    int64_t last_time;
    int64_t base = group->active->base_offset;
    if (base != (int64_t)kj_log_word(log, KJ_SLOT_ACTIVE_BASE)) {
        /* The tail is another segment's: written here, the batch would lie on top of others. */
        kj_segment_release(group->active);
        return batch_error(log, kj_err_at(kj_err(KAJA_ERR_DAMAGED, "%s lost its active segment", log->dir),
                                          log->topic, log->partition, tail->end, -1));
    }
    int err = kj_log_last_time(log, group->active, tail, &last_time);
    if (err == 0 && tail->end > OFFSET_MAX)
        err = kj_err_at(kj_err(KAJA_ERR_DAMAGED, "%s: its offsets leave no room for more", log->dir), log->topic,
                        log->partition, tail->end, -1);
    if (err == 0 && tail->pos == 0 && log->config.preallocate)
        err = kj_segment_allocate(log, group->active->base_offset);
    if (err != 0) {
        kj_segment_release(group->active);
        return err;
    }
    kj_indexer_init(&group->indexer, group->active->base_offset, log->config.index_interval_bytes, tail,
                    last_time);
    group->start_pos = tail->pos;
    group->start_end = tail->end;
    group->count = 0;
    group->txn_count = 0;
    group->flush_wanted = -1;
    group->following = log->producers_end == tail->end;
    return 0;
}

static void end_group(struct group *group)
{
    kj_indexer_free(&group->indexer);
    kj_segment_release(group->active);
}

static int add_to_group(struct kj_log *log, struct group *group, struct kj_append_batch *b,
                        struct kj_batch *batch)
{
    int32_t epoch;
    int64_t base = group->indexer.tail.end;
    KJ_TRY(kj_log_epoch(log, base, &epoch));
    b->ret_append_time = -1;
    if (log->config.log_append_time) {
        int64_t now = kj_wall_ms(log->env->clock);
        kj_batch_assign_append_time(b->bytes, b->len, now);
        b->ret_append_time = now;
    }
    kj_batch_assign(b->bytes, base, epoch);
    kj_batch_decode(b->bytes, batch);
    if (batch->producer_id >= 0) {
        /* Known before it is written, so that the next batch of the group is judged by it; a failed
         * write throws the state away. */
        bool has_txn;
        KJ_TRY(kj_log_note_batch(log, batch, b->bytes, &group->txns[group->txn_count], &has_txn));
        if (has_txn)
            group->txn_count++;
        log->producers_end = kj_batch_next_offset(batch);
        group->following = true;
    }
    KJ_TRY(kj_indexer_batch(&group->indexer, batch));
    group->iov[group->count] = (struct iovec){.iov_base = b->bytes, .iov_len = b->len};
    group->members[group->count++] = b;
    b->ret_base_offset = base;
    if (b->durable)
        group->flush_wanted = group->indexer.tail.end;
    if (group->start_pos == 0 && group->count == 1)
        group->active->first_batch_max_timestamp = batch->max_timestamp;
    return 0;
}

/* Nothing of the group is in the log, nor does anything remember it. */
static void fail_group(struct kj_log *log, struct group *group, int err)
{
    if (group->following)
        log->producers_end = -1; /* it knew of batches that are not there: read it anew */
    log->last_time_end = -1;
    if (group->start_pos == 0)
        group->active->first_batch_max_timestamp = INT64_MIN;
    for (int i = 0; i < group->count; i++) {
        group->members[i]->ret_error = err;
        group->members[i]->ret_base_offset = -1;
    }
}

static int write_txns(struct kj_log *log, struct group *group)
{
    if (group->txn_count == 0)
        return 0;
    uint8_t bytes[GROUP_MAX * KJ_TXN_ENTRY_BYTES];
    for (int i = 0; i < group->txn_count; i++)
        kj_txn_entry_encode(&group->txns[i], bytes + i * KJ_TXN_ENTRY_BYTES);
    struct kj_file *file;
    int64_t pos = group->indexer.tail.txn_count * KJ_TXN_ENTRY_BYTES;
    KJ_TRY(kj_segment_pin(group->active, KJ_FILE_TXNINDEX, true, &file));
    int os = kj_io_pwrite(file, bytes, (size_t)group->txn_count * KJ_TXN_ENTRY_BYTES, pos);
    kj_segment_unpin(group->active);
    if (os != 0)
        return kj_log_io_error(log, os, "writing", KJ_FILE_TXNINDEX, group->active->base_offset, pos);
    group->indexer.tail.txn_count += group->txn_count;
    return 0;
}

static int write_bytes(struct kj_log *log, struct group *group, struct kj_file *file)
{
    int os = kj_io_pwritev(file, group->iov, group->count, group->start_pos);
    return os == 0 ? 0
                   : kj_log_io_error(log, os, "writing", KJ_FILE_LOG, group->active->base_offset,
                                     group->start_pos);
}

static void publish(struct kj_log *log, struct group *group)
{
    const struct kj_tail *tail = &group->indexer.tail;
    kj_tail_store(log, tail);
    kj_log_point(log, "append: hints");
    if (log->config.flush_messages < INT64_MAX &&
        tail->end - kj_log_durable(log) >= log->config.flush_messages)
        group->flush_wanted = tail->end;
    if (group->flush_wanted >= 0) {
        /* What was readable up to here stays so, even if nobody asked yet. */
        (void)kj_log_high_watermark(log);
        kj_log_set_word(log, KJ_SLOT_FLUSH_WANTED, (uint64_t)group->flush_wanted);
    }
    /* The commit point. Pairs with every load of END: batches, hints and FLUSH_WANTED are seen. */
    kj_log_set_word(log, KJ_SLOT_END, (uint64_t)tail->end);
    kj_store_relaxed(&log->own_end, (uint64_t)tail->end);
    kj_log_point(log, "append: published");
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
}

/* Writes the group and moves *tail. On failure every member has the error and nothing is to be seen. */
static int write_group(struct kj_log *log, struct group *group, struct kj_tail *tail)
{
    if (group->count == 0)
        return 0;
    int64_t reach = group->indexer.tail.pos;
    struct kj_file *file;
    /* Open before the intent: nobody was writing then, as far as this descriptor is concerned. */
    int err = kj_segment_pin(group->active, KJ_FILE_LOG, false, &file);
    if (err != 0) {
        fail_group(log, group, err);
        return err;
    }
    kj_log_set_word(log, KJ_SLOT_INTENT_A, (uint64_t)group->active->base_offset);
    kj_log_set_word(log, KJ_SLOT_INTENT_B, (uint64_t)reach);
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_APPEND);
    kj_log_point(log, "append: intent");
    err = write_bytes(log, group, file);
    kj_segment_unpin(group->active);
    if (err == 0) {
        kj_log_point(log, "append: bytes");
        err = kj_indexer_write(&group->indexer, group->active);
    }
    if (err == 0)
        err = write_txns(log, group);
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        /* If even zeroing fails the intent stands, and the next holder of the lock tries. */
        if (kj_intent_undo_append(log, group->active, group->start_pos, reach) == 0)
            kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
        fail_group(log, group, err);
        return kj_err_restore(&why);
    }
    publish(log, group);
    *tail = group->indexer.tail;
    if (group->following)
        log->producers_end = tail->end;
    log->last_time_base = group->active->base_offset;
    log->last_time_end = tail->end;
    log->last_time_timestamp = group->indexer.last_time;
    return 0;
}

/* Fills one group from batches[*at..] and writes it; rolls in front of it if the first one asks for it. */
static int append_group(struct kj_log *log, struct kj_append_batch *batches, size_t count, size_t *at,
                        enum kj_append_origin origin, struct kj_tail *tail)
{
    struct group group;
    struct kj_err_saved stopped = {.code = 0};
    KJ_TRY(begin_group(log, &group, tail));
    int err = 0;
    while (*at < count && group.count < GROUP_MAX) {
        struct kj_append_batch *b = &batches[*at];
        struct kj_batch batch;
        bool duplicate;
        b->ret_duplicate = false;
        b->ret_error = admit(log, b, origin, group.indexer.tail.end, &batch, &duplicate);
        if (b->ret_error != 0 && kaja_error_retriable(b->ret_error)) {
            /* It will come again: what follows must not overtake it. */
            kj_err_save(b->ret_error, &stopped);
            break;
        }
        if (b->ret_error != 0 || duplicate) {
            ++*at;
            continue;
        }
        if (kj_roll_due(log, group.active, &group.indexer.tail, &batch, b->len)) {
            if (group.count > 0)
                break; /* what fits goes down first */
            end_group(&group);
            err = kj_roll(log, tail);
            if (err == 0)
                err = begin_group(log, &group, tail);
            if (err != 0) {
                b->ret_error = err;
                return err;
            }
        }
        err = add_to_group(log, &group, b, &batch);
        if (err != 0) {
            b->ret_error = err;
            break;
        }
        ++*at;
    }
    if (err == 0)
        err = write_group(log, &group, tail);
    else
        fail_group(log, &group, err);
    end_group(&group);
    return err == 0 && stopped.code != 0 ? kj_err_restore(&stopped) : err;
}

/* A handle that is far behind reads what it missed before it takes the lock, not under it: what is left
 * then is what others append meanwhile. Only producers with an id need it. */
static int follow(struct kj_log *log, const struct kj_append_batch *batches, size_t count)
{
    bool needed = false;
    for (size_t i = 0; i < count && !needed; i++)
        needed = batches[i].len >= KJ_BATCH_HEADER_BYTES &&
                 kj_get_be64s(batches[i].bytes + KJ_BATCH_PRODUCER_ID_AT) >= 0;
    if (!needed)
        return 0;
    kj_lock_acquire(&log->append_lock);
    int err = kj_log_catch_up_to_append(log, kj_log_end(log));
    kj_lock_release(&log->append_lock);
    return err;
}

/* Append lock held, and the partition is not poisoned. */
static int append_locked(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                         enum kj_append_origin origin)
{
    struct kj_tail tail;
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        batches[i].ret_error = KAJA_ERR_UNKNOWN_SERVER_ERROR; /* until it is known better */
    int err = kj_tail_get(log, &tail);
    if (err == 0)
        kj_log_set_word(log, KJ_SLOT_LAST_WALL_MS, (uint64_t)kj_wall_ms(log->env->clock));
    while (err == 0 && at < count)
        err = append_group(log, batches, count, &at, origin, &tail);
    for (size_t i = 0; i < count; i++)
        if (batches[i].ret_error == KAJA_ERR_UNKNOWN_SERVER_ERROR)
            batches[i].ret_error = err;
    return err;
}

static int fail_all(struct kj_append_batch *batches, size_t count, int err)
{
    for (size_t i = 0; i < count; i++)
        batches[i].ret_error = err;
    return err;
}

static int append_within(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                         enum kj_append_origin origin, int64_t wait_ns, int64_t since_ns)
{
    int err = follow(log, batches, count);
    if (err == 0)
        err = kj_log_lock_within(log, false, wait_ns, since_ns);
    if (err != 0)
        return fail_all(batches, count, err);
    err = append_locked(log, batches, count, origin);
    kj_log_unlock(log);
    return err;
}

int kj_log_append(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                  enum kj_append_origin origin)
{
    return append_within(log, batches, count, origin, log->env->lock_timeout_ns,
                         kj_mono_ns(log->env->clock));
}

int kj_log_append_soon(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                       enum kj_append_origin origin, int64_t since_ns, bool *ret_busy)
{
    int err = append_within(log, batches, count, origin, KJ_LOG_SOON_NS, since_ns);
    *ret_busy = err == KAJA_ERR_LOCK_TIMED_OUT &&
                kj_mono_ns(log->env->clock) - since_ns < log->env->lock_timeout_ns;
    return err;
}

int kj_log_hold(struct kj_log *log)
{
    return kj_log_lock(log, true);
}

int kj_log_hold_soon(struct kj_log *log)
{
    return kj_log_lock_within(log, true, KJ_LOG_SOON_NS, kj_mono_ns(log->env->clock));
}

int kj_log_hold_by(struct kj_log *log, int64_t deadline_ns)
{
    int64_t now_ns = kj_mono_ns(log->env->clock), most_ns = log->env->lock_timeout_ns;
    int64_t wait_ns = deadline_ns - now_ns < most_ns ? deadline_ns - now_ns : most_ns;
    if (wait_ns < KJ_LOG_SOON_NS)
        wait_ns = KJ_LOG_SOON_NS;
    return kj_log_lock_within(log, true, wait_ns, now_ns);
}

int kj_log_append_held(struct kj_log *log, struct kj_append_batch *batches, size_t count,
                       enum kj_append_origin origin)
{
    int err = kj_log_poison_error(log);
    return err != 0 ? fail_all(batches, count, err) : append_locked(log, batches, count, origin);
}

void kj_log_let_go(struct kj_log *log)
{
    kj_log_unlock(log);
}
