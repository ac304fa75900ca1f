/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export.c - the order of an export: lock, look, refuse, copy, put in place, checkpoints.
 * Everything that can be refused is refused before the first partition is replaced.
 */
#include "store/export_internal.h"

#include <errno.h>
#include <string.h>

static const char *const checkpoint_names[KJ_EXPORT_CHECKPOINTS] = {
    KJ_RECOVERY_POINTS_NAME, KJ_HIGH_WATERMARKS_NAME, KJ_LOG_STARTS_NAME,
    KJ_CLEANER_NAME};
enum { RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS, CLEANER_POINTS };

/* --- locks --- */

/* A lock file of a directory, with its byte or byte range's first taken exclusively. *ret_held: by
 * somebody else. read_only: the file system is, so nobody can come in, and we only look. */
static int lock_file(struct kj_io *io, const char *name, uint64_t lock, bool read_only,
                     struct kj_shared **ret_shared, bool *ret_held)
{
    const struct kj_shared_options options = {.root_fd = io->root_fd,
                                              .lock_name = name,
                                              .read_only = read_only,
                                              .clock = &kj_clock_system};
    struct kj_shared *shared;
    *ret_held = false;
    if (io->root_fd < 0)
        return 0;
    int os = kj_shared_open(&options, &shared);
    if (os != 0)
        return kj_err_os(os, "opening %s", name);
    if (read_only) {
        *ret_held = kj_shared_lock_held(shared, lock);
    } else {
        os = kj_shared_try_lock(shared, lock, KJ_LOCK_EXCLUSIVE);
        /* Removed meanwhile: by a broker that stops. */
        *ret_held = os == EAGAIN || (os == 0 && !kj_shared_lock_current(shared));
    }
    if (os != 0 || *ret_held) {
        kj_shared_close(shared);
        return *ret_held ? 0 : kj_err_os(os, "locking %s", name);
    }
    *ret_shared = shared;
    return 0;
}

/* *ret_made: it was not there. Made by us, it has the right owner, should we die before it is
 * removed again. */
static int make_broker_lock(struct kj_io *io, const char *path, bool *ret_made)
{
    struct kj_file *file;
    *ret_made = false;
    if (io->root_fd < 0)
        return 0;
    int os = kj_io_open(io, ".lock", KJ_IO_WRITE | KJ_IO_CREATE | KJ_IO_EXCLUSIVE, &file);
    *ret_made = os == 0;
    if (os == 0)
        kj_io_close(file);
    return os == 0 || os == EEXIST ? 0 : kj_err_os(os, "making %s/.lock", path);
}

/* A broker's directory has none while it is stopped, and shall have none of ours behind: the broker
 * may run as another user. */
static int make_source_lock(struct kj_export *export)
{
    const struct kj_io_options options = {
        .root = export->options.source, .backend = KJ_IO_POSIX, .keep_owner = true};
    struct kj_io *io;
    bool made;
    int os = kj_io_create(&options, &io);
    if (os != 0)
        return kj_err_os(os, "opening %s", export->options.source);
    int err = make_broker_lock(io, export->options.source, &made);
    if (err == 0 && made)
        export->source_lock = io;
    else
        kj_io_destroy(io);
    return err;
}

static int broker_has(const char *path)
{
    return kj_err(KAJA_ERR_BROKER_HAS_DIRECTORY,
                  "a broker, or kaja, has %s open: it holds %s/.lock; stop it first", path, path);
}

static int in_use(const char *path)
{
    return kj_err(KAJA_ERR_STATE,
                  "somebody has %s open for writing: close every producer and store on it first",
                  path);
}

