/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/file_cache.c - descriptors and maps of one handle, bounded. A segment with something open is on
 * the list, most recently used first; the last one that nobody pinned goes when the bound is reached.
 *
 * A .log descriptor that may have bytes above `durable` behind it is flushed before it is closed: were
 * it closed first, a write-back error in between could be lost, and a later fsync would succeed.
 * Whoever opens a file may hold locks that no flush should be waited for with, so where the owner
 * of the cache listens, kj_file_cache_trim() is asked to from two thirds of the bound on; they flush
 * themselves only at the bound. Such a flush opens files too: those make room without another one.
 */
#include "log/internal.h"

#include <errno.h>
#include <string.h>

struct kj_file_cache {
    struct kj_lock lock; /* FILES */
    struct kj_cond unpinned; /* for closers */
    size_t closers;
    struct kj_segment *first, *last;
    size_t files, files_max;
    size_t maps, maps_max;
    struct kj_file_cache_calls calls;
};

int kj_file_cache_new(size_t files_max, size_t maps_max, struct kj_file_cache **ret_cache)
{
    struct kj_file_cache *cache = kj_alloc_zero(1, sizeof *cache);
    if (cache == NULL)
        return kj_err_oom("the file cache");
    kj_lock_init(&cache->lock, KJ_RANK_FILES);
    kj_cond_init(&cache->unpinned);
    cache->files_max = files_max > 8 ? files_max : 8;
    cache->maps_max = maps_max > 8 ? maps_max : 8;
    *ret_cache = cache;
    return 0;
}

void kj_file_cache_free(struct kj_file_cache *cache)
{
    if (cache == NULL)
        return;
    KJ_ASSERT(cache->first == NULL);
    kj_cond_destroy(&cache->unpinned);
    kj_lock_destroy(&cache->lock);
    kj_free(cache);
}

void kj_file_cache_listen(struct kj_file_cache *cache, const struct kj_file_cache_calls *calls)
{
    cache->calls = *calls;
}

size_t kj_file_cache_open_files(struct kj_file_cache *cache)
{
    kj_lock_acquire(&cache->lock);
    size_t files = cache->files;
    kj_lock_release(&cache->lock);
    return files;
}

/* Lock held. */
static void drop_pin(struct kj_file_cache *cache, struct kj_segment *segment)
{
    KJ_ASSERT(segment->pins > 0);
    if (--segment->pins == 0 && cache->closers > 0)
        kj_cond_broadcast(&cache->unpinned);
}

static bool linked(const struct kj_file_cache *cache, const struct kj_segment *segment)
{
    return segment->lru_prev != NULL || cache->first == segment;
}

static void unlink_segment(struct kj_file_cache *cache, struct kj_segment *segment)
{
    if (!linked(cache, segment))
        return;
    if (segment->lru_prev != NULL)
        segment->lru_prev->lru_next = segment->lru_next;
    else
        cache->first = segment->lru_next;
    if (segment->lru_next != NULL)
        segment->lru_next->lru_prev = segment->lru_prev;
    else
        cache->last = segment->lru_prev;
    segment->lru_prev = NULL;
    segment->lru_next = NULL;
}

static void touch(struct kj_file_cache *cache, struct kj_segment *segment)
{
    segment->used = true;
    if (cache->first == segment)
        return;
    unlink_segment(cache, segment);
    segment->lru_next = cache->first;
    if (cache->first != NULL)
        cache->first->lru_prev = segment;
    else
        cache->last = segment;
    cache->first = segment;
}

/* Lock held. Lets go of everything of the segment; maps live on while views of them are held. */
static void drop_open(struct kj_file_cache *cache, struct kj_segment *segment)
{
    for (int i = 0; i < KJ_SEGMENT_FILES; i++)
        if (segment->files[i] != NULL) {
            kj_io_close(segment->files[i]);
            segment->files[i] = NULL;
            cache->files--;
        }
    if (segment->view != NULL) {
        kj_view_release(segment->view);
        segment->view = NULL;
        cache->maps--;
    }
    unlink_segment(cache, segment);
}

/* True if closing the .log of this segment could lose a write-back error. */
static bool owes_flush(struct kj_segment *segment)
{
    struct kj_log *log = segment->log;
    struct kj_file *file = segment->files[KJ_FILE_LOG];
    if (file == NULL || !file->writable || kj_log_stale(log))
        return false;
    return segment->base_offset >= (int64_t)kj_log_word(log, KJ_SLOT_SYNCED_BASE) &&
           kj_log_durable(log) < kj_log_end(log);
}

/* Never waits: whoever makes room may be in the middle of a flush of this very log. */
static int flush_if_free(struct kj_file_cache *cache, struct kj_log *log)
{
    struct kj_log_flush flush;
    KJ_TRY(kj_log_flush_begin(log, false, &flush));
    bool synced = flush.file != NULL;
    KJ_TRY(kj_log_flush_end(&flush, synced ? kj_io_sync(flush.file) : 0));
    if (synced)
        (void)kj_log_high_watermark(log); /* notes it for everybody */
    if (synced && cache->calls.flushed != NULL)
        cache->calls.flushed(cache->calls.arg, log->slot_number);
    return 0;
}

