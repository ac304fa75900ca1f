/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/flusher.c - group commit inside a handle, without a timer. Whoever wants partitions durable
 * puts a request into the next round and waits; when no round runs, one of those who wait runs it
 * for all: every partition asked for once, all flushes in one submission. What comes meanwhile is
 * the next round.
 *
 * A round begins after the requests in it, so it covers the ends as of their calls. Between
 * processes each partition's flush lock decides; a round never waits for one while it holds
 * another, so two handles that flush the same partitions cannot block each other.
 */
#include "store/internal.h"

#include <stdlib.h>

enum { SUBMIT_MAX = 256 /* partitions, each with an open descriptor, in one submission */ };

void kj_flusher_init(struct kj_flusher *flusher)
{
    kj_lock_init(&flusher->lock, KJ_RANK_FLUSHER);
    kj_cond_init(&flusher->cond);
    flusher->waiting_end = &flusher->waiting;
}

void kj_flusher_destroy(struct kj_flusher *flusher)
{
    KJ_ASSERT(flusher->waiting == NULL && !flusher->running);
    kj_lock_destroy(&flusher->lock);
    kj_cond_destroy(&flusher->cond);
}

/* --- a round --- */

struct round {
    struct kj_store *store;
    struct kj_partition **partitions; /* each once */
    size_t count;
    struct kj_err_saved first_error; /* the story of the first that failed */
    const struct kj_partition *first_failed;
};

static void note_error(struct round *round, struct kj_partition *partition, int err)
{
    partition->flush_error = err;
    if (round->first_failed != NULL)
        return;
    kj_err_save(err, &round->first_error);
    round->first_failed = partition;
}

/* Flushes as many of [0, count) as can be had at once and takes them off the list; the first is
 * waited for, as nothing else is held then. The number that is left. */
static size_t flush_some(struct round *round, struct kj_partition **list, size_t count)
{
    struct kj_log_flush flushes[SUBMIT_MAX];
    struct kj_partition *owners[SUBMIT_MAX];
    struct kj_io_req reqs[SUBMIT_MAX];
    struct kj_io_req *req_of[SUBMIT_MAX];
    size_t begun = 0, req_count = 0, left = 0;
    /* Each keeps a descriptor open; others need some too. */
    size_t most = round->store->files_max / 2;
    if (most > SUBMIT_MAX)
        most = SUBMIT_MAX;
    for (size_t i = 0; i < count; i++) {
        if (begun > 0 && begun >= most) {
            list[left++] = list[i];
            continue;
        }
        int err = kj_log_flush_begin(kj_partition_log(list[i]), i == 0, &flushes[begun]);
        if (err == KAJA_ERR_LOCK_TIMED_OUT && i > 0) {
            kj_err_clear(); /* another handle is at it: next time */
            list[left++] = list[i];
            continue;
        }
        if (err != 0) {
            note_error(round, list[i], err);
            continue;
        }
        req_of[begun] = NULL;
        if (flushes[begun].file != NULL) {
            req_of[begun] = &reqs[req_count];
            reqs[req_count++] =
                (struct kj_io_req){.op = KJ_IO_OP_SYNC, .file = flushes[begun].file};
        }
        owners[begun++] = list[i];
    }
    if (req_count > 0)
        (void)kj_io_submit(round->store->io, reqs, req_count); /* each has its own result */
    for (size_t i = 0; i < begun; i++) {
        struct kj_log *log = flushes[i].log;
        int err = kj_log_flush_end(&flushes[i], req_of[i] != NULL ? req_of[i]->ret_errno : 0);
        if (err != 0)
            note_error(round, owners[i], err);
        else if (req_of[i] != NULL)
            (void)kj_log_high_watermark(log); /* notes it for everybody */
        if (req_of[i] != NULL)
            kj_wake_readers(round->store, owners[i]->slot_number);
    }
    return left;
}

static void run_round(struct round *round)
{
    struct kj_store *store = round->store;
    int64_t began_ns = kj_mono_ns(store->clock);
    size_t errors = 0;
    size_t left = round->count;
    struct kj_partition **list = kj_memdup(round->partitions, left * sizeof(*list));
    if (list == NULL) {
        int err = kj_err_oom("a flush");
        for (size_t i = 0; i < round->count; i++)
            note_error(round, round->partitions[i], err);
        return;
    }
    while (left > 0)
        left = flush_some(round, list, left);
    kj_free(list);
    for (size_t i = 0; i < round->count; i++)
        errors += round->partitions[i]->flush_error != 0;
    if (kj_store_gone(store))
        kj_store_poke(store); /* other records wait, and shall hear of it */
    kj_store_metric_add(store, KJ_METRIC_FLUSH_CALLS, 1);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_PARTITIONS, round->count);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_ERRORS, errors);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_NS, (uint64_t)(kj_mono_ns(store->clock) - began_ns));
}

