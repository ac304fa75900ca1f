/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/checkpoints.c - Kafka's checkpoint files of a directory, and the words they come from.
 *
 * The first opener puts what they say into the words of every slot, which nobody has touched yet.
 * So whoever loads a partition later, and whoever writes the files again, finds everything in the
 * slots: those of untouched partitions still say what the file said.
 *
 *     recovery-point     DURABLE of a loaded slot
 *     log-start          LOG_START, where it is not the base of the first segment
 *     replication        the high watermark
 *     kaja.cleaned       CLEANED: of what compaction may have touched, before it does
 *
 * cleaner-offset-checkpoint, Kafka's, has no word: it says where a round of compaction begins,
 * which only who does one needs to know. It is written behind the round, so what the round took may
 * lie above it: that is what kaja.cleaned is for.
 */
#include "store/internal.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

enum { FILES = 3, SOON_NS = 10000000 };
static const char *const file_names[FILES] = {KJ_RECOVERY_POINTS_NAME, KJ_LOG_STARTS_NAME,
                                              KJ_HIGH_WATERMARKS_NAME};

/* --- from the files --- */

/* A file that cannot be read is news, not a reason to stay away: without recovery points everything
 * is recovered, without log starts more can be read than should be. */
static int read_told(struct kj_store *store, const char *name, struct kj_checkpoint *checkpoint,
                     bool *ret_damaged)
{
    kj_checkpoint_init(checkpoint);
    int err = kj_checkpoint_read(store->io, name, checkpoint);
    *ret_damaged = err == KAJA_ERR_DAMAGED;
    if (!*ret_damaged)
        return err;
    struct kj_event event = {
        .kind = KAJA_EVENT_DAMAGE, .error = err, .partition = -1, .offset = -1, .end_offset = -1};
    strncpy(event.text, kaja_error_detail(), sizeof event.text - 1);
    kj_store_event_add(store, &event);
    kj_err_clear();
    kj_checkpoint_init(checkpoint);
    return 0;
}

static int read_file(struct kj_store *store, const char *name, struct kj_checkpoint *checkpoint)
{
    bool damaged;
    return read_told(store, name, checkpoint, &damaged);
}

static int read_cleaned(struct kj_store *store, struct kj_cleaned *ret_cleaned)
{
    bool damaged[2] = {false, false};
    kj_checkpoint_init(&ret_cleaned->kafkas);
    int err = read_told(store, KJ_CLEANED_NAME, &ret_cleaned->ours, &damaged[0]);
    if (err == 0)
        err = read_told(store, KJ_CLEANER_NAME, &ret_cleaned->kafkas, &damaged[1]);
    ret_cleaned->unknown = damaged[0] || damaged[1];
    return err;
}

void kj_cleaned_free(struct kj_cleaned *cleaned)
{
    kj_checkpoint_free(&cleaned->ours);
    kj_checkpoint_free(&cleaned->kafkas);
}

static int64_t cleaned_of(const struct kj_cleaned *cleaned, const char *topic, int32_t partition)
{
    int64_t ours = kj_checkpoint_get(&cleaned->ours, topic, partition);
    int64_t kafkas = kj_checkpoint_get(&cleaned->kafkas, topic, partition);
    int64_t most = ours > kafkas ? ours : kafkas;
    return cleaned->unknown ? INT64_MAX : most > 0 ? most : 0;
}

static int load_cleaned(struct kj_store *store, const struct kj_catalog *catalog)
{
    struct kj_shared *shared = kj_shared_of(store);
    struct kj_cleaned cleaned;
    int err = read_cleaned(store, &cleaned);
    for (size_t i = 0; i < catalog->count && err == 0; i++)
        for (int32_t p = 0; p < catalog->topics[i]->partitions && err == 0; p++) {
            kj_word slot;
            err = kj_control_slot(shared, kj_catalog_slot(catalog->topics[i], p), &slot);
            if (err == 0)
                kj_shared_store(shared, slot + KJ_SLOT_CLEANED,
                                (uint64_t)cleaned_of(&cleaned, catalog->topics[i]->name, p));
        }
    kj_cleaned_free(&cleaned);
    return err;
}

int kj_checkpoints_load(struct kj_store *store, const struct kj_catalog *catalog)
{
    static const enum kj_slot_word words[FILES] = {KJ_SLOT_RECOVERY_POINT, KJ_SLOT_LOG_START,
                                                   KJ_SLOT_HIGH_WATERMARK};
    struct kj_shared *shared = kj_shared_of(store);
    for (int file = 0; file < FILES; file++) {
        struct kj_checkpoint checkpoint;
        KJ_TRY(read_file(store, file_names[file], &checkpoint));
        int err = 0;
        for (size_t i = 0; i < catalog->count; i++)
            for (int32_t p = 0; p < catalog->topics[i]->partitions && err == 0; p++) {
                kj_word slot;
                err = kj_control_slot(shared, kj_catalog_slot(catalog->topics[i], p), &slot);
                if (err == 0)
                    kj_shared_store(
                        shared, slot + (kj_word)words[file],
                        (uint64_t)kj_checkpoint_get(&checkpoint, catalog->topics[i]->name, p));
            }
        kj_checkpoint_free(&checkpoint);
        KJ_TRY(err);
    }
    return load_cleaned(store, catalog);
}

