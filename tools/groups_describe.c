/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/groups_describe.c - kaja consumer-groups --describe: offsets, members, state. The tables
 * are those of Kafka 4; the members are what lives now in any process.
 */
#include "tools/common.h"
#include "tools/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All processes are on this machine. */
static const char host[] = "/127.0.0.1";

/* --- offsets --- */

struct row {
    const char *topic;
    int32_t partition;
    const struct kaja_committed_offset *committed; /* NULL: nothing */
    const struct kaja_group_member *member;        /* NULL: nobody has it */
    int64_t end_offset;                            /* -1: there is no such partition */
};

struct rows {
    struct row *items;
    size_t count;
};

static int by_place(const void *a, const void *b)
{
    const struct kaja_committed_offset *x = a, *y = b;
    int by_topic = strcmp(x->topic, y->topic);
    return by_topic != 0 ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

static const struct kaja_committed_offset *find_committed(const struct kaja_offset_list *offsets,
                                                          const struct kaja_topic_partition *which)
{
    const struct kaja_committed_offset key = {.topic = which->topic, .partition = which->partition};
    if (offsets->count == 0)
        return NULL;
    return bsearch(&key, offsets->offsets, offsets->count, sizeof key, by_place);
}

/* Members with the most partitions first, among equals in the order of joining. */
static int by_partitions(const void *a, const void *b)
{
    const struct kaja_group_member *x = *(const struct kaja_group_member *const *)a,
                                   *y = *(const struct kaja_group_member *const *)b;
    if (x->partition_count != y->partition_count)
        return x->partition_count < y->partition_count ? 1 : -1;
    return (x > y) - (x < y);
}

static struct rows rows_of(const struct kaja_group_member_list *list,
                           const struct kaja_offset_list *offsets)
{
    size_t count = offsets->count;
    const struct kaja_group_member **order = kj_xmalloc(list->count * sizeof *order + 1);
    for (size_t m = 0; m < list->count; m++) {
        order[m] = &list->members[m];
        count += order[m]->partition_count;
    }
    if (list->count > 1)
        qsort(order, list->count, sizeof *order, by_partitions);
    struct rows rows = {kj_xmalloc(count * sizeof *rows.items + 1), 0};
    bool *owned = kj_xmalloc(offsets->count + 1);
    memset(owned, 0, offsets->count + 1);
    for (size_t m = 0; m < list->count; m++)
        for (size_t i = 0; i < order[m]->partition_count; i++) {
            const struct kaja_topic_partition *p = &order[m]->partitions[i];
            rows.items[rows.count++] = (struct row){.topic = p->topic,
                                                    .partition = p->partition,
                                                    .committed = find_committed(offsets, p),
                                                    .member = order[m]};
            if (rows.items[rows.count - 1].committed != NULL)
                owned[rows.items[rows.count - 1].committed - offsets->offsets] = true;
        }
    for (size_t i = 0; i < offsets->count; i++) {
        const struct kaja_committed_offset *o = &offsets->offsets[i];
        if (!owned[i])
            rows.items[rows.count++] =
                (struct row){.topic = o->topic, .partition = o->partition, .committed = o};
    }
    free(owned);
    free(order);
    return rows;
}

/* Partitions that are not there any more have no end; others that cannot be read are told. */
static int add_ends(struct kaja_store *store, struct rows *rows)
{
    int status = 0;
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = &rows->items[i];
        struct kaja_partition_info info;
        int err = kaja_admin_partition(store, row->topic, row->partition, &info);
        row->end_offset = err == 0 ? info.high_watermark : -1;
        if (err != 0 && err != KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION &&
            err != KAJA_ERR_UNKNOWN_TOPIC_ID)
            status = kj_groups_failed(err, row->topic);
    }
    return status;
}

static void json_rows(struct kj_groups *groups, const char *id, const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        const struct kaja_committed_offset *o = row->committed;
        bool lag = o != NULL && row->end_offset >= 0;
        kj_json_open(groups->json, NULL, '{');
        kj_json_text(groups->json, "group", id);
        kj_json_text(groups->json, "topic", row->topic);
        kj_json_int(groups->json, "partition", row->partition);
        if (kj_args_has(groups->args, "verbose"))
            kj_groups_number(groups, "leaderEpoch", o != NULL ? o->leader_epoch : -1);
        kj_groups_number(groups, "currentOffset", o != NULL ? o->offset : -1);
        kj_groups_number(groups, "logEndOffset", row->end_offset);
        if (lag) /* may be below zero: any offset can be committed */
            kj_json_int(groups->json, "lag", row->end_offset - o->offset);
        else
            kj_json_null(groups->json, "lag");
        kj_json_text(groups->json, "consumerId", row->member ? row->member->member_id : NULL);
        kj_json_text(groups->json, "host", row->member != NULL ? host : NULL);
        kj_json_text(groups->json, "clientId", row->member ? row->member->client_id : NULL);
        kj_json_close(groups->json, '}');
    }
}

