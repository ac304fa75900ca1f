/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/adopt.c - partition directories that no catalog knows: a broker's, or files that somebody
 * put there. They become topics as they are, with the ids in their partition.metadata, if they are
 * whole: partitions 0 .. n-1, all of one id. Everything else in the root is left alone, also what
 * only has the name of a partition.
 */
#include "store/internal.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct found {
    char topic[KJ_TOPIC_NAME_MAX + 1];
    int32_t partition;
    enum kj_dir_content content; /* look_at() */
};

struct scan {
    struct found *items;
    size_t count, capacity;
    int err;
};

/* --- is it one? --- */

static int note_content(void *arg, const char *name, enum kj_io_type type)
{
    enum kj_dir_content *content = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    *content = KJ_DIR_FOREIGN;
    if (type != KJ_IO_FILE)
        return 0;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if ((kind != KJ_FILE_LOG || suffix != KJ_SUFFIX_NONE) &&
        strcmp(name, "partition.metadata") != 0 && strcmp(name, "leader-epoch-checkpoint") != 0)
        return 0;
    *content = KJ_DIR_PARTITION;
    return -1; /* seen enough */
}

int kj_dir_look(struct kj_io *io, const char *dir, enum kj_dir_content *ret_content)
{
    enum kj_dir_content content = KJ_DIR_EMPTY;
    int os = kj_io_list(io, dir, note_content, &content);
    if (os > 0 && os != ENOENT) /* it went meanwhile */
        return kj_err_os(os, "listing %s", dir);
    *ret_content = content;
    return 0;
}

/* --- the root --- */

static int note(void *arg, const char *name, enum kj_io_type type)
{
    struct scan *scan = arg;
    struct found found = {.content = KJ_DIR_FOREIGN};
    if (type != KJ_IO_DIR && type != KJ_IO_LINK)
        return 0;
    if (!kj_partition_dir_parse(name, found.topic, &found.partition) ||
        strcmp(found.topic, "__cluster_metadata") == 0)
        return 0;
    if (type == KJ_IO_LINK) {
        scan->err = kj_err_at(
            kj_err(KAJA_ERR_NOT_KAJA,
                   "%s is a symbolic link: kaja keeps to its directory and follows none", name),
            found.topic, found.partition, -1, -1);
        return -1;
    }
    void *items = scan->items;
    scan->err = kj_grow(&items, &scan->capacity, scan->count + 1, sizeof *scan->items);
    scan->items = items;
    if (scan->err != 0)
        return -1;
    scan->items[scan->count++] = found;
    return 0;
}

static int by_topic(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static int scan_root(struct kj_io *io, struct scan *scan)
{
    int os = kj_io_list(io, "", note, scan);
    if (os > 0)
        return kj_err_os(os, "listing the directory");
    KJ_TRY(scan->err);
    if (scan->count > 1)
        qsort(scan->items, scan->count, sizeof *scan->items, by_topic);
    return 0;
}

static int look_at(struct kj_io *io, struct found *found)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    found->content = KJ_DIR_FOREIGN;
    return kj_partition_dir_name(dir, found->topic, found->partition)
               ? kj_dir_look(io, dir, &found->content)
               : 0;
}

int kj_looks_like_ours(struct kj_io *io, bool *ret_yes)
{
    struct kj_io_stat stat;
    struct scan scan = {0};
    *ret_yes = kj_io_stat(io, KJ_CATALOG_NAME, &stat) == 0;
    if (*ret_yes)
        return 0;
    int err = scan_root(io, &scan);
    for (size_t i = 0; i < scan.count && err == 0 && !*ret_yes; i++) {
        err = look_at(io, &scan.items[i]);
        *ret_yes = err == 0 && scan.items[i].content == KJ_DIR_PARTITION;
    }
    kj_free(scan.items);
    return err;
}

/* --- ids --- */

/* *ret_has is false if the directory has no partition.metadata. */
static int id_of(struct kj_store *store, const char *topic, int32_t partition,
                 uint8_t id[static 16], bool *ret_has)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    *ret_has = false;
    if (!kj_partition_dir_name(dir, topic, partition))
        return 0;
    int err = kj_partition_metadata_read(store->io, dir, id);
    if (err == KAJA_ERR_UNKNOWN_TOPIC_ID) {
        kj_err_clear();
        return 0;
    }
    *ret_has = err == 0;
    return err;
}

/* The id that all of the partitions [from, to) which have one agree on; known: id says which it
 * must be. */
static int common_id(struct kj_store *store, const char *topic, int32_t from, int32_t to,
                     uint8_t id[static 16], bool *ret_known)
{
    for (int32_t p = from; p < to; p++) {
        uint8_t this_id[16];
        bool has;
        KJ_TRY(id_of(store, topic, p, this_id, &has));
        if (has && *ret_known && memcmp(id, this_id, sizeof this_id) != 0)
            return kj_err_at(kj_err(KAJA_ERR_NOT_KAJA,
                                    "%s-%d does not belong to the other partitions of %s: its "
                                    "partition.metadata has "
                                    "another topic id",
                                    topic, p, topic),
                             topic, p, -1, -1);
        if (has) {
            memcpy(id, this_id, sizeof this_id);
            *ret_known = true;
        }
    }
    return 0;
}

