#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja console-consumer: where it starts, where it ends, what it shows.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

consume() { run consume --dir "$dir" --timeout-ms 100 "$@"; }
total() { grep -qx "Processed a total of $1 messages" err || complain "not a total of $1"; }

run topics --dir "$dir" --create --topic nums
seq 1 10 | "$KAJA" produce --dir "$dir" --topic nums 2>err || complain "produce failed"
want_no_err

consume --topic nums --from-beginning --max-messages 3
want_rc 0
printf '1\n2\n3\n' | want_out
total 3
consume --topic nums
want_rc 0
want_no_out
total 0
consume --topic nums --partition 0 --offset 7
printf '8\n9\n10\n' | want_out
consume --topic nums --partition 0 --offset earliest --max-messages 1
printf '1\n' | want_out
consume --topic nums --partition 0 --offset latest
want_no_out
consume --topic nums --partition 0 --from-beginning --max-messages 2
printf '1\n2\n' | want_out
consume --topic nums --consumer-property auto.offset.reset=earliest --max-messages 1
printf '1\n' | want_out
consume --topic nums --partition 4
want_rc 1
want_err 'has no partition 4'
consume --topic nums --from-beginning --max-messages 0
want_rc 0
want_no_out
total 0

# Columns in their order.
now=$(date +%s)
consume --topic nums --from-beginning --max-messages 1 --property print.timestamp=true \
    --property print.partition=true --property print.offset=true --property print.headers=true \
    --property print.key=true --property print.delivery=true
stamp=$(sed -n 's/^CreateTime:\([0-9]*\)[0-9][0-9][0-9]	.*/\1/p' out)
[ -n "$stamp" ] && [ "$stamp" -le "$((now + 2))" ] && [ "$stamp" -ge "$((now - 100))" ] ||
    complain "not the time"
sed 's/CreateTime:[0-9]*/CreateTime:T/' out >out2
mv out2 out
want_out <<END
CreateTime:T${tab}Partition:0${tab}Offset:0${tab}Delivery:NOT_PRESENT${tab}NO_HEADERS${tab}null${tab}1
END
consume --topic nums --from-beginning --max-messages 2 --property print.value=false
want_rc 0
want_no_out
total 2
consume --topic nums --from-beginning --max-messages 2 --property line.separator=';' \
    --property print.offset=true --property key.separator=' '
printf 'Offset:0 1;Offset:1 2;' | want_out
consume --topic nums --from-beginning --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter
want_no_out
total 10
consume --topic nums --from-beginning --max-messages 1 --enable-systest-events
printf '1\nshutdown_complete\n' | want_out

# Deserializers.
run topics --dir "$dir" --create --topic bin
printf '\000\000\000\000\000\000\001\000\nshort\n' | "$KAJA" produce --dir "$dir" --topic bin 2>err
consume --topic bin --from-beginning \
    --value-deserializer org.apache.kafka.common.serialization.LongDeserializer
want_rc 1
printf '256\n' | want_out
want_err 'Size of data received by LongDeserializer is not 8 but 5'
total 1
consume --topic bin --from-beginning --skip-message-on-error --property value.deserializer=Long
want_rc 0
printf '256\n' | want_out
run topics --dir "$dir" --create --topic dbl
printf '?\360\000\000\000\000\000\000\n@\030\314\314\314\314\314\315\n>z\327\362\232\274\257H\n' |
    "$KAJA" produce --dir "$dir" --topic dbl 2>err
consume --topic dbl --from-beginning --value-deserializer DoubleDeserializer
want_rc 0
printf '1.0\n6.2\n1.0E-7\n' | want_out

# What Kafka's UUID.fromString() takes, and what it refuses.
run topics --dir "$dir" --create --topic ids
printf '%s\n' 00112233-4455-6677-8899-AABBCCDDEEFF 1-2-3-4-5 +0f-12345-6-7-0123456789abcdef |
    "$KAJA" produce --dir "$dir" --topic ids 2>err
consume --topic ids --from-beginning \
    --value-deserializer org.apache.kafka.common.serialization.UUIDDeserializer
want_rc 0
want_out <<END
00112233-4455-6677-8899-aabbccddeeff
00000001-0002-0003-0004-000000000005
0000000f-2345-0006-0007-456789abcdef
END
for bad in x 00112233445566778899aabbccddeeff 1-2-3-4 1-2-3-4-5-6 -1-2-3-4-5 1--3-4-5 1-2-3-4- \
    1-2-3-4-x 00112233-4455-6677-8899-aabbccddeeg ffffffffffffffff-1-1-1-1; do
    run topics --dir "$dir" --create --topic "no-$bad"
    printf '%s\n' "$bad" | "$KAJA" produce --dir "$dir" --topic "no-$bad" 2>err
    consume --topic "no-$bad" --from-beginning --value-deserializer UUIDDeserializer
    want_rc 1
    want_no_out
    want_err "Error parsing data into UUID: Invalid UUID string: $bad"
