/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Stores, topics and their properties through the public face.
 */
#include "api_test.h"

#include <signal.h>
#include <sys/wait.h>

/* --- opening and closing --- */

static void test_open(void **state)
{
    (void)state;
    struct kaja_store *store = NULL;
    struct kaja_conf *conf = conf_of("kaja.create", "false", NULL);
    assert_err(kaja_store_open("no/such/directory", conf, &store), KAJA_ERR_NO_DIRECTORY);
    kaja_conf_free(conf);
    conf = conf_of("kaja.read.only", "true", NULL);
    assert_err(kaja_store_open("no-such-directory", conf, &store), KAJA_ERR_NO_DIRECTORY);
    kaja_conf_free(conf);
    assert_err(kaja_store_open(NULL, NULL, &store), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_store_open("", NULL, &store), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_store_open(test_dir, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_store_open(test_dir, (const struct kaja_conf *)(const void *)test_dir, &store),
               KAJA_ERR_INVALID_ARG);
    assert_null(store);

    store = open_store(NULL);
    struct kaja_store *second = open_store(NULL); /* another handle of the same process */
    assert_ok(kaja_admin_create_topic(store, "seen.by.both", 1, NULL));
    struct kaja_topic_list *list = NULL;
    assert_ok(kaja_admin_topics(second, &list));
    assert_int_equal(list->count, 1);
    kaja_topic_list_free(list);
    assert_ok(kaja_store_close(second));

    struct kaja_producer *producer = NULL;
    assert_ok(kaja_producer_open(store, NULL, &producer));
    assert_err(kaja_store_close(store), KAJA_ERR_STATE);
    assert_ok(kaja_producer_close(producer, 1000));
    assert_ok(kaja_store_close(store));
    assert_ok(kaja_store_close(NULL));
}

static void test_misuse(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_topic_list *list = NULL;
    struct kaja_config_list *configs = NULL;
    struct kaja_partition_info info;
    int64_t offset, timestamp;
    struct kaja_store *wrong = (struct kaja_store *)(void *)&info;
    memset(&info, 0, sizeof info);
    assert_err(kaja_admin_topics(NULL, &list), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_topics(wrong, &list), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_topics(store, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_topic(store, NULL, &list), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_create_topic(store, NULL, 1, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_delete_topic(store, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_configs(store, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_configs(store, "none", &configs), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_admin_alter_configs(store, NULL, NULL, NULL, 1), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_partition(store, "none", 0, &info), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_admin_partition(store, "none", 0, NULL), KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_admin_create_topic(store, "t", 2, NULL));
    assert_err(kaja_admin_partition(store, "t", 2, &info), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_admin_partition(store, "t", -1, &info), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_admin_offset_for_time(store, "t", 0, -4, 0, &offset, &timestamp),
               KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_offset_for_time(store, "t", 0, 0, 2, &offset, &timestamp),
               KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_flush(store, "none"), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(kaja_metrics(NULL, NULL, 0), 0);
    assert_string_equal(kaja_store_backend(NULL), "");
    assert_true(kaja_store_next_deadline_ns(NULL) == INT64_MAX);
    assert_err(kaja_store_step(NULL), KAJA_ERR_INVALID_ARG);
    kaja_topic_list_free(NULL);
    kaja_config_list_free(NULL);
    assert_ok(kaja_store_close(store));
}

static void test_fork(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, NULL));
    pid_t child = fork();
    if (child == 0) {
        struct kaja_topic_list *list = NULL;
        struct kaja_metric metric;
        int bad = kaja_admin_topics(store, &list) != KAJA_ERR_FORKED;
        bad |= kaja_admin_create_topic(store, "u", 1, NULL) != KAJA_ERR_FORKED;
        bad |= kaja_store_step(store) != KAJA_ERR_FORKED;
        bad |= kaja_metrics(store, &metric, 1) != 0;
        (void)kaja_store_close(store); /* frees it; changes nothing on disk */
        leave_child(bad);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(kaja_admin_create_topic(store, "v", 1, NULL)); /* our locks are still ours */
    assert_ok(kaja_store_close(store));
}

/* --- topics --- */

static void test_topics(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "b", 3, NULL));
    assert_ok(kaja_admin_create_topic(store, "a", -1, NULL));
    assert_err(kaja_admin_create_topic(store, "a", 1, NULL), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_err(kaja_admin_create_topic(store, "c", 0, NULL), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kaja_admin_create_topic(store, "c", -2, NULL), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kaja_admin_create_topic(store, "c d", 1, NULL), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_err(kaja_admin_create_topic(store, "..", 1, NULL), KAJA_ERR_INVALID_TOPIC_EXCEPTION);

    struct kaja_topic_list *list = NULL;
    assert_ok(kaja_admin_topics(store, &list));
    assert_int_equal(list->count, 2);
    assert_string_equal(list->topics[0].name, "a");
    assert_int_equal(list->topics[0].partition_count, 1);
    assert_int_equal(list->topics[0].internal, 0);
    assert_int_equal(list->topics[0].adopted, 0);
    assert_int_equal(strlen(list->topics[0].id), 22);
    assert_string_equal(list->topics[1].name, "b");
    assert_int_equal(list->topics[1].partition_count, 3);
    assert_string_not_equal(list->topics[0].id, list->topics[1].id);
    kaja_topic_list_free(list);

    assert_ok(kaja_admin_add_partitions(store, "b", 5));
    assert_err(kaja_admin_add_partitions(store, "b", 5), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kaja_admin_add_partitions(store, "x", 5), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_admin_topic(store, "b", &list));
    assert_int_equal(list->count, 1);
    assert_int_equal(list->topics[0].partition_count, 5);
    kaja_topic_list_free(list);

    assert_ok(kaja_admin_delete_topic(store, "b"));
    assert_err(kaja_admin_delete_topic(store, "b"), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_admin_topic(store, "b", &list), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_admin_create_topic(store, "b", 1, NULL));
    assert_ok(kaja_store_close(store));

    store = open_store(conf_of("kaja.read.only", "true", NULL));
    assert_ok(kaja_admin_topics(store, &list));
    assert_int_equal(list->count, 2);
    kaja_topic_list_free(list);
    assert_err(kaja_admin_create_topic(store, "r", 1, NULL), KAJA_ERR_READ_ONLY);
    assert_err(kaja_admin_delete_topic(store, "a"), KAJA_ERR_READ_ONLY);
    assert_ok(kaja_store_close(store));
}

/* --- properties --- */

static const struct kaja_config_entry *entry(const struct kaja_config_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            assert_true(strcmp(list->entries[i - 1].name, list->entries[i].name) < 0);
        if (strcmp(list->entries[i].name, name) == 0)
            return &list->entries[i];
    }
    fail_msg("no entry %s", name);
    return NULL;
}

static void expect_config(struct kaja_store *store, const char *topic, const char *name,
                          const char *value, enum kaja_config_source source)
{
    struct kaja_config_list *list = NULL;
    assert_ok(kaja_admin_configs(store, topic, &list));
    const struct kaja_config_entry *e = entry(list, name);
    assert_string_equal(e->value, value);
    assert_int_equal(e->source, source);
    kaja_config_list_free(list);
}

static void test_configs(void **state)
{
    (void)state;
    struct kaja_store *store =
        open_store(conf_of("num.partitions", "2", "log.retention.hours", "1", NULL));
    struct kaja_conf *conf =
        conf_of("segment.bytes", " 1000000 ", "cleanup.policy", "", "min.insync.replicas", "1",
                "linger.ms", "3", "compression.type", "lz4", NULL);
    assert_ok(kaja_admin_create_topic(store, "t", -1, conf));
    kaja_conf_free(conf);
    struct kaja_topic_list *topics = NULL;
    assert_ok(kaja_admin_topic(store, "t", &topics));
    assert_int_equal(topics->topics[0].partition_count, 2);
    kaja_topic_list_free(topics);

    struct kaja_config_list *list = NULL;
    assert_ok(kaja_admin_configs(store, "t", &list));
    const struct kaja_config_entry *e = entry(list, "segment.bytes");
    assert_string_equal(e->value, "1000000");
    assert_string_equal(e->topic_value, "1000000");
    assert_null(e->store_value);
    assert_string_equal(e->default_value, "67108864");
    assert_string_equal(e->broker_name, "log.segment.bytes");
    e = entry(list, "retention.ms");
    assert_string_equal(e->value, "3600000"); /* an hour of the directory's */
    assert_int_equal(e->source, KAJA_CONFIG_STORE);
    assert_null(e->topic_value);
    assert_string_equal(e->default_value, "604800000");
    kaja_config_list_free(list);
    expect_config(store, "t", "cleanup.policy", "", KAJA_CONFIG_TOPIC);
    expect_config(store, "t", "compression.type", "lz4", KAJA_CONFIG_TOPIC);
    expect_config(store, "t", "min.insync.replicas", "1", KAJA_CONFIG_TOPIC);
    expect_config(store, "t", "max.message.bytes", "1048588", KAJA_CONFIG_DEFAULT);
    /* 1000000 / 4096 entries of 12 bytes and two more, in whole pages */
    expect_config(store, "t", "segment.index.bytes", "4096", KAJA_CONFIG_DEFAULT);

    /* set and remove, together or not at all */
    static const char *const gone[] = {"segment.bytes"};
    static const char *const unknown[] = {"segment.byte"}, *const foreign[] = {"acks"};
    conf = conf_of("retention.ms", "5", NULL);
    assert_err(kaja_admin_alter_configs(store, "t", conf, unknown, 1), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has("did you mean"));
    assert_err(kaja_admin_alter_configs(store, "t", conf, foreign, 1), KAJA_ERR_INVALID_CONFIG);
    expect_config(store, "t", "retention.ms", "3600000", KAJA_CONFIG_STORE);
    assert_ok(kaja_admin_alter_configs(store, "t", conf, gone, 1));
    kaja_conf_free(conf);
    expect_config(store, "t", "retention.ms", "5", KAJA_CONFIG_TOPIC);
    expect_config(store, "t", "segment.bytes", "67108864", KAJA_CONFIG_DEFAULT);
    conf = conf_of("acks", "1", NULL);
    assert_err(kaja_admin_alter_configs(store, "t", conf, NULL, 0), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has("acks is no property of a topic"));
    kaja_conf_free(conf);
    conf = conf_of("retention.ms", "6", NULL);
    assert_err(kaja_admin_alter_configs(store, "x", conf, NULL, 0),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    kaja_conf_free(conf);
    assert_ok(kaja_store_close(store));

    /* what was set is there after the last close */
    store = open_store(NULL);
    expect_config(store, "t", "retention.ms", "5", KAJA_CONFIG_TOPIC);
    expect_config(store, "t", "cleanup.policy", "", KAJA_CONFIG_TOPIC);
    expect_config(store, NULL, "num.partitions", "2", KAJA_CONFIG_STORE);
    assert_ok(kaja_store_close(store));
}

static void test_directory_configs(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("segment.bytes", "5000", "acks", "1", NULL));
    assert_ok(kaja_admin_create_topic(store, "t", 1, NULL));
    expect_config(store, NULL, "log.segment.bytes", "5000", KAJA_CONFIG_STORE);
    expect_config(store, NULL, "log.retention.ms", "604800000", KAJA_CONFIG_DEFAULT);
    expect_config(store, "t", "segment.bytes", "5000", KAJA_CONFIG_STORE);

    static const char *const gone[] = {"segment.bytes"}; /* its synonym is meant */
    struct kaja_conf *conf = conf_of("log.roll.hours", "3", "compression.type", SOME_TOPIC_CODEC, NULL);
    assert_ok(kaja_admin_alter_configs(store, NULL, conf, gone, 1));
    kaja_conf_free(conf);
    expect_config(store, "t", "segment.bytes", "67108864", KAJA_CONFIG_DEFAULT);
    expect_config(store, "t", "segment.ms", "10800000", KAJA_CONFIG_STORE);
    expect_config(store, "t", "compression.type", SOME_TOPIC_CODEC, KAJA_CONFIG_STORE);

    /* automatic creation follows what the directory says now */
    conf = conf_of("num.partitions", "4", NULL);
    assert_ok(kaja_admin_alter_configs(store, NULL, conf, NULL, 0));
    kaja_conf_free(conf);
    send_records(store, "made", KAJA_PARTITION_ANY, 1, 3, true, NULL);
    struct kaja_topic_list *topics = NULL;
    assert_ok(kaja_admin_topic(store, "made", &topics));
    assert_int_equal(topics->topics[0].partition_count, 4);
    kaja_topic_list_free(topics);
    conf = conf_of("auto.create.topics.enable", "false", NULL);
    assert_ok(kaja_admin_alter_configs(store, NULL, conf, NULL, 0));
    kaja_conf_free(conf);
    struct kaja_producer *producer = NULL;
    struct kaja_record record = KAJA_RECORD_INIT;
    struct kaja_metadata metadata;
    record.topic = "not.made";
    assert_ok(kaja_producer_open(store, NULL, &producer));
    assert_err(kaja_producer_send(producer, &record, 1000, &metadata),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_producer_close(producer, 0));
    assert_ok(kaja_store_close(store));

    store = open_store(NULL); /* says nothing: the directory's count */
    expect_config(store, NULL, "num.partitions", "4", KAJA_CONFIG_STORE);
    assert_ok(kaja_store_close(store));
}

static void test_conflict(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("log.retention.ms", "1000", NULL)), *other = NULL;
    struct kaja_conf *conf = conf_of("log.retention.ms", "2000", NULL);
    assert_err(kaja_store_open(test_dir, conf, &other), KAJA_ERR_CONFLICT);
    assert_true(detail_has("log.retention.ms") && detail_has("1000") && detail_has("2000"));
    kaja_conf_free(conf);
    other = open_store(conf_of("retention.ms", " +1000", NULL)); /* the same, said otherwise */
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_store_close(store));
    conf = conf_of("retention.ms", "3000", NULL); /* nobody is there: the directory still says so */
    assert_err(kaja_store_open(test_dir, conf, &other), KAJA_ERR_CONFLICT);
    assert_true(detail_has("3000"));
    kaja_conf_free(conf);
    /* What was never set has its default: saying so is no contradiction. */
    store = open_store(conf_of("num.partitions", "1", "cleanup.policy", "delete", NULL));
    assert_ok(kaja_store_close(store));
    conf = conf_of("num.partitions", "2", NULL);
    assert_err(kaja_store_open(test_dir, conf, &other), KAJA_ERR_CONFLICT);
    assert_true(detail_has("num.partitions=2") && detail_has("which has 1"));
    kaja_conf_free(conf);
    store = open_store(conf_of("compression.type", "zstd", NULL)); /* the producer's */
    assert_ok(kaja_store_close(store));
    store = open_store(conf_of("compression.type", "none", NULL));
    assert_ok(kaja_store_close(store));
}

/* --- partitions --- */

static void test_partition(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_partition_info info;
    struct kaja_conf *conf = conf_of("retention.ms", "-1", NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, conf));
    kaja_conf_free(conf);
    send_timestamp = 1000;
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 0);
    assert_int_equal(info.bytes, 0);
    assert_int_equal(info.segment_count, 1);
    assert_int_equal(info.poisoned, 0);
    send_records(store, "t", 0, 5, 10, true, conf_of("acks", "1", NULL));
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 5);
    assert_int_equal(info.high_watermark, 5);
    assert_int_equal(info.last_stable_offset, 5);
    assert_int_equal(info.log_start_offset, 0);
    assert_true(info.bytes > 5 * 61);
    assert_ok(kaja_admin_flush(store, NULL));
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.durable_offset, 5);
    assert_ok(kaja_admin_flush(store, "t"));

    /* timestamps are 1000 .. 1004 */
    int64_t offset = -5, timestamp = -5;
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, 1002, 0, &offset, &timestamp));
    assert_int_equal(offset, 2);
    assert_int_equal(timestamp, 1002);
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, 0, 1, &offset, &timestamp));
    assert_int_equal(offset, 0);
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, 2000, 0, &offset, &timestamp));
    assert_int_equal(offset, KAJA_OFFSET_NONE);
    assert_int_equal(timestamp, -1);
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, KAJA_OFFSET_LATEST, 0, &offset,
                                         &timestamp));
    assert_int_equal(offset, 5);
    assert_int_equal(timestamp, -1);
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, KAJA_OFFSET_MAX_TIMESTAMP, 0, &offset,
                                         &timestamp));
    assert_int_equal(offset, 4);
    assert_int_equal(timestamp, 1004);

    assert_err(kaja_admin_delete_records(store, "t", 0, 6, &offset), KAJA_ERR_OFFSET_OUT_OF_RANGE);
    assert_ok(kaja_admin_delete_records(store, "t", 0, 3, &offset));
    assert_int_equal(offset, 3);
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.log_start_offset, 3);
    assert_ok(kaja_admin_offset_for_time(store, "t", 0, KAJA_OFFSET_EARLIEST, 0, &offset,
                                         &timestamp));
    assert_int_equal(offset, 3);
    assert_ok(kaja_admin_delete_records(store, "t", 0, -1, NULL));
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.log_start_offset, 5);
    assert_ok(kaja_store_close(store));
    send_timestamp = KAJA_TIMESTAMP_NOW;
}

