/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_store.h - committed offsets: the records of __consumer_offsets, and what the
 * newest of each key says. A store handle has one; nothing is told between processes, each follows
 * the log.
 *
 *     commit   encode all offsets of the call in one batch -> append lock of the group's partition
 *              -> check (member, generation) -> append -> unlock -> flush, shared by all who wait
 *     fetch    read on from where this handle was to the end of the log, then look into the map
 *
 * A fetch sees every commit that was appended before it, whoever made it, flushed or not: who takes
 * a partition over must not begin before what its last owner committed.
 *
 * Kafka: OffsetMetadataManager, GroupMetadataManager.
 */
#ifndef KJ_COORD_OFFSET_STORE_H
#define KJ_COORD_OFFSET_STORE_H

#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_offset_store_options {
    int32_t partition_count;     /* offsets.topic.num.partitions: when the topic is made */
    int64_t segment_bytes;       /* offsets.topic.segment.bytes: the same */
    int64_t metadata_units_max;  /* offset.metadata.max.bytes: counts UTF-16 units, as in Kafka */
    int64_t retention_minutes;   /* offsets.retention.minutes */
    int64_t check_interval_ms;   /* offsets.retention.check.interval.ms */
};
void kj_offset_store_options_defaults(struct kj_offset_store_options *options);

struct kj_offset_store;

/* INVALID_GROUP_ID: empty, or longer than its record can say. */
int kj_offset_group_check(const char *group_id);

/* Looks at nothing yet; registers a task with the store (flushes of asynchronous commits, expiry
 * once it was used). OUT_OF_MEMORY. */
int kj_offset_store_open(struct kj_store *store, const struct kj_offset_store_options *options,
                         struct kj_offset_store **ret_offsets);
/* Every wait has ended. NULL is fine. */
void kj_offset_store_close(struct kj_offset_store *offsets);

/* Who knows which groups have members (coord/group.h). Called with the append lock of the group's
 * partition held; subscribes() with the lock of the map too, so it takes none below OFFSETS and
 * calls nothing of the offset store. Nobody: no group has any. Set before the first use. */
struct kj_offset_groups {
    bool (*has_members)(void *arg, const char *group_id);
    bool (*subscribes)(void *arg, const char *group_id, const char *topic);
    /* Before a round of expiry, without any lock: takes out members that died without a word. */
    void (*sweep)(void *arg);
    void *arg;
};
void kj_offset_store_set_groups(struct kj_offset_store *offsets,
                                const struct kj_offset_groups *groups);

/* Of a group's records; *ret_partition NULL: there is no __consumer_offsets, and create is false.
 * Its append lock (kj_partition_hold) is the lock of the group. INVALID_GROUP_ID, READ_ONLY. */
int kj_offset_store_partition(struct kj_offset_store *offsets, const char *group_id, bool create,
                              struct kj_partition **ret_partition);

/* --- commits --- */

struct kj_offset_item {
    const char *topic;
    int32_t partition;
    int32_t leader_epoch; /* -1: none */
    int64_t offset;
    const char *metadata; /* NULL: none */
};

/* May this commit be? Called under the append lock; its error is the commit's. */
typedef int kj_offset_check(void *arg);

struct kj_offset_commit {
    const char *group_id;
    const struct kj_offset_item *items;
    size_t count;
    bool durable; /* acks=all; else acks=1 */
    int64_t deadline_ns; /* until when the lock is waited for; 0: kaja.lock.timeout.ms alone */
    kj_offset_check *check; /* NULL: none */
    void *check_arg;
};

/* What was appended; done when flushed. Valid until the offset store is closed. */
struct kj_offset_ticket {
    struct kj_partition *partition; /* NULL: nothing to wait for */
    int64_t end_offset;
};

/* Appends, and does not wait for a flush. All offsets of the call or none. Makes the topic at need.
 * INVALID_GROUP_ID, OFFSET_METADATA_TOO_LARGE, what check says, and what appending may give
 * (LOCK_TIMED_OUT, DISK_FULL, POISONED, READ_ONLY). Threads: any. */
