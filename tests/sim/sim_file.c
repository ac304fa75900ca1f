/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes of the simulated disk: what is seen, what is synced, and what lies between.
 */
#include "sim/sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int64_t round_up(int64_t bytes, int64_t to)
{
    return (bytes + to - 1) / to * to;
}

struct sim_node *sim_node_new(struct kj_sim *sim, bool dir)
{
    struct sim_node *node = sim_alloc(sizeof *node);
    node->sim = sim;
    node->dir = dir;
    node->ino = ++sim->next_ino;
    node->refs = 1;
    node->mtime_ms = sim->clock != NULL ? kj_wall_ms(sim->clock) : 0;
    if (!dir) {
        node->capacity = round_up(sim->file_bytes, SIM_PAGE);
        void *bytes = mmap(NULL, (size_t)node->capacity, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes == MAP_FAILED)
            abort();
        node->bytes = bytes;
    }
    node->next = sim->nodes;
    if (sim->nodes != NULL)
        sim->nodes->prev = node;
    sim->nodes = node;
    return node;
}

void sim_node_hold(struct sim_node *node)
{
    node->refs++;
}

static void node_free(struct sim_node *node)
{
    struct kj_sim *sim = node->sim;
    if (node->prev != NULL)
        node->prev->next = node->next;
    else
        sim->nodes = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
    sim->used_bytes -= round_up(node->size, SIM_PAGE);
    if (node->bytes != NULL)
        munmap(node->bytes, (size_t)node->capacity);
    sim_changes_clear(node);
    sim_entries_clear(&node->names);
    sim_entries_clear(&node->synced_names);
    sim_entries_clear(&node->cut_names);
    free(node->changes);
    free(node->synced);
    free(node->lost);
    free(node);
}

void sim_node_release(struct sim_node *node)
{
    if (--node->refs == 0)
        node_free(node);
}

/* --- what everybody sees --- */

static void note_change(struct sim_node *node, int64_t pos, size_t len)
{
    sim_grow((void **)&node->changes, &node->change_capacity, node->change_count + 1,
             sizeof node->changes[0]);
    struct sim_change *change = &node->changes[node->change_count++];
    *change = (struct sim_change){
        .seq = ++node->sim->seq, .pos = pos, .len = len, .size_after = node->size};
    if (len > 0) {
        change->data = sim_alloc(len);
        memcpy(change->data, node->bytes + pos, len);
    }
    if (node->sim->clock != NULL)
        node->mtime_ms = kj_wall_ms(node->sim->clock);
}

void sim_changes_clear(struct sim_node *node)
{
    for (size_t i = 0; i < node->change_count; i++)
        free(node->changes[i].data);
    node->change_count = 0;
}

/* How far the file may reach now: at most to end. */
static int64_t room_for(const struct sim_node *node, int64_t end, int *ret_err)
{
    const struct kj_sim *sim = node->sim;
    *ret_err = 0;
    if (end > node->capacity) {
        *ret_err = EFBIG;
        end = node->capacity;
    }
    int64_t have = round_up(node->size, SIM_PAGE);
    if (sim->disk_bytes > 0 && end > have) {
        int64_t room = have + (sim->disk_bytes - sim->used_bytes) / SIM_PAGE * SIM_PAGE;
        if (end > room) {
            *ret_err = ENOSPC;
            end = room > node->size ? room : node->size;
        }
    }
    return end;
}

static void set_size(struct sim_node *node, int64_t size)
{
    node->sim->used_bytes += round_up(size, SIM_PAGE) - round_up(node->size, SIM_PAGE);
    if (size < node->size)
        memset(node->bytes + size, 0, (size_t)(node->size - size));
    node->size = size;
}

/* The kernel writes whole pages: a write beside lost sectors takes them along after all. */
static void rescue(struct sim_node *node, int64_t *pos, size_t *len)
{
    if (node->lost == NULL)
        return;
    int64_t begin = *pos / SIM_PAGE * SIM_PAGE;
    int64_t end = round_up(*pos + (int64_t)*len, SIM_PAGE);
    bool any = false;
    for (int64_t at = begin; at < end && at < node->capacity; at += SIM_SECTOR) {
        any = any || node->lost[at / SIM_SECTOR] != 0;
        node->lost[at / SIM_SECTOR] = 0;
    }
    if (!any)
        return;
    *pos = begin;
    *len = (size_t)((end < node->size ? end : node->size) - begin);
}

