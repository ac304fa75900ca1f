/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/topic.c - the topics as this handle knows them. They follow the catalog: whoever asks for
 * one looks at one word (KJ_CONTROL_GENERATION) and reads the catalog again if it moved.
 */
#include "store/internal.h"

#include <string.h>

bool kj_topic_name_internal(const char *name)
{
    static const char *const names[] = {"__consumer_offsets", "__transaction_state",
                                        "__share_group_state", "__cluster_metadata"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* --- configs --- */

/* An adopted topic comes from a broker whose settings are not in the files: nothing is deleted by
 * defaults that nobody chose for it, only by properties of its own. */
static void guard_adopted(const struct kj_catalog_topic *topic, struct kj_log_config *config)
{
    if (!topic->adopted)
        return;
    if (kj_property_set_get(&topic->properties, "retention.ms") == NULL)
        config->retention_ms = -1;
    if (kj_property_set_get(&topic->properties, "retention.bytes") == NULL)
        config->retention_bytes = -1;
    if (kj_property_set_get(&topic->properties, "cleanup.policy") == NULL) {
        config->cleanup_delete = true; /* delete-records may be asked for */
        config->cleanup_compact = false;
    }
}

int kj_topic_config_of(struct kj_store *store, const struct kj_catalog *catalog,
                       const struct kj_catalog_topic *topic, struct kj_log_config *ret_config)
{
    struct kj_log_config config;
    kj_log_config_defaults(&config);
    if (store->options.rules.log_config != NULL)
        KJ_TRY(store->options.rules.log_config(topic->properties.items, topic->properties.count,
                                               catalog->directory.items, catalog->directory.count,
                                               &config));
    guard_adopted(topic, &config);
    *ret_config = config;
    return 0;
}

void kj_topic_config(struct kj_topic *topic, struct kj_log_config *ret_config)
{
    kj_lock_acquire(&topic->store->lock);
    *ret_config = topic->config;
    kj_lock_release(&topic->store->lock);
}

/* --- objects --- */

static void topic_free(struct kj_topic *topic)
{
    if (topic == NULL)
        return;
    for (size_t i = 0; i < topic->capacity; i++)
        kj_partition_free(topic->partitions[i]);
    kj_free(topic->partitions);
    kj_free(topic->slots);
    kj_free(topic->name);
    kj_free(topic);
}

void kj_topic_hold(struct kj_topic *topic)
{
    kj_fetch_add(&topic->refs, 1);
}

bool kj_topic_try_hold(struct kj_topic *topic)
{
    uint64_t refs = kj_load_acquire(&topic->refs);
    while (refs > 0)
        if (kj_cas(&topic->refs, &refs, refs + 1))
            return true;
    return false;
}

void kj_topic_release(struct kj_topic *topic)
{
    if (topic != NULL && kj_fetch_add(&topic->refs, UINT64_MAX) == 1)
        topic_free(topic);
}

/* Room for the partitions that the catalog has. STORE lock held. */
static int topic_grow(struct kj_topic *topic, const struct kj_catalog_topic *from)
{
    size_t count = (size_t)from->partitions;
    if (count > topic->capacity) {
        struct kj_partition **partitions =
            kj_realloc(topic->partitions, count * sizeof(*partitions));
        if (partitions == NULL)
            return kj_err_oom("a topic");
        topic->partitions = partitions;
        uint32_t *slots = kj_realloc(topic->slots, count * sizeof *slots);
        if (slots == NULL)
            return kj_err_oom("a topic");
        topic->slots = slots;
        for (size_t i = topic->capacity; i < count; i++) {
            partitions[i] = NULL;
            slots[i] = kj_catalog_slot(from, (int32_t)i);
        }
        topic->capacity = count;
    }
    kj_store_release(&topic->partition_count, count);
    return 0;
}

/* NULL: out of memory. */
static struct kj_topic *topic_new(struct kj_store *store, const struct kj_catalog_topic *from)
{
    struct kj_topic *topic = kj_alloc_zero(1, sizeof *topic);
    char *name = kj_strdup(from->name);
    if (topic == NULL || name == NULL) {
        kj_free(topic);
        kj_free(name);
        return NULL;
    }
    topic->store = store;
    topic->name = name;
    memcpy(topic->id, from->id, sizeof topic->id);
    topic->internal = kj_topic_name_internal(name);
    kj_store_relaxed(&topic->refs, 1);
    kj_store_relaxed(&topic->config_version, 1);
    return topic;
}

/* --- following the catalog --- */

/* Makes or updates one topic. STORE lock held. */
static int follow_topic(struct kj_store *store, const struct kj_catalog_topic *from,
                        const struct kj_log_config *config, struct kj_topic **dropped,
                        size_t *dropped_count)
{
    struct kj_topic *topic = kj_map_get(&store->topics, from->name, strlen(from->name));
    if (topic != NULL && memcmp(topic->id, from->id, sizeof topic->id) != 0) {
        kj_map_remove(&store->topics, topic->name, strlen(topic->name));
        kj_store_release(&topic->deleted, 1);
        dropped[(*dropped_count)++] = topic;
        topic = NULL;
    }
    if (topic == NULL) {
        topic = topic_new(store, from);
        if (topic == NULL)
            return kj_err_oom("a topic");
        int err = topic_grow(topic, from);
        if (err == 0)
            err = kj_map_put(&store->topics, topic->name, strlen(topic->name), topic);
        if (err != 0) {
            topic_free(topic);
            return err;
        }
        topic->config = *config;
    } else {
        KJ_TRY(topic_grow(topic, from));
        if (memcmp(&topic->config, config, sizeof *config) != 0) {
            topic->config = *config;
            kj_fetch_add(&topic->config_version, 1);
        }
    }
    kj_store_release(&topic->adopted, from->adopted);
    topic->seen = store->sync_mark;
    return 0;
}

/* Whoever is not in the catalog any more goes. STORE lock held. */
static void drop_unseen(struct kj_store *store, struct kj_topic **dropped, size_t *dropped_count)
{
    struct kj_map_entry entry;
    for (size_t at = 0; kj_map_next(&store->topics, &at, &entry);) {
        struct kj_topic *topic = entry.value;
        if (topic->seen == store->sync_mark)
            continue;
        kj_map_remove_current(&store->topics, &at);
        kj_store_release(&topic->deleted, 1);
        dropped[(*dropped_count)++] = topic;
    }
}

/* The config of each topic; those without properties of their own share one. */
static int configs_of(struct kj_store *store, const struct kj_catalog *catalog,
                      struct kj_log_config *configs)
{
    const struct kj_log_config *plain = NULL;
    for (size_t i = 0; i < catalog->count; i++) {
        const struct kj_catalog_topic *topic = catalog->topics[i];
        bool is_plain = topic->properties.count == 0 && !topic->adopted;
        if (is_plain && plain != NULL) {
            configs[i] = *plain;
            continue;
        }
        KJ_TRY(kj_topic_config_of(store, catalog, topic, &configs[i]));
        if (is_plain)
            plain = &configs[i];
    }
    return 0;
}

static bool visible(const struct kj_catalog_topic *topic)
{
    return !topic->deleting && topic->partitions > 0;
}

static int follow(struct kj_store *store, struct kj_catalog *catalog,
                  const struct kj_log_config *configs, struct kj_topic **dropped,
                  size_t *dropped_count)
{
    int err = 0;
    store->sync_mark++;
    for (size_t i = 0; i < catalog->count && err == 0; i++)
        if (visible(catalog->topics[i]))
            err = follow_topic(store, catalog->topics[i], &configs[i], dropped, dropped_count);
    if (err == 0)
        drop_unseen(store, dropped, dropped_count);
    if (err == 0 && store->options.rules.directory_config != NULL)
        err = store->options.rules.directory_config(catalog->directory.items,
                                                    catalog->directory.count, &store->options);
    return err;
}

int kj_store_adopt_catalog(struct kj_store *store, struct kj_catalog *catalog)
{
    struct kj_log_config *configs = kj_alloc_zero(catalog->count, sizeof *configs);
    int err = configs == NULL ? kj_err_oom("the catalog") : configs_of(store, catalog, configs);
    if (err != 0) {
        kj_free(configs);
        kj_catalog_release(catalog);
        return err;
    }
    size_t dropped_count = 0;
    struct kj_topic **dropped = NULL;
    struct kj_catalog *old = catalog;
    kj_lock_acquire(&store->lock);
    bool older = store->catalog != NULL && !store->options.read_only &&
                 catalog->generation < store->catalog->generation;
    if (!older) { /* else another thread read a newer one meanwhile */
        /* Each one that is known may go, by its absence or by another id. */
        dropped = kj_alloc_zero(store->topics.count + 1, sizeof(*dropped));
        err = dropped == NULL ? kj_err_oom("the catalog")
                              : follow(store, catalog, configs, dropped, &dropped_count);
        if (err == 0) {
            old = store->catalog;
            store->catalog = catalog;
        }
    }
    kj_lock_release(&store->lock);
    for (size_t i = 0; i < dropped_count; i++)
        kj_topic_release(dropped[i]);
    kj_free(dropped);
    kj_free(configs);
    kj_catalog_release(old);
    return err;
}

struct kj_catalog *kj_store_catalog(struct kj_store *store)
{
    kj_lock_acquire(&store->lock);
    struct kj_catalog *catalog = store->catalog;
    kj_catalog_hold(catalog);
    kj_lock_release(&store->lock);
    return catalog;
}

/* What tells that the catalog may have changed. */
static uint64_t generation_now(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    return session->attached ? kj_shared_load(session->shared, KJ_CONTROL_GENERATION)
                             : session->identity;
}

/* Only read-only handles meet a directory without a catalog, or one with unknown partitions: others
 * made it when they opened. */
static int read_catalog(struct kj_store *store, struct kj_catalog **ret_catalog)
{
    struct kj_catalog *catalog = NULL;
    KJ_TRY(kj_catalog_read(store->io, &catalog));
    if (catalog == NULL && !store->options.read_only)
        return kj_err(KAJA_ERR_DAMAGED, KJ_CATALOG_NAME " was removed while the directory is open");
    if (catalog == NULL)
        KJ_TRY(kj_catalog_new(&catalog));
    if (store->options.read_only && !kj_session_of(store)->attached) {
        bool changed;
        int err = kj_adopt(store, catalog, &changed);
        if (err != 0) {
            kj_catalog_release(catalog);
            return err;
        }
    }
    *ret_catalog = catalog;
    return 0;
}

int kj_store_sync(struct kj_store *store)
{
    KJ_TRY(kj_session_follow(store));
    uint64_t now = generation_now(store); /* before the file is read, so it is at least as new */
    if (now == kj_load_acquire(&store->seen_generation))
        return 0;
    struct kj_catalog *catalog = NULL;
    KJ_TRY(read_catalog(store, &catalog));
    KJ_TRY(kj_store_adopt_catalog(store, catalog));
    kj_store_release(&store->seen_generation, now);
    return 0;
}

uint64_t kj_store_catalog_generation(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    if (!store->options.read_only)
        return kj_shared_load(session->shared, KJ_CONTROL_GENERATION);
    if (kj_store_sync(store) != 0)
        kj_err_clear(); /* it is told by the next call that needs a topic */
    struct kj_catalog *catalog = kj_store_catalog(store);
    uint64_t generation = catalog->generation;
    kj_catalog_release(catalog);
    return generation;
}

void kj_topics_free(struct kj_store *store)
{
    struct kj_map_entry entry;
    for (size_t at = 0; kj_map_next(&store->topics, &at, &entry);) {
        struct kj_topic *topic = entry.value;
        kj_map_remove_current(&store->topics, &at);
        kj_topic_release(topic);
    }
    kj_map_free(&store->topics);
}

/* --- asking --- */

static struct kj_topic *lookup(struct kj_store *store, const char *name)
{
    kj_lock_acquire(&store->lock);
    struct kj_topic *topic = kj_map_get(&store->topics, name, strlen(name));
    if (topic != NULL)
        kj_topic_hold(topic);
    kj_lock_release(&store->lock);
    return topic;
}

int kj_topic_find(struct kj_store *store, const char *name, bool create,
                  struct kj_topic **ret_topic)
{
    KJ_TRY(kj_topic_name_check(name));
    KJ_TRY(kj_store_sync(store));
    struct kj_topic *topic = lookup(store, name);
    kj_lock_acquire(&store->lock);
    bool make = create && store->options.auto_create && !store->options.read_only;
    kj_lock_release(&store->lock);
    /* Somebody else may make it at the same time, and somebody else delete it again. */
    for (int tries = 0; topic == NULL && make && tries < 3; tries++) {
        int err = kj_topic_create(store, name, -1, NULL, 0);
        if (err != 0 && err != KAJA_ERR_TOPIC_ALREADY_EXISTS)
            return err;
        KJ_TRY(kj_store_sync(store));
        topic = lookup(store, name);
    }
    if (topic == NULL)
        return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "there is no topic %s", name),
                         name, -1, -1, -1);
    *ret_topic = topic;
    return 0;
}

