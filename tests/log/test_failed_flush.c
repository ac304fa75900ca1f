/* SPDX-License-Identifier: BSD-2-Clause
 *
 * After a failed flush the page cache shows bytes that the disk will never have. Nobody may call them
 * durable: not the next flusher, who opened the file later and sees no error; not the recovery of the next
 * opener, while the power stays on.
 */
#include "sim_handle.h"

#include <errno.h>
#include <pthread.h>

struct stage {
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *words;
    struct kj_log_config config;
    struct news news;
    char value[3000];
};

static void open_stage(struct stage *stage, struct handle_of *first)
{
    stage->tasks = kj_sim_tasks_new(5, 0);
    stage->words = kj_sim_shared_new(stage->tasks);
    stage->news = (struct news){.recovered = 0};
    handle_begin(first, stage->sim, stage->tasks, stage->words, &stage->config, true, &stage->news);
}

static void close_stage(struct stage *stage, struct handle_of *last)
{
    handle_end(last);
    assert_true(kj_sim_tasks_free(stage->tasks));
    kj_sim_shared_free(stage->words);
    if (wrong[0] != 0)
        fail_msg("%s", wrong);
}

static void begin_stage(struct stage *stage, uint64_t seed, struct handle_of *first)
{
    memset(stage, 0, sizeof *stage);
    memset(stage->value, 'v', sizeof stage->value - 1);
    stage->sim = kj_sim_new(seed);
    kj_sim_limit(stage->sim, 0, 256 << 10);
    kj_log_config_defaults(&stage->config);
    stage->config.segment_bytes = seed % 2 == 0 ? 8000 : 100000;
    struct kj_io *io = kj_sim_open(stage->sim, false, NULL, NULL);
    assert_ok(kj_log_create_files(io, DIR, fixture_topic_id));
    kj_io_destroy(io);
    open_stage(stage, first);
    assert_ok(kj_log_load(first->log, 0, 0));
}

static void append_some(struct stage *stage, struct kj_log *log, int count)
{
    for (int i = 0; i < count; i++)
        append_one(log, FIXTURE_T, stage->value, true);
}

/* Recovers a copy from which everything unsynced is gone. */
static int64_t end_after_cut(struct stage *stage, uint64_t seed)
{
    struct stage after = *stage;
    struct handle_of handle;
    after.sim = kj_sim_crash_copy(stage->sim, seed, KJ_SIM_CRASH_DROP);
    open_stage(&after, &handle);
    assert_ok(kj_log_recover(handle.log, 0, 0));
    int64_t end = kj_log_end(handle.log);
    close_stage(&after, &handle);
    kj_sim_free(after.sim);
    return end;
}

static void test_recovery_without_a_cut(void **state)
{
    (void)state;
    int shorter = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct stage stage;
        struct handle_of handle;
        begin_stage(&stage, seed, &handle);
        append_some(&stage, handle.log, 2);
        assert_ok(kj_log_flush(handle.log));
        append_some(&stage, handle.log, 3);
        kj_sim_fail(stage.sim, "sync", 1, EIO, false);
        assert_err(kj_log_flush(handle.log), KAJA_ERR_POISONED);
        assert_true(kj_log_poisoned(handle.log));
        assert_int_equal(kj_log_durable(handle.log), 2);
        assert_int_equal(kj_log_high_watermark(handle.log), 2);
        assert_err(kj_log_flush(handle.log), KAJA_ERR_POISONED);
        close_stage(&stage, &handle);

        open_stage(&stage, &handle);
        assert_ok(kj_log_recover(handle.log, 2, 0));
        int64_t end = kj_log_end(handle.log);
        assert_true(end >= 2 && end <= 5);
        assert_int_equal(kj_log_durable(handle.log), end);
        shorter += end < 5;
        assert_int_equal(end_after_cut(&stage, seed), end);
        close_stage(&stage, &handle);
        kj_sim_free(stage.sim);
    }
    assert_true(shorter > 10);
}

/* The one whose flush fails dies before he can say so. */
static void test_next_flusher(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct stage stage;
        struct handle_of writer, next;
        begin_stage(&stage, seed, &writer);
        append_some(&stage, writer.log, 2);
        assert_ok(kj_log_flush(writer.log));
        append_some(&stage, writer.log, seed % 4 < 2 ? 3 : 1);
        struct kj_log_flush flush;
        assert_ok(kj_log_flush_begin(writer.log, true, &flush));
        kj_sim_fail(stage.sim, "sync", 1, EIO, false);
        assert_int_equal(kj_io_sync(flush.file), EIO);
        /* His locks go with him; what he published stays. */
        kj_shared_unlock(writer.shared, kj_flush_lock(0), UINT32_MAX);

        handle_begin(&next, stage.sim, stage.tasks, stage.words, &stage.config, false, &stage.news);
        assert_ok(kj_log_load(next.log, -1, -1));
        int64_t end = kj_log_end(next.log);
        int err = kj_log_flush(next.log);
        if (err == 0) {
            assert_int_equal(kj_log_durable(next.log), end);
            assert_true(end_after_cut(&stage, seed) >= end);
        } else {
            assert_int_equal(err, KAJA_ERR_POISONED);
            assert_true(kj_log_poisoned(next.log));
            assert_int_equal(kj_log_high_watermark(next.log), 2);
            refused++;
        }
        handle_end(&next);
        kj_segment_unpin(flush.pin);
        kj_segment_release(flush.pin);
        close_stage(&stage, &writer);
        kj_sim_free(stage.sim);
    }
    assert_true(refused > 10);
}

