/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/wire.h - reading Kafka's encoded fields out of bounded bytes.
 *
 * A read beyond the end, or a length that is none, sets bad and gives zeros from then on, so that a
 * decoder asks once at its end.
 */
#ifndef KJ_TOOLS_WIRE_H
#define KJ_TOOLS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_wire {
    const uint8_t *bytes;
    size_t count;
    size_t pos;
    bool bad;
};

static inline const uint8_t *kj_wire_take(struct kj_wire *wire, size_t count)
{
    if (wire->bad || count > wire->count - wire->pos) {
        wire->bad = true;
        return NULL;
    }
    wire->pos += count;
    return wire->bytes + wire->pos - count;
}

/* Big-endian, count is 1, 2, 4 or 8. */
static inline int64_t kj_wire_int(struct kj_wire *wire, size_t count)
{
    const uint8_t *p = kj_wire_take(wire, count);
    uint64_t value = 0;
    if (p == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        value = value << 8 | p[i];
    unsigned shift = (unsigned)(64 - 8 * count);
    return (int64_t)(value << shift) >> shift;
}

/* Base-128, least significant group first; at most 10 bytes. */
static inline uint64_t kj_wire_uvarint(struct kj_wire *wire)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t *p = kj_wire_take(wire, 1);
        if (p == NULL)
            return 0;
        value |= shift < 64 ? (uint64_t)(*p & 0x7f) << shift : 0;
        if ((*p & 0x80) == 0)
            return value;
    }
    wire->bad = true;
    return 0;
}

static inline int64_t kj_wire_varint(struct kj_wire *wire)
{
    uint64_t value = kj_wire_uvarint(wire);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
