/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/first.c - what the first opener does while it is alone:
 *
 *     read and judge, changing nothing         a failure here leaves a clean directory clean
 *     control file and clean marker go, directory flushed
 *     half-made and half-deleted topics, litter
 *     a new control file                       ignored by others until presence is shared
 *     no marker: recover every partition       its words are the new file's
 *     nor the last control file of this boot:
 *     ends may have fallen                     upper rooms see to what points behind them
 *
 * A death at any point leaves the rest to the next first opener.
 */
#include "store/internal.h"

#include "base/bytes.h"

#include <errno.h>
#include <string.h>

/* --- recovery --- */

struct recovery {
    struct kj_store *store;
    const struct kj_catalog *catalog;
};

static void mark_unrecovered(struct kj_store *store, uint32_t slot_number)
{
    kj_word slot;
    struct kj_shared *shared = kj_shared_of(store);
    kj_shared_add(shared, KJ_CONTROL_UNCLEAN, 1);
    if (kj_control_slot(shared, slot_number, &slot) != 0) {
        kj_err_clear();
        return;
    }
    kj_shared_store(shared, slot + KJ_SLOT_STATE, KJ_SLOT_UNLOADED);
    kj_shared_store(shared, slot + KJ_SLOT_RECOVERY_POINT, (uint64_t)(int64_t)KJ_POINT_RECOVER);
}

static int recover_one(struct recovery *recovery, const struct kj_catalog_topic *topic,
                       int32_t partition)
{
    struct kj_store *store = recovery->store;
    struct kj_shared *shared = kj_shared_of(store);
    struct kj_spare_log spare;
    kj_word slot;
    KJ_TRY(kj_control_slot(shared, kj_catalog_slot(topic, partition), &slot));
    int64_t point = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_RECOVERY_POINT);
    int64_t log_start = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_LOG_START);
    KJ_TRY(kj_spare_log_open(store, recovery->catalog, topic, partition, &spare));
    int err = kj_log_recover(spare.log, point, log_start);
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_spare_log_close(&spare);
    return err == 0 ? 0 : kj_err_restore(&why);
}

/* One that cannot be recovered is no reason to keep the others away: it is tried again when
 * somebody asks for it. */
static void recover_partition(void *arg, const struct kj_catalog_topic *topic, int32_t partition)
{
    struct recovery *recovery = arg;
    struct kj_store *store = recovery->store;
    if (topic->deleting)
        return; /* its directories may be half gone */
    int err = recover_one(recovery, topic, partition);
    if (err != 0) {
        kj_store_background_error(store, err, topic->name, partition);
        mark_unrecovered(store, kj_catalog_slot(topic, partition));
        kj_err_clear();
    }
    kj_shared_point(kj_shared_of(store), "first: partition recovered");
}

int kj_recover_all(struct kj_store *store, const struct kj_catalog *catalog)
{
    struct recovery recovery = {store, catalog};
    return kj_each_partition(store, catalog, 1, recover_partition, &recovery);
}

/* --- the catalog --- */

/* Reads it, or makes one for a directory that has none. Changes nothing on disk. */
static int read_or_make(struct kj_store *store, struct kj_catalog **ret_catalog, bool *ret_changed)
{
    struct kj_catalog *catalog;
    int err = 0;
    KJ_TRY(kj_catalog_read(store->io, &catalog));
    *ret_changed = catalog == NULL;
    if (catalog == NULL) {
        KJ_TRY(kj_catalog_new(&catalog));
        for (size_t i = 0; i < store->options.directory_count && err == 0; i++)
            err = kj_property_set_put(&catalog->directory, store->options.directory[i].name,
                                      store->options.directory[i].value);
    } else {
        err = kj_directory_compare(store, catalog);
    }
    if (err != 0) {
        kj_catalog_release(catalog);
        return err;
    }
    *ret_catalog = catalog;
    return 0;
}

/* Finds what would keep us from going on, as long as nothing is changed yet. */
static int judge(struct kj_store *store, struct kj_catalog *catalog, bool *ret_adopted)
{
    struct kj_log_config config;
    KJ_TRY(kj_adopt(store, catalog, ret_adopted));
    for (size_t i = 0; i < catalog->count; i++)
        KJ_TRY(kj_topic_config_of(store, catalog, catalog->topics[i], &config));
    return 0;
}

/* What those who were here before left in the page cache is all there, if this is still the boot
 * they ran under: only processes died. Nobody's word is needed for that but the control file's,
 * which says too whether an older power cut was seen to. Without one (gone, or its opener died just
 * before it made another) the answer is no: then offsets that somebody set beyond an end by hand
 * come back to it, which takes no record from anybody. */
