/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_sticky.c - as even as can be, and of all such assignments one that leaves much where
 * it is. Here: which claims hold, and the case that all members subscribe to the same topics, in
 * which everybody gets `least` partitions and `over` of them one more. The other case:
 * coord/assign_sticky_general.c.
 *
 * 1. Each member keeps its own, lowest numbers first, up to its share; who comes first in the order
 *    of the map and has enough may keep one more.
 * 2. What is left is dealt in order to those below their share, round by round, then one each to
 *    those at it, by id.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "coord/assign_work.h"

#include <stdlib.h>
#include <string.h>

/* A claim holds against those of older generations; two of one generation cancel each other. */
static int judge_claims(struct kj_assign_work *work, struct kj_assign_claims *claims)
{
    claims->order = kj_assign_take(work, work->member_count, sizeof *claims->order);
    claims->owner = kj_assign_take(work, work->partition_count, sizeof *claims->owner);
    claims->twice = kj_assign_take(work, work->partition_count, sizeof *claims->twice);
    uint32_t *newest = kj_assign_take(work, work->partition_count, sizeof *newest);
    if (claims->order == NULL || claims->owner == NULL || claims->twice == NULL || newest == NULL)
        return kj_err_oom("an assignment");
    KJ_TRY(kj_assign_map_order(work, claims->order));
    for (uint32_t p = 0; p < work->partition_count; p++)
        claims->owner[p] = newest[p] = KJ_ASSIGN_NONE;
    for (uint32_t i = 0; i < work->member_count; i++) {
        uint32_t m = claims->order[i];
        const struct kj_assign_member *member = work->members[m].from;
        for (size_t k = 0; k < member->owned_count; k++) {
            uint32_t p = kj_assign_number(work, member->owned[k]);
            if (p == KJ_ASSIGN_NONE)
                continue;
            int32_t before = newest[p] == KJ_ASSIGN_NONE
                                 ? INT32_MIN
                                 : work->members[newest[p]].from->generation;
            if (newest[p] != KJ_ASSIGN_NONE && member->generation < before)
                continue;
            bool tie = newest[p] != KJ_ASSIGN_NONE && member->generation == before;
            newest[p] = m;
            claims->owner[p] = tie ? KJ_ASSIGN_NONE : m;
            claims->twice[p] = claims->twice[p] || tie;
        }
    }
    return 0;
}

static int equal_subscriptions(struct kj_assign_work *work, bool *ret_equal)
{
    size_t *seen = kj_assign_take(work, work->input->topic_count, sizeof *seen);
    if (seen == NULL)
        return kj_err_oom("an assignment");
    const struct kj_assign_member *first = work->members[0].from;
    *ret_equal = true;
    for (uint32_t m = 0; m < work->member_count && *ret_equal; m++) {
        const struct kj_assign_member *member = work->members[m].from;
        /* Each topic of it was seen in the member before, and they are as many. */
        *ret_equal = member->topic_count == first->topic_count;
        for (size_t i = 0; i < member->topic_count && *ret_equal; i++) {
            *ret_equal = seen[member->topics[i]] == m; /* m + 1: it names it twice */
            seen[member->topics[i]] = (size_t)m + 1;
        }
    }
    return 0;
}

