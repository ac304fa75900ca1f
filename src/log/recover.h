/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/recover.h - what the three files of recovery share: recover.c drives, recover_segment.c reads one
 * segment and decides what is damaged, recover_files.c moves bytes and names.
 */
#ifndef KJ_LOG_RECOVER_H
#define KJ_LOG_RECOVER_H

#include "log/internal.h"

struct kj_recovery {
    struct kj_log *log;
    int64_t recovery_point; /* everything below was flushed once */
    bool epochs_lost;       /* leader-epoch-checkpoint was torn: the batches tell the epochs */
    bool again;             /* the segment that was read lost its beginning: it is read anew */
    bool last;              /* the segment that is read is the active one */
    int64_t expected;       /* offset the next batch must have */
    struct kj_tail tail;    /* of the segment read last */
    int64_t cut_bytes;      /* torn tails that went */
    int damaged_ranges;
};

/* --- recover_files.c --- */
/* Finishes or removes what Kafka's or our own unfinished work left: .deleted, .cleaned, .swap, .prepared, indexes
 * without a log. */
int kj_recover_leftovers(struct kj_log *log);
/* Copies [from, to) of a segment's .log to <segment>.log.damaged-<from>, flushed. All zeros: nothing. */
int kj_recover_set_aside(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to);
/* Makes [from, to) of a segment's .log a segment of its own, flushed, unless it is there already; with the
 * segment's own base it takes the place of the whole. */
int kj_recover_split(struct kj_log *log, struct kj_segment *segment, int64_t from, int64_t to,
                     int64_t base_offset);
/* Cuts a segment's .log to bytes and flushes it. */
int kj_recover_cut(struct kj_log *log, struct kj_segment *segment, int64_t bytes);
/* Snapshots behind end, or of no use, go. */
int kj_recover_snapshots(struct kj_log *log, int64_t end);

/* What stands under an index's name and is no regular file goes aside, "<index>.aside": nothing in it is
 * needed. */
int kj_recover_clear_index(struct kj_log *log, struct kj_segment *segment, enum kj_file_kind kind);

/* --- recover_segment.c --- */
/* Reads the segment past the page cache, rebuilds its indexes, repairs or splits. *ret_split: a new
 * segment appeared behind it, the list was read anew. */
int kj_recover_segment(struct kj_recovery *recovery, struct kj_segment *segment, bool *ret_split);

/* One segment being read. */
struct kj_reading {
    struct kj_recovery *recovery;
    struct kj_segment *segment;
    struct kj_scan scan;
    struct kj_indexer indexer;
    int64_t size;
    int32_t epoch;      /* of the batch before */
    int32_t last_epoch; /* newest one known */
    int64_t budget;     /* bytes whose CRC a search may still compute */
    struct kj_buffer txns;
};

/* Looks at pos without moving. */
enum kj_scan_result kj_reading_look(struct kj_reading *reading, int64_t pos, struct kj_batch *ret_batch);
/* True if nothing but zeros stands from pos to the end. */
bool kj_reading_only_zeros(struct kj_reading *reading, int64_t pos);
/* Overwrites bytes of the segment, flushed. */
int kj_reading_patch(struct kj_reading *reading, int64_t pos, const void *bytes, size_t len);

/* --- recover_mend.c --- */
/* Puts the fields outside the CRC of the batch at scan.pos right, if they can be told. */
int kj_reading_mend(struct kj_reading *reading, struct kj_batch *ret_batch, bool *ret_mended);

#endif
