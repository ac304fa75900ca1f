/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_consumer_groups.c - kaja consumer-groups: groups, what they have committed, and setting
 * that anew.
 */
#include "tools/commands.h"
#include "tools/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct kj_option options[] = {
    {"list", NULL, KJ_OPT_FLAG, NULL, "the groups"},
    {"describe", NULL, KJ_OPT_FLAG, NULL, "what groups have committed, and their lag"},
    {"delete", NULL, KJ_OPT_FLAG, NULL, "forget groups and all their offsets"},
    {"delete-offsets", NULL, KJ_OPT_FLAG, NULL, "forget a group's offsets of topics"},
    {"reset-offsets", NULL, KJ_OPT_FLAG, NULL, "set offsets anew; --execute does it"},
    {"group", NULL, KJ_OPT_MANY, "GROUP", "a group"},
    {"all-groups", NULL, KJ_OPT_FLAG, NULL, "all of them"},
    {"topic", NULL, KJ_OPT_MANY, "TOPIC[:0,1]", "a topic, or some of its partitions"},
    {"all-topics", NULL, KJ_OPT_FLAG, NULL, "all that the group has committed"},
    {"state", NULL, KJ_OPT_FLAG, NULL, "with --list or --describe: the state of groups"},
    {"to-earliest", NULL, KJ_OPT_FLAG, NULL, "reset to the first record"},
    {"to-latest", NULL, KJ_OPT_FLAG, NULL, "reset behind the last record"},
    {"to-current", NULL, KJ_OPT_FLAG, NULL, "reset to what is committed"},
    {"to-offset", NULL, KJ_OPT_ONE, "N", "reset to an offset"},
    {"shift-by", NULL, KJ_OPT_ONE, "N", "reset by so many records, back if negative"},
    {"to-datetime", NULL, KJ_OPT_ONE, "YYYY-MM-DDThh:mm:ss.sss",
     "reset to the first record of this time or later (UTC)"},
    {"dry-run", NULL, KJ_OPT_FLAG, NULL, "show what a reset would do"},
    {"execute", NULL, KJ_OPT_FLAG, NULL, "do it"},
    {"timeout", NULL, KJ_OPT_ONE, "MS", NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

enum { COLUMN = 15 };

static const char *state_name(enum kaja_group_state state)
{
    static const char *const names[] = {"Dead", "Empty", "PreparingRebalance", "Stable"};
    return names[state];
}

static int failed(int err, const char *what)
{
    kj_complain_err(err, "Error: %s", what);
    return KJ_EXIT_FAILURE;
}

/* --- the groups an option means --- */

struct scope {
    char **ids;
    size_t count;
};

static void add_id(struct scope *scope, const char *id)
{
    scope->ids = kj_xrealloc(scope->ids, (scope->count + 1) * sizeof *scope->ids);
    scope->ids[scope->count++] = kj_xstrdup(id);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int groups_of(const struct kj_args *args, struct kaja_store *store, struct scope *scope)
{
    const char *id;
    struct kaja_group_list *list;
    for (size_t i = 0; (id = kj_args_nth(args, "group", i)) != NULL; i++)
        add_id(scope, id);
    if (!kj_args_has(args, "all-groups")) {
        if (scope->count > 1)
            qsort(scope->ids, scope->count, sizeof *scope->ids, by_text);
        return 0;
    }
    int err = kaja_admin_groups(store, &list);
    if (err != 0)
        return failed(err, "listing groups");
    for (size_t i = 0; i < list->count; i++)
        add_id(scope, list->groups[i].group_id);
    kaja_group_list_free(list);
    return 0;
}

/* --- list --- */

static int list(const struct kj_args *args, struct kaja_store *store)
{
    struct kaja_group_list *groups;
    int err = kaja_admin_groups(store, &groups), width = COLUMN;
    if (err != 0)
        return failed(err, "listing groups");
    for (size_t i = 0; i < groups->count; i++)
        if ((int)strlen(groups->groups[i].group_id) > width)
            width = (int)strlen(groups->groups[i].group_id);
    bool states = kj_args_has(args, "state");
    if (states)
        printf("%-*s %-20s %-20s\n", width + 10, "GROUP", "TYPE", "STATE");
    for (size_t i = 0; i < groups->count; i++) {
        const struct kaja_group_info *group = &groups->groups[i];
        if (states)
            printf("%-*s %-20s %-20s\n", width + 10, group->group_id, "Classic",
                   state_name(group->state));
        else
            puts(group->group_id);
    }
    kaja_group_list_free(groups);
    return 0;
}

/* --- describe --- */

static int text_width(int least, const char *text)
{
    return (int)strlen(text) > least ? (int)strlen(text) : least;
}

static int describe_offsets(struct kaja_store *store, const char *id)
{
    struct kaja_offset_list *offsets;
    int err = kaja_admin_group_offsets(store, id, &offsets);
    if (err != 0)
        return failed(err, id);
    int group_width = text_width(COLUMN, id), topic_width = COLUMN;
    for (size_t i = 0; i < offsets->count; i++)
        topic_width = text_width(topic_width, offsets->offsets[i].topic);
    if (offsets->count > 0)
        printf("\n%-*s %-*s %-10s %-15s %-15s %-15s %-15s %-15s %s", group_width, "GROUP",
               topic_width, "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG",
               "CONSUMER-ID", "HOST", "CLIENT-ID");
    for (size_t i = 0; i < offsets->count; i++) {
        const struct kaja_committed_offset *o = &offsets->offsets[i];
        struct kaja_partition_info info;
        char end[24] = "-", lag[24] = "-";
        if (kaja_admin_partition(store, o->topic, o->partition, &info) == 0) {
            (void)snprintf(end, sizeof end, "%lld", (long long)info.high_watermark);
            (void)snprintf(lag, sizeof lag, "%lld", (long long)(info.high_watermark - o->offset));
        }
        printf("\n%-*s %-*s %-10d %-15lld %-15s %-15s %-15s %-15s %s", group_width, id, topic_width,
               o->topic, (int)o->partition, (long long)o->offset, end, lag, "-", "-", "-");
    }
    if (offsets->count > 0)
        putchar('\n');
    kaja_offset_list_free(offsets);
    return 0;
}

static int describe(const struct kj_args *args, struct kaja_store *store, const char *id)
{
    struct kaja_group_list *groups;
    int err = kaja_admin_group(store, id, &groups);
    if (err != 0)
        return failed(err, id);
    struct kaja_group_info group = groups->groups[0];
    if (group.state == KAJA_GROUP_EMPTY)
        kj_complain("Consumer group '%s' has no active members.", id);
    else if (group.state == KAJA_GROUP_PREPARING_REBALANCE)
        kj_complain("Warning: Consumer group '%s' is rebalancing.", id);
    int status = 0;
    int width = text_width(COLUMN, id);
    if (kj_args_has(args, "state"))
        printf("\n%-*s %-25s %-20s %-20s %s\n%-*s %-25s %-20s %-20s %zu\n", width, "GROUP",
               "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS", width, id,
               "localhost:9092  (0)", group.assignor, state_name(group.state), group.member_count);
    else
        status = describe_offsets(store, id);
    kaja_group_list_free(groups);
    return status;
}

/* --- delete --- */

static int delete_groups(struct kaja_store *store, const struct scope *scope)
{
    bool *gone = kj_xmalloc(scope->count * sizeof *gone + 1);
    size_t done = 0;
    for (size_t i = 0; i < scope->count; i++) {
        int err = kaja_admin_delete_group(store, scope->ids[i]);
        gone[i] = err == 0;
        done += err == 0;
        if (err != 0)
            kj_complain_err(err, "Error: Group '%s' could not be deleted", scope->ids[i]);
    }
    bool all = done == scope->count;
    if (all)
        fputs("Deletion of requested consumer groups (", stdout);
    else if (done > 0)
        fputs("These consumer groups were deleted successfully: ", stdout);
    for (size_t i = 0, shown = 0; i < scope->count; i++)
        if (gone[i])
            printf("%s'%s'", shown++ > 0 ? ", " : "", scope->ids[i]);
    if (done > 0 || all)
        puts(all ? ") was successful." : "");
    free(gone);
    return all ? 0 : KJ_EXIT_FAILURE;
}

/* --- partitions that options mean --- */

struct target {
    char *topic;
    int32_t partition;
    int64_t committed; /* -1: nothing */
    int64_t offset;    /* the new one */
};
struct targets {
    struct target *items;
    size_t count;
};

static void add_target(struct targets *targets, const char *topic, int32_t partition)
{
    targets->items = kj_xrealloc(targets->items, (targets->count + 1) * sizeof *targets->items);
    targets->items[targets->count++] = (struct target){kj_xstrdup(topic), partition, -1, -1};
}

static void drop_targets(struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++)
        free(targets->items[i].topic);
    free(targets->items);
}

/* "t" or "t:0,2". 0, or the exit status after a complaint. */
static int add_topic(const struct kj_args *args, struct kaja_store *store, const char *text,
                     struct targets *targets)
{
    const char *colon = strchr(text, ':');
    char *topic = colon != NULL ? kj_xstrndup(text, (size_t)(colon - text)) : kj_xstrdup(text);
    struct kaja_topic_list *list;
    int err = kaja_admin_topic(store, topic, &list);
    if (err != 0) {
        kj_complain_err(err, "Error: %s", topic);
        free(topic);
        return KJ_EXIT_FAILURE;
    }
    int32_t count = list->topics[0].partition_count;
    kaja_topic_list_free(list);
    for (int32_t p = 0; colon == NULL && p < count; p++)
        add_target(targets, topic, p);
    int status = 0;
    while (colon != NULL && status == 0) {
        const char *from = colon + 1, *comma = strchr(from, ',');
        char *word =
            comma != NULL ? kj_xstrndup(from, (size_t)(comma - from)) : kj_xstrdup(from);
        int64_t partition;
        if (!kj_parse_int(word, &partition))
            kj_usage(args, "Invalid partition '%s' in --topic %s", word, text);
        if (partition < 0 || partition >= count) {
            kj_complain("Error: The partitions \"%s-%s\" do not exist", topic, word);
            status = KJ_EXIT_FAILURE;
        } else {
            add_target(targets, topic, (int32_t)partition);
        }
        free(word);
        colon = comma;
    }
    free(topic);
    return status;
}

/* The committed offsets of the group, of all topics or those named, beside what is named. */
static int targets_of(const struct kj_args *args, struct kaja_store *store, const char *id,
                      struct targets *targets)
{
    struct kaja_offset_list *offsets;
    const char *text;
    for (size_t i = 0; (text = kj_args_nth(args, "topic", i)) != NULL; i++)
        if (add_topic(args, store, text, targets) != 0)
            return KJ_EXIT_FAILURE;
    int err = kaja_admin_group_offsets(store, id, &offsets);
    if (err != 0)
        return failed(err, id);
    for (size_t i = 0; i < offsets->count; i++) {
        const struct kaja_committed_offset *o = &offsets->offsets[i];
        if (kj_args_has(args, "all-topics"))
            add_target(targets, o->topic, o->partition);
        for (size_t t = 0; t < targets->count; t++)
            if (targets->items[t].partition == o->partition &&
                strcmp(targets->items[t].topic, o->topic) == 0)
                targets->items[t].committed = o->offset;
    }
    kaja_offset_list_free(offsets);
    return 0;
}

/* --- delete-offsets --- */

static int delete_offsets(const struct kj_args *args, struct kaja_store *store, const char *id)
{
    struct targets targets = {0};
    int status = targets_of(args, store, id, &targets), width = COLUMN;
    struct kaja_topic_partition *which = kj_xmalloc(targets.count * sizeof *which + 1);
    for (size_t i = 0; i < targets.count; i++) {
        which[i] = (struct kaja_topic_partition){targets.items[i].topic,
                                                 targets.items[i].partition, 0};
        width = text_width(width, which[i].topic);
    }
    int err = status == 0 ? kaja_admin_delete_group_offsets(store, id, which, targets.count) : 0;
    if (err != 0)
        status = failed(err, id);
    if (status == 0) {
        printf("Request succeeded for deleting offsets from group %s.\n", id);
        printf("\n%-*s %-10s %-15s", width, "TOPIC", "PARTITION", "STATUS");
        for (size_t i = 0; i < targets.count; i++)
            printf("\n%-*s %-10d %-15s", width, which[i].topic, (int)which[i].partition,
                   "Successful");
        putchar('\n');
    }
    free(which);
    drop_targets(&targets);
    return status;
}

/* --- reset-offsets --- */

static const char *const scenarios[] = {"to-earliest", "to-latest", "to-current",
                                        "to-offset",   "shift-by",  "to-datetime"};

struct reset {
    const char *scenario;
    int64_t number; /* of to-offset, shift-by, to-datetime (ms) */
};

/* YYYY-MM-DDThh:mm:ss.sss, perhaps with a Z. */
static bool parse_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int year, month, ms, used = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%n", &year, &month, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &ms, &used) != 7 ||
        (strcmp(text + used, "") != 0 && strcmp(text + used, "Z") != 0))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return true;
}

