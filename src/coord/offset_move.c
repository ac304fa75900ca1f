/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_move.c - after a power cut: records of acks below all may be gone, and their offsets
 * will be given again. Whoever had read and committed them would pass over the new ones, so what is
 * committed beyond an end is moved back to it, before anybody can append.
 *
 * The first opener does it while it is alone. Dies it on the way, or goes the power again, the next
 * one finds the same ends and moves what is still beyond them.
 */
#include "coord/offset_internal.h"

#include <stdio.h>
#include <string.h>

struct beyond {
    const struct kj_offset_kept *kept;
    int64_t end;
};

struct beyond_list {
    struct beyond *items;
    size_t count, capacity;
};

/* A topic's name in full, or "" where it is longer than any. */
static void name_of(const struct kj_offset_kept *kept, char name[static 256])
{
    size_t len = kept->topic.len < 256 ? kept->topic.len : 0;
    memcpy(name, kept->topic.at, len);
    name[len] = '\0';
}

static int find_beyond(struct kj_offset_part *part, struct beyond_list *list)
{
    struct kj_store *store = part->offsets->store;
    struct kj_map_entry at;
    kj_lock_acquire(&part->offsets->lock);
    int err = kj_offset_follow(part);
    kj_lock_release(&part->offsets->lock);
    /* The map is ours alone: nobody else knows this offset store. */
    for (size_t i = 0; err == 0 && kj_map_next(&part->map.entries, &i, &at);) {
        const struct kj_offset_kept *kept = at.value;
        char topic[256];
        int64_t end;
        name_of(kept, topic);
        if (!kj_store_recovered_end(store, topic, kept->partition, &end) || kept->offset <= end)
            continue;
        void *items = list->items;
        err = kj_grow(&items, &list->capacity, list->count + 1, sizeof *list->items);
        list->items = items;
        if (err == 0)
            list->items[list->count++] = (struct beyond){kept, end};
    }
    return err;
}

/* The same commit with another offset: its time stays, for expiry. */
static int add_moved(struct kj_offset_scratch *scratch, const struct beyond *beyond,
                     int64_t now_ms)
{
    const struct kj_offset_kept *kept = beyond->kept;
    const char *metadata = kept->metadata != NULL ? kept->metadata : "";
    const struct kj_coord_offset value = {.version = 3,
                                          .offset = beyond->end,
                                          .leader_epoch = kept->leader_epoch,
                                          .metadata = {metadata, strlen(metadata)},
                                          .commit_ms = kept->commit_ms};
    size_t key_bytes = kept->key_bytes + 2, value_bytes = kj_coord_offset_bytes(&value);
    KJ_TRY(kj_buffer_reserve(&scratch->text, key_bytes + value_bytes));
    uint8_t *text = scratch->text.bytes;
    kj_put_be16(text, 1); /* version of the key */
    memcpy(text + 2, kept->key, kept->key_bytes);
    kj_coord_offset_encode(&value, text + key_bytes);
    return kj_offset_scratch_add(scratch, now_ms, text, key_bytes, text + key_bytes, value_bytes);
}

static void tell_moved(struct kj_store *store, const struct beyond *beyond)
{
    const struct kj_offset_kept *kept = beyond->kept;
    struct kj_event event = {.kind = KAJA_EVENT_OFFSETS_MOVED,
                             .partition = kept->partition,
                             .offset = beyond->end,
                             .end_offset = kept->offset};
    name_of(kept, event.topic);
    (void)snprintf(event.text, sizeof event.text,
                   "group %.100s had committed offset %lld of %s-%d, which ends at %lld after a "
                   "power cut: moved back to it",
                   kept->owner->id, (long long)kept->offset, event.topic, kept->partition,
                   (long long)beyond->end);
    kj_store_event_add(store, &event);
}

static int append_moved(struct kj_offset_part *part, const struct beyond_list *list)
{
    struct kj_offset_store *offsets = part->offsets;
    struct kj_partition *partition = atomic_load(&part->partition);
    struct kj_offset_ticket ticket;
    struct kj_offset_scratch *scratch = kj_offset_scratch_take(offsets, part, true);
    if (scratch == NULL)
        return kj_err_oom("moved offsets");
    int64_t now = kj_wall_ms(offsets->clock);
    int err = 0;
    for (size_t i = 0; i < list->count && err == 0; i++)
        err = add_moved(scratch, &list->items[i], now);
    if (err == 0)
        err = kj_offset_scratch_finish(scratch);
    if (err == 0)
        err = kj_partition_hold(partition);
    if (err == 0) {
        err = kj_offset_scratch_append(scratch, part, &ticket);
        kj_partition_let_go(partition);
    }
    kj_offset_scratch_give(offsets, scratch);
    return err == 0 ? kj_store_flush(offsets->store, &partition, 1) : err;
}

static int move_part(struct kj_offset_part *part)
{
    struct beyond_list list = {0};
    KJ_TRY(kj_offset_part_load(part));
    int err = find_beyond(part, &list);
    if (err == 0 && list.count > 0)
        err = append_moved(part, &list);
    for (size_t i = 0; i < list.count && err == 0; i++)
        tell_moved(part->offsets->store, &list.items[i]);
    kj_free(list.items);
    return err;
}

int kj_offset_store_move_back(struct kj_store *store)
{
    struct kj_offset_store_options options;
    struct kj_offset_store *offsets;
    struct kj_err_saved why;
    bool found;
    int first = 0;
    kj_offset_store_options_defaults(&options); /* nothing is made, so none of them counts */
    KJ_TRY(kj_offset_store_new(store, &options, &offsets));
    int err = kj_offset_parts(offsets, false, &found);
    for (int32_t p = 0; err == 0 && found && p < offsets->part_count; p++) {
        int part_err = move_part(&atomic_load(&offsets->parts)[p]);
        if (part_err != 0 && first == 0) { /* the others are moved all the same */
            first = part_err;
            kj_err_save(first, &why);
        }
    }
    kj_offset_store_close(offsets);
    return err != 0 ? err : first == 0 ? 0 : kj_err_restore(&why);
}
