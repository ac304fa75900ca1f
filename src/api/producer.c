/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/producer.c - kaja/producer.h: checks arguments, then calls down.
 */
#include "api/conf.h"
#include "api/handles.h"
#include "api/sized.h"
#include "base/alloc.h"
#include "base/murmur2.h"
#include "client/producer.h"
#include "record/record.h"

#include <assert.h>

struct kaja_producer {
    uint32_t magic;
    int32_t headers_max;
    struct kaja_store *store;
    struct kj_producer_client *client;
};

/* A header goes down as it is. */
static_assert(sizeof(struct kaja_header) == sizeof(struct kj_header), "headers");
static_assert(offsetof(struct kaja_header, key) == offsetof(struct kj_header, key), "headers");
static_assert(offsetof(struct kaja_header, key_bytes) == offsetof(struct kj_header, key_bytes),
              "headers");
static_assert(offsetof(struct kaja_header, value) == offsetof(struct kj_header, value), "headers");
static_assert(offsetof(struct kaja_header, value_bytes) == offsetof(struct kj_header, value_bytes),
              "headers");

int kaja_producer_open(struct kaja_store *store, const struct kaja_conf *conf,
                       struct kaja_producer **ret_producer)
{
    if (ret_producer == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_producer_open: ret_producer is NULL");
    KJ_TRY(kj_handle_store(store));
    KJ_TRY(kj_conf_check(conf));
    struct kj_producer_options options;
    KJ_TRY(kj_conf_producer_options(conf, &options));
    struct kaja_producer *producer = kj_alloc_zero(1, sizeof *producer);
    if (producer == NULL)
        return kj_err_oom("a producer");
    int err = kj_producer_new(store->store, &options, &producer->client);
    if (err != 0) {
        kj_free(producer);
        return err;
    }
    producer->magic = KJ_MAGIC_PRODUCER;
    producer->headers_max = options.record_headers_max;
    producer->store = store;
    kj_handle_client_opened(store);
    *ret_producer = producer;
    return 0;
}

static int check(const struct kaja_producer *producer)
{
    KJ_TRY(kj_handle_check(producer, KJ_MAGIC_PRODUCER, "producer"));
    return kj_store_check(producer->store->store);
}

/* For what ends records, or tells of their end: that goes on when the directory is gone. */
static int check_open(const struct kaja_producer *producer)
{
    KJ_TRY(kj_handle_check(producer, KJ_MAGIC_PRODUCER, "producer"));
    return kj_store_check_forked(producer->store->store);
}

static int bad(const char *what)
{
    return kj_err(KAJA_ERR_INVALID_ARG, "the record's %s", what);
}

static int check_headers(const struct kaja_producer *producer, const struct kaja_record *record)
{
    if (record->headers == NULL)
        return bad("headers are NULL, but its header_count is not 0");
    if (record->header_count > (size_t)producer->headers_max)
        return kj_err(KAJA_ERR_INVALID_ARG,
                      "the record has %zu headers, kaja.record.headers.max is %d",
                      record->header_count, producer->headers_max);
    for (size_t i = 0; i < record->header_count; i++) {
        const struct kaja_header *header = &record->headers[i];
        if (header->key == NULL)
            return bad("header has a NULL key");
        if (header->value == NULL && header->value_bytes != 0)
            return bad("header has a NULL value of more than 0 bytes");
    }
    return 0;
}

/* A record of a program that was compiled with another release. */
static __attribute__((noinline)) int copy_record(const struct kaja_record *given,
                                                 struct kaja_record *known)
{
    static const struct kj_sized kind = {
        "record", "KAJA_RECORD_INIT",
        offsetof(struct kaja_record, header_count) + sizeof(size_t), /* 0.1 */
        sizeof(struct kaja_record)};
    *known = (struct kaja_record)KAJA_RECORD_INIT;
    return kj_sized_copy(&kind, given, known);
}

/* *given becomes copy if the program was compiled with another release. */
static inline int check_record(const struct kaja_producer *producer,
                               const struct kaja_record **given, struct kaja_record *copy)
{
    if (__builtin_expect(*given == NULL, 0))
        return kj_err(KAJA_ERR_INVALID_ARG, "the record is NULL");
    if (__builtin_expect((*given)->size != sizeof **given, 0)) {
        KJ_TRY(copy_record(*given, copy));
        *given = copy;
    }
    const struct kaja_record *record = *given;
    if (__builtin_expect(record->topic == NULL, 0))
        return bad("topic is NULL");
    if (__builtin_expect(record->partition < KAJA_PARTITION_ANY, 0))
        return bad("partition is negative");
    if (__builtin_expect(record->timestamp < KAJA_TIMESTAMP_NOW, 0))
        return bad("timestamp is negative");
    if (__builtin_expect((record->key == NULL && record->key_bytes != 0) ||
                             (record->value == NULL && record->value_bytes != 0),
                         0))
        return bad("key or value is NULL, but has more than 0 bytes");
    if (__builtin_expect(record->header_count != 0, 0))
        return check_headers(producer, record);
    return 0;
}

int kaja_producer_produce(struct kaja_producer *producer, const struct kaja_record *record,
                          kaja_delivery_callback *callback, void *arg)
{
    struct kaja_record copy;
    KJ_TRY(check(producer));
    KJ_TRY(check_record(producer, &record, &copy));
    return kj_producer_produce(producer->client, record, callback, arg);
}

int kaja_producer_set_partitioner(struct kaja_producer *producer, kaja_partitioner *partitioner,
                                  void *arg)
{
    KJ_TRY(check(producer));
    return kj_producer_set_partitioner(producer->client, partitioner, arg);
}

int kaja_producer_send(struct kaja_producer *producer, const struct kaja_record *record,
                       int64_t timeout_ms, struct kaja_metadata *ret_metadata)
{
    struct kaja_metadata unwanted;
    struct kaja_record copy;
    KJ_TRY(check(producer));
    KJ_TRY(check_record(producer, &record, &copy));
    return kj_producer_send(producer->client, record, timeout_ms,
                            ret_metadata != NULL ? ret_metadata : &unwanted);
}

int kaja_producer_poll(struct kaja_producer *producer, int64_t timeout_ms, size_t *ret_count)
{
    KJ_TRY(check_open(producer));
    size_t unwanted;
    ret_count = ret_count != NULL ? ret_count : &unwanted;
    int err = kj_producer_poll(producer->client, timeout_ms, ret_count);
    kj_handle_serve_events(producer->store);
    if (err != 0)
        return err;
    return *ret_count > 0 ? 0 : kj_store_check(producer->store->store);
}

int kaja_producer_fd(struct kaja_producer *producer, int *ret_fd)
{
    KJ_TRY(check(producer));
    if (ret_fd == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_producer_fd: ret_fd is NULL");
    return kj_producer_descriptor(producer->client, ret_fd);
}

void kaja_producer_wakeup(struct kaja_producer *producer)
{
    /* In a signal handler: no story may be told. */
    if (producer != NULL && producer->magic == KJ_MAGIC_PRODUCER)
        kj_producer_wakeup(producer->client);
}

int kaja_producer_flush(struct kaja_producer *producer, int64_t timeout_ms)
{
    KJ_TRY(check_open(producer));
    int err = kj_producer_flush(producer->client, timeout_ms);
    kj_handle_serve_events(producer->store);
    return err != 0 ? err : kj_store_check(producer->store->store);
}

int kaja_producer_close(struct kaja_producer *producer, int64_t timeout_ms)
{
    if (producer == NULL)
        return 0;
    KJ_TRY(check_open(producer));
    int err = kj_producer_close(producer->client, timeout_ms);
    if (err == KAJA_ERR_STATE)
        return err;
    struct kaja_store *store = producer->store;
    producer->magic = KJ_MAGIC_CLOSED;
    kj_free(producer);
    kj_handle_client_closed(store);
    kj_handle_serve_events(store);
    return err;
}

int32_t kaja_partition_for_key(const void *key, size_t key_bytes, int32_t count)
{
    if (count <= 0)
        return 0;
    return kj_partition_for_key(key != NULL ? key : "", key != NULL ? key_bytes : 0, count);
}

int32_t kaja_murmur2(const void *key, size_t key_bytes)
{
    return kj_murmur2(key != NULL ? key : "", key != NULL ? key_bytes : 0);
}
