/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/internal.h - what the files of store/ share. Nobody outside store/ includes it.
 *
 * Who may do what
 *   1. The door (KJ_LOCK_DOOR) is held from the first look at the directory to final presence, and
 * from trying to be the last to leave until it is done (door.c). Whoever has presence exclusively
 * is alone: no other handle has the directory open.
 *   2. kaja.catalog is replaced only under the catalog lock (change.c) or alone. Readers need no
 *      lock: they find the old file or the new one. KJ_CONTROL_GENERATION is stored after.
 *   3. A change of several steps stands in the catalog before its first step (settle.c finishes or
 * undoes it), so it can be completed from catalog and directories alone.
 *
 * Mutexes: change_lock (CATALOG) around the catalog lock; lock (STORE) for the fields marked (S);
 * work_lock (LEAF) for those marked (W).
 */
#ifndef KJ_STORE_INTERNAL_H
#define KJ_STORE_INTERNAL_H

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/lock.h"
#include "log/checkpoint.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "log/log.h"
#include "os/shared.h"
#include "os/worker.h"
#include "store/catalog.h"
#include "store/control.h"
#include "store/store.h"

#define KJ_MARKER_NAME ".kafka_cleanshutdown"
#define KJ_RECOVERY_POINTS_NAME "recovery-point-offset-checkpoint"
#define KJ_LOG_STARTS_NAME "log-start-offset-checkpoint"
#define KJ_HIGH_WATERMARKS_NAME "replication-offset-checkpoint"
#define KJ_CLEANER_NAME "cleaner-offset-checkpoint"
#define KJ_CLEANED_NAME "kaja.cleaned"

/* Where a log's news go; outlives the log. */
struct kj_news_target {
    struct kj_store *store;
    const char *topic;
    int32_t partition;
};

/* How far compaction was, or may have been, in each partition: what kaja.cleaned and Kafka's
 * checkpoint say, the greater counts. Of one that cannot be read nothing is known, so it may have
 * been everywhere. */
struct kj_cleaned {
    struct kj_checkpoint ours, kafkas;
    bool unknown;
};

/* One control file as this handle sees it. A handle that writes has one for life; a read-only one
 * begins another when the file was replaced, and keeps the old for those who still look at it. */
struct kj_session {
    struct kj_shared *shared;
    bool attached; /* its words are there: else every log has words of its own */
    struct kj_log_env env;
    uint64_t identity;     /* read-only: of the files it was begun with */
    bool checkpoints_read; /* read-only: the two below (change_lock) */
    struct kj_checkpoint recovery_points, log_starts;
    struct kj_cleaned cleaned;
    struct kj_session *older;
};

/* Housekeeping that one handle does for all. */
enum kj_task {
    KJ_TASK_RETENTION,
    KJ_TASK_CHECKPOINTS,
    KJ_TASK_LOG_STARTS,
    KJ_TASK_COUNT, /* the above are done at once */
    KJ_TASK_CLEANER = KJ_TASK_COUNT /* over many steps: cleaner.c */
};
/* Of the two files of compaction, as long as one is written; KJ_TASK_CLEANER's lock is kept over a
 * whole round. */
enum { KJ_LOCK_CLEANED = KJ_LOCK_TASKS + 8 };

enum kj_cleaner_state { KJ_CLEANER_WAITS, KJ_CLEANER_LOOKS, KJ_CLEANER_CLEANS };

/* A partition that is passed over. */
struct kj_clean_aside {
    uint32_t slot;
    bool for_good;
    uint64_t log_start;
};

/* Compaction (cleaner.c); the step's own. Behind WAITS the task's lock is held. */
struct kj_cleaner {
    enum kj_cleaner_state state;
    struct kj_catalog *catalog; /* of the look that runs, or led to the round */
    struct kj_checkpoint points;
    size_t topic; /* looked at next */
    int32_t partition;
    bool wanted;                 /* topic is compacted */
    struct kj_log_config config; /* of topic */
    int64_t best_share;          /* -1: none yet */
    size_t best_topic;
    int32_t best_partition;
    struct kj_clean_round *round; /* of the best; NULL: not begun */
    struct kj_log_cleaning cleaning;
    bool rounded;                 /* it is through, its end is to be noted */
    int64_t was_dirty, log_start; /* when it began */
    int64_t slice_bytes;
    int64_t resume_ns; /* not before */
    int64_t stuck_ns;  /* since when somebody else's lock is in the way; 0: not */
    bool told;         /* that there is no room, or the like */
    bool broken_off;   /* the pass ends */
    struct kj_clean_aside *aside;
    size_t aside_count, aside_capacity;
};

