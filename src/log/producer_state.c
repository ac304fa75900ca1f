/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/producer_state.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "log/producer_table.h"
#include "record/control.h"

#include <string.h>

int kj_producers_new(struct kj_producers **ret_producers)
{
    struct kj_producers *producers = kj_alloc_zero(1, sizeof *producers);
    if (producers == NULL)
        return kj_err_oom("producer state");
    *ret_producers = producers;
    return 0;
}

static void free_list(struct kj_producer_list *list)
{
    struct kj_producer_node *next;
    for (struct kj_producer_node *node = list->head; node != NULL; node = next) {
        next = node->next;
        kj_free(node);
    }
    *list = (struct kj_producer_list){0};
}

void kj_producers_clear(struct kj_producers *producers)
{
    free_list(&producers->open);
    free_list(&producers->idle);
    kj_map_free(&producers->map);
    producers->ended_count = 0;
}

void kj_producers_free(struct kj_producers *producers)
{
    if (producers == NULL)
        return;
    kj_producers_clear(producers);
    kj_free(producers);
}

size_t kj_producers_count(const struct kj_producers *producers)
{
    return producers->map.count;
}

static struct kj_producer_node *find(const struct kj_producers *producers, int64_t producer_id)
{
    return kj_map_get_u64(&producers->map, (uint64_t)producer_id);
}

const struct kj_producer *kj_producers_find(const struct kj_producers *producers,
                                            int64_t producer_id)
{
    const struct kj_producer_node *node = find(producers, producer_id);
    return node != NULL ? &node->producer : NULL;
}

const struct kj_producer *kj_producers_next(const struct kj_producers *producers, size_t *at)
{
    struct kj_map_entry entry;
    if (!kj_map_next(&producers->map, at, &entry))
        return NULL;
    const struct kj_producer_node *node = entry.value;
    return &node->producer;
}

/* --- lists --- */

static bool is_open(const struct kj_producer_node *node)
{
    return node->producer.txn_first_offset >= 0;
}

static void unlink_node(struct kj_producer_list *list, struct kj_producer_node *node)
{
    *(node->prev != NULL ? &node->prev->next : &list->head) = node->next;
    *(node->next != NULL ? &node->next->prev : &list->tail) = node->prev;
    node->prev = node->next = NULL;
}

/* after NULL: at the head. */
static void link_behind(struct kj_producer_list *list, struct kj_producer_node *after,
                        struct kj_producer_node *node)
{
    node->prev = after;
    node->next = after != NULL ? after->next : list->head;
    *(node->prev != NULL ? &node->prev->next : &list->head) = node;
    *(node->next != NULL ? &node->next->prev : &list->tail) = node;
}

/* Puts it where it belongs. Transactions begin in the order of the log, so the walk is short. */
static void link_node(struct kj_producers *producers, struct kj_producer_node *node)
{
    struct kj_producer_list *list = is_open(node) ? &producers->open : &producers->idle;
    struct kj_producer_node *after = list->tail;
    while (is_open(node) && after != NULL &&
           after->producer.txn_first_offset > node->producer.txn_first_offset)
        after = after->prev;
    link_behind(list, after, node);
}

static void take_node(struct kj_producers *producers, struct kj_producer_node *node)
{
    unlink_node(is_open(node) ? &producers->open : &producers->idle, node);
}

static void drop_node(struct kj_producers *producers, struct kj_producer_node *node)
{
    take_node(producers, node);
    void *removed = kj_map_remove_u64(&producers->map, (uint64_t)node->producer.producer_id);
    KJ_ASSERT(removed == node);
    kj_free(node);
}

/* A node in the map but in no list yet. */
static int new_node(struct kj_producers *producers, const struct kj_producer *producer,
                    struct kj_producer_node **ret_node)
{
    struct kj_producer_node *node = kj_alloc(sizeof *node);
    if (node == NULL)
        return kj_err_oom("a producer's state");
    *node = (struct kj_producer_node){.producer = *producer};
    int err = kj_map_put_u64(&producers->map, (uint64_t)producer->producer_id, node);
    if (err != 0) {
        kj_free(node);
        return err;
    }
    *ret_node = node;
    return 0;
}

int kj_producers_restore(struct kj_producers *producers, const struct kj_producer *producer)
{
    struct kj_producer_node *node;
    if (find(producers, producer->producer_id) != NULL)
        return kj_err(KAJA_ERR_DAMAGED, "producer %lld occurs twice",
                      (long long)producer->producer_id);
    KJ_TRY(new_node(producers, producer, &node));
    link_node(producers, node);
    return 0;
}

/* --- may it be appended? --- */

static int check_epoch(const struct kj_producer *producer, const struct kj_batch *batch)
{
    if (batch->producer_epoch >= producer->epoch)
        return 0;
    return kj_err(KAJA_ERR_INVALID_PRODUCER_EPOCH, "producer %lld: epoch %d is older than %d",
                  (long long)producer->producer_id, batch->producer_epoch, producer->epoch);
}

