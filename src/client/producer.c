/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/producer.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "client/producer_topic.h"
#include "client/sender.h"

struct kj_producer_client {
    struct kj_sender sender;
    struct kj_producer_topics topics;
    size_t record_bytes_max; /* of a batch that holds nothing else */
    kj_atomic_u64 closed;
    kj_atomic_u64 begun;      /* a record came */
    bool chooses;             /* not by the default partitioner; all before the first record */
    kaja_partitioner *choose; /* the application's; NULL: none */
    void *choose_arg;
};

void kj_producer_options_defaults(struct kj_producer_options *options)
{
    *options = (struct kj_producer_options){
        .acks = KJ_ACKS_ALL,
        .batch_bytes = 16384,
        .buffer_bytes = 33554432,
        .request_bytes_max = 1048576,
        .max_block_ms = 60000,
        .linger_ms = 0,
        .delivery_timeout_ms = 120000,
        .retry_backoff_ms = 100,
        .retry_backoff_max_ms = 1000,
        .retries = INT32_MAX,
        .codec = KJ_CODEC_NONE,
        .level = KJ_LEVEL_DEFAULT,
        .adaptive = true,
        .idempotent = true,
        .buffer_full = KJ_BUFFER_FULL_BLOCK,
        .record_headers_max = 1000,
        .report_max = 1000000,
    };
}

int kj_producer_new(struct kj_store *store, const struct kj_producer_options *options,
                    struct kj_producer_client **ret_producer)
{
    if (kj_store_read_only(store))
        return kj_err(KAJA_ERR_READ_ONLY,
                      "the directory was opened read-only: there can be no producer");
    struct kj_producer_client *producer = kj_alloc_zero(1, sizeof *producer);
    if (producer == NULL)
        return kj_err_oom("a producer");
    struct kj_producer_options mine = *options;
    if (mine.report_max == 0)
        mine.report_max = 1000000;
    producer->record_bytes_max =
        mine.request_bytes_max < mine.buffer_bytes ? mine.request_bytes_max : mine.buffer_bytes;
    kj_sender_init(&producer->sender, store, &mine);
    producer->chooses = mine.partitioner != KJ_PARTITIONER_DEFAULT;
    int64_t producer_id = -1;
    if (mine.idempotent && mine.acks == KJ_ACKS_ALL)
        producer_id = kj_producer_id_draw(producer->sender.clock);
    kj_producer_topics_init(&producer->topics, store, &producer->sender.open_batches, producer_id);
    *ret_producer = producer;
    return 0;
}

/* --- a record into a batch --- */

/* One record on its way: what its checks found out. */
struct put {
    struct kj_producer_client *producer;
    const struct kaja_record *record;
    struct kj_record encoded;
    kaja_delivery_callback *callback;
    void *arg;
    int64_t deadline_ns; /* for memory; computed when first needed */
    int64_t timeout_ms;
    bool wait; /* a send: the batch is held for the caller */
    uint64_t since; /* of kj_sender_woken() */
    uint64_t generation;
    struct kj_producer_topic *topic;
    bool sticky;
    int32_t partition;
    bool moved; /* to another partition because the first one's batch was full */
    struct kj_accumulator *acc;
    struct kj_accumulator *full; /* has a batch that this call closed */
    bool poke;
    struct kj_send_batch *batch; /* of a send */
    int32_t index;
};

static int too_large(const struct kj_producer_client *producer, const struct kaja_record *record,
                     size_t bytes)
{
    const struct kj_producer_options *options = &producer->sender.options;
    if (bytes == SIZE_MAX)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a record for %s has a part of more than 2 GiB",
                      record->topic);
    return kj_err(KAJA_ERR_RECORD_TOO_LARGE,
                  "a record for %s takes up to %zu bytes: more than max.request.size=%zu or "
                  "buffer.memory=%zu",
                  record->topic, bytes, options->request_bytes_max, options->buffer_bytes);
}

/* Kafka's upper bound for a batch of this record alone. */
static size_t bytes_alone(const struct kj_record *encoded)
{
    size_t bytes = kj_record_bytes_max(encoded);
    return bytes == SIZE_MAX ? SIZE_MAX : bytes + KJ_BATCH_HEADER_BYTES;
}

/* So far below the limit, without headers, that the exact bound need not be known. */
static inline bool surely_fits(const struct kj_producer_client *producer,
                               const struct kaja_record *record)
{
    enum { AROUND_MAX = KJ_BATCH_HEADER_BYTES + 64 }; /* more than all lengths and counts take */
    size_t max = producer->record_bytes_max;
    return record->key_bytes < max && record->value_bytes < max &&
           record->key_bytes + record->value_bytes + AROUND_MAX <= max;
}