enum kj_load_state { KJ_LOAD_NONE = 0, KJ_LOAD_RUNNING = 1, KJ_LOAD_DONE = 2 };

/* Work that an append leaves to the next step. */
enum kj_work {
    KJ_WORK_PREPARE = 1,
    KJ_WORK_FLUSH = 2,
    KJ_WORK_RETAIN = 4,
    KJ_WORK_FLUSH_LATER = 8 /* flush.ms runs from now on */
};

struct kj_partition {
    struct kj_topic *topic;
    int32_t number;
    uint32_t slot_number;
    struct kj_log *_Atomic log; /* NULL until loaded once */
    struct kj_session *session; /* (S) of log */
    bool private_words;         /* (S) log has words of its own although the session is attached */
    enum kj_load_state load;    /* (S) */
    struct kj_log **retired;    /* (S) read-only: logs of older sessions, freed with the topic */
    size_t retired_count, retired_capacity;
    struct kj_partition *loaded_next, *loaded_prev; /* (S) */
    kj_atomic_u64 config_seen;                      /* topic->config_version its log has */
    kj_atomic_u64 active_seen;                      /* ACTIVE_BASE after our last append */
    struct kj_news_target news;
    unsigned work;                  /* (W) enum kj_work */
    struct kj_partition *work_next; /* (W) */
    int64_t prepared_counted;       /* the step's own: its share of the store's prepared_bytes */
    /* flush.ms: when the oldest unflushed record was first seen, 0: there was none. Set by appends,
     * taken back by the step. */
    kj_atomic_u64 unflushed_since_ns;
    uint64_t flush_round;           /* flusher: the round it was put into last */
    int flush_error;                /* flusher: of that round */
};

struct kj_topic {
    struct kj_store *store;
    char *name;
    uint8_t id[16];
    bool internal;
    kj_atomic_u64 refs;
    kj_atomic_u64 deleted;
    kj_atomic_u64 adopted;
    kj_atomic_u64 partition_count;
    kj_atomic_u64 config_version;
    struct kj_log_config config;      /* (S) */
    struct kj_partition **partitions; /* (S) made at need */
    uint32_t *slots;                  /* (S) slot number of each */
    size_t capacity;                  /* (S) of both */
    uint64_t seen;                    /* (S) mark of the last look at the catalog */
};

struct kj_flush_request {
    struct kj_partition *const *partitions;
    const int64_t *ends; /* of each, as of the call */
    size_t count;
    bool skip_deleted; /* a topic that was deleted meanwhile is no failure */
    bool done;
    size_t busy; /* the first that another handle is flushing; count: none */
    struct kj_err_saved result;
    struct kj_flush_request *next;
};

struct kj_flusher {
    struct kj_lock lock; /* FLUSHER */
    struct kj_cond cond;
    bool running;
    uint64_t round;
    struct kj_flush_request *waiting, **waiting_end; /* for the next round */
};

struct kj_events {
    struct kj_lock lock; /* EVENTS */
    struct kj_event *ring;
    size_t capacity, first, count, max;
    uint64_t dropped; /* since the last KAJA_EVENT_DROPPED */
};

struct kj_store {
    struct kj_store_options options; /* members that belong to the directory: (S) */
    const struct kj_clock *clock;
    struct kj_io *io;
    struct kj_shared *broker; /* ".lock", against brokers; NULL: read-only */
    struct kj_session *_Atomic session;
    struct kj_file_cache *files;
    uint32_t handle_number;
    bool first; /* this handle was the first to open */
    bool clean; /* then: the marker was there */
    bool sound; /* then: only processes died since the directory was whole */

    struct kj_lock change_lock; /* CATALOG */
    struct kj_lock lock;        /* STORE */
    struct kj_cond cond;        /* (S) a load, or a task's run, has ended */
    struct kj_catalog *catalog; /* (S) as last read */
    kj_atomic_u64 seen_generation;
    uint64_t sync_mark;                 /* (S) */
    struct kj_map topics;               /* (S) name -> kj_topic, holds one reference each */
    struct kj_partition *loaded;        /* (S) those with a log */
    struct kj_store_task *tasks;        /* (S) */
    struct kj_store_task *running_task; /* (S) */
    struct kj_watch *watches;           /* (S) */

    struct kj_flusher flusher;
    struct kj_events events;
    kj_atomic_u64 metrics[KJ_METRIC_COUNT];

    struct kj_lock work_lock;        /* LEAF */
    struct kj_partition *work_first; /* (W) each holds its topic */
    kj_atomic_u64 work_waits;        /* 1: there is some; a hint for kj_store_work_waits() */

