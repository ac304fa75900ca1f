/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/checkpoint.h - Kafka's small text files. All are replaced as a whole (kj_io_replace_file).
 *
 *   recovery-point-offset-checkpoint, log-start-offset-checkpoint, replication-offset-checkpoint,
 *   cleaner-offset-checkpoint:  "0\n<count>\n" then "<topic> <partition> <offset>\n" each
 *   leader-epoch-checkpoint:    "0\n<count>\n" then "<epoch> <start offset>\n" each, both rising
 *   partition.metadata:         "version: 0\ntopic_id: <22 characters>" without a final newline
 *
 * A missing or empty checkpoint has no entries. One that cannot be read is DAMAGED, with its line.
 */
#ifndef KJ_LOG_CHECKPOINT_H
#define KJ_LOG_CHECKPOINT_H

#include "os/io.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_checkpoint_entry {
    char *topic; /* owned by the checkpoint */
    int32_t partition;
    int64_t offset;
};

/* Entries in the file's order; lookups by hash. */
struct kj_checkpoint {
    struct kj_checkpoint_entry *entries;
    size_t count;
    size_t capacity;
    void *index; /* (topic, partition) -> entry */
};

void kj_checkpoint_init(struct kj_checkpoint *checkpoint);
void kj_checkpoint_free(struct kj_checkpoint *checkpoint);
int kj_checkpoint_read(struct kj_io *io, const char *path, struct kj_checkpoint *ret_checkpoint);
int kj_checkpoint_write(struct kj_io *io, const char *path, const struct kj_checkpoint *checkpoint,
                        bool durable);
/* -1 if there is none. */
int64_t kj_checkpoint_get(const struct kj_checkpoint *checkpoint, const char *topic, int32_t partition);
int kj_checkpoint_put(struct kj_checkpoint *checkpoint, const char *topic, int32_t partition, int64_t offset);
void kj_checkpoint_remove(struct kj_checkpoint *checkpoint, const char *topic, int32_t partition);

/* The leader epochs of a partition. */
struct kj_epoch {
    int32_t epoch;
    int64_t start_offset;
};
struct kj_epochs {
    struct kj_epoch *items;
    size_t count;
    size_t capacity;
};
int kj_epochs_read(struct kj_io *io, const char *dir, struct kj_epochs *ret_epochs);
int kj_epochs_write(struct kj_io *io, const char *dir, const struct kj_epochs *epochs, bool durable);
void kj_epochs_free(struct kj_epochs *epochs);
/* The newest epoch, 0 if there is none. */
int32_t kj_epochs_last(const struct kj_epochs *epochs);
/* Notes that epoch begins at start_offset if it is newer than the newest; true if something changed. */
int kj_epochs_note(struct kj_epochs *epochs, int32_t epoch, int64_t start_offset, bool *ret_changed);
/* Log start moved: entries below collapse so that the first kept one starts there. */
bool kj_epochs_cut_start(struct kj_epochs *epochs, int64_t log_start);
/* The log was cut: entries that start at or behind end go. */
bool kj_epochs_cut_end(struct kj_epochs *epochs, int64_t end);

/* partition.metadata. ENOENT story: KAJA_ERR_UNKNOWN_TOPIC_ID when the file is missing. */
int kj_partition_metadata_read(struct kj_io *io, const char *dir, uint8_t ret_id[static 16]);
int kj_partition_metadata_write(struct kj_io *io, const char *dir, const uint8_t id[static 16], bool durable);

#endif