static const struct kj_producer_batch *newest(const struct kj_producer *producer)
{
    return producer->batch_count > 0 ? &producer->batches[producer->batch_count - 1] : NULL;
}

/* The sequence that must come next, at the batch's epoch. */
static int32_t next_sequence(const struct kj_producer *producer, int16_t epoch)
{
    const struct kj_producer_batch *last = newest(producer);
    if (epoch != producer->epoch || last == NULL)
        return 0;
    return last->last_sequence == INT32_MAX ? 0 : last->last_sequence + 1;
}

static bool find_duplicate(const struct kj_producer *producer, const struct kj_batch *batch,
                           struct kj_producer_answer *answer)
{
    if (batch->producer_epoch != producer->epoch)
        return false;
    for (int i = 0; i < producer->batch_count; i++) {
        const struct kj_producer_batch *kept = &producer->batches[i];
        if (kept->first_sequence != batch->base_sequence ||
            kept->last_sequence != kj_batch_last_sequence(batch))
            continue;
        *answer = (struct kj_producer_answer){
            .duplicate = true,
            .first_offset = kept->last_offset - kept->offset_delta,
            .last_offset = kept->last_offset,
            .timestamp = kept->timestamp,
        };
        return true;
    }
    return false;
}

int kj_producers_check(const struct kj_producers *producers, const struct kj_batch *batch,
                       bool client, struct kj_producer_answer *ret_answer)
{
    KJ_ASSERT(batch->producer_id >= 0);
    struct kj_producer_answer answer = {.duplicate = false, -1, -1, -1};
    const struct kj_producer *producer = kj_producers_find(producers, batch->producer_id);
    /* Nothing known (new, expired, or its batches are gone): any sequence is taken. */
    if (producer == NULL || (client && find_duplicate(producer, batch, &answer))) {
        *ret_answer = answer;
        return 0;
    }
    KJ_TRY(check_epoch(producer, batch));
    int32_t wanted = next_sequence(producer, batch->producer_epoch);
    if (client && producer->epoch >= 0 && batch->base_sequence != wanted)
        return kj_err(KAJA_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                      "producer %lld, epoch %d: sequence %d where %d must come",
                      (long long)producer->producer_id, batch->producer_epoch, batch->base_sequence,
                      wanted);
    if (producer->txn_first_offset >= 0 && !kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL))
        return kj_err(
            KAJA_ERR_INVALID_TXN_STATE,
            "producer %lld: a batch outside its transaction, which is open since offset %lld",
            (long long)producer->producer_id, (long long)producer->txn_first_offset);
    *ret_answer = answer;
    return 0;
}

int kj_producers_check_marker(const struct kj_producers *producers, const struct kj_batch *batch,
                              int32_t coordinator_epoch)
{
    const struct kj_producer *producer = kj_producers_find(producers, batch->producer_id);
    if (producer == NULL)
        return 0;
    KJ_TRY(check_epoch(producer, batch));
    if (coordinator_epoch < producer->coordinator_epoch)
        return kj_err(KAJA_ERR_TRANSACTION_COORDINATOR_FENCED,
                      "producer %lld: a marker of coordinator epoch %d, which is older than %d",
                      (long long)producer->producer_id, coordinator_epoch,
                      producer->coordinator_epoch);
    return 0;
}

/* --- it stands in the log --- */

/* The producer's node out of its list, for a change of what the lists go by; made if it is new. */
static int begin_change(struct kj_producers *producers, const struct kj_batch *batch,
                        struct kj_producer_node **ret_node)
{
    struct kj_producer_node *node = find(producers, batch->producer_id);
    if (node != NULL) {
        take_node(producers, node);
    } else {
        const struct kj_producer fresh = {
            .producer_id = batch->producer_id,
            .epoch = batch->producer_epoch,
            .timestamp = -1,
            .coordinator_epoch = -1,
            .txn_first_offset = -1,
        };
        KJ_TRY(new_node(producers, &fresh, &node));
    }
    if (node->producer.epoch != batch->producer_epoch) {
        node->producer.epoch = batch->producer_epoch;
        node->producer.batch_count = 0;
    }
    *ret_node = node;
    return 0;
}

static void keep_batch(struct kj_producer *producer, const struct kj_batch *batch)
{
    if (producer->batch_count == KJ_PRODUCER_BATCHES) {
        memmove(producer->batches, producer->batches + 1,
                (KJ_PRODUCER_BATCHES - 1) * sizeof producer->batches[0]);
        producer->batch_count--;
    }
    producer->batches[producer->batch_count++] = (struct kj_producer_batch){
        .first_sequence = batch->base_sequence,
        .last_sequence = kj_batch_last_sequence(batch),
        .last_offset = kj_batch_last_offset(batch),
        .offset_delta = batch->last_offset_delta,
        .timestamp = batch->max_timestamp,
    };
}