int sim_file_write(struct sim_node *node, const uint8_t *from, size_t len, int64_t pos)
{
    int64_t end;
    if (len == 0)
        return 0;
    if (__builtin_add_overflow(pos, len, &end))
        return EFBIG;
    int err = 0;
    if (end > node->size) {
        end = room_for(node, end, &err);
        if (end <= pos)
            return err;
        len = (size_t)(end - pos);
        if (end > node->size)
            set_size(node, end);
    }
    memcpy(node->bytes + pos, from, len);
    rescue(node, &pos, &len);
    note_change(node, pos, len);
    return err;
}

int sim_file_resize(struct sim_node *node, int64_t size)
{
    int err;
    if (size > node->size && room_for(node, size, &err) < size)
        return err;
    if (size == node->size)
        return 0;
    set_size(node, size);
    note_change(node, size, 0);
    return 0;
}

size_t sim_file_read(const struct sim_node *node, uint8_t *to, size_t len, int64_t pos, bool direct)
{
    if (pos >= node->size)
        return 0;
    if ((int64_t)len > node->size - pos)
        len = (size_t)(node->size - pos);
    memcpy(to, node->bytes + pos, len);
    for (size_t i = 0; direct && node->lost != NULL && i < len; i++) {
        int64_t at = pos + (int64_t)i;
        if (node->lost[at / SIM_SECTOR] != 0)
            to[i] = at < node->synced_size ? node->synced[at] : 0;
    }
    return len;
}

/* --- what is on the disk --- */

static void synced_reserve(struct sim_node *node, int64_t size)
{
    if (size <= node->synced_capacity)
        return;
    int64_t capacity = round_up(size + size / 2, SIM_PAGE);
    uint8_t *more = realloc(node->synced, (size_t)capacity);
    if (more == NULL)
        abort();
    memset(more + node->synced_capacity, 0, (size_t)(capacity - node->synced_capacity));
    node->synced = more;
    node->synced_capacity = capacity;
}

void sim_synced_size(struct sim_node *node, int64_t size)
{
    synced_reserve(node, size);
    /* Behind the size there are zeros always, so that growing shows zeros. */
    if (size < node->synced_size)
        memset(node->synced + size, 0, (size_t)(node->synced_size - size));
    node->synced_size = size;
}

void sim_synced_write(struct sim_node *node, const struct sim_change *change, size_t from,
                      size_t to)
{
    if (from >= to)
        return;
    int64_t end = change->pos + (int64_t)to;
    if (end > node->synced_size)
        sim_synced_size(node, end);
    memcpy(node->synced + change->pos + from, change->data + from, to - from);
}

void sim_file_sync(struct sim_node *node)
{
    for (size_t i = 0; i < node->change_count; i++) {
        const struct sim_change *change = &node->changes[i];
        sim_synced_write(node, change, 0, change->len);
        sim_synced_size(node, change->size_after);
    }
    sim_changes_clear(node);
}

/* The kernel gave each dirty page one chance: it is on the disk now, or marked clean for ever. */
void sim_file_sync_failed(struct sim_node *node)
{
    if (node->change_count == 0)
        return;
    if (node->lost == NULL)
        node->lost = sim_alloc((size_t)(node->capacity / SIM_SECTOR));
    uint8_t *done = sim_alloc((size_t)(node->capacity / SIM_SECTOR));
    for (size_t i = 0; i < node->change_count; i++) {
        const struct sim_change *change = &node->changes[i];
        int64_t first = change->pos / SIM_SECTOR;
        int64_t last = (change->pos + (int64_t)change->len + SIM_SECTOR - 1) / SIM_SECTOR;
        for (int64_t sector = first; change->len > 0 && sector < last; sector++) {
            int64_t at = sector * SIM_SECTOR;
            if (done[sector] != 0 || at >= node->size)
                continue;
            done[sector] = 1;
            node->lost[sector] = sim_random(&node->sim->random) % 2 == 0;
            int64_t end = at + SIM_SECTOR < node->size ? at + SIM_SECTOR : node->size;
            if (node->lost[sector] != 0)
                continue;
            if (end > node->synced_size)
                sim_synced_size(node, end);
            memcpy(node->synced + at, node->bytes + at, (size_t)(end - at));
        }
    }
    free(done);
    sim_changes_clear(node);
    if (node->synced_size != node->size)
        note_change(node, node->size, 0); /* the inode is still dirty */
}
