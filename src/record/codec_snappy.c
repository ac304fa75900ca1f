/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/codec_snappy.c - snappy in the framing of the Java library xerial:
 *
 *   82 53 4E 41 50 50 59 00   magic
 *   i32 version 1, i32 oldest compatible version 1
 *   blocks: i32 compressed length, one raw snappy block of at most 32 KiB plain data
 *
 * There is no end mark. A reader takes input that does not begin with the magic as one raw snappy
 * block, and skips another header where a block's length is expected (streams behind each other).
 * Its two numbers are not looked at.
 */
#include "record/codec.h"

#ifdef KJ_HAVE_SNAPPY

#include "base/err.h"

#include <snappy-c.h>

enum { HEADER_BYTES = 16, MAGIC_BYTES = 8, BLOCK_BYTES = 32768 };
static const uint8_t header[HEADER_BYTES] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                             0,    0,   0,   1,   0,   0,   0,   1};

static int xerial_compress(int level, const uint8_t *src, size_t len, struct kj_buffer *out)
{
    if (level != KJ_LEVEL_DEFAULT)
        return kj_codec_err_level("snappy", level);
    KJ_TRY(kj_codec_room(out, HEADER_BYTES, SIZE_MAX));
    memcpy(out->bytes + out->len, header, HEADER_BYTES);
    out->len += HEADER_BYTES;
    while (len > 0) {
        size_t block = len < BLOCK_BYTES ? len : BLOCK_BYTES;
        size_t packed = snappy_max_compressed_length(block);
        KJ_TRY(kj_codec_room(out, 4 + packed, SIZE_MAX));
        uint8_t *to = out->bytes + out->len;
        if (snappy_compress((const char *)src, block, (char *)to + 4, &packed) != SNAPPY_OK)
            return kj_err(KAJA_ERR_UNKNOWN_SERVER_ERROR, "snappy: compressing failed");
        kj_put_be32(to, (uint32_t)packed);
        out->len += 4 + packed;
        src += block;
        len -= block;
    }
    return 0;
}

static int decompress_block(const uint8_t *src, size_t len, size_t total_max, struct kj_buffer *out)
{
    /* A copy makes at most 64 bytes out of three: what claims more is not worth its memory. */
    enum { EXPANSION_MAX = 22 };
    size_t plain;
    if (snappy_uncompressed_length((const char *)src, len, &plain) != SNAPPY_OK ||
        plain > len * EXPANSION_MAX)
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "snappy: no block of %zu bytes", len);
    KJ_TRY(kj_codec_room(out, plain, total_max)); /* compares with the limit */
    uint8_t nothing;
    char *to = plain > 0 ? (char *)out->bytes + out->len : (char *)&nothing;
    if (snappy_uncompress((const char *)src, len, to, &plain) != SNAPPY_OK)
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "snappy: a block of %zu bytes is malformed", len);
    out->len += plain;
    return 0;
}

static int xerial_decompress(const uint8_t *src, size_t len, size_t total_max,
                             struct kj_buffer *out)
{
    if (len < HEADER_BYTES || memcmp(src, header, MAGIC_BYTES) != 0)
        return decompress_block(src, len, total_max, out);
    const uint8_t *end = src + len;
    src += HEADER_BYTES;
    while (src < end) {
        if (end - src < 4)
            return kj_err(KAJA_ERR_BAD_COMPRESSION, "snappy: %zu bytes behind the last block",
                          (size_t)(end - src));
        if (memcmp(src, header, 4) == 0) {
            if (end - src < HEADER_BYTES)
                return kj_err(KAJA_ERR_BAD_COMPRESSION, "snappy: the data ends inside a header");
            src += HEADER_BYTES;
            continue;
        }
        int32_t block = kj_get_be32s(src);
        src += 4;
        if (block < 0 || block > end - src)
            return kj_err(KAJA_ERR_BAD_COMPRESSION,
                          "snappy: a block of %d bytes where %zu are left", block,
                          (size_t)(end - src));
        KJ_TRY(decompress_block(src, (size_t)block, total_max, out));
        src += block;
    }
    return 0;
}

const struct kj_codec_ops kj_codec_snappy = {xerial_compress, xerial_decompress};
#else
const struct kj_codec_ops kj_codec_snappy = {NULL, NULL};
#endif
