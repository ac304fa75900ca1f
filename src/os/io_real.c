/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The real disk: opening the root, and open files.
 */
#include "os/io_real.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* What we may not give away stays ours. */
static void keep_owner(const struct kj_real_io *real, int fd, const struct stat *st)
{
    if (real->keep_owner && (st->st_uid != real->uid || st->st_gid != real->gid) &&
        fchown(fd, real->uid, real->gid) != 0)
        return;
}

static int real_open(struct kj_io *io, const char *path, unsigned flags, struct kj_file **ret_file)
{
    /* O_NONBLOCK: a FIFO in the way must not make us wait for its other end. */
    int os_flags = O_NONBLOCK | O_NOCTTY | ((flags & KJ_IO_WRITE) != 0 ? O_RDWR : O_RDONLY);
    if ((flags & KJ_IO_CREATE) != 0)
        os_flags |= O_CREAT | ((flags & KJ_IO_EXCLUSIVE) != 0 ? O_EXCL : 0);
    int kept = 0;
    if ((flags & KJ_IO_DIRECT) != 0)
        os_flags |= kept = O_DIRECT;

    struct kj_real_file *real = kj_alloc_zero(1, sizeof *real);
    if (real == NULL)
        return ENOMEM;
    int fd = -1;
    int err = kj_path_open(&kj_real_io(io)->root, path, os_flags, 0600, &fd);
    if (err != 0)
        goto out;
    struct stat st;
    if (fstat(fd, &st) != 0)
        err = errno;
    else if (!S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    else if (fcntl(fd, F_SETFL, kept) != 0) /* a ring would give EAGAIN instead of waiting */
        err = errno;
    if (err != 0)
        goto out;
    if ((flags & KJ_IO_CREATE) != 0)
        keep_owner(kj_real_io(io), fd, &st);
    *real = (struct kj_real_file){
        .file = {.io = io, .ino = st.st_ino, .fd = fd, .writable = (flags & KJ_IO_WRITE) != 0},
        .direct = kept != 0};
    *ret_file = &real->file;
    return 0;
out:
    if (fd >= 0)
        close(fd);
    kj_free(real);
    return err;
}

static void real_close(struct kj_file *file)
{
    close(file->fd); /* no error to be told here: bytes that matter were flushed before */
    kj_free(file);
}

void kj_real_stat(const struct stat *st, struct kj_io_stat *ret_stat)
{
    enum kj_io_type type = S_ISREG(st->st_mode)   ? KJ_IO_FILE
                           : S_ISDIR(st->st_mode) ? KJ_IO_DIR
                           : S_ISLNK(st->st_mode) ? KJ_IO_LINK
                                                  : KJ_IO_OTHER;
    *ret_stat = (struct kj_io_stat){.type = type,
                                    .ino = st->st_ino,
                                    .size = st->st_size,
                                    .mtime_ms = (int64_t)st->st_mtim.tv_sec * 1000 +
                                                st->st_mtim.tv_nsec / 1000000,
                                    .allocated = (int64_t)st->st_blocks * 512};
}

static int real_stat_file(struct kj_file *file, struct kj_io_stat *ret_stat)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return errno;
    kj_real_stat(&st, ret_stat);
    return 0;
}

static int real_next_data(struct kj_file *file, int64_t pos, int64_t *ret_pos)
{
    off_t next = lseek(file->fd, pos, SEEK_DATA); /* nobody uses the descriptor's own position */
    if (next < 0 && errno != ENXIO && errno != EINVAL && errno != EOPNOTSUPP)
        return errno;
    *ret_pos = next >= 0 ? next : errno == ENXIO ? INT64_MAX : pos;
    return 0;
}

