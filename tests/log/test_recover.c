/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Damage of every kind done to one small log, and what recovery makes of it: nothing is invented,
 * everything that was not hit is still there at its offset, nothing behind damage is deleted.
 */
#include "fixture.h"

#include "log/internal.h"

#include <sys/stat.h>
#include <unistd.h>

static const int64_t T = FIXTURE_T;
static struct maker maker;
static const char LOG0[] = "events-0/00000000000000000000.log";

enum { BATCHES = 12 };
static int64_t batch_pos[BATCHES + 1];
static uint8_t *pristine;
static size_t pristine_len;

/* A whole valid batch as a value: what a search for batches must not find. */
static void add_nested(int64_t offset)
{
    static struct maker inner;
    struct kj_buffer out = {0};
    uint8_t *bytes;
    size_t len;
    maker_begin(&inner);
    maker_add(&inner, T, NULL, "phantom");
    assert_ok(kj_batch_writer_seal(&inner.writer, &inner.seal, &out, &bytes, &len));
    kj_batch_assign(bytes, offset, 0);
    struct kj_header header = {.key = "h", .key_bytes = 1, .value = bytes, .value_bytes = len};
    /* As the value, and as the last bytes of the record, right in front of the next batch. */
    struct kj_record record = {
        .timestamp = T, .value = bytes, .value_bytes = len, .headers = &header, .header_count = 1};
    assert_true(kj_batch_writer_append(&maker.writer, &record));
    kj_buffer_free(&out);
}

static void make_log(struct fixture *fixture)
{
    struct handle h;
    fixture_begin(fixture);
    fixture->config.index_interval_bytes = 200;
    fixture_create_files(fixture);
    handle_open(&h, fixture, true);
    assert_ok(kj_log_load(h.log, 0, 0));
    for (int i = 0; i < BATCHES; i++) {
        struct kj_tail tail;
        assert_true(kj_tail_load(h.log, &tail));
        batch_pos[i] = tail.pos;
        maker_begin(&maker);
        if (i % 4 == 1) {
            add_nested(kj_log_end(h.log) + 1);
        } else {
            char value[32];
            snprintf(value, sizeof value, "value %d a", i);
            maker_add(&maker, T + i, "k", value);
            snprintf(value, sizeof value, "value %d b", i);
            maker_add(&maker, T + i, NULL, value);
        }
        assert_ok(maker_append(&maker, h.log, KJ_APPEND_CLIENT, false, NULL));
    }
    struct kj_tail tail;
    assert_true(kj_tail_load(h.log, &tail));
    batch_pos[BATCHES] = tail.pos;
    handle_close(&h); /* as if killed: nothing trimmed, no marker */
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fixture->root, LOG0);
    pristine = slurp(path, &pristine_len);
    assert_true((int64_t)pristine_len >= batch_pos[BATCHES]);
}

static void reset_dir(struct fixture *fixture)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s/events-0 && rm -f *.damaged-* *.log *.index *.timeindex *.txnindex "
             "*.snapshot *.prepared", fixture->root);
    assert_int_equal(system(command), 0);
    fixture->news[0] = 0;
}

/* Lines "offset:value" of the batches in mask, of a log that was not damaged. */
static char *expect_text(const char *whole, uint32_t kept)
{
    char *text = calloc(1, strlen(whole) + 1);
    int64_t offset = 0;
    const char *line = whole;
    for (int i = 0; i < BATCHES; i++) {
        int records = i % 4 == 1 ? 1 : 2;
        for (int r = 0; r < records; r++, offset++) {
            /* Values may hold any byte: a line is known by the offset the next one begins with. */
            char next[32];
            snprintf(next, sizeof next, "\n%lld:", (long long)offset + 1);
            const char *end = strstr(line, next);
            size_t len = end != NULL ? (size_t)(end + 1 - line) : strlen(line);
            if (kept >> i & 1)
                strncat(text, line, len);
            line += len;
        }
    }
    return text;
}

