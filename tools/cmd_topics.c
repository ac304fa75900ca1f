/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_topics.c - kaja topics: make, list, describe, grow and delete topics.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/props.h"
#include "tools/topic_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kj_option options[] = {
    {"create", NULL, KJ_OPT_FLAG, NULL, "make a topic"},
    {"list", NULL, KJ_OPT_FLAG, NULL, "names of all topics"},
    {"describe", NULL, KJ_OPT_FLAG, NULL, "topics and their partitions"},
    {"alter", NULL, KJ_OPT_FLAG, NULL, "raise the number of partitions"},
    {"delete", NULL, KJ_OPT_FLAG, NULL, "delete topics"},
    {"topic", NULL, KJ_OPT_ONE, "NAME", "the topic; a regular expression except with --create"},
    {"topic-id", NULL, KJ_OPT_ONE, "ID", "describe the topic with this id"},
    {"partitions", NULL, KJ_OPT_ONE, "N", "number of partitions (create: default num.partitions)"},
    {"replication-factor", NULL, KJ_OPT_ONE, "1", "accepted if it is 1"},
    {"replica-assignment", NULL, KJ_OPT_ONE, "0,0,...",
     "one entry a partition; only their number counts"},
    {"config", NULL, KJ_OPT_MANY, "NAME=VALUE", "a topic property, with --create"},
    {"if-not-exists", NULL, KJ_OPT_FLAG, NULL, "create: say nothing if the topic exists"},
    {"if-exists", NULL, KJ_OPT_FLAG, NULL, "alter, delete, describe: say nothing if it does not"},
    {"exclude-internal", NULL, KJ_OPT_FLAG, NULL, "list, describe: leave internal topics out"},
    {"topics-with-overrides", NULL, KJ_OPT_FLAG, NULL,
     "describe: topics with properties of their own"},
    {"under-replicated-partitions", NULL, KJ_OPT_FLAG, NULL,
     "describe: none, there are no replicas"},
    {"unavailable-partitions", NULL, KJ_OPT_FLAG, NULL, "describe: none"},
    {"under-min-isr-partitions", NULL, KJ_OPT_FLAG, NULL, "describe: none"},
    {"at-min-isr-partitions", NULL, KJ_OPT_FLAG, NULL, "describe: all partitions"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "list, describe: as JSON"},
    {"delete-config", NULL, KJ_OPT_MANY, "NAME", NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

/* A failure in Kafka's shape; the command's exit status. */
static int fail(const char *message)
{
    fflush(stdout);
    kj_complain("Error while executing topic command : %s", message);
    return KJ_EXIT_FAILURE;
}

static int fail_err(int err)
{
    return fail(kj_reason(err));
}

static int fail_missing(const char *topic)
{
    char *text = kj_xprintf("Topic '%s' does not exist as expected", topic);
    int status = fail(text);
    free(text);
    return status;
}

/* --- create ------------------------------------------------------------------------------- */

static const char *topic_property_at(size_t i, const void *arg)
{
    (void)arg;
    /* The table is not sorted by scope: look for the i-th row that a topic may have. */
    for (size_t row = 0;; row++) {
        const struct kaja_conf_info *info = kaja_conf_table(row);
        if (info == NULL)
            return NULL;
        if (strstr(info->scope, "topic") != NULL && i-- == 0)
            return info->name;
    }
}

static bool is_topic_property(const char *name)
{
    const char *at;
    for (size_t i = 0; (at = topic_property_at(i, NULL)) != NULL; i++)
        if (strcmp(at, name) == 0)
            return true;
    return false;
}

/* Sets the --config pairs; an exit status if one is refused. */
static int topic_conf(const struct kj_args *args, struct kaja_conf *conf)
{
    const char *text;
    for (size_t i = 0; (text = kj_args_nth(args, "config", i)) != NULL; i++) {
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals[1] == '\0' ||
            strchr(equals + 1, '=') != NULL)
            kj_usage(args, "requirement failed: Invalid topic config: all configs to be added must "
                           "be in the format \"key=val\".");
        struct kj_pair pair = kj_pair_split(args, "config", text);
        int status = 0;
        if (!is_topic_property(pair.name)) {
            const char *near = kj_nearest(pair.name, topic_property_at, NULL);
            char *message = kj_xprintf("Unknown topic config name: %s%s%s%s", pair.name,
                                       near != NULL ? " (did you mean " : "",
                                       near != NULL ? near : "", near != NULL ? "?)" : "");
            status = fail(message);
            free(message);
        } else {
            int err = kaja_conf_set(conf, pair.name, pair.value);
            if (err != 0)
                status = fail_err(err);
        }
        free(pair.name);
        if (status != 0)
            return status;
    }
    return 0;
}

