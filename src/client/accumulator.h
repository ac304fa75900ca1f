/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/accumulator.h - what one producer has gathered for one partition: the open batch, the
 * closed ones in order, and those that are appended and wait for a flush.
 *
 * An accumulator belongs to a topic's name, not to an incarnation of the topic: it lives as long as
 * the producer. Each batch knows for which incarnation it was begun.
 *
 * Invariants (under lock)
 *   1. Records are encoded into `open` only; a batch leaves `closed` only through the one thread
 *      that has set `draining`, so batches are appended in the order in which they were begun.
 *   2. Batches leave `appended` only through the one thread that has set `flushing`, or at once
 *      when nothing is before them, so results come in that order too.
 *   3. begun - done is the number of batches in open, closed, taken and appended.
 *   4. When `draining` is given up, `closed` is empty, or retry_at_ns says when to go on and the
 *      accumulator is in the sender's list.
 *
 * Kafka: the Deque<ProducerBatch> of RecordAccumulator.
 */
#ifndef KJ_CLIENT_ACCUMULATOR_H
#define KJ_CLIENT_ACCUMULATOR_H

#include "base/atomic.h"
#include "client/send_batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KJ_DRAIN_BATCHES_MAX = 16,    /* appended in one call */
    KJ_DRAIN_BYTES_MAX = 1 << 20, /* the same in bytes, unless one batch is larger */
    KJ_GATHER_BYTES = 65536,      /* what a produce() waits for before it appends by itself */
    /* Where records come fast, they are left for so long to the thread that produces them, which
     * gathers a few batches and appends them itself: taking them away would only make thin ones. */
    KJ_GROWING_NS_MAX = 1000 * 1000,
    KJ_GROWING_LOOK_NS = 100 * 1000,
    KJ_BUSY_LOOK_NS = 50 * 1000 * 1000, /* a partition whose lock another process holds */
    KJ_GROWING_RECORDS_MIN = 16, /* more than that came since the last look, */
    KJ_GROWING_BATCHES_MIN = 2   /* or so many batches were begun */
};

struct kj_accumulator {
    struct kj_lock lock;
    const char *name; /* of the topic; the producer's */
    int32_t number;   /* of the partition */
    struct kj_send_batch *open;
    kj_atomic_u64 *open_batches; /* how many the producer has */
    struct kj_batch_queue closed;
    struct kj_batch_queue appended;
    kj_atomic_u64 queue; /* length of closed, for those who look without the lock */
    bool draining;
    bool drain_wanted; /* the open batch too */
    bool flushing;
    bool listed;       /* in the sender's list of those that have something to append */
    bool flush_listed; /* in the sender's list of those that have something to flush */
    struct kj_accumulator *next, *flush_next;
    uint64_t begun, done;
    int64_t retry_at_ns; /* no append before; 0: now */
    int64_t flush_at_ns; /* no flush before; 0: now */
    int64_t busy_since_ns; /* appends are put off since then: another process holds the lock; 0 */
    int32_t attempts;    /* appends or flushes that failed in a row */
    uint32_t waiters;    /* senders that wait for one of its batches */
    struct kj_sequence sequence;
    /* what the worker saw at its last look */
    int64_t seen_ns;
    uint64_t seen_begun;
    int32_t seen_count;
    bool seen_growing;
    /* The topic as of catalog generation `generation` */
    uint64_t generation;
    struct kj_topic *topic; /* held; NULL before the first record */
    struct kj_partition *partition;
    bool compacted;
    bool log_append_time;
    int64_t before_max_ms, after_max_ms;
    size_t message_bytes_max;
    int codec, level; /* -1: the producer's */
};

/* open_batches: of the producer; the accumulator counts its own in and out. producer_id: or
 * -1. */
void kj_accumulator_init(struct kj_accumulator *acc, const char *name, int32_t number,
                         kj_atomic_u64 *open_batches, int64_t producer_id);
/* Empty; the topic was released by the owner. */
void kj_accumulator_destroy(struct kj_accumulator *acc);

/* All with the lock held. */

/* Makes batch the open one; there is none. */
void kj_accumulator_begin(struct kj_accumulator *acc, struct kj_send_batch *batch);
/* The open batch, if it has records, goes to the closed ones. */
void kj_accumulator_close_open(struct kj_accumulator *acc);
/* Takes the next closed batches for one append: same incarnation, within the limits above. The open
 * one too if drain_wanted; gives them their numbers. Returns how many. */
size_t kj_accumulator_take(struct kj_accumulator *acc, struct kj_send_batch **batches);
/* Whether there is something to append now (KJ_RIPE_NOW), later (a CLOCK_MONOTONIC time), or not
 * (INT64_MAX). What is growing is for later, and an open batch younger than linger_ns; one that is
 * not sets drain_wanted. */
enum { KJ_RIPE_NOW = 0 };
int64_t kj_accumulator_ripe(struct kj_accumulator *acc, int64_t now_ns, int64_t linger_ns);
/* True if nothing is open or closed. */
static inline bool kj_accumulator_empty(const struct kj_accumulator *acc)
{
    return acc->closed.first == NULL && (acc->open == NULL || acc->open->writer.count == 0);
}
/* Senders that wait may have work to go on with: wakes one of the first batch that has some, in
 * each queue. False: there is none. */
bool kj_accumulator_hand_over(struct kj_accumulator *acc);

#endif
