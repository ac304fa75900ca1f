/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/subscription.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

#include <string.h>

void kj_subscription_init(struct kj_subscription *subscription)
{
    *subscription = (struct kj_subscription){.items = NULL};
    kj_map_init(&subscription->map);
}

void kj_assigned_drop_piece(struct kj_assigned *assigned)
{
    if (assigned->in_batch)
        kj_source_release(assigned->records);
    assigned->in_batch = false;
    assigned->records = NULL;
    if (assigned->source != NULL)
        kj_source_release(assigned->source);
    assigned->source = NULL;
    assigned->left = 0;
    assigned->aborted.loaded = false;
}

static void assigned_free(struct kj_assigned *assigned)
{
    kj_assigned_drop_piece(assigned);
    if (assigned->topic != NULL)
        kj_topic_release(assigned->topic);
    kj_free(assigned->aborted.txns);
    kj_free(assigned->aborted.active);
    kj_free(assigned->key);
    kj_free(assigned);
}

static void items_free(struct kj_assigned **items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assigned_free(items[i]);
    kj_free(items);
}

void kj_subscription_free(struct kj_subscription *subscription)
{
    items_free(subscription->items, subscription->count);
    kj_map_free(&subscription->map);
}

void kj_assigned_move(struct kj_assigned *assigned, enum kj_position_kind kind, int64_t offset)
{
    kj_assigned_drop_piece(assigned);
    assigned->cursor.valid = false;
    assigned->kind = kind;
    assigned->offset = offset;
    assigned->leader_epoch = -1;
    assigned->seen = 0;
}

/* The key of the map: four bytes of number, then the name. NULL: no memory. */
static char *make_key(const char *topic, int32_t partition, size_t *ret_bytes)
{
    size_t name = strlen(topic);
    char *key = kj_alloc(sizeof partition + name);
    if (key == NULL)
        return NULL;
    memcpy(key, &partition, sizeof partition);
    memcpy(key + sizeof partition, topic, name);
    *ret_bytes = sizeof partition + name;
    return key;
}

static struct kj_assigned *lookup(const struct kj_map *map, const char *topic, int32_t partition)
{
    char key[sizeof partition + 256];
    size_t name = strlen(topic);
    if (name > sizeof key - sizeof partition)
        return NULL;
    memcpy(key, &partition, sizeof partition);
    memcpy(key + sizeof partition, topic, name);
    return kj_map_get(map, key, sizeof partition + name);
}

static int assigned_new(struct kj_store *store, const char *topic, int32_t partition,
                        struct kj_assigned **ret_assigned)
{
    struct kj_assigned *assigned = kj_alloc_zero(1, sizeof *assigned);
    if (assigned == NULL)
        return kj_err_oom("an assigned partition");
    int err = kj_topic_find(store, topic, false, &assigned->topic);
    if (err == 0)
        err = kj_topic_partition(assigned->topic, partition, &assigned->partition);
    if (err == KAJA_ERR_UNKNOWN_PARTITION)
        err = kj_err_at(
            kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "%s has no partition %d", topic, partition),
            topic, partition, -1, -1);
    if (err == 0) {
        assigned->key = make_key(topic, partition, &assigned->key_bytes);
        if (assigned->key == NULL)
            err = kj_err_oom("an assigned partition");
    }
    if (err != 0) {
        assigned_free(assigned);
        return err;
    }
    assigned->log = kj_partition_log(assigned->partition);
    assigned->name = kj_topic_name(assigned->topic);
    assigned->number = partition;
    assigned->kind = KJ_POSITION_NEW;
    assigned->leader_epoch = -1;
    *ret_assigned = assigned;
    return 0;
}

/* The element of the new assignment for one partition: the old one, if it still means the same. */
static int assign_one(struct kj_subscription *subscription, struct kj_store *store,
                      const struct kaja_topic_partition *wanted, struct kj_map *map,
                      struct kj_assigned **items, size_t *count)
{
    if (lookup(map, wanted->topic, wanted->partition) != NULL)
        return 0; /* named twice */
    struct kj_assigned *assigned = lookup(&subscription->map, wanted->topic, wanted->partition);
    bool fresh = assigned == NULL || kj_topic_deleted(assigned->topic);
    if (fresh)
        KJ_TRY(assigned_new(store, wanted->topic, wanted->partition, &assigned));
    int err = kj_map_put(map, assigned->key, assigned->key_bytes, assigned);
    if (err != 0) {
        if (fresh)
            assigned_free(assigned);
        return err;
    }
    assigned->kept = !fresh;
    items[(*count)++] = assigned;
    return 0;
}

int kj_subscription_assign(struct kj_subscription *subscription, struct kj_store *store,
                           const struct kaja_topic_partition *partitions, size_t count)
{
    struct kj_map map;
    kj_map_init(&map);
    size_t made = 0;
    struct kj_assigned **items = kj_alloc_zero(count, sizeof(void *));
    if (items == NULL)
        return kj_err_oom("an assignment");
    for (size_t i = 0; i < subscription->count; i++)
        subscription->items[i]->kept = false;
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        err = assign_one(subscription, store, &partitions[i], &map, items, &made);
    if (err != 0) {
        for (size_t i = 0; i < made; i++)
            if (!items[i]->kept)
                assigned_free(items[i]);
        kj_free(items);
        kj_map_free(&map);
        return err;
    }
    for (size_t i = 0; i < subscription->count; i++)
        if (!subscription->items[i]->kept)
            assigned_free(subscription->items[i]);
    kj_free(subscription->items);
    kj_map_free(&subscription->map);
    *subscription = (struct kj_subscription){.items = items, .count = made, .map = map};
    return 0;
}

int kj_subscription_find(const struct kj_subscription *subscription, const char *topic,
                         int32_t partition, struct kj_assigned **ret_assigned)
{
    struct kj_assigned *assigned = lookup(&subscription->map, topic, partition);
    if (assigned == NULL)
        return kj_err_at(
            kj_err(KAJA_ERR_STATE, "%.249s-%d is not assigned to this consumer", topic, partition),
            topic, partition, -1, -1);
    *ret_assigned = assigned;
    return 0;
}
