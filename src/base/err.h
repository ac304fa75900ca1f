/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/err.h - error codes, and the one place where the story of a failure is kept.
 *
 * A function that can fail returns int: 0 or a KAJA_ERR_ code. Whoever meets the failure first
 * tells the story with kj_err() (or kj_err_os() for a failed system call), once; everybody above
 * passes the code on with KJ_TRY and may add the place with kj_err_at(). The story is per thread.
 */
#ifndef KJ_BASE_ERR_H
#define KJ_BASE_ERR_H

#include <kaja.h>

/* Returns from the calling function with the error of expr, if it has one. */
#define KJ_TRY(expr)                                                                               \
    do {                                                                                           \
        int kj_try_err_ = (expr);                                                                  \
        if (__builtin_expect(kj_try_err_ != 0, 0))                                                 \
            return kj_try_err_;                                                                    \
    } while (0)

/* Records the story of a failure and returns code. Forgets the place and errno of older ones. */
int kj_err(int code, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* The same for a failed system call: maps errno to a code (ENOSPC, EDQUOT, EFBIG: DISK_FULL;
 * ENOMEM: OUT_OF_MEMORY; EMFILE, ENFILE: FILE_LIMIT; EROFS: READ_ONLY; else
 * KAFKA_STORAGE_ERROR) and appends ": " and the errno text. */
int kj_err_os(int os_errno, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Adds the place to the current story. topic may be NULL, numbers -1 where unknown. Returns code. */
int kj_err_at(int code, const char *topic, int32_t partition, int64_t offset, int64_t pos)
    __attribute__((cold));

/* Forgets the story: called when an error was dealt with inside. */
void kj_err_clear(void);

/* A failure carried from one thread to another (a worker's to the waiter's). */
struct kj_err_saved {
    int code;
    int os_errno;
    int32_t partition;
    int64_t offset;
    int64_t pos;
    char topic[256];
    char text[512];
};
void kj_err_save(int code, struct kj_err_saved *ret_saved);
int kj_err_restore(const struct kj_err_saved *saved); /* returns saved->code */

#endif