done
echo 00112233-4455-6677-8899-aabbccddeeff0 | "$KAJA" produce --dir "$dir" --topic long 2>err
consume --topic long --from-beginning --value-deserializer UUIDDeserializer
want_rc 1
want_err 'UUID string too large'
consume --topic long --from-beginning --value-deserializer UUIDDeserializer --skip-message-on-error
want_rc 0
want_no_out

# The others: a byte that is no boolean, what is not UTF-8, escaped bytes.
printf '\001\n\000\n\377\n' | "$KAJA" produce --dir "$dir" --topic flags 2>err
consume --topic flags --from-beginning --value-deserializer BooleanDeserializer
want_rc 1
printf 'true\nfalse\n' | want_out
want_err 'Unexpected byte received by BooleanDeserializer: -1'
printf 'a\377b\303\251\n\355\240\200\360\220\200\n\\\001~\n' |
    "$KAJA" produce --dir "$dir" --topic text 2>err
consume --topic text --from-beginning --value-deserializer StringDeserializer
printf 'a\357\277\275b\303\251\n\357\277\275\357\277\275\n\\\001~\n' | want_out
consume --topic text --from-beginning --value-deserializer BytesDeserializer
printf '%s\n' 'a\xFFb\xC3\xA9' '\xED\xA0\x80\xF0\x90\x80' '\x5C\x01~' | want_out
consume --topic text --from-beginning --value-deserializer ByteArrayDeserializer --max-messages 1
printf 'a\377b\303\251\n' | want_out
printf '\000\000\000\000\000\000\000\001\n' | "$KAJA" produce --dir "$dir" --topic least 2>err
consume --topic least --from-beginning --value-deserializer DoubleDeserializer
printf '4.9E-324\n' | want_out

# Several topics and their names by expression.
for t in x1 x2 y1; do
    run topics --dir "$dir" --create --topic $t
    echo "in $t" | "$KAJA" produce --dir "$dir" --topic $t 2>err
done
consume --include 'x.*' --from-beginning
sort -o out out
printf 'in x1\nin x2\n' | want_out
consume --whitelist 'x1,y1' --from-beginning
sort -o out out
printf 'in x1\nin y1\n' | want_out
consume --include nothing --from-beginning
want_rc 0
want_no_out
total 0

# A missing topic is made, unless that is forbidden.
consume --topic fresh
want_rc 0
want_err "WARN topic 'fresh' did not exist (UNKNOWN_TOPIC_OR_PARTITION) and was created"
consume --topic fresher --consumer-property allow.auto.create.topics=false
want_rc 1
want_err "Topic 'fresher' does not exist"

# A reader that goes away is no failure.
last="consume | head -n 1"
seq 1 300000 | "$KAJA" produce --dir "$dir" --topic many --acks 1 2>/dev/null
{ "$KAJA" consume --dir "$dir" --topic many --from-beginning --timeout-ms 5000 2>err; echo $? >rc; } |
    head -n 1 >out
rc=$(cat rc)
want_rc 0
printf '1\n' | want_out
want_err 'Unable to write to standard out, closing consumer.'
grep -q '^Processed a total of' err || complain "no total"

# What could not be written is still the group's, whatever it was that failed.
last="consume --group >/dev/full"
seq 1 3000 | "$KAJA" produce --dir "$dir" --topic lines 2>/dev/null
"$KAJA" consume --dir "$dir" --topic lines --group g --from-beginning --timeout-ms 500 >/dev/full 2>err && rc=0 || rc=$?
want_rc 1
want_err 'cannot write to standard output'
"$KAJA" consume --dir "$dir" --topic lines --group g --from-beginning --timeout-ms 500 >out 2>err
seq 1 3000 | want_out

# Someone else's records come while the consumer waits: both partitions, and one that is new.
run topics --dir "$dir" --create --topic live --partitions 2
"$KAJA" consume --dir "$dir" --topic live --timeout-ms 4000 --max-messages 5 >out 2>err &
pid=$!
sleep 0.5
for p in 0 1; do
    printf 'a%s\nb%s\n' $p $p | "$KAJA" produce --dir "$dir" --topic live --partition $p 2>/dev/null
done
"$KAJA" topics --dir "$dir" --alter --topic live --partitions 3 2>/dev/null
echo new | "$KAJA" produce --dir "$dir" --topic live --partition 2 2>/dev/null
wait $pid
rc=$?
last="consume while others produce"
want_rc 0
sort -o out out
printf 'a0\na1\nb0\nb1\nnew\n' | want_out
finish
