/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/metric_table.h - every number a store handle counts. A row is
 *
 *     KJ_METRIC(name, unit, kind, text)        shown as name in lower case with '.' for '_'
 *
 * kind: COUNTER (only rises) or GAUGE. All of this handle since it was opened, unless the text says
 * otherwise.
 */
/* clang-format off */
KJ_METRIC(APPEND_BATCHES,      "1",     COUNTER, "batches appended by this handle")
KJ_METRIC(APPEND_BYTES,        "bytes", COUNTER, "bytes of these batches")
KJ_METRIC(APPEND_CALLS,        "1",     COUNTER, "times the append lock of a partition was taken to append")
KJ_METRIC(APPEND_ERRORS,       "1",     COUNTER, "batches that were refused or failed")
KJ_METRIC(PRODUCE_RECORDS,     "1",     COUNTER, "records accepted by producers")
KJ_METRIC(PRODUCE_BYTES,       "bytes", COUNTER, "key, value and header bytes of these records")
KJ_METRIC(PRODUCE_BUFFERED,    "bytes", GAUGE,   "buffer.memory in use by producers")
KJ_METRIC(PRODUCE_RETRIES,     "1",     COUNTER, "batches whose append failed and is tried again")
KJ_METRIC(PRODUCE_FAILED,      "1",     COUNTER, "records that failed for good, dropped ones included")
KJ_METRIC(PRODUCE_DROPPED,     "1",     COUNTER, "records dropped to make room: kaja.buffer.full=drop.oldest")
KJ_METRIC(CONSUME_RECORDS,     "1",     COUNTER, "records returned by polls")
KJ_METRIC(CONSUME_BYTES,       "bytes", COUNTER, "bytes of the batches they came in")
KJ_METRIC(CONSUME_WAITS,       "1",     COUNTER, "times a poll went to sleep")
KJ_METRIC(FLUSH_CALLS,         "1",     COUNTER, "flushes, each of one or more partitions")
KJ_METRIC(FLUSH_PARTITIONS,    "1",     COUNTER, "partitions in these flushes")
KJ_METRIC(FLUSH_NS,            "ns",    COUNTER, "time spent in these flushes")
KJ_METRIC(FLUSH_ERRORS,        "1",     COUNTER, "partitions whose flush failed")
KJ_METRIC(ROLLS,               "1",     COUNTER, "segments begun")
KJ_METRIC(SEGMENTS_DELETED,    "1",     COUNTER, "segments deleted by retention or delete-records")
KJ_METRIC(RETENTION_BYTES,     "bytes", COUNTER, "bytes freed by these")
KJ_METRIC(COMPACTIONS,         "1",     COUNTER, "rounds of compaction, each of one partition")
KJ_METRIC(COMPACTION_BYTES,    "bytes", COUNTER, "bytes freed by these")
KJ_METRIC(COMPACTION_ASIDE,    "1",     COUNTER, "partitions that are not compacted any more, as they are damaged: an event says why")
KJ_METRIC(RECOVERED_PARTITIONS, "1",    COUNTER, "partitions recovered at open")
KJ_METRIC(DAMAGED_RANGES,      "1",     COUNTER, "damaged ranges found")
KJ_METRIC(OPEN_FILES,          "1",     GAUGE,   "open descriptors of log and index files")
KJ_METRIC(PREPARED_BYTES,      "bytes", COUNTER, "bytes made ready ahead of the end")
KJ_METRIC(LIVE_HANDLES,        "1",     GAUGE,   "handles that have the directory open now, in all processes")
KJ_METRIC(EVENTS_DROPPED,      "1",     COUNTER, "events lost because the queue was full")
/* clang-format on */
