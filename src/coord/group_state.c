/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/group_state.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* --- memory: given back all at once, with the group --- */

enum { CHUNK_BYTES = 16384 };

struct group_chunk {
    struct group_chunk *next;
    size_t used, capacity;
    _Alignas(8) uint8_t bytes[];
};

void *kj_group_alloc(struct kj_group *group, size_t count, size_t bytes)
{
    size_t want;
    if (__builtin_mul_overflow(count, bytes, &want) || want > SIZE_MAX / 2)
        return NULL;
    want = (want + 7) & ~(size_t)7;
    struct group_chunk *chunk = group->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < want) {
        size_t capacity = want > CHUNK_BYTES ? want : CHUNK_BYTES;
        chunk = kj_alloc(sizeof *chunk + capacity);
        if (chunk == NULL)
            return NULL;
        *chunk = (struct group_chunk){.next = group->chunks, .capacity = capacity};
        group->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += want;
    return p;
}

const char *kj_group_strdup(struct kj_group *group, const char *text, size_t len)
{
    char *copy = kj_group_alloc(group, len + 1, 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

int kj_group_new(const char *id, int32_t generation, struct kj_group **ret_group)
{
    struct kj_group *group = kj_alloc_zero(1, sizeof *group);
    if (group == NULL)
        return kj_err_oom("a group");
    group->id = kj_group_strdup(group, id, strlen(id));
    if (group->id == NULL) {
        kj_group_free(group);
        return kj_err_oom("a group");
    }
    group->phase = KJ_GROUP_EMPTY;
    group->generation = generation;
    group->assignor = KJ_GROUP_NO_ASSIGNOR;
    group->leader = "";
    *ret_group = group;
    return 0;
}

void kj_group_free(struct kj_group *group)
{
    if (group == NULL)
        return;
    for (struct group_chunk *chunk = group->chunks; chunk != NULL;) {
        struct group_chunk *next = chunk->next;
        kj_free(chunk);
        chunk = next;
    }
    kj_map_free(&group->topic_map);
    kj_free(group->topics);
    kj_free(group->members);
    kj_free(group);
}

/* --- looking --- */

struct kj_group_member *kj_group_find(const struct kj_group *group, const char *member_id)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (strcmp(group->members[i].id, member_id) == 0)
            return &group->members[i];
    return NULL;
}

struct kj_group_member *kj_group_find_instance(const struct kj_group *group,
                                               const char *instance_id)
{
    for (size_t i = 0; i < group->member_count && instance_id[0] != '\0'; i++)
        if (strcmp(group->members[i].instance_id, instance_id) == 0)
            return &group->members[i];
    return NULL;
}

static bool knows(const struct kj_group_member *member, uint8_t assignor)
{
    for (size_t i = 0; i < member->assignor_count; i++)
        if (member->assignors[i] == assignor)
            return true;
    return false;
}

static int compare_partitions(const void *a, const void *b)
{
    const struct kj_group_partition *x = a, *y = b;
    if (x->topic != y->topic)
        return x->topic < y->topic ? -1 : 1;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool partitions_valid(const struct kj_group *group, const struct kj_group_partitions *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].topic >= group->topic_count || list->items[i].partition < 0)
            return false;
        if (i > 0 && compare_partitions(&list->items[i - 1], &list->items[i]) >= 0)
            return false;
    }
    return true;
}

static bool member_valid(const struct kj_group *group, const struct kj_group_member *member)
{
    if (member->id[0] == '\0' || member->assignor_count == 0 ||
        member->assignor_count > KJ_GROUP_ASSIGNORS_MAX)
        return false;
    for (size_t i = 0; i < member->topic_count; i++)
        if (member->topics[i] >= group->topic_count ||
            (i > 0 && member->topics[i - 1] >= member->topics[i]))
            return false;
    if (!partitions_valid(group, &member->owned) || !partitions_valid(group, &member->assigned))
        return false;
    for (const struct kj_group_member *other = group->members; other < member; other++)
        if (strcmp(other->id, member->id) == 0 ||
            (member->instance_id[0] != '\0' &&
             strcmp(other->instance_id, member->instance_id) == 0))
            return false;
    return group->phase != KJ_GROUP_STABLE || knows(member, group->assignor);
}

