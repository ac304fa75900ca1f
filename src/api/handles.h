/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/handles.h - what the public handles have in common: a magic number as first member, so that a
 * NULL, closed or foreign pointer is an error and not a crash, and the store they stand on.
 *
 * Every public function begins with kj_handle_store() (or a kj_handle_check() of its own magic and
 * then that of its store): INVALID_ARG for a pointer that is no such handle, FORKED in a child.
 */
#ifndef KJ_API_HANDLES_H
#define KJ_API_HANDLES_H

#include "base/atomic.h"
#include "base/err.h"
#include "coord/group.h"
#include "coord/offset_store.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

/* Changed to KJ_MAGIC_CLOSED before the memory is given back. */
enum {
    KJ_MAGIC_STORE = 0x6b6a5354,
    KJ_MAGIC_PRODUCER = 0x6b6a5052,
    KJ_MAGIC_CONSUMER = 0x6b6a434f,
    KJ_MAGIC_CONF = 0x6b6a4346,
    KJ_MAGIC_CLOSED = 0x6b6a2d2d
};

struct kaja_store {
    uint32_t magic;
    struct kj_store *store;
    struct kj_offset_store *offsets;
    struct kj_groups *groups;
    kaja_event_callback *event_callback;
    void *event_arg;
    int64_t memory_max; /* kaja.memory.max of consumers that do not set it */
    kj_atomic_u64 serving; /* 1 while a thread delivers events: they come one after the other */
    kj_atomic_u64 clients; /* open producers and consumers */
    kj_atomic_u64 batches; /* that polls gave out and nobody released */
};

/* 0, or INVALID_ARG with the story that says what (for example "producer") was wanted. */
int kj_handle_check(const void *handle, uint32_t magic, const char *what);

/* The check of a public function that was given a store: magic, fork, whether the directory is
 * still there. */
int kj_handle_store(struct kaja_store *store);

/* A store of the library's own on a directory that is there, without a worker: for calls that work
 * on a path. read_only: it looks at any file system. */
int kj_handle_open_path(const char *path, bool read_only, struct kj_store **ret_store);

/* A producer or consumer was opened on the store, or closed. */
void kj_handle_client_opened(struct kaja_store *store);
void kj_handle_client_closed(struct kaja_store *store);

/* Delivers waiting events to the callback, if there is one: inside step, polls, flushes and closes.
 * Leaves the story of an error as it is. */
void kj_handle_serve_events(struct kaja_store *store);

#endif
