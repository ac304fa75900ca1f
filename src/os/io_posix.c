/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A submission without io_uring: the caller and up to helper_threads threads take requests from it
 * one by one. Helpers live as long as the submission: a thread costs a tenth of a flush, and
 * nothing stays behind to be woken, joined at close, or missed after fork().
 */
#include "os/io_real.h"

#include "os/thread.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    HELPERS_MAX = 64,
    HELPER_STACK_BYTES = 256 * 1024 /* they only make system calls */
};

struct job {
    struct kj_io_req *reqs;
    size_t count;
    atomic_size_t next;
};

static void *work(void *arg)
{
    struct job *job = arg;
    size_t i;
    while ((i = atomic_fetch_add(&job->next, 1)) < job->count)
        kj_direct_carry_out(&job->reqs[i]);
    return NULL;
}

static void *help(void *arg)
{
    kj_thread_name("kaja-flush");
    return work(arg);
}

/* helper_threads bounds all submissions of the io together. */
static bool helper_take(struct kj_real_io *real)
{
    if (atomic_fetch_add(&real->helpers, 1) < real->helper_threads)
        return true;
    atomic_fetch_sub(&real->helpers, 1);
    return false;
}

int kj_posix_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count)
{
    struct kj_real_io *real = kj_real_io(io);
    struct job job = {.reqs = reqs, .count = count};
    pthread_t threads[HELPERS_MAX];
    unsigned started = 0;
    while (started + 1 < count && started < HELPERS_MAX && helper_take(real)) {
        if (kj_thread_start(help, &job, HELPER_STACK_BYTES, &threads[started]) != 0) {
            atomic_fetch_sub(&real->helpers, 1);
            break; /* the others do its share */
        }
        started++;
    }
    work(&job);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        atomic_fetch_sub(&real->helpers, 1);
    }
    return 0;
}
