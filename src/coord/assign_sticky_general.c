/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/assign_sticky_general.c - the sticky assignor where members subscribe to different topics.
 *
 * 1. Every claim that holds is kept. What is left goes, topics with few subscribers first, each to
 *    the subscriber with the fewest partitions (then the smallest id).
 * 2. Partitions of topics with several subscribers are moved from who has at least two more than
 *    another subscriber: first only those just given out (unless a member had to give something
 *    up), then all, in the same order, until a pass moves nothing or nothing can get better.
 *    One that its owner of an older generation could take back without being too many goes there.
 * 3. Where there was an assignment before and the result is not more even than that of 1, that one
 *    is taken.
 *
 * Partitions of one topic do not change places: when one is to go from A to B while another went
 * from B to A before, that other one goes back instead (struct moves).
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/javahash.h"
#include "coord/assign_work.h"

#include <stdlib.h>
#include <string.h>

/* Partitions of a topic that went from one member to another. Which one goes back first is the
 * order of a java.util.HashSet<TopicPartition>: by bucket, then by arrival. It grows with what is
 * put into it, and is a new one once it was empty. */
struct moves {
    struct {
        uint32_t topic, from, to;
    } key;
    uint32_t slots;
    uint32_t *items;
    uint32_t count, capacity;
};

struct general {
    struct kj_assign_work *work;
    uint32_t *have;     /* partitions of each member */
    uint64_t *ladder;   /* members that take part, by partitions and then id: have << 32 | member */
    uint32_t rungs;
    uint64_t *subscribed; /* a bit for each member of each topic */
    size_t words;         /* of one topic */
    uint32_t *formerly;   /* owner of an older generation, or KJ_ASSIGN_NONE */
    uint32_t witness_member, witness_partition; /* that it is not balanced; KJ_ASSIGN_NONE */
    uint32_t next_topic;                        /* where the next witness is looked for */
    struct kj_map moves;
    uint32_t *moved_from; /* of each partition, or KJ_ASSIGN_NONE */
    uint32_t *moves_pos;  /* its place in the items of its moves */
    uint64_t *moves_turn; /* rises with each arrival */
    uint64_t turn;
};

/* --- the ladder --- */

