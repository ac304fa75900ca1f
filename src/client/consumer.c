/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/consumer.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "client/commits.h"
#include "client/fetcher.h"
#include "client/membership.h"
#include "os/bell.h"
#include "os/shared.h"

#include <ctype.h>
#include <stdatomic.h>
#include <string.h>

/* What busy says. */
enum { IDLE = 0, INSIDE = 1, CALLING_OUT = 2 };

struct kj_consumer {
    struct kj_store *store;
    const struct kj_clock *clock;
    struct kj_consumer_options options;
    struct kj_fetcher fetcher;
    struct kj_subscription subscription;
    struct kj_commits commits;
    int64_t auto_commit_ns; /* when the next one is due */
    int64_t close_by_ns;    /* 0: it is not being closed */
    uint64_t generation; /* of the catalog, at the last look for deleted topics */
    /* for kj_store_wait(), as many as are assigned */
    struct kj_partition **wait_partitions;
    int64_t *wait_offsets;
    struct kj_membership group; /* member NULL: no group.id */
    kj_atomic_u64 busy;       /* INSIDE while a thread is; CALLING_OUT while the listener runs */
    _Atomic(const char *) caller; /* CALLING_OUT: the thread that may come in again */
    bool nested;                  /* it did */
    _Atomic(const char *) inside; /* whose call it is; for what an error says */
    _Atomic uint32_t wakeups; /* raised by kj_consumer_wakeup() */
    uint32_t wakeups_seen;
    /* kj_consumer_descriptor() */
    _Atomic int bell;       /* -1: nobody asked for it */
    struct kj_watch *watch; /* what rings it; NULL: the same */
    bool watch_old;         /* to be set anew when the call ends */
    bool uncommitted;       /* records were given out since the last automatic commit */
};

static int init_membership(struct kj_consumer *consumer);
static void watch_again(struct kj_consumer *consumer);

void kj_consumer_options_defaults(struct kj_consumer_options *options)
{
    *options = (struct kj_consumer_options){
        .reset = KJ_RESET_LATEST,
        .check_crcs = true,
        .max_poll_records = 500,
        .fetch_bytes_max = 52428800,
        .partition_fetch_bytes_max = 1048576,
        .fetch_bytes_min = 1,
        .fetch_wait_max_ms = 500,
        .decompressed_bytes_max = 104857600,
        .memory_bytes_max = 0,
        .member = {.client_id = "",
                   .session_timeout_ms = 45000,
                   .heartbeat_interval_ms = 3000,
                   .rebalance_timeout_ms = 300000,
                   .assignors = {KJ_ASSIGNOR_RANGE, KJ_ASSIGNOR_COOPERATIVE_STICKY},
                   .assignor_count = 2},
        .exclude_internal = true,
        .auto_commit_interval_ms = 5000,
        .commit_durable = true,
    };
}

static int64_t auto_commit_ns(const struct kj_consumer *consumer)
{
    return consumer->options.auto_commit_interval_ms * 1000000;
}

int kj_consumer_new(struct kj_store *store, const struct kj_consumer_options *options,
                    struct kj_consumer **ret_consumer)
{
    struct kj_consumer *consumer = kj_alloc_zero(1, sizeof *consumer);
    if (consumer == NULL)
        return kj_err_oom("a consumer");
    consumer->store = store;
    consumer->clock = kj_store_clock(store);
    atomic_store(&consumer->bell, -1);
    consumer->options = *options;
    consumer->fetcher = (struct kj_fetcher){
        .store = store,
        .clock = consumer->clock,
        .options = &consumer->options,
    };
    int err = kj_fetch_pool_new(options->batches_out, &consumer->fetcher.pool);
    if (err != 0) {
        kj_free(consumer);
        return err;
    }
    kj_subscription_init(&consumer->subscription);
    err = kj_commits_init(&consumer->commits, store, options->groups, options->offsets,
                          options->member.group_id, options->commit_durable);
    if (err == 0 && options->member.group_id != NULL && !kj_store_read_only(store)) {
        err = init_membership(consumer);
        if (err != 0)
            kj_commits_free(&consumer->commits, INT64_MAX);
    }
    if (err != 0) {
        kj_fetch_pool_close(consumer->fetcher.pool);
        kj_free(consumer);
        return err;
    }
    consumer->fetcher.first_offset = kj_commits_position;
    consumer->fetcher.first_arg = &consumer->commits;
    consumer->auto_commit_ns = kj_mono_ns(consumer->clock) + auto_commit_ns(consumer);
    *ret_consumer = consumer;
    return 0;
}

