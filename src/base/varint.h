/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/varint.h - Kafka's variable-length integers: base 128, least significant group first, the
 * high bit says that more bytes follow.
 *
 *   uvarint  32 bits as they are      at most  5 bytes
 *   varint   32 bits, zigzag          at most  5 bytes
 *   varlong  64 bits, zigzag          at most 10 bytes
 *
 * Zigzag puts the sign into bit 0, so that small negative numbers are short too. Writers emit the
 * shortest form. Readers accept padding groups up to the maximum; bits beyond the type in the last
 * byte are dropped, a set high bit in it is an error. Kafka: ByteUtils.
 *
 * Lengths, offset deltas and time deltas of ordinary records take one or two bytes: those are
 * inline, the rest is a call.
 */
#ifndef KJ_BASE_VARINT_H
#define KJ_BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { KJ_VARINT_BYTES_MAX = 5, KJ_VARLONG_BYTES_MAX = 10 };

static inline uint32_t kj_zigzag32(int32_t v)
{
    return ((uint32_t)v << 1) ^ (v < 0 ? UINT32_MAX : 0);
}

static inline uint64_t kj_zigzag64(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int32_t kj_unzigzag32(uint32_t u)
{
    return (int32_t)((u >> 1) ^ (0u - (u & 1)));
}

static inline int64_t kj_unzigzag64(uint64_t u)
{
    return (int64_t)((u >> 1) ^ (UINT64_C(0) - (u & 1)));
}

/* Bytes of the shortest form. (9 * bits + 64) / 64 equals ceil(bits / 7) for 1 <= bits <= 64. */
static inline size_t kj_uvarlong_bytes(uint64_t u)
{
    size_t bits = 64 - (size_t)__builtin_clzll(u | 1);
    return (bits * 9 + 64) >> 6;
}

static inline size_t kj_uvarint_bytes(uint32_t u)
{
    return kj_uvarlong_bytes(u);
}

static inline size_t kj_varint_bytes(int32_t v)
{
    return kj_uvarlong_bytes(kj_zigzag32(v));
}

static inline size_t kj_varlong_bytes(int64_t v)
{
    return kj_uvarlong_bytes(kj_zigzag64(v));
}

/* The general forms behind the inline ones. */
uint8_t *kj_uvarlong_put_slow(uint8_t *p, uint64_t u);
const uint8_t *kj_uvarint_get_slow(const uint8_t *p, const uint8_t *end, uint32_t *ret_u);
const uint8_t *kj_uvarlong_get_slow(const uint8_t *p, const uint8_t *end, uint64_t *ret_u);

/* Put: writes at p, which has room; returns the position behind. */
static inline uint8_t *kj_uvarlong_put(uint8_t *p, uint64_t u)
{
    if (__builtin_expect(u < 0x80, 1)) {
        p[0] = (uint8_t)u;
        return p + 1;
    }
    if (__builtin_expect(u < 0x4000, 1)) {
        p[0] = (uint8_t)(u | 0x80);
        p[1] = (uint8_t)(u >> 7);
        return p + 2;
    }
    return kj_uvarlong_put_slow(p, u);
}

static inline uint8_t *kj_uvarint_put(uint8_t *p, uint32_t u)
{
    return kj_uvarlong_put(p, u);
}

static inline uint8_t *kj_varint_put(uint8_t *p, int32_t v)
{
    return kj_uvarlong_put(p, kj_zigzag32(v));
}

static inline uint8_t *kj_varlong_put(uint8_t *p, int64_t v)
{
    return kj_uvarlong_put(p, kj_zigzag64(v));
}

/* Get: reads at p, never at or past end; returns the position behind, or NULL if the bytes end too
 * early or the number is too long (and *ret_ is untouched). p == end is allowed. */
static inline const uint8_t *kj_uvarint_get(const uint8_t *p, const uint8_t *end, uint32_t *ret_u)
{
    if (__builtin_expect(p < end && p[0] < 0x80, 1)) {
        *ret_u = p[0];
        return p + 1;
    }
    if (__builtin_expect(end - p >= 2 && p[1] < 0x80, 1)) {
        *ret_u = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
        return p + 2;
    }
    return kj_uvarint_get_slow(p, end, ret_u);
}

static inline const uint8_t *kj_varint_get(const uint8_t *p, const uint8_t *end, int32_t *ret_v)
{
    uint32_t u;
    p = kj_uvarint_get(p, end, &u);
    if (__builtin_expect(p != NULL, 1))
        *ret_v = kj_unzigzag32(u);
    return p;
}

static inline const uint8_t *kj_varlong_get(const uint8_t *p, const uint8_t *end, int64_t *ret_v)
{
    uint64_t u;
    if (__builtin_expect(p < end && p[0] < 0x80, 1)) {
        u = p[0];
        p++;
    } else if (__builtin_expect(end - p >= 2 && p[1] < 0x80, 1)) {
        u = (p[0] & 0x7fu) | (uint64_t)p[1] << 7;
        p += 2;
    } else {
        p = kj_uvarlong_get_slow(p, end, &u);
        if (p == NULL)
            return NULL;
    }
    *ret_v = kj_unzigzag64(u);
    return p;
}

#endif
