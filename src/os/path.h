/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/path.h - names beneath one directory. Two lines of defence: a path that could lead out by its
 * text is refused (kj_path_check), and the kernel is asked not to follow links (openat2, or
 * O_NOFOLLOW component by component where that is missing).
 */
#ifndef KJ_OS_PATH_H
#define KJ_OS_PATH_H

#include <stdbool.h>
#include <sys/types.h>

enum {
    KJ_PATH_MAX = 4096,    /* bytes of a path, with its NUL */
    KJ_PATH_NAME_MAX = 255 /* bytes of a component */
};

struct kj_path_root {
    int fd;    /* O_PATH of the directory */
    bool walk; /* openat2 does not work here */
};

/* 0, ENAMETOOLONG; EINVAL: empty (unless root_allowed), absolute, an empty component, ".", "..". */
int kj_path_check(const char *path, bool root_allowed);

/* Finds out whether openat2 works. */
void kj_path_root_init(struct kj_path_root *root, int fd);

/* Opens a checked path ("" is the root itself), O_CLOEXEC, no link followed: ELOOP. */
int kj_path_open(const struct kj_path_root *root, const char *path, int flags, mode_t mode,
                 int *ret_fd);

/* The directory that holds the last component of a checked, non-empty path, for the *at() calls. */
struct kj_path_parent {
    int fd;
    bool owned; /* false: it is the root's own descriptor */
    const char *leaf;
};
int kj_path_parent_open(const struct kj_path_root *root, const char *path,
                        struct kj_path_parent *ret_parent);
void kj_path_parent_close(struct kj_path_parent *parent);

/* True if directory inner is outer or lies somewhere below it. */
int kj_path_within(int inner_fd, int outer_fd, bool *ret_within);

#endif
