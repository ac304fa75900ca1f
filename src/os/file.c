/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Whole files, built on the contract: the same for every back end.
 */
#include "os/io.h"

#include "base/alloc.h"
#include "os/path.h"

#include <errno.h>
#include <string.h>

int kj_io_read_file(struct kj_io *io, const char *path, size_t max_bytes, uint8_t **ret_bytes,
                    size_t *ret_len)
{
    struct kj_file *file;
    int err = kj_io_open(io, path, KJ_IO_READ, &file);
    if (err != 0)
        return err;
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kj_io_stat stat;
    err = kj_io_stat_file(file, &stat);
    if (err != 0)
        goto out;
    if ((uint64_t)stat.size > max_bytes || (uint64_t)stat.size >= SIZE_MAX) {
        err = EFBIG;
        goto out;
    }
    bytes = kj_alloc((size_t)stat.size + 1);
    err = bytes == NULL ? ENOMEM : kj_io_pread(file, bytes, (size_t)stat.size, 0, &len);
out:
    kj_io_close(file);
    if (err != 0) {
        kj_free(bytes);
        return err;
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
}

/* <path>.tmp, made anew: what a dead process left there is no use to anybody. */
static int write_tmp(struct kj_io *io, const char *tmp, const void *bytes, size_t len, bool durable)
{
    int err = kj_io_unlink(io, tmp);
    if (err != 0 && err != ENOENT)
        return err;
    struct kj_file *file;
    err = kj_io_open(io, tmp, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &file);
    if (err != 0)
        return err;
    if (len > 0)
        err = kj_io_pwrite(file, bytes, len, 0);
    if (err == 0 && durable)
        err = kj_io_sync(file);
    kj_io_close(file);
    return err;
}

int kj_io_replace_file(struct kj_io *io, const char *path, const void *bytes, size_t len,
                       bool durable)
{
    static const char suffix[] = ".tmp";
    char tmp[KJ_PATH_MAX];
    size_t path_len = strlen(path);
    if (path_len + sizeof suffix > sizeof tmp)
        return ENAMETOOLONG;
    memcpy(tmp, path, path_len);
    memcpy(tmp + path_len, suffix, sizeof suffix);

    int err = write_tmp(io, tmp, bytes, len, durable);
    if (err == 0)
        err = kj_io_rename(io, tmp, path);
    if (err != 0) {
        if (err != EROFS)
            (void)kj_io_unlink(io, tmp); /* leave no litter; the first error is the one to tell */
        return err;
    }
    if (!durable)
        return 0;
    const char *slash = strrchr(path, '/');
    tmp[slash == NULL ? 0 : slash - path] = '\0';
    return kj_io_sync_dir(io, tmp);
}
