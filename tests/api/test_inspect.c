/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Dumps of Kafka's own files must give, line by line, the text that an independent decoder gave.
 */
#include "golden_logs.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a dump as text --- */

struct text {
    char *bytes;
    size_t len, capacity;
    bool positions;
    int64_t records_end; /* of the last batch's section */
    int batches, records, invalid;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...)
{
    va_list args;
    if (text->capacity - text->len < 1 << 16) {
        text->capacity += 1 << 20;
        text->bytes = realloc(text->bytes, text->capacity);
        assert_non_null(text->bytes);
    }
    va_start(args, format);
    int n = vsnprintf(text->bytes + text->len, text->capacity - text->len, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < text->capacity - text->len);
    text->len += (size_t)n;
}

static void say_bytes(struct text *text, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    if (p == NULL) {
        say(text, "null");
        return;
    }
    say(text, "x");
    for (size_t i = 0; i < n; i++)
        say(text, "%02x", bytes[i]);
}

static int on_batch(void *arg, const struct kaja_batch_info *b)
{
    struct text *text = arg;
    text->batches++;
    text->records_end = 0;
    if (!b->crc_valid) {
        text->invalid++;
        say(text, "invalid position=%" PRId64 " reason=crc\n", b->pos);
        return 0;
    }
    say(text, "batch ");
    if (text->positions)
        say(text, "position=%" PRId64 " ", b->pos);
    say(text,
        "base_offset=%" PRId64
        " batch_length=%d leader_epoch=%d magic=%d crc=%08x attributes=0x%04x "
        "last_offset_delta=%" PRId64 " base_timestamp=%" PRId64 " max_timestamp=%" PRId64
        " producer_id=%" PRId64 " producer_epoch=%d base_sequence=%d record_count=%d\n",
        b->base_offset, b->bytes - 12, b->leader_epoch, b->magic, b->crc,
        (unsigned)(uint16_t)b->attributes, b->last_offset - b->base_offset, b->base_timestamp,
        b->max_timestamp, b->producer_id, b->producer_epoch, b->base_sequence, b->record_count);
    assert_memory_equal(b->raw + 17,
                        ((uint8_t[]){(uint8_t)(b->crc >> 24), (uint8_t)(b->crc >> 16),
                                     (uint8_t)(b->crc >> 8), (uint8_t)b->crc}),
                        4);
    return 0;
}

static int on_record(void *arg, const struct kaja_batch_info *b, const struct kaja_dump_record *r)
{
    struct text *text = arg;
    const struct kaja_record_view *v = &r->view;
    if (!b->crc_valid)
        return 0;
    say(text, "record offset=%" PRId64 " timestamp=%" PRId64 " key=", v->offset, v->timestamp);
    say_bytes(text, v->key, v->key_bytes);
    say(text, " value=");
    say_bytes(text, v->value, v->value_bytes);
    say(text, " headers=%s", v->header_count == 0 ? "-" : "");
    for (size_t i = 0; i < v->header_count; i++) {
        struct kaja_header header;
        assert_ok(kaja_record_header(v, i, &header));
        say(text, i > 0 ? "," : "%s", "");
        say_bytes(text, header.key, header.key_bytes);
        say(text, ":");
        say_bytes(text, header.value, header.value_bytes);
    }
    say(text, "\n");
    assert_int_equal(r->raw_pos, text->records_end);
    text->records_end += r->raw_bytes;
    assert_int_equal(v->leader_epoch, b->leader_epoch);
    assert_int_equal(v->timestamp_type,
                     (b->attributes & 8) != 0 ? KAJA_LOG_APPEND_TIME : KAJA_CREATE_TIME);
    if (b->base_sequence < 0)
        assert_int_equal(r->sequence, -1);
    else
        assert_int_equal(r->sequence,
                         ((int64_t)b->base_sequence + v->offset - b->base_offset) & INT32_MAX);
    if ((b->attributes & 0x20) != 0) {
        assert_int_equal(r->control_type, ((const uint8_t *)v->key)[3]);
        assert_int_equal(r->coordinator_epoch, ((const uint8_t *)v->value)[5]);
    } else {
        assert_int_equal(r->control_type, -1);
        assert_int_equal(r->coordinator_epoch, -1);
    }
    text->records++;
    return 0;
}

/* The next lines of both must be equal. */
static void same_lines(char *wanted, char *got)
{
    for (;;) {
        const char *w = golden_line(&wanted), *g = golden_line(&got);
        if (w == NULL || g == NULL) {
            if (w != g)
                fail_msg("%s: %s", w != NULL ? "missing" : "too much", w != NULL ? w : g);
            return;
        }
        if (strcmp(w, g) != 0)
            fail_msg("wanted: %s\n   got: %s", w, g);
    }
}

