/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/index.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "log/index_search.h"

void kj_time_entry_encode(const struct kj_time_entry *entry, int64_t base_offset, uint8_t *p)
{
    KJ_ASSERT(entry->offset >= base_offset && entry->offset - base_offset <= INT32_MAX);
    kj_put_be64(p, (uint64_t)entry->timestamp);
    kj_put_be32(p + 8, (uint32_t)(entry->offset - base_offset));
}

void kj_time_entry_decode(const uint8_t *p, int64_t base_offset, struct kj_time_entry *ret_entry)
{
    ret_entry->timestamp = kj_get_be64s(p);
    ret_entry->offset = (int64_t)((uint64_t)base_offset + (uint64_t)(int64_t)kj_get_be32s(p + 8));
}

int kj_time_index_read(struct kj_file *file, int64_t base_offset, uint32_t i,
                       struct kj_time_entry *ret_entry)
{
    uint8_t bytes[KJ_TIME_ENTRY_BYTES];
    int os = kj_index_pread(file, bytes, sizeof bytes, (int64_t)i * KJ_TIME_ENTRY_BYTES);
    if (os == 0)
        kj_time_entry_decode(bytes, base_offset, ret_entry);
    return os;
}

static bool reaches(const uint8_t *p, int64_t base_offset, int64_t target)
{
    (void)base_offset; /* times are absolute */
    return kj_get_be64s(p) <= target;
}

int kj_time_index_lookup(struct kj_file *file, int64_t base_offset, uint32_t count, int64_t target,
                         int64_t *ret_i, struct kj_time_entry *ret_entry)
{
    const struct kj_index_search search = {file, KJ_TIME_ENTRY_BYTES, reaches, base_offset, target};
    uint8_t bytes[KJ_TIME_ENTRY_BYTES];
    int64_t i;
    int os = kj_index_find(&search, count, &i, bytes);
    if (os != 0)
        return os;
    if (i >= 0)
        kj_time_entry_decode(bytes, base_offset, ret_entry);
    else
        *ret_entry = (struct kj_time_entry){.timestamp = -1, .offset = base_offset};
    *ret_i = i;
    return 0;
}
