#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The law of rooms: a room includes itself and strictly lower rooms, every include names its room,
# tools see <kaja.h> only, and conditional compilation stays in os/ (and where a codec is absent).
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 99
bad=0
complain() {
    echo "$*"
    bad=1
}

rank() {
    case $1 in
    base) echo 0 ;; record | os) echo 1 ;; log) echo 2 ;; store) echo 3 ;;
    coord) echo 4 ;; client) echo 5 ;; api) echo 6 ;; *) echo none ;;
    esac
}

for file in $(find src -name '*.[ch]' | sort); do
    room=${file#src/}
    room=${room%%/*}
    [ "$(rank "$room")" != none ] || complain "$file: lies in no room"
    for inc in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
        other=${inc%%/*}
        [ "$other" != "$inc" ] || { complain "$file: \"$inc\" does not name its room"; continue; }
        [ "$(rank "$other")" != none ] || { complain "$file: \"$inc\" is in no room"; continue; }
        [ "$other" = "$room" ] || [ "$(rank "$other")" -lt "$(rank "$room")" ] ||
            complain "$file: $room may not see \"$inc\""
    done
    grep -Hn '^ *# *include *<kaja/' "$file" | grep -v error_table.h && complain "$file: include <kaja.h>, not its parts"
done

# Tools may have headers of their own beside them.
for file in $(find tools -name '*.[ch]' 2>/dev/null | sort); do
    for inc in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
        [ -f "tools/${inc#tools/}" ] || complain "$file: \"$inc\" is not a tool's header"
    done
    grep -Hn '^ *# *include *<kaja/' "$file" && complain "$file: include <kaja.h>, not its parts"
done

# Allowed: include guards, codecs (KJ_HAVE_*), KJ_DEBUG in base, the processor in base/crc32c*.
found=$(find src -name '*.[ch]' ! -path 'src/os/*' | sort | xargs grep -nE '^ *# *(if|ifdef|ifndef|elif)\b' |
    grep -vE '# *ifndef KJ_[A-Z0-9_]+_H *$|KJ_HAVE_[A-Z0-9]+' |
    grep -vE '^src/base/[a-z_]+\.[ch]:[0-9]+:.*KJ_DEBUG|^src/base/crc32c[a-z0-9_]*\.[ch]:')
[ -z "$found" ] || complain "conditional compilation outside os/:
$found"
exit $bad
