/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "record/compress.h"

#include <pthread.h>
#include <xxhash.h>

enum { MIB = 1 << 20 };
static uint8_t text[MIB], noise[MIB];
static struct kj_buffer packed, back;

static int setup(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    for (size_t i = 0; i < MIB; i++) {
        noise[i] = (uint8_t)kjtest_random(&random);
        text[i] = (uint8_t)('a' + (i * i / 5 + i % 7) % 17);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kj_buffer_free(&packed);
    kj_buffer_free(&back);
    return 0;
}

/* Runs fn for every codec that was built. */
static void for_each(void (*fn)(enum kj_codec))
{
    for (int codec = KJ_CODEC_GZIP; codec < KJ_CODEC_COUNT; codec++)
        if (kj_codec_built((enum kj_codec)codec))
            fn((enum kj_codec)codec);
}

static void round_trip(enum kj_codec codec, int level, const uint8_t *bytes, size_t n)
{
    packed.len = back.len = 0;
    assert_ok(kj_compress(codec, level, bytes, n, &packed));
    assert_ok(kj_decompress(codec, packed.bytes, packed.len, n, &back));
    assert_int_equal(back.len, n);
    if (n > 0)
        assert_memory_equal(back.bytes, bytes, n);
    /* One byte less than the plain data is too little. */
    if (n > 0) {
        back.len = 0;
        assert_err(kj_decompress(codec, packed.bytes, packed.len, n - 1, &back),
                   KAJA_ERR_RECORD_TOO_LARGE);
        assert_int_equal(back.len, 0);
    }
}

static void round_trips(enum kj_codec codec)
{
    static const size_t sizes[] = {0,     1,     2,     100,   16000,  32767, 32768,
                                   32769, 65535, 65536, 65537, 200000, MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        round_trip(codec, KJ_LEVEL_DEFAULT, text, sizes[i]);
        round_trip(codec, KJ_LEVEL_DEFAULT, noise, sizes[i]);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for_each(round_trips);
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        enum kj_codec codec;
        int from, to;
    } levels[] = {{KJ_CODEC_GZIP, -1, 9}, {KJ_CODEC_LZ4, 1, 17}, {KJ_CODEC_ZSTD, -5, 22}};
    for (int i = 0; i < 3; i++) {
        if (!kj_codec_built(levels[i].codec))
            continue;
        for (int level = levels[i].from; level <= levels[i].to; level++)
            if (levels[i].codec != KJ_CODEC_GZIP || level != 0)
                round_trip(levels[i].codec, level, text, 5000);
        packed.len = 3;
        assert_err(kj_compress(levels[i].codec, levels[i].to + 1, text, 10, &packed),
                   KAJA_ERR_INVALID_ARG);
        assert_int_equal(packed.len, 3);
    }
    /* A working state that waits in the pool may be of another level. */
    size_t sizes[3];
    for (int i = 0; i < 3 && kj_codec_built(KJ_CODEC_GZIP); i++) {
        packed.len = 0;
        assert_ok(kj_compress(KJ_CODEC_GZIP, i == 1 ? 1 : 9, text, 50000, &packed));
        sizes[i] = packed.len;
        assert_int_equal(sizes[i] == sizes[0], i != 1);
    }
    if (!kj_codec_built(KJ_CODEC_LZ4))
        return;
    /* Kafka's default for lz4 is its fast compressor, whatever its number says. */
    struct kj_buffer nine = {0};
    packed.len = 0;
    assert_ok(kj_compress(KJ_CODEC_LZ4, 1, text, 50000, &packed));
    assert_ok(kj_compress(KJ_CODEC_LZ4, 9, text, 50000, &nine));
    assert_int_equal(nine.len, packed.len);
    assert_memory_equal(nine.bytes, packed.bytes, packed.len);
    kj_buffer_free(&nine);
}

/* Appends behind what the buffers hold, and puts the length back when it fails. */
static void appends(enum kj_codec codec)
{
    packed.len = back.len = 0;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, text, 1000, &packed));
    size_t first = packed.len;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, noise, 70000, &packed));
    assert_ok(kj_decompress(codec, packed.bytes, first, 1000, &back));
    assert_ok(kj_decompress(codec, packed.bytes + first, packed.len - first, 70000, &back));
    assert_int_equal(back.len, 71000);
    assert_memory_equal(back.bytes, text, 1000);
    assert_memory_equal(back.bytes + 1000, noise, 70000);
    assert_int_not_equal(kj_decompress(codec, packed.bytes + first, 50000, 70000, &back), 0);
    assert_int_equal(back.len, 71000);
}

