/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export*.c against a broker's directory: what it gets, what is refused, and deaths and
 * failures on the way.
 *
 * KJ_STRIDE=1 dies, and fails, at every step; the short form at some.
 */
#include "broker_dir.h"
#include "store_test.h"

#include "store/export.h"

static struct temp_dir dir;
static char src[200], dst[200];

static int setup(void **state)
{
    (void)state;
    dir = temp_dir_new();
    (void)snprintf(src, sizeof src, "%s/src", dir.path);
    (void)snprintf(dst, sizeof dst, "%s/dst", dir.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

/* Three partitions of our own, the last without records, and a broker's with two segments. */
static void fill_source(void)
{
    struct kj_store *store = open_store(src);
    assert_ok(kj_topic_create(store, "ours", 3, NULL, 0));
    struct kj_topic *topic = topic_of(store, "ours");
    for (int i = 0; i < 20; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "value%d", i);
        assert_ok(append_text(partition_of(topic, i % 2), value, i % 3 == 0, NULL));
    }
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    (void)shell("cp -R '%s/kafka/logs/events' '%s/events-0'", KJ_GOLDEN_DIR, src);
    store = open_store(src);
    topic = topic_of(store, "events");
    int64_t start;
    assert_ok(kj_partition_delete_records(partition_of(topic, 0), 7, &start));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(src));
}

static void fill_target(void)
{
    broker_format(dst);
    broker_topic(dst, "ours", 3, "0\n1\n2 0\n");
    broker_topic(dst, "events", 1, NULL);
    broker_topic(dst, "others", 1, "0\n1\n0 0\n");
    broker_put(dst, "recovery-point-offset-checkpoint", "0\n2\nothers 0 0\nours 1 0\n");
    broker_put(dst, "log-start-offset-checkpoint", "0\n2\nothers 0 5\nours 0 3\n");
    broker_put(dst, ".kafka_cleanshutdown", "");
}

static struct kj_export_result result;
static char reports[2048];

static void on_report(void *arg, const struct kj_export_report *report)
{
    (void)arg;
    static const char *const how[] = {"", "copied", "copied", "rewritten", "unchanged"};
    (void)snprintf(reports + strlen(reports), sizeof reports - strlen(reports),
                   "%s-%d %lld..%lld %lld %s\n", report->topic, (int)report->partition,
                   (long long)report->first_offset, (long long)report->end_offset,
                   (long long)report->segments, how[report->how]);
}

static int export_with(const char *const *topics, size_t count, kj_io_step *step, void *arg)
{
    const struct kj_export_options options = {.source = src,
                                              .target = dst,
                                              .topics = topics,
                                              .topic_count = count,
                                              .callback = on_report,
                                              .target_step = step,
                                              .step_arg = arg};
    struct kj_store_options store_options = test_options(src);
    struct kj_export *export;
    struct kj_store *store;
    struct kj_err_saved why;
    bool clean;
    store_options.read_only = true;
    reports[0] = '\0';
    KJ_TRY(kj_export_open(&options, &export));
    int err = kj_export_hold_source(export, &clean);
    if (err == 0 && !clean)
        err = kj_err(KAJA_ERR_DAMAGED, "not clean");
    if (err == 0)
        err = kj_store_open(&store_options, &store);
    if (err == 0) {
        err = kj_export_run(export, store, &result);
        kj_err_save(err, &why);
        (void)kj_store_close(store);
        (void)kj_err_restore(&why);
    }
    kj_err_save(err, &why);
    kj_export_close(export);
    return kj_err_restore(&why);
}

static int export_all(void)
{
    return export_with(NULL, 0, NULL, NULL);
}

static const char *const all_ours[] = {"ours-0", "ours-1", "ours-2", "events-0"};

