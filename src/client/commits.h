/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/commits.h - what a consumer with a group commits, and what was committed. One thread at a
 * time.
 *
 * Kafka: the commits of ConsumerCoordinator.
 */
#ifndef KJ_CLIENT_COMMITS_H
#define KJ_CLIENT_COMMITS_H

#include "client/subscription.h"
#include "coord/group.h"
#include "coord/offset_store.h"

struct kj_commit_pending;

struct kj_commits {
    struct kj_store *store;
    struct kj_offset_store *offsets; /* NULL: no group */
    char *group_id;
    bool durable;
    /* In whose name: without a member id as long as nobody fills it by kj_member_commit_as(), so
     * that commits pass only while the group has no members. */
    struct kj_commit_as as;
    struct kj_offset_item *items; /* of the call that runs */
    size_t item_capacity;
    struct kj_commit_pending *first, **end; /* asynchronous ones, in order */
    struct kj_buffer texts;                 /* metadata given out by kj_commits_committed() */
};

/* group_id NULL: no group. It is copied. INVALID_GROUP_ID, OUT_OF_MEMORY. */
int kj_commits_init(struct kj_commits *commits, struct kj_store *store, struct kj_groups *groups,
                    struct kj_offset_store *offsets, const char *group_id, bool durable);
/* Serves what is pending, waiting for it until the deadline: TIMED_OUT is then the result. */
void kj_commits_free(struct kj_commits *commits, int64_t deadline_ns);

/* offsets NULL: the positions of the subscription. Asynchronous commits that came before are
 * waited for and served. Retriable errors are tried again until the deadline. */
int kj_commits_commit(struct kj_commits *commits, const struct kj_subscription *subscription,
                      const struct kaja_committed_offset *offsets, size_t count,
                      int64_t deadline_ns);
/* callback NULL: nobody hears. Errors come by the callback, but for those of the arguments. */
int kj_commits_commit_async(struct kj_commits *commits, const struct kj_subscription *subscription,
                            const struct kaja_committed_offset *offsets, size_t count,
                            kaja_commit_callback *callback, void *arg);
/* The positions, asynchronously; deadline_ns as in struct kj_offset_commit. What goes wrong is an
 * event: the next one tries again. */
void kj_commits_commit_auto(struct kj_commits *commits, const struct kj_subscription *subscription,
                            int64_t deadline_ns);
/* Calls back for those that are done; wait: for all. */
void kj_commits_serve(struct kj_commits *commits, bool wait);
/* True if kj_commits_serve() would call back now. Else *ret_partition is what must be durable up to
 * *ret_end first; NULL: no callback is to come. */
bool kj_commits_awaited(const struct kj_commits *commits, struct kj_partition **ret_partition,
                        int64_t *ret_end);

int kj_commits_committed(struct kj_commits *commits, const struct kaja_topic_partition *partitions,
                         size_t count, struct kaja_committed_offset *ret_offsets);
/* Where reading goes on; arg: struct kj_commits *. */
int kj_commits_position(void *arg, const char *topic, int32_t partition, bool *ret_found,
                        int64_t *ret_offset, int32_t *ret_leader_epoch);

#endif