static int32_t count_assignment(const struct kj_args *args)
{
    const char *text = kj_args_get(args, "replica-assignment");
    int32_t count = 0;
    for (const char *p = text; *p != '\0';) {
        size_t bytes = strcspn(p, ",");
        if (bytes != 1 || *p != '0')
            kj_usage(args,
                     "Option replica-assignment: the only broker is 0, so every entry is 0, "
                     "not '%.*s'",
                     (int)bytes, p);
        count++;
        p += bytes;
        if (*p == ',' && *++p == '\0')
            kj_usage(args, "Option replica-assignment ends in a comma");
    }
    if (count == 0)
        kj_usage(args, "Option replica-assignment is empty");
    return count;
}

static int32_t partitions_option(const struct kj_args *args)
{
    const char *text = kj_args_get(args, "partitions");
    int64_t count = kj_args_int(args, "partitions", -1, INT64_MIN, INT32_MAX);
    if (text != NULL && count <= 0)
        kj_usage(args, "The partitions must be greater than 0");
    return (int32_t)count;
}

static int create(const struct kj_args *args)
{
    const char *topic = kj_args_required(args, "topic");
    kj_args_exclude(args, "replica-assignment", "partitions");
    kj_args_exclude(args, "replica-assignment", "replication-factor");
    int32_t partitions =
        kj_args_has(args, "replica-assignment") ? count_assignment(args) : partitions_option(args);
    const char *fault = kj_topic_name_fault(topic);
    if (fault != NULL)
        return fail(fault);
    struct kaja_conf *conf;
    int err = kaja_conf_new(&conf);
    if (err != 0)
        return fail_err(err);
    int status = topic_conf(args, conf);
    if (status != 0) {
        kaja_conf_free(conf);
        return status;
    }
    if (strpbrk(topic, "._") != NULL)
        puts(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore "
            "('_') could collide. To avoid issues it is best to use either, but not both.");
    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_CREATE);
    err = kaja_admin_create_topic(store, topic, partitions, conf);
    kaja_conf_free(conf);
    if (err == 0) {
        printf("Created topic %s.\n", topic);
    } else if (err == KAJA_ERR_TOPIC_ALREADY_EXISTS && !kj_args_has(args, "if-not-exists")) {
        char *message = kj_xprintf("Topic '%s' already exists.", topic);
        status = fail(message);
        free(message);
    } else if (err != KAJA_ERR_TOPIC_ALREADY_EXISTS) {
        status = fail_err(err);
    }
    return kj_tool_close(store, status);
}

/* --- list and describe ---------------------------------------------------------------------- */

struct selection {
    struct kaja_topic_list *all;
    const struct kaja_topic_info **topics;
    size_t count;
};

static void drop_selection(struct selection *selection)
{
    free(selection->topics);
    kaja_topic_list_free(selection->all);
}

/* The topics that --topic and --exclude-internal name. */
static int select_topics(const struct kj_args *args, struct kaja_store *store,
                         struct selection *ret_selection)
{
    const char *text = kj_args_get(args, "topic");
    struct kj_pattern pattern;
    if (text != NULL)
        kj_topic_filter(args, text, &pattern);
    int err = kj_topics_matching(store, text != NULL ? &pattern : NULL,
                                 !kj_args_has(args, "exclude-internal"), &ret_selection->all,
                                 &ret_selection->topics, &ret_selection->count);
    if (text != NULL)
        kj_pattern_free(&pattern);
    return err;
}

