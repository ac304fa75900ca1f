/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
#define KJ_THREAD_ATTR_SIGMASK 1
#endif
#endif

static int start(void *(*run)(void *arg), void *arg, size_t stack_bytes, const sigset_t *blocked,
                 pthread_t *ret_thread)
{
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err != 0)
        return err;
    if (stack_bytes > 0)
        err = pthread_attr_setstacksize(&attr, stack_bytes);
#ifdef KJ_THREAD_ATTR_SIGMASK
    if (err == 0)
        err = pthread_attr_setsigmask_np(&attr, blocked);
    if (err == 0)
        err = pthread_create(ret_thread, &attr, run, arg);
#else
    /* The new thread inherits the mask of its maker, who has it back at once. */
    sigset_t before;
    if (err == 0)
        err = pthread_sigmask(SIG_SETMASK, blocked, &before);
    if (err == 0) {
        err = pthread_create(ret_thread, &attr, run, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
#endif
    pthread_attr_destroy(&attr);
    return err;
}

int kj_thread_start(void *(*run)(void *arg), void *arg, size_t stack_bytes, pthread_t *ret_thread)
{
    sigset_t all;
    sigfillset(&all);
    int err = start(run, arg, stack_bytes, &all, ret_thread);
    /* The host's thread-local data lie in the stack too and may be larger than what we ask for. */
    if (err == EINVAL && stack_bytes > 0)
        err = start(run, arg, 0, &all, ret_thread);
    return err;
}

void kj_thread_name(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
