/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/each.c - one piece of work for every partition of the directory, a few at a time: recovery,
 * and the closing by the last handle, which wait for the disk more than they compute.
 */
#include "store/internal.h"

struct job {
    const struct kj_catalog_topic *topic;
    int32_t partition;
};

struct each {
    kj_partition_work_fn *work;
    void *arg;
    struct job *jobs;
    size_t count;
    kj_atomic_u64 next;
};

/* A kj_worker_run: takes one after the other until none is left. */
static int64_t run_some(void *arg)
{
    struct each *each = arg;
    for (;;) {
        uint64_t i = kj_fetch_add(&each->next, 1);
        if (i >= each->count)
            return INT64_MAX;
        each->work(each->arg, each->jobs[i].topic, each->jobs[i].partition);
    }
}

static struct job *list_jobs(const struct kj_catalog *catalog, size_t *ret_count)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < catalog->count; i++)
        count += (size_t)catalog->topics[i]->partitions;
    struct job *jobs = kj_alloc((count + 1) * sizeof *jobs);
    for (size_t i = 0; jobs != NULL && i < catalog->count; i++)
        for (int32_t p = 0; p < catalog->topics[i]->partitions; p++)
            jobs[at++] = (struct job){catalog->topics[i], p};
    *ret_count = count;
    return jobs;
}

int kj_each_partition(struct kj_store *store, const struct kj_catalog *catalog, unsigned helpers,
                      kj_partition_work_fn *work, void *arg)
{
    enum { HELPERS_MAX = 3 };
    struct kj_worker *workers[HELPERS_MAX];
    unsigned started = 0;
    struct each each = {.work = work, .arg = arg};
    each.jobs = list_jobs(catalog, &each.count);
    if (each.jobs == NULL)
        return kj_err_oom("the list of partitions");
    if (store->options.background_threads == 0)
        helpers = 0;
    while (started < helpers && started < HELPERS_MAX && started + 1 < each.count &&
           kj_worker_start("kaja-helper", store->clock, run_some, &each, &workers[started]) == 0)
        started++;
    (void)run_some(&each);
    while (started > 0)
        kj_worker_stop(workers[--started]); /* lets it end what it has begun */
    kj_free(each.jobs);
    return 0;
}
