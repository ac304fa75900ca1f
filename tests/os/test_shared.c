/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Words, locks and sleeping, between handles of one process and between processes.
 */
#include "os_test.h"

#include "os/io.h"
#include "os/shared.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int root_fd = -1;

static int setup(void **state)
{
    if (os_test_setup(state) != 0)
        return 1;
    root_fd = open(os_test_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0;
}

static int teardown(void **state)
{
    close(root_fd);
    return os_test_teardown(state);
}

static struct kj_shared *open_handle(bool read_only)
{
    struct kj_shared_options options = {.root_fd = root_fd,
                                        .lock_name = "kaja.lock",
                                        .control_name = "kaja.control",
                                        .read_only = read_only,
                                        .clock = &kj_clock_system};
    struct kj_shared *shared;
    assert_errno(kj_shared_open(&options, &shared), 0);
    return shared;
}

static int64_t in_ms(int64_t ms)
{
    return kj_deadline_ns(&kj_clock_system, ms);
}

static int64_t now_ns(void)
{
    return kj_mono_ns(&kj_clock_system);
}

static void nap_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void fill_header(struct kj_shared *shared, void *arg)
{
    kj_shared_store(shared, 0, *(uint64_t *)arg);
}

static void build(struct kj_shared *shared, uint32_t words, uint64_t header)
{
    assert_errno(kj_shared_build(shared, words, fill_header, &header), 0);
}

static struct kj_shared *attached(void)
{
    struct kj_shared *shared = open_handle(false);
    assert_errno(kj_shared_attach(shared), 0);
    return shared;
}

/* --- processes: a child runs body, says when it is ready, and waits to be told to go on --- */

struct child {
    pid_t pid;
    int ready, go;
};
static int child_ready, child_go;

static void child_say_ready(void)
{
    child_check(write(child_ready, "r", 1) == 1);
}

static void child_wait_go(void)
{
    char c;
    child_check(read(child_go, &c, 1) == 1);
}

static struct child start_child(void (*body)(void))
{
    int up[2], down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        os_test_is_child = 1;
        close(up[0]), close(down[1]);
        child_ready = up[1], child_go = down[0];
        body();
        leave_child(0);
    }
    close(up[1]), close(down[0]);
    struct child child = {.pid = pid, .ready = up[0], .go = down[1]};
    return child;
}

static void until_ready(const struct child *child)
{
    char c;
    assert_int_equal(read(child->ready, &c, 1), 1);
}

static void tell_go(const struct child *child)
{
    assert_int_equal(write(child->go, "g", 1), 1);
}

static int ended(const struct child *child)
{
    close(child->ready), close(child->go);
    return os_test_wait(child->pid);
}

/* --- the control file --- */

