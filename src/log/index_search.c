/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/index_search.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>

int kj_index_pread(struct kj_file *file, void *buf, size_t len, int64_t pos)
{
    size_t got = 0;
    int os = kj_io_pread(file, buf, len, pos, &got);
    if (os == 0 && got < len)
        os = EIO;
    return os;
}

static int read_entries(const struct kj_index_search *search, int64_t first, int64_t n,
                        uint8_t *buf)
{
    return kj_index_pread(search->file, buf, (size_t)n * search->entry_bytes,
                          first * search->entry_bytes);
}

/* Finds low such that entry low reaches the target and high = low + 1 does not, given that low does
 * (or is -1) and high does not (or is the count), all between in buf, which starts at first. */
static int64_t search_piece(const struct kj_index_search *search, const uint8_t *buf, int64_t first,
                            int64_t low, int64_t high)
{
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        const uint8_t *p = buf + (middle - first) * search->entry_bytes;
        if (search->reaches(p, search->base_offset, search->target))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Halves (low, high) until what lies between fits a piece; the same invariant. */
static int narrow(const struct kj_index_search *search, int64_t per_piece, int64_t *low,
                  int64_t *high)
{
    while (*high - *low > per_piece) {
        uint8_t entry[16];
        int64_t middle = *low + (*high - *low) / 2;
        int os = read_entries(search, middle, 1, entry);
        if (os != 0)
            return os;
        if (search->reaches(entry, search->base_offset, search->target))
            *low = middle;
        else
            *high = middle;
    }
    return 0;
}

int kj_index_find(const struct kj_index_search *search, uint32_t count, int64_t *ret_i,
                  uint8_t *ret_entry)
{
    uint8_t buf[KJ_INDEX_PIECE_BYTES];
    const int64_t per_piece = KJ_INDEX_PIECE_BYTES / search->entry_bytes;
    KJ_ASSERT(search->entry_bytes <= 16);
    if (count == 0) {
        *ret_i = -1;
        return 0;
    }
    int64_t n = count < per_piece ? count : per_piece;
    int64_t first = count - n;
    int os = read_entries(search, first, n, buf);
    if (os != 0)
        return os;
    int64_t low = first - 1, high = count;
    if (first > 0 && !search->reaches(buf, search->base_offset, search->target)) {
        low = -1;
        high = first;
        os = narrow(search, per_piece, &low, &high);
        if (os != 0)
            return os;
        /* Entry low itself is wanted too, if there is one. */
        first = low < 0 ? 0 : low;
        os = read_entries(search, first, high - first, buf);
        if (os != 0)
            return os;
    }
    low = search_piece(search, buf, first, low, high);
    if (low >= 0)
        memcpy(ret_entry, buf + (low - first) * search->entry_bytes, search->entry_bytes);
    *ret_i = low;
    return 0;
}
