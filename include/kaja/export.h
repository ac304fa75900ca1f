/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/export.h - going on to an Apache Kafka broker with the same files.
 */
#ifndef KAJA_EXPORT_H
#define KAJA_EXPORT_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum kaja_export_how {
    KAJA_EXPORT_REFLINKED = 1, /* shares its blocks with the source until one of them is written */
    KAJA_EXPORT_COPIED = 2,
    KAJA_EXPORT_REWRITTEN = 3, /* __consumer_offsets: written anew, group by group */
    KAJA_EXPORT_UNCHANGED = 4  /* the target had the very same records already */
};

/* One partition of the target. */
struct kaja_export_partition {
    enum kaja_export_how how;
    const char *topic;
    int32_t partition;
    int64_t first_offset; /* that can be read */
    int64_t end_offset;   /* behind the last */
    int64_t segments;
    int64_t bytes; /* of the .log files */
};
typedef void kaja_export_callback(void *arg, const struct kaja_export_partition *partition);

struct kaja_export_result {
    int64_t partitions, segments, bytes;
    int64_t offsets;  /* records of __consumer_offsets that went along */
    int64_t left_out; /* and that did not: of open or aborted transactions, or of unknown kinds */
};

/* Puts topics of the directory at path (topic_count 0: all of them) into target, the log directory
 * of a stopped broker in which the same topics were created and hold nothing yet. Changes nothing
 * of the source, but for recovering it first if it was not closed in order, as any opening would.
 * Nobody can begin to write to either meanwhile. A failure leaves each partition of the target
 * either as it was or complete; the same call again goes on from there. The callback (may be NULL)
 * is told each partition once all is done; pointers are valid during the call.
 * Errors: INVALID_ARG (a path is empty, or one lies in the other), NO_DIRECTORY,
 * LOG_DIR_NOT_FOUND (target is no broker's), STATE (the source is open for writing),
 * BROKER_HAS_DIRECTORY (either), DAMAGED (the source), UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_PARTITIONS (the target has other ones), CONFLICT (the target holds records), NOT_KAJA (a
 * foreign file there), INVALID_TOPIC_EXCEPTION, DISK_FULL, KAFKA_STORAGE_ERROR. Threads: any.
 * Blocks: for reading, copying and flushing all of it. */
KAJA_API int kaja_export_kafka(const char *path, const char *target, const char *const *topics,
                               size_t topic_count, kaja_export_callback *callback, void *arg,
                               struct kaja_export_result *ret_result);

#ifdef __cplusplus
}
#endif
#endif
