/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/borrow.c - a log for one piece of work on a partition that perhaps nobody here uses. The
 * locks between processes do not exclude threads of one handle: each partition has one log object
 * at a time through which this handle takes them. Where there is none yet, a spare one is made, and
 * whoever wants to load the partition waits until it is given back.
 */
#include "store/settle.h"

#include <string.h>

/* The partition's object, its topic held. STORE lock held. */
static int find_object(struct kj_store *store, const struct kj_catalog_topic *from, int32_t number,
                       struct kj_partition **ret_partition)
{
    uint32_t slot = kj_catalog_slot(from, number);
    struct kj_topic *topic = kj_map_get(&store->topics, from->name, strlen(from->name));
    *ret_partition = NULL;
    if (topic != NULL && memcmp(topic->id, from->id, sizeof topic->id) == 0 &&
        (size_t)number < topic->capacity) {
        if (topic->partitions[number] == NULL)
            KJ_TRY(kj_partition_object_new(topic, number, &topic->partitions[number]));
        kj_topic_hold(topic);
        *ret_partition = topic->partitions[number];
        return 0;
    }
    /* A deleted topic that somebody here still holds. */
    for (struct kj_partition *p = store->loaded; p != NULL; p = p->loaded_next)
        if (p->slot_number == slot && kj_topic_try_hold(p->topic)) {
            *ret_partition = p;
            return 0;
        }
    return 0;
}

int kj_slot_borrow(struct kj_store *store, const struct kj_catalog *catalog,
                   const struct kj_catalog_topic *topic, int32_t partition,
                   struct kj_borrowed *ret_borrowed)
{
    struct kj_borrowed borrowed = {.spare = true};
    kj_lock_acquire(&store->lock);
    int err = find_object(store, topic, partition, &borrowed.partition);
    if (err == 0 && borrowed.partition != NULL) {
        while (borrowed.partition->load == KJ_LOAD_RUNNING)
            kj_cond_wait(&store->cond, &store->lock);
        borrowed.spare = borrowed.partition->load == KJ_LOAD_NONE;
        if (borrowed.spare)
            borrowed.partition->load = KJ_LOAD_RUNNING;
        else
            borrowed.log = kj_partition_log(borrowed.partition);
    }
    kj_lock_release(&store->lock);
    KJ_TRY(err);
    *ret_borrowed = borrowed;
    if (!borrowed.spare)
        return 0;
    err = kj_spare_log_open(store, catalog, topic, partition, &ret_borrowed->spare_log);
    if (err != 0) {
        ret_borrowed->spare_log.log = NULL;
        kj_borrowed_return(ret_borrowed);
        return err;
    }
    ret_borrowed->log = ret_borrowed->spare_log.log;
    return 0;
}

int kj_borrowed_load(struct kj_store *store, struct kj_borrowed *borrowed)
{
    if (!borrowed->spare)
        return 0;
    return kj_slot_load(store, kj_session_of(store), borrowed->log,
                        borrowed->spare_log.slot_number);
}

void kj_borrowed_return(struct kj_borrowed *borrowed)
{
    if (borrowed->spare)
        kj_spare_log_close(&borrowed->spare_log);
    if (borrowed->partition == NULL)
        return;
    struct kj_topic *topic = borrowed->partition->topic;
    struct kj_store *store = topic->store;
    if (borrowed->spare) {
        kj_lock_acquire(&store->lock);
        borrowed->partition->load = KJ_LOAD_NONE;
        kj_cond_broadcast(&store->cond);
        kj_lock_release(&store->lock);
    }
    kj_topic_release(topic);
}
