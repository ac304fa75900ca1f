/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/sequence.h - the numbers that an idempotent producer gives its batches for one partition:
 * a producer id, drawn once; an epoch; and for each record the next sequence number, from 0 on in
 * each epoch. A batch has its number from its first attempt on and keeps it: the log knows by it
 * what it has already, and that nothing is missing in front of it.
 *
 * A batch that failed for good leaves a gap, and what follows would be out of order: the epoch
 * rises, and whatever is appended afterwards is numbered from 0 again.
 *
 * Kafka: TransactionManager, TxnPartitionEntry.
 */
#ifndef KJ_CLIENT_SEQUENCE_H
#define KJ_CLIENT_SEQUENCE_H

#include "os/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a partition: what the next batch gets. Of a batch: what it got. */
struct kj_sequence {
    int64_t producer_id; /* -1: none */
    int16_t epoch;
    int32_t next; /* of a batch: of its first record */
};
#define KJ_SEQUENCE_NONE ((struct kj_sequence){-1, -1, -1})

/* 62 random bits: no counter to be lost, and none that a broker's could collide with. */
int64_t kj_producer_id_draw(const struct kj_clock *clock);

/* The numbers for count records; what was `of` is kept if it is of the present epoch. */
void kj_sequence_take(struct kj_sequence *sequence, int32_t count, struct kj_sequence *of);

/* The next epoch; with a new producer id where this one has had them all. */
void kj_sequence_restart(struct kj_sequence *sequence, const struct kj_clock *clock);

#endif