    struct kj_worker *worker;
    /* the worker's own: words that its next sleep watches, as they were before the step */
    kj_word watch_words[KJ_SHARED_WAIT_MAX];
    uint32_t watch_expected[KJ_SHARED_WAIT_MAX];
    size_t watch_count;
    bool watch_overflow; /* there are more */
    size_t files_max;          /* what the file cache was given */
    kj_atomic_u64 stepping;    /* 1: a thread is in the step */
    kj_atomic_u64 deadline_ns; /* of the next step */
    /* the step's own */
    int64_t next_tick_ns, next_sweep_ns;
    int64_t next_flush_ns; /* of the partition whose flush.ms is over first */
    bool gone_told; /* that the directory was removed or replaced */
    struct {
        uint64_t value;  /* of the task's word */
        int64_t seen_ns; /* by our clock, when it was first seen */
    } tasks_seen[KJ_TASK_COUNT + 1];
    struct kj_cleaner cleaner;
    struct kj_catalog *retain_catalog; /* held while a pass of retention runs */
    size_t retain_topic;
    int32_t retain_partition;
    bool retain_wanted;     /* by the config of retain_topic */
    int64_t prepared_bytes; /* ready ahead of the ends, as last summed up */
    int64_t space_looked_ns;
    bool space_short;

    kj_atomic_u64 disk_base; /* kaja.disk.max: bytes of all logs when last counted */
    kj_atomic_u64 disk_mark; /* KJ_CONTROL_LOG_BYTES then */
    kj_atomic_u64 disk_known;
    kj_atomic_u64 disk_tried_ns;     /* when retention was tried last to make room */
    struct kj_store *abandoned_next; /* closed in a child of fork() */
};

/* --- sessions (session.c) --- */
int kj_session_new(struct kj_store *store, struct kj_shared *shared, bool attached,
                   uint64_t identity, struct kj_session **ret_session);
static inline struct kj_session *kj_session_of(struct kj_store *store)
{
    return atomic_load(&store->session);
}
static inline struct kj_shared *kj_shared_of(struct kj_store *store)
{
    return atomic_load(&store->session)->shared;
}
int kj_shared_new(struct kj_store *store, struct kj_shared **ret_shared);
/* Read-only: begins a new session if the files say so. Cheap. */
int kj_session_follow(struct kj_store *store);
void kj_sessions_free(struct kj_store *store);

/* --- the door (door.c, first.c, leave.c) --- */
int kj_door_enter(struct kj_store *store);
/* Gives up presence and, as the last one, closes the directory. The locks go with the session. */
int kj_door_leave(struct kj_store *store);
int kj_door_lock(struct kj_store *store);
int64_t kj_lock_deadline(struct kj_store *store);
/* What the first opener does while alone. */
int kj_first_open(struct kj_store *store);
/* Calls work for every partition of the catalog, at most helpers + 1 at a time, each in a thread of
 * its own (none but the caller's without background threads). */
typedef void kj_partition_work_fn(void *arg, const struct kj_catalog_topic *topic,
                                  int32_t partition);
int kj_each_partition(struct kj_store *store, const struct kj_catalog *catalog, unsigned helpers,
                      kj_partition_work_fn *work, void *arg);
/* Unclean: every partition. */
int kj_recover_all(struct kj_store *store, const struct kj_catalog *catalog);
/* Compares options.directory with the catalog. CONFLICT. */
int kj_directory_compare(struct kj_store *store, const struct kj_catalog *catalog);

/* --- catalog and topics (topic.c) --- */
/* Reads the catalog if it changed and brings the handle's topics up to date. */
int kj_store_sync(struct kj_store *store);
/* Takes over the caller's reference. STORE lock not held. */
int kj_store_adopt_catalog(struct kj_store *store, struct kj_catalog *catalog);
/* The catalog as last read, held for the caller. */
struct kj_catalog *kj_store_catalog(struct kj_store *store);
void kj_topics_free(struct kj_store *store);
/* The config in force of a topic in a catalog. */
int kj_topic_config_of(struct kj_store *store, const struct kj_catalog *catalog,
                       const struct kj_catalog_topic *topic, struct kj_log_config *ret_config);
bool kj_topic_name_internal(const char *name);
/* False if its last reference is gone. */
bool kj_topic_try_hold(struct kj_topic *topic);
/* Lets new properties come into force in the partition's log. */
void kj_partition_apply_config(struct kj_partition *partition);

/* --- changes (change.c, settle.c, adopt.c) --- */
/* Finishes or undoes what the catalog says was begun. Catalog lock held, or alone (shared NULL:
 * there are no words yet). *ret_changed: the catalog is to be written. */
