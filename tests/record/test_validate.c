/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "record/batch_reader.h"
#include "record/compress.h"
#include "record/control.h"
#include "record/validate.h"

enum { NOW = 1000000, LIMIT = 1 << 20 };
static struct kj_buffer scratch;

static struct kj_validate_options options(void)
{
    return (struct kj_validate_options){.client = true,
                                        .now_ms = NOW,
                                        .before_max_ms = INT64_MAX,
                                        .after_max_ms = INT64_MAX,
                                        .max_bytes = LIMIT,
                                        .plain_max_bytes = LIMIT,
                                        .plain = &scratch};
}

/* --- the golden list: what Kafka says of each, or stricter --------------- */

static const char *read_back(const uint8_t *p, size_t n)
{
    static char text[64];
    struct kj_batch batch;
    switch (kj_batch_look(p, n, &batch)) {
    case KJ_BATCH_PARTIAL:
        return "OK batches=0 records=0";
    case KJ_BATCH_OK:
        break;
    case KJ_BATCH_BAD:
    case KJ_BATCH_OLD_MAGIC:
    case KJ_BATCH_ZEROS:
        return "CORRUPT";
    }
    if (!kj_batch_crc_ok(p, kj_batch_bytes(&batch)))
        return "CORRUPT";
    struct kj_batch_reader reader;
    if (kj_batch_reader_init(&reader, p, kj_batch_bytes(&batch), &scratch, LIMIT) != 0)
        return "INVALID_RECORD";
    struct kj_record_view view;
    int records = 0, more;
    while ((more = kj_batch_reader_next(&reader, &view)) > 0)
        records++;
    if (more < 0)
        return "INVALID_RECORD";
    (void)snprintf(text, sizeof text, "OK batches=1 records=%d", records);
    return text;
}

static const char *append(const uint8_t *p, size_t n)
{
    struct kj_validate_options o = options();
    struct kj_batch batch;
    int64_t max_timestamp;
    switch (kj_batch_validate(p, n, &o, &batch, &max_timestamp)) {
    case 0:
        return "OK appended";
    case KAJA_ERR_CORRUPT_MESSAGE:
        return "CORRUPT";
    case KAJA_ERR_INVALID_RECORD:
    case KAJA_ERR_BAD_COMPRESSION:
    case KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE:
        return "INVALID_RECORD";
    default:
        return "another error";
    }
}

static const struct {
    const char *name, *read, *append;
} stricter[] = {
    {"count_zero_with_data", "INVALID_RECORD", NULL},
    {"length_beyond_end", NULL, "CORRUPT"},
    {"truncated_16_bytes", NULL, "CORRUPT"},
    {"truncated_17_bytes", NULL, "CORRUPT"},
    {"truncated_60_bytes", NULL, "CORRUPT"},
    {"truncated_69_bytes", NULL, "CORRUPT"},
    {"offset_delta_beyond_last", NULL, "INVALID_RECORD"},
};

static void test_golden(void **state)
{
    (void)state;
    size_t len;
    uint8_t *text = golden_read("kafka/invalid.txt", &len);
    char *at = (char *)text;
    int lines = 0;
    for (char *line; (line = golden_line(&at)) != NULL; lines++) {
        char name[64], want_read[64], want_append[64];
        char *hex = strstr(line, " | ") + 3;
        assert_int_equal(sscanf(line, "%63s", name), 1);
        assert_int_equal(sscanf(strstr(hex, " | "), " | %63[^|]| %63[^\n]", want_read, want_append),
                         2);
        want_read[strlen(want_read) - 1] = 0; /* the blank before the bar */
        for (size_t i = 0; i < sizeof stricter / sizeof *stricter; i++) {
            if (strcmp(stricter[i].name, name) != 0)
                continue;
            if (stricter[i].read != NULL)
                (void)strcpy(want_read, stricter[i].read);
            if (stricter[i].append != NULL)
                (void)strcpy(want_append, stricter[i].append);
        }
        uint8_t *bytes = malloc(strlen(hex) / 2);
        assert_non_null(bytes);
        size_t n = golden_hex(hex, bytes);
        bytes = realloc(bytes, n);
        if (strcmp(read_back(bytes, n), want_read) != 0)
            fail_msg("%s: reading: %s instead of %s", name, read_back(bytes, n), want_read);
        if (strcmp(append(bytes, n), want_append) != 0)
            fail_msg("%s: appending: %s instead of %s (%s)", name, append(bytes, n), want_append,
                     kaja_error_detail());
        free(bytes);
    }
    assert_int_equal(lines, 42);
    free(text);
}

