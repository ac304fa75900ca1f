/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/change.c - making, deleting, growing and altering topics. Each change holds the catalog
 * lock from reading the catalog to its last write:
 *
 *     what is about to happen is written -> the directories -> that it happened is written -> told
 *
 * so that a death in between leaves something that store/settle.c can finish.
 */
#include "store/settle.h"

#include <errno.h>
#include <string.h>

/* --- the frame of every change --- */

static int lock_catalog(struct kj_store *store, bool wait)
{
    struct kj_shared *shared = kj_shared_of(store);
    if (wait)
        kj_lock_acquire(&store->change_lock);
    else if (!kj_lock_try(&store->change_lock))
        return kj_err(KAJA_ERR_LOCK_TIMED_OUT, "the catalog is being changed by another thread");
    int os = wait ? kj_shared_lock(shared, KJ_LOCK_CATALOG, KJ_LOCK_EXCLUSIVE,
                                   KJ_CONTROL_CATALOG_WAITERS, kj_lock_deadline(store))
                  : kj_shared_try_lock(shared, KJ_LOCK_CATALOG, KJ_LOCK_EXCLUSIVE);
    if (os == 0)
        return 0;
    kj_lock_release(&store->change_lock);
    if (os == EAGAIN)
        return kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                      "another process has been changing the catalog for %lld ms: is it stopped?",
                      (long long)store->options.lock_timeout_ms);
    return kj_err_os(os, "locking the catalog");
}

static void unlock_catalog(struct kj_store *store)
{
    kj_shared_unlock(kj_shared_of(store), KJ_LOCK_CATALOG, KJ_CONTROL_CATALOG_WAITERS);
    kj_lock_release(&store->change_lock);
}

void kj_catalog_announce(struct kj_store *store, const struct kj_catalog *catalog)
{
    struct kj_shared *shared = kj_shared_of(store);
    kj_shared_store(shared, KJ_CONTROL_GENERATION, catalog->generation);
    kj_wake_everybody(store);
}

int kj_change_commit(struct kj_store *store, struct kj_catalog *catalog)
{
    KJ_TRY(kj_catalog_write(store->io, catalog));
    kj_shared_point(kj_shared_of(store), "catalog: written");
    kj_catalog_announce(store, catalog);
    return 0;
}

void kj_change_end(struct kj_store *store, struct kj_catalog *catalog)
{
    kj_catalog_release(catalog);
    unlock_catalog(store);
}

/* What others began is finished first. If it cannot be (a stopped process holds a partition), it
 * stays pending and stands in the way of its own topic only. */
static int settle_pending(struct kj_store *store, struct kj_catalog *catalog)
{
    bool changed;
    if (!kj_catalog_pending(catalog))
        return 0;
    int err = kj_settle(store, kj_shared_of(store), catalog, &changed);
    if (err != 0)
        kj_store_background_error(store, err, NULL, -1);
    kj_err_clear();
    return changed ? kj_change_commit(store, catalog) : 0;
}

int kj_change_begin(struct kj_store *store, bool wait, struct kj_catalog **ret_catalog)
{
    struct kj_catalog *catalog;
    if (store->options.read_only)
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(lock_catalog(store, wait));
    int err = kj_shared_look_gone(kj_shared_of(store), true)
                  ? kj_log_gone(kj_shared_of(store), false)
                  : kj_catalog_read(store->io, &catalog);
    if (err == 0 && catalog == NULL)
        err = kj_err(KAJA_ERR_DAMAGED, KJ_CATALOG_NAME " was removed while the directory is open");
    if (err == 0) {
        err = settle_pending(store, catalog);
        if (err != 0)
            kj_catalog_release(catalog);
    }
    if (err != 0) {
        unlock_catalog(store);
        return err;
    }
    *ret_catalog = catalog;
    return 0;
}

/* --- checks --- */

static int err_topic(int code, const char *name, const char *what)
{
    return kj_err_at(kj_err(code, "topic %s %s", name, what), name, -1, -1, -1);
}

/* The topic that is there for others to use. */
static int find_ready(struct kj_catalog *catalog, const char *name,
                      struct kj_catalog_topic **ret_topic)
{
    struct kj_catalog_topic *topic = kj_catalog_find(catalog, name);
    if (topic == NULL || topic->deleting || topic->partitions == 0)
        return err_topic(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, name, "does not exist");
    if (topic->target > topic->partitions)
        return err_topic(KAJA_ERR_LOCK_TIMED_OUT, name,
                         "is being changed by a process that does not go on");
    *ret_topic = topic;
    return 0;
}

static int check_new_name(struct kj_catalog *catalog, const char *name)
{
    struct kj_catalog_topic *topic = kj_catalog_collision(catalog, name);
    if (topic == NULL)
        return 0;
    if (strcmp(topic->name, name) != 0)
        return kj_err_at(
            kj_err(
                KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                "topic %s collides with %s: names that differ only in '.' and '_' are not allowed",
                name, topic->name),
            name, -1, -1, -1);
    if (topic->deleting)
        return err_topic(KAJA_ERR_LOCK_TIMED_OUT, name,
                         "is still being deleted: a process that holds it does not go on");
    return err_topic(KAJA_ERR_TOPIC_ALREADY_EXISTS, name, "exists already");
}

