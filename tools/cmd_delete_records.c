/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_delete_records.c - kaja delete-records: give up the records below an offset.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/json_parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kj_option options[] = {
    {"offset-json-file", NULL, KJ_OPT_ONE, "FILE", "what to delete, see below"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

enum { FILE_BYTES_MAX = 16 * 1024 * 1024 };

static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int fail(const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    kj_complain("kaja delete-records: %s", text);
    return KJ_EXIT_FAILURE;
}

static struct kj_json_value *load(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fail("cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    size_t used = 0, room = 0, n;
    do {
        if (used == room)
            text = kj_xrealloc(text, room = room == 0 ? 4096 : room * 2);
        n = fread(text + used, 1, room - used, file);
        used += n;
    } while (n > 0 && used <= FILE_BYTES_MAX);
    bool failed = ferror(file) != 0;
    fclose(file);
    size_t pos = 0;
    struct kj_json_value *value = NULL;
    if (failed)
        fail("cannot read %s: %s", path, strerror(errno));
    else if (used > FILE_BYTES_MAX)
        fail("%s is larger than %d bytes", path, FILE_BYTES_MAX);
    else if ((value = kj_json_parse(text, used, &pos)) == NULL)
        fail("%s is no valid JSON (at byte %zu)", path, pos);
    free(text);
    return value;
}

struct deletion {
    const char *topic;
    int32_t partition;
    int64_t offset;
};

static bool same_partition(const struct deletion *a, const struct deletion *b)
{
    return a->partition == b->partition && strcmp(a->topic, b->topic) == 0;
}

/* Takes one entry; false after a complaint. */
static bool read_entry(const struct kj_json_value *entry, struct deletion *ret_deletion)
{
    const struct kj_json_value *topic = kj_json_member(entry, "topic");
    const struct kj_json_value *partition = kj_json_member(entry, "partition");
    const struct kj_json_value *offset = kj_json_member(entry, "offset");
    if (topic == NULL || topic->kind != KJ_JSON_STRING || partition == NULL || !partition->whole ||
        partition->number < 0 || partition->number > INT32_MAX || offset == NULL ||
        !offset->whole || offset->number < -1) {
        fail("each entry wants \"topic\" (text), \"partition\" (from 0) and \"offset\" (from -1)");
        return false;
    }
    *ret_deletion = (struct deletion){topic->text, (int32_t)partition->number, offset->number};
    return true;
}

static int by_partition(const void *a, const void *b)
{
    const struct deletion *one = *(const struct deletion *const *)a;
    const struct deletion *other = *(const struct deletion *const *)b;
    int order = strcmp(one->topic, other->topic);
    return order != 0 ? order
                      : (one->partition > other->partition) - (one->partition < other->partition);
}

static bool has_duplicate(const struct deletion *list, size_t count)
{
    const struct deletion **sorted = kj_xmalloc(count * sizeof(void *));
    bool found = false;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &list[i];
    qsort(sorted, count, sizeof *sorted, by_partition);
    for (size_t i = 1; i < count && !found; i++) {
        found = same_partition(sorted[i - 1], sorted[i]);
        if (found)
            fail("Offset json file contains duplicate topic partitions: %s-%d", sorted[i]->topic,
                 (int)sorted[i]->partition);
    }
    free(sorted);
    return found;
}

/* The entries of the file, or NULL after a complaint. */
static struct deletion *read_deletions(const struct kj_json_value *root, size_t *ret_count)
{
    const struct kj_json_value *version = kj_json_member(root, "version");
    const struct kj_json_value *partitions = kj_json_member(root, "partitions");
    if (version != NULL && (!version->whole || version->number != 1)) {
        fail("Not supported version field value %lld", (long long)version->number);
        return NULL;
    }
    if (partitions == NULL || partitions->kind != KJ_JSON_ARRAY) {
        fail("Missing partitions field");
        return NULL;
    }
    struct deletion *list = NULL;
    size_t count = 0, room = 0;
    for (const struct kj_json_value *v = partitions->child; v != NULL; v = v->next) {
        if (count == room)
            list = kj_xrealloc(list, (room = room == 0 ? 16 : room * 2) * sizeof *list);
        if (!read_entry(v, &list[count++])) {
            free(list);
            return NULL;
        }
    }
    if (count > 1 && has_duplicate(list, count)) {
        free(list);
        return NULL;
    }
    *ret_count = count;
    return list != NULL ? list : kj_xmalloc(1);
}

/* The name of Kafka's exception for an error, in a static buffer: OFFSET_OUT_OF_RANGE becomes
 * OffsetOutOfRangeException. */
static const char *exception_name(int err)
{
    static char text[128];
    size_t at = 0;
    bool upper = true;
    for (const char *p = kaja_error_name(err); *p != '\0' && at < 100; p++) {
        if (*p == '_') {
            upper = true;
            continue;
        }
        text[at++] = upper || *p < 'A' || *p > 'Z' ? *p : (char)(*p + 32);
        upper = false;
    }
    text[at] = '\0';
    if (at < 9 || strcmp(text + at - 9, "Exception") != 0)
        strcpy(text + at, "Exception");
    return text;
}

static const char *exception_text(int err)
{
    if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION)
        return "This server does not host this topic-partition.";
    if (err == KAJA_ERR_OFFSET_OUT_OF_RANGE)
        return "The requested offset is not within the range of offsets maintained by the server.";
    return kj_reason(err);
}

static void print_result(struct kj_json *json, const struct deletion *d, int err, int64_t low)
{
    if (json != NULL) {
        kj_json_open(json, NULL, '{');
        kj_json_text(json, "topic", d->topic);
        kj_json_int(json, "partition", d->partition);
        if (err == 0)
            kj_json_int(json, "low_watermark", low);
        else
            kj_json_text(json, "error", kaja_error_name(err));
        kj_json_close(json, '}');
    } else if (err == 0) {
        printf("partition: %s-%d\tlow_watermark: %lld\n", d->topic, (int)d->partition,
               (long long)low);
    } else {
        printf("partition: %s-%d\terror: org.apache.kafka.common.errors.%s: %s\n", d->topic,
               (int)d->partition, exception_name(err), exception_text(err));
    }
}

static int run(const struct kj_args *args)
{
    const char *path = kj_args_required(args, "offset-json-file");
    struct kj_json_value *root = load(path);
    if (root == NULL)
        return KJ_EXIT_FAILURE;
    size_t count = 0;
    struct deletion *list = read_deletions(root, &count);
    if (list == NULL) {
        kj_json_free(root);
        return KJ_EXIT_FAILURE;
    }
    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_EXISTING);
    struct kj_json writer, *json = kj_args_has(args, "json") ? &writer : NULL;
    int status = 0;
    if (json != NULL) {
        kj_json_init(json, stdout);
        kj_json_open(json, NULL, '[');
    } else {
        puts("Executing records delete operation\nRecords delete operation completed:");
    }
    for (size_t i = 0; i < count; i++) {
        int64_t low = -1;
        int err = kaja_admin_delete_records(store, list[i].topic, list[i].partition, list[i].offset,
                                            &low);
        print_result(json, &list[i], err, low);
        if (err != 0) {
            fflush(stdout);
            kj_complain_err(err, "kaja delete-records: %s-%d", list[i].topic,
                            (int)list[i].partition);
            status = KJ_EXIT_FAILURE;
        }
    }
    if (json != NULL) {
        kj_json_close(json, ']');
        kj_json_end(json);
    }
    free(list);
    kj_json_free(root);
    return kj_tool_close(store, status);
}

const struct kj_command kj_cmd_delete_records = {
    .name = "delete-records",
    .summary = "Delete the records below given offsets.",
    .notes =
        "The file: "
        "{\"partitions\":[{\"topic\":\"orders\",\"partition\":0,\"offset\":5}],\"version\":1}\n"
        "Records below the offset go; -1 is all that is readable.\n",
    .options = options,
    .run = run,
};
