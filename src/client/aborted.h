/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/aborted.h - which batches read_committed leaves out: Kafka's rule, semantics 5. The log
 * names the aborted transactions that touch the piece; in its order each batch adds those that
 * begin at or before its last offset, an ABORT marker takes its producer id out again, and
 * transactional batches of an id that is in are skipped.
 */
#ifndef KJ_CLIENT_ABORTED_H
#define KJ_CLIENT_ABORTED_H

#include "client/subscription.h"

/* Whether the batch, the next one of the assigned partition's piece, is skipped as aborted. Control
 * batches (bytes: the whole batch) are noted; whoever calls skips them anyway. */
int kj_aborted_skip(struct kj_assigned *assigned, const struct kj_batch *batch,
                    const uint8_t *bytes, bool *ret_skip);

#endif
