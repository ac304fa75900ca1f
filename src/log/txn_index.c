/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/index.h"

#include "base/bytes.h"
#include "base/err.h"
#include "log/index_search.h"

enum { VERSION = 0, PIECE_ENTRIES = KJ_INDEX_PIECE_BYTES / KJ_TXN_ENTRY_BYTES };

void kj_txn_entry_encode(const struct kj_txn_entry *entry, uint8_t *p)
{
    kj_put_be16(p, VERSION);
    kj_put_be64(p + 2, (uint64_t)entry->producer_id);
    kj_put_be64(p + 10, (uint64_t)entry->first_offset);
    kj_put_be64(p + 18, (uint64_t)entry->last_offset);
    kj_put_be64(p + 26, (uint64_t)entry->last_stable_offset);
}

int kj_txn_entry_decode(const uint8_t *p, int64_t base_offset, struct kj_txn_entry *ret_entry)
{
    int16_t version = kj_get_be16s(p);
    int64_t last_offset = kj_get_be64s(p + 18);
    if (version != VERSION)
        return kj_err(KAJA_ERR_DAMAGED, "an entry of version %d in %020lld.txnindex", version,
                      (long long)base_offset);
    if (last_offset < base_offset)
        return kj_err(KAJA_ERR_DAMAGED, "an entry that ends at offset %lld in %020lld.txnindex",
                      (long long)last_offset, (long long)base_offset);
    ret_entry->producer_id = kj_get_be64s(p + 2);
    ret_entry->first_offset = kj_get_be64s(p + 10);
    ret_entry->last_offset = last_offset;
    ret_entry->last_stable_offset = kj_get_be64s(p + 26);
    return 0;
}

int kj_txn_index_walk(struct kj_file *file, int64_t base_offset, uint32_t count,
                      kj_txn_index_callback *callback, void *arg)
{
    uint8_t buf[PIECE_ENTRIES * KJ_TXN_ENTRY_BYTES];
    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < PIECE_ENTRIES ? count - done : PIECE_ENTRIES;
        int64_t pos = (int64_t)done * KJ_TXN_ENTRY_BYTES;
        int os = kj_index_pread(file, buf, (size_t)n * KJ_TXN_ENTRY_BYTES, pos);
        if (os != 0)
            return kj_err_os(os, "reading %020lld.txnindex at byte %lld", (long long)base_offset,
                             (long long)pos);
        for (uint32_t i = 0; i < n; i++) {
            struct kj_txn_entry entry;
            KJ_TRY(kj_txn_entry_decode(buf + (size_t)i * KJ_TXN_ENTRY_BYTES, base_offset, &entry));
            int stop = callback(arg, &entry);
            if (stop != 0)
                return stop;
        }
        done += n;
    }
    return 0;
}
