/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_commit.c - writing to __consumer_offsets. A call's records go into one batch (more
 * if they do not fit), encoded before the append lock is taken and appended in one write; no
 * memory is allocated once a scratch has grown to the size of such a call.
 */
#include "coord/offset_internal.h"

#include <string.h>

/* A batch of offsets is closed at this size: well below max.message.bytes. */
enum { CHUNK_BYTES = 512 << 10 };

/* --- scratch memory --- */

struct kj_offset_scratch *kj_offset_scratch_take(struct kj_offset_store *offsets,
                                                 struct kj_offset_part *part, bool durable)
{
    kj_lock_acquire(&offsets->scratch_lock);
    struct kj_offset_scratch *scratch = offsets->scratches;
    if (scratch != NULL)
        offsets->scratches = scratch->next;
    kj_lock_release(&offsets->scratch_lock);
    if (scratch == NULL)
        scratch = kj_alloc_zero(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    struct kj_log_config config;
    kj_topic_config(kj_partition_topic(atomic_load(&part->partition)), &config);
    int64_t most = config.max_message_bytes < config.segment_bytes ? config.max_message_bytes
                                                                   : config.segment_bytes;
    scratch->chunk_bytes = most < CHUNK_BYTES ? (size_t)most : CHUNK_BYTES;
    scratch->durable = durable;
    scratch->batch_count = 0;
    scratch->used = 0;
    scratch->open = false;
    return scratch;
}

void kj_offset_scratch_give(struct kj_offset_store *offsets, struct kj_offset_scratch *scratch)
{
    kj_lock_acquire(&offsets->scratch_lock);
    scratch->next = offsets->scratches;
    offsets->scratches = scratch;
    kj_lock_release(&offsets->scratch_lock);
}

void kj_offset_scratch_free(struct kj_offset_scratch *scratch)
{
    kj_buffer_free(&scratch->bytes);
    kj_buffer_free(&scratch->text);
    kj_free(scratch->batches);
    kj_free(scratch);
}

/* --- encoding --- */

static int close_batch(struct kj_offset_scratch *scratch)
{
    const struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    uint8_t *bytes;
    size_t len;
    if (!scratch->open)
        return 0;
    KJ_TRY(kj_batch_writer_seal(&scratch->writer, &seal, NULL, &bytes, &len));
    void *batches = scratch->batches;
    KJ_TRY(kj_grow(&batches, &scratch->batch_capacity, scratch->batch_count + 1,
                   sizeof *scratch->batches));
    scratch->batches = batches;
    /* The place is filled in when nothing moves any more. */
    scratch->batches[scratch->batch_count++] =
        (struct kj_append_batch){.len = len, .durable = scratch->durable};
    scratch->used += len;
    scratch->open = false;
    return 0;
}

/* The open batch may move with the buffer. */
static int reserve(struct kj_offset_scratch *scratch, size_t bytes)
{
    size_t at = scratch->used + (scratch->open ? scratch->writer.len : 0);
    size_t wanted = at + bytes + KJ_BATCH_HEADER_BYTES;
    if (scratch->bytes.capacity < wanted) {
        scratch->bytes.len = at;
        KJ_TRY(kj_buffer_reserve(&scratch->bytes, wanted * 2));
    }
    scratch->writer.buf = scratch->bytes.bytes + scratch->used;
    scratch->writer.capacity = scratch->bytes.capacity - scratch->used;
    return 0;
}

int kj_offset_scratch_add(struct kj_offset_scratch *scratch, int64_t now_ms, const uint8_t *key,
                          size_t key_bytes, const uint8_t *value, size_t value_bytes)
{
    const struct kj_record record = {.timestamp = now_ms,
                                     .key = key,
                                     .key_bytes = key_bytes,
                                     .value = value,
                                     .value_bytes = value_bytes};
    size_t most = kj_record_bytes_max(&record);
    if (scratch->open && scratch->writer.len + most > scratch->chunk_bytes)
        KJ_TRY(close_batch(scratch));
    KJ_TRY(reserve(scratch, most));
    if (!scratch->open)
        kj_batch_writer_init(&scratch->writer, scratch->writer.buf, scratch->writer.capacity);
    scratch->open = true;
    bool fits = kj_batch_writer_append(&scratch->writer, &record);
    KJ_ASSERT(fits);
    return 0;
}

int kj_offset_scratch_finish(struct kj_offset_scratch *scratch)
{
    KJ_TRY(close_batch(scratch));
    uint8_t *at = scratch->bytes.bytes;
    for (size_t i = 0; i < scratch->batch_count; i++) {
        scratch->batches[i].bytes = at;
        at += scratch->batches[i].len;
    }
    return 0;
}

int kj_offset_scratch_append(struct kj_offset_scratch *scratch, struct kj_offset_part *part,
                             struct kj_offset_ticket *ret_ticket)
{
    struct kj_partition *partition = atomic_load(&part->partition);
    int err = kj_partition_append_held(partition, scratch->batches, scratch->batch_count,
                                       KJ_APPEND_TRUSTED);
    for (size_t i = 0; i < scratch->batch_count && err == 0; i++)
        err = scratch->batches[i].ret_error;
    KJ_TRY(err);
    *ret_ticket = (struct kj_offset_ticket){
        .partition = partition, .end_offset = kj_log_end(kj_partition_log(partition))};
    return 0;
}

/* --- commits --- */

/* UTF-16 units of UTF-8 text. */
static size_t utf16_units(const char *text, size_t bytes)
{
    size_t units = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned c = (unsigned char)text[i];
        units += (c & 0xc0) != 0x80;
        units += c >= 0xf0;
    }
    return units;
}

