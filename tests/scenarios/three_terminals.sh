#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The picture everyone learns Kafka by, with the program alone: a producer in one terminal, two
# consumers of one group in two others, and one of another group. The two share the records, the
# third gets them all; who comes back goes on where he stopped.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

consume() { # consume NAME GROUP: in the background, into the file NAME
    "$KAJA" console-consumer --dir "$dir" --topic letters --group "$2" --from-beginning \
        >"$1" 2>"$1.err" &
}

run topics --dir "$dir" --create --topic letters --partitions 4
want_rc 0
consume anna readers
anna=$!
consume ben readers
ben=$!
consume clara archive
clara=$!

# Letters go on until each of the two readers got some, but not for ever; then a hundred more.
last='the producer'
sent=0
{
    while [ $sent -lt 2000 ]; do
        if [ -s anna ] && [ -s ben ]; then break; fi
        echo "key$sent:letter $sent"
        sent=$((sent + 1))
        sleep 0.02
    done
    for _ in $(seq 100); do
        echo "key$sent:letter $sent"
        sent=$((sent + 1))
    done
    echo $sent >sent
} | "$KAJA" console-producer --dir "$dir" --topic letters --property parse.key=true \
    --property key.separator=: || complain 'the producer failed'
sent=$(cat sent)
[ -s anna ] && [ -s ben ] || complain 'one of the two readers got nothing'

# Until all has come, then each is stopped as by Ctrl-C.
for _ in $(seq 200); do
    [ "$(cat anna ben | wc -l)" -ge "$sent" ] && [ "$(wc -l <clara)" -ge "$sent" ] && break
    sleep 0.05
done
kill -TERM $anna $ben $clara
wait $anna $ben $clara
seq 0 $((sent - 1)) | sed 's/^/letter /' | sort >all
sort clara | cmp -s - all || complain "the archive has $(wc -l <clara) of $sent letters"
sort anna ben | cmp -s - all ||
    complain "the readers have $(wc -l <anna) and $(wc -l <ben) of $sent letters"

# Everything was committed: whoever comes back gets what is new, and only that.
printf 'new 1\nnew 2\nnew 3\n' | "$KAJA" console-producer --dir "$dir" --topic letters
run console-consumer --dir "$dir" --topic letters --group readers --timeout-ms 1000
want_rc 0
printf 'new 1\nnew 2\nnew 3\n' | want_sorted
want_err 'Processed a total of 3 messages'

# What was read but not shown is not committed.
run console-consumer --dir "$dir" --topic letters --group third --from-beginning --max-messages 5
want_err 'Processed a total of 5 messages'
run console-consumer --dir "$dir" --topic letters --group third --timeout-ms 1000
want_err "Processed a total of $((sent + 3 - 5)) messages"
finish
