/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Committed offsets through the public face: who comes back goes on where the group was.
 */
#include "api_test.h"

#include "log/slot.h"

#include <fcntl.h>
#include <time.h>

static struct kaja_store *store;

static void make(int32_t partitions, int count)
{
    struct kaja_conf *conf = NULL;
    store = open_store(NULL);
    assert_ok(kaja_conf_new(&conf));
    assert_ok(kaja_admin_create_topic(store, "topic", partitions, conf));
    kaja_conf_free(conf);
    for (int32_t p = 0; p < partitions; p++)
        send_records(store, "topic", p, count, 10, false, NULL);
}

/* Takes conf over. */
static struct kaja_consumer *open_on(struct kaja_conf *conf, int32_t count)
{
    struct kaja_topic_partition wanted[8];
    struct kaja_consumer *consumer = NULL;
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    for (int32_t i = 0; i < count; i++)
        wanted[i] = (struct kaja_topic_partition){"topic", i, 0};
    assert_ok(kaja_consumer_assign(consumer, wanted, (size_t)count));
    return consumer;
}

static struct kaja_conf *group_conf(const char *auto_commit)
{
    return conf_of("group.id", "g", "auto.offset.reset", "earliest", "max.poll.records", "5",
                   "enable.auto.commit", auto_commit, "auto.commit.interval.ms", "20", NULL);
}

static size_t poll_some(struct kaja_consumer *consumer)
{
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(consumer, 0, &batch));
    size_t count = kaja_batch_count(batch);
    kaja_batch_release(batch);
    return count;
}

static int64_t position(struct kaja_consumer *consumer, int32_t partition)
{
    int64_t offset = -1;
    assert_ok(kaja_consumer_position(consumer, "topic", partition, &offset));
    return offset;
}

static int64_t committed(struct kaja_consumer *consumer, int32_t partition)
{
    const struct kaja_topic_partition which = {"topic", partition, 0};
    struct kaja_committed_offset found;
    assert_ok(kaja_consumer_committed(consumer, &which, 1, &found));
    assert_string_equal(found.topic, "topic");
    assert_int_equal(found.partition, partition);
    return found.offset;
}

static void close_all(struct kaja_consumer *consumer)
{
    assert_ok(kaja_consumer_close(consumer, -1));
    assert_ok(kaja_store_close(store));
}

static void positions_are_kept(void **state)
{
    (void)state;
    make(2, 20);
    struct kaja_consumer *consumer = open_on(group_conf("false"), 1);
    assert_int_equal(committed(consumer, 0), KAJA_OFFSET_NONE);
    assert_int_equal(position(consumer, 0), 0);
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(poll_some(consumer), 5);
    assert_int_equal(committed(consumer, 0), 5);
    close_all(consumer);
    store = open_store(NULL);
    consumer = open_on(group_conf("false"), 2);
    assert_int_equal(position(consumer, 0), 5);
    assert_int_equal(position(consumer, 1), 0); /* nothing committed: earliest */
    assert_ok(kaja_consumer_seek(consumer, "topic", 0, 2));
    assert_int_equal(position(consumer, 0), 2); /* a seek counts more */
    close_all(consumer);
}

static int32_t committed_epoch(struct kaja_consumer *consumer)
{
    const struct kaja_topic_partition which = {"topic", 0, 0};
    struct kaja_committed_offset found;
    assert_ok(kaja_consumer_committed(consumer, &which, 1, &found));
    return found.leader_epoch;
}

/* As Kafka's consumer: of what was read last, else as it was committed; -1 behind a seek. */
static void leader_epochs(void **state)
{
    (void)state;
    const struct kaja_committed_offset given = {"topic", 0, 7, 3, NULL};
    make(1, 20);
    struct kaja_consumer *consumer = open_on(group_conf("false"), 1);
    assert_int_equal(position(consumer, 0), 0);
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(committed_epoch(consumer), -1); /* nothing was read */
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(committed_epoch(consumer), 0);
    assert_ok(kaja_consumer_seek(consumer, "topic", 0, 2));
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(committed_epoch(consumer), -1);
    assert_ok(kaja_consumer_commit(consumer, &given, 1, -1));
    assert_ok(kaja_consumer_close(consumer, 0));
    consumer = open_on(group_conf("false"), 1);
    assert_int_equal(position(consumer, 0), 3);
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(committed_epoch(consumer), 7);
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1));
    assert_int_equal(committed_epoch(consumer), 0);
    close_all(consumer);
}