bool kj_group_valid(const struct kj_group *group)
{
    if (group->phase != KJ_GROUP_EMPTY && group->phase != KJ_GROUP_PREPARING &&
        group->phase != KJ_GROUP_STABLE)
        return false;
    if (group->generation < 0 || (group->phase == KJ_GROUP_EMPTY) != (group->member_count == 0))
        return false;
    if (group->phase == KJ_GROUP_STABLE && kj_group_find(group, group->leader) == NULL)
        return false;
    for (size_t i = 0; i < group->member_count; i++)
        if (!member_valid(group, &group->members[i]))
            return false;
    return true;
}

int64_t kj_group_due_ms(const struct kj_group *group)
{
    if (group->phase != KJ_GROUP_PREPARING)
        return INT64_MAX;
    return group->initial_end_ms != 0 ? group->initial_end_ms : group->deadline_ms;
}

bool kj_group_expired(const struct kj_group_member *member, int64_t heartbeat_ms, int64_t now_ms)
{
    return heartbeat_ms < now_ms - member->session_timeout_ms; /* any word may stand there */
}

int kj_group_commit_error(const struct kj_group *group, const char *member_id,
                          const char *instance_id, int32_t generation)
{
    if (generation < 0 && member_id[0] == '\0' && instance_id[0] == '\0') {
        if (group->member_count == 0)
            return 0;
        return kj_err(KAJA_ERR_UNKNOWN_MEMBER_ID,
                      "group %s has members: only they may commit for it", group->id);
    }
    if (instance_id[0] != '\0') {
        const struct kj_group_member *holder = kj_group_find_instance(group, instance_id);
        if (holder != NULL && strcmp(holder->id, member_id) != 0)
            return kj_err(KAJA_ERR_FENCED_INSTANCE_ID,
                          "another member of group %s has taken over group.instance.id %s",
                          group->id, instance_id);
    }
    if (kj_group_find(group, member_id) == NULL)
        return kj_err(KAJA_ERR_UNKNOWN_MEMBER_ID, "%s is not a member of group %s any more",
                      member_id[0] == '\0' ? "the consumer" : member_id, group->id);
    if (generation != group->generation)
        return kj_err(KAJA_ERR_ILLEGAL_GENERATION,
                      "group %s is in generation %d, the commit is of generation %d", group->id,
                      group->generation, generation);
    return 0;
}

/* --- topics --- */

static int fill_map(struct kj_group *group)
{
    for (size_t i = group->topic_map.count; i < group->topic_count; i++)
        KJ_TRY(kj_map_put(&group->topic_map, group->topics[i].name,
                          strlen(group->topics[i].name), (void *)(uintptr_t)(i + 1)));
    return 0;
}

/* The number of a topic; made with an unknown count. */
static int topic_number(struct kj_group *group, const char *name, uint32_t *ret_number)
{
    size_t len = strlen(name);
    KJ_TRY(fill_map(group));
    uintptr_t found = (uintptr_t)kj_map_get(&group->topic_map, name, len);
    if (found == 0) {
        void *topics = group->topics;
        const char *copy = kj_group_strdup(group, name, len);
        if (copy == NULL)
            return kj_err_oom("a group's topics");
        KJ_TRY(kj_grow(&topics, &group->topic_capacity, group->topic_count + 1,
                       sizeof *group->topics));
        group->topics = topics;
        group->topics[group->topic_count++] = (struct kj_group_topic){copy, -1, 0};
        KJ_TRY(fill_map(group));
        found = group->topic_count;
    }
    *ret_number = (uint32_t)(found - 1);
    return 0;
}

static bool subscribed(const struct kj_group *group, uint32_t topic)
{
    for (size_t i = 0; i < group->member_count; i++) {
        const struct kj_group_member *member = &group->members[i];
        if (bsearch(&topic, member->topics, member->topic_count, sizeof topic, compare_numbers))
            return true;
    }
    return false;
}

