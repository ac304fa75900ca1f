/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/slot.h - what the processes of a directory share about one partition: KJ_SLOT_WORDS words of the
 * control file. All of it is scratch and input: built from the files by whoever comes first, checked
 * by whoever reads it.
 *
 *   line 0  identity          changes under the append lock
 *   line 1  the appending end  END is the only commit point of an append
 *   line 2  hints, copy 0      position and counts that belong to HINT_END; two copies, so that the one
 *   line 3  hints, copy 1      that belongs to END is never the one being written
 *   line 4  the flushing end
 *
 * Who writes what
 *   END, FLUSH_WANTED, INTENT*, hints, line 0: the holder of the append lock.
 *   DURABLE, SYNCED_BASE: the holder of the flush lock. HIGH_WATERMARK: anybody, raised only.
 *   CLEANED: who compacts, raised only, before the first file changes.
 *
 * Order of an append's stores (each a release; a reader that acquires END sees all before it):
 *   INTENT_A.. , INTENT   -> bytes by pwrite -> hints copy -> FLUSH_WANTED -> END -> INTENT = 0
 *
 * High watermark, for whoever asks: load END, then FLUSH_WANTED, then DURABLE; with
 * wanted = min(FLUSH_WANTED, END) it is END if DURABLE >= wanted, else max(HIGH_WATERMARK, DURABLE).
 */
#ifndef KJ_LOG_SLOT_H
#define KJ_LOG_SLOT_H

#include "os/shared.h"

enum kj_slot_word {
    KJ_SLOT_STATE = 0,       /* enum kj_slot_state */
    KJ_SLOT_ID_HI = 1,       /* topic id, 16 bytes */
    KJ_SLOT_ID_LO = 2,
    KJ_SLOT_INCARNATION = 3, /* raised when positions of existing offsets changed (repair, compaction) */
    KJ_SLOT_POISON = 4,      /* 0, or 1 + errno of the flush that failed */
    KJ_SLOT_ACTIVE_BASE = 5, /* base offset of the segment that is appended to */
    KJ_SLOT_LOG_START = 6,
    KJ_SLOT_OWNER = 7,       /* handle number << 32 | pid of the append lock's last taker; informative */

    KJ_SLOT_END = 8,
    KJ_SLOT_FLUSH_WANTED = 9,    /* end of the newest acks=all batch; stored before END */
    KJ_SLOT_HIGH_WATERMARK = 10, /* the last one anybody computed */
    KJ_SLOT_INTENT = 11,         /* enum kj_slot_intent; written last, cleared first */
    KJ_SLOT_INTENT_A = 12,
    KJ_SLOT_INTENT_B = 13,
    KJ_SLOT_APPEND_WAITERS = 14,
    KJ_SLOT_CHANGES = 15, /* raised whenever the set of segment files changed */

    KJ_SLOT_HINTS = 16,   /* two copies of KJ_HINT_WORDS */

    KJ_SLOT_DURABLE = 32,     /* everything below survives a power cut */
    KJ_SLOT_SYNCED_BASE = 33, /* segments below this base are wholly on disk, their names too */
    KJ_SLOT_FLUSH_WAITERS = 34,
    KJ_SLOT_PREPARED_POS = 35, /* pages of the active segment are ready up to here; a hint */
    KJ_SLOT_FLUSHER = 36,      /* as OWNER, of the flush lock */
    KJ_SLOT_LAST_WALL_MS = 37, /* time of the last append */
    KJ_SLOT_RECOVERY_POINT = 38, /* as in the recovery-point checkpoint */
    /* below here compaction may have been, and offsets may be missing; 0: never */
    KJ_SLOT_CLEANED = 39,

    KJ_SLOT_WORDS = 40
};

enum kj_hint_word {
    KJ_HINT_END = 0, /* the END these belong to; written last */
    KJ_HINT_POS = 1, /* byte position of END in the active segment */
    KJ_HINT_INDEX_COUNT = 2,
    KJ_HINT_TIME_COUNT = 3,
    KJ_HINT_TXN_COUNT = 4,
    KJ_HINT_SINCE_INDEX = 5,   /* bytes since the last offset index entry */
    KJ_HINT_MAX_TIMESTAMP = 6, /* greatest of the active segment so far, -1 none */
    KJ_HINT_MAX_TS_OFFSET = 7, /* last offset of the batch that reached it first */
    KJ_HINT_WORDS = 8
};

enum kj_slot_state {
    KJ_SLOT_UNLOADED = 0, /* nobody touched the partition since the control file was built */
    KJ_SLOT_READY = 1,
    KJ_SLOT_DELETED = 2 /* the topic went; the slot is free once everybody noticed */
};

enum kj_slot_intent {
    KJ_INTENT_NONE = 0,
    KJ_INTENT_APPEND = 1,   /* A: base of the segment, B: position the write reaches to */
    KJ_INTENT_ROLL = 2,     /* A: base of the new segment */
    KJ_INTENT_DELETE = 3,   /* A: new log start; segments below it go */
    KJ_INTENT_REPLACE = 4   /* repair or compaction: positions change */
};

/* Numbers of the locks on kaja.lock. Locks of one kind lie side by side: the kernel keeps a handle's
 * neighbouring ranges as one, and looks through all of them at each call (10,000 flush locks taken three
 * apart: 215 us for every lock after; side by side: 1 us). */
enum {
    KJ_LOCK_DOOR = 0,
    KJ_LOCK_PRESENCE = 1,
    KJ_LOCK_CATALOG = 2,
    KJ_LOCK_TASKS = 16,    /* 16 .. 31: one per housekeeping task */
    KJ_LOCK_HANDLES = 1024, /* one byte per live handle, KJ_HANDLES_MAX of them */
    KJ_HANDLES_MAX = 16384,
    KJ_LOCK_SLOTS = 32768, /* three kinds, each KJ_LOCK_KIND_SPAN long */
    KJ_LOCK_KIND_SPAN = 1 << 24
};

static inline uint64_t kj_append_lock(uint32_t slot_number)
{
    return KJ_LOCK_SLOTS + (uint64_t)slot_number;
}

static inline uint64_t kj_flush_lock(uint32_t slot_number)
{
    return KJ_LOCK_SLOTS + KJ_LOCK_KIND_SPAN + (uint64_t)slot_number;
}

/* For upper rooms: a lock of its own for each word that was given out, far away from the others. */
static inline uint64_t kj_word_lock(kj_word word)
{
    return ((uint64_t)1 << 40) + word;
}

/* Held while pages are made ready behind the end, so that a roll does not trim a file that grows. */
static inline uint64_t kj_prepare_lock(uint32_t slot_number)
{
    return KJ_LOCK_SLOTS + 2 * (uint64_t)KJ_LOCK_KIND_SPAN + slot_number;
}

#endif
