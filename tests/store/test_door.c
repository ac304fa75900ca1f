/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Opening and leaving: who recovers, who writes the marker, and what is refused without harm.
 */
#include "store_test.h"

#include <pthread.h>

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

/* --- children --- */

/* Makes topic t with two partitions, appends ten records to each, and dies. */
static int fill_and_die(void *arg)
{
    struct kj_store_options options = test_options(arg);
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_partition *partition;
    KJ_TRY(kj_store_open(&options, &store));
    int err = kj_topic_create(store, "t", 2, NULL, 0);
    if (err != 0 && err != KAJA_ERR_TOPIC_ALREADY_EXISTS)
        return err;
    KJ_TRY(kj_topic_find(store, "t", false, &topic));
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < 10; i++) {
            KJ_TRY(kj_topic_partition(topic, p, &partition));
            KJ_TRY(append_text(partition, "record", i % 2 == 0, NULL));
        }
    return kill(getpid(), SIGKILL);
}

static void die_full(const char *path)
{
    union {
        const char *shown;
        void *arg;
    } u = {.shown = path};
    assert_int_equal(child_end(child_start(fill_and_die, u.arg)), 1000 + SIGKILL);
}

/* --- */

static void a_new_directory(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_true(exists(dir->path, "kaja.lock"));
    assert_true(exists(dir->path, "kaja.control"));
    assert_true(exists(dir->path, "kaja.catalog"));
    assert_true(exists(dir->path, ".lock"));
    assert_false(is_clean(dir->path));
    assert_int_equal(kj_store_metric(store, KJ_METRIC_LIVE_HANDLES), 1);
    struct kj_store *other = open_store(dir->path);
    assert_int_equal(store->handle_number, 0);
    assert_int_equal(other->handle_number, 1);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_LIVE_HANDLES), 2);
    assert_ok(kj_store_close(store));
    store = open_store(dir->path);
    assert_int_equal(store->handle_number, 0); /* the lowest that is free */
    assert_ok(kj_store_close(store));
    assert_ok(kj_store_close(other));
    char *marker = slurp(dir->path, ".kafka_cleanshutdown");
    assert_string_equal(marker, "{\"version\":0,\"brokerEpoch\":-1}");
    free(marker);
    assert_false(exists(dir->path, "kaja.control"));
    char *points = slurp(dir->path, "recovery-point-offset-checkpoint");
    assert_string_equal(points, "0\n0\n");
    free(points);
}

static void paths_are_judged(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options("");
    struct kj_store *store;
    char path[256];
    assert_err(kj_store_open(&options, &store), KAJA_ERR_INVALID_ARG);
    (void)snprintf(path, sizeof path, "%s/none", dir->path);
    options.path = path;
    options.create = false;
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NO_DIRECTORY);
    options.path = dir->path; /* there, but nothing of ours in it */
    spit(dir->path, "notes.txt", "mine\n");
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NO_DIRECTORY);
    options.read_only = true;
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NO_DIRECTORY);
    assert_false(exists(dir->path, "kaja.lock"));
    (void)snprintf(path, sizeof path, "%s/notes.txt", dir->path);
    options = test_options(path);
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NOT_KAJA);
    (void)snprintf(path, sizeof path, "%s/a/b", dir->path);
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NO_DIRECTORY);
    assert_non_null(strstr(kaja_error_detail(), "a/b cannot be made: No such file or directory"));
}

static void after_a_kill_everything_is_recovered(void **state)
{
    const struct temp_dir *dir = *state;
    die_full(dir->path);
    for (int round = 0; round < 2; round++) {
        struct kj_store *store = open_store(dir->path);
        assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), round == 0 ? 2 : 0);
        struct kj_topic *topic = topic_of(store, "t");
        assert_int_equal(count_records(partition_of(topic, 0)), 10);
        assert_int_equal(count_records(partition_of(topic, 1)), 10);
        kj_topic_release(topic);
        assert_ok(kj_store_close(store));
        assert_true(is_clean(dir->path));
    }
}

/* --- 64 at once --- */

