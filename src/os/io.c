/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What every back end has in common: paths are checked, a read-only root changes nothing, and the
 * test's hook is asked before each operation.
 */
#include "os/io.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "os/path.h"

#include <errno.h>

static int step(struct kj_io *io, const char *op, const char *path)
{
    if (__builtin_expect(io->step == NULL, 1))
        return 0;
    return io->step(io->step_arg, op, path);
}

/* Before an operation on one name; changes: it alters the directory. */
static int begin(struct kj_io *io, const char *op, const char *path, bool root_allowed,
                 bool changes)
{
    int err = kj_path_check(path, root_allowed);
    if (err == 0 && changes && io->read_only)
        err = EROFS;
    return err != 0 ? err : step(io, op, path);
}

int kj_io_open(struct kj_io *io, const char *path, unsigned flags, struct kj_file **ret_file)
{
    bool changes = (flags & (KJ_IO_WRITE | KJ_IO_CREATE)) != 0;
    int err = begin(io, "open", path, false, changes);
    if (err != 0)
        return err;
    char *copy = NULL;
    if (io->step != NULL && (copy = kj_strdup(path)) == NULL)
        return ENOMEM;
    struct kj_file *file;
    err = io->ops->open(io, path, flags, &file);
    if (err != 0) {
        kj_free(copy);
        return err;
    }
    file->path = copy;
    *ret_file = file;
    return 0;
}

void kj_io_close(struct kj_file *file)
{
    if (file == NULL)
        return;
    kj_free(file->path);
    file->io->ops->close(file);
}

int kj_io_pwrite(struct kj_file *file, const void *buf, size_t len, int64_t pos)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    return kj_io_pwritev(file, &iov, 1, pos);
}

int kj_io_pwritev(struct kj_file *file, const struct iovec *iov, int count, int64_t pos)
{
    KJ_ASSERT(file->writable && pos >= 0 && count >= 0);
    int err = step(file->io, "pwrite", file->path);
    return err != 0 ? err : file->io->ops->pwritev(file, iov, count, pos);
}

int kj_io_pread(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len)
{
    KJ_ASSERT(pos >= 0);
    int err = step(file->io, "pread", file->path);
    return err != 0 ? err : file->io->ops->pread(file, buf, len, pos, ret_len);
}

int kj_io_next_data(struct kj_file *file, int64_t pos, int64_t *ret_pos)
{
    KJ_ASSERT(pos >= 0);
    int err = step(file->io, "next_data", file->path);
    return err != 0 ? err : file->io->ops->next_data(file, pos, ret_pos);
}

int kj_io_stat_file(struct kj_file *file, struct kj_io_stat *ret_stat)
{
    int err = step(file->io, "stat_file", file->path);
    return err != 0 ? err : file->io->ops->stat_file(file, ret_stat);
}

int kj_io_stat(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat)
{
    int err = begin(io, "stat", path, true, false);
    return err != 0 ? err : io->ops->stat(io, path, ret_stat);
}

int kj_io_truncate(struct kj_file *file, int64_t size)
{
    KJ_ASSERT(file->writable && size >= 0);
    int err = step(file->io, "truncate", file->path);
    return err != 0 ? err : file->io->ops->truncate(file, size);
}

int kj_io_sync(struct kj_file *file)
{
    struct kj_io_req req = {.op = KJ_IO_OP_SYNC, .file = file};
    return kj_io_submit(file->io, &req, 1);
}

int kj_io_sync_dir(struct kj_io *io, const char *path)
{
    int err = begin(io, "sync_dir", path, true, true);
    return err != 0 ? err : io->ops->sync_dir(io, path);
}

int kj_io_rename(struct kj_io *io, const char *from, const char *to)
{
    int err = kj_path_check(to, false);
    if (err == 0)
        err = begin(io, "rename", from, false, true);
    return err != 0 ? err : io->ops->rename(io, from, to);
}

int kj_io_unlink(struct kj_io *io, const char *path)
{
    int err = begin(io, "unlink", path, false, true);
    return err != 0 ? err : io->ops->unlink(io, path);
}

int kj_io_mkdir(struct kj_io *io, const char *path)
{
    int err = begin(io, "mkdir", path, false, true);
    return err != 0 ? err : io->ops->mkdir(io, path);
}

int kj_io_rmdir(struct kj_io *io, const char *path)
{
    int err = begin(io, "rmdir", path, false, true);
    return err != 0 ? err : io->ops->rmdir(io, path);
}

