/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_table.h - every property, once. Parser, checks, defaults, the options of the rooms below,
 * kaja_conf_table() and man/kaja-config.5 come out of these rows:
 *
 *     KJ_TOPIC(name, broker, TYPE, default, VALID, unit, IMPORTANCE, EFFECT, FIELD, text)
 *         a topic property and, where it is set for the whole directory, its broker synonym
 *     KJ_PROPERTY(SCOPE, name, TYPE, default, VALID, unit, IMPORTANCE, EFFECT, FIELD, text)
 *     KJ_TOPIC_ONLY(name, broker, ...)
 *         a topic property whose broker synonym has a row of its own, or is NULL
 *
 * TYPE        BOOL, INT (32 bits), LONG (64), DOUBLE, STRING, LIST
 * default     as text; NULL: none
 * VALID       FLAG, ANY, AT_LEAST(n), BETWEEN(a, b), ALSO(x, a, b): a to b, or x; ALSO_FROM(x, a);
 *             ONE_OF("a, b"): the number of the choice goes into the field; WORDS("..."): free text;
 *             PARSED("...", function): what the function takes
 * IMPORTANCE  HIGH, MEDIUM, LOW
 * EFFECT      ON; NONE: accepted without effect; LATER: not built yet, only the default is accepted
 * FIELD       LOG(m), STORE(m), PRODUCER(m), CONSUMER(m): a member of struct kj_log_config,
 *             kj_store_options, kj_producer_options, kj_consumer_options; NO: used by name in the
 *             code, or not at all
 * SCOPE       DIRECTORY: stands in the catalog, HANDLE: of this store handle, PRODUCER_SCOPE,
 *             CONSUMER_SCOPE, CLIENTS: both of them, EVERYWHERE: all but topics
 *
 * A name may have several rows if their scopes differ; a value is taken by a bag if one of them
 * takes it. Defaults that differ from Kafka's say so. Included several times with other meanings of
 * the macros.
 */
/* clang-format off */

/* --- topics, and the directory's defaults for them --- */
KJ_TOPIC("cleanup.policy", "log.cleanup.policy", LIST, "delete", ONE_OF("compact, delete"), "", HIGH, ON, NO,
    "What removes old data. delete: whole segments, as retention.ms and retention.bytes say; an empty list: nothing is ever removed. compact: of closed segments, only the newest record of each key stays, at its offset; records need a key. Both may be given.")
KJ_TOPIC("compression.type", "compression.type", STRING, "producer", ONE_OF("uncompressed, gzip, snappy, lz4, zstd, producer"), "", MEDIUM, ON, NO,
    "The codec that batches are stored with, whatever compression.type their producer has; producer keeps what each producer chose.")
KJ_TOPIC("compression.gzip.level", "compression.gzip.level", INT, "-1", ALSO(-1, 1, 9), "", LOW, ON, NO,
    "The level where the topic's codec is used; -1 is the codec's own default.")
KJ_TOPIC("compression.lz4.level", "compression.lz4.level", INT, "9", BETWEEN(1, 17), "", LOW, ON, NO,
    "The level where the topic's codec is used.")
KJ_TOPIC("compression.zstd.level", "compression.zstd.level", INT, "3", BETWEEN(-131072, 22), "", LOW, ON, NO,
    "The level where the topic's codec is used.")
KJ_TOPIC("delete.retention.ms", "log.cleaner.delete.retention.ms", LONG, "86400000", AT_LEAST(0), "ms", LOW, ON, LOG(delete_retention_ms),
    "How long tombstones (records without a value) stay readable after compaction.")
KJ_TOPIC("file.delete.delay.ms", "log.segment.delete.delay.ms", LONG, "0", AT_LEAST(0), "ms", LOW, NONE, NO,
    "Files of deleted segments go at once: mapped bytes outlive their names. Kafka waits 60000.")
KJ_TOPIC("flush.messages", "log.flush.interval.messages", LONG, "9223372036854775807", AT_LEAST(1), "records", LOW, ON, LOG(flush_messages),
    "Flush to the device after so many unflushed records. Producers with acks=all flush in any case.")
KJ_TOPIC("flush.ms", "log.flush.interval.ms", LONG, "9223372036854775807", AT_LEAST(0), "ms", LOW, ON, LOG(flush_ms),
    "Flush to the device when the oldest unflushed record is this old.")
KJ_TOPIC("index.interval.bytes", "log.index.interval.bytes", INT, "4096", AT_LEAST(0), "bytes", LOW, ON, LOG(index_interval_bytes),
    "Bytes of log between two entries of the offset index.")
KJ_TOPIC("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", LONG, "9223372036854775807", AT_LEAST(1), "ms", LOW, ON, LOG(max_compaction_lag_ms),
    "Records older than this make their partition due for compaction, and end its active segment.")
KJ_TOPIC("max.message.bytes", "message.max.bytes", INT, "1048588", AT_LEAST(0), "bytes", HIGH, ON, LOG(max_message_bytes),
    "The largest batch as stored, header included.")
KJ_TOPIC("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", LONG, "3600000", AT_LEAST(0), "ms", LOW, ON, LOG(timestamp_after_max_ms),
    "How far a record's CreateTime may lie in the future.")
KJ_TOPIC("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", LONG, "9223372036854775807", AT_LEAST(0), "ms", LOW, ON, LOG(timestamp_before_max_ms),
    "How far a record's CreateTime may lie in the past.")
KJ_TOPIC("message.timestamp.type", "log.message.timestamp.type", STRING, "CreateTime", ONE_OF("CreateTime, LogAppendTime"), "", MEDIUM, ON, LOG(log_append_time),
    "Whose clock: the producer's, or that of the append.")
