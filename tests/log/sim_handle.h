/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/log/sim_handle.h - a log handle over a simulated disk and simulated words, and checks that may fail
 * inside a simulated process, from where cmocka cannot be left.
 */
#ifndef KJ_TESTS_LOG_SIM_HANDLE_H
#define KJ_TESTS_LOG_SIM_HANDLE_H

#include "fixture.h"

#include "log/internal.h"
#include "sim/sim_io.h"
#include "sim/sim_shared.h"

enum { SLOT = 64 };
#define DIR "events-0"

/* What a test of a task or an image found wrong; the first is told. */
static char wrong[1024];

static void __attribute__((format(printf, 3, 4))) complain(int line, const char *what, const char *format, ...)
{
    va_list args;
    if (wrong[0] != 0)
        return;
    int at = snprintf(wrong, sizeof wrong, "line %d: %s: ", line, what);
    va_start(args, format);
    vsnprintf(wrong + at, sizeof wrong - (size_t)at, format, args);
    va_end(args);
}

#define check(cond, ...)                                                                                     \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            complain(__LINE__, #cond, __VA_ARGS__);                                                          \
    } while (0)
#define check_ok(expr)                                                                                       \
    do {                                                                                                     \
        int err_ = (expr);                                                                                   \
        check(err_ == 0, "%s (%s)", kaja_error_name(err_), kaja_error_detail());                             \
    } while (0)

struct handle_of {
    struct kj_io *io;
    struct kj_shared *shared;
    struct kj_file_cache *files;
    struct kj_log_env env;
    struct kj_log *log;
};

struct news {
    char text[4096];
    int64_t holes[64][2];
    int hole_count, recovered, damaged;
    int64_t recovered_end;
};

static void on_news(void *arg, const struct kj_log_news *news)
{
    struct news *to = arg;
    if (to == NULL)
        return;
    size_t at = strlen(to->text);
    snprintf(to->text + at, sizeof to->text - at, "%d:%s\n", news->kind, news->text);
    if (news->kind == KAJA_EVENT_RECOVERED) {
        to->recovered++;
        to->recovered_end = news->end_offset;
    }
    if (news->kind == KAJA_EVENT_DAMAGE) {
        to->damaged++;
        if (to->hole_count < 64) {
            to->holes[to->hole_count][0] = news->offset;
            to->holes[to->hole_count++][1] = news->end_offset;
        }
    }
}

static void fill_nothing(struct kj_shared *shared, void *arg)
{
    (void)shared, (void)arg;
}

static void handle_begin(struct handle_of *handle, struct kj_sim *sim, struct kj_sim_tasks *tasks,
                         struct kj_sim_shared *words, const struct kj_log_config *config, bool first,
                         struct news *news)
{
    *handle = (struct handle_of){.io = kj_sim_open(sim, false, NULL, NULL)};
    struct kj_shared_options shared = {.root_fd = -1,
                                       .lock_name = "kaja.lock",
                                       .control_name = "kaja.control",
                                       .clock = kj_sim_tasks_clock(tasks),
                                       .sim = &kj_sim_shared_ops,
                                       .sim_arg = words};
    check(kj_shared_open(&shared, &handle->shared) == 0, "shared");
    if (first)
        check(kj_shared_build(handle->shared, SLOT + KJ_SLOT_WORDS, fill_nothing, NULL) == 0, "build");
    else
        check(kj_shared_attach(handle->shared) == 0 && kj_shared_reach(handle->shared, SLOT + KJ_SLOT_WORDS) == 0,
              "attach");
    check_ok(kj_file_cache_new(6, 4, &handle->files)); /* few: what is evicted owes a flush */
    handle->env = (struct kj_log_env){.io = handle->io,
                                      .shared = handle->shared,
                                      .clock = kj_sim_tasks_clock(tasks),
                                      .files = handle->files,
                                      .lock_timeout_ns = INT64_C(5000000000),
                                      .prepare_window_max = 1 << 20,
                                      .producer_ids_max = 10000};
    struct kj_log_options options = {.env = &handle->env,
                                     .topic = "events",
                                     .dir = DIR,
                                     .slot = SLOT,
                                     .config = *config,
                                     .news = on_news,
                                     .news_arg = news};
    memcpy(options.topic_id, fixture_topic_id, 16);
    check_ok(kj_log_new(&options, &handle->log));
}

static void handle_end(struct handle_of *handle)
{
    kj_log_free(handle->log);
    kj_file_cache_free(handle->files);
    kj_shared_close(handle->shared);
    kj_io_destroy(handle->io);
}

#endif
