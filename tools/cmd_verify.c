/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_verify.c - kaja verify: reads everything, changes nothing.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"

#include <stdio.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "NAME", "this topic only"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

static const char *kind_name(enum kaja_finding_kind kind)
{
    switch (kind) {
    case KAJA_FINDING_DAMAGE:
        return "damage";
    case KAJA_FINDING_UNFLUSHED_TAIL:
        return "unflushed tail";
    case KAJA_FINDING_INDEX:
        return "index";
    case KAJA_FINDING_FOREIGN:
        return "foreign";
    }
    return "finding";
}

static void finding_json(struct kj_json *json, const struct kaja_finding *f)
{
    kj_json_open(json, NULL, '{');
    kj_json_text(json, "kind", kind_name(f->kind));
    kj_json_text(json, "error", kaja_error_name(f->error));
    kj_json_text(json, "topic", f->topic);
    kj_json_int(json, "partition", f->partition);
    kj_json_text(json, "file", f->file);
    kj_json_int(json, "offset", f->offset);
    kj_json_int(json, "position", f->pos);
    kj_json_int(json, "bytes", f->bytes);
    kj_json_text(json, "text", f->text);
    kj_json_close(json, '}');
}

/* One line: kind, partition, file, where in it, what. */
static void on_finding(void *arg, const struct kaja_finding *f)
{
    struct kj_json *json = arg;
    if (json != NULL) {
        finding_json(json, f);
        return;
    }
    printf("%s:", kind_name(f->kind));
    if (f->topic != NULL)
        printf(" %s-%d", f->topic, (int)f->partition);
    if (f->file != NULL)
        printf(" %s", f->file);
    if (f->offset >= 0)
        printf(" offset %lld", (long long)f->offset);
    if (f->pos >= 0)
        printf(" position %lld", (long long)f->pos);
    if (f->bytes >= 0)
        printf(" bytes %lld", (long long)f->bytes);
    printf(": %s\n", f->text != NULL ? f->text : kaja_error_text(f->error));
}

static int run(const struct kj_args *args)
{
    const char *topic = kj_args_get(args, "topic");
    struct kj_json writer, *json = kj_args_has(args, "json") ? &writer : NULL;
    if (json != NULL) {
        kj_json_init(json, stdout);
        kj_json_open(json, NULL, '{');
        kj_json_open(json, "findings", '[');
    }
    struct kaja_verify_result result;
    int err = kaja_verify(kj_dir(args), topic, on_finding, json, &result);
    if (json != NULL) {
        kj_json_close(json, ']');
        if (err == 0) {
            kj_json_bool(json, "sound", result.damage == 0);
            kj_json_int(json, "partitions", result.partitions);
            kj_json_int(json, "segments", result.segments);
            kj_json_int(json, "batches", result.batches);
            kj_json_int(json, "records", result.records);
            kj_json_int(json, "bytes", result.bytes);
            kj_json_int(json, "damage", result.damage);
        } else {
            kj_json_text(json, "error", kaja_error_name(err));
        }
        kj_json_close(json, '}');
        kj_json_end(json);
    }
    fflush(stdout);
    if (err == KAJA_ERR_NO_DIRECTORY) {
        kj_complain("no kaja directory at %s (--dir names another)", kj_dir(args));
        return KJ_EXIT_FAILURE;
    }
    if (err != 0) {
        kj_complain_err(err, "kaja verify");
        return KJ_EXIT_FAILURE;
    }
    if (json == NULL)
        printf("%s: %lld partitions, %lld segments, %lld batches, %lld records, %lld bytes%s\n",
               result.damage == 0 ? "sound" : "damaged", (long long)result.partitions,
               (long long)result.segments, (long long)result.batches, (long long)result.records,
               (long long)result.bytes,
               result.damage == 0
                   ? ""
                   : " (restore damaged segments from a copy; bad indexes are rebuilt at need)");
    return result.damage == 0 ? KJ_EXIT_OK : KJ_EXIT_FAILURE;
}

const struct kj_command kj_cmd_verify = {
    .name = "verify",
    .summary = "Read everything and report damage; 0 sound, 1 damage.",
    .options = options,
    .run = run,
};
