/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/kjtest.h - what every test includes: cmocka and a few words of our own.
 */
#ifndef KJTEST_H
#define KJTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kaja.h>

/* Asserts success and shows the story of a failure. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        int assert_ok_err_ = (expr);                                                               \
        if (assert_ok_err_ != 0)                                                                   \
            fail_msg("%s: %s (%s)", #expr, kaja_error_name(assert_ok_err_), kaja_error_detail());  \
    } while (0)

#define assert_err(expr, code)                                                                     \
    do {                                                                                           \
        int assert_err_ = (expr);                                                                  \
        if (assert_err_ != (code))                                                                 \
            fail_msg("%s: %s instead of %s (%s)", #expr, kaja_error_name(assert_err_), #code,      \
                     kaja_error_detail());                                                         \
    } while (0)

/* Ends a child of fork() that inherited what is not its own. Not by _exit(): valgrind would look
 * for leaks there, and what a thread of the parent held on its stack, gone here, it calls lost. */
static inline void leave_child(int bad)
{
    if (bad == 0)
        execl("/bin/true", "true", (char *)NULL);
    _exit(bad);
}

#endif
