/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/topic_names.h"
#include "tools/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_NAME_MAX = 249 };

const char *kj_topic_name_fault(const char *name)
{
    static char text[512];
    if (name[0] == '\0')
        return "Topic name is invalid: the empty string is not allowed";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        snprintf(text, sizeof text, "Topic name is invalid: '%s' is not allowed", name);
        return text;
    }
    if (strlen(name) > TOPIC_NAME_MAX) {
        snprintf(text, sizeof text,
                 "Topic name is invalid: the length of '%.260s' is longer than the max allowed "
                 "length %d",
                 name, TOPIC_NAME_MAX);
        return text;
    }
    for (const char *p = name; *p != '\0'; p++) {
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
            *p == '.' || *p == '_' || *p == '-')
            continue;
        snprintf(text, sizeof text,
                 "Topic name is invalid: '%s' contains one or more characters other than ASCII "
                 "alphanumerics, '.', '_' and '-'",
                 name);
        return text;
    }
    return NULL;
}

void kj_topic_filter(const struct kj_args *args, const char *java, struct kj_pattern *ret_pattern)
{
    char why[256];
    if (!kj_pattern_init(ret_pattern, java, why, sizeof why))
        kj_usage(args, "'%s' cannot be used as a regular expression: %s", java, why);
}

int kj_topics_matching(struct kaja_store *store, const struct kj_pattern *pattern, bool internal,
                       struct kaja_topic_list **ret_all, const struct kaja_topic_info ***ret_topics,
                       size_t *ret_count)
{
    struct kaja_topic_list *all;
    int err = kaja_admin_topics(store, &all);
    if (err != 0)
        return err;
    const struct kaja_topic_info **topics = kj_xmalloc(all->count * sizeof(void *));
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct kaja_topic_info *topic = &all->topics[i];
        if ((internal || !topic->internal) &&
            (pattern == NULL || kj_pattern_matches(pattern, topic->name)))
            topics[count++] = topic;
    }
    *ret_all = all;
    *ret_topics = topics;
    *ret_count = count;
    return 0;
}