/* Nested batches hold zero bytes, which would end a C string. */
static char *readable(struct kj_log *log)
{
    char *text = malloc(1 << 16);
    size_t len = 0;
    int64_t offset = kj_log_start(log);
    int64_t limit = kj_log_high_watermark(log);
    while (offset < limit) {
        struct kj_log_read read = {0};
        assert_ok(kj_log_read(log, offset, limit, 1, true, NULL, &read));
        if (read.view == NULL)
            break;
        struct kj_batch batch;
        kj_batch_decode(read.bytes, &batch);
        assert_true(kj_batch_crc_ok(read.bytes, read.len));
        const uint8_t *p = read.bytes + KJ_BATCH_HEADER_BYTES;
        for (int r = 0; r < batch.count; r++) {
            struct kj_record_view view;
            p = kj_record_decode(p, read.bytes + read.len, &view);
            assert_non_null(p);
            len += (size_t)sprintf(text + len, "%lld:", (long long)(batch.base_offset + view.offset_delta));
            if (view.value_bytes > 20)
                len += (size_t)sprintf(text + len, "nested %d\n", (int)view.value_bytes);
            else
                len += (size_t)sprintf(text + len, "%.*s\n", (int)view.value_bytes, (const char *)view.value);
        }
        kj_view_release(read.view);
        offset = read.next_offset;
    }
    text[len] = 0;
    return text;
}

/* What stands from hole_at on is moved back by as many bytes, and nothing is written between. */
static size_t hole_at;
static off_t hole_bytes;

static void spit_with_hole(const char *path, const uint8_t *bytes, size_t len)
{
    spit(path, bytes, hole_bytes > 0 ? hole_at : len);
    if (hole_bytes == 0)
        return;
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), (off_t)len + hole_bytes), 0);
    assert_int_equal(pwrite(fileno(f), bytes + hole_at, len - hole_at, (off_t)hole_at + hole_bytes),
                     (ssize_t)(len - hole_at));
    fclose(f);
}

static char *recover_and_read(struct fixture *fixture, const uint8_t *bytes, size_t len, int64_t *ret_end)
{
    char path[256];
    struct handle h;
    reset_dir(fixture);
    snprintf(path, sizeof path, "%s/%s", fixture->root, LOG0);
    spit_with_hole(path, bytes, len);
    handle_open(&h, fixture, true);
    assert_ok(kj_log_recover(h.log, 0, 0));
    char *text = readable(h.log);
    *ret_end = kj_log_end(h.log);
    /* It goes on from there, and a second recovery changes nothing. */
    append_one(h.log, T, "after", false);
    handle_close(&h);
    handle_open(&h, fixture, true);
    fixture->news[0] = 0;
    assert_ok(kj_log_recover(h.log, 0, 0));
    char *again = readable(h.log);
    char tail[64];
    snprintf(tail, sizeof tail, "%lld:after\n", (long long)*ret_end);
    assert_int_equal(strncmp(again, text, strlen(text)), 0);
    assert_string_equal(again + strlen(text), tail);
    assert_null(strstr(fixture->news, "damaged and were"));
    free(again);
    handle_close(&h);
    return text;
}

static char *whole_text(struct fixture *fixture)
{
    int64_t end;
    char *whole = recover_and_read(fixture, pristine, pristine_len, &end);
    assert_int_equal(end, 21);
    return whole;
}

static uint32_t without(int batch)
{
    return ((1u << BATCHES) - 1) & ~(1u << batch);
}

static void expect(const char *what, int batch, int where, const char *got, char *expected)
{
    if (strcmp(got, expected) != 0)
        fail_msg("%s, batch %d, %d:\n%s--- expected\n%s", what, batch, where, got, expected);
    free(expected);
}

/* Every bit of base offset and epoch, of every batch. */
static void test_bits_outside_the_crc(void **state)
{
    (void)state;
    struct fixture fixture;
    int64_t end;
    make_log(&fixture);
    char *whole = whole_text(&fixture);
    uint8_t *bytes = malloc(pristine_len);
    for (int i = 0; i < BATCHES; i = i == 9 ? 11 : i + 3)
        for (int bit = 0; bit < 128; bit++) {
            int byte = bit < 64 ? bit / 8 : KJ_BATCH_EPOCH_AT + (bit - 64) / 8;
            if (byte >= KJ_BATCH_EPOCH_AT + 4)
                break;
            memcpy(bytes, pristine, pristine_len);
            bytes[batch_pos[i] + byte] ^= (uint8_t)(1 << bit % 8);
            char *text = recover_and_read(&fixture, bytes, pristine_len, &end);
            /* The last batch has nobody behind it to vouch for its offset. */
            bool lost = i == BATCHES - 1 && byte < 8;
            expect("bit", i, bit, text, expect_text(whole, lost ? without(i) : without(31)));
            free(text);
        }
    free(bytes);
    free(whole);
    free(pristine);
    fixture_end(&fixture);
}

