/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The simulated twin of shared words: the real os/shared on it, in histories drawn from seeds.
 */
#include "os_test.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"

#include <stdbool.h>
#include <stdlib.h>

enum { PROCESSES = 4, ROUNDS = 5 };

static struct kj_sim_tasks *tasks;
static struct kj_sim_shared *files;

struct process {
    struct kj_shared *shared;
    int failed_line;
    unsigned done;
};
static struct process processes[PROCESSES];

/* Tasks must not jump out through cmocka. */
#define task_check(process, cond)                                                                  \
    do {                                                                                           \
        if (!(cond) && (process)->failed_line == 0)                                                \
            (process)->failed_line = __LINE__;                                                     \
    } while (0)

static struct kj_shared *open_handle(void)
{
    struct kj_shared_options options = {.root_fd = -1,
                                        .lock_name = "kaja.lock",
                                        .control_name = "kaja.control",
                                        .clock = kj_sim_tasks_clock(tasks),
                                        .step = kj_sim_shared_step,
                                        .step_arg = tasks,
                                        .sim = &kj_sim_shared_ops,
                                        .sim_arg = files};
    struct kj_shared *shared = NULL;
    return kj_shared_open(&options, &shared) == 0 ? shared : NULL;
}

static void fill(struct kj_shared *shared, void *arg)
{
    kj_shared_store(shared, 0, *(uint64_t *)arg);
}

static void begin(uint64_t seed)
{
    tasks = kj_sim_tasks_new(seed, 40);
    files = kj_sim_shared_new(tasks);
    memset(processes, 0, sizeof processes);
    struct kj_shared *first = open_handle();
    uint64_t header = 7;
    assert_errno(kj_shared_build(first, 1, fill, &header), 0);
    kj_shared_close(first);
}

static uint64_t end(void)
{
    uint64_t trace = kj_sim_trace(tasks);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(processes[i].failed_line, 0);
    if (kj_sim_tasks_free(tasks)) /* else some are parked, and have them open */
        kj_sim_shared_free(files);
    return trace;
}

static void start_all(void (*run)(void *arg))
{
    for (unsigned i = 0; i < PROCESSES; i++)
        kj_sim_task_add(tasks, i, run, &processes[i]);
}

/* --- locks exclude, and without them updates are lost: in some history of few --- */

static bool with_lock;

static void count_up(void *arg)
{
    struct process *process = arg;
    struct kj_shared *shared = open_handle();
    task_check(process, kj_shared_attach(shared) == 0 && kj_shared_load(shared, 0) == 7);
    for (int i = 0; i < ROUNDS; i++) {
        if (with_lock)
            task_check(process, kj_shared_lock(shared, 3, KJ_LOCK_EXCLUSIVE, 20, INT64_MAX) == 0);
        uint64_t seen = kj_shared_load(shared, 10);
        kj_shared_store(shared, 10, seen + 1);
        if (with_lock)
            kj_shared_unlock(shared, 3, 20);
    }
    if (kj_shared_add(shared, 11, 1) == PROCESSES - 1)
        process->done = (unsigned)kj_shared_load(shared, 10);
    kj_shared_close(shared);
}

static unsigned counted(void)
{
    unsigned sum = 0;
    for (int i = 0; i < PROCESSES; i++)
        sum += processes[i].done;
    return sum;
}

static void test_lock(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        with_lock = true;
        begin(seed);
        start_all(count_up);
        assert_true(kj_sim_tasks_run(tasks));
        assert_int_equal(counted(), PROCESSES * ROUNDS);
        end();
        with_lock = false;
        begin(seed);
        start_all(count_up);
        assert_true(kj_sim_tasks_run(tasks));
        lost += counted() < PROCESSES * ROUNDS;
        end();
    }
    assert_true(lost > 20);
}

static void test_replay(void **state)
{
    (void)state;
    uint64_t traces[10];
    with_lock = true;
    for (int round = 0; round < 2; round++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            begin(seed);
            start_all(count_up);
            assert_true(kj_sim_tasks_run(tasks));
            uint64_t trace = end();
            assert_true(round == 0 || traces[seed] == trace);
            traces[seed] = trace;
            assert_true(seed == 0 || traces[seed - 1] != trace);
        }
}

/* --- waiting: words in a ring, time, wakeups --- */

