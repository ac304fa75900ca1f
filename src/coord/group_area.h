/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group_area.h - where a group's live state lies in the control file.
 *
 *   root    the first area, 0: none; a new one is put in front by a cas
 *   area    KJ_AREA_WORDS words, never taken away:
 *             0 next      1 partition of __consumer_offsets + 1
 *             2 XXH3 of the group id
 *             3 state     sequence << 25 | idle << 24 | words of the blob; 0: there is none
 *             4, 5 first word of half 0 and 1     6, 7 how many words each has
 *             8 first block of slots
 *   slots   blocks of KJ_AREA_BLOCK_WORDS words: 0 next block, then a word for each slot, in which
 *           a member stores the time of its last heartbeat (CLOCK_MONOTONIC ms). The lock that goes
 *           with the word is held by the process of the member: its live byte.
 *
 * The blob lies in half sequence & 1. A new one is written into the other half and published by one
 * release store of the state word: a death in between leaves the old one whole. Who reads without
 * the lock looks at the state word before and after.
 *
 * An area belongs to one partition for good and so is always changed under the same append lock;
 * an idle one (a group without members, whose last record is written), or one whose members are all
 * dead, is given to another group.
 * Halves only grow; what they leave behind is at most what they have.
 */
#ifndef KJ_COORD_GROUP_AREA_H
#define KJ_COORD_GROUP_AREA_H

#include "record/batch_writer.h"
#include "store/scratch.h"

enum { KJ_AREA_WORDS = 16, KJ_AREA_BLOCK_WORDS = 64, KJ_AREA_BLOB_MAX = (1 << 24) - 1 };

struct kj_area {
    kj_word word; /* 0: none */
};

uint64_t kj_area_hash(const char *group_id);
/* The state word, one load; differs whenever the blob does. */
uint64_t kj_area_state(struct kj_store *store, struct kj_area area);
/* Any thread, no lock. partition -1: any. ret_area->word 0: there is none. DAMAGED. */
int kj_area_find(struct kj_store *store, int32_t partition, uint64_t hash,
                 struct kj_area *ret_area);
/* Is nobody in there any more? */
typedef bool kj_area_dead_fn(void *arg, struct kj_area area);
/* Finds it, or takes an idle one, or one that is dead (some are asked), or a new one. The group's
 * lock is held. DISK_FULL, DAMAGED. */
int kj_area_claim(struct kj_store *store, int32_t partition, uint64_t hash, kj_area_dead_fn *dead,
                  void *arg, struct kj_area *ret_area);
/* A copy of the blob (len 0: there is none) and the state word it belongs to. No lock needed.
 * DAMAGED; OUT_OF_MEMORY. */
int kj_area_read(struct kj_store *store, struct kj_area area, struct kj_buffer *blob,
                 uint64_t *ret_state);
/* Publishes another. The group's lock is held. DISK_FULL. */
int kj_area_write(struct kj_store *store, struct kj_area area, const struct kj_buffer *blob,
                  bool idle);
/* Walks the areas; ret_next->word 0: that was the last. ret_partition: -1 where it is not known. */
int kj_area_next(struct kj_store *store, struct kj_area area, struct kj_area *ret_next,
                 int32_t *ret_partition);

/* The slot behind `after` (0: the first); 0: there are no more. */
int kj_area_next_slot(struct kj_store *store, struct kj_area area, kj_word after,
                      kj_word *ret_slot);
/* Another block of them. The group's lock is held. */
int kj_area_more_slots(struct kj_store *store, struct kj_area area, kj_word *ret_first);
/* True if it can be the word of a slot: it may be touched. */
bool kj_area_slot_ok(struct kj_store *store, uint32_t slot);

#endif