/* --- who is inside --- */

static _Thread_local char this_thread; /* its address names the thread */

/* One thread at a time: a second one is told so instead of breaking things. The listener's calls,
 * from inside a call of this thread, are let in. */
static int enter(struct kj_consumer *consumer)
{
    uint64_t seen = IDLE;
    if (kj_cas(&consumer->busy, &seen, INSIDE)) {
        atomic_store(&consumer->inside, &this_thread);
        return 0;
    }
    if (seen == CALLING_OUT && atomic_load(&consumer->caller) == &this_thread) {
        consumer->nested = true;
        kj_store_release(&consumer->busy, INSIDE);
        return 0;
    }
    return kj_err(KAJA_ERR_STATE, atomic_load(&consumer->inside) == &this_thread
                                      ? "a callback must not use its own consumer"
                                      : "another thread is using this consumer");
}

/* Pairs with enter(): the next thread sees what this one did. */
static int leave(struct kj_consumer *consumer, int err)
{
    bool nested = consumer->nested;
    consumer->nested = false;
    if (!nested && consumer->watch_old && consumer->watch != NULL)
        watch_again(consumer);
    if (!nested)
        atomic_store(&consumer->inside, NULL);
    kj_store_release(&consumer->busy, nested ? CALLING_OUT : IDLE);
    return err;
}

/* For what changes the assignment, which the call around the listener is doing. */
static int enter_outside(struct kj_consumer *consumer)
{
    KJ_TRY(enter(consumer));
    if (!consumer->nested)
        return 0;
    return leave(consumer, kj_err(KAJA_ERR_STATE,
                                  "a rebalance listener may seek, pause, commit and ask, but not "
                                  "poll, subscribe, assign or close"));
}

static void call_out(void *arg, kj_listener_call *call, const struct kj_listener *listener,
                     const struct kaja_topic_partition *partitions, size_t count)
{
    struct kj_consumer *consumer = arg;
    atomic_store(&consumer->caller, &this_thread);
    kj_store_release(&consumer->busy, CALLING_OUT);
    call(listener->arg, partitions, count);
    kj_store_release(&consumer->busy, INSIDE);
    atomic_store(&consumer->caller, NULL);
}

/* --- commits --- */

/* As a member of the group, or as somebody who only commits. */
static void commit_as(struct kj_consumer *consumer)
{
    struct kj_commit_as *as = &consumer->commits.as;
    if (consumer->group.subscribed) {
        kj_member_commit_as(consumer->group.member, as);
        return;
    }
    as->group_id = consumer->commits.group_id; /* the member's may be gone */
    as->member_id[0] = '\0';
    as->instance_id[0] = '\0';
    as->generation = -1;
}

/* Of what earlier polls gave out: the positions, as long as no poll has moved them on. */
static void auto_commit(struct kj_consumer *consumer, bool now)
{
    int64_t now_ns = kj_mono_ns(consumer->clock);
    if (!consumer->options.auto_commit || (!now && now_ns < consumer->auto_commit_ns))
        return;
    consumer->auto_commit_ns = now_ns + auto_commit_ns(consumer);
    consumer->uncommitted = false;
    consumer->watch_old = true;
    commit_as(consumer);
    kj_commits_commit_auto(&consumer->commits, &consumer->subscription, consumer->close_by_ns);
}

int kj_consumer_commit(struct kj_consumer *consumer, const struct kaja_committed_offset *offsets,
                       size_t count, int64_t timeout_ms)
{
    KJ_TRY(enter(consumer));
    consumer->watch_old = true;
    commit_as(consumer);
    return leave(consumer, kj_commits_commit(&consumer->commits, &consumer->subscription, offsets,
                                             count, kj_deadline_ns(consumer->clock, timeout_ms)));
}

