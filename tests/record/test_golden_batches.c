/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/record/test_golden_batches.c - the batches written by Apache Kafka and by an independent
 * client: decoded and compared with their description, encoded again to the same bytes, cut at
 * every length, with every bit turned over.
 */
#include "golden.h"

#include "base/crc32c.h"
#include "record/batch_reader.h"
#include "record/compress.h"
#include "record/control.h"
#include "record/validate.h"

#include <glob.h>

enum { LIMIT = 1 << 20, BATCHES_MAX = 64 };

static struct golden {
    char name[64];
    uint8_t *bytes;
    size_t len;
    char *text;
} batches[BATCHES_MAX];
static size_t batch_count;
static struct kj_buffer plain; /* what readers decompress into */

static int setup(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob(KJ_GOLDEN_DIR "/kafka/batches/*.bin", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc && batch_count < BATCHES_MAX; i++) {
        struct golden *golden = &batches[batch_count++];
        const char *base = strrchr(found.gl_pathv[i], '/') + 1;
        (void)snprintf(golden->name, sizeof golden->name, "%.*s", (int)strlen(base) - 4, base);
        char path[128];
        size_t text_len;
        (void)snprintf(path, sizeof path, "kafka/batches/%s.bin", golden->name);
        golden->bytes = golden_read(path, &golden->len);
        (void)snprintf(path, sizeof path, "kafka/batches/%s.txt", golden->name);
        golden->text = (char *)golden_read(path, &text_len);
    }
    globfree(&found);
    assert_in_range(batch_count, 20, BATCHES_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < batch_count; i++) {
        free(batches[i].bytes);
        free(batches[i].text);
    }
    kj_buffer_free(&plain);
    return 0;
}

static bool codec_missing(const struct golden *golden)
{
    struct kj_batch batch;
    kj_batch_decode(golden->bytes, &batch);
    return !kj_codec_built(kj_batch_codec(&batch));
}

static void start(struct kj_batch_reader *reader, const uint8_t *bytes, size_t len)
{
    struct kj_batch batch;
    assert_int_equal(kj_batch_look(bytes, len, &batch), KJ_BATCH_OK);
    assert_int_equal(kj_batch_bytes(&batch), len);
    assert_true(kj_batch_crc_ok(bytes, len));
    assert_ok(kj_batch_reader_init(reader, bytes, len, &plain, LIMIT));
}

static char *print_bytes(char *to, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    if (p == NULL)
        return to + sprintf(to, "null");
    *to++ = 'x';
    *to = 0;
    for (size_t i = 0; i < n; i++)
        to += sprintf(to, "%02x", p[i]);
    return to;
}

static char *print_record(char *to, const struct kj_batch *batch, const struct kj_record_view *view)
{
    to += sprintf(to, "record offset=%lld timestamp=%lld key=",
                  (long long)(batch->base_offset + view->offset_delta),
                  (long long)kj_batch_record_timestamp(batch, view));
    to = print_bytes(to, view->key, view->key_bytes);
    to += sprintf(to, " value=");
    to = print_bytes(to, view->value, view->value_bytes);
    to += sprintf(to, " headers=%s", view->header_count == 0 ? "-" : "");
    const uint8_t *p = view->headers;
    for (int32_t i = 0; i < view->header_count; i++) {
        struct kj_header header;
        p = kj_header_decode(p, view->headers + view->headers_bytes, &header);
        to += sprintf(to, "%s", i == 0 ? "" : ",");
        to = print_bytes(to, header.key, header.key_bytes);
        *to++ = ':';
        to = print_bytes(to, header.value, header.value_bytes);
    }
    *to++ = '\n';
    return to;
}

