/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Every function of os/io.h on the real disk. Built twice: test_io_posix (without helpers, then
 * with two) and test_io_uring.
 */
#include "os_test.h"

#include "base/alloc.h"
#include "os/io.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#ifdef TEST_URING
static const enum kj_io_backend backend = KJ_IO_URING;
#else
static const enum kj_io_backend backend = KJ_IO_POSIX;
#endif
static unsigned helper_threads;
static struct kj_io *io;

static struct kj_io *open_io(const struct kj_io_options *extra)
{
    struct kj_io_options options = extra != NULL ? *extra : (struct kj_io_options){0};
    if (options.root == NULL)
        options.root = os_test_dir;
    options.backend = backend;
    options.helper_threads = helper_threads;
    struct kj_io *opened;
    assert_errno(kj_io_create(&options, &opened), 0);
    return opened;
}

static int setup(void **state)
{
    if (os_test_setup(state) != 0)
        return 1;
    io = open_io(NULL);
    return 0;
}

static int teardown(void **state)
{
    kj_io_destroy(io);
    return os_test_teardown(state);
}

static struct kj_file *must_open(const char *path, unsigned flags)
{
    struct kj_file *file;
    assert_errno(kj_io_open(io, path, flags, &file), 0);
    return file;
}

static void must_write(const char *path, const char *text)
{
    struct kj_file *file = must_open(path, KJ_IO_WRITE | KJ_IO_CREATE);
    assert_errno(kj_io_pwrite(file, text, strlen(text), 0), 0);
    kj_io_close(file);
}

static void must_hold(const char *path, const char *text)
{
    uint8_t *bytes;
    size_t len;
    assert_errno(kj_io_read_file(io, path, 1 << 20, &bytes, &len), 0);
    assert_errno(strcmp((const char *)bytes, text), 0);
    assert_errno((int)len, (int)strlen(text));
    kj_free(bytes);
}

static void test_backend_name(void **state)
{
    (void)state;
    assert_string_equal(io->backend, backend == KJ_IO_URING ? "io_uring" : "posix");
    assert_true(io->root_fd >= 0);
}

