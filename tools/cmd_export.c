/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_export.c - kaja export: the same files, for a broker.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"

#include <stdio.h>
#include <stdlib.h>

static const struct kj_option options[] = {
    {"to-kafka", NULL, KJ_OPT_ONE, "DIR", "log directory (log.dirs) of a stopped broker"},
    {"topic", NULL, KJ_OPT_MANY, "NAME", "this topic; may be given again (default: all)"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

static const char *how_name(enum kaja_export_how how)
{
    switch (how) {
    case KAJA_EXPORT_REFLINKED:
        return "reflinked";
    case KAJA_EXPORT_COPIED:
        return "copied";
    case KAJA_EXPORT_REWRITTEN:
        return "rewritten";
    case KAJA_EXPORT_UNCHANGED:
        return "there already";
    }
    return "done";
}

static void on_partition(void *arg, const struct kaja_export_partition *p)
{
    struct kj_json *json = arg;
    if (json != NULL) {
        kj_json_open(json, NULL, '{');
        kj_json_text(json, "topic", p->topic);
        kj_json_int(json, "partition", p->partition);
        kj_json_int(json, "firstOffset", p->first_offset);
        kj_json_int(json, "endOffset", p->end_offset);
        kj_json_int(json, "segments", p->segments);
        kj_json_int(json, "bytes", p->bytes);
        kj_json_text(json, "how", how_name(p->how));
        kj_json_close(json, '}');
        return;
    }
    printf("exported %s-%d: ", p->topic, (int)p->partition);
    if (p->end_offset > p->first_offset)
        printf("records %lld..%lld", (long long)p->first_offset, (long long)p->end_offset - 1);
    else
        printf("no records");
    printf(", %lld segments, %lld bytes, %s\n", (long long)p->segments, (long long)p->bytes,
           how_name(p->how));
}

static size_t topics_of(const struct kj_args *args, const char ***ret_topics)
{
    size_t count = 0;
    while (kj_args_nth(args, "topic", count) != NULL)
        count++;
    const char **topics = kj_xmalloc((count + 1) * sizeof *topics);
    for (size_t i = 0; i < count; i++)
        topics[i] = kj_args_nth(args, "topic", i);
    *ret_topics = topics;
    return count;
}

static void end_json(struct kj_json *json, int err, const struct kaja_export_result *result)
{
    kj_json_close(json, ']');
    if (err == 0) {
        kj_json_int(json, "segments", result->segments);
        kj_json_int(json, "bytes", result->bytes);
        kj_json_int(json, "offsets", result->offsets);
        kj_json_int(json, "offsetsLeftOut", result->left_out);
    } else {
        kj_json_text(json, "error", kaja_error_name(err));
    }
    kj_json_close(json, '}');
    kj_json_end(json);
}

static int run(const struct kj_args *args)
{
    const char *target = kj_args_required(args, "to-kafka");
    struct kj_json writer, *json = kj_args_has(args, "json") ? &writer : NULL;
    struct kaja_export_result result;
    const char **topics;
    if (target[0] == '\0')
        kj_usage(args, "the name of the broker's directory is empty");
    size_t count = topics_of(args, &topics);
    if (json != NULL) {
        kj_json_init(json, stdout);
        kj_json_open(json, NULL, '{');
        kj_json_open(json, "partitions", '[');
    }
    int err = kaja_export_kafka(kj_dir(args), target, topics, count, on_partition, json, &result);
    free(topics);
    if (json != NULL)
        end_json(json, err, &result);
    fflush(stdout);
    if (err == KAJA_ERR_NO_DIRECTORY) {
        kj_complain("no kaja directory at %s (--dir names another)", kj_dir(args));
        return KJ_EXIT_FAILURE;
    }
    if (err != 0) {
        kj_complain_err(err, "kaja export");
        return KJ_EXIT_FAILURE;
    }
    if (json == NULL && result.offsets + result.left_out > 0)
        printf("committed offsets and groups: %lld records, %lld left out\n",
               (long long)result.offsets, (long long)result.left_out);
    return KJ_EXIT_OK;
}

const struct kj_command kj_cmd_export = {
    .name = "export",
    .summary = "Put topics into the log directory of a stopped Kafka broker.",
    .notes = "The topics must have been created in the broker, with as many partitions, and hold\n"
             "nothing. Run it as the user that the broker runs as, or as root. It may be\n"
             "repeated.\n",
    .options = options,
    .run = run,
};
