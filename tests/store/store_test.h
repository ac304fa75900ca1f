/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/store/store_test.h - a directory, handles on it, and children that may be killed anywhere.
 */
#ifndef KJ_TESTS_STORE_TEST_H
#define KJ_TESTS_STORE_TEST_H

#include "temp_dir.h"

#include "record/batch_reader.h"
#include "record/batch_writer.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static inline struct kj_store_options test_options(const char *path)
{
    const char *backend = getenv("KJ_TEST_BACKEND");
    return (struct kj_store_options){
        .path = path,
        .create = true,
        .backend = backend != NULL && strcmp(backend, "io_uring") == 0 ? KJ_IO_URING : KJ_IO_POSIX,
        .flush_threads = 0,
        .background_threads = 0,
        .lock_timeout_ms = 20000,
        .disk_max = -1,
        .producer_ids_max = 1000,
        .event_queue_max = 1000,
        .num_partitions = 1,
        .auto_create = true,
        .retention_check_ms = 300000,
        .checkpoint_ms = 60000,
        .start_checkpoint_ms = 60000,
    };
}

static inline struct kj_store *open_store(const char *path)
{
    struct kj_store_options options = test_options(path);
    struct kj_store *store = NULL;
    assert_ok(kj_store_open(&options, &store));
    return store;
}

static inline bool exists(const char *dir, const char *name)
{
    char path[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return lstat(path, &st) == 0;
}

static inline bool is_clean(const char *dir)
{
    return exists(dir, ".kafka_cleanshutdown");
}

static inline void spit(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline char *slurp(const char *dir, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    (void)!fread(text, 1, (1 << 20) - 1, f);
    (void)fclose(f);
    return text;
}

static inline void copy_tree(const char *from, const char *to)
{
    char command[2048];
    (void)snprintf(command, sizeof command, "cp -R '%s' '%s' && chmod -R u+rwX '%s'", from, to, to);
    assert_int_equal(system(command), 0);
}

/* --- records --- */

/* One batch with one record. For children too: no assertion. */
static inline int append_text(struct kj_partition *partition, const char *value, bool durable,
                              int64_t *ret_offset)
{
    uint8_t buf[4096];
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    uint8_t *bytes;
    size_t len;
    kj_batch_writer_init(&writer, buf, sizeof buf);
    struct kj_record record = {
        .timestamp = 1700000000000, .value = value, .value_bytes = strlen(value)};
    if (!kj_batch_writer_append(&writer, &record))
        return KAJA_ERR_RECORD_TOO_LARGE;
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    KJ_TRY(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len));
    struct kj_append_batch batch = {.bytes = bytes, .len = len, .durable = durable};
    int err = kj_partition_append(partition, &batch, 1, KJ_APPEND_TRUSTED);
    if (err == 0)
        err = batch.ret_error;
    if (err == 0 && ret_offset != NULL)
        *ret_offset = batch.ret_base_offset;
    return err;
}

static inline struct kj_partition *partition_of(struct kj_topic *topic, int32_t number)
{
    struct kj_partition *partition = NULL;
    assert_ok(kj_topic_partition(topic, number, &partition));
    return partition;
}

static inline struct kj_topic *topic_of(struct kj_store *store, const char *name)
{
    struct kj_topic *topic = NULL;
    assert_ok(kj_topic_find(store, name, false, &topic));
    return topic;
}

/* Number of records that can be read from the log start on; each batch must be whole. */
static inline int64_t count_records(struct kj_partition *partition)
{
    struct kj_log *log = kj_partition_log(partition);
    struct kj_log_cursor cursor = {0};
    int64_t offset = kj_log_start(log), limit = kj_log_high_watermark(log), count = 0;
    while (offset < limit) {
        struct kj_log_read read = {0};
        assert_ok(kj_log_read(log, offset, limit, 1 << 20, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len;) {
            struct kj_batch batch;
            assert_int_equal(kj_batch_look(read.bytes + at, read.len - at, &batch), KJ_BATCH_OK);
            assert_true(kj_batch_crc_ok(read.bytes + at, kj_batch_bytes(&batch)));
            count += batch.count;
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        offset = read.next_offset;
    }
    return count;
}

/* --- events --- */

static inline int count_events(struct kj_store *store, int kind)
{
    struct kj_event event;
    int count = 0;
    while (kj_store_event_take(store, &event))
        count += event.kind == kind;
    return count;
}

/* --- children --- */

static inline pid_t child_start(int (*run)(void *arg), void *arg)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int code = run(arg);
        if (code != 0)
            (void)fprintf(stderr, "child: %s\n", kaja_error_detail());
        _exit(code == 0 ? 0 : 1);
    }
    return pid;
}

/* 0, the exit code, or 1000 + the signal. */
static inline int child_end(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Kills the process at its n-th step that changes something. */
struct killer {
    int at;
    int count;
};

static inline void killer_count(struct killer *killer)
{
    if (++killer->count == killer->at)
        (void)kill(getpid(), SIGKILL);
}

static inline void killer_shared_step(void *arg, enum kj_shared_step step, uint64_t number,
                                      const char *name)
{
    (void)name;
    /* Words of slots change far too often; tests of log/ kill there. */
    if (step == KJ_STEP_POINT || step == KJ_STEP_LOCK || step == KJ_STEP_UNLOCK ||
        (step == KJ_STEP_STORE && number < KJ_CONTROL_WORDS))
        killer_count(arg);
}

static inline int killer_io_step(void *arg, const char *op, const char *path)
{
    (void)path;
    if (strcmp(op, "pread") != 0 && strcmp(op, "stat") != 0 && strcmp(op, "stat_file") != 0 &&
        strcmp(op, "map") != 0 && strcmp(op, "fs") != 0)
        killer_count(arg);
    return 0;
}

static inline void killer_install(struct killer *killer, struct kj_store_options *options)
{
    options->shared_step = killer_shared_step;
    options->io_step = killer_io_step;
    options->step_arg = killer;
}

/* Tests that make very many small files: in memory, if nobody says otherwise. */
static inline void prefer_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
}

/* A number from the environment, for long forms of a test. */
static inline int test_number(const char *name, int number)
{
    const char *text = getenv(name);
    return text == NULL ? number : atoi(text);
}

#endif
