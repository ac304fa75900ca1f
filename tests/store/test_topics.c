/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Topics: making, deleting, growing and altering them, seen by several handles.
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

static int note_names(void *arg, struct kj_topic *topic)
{
    char *names = arg;
    strcat(strcat(names, kj_topic_name(topic)), " ");
    return 0;
}

static void two_handles_see_the_same(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *a = open_store(dir->path), *b = open_store(dir->path);
    uint64_t before = kj_store_catalog_generation(b);
    assert_ok(kj_topic_create(a, "orders", 3, NULL, 0));
    assert_true(kj_store_catalog_generation(b) > before);
    struct kj_topic *topic = topic_of(b, "orders");
    assert_int_equal(kj_topic_partition_count(topic), 3);
    assert_string_equal(kj_topic_name(topic), "orders");
    assert_false(kj_topic_internal(topic));
    assert_false(kj_topic_adopted(topic));
    struct kj_partition *partition;
    assert_err(kj_topic_partition(topic, 3, &partition), KAJA_ERR_UNKNOWN_PARTITION);
    assert_err(kj_topic_partition(topic, -1, &partition), KAJA_ERR_UNKNOWN_PARTITION);
    /* Appended by one, read by the other. */
    partition = partition_of(topic, 1);
    int64_t offset = -1;
    assert_ok(append_text(partition, "x", false, &offset));
    assert_int_equal(offset, 0);
    struct kj_topic *topic_a = topic_of(a, "orders");
    struct kj_partition *partition_a = partition_of(topic_a, 1);
    assert_ok(append_text(partition_a, "y", false, &offset));
    assert_int_equal(offset, 1);
    assert_int_equal(count_records(partition), 2);
    /* More partitions. */
    assert_err(kj_topic_add_partitions(b, "orders", 3), KAJA_ERR_INVALID_PARTITIONS);
    assert_ok(kj_topic_add_partitions(b, "orders", 5));
    assert_int_equal(kj_topic_partition_count(topic_a), 5);
    assert_ok(append_text(partition_of(topic_a, 4), "z", false, &offset));
    assert_int_equal(count_records(partition_of(topic, 4)), 1);
    /* Another topic, sorted. */
    assert_ok(kj_topic_create(b, "a-topic", -1, NULL, 0));
    char names[256] = "";
    assert_ok(kj_store_topics(a, note_names, names));
    assert_string_equal(names, "a-topic orders ");
    /* Deleted by one: the other's objects find out. */
    assert_ok(kj_topic_delete(a, "orders"));
    assert_true(kj_topic_deleted(topic));
    assert_err(append_text(partition, "too late", false, &offset), KAJA_ERR_UNKNOWN_TOPIC_ID);
    struct kj_topic *gone;
    assert_err(kj_topic_find(b, "orders", false, &gone), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_false(exists(dir->path, "orders-0"));
    /* Made anew: begins at 0, with another id; old objects stay dead. */
    assert_ok(kj_topic_create(b, "orders", 3, NULL, 0));
    struct kj_topic *fresh = topic_of(a, "orders");
    assert_memory_not_equal(kj_topic_id(fresh), kj_topic_id(topic), 16);
    assert_ok(append_text(partition_of(fresh, 1), "new", false, &offset));
    assert_int_equal(offset, 0);
    assert_err(append_text(partition, "too late", false, &offset), KAJA_ERR_UNKNOWN_TOPIC_ID);
    kj_topic_release(fresh);
    kj_topic_release(topic);
    kj_topic_release(topic_a);
    assert_ok(kj_store_close(a));
    assert_false(is_clean(dir->path));
    assert_ok(kj_store_close(b));
    assert_true(is_clean(dir->path));
    /* All of it is there again. */
    a = open_store(dir->path);
    assert_int_equal(count_events(a, KAJA_EVENT_RECOVERED), 0);
    topic = topic_of(a, "orders");
    assert_int_equal(kj_topic_partition_count(topic), 3);
    assert_int_equal(count_records(partition_of(topic, 1)), 1);
    kj_topic_release(topic);
    assert_ok(kj_store_close(a));
}

static void names_are_checked(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a/b",
                                      "a b",
                                      "\xc3\xa9",
                                      "__consumer_offsets",
                                      "__transaction_state",
                                      "__share_group_state",
                                      "__cluster_metadata"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_err(kj_topic_create(store, bad[i], 1, NULL, 0), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    char name[251];
    memset(name, 'a', sizeof name);
    name[250] = '\0';
    assert_err(kj_topic_create(store, name, 1, NULL, 0), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    name[249] = '\0';
    assert_ok(kj_topic_create(store, name, 1, NULL, 0));
    assert_ok(kj_topic_delete(store, name));
    assert_ok(kj_topic_create(store, "a.b", 1, NULL, 0));
    assert_err(kj_topic_create(store, "a_b", 1, NULL, 0), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_non_null(strstr(kaja_error_detail(), "a.b"));
    assert_err(kj_topic_create(store, "a.b", 1, NULL, 0), KAJA_ERR_TOPIC_ALREADY_EXISTS);
    assert_err(kj_topic_create(store, "c", 0, NULL, 0), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kj_topic_create(store, "c", -2, NULL, 0), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kj_topic_create(store, "c", INT32_MAX, NULL, 0), KAJA_ERR_INVALID_PARTITIONS);
    assert_err(kj_topic_delete(store, "nobody"), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kj_topic_add_partitions(store, "nobody", 2), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kj_store_close(store));
}

static void found_topics_are_made_when_allowed(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    struct kj_topic *topic;
    options.num_partitions = 4;
    assert_ok(kj_store_open(&options, &store));
    assert_err(kj_topic_find(store, "x", false, &topic), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kj_topic_find(store, "x", true, &topic));
    assert_int_equal(kj_topic_partition_count(topic), 4);
    kj_topic_release(topic);
    assert_err(kj_topic_find(store, "__consumer_offsets", true, &topic),
               KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_ok(kj_store_close(store));
    options.auto_create = false;
    assert_ok(kj_store_open(&options, &store));
    assert_err(kj_topic_find(store, "y", true, &topic), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kj_store_close(store));
}

/* Rules of two properties: "retention.ms" and, of the directory, "log.retention.ms". */
static int rules_log_config(const struct kj_property *topic, size_t topic_count,
                            const struct kj_property *directory, size_t directory_count,
                            struct kj_log_config *ret_config)
{
    struct kj_log_config config;
    kj_log_config_defaults(&config);
    for (size_t i = 0; i < directory_count; i++)
        if (strcmp(directory[i].name, "log.retention.ms") == 0)
            config.retention_ms = atoll(directory[i].value);
    for (size_t i = 0; i < topic_count; i++) {
        if (strcmp(topic[i].name, "retention.ms") != 0)
            return kj_err(KAJA_ERR_INVALID_CONFIG, "unknown property %s", topic[i].name);
        config.retention_ms = atoll(topic[i].value);
    }
    *ret_config = config;
    return 0;
}

static int rules_directory_config(const struct kj_property *directory, size_t count,
                                  struct kj_store_options *options)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(directory[i].name, "num.partitions") == 0)
            options->num_partitions = atoi(directory[i].value);
    return 0;
}

static int64_t retention_of(struct kj_topic *topic)
{
    struct kj_log_config config;
    kj_topic_config(topic, &config);
    return config.retention_ms;
}

static void properties_belong_to_the_directory(void **state)
{
    const struct temp_dir *dir = *state;
    const struct kj_property told[] = {{"log.retention.ms", "1000"}, {"num.partitions", "2"}};
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *a, *b;
    options.rules = (struct kj_property_rules){.log_config = rules_log_config,
                                               .directory_config = rules_directory_config};
    options.directory = told;
    options.directory_count = 2;
    assert_ok(kj_store_open(&options, &a));
    assert_ok(kj_store_open(&options, &b)); /* the same: no contradiction */
    assert_ok(kj_store_close(b));
    options.directory_count = 0;
    assert_ok(kj_store_open(&options, &b));
    const struct kj_property other = {"log.retention.ms", "2000"};
    struct kj_store *c;
    options.directory = &other;
    options.directory_count = 1;
    assert_err(kj_store_open(&options, &c), KAJA_ERR_CONFLICT);
    assert_non_null(strstr(kaja_error_detail(), "2000"));
    assert_non_null(strstr(kaja_error_detail(), "1000"));

    const struct kj_property bad = {"no.such", "1"};
    assert_err(kj_topic_create(b, "t", 1, &bad, 1), KAJA_ERR_INVALID_CONFIG);
    assert_ok(kj_topic_create(b, "t", -1, NULL, 0));
    struct kj_topic *topic = topic_of(a, "t");
    assert_int_equal(kj_topic_partition_count(topic), 2); /* num.partitions of the directory */
    assert_int_equal(retention_of(topic), 1000);
    const struct kj_property set = {"retention.ms", "77"};
    assert_err(kj_topic_alter(b, "t", &bad, 1, NULL, 0), KAJA_ERR_INVALID_CONFIG);
    assert_ok(kj_topic_alter(b, "t", &set, 1, NULL, 0));
    assert_ok(kj_store_sync(a));
    assert_int_equal(retention_of(topic), 77);
    assert_ok(kj_topic_alter(b, NULL, &other, 1, NULL, 0));
    const char *remove[] = {"retention.ms"};
    assert_ok(kj_topic_alter(b, "t", NULL, 0, remove, 1));
    assert_ok(kj_store_sync(a));
    assert_int_equal(retention_of(topic), 2000);
    struct kj_property *properties;
    size_t count;
    assert_ok(kj_topic_properties(a, NULL, &properties, &count));
    assert_int_equal(count, 2);
    assert_string_equal(properties[0].name, "log.retention.ms");
    assert_string_equal(properties[0].value, "2000");
    kj_free_properties(properties, count);
    assert_ok(kj_topic_properties(a, "t", &properties, &count));
    assert_int_equal(count, 0);
    kj_free_properties(properties, count);
    assert_err(kj_topic_properties(a, "nobody", &properties, &count),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    kj_topic_release(topic);
    assert_ok(kj_store_close(a));
    assert_ok(kj_store_close(b));
}

static void many_partitions_stay_lazy(void **state)
{
    const struct temp_dir *dir = *state;
    enum { MANY = 40 };
    struct kj_store_options options = test_options(dir->path);
    struct kj_store *store;
    options.fd_max = 16;
    assert_ok(kj_store_open(&options, &store));
    assert_ok(kj_topic_create(store, "many", MANY, NULL, 0));
    assert_ok(kj_store_close(store));
    assert_ok(kj_store_open(&options, &store));
    assert_null(store->loaded);
    struct kj_topic *topic = topic_of(store, "many");
    for (int i = 0; i < MANY; i++)
        assert_ok(append_text(partition_of(topic, i), "x", true, NULL));
    assert_ok(kj_store_flush(store, NULL, 0));
    for (int i = 0; i < MANY; i++)
        assert_int_equal(kj_log_durable(kj_partition_log(partition_of(topic, i))), 1);
    assert_true(kj_store_metric(store, KJ_METRIC_OPEN_FILES) <= 16);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    assert_true(is_clean(dir->path));
    char *points = slurp(dir->path, "recovery-point-offset-checkpoint");
    assert_non_null(points);
    assert_non_null(strstr(points, "0\n40\n"));
    assert_non_null(strstr(points, "many 39 1\n"));
    free(points);
}

/* A topic that comes back under its old name must not begin with the offsets of the one before. */
static void checkpoints_forget_deleted_topics(void **state)
{
    const struct temp_dir *dir = *state;
    struct kj_store *store = open_store(dir->path);
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    struct kj_topic *topic = topic_of(store, "t");
    for (int i = 0; i < 5; i++)
        assert_ok(append_text(partition_of(topic, 0), "x", true, NULL));
    struct kj_partition *partition = partition_of(topic, 0);
    assert_ok(kj_store_flush(store, &partition, 1));
    int64_t start;
    assert_ok(kj_partition_delete_records(partition, 3, &start));
    assert_int_equal(start, 3);
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
    char *starts = slurp(dir->path, "log-start-offset-checkpoint");
    assert_non_null(strstr(starts, "t 0 3\n"));
    free(starts);
    store = open_store(dir->path);
    assert_ok(kj_topic_delete(store, "t"));
    assert_ok(kj_topic_create(store, "t", 1, NULL, 0));
    starts = slurp(dir->path, "log-start-offset-checkpoint");
    assert_null(strstr(starts, "t 0"));
    free(starts);
    char *points = slurp(dir->path, "recovery-point-offset-checkpoint");
    assert_null(strstr(points, "t 0 5"));
    free(points);
    assert_ok(kj_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_handles_see_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(found_topics_are_made_when_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(properties_belong_to_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(many_partitions_stay_lazy, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_forget_deleted_topics, setup, teardown),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
