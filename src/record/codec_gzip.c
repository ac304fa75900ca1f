/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/codec_gzip.c - RFC 1952. Written as one member; read as one or more behind each other,
 * with nothing behind the last.
 */
#include "record/codec.h"

#ifdef KJ_HAVE_GZIP

#include "base/alloc.h"
#include "base/err.h"

#define ZLIB_CONST
#include <zlib.h>

enum { WINDOW_BITS_GZIP = 15 + 16, MEM_LEVEL = 8 };

struct state {
    z_stream z;
    int level; /* deflating only */
};

static struct kj_codec_pool deflaters, inflaters;

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt bytes)
{
    (void)opaque;
    return kj_alloc((size_t)items * bytes);
}

static void zlib_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    kj_free(p);
}

static void free_deflater(struct state *state)
{
    (void)deflateEnd(&state->z);
    kj_free(state);
}

static void free_inflater(struct state *state)
{
    (void)inflateEnd(&state->z);
    kj_free(state);
}

__attribute__((destructor)) static void free_pools(void)
{
    struct state *state;
    while ((state = kj_codec_pool_take(&deflaters)) != NULL)
        free_deflater(state);
    while ((state = kj_codec_pool_take(&inflaters)) != NULL)
        free_inflater(state);
}

static struct state *new_state(void)
{
    struct state *state = kj_alloc_zero(1, sizeof *state);
    if (state != NULL) {
        state->z.zalloc = zlib_alloc;
        state->z.zfree = zlib_free;
    }
    return state;
}

static struct state *take_deflater(int level)
{
    struct state *state = kj_codec_pool_take(&deflaters);
    if (state != NULL && state->level == level && deflateReset(&state->z) == Z_OK)
        return state;
    if (state != NULL)
        free_deflater(state);
    state = new_state();
    if (state == NULL)
        return NULL;
    state->level = level;
    if (deflateInit2(&state->z, level, Z_DEFLATED, WINDOW_BITS_GZIP, MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        kj_free(state);
        return NULL;
    }
    return state;
}

static struct state *take_inflater(void)
{
    struct state *state = kj_codec_pool_take(&inflaters);
    if (state != NULL && inflateReset(&state->z) == Z_OK)
        return state;
    if (state != NULL)
        free_inflater(state);
    state = new_state();
    if (state != NULL && inflateInit2(&state->z, WINDOW_BITS_GZIP) != Z_OK) {
        kj_free(state);
        return NULL;
    }
    return state;
}

static int gzip_compress(int level, const uint8_t *src, size_t len, struct kj_buffer *out)
{
    if (level == KJ_LEVEL_DEFAULT)
        level = Z_DEFAULT_COMPRESSION;
    if (level != Z_DEFAULT_COMPRESSION && (level < Z_BEST_SPEED || level > Z_BEST_COMPRESSION))
        return kj_codec_err_level("gzip", level);
    struct state *state = take_deflater(level);
    if (state == NULL)
        return kj_err_oom("a gzip compressor");
    size_t bound = deflateBound(&state->z, len);
    int err = kj_codec_room(out, bound, SIZE_MAX);
    if (err != 0)
        goto out;
    size_t room = out->capacity - out->len;
    state->z.next_in = src;
    state->z.avail_in = (uInt)len;
    state->z.next_out = out->bytes + out->len;
    state->z.avail_out = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
    int z = deflate(&state->z, Z_FINISH);
    if (z == Z_STREAM_END)
        out->len = (size_t)(state->z.next_out - out->bytes);
    else
        err = kj_err(KAJA_ERR_UNKNOWN_SERVER_ERROR, "gzip: compressing failed (%d)", z);
out:
    if (!kj_codec_pool_put(&deflaters, state))
        free_deflater(state);
    return err;
}

/* Every round yields a byte, takes one in, ends a member or fails. At the limit a byte aside tells
 * whether more would come. */
static int inflate_all(z_stream *z, size_t total_max, struct kj_buffer *out)
{
    for (;;) {
        uint8_t aside;
        const bool full = out->len == total_max;
        size_t room = 1;
        z->next_out = &aside;
        if (!full) {
            KJ_TRY(kj_codec_room(out, 1, total_max));
            room = (out->capacity < total_max ? out->capacity : total_max) - out->len;
            if (room > INT32_MAX)
                room = INT32_MAX;
            z->next_out = out->bytes + out->len;
        }
        z->avail_out = (uInt)room;
        int result = inflate(z, Z_NO_FLUSH);
        size_t made = room - z->avail_out;
        if (full && made > 0)
            return kj_codec_err_limit("gzip", total_max);
        out->len += made;
        if (result == Z_STREAM_END) {
            if (z->avail_in == 0)
                return 0;
            if (inflateReset(z) == Z_OK)
                continue;
        }
        if (result == Z_MEM_ERROR)
            return kj_err_oom("a gzip window");
        if (result != Z_OK)
            return kj_err(KAJA_ERR_BAD_COMPRESSION, "gzip: %s",
                          result == Z_BUF_ERROR ? "the data ends too early"
                          : z->msg != NULL      ? z->msg
                                                : "malformed");
    }
}

static int gzip_decompress(const uint8_t *src, size_t len, size_t total_max, struct kj_buffer *out)
{
    struct state *state = take_inflater();
    if (state == NULL)
        return kj_err_oom("a gzip decompressor");
    state->z.next_in = src;
    state->z.avail_in = (uInt)len;
    int err = inflate_all(&state->z, total_max, out);
    if (!kj_codec_pool_put(&inflaters, state))
        free_inflater(state);
    return err;
}

const struct kj_codec_ops kj_codec_gzip = {gzip_compress, gzip_decompress};
#else
const struct kj_codec_ops kj_codec_gzip = {NULL, NULL};
#endif
