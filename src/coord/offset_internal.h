/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_internal.h - what the files of the offset store share: offset_store.c (partitions,
 * following the log, looking), offset_commit.c (writing), offset_expire.c.
 */
#ifndef KJ_COORD_OFFSET_INTERNAL_H
#define KJ_COORD_OFFSET_INTERNAL_H

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "coord/offset_map.h"
#include "coord/offset_store.h"

/* One partition of __consumer_offsets. */
struct kj_offset_part {
    struct kj_offset_store *offsets;
    int32_t number;
    struct kj_partition *_Atomic partition; /* NULL until somebody asks; the topic's */
    /* under the lock of the offset store */
    struct kj_offset_map map;
    struct kj_log_cursor cursor;
    int64_t next;         /* everything below is in the map; -1: begin at the log start */
    int64_t followed_ns;  /* when it was last brought up to the end; 0: never */
};

/* Memory of one commit, kept for the next. */
struct kj_offset_scratch {
    struct kj_offset_scratch *next;
    struct kj_buffer bytes; /* batches, behind each other */
    struct kj_buffer text;  /* key and value of one record */
    struct kj_append_batch *batches;
    size_t batch_count, batch_capacity;
    /* while encoding */
    struct kj_batch_writer writer; /* of the open batch */
    size_t used, chunk_bytes;
    bool open, durable;
};

struct kj_offset_store {
    struct kj_store *store;
    const struct kj_clock *clock;
    struct kj_offset_store_options options;
    struct kj_offset_groups groups;
    struct kj_store_task task;
    struct kj_topic *topic;               /* held; set once, with parts */
    struct kj_offset_part *_Atomic parts; /* NULL until the topic was found */
    int32_t part_count;                   /* set before parts */
    struct kj_lock lock;                  /* OFFSETS: the maps */
    struct kj_lock scratch_lock;          /* LEAF */
    struct kj_offset_scratch *scratches;  /* unused ones */
    kj_atomic_u64 flush_wanted;           /* 1: the task shall flush */
    kj_atomic_u64 next_expire_ns;         /* 0: nothing was used yet */
};

/* One for a single call, without a task. Closed as others are. */
int kj_offset_store_new(struct kj_store *store, const struct kj_offset_store_options *options,
                        struct kj_offset_store **ret_offsets);
/* The part of a group, its partition loaded; *ret_part NULL: no topic and create is false. */
int kj_offset_part(struct kj_offset_store *offsets, const char *group_id, bool create,
                   struct kj_offset_part **ret_part);
/* The topic's parts, none loaded. *ret_found false: there is none, and create is false. */
int kj_offset_parts(struct kj_offset_store *offsets, bool create, bool *ret_found);
int kj_offset_part_load(struct kj_offset_part *part);
/* Reads on to the end of the log. OFFSETS lock held. */
int kj_offset_follow(struct kj_offset_part *part);

/* --- writing (offset_commit.c) --- */
struct kj_offset_scratch *kj_offset_scratch_take(struct kj_offset_store *offsets,
                                                 struct kj_offset_part *part, bool durable);
void kj_offset_scratch_give(struct kj_offset_store *offsets, struct kj_offset_scratch *scratch);
void kj_offset_scratch_free(struct kj_offset_scratch *scratch);
/* value NULL: a tombstone. */
int kj_offset_scratch_add(struct kj_offset_scratch *scratch, int64_t now_ms, const uint8_t *key,
                          size_t key_bytes, const uint8_t *value, size_t value_bytes);
/* Closes the last batch. Nothing may be added afterwards. */
int kj_offset_scratch_finish(struct kj_offset_scratch *scratch);
/* Appends what was added and finished. Append lock held. */
int kj_offset_scratch_append(struct kj_offset_scratch *scratch, struct kj_offset_part *part,
                             struct kj_offset_ticket *ret_ticket);

#endif
