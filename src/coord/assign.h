/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign.h - which member of a group reads which partitions: the four assignors of Apache
 * Kafka's Java client (RangeAssignor, RoundRobinAssignor, StickyAssignor,
 * CooperativeStickyAssignor; without racks), as pure functions.
 *
 * The results are Kafka's, partition for partition, also where they follow from the order in which
 * a Java HashMap hands out its keys (kj_assign_map_order()). They are other ones only where Kafka's
 * own cannot be used:
 *   - a member without topics is never given a partition (Kafka's sticky ones may, and the member
 *     then rejoins for ever);
 *   - a partition does not go back to a former owner that no longer subscribes to its topic, or
 *     that has nothing to gain or lose (Kafka gives it, or ends with a NullPointerException);
 *   - claims to partitions beyond the topic's count do not count (Kafka then gives partitions
 *     twice);
 *   - moving partitions to and fro ends after KJ_ASSIGN_PASSES_MAX rounds.
 */
#ifndef KJ_COORD_ASSIGN_H
#define KJ_COORD_ASSIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers stand in the state that processes share: never change one. */
enum kj_assignor {
    KJ_ASSIGNOR_RANGE = 0,
    KJ_ASSIGNOR_ROUNDROBIN = 1,
    KJ_ASSIGNOR_STICKY = 2,
    KJ_ASSIGNOR_COOPERATIVE_STICKY = 3
};
enum { KJ_ASSIGNOR_COUNT = 4 };

/* As in partition.assignment.strategy: range, roundrobin, sticky, cooperative-sticky. */
const char *kj_assignor_name(enum kj_assignor assignor);
bool kj_assignor_parse(const char *name, size_t name_len, enum kj_assignor *ret_assignor);
/* Do members keep what they own while they rebalance? */
bool kj_assignor_is_cooperative(enum kj_assignor assignor);

struct kj_assign_topic {
    const char *name;        /* each once */
    int32_t partition_count; /* 0 or less: there is no such topic */
};

struct kj_assign_partition {
    uint32_t topic; /* index of the topic */
    int32_t partition;
};

struct kj_assign_member {
    const char *id;          /* each once */
    const char *instance_id; /* NULL or "": dynamic */
    /* Subscription: indexes of topics, in any order; also those that do not exist. */
    const uint32_t *topics;
    size_t topic_count;
    /* What it says it owns, and in which generation it got that (-1: unknown). Only the sticky ones
     * look at it. */
    const struct kj_assign_partition *owned;
    size_t owned_count;
    int32_t generation;
};

struct kj_assign_input {
    const struct kj_assign_topic *topics;
    size_t topic_count;
    /* In the order in which the members joined. */
    const struct kj_assign_member *members;
    size_t member_count;
};

struct kj_assignment {
    /* Member i has [starts[i], starts[i + 1]), sorted by name of topic and by number. */
    struct kj_assign_partition *partitions;
    size_t *starts;
};

/* Of the cooperative one the result leaves out what must be given up first by its owner: it is
 * assigned in the rebalance that follows. OUT_OF_MEMORY. Free with kj_assignment_free(). */
int kj_assign(enum kj_assignor assignor, const struct kj_assign_input *input,
              struct kj_assignment *ret_assignment);
/* An all-zero one is fine. */
void kj_assignment_free(struct kj_assignment *assignment);

#endif
