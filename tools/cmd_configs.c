/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_configs.c - kaja configs: properties of topics and of the directory.
 *
 * The directory's own properties are what a broker's are in Kafka: entity type brokers, whether one
 * asks for broker 0 or for the default of all brokers.
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
    {"describe", NULL, KJ_OPT_FLAG, NULL, "show properties"},
    {"alter", NULL, KJ_OPT_FLAG, NULL, "set and remove properties"},
    {"entity-type", NULL, KJ_OPT_MANY, "TYPE", "topics or brokers (the directory itself)"},
    {"entity-name", NULL, KJ_OPT_MANY, "NAME", "the topic, or 0"},
    {"entity-default", NULL, KJ_OPT_FLAG, NULL, "with brokers: the directory's own"},
    {"topic", NULL, KJ_OPT_ONE, "NAME", "short for --entity-type topics --entity-name NAME"},
    {"broker", NULL, KJ_OPT_ONE, "0", "short for --entity-type brokers --entity-name 0"},
    {"broker-defaults", NULL, KJ_OPT_FLAG, NULL,
     "short for --entity-type brokers --entity-default"},
    {"group", NULL, KJ_OPT_ONE, "NAME", "not built yet"},
    {"add-config", NULL, KJ_OPT_ONE, "K1=V1,K2=[A,B]", "alter: properties to set"},
    {"add-config-file", NULL, KJ_OPT_ONE, "FILE", "alter: a properties file to set"},
    {"delete-config", NULL, KJ_OPT_ONE, "K1,K2", "alter: properties to remove"},
    {"all", NULL, KJ_OPT_FLAG, NULL, "describe: defaults too"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "describe: as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

enum entity_kind { ENTITY_TOPICS, ENTITY_BROKERS };

struct entity {
    enum entity_kind kind;
    const char *name; /* NULL: all topics, or the default of brokers */
};

static _Noreturn void not_built(const struct kj_args *args, const char *type)
{
    kj_complain("kaja %s: properties of %s are not built yet (UNSUPPORTED_FEATURE)",
                args->command->name, type);
    exit(KJ_EXIT_FAILURE);
}

static struct entity entity_of(const struct kj_args *args)
{
    static const char *const shorts[] = {"topic", "broker", "broker-defaults", "group"};
    const char *chosen = kj_args_has(args, "entity-type") ? "entity-type" : NULL;
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++) {
        if (!kj_args_has(args, shorts[i]))
            continue;
        if (chosen != NULL)
            kj_args_exclude(args, chosen, shorts[i]);
        chosen = shorts[i];
    }
    if (chosen == NULL)
        kj_usage(args, "At least one of --entity-type, --topic, --broker, --broker-defaults or "
                       "--group must be specified");
    if (strcmp(chosen, "entity-type") != 0) {
        kj_args_exclude(args, chosen, "entity-name");
        kj_args_exclude(args, chosen, "entity-default");
    }
    if (kj_args_nth(args, "entity-type", 1) != NULL || kj_args_nth(args, "entity-name", 1) != NULL)
        kj_usage(args, "Only one entity can be given at a time");

    const char *type = kj_args_get(args, "entity-type");
    struct entity entity = {ENTITY_TOPICS, kj_args_get(args, "topic")};
    if (type != NULL) {
        entity.name = kj_args_get(args, "entity-name");
        if (strcmp(type, "brokers") == 0 || strcmp(type, "broker") == 0)
            entity.kind = ENTITY_BROKERS;
        else if (strcmp(type, "groups") == 0 || strcmp(type, "users") == 0 ||
                 strcmp(type, "clients") == 0 || strcmp(type, "ips") == 0 ||
                 strcmp(type, "client-metrics") == 0)
            not_built(args, type);
        else if (strcmp(type, "topics") != 0 && strcmp(type, "topic") != 0)
            kj_usage(args, "Invalid entity type %s, the entity type must be one of topics, brokers",
                     type);
        kj_args_exclude(args, "entity-name", "entity-default");
        if (entity.kind == ENTITY_TOPICS && kj_args_has(args, "entity-default"))
            kj_usage(args, "topics have no default entity: use --entity-type brokers");
    } else if (strcmp(chosen, "group") == 0) {
        not_built(args, "groups");
    } else if (strcmp(chosen, "topic") != 0) {
        entity = (struct entity){ENTITY_BROKERS, kj_args_get(args, "broker")};
    }
    if (entity.kind == ENTITY_BROKERS && entity.name != NULL && strcmp(entity.name, "0") != 0)
        kj_usage(args, "The only broker is 0, not %s", entity.name);
    return entity;
}

/* --- describe ------------------------------------------------------------------------------- */

