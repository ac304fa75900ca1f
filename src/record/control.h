/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/control.h - control batches: one record that only the log understands.
 *
 *   key    i16 version 0, i16 type      value  i16 version 0, i32 coordinator epoch
 *
 * A transaction marker is a batch of 78 bytes with attributes 0x30 and the transaction's producer id
 * and epoch. Kafka: ControlRecordType, EndTransactionMarker.
 */
#ifndef KJ_RECORD_CONTROL_H
#define KJ_RECORD_CONTROL_H

#include "record/batch.h"
#include "record/record.h"

enum kj_control_type { KJ_CONTROL_ABORT = 0, KJ_CONTROL_COMMIT = 1 };
enum { KJ_MARKER_BYTES = 78 };

/* Writes a whole sealed marker batch of KJ_MARKER_BYTES at p (base offset 0). */
void kj_marker_encode(uint8_t *p, enum kj_control_type type, int64_t producer_id, int16_t producer_epoch,
                      int32_t coordinator_epoch, int64_t timestamp);

/* Takes a control record apart. Unknown types are returned as they are; coordinator epoch -1 if the
 * value is too short. INVALID_RECORD: key shorter than 4 bytes or version < 0. */
int kj_control_decode(const struct kj_record_view *view, int *ret_type, int32_t *ret_coordinator_epoch);

#endif