static void given_offsets(void **state)
{
    (void)state;
    make(2, 3);
    struct kaja_consumer *consumer = open_on(group_conf("false"), 1);
    const struct kaja_committed_offset two[] = {
        {"topic", 0, -1, 2, "here"},
        {"topic", 1, 7, 999, NULL}, /* not assigned, and beyond the end: as it pleases */
    };
    const struct kaja_topic_partition which[] = {{"topic", 1, 0}, {"topic", 0, 0}, {"none", 0, 0}};
    struct kaja_committed_offset found[3];
    assert_ok(kaja_consumer_commit(consumer, two, 2, 1000));
    assert_ok(kaja_consumer_committed(consumer, which, 3, found));
    assert_int_equal(found[0].offset, 999);
    assert_int_equal(found[0].leader_epoch, 7);
    assert_string_equal(found[0].metadata, "");
    assert_int_equal(found[1].offset, 2);
    assert_string_equal(found[1].metadata, "here");
    assert_int_equal(found[2].offset, KAJA_OFFSET_NONE);
    assert_ok(kaja_consumer_commit(consumer, two, 0, 0)); /* nothing is nothing */
    assert_int_equal(committed(consumer, 0), 2);
    close_all(consumer);
}

/* --- asynchronous ones --- */

static int calls[8], call_count;

static void note(void *arg, int error)
{
    assert_ok(error);
    calls[call_count++] = *(int *)arg;
}

static void note_error(void *arg, int error)
{
    *(int *)arg = error;
}

static void asynchronous(void **state)
{
    (void)state;
    static int numbers[] = {0, 1, 2, 3};
    make(1, 20);
    struct kaja_consumer *consumer = open_on(group_conf("false"), 1);
    call_count = 0;
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note, &numbers[0]));
    assert_int_equal(committed(consumer, 0), 5); /* seen before it is done */
    assert_int_equal(call_count, 0);
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, NULL, NULL));
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note, &numbers[1]));
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, -1)); /* waits for those before */
    assert_int_equal(call_count, 2);
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note, &numbers[2]));
    for (int i = 0; call_count < 3 && i < 5000; i++) { /* the worker flushes, polls serve */
        (void)poll_some(consumer);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    assert_int_equal(call_count, 3);
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note, &numbers[3]));
    close_all(consumer);
    assert_int_equal(call_count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(calls[i], i);
}

/* Without a worker the polls do it. */
static void asynchronous_by_polls(void **state)
{
    (void)state;
    static int number;
    make(1, 5);
    assert_ok(kaja_store_close(store));
    store = open_store(conf_of("kaja.background.threads", "0", NULL));
    struct kaja_consumer *consumer = open_on(group_conf("false"), 1);
    call_count = 0;
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note, &number));
    for (int i = 0; call_count == 0 && i < 5; i++)
        (void)poll_some(consumer);
    assert_int_equal(call_count, 1);
    close_all(consumer);
}

/* --- by itself --- */

static void auto_commit(void **state)
{
    (void)state;
    make(1, 30);
    struct kaja_consumer *consumer = open_on(group_conf("true"), 1);
    struct kaja_consumer *other = open_on(group_conf("false"), 1);
    assert_int_equal(poll_some(consumer), 5);
    assert_int_equal(committed(other, 0), KAJA_OFFSET_NONE);
    nanosleep(&(struct timespec){0, 30000000}, NULL);
    assert_int_equal(poll_some(consumer), 5);
    assert_int_equal(committed(other, 0), 5); /* what the poll before gave out */
    const struct kaja_topic_partition same = {"topic", 0, 0};
    assert_ok(kaja_consumer_assign(consumer, &same, 1));
    assert_int_equal(committed(other, 0), 10);
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_close(consumer, 0));
    assert_int_equal(committed(other, 0), 15);
    assert_int_equal(poll_some(other), 5);
    assert_ok(kaja_consumer_close(other, 0)); /* does not commit */
    other = open_on(group_conf("false"), 1);
    assert_int_equal(position(other, 0), 15);
    close_all(other);
}