static struct reset reset_of(const struct kj_args *args)
{
    struct reset reset = {NULL, 0};
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (!kj_args_has(args, scenarios[i]))
            continue;
        if (reset.scenario != NULL)
            kj_args_exclude(args, reset.scenario, scenarios[i]);
        reset.scenario = scenarios[i];
    }
    if (reset.scenario == NULL)
        kj_usage(args, "Missing scenario: --to-earliest, --to-latest, --to-current, --to-offset, "
                       "--shift-by or --to-datetime");
    const char *value = kj_args_get(args, reset.scenario);
    if (strcmp(reset.scenario, "to-datetime") == 0 && !parse_time(value, &reset.number))
        kj_usage(args, "--to-datetime wants YYYY-MM-DDThh:mm:ss.sss, not '%s'", value);
    else if (strcmp(reset.scenario, "to-offset") == 0 || strcmp(reset.scenario, "shift-by") == 0)
        reset.number = kj_args_int(args, reset.scenario, 0, INT64_MIN, INT64_MAX);
    return reset;
}

/* 0, or the exit status after a complaint. */
static int new_offset(struct kaja_store *store, const struct reset *reset, struct target *target)
{
    struct kaja_partition_info info;
    int64_t wanted = reset->number, timestamp;
    int err = kaja_admin_partition(store, target->topic, target->partition, &info);
    if (err != 0)
        return failed(err, target->topic);
    int64_t first = info.log_start_offset, last = info.high_watermark;
    if (strcmp(reset->scenario, "to-earliest") == 0) {
        wanted = first;
    } else if (strcmp(reset->scenario, "to-latest") == 0) {
        wanted = last;
    } else if (strcmp(reset->scenario, "to-current") == 0) {
        wanted = target->committed >= 0 ? target->committed : last;
    } else if (strcmp(reset->scenario, "shift-by") == 0) {
        if (target->committed < 0) {
            kj_complain("Error: Cannot shift offset for partition %s-%d since there is no current "
                        "committed offset",
                        target->topic, (int)target->partition);
            return KJ_EXIT_FAILURE;
        }
        if (__builtin_add_overflow(target->committed, reset->number, &wanted))
            wanted = reset->number > 0 ? INT64_MAX : 0;
    } else if (strcmp(reset->scenario, "to-datetime") == 0) {
        err = kaja_admin_offset_for_time(store, target->topic, target->partition,
                                         reset->number > 0 ? reset->number : 0, 0, &wanted,
                                         &timestamp);
        if (err != 0)
            return failed(err, target->topic);
        if (wanted < 0) {
            kj_complain("Warn: Partition %d from topic %s is empty. Falling back to latest known "
                        "offset.",
                        (int)target->partition, target->topic);
            wanted = last;
        }
    }
    target->offset = wanted < first ? first : wanted > last ? last : wanted;
    if (wanted != target->offset)
        kj_complain("New offset (%lld) is %s offset for topic partition %s-%d. Value will be set "
                    "to %lld",
                    (long long)wanted,
                    wanted < first ? "lower than earliest" : "higher than latest",
                    target->topic, (int)target->partition, (long long)target->offset);
    return 0;
}