static int real_truncate(struct kj_file *file, int64_t size)
{
    if (size > kj_real_io(file->io)->file_max)
        return EFBIG;
    while (ftruncate(file->fd, size) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static int real_map(struct kj_file *file, size_t len, const uint8_t **ret_base)
{
    void *base = mmap(NULL, len, PROT_READ, MAP_SHARED, file->fd, 0);
    if (base == MAP_FAILED)
        return errno;
    *ret_base = base;
    return 0;
}

static void real_unmap(struct kj_io *io, const uint8_t *base, size_t len)
{
    (void)io;
    (void)munmap((void *)(uintptr_t)base, len);
}

static int real_populate(struct kj_file *file, int64_t pos, size_t len)
{
    if (len == 0)
        return 0;
    int64_t page = (int64_t)kj_real_io(file->io)->page_bytes;
    int64_t begin = pos - pos % page;
    int64_t end;
    if (__builtin_add_overflow(pos, len, &end) || end > INT64_MAX - page)
        return EINVAL;
    end = (end + page - 1) / page * page;
    void *window =
        mmap(NULL, (size_t)(end - begin), PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, begin);
    if (window == MAP_FAILED)
        return errno;
    /* Pages that are not there or cannot be had (a full disk) are an error here, not a signal. */
    int err = 0;
    if (madvise(window, (size_t)(end - begin), MADV_POPULATE_WRITE) != 0)
        err = errno == EINVAL ? ENOSYS : errno;
    (void)munmap(window, (size_t)(end - begin));
    return err;
}

static void real_destroy(struct kj_io *io)
{
    struct kj_real_io *real = kj_real_io(io);
    if (real->uring != NULL)
        kj_uring_destroy(real->uring);
    close(real->root.fd);
    kj_free(real);
}

#define REAL_OPS(submit_function)                                                                  \
    {                                                                                              \
        .open = real_open, .close = real_close, .pwritev = kj_direct_pwritev,                      \
        .pread = kj_direct_pread, .next_data = real_next_data, .stat_file = real_stat_file,        \
        .stat = kj_names_stat,                                                                     \
        .truncate = real_truncate, .sync_dir = kj_names_sync_dir, .rename = kj_names_rename,       \
        .unlink = kj_names_unlink, .mkdir = kj_names_mkdir, .rmdir = kj_names_rmdir,               \
        .list = kj_names_list, .map = real_map, .unmap = real_unmap, .populate = real_populate,    \
        .submit = (submit_function), .copy = kj_copy_file, .fs = kj_real_fs,                       \
        .destroy = real_destroy                                                                    \
    }

static const struct kj_io_ops posix_ops = REAL_OPS(kj_posix_submit);
static const struct kj_io_ops uring_ops = REAL_OPS(kj_uring_submit);

/* Whoever made it, its name must be on disk before anything in it can be relied on. */
static int sync_parent(int root_fd)
{
    int parent = openat(root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        /* We may look through the parent but not at it: flush the file system instead. */
        int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return errno;
        int err = syncfs(fd) == 0 ? 0 : errno;
        close(fd);
        return err;
    }
    int err = fsync(parent) == 0 || errno == EINVAL ? 0 : errno;
    close(parent);
    return err;
}

static int open_root(const struct kj_io_options *options, int *ret_fd)
{
    bool create = options->create && !options->read_only;
    if (create && mkdir(options->root, 0700) != 0 && errno != EEXIST)
        return errno;
    int fd;
    do
        fd = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno;
    int err = create ? sync_parent(fd) : 0;
    if (err != 0) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static int64_t file_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur > INT64_MAX)
        return INT64_MAX;
    return (int64_t)limit.rlim_cur;
}

static int note_owner(struct kj_real_io *real, bool keep)
{
    struct stat st;
    if (keep && fstat(real->root.fd, &st) != 0)
        return errno;
    real->keep_owner = keep;
    real->uid = keep ? st.st_uid : 0;
    real->gid = keep ? st.st_gid : 0;
    return 0;
}

int kj_io_create(const struct kj_io_options *options, struct kj_io **ret_io)
{
    struct kj_real_io *real = kj_alloc_zero(1, sizeof *real);
    if (real == NULL)
        return ENOMEM;
    int fd = -1;
    int err = open_root(options, &fd);
    if (err != 0) {
        kj_free(real);
        return err;
    }
    kj_path_root_init(&real->root, fd);
    err = note_owner(real, options->keep_owner);
    if (err != 0) {
        close(fd);
        kj_free(real);
        return err;
    }
    if (options->backend != KJ_IO_POSIX)
        err = kj_uring_create(&real->uring);
    if (err != 0 && options->backend == KJ_IO_URING) {
        close(fd);
        kj_free(real);
        return err;
    }
    real->io = (struct kj_io){.ops = real->uring != NULL ? &uring_ops : &posix_ops,
                              .backend = real->uring != NULL ? "io_uring" : "posix",
                              .step = options->step,
                              .step_arg = options->step_arg,
                              .root_fd = fd,
                              .read_only = options->read_only};
    real->helper_threads = options->helper_threads;
    real->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    real->file_max = file_max();
    *ret_io = &real->io;
    return 0;
}
