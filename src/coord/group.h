/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group.h - consumer groups without a coordinator process: every handle takes the steps of
 * its own members, under the lock of the group.
 *
 * Where a group lives. Its lasting state is the newest group metadata record in its partition of
 * __consumer_offsets; the append lock of that partition is the group's lock. Its live state (who is
 * a member, of what generation, with which assignment) is one blob in the control file
 * (coord/group_area.h), replaced as a whole by one store. Each step is: lock, read the blob, one
 * step of the state machine (coord/group_state.h), perhaps a metadata record, publish the blob,
 * unlock, wake. A process that dies in between leaves the blob as it was.
 *
 * There is no round trip to a leader: whoever completes the join phase (the last to join, or
 * whoever finds the deadline passed or the last missing member dead) computes the assignment there
 * and then. So a group is Empty, PreparingRebalance or Stable; CompletingRebalance does not exist,
 * and with it REBALANCE_IN_PROGRESS as an answer to a commit.
 *
 * Who is alive. Each member has a slot: a word with the time of its last heartbeat, and a lock of
 * its own which the kernel drops with its process. Members look after their successor in the order
 * of joining, so a dead process is noticed by whoever comes to look within 100 ms; a stopped one
 * when its session ends.
 *
 * What the caller (client/) does:
 *
 *     kj_member_new
 *     each poll   kj_member_poll_enter, at its end kj_member_poll_seen;
 *                 without a worker kj_member_tick when it is due;
 *                 kj_member_look: one load while nothing changed
 *                    NONE     kj_member_join
 *                    JOINED   others are still to come: go on with what is kept (cooperative), wait
 *                    STABLE   kj_member_generation differs from the one acted upon:
 *                             kj_member_assignment, tell the listener
 *                    REJOIN   cooperative, and kj_member_missed(): as STABLE first; then
 *                             commit, revoke (eager), kj_member_join with what is kept
 *                    LOST, FENCED   listener's lost; LOST: kj_member_join as a new member
 *     waiting     kj_store_wait_also() with kj_member_wait(): wakes when the group changed
 *     commit      kj_member_commit_as, then the offset store's commit with kj_group_check_commit
 *     the end     kj_member_leave (static members: kj_member_step_out), kj_member_free
 *
 * Kafka: GroupCoordinator, GroupMetadataManager, and the server's side of ConsumerCoordinator.
 */
#ifndef KJ_COORD_GROUP_H
#define KJ_COORD_GROUP_H

#include "coord/assign.h"
#include "coord/group_state.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_offset_store; /* coord/offset_store.h */

/* --- the groups of one store handle --- */

/* What the directory says (group.*); api/ fills it. Milliseconds. */
struct kj_groups_options {
    int64_t min_session_timeout_ms; /* 10 */
    int64_t max_session_timeout_ms; /* 1800000 */
    int64_t initial_delay_ms;       /* group.initial.rebalance.delay.ms: 0 */
    int32_t max_size;               /* group.max.size: INT32_MAX */
};

struct kj_groups;

/* One for each store handle, made once and given to all members of it: it knows which members are
 * this handle's own, whose locks the kernel does not show to it. It registers a task with the
 * store's worker that ticks the members. offsets: outlives it. Does no I/O.
 * OUT_OF_MEMORY. */
int kj_groups_open(struct kj_store *store, struct kj_offset_store *offsets,
                   const struct kj_groups_options *options, struct kj_groups **ret_groups);
/* Every member must be freed. NULL is fine. */
void kj_groups_close(struct kj_groups *groups);

/* --- members --- */

enum { KJ_MEMBER_ASSIGNORS_MAX = 8 };

struct kj_member_options {
    const char *group_id;    /* not empty */
    const char *client_id;   /* may be empty */
    const char *instance_id; /* group.instance.id; NULL: dynamic */
    int64_t session_timeout_ms;
    int64_t heartbeat_interval_ms;
    int64_t rebalance_timeout_ms; /* max.poll.interval.ms */
    enum kj_assignor assignors[KJ_MEMBER_ASSIGNORS_MAX]; /* by preference, no duplicates */
    size_t assignor_count;                               /* at least 1 */
};