/* --- each rule, and the order of the rules ------------------------------- */

static uint8_t buf[4096];
static struct kj_buffer packed;

/* A batch of records with these timestamps (key "k" unless keyless), sealed with codec. */
static uint8_t *make(const int64_t *times, int n, bool keyless, enum kj_codec codec,
                     size_t *ret_len)
{
    struct kj_batch_writer writer;
    kj_batch_writer_init(&writer, buf, sizeof buf);
    for (int i = 0; i < n; i++) {
        const struct kj_record record = {.timestamp = times[i],
                                         .key = keyless && i == n - 1 ? NULL : "k",
                                         .key_bytes = 1,
                                         .value = "v",
                                         .value_bytes = 1};
        assert_true(kj_batch_writer_append(&writer, &record));
    }
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    seal.codec = codec;
    uint8_t *bytes;
    assert_ok(kj_batch_writer_seal(&writer, &seal, &packed, &bytes, ret_len));
    return bytes;
}

static int validate(const uint8_t *p, size_t n, struct kj_validate_options o)
{
    struct kj_batch batch = {.count = -77};
    int64_t max_timestamp = -77;
    int err = kj_batch_validate(p, n, &o, &batch, &max_timestamp);
    assert_int_equal(err != 0, batch.count == -77);
    assert_int_equal(err != 0, max_timestamp == -77);
    return err;
}

static void test_frame(void **state)
{
    (void)state;
    static const int64_t times[] = {NOW, NOW + 7, NOW - 3};
    size_t n;
    uint8_t *p = make(times, 3, false, KJ_CODEC_NONE, &n);
    struct kj_validate_options o = options();
    struct kj_batch batch;
    int64_t max_timestamp;
    assert_ok(kj_batch_validate(p, n, &o, &batch, &max_timestamp));
    assert_int_equal(batch.count, 3);
    assert_int_equal(max_timestamp, NOW + 7);

    o.max_bytes = n;
    assert_ok(validate(p, n, o));
    o.max_bytes = n - 1;
    assert_err(validate(p, n, o), KAJA_ERR_RECORD_TOO_LARGE);
    p[n - 1] ^= 1; /* size comes before the checksum, base offset before both */
    assert_err(validate(p, n, o), KAJA_ERR_RECORD_TOO_LARGE);
    kj_batch_assign(p, 3, 0);
    assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
    kj_batch_assign(p, 0, 0);
    o = options();
    assert_err(validate(p, n, o), KAJA_ERR_CORRUPT_MESSAGE);
    p[n - 1] ^= 1;
    assert_err(validate(p, n + 1, o), KAJA_ERR_INVALID_RECORD); /* something behind */
    assert_err(validate(p, n - 1, o), KAJA_ERR_CORRUPT_MESSAGE);
    p[KJ_BATCH_MAGIC_AT] = 1;
    assert_err(validate(p, n, o), KAJA_ERR_UNSUPPORTED_MAGIC);
    /* Inside the house a base offset is no fault. */
    p[KJ_BATCH_MAGIC_AT] = 2;
    kj_batch_assign(p, 3, 0);
    o.client = false;
    assert_ok(validate(p, n, o));
}

