# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A real Apache Kafka for the scripts beside this one: its jars, fetched once into a cache outside the
# tree, and one combined KRaft node on loopback.
#
#     kafka_use VERSION            the jars (KJ_KAFKA_CACHE, default ~/.cache/kaja-kafka)
#     kafka_java CLASS ARG...      one of its classes
#     kafka_format DIR             makes DIR/data, the node's log directory
#     kafka_start DIR, kafka_stop, kafka_kill     one node at a time; $bootstrap is its address
#     peer COMMAND ARG...          Peer.java
#
# Wants: maven, a JDK 17, python3 (free ports).
KJ_KAFKA_CACHE=${KJ_KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kaja-kafka}
KAFKA_VERSIONS=${KAFKA_VERSIONS:-3.9.1 4.2.0}
interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka_pid=
# Many short-lived ones on two cores.
java_flags="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xmx512m"

kafka_use() {
    local version=$1 profile=
    kafka_version=$version
    jars=$KJ_KAFKA_CACHE/$version
    mkdir -p "$KJ_KAFKA_CACHE"
    [[ $version == 3.* ]] || profile=-Pkafka4
    (
        flock 9
        [ -f "$jars/.complete" ] && exit 0
        echo "fetching Apache Kafka $version"
        rm -rf "$jars"
        # The registry may fail once.
        for try in 1 2 3; do
            mvn -B -q -f "$interop/pom.xml" $profile dependency:copy-dependencies \
                -Dkafka.version="$version" -DoutputDirectory="$jars" && break
            [ "$try" = 3 ] && exit 1
            sleep 5
        done
        touch "$jars/.complete"
    ) 9>"$KJ_KAFKA_CACHE/lock" || { echo "FAILED: no Apache Kafka $version" >&2; return 1; }
    peer_classes=$jars/peer-$(cksum <"$interop/Peer.java" | tr ' ' -)
    if [ ! -f "$peer_classes/Peer.class" ]; then
        rm -rf "$peer_classes.$$"
        javac -nowarn -cp "$jars/*" -d "$peer_classes.$$" "$interop/Peer.java" || return 1
        mv "$peer_classes.$$" "$peer_classes" 2>/dev/null || rm -rf "$peer_classes.$$"
    fi
}

# Quiet, but for what a test looks for in the node's log.
kafka_logging() {
    if [[ $kafka_version == 3.* ]]; then
        echo "-Dlog4j.configuration=file:$interop/log4j.properties"
    else
        echo "-Dlog4j2.configurationFile=file:$interop/log4j2.properties"
    fi
}

kafka_java() {
    # shellcheck disable=SC2046,SC2086
    java $java_flags $(kafka_logging) -DlogLevel=ERROR -cp "$peer_classes:$jars/*" "$@"
}

peer() {
    local command=$1
    shift
    kafka_java Peer "$command" "${bootstrap:-none}" "$@"
}

kafka_format() {
    local dir=$1 ports
    mkdir -p "$dir"
    ports=$(python3 -c '
import socket
s = [socket.socket() for i in range(2)]
for one in s: one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in s])') || return 1
    read -r port controller_port <<<"$ports"
    cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
num.network.threads=2
num.io.threads=2
num.partitions=1
offsets.topic.num.partitions=5
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.backoff.ms=500
log.retention.ms=-1
END
    kafka_java kafka.tools.StorageTool format -t kajakajakajakajakajagg -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
        { cat "$dir/format.log"; return 1; }
}

kafka_start() {
    local dir=$1 i
    bootstrap=127.0.0.1:$(sed -n 's#^advertised.listeners=.*:##p' "$dir/server.properties")
    kafka_log=$dir/server.log
    rm -f "$kafka_log"
    # shellcheck disable=SC2046,SC2086
    java $java_flags $(kafka_logging) -DlogLevel=INFO -cp "$jars/*" kafka.Kafka "$dir/server.properties" \
        >"$kafka_log" 2>&1 &
    kafka_pid=$!
    for ((i = 0; i < 600; i++)); do
        grep -qs "Kafka Server started" "$kafka_log" && return 0
        kill -0 "$kafka_pid" 2>/dev/null || { wait "$kafka_pid"; kafka_pid=; return 1; }
        sleep 0.1
    done
    kafka_kill
    return 1
}

kafka_stop() {
    [ -n "$kafka_pid" ] || return 0
    kill -TERM "$kafka_pid" 2>/dev/null
    wait "$kafka_pid"
    kafka_pid=
}

kafka_kill() {
    [ -n "$kafka_pid" ] || return 0
    kill -KILL "$kafka_pid" 2>/dev/null
    wait "$kafka_pid" 2>/dev/null
    kafka_pid=
}

# --- for the scripts ---

top_srcdir=${top_srcdir:-$interop/../..}
top_builddir=$(cd "${top_builddir:-.}" && pwd)
kaja=$top_builddir/kaja
failures=0

# interop_begin: a temporary directory to work in; everything in it and the node go with the script.
interop_begin() {
    make -s -C "$top_builddir" all libkj_crash.la interop_records interop_write || exit 1
    tmp=$(mktemp -d) || exit 1
    trap 'kafka_kill; cd /; rm -rf "$tmp"' EXIT
    cd "$tmp" || exit 1
}
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
must() { "$@" || { fail "$*"; [ -z "${kafka_log:-}" ] || tail -n 20 "$kafka_log"; exit 1; }; }
records() { "$top_builddir/interop_records" "$@"; }
# same WHAT WANTED FILE: two files of records must be equal
same() {
    [ -s "$2" ] || fail "$1: nothing to compare"
    cmp -s "$2" "$3" || { fail "$1"; diff "$2" "$3" | head -n 6 | cut -c 1-300; }
}
interop_end() {
    [ "$failures" = 0 ] || { echo "$failures failed; KJ_SEED=${KJ_SEED:-}"; exit 1; }
}
