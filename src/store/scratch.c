/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/scratch.h"

#include "store/internal.h"

struct kj_shared *kj_scratch_shared(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    return session->attached ? session->shared : NULL;
}

kj_word kj_scratch_root(void)
{
    return KJ_CONTROL_GROUPS;
}

int kj_scratch_give(struct kj_store *store, uint32_t words, kj_word *ret_first)
{
    return kj_control_give(kj_shared_of(store), words, ret_first);
}

int kj_scratch_reach(struct kj_store *store, uint64_t first, uint64_t count)
{
    struct kj_shared *shared = kj_shared_of(store);
    if (first < KJ_CONTROL_WORDS || first > UINT32_MAX || count > UINT32_MAX ||
        first + count > kj_shared_load(shared, KJ_CONTROL_NEXT) || first + count > UINT32_MAX)
        return kj_err(KAJA_ERR_DAMAGED, KJ_CONTROL_NAME " is damaged (a group's place): close all "
                                        "handles, the next one to open builds it anew");
    int os = kj_shared_reach(shared, (uint32_t)(first + count));
    return os == 0 ? 0 : kj_err_os(os, "mapping " KJ_CONTROL_NAME);
}

uint64_t kj_scratch_lock(kj_word word)
{
    return kj_word_lock(word);
}
