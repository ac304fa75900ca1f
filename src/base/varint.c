/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/varint.h"

uint8_t *kj_uvarlong_put_slow(uint8_t *p, uint64_t u)
{
    while (u >= 0x80) {
        *p++ = (uint8_t)(u | 0x80);
        u >>= 7;
    }
    *p++ = (uint8_t)u;
    return p;
}

const uint8_t *kj_uvarint_get_slow(const uint8_t *p, const uint8_t *end, uint32_t *ret_u)
{
    uint32_t u = 0;
    for (unsigned shift = 0; shift < 7 * KJ_VARINT_BYTES_MAX && p < end; shift += 7) {
        uint8_t byte = *p++;
        u |= (uint32_t)(byte & 0x7fu) << shift;
        if (byte < 0x80) {
            *ret_u = u;
            return p;
        }
    }
    return NULL;
}

const uint8_t *kj_uvarlong_get_slow(const uint8_t *p, const uint8_t *end, uint64_t *ret_u)
{
    uint64_t u = 0;
    for (unsigned shift = 0; shift < 7 * KJ_VARLONG_BYTES_MAX && p < end; shift += 7) {
        uint8_t byte = *p++;
        u |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80) {
            *ret_u = u;
            return p;
        }
    }
    return NULL;
}
