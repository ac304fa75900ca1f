#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Each public function states Errors:, Threads: and Blocks: in the comment above it (or above the
# group it stands in), and <kaja.h> compiles alone as C99 and as C++ without a warning.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
bad=0
for h in include/kaja/*.h; do
    awk -v file="$h" '
        /^\/\*/ { comment = ""; open = 1 }
        open { comment = comment " " $0; if (/\*\//) open = 0; next }
        /^$/ { comment = "" }
        /^KAJA_API/ {
            n = split("Errors: Threads: Blocks:", words, " ")
            for (i = 1; i <= n; i++) {
                word = words[i]; sub(/:$/, "", word)
                if (comment !~ word "( [(][^)]*[)])?:") { print file ":" FNR ": no " words[i] " for: " $0; bad = 1 }
            }
        }
        END { exit bad }' "$h" || bad=1
    grep -q 'extern "C"' "$h" || ! grep -q '^KAJA_API' "$h" || { echo "$h: no extern \"C\""; bad=1; }
done

tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
printf '#include <kaja.h>\nint unused_;\n' >"$tmp/a.c"
cp "$tmp/a.c" "$tmp/a.cc"
${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror -Iinclude -fsyntax-only "$tmp/a.c" || bad=1
cxx=${CXX:-c++}
if command -v "$cxx" >/dev/null 2>&1; then
    "$cxx" -std=c++11 -pedantic-errors -Wall -Wextra -Werror -Iinclude -fsyntax-only "$tmp/a.cc" || bad=1
elif [ $bad = 0 ]; then
    echo "SKIP: no C++ compiler"
    exit 77
fi
exit $bad