/* What was seen at an older time is no news. */
static bool note_count(struct kj_group_topic *topic, int32_t partition_count, uint64_t seen)
{
    if (seen < topic->seen)
        return false;
    topic->seen = seen;
    bool different = topic->partition_count != partition_count;
    topic->partition_count = partition_count;
    return different;
}

/* Those that no list mentions go; numbers change with it. */
static int drop_unused_topics(struct kj_group *group)
{
    uint32_t *number = kj_alloc_zero(group->topic_count + 1, sizeof *number);
    if (number == NULL)
        return kj_err_oom("a group's topics");
    for (size_t i = 0; i < group->member_count; i++) {
        struct kj_group_member *member = &group->members[i];
        for (size_t k = 0; k < member->topic_count; k++)
            number[member->topics[k]] = 1;
        for (size_t k = 0; k < member->owned.count; k++)
            number[member->owned.items[k].topic] = 1;
        for (size_t k = 0; k < member->assigned.count; k++)
            number[member->assigned.items[k].topic] = 1;
    }
    uint32_t kept = 0;
    for (size_t i = 0; i < group->topic_count; i++)
        if (number[i] != 0) {
            group->topics[kept] = group->topics[i];
            number[i] = kept++;
        }
    bool moved = kept != group->topic_count;
    for (size_t i = 0; i < group->member_count && moved; i++) {
        struct kj_group_member *member = &group->members[i];
        for (size_t k = 0; k < member->topic_count; k++)
            member->topics[k] = number[member->topics[k]];
        for (size_t k = 0; k < member->owned.count; k++)
            member->owned.items[k].topic = number[member->owned.items[k].topic];
        for (size_t k = 0; k < member->assigned.count; k++)
            member->assigned.items[k].topic = number[member->assigned.items[k].topic];
    }
    if (moved) {
        group->topic_count = kept;
        kj_map_free(&group->topic_map);
    }
    kj_free(number);
    return 0;
}

/* --- lists --- */

static size_t unique(void *items, size_t count, size_t bytes,
                     int (*compare)(const void *, const void *))
{
    uint8_t *at = items;
    size_t kept = 0;
    if (count > 1)
        qsort(items, count, bytes, compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare(at + (kept - 1) * bytes, at + i * bytes) != 0) {
            memmove(at + kept * bytes, at + i * bytes, bytes);
            kept++;
        }
    return kept;
}

int kj_group_give(struct kj_group *group, struct kj_group_member *member,
                  const struct kj_group_partition *partitions, size_t count)
{
    struct kj_group_partition *items = kj_group_alloc(group, count, sizeof *items);
    if (items == NULL)
        return kj_err_oom("an assignment");
    if (count > 0)
        memcpy(items, partitions, count * sizeof *items);
    member->assigned.items = items;
    member->assigned.count = unique(items, count, sizeof *items, compare_partitions);
    return 0;
}

static bool same_partitions(const struct kj_group_partitions *a,
                            const struct kj_group_partitions *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (compare_partitions(&a->items[i], &b->items[i]) != 0)
            return false;
    return true;
}

/* What a member says about itself when it joins. */
static bool same_words(const struct kj_group_member *a, const struct kj_group_member *b)
{
    if (a->topic_count != b->topic_count || a->assignor_count != b->assignor_count)
        return false;
    for (size_t i = 0; i < a->topic_count; i++)
        if (a->topics[i] != b->topics[i])
            return false;
    return memcmp(a->assignors, b->assignors, a->assignor_count) == 0;
}

/* --- joining --- */

