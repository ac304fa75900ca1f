/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/groups.h - what the files of kaja consumer-groups share.
 */
#ifndef KJ_TOOLS_GROUPS_H
#define KJ_TOOLS_GROUPS_H

#include "tools/args.h"
#include "tools/json.h"

#include <kaja.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_GROUPS_COLUMN = 15 /* the least width of most columns */ };

/* The command as it runs, for the groups that its options mean. */
struct kj_groups {
    const struct kj_args *args;
    struct kaja_store *store;
    struct kj_json *json; /* NULL: tables */
    char **ids;           /* sorted */
    size_t count;
};

const char *kj_group_state_name(enum kaja_group_state state);
/* Says that something about a group or topic failed; the exit status. */
int kj_groups_failed(int err, const char *what);
/* The greater of least and the columns of text. */
int kj_text_width(int least, const char *text);
/* A number, or with value -1 what stands for none. */
void kj_groups_number(struct kj_groups *groups, const char *key, int64_t value);

/* The actions; each gives the exit status. */
int kj_groups_describe(struct kj_groups *groups);
int kj_groups_delete_offsets(struct kj_groups *groups);

/* What to reset offsets to, from the options; wrong usage ends the program. */
struct kj_reset {
    const char *scenario; /* the option */
    int64_t number;       /* of to-offset, shift-by; of to-datetime, by-duration: ms since 1970 */
};
struct kj_reset kj_groups_reset_of(const struct kj_args *args);
int kj_groups_reset(struct kj_groups *groups, const struct kj_reset *reset);

/* --- partitions that options or a file mean: groups_targets.c --- */

struct kj_target {
    char *topic;
    int32_t partition;
    int64_t committed; /* -1: nothing */
    int64_t offset;    /* the new one; read from a file: the wanted one */
};
struct kj_targets {
    struct kj_target *items;
    size_t count;
};
void kj_targets_add(struct kj_targets *targets, const char *topic, int32_t partition,
                    int64_t offset);
void kj_targets_free(struct kj_targets *targets);
/* Wrong usage of --topic ends the program. */
void kj_targets_check(const struct kj_args *args);
/* Those of --topic and --all-topics with what the group has committed. 0, or the exit status after
 * a complaint. */
int kj_targets_of_options(struct kj_groups *groups, const char *id, struct kj_targets *targets);
/* The same from the lines of --from-file that are about the group. */
int kj_targets_of_file(struct kj_groups *groups, const char *id, struct kj_targets *targets);
/* Writes a line of a CSV file, with the group (NULL: without). */
void kj_targets_csv_line(const char *id, const struct kj_target *target);

/* --- times of options: groups_time.c --- */

/* YYYY-MM-DDThh:mm:ss.sss, in UTC or with Z or a distance from it: +hh:mm. */
bool kj_parse_datetime(const char *text, int64_t *ret_ms);
/* PnDTnHnMn.nS as java.time.Duration reads it. */
bool kj_parse_duration(const char *text, int64_t *ret_ms);

#endif