static void test_append(void **state)
{
    (void)state;
    for_each(appends);
}

/* Every cut of a small stream is refused, of whatever kind it is; nothing is read behind it. */
static void cuts(enum kj_codec codec)
{
    packed.len = 0;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, text, 3000, &packed));
    for (size_t cut = 0; cut < packed.len; cut++) {
        uint8_t *bytes = malloc(cut > 0 ? cut : 1);
        assert_non_null(bytes);
        memcpy(bytes, packed.bytes, cut);
        back.len = 0;
        int err = kj_decompress(codec, bytes, cut, MIB, &back);
        /* Without a byte zstd has no frame, and xerial may end after its header. */
        bool may_end =
            (codec == KJ_CODEC_ZSTD && cut == 0) || (codec == KJ_CODEC_SNAPPY && cut == 16);
        if (err != (may_end ? 0 : KAJA_ERR_BAD_COMPRESSION))
            fail_msg("%s cut at %zu: %s", kj_codec_name((int)codec), cut, kaja_error_name(err));
        free(bytes);
    }
    /* Nor may something stand behind it. */
    size_t len = packed.len;
    assert_ok(kj_buffer_reserve(&packed, len + 1));
    packed.bytes[len] = 0x55;
    assert_err(kj_decompress(codec, packed.bytes, len + 1, MIB, &back), KAJA_ERR_BAD_COMPRESSION);
}

static void test_cut(void **state)
{
    (void)state;
    for_each(cuts);
}

/* Every bit of a small stream turned over: any outcome but a crash, and never beyond the limit. */
static void flips(enum kj_codec codec)
{
    struct kj_buffer bounded = {0};
    packed.len = 0;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, text, 700, &packed));
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, noise, 100, &packed));
    for (size_t bit = 0; bit < packed.len * 8; bit++) {
        packed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bounded.len = 0;
        (void)kj_decompress(codec, packed.bytes, packed.len, 5000, &bounded);
        assert_in_range(bounded.capacity, 0, 5000);
        packed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    kj_buffer_free(&bounded);
}

static void test_flip(void **state)
{
    (void)state;
    for_each(flips);
}

/* --- bombs: the limit holds before memory is taken ----------------------- */

static void bomb(enum kj_codec codec)
{
    uint8_t *zeros = calloc(1, 64 * (size_t)MIB);
    assert_non_null(zeros);
    packed.len = 0;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, zeros, 64 * (size_t)MIB, &packed));
    free(zeros);
    static const size_t limits[] = {0, 1, 4095, 100000, MIB, 5 * MIB};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct kj_buffer out = {0};
        assert_err(kj_decompress(codec, packed.bytes, packed.len, limits[i], &out),
                   KAJA_ERR_RECORD_TOO_LARGE);
        if (out.capacity > limits[i])
            fail_msg("%s: %zu bytes allocated, limit %zu", kj_codec_name((int)codec), out.capacity,
                     limits[i]);
        kj_buffer_free(&out);
    }
}

static void test_bomb(void **state)
{
    (void)state;
    for_each(bomb);
}

/* Frames that only claim to be large: refused without memory for what they claim. */
static void claim(enum kj_codec codec, const uint8_t *bytes, size_t n, int err)
{
    struct kj_buffer out = {0};
    if (kj_codec_built(codec)) {
        assert_err(kj_decompress(codec, bytes, n, (size_t)1 << 40, &out), err);
        assert_in_range(out.capacity, 0, 4 * MIB + 1024);
    }
    kj_buffer_free(&out);
}

