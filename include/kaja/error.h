/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/error.h - error codes and what can be asked about them.
 *
 * Every function that can fail returns an int: 0, or one of the codes below. Out parameters (named
 * ret_...) are untouched on failure.
 */
#ifndef KAJA_ERROR_H
#define KAJA_ERROR_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum kaja_error {
#define KAJA_ERROR(name, value, retriable, text) KAJA_ERR_##name = (value),
#include <kaja/error_table.h>
#undef KAJA_ERROR
    KAJA_ERR_MIN_ = -1014 /* smallest value in use; not an error */
};

/* The text of a code, one line without a newline. Never NULL: an unknown number is "Unknown error".
 * Ownership: static storage. Errors: none. Threads: any. Blocks: no. */
KAJA_API const char *kaja_error_text(int error);

/* The name of a code as in Kafka's protocol, for example "OFFSET_OUT_OF_RANGE". Never NULL.
 * Ownership: static storage. Errors: none. Threads: any. Blocks: no. */
KAJA_API const char *kaja_error_name(int error);

/* 1 if the same call may succeed later, as Kafka's RetriableException; else 0.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API int kaja_error_retriable(int error);

/* What exactly went wrong in the last call of this thread that failed: cause, file, partition,
 * offset, errno text and the remedy, one line. Empty before the first failure.
 * Ownership: the library's, per thread; valid until this thread's next call into kaja.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API const char *kaja_error_detail(void);

/* Where the last failed call of this thread failed, as far as it is known. */
struct kaja_error_place {
    const char *topic; /* NULL if unknown; same lifetime as kaja_error_detail() */
    int32_t partition; /* -1 if unknown */
    int64_t offset;    /* record offset, -1 if unknown */
    int64_t pos;       /* byte position in the file, -1 if unknown */
    int os_errno;      /* errno of the system call, 0 if none */
};

/* Fills *ret_place. Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_error_where(struct kaja_error_place *ret_place);

#ifdef __cplusplus
}
#endif
#endif
