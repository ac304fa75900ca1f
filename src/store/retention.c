/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/retention.c - old segments go: a pass over all partitions of the directory each
 * log.retention.check.interval.ms, one partition at each roll, and everything at once when space is
 * short.
 *
 * A pass is done a few partitions a step, by the handle that claimed it (tasks.c). Partitions that
 * nobody touched are left untouched where no limit can apply to them.
 */
#include "store/settle.h"

#include <string.h>

enum { ROUND_PARTITIONS = 64, ROUND_NS = 5000000 };

void kj_retain_log(struct kj_store *store, struct kj_log *log, const char *topic, int32_t partition)
{
    int64_t freed = 0;
    size_t before = kj_log_segment_count(log);
    int err = kj_log_retain(log, &freed);
    if (err == 0 && freed > 0) {
        size_t after = kj_log_segment_count(log);
        bool rolled = kj_log_start(log) == kj_log_end(log); /* all went, a new one came */
        kj_space_add(store, -freed);
        kj_store_metric_add(store, KJ_METRIC_RETENTION_BYTES, (uint64_t)freed);
        if (after <= before)
            kj_store_metric_add(store, KJ_METRIC_SEGMENTS_DELETED, before - after + rolled);
    }
    /* A topic that was deleted meanwhile needs no retention; where somebody appends all the time,
     * or is stopped in the middle of it, the next pass will come. */
    if (err != 0 && err != KAJA_ERR_UNKNOWN_TOPIC_ID && err != KAJA_ERR_LOCK_TIMED_OUT)
        kj_store_background_error(store, err, topic, partition);
    if (err != 0)
        kj_err_clear();
}

/* Could any limit take something away? */
static bool has_limit(const struct kj_log_config *config)
{
    return config->cleanup_delete && (config->retention_ms >= 0 || config->retention_bytes >= 0);
}

static void retain_one(struct kj_store *store, const struct kj_catalog *catalog,
                       const struct kj_catalog_topic *topic, int32_t partition, bool wanted)
{
    struct kj_borrowed borrowed;
    uint32_t slot = kj_catalog_slot(topic, partition);
    uint64_t state = kj_slot_word(store, slot, KJ_SLOT_STATE);
    if (state == KJ_SLOT_DELETED || (state == KJ_SLOT_UNLOADED && !wanted))
        return;
    int err = kj_slot_borrow(store, catalog, topic, partition, &borrowed);
    if (err == 0) {
        err = kj_borrowed_load(store, &borrowed);
        if (err == 0)
            kj_retain_log(store, borrowed.log, topic->name, partition);
        kj_borrowed_return(&borrowed);
    }
    if (err != 0 && err != KAJA_ERR_UNKNOWN_TOPIC_ID)
        kj_store_background_error(store, err, topic->name, partition);
    if (err != 0)
        kj_err_clear();
}

static bool wants_retention(struct kj_store *store, const struct kj_catalog *catalog,
                            const struct kj_catalog_topic *topic)
{
    struct kj_log_config config;
    if (kj_topic_config_of(store, catalog, topic, &config) == 0)
        return has_limit(&config);
    kj_err_clear();
    return false;
}

void kj_retention_begin(struct kj_store *store)
{
    kj_catalog_release(store->retain_catalog);
    store->retain_catalog = kj_store_catalog(store);
    store->retain_topic = 0;
    store->retain_partition = 0;
}

bool kj_retention_round(struct kj_store *store)
{
    struct kj_catalog *catalog = store->retain_catalog;
    if (catalog == NULL)
        return false;
    int64_t until_ns = kj_mono_ns(store->clock) + ROUND_NS;
    for (int i = 0; i < ROUND_PARTITIONS && kj_mono_ns(store->clock) < until_ns; i++) {
        while (store->retain_topic < catalog->count &&
               (catalog->topics[store->retain_topic]->deleting ||
                store->retain_partition >= catalog->topics[store->retain_topic]->partitions)) {
            store->retain_topic++;
            store->retain_partition = 0;
        }
        if (store->retain_topic >= catalog->count) {
            store->retain_catalog = NULL;
            kj_catalog_release(catalog);
            return false;
        }
        const struct kj_catalog_topic *topic = catalog->topics[store->retain_topic];
        if (store->retain_partition == 0)
            store->retain_wanted = wants_retention(store, catalog, topic);
        retain_one(store, catalog, topic, store->retain_partition++, store->retain_wanted);
    }
    return true;
}

int kj_retention_now(struct kj_store *store)
{
    KJ_TRY(kj_store_sync(store));
    struct kj_catalog *catalog = kj_store_catalog(store);
    for (size_t i = 0; i < catalog->count; i++) {
        const struct kj_catalog_topic *topic = catalog->topics[i];
        bool wanted = wants_retention(store, catalog, topic);
        for (int32_t p = 0; p < topic->partitions && !topic->deleting; p++)
            retain_one(store, catalog, topic, p, wanted);
    }
    kj_catalog_release(catalog);
    return 0;
}
