/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/membership.h"

#include "base/alloc.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

enum {
    PATTERN_BYTES_MAX = 4096,
    ROUNDS_MAX = 16 /* of one step; a group that moves faster is gone on with in the next poll */
};

int kj_membership_init(struct kj_membership *membership, struct kj_store *store,
                       struct kj_groups *groups, const struct kj_member_options *options,
                       const struct kj_subscription *subscription,
                       const struct kj_membership_hooks *hooks)
{
    *membership = (struct kj_membership){
        .store = store,
        .subscription = subscription,
        .hooks = *hooks,
        .cooperative = true,
        .instance = options->instance_id != NULL,
        .generation = -1,
    };
    for (size_t i = 0; i < options->assignor_count; i++)
        membership->cooperative = membership->cooperative &&
                                  options->assignors[i] == KJ_ASSIGNOR_COOPERATIVE_STICKY;
    return kj_member_new(groups, options, &membership->member);
}

static void free_topics(char **topics, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kj_free(topics[i]);
    kj_free(topics);
}

static void forget_subscription(struct kj_membership *membership)
{
    free_topics(membership->topics, membership->topic_count);
    membership->topics = NULL;
    membership->topic_count = 0;
    if (membership->by_pattern)
        regfree(&membership->pattern);
    membership->by_pattern = false;
    membership->subscribed = false;
}

void kj_membership_free(struct kj_membership *membership)
{
    forget_subscription(membership);
    kj_member_free(membership->member);
    membership->member = NULL;
}

/* --- what is subscribed to --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted copies without duplicates. */
static int copy_topics(const char *const *topics, size_t count, char ***ret_topics,
                       size_t *ret_count)
{
    char **copies = kj_alloc_zero(count, sizeof *copies);
    bool whole = copies != NULL;
    for (size_t i = 0; i < count && whole; i++)
        whole = (copies[i] = kj_strdup(topics[i])) != NULL;
    if (!whole) {
        if (copies != NULL)
            free_topics(copies, count);
        return kj_err_oom("a subscription");
    }
    qsort(copies, count, sizeof *copies, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && strcmp(copies[kept - 1], copies[i]) == 0)
            kj_free(copies[i]);
        else
            copies[kept++] = copies[i];
    }
    *ret_topics = copies;
    *ret_count = kept;
    return 0;
}

static bool same_topics(const struct kj_membership *membership, char **topics, size_t count)
{
    if (membership->topic_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(membership->topics[i], topics[i]) != 0)
            return false;
    return true;
}

/* Takes over topics. */
static void set_topics(struct kj_membership *membership, char **topics, size_t count)
{
    membership->rejoin = membership->rejoin || !same_topics(membership, topics, count);
    free_topics(membership->topics, membership->topic_count);
    membership->topics = topics;
    membership->topic_count = count;
}

static void set_listener(struct kj_membership *membership, const struct kj_listener *listener)
{
    membership->listener = listener != NULL ? *listener : (struct kj_listener){0};
}

int kj_membership_subscribe(struct kj_membership *membership, const char *const *topics,
                            size_t count, const struct kj_listener *listener)
{
    char **copies;
    size_t kept;
    KJ_TRY(copy_topics(topics, count, &copies, &kept));
    if (membership->by_pattern)
        regfree(&membership->pattern);
    membership->by_pattern = false;
    set_topics(membership, copies, kept);
    set_listener(membership, listener);
    membership->subscribed = true;
    return 0;
}

int kj_membership_subscribe_pattern(struct kj_membership *membership, const char *pattern,
                                    const struct kj_listener *listener)
{
    size_t bytes = strlen(pattern);
    if (bytes > PATTERN_BYTES_MAX)
        return kj_err(KAJA_ERR_INVALID_ARG, "a pattern of %zu bytes is too long, at most %d",
                      bytes, PATTERN_BYTES_MAX);
    char *whole = kj_alloc(bytes + 5);
    if (whole == NULL)
        return kj_err_oom("a pattern");
    memcpy(whole, "^(", 2);
    memcpy(whole + 2, pattern, bytes);
    memcpy(whole + 2 + bytes, ")$", 3);
    regex_t compiled;
    int bad = regcomp(&compiled, whole, REG_EXTENDED | REG_NOSUB);
    kj_free(whole);
    if (bad != 0) {
        char why[128];
        (void)regerror(bad, &compiled, why, sizeof why);
        return kj_err(KAJA_ERR_INVALID_ARG,
                      "the pattern \"%.200s\" is no POSIX extended regular expression: %s", pattern,
                      why);
    }
    if (membership->by_pattern)
        regfree(&membership->pattern);
    membership->pattern = compiled;
    membership->by_pattern = true;
    membership->matched = 0;
    membership->subscribed = true;
    set_listener(membership, listener);
    return 0;
}

