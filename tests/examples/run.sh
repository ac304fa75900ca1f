#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The examples, one after the other over a directory of their own, and what they print.
cd "${top_builddir:-.}" || exit 99
tmp=$(mktemp -d "${TMPDIR:-/tmp}/kaja-examples.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
check() { # check WANTED COMMAND...
    printf '%b' "$1" >"$tmp/wanted"
    shift
    "$@" >"$tmp/got" 2>"$tmp/errors" || { echo "$*: exit $?"; cat "$tmp/errors"; exit 1; }
    diff -u "$tmp/wanted" "$tmp/got" || { echo "$*: printed something else"; exit 1; }
}
check 'birds-0, offset 0\nbirds-0, offset 1\nbirds-0, offset 2\n' ./01_produce "$tmp/d"
check '0: jackdaw=seen\n1: rook=seen\n2: jay=seen\n' ./02_consume "$tmp/d"
check 'jobs 0: wash\n' ./03_durable_queue "$tmp/d" put wash
check 'jobs 1: dry\n' ./03_durable_queue "$tmp/d" put dry
check 'job 0: wash\ndone 0: 1\njob 1: dry\ndone 1: 2\n' ./03_durable_queue "$tmp/d" work
check '' ./03_durable_queue "$tmp/d" work
check 'jobs 2: fold\n' ./03_durable_queue "$tmp/d" put fold
check 'job 2: fold\ndone 2: 3\n' ./03_durable_queue "$tmp/d" work
check 'sent 100000, dropped 0\n' ./04_fire_and_forget "$tmp/d" 100000
check 'a: offset 0, on the disk\nb c: offset 1, on the disk\n' ./05_synchronous "$tmp/d" a 'b c'
check '0 lines, 0 delivered, 0 failed\n' ./06_asynchronous "$tmp/d" </dev/null
seq 20000 >"$tmp/lines"
check '20000 lines, 20000 delivered, 0 failed\n' ./06_asynchronous "$tmp/d" <"$tmp/lines"
check '1 lines, 1 delivered, 0 failed\n' \
    sh -c '(printf un; sleep 0.1; printf ended) | ./06_asynchronous "$1"' - "$tmp/d"
# What is there already, then a record that another process sends while the loop waits.
mkfifo "$tmp/input" "$tmp/seen"
./11_event_loop "$tmp/d" birds jobs <"$tmp/input" >"$tmp/seen" &
loop=$!
exec 3>"$tmp/input" 4<"$tmp/seen"
for _ in 1 2 3 4 5 6; do
    read -r line <&4 && echo "$line"
done | sort >"$tmp/got"
printf '%s\n' 'birds 0: seen' 'birds 1: seen' 'birds 2: seen' 'jobs 0: wash' 'jobs 1: dry' \
    'jobs 2: fold' | diff -u - "$tmp/got" || { echo '11_event_loop: printed something else'; exit 1; }
./03_durable_queue "$tmp/d" put iron >/dev/null || exit 1
read -r line <&4
[ "$line" = 'jobs 3: iron' ] || { echo "11_event_loop: printed $line"; exit 1; }
exec 3>&-
wait $loop || { echo "11_event_loop: exit $?"; exit 1; }
exec 4<&-
if ./02_consume "$tmp/none" 2>/dev/null; then
    echo "02_consume of a directory that is not there succeeds"
    exit 1
fi
