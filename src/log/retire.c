/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/retire.c - the end of a partition whose topic was deleted. Once its slot carries no id, every
 * handle that takes the append lock, or looks at kj_log_stale(), finds out.
 */
#include "log/internal.h"

int kj_log_retire(struct kj_log *log)
{
    if (!log->has_slot)
        return 0;
    /* Not kj_log_lock(): a partition that cannot be loaded can be deleted too. */
    KJ_TRY(kj_log_lock_words(log));
    kj_log_set_word(log, KJ_SLOT_ID_HI, 0);
    kj_log_set_word(log, KJ_SLOT_ID_LO, 0);
    kj_log_set_word(log, KJ_SLOT_STATE, KJ_SLOT_DELETED);
    kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
    kj_log_unlock(log);
    return 0;
}
