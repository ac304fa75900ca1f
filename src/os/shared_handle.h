/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/shared_handle.h - private to shared.c, control_file.c, shared_lock.c and shared_wait.c.
 */
#ifndef KJ_OS_SHARED_HANDLE_H
#define KJ_OS_SHARED_HANDLE_H

#include "base/lock.h"
#include "os/fork.h"
#include "os/shared.h"

#include <stdatomic.h>
#include <sys/types.h>

enum { KJ_SHARED_CHUNK_BYTES = KJ_SHARED_CHUNK_WORDS * 8 };

struct kj_shared_handle {
    struct kj_shared shared; /* chunks[i] is stored before mapped passes i */
    /* fixed at open */
    const struct kj_clock *clock;
    char *lock_name;
    char *control_name; /* NULL: none */
    char *new_name;     /* "<control>.new" */
    char *root_path;    /* where the directory was then; NULL: not known */
    bool read_only;
    const struct kj_shared_sim_ops *sim;
    void *sim_arg;
    /* Descriptors; -1: none. In a child of fork() the handler closes lock_fd at once. */
    int root_fd;
    _Atomic int lock_fd; /* a read-only handle opens it late, if it was not there */
    struct kj_fork_node fork;
    _Atomic uint32_t *alive; /* a page of its own: 1, but wiped to 0 in a child of fork() */
    size_t alive_bytes;
    /* the control file */
    struct kj_lock mutex; /* control_fd, sim_file, and growing */
    int control_fd;
    dev_t control_dev;
    ino_t control_ino;
    void *sim_file;
    _Atomic uint32_t mapped;    /* chunks */
    atomic_bool no_futex_waitv; /* the kernel refused it once */
};

static inline struct kj_shared_handle *kj_shared_handle(struct kj_shared *shared)
{
    return (struct kj_shared_handle *)(void *)shared;
}

/* The word's low 32 bits, as the kernel wants it. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a word comes first");
static inline uintptr_t kj_shared_futex(struct kj_shared *shared, kj_word word)
{
    return (uintptr_t)kj_shared_at(shared, word);
}

/* shared_lock.c: opens the lock file of a handle; 0, or errno (read-only: ENOENT). */
int kj_shared_lock_file_open(struct kj_shared_handle *handle);
/* control_file.c: unmaps and closes. */
void kj_control_file_drop(struct kj_shared_handle *handle);

#endif
