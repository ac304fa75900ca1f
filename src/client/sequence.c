/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/sequence.h"

int64_t kj_producer_id_draw(const struct kj_clock *clock)
{
    uint64_t bits;
    clock->random(clock->arg, &bits, sizeof bits);
    return (int64_t)(bits >> 2);
}

void kj_sequence_take(struct kj_sequence *sequence, int32_t count, struct kj_sequence *of)
{
    if (sequence->producer_id < 0 ||
        (of->producer_id == sequence->producer_id && of->epoch == sequence->epoch))
        return;
    *of = *sequence;
    /* After 2^31 - 1 comes 0. */
    sequence->next = (int32_t)(((uint32_t)sequence->next + (uint32_t)count) & INT32_MAX);
}

void kj_sequence_restart(struct kj_sequence *sequence, const struct kj_clock *clock)
{
    if (sequence->producer_id < 0)
        return;
    if (sequence->epoch == INT16_MAX) {
        sequence->producer_id = kj_producer_id_draw(clock);
        sequence->epoch = -1;
    }
    sequence->epoch++;
    sequence->next = 0;
}
