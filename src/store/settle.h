/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/settle.h - the steps of a change of topics, shared by change.c (who begins one) and
 * settle.c (who finishes what others began). Catalog lock held, or alone with shared NULL: then
 * there are no words and nobody to tell. They change *catalog; the caller writes it.
 */
#ifndef KJ_STORE_SETTLE_H
#define KJ_STORE_SETTLE_H

#include "store/internal.h"

#include <stdio.h>

/* Makes partitions [partitions, target). */
int kj_settle_make(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                   struct kj_catalog_topic *topic);
/* Removes them again; a topic that never had others leaves the catalog. */
int kj_settle_undo(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                   struct kj_catalog_topic *topic);
/* Removes the topic and takes it out of the catalog. */
int kj_settle_remove(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                     struct kj_catalog_topic *topic);

/* Takes the catalog lock (wait false: LOCK_TIMED_OUT at once), reads the catalog and settles what
 * is pending. The catalog is the caller's to change, kj_change_commit() and kj_change_end(). */
int kj_change_begin(struct kj_store *store, bool wait, struct kj_catalog **ret_catalog);
/* Writes it and tells everybody. */
int kj_change_commit(struct kj_store *store, struct kj_catalog *catalog);
void kj_change_end(struct kj_store *store, struct kj_catalog *catalog);

/* This handle's log of a partition, or a spare one while none of its threads can load it: the
 * append lock between processes does not exclude them from each other. */
struct kj_borrowed {
    struct kj_partition *partition; /* NULL: the topic has no object here */
    struct kj_log *log;
    bool spare;
    struct kj_spare_log spare_log;
};
/* Not loaded. */
int kj_slot_borrow(struct kj_store *store, const struct kj_catalog *catalog,
                   const struct kj_catalog_topic *topic, int32_t partition,
                   struct kj_borrowed *ret_borrowed);
/* Loads a spare one. */
int kj_borrowed_load(struct kj_store *store, struct kj_borrowed *borrowed);
void kj_borrowed_return(struct kj_borrowed *borrowed);

#endif
