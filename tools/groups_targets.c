/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/groups_targets.c - the partitions that --topic, --all-topics and --from-file mean.
 */
#include "tools/common.h"
#include "tools/groups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kj_targets_add(struct kj_targets *targets, const char *topic, int32_t partition,
                    int64_t offset)
{
    targets->items = kj_xrealloc(targets->items, (targets->count + 1) * sizeof *targets->items);
    targets->items[targets->count++] = (struct kj_target){kj_xstrdup(topic), partition, -1, offset};
}

void kj_targets_free(struct kj_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++)
        free(targets->items[i].topic);
    free(targets->items);
}

static bool is_there(const struct kj_targets *targets, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->items[i].partition == partition &&
            strcmp(targets->items[i].topic, topic) == 0)
            return true;
    return false;
}

/* --- options --- */

static int partition_count(struct kaja_store *store, const char *topic, int32_t *ret_count)
{
    struct kaja_topic_list *list;
    int err = kaja_admin_topic(store, topic, &list);
    if (err != 0)
        return kj_groups_failed(err, topic);
    *ret_count = list->topics[0].partition_count;
    kaja_topic_list_free(list);
    return 0;
}

/* The word behind a colon or comma, and its number. Not one: wrong usage. */
static char *next_partition(const struct kj_args *args, const char *from, const char *text,
                            int64_t *ret_partition)
{
    char *word = kj_xstrndup(from, strcspn(from, ","));
    if (!kj_parse_int(word, ret_partition))
        kj_usage(args, "Invalid partition '%s' in --topic %s", word, text);
    return word;
}

void kj_targets_check(const struct kj_args *args)
{
    const char *text;
    int64_t partition;
    for (size_t i = 0; (text = kj_args_nth(args, "topic", i)) != NULL; i++)
        for (const char *at = strchr(text, ':'); at != NULL; at = strchr(at + 1, ','))
            free(next_partition(args, at + 1, text, &partition));
}

/* "t" or "t:0,2". */
static int add_topic(struct kj_groups *groups, const char *text, struct kj_targets *targets)
{
    const char *colon = strchr(text, ':');
    char *topic = colon != NULL ? kj_xstrndup(text, (size_t)(colon - text)) : kj_xstrdup(text);
    int32_t count = 0;
    int status = partition_count(groups->store, topic, &count);
    for (int32_t p = 0; status == 0 && colon == NULL && p < count; p++)
        if (!is_there(targets, topic, p))
            kj_targets_add(targets, topic, p, -1);
    while (colon != NULL && status == 0) {
        int64_t partition;
        char *word = next_partition(groups->args, colon + 1, text, &partition);
        if (partition < 0 || partition >= count) {
            kj_complain("Error: The partitions \"%s-%s\" do not exist", topic, word);
            status = KJ_EXIT_FAILURE;
        } else if (!is_there(targets, topic, (int32_t)partition)) {
            kj_targets_add(targets, topic, (int32_t)partition, -1);
        }
        free(word);
        colon = strchr(colon + 1, ',');
    }
    free(topic);
    return status;
}

int kj_targets_of_options(struct kj_groups *groups, const char *id, struct kj_targets *targets)
{
    struct kaja_offset_list *offsets;
    const char *text;
    for (size_t i = 0; (text = kj_args_nth(groups->args, "topic", i)) != NULL; i++)
        if (add_topic(groups, text, targets) != 0)
            return KJ_EXIT_FAILURE;
    int err = kaja_admin_group_offsets(groups->store, id, &offsets);
    if (err != 0)
        return kj_groups_failed(err, id);
    for (size_t i = 0; i < offsets->count; i++) {
        const struct kaja_committed_offset *o = &offsets->offsets[i];
        if (kj_args_has(groups->args, "all-topics"))
            kj_targets_add(targets, o->topic, o->partition, -1);
        for (size_t t = 0; t < targets->count; t++)
            if (targets->items[t].partition == o->partition &&
                strcmp(targets->items[t].topic, o->topic) == 0)
                targets->items[t].committed = o->offset;
    }
    kaja_offset_list_free(offsets);
    return 0;
}

/* --- CSV: topic,partition,offset of one group, else with the group before it --- */