static int list(const struct kj_args *args, struct kaja_store *store)
{
    struct selection selection;
    int err = select_topics(args, store, &selection);
    if (err != 0)
        return fail_err(err);
    if (kj_args_has(args, "json")) {
        struct kj_json json;
        kj_json_init(&json, stdout);
        kj_json_open(&json, NULL, '{');
        kj_json_open(&json, "topics", '[');
        for (size_t i = 0; i < selection.count; i++)
            kj_json_text(&json, NULL, selection.topics[i]->name);
        kj_json_close(&json, ']');
        kj_json_close(&json, '}');
        kj_json_end(&json);
    } else {
        for (size_t i = 0; i < selection.count; i++)
            puts(selection.topics[i]->name);
        if (selection.count == 0)
            puts("");
    }
    drop_selection(&selection);
    return 0;
}

enum view { VIEW_ALL, VIEW_TOPICS_WITH_OVERRIDES, VIEW_PARTITIONS, VIEW_NOTHING };

static enum view view_of(const struct kj_args *args)
{
    static const char *const filters[] = {"under-replicated-partitions", "unavailable-partitions",
                                          "under-min-isr-partitions", "at-min-isr-partitions",
                                          "topics-with-overrides"};
    const char *chosen = NULL;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!kj_args_has(args, filters[i]))
            continue;
        if (!kj_args_has(args, "describe"))
            kj_usage(args, "Option \"[%s]\" can only be used with describe", filters[i]);
        if (chosen != NULL)
            kj_args_exclude(args, chosen, filters[i]);
        chosen = filters[i];
    }
    if (chosen == NULL)
        return VIEW_ALL;
    return chosen == filters[4]   ? VIEW_TOPICS_WITH_OVERRIDES
           : chosen == filters[3] ? VIEW_PARTITIONS
                                  : VIEW_NOTHING;
}

static bool is_override(const struct kaja_config_entry *entry)
{
    return entry->source == KAJA_CONFIG_TOPIC || entry->source == KAJA_CONFIG_STORE;
}

static void print_topic(const struct kaja_topic_info *topic, const struct kaja_config_list *configs,
                        enum view view)
{
    if (view == VIEW_ALL || view == VIEW_TOPICS_WITH_OVERRIDES) {
        printf("Topic: %s\tTopicId: %s\tPartitionCount: %d\tReplicationFactor: 1\tConfigs: ",
               topic->name, topic->id, (int)topic->partition_count);
        bool first = true;
        for (size_t i = 0; i < configs->count; i++) {
            if (!is_override(&configs->entries[i]))
                continue;
            printf("%s%s=%s", first ? "" : ",", configs->entries[i].name,
                   configs->entries[i].value);
            first = false;
        }
        putchar('\n');
    }
    if (view == VIEW_ALL || view == VIEW_PARTITIONS)
        for (int32_t p = 0; p < topic->partition_count; p++)
            printf("\tTopic: %s\tPartition: %d\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: "
                   "\tLastKnownElr: \n",
                   topic->name, (int)p);
}

static void topic_json(struct kj_json *json, const struct kaja_topic_info *topic,
                       const struct kaja_config_list *configs)
{
    kj_json_open(json, NULL, '{');
    kj_json_text(json, "topic", topic->name);
    kj_json_text(json, "topicId", topic->id);
    kj_json_int(json, "partitionCount", topic->partition_count);
    kj_json_int(json, "replicationFactor", 1);
    kj_json_bool(json, "internal", topic->internal != 0);
    kj_json_bool(json, "adopted", topic->adopted != 0);
    kj_json_open(json, "configs", '{');
    for (size_t i = 0; i < configs->count; i++)
        if (is_override(&configs->entries[i]))
            kj_json_text(json, configs->entries[i].name, configs->entries[i].value);
    kj_json_close(json, '}');
    kj_json_open(json, "partitions", '[');
    for (int32_t p = 0; p < topic->partition_count; p++) {
        kj_json_open(json, NULL, '{');
        kj_json_int(json, "partition", p);
        kj_json_int(json, "leader", 0);
        kj_json_open(json, "replicas", '[');
        kj_json_int(json, NULL, 0);
        kj_json_close(json, ']');
        kj_json_open(json, "isr", '[');
        kj_json_int(json, NULL, 0);
        kj_json_close(json, ']');
        kj_json_close(json, '}');
    }
    kj_json_close(json, ']');
    kj_json_close(json, '}');
}

