/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Structs that begin with their size, with one that has grown: what programs of three releases give
 * to the second.
 */
#include "kjtest.h"

#include "api/sized.h"

struct first {
    size_t size;
    int32_t a;
    int32_t b;
};
struct second {
    size_t size;
    int32_t a;
    int32_t b;
    const char *c;
    int64_t d;
};
struct third {
    size_t size;
    int32_t a;
    int32_t b;
    const char *c;
    int64_t d;
    int64_t e;
};
static const struct kj_sized kind = {"thing", "THING_INIT", sizeof(struct first),
                                     sizeof(struct second)};

/* A copy that ends where its size says, so that a sanitizer sees each look beyond it. */
static int copy(const void *given, size_t size, struct second *ret)
{
    char *exact = malloc(size < sizeof size ? sizeof size : size);
    assert_non_null(exact);
    memcpy(exact, given, size);
    memcpy(exact, &size, sizeof size);
    *ret = (struct second){sizeof *ret, -1, -2, "default", 0};
    int err = kj_sized_copy(&kind, exact, ret);
    free(exact);
    return err;
}

static void an_older_one_gets_defaults(void **state)
{
    (void)state;
    struct second known;
    const struct first old = {sizeof old, 7, 8};
    assert_ok(copy(&old, sizeof old, &known));
    assert_int_equal(known.size, sizeof known);
    assert_int_equal(known.a, 7);
    assert_int_equal(known.b, 8);
    assert_string_equal(known.c, "default");
    assert_int_equal(known.d, 0);
    /* A release between the two: one of the members that came later. */
    const struct second same = {sizeof same, 7, 8, "given", 9};
    assert_ok(copy(&same, offsetof(struct second, d), &known));
    assert_string_equal(known.c, "given");
    assert_int_equal(known.d, 0);
    assert_ok(copy(&same, sizeof same, &known));
    assert_int_equal(known.d, 9);
}

static void a_newer_one_must_leave_at_zero_what_we_do_not_know(void **state)
{
    (void)state;
    struct second known;
    struct third newer = {sizeof newer, 7, 8, "given", 9, 0};
    assert_ok(copy(&newer, sizeof newer, &known));
    assert_int_equal(known.size, sizeof known);
    assert_int_equal(known.d, 9);
    for (size_t i = sizeof(struct second); i < sizeof newer; i++) {
        newer.e = 0;
        ((char *)&newer)[i] = 1;
        assert_err(copy(&newer, sizeof newer, &known), KAJA_ERR_UNSUPPORTED_FEATURE);
        char byte[32];
        (void)snprintf(byte, sizeof byte, "sets byte %zu;", i);
        assert_non_null(strstr(kaja_error_detail(), byte));
        assert_int_equal(known.a, -1); /* untouched */
        /* That byte lies beyond a size that ends before it. */
        assert_ok(copy(&newer, i, &known));
    }
}

static void sizes_that_no_release_had(void **state)
{
    (void)state;
    struct second known;
    static const char zeros[KJ_SIZED_MAX + 1];
    for (size_t size = sizeof size; size < sizeof(struct first); size++) {
        assert_err(copy(zeros, size, &known), KAJA_ERR_INVALID_ARG);
        assert_non_null(strstr(kaja_error_detail(), "THING_INIT"));
    }
    assert_ok(copy(zeros, KJ_SIZED_MAX, &known));
    assert_err(copy(zeros, KJ_SIZED_MAX + 1, &known), KAJA_ERR_INVALID_ARG);
    for (size_t size = SIZE_MAX; size > SIZE_MAX - 3; size--)
        assert_err(kj_sized_copy(&kind, &size, &known), KAJA_ERR_INVALID_ARG);
    for (size_t size = 0; size < sizeof size; size++)
        assert_err(kj_sized_copy(&kind, &size, &known), KAJA_ERR_INVALID_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_one_gets_defaults),
        cmocka_unit_test(a_newer_one_must_leave_at_zero_what_we_do_not_know),
        cmocka_unit_test(sizes_that_no_release_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
