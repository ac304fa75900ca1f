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
 * Errors: INVALID_CONFIG, CONFLICT, UNSUPPORTED_FEATURE, INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT
 * (outside group.min. and group.max.session.timeout.ms), INVALID_ARG (group.instance.id or
 * client.id is too long). Threads: any. Blocks: no. */
KAJA_API int kaja_consumer_open(struct kaja_store *store, const struct kaja_conf *conf,
                                struct kaja_consumer **ret_consumer);

/* Frees the consumer; batches it gave out stay valid until they are released. With
 * enable.auto.commit the positions are committed; asynchronous commits are waited for and their
 * callbacks run; a member tells its listener and leaves its group (but for a static one). What of
 * that fails is no error: the group's other members find out. timeout_ms (0: at once, -1: no limit)
 * bounds the waiting for locks and flushes: a commit that has no lock by then is not made (an
 * event tells), one that is not flushed by then is flushed behind the close, and its callback gets
 * TIMED_OUT. NULL is allowed. Except for an error the handle is gone.
 * Errors: STATE (another thread or its own listener is inside: nothing happened), INVALID_ARG (no
 * consumer). Threads: one. Blocks: up to timeout_ms and for some milliseconds; without a worker
 * (kaja.background.threads=0) also for a flush, if something is committed. */
KAJA_API int kaja_consumer_close(struct kaja_consumer *consumer, int64_t timeout_ms);

/* --- groups --- */

/* What a consumer is told when the partitions of its group are shared out anew. Each runs inside a
 * kaja_consumer_poll(), _unsubscribe() or _close() of the consumer's own thread; there it may seek,
 * pause, commit and ask for positions, but not poll, subscribe, assign or close (STATE). Partitions
 * are sorted by topic and number, valid during the call; their offsets are KAJA_OFFSET_NONE.
 * Eager assignors: revoked gets all, before each join but the first, assigned all, after it.
 * Cooperative ones: revoked gets what another member takes over, assigned (always called) what is
 * new. The struct may grow at the end, as struct kaja_record. Kafka: ConsumerRebalanceListener. */
typedef void kaja_rebalance_callback(void *arg, struct kaja_consumer *consumer,
                                     const struct kaja_topic_partition *partitions, size_t count);
struct kaja_rebalance_listener {
    size_t size;                       /* sizeof(struct kaja_rebalance_listener) */
    void *arg;                         /* given to each */
    kaja_rebalance_callback *revoked;  /* still assigned: the place to commit. NULL: not told */
    kaja_rebalance_callback *assigned; /* assigned already: the place to seek. NULL: not told */
    kaja_rebalance_callback *lost;     /* others may have them already. NULL: revoked is called */
};
#define KAJA_REBALANCE_LISTENER_INIT {sizeof(struct kaja_rebalance_listener), NULL, NULL, NULL, NULL}

/* Takes part in the group of group.id with these topics, which need not exist yet; replaces what was
 * subscribed to before. Partitions come with the next polls. count 0 is kaja_consumer_unsubscribe().
 * Topics and listener (NULL: none) are copied. Kafka: subscribe(Collection).
 * Errors: INVALID_GROUP_ID (no group.id), READ_ONLY (the store is), STATE (assigned by hand, inside
 * a listener, or another thread is inside), INVALID_TOPIC_EXCEPTION, INVALID_ARG,
 * UNSUPPORTED_FEATURE (the listener is one of a later release that uses it); count 0: as
 * kaja_consumer_unsubscribe().
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_subscribe(struct kaja_consumer *consumer, const char *const *topics,
                                     size_t count, const struct kaja_rebalance_listener *listener);

/* With every topic whose whole name matches a POSIX extended regular expression of at most 4096
 * bytes, those made later too; internal topics (__consumer_offsets) with
 * exclude.internal.topics=false alone.
 * Kafka: subscribe(Pattern), whose expressions are Java's.
 * Errors: as kaja_consumer_subscribe(); INVALID_ARG (the expression). Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_subscribe_pattern(struct kaja_consumer *consumer, const char *pattern,
                                             const struct kaja_rebalance_listener *listener);

/* Gives every partition back and leaves the group (a member with group.instance.id stays in it until
 * session.timeout.ms); also ends an assignment by hand. Kafka: unsubscribe().
 * Errors: STATE (inside a listener, or another thread is inside: nothing happened); LOCK_TIMED_OUT,
 * reading, DISK_FULL (it is out for itself, and the others find it dead).
 * Threads: one. Blocks: for the group's lock. */