static void test_build_and_attach(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    assert_errno(kj_shared_attach(a), ENOENT);
    assert_int_equal(kj_shared_words(a), 0);
    assert_false(kj_shared_current(a));
    assert_errno(kj_shared_reach(a, 1), ENOENT);
    build(a, 1, 42);
    assert_int_equal(kj_shared_words(a), KJ_SHARED_CHUNK_WORDS);
    assert_true(kj_shared_current(a));
    uint64_t header = 1;
    assert_errno(kj_shared_build(a, 1, fill_header, &header), EBUSY);
    assert_errno(kj_shared_attach(a), EBUSY);
    assert_int_equal(kj_shared_load(a, 0), 42);
    struct stat st;
    assert_int_equal(lstat(os_test_path("kaja.control"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, KJ_SHARED_CHUNK_WORDS * 8);
    assert_int_equal(lstat(os_test_path("kaja.control.new"), &st), -1);
    assert_int_equal(lstat(os_test_path("kaja.lock"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    /* Words are seen by another handle, both ways. */
    struct kj_shared *b = attached();
    assert_int_equal(kj_shared_load(b, 0), 42);
    assert_ptr_not_equal(kj_shared_at(a, 0), kj_shared_at(b, 0));
    kj_shared_store(b, 8191, 7);
    assert_int_equal(kj_shared_load(a, 8191), 7);
    assert_int_equal(kj_shared_add(a, 8191, 3), 7);
    assert_int_equal(kj_shared_load(b, 8191), 10);
    uint64_t expected = 9;
    assert_false(kj_shared_cas(b, 8191, &expected, 1));
    assert_int_equal(expected, 10);
    assert_true(kj_shared_cas(b, 8191, &expected, 1));
    kj_shared_raise(a, 8191, 5);
    kj_shared_raise(b, 8191, 4);
    assert_int_equal(kj_shared_load(a, 8191), 5);

    /* Removed and made anew by another: the old words stay, but are not current. */
    assert_errno(kj_shared_remove(b), 0);
    assert_errno(kj_shared_remove(b), 0);
    assert_false(kj_shared_current(a));
    struct kj_shared *c = open_handle(false);
    build(c, 1, 43);
    assert_false(kj_shared_current(a));
    assert_true(kj_shared_current(c));
    assert_int_equal(kj_shared_load(a, 0), 42);
    kj_shared_close(a);
    kj_shared_close(b);
    kj_shared_close(c);
}

static void test_grow(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    build(a, 10, 1);
    struct kj_shared *b = attached();
    kj_atomic_u64 *first = kj_shared_at(a, 5);
    assert_errno(kj_shared_reach(a, KJ_SHARED_CHUNK_WORDS), 0);
    assert_int_equal(kj_shared_words(a), KJ_SHARED_CHUNK_WORDS);
    assert_errno(kj_shared_reach(a, KJ_SHARED_CHUNK_WORDS + 1), 0);
    assert_int_equal(kj_shared_words(a), 2 * KJ_SHARED_CHUNK_WORDS);
    assert_errno(kj_shared_reach(a, 100000), 0);
    assert_ptr_equal(kj_shared_at(a, 5), first);
    kj_shared_store(a, 99999, 11);
    assert_int_equal(kj_shared_words(b), KJ_SHARED_CHUNK_WORDS);
    assert_errno(kj_shared_reach(b, 100000), 0);
    assert_int_equal(kj_shared_load(b, 99999), 11);
    assert_int_equal(kj_shared_load(b, 99998), 0);
    /* b grew nothing: the file is as a left it. */
    struct stat st;
    assert_int_equal(lstat(os_test_path("kaja.control"), &st), 0);
    assert_int_equal(st.st_size, 13 * KJ_SHARED_CHUNK_WORDS * 8);
    assert_true(st.st_blocks * 512 >= st.st_size);
    assert_errno(kj_shared_reach(a, KJ_SHARED_CHUNKS_MAX * (uint32_t)KJ_SHARED_CHUNK_WORDS + 1),
                 ENOSPC);
    assert_errno(kj_shared_reach(a, UINT32_MAX), ENOSPC);
    kj_shared_close(a);
    kj_shared_close(b);
}

struct grower {
    struct kj_shared *shared;
    int err;
};

static void *grow_step_by_step(void *arg)
{
    struct grower *grower = arg;
    for (uint32_t chunk = 1; chunk <= 24 && grower->err == 0; chunk++) {
        grower->err = kj_shared_reach(grower->shared, chunk * KJ_SHARED_CHUNK_WORDS);
        if (grower->err == 0)
            kj_shared_add(grower->shared, chunk * KJ_SHARED_CHUNK_WORDS - 1, 1);
    }
    return NULL;
}

/* Everybody grows at once: no word that one has written is lost to another's growing. */
static void grow_together(void)
{
    struct kj_shared *handles[2];
    handles[0] = open_handle(false);
    build(handles[0], 1, 1);
    handles[1] = attached();
    struct grower growers[4];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        growers[i] = (struct grower){.shared = handles[i % 2]};
        assert_errno(pthread_create(&threads[i], NULL, grow_step_by_step, &growers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_errno(growers[i].err, 0);
    }
    for (uint32_t chunk = 1; chunk <= 24; chunk++)
        assert_errno((int)kj_shared_load(handles[0], chunk * KJ_SHARED_CHUNK_WORDS - 1), 4);
    kj_shared_close(handles[0]);
    kj_shared_close(handles[1]);
}

static void test_grow_together(void **state)
{
    (void)state;
    grow_together();
}

/* A file system that cannot allocate: zeros are written, under a lock. */
static void grow_without_fallocate(void)
{
    os_test_deny(SYS_fallocate, EOPNOTSUPP);
    for (int i = 0; i < 20; i++) {
        grow_together();
        child_check(unlink(os_test_path("kaja.control")) == 0);
    }
}

static void test_grow_without_fallocate(void **state)
{
    (void)state;
    os_test_in_child(grow_without_fallocate);
}

static void grow_limited(void)
{
    struct rlimit limit = {.rlim_cur = 1000000, .rlim_max = 1000000};
    child_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct kj_shared *shared = open_handle(false);
    uint64_t header = 1;
    child_check(kj_shared_build(shared, 200000, fill_header, &header) == EFBIG);
    child_check(kj_shared_words(shared) == 0);
    child_check(access(os_test_path("kaja.control.new"), F_OK) != 0);
    child_check(kj_shared_build(shared, 10, fill_header, &header) == 0);
    child_check(kj_shared_reach(shared, 200000) == EFBIG);
    child_check(kj_shared_load(shared, 0) == 1);
    kj_shared_close(shared);
}

static void test_grow_limited(void **state)
{
    (void)state;
    os_test_in_child(grow_limited);
}

static void write_control(const char *bytes, off_t size)
{
    int fd = open(os_test_path("kaja.control"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

/* What somebody else left under the name. */
static void test_strange_control_files(void **state)
{
    (void)state;
    struct kj_shared *shared = open_handle(false);
    struct kj_shared *reader = open_handle(true);
    static const off_t sizes[] = {0, 1, 65535, 65537, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_control("", sizes[i]);
        assert_errno(kj_shared_attach(shared), EINVAL);
        assert_errno(kj_shared_attach(reader), EINVAL);
    }
    write_control("", (off_t)KJ_SHARED_CHUNKS_MAX * 65536 + 65536);
    assert_errno(kj_shared_attach(shared), EINVAL);
    assert_int_equal(unlink(os_test_path("kaja.control")), 0);
    assert_int_equal(mkdir(os_test_path("kaja.control"), 0700), 0);
    assert_errno(kj_shared_attach(shared), EINVAL);
    assert_errno(kj_shared_attach(reader), EINVAL);
    assert_int_equal(rmdir(os_test_path("kaja.control")), 0);
    assert_int_equal(mkfifo(os_test_path("kaja.control"), 0600), 0);
    assert_errno(kj_shared_attach(shared), EINVAL);
    assert_errno(kj_shared_attach(reader), EINVAL);
    assert_int_equal(unlink(os_test_path("kaja.control")), 0);
    assert_int_equal(symlink("kaja.lock", os_test_path("kaja.control")), 0);
    assert_errno(kj_shared_attach(shared), EINVAL);
    assert_int_equal(unlink(os_test_path("kaja.control")), 0);
    /* A link under the temporary name is replaced, not followed. */
    assert_int_equal(symlink("kaja.lock", os_test_path("kaja.control.new")), 0);
    build(shared, 1, 5);
    struct stat st;
    assert_int_equal(lstat(os_test_path("kaja.control"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    /* Holes are filled when it is attached. */
    write_control("", 65536 * 4);
    struct kj_shared *other = attached();
    assert_int_equal(lstat(os_test_path("kaja.control"), &st), 0);
    assert_true(st.st_blocks * 512 >= st.st_size);
    kj_shared_close(other);
    kj_shared_close(shared);
    kj_shared_close(reader);
    assert_int_equal(unlink(os_test_path("kaja.lock")), 0);
    assert_int_equal(symlink("/etc/passwd", os_test_path("kaja.lock")), 0);
    struct kj_shared_options options = {
        .root_fd = root_fd, .lock_name = "kaja.lock", .clock = &kj_clock_system};
    assert_errno(kj_shared_open(&options, &shared), ELOOP);
    assert_int_equal(unlink(os_test_path("kaja.lock")), 0);
    assert_int_equal(mkfifo(os_test_path("kaja.lock"), 0600), 0);
    assert_errno(kj_shared_open(&options, &shared), EINVAL);
}

static void test_read_only(void **state)
{
    (void)state;
    struct kj_shared *reader = open_handle(true); /* nothing is there, nothing is made */
    struct stat st;
    assert_int_equal(lstat(os_test_path("kaja.lock"), &st), -1);
    assert_false(kj_shared_lock_held(reader, 1));
    assert_errno(kj_shared_attach(reader), ENOENT);
    struct kj_shared *writer = open_handle(false);
    build(writer, 1, 9);
    assert_errno(kj_shared_attach(reader), 0);
    assert_int_equal(kj_shared_load(reader, 0), 9);
    assert_false(kj_shared_lock_held(reader, 1));
    assert_errno(kj_shared_try_lock(writer, 1, KJ_LOCK_SHARED), 0);
    assert_true(kj_shared_lock_held(reader, 1));
    assert_false(kj_shared_lock_held(reader, 2));
    assert_errno(kj_shared_try_lock(reader, 2, KJ_LOCK_SHARED), EROFS);
    assert_errno(kj_shared_lock(reader, 2, KJ_LOCK_SHARED, 8, in_ms(1000)), EROFS);
    assert_errno(kj_shared_remove(reader), EROFS);
    uint64_t header = 0;
    assert_errno(kj_shared_build(reader, 1, fill_header, &header), EROFS);
    assert_errno(kj_shared_reach(reader, 10000), EROFS);
    assert_errno(kj_shared_reach(writer, 10000), 0);
    assert_errno(kj_shared_reach(reader, 10000), 0);
    kj_shared_store(writer, 9000, 1);
    assert_int_equal(kj_shared_load(reader, 9000), 1);
    /* It may sleep on a word without writing to it. */
    kj_word word = 9000;
    uint32_t expected = 1;
    assert_errno(kj_shared_wait(reader, &word, &expected, 1, NULL, 0, in_ms(5)), ETIMEDOUT);
    kj_shared_close(writer);
    kj_shared_close(reader);
}

/* --- locks --- */

static void test_locks_between_handles(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false), *b = open_handle(false);
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_EXCLUSIVE), 0);
    assert_errno(kj_shared_try_lock(b, 5, KJ_LOCK_EXCLUSIVE), EAGAIN);
    assert_errno(kj_shared_try_lock(b, 5, KJ_LOCK_SHARED), EAGAIN);
    assert_true(kj_shared_lock_held(b, 5));
    assert_false(kj_shared_lock_held(a, 5)); /* by another */
    assert_errno(kj_shared_try_lock(b, 4, KJ_LOCK_EXCLUSIVE), 0);
    assert_errno(kj_shared_try_lock(b, 6, KJ_LOCK_EXCLUSIVE), 0);
    /* Converting. */
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_SHARED), 0);
    assert_errno(kj_shared_try_lock(b, 5, KJ_LOCK_SHARED), 0);
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_EXCLUSIVE), EAGAIN);
    kj_shared_unlock(b, 5, UINT32_MAX);
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_EXCLUSIVE), 0);
    kj_shared_unlock(a, 5, UINT32_MAX);
    kj_shared_unlock(a, 5, UINT32_MAX); /* one that is not held: nothing happens */
    assert_errno(kj_shared_try_lock(b, 5, KJ_LOCK_EXCLUSIVE), 0);
    /* Opening and closing a third handle drops nobody's locks (unlike POSIX locks). */
    kj_shared_close(open_handle(false));
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_SHARED), EAGAIN);
    kj_shared_close(b);
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_SHARED), 0);
    assert_errno(kj_shared_try_lock(a, (uint64_t)1 << 40, KJ_LOCK_EXCLUSIVE), 0);
    kj_shared_close(a);
}