int kj_settle(struct kj_store *store, struct kj_shared *shared, struct kj_catalog *catalog,
              bool *ret_changed);
/* Tries the catalog lock and settles if it is free. */
int kj_settle_try(struct kj_store *store);
/* Removes directories that wait to be removed. */
int kj_settle_leftovers(struct kj_store *store);
/* Finds partition directories that the catalog does not know; adds them. NOT_KAJA,
 * INVALID_PARTITIONS. Changes nothing on disk: kj_adopt_ids() does, afterwards. */
int kj_adopt(struct kj_store *store, struct kj_catalog *catalog, bool *ret_changed);
int kj_adopt_ids(struct kj_store *store, const struct kj_catalog *catalog);
/* What a directory with a partition's name has in it. PARTITION: a file that every partition has,
 * of Kafka's or ours. Everything else is somebody else's. */
enum kj_dir_content { KJ_DIR_EMPTY, KJ_DIR_PARTITION, KJ_DIR_FOREIGN };
int kj_dir_look(struct kj_io *io, const char *dir, enum kj_dir_content *ret_content);
/* True if the root holds a catalog or a partition directory. */
int kj_looks_like_ours(struct kj_io *io, bool *ret_yes);
void kj_new_id(struct kj_store *store, uint8_t id[static 16]);
/* Makes a new catalog known to everybody, after its file was written. */
void kj_catalog_announce(struct kj_store *store, const struct kj_catalog *catalog);

/* --- partitions (partition.c) --- */
int kj_partition_log_new(struct kj_store *store, struct kj_session *session, const char *topic,
                         const uint8_t id[static 16], int32_t partition, uint32_t slot_number,
                         bool adopted, bool private_words, const struct kj_log_config *config,
                         struct kj_news_target *news, struct kj_log **ret_log);
/* A log that is not in any topic's list: for a round of housekeeping, recovery, the last leaver. */
struct kj_spare_log {
    struct kj_news_target news;
    struct kj_log *log;
    uint32_t slot_number;
};
int kj_spare_log_open(struct kj_store *store, const struct kj_catalog *catalog,
                      const struct kj_catalog_topic *topic, int32_t partition,
                      struct kj_spare_log *ret_spare);
void kj_spare_log_close(struct kj_spare_log *spare);
/* Loads it as its slot says. */
int kj_slot_load(struct kj_store *store, struct kj_session *session, struct kj_log *log,
                 uint32_t slot_number);
/* The object alone, without a log. STORE lock held. */
int kj_partition_object_new(struct kj_topic *topic, int32_t number,
                            struct kj_partition **ret_partition);
void kj_partition_free(struct kj_partition *partition);
/* Read-only: another log if the session changed, or the slot became ready. */
int kj_partition_follow(struct kj_partition *partition);
/* Every partition of this handle that has a log, its topic held for the caller;
 * kj_partitions_let_go(). */
int kj_partitions_loaded(struct kj_store *store, struct kj_partition ***ret_partitions,
                         size_t *ret_count);
void kj_partitions_let_go(struct kj_partition **partitions, size_t count);
uint64_t kj_slot_word(struct kj_store *store, uint32_t slot_number, enum kj_slot_word word);
void kj_partition_queue(struct kj_partition *partition, unsigned work);

/* --- waiting (waiters.c) --- */
void kj_wake_readers(struct kj_store *store, uint32_t slot_number);
void kj_wake_everybody(struct kj_store *store);
/* Marks the word, so that whoever publishes something behind it wakes; its low half. */
uint32_t kj_wake_mark(struct kj_shared *shared, kj_word word);
/* What is waited for. */
struct kj_wait {
    struct kj_store *store;
    struct kj_partition *const *partitions;
    const int64_t *offsets;
    size_t count;
    bool durable_only;
    uint64_t generation;
    const struct kj_wait_also *also;
};
/* One of it has come. */
bool kj_wait_over(const struct kj_wait *wait);
/* Partitions that wait for a flush; a dead writer may have left them. */
struct kj_wait_due {
    size_t count;
    int64_t durable_sum; /* moves when somebody flushes */
};
/* How long to sleep now. Flushes what nobody flushed since the round that *before tells of, which
 * becomes this one. */
int64_t kj_wait_round_ns(const struct kj_wait *wait, struct kj_wait_due *before);

/* --- watching (watch.c) --- */
/* The worker's, before each step: marks the words of all that is watched. */
void kj_watches_mark(struct kj_store *store);
/* And behind it: sleeps until one of them changes. kj_worker_sleep; arg: the store. */
bool kj_watches_sleep(void *arg, _Atomic uint32_t *state, uint32_t idle, int64_t until_ns);

