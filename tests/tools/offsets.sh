#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja get-offsets, delete-records, log-dirs and verify.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

g() { run get-offsets --dir "$dir" "$@"; }
lines() { for _ in $(seq "$1"); do echo line; done; }

run topics --dir "$dir" --create --topic orders --partitions 12
run topics --dir "$dir" --create --topic users
for p in 0 2 10; do
    lines 3 | "$KAJA" produce --dir "$dir" --topic orders --partition $p 2>err
done
lines 5 | "$KAJA" produce --dir "$dir" --topic users 2>err

g --topic orders --partitions 0,1,2,10
want_rc 0
want_no_err
want_out <<END
orders:0:3
orders:1:0
orders:10:3
orders:2:3
END
g --topic-partitions 'users,orders:0,orders:9-11'
want_out <<END
orders:0:3
orders:10:3
orders:9:0
users:0:5
END
g --topic-partitions 'orders:-2,u.*:0-'
want_out <<END
orders:0:3
orders:1:0
users:0:5
END
g --topic 'us.*'
want_out <<END
users:0:5
END
g --topic users --time -2
printf 'users:0:0\n' | want_out
g --topic users --time earliest
printf 'users:0:0\n' | want_out
g --topic users --time earliest-local
printf 'users:0:0\n' | want_out
g --topic users --time 0
printf 'users:0:0\n' | want_out
g --topic users --time 99999999999999
want_rc 0
want_no_out
g --topic users --time latest-tiered
want_rc 0
want_no_out
g --topic users --time max-timestamp
want_match '^users:0:[0-4]$'
g --topic-partitions orders:1 --time -3
want_no_out
g --topic users --json
want_json 'd == [{"topic": "users", "partition": 0, "offset": 5}]'
g --topic nothing
want_rc 1
want_no_out
want_err 'Error occurred: Could not match any topic-partitions with the specified filters'
g --topic users --partitions 7
want_rc 1

# By time: the first record that is not older.
run consume --dir "$dir" --topic users --from-beginning --max-messages 1 --json
stamp=$(sed -n 's/.*"timestamp":\([0-9]*\).*/\1/p' out)
g --topic users --time "$stamp"
printf 'users:0:0\n' | want_out

d() { run delete-records --dir "$dir" --offset-json-file file.json; }
cat >file.json <<'END'
{"partitions": [{"topic": "users", "partition": 0, "offset": 2},
                {"topic": "orders", "partition": 0, "offset": -1}], "version": 1}
END
d
want_rc 0
want_no_err
want_out <<END
Executing records delete operation
Records delete operation completed:
partition: users-0${tab}low_watermark: 2
partition: orders-0${tab}low_watermark: 3
END
g --topic users --time -2
printf 'users:0:2\n' | want_out
run consume --dir "$dir" --topic users --from-beginning --timeout-ms 200 --property print.offset=true
printf 'Offset:2\tline\nOffset:3\tline\nOffset:4\tline\n' | want_out
echo '{"partitions":[{"topic":"orders","partition":99,"offset":1},{"topic":"users","partition":0,"offset":9}]}' >file.json
d
want_rc 1
want_out <<END
Executing records delete operation
Records delete operation completed:
partition: orders-99${tab}error: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server does not host this topic-partition.
partition: users-0${tab}error: org.apache.kafka.common.errors.OffsetOutOfRangeException: The requested offset is not within the range of offsets maintained by the server.
END
echo '{"partitions":[{"topic":"orders","partition":0,"offset":1},{"topic":"orders","partition":0,"offset":2}]}' >file.json
d
want_rc 1
want_no_out
want_err 'Offset json file contains duplicate topic partitions: orders-0'
for wrong in '{' '[]' '{"partitions":[{"topic":"a"}]}' '{"partitions":[],"version":2}' \
    '{"partitions":[{"topic":"a","partition":0,"offset":1.5}]}' '{"partitions":[]} x' \
    '{"partitions":[{"topic":"a\u0000b","partition":0,"offset":1}]}' \
    '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]'; do
    echo "$wrong" >file.json
    d
    want_rc 1
    want_no_out
    want_one_error_line
done

l() { run log-dirs --dir "$dir" --describe "$@"; }
l --topic-list users
want_rc 0
want_no_err
size=$(sed -n 's/.*"size":\([0-9]*\),.*/\1/p' out)
[ "${size:-0}" -gt 60 ] || complain "no size"
real=$(cd "$dir" && pwd -P)
want_out <<END
Querying brokers for log directories information
Received log directory information from brokers 0
{"brokers":[{"broker":0,"logDirs":[{"partitions":[{"partition":"users-0","size":$size,"offsetLag":0,"isFuture":false}],"error":null,"logDir":"$real"}]}],"version":1}
END
[ "$(cat "$dir"/users-0/*.log | wc -c)" -eq "$size" ] || complain "not the size of the .log"
l --json
want_json 'len(d["brokers"][0]["logDirs"][0]["partitions"]) == 13'
l --broker-list 0,5
want_rc 1
want_err 'ERROR: The given brokers do not exist from --broker-list: 5. Current existent brokers: 0'
run log-dirs --dir "$dir" --metrics
want_rc 0
want_match '^METRIC +VALUE +UNIT +MEANING$'
want_match 'go through: (io_uring|posix)$'
run log-dirs --dir "$dir" --metrics --json
want_json 'len(d["metrics"]) > 3 and d["backend"] in ("io_uring", "posix")'

v() { run verify --dir "$dir" "$@"; }
v
want_rc 0
want_no_err
want_match '^sound: 13 partitions, '
v --json
want_json 'd["sound"] is True and d["partitions"] == 13 and d["findings"] == []'
v --topic users
want_match '^sound: 1 partitions, '
v --topic nothing
want_rc 1
# One bit changed inside the first batch of a closed log.
file=$(ls "$dir"/users-0/*.log | head -n 1)
cp "$file" whole.log
printf '\377' | dd of="$file" bs=1 seek=65 conv=notrunc 2>/dev/null
v
want_rc 1
want_match '^damage: users-0 users-0/0+[0-9]*\.log .*position 0'
want_match '^damaged: 13 partitions'
v --json
want_json 'd["sound"] is False and d["findings"][0]["kind"] == "damage"'
cp whole.log "$file"
v
want_rc 0
finish
