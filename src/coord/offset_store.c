/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_store.c - the partitions of __consumer_offsets, and following them.
 *
 * Locks: OFFSETS lies above LOG_APPEND, so that a group's state may be looked at by who holds the
 * append lock of its partition; under it the log is read, nothing else.
 */
#include "coord/offset_internal.h"

#include "base/javahash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20 };

/* A read-only handle may not hear of a compaction. Tombstones leave a log after delete.retention.ms
 * (a day by default): who did not look for half of that begins anew. */
static const int64_t follow_max_ns = INT64_C(12) * 3600 * 1000000000;

/* Expiry did not get a lock: it tries again behind this. */
static const int64_t busy_again_ns = INT64_C(1000000000);

void kj_offset_store_options_defaults(struct kj_offset_store_options *options)
{
    *options = (struct kj_offset_store_options){
        .partition_count = 1,
        .segment_bytes = 4194304,
        .metadata_units_max = 4096,
        .retention_minutes = 525600,
        .check_interval_ms = 600000,
    };
}

/* --- life --- */

static int64_t run_task(void *arg)
{
    struct kj_offset_store *offsets = arg;
    uint64_t wanted = 1;
    if (kj_cas(&offsets->flush_wanted, &wanted, 0) && atomic_load(&offsets->parts) != NULL)
        for (int32_t p = 0; p < offsets->part_count; p++) {
            struct kj_partition *partition = atomic_load(&offsets->parts[p].partition);
            if (partition != NULL && kj_log_flush_due(kj_partition_log(partition)) &&
                kj_store_flush(offsets->store, &partition, 1) != 0)
                kj_err_clear(); /* the partition is poisoned, which the tickets tell */
        }
    uint64_t due = kj_load_relaxed(&offsets->next_expire_ns);
    if (due == 0)
        return INT64_MAX;
    int64_t now = kj_mono_ns(offsets->clock);
    if (now < (int64_t)due)
        return (int64_t)due;
    int64_t next = now + offsets->options.check_interval_ms * 1000000;
    int err = kj_offset_store_expire(offsets);
    if (err != 0)
        kj_err_clear(); /* tried again; who commits meets the same error */
    if (err == KAJA_ERR_LOCK_TIMED_OUT && next > now + busy_again_ns)
        next = now + busy_again_ns;
    kj_store_relaxed(&offsets->next_expire_ns, (uint64_t)next);
    return next;
}

int kj_offset_store_new(struct kj_store *store, const struct kj_offset_store_options *options,
                        struct kj_offset_store **ret_offsets)
{
    struct kj_offset_store *offsets = kj_alloc_zero(1, sizeof *offsets);
    if (offsets == NULL)
        return kj_err_oom("committed offsets");
    offsets->store = store;
    offsets->clock = kj_store_clock(store);
    offsets->options = *options;
    kj_lock_init(&offsets->lock, KJ_RANK_OFFSETS);
    kj_lock_init(&offsets->scratch_lock, KJ_RANK_LEAF);
    offsets->task = (struct kj_store_task){.run = run_task, .arg = offsets};
    *ret_offsets = offsets;
    return 0;
}

int kj_offset_store_open(struct kj_store *store, const struct kj_offset_store_options *options,
                         struct kj_offset_store **ret_offsets)
{
    KJ_TRY(kj_offset_store_new(store, options, ret_offsets));
    kj_store_task_add(store, &(*ret_offsets)->task);
    return 0;
}

void kj_offset_store_close(struct kj_offset_store *offsets)
{
    if (offsets == NULL)
        return;
    kj_store_task_remove(offsets->store, &offsets->task);
    struct kj_offset_part *parts = atomic_load(&offsets->parts);
    for (int32_t p = 0; parts != NULL && p < offsets->part_count; p++)
        kj_offset_map_clear(&parts[p].map);
    kj_free(parts);
    if (offsets->topic != NULL)
        kj_topic_release(offsets->topic);
    for (struct kj_offset_scratch *s = offsets->scratches, *next; s != NULL; s = next) {
        next = s->next;
        kj_offset_scratch_free(s);
    }
    kj_lock_destroy(&offsets->lock);
    kj_lock_destroy(&offsets->scratch_lock);
    kj_free(offsets);
}

