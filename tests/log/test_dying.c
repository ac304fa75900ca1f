/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A neighbour dies at every single step: each load, store, lock, write, rename of its appends, rolls,
 * flushes and retention in turn is the last thing it does. The survivor goes on at once; what was
 * acknowledged to the dead one is there, in order, and nothing else but its one unanswered batch.
 */
#include "fixture.h"

#include "log/internal.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t T = FIXTURE_T;

struct killer {
    long left;
};

static void tick(struct killer *killer)
{
    if (--killer->left <= 0)
        kill(getpid(), SIGKILL);
}

static void on_shared(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)step;
    (void)number;
    (void)name;
    tick(arg);
}

static int on_io(void *arg, const char *op, const char *path)
{
    (void)op;
    (void)path;
    tick(arg);
    return 0;
}

struct ack {
    int64_t offset;
    int32_t run, sequence;
};

/* What the victim does: small segments, so that a few appends roll; every second batch acks=all. */
static void victim(struct fixture *fixture, int run, int pipe_fd, long steps)
{
    struct handle h;
    struct killer killer = {.left = steps};
    handle_open(&h, fixture, false);
    if (kj_log_load(h.log, 0, 0) != 0)
        _exit(2);
    h.shared->step = on_shared;
    h.shared->step_arg = &killer;
    h.io->step = on_io;
    h.io->step_arg = &killer;
    for (int i = 0; i < 4; i++) {
        static struct maker maker;
        struct kj_append_batch batch;
        char value[64];
        snprintf(value, sizeof value, "run %d record %d", run, i);
        maker_begin(&maker);
        maker_add(&maker, T + run, NULL, value);
        if (maker_append(&maker, h.log, KJ_APPEND_TRUSTED, i % 2 == 1, &batch) != 0)
            _exit(3);
        if (i % 2 == 1 && kj_log_flush(h.log) != 0)
            _exit(4);
        struct ack ack = {batch.ret_base_offset, run, i};
        if (write(pipe_fd, &ack, sizeof ack) != (ssize_t)sizeof ack)
            _exit(5);
    }
    int64_t freed;
    if (run % 3 == 0 && kj_log_retain(h.log, &freed) != 0)
        _exit(6);
    _exit(0);
}

struct model {
    struct ack *acks;
    size_t count, capacity;
};

static void check(struct kj_log *log, const struct model *model, int runs)
{
    char *text = read_all(log);
    int64_t expected = kj_log_start(log);
    size_t next_ack = 0;
    int seen_run = -1, seen_record = -1;
    while (next_ack < model->count && model->acks[next_ack].offset < expected)
        next_ack++;
    for (char *line = text; *line != 0; line = strchr(line, '\n') + 1, expected++) {
        long long offset;
        int run = -1, record = -1;
        assert_int_equal(sscanf(line, "%lld:", &offset), 1);
        assert_int_equal(offset, expected);
        if (sscanf(line, "%lld:run %d record %d", &offset, &run, &record) == 3) {
            assert_true(run < runs);
            assert_true(run > seen_run || (run == seen_run && record == seen_record + 1));
            seen_run = run;
            seen_record = record;
        }
        if (next_ack < model->count && model->acks[next_ack].offset == offset) {
            assert_int_equal(model->acks[next_ack].run, run);
            assert_int_equal(model->acks[next_ack].sequence, record);
            next_ack++;
        }
    }
    if (next_ack != model->count)
        fail_msg("acknowledged offset %lld is gone", (long long)model->acks[next_ack].offset);
    free(text);
}

static void note(struct model *model, const struct ack *ack)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? model->capacity * 2 : 256;
        model->acks = realloc(model->acks, model->capacity * sizeof *model->acks);
    }
    model->acks[model->count++] = *ack;
}

