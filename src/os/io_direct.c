/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Transfers and single requests by plain system calls: loops over EINTR and short counts.
 */
#include "os/io_real.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DIRECT_ALIGN = 4096 };

int kj_direct_limit(int64_t end)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 0;
    return limit.rlim_cur != RLIM_INFINITY && (uint64_t)end > limit.rlim_cur ? EFBIG : 0;
}

int kj_direct_pread(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len)
{
    const struct kj_real_file *real = (const struct kj_real_file *)(const void *)file;
    uint8_t *to = buf;
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(file->fd, to + got, len - got, pos + (int64_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        got += (size_t)n;
        /* An unaligned count from O_DIRECT is the end of the file; to go on would be EINVAL. */
        if (n == 0 || (real->direct && n % DIRECT_ALIGN != 0))
            break;
    }
    *ret_len = got;
    return 0;
}

static int write_all(int fd, const uint8_t *from, size_t len, int64_t pos)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, pos);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        from += n;
        len -= (size_t)n;
        pos += n;
    }
    return 0;
}

static int sum(const struct iovec *iov, int count, size_t *ret_total)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return EFBIG;
    *ret_total = total;
    return 0;
}

int kj_direct_pwritev(struct kj_file *file, const struct iovec *iov, int count, int64_t pos)
{
    size_t total;
    int64_t end;
    int err = sum(iov, count, &total);
    if (err == 0 &&
        (__builtin_add_overflow(pos, total, &end) || end > kj_real_io(file->io)->file_max))
        err = EFBIG;
    while (err == 0 && count > 0) {
        if (count == 1)
            return write_all(file->fd, iov->iov_base, iov->iov_len, pos);
        ssize_t n = pwritev(file->fd, iov, count < IOV_MAX ? count : IOV_MAX, pos);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        pos += n;
        size_t done = (size_t)n;
        int whole = 0;
        while (whole < count && done >= iov[whole].iov_len) /* empty ones too */
            done -= iov[whole++].iov_len;
        if (whole == 0 && done == 0)
            return EIO;
        iov += whole;
        count -= whole;
        if (done > 0) { /* stopped inside a piece: finish it, then gather again */
            size_t rest = iov->iov_len - done;
            err = write_all(file->fd, (const uint8_t *)iov->iov_base + done, rest, pos);
            pos += (int64_t)rest;
            iov++;
            count--;
        }
    }
    return err;
}

int kj_direct_fallocate(int fd, int mode, int64_t pos, int64_t len)
{
    for (;;) {
        if (fallocate(fd, mode, pos, len) == 0)
            return 0;
        if (errno != EINTR)
            return errno == ENOSYS ? EOPNOTSUPP : errno;
    }
}

static int allocate(struct kj_file *file, int64_t pos, int64_t len)
{
    if (len == 0)
        return 0;
    int err = kj_direct_limit(pos + len);
    if (err == 0)
        err = kj_direct_fallocate(file->fd, 0, pos, len);
    return err; /* EOPNOTSUPP stays one: ftruncate could cut what others append meanwhile */
}

static int errno_of(int result)
{
    return result == 0 ? 0 : errno;
}

void kj_direct_carry_out(struct kj_io_req *req)
{
    const int writeback =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int fd = req->file->fd;
    int err = 0;
    switch (req->op) {
    case KJ_IO_OP_SYNC:
        do
            err = errno_of(fdatasync(fd));
        while (err == EINTR);
        break;
    case KJ_IO_OP_ALLOCATE:
        err = allocate(req->file, req->pos, (int64_t)req->len);
        break;
    case KJ_IO_OP_READ:
        err = kj_direct_pread(req->file, req->buf, req->len, req->pos, &req->ret_len);
        break;
    case KJ_IO_OP_READAHEAD:
        (void)readahead(fd, req->pos, req->len);
        break;
    case KJ_IO_OP_WRITEBACK:
        do
            err = errno_of(sync_file_range(fd, req->pos, (int64_t)req->len, (unsigned)writeback));
        while (err == EINTR);
        break;
    default:
        KJ_ASSERT(false && "an op");
    }
    req->ret_errno = err;
}
