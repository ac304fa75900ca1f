/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The keys of a compaction: the newest offset counts, the bound holds, a full table says so and keeps what
 * it has.
 */
#include "kjtest.h"

#include "base/alloc.h"
#include "log/clean_map.h"

static void test_newest_offset(void **state)
{
    (void)state;
    struct kj_clean_map map;
    assert_ok(kj_clean_map_init(&map, &kj_clock_system, 1 << 20));
    assert_int_equal(kj_clean_map_get(&map, "a", 1), -1);
    assert_true(kj_clean_map_put(&map, "a", 1, 0));
    assert_true(kj_clean_map_put(&map, "", 0, 7)); /* an empty key is a key */
    assert_true(kj_clean_map_put(&map, "a", 1, 5));
    assert_true(kj_clean_map_put(&map, "a", 1, 3));
    assert_int_equal(kj_clean_map_get(&map, "a", 1), 5);
    assert_int_equal(kj_clean_map_get(&map, "", 0), 7);
    assert_int_equal(kj_clean_map_get(&map, "b", 1), -1);
    assert_int_equal(map.count, 2);
    kj_clean_map_free(&map);
}

/* Takes keys until it is full; returns how many. */
static int64_t fill(struct kj_clean_map *map)
{
    int64_t n = 0;
    while (kj_clean_map_put(map, &n, sizeof n, n * 2) && n < 1 << 20)
        n++;
    return n;
}

static void test_bound(void **state)
{
    (void)state;
    struct kj_clean_map map;
    assert_ok(kj_clean_map_init(&map, &kj_clock_system, 1 << 20));
    int64_t n = fill(&map);
    assert_true(map.slot_count * sizeof *map.slots <= 1 << 20);
    assert_true(map.slot_count * sizeof *map.slots > 1 << 19);
    assert_true(n >= (int64_t)(map.slot_count / 10 * 9));
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(kj_clean_map_get(&map, &i, sizeof i), i * 2);
    assert_int_equal(kj_clean_map_get(&map, &n, sizeof n), -1);
    int64_t known = 0; /* one that is there can still rise */
    assert_true(kj_clean_map_put(&map, &known, sizeof known, 99));
    assert_int_equal(kj_clean_map_get(&map, &known, sizeof known), 99);
    kj_clean_map_free(&map);
}

static int fail_always(void *arg)
{
    (void)arg;
    return 1;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct kj_clean_map map;
    kj_alloc_set_hook(fail_always, NULL);
    int err = kj_clean_map_init(&map, &kj_clock_system, 1 << 20);
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(err, KAJA_ERR_OUT_OF_MEMORY);
    assert_ok(kj_clean_map_init(&map, &kj_clock_system, 1 << 20));
    kj_alloc_set_hook(fail_always, NULL);
    int64_t n = fill(&map); /* full before its time, and whole */
    kj_alloc_set_hook(NULL, NULL);
    assert_true(n > 900 && n < 1024);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(kj_clean_map_get(&map, &i, sizeof i), i * 2);
    kj_clean_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_offset),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
