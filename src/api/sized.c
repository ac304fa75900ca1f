/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/sized.h"

#include "base/err.h"

#include <string.h>

int kj_sized_copy(const struct kj_sized *kind, const void *given, void *known)
{
    const unsigned char *bytes = given;
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < kind->first_bytes || size > KJ_SIZED_MAX)
        return kj_err(KAJA_ERR_INVALID_ARG, "the %s's size is %zu: begin with %s", kind->what, size,
                      kind->init);
    for (size_t i = kind->known_bytes; i < size; i++)
        if (bytes[i] != 0)
            return kj_err(KAJA_ERR_UNSUPPORTED_FEATURE,
                          "the %s has %zu bytes and sets byte %zu; this version of the library "
                          "knows the first %zu",
                          kind->what, size, i, kind->known_bytes);
    size_t common = size < kind->known_bytes ? size : kind->known_bytes;
    memcpy((unsigned char *)known + sizeof size, bytes + sizeof size, common - sizeof size);
    return 0;
}
