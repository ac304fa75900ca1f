/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What programs that were compiled earlier rely on: numbers, sizes and offsets of what they see,
 * and structs that begin with their size. Change a line here only together with the library's
 * version.
 */
#include "kjtest.h"

/* --- error numbers: a frozen list, written by hand --- */

static const struct {
    const char *name;
    int value;
} frozen[] = {
    {"NONE", 0},
    {"UNKNOWN_SERVER_ERROR", -1},
    {"OFFSET_OUT_OF_RANGE", 1},
    {"CORRUPT_MESSAGE", 2},
    {"UNKNOWN_TOPIC_OR_PARTITION", 3},
    {"REQUEST_TIMED_OUT", 7},
    {"RECORD_TOO_LARGE", 10},
    {"OFFSET_METADATA_TOO_LARGE", 12},
    {"COORDINATOR_LOAD_IN_PROGRESS", 14},
    {"COORDINATOR_NOT_AVAILABLE", 15},
    {"INVALID_TOPIC_EXCEPTION", 17},
    {"RECORD_LIST_TOO_LARGE", 18},
    {"INVALID_REQUIRED_ACKS", 21},
    {"ILLEGAL_GENERATION", 22},
    {"INCONSISTENT_GROUP_PROTOCOL", 23},
    {"INVALID_GROUP_ID", 24},
    {"UNKNOWN_MEMBER_ID", 25},
    {"INVALID_SESSION_TIMEOUT", 26},
    {"REBALANCE_IN_PROGRESS", 27},
    {"INVALID_COMMIT_OFFSET_SIZE", 28},
    {"INVALID_TIMESTAMP", 32},
    {"UNSUPPORTED_VERSION", 35},
    {"TOPIC_ALREADY_EXISTS", 36},
    {"INVALID_PARTITIONS", 37},
    {"INVALID_REPLICATION_FACTOR", 38},
    {"INVALID_CONFIG", 40},
    {"INVALID_REQUEST", 42},
    {"POLICY_VIOLATION", 44},
    {"OUT_OF_ORDER_SEQUENCE_NUMBER", 45},
    {"DUPLICATE_SEQUENCE_NUMBER", 46},
    {"INVALID_PRODUCER_EPOCH", 47},
    {"INVALID_TXN_STATE", 48},
    {"INVALID_PRODUCER_ID_MAPPING", 49},
    {"INVALID_TRANSACTION_TIMEOUT", 50},
    {"CONCURRENT_TRANSACTIONS", 51},
    {"TRANSACTION_COORDINATOR_FENCED", 52},
    {"SECURITY_DISABLED", 54},
    {"KAFKA_STORAGE_ERROR", 56},
    {"LOG_DIR_NOT_FOUND", 57},
    {"UNKNOWN_PRODUCER_ID", 59},
    {"NON_EMPTY_GROUP", 68},
    {"GROUP_ID_NOT_FOUND", 69},
    {"FENCED_LEADER_EPOCH", 74},
    {"UNSUPPORTED_COMPRESSION_TYPE", 76},
    {"OFFSET_NOT_AVAILABLE", 78},
    {"MEMBER_ID_REQUIRED", 79},
    {"GROUP_MAX_SIZE_REACHED", 81},
    {"FENCED_INSTANCE_ID", 82},
    {"GROUP_SUBSCRIBED_TO_TOPIC", 86},
    {"INVALID_RECORD", 87},
    {"UNSTABLE_OFFSET_COMMIT", 88},
    {"PRODUCER_FENCED", 90},
    {"UNKNOWN_TOPIC_ID", 100},
    {"BAD_COMPRESSION", -198},
    {"DESTROYED", -197},
    {"CRIT_SYS_RESOURCE", -194},
    {"MSG_TIMED_OUT", -192},
    {"PARTITION_EOF", -191},
    {"UNKNOWN_PARTITION", -190},
    {"INVALID_ARG", -186},
    {"TIMED_OUT", -185},
    {"QUEUE_FULL", -184},
    {"CONFLICT", -173},
    {"STATE", -172},
    {"NO_OFFSET", -168},
    {"UNSUPPORTED_FEATURE", -165},
    {"INTERRUPTED", -163},
    {"SERIALIZATION", -161},
    {"DESERIALIZATION", -159},
    {"READ_ONLY", -157},
    {"FATAL", -150},
    {"OUT_OF_MEMORY", -1000},
    {"MEMORY_LIMIT", -1001},
    {"BUFFER_EXHAUSTED", -1002},
    {"NO_DIRECTORY", -1003},
    {"NOT_KAJA", -1004},
    {"BROKER_HAS_DIRECTORY", -1005},
    {"NETWORK_FILE_SYSTEM", -1006},
    {"LAYOUT_MISMATCH", -1007},
    {"LOCK_TIMED_OUT", -1008},
    {"POISONED", -1009},
    {"DAMAGED", -1010},
    {"DISK_FULL", -1011},
    {"FORKED", -1012},
    {"FILE_LIMIT", -1013},
    {"UNSUPPORTED_MAGIC", -1014},
};
enum { FROZEN = sizeof frozen / sizeof frozen[0] };