static _Thread_local bool making_room; /* by a flush, in this thread */

/* Closes the least recently used segment that nobody uses; false if there is none. Lock held; with
 * flush, dropped and taken again around one. */
static bool evict_one(struct kj_file_cache *cache, const struct kj_segment *keep, bool flush)
{
    for (struct kj_segment *victim = cache->last; victim != NULL; victim = victim->lru_prev) {
        if (victim->pins != 0 || victim == keep)
            continue;
        if (!owes_flush(victim)) {
            drop_open(cache, victim);
            return true;
        }
        if (!flush || making_room || victim->log->leaving)
            continue;
        /* Neither can the log go, see kj_file_cache_leave(), nor this segment, while the pin
         * stands: kj_segment_close() waits for it. */
        victim->pins++;
        victim->log->room_flushes++;
        kj_lock_release(&cache->lock);
        making_room = true;
        int err = flush_if_free(cache, victim->log);
        making_room = false;
        kj_lock_acquire(&cache->lock);
        victim->log->room_flushes--;
        drop_pin(cache, victim);
        if (cache->closers > 0)
            kj_cond_broadcast(&cache->unpinned);
        if (err == 0 && victim->pins == 0) {
            drop_open(cache, victim);
            return true;
        }
        touch(cache, victim); /* in use again, or it cannot be flushed: keep it */
        return cache->last != victim;
    }
    return false;
}

static bool within(const struct kj_file_cache *cache, size_t files_max, size_t maps_max)
{
    return cache->files < files_max && cache->maps < maps_max;
}

/* From how many on the owner is asked to make room. */
static size_t soft(const struct kj_file_cache *cache, size_t max)
{
    return cache->calls.full != NULL ? max - max / 3 : max;
}

/* Lock held. */
static void make_room(struct kj_file_cache *cache, const struct kj_segment *keep)
{
    bool flush = !within(cache, cache->files_max, cache->maps_max);
    size_t files = flush ? cache->files_max : soft(cache, cache->files_max);
    size_t maps = flush ? cache->maps_max : soft(cache, cache->maps_max);
    for (int rounds = 0; rounds < 64 && !within(cache, files, maps); rounds++)
        if (!evict_one(cache, keep, flush)) {
            if (cache->calls.full != NULL)
                cache->calls.full(cache->calls.arg);
            return; /* everything is in use: over the bound rather than stuck */
        }
}

void kj_file_cache_trim(struct kj_file_cache *cache)
{
    kj_lock_acquire(&cache->lock);
    size_t files = soft(cache, cache->files_max), maps = soft(cache, cache->maps_max);
    if (!within(cache, files, maps)) {
        /* A little more: the next opens shall find room. */
        files -= files / 8;
        maps -= maps / 8;
        for (size_t rounds = cache->files_max; rounds > 0 && !within(cache, files, maps); rounds--)
            if (!evict_one(cache, NULL, true))
                break;
    }
    kj_lock_release(&cache->lock);
}

void kj_file_cache_leave(struct kj_file_cache *cache, struct kj_log *log)
{
    kj_lock_acquire(&cache->lock);
    log->leaving = true;
    cache->closers++;
    while (log->room_flushes > 0)
        kj_cond_wait(&cache->unpinned, &cache->lock);
    cache->closers--;
    kj_lock_release(&cache->lock);
}

/* What this descriptor may never hear of. After the open: bytes that came in between are taken for
 * older ones, which costs a look at the disk, where the other way round a lost write would pass.
 * INTENT before END: an append that wrote before the open has stored END, or is still seen at
 * it. */
static void note_opened(struct kj_segment *segment)
{
    segment->opened_amid = kj_log_word(segment->log, KJ_SLOT_INTENT) == KJ_INTENT_APPEND;
    segment->opened_end = kj_log_end(segment->log);
}

int kj_segment_pin(struct kj_segment *segment, enum kj_file_kind kind, bool create,
                   struct kj_file **ret_file)
{
    struct kj_log *log = segment->log;
    struct kj_file_cache *cache = log->env->files;
    kj_lock_acquire(&cache->lock);
    segment->pins++; /* first, so that making room spares it */
    struct kj_file *file = segment->files[kind];
    if (file == NULL) {
        make_room(cache, segment);
        file = segment->files[kind];
    }
    int os = 0;
    bool moved = false;
    if (file == NULL) {
        char path[KJ_PATH_MAX];
        kj_file_path(path, log->dir, kind, segment->base_offset);
        unsigned flags = log->env->read_only ? KJ_IO_READ : KJ_IO_WRITE;
        if (create && !log->env->read_only)
            flags |= KJ_IO_CREATE;
        os = kj_io_open(log->env->io, path, flags, &file);
        moved = os == 0 && kind == KJ_FILE_LOG && !kj_segment_same(segment, file->ino);
        if (moved) {
            kj_io_close(file);
            os = ESTALE;
        }
        if (os == 0) {
            if (kind == KJ_FILE_LOG)
                note_opened(segment);
            segment->files[kind] = file;
            cache->files++;
        }
    }
    if (os == 0)
        touch(cache, segment);
    else
        drop_pin(cache, segment);
    kj_lock_release(&cache->lock);
    if (moved)
        return kj_segment_moved_error(segment);
    if (os != 0)
        return kj_log_io_error(log, os, "opening", kind, segment->base_offset, -1);
    *ret_file = file;
    return 0;
}