int kj_producers_add(struct kj_producers *producers, const struct kj_batch *batch)
{
    struct kj_producer_node *node;
    if (batch->producer_id < 0 || kj_batch_has(batch, KJ_ATTR_CONTROL))
        return 0;
    KJ_TRY(begin_change(producers, batch, &node));
    keep_batch(&node->producer, batch);
    node->producer.timestamp = batch->max_timestamp;
    if (kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL) && node->producer.txn_first_offset < 0)
        node->producer.txn_first_offset = batch->base_offset;
    link_node(producers, node);
    return 0;
}

/* Merges neighbours in pairs. */
static void halve_ended(struct kj_producers *producers)
{
    size_t to = 0;
    for (size_t i = 0; i < producers->ended_count; i += 2) {
        size_t later = i + 1 < producers->ended_count ? i + 1 : i;
        producers->ended[to++] = (struct kj_ended_txn){producers->ended[i].first_offset,
                                                       producers->ended[later].last_offset};
    }
    producers->ended_count = to;
}

static void note_ended(struct kj_producers *producers, int64_t first_offset, int64_t last_offset)
{
    while (producers->ended_count > 0 &&
           producers->ended[producers->ended_count - 1].first_offset >= first_offset)
        producers->ended_count--;
    if (producers->ended_count == KJ_ENDED_MAX)
        halve_ended(producers);
    producers->ended[producers->ended_count++] = (struct kj_ended_txn){first_offset, last_offset};
}

int kj_producers_add_marker(struct kj_producers *producers, const struct kj_batch *batch, int type,
                            int32_t coordinator_epoch, bool *ret_ended,
                            struct kj_txn_entry *ret_entry)
{
    struct kj_producer_node *node;
    *ret_ended = false;
    if (batch->producer_id < 0 || (type != KJ_CONTROL_ABORT && type != KJ_CONTROL_COMMIT))
        return 0;
    KJ_TRY(begin_change(producers, batch, &node));
    int64_t first_offset = node->producer.txn_first_offset;
    int64_t marker_offset = batch->base_offset;
    node->producer.timestamp = batch->max_timestamp;
    node->producer.coordinator_epoch = coordinator_epoch;
    node->producer.txn_first_offset = -1;
    link_node(producers, node);
    if (first_offset < 0)
        return 0; /* nothing was open: no effect on readers */
    note_ended(producers, first_offset, marker_offset);
    const struct kj_producer_node *earliest = producers->open.head;
    *ret_entry = (struct kj_txn_entry){
        .producer_id = batch->producer_id,
        .first_offset = first_offset,
        .last_offset = marker_offset,
        .last_stable_offset =
            earliest != NULL ? earliest->producer.txn_first_offset : marker_offset + 1,
    };
    *ret_ended = true;
    return 0;
}

int64_t kj_producers_first_unstable(struct kj_producers *producers, int64_t high_watermark)
{
    size_t gone = 0;
    while (gone < producers->ended_count && producers->ended[gone].last_offset < high_watermark)
        gone++;
    producers->ended_count -= gone;
    memmove(producers->ended, producers->ended + gone,
            producers->ended_count * sizeof producers->ended[0]);
    int64_t first =
        producers->open.head != NULL ? producers->open.head->producer.txn_first_offset : -1;
    if (producers->ended_count > 0 && (first < 0 || producers->ended[0].first_offset < first))
        first = producers->ended[0].first_offset;
    return first;
}

/* --- forgetting --- */

static bool expired(const struct kj_producer *producer, int64_t now_ms, int64_t expiration_ms)
{
    int64_t age;
    if (__builtin_sub_overflow(now_ms, producer->timestamp, &age))
        return producer->timestamp < 0; /* older than can be said, or as far ahead */
    return age >= expiration_ms;
}

void kj_producers_expire(struct kj_producers *producers, int64_t now_ms, int64_t expiration_ms)
{
    struct kj_producer_node *next;
    for (struct kj_producer_node *node = producers->idle.head; node != NULL; node = next) {
        next = node->next;
        if (expired(&node->producer, now_ms, expiration_ms))
            drop_node(producers, node);
    }
}

size_t kj_producers_bound(struct kj_producers *producers, size_t max)
{
    size_t gone = 0;
    for (; producers->map.count > max && producers->idle.head != NULL; gone++)
        drop_node(producers, producers->idle.head);
    return gone;
}

int kj_producers_copy_open(const struct kj_producers *producers, struct kj_producers **ret_open)
{
    struct kj_producers *open = NULL;
    const struct kj_producer_node *node = producers->open.head;
    int err = node != NULL ? kj_producers_new(&open) : 0;
    for (; node != NULL && err == 0; node = node->next)
        err = kj_producers_restore(open, &node->producer);
    if (err != 0) {
        kj_producers_free(open);
        return err;
    }
    *ret_open = open;
    return 0;
}

void kj_producers_forget(struct kj_producers *producers, int64_t producer_id)
{
    struct kj_producer_node *node = find(producers, producer_id);
    if (node != NULL && !is_open(node))
        drop_node(producers, node);
}
