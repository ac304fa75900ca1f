/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The consumer over a log in memory (tests/client/fake_store.h): positions, batches of every kind
 * and every damage, limits, order of partitions.
 */
#include "client/fake_store.h"
#include "client/no_groups.h"

#include "client/consumer.h"
#include "client/fetched.h"
#include "record/batch_writer.h"
#include "record/compress.h"
#include "record/control.h"

struct setup {
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_consumer_options options;
    struct kj_consumer *consumer;
};

static void begin(struct setup *s, int32_t partitions)
{
    memset(s, 0, sizeof *s);
    s->store = fake_store_new(false, false);
    fake = s->store;
    s->topic = fake_topic_new(s->store, "topic", partitions);
    kj_consumer_options_defaults(&s->options);
    s->options.reset = KJ_RESET_EARLIEST;
}

static void open_consumer(struct setup *s, int32_t partitions)
{
    struct kaja_topic_partition wanted[FAKE_PARTITIONS];
    assert_ok(kj_consumer_new(s->store, &s->options, &s->consumer));
    for (int32_t i = 0; i < partitions; i++)
        wanted[i] = (struct kaja_topic_partition){"topic", i, 0};
    assert_ok(kj_consumer_assign(s->consumer, wanted, (size_t)partitions));
}

static void finish(struct setup *s)
{
    if (s->consumer != NULL)
        assert_ok(kj_consumer_free(s->consumer, -1));
    fake_store_free(s->store);
    fake = NULL;
}

static struct kj_log *log_of(struct setup *s, int32_t partition)
{
    return &s->topic->partitions[partition].log;
}

/* Adds a batch of count records with values first, first + 1 ... and timestamps likewise. */
static void add_sealed(struct kj_log *log, int64_t first, int count,
                       const struct kj_batch_seal *seal)
{
    static uint8_t memory[1 << 20];
    struct kj_batch_writer writer;
    struct kj_buffer out = {NULL, 0, 0};
    kj_batch_writer_init(&writer, memory, sizeof memory);
    for (int i = 0; i < count; i++) {
        int64_t value = first + i;
        struct kj_record record = {
            .timestamp = value, .value = &value, .value_bytes = sizeof value};
        assert_true(kj_batch_writer_append(&writer, &record));
    }
    uint8_t *bytes;
    size_t len;
    assert_ok(kj_batch_writer_seal(&writer, seal, &out, &bytes, &len));
    fake_add(log, bytes, len, count);
    kj_buffer_free(&out);
}

static void add(struct kj_log *log, int count)
{
    struct kj_batch_seal plain = KJ_BATCH_SEAL_PLAIN;
    add_sealed(log, (int64_t)log->end, count, &plain);
}

/* Takes a poll apart: offsets from next on, values equal to offsets. Returns the number of records.
 */
static size_t take_from(struct setup *s, int64_t next, int32_t *ret_partition)
{
    struct kaja_batch *batch;
    struct kaja_record_view view;
    size_t count = 0;
    assert_ok(kj_consumer_poll(s->consumer, 0, &batch));
    while (kj_fetched_next(batch, &view)) {
        int64_t value;
        assert_int_equal(view.value_bytes, sizeof value);
        memcpy(&value, view.value, sizeof value);
        assert_int_equal(view.offset, next + (int64_t)count);
        assert_int_equal(value, view.offset);
        assert_int_equal(view.timestamp, value);
        assert_int_equal(view.timestamp_type, KAJA_CREATE_TIME);
        assert_string_equal(view.topic, "topic");
        assert_null(view.key);
        if (ret_partition != NULL)
            *ret_partition = view.partition;
        count++;
    }
    assert_int_equal(count, batch->count);
    kj_fetched_release(batch);
    return count;
}

