#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja topics and the exact shape of what it prints.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

t() { run topics --dir "$dir" --bootstrap-server localhost:9092 "$@"; }

t --create --topic orders --partitions 2 --replication-factor 1 --config cleanup.policy=delete \
    --config segment.bytes=1048576
want_rc 0
want_no_err
want_out <<END
Created topic orders.
END
t --create --topic orders
want_rc 1
want_no_out
want_err "Error while executing topic command : Topic 'orders' already exists."
want_one_error_line
t --create --topic orders --if-not-exists
want_rc 0
want_no_out
want_no_err

t --create --topic a.b
want_rc 0
want_out <<END
WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.
Created topic a.b.
END
t --create --topic one --replica-assignment 0,0,0
want_rc 0

t --list
want_rc 0
want_out <<END
a.b
one
orders
END
t --list --topic 'o.*'
want_out <<END
one
orders
END
t --list --topic 'one, orders,nothing'
want_out <<END
one
orders
END
t --list --topic ' "o(?:ne)" '
want_out <<END
one
END
t --list --topic '[a-c]\.\w'
want_out <<END
a.b
END
t --list --topic '\Qa.b\E|\d+'
want_out <<END
a.b
END
t --list --topic 'order'
want_rc 0
want_out <<END

END
t --list --json
want_json 'd["topics"] == ["a.b", "one", "orders"]'

t --describe --topic orders
want_rc 0
want_no_err
id=$(sed -n 's/.*TopicId: \([A-Za-z0-9_-]*\).*/\1/p' out)
[ ${#id} -eq 22 ] || complain "no topic id"
want_out <<END
Topic: orders${tab}TopicId: $id${tab}PartitionCount: 2${tab}ReplicationFactor: 1${tab}Configs: cleanup.policy=delete,segment.bytes=1048576
${tab}Topic: orders${tab}Partition: 0${tab}Leader: 0${tab}Replicas: 0${tab}Isr: 0${tab}Elr: ${tab}LastKnownElr: 
${tab}Topic: orders${tab}Partition: 1${tab}Leader: 0${tab}Replicas: 0${tab}Isr: 0${tab}Elr: ${tab}LastKnownElr: 
END
t --describe --topic-id "$id"
want_rc 0
want_in_out "Topic: orders${tab}TopicId: $id"
t --describe --topic one
want_match "ReplicationFactor: 1${tab}Configs: \$"
[ "$(wc -l <out)" -eq 4 ] || complain "not three partitions"
t --describe --topics-with-overrides
want_rc 0
[ "$(wc -l <out)" -eq 1 ] || complain "not one topic with overrides"
want_in_out 'Topic: orders'
for none in under-replicated unavailable under-min-isr; do
    t --describe --$none-partitions
    want_rc 0
    want_no_out
done
t --describe --at-min-isr-partitions
[ "$(wc -l <out)" -eq 6 ] || complain "not all partitions"
t --describe --json
want_json '[x["topic"] for x in d] == ["a.b", "one", "orders"]'
want_json 'd[2]["configs"] == {"cleanup.policy": "delete", "segment.bytes": "1048576"}'
want_json 'len(d[1]["partitions"]) == 3'

t --alter --topic orders --partitions 3
want_rc 0
want_no_out
want_no_err
t --alter --topic orders --partitions 3
want_rc 1
want_err 'Error while executing topic command : Topic already has 3 partition(s).'
t --alter --topic orders --partitions 2
want_rc 1
want_err 'The topic orders currently has 3 partition(s); 2 would not be an increase.'
t --alter --topic missing --partitions 2
want_rc 1
want_err "Topic 'missing' does not exist as expected"
t --alter --topic missing --partitions 2 --if-exists
want_rc 0
want_no_err
t --describe --topic missing
want_rc 1
want_err "Topic 'missing' does not exist as expected"

t --delete --topic 'orders|one'
want_rc 0
want_no_out
want_no_err
t --list
want_out <<END
a.b
END
t --delete --topic orders
want_rc 1
want_err "Topic 'orders' does not exist as expected"
t --delete --topic orders --if-exists
want_rc 0
want_no_err
t --create --topic x --config retention.ms=soon
want_rc 1
want_err 'retention.ms'
t --create --topic x --config retention.mss=1
want_rc 1
want_err 'Unknown topic config name: retention.mss (did you mean retention.ms?)'

last='topics --list >/dev/full'
"$KAJA" topics --list --dir "$dir" >/dev/full 2>err
rc=$?
: >out
want_rc 1
want_err 'cannot write to standard output'
finish
