/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- leftovers --- */

struct name {
    char text[KJ_DIR_NAME_MAX + 1];
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
};

struct names {
    struct name *items;
    size_t count, capacity;
    int err;
};

static int note_name(void *arg, const char *text, enum kj_io_type type)
{
    struct names *names = arg;
    struct name name = {0};
    if (type != KJ_IO_FILE || strlen(text) >= sizeof name.text)
        return 0;
    kj_file_name_parse(text, &name.kind, &name.suffix, &name.offset);
    if (name.kind == KJ_FILE_OTHER || name.kind == KJ_FILE_DAMAGED)
        return 0;
    snprintf(name.text, sizeof name.text, "%s", text);
    names->err = kj_grow((void **)&names->items, &names->capacity, names->count + 1, sizeof *names->items);
    if (names->err != 0)
        return ENOMEM;
    names->items[names->count++] = name;
    return 0;
}

static int list_names(struct kj_log *log, struct names *names)
{
    int os = kj_io_list(log->env->io, log->dir, note_name, names);
    if (names->err != 0)
        return names->err;
    return os == 0 ? 0 : kj_log_io_error(log, os, "listing", KJ_FILE_OTHER, 0, -1);
}

static int remove_name(struct kj_log *log, const char *text)
{
    char path[KJ_DIR_NAME_MAX * 2 + 2];
    snprintf(path, sizeof path, "%s/%s", log->dir, text);
    int os = kj_io_unlink(log->env->io, path);
    return os == 0 || os == ENOENT ? 0 : kj_err_os(os, "removing %s", path);
}

/* Next offset behind a .log: those it replaced, and that are still there, lie below. */
static int swap_end(struct kj_log *log, const struct name *swap, int64_t *ret_next)
{
    char path[KJ_DIR_NAME_MAX * 2 + 2];
    struct kj_file *file;
    struct kj_io_stat stat;
    struct kj_scan scan;
    snprintf(path, sizeof path, "%s/%s", log->dir, swap->text);
    int os = kj_io_open(log->env->io, path, KJ_IO_READ, &file);
    if (os != 0)
        return kj_err_os(os, "opening %s", path);
    int err = 0;
    int64_t next = swap->offset;
    if ((os = kj_io_stat_file(file, &stat)) != 0)
        err = kj_err_os(os, "looking at %s", path);
    if (err == 0 && (err = kj_scan_init(&scan, file, 0, stat.size, false)) == 0) {
        struct kj_batch batch;
        while (kj_scan_look(&scan, &batch) == KJ_SCAN_BATCH) {
            next = kj_batch_next_offset(&batch);
            kj_scan_skip(&scan, &batch);
        }
        kj_scan_free(&scan);
    }
    kj_io_close(file);
    *ret_next = next;
    return err;
}

static bool has_log(const struct names *names, int64_t offset)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].kind == KJ_FILE_LOG && names->items[i].offset == offset &&
            (names->items[i].suffix == KJ_SUFFIX_NONE || names->items[i].suffix == KJ_SUFFIX_SWAP))
            return true;
    return false;
}

static const struct name *log_named(const struct names *names, int64_t offset, enum kj_file_suffix suffix)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].kind == KJ_FILE_LOG && names->items[i].offset == offset &&
            names->items[i].suffix == suffix)
            return &names->items[i];
    return NULL;
}

/* Normal files of segments in [low, high) go. */
static int remove_range(struct kj_log *log, const struct names *names, int64_t low, int64_t high)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        if (name->suffix == KJ_SUFFIX_NONE && name->kind <= KJ_FILE_TXNINDEX && name->offset >= low &&
            name->offset < high)
            KJ_TRY(remove_name(log, name->text));
    }
    return 0;
}

static int rename_swaps(struct kj_log *log, const struct names *names, bool logs)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        if (name->suffix != KJ_SUFFIX_SWAP || (name->kind == KJ_FILE_LOG) != logs)
            continue;
        if (!has_log(names, name->offset)) { /* of no use to anybody */
            KJ_TRY(remove_name(log, name->text));
            continue;
        }
        char from[KJ_DIR_NAME_MAX * 2 + 2], to[KJ_PATH_MAX];
        snprintf(from, sizeof from, "%s/%s", log->dir, name->text);
        kj_file_path(to, log->dir, name->kind, name->offset);
        int os = kj_io_rename(log->env->io, from, to);
        if (os != 0)
            return kj_err_os(os, "renaming %s", from);
    }
    int os = kj_io_sync_dir(log->env->io, log->dir);
    return os == 0 ? 0 : kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
}