struct shares {
    uint32_t least, most; /* partitions of a member */
    uint32_t over;        /* so many may have most */
    uint32_t at_most;     /* so many were left with most */
    uint32_t *have;       /* partitions of each member */
    uint32_t *under, under_count;
    uint32_t *exact, exact_count;
    bool *is_under, *is_exact;
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Lists what each member owns, by number and then topic: member m has lists[starts[m]] up to
 * lists[starts[m + 1]]. */
static int list_owned(struct kj_assign_work *work, const uint32_t *owner, uint32_t **ret_lists,
                      uint32_t **ret_starts)
{
    uint64_t *keys = kj_assign_take(work, work->partition_count, sizeof *keys);
    uint32_t *lists = kj_assign_take(work, work->partition_count, sizeof *lists);
    uint32_t *starts = kj_assign_take(work, (size_t)work->member_count + 2, sizeof *starts);
    if (keys == NULL || lists == NULL || starts == NULL)
        return kj_err_oom("an assignment");
    uint32_t *next = starts + 1;
    size_t count = 0;
    for (uint32_t p = 0; p < work->partition_count; p++) {
        if (owner[p] == KJ_ASSIGN_NONE)
            continue;
        uint64_t number = p - work->topics[work->topic_of[p]].first;
        keys[count++] = number << 32 | p;
        next[owner[p] + 1]++;
    }
    qsort(keys, count, sizeof *keys, compare_u64);
    for (uint32_t m = 0; m < work->member_count; m++)
        next[m + 1] += next[m];
    for (size_t i = 0; i < count; i++) {
        uint32_t p = (uint32_t)keys[i];
        lists[next[owner[p]]++] = p;
    }
    *ret_lists = lists;
    *ret_starts = starts;
    return 0;
}

/* Step 1 for one member. */
static void keep(struct kj_assign_work *work, struct shares *s, uint32_t m, const uint32_t *owned,
                 uint32_t owned_count)
{
    uint32_t kept = s->least;
    if (owned_count < s->least) {
        kept = owned_count;
        s->is_under[m] = true;
    } else if (owned_count >= s->most && s->at_most < s->over) {
        kept = s->most;
        if (++s->at_most == s->over) /* nobody else gets one more */
            memset(s->is_exact, 0, work->member_count * sizeof *s->is_exact);
    } else if (s->at_most < s->over) {
        s->is_exact[m] = true;
    }
    for (uint32_t i = 0; i < kept; i++)
        work->owner[owned[i]] = m;
    s->have[m] = kept;
}

/* Step 2. */
static void deal(struct kj_assign_work *work, struct shares *s,
                 const struct kj_assign_claims *claims, bool *moving)
{
    uint32_t at = 0, stay = 0, next_exact = 0;
    for (uint32_t m = 0; m < work->member_count; m++) {
        if (s->is_under[m])
            s->under[s->under_count++] = m;
        else if (s->is_exact[m])
            s->exact[s->exact_count++] = m;
    }
    for (uint32_t p = 0; p < work->partition_count; p++) {
        uint32_t m;
        if (work->owner[p] != KJ_ASSIGN_NONE)
            continue;
        if (at == s->under_count) { /* the next round, among those that are still below */
            s->under_count = stay;
            at = stay = 0;
        }
        if (s->under_count > 0) {
            m = s->under[at++];
            if (++s->have[m] == s->least)
                s->exact[s->exact_count++] = m;
            else
                s->under[stay++] = m;
        } else {
            KJ_ASSERT(next_exact < s->exact_count);
            m = s->exact[next_exact++];
            s->have[m]++;
        }
        work->owner[p] = m;
        moving[p] = claims->owner[p] != KJ_ASSIGN_NONE || claims->twice[p];
    }
}

static int assign_equal(struct kj_assign_work *work, struct kj_assign_claims *claims, bool *moving)
{
    uint32_t members = work->member_count, *lists = NULL, *starts = NULL;
    struct shares s = {
        .least = work->partition_count / members,
        .over = work->partition_count % members,
        .have = kj_assign_take(work, members, sizeof *s.have),
        .under = kj_assign_take(work, members, sizeof *s.under),
        .exact = kj_assign_take(work, members, sizeof *s.exact),
        .is_under = kj_assign_take(work, members, sizeof *s.is_under),
        .is_exact = kj_assign_take(work, members, sizeof *s.is_exact),
    };
    if (s.have == NULL || s.under == NULL || s.exact == NULL || s.is_under == NULL ||
        s.is_exact == NULL)
        return kj_err_oom("an assignment");
    s.most = s.least + (s.over > 0);
    for (uint32_t p = 0; p < work->partition_count; p++)
        if (claims->twice[p])
            claims->owner[p] = KJ_ASSIGN_NONE;
    KJ_TRY(list_owned(work, claims->owner, &lists, &starts));
    for (uint32_t i = 0; i < members; i++) {
        uint32_t m = claims->order[i];
        keep(work, &s, m, lists + starts[m], starts[m + 1] - starts[m]);
    }
    deal(work, &s, claims, moving);
    return 0;
}

int kj_assign_sticky(struct kj_assign_work *work, bool *moving, bool *ret_equal)
{
    struct kj_assign_claims claims;
    KJ_TRY(judge_claims(work, &claims));
    KJ_TRY(equal_subscriptions(work, ret_equal));
    return *ret_equal ? assign_equal(work, &claims, moving)
                      : kj_assign_sticky_general(work, &claims);
}
