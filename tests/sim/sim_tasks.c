/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/sim_tasks.h"

#include "sim/sim_disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS_MAX = 64, NOBODY = -1, STACK_BYTES = 1 << 20, LOOK_NS = 50 };

enum state { RUNNABLE, WAITING, ASLEEP, ENDED, KILLED };

struct task {
    struct kj_sim_tasks *tasks;
    pthread_t thread;
    pthread_cond_t turn;
    enum state state;
    unsigned process;
    int64_t deadline_ns;
    uint64_t seen_changes; /* WAITING: nothing new while it equals changes */
    bool timed_out;
    void (*run)(void *arg);
    void *arg;
};

struct kj_sim_tasks {
    pthread_mutex_t mutex; /* everything; who is not `current` sleeps on its turn */
    pthread_cond_t over;
    int current;
    struct task *list[TASKS_MAX];
    int count;
    uint64_t random, trace, changes;
    unsigned switch_pct;
    bool stuck;
    int64_t now_ns;
    struct kj_clock clock;
    void (*on_kill)(void *arg, unsigned process);
    void *on_kill_arg;
};

static int64_t clock_mono_ns(void *arg)
{
    struct kj_sim_tasks *tasks = arg;
    return tasks->now_ns += LOOK_NS;
}

static int64_t clock_wall_ms(void *arg)
{
    const struct kj_sim_tasks *tasks = arg;
    return 1700000000000 + tasks->now_ns / 1000000;
}

static void clock_random(void *arg, void *buf, size_t bytes)
{
    struct kj_sim_tasks *tasks = arg;
    uint8_t *to = buf;
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)sim_random(&tasks->random);
}

struct kj_sim_tasks *kj_sim_tasks_new(uint64_t seed, unsigned switch_pct)
{
    struct kj_sim_tasks *tasks = sim_alloc(sizeof *tasks);
    pthread_mutex_init(&tasks->mutex, NULL);
    pthread_cond_init(&tasks->over, NULL);
    tasks->current = NOBODY;
    tasks->random = seed;
    tasks->switch_pct = switch_pct;
    tasks->now_ns = 1000000000;
    tasks->clock = (struct kj_clock){
        .wall_ms = clock_wall_ms, .mono_ns = clock_mono_ns, .random = clock_random, .arg = tasks};
    return tasks;
}

bool kj_sim_tasks_free(struct kj_sim_tasks *tasks)
{
    bool parked = false;
    for (int i = 0; i < tasks->count; i++) {
        struct task *task = tasks->list[i];
        if (task->state != ENDED) {
            parked = true;
            pthread_detach(task->thread);
            continue;
        }
        pthread_join(task->thread, NULL);
        pthread_cond_destroy(&task->turn);
        free(task);
    }
    if (parked) /* their threads still look at it */
        return false;
    pthread_cond_destroy(&tasks->over);
    pthread_mutex_destroy(&tasks->mutex);
    free(tasks);
    return true;
}

/* --- whose turn it is --- */

static bool ready(const struct kj_sim_tasks *tasks, const struct task *task)
{
    return task->state == RUNNABLE ||
           (task->state == WAITING && task->seen_changes != tasks->changes) ||
           (task->state == ASLEEP && task->deadline_ns <= tasks->now_ns);
}

static int draw_ready(struct kj_sim_tasks *tasks)
{
    int found[TASKS_MAX];
    unsigned count = 0;
    for (int i = 0; i < tasks->count; i++)
        if (ready(tasks, tasks->list[i]))
            found[count++] = i;
    return count == 0 ? NOBODY : found[sim_random(&tasks->random) % count];
}

/* Everybody waits, and everybody has looked: time passes. */
static int draw_by_time(struct kj_sim_tasks *tasks)
{
    int first = NOBODY;
    for (int i = 0; i < tasks->count; i++)
        if ((tasks->list[i]->state == WAITING || tasks->list[i]->state == ASLEEP) &&
            (first == NOBODY || tasks->list[i]->deadline_ns < tasks->list[first]->deadline_ns))
            first = i;
    if (first == NOBODY)
        return NOBODY;
    struct task *task = tasks->list[first];
    if (task->deadline_ns == INT64_MAX) {
        tasks->stuck = true;
        return NOBODY;
    }
    if (task->deadline_ns > tasks->now_ns)
        tasks->now_ns = task->deadline_ns;
    task->timed_out = true;
    return first;
}

static void pass_on(struct kj_sim_tasks *tasks)
{
    int next = draw_ready(tasks);
    if (next == NOBODY)
        next = draw_by_time(tasks);
    tasks->current = next;
    tasks->trace = (tasks->trace ^ (uint64_t)(next + 2)) * 1099511628211u;
    if (next == NOBODY) {
        pthread_cond_broadcast(&tasks->over);
        return;
    }
    tasks->list[next]->state = RUNNABLE;
    pthread_cond_signal(&tasks->list[next]->turn);
}

static void wait_for_turn(struct task *task)
{
    struct kj_sim_tasks *tasks = task->tasks;
    while (tasks->current == NOBODY || tasks->list[tasks->current] != task)
        pthread_cond_wait(&task->turn, &tasks->mutex);
}