static void pass_round(void *arg)
{
    struct process *process = arg;
    struct kj_shared *shared = open_handle();
    task_check(process, kj_shared_attach(shared) == 0);
    kj_word mine = 100 + (kj_word)(process - processes);
    kj_word next = 100 + (kj_word)(process - processes + 1) % PROCESSES;
    if (process == &processes[0])
        kj_shared_add(shared, mine, 1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        while ((uint32_t)kj_shared_load(shared, mine) == i)
            task_check(process, kj_shared_wait(shared, &mine, &i, 1, NULL, 0, INT64_MAX) == 0);
        kj_shared_add(shared, next, 1);
        kj_shared_wake(shared, next);
    }
    process->done = 1;
    kj_shared_close(shared);
}

static void test_wait(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        start_all(pass_round);
        assert_true(kj_sim_tasks_run(tasks));
        assert_int_equal(counted(), PROCESSES);
        end();
    }
}

static _Atomic uint32_t extra;
static void wait_for_extra(void *arg)
{
    struct process *process = arg;
    struct kj_shared *shared = open_handle();
    task_check(process, kj_shared_attach(shared) == 0);
    const struct kj_clock *clock = kj_sim_tasks_clock(tasks);
    kj_word word = 50;
    uint32_t zero = 0;
    int64_t deadline = kj_deadline_ns(clock, 60000); /* costs no time here */
    task_check(process, kj_shared_wait(shared, &word, &zero, 1, NULL, 0, deadline) == ETIMEDOUT);
    task_check(process, kj_mono_ns(clock) >= deadline);
    if (process != &processes[0]) {
        task_check(process, kj_shared_wait(shared, &word, &zero, 1, &extra, 0, INT64_MAX) == 0);
    } else {
        extra = 1;
        kj_shared_wake_extra(&extra);
    }
    process->done = 1;
    kj_shared_close(shared);
}

static void test_time_and_wakeup(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        extra = 0;
        begin(seed);
        start_all(wait_for_extra);
        assert_true(kj_sim_tasks_run(tasks));
        assert_int_equal(counted(), PROCESSES);
        end();
    }
}

static void hold_and_wait(void *arg)
{
    struct process *process = arg;
    struct kj_shared *shared = open_handle();
    uint64_t mine = (uint64_t)(process - processes);
    kj_shared_lock(shared, mine, KJ_LOCK_EXCLUSIVE, UINT32_MAX, INT64_MAX);
    kj_shared_lock(shared, 1 - mine, KJ_LOCK_EXCLUSIVE, UINT32_MAX, INT64_MAX);
    process->done = 1;
    kj_shared_close(shared);
}

static void test_deadlock_is_told(void **state)
{
    (void)state;
    unsigned stuck = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        for (unsigned i = 0; i < 2; i++)
            kj_sim_task_add(tasks, i, hold_and_wait, &processes[i]);
        bool ended = kj_sim_tasks_run(tasks);
        assert_int_equal(counted(), ended ? 2 : 0);
        stuck += !ended;
        end();
    }
    assert_true(stuck > 0 && stuck < 20);
}

/* --- death --- */

static void die_holding(void *arg)
{
    struct process *process = arg;
    struct kj_shared *shared = open_handle();
    task_check(process, kj_shared_attach(shared) == 0);
    task_check(process, kj_shared_lock(shared, 5, KJ_LOCK_EXCLUSIVE, 20, INT64_MAX) == 0);
    kj_shared_add(shared, 10, 1);
    if (process != &processes[PROCESSES - 1])
        kj_sim_kill(tasks, (unsigned)(process - processes));
    while (kj_shared_load(shared, 10) < PROCESSES) {
        kj_shared_unlock(shared, 5, 20);
        task_check(process, kj_shared_lock(shared, 5, KJ_LOCK_EXCLUSIVE, 20, INT64_MAX) == 0);
    }
    process->done = 1;
    kj_shared_close(shared);
}

static void test_kill(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin(seed);
        start_all(die_holding);
        assert_true(kj_sim_tasks_run(tasks));
        assert_int_equal(counted(), 1);
        end();
    }
}

/* --- all in one thread, without tasks --- */

