/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/partitioner.h"

#include "base/assert.h"

void kj_sticky_init(struct kj_sticky *sticky, uint64_t seed)
{
    kj_store_relaxed(&sticky->partition, UINT64_MAX);
    kj_store_relaxed(&sticky->bytes, 0);
    kj_store_relaxed(&sticky->random, seed | 1);
    kj_store_relaxed(&sticky->turn, 0);
}

/* xorshift64*: enough to spread batches, and no system call. */
static uint32_t draw(struct kj_sticky *sticky)
{
    uint64_t x = kj_load_relaxed(&sticky->random);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    kj_store_relaxed(&sticky->random, x);
    return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static int32_t below(struct kj_sticky *sticky, int32_t n)
{
    return (int32_t)((uint64_t)draw(sticky) * (uint64_t)n >> 32);
}

int32_t kj_sticky_next(struct kj_sticky *sticky, int32_t count, kj_sticky_queue *queue, void *arg)
{
    KJ_ASSERT(count > 0);
    uint64_t old = kj_load_relaxed(&sticky->partition);
    bool known = old < (uint64_t)count;
    int32_t choices = known && count > 1 ? count - 1 : count;
    int32_t next = below(sticky, choices);
    if (queue != NULL && choices > 1) {
        /* Two draws and the shorter queue: nearly as even as looking at all of them. */
        int32_t other = below(sticky, choices);
        int32_t skip = known ? (int32_t)old : count;
        if (queue(arg, other + (other >= skip)) < queue(arg, next + (next >= skip)))
            next = other;
    }
    if (choices < count && next >= (int32_t)old)
        next++;
    kj_store_relaxed(&sticky->partition, (uint64_t)next);
    kj_store_relaxed(&sticky->bytes, 0);
    return next;
}

/* CRC-32 as in zip files, four bits at a time: keys are short. */
static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = table[crc & 15] ^ (crc >> 4);
        crc = table[crc & 15] ^ (crc >> 4);
    }
    return ~crc;
}

/* Its absolute value as an int32_t, as Sarama's and librdkafka's. */
static uint32_t fnv1a_of(const uint8_t *bytes, size_t len)
{
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x01000193;
    return hash > INT32_MAX ? UINT32_C(0) - hash : hash;
}

int32_t kj_partitioner_choose(enum kj_partitioner partitioner, struct kj_sticky *sticky,
                              const void *key, size_t key_bytes, int32_t count)
{
    const void *bytes = key != NULL ? key : "";
    switch (partitioner) {
    case KJ_PARTITIONER_DEFAULT:
        break;
    case KJ_PARTITIONER_RANDOM:
        return below(sticky, count);
    case KJ_PARTITIONER_CONSISTENT_RANDOM:
        if (key != NULL && key_bytes == 0)
            return below(sticky, count);
        if (key == NULL)
            break;
        return (int32_t)(crc32_of(bytes, key_bytes) % (uint32_t)count);
    case KJ_PARTITIONER_CONSISTENT:
        return (int32_t)(crc32_of(bytes, key_bytes) % (uint32_t)count);
    case KJ_PARTITIONER_MURMUR2_RANDOM:
        break; /* what the default is too */
    case KJ_PARTITIONER_MURMUR2:
        return kj_partition_for_key(bytes, key_bytes, count);
    case KJ_PARTITIONER_FNV1A_RANDOM:
        if (key == NULL)
            break;
        return (int32_t)(fnv1a_of(bytes, key_bytes) % (uint32_t)count);
    case KJ_PARTITIONER_FNV1A:
        return (int32_t)(fnv1a_of(bytes, key_bytes) % (uint32_t)count);
    case KJ_PARTITIONER_ROUND_ROBIN:
        return (int32_t)(kj_fetch_add_relaxed(&sticky->turn, 1) % (uint64_t)count);
    }
    return -1;
}