/* max.poll.records cuts batches anywhere; nothing is read twice. */
static void test_max_poll_records(void **state)
{
    (void)state;
    for (int max = 1; max <= 30; max++) {
        struct setup s;
        begin(&s, 1);
        s.options.max_poll_records = max;
        for (int i = 1; i <= 8; i++)
            add(log_of(&s, 0), i);
        open_consumer(&s, 1);
        int64_t next = 0;
        for (size_t got; (got = take_from(&s, next, NULL)) > 0; next += (int64_t)got) {
            assert_true(got <= (size_t)max);
            assert_true(got == (size_t)max || next + (int64_t)got == 36);
            int64_t position;
            assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
            assert_int_equal(position, next + (int64_t)got);
        }
        assert_int_equal(next, 36);
        assert_int_equal(log_of(&s, 0)->reads, 1);
        finish(&s);
    }
}

/* A position inside a batch, plain and compressed. */
static void test_seek_into_batch(void **state)
{
    (void)state;
    for (int codec = 0; codec < KJ_CODEC_COUNT; codec++) {
        struct setup s;
        if (!kj_codec_built((enum kj_codec)codec))
            continue;
        begin(&s, 1);
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        seal.codec = (enum kj_codec)codec;
        for (int i = 0; i < 3; i++)
            add_sealed(log_of(&s, 0), 10 * i, 10, &seal);
        open_consumer(&s, 1);
        for (int64_t offset = 29; offset >= 0; offset--) {
            assert_ok(kj_consumer_seek(s.consumer, "topic", 0, offset));
            assert_int_equal(take_from(&s, offset, NULL), 30 - offset);
        }
        finish(&s);
    }
}

static void test_small_fetches(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, 1);
    s.options.partition_fetch_bytes_max = 0; /* one batch at a time */
    for (int i = 0; i < 5; i++)
        add(log_of(&s, 0), 4);
    open_consumer(&s, 1);
    int64_t next = 0;
    for (size_t got; (got = take_from(&s, next, NULL)) > 0; next += (int64_t)got)
        ;
    assert_int_equal(next, 20);
    finish(&s);
}

/* A partition is read to its end before the next one has its turn, and then goes to the back. */
static void test_turns(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, 3);
    s.options.max_poll_records = 10;
    for (int32_t p = 0; p < 3; p++)
        add(log_of(&s, p), 20);
    open_consumer(&s, 3);
    int32_t partition;
    for (int32_t p = 0; p < 3; p++)
        for (int64_t i = 0; i < 2; i++) {
            assert_int_equal(take_from(&s, 10 * i, &partition), 10);
            assert_int_equal(partition, p);
        }
    assert_int_equal(take_from(&s, 0, NULL), 0);
    /* Its piece was read to the end, although more came since: the next one has its turn. */
    for (int32_t p = 0; p < 3; p++)
        add(log_of(&s, p), 10);
    assert_int_equal(take_from(&s, 20, &partition), 10);
    int32_t first = partition;
    add(log_of(&s, first), 10);
    assert_int_equal(take_from(&s, 20, &partition), 10);
    assert_int_not_equal(partition, first);
    assert_int_equal(take_from(&s, 20, &partition), 10);
    assert_int_equal(take_from(&s, 30, &partition), 10);
    assert_int_equal(partition, first);
    /* A busy partition does not starve the others. */
    bool seen[3] = {false, false, false};
    for (int round = 0; round < 4; round++) {
        struct kaja_batch *batch;
        struct kaja_record_view view;
        for (int32_t p = 0; p < 3; p++)
            add(log_of(&s, p), p == 0 ? 20 : 3);
        assert_ok(kj_consumer_poll(s.consumer, 0, &batch));
        while (kj_fetched_next(batch, &view))
            seen[view.partition] = true;
        kj_fetched_release(batch);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    finish(&s);
}

