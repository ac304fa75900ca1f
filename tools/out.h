/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/out.h - writing many bytes to a descriptor with few system calls.
 */
#ifndef KJ_TOOLS_OUT_H
#define KJ_TOOLS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { KJ_OUT_BYTES = 256 * 1024 };

struct kj_out {
    char *buffer; /* KJ_OUT_BYTES */
    size_t used;
    int fd;
    int error; /* errno of the first failed write; later bytes are dropped */
};

void kj_out_init(struct kj_out *out, int fd);
void kj_out_free(struct kj_out *out); /* does not flush */
void kj_out_flush(struct kj_out *out);
void kj_out_put_slow(struct kj_out *out, const void *bytes, size_t count);
void kj_out_printf(struct kj_out *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void kj_out_int(struct kj_out *out, long long value);

static inline void kj_out_put(struct kj_out *out, const void *bytes, size_t count)
{
    if (__builtin_expect(count > KJ_OUT_BYTES - out->used, 0)) {
        kj_out_put_slow(out, bytes, count);
        return;
    }
    if (count > 0) /* bytes may be NULL then */
        memcpy(out->buffer + out->used, bytes, count);
    out->used += count;
}

#endif
