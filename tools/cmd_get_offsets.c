/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_get_offsets.c - kaja get-offsets: first, last and by time, a line a partition.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/topic_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "REGEX", "topics (default all)"},
    {"partitions", NULL, KJ_OPT_ONE, "0,1,...", "these partitions only"},
    {"topic-partitions", NULL, KJ_OPT_ONE, "LIST",
     "t1:1,t2:0-3,t3,t4:5-,t5:-3 (upper bound exclusive)"},
    {"time", NULL, KJ_OPT_ONE, "TIME",
     "latest (default), earliest, max-timestamp, or ms since 1970"},
    {"exclude-internal-topics", NULL, KJ_OPT_FLAG, NULL, "leave internal topics out"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

/* A topic expression with a range of partitions. */
struct rule {
    bool any_topic;
    struct kj_pattern pattern;
    int32_t from, to; /* to is exclusive */
};

struct rules {
    struct rule *items;
    size_t count;
    int32_t *partitions; /* of --partitions; NULL: all */
    size_t partition_count;
};

/* --- reading the options -------------------------------------------------------------------- */

static void add_rule(const struct kj_args *args, struct rules *rules, const char *topic,
                     int32_t from, int32_t to)
{
    struct rule rule = {.any_topic = topic[0] == '\0', .from = from, .to = to};
    if (!rule.any_topic)
        kj_topic_filter(args, topic, &rule.pattern);
    rules->items = kj_xrealloc(rules->items, (rules->count + 1) * sizeof *rules->items);
    rules->items[rules->count++] = rule;
}

static int32_t number_or_usage(const struct kj_args *args, const char *text, const char *whole)
{
    int64_t value;
    if (!kj_parse_int(text, &value) || value < 0 || value > INT32_MAX)
        kj_usage(args, "Invalid rule: %s", whole);
    return (int32_t)value;
}

/* topic, topic:N, topic:A-B, topic:A-, topic:-B; each part may be empty. */
static void parse_rule(const struct kj_args *args, struct rules *rules, char *text)
{
    char *whole = kj_xstrdup(text);
    char *colon = strchr(text, ':');
    int32_t from = 0, to = INT32_MAX;
    if (colon != NULL) {
        *colon++ = '\0';
        char *dash = strchr(colon, '-');
        if (dash == NULL && *colon != '\0') {
            from = number_or_usage(args, colon, whole);
            to = from < INT32_MAX ? from + 1 : INT32_MAX;
        } else if (dash != NULL) {
            *dash++ = '\0';
            if (*colon != '\0')
                from = number_or_usage(args, colon, whole);
            if (*dash != '\0')
                to = number_or_usage(args, dash, whole);
        }
    }
    add_rule(args, rules, text, from, to);
    free(whole);
}

static void parse_partitions(const struct kj_args *args, struct rules *rules)
{
    const char *text = kj_args_get(args, "partitions");
    if (text == NULL)
        return;
    char *copy = kj_xstrdup(text), *rest = copy;
    rules->partitions = kj_xmalloc((strlen(text) / 2 + 1) * sizeof *rules->partitions);
    for (char *word; (word = strtok_r(rest, ", ", &rest)) != NULL;) {
        int64_t value;
        if (!kj_parse_int(word, &value) || value < 0 || value > INT32_MAX)
            kj_usage(args,
                     "--partitions expects a comma separated list of numeric partition ids, "
                     "but received: %s",
                     text);
        rules->partitions[rules->partition_count++] = (int32_t)value;
    }
    free(copy);
}

static struct rules rules_of(const struct kj_args *args)
{
    struct rules rules = {NULL, 0, NULL, 0};
    const char *list = kj_args_get(args, "topic-partitions");
    if (list == NULL) {
        const char *topic = kj_args_get(args, "topic");
        add_rule(args, &rules, topic != NULL ? topic : "", 0, INT32_MAX);
        parse_partitions(args, &rules);
        return rules;
    }
    if (kj_args_has(args, "topic") || kj_args_has(args, "partitions"))
        kj_usage(args, "--topic-partitions cannot be used with --topic or --partitions");
    char *copy = kj_xstrdup(list), *rest = copy;
    for (char *word; (word = strtok_r(rest, ",", &rest)) != NULL;)
        parse_rule(args, &rules, word);
    if (rules.count == 0)
        kj_usage(args, "Invalid rule: %s", list);
    free(copy);
    return rules;
}

static void drop_rules(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        if (!rules->items[i].any_topic)
            kj_pattern_free(&rules->items[i].pattern);
    free(rules->items);
    free(rules->partitions);
}

enum { TIME_WITHOUT_ANSWER = -1000 }; /* tiered storage: there is never an offset */

static int64_t time_of(const struct kj_args *args)
{
    static const struct {
        const char *word;
        int64_t number, time;
    } words[] = {{"latest", -1, KAJA_OFFSET_LATEST},
                 {"earliest", -2, KAJA_OFFSET_EARLIEST},
                 {"max-timestamp", -3, KAJA_OFFSET_MAX_TIMESTAMP},
                 {"earliest-local", -4, KAJA_OFFSET_EARLIEST},
                 {"latest-tiered", -5, TIME_WITHOUT_ANSWER},
                 {"earliest-pending-upload", -6, TIME_WITHOUT_ANSWER}};
    const char *text = kj_args_get(args, "time");
    int64_t value = -1;
    bool number = text == NULL || kj_parse_int(text, &value);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (number ? words[i].number == value : strcmp(words[i].word, text) == 0)
            return words[i].time;
    if (!number || value < 0)
        kj_usage(args,
                 "Error occurred: Malformed time argument %s. Please use -1 or latest / -2 or "
                 "earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered "
                 "/ -6 or earliest-pending-upload, or a specified long format timestamp",
                 text);
    return value;
}

/* --- answering ------------------------------------------------------------------------------ */

static bool wanted(const struct rules *rules, const char *topic, int32_t partition)
{
    bool found = rules->partitions == NULL;
    for (size_t i = 0; i < rules->partition_count && !found; i++)
        found = rules->partitions[i] == partition;
    if (!found)
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        if (partition >= rule->from && partition < rule->to &&
            (rule->any_topic || kj_pattern_matches(&rule->pattern, topic)))
            return true;
    }
    return false;
}