static int execute(struct kaja_store *store, const char *id, const struct targets *targets)
{
    struct kaja_committed_offset *offsets = kj_xmalloc(targets->count * sizeof *offsets + 1);
    for (size_t i = 0; i < targets->count; i++)
        offsets[i] = (struct kaja_committed_offset){
            targets->items[i].topic, targets->items[i].partition, -1, targets->items[i].offset,
            NULL};
    int err = kaja_admin_alter_group_offsets(store, id, offsets, targets->count);
    free(offsets);
    if (err == KAJA_ERR_NON_EMPTY_GROUP) {
        kj_complain("Error: Assignments can only be reset if the group '%s' is inactive", id);
        return KJ_EXIT_FAILURE;
    }
    return err == 0 ? 0 : failed(err, id);
}

static int reset_group(const struct kj_args *args, struct kaja_store *store,
                       const struct reset *reset, const char *id)
{
    struct targets targets = {0};
    int status = targets_of(args, store, id, &targets), topic_width = COLUMN;
    for (size_t i = 0; i < targets.count && status == 0; i++) {
        status = new_offset(store, reset, &targets.items[i]);
        topic_width = text_width(topic_width, targets.items[i].topic);
    }
    if (status == 0 && targets.count > 0 && kj_args_has(args, "execute"))
        status = execute(store, id, &targets);
    int group_width = text_width(COLUMN, id);
    if (status == 0)
        printf("\n%-*s %-*s %-10s %s", group_width, "GROUP", topic_width, "TOPIC", "PARTITION",
               "NEW-OFFSET");
    for (size_t i = 0; i < targets.count && status == 0; i++)
        printf("\n%-*s %-*s %-10d %lld", group_width, id, topic_width, targets.items[i].topic,
               (int)targets.items[i].partition, (long long)targets.items[i].offset);
    if (status == 0)
        putchar('\n');
    drop_targets(&targets);
    return status;
}

