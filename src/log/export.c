/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/export.h"

#include "log/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void path_of(char path[static KJ_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(path, KJ_PATH_MAX, "%s/%.63s", dir, name);
    KJ_ASSERT(n > 0 && n < KJ_PATH_MAX);
}

/* --- listing --- */

struct part {
    enum kj_file_kind kind;
    int64_t offset;
};

struct parts {
    struct part *items;
    size_t count, capacity;
    int err;
};

/* Segments with their indexes: what is finished and Kafka's. */
static int note_part(void *arg, const char *name, enum kj_io_type type)
{
    struct parts *parts = arg;
    struct part part;
    enum kj_file_suffix suffix;
    kj_file_name_parse(name, &part.kind, &suffix, &part.offset);
    if (type != KJ_IO_FILE || suffix != KJ_SUFFIX_NONE || part.kind > KJ_FILE_TXNINDEX)
        return 0;
    void *items = parts->items;
    parts->err = kj_grow(&items, &parts->capacity, parts->count + 1, sizeof *parts->items);
    parts->items = items;
    if (parts->err != 0)
        return -1;
    parts->items[parts->count++] = part;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

/* Sorted by offset, a segment's .log first; kj_free(items). */
static int list_parts(struct kj_io *io, const char *dir, struct parts *ret_parts)
{
    struct parts parts = {0};
    int os = kj_io_list(io, dir, note_part, &parts);
    int err = parts.err != 0 ? parts.err : os > 0 ? kj_err_os(os, "listing %s", dir) : 0;
    if (err != 0) {
        kj_free(parts.items);
        return err;
    }
    if (parts.count > 1)
        qsort(parts.items, parts.count, sizeof *parts.items, by_offset);
    *ret_parts = parts;
    return 0;
}

/* --- looking at a target --- */

struct looking {
    struct kj_io *io;
    const char *dir;
    int64_t start;
    enum kj_export_look look;
    char *name;
    int os;
};

static int look_at(void *arg, const char *name, enum kj_io_type type)
{
    struct looking *looking = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    /* What was set aside as damaged is worth more than its name says. */
    if (type != KJ_IO_FILE || !kj_file_name_known(name) || kind == KJ_FILE_DAMAGED) {
        looking->look = KJ_EXPORT_FOREIGN;
        (void)snprintf(looking->name, KJ_DIR_NAME_MAX + 1, "%s", name);
        return -1;
    }
    if (kind != KJ_FILE_LOG || suffix == KJ_SUFFIX_DELETED)
        return 0;
    path_of(path, looking->dir, name);
    looking->os = kj_io_stat(looking->io, path, &stat);
    if (looking->os != 0)
        return -1;
    if (stat.size > 0 || (offset > 0 && offset != looking->start))
        looking->look = KJ_EXPORT_RECORDS;
    return 0;
}

int kj_export_look(struct kj_io *io, const char *dir, int64_t start,
                   enum kj_export_look *ret_look, char ret_name[static KJ_DIR_NAME_MAX + 1])
{
    struct looking looking = {
        .io = io, .dir = dir, .start = start, .look = KJ_EXPORT_EMPTY, .name = ret_name};
    int os = kj_io_list(io, dir, look_at, &looking);
    if (looking.os != 0)
        os = looking.os;
    if (os > 0)
        return kj_err_os(os, "looking into %s", dir);
    *ret_look = looking.look;
    return 0;
}

/* --- copying --- */

struct copying {
    struct kj_io *from, *to;
    const char *from_dir, *dir;
    int64_t end;
    int32_t newest;          /* epoch that the target knows */
    struct kj_epochs epochs; /* of the copy */
    struct kj_export_counts counts;
};

/* Sets epochs down where they are too new, and notes where each begins. */
static int adjust_epochs(struct copying *copying, struct kj_file *file, const char *path,
                         int64_t bytes)
{
    struct kj_scan scan;
    struct kj_batch batch;
    enum kj_scan_result look;
    bool changed;
    int os = 0;
    KJ_TRY(kj_scan_init(&scan, file, 0, bytes, false));
    int err = 0;
    while (err == 0 && os == 0 && (look = kj_scan_look(&scan, &batch)) == KJ_SCAN_BATCH) {
        if (batch.epoch > copying->newest) {
            uint8_t epoch[4];
            kj_put_be32(epoch, (uint32_t)copying->newest);
            os = kj_io_pwrite(file, epoch, sizeof epoch, scan.pos + KJ_BATCH_EPOCH_AT);
            batch.epoch = copying->newest;
        }
        err = kj_epochs_note(&copying->epochs, batch.epoch, batch.base_offset, &changed);
        kj_scan_skip(&scan, &batch);
    }
    kj_scan_free(&scan);
    KJ_TRY(err);
    if (os == 0 && look == KJ_SCAN_ERROR)
        os = scan.os_errno;
    if (os != 0)
        return kj_err_os(os, "setting the epochs of %s", path);
    return look == KJ_SCAN_END
               ? 0
               : kj_err(KAJA_ERR_DAMAGED, "%s/%s: what stands at byte %lld is no batch",
                        copying->from_dir, strrchr(path, '/') + 1, (long long)scan.pos);
}

static int fill_copy(struct copying *copying, struct kj_file *from, struct kj_file *to,
                     enum kj_file_kind kind, const char *path)
{
    struct kj_io_stat stat;
    bool shared;
    int os = kj_io_stat_file(from, &stat);
    if (os == 0)
        os = kj_io_copy(from, to, stat.size, &shared);
    if (os != 0)
        return kj_err_os(os, "copying to %s", path);
    if (stat.size > 0 && !shared)
        copying->counts.copied = true;
    if (kind == KJ_FILE_LOG) {
        copying->counts.segments++;
        copying->counts.bytes += stat.size;
        KJ_TRY(adjust_epochs(copying, to, path, stat.size));
    }
    os = kj_io_sync(to);
    return os == 0 ? 0 : kj_err_os(os, "flushing %s", path);
}

static int copy_part(struct copying *copying, const struct part *part)
{
    char from_path[KJ_PATH_MAX], path[KJ_PATH_MAX];
    struct kj_file *from, *to;
    kj_file_path(from_path, copying->from_dir, part->kind, part->offset);
    kj_file_path(path, copying->dir, part->kind, part->offset);
    int os = kj_io_open(copying->from, from_path, KJ_IO_READ, &from);
    if (os != 0)
        return kj_err_os(os, "opening %s", from_path);
    os = kj_io_open(copying->to, path, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &to);
    if (os != 0) {
        kj_io_close(from);
        return kj_err_os(os, "making %s", path);
    }
    int err = fill_copy(copying, from, to, part->kind, path);
    kj_io_close(from);
    kj_io_close(to);
    return err;
}

/* *ret_at_end: a segment begins at the end. */
static int copy_parts(struct copying *copying, bool *ret_at_end)
{
    struct parts parts;
    KJ_TRY(list_parts(copying->from, copying->from_dir, &parts));
    int err = 0;
    for (size_t i = 0; i < parts.count && err == 0; i++) {
        err = copy_part(copying, &parts.items[i]);
        if (parts.items[i].kind == KJ_FILE_LOG && parts.items[i].offset == copying->end)
            *ret_at_end = true;
    }
    kj_free(parts.items);
    return err;
}

static int make_empty(struct copying *copying, enum kj_file_kind kind)
{
    char path[KJ_PATH_MAX];
    struct kj_file *file;
    kj_file_path(path, copying->dir, kind, copying->end);
    int os = kj_io_open(copying->to, path, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &file);
    if (os != 0)
        return kj_err_os(os, "making %s", path);
    os = kj_io_sync(file);
    kj_io_close(file);
    return os == 0 ? 0 : kj_err_os(os, "flushing %s", path);
}

static int write_snapshot(struct copying *copying, const struct kj_producers *open)
{
    struct kj_producers *none = NULL;
    if (open == NULL)
        KJ_TRY(kj_producers_new(&none));
    int err = kj_producers_write(open != NULL ? open : none, copying->to, copying->dir,
                                 copying->end, true);
    kj_producers_free(none);
    return err;
}

static int copy_all(struct copying *copying, const struct kj_producers *open)
{
    bool at_end = false;
    KJ_TRY(copy_parts(copying, &at_end));
    for (int kind = KJ_FILE_LOG; kind <= KJ_FILE_TIMEINDEX && !at_end; kind++)
        KJ_TRY(make_empty(copying, (enum kj_file_kind)kind));
    return copying->end > 0 ? write_snapshot(copying, open) : 0;
}

int kj_export_copy(const struct kj_export_copy *what, struct kj_export_counts *ret_counts)
{
    struct kj_io *to = what->to;
    const char *dir = what->dir;
    struct copying copying = {
        .from = what->from, .to = to, .from_dir = what->from_dir, .dir = dir, .end = what->end};
    struct kj_epochs known;
    uint8_t id[16];
    KJ_TRY(kj_partition_metadata_read(to, what->like, id));
    KJ_TRY(kj_epochs_read(to, what->like, &known));
    copying.newest = kj_epochs_last(&known);
    int os = kj_io_mkdir(to, dir);
    int err = os == 0 ? copy_all(&copying, what->open) : kj_err_os(os, "making %s", dir);
    if (err == 0)
        err = kj_epochs_write(to, dir, copying.epochs.count > 0 ? &copying.epochs : &known, true);
    if (err == 0)
        err = kj_partition_metadata_write(to, dir, id, true); /* flushes dir too */
    kj_epochs_free(&known);
    kj_epochs_free(&copying.epochs);
    if (err == 0)
        *ret_counts = copying.counts;
    return err;
}

/* --- comparing --- */

enum { PIECE = 1 << 18 };

static int same_bytes(struct kj_file *one, struct kj_file *other, uint8_t *buf, bool *ret_same)
{
    for (int64_t pos = 0;; pos += PIECE) {
        size_t a, b;
        int os = kj_io_pread(one, buf, PIECE, pos, &a);
        if (os == 0)
            os = kj_io_pread(other, buf + PIECE, PIECE, pos, &b);
        if (os != 0)
            return os;
        *ret_same = a == b && memcmp(buf, buf + PIECE, a) == 0;
        if (!*ret_same || a < PIECE)
            return 0;
    }
}

static int same_log(struct kj_io *io, const char *one, const char *other, int64_t offset,
                    uint8_t *buf, bool *ret_same)
{
    char path[KJ_PATH_MAX], other_path[KJ_PATH_MAX];
    struct kj_file *a, *b = NULL;
    kj_file_path(path, one, KJ_FILE_LOG, offset);
    kj_file_path(other_path, other, KJ_FILE_LOG, offset);
    int os = kj_io_open(io, path, KJ_IO_READ, &a);
    if (os != 0)
        return kj_err_os(os, "opening %s", path);
    os = kj_io_open(io, other_path, KJ_IO_READ, &b);
    if (os == 0)
        os = same_bytes(a, b, buf, ret_same);
    kj_io_close(a);
    kj_io_close(b);
    return os == 0 ? 0 : kj_err_os(os, "comparing %s with %s", path, other_path);
}

/* An empty last one behind others says nothing about records. */
static int list_logs(struct kj_io *io, const char *dir, struct parts *ret_parts)
{
    struct parts parts;
    size_t left = 0;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat = {.size = 1};
    KJ_TRY(list_parts(io, dir, &parts));
    for (size_t i = 0; i < parts.count; i++)
        if (parts.items[i].kind == KJ_FILE_LOG)
            parts.items[left++] = parts.items[i];
    parts.count = left;
    if (left > 1) {
        kj_file_path(path, dir, KJ_FILE_LOG, parts.items[left - 1].offset);
        int os = kj_io_stat(io, path, &stat);
        if (os != 0) {
            kj_free(parts.items);
            return kj_err_os(os, "looking at %s", path);
        }
        parts.count -= stat.size == 0;
    }
    *ret_parts = parts;
    return 0;
}

int kj_export_same(struct kj_io *io, const char *one, const char *other, bool *ret_same)
{
    struct parts a, b;
    KJ_TRY(list_logs(io, one, &a));
    int err = list_logs(io, other, &b);
    if (err != 0) {
        kj_free(a.items);
        return err;
    }
    bool same = a.count == b.count;
    uint8_t *buf = kj_alloc((size_t)2 * PIECE);
    if (buf == NULL)
        err = kj_err_oom("comparing");
    for (size_t i = 0; i < a.count && same && err == 0; i++) {
        same = a.items[i].offset == b.items[i].offset;
        if (same)
            err = same_log(io, one, other, a.items[i].offset, buf, &same);
    }
    kj_free(buf);
    kj_free(a.items);
    kj_free(b.items);
    if (err == 0)
        *ret_same = same;
    return err;
}

/* --- removing --- */

enum { NAMES_AT_ONCE = 64 };

struct names {
    char names[NAMES_AT_ONCE][KJ_DIR_NAME_MAX + 1];
    size_t count;
};

static int note_name(void *arg, const char *name, enum kj_io_type type)
{
    struct names *names = arg;
    (void)type;
    /* What is not a partition's stays, and so does the directory: ENOTEMPTY. */
    if (!kj_file_name_known(name))
        return 0;
    (void)snprintf(names->names[names->count++], KJ_DIR_NAME_MAX + 1, "%s", name);
    return names->count == NAMES_AT_ONCE ? -1 : 0;
}

static int remove_files(struct kj_io *io, const char *dir, struct names *names)
{
    int os = 0;
    do {
        names->count = 0;
        os = kj_io_list(io, dir, note_name, names);
        if (os < 0)
            os = 0;
        for (size_t i = 0; i < names->count && os == 0; i++) {
            char path[KJ_PATH_MAX];
            path_of(path, dir, names->names[i]);
            os = kj_io_unlink(io, path);
        }
    } while (os == 0 && names->count > 0);
    return os;
}

int kj_export_remove(struct kj_io *io, const char *dir)
{
    struct names *names = kj_alloc(sizeof *names);
    if (names == NULL)
        return kj_err_oom("names");
    int os = remove_files(io, dir, names);
    kj_free(names);
    if (os == 0)
        os = kj_io_rmdir(io, dir);
    return os == 0 || os == ENOENT ? 0 : kj_err_os(os, "removing %s", dir);
}
