/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/consumer.h - reads assigned partitions from their positions on. One thread at a time.
 *
 * Kafka: KafkaConsumer.
 */
#ifndef KJ_CLIENT_CONSUMER_H
#define KJ_CLIENT_CONSUMER_H

#include "base/atomic.h"
#include "base/err.h"
#include "client/membership.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_offset_reset {
    KJ_RESET_LATEST = 0,
    KJ_RESET_EARLIEST = 1,
    KJ_RESET_NONE = 2,
    KJ_RESET_BY_DURATION = 3
};

struct kj_offset_store; /* coord/offset_store.h */

struct kj_consumer_options {
    enum kj_offset_reset reset; /* auto.offset.reset; kj_offset_reset_parse() */
    int64_t reset_duration_ms;  /* of KJ_RESET_BY_DURATION */
    bool read_committed;        /* isolation.level */
    bool read_durable;          /* kaja.read.durable */
    bool check_crcs;
    int32_t max_poll_records;
    size_t fetch_bytes_max;           /* fetch.max.bytes */
    size_t partition_fetch_bytes_max; /* max.partition.fetch.bytes */
    size_t fetch_bytes_min;           /* fetch.min.bytes */
    int64_t fetch_wait_max_ms;        /* fetch.max.wait.ms */
    size_t decompressed_bytes_max;    /* kaja.decompressed.max.bytes, of one batch */
    size_t memory_bytes_max; /* kaja.memory.max: that unreleased batches may pin; 0: no limit */
    struct kj_member_options member; /* group.id and what goes with it; group_id NULL: no group. Its
                                        strings need to live as long as kj_consumer_new() */
    struct kj_groups *groups;         /* of the store handle, both; asked for with a group alone */
    struct kj_offset_store *offsets;
    bool exclude_internal;            /* exclude.internal.topics: of patterns */
    bool auto_commit;                 /* enable.auto.commit */
    int64_t auto_commit_interval_ms;  /* auto.commit.interval.ms */
    bool commit_durable;              /* kaja.commit.acks=all */
    kj_atomic_u64 *batches_out; /* counts batches that are out; outlives them; NULL: nobody asks */
};
/* Kafka's defaults. */
void kj_consumer_options_defaults(struct kj_consumer_options *options);
/* "latest", "earliest", "none", "by_duration:P1DT2H3M4.5S". False if it is none of these. */
bool kj_offset_reset_parse(const char *text, enum kj_offset_reset *ret_reset,
                           int64_t *ret_duration_ms);

struct kj_consumer;

/* Errors, blocking and ownership: kaja/consumer.h. Arguments are checked by api/. Everything but
 * _wakeup() is for one thread at a time: STATE if another one is inside. */
int kj_consumer_new(struct kj_store *store, const struct kj_consumer_options *options,
                    struct kj_consumer **ret_consumer);
/* Commits first if enable.auto.commit is set, and waits for asynchronous commits: for locks and
 * flushes until timeout_ms are over. */
int kj_consumer_free(struct kj_consumer *consumer, int64_t timeout_ms);
int kj_consumer_assign(struct kj_consumer *consumer, const struct kaja_topic_partition *partitions,
                       size_t count);
int kj_consumer_subscribe(struct kj_consumer *consumer, const char *const *topics, size_t count,
                          const struct kj_listener *listener);
int kj_consumer_subscribe_pattern(struct kj_consumer *consumer, const char *pattern,
                                  const struct kj_listener *listener);
int kj_consumer_enforce_rebalance(struct kj_consumer *consumer);
int kj_consumer_unsubscribe(struct kj_consumer *consumer);
int kj_consumer_group_metadata(struct kj_consumer *consumer,
                               struct kaja_group_metadata *ret_metadata);
size_t kj_consumer_subscribed(struct kj_consumer *consumer, const char **topics, size_t capacity);
size_t kj_consumer_assignment(struct kj_consumer *consumer, struct kaja_topic_partition *partitions,
                              size_t capacity);
int kj_consumer_poll(struct kj_consumer *consumer, int64_t timeout_ms,
                     struct kaja_batch **ret_batch);
int kj_consumer_seek(struct kj_consumer *consumer, const char *topic, int32_t partition,
                     int64_t offset);
/* topic NULL: all. */
int kj_consumer_seek_to_beginning(struct kj_consumer *consumer, const char *topic,
                                  int32_t partition);
int kj_consumer_seek_to_end(struct kj_consumer *consumer, const char *topic, int32_t partition);
int kj_consumer_seek_to_timestamp(struct kj_consumer *consumer, const char *topic,
                                  int32_t partition, int64_t timestamp_ms);
int kj_consumer_position(struct kj_consumer *consumer, const char *topic, int32_t partition,
                         int64_t *ret_offset);
int kj_consumer_pause(struct kj_consumer *consumer, const char *topic, int32_t partition,
                      bool paused);
int kj_consumer_lag(struct kj_consumer *consumer, const char *topic, int32_t partition,
                    int64_t *ret_count);
int kj_consumer_commit(struct kj_consumer *consumer, const struct kaja_committed_offset *offsets,
                       size_t count, int64_t timeout_ms);
int kj_consumer_commit_async(struct kj_consumer *consumer,
                             const struct kaja_committed_offset *offsets, size_t count,
                             kaja_commit_callback *callback, void *arg);
int kj_consumer_committed(struct kj_consumer *consumer,
                          const struct kaja_topic_partition *partitions, size_t count,
                          struct kaja_committed_offset *ret_offsets);
int kj_consumer_descriptor(struct kj_consumer *consumer, int *ret_fd);
void kj_consumer_wakeup(struct kj_consumer *consumer); /* any thread, signal handlers */

#endif