int kj_export_hold_source(struct kj_export *export, bool *ret_clean)
{
    const char *path = export->options.source;
    struct kj_io_stat stat;
    struct kj_io_fs fs;
    bool held, ours;
    KJ_TRY(kj_looks_like_ours(export->source, &ours)); /* or lock files would be made there */
    if (!ours)
        return kj_err(KAJA_ERR_NO_DIRECTORY,
                      "there is no kaja directory at %s: no catalog, no partition", path);
    int os = kj_io_fs(export->source, &fs);
    if (os != 0)
        return kj_err_os(os, "looking at the file system of %s", path);
    KJ_TRY(lock_file(export->source, KJ_LOCK_NAME, KJ_LOCK_DOOR, fs.read_only, &export->door,
                     &held));
    if (held)
        return in_use(path);
    /* Presence is not taken, only asked: those who read go by it. The door keeps it free. */
    if (kj_shared_lock_held(export->door, KJ_LOCK_PRESENCE)) {
        kj_export_let_source(export);
        return in_use(path);
    }
    int err = fs.read_only ? 0 : make_source_lock(export);
    if (err == 0)
        err = lock_file(export->source, ".lock", 0, fs.read_only, &export->source_broker, &held);
    if (err == 0 && held)
        err = broker_has(path);
    if (err != 0) {
        kj_export_let_source(export);
        return err;
    }
    *ret_clean = kj_io_stat(export->source, KJ_MARKER_NAME, &stat) == 0;
    return 0;
}

void kj_export_let_source(struct kj_export *export)
{
    if (export->source_broker != NULL && export->source_lock != NULL)
        (void)kj_io_unlink(export->source_lock, ".lock");
    kj_shared_close(export->source_broker);
    kj_shared_close(export->door);
    export->source_broker = export->door = NULL;
    if (export->source_lock != NULL)
        kj_io_destroy(export->source_lock);
    export->source_lock = NULL;
}

/* --- opening and closing --- */

static int open_root(const char *path, bool read_only, const struct kj_export_options *options,
                     struct kj_io **ret_io)
{
    const struct kj_io_options io = {.root = path,
                                     .backend = KJ_IO_POSIX,
                                     .read_only = read_only,
                                     .keep_owner = true, /* the broker's, if root exports */
                                     .step = read_only ? NULL : options->target_step,
                                     .step_arg = options->step_arg};
    int os = kj_io_create(&io, ret_io);
    if (os == ENOENT || os == ENOTDIR)
        return read_only ? kj_err(KAJA_ERR_NO_DIRECTORY, "there is no kaja directory at %s", path)
                         : kj_err(KAJA_ERR_LOG_DIR_NOT_FOUND,
                                  "there is no directory at %s: name the broker's log.dirs", path);
    return os == 0 ? 0 : kj_err_os(os, "opening %s", path);
}

static int look_at_target(struct kj_export *export)
{
    const struct kj_export_options *options = &export->options;
    struct kj_io_stat stat;
    bool inner = false, outer = false, held;
    int os = kj_io_within(export->target, export->source, &inner);
    if (os == 0 && !inner)
        os = kj_io_within(export->source, export->target, &outer);
    if (os != 0)
        return kj_err_os(os, "looking at %s", options->target);
    if (inner || outer)
        return kj_err(KAJA_ERR_INVALID_ARG,
                      "%s and %s: one is the other or lies in it; a broker needs a directory of "
                      "its own",
                      options->source, options->target);
    if (kj_io_stat(export->target, "meta.properties", &stat) != 0)
        return kj_err(KAJA_ERR_LOG_DIR_NOT_FOUND,
                      "%s has no meta.properties, so it is no broker's log directory: format it "
                      "(kafka-storage), start the broker once and create the topics there",
                      options->target);
    KJ_TRY(make_broker_lock(export->target, options->target, &export->made_lock));
    KJ_TRY(lock_file(export->target, ".lock", 0, false, &export->target_broker, &held));
    return held ? broker_has(options->target) : 0;
}

int kj_export_open(const struct kj_export_options *options, struct kj_export **ret_export)
{
    struct kj_export *export = kj_alloc_zero(1, sizeof *export);
    if (export == NULL)
        return kj_err_oom("an export");
    export->options = *options;
    for (int i = 0; i < KJ_EXPORT_CHECKPOINTS; i++)
        kj_checkpoint_init(&export->checkpoints[i]);
    int err = open_root(options->source, true, options, &export->source);
    if (options->target_io != NULL)
        export->target = options->target_io;
    else if (err == 0)
        err = open_root(options->target, false, options, &export->target);
    if (err == 0)
        err = look_at_target(export);
    if (err != 0) {
        struct kj_err_saved why;
        kj_err_save(err, &why);
        kj_export_close(export);
        return kj_err_restore(&why);
    }
    *ret_export = export;
    return 0;
}

