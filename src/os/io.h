/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/io.h - the contract between the library and the disk.
 *
 * A kj_io is one handle's access to one directory ("the root"). Every path is relative to the root,
 * made of components without "." and "..", and resolved beneath it without following symbolic links
 * (openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, or O_NOFOLLOW component by component). Files are
 * made with mode 0600, directories with 0700.
 *
 * Functions return 0 or a positive errno and tell no story: the caller knows partition and offset.
 * EINTR and short transfers are dealt with inside. Paths that are not as said above give EINVAL or
 * ENAMETOOLONG, links ELOOP, what is neither a regular file nor a directory EINVAL. Nothing here
 * raises a signal: RLIMIT_FSIZE (as it was at kj_io_create()) gives EFBIG.
 *
 * What may be relied on (the simulated disk gives exactly this and no more):
 *   - bytes of a finished write are seen by every later read and map, in every process;
 *   - a power cut keeps, drops or tears, in pieces of 512 bytes and in any order, every write
 *     since the file's last successful kj_io_sync(); sizes may come before data;
 *   - names (create, rename, unlink) survive a power cut only after kj_io_sync_dir() of their
 *     directory, a rename is atomic;
 *   - after a failed kj_io_sync() nothing may be believed about bytes written since the last
 *     good one.
 *
 * Two real back ends carry out kj_io_submit() (flushes, allocation, cold reads: what would block):
 * io_uring, and posix with helper threads; all else is a plain system call in both. A simulated
 * disk replaces everything through kj_io_ops.
 */
#ifndef KJ_OS_IO_H
#define KJ_OS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct kj_io;

/* One open file. Back ends embed it as first member. */
struct kj_file {
    struct kj_io *io;
    uint64_t ino; /* identity, with the device of the root */
    int fd;       /* -1 in the simulation */
    bool writable;
    char *path; /* for io->step; NULL without one. Set and freed by kj_io_open, kj_io_close */
};

enum kj_io_open_flags {
    KJ_IO_READ = 0,
    KJ_IO_WRITE = 1,     /* read and write */
    KJ_IO_CREATE = 2,    /* make it if it does not exist */
    KJ_IO_EXCLUSIVE = 4, /* EEXIST if it exists */
    KJ_IO_DIRECT = 8 /* O_DIRECT: EINVAL where refused; buffers, sizes, positions aligned to 4096 */
};

enum kj_io_type { KJ_IO_FILE = 1, KJ_IO_DIR = 2, KJ_IO_LINK = 3, KJ_IO_OTHER = 4 };

struct kj_io_stat {
    enum kj_io_type type;
    uint64_t ino;
    int64_t size;
    int64_t mtime_ms;
    int64_t allocated; /* bytes on disk */
};

/* What the file system is. */
struct kj_io_fs {
    bool remote;    /* network or FUSE */
    bool volatile_; /* tmpfs, ramfs: nothing survives a power cut */
    bool read_only;
    int64_t free_bytes;
    uint64_t device;
    char name[32]; /* "ext4", "nfs", ... or the magic number in hex */
};

enum kj_io_op {
    KJ_IO_OP_SYNC = 1, /* data and the metadata needed to read it: fdatasync */
    /* Blocks for [pos, pos + len), growing the size; content is kept. A failed one may have grown
     * the file. EOPNOTSUPP where the file system cannot. */
    KJ_IO_OP_ALLOCATE = 2,
    KJ_IO_OP_READ = 3,      /* len bytes at pos to buf; short only at the end of the file */
    KJ_IO_OP_READAHEAD = 4, /* hint; never fails */
    KJ_IO_OP_WRITEBACK = 5  /* start and wait for writing pages out: no durability by itself */
};

/* One piece of work for kj_io_submit(). */
struct kj_io_req {
    enum kj_io_op op;
    struct kj_file *file;
    int64_t pos;
    size_t len;
    void *buf;
    int ret_errno;  /* 0 or errno of this piece */
    size_t ret_len; /* READ: bytes read */
};

typedef int kj_io_list_callback(void *arg, const char *name, enum kj_io_type type);

/* Every operation; the simulation fills its own table. Same meaning as the functions below. */
struct kj_io_ops {
    int (*open)(struct kj_io *io, const char *path, unsigned flags, struct kj_file **ret_file);
    void (*close)(struct kj_file *file);
    int (*pwritev)(struct kj_file *file, const struct iovec *iov, int count, int64_t pos);
    int (*pread)(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len);
    int (*next_data)(struct kj_file *file, int64_t pos, int64_t *ret_pos);
    int (*stat_file)(struct kj_file *file, struct kj_io_stat *ret_stat);
    int (*stat)(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat);
    int (*truncate)(struct kj_file *file, int64_t size);
    int (*sync_dir)(struct kj_io *io, const char *path);
    int (*rename)(struct kj_io *io, const char *from, const char *to);
    int (*unlink)(struct kj_io *io, const char *path);
    int (*mkdir)(struct kj_io *io, const char *path);
    int (*rmdir)(struct kj_io *io, const char *path);
    int (*list)(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg);
    int (*map)(struct kj_file *file, size_t len, const uint8_t **ret_base);
    void (*unmap)(struct kj_io *io, const uint8_t *base, size_t len);
    int (*populate)(struct kj_file *file, int64_t pos, size_t len);
    int (*submit)(struct kj_io *io, struct kj_io_req *reqs, size_t count);
    /* Faster than reading and writing; NULL, or EOPNOTSUPP with nothing done: kj_io_copy() reads
     * and writes. Both files are of this table. */
    int (*copy)(struct kj_file *from, struct kj_file *to, int64_t len, bool *ret_shared);
    int (*fs)(struct kj_io *io, struct kj_io_fs *ret_fs);
    void (*destroy)(struct kj_io *io);
};

