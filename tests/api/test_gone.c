/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The directory is removed, replaced or moved while handles have it open. The first two end every
 * handle: nothing that nobody will ever see is acknowledged.
 */
#include "api_test.h"

#include <pthread.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap_ms(long ms)
{
    (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* $D: the directory. */
static void shell(const char *what)
{
    char command[256];
    (void)snprintf(command, sizeof command, "D='%s'; %s", test_dir, what);
    assert_int_equal(system(command), 0);
}

/* Again if a worker just made a file there. */
static void remove_directory(void)
{
    shell("rm -rf $D 2>/dev/null || rm -rf $D 2>/dev/null || rm -rf $D");
}

static struct kaja_store *store_with_topic(struct kaja_conf *conf)
{
    struct kaja_store *store = open_store(conf);
    assert_ok(kaja_admin_create_topic(store, "t", 1, NULL));
    return store;
}

static int send_one(struct kaja_producer *producer)
{
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "t";
    record.value = "value";
    record.value_bytes = 5;
    return kaja_producer_send(producer, &record, 10000, NULL);
}

static struct kaja_producer *producer_on(struct kaja_store *store, struct kaja_conf *conf)
{
    struct kaja_producer *producer = NULL;
    assert_ok(kaja_producer_open(store, conf, &producer));
    kaja_conf_free(conf);
    return producer;
}

static struct kaja_consumer *consumer_on(struct kaja_store *store)
{
    struct kaja_consumer *consumer = NULL;
    struct kaja_topic_partition partition = {.topic = "t"};
    struct kaja_conf *conf = conf_of("auto.offset.reset", "earliest", NULL);
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    assert_ok(kaja_consumer_assign(consumer, &partition, 1));
    return consumer;
}

/* Within about a second; far from delivery.timeout.ms on a slow machine too. */
enum { SOON_MS = 10000 };

/* --- removed --- */

static void no_acknowledgement_follows(void **state)
{
    (void)state;
    struct kaja_store *store = store_with_topic(NULL);
    struct kaja_producer *producer = producer_on(store, NULL);
    assert_ok(send_one(producer));
    remove_directory();
    int64_t began = now_ms();
    assert_err(send_one(producer), KAJA_ERR_NO_DIRECTORY); /* the very first one */
    assert_true(detail_has("open it again"));
    assert_false(kaja_error_retriable(KAJA_ERR_NO_DIRECTORY));
    assert_err(send_one(producer), KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_producer_flush(producer, 1000), KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_admin_create_topic(store, "u", 1, NULL), KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_store_step(store), KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_producer_close(producer, 60000));
    assert_err(kaja_store_close(store), KAJA_ERR_NO_DIRECTORY);
    assert_true(now_ms() - began < SOON_MS);
    assert_int_equal(access(test_dir, F_OK), -1);
}

struct seen {
    int reports, error;
    bool told;
};

static void note_report(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct seen *seen = arg;
    (void)metadata;
    seen->reports++;
    seen->error = error;
    seen->told = detail_has("open it again");
}

static void what_waits_fails(struct kaja_conf *conf, const char *threads)
{
    struct kaja_store *store = store_with_topic(conf_of("kaja.background.threads", threads, NULL));
    struct kaja_producer *producer = producer_on(store, conf);
    struct kaja_record record = KAJA_RECORD_INIT;
    struct seen seen = {0};
    record.topic = "t";
    record.value = "value";
    record.value_bytes = 5;
    for (int i = 0; i < 3; i++)
        assert_ok(kaja_producer_produce(producer, &record, note_report, &seen));
    remove_directory();
    int64_t began = now_ms();
    while (seen.reports < 3 && now_ms() - began < SOON_MS) {
        if (threads[0] == '0')
            (void)kaja_store_step(store);
        (void)kaja_producer_poll(producer, 100, NULL);
    }
    assert_int_equal(seen.reports, 3);
    assert_int_equal(seen.error, KAJA_ERR_NO_DIRECTORY);
    assert_true(seen.told);
    assert_err(kaja_producer_produce(producer, &record, NULL, NULL), KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_producer_poll(producer, -1, NULL), KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_producer_close(producer, 60000));
    assert_err(kaja_store_close(store), KAJA_ERR_NO_DIRECTORY);
    assert_true(now_ms() - began < SOON_MS);
}

static void waiting_records_fail(void **state)
{
    (void)state;
    what_waits_fails(conf_of("linger.ms", "60000", NULL), "1");
}

static void waiting_records_fail_without_worker(void **state)
{
    (void)state;
    what_waits_fails(conf_of("linger.ms", "60000", NULL), "0");
}

static void acks_1_ends_within_a_second(void **state)
{
    (void)state;
    struct kaja_store *store = store_with_topic(NULL);
    struct kaja_producer *producer = producer_on(store, conf_of("acks", "1", NULL));
    assert_ok(send_one(producer));
    remove_directory();
    int64_t began = now_ms();
    int err;
    while ((err = send_one(producer)) == 0 && now_ms() - began < SOON_MS)
        nap_ms(1);
    assert_err(err, KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_producer_close(producer, 60000));
    assert_err(kaja_store_close(store), KAJA_ERR_NO_DIRECTORY);
}

static void a_poll_fails(struct kaja_conf *conf, bool replaced)
{
    struct kaja_store *writer = store_with_topic(NULL);
    struct kaja_store *store = conf != NULL ? open_store(conf) : writer;
    nap_ms(100); /* its worker has found nothing to do and gone to sleep */
    struct kaja_consumer *consumer = consumer_on(store);
    struct kaja_batch *batch = NULL;
    send_records(writer, "t", 0, 5, 10, false, NULL);
    assert_ok(kaja_consumer_poll(consumer, 5000, &batch));
    assert_int_equal(kaja_batch_count(batch), 5);
    kaja_batch_release(batch);
    if (replaced)
        shell("mv $D $D.old && mkdir $D");
    else
        remove_directory();
    int64_t began = now_ms();
    assert_err(kaja_consumer_poll(consumer, 2 * SOON_MS, &batch), KAJA_ERR_NO_DIRECTORY);
    assert_true(detail_has("open it again"));
    assert_err(kaja_consumer_poll(consumer, 0, &batch), KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_consumer_close(consumer, 20000));
    if (store != writer)
        (void)kaja_store_close(store); /* one that only reads had nothing to write */
    assert_err(kaja_store_close(writer), KAJA_ERR_NO_DIRECTORY);
    assert_true(now_ms() - began < SOON_MS);
    if (replaced)
        shell("[ -z \"$(ls -A $D)\" ] && rm -rf $D.old"); /* nothing was made in the new one */
}

static void polls_fail(void **state)
{
    (void)state;
    a_poll_fails(NULL, false);
}

static void polls_fail_read_only(void **state)
{
    (void)state;
    a_poll_fails(conf_of("kaja.read.only", "true", NULL), false);
}

/* A handle that does nothing else than wait for records. */
static void polls_fail_when_replaced(void **state)
{
    (void)state;
    a_poll_fails(conf_of("kaja.create", "false", NULL), true);
}

/* --- replaced, moved --- */

static void replaced_by_another(void **state)
{
    (void)state;
    struct kaja_store *store = store_with_topic(NULL);
    struct kaja_producer *producer = producer_on(store, NULL);
    assert_ok(send_one(producer));
    shell("mv $D $D.old");
    struct kaja_store *other = store_with_topic(NULL);
    int64_t began = now_ms();
    int err;
    while ((err = send_one(producer)) == 0 && now_ms() - began < SOON_MS)
        nap_ms(10);
    assert_err(err, KAJA_ERR_NO_DIRECTORY);
    assert_true(detail_has("replaced"));
    struct kaja_consumer *consumer = consumer_on(other);
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(consumer, 0, &batch));
    assert_int_equal(kaja_batch_count(batch), 0); /* nothing went there */
    kaja_batch_release(batch);
    assert_ok(kaja_consumer_close(consumer, 20000));
    assert_ok(kaja_producer_close(producer, 1000));
    assert_err(kaja_store_close(store), KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_store_close(other));
    shell("rm -rf $D.old");
}

/* Others that open it find another kaja.lock, and take what is not theirs. */
static void the_lock_file_replaced(void **state)
{
    (void)state;
    struct kaja_store *store = store_with_topic(NULL);
    struct kaja_producer *producer = producer_on(store, NULL);
    assert_ok(send_one(producer));
    shell("mv $D/kaja.lock $D/notes");
    int64_t began = now_ms();
    int err;
    while ((err = send_one(producer)) == 0 && now_ms() - began < SOON_MS)
        nap_ms(10);
    assert_err(err, KAJA_ERR_NO_DIRECTORY);
    assert_ok(kaja_producer_close(producer, 1000));
    assert_err(kaja_store_close(store), KAJA_ERR_NO_DIRECTORY);
}

static void a_moved_one_goes_on(void **state)
{
    (void)state;
    struct kaja_store *store = store_with_topic(NULL);
    struct kaja_producer *producer = producer_on(store, NULL);
    assert_ok(send_one(producer));
    shell("mv $D $D.old");
    int64_t began = now_ms();
    do {
        assert_ok(send_one(producer));
        nap_ms(50);
    } while (now_ms() - began < 1500);
    assert_ok(kaja_producer_close(producer, 1000));
    assert_ok(kaja_store_close(store));
    shell("mv $D.old $D");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(no_acknowledgement_follows),
        test_in_dir(waiting_records_fail),
        test_in_dir(waiting_records_fail_without_worker),
        test_in_dir(acks_1_ends_within_a_second),
        test_in_dir(polls_fail),
        test_in_dir(polls_fail_read_only),
        test_in_dir(polls_fail_when_replaced),
        test_in_dir(replaced_by_another),
        test_in_dir(the_lock_file_replaced),
        test_in_dir(a_moved_one_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