void kj_export_close(struct kj_export *export)
{
    if (export == NULL)
        return;
    for (size_t i = 0; i < export->items.count; i++) {
        kj_export_drop(export, &export->items.items[i]);
        kj_producers_free(export->items.items[i].open);
    }
    kj_free(export->items.items);
    for (int i = 0; i < KJ_EXPORT_CHECKPOINTS; i++)
        kj_checkpoint_free(&export->checkpoints[i]);
    kj_export_let_source(export);
    /* As an orderly stop of a broker does: the next one may run as another user. */
    if (export->target_broker != NULL && export->made_lock)
        (void)kj_io_unlink(export->target, ".lock");
    kj_shared_close(export->target_broker);
    kj_io_destroy(export->source);
    kj_io_destroy(export->target);
    kj_free(export);
}

/* --- what is to be done --- */

int kj_export_add_item(struct kj_export *export, const char *topic, int32_t partition,
                       struct kj_export_item **ret_item)
{
    struct kj_export_items *items = &export->items;
    void *grown = items->items;
    int err = kj_grow(&grown, &items->capacity, items->count + 1, sizeof *items->items);
    items->items = grown;
    KJ_TRY(err);
    struct kj_export_item *item = &items->items[items->count++];
    *item = (struct kj_export_item){.partition = partition};
    memcpy(item->topic, topic, strlen(topic) + 1);
    *ret_item = item;
    return 0;
}

int kj_export_each_log(struct kj_export *export, const char *name, kj_export_log_fn *each,
                       void *arg)
{
    struct kj_topic *topic;
    KJ_TRY(kj_topic_find(export->store, name, false, &topic));
    int32_t count = kj_topic_partition_count(topic);
    int err = 0;
    for (int32_t p = 0; p < count && err == 0; p++) {
        struct kj_partition *partition;
        err = kj_topic_partition(topic, p, &partition);
        if (err == 0)
            err = each(export, name, p, kj_partition_log(partition), arg);
    }
    kj_topic_release(topic);
    return err;
}

static int plan_log(struct kj_export *export, const char *topic, int32_t partition,
                    struct kj_log *log, void *arg)
{
    struct kj_export_item *item;
    (void)arg;
    KJ_TRY(kj_export_add_item(export, topic, partition, &item));
    item->start = kj_log_start(log);
    item->end = kj_log_end(log);
    KJ_TRY(kj_log_open_producers(log, &item->open));
    return kj_export_check_place(export, item);
}

static int has_records(struct kj_export *export, const char *topic, int32_t partition,
                       struct kj_log *log, void *arg)
{
    bool *has = arg;
    (void)export, (void)topic, (void)partition;
    *has = *has || kj_log_end(log) > kj_log_start(log);
    return 0;
}

/* want: the partitions that the target must have, -1: at least one. */
static int check_partitions(struct kj_export *export, const char *topic, int32_t want,
                            int32_t *ret_count)
{
    const char *target = export->options.target;
    int32_t count;
    KJ_TRY(kj_export_settle(export, topic, &count));
    if (count == 0 && want < 0)
        return kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                      "%s has no %s: start the broker, let it make it (kafka-consumer-groups "
                      "--describe --group any), stop it; or leave it out (--topic names others)",
                      target, topic);
    if (count == 0)
        return kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                      "%s has no topic %s: start the broker, kafka-topics --create --topic %s "
                      "--partitions %d --replication-factor 1, stop it",
                      target, topic, topic, (int)want);
    if (want >= 0 && count != want)
        return kj_err(KAJA_ERR_INVALID_PARTITIONS,
                      "%s has %d partitions of topic %s where %d are needed: create it there with "
                      "kafka-topics --create --partitions %d (several log.dirs cannot be filled)",
                      target, (int)count, topic, (int)want, (int)want);
    *ret_count = count;
    return 0;
}

