/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/commits.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>

/* An asynchronous commit: appended, or failed; its callback is to come. */
struct kj_commit_pending {
    struct kj_commit_pending *next;
    struct kj_offset_ticket ticket;
    int error;
    kaja_commit_callback *callback;
    void *arg;
    bool automatic;
};

int kj_commits_init(struct kj_commits *commits, struct kj_store *store, struct kj_groups *groups,
                    struct kj_offset_store *offsets, const char *group_id, bool durable)
{
    *commits = (struct kj_commits){.store = store, .durable = durable};
    commits->end = &commits->first;
    if (group_id == NULL)
        return 0;
    KJ_TRY(kj_offset_group_check(group_id));
    commits->group_id = kj_strdup(group_id);
    if (commits->group_id == NULL)
        return kj_err_oom("a consumer");
    commits->offsets = offsets;
    commits->as.groups = groups;
    commits->as.group_id = commits->group_id;
    commits->as.generation = -1;
    return 0;
}

static void serve(struct kj_commits *commits, bool wait, int64_t deadline_ns);

void kj_commits_free(struct kj_commits *commits, int64_t deadline_ns)
{
    serve(commits, true, deadline_ns);
    kj_free(commits->items);
    kj_free(commits->group_id);
    kj_buffer_free(&commits->texts);
}

static int want_group(const struct kj_commits *commits)
{
    if (commits->offsets != NULL)
        return 0;
    return kj_err(KAJA_ERR_INVALID_GROUP_ID, "the consumer has no group.id");
}

/* --- what is committed --- */

static int gather_positions(struct kj_commits *commits, const struct kj_subscription *subscription,
                            size_t *ret_count)
{
    size_t count = 0;
    void *items = commits->items;
    KJ_TRY(kj_grow(&items, &commits->item_capacity, subscription->count, sizeof *commits->items));
    commits->items = items;
    for (size_t i = 0; i < subscription->count; i++) {
        const struct kj_assigned *assigned = subscription->items[i];
        /* Of a topic that went, also a moment ago: one made anew must not begin there. */
        if (assigned->kind != KJ_POSITION_AT || assigned->gone || kj_topic_deleted(assigned->topic))
            continue;
        commits->items[count++] = (struct kj_offset_item){.topic = assigned->name,
                                                          .partition = assigned->number,
                                                          .leader_epoch = assigned->leader_epoch,
                                                          .offset = assigned->offset};
    }
    *ret_count = count;
    return 0;
}

/* The topic is there, and has the partition. */
static int check_partition(struct kj_commits *commits, const char *name, int32_t partition)
{
    struct kj_topic *topic;
    KJ_TRY(kj_topic_find(commits->store, name, false, &topic));
    int32_t count = kj_topic_partition_count(topic);
    kj_topic_release(topic);
    if (partition < count)
        return 0;
    return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                            "topic %s has %d partitions, no number %d", name, count, partition),
                     name, partition, -1, -1);
}

static int gather_given(struct kj_commits *commits, const struct kaja_committed_offset *offsets,
                        size_t count)
{
    void *items = commits->items;
    KJ_TRY(kj_grow(&items, &commits->item_capacity, count, sizeof *commits->items));
    commits->items = items;
    for (size_t i = 0; i < count; i++) {
        KJ_TRY(check_partition(commits, offsets[i].topic, offsets[i].partition));
        commits->items[i] = (struct kj_offset_item){.topic = offsets[i].topic,
                                                    .partition = offsets[i].partition,
                                                    .leader_epoch = offsets[i].leader_epoch,
                                                    .offset = offsets[i].offset,
                                                    .metadata = offsets[i].metadata};
    }
    return 0;
}

static int gather(struct kj_commits *commits, const struct kj_subscription *subscription,
                  const struct kaja_committed_offset *offsets, size_t *count)
{
    return offsets == NULL ? gather_positions(commits, subscription, count)
                           : gather_given(commits, offsets, *count);
}