static int check_size(const struct put *put)
{
    const struct kaja_record *record = put->record;
    if (record->header_count == 0 && surely_fits(put->producer, record))
        return 0;
    size_t bytes = bytes_alone(&put->encoded);
    return bytes > put->producer->record_bytes_max ? too_large(put->producer, record, bytes) : 0;
}

static size_t queue_length(void *arg, int32_t partition)
{
    const struct kj_producer_topic *topic = arg;
    kj_accumulator_slot *slots = topic->slots;
    struct kj_accumulator *acc = slots[partition];
    return acc != NULL ? kj_load_relaxed(&acc->queue) : 0;
}

static void next_sticky(struct put *put, int32_t count)
{
    put->partition =
        kj_sticky_next(&put->topic->sticky, count,
                       put->producer->sender.options.adaptive ? queue_length : NULL, put->topic);
}

static int choose_partition(struct put *put)
{
    const struct kaja_record *record = put->record;
    /* pairs with kj_producer_topic_refresh(): the slots are there for this count */
    int32_t count = (int32_t)kj_load_acquire(&put->topic->count);
    if (record->partition >= 0) {
        if (record->partition >= count)
            return kj_err_at(kj_err(KAJA_ERR_UNKNOWN_PARTITION, "%s has partitions 0 to %d, not %d",
                                    record->topic, count - 1, record->partition),
                             record->topic, record->partition, -1, -1);
        put->partition = record->partition;
    } else if (record->key != NULL && !put->producer->sender.options.ignore_keys) {
        put->partition = kj_partition_for_key(record->key, record->key_bytes, count);
    } else {
        put->sticky = true;
        put->partition = kj_sticky_partition(&put->topic->sticky, count);
        if (put->partition < 0)
            next_sticky(put, count);
    }
    return 0;
}

/* What the topic demands. Lock held. */
static int check_topic(const struct put *put, const struct kj_accumulator *acc)
{
    const struct kaja_record *record = put->record;
    if (acc->compacted && record->key == NULL)
        return kj_err_at(
            kj_err(KAJA_ERR_INVALID_RECORD, "%s is compacted: its records need a key", acc->name),
            acc->name, acc->number, -1, -1);
    if (record->timestamp == KAJA_TIMESTAMP_NOW || acc->log_append_time)
        return 0;
    int64_t now = kj_wall_ms(put->producer->sender.clock);
    int64_t age = now - record->timestamp; /* neither is negative */
    if (age > acc->before_max_ms || -age > acc->after_max_ms)
        return kj_err_at(
            kj_err(KAJA_ERR_INVALID_TIMESTAMP,
                   "%s: timestamp %lld is %lld ms %s now, which message.timestamp.%s.max.ms "
                   "does not allow",
                   acc->name, (long long)record->timestamp, (long long)(age < 0 ? -age : age),
                   age < 0 ? "after" : "before", age < 0 ? "after" : "before"),
            acc->name, acc->number, -1, -1);
    return 0;
}

/* Encodes into the open batch. False: no room. Lock held; room for a report is there. */
static inline bool append_open(struct put *put, struct kj_send_batch *batch)
{
    if (!kj_batch_writer_append(&batch->writer, &put->encoded))
        return false;
    if (put->callback != NULL)
        kj_send_batch_report(batch, put->callback, put->arg, put->encoded.timestamp);
    batch->payload_bytes += put->encoded.key_bytes + put->encoded.value_bytes;
    for (size_t i = 0; i < put->encoded.header_count; i++)
        batch->payload_bytes +=
            put->encoded.headers[i].key_bytes + put->encoded.headers[i].value_bytes;
    if (__builtin_expect(put->wait, 0)) {
        batch->waiters++;
        put->acc->waiters++;
        put->acc->drain_wanted = true;
        put->batch = batch;
        put->index = batch->writer.count - 1;
    }
    return true;
}

/* The accumulator of put->partition, up to date, locked. */
static int lock_accumulator(struct put *put)
{
    kj_accumulator_slot *slots = put->topic->slots;
    struct kj_accumulator *acc = slots[put->partition];
    for (;;) {
        if (__builtin_expect(acc != NULL, 1)) {
            kj_lock_acquire(&acc->lock);
            if (__builtin_expect(acc->generation >= put->generation, 1)) {
                put->acc = acc;
                return 0;
            }
            kj_lock_release(&acc->lock);
        }
        KJ_TRY(kj_producer_topic_prepare(&put->producer->topics, put->topic, put->partition, &acc));
    }
}

/* --- memory for a new batch --- */

static int64_t put_deadline(struct put *put)
{
    if (put->deadline_ns == 0) {
        const struct kj_sender *sender = &put->producer->sender;
        int64_t ms = sender->options.max_block_ms;
        if (put->timeout_ms >= 0 && put->timeout_ms < ms)
            ms = put->timeout_ms;
        put->deadline_ns = kj_deadline_ns(sender->clock, ms);
    }
    return put->deadline_ns;
}