static void path_of(char path[1024], const struct golden_file *golden)
{
    (void)snprintf(path, 1024, "%s/kafka/logs/%s/%s", KJ_GOLDEN_DIR, golden->dir, golden->name);
}

/* --- logs --- */

static void golden_log(const struct golden_file *golden)
{
    struct text text = {.positions = true};
    char path[1024];
    int64_t trailing = -9;
    path_of(path, golden);
    say(&text, "%s", "");
    assert_ok(kaja_dump_log(path, -1, on_batch, on_record, &text, &trailing));
    bool damaged = strcmp(golden->dir, "recover-before") == 0 && golden->name[18] == '3';
    assert_int_equal(text.invalid, damaged);
    assert_int_equal(trailing, 0);
    same_lines(golden->at, text.bytes);
    free(text.bytes);
}

static void test_logs(void **state)
{
    (void)state;
    assert_int_equal(golden_logs_each(".log", golden_log), 20);
}

/* True if the batch's codec was configured out of this build. */
static bool lacks_codec_of(const char *name)
{
    static const char *const absent[] = {
#ifndef KJ_HAVE_GZIP
        "gzip",
#endif
#ifndef KJ_HAVE_SNAPPY
        "snappy",
#endif
#ifndef KJ_HAVE_LZ4
        "lz4",
#endif
#ifndef KJ_HAVE_ZSTD
        "zstd",
#endif
        NULL};
    for (const char *const *codec = absent; *codec != NULL; codec++)
        if (strstr(name, *codec) != NULL)
            return true;
    return false;
}

static void test_batches(void **state)
{
    (void)state;
    char path[1024], name[512];
    int files = 0;
    DIR *dir = opendir(KJ_GOLDEN_DIR "/kafka/batches");
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        const char *end = strstr(e->d_name, ".bin");
        if (end == NULL)
            continue;
        size_t len;
        (void)snprintf(name, sizeof name, "kafka/batches/%.*s.txt", (int)(end - e->d_name),
                       e->d_name);
        char *wanted = (char *)golden_read(name, &len);
        char *section = strstr(wanted, "records_section_uncompressed");
        int64_t section_bytes = -1;
        if (section != NULL) {
            section_bytes = golden_number(section, "length");
            *section = 0;
        }
        struct text text = {.positions = false};
        int64_t trailing = -9;
        (void)snprintf(path, sizeof path, "%s/kafka/batches/%s", KJ_GOLDEN_DIR, e->d_name);
        bool with_records = strstr(wanted, "record ") != NULL;
        int err = kaja_dump_log(path, -1, on_batch, on_record, &text, &trailing);
        if (lacks_codec_of(e->d_name)) {
            assert_int_equal(err, KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE);
            free(text.bytes);
            free(wanted);
            files++;
            continue;
        }
        assert_ok(err);
        assert_int_equal(text.batches, 1);
        assert_int_equal(text.invalid, 0);
        assert_int_equal(trailing, 0);
        if (section_bytes >= 0)
            assert_int_equal(text.records_end, section_bytes);
        if (!with_records)
            *(strchr(text.bytes, '\n') + 1) = 0;
        same_lines(wanted, text.bytes);
        free(text.bytes);
        free(wanted);
        files++;
    }
    (void)closedir(dir);
    assert_int_equal(files, 24);
}

/* --- the other files --- */

static int on_index(void *arg, const struct kaja_index_entry *e)
{
    struct text *text = arg;
    if (e->position >= 0)
        say(text, "offset_entry offset=%" PRId64 " position=%" PRId64 "\n", e->offset, e->position);
    else if (e->timestamp >= 0)
        say(text, "time_entry timestamp=%" PRId64 " offset=%" PRId64 "\n", e->timestamp, e->offset);
    else
        say(text,
            "aborted_txn version=%d producer_id=%" PRId64 " first_offset=%" PRId64
            " last_offset=%" PRId64 " last_stable_offset=%" PRId64 "\n",
            e->version, e->producer_id, e->first_offset, e->offset, e->last_stable_offset);
    return 0;
}

static void golden_index(const struct golden_file *golden)
{
    struct text text = {.len = 0};
    char path[1024];
    path_of(path, golden);
    say(&text, "%s", "");
    assert_ok(kaja_dump_index(path, on_index, &text));
    char *zeros = strstr(golden->at, "zero_fill");
    if (zeros != NULL)
        *zeros = 0;
    same_lines(golden->at, text.bytes);
    free(text.bytes);
}