/* Kafka's order: normal files in the range of the swapped ones go, then the suffix goes; ours takes it from the
 * .log first (log/clean_swap.c), which then has its name while what it replaced may still be there, and
 * the .swap of its indexes tells so. The .log files get theirs before any index, so as long as one is .log.swap
 * its indexes are .swap too. */
static int finish_swaps(struct kj_log *log, const struct names *names)
{
    int64_t low = INT64_MAX, high = -1;
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        int64_t next = 0;
        if (name->suffix != KJ_SUFFIX_SWAP)
            continue;
        const struct name *named = log_named(names, name->offset, KJ_SUFFIX_NONE);
        if (name->kind == KJ_FILE_LOG) {
            KJ_TRY(swap_end(log, name, &next));
            low = name->offset < low ? name->offset : low;
            high = next > high ? next : high;
        } else if (named != NULL && log_named(names, name->offset, KJ_SUFFIX_SWAP) == NULL) {
            KJ_TRY(swap_end(log, named, &next));
            KJ_TRY(remove_range(log, names, name->offset + 1, next));
        }
    }
    KJ_TRY(remove_range(log, names, low, high));
    KJ_TRY(rename_swaps(log, names, true));
    return rename_swaps(log, names, false);
}

/* Where segments begin that were still being written. Files get .swap from the last segment to the
 * first, and only when all have it do the old ones go: a .swap from here on belongs to a split that
 * was not finished, and what it would replace is whole. */
static int64_t first_cleaned(const struct names *names)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].suffix == KJ_SUFFIX_CLEANED && names->items[i].offset < first)
            first = names->items[i].offset;
    return first;
}

static int drop_unfinished_swaps(struct kj_log *log, struct names *names)
{
    int64_t cleaned = first_cleaned(names);
    size_t left = 0, count = names->count;
    for (size_t i = 0; i < count; i++) {
        const struct name *name = &names->items[i];
        if (name->suffix == KJ_SUFFIX_SWAP && name->offset >= cleaned)
            KJ_TRY(remove_name(log, name->text));
        else
            names->items[left++] = *name;
    }
    names->count = left;
    /* Before the .cleaned that tell them from others go. */
    int os = left == count ? 0 : kj_io_sync_dir(log->env->io, log->dir);
    return os == 0 ? 0 : kj_log_io_error(log, os, "flushing", KJ_FILE_OTHER, 0, -1);
}

static int leftovers(struct kj_log *log, struct names *names)
{
    bool swaps = false;
    KJ_TRY(drop_unfinished_swaps(log, names));
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        bool index = name->kind == KJ_FILE_INDEX || name->kind == KJ_FILE_TIMEINDEX ||
                     name->kind == KJ_FILE_TXNINDEX;
        if (name->suffix == KJ_SUFFIX_DELETED || name->suffix == KJ_SUFFIX_CLEANED ||
            name->kind == KJ_FILE_PREPARED ||
            (index && name->suffix == KJ_SUFFIX_NONE && !has_log(names, name->offset)))
            KJ_TRY(remove_name(log, name->text));
        else if (name->suffix == KJ_SUFFIX_SWAP)
            swaps = true;
    }
    return swaps ? finish_swaps(log, names) : 0;
}

int kj_recover_leftovers(struct kj_log *log)
{
    struct names names = {0};
    int err = list_names(log, &names);
    if (err == 0)
        err = leftovers(log, &names);
    kj_free(names.items);
    return err;
}

int kj_recover_snapshots(struct kj_log *log, int64_t end)
{
    struct names names = {0};
    int err = list_names(log, &names);
    for (size_t i = 0; i < names.count && err == 0; i++) {
        const struct name *name = &names.items[i];
        if (name->kind == KJ_FILE_SNAPSHOT && name->suffix == KJ_SUFFIX_NONE && name->offset > end)
            err = remove_name(log, name->text);
    }
    kj_free(names.items);
    return err;
}

