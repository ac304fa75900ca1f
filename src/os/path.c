/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

int kj_path_check(const char *path, bool root_allowed)
{
    if (path[0] == '\0')
        return root_allowed ? 0 : EINVAL;
    if (strlen(path) >= KJ_PATH_MAX)
        return ENAMETOOLONG;
    for (;;) {
        size_t len = strcspn(path, "/");
        if (len == 0 || (len == 1 && path[0] == '.') ||
            (len == 2 && path[0] == '.' && path[1] == '.'))
            return EINVAL;
        if (len > KJ_PATH_NAME_MAX)
            return ENAMETOOLONG;
        if (path[len] == '\0')
            return 0;
        path += len + 1;
    }
}

static int open_beneath(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    /* EAGAIN: somebody renamed while the kernel looked. */
    for (int tries = 0; tries < 100; tries++) {
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0) {
            *ret_fd = (int)fd;
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN)
            return errno;
    }
    return EAGAIN;
}

/* O_DIRECTORY reports a link as ENOTDIR; openat2 says ELOOP, and so do we. */
static int link_error(int dir, const char *name, int err)
{
    struct stat st;
    if (err == ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return ELOOP;
    return err;
}

static int open_one(int dir, const char *name, int flags, mode_t mode, int *ret_fd)
{
    for (;;) {
        int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        if (errno != EINTR)
            return link_error(dir, name, errno);
    }
}

static int open_walking(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd)
{
    int dir = root_fd;
    int err = 0;
    const char *slash;
    while (err == 0 && (slash = strchr(path, '/')) != NULL) {
        char name[KJ_PATH_NAME_MAX + 1];
        size_t len = (size_t)(slash - path);
        memcpy(name, path, len);
        name[len] = '\0';
        int next = -1;
        err = open_one(dir, name, O_PATH | O_DIRECTORY, 0, &next);
        if (dir != root_fd)
            close(dir);
        dir = next;
        path = slash + 1;
    }
    if (err != 0)
        return err;
    err = open_one(dir, path, flags, mode, ret_fd);
    if (dir != root_fd)
        close(dir);
    return err;
}

void kj_path_root_init(struct kj_path_root *root, int fd)
{
    root->fd = fd;
    int self;
    root->walk = open_beneath(fd, ".", O_PATH | O_DIRECTORY, 0, &self) != 0;
    if (!root->walk)
        close(self);
}

int kj_path_open(const struct kj_path_root *root, const char *path, int flags, mode_t mode,
                 int *ret_fd)
{
    if (path[0] == '\0')
        path = ".";
    if (!root->walk) {
        int err = open_beneath(root->fd, path, flags, mode, ret_fd);
        /* A filter that came after the probe; or EPERM is the file's (immutable): ask again. */
        if (err != ENOSYS && err != EPERM)
            return err;
    }
    return open_walking(root->fd, path, flags, mode, ret_fd);
}

int kj_path_parent_open(const struct kj_path_root *root, const char *path,
                        struct kj_path_parent *ret_parent)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        *ret_parent = (struct kj_path_parent){.fd = root->fd, .leaf = path};
        return 0;
    }
    char dir[KJ_PATH_MAX];
    size_t len = (size_t)(slash - path);
    memcpy(dir, path, len);
    dir[len] = '\0';
    int fd;
    int err = kj_path_open(root, dir, O_PATH | O_DIRECTORY, 0, &fd);
    if (err == 0)
        *ret_parent = (struct kj_path_parent){.fd = fd, .owned = true, .leaf = slash + 1};
    return err;
}

void kj_path_parent_close(struct kj_path_parent *parent)
{
    if (parent->owned)
        close(parent->fd);
}

/* Is it the directory dir_fd? *ret_top: there is nothing above it. */
static int look_up(int dir_fd, const struct stat *outer, bool *ret_is, bool *ret_top)
{
    struct stat st, above;
    if (fstat(dir_fd, &st) != 0 || fstatat(dir_fd, "..", &above, 0) != 0)
        return errno;
    *ret_is = st.st_dev == outer->st_dev && st.st_ino == outer->st_ino;
    *ret_top = st.st_dev == above.st_dev && st.st_ino == above.st_ino;
    return 0;
}

int kj_path_within(int inner_fd, int outer_fd, bool *ret_within)
{
    enum { DEPTH_MAX = KJ_PATH_MAX / 2 }; /* renamed while we climb, it could go on for ever */
    struct stat outer;
    if (fstat(outer_fd, &outer) != 0)
        return errno;
    int dir = inner_fd, err = 0;
    bool is = false, top = false;
    for (int depth = 0; err == 0; depth++) {
        err = depth < DEPTH_MAX ? look_up(dir, &outer, &is, &top) : ELOOP;
        if (err != 0 || is || top)
            break;
        int above = openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (above < 0)
            err = errno;
        if (dir != inner_fd)
            close(dir);
        dir = above;
    }
    if (dir >= 0 && dir != inner_fd)
        close(dir);
    if (err == 0)
        *ret_within = is;
    return err;
}
