/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/codec_lz4.c - the LZ4 frame, as much of it as Kafka takes. Little-endian:
 *
 *   04 22 4D 18   magic
 *   FLG           bits 7-6 version 01, 5 independent blocks (must be set), 4 block checksums,
 *                 3 content size, 2 content checksum, 1-0 zero
 *   BD            bits 6-4 block size: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB; others zero
 *   u64           content size, if FLG says so (not looked at)
 *   HC            second byte of xxHash32 over FLG .. content size
 *   blocks        u32 size, bit 31: stored; data; u32 xxHash32 of the data, if FLG says so
 *   u32 0         end mark
 *   u32           content checksum, if FLG says so (not looked at: the batch's CRC covers it all)
 *
 * Written: 60 40 82, no checksums, 64 KiB blocks. The frame is taken apart here and not by
 * lz4frame, which takes dependent blocks, verifies the content checksum and buffers; here each
 * block goes straight to where it belongs, after its room was compared with the limit.
 */
#include "record/codec.h"

#ifdef KJ_HAVE_LZ4

#include "base/alloc.h"
#include "base/err.h"

#include <lz4.h>
#include <lz4hc.h>
#include <xxhash.h>

enum {
    MAGIC_BYTES = 4,
    FLG_VERSION_MASK = 0xc0,
    FLG_VERSION_1 = 0x40,
    FLG_INDEPENDENT = 0x20,
    FLG_BLOCK_CHECKSUM = 0x10,
    FLG_CONTENT_SIZE = 0x08,
    FLG_CONTENT_CHECKSUM = 0x04,
    FLG_RESERVED = 0x03,
    BD_RESERVED = 0x8f,
    BLOCK_BYTES = 65536,
    LEVEL_MAX = 17,
    LEVEL_DEFAULT = 9
};
#define STORED 0x80000000u

static const uint8_t header[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};

/* Working states of the slow compressor; the fast one needs 16 KiB of stack. */
static struct kj_codec_pool states;

__attribute__((destructor)) static void free_pool(void)
{
    void *state;
    while ((state = kj_codec_pool_take(&states)) != NULL)
        kj_free(state);
}

static void put_blocks(void *state, int level, const uint8_t *src, size_t len,
                       struct kj_buffer *out)
{
    uint8_t *to = out->bytes + out->len;
    while (len > 0) {
        int block = len < BLOCK_BYTES ? (int)len : BLOCK_BYTES;
        /* Room for one byte less than the plain data: what does not become smaller is stored. */
        const char *from = (const char *)src;
        char *data = (char *)to + 4;
        int packed = state == NULL
                         ? LZ4_compress_default(from, data, block, block - 1)
                         : LZ4_compress_HC_extStateHC(state, from, data, block, block - 1, level);
        if (packed > 0) {
            kj_put_le32(to, (uint32_t)packed);
        } else {
            packed = block;
            kj_put_le32(to, (uint32_t)packed | STORED);
            memcpy(to + 4, src, (size_t)packed);
        }
        to += 4 + packed;
        src += block;
        len -= (size_t)block;
    }
    kj_put_le32(to, 0);
    out->len = (size_t)(to + 4 - out->bytes);
}

/* As in Kafka the default level, 9, means the fast compressor and not level 9 of the slow one. */
static int lz4_compress(int level, const uint8_t *src, size_t len, struct kj_buffer *out)
{
    if (level == KJ_LEVEL_DEFAULT)
        level = LEVEL_DEFAULT;
    if (level < 1 || level > LEVEL_MAX)
        return kj_codec_err_level("lz4", level);
    size_t blocks = len / BLOCK_BYTES + 1;
    KJ_TRY(kj_codec_room(out, sizeof header + len + 4 * blocks + 4, SIZE_MAX));
    void *state = NULL;
    if (level >= LZ4HC_CLEVEL_MIN && level != LEVEL_DEFAULT) {
        state = kj_codec_pool_take(&states);
        if (state == NULL)
            state = kj_alloc((size_t)LZ4_sizeofStateHC());
        if (state == NULL)
            return kj_err_oom("an lz4 compressor");
    }
    memcpy(out->bytes + out->len, header, sizeof header);
    out->len += sizeof header;
    put_blocks(state, level, src, len, out);
    if (state != NULL && !kj_codec_pool_put(&states, state))
        kj_free(state);
    return 0;
}

struct frame {
    uint8_t flg;
    size_t block_max;
    const uint8_t *blocks;
};

static int read_header(const uint8_t *src, size_t len, struct frame *ret_frame)
{
    if (len < sizeof header || memcmp(src, header, MAGIC_BYTES) != 0)
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: no frame begins here");
    const uint8_t *descriptor = src + MAGIC_BYTES;
    const uint8_t flg = descriptor[0], bd = descriptor[1];
    size_t bytes = 2 + (flg & FLG_CONTENT_SIZE ? 8 : 0);
    if ((flg & FLG_VERSION_MASK) != FLG_VERSION_1 || flg & FLG_RESERVED || bd & BD_RESERVED ||
        bd >> 4 < 4)
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: unknown frame flags %02x %02x", flg, bd);
    if (!(flg & FLG_INDEPENDENT))
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: blocks depend on each other");
    if (len < MAGIC_BYTES + bytes + 1)
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: the data ends inside the frame header");
    if (descriptor[bytes] != (uint8_t)(XXH32(descriptor, bytes, 0) >> 8))
        return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: the checksum of the frame header is wrong");
    *ret_frame = (struct frame){flg, (size_t)1 << (2 * (bd >> 4) + 8), descriptor + bytes + 1};
    return 0;
}

static int get_block(const uint8_t *src, size_t len, bool stored, size_t block_max,
                     size_t total_max, struct kj_buffer *out)
{
    enum { EXPANSION_MAX = 255 };
    size_t room = stored ? len : len * EXPANSION_MAX;
    if (room > block_max)
        room = block_max;
    const size_t allowed = total_max - out->len;
    if (stored && room > allowed)
        return kj_codec_err_limit("lz4", total_max);
    const bool cut = room > allowed;
    if (cut)
        room = allowed;
    KJ_TRY(kj_codec_room(out, room, total_max));
    if (stored) {
        memcpy(out->bytes + out->len, src, len);
        out->len += len;
        return 0;
    }
    char nothing;
    char *to = room > 0 ? (char *)out->bytes + out->len : &nothing;
    int made = LZ4_decompress_safe((const char *)src, to, (int)len, (int)room);
    if (made >= 0) {
        out->len += (size_t)made;
        return 0;
    }
    /* Where the limit cut the room, damage and too much data look the same. */
    if (cut)
        return kj_codec_err_limit("lz4", total_max);
    return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: a block of %zu bytes is malformed", len);
}

static int lz4_decompress(const uint8_t *src, size_t len, size_t total_max, struct kj_buffer *out)
{
    struct frame frame = {0};
    KJ_TRY(read_header(src, len, &frame));
    const uint8_t *p = frame.blocks, *end = src + len;
    const size_t checksum_bytes = frame.flg & FLG_BLOCK_CHECKSUM ? 4 : 0;
    const size_t trailer_bytes = frame.flg & FLG_CONTENT_CHECKSUM ? 4 : 0;
    for (;;) {
        if (end - p < 4)
            return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: the data ends before the end mark");
        const uint32_t word = kj_get_le32(p);
        const size_t block = word & ~STORED;
        p += 4;
        const size_t left = (size_t)(end - p);
        if (block == 0) {
            if (left != trailer_bytes)
                return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: %zu bytes behind the end mark", left);
            return 0;
        }
        if (block > frame.block_max || block > left || checksum_bytes > left - block)
            return kj_err(KAJA_ERR_BAD_COMPRESSION,
                          "lz4: a block of %zu bytes where %zu are left and %zu allowed", block,
                          left, frame.block_max);
        if (checksum_bytes != 0 && kj_get_le32(p + block) != XXH32(p, block, 0))
            return kj_err(KAJA_ERR_BAD_COMPRESSION, "lz4: the checksum of a block is wrong");
        KJ_TRY(get_block(p, block, (word & STORED) != 0, frame.block_max, total_max, out));
        p += block + checksum_bytes;
    }
}

const struct kj_codec_ops kj_codec_lz4 = {lz4_compress, lz4_decompress};
#else
const struct kj_codec_ops kj_codec_lz4 = {NULL, NULL};
#endif
