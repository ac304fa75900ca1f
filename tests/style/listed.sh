#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every source file is named in a Makefile fragment, or the tarball would go without it. Folders that
# are shipped whole are left out.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
fragments=$(find src include tools tests bench man -name Makefile.inc)
bad=0
for f in $(find src include tools tests bench man -type f \( -name '*.[ch1-9]' -o -name '*.sh' -o -name 'run-*' \) \
    ! -path 'tests/golden/*' ! -path 'tests/fuzz/*' ! -path 'tests/ci/*' | sort); do
    # shellcheck disable=SC2086 # a list of words
    grep -qF "$f" $fragments Makefile.am || { echo "$f is in no Makefile.inc"; bad=1; }
done
exit $bad
