/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A submission through io_uring: the kernel's workers carry the requests out side by side. A single
 * request goes by its system call, which is cheaper.
 *
 * A ring serves one submission at a time, under its lock; a few rings, made at need, let threads
 * that flush and threads that read not wait for each other. Requests that the ring did not carry
 * out (it broke, was interrupted, or cannot do them) are done by system calls, so a submission
 * always ends with a result for each.
 */
#include "os/io_real.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <time.h>
#include <unistd.h>

enum {
    RINGS = 4,
    ENTRIES = 64,
    READ_MAX = 1 << 30, /* bytes of one read; the rest is read on */
    PENDING = -1        /* ret_errno of a request without result */
};

enum state { UNUSED, READY, BROKEN };

struct ring {
    struct kj_lock lock;
    enum state state;
    struct io_uring uring;
};

struct kj_uring {
    pid_t pid; /* rings are shared memory: a child of fork() must not touch them */
    struct ring rings[RINGS];
};

static bool supported(struct io_uring *uring)
{
    static const int ops[] = {IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_READ,
                              IORING_OP_FADVISE, IORING_OP_SYNC_FILE_RANGE};
    struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
    if (probe == NULL)
        return false;
    bool all = true;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        all = all && io_uring_opcode_supported(probe, ops[i]);
    io_uring_free_probe(probe);
    return all;
}

static int ring_open(struct ring *ring)
{
    int err = -io_uring_queue_init(ENTRIES, &ring->uring, 0);
    if (err != 0) {
        ring->state = BROKEN;
        return err;
    }
    ring->state = READY;
    return 0;
}

int kj_uring_create(struct kj_uring **ret_uring)
{
    struct kj_uring *uring = kj_alloc_zero(1, sizeof *uring);
    if (uring == NULL)
        return ENOMEM;
    int err = ring_open(&uring->rings[0]);
    if (err == 0 && !supported(&uring->rings[0].uring)) {
        io_uring_queue_exit(&uring->rings[0].uring);
        err = ENOSYS;
    }
    if (err != 0) {
        kj_free(uring);
        return err;
    }
    uring->pid = getpid();
    for (int i = 0; i < RINGS; i++)
        kj_lock_init(&uring->rings[i].lock, KJ_RANK_RING);
    *ret_uring = uring;
    return 0;
}

void kj_uring_destroy(struct kj_uring *uring)
{
    bool forked = uring->pid != getpid();
    for (int i = 0; i < RINGS; i++) {
        if (uring->rings[i].state == READY)
            io_uring_queue_exit(&uring->rings[i].uring); /* in a child: only its own copies */
        if (!forked)
            kj_lock_destroy(&uring->rings[i].lock); /* else perhaps held, by nobody here */
    }
    kj_free(uring);
}

/* False: this request is not for the ring. */
static bool prepare(struct io_uring_sqe *sqe, const struct kj_io_req *req)
{
    const int writeback =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int fd = req->file->fd;
    switch (req->op) {
    case KJ_IO_OP_SYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        return true;
    case KJ_IO_OP_ALLOCATE:
        io_uring_prep_fallocate(sqe, fd, 0, req->pos, (off_t)req->len);
        return true;
    case KJ_IO_OP_READ:
        io_uring_prep_read(sqe, fd, req->buf, (unsigned)(req->len < READ_MAX ? req->len : READ_MAX),
                           (uint64_t)req->pos);
        return true;
    case KJ_IO_OP_READAHEAD:
        io_uring_prep_fadvise(sqe, fd, (uint64_t)req->pos, (off_t)req->len, POSIX_FADV_WILLNEED);
        return true;
    case KJ_IO_OP_WRITEBACK:
        io_uring_prep_sync_file_range(sqe, fd, (unsigned)req->len, (uint64_t)req->pos, writeback);
        return true;
    }
    KJ_ASSERT(false && "an op");
}