static int append(struct kj_commits *commits, size_t count, int64_t deadline_ns,
                  struct kj_offset_ticket *ret_ticket)
{
    const struct kj_offset_commit commit = {.group_id = commits->group_id,
                                            .items = commits->items,
                                            .count = count,
                                            .durable = commits->durable,
                                            .deadline_ns = deadline_ns,
                                            .check = kj_group_check_commit,
                                            .check_arg = &commits->as};
    *ret_ticket = (struct kj_offset_ticket){.partition = NULL};
    return count == 0 ? 0 : kj_offset_store_commit(commits->offsets, &commit, ret_ticket);
}

/* --- committing --- */

int kj_commits_commit(struct kj_commits *commits, const struct kj_subscription *subscription,
                      const struct kaja_committed_offset *offsets, size_t count,
                      int64_t deadline_ns)
{
    static const int64_t pause_ns = 10000000;
    const struct kj_clock *clock = kj_store_clock(commits->store);
    struct kj_offset_ticket ticket;
    KJ_TRY(want_group(commits));
    kj_commits_serve(commits, true);
    KJ_TRY(gather(commits, subscription, offsets, &count));
    for (;;) {
        int err = append(commits, count, 0, &ticket);
        int64_t next_ns = kj_mono_ns(clock) + pause_ns;
        if (err == 0)
            break;
        if (!kaja_error_retriable(err) || next_ns >= deadline_ns)
            return err;
        (void)kj_store_wait(commits->store, NULL, NULL, 0, false, NULL, 0, next_ns); /* a pause */
    }
    return kj_offset_store_wait(commits->offsets, &ticket);
}

int kj_commits_commit_async(struct kj_commits *commits, const struct kj_subscription *subscription,
                            const struct kaja_committed_offset *offsets, size_t count,
                            kaja_commit_callback *callback, void *arg)
{
    KJ_TRY(want_group(commits));
    KJ_TRY(gather(commits, subscription, offsets, &count));
    struct kj_commit_pending *pending = kj_alloc_zero(1, sizeof *pending);
    if (pending == NULL)
        return kj_err_oom("a commit");
    pending->callback = callback;
    pending->arg = arg;
    pending->error = append(commits, count, 0, &pending->ticket);
    if (pending->error == 0 && pending->ticket.partition != NULL)
        kj_offset_store_flush_soon(commits->offsets);
    *commits->end = pending;
    commits->end = &pending->next;
    return 0;
}

/* Nobody asked for it, so nobody is told by a result. Kafka: a line in the log. */
static void tell_failed(struct kj_commits *commits, int error)
{
    struct kj_event event = {.kind = KAJA_EVENT_BACKGROUND,
                             .error = error,
                             .partition = -1,
                             .offset = -1,
                             .end_offset = -1};
    (void)snprintf(event.text, sizeof event.text, "the automatic commit of group %.100s failed: %s",
                   commits->group_id, kaja_error_detail());
    kj_store_event_add(commits->store, &event);
    kj_err_clear();
}

void kj_commits_commit_auto(struct kj_commits *commits, const struct kj_subscription *subscription,
                            int64_t deadline_ns)
{
    struct kj_offset_ticket ticket;
    size_t count;
    if (commits->offsets == NULL)
        return;
    struct kj_commit_pending *pending = kj_alloc_zero(1, sizeof *pending);
    int err = pending == NULL ? kj_err_oom("a commit") : 0;
    if (err == 0)
        err = gather_positions(commits, subscription, &count);
    if (err == 0)
        err = append(commits, count, deadline_ns, &ticket);
    if (err != 0) {
        tell_failed(commits, err);
        kj_free(pending);
        return;
    }
    if (ticket.partition != NULL)
        kj_offset_store_flush_soon(commits->offsets);
    pending->ticket = ticket;
    pending->automatic = true;
    *commits->end = pending;
    commits->end = &pending->next;
}

static void serve(struct kj_commits *commits, bool wait, int64_t deadline_ns)
{
    while (commits->first != NULL) {
        struct kj_commit_pending *pending = commits->first;
        int error = pending->error;
        if (error == 0 && wait)
            error = kj_offset_store_wait_by(commits->offsets, &pending->ticket, deadline_ns);
        else if (error == 0 &&
                 !kj_offset_store_done(commits->offsets, &pending->ticket, &error))
            return;
        commits->first = pending->next;
        if (commits->first == NULL)
            commits->end = &commits->first;
        /* One that only takes long is flushed by whoever flushes next. */
        if (pending->automatic && error != 0 && error != KAJA_ERR_TIMED_OUT)
            tell_failed(commits, error);
        if (pending->callback != NULL)
            pending->callback(pending->arg, error);
        kj_free(pending);
    }
}

