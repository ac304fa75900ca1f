/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/groups_reset.c - kaja consumer-groups --reset-offsets and --delete-offsets.
 */
#include "tools/common.h"
#include "tools/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the scenario --- */

static const char *const scenarios[] = {"to-earliest", "to-latest",   "to-current",  "to-offset",
                                        "shift-by",    "to-datetime", "by-duration", "from-file"};

static bool is(const struct kj_reset *reset, const char *scenario)
{
    return strcmp(reset->scenario, scenario) == 0;
}

struct kj_reset kj_groups_reset_of(const struct kj_args *args)
{
    struct kj_reset reset = {NULL, 0};
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (!kj_args_has(args, scenarios[i]))
            continue;
        if (reset.scenario != NULL)
            kj_args_exclude(args, reset.scenario, scenarios[i]);
        reset.scenario = scenarios[i];
    }
    if (reset.scenario == NULL)
        kj_usage(args, "Missing scenario: --to-earliest, --to-latest, --to-current, --to-offset, "
                       "--shift-by, --to-datetime, --by-duration or --from-file");
    const char *value = kj_args_get(args, reset.scenario);
    if (is(&reset, "to-datetime")) {
        if (!kj_parse_datetime(value, &reset.number))
            kj_usage(args, "--to-datetime wants YYYY-MM-DDThh:mm:ss.sss, not '%s'", value);
    } else if (is(&reset, "by-duration")) {
        int64_t back;
        if (!kj_parse_duration(value, &back))
            kj_usage(args, "--by-duration wants PnDTnHnMnS, not '%s'", value);
        if (__builtin_sub_overflow(kj_wall_ms(), back, &reset.number))
            reset.number = back > 0 ? 0 : INT64_MAX;
    } else if (is(&reset, "to-offset") || is(&reset, "shift-by")) {
        reset.number = kj_args_int(args, reset.scenario, 0, INT64_MIN, INT64_MAX);
    }
    if (is(&reset, "from-file")) {
        kj_args_exclude(args, "from-file", "topic");
        kj_args_exclude(args, "from-file", "all-topics");
    } else if (!kj_args_has(args, "topic") && !kj_args_has(args, "all-topics")) {
        kj_usage(args, "One of the reset scopes should be defined: --all-topics, --topic.");
    }
    return reset;
}

/* --- one partition --- */

/* The first record of a time or later; behind the last one the end. */
static int offset_of_time(struct kj_groups *groups, const struct kj_target *target, int64_t ms,
                          int64_t last, int64_t *ret_offset)
{
    int64_t timestamp;
    int err = kaja_admin_offset_for_time(groups->store, target->topic, target->partition,
                                         ms > 0 ? ms : 0, 0, ret_offset, &timestamp);
    if (err != 0)
        return kj_groups_failed(err, target->topic);
    if (*ret_offset >= 0)
        return 0;
    kj_complain("Warn: Partition %d from topic %s is empty. Falling back to latest known offset.",
                (int)target->partition, target->topic);
    *ret_offset = last;
    return 0;
}

/* 0, or the exit status after a complaint. */
static int new_offset(struct kj_groups *groups, const struct kj_reset *reset,
                      struct kj_target *target)
{
    struct kaja_partition_info info;
    int64_t wanted = reset->number;
    int status = 0;
    int err = kaja_admin_partition(groups->store, target->topic, target->partition, &info);
    if (err != 0)
        return kj_groups_failed(err, target->topic);
    int64_t first = info.log_start_offset, last = info.high_watermark;
    if (is(reset, "to-earliest")) {
        wanted = first;
    } else if (is(reset, "to-latest")) {
        wanted = last;
    } else if (is(reset, "to-current")) {
        wanted = target->committed >= 0 ? target->committed : last;
    } else if (is(reset, "from-file")) {
        wanted = target->offset;
    } else if (is(reset, "shift-by")) {
        if (target->committed < 0) {
            kj_complain("Error: Cannot shift offset for partition %s-%d since there is no current "
                        "committed offset",
                        target->topic, (int)target->partition);
            return KJ_EXIT_FAILURE;
        }
        if (__builtin_add_overflow(target->committed, reset->number, &wanted))
            wanted = reset->number > 0 ? INT64_MAX : 0;
    } else if (is(reset, "to-datetime") || is(reset, "by-duration")) {
        status = offset_of_time(groups, target, reset->number, last, &wanted);
        if (status != 0)
            return status;
    }
    target->offset = wanted < first ? first : wanted > last ? last : wanted;
    if (wanted != target->offset)
        kj_complain("New offset (%lld) is %s offset for topic partition %s-%d. Value will be set "
                    "to %lld",
                    (long long)wanted,
                    wanted < first ? "lower than earliest" : "higher than latest", target->topic,
                    (int)target->partition, (long long)target->offset);
    return 0;
}

