/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The table of operations of the simulated disk, and faults.
 */
#include "sim/sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sim_io {
    struct kj_io io;
    struct kj_sim *sim;
    unsigned power_cuts; /* of the disk, when this was opened */
};

struct sim_file {
    struct kj_file file;
    struct sim_node *node;
    bool direct;
};

void *sim_alloc(size_t bytes)
{
    void *p = calloc(1, bytes > 0 ? bytes : 1);
    if (p == NULL)
        abort();
    return p;
}

void sim_grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes)
{
    if (wanted <= *capacity)
        return;
    *capacity = wanted * 2 > 8 ? wanted * 2 : 8;
    *items = realloc(*items, *capacity * item_bytes);
    if (*items == NULL)
        abort();
}

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* --- faults --- */

static void count_op(struct kj_sim *sim, const char *op)
{
    for (size_t i = 0; i < sizeof sim->counts / sizeof sim->counts[0]; i++) {
        if (sim->counts[i].op == NULL)
            sim->counts[i].op = op;
        if (strcmp(sim->counts[i].op, op) == 0) {
            sim->counts[i].count++;
            return;
        }
    }
    abort();
}

static struct sim_io *sim_io(struct kj_io *io)
{
    return (struct sim_io *)(void *)io;
}

static struct sim_file *sim_file(struct kj_file *file)
{
    return (struct sim_file *)(void *)file;
}

/* Locks the disk; the errno that this operation is to fail with. */
static int enter(struct kj_io *io, const char *op)
{
    struct kj_sim *sim = sim_io(io)->sim;
    pthread_mutex_lock(&sim->mutex);
    if (sim_io(io)->power_cuts != sim->power_cuts)
        return EIO;
    count_op(sim, op);
    if (sim->fail_op != NULL && strcmp(sim->fail_op, op) != 0)
        return 0;
    if (sim->fail_in > 0 && --sim->fail_in == 0) {
        sim->fail_now = sim->fail_sticky;
        return sim->fail_errno;
    }
    return sim->fail_now ? sim->fail_errno : 0;
}

static int leave(struct kj_io *io, int err)
{
    pthread_mutex_unlock(&sim_io(io)->sim->mutex);
    return err;
}

static bool alive(struct kj_file *file)
{
    return sim_io(file->io)->power_cuts == sim_io(file->io)->sim->power_cuts;
}

/* --- files --- */

static int find_or_make(struct kj_sim *sim, const char *path, unsigned flags,
                        struct sim_node **ret_node)
{
    struct sim_node *dir;
    const char *leaf;
    int err = sim_find_parent(sim, path, &dir, &leaf);
    if (err != 0)
        return err;
    struct sim_node *node = sim_entries_get(&dir->names, leaf);
    if (node != NULL) {
        if ((flags & KJ_IO_CREATE) != 0 && (flags & KJ_IO_EXCLUSIVE) != 0)
            return EEXIST;
        if (node->dir)
            return EISDIR;
        sim_node_hold(node);
    } else {
        if ((flags & KJ_IO_CREATE) == 0)
            return ENOENT;
        node = sim_node_new(sim, false);
        sim_names_change(sim, dir, leaf, node, NULL, NULL, NULL);
    }
    *ret_node = node;
    return 0;
}

static int op_open(struct kj_io *io, const char *path, unsigned flags, struct kj_file **ret_file)
{
    int err = enter(io, "open");
    struct sim_node *node = NULL;
    if (err == 0)
        err = find_or_make(sim_io(io)->sim, path, flags, &node);
    if (err == 0) {
        struct sim_file *file = sim_alloc(sizeof *file);
        file->file = (struct kj_file){
            .io = io, .ino = node->ino, .fd = -1, .writable = (flags & KJ_IO_WRITE) != 0};
        file->node = node;
        file->direct = (flags & KJ_IO_DIRECT) != 0;
        *ret_file = &file->file;
    }
    return leave(io, err);
}

static void op_close(struct kj_file *file)
{
    struct kj_io *io = file->io;
    pthread_mutex_lock(&sim_io(io)->sim->mutex);
    sim_node_release(sim_file(file)->node);
    free(sim_file(file));
    leave(io, 0);
}

static bool aligned(const struct sim_file *file, const void *buf, size_t len, int64_t pos)
{
    return !file->direct ||
           ((uintptr_t)buf % SIM_PAGE == 0 && len % SIM_PAGE == 0 && pos % SIM_PAGE == 0);
}

/* A write that is to fail may get a part of its bytes down. */
static size_t failing_part(struct kj_sim *sim, const struct sim_file *file, size_t len)
{
    size_t part = sim_random(&sim->random) % 2 == 0 ? 0 : sim_random(&sim->random) % (len + 1);
    return file->direct ? part / SIM_PAGE * SIM_PAGE : part;
}

