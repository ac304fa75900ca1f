/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Directories that a broker left, and handles that only read.
 */
#include "store_test.h"

static int setup(void **state)
{
    static struct temp_dir dir;
    dir = temp_dir_new();
    *state = &dir;
    return 0;
}

static int teardown(void **state)
{
    temp_dir_free(*state);
    return 0;
}

/* Kafka's own partition, 46 offsets, as an orderly stop left it. */
static void put_events(const struct temp_dir *dir, const char *name)
{
    char from[512], to[512];
    (void)snprintf(from, sizeof from, "%s/kafka/logs/events", KJ_GOLDEN_DIR);
    (void)snprintf(to, sizeof to, "%s/%s", dir->path, name);
    copy_tree(from, to);
}

static void a_brokers_partition(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    spit(dir->path, "recovery-point-offset-checkpoint",
         "0\n2\n__cluster_metadata 0 77\nevents 0 46\n");
    spit(dir->path, ".kafka_cleanshutdown", "");
    spit(dir->path, "meta.properties", "#\nversion=1\n");
    spit(dir->path, "note-7", "a plain file\n");
    struct kj_store *store = open_store(dir->path);
    assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), 0);
    struct kj_topic *topic = topic_of(store, "events");
    char id[23];
    kj_uuid_text(kj_topic_id(topic), id);
    assert_string_equal(id, "ASNFZ4mrze8RIjNEVWZ3iA");
    assert_true(kj_topic_adopted(topic));
    assert_int_equal(kj_topic_partition_count(topic), 1);
    struct kj_partition *partition = partition_of(topic, 0);
    assert_int_equal(kj_log_end(kj_partition_log(partition)), 46);
    assert_true(count_records(partition) > 0);
    /* No limit that nobody chose takes anything away; one that somebody sets does. */
    struct kj_log_config config;
    kj_topic_config(topic, &config);
    assert_int_equal(config.retention_ms, -1);
    assert_ok(kj_retention_now(store));
    assert_int_equal(kj_log_start(kj_partition_log(partition)), 0);
    int64_t offset;
    assert_ok(append_text(partition, "ours", true, &offset));
    assert_int_equal(offset, 46);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
    char *points = slurp(dir->path, "recovery-point-offset-checkpoint");
    assert_non_null(strstr(points, "events 0 47\n"));
    assert_non_null(strstr(points, "__cluster_metadata 0 77\n"));
    free(points);
    char *meta = slurp(dir->path, "meta.properties");
    assert_string_equal(meta, "#\nversion=1\n");
    free(meta);
    assert_true(exists(dir->path, "note-7"));
    store = open_store(dir->path);
    topic = topic_of(store, "events");
    assert_true(kj_topic_adopted(topic));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* A broker's delete-records raises the log start at once and removes segments later: it may be the
 * base of a segment that is not the first. */
static void log_start_behind_a_whole_segment(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    spit(dir->path, "log-start-offset-checkpoint", "0\n1\nevents 0 30\n");
    spit(dir->path, ".kafka_cleanshutdown", "");
    for (int round = 0; round < 3; round++) {
        struct kj_store *store = open_store(dir->path);
        struct kj_topic *topic = topic_of(store, "events");
        struct kj_partition *partition = partition_of(topic, 0);
        assert_int_equal(kj_log_start(kj_partition_log(partition)), 30);
        if (round == 0) /* or nobody would write the checkpoint */
            assert_ok(append_text(partition, "ours", true, NULL));
        kj_topic_release(topic);
        assert_ok(kj_store_close(store));
    }
}