void kj_commits_serve(struct kj_commits *commits, bool wait)
{
    serve(commits, wait, INT64_MAX);
}

bool kj_commits_awaited(const struct kj_commits *commits, struct kj_partition **ret_partition,
                        int64_t *ret_end)
{
    const struct kj_commit_pending *pending = commits->first;
    *ret_partition = NULL;
    *ret_end = 0;
    for (; pending != NULL; pending = pending->next) {
        int error = pending->error;
        if (error == 0 && !kj_offset_store_done(commits->offsets, &pending->ticket, &error)) {
            *ret_partition = pending->ticket.partition; /* the group's: all have the same */
            *ret_end = pending->ticket.end_offset;
        }
        if (pending->callback != NULL)
            break;
    }
    kj_err_clear();
    if (pending == NULL) /* what is pending, nobody asks for */
        *ret_partition = NULL;
    return pending != NULL && *ret_partition == NULL;
}

/* --- what was committed --- */

struct found {
    struct kj_commits *commits;
    struct kaja_committed_offset *offset;
    size_t text_at;
};

/* The text moves while others come: its place is kept until all are there. */
static int note(void *arg, const struct kj_committed *committed)
{
    struct found *found = arg;
    struct kj_buffer *texts = &found->commits->texts;
    size_t bytes = strlen(committed->metadata) + 1;
    found->offset->offset = committed->offset;
    found->offset->leader_epoch = committed->leader_epoch;
    if (texts->len + bytes > texts->capacity)
        KJ_TRY(kj_buffer_reserve(texts, (texts->len + bytes) * 2));
    memcpy(texts->bytes + texts->len, committed->metadata, bytes);
    found->text_at = texts->len;
    texts->len += bytes;
    return 0;
}

int kj_commits_committed(struct kj_commits *commits, const struct kaja_topic_partition *partitions,
                         size_t count, struct kaja_committed_offset *ret_offsets)
{
    KJ_TRY(want_group(commits));
    struct kaja_committed_offset *offsets = kj_alloc_zero(count, sizeof *offsets);
    size_t *texts = kj_alloc_zero(count, sizeof *texts);
    int err = offsets != NULL && texts != NULL ? 0 : kj_err_oom("committed offsets");
    commits->texts.len = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        struct found found = {.commits = commits, .offset = &offsets[i]};
        bool is_there;
        int64_t ignored;
        offsets[i] = (struct kaja_committed_offset){.topic = partitions[i].topic,
                                                    .partition = partitions[i].partition,
                                                    .leader_epoch = -1,
                                                    .offset = KAJA_OFFSET_NONE};
        err = kj_offset_store_fetch(commits->offsets, commits->group_id, partitions[i].topic,
                                    partitions[i].partition, &is_there, &ignored, note, &found);
        texts[i] = err == 0 && is_there ? found.text_at : SIZE_MAX;
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        offsets[i].metadata =
            texts[i] == SIZE_MAX ? "" : (const char *)commits->texts.bytes + texts[i];
        ret_offsets[i] = offsets[i];
    }
    kj_free(offsets);
    kj_free(texts);
    return err;
}

static int note_epoch(void *arg, const struct kj_committed *committed)
{
    *(int32_t *)arg = committed->leader_epoch;
    return 0;
}

int kj_commits_position(void *arg, const char *topic, int32_t partition, bool *ret_found,
                        int64_t *ret_offset, int32_t *ret_leader_epoch)
{
    struct kj_commits *commits = arg;
    *ret_found = false;
    if (commits->offsets == NULL)
        return 0;
    return kj_offset_store_fetch(commits->offsets, commits->group_id, topic, partition, ret_found,
                                 ret_offset, note_epoch, ret_leader_epoch);
}
