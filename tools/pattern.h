/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/pattern.h - names by regular expression, as Kafka's tools take them.
 *
 * The usual Java forms are translated to POSIX extended expressions and must match the whole name:
 * `,` means `|`; blanks and quotes around are dropped; \d \w \s \D \W \S, (?:...), (?i) at the
 * start, \Q...\E, and escaped punctuation. What has no POSIX counterpart (look-around, backward
 * references, \b) is refused with a message.
 */
#ifndef KJ_TOOLS_PATTERN_H
#define KJ_TOOLS_PATTERN_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

struct kj_pattern {
    regex_t regex;
};

/* True, or false with the reason in why (at most why_bytes). */
bool kj_pattern_init(struct kj_pattern *pattern, const char *java, char *why, size_t why_bytes);
void kj_pattern_free(struct kj_pattern *pattern);
bool kj_pattern_matches(const struct kj_pattern *pattern, const char *name);

#endif