static void test_pause(void **state)
{
    (void)state;
    struct setup s;
    int32_t partition;
    begin(&s, 2);
    s.options.max_poll_records = 5;
    add(log_of(&s, 0), 10);
    add(log_of(&s, 1), 10);
    open_consumer(&s, 2);
    assert_int_equal(take_from(&s, 0, &partition), 5);
    assert_int_equal(partition, 0);
    assert_ok(kj_consumer_pause(s.consumer, "topic", 0, true));
    assert_int_equal(take_from(&s, 0, &partition), 5);
    assert_int_equal(partition, 1);
    assert_int_equal(take_from(&s, 5, &partition), 5);
    assert_int_equal(take_from(&s, 0, NULL), 0);
    assert_ok(kj_consumer_pause(s.consumer, "topic", 0, false));
    assert_int_equal(take_from(&s, 5, &partition), 5); /* goes on where it was */
    assert_int_equal(partition, 0);
    assert_err(kj_consumer_pause(s.consumer, "topic", 2, true), KAJA_ERR_STATE);
    assert_err(kj_consumer_pause(s.consumer, "other", 0, true), KAJA_ERR_STATE);
    finish(&s);
}

/* --- positions --- */

static void test_reset(void **state)
{
    (void)state;
    static const int64_t expected[] = {10, 2, -1, 10};
    for (int reset = KJ_RESET_LATEST; reset <= KJ_RESET_BY_DURATION; reset++) {
        struct setup s;
        int64_t position = -1;
        struct kaja_batch *batch;
        begin(&s, 1);
        s.options.reset = (enum kj_offset_reset)reset;
        add(log_of(&s, 0), 10);
        log_of(&s, 0)->start = 2;
        open_consumer(&s, 1);
        if (reset == KJ_RESET_NONE) {
            assert_err(kj_consumer_poll(s.consumer, 0, &batch), KAJA_ERR_NO_OFFSET);
            assert_err(kj_consumer_position(s.consumer, "topic", 0, &position), KAJA_ERR_NO_OFFSET);
            /* Out of range: told by each poll, the position stays. */
            for (int i = 0; i < 2; i++) {
                assert_ok(kj_consumer_seek(s.consumer, "topic", 0, i == 0 ? 1 : 11));
                for (int n = 0; n < 2; n++)
                    assert_err(kj_consumer_poll(s.consumer, 0, &batch),
                               KAJA_ERR_OFFSET_OUT_OF_RANGE);
                assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
                assert_int_equal(position, i == 0 ? 1 : 11);
            }
        } else {
            assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
            assert_int_equal(position, expected[reset]);
            for (int i = 0; i < 2; i++) {
                assert_ok(kj_consumer_seek(s.consumer, "topic", 0, i == 0 ? 1 : 11));
                size_t got = take_from(&s, expected[reset], NULL);
                assert_int_equal(got, 10 - expected[reset]);
                assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
                assert_int_equal(position, 10);
            }
        }
        finish(&s);
    }
}

static void test_seek_kinds(void **state)
{
    (void)state;
    struct setup s;
    int64_t position, lag;
    struct kaja_topic_partition at[2];
    begin(&s, 1);
    add(log_of(&s, 0), 10);
    open_consumer(&s, 1);
    assert_int_equal(kj_consumer_assignment(s.consumer, at, 2), 1);
    assert_int_equal(at[0].offset, KAJA_OFFSET_NONE);
    assert_ok(kj_consumer_seek_to_end(s.consumer, NULL, 0));
    add(log_of(&s, 0), 1); /* resolved later: this one is behind it */
    assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
    assert_int_equal(position, 11);
    assert_ok(kj_consumer_seek_to_beginning(s.consumer, "topic", 0));
    assert_ok(kj_consumer_lag(s.consumer, "topic", 0, &lag));
    assert_int_equal(lag, 11);
    assert_ok(kj_consumer_seek_to_timestamp(s.consumer, "topic", 0, 7));
    assert_int_equal(take_from(&s, 7, NULL), 4);
    assert_ok(kj_consumer_seek_to_timestamp(s.consumer, "topic", 0, 1000));
    assert_int_equal(take_from(&s, 0, NULL), 0);
    assert_int_equal(kj_consumer_assignment(s.consumer, at, 2), 1);
    assert_int_equal(at[0].offset, 11);
    assert_ok(kj_consumer_lag(s.consumer, "topic", 0, &lag));
    assert_int_equal(lag, 0);
    finish(&s);
}

