/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/recover_segment.c - one segment after an unclean stop. Read past the page cache, because what the
 * cache shows may never have reached the disk.
 *
 * What is believed
 *   1. In a segment that kaja wrote the next batch has the expected offset; where compaction was,
 *      at least it.
 *   2. The fields outside the CRC (offset, length, epoch, magic) can be told from the neighbours and the
 *      CRC: such a batch is put right in place (recover_mend.c).
 *   3. A plausible header with the expected offset and a wrong CRC: its extent is believed if a good batch
 *      stands right behind it. Nothing inside is looked at: a record may itself hold a valid batch.
 *   4. Else bytes are searched. A find counts only if its CRC is right, its offset fits between its
 *      neighbours, and batches follow it without a break to the segment's end or to zeros.
 *   5. Nothing good behind: a torn tail, cut, non-zero bytes set aside. Something good behind: the bad
 *      range is set aside, the segment ends before it, the good rest becomes a segment of its own.
 * Nothing that follows damage is ever deleted.
 */
#include "log/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool fits(const struct kj_reading *reading, const struct kj_batch *batch, int64_t expected)
{
    if (batch->base_offset < expected ||
        (batch->base_offset > expected && !kj_log_gap_ok(reading->recovery->log,
                                                         batch->base_offset)))
        return false;
    int64_t last = kj_batch_last_offset(batch);
    return last >= batch->base_offset && last - reading->segment->base_offset <= INT32_MAX;
}

/* --- looking behind --- */

enum kj_scan_result kj_reading_look(struct kj_reading *reading, int64_t pos, struct kj_batch *ret_batch)
{
    int64_t old = reading->scan.pos;
    reading->scan.pos = pos;
    enum kj_scan_result look = kj_scan_look(&reading->scan, ret_batch);
    reading->scan.pos = old;
    return look;
}

bool kj_reading_only_zeros(struct kj_reading *reading, int64_t pos)
{
    return kj_scan_nonzero(&reading->scan, pos) >= reading->size;
}