static void not_whole_not_adopted(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    char from[256], to[256];
    put_events(dir, "events-0");
    put_events(dir, "events-2");
    spit(dir->path, ".kafka_cleanshutdown", "");
    assert_err(kj_store_open(&options, &store), KAJA_ERR_INVALID_PARTITIONS);
    assert_non_null(strstr(kaja_error_detail(), "events"));
    assert_true(is_clean(dir->path));
    assert_false(exists(dir->path, "kaja.catalog"));
    (void)snprintf(from, sizeof from, "%s/events-2", dir->path);
    (void)snprintf(to, sizeof to, "%s/events-1", dir->path);
    assert_int_equal(rename(from, to), 0);
    spit(dir->path, "events-1/partition.metadata", "version: 0\ntopic_id: BSNFZ4mrze8RIjNEVWZ3iA");
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NOT_KAJA);
    (void)snprintf(to, sizeof to, "%s/events-1/partition.metadata", dir->path);
    assert_int_equal(unlink(to), 0); /* without one it gets the others' id */
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_store_close(store));
    char *metadata = slurp(dir->path, "events-1/partition.metadata");
    assert_string_equal(metadata, "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA");
    free(metadata);
    /* Another partition comes later. */
    put_events(dir, "events-2");
    assert_ok(kj_store_open(&options, &store));
    struct kj_topic *topic = topic_of(store, "events");
    assert_int_equal(kj_topic_partition_count(topic), 3);
    assert_int_equal(kj_log_end(kj_partition_log(partition_of(topic, 2))), 46);
    kj_topic_release(topic);
    /* One that appears while the directory is open is not written over. */
    put_events(dir, "strange-0");
    assert_err(kj_topic_create(store, "strange", 1, NULL, 0), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_ok(kj_store_close(store));
}

static void links_are_refused(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/events-0", dir->path);
    assert_int_equal(symlink("/etc", path), 0);
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NOT_KAJA);
    assert_non_null(strstr(kaja_error_detail(), "events-0"));
    assert_int_equal(unlink(path), 0);
    static const char *const names[] = {"kaja.lock", "kaja.catalog", ".lock"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir->path, names[i]);
        (void)unlink(path);
        assert_int_equal(symlink("/tmp/kaja-no-such-file", path), 0);
        assert_err(kj_store_open(&options, &store), KAJA_ERR_NOT_KAJA);
        assert_int_equal(unlink(path), 0);
    }
    assert_false(exists("/tmp", "kaja-no-such-file"));
}

/* A directory that cannot be loaded spoils its own partition only. */
static void one_that_is_gone_does_not_keep_the_others_away(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "a", 1, NULL, 0));
    assert_ok(kj_topic_create(store, "b", 1, NULL, 0));
    assert_ok(kj_store_close(store));
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf '%s/a-0' '%s/.kafka_cleanshutdown'", dir->path,
                   dir->path);
    assert_int_equal(system(command), 0);
    store = open_store(dir->path);
    assert_int_equal(count_events(store, KAJA_EVENT_BACKGROUND), 1);
    struct kj_topic *topic = topic_of(store, "b");
    assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    kj_topic_release(topic);
    topic = topic_of(store, "a");
    struct kj_partition *partition;
    assert_true(kj_topic_partition(topic, 0, &partition) != 0);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_false(is_clean(dir->path)); /* something was not recovered */
    store = open_store(dir->path);
    assert_ok(kj_topic_delete(store, "a"));
    assert_ok(kj_store_close(store));
    store = open_store(dir->path);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
}

/* --- reading only --- */

static char *listing(const char *path)
{
    char command[512];
    (void)snprintf(command, sizeof command,
                   "cd '%s' && find . -printf '%%p %%s %%m %%T@ %%C@\\n' | sort && "
                   "cat kaja.* *checkpoint 2>/dev/null | cksum",
                   path);
    FILE *f = popen(command, "r");
    char *text = calloc(1, 1 << 16);
    assert_non_null(f);
    assert_non_null(text);
    (void)!fread(text, 1, (1 << 16) - 1, f);
    (void)pclose(f);
    return text;
}