/* --- flushing (flusher.c) --- */
void kj_flusher_init(struct kj_flusher *flusher);
void kj_flusher_destroy(struct kj_flusher *flusher);
/* What this handle wrote and nobody flushed; before its descriptors go. Not what it only read: who
 * wrote that may be stopped in the middle of a flush of his own. */
int kj_flush_own(struct kj_store *store);

/* --- events (events.c) --- */
void kj_events_init(struct kj_events *events, size_t max);
void kj_events_destroy(struct kj_events *events);
/* kj_log_news_callback; arg: struct kj_news_target */
void kj_store_news(void *arg, const struct kj_log_news *news);
/* The current story as a background event. */
void kj_store_background_error(struct kj_store *store, int error, const char *topic,
                               int32_t partition);

/* --- housekeeping (tasks.c, retention.c, checkpoints.c, space.c) --- */
/* One step: what is due. Returns when the next one is. */
int64_t kj_store_run(struct kj_store *store);
/* Is it time, by its word? *ret_due_ns: else when. */
bool kj_task_due(struct kj_store *store, enum kj_task task, int64_t now_ns, int64_t *ret_due_ns);
/* A slice of compaction, if there is one to do. Returns when to come again. */
int64_t kj_cleaner_run(struct kj_store *store, int64_t now_ns);
/* Gives up what runs; nothing is lost. */
void kj_cleaner_stop(struct kj_store *store);
void kj_cleaner_free(struct kj_cleaner *cleaner);
/* Some partitions of the pass that runs, true while it is not through. */
bool kj_retention_round(struct kj_store *store);
void kj_retention_begin(struct kj_store *store);
/* One partition now. */
void kj_retain_log(struct kj_store *store, struct kj_log *log, const char *topic,
                   int32_t partition);
/* A whole pass at once: space is short. */
int kj_retention_now(struct kj_store *store);
enum { KJ_CHECKPOINT_RECOVERY = 1, KJ_CHECKPOINT_STARTS = 2, KJ_CHECKPOINT_ALL = 3 };
int kj_checkpoints_write(struct kj_store *store, const struct kj_catalog *catalog, unsigned which);
/* Puts what the checkpoint files say into the words of untouched slots. Alone. */
int kj_checkpoints_load(struct kj_store *store, const struct kj_catalog *catalog);
/* Makes them forget partitions [from, to) of a topic: another of the same name must not begin with
 * the offsets of an older one. Catalog lock held, or alone with shared NULL. */
int kj_checkpoints_forget(struct kj_store *store, struct kj_shared *shared, const char *topic,
                          int32_t from, int32_t to);
/* Read-only without a control file. -1: unknown. */
void kj_checkpoint_of(struct kj_store *store, const char *topic, int32_t partition,
                      int64_t *ret_recovery_point, int64_t *ret_log_start, int64_t *ret_cleaned);
/* Lets no offset in front of `to` that is missing be taken for damage, ever: the word, and then
 * kaja.cleaned, on the device when it returns. Before a compaction changes the first file. Catalog
 * mutex held. LOCK_TIMED_OUT, soon. */
int kj_cleaned_note(struct kj_store *store, const struct kj_catalog_topic *topic, int32_t partition,
                    int64_t to);
/* Where compaction of each partition goes on: Kafka's checkpoint. read: empty if it cannot be read.
 * put: replaces one partition's, on the device; nothing if the topic is gone. */
int kj_cleaner_points_read(struct kj_store *store, struct kj_checkpoint *ret_points);
int kj_cleaner_point_put(struct kj_store *store, const struct kj_catalog_topic *topic,
                         int32_t partition, int64_t offset);
void kj_cleaned_free(struct kj_cleaned *cleaned);
/* True if it is the base of the first segment of a partition's directory, so needs no entry in a
 * checkpoint. Segments below may be left: a broker removes them only some time after it raised the
 * log start. */
bool kj_log_start_is_seen(struct kj_io *io, const char *dir, int64_t log_start);
/* KJ_SLOT_RECOVERY_POINT of an untouched slot: nothing is known, or it must be recovered. */
enum { KJ_POINT_UNKNOWN = -1, KJ_POINT_RECOVER = -2 };
/* kaja.disk.max: DISK_FULL if bytes more do not fit. */
int kj_space_check(struct kj_store *store, uint64_t bytes);
void kj_space_add(struct kj_store *store, int64_t bytes);
/* Counts the bytes of all logs. */
int kj_space_count(struct kj_store *store);

#endif
