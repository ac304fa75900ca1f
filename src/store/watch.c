/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/watch.c - waiting without a thread of one's own, for consumers in event loops: the worker
 * sleeps on the wake words of all that is watched, in every process's control file, and tells.
 *
 *     consumer   sets what it watches; looks itself; pokes the worker
 *     worker     marks the words and notes them -> step (looks at each watch, as one of its tasks)
 *                -> sleeps until a word is not as noted, a poke, or the next thing that is due
 *
 * What was published before the mark is seen by the look, what comes after it changes the word: as
 * in waiters.c, with the step between mark and sleep. A watch tells once and is quiet until it is
 * set anew, so nobody is woken for a consumer that does not come. Without watches no word is marked
 * and the worker sleeps as if this file were not there.
 */
#include "store/internal.h"

#include <string.h>

/* Where more words are watched than one sleep can hold: how late news of the others may be. */
enum { OVERFLOW_NS = 10000000 };

struct kj_watch {
    struct kj_store *store;
    kj_watch_tell *tell;
    void *arg;
    struct kj_lock lock; /* WATCH: for all but the words */
    bool armed;
    struct kj_wait wait;
    struct kj_partition **partitions;
    int64_t *offsets;
    size_t capacity;
    struct kj_partition *flushed;
    int64_t flushed_end;
    int64_t at_ns;
    struct kj_wait_due before; /* as of: */
    int64_t before_ns;
    /* A bit for each word; 0: quiet. Set with the lock held, read by the worker without. */
    kj_atomic_u64 record_words, group_words;
    struct kj_store_task task;
    struct kj_watch *next; /* (S) */
};

/* --- one watch --- */

static bool flushed(const struct kj_watch *watch)
{
    if (watch->flushed == NULL)
        return false;
    struct kj_log *log = kj_partition_log(watch->flushed);
    return kj_log_durable(log) >= watch->flushed_end || kj_log_poisoned(log);
}

/* Lock held. */
static bool look(struct kj_watch *watch)
{
    return kj_store_gone(watch->store) || kj_mono_ns(watch->store->clock) >= watch->at_ns ||
           flushed(watch) || kj_wait_over(&watch->wait);
}

/* Lock held. */
static void be_quiet(struct kj_watch *watch)
{
    watch->armed = false;
    kj_store_relaxed(&watch->record_words, 0);
    kj_store_relaxed(&watch->group_words, 0);
}

/* Lock held. True if it told. */
static bool tell_if_over(struct kj_watch *watch)
{
    if (!look(watch))
        return false;
    be_quiet(watch);
    watch->tell(watch->arg);
    return true;
}

/* Lock held: when to look again without a wake. A round of what waits for a flush counts from its
 * beginning, however often the worker comes by. */
static int64_t next_look_ns(struct kj_watch *watch)
{
    int64_t now_ns = kj_mono_ns(watch->store->clock);
    struct kj_wait_due *before = &watch->before;
    struct kj_wait_due ignored = {0};
    int64_t round_ns = kj_wait_round_ns(&watch->wait, &ignored);
    if (ignored.count == 0 || before->count == 0 || before->durable_sum != ignored.durable_sum) {
        *before = ignored;
        watch->before_ns = now_ns;
    } else if (now_ns - watch->before_ns >= round_ns) {
        (void)kj_wait_round_ns(&watch->wait, before); /* flushes */
        watch->before_ns = now_ns;
    }
    /* A flush for a commit may be somebody else's, who wakes for records only. */
    if (watch->flushed != NULL && round_ns > OVERFLOW_NS)
        round_ns = OVERFLOW_NS;
    return watch->at_ns - now_ns < round_ns ? watch->at_ns : now_ns + round_ns;
}

/* kj_store_task_run, in each step. */
static int64_t run(void *arg)
{
    struct kj_watch *watch = arg;
    int64_t next_ns = INT64_MAX;
    kj_lock_acquire(&watch->lock);
    if (watch->armed && !tell_if_over(watch))
        next_ns = next_look_ns(watch);
    kj_lock_release(&watch->lock);
    return next_ns;
}

int kj_watch_open(struct kj_store *store, kj_watch_tell *tell, void *arg,
                  struct kj_watch **ret_watch)
{
    KJ_ASSERT(kj_store_has_worker(store) && !store->options.read_only);
    struct kj_watch *watch = kj_alloc_zero(1, sizeof *watch);
    if (watch == NULL)
        return kj_err_oom("a descriptor");
    watch->store = store;
    watch->tell = tell;
    watch->arg = arg;
    kj_lock_init(&watch->lock, KJ_RANK_WATCH);
    watch->task = (struct kj_store_task){.run = run, .arg = watch};
    kj_lock_acquire(&store->lock);
    watch->next = store->watches;
    store->watches = watch;
    kj_lock_release(&store->lock);
    kj_store_task_add(store, &watch->task);
    *ret_watch = watch;
    return 0;
}