/* False: by system call from the start; lengths that do not fit, what could raise a signal. */
static bool for_ring(const struct kj_io_req *req)
{
    switch (req->op) {
    case KJ_IO_OP_ALLOCATE:
        return req->len > 0 && kj_direct_limit(req->pos + (int64_t)req->len) == 0;
    case KJ_IO_OP_READAHEAD:
    case KJ_IO_OP_WRITEBACK:
        return req->len <= READ_MAX;
    case KJ_IO_OP_SYNC:
    case KJ_IO_OP_READ:
        return true;
    }
    return true;
}

static void complete(struct kj_io_req *req, int result)
{
    if (result == -EINTR || result == -EAGAIN || result == -ECANCELED)
        return; /* not done: stays pending */
    if (req->op == KJ_IO_OP_READAHEAD)
        result = 0;
    if (req->op == KJ_IO_OP_READ && result >= 0) {
        /* Short at the end of the file, or because the cache had no more: reading again tells. */
        if ((size_t)result < req->len && result != 0)
            return;
        req->ret_len = (size_t)result;
        result = 0;
    }
    req->ret_errno = -result;
}

static unsigned reap(struct io_uring *uring)
{
    unsigned reaped = 0;
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(uring, &cqe) == 0) {
        complete(io_uring_cqe_get_data(cqe), cqe->res);
        io_uring_cqe_seen(uring, cqe);
        reaped++;
    }
    return reaped;
}

/* The kernel refused to be entered (a filter, say). What it took before may still read into our
 * buffers: wait for it by looking. What it did not take stays pending. */
static void abandon(struct ring *ring, unsigned in_flight)
{
    ring->state = BROKEN;
    unsigned taken = in_flight - io_uring_sq_ready(&ring->uring);
    const struct timespec nap = {.tv_nsec = 200000};
    while (taken > 0) {
        unsigned reaped = reap(&ring->uring);
        KJ_ASSERT(reaped <= taken);
        taken -= reaped;
        if (reaped == 0)
            nanosleep(&nap, NULL);
    }
    io_uring_queue_exit(&ring->uring);
}

static void ring_run(struct ring *ring, struct kj_io_req *reqs, size_t count)
{
    struct io_uring *uring = &ring->uring;
    unsigned in_flight = 0;
    size_t next = 0;
    while (next < count || in_flight > 0) {
        for (; next < count && in_flight < ENTRIES; next++) {
            if (!for_ring(&reqs[next]))
                continue;
            struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
            if (sqe == NULL)
                break;
            if (!prepare(sqe, &reqs[next]))
                continue;
            io_uring_sqe_set_data(sqe, &reqs[next]);
            in_flight++;
        }
        if (in_flight == 0)
            return;
        int n = io_uring_submit_and_wait(uring, 1);
        if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY) {
            abandon(ring, in_flight);
            return;
        }
        in_flight -= reap(uring);
    }
}

/* A free ring, locked; NULL if none works. */
static struct ring *ring_take(struct kj_uring *uring)
{
    for (int i = 0; i < RINGS; i++) {
        struct ring *ring = &uring->rings[i];
        if (!kj_lock_try(&ring->lock))
            continue;
        if (ring->state == READY || (ring->state == UNUSED && ring_open(ring) == 0))
            return ring;
        kj_lock_release(&ring->lock);
    }
    struct ring *first = &uring->rings[0];
    kj_lock_acquire(&first->lock);
    if (first->state == READY)
        return first;
    kj_lock_release(&first->lock);
    return NULL;
}

int kj_uring_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count)
{
    struct kj_uring *uring = kj_real_io(io)->uring;
    for (size_t i = 0; i < count; i++)
        reqs[i].ret_errno = PENDING;
    if (count > 1 && uring->pid == getpid()) {
        struct ring *ring = ring_take(uring);
        if (ring != NULL) {
            ring_run(ring, reqs, count);
            kj_lock_release(&ring->lock);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (reqs[i].ret_errno == PENDING)
            kj_direct_carry_out(&reqs[i]);
    return 0;
}
