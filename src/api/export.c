/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/export.c - kaja/export.h: makes sure that the source is whole, then store/export.c does it.
 */
#include "api/handles.h"

#include "base/err.h"
#include "store/export.h"

#include <assert.h>
#include <string.h>

static_assert((int)KAJA_EXPORT_REFLINKED == (int)KJ_EXPORT_REFLINKED &&
                  (int)KAJA_EXPORT_COPIED == (int)KJ_EXPORT_COPIED &&
                  (int)KAJA_EXPORT_REWRITTEN == (int)KJ_EXPORT_REWRITTEN &&
                  (int)KAJA_EXPORT_UNCHANGED == (int)KJ_EXPORT_UNCHANGED,
              "kj_export_how");

struct telling {
    kaja_export_callback *callback;
    void *arg;
};

static void tell(void *arg, const struct kj_export_report *report)
{
    const struct telling *telling = arg;
    const struct kaja_export_partition partition = {
        .how = (enum kaja_export_how)report->how,
        .topic = report->topic,
        .partition = report->partition,
        .first_offset = report->first_offset,
        .end_offset = report->end_offset,
        .segments = report->segments,
        .bytes = report->bytes,
    };
    telling->callback(telling->arg, &partition);
}

/* --- the source --- */

/* Nobody has it open, and the last who had did not leave in order: recovered by opening it. */
static int recover(const char *path)
{
    struct kj_store *store;
    KJ_TRY(kj_handle_open_path(path, false, &store));
    return kj_store_close(store);
}

static int hold_source(struct kj_export *export, const char *path)
{
    bool clean;
    KJ_TRY(kj_export_hold_source(export, &clean));
    if (clean)
        return 0;
    kj_export_let_source(export);
    KJ_TRY(recover(path));
    KJ_TRY(kj_export_hold_source(export, &clean));
    return clean ? 0
                 : kj_err(KAJA_ERR_DAMAGED,
                          "%s cannot be closed in order, because a partition of it cannot be "
                          "recovered or a flush failed: see kaja verify",
                          path);
}

struct judging {
    bool found;
    char text[400]; /* the first damage */
};

static void judge(void *arg, const struct kaja_finding *finding)
{
    struct judging *judging = arg;
    if (judging->found ||
        (finding->kind != KAJA_FINDING_DAMAGE && finding->kind != KAJA_FINDING_INDEX))
        return;
    judging->found = true;
    const char *text = finding->text != NULL ? finding->text : kaja_error_text(finding->error);
    (void)kj_err(KAJA_ERR_DAMAGED, "%s: %s", finding->file != NULL ? finding->file : "?", text);
    strncpy(judging->text, kaja_error_detail(), sizeof judging->text - 1);
}

static int verify(const struct kj_export_options *options)
{
    struct judging judging = {0};
    struct kaja_verify_result result;
    size_t count = options->topic_count > 0 ? options->topic_count : 1;
    for (size_t i = 0; i < count; i++) {
        const char *topic = options->topic_count > 0 ? options->topics[i] : NULL;
        KJ_TRY(kaja_verify(options->source, topic, judge, &judging, &result));
        if (judging.found)
            return kj_err(KAJA_ERR_DAMAGED,
                          "%s is damaged, nothing was exported: %s (kaja verify tells all; bad "
                          "indexes may be removed, they are built anew)",
                          options->source, judging.text);
    }
    return 0;
}

/* --- all of it --- */

static int run(struct kj_export *export, const struct kj_export_options *options,
               struct kj_export_result *ret_result)
{
    struct kj_store *store;
    KJ_TRY(hold_source(export, options->source));
    KJ_TRY(verify(options));
    KJ_TRY(kj_handle_open_path(options->source, true, &store));
    int err = kj_export_run(export, store, ret_result);
    struct kj_err_saved why;
    kj_err_save(err, &why);
    (void)kj_store_close(store); /* read-only: nothing that could be lost */
    return err == 0 ? 0 : kj_err_restore(&why);
}

static int check_arguments(const char *path, const char *target, const char *const *topics,
                           size_t topic_count)
{
    if (path == NULL || path[0] == '\0' || target == NULL || target[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_export_kafka: a path is empty");
    for (size_t i = 0; i < topic_count; i++)
        if (topics == NULL || topics[i] == NULL)
            return kj_err(KAJA_ERR_INVALID_ARG, "kaja_export_kafka: a topic is NULL");
    return 0;
}

int kaja_export_kafka(const char *path, const char *target, const char *const *topics,
                      size_t topic_count, kaja_export_callback *callback, void *arg,
                      struct kaja_export_result *ret_result)
{
    KJ_TRY(check_arguments(path, target, topics, topic_count));
    struct telling telling = {callback, arg};
    const struct kj_export_options options = {
        .source = path,
        .target = target,
        .topics = topics,
        .topic_count = topic_count,
        .callback = callback != NULL ? tell : NULL,
        .arg = &telling,
    };
    struct kj_export *export;
    struct kj_export_result result;
    KJ_TRY(kj_export_open(&options, &export));
    int err = run(export, &options, &result);
    struct kj_err_saved why;
    kj_err_save(err, &why);
    kj_export_close(export);
    if (err != 0)
        return kj_err_restore(&why);
    if (ret_result != NULL)
        *ret_result = (struct kaja_export_result){.partitions = result.partitions,
                                                  .segments = result.segments,
                                                  .bytes = result.bytes,
                                                  .offsets = result.offsets,
                                                  .left_out = result.left_out};
    return 0;
}
