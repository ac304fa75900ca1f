/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Names of the simulated disk: as everybody sees them, as last synced, and the changes between.
 */
#include "sim/sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct sim_entry *entry_find(const struct sim_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    return NULL;
}

struct sim_node *sim_entries_get(const struct sim_entries *entries, const char *name)
{
    const struct sim_entry *entry = entry_find(entries, name);
    return entry != NULL ? entry->node : NULL;
}

static char *copy_name(const char *name)
{
    char *copy = sim_alloc(strlen(name) + 1);
    strcpy(copy, name);
    return copy;
}

void sim_entries_set(struct sim_entries *entries, const char *name, struct sim_node *node)
{
    struct sim_entry *entry = entry_find(entries, name);
    if (node != NULL)
        sim_node_hold(node);
    if (entry == NULL && node == NULL)
        return;
    if (entry == NULL) {
        sim_grow((void **)&entries->items, &entries->capacity, entries->count + 1,
                 sizeof entries->items[0]);
        entries->items[entries->count++] = (struct sim_entry){copy_name(name), node};
        return;
    }
    struct sim_node *old = entry->node;
    if (node != NULL) {
        entry->node = node;
    } else {
        free(entry->name);
        *entry = entries->items[--entries->count];
    }
    sim_node_release(old);
}

void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from)
{
    for (size_t i = 0; i < from->count; i++)
        sim_entries_set(to, from->items[i].name, from->items[i].node);
}

void sim_entries_clear(struct sim_entries *entries)
{
    struct sim_entries old = *entries;
    *entries = (struct sim_entries){0};
    for (size_t i = 0; i < old.count; i++) {
        free(old.items[i].name);
        sim_node_release(old.items[i].node);
    }
    free(old.items);
}

/* --- paths --- */

int sim_find_parent(struct kj_sim *sim, const char *path, struct sim_node **ret_dir,
                    const char **ret_leaf)
{
    struct sim_node *dir = sim->root;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        char name[256];
        size_t len = (size_t)(slash - path);
        memcpy(name, path, len); /* kj_io checked: at most 255 */
        name[len] = '\0';
        dir = sim_entries_get(&dir->names, name);
        if (dir == NULL)
            return ENOENT;
        if (!dir->dir)
            return ENOTDIR;
        path = slash + 1;
    }
    *ret_dir = dir;
    *ret_leaf = path;
    return 0;
}

int sim_find(struct kj_sim *sim, const char *path, struct sim_node **ret_node)
{
    struct sim_node *dir;
    const char *leaf;
    int err = sim_find_parent(sim, path, &dir, &leaf);
    if (err != 0)
        return err;
    struct sim_node *node = leaf[0] == '\0' ? dir : sim_entries_get(&dir->names, leaf);
    if (node == NULL)
        return ENOENT;
    *ret_node = node;
    return 0;
}

/* --- changes --- */

static void add_part(struct sim_rename *rename, struct sim_node *dir, const char *name,
                     struct sim_node *node)
{
    sim_node_hold(dir);
    if (node != NULL)
        sim_node_hold(node);
    rename->part[rename->count].dir = dir;
    rename->part[rename->count].name = copy_name(name);
    rename->part[rename->count].node = node;
    rename->count++;
}

static void rename_clear(struct sim_rename *rename)
{
    for (size_t i = 0; i < rename->count; i++) {
        free(rename->part[i].name);
        if (rename->part[i].node != NULL)
            sim_node_release(rename->part[i].node);
        sim_node_release(rename->part[i].dir);
    }
}

void sim_renames_clear(struct kj_sim *sim)
{
    for (size_t i = 0; i < sim->rename_count; i++)
        rename_clear(&sim->renames[i]);
    sim->rename_count = 0;
}

void sim_names_change(struct kj_sim *sim, struct sim_node *dir, const char *name,
                      struct sim_node *node, struct sim_node *dir2, const char *name2,
                      struct sim_node *node2)
{
    sim_grow((void **)&sim->renames, &sim->rename_capacity, sim->rename_count + 1,
             sizeof sim->renames[0]);
    struct sim_rename *rename = &sim->renames[sim->rename_count++];
    *rename = (struct sim_rename){.seq = ++sim->seq};
    add_part(rename, dir, name, node);
    if (dir2 != NULL)
        add_part(rename, dir2, name2, node2);
    for (size_t i = 0; i < rename->count; i++)
        sim_entries_set(&rename->part[i].dir->names, rename->part[i].name, rename->part[i].node);
}

/* Both touch the same name, or the same file: one cannot be on the disk without the other before
 * it. */
static bool related(const struct sim_rename *a, const struct sim_rename *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if ((a->part[i].dir == b->part[j].dir &&
                 strcmp(a->part[i].name, b->part[j].name) == 0) ||
                (a->part[i].node != NULL && a->part[i].node == b->part[j].node))
                return true;
    return false;
}

static bool touches(const struct sim_rename *rename, const struct sim_node *dir)
{
    return rename->part[0].dir == dir || (rename->count == 2 && rename->part[1].dir == dir);
}

void sim_names_sync(struct kj_sim *sim, struct sim_node *dir)
{
    size_t count = sim->rename_count;
    bool *chosen = sim_alloc(count + 1);
    for (size_t i = count; i-- > 0;) {
        chosen[i] = dir == NULL || touches(&sim->renames[i], dir);
        for (size_t later = i + 1; later < count && !chosen[i]; later++)
            chosen[i] = chosen[later] && related(&sim->renames[i], &sim->renames[later]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct sim_rename rename = sim->renames[i];
        if (!chosen[i]) {
            sim->renames[kept++] = rename;
            continue;
        }
        for (size_t p = 0; p < rename.count; p++)
            sim_entries_set(&rename.part[p].dir->synced_names, rename.part[p].name,
                            rename.part[p].node);
        rename_clear(&rename);
    }
    sim->rename_count = kept;
    free(chosen);
}
