/* SPDX-License-Identifier: BSD-2-Clause */
#include "kjtest.h"

#include "base/alloc.h"
#include "client/buffer_pool.h"
#include "os/clock.h"

#include <pthread.h>
#include <time.h>

static int64_t soon(int64_t ms)
{
    return kj_deadline_ns(&kj_clock_system, ms);
}

static void give(struct kj_buffer_pool *pool, uint8_t *buffer, size_t size)
{
    kj_buffer_pool_give_memory(pool, buffer, size);
    kj_buffer_pool_give_allowance(pool, size);
}

/* An ordinary buffer, or one as large as needed. */
static size_t size_of(const struct kj_buffer_pool *pool, size_t bytes)
{
    return bytes <= pool->buffer_bytes ? pool->buffer_bytes : bytes;
}

static uint8_t *try_one(struct kj_buffer_pool *pool, size_t bytes, bool *ret_full)
{
    return kj_buffer_pool_try(pool, size_of(pool, bytes), ret_full);
}

static int take_one(struct kj_buffer_pool *pool, size_t bytes, int64_t deadline_ns,
                    uint8_t **ret_buffer)
{
    return kj_buffer_pool_take(pool, size_of(pool, bytes), deadline_ns, NULL, NULL,
                               ret_buffer);
}

/* The memory given back last comes first; the same memory for ever. */
static void test_reuse(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    kj_buffer_pool_init(&pool, 4096, 1024);
    uint8_t *a = try_one(&pool, 100, &full);
    uint8_t *b = try_one(&pool, 1024, &full);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(kj_buffer_pool_used(&pool), 2048);
    give(&pool, a, 1024);
    give(&pool, b, 1024);
    for (int i = 0; i < 1000; i++) {
        uint8_t *again = try_one(&pool, 10, &full);
        assert_ptr_equal(again, b);
        give(&pool, again, 1024);
    }
    assert_int_equal(pool.allocated, 2048);
    kj_buffer_pool_destroy(&pool);
}

/* The sum of what is out never passes the limit, also with buffers of other sizes. */
static void test_limit(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    uint8_t *small[4];
    kj_buffer_pool_init(&pool, 4096, 1024);
    for (int i = 0; i < 4; i++)
        assert_non_null(small[i] = try_one(&pool, 1, &full));
    assert_null(try_one(&pool, 1, &full));
    assert_true(full);
    for (int i = 0; i < 4; i++)
        give(&pool, small[i], 1024);
    assert_int_equal(pool.allocated, 4096);
    /* A large one takes the place of kept ones. */
    uint8_t *large = try_one(&pool, 3000, &full);
    assert_non_null(large);
    memset(large, 1, 3000);
    assert_true(pool.allocated <= 4096);
    assert_int_equal(kj_buffer_pool_used(&pool), 3000);
    assert_non_null(small[0] = try_one(&pool, 1000, &full));
    assert_null(try_one(&pool, 1000, &full));
    give(&pool, large, 3000);
    give(&pool, small[0], 1024);
    kj_buffer_pool_destroy(&pool);
}

/* Memory that came back before its allowance does not make room. */
static void test_allowance(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    uint8_t *buffer;
    kj_buffer_pool_init(&pool, 1024, 1024);
    assert_non_null(buffer = try_one(&pool, 1, &full));
    kj_buffer_pool_give_memory(&pool, buffer, 1024);
    assert_null(try_one(&pool, 1, &full));
    assert_true(full);
    assert_err(take_one(&pool, 1, soon(0), &buffer), KAJA_ERR_BUFFER_EXHAUSTED);
    kj_buffer_pool_give_allowance(&pool, 1024);
    assert_ok(take_one(&pool, 1, soon(0), &buffer));
    give(&pool, buffer, 1024);
    kj_buffer_pool_destroy(&pool);
}

static void test_timeout(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    uint8_t *buffer, *none = NULL;
    kj_buffer_pool_init(&pool, 1000, 1024);
    assert_in_range(kj_buffer_pool_size(&pool, 5, 0), 500, 1000); /* never more than there is */
    assert_non_null(buffer = try_one(&pool, 1, &full));
    int64_t before = kj_mono_ns(&kj_clock_system);
    assert_err(take_one(&pool, 1, soon(20), &none), KAJA_ERR_BUFFER_EXHAUSTED);
    assert_null(none);
    assert_true(kj_mono_ns(&kj_clock_system) - before >= 20000000);
    give(&pool, buffer, 1000);
    kj_buffer_pool_destroy(&pool);
}

