/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export_internal.h - what the files of the export share: export.c drives and refuses,
 * export_place.c moves directories, export_offsets.c writes __consumer_offsets anew.
 */
#ifndef KJ_STORE_EXPORT_INTERNAL_H
#define KJ_STORE_EXPORT_INTERNAL_H

#include "log/export.h"
#include "store/export.h"
#include "store/internal.h"

/* One partition of the target. */
struct kj_export_item {
    char topic[KJ_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t start, end;
    struct kj_producers *open; /* with open transactions at the end; NULL: none */
    bool holds;  /* records are there: they must be the same */
    bool copied; /* its copy is made, by this export */
    enum kj_export_how how;
    struct kj_export_counts counts;
};

struct kj_export_items {
    struct kj_export_item *items;
    size_t count, capacity;
};

enum { KJ_EXPORT_CHECKPOINTS = 4 };

struct kj_export {
    struct kj_export_options options;
    struct kj_io *source, *target;
    struct kj_shared *door;          /* of the source, while it is held */
    struct kj_shared *source_broker; /* the source's .lock */
    struct kj_shared *target_broker;
    bool made_lock;            /* the target's .lock was not there */
    struct kj_io *source_lock; /* to remove the source's .lock, which was not there; or NULL */
    struct kj_store *store;
    struct kj_export_items items;
    struct kj_checkpoint checkpoints[KJ_EXPORT_CHECKPOINTS];
    struct kj_export_result result;
};

int kj_export_add_item(struct kj_export *export, const char *topic, int32_t partition,
                       struct kj_export_item **ret_item);
/* Every partition of a topic of the source, one after the other. */
typedef int kj_export_log_fn(struct kj_export *export, const char *topic, int32_t partition,
                             struct kj_log *log, void *arg);
int kj_export_each_log(struct kj_export *export, const char *topic, kj_export_log_fn *each,
                       void *arg);

/* --- export_place.c --- */

/* Names of its directories; false: too long. */
struct kj_export_names {
    char dir[KJ_DIR_NAME_MAX + 1];
    char copy[KJ_DIR_NAME_MAX + 1];
    char old[KJ_DIR_NAME_MAX + 1];
};
void kj_export_names(const char *topic, int32_t partition, struct kj_export_names *ret_names);
/* Clears away what an interrupted export left of the topic, and counts its partitions. */
int kj_export_settle(struct kj_export *export, const char *topic, int32_t *ret_partitions);
/* May records be put there? Sets item->holds. NOT_KAJA. */
int kj_export_check_place(struct kj_export *export, struct kj_export_item *item);
/* CONFLICT: what it holds is not what it would get. */
int kj_export_conflict(struct kj_export *export, const struct kj_export_item *item);
/* The item's copy takes its place, unless the same is there already. */
int kj_export_place(struct kj_export *export, struct kj_export_item *item);
/* The copy of an item that was not placed goes. */
void kj_export_drop(struct kj_export *export, struct kj_export_item *item);

/* --- export_offsets.c --- */

/* Writes the copies of the target's partitions [0, partitions) that get records, and adds an item
 * for each. */
int kj_export_offsets(struct kj_export *export, int32_t partitions);

#endif
