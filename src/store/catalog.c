/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/catalog.c - the catalog in memory. Its text is in catalog_text.c.
 */
#include "store/catalog.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "log/file_names.h"
#include "store/control.h"

#include <string.h>

/* --- properties --- */

static void free_text(const char *text)
{
    union {
        const char *shown;
        char *owned;
    } u = {.shown = text};
    kj_free(u.owned);
}

const char *kj_property_set_get(const struct kj_property_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return set->items[i].value;
    return NULL;
}

/* Sorted by name, so that the same properties give the same text. */
static size_t place_of(const struct kj_property_set *set, const char *name, bool *ret_found)
{
    size_t i = 0;
    int order = 1;
    while (i < set->count && (order = strcmp(set->items[i].name, name)) < 0)
        i++;
    *ret_found = i < set->count && order == 0;
    return i;
}

int kj_property_set_put(struct kj_property_set *set, const char *name, const char *value)
{
    bool found;
    size_t at = place_of(set, name, &found);
    char *copy = kj_strdup(value);
    if (copy == NULL)
        return kj_err_oom("a property");
    if (found) {
        free_text(set->items[at].value);
        set->items[at].value = copy;
        return 0;
    }
    char *name_copy = kj_strdup(name);
    void *items = set->items;
    int err = name_copy == NULL
                  ? kj_err_oom("a property")
                  : kj_grow(&items, &set->capacity, set->count + 1, sizeof *set->items);
    set->items = items;
    if (err != 0) {
        kj_free(name_copy);
        kj_free(copy);
        return err;
    }
    memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof *set->items);
    set->items[at] = (struct kj_property){name_copy, copy};
    set->count++;
    return 0;
}

void kj_property_set_remove(struct kj_property_set *set, const char *name)
{
    bool found;
    size_t at = place_of(set, name, &found);
    if (!found)
        return;
    free_text(set->items[at].name);
    free_text(set->items[at].value);
    set->count--;
    memmove(&set->items[at], &set->items[at + 1], (set->count - at) * sizeof *set->items);
}

int kj_property_set_copy(const struct kj_property_set *from, struct kj_property_set *to)
{
    for (size_t i = 0; i < from->count; i++)
        KJ_TRY(kj_property_set_put(to, from->items[i].name, from->items[i].value));
    return 0;
}

void kj_property_set_free(struct kj_property_set *set)
{
    kj_free_properties(set->items, set->count);
    *set = (struct kj_property_set){0};
}

void kj_free_properties(struct kj_property *properties, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free_text(properties[i].name);
        free_text(properties[i].value);
    }
    kj_free(properties);
}

/* --- topics --- */

static void topic_free(struct kj_catalog_topic *topic)
{
    if (topic == NULL)
        return;
    kj_property_set_free(&topic->properties);
    kj_free(topic->runs);
    kj_free(topic->name);
    kj_free(topic);
}

/* NULL: out of memory. */
static struct kj_catalog *catalog_alloc(void)
{
    struct kj_catalog *catalog = kj_alloc_zero(1, sizeof *catalog);
    if (catalog != NULL)
        kj_store_relaxed(&catalog->refs, 1);
    return catalog;
}

int kj_catalog_new(struct kj_catalog **ret_catalog)
{
    struct kj_catalog *catalog = catalog_alloc();
    if (catalog == NULL)
        return kj_err_oom("the catalog");
    *ret_catalog = catalog;
    return 0;
}

void kj_catalog_hold(struct kj_catalog *catalog)
{
    kj_fetch_add(&catalog->refs, 1);
}

void kj_catalog_release(struct kj_catalog *catalog)
{
    if (catalog == NULL || kj_fetch_add(&catalog->refs, UINT64_MAX) != 1)
        return;
    for (size_t i = 0; i < catalog->count; i++)
        topic_free(catalog->topics[i]);
    kj_free(catalog->topics);
    kj_property_set_free(&catalog->directory);
    kj_free(catalog);
}

