/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Links, FIFOs, directories and rubbish under the names of the small files and indexes: records
 * stay readable, nothing behind a link is touched, and where a file is needed the error names it,
 * at once.
 */
#include "api_test.h"

#include <time.h>

enum { RECORDS = 40 };
static const char *const makes[] = {"ln -s ../kept", "mkfifo", "mkdir"};
enum { MAKES = sizeof makes / sizeof makes[0] };

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* In the directory. */
static void shell(const char *what)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "cd '%s' && %s", test_dir, what);
    assert_int_equal(system(command), 0);
}

/* "kept" is what the links lead to; the directory as it was is kept in base/. */
static void fill(void)
{
    struct kaja_store *store = open_store(NULL);
    struct kaja_conf *conf =
        conf_of("segment.bytes", "3000", "index.interval.bytes", "1000", "retention.ms", "-1",
                NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, conf));
    kaja_conf_free(conf);
    send_records(store, "t", 0, RECORDS, 500, true, conf_of("acks", "1", NULL));
    assert_ok(kaja_store_close(store));
    shell("echo precious > kept && mkdir .base && cp -a * .kafka_cleanshutdown .base");
}

static void reset(void)
{
    shell("rm -rf ./* .kafka_cleanshutdown* .lock && cp -a .base/. .");
}

static void assert_kept(void)
{
    shell("test \"$(cat kept)\" = precious");
}

static void replace(const char *make, const char *file)
{
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf %s && %s %s", file, make, file);
    shell(command);
}

struct events {
    int damage;
    char text[512]; /* of the newest damage */
};

static void note_event(void *arg, const struct kaja_event *event)
{
    struct events *events = arg;
    if (event->kind != KAJA_EVENT_DAMAGE)
        return;
    events->damage++;
    (void)snprintf(events->text, sizeof events->text, "%s", event->text);
}

static int records_in(struct kaja_store *store)
{
    struct kaja_consumer *consumer = NULL;
    struct kaja_topic_partition partition = {.topic = "t"};
    struct kaja_conf *conf = conf_of("auto.offset.reset", "earliest", NULL);
    struct kaja_record_view view;
    int count = 0;
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_assign(consumer, &partition, 1));
    for (int idle = 0; idle < 2;) {
        struct kaja_batch *batch = NULL;
        assert_ok(kaja_consumer_poll(consumer, 30, &batch));
        idle += kaja_batch_count(batch) == 0;
        while (batch != NULL && kaja_batch_next(batch, &view) == 1)
            count++;
        kaja_batch_release(batch);
    }
    assert_ok(kaja_consumer_close(consumer, 20000));
    return count;
}

static int send_one(struct kaja_store *store)
{
    struct kaja_producer *producer = NULL;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "t";
    record.value = "value";
    record.value_bytes = 5;
    assert_ok(kaja_producer_open(store, NULL, &producer));
    int err = kaja_producer_send(producer, &record, 20000, NULL);
    char detail[512];
    (void)snprintf(detail, sizeof detail, "%s", kaja_error_detail());
    (void)kaja_producer_close(producer, 1000);
    if (err != 0)
        print_message("%s\n", detail);
    return err;
}

static struct kaja_verify_result verify(void)
{
    struct kaja_verify_result result;
    assert_ok(kaja_verify(test_dir, NULL, NULL, NULL, &result));
    return result;
}

static void index_is_put_aside(void **state)
{
    (void)state;
    static const char *const kinds[] = {"index", "timeindex", "txnindex"};
    fill();
    for (int i = 0; i < 2 * 3 * MAKES; i++) {
        char file[64];
        reset();
        (void)snprintf(file, sizeof file, "t-0/%020d.%s", i % 2 == 0 ? 5 : 35, kinds[i / 2 % 3]);
        replace(makes[i / 6], file);
        struct kaja_verify_result result = verify();
        assert_int_equal(result.records, RECORDS);
        assert_int_equal(result.damage, 1);
        struct kaja_store *store = open_store(conf_of("kaja.read.only", "true", NULL));
        assert_int_equal(records_in(store), RECORDS);
        assert_ok(kaja_store_close(store));
        struct events events = {0};
        store = open_store(NULL);
        kaja_store_on_event(store, note_event, &events);
        assert_int_equal(records_in(store), RECORDS);
        assert_ok(send_one(store));
        assert_int_equal(records_in(store), RECORDS + 1);
        assert_ok(kaja_store_close(store));
        assert_int_equal(events.damage, 1);
        assert_non_null(strstr(events.text, file));
        assert_kept();
        assert_int_equal(verify().damage, 0);
    }
}

static void damaged_epochs_are_rebuilt(void **state)
{
    (void)state;
    static const char *const damages[] = {"printf garbage", "printf '0\\n1\\n0'",
                                          "printf '0\\n2\\n0 0\\n'"};
    fill();
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        char command[128];
        reset();
        (void)snprintf(command, sizeof command, "%s > t-0/leader-epoch-checkpoint", damages[i]);
        shell(command);
        assert_int_equal(verify().damage, 1);
        struct events events = {0};
        struct kaja_store *store = open_store(NULL);
        kaja_store_on_event(store, note_event, &events);
        assert_ok(send_one(store));
        assert_int_equal(records_in(store), RECORDS + 1);
        assert_ok(kaja_store_close(store));
        assert_int_equal(events.damage, 1);
        assert_non_null(strstr(events.text, "t-0/leader-epoch-checkpoint"));
        assert_int_equal(verify().damage, 0);
        shell("cmp t-0/leader-epoch-checkpoint .base/t-0/leader-epoch-checkpoint");
    }
}

