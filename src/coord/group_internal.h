/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_internal.h - what group.c (members and their steps), group_tick.c (what comes due),
 * group_op.c (one step under the group's lock), group_record.c and group_describe.c share.
 *
 * Locks: a member's own (MEMBER) first; then what the store takes; the append lock of the group's
 * partition; groups->lock (LEAF) is taken inside all of them and nothing inside it.
 */
#ifndef KJ_COORD_GROUP_INTERNAL_H
#define KJ_COORD_GROUP_INTERNAL_H

#include "base/atomic.h"
#include "base/lock.h"
#include "coord/group.h"
#include "coord/group_area.h"
#include "coord/offset_store.h"

struct kj_groups {
    struct kj_store *store;
    struct kj_offset_store *offsets;
    struct kj_groups_options options;
    struct kj_store_task task;
    struct kj_lock lock;       /* LEAF: the fields below */
    struct kj_cond cond;       /* a tick has ended */
    struct kj_member *members;
    struct kj_map slots;       /* word -> kj_member: slots whose locks this handle holds */
};

/* What the tick watches of the others, as of the blob it saw last. */
struct kj_watched {
    uint32_t slot;
    int32_t session_timeout_ms;
    bool dynamic;
};

struct kj_member {
    struct kj_groups *groups;
    struct kj_member *next; /* groups->lock */
    bool ticking;           /* groups->lock */
    /* fixed */
    char *group_id, *client_id, *instance_id; /* "": dynamic */
    uint64_t hash;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    int64_t heartbeat_interval_ms;
    uint8_t assignors[KJ_MEMBER_ASSIGNORS_MAX];
    size_t assignor_count;
    struct kj_wait_also wait;

    /* without a lock: one load of the poll */
    kj_atomic_u64 state;      /* enum kj_member_state */
    kj_atomic_u64 area;       /* kj_word; 0: not known yet */
    kj_atomic_u64 seen;       /* state word of the area that `state` follows from */
    kj_atomic_u64 looked;     /* what kj_member_look() said last */
    kj_atomic_u64 polled_ms;
    kj_atomic_u64 due_ns;     /* of the next tick */

    struct kj_lock lock; /* MEMBER: what follows */
    char id[320];
    kj_word slot; /* 0: none */
    int32_t generation;
    int32_t joined_for; /* the generation that its last join takes part in */
    int32_t missed_generation; /* `assignment` is of this one, not looked at yet; -1: not so */
    struct kj_member_partition *assignment; /* one piece of memory with its names */
    size_t assignment_count;
    struct kj_group_join_topic *topics; /* subscription as of the last join; likewise */
    size_t topic_count;
    bool force;           /* the next join begins a rebalance in any case */
    bool topics_changed;  /* and the group does not know it yet */
    uint64_t topics_seen; /* catalog generation of their counts */
    /* the tick's */
    uint64_t tick_seen;
    bool tick_fresh;
    struct kj_watched *watched;
    size_t watched_count, watched_capacity, watched_self;
    int64_t group_due_ms;
    int64_t heartbeat_ms;    /* of the next heartbeat */
    int64_t record_retry_ms; /* a metadata record is still to be written: when to try */
};

/* --- one step under the group's lock (group_op.c) --- */

struct kj_group_op {
    struct kj_groups *groups;
    const char *group_id;
    uint64_t hash;
    struct kj_partition *partition;
    struct kj_area area;
    struct kj_group *group; /* NULL: it has no area, and none was asked for */
    uint64_t state;         /* state word; after kj_group_op_publish() the new one */
    struct kj_buffer blob;
    int64_t now_ms;
};

enum kj_group_op_flags {
    KJ_OP_MAKE = 1,   /* the offsets topic and an area, if there are none */
    KJ_OP_NO_WAIT = 2 /* LOCK_TIMED_OUT if another handle is at it */
};
/* Takes the lock (waiting for it until the deadline at most) and reads the state. Without MAKE,
 * GROUP_ID_NOT_FOUND if there is no __consumer_offsets yet. */
int kj_group_op_begin(struct kj_groups *groups, const char *group_id, unsigned flags,
                      int64_t deadline_ns, struct kj_group_op *ret_op);
/* Completes what is due, writes the record, publishes if anything changed. */
int kj_group_op_publish(struct kj_group_op *op);
/* Gives the lock up and wakes if something was published. */
void kj_group_op_end(struct kj_group_op *op);
/* Is the process of this member there? Not asked for static members. */
bool kj_group_slot_alive(struct kj_groups *groups, uint32_t slot);
/* Its process is dead, or its session has expired. */
bool kj_group_member_gone(struct kj_groups *groups, const struct kj_group_member *member);
/* Takes the dead out of every group, for where no member is left to notice. Waits for nobody: a
 * group that somebody is at is passed over. OUT_OF_MEMORY, DAMAGED. */
int kj_groups_sweep(struct kj_groups *groups);
/* Removes dynamic members whose process is dead (unjoined_only: only those that hold a rebalance
 * up), and any whose session has expired. */
void kj_group_reap(struct kj_group_op *op, bool unjoined_only);

int64_t kj_groups_now_ms(struct kj_groups *groups);
/* The group's blob as of now, without the lock. group_id NULL: of whoever has the area.
 * *ret_group NULL: it has none that can be read. */
int kj_group_peek(struct kj_groups *groups, struct kj_area area, const char *group_id,
                  struct kj_group **ret_group, uint64_t *ret_state);
/* Each of them, read so; one that cannot be read is passed over. The callback may change its copy;
 * what it returns but 0 ends it. DAMAGED: the chain of areas; OUT_OF_MEMORY. */
typedef int kj_group_each(void *arg, struct kj_group *group);
int kj_groups_each(struct kj_groups *groups, kj_group_each *callback, void *arg);

/* --- members (group.c); the member's lock is held --- */

/* Puts what the group says about the member into it. group NULL: it is gone. */
int kj_member_adopt(struct kj_member *member, const struct kj_group *group, uint64_t state);
void kj_member_drop_slot(struct kj_member *member);
/* Counts of its topics as of now. */
int kj_member_count_topics(struct kj_member *member, struct kj_group_join_topic *topics,
                           size_t count, uint64_t *ret_seen);
/* Out of the group. expected: the state it has then. */
int kj_member_go(struct kj_member *member, unsigned flags, int64_t deadline_ns,
                 enum kj_member_state state);

int64_t kj_groups_task(void *arg); /* group_tick.c */

/* --- records (group_record.c) --- */

/* Appends the metadata record of the group as it is; op holds the partition. One that is too large
 * with its members is written without them, and an event tells of it: the generation is kept. */
int kj_group_record_write(struct kj_group_op *op);
/* group_assign.c: kj_group_assign_fn; arg is not used. */
int kj_group_assign(void *arg, struct kj_group *group, uint8_t assignor);

#endif
