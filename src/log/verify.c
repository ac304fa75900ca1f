/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/verify.c - what recovery would find (log/recover_segment.c), without repairing it.
 *
 *   damage          bytes below the end that are no batch, batches whose checksum, offset or
 *                   records are wrong, offsets that are missing
 *   unflushed tail  the last segment ends in bytes that are no batch and nothing good stands
 *                   behind them; prepared space: how every crash leaves it
 *   index           see log/verify_index.h
 *   foreign         names that neither Kafka nor kaja gives
 *
 * The end is read by the caller before the directory is listed: every offset below it is then in a
 * segment that is listed, unless retention takes it. Where a compaction changes segments meanwhile,
 * what was found in the one being read is not told, and it is read again.
 */
#include "log/verify.h"

#include "base/crc32c.h"
#include "log/internal.h"
#include "log/verify_index.h"
#include "record/batch_reader.h"
#include "record/validate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_BYTES_MAX = 128 << 20, /* larger ones: checksum only */
    PLAIN_BYTES_MAX = 128 << 20, /* the same */
    SEARCH_BYTES_MORE = 1 << 20
};

struct verify {
    const struct kj_verify_options *options;
    struct kj_verify_counts *counts;
    int64_t *bases; /* of the segments, rising */
    size_t base_count, base_capacity;
    int err; /* of the listing */
    struct kj_buffer bytes, plain;
    /* the segment that is read */
    char path[KJ_PATH_MAX];
    struct kj_scan scan;
    int64_t base, next_base; /* next_base: INT64_MAX for the last */
    int64_t expected;
    bool too_large;    /* told */
    bool told;         /* the gap before the next good batch was told as damage */
    bool index_judged; /* nobody can be changing this segment's indexes */
    bool end_found;    /* the last segment was read: the log ends at expected */
    uint64_t incarnation; /* live: when the directory was listed */
    bool moved;           /* compaction came between: read again */
    bool again;           /* listed again: names were told */
    struct kj_index_walk offsets, times;
};

static void find_at(struct verify *v, int kind, int error, const char *file, int64_t offset,
                    int64_t pos, int64_t bytes, const char *format, ...)
    __attribute__((format(printf, 8, 9)));

/* Files may have got others' names since the directory was listed. */
static bool moved(const struct verify *v)
{
    return v->options->log != NULL &&
           (kj_log_word(v->options->log, KJ_SLOT_INCARNATION) != v->incarnation ||
            kj_log_word(v->options->log, KJ_SLOT_INTENT) == KJ_INTENT_REPLACE);
}

/* Offsets in front of `to` may be missing. */
static bool gap_ok(const struct verify *v, int64_t to)
{
    return to <= v->options->gaps_below ||
           (v->options->log != NULL && kj_log_gap_ok(v->options->log, to));
}

static void find_at(struct verify *v, int kind, int error, const char *file, int64_t offset,
                    int64_t pos, int64_t bytes, const char *format, ...)
{
    char text[256];
    va_list args;
    v->moved = v->moved || moved(v);
    if (v->moved)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct kj_verify_finding finding = {kind, error, file, offset, pos, bytes, text};
    v->options->callback(v->options->arg, &finding);
}

static int failed(int os, const char *what, const char *path)
{
    return kj_err_os(os, "%s %s", what, path);
}

/* --- the directory --- */

static bool is_needed(const char *name, enum kj_file_kind kind)
{
    return kind == KJ_FILE_LOG || kind == KJ_FILE_INDEX || kind == KJ_FILE_TIMEINDEX ||
           kind == KJ_FILE_TXNINDEX || strcmp(name, "leader-epoch-checkpoint") == 0;
}

