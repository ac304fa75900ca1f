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
want_err 'no group g1'

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
g --list --state
sed 's/ *$//' out >trimmed && mv trimmed out
want_out <<END
GROUP                     TYPE                 STATE
g1                        Classic              Empty
g2                        Classic              Empty
END
g --describe --group g1
want_rc 0
want_err "Consumer group 'g1' has no active members."
want_out <<END

GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
g1              orders          0          1               3               2               -               -               -
g1              orders          1          1               1               0               -               -               -
END
g --describe --state --group g1
want_out <<END

GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS
g1              localhost:9092  (0)                            Empty                0
END

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

# Deleting.
g --delete-offsets --group g1 --topic orders:1
want_rc 0
sed 's/ *$//' out >trimmed && mv trimmed out
want_out <<END
Request succeeded for deleting offsets from group g1.

TOPIC           PARTITION  STATUS
orders          1          Successful
END
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

g --list --describe
want_rc 2
g --describe
want_rc 2
g --reset-offsets --group g1 --topic orders
want_rc 2
g --reset-offsets --group g1 --topic orders --to-datetime yesterday
want_rc 2
finish
