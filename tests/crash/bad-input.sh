#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What bad input gets: one clear line, exit 1 or 2, and nothing that was valid is lost or changed.
# (Full disks, permissions and mounts: tests/crash/run-mounts.)
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"
command -v python3 >/dev/null 2>&1 || { echo "SKIP: no python3"; exit 77; }
craft=$top_srcdir/tests/crash/craft.py
back=${KJ_TEST_BACKEND:+--consumer-property kaja.io.backend=$KJ_TEST_BACKEND}

refused() { # refused TEXT ARGUMENTS...: exit 1 or 2, one line (and a hint), which has the text
    text=$1
    shift
    run "$@" </dev/null
    [ "$rc" = 1 ] || [ "$rc" = 2 ] || complain "exit status $rc"
    want_no_out
    want_err "$text"
    [ "$(grep -vc '^Try ' err)" -eq 1 ] || complain "not one line on stderr"
}
# One line for what is wrong; the producer then counts what was not sent.
want_one_reason() {
    [ "$(grep -vcE 'were not sent$|^Processed a total' err)" -eq 1 ] || complain "not one reason on stderr"
}
state() { # what stands in a directory, but for scratch
    (cd "$1" && find . ! -name kaja.control ! -name kaja.lock ! -name .lock | sort |
        while read -r f; do
            if [ -h "$f" ]; then echo "$f -> $(readlink "$f")"; elif [ -f "$f" ]; then sha256sum "$f"; else echo "$f"; fi
        done)
}
logs_state() { (cd "$1" && find . -name '*.log' -exec sha256sum {} + | sort -k 2); }
unchanged() { # unchanged DIR: as when `state DIR >before` ran
    state "$1" >after
    cmp -s before after || { complain "files have changed"; diff before after | head -n 5; }
}
read_all() { # read_all DIR: all lines of topic t
    # shellcheck disable=SC2086
    run consume --dir "$1" --topic t --from-beginning --timeout-ms 60 $back
}

# A sound directory of several segments.
seq -f 'line %g of what is sound' 1 400 >lines
ok topics --dir sound --create --topic t --config segment.bytes=4000 --config index.interval.bytes=200
send_lines() { run produce --dir "$1" --topic t --batch-size 250 <lines; }
send_lines sound
want_rc 0
read_all sound
want_rc 0
want_out <lines

# Names.
for name in '' . .. a/b ../outside 'a b' a:b 'ä' /etc "$(printf 'n%.0s' $(seq 1 250))"; do
    last="name '$name'"
    run topics --dir sound --create --topic "$name" </dev/null
    [ "$rc" = 1 ] || [ "$rc" = 2 ] || complain "exit status $rc"
    want_no_out
    [ "$(grep -vc '^Try ' err)" -eq 1 ] || complain "not one line on stderr"
    echo x | "$KAJA" produce --dir sound --topic "$name" >out 2>err
    rc=$?
    [ "$rc" = 1 ] || [ "$rc" = 2 ] || complain "produce: exit status $rc"
    run consume --dir sound --topic "$name" --timeout-ms 60
    [ "$rc" = 1 ] || [ "$rc" = 2 ] || complain "consume: exit status $rc"
done
[ ! -e outside ] && [ ! -e sound/../outside-0 ] || complain "something was made outside"
read_all sound
want_out <lines

# Where a directory should be.
: >file
refused file produce --dir file --topic t
refused 'no kaja directory' consume --dir nowhere --topic t
refused 'no kaja directory' verify --dir nowhere
refused 'missing/deep' produce --dir missing/deep --topic t
ln -s nowhere dangling
run produce --dir dangling --topic t </dev/null
[ "$rc" = 1 ] || complain "a dangling link: exit status $rc"
[ ! -e nowhere ] || complain "made what a dangling link names"
mkdir other && echo hello >other/thesis.txt
state other >before
run consume --dir other --topic t --timeout-ms 60
want_rc 1
[ -e other/thesis.txt ] || complain "a stranger's file is gone"

# Properties.
refused 'did you mean "acks"?' produce --dir sound --topic t --producer-property akcs=1
refused 'did you mean "auto.offset.reset"?' consume --dir sound --topic t --consumer-property auto.offset.rest=earliest
refused 'batch.size' produce --dir sound --topic t --producer-property batch.size=many
refused 'retention.mss' topics --dir sound --create --topic u --config retention.mss=1
ok topics --dir three --create --topic u --command-property num.partitions=3
state three >before
refused num.partitions topics --dir three --create --topic v --command-property num.partitions=4
want_err CONFLICT
want_err 3
want_err 4
unchanged three

