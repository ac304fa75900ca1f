/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/shared.h - what the processes of one directory share: 64-bit words of a mapped control file,
 * locks that die with their owner, and sleeping until a word changes.
 *
 * A kj_shared belongs to one store handle, which counts as one process. Two handles in one process
 * are two processes here (each opens the lock file itself, so their OFD locks exclude each other).
 *
 * Words. The file is an array of 64-bit words, grown in chunks of KJ_SHARED_CHUNK_WORDS that are
 * allocated on disk before they are mapped and never move: a word's address stays valid until
 * kj_shared_close(). A word beyond the mapped part is mapped at need by kj_shared_reach(), which
 * must have succeeded before a word is touched. Nothing in a word is believed: callers check.
 * The file is scratch: it is made anew whenever nobody is present.
 *
 * Locks are OFD byte ranges on the lock file, exclusive or shared, one byte each, numbered. The
 * kernel drops them when the last descriptor of their owner goes. They do not exclude threads of
 * one handle from each other: callers hold a mutex around them.
 *
 * Fork: a pthread_atfork child handler closes the inherited lock descriptors (or a forked child
 * would keep a dead parent's locks) and a MADV_WIPEONFORK word makes kj_shared_forked() true.
 *
 * Every function is a yield and kill point of the simulation: step is called first, with what is
 * about to happen. In production step is NULL and loads and stores are plain instructions.
 */
#ifndef KJ_OS_SHARED_H
#define KJ_OS_SHARED_H

#include "base/atomic.h"
#include "os/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KJ_SHARED_CHUNK_WORDS = 8192, /* 64 KiB */
    KJ_SHARED_CHUNKS_MAX = 4096,  /* 256 MiB of words: 400,000 partitions */
    KJ_SHARED_WAIT_MAX = 127      /* words one kj_shared_wait() may watch: the kernel's 128 - 1 */
};

typedef uint32_t kj_word; /* index of a word in the control file */

enum kj_shared_step {
    KJ_STEP_LOAD,
    KJ_STEP_STORE,
    KJ_STEP_CAS,
    KJ_STEP_ADD,
    KJ_STEP_LOCK,
    KJ_STEP_UNLOCK,
    KJ_STEP_WAIT,
    KJ_STEP_WAKE,
    KJ_STEP_POINT /* kj_shared_point(): a named step of a larger change */
};

/* name: only for KJ_STEP_POINT, else NULL. number: word or lock number. */
typedef void kj_shared_step_fn(void *arg, enum kj_shared_step step, uint64_t number,
                               const char *name);

struct kj_shared;

/* The simulated twin: takes over the control file, locks and sleeping; words are ordinary memory.
 * The control file is whatever the simulation likes, in chunks as the real one. A handle releases
 * each file that it made or found. owner tells handles apart. */
struct kj_shared_sim_ops {
    int (*make)(void *arg, size_t chunks, void **ret_file); /* zeroed, not yet named */
    int (*publish)(void *arg, void *file);                  /* gives it the control file's name */
    int (*find)(void *arg, void **ret_file);                /* ENOENT */
    void (*release)(void *arg, void *file);
    int (*remove)(void *arg);
    bool (*current)(void *arg, const void *file);
    int (*grow)(void *arg, void *file, size_t chunks); /* to at least so many; ENOSPC */
    size_t (*chunks)(void *arg, const void *file);
    kj_atomic_u64 *(*chunk)(void *arg, void *file, size_t number);
    int (*try_lock)(void *arg, const struct kj_shared *owner, uint64_t lock, int mode);
    void (*unlock)(void *arg, const struct kj_shared *owner, uint64_t lock);
    bool (*held)(void *arg, const struct kj_shared *owner, uint64_t lock); /* by another */
    void (*drop)(void *arg, const struct kj_shared *owner);                /* every lock of it */
    /* Lets others go on until something may have changed: 0; ETIMEDOUT once the deadline passed. */
    int (*pause)(void *arg, struct kj_shared *shared, int64_t deadline_ns);
    void (*wake)(void *arg, struct kj_shared *shared, kj_word word);
};