/* --- numbers and events --- */

static uint64_t metric(struct kaja_store *store, const char *name)
{
    struct kaja_metric metrics[64];
    size_t count = kaja_metrics(store, metrics, 64);
    assert_true(count > 10 && count <= 64);
    for (size_t i = 0; i < count; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return metrics[i].value;
    fail_msg("no metric %s", name);
    return 0;
}

static void test_metrics(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.io.backend", "posix", NULL));
    assert_string_equal(kaja_store_backend(store), "posix");
    assert_int_equal(metric(store, "append.batches"), 0);
    send_records(store, "t", 0, 3, 10, true, NULL);
    assert_int_equal(metric(store, "append.batches"), 3);
    assert_int_equal(metric(store, "produce.records"), 3);
    assert_true(metric(store, "append.bytes") > 3 * 61);
    assert_true(metric(store, "flush.calls") >= 1);
    assert_int_equal(metric(store, "live.handles"), 1);
    struct kaja_metric one[2] = {{.name = NULL}};
    assert_true(kaja_metrics(store, one, 1) > 1); /* no more than fits is written */
    assert_null(one[1].name);
    assert_ok(kaja_store_close(store));
}

struct heard {
    int recovered, others;
    char topic[32];
};

static void hear(void *arg, const struct kaja_event *event)
{
    struct heard *heard = arg;
    assert_non_null(event->text);
    if (event->kind == KAJA_EVENT_RECOVERED && event->topic != NULL) {
        heard->recovered++;
        (void)snprintf(heard->topic, sizeof heard->topic, "%s", event->topic);
        assert_int_equal(event->partition, 0);
    } else {
        heard->others++;
        print_message("event %d: %s\n", (int)event->kind, event->text);
    }
}

/* A process that dies leaves a directory that is recovered, which is heard. */
static void test_events(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct kaja_store *store = open_store(NULL);
        send_records(store, "t", 0, 3, 10, false, conf_of("acks", "1", NULL));
        (void)kill(getpid(), SIGKILL);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct kaja_store *store = open_store(NULL);
    struct heard heard = {0};
    kaja_store_on_event(store, hear, &heard);
    assert_ok(kaja_store_step(store));
    assert_int_equal(heard.recovered, 1);
    assert_int_equal(heard.others, 0);
    assert_string_equal(heard.topic, "t");
    struct kaja_partition_info info;
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 3); /* kill -9 takes nothing */
    assert_int_equal(info.durable_offset, 3);
    kaja_store_on_event(store, NULL, NULL);
    assert_ok(kaja_store_close(store));
}