void kj_watch_close(struct kj_watch *watch)
{
    if (watch == NULL)
        return;
    struct kj_store *store = watch->store;
    kj_store_task_remove(store, &watch->task);
    kj_lock_acquire(&store->lock);
    struct kj_watch **at = &store->watches;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    kj_lock_release(&store->lock);
    kj_lock_destroy(&watch->lock);
    kj_free(watch->partitions);
    kj_free(watch->offsets);
    kj_free(watch);
}

/* --- what is watched --- */

static int reserve(struct kj_watch *watch, size_t count)
{
    if (count <= watch->capacity)
        return 0;
    struct kj_partition **partitions = kj_alloc_zero(count, sizeof(void *));
    int64_t *offsets = kj_alloc_zero(count, sizeof *offsets);
    if (partitions == NULL || offsets == NULL) {
        kj_free(partitions);
        kj_free(offsets);
        return kj_err_oom("a descriptor");
    }
    kj_free(watch->partitions);
    kj_free(watch->offsets);
    watch->partitions = partitions;
    watch->offsets = offsets;
    watch->capacity = count;
    return 0;
}

static uint64_t word_bit(uint32_t number)
{
    return (uint64_t)1 << number % KJ_WAKE_WORDS;
}

/* Lock held. */
static void arm(struct kj_watch *watch, const struct kj_watch_for *what)
{
    uint64_t words = what->flushed != NULL ? word_bit(what->flushed->slot_number) : 0;
    for (size_t i = 0; i < what->count; i++) {
        watch->partitions[i] = what->partitions[i];
        watch->offsets[i] = what->offsets[i];
        words |= word_bit(what->partitions[i]->slot_number);
    }
    watch->wait =
        (struct kj_wait){.store = watch->store,
                         .partitions = watch->partitions,
                         .offsets = watch->offsets,
                         .count = what->count,
                         .durable_only = what->durable_only,
                         .generation = kj_store_catalog_generation(watch->store),
                         .also = what->also};
    watch->flushed = what->flushed;
    watch->flushed_end = what->flushed_end;
    watch->at_ns = what->at_ns;
    watch->before = (struct kj_wait_due){0};
    watch->armed = true;
    kj_store_relaxed(&watch->record_words, words);
    kj_store_relaxed(&watch->group_words, what->also != NULL ? word_bit(what->also->hash) : 0);
}

int kj_watch_set(struct kj_watch *watch, const struct kj_watch_for *what)
{
    kj_lock_acquire(&watch->lock);
    be_quiet(watch);
    int err = reserve(watch, what->count);
    bool wait = false;
    if (err == 0) {
        arm(watch, what);
        wait = !tell_if_over(watch);
    }
    kj_lock_release(&watch->lock);
    if (wait)
        kj_store_poke(watch->store); /* the words are marked, then it looks again */
    return err;
}

void kj_watch_unset(struct kj_watch *watch)
{
    kj_lock_acquire(&watch->lock);
    be_quiet(watch);
    kj_lock_release(&watch->lock);
}

/* --- the worker --- */

static void mark(struct kj_store *store, kj_word word)
{
    if (store->watch_count == KJ_SHARED_WAIT_MAX) {
        store->watch_overflow = true;
        return;
    }
    store->watch_words[store->watch_count] = word;
    store->watch_expected[store->watch_count++] = kj_wake_mark(kj_shared_of(store), word);
}

void kj_watches_mark(struct kj_store *store)
{
    uint64_t records = 0, groups = 0;
    store->watch_count = 0;
    store->watch_overflow = false;
    kj_lock_acquire(&store->lock);
    for (const struct kj_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        /* Behind the poke of who set them: see kj_worker_poke(). */
        records |= kj_load_relaxed(&watch->record_words);
        groups |= kj_load_relaxed(&watch->group_words);
    }
    kj_lock_release(&store->lock);
    for (uint32_t i = 0; i < KJ_WAKE_WORDS; i++)
        if ((records >> i & 1) != 0)
            mark(store, kj_control_wake_word(i));
    for (uint32_t i = 0; i < KJ_WAKE_WORDS; i++)
        if ((groups >> i & 1) != 0)
            mark(store, kj_control_group_wake_word(i));
}

bool kj_watches_sleep(void *arg, _Atomic uint32_t *state, uint32_t idle, int64_t until_ns)
{
    struct kj_store *store = arg;
    if (store->watch_count == 0)
        return false;
    int64_t now_ns = kj_mono_ns(store->clock);
    if (store->watch_overflow && until_ns - now_ns > OVERFLOW_NS)
        until_ns = now_ns + OVERFLOW_NS;
    /* It fails for nothing that another step would not meet. */
    (void)kj_shared_wait(kj_shared_of(store), store->watch_words, store->watch_expected,
                         store->watch_count, state, idle, until_ns);
    return true;
}