/* A partition that stays assigned keeps its position; one that comes back begins anew. */
static void test_assign(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    int64_t position;
    begin(&s, 3);
    s.options.max_poll_records = 4;
    for (int32_t p = 0; p < 3; p++)
        add(log_of(&s, p), 8);
    open_consumer(&s, 2);
    assert_int_equal(take_from(&s, 0, NULL), 4);
    struct kaja_topic_partition wanted[] = {{"topic", 2, 0}, {"topic", 0, 0}, {"topic", 0, 0}};
    assert_ok(kj_consumer_assign(s.consumer, wanted, 3));
    assert_int_equal(kj_consumer_assignment(s.consumer, NULL, 0), 2);
    assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
    assert_int_equal(position, 4);
    assert_err(kj_consumer_position(s.consumer, "topic", 1, &position), KAJA_ERR_STATE);
    struct kaja_topic_partition bad[] = {{"topic", 1, 0}, {"topic", 3, 0}};
    assert_err(kj_consumer_assign(s.consumer, bad, 2), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    bad[1].topic = "nowhere";
    assert_err(kj_consumer_assign(s.consumer, bad, 2), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(kj_consumer_assignment(s.consumer, NULL, 0), 2); /* as before */
    assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
    assert_int_equal(position, 4);
    assert_ok(kj_consumer_assign(s.consumer, NULL, 0));
    assert_err(kj_consumer_poll(s.consumer, 0, &batch), KAJA_ERR_STATE);
    assert_ok(kj_consumer_assign(s.consumer, &wanted[1], 1));
    assert_int_equal(take_from(&s, 0, NULL), 4);
    finish(&s);
}

/* --- damage --- */

/* The error at offset is told by each poll, after the records before it; a seek behind it goes on.
 */
static void expect_bad(struct setup *s, int64_t offset, int error, int64_t behind, size_t rest)
{
    struct kaja_batch *batch;
    int64_t position;
    if (offset > 0)
        assert_int_equal(take_from(s, 0, NULL), offset);
    for (int i = 0; i < 3; i++) {
        assert_err(kj_consumer_poll(s->consumer, 0, &batch), error);
        struct kaja_error_place place;
        kaja_error_where(&place);
        assert_string_equal(place.topic, "topic");
        assert_int_equal(place.partition, 0);
        assert_int_equal(place.offset, offset);
        assert_ok(kj_consumer_position(s->consumer, "topic", 0, &position));
        assert_int_equal(position, offset);
    }
    assert_ok(kj_consumer_seek(s->consumer, "topic", 0, behind));
    assert_int_equal(take_from(s, behind, NULL), rest);
}

/* A batch is 61 bytes of header, then records of 15 bytes: length, attributes, time, offset, null
 * key, length and 8 of value, no headers. */
enum { RECORD_BYTES = 15 };

static void test_bad_batches(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* in the second of three batches of four records */
        uint8_t flip;
        bool crc; /* made right again */
        int64_t offset;
        int error;
    } cases[] = {
        {KJ_BATCH_HEADER_BYTES + 10, 0xff, false, 4, KAJA_ERR_CORRUPT_MESSAGE},
        {KJ_BATCH_CRC_AT, 0x01, false, 4, KAJA_ERR_CORRUPT_MESSAGE},
        {KJ_BATCH_MAGIC_AT, 0x03, false, 4, KAJA_ERR_UNSUPPORTED_MAGIC}, /* 1 */
        {KJ_BATCH_MAGIC_AT, 0x04, false, 4, KAJA_ERR_CORRUPT_MESSAGE},   /* 6 */
        {KJ_BATCH_ATTRIBUTES_AT + 1, 0x05, true, 4, KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE},
        {KJ_BATCH_COUNT_AT + 3, 0x01, true, 4,
         KAJA_ERR_INVALID_RECORD}, /* 5 records instead of 4 */
        {KJ_BATCH_COUNT_AT + 3, 0x07, true, 6, KAJA_ERR_INVALID_RECORD}, /* 3 */
        {KJ_BATCH_HEADER_BYTES, 0x7e, true, 4, KAJA_ERR_INVALID_RECORD}, /* length of the first */
        {KJ_BATCH_HEADER_BYTES + 2 * RECORD_BYTES, 0x02, true, 6, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_HEADER_BYTES + 2 * RECORD_BYTES + 3, 0x06, true, 6,
         KAJA_ERR_INVALID_RECORD}, /* offset delta */
        {KJ_BATCH_HEADER_BYTES + 3 * RECORD_BYTES + 3, 0x08, true, 7, KAJA_ERR_INVALID_RECORD},
        {KJ_BATCH_HEADER_BYTES + 3 * RECORD_BYTES + 14, 0x02, true, 7,
         KAJA_ERR_INVALID_RECORD}, /* a header */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setup s;
        begin(&s, 1);
        struct kj_log *log = log_of(&s, 0);
        add(log, 4);
        size_t second = log->image_len;
        add(log, 4);
        size_t bytes = log->image_len - second;
        assert_int_equal(bytes, KJ_BATCH_HEADER_BYTES + 4 * RECORD_BYTES);
        add(log, 4);
        log->image[second + cases[i].at] ^= cases[i].flip;
        if (cases[i].crc)
            kj_batch_set_crc(log->image + second, bytes);
        open_consumer(&s, 1);
        expect_bad(&s, cases[i].offset, cases[i].error, 8, 4);
        finish(&s);
    }
}

static void test_no_crc(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, 1);
    s.options.check_crcs = false;
    add(log_of(&s, 0), 4);
    log_of(&s, 0)->image[KJ_BATCH_CRC_AT] ^= 1;
    open_consumer(&s, 1);
    assert_int_equal(take_from(&s, 0, NULL), 4);
    finish(&s);
}