static bool has_own_config(const struct kaja_config_list *configs)
{
    for (size_t i = 0; i < configs->count; i++)
        if (configs->entries[i].source == KAJA_CONFIG_TOPIC)
            return true;
    return false;
}

static int describe_selected(const struct kj_args *args, struct kaja_store *store,
                             const struct selection *selection, enum view view)
{
    bool as_json = kj_args_has(args, "json");
    int status = 0;
    struct kj_json json;
    kj_json_init(&json, stdout);
    if (as_json)
        kj_json_open(&json, NULL, '[');
    for (size_t i = 0; i < selection->count && status == 0; i++) {
        const struct kaja_topic_info *topic = selection->topics[i];
        struct kaja_config_list *configs;
        int err = kaja_admin_configs(store, topic->name, &configs);
        if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION)
            continue; /* deleted since it was listed */
        if (err != 0) {
            status = fail_err(err);
            break;
        }
        bool shown =
            view != VIEW_NOTHING && (view != VIEW_TOPICS_WITH_OVERRIDES || has_own_config(configs));
        if (shown && as_json)
            topic_json(&json, topic, configs);
        else if (shown)
            print_topic(topic, configs, view);
        kaja_config_list_free(configs);
    }
    if (as_json) {
        kj_json_close(&json, ']');
        kj_json_end(&json);
    }
    return status;
}

/* Leaves only the topic with this id. */
static void keep_id(struct selection *selection, const char *id)
{
    size_t kept = 0;
    for (size_t i = 0; i < selection->count; i++)
        if (strcmp(selection->topics[i]->id, id) == 0)
            selection->topics[kept++] = selection->topics[i];
    selection->count = kept;
}

static int describe(const struct kj_args *args, struct kaja_store *store)
{
    enum view view = view_of(args);
    const char *id = kj_args_get(args, "topic-id");
    const char *topic = kj_args_get(args, "topic");
    struct selection selection;
    int err;
    if (id != NULL)
        err = kj_topics_matching(store, NULL, true, &selection.all, &selection.topics,
                                 &selection.count);
    else
        err = select_topics(args, store, &selection);
    if (err != 0)
        return fail_err(err);
    if (id != NULL)
        keep_id(&selection, id);
    int status = 0;
    if (selection.count == 0 && id != NULL && !kj_args_has(args, "if-exists")) {
        char *message = kj_xprintf("TopicId '%s' does not exist as expected", id);
        status = fail(message);
        free(message);
    } else if (selection.count == 0 && topic != NULL && id == NULL &&
               !kj_args_has(args, "if-exists")) {
        status = fail_missing(topic);
    } else if (selection.count > 0 || kj_args_has(args, "json")) {
        status = describe_selected(args, store, &selection, view);
    }
    drop_selection(&selection);
    return status;
}

/* --- alter and delete ------------------------------------------------------------------------ */

static int alter_one(struct kaja_store *store, const struct kaja_topic_info *topic, int32_t wanted)
{
    int err = kaja_admin_add_partitions(store, topic->name, wanted);
    if (err == 0)
        return 0;
    if (err != KAJA_ERR_INVALID_PARTITIONS || wanted > topic->partition_count)
        return fail_err(err);
    char *message =
        wanted == topic->partition_count
            ? kj_xprintf("Topic already has %d partition(s).", (int)wanted)
            : kj_xprintf("The topic %s currently has %d partition(s); %d would not be an increase.",
                         topic->name, (int)topic->partition_count, (int)wanted);
    int status = fail(message);
    free(message);
    return status;
}