void kj_segment_unpin(struct kj_segment *segment)
{
    struct kj_file_cache *cache = segment->log->env->files;
    kj_lock_acquire(&cache->lock);
    drop_pin(cache, segment);
    kj_lock_release(&cache->lock);
}

void kj_segment_close(struct kj_segment *segment)
{
    struct kj_file_cache *cache = segment->log->env->files;
    kj_lock_acquire(&cache->lock);
    cache->closers++;
    while (segment->pins != 0) /* an eviction flushes it just now */
        kj_cond_wait(&cache->unpinned, &cache->lock);
    cache->closers--;
    drop_open(cache, segment);
    kj_lock_release(&cache->lock);
}

void kj_file_cache_sweep(struct kj_file_cache *cache)
{
    kj_lock_acquire(&cache->lock);
    struct kj_segment *segment = cache->last;
    while (segment != NULL) {
        struct kj_segment *before = segment->lru_prev;
        if (!segment->used && segment->pins == 0 && !owes_flush(segment))
            drop_open(cache, segment);
        else
            segment->used = false;
        segment = before;
    }
    kj_lock_release(&cache->lock);
}

/* --- views --- */

void kj_view_hold(struct kj_view *view)
{
    kj_fetch_add_relaxed(&view->refs, 1);
}

void kj_view_release(struct kj_view *view)
{
    if (view == NULL || kj_fetch_add(&view->refs, UINT64_MAX) != 1)
        return;
    if (view->io != NULL)
        kj_io_unmap(view->io, view->base, view->len);
    kj_free(view);
}

/* A map covers all that the segment may grow to, so one is enough for its life. */
static size_t map_bytes(struct kj_log *log, int64_t bytes)
{
    int64_t want = (int64_t)kj_load_relaxed(&log->segment_bytes);
    if (want < bytes)
        want = bytes;
    want = (want + 65535) & ~(int64_t)65535;
    return (size_t)want;
}

int kj_segment_view(struct kj_segment *segment, int64_t bytes, struct kj_view **ret_view)
{
    struct kj_file_cache *cache = segment->log->env->files;
    struct kj_file *file;
    kj_lock_acquire(&cache->lock);
    struct kj_view *view = segment->view;
    if (view != NULL && (int64_t)view->len >= bytes) {
        kj_view_hold(view);
        touch(cache, segment);
        kj_lock_release(&cache->lock);
        *ret_view = view;
        return 0;
    }
    kj_lock_release(&cache->lock);

    KJ_TRY(kj_segment_pin(segment, KJ_FILE_LOG, false, &file));
    view = kj_alloc_zero(1, sizeof *view);
    int err = view == NULL ? kj_err_oom("a view") : 0;
    if (err == 0) {
        view->io = segment->log->env->io;
        view->len = map_bytes(segment->log, bytes);
        int os = kj_io_map(file, view->len, &view->base);
        if (os != 0) {
            err = kj_log_io_error(segment->log, os, "mapping", KJ_FILE_LOG, segment->base_offset, -1);
            kj_free(view);
        }
    }
    if (err == 0) {
        view->refs = 2; /* the segment's and the caller's */
        kj_lock_acquire(&cache->lock);
        struct kj_view *old = segment->view;
        segment->view = view;
        if (old == NULL)
            cache->maps++;
        touch(cache, segment);
        kj_lock_release(&cache->lock);
        kj_view_release(old);
        *ret_view = view;
    }
    kj_segment_unpin(segment);
    return err;
}

int kj_view_copy(struct kj_segment *segment, int64_t pos, size_t len, struct kj_view **ret_view)
{
    struct kj_view *view = kj_alloc(sizeof *view + len);
    if (view == NULL)
        return kj_err_oom("a copy of batches");
    *view = (struct kj_view){.refs = 1, .base = (uint8_t *)(view + 1), .len = len, .start = pos};
    struct kj_file *file;
    int err = kj_segment_pin(segment, KJ_FILE_LOG, false, &file);
    if (err == 0) {
        size_t got;
        int os = kj_io_pread(file, (uint8_t *)(view + 1), len, pos, &got);
        kj_segment_unpin(segment);
        if (os != 0 || got < len)
            err = kj_log_io_error(segment->log, os != 0 ? os : EIO, "reading", KJ_FILE_LOG,
                                  segment->base_offset, pos);
    }
    if (err != 0) {
        kj_free(view);
        return err;
    }
    *ret_view = view;
    return 0;
}