static void test_bad_compression(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    if (!kj_codec_built(KJ_CODEC_LZ4))
        skip();
    begin(&s, 1);
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    seal.codec = KJ_CODEC_LZ4;
    struct kj_log *log = log_of(&s, 0);
    add_sealed(log, 0, 100, &seal);
    log->image[KJ_BATCH_HEADER_BYTES] ^= 1;
    kj_batch_set_crc(log->image, log->image_len);
    open_consumer(&s, 1);
    assert_err(kj_consumer_poll(s.consumer, 0, &batch), KAJA_ERR_BAD_COMPRESSION);
    assert_ok(kj_consumer_free(s.consumer, -1));
    log->image[KJ_BATCH_HEADER_BYTES] ^= 1;
    kj_batch_set_crc(log->image, log->image_len);
    s.options.decompressed_bytes_max = 1000; /* it is about 1500 */
    open_consumer(&s, 1);
    assert_err(kj_consumer_poll(s.consumer, 0, &batch), KAJA_ERR_RECORD_TOO_LARGE);
    finish(&s);
}

/* A damaged partition does not keep the others from being read. */
static void test_others_go_on(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, 3);
    for (int32_t p = 0; p < 3; p++)
        add(log_of(&s, p), 4);
    log_of(&s, 1)->image[KJ_BATCH_CRC_AT] ^= 1;
    open_consumer(&s, 3);
    int errors = 0;
    size_t records = 0;
    for (int i = 0; i < 6; i++) {
        struct kaja_batch *batch;
        int err = kj_consumer_poll(s.consumer, 0, &batch);
        if (err == 0) {
            records += batch->count;
            kj_fetched_release(batch);
        } else {
            assert_int_equal(err, KAJA_ERR_CORRUPT_MESSAGE);
            errors++;
        }
    }
    assert_int_equal(records, 8);
    assert_in_range(errors, 2, 5);
    finish(&s);
}

/* --- transactions --- */