static void test_lock_file_replaced(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    assert_true(kj_shared_lock_current(a));
    assert_int_equal(unlink(os_test_path("kaja.lock")), 0);
    assert_false(kj_shared_lock_current(a));
    struct kj_shared *b = open_handle(false);
    assert_false(kj_shared_lock_current(a));
    assert_true(kj_shared_lock_current(b));
    kj_shared_close(a);
    kj_shared_close(b);
}

static void test_lock_timeout(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    build(a, 1, 0);
    struct kj_shared *b = attached();
    assert_errno(kj_shared_try_lock(a, 5, KJ_LOCK_EXCLUSIVE), 0);
    static const kj_word waiters[] = {20, UINT32_MAX};
    for (size_t i = 0; i < 2; i++) {
        int64_t begin = now_ns();
        assert_errno(kj_shared_lock(b, 5, KJ_LOCK_EXCLUSIVE, waiters[i], in_ms(25)), EAGAIN);
        int64_t took = now_ns() - begin;
        assert_true(took >= 24000000 && took < 2000000000);
        assert_errno(kj_shared_lock(b, 5, KJ_LOCK_EXCLUSIVE, waiters[i], 0), EAGAIN);
    }
    assert_int_equal(kj_shared_load(a, 20), 0); /* nobody is counted any more */
    assert_errno(kj_shared_lock(b, 6, KJ_LOCK_EXCLUSIVE, 20, 0), 0);
    /* Garbage in the word (another's bug, an old file) costs nothing but wakes. */
    static const uint64_t garbage[] = {UINT64_MAX, (uint64_t)UINT32_MAX, (uint64_t)1 << 32};
    for (size_t i = 0; i < 3; i++) {
        kj_shared_store(a, 20, garbage[i]);
        assert_errno(kj_shared_lock(b, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(2)), EAGAIN);
        kj_shared_unlock(b, 6, 20);
    }
    kj_shared_close(a);
    kj_shared_close(b);
}