/* Without a thread everything is done by calls. */
static void test_no_thread(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.background.threads", "0", NULL));
    send_records(store, "t", 0, 20, 100, false, NULL);
    send_records(store, "t", 0, 2, 100, true, NULL);
    for (int i = 0; i < 5; i++)
        assert_ok(kaja_store_step(store));
    assert_true(kaja_store_next_deadline_ns(store) > 0);
    struct kaja_partition_info info;
    assert_ok(kaja_admin_partition(store, "t", 0, &info));
    assert_int_equal(info.end_offset, 22);
    assert_int_equal(info.durable_offset, 22);
    assert_ok(kaja_store_close(store));
}

/* Of the store handle, and of a consumer that says otherwise. */
static void test_memory_limit(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.memory.max", "1048576", NULL));
    send_records(store, "t", 0, 80, 50000, false, conf_of("acks", "1", NULL));
    for (int own = 0; own < 2; own++) {
        struct kaja_conf *conf = conf_of("auto.offset.reset", "earliest", "max.poll.records", "20",
                                         NULL);
        struct kaja_consumer *consumer = NULL;
        struct kaja_batch *batches[4];
        const struct kaja_topic_partition t = {"t", 0, 0};
        if (own)
            assert_ok(kaja_conf_set(conf, "kaja.memory.max", "1000000000"));
        assert_ok(kaja_consumer_open(store, conf, &consumer));
        kaja_conf_free(conf);
        assert_ok(kaja_consumer_assign(consumer, &t, 1));
        int err = 0, held = 0;
        for (; held < 4; held++)
            if ((err = kaja_consumer_poll(consumer, 1000, &batches[held])) != 0)
                break;
        assert_int_equal(err, own ? 0 : KAJA_ERR_MEMORY_LIMIT);
        while (held > 0)
            kaja_batch_release(batches[--held]);
        assert_ok(kaja_consumer_close(consumer, 20000));
    }
    assert_ok(kaja_store_close(store));
}

