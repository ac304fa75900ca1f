#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja export into the directory of a stopped broker, made here by hand.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

broker=$tmp/broker
partition() { # partition NAME: as a broker makes it for a new topic
    mkdir -p "$broker/$1"
    printf 'version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw' >"$broker/$1/partition.metadata"
    printf '0\n1\n0 0\n' >"$broker/$1/leader-epoch-checkpoint"
    for end in log index timeindex; do
        : >"$broker/$1/00000000000000000000.$end"
    done
}
e() { run export --dir "$dir" --to-kafka "$broker" "$@"; }

ok topics --dir "$dir" --create --topic orders --partitions 2 --config segment.bytes=1000
ok topics --dir "$dir" --create --topic users
for i in 1 2 3 4 5; do
    seq "$i" 100 | "$KAJA" produce --dir "$dir" --topic orders --partition 1 2>err
done
printf 'a\nb\n' | "$KAJA" produce --dir "$dir" --topic users 2>err
records=$(seq 1 5 | while read -r i; do seq "$i" 100; done | wc -l)
before=$(cd "$dir" && find . -type f | sort | xargs cksum)

e
want_rc 1
want_one_error_line
want_err "there is no directory at $broker"
mkdir "$broker"
e
want_rc 1
want_err 'has no meta.properties'
printf '#\n#\nnode.id=1\nversion=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\n' >"$broker/meta.properties"
partition orders-0
e --topic orders
want_rc 1
want_one_error_line
want_err 'kafka-topics --create --partitions 2'
partition orders-1
e
want_rc 1
want_err 'kafka-topics --create --topic users --partitions 1'
want_no_out

e --topic orders
want_rc 0
want_no_err
segments=$(find "$dir/orders-1" -name '*.log' | wc -l)
bytes=$(cat "$dir"/orders-1/*.log | wc -c)
[ "$segments" -gt 1 ] || complain "one segment only"
sed 's/reflinked$/copied/' out >out.same && mv out.same out
want_out <<END
exported orders-0: no records, 1 segments, 0 bytes, copied
exported orders-1: records 0..$((records - 1)), $segments segments, $bytes bytes, copied
END
for f in "$dir"/orders-?/0*.log "$dir"/orders-?/0*index; do
    cmp "$f" "$broker/${f#"$dir"/}" || complain "not the same: $f"
done
printf '0\n1\n0 0\n' | cmp - "$broker/orders-1/leader-epoch-checkpoint" || complain "epochs"
grep -q AAECAwQFBgcICQoLDA0ODw "$broker/orders-1/partition.metadata" || complain "topic id"
grep -qx "orders 1 $records" "$broker/recovery-point-offset-checkpoint" || complain "recovery point"
[ -z "$(find "$broker" -name 'kaja.*' -o -name '*-delete' -o -name .lock)" ] ||
    complain "something is left over"
[ "$(cd "$dir" && find . -type f | sort | xargs cksum)" = "$before" ] || complain "the source changed"

# It may be repeated; what is there already is said.
partition users-0
e --json
want_rc 0
want_json '[p["topic"] for p in d["partitions"]] == ["orders", "orders", "users"]'
want_json 'd["partitions"][1]["how"] == "there already" and d["partitions"][2]["endOffset"] == 2'
want_json 'd["bytes"] == sum(p["bytes"] for p in d["partitions"]) and d["offsets"] == 0'
# Other records are not overwritten.
printf 'c\n' | "$KAJA" produce --dir "$dir" --topic users 2>err
e --topic users
want_rc 1
want_one_error_line
want_err 'users-0'
want_err 'already holds records'
e --topic users --json
want_rc 1
want_json 'd["error"] == "CONFLICT"'

# Somebody at work.
mkfifo pipe
"$KAJA" produce --dir "$dir" --topic users <pipe >out 2>err &
writer=$!
exec 3>pipe
echo d >&3
until run get-offsets --dir "$dir" --topic users && grep -qx users:0:4 out; do sleep 0.05; done
e
want_rc 1
want_err 'open for writing'
exec 3>&-
wait "$writer"

run export --dir "$dir"
want_rc 2
want_err 'Missing required argument "[to-kafka]"'
e --topic nothing
want_rc 1
want_err 'there is no topic nothing'
run export --dir "$dir" --to-kafka "$dir"
want_rc 1
want_err 'one is the other'
finish
