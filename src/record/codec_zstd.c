/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/codec_zstd.c - RFC 8878 frames, no dictionary. Written as one frame with its content size
 * (Kafka's own, from a stream, lack it; readers take both). Read at one go into room that is made
 * larger while it does not suffice: unlike streaming this needs no window of up to 128 MiB for the
 * asking of a hostile frame, and no second copy. The library allocates its own working state.
 */
#include "record/codec.h"

#ifdef KJ_HAVE_ZSTD

#include "base/alloc.h"
#include "base/err.h"

#include <zstd.h>
#include <zstd_errors.h>

enum {
    LEVEL_DEFAULT = 3,
    BLOCK_MAX = 128 * 1024,
    BLOCK_HEADER_BYTES = 3,
    POOLED_MAX = 8 * 1024 * 1024 /* larger states (high levels on large batches) are not kept */
};

static struct kj_codec_pool compressors, decompressors;

__attribute__((destructor)) static void free_pools(void)
{
    void *state;
    while ((state = kj_codec_pool_take(&compressors)) != NULL)
        (void)ZSTD_freeCCtx(state);
    while ((state = kj_codec_pool_take(&decompressors)) != NULL)
        (void)ZSTD_freeDCtx(state);
}

static int zstd_compress(int level, const uint8_t *src, size_t len, struct kj_buffer *out)
{
    if (level == KJ_LEVEL_DEFAULT)
        level = LEVEL_DEFAULT;
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return kj_codec_err_level("zstd", level);
    KJ_TRY(kj_codec_room(out, ZSTD_compressBound(len), SIZE_MAX));
    ZSTD_CCtx *state = kj_codec_pool_take(&compressors);
    if (state == NULL)
        state = ZSTD_createCCtx();
    if (state == NULL)
        return kj_err_oom("a zstd compressor");
    size_t result =
        ZSTD_compressCCtx(state, out->bytes + out->len, out->capacity - out->len, src, len, level);
    if (ZSTD_sizeof_CCtx(state) > POOLED_MAX || !kj_codec_pool_put(&compressors, state))
        (void)ZSTD_freeCCtx(state);
    if (!ZSTD_isError(result)) {
        out->len += result;
        return 0;
    }
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return kj_err_oom("a zstd compressor");
    return kj_err(KAJA_ERR_UNKNOWN_SERVER_ERROR, "zstd: compressing failed: %s",
                  ZSTD_getErrorName(result));
}

/* The room to begin with: the content size if the first frame has it and its blocks can hold as
 * much, else a guess. */
static size_t first_room(const uint8_t *src, size_t len)
{
    const size_t most = (len / BLOCK_HEADER_BYTES + 1) * BLOCK_MAX;
    unsigned long long content = ZSTD_getFrameContentSize(src, len);
    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR || content > most)
        return len > BLOCK_MAX / 8 ? len * 8 : BLOCK_MAX;
    return (size_t)content;
}

static int decompress_with(ZSTD_DCtx *state, const uint8_t *src, size_t len, size_t total_max,
                           struct kj_buffer *out)
{
    const size_t allowed = total_max - out->len;
    size_t room = first_room(src, len);
    for (;;) {
        if (room > allowed)
            room = allowed;
        KJ_TRY(kj_codec_room(out, room, total_max));
        /* All there is, at most what is allowed. */
        room = out->capacity - out->len < allowed ? out->capacity - out->len : allowed;
        uint8_t nothing;
        uint8_t *to = room > 0 ? out->bytes + out->len : &nothing;
        size_t result = ZSTD_decompressDCtx(state, to, room, src, len);
        if (!ZSTD_isError(result)) {
            out->len += result;
            return 0;
        }
        ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
        if (code == ZSTD_error_memory_allocation)
            return kj_err_oom("a zstd decompressor");
        if (code != ZSTD_error_dstSize_tooSmall)
            return kj_err(KAJA_ERR_BAD_COMPRESSION, "zstd: %s", ZSTD_getErrorName(result));
        if (room == allowed)
            return kj_codec_err_limit("zstd", total_max);
        room = room < BLOCK_MAX ? BLOCK_MAX : room < SIZE_MAX / 4 ? room * 4 : SIZE_MAX;
    }
}

static int zstd_decompress(const uint8_t *src, size_t len, size_t total_max, struct kj_buffer *out)
{
    ZSTD_DCtx *state = kj_codec_pool_take(&decompressors);
    if (state == NULL)
        state = ZSTD_createDCtx();
    if (state == NULL)
        return kj_err_oom("a zstd decompressor");
    int err = decompress_with(state, src, len, total_max, out);
    if (!kj_codec_pool_put(&decompressors, state))
        (void)ZSTD_freeDCtx(state);
    return err;
}

const struct kj_codec_ops kj_codec_zstd = {zstd_compress, zstd_decompress};
#else
const struct kj_codec_ops kj_codec_zstd = {NULL, NULL};
#endif
