/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/clean_map.h"

#include "base/alloc.h"
#include "base/err.h"

#include <string.h>
#include <xxhash.h>

enum { SLOTS_FIRST = 1024 };

/* Kafka's log.cleaner.io.buffer.load.factor: nine tenths. */
static size_t usable(size_t slots)
{
    return slots / 10 * 9;
}

int kj_clean_map_init(struct kj_clean_map *map, const struct kj_clock *clock, size_t max_bytes)
{
    size_t most = SLOTS_FIRST;
    while (most <= max_bytes / sizeof(struct kj_clean_slot) / 2)
        most *= 2;
    *map = (struct kj_clean_map){.slot_count = SLOTS_FIRST, .count_max = usable(most)};
    map->slots = kj_alloc_zero(SLOTS_FIRST, sizeof *map->slots);
    if (map->slots == NULL)
        return kj_err_oom("the keys of a compaction");
    clock->random(clock->arg, map->secret, sizeof map->secret);
    return 0;
}

void kj_clean_map_free(struct kj_clean_map *map)
{
    kj_free(map->slots);
    *map = (struct kj_clean_map){0};
}

static XXH128_hash_t hash_of(const struct kj_clean_map *map, const void *key, size_t key_bytes)
{
    return XXH3_128bits_withSecret(key, key_bytes, map->secret, sizeof map->secret);
}

/* The slot that holds the hash, or the empty one where it would go. */
static struct kj_clean_slot *place(struct kj_clean_slot *slots, size_t slot_count, uint64_t low, uint64_t high)
{
    size_t mask = slot_count - 1;
    for (size_t i = (size_t)low & mask;; i = (i + 1) & mask)
        if (slots[i].next == 0 || (slots[i].low == low && slots[i].high == high))
            return &slots[i];
}

static bool grow(struct kj_clean_map *map)
{
    size_t slot_count = map->slot_count * 2;
    if (usable(slot_count) > map->count_max)
        return false;
    struct kj_clean_slot *slots = kj_alloc_zero(slot_count, sizeof *slots);
    if (slots == NULL)
        return false; /* full earlier: the rest stays for the next round */
    for (size_t i = 0; i < map->slot_count; i++)
        if (map->slots[i].next != 0)
            *place(slots, slot_count, map->slots[i].low, map->slots[i].high) = map->slots[i];
    kj_free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    return true;
}

bool kj_clean_map_put(struct kj_clean_map *map, const void *key, size_t key_bytes, int64_t offset)
{
    XXH128_hash_t hash = hash_of(map, key, key_bytes);
    struct kj_clean_slot *slot = place(map->slots, map->slot_count, hash.low64, hash.high64);
    if (slot->next == 0) {
        if (map->count >= usable(map->slot_count)) {
            if (!grow(map))
                return false;
            slot = place(map->slots, map->slot_count, hash.low64, hash.high64);
        }
        *slot = (struct kj_clean_slot){.low = hash.low64, .high = hash.high64};
        map->count++;
    }
    if (slot->next < offset + 1)
        slot->next = offset + 1;
    return true;
}

int64_t kj_clean_map_get(const struct kj_clean_map *map, const void *key, size_t key_bytes)
{
    XXH128_hash_t hash = hash_of(map, key, key_bytes);
    return place(map->slots, map->slot_count, hash.low64, hash.high64)->next - 1;
}
