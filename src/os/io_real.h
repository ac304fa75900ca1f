/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/io_real.h - private to the real back ends (io_real.c, io_names.c, io_direct.c, io_posix.c,
 * io_uring.c). They differ only in how a submission of several requests is carried out.
 */
#ifndef KJ_OS_IO_REAL_H
#define KJ_OS_IO_REAL_H

#include "os/io.h"
#include "os/path.h"

#include <sys/stat.h>

struct kj_uring;

struct kj_real_io {
    struct kj_io io;
    struct kj_path_root root;
    int64_t file_max; /* RLIMIT_FSIZE at creation */
    size_t page_bytes;
    unsigned helper_threads;
    _Atomic unsigned helpers; /* running now */
    struct kj_uring *uring;   /* NULL: posix */
    bool keep_owner;
    uid_t uid; /* of the root */
    gid_t gid;
};

struct kj_real_file {
    struct kj_file file;
    bool direct; /* O_DIRECT: transfers stay aligned */
};

static inline struct kj_real_io *kj_real_io(struct kj_io *io)
{
    return (struct kj_real_io *)(void *)io;
}

void kj_real_stat(const struct stat *st, struct kj_io_stat *ret_stat);

/* io_names.c */
int kj_names_sync_dir(struct kj_io *io, const char *path);
int kj_names_stat(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat);
int kj_names_rename(struct kj_io *io, const char *from, const char *to);
int kj_names_unlink(struct kj_io *io, const char *path);
int kj_names_mkdir(struct kj_io *io, const char *path);
int kj_names_rmdir(struct kj_io *io, const char *path);
int kj_names_list(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg);

/* io_fs.c */
int kj_real_fs(struct kj_io *io, struct kj_io_fs *ret_fs);

/* io_direct.c: by plain system calls of the calling thread */
int kj_direct_pread(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len);
int kj_direct_pwritev(struct kj_file *file, const struct iovec *iov, int count, int64_t pos);
/* EFBIG if a file may not grow to end bytes now (RLIMIT_FSIZE; the kernel would raise SIGXFSZ). */
int kj_direct_limit(int64_t end);
/* Blocks for [pos, pos + len) of fd. EOPNOTSUPP where the file system cannot. */
int kj_direct_fallocate(int fd, int mode, int64_t pos, int64_t len);
/* Sets ret_errno and ret_len. */
void kj_direct_carry_out(struct kj_io_req *req);

/* io_copy.c */
int kj_copy_file(struct kj_file *from, struct kj_file *to, int64_t len, bool *ret_shared);

/* io_posix.c */
int kj_posix_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count);

/* io_uring.c. Creation: 0, or the errno of what was refused. */
int kj_uring_create(struct kj_uring **ret_uring);
void kj_uring_destroy(struct kj_uring *uring);
int kj_uring_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count);

#endif
