#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The two performance tests: the shape of their lines, not their figures.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

p() { run producer-perf-test --dir "$dir" --throughput -1 "$@"; }
c() { run consumer-perf-test --dir "$dir" --timeout 500 "$@"; }
n='[0-9]+(\.[0-9]+)?'
final="^20000 records sent, [0-9]+\.[0-9]{6} records/sec \([0-9]+\.[0-9]{2} MB/sec\), [0-9]+\.[0-9]{2} ms avg latency, [0-9]+\.[0-9]{2} ms max latency, [0-9]+ ms 50th, [0-9]+ ms 95th, [0-9]+ ms 99th, [0-9]+ ms 99\.9th\.\$"
us='^latency in us: [0-9]+\.[0-9] avg, [0-9]+ max, [0-9]+ 50th, [0-9]+ 95th, [0-9]+ 99th, [0-9]+ 99\.9th$'

p --topic perf --num-records 20000 --record-size 100 --acks 1
want_rc 0
want_match "$final"
want_match "$us"
tail -n 1 out | grep -qE "$final" || complain "Kafka's line is not the last"
p --topic perf --num-records 20000 --record-size 100 --acks all --threads 3 --producer-props acks=1 linger.ms=1 \
    --print-metrics
want_rc 0
tail -n 1 out | grep -qE "$final" || complain "Kafka's line is not the last"
want_match '^Metric Name +Value$'
want_match '^kaja:[a-z._]+:\{\} +: [0-9]+\.[0-9]{3}$'
run get-offsets --dir "$dir" --topic perf
printf 'perf:0:40000\n' | want_out
run consume --dir "$dir" --topic perf --from-beginning --max-messages 1
want_match '^[A-Z]{100}$'

p --topic mono --num-records 5 --payload-monotonic --acks 1
want_rc 0
run consume --dir "$dir" --topic mono --from-beginning --timeout-ms 200
printf '0\n1\n2\n3\n4\n' | want_out
printf 'red;green' >payloads
p --topic file --num-records 50 --payload-file payloads --payload-delimiter ';' --acks 1
want_rc 0
want_in_out 'Reading payloads from: payloads'
want_in_out 'Number of records read: 2'
run consume --dir "$dir" --topic file --from-beginning --timeout-ms 200
sort -u out >out2
mv out2 out
printf 'green\nred\n' | want_out
p --topic warm --num-records 1000 --warmup-records 400 --record-size 10 --acks 1
want_match '^Warmup first 400 records\. Steady state results will print after the complete test summary\.$'
want_match '^600 steady state records sent, '
start=$(date +%s%N)
run producer-perf-test --dir "$dir" --topic slow --num-records 300 --record-size 10 --throughput 500 --acks 1 \
    --reporting-interval 200
took=$((($(date +%s%N) - start) / 1000000))
[ $took -ge 500 ] && [ $took -le 3000 ] || complain "300 records at 500/s took $took ms"
want_match '^[0-9]+ records sent, [0-9]+\.[0-9] records/sec \([0-9]+\.[0-9]{2} MB/sec\), [0-9]+\.[0-9] ms avg latency, [0-9]+\.[0-9] ms max latency\.$'
p --topic perf --num-records 1000 --record-size 10 --json
want_json 'd["records"] == 1000 and d["failed"] == 0 and d["bytes"] == 10000 and d["p50Us"] <= d["p999Us"]'
p --topic perf --num-records 10 --record-size 10 --transactional-id x
want_rc 1
want_err 'UNSUPPORTED_FEATURE'

date='[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}:[0-9]{3}'
c --topic perf --num-records 41000
want_rc 0
want_no_err
[ "$(head -n 1 out)" = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec" ] ||
    complain "other header"
want_match "^$date, $date, 3\.8242, $n, 41000, $n, 0, [0-9]+, $n, $n\$"
c --include 'per.' --messages 50000 --hide-header
want_rc 0
want_match '^WARNING: Exiting before consuming the expected number of records: timeout \(500 ms\) exceeded\.'
[ "$(wc -l <out)" -eq 2 ] || complain "not two lines"
c --topic perf --num-records 1000 --show-detailed-stats --date-format 'yy/MM/dd'
want_match '^time, threadId, data\.consumed\.in\.MB'
want_match "^[0-9]{2}/[0-9]{2}/[0-9]{2}, 0, $n, $n, [0-9]+, $n, 0, [0-9]+, $n, $n\$"
c --topic perf --num-records 100 --json
want_json 'd["records"] >= 100'
# In a group: the first takes all and commits, the next finds nothing left, another group all again.
c --topic perf --num-records 41000 --group one --hide-header
want_rc 0
want_match "^$date, $date, $n, $n, 41000, $n, [0-9]+, [0-9]+, $n, $n\$"
c --topic perf --num-records 1 --group one --hide-header
want_rc 0
want_match 'WARNING: Exiting before consuming the expected number of records'
want_match "^$date, $date, 0.0000, 0.0000, 0, 0.0000, [0-9]+, [0-9]+, 0.0000, 0.0000\$"
c --include 'per.' --num-records 41000 --command-property group.id=two --show-detailed-stats
want_rc 0
want_match "^$date, 0, $n, $n, 41000, $n, [0-9]+, [0-9]+, $n, $n\$"
run consumer-groups --dir "$dir" --describe --group two
want_match '^two +perf +0 +41000 +41000 +0 '
c --topic nothing --num-records 1
want_rc 1
finish
