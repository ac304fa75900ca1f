/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/group_area.h"

#include "base/err.h"

#include <string.h>
#include <xxhash.h>

enum area_word {
    AREA_NEXT,
    AREA_PARTITION,
    AREA_HASH,
    AREA_STATE,
    AREA_PLACE,    /* 4, 5 */
    AREA_CAPACITY = 6, /* 6, 7 */
    AREA_SLOTS = 8
};

enum {
    WORDS_BITS = 24,
    SEQUENCE_SHIFT = 25,
    AREAS_MAX = 1 << 20, /* so that a ring of damaged words ends somewhere */
    READ_TRIES = 1000
};

static const uint64_t idle_bit = (uint64_t)1 << WORDS_BITS;

static uint64_t words_of(uint64_t state)
{
    return state & (idle_bit - 1);
}

static kj_word half_of(uint64_t state)
{
    return (kj_word)(state >> SEQUENCE_SHIFT & 1);
}

static int damaged(void)
{
    return kj_err(KAJA_ERR_DAMAGED, "the words of a group in the control file are damaged: close "
                                    "all handles, the next one to open builds it anew");
}

uint64_t kj_area_hash(const char *group_id)
{
    return XXH3_64bits(group_id, strlen(group_id));
}

uint64_t kj_area_state(struct kj_store *store, struct kj_area area)
{
    return kj_shared_load(kj_scratch_shared(store), area.word + AREA_STATE);
}

/* --- finding --- */

int kj_area_next(struct kj_store *store, struct kj_area area, struct kj_area *ret_next,
                 int32_t *ret_partition)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    uint64_t next =
        kj_shared_load(shared, area.word == 0 ? kj_scratch_root() : area.word + AREA_NEXT);
    ret_next->word = 0;
    *ret_partition = -1;
    if (next == 0)
        return 0;
    KJ_TRY(kj_scratch_reach(store, next, KJ_AREA_WORDS));
    ret_next->word = (kj_word)next;
    uint64_t partition = kj_shared_load(shared, ret_next->word + AREA_PARTITION);
    *ret_partition = partition <= INT32_MAX ? (int32_t)partition - 1 : -1;
    return 0;
}

/* The area of the group, else (ret_idle not NULL) one that is idle. */
static int look(struct kj_store *store, int32_t partition, uint64_t hash, struct kj_area *ret_area,
                struct kj_area *ret_idle)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    struct kj_area area = {0};
    int32_t of;
    ret_area->word = 0;
    for (int i = 0; i < AREAS_MAX; i++) {
        KJ_TRY(kj_area_next(store, area, &area, &of));
        if (area.word == 0)
            return 0;
        if (of != partition && partition >= 0)
            continue;
        if (kj_shared_load(shared, area.word + AREA_HASH) == hash) {
            *ret_area = area;
            return 0;
        }
        uint64_t state = kj_area_state(store, area);
        if (ret_idle != NULL && (words_of(state) == 0 || (state & idle_bit) != 0))
            *ret_idle = area;
    }
    return damaged();
}

int kj_area_find(struct kj_store *store, int32_t partition, uint64_t hash,
                 struct kj_area *ret_area)
{
    ret_area->word = 0;
    return kj_scratch_shared(store) == NULL ? 0 : look(store, partition, hash, ret_area, NULL);
}

/* The newest ones, so that many living groups cost little; a sweep makes the others idle. */
static int look_for_dead(struct kj_store *store, int32_t partition, kj_area_dead_fn *dead,
                         void *arg, struct kj_area *ret_area)
{
    enum { ASKED_MAX = 64 };
    struct kj_area area = {0};
    int32_t of;
    for (int asked = 0; asked < ASKED_MAX; asked++) {
        KJ_TRY(kj_area_next(store, area, &area, &of));
        if (area.word == 0)
            return 0;
        if (of == partition && dead(arg, area)) {
            *ret_area = area;
            return 0;
        }
    }
    return 0;
}

int kj_area_claim(struct kj_store *store, int32_t partition, uint64_t hash, kj_area_dead_fn *dead,
                  void *arg, struct kj_area *ret_area)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    struct kj_area area, idle = {0};
    KJ_TRY(look(store, partition, hash, &area, &idle));
    if (area.word == 0 && idle.word == 0)
        KJ_TRY(look_for_dead(store, partition, dead, arg, &idle));
    if (area.word == 0 && idle.word != 0) {
        /* Dies somebody behind this, the blob in it has another group's name: it counts none. */
        kj_shared_store(shared, idle.word + AREA_HASH, hash);
        kj_shared_point(shared, "group: area taken over");
        area = idle;
    }
    if (area.word == 0) {
        KJ_TRY(kj_scratch_give(store, KJ_AREA_WORDS, &area.word));
        kj_shared_store(shared, area.word + AREA_PARTITION, (uint64_t)partition + 1);
        kj_shared_store(shared, area.word + AREA_HASH, hash);
        uint64_t first = kj_shared_load(shared, kj_scratch_root());
        do
            kj_shared_store(shared, area.word + AREA_NEXT, first);
        while (!kj_shared_cas(shared, kj_scratch_root(), &first, area.word));
        kj_shared_point(shared, "group: new area");
    }
    *ret_area = area;
    return 0;
}

/* --- blobs --- */

