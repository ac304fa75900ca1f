/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/control.h - where things stand in the control file, an array of 64-bit words (os/shared.h).
 *
 *   words     what
 *   0  .. 15  header
 *   16 .. 31  a word per housekeeping task: when it last ran, CLOCK_MONOTONIC ns
 *   64 .. 575 64 words to sleep on for records, each in a cache line of its own
 *   576 .. 1087  64 words to sleep on for news of a consumer group, likewise
 *   1088 ..   KJ_SLOT_BLOCKS_MAX words: where each block of KJ_BLOCK_SLOTS slots begins, 0: not
 * made
 *   ..        given out from KJ_CONTROL_NEXT on, never taken back: blocks of slots (log/slot.h),
 * and what later rooms need
 *
 * Everything is built by the first opener and only added to while anybody is present. The words
 * HEADER, BOOT and READY are looked at before anything else is believed.
 */
#ifndef KJ_STORE_CONTROL_H
#define KJ_STORE_CONTROL_H

#include "log/slot.h"
#include "os/io.h"
#include "os/shared.h"

#define KJ_CONTROL_NAME "kaja.control"
#define KJ_LOCK_NAME "kaja.lock"

enum { KJ_CONTROL_VERSION = 3 }; /* 2: groups; 3: KJ_SLOT_CLEANED, SOUND */

enum kj_control_word {
    KJ_CONTROL_HEADER = 0,      /* kj_control_header() */
    KJ_CONTROL_BOOT = 1,        /* the kernel's boot id */
    KJ_CONTROL_READY = 2,       /* 1: recovery is through */
    KJ_CONTROL_GENERATION = 3,  /* of the catalog; stored after its file was replaced */
    KJ_CONTROL_SLOTS = 4,       /* slots that were made */
    KJ_CONTROL_NEXT = 5,        /* first word not given out; raised by cas */
    KJ_CONTROL_HANDLES_TOP = 6, /* handle numbers below were given at some time */
    KJ_CONTROL_UNCLEAN = 7, /* partitions that could not be recovered: no clean marker at the end */
    KJ_CONTROL_RECOVERED = 8, /* partitions that were */
    KJ_CONTROL_LOG_BYTES = 9, /* bytes appended less bytes deleted, two's complement */
    KJ_CONTROL_CATALOG_WAITERS = 10,
    KJ_CONTROL_CHECKPOINTS = 11, /* 11 .. 13: XXH3 of each checkpoint's content as last written */
    KJ_CONTROL_GROUPS = 14,      /* coord/: its first group area, 0: none */
    KJ_CONTROL_SOUND = 15,       /* 1: no end fell in a power cut, or what points behind it was seen to */
    KJ_CONTROL_TASKS = 16,
    KJ_CONTROL_WAKE = 64,
    KJ_CONTROL_GROUP_WAKE = 576,
    KJ_CONTROL_BLOCKS = 1088,
};

enum {
    KJ_WAKE_WORDS = 64,
    KJ_WAKE_STRIDE = 8,
    KJ_BLOCK_SLOTS = 64,
    KJ_SLOT_BLOCKS_MAX = 4096,
    KJ_SLOTS_MAX = KJ_BLOCK_SLOTS * KJ_SLOT_BLOCKS_MAX, /* 262,144 partitions */
    KJ_BLOCK_WORDS = KJ_BLOCK_SLOTS * KJ_SLOT_WORDS,
    KJ_CONTROL_WORDS = KJ_CONTROL_BLOCKS + KJ_SLOT_BLOCKS_MAX
};

/* The word that says whose file this is and how it is laid out. A change of any word's meaning, in
 * this file or in log/slot.h, is a new version. */
static inline uint64_t kj_control_header(void)
{
    return (uint64_t)0x6b616a61 << 32 | (uint64_t)KJ_CONTROL_VERSION << 16 | KJ_SLOT_WORDS;
}

static inline kj_word kj_control_wake_word(uint32_t slot_number)
{
    return KJ_CONTROL_WAKE + KJ_WAKE_STRIDE * (slot_number % KJ_WAKE_WORDS);
}

static inline kj_word kj_control_group_wake_word(uint32_t hash)
{
    return KJ_CONTROL_GROUP_WAKE + KJ_WAKE_STRIDE * (hash % KJ_WAKE_WORDS);
}

/* A new control file with slots made up to slot_count; the caller is alone. */
int kj_control_build(struct kj_shared *shared, struct kj_io *io, uint32_t slot_count);
/* Looks at what kj_shared_attach() mapped. LAYOUT_MISMATCH, DAMAGED. */
int kj_control_check(struct kj_shared *shared);
/* Makes slots up to slot_count. Catalog lock held, or alone. DISK_FULL. */
int kj_control_reach(struct kj_shared *shared, uint32_t slot_count);
/* First word of a slot that was made; its words are mapped afterwards. DAMAGED. */
int kj_control_slot(struct kj_shared *shared, uint32_t number, kj_word *ret_slot);
/* Gives out words for good, zeroed. Needs no lock. DISK_FULL, DAMAGED. */
int kj_control_give(struct kj_shared *shared, uint32_t words, kj_word *ret_first);

#endif
