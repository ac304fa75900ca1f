/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/topic_names.h - which topics an option means.
 */
#ifndef KJ_TOOLS_TOPIC_NAMES_H
#define KJ_TOOLS_TOPIC_NAMES_H

#include "tools/args.h"
#include "tools/pattern.h"

#include <kaja.h>

/* Why a name cannot be a topic's, in Kafka's words; NULL if it can. The text is static, but holds
 * the name: valid until the next call. */
const char *kj_topic_name_fault(const char *name);

/* Compiles a topic filter; wrong usage if it is none. */
void kj_topic_filter(const struct kj_args *args, const char *java, struct kj_pattern *ret_pattern);

/* The topics that match (pattern NULL: all), internal ones only if wanted, sorted by name. Entries
 * point into *ret_all, which the caller frees with kaja_topic_list_free(), and *ret_topics with
 * free(). */
int kj_topics_matching(struct kaja_store *store, const struct kj_pattern *pattern, bool internal,
                       struct kaja_topic_list **ret_all, const struct kaja_topic_info ***ret_topics,
                       size_t *ret_count);

#endif
