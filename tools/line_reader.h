/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/line_reader.h - lines out of large blocks: any bytes, any length up to a limit.
 *
 * A line ends at LF or CRLF; the last one needs no end. A CR that no LF follows is data, so that
 * text comes back as it went in.
 */
#ifndef KJ_TOOLS_LINE_READER_H
#define KJ_TOOLS_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>

struct kj_line_reader {
    int fd;
    char *buffer;
    size_t room;
    size_t from, to; /* what was read and not given out */
    size_t searched; /* bytes behind from that hold no LF */
    size_t line_max; /* longer lines are given up */
    bool at_end;     /* of the input */
    bool skipping;   /* the rest of a line that was given up */
};

enum kj_line_result {
    KJ_LINE,          /* a line */
    KJ_LINE_MORE,     /* kj_line_fill() must be called first */
    KJ_LINE_TOO_LONG, /* a line was given up; its rest will be passed over */
    KJ_LINE_END
};

void kj_line_init(struct kj_line_reader *reader, int fd, size_t line_max);
void kj_line_free(struct kj_line_reader *reader);
/* The next line, valid until the next call. */
enum kj_line_result kj_line_next(struct kj_line_reader *reader, const char **ret_line,
                                 size_t *ret_bytes);
/* One read(). 0, or errno (EINTR: a signal came). */
int kj_line_fill(struct kj_line_reader *reader);

#endif