/* --- the command --- */

static const char *action_of(const struct kj_args *args)
{
    static const char *const actions[] = {"list", "describe", "delete", "delete-offsets",
                                          "reset-offsets"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (!kj_args_has(args, actions[i]))
            continue;
        if (found != NULL)
            kj_args_exclude(args, found, actions[i]);
        found = actions[i];
    }
    if (found == NULL)
        kj_usage(args, "Command must include exactly one action: --list, --describe, --delete, "
                       "--reset-offsets or --delete-offsets");
    if (strcmp(found, "list") != 0 && !kj_args_has(args, "group") &&
        !kj_args_has(args, "all-groups"))
        kj_usage(args, "--%s wants --group or --all-groups", found);
    kj_args_exclude(args, "group", "all-groups");
    kj_args_exclude(args, "topic", "all-topics");
    kj_args_exclude(args, "dry-run", "execute");
    return found;
}

static int run(const struct kj_args *args)
{
    const char *action = action_of(args);
    bool resets = strcmp(action, "reset-offsets") == 0;
    bool deletes = strcmp(action, "delete") == 0;
    bool deletes_offsets = strcmp(action, "delete-offsets") == 0;
    struct reset reset = {NULL, 0};
    struct scope scope = {0};
    if ((resets && !kj_args_has(args, "topic") && !kj_args_has(args, "all-topics")) ||
        (deletes_offsets && !kj_args_has(args, "topic")))
        kj_usage(args, "--%s wants --topic%s", action, resets ? " or --all-topics" : "");
    if (resets)
        reset = reset_of(args);
    if (resets && !kj_args_has(args, "dry-run") && !kj_args_has(args, "execute"))
        kj_complain("WARN: No action will be performed as the --execute option is missing.");
    bool writes = deletes || deletes_offsets || (resets && kj_args_has(args, "execute"));
    struct kaja_store *store =
        kj_tool_open(args, NULL, writes ? KJ_OPEN_EXISTING : KJ_OPEN_READ_ONLY);
    int status = strcmp(action, "list") == 0 ? list(args, store) : groups_of(args, store, &scope);
    if (status == 0 && deletes)
        status = delete_groups(store, &scope);
    for (size_t i = 0; i < scope.count && !deletes; i++) {
        int one = resets            ? reset_group(args, store, &reset, scope.ids[i])
                  : deletes_offsets ? delete_offsets(args, store, scope.ids[i])
                                    : describe(args, store, scope.ids[i]);
        status = one != 0 ? one : status;
    }
    for (size_t i = 0; i < scope.count; i++)
        free(scope.ids[i]);
    free(scope.ids);
    return kj_tool_close(store, status);
}

const struct kj_command kj_cmd_consumer_groups = {
    .name = "consumer-groups",
    .summary = "Show consumer groups, and set what they have committed anew.",
    .options = options,
    .run = run,
};
