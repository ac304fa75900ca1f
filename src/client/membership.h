/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/membership.h - a consumer's part in its group: what it subscribes to, when it joins, and
 * what it tells its listener. The group itself is coord/group.h.
 *
 * The order of a rebalance, Kafka's:
 *
 *     eager         commit, revoked(all), nothing is assigned, join ... assigned(all)
 *     cooperative   commit, join ... revoked(what another gets), assigned(what is new), and if
 *                   something was revoked: join again at once. What stays is read all the time.
 *     removed       listener.lost(all), join as a new member
 *
 * Cooperative if every assignor of the consumer is. The listener runs inside the consumer's own
 * poll, unsubscribe or close: revoked and lost while the partitions are still assigned (so that it
 * can commit and ask for positions), assigned when they already are (so that it can seek).
 *
 * Kafka: ConsumerCoordinator, AbstractCoordinator.
 */
#ifndef KJ_CLIENT_MEMBERSHIP_H
#define KJ_CLIENT_MEMBERSHIP_H

#include "client/subscription.h"
#include "coord/group.h"

#include <regex.h>

/* Any of them may be NULL; lost NULL: revoked is called instead. Partitions sorted by topic and
 * number; offset is KAJA_OFFSET_NONE; valid during the call. */
typedef void kj_listener_call(void *arg, const struct kaja_topic_partition *partitions,
                              size_t count);
struct kj_listener {
    kj_listener_call *revoked, *assigned, *lost;
    void *arg;
};

/* What a membership needs of its consumer. */
struct kj_membership_hooks {
    /* Replaces the assignment; what stays keeps its position. */
    int (*assign)(void *arg, const struct kaja_topic_partition *partitions, size_t count);
    /* Before a rebalance and at the end: automatic commit, if that is on. Failures are its own. */
    void (*commit)(void *arg);
    /* Around each call of the listener: it may call into the consumer. */
    void (*call_out)(void *arg, kj_listener_call *call, const struct kj_listener *listener,
                     const struct kaja_topic_partition *partitions, size_t count);
    void *arg;
};

struct kj_membership {
    struct kj_store *store;
    struct kj_member *member;
    const struct kj_subscription *subscription;
    struct kj_membership_hooks hooks;
    struct kj_listener listener;
    bool cooperative;
    bool instance; /* a static member: group.instance.id */
    bool subscribed;
    bool rejoin;        /* in a stable group: join again */
    bool joined_before; /* the first join has nothing to revoke */
    int32_t generation; /* that was acted upon; -1: none */
    char **topics;      /* subscribed to, sorted, distinct */
    size_t topic_count;
    bool by_pattern;
    bool internal_too; /* patterns match internal topics */
    regex_t pattern;
    uint64_t matched; /* catalog generation that the pattern was matched with, + 1 */
};

/* subscription: the consumer's, with what is assigned; outlives it. Errors of kj_member_new(). */
int kj_membership_init(struct kj_membership *membership, struct kj_store *store,
                       struct kj_groups *groups, const struct kj_member_options *options,
                       const struct kj_subscription *subscription,
                       const struct kj_membership_hooks *hooks);
/* Does not leave the group. */
void kj_membership_free(struct kj_membership *membership);

/* Takes effect in the next step. INVALID_TOPIC_EXCEPTION, OUT_OF_MEMORY: nothing changed. */
int kj_membership_subscribe(struct kj_membership *membership, const char *const *topics,
                            size_t count, const struct kj_listener *listener);
/* POSIX extended, matched against the whole name. INVALID_ARG. */
int kj_membership_subscribe_pattern(struct kj_membership *membership, const char *pattern,
                                    const struct kj_listener *listener);
/* The next step shares the partitions out anew, unless that is being done already. */
int kj_membership_enforce(struct kj_membership *membership);
/* Gives everything back (revoked or lost), and leaves the group: a static member only if the caller
 * wants that; else it stays until its session ends. The group's lock is waited for until the
 * deadline. */
int kj_membership_unsubscribe(struct kj_membership *membership, bool leave, int64_t deadline_ns);

/* Does what the group asks for: joins, revokes, assigns. *ret_fetch: what is assigned may be read;
 * false while an eager member waits for the others. FENCED_INSTANCE_ID, and what joining gives. */
int kj_membership_step(struct kj_membership *membership, bool *ret_fetch);
/* True if kj_membership_step() has something to do: one load. */
bool kj_membership_due(struct kj_membership *membership);

#endif
