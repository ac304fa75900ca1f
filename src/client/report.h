/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/report.h - delivery callbacks: batches whose result is known wait here until a thread of
 * the application serves them in poll, flush or close; one thread at a time, so that the callbacks
 * of a partition keep the order of its records. Also where threads of the application sleep until
 * something of the producer moves.
 */
#ifndef KJ_CLIENT_REPORT_H
#define KJ_CLIENT_REPORT_H

#include "base/atomic.h"
#include "base/lock.h"
#include "client/send_batch.h"

/* Gives a served batch back to its owner. */
typedef void kj_reports_release(void *arg, struct kj_send_batch *batch);

struct kj_reports {
    struct kj_lock lock;
    struct kj_cond cond;
    struct kj_batch_queue queue;
    bool serving;
    uint64_t pushed, served; /* batches */
    uint64_t progress;       /* rises when something moved while somebody watched */
    kj_atomic_u64 watchers;
    kj_atomic_u64 pending; /* callbacks in the queue */
    int bell;              /* readable while the queue is not empty; -1: nobody asked for it */
    kj_reports_release *release;
    void *release_arg;
};

void kj_reports_init(struct kj_reports *reports, kj_reports_release *release, void *arg);
void kj_reports_destroy(struct kj_reports *reports);

/* A descriptor that is readable while batches wait to be served; ours until destroyed. */
int kj_reports_descriptor(struct kj_reports *reports, int *ret_fd);

/* Any locks but leaves may be held. */
void kj_reports_push(struct kj_reports *reports, struct kj_send_batch *batch);

/* Runs the callbacks that are due, unless another thread does; how many. Nothing may be held. */
size_t kj_reports_serve(struct kj_reports *reports);
/* True inside a callback: on this thread, of any producer. */
bool kj_reports_inside(void);

/* Sleeping until something moves, without missing it:
 *     uint64_t seen = kj_reports_watch(r);
 *     look at the state; kj_reports_sleep(r, seen, deadline); seen = kj_reports_look(r); ...
 *     kj_reports_unwatch(r); */
uint64_t kj_reports_watch(struct kj_reports *reports);
uint64_t kj_reports_look(struct kj_reports *reports);
void kj_reports_sleep(struct kj_reports *reports, uint64_t seen, int64_t deadline_ns);
void kj_reports_unwatch(struct kj_reports *reports);
/* Something moved; called after it did. */
void kj_reports_moved(struct kj_reports *reports);

/* Number of batches pushed so far, and whether all of that many were served. */
uint64_t kj_reports_pushed(struct kj_reports *reports);
bool kj_reports_all_served(struct kj_reports *reports, uint64_t pushed);

#endif
