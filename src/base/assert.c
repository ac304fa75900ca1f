/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* The only words the library ever prints: it is about to abort because of a bug of its own. */
void kj_assert_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "kaja: %s:%d: assertion failed: %s\n", file, line, what);
    abort();
}
