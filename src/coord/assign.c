/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/assign.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/javahash.h"
#include "coord/assign_work.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[KJ_ASSIGNOR_COUNT] = {"range", "roundrobin", "sticky",
                                                     "cooperative-sticky"};

const char *kj_assignor_name(enum kj_assignor assignor)
{
    KJ_ASSERT((size_t)assignor < KJ_ASSIGNOR_COUNT);
    return names[assignor];
}

bool kj_assignor_parse(const char *name, size_t name_len, enum kj_assignor *ret_assignor)
{
    for (size_t i = 0; i < KJ_ASSIGNOR_COUNT; i++) {
        if (strlen(names[i]) == name_len && memcmp(names[i], name, name_len) == 0) {
            *ret_assignor = (enum kj_assignor)i;
            return true;
        }
    }
    return false;
}

bool kj_assignor_is_cooperative(enum kj_assignor assignor)
{
    return assignor == KJ_ASSIGNOR_COOPERATIVE_STICKY;
}

/* --- memory of one assignment --- */

struct kj_assign_block {
    struct kj_assign_block *next;
    max_align_t bytes[];
};

void *kj_assign_take(struct kj_assign_work *work, size_t count, size_t bytes)
{
    size_t wanted;
    if (__builtin_mul_overflow(count, bytes, &wanted) ||
        __builtin_add_overflow(wanted, sizeof(struct kj_assign_block), &wanted))
        return NULL;
    struct kj_assign_block *block = kj_alloc_zero(1, wanted);
    if (block == NULL)
        return NULL;
    block->next = work->blocks;
    work->blocks = block;
    return block->bytes;
}

static void release(struct kj_assign_work *work)
{
    for (struct kj_assign_block *block = work->blocks; block != NULL;) {
        struct kj_assign_block *next = block->next;
        kj_free(block);
        block = next;
    }
    work->blocks = NULL;
}

/* --- order --- */

/* As String.compareTo, which looks at UTF-16 units: what lies beyond 16 bits counts as surrogates,
 * and these come before U+E000. Otherwise the order of UTF-8 bytes is the same. */