static void test_open_flags(void **state)
{
    (void)state;
    struct kj_file *file;
    assert_errno(kj_io_open(io, "a", KJ_IO_READ, &file), ENOENT);
    assert_errno(kj_io_open(io, "a", KJ_IO_WRITE, &file), ENOENT);
    file = must_open("a", KJ_IO_WRITE | KJ_IO_CREATE);
    struct kj_io_stat stat, named;
    assert_errno(kj_io_stat_file(file, &stat), 0);
    assert_errno(kj_io_stat(io, "a", &named), 0);
    assert_int_equal(stat.ino, file->ino);
    assert_int_equal(named.ino, file->ino);
    assert_int_equal(stat.type, KJ_IO_FILE);
    assert_int_equal(stat.size, 0);
    assert_true(file->writable);
    /* Close-on-exec, 0600, no O_NONBLOCK left over. */
    assert_int_equal(fcntl(file->fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(file->fd, F_GETFL) & O_NONBLOCK, 0);
    struct stat st;
    assert_int_equal(fstat(file->fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kj_io_close(file);
    assert_errno(kj_io_open(io, "a", KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &file), EEXIST);
    file = must_open("a", KJ_IO_READ);
    assert_false(file->writable);
    kj_io_close(file);
    kj_io_close(NULL);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       "/",    "/etc/passwd", "..",    "../x",
                                      "a/../b", "a/..", "./a",         "a/./b", "a//b",
                                      "a/",     ".",    "d/../..",     "//"};
    struct kj_file *file;
    struct kj_io_stat stat;
    assert_errno(kj_io_mkdir(io, "d"), 0);
    must_write("x", "x");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_errno(kj_io_open(io, bad[i], KJ_IO_WRITE | KJ_IO_CREATE, &file), EINVAL);
        assert_errno(kj_io_unlink(io, bad[i]), EINVAL);
        assert_errno(kj_io_mkdir(io, bad[i]), EINVAL);
        assert_errno(kj_io_rmdir(io, bad[i]), EINVAL);
        assert_errno(kj_io_rename(io, "x", bad[i]), EINVAL);
        assert_errno(kj_io_rename(io, bad[i], "y"), EINVAL);
        if (bad[i][0] != '\0') {
            assert_errno(kj_io_stat(io, bad[i], &stat), EINVAL);
            assert_errno(kj_io_sync_dir(io, bad[i]), EINVAL);
        }
    }
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    assert_errno(kj_io_mkdir(io, name), ENAMETOOLONG);
    name[255] = '\0';
    assert_errno(kj_io_mkdir(io, name), 0);
    char deep[5000];
    memset(deep, 'a', sizeof deep);
    for (size_t i = 1; i < sizeof deep; i += 2)
        deep[i] = '/';
    deep[4999] = '\0';
    assert_errno(kj_io_mkdir(io, deep), ENAMETOOLONG);
    /* Names that only look odd are fine. */
    assert_errno(kj_io_mkdir(io, "..."), 0);
    assert_errno(kj_io_mkdir(io, ".../..x"), 0);
    assert_errno(kj_io_stat(io, "", &stat), 0);
    assert_int_equal(stat.type, KJ_IO_DIR);
}

/* A link as last component, in the middle, to a file outside: nothing is followed. */
static void links_refused(struct kj_io *any)
{
    struct kj_file *file;
    struct kj_io_stat stat;
    assert_errno(kj_io_open(any, "link", KJ_IO_READ, &file), ELOOP);
    assert_errno(kj_io_open(any, "link", KJ_IO_WRITE | KJ_IO_CREATE, &file), ELOOP);
    assert_errno(kj_io_open(any, "out", KJ_IO_READ, &file), ELOOP);
    assert_errno(kj_io_open(any, "dirlink/f", KJ_IO_READ, &file), ELOOP);
    assert_errno(kj_io_open(any, "dirlink/new", KJ_IO_WRITE | KJ_IO_CREATE, &file), ELOOP);
    assert_errno(kj_io_stat(any, "dirlink/f", &stat), ELOOP);
    assert_errno(kj_io_unlink(any, "dirlink/f"), ELOOP);
    assert_errno(kj_io_mkdir(any, "dirlink/x"), ELOOP);
    assert_errno(kj_io_rmdir(any, "dirlink/x"), ELOOP);
    assert_errno(kj_io_rename(any, "d/f", "dirlink/g"), ELOOP);
    assert_errno(kj_io_rename(any, "dirlink/f", "d/g"), ELOOP);
    assert_errno(kj_io_sync_dir(any, "dirlink"), ELOOP);
    assert_errno(kj_io_list(any, "dirlink", NULL, NULL), ELOOP);
    assert_errno(kj_io_open(any, "d/f/x", KJ_IO_READ, &file), ENOTDIR);
    assert_errno(kj_io_open(any, "none/x", KJ_IO_READ, &file), ENOENT);
    /* stat, unlink and rename are about the link itself. */
    assert_errno(kj_io_stat(any, "link", &stat), 0);
    assert_errno((int)stat.type, KJ_IO_LINK);
    /* Others than regular files are refused, and a FIFO does not hang. */
    assert_errno(kj_io_open(any, "fifo", KJ_IO_READ, &file), EINVAL);
    assert_errno(kj_io_open(any, "fifo", KJ_IO_WRITE, &file), EINVAL);
    assert_errno(kj_io_open(any, "d", KJ_IO_READ, &file), EISDIR);
    assert_errno(kj_io_open(any, "d", KJ_IO_WRITE, &file), EISDIR);
}

static void make_links(void)
{
    assert_errno(kj_io_mkdir(io, "d"), 0);
    must_write("d/f", "inside");
    assert_int_equal(symlink("d/f", os_test_path("link")), 0);
    assert_int_equal(symlink("d", os_test_path("dirlink")), 0);
    assert_int_equal(symlink("/etc/passwd", os_test_path("out")), 0);
    assert_int_equal(mkfifo(os_test_path("fifo"), 0600), 0);
}

static void test_links(void **state)
{
    (void)state;
    make_links();
    links_refused(io);
    assert_errno(kj_io_rename(io, "link", "link2"), 0);
    assert_errno(kj_io_unlink(io, "link2"), 0);
    must_hold("d/f", "inside");
}

/* The same where openat2 is refused: probed at creation, or taken away later. */
static void links_without_openat2(void)
{
    os_test_deny(SYS_openat2, ENOSYS);
    struct kj_io *later = open_io(NULL);
    links_refused(later);
    links_refused(io);
    must_hold("d/f", "inside");
    kj_io_destroy(later);
    kj_io_destroy(io);
}

static void links_with_openat2_eperm(void)
{
    os_test_deny(SYS_openat2, EPERM);
    links_refused(io);
    must_hold("d/f", "inside");
    assert_errno(kj_io_mkdir(io, "d/sub"), 0);
    kj_io_destroy(io);
}

static void test_without_openat2(void **state)
{
    (void)state;
    make_links();
    os_test_in_child(links_without_openat2);
    os_test_in_child(links_with_openat2_eperm);
    struct kj_io_stat stat;
    assert_errno(kj_io_stat(io, "d/sub", &stat), 0);
}

static void test_read_write(void **state)
{
    (void)state;
    struct kj_file *file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    uint8_t pattern[1000], back[2000];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + 1);
    assert_errno(kj_io_pwrite(file, pattern, 0, 5), 0);
    assert_errno(kj_io_pwrite(file, pattern, sizeof pattern, 500), 0);
    size_t got = 99;
    assert_errno(kj_io_pread(file, back, sizeof back, 0, &got), 0);
    assert_int_equal(got, 1500);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(back[i], 0);
    assert_memory_equal(back + 500, pattern, sizeof pattern);
    assert_errno(kj_io_pread(file, back, 10, 1500, &got), 0);
    assert_int_equal(got, 0);
    assert_errno(kj_io_pread(file, back, 10, 1495, &got), 0);
    assert_int_equal(got, 5);
    assert_errno(kj_io_truncate(file, 600), 0);
    assert_errno(kj_io_pread(file, back, sizeof back, 500, &got), 0);
    assert_int_equal(got, 100);
    assert_errno(kj_io_sync(file), 0);
    kj_io_close(file);
}