/* --- refusals --- */

static void note_failed(void *arg, const struct kaja_event *event)
{
    int *told = arg;
    if (event->kind != KAJA_EVENT_BACKGROUND)
        return;
    assert_int_equal(event->error, KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_non_null(strstr(event->text, "the automatic commit of group g failed: "));
    ++*told;
}

/* Nobody asked for it, so it is an event; reading goes on. */
static void auto_commit_fails(void **state)
{
    (void)state;
    static const char *const topics[] = {"topic"};
    int told = 0;
    make(1, 20);
    kaja_store_on_event(store, note_failed, &told);
    struct kaja_consumer *member = NULL;
    struct kaja_conf *conf = group_conf("false");
    assert_ok(kaja_consumer_open(store, conf, &member));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
    assert_int_equal(poll_some(member), 5);
    struct kaja_consumer *consumer = open_on(group_conf("true"), 1); /* of the same group, by hand */
    assert_int_equal(poll_some(consumer), 5);
    (void)nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    assert_int_equal(poll_some(consumer), 5);
    (void)poll_some(member); /* where events are served */
    assert_int_equal(told, 1);
    assert_int_equal(poll_some(consumer), 5);
    assert_ok(kaja_consumer_close(consumer, 1000));
    assert_ok(kaja_consumer_close(member, 1000));
    kaja_store_on_event(store, NULL, NULL);
    assert_ok(kaja_store_close(store));
}

/* Locks the words of kaja.lock as another process would that is stopped. */
static int hold_locks(uint64_t first)
{
    char path[sizeof test_dir + sizeof "/kaja.lock"];
    (void)snprintf(path, sizeof path, "%s/kaja.lock", test_dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)first,
                          .l_len = KJ_LOCK_KIND_SPAN};
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), 0);
    return fd;
}

static int close_error;

static void note_close(void *arg, int error)
{
    (void)arg;
    close_error = error;
}

static int64_t seconds_to_close(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    struct timespec from, to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_ok(kaja_consumer_close(consumer, timeout_ms));
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    return to.tv_sec - from.tv_sec;
}

/* Whatever others hold: kaja.lock.timeout.ms is 10 s. */
static void close_keeps_its_time(void **state)
{
    (void)state;
    static const char *const topics[] = {"topic"};
    make(1, 20);
    struct kaja_consumer *consumer = NULL, *member = NULL;
    struct kaja_conf *conf = group_conf("true");
    assert_ok(kaja_consumer_open(store, conf, &member));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
    assert_int_equal(poll_some(member), 5);
    int fd = hold_locks(kj_append_lock(0)); /* to commit, and to leave */
    assert_true(seconds_to_close(member, 200) < 8);
    assert_int_equal(close(fd), 0);

    consumer = open_on(group_conf("false"), 1);
    assert_int_equal(poll_some(consumer), 5);
    fd = hold_locks(kj_flush_lock(0));
    assert_ok(kaja_consumer_commit_async(consumer, NULL, 0, note_close, NULL));
    close_error = -1;
    assert_true(seconds_to_close(consumer, 200) < 8);
    assert_int_equal(close_error, KAJA_ERR_TIMED_OUT);
    assert_int_equal(close(fd), 0);
    assert_ok(kaja_store_close(store));
}