/* One byte of each batch's body or length: that batch is lost, no other, and no phantom appears. */
static void test_damaged_bodies(void **state)
{
    (void)state;
    struct fixture fixture;
    int64_t end;
    make_log(&fixture);
    char *whole = whole_text(&fixture);
    uint8_t *bytes = malloc(pristine_len);
    for (int i = 0; i < BATCHES; i++) {
        int len = (int)(batch_pos[i + 1] - batch_pos[i]);
        for (int at = 8; at < len; at += at < 70 ? 1 : 17) {
            if (at >= KJ_BATCH_EPOCH_AT && at < KJ_BATCH_MAGIC_AT)
                continue; /* epoch: above */
            memcpy(bytes, pristine, pristine_len);
            bytes[batch_pos[i] + at] ^= 0x10;
            char *text = recover_and_read(&fixture, bytes, pristine_len, &end);
            assert_null(strstr(text, "phantom"));
            /* Length and magic lie outside the CRC: told from what stands around. */
            bool mended = at < KJ_BATCH_CRC_AT;
            expect("byte", i, at, text, expect_text(whole, mended ? without(31) : without(i)));
            free(text);
        }
    }
    free(bytes);
    free(whole);
    free(pristine);
    fixture_end(&fixture);
}

/* Cut at every length: whole batches before the cut stay. */
static void test_torn(void **state)
{
    (void)state;
    struct fixture fixture;
    int64_t end;
    make_log(&fixture);
    char *whole = whole_text(&fixture);
    for (int64_t len = 0; len <= batch_pos[BATCHES]; len += 3) {
        uint32_t kept = 0;
        for (int i = 0; i < BATCHES; i++)
            if (batch_pos[i + 1] <= len)
                kept |= 1u << i;
        char *text = recover_and_read(&fixture, pristine, (size_t)len, &end);
        expect("cut", -1, (int)len, text, expect_text(whole, kept));
        free(text);
    }
    free(whole);
    free(pristine);
    fixture_end(&fixture);
}

/* A 512-byte piece that never reached the disk reads as zeros. */
static void test_zeroed_piece(void **state)
{
    (void)state;
    struct fixture fixture;
    int64_t end;
    make_log(&fixture);
    char *whole = whole_text(&fixture);
    uint8_t *bytes = malloc(pristine_len);
    for (int64_t from = 0; from < batch_pos[BATCHES]; from += 64) {
        int64_t to = from + 128 < (int64_t)pristine_len ? from + 128 : (int64_t)pristine_len;
        memcpy(bytes, pristine, pristine_len);
        memset(bytes + from, 0, (size_t)(to - from));
        uint32_t kept = 0;
        for (int i = 0; i < BATCHES; i++)
            if (batch_pos[i + 1] <= from || batch_pos[i] >= to ||
                memcmp(bytes + batch_pos[i], pristine + batch_pos[i], (size_t)(batch_pos[i + 1] - batch_pos[i])) == 0)
                kept |= 1u << i;
        char *text = recover_and_read(&fixture, bytes, pristine_len, &end);
        expect("zeroed", -1, (int)from, text, expect_text(whole, kept));
        free(text);
    }
    free(bytes);
    free(whole);
    free(pristine);
    fixture_end(&fixture);
}

/* A hole of a tebibyte costs no more than the bytes around it: behind everything it is cut, what
 * stands behind one is kept. */
static void test_holes(void **state)
{
    (void)state;
    struct fixture fixture;
    int64_t end;
    make_log(&fixture);
    size_t len = (size_t)batch_pos[BATCHES];
    char *whole = whole_text(&fixture);
    const struct {
        size_t at;
        uint32_t kept;
    } rows[] = {{len, without(31)},
                {(size_t)batch_pos[6], without(31)},
                {(size_t)batch_pos[6] + 5, without(31)}, /* it begins with zeros */
                {(size_t)batch_pos[6] + 70, without(6)},
                {0, without(31)}};
    alarm(60);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hole_at = rows[i].at;
        hole_bytes = (off_t)1 << 40;
        char *text = recover_and_read(&fixture, pristine, len, &end);
        expect("hole", (int)i, (int)hole_at, text, expect_text(whole, rows[i].kept));
        free(text);
        hole_bytes = 0;
    }
    alarm(0);
    free(whole);
    free(pristine);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_bits_outside_the_crc),
        cmocka_unit_test(test_damaged_bodies),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_zeroed_piece),
    };
    fixture_base_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
