/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/report.h"

#include "base/assert.h"
#include "base/err.h"
#include "client/accumulator.h"
#include "os/bell.h"

static _Thread_local bool inside;

void kj_reports_init(struct kj_reports *reports, kj_reports_release *release, void *arg)
{
    *reports = (struct kj_reports){.release = release, .release_arg = arg, .bell = -1};
    kj_lock_init(&reports->lock, KJ_RANK_LEAF);
    kj_cond_init(&reports->cond);
    kj_batch_queue_init(&reports->queue);
}

void kj_reports_destroy(struct kj_reports *reports)
{
    KJ_ASSERT(reports->queue.first == NULL);
    if (reports->bell >= 0)
        kj_bell_close(reports->bell);
    kj_cond_destroy(&reports->cond);
    kj_lock_destroy(&reports->lock);
}

int kj_reports_descriptor(struct kj_reports *reports, int *ret_fd)
{
    int os = 0;
    kj_lock_acquire(&reports->lock);
    if (reports->bell < 0) {
        os = kj_bell_open(&reports->bell);
        if (os == 0 && reports->queue.first != NULL)
            kj_bell_ring(reports->bell);
    }
    *ret_fd = reports->bell;
    kj_lock_release(&reports->lock);
    return os == 0 ? 0 : kj_err_os(os, "a descriptor for delivery reports");
}

/* Lock held. */
static void moved(struct kj_reports *reports)
{
    reports->progress++;
    kj_cond_broadcast(&reports->cond);
}

void kj_reports_push(struct kj_reports *reports, struct kj_send_batch *batch)
{
    kj_fetch_add_relaxed(&reports->pending, batch->report_count);
    kj_lock_acquire(&reports->lock);
    if (reports->bell >= 0 && reports->queue.first == NULL)
        kj_bell_ring(reports->bell);
    kj_batch_queue_push(&reports->queue, batch);
    reports->pushed++;
    if (kj_load_relaxed(&reports->watchers) != 0)
        moved(reports);
    kj_lock_release(&reports->lock);
}

static void call_back(const struct kj_send_batch *batch)
{
    struct kaja_metadata metadata = {
        .topic = batch->home->name,
        .partition = batch->home->number,
    };
    for (size_t i = 0; i < batch->report_count; i++) {
        const struct kj_report *report = &batch->reports[i];
        if (batch->error != 0) {
            metadata.offset = -1;
            metadata.timestamp = -1;
            /* kaja_error_detail() in the callback tells why. */
            if (batch->story != NULL)
                kj_err_restore(batch->story);
        } else {
            metadata.offset = batch->base_offset < 0 ? -1 : batch->base_offset + report->index;
            metadata.timestamp = batch->append_time >= 0 ? batch->append_time : report->timestamp;
        }
        report->callback(report->arg, batch->error, &metadata);
    }
}

size_t kj_reports_serve(struct kj_reports *reports)
{
    struct kj_batch_queue due;
    kj_batch_queue_init(&due);
    kj_lock_acquire(&reports->lock);
    if (!reports->serving && !inside && reports->queue.first != NULL) {
        reports->serving = true;
        if (reports->bell >= 0)
            kj_bell_quiet(reports->bell);
        kj_batch_queue_unpop(&due, &reports->queue);
    }
    kj_lock_release(&reports->lock);
    if (due.first == NULL)
        return 0;
    size_t count = 0;
    uint64_t batches = due.count;
    inside = true;
    for (struct kj_send_batch *batch; (batch = kj_batch_queue_pop(&due)) != NULL;) {
        call_back(batch);
        count += batch->report_count;
        kj_fetch_add_relaxed(&reports->pending, UINT64_C(0) - batch->report_count);
        reports->release(reports->release_arg, batch);
    }
    inside = false;
    kj_lock_acquire(&reports->lock);
    reports->serving = false;
    reports->served += batches;
    moved(reports);
    kj_lock_release(&reports->lock);
    return count;
}

bool kj_reports_inside(void)
{
    return inside;
}

uint64_t kj_reports_watch(struct kj_reports *reports)
{
    /* Pairs with kj_reports_moved(): either it sees this watcher, or the watcher, which looks at
     * the state only now, sees what moved. */
    kj_fetch_add(&reports->watchers, 1);
    return kj_reports_look(reports);
}

uint64_t kj_reports_look(struct kj_reports *reports)
{
    kj_lock_acquire(&reports->lock);
    uint64_t seen = reports->progress;
    kj_lock_release(&reports->lock);
    return seen;
}

void kj_reports_sleep(struct kj_reports *reports, uint64_t seen, int64_t deadline_ns)
{
    kj_lock_acquire(&reports->lock);
    while (reports->progress == seen &&
           kj_cond_wait_until(&reports->cond, &reports->lock, deadline_ns))
        ;
    kj_lock_release(&reports->lock);
}

void kj_reports_unwatch(struct kj_reports *reports)
{
    kj_fetch_add(&reports->watchers, UINT64_MAX);
}

void kj_reports_moved(struct kj_reports *reports)
{
    kj_fence(); /* what moved, before the look at the watchers: pairs with kj_reports_watch() */
    if (kj_load_relaxed(&reports->watchers) == 0)
        return;
    kj_lock_acquire(&reports->lock);
    moved(reports);
    kj_lock_release(&reports->lock);
}

uint64_t kj_reports_pushed(struct kj_reports *reports)
{
    kj_lock_acquire(&reports->lock);
    uint64_t pushed = reports->pushed;
    kj_lock_release(&reports->lock);
    return pushed;
}

bool kj_reports_all_served(struct kj_reports *reports, uint64_t pushed)
{
    kj_lock_acquire(&reports->lock);
    bool all = reports->served >= pushed;
    kj_lock_release(&reports->lock);
    return all;
}
