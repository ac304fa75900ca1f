/* SPDX-License-Identifier: BSD-2-Clause */
#include "kjtest.h"

#include "client/accumulator.h"

enum { BATCHES = 40, MEMORY = 4096 };

static struct kj_send_batch batches[BATCHES];
static uint8_t memory[BATCHES][MEMORY];
static kj_atomic_u64 open_batches;
static struct kj_partition *const one = (struct kj_partition *)(void *)&batches[0];
static struct kj_partition *const other = (struct kj_partition *)(void *)&batches[1];

/* Opens batch i with some records. */
static void open_batch(struct kj_accumulator *acc, int i, int records,
                       struct kj_partition *partition)
{
    static const struct kj_record record = {.timestamp = 1, .value = "value", .value_bytes = 5};
    struct kj_send_batch *batch = &batches[i];
    memset(batch, 0, sizeof *batch);
    kj_batch_writer_init(&batch->writer, memory[i], MEMORY);
    batch->partition = partition;
    batch->created_ns = 1000000;
    for (int n = 0; n < records; n++)
        assert_true(kj_batch_writer_append(&batch->writer, &record));
    kj_accumulator_begin(acc, batch);
}

static struct kj_accumulator *begin(struct kj_accumulator *acc)
{
    open_batches = 0;
    kj_accumulator_init(acc, "topic", 3, &open_batches, -1);
    kj_lock_acquire(&acc->lock);
    return acc;
}

static void end(struct kj_accumulator *acc)
{
    acc->done = acc->begun;
    kj_lock_release(&acc->lock);
    kj_accumulator_destroy(acc);
}

static void test_order(void **state)
{
    (void)state;
    struct kj_accumulator accumulator, *acc = begin(&accumulator);
    struct kj_send_batch *taken[KJ_DRAIN_BATCHES_MAX];
    assert_true(kj_accumulator_empty(acc));
    assert_int_equal(kj_accumulator_take(acc, taken), 0);
    for (int i = 0; i < 3; i++) {
        open_batch(acc, i, 2, one);
        kj_accumulator_close_open(acc);
    }
    assert_int_equal(open_batches, 0);
    open_batch(acc, 3, 1, one);
    assert_int_equal(open_batches, 1);
    assert_int_equal(acc->closed.count, 3);
    assert_int_equal(kj_accumulator_take(acc, taken), 3); /* not the open one */
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(taken[i], &batches[i]);
        assert_int_equal(taken[i]->state, KJ_SEND_TAKEN);
    }
    assert_int_equal(kj_accumulator_take(acc, taken), 0);
    acc->drain_wanted = true;
    assert_int_equal(kj_accumulator_take(acc, taken), 1);
    assert_ptr_equal(taken[0], &batches[3]);
    assert_false(acc->drain_wanted);
    assert_null(acc->open);
    end(acc);
}

/* An append that may be tried again puts its batches back where they were. */
static void test_unpop(void **state)
{
    (void)state;
    struct kj_accumulator accumulator, *acc = begin(&accumulator);
    struct kj_send_batch *taken[KJ_DRAIN_BATCHES_MAX];
    struct kj_batch_queue again;
    kj_batch_queue_init(&again);
    for (int i = 0; i < 4; i++) {
        open_batch(acc, i, 1, i < 2 ? one : other);
        kj_accumulator_close_open(acc);
    }
    assert_int_equal(kj_accumulator_take(acc, taken), 2); /* one partition at a time */
    kj_batch_queue_push(&again, taken[0]);
    kj_batch_queue_push(&again, taken[1]);
    kj_batch_queue_unpop(&acc->closed, &again);
    assert_int_equal(acc->closed.count, 4);
    assert_null(again.first);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(kj_batch_queue_pop(&acc->closed), &batches[i]);
    kj_batch_queue_unpop(&acc->closed, &again); /* nothing into nothing */
    assert_null(kj_batch_queue_pop(&acc->closed));
    kj_batch_queue_push(&again, &batches[0]);
    kj_batch_queue_unpop(&acc->closed, &again);
    kj_batch_queue_push(&acc->closed, &batches[1]);
    assert_int_equal(acc->closed.count, 2);
    end(acc);
}

static void test_limits(void **state)
{
    (void)state;
    struct kj_accumulator accumulator, *acc = begin(&accumulator);
    struct kj_send_batch *taken[KJ_DRAIN_BATCHES_MAX];
    for (int i = 0; i < 20; i++) {
        open_batch(acc, i, 1, one);
        kj_accumulator_close_open(acc);
    }
    assert_int_equal(kj_accumulator_take(acc, taken), KJ_DRAIN_BATCHES_MAX);
    assert_int_equal(kj_accumulator_take(acc, taken), 4);
    for (int i = 0; i < 3; i++) {
        open_batch(acc, i, 1, one);
        batches[i].writer.len = KJ_DRAIN_BYTES_MAX / 2 + 1;
        kj_accumulator_close_open(acc);
    }
    assert_int_equal(kj_accumulator_take(acc, taken), 1); /* two would be too many bytes */
    assert_int_equal(kj_accumulator_take(acc, taken), 1);
    assert_int_equal(kj_accumulator_take(acc, taken), 1);
    end(acc);
}

