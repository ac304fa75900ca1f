/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"

#include "base/alloc.h"
#include "base/hash.h"

enum { KEYS = 600 };
static char names[KEYS][8];
static int marks[KEYS];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++)
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
    return 0;
}

static void test_simple(void **state)
{
    (void)state;
    struct kj_map map;
    kj_map_init(&map);
    assert_null(kj_map_get(&map, "a", 1));
    assert_null(kj_map_remove(&map, "a", 1));
    assert_ok(kj_map_put(&map, "a", 1, &marks[0]));
    assert_ok(kj_map_put(&map, "", 0, &marks[1]));
    assert_ok(kj_map_put_u64(&map, 97, &marks[2]));
    assert_ok(kj_map_put_u64(&map, 0, &marks[3]));
    assert_int_equal(map.count, 4);
    assert_ptr_equal(kj_map_get(&map, "a", 1), &marks[0]);
    assert_ptr_equal(kj_map_get(&map, NULL, 0), &marks[1]);
    assert_ptr_equal(kj_map_get_u64(&map, 97), &marks[2]);
    assert_ptr_equal(kj_map_get_u64(&map, 0), &marks[3]);
    assert_null(kj_map_get(&map, "ab", 2));
    assert_ok(kj_map_put(&map, "a", 1, &marks[4]));
    assert_int_equal(map.count, 4);
    assert_ptr_equal(kj_map_remove(&map, "a", 1), &marks[4]);
    assert_null(kj_map_get(&map, "a", 1));
    assert_ptr_equal(kj_map_remove_u64(&map, 97), &marks[2]);
    assert_int_equal(map.count, 2);
    kj_map_free(&map);
    assert_int_equal(map.count, 0);
    assert_null(kj_map_get(&map, "", 0));
}

/* Random puts, removes and gets against a plain array; both kinds of key. */
static void test_model(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    struct kj_map map = {0};
    int *name_model[KEYS] = {0}, *number_model[KEYS] = {0};
    size_t count = 0;
    for (int step = 0; step < 60000; step++) {
        size_t i = kjtest_random(&random) % KEYS;
        bool by_name = kjtest_random(&random) & 1;
        int **model = by_name ? &name_model[i] : &number_model[i];
        size_t len = strlen(names[i]);
        unsigned action = kjtest_random(&random) % 8;
        /* Grows in one half of the run, shrinks in the other. */
        if (action < (step / 15000 % 2 == 0 ? 5 : 2)) {
            int *value = &marks[kjtest_random(&random) % KEYS];
            assert_ok(by_name ? kj_map_put(&map, names[i], len, value)
                              : kj_map_put_u64(&map, i << 40, value));
            count += *model == NULL;
            *model = value;
        } else if (action < 7) {
            void *was =
                by_name ? kj_map_remove(&map, names[i], len) : kj_map_remove_u64(&map, i << 40);
            assert_ptr_equal(was, *model);
            count -= *model != NULL;
            *model = NULL;
        }
        assert_int_equal(map.count, count);
        size_t look = kjtest_random(&random) % KEYS;
        assert_ptr_equal(kj_map_get(&map, names[look], strlen(names[look])), name_model[look]);
        assert_ptr_equal(kj_map_get_u64(&map, look << 40), number_model[look]);
    }
    size_t seen = 0;
    struct kj_map_entry entry;
    for (size_t at = 0; kj_map_next(&map, &at, &entry); seen++) {
        if (entry.key_bytes == KJ_MAP_NUMBER)
            assert_ptr_equal(entry.value, number_model[entry.key.number >> 40]);
        else
            assert_ptr_equal(entry.value, kj_map_get(&map, entry.key.bytes, entry.key_bytes));
    }
    assert_int_equal(seen, count);
    kj_map_free(&map);
}

static void test_remove_while_walking(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 100; n++) {
        struct kj_map map = {0};
        for (uint64_t i = 0; i < n; i++)
            assert_ok(kj_map_put_u64(&map, i, &marks[i]));
        struct kj_map_entry entry;
        for (size_t at = 0; kj_map_next(&map, &at, &entry);) {
            if (entry.key.number % 3 != 0)
                kj_map_remove_current(&map, &at);
        }
        for (uint64_t i = 0; i < n; i++)
            assert_ptr_equal(kj_map_get_u64(&map, i), i % 3 == 0 ? &marks[i] : NULL);
        assert_int_equal(map.count, (n + 2) / 3);
        kj_map_free(&map);
    }
}

static int refuse(void *arg)
{
    (void)arg;
    return 1;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct kj_map map = {0};
    for (uint64_t i = 0; i < 12; i++)
        assert_ok(kj_map_put_u64(&map, i, &marks[i]));
    kj_alloc_set_hook(refuse, NULL);
    int err = kj_map_put_u64(&map, 12, &marks[12]);
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(err, KAJA_ERR_OUT_OF_MEMORY);
    assert_int_equal(map.count, 12);
    for (uint64_t i = 0; i < 13; i++)
        assert_ptr_equal(kj_map_get_u64(&map, i), i < 12 ? &marks[i] : NULL);
    kj_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_remove_while_walking),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