/* Our own description of a batch must be the one that came with it. */
static void test_decode(void **state)
{
    (void)state;
    char *text = malloc(4 << 20);
    assert_non_null(text);
    for (size_t i = 0; i < batch_count; i++) {
        if (codec_missing(&batches[i]))
            continue;
        struct kj_batch_reader reader;
        start(&reader, batches[i].bytes, batches[i].len);
        const struct kj_batch *b = &reader.batch;
        uint32_t crc = kj_crc32c(0, reader.at, (size_t)(reader.end - reader.at));
        size_t section = (size_t)(reader.end - reader.at);
        char *to = text;
        to +=
            sprintf(to,
                    "batch base_offset=%lld batch_length=%d leader_epoch=%d magic=%d crc=%08x "
                    "attributes=0x%04x last_offset_delta=%d base_timestamp=%lld max_timestamp=%lld "
                    "producer_id=%lld producer_epoch=%d base_sequence=%d record_count=%d\n",
                    (long long)b->base_offset, b->length, b->epoch, b->magic, b->crc,
                    (unsigned)b->attributes, b->last_offset_delta, (long long)b->base_timestamp,
                    (long long)b->max_timestamp, (long long)b->producer_id, b->producer_epoch,
                    b->base_sequence, b->count);
        /* Records are left out of the descriptions of the largest. */
        bool with_records = strstr(batches[i].text, "\nrecord offset") != NULL || b->count == 0;
        struct kj_record_view view;
        int more;
        while ((more = kj_batch_reader_next(&reader, &view)) > 0)
            if (with_records)
                to = print_record(to, b, &view);
        assert_int_equal(more, 0);
        (void)sprintf(to, "records_section_uncompressed length=%zu crc32c=%08x\n", section, crc);
        if (strcmp(text, batches[i].text) != 0)
            fail_msg("%s:\n%s\ninstead of\n%s", batches[i].name, text, batches[i].text);
    }
    free(text);
}

/* The two clients' 300 equal records, plain and as gzip. */
static void test_same_section(void **state)
{
    (void)state;
    struct kj_batch_reader packed, unpacked;
    if (!kj_codec_built(KJ_CODEC_GZIP))
        skip();
    for (size_t i = 0; i < batch_count; i++) {
        if (strcmp(batches[i].name, "j04_gzip_300") == 0)
            start(&packed, batches[i].bytes, batches[i].len);
        if (strcmp(batches[i].name, "j05_plain_300") == 0)
            start(&unpacked, batches[i].bytes, batches[i].len);
    }
    assert_int_equal(packed.end - packed.at, unpacked.end - unpacked.at);
    assert_memory_equal(packed.at, unpacked.at, (size_t)(packed.end - packed.at));
}

/* The record of a view, its headers in *headers (which the caller frees). */
static struct kj_record record_of(const struct kj_batch *batch, const struct kj_record_view *view,
                                  struct kj_header **headers)
{
    *headers = calloc((size_t)view->header_count + 1, sizeof **headers);
    assert_non_null(*headers);
    const uint8_t *p = view->headers;
    for (int32_t i = 0; i < view->header_count; i++)
        p = kj_header_decode(p, view->headers + view->headers_bytes, &(*headers)[i]);
    return (struct kj_record){
        .timestamp = (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)view->timestamp_delta),
        .key = view->key,
        .key_bytes = view->key_bytes,
        .value = view->value,
        .value_bytes = view->value_bytes,
        .headers = *headers,
        .header_count = (size_t)view->header_count,
    };
}

/* By record and header: every uncompressed batch, whatever wrote it. */
static void encode_by_record(const struct golden *golden, uint8_t *out)
{
    struct kj_batch_reader reader;
    start(&reader, golden->bytes, golden->len);
    struct kj_record_view view;
    uint8_t *to = out + KJ_BATCH_HEADER_BYTES;
    while (kj_batch_reader_next(&reader, &view) > 0) {
        struct kj_header *headers;
        struct kj_record record = record_of(&reader.batch, &view, &headers);
        to = kj_record_encode(&record, view.timestamp_delta, view.offset_delta, to);
        free(headers);
    }
    assert_int_equal(to - out, golden->len);
    reader.batch.crc = 0;
    kj_batch_encode(&reader.batch, out);
    kj_batch_set_crc(out, golden->len);
    assert_memory_equal(out, golden->bytes, golden->len);
}

