/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/worker.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "os/futex.h"
#include "os/thread.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/*
 * state, a futex word. Every change is a sequentially consistent exchange, so a poke either finds
 * RUNNING and is seen by the exchange that follows the run, or finds IDLE and wakes.
 *
 *            exchange by the worker
 *     IDLE ---------------------------> RUNNING
 *      ^ \                             /   |
 *      |  \ poke (wakes)    poke      /    | the run ended
 *      |   `-----> POKED <-----------'     |
 *      |             | worker: runs again  |
 *      `-----------------------------------'
 */
enum { IDLE = 0, RUNNING = 1, POKED = 2 };

struct kj_worker {
    _Atomic uint32_t state;
    atomic_bool stop;
    const struct kj_clock *clock;
    kj_worker_run *run;
    kj_worker_sleep *sleep; /* NULL: on state alone */
    void *arg;
    pthread_t thread;
    pid_t pid; /* in a child of fork() there is no thread to join */
    char name[16];
};

static void *work(void *arg)
{
    struct kj_worker *worker = arg;
    kj_thread_name(worker->name);
    for (;;) {
        /* An exchange, not a store: it also acquires what came before a poke that it overwrites. */
        atomic_exchange(&worker->state, RUNNING);
        if (atomic_load(&worker->stop))
            return NULL;
        int64_t next_ns = worker->run(worker->arg);
        uint32_t expected = RUNNING;
        if (!atomic_compare_exchange_strong(&worker->state, &expected, IDLE))
            continue;
        /* Ends at a poke, the deadline, or for no reason: the function finds out what is due. */
        if (worker->sleep != NULL && worker->sleep(worker->arg, &worker->state, IDLE, next_ns))
            continue;
        while (atomic_load(&worker->state) == IDLE && kj_mono_ns(worker->clock) < next_ns)
            kj_futex_wait((uintptr_t)&worker->state, FUTEX_PRIVATE_FLAG, IDLE, next_ns);
    }
}

int kj_worker_start(const char *name, const struct kj_clock *clock, kj_worker_run *run, void *arg,
                    struct kj_worker **ret_worker)
{
    return kj_worker_start_with(name, clock, run, NULL, arg, ret_worker);
}

int kj_worker_start_with(const char *name, const struct kj_clock *clock, kj_worker_run *run,
                         kj_worker_sleep *sleep, void *arg, struct kj_worker **ret_worker)
{
    struct kj_worker *worker = kj_alloc_zero(1, sizeof *worker);
    if (worker == NULL)
        return ENOMEM;
    worker->clock = clock;
    worker->run = run;
    worker->sleep = sleep;
    worker->arg = arg;
    worker->pid = getpid();
    strncpy(worker->name, name, sizeof worker->name - 1);
    int err = kj_thread_start(work, worker, 0, &worker->thread);
    if (err != 0) {
        kj_free(worker);
        return err;
    }
    *ret_worker = worker;
    return 0;
}

void kj_worker_poke(struct kj_worker *worker)
{
    /* What the caller did before is seen by the run that this causes (exchange in work()). */
    if (atomic_exchange(&worker->state, POKED) == IDLE)
        kj_futex_wake((uintptr_t)&worker->state, FUTEX_PRIVATE_FLAG, 1);
}

void kj_worker_stop(struct kj_worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->pid == getpid()) {
        KJ_ASSERT(!pthread_equal(worker->thread, pthread_self()));
        atomic_store(&worker->stop, true);
        kj_worker_poke(worker);
        KJ_ASSERT(pthread_join(worker->thread, NULL) == 0);
    }
    kj_free(worker);
}
