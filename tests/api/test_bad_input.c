/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What programs of groups do wrong, and what stands wrong on the disk: each has an error of its own
 * that says what it is, and harms nobody else.
 */
#include "api_test.h"

#include <fcntl.h>

static struct kaja_store *store;
static const char *const topics[] = {"t"};

static int begin(void **state)
{
    assert_int_equal(test_dir_make(state), 0);
    store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 2, NULL));
    return 0;
}

static int end(void **state)
{
    assert_ok(kaja_store_close(store));
    return test_dir_remove(state);
}

/* Takes conf over. */
static struct kaja_consumer *open_consumer(struct kaja_conf *conf)
{
    struct kaja_consumer *consumer = NULL;
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    return consumer;
}

static struct kaja_consumer *in_group(const char *id)
{
    return open_consumer(conf_of("group.id", id, "auto.offset.reset", "earliest",
                                 "enable.auto.commit", "false", NULL));
}

static size_t poll_count(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(consumer, timeout_ms, &batch));
    size_t count = kaja_batch_count(batch);
    kaja_batch_release(batch);
    return count;
}

static void commit(const char *group, int64_t offset, const char *metadata)
{
    const struct kaja_committed_offset one = {"t", 0, -1, offset, metadata};
    struct kaja_consumer *consumer = in_group(group);
    assert_ok(kaja_consumer_commit(consumer, &one, 1, 1000));
    assert_ok(kaja_consumer_close(consumer, 0));
}

static int64_t committed(const char *group)
{
    struct kaja_offset_list *list = NULL;
    assert_ok(kaja_admin_group_offsets(store, group, &list));
    int64_t offset = list->count == 1 ? list->offsets[0].offset : KAJA_OFFSET_NONE;
    kaja_offset_list_free(list);
    return offset;
}

/* --- commits of those who are not in the group --- */

static int last_error;

static void note(void *arg, int error)
{
    (void)arg;
    last_error = error;
}

static void not_a_member(void **state)
{
    (void)state;
    const struct kaja_committed_offset one = {"t", 0, -1, 7, NULL};
    struct kaja_consumer *stranger = in_group("g"), *member = in_group("g");
    assert_ok(kaja_consumer_commit(stranger, &one, 1, 1000)); /* the group has no members yet */
    assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
    while (kaja_consumer_assignment(member, NULL, 0) != 2)
        (void)poll_count(member, 10);
    assert_err(kaja_consumer_commit(stranger, &one, 1, 1000), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_true(detail_has("g"));
    last_error = 0;
    assert_ok(kaja_consumer_commit_async(stranger, &one, 1, note, NULL));
    assert_ok(kaja_consumer_close(stranger, 0)); /* serves it */
    assert_int_equal(last_error, KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_err(kaja_admin_alter_group_offsets(store, "g", &one, 1), KAJA_ERR_NON_EMPTY_GROUP);
    assert_err(kaja_admin_delete_group(store, "g"), KAJA_ERR_NON_EMPTY_GROUP);
    assert_int_equal(committed("g"), 7);
    assert_ok(kaja_consumer_commit(member, &one, 1, 1000));
    assert_ok(kaja_consumer_unsubscribe(member));
    assert_ok(kaja_consumer_commit(member, &one, 1, 1000)); /* nobody is in it any more */
    assert_ok(kaja_consumer_close(member, 0));
}

/* Offsets of a group with members go only where nobody reads, and then all or none. */
static void forgetting_what_is_read(void **state)
{
    (void)state;
    const struct kaja_committed_offset both[] = {{"t", 0, -1, 7, NULL}, {"old", 0, -1, 5, NULL}};
    const struct kaja_topic_partition places[] = {{"old", 0, 0}, {"t", 0, 0}};
    struct kaja_consumer *member = in_group("g");
    assert_ok(kaja_admin_create_topic(store, "old", 1, NULL));
    assert_ok(kaja_admin_alter_group_offsets(store, "g", both, 2));
    assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
    while (kaja_consumer_assignment(member, NULL, 0) != 2)
        (void)poll_count(member, 10);
    assert_err(kaja_admin_delete_group_offsets(store, "g", places, 2),
               KAJA_ERR_GROUP_SUBSCRIBED_TO_TOPIC);
    assert_true(detail_has("topic t"));
    assert_int_equal(committed("g"), KAJA_OFFSET_NONE); /* there are two still */
    assert_ok(kaja_admin_delete_group_offsets(store, "g", places, 1));
    assert_int_equal(committed("g"), 7);
    assert_ok(kaja_consumer_close(member, 1000));
    assert_ok(kaja_admin_delete_group_offsets(store, "g", places, 2));
    assert_int_equal(committed("g"), KAJA_OFFSET_NONE);
}

/* --- positions that are not there --- */

static void out_of_range(void **state)
{
    (void)state;
    static const char *const resets[] = {"earliest", "latest", "none", "by_duration:PT1H"};
    static const size_t wanted[] = {3, 0, 0, 3};
    const struct kaja_topic_partition partition = {"t", 0, 0};
    struct kaja_batch *batch = NULL;
    send_records(store, "t", 0, 3, 10, false, NULL);
    commit("g", 1000, NULL); /* any offset can be committed */
    for (int i = 0; i < 4; i++) {
        struct kaja_consumer *consumer = open_consumer(conf_of(
            "group.id", "g", "auto.offset.reset", resets[i], "enable.auto.commit", "false", NULL));
        assert_ok(kaja_consumer_assign(consumer, &partition, 1));
        if (i == 2) {
            assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_OFFSET_OUT_OF_RANGE);
            assert_true(detail_has("1000"));
            assert_ok(kaja_consumer_seek(consumer, "t", 0, 2)); /* that mends it */
            assert_int_equal(poll_count(consumer, 0), 1);
        } else {
            assert_int_equal(poll_count(consumer, 0), wanted[i]);
        }
        assert_ok(kaja_consumer_close(consumer, 0));
    }
    struct kaja_consumer *consumer = open_consumer(
        conf_of("group.id", "new", "auto.offset.reset", "none", NULL));
    assert_ok(kaja_consumer_assign(consumer, &partition, 1));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_NO_OFFSET);
    assert_ok(kaja_consumer_close(consumer, 0));
}

