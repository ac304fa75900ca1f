/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/bytes.h - integers in byte order, at any alignment. Kafka's files are big-endian; an LZ4
 * frame is little-endian. Compilers turn each of these into one or two instructions.
 */
#ifndef KJ_BASE_BYTES_H
#define KJ_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t kj_get_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t kj_get_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t kj_get_be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void kj_put_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static inline void kj_put_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void kj_put_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint32_t kj_get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void kj_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* Signed forms: Kafka's integers are two's complement. */
static inline int16_t kj_get_be16s(const void *p)
{
    return (int16_t)kj_get_be16(p);
}

static inline int32_t kj_get_be32s(const void *p)
{
    return (int32_t)kj_get_be32(p);
}

static inline int64_t kj_get_be64s(const void *p)
{
    return (int64_t)kj_get_be64(p);
}

#endif
