#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja consumer-groups.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

g() { run consumer-groups --dir "$dir" "$@"; }

run topics --dir "$dir" --create --topic orders --partitions 2
for p in 0 0 0 1; do
    echo "line $p" | "$KAJA" produce --dir "$dir" --topic orders --partition $p 2>err
done

g --list
want_rc 0
want_out </dev/null
g --describe --group g1
want_rc 1
want_err "Error: Consumer group 'g1' does not exist."
want_one_error_line

# A reset makes a group; dry first.
g --reset-offsets --group g1 --topic orders --to-latest
want_rc 0
want_err 'No action will be performed'
want_out <<END

GROUP           TOPIC           PARTITION  NEW-OFFSET
g1              orders          0          3
g1              orders          1          1
END
g --list
want_out </dev/null
g --reset-offsets --group g1 --topic orders --to-offset 1 --execute
want_rc 0
want_no_err
g --reset-offsets --group g2 --topic orders:1 --to-earliest --execute
want_out <<END

GROUP           TOPIC           PARTITION  NEW-OFFSET
g2              orders          1          0
END
g --list
want_out <<END
g1
g2
END
for form in --state --type '--state --type classic' '--state EMPTY,dead'; do
    # shellcheck disable=SC2086 # words
    g --list $form
    sed 's/ *$//' out >trimmed && mv trimmed out
    want_out <<END
GROUP                     TYPE                 STATE
g1                        Classic              Empty
g2                        Classic              Empty
END
done
for form in '--state stable' '--type Consumer'; do
    # shellcheck disable=SC2086
    g --list $form
    want_rc 0
    [ "$(wc -l <out)" -eq 1 ] || complain "$form shows groups"
done
g --list --json
want_json 'd == [{"group": g, "type": "Classic", "state": "Empty"} for g in ("g1", "g2")]'
g --describe --group g1
want_rc 0
want_err "Consumer group 'g1' has no active members."
want_out <<END

GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
g1              orders          0          1               3               2               -               -               -
g1              orders          1          1               1               0               -               -               -
END
g --describe --offsets --json --all-groups --verbose
want_rc 0
want_json '[x["group"] for x in d] == ["g1", "g1", "g2"] and d[0] == {"group": "g1",
    "topic": "orders", "partition": 0, "leaderEpoch": None, "currentOffset": 1,
    "logEndOffset": 3, "lag": 2, "consumerId": None, "host": None, "clientId": None}'
g --describe --verbose --group g2
want_out <<END

GROUP           TOPIC           PARTITION  LEADER-EPOCH    CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
g2              orders          1          -               0               1               1               -               -               -
END
g --describe --state --group g1
want_out <<END

GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS
g1              localhost:9092  (0)                            Empty                0
END
g --describe --state --verbose --group g2 --group g1 --group g1 --timeout 5000
want_rc 0
want_out <<END

GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                GROUP-EPOCH     TARGET-ASSIGNMENT-EPOCH   #MEMBERS
g1              localhost:9092  (0)                            Empty                -               -                         0

GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                GROUP-EPOCH     TARGET-ASSIGNMENT-EPOCH   #MEMBERS
g2              localhost:9092  (0)                            Empty                -               -                         0
END
g --describe --state --group g1 --json
want_json 'd == [{"group": "g1", "coordinator": "localhost:9092", "coordinatorId": 0,
    "assignmentStrategy": "", "state": "Empty", "members": 0}]'
g --describe --members --group g1
want_rc 0
sed 's/ *$//' out >trimmed && mv trimmed out
want_out <<END

GROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS
END
g --describe --members --group g1 --json
want_json 'd == []'
# One that is not there leaves the others be.
g --describe --group none --group g2
want_rc 1
want_err "Error: Consumer group 'none' does not exist."
want_in_out 'g2              orders          1'