struct oldest {
    struct kj_accumulator *acc;
    int64_t created_ns;
};

static void look_for_oldest(void *arg, struct kj_accumulator *acc)
{
    struct oldest *oldest = arg;
    kj_lock_acquire(&acc->lock);
    const struct kj_send_batch *batch = acc->closed.first != NULL ? acc->closed.first : acc->open;
    if (batch != NULL && batch->writer.count > 0 && batch->waiters == 0 &&
        (oldest->acc == NULL || batch->created_ns < oldest->created_ns)) {
        oldest->acc = acc;
        oldest->created_ns = batch->created_ns;
    }
    kj_lock_release(&acc->lock);
}

/* kaja.buffer.full=drop.oldest. False: nothing is left that could be dropped. */
static bool drop_oldest(struct kj_producer_client *producer)
{
    struct oldest oldest = {.acc = NULL};
    kj_producer_topics_each(&producer->topics, look_for_oldest, &oldest);
    if (oldest.acc == NULL)
        return false;
    /* If it is gone by now, its memory is there all the same, or soon. */
    (void)kj_sender_drop(&producer->sender, oldest.acc, oldest.created_ns);
    return true;
}

static void drain_full(struct put *put)
{
    if (put->full != NULL)
        kj_sender_drain(&put->producer->sender, put->full, false);
    put->full = NULL;
}

enum { DROP_LOOK_NS = 1000000 };

static int interrupted(void)
{
    return kj_err(KAJA_ERR_INTERRUPTED, "kaja_producer_wakeup() was called");
}

static bool stop_waiting(void *arg, int64_t *look_ns)
{
    const struct put *put = arg;
    struct kj_sender *sender = &put->producer->sender;
    *look_ns = kj_sender_look_ns(sender, *look_ns);
    return kj_sender_woken(sender, put->since);
}

/* Waits for memory: what is open must move, wherever it is. */
static int wait_for_memory(struct put *put, size_t size, int64_t deadline, uint8_t **ret_memory)
{
    struct kj_sender *sender = &put->producer->sender;
    kj_sender_want_memory(sender, true);
    int err;
    if (sender->has_worker) {
        err = kj_buffer_pool_take(&sender->pool, size, deadline, stop_waiting, put, ret_memory);
    } else {
        int64_t now;
        do {
            int64_t when = kj_sender_work(sender);
            err = kj_buffer_pool_take(&sender->pool, size, when < deadline ? when : deadline,
                                      stop_waiting, put, ret_memory);
            now = kj_mono_ns(sender->clock);
        } while (err == KAJA_ERR_BUFFER_EXHAUSTED && now < deadline &&
                 !kj_sender_woken(sender, put->since));
    }
    kj_sender_want_memory(sender, false);
    return err != 0 && kj_sender_woken(sender, put->since) ? interrupted() : err;
}

/* Nothing may be held. */
static int get_memory(struct put *put, size_t size, uint8_t **ret_memory)
{
    struct kj_sender *sender = &put->producer->sender;
    bool full;
    uint8_t *memory;
    while ((memory = kj_buffer_pool_try(&sender->pool, size, &full)) == NULL) {
        if (!full)
            return kj_err_oom("a batch");
        if (put->full != NULL) {
            drain_full(put); /* may give some back */
            continue;
        }
        if (sender->options.buffer_full == KJ_BUFFER_FULL_FAIL)
            return kj_err(KAJA_ERR_QUEUE_FULL, "%zu of buffer.memory's %zu bytes are in use",
                          kj_buffer_pool_used(&sender->pool), sender->pool.total);
        int64_t deadline = put_deadline(put);
        if (sender->options.buffer_full == KJ_BUFFER_FULL_DROP_OLDEST) {
            if (drop_oldest(put->producer))
                continue;
            /* All of it is just being appended or flushed: some of that may come back. */
            int64_t soon = kj_mono_ns(sender->clock) + DROP_LOOK_NS;
            if (soon < deadline) {
                int err = wait_for_memory(put, size, soon, ret_memory);
                if (err == 0 || err == KAJA_ERR_INTERRUPTED)
                    return err;
                continue;
            }
        }
        return wait_for_memory(put, size, deadline, ret_memory);
    }
    *ret_memory = memory;
    return 0;
}

/* --- a new batch --- */

/* Memory for a new batch. */
struct room {
    uint8_t *memory; /* NULL once a batch has it */
    size_t size;
    size_t alone; /* bytes of a batch of this record alone */
};

