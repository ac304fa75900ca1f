/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_log_dirs.c - kaja log-dirs: sizes of partitions, and the library's counters.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kj_option options[] = {
    {"describe", NULL, KJ_OPT_FLAG, NULL, "sizes of the partitions"},
    {"topic-list", NULL, KJ_OPT_ONE, "T1,T2", "these topics only"},
    {"broker-list", NULL, KJ_OPT_ONE, "0", "the only broker is 0"},
    {"metrics", NULL, KJ_OPT_FLAG, NULL, "counters of this handle and of the directory"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "JSON alone, without the two lines before it"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

static bool in_list(const char *list, const char *word)
{
    size_t bytes = strlen(word);
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn(p, ",");
        if (n == bytes && memcmp(p, word, n) == 0)
            return true;
        p += n;
        p += *p == ',';
    }
    return false;
}

/* The brokers of --broker-list that there are not, as text; NULL if all are there. */
static char *missing_brokers(const char *list)
{
    char *missing = NULL;
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn(p, ",");
        if (n > 0 && (n != 1 || *p != '0')) {
            char *longer = kj_xprintf("%s%s%.*s", missing != NULL ? missing : "",
                                      missing != NULL ? "," : "", (int)n, p);
            free(missing);
            missing = longer;
        }
        p += n;
        p += *p == ',';
    }
    return missing;
}

static int describe(const struct kj_args *args, struct kaja_store *store, struct kj_json *json)
{
    const char *wanted = kj_args_get(args, "topic-list");
    struct kaja_topic_list *topics;
    int err = kaja_admin_topics(store, &topics);
    if (err != 0) {
        kj_complain_err(err, "kaja log-dirs");
        return KJ_EXIT_FAILURE;
    }
    char *dir = realpath(kj_dir(args), NULL);
    int status = 0;
    kj_json_open(json, NULL, '{');
    kj_json_open(json, "brokers", '[');
    kj_json_open(json, NULL, '{');
    kj_json_int(json, "broker", 0);
    kj_json_open(json, "logDirs", '[');
    kj_json_open(json, NULL, '{');
    kj_json_open(json, "partitions", '[');
    for (size_t i = 0; i < topics->count; i++) {
        const struct kaja_topic_info *topic = &topics->topics[i];
        if (wanted != NULL && !in_list(wanted, topic->name))
            continue;
        for (int32_t p = 0; p < topic->partition_count; p++) {
            struct kaja_partition_info info;
            err = kaja_admin_partition(store, topic->name, p, &info);
            if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION)
                continue; /* deleted since it was listed */
            if (err != 0) {
                kj_complain_err(err, "kaja log-dirs: %s-%d", topic->name, (int)p);
                status = KJ_EXIT_FAILURE;
                continue;
            }
            char *label = kj_xprintf("%s-%d", topic->name, (int)p);
            kj_json_open(json, NULL, '{');
            kj_json_text(json, "partition", label);
            kj_json_int(json, "size", info.bytes);
            kj_json_int(json, "offsetLag", 0);
            kj_json_bool(json, "isFuture", false);
            kj_json_close(json, '}');
            free(label);
        }
    }
    kj_json_close(json, ']');
    kj_json_null(json, "error");
    kj_json_text(json, "logDir", dir != NULL ? dir : kj_dir(args));
    kj_json_close(json, '}');
    kj_json_close(json, ']');
    kj_json_close(json, '}');
    kj_json_close(json, ']');
    kj_json_int(json, "version", 1);
    kj_json_close(json, '}');
    kj_json_end(json);
    free(dir);
    kaja_topic_list_free(topics);
    return status;
}

static void metrics_json(struct kj_json *json, const char *backend,
                         const struct kaja_metric *metrics, size_t count)
{
    kj_json_open(json, NULL, '{');
    kj_json_text(json, "backend", backend);
    kj_json_open(json, "metrics", '[');
    for (size_t i = 0; i < count; i++) {
        kj_json_open(json, NULL, '{');
        kj_json_text(json, "name", metrics[i].name);
        kj_json_uint(json, "value", metrics[i].value);
        kj_json_text(json, "unit", metrics[i].unit);
        kj_json_text(json, "kind", metrics[i].kind == KAJA_METRIC_GAUGE ? "gauge" : "counter");
        kj_json_text(json, "text", metrics[i].text);
        kj_json_close(json, '}');
    }
    kj_json_close(json, ']');
    kj_json_close(json, '}');
    kj_json_end(json);
}

static void print_metrics(const struct kj_args *args, struct kaja_store *store,
                          struct kj_json *json)
{
    size_t room = kaja_metrics(store, NULL, 0);
    struct kaja_metric *metrics = kj_xmalloc(room * sizeof *metrics);
    size_t count = kaja_metrics(store, metrics, room);
    if (count > room)
        count = room;
    const char *backend = kaja_store_backend(store);
    if (kj_args_has(args, "json")) {
        metrics_json(json, backend, metrics, count);
    } else {
        printf("Flushes and cold reads go through: %s\n", backend);
        struct kj_table table;
        kj_table_init(&table, 4);
        table.right[1] = true;
        kj_table_cell(&table, "METRIC");
        kj_table_cell(&table, "VALUE");
        kj_table_cell(&table, "UNIT");
        kj_table_cell(&table, "MEANING");
        for (size_t i = 0; i < count; i++) {
            kj_table_cell(&table, "%s", metrics[i].name);
            kj_table_cell(&table, "%llu", (unsigned long long)metrics[i].value);
            kj_table_cell(&table, "%s", metrics[i].unit);
            kj_table_cell(&table, "%s", metrics[i].text);
        }
        kj_table_print(&table, 0);
    }
    free(metrics);
}

static int run(const struct kj_args *args)
{
    bool metrics = kj_args_has(args, "metrics"), described = kj_args_has(args, "describe");
    if (!described && !metrics)
        kj_usage(args, "Missing required argument \"[describe]\"");
    const char *brokers = kj_args_get(args, "broker-list");
    char *missing = brokers != NULL ? missing_brokers(brokers) : NULL;
    if (missing != NULL) {
        kj_complain(
            "ERROR: The given brokers do not exist from --broker-list: %s. Current existent "
            "brokers: 0",
            missing);
        free(missing);
        return KJ_EXIT_FAILURE;
    }
    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_READ_ONLY);
    struct kj_json json;
    kj_json_init(&json, stdout);
    int status = 0;
    if (described) {
        if (!kj_args_has(args, "json"))
            puts("Querying brokers for log directories information\n"
                 "Received log directory information from brokers 0");
        status = describe(args, store, &json);
    }
    if (metrics)
        print_metrics(args, store, &json);
    return kj_tool_close(store, status);
}

const struct kj_command kj_cmd_log_dirs = {
    .name = "log-dirs",
    .summary = "Show the sizes of partitions and the library's counters.",
    .options = options,
    .run = run,
};
