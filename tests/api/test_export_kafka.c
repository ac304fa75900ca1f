/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja_export_kafka(): what it asks of its arguments and of the source, and what it tells.
 */
#include "api_test.h"
#include "broker_dir.h"

#define FIRST "00000000000000000000.log"

static char target[80];

static int dirs_make(void **state)
{
    if (test_dir_make(state) != 0)
        return 1;
    (void)snprintf(target, sizeof target, "%s.broker", test_dir);
    broker_format(target);
    broker_topic(target, "orders", 2, "0\n1\n1 0\n");
    return 0;
}

static int dirs_remove(void **state)
{
    (void)shell("rm -rf '%s'", target);
    return test_dir_remove(state);
}

static void fill(void)
{
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "orders", 2, NULL));
    send_records(store, "orders", 0, 50, 100, true, NULL);
    send_records(store, "orders", 1, 7, 100, false, NULL);
    assert_ok(kaja_store_close(store));
}

struct told {
    int count;
    int64_t records, bytes;
};

static void on_partition(void *arg, const struct kaja_export_partition *p)
{
    struct told *told = arg;
    assert_string_equal(p->topic, "orders");
    assert_int_equal(p->partition, told->count);
    assert_true(p->how == KAJA_EXPORT_REFLINKED || p->how == KAJA_EXPORT_COPIED);
    assert_int_equal(p->segments, 1);
    told->count++;
    told->records += p->end_offset - p->first_offset;
    told->bytes += p->bytes;
}

static const char *logs_differ(void)
{
    return shell("for p in 0 1; do cmp '%s/orders-'$p/" FIRST " '%s/orders-'$p/" FIRST
                 " 2>&1; done; true",
                 test_dir, target);
}

static void exported(void **state)
{
    (void)state;
    struct told told = {0};
    struct kaja_export_result result;
    fill();
    assert_ok(kaja_export_kafka(test_dir, target, NULL, 0, on_partition, &told, &result));
    assert_string_equal(logs_differ(), "");
    assert_int_equal(told.count, 2);
    assert_int_equal(told.records, 57);
    assert_int_equal(result.partitions, 2);
    assert_int_equal(result.segments, 2);
    assert_int_equal(result.bytes, told.bytes);
    assert_int_equal(result.offsets, 0);
    assert_int_equal(result.left_out, 0);
    /* Neither callback nor result is needed. */
    assert_ok(kaja_export_kafka(test_dir, target, NULL, 0, NULL, NULL, NULL));
}

/* Nobody has it open, but the last who had died: it is recovered, as opening it would. */
static void unclean_source(void **state)
{
    (void)state;
    fill();
    (void)shell("cd '%s' && rm .kafka_cleanshutdown && printf 'torn tail' >> orders-1/" FIRST,
                test_dir);
    assert_ok(kaja_export_kafka(test_dir, target, NULL, 0, NULL, NULL, NULL));
    assert_string_equal(logs_differ(), "");
    assert_string_equal(shell("ls -A '%s' | grep clean", test_dir), ".kafka_cleanshutdown");
    assert_string_equal(shell("tail -c 9 '%s/orders-1/" FIRST "' | grep -c torn; true", target),
                        "0");
}

static void damaged_source(void **state)
{
    (void)state;
    struct kaja_export_result result = {.bytes = -7};
    fill();
    (void)shell("printf x | dd of='%s/orders-0/" FIRST "' bs=1 seek=99 conv=notrunc "
                "2>/dev/null",
                test_dir);
    char *before = strdup(everything(target));
    assert_err(kaja_export_kafka(test_dir, target, NULL, 0, NULL, NULL, &result),
               KAJA_ERR_DAMAGED);
    assert_true(detail_has("orders-0/" FIRST));
    assert_int_equal(result.bytes, -7);
    assert_string_equal(everything(target), before);
    free(before);
}

static void live_source(void **state)
{
    (void)state;
    fill();
    struct kaja_store *store = open_store(NULL);
    assert_err(kaja_export_kafka(test_dir, target, NULL, 0, NULL, NULL, NULL), KAJA_ERR_STATE);
    assert_ok(kaja_store_close(store));
    assert_ok(kaja_export_kafka(test_dir, target, NULL, 0, NULL, NULL, NULL));
}

static void arguments(void **state)
{
    (void)state;
    const char *const topics[] = {"orders", NULL}, *const unknown[] = {"none"};
    fill();
    assert_err(kaja_export_kafka(NULL, target, NULL, 0, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka("", target, NULL, 0, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka(test_dir, NULL, NULL, 0, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka(test_dir, "", NULL, 0, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka(test_dir, target, NULL, 1, NULL, NULL, NULL),
               KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka(test_dir, target, topics, 2, NULL, NULL, NULL),
               KAJA_ERR_INVALID_ARG);
    assert_err(kaja_export_kafka(test_dir, target, unknown, 1, NULL, NULL, NULL),
               KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_err(kaja_export_kafka("nowhere", target, NULL, 0, NULL, NULL, NULL),
               KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_export_kafka(test_dir, "nowhere", NULL, 0, NULL, NULL, NULL),
               KAJA_ERR_LOG_DIR_NOT_FOUND);
    assert_err(kaja_export_kafka(test_dir, test_dir, NULL, 0, NULL, NULL, NULL),
               KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_export_kafka(test_dir, target, topics, 1, NULL, NULL, NULL));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, dirs_make, dirs_remove)
    const struct CMUnitTest tests[] = {
        CASE(exported),    CASE(unclean_source), CASE(damaged_source),
        CASE(live_source), CASE(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