/* *ret_offsets: partitions of __consumer_offsets in the target, if it is to be written. */
static int plan_topic(struct kj_export *export, const char *name, bool named, int32_t *ret_offsets)
{
    struct kj_topic *topic;
    int32_t count;
    KJ_TRY(kj_topic_find(export->store, name, false, &topic));
    int32_t want = kj_topic_partition_count(topic);
    bool internal = kj_topic_internal(topic), has = false;
    kj_topic_release(topic);
    if (strcmp(name, KJ_OFFSETS_TOPIC) == 0) {
        KJ_TRY(kj_export_each_log(export, name, has_records, &has));
        return has ? check_partitions(export, name, -1, ret_offsets) : 0;
    }
    if (internal) /* what a coordinator noted about its own cluster is nothing to another one */
        return named ? kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                              "%s belongs to its own cluster and is not exported", name)
                     : 0;
    KJ_TRY(check_partitions(export, name, want, &count));
    return kj_export_each_log(export, name, plan_log, NULL);
}

struct planning {
    struct kj_export *export;
    int32_t *offsets;
};

static int plan_each(void *arg, struct kj_topic *topic)
{
    struct planning *planning = arg;
    return plan_topic(planning->export, kj_topic_name(topic), false, planning->offsets);
}

static int plan(struct kj_export *export, int32_t *ret_offsets)
{
    const struct kj_export_options *options = &export->options;
    for (int i = 0; i < KJ_EXPORT_CHECKPOINTS; i++)
        KJ_TRY(kj_checkpoint_read(export->target, checkpoint_names[i], &export->checkpoints[i]));
    struct planning planning = {export, ret_offsets};
    if (options->topic_count == 0)
        return kj_store_topics(export->store, plan_each, &planning);
    for (size_t i = 0; i < options->topic_count; i++) {
        bool before = false;
        for (size_t j = 0; j < i && !before; j++)
            before = strcmp(options->topics[i], options->topics[j]) == 0;
        if (!before)
            KJ_TRY(plan_topic(export, options->topics[i], true, ret_offsets));
    }
    return 0;
}

/* --- doing it --- */

static int make_copy(struct kj_export *export, struct kj_export_item *item)
{
    struct kj_export_names names;
    kj_export_names(item->topic, item->partition, &names);
    item->copied = true; /* also if only begun */
    const struct kj_export_copy what = {
        .from = export->source,
        .to = export->target,
        .from_dir = names.dir,
        .dir = names.copy,
        .like = names.dir,
        .end = item->end,
        .open = item->open,
    };
    int err = kj_export_copy(&what, &item->counts);
    if (err != 0)
        return kj_err_at(err, item->topic, item->partition, -1, -1);
    item->how = item->counts.copied ? KJ_EXPORT_COPIED : KJ_EXPORT_REFLINKED;
    return 0;
}

static void report(struct kj_export *export, const struct kj_export_item *item)
{
    struct kj_export_result *result = &export->result;
    result->partitions++;
    result->segments += item->counts.segments;
    result->bytes += item->counts.bytes;
    if (export->options.callback == NULL)
        return;
    const struct kj_export_report report = {
        .how = item->how,
        .topic = item->topic,
        .partition = item->partition,
        .first_offset = item->start,
        .end_offset = item->end,
        .segments = item->counts.segments,
        .bytes = item->counts.bytes,
    };
    export->options.callback(export->options.arg, &report);
}

static int write_checkpoint(struct kj_export *export, int which)
{
    return kj_checkpoint_write(export->target, checkpoint_names[which],
                               &export->checkpoints[which], true);
}

/* Before a partition is there: one without its log start would show records that were deleted. */
static int write_log_starts(struct kj_export *export)
{
    struct kj_checkpoint *starts = &export->checkpoints[LOG_STARTS];
    for (size_t i = 0; i < export->items.count; i++) {
        const struct kj_export_item *item = &export->items.items[i];
        struct kj_export_names names;
        kj_export_names(item->topic, item->partition, &names);
        if (kj_log_start_is_seen(export->target, item->copied ? names.copy : names.dir,
                                 item->start))
            kj_checkpoint_remove(starts, item->topic, item->partition);
        else
            KJ_TRY(kj_checkpoint_put(starts, item->topic, item->partition, item->start));
    }
    return write_checkpoint(export, LOG_STARTS);
}

/* How far its logs are compacted; __consumer_offsets is written anew, with other offsets. Ahead of
 * them: what lies above a partition's end, as long as it is empty, a broker does not believe. */
