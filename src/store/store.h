/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/store.h - one open directory: which topics there are, who else is here, and the background
 * work. A kj_store is one handle, which counts as one process (design: kaja-processes.7).
 *
 * Kafka: LogManager, ReplicaManager, the metadata cache.
 */
#ifndef KJ_STORE_STORE_H
#define KJ_STORE_STORE_H

#include "base/err.h"
#include "log/log.h"
#include "os/clock.h"
#include "os/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A property in the catalog: names and values as strings, already checked by api/. */
struct kj_property {
    const char *name;
    const char *value;
};

/* What the store must know about properties, answered by api/, which owns the table: news travels
 * up only through these callbacks. */
struct kj_store_options;
struct kj_property_rules {
    /* The effective log config of a topic with these own properties and these of the directory.
     * INVALID_CONFIG. Used for catalogs written by others too: unknown names are an error there. */
    int (*log_config)(const struct kj_property *topic, size_t topic_count,
                      const struct kj_property *directory, size_t directory_count,
                      struct kj_log_config *ret_config);
    /* Sets the members of *options that belong to the directory (num_partitions, auto_create,
     * retention_check_ms, checkpoint_ms, start_checkpoint_ms, cleaner_*) to what its properties
     * say. Called whenever the catalog was read anew: another process may have changed them.
     * INVALID_CONFIG. */
    int (*directory_config)(const struct kj_property *directory, size_t directory_count,
                            struct kj_store_options *options);
    /* The value in force of one directory-wide property, in its canonical form: what the directory
     * says, perhaps under another name, or the default; cut to bytes; empty if there is none.
     * INVALID_CONFIG. */
    int (*directory_value)(const char *name, const struct kj_property *directory,
                           size_t directory_count, char *value, size_t bytes);
};

struct kj_store;

/* What upper rooms must do at a moment that the store alone knows. */
struct kj_store_hooks {
    /* Recovery was not after a mere death of processes: ends may be lower than they were. Called by
     * the first opener, who is alone, before anybody can append. May be called again for the same
     * power cut. What it returns is an event, and keeps the directory from being left clean. */
    int (*ends_fell)(void *arg, struct kj_store *store);
    /* A topic that was deleted is gone but for its name in the catalog. What is kept under the name
     * (committed offsets) goes now, for good: behind this the name is free for another. The catalog
     * lock is held. Whatever it returns is an event, and it is called again. */
    int (*topic_gone)(void *arg, struct kj_store *store, const char *topic);
    void *arg;
};

struct kj_store_options {
    const char *path;
    bool create;
    bool read_only;
    bool allow_any_fs; /* kaja.fs.allow */
    bool fetch_copy;
    enum kj_io_backend backend;
    unsigned flush_threads;
    unsigned background_threads; /* 0 or 1 */
    int64_t lock_timeout_ms;
    int64_t memory_max, disk_max;
    size_t fd_max, map_max; /* 0: from the process limits */
    int64_t prepare_max_bytes;
    size_t producer_ids_max;
    size_t event_queue_max;
    int32_t num_partitions; /* of automatic creation */
    bool auto_create;
    int64_t retention_check_ms;
    int64_t checkpoint_ms;       /* recovery points */
    int64_t start_checkpoint_ms; /* log starts */
    bool cleaner_enable;
    int64_t cleaner_backoff_ms, cleaner_map_bytes;
    int64_t cleaner_microbytes_per_second;
    /* The directory-wide properties this handle was told (scope "store" of the directory): a new
     * directory stores them; in an existing one each must equal what is stored, else CONFLICT. */
    const struct kj_property *directory;
    size_t directory_count;
    struct kj_property_rules rules;
    struct kj_store_hooks hooks;
    /* seams; NULL: the real ones */
    const struct kj_clock *clock;
    struct kj_io *io; /* taken over */
    kj_io_step *io_step;
    kj_shared_step_fn *shared_step;
    void *step_arg;
    const struct kj_shared_sim_ops *shared_sim; /* with io: locks and words of a simulation */
    void *shared_sim_arg;
};

/* The internal topic of committed offsets. */
#define KJ_OFFSETS_TOPIC "__consumer_offsets"

struct kj_store;
struct kj_topic;     /* one incarnation of a topic as this handle knows it; refcounted */
struct kj_partition; /* lives as long as its topic */

int kj_store_open(const struct kj_store_options *options, struct kj_store **ret_store);
/* Everything above must be closed. */
int kj_store_close(struct kj_store *store);
/* FORKED in a child of fork(), NO_DIRECTORY once the directory was found removed or replaced: every
 * public call begins with it, but for those that close. */
int kj_store_check(struct kj_store *store);
/* The same, and asks the kernel: for calls that are rare. */
int kj_store_check_now(struct kj_store *store);
/* FORKED alone. */
int kj_store_check_forked(struct kj_store *store);
/* The directory was found removed or replaced: nothing that waits will ever be written. */
bool kj_store_gone(struct kj_store *store);