struct kj_shared_options {
    int root_fd;              /* directory that holds both files (kj_io.root_fd); -1 with sim */
    const char *lock_name;    /* "kaja.lock": made if missing, never deleted */
    const char *control_name; /* "kaja.control"; NULL: locks only (a broker's ".lock") */
    bool read_only;           /* takes no lock, maps read-only, never waits on a lock */
    const struct kj_clock *clock;
    kj_shared_step_fn *step;
    void *step_arg;
    const struct kj_shared_sim_ops *sim;
    void *sim_arg;
};

struct kj_shared {
    kj_shared_step_fn *step;
    void *step_arg;
    kj_atomic_u64 gone; /* 1: kj_shared_look_gone() found it so */
    kj_atomic_u64 *_Atomic chunks[KJ_SHARED_CHUNKS_MAX];
};

/* Opens (makes) the lock file; words are not there yet. A read-only handle does not need it to be
 * there. 0 or errno. ENOLCK, EACCES, ELOOP or EINVAL (a link, not a regular file), ... */
int kj_shared_open(const struct kj_shared_options *options, struct kj_shared **ret_shared);
/* Unmaps everything and drops every lock. */
void kj_shared_close(struct kj_shared *shared);
/* True in a child of fork(): nothing of this handle may be used but kj_shared_close(). */
bool kj_shared_forked(const struct kj_shared *shared);
/* False if the lock file's name leads elsewhere than to the file whose locks we take (deleted,
 * replaced): others would not see our locks. */
bool kj_shared_lock_current(struct kj_shared *shared);
/* True if the directory was removed while it is open here: the lock file has no name any more. One
 * fstat(). names: or if its name, or that of the lock file, leads to another one by now; three
 * more. A directory that was only moved is still the one of all who have it open. True for good
 * once it was. */
bool kj_shared_look_gone(struct kj_shared *shared, bool names);
/* What the last look found. */
static inline bool kj_shared_gone(const struct kj_shared *shared)
{
    return kj_load_relaxed(&shared->gone) != 0;
}

/* --- the control file --- */

/* Makes a new zeroed control file of at least words words under a temporary name ("<control>.new"),
 * maps it, lets fill write the header, and renames it into place. The caller holds presence
 * exclusively. EBUSY: this handle has one mapped already; EROFS. After a failure the handle has
 * none. */
int kj_shared_build(struct kj_shared *shared, uint32_t words,
                    void (*fill)(struct kj_shared *shared, void *arg), void *arg);
/* Maps the control file that is there. ENOENT, EINVAL (not a multiple of a chunk, empty, a link),
 * EBUSY. */
int kj_shared_attach(struct kj_shared *shared);
/* Removes the control file. */
int kj_shared_remove(struct kj_shared *shared);
/* True if the file under the control name is still the one that is mapped (inode compared). */
bool kj_shared_current(struct kj_shared *shared);
/* Makes words [0, words) usable, growing the file (allocated, zeroed) where it is shorter. 0,
 * ENOSPC (beyond KJ_SHARED_CHUNKS_MAX too), EFBIG; EROFS: a read-only handle, and the file is
 * shorter. Any thread. */
int kj_shared_reach(struct kj_shared *shared, uint32_t words);
/* Number of words that are mapped now. */
uint32_t kj_shared_words(const struct kj_shared *shared);

static inline kj_atomic_u64 *kj_shared_at(struct kj_shared *shared, kj_word word)
{
    /* Relaxed suffices: kj_shared_reach() of this process came before, under its mutex. */
    kj_atomic_u64 *chunk =
        atomic_load_explicit(&shared->chunks[word / KJ_SHARED_CHUNK_WORDS], memory_order_relaxed);
    return chunk + word % KJ_SHARED_CHUNK_WORDS;
}

static inline void kj_shared_stepped(struct kj_shared *shared, enum kj_shared_step step,
                                     uint64_t number)
{
    if (__builtin_expect(shared->step != NULL, 0))
        shared->step(shared->step_arg, step, number, NULL);
}

/* Acquire: what was stored before the release store of the value seen is seen too. */
static inline uint64_t kj_shared_load(struct kj_shared *shared, kj_word word)
{
    kj_shared_stepped(shared, KJ_STEP_LOAD, word);
    return kj_load_acquire(kj_shared_at(shared, word));
}