/* More pieces than the kernel takes at once, some empty; the list itself stays as it is. */
static void test_gather(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static uint8_t bytes[COUNT * 3], back[sizeof bytes];
    static struct iovec iov[COUNT], before[COUNT];
    size_t len = 0;
    for (size_t i = 0; i < COUNT; i++) {
        iov[i] = (struct iovec){.iov_base = bytes + len, .iov_len = i % 4};
        for (size_t j = 0; j < i % 4; j++)
            bytes[len++] = (uint8_t)(i + j);
    }
    memcpy(before, iov, sizeof iov);
    struct kj_file *file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    assert_errno(kj_io_pwritev(file, iov, COUNT, 77), 0);
    assert_errno(kj_io_pwritev(file, iov, 0, 0), 0);
    assert_memory_equal(before, iov, sizeof iov);
    size_t got;
    assert_errno(kj_io_pread(file, back, sizeof back, 77, &got), 0);
    assert_int_equal(got, len);
    assert_memory_equal(back, bytes, len);
    kj_io_close(file);
}

static void test_direct(void **state)
{
    (void)state;
    struct kj_file *file;
    must_write("f", "direct");
    int err = kj_io_open(io, "f", KJ_IO_READ | KJ_IO_DIRECT, &file);
    if (err == EINVAL)
        return; /* tmpfs of old kernels: as the contract says */
    assert_errno(err, 0);
    uint8_t *buf = kj_alloc_aligned(4096, 8192);
    size_t got;
    assert_errno(kj_io_pread(file, buf, 8192, 0, &got), 0);
    assert_int_equal(got, 6);
    assert_memory_equal(buf, "direct", 6);
    struct kj_io_req reqs[2];
    for (int i = 0; i < 2; i++)
        reqs[i] = (struct kj_io_req){
            .op = KJ_IO_OP_READ, .file = file, .len = 4096, .buf = buf + i * 4096};
    assert_errno(kj_io_submit(io, reqs, 2), 0);
    assert_int_equal(reqs[1].ret_len, 6);
    kj_io_close(file);
    file = must_open("f", KJ_IO_WRITE | KJ_IO_DIRECT);
    memset(buf, 'z', 4096);
    assert_errno(kj_io_pwrite(file, buf, 4096, 4096), 0);
    kj_io_close(file);
    kj_free(buf);
    struct kj_io_stat stat;
    assert_errno(kj_io_stat(io, "f", &stat), 0);
    assert_int_equal(stat.size, 8192);
}

static int count_names(void *arg, const char *name, enum kj_io_type type)
{
    unsigned *seen = arg;
    if (strcmp(name, "f") == 0 && type == KJ_IO_FILE)
        *seen |= 1;
    else if (strcmp(name, "sub") == 0 && type == KJ_IO_DIR)
        *seen |= 2;
    else if (strcmp(name, "link") == 0 && type == KJ_IO_LINK)
        *seen |= 4;
    else if (strcmp(name, "fifo") == 0 && type == KJ_IO_OTHER)
        *seen |= 8;
    else
        *seen |= 128;
    return 0;
}

static int stop(void *arg, const char *name, enum kj_io_type type)
{
    (void)name, (void)type;
    ++*(unsigned *)arg;
    return 4711;
}

