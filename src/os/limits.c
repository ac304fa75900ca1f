/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/limits.h"

#include "base/alloc.h"
#include "os/whole_file.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAPS_DEFAULT = 65530 /* the kernel's */ };

size_t kj_limit_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return (size_t)limit.rlim_cur;
}

size_t kj_limit_maps(void)
{
    uint8_t *text;
    size_t len;
    if (kj_whole_file_read("/proc/sys/vm/max_map_count", 64, &text, &len) != 0)
        return MAPS_DEFAULT;
    long maps = strtol((const char *)text, NULL, 10);
    kj_free(text);
    return maps > 0 ? (size_t)maps : MAPS_DEFAULT;
}

uint32_t kj_process_id(void)
{
    return (uint32_t)getpid();
}
