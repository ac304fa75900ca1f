/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/client/no_groups.h - what a consumer calls of coord/, in the place of it: without a group.id
 * nothing is called.
 */
#ifndef KJ_TESTS_NO_GROUPS_H
#define KJ_TESTS_NO_GROUPS_H

#include "coord/group.h"
#include "coord/offset_store.h"

int kj_group_check_commit(void *arg)
{
    (void)arg;
    abort();
}

int kj_offset_group_check(const char *group_id)
{
    (void)group_id;
    abort();
}

int kj_offset_store_commit(struct kj_offset_store *offsets, const struct kj_offset_commit *commit,
                           struct kj_offset_ticket *ret_ticket)
{
    (void)offsets;
    (void)commit;
    (void)ret_ticket;
    abort();
}

int kj_offset_store_wait_by(struct kj_offset_store *offsets,
                            const struct kj_offset_ticket *ticket, int64_t deadline_ns)
{
    (void)offsets;
    (void)ticket;
    (void)deadline_ns;
    abort();
}

int kj_offset_store_wait(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket)
{
    (void)offsets;
    (void)ticket;
    abort();
}

void kj_offset_store_flush_soon(struct kj_offset_store *offsets)
{
    (void)offsets;
    abort();
}

bool kj_offset_store_done(struct kj_offset_store *offsets, const struct kj_offset_ticket *ticket,
                          int *ret_error)
{
    (void)offsets;
    (void)ticket;
    (void)ret_error;
    abort();
}

int kj_offset_store_fetch(struct kj_offset_store *offsets, const char *group_id, const char *topic,
                          int32_t partition, bool *ret_found, int64_t *ret_offset,
                          kj_committed_callback *callback, void *arg)
{
    (void)offsets;
    (void)group_id;
    (void)topic;
    (void)partition;
    (void)ret_found;
    (void)ret_offset;
    (void)callback;
    (void)arg;
    abort();
}

int kj_member_new(struct kj_groups *groups, const struct kj_member_options *options,
                  struct kj_member **ret_member)
{
    (void)groups;
    (void)options;
    (void)ret_member;
    abort();
}

void kj_member_free(struct kj_member *member)
{
    (void)member;
    abort();
}

int kj_member_look(struct kj_member *member, enum kj_member_state *ret_state)
{
    (void)member;
    (void)ret_state;
    abort();
}

int kj_member_join(struct kj_member *member, const char *const *topics, size_t topic_count,
                   const struct kj_member_partition *owned, size_t owned_count)
{
    (void)member;
    (void)topics;
    (void)topic_count;
    (void)owned;
    (void)owned_count;
    abort();
}

int kj_member_assignment(struct kj_member *member,
                         const struct kj_member_partition **ret_partitions, size_t *ret_count,
                         int32_t *ret_generation)
{
    (void)member;
    (void)ret_partitions;
    (void)ret_count;
    (void)ret_generation;
    abort();
}

bool kj_member_missed(struct kj_member *member)
{
    (void)member;
    return false;
}

int kj_member_leave_by(struct kj_member *member, int64_t deadline_ns)
{
    (void)member;
    (void)deadline_ns;
    abort();
}

void kj_member_step_out(struct kj_member *member)
{
    (void)member;
    abort();
}

int kj_member_tick(struct kj_member *member, int64_t *ret_next_due_ns)
{
    (void)member;
    (void)ret_next_due_ns;
    abort();
}

int64_t kj_member_next_due_ns(struct kj_member *member)
{
    (void)member;
    abort();
}

void kj_member_poll_seen(struct kj_member *member)
{
    (void)member;
    abort();
}

void kj_member_poll_enter(struct kj_member *member)
{
    (void)member;
    abort();
}

void kj_member_force(struct kj_member *member)
{
    (void)member;
    abort();
}

const char *kj_member_id(struct kj_member *member)
{
    (void)member;
    abort();
}

const char *kj_member_group_id(const struct kj_member *member)
{
    (void)member;
    abort();
}

int32_t kj_member_generation(struct kj_member *member)
{
    (void)member;
    abort();
}

const struct kj_wait_also *kj_member_wait(struct kj_member *member)
{
    (void)member;
    abort();
}

void kj_member_commit_as(struct kj_member *member, struct kj_commit_as *ret_as)
{
    (void)member;
    (void)ret_as;
    abort();
}

void kj_store_event_add(struct kj_store *store, const struct kj_event *event)
{
    (void)store;
    (void)event;
    abort();
}

int kj_store_topics(struct kj_store *store, kj_topic_callback *callback, void *arg)
{
    (void)store;
    (void)callback;
    (void)arg;
    abort();
}

/* Nor does anybody ask for a descriptor. */
int kj_watch_open(struct kj_store *store, kj_watch_tell *tell, void *arg,
                  struct kj_watch **ret_watch)
{
    (void)store;
    (void)tell;
    (void)arg;
    (void)ret_watch;
    abort();
}

void kj_watch_close(struct kj_watch *watch)
{
    if (watch != NULL)
        abort();
}

int kj_watch_set(struct kj_watch *watch, const struct kj_watch_for *what)
{
    (void)watch;
    (void)what;
    abort();
}

void kj_watch_unset(struct kj_watch *watch)
{
    (void)watch;
    abort();
}

#endif