static int on_producer(void *arg, const struct kaja_snapshot_entry *e)
{
    struct text *text = arg;
    say(text,
        "producer id=%" PRId64 " epoch=%d last_sequence=%d last_offset=%" PRId64
        " offset_delta=%d timestamp=%" PRId64
        " coordinator_epoch=%d current_txn_first_offset=%" PRId64 "\n",
        e->producer_id, e->producer_epoch, e->last_sequence, e->last_offset, e->offset_delta,
        e->last_timestamp, e->coordinator_epoch, e->current_txn_first_offset);
    assert_int_equal(e->first_sequence,
                     e->last_offset < 0 ? -1 : e->last_sequence - e->offset_delta);
    return 0;
}

static void golden_snapshot(const struct golden_file *golden)
{
    struct text text = {.len = 0};
    char path[1024], *p = golden->at;
    path_of(path, golden);
    say(&text, "%s", "");
    assert_ok(kaja_dump_snapshot(path, on_producer, &text));
    assert_true(golden_is(golden_line(&p), "snapshot"));
    /* In any order: each line of one must be in the other, and they are as long. */
    assert_int_equal(strlen(p), text.len);
    for (const char *line; (line = golden_line(&p)) != NULL;)
        if (strstr(text.bytes, line) == NULL)
            fail_msg("missing: %s", line);
    free(text.bytes);
}

static void test_indexes_and_snapshots(void **state)
{
    (void)state;
    assert_int_equal(golden_logs_each(".index", golden_index), 20);
    assert_int_equal(golden_logs_each(".timeindex", golden_index), 19);
    assert_int_equal(golden_logs_each(".txnindex", golden_index), 8);
    assert_int_equal(golden_logs_each(".snapshot", golden_snapshot), 17);
}

/* --- limits, stops, damage --- */

static char scratch[256];

static int set_up(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(scratch, sizeof scratch, "%s/kaja-inspect-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(scratch) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(scratch);
}

/* Writes the bytes to a file of that name; its path until the next call. */
static const char *file_with(const char *name, const void *bytes, size_t len)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", scratch, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return path;
}

static int dump(const char *path, int64_t max_bytes, int *ret_batches, int *ret_invalid,
                int64_t *ret_trailing)
{
    struct text text = {.positions = true};
    int err = kaja_dump_log(path, max_bytes, on_batch, NULL, &text, ret_trailing);
    *ret_batches = text.batches;
    *ret_invalid = text.invalid;
    free(text.bytes);
    return err;
}

/* Every cut: the batches before it are whole, the rest trails. */
static void test_trailing(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = golden_read("kafka/logs/compact-r4/00000000000000000000.log", &len);
    int64_t ends[32] = {0}, trailing;
    int batches, invalid, n = 0;
    for (size_t at = 0; at < len; n++) {
        at += 12 + ((size_t)bytes[at + 10] << 8) + bytes[at + 11];
        ends[n + 1] = (int64_t)at;
    }
    for (size_t cut = 0; cut <= len; cut++) {
        const char *path = file_with("x.log", bytes, cut);
        int whole = 0;
        while (whole < n && ends[whole + 1] <= (int64_t)cut)
            whole++;
        assert_ok(dump(path, -1, &batches, &invalid, &trailing));
        assert_int_equal(batches, whole);
        assert_int_equal(trailing, (int64_t)cut - ends[whole]);
        /* The same as a limit: what lies behind is not looked at. */
        path = file_with("x.log", bytes, len);
        assert_ok(dump(path, (int64_t)cut, &batches, &invalid, &trailing));
        assert_int_equal(batches, whole);
        assert_int_equal(trailing, 0);
    }
    /* Prepared space, more than a window of it. */
    uint8_t *prepared = calloc(1, 200000);
    assert_non_null(prepared);
    memcpy(prepared, bytes, len);
    assert_ok(dump(file_with("x.log", prepared, 200000), INT64_MAX, &batches, &invalid, &trailing));
    assert_int_equal(batches, n);
    assert_int_equal(trailing, 200000 - (int64_t)len);
    free(prepared);
    assert_int_equal(unlink(file_with("x.log", bytes, 0)), 0);
    free(bytes);
}