int kj_consumer_commit_async(struct kj_consumer *consumer,
                             const struct kaja_committed_offset *offsets, size_t count,
                             kaja_commit_callback *callback, void *arg)
{
    KJ_TRY(enter(consumer));
    consumer->watch_old = true;
    kj_commits_serve(&consumer->commits, false);
    commit_as(consumer);
    return leave(consumer,
                 kj_commits_commit_async(&consumer->commits, &consumer->subscription, offsets,
                                         count, callback, arg));
}

int kj_consumer_committed(struct kj_consumer *consumer,
                          const struct kaja_topic_partition *partitions, size_t count,
                          struct kaja_committed_offset *ret_offsets)
{
    KJ_TRY(enter(consumer));
    return leave(consumer,
                 kj_commits_committed(&consumer->commits, partitions, count, ret_offsets));
}

int kj_consumer_free(struct kj_consumer *consumer, int64_t timeout_ms)
{
    KJ_TRY(enter_outside(consumer));
    consumer->close_by_ns = kj_deadline_ns(consumer->clock, timeout_ms);
    kj_watch_close(consumer->watch);
    consumer->watch = NULL;
    if (consumer->group.member != NULL) {
        /* What goes wrong is found by the others: a member whose handle is gone is dead. */
        if (consumer->group.subscribed)
            (void)kj_membership_unsubscribe(&consumer->group, !consumer->group.instance,
                                            consumer->close_by_ns);
        kj_membership_free(&consumer->group);
    }
    auto_commit(consumer, true);
    kj_commits_free(&consumer->commits, consumer->close_by_ns);
    kj_subscription_free(&consumer->subscription);
    kj_fetch_pool_close(consumer->fetcher.pool);
    kj_free(consumer->wait_partitions);
    kj_free(consumer->wait_offsets);
    if (atomic_load(&consumer->bell) >= 0)
        kj_bell_close(atomic_load(&consumer->bell));
    kj_free(consumer);
    return 0;
}

/* --- assignment and positions --- */

static int assign(struct kj_consumer *consumer, const struct kaja_topic_partition *partitions,
                  size_t count)
{
    struct kj_partition **wait_partitions = kj_alloc_zero(count, sizeof(void *));
    int64_t *wait_offsets = kj_alloc_zero(count, sizeof(int64_t));
    int err = wait_partitions != NULL && wait_offsets != NULL ? 0 : kj_err_oom("an assignment");
    if (consumer->watch != NULL)
        kj_watch_unset(consumer->watch); /* it holds partitions that may go now */
    consumer->watch_old = true;
    if (err == 0)
        err = kj_subscription_assign(&consumer->subscription, consumer->store, partitions, count);
    if (err != 0) {
        kj_free(wait_partitions);
        kj_free(wait_offsets);
        return err;
    }
    kj_free(consumer->wait_partitions);
    kj_free(consumer->wait_offsets);
    consumer->wait_partitions = wait_partitions;
    consumer->wait_offsets = wait_offsets;
    consumer->generation = 0;
    return 0;
}

int kj_consumer_assign(struct kj_consumer *consumer, const struct kaja_topic_partition *partitions,
                       size_t count)
{
    KJ_TRY(enter_outside(consumer));
    if (consumer->group.subscribed)
        return leave(consumer, kj_err(KAJA_ERR_STATE, "the consumer has subscribed to topics: "
                                                      "kaja_consumer_unsubscribe() first"));
    auto_commit(consumer, true);
    return leave(consumer, assign(consumer, partitions, count));
}

/* --- groups --- */

static int assign_hook(void *arg, const struct kaja_topic_partition *partitions, size_t count)
{
    return assign(arg, partitions, count);
}

static void commit_hook(void *arg)
{
    auto_commit(arg, true);
}

static int init_membership(struct kj_consumer *consumer)
{
    const struct kj_membership_hooks hooks = {
        .assign = assign_hook,
        .commit = commit_hook,
        .call_out = call_out,
        .arg = consumer,
    };
    KJ_TRY(kj_membership_init(&consumer->group, consumer->store, consumer->options.groups,
                              &consumer->options.member, &consumer->subscription, &hooks));
    consumer->group.internal_too = !consumer->options.exclude_internal;
    return 0;
}