static int write_cleaner_points(struct kj_export *export)
{
    struct kj_checkpoint *points = &export->checkpoints[CLEANER_POINTS];
    struct kj_checkpoint ours;
    bool changed = false;
    kj_checkpoint_init(&ours);
    int err = kj_checkpoint_read(export->source, KJ_CLEANER_NAME, &ours);
    if (err == KAJA_ERR_DAMAGED) { /* the broker begins at the log's start */
        kj_err_clear();
        kj_checkpoint_init(&ours);
        err = 0;
    }
    for (size_t i = 0; i < export->items.count && err == 0; i++) {
        const struct kj_export_item *item = &export->items.items[i];
        int64_t was = kj_checkpoint_get(points, item->topic, item->partition);
        int64_t is = kj_checkpoint_get(&ours, item->topic, item->partition);
        if (is < item->start || is > item->end || strcmp(item->topic, KJ_OFFSETS_TOPIC) == 0)
            is = -1;
        if (is == was || !item->copied)
            continue;
        changed = true;
        if (is < 0)
            kj_checkpoint_remove(points, item->topic, item->partition);
        else
            err = kj_checkpoint_put(points, item->topic, item->partition, is);
    }
    kj_checkpoint_free(&ours);
    KJ_TRY(err);
    return changed ? write_checkpoint(export, CLEANER_POINTS) : 0;
}

/* Those that were not replaced after all are empty and begin at 0. */
static int take_log_starts_back(struct kj_export *export, int err)
{
    struct kj_err_saved why;
    kj_err_save(err, &why);
    for (size_t i = 0; i < export->items.count; i++) {
        const struct kj_export_item *item = &export->items.items[i];
        if (item->copied)
            kj_checkpoint_remove(&export->checkpoints[LOG_STARTS], item->topic, item->partition);
    }
    (void)write_checkpoint(export, LOG_STARTS); /* or the next export does it */
    return kj_err_restore(&why);
}

static int write_ends(struct kj_export *export)
{
    static const int both[2] = {RECOVERY_POINTS, HIGH_WATERMARKS};
    for (size_t which = 0; which < 2; which++) {
        for (size_t i = 0; i < export->items.count; i++) {
            const struct kj_export_item *item = &export->items.items[i];
            KJ_TRY(kj_checkpoint_put(&export->checkpoints[both[which]], item->topic,
                                     item->partition, item->end));
        }
        KJ_TRY(write_checkpoint(export, both[which]));
    }
    return 0;
}

/* All copies, before the first partition is replaced. Where records are already, they are compared,
 * first of all, and the copy goes again. */
static int make_copies(struct kj_export *export, size_t plain)
{
    for (int holds = 1; holds >= 0; holds--)
        for (size_t i = 0; i < export->items.count; i++) {
            struct kj_export_item *item = &export->items.items[i];
            if (item->holds != (holds == 1))
                continue;
            if (i < plain)
                KJ_TRY(make_copy(export, item));
            if (item->holds)
                KJ_TRY(kj_export_place(export, item));
        }
    return 0;
}

static int place_copies(struct kj_export *export)
{
    for (size_t i = 0; i < export->items.count; i++)
        if (!export->items.items[i].holds)
            KJ_TRY(kj_export_place(export, &export->items.items[i]));
    return 0;
}

static int run(struct kj_export *export)
{
    int32_t offsets = 0;
    KJ_TRY(plan(export, &offsets));
    size_t plain = export->items.count;
    if (offsets > 0)
        KJ_TRY(kj_export_offsets(export, offsets));
    KJ_TRY(make_copies(export, plain));
    int err = write_log_starts(export);
    if (err == 0)
        err = write_cleaner_points(export);
    if (err == 0)
        err = place_copies(export);
    if (err != 0)
        return take_log_starts_back(export, err);
    KJ_TRY(write_ends(export));
    for (size_t i = 0; i < export->items.count; i++)
        report(export, &export->items.items[i]);
    return 0;
}

int kj_export_run(struct kj_export *export, struct kj_store *source,
                  struct kj_export_result *ret_result)
{
    KJ_ASSERT(export->door != NULL);
    export->store = source;
    KJ_TRY(run(export));
    *ret_result = export->result;
    return 0;
}