struct match {
    const regex_t *pattern;
    bool internal_too;
    char **names; /* copies */
    size_t count, capacity;
};

static int match_topic(void *arg, struct kj_topic *topic)
{
    struct match *match = arg;
    const char *name = kj_topic_name(topic);
    if ((kj_topic_internal(topic) && !match->internal_too) ||
        regexec(match->pattern, name, 0, NULL, 0) != 0)
        return 0;
    void *grown = match->names;
    int err = kj_grow(&grown, &match->capacity, match->count + 1, sizeof *match->names);
    match->names = grown;
    KJ_TRY(err);
    char *copy = kj_strdup(name);
    if (copy == NULL)
        return kj_err_oom("a subscription");
    match->names[match->count++] = copy;
    return 0;
}

/* The topics that the pattern means now, if any came or went since the last look. */
static int match_pattern(struct kj_membership *membership)
{
    uint64_t generation = kj_store_catalog_generation(membership->store) + 1;
    if (!membership->by_pattern || membership->matched == generation)
        return 0;
    struct match match = {.pattern = &membership->pattern,
                          .internal_too = membership->internal_too};
    char **topics;
    size_t count;
    int err = kj_store_topics(membership->store, match_topic, &match);
    if (err == 0)
        err = copy_topics((const char *const *)match.names, match.count, &topics, &count);
    free_topics(match.names, match.count);
    KJ_TRY(err);
    membership->matched = generation;
    set_topics(membership, topics, count);
    return 0;
}

/* --- sets of partitions --- */

