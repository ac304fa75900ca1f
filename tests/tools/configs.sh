#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# kaja configs.
# shellcheck source=tests/tools/lib.sh
. "${top_srcdir:-$(dirname "$0")/../..}/tests/tools/lib.sh"

c() { run configs --dir "$dir" "$@"; }

run topics --dir "$dir" --create --topic orders
run topics --dir "$dir" --create --topic other
c --describe --topic orders
want_rc 0
want_out <<END
Dynamic configs for topic orders are:
END
c --alter --topic orders --add-config max.message.bytes=128000,retention.ms=5000
want_rc 0
want_no_err
want_out <<END
Completed updating config for topic orders.
END
c --describe --entity-type topics --entity-name orders
want_out <<END
Dynamic configs for topic orders are:
  max.message.bytes=128000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:max.message.bytes=128000, DEFAULT_CONFIG:message.max.bytes=1048588}
  retention.ms=5000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=5000, DEFAULT_CONFIG:log.retention.ms=604800000}
END
c --alter --topic orders --delete-config retention.ms,segment.ms --add-config 'cleanup.policy=[delete]'
want_rc 0
c --describe --topic orders
want_in_out '  cleanup.policy=delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=delete, DEFAULT_CONFIG:log.cleanup.policy=delete}'
! grep -q retention.ms out || complain "retention.ms is still there"
c --describe --topic orders --all
want_in_out 'All configs for topic orders are:'
want_in_out '  retention.ms=604800000 sensitive=false synonyms={DEFAULT_CONFIG:log.retention.ms=604800000}'
[ "$(wc -l <out)" -gt 15 ] || complain "not all properties"
sed 1d out >rest
sort -c rest || complain "not sorted"
c --describe --entity-type topics
want_in_out 'Dynamic configs for topic orders are:'
want_in_out 'Dynamic configs for topic other are:'
c --describe --topic orders --json
want_json 'd[0]["name"] == "orders" and d[0]["configs"][1]["value"] == "128000"'
want_json 'd[0]["configs"][1]["source"] == "DYNAMIC_TOPIC_CONFIG"'

printf '# of a file\nretention.ms = 7000\nsegment.bytes=2000000\n' >props
c --alter --topic orders --add-config-file props
want_rc 0
c --describe --topic orders
want_in_out '  retention.ms=7000 '
want_in_out '  segment.bytes=2000000 '

# Together or not at all.
c --alter --topic orders --add-config retention.ms=1,segment.bytes=nonsense
want_rc 1
want_no_out
want_err 'segment.bytes'
c --describe --topic orders
want_in_out '  retention.ms=7000 '
c --alter --topic orders --add-config no.such.thing=1
want_rc 1
want_err 'no.such.thing'
c --alter --topic missing --add-config retention.ms=1
want_rc 1
want_no_out
want_err 'missing'
c --describe --topic missing
want_rc 0
want_out <<END
The topic 'missing' doesn't exist and doesn't have dynamic config.
END

# The directory's own: what topics inherit.
c --describe --broker-defaults
want_rc 0
want_out <<END
Default configs for brokers in the cluster are:
END
c --alter --broker-defaults --add-config log.retention.ms=9000
want_rc 0
want_out <<END
Completed updating default config for brokers in the cluster.
END
c --describe --entity-type brokers --entity-default
want_in_out '  log.retention.ms=9000 sensitive=false'
c --describe --topic other --all
want_in_out '  retention.ms=9000 sensitive=false synonyms={STATIC_BROKER_CONFIG:log.retention.ms=9000, DEFAULT_CONFIG:log.retention.ms=604800000}'
c --describe --topic orders
want_in_out '  retention.ms=7000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7000, STATIC_BROKER_CONFIG:log.retention.ms=9000, DEFAULT_CONFIG:log.retention.ms=604800000}'
run topics --dir "$dir" --describe --topic other
want_in_out 'Configs: retention.ms=9000'
c --alter --broker 0 --delete-config log.retention.ms
want_rc 0
want_out <<END
Completed updating config for broker 0.
END
c --describe --topic other
want_out <<END
Dynamic configs for topic other are:
END
c --describe --group g
want_rc 1
want_err 'UNSUPPORTED_FEATURE'
finish