static int may_subscribe(const struct kj_consumer *consumer)
{
    if (consumer->options.member.group_id == NULL)
        return kj_err(KAJA_ERR_INVALID_GROUP_ID, "subscribing needs a group.id");
    if (consumer->group.member == NULL)
        return kj_err(KAJA_ERR_READ_ONLY, "the store was opened read-only: it cannot join a group");
    if (!consumer->group.subscribed && consumer->subscription.count > 0)
        return kj_err(KAJA_ERR_STATE, "partitions were assigned to the consumer by hand: "
                                      "kaja_consumer_unsubscribe() first");
    return 0;
}

int kj_consumer_subscribe(struct kj_consumer *consumer, const char *const *topics, size_t count,
                          const struct kj_listener *listener)
{
    KJ_TRY(enter_outside(consumer));
    int err = may_subscribe(consumer);
    if (err == 0)
        err = kj_membership_subscribe(&consumer->group, topics, count, listener);
    consumer->watch_old = true;
    return leave(consumer, err);
}

int kj_consumer_subscribe_pattern(struct kj_consumer *consumer, const char *pattern,
                                  const struct kj_listener *listener)
{
    KJ_TRY(enter_outside(consumer));
    int err = may_subscribe(consumer);
    if (err == 0)
        err = kj_membership_subscribe_pattern(&consumer->group, pattern, listener);
    consumer->watch_old = true;
    return leave(consumer, err);
}

int kj_consumer_enforce_rebalance(struct kj_consumer *consumer)
{
    KJ_TRY(enter(consumer));
    consumer->watch_old = true;
    if (!consumer->group.subscribed)
        return leave(consumer, kj_err(KAJA_ERR_STATE, "the consumer has not subscribed to topics: "
                                                      "there is no group to rebalance"));
    return leave(consumer, kj_membership_enforce(&consumer->group));
}

int kj_consumer_unsubscribe(struct kj_consumer *consumer)
{
    KJ_TRY(enter_outside(consumer));
    consumer->watch_old = true;
    if (consumer->group.subscribed)
        return leave(consumer,
                     kj_membership_unsubscribe(&consumer->group, !consumer->group.instance,
                                               INT64_MAX));
    auto_commit(consumer, true);
    return leave(consumer, assign(consumer, NULL, 0));
}

size_t kj_consumer_subscribed(struct kj_consumer *consumer, const char **topics, size_t capacity)
{
    if (enter(consumer) != 0)
        return 0;
    size_t count = consumer->group.topic_count;
    for (size_t i = 0; i < count && i < capacity; i++)
        topics[i] = consumer->group.topics[i];
    (void)leave(consumer, 0);
    return count;
}

int kj_consumer_group_metadata(struct kj_consumer *consumer,
                               struct kaja_group_metadata *ret_metadata)
{
    struct kj_member *member = consumer->group.member;
    if (member == NULL)
        return kj_err(KAJA_ERR_INVALID_GROUP_ID, "the consumer has no group.id");
    KJ_TRY(enter(consumer));
    *ret_metadata = (struct kaja_group_metadata){
        .group_id = kj_member_group_id(member),
        .member_id = kj_member_id(member),
        .generation = consumer->group.generation,
    };
    return leave(consumer, 0);
}

/* What the group asks for, before anything is read. */
static int coordinate(struct kj_consumer *consumer, bool *ret_fetch)
{
    *ret_fetch = true;
    if (!consumer->group.subscribed)
        return 0;
    if (!kj_store_has_worker(consumer->store) &&
        kj_member_next_due_ns(consumer->group.member) <= kj_mono_ns(consumer->clock)) {
        int err = kj_member_tick(consumer->group.member, NULL);
        if (err != 0 && err != KAJA_ERR_LOCK_TIMED_OUT)
            return err;
        kj_err_clear(); /* somebody else is at the group: the next tick is due soon */
    }
    return kj_membership_step(&consumer->group, ret_fetch);
}

size_t kj_consumer_assignment(struct kj_consumer *consumer, struct kaja_topic_partition *partitions,
                              size_t capacity)
{
    const struct kj_subscription *subscription = &consumer->subscription;
    if (enter(consumer) != 0)
        return 0;
    for (size_t i = 0; i < subscription->count && i < capacity; i++) {
        const struct kj_assigned *assigned = subscription->items[i];
        partitions[i] = (struct kaja_topic_partition){
            .topic = assigned->name,
            .partition = assigned->number,
            .offset = assigned->kind == KJ_POSITION_AT ? assigned->offset : KAJA_OFFSET_NONE,
        };
    }
    size_t count = subscription->count;
    (void)leave(consumer, 0);
    return count;
}