/* The member as the join describes it, in the group's memory; and the counts of its topics. */
static int describe(struct kj_group *group, const struct kj_group_join *join, const char *id,
                    struct kj_group_member *ret_member, bool *ret_counts_changed)
{
    struct kj_group_member member = {.slot = join->slot,
                                     .session_timeout_ms = join->session_timeout_ms,
                                     .rebalance_timeout_ms = join->rebalance_timeout_ms,
                                     .joined = true,
                                     .assignor_count = join->assignor_count,
                                     .owned_generation = join->owned_generation};
    KJ_ASSERT(join->assignor_count > 0 && join->assignor_count <= KJ_GROUP_ASSIGNORS_MAX);
    memcpy(member.assignors, join->assignors, join->assignor_count);
    member.id = kj_group_strdup(group, id, strlen(id));
    member.instance_id = kj_group_strdup(group, join->instance_id, strlen(join->instance_id));
    member.client_id = kj_group_strdup(group, join->client_id, strlen(join->client_id));
    member.topics = kj_group_alloc(group, join->topic_count, sizeof *member.topics);
    member.owned.items = kj_group_alloc(group, join->owned_count, sizeof *member.owned.items);
    if (member.id == NULL || member.instance_id == NULL || member.client_id == NULL ||
        member.topics == NULL || member.owned.items == NULL)
        return kj_err_oom("a member");
    for (size_t i = 0; i < join->topic_count; i++) {
        uint32_t number;
        KJ_TRY(topic_number(group, join->topics[i].name, &number));
        member.topics[i] = number;
        if (note_count(&group->topics[number], join->topics[i].partition_count, join->seen) &&
            subscribed(group, number))
            *ret_counts_changed = true;
    }
    for (size_t i = 0; i < join->owned_count; i++) {
        struct kj_group_partition *item = &member.owned.items[i];
        KJ_TRY(topic_number(group, join->owned[i].topic, &item->topic));
        item->partition = join->owned[i].partition;
    }
    member.topic_count =
        unique(member.topics, join->topic_count, sizeof *member.topics, compare_numbers);
    member.owned.count = unique(member.owned.items, join->owned_count, sizeof *member.owned.items,
                                compare_partitions);
    *ret_member = member;
    return 0;
}

/* Is there an assignor that all of them know, with these instead of those of `except`? */
static int check_assignors(const struct kj_group *group, const struct kj_group_join *join,
                           const struct kj_group_member *except)
{
    for (size_t i = 0; i < join->assignor_count; i++) {
        size_t with = 0;
        for (size_t k = 0; k < group->member_count; k++)
            with += &group->members[k] == except || knows(&group->members[k], join->assignors[i]);
        if (with == group->member_count)
            return 0;
    }
    return kj_err(KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL,
                  "the members of group %s and this one have no assignor in common "
                  "(partition.assignment.strategy)",
                  group->id);
}

static void prepare(struct kj_group *group, int64_t now_ms)
{
    int64_t longest_ms = 0;
    for (size_t i = 0; i < group->member_count; i++) {
        group->members[i].joined = false;
        if (group->members[i].rebalance_timeout_ms > longest_ms)
            longest_ms = group->members[i].rebalance_timeout_ms;
    }
    group->phase = KJ_GROUP_PREPARING;
    group->deadline_ms = now_ms + longest_ms;
    group->initial_end_ms = 0;
    group->newcomers = false;
    group->changed = true;
}

/* The first rebalance of an empty group gives others time to come. */
static void prepare_first(struct kj_group *group, const struct kj_group_join *join)
{
    prepare(group, join->now_ms);
    if (join->initial_delay_ms <= 0)
        return;
    int64_t whole_ms = join->rebalance_timeout_ms;
    int64_t first_ms = join->initial_delay_ms < whole_ms ? join->initial_delay_ms : whole_ms;
    group->initial_end_ms = join->now_ms + first_ms;
    group->initial_left_ms = whole_ms - first_ms;
    group->initial_delay_ms =
        join->initial_delay_ms < INT32_MAX ? join->initial_delay_ms : INT32_MAX;
}

static int add_member(struct kj_group *group, const struct kj_group_join *join,
                      const struct kj_group_member *described)
{
    if ((int64_t)group->member_count >= join->max_size)
        return kj_err(KAJA_ERR_GROUP_MAX_SIZE_REACHED, "group %s has group.max.size=%d members",
                      group->id, join->max_size);
    void *members = group->members;
    KJ_TRY(kj_grow(&members, &group->member_capacity, group->member_count + 1,
                   sizeof *group->members));
    group->members = members;
    group->members[group->member_count++] = *described;
    if (group->phase == KJ_GROUP_EMPTY)
        prepare_first(group, join);
    else if (group->phase == KJ_GROUP_STABLE)
        prepare(group, join->now_ms);
    else
        group->newcomers = true;
    group->members[group->member_count - 1].joined = true;
    /* The deadline of a rebalance that is on stays: who comes late must not stretch it. */
    group->changed = true;
    return 0;
}

