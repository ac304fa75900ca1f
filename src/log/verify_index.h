/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/verify_index.h - an index file read beside the walk over its log: both rise, so each entry
 * is met when its batch is. Nobody but log/verify.c includes it.
 */
#ifndef KJ_LOG_VERIFY_INDEX_H
#define KJ_LOG_VERIFY_INDEX_H

#include "log/internal.h"

struct kj_index_walk {
    enum kj_file_kind kind;
    char path[KJ_PATH_MAX];
    struct kj_file *file; /* NULL: there is none */
    bool in_the_way;      /* because it is no regular file */
    int64_t base_offset;
    bool exact; /* entries are as kaja makes them; Kafka's may stand for several batches */
    int64_t size;
    int64_t at;   /* position of the entry that comes next */
    bool ended;   /* behind the last entry, or at the zeros behind it */
    union {
        struct kj_offset_entry offset;
        struct kj_time_entry time;
    } next;
    int64_t last_offset, last_value; /* of the entry before */
    int64_t bad_pos;                 /* of the first entry that lies, -1 */
    const char *bad_text;
    uint8_t piece[4096];
    int64_t piece_pos;
    size_t piece_len;
};

/* ENOENT is no error here: file is NULL then. 0 or errno. */
int kj_index_walk_open(struct kj_index_walk *walk, struct kj_io *io, const char *dir,
                       enum kj_file_kind kind, int64_t base_offset, bool exact);
void kj_index_walk_close(struct kj_index_walk *walk);
/* The batch at pos goes by. 0 or errno. */
int kj_index_walk_batch(struct kj_index_walk *walk, const struct kj_batch *batch, int64_t pos);
/* Passes over entries below a position (.index) or an offset (.timeindex): what they named was
 * damaged. */
int kj_index_walk_skip(struct kj_index_walk *walk, int64_t below);
/* The log ends; closed: what is left points nowhere. */
void kj_index_walk_end(struct kj_index_walk *walk, bool closed);

#endif
