/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/file_error.h"

#include "base/err.h"
#include "log/file_names.h"

#include <errno.h>
#include <stdio.h>

bool kj_not_a_file(struct kj_io *io, const char *path)
{
    struct kj_io_stat stat;
    return kj_io_stat(io, path, &stat) == 0 && stat.type != KJ_IO_FILE;
}

int kj_file_in_the_way(struct kj_io *io, int os_errno, const char *path)
{
    struct kj_io_stat stat;
    if (os_errno != ELOOP && os_errno != EISDIR && os_errno != EINVAL && os_errno != ENXIO)
        return 0;
    if (kj_io_stat(io, path, &stat) != 0 || stat.type == KJ_IO_FILE)
        return 0;
    return kj_err(KAJA_ERR_NOT_KAJA,
                  "%s is %s and not a regular file: it is neither read nor written", path,
                  stat.type == KJ_IO_LINK  ? "a link"
                  : stat.type == KJ_IO_DIR ? "a directory"
                                           : "a FIFO, socket or device");
}

int kj_file_error(struct kj_io *io, int os_errno, const char *what, const char *path)
{
    KJ_TRY(kj_file_in_the_way(io, os_errno, path));
    return kj_err_os(os_errno, "%s %s", what, path);
}

int kj_file_replace_error(struct kj_io *io, int os_errno, const char *path)
{
    char tmp[KJ_PATH_MAX + 4];
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    KJ_TRY(kj_file_in_the_way(io, os_errno, tmp));
    return kj_file_error(io, os_errno, "writing", path);
}
