/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "record/batch.h"
#include "record/batch_reader.h"
#include "record/batch_writer.h"
#include "record/control.h"

enum { T = 1000 };

static const struct kj_record plain_record = {
    .timestamp = T, .key = "k", .key_bytes = 1, .value = "v", .value_bytes = 1};

/* A sealed batch of n records of 9 bytes each. */
static size_t make(uint8_t *buf, size_t capacity, int n)
{
    struct kj_batch_writer writer;
    kj_batch_writer_init(&writer, buf, capacity);
    for (int i = 0; i < n; i++)
        assert_true(kj_batch_writer_append(&writer, &plain_record));
    uint8_t *bytes;
    size_t len;
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &bytes, &len));
    assert_ptr_equal(bytes, buf);
    assert_int_equal(len, 61 + 9 * (size_t)n);
    return len;
}

static void test_header(void **state)
{
    (void)state;
    uint8_t p[61], again[61];
    for (unsigned i = 0; i < 61; i++)
        p[i] = (uint8_t)(0x90 + i);
    struct kj_batch batch;
    kj_batch_decode(p, &batch);
    assert_int_equal(batch.base_offset, (int64_t)0x9091929394959697);
    assert_int_equal(batch.length, (int32_t)0x98999a9b);
    assert_int_equal(batch.epoch, (int32_t)0x9c9d9e9f);
    assert_int_equal(batch.magic, (int8_t)0xa0);
    assert_int_equal(batch.crc, 0xa1a2a3a4);
    assert_int_equal(batch.attributes, (int16_t)0xa5a6);
    assert_int_equal(batch.last_offset_delta, (int32_t)0xa7a8a9aa);
    assert_int_equal(batch.base_timestamp, (int64_t)0xabacadaeafb0b1b2);
    assert_int_equal(batch.max_timestamp, (int64_t)0xb3b4b5b6b7b8b9ba);
    assert_int_equal(batch.producer_id, (int64_t)0xbbbcbdbebfc0c1c2);
    assert_int_equal(batch.producer_epoch, (int16_t)0xc3c4);
    assert_int_equal(batch.base_sequence, (int32_t)0xc5c6c7c8);
    assert_int_equal(batch.count, (int32_t)0xc9cacbcc);
    kj_batch_encode(&batch, again);
    assert_memory_equal(p, again, 61);
}

static void test_derived(void **state)
{
    (void)state;
    struct kj_batch batch = {.base_offset = 40, .last_offset_delta = 2, .base_sequence = INT32_MAX};
    assert_int_equal(kj_batch_last_offset(&batch), 42);
    assert_int_equal(kj_batch_next_offset(&batch), 43);
    assert_int_equal(kj_batch_last_sequence(&batch), 1);
    batch.base_sequence = -1;
    assert_int_equal(kj_batch_last_sequence(&batch), -1);
    assert_string_equal(kj_codec_name(4), "zstd");
    assert_string_equal(kj_codec_name(5), "unknown");
    assert_string_equal(kj_codec_name(-1), "unknown");
    assert_string_equal(kj_codec_name(KJ_CODEC_SNAPPY), "snappy");
}

static enum kj_batch_look look_with(const uint8_t *good, size_t at, uint8_t value, size_t available)
{
    uint8_t p[200];
    struct kj_batch batch = {.count = -77};
    memcpy(p, good, 79);
    p[at] = value;
    enum kj_batch_look look = kj_batch_look(p, available, &batch);
    assert_int_equal(look == KJ_BATCH_OK, batch.count != -77);
    return look;
}

static void test_look(void **state)
{
    (void)state;
    uint8_t p[200] = {0};
    size_t len = make(p, sizeof p, 2);
    assert_int_equal(len, 79);
    struct kj_batch batch;
    for (size_t n = 0; n < len; n++)
        assert_int_equal(kj_batch_look(p, n, &batch), KJ_BATCH_PARTIAL);
    assert_int_equal(kj_batch_look(p, len, &batch), KJ_BATCH_OK);
    assert_int_equal(batch.count, 2);
    assert_int_equal(kj_batch_look(p, SIZE_MAX, &batch), KJ_BATCH_OK);

    assert_int_equal(look_with(p, 16, 1, 79), KJ_BATCH_OLD_MAGIC);
    assert_int_equal(look_with(p, 16, 0, 26), KJ_BATCH_OLD_MAGIC);
    assert_int_equal(look_with(p, 16, 3, 79), KJ_BATCH_BAD);
    assert_int_equal(look_with(p, 16, 0xff, 79), KJ_BATCH_BAD);
    assert_int_equal(look_with(p, 11, 49, 79), KJ_BATCH_OK);
    assert_int_equal(look_with(p, 11, 48, 79), KJ_BATCH_BAD);
    assert_int_equal(look_with(p, 11, 13, 79), KJ_BATCH_BAD);
    assert_int_equal(look_with(p, 11, 0, 79), KJ_BATCH_BAD);
    assert_int_equal(look_with(p, 8, 0x80, 79), KJ_BATCH_BAD);      /* negative length */
    assert_int_equal(look_with(p, 8, 0x7f, SIZE_MAX), KJ_BATCH_OK); /* enormous, but there */
    assert_int_equal(look_with(p, 8, 0x7f, 79), KJ_BATCH_PARTIAL);
    assert_int_equal(look_with(p, 0, 0x80, 79), KJ_BATCH_BAD);  /* negative offset */
    assert_int_equal(look_with(p, 23, 0x80, 79), KJ_BATCH_BAD); /* negative delta */
    memset(p, 0xff, 8);
    assert_int_equal(look_with(p, 0, 0x7f, 79), KJ_BATCH_BAD); /* no offset is left behind it */

    memset(p, 0, sizeof p);
    assert_int_equal(kj_batch_look(p, 61, &batch), KJ_BATCH_ZEROS);
    assert_int_equal(kj_batch_look(p, 60, &batch), KJ_BATCH_PARTIAL);
    p[60] = 1;
    assert_int_equal(kj_batch_look(p, 61, &batch), KJ_BATCH_BAD);
}