/* Two handles, four threads, a counter that only the lock protects. */
struct counting {
    struct kj_shared *shared;
    pthread_mutex_t *mutex; /* of the handle's own threads, as callers must have */
    kj_word waiters;
};
enum { COUNT_EACH = 300 };

static void *count_under_lock(void *arg)
{
    struct counting *counting = arg;
    struct kj_shared *shared = counting->shared;
    for (int i = 0; i < COUNT_EACH; i++) {
        pthread_mutex_lock(counting->mutex);
        if (kj_shared_lock(shared, 7, KJ_LOCK_EXCLUSIVE, counting->waiters, in_ms(20000)) != 0)
            abort();
        uint64_t seen = kj_load_relaxed(kj_shared_at(shared, 30));
        if (i % 64 == 0)
            nap_ms(1);
        kj_store_relaxed(kj_shared_at(shared, 30), seen + 1);
        kj_shared_unlock(shared, 7, counting->waiters);
        pthread_mutex_unlock(counting->mutex);
    }
    return NULL;
}

static void test_lock_excludes(void **state)
{
    (void)state;
    struct kj_shared *handles[2];
    handles[0] = open_handle(false);
    build(handles[0], 1, 0);
    handles[1] = attached();
    static const kj_word waiters[] = {20, UINT32_MAX};
    for (size_t w = 0; w < 2; w++) {
        kj_shared_store(handles[0], 30, 0);
        pthread_mutex_t mutexes[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
        struct counting counting[4];
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            counting[i] = (struct counting){handles[i % 2], &mutexes[i % 2], waiters[w]};
            assert_errno(pthread_create(&threads[i], NULL, count_under_lock, &counting[i]), 0);
        }
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(kj_shared_load(handles[0], 30), 4 * COUNT_EACH);
        assert_int_equal(kj_shared_load(handles[0], 20) >> 32, 0);
    }
    kj_shared_close(handles[0]);
    kj_shared_close(handles[1]);
}