void kj_offset_store_set_groups(struct kj_offset_store *offsets,
                                const struct kj_offset_groups *groups)
{
    /* Nobody is in a round of expiry then, and so in the callbacks of before. */
    kj_store_task_remove(offsets->store, &offsets->task);
    offsets->groups = *groups;
    kj_store_task_add(offsets->store, &offsets->task);
}

/* --- topic and partitions --- */

static void tell_odd(void *arg, int64_t offset, const char *what)
{
    struct kj_offset_part *part = arg;
    struct kj_event event = {.kind = KAJA_EVENT_DAMAGE,
                             .error = KAJA_ERR_DAMAGED,
                             .partition = part->number,
                             .offset = offset,
                             .end_offset = -1};
    (void)snprintf(event.topic, sizeof event.topic, "%s", KJ_OFFSETS_TOPIC);
    (void)snprintf(event.text, sizeof event.text,
                   KJ_OFFSETS_TOPIC "-%d: passed over at offset %lld: %.300s", part->number,
                   (long long)offset, what);
    kj_store_event_add(part->offsets->store, &event);
}

static int create_topic(struct kj_offset_store *offsets)
{
    char segment[24];
    (void)snprintf(segment, sizeof segment, "%lld", (long long)offsets->options.segment_bytes);
    const struct kj_property properties[] = {
        {"cleanup.policy", "compact"},
        {"compression.type", "uncompressed"},
        {"segment.bytes", segment},
    };
    int err = kj_topic_create_internal(offsets->store, KJ_OFFSETS_TOPIC,
                                       offsets->options.partition_count, properties,
                                       sizeof properties / sizeof *properties);
    if (err != KAJA_ERR_TOPIC_ALREADY_EXISTS)
        return err;
    kj_err_clear(); /* by another process just now */
    return 0;
}

static int take_topic(struct kj_offset_store *offsets, struct kj_topic *topic)
{
    int32_t count = kj_topic_partition_count(topic);
    struct kj_offset_part *parts = kj_alloc_zero((size_t)count, sizeof *parts);
    if (parts == NULL) {
        kj_topic_release(topic);
        return kj_err_oom("partitions");
    }
    for (int32_t p = 0; p < count; p++) {
        parts[p].offsets = offsets;
        parts[p].number = p;
        parts[p].next = -1;
        kj_offset_map_init(&parts[p].map, tell_odd, &parts[p]);
    }
    kj_lock_acquire(&offsets->lock);
    bool first = atomic_load(&offsets->parts) == NULL;
    if (first) {
        offsets->topic = topic;
        offsets->part_count = count;
        atomic_store(&offsets->parts, parts); /* pairs with kj_offset_parts(): the count is seen */
    }
    kj_lock_release(&offsets->lock);
    if (!first) {
        kj_free(parts);
        kj_topic_release(topic);
    }
    return 0;
}

int kj_offset_parts(struct kj_offset_store *offsets, bool create, bool *ret_found)
{
    struct kj_topic *topic;
    *ret_found = true;
    if (atomic_load(&offsets->parts) != NULL)
        return 0;
    int err = kj_topic_find(offsets->store, KJ_OFFSETS_TOPIC, false, &topic);
    if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION && !create) {
        kj_err_clear();
        *ret_found = false;
        return 0;
    }
    if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION) {
        KJ_TRY(create_topic(offsets));
        err = kj_topic_find(offsets->store, KJ_OFFSETS_TOPIC, false, &topic);
    }
    KJ_TRY(err);
    return take_topic(offsets, topic);
}

int kj_offset_part_load(struct kj_offset_part *part)
{
    struct kj_offset_store *offsets = part->offsets;
    struct kj_partition *partition = atomic_load(&part->partition);
    /* A read-only handle gets another log when a writer comes or goes. */
    if (partition != NULL && !kj_store_read_only(offsets->store))
        return 0;
    KJ_TRY(kj_topic_partition(offsets->topic, part->number, &partition));
    atomic_store(&part->partition, partition);
    uint64_t never = 0;
    if (!kj_store_read_only(offsets->store) &&
        kj_cas(&offsets->next_expire_ns, &never, (uint64_t)kj_mono_ns(offsets->clock)))
        kj_store_poke(offsets->store);
    return 0;
}