/* Makes the new open batch of put->acc and puts the record into it. Lock held. */
static void begin_batch(struct put *put, struct kj_send_batch *batch, const struct room *room)
{
    struct kj_sender *sender = &put->producer->sender;
    struct kj_accumulator *acc = put->acc;
    /* batch.size, but never more than the log takes; a record that is larger has a batch alone. */
    size_t limit = sender->options.batch_bytes;
    if (acc->message_bytes_max < limit)
        limit = acc->message_bytes_max;
    bool single = room->alone > limit;
    batch->memory = room->memory;
    batch->size = room->size;
    batch->topic = acc->topic;
    kj_topic_hold(acc->topic);
    batch->partition = acc->partition;
    /* compression.type of the topic goes before the producer's; the same codec keeps the producer's
     * level. */
    bool topics = acc->codec >= 0 && acc->codec != sender->options.codec;
    batch->codec = topics ? acc->codec : sender->options.codec;
    batch->level = topics ? acc->level : sender->options.level;
    batch->created_ns = kj_mono_ns(sender->clock);
    batch->number = KJ_SEQUENCE_NONE;
    batch->retries = 0;
    batch->payload_bytes = 0;
    batch->counted = false;
    batch->reporting = false;
    batch->error = 0;
    batch->base_offset = -1;
    batch->append_time = -1;
    batch->report_count = 0;
    kj_batch_writer_init(&batch->writer, room->memory,
                         single || room->size < limit ? room->size : limit);
    bool fits = append_open(put, batch);
    KJ_ASSERT(fits);
    if (single)
        batch->writer.capacity = batch->writer.len;
    kj_accumulator_begin(acc, batch);
    kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_BUFFERED, room->size);
    /* A send appends by itself at once. */
    if (!put->wait)
        put->poke = kj_sender_list(sender, acc);
}

static void close_full(struct put *put)
{
    const struct kj_send_batch *batch = put->acc->open;
    if (batch == NULL)
        return;
    size_t gather = kj_sender_gather(&put->producer->sender, batch->size);
    kj_accumulator_close_open(put->acc);
    /* A few are appended in one go; the worker does it if they stop coming. */
    if (put->acc->closed.count >= gather)
        put->full = put->acc;
}

/* Puts the record into the open batch, if somebody was quicker in making one, else into a new one.
 * Lock held. */
static int put_into_room(struct put *put, struct room *room)
{
    struct kj_sender *sender = &put->producer->sender;
    struct kj_send_batch *batch = put->acc->open;
    if (batch != NULL) {
        if (put->callback != NULL)
            KJ_TRY(kj_send_batch_reserve_report(batch));
        if (append_open(put, batch))
            return 0;
        close_full(put);
    }
    batch = kj_batch_cache_get(&sender->cache);
    if (batch == NULL)
        return kj_err_oom("a batch");
    batch->report_count = 0;
    int err = put->callback != NULL ? kj_send_batch_reserve_report(batch) : 0;
    if (err != 0) {
        kj_batch_cache_put(&sender->cache, batch);
        return err;
    }
    begin_batch(put, batch, room);
    room->memory = NULL;
    return 0;
}

/* The open batch has no room, or there is none. Lock of put->acc held, and given up. */
static int put_new(struct put *put)
{
    struct kj_sender *sender = &put->producer->sender;
    if (put->callback != NULL &&
        kj_load_relaxed(&sender->reports.pending) >= sender->options.report_max) {
        kj_lock_release(&put->acc->lock);
        return kj_err(KAJA_ERR_QUEUE_FULL, "%zu delivery reports wait for kaja_producer_poll()",
                      sender->options.report_max);
    }
    struct room room = {.alone = bytes_alone(&put->encoded)};
    room.size = kj_buffer_pool_size(&sender->pool, room.alone, kj_sender_share(sender));
    bool full;
    room.memory = kj_buffer_pool_try(&sender->pool, room.size, &full);
    int err = 0;
    if (room.memory == NULL) {
        kj_lock_release(&put->acc->lock);
        KJ_TRY(get_memory(put, room.size, &room.memory));
        err = lock_accumulator(put);
    }
    if (err == 0) {
        err = put_into_room(put, &room);
        kj_lock_release(&put->acc->lock);
    }
    if (room.memory != NULL) {
        kj_buffer_pool_give_memory(&sender->pool, room.memory, room.size);
        kj_buffer_pool_give_allowance(&sender->pool, room.size);
    }
    return err;
}

/* --- produce --- */