enum kj_member_state {
    KJ_MEMBER_NONE = 0, /* not in the group: never joined, or left */
    KJ_MEMBER_JOINED,   /* has joined the rebalance that is on; it waits for others */
    KJ_MEMBER_STABLE,   /* has an assignment in the group's generation */
    KJ_MEMBER_REJOIN,   /* a rebalance is on and waits for this member's kj_member_join() */
    KJ_MEMBER_LOST,     /* was removed: session expired, did not rejoin in time (a static member: a
                           generation was completed without it), did not poll, or the group is gone.
                           Join again: as a new member */
    KJ_MEMBER_FENCED    /* another process uses the same instance id: fatal, FENCED_INSTANCE_ID */
};

/* A partition by the name of its topic. */
struct kj_member_partition {
    const char *topic;
    int32_t partition;
};

struct kj_member; /* calls of several threads on one member exclude each other inside */

/* Looks at nothing shared yet. INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT (outside group.min/max),
 * INVALID_ARG, INCONSISTENT_GROUP_PROTOCOL (no assignor), READ_ONLY, OUT_OF_MEMORY. */
int kj_member_new(struct kj_groups *groups, const struct kj_member_options *options,
                  struct kj_member **ret_member);
/* Drops its live byte and does not leave: a dynamic member that is still in the group is found dead
 * by the others, a static one stays until its session ends. NULL is fine. */
void kj_member_free(struct kj_member *member);

/* As of now; one shared load while nothing changed. An error is one of memory or of a control file
 * that is damaged. */
int kj_member_look(struct kj_member *member, enum kj_member_state *ret_state);

/* Joins, or joins again, with these topics (existing or not; any order, no duplicates) and the
 * partitions it owns from its last generation. May complete the rebalance: look afterwards.
 * In a stable group, a member (not the leader) that comes with the same as before changes nothing.
 * Makes __consumer_offsets if there is none.
 * UNKNOWN_MEMBER_ID (it was removed meanwhile: now it is LOST), FENCED_INSTANCE_ID (is fenced),
 * INCONSISTENT_GROUP_PROTOCOL (no assignor that all have),
 * GROUP_MAX_SIZE_REACHED, LOCK_TIMED_OUT, OUT_OF_MEMORY, DISK_FULL (the control file cannot grow),
 * CRIT_SYS_RESOURCE (no locks left),
 * what looking up topics may give. After an error the member is where it was. */
int kj_member_join(struct kj_member *member, const char *const *topics, size_t topic_count,
                   const struct kj_member_partition *owned, size_t owned_count);

/* The next join begins a rebalance even if the member comes with the same as before. */
void kj_member_force(struct kj_member *member);

/* Its assignment in the generation that kj_member_look() saw last, sorted by topic and partition.
 * Valid until the next call of kj_member_look, _join, _leave or _free by the owner (ticks leave it
 * alone). Also one that kj_member_missed(); kj_member_generation is of it from then on.
 * ILLEGAL_GENERATION: not stable. */
int kj_member_assignment(struct kj_member *member,
                         const struct kj_member_partition **ret_partitions, size_t *ret_count,
                         int32_t *ret_generation);

/* REJOIN, and the generation before had an assignment for it that it has not seen: somebody was
 * quicker, gave back what it has to and began the next rebalance. A cooperative member gives back
 * its own share now, or that takes one more rebalance for each of them. */
bool kj_member_missed(struct kj_member *member);

/* Leaves the group at once (a static member too, if the caller calls it). 0 also if it was not in
 * the group. After LOCK_TIMED_OUT and the like it is out for itself; the others find it dead. */
int kj_member_leave(struct kj_member *member);
/* Waits for the group's lock until the deadline at most. */
int kj_member_leave_by(struct kj_member *member, int64_t deadline_ns);

/* A static member is out for itself, and keeps its place in the group until its session ends: its
 * next join is that of one who has come back. Touches nothing shared but its live byte. */
