/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The real disk: copies of whole files. A reflink (FICLONE) costs no space and no time where the
 * file system has it; next best is the kernel's own copying.
 */
#include "os/io_real.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The file system, the kernel or a filter does not do it; anything else is a failure. */
static bool not_here(int err)
{
    return err == EOPNOTSUPP || err == EXDEV || err == EINVAL || err == ENOSYS || err == ENOTTY ||
           err == EPERM || err == EBADF || err == ETXTBSY;
}

static int copy_in_kernel(int from_fd, int to_fd, int64_t len)
{
    off_t from_pos = 0, to_pos = 0;
    while (to_pos < len) {
        ssize_t n =
            copy_file_range(from_fd, &from_pos, to_fd, &to_pos, (size_t)(len - to_pos), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return to_pos == 0 && not_here(errno) ? EOPNOTSUPP : errno;
        if (n == 0) /* some file systems say so of files that are not empty */
            return to_pos == 0 ? EOPNOTSUPP : EIO;
    }
    return 0;
}

int kj_copy_file(struct kj_file *from, struct kj_file *to, int64_t len, bool *ret_shared)
{
    struct kj_io_stat stat;
    if (len > kj_real_io(to->io)->file_max || kj_direct_limit(len) != 0)
        return EFBIG;
    int err = kj_io_stat_file(from, &stat);
    if (err != 0)
        return err;
    if (stat.size == len) { /* it takes the whole file */
        do
            err = ioctl(to->fd, FICLONE, from->fd) == 0 ? 0 : errno;
        while (err == EINTR);
        if (err == 0) {
            *ret_shared = true;
            return 0;
        }
        if (!not_here(err))
            return err;
    }
    return copy_in_kernel(from->fd, to->fd, len);
}
