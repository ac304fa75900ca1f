/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/crc32c_arm.c - CRC-32C on aarch64: the crc32c instructions, three streams side by side (each
 * has a latency of two or three cycles but one starts each cycle). See crc32c_x86.c for the
 * constants. The instructions are written out, because the header that declares them hides them
 * from compilers told about a plain armv8-a.
 */
#include "base/crc32c.h"

#include "base/bytes.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

static inline uint32_t crc_u64(uint32_t state, uint64_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(v));
    return state;
}

static inline uint32_t crc_u8(uint32_t state, uint8_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)v));
    return state;
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t crc_serial(uint32_t state, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8)
        state = crc_u64(state, load64(p));
    for (; n > 0; p++, n--)
        state = crc_u8(state, *p);
    return state;
}

/* Carry-less product of two 32-bit numbers; plain code, as not every CPU with crc32c has PMULL and
 * it runs twice in 3 KiB. */
static uint64_t multiply(uint32_t a, uint32_t b)
{
    uint64_t product = 0;
    for (unsigned bit = 0; bit < 32; bit++)
        product ^= (UINT64_C(0) - (a >> bit & 1)) & ((uint64_t)b << bit);
    return product;
}

static uint32_t crc_arm(uint32_t state, const uint8_t *p, size_t n)
{
    enum { BLOCK = 1024 };
    for (; n >= 3 * BLOCK; p += 3 * BLOCK, n -= 3 * BLOCK) {
        uint32_t a = state, b = 0, c = 0;
        for (size_t i = 0; i < BLOCK; i += 8) {
            a = crc_u64(a, load64(p + i));
            b = crc_u64(b, load64(p + BLOCK + i));
            c = crc_u64(c, load64(p + 2 * BLOCK + i));
        }
        state = c ^ crc_u64(0, multiply(a, 0xa51b6135) ^ multiply(b, 0x170076fa));
    }
    return crc_serial(state, p, n);
}

void kj_crc32c_cpu_ways(struct kj_crc32c_way ret_ways[KJ_CRC32C_WAYS_MAX])
{
    if (getauxval(AT_HWCAP) & HWCAP_CRC32)
        *ret_ways = (struct kj_crc32c_way){"armv8 crc", crc_arm};
}
