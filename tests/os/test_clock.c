/* SPDX-License-Identifier: BSD-2-Clause */
#include "os_test.h"

#include "os/clock.h"

#include <time.h>

static void test_times(void **state)
{
    (void)state;
    const struct kj_clock *clock = &kj_clock_system;
    int64_t wall = kj_wall_ms(clock);
    int64_t now = (int64_t)time(NULL) * 1000;
    assert_true(wall > now - 2000 && wall < now + 2000);
    int64_t last = kj_mono_ns(clock);
    for (int i = 0; i < 1000; i++) {
        int64_t next = kj_mono_ns(clock);
        assert_true(next >= last);
        last = next;
    }
}

static void test_random(void **state)
{
    (void)state;
    uint8_t a[100] = {0}, b[100] = {0};
    kj_clock_system.random(kj_clock_system.arg, a, 99);
    kj_clock_system.random(kj_clock_system.arg, b, 99);
    assert_memory_not_equal(a, b, 99);
    assert_int_equal(a[99], 0);
}

static void random_denied(void)
{
    os_test_deny(SYS_getrandom, ENOSYS);
    uint8_t a[100] = {0}, b[100] = {0}, zero[33] = {0};
    kj_clock_system.random(kj_clock_system.arg, a, 99);
    kj_clock_system.random(kj_clock_system.arg, b, 99);
    for (int i = 0; i < 3; i++) {
        child_check(memcmp(a + i * 33, b + i * 33, 33) != 0);
        child_check(memcmp(a + i * 33, zero, 33) != 0);
    }
    child_check(a[99] == 0);
}

static void test_random_denied(void **state)
{
    (void)state;
    os_test_in_child(random_denied);
}

static int64_t fixed_now;
static int64_t fixed_mono(void *arg)
{
    (void)arg;
    return fixed_now;
}

static void test_deadline(void **state)
{
    (void)state;
    const struct kj_clock fixed = {.mono_ns = fixed_mono};
    fixed_now = 5;
    assert_true(kj_deadline_ns(&fixed, 0) == 5);
    assert_true(kj_deadline_ns(&fixed, 3) == 3000005);
    assert_true(kj_deadline_ns(&fixed, -1) == INT64_MAX);
    assert_true(kj_deadline_ns(&fixed, INT64_MAX) == INT64_MAX);
    assert_true(kj_deadline_ns(&fixed, INT64_MAX / 1000000 + 1) == INT64_MAX);
    fixed_now = INT64_MAX - 10;
    assert_true(kj_deadline_ns(&fixed, 1) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_denied),
        cmocka_unit_test(test_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
