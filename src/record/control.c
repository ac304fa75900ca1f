/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/control.h"

#include "base/assert.h"
#include "base/err.h"

void kj_marker_encode(uint8_t *p, enum kj_control_type type, int64_t producer_id,
                      int16_t producer_epoch, int32_t coordinator_epoch, int64_t timestamp)
{
    uint8_t key[4], value[6];
    kj_put_be16(key, 0);
    kj_put_be16(key + 2, (uint16_t)type);
    kj_put_be16(value, 0);
    kj_put_be32(value + 2, (uint32_t)coordinator_epoch);
    const struct kj_record record = {.timestamp = timestamp,
                                     .key = key,
                                     .key_bytes = sizeof key,
                                     .value = value,
                                     .value_bytes = sizeof value};
    const uint8_t *end = kj_record_encode(&record, 0, 0, p + KJ_BATCH_HEADER_BYTES);
    KJ_ASSERT(end == p + KJ_MARKER_BYTES);
    const struct kj_batch batch = {
        .length = KJ_MARKER_BYTES - KJ_BATCH_LENGTH_OVERHEAD,
        .epoch = -1,
        .magic = KJ_BATCH_MAGIC,
        .attributes = KJ_ATTR_TRANSACTIONAL | KJ_ATTR_CONTROL,
        .base_timestamp = timestamp,
        .max_timestamp = timestamp,
        .producer_id = producer_id,
        .producer_epoch = producer_epoch,
        .base_sequence = -1,
        .count = 1,
    };
    kj_batch_encode(&batch, p);
    kj_batch_set_crc(p, KJ_MARKER_BYTES);
}

int kj_control_decode(const struct kj_record_view *view, int *ret_type,
                      int32_t *ret_coordinator_epoch)
{
    if (view->key == NULL || view->key_bytes < 4)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a control record with a key of %zu bytes",
                      view->key_bytes);
    int16_t version = kj_get_be16s(view->key);
    if (version < 0)
        return kj_err(KAJA_ERR_INVALID_RECORD, "a control record of version %d", version);
    *ret_type = kj_get_be16s(view->key + 2);
    *ret_coordinator_epoch =
        view->value != NULL && view->value_bytes >= 6 ? kj_get_be32s(view->value + 2) : -1;
    return 0;
}