static void test_claims(void **state)
{
    (void)state;
    /* snappy: a raw block of 2^32 - 1 bytes in nine */
    static const uint8_t snappy[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'a', 0, 'b'};
    claim(KJ_CODEC_SNAPPY, snappy, sizeof snappy, KAJA_ERR_BAD_COMPRESSION);
    /* zstd: one frame, single segment, content size 2^40, one raw block of one byte */
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0,  0,
                                   0,    1,    0,    0,    0x09, 0, 0, 'a'};
    claim(KJ_CODEC_ZSTD, zstd, sizeof zstd, KAJA_ERR_BAD_COMPRESSION);
    /* zstd: a window of 2^41 bytes, then an RLE block of one byte: legal without a window */
    static const uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x0b, 0, 0, 'a'};
    struct kj_buffer out = {0};
    if (kj_codec_built(KJ_CODEC_ZSTD)) {
        (void)kj_decompress(KJ_CODEC_ZSTD, window, sizeof window, MIB, &out);
        assert_in_range(out.capacity, 0, MIB);
    }
    kj_buffer_free(&out);
    /* lz4: 4 MiB blocks, content size 2^62, one tiny block */
    uint8_t lz4[32] = {0x04, 0x22, 0x4d, 0x18, 0x68, 0x70, 0, 0, 0, 0, 0, 0, 0, 0x40};
    lz4[14] = (uint8_t)(XXH32(lz4 + 4, 10, 0) >> 8);
    lz4[15] = 2;
    lz4[19] = 0x10;
    lz4[20] = 'a';
    claim(KJ_CODEC_LZ4, lz4, 25, 0);
    lz4[19] = 0xf0;
    claim(KJ_CODEC_LZ4, lz4, 25, KAJA_ERR_BAD_COMPRESSION);
}

/* --- containers: what other writers make --------------------------------- */

/* A frame by hand: FLG, BD, "hello" stored, end mark, checksums as flagged. */
static size_t lz4_frame(uint8_t *to, uint8_t flg, uint8_t bd, uint32_t content_checksum)
{
    uint8_t *p = to;
    static const uint8_t magic[] = {0x04, 0x22, 0x4d, 0x18};
    memcpy(p, magic, 4);
    p += 4;
    *p++ = flg;
    *p++ = bd;
    if (flg & 0x08) {
        memset(p, 0, 8);
        p[0] = 5;
        p += 8;
    }
    *p = (uint8_t)(XXH32(to + 4, (size_t)(p - to - 4), 0) >> 8);
    p++;
    kj_put_le32(p, 5 | 0x80000000u);
    memcpy(p + 4, "hello", 5);
    p += 9;
    if (flg & 0x10) {
        kj_put_le32(p, XXH32("hello", 5, 0));
        p += 4;
    }
    kj_put_le32(p, 0);
    p += 4;
    if (flg & 0x04) {
        kj_put_le32(p, content_checksum);
        p += 4;
    }
    return (size_t)(p - to);
}

static void test_lz4_frames(void **state)
{
    (void)state;
    if (!kj_codec_built(KJ_CODEC_LZ4))
        skip();
    static const struct {
        uint8_t flg, bd;
        bool ok;
    } frames[] = {
        {0x60, 0x40, true},  {0x60, 0x50, true},  {0x60, 0x60, true},  {0x60, 0x70, true},
        {0x68, 0x40, true},  {0x70, 0x40, true},  {0x64, 0x40, true},  {0x7c, 0x70, true},
        {0x40, 0x40, false},                                           /* dependent blocks */
        {0x20, 0x40, false}, {0xa0, 0x40, false}, {0xe0, 0x40, false}, /* version */
        {0x61, 0x40, false}, {0x62, 0x40, false},                      /* dictionary, reserved */
        {0x60, 0x30, false}, {0x60, 0x00, false}, {0x60, 0xc0, false}, {0x60, 0x41, false},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        size_t n = lz4_frame(bytes, frames[i].flg, frames[i].bd, 0xdeadbeef);
        back.len = 0;
        int err = kj_decompress(KJ_CODEC_LZ4, bytes, n, 5, &back);
        if (err != (frames[i].ok ? 0 : KAJA_ERR_BAD_COMPRESSION))
            fail_msg("flags %02x %02x: %d", frames[i].flg, frames[i].bd, err);
        if (frames[i].ok)
            assert_memory_equal(back.bytes, "hello", 5);
        for (size_t cut = 1; cut < n; cut++) {
            uint8_t *exact = malloc(cut);
            assert_non_null(exact);
            memcpy(exact, bytes, cut);
            assert_err(kj_decompress(KJ_CODEC_LZ4, exact, cut, 100, &back),
                       KAJA_ERR_BAD_COMPRESSION);
            free(exact);
        }
    }
    /* A wrong header checksum, a wrong block checksum. */
    size_t n = lz4_frame(bytes, 0x70, 0x40, 0);
    bytes[6] ^= 1;
    assert_err(kj_decompress(KJ_CODEC_LZ4, bytes, n, 100, &back), KAJA_ERR_BAD_COMPRESSION);
    bytes[6] ^= 1;
    bytes[11] ^= 1;
    assert_err(kj_decompress(KJ_CODEC_LZ4, bytes, n, 100, &back), KAJA_ERR_BAD_COMPRESSION);
    /* A block larger than the frame allows. */
    packed.len = 0;
    assert_ok(kj_buffer_reserve(&packed, 70000));
    static const uint8_t start[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 1, 0, 1, 0x80};
    memcpy(packed.bytes, start, sizeof start);
    memset(packed.bytes + sizeof start, 0, 65537 + 4);
    assert_err(kj_decompress(KJ_CODEC_LZ4, packed.bytes, sizeof start + 65537 + 4, MIB, &back),
               KAJA_ERR_BAD_COMPRESSION);
}

