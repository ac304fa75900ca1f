/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/sized.h - structs of the application that begin with their size, so that they can grow.
 *
 * The rule (HACKING 12): members are added at the end only, with zero as the default, which means
 * what the release before did. A program that was compiled earlier gives a smaller size: it gets
 * the defaults of what it does not know. One that was compiled later gives a larger size: that is
 * taken as long as the bytes we do not know are zero; else it asks for what this library cannot do.
 * Nothing beyond the given size is ever looked at.
 */
#ifndef KJ_API_SIZED_H
#define KJ_API_SIZED_H

#include <stddef.h>

enum { KJ_SIZED_MAX = 4096 }; /* no struct will be so large: what says so was never filled in */

struct kj_sized {
    const char *what;   /* in stories: "record" */
    const char *init;   /* the macro that fills it, likewise */
    size_t first_bytes; /* its size in the first release that had it */
    size_t known_bytes; /* its size here */
};

/* Copies what given has of ours over the defaults in known, whose size member stays ours.
 * INVALID_ARG: a size that no release had; UNSUPPORTED_FEATURE: unknown bytes that are not zero. */
int kj_sized_copy(const struct kj_sized *kind, const void *given, void *known);

#endif
