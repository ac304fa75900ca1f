/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/retire.c - the end of a partition whose topic was deleted. Once its slot carries no id, every
 * handle that takes the append lock, or looks at kj_log_stale(), finds out.
 */
#include "log/internal.h"

#include <errno.h>

int kj_log_retire(struct kj_log *log)
{
    if (!log->has_slot)
        return 0;
    int64_t deadline = kj_mono_ns(log->env->clock) + log->env->lock_timeout_ns;
    kj_lock_acquire(&log->append_lock);
    /* Not kj_log_lock(): a partition that cannot be loaded can be deleted too. */
    int os = kj_shared_lock(log->env->shared, kj_append_lock(log->slot_number), KJ_LOCK_EXCLUSIVE,
                            log->slot + KJ_SLOT_APPEND_WAITERS, deadline);
    if (os == 0) {
        kj_log_set_word(log, KJ_SLOT_ID_HI, 0);
        kj_log_set_word(log, KJ_SLOT_ID_LO, 0);
        kj_log_set_word(log, KJ_SLOT_STATE, KJ_SLOT_DELETED);
        kj_log_set_word(log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
        kj_shared_unlock(log->env->shared, kj_append_lock(log->slot_number),
                         log->slot + KJ_SLOT_APPEND_WAITERS);
    }
    kj_lock_release(&log->append_lock);
    return os == 0 ? 0
                   : kj_log_lock_error(log, os, "append", KJ_SLOT_OWNER, log->env->lock_timeout_ns);
}