static int check_modifiable(const char *name)
{
    KJ_TRY(kj_topic_name_check(name));
    if (kj_topic_name_internal(name))
        return err_topic(KAJA_ERR_INVALID_TOPIC_EXCEPTION, name, "is internal");
    return 0;
}

/* Directories that stand where new ones shall be belong to somebody. */
static int check_no_directory(struct kj_store *store, const char *name, int32_t from, int32_t to)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    struct kj_io_stat stat;
    for (int32_t p = from; p < to; p++) {
        if (!kj_partition_dir_name(dir, name, p))
            return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                          "%s-%d is too long for a directory's name", name, p);
        int os = kj_io_stat(store->io, dir, &stat);
        if (os == ENOENT)
            continue;
        if (os != 0)
            return kj_err_os(os, "looking at %s", dir);
        enum kj_dir_content content = KJ_DIR_FOREIGN;
        if (stat.type == KJ_IO_DIR)
            KJ_TRY(kj_dir_look(store->io, dir, &content));
        return kj_err_at(
            content == KJ_DIR_PARTITION
                ? kj_err(KAJA_ERR_TOPIC_ALREADY_EXISTS,
                         "%s exists already and is not in the catalog: it is adopted when the "
                         "directory is opened anew by everybody",
                         dir)
                : kj_err(KAJA_ERR_TOPIC_ALREADY_EXISTS,
                         "there is a %s named %s that is no partition: choose another name for the "
                         "topic, or take it away",
                         stat.type == KJ_IO_DIR ? "directory" : "file", dir),
            name, p, -1, -1);
    }
    return 0;
}

/* --- making --- */

