/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/waiters.c - sleeping until records can be read. A partition hashes to one of 64 wake words:
 *
 *     low half: a number that changes with each wake     high half: 1 if somebody may be asleep
 *
 *     reader: high half = 1, note the low half; look at the condition; sleep while the low half is
 * as noted writer: publish; fence; high half != 0: low half + 1 and high half = 0, wake all
 *
 * The groups of coord/ have 64 words of their own, so that commits do not wake those who wait for
 * records, nor records those who wait for a rebalance.
 *
 * Either the writer sees the mark, or the reader's look comes after the publishing. A mark and not
 * a count of sleepers: one that a dead reader left costs a single wake, not one for ever.
 *
 * Sleeps are bounded, because a writer may die between publishing and waking, and because of what a
 * dead writer left unflushed (KJ_DUE_ROUND_NS).
 */
#include "store/internal.h"

#include <errno.h>

enum {
    ROUND_NS = 800000000,         /* the longest sleep */
    DUE_ROUND_NS = 10000000,      /* while something waits for a flush */
    READ_ONLY_ROUND_NS = 20000000 /* nobody wakes those who only read */
};

static const uint64_t asleep = (uint64_t)1 << 32;

static void wake_word(struct kj_shared *shared, kj_word word)
{
    kj_fence(); /* pairs with kj_wake_mark(): what was published is seen by whoever marked the
                   word too late */
    uint64_t seen = kj_shared_load(shared, word);
    do {
        if (seen >> 32 == 0)
            return;
    } while (!kj_shared_cas(shared, word, &seen, (uint32_t)(seen + 1)));
    kj_shared_wake(shared, word);
}

void kj_wake_readers(struct kj_store *store, uint32_t slot_number)
{
    wake_word(kj_shared_of(store), kj_control_wake_word(slot_number));
}

void kj_store_wake_group(struct kj_store *store, uint32_t hash)
{
    wake_word(kj_shared_of(store), kj_control_group_wake_word(hash));
}

void kj_wake_everybody(struct kj_store *store)
{
    for (uint32_t i = 0; i < KJ_WAKE_WORDS; i++) {
        wake_word(kj_shared_of(store), kj_control_wake_word(i));
        wake_word(kj_shared_of(store), kj_control_group_wake_word(i));
    }
}

uint32_t kj_wake_mark(struct kj_shared *shared, kj_word word)
{
    uint64_t seen = kj_shared_load(shared, word);
    while (seen >> 32 == 0 && !kj_shared_cas(shared, word, &seen, seen | asleep))
        ;
    kj_fence(); /* pairs with wake_word(): marked before the condition is looked at */
    return (uint32_t)seen;
}

/* --- the condition --- */

static bool readable(const struct kj_wait *wait, size_t i)
{
    struct kj_log *log = kj_partition_log(wait->partitions[i]);
    int64_t end = wait->durable_only ? kj_log_durable(log) : kj_log_high_watermark(log);
    return end > wait->offsets[i] || kj_log_stale(log);
}

bool kj_wait_over(const struct kj_wait *wait)
{
    for (size_t i = 0; i < wait->count; i++)
        if (readable(wait, i))
            return true;
    if (wait->also != NULL && wait->also->changed(wait->also->arg))
        return true;
    /* Topics came, went or grew: the caller looks what concerns it. */
    return kj_store_catalog_generation(wait->store) != wait->generation;
}

/* --- what a dead writer left --- */

static struct kj_wait_due look_for_due(const struct kj_wait *wait)
{
    struct kj_wait_due due = {0};
    for (size_t i = 0; i < wait->count; i++) {
        struct kj_log *log = kj_partition_log(wait->partitions[i]);
        if (kj_log_flush_due(log) && !kj_log_poisoned(log)) {
            due.count++;
            due.durable_sum += kj_log_durable(log);
        }
    }
    return due;
}

/* Flushes those that wait although nobody is at it. */
static void flush_orphans(const struct kj_wait *wait)
{
    for (size_t i = 0; i < wait->count; i++) {
        struct kj_partition *partition = wait->partitions[i];
        struct kj_log *log = kj_partition_log(partition);
        if (!kj_log_flush_due(log) || kj_log_poisoned(log) ||
            kj_shared_lock_held(kj_shared_of(wait->store), kj_flush_lock(partition->slot_number)))
            continue;
        int err = kj_store_flush_soon(wait->store, &partition, 1);
        if (err != 0 && err != KAJA_ERR_LOCK_TIMED_OUT)
            kj_store_background_error(wait->store, err, partition->topic->name, partition->number);
    }
}

