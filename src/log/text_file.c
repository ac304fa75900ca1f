/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/text_file.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/file_error.h"

#include <errno.h>
#include <string.h>

int kj_text_read(struct kj_io *io, const char *path, size_t max_bytes, uint8_t **ret_bytes,
                 size_t *ret_len)
{
    int os = kj_io_read_file(io, path, max_bytes, ret_bytes, ret_len);
    if (os == ENOENT) {
        *ret_bytes = NULL;
        *ret_len = 0;
        return 0;
    }
    if (os == EFBIG)
        return kj_err(KAJA_ERR_DAMAGED, "%s is larger than %zu bytes", path, max_bytes);
    if (os != 0)
        return kj_file_error(io, os, "reading", path);
    return 0;
}

int kj_text_bad(const struct kj_text_file *file, const char *what)
{
    return kj_err(KAJA_ERR_DAMAGED, "%s, line %lld: %s", file->path, (long long)file->line, what);
}

/* The next line, its newline replaced by a NUL; NULL: what is wrong stands in *ret_what. */
static char *next_line(struct kj_text_file *file, const char **ret_what)
{
    char *line = file->text + file->at;
    size_t left = file->len - file->at;
    file->line++;
    char *end = memchr(line, '\n', left < KJ_TEXT_LINE_MAX ? left : KJ_TEXT_LINE_MAX);
    if (end == NULL) {
        *ret_what = left == 0                 ? "the file ends too early"
                    : left < KJ_TEXT_LINE_MAX ? "the line is cut off"
                                              : "the line is too long";
        return NULL;
    }
    *end = '\0';
    if (memchr(line, '\0', (size_t)(end - line)) != NULL) {
        *ret_what = "the line has a NUL byte";
        return NULL;
    }
    file->at += (size_t)(end - line) + 1;
    return line;
}

int kj_text_number(const struct kj_text_file *file, const char *field, int64_t max,
                   int64_t *ret_number)
{
    int64_t number = 0;
    const char *p = field;
    for (; *p >= '0' && *p <= '9'; p++) {
        int digit = *p - '0';
        if (number > (max - digit) / 10)
            return kj_text_bad(file, "a number is too large");
        number = number * 10 + digit;
    }
    if (p == field || *p != '\0' || (field[0] == '0' && p != field + 1))
        return kj_text_bad(file, "not a plain decimal number");
    *ret_number = number;
    return 0;
}

int kj_text_fields(struct kj_text_file *file, char *ret_fields[], int n)
{
    static const char blanks[] = " \t";
    const char *what = "";
    char *p = next_line(file, &what);
    if (p == NULL)
        return kj_text_bad(file, what);
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(p, blanks);
        if (len == 0)
            return kj_text_bad(file, "a field is missing");
        ret_fields[i] = p;
        p += len;
        if (*p == '\0')
            continue; /* if more are wanted, the next one is empty */
        *p++ = '\0';
        p += strspn(p, blanks);
        if (i == n - 1)
            return kj_text_bad(file, "more fields than there should be");
    }
    return 0;
}

static int read_head(struct kj_text_file *file)
{
    char *field;
    KJ_TRY(kj_text_fields(file, &field, 1));
    if (strcmp(field, "0") != 0)
        return kj_text_bad(file, "the version is not 0");
    KJ_TRY(kj_text_fields(file, &field, 1));
    /* An entry takes four bytes at least. */
    return kj_text_number(file, field, (int64_t)(file->len / 4), &file->count);
}

int kj_text_open(struct kj_io *io, const char *path, struct kj_text_file *ret_file)
{
    struct kj_text_file file = {.path = path};
    uint8_t *bytes;
    KJ_TRY(kj_text_read(io, path, KJ_TEXT_FILE_MAX, &bytes, &file.len));
    if (file.len == 0) {
        kj_free(bytes);
        *ret_file = file;
        return 0;
    }
    file.text = (char *)bytes;
    int err = read_head(&file);
    if (err != 0) {
        kj_free(bytes);
        return err;
    }
    *ret_file = file;
    return 0;
}

void kj_text_close(struct kj_text_file *file)
{
    kj_free(file->text);
    *file = (struct kj_text_file){0};
}

int kj_text_end(struct kj_text_file *file)
{
    if (file->at == file->len)
        return 0;
    file->line++;
    return kj_text_bad(file, "more lines than entries");
}
