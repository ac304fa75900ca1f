/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/admin_configs.c - kaja/admin.h: the properties of topics and of the directory.
 */
#include "api/conf_bag.h"
#include "api/conf_row.h"
#include "api/handles.h"
#include "api/text_pool.h"

#include "base/alloc.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* A kaja_config_list with what it owns. */
struct configs {
    struct kaja_config_list list;
    struct kaja_config_entry *entries;
    size_t capacity;
    struct kj_text_pool pool;
};

void kaja_config_list_free(struct kaja_config_list *list)
{
    if (list == NULL)
        return;
    struct configs *configs = (struct configs *)list;
    kj_text_pool_free(&configs->pool);
    kj_free(configs->entries);
    kj_free(configs);
}

/* Shown: what is in force, what a topic keeps for a broker, and whatever else the catalog holds. */
static bool shown(const struct kj_conf_row *row, const struct kj_conf_effective *effective)
{
    if (effective->value == NULL)
        return false;
    if (effective->topic_value != NULL || effective->store_value != NULL || row->info.effect == 1)
        return true;
    return row->info.effect == 0 && (row->scopes & KJ_SCOPE_TOPIC) != 0;
}

static int add_entry(struct configs *configs, const struct kj_conf_row *row,
                     const struct kj_conf_effective *effective)
{
    void *grown = configs->entries;
    KJ_TRY(kj_grow(&grown, &configs->capacity, configs->list.count + 1, sizeof *configs->entries));
    configs->entries = grown;
    configs->list.entries = configs->entries;
    struct kaja_config_entry entry = {
        .name = row->info.name,
        .source = effective->source,
        .broker_name = (row->scopes & KJ_SCOPE_TOPIC) != 0 ? row->info.broker_name : row->info.name,
    };
    KJ_TRY(kj_text_pool_add(&configs->pool, effective->value, &entry.value));
    KJ_TRY(kj_text_pool_add(&configs->pool, effective->topic_value, &entry.topic_value));
    KJ_TRY(kj_text_pool_add(&configs->pool, effective->store_value, &entry.store_value));
    KJ_TRY(kj_text_pool_add(&configs->pool, effective->default_value, &entry.default_value));
    configs->entries[configs->list.count++] = entry;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct kaja_config_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int fill(struct configs *configs, unsigned scope, struct kj_property_list topic,
                struct kj_property_list directory)
{
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        struct kj_conf_effective effective;
        if ((row->scopes & scope) == 0)
            continue;
        KJ_TRY(kj_conf_effective(row, topic, directory, &effective));
        if (shown(row, &effective))
            KJ_TRY(add_entry(configs, row, &effective));
    }
    if (configs->list.count > 1)
        qsort(configs->entries, configs->list.count, sizeof *configs->entries, by_name);
    return 0;
}

int kaja_admin_configs(struct kaja_store *store, const char *topic,
                       struct kaja_config_list **ret_list)
{
    KJ_TRY(kj_handle_store(store));
    if (ret_list == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_admin_configs: ret_list is NULL");
    struct kj_property *own = NULL, *directory = NULL;
    size_t own_count = 0, directory_count = 0;
    struct configs *configs = kj_alloc_zero(1, sizeof *configs);
    int err = configs == NULL ? kj_err_oom("a list of properties") : 0;
    if (err == 0)
        err = kj_topic_properties(store->store, NULL, &directory, &directory_count);
    if (err == 0 && topic != NULL)
        err = kj_topic_properties(store->store, topic, &own, &own_count);
    if (err == 0)
        err = fill(configs, topic != NULL ? KJ_SCOPE_TOPIC : KJ_SCOPE_DIRECTORY,
                   (struct kj_property_list){own, own_count},
                   (struct kj_property_list){directory, directory_count});
    kj_free_properties(own, own_count);
    kj_free_properties(directory, directory_count);
    if (err != 0) {
        kaja_config_list_free(configs == NULL ? NULL : &configs->list);
        return err;
    }
    *ret_list = &configs->list;
    return 0;
}

/* --- changing --- */

/* The directory's own name of a property: a topic's name stands for its synonym. */
static const char *name_in(const char *name, enum kj_scope scope)
{
    if (kj_conf_row_find(name, scope) != NULL)
        return name;
    const struct kj_conf_row *topic = kj_conf_row_find(name, KJ_SCOPE_TOPIC);
    return scope == KJ_SCOPE_DIRECTORY && topic != NULL ? topic->info.broker_name : NULL;
}

static int check_removals(enum kj_scope scope, const char *const *names, size_t count,
                          const char ***ret_names)
{
    const char **checked = kj_alloc_zero(count + 1, sizeof *checked);
    if (checked == NULL)
        return kj_err_oom("a list of names");
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i];
        checked[i] = name == NULL ? NULL : name_in(name, scope);
        if (checked[i] != NULL)
            continue;
        kj_free(checked);
        if (name == NULL)
            return kj_err(KAJA_ERR_INVALID_ARG, "a name to remove is NULL");
        if (kj_conf_row_find(name, KJ_SCOPE_ANY) == NULL)
            return kj_conf_unknown(name);
        return kj_err(KAJA_ERR_INVALID_CONFIG, "%s is no property of a %s", name,
                      scope == KJ_SCOPE_TOPIC ? "topic" : "directory");
    }
    *ret_names = checked;
    return 0;
}

/* A bag that sets something, but nothing for this scope, is a mistake of the caller. */
static int check_concerns(const struct kaja_conf *set, enum kj_scope scope, size_t count)
{
    if (set == NULL || count > 0)
        return 0;
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++)
        if (kj_conf_set_value(set, row->info.name) != NULL &&
            name_in(row->info.name, scope) == NULL)
            return kj_err(KAJA_ERR_INVALID_CONFIG, "%s is no property of a %s", row->info.name,
                          scope == KJ_SCOPE_TOPIC ? "topic" : "directory");
    return 0;
}

int kaja_admin_alter_configs(struct kaja_store *store, const char *topic,
                             const struct kaja_conf *set,
                             const char *const *remove, size_t remove_count)
{
    KJ_TRY(kj_handle_store(store));
    KJ_TRY(kj_conf_check(set));
    if (remove == NULL && remove_count > 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "remove is NULL");
    enum kj_scope scope = topic != NULL ? KJ_SCOPE_TOPIC : KJ_SCOPE_DIRECTORY;
    struct kj_property *properties;
    size_t count;
    KJ_TRY(kj_conf_properties(set, scope, true, &properties, &count));
    const char **names = NULL;
    int err = check_concerns(set, scope, count);
    if (err == 0)
        err = check_removals(scope, remove, remove_count, &names);
    if (err == 0)
        err = kj_topic_alter(store->store, topic, properties, count, names, remove_count);
    kj_free(names);
    kj_free(properties);
    return err;
}