static int by_partition(const void *a, const void *b)
{
    const struct kaja_topic_partition *x = a;
    const struct kaja_topic_partition *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

struct set {
    struct kaja_topic_partition *items; /* sorted; the names are somebody else's */
    size_t count;
};

static void add(struct set *set, const char *topic, int32_t partition)
{
    set->items[set->count++] = (struct kaja_topic_partition){topic, partition, KAJA_OFFSET_NONE};
}

static bool has(const struct set *set, const struct kaja_topic_partition *item)
{
    return set->count > 0 &&
           bsearch(item, set->items, set->count, sizeof *item, by_partition) != NULL;
}

/* Those of a that are (or are not) in b. */
static int pick(const struct set *a, const struct set *b, bool in_b, struct set *ret_set)
{
    struct set set = {.items = kj_alloc_zero(a->count, sizeof *set.items)};
    if (set.items == NULL)
        return kj_err_oom("an assignment");
    for (size_t i = 0; i < a->count; i++)
        if (has(b, &a->items[i]) == in_b)
            set.items[set.count++] = a->items[i];
    *ret_set = set;
    return 0;
}

/* What is assigned now; names live as long as it is. */
static int owned_set(const struct kj_membership *membership, struct set *ret_set)
{
    const struct kj_subscription *subscription = membership->subscription;
    struct set set = {.items = kj_alloc_zero(subscription->count, sizeof *set.items)};
    if (set.items == NULL)
        return kj_err_oom("an assignment");
    for (size_t i = 0; i < subscription->count; i++)
        add(&set, subscription->items[i]->name, subscription->items[i]->number);
    if (set.count > 0)
        qsort(set.items, set.count, sizeof *set.items, by_partition);
    *ret_set = set;
    return 0;
}

static int look_for(struct kj_membership *membership, const char *name, int32_t partition,
                    bool *ret_there)
{
    struct kj_topic *topic;
    int err = kj_topic_find(membership->store, name, false, &topic);
    *ret_there = err == 0 && partition < kj_topic_partition_count(topic);
    if (err == 0)
        kj_topic_release(topic);
    if (err != KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION)
        return err;
    kj_err_clear();
    return 0;
}

/* What the group assigned, less what was deleted meanwhile: the next rebalance knows that too. */
static int assigned_set(struct kj_membership *membership, struct set *ret_set,
                        int32_t *ret_generation)
{
    const struct kj_member_partition *partitions;
    size_t count;
    KJ_TRY(kj_member_assignment(membership->member, &partitions, &count, ret_generation));
    struct set set = {.items = kj_alloc_zero(count, sizeof *set.items)};
    if (set.items == NULL)
        return kj_err_oom("an assignment");
    for (size_t i = 0; i < count; i++) {
        bool there;
        int err = look_for(membership, partitions[i].topic, partitions[i].partition, &there);
        if (err != 0) {
            kj_free(set.items);
            return err;
        }
        if (there)
            add(&set, partitions[i].topic, partitions[i].partition);
    }
    *ret_set = set;
    return 0;
}

/* --- the listener --- */

static void tell(struct kj_membership *membership, kj_listener_call *call, const struct set *set)
{
    if (call != NULL)
        membership->hooks.call_out(membership->hooks.arg, call, &membership->listener, set->items,
                                   set->count);
}

static void tell_lost(struct kj_membership *membership, const struct set *set)
{
    tell(membership,
         membership->listener.lost != NULL ? membership->listener.lost
                                           : membership->listener.revoked,
         set);
}

/* Nothing is assigned any more. lost: another may be reading it already. */
static int give_up(struct kj_membership *membership, bool lost, bool tell_empty)
{
    struct set owned;
    KJ_TRY(owned_set(membership, &owned));
    if (owned.count > 0 && lost)
        tell_lost(membership, &owned);
    else if (owned.count > 0 || tell_empty)
        tell(membership, membership->listener.revoked, &owned);
    int err = membership->hooks.assign(membership->hooks.arg, NULL, 0);
    kj_free(owned.items);
    membership->generation = -1;
    return err;
}

/* --- rebalances --- */

/* Cooperative: what is not subscribed to any more, or is not there any more, is given back before
 * the join. */
static int give_back_unsubscribed(struct kj_membership *membership)
{
    struct set owned;
    KJ_TRY(owned_set(membership, &owned));
    struct set kept = {.items = kj_alloc_zero(owned.count, sizeof *kept.items)};
    struct set gone = {.items = kj_alloc_zero(owned.count, sizeof *gone.items)};
    int err = kept.items != NULL && gone.items != NULL ? 0 : kj_err_oom("an assignment");
    for (size_t i = 0; i < owned.count && err == 0; i++) {
        const char *name = owned.items[i].topic;
        bool there = false;
        err = look_for(membership, name, owned.items[i].partition, &there);
        bool wanted = there && membership->topic_count > 0 &&
                      bsearch(&name, membership->topics, membership->topic_count,
                              sizeof *membership->topics, by_name) != NULL;
        add(wanted ? &kept : &gone, name, owned.items[i].partition);
    }
    if (err == 0 && gone.count > 0) {
        tell(membership, membership->listener.revoked, &gone);
        err = membership->hooks.assign(membership->hooks.arg, kept.items, kept.count);
    }
    kj_free(owned.items);
    kj_free(kept.items);
    kj_free(gone.items);
    return err;
}

static int join(struct kj_membership *membership)
{
    membership->hooks.commit(membership->hooks.arg);
    if (membership->cooperative)
        KJ_TRY(give_back_unsubscribed(membership));
    else
        KJ_TRY(give_up(membership, false, membership->joined_before));
    struct set owned;
    KJ_TRY(owned_set(membership, &owned));
    struct kj_member_partition *kept = kj_alloc_zero(owned.count, sizeof *kept);
    int err = kept != NULL ? 0 : kj_err_oom("an assignment");
    for (size_t i = 0; i < owned.count && err == 0; i++)
        kept[i] = (struct kj_member_partition){owned.items[i].topic, owned.items[i].partition};
    if (err == 0)
        err = kj_member_join(membership->member, (const char *const *)membership->topics,
                             membership->topic_count, kept, owned.count);
    kj_free(kept);
    kj_free(owned.items);
    KJ_TRY(err);
    membership->rejoin = false;
    membership->joined_before = true;
    return 0;
}

/* From what is owned to what the group says. */
static int take_assignment(struct kj_membership *membership)
{
    struct set owned = {0};
    struct set wanted = {0};
    struct set revoked = {0};
    struct set added = {0};
    struct set kept = {0};
    int32_t generation;
    KJ_TRY(assigned_set(membership, &wanted, &generation));
    int err = owned_set(membership, &owned);
    if (err == 0)
        err = pick(&owned, &wanted, false, &revoked);
    if (err == 0)
        err = pick(&owned, &wanted, true, &kept);
    if (err == 0)
        err = pick(&wanted, &owned, false, &added);
    if (err == 0 && revoked.count > 0) {
        membership->hooks.commit(membership->hooks.arg); /* reading went on since the join */
        tell(membership, membership->listener.revoked, &revoked);
        err = membership->hooks.assign(membership->hooks.arg, kept.items, kept.count);
        membership->rejoin = true; /* what was given back can be given to its next owner now */
    }
    if (err == 0)
        err = membership->hooks.assign(membership->hooks.arg, wanted.items, wanted.count);
    if (err == 0) {
        membership->generation = generation;
        tell(membership, membership->listener.assigned, &added);
    }
    kj_free(owned.items);
    kj_free(wanted.items);
    kj_free(revoked.items);
    kj_free(added.items);
    kj_free(kept.items);
    return err;
}

/* One thing that the state asks for. *ret_done: nothing more to do now. */
static int act(struct kj_membership *membership, enum kj_member_state state, bool *ret_fetch,
               bool *ret_done)
{
    *ret_done = false;
    switch (state) {
    case KJ_MEMBER_REJOIN:
        if (membership->cooperative && kj_member_missed(membership->member))
            return take_assignment(membership);
        return join(membership);
    case KJ_MEMBER_NONE:
        return join(membership);
    case KJ_MEMBER_LOST:
        KJ_TRY(give_up(membership, true, false));
        membership->joined_before = false;
        return join(membership);
    case KJ_MEMBER_FENCED:
        KJ_TRY(give_up(membership, true, false));
        return kj_err(KAJA_ERR_FENCED_INSTANCE_ID,
                      "group %s: another consumer uses the group.instance.id of this one: close "
                      "one of them",
                      kj_member_group_id(membership->member));
    case KJ_MEMBER_STABLE:
        if (membership->generation != kj_member_generation(membership->member))
            return take_assignment(membership);
        if (membership->rejoin)
            return join(membership);
        *ret_done = true;
        *ret_fetch = true;
        return 0;
    case KJ_MEMBER_JOINED:
    default:
        *ret_done = true;
        *ret_fetch = membership->cooperative;
        return 0;
    }
}

int kj_membership_step(struct kj_membership *membership, bool *ret_fetch)
{
    bool done = false;
    *ret_fetch = false;
    KJ_TRY(match_pattern(membership));
    for (int round = 0; round < ROUNDS_MAX && !done; round++) {
        enum kj_member_state state;
        KJ_TRY(kj_member_look(membership->member, &state));
        KJ_TRY(act(membership, state, ret_fetch, &done));
    }
    return 0;
}

bool kj_membership_due(struct kj_membership *membership)
{
    enum kj_member_state state;
    if (membership->by_pattern &&
        membership->matched != kj_store_catalog_generation(membership->store) + 1)
        return true;
    if (kj_member_look(membership->member, &state) != 0)
        return true; /* the step will tell why */
    if (state == KJ_MEMBER_STABLE)
        return membership->rejoin ||
               membership->generation != kj_member_generation(membership->member);
    return state != KJ_MEMBER_JOINED;
}

int kj_membership_enforce(struct kj_membership *membership)
{
    enum kj_member_state state;
    KJ_TRY(kj_member_look(membership->member, &state));
    if (state == KJ_MEMBER_STABLE &&
        membership->generation == kj_member_generation(membership->member)) {
        kj_member_force(membership->member);
        membership->rejoin = true;
    }
    return 0;
}

int kj_membership_unsubscribe(struct kj_membership *membership, bool leave, int64_t deadline_ns)
{
    enum kj_member_state state;
    int err = kj_member_look(membership->member, &state);
    bool whole = err == 0 && (state == KJ_MEMBER_STABLE || state == KJ_MEMBER_NONE);
    membership->hooks.commit(membership->hooks.arg);
    int given_up = give_up(membership, !whole, false);
    int left = 0;
    if (leave)
        left = kj_member_leave_by(membership->member, deadline_ns);
    else
        kj_member_step_out(membership->member); /* what it had is not its any more */
    forget_subscription(membership);
    membership->joined_before = false;
    membership->rejoin = false;
    return err != 0 ? err : given_up != 0 ? given_up : left;
}
