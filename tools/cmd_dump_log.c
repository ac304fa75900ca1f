/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_dump_log.c - kaja dump-log: what stands in segments, indexes and snapshots. Needs no
 * directory of topics, only the files.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kj_option options[] = {
    {"files", NULL, KJ_OPT_ONE, "F1,F2",
     "the files: .log, .index, .timeindex, .txnindex, .snapshot"},
    {"print-data-log", NULL, KJ_OPT_FLAG, NULL, "show keys and values; implies --deep-iteration"},
    {"deep-iteration", NULL, KJ_OPT_FLAG, NULL, "show records, not only batches"},
    {"annotate", NULL, KJ_OPT_FLAG, NULL, "show the bytes of a .log with each field named"},
    {"offsets-decoder", NULL, KJ_OPT_FLAG, NULL, "keys and values are those of __consumer_offsets"},
    {"transaction-log-decoder", NULL, KJ_OPT_FLAG, NULL,
     "keys and values are those of __transaction_state"},
    {"key-decoder-class", NULL, KJ_OPT_ONE, "CLASS",
     "how keys are shown; implies --print-data-log"},
    {"value-decoder-class", NULL, KJ_OPT_ONE, "CLASS",
     "how values are shown; implies --print-data-log"},
    {"skip-record-metadata", NULL, KJ_OPT_FLAG, NULL, "show nothing of a record but key and value"},
    {"max-bytes", NULL, KJ_OPT_ONE, "N", "read only so much of a .log"},
    {"max-message-size", NULL, KJ_OPT_ONE, "N", "accepted: batches of any size are read"},
    {"verify-index-only", NULL, KJ_OPT_FLAG, NULL,
     "compare indexes with their .log, print no entries"},
    {"index-sanity-check", NULL, KJ_OPT_FLAG, NULL, "look at the form of indexes only"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {"cluster-metadata-decoder", NULL, KJ_OPT_FLAG, NULL, NULL},
    {"remote-log-metadata-decoder", NULL, KJ_OPT_FLAG, NULL, NULL},
    {"share-group-state-decoder", NULL, KJ_OPT_FLAG, NULL, NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

void kj_dump_pair_add(struct kj_dump_pairs *pairs, int64_t one, int64_t other)
{
    if ((pairs->count & (pairs->count - 1)) == 0) /* grow when full: sizes are powers of two */
        pairs->items = kj_xrealloc(pairs->items, (pairs->count == 0 ? 1 : 2 * pairs->count) *
                                                     sizeof *pairs->items);
    pairs->items[pairs->count++] = (struct kj_dump_pair){one, other};
}

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash != NULL ? slash + 1 : file;
}

int64_t kj_dump_base_offset(const char *file)
{
    const char *name = base_name(file);
    char *end;
    long long offset = strtoll(name, &end, 10);
    return end > name && *end == '.' && offset >= 0 ? offset : -1;
}

/* --- reports ------------------------------------------------------------------------------------
 */

static void tell(const char *heading, const char *file, const struct kj_dump_pairs *pairs,
                 const char *line_format_one, const char *line_format_other)
{
    if (pairs->count == 0)
        return;
    fprintf(stderr, "%s%s\n", heading, file);
    for (size_t i = 0; i < pairs->count; i++)
        fprintf(stderr, "%s%lld%s%lld\n", line_format_one, (long long)pairs->items[i].one,
                line_format_other, (long long)pairs->items[i].other);
}

static void tell_all(const struct kj_dump_report *reports, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tell("Mismatches in :", reports[i].file, &reports[i].mismatches,
             "  Index offset: ", ", log offset: ");
    for (size_t i = 0; i < count; i++)
        tell("Found timestamp mismatch in :", reports[i].file, &reports[i].time_mismatches,
             "  Index timestamp: ", ", log timestamp: ");
    for (size_t i = 0; i < count; i++)
        tell("Found out of order timestamp in :", reports[i].file, &reports[i].out_of_order,
             "  Index timestamp: ", ", Previously indexed timestamp: ");
    for (size_t i = 0; i < count; i++)
        tell("The following indexed offsets are not found in :", reports[i].file,
             &reports[i].not_found, "Indexed offset: ", ", found log offset: ");
    for (size_t i = 0; i < count; i++)
        tell("Non-consecutive offsets in ", reports[i].file, &reports[i].gaps, "  ",
             " is followed by ");
}

static void pairs_json(struct kj_json *json, const char *name, const char *one, const char *other,
                       const struct kj_dump_report *reports, size_t count, size_t member)
{
    kj_json_open(json, name, '[');
    for (size_t i = 0; i < count; i++) {
        const struct kj_dump_pairs *pairs = (const void *)((const char *)&reports[i] + member);
        for (size_t k = 0; k < pairs->count; k++) {
            kj_json_open(json, NULL, '{');
            kj_json_text(json, "file", reports[i].file);
            kj_json_int(json, one, pairs->items[k].one);
            kj_json_int(json, other, pairs->items[k].other);
            kj_json_close(json, '}');
        }
    }
    kj_json_close(json, ']');
}

static void all_json(struct kj_json *json, const struct kj_dump_report *reports, size_t count)
{
#define REPORT(name, one, other, member)                                                           \
    pairs_json(json, name, one, other, reports, count, offsetof(struct kj_dump_report, member))
    REPORT("mismatches", "indexOffset", "logOffset", mismatches);
    REPORT("timestampMismatches", "indexTimestamp", "logTimestamp", time_mismatches);
    REPORT("outOfOrderTimestamps", "indexTimestamp", "previousTimestamp", out_of_order);
    REPORT("offsetsNotFound", "indexedOffset", "foundOffset", not_found);
    REPORT("nonConsecutiveOffsets", "offset", "followedBy", gaps);
#undef REPORT
}

static void drop_report(struct kj_dump_report *report)
{
    free(report->mismatches.items);
    free(report->time_mismatches.items);
    free(report->out_of_order.items);
    free(report->not_found.items);
    free(report->gaps.items);
}

/* --- the command
 * ---------------------------------------------------------------------------------- */

static void dump_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    static const struct {
        const char *suffix, *kind;
        void (*run)(struct kj_dump *dump, struct kj_dump_report *report);
    } kinds[] = {{".log", "log", kj_dump_log_file},
                 {".index", "index", kj_dump_index_file},
                 {".timeindex", "timeindex", kj_dump_time_index_file},
                 {".txnindex", "txnindex", kj_dump_txn_index_file},
                 {".snapshot", "snapshot", kj_dump_snapshot_file}};
    const char *name = base_name(report->file);
    const char *suffix = strrchr(name, '.');
    size_t kind = 0;
    while (kind < sizeof kinds / sizeof *kinds &&
           (suffix == NULL || strcmp(suffix, kinds[kind].suffix) != 0))
        kind++;
    if (dump->json == NULL)
        printf("Dumping %s\n", report->file);
    if (kind == sizeof kinds / sizeof *kinds) {
        fflush(stdout);
        kj_complain("Ignoring unknown file %s", report->file);
        return;
    }
    if (dump->json != NULL) {
        kj_json_open(dump->json, NULL, '{');
        kj_json_text(dump->json, "file", report->file);
        kj_json_text(dump->json, "kind", kinds[kind].kind);
    }
    kinds[kind].run(dump, report);
    if (dump->json != NULL)
        kj_json_close(dump->json, '}');
}

static enum kj_decoder decoder_option(const struct kj_args *args, const char *name)
{
    enum kj_decoder decoder = KJ_DECODE_BYTES;
    const char *class_name = kj_args_get(args, name);
    if (class_name != NULL && !kj_decoder_find(class_name, &decoder))
        kj_usage(args,
                 "'%s' is not a decoder that is known here: String, Long, Integer, Short, "
                 "Double, Float, Boolean, UUID",
                 class_name);
    return decoder;
}

static void read_options(const struct kj_args *args, struct kj_dump *dump)
{
    static const char *const absent[] = {"cluster-metadata-decoder", "remote-log-metadata-decoder",
                                         "share-group-state-decoder"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        if (!kj_args_has(args, absent[i]))
            continue;
        kj_complain("kaja dump-log: --%s is not built: kaja has no such topic "
                    "(UNSUPPORTED_FEATURE)",
                    absent[i]);
        exit(KJ_EXIT_FAILURE);
    }
    kj_args_exclude(args, "offsets-decoder", "transaction-log-decoder");
    kj_args_exclude(args, "annotate", "json");
    dump->decoder = kj_args_has(args, "offsets-decoder")           ? KJ_DUMP_OFFSETS
                    : kj_args_has(args, "transaction-log-decoder") ? KJ_DUMP_TRANSACTIONS
                                                                   : KJ_DUMP_PLAIN;
    dump->key_decoder = decoder_option(args, "key-decoder-class");
    dump->value_decoder = decoder_option(args, "value-decoder-class");
    dump->print = kj_args_has(args, "print-data-log") || dump->decoder != KJ_DUMP_PLAIN ||
                  kj_args_has(args, "key-decoder-class") ||
                  kj_args_has(args, "value-decoder-class");
    dump->skip_metadata = kj_args_has(args, "skip-record-metadata");
    dump->annotate = kj_args_has(args, "annotate");
    dump->deep = dump->print || kj_args_has(args, "deep-iteration");
    dump->verify_only = kj_args_has(args, "verify-index-only");
    dump->sanity_only = kj_args_has(args, "index-sanity-check");
    dump->max_bytes = kj_args_int(args, "max-bytes", -1, 0, INT64_MAX);
    kj_args_int(args, "max-message-size", 0, 0, INT64_MAX);
}

static int run(const struct kj_args *args)
{
    struct kj_dump dump = {.args = args};
    char *files = kj_xstrdup(kj_args_required(args, "files"));
    read_options(args, &dump);
    dump.reports = kj_xmalloc((strlen(files) / 2 + 1) * sizeof *dump.reports);
    size_t count = 0;
    char *rest = files;
    for (char *file; (file = strtok_r(rest, ",", &rest)) != NULL;)
        dump.reports[count++] = (struct kj_dump_report){.file = file};
    if (count == 0)
        kj_usage(args, "Option files is empty");
    struct kj_json json;
    if (kj_args_has(args, "json")) {
        dump.json = &json;
        kj_json_init(&json, stdout);
        kj_json_open(&json, NULL, '{');
        kj_json_open(&json, "files", '[');
    }
    for (size_t i = 0; i < count && !kj_stdout_broken(); i++)
        dump_file(&dump, &dump.reports[i]);
    if (dump.json != NULL) {
        kj_json_close(&json, ']');
        all_json(&json, dump.reports, count);
        kj_json_close(&json, '}');
        kj_json_end(&json);
    }
    fflush(stdout);
    tell_all(dump.reports, count);
    for (size_t i = 0; i < count; i++)
        drop_report(&dump.reports[i]);
    free(dump.reports);
    free(files);
    return dump.status;
}

const struct kj_command kj_cmd_dump_log = {
    .name = "dump-log",
    .summary = "Show what stands in segment, index and snapshot files.",
    .options = options,
    .run = run,
};
