/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/hash.c - invariant: between the slot an entry's hash points at and the slot it lies in there
 * is no empty slot. Removing therefore moves later entries of the same run back (no tombstones),
 * and at least a quarter of the slots stay empty, so that every probe ends.
 */
#include "base/hash.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>
#include <xxhash.h>

enum { SLOTS_MIN = 16 };

struct key {
    const void *bytes;
    uint64_t number;
    size_t key_bytes;
    uint64_t hash;
};

static struct key key_of_bytes(const void *bytes, size_t key_bytes)
{
    KJ_ASSERT(key_bytes != KJ_MAP_NUMBER);
    return (struct key){bytes, 0, key_bytes, XXH3_64bits(bytes, key_bytes)};
}

static struct key key_of_number(uint64_t number)
{
    return (struct key){NULL, number, KJ_MAP_NUMBER, XXH3_64bits(&number, sizeof number)};
}

static bool same_key(const struct kj_map_entry *entry, const struct key *key)
{
    if (entry->hash != key->hash || entry->key_bytes != key->key_bytes)
        return false;
    if (key->key_bytes == KJ_MAP_NUMBER)
        return entry->key.number == key->number;
    return key->key_bytes == 0 || memcmp(entry->key.bytes, key->bytes, key->key_bytes) == 0;
}

/* The slot with this key, or the empty slot where it belongs. The map has slots. */
static struct kj_map_entry *find(const struct kj_map *map, const struct key *key)
{
    size_t mask = map->slot_count - 1;
    for (size_t i = (size_t)key->hash & mask;; i = (i + 1) & mask) {
        struct kj_map_entry *slot = &map->slots[i];
        if (slot->value == NULL || same_key(slot, key))
            return slot;
    }
}

static int grow(struct kj_map *map)
{
    size_t wider = map->slot_count == 0 ? SLOTS_MIN : map->slot_count * 2;
    struct kj_map_entry *slots = kj_alloc_zero(wider, sizeof *slots);
    if (slots == NULL)
        return kj_err_oom("a hash map");
    for (size_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].value == NULL)
            continue;
        size_t to = (size_t)map->slots[i].hash & (wider - 1);
        while (slots[to].value != NULL)
            to = (to + 1) & (wider - 1);
        slots[to] = map->slots[i];
    }
    kj_free(map->slots);
    map->slots = slots;
    map->slot_count = wider;
    return 0;
}

static void *get(const struct kj_map *map, const struct key *key)
{
    return map->count == 0 ? NULL : find(map, key)->value;
}

static int put(struct kj_map *map, const struct key *key, void *value)
{
    KJ_ASSERT(value != NULL);
    if (map->slot_count == 0 || map->count >= map->slot_count / 4 * 3) {
        int err = grow(map);
        if (err != 0)
            return err;
    }
    struct kj_map_entry *slot = find(map, key);
    map->count += slot->value == NULL;
    slot->hash = key->hash;
    slot->key_bytes = key->key_bytes;
    slot->value = value;
    if (key->key_bytes == KJ_MAP_NUMBER)
        slot->key.number = key->number;
    else
        slot->key.bytes = key->bytes;
    return 0;
}

/* Empties a slot and closes the gap: the next entry of the run that may lie there (its own slot is
 * not between the gap and itself) moves into it, which makes a new gap, until the run ends. */
static void empty_slot(struct kj_map *map, size_t gap)
{
    size_t mask = map->slot_count - 1;
    for (size_t i = (gap + 1) & mask; map->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t own = (size_t)map->slots[i].hash & mask;
        if (((i - own) & mask) >= ((i - gap) & mask)) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap].value = NULL;
    map->count--;
}

static void *take_out(struct kj_map *map, const struct key *key)
{
    if (map->count == 0)
        return NULL;
    struct kj_map_entry *slot = find(map, key);
    void *value = slot->value;
    if (value != NULL)
        empty_slot(map, (size_t)(slot - map->slots));
    return value;
}

void kj_map_init(struct kj_map *map)
{
    *map = (struct kj_map){0};
}

void kj_map_free(struct kj_map *map)
{
    kj_free(map->slots);
    *map = (struct kj_map){0};
}

void *kj_map_get(const struct kj_map *map, const void *bytes, size_t key_bytes)
{
    struct key key = key_of_bytes(bytes, key_bytes);
    return get(map, &key);
}

void *kj_map_get_u64(const struct kj_map *map, uint64_t number)
{
    struct key key = key_of_number(number);
    return get(map, &key);
}

int kj_map_put(struct kj_map *map, const void *bytes, size_t key_bytes, void *value)
{
    struct key key = key_of_bytes(bytes, key_bytes);
    return put(map, &key, value);
}

int kj_map_put_u64(struct kj_map *map, uint64_t number, void *value)
{
    struct key key = key_of_number(number);
    return put(map, &key, value);
}

void *kj_map_remove(struct kj_map *map, const void *bytes, size_t key_bytes)
{
    struct key key = key_of_bytes(bytes, key_bytes);
    return take_out(map, &key);
}

void *kj_map_remove_u64(struct kj_map *map, uint64_t number)
{
    struct key key = key_of_number(number);
    return take_out(map, &key);
}

bool kj_map_next(const struct kj_map *map, size_t *at, struct kj_map_entry *ret_entry)
{
    for (; *at < map->slot_count; ++*at) {
        if (map->slots[*at].value != NULL) {
            *ret_entry = map->slots[(*at)++];
            return true;
        }
    }
    return false;
}

void kj_map_remove_current(struct kj_map *map, size_t *at)
{
    KJ_ASSERT(*at > 0 && map->slots[*at - 1].value != NULL);
    empty_slot(map, --*at);
}
