#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja consumer-groups beside live members: who has which partition, and what is refused meanwhile.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

g() { run consumer-groups --dir "$dir" "$@"; }
# Ids end in a random UUID.
u() { sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/g; s/ *$//' out >trimmed && mv trimmed out; }
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$tmp"' EXIT
until_state() { # until_state COUNT: the group is stable with so many members, and all have read
    for _ in $(seq 200); do
        g --describe --state --group g
        grep -q "Stable  *$1\$" out && return
        sleep 0.05
    done
    complain "not stable with $1 members"
}
until_committed() { # until_committed COUNT: so many partitions have a committed offset
    for _ in $(seq 200); do
        g --describe --group g
        [ "$(awk '$1 == "g" && $4 != "-"' out | wc -l)" -eq "$1" ] && return
        sleep 0.05
    done
    complain "not $1 partitions committed"
}
member() { # member CLIENT OPTIONS...
    client=$1
    shift
    "$KAJA" consume --dir "$dir" --topic orders --group g --from-beginning --command-property \
        client.id="$client" --command-property auto.commit.interval.ms=50 "$@" >"$client.out" 2>&1 &
    pids="$pids $!"
    pid=$!
}

run topics --dir "$dir" --create --topic orders --partitions 3
for p in 0 0 1; do
    echo "line $p" | "$KAJA" produce --dir "$dir" --topic orders --partition $p 2>err
done
# One more that nobody reads.
run topics --dir "$dir" --create --topic old
g --reset-offsets --group g --topic old --to-earliest --execute
want_rc 0

member c1
one=$pid
until_state 1
until_committed 4
member c2
two=$pid
until_state 2

g --describe --group g
want_rc 0
want_no_err
u
want_out <<END

GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID                             HOST            CLIENT-ID
$(awk 'NR > 2' out)
END
awk 'NR > 2 {print $1, $2, $3, $4, $5, $6, $7, $8, $9}' out >rows && mv rows out
# Which of the two has two partitions, its id says; the one that has comes first.
first=$(awk 'NR == 1 {print $9}' out)
[ "$first" = c1 ] && second=c2 || second=c1
want_out <<END
g orders 0 2 2 0 $first-UUID /127.0.0.1 $first
g orders 1 1 1 0 $first-UUID /127.0.0.1 $first
g orders 2 0 0 0 $second-UUID /127.0.0.1 $second
g old 0 0 0 0 - - -
END
g --describe --group g --json --verbose
want_json 'len(d) == 4 and d[0]["clientId"] == "'"$first"'" and d[0]["host"] == "/127.0.0.1" and \
    d[0]["consumerId"].startswith("'"$first"'-") and d[3]["consumerId"] is None'

g --describe --members --verbose --group g
want_rc 0
want_no_err
u
sort out -o out
want_out <<END

GROUP           CONSUMER-ID                             HOST            CLIENT-ID       #PARTITIONS     CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT
$({
    echo "g               $first-UUID /127.0.0.1      $first              2               -               orders:0,1           -               -"
    echo "g               $second-UUID /127.0.0.1      $second              1               -               orders:2             -               -"
} | sort)
END
g --describe --members --group g
u
[ "$(awk 'NR == 2 {print $5} NR > 2 {n += $5} END {print n}' out)" = "#PARTITIONS
3" ] || complain 'other numbers of partitions'
g --describe --members --verbose --group g --json
want_json 'sorted(m["partitions"] for m in d) == [1, 2] and sorted(
    (p["topic"], p["partition"]) for m in d for p in m["assignment"]) == [("orders", 0),
    ("orders", 1), ("orders", 2)]'
g --describe --state --group g
want_out <<END

GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS
g               localhost:9092  (0)       range                Stable               2
END
g --list --state Stable
want_match '^g  *Classic  *Stable *$'

# While it has members, nobody changes what it committed.
for how in --dry-run --execute; do
    g --reset-offsets --group g --topic orders --to-earliest $how
    want_rc 1
    want_err "Error: Assignments can only be reset if the group 'g' is inactive, but the current state is Stable."
    want_one_error_line
    want_out <<END

GROUP           TOPIC           PARTITION  NEW-OFFSET
END
done
g --delete --group g
want_rc 1
want_err "* Group 'g' could not be deleted due to"
g --delete-offsets --group g --topic orders
want_rc 1
want_err 'GROUP_SUBSCRIBED_TO_TOPIC'

# A killed one is missed at once; an instance id has a column of its own.
kill -KILL "$two"
until_state 1
kill -TERM "$one"
wait "$one"
g --describe --members --group g
want_err "Consumer group 'g' has no active members."
member c3 --command-property group.instance.id=fixed
until_state 1
g --describe --members --group g
u
want_out <<END

GROUP           CONSUMER-ID                                GROUP-INSTANCE-ID HOST            CLIENT-ID       #PARTITIONS
g               fixed-UUID fixed             /127.0.0.1      c3              3
END
kill -TERM "$pid"
wait "$pid"
finish
