/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/store.c - a handle's life: opening, closing, stepping.
 */
#include "store/internal.h"

#include "os/limits.h"

#include <errno.h>
#include <string.h>

/* Handles closed in a child of fork(). Threads of the parent may have held any lock when it forked,
 * so nothing that needs one can be freed there; it stays reachable here. The child is one thread as
 * long as it touches handles that are not its own. */
static struct kj_store *abandoned;

/* --- making and freeing --- */

static size_t files_max(const struct kj_store_options *options)
{
    enum { MOST = 4096, LEAST = 16 };
    if (options->fd_max > 0)
        return options->fd_max;
    size_t half = kj_limit_files() / 2;
    return half > MOST ? MOST : half < LEAST ? LEAST : half;
}

static size_t maps_max(const struct kj_store_options *options)
{
    enum { MOST = 16384 };
    if (options->map_max > 0)
        return options->map_max;
    size_t quarter = kj_limit_maps() / 4;
    return quarter > MOST ? MOST : quarter;
}

/* NULL: out of memory. */
static struct kj_store *store_new(const struct kj_store_options *options)
{
    struct kj_store *store = kj_alloc_zero(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->options = *options;
    store->clock = options->clock != NULL ? options->clock : &kj_clock_system;
    if (options->read_only)
        store->options.background_threads = 0;
    store->io = options->io;
    kj_lock_init(&store->change_lock, KJ_RANK_CATALOG);
    kj_lock_init(&store->lock, KJ_RANK_STORE);
    kj_cond_init(&store->cond);
    kj_lock_init(&store->work_lock, KJ_RANK_LEAF);
    kj_flusher_init(&store->flusher);
    kj_events_init(&store->events, options->event_queue_max);
    kj_store_release(&store->seen_generation, UINT64_MAX);
    return store;
}

static void store_free(struct kj_store *store)
{
    kj_worker_stop(store->worker);
    kj_cleaner_free(&store->cleaner);
    kj_topics_free(store);
    kj_catalog_release(store->retain_catalog);
    kj_catalog_release(store->catalog);
    kj_sessions_free(store);
    kj_file_cache_free(store->files);
    kj_shared_close(store->broker);
    if (store->io != NULL)
        kj_io_destroy(store->io);
    kj_events_destroy(&store->events);
    kj_flusher_destroy(&store->flusher);
    kj_lock_destroy(&store->work_lock);
    kj_cond_destroy(&store->cond);
    kj_lock_destroy(&store->lock);
    kj_lock_destroy(&store->change_lock);
    kj_free(store);
}

/* --- looking at the directory --- */

static int open_root(struct kj_store *store)
{
    const struct kj_store_options *options = &store->options;
    if (store->io != NULL)
        return 0;
    struct kj_io_options io = {.root = options->path,
                               .backend = options->backend,
                               .create = options->create && !options->read_only,
                               .read_only = options->read_only,
                               .helper_threads = options->flush_threads,
                               .step = options->io_step,
                               .step_arg = options->step_arg};
    int os = kj_io_create(&io, &store->io);
    if (os == ENOENT && io.create)
        return kj_err(KAJA_ERR_NO_DIRECTORY,
                      "%s cannot be made: %s (the directory above it must be there already)",
                      options->path, strerror(os));
    if (os == ENOENT)
        return kj_err(KAJA_ERR_NO_DIRECTORY, "there is no kaja directory at %s", options->path);
    if (os == ENOTDIR)
        return kj_err(KAJA_ERR_NOT_KAJA, "%s is not a directory", options->path);
    if ((os == ENOSYS || os == EPERM) && options->backend == KJ_IO_URING)
        return kj_err(
            KAJA_ERR_INVALID_CONFIG,
            "kaja.io.backend asks for io_uring, which this system refuses; use auto or posix");
    return os == 0 ? 0 : kj_err_os(os, "opening %s", options->path);
}

static int check_root(struct kj_store *store)
{
    const struct kj_store_options *options = &store->options;
    struct kj_io_fs fs;
    bool ours;
    int os = kj_io_fs(store->io, &fs);
    if (os != 0)
        return kj_err_os(os, "looking at the file system of %s", options->path);
    if (fs.remote && !options->allow_any_fs)
        return kj_err(
            KAJA_ERR_NETWORK_FILE_SYSTEM,
            "%s lies on %s: locks and maps of a network or FUSE file system are not reliable "
            "(kaja.fs.allow=true opens it all the same)",
            options->path, fs.name);
    if (fs.read_only && !options->read_only)
        return kj_err(KAJA_ERR_READ_ONLY,
                      "%s lies on a read-only file system: open it with kaja.read.only=true",
                      options->path);
    if (options->create && !options->read_only)
        return 0;
    KJ_TRY(kj_looks_like_ours(store->io, &ours));
    if (!ours)
        return kj_err(KAJA_ERR_NO_DIRECTORY,
                      "there is no kaja directory at %s: no catalog, no partition", options->path);
    return 0;
}

/* --- the worker --- */

static int64_t work(void *arg)
{
    struct kj_store *store = arg;
    kj_watches_mark(store);
    return kj_store_run(store);
}

static int start_worker(struct kj_store *store)
{
    if (store->options.background_threads == 0)
        return 0;
    int os = kj_worker_start_with("kaja-worker", store->clock, work, kj_watches_sleep, store,
                                  &store->worker);
    return os == 0 ? 0 : kj_err(KAJA_ERR_CRIT_SYS_RESOURCE, "starting a thread: %s", strerror(os));
}

void kj_store_poke(struct kj_store *store)
{
    if (store->worker != NULL)
        kj_worker_poke(store->worker);
    else
        kj_store_release(&store->deadline_ns, 0);
}

bool kj_store_read_only(const struct kj_store *store)
{
    return store->options.read_only;
}

bool kj_store_has_worker(const struct kj_store *store)
{
    return store->options.background_threads > 0;
}

int kj_store_step(struct kj_store *store)
{
    KJ_TRY(kj_store_check(store));
    if (!kj_store_has_worker(store))
        (void)kj_store_run(store); /* errors are events */
    return 0;
}

int64_t kj_store_next_deadline_ns(struct kj_store *store)
{
    return kj_store_has_worker(store) ? INT64_MAX : (int64_t)kj_load_acquire(&store->deadline_ns);
}

static void wake_after_flush(void *arg, uint32_t slot_number)
{
    struct kj_store *store = arg;
    kj_wake_readers(store, slot_number);
}

static void poke(void *arg)
{
    struct kj_store *store = arg;
    kj_store_poke(store);
}

/* --- opening --- */

static int open_store(struct kj_store *store)
{
    if (store->options.path == NULL || store->options.path[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_ARG, "the directory's path is empty");
    KJ_TRY(open_root(store));
    KJ_TRY(check_root(store));
    store->files_max = files_max(&store->options);
    KJ_TRY(kj_file_cache_new(store->files_max, maps_max(&store->options), &store->files));
    struct kj_file_cache_calls calls = {.arg = store, .flushed = wake_after_flush, .full = poke};
    kj_file_cache_listen(store->files, &calls);
    if (store->options.read_only) {
        KJ_TRY(kj_session_follow(store));
        KJ_TRY(kj_store_sync(store));
        struct kj_catalog *catalog = kj_store_catalog(store);
        int err = kj_directory_compare(store, catalog);
        kj_catalog_release(catalog);
        return err;
    }
    KJ_TRY(kj_door_enter(store));
    int err = start_worker(store);
    if (err == 0)
        return 0;
    struct kj_err_saved why;
    kj_err_save(err, &why);
    (void)kj_door_leave(store); /* the first error is the one to tell */
    return kj_err_restore(&why);
}

int kj_store_open(const struct kj_store_options *options, struct kj_store **ret_store)
{
    struct kj_store *store = store_new(options);
    if (store == NULL) {
        if (options->io != NULL)
            kj_io_destroy(options->io); /* taken over in any case */
        return kj_err_oom("a store");
    }
    int err = open_store(store);
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        store_free(store);
        return kj_err_restore(&why);
    }
    /* The caller's memory; nothing looks at them any more. */
    store->options.path = NULL;
    store->options.directory = NULL;
    store->options.directory_count = 0;
    *ret_store = store;
    return 0;
}

int kj_store_check_forked(struct kj_store *store)
{
    if (kj_shared_forked(kj_shared_of(store)))
        return kj_err(KAJA_ERR_FORKED, "the store was opened before fork(): the child opens one of "
                                       "its own, kaja_store_close() frees this");
    return 0;
}

int kj_store_check(struct kj_store *store)
{
    KJ_TRY(kj_store_check_forked(store));
    return kj_store_gone(store) ? kj_log_gone(kj_shared_of(store), false) : 0;
}

int kj_store_check_now(struct kj_store *store)
{
    KJ_TRY(kj_store_check_forked(store));
    return kj_log_gone(kj_shared_of(store), true);
}

bool kj_store_gone(struct kj_store *store)
{
    return kj_shared_gone(kj_shared_of(store));
}

/* --- closing --- */

static void abandon(struct kj_store *store)
{
    for (struct kj_session *session = atomic_load(&store->session); session != NULL;
         session = session->older)
        kj_shared_close(session->shared);
    if (store->broker != NULL)
        kj_shared_close(store->broker);
    kj_io_destroy(store->io);
    store->abandoned_next = abandoned;
    abandoned = store;
}

/* Work that nobody does any more holds topics. */
static void drop_queue(struct kj_store *store)
{
    while (store->work_first != NULL) {
        struct kj_partition *partition = store->work_first;
        store->work_first = partition->work_next;
        kj_topic_release(partition->topic);
    }
}

int kj_store_close(struct kj_store *store)
{
    if (store == NULL)
        return 0;
    if (kj_shared_forked(kj_shared_of(store))) {
        abandon(store);
        return 0;
    }
    KJ_ASSERT(store->tasks == NULL);
    kj_worker_stop(store->worker);
    store->worker = NULL;
    drop_queue(store);
    kj_cleaner_stop(store);
    int err = store->options.read_only ? 0 : kj_door_leave(store);
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    store_free(store);
    return err == 0 ? 0 : kj_err_restore(&why);
}

const struct kj_clock *kj_store_clock(struct kj_store *store)
{
    return store->clock;
}

struct kj_io *kj_store_io(struct kj_store *store)
{
    return store->io;
}
