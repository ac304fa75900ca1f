/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/hash.h - a hash map in memory: open addressing with linear probing, XXH3, keys that are
 * bytes or a 64-bit number (both may live in one map). Values are pointers of the caller, never
 * NULL.
 *
 * Byte keys are not copied: they must stay where they are until the entry is removed; usually they
 * are a member of the value. Not for threads at the same time.
 *
 *     struct kj_map_entry entry;
 *     for (size_t at = 0; kj_map_next(&map, &at, &entry);)
 *         use(entry.value);
 *
 * The order is that of the hashes, without meaning.
 */
#ifndef KJ_BASE_HASH_H
#define KJ_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_map_entry {
    uint64_t hash;
    union {
        const void *bytes;
        uint64_t number;
    } key;
    size_t key_bytes; /* KJ_MAP_NUMBER: the key is a number */
    void *value;      /* NULL: empty slot */
};
#define KJ_MAP_NUMBER SIZE_MAX

struct kj_map {
    struct kj_map_entry *slots; /* NULL while nothing was ever put */
    size_t slot_count;          /* power of two */
    size_t count;
};

/* An all-zero map is an empty one too. */
void kj_map_init(struct kj_map *map);
/* Frees the table, not the values; leaves an empty map. */
void kj_map_free(struct kj_map *map);

/* The value, or NULL. */
void *kj_map_get(const struct kj_map *map, const void *key, size_t key_bytes);
void *kj_map_get_u64(const struct kj_map *map, uint64_t key);

/* Puts or replaces (the key pointer too). OUT_OF_MEMORY, and the map is as before. */
int kj_map_put(struct kj_map *map, const void *key, size_t key_bytes, void *value);
int kj_map_put_u64(struct kj_map *map, uint64_t key, void *value);

/* Removes and returns the value, or NULL if there is none. The table never shrinks. */
void *kj_map_remove(struct kj_map *map, const void *key, size_t key_bytes);
void *kj_map_remove_u64(struct kj_map *map, uint64_t key);

/* Walks all entries; *at starts at 0. The map must not change meanwhile, except that
 * kj_map_remove_current() may remove the entry just returned: the others are then still all seen, a
 * few possibly twice. */
bool kj_map_next(const struct kj_map *map, size_t *at, struct kj_map_entry *ret_entry);
void kj_map_remove_current(struct kj_map *map, size_t *at);

#endif