static void refusals(void **state)
{
    (void)state;
    struct kaja_committed_offset one = {"topic", 0, -1, 1, NULL};
    struct kaja_consumer *consumer = NULL;
    struct kaja_conf *conf = conf_of("enable.auto.commit", "true", NULL);
    char *text = malloc(5000);
    int error = 0;
    make(1, 1);
    assert_err(kaja_consumer_open(store, conf, &consumer), KAJA_ERR_CONFLICT);
    kaja_conf_free(conf);
    conf = conf_of("group.id", "", NULL);
    assert_err(kaja_consumer_open(store, conf, &consumer), KAJA_ERR_INVALID_GROUP_ID);
    kaja_conf_free(conf);
    consumer = open_on(NULL, 1); /* without a group */
    assert_err(kaja_consumer_commit(consumer, NULL, 0, 0), KAJA_ERR_INVALID_GROUP_ID);
    assert_err(kaja_consumer_commit_async(consumer, &one, 1, NULL, NULL),
               KAJA_ERR_INVALID_GROUP_ID);
    assert_err(kaja_consumer_committed(consumer, NULL, 0, NULL), KAJA_ERR_INVALID_GROUP_ID);
    assert_ok(kaja_consumer_close(consumer, 0));
    consumer = open_on(group_conf("false"), 1);
    assert_err(kaja_consumer_commit(NULL, NULL, 0, 0), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_commit(consumer, NULL, 1, 0), KAJA_ERR_INVALID_ARG);
    one.offset = -1;
    assert_err(kaja_consumer_commit(consumer, &one, 1, 0), KAJA_ERR_INVALID_ARG);
    one.offset = 1;
    one.partition = 1;
    assert_err(kaja_consumer_commit(consumer, &one, 1, 0), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    one.partition = 0;
    one.topic = "none";
    assert_err(kaja_consumer_commit(consumer, &one, 1, 0), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    one.topic = "topic";
    memset(text, 'x', 5000);
    text[4999] = '\0';
    one.metadata = text;
    assert_err(kaja_consumer_commit(consumer, &one, 1, 0), KAJA_ERR_OFFSET_METADATA_TOO_LARGE);
    assert_ok(kaja_consumer_commit_async(consumer, &one, 1, note_error, &error));
    assert_int_equal(error, 0);
    (void)poll_some(consumer);
    assert_int_equal(error, KAJA_ERR_OFFSET_METADATA_TOO_LARGE);
    text[4096] = '\0';
    assert_ok(kaja_consumer_commit(consumer, &one, 1, 0));
    close_all(consumer);
    free(text);
    store = open_store(conf_of("kaja.read.only", "true", NULL));
    consumer = open_on(group_conf("true"), 1);
    assert_int_equal(position(consumer, 0), 1);
    assert_err(kaja_consumer_commit(consumer, NULL, 0, 0), KAJA_ERR_READ_ONLY);
    close_all(consumer);
}

/* The directory's properties hold: they stand in the catalog. */
static void directory_properties(void **state)
{
    (void)state;
    struct kaja_committed_offset one = {"topic", 0, -1, 1, "four"};
    store = open_store(conf_of("offsets.topic.num.partitions", "3", "offset.metadata.max.bytes",
                               "3", "offsets.topic.segment.bytes", "100000", NULL));
    assert_ok(kaja_store_close(store));
    make(1, 1);
    struct kaja_consumer *consumer =
        open_on(conf_of("group.id", "g", "kaja.commit.acks", "1", NULL), 1);
    assert_err(kaja_consumer_commit(consumer, &one, 1, 0), KAJA_ERR_OFFSET_METADATA_TOO_LARGE);
    one.metadata = "two";
    assert_ok(kaja_consumer_commit(consumer, &one, 1, 0));
    char path[200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/__consumer_offsets-2", test_dir);
    assert_int_equal(stat(path, &st), 0);
    (void)snprintf(path, sizeof path, "%s/__consumer_offsets-3", test_dir);
    assert_int_not_equal(stat(path, &st), 0);
    close_all(consumer);
}

/* --- administration --- */

static void administration(void **state)
{
    (void)state;
    struct kaja_committed_offset two[] = {{"topic", 1, -1, 7, "b"}, {"topic", 0, -1, 3, NULL}};
    const struct kaja_topic_partition first = {"topic", 0, 0};
    struct kaja_group_list *groups = NULL;
    struct kaja_offset_list *offsets = NULL;
    make(2, 10);
    assert_ok(kaja_admin_groups(store, &groups));
    assert_int_equal(groups->count, 0);
    kaja_group_list_free(groups);
    assert_err(kaja_admin_group(store, "g", &groups), KAJA_ERR_GROUP_ID_NOT_FOUND);
    assert_err(kaja_admin_group(store, "", &groups), KAJA_ERR_INVALID_GROUP_ID);
    assert_err(kaja_admin_delete_group(store, "g"), KAJA_ERR_GROUP_ID_NOT_FOUND);
    assert_err(kaja_admin_delete_group_offsets(store, "g", &first, 1),
               KAJA_ERR_GROUP_ID_NOT_FOUND);
    assert_ok(kaja_admin_alter_group_offsets(store, "g", two, 2));
    assert_ok(kaja_admin_alter_group_offsets(store, "a", two, 1));
    assert_ok(kaja_admin_groups(store, &groups));
    assert_int_equal(groups->count, 2);
    assert_string_equal(groups->groups[0].group_id, "a");
    assert_string_equal(groups->groups[1].group_id, "g");
    assert_int_equal(groups->groups[1].state, KAJA_GROUP_EMPTY);
    assert_int_equal(groups->groups[1].member_count, 0);
    kaja_group_list_free(groups);
    assert_ok(kaja_admin_group(store, "g", &groups));
    assert_int_equal(groups->count, 1);
    kaja_group_list_free(groups);
    assert_ok(kaja_admin_group_offsets(store, "g", &offsets));
    assert_int_equal(offsets->count, 2);
    assert_int_equal(offsets->offsets[0].partition, 0);
    assert_int_equal(offsets->offsets[0].offset, 3);
    assert_int_equal(offsets->offsets[1].offset, 7);
    assert_string_equal(offsets->offsets[1].topic, "topic");
    assert_string_equal(offsets->offsets[1].metadata, "b");
    kaja_offset_list_free(offsets);
    struct kaja_consumer *consumer = open_on(group_conf("false"), 2);
    assert_int_equal(position(consumer, 1), 7);
    assert_ok(kaja_admin_delete_group_offsets(store, "g", &first, 1));
    assert_int_equal(committed(consumer, 0), KAJA_OFFSET_NONE);
    assert_ok(kaja_admin_delete_group(store, "g"));
    assert_int_equal(committed(consumer, 1), KAJA_OFFSET_NONE);
    assert_err(kaja_admin_group(store, "g", &groups), KAJA_ERR_GROUP_ID_NOT_FOUND);
    two[0].partition = 2;
    assert_err(kaja_admin_alter_group_offsets(store, "g", two, 2),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    two[0].partition = -1;
    assert_err(kaja_admin_alter_group_offsets(store, "g", two, 2), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_alter_group_offsets(store, "g", NULL, 0), KAJA_ERR_INVALID_ARG);
    kaja_group_list_free(NULL);
    kaja_offset_list_free(NULL);
    close_all(consumer);
}

/* A topic made anew under the name of a deleted one is not read from where that was left. */
static void deleted_topics(void **state)
{
    (void)state;
    make(2, 10);
    assert_ok(kaja_admin_create_topic(store, "other", 1, NULL));
    struct kaja_consumer *consumer = open_on(group_conf("false"), 2);
    const struct kaja_committed_offset three[] = {
        {.topic = "topic", .partition = 0, .offset = 5, .leader_epoch = -1},
        {.topic = "topic", .partition = 1, .offset = 6, .leader_epoch = -1},
        {.topic = "other", .partition = 0, .offset = 7, .leader_epoch = -1}};
    assert_ok(kaja_consumer_commit(consumer, three, 3, 1000));
    assert_int_equal(committed(consumer, 1), 6);
    (void)position(consumer, 0);
    assert_ok(kaja_admin_delete_topic(store, "topic"));
    assert_ok(kaja_admin_create_topic(store, "topic", 2, NULL));
    assert_int_equal(committed(consumer, 0), KAJA_OFFSET_NONE);
    assert_int_equal(committed(consumer, 1), KAJA_OFFSET_NONE);
    /* Nor is the position in the one that went committed for it. */
    assert_ok(kaja_consumer_commit(consumer, NULL, 0, 1000));
    assert_int_equal(committed(consumer, 0), KAJA_OFFSET_NONE);
    const struct kaja_topic_partition other = {"other", 0, 0};
    struct kaja_committed_offset found;
    assert_ok(kaja_consumer_committed(consumer, &other, 1, &found));
    assert_int_equal(found.offset, 7);
    close_all(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(positions_are_kept),  test_in_dir(given_offsets),
        test_in_dir(asynchronous),        test_in_dir(asynchronous_by_polls),
        test_in_dir(auto_commit),         test_in_dir(refusals),
        test_in_dir(close_keeps_its_time),
        test_in_dir(auto_commit_fails),   test_in_dir(leader_epochs),
        test_in_dir(directory_properties), test_in_dir(administration),
        test_in_dir(deleted_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