KAJA_API int kaja_consumer_unsubscribe(struct kaja_consumer *consumer);

/* Lets the next poll begin a rebalance of the group although nothing changed; nothing if one is on
 * already, or the consumer has not joined yet. Kafka: enforceRebalance(), which for members other
 * than the leader only asks for the same assignment again.
 * Errors: STATE (not subscribed, or another thread is inside), reading.
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_enforce_rebalance(struct kaja_consumer *consumer);

/* Number of topics subscribed to (those that a pattern matched at the last poll); fills up to
 * capacity of them, sorted. Strings: the consumer's, until the next call of subscribe, unsubscribe,
 * poll or close. Kafka: subscription(). Errors: none. Threads: one. Blocks: no. */
KAJA_API size_t kaja_consumer_subscription(struct kaja_consumer *consumer, const char **topics,
                                           size_t capacity);

/* Who the consumer is in its group. Strings: the consumer's, until its next poll or close. */
struct kaja_group_metadata {
    const char *group_id;
    const char *member_id; /* "" before the first join */
    int32_t generation;    /* -1: in none */
};
/* Kafka: groupMetadata(). Errors: INVALID_GROUP_ID (no group.id, or a read-only store), STATE
 * (another thread is inside), INVALID_ARG (a NULL). Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_group_metadata(struct kaja_consumer *consumer,
                                          struct kaja_group_metadata *ret_metadata);

/* --- partitions by hand --- */

/* Replaces the assignment. Only topic and partition of each element count; a partition that was
 * assigned before keeps its position. count 0 unassigns all. Positions of new ones are the offsets
 * that the group committed (group.id), where there are none auto.offset.reset decides. With
 * enable.auto.commit the positions are committed before. Kafka: assign().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_ARG, STATE (subscribed,
 * inside a listener, or another thread is inside), reading (the assignment stays as it was).
 * Threads: one. Blocks: for reading, where a partition is used for the first time. */
KAJA_API int kaja_consumer_assign(struct kaja_consumer *consumer,
                                  const struct kaja_topic_partition *partitions, size_t count);

/* Number of assigned partitions; fills up to capacity of them with their positions
 * (KAJA_OFFSET_NONE where not resolved yet). Topic strings: the consumer's, valid until the
 * assignment changes. Kafka: assignment(). Errors: none. Threads: one. Blocks: no. */
KAJA_API size_t kaja_consumer_assignment(struct kaja_consumer *consumer,
                                         struct kaja_topic_partition *partitions, size_t capacity);

/* Up to max.poll.records records, waiting up to timeout_ms for the first. *ret_batch is never NULL
 * on success; it may hold no records. It must be released. Kafka: poll().
 * Errors: STATE (nothing assigned or subscribed, inside a listener, or another thread is inside),
 * OFFSET_OUT_OF_RANGE and NO_OFFSET (auto.offset.reset=none), reading, INVALID_RECORD,
 * UNSUPPORTED_COMPRESSION_TYPE, BAD_COMPRESSION, RECORD_TOO_LARGE (a batch that is larger than
 * allowed when decompressed) - with all these the position stays; records before it came in earlier
 * polls - UNKNOWN_TOPIC_ID (deleted), MEMORY_LIMIT, INTERRUPTED; of a group FENCED_INSTANCE_ID,
 * INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID (taken out just now: the
 * next poll joins anew), LOCK_TIMED_OUT, writing.
 * Threads: one. Blocks: up to timeout_ms; for the group's lock, where it joins. */
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

/* The offset the next poll reads from; looked up now if no poll has done it. Kafka: position().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (a NULL); where it is
 * looked up NO_OFFSET (nothing committed, and auto.offset.reset=none), UNKNOWN_TOPIC_ID (deleted),
 * reading.
 * Threads: one. Blocks: for that reading. */
KAJA_API int kaja_consumer_position(struct kaja_consumer *consumer, const char *topic,
                                    int32_t partition, int64_t *ret_offset);

/* Paused partitions return nothing and keep their positions. Kafka: pause(), resume().
 * Errors: STATE (not assigned, or another thread is inside), INVALID_ARG (topic NULL).
 * Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_pause(struct kaja_consumer *consumer, const char *topic, int32_t partition);
KAJA_API int kaja_consumer_resume(struct kaja_consumer *consumer, const char *topic, int32_t partition);

/* Records behind the position that could be read now. Kafka: currentLag().
 * Errors: those of kaja_consumer_position(); with isolation.level=read_committed UNKNOWN_TOPIC_ID
 * and reading at any time. Threads: one. Blocks: for that reading. */
