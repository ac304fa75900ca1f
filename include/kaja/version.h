/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KAJA_VERSION_H
#define KAJA_VERSION_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#define KAJA_VERSION_MAJOR 0
#define KAJA_VERSION_MINOR 1
#define KAJA_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that runs, for example "0.1.0".
 * Ownership: static storage. Errors: none. Threads: any. Blocks: no. */
KAJA_API const char *kaja_version(void);

#ifdef __cplusplus
}
#endif
#endif
