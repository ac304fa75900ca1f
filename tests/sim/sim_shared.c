/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/sim_shared.h"

#include "sim/sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A control file. Freed with the directory: handles of the dead may still point to its words. */
struct control {
    struct control *next;
    size_t chunks;
    kj_atomic_u64 *chunk[KJ_SHARED_CHUNKS_MAX];
};

struct held {
    uint64_t lock;
    const struct kj_shared *owner;
    unsigned process;
    int mode;
};

struct kj_sim_shared {
    struct kj_sim_tasks *tasks;
    struct control *all;
    struct control *named; /* NULL: there is none */
    struct held *held;
    size_t held_count, held_capacity;
};

/* --- the control file --- */

static int op_grow(void *arg, void *file, size_t chunks)
{
    (void)arg;
    struct control *control = file;
    if (chunks > KJ_SHARED_CHUNKS_MAX)
        return ENOSPC;
    for (; control->chunks < chunks; control->chunks++)
        control->chunk[control->chunks] = sim_alloc(KJ_SHARED_CHUNK_WORDS * sizeof(kj_atomic_u64));
    return 0;
}

static int op_make(void *arg, size_t chunks, void **ret_file)
{
    struct kj_sim_shared *files = arg;
    struct control *control = sim_alloc(sizeof *control);
    control->next = files->all;
    files->all = control;
    *ret_file = control;
    return op_grow(arg, control, chunks);
}

static int op_publish(void *arg, void *file)
{
    struct kj_sim_shared *files = arg;
    files->named = file;
    return 0;
}

static int op_find(void *arg, void **ret_file)
{
    struct kj_sim_shared *files = arg;
    if (files->named == NULL)
        return ENOENT;
    *ret_file = files->named;
    return 0;
}

static void op_release(void *arg, void *file)
{
    (void)arg, (void)file;
}

static int op_remove(void *arg)
{
    struct kj_sim_shared *files = arg;
    files->named = NULL;
    return 0;
}

static bool op_current(void *arg, const void *file)
{
    const struct kj_sim_shared *files = arg;
    return files->named == file;
}

static size_t op_chunks(void *arg, const void *file)
{
    (void)arg;
    const struct control *control = file;
    return control->chunks;
}

static kj_atomic_u64 *op_chunk(void *arg, void *file, size_t number)
{
    (void)arg;
    struct control *control = file;
    return control->chunk[number];
}

/* --- locks --- */

static struct held *find(struct kj_sim_shared *files, const struct kj_shared *owner, uint64_t lock)
{
    for (size_t i = 0; i < files->held_count; i++)
        if (files->held[i].lock == lock && files->held[i].owner == owner)
            return &files->held[i];
    return NULL;
}

static bool others_hold(const struct kj_sim_shared *files, const struct kj_shared *owner,
                        uint64_t lock, int mode)
{
    for (size_t i = 0; i < files->held_count; i++)
        if (files->held[i].lock == lock && files->held[i].owner != owner &&
            (mode == KJ_LOCK_EXCLUSIVE || files->held[i].mode == KJ_LOCK_EXCLUSIVE))
            return true;
    return false;
}

static int op_try_lock(void *arg, const struct kj_shared *owner, uint64_t lock, int mode)
{
    struct kj_sim_shared *files = arg;
    if (others_hold(files, owner, lock, mode))
        return EAGAIN;
    struct held *held = find(files, owner, lock);
    if (held == NULL) {
        sim_grow((void **)&files->held, &files->held_capacity, files->held_count + 1, sizeof *held);
        held = &files->held[files->held_count++];
    }
    *held = (struct held){
        .lock = lock, .owner = owner, .process = kj_sim_process(files->tasks), .mode = mode};
    kj_sim_stir(files->tasks); /* from exclusive to shared lets others in */
    return 0;
}

static void op_unlock(void *arg, const struct kj_shared *owner, uint64_t lock)
{
    struct kj_sim_shared *files = arg;
    struct held *held = find(files, owner, lock);
    if (held != NULL)
        *held = files->held[--files->held_count];
    kj_sim_stir(files->tasks);
}

static bool op_held(void *arg, const struct kj_shared *owner, uint64_t lock)
{
    return others_hold(arg, owner, lock, KJ_LOCK_EXCLUSIVE);
}

static void op_drop(void *arg, const struct kj_shared *owner)
{
    struct kj_sim_shared *files = arg;
    for (size_t i = files->held_count; i-- > 0;)
        if (files->held[i].owner == owner)
            files->held[i] = files->held[--files->held_count];
    kj_sim_stir(files->tasks);
}

static void process_died(void *arg, unsigned process)
{
    struct kj_sim_shared *files = arg;
    for (size_t i = files->held_count; i-- > 0;)
        if (files->held[i].process == process)
            files->held[i] = files->held[--files->held_count];
}

static int op_pause(void *arg, struct kj_shared *shared, int64_t deadline_ns)
{
    (void)shared;
    struct kj_sim_shared *files = arg;
    return kj_sim_pause(files->tasks, deadline_ns);
}

static void op_wake(void *arg, struct kj_shared *shared, kj_word word)
{
    (void)shared, (void)word;
    struct kj_sim_shared *files = arg;
    kj_sim_stir(files->tasks);
}

const struct kj_shared_sim_ops kj_sim_shared_ops = {.make = op_make,
                                                    .publish = op_publish,
                                                    .find = op_find,
                                                    .release = op_release,
                                                    .remove = op_remove,
                                                    .current = op_current,
                                                    .grow = op_grow,
                                                    .chunks = op_chunks,
                                                    .chunk = op_chunk,
                                                    .try_lock = op_try_lock,
                                                    .unlock = op_unlock,
                                                    .held = op_held,
                                                    .drop = op_drop,
                                                    .pause = op_pause,
                                                    .wake = op_wake};

struct kj_sim_shared *kj_sim_shared_new(struct kj_sim_tasks *tasks)
{
    struct kj_sim_shared *files = sim_alloc(sizeof *files);
    files->tasks = tasks;
    kj_sim_on_kill(tasks, process_died, files);
    return files;
}

void kj_sim_shared_free(struct kj_sim_shared *files)
{
    while (files->all != NULL) {
        struct control *control = files->all;
        files->all = control->next;
        for (size_t i = 0; i < control->chunks; i++)
            free((void *)(uintptr_t)control->chunk[i]);
        free(control);
    }
    free(files->held);
    free(files);
}

void kj_sim_shared_crash(struct kj_sim_shared *files)
{
    files->held_count = 0;
    const struct control *control = files->named;
    for (size_t c = 0; control != NULL && c < control->chunks; c++)
        for (size_t w = 0; w < KJ_SHARED_CHUNK_WORDS; w++)
            kj_store_relaxed(&control->chunk[c][w], kj_sim_draw(files->tasks, UINT64_MAX));
}
