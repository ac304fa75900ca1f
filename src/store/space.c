/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/space.c - kaja.disk.max: how many bytes the logs of the directory hold. Counted once from
 * the files by a handle that has a limit, then kept up by what every handle adds to one word
 * (KJ_CONTROL_LOG_BYTES), and counted again with each pass of retention, as both are approximate.
 */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>

enum { TRY_AGAIN_NS = 1000000000 };

void kj_space_add(struct kj_store *store, int64_t bytes)
{
    struct kj_session *session = kj_session_of(store);
    if (session->attached)
        kj_shared_add(session->shared, KJ_CONTROL_LOG_BYTES, (uint64_t)bytes);
}

struct dir_size {
    struct kj_store *store;
    const char *dir;
    int64_t active_base; /* -1: the partition was not touched, sizes are exact */
    int64_t active_bytes;
    int64_t bytes;
};

static int add_file(void *arg, const char *name, enum kj_io_type type)
{
    struct dir_size *size = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    struct kj_io_stat stat;
    char path[KJ_PATH_MAX];
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if (type != KJ_IO_FILE || kind != KJ_FILE_LOG || suffix != KJ_SUFFIX_NONE)
        return 0;
    kj_file_path(path, size->dir, KJ_FILE_LOG, offset);
    if (offset == size->active_base)
        size->bytes += size->active_bytes; /* what lies behind is prepared space */
    else if (kj_io_stat(size->store->io, path, &stat) == 0)
        size->bytes += stat.size;
    return 0;
}

/* Position of the end, as the hints of the slot have it. */
static int64_t active_bytes(struct kj_store *store, uint32_t slot)
{
    uint64_t end = kj_slot_word(store, slot, KJ_SLOT_END);
    for (int copy = 0; copy < 2; copy++) {
        int at = KJ_SLOT_HINTS + copy * KJ_HINT_WORDS;
        if (kj_slot_word(store, slot, (enum kj_slot_word)(at + KJ_HINT_END)) == end)
            return (int64_t)kj_slot_word(store, slot, (enum kj_slot_word)(at + KJ_HINT_POS));
    }
    return 0;
}

static int64_t partition_bytes(struct kj_store *store, const struct kj_catalog_topic *topic,
                               int32_t partition)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    uint32_t slot = kj_catalog_slot(topic, partition);
    struct dir_size size = {.store = store, .dir = dir, .active_base = -1};
    if (!kj_partition_dir_name(dir, topic->name, partition))
        return 0;
    if (kj_slot_word(store, slot, KJ_SLOT_STATE) == KJ_SLOT_READY) {
        size.active_base = (int64_t)kj_slot_word(store, slot, KJ_SLOT_ACTIVE_BASE);
        size.active_bytes = active_bytes(store, slot);
    }
    (void)kj_io_list(store->io, dir, add_file, &size); /* one that cannot be read counts nothing */
    return size.bytes;
}

int kj_space_count(struct kj_store *store)
{
    KJ_TRY(kj_store_sync(store));
    uint64_t mark = kj_shared_load(kj_shared_of(store), KJ_CONTROL_LOG_BYTES);
    struct kj_catalog *catalog = kj_store_catalog(store);
    int64_t bytes = 0;
    for (size_t i = 0; i < catalog->count; i++)
        for (int32_t p = 0; p < catalog->topics[i]->partitions && !catalog->topics[i]->deleting;
             p++)
            bytes += partition_bytes(store, catalog->topics[i], p);
    kj_catalog_release(catalog);
    kj_store_release(&store->disk_base, (uint64_t)bytes);
    kj_store_release(&store->disk_mark, mark);
    kj_store_release(&store->disk_known, 1);
    return 0;
}

static int64_t used(struct kj_store *store)
{
    uint64_t since = kj_shared_load(kj_shared_of(store), KJ_CONTROL_LOG_BYTES) -
                     kj_load_acquire(&store->disk_mark);
    return (int64_t)(kj_load_acquire(&store->disk_base) + since);
}

int kj_space_check(struct kj_store *store, uint64_t bytes)
{
    int64_t max = store->options.disk_max;
    if (kj_load_acquire(&store->disk_known) == 0)
        KJ_TRY(kj_space_count(store));
    if (bytes <= (uint64_t)max && used(store) <= max - (int64_t)bytes)
        return 0;
    /* One thread, once a second, sees whether retention makes room. */
    int64_t now_ns = kj_mono_ns(store->clock);
    uint64_t tried_ns = kj_load_acquire(&store->disk_tried_ns);
    if ((tried_ns == 0 || now_ns - (int64_t)tried_ns >= TRY_AGAIN_NS) &&
        kj_cas(&store->disk_tried_ns, &tried_ns, (uint64_t)now_ns)) {
        KJ_TRY(kj_retention_now(store));
        KJ_TRY(kj_space_count(store));
        if (bytes <= (uint64_t)max && used(store) <= max - (int64_t)bytes)
            return 0;
    }
    return kj_err(
        KAJA_ERR_DISK_FULL,
        "the logs hold %lld bytes, kaja.disk.max is %lld: nothing more can go by retention",
        (long long)used(store), (long long)max);
}
