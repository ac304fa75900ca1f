#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What goes into produce comes out of consume: any bytes but the end of a line.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

produce() { run produce --dir "$dir" "$@"; }
consume() { run consume --dir "$dir" --from-beginning --timeout-ms 100 "$@"; }
n=0
there_and_back() { # there_and_back FILE [PRODUCER-OPTIONS]: through a topic of its own
    file=$1
    shift
    n=$((n + 1))
    run topics --dir "$dir" --create --topic "t$n"
    want_rc 0
    produce --topic "t$n" "$@" <"$file"
    want_rc 0
    want_no_out
    want_no_err
    consume --topic "t$n"
    want_rc 0
}

printf 'one\ntwo\nthree\n' >text
there_and_back text
want_out <text
grep -qx 'Processed a total of 3 messages' err || complain "no total"
want_one_error_line

printf 'no end' >text
there_and_back text
printf 'no end\n' | want_out

printf '\n\n x \n\n' >text
there_and_back text
want_out <text
grep -qx 'Processed a total of 4 messages' err || complain "empty lines are records"

: >text
there_and_back text
want_no_out
grep -qx 'Processed a total of 0 messages' err || complain "no total"

printf 'a\r\nb\rc\n\r\r\nd\r' >text
there_and_back text
printf 'a\nb\rc\n\r\nd\r\n' | want_out

# All bytes but LF, in lines of different lengths.
awk 'BEGIN { for (i = 0; i < 4096; i++) { c = (i * 7 + int(i / 256)) % 256
    printf "%c", c == 10 ? 11 : c; if (i % 97 == 0) printf "x\n" } printf "x\n" }' >text
there_and_back text
want_out <text

# Longer than any buffer along the way, and more than one block.
awk 'BEGIN { for (i = 0; i < 300; i++) { s = sprintf("%d ", i); while (length(s) < i * 37) s = s s
    print s } s = "y"; while (length(s) < 700000) s = s s; print substr(s, 1, 700001); print "end" }' >text
there_and_back text
want_out <text

seq 1 200000 >text
there_and_back text --acks 1
want_out <text
for codec in $KJ_CODECS; do
    there_and_back text --compression-codec $codec --acks 1
    want_out <text
done
head -n 300 text >few
there_and_back few --acks 0
want_out <few
there_and_back few --sync --acks 1
want_out <few
there_and_back few --batch-size 64 --timeout 1
want_out <few

# A line that is too long is left out and said; the others go through.
{ echo before; head -c 3000000 /dev/zero | tr '\0' z; echo; echo after; } >text
produce --topic long <text
want_rc 1
want_err 'RECORD_TOO_LARGE'
consume --topic long
printf 'before\nafter\n' | want_out

# Keys, headers, null markers.
produce --topic keys --property parse.key=true --property parse.headers=true \
    --property key.separator='|' --property headers.delimiter='^' --reader-property null.marker=NUL <<END
h1:v1,h2:v2^k1|value one
NUL^NUL|no key
a:NUL^k2|NUL
e:^|
x:y:z^k|with|bars
END
want_rc 0
want_err "WARN topic 'keys' did not exist (UNKNOWN_TOPIC_OR_PARTITION) and was created"
consume --topic keys --property print.key=true --property print.headers=true \
    --property key.separator='|' --formatter-property null.literal='<none>'
want_out <<END
h1:v1,h2:v2|k1|value one
NO_HEADERS|<none>|no key
a:<none>|k2|<none>
e:||
x:y:z|k|with|bars
END
consume --topic keys --json --max-messages 3
if command -v python3 >/dev/null 2>&1; then
    python3 - <<'END' || complain "not the JSON expected"
import json
rows = [json.loads(line) for line in open("out")]
assert [r["key"] for r in rows] == ["k1", None, "k2"]
assert rows[0]["headers"] == [{"key": "h1", "value": "v1"}, {"key": "h2", "value": "v2"}]
assert rows[2]["value"] is None and rows[2]["headers"][0]["value"] is None
assert [r["offset"] for r in rows] == [0, 1, 2]
END
fi
printf '\377\376\n' | "$KAJA" produce --dir "$dir" --topic raw 2>/dev/null
consume --topic raw --json
want_json 'd["value_base64"] == "//4="'

# What cannot be taken apart stops the reading; what came before it is sent.
printf 'a:1\nb:2\nc\nd:4\n' >text
produce --topic parts --property parse.key=true --property key.separator=: <text
want_rc 1
want_err "No key separator found on line number 3: 'c'"
consume --topic parts --property print.key=true --property key.separator=:
printf 'a:1\nb:2\n' | want_out
produce --topic parts2 --property parse.key=true --property key.separator=: --property ignore.error=TRUE <text
want_rc 0
consume --topic parts2 --property print.key=true --property key.separator=:
printf 'a:1\nb:2\nnull:c\nd:4\n' | want_out
echo 'x	v' | "$KAJA" produce --dir "$dir" --topic parts --property parse.headers=true >out 2>err
rc=$?
want_rc 1
want_err "No header key separator found in pair 'x' on line number 1"
echo 'v' | "$KAJA" produce --dir "$dir" --topic parts --property parse.headers=true >out 2>err
want_err "No headers delimiter found on line number 1: 'v'"

# Reader properties and producer properties from files; the line wins.
printf 'parse.key = true\nkey.separator=\\t\n# a comment\n' >reader.props
printf 'acks=1\nbootstrap.servers=localhost:9092\nsome.unknown=1\n' >producer.props
printf 'k\tv\n' | "$KAJA" produce --dir "$dir" --topic files --reader-config reader.props \
    --producer.config producer.props --producer-property linger.ms=1 >out 2>err
rc=$?
want_rc 0
want_err "unknown property 'some.unknown' is ignored"
consume --topic files --property print.key=true
printf 'k\tv\n' | want_out

# A partition of one's own choice, and one that is not there.
run topics --dir "$dir" --create --topic three --partitions 3
echo hello | "$KAJA" produce --dir "$dir" --topic three --partition 2 >out 2>err
rc=$?
want_rc 0
consume --topic three --partition 2 --property print.partition=true
printf 'Partition:2\thello\n' | want_out
echo hello | "$KAJA" produce --dir "$dir" --topic three --partition 3 >out 2>err
rc=$?
want_rc 1
want_err 'UNKNOWN_PARTITION'

# Why a record was not taken is said, also when the answer comes later.
run topics --dir "$dir" --create --topic narrow --config max.message.bytes=100
head -c 300 /dev/zero | tr '\0' x | "$KAJA" produce --dir "$dir" --topic narrow >out 2>err
rc=$?
want_rc 1
want_err 'max.message.bytes=100 of topic narrow'
want_err '1 of 1 records were not sent'
"$KAJA" produce --dir "$dir" --topic narrow <"$tmp" >out 2>err
rc=$?
want_rc 1
want_one_error_line
want_err 'cannot read standard input'

# Keys choose as in Kafka: (murmur2(key) & 0x7fffffff) % 50 with murmur2("foobar") = -790332482,
# "21" -973932308, "abc" 479470107, "" 275646681, "a-little-bit-long-string" -985981536.
run topics --dir "$dir" --create --topic hashed --partitions 50
printf 'foobar:1\n21:2\nabc:3\n:4\na-little-bit-long-string:5\n' |
    "$KAJA" produce --dir "$dir" --topic hashed --property parse.key=true --property key.separator=: \
        >out 2>err
consume --topic hashed --property print.partition=true --property key.separator=' '
sort -o out out
want_out <<END
Partition:12 5
Partition:16 1
Partition:31 4
Partition:40 2
Partition:7 3
END
finish
