/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/settle.c - finishing what the catalog says was begun: by whoever began it, by the next
 * holder of the catalog lock if that one died, or by the next first opener if everybody did.
 *
 *     target > partitions   the directories are made; if that fails they go again, and target goes
 * back deleting              the slots lose their ids, the directories are renamed and removed, what
 * upper rooms keep by the name is forgotten
 *
 * Files with names that no log gives are not ours to remove. A directory that holds some is kept,
 * as <topic>-<partition>.<id>-stray, and an event names it.
 *
 * Every step may be repeated. A topic leaves the catalog only when its directories are gone for
 * good, or they would be adopted as a topic that nobody knows.
 */
#include "store/settle.h"

#include <errno.h>
#include <string.h>

static void point(struct kj_shared *shared, const char *name)
{
    if (shared != NULL)
        kj_shared_point(shared, name);
}

/* --- making --- */

int kj_settle_make(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                   struct kj_catalog_topic *topic)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    if (shared != NULL)
        KJ_TRY(kj_control_reach(shared, catalog->slots));
    KJ_TRY(kj_checkpoints_forget(store, shared, topic->name, topic->partitions, topic->target));
    for (int32_t p = topic->partitions; p < topic->target; p++) {
        if (!kj_partition_dir_name(dir, topic->name, p))
            return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                          "%s-%d is too long for a directory's name", topic->name, p);
        KJ_TRY(kj_log_create_files(store->io, dir, topic->id));
        point(shared, "topic: partition made");
    }
    topic->partitions = topic->target;
    return 0;
}

/* --- removing --- */

struct names {
    char names[64][KJ_DIR_NAME_MAX + 1];
    size_t count;
    char foreign[KJ_DIR_NAME_MAX + 1]; /* one of them; empty: there is none */
};

static int note_name(void *arg, const char *name, enum kj_io_type type)
{
    struct names *names = arg;
    if (type != KJ_IO_FILE || !kj_file_name_known(name)) {
        (void)snprintf(names->foreign, sizeof names->foreign, "%s", name);
        return 0;
    }
    strcpy(names->names[names->count++], name);
    return names->count == sizeof names->names / sizeof names->names[0]
               ? -1
               : 0; /* the rest next time */
}

/* The bytes of a .log as far as they count for kaja.disk.max. */
static int64_t log_bytes(struct kj_store *store, const char *path, const char *name)
{
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    struct kj_io_stat stat;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if (kind != KJ_FILE_LOG || suffix != KJ_SUFFIX_NONE || kj_io_stat(store->io, path, &stat) != 0)
        return 0;
    return stat.size;
}

/* What somebody else put into a directory that is to go stays, where neither we nor a broker look
 * for anything to remove. */
static int keep_foreign(struct kj_store *store, const char *dir, const char *foreign)
{
    char kept[KJ_DIR_NAME_MAX + 1];
    kj_stray_dir_name(kept, dir);
    int os = kj_io_rename(store->io, dir, kept);
    if (os != 0)
        return kj_err_os(os, "renaming %s to %s", dir, kept);
    kj_store_background_error(
        store,
        kj_err(KAJA_ERR_NOT_KAJA,
               "what is left of a deleted partition is kept as %s: %s in it is no file of a log",
               kept, foreign),
        NULL, -1);
    kj_err_clear();
    return 0;
}

/* A directory named by kj_deleted_dir_name(), with the files of a log in it. */
static int remove_dir(struct kj_store *store, const char *dir)
{
    for (;;) {
        struct names names = {.count = 0};
        int os = kj_io_list(store->io, dir, note_name, &names);
        if (os == ENOENT)
            return 0;
        if (os > 0)
            return kj_err_os(os, "listing %s", dir);
        if (names.count == 0 && names.foreign[0] != '\0')
            return keep_foreign(store, dir, names.foreign);
        if (names.count == 0)
            break;
        for (size_t i = 0; i < names.count; i++) {
            char path[2 * KJ_DIR_NAME_MAX + 2];
            (void)snprintf(path, sizeof path, "%s/%s", dir, names.names[i]);
            int64_t bytes = log_bytes(store, path, names.names[i]);
            os = kj_io_unlink(store->io, path);
            if (os != 0 && os != ENOENT)
                return kj_err_os(os, "removing %s", path);
            if (bytes > 0)
                kj_space_add(store, -bytes);
        }
    }
    int os = kj_io_rmdir(store->io, dir);
    return os == 0 || os == ENOENT ? 0 : kj_err_os(os, "removing %s", dir);
}

/* Renamed first: from then on it is no partition for anybody, however far the removal comes. */
static int remove_partition(struct kj_store *store, const struct kj_catalog_topic *topic,
                            int32_t partition)
{
    char dir[KJ_DIR_NAME_MAX + 1], gone[KJ_DIR_NAME_MAX + 1];
    if (!kj_partition_dir_name(dir, topic->name, partition))
        return 0; /* it could never be made */
    kj_deleted_dir_name(gone, topic->name, partition, topic->id);
    struct kj_io_stat stat;
    int os = kj_io_stat(store->io, dir, &stat);
    if (os == 0) {
        KJ_TRY(remove_dir(store, gone));
        os = kj_io_rename(store->io, dir, gone);
    }
    if (os != 0 && os != ENOENT)
        return kj_err_os(os, "renaming %s to %s", dir, gone);
    return remove_dir(store, gone);
}

static int remove_partitions(struct kj_store *store, struct kj_shared *shared,
                             const struct kj_catalog_topic *topic, int32_t from)
{
    for (int32_t p = from; p < topic->target; p++) {
        KJ_TRY(remove_partition(store, topic, p));
        point(shared, "topic: partition removed");
    }
    int os = kj_io_sync_dir(store->io, "");
    return os == 0 ? 0 : kj_err_os(os, "flushing the directory");
}