int kj_adopt_ids(struct kj_store *store, const struct kj_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct kj_catalog_topic *topic = catalog->topics[i];
        for (int32_t p = 0; topic->adopted && p < topic->partitions; p++) {
            uint8_t id[16];
            bool has;
            char dir[KJ_DIR_NAME_MAX + 1];
            KJ_TRY(id_of(store, topic->name, p, id, &has));
            if (!has && kj_partition_dir_name(dir, topic->name, p))
                KJ_TRY(kj_partition_metadata_write(store->io, dir, topic->id, true));
        }
    }
    return 0;
}

/* --- topics --- */

static int err_gap(const char *topic, int32_t missing, int32_t last)
{
    return kj_err_at(kj_err(KAJA_ERR_INVALID_PARTITIONS,
                            "topic %s has a partition directory %s-%d but none for partition %d: a "
                            "topic is adopted whole "
                            "or not at all; put the others there, or take these away",
                            topic, topic, last, missing),
                     topic, missing, -1, -1);
}

/* For a handle that may not note an id down: the same one each time it looks. */
static void id_from_name(const char *name, uint8_t id[static 16])
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));
    kj_put_be64(id, hash.high64 | 1); /* never all zero */
    kj_put_be64(id + 8, hash.low64);
}

static int adopt_new(struct kj_store *store, struct kj_catalog *catalog, const char *name,
                     int32_t count)
{
    struct kj_catalog_topic *topic;
    uint8_t id[16];
    bool known = false;
    KJ_TRY(common_id(store, name, 0, count, id, &known));
    if (!known && store->options.read_only)
        id_from_name(name, id);
    else if (!known)
        kj_new_id(store, id);
    KJ_TRY(kj_catalog_add(catalog, name, id, &topic));
    topic->adopted = true;
    KJ_TRY(kj_catalog_grow(catalog, topic, count));
    topic->partitions = count;
    return 0;
}

/* Partition directories behind those that the catalog has. */
static int adopt_more(struct kj_store *store, struct kj_catalog *catalog,
                      struct kj_catalog_topic *topic, int32_t count)
{
    uint8_t id[16];
    bool known = true;
    memcpy(id, topic->id, sizeof id);
    KJ_TRY(common_id(store, topic->name, topic->partitions, count, id, &known));
    topic->adopted = true;
    KJ_TRY(kj_catalog_grow(catalog, topic, count));
    topic->partitions = count;
    return 0;
}

/* Takes those out that are no partitions and gives back how many are left. Empty ones count beside
 * others: a broker that was killed had just made them. have: so many are known already, and not
 * looked at. */
static int drop_foreign(struct kj_store *store, struct found *found, size_t count, int32_t have,
                        size_t *ret_left)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (found[i].partition < have)
            continue;
        KJ_TRY(look_at(store->io, &found[i]));
        any = any || found[i].content == KJ_DIR_PARTITION;
    }
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (found[i].partition >= have &&
            (found[i].content == KJ_DIR_PARTITION || (any && found[i].content == KJ_DIR_EMPTY)))
            found[left++] = found[i];
    *ret_left = left;
    return 0;
}

/* The directories [0, count) of one topic. */
static int adopt_topic(struct kj_store *store, struct kj_catalog *catalog, struct found *found,
                       size_t count, bool *ret_changed)
{
    const char *name = found[0].topic;
    struct kj_catalog_topic *topic = kj_catalog_find(catalog, name);
    if (topic != NULL && (topic->deleting || topic->target > topic->partitions))
        return 0; /* store/settle.c knows what to do with them */
    int32_t next = topic == NULL ? 0 : topic->partitions;
    int32_t have = next;
    KJ_TRY(drop_foreign(store, found, count, have, &count));
    for (size_t i = 0; i < count; i++) {
        if (found[i].partition != next)
            return err_gap(name, next, found[i].partition);
        next++;
    }
    if (next == have)
        return 0;
    *ret_changed = true;
    return topic == NULL ? adopt_new(store, catalog, name, next)
                         : adopt_more(store, catalog, topic, next);
}

int kj_adopt(struct kj_store *store, struct kj_catalog *catalog, bool *ret_changed)
{
    struct scan scan = {0};
    *ret_changed = false;
    int err = scan_root(store->io, &scan);
    for (size_t i = 0, next; i < scan.count && err == 0; i = next) {
        for (next = i + 1;
             next < scan.count && strcmp(scan.items[next].topic, scan.items[i].topic) == 0;)
            next++;
        err = adopt_topic(store, catalog, &scan.items[i], next - i, ret_changed);
    }
    kj_free(scan.items);
    return err;
}