/* --- calls from inside a callback --- */

struct inside {
    struct kaja_consumer *consumer;
    int errors[5];
    bool said;
};

static void use_the_consumer(void *arg, int error)
{
    struct inside *inside = arg;
    struct kaja_batch *batch = NULL;
    int64_t offset;
    (void)error;
    inside->errors[0] = kaja_consumer_poll(inside->consumer, 0, &batch);
    inside->said = detail_has("callback");
    inside->errors[1] = kaja_consumer_position(inside->consumer, "t", 0, &offset);
    inside->errors[2] = kaja_consumer_commit(inside->consumer, NULL, 0, 0);
    inside->errors[3] = kaja_consumer_unsubscribe(inside->consumer);
    inside->errors[4] = kaja_consumer_close(inside->consumer, 0);
}

static void inside_a_callback(void **state)
{
    (void)state;
    const struct kaja_topic_partition partition = {"t", 0, 0};
    struct inside inside = {.consumer = in_group("g")};
    assert_ok(kaja_consumer_assign(inside.consumer, &partition, 1));
    (void)poll_count(inside.consumer, 0);
    assert_ok(kaja_consumer_commit_async(inside.consumer, NULL, 0, use_the_consumer, &inside));
    assert_ok(kaja_consumer_commit(inside.consumer, NULL, 0, 10000)); /* serves it first */
    for (int i = 0; i < 5; i++)
        assert_int_equal(inside.errors[i], KAJA_ERR_STATE);
    assert_true(inside.said);
    assert_ok(kaja_consumer_close(inside.consumer, 0));
}

/* --- a topic that goes while it is used --- */

static void deleted_in_use(void **state)
{
    (void)state;
    struct kaja_store *other = open_store(NULL);
    struct kaja_producer *producer = NULL;
    struct kaja_metadata metadata;
    struct kaja_record record = KAJA_RECORD_INIT;
    struct kaja_conf *conf = conf_of("auto.create.topics.enable", "false", NULL);
    struct kaja_consumer *member = in_group("g");
    assert_ok(kaja_admin_alter_configs(store, NULL, conf, NULL, 0));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
    while (kaja_consumer_assignment(member, NULL, 0) != 2)
        (void)poll_count(member, 10);
    assert_ok(kaja_producer_open(store, NULL, &producer));
    record.topic = "t";
    record.partition = 0;
    assert_ok(kaja_producer_send(producer, &record, 20000, &metadata));
    assert_ok(kaja_consumer_commit(member, NULL, 0, 10000));
    assert_ok(kaja_admin_delete_topic(other, "t"));
    int err = kaja_producer_send(producer, &record, 20000, &metadata);
    if (err != KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION && err != KAJA_ERR_UNKNOWN_TOPIC_ID)
        fail_msg("a record to a deleted topic: %s", kaja_error_name(err));
    for (int i = 0; kaja_consumer_assignment(member, NULL, 0) != 0; i++) {
        assert_true(i < 1000);
        (void)poll_count(member, 20); /* for a group it is a rebalance, and no error */
    }
    const struct kaja_committed_offset one = {"t", 0, -1, 1, NULL};
    assert_err(kaja_consumer_commit(member, &one, 1, 1000), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_consumer_close(member, 0));
    assert_ok(kaja_producer_close(producer, 20000));
    assert_ok(kaja_store_close(other));
}