KAJA_API int kaja_consumer_lag(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                               int64_t *ret_count);

/* A committed offset: the next one to read, not the last that was read. */
struct kaja_committed_offset {
    const char *topic;
    int32_t partition;
    int32_t leader_epoch; /* of the record before it, -1: not known */
    int64_t offset;
    const char *metadata; /* any text, at most offset.metadata.max.bytes; NULL: none */
};

/* Commits offsets for the consumer's group (group.id), all or none; offsets NULL (then count is 0):
 * the positions of all assigned partitions. Any offset is accepted, also one beyond the end.
 * Commits of commit_async() that came before are waited for and their callbacks run first.
 * Retriable errors are tried again up to timeout_ms (-1: no limit). Done when it is on the
 * device, or with kaja.commit.acks=1 in the page cache. Kafka: commitSync().
 * Errors: INVALID_GROUP_ID (no group.id), UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION,
 * OFFSET_METADATA_TOO_LARGE, INVALID_ARG (a negative number, no topic), STATE (another thread is
 * inside), UNKNOWN_MEMBER_ID (not in the group any more, or not in it while others are),
 * ILLEGAL_GENERATION (it was shared out anew since the last poll), FENCED_INSTANCE_ID,
 * LOCK_TIMED_OUT, POISONED, writing.
 * Threads: one. Blocks: up to timeout_ms for locks, and for a flush. */
KAJA_API int kaja_consumer_commit(struct kaja_consumer *consumer,
                                  const struct kaja_committed_offset *offsets, size_t count,
                                  int64_t timeout_ms);

/* How a commit went: 0 or an error of kaja_consumer_commit(). Must not use the consumer (STATE). */
typedef void kaja_commit_callback(void *arg, int error);

/* The same, without waiting for the flush and without another try. The callback (NULL: none) runs
 * in a later call of poll, commit, commit_async or close of this consumer, in the order of the
 * commits. Nothing is kept of offsets. Kafka: commitAsync().
 * Errors: those of the arguments as above (INVALID_GROUP_ID, UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_TOPIC_EXCEPTION, INVALID_ARG) and STATE; others come by the callback.
 * Threads: one. Blocks: for locks. */
KAJA_API int kaja_consumer_commit_async(struct kaja_consumer *consumer,
                                        const struct kaja_committed_offset *offsets, size_t count,
                                        kaja_commit_callback *callback, void *arg);

/* What the group has committed for count partitions (topic and partition count), whoever did;
 * offset KAJA_OFFSET_NONE: nothing. ret_offsets: room for count. Topics are the caller's strings,
 * metadata the consumer's until the next call of this function or close. Kafka: committed().
 * Errors: INVALID_GROUP_ID (no group.id), INVALID_ARG, STATE (another thread is inside), reading.
 * Threads: one. Blocks: for reading what was committed since the last look. */
KAJA_API int kaja_consumer_committed(struct kaja_consumer *consumer,
                                     const struct kaja_topic_partition *partitions, size_t count,
                                     struct kaja_committed_offset *ret_offsets);

/* A descriptor that is readable while a kaja_consumer_poll() with timeout 0 has something to return
 * or to do - records, an error, a rebalance, the callback of a commit, kaja_consumer_wakeup() - for
 * programs that wait for other things too, with poll() or epoll_wait(). Other processes make it
 * readable as well. Only to be waited for; each poll takes it back and finds out anew, so a program
 * polls once each time it is readable, whatever the poll returned. It may be readable for nothing.
 * A group's member becomes readable after max.poll.interval.ms / 2 even if nothing comes. Needs the
 * store's worker thread: without one (kaja.background.threads=0, kaja.read.only) call
 * kaja_consumer_poll() with timeout 0 at kaja_store_next_deadline_ns(), and every so often, since
 * nothing tells what other processes append.
 * Ownership: the consumer's, until it is closed; every call gives the same one.
 * Errors: UNSUPPORTED_FEATURE (no worker thread), FILE_LIMIT, STATE (another thread is inside),
 * INVALID_ARG. Threads: one. Blocks: no. */
KAJA_API int kaja_consumer_fd(struct kaja_consumer *consumer, int *ret_fd);

/* Makes the current or the next blocking poll return INTERRUPTED, once; the next one of any timeout
 * if the consumer has a descriptor. Safe in a signal handler.
 * Kafka: wakeup(). Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_consumer_wakeup(struct kaja_consumer *consumer);

#ifdef __cplusplus
}
#endif
#endif
