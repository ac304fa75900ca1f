/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/store.h - a directory of topics: open it, close it, hear from it.
 */
#ifndef KAJA_STORE_H
#define KAJA_STORE_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* An open directory. Kafka: the broker, and AdminClient's connection to it. */
struct kaja_store;

/* Opens the directory at path, making it if it does not exist (unless `kaja.read.only=true` or
 * `kaja.create=false`). Any number of processes may have it open; each handle counts as one of them. The first opener after a crash
 * recovers every partition before this returns. conf may be NULL; it is copied.
 * Ownership: the handle is the caller's, until kaja_store_close().
 * Errors: NO_DIRECTORY, NOT_KAJA, BROKER_HAS_DIRECTORY, NETWORK_FILE_SYSTEM, LAYOUT_MISMATCH,
 * LOCK_TIMED_OUT, CONFLICT (a property contradicts the directory's), INVALID_CONFIG, READ_ONLY,
 * DISK_FULL, FILE_LIMIT, CRIT_SYS_RESOURCE, KAFKA_STORAGE_ERROR.
 * Threads: any. Blocks: for recovery, and up to kaja.lock.timeout.ms while others open or close. */
KAJA_API int kaja_store_open(const char *path, const struct kaja_conf *conf,
                             struct kaja_store **ret_store);

/* Closes the handle. Producers and consumers on it must be closed and batches of polls released
 * first. The last handle of all processes leaves the directory exactly as Kafka's orderly stop
 * does. NULL is allowed. Except for STATE the handle is gone, whatever is returned.
 * Errors: STATE (producers or consumers are open, or batches were not released: nothing happened),
 * KAFKA_STORAGE_ERROR, DISK_FULL. Threads: one, and none inside other calls. Blocks: for flushes. */
KAJA_API int kaja_store_close(struct kaja_store *store);

/* Does whatever work is due: background work when `kaja.background.threads=0`, else nothing.
 * Errors: those of the work. Threads: any. Blocks: for the work. */
KAJA_API int kaja_store_step(struct kaja_store *store);

/* When kaja_store_step() should be called next, CLOCK_MONOTONIC nanoseconds; INT64_MAX: nothing
 * is due. Errors: none. Threads: any. Blocks: no. */
KAJA_API int64_t kaja_store_next_deadline_ns(struct kaja_store *store);

enum kaja_event_kind {
    KAJA_EVENT_RECOVERED = 1,  /* a partition was recovered after an unclean stop */
    KAJA_EVENT_DAMAGE = 2,     /* damaged bytes were found and set aside, or refused */
    KAJA_EVENT_POISONED = 3,   /* a flush failed: the partition refuses appends */
    KAJA_EVENT_BACKGROUND = 4, /* background work failed and will be tried again */
    KAJA_EVENT_OFFSETS_MOVED = 5, /* committed offsets were moved back to a recovered end */
    KAJA_EVENT_DROPPED = 6     /* events were lost because the queue was full; offset = how many */
};

struct kaja_event {
    enum kaja_event_kind kind;
    int error;         /* a KAJA_ERR_ code, 0 if it is only news */
    const char *topic; /* NULL if it concerns no partition */
    int32_t partition; /* -1 likewise */
    int64_t offset;    /* first offset concerned, -1 if none */
    int64_t end_offset; /* offset behind the last concerned, -1 if none */
    const char *text;  /* one line for people */
};

/* Pointers inside the event are valid during the call. Must not call into kaja. */
typedef void kaja_event_callback(void *arg, const struct kaja_event *event);

/* Registers who hears events; runs only inside kaja_store_step(), polls, flushes and closes of the
 * application's own threads. NULL: nobody. Events wait in a bounded queue until then.
 * Errors: none. Threads: one. Blocks: no. */
KAJA_API void kaja_store_on_event(struct kaja_store *store, kaja_event_callback *callback, void *arg);

#ifdef __cplusplus
}
#endif
#endif
