/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/murmur2.c - MurmurHash2, 32 bits, words little-endian, bytes unsigned, Kafka's seed.
 */
#include "base/murmur2.h"

#include "base/bytes.h"

int32_t kj_murmur2(const void *data, size_t n)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = data;
    uint32_t h = 0x9747b28cu ^ (uint32_t)n;
    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k = kj_get_le32(p) * m;
        k = (k ^ k >> 24) * m;
        h = h * m ^ k;
    }
    if (n > 0) {
        if (n == 3)
            h ^= (uint32_t)p[2] << 16;
        if (n >= 2)
            h ^= (uint32_t)p[1] << 8;
        h = (h ^ p[0]) * m;
    }
    h = (h ^ h >> 13) * m;
    return (int32_t)(h ^ h >> 15);
}
