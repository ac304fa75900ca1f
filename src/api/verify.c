/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/verify.c - kaja_verify(): the directory as a whole; log/verify.c reads the partitions. A
 * read-only handle says whether others are at work and how far they have published.
 */
#include "api/handles.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/checkpoint.h"
#include "log/file_names.h"
#include "log/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dir {
    char name[KJ_DIR_NAME_MAX + 1];
    char topic[KJ_TOPIC_NAME_MAX + 1];
    int32_t partition;
};

struct verify {
    kaja_finding_callback *callback;
    void *arg;
    const char *only; /* topic, or NULL */
    struct kj_store *store; /* NULL: the catalog cannot be read */
    struct kj_io *io;
    struct dir *dirs;
    size_t dir_count, dir_capacity;
    int err; /* of the listing */
    bool clean;
    struct kj_checkpoint points;
    struct kj_checkpoint cleaned[2]; /* kaja.cleaned and Kafka's */
    bool gaps_unknown;               /* one of the two cannot be read */
    const struct dir *now; /* whose findings come, NULL: the root's */
    struct kaja_verify_result result;
};

static void found(void *arg, const struct kj_verify_finding *finding)
{
    struct verify *v = arg;
    if (finding->kind == KAJA_FINDING_DAMAGE || finding->kind == KAJA_FINDING_INDEX)
        v->result.damage++;
    if (v->callback == NULL)
        return;
    const struct kaja_finding out = {
        .kind = (enum kaja_finding_kind)finding->kind,
        .error = finding->error,
        .file = finding->file,
        .topic = v->now != NULL ? v->now->topic : NULL,
        .partition = v->now != NULL ? v->now->partition : -1,
        .offset = finding->offset,
        .pos = finding->pos,
        .bytes = finding->bytes,
        .text = finding->text,
    };
    v->callback(v->arg, &out);
}

static void found_file(struct verify *v, enum kaja_finding_kind kind, int error, const char *file,
                       const char *text)
{
    const struct kj_verify_finding finding = {(int)kind, error, file, -1, -1, -1, text};
    found(v, &finding);
}

/* --- the root --- */

static bool ends_in(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);
    return a > b && strcmp(name + a - b, end) == 0;
}

/* What Kafka or kaja keeps at the root beside partitions. */
static bool known_name(const char *name, enum kj_io_type type)
{
    static const char *const files[] = {
        ".kafka_cleanshutdown",
        ".lock",
        "bootstrap.checkpoint",
        "cleaner-offset-checkpoint",
        "kaja.catalog",
        "kaja.catalog.old",
        "kaja.cleaned",
        "kaja.control",
        "kaja.lock",
        "log-start-offset-checkpoint",
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    };
    if (type == KJ_IO_DIR)
        return ends_in(name, "-delete") || ends_in(name, "-stray") || ends_in(name, "-future") ||
               strcmp(name, "lost+found") == 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (type == KJ_IO_FILE && strcmp(name, files[i]) == 0)
            return true;
    return type == KJ_IO_FILE && (ends_in(name, ".tmp") || strncmp(name, "kaja.control.", 13) == 0);
}

static int note_name(void *arg, const char *name, enum kj_io_type type)
{
    struct verify *v = arg;
    struct dir dir;
    if (strlen(name) > KJ_DIR_NAME_MAX)
        return 0;
    (void)snprintf(dir.name, sizeof dir.name, "%s", name);
    if (type != KJ_IO_DIR || !kj_partition_dir_parse(name, dir.topic, &dir.partition)) {
        if (v->only == NULL && !known_name(name, type))
            found_file(v, KAJA_FINDING_FOREIGN, 0, name, "this does not belong here");
        return 0;
    }
    /* A broker's own log of its cluster: never touched. */
    if (strcmp(dir.topic, "__cluster_metadata") == 0 ||
        (v->only != NULL && strcmp(v->only, dir.topic) != 0))
        return 0;
    void *grown = v->dirs;
    v->err = kj_grow(&grown, &v->dir_capacity, v->dir_count + 1, sizeof *v->dirs);
    v->dirs = grown;
    if (v->err != 0)
        return ENOMEM;
    v->dirs[v->dir_count++] = dir;
    return 0;
}