KJ_TOPIC("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", DOUBLE, "0.5", BETWEEN(0, 1), "", LOW, ON, LOG(min_cleanable_ppm),
    "Compaction begins above this share of bytes that were not compacted yet.")
KJ_TOPIC("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", LONG, "0", AT_LEAST(0), "ms", LOW, ON, LOG(min_compaction_lag_ms),
    "Records younger than this are not compacted.")
KJ_TOPIC("preallocate", "log.preallocate", BOOL, "false", FLAG, "", LOW, ON, LOG(preallocate),
    "Give a segment its full size when its first batch comes. Not needed for speed: space is prepared ahead of the end anyway (kaja.prepare.max.bytes).")
KJ_TOPIC("retention.bytes", "log.retention.bytes", LONG, "-1", ANY, "bytes", MEDIUM, ON, LOG(retention_bytes),
    "Old segments are deleted while the partition stays at least this large without them; negative: no limit.")
KJ_TOPIC_ONLY("retention.ms", "log.retention.ms", LONG, "604800000", AT_LEAST(-1), "ms", HIGH, ON, LOG(retention_ms),
    "Segments whose newest record is older than this are deleted: seven days unless set. -1: no limit.")
KJ_PROPERTY(DIRECTORY, "log.retention.ms", LONG, "604800000", ALSO_FROM(-1, 1), "ms", HIGH, ON, NO,
    "retention.ms of topics that do not set it.")
KJ_PROPERTY(DIRECTORY, "log.retention.minutes", INT, NULL, ALSO_FROM(-1, 1), "min", MEDIUM, ON, NO,
    "The same in minutes; counts where log.retention.ms is not set.")
KJ_PROPERTY(DIRECTORY, "log.retention.hours", INT, "168", ALSO_FROM(-1, 1), "h", MEDIUM, ON, NO,
    "The same in hours; counts where neither of the finer ones is set.")
KJ_TOPIC("segment.bytes", "log.segment.bytes", INT, "67108864", AT_LEAST(14), "bytes", HIGH, ON, LOG(segment_bytes),
    "The size at which a new segment is begun. Kafka's default is 1073741824; smaller segments make retention finer and recovery shorter.")
KJ_TOPIC("segment.index.bytes", "log.index.size.max.bytes", INT, NULL, AT_LEAST(4), "bytes", LOW, ON, LOG(segment_index_bytes),
    "The largest size of an index file; a full one begins a new segment. Not set: what segment.bytes and index.interval.bytes need, at most 10485760.")
KJ_TOPIC("segment.jitter.ms", "log.roll.jitter.ms", LONG, "0", AT_LEAST(0), "ms", LOW, ON, LOG(segment_jitter_ms),
    "A random part of this is subtracted from segment.ms.")
KJ_PROPERTY(DIRECTORY, "log.roll.jitter.hours", INT, "0", AT_LEAST(0), "h", LOW, ON, NO,
    "The same in hours; counts where log.roll.jitter.ms is not set.")
KJ_TOPIC("segment.ms", "log.roll.ms", LONG, "604800000", AT_LEAST(1), "ms", MEDIUM, ON, LOG(segment_ms),
    "The age at which a new segment is begun even if the old one is not full.")
KJ_PROPERTY(DIRECTORY, "log.roll.hours", INT, "168", AT_LEAST(1), "h", MEDIUM, ON, NO,
    "The same in hours; counts where log.roll.ms is not set.")

/* --- the directory --- */
KJ_PROPERTY(DIRECTORY, "num.partitions", INT, "1", AT_LEAST(1), "", MEDIUM, ON, STORE(num_partitions),
    "Partitions of a topic that is made automatically, or with -1.")
KJ_PROPERTY(DIRECTORY, "auto.create.topics.enable", BOOL, "true", FLAG, "", MEDIUM, ON, STORE(auto_create),
    "Producing to a topic that does not exist makes it. Handles with kaja.read.only never do.")
KJ_PROPERTY(DIRECTORY, "log.retention.check.interval.ms", LONG, "300000", AT_LEAST(1), "ms", MEDIUM, ON, STORE(retention_check_ms),
    "The time between two rounds of retention. It also runs at open, when a segment is begun and when space is short.")
KJ_PROPERTY(DIRECTORY, "log.flush.offset.checkpoint.interval.ms", INT, "60000", AT_LEAST(0), "ms", LOW, ON, STORE(checkpoint_ms),
    "The time between two writings of the recovery points.")
KJ_PROPERTY(DIRECTORY, "log.flush.start.offset.checkpoint.interval.ms", INT, "60000", AT_LEAST(0), "ms", LOW, ON, STORE(start_checkpoint_ms),
    "The time between two writings of the log start offsets.")
KJ_PROPERTY(DIRECTORY, "producer.id.expiration.ms", INT, "86400000", AT_LEAST(1), "ms", LOW, ON, LOG(producer_expiration_ms),
    "A partition forgets a producer id that was idle for so long.")
KJ_PROPERTY(DIRECTORY, "producer.id.expiration.check.interval.ms", INT, "600000", AT_LEAST(1), "ms", LOW, NONE, NO,
    "Producer ids are forgotten when the partition is appended to.")
KJ_PROPERTY(DIRECTORY, "log.flush.scheduler.interval.ms", LONG, "9223372036854775807", AT_LEAST(1), "ms", LOW, NONE, NO,
    "flush.ms has its own deadline for each partition.")
KJ_PROPERTY(DIRECTORY, "log.initial.task.delay.ms", LONG, "0", AT_LEAST(0), "ms", LOW, NONE, NO,
    "Background work is due at once: short-lived programs need retention too. Kafka waits 30000.")
KJ_PROPERTY(DIRECTORY, "num.recovery.threads.per.data.dir", INT, "2", AT_LEAST(1), "", LOW, NONE, NO,
    "The first opener recovers the partitions one after the other.")