static int op_pwritev(struct kj_file *file, const struct iovec *iov, int count, int64_t pos)
{
    struct sim_file *sf = sim_file(file);
    int injected = enter(file->io, "pwrite");
    int err = 0;
    size_t left = SIZE_MAX;
    if (injected != 0 && alive(file)) {
        size_t total = 0;
        for (int i = 0; i < count; i++)
            total += iov[i].iov_len;
        left = failing_part(sf->node->sim, sf, total);
    } else if (injected != 0) {
        left = 0;
    }
    for (int i = 0; i < count && err == 0 && left > 0; i++) {
        size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (!aligned(sf, iov[i].iov_base, iov[i].iov_len, pos))
            err = EINVAL;
        else
            err = sim_file_write(sf->node, iov[i].iov_base, len, pos);
        pos += (int64_t)len;
        left -= len;
    }
    return leave(file->io, injected != 0 ? injected : err);
}

static int read_locked(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len)
{
    const struct sim_file *sf = sim_file(file);
    if (!aligned(sf, buf, len, pos))
        return EINVAL;
    *ret_len = sim_file_read(sf->node, buf, len, pos, sf->direct);
    return 0;
}

static int op_pread(struct kj_file *file, void *buf, size_t len, int64_t pos, size_t *ret_len)
{
    int err = enter(file->io, "pread");
    if (err == 0)
        err = read_locked(file, buf, len, pos, ret_len);
    return leave(file->io, err);
}

