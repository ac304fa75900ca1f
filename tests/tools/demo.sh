#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja demo runs in a pipe, tells the truth, is quick and leaves nothing behind.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

mkdir place
TMPDIR=$tmp/place
export TMPDIR
start=$(date +%s%N)
ok demo
took=$((($(date +%s%N) - start) / 1000000))
[ $took -lt 3000 ] || [ "${KJ_SANITIZER:-no}" != no ] || complain "it took $took ms"
[ -z "$(ls place)" ] || complain "it left $(ls place)"
[ "$(awk 'length > 110' out | wc -l)" -eq 0 ] || complain "lines longer than 110"
grep -q "$(printf '\033')" out && complain "control characters in a pipe"
# The arithmetic shown is right, and the partition is the one it gives.
awk '$1 ~ /^(ann|bob|dan|joe|mia)$/ && $0 ~ /orders-[0-2] +[0-9]+$/ && NF > 6 {
    hash = $(NF - 4); masked = $(NF - 3); rest = $(NF - 2); partition = $(NF - 1); seen++
    if ((hash + 2147483648) % 2147483648 != masked || masked % 3 != rest || partition != "orders-" rest)
        print "wrong: " $0 }
    END { if (seen != 9) print seen + 0 " records shown" }' out >wrong
[ ! -s wrong ] || complain "$(cat wrong)"
want_match '^[0-9]\. '
# A group: alone, shared out (nobody has what another has), resumed where it stopped.
want_match '^   tom     orders-0 orders-1 orders-2$'
sed -n '/^7\. /,/^   Three more/p' out | grep -o 'orders-[0-2]' | sort >had
printf 'orders-0\norders-1\norders-2\n' | cmp -s - had || complain "shares: $(cat had)"
[ "$(grep -Ec '^   (tom|eve)  +orders-[0-2] +3 .*orders (cake|jam|nuts)$' out)" -eq 3 ] ||
    complain 'three new orders were not read once each'
want_match '^   orders-0 +4 +5 +1$'
[ "$(sed -n '/^   Now tom/,/^9/p' out | grep -c 'orders-[01] *4 ')" -eq 2 ] ||
    complain 'tom did not come back to just two'
want_in_out 'recordCount'
ok demo --keep
left=$(ls -d place/*)
run topics --dir "$left" --list
printf '__consumer_offsets\norders\n' | want_out
run verify --dir "$left"
want_rc 0
"$KAJA" demo 2>err | head -n 3 >out
want_in_out kaja
finish
