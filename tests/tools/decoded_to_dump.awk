# SPDX-License-Identifier: BSD-2-Clause
#
# The text of an independent decoder (tests/golden/kafka/decode.py, the .txt files) as dump-log shall
# print it. Variables: dir, what stands before a file's name in "Dumping"; deep=1 with records, print=1
# with keys and values; only, the suffix of the files that are wanted (.log, .index, ...).
function get(name, i) { # the value of name=value on this line
    for (i = 2; i <= NF; i++)
        if (index($i, name "=") == 1)
            return substr($i, length(name) + 2)
    return ""
}
function hex(text, i, n) {
    n = 0
    for (i = 1; i <= length(text); i++)
        n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
    return n
}
function bytes(text, i, out) {
    out = ""
    for (i = 2; i < length(text); i += 2)
        out = out sprintf("%c", hex(substr(text, i, 2)))
    return out
}
function size(text) { return text == "null" ? -1 : (length(text) - 1) / 2 }
function begin_file(name, base) {
    wanted = only == "" || substr(name, length(name) - length(only) + 1) == only
    if (!wanted)
        return
    print "Dumping " dir name
    base = name
    sub(/^0+/, "", base)
    sub(/\..*/, "", base)
    if (name ~ /\.log$/)
        print "Log starting offset: " (base == "" ? 0 : base)
}
BEGIN { wanted = 1; if (single != "") begin_file(single) }
/^file / { begin_file($2); next }
!wanted { next }
/^batch / {
    attributes = get("attributes")
    low = hex(substr(attributes, 6, 1))
    mid = hex(substr(attributes, 5, 1))
    codec = low % 8
    type = low >= 8 ? "LogAppendTime" : "CreateTime"
    transactional = mid % 2 == 1 ? "true" : "false"
    control = int(mid / 2) % 2
    horizon = int(mid / 4) % 2 ? "OptionalLong[" get("base_timestamp") "]" : "OptionalLong.empty"
    split("none gzip snappy lz4 zstd", codecs, " ")
    delta = get("last_offset_delta")
    base_sequence = get("base_sequence")
    base_offset = get("base_offset")
    last_sequence = base_sequence < 0 ? -1 : (base_sequence + delta) % 2147483648
    position = get("position")
    printf "baseOffset: %s lastOffset: %.0f count: %s baseSequence: %s lastSequence: %.0f producerId: %s producerEpoch: %s partitionLeaderEpoch: %s isTransactional: %s isControl: %s deleteHorizonMs: %s position: %s %s: %s size: %d magic: %s compresscodec: %s crc: %.0f isvalid: %s\n",
        base_offset, base_offset + delta, get("record_count"), base_sequence, last_sequence,
        get("producer_id"), get("producer_epoch"), get("leader_epoch"), transactional,
        control ? "true" : "false", horizon, position == "" ? 0 : position, type,
        get("max_timestamp"), get("batch_length") + 12, get("magic"), codecs[codec + 1],
        hex(get("crc")), "true"
    next
}
/^record / && deep {
    key = get("key")
    value = get("value")
    headers = get("headers")
    count = headers == "-" ? 0 : split(headers, list, ",")
    names = ""
    for (i = 1; i <= count; i++) {
        split(list[i], pair, ":")
        names = names (i > 1 ? "," : "") bytes(pair[1])
    }
    offset = get("offset")
    sequence = base_sequence < 0 ? -1 : (base_sequence + offset - base_offset) % 2147483648
    printf "| offset: %s %s: %s keySize: %d valueSize: %d sequence: %.0f headerKeys: [%s]",
        offset, type, get("timestamp"), size(key), size(value), sequence, names
    if (control)
        printf " endTxnMarker: %s coordinatorEpoch: %.0f", key ~ /01$/ ? "COMMIT" : "ABORT",
            hex(substr(value, 6))
    else if (print_data) {
        if (key != "null")
            printf " key: %s", bytes(key)
        if (value != "null")
            printf " payload: %s", bytes(value)
    }
    print ""
    next
}
/^offset_entry / { print "offset: " get("offset") " position: " get("position") }
/^time_entry / { print "timestamp: " get("timestamp") " offset: " get("offset") }
/^aborted_txn / {
    print "version: " get("version") " producerId: " get("producer_id") " firstOffset: " \
        get("first_offset") " lastOffset: " get("last_offset") " lastStableOffset: " \
        get("last_stable_offset")
}
/^producer / {
    first = get("current_txn_first_offset")
    printf "producerId: %s producerEpoch: %s coordinatorEpoch: %s currentTxnFirstOffset: %s lastTimestamp: %s",
        get("id"), get("epoch"), get("coordinator_epoch"),
        first < 0 ? "OptionalLong.empty" : "OptionalLong[" first "]", get("timestamp")
    last = get("last_sequence")
    if (last >= 0) {
        first = last - get("offset_delta")
        printf " firstSequence: %.0f lastSequence: %s lastOffset: %s offsetDelta: %s timestamp: %s",
            first < 0 ? first + 2147483648 : first, last, get("last_offset"), get("offset_delta"),
            get("timestamp")
    }
    print ""
}