int kj_io_list(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg)
{
    int err = begin(io, "list", path, true, false);
    return err != 0 ? err : io->ops->list(io, path, callback, arg);
}

int kj_io_map(struct kj_file *file, size_t len, const uint8_t **ret_base)
{
    int err = step(file->io, "map", file->path);
    return err != 0 ? err : file->io->ops->map(file, len, ret_base);
}

void kj_io_unmap(struct kj_io *io, const uint8_t *base, size_t len)
{
    io->ops->unmap(io, base, len);
}

int kj_io_populate(struct kj_file *file, int64_t pos, size_t len)
{
    KJ_ASSERT(file->writable && pos >= 0);
    int err = step(file->io, "populate", file->path);
    return err != 0 ? err : file->io->ops->populate(file, pos, len);
}

static const char *op_name(enum kj_io_op op)
{
    switch (op) {
    case KJ_IO_OP_SYNC:
        return "sync";
    case KJ_IO_OP_ALLOCATE:
        return "allocate";
    case KJ_IO_OP_READ:
        return "read";
    case KJ_IO_OP_READAHEAD:
        return "readahead";
    case KJ_IO_OP_WRITEBACK:
        return "writeback";
    }
    KJ_ASSERT(false && "an op");
}

static int check_req(struct kj_io *io, const struct kj_io_req *req)
{
    KJ_ASSERT(req->file->io == io && req->pos >= 0);
    bool changes = req->op != KJ_IO_OP_READ && req->op != KJ_IO_OP_READAHEAD;
    if (changes && io->read_only)
        return EROFS;
    int64_t end;
    if (__builtin_add_overflow(req->pos, req->len, &end))
        return EFBIG;
    return step(io, op_name(req->op), req->file->path);
}

int kj_io_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count)
{
    /* Runs of requests that passed the checks go down together. */
    for (size_t i = 0, run = 0; i <= count; i++) {
        int err = 0;
        if (i < count) {
            reqs[i].ret_len = 0;
            reqs[i].ret_errno = err = check_req(io, &reqs[i]);
            if (err == 0)
                continue;
        }
        if (i > run)
            (void)io->ops->submit(io, reqs + run, i - run); /* its errno is also in the pieces */
        run = i + 1;
    }
    for (size_t i = 0; i < count; i++)
        if (reqs[i].ret_errno != 0)
            return reqs[i].ret_errno;
    return 0;
}

int kj_io_fs(struct kj_io *io, struct kj_io_fs *ret_fs)
{
    int err = step(io, "fs", "");
    return err != 0 ? err : io->ops->fs(io, ret_fs);
}

/* By plain reads and writes. */
static int copy_bytes(struct kj_file *from, struct kj_file *to, int64_t len)
{
    enum { PIECE = 1 << 18 };
    uint8_t *piece = kj_alloc(PIECE);
    if (piece == NULL)
        return ENOMEM;
    int err = 0;
    for (int64_t pos = 0; pos < len && err == 0;) {
        size_t wanted = len - pos < PIECE ? (size_t)(len - pos) : PIECE, got;
        err = kj_io_pread(from, piece, wanted, pos, &got);
        if (err == 0 && got < wanted)
            err = EIO;
        if (err == 0)
            err = kj_io_pwrite(to, piece, wanted, pos);
        pos += (int64_t)wanted;
    }
    kj_free(piece);
    return err;
}

int kj_io_copy(struct kj_file *from, struct kj_file *to, int64_t len, bool *ret_shared)
{
    KJ_ASSERT(to->writable && len >= 0);
    *ret_shared = false;
    int err = step(to->io, "copy", to->path);
    if (err != 0 || len == 0)
        return err;
    err = EOPNOTSUPP;
    if (to->io->ops->copy != NULL && to->io->ops->copy == from->io->ops->copy)
        err = to->io->ops->copy(from, to, len, ret_shared);
    return err == EOPNOTSUPP ? copy_bytes(from, to, len) : err;
}

int kj_io_within(struct kj_io *inner, struct kj_io *outer, bool *ret_within)
{
    *ret_within = false;
    if (inner->root_fd < 0 || outer->root_fd < 0)
        return 0;
    return kj_path_within(inner->root_fd, outer->root_fd, ret_within);
}

void kj_io_destroy(struct kj_io *io)
{
    if (io != NULL)
        io->ops->destroy(io);
}