/* Puts the record into a batch; with nothing held before and after. */
static int put_record(struct put *put)
{
    struct kj_producer_client *producer = put->producer;
    const struct kaja_record *record = put->record;
    if (__builtin_expect(kj_load_relaxed(&producer->closed) != 0, 0))
        return kj_err(KAJA_ERR_STATE, "the producer is being closed");
    kj_store_release(&producer->begun, 1); /* pairs with kj_producer_set_partitioner() */
    put->encoded = (struct kj_record){
        .timestamp = record->timestamp != KAJA_TIMESTAMP_NOW ? record->timestamp
                                                             : kj_wall_ms(producer->sender.clock),
        .key = record->key,
        .key_bytes = record->key_bytes,
        .value = record->value,
        .value_bytes = record->value_bytes,
        .headers = (const struct kj_header *)(const void *)record->headers,
        .header_count = record->header_count,
    };
    KJ_TRY(check_size(put));
    put->generation = kj_store_catalog_generation(producer->sender.store) + 1;
    KJ_TRY(kj_producer_topic_get(&producer->topics, record->topic, put->generation, &put->topic));
    KJ_TRY(choose_partition(put));
    bool used =
        put->sticky && kj_sticky_used(&put->topic->sticky, record->key_bytes + record->value_bytes,
                                      producer->sender.options.batch_bytes);
    for (;;) {
        KJ_TRY(lock_accumulator(put));
        int err = check_topic(put, put->acc);
        struct kj_send_batch *batch = put->acc->open;
        if (batch != NULL && err == 0 && put->callback != NULL)
            err = kj_send_batch_reserve_report(batch);
        if (__builtin_expect(err != 0, 0)) {
            kj_lock_release(&put->acc->lock);
            return err;
        }
        if (__builtin_expect(batch != NULL && append_open(put, batch), 1)) {
            kj_lock_release(&put->acc->lock);
            return 0;
        }
        close_full(put);
        if (!put->sticky || put->moved || (batch == NULL && !used))
            return put_new(put);
        /* The partition had its batch: the record goes to the next one. */
        kj_lock_release(&put->acc->lock);
        drain_full(put);
        put->moved = true;
        next_sticky(put, (int32_t)kj_load_acquire(&put->topic->count));
    }
}

/* The work that fell to this call: append what it filled, tell the worker. */
static void put_done(struct put *put)
{
    drain_full(put);
    if (put->poke)
        kj_sender_poke(&put->producer->sender, true);
}

/* The way of nearly every record: its topic and partition are known and up to date, nothing is to
 * be checked beyond what is looked at here, and it fits into the open batch. False: nothing
 * happened; put_record() goes the long way. */
static inline bool produce_quickly(struct kj_producer_client *producer,
                                   const struct kaja_record *record,
                                   kaja_delivery_callback *callback, void *arg)
{
    const struct kj_producer_options *options = &producer->sender.options;
    if (record->header_count != 0 || record->timestamp != KAJA_TIMESTAMP_NOW ||
        !surely_fits(producer, record) || kj_load_relaxed(&producer->closed) != 0)
        return false;
    uint64_t generation = kj_store_catalog_generation(producer->sender.store) + 1;
    struct kj_producer_topic *topic = producer->topics.cache[kj_topic_cache_place(record->topic)];
    if (topic == NULL || kj_load_acquire(&topic->generation) < generation ||
        strcmp(topic->name, record->topic) != 0)
        return false;
    int32_t count = (int32_t)kj_load_acquire(&topic->count); /* as in choose_partition() */
    int32_t partition = record->partition;
    bool sticky = false;
    if (partition < 0) {
        sticky = record->key == NULL || options->ignore_keys;
        partition = sticky ? kj_sticky_partition(&topic->sticky, count)
                           : kj_partition_for_key(record->key, record->key_bytes, count);
    }
    if (partition < 0 || partition >= count)
        return false;
    kj_accumulator_slot *slots = topic->slots;
    struct kj_accumulator *acc = slots[partition];
    if (acc == NULL)
        return false;
    const struct kj_record encoded = {
        .timestamp = kj_wall_ms(producer->sender.clock),
        .key = record->key,
        .key_bytes = record->key_bytes,
        .value = record->value,
        .value_bytes = record->value_bytes,
    };
    kj_lock_acquire(&acc->lock);
    struct kj_send_batch *batch = acc->open;
    bool done = acc->generation >= generation && batch != NULL &&
                (!acc->compacted || record->key != NULL) &&
                (callback == NULL || batch->report_count < batch->report_capacity) &&
                kj_batch_writer_append(&batch->writer, &encoded);
    if (done) {
        batch->payload_bytes += record->key_bytes + record->value_bytes;
        if (callback != NULL)
            kj_send_batch_report(batch, callback, arg, encoded.timestamp);
    }
    kj_lock_release(&acc->lock);
    if (done && sticky)
        (void)kj_sticky_used(&topic->sticky, record->key_bytes + record->value_bytes, 0);
    return done;
}

int kj_producer_set_partitioner(struct kj_producer_client *producer, kaja_partitioner *choose,
                                void *arg)
{
    if (kj_load_acquire(&producer->begun) != 0)
        return kj_err(KAJA_ERR_STATE, "the partitioner is to be set before the first record");
    producer->choose = choose;
    producer->choose_arg = arg;
    producer->chooses = choose != NULL || producer->sender.options.partitioner != 0;
    return 0;
}