static int move(struct kj_consumer *consumer, const char *topic, int32_t partition,
                enum kj_position_kind kind, int64_t offset)
{
    KJ_TRY(enter(consumer));
    struct kj_assigned *assigned;
    int err = kj_subscription_find(&consumer->subscription, topic, partition, &assigned);
    if (err == 0)
        kj_assigned_move(assigned, kind, offset);
    consumer->watch_old = true;
    return leave(consumer, err);
}

static int move_all(struct kj_consumer *consumer, enum kj_position_kind kind)
{
    KJ_TRY(enter(consumer));
    for (size_t i = 0; i < consumer->subscription.count; i++)
        kj_assigned_move(consumer->subscription.items[i], kind, 0);
    consumer->watch_old = true;
    return leave(consumer, 0);
}

int kj_consumer_seek(struct kj_consumer *consumer, const char *topic, int32_t partition,
                     int64_t offset)
{
    return move(consumer, topic, partition, KJ_POSITION_AT, offset);
}

int kj_consumer_seek_to_beginning(struct kj_consumer *consumer, const char *topic,
                                  int32_t partition)
{
    return topic == NULL ? move_all(consumer, KJ_POSITION_BEGINNING)
                         : move(consumer, topic, partition, KJ_POSITION_BEGINNING, 0);
}

int kj_consumer_seek_to_end(struct kj_consumer *consumer, const char *topic, int32_t partition)
{
    return topic == NULL ? move_all(consumer, KJ_POSITION_END)
                         : move(consumer, topic, partition, KJ_POSITION_END, 0);
}

int kj_consumer_seek_to_timestamp(struct kj_consumer *consumer, const char *topic,
                                  int32_t partition, int64_t timestamp_ms)
{
    return move(consumer, topic, partition, KJ_POSITION_TIME, timestamp_ms);
}

int kj_consumer_position(struct kj_consumer *consumer, const char *topic, int32_t partition,
                         int64_t *ret_offset)
{
    KJ_TRY(enter(consumer));
    struct kj_assigned *assigned;
    int err = kj_subscription_find(&consumer->subscription, topic, partition, &assigned);
    if (err == 0)
        kj_assigned_follow(assigned);
    if (err == 0)
        err = kj_fetcher_resolve(&consumer->fetcher, assigned);
    if (err == 0)
        *ret_offset = assigned->offset;
    return leave(consumer, err);
}

int kj_consumer_lag(struct kj_consumer *consumer, const char *topic, int32_t partition,
                    int64_t *ret_count)
{
    KJ_TRY(enter(consumer));
    struct kj_assigned *assigned;
    int64_t limit;
    int err = kj_subscription_find(&consumer->subscription, topic, partition, &assigned);
    if (err == 0)
        kj_assigned_follow(assigned);
    if (err == 0)
        err = kj_fetcher_resolve(&consumer->fetcher, assigned);
    if (err == 0)
        err = kj_fetcher_limit(&consumer->fetcher, assigned, &limit);
    if (err == 0)
        *ret_count = limit > assigned->offset ? limit - assigned->offset : 0;
    return leave(consumer, err);
}

int kj_consumer_pause(struct kj_consumer *consumer, const char *topic, int32_t partition,
                      bool paused)
{
    KJ_TRY(enter(consumer));
    struct kj_assigned *assigned;
    int err = kj_subscription_find(&consumer->subscription, topic, partition, &assigned);
    if (err == 0)
        assigned->paused = paused;
    consumer->watch_old = true;
    return leave(consumer, err);
}

/* --- poll --- */

void kj_consumer_wakeup(struct kj_consumer *consumer)
{
    atomic_fetch_add(&consumer->wakeups, 1);
    kj_shared_wake_extra(&consumer->wakeups);
    int bell = atomic_load(&consumer->bell);
    if (bell >= 0)
        kj_bell_ring(bell);
}

static bool wake_pending(const struct kj_consumer *consumer)
{
    return atomic_load(&consumer->wakeups) != consumer->wakeups_seen;
}

