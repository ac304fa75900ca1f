/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/crc32c_none.c - CRC-32C on CPUs for which there is nothing better than tables.
 */
#include "base/crc32c.h"

void kj_crc32c_cpu_ways(struct kj_crc32c_way ret_ways[KJ_CRC32C_WAYS_MAX])
{
    (void)ret_ways;
}
