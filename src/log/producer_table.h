/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/producer_table.h - the inside of struct kj_producers, for producer_state.c and snapshot.c
 * only.
 *
 * Every producer is in the map and in exactly one of two lists:
 *   open   has an open transaction; by its first offset, rising: the head bounds the last stable
 * offset idle   has none; by when it was last seen in the log: the head is idle longest and goes
 * first
 *
 * Ended transactions count as open for a reader until their marker lies below the high watermark.
 * They wait in a queue whose first and last offsets both rise: one that ends later and began
 * earlier stands for those it encloses. When the queue is full neighbours are merged into one that
 * begins like the earlier and ends like the later, which may hold the last stable offset back for
 * longer, but never lets it pass an open transaction. So this takes no memory however far the high
 * watermark lags.
 */
#ifndef KJ_LOG_PRODUCER_TABLE_H
#define KJ_LOG_PRODUCER_TABLE_H

#include "base/hash.h"
#include "log/producer_state.h"

enum { KJ_ENDED_MAX = 64 };

struct kj_producer_node {
    struct kj_producer producer; /* first: kj_producers_find() gives this out */
    struct kj_producer_node *prev, *next;
};

struct kj_producer_list {
    struct kj_producer_node *head, *tail;
};

struct kj_ended_txn {
    int64_t first_offset, last_offset; /* last: the marker */
};

struct kj_producers {
    struct kj_map map; /* producer id -> node */
    struct kj_producer_list open, idle;
    struct kj_ended_txn ended[KJ_ENDED_MAX];
    size_t ended_count;
};

/* Takes in a producer as a snapshot describes it, as the one seen last. DAMAGED if the id is there
 * already, OUT_OF_MEMORY. */
int kj_producers_restore(struct kj_producers *producers, const struct kj_producer *producer);

#endif
