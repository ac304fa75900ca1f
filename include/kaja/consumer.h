/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/consumer.h - reading records.
 */
#ifndef KAJA_CONSUMER_H
#define KAJA_CONSUMER_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One thread at a time uses a consumer; only kaja_consumer_wakeup() may come from others.
 * Kafka: KafkaConsumer. */
struct kaja_consumer;

/* What a poll returned: records of several partitions, views into the log. */
struct kaja_batch;

/* Opens a consumer with the consumer properties of conf (NULL: defaults).
 * Ownership: the handle is the caller's, until kaja_consumer_close(), before the store's.
 * Errors: INVALID_CONFIG, CONFLICT, UNSUPPORTED_FEATURE. Threads: any. Blocks: no. */
KAJA_API int kaja_consumer_open(struct kaja_store *store, const struct kaja_conf *conf,
                                struct kaja_consumer **ret_consumer);

/* Frees the consumer; batches it gave out stay valid until they are released. timeout_ms (0: at
 * once, -1: no limit) bounds what a close may have to wait for; without groups that is nothing.
 * NULL is allowed. Except for an error the handle is gone.
 * Errors: STATE (another thread is inside: nothing happened), INVALID_ARG (no consumer).
 * Threads: one. Blocks: up to timeout_ms. */
KAJA_API int kaja_consumer_close(struct kaja_consumer *consumer, int64_t timeout_ms);

/* Replaces the assignment. Only topic and partition of each element count; a partition that was
 * assigned before keeps its position. count 0 unassigns all. Positions of new ones come from
 * auto.offset.reset. Kafka: assign().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_ARG. Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_assign(struct kaja_consumer *consumer,
                                  const struct kaja_topic_partition *partitions, size_t count);

/* Number of assigned partitions; fills up to capacity of them with their positions
 * (KAJA_OFFSET_NONE where not resolved yet). Topic strings: the consumer's, valid until the
 * assignment changes. Kafka: assignment(). Errors: none. Threads: one. Blocks: no. */
KAJA_API size_t kaja_consumer_assignment(struct kaja_consumer *consumer,
                                         struct kaja_topic_partition *partitions, size_t capacity);

/* Up to max.poll.records records, waiting up to timeout_ms for the first. *ret_batch is never NULL
 * on success; it may hold no records. It must be released. Kafka: poll().
 * Errors: STATE (nothing assigned), OFFSET_OUT_OF_RANGE and NO_OFFSET (auto.offset.reset=none),
 * CORRUPT_MESSAGE, DAMAGED, UNSUPPORTED_MAGIC, UNSUPPORTED_COMPRESSION_TYPE, BAD_COMPRESSION (the position stays; records before it
 * came in earlier polls), UNKNOWN_TOPIC_ID, MEMORY_LIMIT, INTERRUPTED.
 * Threads: one. Blocks: up to timeout_ms. */
KAJA_API int kaja_consumer_poll(struct kaja_consumer *consumer, int64_t timeout_ms,
                                struct kaja_batch **ret_batch);

/* Number of records in the batch. Errors: none. Threads: any. Blocks: no. */
KAJA_API size_t kaja_batch_count(const struct kaja_batch *batch);

/* The next record: 1 and *ret_record filled, or 0 at the end (or for NULL). Records of a partition
 * in offset order. Errors: none: everything was checked by the poll. Threads: one. Blocks: no. */
KAJA_API int kaja_batch_next(struct kaja_batch *batch, struct kaja_record_view *ret_record);

/* Back to the first record. Errors: none. Threads: one. Blocks: no. */
KAJA_API void kaja_batch_rewind(struct kaja_batch *batch);

/* Gives the batch and every view of its records back. NULL is allowed. May come after the
 * consumer's close and from another thread, before the store's close.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_batch_release(struct kaja_batch *batch);

/* The next poll reads from this offset. Checked only by that poll. Kafka: seek().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (negative, topic NULL).
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_seek(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                                int64_t offset);

/* To the first or behind the last readable record; topic NULL: all assigned partitions. Resolved by
 * the next poll or position. Kafka: seekToBeginning(), seekToEnd().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (no consumer).
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_seek_to_beginning(struct kaja_consumer *consumer, const char *topic,
                                             int32_t partition);
KAJA_API int kaja_consumer_seek_to_end(struct kaja_consumer *consumer, const char *topic,
                                       int32_t partition);

/* To the first record with a timestamp of at least timestamp_ms, else to the end.
 * Kafka: offsetsForTimes() and seek().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (negative, topic NULL).
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_seek_to_timestamp(struct kaja_consumer *consumer, const char *topic,
                                             int32_t partition, int64_t timestamp_ms);

/* The offset the next poll reads from. Kafka: position().
 * Errors: STATE (not assigned, or another thread is inside), NO_OFFSET, INVALID_ARG (a NULL), and
 * those of reading the log where a timestamp is looked up (KAFKA_STORAGE_ERROR, CORRUPT_MESSAGE,
 * DAMAGED, OUT_OF_MEMORY). Threads: one. Blocks: for that reading. */
KAJA_API int kaja_consumer_position(struct kaja_consumer *consumer, const char *topic,
                                    int32_t partition, int64_t *ret_offset);

/* Paused partitions return nothing and keep their positions. Kafka: pause(), resume().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (topic NULL).
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_pause(struct kaja_consumer *consumer, const char *topic, int32_t partition);
KAJA_API int kaja_consumer_resume(struct kaja_consumer *consumer, const char *topic, int32_t partition);

/* Records behind the position that could be read now. Kafka: currentLag().
 * Errors: those of kaja_consumer_position(). Threads: one. Blocks: as that. */
KAJA_API int kaja_consumer_lag(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                               int64_t *ret_count);

/* Makes the current or the next blocking poll return INTERRUPTED, once. Safe in a signal handler.
 * Kafka: wakeup(). Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_consumer_wakeup(struct kaja_consumer *consumer);

#ifdef __cplusplus
}
#endif
#endif
