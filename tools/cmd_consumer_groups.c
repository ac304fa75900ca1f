/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_consumer_groups.c - kaja consumer-groups: groups, their members, what they have
 * committed, and setting that anew. Where releases of Kafka differ, the tables are those of 4.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct kj_option options[] = {
    {"list", NULL, KJ_OPT_FLAG, NULL, "the groups"},
    {"describe", NULL, KJ_OPT_FLAG, NULL, "what groups have committed, their members, their state"},
    {"delete", NULL, KJ_OPT_FLAG, NULL, "forget groups and all their offsets"},
    {"delete-offsets", NULL, KJ_OPT_FLAG, NULL, "forget a group's offsets of topics"},
    {"reset-offsets", NULL, KJ_OPT_FLAG, NULL, "set offsets anew; --execute does it"},
    {"group", NULL, KJ_OPT_MANY, "GROUP", "a group"},
    {"all-groups", NULL, KJ_OPT_FLAG, NULL, "all of them"},
    {"offsets", NULL, KJ_OPT_FLAG, NULL, "describe: offsets and lag (default)"},
    {"members", NULL, KJ_OPT_FLAG, NULL, "describe: the members"},
    {"state", NULL, KJ_OPT_OPTIONAL, "STATE,...",
     "describe: the group's state; list: show it, and only those in these"},
    {"type", NULL, KJ_OPT_OPTIONAL, "TYPE,...", "list: show it, and only those of these types"},
    {"verbose", NULL, KJ_OPT_FLAG, NULL, "describe: more columns, as the members' partitions"},
    {"topic", NULL, KJ_OPT_MANY, "TOPIC[:0,1]", "a topic, or some of its partitions"},
    {"all-topics", NULL, KJ_OPT_FLAG, NULL, "all that the group has committed"},
    {"to-earliest", NULL, KJ_OPT_FLAG, NULL, "reset to the first record"},
    {"to-latest", NULL, KJ_OPT_FLAG, NULL, "reset behind the last record"},
    {"to-current", NULL, KJ_OPT_FLAG, NULL, "reset to what is committed"},
    {"to-offset", NULL, KJ_OPT_ONE, "N", "reset to an offset"},
    {"shift-by", NULL, KJ_OPT_ONE, "N", "reset by so many records, back if negative"},
    {"to-datetime", NULL, KJ_OPT_ONE, "YYYY-MM-DDThh:mm:ss.sss",
     "reset to the first record of this time or later (UTC, or with +hh:mm)"},
    {"by-duration", NULL, KJ_OPT_ONE, "PnDTnHnMnS", "reset to the first record not older"},
    {"from-file", NULL, KJ_OPT_ONE, "FILE", "reset to the offsets of a CSV file"},
    {"export", NULL, KJ_OPT_FLAG, NULL, "show the new offsets as CSV, for --from-file"},
    {"dry-run", NULL, KJ_OPT_FLAG, NULL, "show what a reset would do (default)"},
    {"execute", NULL, KJ_OPT_FLAG, NULL, "do it"},
    {"timeout", NULL, KJ_OPT_ONE, "MS", "how long to wait for locks of other processes"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "as JSON"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

/* --- shared --- */

const char *kj_group_state_name(enum kaja_group_state state)
{
    static const char *const names[] = {"Dead", "Empty", "PreparingRebalance", "Stable"};
    return names[state];
}

int kj_groups_failed(int err, const char *what)
{
    kj_complain_err(err, "Error: %s", what);
    return KJ_EXIT_FAILURE;
}

int kj_text_width(int least, const char *text)
{
    return (int)strlen(text) > least ? (int)strlen(text) : least;
}

void kj_groups_number(struct kj_groups *groups, const char *key, int64_t value)
{
    if (value < 0)
        kj_json_null(groups->json, key);
    else
        kj_json_int(groups->json, key, value);
}

/* --- the groups an option means --- */

static void add_id(struct kj_groups *groups, const char *id)
{
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->ids[i], id) == 0)
            return;
    groups->ids = kj_xrealloc(groups->ids, (groups->count + 1) * sizeof *groups->ids);
    groups->ids[groups->count++] = kj_xstrdup(id);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_groups(struct kj_groups *groups)
{
    const char *id;
    struct kaja_group_list *list;
    for (size_t i = 0; (id = kj_args_nth(groups->args, "group", i)) != NULL; i++)
        add_id(groups, id);
    if (!kj_args_has(groups->args, "all-groups")) {
        if (groups->count > 1)
            qsort(groups->ids, groups->count, sizeof *groups->ids, by_text);
        return 0;
    }
    int err = kaja_admin_groups(groups->store, &list);
    if (err != 0)
        return kj_groups_failed(err, "listing groups");
    for (size_t i = 0; i < list->count; i++)
        add_id(groups, list->groups[i].group_id);
    kaja_group_list_free(list);
    return 0;
}

/* --- list --- */

static const char *const states[] = {"Empty", "Stable", "PreparingRebalance", "CompletingRebalance",
                                     "Dead", "Assigning", "Reconciling", NULL};
static const char *const types[] = {"Classic", "Consumer", NULL};

/* Does the option's list have the word, or the option no list? Unknown words are wrong usage. */
static bool list_has(const struct kj_args *args, const char *option, const char *const *known,
                     const char *word)
{
    const char *text = kj_args_get(args, option);
    if (text == NULL)
        return true;
    char *copy = kj_xstrdup(text), *rest = copy;
    bool found = false;
    for (char *item; (item = strtok_r(rest, ", ", &rest)) != NULL;) {
        size_t i = 0;
        while (known[i] != NULL && strcasecmp(known[i], item) != 0)
            i++;
        if (known[i] == NULL)
            kj_usage(args, "Invalid %s list '%s'. Valid ones are: %s", option, text,
                     known == types ? "Classic, Consumer"
                                    : "Empty, Stable, PreparingRebalance, CompletingRebalance, "
                                      "Dead, Assigning, Reconciling");
        found |= word != NULL && strcasecmp(item, word) == 0;
    }
    free(copy);
    return found;
}

static int list(struct kj_groups *groups)
{
    const struct kj_args *args = groups->args;
    bool table = kj_args_has(args, "state") || kj_args_has(args, "type");
    struct kaja_group_list *all;
    int err = kaja_admin_groups(groups->store, &all), width = KJ_GROUPS_COLUMN;
    if (err != 0)
        return kj_groups_failed(err, "listing groups");
    for (size_t i = 0; i < all->count; i++)
        width = kj_text_width(width, all->groups[i].group_id);
    if (table && groups->json == NULL)
        printf("%-*s %-20s %-20s\n", width + 10, "GROUP", "TYPE", "STATE");
    for (size_t i = 0; i < all->count; i++) {
        const char *id = all->groups[i].group_id;
        const char *state = kj_group_state_name(all->groups[i].state);
        if (!list_has(args, "state", states, state) || !list_has(args, "type", types, types[0]))
            continue;
        if (groups->json != NULL) {
            kj_json_open(groups->json, NULL, '{');
            kj_json_text(groups->json, "group", id);
            kj_json_text(groups->json, "type", types[0]);
            kj_json_text(groups->json, "state", state);
            kj_json_close(groups->json, '}');
        } else if (table) {
            printf("%-*s %-20s %-20s\n", width + 10, id, types[0], state);
        } else {
            puts(id);
        }
    }
    kaja_group_list_free(all);
    return 0;
}

/* --- delete --- */

static void json_deleted(struct kj_groups *groups, const int *errors)
{
    for (size_t i = 0; i < groups->count; i++) {
        kj_json_open(groups->json, NULL, '{');
        kj_json_text(groups->json, "group", groups->ids[i]);
        kj_json_text(groups->json, "error", errors[i] != 0 ? kaja_error_name(errors[i]) : NULL);
        kj_json_close(groups->json, '}');
    }
}

static int delete_groups(struct kj_groups *groups)
{
    int *errors = kj_xmalloc(groups->count * sizeof *errors + 1);
    size_t done = 0;
    for (size_t i = 0; i < groups->count; i++) {
        errors[i] = kaja_admin_delete_group(groups->store, groups->ids[i]);
        if (errors[i] != 0 && i == done)
            kj_complain("Error: Deletion of some consumer groups failed:");
        if (errors[i] != 0)
            kj_complain_err(errors[i], "* Group '%s' could not be deleted due to", groups->ids[i]);
        done += errors[i] == 0;
    }
    bool all = done == groups->count;
    if (groups->json != NULL)
        json_deleted(groups, errors);
    else if (all)
        fputs("Deletion of requested consumer groups (", stdout);
    else if (done > 0)
        fputs("\nThese consumer groups were deleted successfully: ", stdout);
    for (size_t i = 0, shown = 0; i < groups->count && groups->json == NULL; i++)
        if (errors[i] == 0)
            printf("%s'%s'", shown++ > 0 ? ", " : "", groups->ids[i]);
    if (groups->json == NULL && (done > 0 || all))
        puts(all ? ") was successful." : "");
    free(errors);
    return all ? 0 : KJ_EXIT_FAILURE;
}

/* --- the command --- */

/* Which option goes with which actions; what is not here goes with all. */
static const struct {
    const char *option, *action, *other;
} places[] = {
    {"offsets", "describe", NULL},
    {"members", "describe", NULL},
    {"verbose", "describe", NULL},
    {"state", "describe", "list"},
    {"type", "list", NULL},
    {"topic", "reset-offsets", "delete-offsets"},
    {"all-topics", "reset-offsets", NULL},
    {"to-earliest", "reset-offsets", NULL},
    {"to-latest", "reset-offsets", NULL},
    {"to-current", "reset-offsets", NULL},
    {"to-offset", "reset-offsets", NULL},
    {"shift-by", "reset-offsets", NULL},
    {"to-datetime", "reset-offsets", NULL},
    {"by-duration", "reset-offsets", NULL},
    {"from-file", "reset-offsets", NULL},
    {"export", "reset-offsets", NULL},
    {"dry-run", "reset-offsets", NULL},
    {"execute", "reset-offsets", NULL},
};

static void check_options(const struct kj_args *args, const char *action)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(places[i].action, action) != 0 &&
            (places[i].other == NULL || strcmp(places[i].other, action) != 0))
            kj_args_exclude(args, places[i].option, action);
    if (strcmp(action, "list") == 0) {
        kj_args_exclude(args, "group", "list");
        kj_args_exclude(args, "all-groups", "list");
        (void)list_has(args, "state", states, NULL); /* for its complaint */
        (void)list_has(args, "type", types, NULL);
    } else if (!kj_args_has(args, "group") && !kj_args_has(args, "all-groups")) {
        kj_usage(args, "Option \"[%s]\" takes one of these options: [all-groups], [group]", action);
    }
    kj_args_exclude(args, "group", "all-groups");
    kj_args_exclude(args, "topic", "all-topics");
    kj_args_exclude(args, "dry-run", "execute");
    kj_args_exclude(args, "members", "offsets");
    kj_args_exclude(args, "members", "state");
    kj_args_exclude(args, "offsets", "state");
    kj_args_exclude(args, "export", "json");
    if (strcmp(action, "delete-offsets") == 0)
        (void)kj_args_required(args, "topic");
    kj_targets_check(args);
    (void)kj_args_int(args, "timeout", 0, 0, INT64_MAX);
}

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
                       "--reset-offsets, --delete-offsets");
    check_options(args, found);
    return found;
}