static void test_assign(void **state)
{
    (void)state;
    uint8_t p[200];
    size_t len = make(p, sizeof p, 2);
    assert_true(kj_batch_crc_ok(p, len));
    assert_false(kj_batch_crc_ok(p, len - 1));
    assert_false(kj_batch_crc_ok(p, 60));
    kj_batch_assign(p, 77, 5);
    assert_true(kj_batch_crc_ok(p, len));
    kj_batch_assign_append_time(p, len, T + 9);
    assert_true(kj_batch_crc_ok(p, len));
    struct kj_batch_reader reader;
    assert_ok(kj_batch_reader_init(&reader, p, len, NULL, 0));
    assert_int_equal(reader.batch.base_offset, 77);
    assert_int_equal(reader.batch.epoch, 5);
    assert_int_equal(reader.batch.attributes, KJ_ATTR_LOG_APPEND_TIME);
    struct kj_record_view view;
    assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
    assert_int_equal(kj_batch_record_timestamp(&reader.batch, &view), T + 9);
}

/* At every capacity: appended records are all there, the one that does not fit changes nothing. */
static void test_capacity(void **state)
{
    (void)state;
    uint8_t big[40] = {0};
    const struct kj_record records[] = {
        plain_record,
        {.timestamp = T, .value = big, .value_bytes = sizeof big},
        {.timestamp = T},
    };
    static const size_t sizes[] = {9, 47, 7};
    for (size_t capacity = 61; capacity < 61 + 160; capacity++) {
        uint8_t *buf = malloc(capacity);
        assert_non_null(buf);
        struct kj_batch_writer writer;
        kj_batch_writer_init(&writer, buf, capacity);
        size_t len = 61;
        int32_t count = 0;
        for (int i = 0; i < 9; i++) {
            const struct kj_batch_writer before = writer;
            bool fits = len + sizes[i % 3] <= capacity;
            assert_int_equal(kj_batch_writer_append(&writer, &records[i % 3]), fits);
            if (!fits) {
                assert_memory_equal(&writer, &before, sizeof writer);
                continue;
            }
            len += sizes[i % 3];
            count++;
            assert_int_equal(writer.len, len);
            assert_int_equal(writer.count, count);
        }
        free(buf);
    }
}

static void test_timestamps(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct kj_batch_writer writer;
    static const int64_t times[] = {T, T + 50, T - 20, -1, INT64_MAX, INT64_MIN};
    kj_batch_writer_init(&writer, buf, sizeof buf);
    struct kj_record record = plain_record;
    for (int i = 0; i < 6; i++) {
        record.timestamp = times[i];
        assert_true(kj_batch_writer_append(&writer, &record));
    }
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    uint8_t *bytes;
    size_t len;
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &bytes, &len));
    struct kj_batch_reader reader;
    struct kj_record_view view;
    assert_ok(kj_batch_reader_init(&reader, bytes, len, NULL, 0));
    assert_int_equal(reader.batch.base_timestamp, T);
    assert_int_equal(reader.batch.max_timestamp, INT64_MAX);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
        assert_int_equal(kj_batch_record_timestamp(&reader.batch, &view), times[i]);
        assert_int_equal(view.offset_delta, i);
    }
    assert_int_equal(kj_batch_reader_next(&reader, &view), 0);
    assert_int_equal(kj_batch_reader_next(&reader, &view), 0);
}