static void set_crc(uint8_t *batch, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 21; i < len; i++) {
        crc ^= batch[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    for (int i = 0; i < 4; i++)
        batch[17 + i] = (uint8_t)(~crc >> (24 - 8 * i));
}

/* More batches than a window holds, and one larger than it. */
static void test_windows(void **state)
{
    (void)state;
    enum { COUNT = 3000, SINGLE = 70 };
    size_t len, big_len, at = 0;
    uint8_t *single = golden_read("kafka/batches/k01_single.bin", &len);
    uint8_t *big = golden_read("kafka/batches/k24_snappy_multiblock.bin", &big_len);
    assert_int_equal(len, SINGLE);
    uint8_t *bytes = malloc(COUNT * SINGLE + 200000);
    assert_non_null(bytes);
    for (int i = 0; i < COUNT; i++, at += SINGLE)
        memcpy(bytes + at, single, SINGLE);
    /* A batch with a payload of its own making: only its header is right. */
    memcpy(bytes + at, big, big_len);
    bytes[at + 8] = 0;
    bytes[at + 9] = 2;
    bytes[at + 10] = 0;
    bytes[at + 11] = 0; /* 131072 */
    memset(bytes + at + 61, 7, 131072 + 12 - 61);
    at += 131072 + 12;
    memcpy(bytes + at, single, SINGLE);
    at += SINGLE;
    int64_t trailing;
    int batches, invalid;
    const char *path = file_with("w.log", bytes, at);
    assert_ok(dump(path, -1, &batches, &invalid, &trailing));
    assert_int_equal(batches, COUNT + 2);
    assert_int_equal(invalid, 1);
    assert_int_equal(trailing, 0);
    /* Its records cannot be read, the others can. */
    struct text text = {.positions = true};
    assert_ok(kaja_dump_log(path, -1, on_batch, on_record, &text, &trailing));
    assert_int_equal(text.batches, COUNT + 2);
    assert_int_equal(text.records, COUNT + 1);
    /* With a right checksum that is an error, told with the place. */
    set_crc(bytes + COUNT * SINGLE, 131072 + 12);
    path = file_with("w.log", bytes, at);
    assert_err(kaja_dump_log(path, -1, on_batch, on_record, &text, &trailing),
               lacks_codec_of("snappy") ? KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE
                                        : KAJA_ERR_BAD_COMPRESSION);
    free(text.bytes);
    struct kaja_error_place place;
    kaja_error_where(&place);
    assert_int_equal(place.pos, COUNT * SINGLE);
    assert_int_equal(unlink(path), 0);
    free(bytes);
    free(single);
    free(big);
}

static int stop_at_batch(void *arg, const struct kaja_batch_info *b)
{
    (void)b;
    return ++*(int *)arg == 3 ? -7 : 0;
}

static int stop_at_record(void *arg, const struct kaja_batch_info *b,
                          const struct kaja_dump_record *r)
{
    (void)b;
    (void)r;
    return ++*(int *)arg == 3;
}

static int stop_at_index(void *arg, const struct kaja_index_entry *e)
{
    (void)e;
    return ++*(int *)arg == 3;
}

static int stop_at_producer(void *arg, const struct kaja_snapshot_entry *e)
{
    (void)e;
    return ++*(int *)arg == 3;
}

static void test_stops(void **state)
{
    (void)state;
    int n = 0;
    int64_t trailing = -9;
    assert_ok(kaja_dump_log(KJ_GOLDEN_DIR "/kafka/logs/events/00000000000000000000.log", -1,
                            stop_at_batch, NULL, &n, &trailing));
    assert_int_equal(n, 3);
    n = 0;
    assert_ok(kaja_dump_log(KJ_GOLDEN_DIR "/kafka/logs/events/00000000000000000000.log", -1, NULL,
                            stop_at_record, &n, NULL));
    assert_int_equal(n, 3);
    n = 0;
    assert_ok(kaja_dump_index(KJ_GOLDEN_DIR "/kafka/logs/events/00000000000000000000.index",
                              stop_at_index, &n));
    assert_int_equal(n, 3);
    n = 0;
    assert_ok(kaja_dump_snapshot(KJ_GOLDEN_DIR "/kafka/logs/events/00000000000000000046.snapshot",
                                 stop_at_producer, &n));
    assert_int_equal(n, 3);
}

static void test_arguments(void **state)
{
    (void)state;
    int n = 0;
    assert_err(kaja_dump_log(NULL, -1, stop_at_batch, NULL, &n, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_dump_log("x.log", -1, NULL, NULL, &n, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_dump_index(NULL, stop_at_index, &n), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_dump_index("x.index", NULL, &n), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_dump_snapshot(NULL, stop_at_producer, &n), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_dump_snapshot("x.snapshot", NULL, &n), KAJA_ERR_INVALID_ARG);
    static const char *const missing[] = {"",          "/",    ".",   "..",  "/tmp/",
                                          "/tmp",      "./",   "../", "//x", "not/there/0.log",
                                          "/dev/null", "0.log"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_err(kaja_dump_log(missing[i], -1, stop_at_batch, NULL, &n, NULL),
                   KAJA_ERR_KAFKA_STORAGE_ERROR);
        assert_err(kaja_dump_index(missing[i], stop_at_index, &n), KAJA_ERR_KAFKA_STORAGE_ERROR);
        assert_err(kaja_dump_snapshot(missing[i], stop_at_producer, &n),
                   KAJA_ERR_KAFKA_STORAGE_ERROR);
    }
    char fifo[512];
    (void)snprintf(fifo, sizeof fifo, "%s/00000000000000000000.index", scratch);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_err(kaja_dump_index(fifo, stop_at_index, &n), KAJA_ERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(n, 0);
}

/* The names say what an index is, and the topic where it lies. */
static int expect_place(void *arg, const struct kaja_batch_info *b,
                        const struct kaja_dump_record *r)
{
    (void)b;
    assert_string_equal(r->view.topic, arg);
    assert_int_equal(r->view.partition, ((const char *)arg)[0] != 0 ? 17 : -1);
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    size_t len;
    int n = -1000;
    uint8_t *bytes = golden_read("kafka/logs/events/00000000000000000030.index", &len);
    static const char *const bad[] = {"x.index", "00000000000000000030.log",
                                      "0000000000000000030.index", "00000000000000000030.index.tmp",
                                      "00000000000000000030"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *path = file_with(bad[i], bytes, len);
        assert_err(kaja_dump_index(path, stop_at_index, &n), KAJA_ERR_INVALID_ARG);
        assert_int_equal(unlink(path), 0);
    }
    const char *path = file_with("00000000000000000030.index.deleted", bytes, len);
    assert_ok(kaja_dump_index(path, stop_at_index, &n));
    assert_int_equal(n, -996);
    assert_int_equal(unlink(path), 0);
    path = file_with("00000000000000000030.index", bytes, len - 1);
    assert_err(kaja_dump_index(path, stop_at_index, &n), KAJA_ERR_DAMAGED);
    assert_int_equal(n, -993); /* the whole entries before */
    assert_int_equal(unlink(path), 0);
    free(bytes);

    char dir[512], topic[] = "a-b", none[] = "";
    bytes = golden_read("kafka/batches/k01_single.bin", &len);
    (void)snprintf(dir, sizeof dir, "%s/a-b-17", scratch);
    assert_int_equal(mkdir(dir, 0700), 0);
    path = file_with("a-b-17/0.log", bytes, len);
    assert_ok(kaja_dump_log(path, -1, NULL, expect_place, topic, NULL));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    path = file_with("0.log", bytes, len);
    assert_ok(kaja_dump_log(path, -1, NULL, expect_place, none, NULL));
    assert_int_equal(unlink(path), 0);
    free(bytes);
}

static int touch_record(void *arg, const struct kaja_batch_info *b,
                        const struct kaja_dump_record *r)
{
    unsigned *sum = arg;
    *sum += b->raw[b->bytes - 1] + (unsigned)r->view.timestamp;
    for (size_t i = 0; i < r->view.key_bytes; i++)
        *sum += ((const uint8_t *)r->view.key)[i];
    for (size_t i = 0; i < r->view.value_bytes; i++)
        *sum += ((const uint8_t *)r->view.value)[i];
    return 0;
}

/* Random damage: an error of the listed ones or a result, never more. */
static void test_damage(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    size_t len;
    uint8_t *bytes = golden_read("kafka/logs/events/00000000000000000000.log", &len);
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    int refused = 0;
    for (int round = 0; round < 1500; round++) {
        memcpy(copy, bytes, len);
        for (int k = 0; k < 3; k++) {
            uint64_t r = kjtest_random(&random);
            copy[(r >> 8) % len] ^= (uint8_t)(1 << r % 8);
        }
        const char *path = file_with("d.log", copy, len - kjtest_random(&random) % 100);
        int64_t trailing = 0;
        unsigned sum = 0;
        int err = kaja_dump_log(path, -1, NULL, touch_record, &sum, &trailing);
        refused += err != 0;
        assert_true(err == 0 || err == KAJA_ERR_CORRUPT_MESSAGE || err == KAJA_ERR_INVALID_RECORD ||
                    err == KAJA_ERR_BAD_COMPRESSION || err == KAJA_ERR_UNSUPPORTED_MAGIC ||
                    err == KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE);
        assert_in_range(trailing, 0, len);
    }
    assert_in_range(refused, 20, 1499);
    assert_int_equal(unlink(file_with("d.log", copy, 0)), 0);
    free(copy);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_indexes_and_snapshots),
        cmocka_unit_test(test_trailing),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