static void test_names(void **state)
{
    (void)state;
    struct kj_io_stat stat;
    assert_errno(kj_io_mkdir(io, "d"), 0);
    assert_errno(kj_io_mkdir(io, "d"), EEXIST);
    assert_errno(kj_io_mkdir(io, "d/sub"), 0);
    struct stat st;
    assert_int_equal(lstat(os_test_path("d"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    must_write("d/f", "f");
    assert_int_equal(symlink("f", os_test_path("d/link")), 0);
    assert_int_equal(mkfifo(os_test_path("d/fifo"), 0600), 0);
    unsigned seen = 0;
    assert_errno(kj_io_list(io, "d", count_names, &seen), 0);
    assert_int_equal(seen, 15);
    seen = 0;
    assert_errno(kj_io_list(io, "d", stop, &seen), 4711);
    assert_int_equal(seen, 1);
    assert_errno(kj_io_list(io, "none", stop, &seen), ENOENT);
    assert_errno(kj_io_list(io, "d/f", stop, &seen), ENOTDIR);
    assert_errno(kj_io_sync_dir(io, "d"), 0);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    assert_errno(kj_io_sync_dir(io, "none"), ENOENT);
    assert_errno(kj_io_rmdir(io, "d"), ENOTEMPTY);
    assert_errno(kj_io_unlink(io, "d/sub"), EISDIR);
    assert_errno(kj_io_rmdir(io, "d/f"), ENOTDIR);
    assert_errno(kj_io_rename(io, "d/f", "g"), 0);
    must_write("h", "h");
    assert_errno(kj_io_rename(io, "h", "g"), 0);
    must_hold("g", "h");
    assert_errno(kj_io_rename(io, "h", "g"), ENOENT);
    assert_errno(kj_io_rename(io, "d", "e"), 0);
    assert_errno(kj_io_rmdir(io, "e/sub"), 0);
    assert_errno(kj_io_stat(io, "e/sub", &stat), ENOENT);
    assert_errno(kj_io_unlink(io, "g"), 0);
    assert_errno(kj_io_unlink(io, "g"), ENOENT);
}

static void test_next_data(void **state)
{
    (void)state;
    const int64_t far = INT64_C(1) << 38;
    struct kj_file *file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    int64_t pos = -1;
    assert_errno(kj_io_next_data(file, 0, &pos), 0);
    assert_int_equal(pos, INT64_MAX);
    assert_errno(kj_io_pwrite(file, "first", 5, 100), 0);
    assert_errno(kj_io_pwrite(file, "later", 5, far), 0);
    assert_errno(kj_io_truncate(file, 2 * far), 0);
    assert_errno(kj_io_next_data(file, 3, &pos), 0);
    assert_true(pos >= 3 && pos <= 100);
    assert_errno(kj_io_next_data(file, 101, &pos), 0);
    assert_int_equal(pos, 101);
    assert_errno(kj_io_next_data(file, far / 2, &pos), 0);
    assert_true(pos >= far / 2 && pos <= far);
    assert_true(pos == far / 2 || pos > far - (1 << 20)); /* where it cannot tell, pos itself */
    int64_t behind = -1;
    assert_errno(kj_io_next_data(file, far + far / 2, &behind), 0);
    assert_true(pos == far / 2 || behind == INT64_MAX);
    kj_io_close(file);
}

static void test_map_and_populate(void **state)
{
    (void)state;
    enum { LEN = 1 << 20 };
    struct kj_file *file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    assert_errno(kj_io_pwrite(file, "first", 5, 100), 0);
    struct kj_io_req req = {.op = KJ_IO_OP_ALLOCATE, .file = file, .len = LEN};
    assert_errno(kj_io_submit(io, &req, 1), 0);
    const uint8_t *base;
    assert_errno(kj_io_map(file, LEN, &base), 0);
    assert_memory_equal(base + 100, "first", 5);
    int err = kj_io_populate(file, 50, LEN - 50);
    assert_true(err == 0 || err == ENOSYS);
    assert_memory_equal(base + 100, "first", 5);
    assert_errno(kj_io_populate(file, 0, 0), 0);
    /* Finished writes are seen through the map. */
    assert_errno(kj_io_pwrite(file, "later", 5, LEN - 5), 0);
    assert_memory_equal(base + LEN - 5, "later", 5);
    /* Behind the end of the file: an error, not a signal. */
    if (err == 0)
        assert_true(kj_io_populate(file, LEN, 4096) != 0);
    struct kj_io_stat stat;
    assert_errno(kj_io_stat_file(file, &stat), 0);
    assert_int_equal(stat.size, LEN);
    kj_io_unmap(io, base, LEN);
    kj_io_close(file);
}

static void test_submit_ops(void **state)
{
    (void)state;
    struct kj_file *file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    assert_errno(kj_io_pwrite(file, "0123456789", 10, 0), 0);
    uint8_t buf[3][16] = {{0}};
    struct kj_io_req reqs[] = {
        {.op = KJ_IO_OP_READ, .file = file, .buf = buf[0], .len = 4, .pos = 2},
        {.op = KJ_IO_OP_READ, .file = file, .buf = buf[1], .len = 16, .pos = 8},
        {.op = KJ_IO_OP_READ, .file = file, .buf = buf[2], .len = 16, .pos = 100},
        {.op = KJ_IO_OP_READAHEAD, .file = file, .len = 4096},
        {.op = KJ_IO_OP_SYNC, .file = file},
    };
    assert_errno(kj_io_submit(io, reqs, 5), 0);
    assert_int_equal(reqs[0].ret_len, 4);
    assert_memory_equal(buf[0], "2345", 4);
    assert_int_equal(reqs[1].ret_len, 2);
    assert_memory_equal(buf[1], "89", 2);
    assert_int_equal(reqs[2].ret_len, 0);
    assert_errno(kj_io_submit(io, reqs, 0), 0);
    /* Each op alone, and pairs that change. */
    struct kj_io_req pair[] = {
        {.op = KJ_IO_OP_ALLOCATE, .file = file, .pos = 4096, .len = 65536},
        {.op = KJ_IO_OP_WRITEBACK, .file = file, .pos = 0, .len = 4096},
    };
    for (size_t i = 0; i < 5; i++)
        assert_errno(kj_io_submit(io, &reqs[i], 1), 0);
    assert_errno(kj_io_submit(io, pair, 2), 0);
    assert_errno(kj_io_submit(io, pair, 1), 0);
    assert_errno(kj_io_submit(io, pair + 1, 1), 0);
    struct kj_io_stat stat;
    assert_errno(kj_io_stat_file(file, &stat), 0);
    assert_int_equal(stat.size, 4096 + 65536);
    assert_true(stat.allocated >= 65536);
    /* It never shrinks, and content stays. */
    pair[0].pos = 0, pair[0].len = 10;
    assert_errno(kj_io_submit(io, pair, 2), 0);
    assert_errno(kj_io_stat_file(file, &stat), 0);
    assert_int_equal(stat.size, 4096 + 65536);
    assert_errno(kj_io_submit(io, reqs, 1), 0);
    assert_memory_equal(buf[0], "2345", 4);
    kj_io_close(file);
}

/* One bad request among good ones: each has its own result, the first error is returned. */
static void test_submit_errors(void **state)
{
    (void)state;
    struct kj_file *good = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    struct kj_file *bad = must_open("f", KJ_IO_READ);
    assert_errno(kj_io_pwrite(good, "abc", 3, 0), 0);
    uint8_t buf[8] = {0};
    struct kj_io_req reqs[] = {
        {.op = KJ_IO_OP_SYNC, .file = good},
        {.op = KJ_IO_OP_ALLOCATE, .file = bad, .len = 4096},
        {.op = KJ_IO_OP_READ, .file = good, .pos = INT64_MAX - 1, .buf = buf, .len = 3},
        {.op = KJ_IO_OP_READ, .file = good, .buf = buf, .len = 3},
    };
    assert_errno(kj_io_submit(io, reqs, 4), EBADF);
    assert_errno(reqs[0].ret_errno, 0);
    assert_errno(reqs[1].ret_errno, EBADF);
    assert_errno(reqs[2].ret_errno, EFBIG);
    assert_errno(reqs[3].ret_errno, 0);
    assert_memory_equal(buf, "abc", 3);
    kj_io_close(good);
    kj_io_close(bad);
}

/* Many more than a ring holds, from several threads at once. */
enum { MANY = 300, MANY_FILES = 20 };
static void *submit_many(void *arg)
{
    struct kj_file **files = arg;
    static _Thread_local uint32_t values[MANY];
    static _Thread_local struct kj_io_req reqs[MANY];
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < MANY; i++)
            reqs[i] = (struct kj_io_req){.op = i % 50 == 49 ? KJ_IO_OP_READAHEAD : KJ_IO_OP_READ,
                                         .file = files[i % MANY_FILES],
                                         .pos = (int64_t)i * 4,
                                         .len = 4,
                                         .buf = &values[i]};
        memset(values, 0, sizeof values);
        if (kj_io_submit(io, reqs, MANY) != 0)
            return files;
        for (uint32_t i = 0; i < MANY; i++)
            if (i % 50 != 49 && (reqs[i].ret_len != 4 || values[i] != ((i % MANY_FILES) << 16 | i)))
                return files;
    }
    return NULL;
}

static void test_submit_many(void **state)
{
    (void)state;
    struct kj_file *files[MANY_FILES];
    for (uint32_t f = 0; f < MANY_FILES; f++) {
        char name[8];
        (void)snprintf(name, sizeof name, "f%u", f);
        files[f] = must_open(name, KJ_IO_WRITE | KJ_IO_CREATE);
        uint32_t values[MANY];
        for (uint32_t i = 0; i < MANY; i++)
            values[i] = f << 16 | i;
        assert_errno(kj_io_pwrite(files[f], values, sizeof values, 0), 0);
    }
    pthread_t threads[6];
    for (size_t t = 0; t < 6; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, submit_many, files), 0);
    for (size_t t = 0; t < 6; t++) {
        void *failed;
        pthread_join(threads[t], &failed);
        assert_null(failed);
    }
    struct kj_io_req syncs[MANY_FILES];
    for (uint32_t f = 0; f < MANY_FILES; f++)
        syncs[f] = (struct kj_io_req){.op = KJ_IO_OP_SYNC, .file = files[f]};
    assert_errno(kj_io_submit(io, syncs, MANY_FILES), 0);
    for (uint32_t f = 0; f < MANY_FILES; f++)
        kj_io_close(files[f]);
}

