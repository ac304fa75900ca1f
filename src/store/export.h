/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export.h - handing topics on to a broker: kaja's segments are put in place of the empty
 * ones of topics that were created there.
 *
 * The source is read by a read-only handle, and nothing of it is changed. Its door is held, and a
 * broker kept out, for as long as the export lasts, so nobody begins to write; whoever opens it
 * meanwhile waits, and those who only read go on. The target's ".lock" is held like a broker does.
 *
 * How a partition is replaced
 *     1. a copy is made as "<topic>-<p>.<copy id>-delete" and flushed
 *     2. "<topic>-<p>" is renamed to "<topic>-<p>.<old id>-delete", the copy to "<topic>-<p>"
 *     3. what has the old id is removed
 * So it is replaced as a whole or not at all. Both ids are hashes of the topic's name: an export
 * that is begun again knows what an interrupted one left, puts an old directory back where no new
 * one came, and removes the rest. A broker that starts in between takes both for partitions of
 * deleted topics and removes them, which loses nothing: the old one is empty, the source has the
 * rest.
 * A partition that has exactly the records already that it would get is left as it is, so the same
 * export may be repeated until it has come through.
 * The copies of all partitions are made before the first is replaced, and log starts are written
 * down in between, so that nobody sees a partition without its own. The other checkpoints are
 * written last.
 */
#ifndef KJ_STORE_EXPORT_H
#define KJ_STORE_EXPORT_H

#include "os/io.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_export_how { /* as enum kaja_export_how */
    KJ_EXPORT_REFLINKED = 1,
    KJ_EXPORT_COPIED = 2,
    KJ_EXPORT_REWRITTEN = 3,
    KJ_EXPORT_UNCHANGED = 4
};

struct kj_export_report {
    enum kj_export_how how;
    const char *topic;
    int32_t partition;
    int64_t first_offset, end_offset;
    int64_t segments, bytes;
};
typedef void kj_export_callback(void *arg, const struct kj_export_report *report);

struct kj_export_result {
    int64_t partitions, segments, bytes;
    int64_t offsets, left_out; /* records of __consumer_offsets */
};

struct kj_export_options {
    const char *source; /* both paths stay with the caller */
    const char *target;
    const char *const *topics; /* count 0: all */
    size_t topic_count;
    kj_export_callback *callback;
    void *arg;
    /* seams; NULL: the real ones */
    kj_io_step *target_step;
    void *step_arg;
    struct kj_io *target_io; /* taken over; a simulation has no brokers */
};

struct kj_export;

/* Looks at both directories and locks the target. NO_DIRECTORY, LOG_DIR_NOT_FOUND, INVALID_ARG (one
 * lies in the other), BROKER_HAS_DIRECTORY. */
int kj_export_open(const struct kj_export_options *options, struct kj_export **ret_export);
/* Removes what was begun, lets everybody in again. NULL is allowed. */
void kj_export_close(struct kj_export *export);

/* Keeps writers out of the source until it is let go. STATE: it has some. *ret_clean: the last of
 * them left it in order, so its files are the whole truth. */
int kj_export_hold_source(struct kj_export *export, bool *ret_clean);
void kj_export_let_source(struct kj_export *export);

/* source: a read-only handle, opened while the source was held. UNKNOWN_TOPIC_OR_PARTITION and
 * INVALID_PARTITIONS (of the target), CONFLICT (records there), NOT_KAJA (a foreign file there),
 * INVALID_TOPIC_EXCEPTION, KAFKA_STORAGE_ERROR, DISK_FULL, DAMAGED. The first three leave the
 * target as it was. */
int kj_export_run(struct kj_export *export, struct kj_store *source,
                  struct kj_export_result *ret_result);

#endif