static uint32_t rung_of(const struct general *g, uint64_t key)
{
    uint32_t low = 0, high = g->rungs;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->ladder[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t key_of(const struct general *g, uint32_t m)
{
    return (uint64_t)g->have[m] << 32 | m;
}

static void recount(struct general *g, uint32_t m, int32_t more)
{
    uint32_t from = rung_of(g, key_of(g, m));
    g->have[m] += (uint32_t)more;
    uint64_t key = key_of(g, m);
    uint32_t to = rung_of(g, key); /* counting itself where it was */
    if (more > 0) {
        to--;
        memmove(g->ladder + from, g->ladder + from + 1, (to - from) * sizeof *g->ladder);
    } else {
        memmove(g->ladder + to + 1, g->ladder + to, (from - to) * sizeof *g->ladder);
    }
    g->ladder[to] = key;
}

static bool subscribes(const struct general *g, uint32_t m, uint32_t t)
{
    return (g->subscribed[t * g->words + m / 64] >> m % 64 & 1) != 0;
}

/* The subscriber with the fewest partitions, then the smallest id. Few subscribers: looks at them;
 * many: one of them stands low on the ladder. */
static uint32_t least_of(const struct general *g, uint32_t t)
{
    const struct kj_assign_range *topic = &g->work->topics[t];
    if ((uint64_t)topic->subscriber_count * topic->subscriber_count <= g->rungs) {
        uint64_t least = UINT64_MAX;
        for (uint32_t i = 0; i < topic->subscriber_count; i++) {
            uint64_t key = key_of(g, topic->subscribers[i]);
            least = key < least ? key : least;
        }
        return (uint32_t)least;
    }
    for (uint32_t i = 0; i < g->rungs; i++)
        if (subscribes(g, (uint32_t)g->ladder[i], t))
            return (uint32_t)g->ladder[i];
    KJ_ASSERT(false); /* a subscriber of a topic with others takes part */
    return KJ_ASSIGN_NONE;
}

/* --- what went where --- */

static struct moves *moves_get(const struct general *g, uint32_t topic, uint32_t from, uint32_t to)
{
    uint32_t key[3] = {topic, from, to};
    struct moves *moves = kj_map_get(&g->moves, key, sizeof key);
    return moves != NULL && moves->count > 0 ? moves : NULL;
}

static void moves_remove(struct general *g, uint32_t p, uint32_t from, uint32_t to)
{
    struct moves *moves = moves_get(g, g->work->topic_of[p], from, to);
    KJ_ASSERT(moves != NULL && moves->items[g->moves_pos[p]] == p);
    uint32_t last = moves->items[--moves->count];
    moves->items[g->moves_pos[p]] = last;
    g->moves_pos[last] = g->moves_pos[p];
    g->moved_from[p] = KJ_ASSIGN_NONE;
}

static int moves_add(struct general *g, uint32_t p, uint32_t from, uint32_t to)
{
    enum { SLOTS_FIRST = 16 }; /* java.util.HashMap: 16, doubled when three quarters are passed */
    uint32_t key[3] = {g->work->topic_of[p], from, to};
    struct moves *moves = kj_map_get(&g->moves, key, sizeof key);
    if (moves == NULL) {
        moves = kj_assign_take(g->work, 1, sizeof *moves);
        if (moves == NULL)
            return kj_err_oom("an assignment");
        memcpy(&moves->key, key, sizeof key);
        KJ_TRY(kj_map_put(&g->moves, &moves->key, sizeof moves->key, moves));
    }
    if (moves->count == moves->capacity) {
        uint32_t wanted = moves->capacity * 2 + 4;
        uint32_t *items = kj_assign_take(g->work, wanted, sizeof *items);
        if (items == NULL)
            return kj_err_oom("an assignment");
        if (moves->count > 0)
            memcpy(items, moves->items, moves->count * sizeof *items);
        moves->items = items;
        moves->capacity = wanted;
    }
    if (moves->count == 0)
        moves->slots = SLOTS_FIRST;
    g->moves_pos[p] = moves->count;
    g->moves_turn[p] = g->turn++;
    g->moved_from[p] = from;
    moves->items[moves->count++] = p;
    if (moves->count > moves->slots / 4 * 3)
        moves->slots *= 2;
    return 0;
}

static uint32_t moves_first(const struct general *g, const struct moves *moves)
{
    const struct kj_assign_range *topic = &g->work->topics[moves->key.topic];
    uint32_t text = (uint32_t)kj_javahash(topic->from->name, strlen(topic->from->name));
    uint32_t first = KJ_ASSIGN_NONE, first_bucket = 0;
    for (uint32_t i = 0; i < moves->count; i++) {
        uint32_t p = moves->items[i];
        uint32_t hash = 31 * (31 + (p - topic->first)) + text; /* TopicPartition.hashCode */
        uint32_t bucket = kj_assign_bucket((int32_t)hash, moves->slots);
        if (first == KJ_ASSIGN_NONE || bucket < first_bucket ||
            (bucket == first_bucket && g->moves_turn[p] < g->moves_turn[first])) {
            first = p;
            first_bucket = bucket;
        }
    }
    return first;
}

/* Gives p, or the one that goes back in its place, to a member. */
static int reassign(struct general *g, uint32_t p, uint32_t to)
{
    struct kj_assign_work *work = g->work;
    uint32_t source = g->moved_from[p] != KJ_ASSIGN_NONE ? g->moved_from[p] : work->owner[p];
    const struct moves *back = moves_get(g, work->topic_of[p], to, source);
    if (back != NULL)
        p = moves_first(g, back);
    uint32_t from = work->owner[p];
    KJ_ASSERT(from != to);
    source = g->moved_from[p];
    if (source != KJ_ASSIGN_NONE)
        moves_remove(g, p, source, from);
    else
        source = from;
    if (source != to)
        KJ_TRY(moves_add(g, p, source, to));
    work->owner[p] = to;
    recount(g, from, -1);
    recount(g, to, 1);
    return 0;
}

/* --- balance --- */

/* Nobody could get a partition from a member that has more. */
static bool balanced(struct general *g)
{
    const struct kj_assign_work *work = g->work;
    if (g->rungs == 0 || (g->ladder[g->rungs - 1] >> 32) - (g->ladder[0] >> 32) <= 1)
        return true;
    if (g->witness_partition != KJ_ASSIGN_NONE &&
        g->have[work->owner[g->witness_partition]] > g->have[g->witness_member])
        return false;
    for (uint32_t i = 0; i < work->topic_count; i++) {
        uint32_t t = (g->next_topic + i) % work->topic_count;
        const struct kj_assign_range *topic = &work->topics[t];
        if (topic->subscriber_count < 2)
            continue;
        uint32_t top = topic->first;
        for (uint32_t p = topic->first; p < topic->first + topic->count; p++)
            if (g->have[work->owner[p]] > g->have[work->owner[top]])
                top = p;
        uint32_t least = least_of(g, t);
        if (g->have[work->owner[top]] > g->have[least]) {
            g->witness_member = least;
            g->witness_partition = top;
            g->next_topic = t;
            return false;
        }
    }
    return true;
}

/* Step 2 over these partitions. */
static int even_out(struct general *g, const uint32_t *list, uint32_t count, bool *ret_moved)
{
    bool again = true;
    *ret_moved = false;
    for (int pass = 0; again && pass < KJ_ASSIGN_PASSES_MAX; pass++) {
        again = false;
        for (uint32_t i = 0; i < count && !balanced(g); i++) {
            uint32_t p = list[i], t = g->work->topic_of[p], to = g->formerly[p];
            uint32_t have = g->have[g->work->owner[p]];
            if (to == KJ_ASSIGN_NONE || have <= g->have[to] + 1) {
                to = least_of(g, t);
                if (have <= g->have[to] + 1)
                    continue;
            }
            KJ_TRY(reassign(g, p, to));
            again = *ret_moved = true;
        }
    }
    return 0;
}

/* Sum of the differences between any two members. */
static uint64_t unevenness(const struct general *g)
{
    uint64_t sum = 0, below = 0;
    for (uint32_t i = 0; i < g->rungs; i++) {
        uint64_t have = g->ladder[i] >> 32;
        sum += have * i - below;
        below += have;
    }
    return sum;
}

/* --- the steps --- */

static int begin(struct general *g)
{
    struct kj_assign_work *work = g->work;
    g->words = ((size_t)work->member_count + 63) / 64;
    size_t bits;
    if (__builtin_mul_overflow(g->words, work->topic_count, &bits))
        return kj_err_oom("an assignment");
    g->have = kj_assign_take(work, work->member_count, sizeof *g->have);
    g->ladder = kj_assign_take(work, work->member_count, sizeof *g->ladder);
    g->subscribed = kj_assign_take(work, bits, sizeof *g->subscribed);
    g->formerly = kj_assign_take(work, work->partition_count, sizeof *g->formerly);
    g->moved_from = kj_assign_take(work, work->partition_count, sizeof *g->moved_from);
    g->moves_pos = kj_assign_take(work, work->partition_count, sizeof *g->moves_pos);
    g->moves_turn = kj_assign_take(work, work->partition_count, sizeof *g->moves_turn);
    if (g->have == NULL || g->ladder == NULL || g->subscribed == NULL || g->formerly == NULL ||
        g->moved_from == NULL || g->moves_pos == NULL || g->moves_turn == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t p = 0; p < work->partition_count; p++)
        g->formerly[p] = g->moved_from[p] = KJ_ASSIGN_NONE;
    for (uint32_t t = 0; t < work->topic_count; t++) {
        const struct kj_assign_range *topic = &work->topics[t];
        for (uint32_t i = 0; i < topic->subscriber_count; i++) {
            uint32_t m = topic->subscribers[i];
            g->subscribed[t * g->words + m / 64] |= (uint64_t)1 << m % 64;
        }
    }
    return 0;
}

/* Finds for each partition the owner of the newest generation but the group's last; the first of
 * them in the order of the map. */
static int find_former_owners(struct general *g, const struct kj_assign_claims *claims)
{
    struct kj_assign_work *work = g->work;
    int32_t *since = kj_assign_take(work, work->partition_count, sizeof *since);
    if (since == NULL)
        return kj_err_oom("an assignment");
    int32_t last = -1;
    for (uint32_t m = 0; m < work->member_count; m++)
        last = work->members[m].from->generation > last ? work->members[m].from->generation : last;
    for (uint32_t i = 0; i < work->member_count; i++) {
        uint32_t m = claims->order[i];
        const struct kj_assign_member *member = work->members[m].from;
        for (size_t k = 0; k < member->owned_count && member->generation < last; k++) {
            uint32_t p = kj_assign_number(work, member->owned[k]);
            if (p == KJ_ASSIGN_NONE ||
                (g->formerly[p] != KJ_ASSIGN_NONE && member->generation <= since[p]))
                continue;
            g->formerly[p] = m;
            since[p] = member->generation;
        }
    }
    for (uint32_t p = 0; p < work->partition_count; p++)
        if (g->formerly[p] != KJ_ASSIGN_NONE && !subscribes(g, g->formerly[p], work->topic_of[p]))
            g->formerly[p] = KJ_ASSIGN_NONE;
    return 0;
}

static void keep_claims(struct general *g, const struct kj_assign_claims *claims,
                        bool *ret_gave_up)
{
    struct kj_assign_work *work = g->work;
    *ret_gave_up = false;
    for (uint32_t p = 0; p < work->partition_count; p++) {
        uint32_t m = claims->owner[p];
        if (m == KJ_ASSIGN_NONE)
            continue;
        if (subscribes(g, m, work->topic_of[p])) {
            work->owner[p] = m;
            g->have[m]++;
        } else {
            *ret_gave_up = true;
        }
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Puts members on the ladder; can_move NULL: all of them. */
static void climb(struct general *g, const bool *can_move)
{
    g->rungs = 0;
    for (uint32_t m = 0; m < g->work->member_count; m++)
        if (can_move == NULL || can_move[m])
            g->ladder[g->rungs++] = key_of(g, m);
    qsort(g->ladder, g->rungs, sizeof *g->ladder, compare_u64);
}

/* Leaves on the ladder those that could get more or less. */
static int take_part(struct general *g)
{
    struct kj_assign_work *work = g->work;
    uint64_t *could_have = kj_assign_take(work, work->member_count, sizeof *could_have);
    bool *can_move = kj_assign_take(work, work->member_count, sizeof *can_move);
    if (could_have == NULL || can_move == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t t = 0; t < work->topic_count; t++) {
        const struct kj_assign_range *topic = &work->topics[t];
        for (uint32_t i = 0; i < topic->subscriber_count; i++)
            could_have[topic->subscribers[i]] += topic->count;
    }
    for (uint32_t m = 0; m < work->member_count; m++)
        can_move[m] = g->have[m] < could_have[m];
    for (uint32_t p = 0; p < work->partition_count; p++)
        if (work->topics[work->topic_of[p]].subscriber_count > 1)
            can_move[work->owner[p]] = true;
    climb(g, can_move);
    return 0;
}

/* All partitions, of topics with few subscribers first. */
static int list_partitions(struct kj_assign_work *work, uint32_t **ret_list)
{
    uint32_t *list = kj_assign_take(work, work->partition_count, sizeof *list);
    uint64_t *topics = kj_assign_take(work, work->topic_count, sizeof *topics);
    if (list == NULL || topics == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t t = 0; t < work->topic_count; t++)
        topics[t] = (uint64_t)work->topics[t].subscriber_count << 32 | t;
    qsort(topics, work->topic_count, sizeof *topics, compare_u64);
    uint32_t n = 0;
    for (uint32_t i = 0; i < work->topic_count; i++) {
        const struct kj_assign_range *topic = &work->topics[(uint32_t)topics[i]];
        for (uint32_t p = 0; p < topic->count; p++)
            list[n++] = topic->first + p;
    }
    *ret_list = list;
    return 0;
}

static int assign(struct general *g, const struct kj_assign_claims *claims)
{
    struct kj_assign_work *work = g->work;
    bool gave_up, moved;
    uint32_t *list = NULL, fresh_count = 0, movable_count = 0;
    KJ_TRY(begin(g));
    KJ_TRY(find_former_owners(g, claims));
    KJ_TRY(list_partitions(work, &list));
    uint32_t *fresh = kj_assign_take(work, work->partition_count, sizeof *fresh);
    uint32_t *before = kj_assign_take(work, work->partition_count, sizeof *before);
    if (fresh == NULL || before == NULL)
        return kj_err_oom("an assignment");
    keep_claims(g, claims, &gave_up);
    climb(g, NULL);
    bool first_time = g->ladder[g->rungs - 1] >> 32 == 0;
    for (uint32_t i = 0; i < work->partition_count; i++) {
        uint32_t p = list[i];
        bool movable = work->topics[work->topic_of[p]].subscriber_count > 1;
        if (work->owner[p] == KJ_ASSIGN_NONE) {
            work->owner[p] = least_of(g, work->topic_of[p]);
            recount(g, work->owner[p], 1);
            if (movable)
                fresh[fresh_count++] = p;
        }
        if (movable)
            list[movable_count++] = p;
    }
    KJ_TRY(take_part(g));
    memcpy(before, work->owner, work->partition_count * sizeof *before);
    uint64_t uneven = unevenness(g);
    if (!gave_up)
        KJ_TRY(even_out(g, fresh, fresh_count, &moved));
    KJ_TRY(even_out(g, list, movable_count, &moved));
    if (!first_time && moved && unevenness(g) >= uneven)
        memcpy(work->owner, before, work->partition_count * sizeof *before);
    return 0;
}

int kj_assign_sticky_general(struct kj_assign_work *work, const struct kj_assign_claims *claims)
{
    struct general g = {.work = work, .witness_partition = KJ_ASSIGN_NONE};
    kj_map_init(&g.moves);
    int err = assign(&g, claims);
    kj_map_free(&g.moves);
    return err;
}
