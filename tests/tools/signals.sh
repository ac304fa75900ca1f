#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGINT and SIGTERM: what was accepted is sent, what was counted is said, 130 and 143.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

# A shell without job control starts background programs with SIGINT ignored; env gives it back.
if env --default-signal=INT true 2>/dev/null; then
    start='env --default-signal=INT'
    signals='INT TERM'
else
    start=
    signals=TERM
fi
status_of() { case $1 in INT) echo 130 ;; TERM) echo 143 ;; esac; }
wait_for() { # wait_for FILE TEXT: up to 5 s
    for _ in $(seq 100); do
        grep -qs "$2" "$1" && return 0
        sleep 0.05
    done
    complain "$2 did not come"
}

run topics --dir "$dir" --create --topic t
for signal in $signals; do
    last="consume, SIG$signal"
    : >out
    $start "$KAJA" consume --dir "$dir" --topic t --from-beginning >out 2>err &
    pid=$!
    echo "before $signal" | "$KAJA" produce --dir "$dir" --topic t 2>/dev/null
    wait_for out "before $signal"
    kill -s "$signal" $pid
    wait $pid
    rc=$?
    want_rc "$(status_of "$signal")"
    want_err 'Processed a total of'
    want_one_error_line

    last="produce, SIG$signal"
    mkfifo fifo
    $start "$KAJA" produce --dir "$dir" --topic t <fifo >out 2>err &
    pid=$!
    exec 3>fifo
    printf 'accepted %s\nnot a whole line' "$signal" >&3
    sleep 0.3
    kill -s "$signal" $pid
    wait $pid
    rc=$?
    exec 3>&-
    rm fifo
    want_rc "$(status_of "$signal")"
    want_no_err
    run consume --dir "$dir" --topic t --from-beginning --timeout-ms 200
    want_in_out "accepted $signal"

    last="producer-perf-test, SIG$signal"
    $start "$KAJA" producer-perf-test --dir "$dir" --topic p --num-records 100000000 --throughput 1000 \
        --record-size 10 --acks 1 >out 2>err &
    pid=$!
    wait_for err 'was created'
    sleep 0.2
    kill -s "$signal" $pid
    wait $pid
    rc=$?
    want_rc "$(status_of "$signal")"
    "$KAJA" topics --dir "$dir" --delete --topic p
done
run verify --dir "$dir"
want_rc 0
finish