struct target {
    char *label; /* topic-partition, the sort key */
    const char *topic;
    int32_t partition;
};

static int by_label(const void *a, const void *b)
{
    const struct target *one = a, *other = b;
    return strcmp(one->label, other->label);
}

static size_t targets_of(const struct rules *rules, const struct kaja_topic_list *topics,
                         bool internal, struct target **ret_targets)
{
    struct target *targets = NULL;
    size_t count = 0, room = 0;
    for (size_t i = 0; i < topics->count; i++) {
        const struct kaja_topic_info *topic = &topics->topics[i];
        for (int32_t p = 0; (internal || !topic->internal) && p < topic->partition_count; p++) {
            if (!wanted(rules, topic->name, p))
                continue;
            if (count == room) {
                room = room == 0 ? 16 : room * 2;
                targets = kj_xrealloc(targets, room * sizeof *targets);
            }
            targets[count++] =
                (struct target){kj_xprintf("%s-%d", topic->name, (int)p), topic->name, p};
        }
    }
    if (count > 0)
        qsort(targets, count, sizeof *targets, by_label);
    *ret_targets = targets;
    return count;
}

static int print_offsets(const struct kj_args *args, struct kaja_store *store,
                         const struct target *targets, size_t count, int64_t time)
{
    bool as_json = kj_args_has(args, "json");
    int status = 0;
    struct kj_json json;
    kj_json_init(&json, stdout);
    if (as_json)
        kj_json_open(&json, NULL, '[');
    for (size_t i = 0; i < count && time != TIME_WITHOUT_ANSWER; i++) {
        int64_t offset, timestamp;
        int err = kaja_admin_offset_for_time(store, targets[i].topic, targets[i].partition, time, 0,
                                             &offset, &timestamp);
        if (err != 0) {
            kj_complain_err(err, "Skip getting offsets for topic-partition %s", targets[i].label);
            status = KJ_EXIT_FAILURE;
            continue;
        }
        if (offset < 0)
            continue;
        if (!as_json) {
            printf("%s:%d:%lld\n", targets[i].topic, (int)targets[i].partition, (long long)offset);
            continue;
        }
        kj_json_open(&json, NULL, '{');
        kj_json_text(&json, "topic", targets[i].topic);
        kj_json_int(&json, "partition", targets[i].partition);
        kj_json_int(&json, "offset", offset);
        if (timestamp >= 0)
            kj_json_int(&json, "timestamp", timestamp);
        kj_json_close(&json, '}');
    }
    if (as_json) {
        kj_json_close(&json, ']');
        kj_json_end(&json);
    }
    return status;
}

static int run(const struct kj_args *args)
{
    struct rules rules = rules_of(args);
    int64_t time = time_of(args);
    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_READ_ONLY);
    struct kaja_topic_list *topics;
    int status = KJ_EXIT_FAILURE;
    int err = kaja_admin_topics(store, &topics);
    if (err != 0) {
        kj_complain_err(err, "Error occurred");
    } else {
        struct target *targets;
        size_t count =
            targets_of(&rules, topics, !kj_args_has(args, "exclude-internal-topics"), &targets);
        if (count == 0)
            kj_complain("Error occurred: Could not match any topic-partitions with the specified "
                        "filters");
        else
            status = print_offsets(args, store, targets, count, time);
        for (size_t i = 0; i < count; i++)
            free(targets[i].label);
        free(targets);
        kaja_topic_list_free(topics);
    }
    drop_rules(&rules);
    return kj_tool_close(store, status);
}

const struct kj_command kj_cmd_get_offsets = {
    .name = "get-offsets",
    .summary = "Show the first or last offset of partitions, or the one at a time.",
    .options = options,
    .run = run,
};
