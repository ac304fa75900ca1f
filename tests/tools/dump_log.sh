#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja dump-log on files that Apache Kafka and kafkajs wrote. What is expected comes from the text of
# an independent decoder that lies beside them, not from this program.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

case $top_srcdir in /*) ;; *) top_srcdir=$(cd "$OLDPWD/$top_srcdir" && pwd) ;; esac
golden=$top_srcdir/tests/golden/kafka
expect() { # expect DECODED-TEXT [awk variables...]
    text=$1
    shift
    awk "$@" -f "$top_srcdir/tests/tools/decoded_to_dump.awk" "$text"
}
joined() { ls "$@" | tr '\n' ',' | sed 's/,$//'; }

# Whole partition directories: all their logs, indexes and snapshots.
for name in events compact-r0 compact-r1 compact-r2 compact-r3 compact-r4 compact-r5 recover-after; do
    part=$golden/logs/$name
    for suffix in log index timeindex txnindex snapshot; do
        ls "$part"/*.$suffix >/dev/null 2>&1 || continue
        run dump-log --files "$(joined "$part"/*.$suffix)"
        want_rc 0
        # The decoder sorts the entries of snapshots, whose order means nothing.
        if [ $suffix = snapshot ]; then
            expect "$part.txt" -v dir="$part/" -v only=.$suffix | want_sorted
            continue
        fi
        # Files that hold nothing: an empty .index is said to be empty.
        expect "$part.txt" -v dir="$part/" -v only=.$suffix |
            awk -v suffix=$suffix '{ if (suffix == "index" && /^Dumping/) { if (name != "") print name " is empty."
                    name = $2 } else name = ""; print }
                END { if (suffix == "index" && name != "") print name " is empty." }' | want_out
    done
    run dump-log --deep-iteration --files "$(joined "$part"/*.log)"
    want_rc 0
    expect "$part.txt" -v dir="$part/" -v only=.log -v deep=1 | want_out
    run dump-log --print-data-log --files "$(joined "$part"/*.log)"
    want_rc 0
    expect "$part.txt" -v dir="$part/" -v only=.log -v deep=1 -v print_data=1 | want_out
    # Kafka's indexes agree with Kafka's logs.
    run dump-log --verify-index-only --files "$(joined "$part"/*.*index)"
    want_rc 0
    want_no_err
done

# Single batches of every kind, codecs included, as a segment each.
for bin in "$golden"/batches/*.bin; do
    name=$(basename "$bin" .bin)
    # Contents that are not one line of text cannot be compared line by line.
    case $name in j0[123]* | k02* | k2[456]*) data= ;; *) data=1 ;; esac
    codec=$(echo "$name" | grep -oE 'gzip|snappy|lz4|zstd')
    [ -z "$codec" ] || has_codec "$codec" || data=
    mkdir -p "$name"
    cp "$bin" "$name/00000000000000000000.log"
    run dump-log --files "$name/00000000000000000000.log"
    want_rc 0
    expect "${bin%.bin}.txt" -v dir="$name/" -v single=00000000000000000000.log | want_out
    if grep -q '^record ' "${bin%.bin}.txt" && [ -n "$data" ]; then
        run dump-log --print-data-log --files "$name/00000000000000000000.log"
        want_rc 0
        expect "${bin%.bin}.txt" -v dir="$name/" -v single=00000000000000000000.log -v deep=1 \
            -v print_data=1 | want_out
    fi
done

part=$golden/logs/events
seg=$part/00000000000000000000
run dump-log --files "$seg.log" --print-data-log --skip-record-metadata
want_in_out '| key: k1 payload: value-1'
run dump-log --files "$seg.log" --print-data-log --max-bytes 300
[ "$(grep -c '^baseOffset' out)" -eq 2 ] || complain "not the two batches within 300 bytes"
run dump-log --files "$seg.log" --key-decoder-class kafka.serializer.StringDecoder
want_in_out ' key: k0 payload: value-0-xxx'
run dump-log --files "$seg.log,${part}/00000000000000000030.log" --json --print-data-log
want_json 'len(d["files"]) == 2 and d["files"][1]["startingOffset"] == 30'
want_json 'd["files"][0]["batches"][0]["records"][1]["payload"] == "value-1"'
want_json 'd["files"][1]["batches"][1]["records"][0]["controlType"] == "ABORT"'
run dump-log --files "$(joined "$part"/*.*index "$part"/*.snapshot)" --json
want_json 'd["mismatches"] == [] and len(d["files"]) == 7'
run dump-log --index-sanity-check --files "$seg.index"
want_out <<END
Dumping $seg.index
$seg.index passed sanity check.
END
: >x.foo
run dump-log --files x.foo
want_rc 0
want_err 'Ignoring unknown file x.foo'
run dump-log --files nowhere/00000000000000000000.log
want_rc 1
want_one_error_line

# Files that are wrong: a changed byte, a cut end, indexes that lie.
mkdir wrong
cp "$seg".* wrong/
w=wrong/00000000000000000000
printf 'Z' | dd of=$w.log bs=1 seek=100 conv=notrunc 2>/dev/null
run dump-log --files $w.log
[ "$(grep -c 'isvalid: false' out)" -eq 1 ] || complain "not one invalid batch"
head -c 1950 "$seg.log" >$w.log
run dump-log --files $w.log
want_rc 0
want_in_out 'invalid bytes at the end of 00000000000000000000.log'
cp "$seg.log" $w.log
# The second entry's position points to the batch before the one it names; offset 13 is at 808.
printf '\000\000\002\236' | dd of=$w.index bs=1 seek=12 conv=notrunc 2>/dev/null
run dump-log --files $w.index
want_rc 0
want_err "Mismatches in :$w.index"
want_err '  Index offset: 13, log offset: 11'
# Time index: the first entry's timestamp one up, the second one's offset inside a batch, the third below
# the second.
printf '\152' | dd of=$w.timeindex bs=1 seek=7 conv=notrunc 2>/dev/null
printf '\014' | dd of=$w.timeindex bs=1 seek=23 conv=notrunc 2>/dev/null
printf '\000' | dd of=$w.timeindex bs=1 seek=31 conv=notrunc 2>/dev/null
run dump-log --verify-index-only --files $w.timeindex
want_rc 0
grep -q '^timestamp' out && complain "entries were printed"
want_err "Found timestamp mismatch in :$w.timeindex"
want_err "Found out of order timestamp in :$w.timeindex"
want_err "The following indexed offsets are not found in :$w.timeindex"
want_err 'Indexed offset: 12, found log offset: 13'
run dump-log --deep-iteration --files "$golden/logs/compact-r5/00000000000000000000.log"
want_err "Non-consecutive offsets in $golden/logs/compact-r5/00000000000000000000.log"
want_err '  5 is followed by 10'

# Every byte of a batch has a name: the positions of the fields are without gaps.
run dump-log --annotate --files "$seg.log"
want_rc 0
for field in baseOffset batchLength partitionLeaderEpoch magic crc attributes lastOffsetDelta baseTimestamp \
    maxTimestamp producerId producerEpoch baseSequence recordCount timestampDelta keyLength headerCount; do
    want_in_out " $field "
done
awk '/^ *[0-9]+  ([0-9a-f][0-9a-f] ?)+/ { if ($1 != next_pos) { print "gap at", $1; exit 1 }
        for (i = 2; i <= NF && $i ~ /^[0-9a-f][0-9a-f]$/; i++) next_pos++ }
    END { if (next_pos != 1978) { print "ends at", next_pos; exit 1 } }' out >gaps ||
    complain "$(cat gaps)"
mkdir -p zipped
cp "$golden/batches/k20_gzip.bin" zipped/00000000000000000000.log
run dump-log --annotate --files zipped/00000000000000000000.log
want_in_out 'compressed with gzip'
if has_codec gzip; then
    want_in_out '| offset: 19 '
else
    want_err UNSUPPORTED_COMPRESSION_TYPE
fi

# Records of coordinators' topics: the keys and values of messages.txt, put into a segment here.
if command -v python3 >/dev/null 2>&1; then
    mkdir -p coord
    python3 - "$golden/messages.txt" coord/00000000000000000000.log <<'END'
import struct, sys
rows = dict(l.rstrip("\n").split(" | ", 1) for l in open(sys.argv[1]) if " | " in l)
def raw(name): return bytes.fromhex(rows[name])
commit, group, txn = raw("key offset-commit g1/events/3"), raw("key group g1"), raw("txn key my-txn")
pairs = [(commit, raw(n)) for n in rows if n.startswith("offset value")]
pairs += [(commit, None)]
pairs += [(group, raw(n)) for n in rows if n.startswith("group value")]
pairs += [(group, None), (b"\0\x63xx", b"yy"), (commit, b"\0\x03\0"), (commit[:-1], b"\0"), (None, b"x")]
pairs += [(txn, raw(n)) for n in rows if n.startswith("txn value")]

def varint(n):
    n, out = (n << 1) ^ (n >> 63), b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
def sized(b): return varint(-1) if b is None else varint(len(b)) + b
def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    return c ^ 0xFFFFFFFF
body = b""
for i, (k, v) in enumerate(pairs):
    r = b"\0" + varint(0) + varint(i) + sized(k) + sized(v) + varint(0)
    body += varint(len(r)) + r
n = len(pairs)
tail = struct.pack(">hiqqqhii", 0, n - 1, 1700000000000, 1700000000000, -1, -1, -1, n) + body
open(sys.argv[2], "wb").write(struct.pack(">qiibI", 0, len(tail) + 9, 0, 2, crc32c(tail)) + tail)
END
    run dump-log --offsets-decoder --files coord/00000000000000000000.log
    want_rc 0
    want_in_out 'isvalid: true'
    count=$(sed -n 's/^baseOffset.* count: \([0-9]*\) .*/\1/p' out)
    [ "$(grep -c '^| offset' out)" -eq "$count" ] || complain "not all records"
    key='key: {"type":"1","data":{"group":"g1","topic":"events","partition":3}} payload: '
    want_in_out "$key"'{"version":"0","data":{"offset":1234,"metadata":"meta","commitTimestamp":1700000000000}}'
    want_in_out "$key"'{"version":"1","data":{"offset":1234,"metadata":"meta","commitTimestamp":1700000000000,"expireTimestamp":1700000005000}}'
    want_in_out "$key"'{"version":"3","data":{"offset":1234,"leaderEpoch":5,"metadata":"meta","commitTimestamp":1700000000000}}'
    want_in_out "$key"'{"version":"4","data":{"offset":1234,"leaderEpoch":5,"metadata":"meta","commitTimestamp":1700000000000}}'
    want_in_out '"metadata":"","commitTimestamp":1700000000000,"topicId":"ASNFZ4mrze8RIjNEVWZ3iA"}}'
    want_in_out "$key<DELETE>"
    want_in_out 'key: {"type":"2","data":{"group":"g1"}} payload: <DELETE>'
    want_in_out 'payload: {"version":"3","data":{"protocolType":"consumer","generation":'
    want_in_out 'payload: {"version":"4","data":{"protocolType":"consumer","generation":'
    want_match '"subscription":\{"topics":\["events","orders"\],"userData":null'
    want_match '"assignment":\{"assignedPartitions":\[\{"topic":"events","partitions":\[[0-9,]+\]\}\]'
    want_in_out 'key: Unknown record type 99 at offset'
    [ "$(grep -c ' key: Error at offset [0-9]*, skipping\.' out)" -ge 3 ] || complain "bad records"
    run dump-log --offsets-decoder --json --files coord/00000000000000000000.log
    want_json 'd["files"][0]["batches"][0]["records"][0]["key"]["data"]["group"] == "g1"'
    run dump-log --transaction-log-decoder --files coord/00000000000000000000.log
    want_in_out 'key: {"type":"0","data":{"transactionalId":"my-txn"}} payload: {"version":"0","data":{"producerId":'
    want_in_out 'payload: {"version":"1","data":{"producerId":'
    want_in_out '"transactionPartitions":[{"topic":'
fi
finish
