/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/consumer.c - kaja/consumer.h: checks arguments, then calls down.
 */
#include "api/consumer.h"
#include "api/conf.h"
#include "base/alloc.h"
#include "client/fetched.h"

int kaja_consumer_open(struct kaja_store *store, const struct kaja_conf *conf,
                       struct kaja_consumer **ret_consumer)
{
    if (ret_consumer == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_consumer_open: ret_consumer is NULL");
    KJ_TRY(kj_handle_store(store));
    KJ_TRY(kj_conf_check(conf));
    struct kj_consumer_options options;
    KJ_TRY(kj_conf_consumer_options(conf, &options));
    if (!kaja_conf_is_set(conf, "kaja.memory.max"))
        options.memory_bytes_max = (size_t)store->memory_max;
    options.batches_out = &store->batches;
    struct kaja_consumer *consumer = kj_alloc_zero(1, sizeof *consumer);
    if (consumer == NULL)
        return kj_err_oom("a consumer");
    options.groups = store->groups;
    options.offsets = store->offsets;
    int err = kj_consumer_new(store->store, &options, &consumer->client);
    if (err != 0) {
        kj_free(consumer);
        return err;
    }
    consumer->magic = KJ_MAGIC_CONSUMER;
    consumer->store = store;
    kj_handle_client_opened(store);
    *ret_consumer = consumer;
    return 0;
}

static int check(const struct kaja_consumer *consumer)
{
    KJ_TRY(kj_handle_check(consumer, KJ_MAGIC_CONSUMER, "consumer"));
    return kj_store_check(consumer->store->store);
}

static int null_argument(const char *what)
{
    return kj_err(KAJA_ERR_INVALID_ARG, "%s is NULL", what);
}

int kaja_consumer_close(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    if (consumer == NULL)
        return 0;
    KJ_TRY(kj_handle_check(consumer, KJ_MAGIC_CONSUMER, "consumer"));
    KJ_TRY(kj_store_check_forked(consumer->store->store));
    KJ_TRY(kj_consumer_free(consumer->client, timeout_ms));
    struct kaja_store *store = consumer->store;
    consumer->magic = KJ_MAGIC_CLOSED;
    kj_free(consumer);
    kj_handle_client_closed(store);
    return 0;
}

int kaja_consumer_assign(struct kaja_consumer *consumer,
                         const struct kaja_topic_partition *partitions, size_t count)
{
    KJ_TRY(check(consumer));
    if (partitions == NULL && count > 0)
        return null_argument("partitions");
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].topic == NULL || partitions[i].topic[0] == '\0')
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has no topic", i);
        if (partitions[i].partition < 0)
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has partition %d", i,
                          partitions[i].partition);
    }
    return kj_consumer_assign(consumer->client, partitions, count);
}

size_t kaja_consumer_assignment(struct kaja_consumer *consumer,
                                struct kaja_topic_partition *partitions, size_t capacity)
{
    if (check(consumer) != 0)
        return 0;
    return kj_consumer_assignment(consumer->client, partitions, partitions != NULL ? capacity : 0);
}

int kaja_consumer_poll(struct kaja_consumer *consumer, int64_t timeout_ms,
                       struct kaja_batch **ret_batch)
{
    KJ_TRY(check(consumer));
    if (ret_batch == NULL)
        return null_argument("ret_batch");
    int err = kj_consumer_poll(consumer->client, timeout_ms, ret_batch);
    kj_handle_serve_events(consumer->store);
    return err;
}

size_t kaja_batch_count(const struct kaja_batch *batch)
{
    return batch != NULL ? batch->count : 0;
}

int kaja_batch_next(struct kaja_batch *batch, struct kaja_record_view *ret_record)
{
    if (batch == NULL || ret_record == NULL)
        return 0;
    return kj_fetched_next(batch, ret_record);
}

void kaja_batch_rewind(struct kaja_batch *batch)
{
    if (batch == NULL)
        return;
    batch->at = 0;
    batch->run_at = 0;
}

void kaja_batch_release(struct kaja_batch *batch)
{
    if (batch != NULL)
        kj_fetched_release(batch);
}

int kaja_consumer_seek(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                       int64_t offset)
{
    KJ_TRY(check(consumer));
    if (topic == NULL)
        return null_argument("topic");
    if (offset < 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "offset %lld is negative", (long long)offset);
    return kj_consumer_seek(consumer->client, topic, partition, offset);
}

int kaja_consumer_seek_to_beginning(struct kaja_consumer *consumer, const char *topic,
                                    int32_t partition)
{
    KJ_TRY(check(consumer));
    return kj_consumer_seek_to_beginning(consumer->client, topic, partition);
}