/* --- the hook: the N-th operation fails --- */

struct nth {
    int left;
    char op[16], path[32];
};

static int fail_nth(void *arg, const char *op, const char *path)
{
    struct nth *nth = arg;
    if (--nth->left != 0)
        return 0;
    (void)snprintf(nth->op, sizeof nth->op, "%s", op);
    (void)snprintf(nth->path, sizeof nth->path, "%s", path);
    return EIO;
}

static void test_nth_failure(void **state)
{
    (void)state;
    struct nth nth = {0};
    struct kj_io_options options = {.step = fail_nth, .step_arg = &nth};
    kj_io_destroy(io);
    io = open_io(&options);
    /* unlink, open, pwrite, sync, rename, sync_dir: each in turn, the file is the old one or the
     * new. */
    static const char *const steps[] = {"unlink", "open", "pwrite", "sync", "rename", "sync_dir"};
    assert_errno(kj_io_mkdir(io, "d"), 0);
    must_write("d/x", "old");
    for (int i = 0; i < 6; i++) {
        nth.left = i + 1;
        assert_errno(kj_io_replace_file(io, "d/x", "new", 3, true), EIO);
        assert_string_equal(nth.op, steps[i]);
        nth.left = 0;
        must_hold("d/x", i < 5 ? "old" : "new");
        struct kj_io_stat stat;
        assert_errno(kj_io_stat(io, "d/x.tmp", &stat), ENOENT);
    }
    nth.left = 0;
    assert_errno(kj_io_replace_file(io, "d/x", "newer", 5, false), 0);
    must_hold("d/x", "newer");
    /* The path of open files is told; a piece of a submission can fail alone. */
    struct kj_file *file = must_open("d/x", KJ_IO_WRITE);
    struct kj_io_req reqs[3];
    uint8_t buf[3][8] = {{0}};
    for (int i = 0; i < 3; i++)
        reqs[i] = (struct kj_io_req){.op = KJ_IO_OP_READ, .file = file, .buf = buf[i], .len = 5};
    nth.left = 2;
    assert_errno(kj_io_submit(io, reqs, 3), EIO);
    assert_string_equal(nth.op, "read");
    assert_string_equal(nth.path, "d/x");
    assert_errno(reqs[0].ret_errno, 0);
    assert_errno(reqs[1].ret_errno, EIO);
    assert_errno(reqs[2].ret_errno, 0);
    assert_int_equal(reqs[2].ret_len, 5);
    nth.left = 1;
    assert_errno(kj_io_sync(file), EIO);
    assert_string_equal(nth.op, "sync");
    kj_io_close(file);
}