/* By the batch writer: what a producer and the log make of the same records. False if this batch is
 * not one of a producer (a marker, compacted). */
static bool encode_by_writer(const struct golden *golden, uint8_t *out, size_t capacity)
{
    struct kj_batch_reader reader;
    start(&reader, golden->bytes, golden->len);
    const struct kj_batch *batch = &reader.batch;
    const int ours = KJ_ATTR_TRANSACTIONAL | KJ_ATTR_LOG_APPEND_TIME;
    if ((batch->attributes & ~ours) != 0 || batch->count != batch->last_offset_delta + 1)
        return false;
    struct kj_batch_writer writer;
    kj_batch_writer_init(&writer, out, capacity);
    struct kj_record_view view;
    while (kj_batch_reader_next(&reader, &view) > 0) {
        struct kj_header *headers;
        struct kj_record record = record_of(batch, &view, &headers);
        assert_true(kj_batch_writer_append(&writer, &record));
        free(headers);
    }
    const struct kj_batch_seal seal = {
        KJ_CODEC_NONE,      KJ_LEVEL_DEFAULT,      kj_batch_has(batch, KJ_ATTR_TRANSACTIONAL),
        batch->producer_id, batch->producer_epoch, batch->base_sequence};
    uint8_t *bytes;
    size_t len;
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &bytes, &len));
    kj_batch_assign(bytes, batch->base_offset, batch->epoch);
    if (kj_batch_has(batch, KJ_ATTR_LOG_APPEND_TIME))
        kj_batch_assign_append_time(bytes, len, batch->max_timestamp);
    assert_int_equal(len, golden->len);
    assert_memory_equal(bytes, golden->bytes, len);
    return true;
}

static void test_encode(void **state)
{
    (void)state;
    int by_record = 0, by_writer = 0, markers = 0;
    for (size_t i = 0; i < batch_count; i++) {
        const struct golden *golden = &batches[i];
        struct kj_batch batch;
        kj_batch_decode(golden->bytes, &batch);
        if (kj_batch_codec(&batch) != KJ_CODEC_NONE)
            continue;
        uint8_t *out = malloc(golden->len);
        assert_non_null(out);
        encode_by_record(golden, out);
        by_record++;
        if (encode_by_writer(golden, out, golden->len))
            by_writer++;
        if (kj_batch_has(&batch, KJ_ATTR_CONTROL)) {
            assert_int_equal(golden->len, KJ_MARKER_BYTES);
            bool commit = strstr(golden->name, "commit") != NULL;
            kj_marker_encode(out, commit ? KJ_CONTROL_COMMIT : KJ_CONTROL_ABORT, batch.producer_id,
                             batch.producer_epoch, 5, batch.base_timestamp);
            kj_batch_assign(out, batch.base_offset, batch.epoch);
            assert_memory_equal(out, golden->bytes, golden->len);
            markers++;
        }
        free(out);
    }
    assert_int_equal(by_record, 15);
    assert_int_equal(by_writer, 11);
    assert_int_equal(markers, 2);
}

/* Compressed batches packed again by us give the same plain section. */
static void test_compress_again(void **state)
{
    (void)state;
    struct kj_buffer packed = {0}, back = {0};
    int done = 0;
    for (size_t i = 0; i < batch_count; i++) {
        struct kj_batch_reader reader;
        struct kj_batch batch;
        kj_batch_decode(batches[i].bytes, &batch);
        enum kj_codec codec = kj_batch_codec(&batch);
        if (codec == KJ_CODEC_NONE || codec_missing(&batches[i]))
            continue;
        start(&reader, batches[i].bytes, batches[i].len);
        size_t section = (size_t)(reader.end - reader.at);
        packed.len = back.len = 0;
        assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, reader.at, section, &packed));
        assert_ok(kj_decompress(codec, packed.bytes, packed.len, section, &back));
        assert_int_equal(back.len, section);
        assert_memory_equal(back.bytes, reader.at, section);
        if (codec == KJ_CODEC_LZ4) /* Kafka's frame header and end mark, byte for byte */
            assert_memory_equal(packed.bytes, batches[i].bytes + KJ_BATCH_HEADER_BYTES, 7);
        if (codec == KJ_CODEC_SNAPPY)
            assert_memory_equal(packed.bytes, batches[i].bytes + KJ_BATCH_HEADER_BYTES, 16);
        done++;
    }
    assert_true(done > 0 || !kj_codec_built(KJ_CODEC_GZIP));
    kj_buffer_free(&packed);
    kj_buffer_free(&back);
}