# Every scenario.
new() { # new EXPECTED OPTIONS...: the new offset of orders-0 in g1
    wanted=$1
    shift
    g --reset-offsets --group g1 --topic orders:0 --dry-run "$@"
    want_rc 0
    [ "$(awk '$3 == "0" {print $4}' out)" = "$wanted" ] || complain "not $wanted"
}
new 0 --to-earliest
new 3 --to-latest
new 1 --to-current
new 2 --to-offset 2
new 2 --shift-by 1
new 0 --shift-by -1
new 0 --to-datetime 2001-01-01T00:00:00.000
new 3 --to-datetime 2999-01-01T00:00:00.000Z
want_err 'Falling back to latest known offset'
new 0 --by-duration P1D
new 0 --by-duration pt1h30m0.5s
new 3 --by-duration PT-1H
want_err 'Falling back to latest known offset'
new 0 --to-datetime 2001-01-01T00:00:00.000+05:30
echo 'orders,0,2' >plan
new_from() { # new_from EXPECTED: as new, from the file plan
    g --reset-offsets --group g1 --dry-run --from-file plan
    want_rc 0
    [ "$(awk '$3 == "0" {print $4}' out)" = "$1" ] || complain "not $1"
}
new_from 2
printf '"g2",orders,1,1\r\n"g1",orders,0,7\r\n\r\n' >plan
new_from 3
want_err 'New offset (7) is higher than latest offset for topic partition orders-0'
new 3 --to-offset 99
want_err 'New offset (99) is higher than latest offset for topic partition orders-0'
new 0 --shift-by -99
want_err 'lower than earliest'
g --reset-offsets --group g2 --topic orders:0 --shift-by 1
want_rc 1
want_err 'Cannot shift offset for partition orders-0'
g --reset-offsets --group g2 --topic orders:9 --to-latest
want_rc 1
want_err 'orders-9" do not exist'
g --reset-offsets --all-groups --all-topics --shift-by 1 --execute
want_rc 0
g --describe --group g2
want_out <<END

GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
g2              orders          1          1               1               0               -               -               -
END

# What is exported can be read again: of one group without its name, of several with it.
g --reset-offsets --group g1 --all-topics --to-offset 1 --export --dry-run
want_rc 0
want_no_err
want_out <<END
orders,0,1
orders,1,1
END
cp out plan
g --reset-offsets --group g1 --all-topics --to-latest --execute
g --reset-offsets --group g1 --from-file plan --execute
want_rc 0
want_out <<END

GROUP           TOPIC           PARTITION  NEW-OFFSET
g1              orders          0          1
g1              orders          1          1
END
g --describe --group g1
want_in_out 'g1              orders          0          1               3               2'
g --reset-offsets --group 'with blank, "comma"' --topic orders:0 --to-latest --execute
g --reset-offsets --all-groups --all-topics --to-current --export --dry-run
want_out <<'END'
g1,orders,0,1
g1,orders,1,1
g2,orders,1,1
"with blank, ""comma""",orders,0,3
END
cp out plan
g --reset-offsets --group g1 --group 'with blank, "comma"' --from-file plan --json --dry-run
want_rc 0
want_json '[(x["group"], x["partition"], x["newOffset"]) for x in d] == [("g1", 0, 1), ("g1", 1, 1),
    ("with blank, \"comma\"", 0, 3)]'
g --reset-offsets --group g1 --group g2 --topic orders --to-earliest --dry-run
want_out <<END

GROUP           TOPIC           PARTITION  NEW-OFFSET
g1              orders          0          0
g1              orders          1          0
g2              orders          0          0
g2              orders          1          0
END
g --delete --group 'with blank, "comma"' --json
want_json 'd == [{"group": "with blank, \"comma\"", "error": None}]'
bad_file() { # bad_file TEXT MESSAGE
    printf '%b' "$1" >plan
    g --reset-offsets --group g1 --from-file plan --execute
    want_rc 1
    want_err "$2"
    want_one_error_line
}
bad_file 'orders,0\n' 'plan, line 1: a line is topic,partition,offset'
bad_file 'orders,0,1\norders,0,x\n' 'plan, line 2: a line is'
bad_file 'orders,0,1,2,3\n' 'plan, line 1: a line is'
bad_file '"orders,0,1\n' 'plan, line 1: a line is'
bad_file 'orders,0,1\norders,0,2\n' 'plan, line 2: orders-0 stands there twice'
bad_file 'orders,5,1\n' 'The partitions "orders-5" do not exist'
bad_file 'sales,0,1\n' 'UNKNOWN_TOPIC_OR_PARTITION'
bad_file '' 'No reset plan for group g1 found'
bad_file 'g2,orders,0,1\n' 'No reset plan for group g1 found'
g --reset-offsets --group g1 --from-file no-such-file --execute
want_rc 1
want_err 'no-such-file: No such file or directory'
echo 'orders,0,1' >plan
g --reset-offsets --all-groups --from-file plan --execute
want_rc 1
want_err 'plan, line 1: no group'
g --describe --group g1
want_in_out 'g1              orders          0          1               3               2'