static void add_txn(struct kj_log *log, int64_t producer_id, int count)
{
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    seal.transactional = true;
    seal.producer_id = producer_id;
    seal.producer_epoch = 0;
    seal.base_sequence = 0;
    add_sealed(log, (int64_t)log->end, count, &seal);
}

static void add_marker(struct kj_log *log, int64_t producer_id, enum kj_control_type type)
{
    uint8_t marker[KJ_MARKER_BYTES];
    kj_marker_encode(marker, type, producer_id, 0, 0, 5);
    fake_add(log, marker, sizeof marker, 1);
}

static void expect_offsets(struct setup *s, const int64_t *offsets, size_t count)
{
    struct kaja_batch *batch;
    struct kaja_record_view view;
    size_t at = 0;
    do {
        assert_ok(kj_consumer_poll(s->consumer, 0, &batch));
        size_t before = at;
        while (kj_fetched_next(batch, &view)) {
            assert_true(at < count);
            assert_int_equal(view.offset, offsets[at++]);
        }
        kj_fetched_release(batch);
        if (at == before)
            break;
    } while (at < count);
    assert_int_equal(at, count);
}

/* 0-1 of 7 aborted, 2-3 of 8 committed, 4 of nobody, 5-6 of 7 aborted, 7 abort marker of 7, 8
 * commit marker of 8, 9-10 of 7 committed, 11 its marker, 12-13 of 9 open. */
static void test_read_committed(void **state)
{
    (void)state;
    static const int64_t committed[] = {2, 3, 4, 9, 10};
    static const int64_t all[] = {0, 1, 2, 3, 4, 5, 6, 9, 10, 12, 13};
    for (size_t piece = 0; piece <= 1000; piece += 1000) /* one batch a read, and all in one */
        for (int isolation = 0; isolation < 2; isolation++) {
            struct setup s;
            int64_t position;
            begin(&s, 1);
            s.options.read_committed = isolation == 1;
            s.options.partition_fetch_bytes_max = piece;
            struct kj_log *log = log_of(&s, 0);
            add_txn(log, 7, 2);
            add_txn(log, 8, 2);
            add(log, 1);
            add_txn(log, 7, 2);
            add_marker(log, 7, KJ_CONTROL_ABORT);
            add_marker(log, 8, KJ_CONTROL_COMMIT);
            add_txn(log, 7, 2);
            add_marker(log, 7, KJ_CONTROL_COMMIT);
            add_txn(log, 9, 2);
            log->aborted[log->aborted_count++] = (struct fake_aborted){7, 0, 7};
            log->stable = 12;
            open_consumer(&s, 1);
            if (isolation == 1)
                expect_offsets(&s, committed, sizeof committed / sizeof *committed);
            else
                expect_offsets(&s, all, sizeof all / sizeof *all);
            (void)take_from(&s, 14, NULL);
            assert_ok(kj_consumer_position(s.consumer, "topic", 0, &position));
            assert_int_equal(position, isolation == 1 ? 12 : 14);
            int64_t lag;
            assert_ok(kj_consumer_lag(s.consumer, "topic", 0, &lag));
            assert_int_equal(lag, 0);
            finish(&s);
        }
}

/* A transaction of a single record: its first offset is the last of its batch. */
static void test_aborted_record(void **state)
{
    (void)state;
    static const int64_t committed[] = {2};
    struct setup s;
    begin(&s, 1);
    s.options.read_committed = true;
    struct kj_log *log = log_of(&s, 0);
    add_txn(log, 7, 1);
    add_marker(log, 7, KJ_CONTROL_ABORT);
    add(log, 1);
    log->aborted[log->aborted_count++] = (struct fake_aborted){7, 0, 1};
    open_consumer(&s, 1);
    expect_offsets(&s, committed, 1);
    finish(&s);
}

