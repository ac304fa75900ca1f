/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/producer_topic.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

void kj_producer_topics_init(struct kj_producer_topics *topics, struct kj_store *store,
                             kj_atomic_u64 *open_batches, int64_t producer_id)
{
    topics->store = store;
    topics->open_batches = open_batches;
    topics->producer_id = producer_id;
    kj_lock_init(&topics->lock, KJ_RANK_PRODUCER);
    kj_map_init(&topics->map);
    for (size_t i = 0; i < KJ_TOPIC_CACHE; i++)
        topics->cache[i] = NULL;
}

static void topic_free(struct kj_producer_topic *topic)
{
    kj_accumulator_slot *slots = topic->slots;
    for (size_t i = 0; i < topic->slot_count; i++) {
        struct kj_accumulator *acc = slots[i];
        if (acc == NULL)
            continue;
        if (acc->topic != NULL)
            kj_topic_release(acc->topic);
        acc->topic = NULL;
        kj_accumulator_destroy(acc);
        kj_free(acc);
    }
    for (size_t i = 0; i < topic->old_count; i++)
        kj_free(topic->old_slots[i]);
    kj_free(topic->old_slots);
    kj_free(slots);
    if (topic->topic != NULL)
        kj_topic_release(topic->topic);
    kj_free(topic->name);
    kj_free(topic);
}

void kj_producer_topics_destroy(struct kj_producer_topics *topics)
{
    struct kj_map_entry entry;
    for (size_t at = 0; kj_map_next(&topics->map, &at, &entry);)
        topic_free(entry.value);
    kj_map_free(&topics->map);
    kj_lock_destroy(&topics->lock);
}

/* More partitions: a longer array. Lock held. */
static int grow(struct kj_producer_topic *topic, size_t count)
{
    size_t old = topic->slot_count;
    if (count <= old)
        return 0;
    kj_accumulator_slot *slots = kj_alloc_zero(count, sizeof *slots);
    if (slots == NULL)
        return kj_err_oom("a topic's partitions");
    kj_accumulator_slot *before = topic->slots;
    if (before != NULL) {
        void *items = topic->old_slots;
        int err = kj_grow(&items, &topic->old_capacity, topic->old_count + 1, sizeof(void *));
        if (err != 0) {
            kj_free(slots);
            return err;
        }
        topic->old_slots = items;
        topic->old_slots[topic->old_count++] = before;
    }
    for (size_t i = 0; i < old; i++)
        slots[i] = before[i];
    topic->slots = slots;
    topic->slot_count = count;
    return 0;
}

/* A topic that records may be sent to. */
static int find(struct kj_store *store, const char *name, struct kj_topic **ret_topic)
{
    struct kj_topic *topic;
    KJ_TRY(kj_topic_find(store, name, true, &topic));
    if (kj_topic_internal(topic)) {
        kj_topic_release(topic);
        return kj_err_at(kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                                "%s is internal: only kaja writes to it", name),
                         name, -1, -1, -1);
    }
    *ret_topic = topic;
    return 0;
}

int kj_producer_topic_refresh(struct kj_producer_topics *topics, struct kj_producer_topic *topic,
                              uint64_t generation)
{
    kj_lock_acquire(&topics->lock);
    struct kj_topic *now = topic->topic;
    if (now != NULL)
        kj_topic_hold(now);
    kj_lock_release(&topics->lock);
    if (now == NULL || kj_topic_deleted(now)) {
        struct kj_topic *fresh;
        int err = find(topics->store, topic->name, &fresh);
        if (now != NULL)
            kj_topic_release(now);
        if (err != 0)
            return err;
        now = fresh;
    }
    int32_t count = kj_topic_partition_count(now);
    struct kj_topic *drop = now;
    int err = 0;
    kj_lock_acquire(&topics->lock);
    if (kj_load_relaxed(&topic->generation) < generation) {
        err = grow(topic, (size_t)count);
        if (err == 0) {
            drop = topic->topic;
            topic->topic = now;
            kj_store_release(&topic->count,
                             (uint64_t)count); /* pairs with put(): slots seen first */
            kj_store_release(&topic->generation,
                             generation); /* pairs with kj_producer_topic_get() */
        }
    }
    kj_lock_release(&topics->lock);
    if (drop != NULL)
        kj_topic_release(drop);
    return err;
}

/* NULL: no memory. Takes the topic over when it succeeds. */
static struct kj_producer_topic *topic_new(const struct kj_clock *clock, const char *name,
                                           struct kj_topic *topic)
{
    struct kj_producer_topic *made = kj_alloc_zero(1, sizeof *made);
    if (made == NULL || (made->name = kj_strdup(name)) == NULL) {
        kj_free(made);
        return NULL;
    }
    made->topic = topic;
    uint64_t seed;
    clock->random(clock->arg, &seed, sizeof seed);
    kj_sticky_init(&made->sticky, seed);
    return made;
}