/* Appends, loses it and dies, all of it right before the next handle opens the file; or opens it in
 * the middle, when the bytes are lost and END is not there yet. */
struct loser {
    struct stage *stage;
    struct handle_of *writer;
    bool done;
};

static void *lose(void *arg)
{
    struct loser *loser = arg;
    struct kj_log_flush flush;
    append_some(loser->stage, loser->writer->log, 3);
    assert_ok(kj_log_flush_begin(loser->writer->log, false, &flush));
    kj_sim_fail(loser->stage->sim, "sync", 1, EIO, false);
    assert_int_equal(kj_io_sync(flush.file), EIO);
    kj_segment_unpin(flush.pin);
    kj_segment_release(flush.pin);
    return NULL;
}

static int lose_before_open(void *arg, const char *op, const char *path)
{
    struct loser *loser = arg;
    pthread_t id;
    if (loser->done || strcmp(op, "open") != 0 || strstr(path, ".log") == NULL)
        return 0;
    loser->done = true;
    /* In a thread of its own: this one holds locks of the other handle. */
    assert_int_equal(pthread_create(&id, NULL, lose, loser), 0);
    assert_int_equal(pthread_join(id, NULL), 0);
    return 0;
}

static void test_lost_while_opening(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t seed = 1; seed <= 41; seed += 2) {
        struct stage stage;
        struct handle_of writer, next;
        begin_stage(&stage, seed, &writer);
        append_some(&stage, writer.log, 2);
        assert_ok(kj_log_flush(writer.log));
        handle_begin(&next, stage.sim, stage.tasks, stage.words, &stage.config, false, &stage.news);
        assert_ok(kj_log_load(next.log, -1, -1));
        struct loser loser = {.stage = &stage, .writer = &writer};
        next.io->step = lose_before_open;
        next.io->step_arg = &loser;
        /* The segment's file is open from here on. */
        struct kj_segment *active = kj_segment_active(next.log);
        struct kj_file *file;
        assert_ok(kj_segment_pin(active, KJ_FILE_LOG, false, &file));
        assert_true(loser.done);
        kj_segment_unpin(active);
        kj_segment_release(active);
        kj_shared_unlock(writer.shared, kj_flush_lock(0), UINT32_MAX);
        next.io->step = NULL;
        int64_t end = kj_log_end(next.log);
        assert_int_equal(end, 5);
        int err = kj_log_flush(next.log);
        if (err == 0) {
            assert_int_equal(kj_log_durable(next.log), end);
            assert_true(end_after_cut(&stage, seed) >= end);
        } else {
            assert_int_equal(err, KAJA_ERR_POISONED);
            refused++;
        }
        handle_end(&next);
        close_stage(&stage, &writer);
        kj_sim_free(stage.sim);
    }
    assert_true(refused > 5);
}

/* The same for bytes whose END comes only after the open: they were in the file before it. */
static void test_lost_before_published(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t seed = 1; seed <= 41; seed += 2) {
        struct stage stage;
        struct handle_of writer, next;
        begin_stage(&stage, seed, &writer);
        append_some(&stage, writer.log, 2);
        assert_ok(kj_log_flush(writer.log));
        append_some(&stage, writer.log, 3);
        /* As it was in the middle of the append of the last three: written, not published. */
        kj_log_set_word(writer.log, KJ_SLOT_INTENT, KJ_INTENT_APPEND);
        kj_log_set_word(writer.log, KJ_SLOT_END, 2);
        struct kj_segment *written = kj_segment_active(writer.log);
        struct kj_file *file;
        assert_ok(kj_segment_pin(written, KJ_FILE_LOG, false, &file));
        kj_sim_fail(stage.sim, "sync", 1, EIO, false);
        assert_int_equal(kj_io_sync(file), EIO);
        kj_segment_unpin(written);
        kj_segment_release(written);

        handle_begin(&next, stage.sim, stage.tasks, stage.words, &stage.config, false, &stage.news);
        assert_ok(kj_log_load(next.log, -1, -1));
        struct kj_segment *active = kj_segment_active(next.log);
        assert_ok(kj_segment_pin(active, KJ_FILE_LOG, false, &file));
        kj_segment_unpin(active);
        kj_segment_release(active);
        kj_log_set_word(writer.log, KJ_SLOT_END, 5);
        kj_log_set_word(writer.log, KJ_SLOT_INTENT, KJ_INTENT_NONE);
        int err = kj_log_flush(next.log);
        if (err == 0) {
            assert_true(end_after_cut(&stage, seed) >= 5);
            /* From here on the descriptor hears of everything: nothing is read back any more. */
            append_some(&stage, next.log, 1);
            active = kj_segment_active(next.log);
            assert_true(active->opened_end <= kj_log_durable(next.log) && !active->opened_amid);
            kj_segment_release(active);
        } else {
            assert_int_equal(err, KAJA_ERR_POISONED);
            refused++;
        }
        handle_end(&next);
        close_stage(&stage, &writer);
        kj_sim_free(stage.sim);
    }
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery_without_a_cut),
        cmocka_unit_test(test_next_flusher),
        cmocka_unit_test(test_lost_while_opening),
        cmocka_unit_test(test_lost_before_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
