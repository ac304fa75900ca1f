/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/fetcher.h - from a position to records: reads a piece of the log, checks its batches, and
 * decodes records into the batch that a poll gives out. Each batch is checked once and each record
 * decoded once; what does not fit into one poll is gone on with in the next.
 *
 * Kafka: Fetcher, CompletedFetch.
 */
#ifndef KJ_CLIENT_FETCHER_H
#define KJ_CLIENT_FETCHER_H

#include "client/consumer.h"
#include "client/subscription.h"

struct kj_fetcher {
    struct kj_store *store;
    const struct kj_clock *clock;
    const struct kj_consumer_options *options;
    struct kj_fetch_pool *pool;
    /* Where reading of a new partition begins; not found, or NULL: auto.offset.reset says. */
    int (*first_offset)(void *arg, const char *topic, int32_t partition, bool *ret_found,
                        int64_t *ret_offset, int32_t *ret_leader_epoch);
    void *first_arg;
};

/* The offset behind the last record that may be read. */
int kj_fetcher_limit(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                     int64_t *ret_limit);
/* The offset that kj_store_wait() watches; the limit moves only when it does. */
static inline int64_t kj_fetcher_watched(const struct kj_fetcher *fetcher,
                                         const struct kj_assigned *assigned)
{
    return fetcher->options->read_durable ? kj_log_durable(assigned->log)
                                          : kj_log_high_watermark(assigned->log);
}
/* Makes the position an offset. NO_OFFSET. */
int kj_fetcher_resolve(const struct kj_fetcher *fetcher, struct kj_assigned *assigned);
/* Takes records of one partition: the rest of the piece that was read last, else a new one, until
 * the piece ends or the batch is full. An error concerns the record at the position; what came
 * before it is in the batch. */
int kj_fetcher_take(const struct kj_fetcher *fetcher, struct kj_assigned *assigned,
                    struct kaja_batch *batch);
/* True if the batch is to take no more. */
bool kj_fetcher_full(const struct kj_fetcher *fetcher, const struct kaja_batch *batch);

#endif
