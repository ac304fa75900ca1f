/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/memory_io.h - a directory in memory with room for a few files: enough of os/io.h to
 * read files, and to replace them as a whole.
 */
#ifndef KJ_TESTS_FUZZ_MEMORY_IO_H
#define KJ_TESTS_FUZZ_MEMORY_IO_H

#include "os/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_FILES = 4 };

struct memory_entry {
    char name[128]; /* "": free */
    uint8_t *bytes;
    size_t len;
};
static struct memory_entry memory_files[MEMORY_FILES];

struct memory_open {
    struct kj_file file; /* first */
    struct memory_entry *entry;
};

static inline void check(int ok)
{
    if (!ok)
        abort();
}

static inline struct memory_entry *memory_find(const char *name)
{
    for (int i = 0; i < MEMORY_FILES; i++)
        if (strcmp(memory_files[i].name, name) == 0)
            return &memory_files[i];
    return NULL;
}

static inline struct memory_entry *memory_entry_of(struct kj_file *file)
{
    return ((struct memory_open *)(void *)file)->entry;
}

static inline int memory_open(struct kj_io *io, const char *path, unsigned flags,
                              struct kj_file **ret_file)
{
    struct memory_entry *entry = memory_find(path);
    if (entry == NULL && (flags & KJ_IO_CREATE) == 0)
        return ENOENT;
    if (entry == NULL) {
        entry = memory_find("");
        check(entry != NULL);
        (void)snprintf(entry->name, sizeof entry->name, "%s", path);
    }
    struct memory_open *open = calloc(1, sizeof *open);
    check(open != NULL);
    open->file.io = io;
    open->file.fd = -1;
    open->file.writable = (flags & KJ_IO_WRITE) != 0;
    open->entry = entry;
    *ret_file = &open->file;
    return 0;
}

static inline void memory_close(struct kj_file *file)
{
    free(file);
}

static inline int memory_pwritev(struct kj_file *file, const struct iovec *iov, int count,
                                 int64_t pos)
{
    struct memory_entry *entry = memory_entry_of(file);
    check(count == 1 && pos == 0 && entry->bytes == NULL); /* whole files only */
    entry->bytes = malloc(iov->iov_len + 1);
    check(entry->bytes != NULL);
    memcpy(entry->bytes, iov->iov_base, iov->iov_len);
    entry->len = iov->iov_len;
    return 0;
}

static inline int memory_pread(struct kj_file *file, void *buf, size_t len, int64_t pos,
                               size_t *ret_len)
{
    const struct memory_entry *entry = memory_entry_of(file);
    size_t have = (uint64_t)pos < entry->len ? entry->len - (size_t)pos : 0;
    *ret_len = len < have ? len : have;
    if (*ret_len > 0)
        memcpy(buf, entry->bytes + pos, *ret_len);
    return 0;
}

static inline int memory_stat_file(struct kj_file *file, struct kj_io_stat *ret_stat)
{
    *ret_stat =
        (struct kj_io_stat){.type = KJ_IO_FILE, .size = (int64_t)memory_entry_of(file)->len};
    return 0;
}

static inline int memory_unlink(struct kj_io *io, const char *path)
{
    (void)io;
    struct memory_entry *entry = memory_find(path);
    if (entry == NULL)
        return ENOENT;
    free(entry->bytes);
    *entry = (struct memory_entry){.len = 0};
    return 0;
}

static inline int memory_rename(struct kj_io *io, const char *from, const char *to)
{
    struct memory_entry *entry = memory_find(from);
    if (entry == NULL)
        return ENOENT;
    (void)memory_unlink(io, to);
    (void)snprintf(entry->name, sizeof entry->name, "%s", to);
    return 0;
}

static const struct kj_io_ops memory_ops = {
    .open = memory_open,
    .close = memory_close,
    .pwritev = memory_pwritev,
    .pread = memory_pread,
    .stat_file = memory_stat_file,
    .rename = memory_rename,
    .unlink = memory_unlink,
};
static struct kj_io memory_io = {.ops = &memory_ops, .backend = "memory", .root_fd = -1};

/* Makes the file anew. */
static inline void memory_put(const char *name, const uint8_t *bytes, size_t len)
{
    (void)memory_unlink(&memory_io, name);
    check(kj_io_replace_file(&memory_io, name, bytes, len, false) == 0);
}

static inline void memory_clear(void)
{
    for (int i = 0; i < MEMORY_FILES; i++)
        if (memory_files[i].name[0] != '\0')
            (void)memory_unlink(&memory_io, memory_files[i].name);
}

#endif
