/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/export_writer.c - a partition written record by record, for nobody else to see until it is
 * finished: no words, no locks, no flush before the end.
 */
#include "log/export.h"

#include "log/internal.h"

#include <string.h>

enum {
    BATCH_BYTES = 16 << 10,   /* batch.size; a larger record gets a batch of its own */
    SEGMENT_BYTES = 64 << 20, /* ours of a topic; a broker rolls by its own size from then on */
    INDEX_INTERVAL = 4096
};

struct kj_export_writer {
    struct kj_io *io;
    char dir[KJ_DIR_NAME_MAX + 1];
    uint8_t id[16];
    int32_t epoch; /* the newest that the target knows: it is who writes these batches */
    int64_t end;   /* offset of the next record, those of the open batch not counted */
    struct kj_batch_writer batch;
    uint8_t *buf;
    size_t capacity;
    /* the segment being written */
    struct kj_file *file; /* NULL: none */
    int64_t base_offset;
    struct kj_indexer indexer;
    struct kj_export_counts counts;
};

static int make_file(struct kj_export_writer *writer, enum kj_file_kind kind,
                     struct kj_file **ret_file)
{
    char path[KJ_PATH_MAX];
    kj_file_path(path, writer->dir, kind, writer->base_offset);
    int os =
        kj_io_open(writer->io, path, KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, ret_file);
    return os == 0 ? 0 : kj_err_os(os, "making %s", path);
}

static int begin_segment(struct kj_export_writer *writer)
{
    const struct kj_tail tail = {
        .end = writer->end, .max_timestamp = -1, .max_ts_offset = writer->end};
    writer->base_offset = writer->end;
    KJ_TRY(make_file(writer, KJ_FILE_LOG, &writer->file));
    kj_indexer_init(&writer->indexer, writer->base_offset, INDEX_INTERVAL, &tail, -1);
    writer->counts.segments++;
    return 0;
}

static int write_index(struct kj_export_writer *writer, enum kj_file_kind kind,
                       const struct kj_buffer *entries)
{
    struct kj_file *file;
    KJ_TRY(make_file(writer, kind, &file));
    int os = entries->len == 0 ? 0 : kj_io_pwrite(file, entries->bytes, entries->len, 0);
    if (os == 0)
        os = kj_io_sync(file);
    kj_io_close(file);
    return os == 0 ? 0 : kj_err_os(os, "writing an index of %s", writer->dir);
}

static int end_segment(struct kj_export_writer *writer)
{
    int err = kj_indexer_close(&writer->indexer);
    if (err == 0)
        err = write_index(writer, KJ_FILE_INDEX, &writer->indexer.offsets);
    if (err == 0)
        err = write_index(writer, KJ_FILE_TIMEINDEX, &writer->indexer.times);
    int os = err == 0 ? kj_io_sync(writer->file) : 0;
    kj_io_close(writer->file);
    writer->file = NULL;
    kj_indexer_free(&writer->indexer);
    KJ_TRY(err);
    return os == 0 ? 0 : kj_err_os(os, "flushing a segment of %s", writer->dir);
}

int kj_export_writer_open(struct kj_io *to, const char *like, const char *dir,
                          struct kj_export_writer **ret_writer)
{
    struct kj_epochs known;
    uint8_t id[16];
    KJ_TRY(kj_partition_metadata_read(to, like, id));
    KJ_TRY(kj_epochs_read(to, like, &known));
    int32_t epoch = kj_epochs_last(&known);
    kj_epochs_free(&known);
    struct kj_export_writer *writer = kj_alloc_zero(1, sizeof *writer);
    if (writer == NULL)
        return kj_err_oom("a writer");
    writer->io = to;
    writer->epoch = epoch;
    writer->counts.copied = true;
    memcpy(writer->id, id, sizeof id);
    memcpy(writer->dir, dir, strlen(dir) + 1);
    writer->capacity = BATCH_BYTES;
    writer->buf = kj_alloc(writer->capacity);
    int os = kj_io_mkdir(to, dir);
    int err = writer->buf == NULL ? kj_err_oom("a batch")
              : os != 0           ? kj_err_os(os, "making %s", dir)
                                  : begin_segment(writer);
    if (err != 0) {
        kj_export_writer_free(writer);
        return err;
    }
    kj_batch_writer_init(&writer->batch, writer->buf, writer->capacity);
    *ret_writer = writer;
    return 0;
}

/* The open batch goes down. */
static int write_batch(struct kj_export_writer *writer)
{
    static const struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    struct kj_batch batch;
    uint8_t *bytes;
    size_t len;
    int32_t count = writer->batch.count;
    if (count == 0)
        return 0;
    KJ_TRY(kj_batch_writer_seal(&writer->batch, &seal, NULL, &bytes, &len));
    int64_t pos = writer->indexer.tail.pos;
    if (pos > 0 && pos + (int64_t)len > SEGMENT_BYTES) {
        KJ_TRY(end_segment(writer));
        KJ_TRY(begin_segment(writer));
        pos = 0;
    }
    kj_batch_assign(bytes, writer->end, writer->epoch);
    kj_batch_decode(bytes, &batch);
    int os = kj_io_pwrite(writer->file, bytes, len, pos);
    if (os != 0)
        return kj_err_os(os, "writing a segment of %s", writer->dir);
    KJ_TRY(kj_indexer_batch(&writer->indexer, &batch));
    writer->end += count;
    writer->counts.bytes += (int64_t)len;
    kj_batch_writer_init(&writer->batch, writer->buf, writer->capacity);
    return 0;
}

int kj_export_writer_add(struct kj_export_writer *writer, const struct kj_record *record)
{
    if (kj_batch_writer_append(&writer->batch, record))
        return 0;
    KJ_TRY(write_batch(writer));
    size_t bytes = kj_record_bytes_max(record);
    if (bytes > INT32_MAX - KJ_BATCH_HEADER_BYTES)
        return kj_err(KAJA_ERR_RECORD_TOO_LARGE, "a record for %s does not fit into any batch",
                      writer->dir);
    if (bytes + KJ_BATCH_HEADER_BYTES > writer->capacity) {
        uint8_t *wider = kj_realloc(writer->buf, bytes + KJ_BATCH_HEADER_BYTES);
        if (wider == NULL)
            return kj_err_oom("a batch");
        writer->buf = wider;
        writer->capacity = bytes + KJ_BATCH_HEADER_BYTES;
        kj_batch_writer_init(&writer->batch, writer->buf, writer->capacity);
    }
    bool fits = kj_batch_writer_append(&writer->batch, record);
    KJ_ASSERT(fits);
    return 0;
}

int kj_export_writer_finish(struct kj_export_writer *writer, struct kj_export_counts *ret_counts,
                            int64_t *ret_end)
{
    struct kj_epoch first = {.epoch = writer->epoch, .start_offset = 0};
    const struct kj_epochs epochs = {.items = &first, .count = 1};
    KJ_TRY(write_batch(writer));
    KJ_TRY(end_segment(writer));
    KJ_TRY(kj_epochs_write(writer->io, writer->dir, &epochs, true));
    KJ_TRY(kj_partition_metadata_write(writer->io, writer->dir, writer->id, true));
    *ret_counts = writer->counts;
    *ret_end = writer->end;
    return 0;
}

void kj_export_writer_free(struct kj_export_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->file != NULL) {
        kj_io_close(writer->file);
        kj_indexer_free(&writer->indexer);
    }
    kj_free(writer->buf);
    kj_free(writer);
}