struct herd {
    const char *path;
    int ready, go, stay; /* pipes */
    int result;
};

static int open_in_herd(void *arg)
{
    struct herd *herd = arg;
    struct kj_store_options options = test_options(herd->path);
    struct kj_store *store;
    char byte;
    options.lock_timeout_ms = 60000;
    if (read(herd->go, &byte, 1) < 0) /* until the writing end is closed */
        return 1;
    KJ_TRY(kj_store_open(&options, &store));
    unsigned char recovered = 0;
    struct kj_event event;
    while (kj_store_event_take(store, &event))
        recovered = (unsigned char)(recovered + (event.kind == KAJA_EVENT_RECOVERED));
    struct kj_topic *topic;
    struct kj_partition *partition;
    KJ_TRY(kj_topic_find(store, "t", false, &topic));
    KJ_TRY(kj_topic_partition(topic, getpid() % 2, &partition));
    KJ_TRY(append_text(partition, "herd", true, NULL));
    KJ_TRY(kj_store_flush(store, &partition, 1));
    kj_topic_release(topic);
    if (write(herd->result, &recovered, 1) != 1 || read(herd->stay, &byte, 1) < 0)
        return 1;
    return kj_store_close(store);
}

static void many_open_at_once_and_one_recovers(void **state)
{
    const struct temp_dir *dir = *state;
    enum { MANY = 64 };
    int go[2], stay[2], result[2];
    pid_t pids[MANY];
    die_full(dir->path);
    assert_int_equal(pipe(go) | pipe(stay) | pipe(result), 0);
    for (int i = 0; i < MANY; i++) {
        struct herd herd = {.path = dir->path, .go = go[0], .stay = stay[0], .result = result[1]};
        (void)fflush(NULL);
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void)close(go[1]);
            (void)close(stay[1]);
            int err = open_in_herd(&herd);
            if (err != 0)
                (void)fprintf(stderr, "child: %s\n", kaja_error_detail());
            _exit(err != 0);
        }
    }
    (void)close(go[1]);
    int recovered = 0, recoverers = 0;
    for (int i = 0; i < MANY; i++) {
        unsigned char n = 0;
        assert_int_equal(read(result[0], &n, 1), 1);
        recovered += n;
        recoverers += n > 0;
    }
    assert_int_equal(recoverers, 1);
    assert_int_equal(recovered, 2);
    (void)close(stay[1]); /* all close at once */
    for (int i = 0; i < MANY; i++)
        assert_int_equal(child_end(pids[i]), 0);
    assert_true(is_clean(dir->path));
    (void)close(go[0]);
    (void)close(stay[0]);
    (void)close(result[0]);
    (void)close(result[1]);
    struct kj_store *store = open_store(dir->path);
    struct kj_topic *topic = topic_of(store, "t");
    assert_int_equal(count_records(partition_of(topic, 0)) + count_records(partition_of(topic, 1)),
                     20 + MANY);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* --- closing at once --- */

struct closer {
    struct kj_store *store;
    pthread_barrier_t *barrier;
    int err;
};

static void *close_at_once(void *arg)
{
    struct closer *closer = arg;
    (void)pthread_barrier_wait(closer->barrier);
    closer->err = kj_store_close(closer->store);
    return NULL;
}

static void close_together(const char *path, int handles)
{
    struct closer closers[8];
    pthread_t threads[8];
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned)handles), 0);
    for (int i = 0; i < handles; i++) {
        closers[i] = (struct closer){.store = open_store(path), .barrier = &barrier};
        struct kj_topic *topic = topic_of(closers[i].store, "t");
        assert_ok(append_text(partition_of(topic, i % 2), "x", i % 2 == 0, NULL));
        kj_topic_release(topic);
    }
    assert_false(is_clean(path));
    for (int i = 0; i < handles; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, close_at_once, &closers[i]), 0);
    for (int i = 0; i < handles; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ok(closers[i].err);
    }
    assert_true(is_clean(path));
    (void)pthread_barrier_destroy(&barrier);
}

