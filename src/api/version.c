/* SPDX-License-Identifier: BSD-2-Clause */

#include <kaja.h>

const char *kaja_version(void)
{
    return PACKAGE_VERSION;
}
