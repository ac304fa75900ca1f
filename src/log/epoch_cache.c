/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/epoch_cache.c - the small files of a partition: leader epochs and topic id. Invariant of a
 * struct kj_epochs: epochs and start offsets both rise strictly.
 *
 * Kafka: LeaderEpochFileCache, PartitionMetadataFile.
 */
#include "log/checkpoint.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "log/text_file.h"

#include <stdio.h>
#include <string.h>

static void path_of(char path[static KJ_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(path, KJ_PATH_MAX, "%s/%s", dir, name);
    KJ_ASSERT(n > 0 && n < KJ_PATH_MAX);
}

void kj_epochs_free(struct kj_epochs *epochs)
{
    kj_free(epochs->items);
    *epochs = (struct kj_epochs){0};
}

int32_t kj_epochs_last(const struct kj_epochs *epochs)
{
    return epochs->count > 0 ? epochs->items[epochs->count - 1].epoch : 0;
}

static int append(struct kj_epochs *epochs, int32_t epoch, int64_t start_offset)
{
    KJ_TRY(kj_grow((void **)&epochs->items, &epochs->capacity, epochs->count + 1,
                   sizeof *epochs->items));
    epochs->items[epochs->count++] = (struct kj_epoch){epoch, start_offset};
    return 0;
}

static int read_entry(struct kj_text_file *file, struct kj_epochs *epochs)
{
    char *fields[2];
    int64_t epoch, start_offset;
    KJ_TRY(kj_text_fields(file, fields, 2));
    KJ_TRY(kj_text_number(file, fields[0], INT32_MAX, &epoch));
    KJ_TRY(kj_text_number(file, fields[1], INT64_MAX, &start_offset));
    if (epochs->count > 0) {
        const struct kj_epoch *last = &epochs->items[epochs->count - 1];
        if (epoch <= last->epoch || start_offset <= last->start_offset)
            return kj_text_bad(file, "epoch or start offset does not rise");
    }
    return append(epochs, (int32_t)epoch, start_offset);
}

int kj_epochs_read(struct kj_io *io, const char *dir, struct kj_epochs *ret_epochs)
{
    char path[KJ_PATH_MAX];
    struct kj_text_file file;
    struct kj_epochs epochs = {0};
    path_of(path, dir, "leader-epoch-checkpoint");
    KJ_TRY(kj_text_open(io, path, &file));
    int err = 0;
    for (int64_t i = 0; i < file.count && err == 0; i++)
        err = read_entry(&file, &epochs);
    if (err == 0)
        err = kj_text_end(&file);
    kj_text_close(&file);
    if (err != 0) {
        kj_epochs_free(&epochs);
        return err;
    }
    *ret_epochs = epochs;
    return 0;
}

int kj_epochs_write(struct kj_io *io, const char *dir, const struct kj_epochs *epochs, bool durable)
{
    enum { LINE_BYTES = 36 }; /* 10 and 19 digits, blank, newline */
    char path[KJ_PATH_MAX];
    path_of(path, dir, "leader-epoch-checkpoint");
    size_t room = LINE_BYTES * (epochs->count + 1);
    char *text = kj_alloc(room);
    if (text == NULL)
        return kj_err_oom("leader epochs");
    size_t len = (size_t)snprintf(text, room, "0\n%zu\n", epochs->count);
    for (size_t i = 0; i < epochs->count; i++)
        len += (size_t)snprintf(text + len, room - len, "%d %lld\n", epochs->items[i].epoch,
                                (long long)epochs->items[i].start_offset);
    KJ_ASSERT(len < room);
    int os = kj_io_replace_file(io, path, text, len, durable);
    kj_free(text);
    return os == 0 ? 0 : kj_file_replace_error(io, os, path);
}

bool kj_epochs_cut_end(struct kj_epochs *epochs, int64_t end)
{
    size_t before = epochs->count;
    while (epochs->count > 0 && epochs->items[epochs->count - 1].start_offset >= end)
        epochs->count--;
    return epochs->count != before;
}

int kj_epochs_note(struct kj_epochs *epochs, int32_t epoch, int64_t start_offset, bool *ret_changed)
{
    KJ_ASSERT(start_offset >= 0);
    if (epoch < 0 || (epochs->count > 0 && epoch <= kj_epochs_last(epochs))) {
        *ret_changed = false;
        return 0;
    }
    /* Room first: on failure nothing changes. Older epochs that begin here had no batch. */
    KJ_TRY(kj_grow((void **)&epochs->items, &epochs->capacity, epochs->count + 1,
                   sizeof *epochs->items));
    (void)kj_epochs_cut_end(epochs, start_offset);
    epochs->items[epochs->count++] = (struct kj_epoch){epoch, start_offset};
    *ret_changed = true;
    return 0;
}

bool kj_epochs_cut_start(struct kj_epochs *epochs, int64_t log_start)
{
    size_t below = 0; /* entries at or below log_start; the last of them reaches over it */
    while (below < epochs->count && epochs->items[below].start_offset <= log_start)
        below++;
    if (below == 0 || (below == 1 && epochs->items[0].start_offset == log_start))
        return false;
    size_t gone = below - 1;
    memmove(epochs->items, epochs->items + gone, (epochs->count - gone) * sizeof *epochs->items);
    epochs->count -= gone;
    epochs->items[0].start_offset = log_start;
    return true;
}

/* --- partition.metadata --- */

static const char metadata_head[] = "version: 0\ntopic_id: ";
enum { METADATA_MAX = 4096, METADATA_HEAD_BYTES = sizeof metadata_head - 1, UUID_CHARS = 22 };

int kj_partition_metadata_read(struct kj_io *io, const char *dir, uint8_t ret_id[static 16])
{
    char path[KJ_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    path_of(path, dir, "partition.metadata");
    KJ_TRY(kj_text_read(io, path, METADATA_MAX, &bytes, &len));
    if (bytes == NULL)
        return kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "%s does not exist", path);
    const size_t whole = METADATA_HEAD_BYTES + UUID_CHARS;
    char *text = (char *)bytes;
    bool ok = (len == whole || (len == whole + 1 && text[whole] == '\n')) &&
              memcmp(text, metadata_head, METADATA_HEAD_BYTES) == 0;
    if (ok) {
        text[whole] = '\0';
        ok = kj_uuid_parse(text + METADATA_HEAD_BYTES, ret_id);
    }
    kj_free(bytes);
    return ok ? 0
              : kj_err(KAJA_ERR_DAMAGED, "%s is not \"version: 0\", \"topic_id: <22 characters>\"",
                       path);
}

int kj_partition_metadata_write(struct kj_io *io, const char *dir, const uint8_t id[static 16],
                                bool durable)
{
    char path[KJ_PATH_MAX];
    char text[METADATA_HEAD_BYTES + UUID_CHARS + 1];
    path_of(path, dir, "partition.metadata");
    memcpy(text, metadata_head, METADATA_HEAD_BYTES);
    kj_uuid_text(id, text + METADATA_HEAD_BYTES);
    int os = kj_io_replace_file(io, path, text, sizeof text - 1, durable);
    return os == 0 ? 0 : kj_file_replace_error(io, os, path);
}