void kj_new_id(struct kj_store *store, uint8_t id[static 16])
{
    store->clock->random(store->clock->arg, id, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* as Kafka's random ids: UUID version 4 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

/* Carries out what was just added to the catalog; undone if it fails. */
static int make_new_partitions(struct kj_store *store, struct kj_catalog *catalog,
                               struct kj_catalog_topic *topic)
{
    struct kj_shared *shared = kj_shared_of(store);
    KJ_TRY(kj_control_reach(shared, catalog->slots));
    KJ_TRY(kj_change_commit(store, catalog));
    struct kj_err_saved why;
    int32_t before = topic->partitions;
    int err = kj_settle_make(store, shared, catalog, topic);
    if (err == 0 && (err = kj_change_commit(store, catalog)) == 0)
        return 0;
    kj_err_save(err, &why);
    topic->partitions = before;
    if (kj_settle_undo(store, shared, catalog, topic) == 0)
        (void)kj_change_commit(store, catalog); /* else it stays pending, for the next one */
    return kj_err_restore(&why);
}

static int create_locked(struct kj_store *store, struct kj_catalog *catalog, const char *name,
                         int32_t count, const struct kj_property *properties, size_t property_count)
{
    struct kj_catalog_topic *topic;
    struct kj_log_config config;
    uint8_t id[16];
    KJ_TRY(check_new_name(catalog, name));
    kj_new_id(store, id);
    KJ_TRY(kj_catalog_add(catalog, name, id, &topic));
    for (size_t i = 0; i < property_count; i++)
        KJ_TRY(kj_property_set_put(&topic->properties, properties[i].name, properties[i].value));
    KJ_TRY(kj_topic_config_of(store, catalog, topic, &config)); /* INVALID_CONFIG */
    KJ_TRY(kj_catalog_grow(catalog, topic, count)); /* bounds the number before it is used */
    KJ_TRY(check_no_directory(store, name, 0, count));
    return make_new_partitions(store, catalog, topic);
}

int kj_topic_create_internal(struct kj_store *store, const char *name, int32_t partition_count,
                             const struct kj_property *properties, size_t property_count)
{
    struct kj_catalog *catalog;
    kj_lock_acquire(&store->lock);
    int32_t count = partition_count == -1 ? store->options.num_partitions : partition_count;
    kj_lock_release(&store->lock);
    if (count < 1)
        return err_topic(KAJA_ERR_INVALID_PARTITIONS, name, "wants at least one partition");
    KJ_TRY(kj_change_begin(store, true, &catalog));
    int err = create_locked(store, catalog, name, count, properties, property_count);
    kj_change_end(store, catalog);
    KJ_TRY(err);
    return kj_store_sync(store);
}

int kj_topic_create(struct kj_store *store, const char *name, int32_t partition_count,
                    const struct kj_property *properties, size_t property_count)
{
    KJ_TRY(check_modifiable(name));
    return kj_topic_create_internal(store, name, partition_count, properties, property_count);
}

int kj_topic_add_partitions(struct kj_store *store, const char *name, int32_t partition_count)
{
    struct kj_catalog *catalog;
    struct kj_catalog_topic *topic;
    KJ_TRY(check_modifiable(name));
    KJ_TRY(kj_change_begin(store, true, &catalog));
    int err = find_ready(catalog, name, &topic);
    if (err == 0 && partition_count <= topic->partitions)
        err = kj_err_at(kj_err(KAJA_ERR_INVALID_PARTITIONS,
                               "topic %s has %d partitions already, %d is no more", name,
                               topic->partitions, partition_count),
                        name, -1, -1, -1);
    if (err == 0)
        err = kj_catalog_grow(catalog, topic, partition_count);
    if (err == 0)
        err = check_no_directory(store, name, topic->partitions, partition_count);
    if (err == 0)
        err = make_new_partitions(store, catalog, topic);
    kj_change_end(store, catalog);
    KJ_TRY(err);
    return kj_store_sync(store);
}

/* --- deleting --- */

int kj_topic_delete(struct kj_store *store, const char *name)
{
    struct kj_catalog *catalog;
    struct kj_catalog_topic *topic;
    KJ_TRY(check_modifiable(name));
    KJ_TRY(kj_change_begin(store, true, &catalog));
    int err = find_ready(catalog, name, &topic);
    if (err == 0) {
        topic->deleting = true;
        err = kj_change_commit(store, catalog);
    }
    bool unknown_now = err == 0;
    if (err == 0)
        err = kj_settle_remove(store, kj_shared_of(store), catalog, topic);
    if (err == 0)
        err = kj_change_commit(store, catalog);
    kj_change_end(store, catalog);
    if (err != 0 && unknown_now) {
        /* It is deleted for everybody; what is left of it goes with the next round of housekeeping.
         */
        kj_store_background_error(store, err, name, -1);
        kj_err_clear();
        err = 0;
    }
    KJ_TRY(err);
    return kj_store_sync(store);
}

/* --- properties --- */

/* New values must fit every topic they reach. */
static int check_configs(struct kj_store *store, const struct kj_catalog *catalog,
                         const struct kj_catalog_topic *only)
{
    struct kj_log_config config;
    for (size_t i = 0; i < catalog->count; i++)
        if ((only == NULL || catalog->topics[i] == only) && !catalog->topics[i]->deleting)
            KJ_TRY(kj_topic_config_of(store, catalog, catalog->topics[i], &config));
    if (only != NULL)
        return 0;
    if (store->options.rules.log_config != NULL)
        KJ_TRY(store->options.rules.log_config(NULL, 0, catalog->directory.items,
                                               catalog->directory.count, &config));
    kj_lock_acquire(&store->lock);
    struct kj_store_options options = store->options;
    kj_lock_release(&store->lock);
    return store->options.rules.directory_config == NULL
               ? 0
               : store->options.rules.directory_config(catalog->directory.items,
                                                       catalog->directory.count, &options);
}

int kj_topic_alter(struct kj_store *store, const char *name, const struct kj_property *set,
                   size_t set_count, const char *const *remove, size_t remove_count)
{
    struct kj_catalog *catalog;
    struct kj_catalog_topic *topic = NULL;
    if (name != NULL)
        KJ_TRY(kj_topic_name_check(name));
    KJ_TRY(kj_change_begin(store, true, &catalog));
    int err = name == NULL ? 0 : find_ready(catalog, name, &topic);
    struct kj_property_set *properties = topic == NULL ? &catalog->directory : &topic->properties;
    for (size_t i = 0; i < remove_count && err == 0; i++)
        kj_property_set_remove(properties, remove[i]);
    for (size_t i = 0; i < set_count && err == 0; i++)
        err = kj_property_set_put(properties, set[i].name, set[i].value);
    if (err == 0)
        err = check_configs(store, catalog, topic);
    if (err == 0)
        err = kj_change_commit(store, catalog);
    kj_change_end(store, catalog);
    KJ_TRY(err);
    return kj_store_sync(store);
}

int kj_topic_properties(struct kj_store *store, const char *name,
                        struct kj_property **ret_properties, size_t *ret_count)
{
    KJ_TRY(kj_store_sync(store));
    struct kj_catalog *catalog = kj_store_catalog(store);
    struct kj_catalog_topic *topic = NULL;
    struct kj_property_set copy = {0};
    int err = 0;
    if (name != NULL) {
        topic = kj_catalog_find(catalog, name);
        if (topic == NULL || topic->deleting || topic->partitions == 0)
            err = err_topic(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, name, "does not exist");
    }
    if (err == 0)
        err = kj_property_set_copy(topic == NULL ? &catalog->directory : &topic->properties, &copy);
    kj_catalog_release(catalog);
    if (err != 0) {
        kj_property_set_free(&copy);
        return err;
    }
    *ret_properties = copy.items;
    *ret_count = copy.count;
    return 0;
}
