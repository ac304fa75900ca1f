/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/lock_table.h - every mutex of the library, in the order in which they may be nested: a
 * thread that holds a lock may take only locks of a higher rank. Debug builds assert it. A row is
 *
 *     KJ_LOCK(name, rank, what it protects)
 *
 * Locks between processes (os/shared) have an order of their own: door < catalog < append lock of a
 * partition < flush lock is never nested inside append; see man/kaja-processes.7.
 */
/* clang-format off */
KJ_LOCK(WATCH,       2, "what a consumer's descriptor waits for, while it is looked at")
KJ_LOCK(MEMBER,      3, "one member of a consumer group, through each of its steps")
KJ_LOCK(CATALOG,     5, "one change of the catalog by one handle, nested around the catalog lock between processes")
KJ_LOCK(STORE,      10, "a store handle's list of topics, partitions and tasks")
KJ_LOCK(PRODUCER,   20, "a producer's table of topics and partitions")
KJ_LOCK(OPEN_BATCH, 30, "the batches of one partition of one producer")
KJ_LOCK(LOG_APPEND, 50, "appending to one partition of one handle, inside its append lock between processes")
KJ_LOCK(OFFSETS,    52, "what the records of __consumer_offsets say, in one handle")
KJ_LOCK(LOG_PREPARE, 55, "making pages ready behind the end of one partition, against its roll")
KJ_LOCK(LOG_LIST,   58, "reading the directory of one partition anew")
KJ_LOCK(LOG_SEGMENTS, 60, "the list of segments of one partition of one handle")
KJ_LOCK(FLUSHER,    70, "who flushes for whom in one handle")
KJ_LOCK(FILES,      80, "open descriptors and maps of one handle")
KJ_LOCK(RING,       85, "the io_uring of one handle")
KJ_LOCK(BUFFERS,    88, "a producer's buffer pool")
KJ_LOCK(EVENTS,     90, "a store's queue of events")
KJ_LOCK(WORKER,     92, "what the worker shall do next")
KJ_LOCK(LEAF,       99, "small private things; nothing is taken inside")
/* clang-format on */
