/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/leave.c - going out. Behind the door, each handle tries to have presence exclusively.
 * Refused: others are here, it just goes. Granted: it is the last, and leaves the directory as an
 * orderly stop of a broker does: every partition that anybody used closed, checkpoints written, and
 * then the marker that says so. Anything that fails on the way costs the marker and nothing else:
 * the next open recovers.
 */
#include "store/internal.h"

#include <errno.h>
#include <string.h>

/* Nobody changed the partition since the control file was built: its files are as a clean stop left
 * them. */
static bool untouched(struct kj_store *store, uint32_t slot_number)
{
    if (kj_slot_word(store, slot_number, KJ_SLOT_STATE) == KJ_SLOT_UNLOADED)
        return true;
    return kj_shared_load(kj_shared_of(store), KJ_CONTROL_RECOVERED) == 0 &&
           kj_slot_word(store, slot_number, KJ_SLOT_LAST_WALL_MS) == 0 &&
           kj_slot_word(store, slot_number, KJ_SLOT_CHANGES) == 0 &&
           kj_slot_word(store, slot_number, KJ_SLOT_INTENT) == KJ_INTENT_NONE &&
           kj_slot_word(store, slot_number, KJ_SLOT_POISON) == 0;
}

/* This handle's log of a partition, if it has one; we are alone in the store. */
static struct kj_log *own_log(struct kj_store *store, const struct kj_catalog_topic *from,
                              int32_t number)
{
    struct kj_log *log = NULL;
    kj_lock_acquire(&store->lock);
    struct kj_topic *topic = kj_map_get(&store->topics, from->name, strlen(from->name));
    if (topic != NULL && (size_t)number < topic->capacity && topic->partitions[number] != NULL)
        log = kj_partition_log(topic->partitions[number]);
    kj_lock_release(&store->lock);
    return log;
}

static int close_partition(struct kj_store *store, const struct kj_catalog *catalog,
                           const struct kj_catalog_topic *topic, int32_t number, bool *ret_poisoned)
{
    uint32_t slot_number = kj_catalog_slot(topic, number);
    if (kj_slot_word(store, slot_number, KJ_SLOT_POISON) != 0) {
        *ret_poisoned = true;
        return 0;
    }
    if (untouched(store, slot_number))
        return 0;
    struct kj_log *own = own_log(store, topic, number);
    if (own != NULL)
        return kj_log_close_clean(own);
    struct kj_spare_log spare;
    KJ_TRY(kj_spare_log_open(store, catalog, topic, number, &spare));
    int err = kj_log_close_clean(spare.log);
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_spare_log_close(&spare);
    return err == 0 ? 0 : kj_err_restore(&why);
}

struct leaving {
    struct kj_store *store;
    const struct kj_catalog *catalog;
    struct kj_lock lock; /* the rest */
    bool poisoned;
    int err; /* the first */
    struct kj_err_saved why;
};

static void close_one(void *arg, const struct kj_catalog_topic *topic, int32_t number)
{
    struct leaving *leaving = arg;
    bool poisoned = false;
    int err = topic->deleting
                  ? 0
                  : close_partition(leaving->store, leaving->catalog, topic, number, &poisoned);
    kj_lock_acquire(&leaving->lock);
    leaving->poisoned = leaving->poisoned || poisoned;
    if (err != 0 && leaving->err == 0) {
        leaving->err = err;
        kj_err_save(err, &leaving->why);
    }
    kj_lock_release(&leaving->lock);
    kj_shared_point(kj_shared_of(leaving->store), "leave: partition closed");
}

/* All of them, also behind one that fails: each one closed is one less to recover. */
static int close_partitions(struct kj_store *store, const struct kj_catalog *catalog,
                            bool *ret_poisoned)
{
    struct leaving leaving = {.store = store, .catalog = catalog};
    kj_lock_init(&leaving.lock, KJ_RANK_LEAF);
    int err = kj_each_partition(store, catalog, store->options.flush_threads, close_one, &leaving);
    kj_lock_destroy(&leaving.lock);
    KJ_TRY(err);
    if (leaving.poisoned)
        *ret_poisoned = true;
    return leaving.err == 0 ? 0 : kj_err_restore(&leaving.why);
}

static int write_marker(struct kj_store *store)
{
    static const char content[] = "{\"version\":0,\"brokerEpoch\":-1}";
    int os = kj_io_replace_file(store->io, KJ_MARKER_NAME, content, sizeof content - 1, true);
    return os == 0 ? 0 : kj_file_replace_error(store->io, os, KJ_MARKER_NAME);
}

static int close_directory(struct kj_store *store)
{
    bool poisoned = kj_shared_load(kj_shared_of(store), KJ_CONTROL_UNCLEAN) != 0 ||
                    kj_shared_load(kj_shared_of(store), KJ_CONTROL_SOUND) == 0;
    KJ_TRY(kj_store_sync(store));
    if (kj_settle_try(store) != 0)
        kj_err_clear(); /* the next first opener does it */
    KJ_TRY(kj_store_sync(store));
    struct kj_catalog *catalog = kj_store_catalog(store);
    int err = close_partitions(store, catalog, &poisoned);
    if (err == 0)
        err = kj_checkpoints_write(store, catalog, KJ_CHECKPOINT_ALL);
    kj_catalog_release(catalog);
    KJ_TRY(err);
    kj_shared_point(kj_shared_of(store), "leave: before the marker");
    if (poisoned)
        return 0;
    KJ_TRY(write_marker(store));
    int os = kj_shared_remove(kj_shared_of(store)); /* scratch; the next opener would do it too */
    return os == 0 ? 0 : kj_err_os(os, "removing " KJ_CONTROL_NAME);
}

int kj_door_leave(struct kj_store *store)
{
    struct kj_shared *shared = kj_shared_of(store);
    int os;
    /* Another directory's files, or nobody's: nothing is written any more. */
    if (kj_shared_look_gone(shared, true))
        return kj_log_gone(shared, false);
    /* Before the door, where it keeps nobody waiting: a descriptor with unflushed bytes of this
     * handle is not closed. */
    int flush_err = kj_flush_own(store);
    struct kj_err_saved why;
    if (flush_err != 0)
        kj_err_save(flush_err, &why);
    KJ_TRY(kj_door_lock(store));
    kj_shared_point(shared, "leave: door");
    os = kj_shared_try_lock(shared, KJ_LOCK_PRESENCE, KJ_LOCK_EXCLUSIVE);
    if (os == EAGAIN) {
        kj_shared_unlock(shared, KJ_LOCK_PRESENCE, UINT32_MAX);
        return flush_err == 0 ? 0 : kj_err_restore(&why);
    }
    if (os != 0)
        return kj_err_os(os, "locking " KJ_LOCK_NAME);
    int err = close_directory(store);
    if (err != 0)
        return err;
    return flush_err == 0 ? 0 : kj_err_restore(&why);
}