static void test_files(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t len;
    assert_errno(kj_io_read_file(io, "x", 100, &bytes, &len), ENOENT);
    assert_errno(kj_io_replace_file(io, "x", "twelve bytes", 12, true), 0);
    must_hold("x", "twelve bytes");
    assert_errno(kj_io_read_file(io, "x", 12, &bytes, &len), 0);
    assert_int_equal(bytes[12], 0);
    kj_free(bytes);
    assert_errno(kj_io_read_file(io, "x", 11, &bytes, &len), EFBIG);
    /* A temporary file that was left over, even as a link, is no obstacle. */
    must_write("x.tmp", "a longer text that somebody left");
    assert_errno(kj_io_replace_file(io, "x", "short", 5, true), 0);
    must_hold("x", "short");
    assert_int_equal(symlink("/etc/passwd", os_test_path("x.tmp")), 0);
    assert_errno(kj_io_replace_file(io, "x", NULL, 0, true), 0);
    must_hold("x", "");
    assert_errno(kj_io_replace_file(io, "none/x", "a", 1, true), ENOENT);
    char name[260];
    memset(name, 'n', sizeof name);
    name[254] = '\0';
    assert_errno(kj_io_replace_file(io, name, "a", 1, true), ENAMETOOLONG);
}

static void test_fs(void **state)
{
    (void)state;
    struct kj_io_fs fs;
    assert_errno(kj_io_fs(io, &fs), 0);
    struct stat st;
    assert_int_equal(lstat(os_test_dir, &st), 0);
    assert_int_equal(fs.device, st.st_dev);
    assert_true(fs.free_bytes > 0);
    assert_false(fs.read_only);
    assert_true(strlen(fs.name) > 0);
    if (lstat("/dev/shm", &st) != 0 || !S_ISDIR(st.st_mode) || access("/dev/shm", X_OK) != 0)
        return;
    struct kj_io *shm = open_io(&(struct kj_io_options){.root = "/dev/shm"});
    assert_errno(kj_io_fs(shm, &fs), 0);
    kj_io_destroy(shm);
    if (strcmp(fs.name, "tmpfs") == 0)
        assert_true(fs.volatile_ && !fs.remote);
}

