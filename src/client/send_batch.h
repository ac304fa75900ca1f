/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/send_batch.h - a batch on its way from produce() to its delivery report.
 *
 *   OPEN -> CLOSED -> TAKEN -> APPENDED -> DONE
 *                <------ (an append that may be tried again)
 *
 * OPEN      records are encoded into its memory
 * CLOSED    waits in the accumulator's queue
 * TAKEN     is being sealed and appended: its drainer's alone
 * APPENDED  stands in the page cache, its memory is given back; waits for a flush (acks=all), or
 *           failed behind such ones and waits for its turn
 * DONE      has its result; waits for its callbacks and for senders to read it
 *
 * All but TAKEN is under the accumulator's lock.
 *
 * Batches of a partition become DONE in the order of their records.
 * Kafka: ProducerBatch.
 */
#ifndef KJ_CLIENT_SEND_BATCH_H
#define KJ_CLIENT_SEND_BATCH_H

#include "base/err.h"
#include "base/lock.h"
#include "client/sequence.h"
#include "record/batch_writer.h"
#include "store/store.h"

struct kj_accumulator;

/* What a record's callback needs beside the batch's own result. */
struct kj_report {
    kaja_delivery_callback *callback;
    void *arg;
    int64_t timestamp;
    int32_t index; /* of the record in its batch */
};

enum kj_send_state { KJ_SEND_OPEN, KJ_SEND_CLOSED, KJ_SEND_TAKEN, KJ_SEND_APPENDED, KJ_SEND_DONE };

struct kj_send_batch {
    struct kj_send_batch *next; /* of the queue it is in */
    struct kj_accumulator *home;
    enum kj_send_state state;
    struct kj_batch_writer writer;
    uint8_t *memory;        /* the pool's; NULL once given back */
    size_t size;            /* of the memory, and of the allowance */
    struct kj_topic *topic; /* the incarnation it was begun for, held; NULL once done */
    struct kj_partition *partition;
    int codec; /* enum kj_codec */
    int level;
    struct kj_sequence number; /* given when it is taken first */
    int64_t created_ns;
    int32_t retries;        /* appends of it that failed and were to be tried again */
    uint64_t payload_bytes; /* keys, values and headers */
    bool counted;           /* in the metrics */
    uint32_t waiters;       /* senders that will read the result (accumulator's lock) */
    bool reporting;         /* on its way to the callbacks (accumulator's lock) */
    struct kj_cond cond;    /* senders: the result is there, or one should go on with the work */
    /* the result */
    int error;
    struct kj_err_saved *story; /* of the error; NULL if there was no memory for it */
    int64_t base_offset;
    int64_t append_time;
    struct kj_report *reports; /* kept when the batch is reused */
    size_t report_count, report_capacity;
};

/* Batches that are not in use, with their report arrays. */
struct kj_batch_cache {
    struct kj_lock lock;
    struct kj_send_batch *free;
};

void kj_batch_cache_init(struct kj_batch_cache *cache);
void kj_batch_cache_destroy(struct kj_batch_cache *cache);
/* NULL: no memory. */
struct kj_send_batch *kj_batch_cache_get(struct kj_batch_cache *cache);
void kj_batch_cache_put(struct kj_batch_cache *cache, struct kj_send_batch *batch);

/* A queue of batches. */
struct kj_batch_queue {
    struct kj_send_batch *first, **last;
    size_t count;
};

static inline void kj_batch_queue_init(struct kj_batch_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
    queue->count = 0;
}

static inline void kj_batch_queue_push(struct kj_batch_queue *queue, struct kj_send_batch *batch)
{
    batch->next = NULL;
    *queue->last = batch;
    queue->last = &batch->next;
    queue->count++;
}

static inline struct kj_send_batch *kj_batch_queue_pop(struct kj_batch_queue *queue)
{
    struct kj_send_batch *batch = queue->first;
    if (batch == NULL)
        return NULL;
    queue->first = batch->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    queue->count--;
    batch->next = NULL;
    return batch;
}

/* Puts all of front before what is in queue; leaves front empty. */
static inline void kj_batch_queue_unpop(struct kj_batch_queue *queue, struct kj_batch_queue *front)
{
    if (front->first == NULL)
        return;
    *front->last = queue->first;
    if (queue->first == NULL)
        queue->last = front->last;
    queue->first = front->first;
    queue->count += front->count;
    kj_batch_queue_init(front);
}

/* Room for one more report. */
int kj_send_batch_reserve_report(struct kj_send_batch *batch);

static inline void kj_send_batch_report(struct kj_send_batch *batch,
                                        kaja_delivery_callback *callback, void *arg,
                                        int64_t timestamp)
{
    batch->reports[batch->report_count++] =
        (struct kj_report){callback, arg, timestamp, batch->writer.count - 1};
}

/* Notes the failure this thread told last as the batch's result. */
void kj_send_batch_fail(struct kj_send_batch *batch, int error);

#endif