KJ_PROPERTY(DIRECTORY, "replica.high.watermark.checkpoint.interval.ms", LONG, "5000", AT_LEAST(1), "ms", LOW, NONE, NO,
    "The high watermark follows from the log; it is written at the last close.")
KJ_PROPERTY(DIRECTORY, "delete.topic.enable", BOOL, "true", FLAG, "", LOW, LATER, NO,
    "Whether topics may be deleted.")
KJ_PROPERTY(DIRECTORY, "log.dir", LIST, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "The directory is the argument of kaja_store_open().")
KJ_PROPERTY(DIRECTORY, "log.dirs", LIST, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "The directory is the argument of kaja_store_open().")

/* --- compaction, groups and transactions of the directory --- */
KJ_PROPERTY(DIRECTORY, "log.cleaner.enable", BOOL, "true", FLAG, "", LOW, ON, STORE(cleaner_enable),
    "Compaction at all.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.threads", INT, "1", AT_LEAST(0), "", LOW, NONE, NO,
    "Compaction is done by the background work of one of the processes, a few milliseconds at a time.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.backoff.ms", LONG, "15000", AT_LEAST(0), "ms", LOW, ON, STORE(cleaner_backoff_ms),
    "The wait when there is nothing to compact.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.dedupe.buffer.size", LONG, "8388608", AT_LEAST(1048576), "bytes", LOW, ON, STORE(cleaner_map_bytes),
    "The most memory of the key map, which grows as needed and takes 24 bytes a key; not more than half of kaja.memory.max. Keys that do not fit wait for the next round. Kafka's default is 134217728.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.io.buffer.size", INT, "524288", AT_LEAST(0), "bytes", LOW, NONE, NO,
    "Compaction has two buffers of 1 MiB, and room for one batch.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.io.buffer.load.factor", DOUBLE, "0.9", BETWEEN(0, 1), "", LOW, NONE, NO,
    "The usable share of the key map is nine tenths.")
KJ_PROPERTY(DIRECTORY, "log.cleaner.io.max.bytes.per.second", DOUBLE, "1.7976931348623157E308", AT_LEAST(0), "bytes/s", LOW, ON, STORE(cleaner_microbytes_per_second),
    "A brake on compaction: the most that it reads.")
KJ_PROPERTY(DIRECTORY, "offsets.topic.num.partitions", INT, "1", AT_LEAST(1), "", LOW, ON, NO,
    "Partitions of __consumer_offsets. Kafka's default is 50.")
KJ_PROPERTY(DIRECTORY, "offsets.topic.segment.bytes", INT, "4194304", AT_LEAST(1), "bytes", LOW, ON, NO,
    "segment.bytes of __consumer_offsets. Kafka's default is 104857600.")
KJ_PROPERTY(DIRECTORY, "offsets.topic.compression.codec", INT, "0", BETWEEN(0, 4), "", LOW, LATER, NO,
    "The codec of its batches.")
KJ_PROPERTY(DIRECTORY, "offset.metadata.max.bytes", INT, "4096", AT_LEAST(0), "", LOW, ON, NO,
    "The longest metadata of a commit, in UTF-16 units.")
KJ_PROPERTY(DIRECTORY, "offsets.retention.minutes", INT, "525600", AT_LEAST(1), "min", MEDIUM, ON, NO,
    "How long the offsets of an unused group are kept. Kafka's default is 10080.")
KJ_PROPERTY(DIRECTORY, "offsets.retention.check.interval.ms", LONG, "600000", AT_LEAST(1), "ms", LOW, ON, NO,
    "The time between two looks for such groups.")
KJ_PROPERTY(DIRECTORY, "group.min.session.timeout.ms", INT, "10", AT_LEAST(0), "ms", LOW, ON, NO,
    "The least session.timeout.ms. Kafka's default is 6000.")
KJ_PROPERTY(DIRECTORY, "group.max.session.timeout.ms", INT, "1800000", AT_LEAST(0), "ms", LOW, ON, NO,
    "The greatest session.timeout.ms.")
KJ_PROPERTY(DIRECTORY, "group.initial.rebalance.delay.ms", INT, "0", AT_LEAST(0), "ms", LOW, ON, NO,
    "The wait for more members in an empty group. Kafka's default is 3000.")
KJ_PROPERTY(DIRECTORY, "group.max.size", INT, "2147483647", AT_LEAST(1), "", LOW, ON, NO,
    "The most members of a group.")
KJ_PROPERTY(DIRECTORY, "transaction.max.timeout.ms", INT, "900000", AT_LEAST(1), "ms", LOW, LATER, NO,
    "The greatest transaction.timeout.ms.")
KJ_PROPERTY(DIRECTORY, "transactional.id.expiration.ms", INT, "604800000", AT_LEAST(1), "ms", LOW, LATER, NO,
    "How long an idle transactional.id is remembered.")
KJ_PROPERTY(DIRECTORY, "transaction.abort.timed.out.transaction.cleanup.interval.ms", INT, "10000", AT_LEAST(1), "ms", LOW, LATER, NO,
    "The time between two looks for overdue transactions.")
KJ_PROPERTY(DIRECTORY, "transaction.remove.expired.transaction.cleanup.interval.ms", INT, "3600000", AT_LEAST(1), "ms", LOW, LATER, NO,
    "The time between two looks for expired ids.")
KJ_PROPERTY(DIRECTORY, "transaction.partition.verification.enable", BOOL, "true", FLAG, "", LOW, LATER, NO,
    "Refuse transactional batches outside a known transaction.")
KJ_PROPERTY(DIRECTORY, "transaction.state.log.num.partitions", INT, "50", AT_LEAST(1), "", LOW, LATER, NO,
    "Partitions of __transaction_state.")