/* Only topics that exist get an entry, or wrong names would pile up. */
static int add(struct kj_producer_topics *topics, const char *name, size_t bytes,
               struct kj_producer_topic **ret_topic)
{
    struct kj_topic *found;
    KJ_TRY(find(topics->store, name, &found));
    struct kj_producer_topic *made = topic_new(kj_store_clock(topics->store), name, found);
    if (made == NULL) {
        kj_topic_release(found);
        return kj_err_oom("a topic");
    }
    int err = 0;
    kj_lock_acquire(&topics->lock);
    struct kj_producer_topic *topic = kj_map_get(&topics->map, name, bytes);
    if (topic == NULL) {
        err = kj_map_put(&topics->map, made->name, bytes, made);
        topic = made;
        if (err == 0)
            made = NULL;
    }
    kj_lock_release(&topics->lock);
    if (made != NULL)
        topic_free(made);
    if (err == 0)
        *ret_topic = topic;
    return err;
}

int kj_producer_topic_find(struct kj_producer_topics *topics, const char *name,
                           struct kj_producer_topic **ret_topic)
{
    size_t bytes = strlen(name);
    kj_lock_acquire(&topics->lock);
    struct kj_producer_topic *topic = kj_map_get(&topics->map, name, bytes);
    kj_lock_release(&topics->lock);
    if (topic == NULL)
        KJ_TRY(add(topics, name, bytes, &topic));
    topics->cache[kj_topic_cache_place(name)] = topic;
    *ret_topic = topic;
    return 0;
}

/* The accumulator of a partition, made if it is not there yet. */
static int get_accumulator(struct kj_producer_topics *topics, struct kj_producer_topic *topic,
                           int32_t partition, struct kj_accumulator **ret_acc)
{
    kj_lock_acquire(&topics->lock);
    kj_accumulator_slot *slots = topic->slots;
    struct kj_accumulator *acc = slots[partition];
    if (acc == NULL) {
        acc = kj_alloc_zero(1, sizeof *acc);
        if (acc != NULL) {
            kj_accumulator_init(acc, topic->name, partition, topics->open_batches,
                                topics->producer_id);
            slots[partition] = acc;
        }
    }
    kj_lock_release(&topics->lock);
    if (acc == NULL)
        return kj_err_oom("a partition of a producer");
    *ret_acc = acc;
    return 0;
}

int kj_producer_topic_prepare(struct kj_producer_topics *topics, struct kj_producer_topic *topic,
                              int32_t partition, struct kj_accumulator **ret_acc)
{
    struct kj_accumulator *acc = NULL;
    KJ_TRY(get_accumulator(topics, topic, partition, &acc));
    kj_lock_acquire(&topics->lock);
    struct kj_topic *now = topic->topic;
    uint64_t generation = kj_load_relaxed(&topic->generation);
    kj_topic_hold(now);
    kj_lock_release(&topics->lock);
    struct kj_partition *handle;
    int err = kj_topic_partition(now, partition, &handle);
    if (err != 0) {
        kj_topic_release(now);
        return err;
    }
    struct kj_log_config config;
    kj_topic_config(now, &config);
    struct kj_topic *drop = now;
    kj_lock_acquire(&acc->lock);
    if (acc->topic == NULL || acc->generation < generation) {
        /* What was gathered for a topic that is gone is not for the one that took its place. */
        if (acc->topic != now)
            kj_accumulator_close_open(acc);
        drop = acc->topic;
        acc->topic = now;
        acc->partition = handle;
        acc->generation = generation;
        acc->compacted = config.cleanup_compact;
        acc->log_append_time = config.log_append_time;
        acc->before_max_ms = config.timestamp_before_max_ms;
        acc->after_max_ms = config.timestamp_after_max_ms;
        acc->codec = config.compression;
        acc->level = config.compression_level;
        acc->message_bytes_max =
            config.max_message_bytes > 0 ? (size_t)config.max_message_bytes : 0;
    }
    kj_lock_release(&acc->lock);
    if (drop != NULL)
        kj_topic_release(drop);
    *ret_acc = acc;
    return 0;
}

void kj_producer_topics_each(struct kj_producer_topics *topics, kj_accumulator_callback *callback,
                             void *arg)
{
    struct kj_map_entry entry;
    kj_lock_acquire(&topics->lock);
    for (size_t at = 0; kj_map_next(&topics->map, &at, &entry);) {
        struct kj_producer_topic *topic = entry.value;
        kj_accumulator_slot *slots = topic->slots;
        for (size_t i = 0; i < topic->slot_count; i++)
            if (slots[i] != NULL)
                callback(arg, slots[i]);
    }
    kj_lock_release(&topics->lock);
}