struct in_line {
    struct kj_shared *shared;
    _Atomic int64_t taken_ns;
};

static void *take_and_note(void *arg)
{
    struct in_line *line = arg;
    if (kj_shared_lock(line->shared, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(5000)) != 0)
        abort();
    line->taken_ns = now_ns();
    kj_shared_unlock(line->shared, 5, 20);
    return NULL;
}

/* An unlock wakes: the next one has the lock long before its round of 10 ms ends. */
static void test_unlock_wakes(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    build(a, 1, 0);
    struct in_line line = {.shared = attached()};
    int64_t best = INT64_MAX;
    for (int i = 0; i < 8; i++) {
        assert_errno(kj_shared_lock(a, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(5000)), 0);
        pthread_t thread;
        assert_errno(pthread_create(&thread, NULL, take_and_note, &line), 0);
        while (kj_shared_load(a, 20) >> 32 == 0)
            nap_ms(1);
        nap_ms(1);
        int64_t begin = now_ns();
        kj_shared_unlock(a, 5, 20);
        pthread_join(thread, NULL);
        if (line.taken_ns - begin < best)
            best = line.taken_ns - begin;
    }
    assert_true(best < 4000000);
    kj_shared_close(a);
    kj_shared_close(line.shared);
}

static void hold_until_told(void)
{
    struct kj_shared *shared = attached();
    child_check(kj_shared_try_lock(shared, 5, KJ_LOCK_EXCLUSIVE) == 0);
    child_say_ready();
    child_wait_go();
    kj_shared_unlock(shared, 5, 20);
    child_wait_go();
    kj_shared_close(shared);
}