static int check_items(struct kj_offset_store *offsets, const struct kj_offset_commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        const struct kj_offset_item *item = &commit->items[i];
        size_t bytes = item->metadata != NULL ? strlen(item->metadata) : 0;
        if (bytes > KJ_COORD_STRING_MAX ||
            (int64_t)utf16_units(item->metadata, bytes) > offsets->options.metadata_units_max)
            return kj_err_at(
                kj_err(KAJA_ERR_OFFSET_METADATA_TOO_LARGE,
                       "the metadata of %s-%d is longer than offset.metadata.max.bytes=%lld",
                       item->topic, item->partition,
                       (long long)offsets->options.metadata_units_max),
                item->topic, item->partition, item->offset, -1);
        if (strlen(item->topic) > KJ_COORD_STRING_MAX)
            return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION, "a topic's name is too long");
    }
    return 0;
}

static int add_item(struct kj_offset_scratch *scratch, const struct kj_offset_commit *commit,
                    const struct kj_offset_item *item, int64_t now_ms, bool tombstone)
{
    const struct kj_coord_key key = {.group = {commit->group_id, strlen(commit->group_id)},
                                     .topic = {item->topic, strlen(item->topic)},
                                     .partition = item->partition};
    const struct kj_coord_offset value = {
        .version = 3,
        .offset = item->offset,
        .leader_epoch = item->leader_epoch,
        .metadata = {item->metadata, item->metadata != NULL ? strlen(item->metadata) : 0},
        .commit_ms = now_ms,
    };
    size_t key_bytes = kj_coord_key_bytes(&key);
    size_t value_bytes = tombstone ? 0 : kj_coord_offset_bytes(&value);
    KJ_TRY(kj_buffer_reserve(&scratch->text, key_bytes + value_bytes));
    uint8_t *text = scratch->text.bytes;
    kj_coord_key_encode(&key, text);
    if (!tombstone)
        kj_coord_offset_encode(&value, text + key_bytes);
    return kj_offset_scratch_add(scratch, now_ms, text, key_bytes,
                                 tombstone ? NULL : text + key_bytes, value_bytes);
}

