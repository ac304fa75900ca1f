/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/crc32c.h"

#include "base/atomic.h"
#include "base/bytes.h"

#include <pthread.h>

/* --- without hardware: eight bytes a step through eight tables ----------- */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void build_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t r = i;
        for (int bit = 0; bit < 8; bit++)
            r = (r >> 1) ^ (r & 1 ? 0x82F63B78u : 0);
        tables[0][i] = r;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xff];
}

uint32_t kj_crc32c_tables(uint32_t state, const uint8_t *p, size_t n)
{
    (void)pthread_once(&tables_once, build_tables);
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t a = kj_get_le32(p) ^ state;
        uint32_t b = kj_get_le32(p + 4);
        state = tables[7][a & 0xff] ^ tables[6][a >> 8 & 0xff] ^ tables[5][a >> 16 & 0xff] ^
                tables[4][a >> 24] ^ tables[3][b & 0xff] ^ tables[2][b >> 8 & 0xff] ^
                tables[1][b >> 16 & 0xff] ^ tables[0][b >> 24];
    }
    for (; n > 0; p++, n--)
        state = (state >> 8) ^ tables[0][(state ^ *p) & 0xff];
    return state;
}

/* --- the choice ---------------------------------------------------------- */

/* The chosen function as a number, 0 before the first call. Whoever comes first stores the same
 * value as anybody else would, and it carries no data: relaxed is enough, it pairs with nothing. */
static kj_atomic_u64 chosen;

static kj_crc32c_fn *choose(void)
{
    struct kj_crc32c_way ways[KJ_CRC32C_WAYS_MAX] = {0};
    kj_crc32c_cpu_ways(ways);
    kj_crc32c_fn *fn = ways[0].fn != NULL ? ways[0].fn : kj_crc32c_tables;
    kj_store_relaxed(&chosen, (uintptr_t)fn);
    return fn;
}

uint32_t kj_crc32c(uint32_t crc, const void *p, size_t n)
{
    kj_crc32c_fn *fn = (kj_crc32c_fn *)(uintptr_t)kj_load_relaxed(&chosen);
    if (__builtin_expect(fn == NULL, 0))
        fn = choose();
    return ~fn(~crc, p, n);
}