int kj_store_step(struct kj_store *store);
int64_t kj_store_next_deadline_ns(struct kj_store *store);
const struct kj_clock *kj_store_clock(struct kj_store *store);
struct kj_io *kj_store_io(struct kj_store *store);
/* Runs step soon in the worker; without a worker nothing happens. */
void kj_store_poke(struct kj_store *store);
/* Appends left work for the step, such as room to be prepared: a task that has more to do than time
 * returns the present, and goes on when that is done. A hint. */
bool kj_store_work_waits(const struct kj_store *store);
/* False with background_threads = 0: clients' calls do the work that is due. Never changes. */
bool kj_store_has_worker(const struct kj_store *store);
bool kj_store_read_only(const struct kj_store *store);

/* What upper rooms let the worker do (the producer's sender): called in each step, returns when it
 * wants to be called next. Unregistering waits until no call runs. */
typedef int64_t kj_store_task_run(void *arg);
struct kj_store_task {
    kj_store_task_run *run;
    void *arg;
    struct kj_store_task *next; /* the store's */
};
void kj_store_task_add(struct kj_store *store, struct kj_store_task *task);
void kj_store_task_remove(struct kj_store *store, struct kj_store_task *task);

/* --- events --- */
struct kj_event {
    int kind, error;
    char topic[256];
    int32_t partition;
    int64_t offset, end_offset;
    char text[512];
};
void kj_store_event_add(struct kj_store *store, const struct kj_event *event);
bool kj_store_event_take(struct kj_store *store, struct kj_event *ret_event);

/* --- topics; names are checked inside --- */

/* The topic as of now (catalog generation looked at: cheap when nothing changed); held for the
 * caller. create: made if missing and auto_create. UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_TOPIC_EXCEPTION. */
int kj_topic_find(struct kj_store *store, const char *name, bool create,
                  struct kj_topic **ret_topic);
void kj_topic_hold(struct kj_topic *topic);
void kj_topic_release(struct kj_topic *topic);
const char *kj_topic_name(const struct kj_topic *topic);
const uint8_t *kj_topic_id(const struct kj_topic *topic);
int32_t kj_topic_partition_count(struct kj_topic *topic); /* grows when partitions are added */
bool kj_topic_deleted(struct kj_topic *topic);            /* this incarnation is gone */
bool kj_topic_internal(const struct kj_topic *topic);
bool kj_topic_adopted(const struct kj_topic *topic);
/* A snapshot of the properties in force, for checks in the producer. */
void kj_topic_config(struct kj_topic *topic, struct kj_log_config *ret_config);
/* UNKNOWN_PARTITION. Loaded (kj_log_load) on first use. Valid while the topic is held. */
int kj_topic_partition(struct kj_topic *topic, int32_t partition,
                       struct kj_partition **ret_partition);

typedef int kj_topic_callback(void *arg, struct kj_topic *topic);
int kj_store_topics(struct kj_store *store, kj_topic_callback *callback,
                    void *arg); /* sorted by name */
/* Rises whenever topics, partition counts or properties changed, in any process. */
uint64_t kj_store_catalog_generation(struct kj_store *store);

int kj_topic_create(struct kj_store *store, const char *name, int32_t partition_count,
                    const struct kj_property *properties, size_t property_count);
/* The same for an internal topic, which nobody else may make. */
int kj_topic_create_internal(struct kj_store *store, const char *name, int32_t partition_count,
                             const struct kj_property *properties, size_t property_count);
int kj_topic_delete(struct kj_store *store, const char *name);
int kj_topic_add_partitions(struct kj_store *store, const char *name, int32_t partition_count);
/* Own properties of a topic, or the directory's (name NULL). Strings: kj_free_properties(). */
int kj_topic_properties(struct kj_store *store, const char *name,
                        struct kj_property **ret_properties, size_t *ret_count);
void kj_free_properties(struct kj_property *properties, size_t count);
/* Sets and removes together. */
int kj_topic_alter(struct kj_store *store, const char *name, const struct kj_property *set,
                   size_t set_count, const char *const *remove, size_t remove_count);

/* --- partitions --- */

struct kj_log *kj_partition_log(struct kj_partition *partition);
int32_t kj_partition_number(const struct kj_partition *partition);
/* Its log follows words that other handles may be changing now (always so for a handle that
 * writes): what lies at and behind its end is theirs. False for a read-only handle while nobody has
 * it open. */
bool kj_partition_live(struct kj_partition *partition);
struct kj_topic *kj_partition_topic(const struct kj_partition *partition);

/* Appends and wakes whoever waits for records. Does not wait for flushes. */
int kj_partition_append(struct kj_partition *partition, struct kj_append_batch *batches,
                        size_t count, enum kj_append_origin origin);
/* kj_log_append_soon(). */
int kj_partition_append_soon(struct kj_partition *partition, struct kj_append_batch *batches,
                             size_t count, enum kj_append_origin origin, int64_t since_ns,
                             bool *ret_busy);