/* Check and append: one critical section. */
static int append_checked(struct kj_offset_part *part, const struct kj_offset_commit *commit,
                          struct kj_offset_scratch *scratch, struct kj_offset_ticket *ret_ticket)
{
    struct kj_partition *partition = atomic_load(&part->partition);
    KJ_TRY(commit->deadline_ns == 0 ? kj_partition_hold(partition)
                                    : kj_partition_hold_by(partition, commit->deadline_ns));
    int err = commit->check != NULL ? commit->check(commit->check_arg) : 0;
    if (err == 0 && scratch->batch_count > 0)
        err = kj_offset_scratch_append(scratch, part, ret_ticket);
    kj_partition_let_go(partition);
    return err;
}

int kj_offset_store_commit(struct kj_offset_store *offsets, const struct kj_offset_commit *commit,
                           struct kj_offset_ticket *ret_ticket)
{
    struct kj_offset_ticket ticket = {.partition = NULL};
    struct kj_offset_part *part;
    if (kj_store_read_only(offsets->store))
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(check_items(offsets, commit));
    KJ_TRY(kj_offset_part(offsets, commit->group_id, true, &part));
    struct kj_offset_scratch *scratch = kj_offset_scratch_take(offsets, part, commit->durable);
    if (scratch == NULL)
        return kj_err_oom("a commit");
    int64_t now = kj_wall_ms(offsets->clock);
    int err = 0;
    for (size_t i = 0; i < commit->count && err == 0; i++)
        err = add_item(scratch, commit, &commit->items[i], now, false);
    if (err == 0)
        err = kj_offset_scratch_finish(scratch);
    if (err == 0)
        err = append_checked(part, commit, scratch, &ticket);
    kj_offset_scratch_give(offsets, scratch);
    KJ_TRY(err);
    if (!commit->durable)
        ticket.partition = NULL;
    *ret_ticket = ticket;
    return 0;
}

/* --- waiting --- */

int kj_offset_store_wait(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket)
{
    struct kj_partition *partition = ticket->partition;
    if (partition == NULL || kj_log_durable(kj_partition_log(partition)) >= ticket->end_offset)
        return 0;
    return kj_store_flush(offsets->store, &partition, 1);
}

/* The worker's flush; TIMED_OUT. */
static int wait_for_worker(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket,
                           int64_t deadline_ns)
{
    struct kj_partition *partition = ticket->partition;
    int64_t before_end = ticket->end_offset - 1;
    int err;
    while (!kj_offset_store_done(offsets, ticket, &err)) {
        kj_offset_store_flush_soon(offsets);
        KJ_TRY(kj_store_wait(offsets->store, &partition, &before_end, 1, true, NULL, 0,
                             deadline_ns));
    }
    return err;
}

int kj_offset_store_wait_by(struct kj_offset_store *offsets,
                            const struct kj_offset_ticket *ticket, int64_t deadline_ns)
{
    static const int64_t pause_ns = 10000000;
    struct kj_partition *partition = ticket->partition;
    if (deadline_ns == INT64_MAX || partition == NULL)
        return kj_offset_store_wait(offsets, ticket);
    if (kj_store_has_worker(offsets->store))
        return wait_for_worker(offsets, ticket, deadline_ns);
    while (kj_log_durable(kj_partition_log(partition)) < ticket->end_offset) {
        int err = kj_store_flush_soon(offsets->store, &partition, 1);
        if (err == 0 || err != KAJA_ERR_LOCK_TIMED_OUT)
            return err;
        int64_t next_ns = kj_mono_ns(offsets->clock) + pause_ns;
        if (next_ns >= deadline_ns)
            return kj_err(KAJA_ERR_TIMED_OUT, "another handle flushes " KJ_OFFSETS_TOPIC);
        (void)kj_store_wait(offsets->store, NULL, NULL, 0, false, NULL, 0, next_ns); /* a pause */
    }
    return 0;
}

void kj_offset_store_flush_soon(struct kj_offset_store *offsets)
{
    kj_store_release(&offsets->flush_wanted, 1); /* pairs with the task's cas */
    kj_store_poke(offsets->store);
}