int kj_offset_group_check(const char *group_id)
{
    size_t bytes = strlen(group_id);
    if (bytes == 0 || bytes > KJ_COORD_STRING_MAX)
        return kj_err(KAJA_ERR_INVALID_GROUP_ID,
                      bytes == 0 ? "the group id is empty"
                                 : "the group id is longer than 32767 bytes");
    return 0;
}

int kj_offset_part(struct kj_offset_store *offsets, const char *group_id, bool create,
                   struct kj_offset_part **ret_part)
{
    bool found;
    KJ_TRY(kj_offset_group_check(group_id));
    KJ_TRY(kj_offset_parts(offsets, create, &found));
    *ret_part = NULL;
    if (!found)
        return 0;
    int32_t hash = kj_javahash(group_id, strlen(group_id));
    struct kj_offset_part *part =
        &atomic_load(&offsets->parts)[kj_partition_for_group(hash, offsets->part_count)];
    KJ_TRY(kj_offset_part_load(part));
    *ret_part = part;
    return 0;
}

int kj_offset_store_partition(struct kj_offset_store *offsets, const char *group_id, bool create,
                              struct kj_partition **ret_partition)
{
    struct kj_offset_part *part;
    if (create && kj_store_read_only(offsets->store))
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(kj_offset_part(offsets, group_id, create, &part));
    *ret_partition = part == NULL ? NULL : atomic_load(&part->partition);
    return 0;
}

/* --- following --- */

/* Is there anything readable at offset? */
static bool readable(struct kj_log *log, int64_t offset, int64_t end)
{
    struct kj_log_read read = {0};
    int err = kj_log_read(log, offset, end, 1, true, NULL, &read);
    if (err == 0 && read.view != NULL)
        kj_view_release(read.view);
    if (err != 0)
        kj_err_clear();
    return err == 0;
}

/* Damage at part->next: on to where reading goes on, which lies behind the next index entry or
 * segment. Farther and farther, then back by halves. */
static void pass_damage(struct kj_offset_part *part, struct kj_log *log, int64_t end)
{
    int64_t bad = part->next, good = end;
    for (int64_t step = 1; step < end - part->next; step *= 2)
        if (readable(log, part->next + step, end)) {
            good = part->next + step;
            break;
        } else {
            bad = part->next + step;
        }
    while (good - bad > 1) {
        int64_t middle = bad + (good - bad) / 2;
        if (readable(log, middle, end))
            good = middle;
        else
            bad = middle;
    }
    part->next = good;
}

static int take_batches(struct kj_offset_part *part, const struct kj_log_read *read)
{
    for (size_t at = 0; at < read->len;) {
        struct kj_batch batch;
        if (kj_batch_look(read->bytes + at, read->len - at, &batch) != KJ_BATCH_OK)
            break; /* reading looked at it: the file changes under us */
        if (kj_batch_last_offset(&batch) >= part->next) {
            KJ_TRY(kj_offset_map_batch(&part->map, &batch, read->bytes + at));
            part->next = kj_batch_next_offset(&batch);
        }
        at += kj_batch_bytes(&batch);
    }
    if (part->next < read->next_offset)
        part->next = read->next_offset;
    return 0;
}

static void begin_anew(struct kj_offset_part *part, int64_t start)
{
    kj_offset_map_clear(&part->map);
    part->cursor = (struct kj_log_cursor){0};
    part->next = start;
}

static int follow_once(struct kj_offset_part *part, struct kj_log *log)
{
    int64_t end = kj_log_end(log), start = kj_log_start(log);
    int64_t now = kj_mono_ns(part->offsets->clock);
    /* Behind the end: what a read-only handle saw of a writer that a power cut took. */
    if (part->next < start || part->next > end || part->next < kj_log_cleaned(log) ||
        now - part->followed_ns > follow_max_ns)
        begin_anew(part, start);
    while (part->next < end) {
        struct kj_log_read read = {0};
        int err = kj_log_read(log, part->next, end, READ_BYTES, true, &part->cursor, &read);
        if (err == KAJA_ERR_DAMAGED || err == KAJA_ERR_UNSUPPORTED_MAGIC) {
            tell_odd(part, part->next, kaja_error_detail());
            kj_err_clear();
            pass_damage(part, log, end);
            continue;
        }
        if (err == KAJA_ERR_OFFSET_OUT_OF_RANGE && kj_log_start(log) > part->next) {
            kj_err_clear();
            begin_anew(part, kj_log_start(log));
            continue;
        }
        KJ_TRY(err);
        if (read.view == NULL)
            break;
        err = take_batches(part, &read);
        kj_view_release(read.view);
        KJ_TRY(err);
    }
    part->followed_ns = now;
    return 0;
}