/* --- names --- */

static void odd_names(void **state)
{
    (void)state;
    char longest[32768];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *const names[] = {"a b", "../up", "a/b", "line\nbreak", "tab\there", "\"quoted\", with",
                                 "k\xc3\xa4ja \xf0\x9f\x90\xa6", "%s%n", "__consumer_offsets",
                                 longest};
    enum { NAMES = sizeof names / sizeof *names };
    for (int i = 0; i < NAMES; i++)
        commit(names[i], i, i % 2 == 0 ? names[i < NAMES - 1 ? i : 0] : NULL);
    assert_ok(kaja_store_close(store));
    store = open_store(NULL);
    struct kaja_group_list *groups = NULL;
    struct kaja_offset_list *offsets = NULL;
    assert_ok(kaja_admin_groups(store, &groups));
    assert_int_equal(groups->count, NAMES);
    kaja_group_list_free(groups);
    for (int i = 0; i < NAMES; i++) {
        assert_int_equal(committed(names[i]), i);
        assert_ok(kaja_admin_group_offsets(store, names[i], &offsets));
        assert_string_equal(offsets->offsets[0].metadata,
                            i % 2 == 0 ? names[i < NAMES - 1 ? i : 0] : "");
        kaja_offset_list_free(offsets);
    }
    /* A member with each of them, too: what lives is kept elsewhere. */
    for (int i = 0; i < NAMES; i++) {
        struct kaja_group_member_list *members = NULL;
        struct kaja_consumer *member = in_group(names[i]);
        assert_ok(kaja_consumer_subscribe(member, topics, 1, NULL));
        while (kaja_consumer_assignment(member, NULL, 0) != 2)
            (void)poll_count(member, 10);
        assert_ok(kaja_admin_group_members(store, names[i], &members));
        assert_string_equal(members->group.group_id, names[i]);
        assert_int_equal(members->count, 1);
        kaja_group_member_list_free(members);
        assert_ok(kaja_consumer_close(member, 0));
    }
}