/* The partitions of all requests, each once. FLUSHER lock held. */
static int gather(struct kj_flusher *flusher, struct kj_flush_request *requests,
                  struct round *round)
{
    size_t most = 0;
    for (struct kj_flush_request *r = requests; r != NULL; r = r->next)
        most += r->count;
    round->partitions = kj_alloc(most * sizeof(*round->partitions));
    if (round->partitions == NULL)
        return kj_err_oom("a flush");
    flusher->round++;
    for (struct kj_flush_request *r = requests; r != NULL; r = r->next)
        for (size_t i = 0; i < r->count; i++) {
            struct kj_partition *partition = r->partitions[i];
            if (partition->flush_round == flusher->round)
                continue;
            partition->flush_round = flusher->round;
            partition->flush_error = 0;
            round->partitions[round->count++] = partition;
        }
    return 0;
}

/* The first error among a request's partitions. */
static void judge(const struct round *round, struct kj_flush_request *request)
{
    request->result.code = 0;
    for (size_t i = 0; i < request->count; i++) {
        struct kj_partition *partition = request->partitions[i];
        if (partition->flush_error == 0 ||
            (request->skip_deleted && partition->flush_error == KAJA_ERR_UNKNOWN_TOPIC_ID))
            continue;
        if (partition == round->first_failed) {
            request->result = round->first_error;
        } else {
            int err = kj_err_at(kj_err(partition->flush_error, "flushing %s-%d failed",
                                       partition->topic->name, partition->number),
                                partition->topic->name, partition->number, -1, -1);
            kj_err_save(err, &request->result);
        }
        return;
    }
}

/* FLUSHER lock held; given up while it runs. */
static void lead(struct kj_store *store)
{
    struct kj_flusher *flusher = &store->flusher;
    struct kj_flush_request *requests = flusher->waiting;
    struct round round = {.store = store};
    flusher->waiting = NULL;
    flusher->waiting_end = &flusher->waiting;
    flusher->running = true;
    int err = gather(flusher, requests, &round);
    kj_lock_release(&flusher->lock);
    if (err == 0)
        run_round(&round);
    struct kj_err_saved failed;
    if (err != 0)
        kj_err_save(err, &failed);
    kj_lock_acquire(&flusher->lock);
    for (struct kj_flush_request *r = requests, *next; r != NULL; r = next) {
        next = r->next; /* a request is its caller's as soon as it is done */
        if (err != 0)
            r->result = failed;
        else
            judge(&round, r);
        r->done = true;
    }
    kj_free(round.partitions);
    flusher->running = false;
    kj_cond_broadcast(&flusher->cond);
}

static int request_flush(struct kj_store *store, struct kj_partition *const *partitions,
                         size_t count, bool skip_deleted)
{
    struct kj_flusher *flusher = &store->flusher;
    struct kj_flush_request request = {
        .partitions = partitions, .count = count, .skip_deleted = skip_deleted};
    kj_lock_acquire(&flusher->lock);
    *flusher->waiting_end = &request;
    flusher->waiting_end = &request.next;
    while (!request.done)
        if (flusher->running)
            kj_cond_wait(&flusher->cond, &flusher->lock);
        else
            lead(store);
    kj_lock_release(&flusher->lock);
    return request.result.code == 0 ? 0 : kj_err_restore(&request.result);
}

/* --- asking --- */

/* Those of the handle's partitions that wanted says. */
static int flush_where(struct kj_store *store, bool (*wanted)(struct kj_log *log))
{
    struct kj_partition **loaded;
    size_t count;
    KJ_TRY(kj_partitions_loaded(store, &loaded, &count));
    struct kj_partition **due = kj_alloc((count + 1) * sizeof(*due));
    int err = due == NULL ? kj_err_oom("a flush") : 0;
    size_t due_count = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (wanted(kj_partition_log(loaded[i])))
            due[due_count++] = loaded[i];
    if (err == 0 && due_count > 0)
        err = request_flush(store, due, due_count, true);
    kj_free(due);
    kj_partitions_let_go(loaded, count);
    return err;
}

static bool acks_all_waiting(struct kj_log *log)
{
    return kj_log_flush_due(log) && !kj_log_stale(log);
}

int kj_flush_own(struct kj_store *store)
{
    return flush_where(store, kj_log_owes_flush);
}

int kj_store_flush(struct kj_store *store, struct kj_partition *const *partitions, size_t count)
{
    if (store->options.read_only)
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(kj_log_gone(kj_shared_of(store), false));
    if (count == 0)
        return flush_where(store, acks_all_waiting);
    /* What is durable already needs no round. */
    bool due = false;
    for (size_t i = 0; i < count && !due; i++) {
        struct kj_log *log = kj_partition_log(partitions[i]);
        due = kj_log_durable(log) < kj_log_end(log) || kj_log_stale(log);
    }
    return due ? request_flush(store, partitions, count, false) : 0;
}