KJ_PROPERTY(DIRECTORY, "transaction.state.log.segment.bytes", INT, "104857600", AT_LEAST(1), "bytes", LOW, LATER, NO,
    "segment.bytes of __transaction_state.")

/* --- the store handle --- */
KJ_PROPERTY(HANDLE, "kaja.read.only", BOOL, "false", FLAG, "", HIGH, ON, STORE(read_only),
    "Change no byte, take no lock, wait for nobody. Works beside writers, and on a read-only medium.")
KJ_PROPERTY(HANDLE, "kaja.create", BOOL, "true", FLAG, "", MEDIUM, ON, STORE(create),
    "Make the directory if it does not exist; its parent must.")
KJ_PROPERTY(HANDLE, "kaja.fs.allow", BOOL, "false", FLAG, "", LOW, ON, STORE(allow_any_fs),
    "Open on network and FUSE file systems too, whose locks and flushes may not do what is needed.")
KJ_PROPERTY(HANDLE, "kaja.io.backend", STRING, "auto", ONE_OF("auto, io_uring, posix"), "", LOW, ON, STORE(backend),
    "How flushes and cold reads reach the kernel. auto: io_uring where the kernel lets us, else posix. kaja_store_backend() says which it became.")
KJ_PROPERTY(HANDLE, "kaja.background.threads", INT, "1", BETWEEN(0, 1), "", MEDIUM, ON, STORE(background_threads),
    "0: no thread at all; producer and consumer calls and kaja_store_step() do the work that is due.")
KJ_PROPERTY(HANDLE, "kaja.flush.threads", INT, "4", BETWEEN(0, 64), "", LOW, ON, STORE(flush_threads),
    "posix only: at most so many helper threads flush at the same time, started when needed.")
KJ_PROPERTY(HANDLE, "kaja.lock.timeout.ms", LONG, "10000", AT_LEAST(0), "ms", MEDIUM, ON, STORE(lock_timeout_ms),
    "How long a call waits for a lock that another process holds before it fails with LOCK_TIMED_OUT, naming the owner.")
KJ_PROPERTY(HANDLE, "kaja.memory.max", LONG, "1073741824", AT_LEAST(1048576), "bytes", MEDIUM, ON, STORE(memory_max),
    "kaja.memory.max of the consumers on this handle that do not set it.")
KJ_PROPERTY(HANDLE, "kaja.disk.max", LONG, "-1", ALSO_FROM(-1, 1048576), "bytes", MEDIUM, ON, STORE(disk_max),
    "Appends fail with DISK_FULL, after retention was tried, once the directory's log files hold this much. -1: the disk is the limit. Compaction goes on, and takes up to a segment more while it replaces one.")
KJ_PROPERTY(HANDLE, "kaja.fd.max", LONG, "0", AT_LEAST(0), "", LOW, ON, STORE(fd_max),
    "The most descriptors of log and index files open at once; 0: half of the process's limit, at most 4096.")
KJ_PROPERTY(HANDLE, "kaja.map.max", LONG, "0", AT_LEAST(0), "", LOW, ON, STORE(map_max),
    "The most maps of log files at once; 0: a quarter of the system's limit, at most 16384.")
KJ_PROPERTY(HANDLE, "kaja.prepare.max.bytes", LONG, "268435456", AT_LEAST(0), "bytes", LOW, ON, STORE(prepare_max_bytes),
    "The most space made ready ahead of the ends of all partitions together, which makes appending several times faster; 0: none.")
KJ_PROPERTY(HANDLE, "kaja.producer.ids.max", LONG, "100000", AT_LEAST(1), "", LOW, ON, STORE(producer_ids_max),
    "The most producer ids that a partition remembers; the one idle longest is forgotten first.")
KJ_PROPERTY(HANDLE, "kaja.event.queue.max", LONG, "1000", AT_LEAST(1), "", LOW, ON, STORE(event_queue_max),
    "Events that wait for kaja_store_on_event()'s callback; more are counted and dropped.")
KJ_PROPERTY(HANDLE, "kaja.fetch.copy", BOOL, "false", FLAG, "", LOW, ON, STORE(fetch_copy),
    "Read with pread into memory instead of through maps. Slower, but a device's read error is then an error code and not SIGBUS.")

/* --- producer --- */
KJ_PROPERTY(PRODUCER_SCOPE, "acks", STRING, "all", ONE_OF("0, 1, all, -1"), "", HIGH, ON, NO,
    "When a record counts as sent. 0: when it is in the producer's memory; 1: when its batch is in the page cache, which survives the death of any process; all, the same as -1: when its batch is on the device, which survives a power cut.")
KJ_PROPERTY(PRODUCER_SCOPE, "batch.size", INT, "16384", AT_LEAST(0), "bytes", MEDIUM, ON, PRODUCER(batch_bytes),
    "A batch is closed when it has this size; 0: each record is a batch.")
KJ_PROPERTY(PRODUCER_SCOPE, "buffer.memory", LONG, "33554432", AT_LEAST(0), "bytes", HIGH, ON, PRODUCER(buffer_bytes),
    "Memory for records that are not sent yet: never more. The output of codecs and the delivery reports come on top.")
KJ_PROPERTY(PRODUCER_SCOPE, "kaja.buffer.full", STRING, "block", ONE_OF("block, fail, drop.oldest"), "", MEDIUM, ON, PRODUCER(buffer_full),
    "What kaja_producer_produce() does when buffer.memory is full. block: it waits up to max.block.ms; fail: it fails with QUEUE_FULL; drop.oldest: the oldest batch that was not sent fails with BUFFER_EXHAUSTED and makes room (metric produce.dropped).")