/* A known member joins again, or a static one has come back under a new id. */
static void update_member(struct kj_group *group, struct kj_group_member *member,
                          const struct kj_group_member *described, bool counts_changed,
                          int64_t now_ms)
{
    struct kj_group_member old = *member;
    bool back = strcmp(old.id, described->id) != 0;
    bool leads = strcmp(group->leader, old.id) == 0;
    *member = *described;
    member->assigned = old.assigned;
    if (leads)
        group->leader = member->id;
    if (group->phase == KJ_GROUP_PREPARING) {
        group->changed = true;
        return;
    }
    /* Who has come back does not remember what it owned: that alone is no change. */
    bool same = same_words(&old, member) && !counts_changed &&
                (back || (!leads && same_partitions(&old.owned, &member->owned)));
    if (same && !back) {
        *member = old; /* nothing to publish */
        return;
    }
    if (same) {
        group->changed = true;
        group->record_due = true; /* it has another id */
        return;
    }
    prepare(group, now_ms);
    member->joined = true;
}

int kj_group_join(struct kj_group *group, const struct kj_group_join *join)
{
    struct kj_group_member *member = NULL;
    struct kj_group_member *holder = kj_group_find_instance(group, join->instance_id);
    const char *id = join->member_id;
    if (id[0] != '\0') {
        member = kj_group_find(group, id);
        if (holder != NULL && holder != member)
            return kj_err(KAJA_ERR_FENCED_INSTANCE_ID,
                          "another member of group %s has taken over group.instance.id %s",
                          group->id, join->instance_id);
        if (member == NULL)
            return kj_err(KAJA_ERR_UNKNOWN_MEMBER_ID, "%s is not a member of group %s any more",
                          id, group->id);
    } else {
        member = holder;
        id = join->new_id;
    }
    KJ_TRY(check_assignors(group, join, member));
    struct kj_group_member described;
    bool counts_changed = false;
    KJ_TRY(describe(group, join, id, &described, &counts_changed));
    if (member == NULL)
        return add_member(group, join, &described);
    update_member(group, member, &described, counts_changed || join->force, join->now_ms);
    return 0;
}

/* --- going --- */

void kj_group_remove(struct kj_group *group, struct kj_group_member *member, int64_t now_ms)
{
    size_t at = (size_t)(member - group->members);
    KJ_ASSERT(at < group->member_count);
    bool led = strcmp(group->leader, member->id) == 0;
    memmove(member, member + 1, (group->member_count - at - 1) * sizeof *member);
    group->member_count--;
    if (led)
        group->leader = group->member_count > 0 ? group->members[0].id : "";
    if (group->phase == KJ_GROUP_STABLE)
        prepare(group, now_ms);
    group->changed = true;
}

int kj_group_topics(struct kj_group *group, const struct kj_group_join_topic *topics, size_t count,
                    uint64_t seen, int64_t now_ms, bool *ret_different)
{
    bool different = false;
    KJ_TRY(fill_map(group));
    for (size_t i = 0; i < count; i++) {
        uintptr_t found = (uintptr_t)kj_map_get(&group->topic_map, topics[i].name,
                                                strlen(topics[i].name));
        if (found != 0 &&
            note_count(&group->topics[found - 1], topics[i].partition_count, seen) &&
            subscribed(group, (uint32_t)(found - 1)))
            different = true;
    }
    if (different)
        group->changed = true;
    if (different && group->phase == KJ_GROUP_STABLE)
        prepare(group, now_ms);
    if (ret_different != NULL)
        *ret_different = different;
    return 0;
}

/* --- completing --- */

/* True while the first rebalance goes on waiting. */
static bool waits_for_newcomers(struct kj_group *group, int64_t now_ms)
{
    if (group->initial_end_ms == 0)
        return false;
    if (now_ms < group->initial_end_ms)
        return true;
    if (!group->newcomers || group->initial_left_ms <= 0) {
        group->initial_end_ms = 0;
        return false;
    }
    int64_t more_ms = group->initial_delay_ms < group->initial_left_ms ? group->initial_delay_ms
                                                                       : group->initial_left_ms;
    group->newcomers = false;
    group->initial_end_ms = now_ms + more_ms;
    group->initial_left_ms -= more_ms;
    group->changed = true;
    return true;
}

