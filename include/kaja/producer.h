/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/producer.h - sending records.
 */
#ifndef KAJA_PRODUCER_H
#define KAJA_PRODUCER_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Any number of threads may share a producer. Kafka: KafkaProducer. */
struct kaja_producer;

/* What became of a record. Kafka: RecordMetadata. */
struct kaja_metadata {
    const char *topic; /* valid during the callback; NULL from kaja_producer_send() */
    int32_t partition; /* -1 if none was chosen */
    int64_t offset;    /* -1 if it failed, or with acks=0 */
    int64_t timestamp; /* the record's, or the append time of a LogAppendTime topic; -1 if it failed */
};

/* A record was acknowledged (error 0) or failed. Runs only inside kaja_producer_poll(), _flush(),
 * _close() of the caller's own thread, callbacks of one partition in offset order. May produce;
 * must not flush or close (KAJA_ERR_STATE). */
typedef void kaja_delivery_callback(void *arg, int error, const struct kaja_metadata *metadata);

/* Opens a producer with the producer properties of conf (NULL: defaults).
 * Ownership: the handle is the caller's, until kaja_producer_close(), before the store's.
 * Errors: INVALID_CONFIG, CONFLICT, READ_ONLY, UNSUPPORTED_FEATURE. Threads: any. Blocks: no. */
KAJA_API int kaja_producer_open(struct kaja_store *store, const struct kaja_conf *conf,
                                struct kaja_producer **ret_producer);

/* Chooses the partition, 0 to partition_count - 1, of a record that names none; KAJA_PARTITION_ANY
 * leaves it to the producer: by key, else the one that is being filled. Runs inside
 * kaja_producer_produce() and _send(), in their thread, maybe in several at once, and must not use
 * the producer. Kafka: Partitioner.partition(). */
typedef int32_t kaja_partitioner(void *arg, const struct kaja_record *record,
                                 int32_t partition_count);

/* Takes the application's own partitioner in the place of the properties partitioner and
 * partitioner.class; NULL: theirs again. Before the producer's first record. A choice out of range
 * fails the record with UNKNOWN_PARTITION.
 * Errors: STATE (a record came before). Threads: one. Blocks: no. */
KAJA_API int kaja_producer_set_partitioner(struct kaja_producer *producer,
                                           kaja_partitioner *partitioner, void *arg);

/* Queues a record and returns; callback (may be NULL) hears what became of it. The topic is made if
 * it does not exist and auto.create.topics.enable. Kafka: send() with a Callback.
 * Errors (the callback is then not called): INVALID_ARG, RECORD_TOO_LARGE, UNKNOWN_TOPIC_OR_PARTITION,
 * UNKNOWN_PARTITION, INVALID_TOPIC_EXCEPTION, BUFFER_EXHAUSTED, QUEUE_FULL, STATE,
 * INVALID_TIMESTAMP, INVALID_RECORD, INTERRUPTED, UNSUPPORTED_FEATURE (the record is one of a later
 * release and uses it). Threads: any. Blocks: up to max.block.ms while buffer.memory is full. */
KAJA_API int kaja_producer_produce(struct kaja_producer *producer, const struct kaja_record *record,
                                   kaja_delivery_callback *callback, void *arg);

/* Sends a record and waits until it is acknowledged at the producer's acks level. A timeout does
 * not take the record back: it may still arrive. Kafka: send().get().
 * Errors: those of produce, the delivery error, TIMED_OUT, INTERRUPTED. Threads: any.
 * Blocks: up to timeout_ms. */
KAJA_API int kaja_producer_send(struct kaja_producer *producer, const struct kaja_record *record,
                                int64_t timeout_ms, struct kaja_metadata *ret_metadata);

/* Serves delivery callbacks and events, waiting up to timeout_ms for the first. The number of
 * callbacks served goes to *ret_count (may be NULL).
 * Errors: those of due background work without worker threads, INTERRUPTED (kaja_producer_wakeup()).
 * Threads: any. Blocks: up to timeout_ms. */
KAJA_API int kaja_producer_poll(struct kaja_producer *producer, int64_t timeout_ms, size_t *ret_count);

/* A descriptor that is readable while delivery callbacks wait for a kaja_producer_poll(), for
 * programs that wait for other things too, with poll() or epoll_wait(). Only to be waited for. With
 * kaja.background.threads=0 nothing happens while a program waits: see kaja_store_step().
 * Ownership: the producer's, until it is closed; every call gives the same one.
 * Errors: INVALID_ARG, FILE_LIMIT. Threads: any. Blocks: no. */
KAJA_API int kaja_producer_fd(struct kaja_producer *producer, int *ret_fd);

/* Makes the calls that wait on this producer now - produce, send, poll, flush - return INTERRUPTED,
 * or, if there is none, the next one that would wait. What a send or flush waited for goes on
 * without it; a call that is itself writing or flushing ends that first. Safe in a signal handler.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_producer_wakeup(struct kaja_producer *producer);

/* Waits until every record produced before the call is acknowledged or failed, serving callbacks.
 * Errors: TIMED_OUT, STATE (inside a callback), INTERRUPTED. Threads: any. Blocks: up to timeout_ms. */
KAJA_API int kaja_producer_flush(struct kaja_producer *producer, int64_t timeout_ms);

/* Flushes for up to timeout_ms (0: not at all), fails what is left with DESTROYED, serves the
 * remaining callbacks and frees the handle. NULL is allowed. The handle is gone unless STATE.
 * Errors: TIMED_OUT (records were failed), STATE (inside a callback: nothing happened).
 * Threads: one. Blocks: up to timeout_ms and for one flush. */
KAJA_API int kaja_producer_close(struct kaja_producer *producer, int64_t timeout_ms);

/* The partition that the default partitioner gives a key: (murmur2(key) & 0x7fffffff) % count.
 * count must be positive; a NULL key is taken as an empty one.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API int32_t kaja_partition_for_key(const void *key, size_t key_bytes, int32_t count);

/* Kafka's 32-bit murmur2 with its seed. Errors: none. Threads: any. Blocks: no. */
KAJA_API int32_t kaja_murmur2(const void *key, size_t key_bytes);

#ifdef __cplusplus
}
#endif
#endif