/* Makes every handle notice. Its own threads are kept out by this handle's own log object, where
 * there is one. */
static int retire_slots(struct kj_store *store, const struct kj_catalog *catalog,
                        const struct kj_catalog_topic *topic)
{
    for (int32_t p = 0; p < topic->target; p++) {
        struct kj_borrowed borrowed;
        KJ_TRY(kj_slot_borrow(store, catalog, topic, p, &borrowed));
        int err = kj_log_retire(borrowed.log);
        kj_borrowed_return(&borrowed);
        KJ_TRY(err);
        kj_shared_point(kj_shared_of(store), "topic: slot retired");
    }
    return 0;
}

int kj_settle_remove(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                     struct kj_catalog_topic *topic)
{
    if (shared != NULL && topic->partitions > 0) {
        KJ_TRY(kj_control_reach(shared, catalog->slots));
        KJ_TRY(retire_slots(store, catalog, topic));
        kj_wake_everybody(store);
    }
    KJ_TRY(remove_partitions(store, shared, topic, 0));
    KJ_TRY(kj_checkpoints_forget(store, shared, topic->name, 0, topic->target));
    point(shared, "topic: directories gone");
    if (store->options.hooks.topic_gone != NULL)
        KJ_TRY(store->options.hooks.topic_gone(store->options.hooks.arg, store, topic->name));
    kj_catalog_remove(catalog, topic);
    return 0;
}

int kj_settle_undo(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
                   struct kj_catalog_topic *topic)
{
    KJ_TRY(remove_partitions(store, shared, topic, topic->partitions));
    if (topic->partitions == 0)
        kj_catalog_remove(catalog, topic);
    else
        kj_catalog_shrink(topic);
    return 0;
}

/* --- all of it --- */

static int settle_topic(struct kj_store *store, struct kj_shared *shared,
                        struct kj_catalog *catalog, struct kj_catalog_topic *topic)
{
    if (topic->deleting)
        return kj_settle_remove(store, shared, catalog, topic);
    struct kj_err_saved why;
    int err = kj_settle_make(store, shared, catalog, topic);
    if (err == 0)
        return 0;
    kj_err_save(err, &why);
    if (kj_settle_undo(store, shared, catalog, topic) == 0) {
        (void)kj_err_restore(&why);
        kj_store_background_error(store, err, NULL, -1);
        kj_err_clear();
        return 0;
    }
    return kj_err_restore(&why);
}

int kj_settle(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
              bool *ret_changed)
{
    int first = 0;
    *ret_changed = false;
    for (size_t i = 0; i < catalog->count;) {
        struct kj_catalog_topic *topic = catalog->topics[i];
        size_t count = catalog->count;
        /* Upper rooms have their part in it, and need the partitions recovered: see first.c. */
        bool later = shared == NULL && topic->deleting && store->options.hooks.topic_gone != NULL;
        if (!later && (topic->deleting || topic->target > topic->partitions)) {
            int err = settle_topic(store, shared, catalog, topic);
            if (err == 0)
                *ret_changed = true;
            else if (first == 0)
                first = err; /* the others are done all the same */
        }
        i += catalog->count == count;
    }
    return first;
}

int kj_settle_try(struct kj_store *store)
{
    struct kj_catalog *catalog = kj_store_catalog(store);
    bool pending = kj_catalog_pending(catalog);
    kj_catalog_release(catalog);
    if (!pending)
        return 0;
    int err = kj_change_begin(store, false, &catalog);
    if (err == KAJA_ERR_LOCK_TIMED_OUT) {
        kj_err_clear(); /* whoever holds the lock settles it */
        return 0;
    }
    KJ_TRY(err);
    kj_change_end(store, catalog);
    return 0;
}

/* --- litter of those who died, by the first opener --- */

struct leftovers {
    struct kj_store *store;
    int err;
};

static int remove_leftover(void *arg, const char *name, enum kj_io_type type)
{
    struct leftovers *leftovers = arg;
    if (type == KJ_IO_DIR && kj_deleted_dir_parse(name))
        leftovers->err = remove_dir(leftovers->store, name);
    return leftovers->err != 0 ? -1 : 0;
}

int kj_settle_leftovers(struct kj_store *store)
{
    static const char *const temporary[] = {
        KJ_CATALOG_NAME ".tmp",         KJ_CATALOG_OLD_NAME ".tmp", KJ_MARKER_NAME ".tmp",
        KJ_RECOVERY_POINTS_NAME ".tmp", KJ_LOG_STARTS_NAME ".tmp",  KJ_HIGH_WATERMARKS_NAME ".tmp",
        KJ_CLEANER_NAME ".tmp",         KJ_CLEANED_NAME ".tmp",     KJ_CONTROL_NAME ".new"};
    struct kj_err_saved why;
    int err = 0;
    for (size_t i = 0; i < sizeof temporary / sizeof temporary[0]; i++) {
        int os = kj_io_unlink(store->io, temporary[i]);
        if (os == 0 || os == ENOENT || err != 0)
            continue;
        err = kj_file_error(store->io, os, "removing", temporary[i]);
        kj_err_save(err, &why);
    }
    struct leftovers leftovers = {.store = store};
    int os = kj_io_list(store->io, "", remove_leftover, &leftovers);
    if (err != 0)
        return kj_err_restore(&why); /* the first; the others are tried all the same */
    return os > 0 ? kj_err_os(os, "listing the directory") : leftovers.err;
}