static size_t count_joined(const struct kj_group *group)
{
    size_t joined = 0;
    for (size_t i = 0; i < group->member_count; i++)
        joined += group->members[i].joined;
    return joined;
}

/* Dynamic members that did not join in time go; static ones stay until their session ends. */
static void drop_late(struct kj_group *group)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].joined || group->members[i].instance_id[0] != '\0')
            group->members[kept++] = group->members[i];
    group->member_count = kept;
}

/* The leader is the first to have joined of those who are there. */
static void elect_leader(struct kj_group *group)
{
    const struct kj_group_member *leader = kj_group_find(group, group->leader);
    if (leader != NULL && leader->joined)
        return;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].joined) {
            group->leader = group->members[i].id;
            return;
        }
}

/* Each member votes for the first of its list that all know; most votes, then the first voter. */
static uint8_t elect_assignor(const struct kj_group *group)
{
    size_t votes[256] = {0};
    uint8_t best = KJ_GROUP_NO_ASSIGNOR;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < group->member_count; i++) {
            const struct kj_group_member *voter = &group->members[i];
            for (size_t k = 0; k < voter->assignor_count; k++) {
                uint8_t assignor = voter->assignors[k];
                size_t with = 0;
                for (size_t m = 0; m < group->member_count; m++)
                    with += knows(&group->members[m], assignor);
                if (with < group->member_count)
                    continue;
                if (round == 0)
                    votes[assignor]++;
                else if (best == KJ_GROUP_NO_ASSIGNOR || votes[assignor] > votes[best])
                    best = assignor;
                break;
            }
        }
    return best;
}

static int32_t next_generation(const struct kj_group *group)
{
    return group->generation >= INT32_MAX ? 1 : group->generation + 1;
}

static void become_empty(struct kj_group *group, int64_t wall_ms)
{
    group->phase = KJ_GROUP_EMPTY;
    /* As Kafka: commits of the old one are not taken for the next one's. */
    group->generation = next_generation(group);
    group->assignor = KJ_GROUP_NO_ASSIGNOR;
    group->leader = "";
    group->initial_end_ms = 0;
    group->state_timestamp_ms = wall_ms;
    group->record_due = true;
    group->changed = true;
}

int kj_group_complete(struct kj_group *group, int64_t now_ms, int64_t wall_ms,
                      kj_group_assign_fn *assign, void *arg)
{
    if (group->phase != KJ_GROUP_PREPARING)
        return 0;
    if (group->member_count == 0) {
        become_empty(group, wall_ms);
        return drop_unused_topics(group);
    }
    if (waits_for_newcomers(group, now_ms))
        return 0;
    size_t joined = count_joined(group);
    if (joined < group->member_count && now_ms < group->deadline_ms)
        return 0;
    group->changed = true;
    drop_late(group);
    if (group->member_count > 0 && joined == 0) { /* static ones, none of them here: wait on */
        prepare(group, now_ms);
        return 0;
    }
    if (group->member_count == 0) {
        become_empty(group, wall_ms);
        return drop_unused_topics(group);
    }
    elect_leader(group);
    KJ_TRY(drop_unused_topics(group));
    group->assignor = elect_assignor(group);
    if (group->assignor == KJ_GROUP_NO_ASSIGNOR) /* joins see to it; but the blob is input */
        return kj_err(KAJA_ERR_DAMAGED, "group %s has no assignor in common", group->id);
    for (size_t i = 0; i < group->member_count; i++)
        group->members[i].assigned = (struct kj_group_partitions){0};
    KJ_TRY(assign(arg, group, group->assignor));
    group->phase = KJ_GROUP_STABLE;
    group->generation = next_generation(group);
    group->initial_end_ms = 0;
    group->state_timestamp_ms = wall_ms;
    group->record_due = true;
    return 0;
}