static int by_partition(const void *a, const void *b)
{
    const struct dir *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    if (order != 0)
        return order;
    return x->partition < y->partition ? -1 : x->partition > y->partition;
}

static int list(struct verify *v)
{
    int os = kj_io_list(v->io, "", note_name, v);
    if (v->err != 0)
        return v->err;
    if (os != 0)
        return kj_err_os(os, "listing the directory");
    if (v->dir_count > 1)
        qsort(v->dirs, v->dir_count, sizeof *v->dirs, by_partition);
    return 0;
}

/* --- partitions --- */

/* Below it compaction was. */
static int64_t cleaned_of(const struct verify *v, const struct dir *dir)
{
    int64_t a = kj_checkpoint_get(&v->cleaned[0], dir->topic, dir->partition);
    int64_t b = kj_checkpoint_get(&v->cleaned[1], dir->topic, dir->partition);
    return v->gaps_unknown ? INT64_MAX : a > b ? a : b;
}

/* What others and the catalog say about one. Not in the catalog: Kafka's, and nobody writes it. */
static void ask_store(struct verify *v, const struct dir *dir, struct kj_verify_options *options)
{
    struct kj_topic *topic;
    struct kj_partition *partition;
    options->gaps_below = INT64_MAX;
    if (v->store == NULL)
        return;
    if (kj_topic_find(v->store, dir->topic, false, &topic) != 0) {
        kj_err_clear();
        return;
    }
    if (!kj_topic_adopted(topic) && dir->partition < kj_topic_partition_count(topic))
        options->gaps_below = cleaned_of(v, dir);
    if (dir->partition >= kj_topic_partition_count(topic)) {
        options->gaps_below = INT64_MAX;
    } else if (kj_topic_partition(topic, dir->partition, &partition) != 0) {
        kj_err_clear(); /* it does not load: what is wrong is found by reading it */
    } else if (kj_partition_live(partition)) {
        options->live = true;
        options->log = kj_partition_log(partition);
        options->end = kj_log_end(kj_partition_log(partition));
    }
    kj_topic_release(topic);
}

static int verify_dir(struct verify *v, const struct dir *dir)
{
    int64_t point = kj_checkpoint_get(&v->points, dir->topic, dir->partition);
    struct kj_verify_options options = {
        .io = v->io,
        .dir = dir->name,
        .end = INT64_MAX,
        .clean = v->clean,
        .recovery_point = point > 0 ? point : 0,
        .callback = found,
        .arg = v,
    };
    struct kj_verify_counts counts = {0};
    v->now = dir;
    ask_store(v, dir, &options);
    int err = kj_verify_partition(&options, &counts);
    v->now = NULL;
    v->result.partitions++;
    v->result.segments += counts.segments;
    v->result.batches += counts.batches;
    v->result.records += counts.records;
    v->result.bytes += counts.bytes;
    return err;
}

/* A partition of the catalog has a directory. */
static int check_topic(void *arg, struct kj_topic *topic)
{
    struct verify *v = arg;
    const char *name = kj_topic_name(topic);
    if (v->only != NULL && strcmp(v->only, name) != 0)
        return 0;
    int32_t count = kj_topic_partition_count(topic);
    for (int32_t i = 0; i < count; i++) {
        struct dir dir = {.partition = i};
        (void)snprintf(dir.topic, sizeof dir.topic, "%s", name);
        if (v->dir_count > 0 &&
            bsearch(&dir, v->dirs, v->dir_count, sizeof *v->dirs, by_partition) != NULL)
            continue;
        struct kj_io_stat stat;
        if (!kj_partition_dir_name(dir.name, name, i))
            continue;
        bool there = kj_io_stat(v->io, dir.name, &stat) == 0;
        if (there && stat.type == KJ_IO_DIR)
            continue; /* made since the listing */
        v->now = &dir;
        found_file(v, KAJA_FINDING_DAMAGE, KAJA_ERR_DAMAGED, dir.name,
                   there ? "a link or something else stands where the directory should be"
                         : "the directory is missing");
        v->now = NULL;
    }
    return 0;
}

