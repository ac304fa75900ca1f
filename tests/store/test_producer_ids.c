/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What handles know of an idempotent producer: it follows from the log, so every handle answers
 * alike, also one that comes later, after an orderly stop and after a death.
 */
#include "store_test.h"

enum { ID = 77 };

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

/* A batch of count records of producer ID. */
static int append_numbered(struct kj_partition *partition, int16_t epoch, int32_t sequence,
                           int count, struct kj_append_batch *ret_batch)
{
    static uint8_t buf[4096];
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    uint8_t *bytes;
    size_t len;
    kj_batch_writer_init(&writer, buf, sizeof buf);
    for (int i = 0; i < count; i++) {
        struct kj_record record = {
            .timestamp = 4000000000000, .value = &sequence, .value_bytes = sizeof sequence};
        assert_true(kj_batch_writer_append(&writer, &record));
    }
    seal.producer_id = ID;
    seal.producer_epoch = epoch;
    seal.base_sequence = sequence;
    assert_ok(kj_batch_writer_seal(&writer, &seal, &out, &bytes, &len));
    *ret_batch = (struct kj_append_batch){.bytes = bytes, .len = len, .durable = true};
    (void)kj_partition_append(partition, ret_batch, 1, KJ_APPEND_TRUSTED);
    return ret_batch->ret_error;
}

static void expect_new(struct kj_partition *partition, int16_t epoch, int32_t sequence,
                       int64_t offset)
{
    struct kj_append_batch batch;
    assert_ok(append_numbered(partition, epoch, sequence, 2, &batch));
    assert_false(batch.ret_duplicate);
    assert_int_equal(batch.ret_base_offset, offset);
}

static void expect_known(struct kj_partition *partition, int32_t sequence, int64_t offset)
{
    struct kj_append_batch batch;
    int64_t end = kj_log_end(kj_partition_log(partition));
    assert_ok(append_numbered(partition, 0, sequence, 2, &batch));
    assert_true(batch.ret_duplicate);
    assert_int_equal(batch.ret_base_offset, offset);
    assert_int_equal(kj_log_end(kj_partition_log(partition)), end);
}

static void expect_gap(struct kj_partition *partition, int32_t sequence)
{
    struct kj_append_batch batch;
    int64_t end = kj_log_end(kj_partition_log(partition));
    assert_err(append_numbered(partition, 0, sequence, 2, &batch),
               KAJA_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(kj_log_end(kj_partition_log(partition)), end);
}

struct side {
    struct kj_store *store;
    struct kj_topic *topic;
    struct kj_partition *partition;
};

static void open_side(struct side *side, const char *dir)
{
    side->store = open_store(dir);
    assert_ok(kj_topic_find(side->store, "t", true, &side->topic));
    side->partition = partition_of(side->topic, 0);
}

static void close_side(struct side *side)
{
    kj_topic_release(side->topic);
    assert_ok(kj_store_close(side->store));
}

/* Six batches of two: 0 is out of the window of five. Something of nobody's in between. */
static void fill(struct side *side)
{
    assert_ok(append_text(side->partition, "x", true, NULL));
    for (int i = 0; i < 6; i++)
        expect_new(side->partition, 0, 2 * i, 1 + 2 * i);
    assert_ok(append_text(side->partition, "y", true, NULL));
}

static void test_two_handles(void **state)
{
    const char *dir = ((struct temp_dir *)*state)->path;
    struct side a, b;
    open_side(&a, dir);
    open_side(&b, dir);
    fill(&a);
    for (int i = 1; i < 6; i++)
        expect_known(b.partition, 2 * i, 1 + 2 * i);
    expect_gap(b.partition, 0);
    expect_gap(b.partition, 14);
    expect_gap(b.partition, 11); /* half of a batch that is there */
    expect_new(b.partition, 0, 12, 14);
    expect_known(a.partition, 12, 14);
    expect_new(a.partition, 1, 0, 16);
    struct kj_append_batch batch;
    assert_err(append_numbered(b.partition, 0, 14, 2, &batch), KAJA_ERR_INVALID_PRODUCER_EPOCH);
    close_side(&a);
    close_side(&b);
}

/* The snapshot keeps the newest batch of each producer, as Kafka's does. */
static void test_orderly_stop(void **state)
{
    const char *dir = ((struct temp_dir *)*state)->path;
    struct side a;
    open_side(&a, dir);
    fill(&a);
    close_side(&a);
    open_side(&a, dir);
    expect_gap(a.partition, 8);
    expect_known(a.partition, 10, 11);
    expect_gap(a.partition, 14);
    expect_new(a.partition, 0, 12, 14);
    /* Who says that it is gone is not remembered behind the stop. */
    kj_log_forget_producer(kj_partition_log(a.partition), ID);
    close_side(&a);
    open_side(&a, dir);
    expect_new(a.partition, 0, 500, 16);
    close_side(&a);
}

static void test_death(void **state)
{
    const char *dir = ((struct temp_dir *)*state)->path;
    struct side a;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        open_side(&a, dir);
        fill(&a);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(is_clean(dir));
    open_side(&a, dir);
    expect_known(a.partition, 10, 11);
    expect_gap(a.partition, 14);
    expect_new(a.partition, 0, 12, 14);
    close_side(&a);
}

/* Damage in what a handle did not read yet keeps nobody from appending. */
static void test_damage(void **state)
{
    const char *dir = ((struct temp_dir *)*state)->path;
    char path[256];
    struct side a, b;
    struct kj_append_batch batch;
    open_side(&a, dir);
    for (int i = 0; i < 6; i++)
        assert_ok(append_numbered(a.partition, 0, 2 * i, 2, &batch));
    (void)snprintf(path, sizeof path, "%s/t-0/%020d.log", dir, 0);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    /* The magic of the third. */
    assert_int_equal(pwrite(fd, "\x7f", 1, 2 * (off_t)batch.len + KJ_BATCH_MAGIC_AT), 1);
    assert_int_equal(close(fd), 0);
    open_side(&b, dir);
    assert_ok(append_text(b.partition, "z", true, NULL));
    expect_known(b.partition, 2, 2); /* what it could read */
    expect_gap(b.partition, 12);
    expect_new(b.partition, 1, 0, 13);
    expect_new(a.partition, 2, 0, 15);
    kj_topic_release(a.topic);
    kj_topic_release(b.topic);
    (void)kj_store_close(b.store); /* it cannot be flushed: b finds the damage when it verifies */
    (void)kj_store_close(a.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_handles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orderly_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
