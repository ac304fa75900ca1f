/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Threads of two handles append, read, flush, prepare and delete in one partition at once. Each record names
 * its writer and its number: readers see each writer's records in order, without gaps. Made for TSan.
 */
#include "fixture.h"

#include "record/batch_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { WRITERS = 3, RECORDS = 400 };

static _Atomic bool done;

struct writer {
    struct kj_log *log;
    int id;
};

static void *write_records(void *arg)
{
    struct writer *writer = arg;
    for (int i = 0; i < RECORDS; i++) {
        uint8_t buf[512];
        char value[64];
        struct kj_batch_writer batch_writer;
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        struct kj_buffer out = {0};
        struct kj_append_batch batch = {.durable = i % 16 == 0};
        kj_batch_writer_init(&batch_writer, buf, sizeof buf);
        snprintf(value, sizeof value, "%d %d", writer->id, i);
        struct kj_record record = {.timestamp = FIXTURE_T + i, .value = value, .value_bytes = strlen(value)};
        assert_true(kj_batch_writer_append(&batch_writer, &record));
        assert_ok(kj_batch_writer_seal(&batch_writer, &seal, &out, &batch.bytes, &batch.len));
        assert_ok(kj_log_append(writer->log, &batch, 1, KJ_APPEND_TRUSTED));
        assert_ok(batch.ret_error);
        if (batch.durable)
            assert_ok(kj_log_flush(writer->log));
    }
    return NULL;
}

static void *read_records(void *arg)
{
    struct kj_log *log = arg;
    int next[WRITERS] = {0};
    int64_t offset = 0;
    struct kj_log_cursor cursor = {0};
    while (offset < (int64_t)WRITERS * RECORDS) {
        struct kj_log_read read = {0};
        int64_t limit = kj_log_high_watermark(log);
        if (limit <= offset) {
            usleep(100);
            continue;
        }
        assert_ok(kj_log_read(log, offset, limit, 4096, true, &cursor, &read));
        assert_non_null(read.view);
        for (size_t at = 0; at < read.len;) {
            struct kj_batch_reader reader;
            struct kj_buffer plain = {0};
            struct kj_record_view view;
            struct kj_batch batch;
            int id, number;
            kj_batch_decode(read.bytes + at, &batch);
            assert_int_equal(batch.base_offset, offset);
            assert_true(kj_batch_crc_ok(read.bytes + at, kj_batch_bytes(&batch)));
            assert_ok(kj_batch_reader_init(&reader, read.bytes + at, kj_batch_bytes(&batch), &plain, 4096));
            assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
            char value[64] = "";
            memcpy(value, view.value, view.value_bytes);
            assert_int_equal(sscanf(value, "%d %d", &id, &number), 2);
            assert_int_equal(number, next[id]);
            next[id]++;
            at += kj_batch_bytes(&batch);
            offset = kj_batch_next_offset(&batch);
        }
        kj_view_release(read.view);
    }
    return NULL;
}

static void *keep_house(void *arg)
{
    struct handle *handle = arg;
    while (!done) {
        int64_t offset;
        struct kj_log_stats stats;
        assert_ok(kj_log_prepare(handle->log));
        assert_ok(kj_log_get_stats(handle->log, &stats));
        assert_ok(kj_log_last_stable(handle->log, &offset));
        kj_log_set_config(handle->log, &handle->fixture->config);
        kj_file_cache_sweep(handle->files);
        usleep(300);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct fixture fixture;
    struct handle a, b;
    pthread_t writers[WRITERS], readers[2], house[2];
    struct writer args[WRITERS];
    fixture_begin(&fixture);
    fixture.config.segment_bytes = 4000;
    fixture.config.index_interval_bytes = 300;
    fixture_create_files(&fixture);
    handle_open(&a, &fixture, true);
    assert_ok(kj_log_load(a.log, 0, 0));
    handle_open(&b, &fixture, false);
    assert_ok(kj_log_load(b.log, 0, 0));
    done = false;
    for (int i = 0; i < WRITERS; i++) {
        args[i] = (struct writer){i == 0 ? b.log : a.log, i};
        pthread_create(&writers[i], NULL, write_records, &args[i]);
    }
    pthread_create(&readers[0], NULL, read_records, a.log);
    pthread_create(&readers[1], NULL, read_records, b.log);
    pthread_create(&house[0], NULL, keep_house, &a);
    pthread_create(&house[1], NULL, keep_house, &b);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    assert_ok(kj_log_flush(a.log));
    pthread_join(readers[0], NULL);
    pthread_join(readers[1], NULL);
    done = true;
    pthread_join(house[0], NULL);
    pthread_join(house[1], NULL);
    handle_close(&a);
    assert_ok(kj_log_close_clean(b.log));
    handle_close(&b);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