/* The record that names no partition, with one named by the application or the partitioner. Chosen
 * here once, whatever way the record then takes. */
static int choose_first(struct kj_producer_client *producer, const struct kaja_record **record,
                        struct kaja_record *chosen)
{
    if ((*record)->partition >= 0)
        return 0;
    struct kj_producer_topic *topic;
    uint64_t generation = kj_store_catalog_generation(producer->sender.store) + 1;
    KJ_TRY(kj_producer_topic_get(&producer->topics, (*record)->topic, generation, &topic));
    /* As in choose_partition(). */
    int32_t count = (int32_t)kj_load_acquire(&topic->count);
    *chosen = **record;
    if (producer->choose != NULL)
        chosen->partition = producer->choose(producer->choose_arg, *record, count);
    else
        chosen->partition =
            kj_partitioner_choose(producer->sender.options.partitioner, &topic->sticky,
                                  chosen->key, chosen->key_bytes, count);
    if (chosen->partition < -1)
        return kj_err(KAJA_ERR_UNKNOWN_PARTITION, "the partitioner chose %d of %d partitions of %s",
                      chosen->partition, count, chosen->topic);
    *record = chosen;
    return 0;
}

int kj_producer_produce(struct kj_producer_client *producer, const struct kaja_record *record,
                        kaja_delivery_callback *callback, void *arg)
{
    struct kaja_record chosen;
    if (__builtin_expect(producer->chooses, 0))
        KJ_TRY(choose_first(producer, &record, &chosen));
    if (__builtin_expect(produce_quickly(producer, record, callback, arg), 1))
        return 0;
    struct put put = {
        .producer = producer,
        .record = record,
        .callback = callback,
        .arg = arg,
        .timeout_ms = -1,
        .since = kj_load_acquire(&producer->sender.wakeups_heeded),
    };
    int err = put_record(&put);
    put_done(&put);
    return err;
}

/* --- send --- */

/* Goes on with the work for put->batch as far as this thread can, else sleeps. Lock held
 * throughout, but for the work. */
static void send_step(struct kj_sender *sender, struct put *put, int64_t deadline_ns)
{
    struct kj_accumulator *acc = put->acc;
    struct kj_send_batch *batch = put->batch;
    int64_t now = kj_mono_ns(sender->clock);
    int64_t until = deadline_ns;
    if (batch->state == KJ_SEND_APPENDED) {
        if (!acc->flushing && (acc->flush_at_ns <= now || kj_store_gone(sender->store))) {
            kj_sender_flush_one(sender, acc);
            return;
        }
        if (!acc->flushing && acc->flush_at_ns < until)
            until = acc->flush_at_ns;
    } else if (!acc->draining && !acc->flushing) {
        /* While a flush runs, records gather: they ride on the next one in one batch. */
        if (acc->retry_at_ns <= now || kj_store_gone(sender->store)) {
            acc->drain_wanted = true;
            kj_lock_release(&acc->lock);
            kj_sender_drain(sender, acc, true);
            kj_lock_acquire(&acc->lock);
            return;
        }
        if (acc->retry_at_ns < until)
            until = acc->retry_at_ns;
    }
    (void)kj_cond_wait_until(&batch->cond, &acc->lock, kj_sender_look_ns(sender, until));
}

int kj_producer_send(struct kj_producer_client *producer, const struct kaja_record *record,
                     int64_t timeout_ms, struct kaja_metadata *ret_metadata)
{
    struct kj_sender *sender = &producer->sender;
    struct kaja_record chosen;
    if (producer->chooses)
        KJ_TRY(choose_first(producer, &record, &chosen));
    bool wait = sender->options.acks != 0;
    uint64_t since = kj_load_acquire(&sender->wakeups_heeded);
    struct put put = {.producer = producer,
                      .record = record,
                      .timeout_ms = timeout_ms,
                      .wait = wait,
                      .since = since};
    int64_t deadline = timeout_ms > 0 ? kj_deadline_ns(sender->clock, timeout_ms)
                                      : (timeout_ms < 0 ? INT64_MAX : 0);
    int err = put_record(&put);
    put_done(&put);
    KJ_TRY(err);
    struct kaja_metadata metadata = {NULL, put.acc->number, -1, put.encoded.timestamp};
    if (wait) {
        struct kj_accumulator *acc = put.acc;
        struct kj_send_batch *batch = put.batch;
        bool woken = false;
        kj_lock_acquire(&acc->lock);
        while (batch->state != KJ_SEND_DONE &&
               (deadline == INT64_MAX || kj_mono_ns(sender->clock) < deadline) &&
               !(woken = kj_sender_woken(sender, since)))
            send_step(sender, &put, deadline);
        bool done = batch->state == KJ_SEND_DONE;
        if (!done && woken) {
            err = interrupted();
        } else if (!done) {
            err = kj_err_at(kj_err(KAJA_ERR_TIMED_OUT,
                                   "%s-%d: not acknowledged within %lld ms; it may still be",
                                   acc->name, acc->number, (long long)timeout_ms),
                            acc->name, acc->number, -1, -1);
        } else if (batch->error != 0) {
            err = batch->story != NULL ? kj_err_restore(batch->story)
                                       : kj_err(batch->error, "%s-%d", acc->name, acc->number);
        } else {
            metadata.offset = batch->base_offset + put.index;
            if (batch->append_time >= 0)
                metadata.timestamp = batch->append_time;
        }
        bool put_back = kj_sender_unwait(sender, batch);
        kj_lock_release(&acc->lock);
        if (put_back)
            kj_batch_cache_put(&sender->cache, batch);
        if (!done)
            kj_sender_poke(sender, false);
    }
    if (err == 0)
        *ret_metadata = metadata;
    return err;
}

