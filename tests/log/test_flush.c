/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A flush while others change the partition under it.
 */
#include "fixture.h"

#include "log/internal.h"

#include <pthread.h>
#include <unistd.h>

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

/* --- making room --- */

struct crowd {
    struct fixture fixture;
    struct handle h;
    struct kj_log *others[3];
    struct kj_segment *pinned[3];
};

/* One log that owes a flush and is used least, and others that need room. */
static void crowd_begin(struct crowd *crowd, const struct kj_file_cache_calls *calls)
{
    memset(crowd, 0, sizeof *crowd);
    fixture_begin(&crowd->fixture);
    crowd->fixture.files_max = 8;
    fixture_create_files(&crowd->fixture);
    handle_open(&crowd->h, &crowd->fixture, true);
    if (calls != NULL)
        kj_file_cache_listen(crowd->h.files, calls);
    assert_ok(kj_log_load(crowd->h.log, 0, 0));
    append_one(crowd->h.log, T, "v", true);
    for (int i = 0; i < 3; i++) {
        char dir[16];
        (void)snprintf(dir, sizeof dir, "events-%d", i + 1);
        assert_ok(kj_log_create_files(crowd->h.io, dir, fixture_topic_id));
        struct kj_log_options options = {.env = &crowd->h.env,
                                         .topic = "events",
                                         .partition = i + 1,
                                         .dir = dir,
                                         .slot = UINT32_MAX,
                                         .config = crowd->fixture.config};
        memcpy(options.topic_id, fixture_topic_id, 16);
        assert_ok(kj_log_new(&options, &crowd->others[i]));
        assert_ok(kj_log_load(crowd->others[i], -1, -1));
    }
}

static void crowd_open(struct crowd *crowd, int count)
{
    struct kj_file *file;
    for (int i = 0; i < count; i++) {
        crowd->pinned[i] = kj_segment_active(crowd->others[i]);
        assert_non_null(crowd->pinned[i]);
        for (int kind = KJ_FILE_LOG; kind <= KJ_FILE_TXNINDEX; kind++)
            assert_ok(kj_segment_pin(crowd->pinned[i], (enum kj_file_kind)kind, true, &file));
    }
}

static void crowd_end(struct crowd *crowd)
{
    for (int i = 0; i < 3; i++) {
        for (int kind = 0; crowd->pinned[i] != NULL && kind < KJ_SEGMENT_FILES; kind++)
            kj_segment_unpin(crowd->pinned[i]);
        if (crowd->pinned[i] != NULL)
            kj_segment_release(crowd->pinned[i]);
        kj_log_free(crowd->others[i]);
    }
    handle_close(&crowd->h);
    fixture_end(&crowd->fixture);
}

struct freeing {
    struct handle *h;
    pthread_t id;
    kj_atomic_u64 done;
    int syncs;
    bool done_in_sync;
};

static void *free_log(void *arg)
{
    struct freeing *freeing = arg;
    kj_log_free(freeing->h->log);
    freeing->h->log = NULL;
    kj_store_release(&freeing->done, 1);
    return NULL;
}

static int free_in_sync(void *arg, const char *op, const char *path)
{
    struct freeing *freeing = arg;
    (void)path;
    if (strcmp(op, "sync") != 0 || freeing->syncs++ > 0)
        return 0;
    assert_int_equal(pthread_create(&freeing->id, NULL, free_log, freeing), 0);
    for (int i = 0; i < 20 && kj_load_acquire(&freeing->done) == 0; i++)
        (void)usleep(5000);
    freeing->done_in_sync = kj_load_acquire(&freeing->done) != 0;
    return 0;
}

/* One thread makes room by a flush of a log that another one frees meanwhile. */
static void test_freed_while_making_room(void **state)
{
    (void)state;
    struct crowd crowd;
    crowd_begin(&crowd, NULL);
    struct freeing freeing = {.h = &crowd.h};
    crowd.h.io->step = free_in_sync;
    crowd.h.io->step_arg = &freeing;
    crowd_open(&crowd, 3);
    assert_int_equal(freeing.syncs, 1);
    if (freeing.done_in_sync)
        fail_msg("the log was freed in the middle of its flush");
    assert_int_equal(pthread_join(freeing.id, NULL), 0);
    crowd_end(&crowd);
}

struct listener {
    int full, flushed;
    uint32_t slot_number;
};

static void note_full(void *arg)
{
    struct listener *listener = arg;
    listener->full++;
}

static void note_flushed(void *arg, uint32_t slot_number)
{
    struct listener *listener = arg;
    listener->flushed++;
    listener->slot_number = slot_number;
}

/* Who opens a file may hold the append lock of its partition: no flush is made there while it can
 * be avoided, and who waits for what a flush made readable hears of it. */
static void test_room_is_made_elsewhere(void **state)
{
    (void)state;
    struct listener listener = {.slot_number = 77};
    struct kj_file_cache_calls calls = {&listener, note_flushed, note_full};
    struct crowd crowd;
    crowd_begin(&crowd, &calls);
    struct kj_log *log = crowd.h.log;
    crowd_open(&crowd, 1);
    struct kj_file *file;
    struct kj_segment *second = kj_segment_active(crowd.others[1]);
    for (int kind = KJ_FILE_LOG; kind <= KJ_FILE_INDEX; kind++)
        assert_ok(kj_segment_pin(second, (enum kj_file_kind)kind, true, &file));
    crowd.pinned[1] = second;
    assert_true(listener.full > 0);
    assert_int_equal(kj_log_durable(log), 0);
    size_t files = kj_file_cache_open_files(crowd.h.files);
    assert_true(files > 6 && files <= 8); /* from two thirds on it is asked for */
    kj_file_cache_trim(crowd.h.files);
    assert_true(kj_file_cache_open_files(crowd.h.files) < files);
    assert_int_equal(kj_log_durable(log), 1);
    assert_int_equal(listener.flushed, 1);
    assert_int_equal(listener.slot_number, 0);
    assert_int_equal((int64_t)kj_log_word(log, KJ_SLOT_HIGH_WATERMARK), 1);
    /* At the bound, room is made at once. */
    append_one(log, T, "v", true);
    for (int kind = KJ_FILE_INDEX + 1; kind <= KJ_FILE_TXNINDEX; kind++)
        assert_ok(kj_segment_pin(second, (enum kj_file_kind)kind, true, &file));
    assert_int_equal(kj_log_durable(log), 2);
    assert_int_equal(listener.flushed, 2);
    crowd_end(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_go_meanwhile),
        cmocka_unit_test(test_own_bytes_are_heard_of),
        cmocka_unit_test(test_freed_while_making_room),
        cmocka_unit_test(test_room_is_made_elsewhere),
    };
    fixture_base_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