static void closing_together_always_ends_clean(void **state)
{
    const struct temp_dir *dir = *state;
    int rounds = test_number("KJ_ROUNDS", 10);
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 2, NULL, 0));
    assert_ok(kj_store_close(store));
    for (int i = 0; i < rounds; i++) {
        close_together(dir->path, 2);
        close_together(dir->path, 8);
    }
    store = open_store(dir->path);
    struct kj_topic *topic = topic_of(store, "t");
    assert_int_equal(count_records(partition_of(topic, 0)) + count_records(partition_of(topic, 1)),
                     10 * rounds);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* --- what is refused --- */

static void catalogs_that_cannot_be_read_lose_nothing(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    assert_ok(kj_store_close(store));
    char *good = slurp(dir->path, "kaja.catalog");
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"my own file\n", KAJA_ERR_NOT_KAJA},
        {"kaja-catalog 7\nwho knows\n", KAJA_ERR_UNSUPPORTED_VERSION},
        {"kaja-catalog 1\ngeneration 3\n", KAJA_ERR_DAMAGED},
        {"", KAJA_ERR_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spit(dir->path, "kaja.catalog", cases[i].text);
        assert_err(kj_store_open(&options, &store), cases[i].error);
        assert_non_null(strstr(kaja_error_detail(), "kaja.catalog"));
        assert_true(is_clean(dir->path));
        char *still = slurp(dir->path, "kaja.catalog");
        assert_string_equal(still, cases[i].text);
        free(still);
    }
    spit(dir->path, "kaja.catalog", good);
    store = open_store(dir->path);
    assert_int_equal(count_events(store, KAJA_EVENT_RECOVERED), 0);
    /* While it is open: told by whoever needs it, and the handle goes on when it is back. */
    struct kj_store *other = open_store(dir->path);
    spit(dir->path, "kaja.catalog", "nonsense");
    assert_err(kj_topic_create(store, "u", 1, NULL, 0), KAJA_ERR_NOT_KAJA);
    assert_err(kj_store_open(&options, &store), KAJA_ERR_NOT_KAJA);
    spit(dir->path, "kaja.catalog", good);
    assert_ok(kj_topic_create(store, "u", 1, NULL, 0));
    kj_topic_release(topic_of(other, "u"));
    assert_ok(kj_store_close(other));
    assert_ok(kj_store_close(store));
    free(good);
}

static void control_files_of_others(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store = open_store(dir->path), *other;
    struct kj_shared *shared = kj_shared_of(store);
    uint64_t header = kj_shared_load(shared, KJ_CONTROL_HEADER);
    kj_shared_store(shared, KJ_CONTROL_HEADER, header + (1 << 16));
    assert_err(kj_store_open(&options, &other), KAJA_ERR_LAYOUT_MISMATCH);
    assert_non_null(strstr(kaja_error_detail(), "kaja.control"));
    kj_shared_store(shared, KJ_CONTROL_HEADER, 12345);
    assert_err(kj_store_open(&options, &other), KAJA_ERR_DAMAGED);
    kj_shared_store(shared, KJ_CONTROL_HEADER, header);
    uint64_t boot = kj_shared_load(shared, KJ_CONTROL_BOOT);
    kj_shared_store(shared, KJ_CONTROL_BOOT, boot + 1);
    assert_err(kj_store_open(&options, &other), KAJA_ERR_DAMAGED);
    kj_shared_store(shared, KJ_CONTROL_BOOT, boot);
    assert_ok(kj_store_open(&options, &other));
    assert_ok(kj_store_close(other));
    char path[512];
    (void)snprintf(path, sizeof path, "%s/kaja.control", dir->path);
    assert_int_equal(unlink(path), 0);
    assert_err(kj_store_open(&options, &other), KAJA_ERR_DAMAGED);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
    /* Whatever lies there when nobody is present does not matter. */
    die_full(dir->path);
    spit(dir->path, "kaja.control", "scribbled over");
    store = open_store(dir->path);
    struct kj_topic *topic = topic_of(store, "t");
    assert_int_equal(count_records(partition_of(topic, 0)), 10);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* A broker: a POSIX lock on all of .lock, as FileChannel.tryLock() takes it. */
static int broker_lock(const char *dir, int *ret_fd)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/.lock", dir);
    *ret_fd = open(path, O_RDWR | O_CREAT, 0600);
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = INT64_MAX};
    return *ret_fd < 0 ? errno : fcntl(*ret_fd, F_SETLK, &range) == 0 ? 0 : errno;
}

