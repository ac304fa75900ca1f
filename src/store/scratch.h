/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/scratch.h - what coord/ may have of the control file: words given out to it, and the locks
 * that go with words. Loads and stores are os/shared.h's. Like everything in there it is scratch,
 * gone when the last handle closes, and input: nothing of it is believed unchecked.
 */
#ifndef KJ_STORE_SCRATCH_H
#define KJ_STORE_SCRATCH_H

#include "os/shared.h"
#include "store/store.h"

/* The words of the directory as this handle sees them; NULL: a read-only handle while nobody has it
 * open. Stays valid until the store is closed, but a read-only handle that follows a new control
 * file gets another one. */
struct kj_shared *kj_scratch_shared(struct kj_store *store);
/* The word that is coord's own from the beginning; 0 in a new control file. */
kj_word kj_scratch_root(void);
/* Gives out words for good, zeroed. No lock needed. DISK_FULL, DAMAGED. */
int kj_scratch_give(struct kj_store *store, uint32_t words, kj_word *ret_first);
/* Makes words [first, first + count) usable that another handle was given. DAMAGED if they cannot
 * have been. */
int kj_scratch_reach(struct kj_store *store, uint64_t first, uint64_t count);
/* The lock that goes with a word; any that was given out. */
uint64_t kj_scratch_lock(kj_word word);

#endif