/* True once for any number of wakeups before. */
static bool woken(struct kj_consumer *consumer)
{
    uint32_t now = atomic_load(&consumer->wakeups);
    bool woke = now != consumer->wakeups_seen;
    consumer->wakeups_seen = now;
    return woke;
}

/* Topics that were deleted meanwhile. */
static void note_deleted(struct kj_consumer *consumer)
{
    uint64_t generation = kj_store_catalog_generation(consumer->store) + 1;
    if (generation == consumer->generation)
        return;
    consumer->generation = generation;
    for (size_t i = 0; i < consumer->subscription.count; i++) {
        struct kj_assigned *assigned = consumer->subscription.items[i];
        if (kj_topic_deleted(assigned->topic)) {
            assigned->gone = true;
            kj_assigned_drop_piece(assigned);
        }
    }
}

/* One round: a piece of each partition, beginning with the one whose turn it is. Who was read to
 * the end of its piece goes to the back. */
static int gather_round(struct kj_consumer *consumer, struct kaja_batch *batch, bool *moved,
                        bool *ret_error_next)
{
    struct kj_subscription *subscription = &consumer->subscription;
    size_t at = subscription->turn;
    for (size_t i = 0; i < subscription->count; i++) {
        struct kj_assigned *assigned = subscription->items[at];
        size_t next = at + 1 < subscription->count ? at + 1 : 0;
        int64_t before = assigned->offset;
        /* The group takes away what was deleted; until then there is nothing wrong. */
        bool idle = assigned->paused || (assigned->gone && consumer->group.subscribed);
        int err = idle ? 0 : kj_fetcher_take(&consumer->fetcher, assigned, batch);
        if (err != 0) {
            /* What is there already comes first; then the error, then the others. */
            *ret_error_next = batch->count > 0;
            subscription->turn = batch->count > 0 ? at : next;
            return batch->count > 0 ? 0 : err;
        }
        if (kj_fetcher_full(&consumer->fetcher, batch)) {
            subscription->turn = kj_assigned_has_piece(assigned) ? at : next;
            return 0;
        }
        if (assigned->offset != before) {
            *moved = true; /* perhaps over batches that are not given out */
            subscription->turn = next;
        }
        at = next;
    }
    return 0;
}

/* Takes what can be had now; *ret_error_next if an error comes behind it. */
static int gather(struct kj_consumer *consumer, struct kaja_batch *batch, bool *ret_error_next)
{
    bool moved;
    note_deleted(consumer);
    *ret_error_next = false;
    do {
        moved = false;
        KJ_TRY(gather_round(consumer, batch, &moved, ret_error_next));
    } while (moved && !*ret_error_next && !kj_fetcher_full(&consumer->fetcher, batch));
    return 0;
}

/* What a wait watches: every partition that could give something, and its high watermark. */
static size_t watched(struct kj_consumer *consumer)
{
    size_t count = 0;
    for (size_t i = 0; i < consumer->subscription.count; i++) {
        struct kj_assigned *assigned = consumer->subscription.items[i];
        if (assigned->paused || assigned->gone || assigned->kind != KJ_POSITION_AT)
            continue;
        /* Not always the position: records beyond the last stable offset are there, but not for us.
         */
        int64_t offset = assigned->seen > assigned->offset ? assigned->seen : assigned->offset;
        consumer->wait_partitions[count] = assigned->partition;
        consumer->wait_offsets[count] = offset;
        count++;
    }
    return count;
}

static int wait_for_records(struct kj_consumer *consumer, int64_t deadline_ns)
{
    struct kj_member *member = consumer->group.subscribed ? consumer->group.member : NULL;
    if (!kj_store_has_worker(consumer->store)) {
        int64_t due = kj_store_next_deadline_ns(consumer->store);
        int64_t tick = member != NULL ? kj_member_next_due_ns(member) : INT64_MAX;
        if (tick < due)
            due = tick;
        if (due < deadline_ns)
            deadline_ns = due;
    }
    size_t count = watched(consumer);
    int err = kj_store_wait_also(consumer->store, consumer->wait_partitions, consumer->wait_offsets,
                                 count, consumer->options.read_durable, &consumer->wakeups,
                                 consumer->wakeups_seen,
                                 member != NULL ? kj_member_wait(member) : NULL, deadline_ns);
    return err == KAJA_ERR_TIMED_OUT ? 0 : err;
}

