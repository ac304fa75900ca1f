/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/inspect.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/index_search.h"

#include <errno.h>
#include <string.h>

/* --- opening --- */

/* Topic and partition of the last component of dir. */
static void place_of(struct kj_inspect *inspect, const char *dir)
{
    char name[KJ_DIR_NAME_MAX + 1];
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && dir[begin - 1] != '/')
        begin--;
    inspect->topic[0] = '\0';
    inspect->partition = -1;
    if (end - begin > KJ_DIR_NAME_MAX)
        return;
    memcpy(name, dir + begin, end - begin);
    name[end - begin] = '\0';
    if (!kj_partition_dir_parse(name, inspect->topic, &inspect->partition))
        inspect->topic[0] = '\0';
}

static int open_in(struct kj_inspect *inspect, const char *dir)
{
    struct kj_io_stat stat;
    const struct kj_io_options options = {
        .root = dir,
        .backend = KJ_IO_POSIX,
        .read_only = true,
    };
    int os = kj_io_create(&options, &inspect->io);
    if (os != 0)
        return kj_err_os(os, "opening directory %s", dir);
    os = kj_io_open(inspect->io, inspect->name, KJ_IO_READ, &inspect->file);
    if (os == 0)
        os = kj_io_stat_file(inspect->file, &stat);
    if (os != 0) {
        kj_inspect_close(inspect);
        return kj_err_os(os, "opening %s", inspect->path);
    }
    inspect->bytes = stat.size;
    place_of(inspect, dir);
    return 0;
}

int kj_inspect_open(const char *path, struct kj_inspect *ret_inspect)
{
    const char *slash = strrchr(path, '/');
    struct kj_inspect inspect = {.path = path, .name = slash != NULL ? slash + 1 : path};
    char *dir = kj_strdup(slash == NULL ? "." : path);
    if (dir == NULL)
        return kj_err_oom("a path");
    if (slash == path)
        dir[1] = '\0';
    else if (slash != NULL)
        dir[slash - path] = '\0';
    int err = open_in(&inspect, dir);
    kj_free(dir);
    if (err == 0)
        *ret_inspect = inspect;
    return err;
}

void kj_inspect_close(struct kj_inspect *inspect)
{
    kj_io_close(inspect->file);
    kj_io_destroy(inspect->io);
    inspect->file = NULL;
    inspect->io = NULL;
}

/* The story of a failed read, or of a place that is wrong. */
static int read_error(const struct kj_inspect *inspect, int os, int64_t pos)
{
    int err = kj_err_os(os, "reading %s at byte %lld", inspect->path, (long long)pos);
    return kj_err_at(err, inspect->topic[0] != '\0' ? inspect->topic : NULL, inspect->partition, -1,
                     pos);
}

/* --- batches --- */

enum { WINDOW_BYTES = 64 << 10 };

/* Bytes [pos, pos + len) of the file stand at bytes. */
struct window {
    uint8_t *bytes;
    size_t capacity;
    size_t len;
    int64_t pos;
};

/* Makes the window hold at least wanted bytes at pos, or as many as the file has: *ret_have. */
static int see(const struct kj_inspect *inspect, struct window *window, int64_t pos, size_t wanted,
               const uint8_t **ret_bytes, size_t *ret_have)
{
    int64_t at = pos - window->pos;
    if (at < 0 || at > (int64_t)window->len || window->len - (size_t)at < wanted) {
        size_t len = wanted > WINDOW_BYTES ? wanted : WINDOW_BYTES;
        if (len > window->capacity) {
            uint8_t *wider = kj_realloc(window->bytes, len);
            if (wider == NULL)
                return kj_err_oom("a batch");
            window->bytes = wider;
            window->capacity = len;
        }
        window->pos = pos;
        window->len = 0;
        int os = kj_io_pread(inspect->file, window->bytes, len, pos, &window->len);
        if (os != 0)
            return read_error(inspect, os, pos);
        at = 0;
    }
    *ret_bytes = window->bytes + at;
    *ret_have = window->len - (size_t)at;
    return 0;
}

static int bad_batch(const struct kj_inspect *inspect, enum kj_batch_look look, int64_t pos)
{
    int err =
        look == KJ_BATCH_OLD_MAGIC
            ? kj_err(KAJA_ERR_UNSUPPORTED_MAGIC, "%s: the batch at byte %lld has magic 0 or 1",
                     inspect->path, (long long)pos)
            : kj_err(KAJA_ERR_CORRUPT_MESSAGE, "%s: what stands at byte %lld is no batch",
                     inspect->path, (long long)pos);
    return kj_err_at(err, inspect->topic[0] != '\0' ? inspect->topic : NULL, inspect->partition, -1,
                     pos);
}

