/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/control.h"

#include "base/err.h"
#include "log/file_error.h"

#include <errno.h>

static int control_error(int os_errno, const char *what)
{
    return kj_err_os(os_errno, "%s " KJ_CONTROL_NAME, what);
}

static uint32_t blocks_for(uint32_t slot_count)
{
    return slot_count / KJ_BLOCK_SLOTS + (slot_count % KJ_BLOCK_SLOTS != 0);
}

struct fill {
    uint32_t slot_count;
    int err;
};

static void fill_header(struct kj_shared *shared, void *arg)
{
    struct fill *fill = arg;
    kj_shared_store(shared, KJ_CONTROL_BOOT, kj_shared_boot_id());
    kj_shared_store(shared, KJ_CONTROL_NEXT, KJ_CONTROL_WORDS);
    fill->err = kj_control_reach(shared, fill->slot_count);
    kj_shared_store(shared, KJ_CONTROL_HEADER, kj_control_header());
}

int kj_control_build(struct kj_shared *shared, struct kj_io *io, uint32_t slot_count)
{
    struct fill fill = {.slot_count = slot_count};
    uint32_t words = KJ_CONTROL_WORDS + blocks_for(slot_count) * KJ_BLOCK_WORDS;
    int os = kj_shared_build(shared, words, fill_header, &fill);
    if (os != 0) {
        KJ_TRY(kj_file_in_the_way(io, os, KJ_CONTROL_NAME ".new"));
        return kj_file_error(io, os, "making", KJ_CONTROL_NAME);
    }
    return fill.err;
}

static int damaged(const char *what)
{
    return kj_err(
        KAJA_ERR_DAMAGED,
        KJ_CONTROL_NAME
        " is damaged (%s) while other handles use it: close them all, the next one to open "
        "builds it anew",
        what);
}

int kj_control_check(struct kj_shared *shared)
{
    if (kj_shared_words(shared) < KJ_CONTROL_WORDS)
        return damaged("too short");
    uint64_t header = kj_shared_load(shared, KJ_CONTROL_HEADER);
    if (header >> 32 != kj_control_header() >> 32)
        return damaged("its header");
    if (header != kj_control_header())
        return kj_err(
            KAJA_ERR_LAYOUT_MISMATCH,
            KJ_CONTROL_NAME
            " has layout %llu.%llu, this release of kaja uses %d.%d: another release has the "
            "directory open; close its handles first",
            (unsigned long long)(header >> 16 & UINT16_MAX),
            (unsigned long long)(header & UINT16_MAX), KJ_CONTROL_VERSION, KJ_SLOT_WORDS);
    if (kj_shared_load(shared, KJ_CONTROL_BOOT) != kj_shared_boot_id())
        return damaged("made under another boot of the machine");
    return 0;
}

int kj_control_give(struct kj_shared *shared, uint32_t words, kj_word *ret_first)
{
    uint64_t next = kj_shared_load(shared, KJ_CONTROL_NEXT);
    do {
        if (next < KJ_CONTROL_WORDS || next > UINT32_MAX - words)
            return damaged("its size");
        int os = kj_shared_reach(shared, (uint32_t)next + words);
        if (os != 0)
            return control_error(os, "growing");
    } while (!kj_shared_cas(shared, KJ_CONTROL_NEXT, &next, next + words));
    *ret_first = (kj_word)next;
    return 0;
}

int kj_control_reach(struct kj_shared *shared, uint32_t slot_count)
{
    if (slot_count > KJ_SLOTS_MAX)
        return kj_err(KAJA_ERR_INVALID_PARTITIONS, "a directory has at most %u partitions",
                      (unsigned)KJ_SLOTS_MAX);
    for (uint32_t block = 0; block < blocks_for(slot_count); block++) {
        kj_word first;
        if (kj_shared_load(shared, KJ_CONTROL_BLOCKS + block) != 0)
            continue;
        KJ_TRY(kj_control_give(shared, KJ_BLOCK_WORDS, &first));
        kj_shared_store(shared, KJ_CONTROL_BLOCKS + block, first);
    }
    if (kj_shared_load(shared, KJ_CONTROL_SLOTS) < slot_count)
        kj_shared_store(shared, KJ_CONTROL_SLOTS, slot_count);
    return 0;
}

int kj_control_slot(struct kj_shared *shared, uint32_t number, kj_word *ret_slot)
{
    if (number >= KJ_SLOTS_MAX)
        return damaged("a slot's number");
    uint64_t first = kj_shared_load(shared, KJ_CONTROL_BLOCKS + number / KJ_BLOCK_SLOTS);
    uint64_t next = kj_shared_load(shared, KJ_CONTROL_NEXT);
    if (first < KJ_CONTROL_WORDS || first > UINT32_MAX - KJ_BLOCK_WORDS ||
        first + KJ_BLOCK_WORDS > next)
        return damaged("a slot's place");
    uint64_t slot = first + (uint64_t)(number % KJ_BLOCK_SLOTS) * KJ_SLOT_WORDS;
    /* A read-only handle cannot grow the file: then it is shorter than it should be. */
    int os = kj_shared_reach(shared, (uint32_t)slot + KJ_SLOT_WORDS);
    if (os == EROFS || os == ENOSPC)
        return damaged("a slot's place");
    if (os != 0)
        return control_error(os, "mapping");
    *ret_slot = (kj_word)slot;
    return 0;
}