static void *task_main(void *arg)
{
    struct task *task = arg;
    struct kj_sim_tasks *tasks = task->tasks;
    pthread_mutex_lock(&tasks->mutex);
    wait_for_turn(task);
    pthread_mutex_unlock(&tasks->mutex);
    task->run(task->arg);
    pthread_mutex_lock(&tasks->mutex);
    task->state = ENDED;
    tasks->changes++;
    pass_on(tasks);
    pthread_mutex_unlock(&tasks->mutex);
    return NULL;
}

void kj_sim_task_add(struct kj_sim_tasks *tasks, unsigned process, void (*run)(void *arg),
                     void *arg)
{
    if (tasks->count == TASKS_MAX)
        abort();
    struct task *task = sim_alloc(sizeof *task);
    *task = (struct task){.tasks = tasks, .process = process, .run = run, .arg = arg};
    pthread_cond_init(&task->turn, NULL);
    pthread_mutex_lock(&tasks->mutex);
    tasks->list[tasks->count++] = task;
    pthread_mutex_unlock(&tasks->mutex);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&task->thread, &attr, task_main, task) != 0)
        abort();
    pthread_attr_destroy(&attr);
}

bool kj_sim_tasks_run(struct kj_sim_tasks *tasks)
{
    pthread_mutex_lock(&tasks->mutex);
    tasks->stuck = false;
    pass_on(tasks);
    while (tasks->current != NOBODY)
        pthread_cond_wait(&tasks->over, &tasks->mutex);
    bool ended = !tasks->stuck;
    pthread_mutex_unlock(&tasks->mutex);
    return ended;
}

/* --- from tasks --- */

void kj_sim_yield(struct kj_sim_tasks *tasks)
{
    if (tasks->current == NOBODY)
        return;
    pthread_mutex_lock(&tasks->mutex);
    struct task *task = tasks->list[tasks->current];
    tasks->changes++; /* a step is something that others may wait for */
    if (sim_random(&tasks->random) % 100 < tasks->switch_pct) {
        pass_on(tasks);
        wait_for_turn(task);
    }
    pthread_mutex_unlock(&tasks->mutex);
}

static int wait_until(struct kj_sim_tasks *tasks, enum state how, int64_t deadline_ns)
{
    if (tasks->current == NOBODY) {
        if (deadline_ns == INT64_MAX)
            abort(); /* nobody is there to end this */
        if (deadline_ns > tasks->now_ns)
            tasks->now_ns = deadline_ns;
        return ETIMEDOUT;
    }
    pthread_mutex_lock(&tasks->mutex);
    struct task *task = tasks->list[tasks->current];
    task->state = how;
    task->deadline_ns = deadline_ns;
    task->seen_changes = tasks->changes;
    task->timed_out = false;
    pass_on(tasks);
    wait_for_turn(task);
    bool timed_out = task->timed_out || tasks->now_ns >= deadline_ns;
    pthread_mutex_unlock(&tasks->mutex);
    return timed_out ? ETIMEDOUT : 0;
}

int kj_sim_pause(struct kj_sim_tasks *tasks, int64_t deadline_ns)
{
    return wait_until(tasks, WAITING, deadline_ns);
}

void kj_sim_sleep(struct kj_sim_tasks *tasks, int64_t ns)
{
    (void)wait_until(tasks, ASLEEP, tasks->now_ns + ns); /* nothing else ends it */
}

void kj_sim_stir(struct kj_sim_tasks *tasks)
{
    tasks->changes++; /* by whose turn it is */
}

void kj_sim_kill(struct kj_sim_tasks *tasks, unsigned process)
{
    bool self = kj_sim_process(tasks) == process;
    pthread_mutex_lock(&tasks->mutex);
    for (int i = 0; i < tasks->count; i++)
        if (tasks->list[i]->process == process && tasks->list[i]->state != ENDED)
            tasks->list[i]->state = KILLED;
    tasks->changes++;
    tasks->trace = (tasks->trace ^ 0x6b696c6c ^ process) * 1099511628211u;
    pthread_mutex_unlock(&tasks->mutex);
    if (tasks->on_kill != NULL)
        tasks->on_kill(tasks->on_kill_arg, process);
    if (!self)
        return;
    pthread_mutex_lock(&tasks->mutex);
    struct task *task = tasks->list[tasks->current];
    pass_on(tasks);
    for (;;)
        pthread_cond_wait(&task->turn, &tasks->mutex);
}

unsigned kj_sim_process(const struct kj_sim_tasks *tasks)
{
    return tasks->current == NOBODY ? UINT32_MAX : tasks->list[tasks->current]->process;
}

void kj_sim_on_kill(struct kj_sim_tasks *tasks, void (*on_kill)(void *arg, unsigned process),
                    void *arg)
{
    tasks->on_kill = on_kill;
    tasks->on_kill_arg = arg;
}

uint64_t kj_sim_draw(struct kj_sim_tasks *tasks, uint64_t below)
{
    return sim_random(&tasks->random) % below;
}

uint64_t kj_sim_trace(const struct kj_sim_tasks *tasks)
{
    return tasks->trace ^ tasks->random;
}

const struct kj_clock *kj_sim_tasks_clock(struct kj_sim_tasks *tasks)
{
    return &tasks->clock;
}

int kj_sim_io_step(void *arg, const char *op, const char *path)
{
    (void)op, (void)path;
    kj_sim_yield(arg);
    return 0;
}

void kj_sim_shared_step(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)step, (void)number, (void)name;
    kj_sim_yield(arg);
}