/* The batch at pos; *ret_found false where none is whole before limit. */
static int next_batch(const struct kj_inspect *inspect, struct window *window, int64_t pos,
                      int64_t limit, struct kj_inspect_batch *ret_batch, bool *ret_found)
{
    const uint8_t *bytes;
    size_t have;
    struct kj_batch batch;
    *ret_found = false;
    KJ_TRY(see(inspect, window, pos, KJ_BATCH_HEADER_BYTES, &bytes, &have));
    /* The header alone may lie there, as long as the rest lies in the file. */
    size_t left = (size_t)(limit - pos);
    if (have < KJ_BATCH_HEADER_BYTES && have < left)
        left = have;
    enum kj_batch_look look = kj_batch_look(bytes, left, &batch);
    if (look == KJ_BATCH_PARTIAL || look == KJ_BATCH_ZEROS)
        return 0;
    if (look != KJ_BATCH_OK)
        return bad_batch(inspect, look, pos);
    size_t whole = kj_batch_bytes(&batch);
    if (whole > INT32_MAX) /* no segment is so large */
        return bad_batch(inspect, KJ_BATCH_BAD, pos);
    KJ_TRY(see(inspect, window, pos, whole, &bytes, &have));
    if (have < whole)
        return 0; /* the file became shorter meanwhile */
    *ret_batch = (struct kj_inspect_batch){pos, batch, bytes, kj_batch_crc_ok(bytes, whole)};
    *ret_found = true;
    return 0;
}

int kj_inspect_log(struct kj_inspect *inspect, int64_t max_bytes,
                   kj_inspect_batch_callback *callback, void *arg, int64_t *ret_trailing)
{
    struct window window = {0};
    bool limited = max_bytes >= 0 && max_bytes < inspect->bytes;
    int64_t limit = limited ? max_bytes : inspect->bytes;
    int64_t pos = 0;
    int err = 0;
    while (err == 0 && pos < limit) {
        struct kj_inspect_batch batch;
        bool found;
        err = next_batch(inspect, &window, pos, limit, &batch, &found);
        if (err != 0 || !found)
            break;
        err = callback(arg, &batch);
        pos += (int64_t)kj_batch_bytes(&batch.batch);
    }
    kj_free(window.bytes);
    if (err != 0)
        return err;
    *ret_trailing = limited ? 0 : limit - pos;
    return 0;
}

/* --- indexes --- */

static uint32_t entry_bytes_of(enum kj_file_kind kind)
{
    return kind == KJ_FILE_INDEX       ? KJ_OFFSET_ENTRY_BYTES
           : kind == KJ_FILE_TIMEINDEX ? KJ_TIME_ENTRY_BYTES
                                       : KJ_TXN_ENTRY_BYTES;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Does the zero tail begin at entry i? Entries of the offset and the time index rise, so that only
 * the first can be all zero: never in an offset index, where the batch at position 0 has no entry,
 * and in a time index if a record at the base has the time 0, unless another zero one follows. */
static bool zeros_begin(enum kj_file_kind kind, int64_t i, const uint8_t *p, size_t left)
{
    size_t n = entry_bytes_of(kind);
    if (kind == KJ_FILE_TXNINDEX || !all_zero(p, n))
        return false;
    return i > 0 || kind == KJ_FILE_INDEX || (left >= 2 * n && all_zero(p + n, n));
}

static int decode(enum kj_file_kind kind, const uint8_t *p, int64_t base_offset,
                  struct kj_inspect_entry *ret_entry)
{
    ret_entry->kind = kind;
    if (kind == KJ_FILE_INDEX)
        kj_offset_entry_decode(p, base_offset, &ret_entry->u.offset);
    else if (kind == KJ_FILE_TIMEINDEX)
        kj_time_entry_decode(p, base_offset, &ret_entry->u.time);
    else
        return kj_txn_entry_decode(p, base_offset, &ret_entry->u.txn);
    return 0;
}

int kj_inspect_index(struct kj_inspect *inspect, kj_inspect_entry_callback *callback, void *arg)
{
    uint8_t buf[KJ_INDEX_PIECE_BYTES];
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t base_offset, done = 0;
    kj_file_name_parse(inspect->name, &kind, &suffix, &base_offset);
    if (kind != KJ_FILE_INDEX && kind != KJ_FILE_TIMEINDEX && kind != KJ_FILE_TXNINDEX)
        return kj_err(KAJA_ERR_INVALID_ARG, "%s is not named like an index", inspect->path);
    const size_t n = entry_bytes_of(kind);
    const size_t piece = KJ_INDEX_PIECE_BYTES / n * n;
    for (;;) {
        size_t have;
        int64_t pos = done * (int64_t)n;
        int os = kj_io_pread(inspect->file, buf, piece, pos, &have);
        if (os != 0)
            return read_error(inspect, os, pos);
        size_t at = 0;
        for (; at + n <= have; at += n, done++) {
            struct kj_inspect_entry entry;
            if (zeros_begin(kind, done, buf + at, have - at))
                return 0;
            KJ_TRY(decode(kind, buf + at, base_offset, &entry));
            int stop = callback(arg, &entry);
            if (stop != 0)
                return stop;
        }
        if (at < have)
            return kj_err(KAJA_ERR_DAMAGED, "%s ends with %zu bytes that are no entry",
                          inspect->path, have - at);
        if (have < piece)
            return 0;
    }
}

/* --- snapshots --- */

int kj_inspect_snapshot(struct kj_inspect *inspect, kj_producer_callback *callback, void *arg)
{
    enum { SNAPSHOT_MAX = 64 << 20 };
    uint8_t *bytes;
    size_t len;
    int os = kj_io_read_file(inspect->io, inspect->name, SNAPSHOT_MAX, &bytes, &len);
    if (os == EFBIG)
        return kj_err(KAJA_ERR_DAMAGED, "%s is larger than %d bytes", inspect->path, SNAPSHOT_MAX);
    if (os != 0)
        return read_error(inspect, os, 0);
    int err = kj_snapshot_decode(bytes, len, callback, arg);
    kj_free(bytes);
    return err;
}
