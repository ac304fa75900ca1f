/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/validate.c - the checks run in Kafka's order, and the first that fails decides.
 *
 * Stricter than Kafka: a client's offset deltas must be 0, 1, 2 ... in plain batches too (there
 * they are not looked at, and a wrong one would give a record an offset outside its batch), those
 * of internal batches must rise and stay within the batch; an incomplete batch is an error, not
 * silently nothing; the LogAppendTime bit is refused from clients whatever the topic's type.
 */
#include "record/validate.h"

#include "base/err.h"
#include "record/batch_reader.h"

static int check_frame(const uint8_t *p, size_t bytes, const struct kj_validate_options *options,
                       struct kj_batch *ret_batch)
{
    if (bytes < KJ_BATCH_HEADER_BYTES)
        return kj_err(KAJA_ERR_CORRUPT_MESSAGE, "%zu bytes are no whole batch", bytes);
    struct kj_batch batch;
    kj_batch_decode(p, &batch);
    if (batch.magic == 0 || batch.magic == 1)
        return kj_err(KAJA_ERR_UNSUPPORTED_MAGIC, "a batch of magic %d", batch.magic);
    if (batch.magic != KJ_BATCH_MAGIC || batch.length < KJ_BATCH_LENGTH_MIN)
        return kj_err(KAJA_ERR_CORRUPT_MESSAGE, "magic %d, length %d is no batch", batch.magic,
                      batch.length);
    size_t batch_bytes = kj_batch_bytes(&batch);
    if (options->client && batch.base_offset != 0)
        return kj_err(KAJA_ERR_INVALID_RECORD,
                      "a producer's batch has base offset %lld instead of 0",
                      (long long)batch.base_offset);
    if (batch_bytes > options->max_bytes)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE,
                      "a batch of %zu bytes, and max.message.bytes is %zu", batch_bytes,
                      options->max_bytes);
    if (batch_bytes > bytes)
        return kj_err(KAJA_ERR_CORRUPT_MESSAGE, "a batch of %zu bytes in %zu", batch_bytes, bytes);
    if (!kj_batch_crc_ok(p, batch_bytes))
        return kj_err(KAJA_ERR_CORRUPT_MESSAGE, "the checksum of a batch of %zu bytes is wrong",
                      batch_bytes);
    if (batch_bytes < bytes)
        return kj_err(KAJA_ERR_INVALID_RECORD, "%zu bytes behind the batch: one append takes one",
                      bytes - batch_bytes);
    *ret_batch = batch;
    return 0;
}

static int check_client_header(const struct kj_batch *batch)
{
    if (batch->count <= 0 || batch->last_offset_delta != batch->count - 1)
        return kj_err(KAJA_ERR_INVALID_RECORD,
                      "a producer's batch with %d records has last offset %d", batch->count,
                      batch->last_offset_delta);
    if (kj_batch_has(batch, KJ_ATTR_CONTROL))
        return kj_err(KAJA_ERR_INVALID_RECORD, "a producer may not write control batches");
    if (batch->producer_id >= 0 && batch->base_sequence < 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "producer id %lld without a sequence",
                      (long long)batch->producer_id);
    if (kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME))
        return kj_err(KAJA_ERR_INVALID_TIMESTAMP, "a producer may not set LogAppendTime");
    return 0;
}

/* now - before_max <= timestamp <= now + after_max, both inclusive; without overflow. */
static bool in_window(int64_t timestamp, const struct kj_validate_options *options)
{
    int64_t age;
    if (timestamp == -1)
        return true;
    if (timestamp <= options->now_ms)
        return !__builtin_sub_overflow(options->now_ms, timestamp, &age) &&
               age <= options->before_max_ms;
    return !__builtin_sub_overflow(timestamp, options->now_ms, &age) &&
           age <= options->after_max_ms;
}

/* What is wrong with the records one by one. The whole batch fails if one does; a bad timestamp is
 * reported before other faults, wherever it stands. */
struct faults {
    int32_t first_null_key;
    int32_t first_bad_delta;
    int32_t first_bad_timestamp;
    int64_t bad_timestamp;
};

static int report(const struct faults *faults, const struct kj_validate_options *options)
{
    if (faults->first_bad_timestamp >= 0)
        return kj_err(KAJA_ERR_INVALID_TIMESTAMP,
                      "record %d has timestamp %lld, it is now %lld, and the topic takes %lld ms "
                      "before and %lld ms after",
                      faults->first_bad_timestamp, (long long)faults->bad_timestamp,
                      (long long)options->now_ms, (long long)options->before_max_ms,
                      (long long)options->after_max_ms);
    if (faults->first_null_key >= 0)
        return kj_err(KAJA_ERR_INVALID_RECORD,
                      "record %d has no key, which a compacted topic demands",
                      faults->first_null_key);
    if (faults->first_bad_delta >= 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "record %d has a wrong offset delta",
                      faults->first_bad_delta);
    return 0;
}

static int check_records(struct kj_batch_reader *reader, const struct kj_validate_options *options,
                         int64_t *ret_max_timestamp)
{
    const struct kj_batch *batch = &reader->batch;
    const bool check_time =
        !options->log_append_time && !kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME);
    struct faults faults = {-1, -1, -1, 0};
    struct kj_record_view view;
    int64_t max_timestamp = -1;
    int32_t index = 0, last_delta = -1;
    int more;
    for (; (more = kj_batch_reader_next(reader, &view)) > 0; index++) {
        int64_t timestamp = kj_batch_record_timestamp(batch, &view);
        if (timestamp > max_timestamp)
            max_timestamp = timestamp;
        if (check_time && faults.first_bad_timestamp < 0 && !in_window(timestamp, options)) {
            faults.first_bad_timestamp = index;
            faults.bad_timestamp = timestamp;
        }
        if (options->compacted && view.key == NULL && faults.first_null_key < 0)
            faults.first_null_key = index;
        bool delta_ok = options->client ? view.offset_delta == index
                                        : view.offset_delta > last_delta &&
                                              view.offset_delta <= batch->last_offset_delta;
        if (!delta_ok && faults.first_bad_delta < 0)
            faults.first_bad_delta = index;
        last_delta = view.offset_delta;
    }
    if (more < 0)
        return kj_batch_reader_fault(reader);
    KJ_TRY(report(&faults, options));
    *ret_max_timestamp = batch->count > 0 ? max_timestamp : batch->max_timestamp;
    return 0;
}

int kj_batch_validate(const uint8_t *p, size_t bytes, const struct kj_validate_options *options,
                      struct kj_batch *ret_batch, int64_t *ret_max_timestamp)
{
    struct kj_batch batch;
    KJ_TRY(check_frame(p, bytes, options, &batch));
    if (options->client)
        KJ_TRY(check_client_header(&batch));
    else if (batch.last_offset_delta < 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a batch has last offset delta %d",
                      batch.last_offset_delta);
    struct kj_batch_reader reader;
    int64_t max_timestamp = -1;
    KJ_TRY(kj_batch_reader_init(&reader, p, bytes, options->plain, options->plain_max_bytes));
    KJ_TRY(check_records(&reader, options, &max_timestamp));
    *ret_batch = batch;
    *ret_max_timestamp = max_timestamp;
    return 0;
}