/* --- one group --- */

static int refuse_active(const char *id, enum kaja_group_state state)
{
    kj_complain("Error: Assignments can only be reset if the group '%s' is inactive, but the "
                "current state is %s.",
                id, kj_group_state_name(state));
    return KJ_EXIT_FAILURE;
}

/* True if the group has members, which is then told. Looked at in a dry run too, as in Kafka. */
static bool is_active(struct kj_groups *groups, const char *id)
{
    struct kaja_group_list *list;
    if (kaja_admin_group(groups->store, id, &list) != 0)
        return false; /* it is made, or what is wrong comes again */
    enum kaja_group_state state = list->groups[0].state;
    kaja_group_list_free(list);
    if (state == KAJA_GROUP_EMPTY || state == KAJA_GROUP_DEAD)
        return false;
    refuse_active(id, state);
    return true;
}

static int execute(struct kj_groups *groups, const char *id, const struct kj_targets *targets)
{
    struct kaja_committed_offset *offsets = kj_xmalloc(targets->count * sizeof *offsets + 1);
    for (size_t i = 0; i < targets->count; i++)
        offsets[i] = (struct kaja_committed_offset){targets->items[i].topic,
                                                    targets->items[i].partition, -1,
                                                    targets->items[i].offset, NULL};
    int err = kaja_admin_alter_group_offsets(groups->store, id, offsets, targets->count);
    free(offsets);
    if (err == KAJA_ERR_NON_EMPTY_GROUP) /* somebody joined just now */
        return is_active(groups, id) ? KJ_EXIT_FAILURE : kj_groups_failed(err, id);
    return err == 0 ? 0 : kj_groups_failed(err, id);
}

/* 0, or the exit status after a complaint; then ret_targets is empty. */
static int reset_group(struct kj_groups *groups, const struct kj_reset *reset, const char *id,
                       struct kj_targets *ret_targets)
{
    struct kj_targets targets = {0};
    int status = is_active(groups, id)    ? KJ_EXIT_FAILURE
                 : is(reset, "from-file") ? kj_targets_of_file(groups, id, &targets)
                                          : kj_targets_of_options(groups, id, &targets);
    for (size_t i = 0; i < targets.count && status == 0; i++)
        status = new_offset(groups, reset, &targets.items[i]);
    if (status == 0 && targets.count > 0 && kj_args_has(groups->args, "execute"))
        status = execute(groups, id, &targets);
    if (status != 0) {
        kj_targets_free(&targets);
        targets = (struct kj_targets){0};
    }
    *ret_targets = targets;
    return status;
}

/* --- all of them, in one table --- */

static void export_all(const struct kj_groups *groups, const struct kj_targets *all)
{
    bool one = groups->count == 1 && !kj_args_has(groups->args, "all-groups");
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < all[g].count; i++)
            kj_targets_csv_line(one ? NULL : groups->ids[g], &all[g].items[i]);
}