struct number_text {
    char text[24];
};

static struct number_text or_dash(bool there, int64_t value)
{
    struct number_text number = {"-"};
    if (there)
        (void)snprintf(number.text, sizeof number.text, "%lld", (long long)value);
    return number;
}

/* Every line begins with a newline, as in Kafka; a group without rows prints nothing. */
static void print_rows(const struct kj_groups *groups, const char *id, const struct rows *rows)
{
    bool epochs = kj_args_has(groups->args, "verbose");
    int group_width = kj_text_width(KJ_GROUPS_COLUMN, id), topic_width = KJ_GROUPS_COLUMN,
        id_width = KJ_GROUPS_COLUMN;
    for (size_t i = 0; i < rows->count; i++) {
        topic_width = kj_text_width(topic_width, rows->items[i].topic);
        if (rows->items[i].member != NULL)
            id_width = kj_text_width(id_width, rows->items[i].member->member_id);
    }
    if (rows->count == 0)
        return;
    printf("\n%-*s %-*s %-10s %s%-15s %-15s %-15s %-*s %-15s %s", group_width, "GROUP",
           topic_width, "TOPIC", "PARTITION", epochs ? "LEADER-EPOCH    " : "", "CURRENT-OFFSET",
           "LOG-END-OFFSET", "LAG", id_width, "CONSUMER-ID", "HOST", "CLIENT-ID");
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        const struct kaja_committed_offset *o = row->committed;
        const struct kaja_group_member *m = row->member;
        bool committed = o != NULL, end = row->end_offset >= 0;
        printf("\n%-*s %-*s %-10d ", group_width, id, topic_width, row->topic, (int)row->partition);
        if (epochs)
            printf("%-15s ", or_dash(committed && o->leader_epoch >= 0,
                                     committed ? o->leader_epoch : -1)
                                 .text);
        printf("%-15s %-15s %-15s %-*s %-15s %s",
               or_dash(committed, committed ? o->offset : 0).text,
               or_dash(end, row->end_offset).text,
               or_dash(committed && end, committed ? row->end_offset - o->offset : 0).text,
               id_width, m != NULL ? m->member_id : "-", m != NULL ? host : "-",
               m != NULL ? m->client_id : "-");
    }
    putchar('\n');
}

static int describe_offsets(struct kj_groups *groups, const struct kaja_group_member_list *list)
{
    const char *id = list->group.group_id;
    struct kaja_offset_list *offsets;
    int err = kaja_admin_group_offsets(groups->store, id, &offsets);
    if (err != 0)
        return kj_groups_failed(err, id);
    struct rows rows = rows_of(list, offsets);
    int status = add_ends(groups->store, &rows);
    if (groups->json != NULL)
        json_rows(groups, id, &rows);
    else
        print_rows(groups, id, &rows);
    free(rows.items);
    kaja_offset_list_free(offsets);
    return status;
}

/* --- members --- */

/* "orders:0,1;users:2", "-" without any. */
static char *assignment_text(const struct kaja_group_member *member)
{
    char *text = kj_xstrdup(member->partition_count == 0 ? "-" : "");
    for (size_t i = 0; i < member->partition_count; i++) {
        const struct kaja_topic_partition *p = &member->partitions[i];
        bool same = i > 0 && strcmp(p[-1].topic, p->topic) == 0;
        char *more = same ? kj_xprintf("%s,%d", text, (int)p->partition)
                          : kj_xprintf("%s%s%s:%d", text, i > 0 ? ";" : "", p->topic,
                                       (int)p->partition);
        free(text);
        text = more;
    }
    return text;
}

static void json_members(struct kj_groups *groups, const struct kaja_group_member_list *list)
{
    for (size_t m = 0; m < list->count; m++) {
        const struct kaja_group_member *member = &list->members[m];
        kj_json_open(groups->json, NULL, '{');
        kj_json_text(groups->json, "group", list->group.group_id);
        kj_json_text(groups->json, "consumerId", member->member_id);
        kj_json_text(groups->json, "groupInstanceId", member->instance_id);
        kj_json_text(groups->json, "host", host);
        kj_json_text(groups->json, "clientId", member->client_id);
        kj_json_int(groups->json, "partitions", (int64_t)member->partition_count);
        if (kj_args_has(groups->args, "verbose")) {
            kj_json_open(groups->json, "assignment", '[');
            for (size_t i = 0; i < member->partition_count; i++) {
                kj_json_open(groups->json, NULL, '{');
                kj_json_text(groups->json, "topic", member->partitions[i].topic);
                kj_json_int(groups->json, "partition", member->partitions[i].partition);
                kj_json_close(groups->json, '}');
            }
            kj_json_close(groups->json, ']');
        }
        kj_json_close(groups->json, '}');
    }
}