/* A topic's own codec goes before the producer's. */
static int note_codec(void *arg, const struct kaja_batch_info *batch)
{
    const char **codec = arg;
    *codec = batch->codec;
    return 0;
}

static void test_topic_codec(void **state)
{
    (void)state;
    if (strcmp(SOME_CODEC, "none") == 0)
        skip();
    struct kaja_store *store = open_store(NULL);
    struct kaja_conf *conf = conf_of("compression.type", SOME_CODEC, NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, conf));
    kaja_conf_free(conf);
    send_records(store, "t", 0, 1, 500, true, conf_of("compression.type", "none", NULL));
    assert_ok(kaja_store_close(store));
    char path[128];
    const char *codec = NULL;
    int64_t trailing = -1;
    (void)snprintf(path, sizeof path, "%s/t-0/00000000000000000000.log", test_dir);
    assert_ok(kaja_dump_log(path, -1, note_codec, NULL, &codec, &trailing));
    assert_string_equal(codec, SOME_CODEC);
    assert_int_equal(trailing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_open),       test_in_dir(test_misuse),
        test_in_dir(test_fork),       test_in_dir(test_topics),
        test_in_dir(test_configs),    test_in_dir(test_directory_configs),
        test_in_dir(test_conflict),   test_in_dir(test_partition),
        test_in_dir(test_metrics),    test_in_dir(test_events),
        test_in_dir(test_no_thread),  test_in_dir(test_memory_limit),
        test_in_dir(test_topic_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