static void json_all(struct kj_groups *groups, const struct kj_targets *all)
{
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < all[g].count; i++) {
            kj_json_open(groups->json, NULL, '{');
            kj_json_text(groups->json, "group", groups->ids[g]);
            kj_json_text(groups->json, "topic", all[g].items[i].topic);
            kj_json_int(groups->json, "partition", all[g].items[i].partition);
            kj_json_int(groups->json, "newOffset", all[g].items[i].offset);
            kj_json_close(groups->json, '}');
        }
}

static void print_all(const struct kj_groups *groups, const struct kj_targets *all)
{
    int group_width = KJ_GROUPS_COLUMN, topic_width = KJ_GROUPS_COLUMN;
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < all[g].count; i++) {
            group_width = kj_text_width(group_width, groups->ids[g]);
            topic_width = kj_text_width(topic_width, all[g].items[i].topic);
        }
    printf("\n%-*s %-*s %-10s %s", group_width, "GROUP", topic_width, "TOPIC", "PARTITION",
           "NEW-OFFSET");
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < all[g].count; i++)
            printf("\n%-*s %-*s %-10d %lld", group_width, groups->ids[g], topic_width,
                   all[g].items[i].topic, (int)all[g].items[i].partition,
                   (long long)all[g].items[i].offset);
    putchar('\n');
}

int kj_groups_reset(struct kj_groups *groups, const struct kj_reset *reset)
{
    struct kj_targets *all = kj_xmalloc(groups->count * sizeof *all + 1);
    int status = 0;
    for (size_t g = 0; g < groups->count; g++)
        if (reset_group(groups, reset, groups->ids[g], &all[g]) != 0)
            status = KJ_EXIT_FAILURE;
    if (groups->json != NULL)
        json_all(groups, all);
    else if (kj_args_has(groups->args, "export"))
        export_all(groups, all);
    else
        print_all(groups, all);
    for (size_t g = 0; g < groups->count; g++)
        kj_targets_free(&all[g]);
    free(all);
    return status;
}

/* --- delete-offsets --- */

static void show_deleted(struct kj_groups *groups, const char *id, const struct kj_targets *targets)
{
    int width = KJ_GROUPS_COLUMN;
    for (size_t i = 0; i < targets->count; i++)
        width = kj_text_width(width, targets->items[i].topic);
    if (groups->json == NULL)
        printf("Request succeeded for deleting offsets from group %s.\n\n%-*s %-10s %-15s", id,
               width, "TOPIC", "PARTITION", "STATUS");
    for (size_t i = 0; i < targets->count; i++) {
        const struct kj_target *target = &targets->items[i];
        if (groups->json == NULL) {
            printf("\n%-*s %-10d %-15s", width, target->topic, (int)target->partition,
                   "Successful");
            continue;
        }
        kj_json_open(groups->json, NULL, '{');
        kj_json_text(groups->json, "group", id);
        kj_json_text(groups->json, "topic", target->topic);
        kj_json_int(groups->json, "partition", target->partition);
        kj_json_text(groups->json, "status", "Successful");
        kj_json_close(groups->json, '}');
    }
    if (groups->json == NULL)
        putchar('\n');
}

static int delete_offsets(struct kj_groups *groups, const char *id)
{
    struct kj_targets targets = {0};
    int status = kj_targets_of_options(groups, id, &targets);
    struct kaja_topic_partition *which = kj_xmalloc(targets.count * sizeof *which + 1);
    for (size_t i = 0; i < targets.count; i++)
        which[i] = (struct kaja_topic_partition){targets.items[i].topic,
                                                 targets.items[i].partition, 0};
    int err = 0;
    if (status == 0)
        err = kaja_admin_delete_group_offsets(groups->store, id, which, targets.count);
    if (err != 0)
        status = kj_groups_failed(err, id);
    if (status == 0)
        show_deleted(groups, id, &targets);
    free(which);
    kj_targets_free(&targets);
    return status;
}

int kj_groups_delete_offsets(struct kj_groups *groups)
{
    int status = 0;
    for (size_t g = 0; g < groups->count; g++)
        if (delete_offsets(groups, groups->ids[g]) != 0)
            status = KJ_EXIT_FAILURE;
    return status;
}
