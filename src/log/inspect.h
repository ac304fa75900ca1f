/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/inspect.h - walks single files wherever they lie, outside of any store: for people who look
 * at bytes. Nothing is trusted, nothing is changed, and memory is bounded by 64 KiB or one batch,
 * whose size is what its header says and the file really holds.
 *
 * The file's directory is opened as a read-only root: links in the last component are refused.
 */
#ifndef KJ_LOG_INSPECT_H
#define KJ_LOG_INSPECT_H

#include "log/file_names.h"
#include "log/index.h"
#include "log/producer_state.h"
#include "record/batch.h"

#include <stdbool.h>
#include <stdint.h>

struct kj_inspect {
    struct kj_io *io;
    struct kj_file *file;
    const char *path; /* as given: it must stay */
    const char *name; /* its last component */
    int64_t bytes;
    /* Of the name of its directory, as far as path shows it; "" and -1 if it is no partition's. */
    char topic[KJ_TOPIC_NAME_MAX + 1];
    int32_t partition;
};

/* KAFKA_STORAGE_ERROR. kj_inspect_close() is due after success. */
int kj_inspect_open(const char *path, struct kj_inspect *ret_inspect);
void kj_inspect_close(struct kj_inspect *inspect);

struct kj_inspect_batch {
    int64_t pos;
    struct kj_batch batch;
    const uint8_t *bytes; /* the whole batch, valid during the call */
    bool crc_ok;
};
typedef int kj_inspect_batch_callback(void *arg, const struct kj_inspect_batch *batch);

/* Calls back for each batch that lies wholly below max_bytes (negative: no such limit); non-zero
 * stops and is returned. *ret_trailing: bytes behind the last whole batch, that is a torn batch or
 * prepared space; 0 if the limit ended the walk. CORRUPT_MESSAGE (no batch where one must begin),
 * UNSUPPORTED_MAGIC, KAFKA_STORAGE_ERROR, OUT_OF_MEMORY. */
int kj_inspect_log(struct kj_inspect *inspect, int64_t max_bytes,
                   kj_inspect_batch_callback *callback, void *arg, int64_t *ret_trailing);

/* An entry of whichever index it is. */
struct kj_inspect_entry {
    enum kj_file_kind kind; /* KJ_FILE_INDEX, TIMEINDEX, TXNINDEX */
    union {
        struct kj_offset_entry offset;
        struct kj_time_entry time;
        struct kj_txn_entry txn;
    } u;
};
typedef int kj_inspect_entry_callback(void *arg, const struct kj_inspect_entry *entry);

/* The kind and the base offset come from the file's name. A zero tail, as an open segment's index
 * has it, is no entry. INVALID_ARG (another name), DAMAGED, KAFKA_STORAGE_ERROR. */
int kj_inspect_index(struct kj_inspect *inspect, kj_inspect_entry_callback *callback, void *arg);

/* KAFKA_STORAGE_ERROR, DAMAGED, UNSUPPORTED_VERSION, OUT_OF_MEMORY. */
int kj_inspect_snapshot(struct kj_inspect *inspect, kj_producer_callback *callback, void *arg);

#endif