int kj_store_topics(struct kj_store *store, kj_topic_callback *callback, void *arg)
{
    KJ_TRY(kj_store_sync(store));
    struct kj_catalog *catalog = kj_store_catalog(store);
    int result = 0;
    for (size_t i = 0; i < catalog->count && result == 0; i++) {
        struct kj_topic *topic =
            visible(catalog->topics[i]) ? lookup(store, catalog->topics[i]->name) : NULL;
        if (topic == NULL)
            continue;
        result = callback(arg, topic);
        kj_topic_release(topic);
    }
    kj_catalog_release(catalog);
    return result;
}

const char *kj_topic_name(const struct kj_topic *topic)
{
    return topic->name;
}

const uint8_t *kj_topic_id(const struct kj_topic *topic)
{
    return topic->id;
}

int32_t kj_topic_partition_count(struct kj_topic *topic)
{
    if (kj_load_acquire(&topic->deleted) == 0 && kj_store_sync(topic->store) != 0)
        kj_err_clear(); /* the count as last known */
    return (int32_t)kj_load_acquire(&topic->partition_count);
}

bool kj_topic_deleted(struct kj_topic *topic)
{
    if (kj_load_acquire(&topic->deleted) == 0 && kj_store_sync(topic->store) != 0)
        kj_err_clear(); /* as last known */
    return kj_load_acquire(&topic->deleted) != 0;
}

bool kj_topic_internal(const struct kj_topic *topic)
{
    return topic->internal;
}

bool kj_topic_adopted(const struct kj_topic *topic)
{
    return kj_load_acquire(&topic->adopted) != 0;
}