/* Fills the batch, sleeping as long as it is allowed. */
static int fill(struct kj_consumer *consumer, struct kaja_batch *batch, int64_t timeout_ms)
{
    const struct kj_consumer_options *options = &consumer->options;
    int64_t deadline = timeout_ms == 0 ? 0 : kj_deadline_ns(consumer->clock, timeout_ms);
    int64_t enough_at = 0; /* from then on any record will do; 0: not known yet */
    for (;;) {
        bool error_next = false;
        bool fetch = true;
        /* What was gathered belongs to the assignment it was read under: it goes out first. */
        if (batch->count == 0)
            KJ_TRY(coordinate(consumer, &fetch));
        else if (consumer->group.subscribed && kj_membership_due(&consumer->group))
            return 0;
        if (fetch)
            KJ_TRY(gather(consumer, batch, &error_next));
        int64_t until = deadline;
        if (batch->count > 0) {
            if (batch->bytes >= options->fetch_bytes_min || timeout_ms == 0 || error_next ||
                kj_fetcher_full(&consumer->fetcher, batch))
                return 0;
            if (enough_at == 0)
                enough_at = kj_deadline_ns(consumer->clock, options->fetch_wait_max_ms);
            until = enough_at < deadline ? enough_at : deadline;
        }
        if (until != INT64_MAX && (timeout_ms == 0 || kj_mono_ns(consumer->clock) >= until))
            return 0;
        int err = wait_for_records(consumer, until);
        /* The position has moved over what is there: that is given out, and the next poll fails. */
        if (err != 0)
            return batch->count > 0 ? 0 : err;
        if (batch->count > 0 && wake_pending(consumer))
            return 0; /* the position has moved: they are given out, and the next poll ends so */
        if (woken(consumer))
            return kj_err(KAJA_ERR_INTERRUPTED, "kaja_consumer_wakeup() was called");
        if (!kj_store_has_worker(consumer->store))
            (void)kj_store_step(consumer->store);
    }
}

static int poll_entered(struct kj_consumer *consumer, int64_t timeout_ms,
                        struct kaja_batch **ret_batch)
{
    const struct kj_consumer_options *options = &consumer->options;
    if (consumer->subscription.count == 0 && !consumer->group.subscribed)
        return kj_err(KAJA_ERR_STATE, "nothing is assigned to the consumer: "
                                      "kaja_consumer_subscribe() or _assign() first");
    kj_commits_serve(&consumer->commits, false);
    auto_commit(consumer, false);
    /* Who waits with a descriptor polls without waiting, and is to hear of it too. */
    if ((timeout_ms != 0 || consumer->watch != NULL) && woken(consumer))
        return kj_err(KAJA_ERR_INTERRUPTED, "kaja_consumer_wakeup() was called");
    if (options->memory_bytes_max != 0 &&
        kj_load_relaxed(&consumer->fetcher.pool->pinned) >= options->memory_bytes_max)
        return kj_err(KAJA_ERR_MEMORY_LIMIT,
                      "batches that were not released pin %llu bytes, kaja.memory.max is %zu",
                      (unsigned long long)kj_load_relaxed(&consumer->fetcher.pool->pinned),
                      options->memory_bytes_max);
    if (!kj_store_has_worker(consumer->store))
        (void)kj_store_step(consumer->store); /* its failures are events */
    struct kaja_batch *batch = kj_fetch_pool_batch(consumer->fetcher.pool);
    if (batch == NULL)
        return kj_err_oom("a batch of records");
    int err = fill(consumer, batch, timeout_ms);
    kj_fetched_done(batch);
    if (err != 0) {
        kj_fetched_release(batch);
        return err;
    }
    if (batch->count > 0) {
        kj_store_metric_add(consumer->store, KJ_METRIC_CONSUME_RECORDS, batch->count);
        kj_store_metric_add(consumer->store, KJ_METRIC_CONSUME_BYTES, batch->bytes);
        consumer->uncommitted = true;
    }
    *ret_batch = batch;
    return 0;
}

