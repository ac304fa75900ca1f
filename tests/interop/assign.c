/* SPDX-License-Identifier: BSD-2-Clause
 *
 * assign: cases of assignors on stdin with Kafka's results, as Assignors.java prints them, against
 * ours. Each result of ours must be valid. It must be Kafka's, but for two kinds of cases: Kafka's
 * result is none (it gives a member what it does not subscribe to, or throws), or it may have moved
 * partitions through a member that no longer subscribes to their topic (assign.h).
 */
#include "coord/assign.h"

#include "coord/assign_case.h"

#include <kaja.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A member of an older generation claims partitions of a topic to which it does not subscribe. */
static bool has_stale_claims(const struct assign_case *one)
{
    int32_t last = -1;
    for (size_t i = 0; i < one->input.member_count; i++)
        last = one->members[i].generation > last ? one->members[i].generation : last;
    for (size_t i = 0; i < one->input.member_count; i++)
        for (size_t k = 0; k < one->members[i].owned_count; k++) {
            uint32_t topic = one->members[i].owned[k].topic;
            if (one->members[i].generation < last && one->topics[topic].partition_count > 0 &&
                !case_subscribes(one, i, topic))
                return true;
        }
    return false;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    long cases = 0, sticky = 0, unusable = 0, stale = 0, failed = 0;
    for (; getline(&line, &room, stdin) > 0; cases++) {
        line[strcspn(line, "\n")] = 0;
        char *shown = strdup(line), *at = line;
        char *name = strsep(&at, "|"), *topics = strsep(&at, "|"), *members = strsep(&at, "|");
        char *wanted = strsep(&at, "|");
        enum kj_assignor assignor;
        struct kj_assignment made;
        if (at == NULL || !kj_assignor_parse(name, strlen(name), &assignor)) {
            printf("not a case: %s\n", shown);
            return 1;
        }
        struct assign_case one;
        case_parse(&one, topics, members);
        if (kj_assign(assignor, &one.input, &made) != 0) {
            printf("%s: %s\n", kaja_error_detail(), shown);
            return 1;
        }
        char *got = case_result(&one, &made);
        bool valid = case_valid(&one, &made, assignor != KJ_ASSIGNOR_COOPERATIVE_STICKY);
        bool same = strcmp(got, wanted) == 0;
        bool usable = strcmp(at, "-") == 0;
        bool excused = !usable || (assignor >= KJ_ASSIGNOR_STICKY && has_stale_claims(&one));
        sticky += assignor >= KJ_ASSIGNOR_STICKY;
        unusable += !usable;
        stale += usable && !same && excused;
        if (!valid || (!same && !excused)) {
            failed++;
            printf("%s\n  Kafka: %s\n  ours:  %s\n", valid ? "differs" : "INVALID", shown, got);
        }
        free(got);
        free(shown);
        kj_assignment_free(&made);
        case_free(&one);
    }
    printf("%ld cases (%ld sticky): %ld without a usable result of Kafka's, %ld by way of one, "
           "%ld failed\n",
           cases, sticky, unusable, stale, failed);
    free(line);
    /* Were it more, the comparison would say little. */
    return failed > 0 || cases == 0 || unusable > cases / 20 || stale > cases / 100;
}