/* Where compaction may have been since, tombstones may be gone that what is in the map would need:
 * whoever has not come so far begins anew, and so does whoever it overtook. */
int kj_offset_follow(struct kj_offset_part *part)
{
    struct kj_log *log = kj_partition_log(atomic_load(&part->partition));
    for (;;) {
        int64_t cleaned = kj_log_cleaned(log);
        KJ_TRY(follow_once(part, log));
        if (kj_log_cleaned(log) == cleaned)
            return 0;
        part->next = -1;
    }
}

/* --- looking --- */

static int tell(const struct kj_offset_kept *entry, kj_committed_callback *callback, void *arg)
{
    char topic[256];
    size_t len = entry->topic.len < sizeof topic ? entry->topic.len : sizeof topic - 1;
    memcpy(topic, entry->topic.at, len);
    topic[len] = '\0';
    const struct kj_committed committed = {
        .group_id = entry->owner->id,
        .topic = topic,
        .partition = entry->partition,
        .leader_epoch = entry->leader_epoch,
        .offset = entry->offset,
        .metadata = entry->metadata != NULL ? entry->metadata : "",
        .commit_ms = entry->commit_ms,
        .expire_ms = entry->expire_ms,
    };
    return callback(arg, &committed);
}

/* An entry by its names; NULL: none. OFFSETS lock held. */
static struct kj_offset_kept *find_entry(struct kj_offset_part *part, const char *group_id,
                                          const char *topic, int32_t partition)
{
    struct kj_offset_owner *owner = kj_offset_map_owner(&part->map, group_id);
    uint8_t small[512];
    const struct kj_coord_key key = {.group = {group_id, strlen(group_id)},
                                     .topic = {topic, strlen(topic)},
                                     .partition = partition};
    size_t bytes = kj_coord_key_bytes(&key);
    if (owner == NULL || key.topic.len > KJ_COORD_STRING_MAX)
        return NULL;
    if (bytes <= sizeof small) {
        kj_coord_key_encode(&key, small);
        return kj_offset_map_get(&part->map, small, bytes);
    }
    for (struct kj_offset_kept *e = owner->first; e != NULL; e = e->next)
        if (e->partition == partition && e->topic.len == key.topic.len &&
            memcmp(e->topic.at, topic, key.topic.len) == 0)
            return e;
    return NULL;
}

int kj_offset_store_fetch(struct kj_offset_store *offsets, const char *group_id, const char *topic,
                          int32_t partition, bool *ret_found, int64_t *ret_offset,
                          kj_committed_callback *callback, void *arg)
{
    struct kj_offset_part *part;
    KJ_TRY(kj_offset_part(offsets, group_id, false, &part));
    *ret_found = false;
    if (part == NULL)
        return 0;
    kj_lock_acquire(&offsets->lock);
    int err = kj_offset_follow(part);
    if (err == 0) {
        const struct kj_offset_kept *entry = find_entry(part, group_id, topic, partition);
        *ret_found = entry != NULL;
        if (entry != NULL)
            *ret_offset = entry->offset;
        if (entry != NULL && callback != NULL)
            err = tell(entry, callback, arg);
    }
    kj_lock_release(&offsets->lock);
    return err;
}

