/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/index.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "log/index_search.h"

void kj_offset_entry_encode(const struct kj_offset_entry *entry, int64_t base_offset, uint8_t *p)
{
    KJ_ASSERT(entry->offset >= base_offset && entry->offset - base_offset <= INT32_MAX);
    KJ_ASSERT(entry->pos >= 0 && entry->pos <= INT32_MAX);
    kj_put_be32(p, (uint32_t)(entry->offset - base_offset));
    kj_put_be32(p + 4, (uint32_t)entry->pos);
}

/* The relative offset may be anything: the sum must not overflow. */
static int64_t offset_at(const uint8_t *p, int64_t base_offset)
{
    return (int64_t)((uint64_t)base_offset + (uint64_t)(int64_t)kj_get_be32s(p));
}

void kj_offset_entry_decode(const uint8_t *p, int64_t base_offset,
                            struct kj_offset_entry *ret_entry)
{
    ret_entry->offset = offset_at(p, base_offset);
    ret_entry->pos = kj_get_be32s(p + 4);
}

static bool reaches(const uint8_t *p, int64_t base_offset, int64_t target)
{
    return offset_at(p, base_offset) <= target;
}

int kj_offset_index_lookup(struct kj_file *file, int64_t base_offset, uint32_t count,
                           int64_t target, int64_t *ret_i, struct kj_offset_entry *ret_entry)
{
    const struct kj_index_search search = {file, KJ_OFFSET_ENTRY_BYTES, reaches, base_offset,
                                           target};
    uint8_t bytes[KJ_OFFSET_ENTRY_BYTES];
    int64_t i;
    int os = kj_index_find(&search, count, &i, bytes);
    if (os != 0)
        return os;
    if (i >= 0)
        kj_offset_entry_decode(bytes, base_offset, ret_entry);
    else
        *ret_entry = (struct kj_offset_entry){.offset = base_offset, .pos = 0};
    *ret_i = i;
    return 0;
}