/* One that cannot be read is told, and empty. */
static int read_checkpoint(struct verify *v, const char *name, struct kj_checkpoint *checkpoint,
                           bool *ret_damaged)
{
    int err = kj_checkpoint_read(v->io, name, checkpoint);
    *ret_damaged = err == KAJA_ERR_DAMAGED || err == KAJA_ERR_NOT_KAJA;
    if (!*ret_damaged)
        return err;
    found_file(v, KAJA_FINDING_INDEX, err, name, kaja_error_detail());
    kj_checkpoint_init(checkpoint);
    return 0;
}

static int verify_all(struct verify *v)
{
    struct kj_io_stat stat;
    KJ_TRY(list(v));
    if (v->store != NULL) {
        int err = kj_store_topics(v->store, check_topic, v);
        if (err != 0)
            return err;
    }
    if (v->only != NULL && v->dir_count == 0) {
        struct kj_topic *topic;
        if (v->store == NULL)
            return kj_err(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "there is no topic %s", v->only);
        KJ_TRY(kj_topic_find(v->store, v->only, false, &topic));
        kj_topic_release(topic);
    }
    v->clean = kj_io_stat(v->io, ".kafka_cleanshutdown", &stat) == 0;
    bool damaged;
    KJ_TRY(read_checkpoint(v, "recovery-point-offset-checkpoint", &v->points, &damaged));
    KJ_TRY(read_checkpoint(v, "kaja.cleaned", &v->cleaned[0], &v->gaps_unknown));
    KJ_TRY(read_checkpoint(v, "cleaner-offset-checkpoint", &v->cleaned[1], &damaged));
    v->gaps_unknown = v->gaps_unknown || damaged;
    for (size_t i = 0; i < v->dir_count; i++)
        KJ_TRY(verify_dir(v, &v->dirs[i]));
    return 0;
}

/* --- opening --- */

static int open_any(struct verify *v, const char *path, struct kj_io **ret_own_io)
{
    int err = kj_handle_open_path(path, true, &v->store);
    if (err == 0) {
        v->io = kj_store_io(v->store);
        return 0;
    }
    if (err != KAJA_ERR_DAMAGED && err != KAJA_ERR_INVALID_CONFIG)
        return err;
    found_file(v, KAJA_FINDING_DAMAGE, err, "kaja.catalog", kaja_error_detail());
    const struct kj_io_options options = {.root = path, .backend = KJ_IO_POSIX, .read_only = true};
    int os = kj_io_create(&options, ret_own_io);
    v->io = *ret_own_io;
    return os == 0 ? 0 : kj_err_os(os, "opening %s", path);
}

int kaja_verify(const char *path, const char *topic, kaja_finding_callback *callback, void *arg,
                struct kaja_verify_result *ret_result)
{
    if (path == NULL || path[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_verify: the path is empty");
    struct verify v = {.callback = callback, .arg = arg, .only = topic};
    struct kj_io *own_io = NULL;
    kj_checkpoint_init(&v.points);
    kj_checkpoint_init(&v.cleaned[0]);
    kj_checkpoint_init(&v.cleaned[1]);
    int err = open_any(&v, path, &own_io);
    if (err == 0)
        err = verify_all(&v);
    kj_checkpoint_free(&v.points);
    kj_checkpoint_free(&v.cleaned[0]);
    kj_checkpoint_free(&v.cleaned[1]);
    kj_free(v.dirs);
    if (own_io != NULL)
        kj_io_destroy(own_io);
    if (v.store != NULL) {
        struct kj_err_saved story;
        kj_err_save(err, &story);
        (void)kj_store_close(v.store); /* read-only: nothing that could be lost */
        if (err != 0)
            (void)kj_err_restore(&story);
    }
    if (err == 0 && ret_result != NULL)
        *ret_result = v.result;
    return err;
}
