/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Copies of whole files between roots: every way to make one gives the same bytes and never the
 * same file; and which directory lies in which.
 */
#include "os_test.h"

#include "base/alloc.h"
#include "os/io.h"
#include "os/path.h"

#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

enum { BYTES = 700001 };

static struct kj_io *from_io, *to_io;
static uint8_t bytes[BYTES];

static struct kj_io *open_root(const char *name)
{
    struct kj_io *io;
    const struct kj_io_options options = {
        .root = os_test_path(name), .backend = KJ_IO_POSIX, .create = true};
    assert_errno(kj_io_create(&options, &io), 0);
    return io;
}

static int setup(void **state)
{
    if (os_test_setup(state) != 0)
        return 1;
    from_io = open_root("from");
    to_io = open_root("to");
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    assert_errno(kj_io_replace_file(from_io, "file", bytes, BYTES, false), 0);
    return 0;
}

static int teardown(void **state)
{
    kj_io_destroy(from_io);
    kj_io_destroy(to_io);
    return os_test_teardown(state);
}

static int copy(int64_t len, bool *ret_shared)
{
    struct kj_file *from, *to;
    assert_errno(kj_io_open(from_io, "file", KJ_IO_READ, &from), 0);
    assert_errno(kj_io_open(to_io, "copy", KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &to), 0);
    int err = kj_io_copy(from, to, len, ret_shared);
    kj_io_close(from);
    kj_io_close(to);
    return err;
}

static void check_copy(int64_t len)
{
    uint8_t *got;
    size_t got_len;
    struct kj_io_stat one, other;
    assert_errno(kj_io_read_file(to_io, "copy", BYTES, &got, &got_len), 0);
    assert_errno((int)got_len, (int)len);
    assert_errno(memcmp(got, bytes, got_len), 0);
    kj_free(got);
    assert_errno(kj_io_stat(from_io, "file", &one), 0);
    assert_errno(kj_io_stat(to_io, "copy", &other), 0);
    assert_errno(one.ino == other.ino, 0);
}

static void copy_all(void)
{
    bool shared = true;
    assert_errno(copy(BYTES, &shared), 0);
    check_copy(BYTES);
}

/* Does this file system share blocks? */
static bool reflinks(void)
{
    int from = open(os_test_path("from/file"), O_RDONLY);
    int to = open(os_test_path("to/probe"), O_WRONLY | O_CREAT, 0600);
    bool yes = ioctl(to, FICLONE, from) == 0;
    close(from);
    close(to);
    return yes;
}

static void test_copy(void **state)
{
    (void)state;
    bool shared, here = reflinks();
    assert_errno(copy(BYTES, &shared), 0);
    check_copy(BYTES);
    assert_int_equal(shared, here);
    /* What is written to the copy stays there. */
    struct kj_file *to;
    assert_errno(kj_io_open(to_io, "copy", KJ_IO_WRITE, &to), 0);
    assert_errno(kj_io_pwrite(to, "other", 5, 1000), 0);
    kj_io_close(to);
    uint8_t *got;
    size_t len;
    assert_errno(kj_io_read_file(from_io, "file", BYTES, &got, &len), 0);
    assert_memory_equal(got, bytes, BYTES);
    kj_free(got);
}

static void test_part_and_nothing(void **state)
{
    (void)state;
    bool shared = true;
    assert_errno(copy(4097, &shared), 0);
    check_copy(4097);
    assert_false(shared); /* a reflink is of the whole */
    assert_errno(kj_io_unlink(to_io, "copy"), 0);
    assert_errno(copy(0, &shared), 0);
    check_copy(0);
    assert_errno(kj_io_unlink(to_io, "copy"), 0);
    assert_errno(copy(BYTES + 1, &shared), EIO);
}

static void without_copying(void)
{
    os_test_deny(SYS_copy_file_range, ENOSYS);
    copy_all();
}

static void without_anything(void)
{
    os_test_deny(SYS_copy_file_range, EXDEV);
    os_test_deny(SYS_ioctl, ENOTTY);
    copy_all();
}

static void without_reflinks(void)
{
    os_test_deny(SYS_ioctl, EOPNOTSUPP);
    copy_all();
}