void kj_member_step_out(struct kj_member *member);

/* What is due: heartbeat, looking after the others, leaving when its owner did not poll for
 * rebalance_timeout_ms, rebalance when topics changed. Called by the store's worker (the groups'
 * task), or from poll without one. *ret_next_due_ns (CLOCK_MONOTONIC, may be NULL): when next, at
 * most 100 ms ahead while it is in a group, INT64_MAX else. Errors of others' removal are tried
 * again; LOCK_TIMED_OUT. */
int kj_member_tick(struct kj_member *member, int64_t *ret_next_due_ns);
/* When the next tick is due, without doing it. */
int64_t kj_member_next_due_ns(struct kj_member *member);
/* Its owner has polled: from now on rebalance_timeout_ms count. One store. */
void kj_member_poll_seen(struct kj_member *member);
/* Its owner is in a poll, however long that waits; ends with kj_member_poll_seen(). */
void kj_member_poll_enter(struct kj_member *member);

/* "" before the first join. Changes only in kj_member_join(); valid until then. */
const char *kj_member_id(struct kj_member *member);
const char *kj_member_group_id(const struct kj_member *member);
/* Of the assignment that kj_member_look() saw last; -1: none. */
int32_t kj_member_generation(struct kj_member *member);
/* For kj_store_wait_also(): wakes when the group's state differs from what kj_member_look() saw
 * last. Valid until the member is freed. */
const struct kj_wait_also *kj_member_wait(struct kj_member *member);

/* --- commits --- */

/* In whose name a commit is made. Filled by kj_member_commit_as(), or for a consumer that only
 * commits: groups, group_id, member_id "", generation -1. Strings live as long as the struct. */
struct kj_commit_as {
    struct kj_groups *groups;
    const char *group_id;
    char member_id[320];
    char instance_id[256]; /* "": none */
    int32_t generation;
};
void kj_member_commit_as(struct kj_member *member, struct kj_commit_as *ret_as);
/* The check callback of the offset store's commit, arg a struct kj_commit_as *: called under the
 * append lock of the group's partition. UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID.
 * Generation -1 without a member id passes only while the group has no members (dead ones do not
 * count). While a rebalance is on, commits of the last generation pass. */
int kj_group_check_commit(void *arg);
/* The same for what needs an empty group (delete, reset of offsets): NON_EMPTY_GROUP. */
int kj_group_check_empty(void *arg);
/* The same for offsets that are forgotten: no member may subscribe to their topics.
 * GROUP_SUBSCRIBED_TO_TOPIC. Kafka: OffsetDelete. */
struct kj_group_unread {
    struct kj_commit_as as;
    const char *const *topics;
    size_t topic_count;
};
int kj_group_check_unread(void *arg);

/* --- looking at groups from outside --- */

struct kj_group_member_info {
    const char *member_id;
    const char *client_id;
    const char *instance_id; /* NULL: dynamic */
    const char *const *topics; /* subscription, sorted */
    size_t topic_count;
    const struct kj_member_partition *partitions; /* assignment; none while preparing */
    size_t partition_count;
};
struct kj_group_info {
    const char *group_id;
    enum kj_group_phase phase; /* DEAD: there is no such group */
    int32_t generation;
    const char *assignor;      /* "": none; e.g. "range" */
    const char *leader;        /* member id, "": none */
    const struct kj_group_member_info *members; /* in order of joining */
    size_t member_count;
};
/* Calls back once, the strings valid during the call; its result is the result. Does not lock;
 * dead members are left out. A group that has only offsets is EMPTY. */
typedef int kj_group_callback(void *arg, const struct kj_group_info *info);
int kj_group_describe(struct kj_groups *groups, const char *group_id, kj_group_callback *callback,
                      void *arg);
/* Once for each group that has members, or a metadata record or offsets in __consumer_offsets; in
 * order of id. Stops at the first result that is not 0. */
int kj_groups_list(struct kj_groups *groups, kj_group_callback *callback, void *arg);

#endif
