/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/fetched.h - what one poll gave out: records of several partitions, decoded once, in place.
 *
 *   entries  a decoded record each: pointers into the log (or into decompressed bytes)
 *   runs     successive entries out of one batch: what they have in common
 *   sources  the memory that entries point into: a pinned view of a segment, or a buffer that
 *            a batch was decompressed into. Counted; each run holds one.
 *
 * All of it is reused from poll to poll. A batch and its sources outlive the consumer they came
 * from: they belong to its pool, which goes with the last of them.
 */
#ifndef KJ_CLIENT_FETCHED_H
#define KJ_CLIENT_FETCHED_H

#include "base/atomic.h"
#include "base/lock.h"
#include "record/batch_reader.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

struct kj_fetch_pool;

struct kj_source {
    kj_atomic_u64 refs;
    struct kj_fetch_pool *pool;
    struct kj_source *next; /* while it is not in use */
    struct kj_view *view;   /* held; NULL where plain is used */
    struct kj_topic *topic; /* held: its name is in the records */
    struct kj_buffer plain;
};

struct kj_run {
    size_t end; /* entries before this one */
    struct kj_source *source;
    const char *topic;
    int32_t partition;
    int32_t epoch;
    int64_t base_offset;
    int64_t base_timestamp; /* of all of them with LogAppendTime */
    enum kaja_timestamp_type timestamp_type;
};

/* The public handle. */
struct kaja_batch {
    struct kj_fetch_pool *pool;
    struct kaja_batch *next; /* while it is not in use */
    struct kj_record_view *entries;
    size_t count, capacity;
    struct kj_run *runs;
    size_t run_count, run_capacity;
    size_t at, run_at; /* of kaja_batch_next() */
    size_t bytes;      /* of the batches the records came in, as stored */
    size_t pinned;     /* of memory that is kept for the records */
};

struct kj_fetch_pool {
    struct kj_lock lock;
    struct kaja_batch *batches;
    struct kj_source *sources;
    bool closed;          /* the consumer is gone: nothing is kept any more */
    size_t owners;        /* the consumer, each batch that is out, each source in use */
    kj_atomic_u64 pinned; /* by batches that are out */
    kj_atomic_u64 *out;   /* of all pools of a store: batches that are out; may be NULL */
};

/* out counts the batches that are out, outlives them, and may be NULL. */
int kj_fetch_pool_new(kj_atomic_u64 *out, struct kj_fetch_pool **ret_pool);
/* The consumer is closed. */
void kj_fetch_pool_close(struct kj_fetch_pool *pool);

/* NULL: no memory. */
struct kaja_batch *kj_fetch_pool_batch(struct kj_fetch_pool *pool);
/* The poll is over: what the batch pins counts from now on. */
void kj_fetched_done(struct kaja_batch *batch);
/* Any thread, also after the consumer was closed. */
void kj_fetched_release(struct kaja_batch *batch);

/* One reference; view (may be NULL) is taken over, topic is held. NULL: no memory, nothing was. */
struct kj_source *kj_source_new(struct kj_fetch_pool *pool, struct kj_view *view,
                                struct kj_topic *topic);
void kj_source_release(struct kj_source *source);
static inline void kj_source_hold(struct kj_source *source)
{
    kj_fetch_add_relaxed(&source->refs, 1); /* the holder has it from somebody who holds it */
}

/* Room for at least one more entry. */
int kj_fetched_reserve(struct kaja_batch *batch, size_t max);
/* Begins a run with what the batch's records have in common; holds source. */
int kj_fetched_run(struct kaja_batch *batch, const struct kj_batch *header, const char *topic,
                   int32_t partition, struct kj_source *source);

static inline int kj_fetched_next(struct kaja_batch *batch, struct kaja_record_view *ret_record)
{
    if (batch->at >= batch->count)
        return 0;
    const struct kj_run *run = &batch->runs[batch->run_at];
    while (__builtin_expect(batch->at >= run->end, 0)) {
        batch->run_at++;
        run++;
    }
    const struct kj_record_view *entry = &batch->entries[batch->at++];
    ret_record->topic = run->topic;
    ret_record->partition = run->partition;
    ret_record->leader_epoch = run->epoch;
    ret_record->offset = run->base_offset + entry->offset_delta;
    ret_record->timestamp =
        run->timestamp_type == KAJA_LOG_APPEND_TIME
            ? run->base_timestamp
            : (int64_t)((uint64_t)run->base_timestamp + (uint64_t)entry->timestamp_delta);
    ret_record->timestamp_type = run->timestamp_type;
    ret_record->key = entry->key;
    ret_record->key_bytes = entry->key_bytes;
    ret_record->value = entry->value;
    ret_record->value_bytes = entry->value_bytes;
    ret_record->header_count = (size_t)entry->header_count;
    ret_record->headers = entry->headers;
    ret_record->headers_bytes = entry->headers_bytes;
    return 1;
}

#endif
