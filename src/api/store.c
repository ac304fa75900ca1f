/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/store.c - kaja/store.h: checks, then calls down.
 */
#include "api/conf.h"
#include "api/handles.h"

#include "base/alloc.h"
#include "base/err.h"

/* What there is of groups. Closes the store if it cannot. */
static int open_groups(struct kaja_store *store)
{
    struct kj_offset_store_options options;
    struct kj_groups_options groups;
    struct kj_err_saved why;
    int err = kj_conf_group_options(store->store, &options, &groups);
    if (err == 0)
        err = kj_offset_store_open(store->store, &options, &store->offsets);
    if (err == 0)
        err = kj_groups_open(store->store, store->offsets, &groups, &store->groups);
    if (err == 0)
        return 0;
    kj_err_save(err, &why);
    kj_offset_store_close(store->offsets);
    (void)kj_store_close(store->store); /* the error that came first is told */
    return kj_err_restore(&why);
}

int kaja_store_open(const char *path, const struct kaja_conf *conf, struct kaja_store **ret_store)
{
    if (path == NULL || path[0] == '\0' || ret_store == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_store_open: %s",
                      ret_store == NULL ? "ret_store is NULL" : "the path is empty");
    KJ_TRY(kj_conf_check(conf));
    struct kj_store_options options;
    KJ_TRY(kj_conf_store_options(conf, path, &options));
    int err = 0;
    struct kaja_store *store = kj_alloc_zero(1, sizeof *store);
    if (store == NULL)
        err = kj_err_oom("a store");
    else
        err = kj_store_open(&options, &store->store);
    int64_t memory_max = options.memory_max;
    kj_conf_store_options_free(&options);
    if (err == 0)
        err = open_groups(store);
    if (err != 0) {
        kj_free(store);
        return err;
    }
    store->magic = KJ_MAGIC_STORE;
    store->memory_max = memory_max;
    *ret_store = store;
    return 0;
}

int kaja_store_close(struct kaja_store *store)
{
    if (store == NULL)
        return 0;
    KJ_TRY(kj_handle_check(store, KJ_MAGIC_STORE, "store"));
    /* In a child of fork() producers and consumers cannot be closed: they end with the process. */
    bool forked = kj_store_check_forked(store->store) != 0;
    uint64_t clients = kj_load_acquire(&store->clients);
    if (clients != 0 && !forked)
        return kj_err(KAJA_ERR_STATE,
                      "%llu producers or consumers are open on this store: close them first",
                      (unsigned long long)clients);
    /* They pin segments; what they point to would be gone. */
    uint64_t batches = kj_load_acquire(&store->batches);
    if (batches != 0 && !forked)
        return kj_err(KAJA_ERR_STATE, "%llu batches of polls were not released",
                      (unsigned long long)batches);
    if (!forked) {
        kj_handle_serve_events(store);
    }
    if (!forked) { /* else they are the parent's, and go with the process */
        kj_groups_close(store->groups);
        kj_offset_store_close(store->offsets);
    }
    int err = kj_store_close(store->store);
    store->magic = KJ_MAGIC_CLOSED;
    kj_free(store);
    return err;
}

int kaja_store_step(struct kaja_store *store)
{
    KJ_TRY(kj_handle_check(store, KJ_MAGIC_STORE, "store"));
    KJ_TRY(kj_store_check_forked(store->store));
    int err = kj_store_step(store->store);
    kj_handle_serve_events(store); /* also those that say why it fails */
    return err;
}

int64_t kaja_store_next_deadline_ns(struct kaja_store *store)
{
    return kj_handle_store(store) == 0 ? kj_store_next_deadline_ns(store->store) : INT64_MAX;
}

void kaja_store_on_event(struct kaja_store *store, kaja_event_callback *callback, void *arg)
{
    if (kj_handle_check(store, KJ_MAGIC_STORE, "store") != 0 ||
        kj_store_check_forked(store->store) != 0)
        return;
    store->event_arg = arg;
    store->event_callback = callback;
}