static void reflink_fails(void)
{
    bool shared;
    os_test_deny(SYS_ioctl, EIO);
    assert_errno(copy(BYTES, &shared), EIO);
}

static void copying_fails(void)
{
    bool shared;
    os_test_deny(SYS_ioctl, EOPNOTSUPP);
    os_test_deny(SYS_copy_file_range, ENOSPC);
    assert_errno(copy(BYTES, &shared), ENOSPC);
}

static void file_too_large(void)
{
    const struct rlimit limit = {BYTES - 1, BYTES - 1};
    bool shared;
    child_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    assert_errno(copy(BYTES, &shared), EFBIG); /* and no signal */
}

static void test_other_ways(void **state)
{
    static void (*const ways[])(void) = {without_copying,  without_anything, without_reflinks,
                                         reflink_fails,    copying_fails,    file_too_large};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        os_test_in_child(ways[i]);
        assert_errno(kj_io_unlink(to_io, "copy"), 0);
    }
}

static int refuse(void *arg, const char *op, const char *path)
{
    (void)path;
    return strcmp(op, arg) == 0 ? EDQUOT : 0;
}

static void test_step(void **state)
{
    (void)state;
    struct kj_file *from, *to;
    bool shared;
    to_io->step = refuse;
    to_io->step_arg = (void *)(uintptr_t)"copy";
    assert_errno(kj_io_open(from_io, "file", KJ_IO_READ, &from), 0);
    assert_errno(kj_io_open(to_io, "copy", KJ_IO_WRITE | KJ_IO_CREATE, &to), 0);
    assert_errno(kj_io_copy(from, to, BYTES, &shared), EDQUOT);
    kj_io_close(from);
    kj_io_close(to);
}

static bool within(const char *inner, const char *outer)
{
    bool is = false;
    int one = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int other = open(outer, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(one >= 0 && other >= 0);
    assert_errno(kj_path_within(one, other, &is), 0);
    assert_true(fcntl(one, F_GETFD) >= 0); /* still the caller's */
    close(one);
    close(other);
    return is;
}

static void test_within(void **state)
{
    (void)state;
    assert_errno(kj_io_mkdir(from_io, "a"), 0);
    assert_errno(kj_io_mkdir(from_io, "a/b"), 0);
    assert_int_equal(symlink(os_test_path("from/a"), os_test_path("to/link")), 0);
    assert_true(within(os_test_path("from"), os_test_path("from")));
    assert_true(within(os_test_path("from/a/b"), os_test_path("from")));
    assert_true(within(os_test_path("from/a/b"), "/"));
    assert_true(within(os_test_path("to/link"), os_test_path("from")));
    assert_false(within(os_test_path("from"), os_test_path("from/a")));
    assert_false(within(os_test_path("to"), os_test_path("from")));
    assert_false(within("/", os_test_path("from")));
    assert_int_equal(unlink(os_test_path("to/link")), 0);
}

/* For root alone; others keep what they make. */
static void test_keep_owner(void **state)
{
    (void)state;
    enum { OTHER = 12345, GROUP = 54321 };
    const struct kj_io_options options = {
        .root = os_test_path("to"), .backend = KJ_IO_POSIX, .keep_owner = true};
    bool root = chown(os_test_path("to"), OTHER, GROUP) == 0;
    struct kj_io *io;
    struct stat st;
    assert_errno(kj_io_create(&options, &io), 0);
    assert_errno(kj_io_mkdir(io, "d"), 0);
    assert_errno(kj_io_replace_file(io, "d/f", "x", 1, true), 0);
    static const char *const made[] = {"to/d", "to/d/f"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(os_test_path(made[i]), &st), 0);
        assert_int_equal(st.st_uid, root ? OTHER : getuid());
        assert_int_equal(st.st_gid, root ? GROUP : getgid());
    }
    kj_io_destroy(io);
    if (!root)
        return;
    /* Without being asked nobody's files change hands. */
    assert_errno(kj_io_replace_file(to_io, "d/g", "x", 1, true), 0);
    assert_int_equal(stat(os_test_path("to/d/g"), &st), 0);
    assert_int_equal(st.st_uid, getuid());
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_copy),       CASE(test_part_and_nothing), CASE(test_other_ways),
        CASE(test_step),       CASE(test_within),
        CASE(test_keep_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
