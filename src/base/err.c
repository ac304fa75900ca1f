/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct kj_err_saved story = {.partition = -1, .offset = -1, .pos = -1};

__attribute__((format(printf, 3, 0))) /* clang wants to know */
static void tell(int code, int os_errno, const char *format, va_list args)
{
    story.code = code;
    story.os_errno = os_errno;
    story.partition = -1;
    story.offset = -1;
    story.pos = -1;
    story.topic[0] = '\0';
    /* The arguments may point into the story itself ("%s" of kaja_error_detail()). */
    char text[sizeof story.text];
    int n = vsnprintf(text, sizeof text, format, args);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (os_errno != 0) {
        const char *why = strerror(os_errno); /* static text for every errno of the kernel */
        snprintf(text + at, sizeof text - at, ": %s", why);
    }
    memcpy(story.text, text, sizeof text);
}

int kj_err(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(code, 0, format, args);
    va_end(args);
    return code;
}

static int code_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return KAJA_ERR_DISK_FULL;
    case ENOMEM:
        return KAJA_ERR_OUT_OF_MEMORY;
    case EMFILE:
    case ENFILE:
        return KAJA_ERR_FILE_LIMIT;
    case EROFS:
        return KAJA_ERR_READ_ONLY;
    default:
        return KAJA_ERR_KAFKA_STORAGE_ERROR;
    }
}

int kj_err_os(int os_errno, const char *format, ...)
{
    int code = code_of_errno(os_errno);
    va_list args;
    va_start(args, format);
    tell(code, os_errno, format, args);
    va_end(args);
    return code;
}

int kj_err_at(int code, const char *topic, int32_t partition, int64_t offset, int64_t pos)
{
    if (topic != NULL && topic != story.topic)
        snprintf(story.topic, sizeof story.topic, "%s", topic);
    story.partition = partition;
    story.offset = offset;
    story.pos = pos;
    return code;
}

void kj_err_clear(void)
{
    story.code = 0;
    story.os_errno = 0;
    story.partition = -1;
    story.offset = -1;
    story.pos = -1;
    story.topic[0] = '\0';
    story.text[0] = '\0';
}

void kj_err_save(int code, struct kj_err_saved *ret_saved)
{
    *ret_saved = story;
    ret_saved->code = code;
}

int kj_err_restore(const struct kj_err_saved *saved)
{
    story = *saved;
    return saved->code;
}

const char *kaja_error_detail(void)
{
    return story.text;
}

void kaja_error_where(struct kaja_error_place *ret_place)
{
    ret_place->topic = story.topic[0] != '\0' ? story.topic : NULL;
    ret_place->partition = story.partition;
    ret_place->offset = story.offset;
    ret_place->pos = story.pos;
    ret_place->os_errno = story.os_errno;
}

struct row {
    int value;
    int retriable;
    const char *name;
    const char *text;
};

static const struct row rows[] = {
#define KAJA_ERROR(name, value, retriable, text) {value, retriable, #name, text},
#include <kaja/error_table.h>
#undef KAJA_ERROR
};

static const struct row *find(int error)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value == error)
            return &rows[i];
    return NULL;
}

const char *kaja_error_text(int error)
{
    const struct row *row = find(error);
    return row != NULL ? row->text : "Unknown error";
}

const char *kaja_error_name(int error)
{
    const struct row *row = find(error);
    return row != NULL ? row->name : "UNKNOWN";
}

int kaja_error_retriable(int error)
{
    const struct row *row = find(error);
    return row != NULL ? row->retriable : 0;
}
