/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/history/history.h - what happened to records, groups and commits, as those saw it who did
 * it, and the laws that no such history may break:
 *
 *     acknowledged  a record that was acknowledged stands at its offset (acks=1: if no power cut
 *                   came after), once, in the order of its producer
 *     delivered     every record that stands was delivered to each group at least once; nothing
 *                   else was, and nothing elsewhere
 *     order         from the assignment of a partition to its end the offsets follow each other
 *                   without a gap, beginning at the position that was told (gaps that a power cut
 *                   left are passed over)
 *     one owner     a partition has one owner in a generation, and none without an assignment
 *     fenced        once another owner was told of a newer generation, a poll that begins delivers
 *                   nothing of the older one, and a commit that begins fails
 *     taken         nobody loses a partition to another while it polls
 *     generations   do not fall
 *     committed     what is fetched is the last acknowledged commit, or one that nobody heard of
 *                   (its process died) or that ran at the same time; after a power cut the last
 *                   with acks=all
 *
 * Times are of any one clock that all share. A call is an interval, and took effect at one moment
 * of it; a call that did not end (its process died) has the time of its death as its end.
 *
 * It knows nothing of the library. Memory shortage ends the test. Threads: one.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum history_kind {
    HISTORY_PRODUCED,  /* offset, value, acks; error */
    HISTORY_POLLED,    /* a call of poll */
    HISTORY_DELIVERED, /* offset, value; begin and end of the poll */
    HISTORY_ASSIGNED,  /* told by the listener; a moment, as the next ones */
    HISTORY_REVOKED,
    HISTORY_LOST,
    HISTORY_GONE,      /* the consumer was closed, or its process died */
    HISTORY_COMMITTED, /* offset, acks; error. value 1: by itself (enable.auto.commit) */
    HISTORY_FETCHED,   /* committed offset, -1 if none; error. value 1: a position taken from it */
    HISTORY_STOPPED,   /* a process, from begin to end */
    HISTORY_CUT,       /* the power */
    HISTORY_END,       /* of a partition, found after a power cut */
    HISTORY_STANDS,    /* in the end: offset and value of a record */
    HISTORY_DRAINED,   /* in the end: the group has read the topic */
    HISTORY_KINDS
};

/* Of a call: it is not known whether it took effect. Else 0 or its error. */
enum { HISTORY_UNKNOWN = -2000000000 };

/* Numbers from 0; those that the kind does not have are 0. */
struct history_event {
    enum history_kind kind;
    int64_t begin, end;
    uint32_t process;
    uint32_t consumer; /* a handle, never used twice; or a producer */
    uint32_t group;
    uint32_t instance; /* group.instance.id; 0: a dynamic member */
    int32_t generation;
    uint32_t topic;
    int32_t partition;
    int64_t offset;
    uint64_t value; /* never sent twice; the upper half names the producer, the lower one counts */
    int acks;       /* -1: all */
    int error;
};

struct history {
    struct history_event *events;
    size_t count, capacity;
    /* From its last sign of life on a member may lose its partitions after so long: the smaller of
     * its timeouts less a heartbeat. 0: the law "taken" is not looked at. */
    int64_t silence;
};

void history_add(struct history *history, const struct history_event *event);
void history_free(struct history *history);
void history_print_event(FILE *to, const struct history_event *event);
/* A hash of all events in order. */
uint64_t history_hash(const struct history *history);

/* Sorts the events by time. The number of laws broken is the result; the first few are told to
 * `to`, with the law's name and the events. */
size_t history_check(struct history *history, FILE *to);

#endif