/* Waiting at the last stable offset while records beyond it are there: no busy loop. */
static void test_committed_waits(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    begin(&s, 1);
    s.options.read_committed = true;
    struct kj_log *log = log_of(&s, 0);
    add_txn(log, 7, 2);
    log->stable = -1; /* nothing is stable: offset 0 is not below it */
    open_consumer(&s, 1);
    assert_ok(kj_consumer_poll(s.consumer, 30, &batch));
    assert_int_equal(batch->count, 0);
    kj_fetched_release(batch);
    assert_in_range(s.store->waits, 1, 3);
    finish(&s);
}

/* --- batches that are out --- */

static void test_outlive(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batches[4];
    struct kaja_record_view view = {.value = NULL};
    begin(&s, 1);
    s.options.max_poll_records = 3;
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    if (kj_codec_built(KJ_CODEC_LZ4))
        seal.codec = KJ_CODEC_LZ4;
    add(log_of(&s, 0), 6);
    add_sealed(log_of(&s, 0), 6, 6, &seal);
    open_consumer(&s, 1);
    for (int i = 0; i < 4; i++)
        assert_ok(kj_consumer_poll(s.consumer, 0, &batches[i]));
    assert_ok(kj_consumer_free(s.consumer, -1));
    s.consumer = NULL;
    for (int64_t i = 0; i < 4; i++) {
        for (int64_t n = 0; n < 3; n++) {
            int64_t value;
            assert_int_equal(kj_fetched_next(batches[i], &view), 1);
            memcpy(&value, view.value, sizeof value);
            assert_int_equal(value, 3 * i + n);
            assert_string_equal(view.topic, "topic");
        }
        assert_int_equal(kj_fetched_next(batches[i], &view), 0);
    }
    assert_int_equal(s.store->views, 1);
    for (int i = 3; i >= 0; i--)
        kj_fetched_release(batches[i]);
    assert_int_equal(s.store->views, 0);
    finish(&s);
}

static void test_memory_limit(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch[8], *more;
    int out = 0, err;
    begin(&s, 1);
    s.options.memory_bytes_max = 1000;
    s.options.max_poll_records = 1;
    for (int i = 0; i < 20; i++)
        add(log_of(&s, 0), 10); /* 211 bytes each */
    open_consumer(&s, 1);
    while (out < 8 && (err = kj_consumer_poll(s.consumer, 0, &batch[out])) == 0)
        out++;
    assert_int_equal(err, KAJA_ERR_MEMORY_LIMIT);
    assert_int_equal(out, 5);
    kj_fetched_release(batch[--out]);
    assert_ok(kj_consumer_poll(s.consumer, 0, &more));
    assert_int_equal(more->count, 1);
    kj_fetched_release(more);
    while (out > 0)
        kj_fetched_release(batch[--out]);
    finish(&s);
}

static int allocations;

static int count_allocations(void *arg)
{
    (void)arg;
    allocations++;
    return 0;
}

static void test_no_allocation(void **state)
{
    (void)state;
    for (int codec = 0; codec <= KJ_CODEC_LZ4; codec += KJ_CODEC_LZ4) {
        struct setup s;
        if (!kj_codec_built((enum kj_codec)codec))
            continue;
        begin(&s, 1);
        struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
        seal.codec = (enum kj_codec)codec;
        for (int i = 0; i < 200; i++)
            add_sealed(log_of(&s, 0), 100 * i, 100, &seal);
        open_consumer(&s, 1);
        int64_t next = 0;
        for (int i = 0; i < 10; i++)
            next += (int64_t)take_from(&s, next, NULL);
        allocations = 0;
        kj_alloc_set_hook(count_allocations, NULL);
        for (int i = 0; i < 25; i++)
            next += (int64_t)take_from(&s, next, NULL);
        kj_alloc_set_hook(NULL, NULL);
        assert_int_equal(next, 35 * 500);
        /* What is left is the codec's own business. */
        if (codec == KJ_CODEC_NONE)
            assert_int_equal(allocations, 0);
        finish(&s);
    }
}

/* --- waiting --- */

