/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/session.c - a handle's view of the control file. A writer has one for as long as it is
 * open: presence keeps the file in place. A read-only handle holds nothing, so it looks from time
 * to time:
 *
 *     somebody present, file there and ready   follow its words
 *     nobody present                           words of our own, logs up to their valid end
 *
 * and begins anew when the files say that the answer is another one. Logs of the old view may be in
 * use in other threads; they and the view are freed when the topic, or the store, goes.
 */
#include "store/internal.h"

#include <errno.h>
#include <xxhash.h>

int kj_shared_new(struct kj_store *store, struct kj_shared **ret_shared)
{
    struct kj_shared_options options = {.root_fd = store->io->root_fd,
                                        .lock_name = KJ_LOCK_NAME,
                                        .control_name = KJ_CONTROL_NAME,
                                        .read_only = store->options.read_only,
                                        .clock = store->clock,
                                        .step = store->options.shared_step,
                                        .step_arg = store->options.step_arg,
                                        .sim = store->options.shared_sim,
                                        .sim_arg = store->options.shared_sim_arg};
    int os = kj_shared_open(&options, ret_shared);
    return os == 0 ? 0 : kj_file_error(store->io, os, "opening", KJ_LOCK_NAME);
}

int kj_session_new(struct kj_store *store, struct kj_shared *shared, bool attached,
                   uint64_t identity, struct kj_session **ret_session)
{
    enum { WINDOW_MAX = 64 << 20 };
    struct kj_session *session = kj_alloc_zero(1, sizeof *session);
    if (session == NULL)
        return kj_err_oom("the store");
    int64_t window = store->options.prepare_max_bytes;
    session->shared = shared;
    session->attached = attached;
    session->identity = identity;
    session->env = (struct kj_log_env){
        .io = store->io,
        .shared = shared,
        .clock = store->clock,
        .files = store->files,
        .lock_timeout_ns = store->options.lock_timeout_ms < INT64_MAX / 1000000
                               ? store->options.lock_timeout_ms * 1000000
                               : INT64_MAX / 2,
        .prepare_window_max = window < WINDOW_MAX ? window : WINDOW_MAX,
        .producer_ids_max = store->options.producer_ids_max,
        .read_only = store->options.read_only,
        .fetch_copy = store->options.fetch_copy,
    };
    *ret_session = session;
    return 0;
}

void kj_sessions_free(struct kj_store *store)
{
    struct kj_session *session = atomic_load(&store->session);
    while (session != NULL) {
        struct kj_session *older = session->older;
        kj_shared_close(session->shared);
        kj_checkpoint_free(&session->recovery_points);
        kj_cleaned_free(&session->cleaned);
        kj_checkpoint_free(&session->log_starts);
        kj_free(session);
        session = older;
    }
    atomic_store(&store->session, NULL);
}

/* --- read-only --- */

static uint64_t mix_file(struct kj_store *store, const char *name, uint64_t hash)
{
    struct kj_io_stat stat = {0};
    if (kj_io_stat(store->io, name, &stat) != 0)
        stat = (struct kj_io_stat){0};
    int64_t words[3] = {(int64_t)stat.ino, stat.mtime_ms, stat.size};
    return XXH3_64bits_withSeed(words, sizeof words, hash);
}

/* Changes whenever somebody opened, closed or changed the catalog. */
static uint64_t look(struct kj_store *store)
{
    uint64_t hash = mix_file(store, KJ_MARKER_NAME, 0);
    hash = mix_file(store, KJ_CONTROL_NAME, hash);
    return mix_file(store, KJ_CATALOG_NAME, hash);
}

/* True if somebody is present and the control file is ready to be followed. */
static bool try_attach(struct kj_shared *shared, int *ret_err)
{
    *ret_err = 0;
    if (kj_shared_attach(shared) != 0)
        return false;
    int err = kj_control_check(shared);
    if (err == KAJA_ERR_LAYOUT_MISMATCH) {
        *ret_err = err;
        return false;
    }
    if (err != 0)
        kj_err_clear(); /* somebody is at building it */
    return err == 0 && kj_shared_load(shared, KJ_CONTROL_READY) == 1;
}

static int begin(struct kj_store *store, struct kj_session *old, uint64_t identity, bool live)
{
    struct kj_shared *shared;
    struct kj_session *session;
    KJ_TRY(kj_shared_new(store, &shared));
    int err = 0;
    bool attached = live && try_attach(shared, &err);
    /* Somebody is opening or leaving: what we have stays good for the moment. */
    if (err == 0 && live && !attached && old != NULL && !old->attached) {
        kj_shared_close(shared);
        return 0;
    }
    if (err == 0)
        err = kj_session_new(store, shared, attached, identity, &session);
    if (err != 0) {
        kj_shared_close(shared);
        return err;
    }
    session->older = old;
    atomic_store(&store->session, session);
    kj_store_release(&store->seen_generation, UINT64_MAX);
    return 0;
}

int kj_session_follow(struct kj_store *store)
{
    if (!store->options.read_only)
        return 0;
    kj_lock_acquire(&store->change_lock);
    struct kj_session *old = atomic_load(&store->session);
    int err = old == NULL ? 0 : kj_log_gone(old->shared, true);
    if (err != 0) {
        /* Nothing follows it. */
    } else if (old == NULL || !old->attached || !kj_shared_current(old->shared)) {
        uint64_t identity = look(store);
        bool live = false;
        if (old != NULL && kj_shared_look_gone(old->shared, true)) {
            err = kj_log_gone(old->shared, false);
        } else if (old != NULL) {
            live = kj_shared_lock_held(old->shared, KJ_LOCK_PRESENCE);
        } else {
            struct kj_shared *probe;
            err = kj_shared_new(store, &probe);
            live = err == 0 && kj_shared_lock_held(probe, KJ_LOCK_PRESENCE);
            if (err == 0)
                kj_shared_close(probe);
        }
        if (err == 0 && (old == NULL || old->attached || live || identity != old->identity))
            err = begin(store, old, identity, live);
    }
    kj_lock_release(&store->change_lock);
    return err;
}