static void brokers_and_we_keep_each_other_out(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store, *other;
    int fd;
    assert_int_equal(broker_lock(dir->path, &fd), 0);
    assert_err(kj_store_open(&options, &store), KAJA_ERR_BROKER_HAS_DIRECTORY);
    assert_non_null(strstr(kaja_error_detail(), ".lock"));
    assert_false(exists(dir->path, "kaja.catalog"));
    (void)close(fd);
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_store_open(&options, &other)); /* not against each other */
    int os = broker_lock(dir->path, &fd);
    assert_true(os == EAGAIN || os == EACCES);
    (void)close(fd);
    assert_ok(kj_store_close(store));
    os = broker_lock(dir->path, &fd);
    assert_true(os == EAGAIN || os == EACCES);
    (void)close(fd);
    assert_ok(kj_store_close(other));
    assert_int_equal(broker_lock(dir->path, &fd), 0);
    (void)close(fd);
}

/* --- fork --- */

static void forked_children_are_told(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (kj_store_check(store) != KAJA_ERR_FORKED || kj_store_step(store) != KAJA_ERR_FORKED)
            _exit(1);
        if (kj_store_close(store) != 0)
            _exit(2);
        struct kj_store_options options = test_options(dir->path);
        struct kj_store *own;
        if (kj_store_open(&options, &own) != 0)
            _exit(3);
        leave_child(kj_store_close(own) == 0 ? 0 : 4);
    }
    assert_int_equal(child_end(pid), 0);
    struct kj_topic *topic = topic_of(store, "t");
    assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
}

static int forks_and_dies(void *arg)
{
    struct herd *herd = arg;
    struct kj_store_options options = test_options(herd->path);
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_partition *partition;
    KJ_TRY(kj_store_open(&options, &store));
    KJ_TRY(kj_topic_find(store, "t", false, &topic));
    KJ_TRY(kj_topic_partition(topic, 0, &partition));
    KJ_TRY(kj_shared_try_lock(kj_shared_of(store), kj_append_lock(partition->slot_number),
                              KJ_LOCK_EXCLUSIVE));
    KJ_TRY(kj_shared_try_lock(kj_shared_of(store), KJ_LOCK_CATALOG, KJ_LOCK_EXCLUSIVE));
    if (fork() == 0) {
        (void)sleep(2); /* outlives its parent, with everything inherited */
        leave_child(0);
    }
    if (write(herd->result, "", 1) != 1)
        return 1;
    return kill(getpid(), SIGKILL);
}

static void locks_die_with_the_parent(void **state)
{
    const struct temp_dir *dir = *state;
    int result[2];
    char byte;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    struct herd herd = {.path = dir->path, .result = result[1]};
    pid_t pid = child_start(forks_and_dies, &herd);
    assert_int_equal(read(result[0], &byte, 1), 1);
    assert_int_equal(child_end(pid), 1000 + SIGKILL);
    int64_t began = kj_mono_ns(&kj_clock_system);
    struct kj_topic *topic = topic_of(store, "t");
    assert_ok(append_text(partition_of(topic, 0), "x", false, NULL));
    assert_ok(kj_topic_create(store, "u", 1, NULL, 0));
    assert_true(kj_mono_ns(&kj_clock_system) - began < 1000000000);
    assert_int_equal(kj_store_metric(store, KJ_METRIC_LIVE_HANDLES), 1);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
    (void)close(result[0]);
    (void)close(result[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_are_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_kill_everything_is_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(many_open_at_once_and_one_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_together_always_ends_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(catalogs_that_cannot_be_read_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(control_files_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(brokers_and_we_keep_each_other_out, setup, teardown),
        cmocka_unit_test_setup_teardown(forked_children_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(locks_die_with_the_parent, setup, teardown),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
