/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/producer.h - accepts records from any number of threads, gathers them into a batch per
 * partition (client/accumulator.h), and has them appended, flushed and reported (client/sender.h,
 * client/report.h).
 *
 * Kafka: KafkaProducer.
 */
#ifndef KJ_CLIENT_PRODUCER_H
#define KJ_CLIENT_PRODUCER_H

#include "base/err.h"
#include "client/partitioner.h"
#include "record/batch.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What to do when buffer.memory is full: kaja.buffer.full. */
enum kj_buffer_full {
    KJ_BUFFER_FULL_BLOCK = 0, /* wait up to max.block.ms: BUFFER_EXHAUSTED */
    KJ_BUFFER_FULL_FAIL = 1,  /* QUEUE_FULL at once */
    KJ_BUFFER_FULL_DROP_OLDEST =
        2 /* the oldest batch not yet appended fails with BUFFER_EXHAUSTED */
};

enum { KJ_ACKS_ALL = -1 };

struct kj_producer_options {
    int acks;                 /* 0, 1, KJ_ACKS_ALL */
    size_t batch_bytes;       /* batch.size; 0: a batch per record */
    size_t buffer_bytes;      /* buffer.memory */
    size_t request_bytes_max; /* max.request.size */
    int64_t max_block_ms;
    int64_t linger_ms;
    int64_t delivery_timeout_ms;
    int64_t retry_backoff_ms;
    int64_t retry_backoff_max_ms;
    int32_t retries;
    int codec;        /* enum kj_codec */
    int level;        /* of that codec, KJ_LEVEL_DEFAULT */
    enum kj_partitioner partitioner;
    bool ignore_keys; /* partitioner.ignore.keys; of the default partitioner */
    bool adaptive;    /* partitioner.adaptive.partitioning.enable */
    bool idempotent;  /* enable.idempotence; off unless KJ_ACKS_ALL */
    enum kj_buffer_full buffer_full;
    int32_t record_headers_max; /* kaja.record.headers.max */
    size_t report_max; /* delivery callbacks waiting for a poll: QUEUE_FULL beyond; 0: 1,000,000 */
};
/* Kafka's defaults, with those of design 2.10. */
void kj_producer_options_defaults(struct kj_producer_options *options);

struct kj_producer_client;

int kj_producer_new(struct kj_store *store, const struct kj_producer_options *options,
                    struct kj_producer_client **ret_producer);
/* A descriptor that is readable while reports wait for a poll. */
int kj_producer_descriptor(struct kj_producer_client *producer, int *ret_fd);
/* Calls that wait end with INTERRUPTED, or the next one does. Safe in a signal handler. */
void kj_producer_wakeup(struct kj_producer_client *producer);
/* The application's own choice, for records that name no partition; before the first record. */
int kj_producer_set_partitioner(struct kj_producer_client *producer, kaja_partitioner *choose,
                                void *arg);
/* record: arguments checked by api/. Errors and blocking: kaja/producer.h. */
int kj_producer_produce(struct kj_producer_client *producer, const struct kaja_record *record,
                        kaja_delivery_callback *callback, void *arg);
int kj_producer_send(struct kj_producer_client *producer, const struct kaja_record *record,
                     int64_t timeout_ms, struct kaja_metadata *ret_metadata);
int kj_producer_poll(struct kj_producer_client *producer, int64_t timeout_ms, size_t *ret_count);
int kj_producer_flush(struct kj_producer_client *producer, int64_t timeout_ms);
int kj_producer_close(struct kj_producer_client *producer, int64_t timeout_ms);

#endif
