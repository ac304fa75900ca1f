/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/codec.h - what compress.c knows of a codec file, and what the codec files share. Nobody
 * else includes this.
 */
#ifndef KJ_RECORD_CODEC_H
#define KJ_RECORD_CODEC_H

#include "base/atomic.h"
#include "record/compress.h"

/* Both NULL: configured out. compress() may assume len <= INT32_MAX; total_max is what out->len may
 * become, and nothing beyond it (plus what out already had) is allocated. On an error out->len is
 * put back by the caller. */
struct kj_codec_ops {
    int (*compress)(int level, const uint8_t *src, size_t len, struct kj_buffer *out);
    int (*decompress)(const uint8_t *src, size_t len, size_t total_max, struct kj_buffer *out);
};
extern const struct kj_codec_ops kj_codec_gzip, kj_codec_snappy, kj_codec_lz4, kj_codec_zstd;

/* Makes room for wanted bytes behind out->len, growing by doubling but never beyond total_max.
 * RECORD_TOO_LARGE if they would not fit below total_max. */
int kj_codec_room(struct kj_buffer *out, size_t wanted, size_t total_max);

/* The errors that more than one codec tells. */
int kj_codec_err_limit(const char *codec, size_t total_max);
int kj_codec_err_level(const char *codec, int level);

/* A codec's working state costs more to make than a small batch to compress, so a few of them wait
 * here for the next call of whatever thread. Take: NULL if none waits. Put: false if there is no
 * place, the caller then frees it. Each codec empties its pools in a destructor function, when the
 * library is unloaded. */
enum { KJ_CODEC_POOL_SLOTS = 4 };
struct kj_codec_pool {
    kj_atomic_u64 slots[KJ_CODEC_POOL_SLOTS];
};
void *kj_codec_pool_take(struct kj_codec_pool *pool);
bool kj_codec_pool_put(struct kj_codec_pool *pool, void *state);

#endif
