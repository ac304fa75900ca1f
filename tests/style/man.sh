#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Man pages: no mandoc warning, no dangling reference among our own, every public function in a
# man3 page and no function there that does not exist.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
bad=0
pages=$(find man "${top_builddir:-.}/man" -name '*.[1-9]' 2>/dev/null | sort -u)
[ -n "$pages" ] || { echo "SKIP: no man pages"; exit 77; }

for p in $pages; do
    # .Xr kaja_x 3 wants man/kaja_x.3, or a page that names it.
    grep -hoE '^\.Xr (kaja[A-Za-z0-9_-]*) [0-9]' "$p" | sort -u | while read -r _ name section; do
        ls man/"$name.$section" "${top_builddir:-.}/man/$name.$section" >/dev/null 2>&1 ||
            grep -qsE "^\.Nm $name( ,)?\$" man/*."$section" || echo "$p: $name($section) does not exist"
    done
done >"${TMPDIR:-/tmp}/kaja-man.$$"
[ ! -s "${TMPDIR:-/tmp}/kaja-man.$$" ] || { cat "${TMPDIR:-/tmp}/kaja-man.$$"; bad=1; }
rm -f "${TMPDIR:-/tmp}/kaja-man.$$"

if ls man/*.3 >/dev/null 2>&1; then
    declared=$(cat include/kaja/*.h | tr '\n' ' ' | grep -oE 'KAJA_API [^;{]*' |
        sed -E 's/^KAJA_API [^(]*[ *](kaja_[a-z0-9_]+)\(.*/\1/' | sort -u)
    for f in $declared; do
        grep -qE "^\.(Fn|Fo) \"?$f\b" man/*.3 || { echo "$f is in no man3 page"; bad=1; }
    done
    for f in $(sed -nE 's/^\.(Fn|Fo) "?(kaja_[a-z0-9_]+).*/\2/p' man/*.3 | sort -u); do
        echo "$declared" | grep -qx "$f" || { echo "man3 has $f, the headers do not"; bad=1; }
    done
fi

if ! command -v mandoc >/dev/null 2>&1; then
    [ $bad = 1 ] || { echo "SKIP: the pages' own syntax: no mandoc"; exit 77; }
    exit 1
fi
# shellcheck disable=SC2086 # a list of words
mandoc -Tlint -Wwarning $pages || bad=1
exit $bad