static const struct {
    const char *name;
    int value;
} present[] = {
#define KAJA_ERROR(name, value, retriable, text) {#name, KAJA_ERR_##name},
#include <kaja/error_table.h>
#undef KAJA_ERROR
};
enum { PRESENT = sizeof present / sizeof present[0] };

static void test_errors(void **state)
{
    (void)state;
    int least = 0;
    for (size_t i = 0; i < FROZEN; i++) {
        assert_string_equal(kaja_error_name(frozen[i].value), frozen[i].name);
        assert_true(kaja_error_text(frozen[i].value)[0] != '\0');
        least = frozen[i].value < least ? frozen[i].value : least;
    }
    assert_int_equal(KAJA_ERR_MIN_, least);
    /* A new error is a new line above, and numbers are not used twice. */
    assert_int_equal(PRESENT, FROZEN);
    for (size_t i = 0; i < PRESENT; i++) {
        assert_int_equal(present[i].value, frozen[i].value);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(present[i].value, present[j].value);
    }
}

/* --- constants --- */

static void test_constants(void **state)
{
    (void)state;
    assert_int_equal(KAJA_TIMESTAMP_NOW, -1);
    assert_int_equal(KAJA_PARTITION_ANY, -1);
    assert_int_equal(KAJA_OFFSET_LATEST, -1);
    assert_int_equal(KAJA_OFFSET_EARLIEST, -2);
    assert_int_equal(KAJA_OFFSET_MAX_TIMESTAMP, -3);
    assert_int_equal(KAJA_OFFSET_NONE, -1001);
    assert_int_equal(KAJA_NO_TIMESTAMP, -1);
    assert_int_equal(KAJA_CREATE_TIME, 0);
    assert_int_equal(KAJA_LOG_APPEND_TIME, 1);
    assert_int_equal(KAJA_EVENT_RECOVERED, 1);
    assert_int_equal(KAJA_EVENT_DAMAGE, 2);
    assert_int_equal(KAJA_EVENT_POISONED, 3);
    assert_int_equal(KAJA_EVENT_BACKGROUND, 4);
    assert_int_equal(KAJA_EVENT_OFFSETS_MOVED, 5);
    assert_int_equal(KAJA_EVENT_DROPPED, 6);
    assert_int_equal(KAJA_CONFIG_TOPIC, 1);
    assert_int_equal(KAJA_CONFIG_STORE, 2);
    assert_int_equal(KAJA_CONFIG_DEFAULT, 3);
    assert_int_equal(KAJA_METRIC_COUNTER, 1);
    assert_int_equal(KAJA_METRIC_GAUGE, 2);
    assert_int_equal(KAJA_FINDING_DAMAGE, 1);
    assert_int_equal(KAJA_FINDING_UNFLUSHED_TAIL, 2);
    assert_int_equal(KAJA_FINDING_INDEX, 3);
    assert_int_equal(KAJA_FINDING_FOREIGN, 4);
}

/* --- structs: 64-bit only, so sizes are one number --- */

#define AT(type, member, offset) assert_int_equal(offsetof(struct type, member), offset)
#define SIZE(type, bytes) assert_int_equal(sizeof(struct type), bytes)