/* Those of the partitions whose files differ from the source's. */
static const char *different(const char *partitions)
{
    return shell("cd '%s' && for f in $(ls -d %s | sed 's,$,/0*,'); do case $f in "
                 "*damaged-*|*.snapshot) ;; *) cmp $f '%s'/$f 2>&1;; esac; done; true",
                 src, partitions, dst);
}

/* Of the producers only the one whose transaction is open: 10 bytes, and 46 for it. */
static void check_producers(void)
{
    assert_string_equal(shell("cd '%s' && ls events-0/*.snapshot && cat events-0/*.snapshot | "
                              "wc -c && od -An -j 10 -N 8 -t u1 events-0/*.snapshot",
                              dst),
                        "events-0/00000000000000000046.snapshot\n56\n"
                        "   0   0   0   0   0   0   0 102");
    assert_string_equal(shell("cd '%s' && ls ours-?/*.log && cat events-0/*46.log | wc -c", dst),
                        "ours-0/00000000000000000000.log\nours-0/00000000000000000010.log\n"
                        "ours-1/00000000000000000000.log\nours-1/00000000000000000010.log\n"
                        "ours-2/00000000000000000000.log\n0");
}

static void check_target(void)
{
    check_producers();
    assert_string_equal(different("events-0 ours-0 ours-1 ours-2"), "");
    assert_string_equal(
        shell("cd '%s' && ls -A && sort recovery-point-offset-checkpoint "
              "&& sort replication-offset-checkpoint && sort log-start-offset-checkpoint && cat "
              "*/partition.metadata | grep -c " BROKER_TOPIC_ID
              " && cat ours-0/leader-epoch-checkpoint && cat ours-2/leader-epoch-checkpoint",
              dst),
        ".kafka_cleanshutdown\nbootstrap.checkpoint\nevents-0\nlog-start-offset-checkpoint\n"
        "meta.properties\nothers-0\nours-0\nours-1\nours-2\nrecovery-point-offset-checkpoint\n"
        "replication-offset-checkpoint\n"
        "0\n5\nevents 0 46\nothers 0 0\nours 0 10\nours 1 10\nours 2 0\n"
        "0\n4\nevents 0 46\nours 0 10\nours 1 10\nours 2 0\n"
        "0\n2\nevents 0 7\nothers 0 5\n"
        "5\n"
        "0\n1\n0 0\n"
        "0\n1\n2 0");
}