static void test_seal(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    uint8_t *bytes = NULL;
    size_t len;
    kj_batch_writer_init(&writer, buf, sizeof buf);
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    assert_err(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len), KAJA_ERR_INVALID_RECORD);
    assert_true(kj_batch_writer_append(&writer, &plain_record));
    seal = (struct kj_batch_seal){KJ_CODEC_NONE, KJ_LEVEL_DEFAULT, true, 12, 3, 99};
    assert_ok(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len));
    assert_int_equal(out.capacity, 0);
    struct kj_batch batch;
    assert_int_equal(kj_batch_look(bytes, len, &batch), KJ_BATCH_OK);
    assert_int_equal(batch.attributes, KJ_ATTR_TRANSACTIONAL);
    assert_int_equal(batch.producer_id, 12);
    assert_int_equal(batch.producer_epoch, 3);
    assert_int_equal(batch.base_sequence, 99);
    assert_int_equal(batch.epoch, -1);
    seal.codec = (enum kj_codec)5;
    assert_err(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len),
               KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE);
    kj_buffer_free(&out);
}

static void test_reader_faults(void **state)
{
    (void)state;
    uint8_t p[200];
    size_t len = make(p, sizeof p, 2);
    struct kj_batch_reader reader;
    struct kj_record_view view;
    static const struct {
        int32_t count;
        int reads;
    } counts[] = {{3, 2}, {1, 1}, {0, 0}};
    for (int i = 0; i < 3; i++) {
        kj_put_be32(p + 57, (uint32_t)counts[i].count);
        assert_ok(kj_batch_reader_init(&reader, p, len, NULL, 0));
        for (int r = 0; r < counts[i].reads; r++)
            assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
        assert_int_equal(kj_batch_reader_next(&reader, &view), -1);
        assert_err(kj_batch_reader_fault(&reader), KAJA_ERR_INVALID_RECORD);
    }
    /* Without records nothing is decompressed, whatever the codec. */
    p[22] = KJ_CODEC_ZSTD;
    assert_ok(kj_batch_reader_init(&reader, p, len, NULL, 0));
    assert_int_equal(kj_batch_reader_next(&reader, &view), -1);
    kj_put_be32(p + 8, 49);
    assert_ok(kj_batch_reader_init(&reader, p, 61, NULL, 0));
    assert_int_equal(kj_batch_reader_next(&reader, &view), 0);
    kj_put_be32(p + 8, (uint32_t)len - 12);
    p[22] = KJ_CODEC_NONE;

    kj_put_be32(p + 57, UINT32_MAX);
    assert_err(kj_batch_reader_init(&reader, p, len, NULL, 0), KAJA_ERR_INVALID_RECORD);
    kj_put_be32(p + 57, 2);
    assert_err(kj_batch_reader_init(&reader, p, len - 1, NULL, 0), KAJA_ERR_INVALID_RECORD);
    assert_err(kj_batch_reader_init(&reader, p, 60, NULL, 0), KAJA_ERR_INVALID_RECORD);
    p[16] = 1;
    assert_err(kj_batch_reader_init(&reader, p, len, NULL, 0), KAJA_ERR_UNSUPPORTED_MAGIC);
    p[16] = 3;
    assert_err(kj_batch_reader_init(&reader, p, len, NULL, 0), KAJA_ERR_INVALID_RECORD);
}

static void test_control(void **state)
{
    (void)state;
    uint8_t p[KJ_MARKER_BYTES];
    kj_marker_encode(p, KJ_CONTROL_COMMIT, 7, 3, 11, T);
    assert_true(kj_batch_crc_ok(p, sizeof p));
    struct kj_batch_reader reader;
    struct kj_record_view view;
    assert_ok(kj_batch_reader_init(&reader, p, sizeof p, NULL, 0));
    assert_int_equal(reader.batch.attributes, 0x30);
    assert_int_equal(reader.batch.producer_id, 7);
    assert_int_equal(reader.batch.producer_epoch, 3);
    assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
    int type;
    int32_t epoch;
    assert_ok(kj_control_decode(&view, &type, &epoch));
    assert_int_equal(type, KJ_CONTROL_COMMIT);
    assert_int_equal(epoch, 11);

    const uint8_t newer[] = {0, 1, 0, 5, 9};
    view = (struct kj_record_view){.key = newer, .key_bytes = 5};
    assert_ok(kj_control_decode(&view, &type, &epoch)); /* a higher version, an unknown type */
    assert_int_equal(type, 5);
    assert_int_equal(epoch, -1);
    view.key_bytes = 3;
    assert_err(kj_control_decode(&view, &type, &epoch), KAJA_ERR_INVALID_RECORD);
    const uint8_t negative[] = {0xff, 0xff, 0, 0};
    view = (struct kj_record_view){.key = negative, .key_bytes = 4};
    assert_err(kj_control_decode(&view, &type, &epoch), KAJA_ERR_INVALID_RECORD);
    view = (struct kj_record_view){0};
    assert_err(kj_control_decode(&view, &type, &epoch), KAJA_ERR_INVALID_RECORD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),   cmocka_unit_test(test_derived),
        cmocka_unit_test(test_look),     cmocka_unit_test(test_assign),
        cmocka_unit_test(test_capacity), cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_seal),     cmocka_unit_test(test_reader_faults),
        cmocka_unit_test(test_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
