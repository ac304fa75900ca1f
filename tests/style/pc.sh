#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Run by `make installcheck`: a stranger's program, built by pkg-config from what was installed,
# with the shared and with the static library, whichever are there.
set -eu
command -v pkg-config >/dev/null 2>&1 || { echo "no pkg-config"; exit 1; }
PKG_CONFIG_PATH=$pkgconfigdir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
PKG_CONFIG_SYSROOT_DIR=${DESTDIR:-}
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/a.c" <<'END'
#include <kaja.h>
#include <stdio.h>
int main(void) { return printf("%s\n", kaja_version()) < 0; }
END
want=$(pkg-config --modversion kaja)

check() { # check KIND COMMAND...
    kind=$1
    shift
    got=$("$@")
    [ "$got" = "$want" ] || { echo "$kind: version '$got' instead of '$want'"; exit 1; }
    echo "installed, $kind: kaja $got"
}
built=
if [ -f "$libdir/libkaja.so" ]; then
    # shellcheck disable=SC2046
    ${CC:-cc} -o "$tmp/shared" "$tmp/a.c" $(pkg-config --cflags --libs kaja)
    check shared env LD_LIBRARY_PATH="$libdir" "$tmp/shared"
    built=1
fi
if [ -f "$libdir/libkaja.a" ]; then
    # shellcheck disable=SC2046
    ${CC:-cc} -o "$tmp/static" "$tmp/a.c" $(pkg-config --cflags kaja) "$libdir/libkaja.a" \
        $(pkg-config --static --libs kaja | sed 's/-lkaja//')
    check static "$tmp/static"
    built=1
fi
[ -n "$built" ] || { echo "no library in $libdir"; exit 1; }
