#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every source file says its licence within its first three lines. Data (tests/golden, corpora) and
# prose do not.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
files=$(find bootstrap bootstrap-dev configure.ac Makefile.am .ci/run src include tools bench man tests \
    -type f ! -path '*/golden/*' ! -path '*/corpus/*' ! -name '*.md' ! -name '*.txt' \
    ! -name '*~' ! -name '.*' ! -name '*.orig' ! -name '*.log' | sort)
[ -n "$files" ] || exit 99
bad=0
for f in $files; do
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || { echo "$f: no SPDX line"; bad=1; }
done
exit $bad
