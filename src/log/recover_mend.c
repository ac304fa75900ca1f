/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/recover_mend.c - a batch is known by more than its header says. Base offset, length, epoch and magic
 * lie outside the CRC; a flipped bit in one of them leaves everything else checkable:
 *
 *   base offset   must be the expected one, and the batch behind must go on from there
 *   magic         must be 2
 *   length        the CRC is right for exactly one end, where the next batch, zeros or the segment's end stand
 *   epoch         recover_segment.c
 *
 * Only where compaction never was: there the expected offset is known.
 */
#include "log/recover.h"

#include "base/crc32c.h"

#include <string.h>

/* Continues crc over [from, to). False if it cannot be read. */
static bool extend_crc(struct kj_reading *reading, int64_t from, int64_t to, uint32_t *crc)
{
    while (from < to) {
        size_t len = to - from < 4096 ? (size_t)(to - from) : 4096;
        const uint8_t *p = kj_scan_bytes(&reading->scan, from, len);
        if (p == NULL)
            return false;
        *crc = kj_crc32c(*crc, p, len);
        from += (int64_t)len;
    }
    return true;
}

static bool begins_with(struct kj_reading *reading, int64_t pos, int64_t base_offset)
{
    if (pos + KJ_BATCH_HEADER_BYTES > reading->size)
        return false;
    const uint8_t *p = kj_scan_bytes(&reading->scan, pos, KJ_BATCH_HEADER_BYTES);
    return p != NULL && p[KJ_BATCH_MAGIC_AT] == KJ_BATCH_MAGIC && kj_get_be64s(p) == base_offset;
}

/* The end of the batch at pos by its CRC; 0 if there is none. */
static int64_t find_end(struct kj_reading *reading, int64_t pos, const struct kj_batch *batch, bool *ret_last)
{
    int64_t next = reading->recovery->expected + batch->last_offset_delta + 1;
    int64_t done = pos + KJ_BATCH_ATTRIBUTES_AT;
    uint32_t crc = 0;
    *ret_last = false;
    for (int64_t at = pos + KJ_BATCH_HEADER_BYTES; at <= reading->size; at++) {
        bool last = at == reading->size;
        if (at - pos > INT32_MAX)
            return 0; /* no batch is so long */
        if (!last && !begins_with(reading, at, next)) {
            const uint8_t *p = at + KJ_BATCH_HEADER_BYTES <= reading->size
                                   ? kj_scan_bytes(&reading->scan, at, KJ_BATCH_HEADER_BYTES)
                                   : NULL;
            if (p != NULL)
                at = kj_scan_candidate(&reading->scan, at, p);
            continue;
        }
        if (!extend_crc(reading, done, at, &crc))
            return 0;
        done = at;
        if (crc == batch->crc) {
            *ret_last = last;
            return at;
        }
    }
    return 0;
}

/* With the stored length, if that can be: the CRC decides. */
static int64_t stored_end(struct kj_reading *reading, int64_t pos, const struct kj_batch *batch)
{
    if (batch->length < KJ_BATCH_LENGTH_MIN)
        return 0;
    int64_t end = pos + (int64_t)kj_batch_bytes(batch);
    uint32_t crc = 0;
    if (end > reading->size || !extend_crc(reading, pos + KJ_BATCH_ATTRIBUTES_AT, end, &crc) || crc != batch->crc)
        return 0;
    return end;
}

int kj_reading_mend(struct kj_reading *reading, struct kj_batch *ret_batch, bool *ret_mended)
{
    struct kj_recovery *recovery = reading->recovery;
    int64_t pos = reading->scan.pos;
    *ret_mended = false;
    if (pos + KJ_BATCH_HEADER_BYTES > reading->size)
        return 0;
    const uint8_t *p = kj_scan_bytes(&reading->scan, pos, KJ_BATCH_HEADER_BYTES);
    if (p == NULL)
        return 0;
    struct kj_batch batch;
    kj_batch_decode(p, &batch);
    if (batch.last_offset_delta < 0)
        return 0;
    bool base_right = batch.base_offset == recovery->expected;
    int64_t next = recovery->expected + batch.last_offset_delta + 1;
    bool last = false;
    int64_t end = stored_end(reading, pos, &batch);
    if (end == 0 && base_right && batch.magic == KJ_BATCH_MAGIC)
        end = find_end(reading, pos, &batch, &last); /* one field at a time: two are more than a flipped bit */
    if (end == 0 || end - pos - KJ_BATCH_LENGTH_OVERHEAD > INT32_MAX)
        return 0;
    if (!base_right && !begins_with(reading, end, next))
        return 0; /* nobody vouches for the offset */
    int64_t old_base = batch.base_offset;
    batch.base_offset = recovery->expected;
    batch.length = (int32_t)(end - pos - KJ_BATCH_LENGTH_OVERHEAD);
    batch.magic = KJ_BATCH_MAGIC;
    uint8_t head[KJ_BATCH_HEADER_BYTES];
    kj_batch_encode(&batch, head);
    KJ_TRY(kj_reading_patch(reading, pos, head, KJ_BATCH_CRC_AT));
    kj_log_tell(recovery->log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, recovery->expected, next,
                "%s: segment %lld at %lld: the header of a batch was damaged (base offset %lld) and put right",
                recovery->log->dir, (long long)reading->segment->base_offset, (long long)pos, (long long)old_base);
    recovery->damaged_ranges++;
    *ret_batch = batch;
    *ret_mended = true;
    return 0;
}