static int note_name(void *arg, const char *name, enum kj_io_type type)
{
    struct verify *v = arg;
    struct verify silent = {.options = v->options, .moved = true};
    struct verify *tell = v->again ? &silent : v;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    char path[KJ_DIR_NAME_MAX * 2 + 2];
    (void)snprintf(path, sizeof path, "%s/%s", v->options->dir, name);
    size_t len = strlen(name);
    bool temporary = len > 4 && strcmp(name + len - 4, ".tmp") == 0;
    if (kind == KJ_FILE_DAMAGED) {
        find_at(tell, KAJA_FINDING_FOREIGN, 0, path, offset, -1, -1,
                "bytes that an earlier recovery set aside");
    } else if (type != KJ_IO_FILE && suffix == KJ_SUFFIX_NONE && is_needed(name, kind)) {
        find_at(tell, kind == KJ_FILE_LOG ? KAJA_FINDING_DAMAGE : KAJA_FINDING_INDEX,
                KAJA_ERR_NOT_KAJA,
                path, offset, -1, -1,
                "a link or something else than a file: it is neither read nor written");
    } else if (type != KJ_IO_FILE || (kind == KJ_FILE_OTHER && !temporary &&
                                      strcmp(name, "leader-epoch-checkpoint") != 0 &&
                                      strcmp(name, "partition.metadata") != 0)) {
        find_at(tell, KAJA_FINDING_FOREIGN, 0, path, -1, -1, -1, "this does not belong here");
    } else if (kind == KJ_FILE_LOG && suffix == KJ_SUFFIX_NONE) {
        void *grown = v->bases;
        v->err = kj_grow(&grown, &v->base_capacity, v->base_count + 1, sizeof *v->bases);
        v->bases = grown;
        if (v->err != 0)
            return ENOMEM;
        v->bases[v->base_count++] = offset;
    }
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static int list(struct verify *v)
{
    v->base_count = 0;
    v->moved = false;
    if (v->options->log != NULL)
        v->incarnation = kj_log_word(v->options->log, KJ_SLOT_INCARNATION);
    int os = kj_io_list(v->options->io, v->options->dir, note_name, v);
    if (v->err != 0)
        return v->err;
    if (os != 0)
        return failed(os, "listing", v->options->dir);
    v->moved = false;
    if (v->base_count > 1)
        qsort(v->bases, v->base_count, sizeof *v->bases, by_offset);
    return 0;
}

/* --- bad bytes --- */

static bool judged(const struct verify *v)
{
    return v->expected < v->options->end;
}

/* The last segment after a crash: whatever ends it badly was never flushed. */
static bool may_be_torn(const struct verify *v)
{
    return v->next_base == INT64_MAX && !v->options->live && !v->options->clean &&
           v->expected >= v->options->recovery_point;
}

static bool fits(const struct verify *v, const struct kj_batch *batch)
{
    int64_t last = kj_batch_last_offset(batch);
    return (batch->base_offset == v->expected ||
            (batch->base_offset > v->expected && gap_ok(v, batch->base_offset))) &&
           last >= batch->base_offset && last < v->next_base && last - v->base <= INT32_MAX;
}

static enum kj_scan_result look_at(struct verify *v, int64_t pos, struct kj_batch *ret_batch)
{
    int64_t old = v->scan.pos;
    v->scan.pos = pos;
    enum kj_scan_result look = kj_scan_look(&v->scan, ret_batch);
    v->scan.pos = old;
    return look;
}

static bool only_zeros(struct verify *v, int64_t pos)
{
    return kj_scan_nonzero(&v->scan, pos) >= v->scan.limit;
}

/* A good batch at pos with offsets that could stand behind what is missing. */
static bool good_at(struct verify *v, int64_t pos, struct kj_batch *ret_batch)
{
    return look_at(v, pos, ret_batch) == KJ_SCAN_BATCH && ret_batch->base_offset >= v->expected &&
           kj_batch_last_offset(ret_batch) < v->next_base;
}

/* What follows the batch at pos goes on from it, or is the end: it is no batch inside a record, and
 * its offset is right. */
static bool goes_on(struct verify *v, int64_t pos, const struct kj_batch *batch)
{
    struct kj_batch next;
    int64_t behind = pos + (int64_t)kj_batch_bytes(batch);
    if (behind >= v->scan.limit || only_zeros(v, behind))
        return true;
    enum kj_scan_result look = look_at(v, behind, &next);
    return (look == KJ_SCAN_BATCH || look == KJ_SCAN_BAD_CRC) &&
           (next.base_offset == kj_batch_next_offset(batch) ||
            (next.base_offset > kj_batch_next_offset(batch) && gap_ok(v, next.base_offset)));
}

/* The header at scan.pos if it is one of this place, whatever length it says. */
static bool header_fits(struct verify *v, struct kj_batch *ret_batch)
{
    if (v->scan.pos + KJ_BATCH_HEADER_BYTES > v->scan.limit)
        return false;
    const uint8_t *p = kj_scan_bytes(&v->scan, v->scan.pos, KJ_BATCH_HEADER_BYTES);
    if (p == NULL)
        return false;
    kj_batch_decode(p, ret_batch);
    return ret_batch->magic == KJ_BATCH_MAGIC && ret_batch->last_offset_delta >= 0 &&
           fits(v, ret_batch);
}

/* The end of the batch at scan.pos where only its length is wrong: the next batch's offset stands
 * there and the checksum is right up to there. 0 if there is none. */
static int64_t end_by_crc(struct verify *v, const struct kj_batch *batch)
{
    int64_t done = v->scan.pos + KJ_BATCH_ATTRIBUTES_AT;
    int64_t last = v->scan.limit - KJ_BATCH_HEADER_BYTES;
    uint32_t crc = 0;
    for (int64_t at = v->scan.pos + KJ_BATCH_HEADER_BYTES; at <= last; at++) {
        const uint8_t *p = kj_scan_bytes(&v->scan, at, KJ_BATCH_HEADER_BYTES);
        if (p == NULL)
            return 0;
        if (p[KJ_BATCH_MAGIC_AT] != KJ_BATCH_MAGIC ||
            kj_get_be64s(p) != kj_batch_next_offset(batch)) {
            at = kj_scan_candidate(&v->scan, at, p);
            if (at - v->scan.pos > INT32_MAX)
                return 0; /* no batch is so long */
            continue;
        }
        for (; done < at; done += at - done < 4096 ? at - done : 4096) {
            size_t len = at - done < 4096 ? (size_t)(at - done) : 4096;
            if ((p = kj_scan_bytes(&v->scan, done, len)) == NULL)
                return 0;
            crc = kj_crc32c(crc, p, len);
        }
        if (crc == batch->crc)
            return at;
    }
    return 0;
}

static int64_t search_bytes(struct verify *v)
{
    struct kj_batch batch;
    int64_t end = v->scan.limit, from = v->scan.pos;
    int64_t budget = 16 * (end - from) + SEARCH_BYTES_MORE;
    for (int64_t pos = from + 1; pos + KJ_BATCH_HEADER_BYTES <= end && budget > 0; pos++) {
        const uint8_t *p = kj_scan_bytes(&v->scan, pos, KJ_BATCH_HEADER_BYTES);
        if (p == NULL)
            return end;
        if (p[KJ_BATCH_MAGIC_AT] != KJ_BATCH_MAGIC || kj_get_be64s(p) < v->expected ||
            kj_get_be64s(p) >= v->next_base) {
            pos = kj_scan_candidate(&v->scan, pos, p);
            continue;
        }
        int32_t length = kj_get_be32s(p + KJ_BATCH_LENGTH_AT);
        budget -= length > 0 && length < end - pos ? length : 0;
        if (good_at(v, pos, &batch) && goes_on(v, pos, &batch))
            return pos;
    }
    return end;
}

/* Where good batches go on behind bad bytes at scan.pos; the segment's end if nowhere. A believed
 * extent is not looked into: a record may hold a batch itself. */
static int64_t find_rest(struct verify *v)
{
    struct kj_batch batch, next;
    if (!header_fits(v, &batch))
        return search_bytes(v);
    int64_t behind = v->scan.pos + (int64_t)kj_batch_bytes(&batch);
    bool extent = batch.length >= KJ_BATCH_LENGTH_MIN && behind < v->scan.limit;
    if (extent && (good_at(v, behind, &next) || only_zeros(v, behind)))
        return behind;
    int64_t by_crc = end_by_crc(v, &batch);
    if (by_crc != 0)
        return by_crc;
    return extent || batch.length < KJ_BATCH_LENGTH_MIN ? search_bytes(v) : v->scan.limit;
}

/* Bytes at scan.pos that are no batch of this place. Moves behind them. */
static void bad_bytes(struct verify *v, enum kj_scan_result look)
{
    int64_t pos = v->scan.pos;
    int64_t rest = look == KJ_SCAN_ZEROS && only_zeros(v, pos) ? v->scan.limit : find_rest(v);
    bool tail = rest == v->scan.limit || only_zeros(v, rest);
    bool whole = v->next_base == INT64_MAX ? v->expected >= v->options->recovery_point
                                           : v->expected == v->next_base;
    if (look == KJ_SCAN_ZEROS && tail && whole && !v->options->live)
        find_at(v, KAJA_FINDING_UNFLUSHED_TAIL, 0, v->path, v->expected, pos, v->scan.limit - pos,
                "%lld zero bytes at the end: space that was prepared",
                (long long)(v->scan.limit - pos));
    else if (tail && may_be_torn(v))
        find_at(v, KAJA_FINDING_UNFLUSHED_TAIL, 0, v->path, v->expected, pos, v->scan.limit - pos,
                "%lld bytes at the end: an append that was not finished",
                (long long)(v->scan.limit - pos));
    else {
        v->told = true;
        find_at(v, KAJA_FINDING_DAMAGE, KAJA_ERR_DAMAGED, v->path, v->expected, pos, rest - pos,
                "%lld bytes from position %lld on are no batch with offset %lld%s",
                (long long)(rest - pos), (long long)pos, (long long)v->expected,
                look == KJ_SCAN_BAD_CRC ? ": wrong checksum" : "");
    }
    v->scan.pos = tail ? v->scan.limit : rest;
}

/* --- good batches --- */

/* The records, where the batch is not too large and its codec was built in. */
static int check_records(struct verify *v, const struct kj_batch *batch)
{
    size_t bytes = kj_batch_bytes(batch), len;
    v->counts->records += batch->count;
    if (bytes > BATCH_BYTES_MAX)
        return 0;
    KJ_TRY(kj_buffer_reserve(&v->bytes, bytes));
    int os = kj_io_pread(v->scan.file, v->bytes.bytes, bytes, v->scan.pos, &len);
    if (os != 0)
        return failed(os, "reading", v->path);
    const struct kj_validate_options rules = {
        .log_append_time = true, /* times are not judged any more */
        .max_bytes = SIZE_MAX,
        .plain_max_bytes = PLAIN_BYTES_MAX,
        .plain = &v->plain,
    };
    struct kj_batch again;
    int64_t max_timestamp;
    int err = len < bytes ? KAJA_ERR_CORRUPT_MESSAGE
                          : kj_batch_validate(v->bytes.bytes, bytes, &rules, &again,
                                              &max_timestamp);
    if (err == KAJA_ERR_OUT_OF_MEMORY)
        return err;
    if (err != 0 && err != KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE &&
        err != KAJA_ERR_RECORD_TOO_LARGE)
        find_at(v, KAJA_FINDING_DAMAGE, err, v->path, batch->base_offset, v->scan.pos,
                (int64_t)bytes, "the records of the batch at position %lld are wrong: %s",
                (long long)v->scan.pos, kaja_error_detail());
    return 0;
}

static void missing(struct verify *v, int64_t next, int64_t pos)
{
    find_at(v, KAJA_FINDING_DAMAGE, KAJA_ERR_DAMAGED, v->path, v->expected, pos, -1,
            "offsets %lld to %lld are missing", (long long)v->expected, (long long)next - 1);
}

static int good_batch(struct verify *v, const struct kj_batch *batch)
{
    int64_t pos = v->scan.pos;
    int os = 0;
    if (batch->base_offset > v->expected && !gap_ok(v, batch->base_offset) && !v->told)
        missing(v, batch->base_offset, pos);
    if (v->told) {
        os = kj_index_walk_skip(&v->offsets, pos);
        if (os == 0)
            os = kj_index_walk_skip(&v->times, batch->base_offset);
    }
    v->told = false;
    if (pos + (int64_t)kj_batch_bytes(batch) > INT32_MAX && !v->too_large) {
        v->too_large = true;
        find_at(v, KAJA_FINDING_DAMAGE, KAJA_ERR_DAMAGED, v->path, batch->base_offset, pos, -1,
                "batches behind %d bytes, which no broker opens: too large for a segment",
                INT32_MAX);
    }
    KJ_TRY(check_records(v, batch));
    if (os == 0)
        os = kj_index_walk_batch(&v->offsets, batch, pos);
    if (os == 0)
        os = kj_index_walk_batch(&v->times, batch, pos);
    if (os != 0)
        return failed(os, "reading an index of", v->path);
    v->counts->batches++;
    v->counts->bytes += (int64_t)kj_batch_bytes(batch);
    v->expected = kj_batch_next_offset(batch);
    kj_scan_skip(&v->scan, batch);
    return 0;
}

static int walk_batches(struct verify *v)
{
    struct kj_batch batch;
    while (judged(v)) {
        enum kj_scan_result look = kj_scan_look(&v->scan, &batch);
        if (look == KJ_SCAN_END)
            break;
        if (look == KJ_SCAN_ERROR)
            return failed(v->scan.os_errno, "reading", v->path);
        if (look == KJ_SCAN_OLD_MAGIC && v->scan.pos == 0) {
            find_at(v, KAJA_FINDING_FOREIGN, KAJA_ERR_UNSUPPORTED_MAGIC, v->path, v->base, 0,
                    v->scan.limit, "batches of magic 0 or 1: not checked");
            v->expected = v->next_base == INT64_MAX ? INT64_MAX : v->next_base; /* not known */
            return 0;
        }
        /* Offsets that are missing before a good batch are one thing, a wrong offset is another. */
        if (look == KJ_SCAN_BATCH &&
            (fits(v, &batch) ||
             (batch.base_offset > v->expected && kj_batch_last_offset(&batch) < v->next_base &&
              kj_batch_last_offset(&batch) - v->base <= INT32_MAX &&
              (v->told || goes_on(v, v->scan.pos, &batch)))))
            KJ_TRY(good_batch(v, &batch));
        else
            bad_bytes(v, look);
    }
    return 0;
}

/* --- indexes --- */

static void index_finding(struct verify *v, const char *path, int64_t pos, const char *text)
{
    /* A segment that ends at or behind the recovery point has its indexes rebuilt after a crash, as in
     * recover.c; a death in the middle of that leaves it without. */
    bool ordinary =
        !v->options->live && !v->options->clean && v->next_base >= v->options->recovery_point;
    find_at(v, ordinary ? KAJA_FINDING_UNFLUSHED_TAIL : KAJA_FINDING_INDEX,
            ordinary ? 0 : KAJA_ERR_DAMAGED,
            path, v->base, pos, -1, "%s%s", text, ordinary ? " (rebuilt at the next open)" : "");
}

static void end_index(struct verify *v, struct kj_index_walk *walk)
{
    bool closed = v->next_base != INT64_MAX;
    if (!v->index_judged)
        return;
    if (walk->file == NULL && v->scan.limit > 0 && !walk->in_the_way)
        index_finding(v, walk->path, -1, "the index is missing");
    kj_index_walk_end(walk, closed && !v->options->live && !v->told);
    if (walk->bad_pos >= 0)
        index_finding(v, walk->path, walk->bad_pos, walk->bad_text);
}

static int check_txn_entry(void *arg, const struct kj_txn_entry *entry)
{
    const int64_t *next_base = arg;
    bool rises = entry->first_offset <= entry->last_offset && entry->last_offset < *next_base;
    return rises ? 0 : kj_err(KAJA_ERR_DAMAGED, "an entry has impossible offsets");
}

static int check_txn_index(struct verify *v)
{
    char path[KJ_PATH_MAX];
    struct kj_file *file;
    struct kj_io_stat stat;
    kj_file_path(path, v->options->dir, KJ_FILE_TXNINDEX, v->base);
    int os = kj_io_open(v->options->io, path, KJ_IO_READ, &file);
    if (os == ENOENT || (os != 0 && kj_not_a_file(v->options->io, path)))
        return 0; /* what is in the way was told when the directory was read */
    if (os != 0)
        return failed(os, "opening", path);
    if ((os = kj_io_stat_file(file, &stat)) != 0) {
        kj_io_close(file);
        return failed(os, "looking at", path);
    }
    uint32_t count = (uint32_t)(stat.size / KJ_TXN_ENTRY_BYTES);
    int err = kj_txn_index_walk(file, v->base, count, check_txn_entry, &v->next_base);
    kj_io_close(file);
    if (err != KAJA_ERR_DAMAGED)
        return err;
    if (v->index_judged)
        index_finding(v, path, -1, "an entry of the transaction index is malformed");
    return 0;
}

/* --- a segment --- */

static int read_segment(struct verify *v, struct kj_file *file)
{
    struct kj_io_stat stat;
    int os = kj_io_stat_file(file, &stat);
    if (os != 0)
        return failed(os, "looking at", v->path);
    KJ_TRY(kj_scan_init(&v->scan, file, 0, stat.size, true));
    v->offsets.file = v->times.file = NULL;
    os = kj_index_walk_open(&v->offsets, v->options->io, v->options->dir, KJ_FILE_INDEX, v->base,
                            !gap_ok(v, v->base + 1));
    if (os == 0)
        os = kj_index_walk_open(&v->times, v->options->io, v->options->dir, KJ_FILE_TIMEINDEX,
                                v->base, !gap_ok(v, v->base + 1));
    int err = os == 0 ? walk_batches(v) : failed(os, "opening an index of", v->path);
    if (err == 0) {
        end_index(v, &v->offsets);
        end_index(v, &v->times);
        err = check_txn_index(v);
    }
    kj_index_walk_close(&v->offsets);
    kj_index_walk_close(&v->times);
    kj_scan_free(&v->scan);
    return err;
}

static int verify_segment(struct verify *v, size_t i)
{
    struct kj_file *file;
    v->base = v->bases[i];
    v->next_base = i + 1 < v->base_count ? v->bases[i + 1] : INT64_MAX;
    v->expected = v->base;
    v->told = v->too_large = false;
    /* Behind the count, which the walk does not know, an active segment's index may hold
     * anything; so may that of one that was just closed. */
    v->index_judged = !v->options->live || i + 2 < v->base_count;
    kj_file_path(v->path, v->options->dir, KJ_FILE_LOG, v->base);
    int os = kj_io_open(v->options->io, v->path, KJ_IO_READ, &file);
    if (os == ENOENT) /* retention was faster */
        return 0;
    if (os != 0)
        return failed(os, "opening", v->path);
    v->counts->segments++;
    int err = read_segment(v, file);
    kj_io_close(file);
    bool last = v->next_base == INT64_MAX;
    int64_t wanted = v->next_base < v->options->end ? v->next_base : v->options->end;
    if (err == 0 && !last && v->expected < wanted && !gap_ok(v, wanted) && !v->told)
        missing(v, wanted, -1);
    v->end_found = err == 0 && last && !v->told;
    return err;
}

/* The directory as it is now, and where in it to go on so that nothing of the segment at base is
 * left out. */
static int list_again(struct verify *v, int64_t base, size_t *ret_at)
{
    v->again = true;
    KJ_TRY(list(v));
    *ret_at = 0;
    for (size_t i = 0; i < v->base_count && v->bases[i] <= base; i++)
        *ret_at = i;
    return 0;
}

static int verify_segments(struct verify *v)
{
    int tries = 0;
    for (size_t i = 0; i < v->base_count;) {
        struct kj_verify_counts before = *v->counts;
        KJ_TRY(verify_segment(v, i));
        if (!v->moved) {
            i++;
            continue;
        }
        if (++tries > KJ_MOVED_TRIES)
            return kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                          "%s: a compaction is being put in place, by a process that does not "
                          "finish it: nothing can be said of the partition until it does",
                          v->options->dir);
        *v->counts = before;
        KJ_TRY(list_again(v, v->base, &i));
    }
    return 0;
}

