/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/subscription.h - the partitions assigned to a consumer: where each stands, whether it is
 * paused, and what was read of it but not given out yet. One thread at a time.
 *
 * Kafka: SubscriptionState, CompletedFetch.
 */
#ifndef KJ_CLIENT_SUBSCRIPTION_H
#define KJ_CLIENT_SUBSCRIPTION_H

#include "base/hash.h"
#include "client/fetched.h"
#include "record/batch_reader.h"
#include "store/store.h"

/* Where the next poll reads from. */
enum kj_position_kind {
    KJ_POSITION_AT,        /* offset */
    KJ_POSITION_NEW,       /* the committed one, or else: */
    KJ_POSITION_RESET,     /* auto.offset.reset says */
    KJ_POSITION_BEGINNING, /* the others are resolved when they are needed */
    KJ_POSITION_END,
    KJ_POSITION_TIME /* of the first record at or after offset, a time in ms */
};

struct kj_aborted_txn {
    int64_t producer_id;
    int64_t first_offset;
};

/* Aborted transactions of the piece being read, for read_committed: semantics 5. */
struct kj_aborted {
    bool loaded;
    struct kj_aborted_txn *txns; /* by first_offset */
    size_t count, capacity;
    size_t next;     /* the first that is not in active yet */
    int64_t *active; /* producer ids whose transactional batches are skipped */
    size_t active_count, active_capacity;
};

struct kj_assigned {
    char *key; /* of the map: partition number, topic name */
    size_t key_bytes;
    struct kj_topic *topic; /* held */
    struct kj_partition *partition;
    struct kj_log *log;
    const char *name; /* the topic's */
    int32_t number;
    bool paused;
    bool gone; /* the topic was deleted */
    bool kept; /* of the next assignment too (kj_subscription_assign) */
    enum kj_position_kind kind;
    int64_t offset; /* or time */
    int32_t leader_epoch; /* of what was read before it, or committed with it; -1: not known */
    int64_t seen;   /* what a wait watches stood here when nothing could be read; 0: not tried */
    struct kj_log_cursor cursor;
    /* The piece of log that was read last, and how far it was given out */
    struct kj_source *source; /* NULL: none */
    const uint8_t *at;        /* of the next batch */
    size_t left;
    int64_t piece_begin, piece_end; /* offsets */
    bool in_batch;                  /* reader stands in the batch before `at` */
    struct kj_batch_reader reader;
    struct kj_source *records; /* what its records lie in: source, or a decompressed batch */
    int32_t last_delta;        /* of the record read last, -1 none: deltas rise */
    size_t batch_bytes;        /* of the reader's batch: as stored, */
    size_t batch_pinned;       /* in memory */
    struct kj_aborted aborted;
};

struct kj_subscription {
    struct kj_assigned **items;
    size_t count;
    struct kj_map map;
    size_t turn; /* the item whose turn it is */
};

void kj_subscription_init(struct kj_subscription *subscription);
void kj_subscription_free(struct kj_subscription *subscription);
/* Replaces the assignment. On an error it is as before. */
int kj_subscription_assign(struct kj_subscription *subscription, struct kj_store *store,
                           const struct kaja_topic_partition *partitions, size_t count);
/* STATE if it is not assigned. */
int kj_subscription_find(const struct kj_subscription *subscription, const char *topic,
                         int32_t partition, struct kj_assigned **ret_assigned);

/* Forgets what was read; the next read begins there. */
void kj_assigned_move(struct kj_assigned *assigned, enum kj_position_kind kind, int64_t offset);
void kj_assigned_drop_piece(struct kj_assigned *assigned);
/* Something of the piece was not given out yet. */
static inline bool kj_assigned_has_piece(const struct kj_assigned *assigned)
{
    return assigned->in_batch || assigned->left > 0;
}
/* A read-only store gives a partition another log when the files it follows were replaced. */
static inline void kj_assigned_follow(struct kj_assigned *assigned)
{
    struct kj_log *log = kj_partition_log(assigned->partition);
    if (__builtin_expect(log != assigned->log, 0)) {
        assigned->log = log;
        assigned->cursor.valid = false;
    }
}

#endif
