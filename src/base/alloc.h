/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/alloc.h - the one allocator seam. Everything the library allocates goes through here, so
 * that a test can fail the N-th allocation. Sizes come from checked arithmetic; 0 bytes are
 * allowed and give a pointer that may be freed. NULL means out of memory, with no story told:
 * callers return kj_err_oom().
 */
#ifndef KJ_BASE_ALLOC_H
#define KJ_BASE_ALLOC_H

#include <stddef.h>

void *kj_alloc(size_t bytes) __attribute__((malloc, warn_unused_result));
void *kj_alloc_zero(size_t count, size_t bytes) __attribute__((malloc, warn_unused_result));
void *kj_realloc(void *old, size_t bytes) __attribute__((warn_unused_result));
/* alignment: a power of two, at least sizeof(void *). Freed with kj_free() like the others. */
void *kj_alloc_aligned(size_t alignment, size_t bytes) __attribute__((malloc, warn_unused_result));
char *kj_strdup(const char *s) __attribute__((malloc, warn_unused_result));
void *kj_memdup(const void *from, size_t bytes) __attribute__((malloc, warn_unused_result));
void kj_free(void *p);

/* Tells the story "out of memory for <what>" and returns KAJA_ERR_OUT_OF_MEMORY. */
int kj_err_oom(const char *what);

/* Grows *items (elements of item_bytes each) so that at least wanted fit; doubles. 0 or an error,
 * on which nothing changed. */
int kj_grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes);

/* For tests: called before each allocation; non-zero makes it fail. Set while single-threaded. */
void kj_alloc_set_hook(int (*hook)(void *arg), void *arg);

#endif