int kj_reading_patch(struct kj_reading *reading, int64_t pos, const void *bytes, size_t len)
{
    struct kj_log *log = reading->recovery->log;
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(reading->segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_pwrite(file, bytes, len, pos);
    if (os == 0)
        os = kj_io_sync(file);
    kj_segment_unpin(reading->segment);
    reading->scan.buf_len = 0; /* what was read is older */
    return os == 0 ? 0 : kj_log_io_error(log, os, "writing", KJ_FILE_LOG, reading->segment->base_offset, pos);
}

/* True if good batches stand from pos to the segment's end or zeros, rising from least on; the first
 * one's base to *ret_base. */
static bool chain_from(struct kj_reading *reading, int64_t pos, int64_t least, int64_t *ret_base)
{
    int64_t next = least;
    bool first = true;
    for (;;) {
        struct kj_batch batch;
        enum kj_scan_result look = kj_reading_look(reading, pos, &batch);
        if (!first && (look == KJ_SCAN_END || (look == KJ_SCAN_ZEROS && kj_reading_only_zeros(reading, pos))))
            return true;
        if (look != KJ_SCAN_BATCH || batch.base_offset < next ||
            (!first && batch.base_offset > next && !kj_log_gap_ok(reading->recovery->log,
                                                                  batch.base_offset)))
            return false;
        reading->budget -= (int64_t)kj_batch_bytes(&batch);
        if (first)
            *ret_base = batch.base_offset;
        first = false;
        next = kj_batch_next_offset(&batch);
        pos += (int64_t)kj_batch_bytes(&batch);
        if (reading->budget < 0)
            return false;
    }
}

/* A good batch right behind a believed extent; more damage may follow further on, it is met later. */
static bool good_at(struct kj_reading *reading, int64_t pos, int64_t least, int64_t most, int64_t *ret_base)
{
    struct kj_batch batch;
    if (kj_reading_look(reading, pos, &batch) != KJ_SCAN_BATCH || batch.base_offset < least ||
        batch.base_offset >= most)
        return false;
    *ret_base = batch.base_offset;
    return true;
}

/* Offsets of this segment end before the next one's base. */
static int64_t offset_limit(struct kj_reading *reading)
{
    int64_t next;
    struct kj_segment *segment = kj_segment_find(reading->recovery->log, reading->segment->base_offset, &next);
    if (segment != NULL)
        kj_segment_release(segment);
    return next;
}

/* A quick look at 61 bytes that may begin anywhere. */
static bool plausible(const uint8_t *p, int64_t least, int64_t most)
{
    if (p[KJ_BATCH_MAGIC_AT] != KJ_BATCH_MAGIC)
        return false;
    int64_t base = kj_get_be64s(p);
    return base >= least && base < most && kj_get_be32s(p + KJ_BATCH_LENGTH_AT) >= KJ_BATCH_LENGTH_MIN;
}

static bool search_bytes(struct kj_reading *reading, int64_t from, int64_t least, int64_t most, int64_t *ret_pos,
                         int64_t *ret_base)
{
    for (int64_t pos = from; pos + KJ_BATCH_HEADER_BYTES <= reading->size && reading->budget > 0; pos++) {
        const uint8_t *p = kj_scan_bytes(&reading->scan, pos, KJ_BATCH_HEADER_BYTES);
        if (p == NULL)
            return false;
        if (plausible(p, least, most) && chain_from(reading, pos, least, ret_base)) {
            *ret_pos = pos;
            return true;
        }
        if ((p = kj_scan_bytes(&reading->scan, pos, KJ_BATCH_HEADER_BYTES)) != NULL)
            pos = kj_scan_candidate(&reading->scan, pos, p);
    }
    return false;
}

/* A batch that belongs here and reaches past the end: an append that was cut short. What its records
 * hold is no batch of the log, even if it ends where the file ends. */
static bool torn_batch(struct kj_reading *reading)
{
    if (reading->scan.pos + KJ_BATCH_HEADER_BYTES > reading->size)
        return false;
    const uint8_t *p = kj_scan_bytes(&reading->scan, reading->scan.pos, KJ_BATCH_HEADER_BYTES);
    struct kj_batch batch;
    if (p == NULL)
        return false;
    kj_batch_decode(p, &batch);
    return batch.magic == KJ_BATCH_MAGIC && batch.length >= KJ_BATCH_LENGTH_MIN &&
           fits(reading, &batch, reading->recovery->expected);
}

/* Where good data goes on behind the bad bytes at scan.pos. False: nowhere. */
static bool find_rest(struct kj_reading *reading, enum kj_scan_result look, const struct kj_batch *bad,
                      int64_t *ret_pos, int64_t *ret_base)
{
    int64_t least = reading->recovery->expected;
    int64_t most = offset_limit(reading);
    int64_t pos = reading->scan.pos;
    reading->budget = 16 * (reading->size - pos) + (1 << 20);
    if (look == KJ_SCAN_PARTIAL && torn_batch(reading))
        return false;
    if (look == KJ_SCAN_ZEROS && kj_reading_only_zeros(reading, pos))
        return false;
    /* Extents of plausible headers, one behind the other, as long as each fits. */
    struct kj_batch batch;
    if (look == KJ_SCAN_BAD_CRC || look == KJ_SCAN_BATCH)
        batch = *bad;
    int64_t at = pos;
    int64_t expected = least;
    while ((look == KJ_SCAN_BAD_CRC || look == KJ_SCAN_BATCH) && fits(reading, &batch, expected)) {
        at += (int64_t)kj_batch_bytes(&batch);
        expected = kj_batch_next_offset(&batch);
        if (good_at(reading, at, least + 1, most, ret_base)) {
            *ret_pos = at;
            return true;
        }
        look = kj_reading_look(reading, at, &batch);
        if (look == KJ_SCAN_END || (look == KJ_SCAN_ZEROS && kj_reading_only_zeros(reading, at)))
            return false; /* the extent reaches to the end: what is inside is not looked at */
    }
    return search_bytes(reading, pos + 1, least, most, ret_pos, ret_base);
}

/* --- putting right --- */

static int repair_epoch(struct kj_reading *reading, struct kj_batch *batch)
{
    struct kj_recovery *recovery = reading->recovery;
    if (batch->epoch >= reading->epoch && batch->epoch <= reading->last_epoch)
        return 0;
    int32_t right = reading->epoch >= 0 ? reading->epoch : 0;
    uint8_t bytes[4];
    kj_put_be32(bytes, (uint32_t)right);
    KJ_TRY(kj_reading_patch(reading, reading->scan.pos + KJ_BATCH_EPOCH_AT, bytes, sizeof bytes));
    kj_log_tell(recovery->log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, batch->base_offset,
                kj_batch_next_offset(batch), "%s: segment %lld at %lld: the leader epoch %d was damaged, now %d",
                recovery->log->dir, (long long)reading->segment->base_offset, (long long)reading->scan.pos,
                (int)batch->epoch, (int)right);
    recovery->damaged_ranges++;
    batch->epoch = right;
    return 0;
}

/* --- taking a good batch --- */

static int take(struct kj_reading *reading, struct kj_batch *batch)
{
    struct kj_recovery *recovery = reading->recovery;
    struct kj_log *log = recovery->log;
    KJ_TRY(repair_epoch(reading, batch));
    reading->epoch = batch->epoch;
    bool changed;
    if (recovery->epochs_lost)
        KJ_TRY(kj_epochs_note(&log->epochs, batch->epoch, batch->base_offset, &changed));
    if (batch->producer_id >= 0) {
        size_t bytes = kj_batch_bytes(batch);
        bool control = kj_batch_has(batch, KJ_ATTR_CONTROL);
        struct kj_txn_entry txn;
        bool has_txn = false;
        const uint8_t *p = NULL;
        if (control && bytes <= 4096)
            p = kj_scan_bytes(&reading->scan, reading->scan.pos, bytes);
        if (!control || p != NULL)
            KJ_TRY(kj_log_note_batch(log, batch, p, &txn, &has_txn));
        if (has_txn) {
            KJ_TRY(kj_buffer_reserve(&reading->txns, reading->txns.len + KJ_TXN_ENTRY_BYTES));
            kj_txn_entry_encode(&txn, reading->txns.bytes + reading->txns.len);
            reading->txns.len += KJ_TXN_ENTRY_BYTES;
            reading->indexer.tail.txn_count++;
        }
    }
    KJ_TRY(kj_indexer_batch(&reading->indexer, batch));
    recovery->expected = kj_batch_next_offset(batch);
    kj_scan_skip(&reading->scan, batch);
    return 0;
}

/* --- damage --- */

static int split_here(struct kj_reading *reading, int64_t rest_pos, int64_t rest_base)
{
    struct kj_recovery *recovery = reading->recovery;
    struct kj_log *log = recovery->log;
    int64_t pos = reading->scan.pos;
    char lost[64] = "no offset is";
    if (rest_base > recovery->expected)
        (void)snprintf(lost, sizeof lost, "offsets %lld to %lld are", (long long)recovery->expected,
                       (long long)rest_base - 1);
    kj_log_tell(log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, recovery->expected, rest_base,
                "%s: segment %lld: bytes %lld to %lld are damaged and were set aside; %s lost, what "
                "follows is kept",
                log->dir, (long long)reading->segment->base_offset, (long long)pos, (long long)rest_pos, lost);
    recovery->damaged_ranges++;
    KJ_TRY(kj_recover_set_aside(log, reading->segment, pos, rest_pos));
    KJ_TRY(kj_recover_split(log, reading->segment, rest_pos, reading->size, rest_base));
    recovery->again = rest_base == reading->segment->base_offset;
    return recovery->again ? 0 : kj_recover_cut(log, reading->segment, pos);
}

static int cut_tail(struct kj_reading *reading)
{
    struct kj_recovery *recovery = reading->recovery;
    int64_t pos = reading->scan.pos;
    if (reading->size > pos) {
        KJ_TRY(kj_recover_set_aside(recovery->log, reading->segment, pos, reading->size));
        recovery->cut_bytes += reading->size - pos;
    }
    if (recovery->expected < recovery->recovery_point &&
        recovery->expected - reading->segment->base_offset <= INT32_MAX) {
        /* What was flushed once is not there: more than a torn tail. */
        recovery->damaged_ranges++;
        kj_log_tell(recovery->log, KAJA_EVENT_DAMAGE, KAJA_ERR_DAMAGED, recovery->expected,
                    recovery->recovery_point,
                    "%s: segment %lld ends at %lld, below the recovery point %lld", recovery->log->dir,
                    (long long)reading->segment->base_offset, (long long)recovery->expected,
                    (long long)recovery->recovery_point);
    }
    return kj_recover_cut(recovery->log, reading->segment, pos);
}

/* Reads on until the segment's end; *ret_split when the good rest was made a segment of its own. */
static int read_batches(struct kj_reading *reading, bool *ret_split)
{
    struct kj_recovery *recovery = reading->recovery;
    struct kj_log *log = recovery->log;
    for (;;) {
        struct kj_batch batch;
        enum kj_scan_result look = kj_scan_look(&reading->scan, &batch);
        if (look == KJ_SCAN_ERROR)
            return kj_log_io_error(log, reading->scan.os_errno, "reading", KJ_FILE_LOG,
                                   reading->segment->base_offset, reading->scan.pos);
        if (look == KJ_SCAN_OLD_MAGIC && reading->scan.pos == 0)
            return kj_err_at(kj_err(KAJA_ERR_UNSUPPORTED_MAGIC, "%s: segment %lld holds batches of magic 0 or 1",
                                    log->dir, (long long)reading->segment->base_offset),
                             log->topic, log->partition, -1, 0);
        if (look == KJ_SCAN_END)
            return 0;
        bool good = look == KJ_SCAN_BATCH && fits(reading, &batch, recovery->expected);
        if (!good && !kj_log_gap_ok(log, recovery->expected + 1) && look != KJ_SCAN_ZEROS)
            KJ_TRY(kj_reading_mend(reading, &batch, &good));
        if (good) {
            KJ_TRY(kj_scan_too_far(log, &reading->scan, &batch, reading->segment->base_offset));
            KJ_TRY(take(reading, &batch));
            continue;
        }
        int64_t rest_pos, rest_base;
        /* A good batch where it does not belong has no extent of its own to skip by: what stands behind
         * it is looked for like behind any other bad bytes. */
        if (!find_rest(reading, look, &batch, &rest_pos, &rest_base))
            return cut_tail(reading);
        *ret_split = true;
        return split_here(reading, rest_pos, rest_base);
    }
}

/* --- indexes --- */

static int cut_index(struct kj_log *log, struct kj_segment *segment, enum kj_file_kind kind, int64_t bytes)
{
    struct kj_file *file;
    struct kj_io_stat stat;
    KJ_TRY(kj_segment_pin(segment, kind, kind != KJ_FILE_TXNINDEX || bytes > 0, &file));
    int os = kj_io_stat_file(file, &stat);
    if (os == 0 && stat.size != bytes)
        os = kj_io_truncate(file, bytes);
    kj_segment_unpin(segment);
    return os == 0 ? 0 : kj_log_io_error(log, os, "cutting", kind, segment->base_offset, bytes);
}

/* The producer state as of the first batch to be read: newest snapshot, and the batches since. */
static int replay_producers(struct kj_recovery *recovery, int64_t to)
{
    struct kj_log *log = recovery->log;
    if (log->producers == NULL)
        KJ_TRY(kj_producers_new(&log->producers));
    if (log->producers_end == to)
        return 0;
    int64_t at;
    KJ_TRY(kj_log_load_snapshot(log, to, &at));
    while (at < to) {
        int64_t next;
        struct kj_segment *segment = kj_segment_find(log, at, &next);
        if (segment == NULL)
            break;
        struct kj_file *file;
        struct kj_scan scan;
        int64_t size;
        int err = kj_segment_bytes(segment, &size);
        if (err == 0)
            err = kj_segment_pin(segment, KJ_FILE_LOG, false, &file);
        if (err == 0) {
            err = kj_scan_init(&scan, file, 0, size, false);
            struct kj_batch batch;
            while (err == 0 && kj_scan_look(&scan, &batch) == KJ_SCAN_BATCH && batch.base_offset < to) {
                size_t bytes = kj_batch_bytes(&batch);
                bool control = kj_batch_has(&batch, KJ_ATTR_CONTROL);
                const uint8_t *p = control && bytes <= 4096 ? kj_scan_bytes(&scan, scan.pos, bytes) : NULL;
                struct kj_txn_entry txn;
                bool has_txn;
                if (batch.base_offset >= at && (!control || p != NULL))
                    err = kj_log_note_batch(log, &batch, p, &txn, &has_txn);
                kj_scan_skip(&scan, &batch);
            }
            kj_scan_free(&scan);
            kj_segment_unpin(segment);
        }
        kj_segment_release(segment);
        KJ_TRY(err);
        if (next == INT64_MAX)
            break;
        at = next;
    }
    log->producers_end = to;
    return 0;
}

/* The offset index goes first and comes back last, behind the others' flush: a segment that is read only
 * because it has none is read again if this recovery is cut short. */
static int prepare_indexes(struct kj_reading *reading)
{
    struct kj_log *log = reading->recovery->log;
    struct kj_segment *segment = reading->segment;
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    kj_segment_close(segment);
    KJ_TRY(kj_recover_clear_index(log, segment, KJ_FILE_TXNINDEX));
    KJ_TRY(kj_recover_clear_index(log, segment, KJ_FILE_TIMEINDEX));
    KJ_TRY(kj_recover_clear_index(log, segment, KJ_FILE_INDEX));
    kj_file_path(path, log->dir, KJ_FILE_INDEX, segment->base_offset);
    int os = kj_io_unlink(log->env->io, path);
    if (os != 0 && os != ENOENT)
        return kj_log_io_error(log, os, "removing", KJ_FILE_INDEX, segment->base_offset, -1);
    KJ_TRY(cut_index(log, segment, KJ_FILE_TIMEINDEX, 0));
    kj_file_path(path, log->dir, KJ_FILE_TXNINDEX, segment->base_offset);
    if (kj_io_stat(log->env->io, path, &stat) == 0)
        KJ_TRY(cut_index(log, segment, KJ_FILE_TXNINDEX, 0));
    return replay_producers(reading->recovery, segment->base_offset);
}

/* closed: the next recovery may not read it again, so what is written is flushed. */
static int write_indexes(struct kj_reading *reading, bool closed)
{
    struct kj_log *log = reading->recovery->log;
    struct kj_segment *segment = reading->segment;
    struct kj_tail *tail = &reading->indexer.tail;
    KJ_TRY(kj_indexer_close(&reading->indexer));
    KJ_TRY(kj_indexer_write_times(&reading->indexer, segment));
    if (reading->txns.len > 0) {
        struct kj_file *file;
        int64_t pos = tail->txn_count * KJ_TXN_ENTRY_BYTES - (int64_t)reading->txns.len;
        KJ_TRY(kj_segment_pin(segment, KJ_FILE_TXNINDEX, true, &file));
        int os = kj_io_pwrite(file, reading->txns.bytes, reading->txns.len, pos);
        kj_segment_unpin(segment);
        if (os != 0)
            return kj_log_io_error(log, os, "writing", KJ_FILE_TXNINDEX, segment->base_offset, pos);
    }
    if (closed)
        KJ_TRY(kj_segment_sync_indexes(segment));
    KJ_TRY(cut_index(log, segment, KJ_FILE_INDEX, 0));
    KJ_TRY(kj_indexer_write(&reading->indexer, segment));
    return closed ? kj_segment_sync_indexes(segment) : 0;
}

static int open_past_cache(struct kj_log *log, struct kj_segment *segment, struct kj_file **ret_file,
                           int64_t *ret_size)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    struct kj_file *file;
    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    int os = kj_io_sync(file);
    kj_segment_unpin(segment);
    if (os != 0)
        return kj_log_io_error(log, os, "flushing", KJ_FILE_LOG, segment->base_offset, -1);
    kj_file_path(path, log->dir, KJ_FILE_LOG, segment->base_offset);
    os = kj_io_open(log->env->io, path, KJ_IO_READ | KJ_IO_DIRECT, &file);
    if (os == EINVAL)
        os = kj_io_open(log->env->io, path, KJ_IO_READ, &file);
    if (os != 0)
        return kj_log_io_error(log, os, "opening", KJ_FILE_LOG, segment->base_offset, -1);
    if ((os = kj_io_stat_file(file, &stat)) != 0) {
        kj_io_close(file);
        return kj_log_io_error(log, os, "looking at", KJ_FILE_LOG, segment->base_offset, -1);
    }
    *ret_file = file;
    *ret_size = stat.size;
    return 0;
}

