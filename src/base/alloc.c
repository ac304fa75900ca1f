/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alloc.h"

#include "base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int (*fail_hook)(void *arg);
static void *fail_arg;

void kj_alloc_set_hook(int (*hook)(void *arg), void *arg)
{
    fail_hook = hook;
    fail_arg = arg;
}

static int refused(void)
{
    return fail_hook != NULL && fail_hook(fail_arg);
}

void *kj_alloc(size_t bytes)
{
    return refused() ? NULL : malloc(bytes != 0 ? bytes : 1);
}

void *kj_alloc_zero(size_t count, size_t bytes)
{
    return refused() ? NULL : calloc(count != 0 ? count : 1, bytes != 0 ? bytes : 1);
}

void *kj_realloc(void *old, size_t bytes)
{
    return refused() ? NULL : realloc(old, bytes != 0 ? bytes : 1);
}

void *kj_alloc_aligned(size_t alignment, size_t bytes)
{
    void *p = NULL;
    if (refused() || posix_memalign(&p, alignment, bytes != 0 ? bytes : 1) != 0)
        return NULL;
    return p;
}

void *kj_memdup(const void *from, size_t bytes)
{
    void *p = kj_alloc(bytes);
    if (p != NULL && bytes != 0)
        memcpy(p, from, bytes);
    return p;
}

char *kj_strdup(const char *s)
{
    return kj_memdup(s, strlen(s) + 1);
}

void kj_free(void *p)
{
    free(p);
}

int kj_err_oom(const char *what)
{
    return kj_err(KAJA_ERR_OUT_OF_MEMORY, "out of memory for %s", what);
}

int kj_grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes)
{
    if (wanted <= *capacity)
        return 0;
    size_t next = *capacity != 0 ? *capacity : 8;
    while (next < wanted) {
        if (next > SIZE_MAX / 2)
            return kj_err_oom("a growing array");
        next *= 2;
    }
    size_t bytes;
    if (__builtin_mul_overflow(next, item_bytes, &bytes))
        return kj_err_oom("a growing array");
    void *grown = kj_realloc(*items, bytes);
    if (grown == NULL)
        return kj_err_oom("a growing array");
    *items = grown;
    *capacity = next;
    return 0;
}
