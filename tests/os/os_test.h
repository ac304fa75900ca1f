/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/os/os_test.h - a directory of one's own, children, and filters for system calls.
 */
#ifndef OS_TEST_H
#define OS_TEST_H

#include "kjtest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child must not jump back into cmocka. */
static int os_test_is_child;

/* Also in children. */
#define assert_errno(expr, expected)                                                               \
    do {                                                                                           \
        int assert_errno_got_ = (expr);                                                            \
        if (assert_errno_got_ == (expected))                                                       \
            break;                                                                                 \
        if (os_test_is_child) {                                                                    \
            (void)fprintf(stderr, "child, line %d: %s: %d instead of %s\n", __LINE__, #expr,       \
                          assert_errno_got_, #expected);                                           \
            _exit(1);                                                                              \
        }                                                                                          \
        fail_msg("%s: %d (%s) instead of %s", #expr, assert_errno_got_,                            \
                 strerror(assert_errno_got_), #expected);                                          \
    } while (0)

static char os_test_dir[64];

static inline int os_test_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline int os_test_setup(void **state)
{
    (void)state;
    strcpy(os_test_dir, "/tmp/kaja-os-XXXXXX");
    return mkdtemp(os_test_dir) == NULL;
}

static inline int os_test_teardown(void **state)
{
    (void)state;
    return nftw(os_test_dir, os_test_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *os_test_path(const char *name)
{
    static char path[4][512];
    static unsigned next;
    char *to = path[next++ % 4];
    (void)snprintf(to, sizeof path[0], "%s/%s", os_test_dir, name);
    return to;
}

/* In a child of fork(): ends it if the condition fails. */
#define child_check(cond)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (void)fprintf(stderr, "child, line %d: %s\n", __LINE__, #cond);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static inline int os_test_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Runs body in a child and expects exit 0: no failed check, no signal. */
static inline void os_test_in_child(void (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        os_test_is_child = 1;
        body();
        leave_child(0);
    }
    assert_int_equal(os_test_wait(pid), 0);
}

/* From now on this system call fails with err in this process. */
static inline void os_test_deny(unsigned number, unsigned err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    child_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    child_check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

#endif