/* --- poll, flush, close --- */

/* A worker sees to it that those who sleep on the reports hear of a wakeup at once. */
static int64_t look_until(const struct kj_sender *sender, int64_t until_ns)
{
    return sender->has_worker ? until_ns : kj_sender_look_ns(sender, until_ns);
}

int kj_producer_poll(struct kj_producer_client *producer, int64_t timeout_ms, size_t *ret_count)
{
    struct kj_sender *sender = &producer->sender;
    size_t count = 0;
    bool woken = false;
    if (!kj_reports_inside()) {
        uint64_t since = kj_load_acquire(&sender->wakeups_heeded);
        int64_t when = sender->has_worker ? INT64_MAX : kj_sender_work(sender);
        count = kj_reports_serve(&sender->reports);
        if (count == 0 && timeout_ms != 0) {
            int64_t deadline = kj_deadline_ns(sender->clock, timeout_ms);
            uint64_t seen = kj_reports_watch(&sender->reports);
            while ((count = kj_reports_serve(&sender->reports)) == 0 &&
                   !kj_store_gone(sender->store) &&
                   (deadline == INT64_MAX || kj_mono_ns(sender->clock) < deadline) &&
                   !(woken = kj_sender_woken(sender, since))) {
                kj_reports_sleep(&sender->reports, seen,
                                 look_until(sender, when < deadline ? when : deadline));
                seen = kj_reports_look(&sender->reports);
                if (!sender->has_worker)
                    when = kj_sender_work(sender);
            }
            kj_reports_unwatch(&sender->reports);
        }
    }
    if (ret_count != NULL)
        *ret_count = count;
    return woken ? interrupted() : 0;
}

int kj_producer_descriptor(struct kj_producer_client *producer, int *ret_fd)
{
    return kj_reports_descriptor(&producer->sender.reports, ret_fd);
}

void kj_producer_wakeup(struct kj_producer_client *producer)
{
    kj_sender_wake(&producer->sender);
}

/* What a flush waits for: accumulators that were not empty, and how far each must come. */
struct target {
    struct kj_accumulator *acc;
    uint64_t done;
};

struct targets {
    struct target *items;
    size_t count, capacity;
    int error;
    struct target few[16];
};

static void add_target(void *arg, struct kj_accumulator *acc)
{
    struct targets *targets = arg;
    kj_lock_acquire(&acc->lock);
    uint64_t begun = acc->begun;
    bool pending = acc->done < begun;
    kj_lock_release(&acc->lock);
    if (!pending || targets->error != 0)
        return;
    if (targets->count == targets->capacity) {
        void *items = targets->items != targets->few ? targets->items : NULL;
        size_t capacity = targets->items != targets->few ? targets->capacity : 0;
        targets->error = kj_grow(&items, &capacity, targets->count + 1, sizeof *targets->items);
        if (targets->error != 0)
            return;
        if (targets->items == targets->few)
            memcpy(items, targets->few, sizeof targets->few);
        targets->items = items;
        targets->capacity = capacity;
    }
    targets->items[targets->count++] = (struct target){acc, begun};
}

/* Drops those that are reached; drains the others. The earliest time of a retry to *when. */
static void advance_targets(struct kj_sender *sender, struct targets *targets, int64_t *when)
{
    size_t left = 0;
    for (size_t i = 0; i < targets->count; i++) {
        struct kj_accumulator *acc = targets->items[i].acc;
        kj_lock_acquire(&acc->lock);
        bool done = acc->done >= targets->items[i].done;
        if (!done && !kj_accumulator_empty(acc))
            acc->drain_wanted = true;
        bool empty = kj_accumulator_empty(acc);
        kj_lock_release(&acc->lock);
        if (done)
            continue;
        if (!empty) {
            kj_sender_drain(sender, acc, false);
            kj_lock_acquire(&acc->lock);
            if (acc->retry_at_ns != 0 && acc->retry_at_ns < *when)
                *when = acc->retry_at_ns;
            kj_lock_release(&acc->lock);
        }
        targets->items[left++] = targets->items[i];
    }
    targets->count = left;
}

