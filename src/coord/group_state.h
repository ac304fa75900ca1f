/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_state.h - the live state of one consumer group and the steps it can take. Pure: no
 * clock, no locks, no files; times are given in, and whoever takes a step publishes what comes out.
 *
 *              join                       all have joined, or the deadline passed
 *     EMPTY ----------> PREPARING ------------------------------------------> STABLE
 *       ^                  |  ^                                                 |
 *       |  nobody is left  |  |  join of a new member or with other topics,     |
 *       +------------------+  |  of the leader; leave, death, topics changed    |
 *                             +-------------------------------------------------+
 *
 * Invariants, held by every step (kj_group_valid())
 *   1. EMPTY has no members; STABLE has some, an assignor that all of them know, and a leader that
 *      is one of them.
 *   2. Member ids are distinct, and so are instance ids.
 *   3. Lists of topics and partitions are sorted and without duplicates; topics are numbers in the
 *      table of topics, which has each name once.
 *   4. The generation rises with each completed rebalance and never falls.
 *
 * The blob (kj_group_encode): little-endian, for this machine only
 *     u64 XXH3 of the rest | u32 version | group | topics | members
 * A string is u32 length, bytes, NUL. It is input: kj_group_decode() believes nothing.
 */
#ifndef KJ_COORD_GROUP_STATE_H
#define KJ_COORD_GROUP_STATE_H

#include "base/hash.h"
#include "record/batch_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_GROUP_ASSIGNORS_MAX = 8, KJ_GROUP_NO_ASSIGNOR = 255 };

enum kj_group_phase { KJ_GROUP_DEAD, KJ_GROUP_EMPTY, KJ_GROUP_PREPARING, KJ_GROUP_STABLE };

struct kj_group_topic {
    const char *name;
    int32_t partition_count; /* -1: there is no such topic */
    uint64_t seen;           /* catalog generation in which it had so many */
};

struct kj_group_partition {
    uint32_t topic; /* number in the table */
    int32_t partition;
};

struct kj_group_partitions {
    struct kj_group_partition *items;
    size_t count;
};

struct kj_group_member {
    const char *id;
    const char *instance_id; /* "": dynamic */
    const char *client_id;
    uint32_t slot;           /* word of its heartbeat */
    int32_t session_timeout_ms, rebalance_timeout_ms;
    bool joined; /* PREPARING: has joined; STABLE: did, false: a static one that missed it */
    uint8_t assignors[KJ_GROUP_ASSIGNORS_MAX]; /* by preference */
    size_t assignor_count;
    uint32_t *topics; /* subscription */
    size_t topic_count;
    struct kj_group_partitions owned; /* what it said it keeps, when it joined last */
    int32_t owned_generation;
    struct kj_group_partitions assigned;
};

/* Strings and lists live as long as the group does. */
struct kj_group {
    const char *id;
    enum kj_group_phase phase;
    int32_t generation;
    uint8_t assignor;            /* of the generation; KJ_GROUP_NO_ASSIGNOR */
    const char *leader;          /* "": none */
    int64_t state_timestamp_ms;  /* wall clock, of the last completion */
    int64_t deadline_ms;         /* PREPARING: who has not joined by then is dropped */
    int64_t initial_end_ms;      /* the first rebalance waits for more members; 0: it does not */
    int64_t initial_left_ms;     /* how much longer it may */
    int64_t initial_delay_ms;    /* in periods of so long */
    bool newcomers;              /* somebody joined in this period of it */
    bool record_due;             /* a metadata record is to be written */
    struct kj_group_topic *topics;
    size_t topic_count, topic_capacity;
    struct kj_group_member *members; /* in order of joining */
    size_t member_count, member_capacity;
    /* not in the blob */
    bool changed; /* set by every step that changed something */
    struct kj_map topic_map; /* name -> 1 + number, made at need */
    struct group_chunk *chunks;
};