static void test_structs(void **state)
{
    (void)state;
    SIZE(kaja_error_place, 40);
    AT(kaja_error_place, os_errno, 32);
    SIZE(kaja_conf_info, 72);
    AT(kaja_conf_info, effect, 64);
    SIZE(kaja_event, 48);
    AT(kaja_event, topic, 8);
    AT(kaja_event, text, 40);
    SIZE(kaja_header, 32);
    SIZE(kaja_record, 80);
    AT(kaja_record, size, 0);
    AT(kaja_record, topic, 8);
    AT(kaja_record, partition, 16);
    AT(kaja_record, timestamp, 24);
    AT(kaja_record, key, 32);
    AT(kaja_record, value, 48);
    AT(kaja_record, headers, 64);
    AT(kaja_record, header_count, 72);
    SIZE(kaja_record_view, 96);
    AT(kaja_record_view, offset, 16);
    AT(kaja_record_view, key, 40);
    AT(kaja_record_view, value, 56);
    AT(kaja_record_view, header_count, 72);
    SIZE(kaja_topic_partition, 24);
    SIZE(kaja_metadata, 32);
    SIZE(kaja_topic_info, 48);
    AT(kaja_topic_info, partition_count, 32);
    SIZE(kaja_topic_list, 16);
    SIZE(kaja_config_entry, 56);
    SIZE(kaja_config_list, 16);
    SIZE(kaja_partition_info, 56);
    SIZE(kaja_metric, 40);
    SIZE(kaja_finding, 64);
    SIZE(kaja_verify_result, 48);
}

/* --- a record of a program that knew fewer members, or more --- */

static void remove_dir(const char *dir)
{
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_record_size(void **state)
{
    (void)state;
    char dir[] = "test_abi.XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct kaja_conf *conf;
    struct kaja_store *store;
    struct kaja_producer *producer;
    assert_ok(kaja_conf_new(&conf));
    assert_ok(kaja_conf_set(conf, "acks", "1"));
    assert_ok(kaja_store_open(dir, conf, &store));
    assert_ok(kaja_producer_open(store, conf, &producer));

    struct kaja_record record = KAJA_RECORD_INIT;
    assert_int_equal(record.size, sizeof record);
    record.topic = "t";
    struct kaja_metadata metadata;
    assert_ok(kaja_producer_send(producer, &record, 10000, &metadata));
    assert_int_equal(metadata.offset, 0);
    /* No release had these. What lies behind a size must not be looked at. */
    static const size_t sizes[] = {0, sizeof(size_t), offsetof(struct kaja_record, headers),
                                   offsetof(struct kaja_record, header_count) + 7, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t room = sizes[i] < sizeof record ? sizes[i] : sizeof record;
        struct kaja_record *other = malloc(room < sizeof(size_t) ? sizeof(size_t) : room);
        assert_non_null(other);
        memcpy(other, &record, room);
        memcpy(other, &sizes[i], sizeof(size_t));
        assert_err(kaja_producer_send(producer, other, 10000, &metadata), KAJA_ERR_INVALID_ARG);
        assert_err(kaja_producer_produce(producer, other, NULL, NULL), KAJA_ERR_INVALID_ARG);
        free(other);
    }
    assert_ok(kaja_producer_send(producer, &record, 10000, &metadata));
    assert_int_equal(metadata.offset, 1);

    /* Of the first release, to the byte; and of a later one that leaves what it added at zero. */
    static const size_t good[] = {80, 81, 88, 4096};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct kaja_record *other = calloc(1, good[i]);
        assert_non_null(other);
        memcpy(other, &record, sizeof record);
        memcpy(other, &good[i], sizeof(size_t));
        assert_ok(kaja_producer_send(producer, other, 10000, &metadata));
        assert_int_equal(metadata.offset, 2 + 2 * i);
        assert_ok(kaja_producer_produce(producer, other, NULL, NULL));
        assert_ok(kaja_producer_flush(producer, 10000));
        if (good[i] > sizeof record) {
            ((char *)other)[good[i] - 1] = 1; /* uses what it added */
            assert_err(kaja_producer_send(producer, other, 10000, &metadata),
                       KAJA_ERR_UNSUPPORTED_FEATURE);
            assert_err(kaja_producer_produce(producer, other, NULL, NULL),
                       KAJA_ERR_UNSUPPORTED_FEATURE);
        }
        free(other);
    }
    assert_ok(kaja_producer_close(producer, 10000));
    assert_ok(kaja_store_close(store));
    kaja_conf_free(conf);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_structs),
        cmocka_unit_test(test_record_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
