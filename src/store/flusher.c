/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/flusher.c - group commit inside a handle, without a timer. Whoever wants partitions durable
 * puts a request into the next round and waits; when no round runs, one of those who wait runs it
 * for all: every partition asked for once, all flushes in one submission. What comes meanwhile is
 * the next round.
 *
 * A round begins after the requests in it, so it covers the ends as of their calls. Between
 * processes each partition's flush lock decides. A round waits for none: its holder may be stopped,
 * and the other partitions, and the next round, have nothing to do with that. Whoever asked for a
 * partition that is busy waits for it himself, for this one alone and holding nothing, and then
 * asks again for what is left; so two handles that flush the same partitions cannot block each
 * other either.
 */
#include "store/internal.h"

#include <stdlib.h>

enum {
    SUBMIT_MAX = 256, /* partitions, each with an open descriptor, in one submission */
    SOON_NS = 10000000 /* longer than the flush of a good disk, shorter than anybody minds */
};

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

/* Flushes the first of the partitions, as many as go into one submission; how many it saw to.
 * LOCK_TIMED_OUT is noted for those that another handle is flushing. */
static size_t flush_some(struct round *round, struct kj_partition *const *list, size_t count)
{
    struct kj_log_flush flushes[SUBMIT_MAX];
    struct kj_partition *owners[SUBMIT_MAX];
    struct kj_io_req reqs[SUBMIT_MAX];
    struct kj_io_req *req_of[SUBMIT_MAX];
    size_t begun = 0, req_count = 0, seen = 0;
    /* Each keeps a descriptor open; others need some too. */
    size_t most = round->store->files_max / 2;
    if (most > SUBMIT_MAX)
        most = SUBMIT_MAX;
    for (; seen < count && (begun == 0 || begun < most); seen++) {
        int err = kj_log_flush_begin(kj_partition_log(list[seen]), false, &flushes[begun]);
        if (err == KAJA_ERR_LOCK_TIMED_OUT) {
            kj_err_clear();
            list[seen]->flush_error = err;
            continue;
        }
        if (err != 0) {
            note_error(round, list[seen], err);
            continue;
        }
        req_of[begun] = NULL;
        if (flushes[begun].file != NULL) {
            req_of[begun] = &reqs[req_count];
            reqs[req_count++] =
                (struct kj_io_req){.op = KJ_IO_OP_SYNC, .file = flushes[begun].file};
        }
        owners[begun++] = list[seen];
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
    return seen;
}

static void count_flush(struct kj_store *store, size_t count, size_t errors, int64_t began_ns)
{
    kj_store_metric_add(store, KJ_METRIC_FLUSH_CALLS, 1);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_PARTITIONS, count);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_ERRORS, errors);
    kj_store_metric_add(store, KJ_METRIC_FLUSH_NS, (uint64_t)(kj_mono_ns(store->clock) - began_ns));
}

static void run_round(struct round *round)
{
    struct kj_store *store = round->store;
    int64_t began_ns = kj_mono_ns(store->clock);
    size_t flushed = 0, errors = 0;
    for (size_t at = 0; at < round->count;)
        at += flush_some(round, round->partitions + at, round->count - at);
    for (size_t i = 0; i < round->count; i++) {
        int err = round->partitions[i]->flush_error;
        flushed += err != KAJA_ERR_LOCK_TIMED_OUT;
        errors += err != 0 && err != KAJA_ERR_LOCK_TIMED_OUT;
    }
    if (kj_store_gone(store))
        kj_store_poke(store); /* other records wait, and shall hear of it */
    if (flushed > 0)
        count_flush(store, flushed, errors, began_ns);
}

/* What request asked for partition i is done already. */
static bool satisfied(const struct kj_flush_request *request, size_t i)
{
    struct kj_log *log = kj_partition_log(request->partitions[i]);
    return kj_log_durable(log) >= request->ends[i] && !kj_log_stale(log);
}

/* The partitions of all requests, each once. FLUSHER lock held. */
static int gather(struct kj_flusher *flusher, struct kj_flush_request *requests,
                  struct round *round)
{
    size_t most = 0;
    for (struct kj_flush_request *r = requests; r != NULL; r = r->next)
        most += r->count;
    round->partitions = kj_alloc((most + 1) * sizeof(*round->partitions));
    if (round->partitions == NULL)
        return kj_err_oom("a flush");
    flusher->round++;
    for (struct kj_flush_request *r = requests; r != NULL; r = r->next)
        for (size_t i = 0; i < r->count; i++) {
            struct kj_partition *partition = r->partitions[i];
            if (partition->flush_round == flusher->round)
                continue;
            partition->flush_error = 0;
            if (satisfied(r, i))
                continue;
            partition->flush_round = flusher->round;
            round->partitions[round->count++] = partition;
        }
    return 0;
}

