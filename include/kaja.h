/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja.h - Apache Kafka's log as an embedded library: topics, partitions, offsets, producers and
 * consumers over one directory that threads and processes share.
 *
 * Reading order: error, version, conf, store, record, producer, consumer, admin, metrics, inspect,
 * export, serde.
 *
 * Words used throughout
 *   Errors:   the codes a function returns beside 0, without KAJA_ERR_. Always possible and not
 *             repeated: OUT_OF_MEMORY; for every function that takes a handle FORKED, INVALID_ARG
 *             (the handle is NULL or closed) and NO_DIRECTORY (it was removed or replaced
 *             meanwhile). "Reading": KAFKA_STORAGE_ERROR, DAMAGED, CORRUPT_MESSAGE,
 *             UNSUPPORTED_MAGIC, FILE_LIMIT, NOT_KAJA (something else stands in a file's place),
 *             and LOCK_TIMED_OUT where a partition is used for the first time. "Writing": those,
 *             DISK_FULL and READ_ONLY.
 *   Threads:  "any" = any number of threads at once; "one" = one at a time per handle.
 *   Blocks:   whether and for how long a call may sleep. Every wait has a timeout in milliseconds:
 *             0 does not wait, negative waits without limit.
 *   Kafka:    what the same thing is called there.
 *
 * Durability (man kaja-durability): acks=0 survives nothing but the call; acks=1 survives the death
 * of any process, not a power cut; acks=all (the default) survives a power cut.
 */
#ifndef KAJA_H
#define KAJA_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define KAJA_API __attribute__((visibility("default")))
#else
#define KAJA_API
#endif

#include <kaja/error.h>
#include <kaja/version.h>
#include <kaja/conf.h>
#include <kaja/store.h>
#include <kaja/record.h>
#include <kaja/producer.h>
#include <kaja/consumer.h>
#include <kaja/admin.h>
#include <kaja/metrics.h>
#include <kaja/inspect.h>
#include <kaja/export.h>
#include <kaja/serde.h>

#endif