KJ_PROPERTY(PRODUCER_SCOPE, "client.id", STRING, "", WORDS("any text"), "", LOW, NONE, NO,
    "A name for people.")
KJ_PROPERTY(PRODUCER_SCOPE, "compression.type", STRING, "none", ONE_OF("none, gzip, snappy, lz4, zstd"), "", HIGH, ON, PRODUCER(codec),
    "The codec of the batches.")
KJ_PROPERTY(PRODUCER_SCOPE, "compression.gzip.level", INT, "-1", ALSO(-1, 1, 9), "", LOW, ON, NO,
    "The level of gzip; -1 is the codec's own default.")
KJ_PROPERTY(PRODUCER_SCOPE, "compression.lz4.level", INT, "9", BETWEEN(1, 17), "", LOW, ON, NO,
    "The level of lz4.")
KJ_PROPERTY(PRODUCER_SCOPE, "compression.zstd.level", INT, "3", BETWEEN(-131072, 22), "", LOW, ON, NO,
    "The level of zstd.")
KJ_PROPERTY(PRODUCER_SCOPE, "delivery.timeout.ms", INT, "120000", AT_LEAST(0), "ms", MEDIUM, ON, PRODUCER(delivery_timeout_ms),
    "A record that is not acknowledged so long after it was produced fails with MSG_TIMED_OUT. Less than linger.ms is a conflict; not set it is linger.ms where that is more.")
KJ_PROPERTY(PRODUCER_SCOPE, "linger.ms", LONG, "0", AT_LEAST(0), "ms", MEDIUM, ON, PRODUCER(linger_ms),
    "How long a batch that is not full waits for more records. Kafka's default is 5; here batches gather while the flush before them runs.")
KJ_PROPERTY(PRODUCER_SCOPE, "max.block.ms", LONG, "60000", AT_LEAST(0), "ms", MEDIUM, ON, PRODUCER(max_block_ms),
    "How long kaja_producer_produce() waits while buffer.memory is full.")
KJ_PROPERTY(PRODUCER_SCOPE, "max.request.size", INT, "1048576", AT_LEAST(0), "bytes", MEDIUM, ON, PRODUCER(request_bytes_max),
    "The largest record, before compression, with what its batch adds to it.")
KJ_PROPERTY(PRODUCER_SCOPE, "partitioner.ignore.keys", BOOL, "false", FLAG, "", LOW, ON, PRODUCER(ignore_keys),
    "Records with a key are spread like those without; of the default partitioner alone.")
KJ_PROPERTY(PRODUCER_SCOPE, "kaja.record.headers.max", INT, "1000", AT_LEAST(0), "", LOW, ON, PRODUCER(record_headers_max),
    "The most headers of a record.")
KJ_PROPERTY(PRODUCER_SCOPE, "enable.idempotence", BOOL, "true", FLAG, "", LOW, ON, PRODUCER(idempotent),
    "Batches carry a producer id, an epoch and sequence numbers: one that is appended twice is in the log once, and none is skipped. Needs acks=all, retries above 0 and max.in.flight.requests.per.connection of at most 5: with other acks or retries it is off, and a conflict if it was set to true.")
KJ_PROPERTY(PRODUCER_SCOPE, "retries", INT, "2147483647", AT_LEAST(0), "", LOW, ON, PRODUCER(retries),
    "How often a batch whose append failed with a retriable error is tried again, within delivery.timeout.ms.")
KJ_PROPERTY(PRODUCER_SCOPE, "retry.backoff.ms", LONG, "100", AT_LEAST(0), "ms", LOW, ON, PRODUCER(retry_backoff_ms),
    "The wait before the first new try; it doubles with each.")
KJ_PROPERTY(PRODUCER_SCOPE, "retry.backoff.max.ms", LONG, "1000", AT_LEAST(0), "ms", LOW, ON, PRODUCER(retry_backoff_max_ms),
    "The longest such wait; it is cut short where delivery.timeout.ms ends before.")
KJ_PROPERTY(PRODUCER_SCOPE, "max.in.flight.requests.per.connection", INT, "5", AT_LEAST(1), "", LOW, NONE, NO,
    "Batches of a partition never overtake each other. More than 5 conflict with enable.idempotence, as in Kafka.")
KJ_PROPERTY(PRODUCER_SCOPE, "partitioner.adaptive.partitioning.enable", BOOL, "true", FLAG, "", LOW, ON, PRODUCER(adaptive),
    "Records without a key prefer partitions with short queues.")
KJ_PROPERTY(PRODUCER_SCOPE, "partitioner.availability.timeout.ms", LONG, "0", AT_LEAST(0), "ms", LOW, NONE, NO,
    "All partitions are on the same machine.")
KJ_PROPERTY(PRODUCER_SCOPE, "partitioner", STRING, NULL, ONE_OF("random, consistent, consistent_random, murmur2, murmur2_random, fnv1a, fnv1a_random"), "", LOW, ON, NO,
    "Which partition a record goes to that names none, by librdkafka's names: a hash of the key (consistent is CRC-32), where a missing key counts as an empty one, or with _random leaves it to chance, a batch at a time; random: any, each record anew. Not set: as murmur2_random, which is also what Kafka's own clients do.")
KJ_PROPERTY(PRODUCER_SCOPE, "partitioner.class", STRING, NULL, ONE_OF("org.apache.kafka.clients.producer.RoundRobinPartitioner, org.apache.kafka.clients.producer.UniformStickyPartitioner, org.apache.kafka.clients.producer.internals.DefaultPartitioner"), "", LOW, ON, NO,
    "The same by the names of Kafka's classes: each partition in turn; any, a batch at a time, whatever the key; as if not set. Classes are not loaded: kaja_producer_set_partitioner() takes a function of the application.")
