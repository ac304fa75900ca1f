#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What the examples 07 to 10 promise if they are killed, or told to stop, in the midst of work.
#
# They print what they have done into a pipe that holds less than all of it. When some lines were
# read from it and then no more, they soon stand still in the midst of a batch.
cd "${top_builddir:-.}" || exit 99
tmp=$(mktemp -d "${TMPDIR:-/tmp}/kaja-killed.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
count=20000
mkfifo "$tmp/pipe" || exit 99
LC_ALL=C
export LC_ALL
seq $count >"$tmp/lines"
sort "$tmp/lines" >"$tmp/sorted"

bad() {
    echo "FAILED: $*"
    cat "$tmp/errors"
    exit 1
}

fill() { # a new directory with the lines 1 to $count
    rm -rf "$tmp/d" "$tmp/done" "$tmp/errors"
    ./06_asynchronous "$tmp/d" <"$tmp/lines" >/dev/null 2>"$tmp/errors" || bad '06_asynchronous'
}

# until_line PATTERN SIGNAL PROGRAM: one run, up to the first line of its output that matches the
# shell pattern; then the signal. All that it had printed is added to the file "done".
until_line() {
    # The time limit is for a program that hangs; its own number is needed, not that of timeout.
    timeout -s KILL 120 sh -c 'echo $$ >"$1/pid"; exec "$2" "$1/d"' - "$tmp" "$3" \
        >"$tmp/pipe" 2>>"$tmp/errors" &
    job=$!
    sent=
    while read -r line; do
        echo "$line"
        [ -z "$sent" ] || continue
        # shellcheck disable=SC2254 # it is a pattern
        case $line in $1) sent=$2 && sleep 0.3 && kill "-$2" "$(cat "$tmp/pid")" ;; esac
    done <"$tmp/pipe" >>"$tmp/done"
    wait $job
    rc=$?
}

# Lines are "OFFSET: TEXT"; the text is what was worked on.
texts() { cut -d ' ' -f 2 "$tmp/done" | sort "$@"; }
twice() { texts | uniq -d | wc -l; }
missing() { texts -u | comm -13 - "$tmp/sorted" | wc -l; }

# At least once: nothing is missed.
fill
until_line '700: *' KILL ./07_at_least_once
[ "$(wc -l <"$tmp/done")" -lt $count ] || bad 'it was killed too late'
until_line "$((count - 1)): *" KILL ./07_at_least_once
[ "$(missing)" -eq 0 ] || bad "at least once: $(missing) lines were missed"
echo "at least once: nothing missed, $(twice) done twice"

# At most once: nothing twice.
fill
until_line '700: *' KILL ./08_at_most_once
[ "$(wc -l <"$tmp/done")" -lt $count ] || bad 'it was killed too late'
until_line "$((count - 1)): *" KILL ./08_at_most_once
[ "$(twice)" -eq 0 ] || bad "at most once: $(twice) lines were done twice"
[ "$(missing)" -le 100 ] || bad "at most once: $(missing) missed, more than a poll returns"
echo "at most once: nothing done twice, $(missing) missed"

# A copy: everything, some of it perhaps twice.
fill
until_line 'shouts-0, offset 700' KILL ./09_copy
grep -q "up to $((count - 1))" "$tmp/done" && bad 'it was killed too late'
until_line "*up to $((count - 1))" KILL ./09_copy
./kaja consume --dir "$tmp/d" --topic shouts --from-beginning --property print.headers=true \
    --timeout-ms 2000 >"$tmp/shouts" 2>>"$tmp/errors" || bad 'kaja consume'
# "from:lines-0 OFFSET<tab>NUMBER": what comes twice is the same record.
sed 's/^from:lines-0 \([0-9]*\)\t/\1: /' "$tmp/shouts" >"$tmp/done"
[ "$(missing)" -eq 0 ] || bad "copy: $(missing) lines were not copied"
[ "$(sort -u "$tmp/done" | wc -l)" -eq $count ] || bad 'copy: a copy says it comes from elsewhere'
echo "copy: nothing missed, $(twice) copied twice"

# An orderly end: the next run begins where this one ended.
fill
until_line '700: *' TERM ./10_shutdown
[ $rc -eq 0 ] || bad "shutdown: exit $rc"
[ "$(wc -l <"$tmp/done")" -lt $count ] || bad 'it was stopped too late'
until_line "$((count - 1)): *" TERM ./10_shutdown
[ $rc -eq 0 ] || bad "shutdown: exit $rc"
cut -d ' ' -f 2 "$tmp/done" | cmp -s - "$tmp/lines" ||
    bad 'shutdown: something missed, or done twice'
[ ! -s "$tmp/errors" ] || bad 'shutdown: a commit failed'
echo 'shutdown: all lines once, in order'