# A record that is too large, alone and among others.
{ echo before; head -c 1100000 /dev/zero | tr '\0' z; echo; echo after; } >text
cp -r sound large
run produce --dir large --topic t <text
want_rc 1
want_err RECORD_TOO_LARGE
want_one_reason
read_all large
{ cat lines; echo before; echo after; } | want_out
head -c 5000 /dev/zero | tr '\0' z >text
run produce --dir large --topic t --producer-property max.request.size=2000 <text
want_rc 1
want_err RECORD_TOO_LARGE
ok topics --dir large --create --topic small --config max.message.bytes=1000
run produce --dir large --topic small <text
want_rc 1
want_err RECORD_TOO_LARGE
want_one_reason

# Links in place of files: nothing behind them is read or written.
linked() { # linked NAME [ERROR]: NAME in a directory of ours leads to the same thing elsewhere
    rm -rf link real
    cp -r sound link
    mkdir real
    mv "link/$1" real/thing
    ln -s "$tmp/real/thing" "link/$1"
    state real >before
    send_lines link
    [ "$rc" = 1 ] || complain "a link in place of $1: exit status $rc"
    want_one_reason
    unchanged real
    read_all link
    [ "$rc" = 1 ] || complain "consuming, a link in place of $1: exit status $rc"
    want_one_reason
    unchanged real
}
segment=$(ls sound/t-0 | grep 'log$' | tail -n 1)
linked t-0
linked "t-0/$segment"
linked kaja.catalog
linked kaja.lock
# A control file is scratch: a link is replaced, what it leads to stays as it is.
rm -rf link
cp -r sound link
echo precious >precious
ln -sf "$tmp/precious" link/kaja.control
read_all link
want_out <lines
[ "$(cat precious)" = precious ] || complain "wrote through a link in place of kaja.control"
# Neither are indexes and markers written through.
for name in "t-0/${segment%.log}.index" "t-0/${segment%.log}.timeindex" recovery-point-offset-checkpoint .kafka_cleanshutdown; do
    rm -rf link
    cp -r sound link
    echo precious >precious
    ln -sf "$tmp/precious" "link/$name"
    run produce --dir link --topic t </dev/null
    echo more | "$KAJA" produce --dir link --topic t >out 2>err
    last="a link in place of $name"
    [ "$(cat precious)" = precious ] || complain "written through"
    read_all link
    [ "$rc" -le 1 ] || complain "exit status $rc"
done

# Strangers among the files are left alone, and do no harm.
cp -r sound crowd
echo hello >crowd/README
mkdir crowd/lost+found crowd/not_a_partition crowd/-1 crowd/x-y crowd/t-01 crowd/t-99999999999
echo hello >crowd/lost+found/file
echo hello >crowd/t-0/notes.txt
echo hello >crowd/t-0/123.log
echo hello >"crowd/t-0/$segment.swp"
mkdir "crowd/t-0/sub"
ln -s /etc/passwd crowd/t-0/link
mkfifo crowd/t-0/pipe crowd/pipe
read_all crowd
want_rc 0
want_out <lines
send_lines crowd
want_rc 0
for f in README lost+found/file t-0/notes.txt t-0/123.log "t-0/$segment.swp"; do
    [ "$(cat "crowd/$f")" = hello ] || complain "crowd/$f has changed"
done
read_all crowd
cat lines lines | want_out
# A file where a partition's directory should be.
rm -rf crowd
cp -r sound crowd
rm -r crowd/t-0
echo hello >crowd/t-0
send_lines crowd
[ "$rc" = 1 ] || complain "a file in place of a partition: exit status $rc"
want_one_reason
[ "$(cat crowd/t-0)" = hello ] || complain "a file in place of a partition has changed"

# The catalog: damaged, foreign, newer, empty, gone.
catalog() { # catalog TEXT: refused with the text, unchanged
    state crowd >before
    refused "$1" produce --dir crowd --topic t
    want_err kaja.catalog
    unchanged crowd
}
fresh() { rm -rf crowd; cp -r sound crowd; rm -f crowd/kaja.catalog.old; }
fresh
sed -i 's/segment.bytes 4000/segment.bytes 4001/' crowd/kaja.catalog
catalog ''
fresh
sed -i '1s/.*/kaja-catalog 99/' crowd/kaja.catalog
catalog 99
fresh
echo 'something else' >crowd/kaja.catalog
catalog ''
fresh
: >crowd/kaja.catalog
catalog ''
fresh
head -c 100000 /dev/urandom >crowd/kaja.catalog
catalog ''
fresh
rm crowd/kaja.catalog # adopted anew
read_all crowd
want_out <lines

