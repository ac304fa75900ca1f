/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/offset_map.h"

#include "base/alloc.h"
#include "base/err.h"
#include "record/batch_reader.h"
#include "record/control.h"

#include <string.h>

enum { VERSION_BYTES = 2, PLAIN_MAX = 256 << 20 };

/* A record of a transaction that is not decided. */
struct kj_offset_pending {
    struct kj_offset_pending *next;
    int64_t producer_id;
    int64_t at;
    size_t key_bytes, value_bytes;
    bool tombstone;
    uint8_t bytes[]; /* key, value */
};

void kj_offset_map_init(struct kj_offset_map *map, kj_offset_odd_callback *odd, void *odd_arg)
{
    *map = (struct kj_offset_map){.odd = odd, .odd_arg = odd_arg};
    map->pending_end = &map->pending;
}

static void free_entry(struct kj_offset_kept *entry)
{
    kj_free(entry->metadata);
    kj_free(entry);
}

void kj_offset_map_clear(struct kj_offset_map *map)
{
    struct kj_map_entry at;
    for (size_t i = 0; kj_map_next(&map->entries, &i, &at);)
        free_entry(at.value);
    for (size_t i = 0; kj_map_next(&map->owners, &i, &at);)
        kj_free(at.value);
    kj_map_free(&map->entries);
    kj_map_free(&map->owners);
    for (struct kj_offset_pending *p = map->pending, *next; p != NULL; p = next) {
        next = p->next;
        kj_free(p);
    }
    kj_buffer_free(&map->plain);
    kj_offset_map_init(map, map->odd, map->odd_arg);
}

struct kj_offset_owner *kj_offset_map_owner(const struct kj_offset_map *map, const char *group_id)
{
    return kj_map_get(&map->owners, group_id, strlen(group_id));
}

struct kj_offset_kept *kj_offset_map_get(const struct kj_offset_map *map, const uint8_t *key,
                                          size_t key_bytes)
{
    return kj_map_get(&map->entries, key + VERSION_BYTES, key_bytes - VERSION_BYTES);
}

/* --- groups --- */

static int make_owner(struct kj_offset_map *map, struct kj_span id,
                      struct kj_offset_owner **ret_owner)
{
    struct kj_offset_owner *owner = kj_map_get(&map->owners, id.at, id.len);
    if (owner == NULL) {
        owner = kj_alloc(sizeof *owner + id.len + 1);
        if (owner == NULL)
            return kj_err_oom("a group");
        *owner = (struct kj_offset_owner){.generation = -1, .state_ms = -1, .id_bytes = id.len};
        memcpy(owner->id, id.at, id.len);
        owner->id[id.len] = '\0';
        int err = kj_map_put(&map->owners, owner->id, id.len, owner);
        if (err != 0) {
            kj_free(owner);
            return err;
        }
    }
    *ret_owner = owner;
    return 0;
}

static void drop_owner_if_empty(struct kj_offset_map *map, struct kj_offset_owner *owner)
{
    if (owner->count > 0 || owner->has_record)
        return;
    (void)kj_map_remove(&map->owners, owner->id, owner->id_bytes); /* it is owner */
    kj_free(owner);
}

/* --- one record --- */

static int make_entry(struct kj_offset_map *map, const struct kj_coord_key *key,
                      const uint8_t *bytes, size_t len, struct kj_offset_kept **ret_entry)
{
    struct kj_offset_owner *owner;
    KJ_TRY(make_owner(map, key->group, &owner));
    struct kj_offset_kept *entry = kj_alloc(sizeof *entry + len);
    int err = entry != NULL ? 0 : kj_err_oom("a committed offset");
    if (err == 0) {
        *entry = (struct kj_offset_kept){
            .owner = owner, .partition = key->partition, .key_bytes = len, .next = owner->first};
        memcpy(entry->key, bytes, len);
        entry->topic = (struct kj_span){
            (const char *)entry->key + (key->topic.at - (const char *)bytes), key->topic.len};
        err = kj_map_put(&map->entries, entry->key, len, entry);
    }
    if (err != 0) {
        kj_free(entry);
        drop_owner_if_empty(map, owner);
        return err;
    }
    if (owner->first != NULL)
        owner->first->prev = entry;
    owner->first = entry;
    owner->count++;
    *ret_entry = entry;
    return 0;
}