/* The first error among a request's partitions, and the first that is busy. */
static void judge(const struct round *round, struct kj_flush_request *request)
{
    request->result.code = 0;
    request->busy = request->count;
    for (size_t i = 0; i < request->count; i++) {
        struct kj_partition *partition = request->partitions[i];
        if (partition->flush_error == KAJA_ERR_LOCK_TIMED_OUT) {
            if (request->busy == request->count && !satisfied(request, i))
                request->busy = i;
            continue;
        }
        if (partition->flush_error == 0 || request->result.code != 0 ||
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
        r->busy = r->count;
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

/* One round with the request in it. */
static void join_round(struct kj_store *store, struct kj_flush_request *request)
{
    struct kj_flusher *flusher = &store->flusher;
    request->done = false;
    request->next = NULL;
    kj_lock_acquire(&flusher->lock);
    *flusher->waiting_end = request;
    flusher->waiting_end = &request->next;
    while (!request->done)
        if (flusher->running)
            kj_cond_wait(&flusher->cond, &flusher->lock);
        else
            lead(store);
    kj_lock_release(&flusher->lock);
}

/* Another handle, or another thread that waits for one, is at the partition. */
static int flush_busy(struct kj_store *store, struct kj_partition *partition, int64_t end,
                      int64_t deadline_ns)
{
    struct kj_log *log = kj_partition_log(partition);
    int64_t began_ns = kj_mono_ns(store->clock);
    int err = kj_log_flush_to(log, end, deadline_ns);
    if (err == 0) {
        (void)kj_log_high_watermark(log);
        kj_wake_readers(store, partition->slot_number);
    }
    count_flush(store, 1, err != 0, began_ns);
    return err;
}

static bool all_satisfied(const struct kj_flush_request *request)
{
    size_t i = 0;
    while (i < request->count && satisfied(request, i))
        i++;
    return i == request->count;
}

/* wait_ns: for how long others' flushes may be waited for, of all partitions together. */
static int request_flush(struct kj_store *store, struct kj_partition *const *partitions,
                         size_t count, bool skip_deleted, int64_t wait_ns)
{
    int64_t few[64];
    int64_t *ends = few;
    if (count > sizeof few / sizeof few[0] && (ends = kj_alloc(count * sizeof(*ends))) == NULL)
        return kj_err_oom("a flush");
    for (size_t i = 0; i < count; i++)
        ends[i] = kj_log_end(kj_partition_log(partitions[i]));
    struct kj_flush_request request = {
        .partitions = partitions, .ends = ends, .count = count, .skip_deleted = skip_deleted};
    int64_t deadline_ns = kj_mono_ns(store->clock) + wait_ns;
    int err = 0;
    do {
        join_round(store, &request);
        if (request.busy == count)
            break;
        err = flush_busy(store, partitions[request.busy], ends[request.busy], deadline_ns);
    } while ((err == 0 || (err == KAJA_ERR_UNKNOWN_TOPIC_ID && skip_deleted)) &&
             !all_satisfied(&request));
    if (request.result.code != 0)
        err = kj_err_restore(&request.result);
    if (ends != few)
        kj_free(ends);
    return err == KAJA_ERR_UNKNOWN_TOPIC_ID && skip_deleted ? 0 : err;
}

/* --- asking --- */

/* Those of the handle's partitions that wanted says. */
static int flush_where(struct kj_store *store, bool (*wanted)(struct kj_log *log), int64_t wait_ns)
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
        err = request_flush(store, due, due_count, true, wait_ns);
    kj_free(due);
    kj_partitions_let_go(loaded, count);
    return err;
}

static bool acks_all_waiting(struct kj_log *log)
{
    return kj_log_flush_due(log) && !kj_log_stale(log);
}

static int64_t patience_ns(const struct kj_store *store)
{
    return store->options.lock_timeout_ms * 1000000;
}

int kj_flush_own(struct kj_store *store)
{
    return flush_where(store, kj_log_owes_flush, patience_ns(store));
}

static int flush(struct kj_store *store, struct kj_partition *const *partitions, size_t count,
                 int64_t wait_ns)
{
    if (store->options.read_only)
        return kj_err(KAJA_ERR_READ_ONLY, "the directory was opened read-only");
    KJ_TRY(kj_log_gone(kj_shared_of(store), false));
    if (count == 0)
        return flush_where(store, acks_all_waiting, wait_ns);
    /* What is durable already needs no round. */
    bool due = false;
    for (size_t i = 0; i < count && !due; i++) {
        struct kj_log *log = kj_partition_log(partitions[i]);
        due = kj_log_durable(log) < kj_log_end(log) || kj_log_stale(log);
    }
    return due ? request_flush(store, partitions, count, false, wait_ns) : 0;
}

int kj_store_flush(struct kj_store *store, struct kj_partition *const *partitions, size_t count)
{
    return flush(store, partitions, count, patience_ns(store));
}

int kj_store_flush_soon(struct kj_store *store, struct kj_partition *const *partitions,
                        size_t count)
{
    return flush(store, partitions, count, SOON_NS);
}
