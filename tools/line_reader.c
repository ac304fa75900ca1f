/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/line_reader.h"
#include "tools/common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 256 * 1024 };

void kj_line_init(struct kj_line_reader *reader, int fd, size_t line_max)
{
    *reader = (struct kj_line_reader){
        .fd = fd, .buffer = kj_xmalloc(BLOCK_BYTES), .room = BLOCK_BYTES, .line_max = line_max};
}

void kj_line_free(struct kj_line_reader *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
}

static void consume(struct kj_line_reader *reader, size_t bytes)
{
    reader->from += bytes;
    reader->searched = 0;
}

enum kj_line_result kj_line_next(struct kj_line_reader *reader, const char **ret_line,
                                 size_t *ret_bytes)
{
    for (;;) {
        char *line = reader->buffer + reader->from;
        size_t left = reader->to - reader->from;
        char *end = left > reader->searched
                        ? memchr(line + reader->searched, '\n', left - reader->searched)
                        : NULL;
        size_t bytes = end != NULL ? (size_t)(end - line) : left;
        if (end == NULL && !reader->at_end) {
            reader->searched = left;
            if (reader->skipping) {
                consume(reader, left);
            } else if (left > reader->line_max) {
                reader->skipping = true;
                consume(reader, left);
                return KJ_LINE_TOO_LONG;
            }
            return KJ_LINE_MORE;
        }
        if (end == NULL && (left == 0 || reader->skipping))
            return KJ_LINE_END;
        consume(reader, end != NULL ? bytes + 1 : bytes);
        if (reader->skipping) {
            reader->skipping = false;
            continue;
        }
        if (end != NULL && bytes > 0 && line[bytes - 1] == '\r')
            bytes--;
        *ret_line = line;
        *ret_bytes = bytes;
        return KJ_LINE;
    }
}

int kj_line_fill(struct kj_line_reader *reader)
{
    if (reader->from > 0) {
        memmove(reader->buffer, reader->buffer + reader->from, reader->to - reader->from);
        reader->to -= reader->from;
        reader->from = 0;
    }
    if (reader->to == reader->room)
        reader->buffer = kj_xrealloc(reader->buffer, reader->room *= 2);
    ssize_t n = read(reader->fd, reader->buffer + reader->to, reader->room - reader->to);
    if (n < 0)
        return errno;
    if (n == 0)
        reader->at_end = true;
    reader->to += (size_t)n;
    return 0;
}
