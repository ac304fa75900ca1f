/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/dump.h - the parts of kaja dump-log.
 */
#ifndef KJ_TOOLS_DUMP_H
#define KJ_TOOLS_DUMP_H

#include "tools/args.h"
#include "tools/java_value.h"
#include "tools/json.h"

#include <kaja.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_dump_decoder { KJ_DUMP_PLAIN, KJ_DUMP_OFFSETS, KJ_DUMP_TRANSACTIONS };

/* Two numbers that should agree: of an index and its log, or of neighbours. */
struct kj_dump_pair {
    int64_t one, other;
};

struct kj_dump_pairs {
    struct kj_dump_pair *items;
    size_t count;
};

/* What was found wrong in one file; told when all files are through. */
struct kj_dump_report {
    const char *file;
    struct kj_dump_pairs mismatches;      /* .index: its offset, the log's */
    struct kj_dump_pairs time_mismatches; /* .timeindex: its timestamp, the log's */
    struct kj_dump_pairs out_of_order;    /* .timeindex: timestamp, the one before it */
    struct kj_dump_pairs not_found;       /* .timeindex: its offset, the log's */
    struct kj_dump_pairs gaps;            /* .log: offset, the one that follows it */
};

struct kj_dump {
    const struct kj_args *args;
    bool deep;                     /* records too */
    bool print;                    /* their keys and values too */
    bool skip_metadata;            /* nothing but keys and values */
    bool annotate;                 /* bytes with their meaning */
    bool verify_only, sanity_only; /* of indexes */
    int64_t max_bytes;             /* of a .log; -1: all */
    enum kj_dump_decoder decoder;
    enum kj_decoder key_decoder, value_decoder;
    struct kj_json *json;           /* NULL: text */
    struct kj_dump_report *reports; /* one for each file */
    int status;
};

void kj_dump_pair_add(struct kj_dump_pairs *pairs, int64_t one, int64_t other);
/* The base offset in a file's name; -1 if there is none. */
int64_t kj_dump_base_offset(const char *file);

/* Each prints one file: text, or an object of the JSON array. */
void kj_dump_log_file(struct kj_dump *dump, struct kj_dump_report *report);
void kj_dump_index_file(struct kj_dump *dump, struct kj_dump_report *report);
void kj_dump_time_index_file(struct kj_dump *dump, struct kj_dump_report *report);
void kj_dump_txn_index_file(struct kj_dump *dump, struct kj_dump_report *report);
void kj_dump_snapshot_file(struct kj_dump *dump, struct kj_dump_report *report);

/* The bytes of a batch, field by field. */
void kj_dump_annotate(const struct kaja_batch_info *batch);

#endif