int64_t kj_wait_round_ns(const struct kj_wait *wait, struct kj_wait_due *before)
{
    if (wait->store->options.read_only)
        return READ_ONLY_ROUND_NS;
    struct kj_wait_due due = look_for_due(wait);
    /* Nothing moved for a round: whoever should have flushed is gone, or has not begun. */
    if (due.count > 0 && before->count > 0 && due.durable_sum == before->durable_sum)
        flush_orphans(wait);
    *before = due;
    return due.count > 0 ? DUE_ROUND_NS : ROUND_NS;
}

/* --- waiting --- */

enum { WORDS_MAX = KJ_WAKE_WORDS + 1 };
_Static_assert((int)WORDS_MAX <= (int)KJ_SHARED_WAIT_MAX, "all of them at once");

/* The distinct wake words of the partitions, and the group's, marked. */
static size_t mark_all(const struct kj_wait *wait, kj_word words[WORDS_MAX],
                       uint32_t expected[WORDS_MAX])
{
    struct kj_shared *shared = kj_shared_of(wait->store);
    uint64_t taken = 0;
    size_t count = 0;
    for (size_t i = 0; i < wait->count; i++) {
        uint32_t number = wait->partitions[i]->slot_number % KJ_WAKE_WORDS;
        if ((taken >> number & 1) != 0)
            continue;
        taken |= (uint64_t)1 << number;
        words[count] = kj_control_wake_word(number);
        expected[count] = kj_wake_mark(shared, words[count]);
        count++;
    }
    if (wait->also != NULL) {
        words[count] = kj_control_group_wake_word(wait->also->hash);
        expected[count] = kj_wake_mark(shared, words[count]);
        count++;
    }
    return count;
}

static int64_t earlier(int64_t deadline_ns, int64_t now_ns, int64_t round_ns)
{
    return deadline_ns - now_ns < round_ns ? deadline_ns : now_ns + round_ns;
}

/* One sleep; *ret_done if the condition holds. */
static int sleep_once(const struct kj_wait *wait, _Atomic uint32_t *extra, uint32_t extra_expected,
                      int64_t until_ns, bool *ret_done)
{
    kj_word words[WORDS_MAX];
    uint32_t expected[WORDS_MAX];
    _Atomic uint32_t never = 0;
    size_t count = wait->store->options.read_only ? 0 : mark_all(wait, words, expected);
    *ret_done = kj_wait_over(wait);
    if (*ret_done)
        return 0;
    if (extra == NULL && count == 0) {
        extra = &never;
        extra_expected = 0;
    }
    return kj_shared_wait(kj_shared_of(wait->store), words, expected, count, extra, extra_expected,
                          until_ns);
}

static int follow_all(const struct kj_wait *wait)
{
    for (size_t i = 0; i < wait->count && wait->store->options.read_only; i++)
        KJ_TRY(kj_partition_follow(wait->partitions[i]));
    return 0;
}

int kj_store_wait(struct kj_store *store, struct kj_partition *const *partitions,
                  const int64_t *offsets, size_t count, bool durable_only, _Atomic uint32_t *extra,
                  uint32_t extra_expected, int64_t deadline_ns)
{
    return kj_store_wait_also(store, partitions, offsets, count, durable_only, extra,
                              extra_expected, NULL, deadline_ns);
}

int kj_store_wait_also(struct kj_store *store, struct kj_partition *const *partitions,
                       const int64_t *offsets, size_t count, bool durable_only,
                       _Atomic uint32_t *extra, uint32_t extra_expected,
                       const struct kj_wait_also *also, int64_t deadline_ns)
{
    struct kj_wait wait = {.store = store,
                        .partitions = partitions,
                        .offsets = offsets,
                        .count = count,
                        .durable_only = durable_only,
                        .generation = kj_store_catalog_generation(store),
                        .also = also};
    struct kj_wait_due before = {0};
    if (kj_wait_over(&wait))
        return 0;
    kj_store_metric_add(store, KJ_METRIC_CONSUME_WAITS, 1);
    for (;;) {
        int64_t now_ns = kj_mono_ns(store->clock);
        int64_t round_ns = kj_wait_round_ns(&wait, &before);
        bool done;
        int os =
            sleep_once(&wait, extra, extra_expected, earlier(deadline_ns, now_ns, round_ns), &done);
        KJ_TRY(kj_log_gone(kj_shared_of(store), true));
        KJ_TRY(follow_all(&wait));
        if (done || kj_wait_over(&wait))
            return 0;
        if (extra != NULL && atomic_load(extra) != extra_expected)
            return 0;
        if (os == ETIMEDOUT && kj_mono_ns(store->clock) >= deadline_ns)
            return kj_err(KAJA_ERR_TIMED_OUT, "nothing to read before the deadline");
        if (os != 0 && os != ETIMEDOUT)
            return kj_err_os(os, "waiting for records");
    }
}