/* A group without members, as it is after its last record (generation 0: none). */
int kj_group_new(const char *id, int32_t generation, struct kj_group **ret_group);
void kj_group_free(struct kj_group *group);
/* Memory that lives as long as the group. NULL: out of memory. */
void *kj_group_alloc(struct kj_group *group, size_t count, size_t bytes);
const char *kj_group_strdup(struct kj_group *group, const char *text, size_t len);
/* ret_bytes is cleared and filled. OUT_OF_MEMORY. */
int kj_group_encode(const struct kj_group *group, struct kj_buffer *ret_bytes);
/* DAMAGED, OUT_OF_MEMORY. bytes are copied. */
int kj_group_decode(const uint8_t *bytes, size_t len, struct kj_group **ret_group);
/* The invariants; for tests and KJ_ASSERT_SLOW. */
bool kj_group_valid(const struct kj_group *group);

/* NULL: none. */
struct kj_group_member *kj_group_find(const struct kj_group *group, const char *member_id);
struct kj_group_member *kj_group_find_instance(const struct kj_group *group,
                                               const char *instance_id);

/* --- steps --- */

struct kj_group_join_topic {
    const char *name;
    int32_t partition_count; /* -1: there is none */
};
struct kj_group_join_partition {
    const char *topic;
    int32_t partition;
};
struct kj_group_join {
    const char *member_id;   /* "": a new member, or a static one come back */
    const char *new_id;      /* which then is its id */
    const char *instance_id; /* "": dynamic */
    const char *client_id;
    uint32_t slot;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    const uint8_t *assignors;
    size_t assignor_count;
    const struct kj_group_join_topic *topics; /* no duplicates */
    size_t topic_count;
    uint64_t seen; /* catalog generation of the counts */
    const struct kj_group_join_partition *owned;
    size_t owned_count;
    int32_t owned_generation;
    int32_t max_size;
    int64_t initial_delay_ms;
    int64_t now_ms;
    bool force; /* a rebalance, even if nothing changed */
};
/* INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
 * OUT_OF_MEMORY; the group is to be thrown away then, as it may know half of it. A static member
 * that comes back unchanged to a stable group gets its old assignment without a rebalance. */
int kj_group_join(struct kj_group *group, const struct kj_group_join *join);
/* Leaves, died, expired. Its pointer and those behind it are not valid any more. */
void kj_group_remove(struct kj_group *group, struct kj_group_member *member, int64_t now_ms);
/* What topics are like by now; those that nobody subscribes to are passed over. Differs it from
 * what was assigned, a rebalance begins. *ret_different may be NULL. */
int kj_group_topics(struct kj_group *group, const struct kj_group_join_topic *topics, size_t count,
                    uint64_t seen, int64_t now_ms, bool *ret_different);

/* Gives the partitions of the subscribed topics to group->members[].assigned, which are empty, by
 * kj_group_give(). */
typedef int kj_group_assign_fn(void *arg, struct kj_group *group, uint8_t assignor);
/* Completes the rebalance if it is due: everybody joined, or the deadline passed, or nobody is
 * left. To be called after every other step, and when kj_group_due_ms() came. Errors are those of
 * assign: the group is to be thrown away. */
int kj_group_complete(struct kj_group *group, int64_t now_ms, int64_t wall_ms,
                      kj_group_assign_fn *assign, void *arg);
/* Sets the whole list of a member; copied and sorted. */
int kj_group_give(struct kj_group *group, struct kj_group_member *member,
                  const struct kj_group_partition *partitions, size_t count);
/* When kj_group_complete() has something to do without anybody joining; INT64_MAX: never. */
int64_t kj_group_due_ms(const struct kj_group *group);
/* The session has ended. A heartbeat that lies ahead of our clock (another time namespace) ends
 * none. */
bool kj_group_expired(const struct kj_group_member *member, int64_t heartbeat_ms, int64_t now_ms);

/* May this member commit? UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID. */
int kj_group_commit_error(const struct kj_group *group, const char *member_id,
                          const char *instance_id, int32_t generation);

#endif