static void test_lz4_written_frame(void **state)
{
    (void)state;
    if (!kj_codec_built(KJ_CODEC_LZ4))
        skip();
    packed.len = 0;
    assert_ok(kj_compress(KJ_CODEC_LZ4, KJ_LEVEL_DEFAULT, noise, 70000, &packed));
    static const uint8_t start[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 1, 0x80};
    assert_memory_equal(packed.bytes, start, sizeof start); /* 64 KiB of noise are stored */
    assert_int_equal(packed.len, 7 + 4 + 65536 + 4 + 70000 - 65536 + 4);
    static const uint8_t end[4];
    assert_memory_equal(packed.bytes + packed.len - 4, end, 4);
}

static void test_snappy_framing(void **state)
{
    (void)state;
    if (!kj_codec_built(KJ_CODEC_SNAPPY))
        skip();
    packed.len = 0;
    assert_ok(kj_compress(KJ_CODEC_SNAPPY, KJ_LEVEL_DEFAULT, text, 40000, &packed));
    static const uint8_t start[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
    assert_memory_equal(packed.bytes, start, 16);
    size_t first = kj_get_be32(packed.bytes + 16);
    /* The first block alone is raw snappy of 32 KiB. */
    back.len = 0;
    assert_ok(kj_decompress(KJ_CODEC_SNAPPY, packed.bytes + 20, first, 32768, &back));
    assert_int_equal(back.len, 32768);
    assert_memory_equal(back.bytes, text, 32768);
    /* Two streams behind each other. */
    size_t len = packed.len;
    assert_ok(kj_compress(KJ_CODEC_SNAPPY, KJ_LEVEL_DEFAULT, text, 40000, &packed));
    assert_int_equal(packed.len, 2 * len);
    back.len = 0;
    assert_ok(kj_decompress(KJ_CODEC_SNAPPY, packed.bytes, packed.len, 80000, &back));
    assert_int_equal(back.len, 80000);
    assert_memory_equal(back.bytes + 40000, text, 40000);
    assert_err(kj_decompress(KJ_CODEC_SNAPPY, packed.bytes, len + 15, 80000, &back),
               KAJA_ERR_BAD_COMPRESSION);
    /* Lengths that lie: negative, beyond the end, zero. */
    static const uint32_t lengths[] = {0x80000000u, 0xffffffffu, 0x7fffffffu, 0};
    for (int i = 0; i < 4; i++) {
        kj_put_be32(packed.bytes + 16, lengths[i]);
        assert_err(kj_decompress(KJ_CODEC_SNAPPY, packed.bytes, len, 80000, &back),
                   KAJA_ERR_BAD_COMPRESSION);
    }
    assert_err(kj_compress(KJ_CODEC_SNAPPY, 3, text, 10, &packed), KAJA_ERR_INVALID_ARG);
}

/* gzip members and zstd frames behind each other are one stream; the limit counts their sum. */
static void test_members(void **state)
{
    (void)state;
    static const enum kj_codec codecs[] = {KJ_CODEC_GZIP, KJ_CODEC_ZSTD};
    for (int i = 0; i < 2; i++) {
        if (!kj_codec_built(codecs[i]))
            continue;
        packed.len = 0;
        kj_buffer_free(&back); /* no room left over: it must be made while reading */
        for (size_t n = 0; n < 2000; n += 500)
            assert_ok(kj_compress(codecs[i], KJ_LEVEL_DEFAULT, text, n, &packed));
        assert_ok(kj_decompress(codecs[i], packed.bytes, packed.len, 3000, &back));
        assert_int_equal(back.len, 3000);
        assert_memory_equal(back.bytes + 1500, text, 1500);
        back.len = 0;
        assert_err(kj_decompress(codecs[i], packed.bytes, packed.len, 2999, &back),
                   KAJA_ERR_RECORD_TOO_LARGE);
    }
}

/* --- errors -------------------------------------------------------------- */

static void test_unsupported(void **state)
{
    (void)state;
    for (int codec = -1; codec < 9; codec++) {
        bool built = codec > 0 && codec < KJ_CODEC_COUNT && kj_codec_built((enum kj_codec)codec);
        if (built)
            continue;
        assert_err(kj_compress((enum kj_codec)codec, KJ_LEVEL_DEFAULT, text, 1, &packed),
                   KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE);
        assert_err(kj_decompress((enum kj_codec)codec, text, 1, 1, &back),
                   KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE);
        if (codec > 0 && codec < KJ_CODEC_COUNT)
            assert_non_null(strstr(kaja_error_detail(), kj_codec_name(codec)));
    }
    assert_true(kj_codec_built(KJ_CODEC_NONE));
    assert_false(kj_codec_built((enum kj_codec)5));
}

static int allocations_left;
static int refuse_later(void *arg)
{
    (void)arg;
    return allocations_left-- <= 0;
}

static void out_of_memory(enum kj_codec codec)
{
    packed.len = 0;
    assert_ok(kj_compress(codec, KJ_LEVEL_DEFAULT, text, 100000, &packed));
    for (int n = 0, failed = 1; failed > 0; n++) {
        struct kj_buffer out = {0}, plain = {0};
        allocations_left = n;
        kj_alloc_set_hook(refuse_later, NULL);
        int err = kj_compress(codec, KJ_LEVEL_DEFAULT, text, 100000, &out);
        int err_back = kj_decompress(codec, packed.bytes, packed.len, MIB, &plain);
        kj_alloc_set_hook(NULL, NULL);
        failed = (err != 0) + (err_back != 0);
        assert_true(err == 0 || err == KAJA_ERR_OUT_OF_MEMORY);
        assert_true(err_back == 0 || err_back == KAJA_ERR_OUT_OF_MEMORY);
        kj_buffer_free(&out);
        kj_buffer_free(&plain);
        assert_in_range(n, 0, 50);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for_each(out_of_memory);
}

/* Threads share the pools of working states. */
static void *work(void *arg)
{
    struct kj_buffer out = {0}, plain = {0};
    intptr_t wrong = 0;
    for (int i = 0; i < 40; i++) {
        for (int codec = 1; codec < KJ_CODEC_COUNT; codec++) {
            if (!kj_codec_built((enum kj_codec)codec))
                continue;
            out.len = plain.len = 0;
            const uint8_t *from = text + (uintptr_t)arg + i;
            /* Levels change under way: lz4's and gzip's states depend on them. */
            int level = codec == KJ_CODEC_SNAPPY ? KJ_LEVEL_DEFAULT : 3 + i % 3;
            if (kj_compress((enum kj_codec)codec, level, from, 9000, &out) != 0 ||
                kj_decompress((enum kj_codec)codec, out.bytes, out.len, 9000, &plain) != 0 ||
                memcmp(plain.bytes, from, 9000) != 0)
                wrong++;
        }
    }
    kj_buffer_free(&out);
    kj_buffer_free(&plain);
    return (void *)wrong;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i * 1000)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_memory), /* first: the pools are still empty */
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_lz4_frames),
        cmocka_unit_test(test_lz4_written_frame),
        cmocka_unit_test(test_snappy_framing),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
