/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/compress.h - the codecs of a records section; a file each (codec_gzip.c, ...). Containers
 * are Kafka's: gzip RFC 1952; snappy in xerial framing with 32 KiB blocks; an LZ4 frame of independent
 * 64 KiB blocks without checksums; one zstd frame.
 */
#ifndef KJ_RECORD_COMPRESS_H
#define KJ_RECORD_COMPRESS_H

#include "record/batch_writer.h"

/* Appends the compressed form of src to out (behind out->len). level: KJ_LEVEL_DEFAULT or the codec's.
 * UNSUPPORTED_COMPRESSION_TYPE (unknown, or configured out), OUT_OF_MEMORY. */
int kj_compress(enum kj_codec codec, int level, const uint8_t *src, size_t len, struct kj_buffer *out);

/* Appends the plain form of src to out, refusing more than limit bytes of it before they are
 * allocated. BAD_COMPRESSION, RECORD_TOO_LARGE (limit), UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_MEMORY. */
int kj_decompress(enum kj_codec codec, const uint8_t *src, size_t len, size_t limit, struct kj_buffer *out);

bool kj_codec_built(enum kj_codec codec);

#endif