/* An unlock in another process wakes a sleeper at once; a death is noticed within the 10 ms. */
static void test_lock_between_processes(void **state)
{
    (void)state;
    struct kj_shared *shared = open_handle(false);
    build(shared, 1, 0);
    struct child child = start_child(hold_until_told);
    until_ready(&child);
    assert_true(kj_shared_lock_held(shared, 5));
    assert_errno(kj_shared_try_lock(shared, 5, KJ_LOCK_EXCLUSIVE), EAGAIN);
    tell_go(&child);
    assert_errno(kj_shared_lock(shared, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(5000)), 0);
    kj_shared_unlock(shared, 5, 20);
    tell_go(&child);
    assert_int_equal(ended(&child), 0);

    child = start_child(hold_until_told);
    until_ready(&child);
    assert_errno(kj_shared_lock(shared, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(15)), EAGAIN);
    kill(child.pid, SIGKILL);
    int64_t begin = now_ns();
    assert_errno(kj_shared_lock(shared, 5, KJ_LOCK_EXCLUSIVE, 20, in_ms(5000)), 0);
    assert_true(now_ns() - begin < 2000000000);
    assert_int_equal(ended(&child), 1000 + SIGKILL);
    kj_shared_close(shared);
}

/* --- fork --- */

static void hold_and_leave_a_child(void)
{
    struct kj_shared *shared = attached();
    child_check(kj_shared_try_lock(shared, 5, KJ_LOCK_EXCLUSIVE) == 0);
    pid_t grandchild = fork();
    child_check(grandchild >= 0);
    if (grandchild == 0) {
        child_check(kj_shared_forked(shared));
        child_say_ready();
        child_wait_go(); /* outlives its parent */
        kj_shared_close(shared);
        child_say_ready();
        leave_child(0);
    }
    child_check(!kj_shared_forked(shared));
    for (;;)
        pause();
}

/* A child that the dead holder left behind does not keep its lock. */
static void test_fork_keeps_no_lock(void **state)
{
    (void)state;
    struct kj_shared *shared = open_handle(false);
    build(shared, 1, 0);
    struct child child = start_child(hold_and_leave_a_child);
    until_ready(&child);
    assert_true(kj_shared_lock_held(shared, 5));
    kill(child.pid, SIGKILL);
    assert_int_equal(os_test_wait(child.pid), 1000 + SIGKILL);
    assert_false(kj_shared_lock_held(shared, 5));
    assert_errno(kj_shared_try_lock(shared, 5, KJ_LOCK_EXCLUSIVE), 0);
    tell_go(&child);
    until_ready(&child); /* it closed the handle without harm */
    close(child.ready), close(child.go);
    kj_shared_close(shared);
}

static struct kj_shared *parents[2];
static void look_at_parents(void)
{
    for (int i = 0; i < 2; i++) {
        child_check(kj_shared_forked(parents[i]));
        child_check(kj_shared_try_lock(parents[i], 5, KJ_LOCK_SHARED) == EBADF);
    }
    kj_shared_close(parents[0]);
    /* A child may open handles of its own. */
    struct kj_shared *own = attached();
    child_check(!kj_shared_forked(own));
    child_check(kj_shared_try_lock(own, 5, KJ_LOCK_EXCLUSIVE) == EAGAIN);
    child_check(kj_shared_try_lock(own, 6, KJ_LOCK_EXCLUSIVE) == 0);
    kj_shared_close(own);
    kj_shared_close(parents[1]);
}

/* A child made behind the C library's back: no handler ran, yet it is noticed. */
static void look_after_raw_clone(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    child_check(pid >= 0);
    if (pid == 0) {
        child_check(kj_shared_forked(parents[1]));
        kj_shared_close(parents[1]);
        leave_child(0);
    }
    child_check(os_test_wait((pid_t)pid) == 0);
}

static void raw_clone_of_an_owner(void)
{
    parents[1] = attached();
    look_after_raw_clone();
    child_check(!kj_shared_forked(parents[1]));
    kj_shared_close(parents[1]);
}

static void test_forked(void **state)
{
    (void)state;
    parents[0] = open_handle(false);
    build(parents[0], 1, 0);
    parents[1] = attached();
    assert_errno(kj_shared_try_lock(parents[0], 5, KJ_LOCK_EXCLUSIVE), 0);
    os_test_in_child(look_at_parents);
    os_test_in_child(raw_clone_of_an_owner);
    for (int i = 0; i < 2; i++)
        assert_false(kj_shared_forked(parents[i]));
    assert_errno(kj_shared_try_lock(parents[1], 5, KJ_LOCK_EXCLUSIVE), EAGAIN); /* still held */
    kj_shared_close(parents[0]);
    kj_shared_close(parents[1]);
}

