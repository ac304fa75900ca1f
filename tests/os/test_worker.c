/* SPDX-License-Identifier: BSD-2-Clause */
#include "os_test.h"

#include "os/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct job {
    atomic_int runs;
    atomic_int seen; /* value of posted that the last run saw */
    atomic_int posted;
    _Atomic int64_t wait_ns;
    atomic_bool blocked_all, named;
};

static void spin_ns(int64_t ns)
{
    int64_t until = kj_mono_ns(&kj_clock_system) + ns;
    while (kj_mono_ns(&kj_clock_system) < until)
        ;
}

static int64_t run(void *arg)
{
    struct job *job = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    job->blocked_all = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1 &&
                       sigismember(&mask, SIGSEGV) == 1;
    char name[17] = {0};
    prctl(PR_GET_NAME, name, 0, 0, 0);
    job->named = strcmp(name, "kaja-test-name-") == 0;
    job->seen = atomic_load(&job->posted);
    spin_ns(3000); /* pokes shall fall into a run */
    job->runs++;
    int64_t wait_ns = job->wait_ns;
    return wait_ns == INT64_MAX ? INT64_MAX : kj_mono_ns(&kj_clock_system) + wait_ns;
}

static bool eventually(const atomic_int *value, int at_least)
{
    for (int i = 0; i < 5000; i++) {
        if (atomic_load(value) >= at_least)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static void test_runs_once_then_waits(void **state)
{
    (void)state;
    struct job job = {.wait_ns = INT64_MAX};
    struct kj_worker *worker;
    assert_errno(kj_worker_start("kaja-test-name-too-long", &kj_clock_system, run, &job, &worker),
                 0);
    assert_true(eventually(&job.runs, 1));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    assert_int_equal(job.runs, 1);
    assert_true(job.blocked_all);
    assert_true(job.named);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0); /* ours is as before */
    kj_worker_stop(worker);
    kj_worker_stop(NULL);
}

/* Whatever was posted before a poke is seen by a run after it, however the poke falls. */
static void test_poke(void **state)
{
    (void)state;
    struct job job = {.wait_ns = INT64_MAX};
    struct kj_worker *worker;
    assert_errno(kj_worker_start("w", &kj_clock_system, run, &job, &worker), 0);
    for (int i = 1; i <= 600; i++) {
        /* One to start a run, one at another moment of it each time. */
        kj_worker_poke(worker);
        spin_ns(i * 677 % 60000);
        job.posted = i;
        kj_worker_poke(worker);
        for (int spins = 0; job.seen < i && spins < 2000; spins++)
            spin_ns(1000); /* eventually() would sleep */
        assert_true(eventually(&job.seen, i));
    }
    kj_worker_stop(worker);
    assert_true(job.runs <= 1202);
}

static void test_deadline(void **state)
{
    (void)state;
    struct job job = {.wait_ns = 2000000};
    struct kj_worker *worker;
    int64_t begin = kj_mono_ns(&kj_clock_system);
    assert_errno(kj_worker_start("w", &kj_clock_system, run, &job, &worker), 0);
    assert_true(eventually(&job.runs, 6));
    assert_true(kj_mono_ns(&kj_clock_system) - begin >= 10000000);
    job.wait_ns = INT64_MAX;
    kj_worker_stop(worker);
}

static struct kj_worker *forked_worker;
static void stop_in_child(void)
{
    kj_worker_poke(forked_worker);
    kj_worker_stop(forked_worker); /* would hang if it joined */
}

static void test_fork(void **state)
{
    (void)state;
    struct job job = {.wait_ns = INT64_MAX};
    assert_errno(kj_worker_start("w", &kj_clock_system, run, &job, &forked_worker), 0);
    assert_true(eventually(&job.runs, 1));
    os_test_in_child(stop_in_child);
    kj_worker_poke(forked_worker);
    assert_true(eventually(&job.runs, 2));
    kj_worker_stop(forked_worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_once_then_waits),
        cmocka_unit_test(test_poke),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