/* kaja's own names stay at home: "kaja." and what recovery or preparing left. */
static void all_topics(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    (void)shell("cd '%s' && touch ours-0/00000000000000000010.prepared "
                "ours-0/00000000000000000000.log.damaged-9",
                src);
    char *before = strdup(everything(src));
    assert_ok(export_all());
    assert_string_equal(everything(src), before);
    free(before);
    assert_string_equal(reports, "events-0 7..46 2 copied\nours-0 0..10 1 copied\n"
                                 "ours-1 0..10 1 copied\nours-2 0..0 1 copied\n");
    assert_int_equal(result.partitions, 4);
    assert_int_equal(result.offsets + result.left_out, 0);
    (void)shell("cd '%s' && rm ours-0/*.prepared ours-0/*.damaged-9", src);
    check_target();
    /* Not hard links. */
    assert_string_equal(shell("find '%s' '%s' -type f -links +1", src, dst), "");
    /* Once more: the same records are there already. */
    assert_ok(export_all());
    check_target();
    assert_non_null(strstr(reports, "events-0 7..46 2 unchanged\n"));
    /* And it can be read: by us, as by a broker. */
    broker_put(dst, "others-0/leader-epoch-checkpoint", "");
    struct kj_store *store = open_store(dst);
    struct kj_topic *topic = topic_of(store, "ours");
    assert_int_equal(count_records(partition_of(topic, 0)), 10);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static void named_topics(void **state)
{
    (void)state;
    static const char *const ours[] = {"ours", "ours"}, *const none[] = {"none"};
    fill_source();
    broker_format(dst);
    broker_topic(dst, "ours", 3, NULL);
    assert_ok(export_with(ours, 2, NULL, NULL));
    assert_int_equal(result.partitions, 3);
    assert_err(export_with(none, 1, NULL, NULL), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

/* A broker's delete-records raises the log start at once and removes segments later: it may be the
 * base of a segment that is not the first. */
static void log_start_behind_a_whole_segment(void **state)
{
    (void)state;
    broker_format(src);
    (void)shell("cp -R '%s/kafka/logs/events' '%s/events-0'", KJ_GOLDEN_DIR, src);
    broker_put(src, "log-start-offset-checkpoint", "0\n1\nevents 0 30\n");
    broker_put(src, "cleaner-offset-checkpoint", "0\n2\nevents 0 37\nothers 0 5\n");
    broker_put(src, ".kafka_cleanshutdown", "");
    broker_format(dst);
    broker_topic(dst, "events", 1, NULL);
    broker_put(dst, "cleaner-offset-checkpoint", "0\n2\nevents 0 12\nothers 1 6\n");
    assert_ok(export_all());
    assert_string_equal(reports, "events-0 30..46 2 copied\n");
    assert_string_equal(shell("sort '%s/cleaner-offset-checkpoint'", dst),
                        "0\n2\nevents 0 37\nothers 1 6");
    assert_string_equal(shell("cat '%s/log-start-offset-checkpoint'", dst), "0\n1\nevents 0 30");
    /* Its broker may run as another user than we. */
    assert_false(exists(src, ".lock"));
    broker_put(src, ".lock", "");
    assert_ok(export_all());
    assert_true(exists(src, ".lock"));
}

/* --- refusals --- */

static void refused(int code, const char *text)
{
    char *before = strdup(everything(dst));
    char *source = strdup(everything(src));
    assert_err(export_all(), code);
    if (strstr(kaja_error_detail(), text) == NULL)
        fail_msg("'%s' lacks '%s'", kaja_error_detail(), text);
    assert_string_equal(everything(dst), before);
    assert_string_equal(everything(src), source);
    assert_string_equal(shell("ls '%s' | grep -- -delete; true", dst), "");
    free(before);
    free(source);
}

static void topics_refused(void **state)
{
    (void)state;
    fill_source();
    broker_format(dst);
    broker_topic(dst, "events", 1, NULL);
    refused(KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "--create --topic ours --partitions 3");
    broker_topic(dst, "ours", 2, NULL);
    refused(KAJA_ERR_INVALID_PARTITIONS, "--create --partitions 3");
    broker_partition(dst, "ours", 2, NULL);
    broker_partition(dst, "ours", 3, NULL);
    refused(KAJA_ERR_INVALID_PARTITIONS, "4 partitions of topic ours where 3");
    (void)shell("rm -r '%s/ours-3'", dst);
    broker_put(dst, "ours-1/note", "mine");
    refused(KAJA_ERR_NOT_KAJA, "note");
    (void)shell("rm '%s/ours-1/note'", dst);
    broker_put(dst, "ours-1/00000000000000000000.log", "records");
    refused(KAJA_ERR_CONFLICT, "ours-1");
    (void)shell("cp '%s'/ours-0/0* '%s/ours-1/'", src, dst); /* as many, but not the same */
    refused(KAJA_ERR_CONFLICT, "holds records");
    (void)shell("cp '%s'/ours-1/0* '%s/ours-1/'", src, dst);
    broker_put(dst, "recovery-point-offset-checkpoint", "0\n1\n");
    refused(KAJA_ERR_DAMAGED, "recovery-point");
    (void)shell("cd '%s' && rm recovery-point-offset-checkpoint ours-2/partition.metadata", dst);
    refused(KAJA_ERR_UNKNOWN_TOPIC_ID, "partition.metadata");
    broker_put(dst, "ours-2/partition.metadata", "version: 0\ntopic_id: " BROKER_TOPIC_ID);
    (void)shell("cd '%s' && mv ours-2 elsewhere && ln -s elsewhere ours-2", dst);
    refused(KAJA_ERR_NOT_KAJA, "ours-2 is a link");
    (void)shell("cd '%s' && rm ours-2 && mv elsewhere ours-2", dst);
    assert_ok(export_all());
}

static void directories_refused(void **state)
{
    (void)state;
    char inside[256];
    fill_source();
    assert_err(export_all(), KAJA_ERR_LOG_DIR_NOT_FOUND); /* none */
    broker_format(dst);
    (void)shell("rm '%s/meta.properties'", dst);
    refused(KAJA_ERR_LOG_DIR_NOT_FOUND, "meta.properties");
    assert_false(exists(dst, ".lock"));
    (void)shell("rm -r '%s'", dst);
    fill_target();
    char saved[sizeof src];
    memcpy(saved, dst, sizeof dst);
    memcpy(dst, src, sizeof dst);
    assert_err(export_all(), KAJA_ERR_INVALID_ARG);
    (void)snprintf(inside, sizeof inside, "%s/inside", src);
    broker_format(inside);
    (void)snprintf(dst, sizeof dst, "%.190s", inside);
    assert_err(export_all(), KAJA_ERR_INVALID_ARG);
    memcpy(dst, src, sizeof dst);
    memcpy(src, inside, 190);
    assert_err(export_all(), KAJA_ERR_INVALID_ARG);
    memcpy(src, dst, sizeof dst);
    memcpy(dst, saved, sizeof dst);
    (void)shell("rm -r '%s'", inside);
    assert_ok(export_all());
    assert_false(exists(src, "inside"));
    /* No directory of ours, and no lock files made in it. */
    (void)shell("rm -r '%s' && mkdir '%s'", src, src);
    assert_err(export_all(), KAJA_ERR_NO_DIRECTORY);
    assert_string_equal(shell("ls -A '%s'", src), "");
    (void)shell("rmdir '%s'", src);
    assert_err(export_all(), KAJA_ERR_NO_DIRECTORY);
}

/* A broker's lock: POSIX, exclusive, of the whole file; in a process of its own. */
static pid_t lock_as_broker(const char *path)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char name[512];
        (void)snprintf(name, sizeof name, "%s/.lock", path);
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fd < 0 || fcntl(fd, F_SETLK, &all) != 0)
            _exit(1);
        (void)!write(ready[1], "x", 1);
        (void)pause();
        _exit(0);
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void open_ones_refused(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    pid_t broker = lock_as_broker(dst);
    refused(KAJA_ERR_BROKER_HAS_DIRECTORY, "dst/.lock");
    assert_int_equal(kill(broker, SIGKILL), 0);
    assert_int_equal(child_end(broker), 1000 + SIGKILL);
    assert_true(exists(dst, ".lock")); /* the broker's */
    broker = lock_as_broker(src);
    refused(KAJA_ERR_BROKER_HAS_DIRECTORY, "src/.lock");
    assert_int_equal(kill(broker, SIGKILL), 0);
    assert_int_equal(child_end(broker), 1000 + SIGKILL);
    struct kj_store *store = open_store(src);
    refused(KAJA_ERR_STATE, "open for writing");
    assert_ok(kj_store_close(store));
    /* One that only reads is not in the way. */
    struct kj_store_options options = test_options(src);
    options.read_only = true;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(export_all());
    assert_ok(kj_store_close(store));
    (void)shell("rm '%s/.lock'", dst);
    check_target();
}

static void nobody_comes_in(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    const struct kj_export_options options = {.source = src, .target = dst};
    struct kj_store_options writing = test_options(src);
    struct kj_store *store;
    struct kj_export *export;
    bool clean;
    writing.lock_timeout_ms = 50;
    assert_ok(kj_export_open(&options, &export));
    assert_ok(kj_export_hold_source(export, &clean));
    assert_true(clean);
    assert_err(kj_store_open(&writing, &store), KAJA_ERR_LOCK_TIMED_OUT);
    struct kj_export *other;
    assert_err(kj_export_open(&options, &other), KAJA_ERR_BROKER_HAS_DIRECTORY);
    kj_export_let_source(export);
    assert_ok(kj_store_open(&writing, &store));
    assert_err(kj_export_hold_source(export, &clean), KAJA_ERR_STATE);
    assert_ok(kj_store_close(store));
    (void)shell("rm '%s/.kafka_cleanshutdown'", src);
    assert_ok(kj_export_hold_source(export, &clean));
    assert_false(clean);
    kj_export_close(export);
    kj_export_close(NULL);
}

/* --- deaths and failures --- */

static int die_at(void *arg)
{
    return export_with(NULL, 0, killer_io_step, arg);
}

/* Each partition is as it was, complete, or both under their own names. Complete with what a broker
 * would need to know: its log start, or deleted records would come back. */
static void check_between(void)
{
    const char *starts = shell("cat '%s/log-start-offset-checkpoint'", dst);
    if (strcmp(different("events-0"), "") == 0)
        assert_non_null(strstr(starts, "events 0 7"));
    if (strcmp(different("ours-0"), "") == 0)
        assert_null(strstr(starts, "ours 0 3"));
    for (int i = 0; i < 4; i++) {
        const char *name = all_ours[i];
        char log[64];
        struct stat st;
        (void)snprintf(log, sizeof log, "%s/00000000000000000000.log", name);
        if (!exists(dst, name))
            assert_string_equal(shell("ls -d '%s/%s'.*-delete | wc -l", dst, name), "2");
        else if (stat(shell("echo '%s/%s'", dst, log), &st) == 0 && st.st_size > 0)
            assert_string_equal(different(name), "");
    }
}

static void deaths(void **state)
{
    (void)state;
    int stride = test_number("KJ_STRIDE", 13), deaths = 0;
    fill_source();
    for (int at = 1;; at += stride) {
        struct killer killer = {.at = at};
        fill_target();
        int end = child_end(child_start(die_at, &killer));
        check_between();
        if (end == 0)
            break;
        assert_int_equal(end, 1000 + SIGKILL);
        deaths++;
        assert_ok(export_all());
        /* The dead made it; whether it was there before, nobody knows. */
        (void)shell("rm -f '%s/.lock'", dst);
        check_target();
        (void)shell("rm -r '%s'", dst);
    }
    assert_true(deaths * stride > 60);
}

/* The one moment at which a partition has no directory of its name. */
static int kill_between_renames(void *arg, const char *op, const char *path)
{
    (void)arg;
    if (strcmp(op, "rename") == 0 && strchr(path, '/') == NULL && kj_deleted_dir_parse(path))
        (void)kill(getpid(), SIGKILL);
    return 0;
}

static int die_between_renames(void *arg)
{
    (void)arg;
    return export_with(NULL, 0, kill_between_renames, NULL);
}

static void between_the_renames(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    char *before = strdup(everything(dst));
    assert_int_equal(child_end(child_start(die_between_renames, NULL)), 1000 + SIGKILL);
    assert_false(exists(dst, "events-0"));
    check_between();
    /* What is refused leaves it as it was before the one that died. */
    (void)shell("rm '%s/.lock' && mv '%s/ours-2' '%s/gone'", dst, dst, dir.path);
    assert_err(export_all(), KAJA_ERR_INVALID_PARTITIONS);
    (void)shell("mv '%s/gone' '%s/ours-2'", dir.path, dst);
    broker_put(dst, "log-start-offset-checkpoint", "0\n2\nothers 0 5\nours 0 3\n");
    assert_string_equal(everything(dst), before);
    free(before);
    /* A broker that is started now makes it begin at the log start that is written already. */
    (void)shell("cd '%s/events-0' && for f in *0.*; do mv $f 00000000000000000007.${f#*.}; done",
                dst);
    broker_put(dst, "log-start-offset-checkpoint", "0\n2\nothers 0 5\nevents 0 7\n");
    assert_ok(export_all());
    check_target();
}

struct failing {
    int at, count;
};

static int fail_once(void *arg, const char *op, const char *path)
{
    struct failing *failing = arg;
    (void)op, (void)path;
    return ++failing->count == failing->at ? ENOSPC : 0;
}

static void failures(void **state)
{
    (void)state;
    int stride = test_number("KJ_STRIDE", 19), failed = 0;
    fill_source();
    for (int at = 1;; at += stride) {
        struct failing failing = {.at = at};
        fill_target();
        int err = export_with(NULL, 0, fail_once, &failing);
        if (failing.count < at)
            break;
        failed += err != 0;
        check_between();
        assert_ok(export_all());
        (void)shell("rm -f '%s/.lock'", dst);
        check_target();
        (void)shell("rm -r '%s'", dst);
    }
    assert_true(failed * stride > 100);
}

struct filling {
    const char *op, *path; /* the first of these fails, and everything that takes space behind it */
    bool full;
};

static int no_space(void *arg, const char *op, const char *path)
{
    struct filling *filling = arg;
    if (strcmp(op, filling->op) == 0 && strstr(path, filling->path) != NULL)
        filling->full = true;
    bool takes = strcmp(op, "pwrite") == 0 || strcmp(op, "copy") == 0;
    return filling->full && takes ? ENOSPC : 0;
}

/* Whatever takes much space is done before the first partition is replaced. */
static void target_full(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    char *before = strdup(everything(dst));
    struct filling filling = {.op = "copy", .path = "ours-1."};
    assert_err(export_with(NULL, 0, no_space, &filling), KAJA_ERR_DISK_FULL);
    assert_true(filling.full);
    assert_string_equal(everything(dst), before);
    assert_string_equal(shell("ls '%s' | grep -- -delete; true", dst), "");
    free(before);
    filling = (struct filling){.op = "rename", .path = "ours-2"}; /* the other checkpoints */
    assert_err(export_with(NULL, 0, no_space, &filling), KAJA_ERR_DISK_FULL);
    assert_true(filling.full);
    check_between();
    assert_ok(export_all());
    check_target();
}

static int fail_behind_rename(void *arg, const char *op, const char *path)
{
    bool *renamed = arg;
    if (*renamed && strcmp(op, "sync_dir") == 0)
        return EIO;
    *renamed = *renamed || (strcmp(op, "rename") == 0 && kj_deleted_dir_parse(path));
    return 0;
}

/* The copy has its place, only the flush of that failed: its log start stays written. */
static void placed_but_not_flushed(void **state)
{
    (void)state;
    bool renamed = false;
    fill_source();
    fill_target();
    assert_err(export_with(NULL, 0, fail_behind_rename, &renamed), KAJA_ERR_KAFKA_STORAGE_ERROR);
    assert_true(renamed);
    assert_string_equal(different("events-0"), "");
    check_between();
    assert_ok(export_all());
    check_target();
}

/* What a broker that was started in between has appended is not taken away. */
static void changed_meanwhile(void **state)
{
    (void)state;
    fill_source();
    fill_target();
    assert_ok(export_all());
    (void)shell("cat '%s/ours-0/00000000000000000000.log' >>'%s/ours-0/00000000000000000000.log'",
                src, dst);
    refused(KAJA_ERR_CONFLICT, "ours-0");
}

int main(void)
{
    prefer_memory();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(all_topics),        CASE(named_topics),        CASE(topics_refused),
        CASE(open_ones_refused), CASE(directories_refused), CASE(nobody_comes_in),
        CASE(deaths),            CASE(between_the_renames), CASE(failures),
        CASE(changed_meanwhile), CASE(target_full), CASE(placed_but_not_flushed),
        CASE(log_start_behind_a_whole_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