/* Release. */
static inline void kj_shared_store(struct kj_shared *shared, kj_word word, uint64_t value)
{
    kj_shared_stepped(shared, KJ_STEP_STORE, word);
    kj_store_release(kj_shared_at(shared, word), value);
}

static inline bool kj_shared_cas(struct kj_shared *shared, kj_word word, uint64_t *expected,
                                 uint64_t value)
{
    kj_shared_stepped(shared, KJ_STEP_CAS, word);
    return kj_cas(kj_shared_at(shared, word), expected, value);
}

/* Raises a monotone word to at least value. */
static inline void kj_shared_raise(struct kj_shared *shared, kj_word word, uint64_t value)
{
    kj_shared_stepped(shared, KJ_STEP_CAS, word);
    uint64_t seen = kj_load_acquire(kj_shared_at(shared, word));
    while ((int64_t)seen < (int64_t)value && !kj_cas(kj_shared_at(shared, word), &seen, value))
        ;
}

static inline uint64_t kj_shared_add(struct kj_shared *shared, kj_word word, uint64_t value)
{
    kj_shared_stepped(shared, KJ_STEP_ADD, word);
    return kj_fetch_add(kj_shared_at(shared, word), value);
}

/* A named kill point between the steps of a larger change; free in production. */
static inline void kj_shared_point(struct kj_shared *shared, const char *name)
{
    if (__builtin_expect(shared->step != NULL, 0))
        shared->step(shared->step_arg, KJ_STEP_POINT, 0, name);
}

/* --- locks --- */

enum kj_lock_mode { KJ_LOCK_SHARED = 1, KJ_LOCK_EXCLUSIVE = 2 };

/* 0, EAGAIN (held by another), ENOLCK, EROFS (read-only handle). Taking a lock that this handle
 * holds converts its mode. */
int kj_shared_try_lock(struct kj_shared *shared, uint64_t lock, enum kj_lock_mode mode);
/* Tries, spins briefly, then sleeps on the waiter word (rounds of at most 10 ms) until deadline_ns
 * (CLOCK_MONOTONIC). waiters: a reached word, changed only here and by kj_shared_unlock(): in its
 * low half a number that each unlock with sleepers raises, in its high half the sleepers (too many
 * if some died: that costs wakes); or UINT32_MAX: naps instead. 0, EAGAIN at the deadline, EROFS,
 * ENOLCK. */
int kj_shared_lock(struct kj_shared *shared, uint64_t lock, enum kj_lock_mode mode, kj_word waiters,
                   int64_t deadline_ns);
void kj_shared_unlock(struct kj_shared *shared, uint64_t lock, kj_word waiters);
/* True if another handle holds it (F_OFD_GETLK); works for read-only handles. */
bool kj_shared_lock_held(struct kj_shared *shared, uint64_t lock);

/* --- sleeping until a word changes --- */

/* Sleeps until the low 32 bits of one of the words differ from expected[i], a wake, a signal, or
 * the deadline; may wake for no reason. Words: a counter in the low half and the number of sleepers
 * in the high half is the caller's convention (store/waiters). count <= KJ_SHARED_WAIT_MAX. Uses
 * futex_waitv, or rounds of FUTEX_WAIT on the first word where that is missing. extra: an int
 * of this process that ends the wait too when it is not extra_expected (NULL: none): wakeups. 0 or
 * ETIMEDOUT. */
int kj_shared_wait(struct kj_shared *shared, const kj_word *words, const uint32_t *expected,
                   size_t count, _Atomic uint32_t *extra, uint32_t extra_expected,
                   int64_t deadline_ns);
/* Wakes everybody who sleeps on the word's low half. */
void kj_shared_wake(struct kj_shared *shared, kj_word word);
/* Wakes those who sleep on an `extra` of this process. Async-signal-safe. */
void kj_shared_wake_extra(_Atomic uint32_t *extra);

/* The kernel's boot id, 16 bytes folded into 64 bits: words of another boot are not believed. 0
 * where it cannot be read. */
uint64_t kj_shared_boot_id(void);

#endif