static void reading_changes_nothing(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 2, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    for (int i = 0; i < 5; i++)
        assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    char *before = listing(dir->path);
    struct kj_store_options options = test_options(dir->path);
    options.read_only = true;
    assert_ok(kj_store_open(&options, &store));
    topic = topic_of(store, "t");
    struct kj_partition *partition = partition_of(topic, 0);
    assert_int_equal(count_records(partition), 5);
    assert_int_equal(kj_log_durable(kj_partition_log(partition)), 5);
    assert_err(append_text(partition, "x", false, NULL), KAJA_ERR_READ_ONLY);
    assert_err(kj_topic_create(store, "u", 1, NULL, 0), KAJA_ERR_READ_ONLY);
    assert_err(kj_topic_delete(store, "t"), KAJA_ERR_READ_ONLY);
    assert_err(kj_store_flush(store, &partition, 1), KAJA_ERR_READ_ONLY);
    int64_t offset;
    assert_err(kj_partition_delete_records(partition, 1, &offset), KAJA_ERR_READ_ONLY);
    struct kj_topic *none;
    assert_err(kj_topic_find(store, "u", true, &none), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kj_store_step(store));
    offset = 5;
    assert_err(kj_store_wait(store, &partition, &offset, 1, false, NULL, 0,
                             kj_mono_ns(&kj_clock_system) + 50000000),
               KAJA_ERR_TIMED_OUT);
    char *after = listing(dir->path);
    assert_string_equal(before, after);
    free(before);
    free(after);

    /* Somebody comes, writes, and goes; the reader follows. */
    struct kj_store *writer = open_store(dir->path);
    struct kj_topic *written = topic_of(writer, "t");
    assert_ok(append_text(partition_of(written, 0), "y", false, NULL));
    assert_ok(kj_store_wait(store, &partition, &offset, 1, false, NULL, 0,
                            kj_mono_ns(&kj_clock_system) + 2000000000));
    assert_int_equal(count_records(partition), 6);
    assert_ok(append_text(partition_of(written, 0), "y", false, NULL));
    assert_int_equal(count_records(partition), 7); /* now it follows the words */
    /* One that nobody has touched yet: the reader looks for itself, and follows once somebody did.
     */
    struct kj_partition *other = partition_of(topic, 1);
    assert_false(kj_partition_live(other));
    assert_true(kj_partition_live(partition));
    assert_int_equal(count_records(other), 0);
    assert_ok(append_text(partition_of(written, 1), "y", false, NULL));
    offset = 0;
    assert_ok(kj_store_wait(store, &other, &offset, 1, false, NULL, 0,
                            kj_mono_ns(&kj_clock_system) + 2000000000));
    assert_int_equal(count_records(other), 1);
    assert_true(kj_partition_live(other));
    assert_ok(kj_topic_create(writer, "u", 1, NULL, 0));
    kj_topic_release(topic_of(store, "u"));
    kj_topic_release(written);
    assert_ok(kj_store_close(writer));
    writer = open_store(dir->path);
    written = topic_of(writer, "t");
    assert_ok(append_text(partition_of(written, 0), "z", false, NULL));
    offset = 7;
    assert_ok(kj_store_wait(store, &partition, &offset, 1, false, NULL, 0,
                            kj_mono_ns(&kj_clock_system) + 2000000000));
    assert_int_equal(count_records(partition), 8);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_LIVE_HANDLES), 1);
    kj_topic_release(written);
    assert_ok(kj_store_close(writer));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