/* The same in steps: hold takes the append lock (of a poisoned partition too), append_held appends
 * and wakes, let_go gives the lock up. For coord/, to whom it is the lock of a group: in between
 * nothing may be called that takes a mutex below LOG_APPEND. The space limit is not looked at. */
int kj_partition_hold(struct kj_partition *partition);
/* For those who must not wait for a stopped handle: LOCK_TIMED_OUT after some milliseconds. */
int kj_partition_hold_soon(struct kj_partition *partition);
/* The same until the deadline (at most as long as locks are waited for). */
int kj_partition_hold_by(struct kj_partition *partition, int64_t deadline_ns);
int kj_partition_append_held(struct kj_partition *partition, struct kj_append_batch *batches,
                             size_t count, enum kj_append_origin origin);
void kj_partition_let_go(struct kj_partition *partition);
/* Another handle is in there now: for those that must not wait for one that is stopped. */
bool kj_partition_busy(struct kj_partition *partition);

/* Makes partitions durable up to their ends as of the call, all in one flush; whoever comes while a
 * flush runs shares the next one. count 0: every partition of this handle that has acks=all batches
 * waiting. First error of any. Wakes readers whose high watermark rose. LOCK_TIMED_OUT, when all
 * the others are done: one that another handle is flushing did not become free in
 * lock_timeout_ms. */
int kj_store_flush(struct kj_store *store, struct kj_partition *const *partitions, size_t count);
/* The same for those who have more to do: waits for other handles for some milliseconds only. */
int kj_store_flush_soon(struct kj_store *store, struct kj_partition *const *partitions,
                        size_t count);

/* Waits until one of the partitions has records readable at or behind offsets[i] (high watermark >
 * offsets[i], or durable when durable_only), a topic of theirs was deleted, anything changed in the
 * catalog, *extra changes from extra_expected (may be NULL), or the deadline. Flushes itself what a
 * dead writer left unflushed. 0 (also when a topic or the catalog changed: look), TIMED_OUT. */
int kj_store_wait(struct kj_store *store, struct kj_partition *const *partitions,
                  const int64_t *offsets, size_t count, bool durable_only, _Atomic uint32_t *extra,
                  uint32_t extra_expected, int64_t deadline_ns);

/* Something else that ends a wait: news of a consumer group. */
struct kj_wait_also {
    uint32_t hash;              /* of the group: kj_store_wake_group() */
    bool (*changed)(void *arg); /* looked at before each sleep, and after it */
    void *arg;
};
/* The same, with also (NULL: nothing more); 0 as well when it changed. */
int kj_store_wait_also(struct kj_store *store, struct kj_partition *const *partitions,
                       const int64_t *offsets, size_t count, bool durable_only,
                       _Atomic uint32_t *extra, uint32_t extra_expected,
                       const struct kj_wait_also *also, int64_t deadline_ns);

/* The same without a thread of the caller's own: the worker waits, and tells it once. */
struct kj_watch;
typedef void kj_watch_tell(void *arg); /* rings a bell: the worker's, inside the watch's lock */
struct kj_watch_for {
    struct kj_partition *const *partitions; /* all as in kj_store_wait_also(); copied */
    const int64_t *offsets;
    size_t count;
    bool durable_only;
    const struct kj_wait_also *also;
    struct kj_partition *flushed; /* NULL, or: durable up to flushed_end, or never */
    int64_t flushed_end;
    int64_t at_ns; /* then at the latest */
};
/* The store must have a worker. Nothing is watched yet. OUT_OF_MEMORY. */
int kj_watch_open(struct kj_store *store, kj_watch_tell *tell, void *arg,
                  struct kj_watch **ret_watch);
/* tell() does not run any more. NULL is fine. */
void kj_watch_close(struct kj_watch *watch);
/* Watches this in the place of what it did before; tells at once if it is there already. Its
 * partitions live until it is set anew or unset. OUT_OF_MEMORY: as unset. */
int kj_watch_set(struct kj_watch *watch, const struct kj_watch_for *what);
void kj_watch_unset(struct kj_watch *watch);

/* Wakes those who wait for news of a group with this hash (and of some others). */
void kj_store_wake_group(struct kj_store *store, uint32_t hash);

/* For kj_store_hooks.ends_fell: the end of a partition as recovery left it. False: there is no such
 * partition, or it could not be recovered. Loads nothing. */
bool kj_store_recovered_end(struct kj_store *store, const char *topic, int32_t partition,
                            int64_t *ret_end);

/* DeleteRecords with its policy check. */
int kj_partition_delete_records(struct kj_partition *partition, int64_t offset,
                                int64_t *ret_log_start);

/* --- numbers --- */
enum kj_metric {
#define KJ_METRIC(name, unit, kind, text) KJ_METRIC_##name,
#include "base/metric_table.h"
#undef KJ_METRIC
    KJ_METRIC_COUNT
};
uint64_t kj_store_metric(struct kj_store *store, enum kj_metric metric);
void kj_store_metric_add(struct kj_store *store, enum kj_metric metric, uint64_t n);

#endif