int kj_recover_clear_index(struct kj_log *log, struct kj_segment *segment, enum kj_file_kind kind)
{
    char path[KJ_PATH_MAX], aside[KJ_PATH_MAX + 16];
    kj_file_path(path, log->dir, kind, segment->base_offset);
    if (!kj_not_a_file(log->env->io, path))
        return 0;
    snprintf(aside, sizeof aside, "%s.aside", path);
    int os = kj_io_rename(log->env->io, path, aside);
    if (os != 0)
        return kj_log_io_error(log, os, "putting aside", kind, segment->base_offset, -1);
    kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_NOT_KAJA, segment->base_offset, -1,
                "%s is no regular file: it is now %s, the index is made anew from the batches", path, aside);
    return 0;
}

/* --- bytes --- */

enum { COPY_BYTES = 1 << 18 };

static int copy_range(struct kj_file *from, int64_t start, int64_t end, struct kj_file *to, bool *ret_zeros)
{
    uint8_t *buf = kj_alloc(COPY_BYTES);
    if (buf == NULL)
        return ENOMEM;
    int os = 0;
    *ret_zeros = true;
    for (int64_t pos = start; pos < end && os == 0;) {
        int64_t data;
        if (kj_io_next_data(from, pos, &data) == 0 && data > pos) { /* a hole stays one */
            pos = data;
            continue;
        }
        size_t len = end - pos < COPY_BYTES ? (size_t)(end - pos) : COPY_BYTES;
        os = kj_io_pread(from, buf, len, pos, &len);
        if (os == 0 && len == 0)
            break;
        for (size_t i = 0; i < len && *ret_zeros; i++)
            *ret_zeros = buf[i] == 0;
        if (os == 0 && to != NULL)
            os = kj_io_pwrite(to, buf, len, pos - start);
        pos += (int64_t)len;
    }
    kj_free(buf);
    if (os == 0 && to != NULL)
        os = kj_io_truncate(to, end - start);
    return os;
}

static int copy_to(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to, const char *path)
{
    struct kj_file *source, *target;
    bool zeros;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &source));
    int os = kj_io_open(log->env->io, path, KJ_IO_WRITE | KJ_IO_CREATE, &target);
    if (os == 0) {
        os = kj_io_truncate(target, 0);
        if (os == 0)
            os = copy_range(source, from, to, target, &zeros);
        if (os == 0)
            os = kj_io_sync(target);
        kj_io_close(target);
    }
    kj_segment_unpin(segment);
    return os == 0 ? 0 : kj_err_os(os, "copying bytes %lld to %lld of segment %lld of %s to %s", (long long)from,
                                   (long long)to, (long long)segment->base_offset, log->dir, path);
}

int kj_recover_set_aside(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to)
{
    struct kj_file *file;
    bool zeros;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = copy_range(file, from, to, NULL, &zeros);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(log, os, "reading", KJ_FILE_LOG, segment->base_offset, from);
    if (zeros)
        return 0;
    char log_path[KJ_PATH_MAX], path[KJ_PATH_MAX + 32];
    kj_file_path(log_path, log->dir, KJ_FILE_LOG, segment->base_offset);
    snprintf(path, sizeof path, "%s.damaged-%lld", log_path, (long long)from);
    return copy_to(log, segment, from, to, path);
}

int kj_recover_split(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to,
                     int64_t base_offset)
{
    char temporary[KJ_PATH_MAX], path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_file_path(path, log->dir, KJ_FILE_LOG, base_offset);
    /* There already: a recovery that died before it cut the old one made it. */
    if (base_offset != segment->base_offset && kj_io_stat(log->env->io, path, &stat) == 0 && stat.size > 0)
        return 0;
    kj_file_path(temporary, log->dir, KJ_FILE_PREPARED, base_offset);
    KJ_TRY(copy_to(log, segment, from, to, temporary));
    kj_segment_close(segment); /* the rename may take its place */
    int os = kj_io_rename(log->env->io, temporary, path);
    if (os == 0)
        os = kj_io_sync_dir(log->env->io, log->dir);
    return os == 0 ? 0 : kj_err_os(os, "renaming %s", temporary);
}

int kj_recover_cut(struct kj_log *log, struct kj_segment *segment, int64_t bytes)
{
    struct kj_file *file;
    struct kj_io_stat stat;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_stat_file(file, &stat);
    if (os == 0 && stat.size > bytes) {
        os = kj_io_truncate(file, bytes);
        if (os == 0)
            os = kj_io_sync(file);
    }
    kj_segment_unpin(segment);
    return os == 0 ? 0 : kj_log_io_error(log, os, "cutting", KJ_FILE_LOG, segment->base_offset, bytes);
}