static bool is_shown(const struct kaja_config_entry *entry, bool all, enum entity_kind kind)
{
    if (all)
        return true;
    return kind == ENTITY_TOPICS ? entry->source == KAJA_CONFIG_TOPIC
                                 : entry->source == KAJA_CONFIG_STORE;
}

struct synonym {
    const char *source, *name, *value;
};

/* Where a value could come from, strongest first; returns how many. */
static size_t synonyms_of(const struct kaja_config_entry *entry, struct synonym list[3])
{
    const char *broker_name = entry->broker_name != NULL ? entry->broker_name : entry->name;
    size_t n = 0;
    if (entry->topic_value != NULL)
        list[n++] = (struct synonym){"DYNAMIC_TOPIC_CONFIG", entry->name, entry->topic_value};
    if (entry->store_value != NULL)
        list[n++] = (struct synonym){"STATIC_BROKER_CONFIG", broker_name, entry->store_value};
    if (entry->default_value != NULL)
        list[n++] = (struct synonym){"DEFAULT_CONFIG", broker_name, entry->default_value};
    return n;
}

static void print_entry(const struct kaja_config_entry *entry)
{
    struct synonym list[3];
    size_t n = synonyms_of(entry, list);
    printf("  %s=%s sensitive=false synonyms={", entry->name,
           entry->value != NULL ? entry->value : "null");
    for (size_t i = 0; i < n; i++)
        printf("%s%s:%s=%s", i > 0 ? ", " : "", list[i].source, list[i].name, list[i].value);
    puts("}");
}

static void entry_json(struct kj_json *json, const struct kaja_config_entry *entry)
{
    static const char *const sources[] = {"", "DYNAMIC_TOPIC_CONFIG", "STATIC_BROKER_CONFIG",
                                          "DEFAULT_CONFIG"};
    struct synonym list[3];
    size_t n = synonyms_of(entry, list);
    kj_json_open(json, NULL, '{');
    kj_json_text(json, "name", entry->name);
    kj_json_text(json, "value", entry->value);
    kj_json_text(json, "source", sources[entry->source]);
    kj_json_open(json, "synonyms", '[');
    for (size_t i = 0; i < n; i++) {
        kj_json_open(json, NULL, '{');
        kj_json_text(json, "source", list[i].source);
        kj_json_text(json, "name", list[i].name);
        kj_json_text(json, "value", list[i].value);
        kj_json_close(json, '}');
    }
    kj_json_close(json, ']');
    kj_json_close(json, '}');
}

/* One entity: topic NULL is the directory. */
static int describe_entity(const struct kj_args *args, struct kaja_store *store,
                           const struct entity *entity, const char *topic, struct kj_json *json)
{
    bool all = kj_args_has(args, "all");
    struct kaja_config_list *list;
    int err = kaja_admin_configs(store, topic, &list);
    if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION) {
        if (json == NULL)
            printf("The %s '%s' doesn't exist and doesn't have dynamic config.\n", "topic", topic);
        return 0;
    }
    if (err != 0) {
        kj_complain_err(err, "kaja configs");
        return KJ_EXIT_FAILURE;
    }
    if (json != NULL) {
        kj_json_open(json, NULL, '{');
        kj_json_text(json, "type", topic != NULL ? "topic" : "broker");
        kj_json_text(json, "name", topic != NULL ? topic : entity->name);
        kj_json_open(json, "configs", '[');
    } else if (topic != NULL) {
        printf("%s configs for topic %s are:\n", all ? "All" : "Dynamic", topic);
    } else if (entity->name != NULL) {
        printf("%s configs for broker %s are:\n", all ? "All" : "Dynamic", entity->name);
    } else {
        puts("Default configs for brokers in the cluster are:");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!is_shown(&list->entries[i], all, entity->kind))
            continue;
        if (json != NULL)
            entry_json(json, &list->entries[i]);
        else
            print_entry(&list->entries[i]);
    }
    if (json != NULL) {
        kj_json_close(json, ']');
        kj_json_close(json, '}');
    }
    kaja_config_list_free(list);
    return 0;
}

static int describe(const struct kj_args *args, struct kaja_store *store,
                    const struct entity *entity)
{
    struct kj_json writer, *json = kj_args_has(args, "json") ? &writer : NULL;
    int status = 0;
    if (json != NULL) {
        kj_json_init(json, stdout);
        kj_json_open(json, NULL, '[');
    }
    if (entity->kind == ENTITY_BROKERS || entity->name != NULL) {
        status = describe_entity(args, store, entity,
                                 entity->kind == ENTITY_TOPICS ? entity->name : NULL, json);
    } else {
        struct kaja_topic_list *topics;
        int err = kaja_admin_topics(store, &topics);
        if (err != 0) {
            kj_complain_err(err, "kaja configs");
            return KJ_EXIT_FAILURE;
        }
        for (size_t i = 0; i < topics->count && status == 0; i++)
            status = describe_entity(args, store, entity, topics->topics[i].name, json);
        kaja_topic_list_free(topics);
    }
    if (json != NULL) {
        kj_json_close(json, ']');
        kj_json_end(json);
    }
    return status;
}