static void test_handles_of_one_thread(void **state)
{
    (void)state;
    begin(1);
    struct kj_shared *a = open_handle(), *b = open_handle();
    assert_errno(kj_shared_attach(a), 0);
    assert_errno(kj_shared_attach(b), 0);
    assert_errno(kj_shared_attach(b), EBUSY);
    assert_errno(kj_shared_reach(a, 20000), 0);
    kj_shared_store(a, 19999, 4);
    assert_errno(kj_shared_reach(b, 20000), 0);
    assert_int_equal(kj_shared_load(b, 19999), 4);
    assert_errno(kj_shared_try_lock(a, 1, KJ_LOCK_SHARED), 0);
    assert_errno(kj_shared_try_lock(b, 1, KJ_LOCK_SHARED), 0);
    assert_errno(kj_shared_try_lock(a, 1, KJ_LOCK_EXCLUSIVE), EAGAIN);
    assert_true(kj_shared_lock_held(a, 1));
    kj_shared_unlock(b, 1, 20);
    assert_false(kj_shared_lock_held(a, 1));
    assert_errno(kj_shared_try_lock(a, 1, KJ_LOCK_EXCLUSIVE), 0);
    int64_t deadline = kj_deadline_ns(kj_sim_tasks_clock(tasks), 1000);
    assert_errno(kj_shared_lock(b, 1, KJ_LOCK_SHARED, 20, deadline), EAGAIN);
    assert_true(kj_mono_ns(kj_sim_tasks_clock(tasks)) >= deadline);
    kj_word word = 30;
    uint32_t zero = 0;
    deadline = kj_deadline_ns(kj_sim_tasks_clock(tasks), 1000);
    assert_errno(kj_shared_wait(b, &word, &zero, 1, NULL, 0, deadline), ETIMEDOUT);
    kj_shared_close(a);
    assert_errno(kj_shared_try_lock(b, 1, KJ_LOCK_SHARED), 0);
    assert_true(kj_shared_current(b));
    kj_sim_shared_crash(files);
    assert_true(kj_shared_load(b, 0) != 7);
    assert_errno(kj_shared_remove(b), 0);
    assert_false(kj_shared_current(b));
    kj_shared_close(b);
    b = open_handle();
    assert_errno(kj_shared_attach(b), ENOENT);
    kj_shared_close(b);
    end();
}

/* --- files and words together: a killed writer between two files leaves the disk readable --- */

static struct kj_sim *disk;
static bool killed;

static void write_pairs(void *arg)
{
    struct process *process = arg;
    struct kj_io *io = kj_sim_open(disk, false, kj_sim_io_step, tasks);
    struct kj_shared *shared = open_handle();
    task_check(process, kj_shared_attach(shared) == 0);
    struct kj_file *file;
    task_check(process, kj_io_open(io, "f", KJ_IO_WRITE | KJ_IO_CREATE, &file) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        task_check(process, kj_shared_lock(shared, 1, KJ_LOCK_EXCLUSIVE, 20, INT64_MAX) == 0);
        uint64_t end_pos = kj_shared_load(shared, 40);
        task_check(process, kj_io_pwrite(file, &end_pos, sizeof end_pos, (int64_t)end_pos) == 0);
        if (process != &processes[0] && kj_sim_draw(tasks, 8) == 0) {
            killed = true;
            kj_sim_kill(tasks, (unsigned)(process - processes));
        }
        kj_shared_store(shared, 40, end_pos + sizeof end_pos);
        kj_shared_unlock(shared, 1, 20);
    }
    kj_io_close(file);
    kj_io_destroy(io);
    process->done = (unsigned)kj_shared_load(shared, 40);
    kj_shared_close(shared);
}

static void test_files_and_words(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        begin(seed);
        disk = kj_sim_new(seed);
        killed = false;
        start_all(write_pairs);
        assert_true(kj_sim_tasks_run(tasks));
        struct kj_io *io = kj_sim_open(disk, true, NULL, NULL);
        struct kj_file *file;
        assert_errno(kj_io_open(io, "f", KJ_IO_READ, &file), 0);
        assert_true(processes[0].done >= ROUNDS * sizeof(uint64_t));
        for (int64_t pos = 0; pos < processes[0].done; pos += 8) {
            uint64_t value;
            size_t got;
            assert_errno(kj_io_pread(file, &value, sizeof value, pos, &got), 0);
            assert_int_equal(value, pos);
        }
        kj_io_close(file);
        kj_io_destroy(io);
        if (!killed)
            kj_sim_free(disk);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_time_and_wakeup),
        cmocka_unit_test(test_deadlock_is_told),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_handles_of_one_thread),
        cmocka_unit_test(test_files_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