/* --- a descriptor in the place of a wait --- */

static void ring(void *arg)
{
    struct kj_consumer *consumer = arg;
    kj_bell_ring(atomic_load(&consumer->bell));
}

/* A poll would have something to do now, which no wait would end for. */
static bool due_now(struct kj_consumer *consumer)
{
    bool subscribed = consumer->group.subscribed;
    if (wake_pending(consumer) || (subscribed && kj_membership_due(&consumer->group)))
        return true;
    for (size_t i = 0; i < consumer->subscription.count; i++) {
        const struct kj_assigned *assigned = consumer->subscription.items[i];
        if (assigned->paused || (assigned->gone && subscribed))
            continue;
        if (assigned->gone || assigned->kind != KJ_POSITION_AT || kj_assigned_has_piece(assigned))
            return true;
    }
    return false;
}

/* When a poll is due although nothing comes: for the automatic commit, and so that the group does
 * not take a member for stuck that has nothing to read. */
static int64_t due_at_ns(const struct kj_consumer *consumer)
{
    const struct kj_consumer_options *options = &consumer->options;
    int64_t at_ns = INT64_MAX;
    if (options->auto_commit && consumer->uncommitted)
        at_ns = consumer->auto_commit_ns;
    if (consumer->group.subscribed) {
        int64_t poll_ns =
            kj_deadline_ns(consumer->clock, options->member.rebalance_timeout_ms / 2);
        at_ns = poll_ns < at_ns ? poll_ns : at_ns;
    }
    return at_ns;
}

/* Pairs with the quiet bell at the begin of a poll: what came since is seen here or rings. */
static void watch_again(struct kj_consumer *consumer)
{
    consumer->watch_old = false;
    struct kj_watch_for what = {.durable_only = consumer->options.read_durable,
                                .also = consumer->group.subscribed
                                            ? kj_member_wait(consumer->group.member)
                                            : NULL,
                                .at_ns = due_at_ns(consumer)};
    bool done = kj_commits_awaited(&consumer->commits, &what.flushed, &what.flushed_end);
    if (done || due_now(consumer)) {
        kj_watch_unset(consumer->watch);
        ring(consumer);
        return;
    }
    what.partitions = consumer->wait_partitions;
    what.offsets = consumer->wait_offsets;
    what.count = watched(consumer);
    if (kj_watch_set(consumer->watch, &what) != 0) {
        kj_err_clear();
        ring(consumer); /* too often is better than never */
    }
}

int kj_consumer_descriptor(struct kj_consumer *consumer, int *ret_fd)
{
    int fd, os;
    KJ_TRY(enter(consumer));
    if (!kj_store_has_worker(consumer->store))
        return leave(consumer, kj_err(KAJA_ERR_UNSUPPORTED_FEATURE,
                                      "a store that is read-only or has "
                                      "kaja.background.threads=0 has no thread that would wait "
                                      "for a consumer's descriptor"));
    if (consumer->watch == NULL) {
        os = kj_bell_open(&fd);
        if (os != 0)
            return leave(consumer, kj_err_os(os, "a descriptor for a consumer"));
        atomic_store(&consumer->bell, fd);
        int err = kj_watch_open(consumer->store, ring, consumer, &consumer->watch);
        if (err != 0) {
            atomic_store(&consumer->bell, -1);
            kj_bell_close(fd);
            return leave(consumer, err);
        }
        consumer->watch_old = true;
    }
    *ret_fd = atomic_load(&consumer->bell);
    return leave(consumer, 0);
}

int kj_consumer_poll(struct kj_consumer *consumer, int64_t timeout_ms,
                     struct kaja_batch **ret_batch)
{
    KJ_TRY(enter_outside(consumer));
    if (consumer->watch != NULL) {
        kj_watch_unset(consumer->watch);
        kj_bell_quiet(atomic_load(&consumer->bell));
        consumer->watch_old = true;
    }
    struct kj_member *member = consumer->group.subscribed ? consumer->group.member : NULL;
    if (member != NULL)
        kj_member_poll_enter(member); /* a long wait is no silence */
    int err = poll_entered(consumer, timeout_ms, ret_batch);
    if (member != NULL)
        kj_member_poll_seen(member);
    return leave(consumer, err);
}