/* --- sleeping --- */

static bool no_waitv; /* second round of the same tests */

static void test_wait_times(void **state)
{
    (void)state;
    struct kj_shared *shared = open_handle(false);
    build(shared, 1, 0);
    kj_word words[KJ_SHARED_WAIT_MAX];
    uint32_t expected[KJ_SHARED_WAIT_MAX];
    for (uint32_t i = 0; i < KJ_SHARED_WAIT_MAX; i++) {
        words[i] = 100 + i * 8;
        expected[i] = 1000 + i;
        kj_shared_store(shared, words[i], (uint64_t)77 << 32 | expected[i]);
    }
    _Atomic uint32_t extra = 3;
    for (size_t count = 1; count <= KJ_SHARED_WAIT_MAX; count += 16) {
        int64_t begin = now_ns();
        assert_errno(kj_shared_wait(shared, words, expected, count, &extra, 3, in_ms(12)),
                     ETIMEDOUT);
        int64_t took = now_ns() - begin;
        assert_true(took >= 11000000 && took < 2000000000);
    }
    assert_errno(kj_shared_wait(shared, words, expected, 1, NULL, 0, 0), ETIMEDOUT);
    assert_errno(kj_shared_wait(shared, words, expected, 1, NULL, 0, INT64_MIN), ETIMEDOUT);
    /* Any difference ends it at once: a word's low half, or the extra; not a high half. */
    kj_shared_store(shared, words[63], (uint64_t)78 << 32 | expected[63]);
    assert_errno(kj_shared_wait(shared, words, expected, 64, &extra, 3, in_ms(2)), ETIMEDOUT);
    kj_shared_store(shared, words[63], 1);
    assert_errno(kj_shared_wait(shared, words, expected, 64, &extra, 3, INT64_MAX), 0);
    assert_errno(kj_shared_wait(shared, words, expected, 63, &extra, 4, INT64_MAX), 0);
    assert_errno(kj_shared_wait(shared, words, expected, 64, NULL, 0, 0), 0);
    kj_shared_close(shared);
}

struct sleeper {
    struct kj_shared *shared;
    kj_word words[2];
    uint32_t expected[2];
    _Atomic uint32_t *extra;
    int err;
};

static void *sleep_for_it(void *arg)
{
    struct sleeper *sleeper = arg;
    int64_t deadline = in_ms(10000);
    for (;;) {
        sleeper->err = kj_shared_wait(sleeper->shared, sleeper->words, sleeper->expected, 2,
                                      sleeper->extra, 0, deadline);
        bool changed = atomic_load(sleeper->extra) != 0;
        for (int i = 0; i < 2; i++)
            changed = changed || (uint32_t)kj_shared_load(sleeper->shared, sleeper->words[i]) !=
                                     sleeper->expected[i];
        if (sleeper->err != 0 || changed)
            return NULL;
    }
}

/* Woken through another handle's map of the same file, by each word, and by the extra. */
static void test_wake_between_handles(void **state)
{
    (void)state;
    struct kj_shared *a = open_handle(false);
    build(a, 1, 0);
    struct kj_shared *b = attached();
    for (int which = 0; which < 3; which++) {
        _Atomic uint32_t extra = 0;
        struct sleeper sleeper = {.shared = a, .words = {50, 60}, .extra = &extra};
        for (int i = 0; i < 2; i++)
            sleeper.expected[i] = (uint32_t)kj_shared_load(a, sleeper.words[i]);
        pthread_t thread;
        assert_errno(pthread_create(&thread, NULL, sleep_for_it, &sleeper), 0);
        nap_ms(10);
        int64_t begin = now_ns();
        if (which < 2) {
            kj_shared_add(b, sleeper.words[which], 1);
            kj_shared_wake(b, sleeper.words[which]);
        } else {
            atomic_store(&extra, 1);
            kj_shared_wake_extra(&extra);
        }
        pthread_join(thread, NULL);
        assert_errno(sleeper.err, 0);
        assert_true(now_ns() - begin < 2000000000);
    }
    kj_shared_close(a);
    kj_shared_close(b);
}

