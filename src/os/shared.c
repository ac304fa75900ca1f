/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A handle's life: opening, closing, and what becomes of it in a child of fork().
 */
#include "os/shared_handle.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs in the child of fork(): the parent's locks must not live as long as we do. */
static void forked_child(struct kj_fork_node *node)
{
    struct kj_shared_handle *handle =
        (struct kj_shared_handle *)(void *)((char *)node - offsetof(struct kj_shared_handle, fork));
    int fd = atomic_exchange(&handle->lock_fd, -1);
    if (fd >= 0)
        close(fd);
    atomic_store(handle->alive, 0); /* where the kernel does not wipe */
}

static int alive_open(struct kj_shared_handle *handle)
{
    handle->alive_bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page =
        mmap(NULL, handle->alive_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return errno;
    /* Refused (an emulated kernel): then the fork handler alone clears the word. */
    (void)madvise(page, handle->alive_bytes, MADV_WIPEONFORK);
    handle->alive = page;
    atomic_store(handle->alive, 1);
    return 0;
}

static int names_copy(struct kj_shared_handle *handle, const struct kj_shared_options *options)
{
    static const char suffix[] = ".new";
    handle->lock_name = kj_strdup(options->lock_name);
    if (handle->lock_name == NULL)
        return ENOMEM;
    if (options->control_name == NULL)
        return 0;
    size_t len = strlen(options->control_name);
    handle->control_name = kj_strdup(options->control_name);
    handle->new_name = kj_alloc(len + sizeof suffix);
    if (handle->control_name == NULL || handle->new_name == NULL)
        return ENOMEM;
    memcpy(handle->new_name, options->control_name, len);
    memcpy(handle->new_name + len, suffix, sizeof suffix);
    return 0;
}

/* As the kernel names it: whole, through no link, and whatever the working directory becomes. NULL
 * without /proc, or if it is too long: then nothing is compared with it. */
static char *path_of(int fd)
{
    char link[32], path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    if (len <= 0 || len == (ssize_t)sizeof path || path[0] != '/')
        return NULL;
    path[len] = '\0';
    return kj_strdup(path);
}

static int files_open(struct kj_shared_handle *handle, const struct kj_shared_options *options)
{
    if (handle->sim != NULL)
        return 0;
    handle->root_fd = fcntl(options->root_fd, F_DUPFD_CLOEXEC, 0);
    if (handle->root_fd < 0)
        return errno;
    handle->root_path = path_of(handle->root_fd);
    int err = kj_shared_lock_file_open(handle);
    return err == ENOENT && handle->read_only ? 0 : err;
}

static void handle_free(struct kj_shared_handle *handle, bool forked)
{
    kj_control_file_drop(handle);
    if (handle->lock_fd >= 0)
        close(handle->lock_fd);
    if (handle->root_fd >= 0)
        close(handle->root_fd);
    if (handle->alive != NULL)
        (void)munmap(handle->alive, handle->alive_bytes);
    kj_free(handle->lock_name);
    kj_free(handle->control_name);
    kj_free(handle->new_name);
    kj_free(handle->root_path);
    if (!forked) /* else perhaps held by a thread that is not here */
        kj_lock_destroy(&handle->mutex);
    kj_free(handle);
}

int kj_shared_open(const struct kj_shared_options *options, struct kj_shared **ret_shared)
{
    struct kj_shared_handle *handle = kj_alloc_zero(1, sizeof *handle);
    if (handle == NULL)
        return ENOMEM;
    handle->shared.step = options->step;
    handle->shared.step_arg = options->step_arg;
    handle->clock = options->clock;
    handle->read_only = options->read_only;
    handle->sim = options->sim;
    handle->sim_arg = options->sim_arg;
    handle->root_fd = handle->control_fd = -1;
    atomic_init(&handle->lock_fd, -1);
    kj_lock_init(&handle->mutex, KJ_RANK_LEAF);
    int err = names_copy(handle, options);
    if (err == 0)
        err = alive_open(handle);
    if (err == 0)
        err = kj_fork_watch(&handle->fork, forked_child);
    if (err == 0)
        err = files_open(handle, options);
    if (err != 0) {
        if (handle->fork.linked)
            kj_fork_unwatch(&handle->fork);
        handle_free(handle, false);
        return err;
    }
    *ret_shared = &handle->shared;
    return 0;
}

void kj_shared_close(struct kj_shared *shared)
{
    if (shared == NULL)
        return;
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    bool forked = kj_shared_forked(shared);
    /* A child that was made without fork()'s handlers still has the node in a list whose lock may
     * be held for ever: leave the node where it is. */
    if (forked && handle->fork.linked)
        return;
    if (!forked) {
        kj_fork_unwatch(&handle->fork);
        if (handle->sim != NULL)
            handle->sim->drop(handle->sim_arg, shared);
    }
    handle_free(handle, forked);
}

bool kj_shared_forked(const struct kj_shared *shared)
{
    const struct kj_shared_handle *handle = (const struct kj_shared_handle *)(const void *)shared;
    return atomic_load(handle->alive) == 0;
}

/* --- is it still there? --- */

static bool removed(const struct kj_shared_handle *handle)
{
    struct stat st;
    int lock_fd = handle->lock_fd;
    return fstat(lock_fd >= 0 ? lock_fd : handle->root_fd, &st) == 0 && st.st_nlink == 0;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Only what is certain: a look that fails (no permission any more, another root directory) says
 * nothing. */
static bool replaced(const struct kj_shared_handle *handle)
{
    struct stat ours, named;
    int lock_fd = handle->lock_fd;
    if (lock_fd >= 0 && !handle->read_only && fstat(lock_fd, &ours) == 0) {
        int os = fstatat(handle->root_fd, handle->lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0
                     ? 0
                     : errno;
        if (os == ENOENT || (os == 0 && !same(&ours, &named)))
            return true;
    }
    return handle->root_path != NULL && fstat(handle->root_fd, &ours) == 0 &&
           stat(handle->root_path, &named) == 0 && !same(&ours, &named);
}

bool kj_shared_look_gone(struct kj_shared *shared, bool names)
{
    struct kj_shared_handle *handle = kj_shared_handle(shared);
    if (kj_shared_gone(shared))
        return true;
    if (handle->sim != NULL || kj_shared_forked(shared))
        return false;
    bool gone = removed(handle) || (names && replaced(handle));
    if (gone)
        kj_store_relaxed(&shared->gone, 1);
    return gone;
}

uint64_t kj_shared_boot_id(void)
{
    /* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n" */
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    uint64_t halves[2] = {0, 0};
    int digits = 0;
    for (ssize_t i = 0; i < len && digits < 32; i++) {
        const char *hex = "0123456789abcdef";
        const char *digit = text[i] != '\0' ? strchr(hex, text[i]) : NULL;
        if (digit == NULL)
            continue;
        halves[digits / 16] = halves[digits / 16] << 4 | (uint64_t)(digit - hex);
        digits++;
    }
    return halves[0] ^ halves[1];
}
