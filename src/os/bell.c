/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/bell.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int kj_bell_open(int *ret_fd)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

void kj_bell_close(int fd)
{
    close(fd);
}

void kj_bell_ring(int fd)
{
    const uint64_t one = 1;
    /* It fails only when 2^64 - 2 rings were not heard: it is readable then. */
    (void)!write(fd, &one, sizeof one);
}

void kj_bell_quiet(int fd)
{
    uint64_t rings;
    (void)!read(fd, &rings, sizeof rings); /* EAGAIN: it is quiet */
}