static void test_wakeup(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    begin(&s, 1);
    open_consumer(&s, 1);
    kj_consumer_wakeup(s.consumer);
    kj_consumer_wakeup(s.consumer);
    assert_ok(kj_consumer_poll(s.consumer, 0, &batch)); /* does not block: not meant */
    kj_fetched_release(batch);
    assert_err(kj_consumer_poll(s.consumer, 1000, &batch), KAJA_ERR_INTERRUPTED);
    int64_t before = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_consumer_poll(s.consumer, 20, &batch)); /* once */
    assert_int_equal(batch->count, 0);
    kj_fetched_release(batch);
    assert_true(kj_mono_ns(&kj_clock_system) - before >= 20000000);
    finish(&s);
}

static void test_fetch_min_bytes(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    begin(&s, 1);
    s.options.fetch_bytes_min = 1000;
    s.options.fetch_wait_max_ms = 30;
    add(log_of(&s, 0), 10);
    open_consumer(&s, 1);
    int64_t before = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_consumer_poll(s.consumer, 5000, &batch));
    assert_int_equal(batch->count, 10);
    assert_in_range(kj_mono_ns(&kj_clock_system) - before, 30000000, 2000000000);
    kj_fetched_release(batch);
    for (int i = 0; i < 5; i++)
        add(log_of(&s, 0), 10);
    before = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_consumer_poll(s.consumer, 5000, &batch));
    assert_int_equal(batch->count, 50);
    assert_true(kj_mono_ns(&kj_clock_system) - before < 30000000);
    kj_fetched_release(batch);
    finish(&s);
}

/* A wait that fails takes nothing away: what was gathered before it is given out. */
static void test_wait_fails(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    begin(&s, 1);
    s.options.fetch_bytes_min = 1000000;
    add(log_of(&s, 0), 10);
    open_consumer(&s, 1);
    kj_store_release(&s.store->wait_error, (uint64_t)-KAJA_ERR_CRIT_SYS_RESOURCE);
    assert_ok(kj_consumer_poll(s.consumer, 5000, &batch));
    assert_int_equal(batch->count, 10);
    kj_fetched_release(batch);
    assert_err(kj_consumer_poll(s.consumer, 5000, &batch), KAJA_ERR_CRIT_SYS_RESOURCE);
    kj_store_release(&s.store->wait_error, 0);
    add(log_of(&s, 0), 5);
    assert_ok(kj_consumer_poll(s.consumer, 0, &batch));
    assert_int_equal(batch->count, 5);
    kj_fetched_release(batch);
    finish(&s);
}

static void test_topic_deleted(void **state)
{
    (void)state;
    struct setup s;
    struct kaja_batch *batch;
    begin(&s, 1);
    add(log_of(&s, 0), 10);
    open_consumer(&s, 1);
    s.topic->deleted = 1;
    kj_fetch_add(&s.store->generation, 1);
    assert_err(kj_consumer_poll(s.consumer, 1000, &batch), KAJA_ERR_UNKNOWN_TOPIC_ID);
    /* Assigned again, it is the new one, from the beginning. */
    struct kj_topic *anew = fake_topic_new(s.store, "topic", 1);
    add(&anew->partitions[0].log, 3);
    struct kaja_topic_partition wanted = {"topic", 0, 0};
    assert_ok(kj_consumer_assign(s.consumer, &wanted, 1));
    assert_int_equal(take_from(&s, 0, NULL), 3);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_poll_records),
        cmocka_unit_test(test_seek_into_batch),
        cmocka_unit_test(test_small_fetches),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_seek_kinds),
        cmocka_unit_test(test_assign),
        cmocka_unit_test(test_bad_batches),
        cmocka_unit_test(test_no_crc),
        cmocka_unit_test(test_bad_compression),
        cmocka_unit_test(test_others_go_on),
        cmocka_unit_test(test_read_committed),
        cmocka_unit_test(test_aborted_record),
        cmocka_unit_test(test_committed_waits),
        cmocka_unit_test(test_outlive),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_wakeup),
        cmocka_unit_test(test_fetch_min_bytes),
        cmocka_unit_test(test_wait_fails),
        cmocka_unit_test(test_topic_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