struct waiter {
    struct kj_buffer_pool *pool;
    size_t bytes;
    int turn; /* in which it got its buffer */
    int err;
    uint8_t *buffer;
};
static kj_atomic_u64 turns;

static void *wait_for(void *arg)
{
    struct waiter *waiter = arg;
    waiter->err = take_one(waiter->pool, waiter->bytes, soon(5000), &waiter->buffer);
    waiter->turn = (int)kj_fetch_add(&turns, 1);
    return NULL;
}

static void nap(void)
{
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
}

/* First come, first served: a small wish behind a large one waits for it. */
static void test_fifo(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    uint8_t *held[4];
    pthread_t threads[2];
    kj_buffer_pool_init(&pool, 4096, 1024);
    for (int i = 0; i < 4; i++)
        assert_non_null(held[i] = try_one(&pool, 1, &full));
    struct waiter large = {.pool = &pool, .bytes = 2048}, small = {.pool = &pool, .bytes = 10};
    turns = 0;
    assert_int_equal(pthread_create(&threads[0], NULL, wait_for, &large), 0);
    nap();
    assert_int_equal(pthread_create(&threads[1], NULL, wait_for, &small), 0);
    nap();
    give(&pool, held[0], 1024); /* would do for the small one */
    nap();
    assert_int_equal(turns, 0);
    assert_null(try_one(&pool, 1, &full)); /* nor may others pass them */
    assert_true(full);
    give(&pool, held[1], 1024);
    pthread_join(threads[0], NULL);
    assert_int_equal(large.turn, 0);
    give(&pool, held[2], 1024);
    pthread_join(threads[1], NULL);
    assert_ok(large.err);
    assert_ok(small.err);
    give(&pool, held[3], 1024);
    give(&pool, large.buffer, 2048);
    give(&pool, small.buffer, 1024);
    kj_buffer_pool_destroy(&pool);
}

static int refuse(void *arg)
{
    (void)arg;
    return 1;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full = true;
    uint8_t *buffer = NULL;
    kj_buffer_pool_init(&pool, 4096, 1024);
    kj_alloc_set_hook(refuse, NULL);
    assert_null(try_one(&pool, 1, &full));
    assert_false(full);
    assert_err(take_one(&pool, 1, soon(0), &buffer), KAJA_ERR_OUT_OF_MEMORY);
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(kj_buffer_pool_used(&pool), 0);
    kj_buffer_pool_destroy(&pool);
}

/* Many open batches share the memory in smaller sizes; each size is reused. */
static void test_sizes(void **state)
{
    (void)state;
    struct kj_buffer_pool pool;
    bool full;
    enum { TOTAL = 1 << 20, BUFFER = 16384 };
    kj_buffer_pool_init(&pool, TOTAL, BUFFER);
    assert_int_equal(kj_buffer_pool_size(&pool, 100, 0), BUFFER);
    assert_int_equal(kj_buffer_pool_size(&pool, 100, 31), BUFFER); /* 32 of them are half of it */
    assert_int_equal(kj_buffer_pool_size(&pool, 100, 32), BUFFER / 2);
    assert_int_equal(kj_buffer_pool_size(&pool, 5000, 1000), BUFFER / 2); /* must hold the record */
    assert_int_equal(kj_buffer_pool_size(&pool, 100, 100000), BUFFER >> (KJ_POOL_SIZES - 1));
    assert_int_equal(kj_buffer_pool_size(&pool, BUFFER + 1, 100000), BUFFER + 1);
    uint8_t *seen[KJ_POOL_SIZES];
    for (int i = 0; i < KJ_POOL_SIZES; i++) {
        size_t size = (size_t)BUFFER >> i;
        assert_non_null(seen[i] = kj_buffer_pool_try(&pool, size, &full));
        memset(seen[i], i, size);
        give(&pool, seen[i], size);
    }
    for (int i = 0; i < KJ_POOL_SIZES; i++) {
        size_t size = (size_t)BUFFER >> i;
        assert_ptr_equal(kj_buffer_pool_try(&pool, size, &full), seen[i]);
        give(&pool, seen[i], size);
    }
    /* All of them make way for one that needs everything. */
    uint8_t *large = kj_buffer_pool_try(&pool, TOTAL, &full);
    assert_non_null(large);
    assert_int_equal(pool.allocated, TOTAL);
    give(&pool, large, TOTAL);
    kj_buffer_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse),     cmocka_unit_test(test_limit),
        cmocka_unit_test(test_allowance), cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_fifo),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
