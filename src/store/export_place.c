/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export_place.c - directories of the target: see the head of export.h. The order of the
 * flushes is what makes it safe against a power cut: a partition's old directory has its other name
 * on disk before the copy gets the partition's, and is removed only after that is on disk too.
 */
#include "store/export_internal.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

static void name_of(char name[static KJ_DIR_NAME_MAX + 1], const char *topic, int32_t partition,
                    uint64_t what)
{
    uint8_t id[16];
    XXH128_hash_t hash = XXH3_128bits_withSeed(topic, strlen(topic), what);
    XXH128_canonicalFromHash((XXH128_canonical_t *)(void *)id, hash);
    kj_deleted_dir_name(name, topic, partition, id);
}

void kj_export_names(const char *topic, int32_t partition, struct kj_export_names *ret_names)
{
    enum { COPY = 1, OLD = 2 }; /* for ever: an older export must be recognised */
    if (!kj_partition_dir_name(ret_names->dir, topic, partition))
        ret_names->dir[0] = '\0'; /* such a directory cannot be there: found missing */
    name_of(ret_names->copy, topic, partition, COPY);
    name_of(ret_names->old, topic, partition, OLD);
}

static int os_error(struct kj_export *export, int os, const char *what, const char *name)
{
    return os == 0 ? 0 : kj_err_os(os, "%s %s/%s", what, export->options.target, name);
}

static int sync_root(struct kj_export *export)
{
    return os_error(export, kj_io_sync_dir(export->target, ""), "flushing", "");
}

static int is_there(struct kj_export *export, const char *name, bool *ret_there)
{
    struct kj_io_stat stat;
    *ret_there = false;
    if (name[0] == '\0')
        return 0;
    int os = kj_io_stat(export->target, name, &stat);
    if (os == ENOENT)
        return 0;
    *ret_there = os == 0 && stat.type == KJ_IO_DIR;
    if (os == 0 && stat.type == KJ_IO_LINK)
        return kj_err(KAJA_ERR_NOT_KAJA,
                      "%s/%s is a link: what it leads to is neither read nor written, put the "
                      "partition itself there",
                      export->options.target, name);
    return os_error(export, os, "looking at", name);
}

static int settle_one(struct kj_export *export, const char *topic, int32_t partition,
                      bool *ret_there)
{
    struct kj_export_names names;
    bool here, old, copy;
    kj_export_names(topic, partition, &names);
    KJ_TRY(is_there(export, names.dir, &here));
    KJ_TRY(is_there(export, names.old, &old));
    KJ_TRY(is_there(export, names.copy, &copy));
    *ret_there = here || old;
    if (old && here) { /* it was placed, the rest is clearing up */
        KJ_TRY(kj_export_remove(export->target, names.old));
    } else if (old) { /* died between the two renames */
        KJ_TRY(os_error(export, kj_io_rename(export->target, names.old, names.dir),
                        "putting back", names.dir));
        KJ_TRY(sync_root(export));
    }
    return copy ? kj_export_remove(export->target, names.copy) : 0;
}

int kj_export_settle(struct kj_export *export, const char *topic, int32_t *ret_partitions)
{
    int32_t partition = 0;
    for (bool there = true; there && partition < INT32_MAX; partition += there)
        KJ_TRY(settle_one(export, topic, partition, &there));
    *ret_partitions = partition;
    return 0;
}

int kj_export_check_place(struct kj_export *export, struct kj_export_item *item)
{
    struct kj_export_names names;
    enum kj_export_look look;
    char foreign[KJ_DIR_NAME_MAX + 1];
    uint8_t id[16];
    kj_export_names(item->topic, item->partition, &names);
    KJ_TRY(kj_export_look(export->target, names.dir, item->start, &look, foreign));
    if (look == KJ_EXPORT_FOREIGN)
        return kj_err_at(kj_err(KAJA_ERR_NOT_KAJA,
                                "%s/%s holds %s, which no empty partition has: move it away",
                                export->options.target, names.dir, foreign),
                         item->topic, item->partition, -1, -1);
    item->holds = look == KJ_EXPORT_RECORDS;
    return kj_partition_metadata_read(export->target, names.dir, id);
}

int kj_export_conflict(struct kj_export *export, const struct kj_export_item *item)
{
    return kj_err_at(kj_err(KAJA_ERR_CONFLICT,
                            "%s-%d in %s already holds records, and other ones: export into a "
                            "topic that is created anew",
                            item->topic, (int)item->partition, export->options.target),
                     item->topic, item->partition, -1, -1);
}

static int swap(struct kj_export *export, struct kj_export_item *item,
                const struct kj_export_names *names)
{
    struct kj_io *io = export->target;
    KJ_TRY(os_error(export, kj_io_rename(io, names->dir, names->old), "renaming", names->dir));
    int err = sync_root(export); /* the copy's name too */
    if (err == 0)
        err = os_error(export, kj_io_rename(io, names->copy, names->dir), "renaming", names->copy);
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        (void)kj_io_rename(io, names->old, names->dir); /* or the next export does it */
        return kj_err_restore(&why);
    }
    item->copied = false; /* it is the partition now */
    return sync_root(export);
}

int kj_export_place(struct kj_export *export, struct kj_export_item *item)
{
    struct kj_export_names names;
    bool same;
    kj_export_names(item->topic, item->partition, &names);
    if (item->holds) {
        KJ_TRY(kj_export_same(export->target, names.dir, names.copy, &same));
        if (!same)
            return kj_export_conflict(export, item);
        item->how = KJ_EXPORT_UNCHANGED;
        kj_export_drop(export, item);
        return 0;
    }
    KJ_TRY(swap(export, item, &names));
    return kj_export_remove(export->target, names.old);
}

void kj_export_drop(struct kj_export *export, struct kj_export_item *item)
{
    struct kj_export_names names;
    struct kj_err_saved why;
    if (!item->copied)
        return;
    item->copied = false;
    kj_export_names(item->topic, item->partition, &names);
    kj_err_save(0, &why);
    (void)kj_export_remove(export->target, names.copy); /* or the next export does it */
    (void)kj_err_restore(&why);
}