void kj_checkpoint_of(struct kj_store *store, const char *topic, int32_t partition,
                      int64_t *ret_recovery_point, int64_t *ret_log_start, int64_t *ret_cleaned)
{
    struct kj_session *session = kj_session_of(store);
    kj_lock_acquire(&store->change_lock);
    if (!session->checkpoints_read) {
        if (read_file(store, KJ_RECOVERY_POINTS_NAME, &session->recovery_points) != 0 ||
            read_file(store, KJ_LOG_STARTS_NAME, &session->log_starts) != 0)
            kj_err_clear(); /* then nothing is known */
        if (read_cleaned(store, &session->cleaned) != 0) {
            session->cleaned.unknown = true;
            kj_err_clear();
        }
        session->checkpoints_read = true;
    }
    *ret_recovery_point = kj_checkpoint_get(&session->recovery_points, topic, partition);
    *ret_log_start = kj_checkpoint_get(&session->log_starts, topic, partition);
    *ret_cleaned = cleaned_of(&session->cleaned, topic, partition);
    kj_lock_release(&store->change_lock);
}

/* --- from the words --- */

struct looking {
    int64_t log_start;
    bool earlier; /* a segment below it is still there */
};

static int note_earlier(void *arg, const char *name, enum kj_io_type type)
{
    struct looking *looking = arg;
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    kj_file_name_parse(name, &kind, &suffix, &offset);
    looking->earlier = type == KJ_IO_FILE && kind == KJ_FILE_LOG && suffix == KJ_SUFFIX_NONE &&
                       offset < looking->log_start;
    return looking->earlier ? -1 : 0;
}

bool kj_log_start_is_seen(struct kj_io *io, const char *dir, int64_t log_start)
{
    char path[KJ_PATH_MAX];
    struct kj_io_stat stat;
    struct looking looking = {.log_start = log_start};
    kj_file_path(path, dir, KJ_FILE_LOG, log_start);
    return kj_io_stat(io, path, &stat) == 0 && kj_io_list(io, dir, note_earlier, &looking) == 0;
}

/* Must it stand in the checkpoint? */
static bool log_start_wanted(struct kj_store *store, const char *topic, int32_t partition,
                             int64_t log_start)
{
    char dir[KJ_DIR_NAME_MAX + 1];
    return log_start > 0 && !(kj_partition_dir_name(dir, topic, partition) &&
                              kj_log_start_is_seen(store->io, dir, log_start));
}

/* The rule of log/slot.h. */
static int64_t high_watermark_of(struct kj_shared *shared, kj_word slot)
{
    int64_t end = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_END);
    int64_t wanted = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_FLUSH_WANTED);
    int64_t durable = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_DURABLE);
    int64_t old = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_HIGH_WATERMARK);
    if (wanted > end)
        wanted = end;
    int64_t now = durable >= wanted ? end : durable;
    return now > old ? now : old;
}

/* What the file shall say of a partition; -1: nothing. */
static int64_t value_of(struct kj_store *store, const struct kj_catalog_topic *topic,
                        int32_t partition, int file, kj_word slot)
{
    struct kj_shared *shared = kj_shared_of(store);
    bool ready = kj_shared_load(shared, slot + KJ_SLOT_STATE) == KJ_SLOT_READY;
    int64_t value;
    switch (file) {
    case 0:
        value = (int64_t)kj_shared_load(
            shared, slot + (ready ? (kj_word)KJ_SLOT_DURABLE : (kj_word)KJ_SLOT_RECOVERY_POINT));
        break;
    case 1:
        value = (int64_t)kj_shared_load(shared, slot + KJ_SLOT_LOG_START);
        if (ready ? !log_start_wanted(store, topic->name, partition, value) : value == 0)
            value = -1;
        break;
    default:
        value = ready ? high_watermark_of(shared, slot)
                      : (int64_t)kj_shared_load(shared, slot + KJ_SLOT_HIGH_WATERMARK);
        break;
    }
    return value < 0 ? -1 : value;
}