bool kj_offset_store_done(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket,
                          int *ret_error)
{
    (void)offsets;
    *ret_error = 0;
    if (ticket->partition == NULL)
        return true;
    struct kj_log *log = kj_partition_log(ticket->partition);
    if (kj_log_durable(log) >= ticket->end_offset)
        return true;
    if (!kj_log_poisoned(log))
        return false;
    *ret_error = kj_err_at(kj_err(KAJA_ERR_POISONED,
                                  "a flush of " KJ_OFFSETS_TOPIC
                                  " failed: the commit may not survive a power cut"),
                           KJ_OFFSETS_TOPIC, kj_partition_number(ticket->partition),
                           ticket->end_offset, -1);
    return true;
}

/* --- deleting --- */

static int add_all(struct kj_offset_scratch *scratch, const struct kj_offset_commit *which,
                   const struct kj_offset_owner *owner, int64_t now_ms)
{
    const struct kj_coord_key group = {.group = {which->group_id, strlen(which->group_id)}};
    size_t bytes = kj_coord_key_bytes(&group);
    for (const struct kj_offset_kept *e = owner->first; e != NULL; e = e->next) {
        KJ_TRY(kj_buffer_reserve(&scratch->text, e->key_bytes + 2));
        kj_put_be16(scratch->text.bytes, 1); /* version of the key */
        memcpy(scratch->text.bytes + 2, e->key, e->key_bytes);
        KJ_TRY(kj_offset_scratch_add(scratch, now_ms, scratch->text.bytes, e->key_bytes + 2, NULL,
                                     0));
    }
    if (!owner->has_record)
        return 0;
    KJ_TRY(kj_buffer_reserve(&scratch->text, bytes));
    kj_coord_key_encode(&group, scratch->text.bytes);
    return kj_offset_scratch_add(scratch, now_ms, scratch->text.bytes, bytes, NULL, 0);
}

/* What the log says under the lock, as tombstones. Append lock held. */
static int gather_tombstones(struct kj_offset_part *part, const struct kj_offset_commit *which,
                             struct kj_offset_scratch *scratch)
{
    struct kj_offset_store *offsets = part->offsets;
    int64_t now = kj_wall_ms(offsets->clock);
    kj_lock_acquire(&offsets->lock);
    int err = kj_offset_follow(part);
    const struct kj_offset_owner *owner = kj_offset_map_owner(&part->map, which->group_id);
    if (err == 0 && owner == NULL)
        err = kj_err(KAJA_ERR_GROUP_ID_NOT_FOUND, "there is no group %.200s", which->group_id);
    if (err == 0 && which->items == NULL)
        err = add_all(scratch, which, owner, now);
    for (size_t i = 0; err == 0 && which->items != NULL && i < which->count; i++)
        err = add_item(scratch, which, &which->items[i], now, true);
    kj_lock_release(&offsets->lock);
    return err == 0 ? kj_offset_scratch_finish(scratch) : err;
}

int kj_offset_store_delete(struct kj_offset_store *offsets, const struct kj_offset_commit *which,
                           struct kj_offset_ticket *ret_ticket)
{
    struct kj_offset_ticket ticket = {.partition = NULL};
    struct kj_offset_part *part;
    if (kj_store_read_only(offsets->store))
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(check_items(offsets, which));
    KJ_TRY(kj_offset_part(offsets, which->group_id, false, &part));
    if (part == NULL)
        return kj_err(KAJA_ERR_GROUP_ID_NOT_FOUND, "there is no group %.200s", which->group_id);
    struct kj_offset_scratch *scratch = kj_offset_scratch_take(offsets, part, which->durable);
    if (scratch == NULL)
        return kj_err_oom("tombstones");
    struct kj_partition *partition = atomic_load(&part->partition);
    int err = kj_partition_hold(partition);
    if (err == 0) {
        err = which->check != NULL ? which->check(which->check_arg) : 0;
        if (err == 0)
            err = gather_tombstones(part, which, scratch);
        if (err == 0 && scratch->batch_count > 0)
            err = kj_offset_scratch_append(scratch, part, &ticket);
        kj_partition_let_go(partition);
    }
    kj_offset_scratch_give(offsets, scratch);
    KJ_TRY(err);
    if (!which->durable)
        ticket.partition = NULL;
    *ret_ticket = ticket;
    return 0;
}
