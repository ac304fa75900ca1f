/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/subscribe.c - the part of kaja/consumer.h about groups: checks arguments, then calls down.
 */
#include "api/consumer.h"
#include "api/sized.h"
#include "log/file_names.h"

static int check(const struct kaja_consumer *consumer)
{
    KJ_TRY(kj_handle_check(consumer, KJ_MAGIC_CONSUMER, "consumer"));
    return kj_store_check(consumer->store->store);
}

/* --- the listener --- */

static void revoked(void *arg, const struct kaja_topic_partition *partitions, size_t count)
{
    struct kaja_consumer *consumer = arg;
    consumer->listener.revoked(consumer->listener.arg, consumer, partitions, count);
}

static void assigned(void *arg, const struct kaja_topic_partition *partitions, size_t count)
{
    struct kaja_consumer *consumer = arg;
    consumer->listener.assigned(consumer->listener.arg, consumer, partitions, count);
}

static void lost(void *arg, const struct kaja_topic_partition *partitions, size_t count)
{
    struct kaja_consumer *consumer = arg;
    consumer->listener.lost(consumer->listener.arg, consumer, partitions, count);
}

static int listener_of(const struct kaja_rebalance_listener *listener, struct kaja_consumer *consumer,
                       struct kaja_rebalance_listener *ret_copy, struct kj_listener *ret_inner)
{
    *ret_copy = (struct kaja_rebalance_listener)KAJA_REBALANCE_LISTENER_INIT;
    *ret_inner = (struct kj_listener){.arg = consumer};
    if (listener == NULL)
        return 0;
    static const struct kj_sized kind = {
        "listener", "KAJA_REBALANCE_LISTENER_INIT",
        offsetof(struct kaja_rebalance_listener, lost) + sizeof listener->lost, /* 0.1 */
        sizeof *listener};
    KJ_TRY(kj_sized_copy(&kind, listener, ret_copy));
    ret_inner->revoked = ret_copy->revoked != NULL ? revoked : NULL;
    ret_inner->assigned = ret_copy->assigned != NULL ? assigned : NULL;
    ret_inner->lost = ret_copy->lost != NULL ? lost : NULL;
    return 0;
}

/* --- subscribing --- */

int kaja_consumer_subscribe(struct kaja_consumer *consumer, const char *const *topics, size_t count,
                            const struct kaja_rebalance_listener *listener)
{
    struct kaja_rebalance_listener copy;
    struct kj_listener inner;
    KJ_TRY(check(consumer));
    if (topics == NULL && count > 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "topics is NULL");
    for (size_t i = 0; i < count; i++) {
        if (topics[i] == NULL)
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu is NULL", i);
        KJ_TRY(kj_topic_name_check(topics[i]));
    }
    KJ_TRY(listener_of(listener, consumer, &copy, &inner));
    if (count == 0)
        return kj_consumer_unsubscribe(consumer->client);
    KJ_TRY(kj_consumer_subscribe(consumer->client, topics, count, &inner));
    consumer->listener = copy;
    return 0;
}

int kaja_consumer_subscribe_pattern(struct kaja_consumer *consumer, const char *pattern,
                                    const struct kaja_rebalance_listener *listener)
{
    struct kaja_rebalance_listener copy;
    struct kj_listener inner;
    KJ_TRY(check(consumer));
    if (pattern == NULL || pattern[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_ARG, "the pattern is %s", pattern == NULL ? "NULL" : "empty");
    KJ_TRY(listener_of(listener, consumer, &copy, &inner));
    KJ_TRY(kj_consumer_subscribe_pattern(consumer->client, pattern, &inner));
    consumer->listener = copy;
    return 0;
}

int kaja_consumer_enforce_rebalance(struct kaja_consumer *consumer)
{
    KJ_TRY(check(consumer));
    return kj_consumer_enforce_rebalance(consumer->client);
}

int kaja_consumer_unsubscribe(struct kaja_consumer *consumer)
{
    KJ_TRY(check(consumer));
    return kj_consumer_unsubscribe(consumer->client);
}

size_t kaja_consumer_subscription(struct kaja_consumer *consumer, const char **topics,
                                  size_t capacity)
{
    if (check(consumer) != 0)
        return 0;
    return kj_consumer_subscribed(consumer->client, topics, topics != NULL ? capacity : 0);
}

int kaja_consumer_group_metadata(struct kaja_consumer *consumer,
                                 struct kaja_group_metadata *ret_metadata)
{
    KJ_TRY(check(consumer));
    if (ret_metadata == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "ret_metadata is NULL");
    return kj_consumer_group_metadata(consumer->client, ret_metadata);
}