static int gather(struct kj_store *store, const struct kj_catalog *catalog, int file,
                  struct kj_checkpoint *checkpoint, uint64_t *ret_hash)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        const struct kj_catalog_topic *topic = catalog->topics[i];
        for (int32_t p = 0; p < topic->partitions && !topic->deleting; p++) {
            kj_word slot;
            KJ_TRY(kj_control_slot(kj_shared_of(store), kj_catalog_slot(topic, p), &slot));
            int64_t value = value_of(store, topic, p, file, slot);
            if (value < 0)
                continue;
            KJ_TRY(kj_checkpoint_put(checkpoint, topic->name, p, value));
            int64_t entry[2] = {p, value};
            hash = XXH3_64bits_withSeed(topic->name, strlen(topic->name), hash);
            hash = XXH3_64bits_withSeed(entry, sizeof entry, hash);
        }
    }
    *ret_hash = hash | 1; /* 0 in the word: not written yet */
    return 0;
}

/* A broker's own partition is not in the catalog; its entries stay. */
static int keep_foreign(struct kj_store *store, const char *name, struct kj_checkpoint *checkpoint)
{
    struct kj_checkpoint old;
    KJ_TRY(read_file(store, name, &old));
    int err = 0;
    for (size_t i = 0; i < old.count && err == 0; i++)
        if (strcmp(old.entries[i].topic, "__cluster_metadata") == 0)
            err = kj_checkpoint_put(checkpoint, old.entries[i].topic, old.entries[i].partition,
                                    old.entries[i].offset);
    kj_checkpoint_free(&old);
    return err;
}

static int write_file(struct kj_store *store, const struct kj_catalog *catalog, int file)
{
    struct kj_shared *shared = kj_shared_of(store);
    kj_word written = KJ_CONTROL_CHECKPOINTS + (kj_word)file;
    struct kj_checkpoint checkpoint;
    uint64_t hash;
    kj_checkpoint_init(&checkpoint);
    int err = gather(store, catalog, file, &checkpoint, &hash);
    if (err == 0 && hash != kj_shared_load(shared, written)) {
        err = keep_foreign(store, file_names[file], &checkpoint);
        if (err == 0)
            err = kj_checkpoint_write(store->io, file_names[file], &checkpoint, true);
        if (err == 0)
            kj_shared_store(shared, written, hash);
    }
    kj_checkpoint_free(&checkpoint);
    return err;
}

/* --- compaction's --- */

static int lock_cleaned(struct kj_shared *shared, int64_t deadline_ns)
{
    int os = kj_shared_lock(shared, KJ_LOCK_CLEANED, KJ_LOCK_EXCLUSIVE, UINT32_MAX,
                            deadline_ns);
    if (os == 0)
        return 0;
    return os == EAGAIN ? kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                                 "another process does not finish its checkpoints of compaction")
                        : kj_err_os(os, "locking the checkpoints of compaction");
}

/* The catalog behind the lock, or a topic that was deleted meanwhile would come back: see
 * kj_checkpoints_forget(). NULL: it was. Held for the caller. */
static int catalog_with(struct kj_store *store, const struct kj_catalog_topic *topic,
                        struct kj_catalog **ret_catalog)
{
    *ret_catalog = NULL;
    KJ_TRY(kj_store_sync(store));
    struct kj_catalog *catalog = kj_store_catalog(store);
    const struct kj_catalog_topic *now = kj_catalog_find(catalog, topic->name);
    if (now == NULL || now->deleting || memcmp(now->id, topic->id, sizeof now->id) != 0)
        kj_catalog_release(catalog);
    else
        *ret_catalog = catalog;
    return 0;
}

static int gather_cleaned(struct kj_store *store, const struct kj_catalog *catalog,
                          struct kj_checkpoint *checkpoint)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct kj_catalog_topic *topic = catalog->topics[i];
        for (int32_t p = 0; p < topic->partitions && !topic->deleting; p++) {
            int64_t value =
                (int64_t)kj_slot_word(store, kj_catalog_slot(topic, p), KJ_SLOT_CLEANED);
            if (value > 0)
                KJ_TRY(kj_checkpoint_put(checkpoint, topic->name, p, value));
        }
    }
    return 0;
}

static int note_cleaned(struct kj_store *store, const struct kj_catalog_topic *topic,
                        int32_t partition, int64_t to)
{
    struct kj_shared *shared = kj_shared_of(store);
    struct kj_checkpoint checkpoint;
    struct kj_catalog *catalog;
    kj_word slot;
    KJ_TRY(catalog_with(store, topic, &catalog));
    if (catalog == NULL)
        return kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "topic %s was deleted", topic->name);
    kj_checkpoint_init(&checkpoint);
    int err = kj_control_slot(shared, kj_catalog_slot(topic, partition), &slot);
    if (err == 0)
        kj_shared_raise(shared, slot + KJ_SLOT_CLEANED, (uint64_t)to);
    if (err == 0)
        err = gather_cleaned(store, catalog, &checkpoint);
    if (err == 0)
        err = kj_checkpoint_write(store->io, KJ_CLEANED_NAME, &checkpoint, true);
    kj_checkpoint_free(&checkpoint);
    kj_catalog_release(catalog);
    return err;
}

