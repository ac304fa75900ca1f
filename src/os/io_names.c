/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The real disk: directories and names. Each call opens the parent beneath the root first, so no
 * path component is resolved twice and no link is followed.
 */
#include "os/io_real.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int kj_names_sync_dir(struct kj_io *io, const char *path)
{
    int fd;
    int err = kj_path_open(&kj_real_io(io)->root, path, O_RDONLY | O_DIRECTORY, 0, &fd);
    if (err != 0)
        return err;
    do
        err = fsync(fd) == 0 ? 0 : errno;
    while (err == EINTR);
    close(fd);
    return err == EINVAL ? 0 : err; /* EINVAL: a file system that has no such thing */
}

int kj_names_stat(struct kj_io *io, const char *path, struct kj_io_stat *ret_stat)
{
    struct stat st;
    int err = 0;
    if (path[0] == '\0') {
        err = fstat(io->root_fd, &st) == 0 ? 0 : errno;
    } else {
        struct kj_path_parent parent;
        err = kj_path_parent_open(&kj_real_io(io)->root, path, &parent);
        if (err != 0)
            return err;
        err = fstatat(parent.fd, parent.leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
        kj_path_parent_close(&parent);
    }
    if (err == 0)
        kj_real_stat(&st, ret_stat);
    return err;
}

int kj_names_rename(struct kj_io *io, const char *from, const char *to)
{
    struct kj_path_parent source, target;
    int err = kj_path_parent_open(&kj_real_io(io)->root, from, &source);
    if (err != 0)
        return err;
    err = kj_path_parent_open(&kj_real_io(io)->root, to, &target);
    if (err == 0) {
        err = renameat(source.fd, source.leaf, target.fd, target.leaf) == 0 ? 0 : errno;
        kj_path_parent_close(&target);
    }
    kj_path_parent_close(&source);
    return err;
}

static int remove_name(struct kj_io *io, const char *path, int flags)
{
    struct kj_path_parent parent;
    int err = kj_path_parent_open(&kj_real_io(io)->root, path, &parent);
    if (err != 0)
        return err;
    err = unlinkat(parent.fd, parent.leaf, flags) == 0 ? 0 : errno;
    kj_path_parent_close(&parent);
    return err;
}

int kj_names_unlink(struct kj_io *io, const char *path)
{
    return remove_name(io, path, 0);
}

int kj_names_rmdir(struct kj_io *io, const char *path)
{
    return remove_name(io, path, AT_REMOVEDIR);
}

int kj_names_mkdir(struct kj_io *io, const char *path)
{
    struct kj_path_parent parent;
    int err = kj_path_parent_open(&kj_real_io(io)->root, path, &parent);
    if (err != 0)
        return err;
    err = mkdirat(parent.fd, parent.leaf, 0700) == 0 ? 0 : errno;
    const struct kj_real_io *real = kj_real_io(io);
    if (err == 0 && real->keep_owner &&
        fchownat(parent.fd, parent.leaf, real->uid, real->gid, AT_SYMLINK_NOFOLLOW) != 0)
        err = errno == EPERM ? 0 : errno; /* what we may not give away stays ours */
    kj_path_parent_close(&parent);
    return err;
}

static enum kj_io_type entry_type(int dir_fd, const struct dirent *entry)
{
    struct stat st;
    struct kj_io_stat stat;
    switch (entry->d_type) {
    case DT_REG:
        return KJ_IO_FILE;
    case DT_DIR:
        return KJ_IO_DIR;
    case DT_LNK:
        return KJ_IO_LINK;
    case DT_UNKNOWN: /* some file systems do not say */
        if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return KJ_IO_OTHER;
        kj_real_stat(&st, &stat);
        return stat.type;
    default:
        return KJ_IO_OTHER;
    }
}

int kj_names_list(struct kj_io *io, const char *path, kj_io_list_callback *callback, void *arg)
{
    int fd;
    int err = kj_path_open(&kj_real_io(io)->root, path, O_RDONLY | O_DIRECTORY, 0, &fd);
    if (err != 0)
        return err;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        err = errno;
        close(fd);
        return err;
    }
    while (err == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            err = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = callback(arg, entry->d_name, entry_type(fd, entry));
    }
    closedir(dir);
    return err;
}