int kj_offset_store_commit(struct kj_offset_store *offsets, const struct kj_offset_commit *commit,
                           struct kj_offset_ticket *ret_ticket);
/* Flushes, together with whoever else does. POISONED. */
int kj_offset_store_wait(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket);
/* The same, giving up (TIMED_OUT) at the deadline; the worker, where there is one, flushes on. */
int kj_offset_store_wait_by(struct kj_offset_store *offsets,
                            const struct kj_offset_ticket *ticket, int64_t deadline_ns);
/* Has the worker, or the next step, flush. */
void kj_offset_store_flush_soon(struct kj_offset_store *offsets);
/* True if there is nothing to wait for any more: *ret_error is 0, or POISONED. */
bool kj_offset_store_done(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket,
                          int *ret_error);

/* Tombstones for some offsets (topic and partition of each item), or with items NULL for all of the
 * group and the group itself. What is not there is passed over. GROUP_ID_NOT_FOUND (nothing is
 * stored of it), else as a commit. */
int kj_offset_store_delete(struct kj_offset_store *offsets, const struct kj_offset_commit *which,
                           struct kj_offset_ticket *ret_ticket);

/* --- looking --- */

struct kj_committed {
    const char *group_id;
    const char *topic;
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset;
    const char *metadata; /* "": none */
    int64_t commit_ms;
    int64_t expire_ms; /* -1: none of its own */
};
/* Calls back under the lock of the map, the strings valid meanwhile: it may copy, and call nothing
 * of the rooms below. A result other than 0 ends it and is its result. */
typedef int kj_committed_callback(void *arg, const struct kj_committed *committed);

/* One offset; *ret_found tells. callback may be NULL. */
int kj_offset_store_fetch(struct kj_offset_store *offsets, const char *group_id, const char *topic,
                          int32_t partition, bool *ret_found, int64_t *ret_offset,
                          kj_committed_callback *callback, void *arg);
/* All of a group, sorted by topic and partition. */
int kj_offset_store_each(struct kj_offset_store *offsets, const char *group_id,
                         kj_committed_callback *callback, void *arg);

/* What the log says of a group. */
struct kj_offset_group {
    const char *group_id;
    bool has_record; /* group metadata; the next four are its */
    bool consumer;   /* it had members once: its protocol type is not empty */
    int32_t generation;
    int32_t member_count;
    int64_t state_ms;
    size_t offset_count;
};
/* False: nothing is stored of it. May be called with the append lock of its partition held if
 * kj_offset_store_partition() was called before. group_id of the result is the argument. */
int kj_offset_store_group(struct kj_offset_store *offsets, const char *group_id, bool *ret_found,
                          struct kj_offset_group *ret_group);
typedef int kj_offset_group_callback(void *arg, const struct kj_offset_group *group);
/* Sorted by id; under the lock of the map, as above. */
int kj_offset_store_groups(struct kj_offset_store *offsets, kj_offset_group_callback *callback,
                           void *arg);

/* kj_store_hooks.ends_fell: committed offsets beyond the recovered end of their partition are moved
 * back to it, on the device when this returns, and told of (KAJA_EVENT_OFFSETS_MOVED). Those of
 * partitions that are not there, or could not be recovered, stay. As a commit; may be done again.
 */
int kj_offset_store_move_back(struct kj_store *store);

/* One round of expiry now, whatever the time of the last. For tests and the task. LOCK_TIMED_OUT: a
 * partition's append lock was not free for some milliseconds, the rest is for another round. */
int kj_offset_store_expire(struct kj_offset_store *offsets);
/* Tombstones for the offsets of a topic that was deleted, in every group. As a commit. */
int kj_offset_store_forget_topic(struct kj_offset_store *offsets, const char *topic);
/* kj_store_hooks.topic_gone: the same, on the device when this returns. */
int kj_offset_store_topic_gone(struct kj_store *store, const char *topic);

#endif