static void answer_each(void)
{
    struct kj_shared *shared = attached();
    for (uint32_t i = 1; i <= 200; i++) {
        kj_word words[2] = {40, 41};
        uint32_t expected[2] = {i - 1, 0};
        int64_t deadline = in_ms(10000);
        while ((uint32_t)kj_shared_load(shared, 40) == i - 1)
            child_check(kj_shared_wait(shared, words, expected, 2, NULL, 0, deadline) == 0);
        kj_shared_add(shared, 42, 1);
        kj_shared_wake(shared, 42);
    }
    kj_shared_close(shared);
}

static void test_ping_pong_between_processes(void **state)
{
    (void)state;
    struct kj_shared *shared = open_handle(false);
    build(shared, 1, 0);
    struct child child = start_child(answer_each);
    int64_t begin = now_ns();
    for (uint32_t i = 1; i <= 200; i++) {
        kj_shared_add(shared, 40, 1);
        kj_shared_wake(shared, 40);
        kj_word word = 42;
        uint32_t expected = i - 1;
        int64_t deadline = in_ms(10000);
        while ((uint32_t)kj_shared_load(shared, 42) == i - 1)
            assert_errno(kj_shared_wait(shared, &word, &expected, 1, NULL, 0, deadline), 0);
    }
    /* Real wake-ups, not the ends of rounds. */
    assert_true(now_ns() - begin < 200 * 5000000ll);
    assert_int_equal(ended(&child), 0);
    kj_shared_close(shared);
}

static void without_waitv(void)
{
    os_test_deny(449, no_waitv ? ENOSYS : EPERM);
    child_check(setup(NULL) == 0);
    test_wait_times(NULL);
    child_check(teardown(NULL) == 0 && setup(NULL) == 0);
    test_wake_between_handles(NULL);
    child_check(teardown(NULL) == 0);
}

/* A failed assert of cmocka in the child makes it run what is left and exit with a failure. */
static void test_without_waitv(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        no_waitv = i == 1;
        os_test_in_child(without_waitv);
    }
}

static void test_boot_id(void **state)
{
    (void)state;
    uint64_t id = kj_shared_boot_id();
    assert_true(id == kj_shared_boot_id());
    if (access("/proc/sys/kernel/random/boot_id", R_OK) == 0)
        assert_true(id != 0);
}

/* --- the hook --- */

static unsigned steps_seen;
static char last_point[32];
static void note_step(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)arg, (void)number;
    steps_seen |= 1u << step;
    if (name != NULL)
        (void)snprintf(last_point, sizeof last_point, "%s", name);
}

static void test_steps(void **state)
{
    (void)state;
    struct kj_shared_options options = {.root_fd = root_fd,
                                        .lock_name = "kaja.lock",
                                        .control_name = "kaja.control",
                                        .clock = &kj_clock_system,
                                        .step = note_step};
    struct kj_shared *shared;
    assert_errno(kj_shared_open(&options, &shared), 0);
    build(shared, 1, 0);
    assert_string_equal(last_point, "control.publish");
    uint64_t expected = kj_shared_load(shared, 1);
    kj_shared_cas(shared, 1, &expected, 2);
    kj_shared_add(shared, 1, 1);
    kj_shared_try_lock(shared, 1, KJ_LOCK_SHARED);
    kj_shared_unlock(shared, 1, 8);
    kj_word word = 1;
    uint32_t low = 0;
    kj_shared_wait(shared, &word, &low, 1, NULL, 0, 0);
    kj_shared_wake(shared, 1);
    assert_int_equal(steps_seen, (1u << (KJ_STEP_POINT + 1)) - 1);
    kj_shared_close(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_build_and_attach),
        CASE(test_grow),
        CASE(test_grow_together),
        CASE(test_grow_without_fallocate),
        CASE(test_grow_limited),
        CASE(test_strange_control_files),
        CASE(test_read_only),
        CASE(test_locks_between_handles),
        CASE(test_lock_file_replaced),
        CASE(test_lock_timeout),
        CASE(test_lock_excludes),
        CASE(test_unlock_wakes),
        CASE(test_lock_between_processes),
        CASE(test_fork_keeps_no_lock),
        CASE(test_forked),
        CASE(test_wait_times),
        CASE(test_wake_between_handles),
        CASE(test_ping_pong_between_processes),
        cmocka_unit_test(test_without_waitv),
        cmocka_unit_test(test_boot_id),
        CASE(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