static void test_client_rules(void **state)
{
    (void)state;
    static const int64_t times[] = {NOW, NOW, NOW};
    static const struct {
        size_t at;
        uint32_t value;
        int bytes;
        int err, err_inside;
    } faults[] = {
        {KJ_BATCH_LAST_DELTA_AT, 3, 4, KAJA_ERR_INVALID_RECORD, 0},
        {KJ_BATCH_LAST_DELTA_AT, 1, 4, KAJA_ERR_INVALID_RECORD, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_LAST_DELTA_AT, UINT32_MAX, 4, KAJA_ERR_INVALID_RECORD, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_LAST_DELTA_AT, INT32_MAX, 4, KAJA_ERR_INVALID_RECORD, 0},
        {KJ_BATCH_COUNT_AT, 0, 4, KAJA_ERR_INVALID_RECORD, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_COUNT_AT, UINT32_MAX, 4, KAJA_ERR_INVALID_RECORD, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_ATTRIBUTES_AT, KJ_ATTR_CONTROL, 2, KAJA_ERR_INVALID_RECORD, 0},
        {KJ_BATCH_ATTRIBUTES_AT, KJ_ATTR_LOG_APPEND_TIME, 2, KAJA_ERR_INVALID_TIMESTAMP, 0},
        {KJ_BATCH_PRODUCER_ID_AT, 1, 4, KAJA_ERR_INVALID_RECORD, 0}, /* an id, no sequence */
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        size_t n;
        uint8_t *p = make(times, 3, false, KJ_CODEC_NONE, &n);
        if (faults[i].bytes == 2)
            kj_put_be16(p + faults[i].at, (uint16_t)faults[i].value);
        else
            kj_put_be32(p + faults[i].at, faults[i].value);
        kj_batch_set_crc(p, n);
        struct kj_validate_options o = options();
        assert_err(validate(p, n, o), faults[i].err);
        o.client = false;
        assert_err(validate(p, n, o), faults[i].err_inside);
    }
    /* A marker, and an empty batch as compaction leaves it, are no client's. */
    uint8_t marker[KJ_MARKER_BYTES];
    kj_marker_encode(marker, KJ_CONTROL_ABORT, 1, 0, 0, NOW);
    struct kj_validate_options o = options();
    assert_err(validate(marker, sizeof marker, o), KAJA_ERR_INVALID_RECORD);
    o.client = false;
    assert_ok(validate(marker, sizeof marker, o));
}

static void test_offset_deltas(void **state)
{
    (void)state;
    static const int64_t times[] = {NOW, NOW, NOW};
    for (int codec = 0; codec < KJ_CODEC_COUNT; codec++) {
        if (!kj_codec_built((enum kj_codec)codec))
            continue;
        size_t n;
        (void)make(times, 3, false, KJ_CODEC_NONE, &n);
        buf[61 + 2 * 9 + 3] = 6; /* the last record's offset delta: 3 instead of 2 */
        struct kj_batch_writer writer;
        kj_batch_writer_init(&writer, buf, sizeof buf);
        writer.count = 3;
        writer.len = n;
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        seal.codec = (enum kj_codec)codec;
        uint8_t *p;
        assert_ok(kj_batch_writer_seal(&writer, &seal, &packed, &p, &n));
        struct kj_validate_options o = options();
        assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
        o.client = false;
        assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
        kj_put_be32(p + KJ_BATCH_LAST_DELTA_AT, 5); /* a compacted batch with holes */
        kj_batch_set_crc(p, n);
        assert_ok(validate(p, n, o));
    }
    /* They must rise: 0, 1, 1. */
    size_t n;
    uint8_t *p = make(times, 3, false, KJ_CODEC_NONE, &n);
    p[61 + 2 * 9 + 3] = 2;
    kj_batch_set_crc(p, n);
    struct kj_validate_options o = options();
    o.client = false;
    assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
    /* An empty batch, as compaction leaves it; but it has a last offset. */
    kj_put_be32(p + KJ_BATCH_LENGTH_AT, KJ_BATCH_LENGTH_MIN);
    kj_put_be32(p + KJ_BATCH_COUNT_AT, 0);
    kj_batch_set_crc(p, KJ_BATCH_HEADER_BYTES);
    assert_ok(validate(p, KJ_BATCH_HEADER_BYTES, o));
    kj_put_be32(p + KJ_BATCH_LAST_DELTA_AT, UINT32_MAX);
    kj_batch_set_crc(p, KJ_BATCH_HEADER_BYTES);
    assert_err(validate(p, KJ_BATCH_HEADER_BYTES, o), KAJA_ERR_INVALID_RECORD);
}

