/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/ci/deny_io_uring.c - runs a command in which io_uring_setup() fails with EPERM, as container
 * runtimes do by default: deny_io_uring COMMAND [ARG...]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    if (argc < 2) {
        fprintf(stderr, "usage: deny_io_uring COMMAND [ARG...]\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("deny_io_uring: seccomp");
        return 1;
    }
    /* Prove it: a filter that does not deny would make the whole run worthless. */
    if (syscall(SYS_io_uring_setup, 1u, NULL) != -1 || errno != EPERM) {
        fprintf(stderr, "deny_io_uring: io_uring_setup is not denied\n");
        return 1;
    }
    execvp(argv[1], argv + 1);
    fprintf(stderr, "deny_io_uring: %s: %s\n", argv[1], strerror(errno));
    return 1;
}