KJ_PROPERTY(PRODUCER_SCOPE, "transaction.timeout.ms", INT, "60000", AT_LEAST(1), "ms", LOW, LATER, NO,
    "An unfinished transaction is aborted after this.")
KJ_PROPERTY(PRODUCER_SCOPE, "transactional.id", STRING, NULL, WORDS("none yet"), "", MEDIUM, LATER, NO,
    "Turns transactions on.")

/* --- consumer --- */
KJ_PROPERTY(CONSUMER_SCOPE, "allow.auto.create.topics", BOOL, "true", FLAG, "", LOW, NONE, NO,
    "Only producers make topics.")
KJ_PROPERTY(CONSUMER_SCOPE, "auto.offset.reset", STRING, "latest", PARSED("earliest, latest, none or by_duration:PnDTnHnMn.nS", good_offset_reset), "", HIGH, ON, NO,
    "Where to read from when a partition has no position, or one that is out of range. none: the poll fails with NO_OFFSET or OFFSET_OUT_OF_RANGE; by_duration: from the first record that is not older than this.")
KJ_PROPERTY(CONSUMER_SCOPE, "check.crcs", BOOL, "true", FLAG, "", LOW, ON, CONSUMER(check_crcs),
    "Check the checksum of each batch.")
KJ_PROPERTY(CONSUMER_SCOPE, "client.id", STRING, "", WORDS("any text"), "", LOW, NONE, NO,
    "A name for people.")
KJ_PROPERTY(CONSUMER_SCOPE, "fetch.max.bytes", INT, "52428800", AT_LEAST(0), "bytes", MEDIUM, ON, CONSUMER(fetch_bytes_max),
    "Bytes of batches that one poll takes from the log; the first batch comes in any case.")
KJ_PROPERTY(CONSUMER_SCOPE, "fetch.max.wait.ms", INT, "500", AT_LEAST(0), "ms", LOW, ON, CONSUMER(fetch_wait_max_ms),
    "How long a poll waits for fetch.min.bytes, within its own timeout.")
KJ_PROPERTY(CONSUMER_SCOPE, "fetch.min.bytes", INT, "1", AT_LEAST(0), "bytes", LOW, ON, CONSUMER(fetch_bytes_min),
    "The least that a poll waits for.")
KJ_PROPERTY(CONSUMER_SCOPE, "isolation.level", STRING, "read_uncommitted", ONE_OF("read_uncommitted, read_committed"), "", MEDIUM, ON, CONSUMER(read_committed),
    "read_committed leaves out records of transactions that were aborted or are still open.")
KJ_PROPERTY(CONSUMER_SCOPE, "kaja.commit.acks", STRING, "all", ONE_OF("1, all, -1"), "", MEDIUM, ON, NO,
    "When a commit is done. 1: when it is in the page cache, which survives the death of any process; all, the same as -1: when it is on the device, which survives a power cut.")
KJ_PROPERTY(CONSUMER_SCOPE, "kaja.decompressed.max.bytes", LONG, "104857600", AT_LEAST(0), "bytes", LOW, ON, CONSUMER(decompressed_bytes_max),
    "A compressed batch that becomes larger than this is refused: RECORD_TOO_LARGE.")
KJ_PROPERTY(CONSUMER_SCOPE, "kaja.memory.max", LONG, "1073741824", AT_LEAST(1048576), "bytes", MEDIUM, ON, CONSUMER(memory_bytes_max),
    "The most bytes that the batches of one consumer that were not released may hold; a poll beyond fails with MEMORY_LIMIT. Not set: what the store handle has.")
KJ_PROPERTY(CONSUMER_SCOPE, "kaja.read.durable", BOOL, "false", FLAG, "", MEDIUM, ON, CONSUMER(read_durable),
    "Read only what survives a power cut.")
KJ_PROPERTY(CONSUMER_SCOPE, "max.partition.fetch.bytes", INT, "1048576", AT_LEAST(0), "bytes", MEDIUM, ON, CONSUMER(partition_fetch_bytes_max),
    "The same for each partition.")
KJ_PROPERTY(CONSUMER_SCOPE, "max.poll.records", INT, "500", AT_LEAST(1), "", MEDIUM, ON, CONSUMER(max_poll_records),
    "The most records of a poll.")
KJ_PROPERTY(CONSUMER_SCOPE, "default.api.timeout.ms", INT, "60000", AT_LEAST(0), "ms", LOW, NONE, NO,
    "Every call that waits has a timeout of its own.")
KJ_PROPERTY(CONSUMER_SCOPE, "auto.commit.interval.ms", INT, "5000", AT_LEAST(0), "ms", LOW, ON, CONSUMER(auto_commit_interval_ms),
    "The time between two commits of enable.auto.commit.")
KJ_PROPERTY(CONSUMER_SCOPE, "enable.auto.commit", BOOL, "true", FLAG, "", MEDIUM, ON, CONSUMER(auto_commit),
    "Commit the positions by itself: what earlier polls gave out, in a poll when the time has come, before an assignment changes, and at close. Without group.id it is false.")
KJ_PROPERTY(CONSUMER_SCOPE, "exclude.internal.topics", BOOL, "true", FLAG, "", LOW, ON, CONSUMER(exclude_internal),
    "kaja_consumer_subscribe_pattern() passes over internal topics. They can be subscribed to by name in any case.")
KJ_PROPERTY(CONSUMER_SCOPE, "group.id", STRING, NULL, WORDS("any text"), "", HIGH, ON, NO,
    "The group that the consumer shares its partitions with, and whose committed offsets it has. Needed by kaja_consumer_subscribe() and commits.")
