/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/metrics.c - numbers of one handle. Gauges that others keep are asked for when they are
 * read.
 */
#include "store/internal.h"

void kj_store_metric_add(struct kj_store *store, enum kj_metric metric, uint64_t n)
{
    kj_fetch_add_relaxed(&store->metrics[metric], n);
}

/* Handles whose byte is held: ours is not seen by our own look. */
static uint64_t live_handles(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    uint64_t live = store->options.read_only ? 0 : 1;
    uint64_t top = session->attached ? kj_shared_load(session->shared, KJ_CONTROL_HANDLES_TOP) : 0;
    for (uint64_t i = 0; i < top && i < KJ_HANDLES_MAX; i++)
        if (kj_shared_lock_held(session->shared, KJ_LOCK_HANDLES + i))
            live++;
    return live;
}

uint64_t kj_store_metric(struct kj_store *store, enum kj_metric metric)
{
    if (metric == KJ_METRIC_OPEN_FILES)
        return kj_file_cache_open_files(store->files);
    if (metric == KJ_METRIC_LIVE_HANDLES)
        return live_handles(store);
    return kj_load_relaxed(&store->metrics[metric]);
}