/* One try; *ret_torn: it changed meanwhile. */
static int read_once(struct kj_store *store, struct kj_area area, struct kj_buffer *blob,
                     uint64_t *ret_state, bool *ret_torn)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    uint64_t state = kj_area_state(store, area);
    uint64_t words = words_of(state);
    uint64_t place = kj_shared_load(shared, area.word + AREA_PLACE + half_of(state));
    uint64_t capacity = kj_shared_load(shared, area.word + AREA_CAPACITY + half_of(state));
    int err = 0;
    blob->len = 0;
    if (words > 0) {
        err = words > capacity ? damaged() : kj_scratch_reach(store, place, words);
        if (err == 0)
            err = kj_buffer_reserve(blob, words * 8);
        for (uint64_t i = 0; i < words && err == 0; i++) {
            uint64_t word = kj_shared_load(shared, (kj_word)(place + i));
            memcpy(blob->bytes + 8 * i, &word, sizeof word);
        }
        if (err == 0)
            blob->len = words * 8;
    }
    /* Pairs with kj_area_write(): what was copied is of no later blob, unless this moved. */
    *ret_torn = kj_area_state(store, area) != state;
    *ret_state = state;
    return *ret_torn ? 0 : err;
}

int kj_area_read(struct kj_store *store, struct kj_area area, struct kj_buffer *blob,
                 uint64_t *ret_state)
{
    bool torn = true;
    for (int i = 0; i < READ_TRIES && torn; i++)
        KJ_TRY(read_once(store, area, blob, ret_state, &torn));
    return torn ? damaged() : 0;
}

/* The half that is not in use has room for so many words. */
static int make_room(struct kj_store *store, struct kj_area area, kj_word half, uint64_t words,
                     kj_word *ret_place)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    uint64_t place = kj_shared_load(shared, area.word + AREA_PLACE + half);
    uint64_t capacity = kj_shared_load(shared, area.word + AREA_CAPACITY + half);
    if (capacity < words || kj_scratch_reach(store, place, words) != 0) {
        enum { LEAST = 128 };
        uint64_t wanted = capacity < LEAST || capacity >= words ? LEAST : capacity;
        while (wanted < words)
            wanted *= 2;
        kj_word first;
        KJ_TRY(kj_scratch_give(store, (uint32_t)wanted, &first));
        kj_shared_store(shared, area.word + AREA_CAPACITY + half, 0);
        kj_shared_store(shared, area.word + AREA_PLACE + half, first);
        kj_shared_store(shared, area.word + AREA_CAPACITY + half, wanted);
        kj_shared_point(shared, "group: larger half");
        place = first;
    }
    *ret_place = (kj_word)place;
    return 0;
}

int kj_area_write(struct kj_store *store, struct kj_area area, const struct kj_buffer *blob,
                  bool idle)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    uint64_t words = (blob->len + 7) / 8;
    uint64_t sequence = (kj_area_state(store, area) >> SEQUENCE_SHIFT) + 1;
    kj_word place;
    if (words > KJ_AREA_BLOB_MAX)
        return kj_err(KAJA_ERR_GROUP_MAX_SIZE_REACHED,
                      "the members of a group and their topics are more than a group can hold");
    KJ_TRY(make_room(store, area, (kj_word)(sequence & 1), words, &place));
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word = 0;
        size_t left = blob->len - 8 * i;
        memcpy(&word, blob->bytes + 8 * i, left < 8 ? left : 8);
        kj_shared_store(shared, place + (kj_word)i, word);
    }
    kj_shared_point(shared, "group: blob written");
    /* The commit point. Pairs with read_once(): the blob's words are seen with its number. */
    kj_shared_store(shared, area.word + AREA_STATE,
                    sequence << SEQUENCE_SHIFT | (idle ? idle_bit : 0) | words);
    kj_shared_point(shared, "group: published");
    return 0;
}

/* --- slots --- */

bool kj_area_slot_ok(struct kj_store *store, uint32_t slot)
{
    if (kj_scratch_reach(store, slot, 1) == 0)
        return true;
    kj_err_clear();
    return false;
}

static int block_ok(struct kj_store *store, uint64_t block)
{
    return block == 0 ? 0 : kj_scratch_reach(store, block, KJ_AREA_BLOCK_WORDS);
}

int kj_area_next_slot(struct kj_store *store, struct kj_area area, kj_word after,
                      kj_word *ret_slot)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    uint64_t block = kj_shared_load(shared, area.word + AREA_SLOTS);
    *ret_slot = 0;
    KJ_TRY(block_ok(store, block));
    if (after == 0) {
        *ret_slot = block == 0 ? 0 : (kj_word)block + 1;
        return 0;
    }
    for (int i = 0; block != 0 && i < AREAS_MAX; i++) {
        uint64_t next = kj_shared_load(shared, (kj_word)block);
        KJ_TRY(block_ok(store, next));
        if (after > block && after < block + KJ_AREA_BLOCK_WORDS) {
            bool last = after + 1 == block + KJ_AREA_BLOCK_WORDS;
            *ret_slot = !last ? after + 1 : next == 0 ? 0 : (kj_word)next + 1;
            return 0;
        }
        block = next;
    }
    return damaged();
}

int kj_area_more_slots(struct kj_store *store, struct kj_area area, kj_word *ret_first)
{
    struct kj_shared *shared = kj_scratch_shared(store);
    kj_word block;
    KJ_TRY(kj_scratch_give(store, KJ_AREA_BLOCK_WORDS, &block));
    kj_shared_store(shared, block, kj_shared_load(shared, area.word + AREA_SLOTS));
    kj_shared_store(shared, area.word + AREA_SLOTS, block);
    *ret_first = block + 1;
    return 0;
}