int kj_recover_segment(struct kj_recovery *recovery, struct kj_segment *segment, bool *ret_split)
{
    struct kj_log *log = recovery->log;
    struct kj_reading reading = {.recovery = recovery, .segment = segment, .epoch = -1};
    struct kj_file *file = NULL;
    *ret_split = false;
    KJ_TRY(kj_log_epochs(log));
    reading.last_epoch = recovery->epochs_lost ? INT32_MAX : kj_epochs_last(&log->epochs);
    KJ_TRY(open_past_cache(log, segment, &file, &reading.size));
    struct kj_tail tail = {.end = segment->base_offset, .max_timestamp = -1, .max_ts_offset = segment->base_offset};
    kj_indexer_init(&reading.indexer, segment->base_offset, log->config.index_interval_bytes, &tail, -1);
    reading.indexer.rebuild = true;
    recovery->expected = segment->base_offset;
    int err = kj_scan_init(&reading.scan, file, 0, reading.size, true);
    if (err == 0)
        err = prepare_indexes(&reading);
    if (err == 0)
        err = read_batches(&reading, ret_split);
    if (err == 0)
        err = write_indexes(&reading, !recovery->last || *ret_split);
    if (err == 0) {
        reading.indexer.tail.since_index = 0; /* as Kafka counts when it opens a segment */
        recovery->tail = reading.indexer.tail;
        recovery->tail.end = recovery->expected;
        log->producers_end = recovery->expected;
    }
    kj_indexer_free(&reading.indexer);
    kj_buffer_free(&reading.txns);
    kj_scan_free(&reading.scan);
    kj_io_close(file);
    return err;
}
