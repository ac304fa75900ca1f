/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/export.h - directories of partitions for a broker: copies of ours, and new ones written
 * record by record. Each is made under a name of its own in the broker's directory, flushed with
 * all that is in it; giving it the partition's name is the caller's step (store/export_place.c).
 *
 * Copied are segments and their indexes, byte for byte, and nothing that is only ours. One field is
 * changed, which lies outside the checksum: a leader epoch that is newer than the newest one the
 * target knows is set down to that one, since a broker takes an epoch from the future for a sign
 * that it is itself out of date. leader-epoch-checkpoint says what the batches of the copy say,
 * partition.metadata stays the target's.
 *
 * What is known of producers does not go along, but for open transactions. Every cluster counts
 * producer ids from 0: a producer of the target that is given the id of one of the source would
 * have batches taken for duplicates of that one's, and acknowledged, and lose them. So the only
 * snapshot is that of the end, and an empty segment begins there: a broker that recovers its active
 * segment reads no batches that were copied.
 */
#ifndef KJ_LOG_EXPORT_H
#define KJ_LOG_EXPORT_H

#include "log/file_names.h"
#include "log/producer_state.h"
#include "os/io.h"
#include "record/record.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_export_counts {
    int64_t segments;
    int64_t bytes; /* of the .log files */
    bool copied;   /* some bytes were copied; else all are shared with the source */
};

enum kj_export_look {
    KJ_EXPORT_EMPTY,   /* as a broker makes it for a new topic */
    KJ_EXPORT_RECORDS, /* it has, or once had, records */
    KJ_EXPORT_FOREIGN  /* something in it is no partition's */
};
/* What stands in a partition's directory. It is empty too if it begins at start: a broker makes
 * that of an empty one for which an export that died had written the log start. ret_name: the
 * foreign thing's, cut to what fits. */
int kj_export_look(struct kj_io *io, const char *dir, int64_t start,
                   enum kj_export_look *ret_look, char ret_name[static KJ_DIR_NAME_MAX + 1]);

struct kj_export_copy {
    struct kj_io *from, *to;
    const char *from_dir, *dir;
    const char *like;                /* the target's partition that it shall stand in for */
    int64_t end;                     /* behind the last record */
    const struct kj_producers *open; /* with open transactions there; NULL: none */
};
/* Makes directory dir of to, which must not exist, a copy of from_dir of from, which was closed in
 * order and is not changed meanwhile. KAFKA_STORAGE_ERROR, DISK_FULL, DAMAGED, UNKNOWN_TOPIC_ID
 * (like has no partition.metadata). */
int kj_export_copy(const struct kj_export_copy *what, struct kj_export_counts *ret_counts);

/* True if both have the same segments with the same bytes, but for an empty one at the end. */
int kj_export_same(struct kj_io *io, const char *one, const char *other, bool *ret_same);

/* Removes a directory made here, or one that kj_export_look() found empty; it may be missing. */
int kj_export_remove(struct kj_io *io, const char *dir);

/* --- writing a partition anew (log/export_writer.c) --- */

/* Offsets from 0, uncompressed batches, indexes as the log itself would write them. */
struct kj_export_writer;
int kj_export_writer_open(struct kj_io *to, const char *like, const char *dir,
                          struct kj_export_writer **ret_writer);
int kj_export_writer_add(struct kj_export_writer *writer, const struct kj_record *record);
/* Completes and flushes. *ret_end: the offset behind the last record. */
int kj_export_writer_finish(struct kj_export_writer *writer, struct kj_export_counts *ret_counts,
                            int64_t *ret_end);
/* Frees it, finished or not; the directory stays. NULL is allowed. */
void kj_export_writer_free(struct kj_export_writer *writer);

#endif
