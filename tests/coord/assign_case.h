/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/coord/assign_case.h - a case of an assignor as text, and its result:
 *
 *     topics    name=count,name=count
 *     members   id[@instance]:topic+topic[;topic-partition,topic-partition[;generation]] id:...
 *     result    id=topic-partition,topic-partition id=
 */
#ifndef KJ_TESTS_ASSIGN_CASE_H
#define KJ_TESTS_ASSIGN_CASE_H

#include "coord/assign.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct assign_case {
    struct kj_assign_input input;
    struct kj_assign_topic *topics;
    struct kj_assign_member *members;
};

static inline void *case_alloc(size_t count, size_t bytes)
{
    void *p = calloc(count + 1, bytes);
    if (p == NULL)
        abort();
    return p;
}

/* Cuts *at at the next of the separator; NULL at the end. An empty text has no parts. */
static inline char *case_cut(char **at, const char *separator)
{
    return *at == NULL || **at == 0 ? NULL : strsep(at, separator);
}

static inline size_t case_parts(const char *text, char separator)
{
    size_t count = 1;
    for (; *text != 0; text++)
        count += *text == separator;
    return count;
}

/* The index of a topic; one that is not in the table is put there as one that does not exist. */
static inline uint32_t case_topic(struct assign_case *one, const char *name)
{
    size_t t = 0;
    while (t < one->input.topic_count && strcmp(one->topics[t].name, name) != 0)
        t++;
    if (t == one->input.topic_count) {
        one->topics[t] = (struct kj_assign_topic){name, 0};
        one->input.topic_count++;
    }
    return (uint32_t)t;
}

static inline void case_member(struct assign_case *one, char *text)
{
    struct kj_assign_member *member = &one->members[one->input.member_count++];
    char *who = strsep(&text, ":");
    char *topics = strsep(&text, ";");
    char *owned = strsep(&text, ";");
    member->id = strsep(&who, "@");
    member->instance_id = who;
    member->generation = text == NULL || *text == 0 ? -1 : (int32_t)strtol(text, NULL, 10);
    uint32_t *list = case_alloc(topics == NULL ? 0 : case_parts(topics, '+'), sizeof *list);
    for (char *name; (name = case_cut(&topics, "+")) != NULL;)
        list[member->topic_count++] = case_topic(one, name);
    member->topics = list;
    struct kj_assign_partition *partitions =
        case_alloc(owned == NULL ? 0 : case_parts(owned, ','), sizeof *partitions);
    for (char *name; (name = case_cut(&owned, ",")) != NULL;) {
        char *dash = strrchr(name, '-');
        *dash = 0;
        partitions[member->owned_count++] = (struct kj_assign_partition){
            case_topic(one, name), (int32_t)strtol(dash + 1, NULL, 10)};
    }
    member->owned = partitions;
}

/* Both texts are cut up, and must stay. */
static inline void case_parse(struct assign_case *one, char *topics, char *members)
{
    *one = (struct assign_case){.topics = NULL};
    size_t more = case_parts(topics, ',') + case_parts(members, '+') + case_parts(members, ',') +
                  case_parts(members, ' ') * 2;
    one->topics = case_alloc(more, sizeof *one->topics);
    one->members = case_alloc(case_parts(members, ' '), sizeof *one->members);
    for (char *topic; (topic = case_cut(&topics, ",")) != NULL;) {
        char *name = strsep(&topic, "=");
        one->topics[case_topic(one, name)].partition_count = (int32_t)strtol(topic, NULL, 10);
    }
    for (char *member; (member = case_cut(&members, " ")) != NULL;)
        if (*member != 0)
            case_member(one, member);
    one->input.topics = one->topics;
    one->input.members = one->members;
}

static inline void case_free(struct assign_case *one)
{
    for (size_t i = 0; i < one->input.member_count; i++) {
        free((void *)(uintptr_t)one->members[i].topics);
        free((void *)(uintptr_t)one->members[i].owned);
    }
    free(one->members);
    free(one->topics);
}

static inline void case_print_member(const struct assign_case *one,
                                     const struct kj_assignment *made, size_t i, FILE *to)
{
    for (size_t k = made->starts[i]; k < made->starts[i + 1]; k++)
        (void)fprintf(to, "%s%s-%d", k > made->starts[i] ? "," : "",
                      one->topics[made->partitions[k].topic].name,
                      (int)made->partitions[k].partition);
}

/* The result as text; the caller frees. */
static inline char *case_result(const struct assign_case *one, const struct kj_assignment *made)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL)
        abort();
    for (size_t i = 0; i < one->input.member_count; i++) {
        (void)fprintf(to, "%s%s=", i > 0 ? " " : "", one->members[i].id);
        case_print_member(one, made, i, to);
    }
    (void)fclose(to);
    return text;
}

static inline bool case_subscribes(const struct assign_case *one, size_t i, uint32_t topic)
{
    for (size_t k = 0; k < one->members[i].topic_count; k++)
        if (one->members[i].topics[k] == topic)
            return true;
    return false;
}

/* Does a result in text, which is cut up, give a member what it does not subscribe to? */
static inline bool case_foreign(struct assign_case *one, char *result)
{
    bool foreign = false;
    for (size_t i = 0; i < one->input.member_count; i++) {
        char *list = strsep(&result, " ");
        (void)strsep(&list, "=");
        for (char *name; (name = case_cut(&list, ",")) != NULL;) {
            *strrchr(name, '-') = 0;
            foreign = foreign || !case_subscribes(one, i, case_topic(one, name));
        }
    }
    return foreign;
}

/* What holds of every result: nobody has what it does not subscribe to, nothing is given twice, and
 * (all) nothing is left. */
static inline bool case_valid(const struct assign_case *one, const struct kj_assignment *made,
                              bool all)
{
    bool valid = true;
    for (uint32_t t = 0; t < one->input.topic_count; t++) {
        int32_t count = one->topics[t].partition_count > 0 ? one->topics[t].partition_count : 0;
        char *given = case_alloc((size_t)count, 1);
        bool wanted = false;
        for (size_t i = 0; i < one->input.member_count; i++) {
            bool subscribes = case_subscribes(one, i, t);
            wanted = wanted || subscribes;
            for (size_t k = made->starts[i]; k < made->starts[i + 1]; k++) {
                int32_t p = made->partitions[k].partition;
                if (made->partitions[k].topic != t)
                    continue;
                valid = valid && subscribes && p >= 0 && p < count && !given[p];
                if (p >= 0 && p < count)
                    given[p] = 1;
            }
        }
        for (int32_t p = 0; p < count && all && wanted; p++)
            valid = valid && given[p];
        free(given);
    }
    return valid;
}

#endif
