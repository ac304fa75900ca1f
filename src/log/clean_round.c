/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/clean_round.c - a round of compaction from its first look to its last swap, some bytes at a
 * time: whoever drives it has other things to do, and may stop at any point. No lock is held
 * between two steps.
 *
 *     keys       of the dirty segments, into the map
 *     a group    is written anew and takes the place of its segments, one after the other
 *
 * What was swapped stays, whatever comes after: a group that is cleaned is as good as one that is
 * not.
 */
#include "log/clean.h"

#include <errno.h>

struct kj_clean_round {
    struct kj_clean clean;
    struct kj_clean_keys keys;
    struct kj_clean_txns txns; /* of the rewriting */
    bool keyed;
    size_t at; /* segment that the group begins with */
    struct kj_clean_group group;
    struct kj_clean_output *output;
    bool written; /* the group's files wait to be swapped */
    bool begun;   /* cleaning->begin() was called */
    int64_t read_bytes, freed_bytes;
};

/* --- what rounds that died left unfinished --- */

struct litter {
    int64_t *bases;
    size_t count, capacity;
    int err;
};

static int note_litter(void *arg, const char *name, enum kj_io_type type)
{
    struct litter *litter = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    if (suffix != KJ_SUFFIX_CLEANED || type != KJ_IO_FILE || kind > KJ_FILE_TXNINDEX)
        return 0;
    litter->err = kj_grow((void **)&litter->bases, &litter->capacity, litter->count + 1,
                          sizeof *litter->bases);
    if (litter->err != 0)
        return ENOMEM;
    litter->bases[litter->count++] = offset;
    return 0;
}

static int remove_litter(struct kj_log *log)
{
    struct litter litter = {0};
    int os = kj_io_list(log->env->io, log->dir, note_litter, &litter);
    int err = litter.err;
    if (err == 0 && os != 0)
        err = kj_log_io_error(log, os, "listing", KJ_FILE_OTHER, 0, -1);
    for (size_t i = 0; i < litter.count && err == 0; i++)
        err = kj_clean_discard(log, litter.bases[i]);
    kj_free(litter.bases);
    return err;
}

/* --- steps --- */

int kj_log_clean_begin(struct kj_log *log, const struct kj_log_cleaning *cleaning,
                       struct kj_clean_round **ret_round)
{
    struct kj_clean_round *round = kj_alloc_zero(1, sizeof *round);
    if (round == NULL)
        return kj_err_oom("a compaction");
    int err = kj_clean_begin(log, cleaning->first_dirty, cleaning->wait_ns, &round->clean);
    if (err == 0) {
        err = remove_litter(log);
        if (err == 0)
            err = kj_clean_map_init(&round->clean.map, log->env->clock, cleaning->map_bytes);
        if (err != 0)
            kj_clean_free(&round->clean);
    }
    if (err != 0) {
        kj_free(round);
        return err;
    }
    *ret_round = round;
    return 0;
}

static void next_group(struct kj_clean_round *round, int64_t bytes)
{
    round->at += round->group.count;
    round->read_bytes += bytes;
    round->freed_bytes += bytes - (round->group.changed ? round->group.bytes : bytes);
    round->written = false;
}

static int64_t group_bytes(const struct kj_clean_group *group)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < group->count; i++)
        bytes += group->segments[i].bytes;
    return bytes;
}

/* *ret_cut: retention was there meanwhile. */
static int swap_group(struct kj_clean_round *round, const struct kj_log_cleaning *cleaning,
                      bool *ret_cut)
{
    struct kj_clean *clean = &round->clean;
    bool done;
    if (!round->begun) {
        /* The segment that `end` lies in is written anew as a whole. */
        kj_log_set_cleaned(clean->log, clean->uncleanable);
        if (cleaning->begin != NULL)
            KJ_TRY(cleaning->begin(cleaning->arg, clean->uncleanable));
        round->begun = true;
    }
    KJ_TRY(kj_clean_swap(clean, &round->group, cleaning->wait_ns, &done));
    *ret_cut = !done;
    if (done)
        next_group(round, group_bytes(&round->group));
    else
        round->written = false; /* the files are gone */
    return 0;
}

static int write_group(struct kj_clean_round *round, const struct kj_log_cleaning *cleaning,
                       int64_t *budget_bytes)
{
    struct kj_clean *clean = &round->clean;
    bool done;
    if (round->output == NULL) {
        kj_clean_next_group(clean, round->at, &round->group);
        if (cleaning->room != NULL)
            KJ_TRY(cleaning->room(cleaning->arg, group_bytes(&round->group)));
        return kj_clean_write_begin(clean, &round->txns, &round->group, &round->output);
    }
    KJ_TRY(kj_clean_write_step(round->output, budget_bytes, &done));
    if (!done)
        return 0;
    struct kj_clean_output *output = round->output;
    round->output = NULL;
    KJ_TRY(kj_clean_write_end(output, true));
    if (round->group.changed)
        round->written = true;
    else
        next_group(round, group_bytes(&round->group));
    return 0;
}

int kj_log_clean_step(struct kj_clean_round *round, struct kj_log *log,
                      struct kj_log_cleaning *cleaning,
                      int64_t budget_bytes, bool *ret_done)
{
    struct kj_clean *clean = &round->clean;
    bool cut = false;
    clean->log = log;
    *ret_done = false;
    if (!round->keyed) {
        KJ_TRY(kj_clean_keys_step(clean, &round->keys, &budget_bytes));
        round->keyed = round->keys.done;
        if (round->keyed)
            kj_clean_keys_end(&round->keys);
        return 0;
    }
    bool more = round->at < clean->segment_count && clean->end > clean->first_dirty &&
                clean->segments[round->at].base_offset < clean->end;
    if (more)
        KJ_TRY(round->written ? swap_group(round, cleaning, &cut)
                              : write_group(round, cleaning, &budget_bytes));
    if (more && !cut)
        return 0;
    *ret_done = true;
    /* what was not reached stays dirty */
    cleaning->first_dirty = cut ? clean->first_dirty : clean->end;
    cleaning->ret_read_bytes = round->read_bytes;
    cleaning->ret_freed_bytes = round->freed_bytes;
    return 0;
}

void kj_log_clean_end(struct kj_clean_round *round, struct kj_log *log)
{
    if (log != NULL)
        round->clean.log = log;
    if (round->output != NULL && log == NULL)
        round->group.changed = true;
    if (round->output != NULL)
        /* who cleans next removes what stays */
        (void)kj_clean_write_end(round->output, log == NULL);
    if (round->written && log != NULL)
        (void)kj_clean_discard(log, round->group.segments[0].base_offset); /* likewise */
    kj_clean_keys_end(&round->keys);
    kj_clean_txns_free(&round->txns);
    kj_clean_free(&round->clean);
    kj_free(round);
}

int kj_log_clean(struct kj_log *log, struct kj_log_cleaning *cleaning)
{
    struct kj_clean_round *round;
    bool done = false;
    int err = 0;
    KJ_TRY(kj_log_clean_begin(log, cleaning, &round));
    while (err == 0 && !done)
        err = kj_log_clean_step(round, log, cleaning, INT64_MAX, &done);
    struct kj_err_saved saved;
    kj_err_save(err, &saved);
    kj_log_clean_end(round, log);
    return err == 0 ? 0 : kj_err_restore(&saved);
}