/* leader-epoch-checkpoint is replaced without a flush as appends go on: a crash may tear it. */
static int check_epochs(struct verify *v)
{
    char path[KJ_PATH_MAX];
    struct kj_epochs epochs = {0};
    int err = kj_epochs_read(v->options->io, v->options->dir, &epochs);
    kj_epochs_free(&epochs);
    if (err != KAJA_ERR_DAMAGED)
        return err == KAJA_ERR_NOT_KAJA ? 0 : err; /* that was told when the directory was read */
    bool ordinary = !v->options->live && !v->options->clean;
    (void)snprintf(path, sizeof path, "%s/leader-epoch-checkpoint", v->options->dir);
    find_at(v, ordinary ? KAJA_FINDING_UNFLUSHED_TAIL : KAJA_FINDING_INDEX,
            ordinary ? 0 : KAJA_ERR_DAMAGED, path, -1, -1, -1, "%s (rebuilt at the next open)",
            kaja_error_detail());
    return 0;
}

/* What was flushed once, or published to those who are at work, has its end in the last segment: no
 * crash, no retention and no compaction moves that back. */
static void check_end(struct verify *v)
{
    const struct kj_verify_options *options = v->options;
    bool empty = v->base_count == 0;
    int64_t wanted = options->live ? options->end : options->recovery_point;
    int64_t end = empty ? 0 : v->expected;
    if ((empty || v->end_found) && end < wanted)
        find_at(v, KAJA_FINDING_DAMAGE, KAJA_ERR_DAMAGED, empty ? options->dir : v->path, end, -1,
                -1, "%s up to offset %lld, ends at %lld: what stood between is lost",
                options->live ? "published" : "flushed", (long long)wanted, (long long)end);
}

int kj_verify_partition(const struct kj_verify_options *options, struct kj_verify_counts *counts)
{
    struct verify *v = kj_alloc_zero(1, sizeof *v);
    if (v == NULL)
        return kj_err_oom("verifying");
    v->options = options;
    v->counts = counts;
    int err = list(v);
    if (err == 0 && v->base_count == 0 && options->live)
        err = list(v); /* it may have rolled and let go of all that was there when the look began */
    if (err == 0)
        err = verify_segments(v);
    if (err == 0)
        check_end(v);
    if (err == 0)
        err = check_epochs(v);
    kj_buffer_free(&v->bytes);
    kj_buffer_free(&v->plain);
    kj_free(v->bases);
    kj_free(v);
    return err;
}