static void test_create_root(void **state)
{
    (void)state;
    struct kj_io_options options = {.root = os_test_path("new"), .backend = backend};
    struct kj_io *other;
    assert_errno(kj_io_create(&options, &other), ENOENT);
    options.create = true;
    options.read_only = true;
    assert_errno(kj_io_create(&options, &other), ENOENT);
    options.read_only = false;
    for (int i = 0; i < 2; i++) {
        assert_errno(kj_io_create(&options, &other), 0);
        kj_io_destroy(other);
    }
    struct stat st;
    assert_int_equal(lstat(os_test_path("new"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    options.root = os_test_path("a/b");
    assert_errno(kj_io_create(&options, &other), ENOENT);
    must_write("file", "");
    options.root = os_test_path("file");
    assert_errno(kj_io_create(&options, &other), ENOTDIR);
    options.root = "";
    assert_errno(kj_io_create(&options, &other), ENOENT);
}

static void test_read_only(void **state)
{
    (void)state;
    assert_errno(kj_io_mkdir(io, "d"), 0);
    must_write("d/f", "text");
    kj_io_destroy(io);
    io = open_io(&(struct kj_io_options){.read_only = true});
    struct kj_file *file;
    assert_errno(kj_io_open(io, "d/f", KJ_IO_WRITE, &file), EROFS);
    assert_errno(kj_io_open(io, "d/g", KJ_IO_CREATE, &file), EROFS);
    assert_errno(kj_io_mkdir(io, "e"), EROFS);
    assert_errno(kj_io_rmdir(io, "d"), EROFS);
    assert_errno(kj_io_unlink(io, "d/f"), EROFS);
    assert_errno(kj_io_rename(io, "d/f", "d/g"), EROFS);
    assert_errno(kj_io_sync_dir(io, "d"), EROFS);
    assert_errno(kj_io_replace_file(io, "d/f", "x", 1, true), EROFS);
    file = must_open("d/f", KJ_IO_READ);
    uint8_t buf[8];
    struct kj_io_req reqs[] = {{.op = KJ_IO_OP_READ, .file = file, .buf = buf, .len = 8},
                               {.op = KJ_IO_OP_SYNC, .file = file},
                               {.op = KJ_IO_OP_ALLOCATE, .file = file, .len = 8192},
                               {.op = KJ_IO_OP_READAHEAD, .file = file, .len = 8}};
    assert_errno(kj_io_submit(io, reqs, 4), EROFS);
    assert_errno(reqs[0].ret_errno, 0);
    assert_errno(reqs[2].ret_errno, EROFS);
    assert_errno(reqs[3].ret_errno, 0);
    kj_io_close(file);
    must_hold("d/f", "text");
}

/* --- limits and forks, in children --- */

static void fsize_limited(void)
{
    /* Not so low that the test's own output meets it. */
    enum { MAX = 1010000, FULL = 1007616 };
    struct rlimit limit = {.rlim_cur = MAX, .rlim_max = MAX};
    child_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct kj_io *limited = open_io(NULL);
    struct kj_file *file;
    child_check(kj_io_open(limited, "f", KJ_IO_WRITE | KJ_IO_CREATE, &file) == 0);
    static uint8_t bytes[8192];
    child_check(kj_io_pwrite(file, bytes, 8192, FULL - 8192) == 0);
    child_check(kj_io_pwrite(file, bytes, 1, MAX) == EFBIG);
    child_check(kj_io_pwrite(file, bytes, 8192, FULL) == EFBIG);
    struct iovec iov[] = {{bytes, 1200}, {bytes, 1200}};
    child_check(kj_io_pwritev(file, iov, 2, FULL) == EFBIG);
    child_check(kj_io_truncate(file, MAX + 1) == EFBIG);
    child_check(kj_io_truncate(file, MAX) == 0);
    struct kj_io_req reqs[] = {{.op = KJ_IO_OP_ALLOCATE, .file = file, .len = MAX + 1},
                               {.op = KJ_IO_OP_ALLOCATE, .file = file, .len = 9000}};
    child_check(kj_io_submit(limited, reqs, 1) == EFBIG);
    child_check(kj_io_submit(limited, reqs, 2) == EFBIG);
    child_check(reqs[1].ret_errno == 0);
    struct kj_io_stat stat;
    child_check(kj_io_stat_file(file, &stat) == 0 && stat.size == MAX);
    kj_io_close(file);
    kj_io_destroy(limited);
    kj_io_destroy(io);
}

static void test_fsize(void **state)
{
    (void)state;
    os_test_in_child(fsize_limited);
}

/* A child may not touch the parent's ring, but destroying is harmless and plain calls work. */
static struct kj_file *forked_file;
static void forked(void)
{
    struct kj_io_req reqs[] = {{.op = KJ_IO_OP_SYNC, .file = forked_file},
                               {.op = KJ_IO_OP_SYNC, .file = forked_file}};
    child_check(kj_io_submit(io, reqs, 2) == 0);
    kj_io_close(forked_file);
    kj_io_destroy(io);
}

static void test_fork(void **state)
{
    (void)state;
    forked_file = must_open("f", KJ_IO_WRITE | KJ_IO_CREATE);
    os_test_in_child(forked);
    struct kj_io_req reqs[] = {{.op = KJ_IO_OP_SYNC, .file = forked_file},
                               {.op = KJ_IO_OP_SYNC, .file = forked_file}};
    assert_errno(kj_io_submit(io, reqs, 2), 0);
    kj_io_close(forked_file);
}

#ifdef TEST_URING
/* The ring works at creation and is refused later: submissions still end, by system calls. */
static void ring_refused_later(void)
{
    os_test_deny(SYS_io_uring_enter, EPERM);
    struct kj_io *fresh = open_io(NULL);
    struct kj_file *file;
    child_check(kj_io_open(fresh, "f", KJ_IO_WRITE | KJ_IO_CREATE, &file) == 0);
    child_check(kj_io_pwrite(file, "abc", 3, 0) == 0);
    for (int round = 0; round < 6; round++) {
        uint8_t buf[2][4];
        struct kj_io_req reqs[] = {{.op = KJ_IO_OP_READ, .file = file, .buf = buf[0], .len = 3},
                                   {.op = KJ_IO_OP_READ, .file = file, .buf = buf[1], .len = 3}};
        child_check(kj_io_submit(fresh, reqs, 2) == 0);
        child_check(memcmp(buf[0], "abc", 3) == 0 && memcmp(buf[1], "abc", 3) == 0);
    }
    kj_io_close(file);
    kj_io_destroy(fresh);
    kj_io_destroy(io);
}

static void test_ring_refused_later(void **state)
{
    (void)state;
    os_test_in_child(ring_refused_later);
}
#else
/* Containers refuse io_uring: AUTO goes on with posix, asking by name is told. */
static unsigned denied_with;
static void uring_denied(void)
{
    os_test_deny(SYS_io_uring_setup, denied_with);
    struct kj_io_options options = {
        .root = os_test_dir, .backend = KJ_IO_AUTO, .helper_threads = 2};
    struct kj_io *other;
    child_check(kj_io_create(&options, &other) == 0);
    child_check(strcmp(other->backend, "posix") == 0);
    struct kj_file *file;
    child_check(kj_io_open(other, "f", KJ_IO_WRITE | KJ_IO_CREATE, &file) == 0);
    struct kj_io_req reqs[] = {{.op = KJ_IO_OP_SYNC, .file = file},
                               {.op = KJ_IO_OP_SYNC, .file = file}};
    child_check(kj_io_submit(other, reqs, 2) == 0);
    kj_io_close(file);
    kj_io_destroy(other);
    options.backend = KJ_IO_URING;
    child_check(kj_io_create(&options, &other) == (int)denied_with);
    kj_io_destroy(io);
}

static void test_uring_denied(void **state)
{
    (void)state;
    denied_with = EPERM;
    os_test_in_child(uring_denied);
    denied_with = ENOSYS;
    os_test_in_child(uring_denied);
}
#endif

static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    CASE(test_backend_name),
    CASE(test_open_flags),
    CASE(test_paths),
    CASE(test_links),
    CASE(test_without_openat2),
    CASE(test_read_write),
    CASE(test_gather),
    CASE(test_direct),
    CASE(test_names),
    CASE(test_map_and_populate),
    CASE(test_next_data),
    CASE(test_submit_ops),
    CASE(test_submit_errors),
    CASE(test_submit_many),
    CASE(test_nth_failure),
    CASE(test_files),
    CASE(test_fs),
    CASE(test_create_root),
    CASE(test_read_only),
    CASE(test_fsize),
    CASE(test_fork),
#ifdef TEST_URING
    CASE(test_ring_refused_later),
#else
    CASE(test_uring_denied),
#endif
};

int main(void)
{
#ifdef TEST_URING
    struct kj_io_options options = {.root = "/", .backend = KJ_IO_URING};
    struct kj_io *probe;
    int err = kj_io_create(&options, &probe);
    if (err != 0) {
        printf("SKIP: no io_uring here: %s\n", strerror(err));
        return 77;
    }
    kj_io_destroy(probe);
    return cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
#else
    int failed = cmocka_run_group_tests_name("posix alone", tests, NULL, NULL);
    helper_threads = 2;
    return failed + cmocka_run_group_tests_name("posix with helpers", tests, NULL, NULL);
#endif
}