static void test_every_step(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle survivor;
    struct model model = {0};
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 300;
    fixture.config.index_interval_bytes = 80;
    fixture.config.retention_bytes = 2000;
    fixture_create_files(&fixture);
    handle_open(&survivor, &fixture, true);
    assert_ok(kj_log_load(survivor.log, 0, 0));
    int run = 0;
    bool ended = false;
    const char *quick = getenv("KJ_KILL_STRIDE");
    int stride = quick != NULL ? atoi(quick) : 1;
    for (long steps = 1; !ended; steps += stride, run++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            victim(&fixture, run, fds[1], steps);
        }
        close(fds[1]);
        struct ack ack;
        while (read(fds[0], &ack, sizeof ack) == (ssize_t)sizeof ack)
            note(&model, &ack);
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            ended = true;
        }
        int64_t before = kj_clock_system.mono_ns(NULL);
        append_one(survivor.log, T, "survivor", true);
        assert_ok(kj_log_flush(survivor.log));
        assert_true(kj_clock_system.mono_ns(NULL) - before < INT64_C(1000000000));
        assert_int_equal(kj_log_high_watermark(survivor.log), kj_log_end(survivor.log));
        check(survivor.log, &model, run + 1);
        assert_true(run < 100000);
    }
    print_message("killed at %d steps, %zu acknowledged\n", run - 1, model.count);
    assert_true(run > 20);

    /* All gone without a clean stop: the files alone tell the same. */
    int64_t end = kj_log_end(survivor.log);
    int64_t start = kj_log_start(survivor.log);
    handle_close(&survivor);
    handle_open(&survivor, &fixture, true);
    assert_ok(kj_log_recover(survivor.log, 0, start));
    assert_int_equal(kj_log_end(survivor.log), end);
    check(survivor.log, &model, run + 1);
    assert_ok(kj_log_close_clean(survivor.log));
    handle_close(&survivor);
    handle_open(&survivor, &fixture, true);
    assert_ok(kj_log_load(survivor.log, end, start));
    check(survivor.log, &model, run + 1);
    handle_close(&survivor);
    free(model.acks);
    fixture_end(&fixture);
}

/* Dies with two batches in the file and END before both. */
static void on_point(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    (void)number;
    if (step == KJ_STEP_POINT && strcmp(name, arg) == 0)
        kill(getpid(), SIGKILL);
}

static void append_two_and_die(struct fixture *fixture, char *point)
{
    struct handle h;
    static struct maker makers[2];
    struct kj_append_batch batches[2] = {{.durable = true}, {.durable = true}};
    struct kj_buffer out = {0};
    handle_open(&h, fixture, false);
    if (kj_log_load(h.log, 0, 0) != 0)
        _exit(2);
    for (int i = 0; i < 2; i++) {
        maker_begin(&makers[i]);
        maker_add(&makers[i], T, NULL, "phantom ");
        if (kj_batch_writer_seal(&makers[i].writer, &makers[i].seal, &out, &batches[i].bytes, &batches[i].len))
            _exit(3);
    }
    h.shared->step = on_point;
    h.shared->step_arg = point;
    (void)kj_log_append(h.log, batches, 2, KJ_APPEND_TRUSTED);
    _exit(4);
}

/* A shorter append on top of a dead one's must not leave the rest of it standing as a valid batch. */
static void test_nothing_of_the_dead(void **state)
{
    (void)state;
    static char points[][32] = {"append: intent", "append: bytes", "append: hints"};
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture;
        struct handle h;
        fixture_begin(&fixture);
        fixture_create_files(&fixture);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_load(h.log, 0, 0));
        append_one(h.log, T, "first   ", false);
        pid_t pid = fork();
        if (pid == 0)
            append_two_and_die(&fixture, points[i]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        append_one(h.log, T, "survivor", false);
        /* Nobody waits for the dead one's flush. */
        assert_int_equal(kj_log_high_watermark(h.log), 2);
        handle_close(&h);
        handle_open(&h, &fixture, true);
        assert_ok(kj_log_recover(h.log, 0, 0));
        char *text = read_all(h.log);
        assert_string_equal(text, "0:first   \n1:survivor\n");
        free(text);
        handle_close(&h);
        fixture_end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step),
        cmocka_unit_test(test_nothing_of_the_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