static int run(const struct kj_args *args)
{
    const char *action = action_of(args);
    bool resets = strcmp(action, "reset-offsets") == 0, deletes = strcmp(action, "delete") == 0,
         deletes_offsets = strcmp(action, "delete-offsets") == 0,
         lists = strcmp(action, "list") == 0;
    struct kj_reset reset = {NULL, 0};
    struct kj_json json;
    if (resets)
        reset = kj_groups_reset_of(args);
    if (resets && !kj_args_has(args, "dry-run") && !kj_args_has(args, "execute"))
        kj_complain("WARN: No action will be performed as the --execute option is missing.");
    bool writes = deletes || deletes_offsets || (resets && kj_args_has(args, "execute"));
    struct kaja_conf *conf = kj_conf_from_args(args);
    if (kj_args_has(args, "timeout"))
        kj_conf_set_option(args, conf, "kaja.lock.timeout.ms", kj_args_get(args, "timeout"));
    struct kj_groups groups = {
        .args = args,
        .store = kj_tool_open(args, conf, writes ? KJ_OPEN_EXISTING : KJ_OPEN_READ_ONLY),
        .json = kj_args_has(args, "json") ? &json : NULL};
    kaja_conf_free(conf);
    kj_json_init(&json, stdout);
    int status = lists ? 0 : find_groups(&groups);
    if (groups.json != NULL)
        kj_json_open(&json, NULL, '[');
    if (status == 0)
        status = lists             ? list(&groups)
                 : deletes         ? delete_groups(&groups)
                 : deletes_offsets ? kj_groups_delete_offsets(&groups)
                 : resets          ? kj_groups_reset(&groups, &reset)
                                   : kj_groups_describe(&groups);
    if (groups.json != NULL) {
        kj_json_close(&json, ']');
        kj_json_end(&json);
    }
    for (size_t i = 0; i < groups.count; i++)
        free(groups.ids[i]);
    free(groups.ids);
    return kj_tool_close(groups.store, status);
}

const struct kj_command kj_cmd_consumer_groups = {
    .name = "consumer-groups",
    .summary = "Show consumer groups, and set what they have committed anew.",
    .options = options,
    .run = run,
};