enum { FIELDS_MAX = 4 };

/* Splits a line in place; quoted fields lose their quotes. 0: it is no such line. */
static size_t split_fields(char *line, char **ret_fields)
{
    size_t count = 0;
    for (;;) {
        if (count == FIELDS_MAX)
            return 0;
        char *to = line;
        ret_fields[count++] = line;
        if (*line == '"') {
            for (line++; *line != '\0' && (*line != '"' || line[1] == '"'); line++) {
                line += *line == '"';
                *to++ = *line;
            }
            if (*line++ != '"')
                return 0;
        } else {
            to = line += strcspn(line, ",");
        }
        char end = *line++;
        *to = '\0';
        if (end != ',')
            return end == '\0' ? count : 0;
    }
}

static int check_place(struct kj_groups *groups, const char *topic, const char *number,
                       int64_t partition)
{
    int32_t count = 0;
    int status = partition_count(groups->store, topic, &count);
    if (status == 0 && (partition < 0 || partition >= count)) {
        kj_complain("Error: The partitions \"%s-%s\" do not exist", topic, number);
        status = KJ_EXIT_FAILURE;
    }
    return status;
}

/* True if it is a line about the group, or about none and there is just one. */
static int add_line(struct kj_groups *groups, const char *id, char *line, const char *where,
                    struct kj_targets *targets)
{
    char *fields[FIELDS_MAX];
    size_t count = split_fields(line, fields);
    int64_t partition = 0, offset = 0;
    if (count == 3 && groups->count != 1) {
        kj_complain("Error: %s: no group; with several of them a line is group,topic,partition,"
                    "offset",
                    where);
        return KJ_EXIT_FAILURE;
    }
    if (count < 3 || !kj_parse_int(fields[count - 2], &partition) ||
        !kj_parse_int(fields[count - 1], &offset)) {
        kj_complain("Error: %s: a line is topic,partition,offset or group,topic,partition,offset",
                    where);
        return KJ_EXIT_FAILURE;
    }
    if (count == 4 && strcmp(fields[0], id) != 0)
        return 0;
    const char *topic = fields[count - 3];
    int status = check_place(groups, topic, fields[count - 2], partition);
    if (status == 0 && is_there(targets, topic, (int32_t)partition)) {
        kj_complain("Error: %s: %s-%d stands there twice", where, topic, (int)partition);
        status = KJ_EXIT_FAILURE;
    }
    if (status == 0)
        kj_targets_add(targets, topic, (int32_t)partition, offset);
    return status;
}

int kj_targets_of_file(struct kj_groups *groups, const char *id, struct kj_targets *targets)
{
    const char *path = kj_args_get(groups->args, "from-file");
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    int status = 0;
    if (file == NULL) {
        kj_complain("Error: %s: %s", path, strerror(errno));
        return KJ_EXIT_FAILURE;
    }
    errno = 0;
    for (int number = 1; status == 0 && (bytes = getline(&line, &room, file)) >= 0; number++) {
        while (bytes > 0 && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r'))
            line[--bytes] = '\0';
        char *where = kj_xprintf("%s, line %d", path, number);
        if (bytes > 0)
            status = add_line(groups, id, line, where, targets);
        free(where);
    }
    if (status == 0 && ferror(file)) {
        kj_complain("Error: %s: %s", path, strerror(errno));
        status = KJ_EXIT_FAILURE;
    }
    if (status == 0 && targets->count == 0) {
        kj_complain("Error: No reset plan for group %s found", id);
        status = KJ_EXIT_FAILURE;
    }
    free(line);
    fclose(file);
    return status;
}

/* Quoted as Kafka's writer does it, which looks at single bytes: commas, blanks, quotes and all
 * else that sorts before '-'. */
static void put_field(const char *text)
{
    bool quote = *text == '\0';
    for (const char *at = text; *at != '\0'; at++)
        quote |= (unsigned char)*at < '-';
    if (!quote) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

void kj_targets_csv_line(const char *id, const struct kj_target *target)
{
    if (id != NULL) {
        put_field(id);
        putchar(',');
    }
    put_field(target->topic);
    printf(",%d,%lld\n", (int)target->partition, (long long)target->offset);
}