int kj_cleaned_note(struct kj_store *store, const struct kj_catalog_topic *topic, int32_t partition,
                    int64_t to)
{
    struct kj_shared *shared = kj_shared_of(store);
    KJ_TRY(lock_cleaned(shared, kj_mono_ns(store->clock) + SOON_NS));
    int err = note_cleaned(store, topic, partition, to);
    kj_shared_unlock(shared, KJ_LOCK_CLEANED, UINT32_MAX);
    return err;
}

int kj_cleaner_points_read(struct kj_store *store, struct kj_checkpoint *ret_points)
{
    return read_file(store, KJ_CLEANER_NAME, ret_points);
}

static int put_point(struct kj_store *store, const struct kj_catalog_topic *topic,
                     int32_t partition, int64_t offset)
{
    struct kj_checkpoint points;
    struct kj_catalog *catalog;
    KJ_TRY(catalog_with(store, topic, &catalog));
    if (catalog == NULL)
        return 0;
    kj_catalog_release(catalog);
    int err = read_file(store, KJ_CLEANER_NAME, &points);
    if (err == 0)
        err = kj_checkpoint_put(&points, topic->name, partition, offset);
    if (err == 0)
        err = kj_checkpoint_write(store->io, KJ_CLEANER_NAME, &points, true);
    kj_checkpoint_free(&points);
    return err;
}

int kj_cleaner_point_put(struct kj_store *store, const struct kj_catalog_topic *topic,
                         int32_t partition, int64_t offset)
{
    struct kj_shared *shared = kj_shared_of(store);
    KJ_TRY(lock_cleaned(shared, kj_mono_ns(store->clock) + SOON_NS));
    int err = put_point(store, topic, partition, offset);
    kj_shared_unlock(shared, KJ_LOCK_CLEANED, UINT32_MAX);
    return err;
}

static int forget_in(struct kj_store *store, const char *name, const char *topic, int32_t from,
                     int32_t to)
{
    struct kj_checkpoint checkpoint;
    bool changed = false;
    KJ_TRY(read_file(store, name, &checkpoint));
    for (int32_t p = from; p < to; p++)
        if (kj_checkpoint_get(&checkpoint, topic, p) >= 0) {
            kj_checkpoint_remove(&checkpoint, topic, p);
            changed = true;
        }
    int err = changed ? kj_checkpoint_write(store->io, name, &checkpoint, true) : 0;
    kj_checkpoint_free(&checkpoint);
    return err;
}

int kj_checkpoints_forget(struct kj_store *store, struct kj_shared *shared, const char *topic,
                          int32_t from, int32_t to)
{
    static const enum kj_task tasks[2] = {KJ_TASK_CHECKPOINTS, KJ_TASK_LOG_STARTS};
    int err = 0;
    /* Whoever writes them holds these locks and reads the catalog behind them (tasks.c). */
    for (int i = 0; i < 2 && shared != NULL && err == 0; i++) {
        int os = kj_shared_lock(shared, KJ_LOCK_TASKS + (uint64_t)tasks[i], KJ_LOCK_EXCLUSIVE,
                                UINT32_MAX, kj_lock_deadline(store));
        if (os != 0)
            err = os == EAGAIN ? kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                                        "another process does not finish its checkpoints")
                               : kj_err_os(os, "locking the checkpoints");
    }
    bool cleaned = shared != NULL && err == 0 && (err = lock_cleaned(shared,
                                                                     kj_lock_deadline(store))) == 0;
    for (int file = 0; file < FILES && err == 0; file++)
        err = forget_in(store, file_names[file], topic, from, to);
    if (err == 0)
        err = forget_in(store, KJ_CLEANED_NAME, topic, from, to);
    if (err == 0)
        err = forget_in(store, KJ_CLEANER_NAME, topic, from, to);
    if (cleaned)
        kj_shared_unlock(shared, KJ_LOCK_CLEANED, UINT32_MAX);
    for (int i = 0; i < 2 && shared != NULL; i++)
        kj_shared_unlock(shared, KJ_LOCK_TASKS + (uint64_t)tasks[i], UINT32_MAX);
    return err;
}

int kj_checkpoints_write(struct kj_store *store, const struct kj_catalog *catalog, unsigned which)
{
    if ((which & KJ_CHECKPOINT_RECOVERY) != 0) {
        KJ_TRY(write_file(store, catalog, 0));
        KJ_TRY(write_file(store, catalog, 2));
    }
    if ((which & KJ_CHECKPOINT_STARTS) != 0)
        KJ_TRY(write_file(store, catalog, 1));
    return 0;
}
