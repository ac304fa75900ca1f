/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja_consumer_fd(): a program that waits with poll() and epoll_wait() hears of all that a
 * kaja_consumer_poll() would have waited for, and of nothing when there is nothing.
 */
#include "api_test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

enum { PATIENCE_MS = 60000, A_WHILE_MS = 30 };

static struct kaja_store *store, *other; /* other: counts as another process */
static struct kaja_consumer *consumer;
static int fd;

static int begin(void **state)
{
    assert_int_equal(test_dir_make(state), 0);
    store = open_store(NULL);
    other = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 2, NULL));
    assert_ok(kaja_admin_create_topic(store, "u", 1, NULL));
    consumer = NULL;
    return 0;
}

static int end(void **state)
{
    assert_ok(kaja_consumer_close(consumer, 0));
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_store_close(store));
    return test_dir_remove(state);
}

/* Takes conf over. */
static void open_consumer(struct kaja_conf *conf)
{
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_fd(consumer, &fd));
}

static void assign(int32_t count)
{
    const struct kaja_topic_partition wanted[] = {{"t", 0, 0}, {"t", 1, 0}};
    assert_ok(kaja_consumer_assign(consumer, wanted, (size_t)count));
}

static bool readable(int timeout_ms)
{
    struct pollfd wanted = {fd, POLLIN, 0};
    return poll(&wanted, 1, timeout_ms) == 1;
}

static size_t take(void)
{
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(consumer, 0, &batch));
    size_t count = kaja_batch_count(batch);
    kaja_batch_release(batch);
    return count;
}

/* Polls as long as it is readable; the records that came. */
static size_t settle(void)
{
    size_t count = 0;
    for (int i = 0; readable(A_WHILE_MS); i++) {
        assert_true(i < 1000); /* it does not stay so for nothing */
        count += take();
    }
    return count;
}

static void wait_and_take(size_t count)
{
    size_t taken = 0;
    while (taken < count) {
        assert_true(readable(PATIENCE_MS));
        taken += take();
    }
    assert_int_equal(taken, count);
    assert_int_equal(settle(), 0);
}

static void test_records(void **state)
{
    (void)state;
    int again = -1;
    open_consumer(conf_of("auto.offset.reset", "earliest", "max.poll.records", "2", NULL));
    assert_ok(kaja_consumer_fd(consumer, &again));
    assert_int_equal(again, fd);
    assert_false(readable(A_WHILE_MS)); /* nothing is assigned: there is nothing to wait for */
    assign(2);
    assert_true(readable(0)); /* the positions are to be looked up */
    assert_int_equal(settle(), 0);
    send_records(other, "t", 0, 1, 10, false, NULL);
    wait_and_take(1);
    send_records(store, "t", 1, 1, 10, false, NULL); /* of our own process */
    wait_and_take(1);
    send_records(other, "t", 0, 7, 10, false, NULL); /* more than one poll takes */
    wait_and_take(7);
    send_records(other, "t", 1, 1, 10, false, conf_of("acks", "1", NULL));
    wait_and_take(1);
    send_records(other, "u", 0, 1, 10, false, NULL); /* not assigned */
    assert_false(readable(A_WHILE_MS));
}

static void test_pause_and_seek(void **state)
{
    (void)state;
    open_consumer(conf_of("auto.offset.reset", "earliest", NULL));
    assign(1);
    assert_int_equal(settle(), 0);
    assert_ok(kaja_consumer_pause(consumer, "t", 0));
    send_records(other, "t", 0, 2, 10, false, NULL);
    assert_int_equal(settle(), 0);
    assert_ok(kaja_consumer_resume(consumer, "t", 0));
    assert_true(readable(0));
    wait_and_take(2);
    assert_ok(kaja_consumer_seek(consumer, "t", 0, 1));
    assert_true(readable(0));
    wait_and_take(1);
    assert_ok(kaja_consumer_seek(consumer, "t", 0, 3)); /* records that are still to come */
    send_records(other, "t", 0, 1, 10, false, NULL);
    (void)settle();
    send_records(other, "t", 0, 2, 10, false, NULL);
    assert_true(readable(PATIENCE_MS));
}

static void test_wakeup(void **state)
{
    (void)state;
    struct kaja_batch *batch = NULL;
    open_consumer(NULL);
    assign(1);
    assert_int_equal(settle(), 0);
    kaja_consumer_wakeup(consumer);
    kaja_consumer_wakeup(consumer);
    assert_true(readable(0));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_INTERRUPTED);
    assert_int_equal(settle(), 0);
}

static int commit_error;
static int commits;