static int compare_text(const char *a, const char *b)
{
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    while (*x == *y && *x != 0) {
        x++;
        y++;
    }
    if ((*x >= 0xf0 && (*y == 0xee || *y == 0xef)) || (*y >= 0xf0 && (*x == 0xee || *x == 0xef)))
        return *x >= 0xf0 ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

static int compare_ids(const void *a, const void *b)
{
    const struct kj_assign_seat *x = a, *y = b;
    return compare_text(x->from->id, y->from->id);
}

static bool is_static(const struct kj_assign_member *member)
{
    return member->instance_id != NULL && member->instance_id[0] != '\0';
}

static int compare_instances(const void *a, const void *b)
{
    const struct kj_assign_seat *x = a, *y = b;
    if (is_static(x->from) != is_static(y->from))
        return is_static(x->from) ? -1 : 1;
    int diff = is_static(x->from) ? compare_text(x->from->instance_id, y->from->instance_id) : 0;
    return diff != 0 ? diff : compare_ids(a, b);
}

static int compare_topics(const void *a, const void *b)
{
    const struct kj_assign_range *x = a, *y = b;
    return compare_text(x->from->name, y->from->name);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

int kj_assign_map_order(struct kj_assign_work *work, uint32_t *ret_members)
{
    uint32_t count = work->member_count;
    uint32_t slots = 16;
    while (count > slots / 4 * 3 && slots < 1u << 30)
        slots *= 2;
    uint64_t *keys = kj_assign_take(work, count, sizeof *keys);
    uint32_t *number = kj_assign_take(work, count, sizeof *number);
    if (keys == NULL || number == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t m = 0; m < count; m++) {
        const char *id = work->members[m].from->id;
        uint64_t bucket = kj_assign_bucket(kj_javahash(id, strlen(id)), slots);
        keys[m] = bucket << 32 | work->members[m].input;
        number[work->members[m].input] = m;
    }
    if (count > 0)
        qsort(keys, count, sizeof *keys, compare_u64);
    for (uint32_t i = 0; i < count; i++)
        ret_members[i] = number[(uint32_t)keys[i]];
    return 0;
}

/* --- numbers --- */

static int number_members(struct kj_assign_work *work, bool instances_first)
{
    const struct kj_assign_input *input = work->input;
    if (input->member_count >= KJ_ASSIGN_NONE)
        return kj_err_oom("an assignment");
    work->member_count = (uint32_t)input->member_count;
    work->members = kj_assign_take(work, work->member_count, sizeof *work->members);
    if (work->members == NULL)
        return kj_err_oom("an assignment");
    for (uint32_t m = 0; m < work->member_count; m++)
        work->members[m] = (struct kj_assign_seat){&input->members[m], m};
    if (work->member_count > 0)
        qsort(work->members, work->member_count, sizeof *work->members,
              instances_first ? compare_instances : compare_ids);
    return 0;
}

/* Counts the subscribers of each input topic that exists; a list may name a topic twice. */
static int count_subscribers(struct kj_assign_work *work, uint32_t *counts, uint32_t *last)
{
    const struct kj_assign_input *input = work->input;
    size_t entries = 0;
    for (uint32_t m = 0; m < work->member_count; m++) {
        const struct kj_assign_member *member = work->members[m].from;
        for (size_t i = 0; i < member->topic_count; i++) {
            uint32_t t = member->topics[i];
            KJ_ASSERT(t < input->topic_count);
            if (input->topics[t].partition_count <= 0 || last[t] == m + 1)
                continue;
            last[t] = m + 1;
            counts[t]++;
            entries++;
        }
    }
    uint64_t partitions = 0;
    for (size_t t = 0; t < input->topic_count; t++) {
        work->topic_count += counts[t] > 0;
        partitions += counts[t] > 0 ? (uint64_t)input->topics[t].partition_count : 0;
    }
    uint32_t *lists = kj_assign_take(work, entries, sizeof *lists);
    work->topics = kj_assign_take(work, work->topic_count, sizeof *work->topics);
    if (partitions >= KJ_ASSIGN_NONE || lists == NULL || work->topics == NULL)
        return kj_err_oom("an assignment");
    work->partition_count = (uint32_t)partitions;
    uint32_t n = 0;
    for (uint32_t t = 0; t < input->topic_count; t++) {
        if (counts[t] == 0)
            continue;
        const struct kj_assign_topic *from = &input->topics[t];
        work->topics[n++] = (struct kj_assign_range){
            .from = from, .input = t, .count = (uint32_t)from->partition_count,
            .subscribers = lists};
        lists += counts[t];
    }
    return 0;
}

static int number_topics(struct kj_assign_work *work)
{
    const struct kj_assign_input *input = work->input;
    if (input->topic_count >= KJ_ASSIGN_NONE)
        return kj_err_oom("an assignment");
    uint32_t *counts = kj_assign_take(work, input->topic_count, sizeof *counts);
    uint32_t *last = kj_assign_take(work, input->topic_count, sizeof *last);
    work->topic_of_input = kj_assign_take(work, input->topic_count, sizeof *work->topic_of_input);
    if (counts == NULL || last == NULL || work->topic_of_input == NULL)
        return kj_err_oom("an assignment");
    KJ_TRY(count_subscribers(work, counts, last));
    if (work->topic_count > 0)
        qsort(work->topics, work->topic_count, sizeof *work->topics, compare_topics);
    work->owner = kj_assign_take(work, work->partition_count, sizeof *work->owner);
    work->topic_of = kj_assign_take(work, work->partition_count, sizeof *work->topic_of);
    if (work->owner == NULL || work->topic_of == NULL)
        return kj_err_oom("an assignment");
    for (size_t t = 0; t < input->topic_count; t++)
        work->topic_of_input[t] = KJ_ASSIGN_NONE;
    uint32_t first = 0;
    for (uint32_t t = 0; t < work->topic_count; t++) {
        struct kj_assign_range *topic = &work->topics[t];
        work->topic_of_input[topic->input] = t;
        topic->first = first;
        for (uint32_t p = 0; p < topic->count; p++) {
            work->topic_of[first + p] = t;
            work->owner[first + p] = KJ_ASSIGN_NONE;
        }
        first += topic->count;
    }
    for (uint32_t m = 0; m < work->member_count; m++) {
        const struct kj_assign_member *member = work->members[m].from;
        for (size_t i = 0; i < member->topic_count; i++) {
            uint32_t t = work->topic_of_input[member->topics[i]];
            struct kj_assign_range *topic = t == KJ_ASSIGN_NONE ? NULL : &work->topics[t];
            uint32_t n = topic == NULL ? 0 : topic->subscriber_count;
            if (topic != NULL && (n == 0 || topic->subscribers[n - 1] != m))
                topic->subscribers[topic->subscriber_count++] = m;
        }
    }
    return 0;
}

uint32_t kj_assign_number(const struct kj_assign_work *work, struct kj_assign_partition partition)
{
    KJ_ASSERT(partition.topic < work->input->topic_count);
    uint32_t t = work->topic_of_input[partition.topic];
    if (t == KJ_ASSIGN_NONE || partition.partition < 0 ||
        (uint32_t)partition.partition >= work->topics[t].count)
        return KJ_ASSIGN_NONE;
    return work->topics[t].first + (uint32_t)partition.partition;
}

/* --- the whole --- */

static int give_out(const struct kj_assign_work *work, struct kj_assignment *ret_assignment)
{
    struct kj_assignment made = {
        .partitions = kj_alloc_zero(work->partition_count, sizeof *made.partitions),
        .starts = kj_alloc_zero((size_t)work->member_count + 2, sizeof *made.starts)};
    if (made.partitions == NULL || made.starts == NULL) {
        kj_assignment_free(&made);
        return kj_err_oom("an assignment");
    }
    size_t *next = made.starts + 1; /* while they are filled; then next[i] is the end of i */
    for (uint32_t p = 0; p < work->partition_count; p++)
        if (work->owner[p] != KJ_ASSIGN_NONE)
            next[work->members[work->owner[p]].input + 1]++;
    for (uint32_t i = 0; i < work->member_count; i++)
        next[i + 1] += next[i];
    for (uint32_t p = 0; p < work->partition_count; p++) {
        if (work->owner[p] == KJ_ASSIGN_NONE)
            continue;
        const struct kj_assign_range *topic = &work->topics[work->topic_of[p]];
        made.partitions[next[work->members[work->owner[p]].input]++] =
            (struct kj_assign_partition){topic->input, (int32_t)(p - topic->first)};
    }
    *ret_assignment = made;
    return 0;
}

static int assign(struct kj_assign_work *work, enum kj_assignor assignor)
{
    KJ_TRY(number_members(work, assignor < KJ_ASSIGNOR_STICKY));
    KJ_TRY(number_topics(work));
    if (work->partition_count == 0)
        return 0;
    switch (assignor) {
    case KJ_ASSIGNOR_RANGE:
        kj_assign_by_range(work);
        return 0;
    case KJ_ASSIGNOR_ROUNDROBIN:
        kj_assign_roundrobin(work);
        return 0;
    case KJ_ASSIGNOR_COOPERATIVE_STICKY:
        return kj_assign_cooperative(work);
    case KJ_ASSIGNOR_STICKY:
        break;
    }
    bool equal;
    bool *moving = kj_assign_take(work, work->partition_count, sizeof *moving);
    return moving == NULL ? kj_err_oom("an assignment") : kj_assign_sticky(work, moving, &equal);
}

int kj_assign(enum kj_assignor assignor, const struct kj_assign_input *input,
              struct kj_assignment *ret_assignment)
{
    struct kj_assign_work work = {.input = input};
    int err = assign(&work, assignor);
    if (err == 0)
        err = give_out(&work, ret_assignment);
    release(&work);
    return err;
}

void kj_assignment_free(struct kj_assignment *assignment)
{
    kj_free(assignment->partitions);
    kj_free(assignment->starts);
    *assignment = (struct kj_assignment){0};
}
