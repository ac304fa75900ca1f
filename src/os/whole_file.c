/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/whole_file.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int read_all(int fd, size_t max_bytes, uint8_t **ret_bytes, size_t *ret_len)
{
    uint8_t *bytes = NULL;
    size_t len = 0, capacity = 0;
    for (;;) {
        if (len + 1 >= capacity) {
            capacity = capacity == 0 ? 4096 : capacity * 2;
            uint8_t *more = kj_realloc(bytes, capacity);
            if (more == NULL) {
                kj_free(bytes);
                return ENOMEM;
            }
            bytes = more;
        }
        ssize_t n = read(fd, bytes + len, capacity - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        int err = n < 0 ? errno : len + (size_t)n > max_bytes ? EFBIG : 0;
        if (err != 0) {
            kj_free(bytes);
            return err;
        }
        len += (size_t)n;
        if (n == 0)
            break;
    }
    bytes[len] = 0;
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
}

int kj_whole_file_read(const char *path, size_t max_bytes, uint8_t **ret_bytes, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int err = read_all(fd, max_bytes, ret_bytes, ret_len);
    (void)close(fd);
    return err;
}