static bool look_sound(struct kj_store *store)
{
    struct kj_shared *before;
    bool sound = false;
    if (kj_shared_new(store, &before) != 0) {
        kj_err_clear();
        return false;
    }
    if (kj_shared_boot_id() != 0 && kj_shared_attach(before) == 0) {
        sound = kj_control_check(before) == 0 && kj_shared_load(before, KJ_CONTROL_SOUND) == 1;
        kj_err_clear();
    }
    kj_shared_close(before);
    return sound;
}

/* From here on the directory is not clean. */
static int take_away_marker(struct kj_store *store)
{
    store->sound = look_sound(store);
    int os = kj_shared_remove(kj_shared_of(store));
    if (os != 0)
        return kj_file_error(store->io, os, "removing", KJ_CONTROL_NAME);
    os = kj_io_unlink(store->io, KJ_MARKER_NAME);
    store->clean = os == 0;
    if (os == ENOENT)
        return 0;
    if (os == 0)
        os = kj_io_sync_dir(store->io, "");
    return os == 0 ? 0 : kj_file_error(store->io, os, "removing", KJ_MARKER_NAME);
}

/* A failure that leaves work for another time, and the rest of the directory none the worse. */
static void not_now(struct kj_store *store, int err)
{
    if (err == 0)
        return;
    kj_store_background_error(store, err, NULL, -1);
    kj_err_clear();
}

static int complete_catalog(struct kj_store *store, struct kj_catalog *catalog, bool changed,
                            bool adopted)
{
    bool settled;
    not_now(store, kj_settle_leftovers(store));
    not_now(store, kj_settle(store, NULL, catalog, &settled)); /* what fails stays pending */
    if (adopted)
        KJ_TRY(kj_adopt_ids(store, catalog));
    bool renumbered = kj_catalog_renumber(catalog);
    if (changed || adopted || settled || renumbered)
        KJ_TRY(kj_catalog_write(store->io, catalog));
    kj_shared_point(kj_shared_of(store), "first: catalog complete");
    return 0;
}

/* Whatever is not done stays due: the word is not set, so there will be no clean marker. */
static void see_to_fallen_ends(struct kj_store *store)
{
    const struct kj_store_hooks *hooks = &store->options.hooks;
    struct kj_shared *shared = kj_shared_of(store);
    int err = hooks->ends_fell == NULL ? 0 : hooks->ends_fell(hooks->arg, store);
    not_now(store, err);
    kj_shared_point(shared, "first: fallen ends seen to");
    if (err == 0 && kj_shared_load(shared, KJ_CONTROL_UNCLEAN) == 0)
        kj_shared_store(shared, KJ_CONTROL_SOUND, 1);
}

static int build(struct kj_store *store, struct kj_catalog *catalog)
{
    struct kj_session *session = kj_session_of(store);
    KJ_TRY(kj_control_build(session->shared, store->io, catalog->slots));
    session->attached = true;
    if (store->clean || store->sound)
        kj_shared_store(session->shared, KJ_CONTROL_SOUND, 1);
    kj_shared_store(session->shared, KJ_CONTROL_GENERATION, catalog->generation);
    KJ_TRY(kj_checkpoints_load(store, catalog));
    kj_catalog_hold(catalog);
    KJ_TRY(kj_store_adopt_catalog(store, catalog));
    kj_store_release(&store->seen_generation, catalog->generation);
    if (!store->clean) {
        KJ_TRY(kj_recover_all(store, catalog));
        not_now(store, kj_checkpoints_write(store, catalog, KJ_CHECKPOINT_ALL));
        if (!store->sound)
            see_to_fallen_ends(store);
    }
    not_now(store, kj_settle_try(store)); /* deletions */
    kj_shared_store(session->shared, KJ_CONTROL_READY, 1);
    return 0;
}

int kj_first_open(struct kj_store *store)
{
    struct kj_catalog *catalog;
    bool changed, adopted;
    KJ_TRY(read_or_make(store, &catalog, &changed));
    int err = judge(store, catalog, &adopted);
    if (err == 0)
        err = take_away_marker(store);
    kj_shared_point(kj_shared_of(store), "first: marker gone");
    if (err == 0)
        err = complete_catalog(store, catalog, changed, adopted);
    if (err == 0)
        err = build(store, catalog);
    struct kj_err_saved why;
    if (err != 0)
        kj_err_save(err, &why);
    kj_catalog_release(catalog);
    return err == 0 ? 0 : kj_err_restore(&why);
}
