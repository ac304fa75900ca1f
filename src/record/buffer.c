/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/batch_writer.h"

#include "base/alloc.h"

void kj_buffer_free(struct kj_buffer *buffer)
{
    kj_free(buffer->bytes);
    *buffer = (struct kj_buffer){0};
}

int kj_buffer_reserve(struct kj_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->capacity)
        return 0;
    uint8_t *grown = kj_realloc(buffer->bytes, bytes);
    if (grown == NULL)
        return kj_err_oom("a batch");
    buffer->bytes = grown;
    buffer->capacity = bytes;
    return 0;
}
