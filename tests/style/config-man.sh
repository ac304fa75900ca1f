#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# man/kaja-config.5 says what src/api/conf_table.h says, and man/kaja_errors.3 names each row of
# include/kaja/error_table.h with its number.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
top_builddir=${top_builddir:-.}
bad=0
[ -x "$top_builddir/config_man" ] || { echo "no program config_man in this build"; exit 99; }
if ! "$top_builddir/config_man" | diff -u "$top_srcdir/man/kaja-config.5" - >config-man.diff; then
    head -n 40 config-man.diff
    echo "man/kaja-config.5 is out of date: ./config_man >man/kaja-config.5"
    bad=1
fi
rm -f config-man.diff
sed -nE 's/^KAJA_ERROR\(([A-Z_]+), *(-?[0-9]+), *([01]),.*/\1 \2 \3/p' \
    "$top_srcdir/include/kaja/error_table.h" | while read -r name value retriable; do
    if [ "$retriable" = 1 ]; then word='retriable'; else word='final'; fi
    grep -qxE "\.It Er $name Pq $value , $word" "$top_srcdir/man/kaja_errors.3" ||
        echo "man/kaja_errors.3 lacks: .It Er $name Pq $value , $word"
done >errors-man.txt
[ ! -s errors-man.txt ] || { cat errors-man.txt; bad=1; }
rm -f errors-man.txt
exit $bad
