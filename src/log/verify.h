/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/verify.h - reads the files of one partition, changes nothing, and says what is wrong with
 * them. Needs no slot and no open log: it works on a directory that nobody has open, and beside
 * writers, where only what lies below the published end is judged.
 */
#ifndef KJ_LOG_VERIFY_H
#define KJ_LOG_VERIFY_H

#include "log/file_names.h"
#include "os/io.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_verify_finding {
    int kind; /* enum kaja_finding_kind */
    int error;
    const char *file; /* relative to the root */
    int64_t offset, pos, bytes; /* -1: not known */
    const char *text;
};
typedef void kj_verify_callback(void *arg, const struct kj_verify_finding *finding);

struct kj_verify_counts {
    int64_t segments, batches, records, bytes;
};

struct kj_verify_options {
    struct kj_io *io;
    const char *dir; /* of the partition */
    bool live;       /* others may be writing: end is the published end */
    int64_t end;     /* not live: INT64_MAX, everything is judged */
    bool clean;             /* stopped in order: nothing may be torn, indexes are whole */
    int64_t recovery_point; /* everything below was flushed once; 0: unknown */
    int64_t gaps_below;     /* offsets may be missing there: compaction was here; 0: never */
    struct kj_log *log;     /* live: its words say what compaction does meanwhile; NULL: none */
    kj_verify_callback *callback;
    void *arg;
};

/* Adds to *counts. 0, KAFKA_STORAGE_ERROR, OUT_OF_MEMORY, FILE_LIMIT: reading itself failed. */
int kj_verify_partition(const struct kj_verify_options *options, struct kj_verify_counts *counts);

#endif
