/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The control file: an array of words in chunks of 64 KiB, each mapped once and never moved.
 *
 * No access may raise SIGBUS, so blocks are allocated before they are mapped, and the size that is
 * mapped is one that fstat() reported. Growing at the same time is safe without a lock between the
 * processes: fallocate() only adds, and the size never shrinks. Where the file system cannot
 * allocate, zeros are written instead, and then a lock is needed, or they would fall on words that
 * somebody else has begun to use.
 */
#include "os/shared_handle.h"

#include "base/assert.h"
#include "os/futex.h"
#include "os/io_real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* On the lock file, far above the locks of partitions. */
static const off_t grow_lock = (off_t)1 << 62;

enum { GROW_TRIES = 5000 }; /* of a millisecond */

static int chunks_for(uint32_t words, uint32_t *ret_chunks)
{
    uint32_t chunks = words / KJ_SHARED_CHUNK_WORDS + (words % KJ_SHARED_CHUNK_WORDS != 0);
    if (chunks > KJ_SHARED_CHUNKS_MAX)
        return ENOSPC;
    *ret_chunks = chunks > 0 ? chunks : 1;
    return 0;
}

/* Maps chunks [mapped, chunks), which the file has. Under the mutex. */
static int map_chunks(struct kj_shared_handle *handle, uint32_t chunks)
{
    uint32_t have = atomic_load(&handle->mapped);
    if (chunks <= have)
        return 0;
    kj_atomic_u64 *base = NULL;
    if (handle->sim == NULL) {
        int prot = handle->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
        void *map = mmap(NULL, (size_t)(chunks - have) * KJ_SHARED_CHUNK_BYTES, prot, MAP_SHARED,
                         handle->control_fd, (off_t)have * KJ_SHARED_CHUNK_BYTES);
        if (map == MAP_FAILED)
            return errno;
        base = map;
    }
    for (uint32_t i = have; i < chunks; i++) {
        kj_atomic_u64 *chunk = base != NULL
                                   ? base + (size_t)(i - have) * KJ_SHARED_CHUNK_WORDS
                                   : handle->sim->chunk(handle->sim_arg, handle->sim_file, i);
        atomic_store(&handle->shared.chunks[i], chunk);
    }
    atomic_store(&handle->mapped, chunks);
    return 0;
}

void kj_control_file_drop(struct kj_shared_handle *handle)
{
    uint32_t mapped = atomic_exchange(&handle->mapped, 0);
    for (uint32_t i = 0; i < mapped; i++) {
        kj_atomic_u64 *chunk = atomic_exchange(&handle->shared.chunks[i], NULL);
        if (handle->sim == NULL)
            (void)munmap((void *)(uintptr_t)chunk, KJ_SHARED_CHUNK_BYTES);
    }
    if (handle->sim_file != NULL)
        handle->sim->release(handle->sim_arg, handle->sim_file);
    handle->sim_file = NULL;
    if (handle->control_fd >= 0)
        close(handle->control_fd);
    handle->control_fd = -1;
}

/* --- growing --- */

static int write_zeros(int fd, int64_t from, int64_t to)
{
    static const uint8_t zeros[4096];
    while (from < to) {
        ssize_t n = pwrite(fd, zeros, (size_t)(to - from < 4096 ? to - from : 4096), from);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            from += n;
    }
    return 0;
}

static int64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static int set_grow_lock(int fd, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = grow_lock, .l_len = 1};
    const struct timespec nap = {.tv_nsec = 1000000};
    for (int tries = 0; fcntl(fd, F_OFD_SETLK, &range) != 0; tries++) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return errno;
        if (tries == GROW_TRIES)
            return EAGAIN; /* somebody was stopped in the middle */
        (void)nanosleep(&nap, NULL);
    }
    return 0;
}

static int grow_by_writing(const struct kj_shared_handle *handle, int fd, int64_t bytes)
{
    int err = set_grow_lock(handle->lock_fd, F_WRLCK);
    if (err != 0)
        return err;
    int64_t from = size_of(fd);
    if (from < 0)
        err = EIO;
    else if (from < bytes && (err = write_zeros(fd, from, bytes)) != 0)
        (void)ftruncate(fd, from); /* nobody uses what lies behind: growing is under this lock */
    (void)set_grow_lock(handle->lock_fd, F_UNLCK);
    return err;
}

/* The file has at least so many bytes, all allocated. */
static int grow(const struct kj_shared_handle *handle, int fd, int64_t bytes)
{
    int err = kj_direct_limit(bytes);
    if (err != 0)
        return err;
    /* First the blocks, then the size: a disk that fills up must not leave half a chunk. */
    err = kj_direct_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes);
    if (err == 0)
        err = kj_direct_fallocate(fd, 0, 0, bytes);
    return err == EOPNOTSUPP ? grow_by_writing(handle, fd, bytes) : err;
}

static int reach(struct kj_shared_handle *handle, uint32_t chunks)
{
    if (handle->sim != NULL) {
        if (handle->sim->chunks(handle->sim_arg, handle->sim_file) < chunks) {
            int err = handle->sim->grow(handle->sim_arg, handle->sim_file, chunks);
            if (err != 0)
                return err;
        }
        return map_chunks(handle, chunks);
    }
    int64_t bytes = (int64_t)chunks * KJ_SHARED_CHUNK_BYTES;
    if (size_of(handle->control_fd) < bytes) {
        int err = handle->read_only ? EROFS : grow(handle, handle->control_fd, bytes);
        if (err != 0)
            return err;
    }
    return map_chunks(handle, chunks);
}

