/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/internal.h"

#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

/* Reads are made in pieces of this size, aligned for O_DIRECT; a batch may be longer than one. */
enum { PIECE = 1 << 18, ALIGN = 4096 };

int kj_scan_init(struct kj_scan *scan, struct kj_file *file, int64_t pos, int64_t limit, bool crc)
{
    *scan = (struct kj_scan){.file = file, .pos = pos, .limit = limit, .crc = crc, .capacity = PIECE};
    scan->buf = kj_alloc_aligned(ALIGN, PIECE);
    return scan->buf != NULL ? 0 : kj_err_oom("a scan buffer");
}

void kj_scan_free(struct kj_scan *scan)
{
    kj_free(scan->buf);
    scan->buf = NULL;
}

/* Makes the piece that begins at or below pos available; false at the end of the file or on error. */
static bool fill(struct kj_scan *scan, int64_t pos)
{
    int64_t from = pos - pos % ALIGN;
    size_t len;
    int os = kj_io_pread(scan->file, scan->buf, scan->capacity, from, &len);
    if (os != 0) {
        scan->os_errno = os;
        scan->buf_len = 0;
        return false;
    }
    scan->buf_pos = from;
    scan->buf_len = len;
    return from + (int64_t)len > pos;
}

const uint8_t *kj_scan_bytes(struct kj_scan *scan, int64_t pos, size_t len)
{
    KJ_ASSERT(len <= ALIGN);
    if (pos < scan->buf_pos || pos + (int64_t)len > scan->buf_pos + (int64_t)scan->buf_len) {
        if (!fill(scan, pos) || pos + (int64_t)len > scan->buf_pos + (int64_t)scan->buf_len)
            return NULL;
    }
    return scan->buf + (pos - scan->buf_pos);
}

int64_t kj_scan_nonzero(struct kj_scan *scan, int64_t pos)
{
    while (pos < scan->limit) {
        int64_t left = scan->limit - pos, next;
        size_t len = (size_t)(ALIGN - pos % ALIGN);
        if ((int64_t)len > left)
            len = (size_t)left;
        /* Once a piece: zeros that were written are no hole. */
        if ((pos < scan->buf_pos || pos + (int64_t)len > scan->buf_pos + (int64_t)scan->buf_len) &&
            kj_io_next_data(scan->file, pos, &next) == 0 && next > pos) {
            if (next >= scan->limit)
                return scan->limit;
            pos = next;
            continue;
        }
        const uint8_t *p = kj_scan_bytes(scan, pos, len);
        if (p == NULL)
            return pos;
        for (size_t i = 0; i < len; i++)
            if (p[i] != 0)
                return pos + (int64_t)i;
        pos += (int64_t)len;
    }
    return scan->limit;
}

int64_t kj_scan_candidate(struct kj_scan *scan, int64_t pos, const uint8_t *p)
{
    for (int i = 0; i < KJ_BATCH_HEADER_BYTES; i++)
        if (p[i] != 0)
            return pos;
    int64_t next = kj_scan_nonzero(scan, pos) - KJ_BATCH_MAGIC_AT - 1;
    return next > pos ? next : pos;
}

/* The CRC of [pos, pos + len), piece by piece. False if it could not be read. */
static bool crc_of(struct kj_scan *scan, int64_t pos, size_t len, uint32_t *ret_crc)
{
    uint32_t crc = 0;
    while (len > 0) {
        if (pos < scan->buf_pos || pos >= scan->buf_pos + (int64_t)scan->buf_len)
            if (!fill(scan, pos))
                return false;
        size_t at = (size_t)(pos - scan->buf_pos);
        size_t n = scan->buf_len - at < len ? scan->buf_len - at : len;
        crc = kj_crc32c(crc, scan->buf + at, n);
        pos += (int64_t)n;
        len -= n;
    }
    *ret_crc = crc;
    return true;
}

static enum kj_scan_result cut_short(struct kj_scan *scan)
{
    return scan->os_errno != 0 ? KJ_SCAN_ERROR : KJ_SCAN_PARTIAL;
}

/* The first bytes of a batch whose others never reached the disk look like one of magic 0; no such
 * batch has only zeros from its magic on. */
static bool is_torn_header(const uint8_t *p)
{
    for (int i = KJ_BATCH_MAGIC_AT; i < KJ_BATCH_HEADER_BYTES; i++)
        if (p[i] != 0)
            return false;
    return true;
}

enum kj_scan_result kj_scan_look(struct kj_scan *scan, struct kj_batch *ret_batch)
{
    int64_t left = scan->limit - scan->pos;
    scan->os_errno = 0;
    if (left <= 0)
        return KJ_SCAN_END;
    if (left < KJ_BATCH_HEADER_BYTES) {
        /* Too short for a batch: zeros are prepared space, anything else a torn tail. */
        const uint8_t *p = kj_scan_bytes(scan, scan->pos, (size_t)left);
        if (p == NULL)
            return cut_short(scan);
        for (int64_t i = 0; i < left; i++)
            if (p[i] != 0)
                return KJ_SCAN_PARTIAL;
        return KJ_SCAN_ZEROS;
    }
    const uint8_t *p = kj_scan_bytes(scan, scan->pos, KJ_BATCH_HEADER_BYTES);
    if (p == NULL)
        return cut_short(scan);
    switch (kj_batch_look(p, (size_t)left, ret_batch)) {
    case KJ_BATCH_OK:
        break;
    case KJ_BATCH_PARTIAL:
        return KJ_SCAN_PARTIAL;
    case KJ_BATCH_ZEROS:
        return KJ_SCAN_ZEROS;
    case KJ_BATCH_OLD_MAGIC:
        return is_torn_header(p) ? KJ_SCAN_BAD : KJ_SCAN_OLD_MAGIC;
    case KJ_BATCH_BAD:
    default:
        return KJ_SCAN_BAD;
    }
    if (!scan->crc)
        return KJ_SCAN_BATCH;
    uint32_t crc;
    if (!crc_of(scan, scan->pos + KJ_BATCH_ATTRIBUTES_AT, kj_batch_bytes(ret_batch) - KJ_BATCH_ATTRIBUTES_AT,
                &crc))
        return cut_short(scan);
    return crc == ret_batch->crc ? KJ_SCAN_BATCH : KJ_SCAN_BAD_CRC;
}
