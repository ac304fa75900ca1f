/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/verify_index.h"

#include <errno.h>
#include <string.h>

static int64_t entry_bytes(const struct kj_index_walk *walk)
{
    return walk->kind == KJ_FILE_INDEX ? KJ_OFFSET_ENTRY_BYTES : KJ_TIME_ENTRY_BYTES;
}

static void lies(struct kj_index_walk *walk, const char *text)
{
    if (walk->bad_pos < 0) {
        walk->bad_pos = walk->at;
        walk->bad_text = text;
    }
    walk->ended = true; /* one finding a file: it is rebuilt as a whole */
}

/* The bytes of the entry at walk->at; NULL at the end or on error. */
static const uint8_t *entry_at(struct kj_index_walk *walk, int *ret_errno)
{
    int64_t bytes = entry_bytes(walk);
    *ret_errno = 0;
    if (walk->at + bytes > walk->size)
        return NULL;
    if (walk->at < walk->piece_pos ||
        walk->at + bytes > walk->piece_pos + (int64_t)walk->piece_len) {
        *ret_errno = kj_io_pread(walk->file, walk->piece, sizeof walk->piece, walk->at,
                                 &walk->piece_len);
        walk->piece_pos = walk->at;
        if (*ret_errno != 0 || (int64_t)walk->piece_len < bytes)
            return NULL;
    }
    return walk->piece + (walk->at - walk->piece_pos);
}

static bool all_zero(const uint8_t *p, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* Loads the entry at walk->at into next. Zeros end the entries: a live index is larger than what it
 * holds. */
static int load(struct kj_index_walk *walk)
{
    int os;
    const uint8_t *p = walk->ended ? NULL : entry_at(walk, &os);
    if (walk->ended)
        return 0;
    if (p == NULL || (all_zero(p, entry_bytes(walk)) && walk->at > 0)) {
        walk->ended = true;
        return os;
    }
    if (walk->kind == KJ_FILE_INDEX) {
        kj_offset_entry_decode(p, walk->base_offset, &walk->next.offset);
        /* Nothing points to the first batch; so zeros at the very beginning are no entry either. */
        if (walk->at == 0 && walk->next.offset.pos == 0 &&
            walk->next.offset.offset == walk->base_offset)
            walk->ended = true;
        else if (walk->next.offset.offset <= walk->last_offset ||
                 walk->next.offset.pos <= walk->last_value)
            lies(walk, "its entries do not rise");
    } else {
        kj_time_entry_decode(p, walk->base_offset, &walk->next.time);
        if (walk->at == 0 && all_zero(p, KJ_TIME_ENTRY_BYTES))
            walk->ended = true;
        else if (walk->next.time.offset < walk->last_offset ||
                 walk->next.time.timestamp <= walk->last_value)
            lies(walk, "its entries do not rise");
    }
    return 0;
}

static int advance(struct kj_index_walk *walk)
{
    bool offsets = walk->kind == KJ_FILE_INDEX;
    walk->last_offset = offsets ? walk->next.offset.offset : walk->next.time.offset;
    walk->last_value = offsets ? walk->next.offset.pos : walk->next.time.timestamp;
    walk->at += entry_bytes(walk);
    return load(walk);
}

int kj_index_walk_open(struct kj_index_walk *walk, struct kj_io *io, const char *dir,
                       enum kj_file_kind kind, int64_t base_offset, bool exact)
{
    struct kj_io_stat stat;
    walk->kind = kind;
    walk->file = NULL;
    walk->in_the_way = false;
    walk->base_offset = base_offset;
    walk->exact = exact;
    walk->size = walk->at = walk->piece_pos = 0;
    walk->piece_len = 0;
    walk->ended = false;
    walk->last_offset = base_offset - 1;
    walk->last_value = kind == KJ_FILE_INDEX ? -1 : -2;
    walk->bad_pos = -1;
    kj_file_path(walk->path, dir, kind, base_offset);
    int os = kj_io_open(io, walk->path, KJ_IO_READ, &walk->file);
    if (os != 0) {
        walk->file = NULL;
        walk->ended = true;
        walk->in_the_way = os != ENOENT && kj_not_a_file(io, walk->path);
        return os == ENOENT || walk->in_the_way ? 0 : os;
    }
    os = kj_io_stat_file(walk->file, &stat);
    walk->size = os == 0 ? stat.size : 0;
    if (os == 0)
        os = load(walk);
    if (os != 0)
        kj_index_walk_close(walk);
    return os;
}

void kj_index_walk_close(struct kj_index_walk *walk)
{
    kj_io_close(walk->file);
    walk->file = NULL;
}

int kj_index_walk_batch(struct kj_index_walk *walk, const struct kj_batch *batch, int64_t pos)
{
    int64_t last = kj_batch_last_offset(batch);
    if (walk->kind == KJ_FILE_INDEX) {
        if (!walk->ended && walk->next.offset.pos < pos)
            lies(walk, "an entry points to a position where no batch begins");
        if (walk->ended || walk->next.offset.pos != pos)
            return 0;
        if (walk->exact ? walk->next.offset.offset != last
                        : walk->next.offset.offset < batch->base_offset) {
            lies(walk, "an entry has another offset than the batch it points to");
            return 0;
        }
        return advance(walk);
    }
    if (!walk->ended && walk->next.time.offset < batch->base_offset)
        lies(walk, "an entry names an offset that is not in the log");
    if (walk->ended || walk->next.time.offset > last)
        return 0;
    if (walk->exact ? walk->next.time.timestamp != batch->max_timestamp
                    : walk->next.time.timestamp > batch->max_timestamp) {
        lies(walk, "an entry has another timestamp than the batch it names");
        return 0;
    }
    return advance(walk);
}

int kj_index_walk_skip(struct kj_index_walk *walk, int64_t below)
{
    int os = 0;
    while (os == 0 && !walk->ended &&
           (walk->kind == KJ_FILE_INDEX ? walk->next.offset.pos : walk->next.time.offset) < below)
        os = advance(walk);
    return os;
}

void kj_index_walk_end(struct kj_index_walk *walk, bool closed)
{
    if (!walk->ended && closed)
        lies(walk, "an entry points behind the end of the log");
    walk->ended = true;
}