/* Index of the first topic whose name is not below. */
static size_t lower_bound(const struct kj_catalog *catalog, const char *name)
{
    size_t low = 0, high = catalog->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(catalog->topics[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kj_catalog_topic *kj_catalog_find(const struct kj_catalog *catalog, const char *name)
{
    size_t at = lower_bound(catalog, name);
    return at < catalog->count && strcmp(catalog->topics[at]->name, name) == 0 ? catalog->topics[at]
                                                                               : NULL;
}

static bool same_metric_name(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++)
        if ((*a == '.' ? '_' : *a) != (*b == '.' ? '_' : *b))
            return false;
    return *a == *b;
}

struct kj_catalog_topic *kj_catalog_collision(const struct kj_catalog *catalog, const char *name)
{
    if (strpbrk(name, "._") == NULL)
        return kj_catalog_find(catalog, name);
    for (size_t i = 0; i < catalog->count; i++)
        if (same_metric_name(catalog->topics[i]->name, name))
            return catalog->topics[i];
    return NULL;
}

int kj_catalog_add(struct kj_catalog *catalog, const char *name, const uint8_t id[static 16],
                   struct kj_catalog_topic **ret_topic)
{
    size_t at = lower_bound(catalog, name);
    void *topics = catalog->topics;
    int err = kj_grow(&topics, &catalog->capacity, catalog->count + 1, sizeof *catalog->topics);
    catalog->topics = topics;
    KJ_TRY(err);
    struct kj_catalog_topic *topic = kj_alloc_zero(1, sizeof *topic);
    char *copy = kj_strdup(name);
    if (topic == NULL || copy == NULL) {
        kj_free(topic);
        kj_free(copy);
        return kj_err_oom("a topic");
    }
    topic->name = copy;
    memcpy(topic->id, id, sizeof topic->id);
    memmove(&catalog->topics[at + 1], &catalog->topics[at],
            (catalog->count - at) * sizeof *catalog->topics);
    catalog->topics[at] = topic;
    catalog->count++;
    *ret_topic = topic;
    return 0;
}

void kj_catalog_remove(struct kj_catalog *catalog, struct kj_catalog_topic *topic)
{
    size_t at = lower_bound(catalog, topic->name);
    KJ_ASSERT(at < catalog->count && catalog->topics[at] == topic);
    catalog->count--;
    memmove(&catalog->topics[at], &catalog->topics[at + 1],
            (catalog->count - at) * sizeof *catalog->topics);
    topic_free(topic);
}

static int add_run(struct kj_catalog_topic *topic, uint32_t first, uint32_t count)
{
    struct kj_slot_run *last = topic->run_count > 0 ? &topic->runs[topic->run_count - 1] : NULL;
    if (last != NULL && last->first + last->count == first) {
        last->count += count;
        return 0;
    }
    struct kj_slot_run *runs = kj_realloc(topic->runs, (topic->run_count + 1) * sizeof *runs);
    if (runs == NULL)
        return kj_err_oom("a topic");
    runs[topic->run_count++] = (struct kj_slot_run){first, count};
    topic->runs = runs;
    return 0;
}

int kj_catalog_grow(struct kj_catalog *catalog, struct kj_catalog_topic *topic, int32_t target)
{
    uint32_t more = (uint32_t)(target - topic->target);
    KJ_ASSERT(target >= topic->target);
    if (more > KJ_SLOTS_MAX - catalog->slots)
        return kj_err(KAJA_ERR_INVALID_PARTITIONS,
                      "topic %s: %u more partitions do not fit, a directory has at most %u",
                      topic->name, more, (unsigned)KJ_SLOTS_MAX);
    if (more > 0)
        KJ_TRY(add_run(topic, catalog->slots, more));
    catalog->slots += more;
    topic->target = target;
    return 0;
}

void kj_catalog_shrink(struct kj_catalog_topic *topic)
{
    uint32_t less = (uint32_t)(topic->target - topic->partitions);
    while (less > 0 && topic->run_count > 0) {
        struct kj_slot_run *last = &topic->runs[topic->run_count - 1];
        uint32_t cut = less < last->count ? less : last->count;
        last->count -= cut;
        less -= cut;
        if (last->count == 0)
            topic->run_count--;
    }
    topic->target = topic->partitions;
}

uint32_t kj_catalog_slot(const struct kj_catalog_topic *topic, int32_t partition)
{
    uint32_t left = (uint32_t)partition;
    for (size_t i = 0; i < topic->run_count; i++) {
        if (left < topic->runs[i].count)
            return topic->runs[i].first + left;
        left -= topic->runs[i].count;
    }
    return UINT32_MAX;
}

bool kj_catalog_pending(const struct kj_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        if (catalog->topics[i]->deleting ||
            catalog->topics[i]->target > catalog->topics[i]->partitions)
            return true;
    return false;
}

bool kj_catalog_renumber(struct kj_catalog *catalog)
{
    enum { WORTH_IT = 1024 };
    uint64_t used = 0;
    for (size_t i = 0; i < catalog->count; i++)
        used += (uint64_t)catalog->topics[i]->target;
    if (catalog->slots < WORTH_IT || used > catalog->slots / 2)
        return false;
    catalog->slots = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        struct kj_catalog_topic *topic = catalog->topics[i];
        if (topic->target == 0)
            continue;
        topic->runs[0] = (struct kj_slot_run){catalog->slots, (uint32_t)topic->target};
        topic->run_count = 1;
        catalog->slots += (uint32_t)topic->target;
    }
    return true;
}