/* For tests: called before each operation with its name (that of the function; the pieces of a
 * submission are "sync", "allocate", "read", "readahead", "writeback") and the path it is about, of
 * a rename the old one; non-zero is returned as that operation's errno, and a kill point simply
 * does not return. */
typedef int kj_io_step(void *arg, const char *op, const char *path);

struct kj_io {
    const struct kj_io_ops *ops;
    const char *backend; /* "io_uring", "posix", "sim" */
    kj_io_step *step;
    void *step_arg;
    int root_fd;    /* O_PATH, for kj_shared_open(); -1 in the simulation */
    bool read_only; /* every changing operation gives EROFS */
};

enum kj_io_backend { KJ_IO_AUTO = 0, KJ_IO_URING = 1, KJ_IO_POSIX = 2 };

struct kj_io_options {
    const char *root;           /* the directory; must exist unless create */
    enum kj_io_backend backend; /* AUTO probes io_uring and falls back to posix */
    bool create;                /* mkdir (one level) with 0700, and fsync of its parent */
    bool read_only;             /* every changing operation gives EROFS */
    bool keep_owner;            /* what is made gets the root's owner and group, if we may do so */
    unsigned helper_threads;    /* posix: at most so many at once, started at need; 0: none */
    kj_io_step *step;
    void *step_arg;
};

/* Opens the root. ENOENT, ENOTDIR, EACCES, ... ; ENOSYS or EPERM when URING was asked by name and
 * is refused. */
int kj_io_create(const struct kj_io_options *options, struct kj_io **ret_io);
void kj_io_destroy(struct kj_io *io);

int kj_io_open(struct kj_io *io, const char *path, unsigned flags, struct kj_file **ret_file);
void kj_io_close(struct kj_file *file); /* NULL is allowed */
int kj_io_pwrite(struct kj_file *file, const void *buf, size_t len, int64_t pos);
/* Changes nothing in iov. count may exceed IOV_MAX. */
int kj_io_pwritev(struct kj_file *file, const struct iovec *iov, int count, int64_t pos);
/* Reads up to len bytes; *ret_len is short only at the end of the file. */
int kj_io_pread(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len);
/* The first position at or behind pos that does not lie in a hole: what is passed over reads as
 * zeros. INT64_MAX: a hole reaches from pos to the end; pos itself where the file system cannot
 * tell. */
int kj_io_next_data(struct kj_file *file, int64_t pos, int64_t *ret_pos);
int kj_io_stat_file(struct kj_file *file, struct kj_io_stat *ret_stat);
/* Of a link itself. */
int kj_io_stat(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat);
int kj_io_truncate(struct kj_file *file, int64_t size);
int kj_io_sync(struct kj_file *file);                   /* one KJ_IO_OP_SYNC */
int kj_io_sync_dir(struct kj_io *io, const char *path); /* "" is the root */
int kj_io_rename(struct kj_io *io, const char *from, const char *to);
int kj_io_unlink(struct kj_io *io, const char *path);
int kj_io_mkdir(struct kj_io *io, const char *path);
int kj_io_rmdir(struct kj_io *io, const char *path);
/* Calls back for each entry but "." and ".."; a non-zero return stops and is returned. */
int kj_io_list(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg);
/* A shared read-only map of [0, len); len may pass the end of the file, but touching a page behind
 * it is SIGBUS: readers stay below the published end. */
int kj_io_map(struct kj_file *file, size_t len, const uint8_t **ret_base);
void kj_io_unmap(struct kj_io *io, const uint8_t *base, size_t len);
/* Makes the pages of [pos, pos + len) (inside the file, allocated) resident and writable at once,
 * without changing content, while others write there (MADV_POPULATE_WRITE). ENOSYS where the kernel
 * cannot: callers ignore it. */
int kj_io_populate(struct kj_file *file, int64_t pos, size_t len);
/* Carries out all pieces at once and returns when every one ended; 0 if all did well, else the
 * errno of the first that failed. */
int kj_io_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count);
int kj_io_fs(struct kj_io *io, struct kj_io_fs *ret_fs);
/* Makes to, which is empty, a copy of the len bytes that from has; it may belong to another root.
 * *ret_shared: the two share their blocks until one of them is written to (a reflink, FICLONE),
 * which never makes them one file. Otherwise the kernel copies, or we do. Nobody writes to from
 * meanwhile; EIO if it is shorter. */
int kj_io_copy(struct kj_file *from, struct kj_file *to, int64_t len, bool *ret_shared);
/* True if inner's root is outer's or lies somewhere below it; never in the simulation. */
int kj_io_within(struct kj_io *inner, struct kj_io *outer, bool *ret_within);

/* --- small things built on these (os/file.c), the same for every back end --- */

/* The whole file, a NUL behind its end, kj_free() by the caller; EFBIG beyond max_bytes. */
int kj_io_read_file(struct kj_io *io, const char *path, size_t max_bytes, uint8_t **ret_bytes,
                    size_t *ret_len);
/* Replaces path as a whole: <path>.tmp, write, sync, rename, sync of the directory. After a power
 * cut it is the old or the new one. With durable = false the syncs are left out. */
int kj_io_replace_file(struct kj_io *io, const char *path, const void *bytes, size_t len,
                       bool durable);

#endif