static void remove_entry(struct kj_offset_map *map, const uint8_t *bytes, size_t len)
{
    struct kj_offset_kept *entry = kj_map_remove(&map->entries, bytes, len);
    if (entry == NULL)
        return;
    struct kj_offset_owner *owner = entry->owner;
    if (entry->prev != NULL)
        entry->prev->next = entry->next;
    else
        owner->first = entry->next;
    if (entry->next != NULL)
        entry->next->prev = entry->prev;
    owner->count--;
    free_entry(entry);
    drop_owner_if_empty(map, owner);
}

/* Room for the text first: then nothing can fail. */
static int set_metadata(struct kj_offset_kept *entry, struct kj_span text)
{
    if (text.len == 0) {
        if (entry->metadata != NULL)
            entry->metadata[0] = '\0';
        return 0;
    }
    if (entry->metadata_capacity < text.len + 1) {
        char *grown = kj_realloc(entry->metadata, text.len + 1);
        if (grown == NULL)
            return kj_err_oom("the metadata of an offset");
        entry->metadata = grown;
        entry->metadata_capacity = text.len + 1;
    }
    memcpy(entry->metadata, text.at, text.len);
    entry->metadata[text.len] = '\0';
    return 0;
}

static int set_offset(struct kj_offset_map *map, const struct kj_coord_key *key,
                      const uint8_t *key_bytes, size_t len, const struct kj_coord_offset *value,
                      int64_t at)
{
    struct kj_offset_kept *entry = kj_map_get(&map->entries, key_bytes, len);
    if (entry == NULL)
        KJ_TRY(make_entry(map, key, key_bytes, len, &entry));
    else if (entry->at > at)
        return 0; /* of a transaction, and something newer was committed outside */
    KJ_TRY(set_metadata(entry, value->metadata));
    entry->offset = value->offset;
    entry->leader_epoch = value->leader_epoch;
    entry->commit_ms = value->commit_ms;
    entry->expire_ms = value->expire_ms;
    entry->at = at;
    return 0;
}

static int set_group(struct kj_offset_map *map, struct kj_span id,
                     const struct kj_coord_group *value)
{
    struct kj_offset_owner *owner;
    KJ_TRY(make_owner(map, id, &owner));
    owner->has_record = true;
    owner->consumer = value->protocol_type.len > 0;
    owner->generation = value->generation;
    owner->member_count = value->member_count;
    owner->state_ms = value->state_ms;
    return 0;
}

static void remove_group(struct kj_offset_map *map, struct kj_span id)
{
    struct kj_offset_owner *owner = kj_map_get(&map->owners, id.at, id.len);
    if (owner == NULL)
        return;
    owner->has_record = false;
    owner->consumer = false;
    owner->generation = -1;
    owner->member_count = 0;
    owner->state_ms = -1;
    drop_owner_if_empty(map, owner);
}

/* value NULL: a tombstone. */
static int apply(struct kj_offset_map *map, const uint8_t *key_bytes, size_t key_len,
                 const uint8_t *value, size_t value_len, int64_t at)
{
    struct kj_coord_key key;
    struct kj_coord_offset offset;
    struct kj_coord_group group;
    enum kj_coord_kind kind = kj_coord_key_decode(key_bytes, key_len, &key);
    if (kind == KJ_COORD_BAD) {
        map->odd(map->odd_arg, at, "its key is malformed");
        return 0;
    }
    if (kind == KJ_COORD_GROUP && value == NULL)
        remove_group(map, key.group);
    else if (kind == KJ_COORD_GROUP && kj_coord_group_decode(value, value_len, &group))
        return set_group(map, key.group, &group);
    else if (kind == KJ_COORD_GROUP)
        map->odd(map->odd_arg, at, "a group's metadata is malformed, or of a newer version");
    else if (kind == KJ_COORD_OFFSET && value == NULL)
        remove_entry(map, key_bytes + VERSION_BYTES, key_len - VERSION_BYTES);
    else if (kind == KJ_COORD_OFFSET && kj_coord_offset_decode(value, value_len, &offset))
        return set_offset(map, &key, key_bytes + VERSION_BYTES, key_len - VERSION_BYTES, &offset,
                          at);
    else if (kind == KJ_COORD_OFFSET)
        map->odd(map->odd_arg, at, "a committed offset is malformed, or of a newer version");
    return 0;
}

