/* SPDX-License-Identifier: BSD-2-Clause */
#include "kjtest.h"

#include "base/err.h"

#include <errno.h>

static void test_story(void **state)
{
    (void)state;
    assert_int_equal(kj_err(KAJA_ERR_DAMAGED, "bad %s", "byte"), KAJA_ERR_DAMAGED);
    assert_string_equal(kaja_error_detail(), "bad byte");
    kj_err_at(KAJA_ERR_DAMAGED, "orders", 3, 7, 42);
    struct kaja_error_place place;
    kaja_error_where(&place);
    assert_string_equal(place.topic, "orders");
    assert_int_equal(place.partition, 3);
    assert_int_equal(place.offset, 7);
    assert_int_equal(place.pos, 42);

    /* A story that quotes the one before it. */
    kj_err(KAJA_ERR_DAMAGED, "and then: %s", kaja_error_detail());
    assert_string_equal(kaja_error_detail(), "and then: bad byte");

    struct kj_err_saved saved;
    kj_err_save(KAJA_ERR_DAMAGED, &saved);
    kj_err_clear();
    assert_string_equal(kaja_error_detail(), "");
    assert_int_equal(kj_err_restore(&saved), KAJA_ERR_DAMAGED);
    assert_string_equal(kaja_error_detail(), "and then: bad byte");
}

static void test_errno(void **state)
{
    (void)state;
    assert_int_equal(kj_err_os(ENOSPC, "writing x"), KAJA_ERR_DISK_FULL);
    assert_string_equal(kaja_error_detail(), "writing x: No space left on device");
    struct kaja_error_place place;
    kaja_error_where(&place);
    assert_int_equal(place.os_errno, ENOSPC);
    assert_int_equal(kj_err_os(EIO, "x"), KAJA_ERR_KAFKA_STORAGE_ERROR);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(kaja_error_name(1), "OFFSET_OUT_OF_RANGE");
    assert_string_equal(kaja_error_name(0), "NONE");
    assert_string_equal(kaja_error_text(123456), "Unknown error");
    assert_int_equal(kaja_error_retriable(KAJA_ERR_KAFKA_STORAGE_ERROR), 1);
    assert_int_equal(kaja_error_retriable(KAJA_ERR_POISONED), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_story),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