static void beyond_limits(void **state)
{
    (void)state;
    static char text[32769];
    struct kaja_consumer *consumer = NULL;
    memset(text, 'x', sizeof text - 1);
    const struct {
        const char *property;
        size_t bytes;
        int error;
    } limits[] = {{"group.id", 32768, KAJA_ERR_INVALID_CONFIG},
                  {"client.id", 32768, KAJA_ERR_INVALID_CONFIG},
                  {"group.instance.id", 300, KAJA_ERR_INVALID_ARG}};
    for (int i = 0; i < 3; i++) {
        struct kaja_conf *conf = conf_of("group.id", "g", NULL);
        text[limits[i].bytes] = '\0';
        int err = kaja_conf_set(conf, limits[i].property, text);
        if (err == 0)
            err = kaja_consumer_open(store, conf, &consumer);
        assert_int_equal(err, limits[i].error);
        assert_true(detail_has(limits[i].property));
        text[limits[i].bytes] = 'x';
        kaja_conf_free(conf);
    }
    assert_null(consumer);
    consumer = in_group("g");
    text[250] = '\0'; /* a topic's name has at most 249 */
    const char *const names[] = {text};
    const struct kaja_topic_partition partition = {text, 0, 0};
    const struct kaja_committed_offset offsets[] = {
        {text, 0, -1, 1, NULL}, {"t", -1, -1, 1, NULL}, {"t", INT32_MAX, -1, 1, NULL},
        {"t", 0, -2, 1, NULL},  {"t", 0, -1, -1, NULL}, {"t", 0, -1, INT64_MIN, NULL}};
    static const int errors[] = {KAJA_ERR_INVALID_TOPIC_EXCEPTION, KAJA_ERR_INVALID_ARG,
                                 KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION, KAJA_ERR_INVALID_ARG,
                                 KAJA_ERR_INVALID_ARG, KAJA_ERR_INVALID_ARG};
    assert_err(kaja_consumer_subscribe(consumer, names, 1, NULL), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_err(kaja_consumer_assign(consumer, &partition, 1), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    for (int i = 0; i < 6; i++) {
        assert_err(kaja_consumer_commit(consumer, &offsets[i], 1, 0), errors[i]);
        assert_err(kaja_consumer_commit_async(consumer, &offsets[i], 1, NULL, NULL), errors[i]);
        assert_err(kaja_admin_alter_group_offsets(store, "g", &offsets[i], 1), errors[i]);
    }
    assert_int_equal(committed("g"), KAJA_OFFSET_NONE);
    assert_ok(kaja_consumer_close(consumer, 0));
}

/* --- __consumer_offsets damaged --- */

static const char offsets_log[] = "__consumer_offsets-0/00000000000000000000.log";

static off_t log_bytes(void)
{
    char path[200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", test_dir, offsets_log);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void flip(off_t pos)
{
    char path[200], byte;
    (void)snprintf(path, sizeof path, "%s/%s", test_dir, offsets_log);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, pos), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, pos), 1);
    close(fd);
}

static void note_finding(void *arg, const struct kaja_finding *finding)
{
    if ((finding->kind == KAJA_FINDING_DAMAGE || strstr(finding->file, ".damaged-") != NULL) &&
        strstr(finding->file, "__consumer_offsets-0/") != NULL)
        ++*(int *)arg;
}

static void note_event(void *arg, const struct kaja_event *event)
{
    if (event->kind == KAJA_EVENT_DAMAGE && strcmp(event->topic, "__consumer_offsets") == 0)
        ++*(int *)arg;
}

/* Sizes are exact once it is closed, so each commit is a batch that ends where the file did. */
static off_t commit_and_close(const char *group, int64_t offset)
{
    commit(group, offset, NULL);
    assert_ok(kaja_store_close(store));
    off_t end = log_bytes();
    store = open_store(NULL);
    return end;
}

static void damaged_offsets(void **state)
{
    (void)state;
    int findings = 0, events = 0;
    struct kaja_verify_result result;
    (void)commit_and_close("before", 1);
    off_t from = log_bytes();
    off_t to = commit_and_close("hit", 2);
    assert_true(to > from);
    (void)commit_and_close("behind", 3);
    assert_ok(kaja_store_close(store));
    flip(to - 3);
    assert_ok(kaja_verify(test_dir, NULL, note_finding, &findings, &result));
    assert_int_equal(findings, 1);
    assert_true(result.damage >= 1);
    store = open_store(NULL);
    kaja_store_on_event(store, note_event, &events);
    assert_int_equal(committed("before"), 1);
    assert_int_equal(committed("hit"), KAJA_OFFSET_NONE);
    assert_int_equal(committed("behind"), 3);
    commit("hit", 5, NULL); /* it goes on */
    commit("before", 6, NULL);
    struct kaja_consumer *consumer = in_group("behind"); /* its poll tells of it */
    const struct kaja_topic_partition partition = {"t", 0, 0};
    assert_ok(kaja_consumer_assign(consumer, &partition, 1));
    (void)poll_count(consumer, 0);
    assert_ok(kaja_consumer_close(consumer, 0));
    assert_true(events >= 1);
    assert_int_equal(committed("hit"), 5);
    assert_int_equal(committed("before"), 6);
    assert_int_equal(committed("behind"), 3);
    findings = 0;
    assert_ok(kaja_store_close(store));
    assert_ok(kaja_verify(test_dir, NULL, note_finding, &findings, &result));
    /* Nobody threw anything away: its bytes are aside, and the gap is told unless a compaction has
     * been there meanwhile. */
    assert_in_range(findings, 1, 2);
    store = open_store(NULL);
}

#define test_scene(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_scene(not_a_member),   test_scene(forgetting_what_is_read),
        test_scene(out_of_range),   test_scene(inside_a_callback),
        test_scene(deleted_in_use), test_scene(odd_names),    test_scene(beyond_limits),
        test_scene(damaged_offsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
