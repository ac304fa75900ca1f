/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/internal.h"

bool kj_partition_live(struct kj_partition *partition)
{
    struct kj_store *store = partition->topic->store;
    kj_lock_acquire(&store->lock);
    bool live =
        partition->session != NULL && partition->session->attached && !partition->private_words;
    kj_lock_release(&store->lock);
    return live;
}