static int flush_until(struct kj_producer_client *producer, int64_t deadline, bool wakeable)
{
    struct kj_sender *sender = &producer->sender;
    uint64_t since = kj_load_acquire(&sender->wakeups_heeded);
    struct targets targets = {.capacity = sizeof targets.few / sizeof targets.few[0]};
    targets.items = targets.few;
    kj_producer_topics_each(&producer->topics, add_target, &targets);
    int err = targets.error;
    uint64_t seen = kj_reports_watch(&sender->reports);
    bool late = false;
    while (err == 0) {
        int64_t when = deadline;
        advance_targets(sender, &targets, &when);
        int64_t flush_at = kj_sender_flush(sender);
        when = flush_at < when ? flush_at : when;
        advance_targets(sender, &targets, &when);
        uint64_t pushed = kj_reports_pushed(&sender->reports);
        while (kj_reports_serve(&sender->reports) > 0 &&
               !kj_reports_all_served(&sender->reports, pushed))
            ;
        if (targets.count == 0 && kj_reports_all_served(&sender->reports, pushed))
            break;
        if (late) {
            err = kj_err(KAJA_ERR_TIMED_OUT,
                         "%zu partitions still have records that are not acknowledged",
                         targets.count);
            break;
        }
        if (wakeable && kj_sender_woken(sender, since)) {
            err = interrupted();
            break;
        }
        if (targets.count > 0 || !kj_reports_all_served(&sender->reports, pushed))
            kj_reports_sleep(&sender->reports, seen, look_until(sender, when));
        seen = kj_reports_look(&sender->reports);
        late = deadline != INT64_MAX && kj_mono_ns(sender->clock) >= deadline;
    }
    kj_reports_unwatch(&sender->reports);
    if (targets.items != targets.few)
        kj_free(targets.items);
    return err;
}

int kj_producer_flush(struct kj_producer_client *producer, int64_t timeout_ms)
{
    if (kj_reports_inside())
        return kj_err(KAJA_ERR_STATE, "a delivery callback must not flush");
    return flush_until(producer, kj_deadline_ns(producer->sender.clock, timeout_ms), true);
}

/* Some of the accumulators that are not empty. */
struct left {
    struct kj_accumulator *accs[16];
    size_t count;
};

static void note_left(void *arg, struct kj_accumulator *acc)
{
    struct left *left = arg;
    kj_lock_acquire(&acc->lock);
    if (acc->done < acc->begun && left->count < sizeof left->accs / sizeof left->accs[0])
        left->accs[left->count++] = acc;
    kj_lock_release(&acc->lock);
}

/* The id is never used again: the partition need not remember it. */
static void retire_id(void *arg, struct kj_accumulator *acc)
{
    (void)arg;
    if (acc->partition != NULL && acc->sequence.producer_id >= 0)
        kj_log_forget_producer(kj_partition_log(acc->partition), acc->sequence.producer_id);
}

/* Nothing works for the producer any more. True if records were left. */
static bool fail_left(struct kj_producer_client *producer)
{
    bool any = false;
    for (;;) {
        struct left left = {.count = 0};
        kj_producer_topics_each(&producer->topics, note_left, &left);
        if (left.count == 0)
            return any;
        any = true;
        kj_err(KAJA_ERR_DESTROYED, "the producer was closed before the record was acknowledged");
        for (size_t i = 0; i < left.count; i++)
            kj_sender_fail_all(&producer->sender, left.accs[i], KAJA_ERR_DESTROYED);
    }
}

int kj_producer_close(struct kj_producer_client *producer, int64_t timeout_ms)
{
    struct kj_sender *sender = &producer->sender;
    if (kj_reports_inside())
        return kj_err(KAJA_ERR_STATE, "a delivery callback must not close its producer");
    kj_store_release(&producer->closed, 1);
    if (timeout_ms != 0)
        (void)flush_until(producer, kj_deadline_ns(sender->clock, timeout_ms), false);
    kj_sender_stop(sender);
    bool failed = fail_left(producer);
    while (kj_reports_serve(&sender->reports) > 0)
        ;
    kj_producer_topics_each(&producer->topics, retire_id, NULL);
    kj_producer_topics_destroy(&producer->topics);
    kj_sender_destroy(sender);
    kj_free(producer);
    return failed ? kj_err(KAJA_ERR_TIMED_OUT,
                           "records were left when the producer was closed: they failed")
                  : 0;
}