static void test_ripe(void **state)
{
    (void)state;
    struct kj_accumulator accumulator, *acc = begin(&accumulator);
    struct kj_send_batch *taken[KJ_DRAIN_BATCHES_MAX];
    const int64_t now = 1001000; /* a microsecond after the batches were opened */
    assert_true(kj_accumulator_ripe(acc, now, 0) == INT64_MAX);
    open_batch(acc, 0, 1, one);
    assert_int_equal(kj_accumulator_ripe(acc, now, 5000), 1005000); /* linger.ms */
    assert_false(acc->drain_wanted);
    assert_int_equal(kj_accumulator_ripe(acc, 1005000, 5000), KJ_RIPE_NOW);
    assert_true(acc->drain_wanted);
    acc->drain_wanted = false;
    assert_int_equal(kj_accumulator_ripe(acc, now, 0), KJ_RIPE_NOW);
    assert_true(acc->drain_wanted);
    acc->drain_wanted = false;
    acc->retry_at_ns = now + 10;
    assert_int_equal(kj_accumulator_ripe(acc, now, 0), now + 10);
    acc->retry_at_ns = 0;
    /* A closed one is appended; the open one behind it is not torn away with it. */
    kj_accumulator_close_open(acc);
    open_batch(acc, 1, 1, one);
    assert_int_equal(kj_accumulator_ripe(acc, now, 5000), KJ_RIPE_NOW);
    assert_false(acc->drain_wanted);
    assert_int_equal(kj_accumulator_take(acc, taken), 1);
    acc->drain_wanted = true;
    assert_int_equal(kj_accumulator_take(acc, taken), 1);
    /* Many records in no time: their producer appends them; but not for ever. */
    int64_t look = now + KJ_GROWING_LOOK_NS;
    open_batch(acc, 2, KJ_GROWING_RECORDS_MIN + 1, one);
    assert_int_equal(kj_accumulator_ripe(acc, look, 0), look + KJ_GROWING_LOOK_NS);
    kj_accumulator_close_open(acc);
    open_batch(acc, 3, 1, one);
    kj_accumulator_close_open(acc);
    open_batch(acc, 4, 1, one);
    look += KJ_GROWING_LOOK_NS;
    assert_int_equal(kj_accumulator_ripe(acc, look, 5000), look + KJ_GROWING_LOOK_NS);
    look++; /* too soon to say anything new */
    assert_int_equal(kj_accumulator_ripe(acc, look, 5000), look + KJ_GROWING_LOOK_NS);
    look += KJ_GROWING_LOOK_NS;
    assert_int_equal(kj_accumulator_ripe(acc, look, 5000), KJ_RIPE_NOW); /* no more since */
    assert_int_equal(kj_accumulator_take(acc, taken), 3);
    open_batch(acc, 5, KJ_GROWING_RECORDS_MIN + 1, one);
    look = batches[5].created_ns + KJ_GROWING_NS_MAX;
    assert_int_equal(kj_accumulator_ripe(acc, look, 0), KJ_RIPE_NOW);
    /* Of those that grow, a closed one that is old enough goes, and the younger open one stays. */
    kj_accumulator_close_open(acc);
    acc->drain_wanted = false;
    open_batch(acc, 6, KJ_GROWING_RECORDS_MIN + 1, one);
    batches[6].created_ns = look - 1000;
    look += KJ_GROWING_LOOK_NS;
    assert_int_equal(kj_accumulator_ripe(acc, look, 0), KJ_RIPE_NOW);
    assert_false(acc->drain_wanted);
    /* A flush does not care. */
    acc->drain_wanted = true;
    assert_int_equal(kj_accumulator_ripe(acc, look, 5000), KJ_RIPE_NOW);
    assert_int_equal(kj_accumulator_take(acc, taken), 2);
    end(acc);
}

/* What was kept in the cache stands alone when it comes out: an open batch is in no list, and a look
 * behind it went on into batches of other partitions. */
static void test_cache(void **state)
{
    (void)state;
    struct kj_batch_cache cache;
    kj_batch_cache_init(&cache);
    struct kj_send_batch *a = kj_batch_cache_get(&cache);
    struct kj_send_batch *b = kj_batch_cache_get(&cache);
    assert_true(a != NULL && b != NULL && a != b);
    kj_batch_cache_put(&cache, a);
    kj_batch_cache_put(&cache, b);
    assert_ptr_equal(kj_batch_cache_get(&cache), b);
    assert_null(b->next);
    kj_batch_cache_put(&cache, b);
    kj_batch_cache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_unpop),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ripe),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