static int by_place(const void *a, const void *b)
{
    const struct kj_offset_kept *x = *(const struct kj_offset_kept *const *)a;
    const struct kj_offset_kept *y = *(const struct kj_offset_kept *const *)b;
    size_t least = x->topic.len < y->topic.len ? x->topic.len : y->topic.len;
    int order = memcmp(x->topic.at, y->topic.at, least);
    if (order == 0 && x->topic.len != y->topic.len)
        order = x->topic.len < y->topic.len ? -1 : 1;
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static int each_of(const struct kj_offset_owner *owner, kj_committed_callback *callback, void *arg)
{
    struct kj_offset_kept **entries = kj_alloc(owner->count * sizeof(void *));
    size_t count = 0;
    if (entries == NULL)
        return kj_err_oom("a list of offsets");
    for (struct kj_offset_kept *e = owner->first; e != NULL; e = e->next)
        entries[count++] = e;
    if (count > 1)
        qsort(entries, count, sizeof *entries, by_place);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        err = tell(entries[i], callback, arg);
    kj_free(entries);
    return err;
}

int kj_offset_store_each(struct kj_offset_store *offsets, const char *group_id,
                         kj_committed_callback *callback, void *arg)
{
    struct kj_offset_part *part;
    KJ_TRY(kj_offset_part(offsets, group_id, false, &part));
    if (part == NULL)
        return 0;
    kj_lock_acquire(&offsets->lock);
    int err = kj_offset_follow(part);
    const struct kj_offset_owner *owner = kj_offset_map_owner(&part->map, group_id);
    if (err == 0 && owner != NULL)
        err = each_of(owner, callback, arg);
    kj_lock_release(&offsets->lock);
    return err;
}

static struct kj_offset_group say(const struct kj_offset_owner *owner, const char *group_id)
{
    return (struct kj_offset_group){
        .group_id = group_id,
        .has_record = owner->has_record,
        .consumer = owner->consumer,
        .generation = owner->generation,
        .member_count = owner->member_count,
        .state_ms = owner->state_ms,
        .offset_count = owner->count,
    };
}

int kj_offset_store_group(struct kj_offset_store *offsets, const char *group_id, bool *ret_found,
                          struct kj_offset_group *ret_group)
{
    struct kj_offset_part *part;
    KJ_TRY(kj_offset_part(offsets, group_id, false, &part));
    *ret_found = false;
    if (part == NULL)
        return 0;
    kj_lock_acquire(&offsets->lock);
    int err = kj_offset_follow(part);
    const struct kj_offset_owner *owner = kj_offset_map_owner(&part->map, group_id);
    if (err == 0 && owner != NULL) {
        *ret_found = true;
        *ret_group = say(owner, group_id);
    }
    kj_lock_release(&offsets->lock);
    return err;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct kj_offset_owner *const *)a)->id,
                  (*(const struct kj_offset_owner *const *)b)->id);
}

/* Every owner, of all partitions. OFFSETS lock held. */
static int list_owners(struct kj_offset_store *offsets, struct kj_offset_owner ***ret_owners,
                       size_t *ret_count)
{
    struct kj_offset_part *parts = atomic_load(&offsets->parts);
    void *list = NULL;
    size_t count = 0, capacity = 0;
    for (int32_t p = 0; p < offsets->part_count; p++) {
        struct kj_map_entry at;
        int err = kj_offset_follow(&parts[p]);
        for (size_t i = 0; err == 0 && kj_map_next(&parts[p].map.owners, &i, &at);) {
            err = kj_grow(&list, &capacity, count + 1, sizeof(void *));
            if (err == 0)
                ((struct kj_offset_owner **)list)[count++] = at.value;
        }
        if (err != 0) {
            kj_free(list);
            return err;
        }
    }
    *ret_owners = list;
    *ret_count = count;
    return 0;
}

int kj_offset_store_groups(struct kj_offset_store *offsets, kj_offset_group_callback *callback,
                           void *arg)
{
    struct kj_offset_owner **owners = NULL;
    size_t count = 0;
    bool found;
    KJ_TRY(kj_offset_parts(offsets, false, &found));
    if (!found)
        return 0;
    for (int32_t p = 0; p < offsets->part_count; p++)
        KJ_TRY(kj_offset_part_load(&atomic_load(&offsets->parts)[p]));
    kj_lock_acquire(&offsets->lock);
    int err = list_owners(offsets, &owners, &count);
    if (err == 0 && count > 1)
        qsort(owners, count, sizeof *owners, by_id);
    for (size_t i = 0; err == 0 && i < count; i++) {
        const struct kj_offset_group group = say(owners[i], owners[i]->id);
        err = callback(arg, &group);
    }
    kj_free(owners);
    kj_lock_release(&offsets->lock);
    return err;
}