static void committed(void *arg, int error)
{
    (void)arg;
    commit_error = error;
    commits++;
}

static void test_commit_callback(void **state)
{
    (void)state;
    const struct kaja_committed_offset one = {"t", 0, -1, 0, NULL};
    open_consumer(conf_of("group.id", "g", "enable.auto.commit", "false", NULL));
    assign(1);
    assert_int_equal(settle(), 0);
    commits = 0;
    for (int i = 0; i < 3; i++) {
        assert_ok(kaja_consumer_commit_async(consumer, &one, 1, committed, NULL));
        while (commits <= i) {
            assert_true(readable(PATIENCE_MS));
            assert_int_equal(take(), 0);
        }
        assert_ok(commit_error);
        assert_int_equal(settle(), 0);
    }
    assert_ok(kaja_consumer_commit_async(consumer, &one, 1, NULL, NULL)); /* nobody asks */
    assert_false(readable(A_WHILE_MS));
}

static void test_auto_commit(void **state)
{
    (void)state;
    open_consumer(conf_of("group.id", "g", "auto.offset.reset", "earliest",
                          "auto.commit.interval.ms", "50", NULL));
    assign(1);
    send_records(other, "t", 0, 3, 10, false, NULL);
    assert_true(readable(PATIENCE_MS));
    assert_int_equal(take(), 3);
    struct kaja_offset_list *offsets = NULL;
    for (bool done = false; !done;) { /* no record comes, and yet a poll is asked for */
        assert_true(readable(PATIENCE_MS));
        assert_int_equal(take(), 0);
        assert_ok(kaja_admin_group_offsets(other, "g", &offsets));
        done = offsets->count == 1 && offsets->offsets[0].offset == 3;
        kaja_offset_list_free(offsets);
    }
    assert_int_equal(settle(), 0);
}

static void test_groups(void **state)
{
    (void)state;
    static const char *const topics[] = {"t"};
    struct kaja_consumer *second = NULL;
    struct kaja_batch *batch = NULL;
    struct kaja_conf *conf = conf_of("group.id", "g", "max.poll.interval.ms", "50000", NULL);
    assert_ok(kaja_consumer_open(other, conf, &second));
    open_consumer(conf);
    assert_false(readable(A_WHILE_MS));
    assert_ok(kaja_consumer_subscribe(consumer, topics, 1, NULL));
    assert_true(readable(0)); /* to join */
    while (kaja_consumer_assignment(consumer, NULL, 0) != 2) {
        assert_true(readable(PATIENCE_MS));
        (void)take();
    }
    assert_int_equal(settle(), 0);
    assert_ok(kaja_consumer_subscribe(second, topics, 1, NULL));
    while (kaja_consumer_assignment(second, NULL, 0) != 1 ||
           kaja_consumer_assignment(consumer, NULL, 0) != 1) {
        assert_ok(kaja_consumer_poll(second, 0, &batch));
        kaja_batch_release(batch);
        if (readable(1)) /* it is, whenever this one has to move on */
            (void)take();
    }
    assert_int_equal(settle(), 0);
    assert_ok(kaja_consumer_close(second, 0));
    while (kaja_consumer_assignment(consumer, NULL, 0) != 2) {
        assert_true(readable(PATIENCE_MS));
        (void)take();
    }
    assert_ok(kaja_consumer_unsubscribe(consumer));
    (void)settle();
}

/* A member that nothing comes for is not thrown out: it is called in time. */
static void test_idle_member(void **state)
{
    (void)state;
    static const char *const topics[] = {"t"};
    struct kaja_group_metadata metadata;
    open_consumer(conf_of("group.id", "g", "max.poll.interval.ms", "400", "session.timeout.ms",
                          "400", "heartbeat.interval.ms", "100", NULL));
    assert_ok(kaja_consumer_subscribe(consumer, topics, 1, NULL));
    while (kaja_consumer_assignment(consumer, NULL, 0) != 2) {
        assert_true(readable(PATIENCE_MS));
        (void)take();
    }
    for (int i = 0; i < 4; i++) {
        assert_true(readable(PATIENCE_MS));
        assert_int_equal(take(), 0);
    }
    assert_ok(kaja_consumer_group_metadata(consumer, &metadata));
}

