/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Power cuts: a new disk is made of what the old one would show after the cut.
 */
#include "sim/sim_disk.h"

#include <stdlib.h>
#include <string.h>

struct cut {
    enum kj_sim_crash_mode how;
    uint64_t random;
    uint64_t moment;   /* PREFIX: the first change that is not whole */
    unsigned keep_pct; /* RANDOM: pieces kept, of 100 */
};

static bool chance(struct cut *cut, unsigned percent)
{
    return sim_random(&cut->random) % 100 < percent;
}

/* --- bytes --- */

/* A prefix, a suffix or a middle of [from, to) arrives. */
static void write_torn(struct cut *cut, struct sim_node *to_node, const struct sim_change *change,
                       size_t from, size_t to)
{
    size_t a = from + sim_random(&cut->random) % (to - from + 1);
    size_t b = from + sim_random(&cut->random) % (to - from + 1);
    switch (sim_random(&cut->random) % 3) {
    case 0:
        sim_synced_write(to_node, change, from, a);
        break;
    case 1:
        sim_synced_write(to_node, change, a, to);
        break;
    default:
        sim_synced_write(to_node, change, a < b ? a : b, a < b ? b : a);
    }
}

/* The pieces are those of the disk: sectors at multiples of 512 in the file. */
static void write_pieces(struct cut *cut, struct sim_node *to_node, const struct sim_change *change)
{
    size_t from = 0;
    while (from < change->len) {
        size_t in_sector = (size_t)((change->pos + (int64_t)from) % SIM_SECTOR);
        size_t to = from + SIM_SECTOR - in_sector;
        if (to > change->len)
            to = change->len;
        if (chance(cut, cut->keep_pct))
            sim_synced_write(to_node, change, from, to);
        else if (chance(cut, 5))
            write_torn(cut, to_node, change, from, to);
        from = to;
    }
}

/* Any size since the last sync, by itself: before the first change, or after one. */
static int64_t random_size(struct cut *cut, const struct sim_node *node, size_t *ret_applied)
{
    size_t applied = sim_random(&cut->random) % (node->change_count + 1);
    *ret_applied = applied;
    return applied == 0 ? node->synced_size : node->changes[applied - 1].size_after;
}

static void cut_random(struct cut *cut, const struct sim_node *node, struct sim_node *to_node)
{
    size_t applied;
    int64_t size = random_size(cut, node, &applied);
    for (size_t i = 0; i < node->change_count; i++) {
        const struct sim_change *change = &node->changes[i];
        write_pieces(cut, to_node, change);
        /* A cut that is part of the size's history took the bytes behind it along. */
        if (i < applied && change->size_after < to_node->synced_size)
            sim_synced_size(to_node, change->size_after);
    }
    sim_synced_size(to_node, size);
}

static void cut_in_order(struct cut *cut, const struct sim_node *node, struct sim_node *to_node)
{
    for (size_t i = 0; i < node->change_count; i++) {
        const struct sim_change *change = &node->changes[i];
        bool last = i + 1 == node->change_count;
        if (cut->how == KJ_SIM_CRASH_PREFIX && change->seq > cut->moment)
            return;
        if ((cut->how == KJ_SIM_CRASH_PREFIX && change->seq == cut->moment && change->len > 0) ||
            (cut->how == KJ_SIM_CRASH_TORN && last && change->len > 0))
            write_torn(cut, to_node, change, 0, change->len);
        else if (cut->how != KJ_SIM_CRASH_SIZES)
            sim_synced_write(to_node, change, 0, change->len);
        sim_synced_size(to_node, change->size_after);
    }
}

