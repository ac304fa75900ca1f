/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/out.h"
#include "tools/common.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void kj_out_init(struct kj_out *out, int fd)
{
    *out = (struct kj_out){.buffer = kj_xmalloc(KJ_OUT_BYTES), .fd = fd};
}

void kj_out_free(struct kj_out *out)
{
    free(out->buffer);
    out->buffer = NULL;
}

static void write_all(struct kj_out *out, const char *bytes, size_t count)
{
    while (count > 0 && out->error == 0) {
        ssize_t n = write(out->fd, bytes, count);
        if (n >= 0) {
            bytes += n;
            count -= (size_t)n;
        } else if (errno == EAGAIN) { /* somebody made our stdout non-blocking */
            struct pollfd ready = {.fd = out->fd, .events = POLLOUT};
            poll(&ready, 1, 1000);
        } else if (errno != EINTR) {
            out->error = errno;
        }
    }
}

void kj_out_flush(struct kj_out *out)
{
    write_all(out, out->buffer, out->used);
    out->used = 0;
}

void kj_out_put_slow(struct kj_out *out, const void *bytes, size_t count)
{
    kj_out_flush(out);
    if (count >= KJ_OUT_BYTES) {
        write_all(out, bytes, count);
        return;
    }
    memcpy(out->buffer, bytes, count);
    out->used = count;
}

void kj_out_printf(struct kj_out *out, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n > 0)
        kj_out_put(out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void kj_out_int(struct kj_out *out, long long value)
{
    char text[24];
    size_t at = sizeof text;
    unsigned long long left = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        text[--at] = '-';
    kj_out_put(out, text + at, sizeof text - at);
}