static void fill_stat(const struct sim_node *node, struct kj_io_stat *ret_stat)
{
    *ret_stat = (struct kj_io_stat){.type = node->dir ? KJ_IO_DIR : KJ_IO_FILE,
                                    .ino = node->ino,
                                    .size = node->size,
                                    .mtime_ms = node->mtime_ms,
                                    .allocated = (node->size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE};
}

/* Holes are whole pages of zeros. What a failed sync lost may show other bytes when read direct. */
static int op_next_data(struct kj_file *file, int64_t pos, int64_t *ret_pos)
{
    const struct sim_node *node = sim_file(file)->node;
    int err = enter(file->io, "next_data");
    if (err == 0) {
        int64_t at = pos;
        while (at < node->size && node->lost == NULL && node->bytes[at] == 0)
            at++;
        int64_t page = at / SIM_PAGE * SIM_PAGE;
        *ret_pos = at >= node->size ? INT64_MAX : page > pos ? page : pos;
    }
    return leave(file->io, err);
}

static int op_stat_file(struct kj_file *file, struct kj_io_stat *ret_stat)
{
    int err = enter(file->io, "stat_file");
    if (err == 0)
        fill_stat(sim_file(file)->node, ret_stat);
    return leave(file->io, err);
}

static int op_truncate(struct kj_file *file, int64_t size)
{
    int err = enter(file->io, "truncate");
    if (err == 0)
        err = sim_file_resize(sim_file(file)->node, size);
    return leave(file->io, err);
}

static int op_map(struct kj_file *file, size_t len, const uint8_t **ret_base)
{
    struct sim_node *node = sim_file(file)->node;
    int err = enter(file->io, "map");
    if (err == 0 && (len == 0 || len > (size_t)node->capacity))
        err = len == 0 ? EINVAL : ENOMEM;
    if (err == 0) {
        sim_node_hold(node);
        *ret_base = node->bytes;
    }
    return leave(file->io, err);
}

static void op_unmap(struct kj_io *io, const uint8_t *base, size_t len)
{
    (void)len;
    struct kj_sim *sim = sim_io(io)->sim;
    pthread_mutex_lock(&sim->mutex);
    struct sim_node *node = sim->nodes;
    while (node != NULL && node->bytes != base)
        node = node->next;
    if (node == NULL)
        abort();
    sim_node_release(node);
    leave(io, 0);
}

static int op_populate(struct kj_file *file, int64_t pos, size_t len)
{
    int err = enter(file->io, "populate");
    if (err == 0 && pos + (int64_t)len > sim_file(file)->node->size)
        err = EFAULT;
    return leave(file->io, err);
}

static int submit_one(struct kj_io *io, struct kj_io_req *req)
{
    struct sim_node *node = sim_file(req->file)->node;
    int64_t end = req->pos + (int64_t)req->len;
    int err = 0;
    switch (req->op) {
    case KJ_IO_OP_SYNC:
        err = enter(io, "sync");
        if (err == 0)
            sim_file_sync(node);
        else if (alive(req->file))
            sim_file_sync_failed(node);
        break;
    case KJ_IO_OP_ALLOCATE:
        err = enter(io, "allocate");
        if (err == 0 && !req->file->writable)
            err = EBADF;
        if (err == 0 && end > node->size)
            err = sim_file_resize(node, end);
        break;
    case KJ_IO_OP_READ:
        err = enter(io, "read");
        if (err == 0)
            err = read_locked(req->file, req->buf, req->len, req->pos, &req->ret_len);
        break;
    case KJ_IO_OP_READAHEAD:
        (void)enter(io, "readahead");
        break;
    case KJ_IO_OP_WRITEBACK:
        err = enter(io, "writeback");
        break;
    }
    return leave(io, err);
}

static int op_submit(struct kj_io *io, struct kj_io_req *reqs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        reqs[i].ret_errno = submit_one(io, &reqs[i]);
    return 0;
}

/* --- names --- */

static int op_stat(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat)
{
    struct sim_node *node;
    int err = enter(io, "stat");
    if (err == 0)
        err = sim_find(sim_io(io)->sim, path, &node);
    if (err == 0)
        fill_stat(node, ret_stat);
    return leave(io, err);
}

static int op_sync_dir(struct kj_io *io, const char *path)
{
    struct sim_node *node;
    int err = enter(io, "sync_dir");
    if (err == 0)
        err = sim_find(sim_io(io)->sim, path, &node);
    if (err == 0 && !node->dir)
        err = ENOTDIR;
    if (err == 0)
        sim_names_sync(sim_io(io)->sim, node);
    return leave(io, err);
}

static bool is_beneath(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static int rename_locked(struct kj_sim *sim, const char *from, const char *to)
{
    struct sim_node *dir, *dir2;
    const char *leaf, *leaf2;
    int err = sim_find_parent(sim, from, &dir, &leaf);
    if (err == 0)
        err = sim_find_parent(sim, to, &dir2, &leaf2);
    if (err != 0)
        return err;
    struct sim_node *node = sim_entries_get(&dir->names, leaf);
    struct sim_node *old = sim_entries_get(&dir2->names, leaf2);
    if (node == NULL)
        return ENOENT;
    if (node == old)
        return 0;
    if (node->dir && is_beneath(to, from))
        return EINVAL;
    if (old != NULL && old->dir != node->dir)
        return old->dir ? EISDIR : ENOTDIR;
    if (old != NULL && old->dir && old->names.count > 0)
        return ENOTEMPTY;
    sim_names_change(sim, dir, leaf, NULL, dir2, leaf2, node);
    return 0;
}

static int op_rename(struct kj_io *io, const char *from, const char *to)
{
    int err = enter(io, "rename");
    if (err == 0)
        err = rename_locked(sim_io(io)->sim, from, to);
    return leave(io, err);
}

static int remove_locked(struct kj_sim *sim, const char *path, bool dir_wanted)
{
    struct sim_node *dir;
    const char *leaf;
    int err = sim_find_parent(sim, path, &dir, &leaf);
    if (err != 0)
        return err;
    const struct sim_node *node = sim_entries_get(&dir->names, leaf);
    if (node == NULL)
        return ENOENT;
    if (node->dir != dir_wanted)
        return dir_wanted ? ENOTDIR : EISDIR;
    if (node->dir && node->names.count > 0)
        return ENOTEMPTY;
    sim_names_change(sim, dir, leaf, NULL, NULL, NULL, NULL);
    return 0;
}

static int op_unlink(struct kj_io *io, const char *path)
{
    int err = enter(io, "unlink");
    if (err == 0)
        err = remove_locked(sim_io(io)->sim, path, false);
    return leave(io, err);
}

static int op_rmdir(struct kj_io *io, const char *path)
{
    int err = enter(io, "rmdir");
    if (err == 0)
        err = remove_locked(sim_io(io)->sim, path, true);
    return leave(io, err);
}

static int op_mkdir(struct kj_io *io, const char *path)
{
    struct kj_sim *sim = sim_io(io)->sim;
    struct sim_node *dir;
    const char *leaf;
    int err = enter(io, "mkdir");
    if (err == 0)
        err = sim_find_parent(sim, path, &dir, &leaf);
    if (err == 0 && sim_entries_get(&dir->names, leaf) != NULL)
        err = EEXIST;
    if (err == 0) {
        struct sim_node *node = sim_node_new(sim, true);
        sim_names_change(sim, dir, leaf, node, NULL, NULL, NULL);
        sim_node_release(node);
    }
    return leave(io, err);
}

static int op_list(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg)
{
    struct sim_node *dir;
    int err = enter(io, "list");
    if (err == 0)
        err = sim_find(sim_io(io)->sim, path, &dir);
    if (err == 0 && !dir->dir)
        err = ENOTDIR;
    if (err != 0)
        return leave(io, err);
    struct sim_entries seen = {0}; /* the callback may change the directory */
    sim_entries_copy(&seen, &dir->names);
    leave(io, 0);
    for (size_t i = 0; i < seen.count && err == 0; i++)
        err = callback(arg, seen.items[i].name, seen.items[i].node->dir ? KJ_IO_DIR : KJ_IO_FILE);
    pthread_mutex_lock(&sim_io(io)->sim->mutex);
    sim_entries_clear(&seen);
    return leave(io, err);
}

static int op_fs(struct kj_io *io, struct kj_io_fs *ret_fs)
{
    const struct kj_sim *sim = sim_io(io)->sim;
    int err = enter(io, "fs");
    if (err == 0) {
        *ret_fs = (struct kj_io_fs){.read_only = io->read_only, .device = 4711, .name = "sim"};
        ret_fs->free_bytes = sim->disk_bytes > 0 ? sim->disk_bytes - sim->used_bytes : INT64_MAX;
    }
    return leave(io, err);
}

static void op_destroy(struct kj_io *io)
{
    free(sim_io(io));
}

static const struct kj_io_ops sim_ops = {.open = op_open,
                                         .close = op_close,
                                         .pwritev = op_pwritev,
                                         .pread = op_pread,
                                         .next_data = op_next_data,
                                         .stat_file = op_stat_file,
                                         .stat = op_stat,
                                         .truncate = op_truncate,
                                         .sync_dir = op_sync_dir,
                                         .rename = op_rename,
                                         .unlink = op_unlink,
                                         .mkdir = op_mkdir,
                                         .rmdir = op_rmdir,
                                         .list = op_list,
                                         .map = op_map,
                                         .unmap = op_unmap,
                                         .populate = op_populate,
                                         .submit = op_submit,
                                         .fs = op_fs,
                                         .destroy = op_destroy};

/* --- the disk itself --- */

struct kj_sim *kj_sim_new(uint64_t seed)
{
    struct kj_sim *sim = sim_alloc(sizeof *sim);
    pthread_mutex_init(&sim->mutex, NULL);
    sim->random = seed;
    sim->file_bytes = 64 << 20;
    sim->root = sim_node_new(sim, true);
    return sim;
}

void kj_sim_free(struct kj_sim *sim)
{
    sim_renames_clear(sim);
    sim_node_release(sim->root);
    if (sim->nodes != NULL)
        abort(); /* a file is open, or mapped */
    free(sim->renames);
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

struct kj_io *kj_sim_open(struct kj_sim *sim, bool read_only, kj_io_step *step, void *step_arg)
{
    struct sim_io *sio = sim_alloc(sizeof *sio);
    sio->io = (struct kj_io){.ops = &sim_ops,
                             .backend = "sim",
                             .step = step,
                             .step_arg = step_arg,
                             .root_fd = -1,
                             .read_only = read_only};
    sio->sim = sim;
    pthread_mutex_lock(&sim->mutex);
    sio->power_cuts = sim->power_cuts;
    pthread_mutex_unlock(&sim->mutex);
    return &sio->io;
}

void kj_sim_fail(struct kj_sim *sim, const char *op, uint64_t nth, int err, bool sticky)
{
    pthread_mutex_lock(&sim->mutex);
    sim->fail_op = op;
    sim->fail_in = nth;
    sim->fail_errno = err;
    sim->fail_sticky = sticky;
    sim->fail_now = false;
    pthread_mutex_unlock(&sim->mutex);
}

uint64_t kj_sim_count(struct kj_sim *sim, const char *op)
{
    uint64_t count = 0;
    pthread_mutex_lock(&sim->mutex);
    for (size_t i = 0; i < sizeof sim->counts / sizeof sim->counts[0]; i++)
        if (sim->counts[i].op != NULL && (op == NULL || strcmp(op, sim->counts[i].op) == 0))
            count += sim->counts[i].count;
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

void kj_sim_limit(struct kj_sim *sim, int64_t disk_bytes, int64_t file_bytes)
{
    pthread_mutex_lock(&sim->mutex);
    if (disk_bytes > 0)
        sim->disk_bytes = disk_bytes;
    if (file_bytes > 0)
        sim->file_bytes = file_bytes;
    pthread_mutex_unlock(&sim->mutex);
}

void kj_sim_clock(struct kj_sim *sim, const struct kj_clock *clock)
{
    sim->clock = clock;
}

bool kj_sim_rot(struct kj_sim *sim, const char *path, int64_t pos, const void *bytes, size_t len)
{
    struct sim_node *node;
    pthread_mutex_lock(&sim->mutex);
    bool there = sim_find(sim, path, &node) == 0 && !node->dir && pos >= 0 &&
                 (int64_t)len <= node->size && pos <= node->size - (int64_t)len;
    if (there) {
        memcpy(node->bytes + pos, bytes, len);
        for (size_t i = 0; i < len; i++)
            if (pos + (int64_t)i < node->synced_size)
                node->synced[pos + (int64_t)i] = ((const uint8_t *)bytes)[i];
    }
    pthread_mutex_unlock(&sim->mutex);
    return there;
}