# Deleting.
g --delete-offsets --group g1 --topic orders:1
want_rc 0
sed 's/ *$//' out >trimmed && mv trimmed out
want_out <<END
Request succeeded for deleting offsets from group g1.

TOPIC           PARTITION  STATUS
orders          1          Successful
END
g --delete-offsets --group g2 --topic orders:1 --json
want_json 'd == [{"group": "g2", "topic": "orders", "partition": 1, "status": "Successful"}]'
g --delete --group g1 --group g3
want_rc 1
want_err 'Error: Deletion of some consumer groups failed:'
want_err "* Group 'g3' could not be deleted due to"
want_out <<END

These consumer groups were deleted successfully: 'g1'
END
for group in g1 g2; do
    g --reset-offsets --group $group --topic orders --to-latest --execute
done
g --delete --group g1 --group g2
want_rc 0
want_out <<END
Deletion of requested consumer groups ('g1', 'g2') was successful.
END
g --delete --group g1
want_rc 1
want_err "Group 'g1' could not be deleted"
g --list
want_out </dev/null

# A reader that goes away is no failure.
g --reset-offsets --group g1 --topic orders --to-latest --execute
for form in '--list --state' '--describe --all-groups' '--describe --members --group g1' \
    '--reset-offsets --group g1 --topic orders --to-latest --export'; do
    # shellcheck disable=SC2086
    { "$KAJA" consumer-groups --dir "$dir" $form 2>err; echo $? >pipe.rc; } | head -n 0
    [ "$(cat pipe.rc)" = 0 ] || complain "$form into a closed pipe: $(cat pipe.rc)"
done

# Wrong usage: one line that names it, and one with a hint.
while read -r words; do
    # shellcheck disable=SC2086
    g $words
    want_rc 2
    want_no_out
    [ "$(wc -l <err)" -eq 2 ] || complain 'not two lines on stderr'
done <<END
--group g1
--list --describe --group g1
--list --group g1
--list --all-groups
--list --state sleepy
--list --type share
--list --members
--describe
--describe --group g1 --all-groups
--describe --group g1 --members --offsets
--describe --group g1 --members --state
--describe --group g1 --topic orders
--describe --group g1 --to-earliest
--describe --group g1 --type
--describe --group g1 --timeout soon
--delete
--delete --group g1 --verbose
--delete-offsets --group g1
--delete-offsets --topic orders
--delete-offsets --group g1 --topic orders --execute
--reset-offsets --group g1 --topic orders
--reset-offsets --group g1 --to-earliest
--reset-offsets --topic orders --to-earliest
--reset-offsets --group g1 --topic orders --all-topics --to-earliest
--reset-offsets --group g1 --topic orders --to-earliest --to-latest
--reset-offsets --group g1 --topic orders --to-earliest --dry-run --execute
--reset-offsets --group g1 --topic orders --to-earliest --export --json
--reset-offsets --group g1 --topic orders --from-file plan
--reset-offsets --group g1 --topic orders --to-offset x
--reset-offsets --group g1 --topic orders:x --to-earliest
--reset-offsets --group g1 --topic orders --to-datetime yesterday
--reset-offsets --group g1 --topic orders --to-datetime 2026-01-31T12:00:00
--reset-offsets --group g1 --topic orders --to-datetime 2026-02-30T12:00:00.000
--reset-offsets --group g1 --topic orders --to-datetime 2026-01-31T12:00:00.000+1
--reset-offsets --group g1 --topic orders --by-duration 1h
--reset-offsets --group g1 --topic orders --by-duration P
--reset-offsets --group g1 --topic orders --by-duration PT
--reset-offsets --group g1 --topic orders --by-duration P1H
--reset-offsets --group g1 --topic orders --by-duration PT1M1H
--reset-offsets --group g1 --topic orders --by-duration PT1.5M
--reset-offsets --group g1 --topic orders --by-duration P99999999999999999D
END
finish
