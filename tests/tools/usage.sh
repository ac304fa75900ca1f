#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Wrong usage: exit 2, one line that names the error, one with a hint. Failures: exit 1, one line.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

commands='topics console-producer produce console-consumer consume get-offsets delete-records configs
    log-dirs dump-log verify export demo producer-perf-test consumer-perf-test'

usage() { # usage ERROR-TEXT ARGUMENTS...
    text=$1
    shift
    run "$@" </dev/null
    want_rc 2
    want_no_out
    want_err "$text"
    [ "$(wc -l <err)" -eq 2 ] || complain "not two lines on stderr"
    grep -q '^Try ' err || complain "no hint"
    [ ! -e kaja-data ] || complain "a directory was made"
}
failure() { # failure ERROR-TEXT ARGUMENTS...
    text=$1
    shift
    run "$@" </dev/null
    want_rc 1
    want_no_out
    want_err "$text"
    want_one_error_line
    [ ! -e kaja-data ] || complain "a directory was made"
}

run
want_rc 2
want_no_out
want_err 'usage: kaja COMMAND'
for word in --help -h help; do
    ok "$word"
    want_in_out 'usage: kaja COMMAND'
done
for word in --version version; do
    ok "$word"
    want_match '^[0-9]+\.[0-9]+\.[0-9]+$'
done
for c in $commands; do
    ok "$c" --help
    want_in_out "usage: kaja"
    want_match '^  --dir'
    [ "$(awk 'length > 100' out | wc -l)" -eq 0 ] || complain "lines longer than 100"
    ok help "$c"
    ok "$c" --version
    want_match '^[0-9]+\.[0-9]+\.[0-9]+$'
    usage 'nonsense is not a recognized option' "$c" --nonsense
    usage "stray is not an option" "$c" stray
done

run topcis
want_rc 2
want_err 'did you mean topics?'
run consmue
want_rc 2
want_err 'did you mean consume?'
run xyzzy
want_rc 2
want_err "'xyzzy' is not a command"
run groups --list
want_rc 2
want_err 'did you mean consumer-groups?'

usage 'did you mean --topic?' topics --list --topik x
usage 'Option topic requires an argument' topics --list --topic
usage 'Option topic requires an argument' topics --topic --list
usage 'Option list does not take an argument' topics --list=yes
usage 'Found multiple arguments for option topic' topics --list --topic a --topic=b
usage "directory's name is empty" topics --list --dir ''

all='Command must include exactly one action: --list, --describe, --create, --alter or --delete'
usage "$all" topics
usage "$all" topics --list --create --topic x
usage 'Missing required argument "[topic]"' topics --create
usage 'Missing required argument "[partitions]"' topics --alter --topic x
usage 'The partitions must be greater than 0' topics --create --topic x --partitions 0
usage "Cannot parse argument 'x' of option partitions" topics --create --topic x --partitions x
usage "Option \"[replica-assignment]\" can't be used with option \"[partitions]\"" \
    topics --create --topic x --replica-assignment 0,0 --partitions 2
usage 'configs --alter' topics --alter --topic x --partitions 3 --config a=b
usage "cannot be used as a regular expression" topics --list --topic '(?=x)'

usage 'Missing required argument "[topic]"' produce
usage 'did you mean "acks"?' produce --topic x --producer-property akcs=1
usage 'acks' produce --topic x --acks 7
usage 'did you mean parse.key?' produce --topic x --property parse.kye=true
usage 'headers.separator and headers.key.separator may not be equal' \
    produce --topic x --property headers.separator=:
usage 'null.marker and key.separator may not be equal' \
    produce --topic x --property null.marker=';' --property key.separator=';'
usage "Option command-property wants name=value" produce --topic x --command-property =b

one='Exactly one of the following arguments is required: [topic], [include]'
usage "$one" consume
usage "$one" consume --topic a --include b
usage 'The partition is required when offset is specified.' consume --topic a --offset 1
usage "The provided offset value 'x' is incorrect" consume --topic a --partition 0 --offset x
usage 'Options from-beginning and offset cannot be specified together.' \
    consume --topic a --partition 0 --offset 1 --from-beginning
usage 'The topic is required when partition is specified.' consume --include a --partition 0
usage "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest'" \
    consume --topic a --from-beginning --consumer-property auto.offset.reset=latest
usage 'is not a formatter' consume --topic a --formatter kafka.tools.Nonsense
usage 'is not a deserializer' consume --topic a --property value.deserializer=org.x.Nonsense
usage 'is not a property of the formatter' consume --topic a --property print.kee=true

usage 'Malformed time argument x' get-offsets --time x
usage 'Invalid rule: t:x' get-offsets --topic-partitions t:x
usage '--topic-partitions cannot be used with --topic or --partitions' \
    get-offsets --topic-partitions t --topic t
usage 'Missing required argument "[offset-json-file]"' delete-records
usage 'Missing required argument "[describe]"' log-dirs
usage 'Missing required argument "[files]"' dump-log
usage 'Invalid entity config' configs --alter --topic t --add-config retention.ms
usage 'At least one of --add-config' configs --alter --topic t
usage 'The only broker is 0' configs --describe --broker 5
usage 'Command must include exactly one action' configs --topic t
usage 'Missing required argument "[to-kafka]"' export
usage "directory is empty" export --to-kafka ''
usage 'Missing required argument "[num-records]"' producer-perf-test --topic t
usage '[record-size], [payload-file], [payload-monotonic]' \
    producer-perf-test --topic t --num-records 1 --throughput -1
usage 'Missing required argument "[num-records]"' consumer-perf-test --topic t

# Commands that make one say why they could not, not which command would.
for dir in nox/noy/noz /proc/kaja-test; do
    failure "cannot be made: No such file or directory" topics --create --topic t --dir $dir
    failure "cannot be made: No such file or directory" produce --topic t --dir $dir
    ! grep -q 'topics --create' err || complain "the command that was run as the hint"
done
failure 'no kaja directory at ./kaja-data' topics --list
failure 'no kaja directory at ./kaja-data' topics --describe
failure 'no kaja directory at ./kaja-data' topics --delete --topic x
failure 'no kaja directory at ./kaja-data' consume --topic x
failure 'no kaja directory at ./kaja-data' get-offsets
failure 'no kaja directory at ./kaja-data' configs --describe --topic x
failure 'no kaja directory at ./kaja-data' log-dirs --describe
failure 'no kaja directory at ./kaja-data' verify
failure 'no kaja directory at ./kaja-data' export --to-kafka .
failure 'no kaja directory at ./kaja-data' consumer-perf-test --topic x --num-records 1
failure 'no kaja directory at elsewhere' topics --list --dir elsewhere
failure 'broker(s) are registered' topics --create --topic x --replication-factor 3
failure "Topic name is invalid: 'a b' contains" topics --create --topic 'a b'
failure 'Topic name is invalid: the empty string is not allowed' topics --create --topic=
failure 'Unknown topic config name: foo' topics --create --topic a --config foo=1
failure 'cannot read nowhere' produce --topic x --producer.config nowhere
failure 'is not built' dump-log --files x.log --cluster-metadata-decoder
failure 'do not exist from --broker-list: 5' log-dirs --describe --broker-list 0,5
finish
