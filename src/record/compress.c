/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/compress.h"

#include "base/err.h"
#include "record/codec.h"

static const struct kj_codec_ops none;
static const struct kj_codec_ops *const codecs[KJ_CODEC_COUNT] = {
    &none, &kj_codec_gzip, &kj_codec_snappy, &kj_codec_lz4, &kj_codec_zstd};

bool kj_codec_built(enum kj_codec codec)
{
    return codec == KJ_CODEC_NONE ||
           ((unsigned)codec < KJ_CODEC_COUNT && codecs[codec]->compress != NULL);
}

static int check_codec(enum kj_codec codec)
{
    if (codec == KJ_CODEC_NONE || (unsigned)codec >= KJ_CODEC_COUNT)
        return kj_err(KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE, "codec %d is unknown", (int)codec);
    if (!kj_codec_built(codec))
        return kj_err(KAJA_ERR_UNSUPPORTED_COMPRESSION_TYPE, "this build is without the codec %s",
                      kj_codec_name((int)codec));
    return 0;
}

int kj_compress(enum kj_codec codec, int level, const uint8_t *src, size_t len,
                struct kj_buffer *out)
{
    KJ_TRY(check_codec(codec));
    if (len > INT32_MAX)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "%zu bytes of records in one batch", len);
    size_t before = out->len;
    int err = codecs[codec]->compress(level, src, len, out);
    if (err != 0)
        out->len = before;
    return err;
}

int kj_decompress(enum kj_codec codec, const uint8_t *src, size_t len, size_t limit,
                  struct kj_buffer *out)
{
    KJ_TRY(check_codec(codec));
    if (len > INT32_MAX)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "%zu compressed bytes in one batch", len);
    size_t before = out->len;
    size_t total_max = limit > SIZE_MAX - before ? SIZE_MAX : before + limit;
    int err = codecs[codec]->decompress(src, len, total_max, out);
    if (err != 0)
        out->len = before;
    return err;
}

int kj_codec_err_limit(const char *codec, size_t total_max)
{
    return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "%s: the data is larger than the limit of %zu bytes",
                  codec, total_max);
}

int kj_codec_err_level(const char *codec, int level)
{
    return kj_err(KAJA_ERR_INVALID_ARG, "%s has no level %d", codec, level);
}

int kj_codec_room(struct kj_buffer *out, size_t wanted, size_t total_max)
{
    enum { CAPACITY_MIN = 4096 };
    if (out->len > total_max || wanted > total_max - out->len)
        return kj_codec_err_limit("a batch", total_max);
    size_t needed = out->len + wanted;
    if (needed <= out->capacity)
        return 0;
    size_t capacity = out->capacity < CAPACITY_MIN ? CAPACITY_MIN : out->capacity;
    while (capacity < needed && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity > total_max)
        capacity = total_max;
    return kj_buffer_reserve(out, capacity < needed ? needed : capacity);
}

/* A slot is a pointer or 0. A successful exchange is a full barrier: it pairs with that of the
 * other function, so whoever takes a state sees all that its last user did to it. */
void *kj_codec_pool_take(struct kj_codec_pool *pool)
{
    for (int i = 0; i < KJ_CODEC_POOL_SLOTS; i++) {
        uint64_t found = kj_load_relaxed(&pool->slots[i]);
        if (found != 0 && kj_cas(&pool->slots[i], &found, 0))
            return (void *)(uintptr_t)found;
    }
    return NULL;
}

bool kj_codec_pool_put(struct kj_codec_pool *pool, void *state)
{
    for (int i = 0; i < KJ_CODEC_POOL_SLOTS; i++) {
        uint64_t found = kj_load_relaxed(&pool->slots[i]);
        if (found == 0 && kj_cas(&pool->slots[i], &found, (uintptr_t)state))
            return true;
    }
    return false;
}
