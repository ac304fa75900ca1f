/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A flush while others change the partition under it.
 */
#include "fixture.h"

#include "log/internal.h"

#include <pthread.h>

#define T FIXTURE_T

/* Lets another handle take segments away right before the at-th call of this one's io. */
struct taker {
    struct handle *other;
    int at, calls;
    bool all; /* even the active segment */
    int err;
};

static void *take(void *arg)
{
    struct taker *taker = arg;
    int64_t low, freed;
    if (!taker->all) {
        taker->err = kj_log_delete_records(taker->other->log, -1, &low);
    } else {
        struct kj_log_config config = taker->other->fixture->config;
        config.retention_ms = 1;
        kj_log_set_config(taker->other->log, &config);
        taker->err = kj_log_retain(taker->other->log, &freed);
    }
    return NULL;
}

static int take_then(void *arg, const char *op, const char *path)
{
    struct taker *taker = arg;
    pthread_t id;
    (void)op;
    (void)path;
    if (++taker->calls != taker->at)
        return 0;
    /* In a thread of its own: locks of this one are held. */
    assert_int_equal(pthread_create(&id, NULL, take, taker), 0);
    assert_int_equal(pthread_join(id, NULL), 0);
    return 0;
}

static bool flush_beside_retention(int at, bool all)
{
    struct fixture fixture;
    struct handle a, b;
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 200;
    fixture.config.retention_ms = -1;
    fixture_create_files(&fixture);
    handle_open(&a, &fixture, true);
    assert_ok(kj_log_load(a.log, 0, 0));
    for (int i = 0; i < 9; i++)
        append_one(a.log, T, "v", false);
    fixture.now_ms = T + 1000;
    handle_open(&b, &fixture, false);
    assert_ok(kj_log_load(b.log, -1, -1));
    struct taker taker = {.other = &a, .at = at, .all = all};
    b.io->step = take_then;
    b.io->step_arg = &taker;
    int err = kj_log_flush(b.log);
    if (err != 0)
        fail_msg("call %d%s: %s", at, all ? ", all" : "", kaja_error_detail());
    assert_ok(taker.err);
    assert_int_equal(kj_log_durable(b.log), 9);
    assert_false(kj_log_poisoned(b.log));
    bool taken = taker.calls >= at;
    b.io->step = NULL;
    if (taken)
        assert_true(kj_log_start(b.log) > 0);
    assert_int_equal(append_one(b.log, T, "w", true), 9);
    assert_ok(kj_log_flush(b.log));
    assert_int_equal(kj_log_durable(a.log), 10);
    handle_close(&b);
    handle_close(&a);
    fixture_end(&fixture);
    return taken;
}

static void test_segments_go_meanwhile(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        int at = 1;
        while (flush_beside_retention(at, all == 1))
            at++;
        assert_true(at > 10);
    }
}

/* Nothing is read back of what this handle alone wrote. */
static void test_own_bytes_are_heard_of(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle h;
    fixture_begin(&fixture);
    fixture_create_files(&fixture);
    handle_open(&h, &fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    append_one(h.log, T, "v", false);
    struct kj_segment *active = kj_segment_active(h.log);
    assert_int_equal(active->opened_end, 0);
    assert_false(active->opened_amid);
    kj_segment_release(active);
    handle_close(&h);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_go_meanwhile),
        cmocka_unit_test(test_own_bytes_are_heard_of),
    };
    fixture_base_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
