/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/crc32c_x86.c - CRC-32C on x86-64.
 *
 * The message is a polynomial over GF(2); a CRC is its remainder by P. Both ways below rest on
 * this: a part of the message may be replaced by anything that has the same remainder once it is
 * moved to where another part stands, D bits further on. Moving is multiplying by x^D mod P, a
 * constant.
 *
 * Bits are reflected (bit 0 of a register is the highest power), and a carry-less product of two
 * reflected numbers comes out one bit low; a 32-bit constant in a 64-bit register is 32 powers
 * high. So the constant that moves the first 64 bits of a 128-bit lane by D bits is x^(D+31) mod P,
 * and that for the last 64 bits x^(D-33) mod P. For whole registers moved by D bits, when the
 * product goes through the crc32 instruction (which multiplies by x^32), it is x^(D-33) mod P too.
 * tests/base/test_crc32c.c computes all of them again.
 */
#include "base/crc32c.h"

#include "base/bytes.h"

#include <immintrin.h>

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

__attribute__((target("sse4.2"))) static inline uint32_t crc_serial(uint32_t state,
                                                                    const uint8_t *p, size_t n)
{
    uint64_t wide = state;
    for (; n >= 8; p += 8, n -= 8)
        wide = _mm_crc32_u64(wide, load64(p));
    state = (uint32_t)wide;
    if (n & 4) {
        state = _mm_crc32_u32(state, kj_get_le32(p));
        p += 4;
    }
    if (n & 2) {
        state = _mm_crc32_u16(state, (uint16_t)(p[0] | p[1] << 8));
        p += 2;
    }
    if (n & 1)
        state = _mm_crc32_u8(state, *p);
    return state;
}

/* The crc32 instruction takes three cycles but starts one each cycle: three streams side by side,
 * of block bytes each. The first is then moved behind the second and third. */
__attribute__((target("sse4.2,pclmul"))) static inline uint32_t
crc_three(uint32_t state, const uint8_t *p, size_t block, uint64_t move_two, uint64_t move_one)
{
    uint64_t a = state, b = 0, c = 0;
    for (size_t i = 0; i < block; i += 8) {
        a = _mm_crc32_u64(a, load64(p + i));
        b = _mm_crc32_u64(b, load64(p + block + i));
        c = _mm_crc32_u64(c, load64(p + 2 * block + i));
    }
    __m128i k = _mm_set_epi64x((long long)move_one, (long long)move_two);
    __m128i ab = _mm_xor_si128(_mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), k, 0x00),
                               _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), k, 0x10));
    return (uint32_t)c ^ (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(ab));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_sse42(uint32_t state, const uint8_t *p,
                                                                   size_t n)
{
    enum { LONG = 1024, SHORT = 128 };
    for (; n >= 3 * LONG; p += 3 * LONG, n -= 3 * LONG)
        state = crc_three(state, p, LONG, 0xa51b6135, 0x170076fa);
    for (; n >= 3 * SHORT; p += 3 * SHORT, n -= 3 * SHORT)
        state = crc_three(state, p, SHORT, 0xb9e02b86, 0x0d3b6092);
    return crc_serial(state, p, n);
}

#define WIDE __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

/* Each 128-bit lane of z moved as k says, plus what stands there. */
WIDE static inline __m512i fold(__m512i z, __m512i k, __m512i there)
{
    __m512i first = _mm512_clmulepi64_epi128(z, k, 0x00);
    __m512i last = _mm512_clmulepi64_epi128(z, k, 0x11);
    return _mm512_ternarylogic_epi64(first, last, there, 0x96); /* xor of three */
}

WIDE static inline __m512i pair(uint32_t first, uint32_t last)
{
    return _mm512_set4_epi64(last, first, last, first);
}

/* Four lanes into the CRC of their 64 bytes: lanes 0..2 are moved to where lane 3 stands. */
WIDE static inline uint32_t crc_of_lanes(__m512i z)
{
    const __m512i k = _mm512_set_epi64(0, 0, 0x493c7d27, 0xf20c0dfe, 0xba4fc28e, 0x3da6d0cb,
                                       0xddc0152b, 0x1c291d04);
    __m512i moved = fold(z, k, _mm512_setzero_si512());
    __m128i x = _mm_xor_si128(
        _mm_xor_si128(_mm512_castsi512_si128(moved), _mm512_extracti32x4_epi32(moved, 1)),
        _mm_xor_si128(_mm512_extracti32x4_epi32(moved, 2), _mm512_extracti32x4_epi32(z, 3)));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_extract_epi64(x, 0));
    return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(x, 1));
}

/* 256 bytes a step in four registers, each moved by 2048 bits. */
WIDE static uint32_t crc_wide(uint32_t state, const uint8_t *p, size_t n)
{
    if (n < 256)
        return crc_serial(state, p, n);
    const __m512i by_64 = pair(0x740eef02, 0x9e4addf8);
    const __m512i by_128 = pair(0x6992cea2, 0x0d3b6092);
    const __m512i by_192 = pair(0xa87ab8a8, 0xab7aff2a);
    const __m512i by_256 = pair(0xdcb17aa4, 0xb9e02b86);
    __m512i z0 = _mm512_xor_si512(_mm512_loadu_si512(p),
                                  _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i z1 = _mm512_loadu_si512(p + 64);
    __m512i z2 = _mm512_loadu_si512(p + 128);
    __m512i z3 = _mm512_loadu_si512(p + 192);
    for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
        z0 = fold(z0, by_256, _mm512_loadu_si512(p));
        z1 = fold(z1, by_256, _mm512_loadu_si512(p + 64));
        z2 = fold(z2, by_256, _mm512_loadu_si512(p + 128));
        z3 = fold(z3, by_256, _mm512_loadu_si512(p + 192));
    }
    z3 = fold(z0, by_192, fold(z1, by_128, fold(z2, by_64, z3)));
    for (; n >= 64; p += 64, n -= 64)
        z3 = fold(z3, by_64, _mm512_loadu_si512(p));
    return crc_serial(crc_of_lanes(z3), p, n);
}

void kj_crc32c_cpu_ways(struct kj_crc32c_way ret_ways[KJ_CRC32C_WAYS_MAX])
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul"))
        return;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("vpclmulqdq"))
        *ret_ways++ = (struct kj_crc32c_way){"avx512", crc_wide};
    *ret_ways = (struct kj_crc32c_way){"sse4.2", crc_sse42};
}