int kj_shared_reach(struct kj_shared *shared, uint32_t words)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    uint32_t chunks;
    int err = chunks_for(words, &chunks);
    if (err != 0)
        return err;
    if (chunks <= atomic_load(&handle->mapped))
        return 0;
    kj_lock_acquire(&handle->mutex);
    err = handle->control_fd < 0 && handle->sim_file == NULL ? ENOENT : reach(handle, chunks);
    kj_lock_release(&handle->mutex);
    return err;
}

uint32_t kj_shared_words(const struct kj_shared *shared)
{
    const struct kj_shared_handle *handle = (const struct kj_shared_handle *)(const void *)shared;
    return atomic_load(&handle->mapped) * KJ_SHARED_CHUNK_WORDS;
}

/* --- finding and making --- */

static int note_identity(struct kj_shared_handle *handle, int fd, int64_t *ret_size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    handle->control_dev = st.st_dev;
    handle->control_ino = st.st_ino;
    *ret_size = st.st_size;
    return 0;
}

static int attach(struct kj_shared_handle *handle)
{
    if (handle->sim != NULL) {
        int err = handle->sim->find(handle->sim_arg, &handle->sim_file);
        if (err != 0)
            return err;
        return map_chunks(handle, (uint32_t)handle->sim->chunks(handle->sim_arg, handle->sim_file));
    }
    int flags =
        (handle->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd = openat(handle->root_fd, handle->control_name, flags);
    if (fd < 0)
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? EINVAL : errno;
    handle->control_fd = fd;
    int64_t size;
    int err = note_identity(handle, fd, &size);
    if (err != 0)
        return err;
    if (size <= 0 || size % KJ_SHARED_CHUNK_BYTES != 0 ||
        size / KJ_SHARED_CHUNK_BYTES > KJ_SHARED_CHUNKS_MAX)
        return EINVAL;
    /* Fills holes that a stranger left, or a store into one could meet a full disk. */
    if (!handle->read_only)
        err = kj_direct_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size);
    if (err != 0 && err != EOPNOTSUPP)
        return err;
    return map_chunks(handle, (uint32_t)(size / KJ_SHARED_CHUNK_BYTES));
}

static int make(struct kj_shared_handle *handle, uint32_t chunks)
{
    if (handle->sim != NULL) {
        int err = handle->sim->make(handle->sim_arg, chunks, &handle->sim_file);
        return err != 0 ? err : map_chunks(handle, chunks);
    }
    if (unlinkat(handle->root_fd, handle->new_name, 0) != 0 && errno != ENOENT)
        return errno;
    handle->control_fd = openat(handle->root_fd, handle->new_name,
                                O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (handle->control_fd < 0)
        return errno;
    int64_t size;
    int err = note_identity(handle, handle->control_fd, &size);
    if (err == 0)
        err = grow(handle, handle->control_fd, (int64_t)chunks * KJ_SHARED_CHUNK_BYTES);
    return err != 0 ? err : map_chunks(handle, chunks);
}

static int publish(struct kj_shared_handle *handle)
{
    if (handle->sim != NULL)
        return handle->sim->publish(handle->sim_arg, handle->sim_file);
    if (renameat(handle->root_fd, handle->new_name, handle->root_fd, handle->control_name) != 0)
        return errno;
    return 0;
}

static bool has_file(const struct kj_shared_handle *handle)
{
    return handle->control_fd >= 0 || handle->sim_file != NULL;
}

int kj_shared_build(struct kj_shared *shared, uint32_t words,
                    void (*fill)(struct kj_shared *shared, void *arg), void *arg)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    uint32_t chunks;
    int err = chunks_for(words, &chunks);
    if (err != 0)
        return err;
    if (handle->read_only || handle->control_name == NULL)
        return EROFS;
    kj_shared_point(shared, "control.make");
    kj_lock_acquire(&handle->mutex);
    bool busy = has_file(handle);
    err = busy ? EBUSY : make(handle, chunks);
    kj_lock_release(&handle->mutex);
    if (err == 0) {
        fill(shared, arg); /* outside the mutex: it may reach further */
        kj_shared_point(shared, "control.publish");
        err = publish(handle);
    }
    if (err != 0 && !busy) {
        kj_lock_acquire(&handle->mutex);
        kj_control_file_drop(handle);
        kj_lock_release(&handle->mutex);
        if (handle->sim == NULL)
            (void)unlinkat(handle->root_fd, handle->new_name, 0);
    }
    return err;
}

int kj_shared_attach(struct kj_shared *shared)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    if (handle->control_name == NULL)
        return ENOENT;
    kj_shared_point(shared, "control.attach");
    kj_lock_acquire(&handle->mutex);
    int err = EBUSY;
    if (!has_file(handle)) {
        err = attach(handle);
        if (err != 0)
            kj_control_file_drop(handle);
    }
    kj_lock_release(&handle->mutex);
    return err;
}

int kj_shared_remove(struct kj_shared *shared)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    if (handle->read_only || handle->control_name == NULL)
        return EROFS;
    kj_shared_point(shared, "control.remove");
    if (handle->sim != NULL)
        return handle->sim->remove(handle->sim_arg);
    if (unlinkat(handle->root_fd, handle->control_name, 0) != 0 && errno != ENOENT)
        return errno;
    return 0;
}

bool kj_shared_current(struct kj_shared *shared)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    if (!has_file(handle))
        return false;
    if (handle->sim != NULL)
        return handle->sim->current(handle->sim_arg, handle->sim_file);
    struct stat st;
    return fstatat(handle->root_fd, handle->control_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_dev == handle->control_dev && st.st_ino == handle->control_ino;
}