static void cut_file(struct cut *cut, const struct sim_node *node, struct sim_node *to_node)
{
    sim_synced_size(to_node, node->synced_size);
    if (node->synced_size > 0)
        memcpy(to_node->synced, node->synced, (size_t)node->synced_size);
    if (cut->how == KJ_SIM_CRASH_RANDOM)
        cut_random(cut, node, to_node);
    else if (cut->how != KJ_SIM_CRASH_DROP)
        cut_in_order(cut, node, to_node);
    to_node->size = to_node->synced_size;
    to_node->mtime_ms = node->mtime_ms;
    if (to_node->size > 0)
        memcpy(to_node->bytes, to_node->synced, (size_t)to_node->size);
    to_node->sim->used_bytes += (to_node->size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
}

/* --- names --- */

/* How many of the changes that wait are kept: the beginning. */
static size_t renames_kept(struct cut *cut, const struct kj_sim *sim)
{
    size_t kept = 0;
    switch (cut->how) {
    case KJ_SIM_CRASH_KEEP:
    case KJ_SIM_CRASH_TORN:
        return sim->rename_count;
    case KJ_SIM_CRASH_PREFIX:
        while (kept < sim->rename_count && sim->renames[kept].seq <= cut->moment)
            kept++;
        return kept;
    case KJ_SIM_CRASH_RANDOM:
    case KJ_SIM_CRASH_SIZES:
        return sim_random(&cut->random) % (sim->rename_count + 1);
    case KJ_SIM_CRASH_DROP:
    case KJ_SIM_CRASH_MODES:
        break;
    }
    return 0;
}

static void copy_dir(struct cut *cut, const struct sim_node *from, struct sim_node *to)
{
    for (size_t i = 0; i < from->cut_names.count; i++) {
        const struct sim_entry *entry = &from->cut_names.items[i];
        struct sim_node *node = sim_node_new(to->sim, entry->node->dir);
        if (node->dir)
            copy_dir(cut, entry->node, node);
        else
            cut_file(cut, entry->node, node);
        node->ino = entry->node->ino;
        sim_entries_set(&to->names, entry->name, node);
        sim_entries_set(&to->synced_names, entry->name, node);
        sim_node_release(node);
    }
}

/* Fills an empty disk with what is left of the other. */
static void cut_into(struct kj_sim *sim, struct kj_sim *to, uint64_t seed,
                     enum kj_sim_crash_mode how)
{
    struct cut cut = {.how = how, .random = seed * 2 + 1};
    cut.moment = sim_random(&cut.random) % (sim->seq + 2);
    static const unsigned keep[] = {5, 50, 80, 95};
    cut.keep_pct = keep[sim_random(&cut.random) % 4];
    to->file_bytes = sim->file_bytes;
    to->disk_bytes = sim->disk_bytes;
    to->clock = sim->clock;

    for (struct sim_node *node = sim->nodes; node != NULL; node = node->next)
        sim_entries_copy(&node->cut_names, &node->synced_names);
    size_t kept = renames_kept(&cut, sim);
    for (size_t i = 0; i < kept; i++)
        for (size_t p = 0; p < sim->renames[i].count; p++)
            sim_entries_set(&sim->renames[i].part[p].dir->cut_names, sim->renames[i].part[p].name,
                            sim->renames[i].part[p].node);
    copy_dir(&cut, sim->root, to->root);
    for (struct sim_node *node = sim->nodes; node != NULL; node = node->next)
        sim_entries_clear(&node->cut_names);
    to->next_ino = sim->next_ino;
}

struct kj_sim *kj_sim_crash_copy(struct kj_sim *sim, uint64_t seed, enum kj_sim_crash_mode cut)
{
    struct kj_sim *copy = kj_sim_new(seed);
    pthread_mutex_lock(&sim->mutex);
    cut_into(sim, copy, seed, cut);
    pthread_mutex_unlock(&sim->mutex);
    return copy;
}

void kj_sim_crash(struct kj_sim *sim, uint64_t seed, enum kj_sim_crash_mode cut)
{
    struct kj_sim *left = kj_sim_crash_copy(sim, seed, cut);
    pthread_mutex_lock(&sim->mutex);
    sim->power_cuts++;
    sim->fail_in = 0;
    sim->fail_now = false;
    sim_renames_clear(sim);
    /* The old tree goes, but for what dead processes still have open or mapped. */
    sim_entries_clear(&sim->root->names);
    sim_entries_clear(&sim->root->synced_names);
    sim_entries_copy(&sim->root->names, &left->root->names);
    sim_entries_copy(&sim->root->synced_names, &left->root->synced_names);
    struct sim_node *next;
    for (struct sim_node *node = left->nodes; node != NULL; node = next) {
        next = node->next;
        if (node == left->root)
            continue;
        if (node->prev != NULL)
            node->prev->next = next;
        else
            left->nodes = next;
        if (next != NULL)
            next->prev = node->prev;
        node->sim = sim;
        node->prev = NULL;
        node->next = sim->nodes;
        if (sim->nodes != NULL)
            sim->nodes->prev = node;
        sim->nodes = node;
    }
    sim->used_bytes += left->used_bytes;
    pthread_mutex_unlock(&sim->mutex);
    kj_sim_free(left);
}

void kj_sim_settle(struct kj_sim *sim)
{
    pthread_mutex_lock(&sim->mutex);
    for (struct sim_node *node = sim->nodes; node != NULL; node = node->next)
        if (!node->dir)
            sim_file_sync(node);
    sim_names_sync(sim, NULL);
    pthread_mutex_unlock(&sim->mutex);
}