static void print_members(const struct kj_groups *groups, const struct kaja_group_member_list *list)
{
    int group_width = kj_text_width(KJ_GROUPS_COLUMN, list->group.group_id),
        id_width = KJ_GROUPS_COLUMN, instance_width = 17, client_width = KJ_GROUPS_COLUMN,
        assignment_width = 20;
    bool verbose = kj_args_has(groups->args, "verbose"), instances = false;
    char **assignments = kj_xmalloc(list->count * sizeof *assignments + 1);
    for (size_t m = 0; m < list->count; m++) {
        const struct kaja_group_member *member = &list->members[m];
        assignments[m] = assignment_text(member);
        id_width = kj_text_width(id_width, member->member_id);
        client_width = kj_text_width(client_width, member->client_id);
        assignment_width = kj_text_width(assignment_width, assignments[m]);
        instances |= member->instance_id != NULL;
        if (member->instance_id != NULL)
            instance_width = kj_text_width(instance_width, member->instance_id);
    }
    printf("\n%-*s %-*s ", group_width, "GROUP", id_width, "CONSUMER-ID");
    if (instances)
        printf("%-*s ", instance_width, "GROUP-INSTANCE-ID");
    printf("%-15s %-*s %-15s ", "HOST", client_width, "CLIENT-ID", "#PARTITIONS");
    if (verbose)
        printf("%-15s %-*s %-15s %-20s", "CURRENT-EPOCH", assignment_width, "CURRENT-ASSIGNMENT",
               "TARGET-EPOCH", "TARGET-ASSIGNMENT");
    putchar('\n');
    for (size_t m = 0; m < list->count; m++) {
        const struct kaja_group_member *member = &list->members[m];
        printf("%-*s %-*s ", group_width, list->group.group_id, id_width, member->member_id);
        if (instances)
            printf("%-*s ", instance_width, member->instance_id != NULL ? member->instance_id : "");
        printf("%-15s %-*s %-15zu ", host, client_width, member->client_id,
               member->partition_count);
        if (verbose) /* epochs and targets are the other protocol's */
            printf("%-15s %-*s %-15s %-20s", "-", assignment_width, assignments[m], "-", "-");
        putchar('\n');
        free(assignments[m]);
    }
    free(assignments);
}

/* --- state --- */

static void describe_state(struct kj_groups *groups, const struct kaja_group_info *group)
{
    bool verbose = kj_args_has(groups->args, "verbose");
    if (groups->json != NULL) {
        kj_json_open(groups->json, NULL, '{');
        kj_json_text(groups->json, "group", group->group_id);
        kj_json_text(groups->json, "coordinator", "localhost:9092");
        kj_json_int(groups->json, "coordinatorId", 0);
        kj_json_text(groups->json, "assignmentStrategy", group->assignor);
        kj_json_text(groups->json, "state", kj_group_state_name(group->state));
        if (verbose) {
            kj_json_null(groups->json, "groupEpoch");
            kj_json_null(groups->json, "targetAssignmentEpoch");
        }
        kj_json_int(groups->json, "members", (int64_t)group->member_count);
        kj_json_close(groups->json, '}');
        return;
    }
    int width = kj_text_width(KJ_GROUPS_COLUMN, group->group_id);
    printf("\n%-*s %-25s %-20s %-20s %s%s\n%-*s %-25s %-20s %-20s %s%zu\n", width, "GROUP",
           "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE",
           verbose ? "GROUP-EPOCH     TARGET-ASSIGNMENT-EPOCH   " : "", "#MEMBERS", width,
           group->group_id, "localhost:9092  (0)", group->assignor,
           kj_group_state_name(group->state),
           verbose ? "-               -                         " : "", group->member_count);
}

/* --- all of them --- */

static int describe(struct kj_groups *groups, const char *id)
{
    struct kaja_group_member_list *list;
    int err = kaja_admin_group_members(groups->store, id, &list), status = 0;
    if (err == KAJA_ERR_GROUP_ID_NOT_FOUND) {
        kj_complain("Error: Consumer group '%s' does not exist.", id);
        return KJ_EXIT_FAILURE;
    }
    if (err != 0)
        return kj_groups_failed(err, id);
    if (list->group.state == KAJA_GROUP_EMPTY)
        kj_complain("Consumer group '%s' has no active members.", id);
    else if (list->group.state == KAJA_GROUP_PREPARING_REBALANCE)
        kj_complain("Warning: Consumer group '%s' is rebalancing.", id);
    if (kj_args_has(groups->args, "state"))
        describe_state(groups, &list->group);
    else if (!kj_args_has(groups->args, "members"))
        status = describe_offsets(groups, list);
    else if (groups->json != NULL)
        json_members(groups, list);
    else
        print_members(groups, list);
    kaja_group_member_list_free(list);
    return status;
}

int kj_groups_describe(struct kj_groups *groups)
{
    int status = 0;
    for (size_t i = 0; i < groups->count; i++)
        if (describe(groups, groups->ids[i]) != 0)
            status = KJ_EXIT_FAILURE;
    return status;
}