/* --- transactions --- */

static int keep_pending(struct kj_offset_map *map, const struct kj_batch *batch,
                        const struct kj_record_view *view)
{
    size_t key_bytes = view->key != NULL ? view->key_bytes : 0;
    size_t value_bytes = view->value != NULL ? view->value_bytes : 0;
    struct kj_offset_pending *pending = kj_alloc(sizeof *pending + key_bytes + value_bytes);
    if (pending == NULL)
        return kj_err_oom("an offset of a transaction");
    *pending = (struct kj_offset_pending){.producer_id = batch->producer_id,
                                          .at = batch->base_offset + view->offset_delta,
                                          .key_bytes = key_bytes,
                                          .value_bytes = value_bytes,
                                          .tombstone = view->value == NULL};
    if (key_bytes > 0)
        memcpy(pending->bytes, view->key, key_bytes);
    if (value_bytes > 0)
        memcpy(pending->bytes + key_bytes, view->value, value_bytes);
    *map->pending_end = pending;
    map->pending_end = &pending->next;
    return 0;
}

static int end_transaction(struct kj_offset_map *map, int64_t producer_id, bool commit)
{
    struct kj_offset_pending **at = &map->pending;
    while (*at != NULL) {
        struct kj_offset_pending *pending = *at;
        if (pending->producer_id != producer_id) {
            at = &pending->next;
            continue;
        }
        if (commit)
            KJ_TRY(apply(map, pending->bytes, pending->key_bytes,
                         pending->tombstone ? NULL : pending->bytes + pending->key_bytes,
                         pending->value_bytes, pending->at));
        *at = pending->next;
        if (*at == NULL)
            map->pending_end = at;
        kj_free(pending);
    }
    return 0;
}

static int apply_marker(struct kj_offset_map *map, const struct kj_batch *batch,
                        struct kj_batch_reader *reader)
{
    struct kj_record_view view;
    int type;
    int32_t epoch;
    if (kj_batch_reader_next(reader, &view) <= 0)
        return 0; /* compaction took it */
    if (kj_control_decode(&view, &type, &epoch) != 0) {
        map->odd(map->odd_arg, batch->base_offset, "a malformed marker");
        kj_err_clear();
        return 0;
    }
    if (type != KJ_CONTROL_COMMIT && type != KJ_CONTROL_ABORT)
        return 0;
    return end_transaction(map, batch->producer_id, type == KJ_CONTROL_COMMIT);
}

/* --- a batch --- */

int kj_offset_map_batch(struct kj_offset_map *map, const struct kj_batch *batch,
                        const uint8_t *bytes)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    int got;
    if (!kj_batch_crc_ok(bytes, kj_batch_bytes(batch))) {
        map->odd(map->odd_arg, batch->base_offset, "a batch with a wrong checksum");
        return 0;
    }
    int err =
        kj_batch_reader_init(&reader, bytes, kj_batch_bytes(batch), &map->plain, PLAIN_MAX);
    if (err == KAJA_ERR_OUT_OF_MEMORY)
        return err;
    if (err != 0) {
        map->odd(map->odd_arg, batch->base_offset, kaja_error_detail());
        kj_err_clear();
        return 0;
    }
    if (kj_batch_has(batch, KJ_ATTR_CONTROL))
        return apply_marker(map, batch, &reader);
    bool pending = kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL) && batch->producer_id >= 0;
    while ((got = kj_batch_reader_next(&reader, &view)) > 0) {
        if (pending)
            KJ_TRY(keep_pending(map, batch, &view));
        else
            KJ_TRY(apply(map, view.key, view.key != NULL ? view.key_bytes : 0, view.value,
                         view.value_bytes, batch->base_offset + view.offset_delta));
    }
    if (got < 0)
        map->odd(map->odd_arg, batch->base_offset, "a malformed batch");
    return 0;
}