/* --- alter ---------------------------------------------------------------------------------- */

struct change {
    const struct kj_args *args;
    struct kaja_conf *set;
};

static void add_property(void *arg, const char *name, const char *value)
{
    struct change *change = arg;
    int err = kaja_conf_set(change->set, name, value);
    if (err == 0)
        return;
    if (err == KAJA_ERR_INVALID_CONFIG)
        kj_complain("kaja configs: %s", kj_reason(err));
    else
        kj_complain_err(err, "kaja configs");
    exit(KJ_EXIT_FAILURE); /* nothing is open yet */
}

/* The words of --delete-config; *ret_copy holds their bytes. */
static size_t split_names(const struct kj_args *args, char **ret_copy, const char ***ret_names)
{
    const char *text = kj_args_get(args, "delete-config");
    *ret_copy = NULL;
    *ret_names = NULL;
    if (text == NULL)
        return 0;
    char *copy = kj_xstrdup(text);
    const char **names = kj_xmalloc((strlen(text) / 2 + 1) * sizeof *names);
    size_t count = 0;
    char *rest = copy;
    for (char *word; (word = strtok_r(rest, ", ", &rest)) != NULL;)
        names[count++] = word;
    if (count == 0)
        kj_usage(args, "Option delete-config is empty");
    *ret_copy = copy;
    *ret_names = names;
    return count;
}

static int alter(const struct kj_args *args, const struct entity *entity)
{
    if (!kj_args_has(args, "add-config") && !kj_args_has(args, "add-config-file") &&
        !kj_args_has(args, "delete-config"))
        kj_usage(args,
                 "At least one of --add-config, --add-config-file, or --delete-config must be "
                 "specified with --alter");
    kj_args_exclude(args, "add-config", "add-config-file");
    if (entity->kind == ENTITY_TOPICS && entity->name == NULL)
        kj_usage(args, "an entity-name must be specified with --alter of topics");

    struct change change = {.args = args};
    int err = kaja_conf_new(&change.set);
    if (err != 0) {
        kj_complain_err(err, "kaja configs");
        return KJ_EXIT_FAILURE;
    }
    char *copy;
    const char **names;
    size_t count = split_names(args, &copy, &names);
    if (kj_args_has(args, "add-config"))
        kj_props_each_config(args, kj_args_get(args, "add-config"), add_property, &change);
    if (kj_args_has(args, "add-config-file"))
        kj_props_read_file(args, kj_args_get(args, "add-config-file"), add_property, &change);

    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_EXISTING);
    const char *topic = entity->kind == ENTITY_TOPICS ? entity->name : NULL;
    int status = 0;
    err = kaja_admin_alter_configs(store, topic, change.set, names, count);
    if (err != 0) {
        kj_complain_err(err, "kaja configs%s%s", topic != NULL ? ": topic " : "",
                        topic != NULL ? topic : "");
        status = KJ_EXIT_FAILURE;
    } else if (topic != NULL) {
        printf("Completed updating config for topic %s.\n", topic);
    } else if (entity->name != NULL) {
        printf("Completed updating config for broker %s.\n", entity->name);
    } else {
        puts("Completed updating default config for brokers in the cluster.");
    }
    kaja_conf_free(change.set);
    free(names);
    free(copy);
    return kj_tool_close(store, status);
}

static int run(const struct kj_args *args)
{
    bool altering = kj_args_has(args, "alter");
    if (altering == kj_args_has(args, "describe"))
        kj_usage(args, "Command must include exactly one action: --describe, --alter");
    struct entity entity = entity_of(args);
    if (altering)
        return alter(args, &entity);
    kj_args_exclude(args, "describe", "add-config");
    kj_args_exclude(args, "describe", "add-config-file");
    kj_args_exclude(args, "describe", "delete-config");
    struct kaja_store *store = kj_tool_open(args, NULL, KJ_OPEN_READ_ONLY);
    return kj_tool_close(store, describe(args, store, &entity));
}

const struct kj_command kj_cmd_configs = {
    .name = "configs",
    .summary = "Show and change the properties of topics and of the directory.",
    .options = options,
    .run = run,
};