/* alter and delete: one action on every topic that --topic names. */
static int change(const struct kj_args *args, struct kaja_store *store, bool remove)
{
    int32_t wanted = partitions_option(args);
    struct selection selection;
    int err = select_topics(args, store, &selection);
    if (err != 0)
        return fail_err(err);
    int status = 0;
    if (selection.count == 0 && !kj_args_has(args, "if-exists"))
        status = fail_missing(kj_args_get(args, "topic"));
    for (size_t i = 0; i < selection.count && status == 0; i++) {
        if (!remove) {
            status = alter_one(store, selection.topics[i], wanted);
            continue;
        }
        err = kaja_admin_delete_topic(store, selection.topics[i]->name);
        if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION && kj_args_has(args, "if-exists"))
            err = 0;
        if (err != 0)
            status = fail_err(err);
    }
    drop_selection(&selection);
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

static const char *only_action(const struct kj_args *args)
{
    static const char *const actions[] = {"list", "describe", "create", "alter", "delete"};
    const char *chosen = NULL;
    int count = 0;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (kj_args_has(args, actions[i])) {
            chosen = actions[i];
            count++;
        }
    }
    if (count != 1)
        kj_usage(args, "Command must include exactly one action: --list, --describe, --create, "
                       "--alter or --delete");
    return chosen;
}

static void check_usage(const struct kj_args *args, const char *action)
{
    bool creating = strcmp(action, "create") == 0, altering = strcmp(action, "alter") == 0;
    bool describing = strcmp(action, "describe") == 0, listing = strcmp(action, "list") == 0;
    if (!describing && !listing)
        kj_args_required(args, "topic");
    if (altering) {
        if (kj_args_has(args, "config"))
            kj_usage(args, "Option combination \"[alter],[config]\" can't be used with topics: set "
                           "properties with kaja configs --alter");
        kj_args_required(args, "partitions");
        if (kj_args_has(args, "replica-assignment") &&
            count_assignment(args) != partitions_option(args))
            kj_usage(args, "Option replica-assignment must have one entry a partition");
    } else if (!creating && kj_args_has(args, "config")) {
        kj_usage(args, "Option \"[config]\" can't be used with option \"[%s]\"", action);
    }
    if (!creating && !altering)
        kj_args_exclude(args, action, "partitions");
    if (!creating)
        kj_args_exclude(args, action, "if-not-exists");
    if (creating || listing)
        kj_args_exclude(args, action, "if-exists");
    if (!describing && !listing)
        kj_args_exclude(args, action, "exclude-internal");
    if (!describing)
        kj_args_exclude(args, action, "topic-id");
    view_of(args);
    if (!creating && kj_args_has(args, "topic")) {
        struct kj_pattern pattern; /* wrong usage is told before anything is opened */
        kj_topic_filter(args, kj_args_get(args, "topic"), &pattern);
        kj_pattern_free(&pattern);
    }
    if (kj_args_has(args, "delete-config"))
        kj_complain("The delete-config option is no longer supported and deprecated, so it is "
                    "ignored: use kaja configs --alter --delete-config");
}

static int run(const struct kj_args *args)
{
    const char *action = only_action(args);
    check_usage(args, action);
    if (strcmp(action, "create") == 0)
        return create(args);
    bool reading = strcmp(action, "list") == 0 || strcmp(action, "describe") == 0;
    struct kaja_store *store =
        kj_tool_open(args, NULL, reading ? KJ_OPEN_READ_ONLY : KJ_OPEN_EXISTING);
    int status = strcmp(action, "list") == 0 ? list(args, store)
                 : strcmp(action, "describe") == 0
                     ? describe(args, store)
                     : change(args, store, strcmp(action, "delete") == 0);
    return kj_tool_close(store, status);
}

const struct kj_command kj_cmd_topics = {
    .name = "topics",
    .summary = "Create, list, describe, alter and delete topics.",
    .options = options,
    .run = run,
};
