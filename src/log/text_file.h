/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/text_file.h - reads Kafka's checkpoint files line by line: a version line "0", a line with
 * the number of entries, then that many lines of fields. Shared by checkpoint.c and epoch_cache.c.
 *
 * Strict, since such a file is replaced as a whole and a half-read number would be a wrong one:
 * every line ends in a newline, numbers are plain decimals without sign or leading zeros, and
 * nothing follows the last entry. Fields are separated by blanks or tabs.
 */
#ifndef KJ_LOG_TEXT_FILE_H
#define KJ_LOG_TEXT_FILE_H

#include "os/io.h"

#include <stddef.h>
#include <stdint.h>

enum { KJ_TEXT_FILE_MAX = 64 << 20, KJ_TEXT_LINE_MAX = 512 };

struct kj_text_file {
    const char *path;
    char *text; /* NULL: missing or empty, no entries */
    size_t len;
    size_t at;     /* of the next line */
    int64_t line;  /* number of the line read last, from 1 */
    int64_t count; /* entries announced */
};

/* Reads the file up to its entries. path must stay. On success kj_text_close() is due.
 * DAMAGED, NOT_KAJA (no regular file), KAFKA_STORAGE_ERROR, OUT_OF_MEMORY. */
int kj_text_open(struct kj_io *io, const char *path, struct kj_text_file *ret_file);
void kj_text_close(struct kj_text_file *file);

/* Takes the next line apart into exactly n fields, NUL-terminated, valid until close. DAMAGED. */
int kj_text_fields(struct kj_text_file *file, char *ret_fields[], int n);
/* A field of the line read last as a number from 0 to max. DAMAGED. */
int kj_text_number(const struct kj_text_file *file, const char *field, int64_t max,
                   int64_t *ret_number);
/* DAMAGED unless the entries were the last lines. */
int kj_text_end(struct kj_text_file *file);
/* The story of a bad line; returns DAMAGED. */
int kj_text_bad(const struct kj_text_file *file, const char *what);

/* The whole file like kj_io_read_file(), told: DAMAGED if larger than max_bytes. ENOENT is left to
 * the caller: *ret_bytes is NULL then. */
int kj_text_read(struct kj_io *io, const char *path, size_t max_bytes, uint8_t **ret_bytes,
                 size_t *ret_len);

#endif
