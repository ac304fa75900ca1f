/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/sender.h - takes batches from accumulators to the log and back: seals them, appends
 * several of a partition in one call, has them flushed together with those of other partitions,
 * and hands them to the reports.
 *
 * Nobody owns this work. A produce() that fills a batch appends it itself; a send() appends and
 * flushes its own partition; what is left lies in two lists - accumulators with something to
 * append, and with something to flush - which the store's worker goes through, or, without a
 * worker, whatever call of the application comes by. `draining` and `flushing` of an accumulator
 * see to it that one thread at a time does either for a partition.
 *
 * There is no timer for group commit: what was appended while a flush runs is what the next one
 * covers, and it begins when the one before ends.
 *
 * Kafka: Sender.
 */
#ifndef KJ_CLIENT_SENDER_H
#define KJ_CLIENT_SENDER_H

#include "base/atomic.h"
#include "client/accumulator.h"
#include "client/buffer_pool.h"
#include "client/producer.h"
#include "client/report.h"

struct kj_drain; /* the output of codecs, reused */

enum kj_sender_sleep {
    KJ_SENDER_AWAKE = 0,
    KJ_SENDER_NAPS = 1, /* looks again within KJ_GROWING_LOOK_NS by itself */
    KJ_SENDER_SLEEPS = 2
};

struct kj_sender {
    struct kj_store *store;
    const struct kj_clock *clock;
    struct kj_producer_options options;
    struct kj_buffer_pool pool;
    struct kj_batch_cache cache;
    struct kj_reports reports;
    struct kj_store_task task;
    bool has_worker;
    size_t gather; /* so many closed batches a produce() appends itself, at most */
    kj_atomic_u64 open_batches;
    kj_atomic_u64 open_peak; /* KJ_PEAK_UNIT times how many there were lately */
    struct kj_lock lock;     /* the lists */
    struct kj_accumulator *first, **last;
    struct kj_accumulator *flush_first, **flush_last;
    struct kj_drain *drains;
    kj_atomic_u64 listings; /* accumulators put into a list, or made due in it, so far */
    kj_atomic_u64 asleep;   /* enum kj_sender_sleep of the worker */
    kj_atomic_u64 stopping; /* 1: nothing is appended or flushed any more */
    kj_atomic_u64 wakeups;  /* asked for by the application, in a signal handler maybe */
    kj_atomic_u64 wakeups_heeded; /* those of them that ended a call; see kj_sender_woken() */
    uint64_t wakeups_told;        /* the worker's: those after which it woke the sleepers */
};

void kj_sender_init(struct kj_sender *sender, struct kj_store *store,
                    const struct kj_producer_options *options);
/* Lets the worker go. Batches may be left: kj_sender_fail_all() of each accumulator follows. */
void kj_sender_stop(struct kj_sender *sender);
void kj_sender_destroy(struct kj_sender *sender);

/* How many open batches share the memory, as experience goes; noted for each new one. */
enum { KJ_PEAK_SHIFT = 14, KJ_PEAK_UNIT = 1 << KJ_PEAK_SHIFT };
size_t kj_sender_share(struct kj_sender *sender);
/* The closed batches of size bytes that a partition may gather then. */
static inline size_t kj_sender_gather(const struct kj_sender *sender, size_t size)
{
    size_t share = (size_t)(kj_load_relaxed(&sender->open_peak) >> KJ_PEAK_SHIFT) + 1;
    size_t room = sender->pool.total / 2 / share / size;
    return room < sender->gather ? room : sender->gather;
}

/* Puts it into the lists it belongs to; acc->lock held. True: kj_sender_poke() afterwards. */
bool kj_sender_list(struct kj_sender *sender, struct kj_accumulator *acc);
/* Somebody waits for memory that open batches may hold, or no longer does: they are due at once. */
void kj_sender_want_memory(struct kj_sender *sender, bool want);
/* Wakes the worker; with later, only if it would sleep for long. */
void kj_sender_poke(struct kj_sender *sender, bool later);

/* Ends the calls that wait now, or the next one that would. Safe in a signal handler. */
void kj_sender_wake(struct kj_sender *sender);
/* since: wakeups_heeded when the call began. True: it is to end, INTERRUPTED. */
bool kj_sender_woken(struct kj_sender *sender, uint64_t since);
/* The latest that a call which waits until deadline_ns looks whether it was woken. The conditions it
 * sleeps on cannot be signalled from a signal handler. */
int64_t kj_sender_look_ns(const struct kj_sender *sender, int64_t deadline_ns);

/* Appends what is closed (and the open batch if drain_wanted), unless another thread is at it,
 * which will then do it. own_flush: the caller sees to the flush of what is appended, and waits for
 * another process that is at the partition; else that is put off. Nothing may be held. */
void kj_sender_drain(struct kj_sender *sender, struct kj_accumulator *acc, bool own_flush);
/* Flushes this partition's appended batches. acc->lock held, and given up meanwhile; the caller has
 * seen that nobody else is flushing. */
void kj_sender_flush_one(struct kj_sender *sender, struct kj_accumulator *acc);
/* Flushes what waits for it, all partitions in one go. Returns when to come again for those that
 * failed a moment ago, INT64_MAX: there are none. */
int64_t kj_sender_flush(struct kj_sender *sender);
/* One round of everything that is due. Returns when to come again. */
int64_t kj_sender_work(struct kj_sender *sender);
/* What is left fails with error; for close, when nothing works on the accumulator any more. */
void kj_sender_fail_all(struct kj_sender *sender, struct kj_accumulator *acc, int error);
/* The oldest batch that is not being appended yet fails with error, to make room. created_ns: what
 * was seen of it. False if it is gone. */
bool kj_sender_drop(struct kj_sender *sender, struct kj_accumulator *acc, int64_t created_ns);

/* A sender has read the result, or gives up waiting. acc->lock held; true: the batch is to be given
 * back with kj_batch_cache_put(). */
bool kj_sender_unwait(struct kj_sender *sender, struct kj_send_batch *batch);

#endif
