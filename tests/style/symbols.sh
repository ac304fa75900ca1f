#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# libkaja.so exports exactly the functions that the public headers declare.
cd "${top_builddir:-.}" || exit 99
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
so=.libs/libkaja.so
[ -f "$so" ] || { echo "SKIP: no shared library in this build (--disable-shared)"; exit 77; }
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
cat "$top_srcdir"/include/kaja/*.h | tr '\n' ' ' | grep -oE 'KAJA_API [^;{]*' |
    sed -E 's/^KAJA_API [^(]*[ *](kaja_[a-z0-9_]+)\(.*/\1/' | sort >"$tmp/declared"
nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$tmp/exported"
# A sanitizer's runtime and coverage add symbols of their own.
[ "${KJ_SANITIZER:-no}" = no ] || sed -i '/^__/d' "$tmp/exported"
[ -s "$tmp/declared" ] || { echo "no declarations found"; exit 99; }
comm -23 "$tmp/declared" "$tmp/exported" >"$tmp/missing"
comm -13 "$tmp/declared" "$tmp/exported" >"$tmp/extra"
[ ! -s "$tmp/missing" ] || { echo "declared but not exported:"; cat "$tmp/missing"; }
[ ! -s "$tmp/extra" ] || { echo "exported but not declared:"; cat "$tmp/extra"; }
[ ! -s "$tmp/missing" ] && [ ! -s "$tmp/extra" ]