KJ_PROPERTY(CONSUMER_SCOPE, "group.instance.id", STRING, NULL, WORDS("any text"), "", MEDIUM, ON, NO,
    "Makes the consumer a static member: it does not leave its group when it closes, and who comes back with the same id within session.timeout.ms gets the same partitions without a rebalance.")
KJ_PROPERTY(CONSUMER_SCOPE, "group.protocol", STRING, "classic", ONE_OF("classic, consumer"), "", LOW, LATER, NO,
    "The protocol of groups; classic is the only one here.")
KJ_PROPERTY(CONSUMER_SCOPE, "heartbeat.interval.ms", INT, "3000", AT_LEAST(1), "ms", LOW, ON, CONSUMER(member.heartbeat_interval_ms),
    "The time between two signs of life of a member; less than session.timeout.ms.")
KJ_PROPERTY(CONSUMER_SCOPE, "max.poll.interval.ms", INT, "300000", AT_LEAST(1), "ms", MEDIUM, ON, CONSUMER(member.rebalance_timeout_ms),
    "The longest time between two polls of a member: after that it leaves its group by itself. Also how long a rebalance waits for it.")
KJ_PROPERTY(CONSUMER_SCOPE, "partition.assignment.strategy", LIST, "range, cooperative-sticky", WORDS("range, roundrobin, sticky, cooperative-sticky"), "", MEDIUM, ON, NO,
    "How the members of a group share partitions: the first that all of them name and most of them want. Rebalances are cooperative if it names cooperative-sticky alone, else eager. Kafka's names of the classes are taken too.")
KJ_PROPERTY(CONSUMER_SCOPE, "session.timeout.ms", INT, "45000", AT_LEAST(1), "ms", MEDIUM, ON, CONSUMER(member.session_timeout_ms),
    "A member without a sign of life for so long is dropped (one whose process died is dropped at once). Within group.min.session.timeout.ms and group.max.session.timeout.ms.")

/* --- producers and consumers alike: there is no network, and records are bytes --- */
KJ_PROPERTY(PRODUCER_SCOPE, "key.serializer", STRING, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "Keys are bytes.")
KJ_PROPERTY(PRODUCER_SCOPE, "value.serializer", STRING, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "Values are bytes.")
KJ_PROPERTY(CONSUMER_SCOPE, "key.deserializer", STRING, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "Keys are bytes.")
KJ_PROPERTY(CONSUMER_SCOPE, "value.deserializer", STRING, NULL, WORDS("any text"), "", LOW, NONE, NO,
    "Values are bytes.")
KJ_PROPERTY(CLIENTS, "interceptor.classes", LIST, "", WORDS("none yet"), "", LOW, LATER, NO,
    "Hooks of the application around records.")
#define KJ_UNUSED(scope, name, type, default_value, text)                                          \
    KJ_PROPERTY(scope, name, type, default_value, WORDS("any"), "", LOW, NONE, NO, text)
KJ_UNUSED(CLIENTS, "bootstrap.servers", LIST, NULL, "There is no server.")
KJ_UNUSED(CLIENTS, "client.dns.lookup", STRING, "use_all_dns_ips", "There is no network.")
KJ_UNUSED(CLIENTS, "client.rack", STRING, "", "There is no network.")
KJ_UNUSED(CLIENTS, "connections.max.idle.ms", STRING, "540000", "There is no network.")
KJ_UNUSED(CLIENTS, "receive.buffer.bytes", STRING, "65536", "There is no network.")
KJ_UNUSED(CLIENTS, "send.buffer.bytes", STRING, "131072", "There is no network.")
KJ_UNUSED(CLIENTS, "reconnect.backoff.ms", STRING, "50", "There is no network.")
KJ_UNUSED(CLIENTS, "reconnect.backoff.max.ms", STRING, "1000", "There is no network.")
KJ_UNUSED(CLIENTS, "socket.connection.setup.timeout.ms", STRING, "10000", "There is no network.")
KJ_UNUSED(CLIENTS, "socket.connection.setup.timeout.max.ms", STRING, "30000", "There is no network.")
KJ_UNUSED(CLIENTS, "request.timeout.ms", STRING, "30000", "There are no requests; see kaja.lock.timeout.ms.")
KJ_UNUSED(CONSUMER_SCOPE, "retry.backoff.ms", STRING, "100", "A poll is tried again by whoever polls.")
KJ_UNUSED(CONSUMER_SCOPE, "retry.backoff.max.ms", STRING, "1000", "A poll is tried again by whoever polls.")
KJ_UNUSED(CLIENTS, "metadata.max.age.ms", STRING, "300000", "Every handle sees new topics and partitions at once.")
KJ_UNUSED(CLIENTS, "metadata.max.idle.ms", STRING, "300000", "Every handle sees new topics and partitions at once.")
KJ_UNUSED(CLIENTS, "metadata.recovery.strategy", STRING, "rebootstrap", "There is no server.")
KJ_UNUSED(CLIENTS, "metadata.recovery.rebootstrap.trigger.ms", STRING, "300000", "There is no server.")
KJ_UNUSED(CLIENTS, "metric.reporters", LIST, "", "kaja_metrics() gives the numbers.")
KJ_UNUSED(CLIENTS, "metrics.num.samples", STRING, "2", "kaja_metrics() gives the numbers.")
KJ_UNUSED(CLIENTS, "metrics.recording.level", STRING, "INFO", "kaja_metrics() gives the numbers.")
KJ_UNUSED(CLIENTS, "metrics.sample.window.ms", STRING, "30000", "kaja_metrics() gives the numbers.")
KJ_UNUSED(CLIENTS, "enable.metrics.push", STRING, "true", "kaja_metrics() gives the numbers.")
KJ_UNUSED(CLIENTS, "auto.include.jmx.reporter", STRING, "true", "kaja_metrics() gives the numbers.")

