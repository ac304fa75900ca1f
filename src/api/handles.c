/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/handles.h"

#include "api/conf.h"

#include <string.h>

int kj_handle_check(const void *handle, uint32_t magic, const char *what)
{
    uint32_t found = 0;
    if (handle == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "the %s is NULL", what);
    memcpy(&found, handle, sizeof found);
    if (found == magic)
        return 0;
    if (found == KJ_MAGIC_CLOSED)
        return kj_err(KAJA_ERR_INVALID_ARG, "the %s was closed", what);
    return kj_err(KAJA_ERR_INVALID_ARG, "this is no %s", what);
}

int kj_handle_store(struct kaja_store *store)
{
    KJ_TRY(kj_handle_check(store, KJ_MAGIC_STORE, "store"));
    return kj_store_check_now(store->store);
}

int kj_handle_open_path(const char *path, bool read_only, struct kj_store **ret_store)
{
    struct kj_store_options options;
    KJ_TRY(kj_conf_store_options(NULL, path, &options));
    options.read_only = read_only;
    options.create = false;
    options.allow_any_fs = read_only;
    options.background_threads = 0;
    int err = kj_store_open(&options, ret_store);
    kj_conf_store_options_free(&options);
    return err;
}

void kj_handle_client_opened(struct kaja_store *store)
{
    kj_fetch_add(&store->clients, 1);
}

void kj_handle_client_closed(struct kaja_store *store)
{
    kj_fetch_add(&store->clients, UINT64_MAX); /* minus one */
}

/* Others may add events as fast as they are delivered. */
enum { EVENTS_AT_ONCE = 10000 };

static void deliver(struct kaja_store *store, const struct kj_event *event)
{
    const struct kaja_event out = {
        .kind = (enum kaja_event_kind)event->kind,
        .error = event->error,
        .topic = event->topic[0] != '\0' ? event->topic : NULL,
        .partition = event->partition,
        .offset = event->offset,
        .end_offset = event->end_offset,
        .text = event->text,
    };
    store->event_callback(store->event_arg, &out);
}

void kj_handle_serve_events(struct kaja_store *store)
{
    if (store->event_callback == NULL)
        return;
    /* Pairs with the store at the end, of whoever served before: what the callback did then is seen
     * by the callback now. Whoever finds it taken leaves the events to that thread. */
    uint64_t idle = 0;
    if (!kj_cas(&store->serving, &idle, 1))
        return;
    struct kj_event event;
    for (int i = 0; i < EVENTS_AT_ONCE && kj_store_event_take(store->store, &event); i++)
        deliver(store, &event);
    kj_store_release(&store->serving, 0);
}