static void reading_a_brokers_directory(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    char *before = listing(dir->path);
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.read_only = true;
    assert_ok(kj_store_open(&options, &store));
    struct kj_topic *topic = topic_of(store, "events");
    assert_int_equal(kj_log_end(kj_partition_log(partition_of(topic, 0))), 46);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    char *after = listing(dir->path);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* --- what only has the name of a partition --- */

static void make_dir(const struct temp_dir *dir, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir->path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void foreign_directories_are_left_alone(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    struct kj_topic *topic;
    make_dir(dir, "my-project-0");
    spit(dir->path, "my-project-0/notes.txt", "notes");
    make_dir(dir, "empty-0");
    options.create = false;
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NO_DIRECTORY); /* nothing of ours here */
    put_events(dir, "events-0");
    make_dir(dir, "events-1"); /* a broker that was killed had just made it */
    make_dir(dir, "events-2");
    spit(dir->path, "events-2/partition.metadata.txt", "not one");
    options.create = true;
    assert_ok(kj_store_open(&options, &store));
    assert_err(kj_topic_find(store, "my-project", false, &topic),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kj_topic_find(store, "empty", false, &topic), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    topic = topic_of(store, "events");
    assert_int_equal(kj_topic_partition_count(topic), 2);
    kj_topic_release(topic);
    spit(dir->path, "file-0", "a file");
    char *before = listing(dir->path);
    assert_err(kj_topic_create(store, "my-project", 1, NULL, 0), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_non_null(strstr(kaja_error_detail(), "my-project-0"));
    assert_non_null(strstr(kaja_error_detail(), "no partition"));
    assert_err(kj_topic_create(store, "file", 1, NULL, 0), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_err(kj_topic_add_partitions(store, "events", 3), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_err(kj_topic_delete(store, "my-project"), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    char *after = listing(dir->path);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_ok(kj_store_close(store));
}

/* The one event there is must say it. */
static bool told_of(struct kj_store *store, const char *text)
{
    struct kj_event event;
    bool told = false;
    while (kj_store_event_take(store, &event))
        told = told || (event.error == KAJA_ERR_NOT_KAJA && strstr(event.text, text) != NULL);
    return told;
}

static void foreign_files_outlive_their_topic(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 3, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    assert_ok(append_text(partition_of(topic, 0), "record", true, NULL));
    char kept[2][256], path[300], command[1000];
    for (int p = 0; p < 2; p++) {
        kj_deleted_dir_name(kept[p], "t", p, kj_topic_id(topic));
        (void)snprintf(strstr(kept[p], "-delete"), sizeof "-delete", "-stray");
    }
    kj_topic_release(topic);
    spit(dir->path, "t-0/notes.txt", "notes");
    spit(dir->path, "t-0/00000000000000000000.log.damaged-5", "ours");
    spit(dir->path, "t-0/00000000000000000007.snapshot.tmp", "ours");
    make_dir(dir, "t-1/deeper");
    spit(dir->path, "t-1/deeper/00000000000000000000.log", "somebody else's");
    assert_ok(kj_topic_delete(store, "t"));
    assert_true(told_of(store, "-stray"));
    (void)snprintf(path, sizeof path, "%s/notes.txt", kept[0]);
    assert_true(exists(dir->path, path));
    (void)snprintf(path, sizeof path, "%s/deeper/00000000000000000000.log", kept[1]);
    assert_true(exists(dir->path, path));
    (void)snprintf(command, sizeof command, "[ $(ls -A '%s/%s') = notes.txt ]", dir->path, kept[0]);
    assert_int_equal(system(command), 0); /* all that was ours went */
    (void)snprintf(command, sizeof command, "[ $(ls -d '%s'/t-* | wc -l) = 2 ]", dir->path);
    assert_int_equal(system(command), 0);
    /* The topic is gone all the same, and its name is free. */
    assert_ok(kj_topic_create(store, "t", 3, NULL, 0));
    assert_ok(kj_topic_delete(store, "t"));
    assert_false(told_of(store, ""));
    assert_ok(kj_store_close(store));
    /* Left by a process that died while it removed the directory. */
    char gone[256];
    uint8_t id[16] = {1};
    kj_deleted_dir_name(gone, "u", 0, id);
    make_dir(dir, gone);
    (void)snprintf(path, sizeof path, "%s/mine", gone);
    spit(dir->path, path, "mine");
    store = open_store(dir->path);
    assert_true(told_of(store, "mine"));
    assert_false(exists(dir->path, gone));
    (void)snprintf(strstr(gone, "-delete"), sizeof "-delete", "-stray");
    (void)snprintf(path, sizeof path, "%s/mine", gone);
    assert_true(exists(dir->path, path));
    assert_ok(kj_store_close(store));
}

/* --- a broker that was killed while it compacted or split segments --- */

enum { TENTH_POS = 670, FIRST_BYTES = 1978 }; /* of offset 10 in the first segment; its size */

/* Bytes [from, to) of the first segment as another file of the partition. */
static void put_piece(const struct temp_dir *dir, const char *name, int from, int to)
{
    char command[1024];
    (void)snprintf(command, sizeof command,
                   "head -c %d '%s/kafka/logs/events/00000000000000000000.log' | tail -c +%d "
                   ">'%s/events-0/%s'",
                   to, KJ_GOLDEN_DIR, from + 1, dir->path, name);
    assert_int_equal(system(command), 0);
}

static void remove_first(const struct temp_dir *dir)
{
    char command[512];
    (void)snprintf(command, sizeof command, "cd '%s/events-0' && rm 00000000000000000000.*",
                   dir->path);
    assert_int_equal(system(command), 0);
}

/* Recovers, and looks at the offsets that can be read: first to 45, each once. */
static void check_offsets(const struct temp_dir *dir, int64_t first)
{
    spit(dir->path, "recovery-point-offset-checkpoint",
         is_clean(dir->path) ? "0\n1\nevents 0 46\n" : "0\n1\nevents 0 30\n");
    for (int round = 0; round < 2; round++) {
        struct kj_store *store = open_store(dir->path);
        struct kj_topic *topic = topic_of(store, "events");
        struct kj_partition *partition = partition_of(topic, 0);
        struct kj_log *log = kj_partition_log(partition);
        struct kj_log_cursor cursor = {0};
        int64_t offset = 0, expected = first, end = kj_log_end(log);
        assert_int_equal(end, 46);
        while (offset < end) {
            struct kj_log_read read = {0};
            assert_ok(kj_log_read(log, offset, end, 1 << 20, true, &cursor, &read));
            if (read.view == NULL)
                break;
            for (size_t at = 0; at < read.len;) {
                struct kj_batch batch;
                assert_int_equal(kj_batch_look(read.bytes + at, read.len - at, &batch),
                                 KJ_BATCH_OK);
                if (kj_batch_next_offset(&batch) > offset) {
                    assert_int_equal(batch.base_offset, expected);
                    expected = kj_batch_next_offset(&batch);
                }
                at += kj_batch_bytes(&batch);
            }
            kj_view_release(read.view);
            offset = read.next_offset;
        }
        assert_int_equal(expected, 46);
        kj_topic_release(topic);
        assert_ok(kj_store_close(store));
    }
    char command[512];
    (void)snprintf(command, sizeof command,
                   "! ls '%s/events-0' | grep -E '[.](swap|cleaned|deleted)$'", dir->path);
    assert_int_equal(system(command), 0);
}

/* A broker that stops in order leaves what it would have removed a minute later. */
static void deleted_files_of_an_orderly_stop(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    put_piece(dir, "00000000000000000000.log.deleted", 0, FIRST_BYTES);
    spit(dir->path, "events-0/00000000000000000000.index.deleted", "");
    spit(dir->path, ".kafka_cleanshutdown", "");
    check_offsets(dir, 0);
}

/* Compacted: what was left of the first segment is to take its place. */
static void finished_swap(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    put_piece(dir, "00000000000000000000.log.swap", TENTH_POS, FIRST_BYTES);
    spit(dir->path, "events-0/00000000000000000000.index.swap", "");
    spit(dir->path, "events-0/00000000000000000000.timeindex.swap", "");
    check_offsets(dir, 10);
}

/* The old files have their other names already. */
static void finished_swap_without_the_old(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    remove_first(dir);
    put_piece(dir, "00000000000000000000.log.deleted", 0, FIRST_BYTES);
    put_piece(dir, "00000000000000000000.log.swap", TENTH_POS, FIRST_BYTES);
    check_offsets(dir, 10);
}

static void begun_cleaning(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    put_piece(dir, "00000000000000000000.log.cleaned", TENTH_POS, FIRST_BYTES - 100);
    spit(dir->path, "events-0/00000000000000000000.index.cleaned", "");
    check_offsets(dir, 0);
}

/* A segment is split into two, which get their .swap from the last to the first: not all have it,
 * so the old one counts. */
static void begun_split(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    put_piece(dir, "00000000000000000000.log.cleaned", 0, TENTH_POS);
    put_piece(dir, "00000000000000000010.log.swap", TENTH_POS, FIRST_BYTES);
    spit(dir->path, "events-0/00000000000000000010.index.swap", "");
    check_offsets(dir, 0);
    assert_false(exists(dir->path, "events-0/00000000000000000010.log"));
}

static void finished_split(void **state)
{
    const struct temp_dir *dir = *state;
    put_events(dir, "events-0");
    put_piece(dir, "00000000000000000000.log.swap", 0, TENTH_POS);
    put_piece(dir, "00000000000000000010.log.swap", TENTH_POS, FIRST_BYTES);
    check_offsets(dir, 0);
    assert_true(exists(dir->path, "events-0/00000000000000000010.log"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_brokers_partition, setup, teardown),
        cmocka_unit_test_setup_teardown(log_start_behind_a_whole_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(not_whole_not_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_files_of_an_orderly_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(finished_swap, setup, teardown),
        cmocka_unit_test_setup_teardown(finished_swap_without_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(begun_cleaning, setup, teardown),
        cmocka_unit_test_setup_teardown(begun_split, setup, teardown),
        cmocka_unit_test_setup_teardown(finished_split, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_gone_does_not_keep_the_others_away, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reading_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_a_brokers_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_directories_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_files_outlive_their_topic, setup, teardown),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
