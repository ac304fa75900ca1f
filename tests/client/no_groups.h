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

#endif