static void test_deleted(void **state)
{
    (void)state;
    struct kaja_batch *batch = NULL;
    open_consumer(NULL);
    assign(1);
    assert_int_equal(settle(), 0);
    assert_ok(kaja_admin_delete_topic(other, "t"));
    int err = 0;
    while (err == 0) {
        assert_true(readable(PATIENCE_MS));
        err = kaja_consumer_poll(consumer, 0, &batch);
        if (err == 0)
            kaja_batch_release(batch);
    }
    assert_int_equal(err, KAJA_ERR_UNKNOWN_TOPIC_ID);
    assert_true(readable(0)); /* as long as a poll fails */
    assert_ok(kaja_consumer_assign(consumer, NULL, 0));
    struct pollfd wanted = {fd, POLLIN, 0};
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_STATE);
    assert_int_equal(poll(&wanted, 1, A_WHILE_MS), 0);
}

static void test_refused(void **state)
{
    (void)state;
    int got = -7;
    const char *const without[][2] = {{"kaja.background.threads", "0"},
                                      {"kaja.read.only", "true"}};
    for (int i = 0; i < 2; i++) {
        struct kaja_store *alone = open_store(conf_of(without[i][0], without[i][1], NULL));
        assert_ok(kaja_consumer_open(alone, NULL, &consumer));
        assert_err(kaja_consumer_fd(consumer, &got), KAJA_ERR_UNSUPPORTED_FEATURE);
        assert_true(detail_has("kaja.background.threads=0"));
        assert_int_equal(got, -7);
        assert_err(kaja_consumer_fd(consumer, NULL), KAJA_ERR_INVALID_ARG);
        assert_ok(kaja_consumer_close(consumer, 0));
        consumer = NULL;
        assert_ok(kaja_store_close(alone));
    }
    assert_err(kaja_consumer_fd(NULL, &got), KAJA_ERR_INVALID_ARG);
}

/* --- two consumers, another process --- */

enum { EACH = 300 };

/* In a child: sends to "t" and "u" in turn, then ends. */
static int produce_both(void)
{
    struct kaja_store *mine = NULL;
    struct kaja_producer *producer = NULL;
    struct kaja_metadata metadata;
    int err = kaja_store_open(test_dir, NULL, &mine);
    if (err == 0)
        err = kaja_producer_open(mine, NULL, &producer);
    for (int i = 0; i < 2 * EACH && err == 0; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = i % 2 == 0 ? "t" : "u";
        record.partition = 0;
        record.value = "v";
        record.value_bytes = 1;
        err = i % 3 == 0 ? kaja_producer_send(producer, &record, PATIENCE_MS, &metadata)
                         : kaja_producer_produce(producer, &record, NULL, NULL);
    }
    if (err == 0)
        err = kaja_producer_close(producer, PATIENCE_MS);
    return err != 0 ? err : kaja_store_close(mine);
}

static void test_event_loop(void **state)
{
    (void)state;
    struct kaja_consumer *consumers[2] = {NULL, NULL};
    static const char *const topics[] = {"t", "u"};
    size_t counts[2] = {0, 0};
    (void)fflush(NULL);
    pid_t pid = fork(); /* before this process opens anything */
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(produce_both() != 0);
    store = open_store(NULL);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    assert_true(loop >= 0);
    for (uint32_t i = 0; i < 2; i++) {
        int one;
        struct kaja_conf *conf = conf_of("auto.offset.reset", "earliest", "max.poll.records", "7",
                                         "group.id", topics[i], NULL);
        assert_ok(kaja_consumer_open(store, conf, &consumers[i]));
        kaja_conf_free(conf);
        assert_ok(kaja_consumer_subscribe(consumers[i], &topics[i], 1, NULL));
        assert_ok(kaja_consumer_fd(consumers[i], &one));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, one, &event), 0);
    }
    while (counts[0] < EACH || counts[1] < EACH) {
        struct epoll_event events[2];
        int ready = epoll_wait(loop, events, 2, PATIENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            fail_msg("epoll_wait: %d, %s; %zu and %zu records", ready, strerror(errno), counts[0],
                     counts[1]);
        for (int i = 0; i < ready; i++) {
            struct kaja_batch *batch = NULL;
            assert_ok(kaja_consumer_poll(consumers[events[i].data.u32], 0, &batch));
            counts[events[i].data.u32] += kaja_batch_count(batch);
            kaja_batch_release(batch);
        }
    }
    assert_int_equal(counts[0], EACH);
    assert_int_equal(counts[1], EACH);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++)
        assert_ok(kaja_consumer_close(consumers[i], 0));
    assert_int_equal(close(loop), 0);
    assert_ok(kaja_store_close(store));
}

#define test_scene(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_scene(test_records),       test_scene(test_pause_and_seek),
        test_scene(test_wakeup),        test_scene(test_commit_callback),
        test_scene(test_auto_commit),   test_scene(test_groups),
        test_scene(test_idle_member),   test_scene(test_deleted),
        test_scene(test_refused),       test_in_dir(test_event_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
