/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_decompress.c - a byte that chooses codec and limit, then compressed data. No more
 * than the limit is allocated, and what comes out survives being compressed again.
 */
#include "record/compress.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {1 << 20, 0, 1, 100, 5000, 70000, 300000, 1 << 16};
    if (size == 0)
        return 0;
    enum kj_codec codec = (enum kj_codec)(data[0] % 8);
    const size_t limit = limits[data[0] / 8 % 8];
    struct kj_buffer plain = {0}, packed = {0}, back = {0};
    int err = kj_decompress(codec, data + 1, size - 1, limit, &plain);
    check(plain.capacity <= limit && plain.len <= plain.capacity);
    if (err == 0) {
        check(kj_compress(codec, KJ_LEVEL_DEFAULT, plain.bytes, plain.len, &packed) == 0);
        check(kj_decompress(codec, packed.bytes, packed.len, plain.len, &back) == 0);
        check(back.len == plain.len);
        check(plain.len == 0 || memcmp(back.bytes, plain.bytes, plain.len) == 0);
    } else {
        check(plain.len == 0);
    }
    kj_buffer_free(&plain);
    kj_buffer_free(&packed);
    kj_buffer_free(&back);
    return 0;
}
