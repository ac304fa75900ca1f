/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/temp_dir.h - a directory of its own for a test, and small files in it.
 */
#ifndef KJ_TESTS_TEMP_DIR_H
#define KJ_TESTS_TEMP_DIR_H

#include "kjtest.h"

#include "os/io.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_dir {
    char path[128];
    struct kj_io *io;
};

static inline struct temp_dir temp_dir_new(void)
{
    struct temp_dir dir;
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir.path, sizeof dir.path, "%s/kaja-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir.path));
    const struct kj_io_options options = {.root = dir.path, .backend = KJ_IO_POSIX};
    assert_int_equal(kj_io_create(&options, &dir.io), 0);
    return dir;
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void temp_dir_free(struct temp_dir *dir)
{
    kj_io_destroy(dir->io);
    assert_int_equal(nftw(dir->path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Replaces the file. */
static inline void temp_dir_put(const struct temp_dir *dir, const char *name, const void *bytes,
                                size_t len)
{
    assert_int_equal(kj_io_replace_file(dir->io, name, bytes, len, false), 0);
}

/* Its bytes and a NUL; freed with kj_free(). */
static inline uint8_t *temp_dir_get(const struct temp_dir *dir, const char *name, size_t *ret_len)
{
    uint8_t *bytes;
    assert_int_equal(kj_io_read_file(dir->io, name, 64 << 20, &bytes, ret_len), 0);
    return bytes;
}

#endif
