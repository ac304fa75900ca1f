/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/assert.h - for our own bugs in private memory only. What a user passes in or a disk gives
 * back is an ordinary error, never an assertion.
 */
#ifndef KJ_BASE_ASSERT_H
#define KJ_BASE_ASSERT_H

_Noreturn void kj_assert_failed(const char *file, int line, const char *what);

/* Stays on in production: keep it cheap. */
#define KJ_ASSERT(cond)                                                                            \
    (__builtin_expect(!(cond), 0) ? kj_assert_failed(__FILE__, __LINE__, #cond) : (void)0)

/* Debug builds only (--enable-debug): may be expensive. */
#ifdef KJ_DEBUG
#define KJ_ASSERT_SLOW(cond) KJ_ASSERT(cond)
#else
#define KJ_ASSERT_SLOW(cond) ((void)sizeof(!(cond)))
#endif

#endif