/* --- security: whoever may open the directory may use it --- */
KJ_UNUSED(EVERYWHERE, "security.protocol", STRING, "PLAINTEXT", "There is no network.")
KJ_UNUSED(EVERYWHERE, "security.providers", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.mechanism", STRING, "GSSAPI", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.jaas.config", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.client.callback.handler.class", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.callback.handler.class", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.class", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.connect.timeout.ms", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.read.timeout.ms", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.refresh.buffer.seconds", STRING, "300", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.refresh.min.period.seconds", STRING, "60", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.refresh.window.factor", STRING, "0.8", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.refresh.window.jitter", STRING, "0.05", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.retry.backoff.ms", STRING, "100", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.login.retry.backoff.max.ms", STRING, "10000", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.kerberos.service.name", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.kerberos.kinit.cmd", STRING, "/usr/bin/kinit", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.kerberos.min.time.before.relogin", STRING, "60000", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.kerberos.ticket.renew.jitter", STRING, "0.05", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.kerberos.ticket.renew.window.factor", STRING, "0.8", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.token.endpoint.url", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.jwks.endpoint.url", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.expected.audience", LIST, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.expected.issuer", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.scope.claim.name", STRING, "scope", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.sub.claim.name", STRING, "sub", "There is no network.")
KJ_UNUSED(EVERYWHERE, "sasl.oauthbearer.clock.skew.seconds", STRING, "30", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.protocol", STRING, "TLSv1.3", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.enabled.protocols", LIST, "TLSv1.2,TLSv1.3", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.cipher.suites", LIST, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.provider", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keystore.location", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keystore.password", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keystore.type", STRING, "JKS", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keystore.key", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keystore.certificate.chain", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.key.password", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.truststore.location", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.truststore.password", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.truststore.type", STRING, "JKS", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.truststore.certificates", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.keymanager.algorithm", STRING, "SunX509", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.trustmanager.algorithm", STRING, "PKIX", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.endpoint.identification.algorithm", STRING, "https", "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.secure.random.implementation", STRING, NULL, "There is no network.")
KJ_UNUSED(EVERYWHERE, "ssl.engine.factory.class", STRING, NULL, "There is no network.")

/* --- a broker's network and replication, and topics' share of them --- */
KJ_UNUSED(DIRECTORY, "broker.id", STRING, "-1", "There is no broker.")
KJ_UNUSED(DIRECTORY, "node.id", STRING, NULL, "There is no broker.")
KJ_UNUSED(DIRECTORY, "process.roles", LIST, "", "There is no broker.")
KJ_UNUSED(DIRECTORY, "listeners", LIST, NULL, "There is no network.")
KJ_UNUSED(DIRECTORY, "advertised.listeners", LIST, NULL, "There is no network.")
KJ_UNUSED(DIRECTORY, "listener.security.protocol.map", LIST, NULL, "There is no network.")
KJ_UNUSED(DIRECTORY, "inter.broker.listener.name", STRING, NULL, "There is no network.")
KJ_UNUSED(DIRECTORY, "controller.listener.names", LIST, NULL, "There is no controller.")
KJ_UNUSED(DIRECTORY, "controller.quorum.voters", LIST, "", "There is no controller.")
KJ_UNUSED(DIRECTORY, "controller.quorum.bootstrap.servers", LIST, "", "There is no controller.")
KJ_UNUSED(DIRECTORY, "zookeeper.connect", STRING, NULL, "There is no controller.")
KJ_UNUSED(DIRECTORY, "num.network.threads", STRING, "3", "There is no network.")
KJ_UNUSED(DIRECTORY, "num.io.threads", STRING, "8", "There is no network.")
KJ_UNUSED(DIRECTORY, "background.threads", STRING, "10", "See kaja.background.threads.")
KJ_UNUSED(DIRECTORY, "queued.max.requests", STRING, "500", "There is no network.")
KJ_UNUSED(DIRECTORY, "socket.send.buffer.bytes", STRING, "102400", "There is no network.")
KJ_UNUSED(DIRECTORY, "socket.receive.buffer.bytes", STRING, "102400", "There is no network.")
KJ_UNUSED(DIRECTORY, "socket.request.max.bytes", STRING, "104857600", "There is no network.")
KJ_UNUSED(DIRECTORY, "default.replication.factor", STRING, "1", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "offsets.topic.replication.factor", STRING, "1", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "transaction.state.log.replication.factor", STRING, "1", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "transaction.state.log.min.isr", STRING, "1", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "num.replica.fetchers", STRING, "1", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "replica.lag.time.max.ms", STRING, "30000", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "auto.leader.rebalance.enable", STRING, "true", "There are no replicas.")
KJ_UNUSED(DIRECTORY, "controlled.shutdown.enable", STRING, "true", "There are no replicas.")
#undef KJ_UNUSED
KJ_TOPIC("min.insync.replicas", "min.insync.replicas", INT, "1", AT_LEAST(1), "", LOW, NONE, NO,
    "There are no replicas.")
KJ_TOPIC("unclean.leader.election.enable", "unclean.leader.election.enable", BOOL, "false", FLAG, "", LOW, NONE, NO,
    "There are no replicas.")
KJ_TOPIC_ONLY("leader.replication.throttled.replicas", NULL, LIST, "", WORDS("any"), "", LOW, NONE, NO,
    "There are no replicas.")
KJ_TOPIC_ONLY("follower.replication.throttled.replicas", NULL, LIST, "", WORDS("any"), "", LOW, NONE, NO,
    "There are no replicas.")
KJ_TOPIC_ONLY("remote.storage.enable", NULL, BOOL, "false", FLAG, "", LOW, LATER, NO,
    "Older segments on another storage.")
/* clang-format on */