static void epochs_in_the_way(void **state)
{
    (void)state;
    fill();
    for (int i = 0; i < MAKES; i++) {
        reset();
        replace(makes[i], "t-0/leader-epoch-checkpoint");
        assert_int_equal(verify().damage, 1);
        struct kaja_store *store = open_store(NULL);
        int64_t began = now_ms();
        assert_err(send_one(store), KAJA_ERR_NOT_KAJA);
        assert_true(now_ms() - began < 10000); /* delivery.timeout.ms is 120000 */
        assert_int_equal(records_in(store), RECORDS);
        assert_ok(kaja_store_close(store));
        assert_kept();
    }
}

static void checkpoints_in_the_way(void **state)
{
    (void)state;
    static const char *const files[] = {"recovery-point-offset-checkpoint",
                                        "log-start-offset-checkpoint",
                                        "replication-offset-checkpoint"};
    fill();
    for (int i = 0; i < 3 * MAKES; i++) {
        struct kaja_store *store = NULL;
        reset();
        replace(makes[i / 3], files[i % 3]); /* a link to nothing */
        assert_err(kaja_store_open(test_dir, NULL, &store), KAJA_ERR_NOT_KAJA);
        assert_true(detail_has(files[i % 3]));
        assert_int_equal(verify().records, RECORDS);
    }
}

/* What a dead process left is removed; what nobody of ours can have made is named. */
static void temporary_in_the_way(void **state)
{
    (void)state;
    fill();
    for (int i = 0; i < MAKES; i++) {
        bool dir = strcmp(makes[i], "mkdir") == 0;
        reset();
        replace(makes[i], "t-0/leader-epoch-checkpoint.tmp");
        struct kaja_store *store = open_store(NULL);
        assert_ok(send_one(store));
        int err = kaja_store_close(store);
        if (dir) {
            assert_err(err, KAJA_ERR_NOT_KAJA);
            assert_true(detail_has("t-0/leader-epoch-checkpoint.tmp is a directory"));
            shell("rmdir t-0/leader-epoch-checkpoint.tmp");
        }
        store = open_store(NULL);
        assert_int_equal(records_in(store), RECORDS + 1);
        assert_ok(kaja_store_close(store));
    }
}

/* The events of a store that only tell that something stands there. */
static void note_text(void *arg, const struct kaja_event *event)
{
    struct events *events = arg;
    if (event->kind == KAJA_EVENT_BACKGROUND && events->text[0] == '\0')
        (void)snprintf(events->text, sizeof events->text, "%s", event->text);
}

static int create_u(struct kaja_store *store)
{
    return kaja_admin_create_topic(store, "u", 1, NULL);
}

/* Names of the directory itself: `open` and `create` fail where it says so, by the name of what is
 * in the way; else what is no directory is simply removed. */
static void names_of_the_store_in_the_way(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        bool opens;      /* with a directory there */
        bool all;        /* links and FIFOs are no better */
        bool creates;    /* a topic */
        bool closes;
    } rows[] = {
        {"kaja.catalog", false, true, false, false},
        {"kaja.lock", false, true, false, false},
        {".lock", false, true, false, false},
        {"kaja.control", false, false, false, false},
        {"kaja.control.new", false, false, false, false},
        {".kafka_cleanshutdown", false, false, false, false},
        {"kaja.catalog.tmp", true, false, false, true},
        {"kaja.catalog.old.tmp", true, false, true, true},
        {".kafka_cleanshutdown.tmp", true, false, true, false},
        {"recovery-point-offset-checkpoint.tmp", true, false, true, false},
        {"log-start-offset-checkpoint.tmp", true, false, true, false},
        {"replication-offset-checkpoint.tmp", true, false, true, false},
    };
    fill();
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (int i = 0; i < MAKES; i++) {
            const char *what[] = {" is a link", " is a FIFO", " is a directory"};
            bool good = i < 2 && !rows[r].all;
            char text[96];
            struct events events = {0};
            struct kaja_store *store = NULL;
            (void)snprintf(text, sizeof text, "%s%s", rows[r].file, what[i]);
            reset();
            replace(makes[i], rows[r].file);
            int64_t began = now_ms();
            int err = kaja_store_open(test_dir, NULL, &store);
            if (!good && !rows[r].opens) {
                assert_err(err, KAJA_ERR_NOT_KAJA);
                assert_true(detail_has(text));
                assert_true(now_ms() - began < 5000);
                assert_kept();
                continue;
            }
            assert_ok(err);
            kaja_store_on_event(store, note_text, &events);
            assert_ok(kaja_store_step(store));
            assert_int_equal(strstr(events.text, text) != NULL, !good);
            if (good || rows[r].creates) {
                assert_ok(create_u(store));
            } else {
                assert_err(create_u(store), KAJA_ERR_NOT_KAJA);
                assert_true(detail_has(text));
            }
            assert_int_equal(records_in(store), RECORDS);
            err = kaja_store_close(store);
            if (good || rows[r].closes) {
                assert_ok(err);
            } else {
                assert_err(err, KAJA_ERR_NOT_KAJA);
                assert_true(detail_has(text));
            }
            assert_kept();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(index_is_put_aside),     test_in_dir(damaged_epochs_are_rebuilt),
        test_in_dir(epochs_in_the_way),      test_in_dir(checkpoints_in_the_way),
        test_in_dir(temporary_in_the_way),   test_in_dir(names_of_the_store_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