/* Reads all that can be read; the outcome does not matter, only that it ends well. */
static void read_anyhow(const uint8_t *bytes, size_t len)
{
    struct kj_batch_reader reader;
    struct kj_record_view view;
    if (kj_batch_reader_init(&reader, bytes, len, &plain, LIMIT) != 0)
        return;
    int more;
    while ((more = kj_batch_reader_next(&reader, &view)) > 0)
        assert_true(view.bytes <= (size_t)(reader.end - (view.headers - view.bytes)));
    if (more < 0)
        assert_err(kj_batch_reader_fault(&reader), KAJA_ERR_INVALID_RECORD);
}

/* Cut at every length, in a buffer of just that size; then with the length field made to agree. */
static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < batch_count; i++) {
        const struct golden *golden = &batches[i];
        for (size_t cut = 0; cut < golden->len; cut++) {
            uint8_t *bytes = malloc(cut + 1);
            assert_non_null(bytes);
            memcpy(bytes, golden->bytes, cut);
            struct kj_batch batch;
            if (kj_batch_look(bytes, cut, &batch) != KJ_BATCH_PARTIAL)
                fail_msg("%s: not partial at %zu bytes", golden->name, cut);
            assert_false(kj_batch_crc_ok(bytes, cut));
            if (cut >= KJ_BATCH_HEADER_BYTES && (golden->len < 2000 || cut % 61 == 0)) {
                bytes = realloc(bytes, cut);
                assert_non_null(bytes);
                kj_put_be32(bytes + KJ_BATCH_LENGTH_AT, (uint32_t)(cut - 12));
                read_anyhow(bytes, cut);
            }
            free(bytes);
        }
    }
}

static void test_flip(void **state)
{
    (void)state;
    for (size_t i = 0; i < batch_count; i++) {
        const struct golden *golden = &batches[i];
        /* As a producer sent it, so that validation gets beyond the base offset. */
        uint8_t *bytes = malloc(golden->len);
        assert_non_null(bytes);
        memcpy(bytes, golden->bytes, golden->len);
        kj_batch_assign(bytes, 0, -1);
        const struct kj_validate_options options = {.client = true,
                                                    .now_ms = INT64_MAX / 2,
                                                    .before_max_ms = INT64_MAX,
                                                    .after_max_ms = INT64_MAX,
                                                    .max_bytes = LIMIT,
                                                    .plain_max_bytes = LIMIT,
                                                    .plain = &plain};
        const bool large = golden->len > 2000;
        for (size_t bit = 0; bit < golden->len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct kj_batch batch;
            int64_t max_timestamp;
            (void)kj_batch_look(bytes, golden->len, &batch);
            if (bit / 8 >= KJ_BATCH_CRC_AT) {
                if (kj_batch_crc_ok(bytes, golden->len))
                    fail_msg("%s: bit %zu not noticed", golden->name, bit);
                if (kj_batch_validate(bytes, golden->len, &options, &batch, &max_timestamp) == 0)
                    fail_msg("%s: bit %zu accepted", golden->name, bit);
            }
            if (!large || bit % 997 == 0)
                read_anyhow(bytes, golden->len);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(kj_batch_crc_ok(bytes, golden->len));
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode), cmocka_unit_test(test_same_section),
        cmocka_unit_test(test_encode), cmocka_unit_test(test_compress_again),
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_flip),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