static void test_window(void **state)
{
    (void)state;
    static const struct {
        int64_t time;
        int err;
    } cases[] = {{NOW, 0},
                 {-1, 0},
                 {NOW - 2000, 0},
                 {NOW - 2001, KAJA_ERR_INVALID_TIMESTAMP},
                 {NOW + 1000, 0},
                 {NOW + 1001, KAJA_ERR_INVALID_TIMESTAMP},
                 {INT64_MAX, KAJA_ERR_INVALID_TIMESTAMP},
                 {INT64_MIN, KAJA_ERR_INVALID_TIMESTAMP}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int codec = 0; codec < KJ_CODEC_COUNT; codec++) {
            if (!kj_codec_built((enum kj_codec)codec))
                continue;
            const int64_t times[] = {NOW, cases[i].time, NOW};
            size_t n;
            uint8_t *p = make(times, 3, false, (enum kj_codec)codec, &n);
            struct kj_validate_options o = options();
            o.before_max_ms = 2000;
            o.after_max_ms = 1000;
            assert_err(validate(p, n, o), cases[i].err);
            o.log_append_time = true;
            assert_ok(validate(p, n, o));
        }
    }
    /* No limits: even these. */
    const int64_t times[] = {INT64_MAX, 0};
    size_t n;
    uint8_t *p = make(times, 2, false, KJ_CODEC_NONE, &n);
    assert_ok(validate(p, n, options()));
}

static void test_compacted(void **state)
{
    (void)state;
    const int64_t times[] = {NOW + 5000, NOW, NOW};
    size_t n;
    uint8_t *p = make(times, 3, true, KJ_CODEC_NONE, &n);
    struct kj_validate_options o = options();
    assert_ok(validate(p, n, o));
    o.compacted = true;
    assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
    assert_non_null(strstr(kaja_error_detail(), "record 2"));
    o.after_max_ms = 1000; /* a bad timestamp is told before a missing key */
    assert_err(validate(p, n, o), KAJA_ERR_INVALID_TIMESTAMP);
    p[61 + 9 + 9] = 2; /* and a malformed record before both: its length field */
    kj_batch_set_crc(p, n);
    assert_err(validate(p, n, o), KAJA_ERR_INVALID_RECORD);
}

/* The header says another maximum: the true one is given back. */
static void test_wrong_maximum(void **state)
{
    (void)state;
    const int64_t times[] = {NOW, NOW + 9};
    size_t n;
    uint8_t *p = make(times, 2, false, KJ_CODEC_NONE, &n);
    kj_put_be64(p + KJ_BATCH_MAX_TIMESTAMP_AT, 3);
    kj_batch_set_crc(p, n);
    struct kj_validate_options o = options();
    struct kj_batch batch;
    int64_t max_timestamp;
    assert_ok(kj_batch_validate(p, n, &o, &batch, &max_timestamp));
    assert_int_equal(batch.max_timestamp, 3);
    assert_int_equal(max_timestamp, NOW + 9);
}

static void test_bomb(void **state)
{
    (void)state;
    static uint8_t zeros[600000];
    static uint8_t room[700000];
    for (int codec = 1; codec < KJ_CODEC_COUNT; codec++) {
        if (!kj_codec_built((enum kj_codec)codec))
            continue;
        struct kj_batch_writer writer;
        kj_batch_writer_init(&writer, room, sizeof room);
        const struct kj_record record = {
            .timestamp = NOW, .value = zeros, .value_bytes = sizeof zeros};
        assert_true(kj_batch_writer_append(&writer, &record));
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        seal.codec = (enum kj_codec)codec;
        uint8_t *p;
        size_t n;
        assert_ok(kj_batch_writer_seal(&writer, &seal, &packed, &p, &n));
        assert_in_range(n, 61, 40000);
        struct kj_validate_options o = options();
        assert_ok(validate(p, n, o));
        o.plain_max_bytes = writer.len - 61;
        assert_ok(validate(p, n, o));
        struct kj_buffer small = {0};
        o.plain = &small;
        o.plain_max_bytes = 100000;
        assert_err(validate(p, n, o), KAJA_ERR_RECORD_TOO_LARGE);
        assert_in_range(small.capacity, 0, 100000);
        kj_buffer_free(&small);
    }
}

static int teardown(void **state)
{
    (void)state;
    kj_buffer_free(&scratch);
    kj_buffer_free(&packed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_client_rules),  cmocka_unit_test(test_offset_deltas),
        cmocka_unit_test(test_window),        cmocka_unit_test(test_compacted),
        cmocka_unit_test(test_wrong_maximum), cmocka_unit_test(test_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