int kaja_consumer_seek_to_end(struct kaja_consumer *consumer, const char *topic, int32_t partition)
{
    KJ_TRY(check(consumer));
    return kj_consumer_seek_to_end(consumer->client, topic, partition);
}

int kaja_consumer_seek_to_timestamp(struct kaja_consumer *consumer, const char *topic,
                                    int32_t partition, int64_t timestamp_ms)
{
    KJ_TRY(check(consumer));
    if (topic == NULL)
        return null_argument("topic");
    if (timestamp_ms < 0)
        return kj_err(KAJA_ERR_INVALID_ARG, "timestamp %lld is negative", (long long)timestamp_ms);
    return kj_consumer_seek_to_timestamp(consumer->client, topic, partition, timestamp_ms);
}

int kaja_consumer_position(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                           int64_t *ret_offset)
{
    KJ_TRY(check(consumer));
    if (topic == NULL || ret_offset == NULL)
        return null_argument(topic == NULL ? "topic" : "ret_offset");
    return kj_consumer_position(consumer->client, topic, partition, ret_offset);
}

int kaja_consumer_pause(struct kaja_consumer *consumer, const char *topic, int32_t partition)
{
    KJ_TRY(check(consumer));
    if (topic == NULL)
        return null_argument("topic");
    return kj_consumer_pause(consumer->client, topic, partition, true);
}

int kaja_consumer_resume(struct kaja_consumer *consumer, const char *topic, int32_t partition)
{
    KJ_TRY(check(consumer));
    if (topic == NULL)
        return null_argument("topic");
    return kj_consumer_pause(consumer->client, topic, partition, false);
}

int kaja_consumer_lag(struct kaja_consumer *consumer, const char *topic, int32_t partition,
                      int64_t *ret_count)
{
    KJ_TRY(check(consumer));
    if (topic == NULL || ret_count == NULL)
        return null_argument(topic == NULL ? "topic" : "ret_count");
    return kj_consumer_lag(consumer->client, topic, partition, ret_count);
}

static int check_offsets(const struct kaja_committed_offset *offsets, size_t count)
{
    if (offsets == NULL && count > 0)
        return null_argument("offsets");
    for (size_t i = 0; offsets != NULL && i < count; i++) {
        if (offsets[i].topic == NULL || offsets[i].topic[0] == '\0')
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has no topic", i);
        if (offsets[i].partition < 0 || offsets[i].offset < 0 || offsets[i].leader_epoch < -1)
            return kj_err(KAJA_ERR_INVALID_ARG,
                          "element %zu has partition %d, offset %lld, leader epoch %d", i,
                          offsets[i].partition, (long long)offsets[i].offset,
                          offsets[i].leader_epoch);
    }
    return 0;
}

int kaja_consumer_commit(struct kaja_consumer *consumer,
                         const struct kaja_committed_offset *offsets, size_t count,
                         int64_t timeout_ms)
{
    KJ_TRY(check(consumer));
    KJ_TRY(check_offsets(offsets, count));
    return kj_consumer_commit(consumer->client, offsets, count, timeout_ms);
}

int kaja_consumer_commit_async(struct kaja_consumer *consumer,
                               const struct kaja_committed_offset *offsets, size_t count,
                               kaja_commit_callback *callback, void *arg)
{
    KJ_TRY(check(consumer));
    KJ_TRY(check_offsets(offsets, count));
    return kj_consumer_commit_async(consumer->client, offsets, count, callback, arg);
}

int kaja_consumer_committed(struct kaja_consumer *consumer,
                            const struct kaja_topic_partition *partitions, size_t count,
                            struct kaja_committed_offset *ret_offsets)
{
    KJ_TRY(check(consumer));
    if (count > 0 && (partitions == NULL || ret_offsets == NULL))
        return null_argument(partitions == NULL ? "partitions" : "ret_offsets");
    for (size_t i = 0; i < count; i++)
        if (partitions[i].topic == NULL || partitions[i].partition < 0)
            return kj_err(KAJA_ERR_INVALID_ARG, "element %zu has no topic, or partition %d", i,
                          partitions[i].partition);
    return kj_consumer_committed(consumer->client, partitions, count, ret_offsets);
}

int kaja_consumer_fd(struct kaja_consumer *consumer, int *ret_fd)
{
    KJ_TRY(check(consumer));
    if (ret_fd == NULL)
        return null_argument("ret_fd");
    return kj_consumer_descriptor(consumer->client, ret_fd);
}

void kaja_consumer_wakeup(struct kaja_consumer *consumer)
{
    /* In a signal handler: no story may be told. */
    if (consumer != NULL && consumer->magic == KJ_MAGIC_CONSUMER)
        kj_consumer_wakeup(consumer->client);
}