# The control file is scratch when nobody is present: whatever stands there.
for bytes in 0 7 65536 100000; do
    fresh
    head -c $bytes /dev/urandom >crowd/kaja.control
    read_all crowd
    want_rc 0
    want_out <lines
done
# Somebody with another layout is present.
fresh
mkfifo feed
"$KAJA" produce --dir crowd --topic t <feed >out2 2>err2 &
other=$!
exec 3>feed
for i in $(seq 1 100); do [ -s crowd/kaja.control ] && break; sleep 0.05; done
sleep 0.2
word=$(dd if=crowd/kaja.control bs=8 count=1 2>/dev/null | od -An -tx8)
version=$(dd if=crowd/kaja.control bs=1 skip=2 count=1 2>/dev/null | od -An -to1 | tr -d ' ')
printf '\377' | dd of=crowd/kaja.control bs=1 seek=2 conv=notrunc 2>/dev/null
refused LAYOUT_MISMATCH produce --dir crowd --topic t
# shellcheck disable=SC2059 # an octal escape
printf "\\$version" | dd of=crowd/kaja.control bs=1 seek=2 conv=notrunc 2>/dev/null
[ "$(dd if=crowd/kaja.control bs=8 count=1 2>/dev/null | od -An -tx8)" = "$word" ] || complain "the version stands elsewhere now: change this test"
echo 'from the other' >&3
exec 3>&-
wait $other || complain "the other one did not end well"
read_all crowd
{ cat lines; echo 'from the other'; } | want_out

# A broker's lock.
python3 -c 'import fcntl, sys, time
f = open("sound/.lock", "a+")
fcntl.lockf(f, fcntl.LOCK_EX)
open("locked", "w").close()
sys.stdin.read()' <feed &
broker=$!
exec 3>feed
for i in $(seq 1 100); do [ -e locked ] && break; sleep 0.05; done
state sound >before
refused .lock produce --dir sound --topic t
unchanged sound
exec 3>&-
wait $broker
read_all sound
want_out <lines

# Batches that become too large: by a limit of one's own with each codec, and a real bomb.
for codec in gzip snappy lz4 zstd; do
    "$KAJA" topics --dir squeezed --create --topic $codec >out 2>err || complain "creating $codec"
    head -c 5000 /dev/zero | tr '\0' z | "$KAJA" produce --dir squeezed --topic $codec --compression-codec $codec >out 2>err || {
        grep -q 'not built\|built in\|UNSUPPORTED' err && continue
        complain "producing with $codec"
    }
    run consume --dir squeezed --topic $codec --from-beginning --timeout-ms 60 --consumer-property kaja.decompressed.max.bytes=1000
    want_rc 1
    want_err RECORD_TOO_LARGE
    want_err "$codec-0"
done
if echo x | "$KAJA" produce --dir squeezed --topic probe --compression-codec gzip >out 2>err; then
    fresh
    mib=30
    case ${KJ_SANITIZER:-no} in no) ;; *) mib=1000 ;; esac # it keeps freed memory for a while
    python3 "$craft" bomb "crowd/t-0/$segment"
    python3 "$craft" run-small $mib "$KAJA" consume --dir crowd --topic t --from-beginning --timeout-ms 60 \
        --consumer-property kaja.decompressed.max.bytes=16777216 >out 2>err
    rc=$?
    last="consume of a bomb"
    want_rc 1
    want_out <lines
    want_err RECORD_TOO_LARGE
    want_err t-0
    # Behind it stands what stands: seek over it.
    python3 "$craft" batch "crowd/t-0/$segment" 'behind the bomb'
    run consume --dir crowd --topic t --partition 0 --offset 401 --timeout-ms 60
    want_rc 0
    echo 'behind the bomb' | want_out
fi

# No io_uring.
if ${CC:-cc} -O1 -o deny_io_uring "$top_srcdir/tests/ci/deny_io_uring.c" 2>err; then
    rm -rf crowd
    cp -r sound crowd
    ./deny_io_uring "$KAJA" produce --dir crowd --topic t --batch-size 250 <lines >out 2>err
    rc=$?
    last="produce without io_uring"
    want_rc 0
    want_no_err
    ./deny_io_uring "$KAJA" consume --dir crowd --topic t --from-beginning --timeout-ms 60 >out 2>err
    rc=$?
    want_rc 0
    cat lines lines | want_out
fi

# Logs and indexes, damaged in every way.
python3 "$craft" sweep "$KAJA" "$tmp/sound" "${KJ_EVERY:-15}" >swept 2>&1 || { bad=1; head -n 60 swept; }
tail -n 1 swept
finish
