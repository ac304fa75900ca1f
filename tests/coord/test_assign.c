/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/assign.h"

#include "base/alloc.h"
#include "coord/assign_case.h"
#include "golden.h"

static char *run(enum kj_assignor assignor, struct assign_case *one)
{
    struct kj_assignment made;
    assert_ok(kj_assign(assignor, &one->input, &made));
    char *text = case_result(one, &made);
    kj_assignment_free(&made);
    return text;
}

static char *run_text(enum kj_assignor assignor, const char *topics, const char *members)
{
    char *t = strdup(topics), *m = strdup(members);
    struct assign_case one;
    case_parse(&one, t, m);
    char *text = run(assignor, &one);
    case_free(&one);
    free(t);
    free(m);
    return text;
}

static void expect(enum kj_assignor assignor, const char *topics, const char *members,
                   const char *wanted)
{
    char *got = run_text(assignor, topics, members);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s | %s | %s: %s instead of %s", kj_assignor_name(assignor), topics, members, got,
                 wanted);
    free(got);
}

static bool is_built(enum kj_assignor assignor)
{
    return assignor < KJ_ASSIGNOR_STICKY;
}

static char *trim(char *text)
{
    text += strspn(text, " ");
    for (size_t len = strlen(text); len > 0 && text[len - 1] == ' '; len--)
        text[len - 1] = 0;
    return text;
}

/* Kafka's own results. */
static void test_golden(void **state)
{
    (void)state;
    size_t len;
    int cases = 0;
    char *bytes = (char *)golden_read("kafka/assignors.txt", &len), *at = bytes;
    for (char *line = golden_line(&at); line != NULL; cases++) {
        assert_memory_equal(line, "case ", 5);
        char *name = strsep(&line, "|");
        char *assignor_name = trim(strsep(&line, "|"));
        char *topics = trim(strsep(&line, "|")), *members = trim(line);
        enum kj_assignor assignor;
        assert_true(kj_assignor_parse(assignor_name, strlen(assignor_name), &assignor));
        char wanted[1024] = "", *got = NULL;
        if (is_built(assignor))
            got = run_text(assignor, topics, members);
        while ((line = golden_line(&at)) != NULL && line[0] == ' ') {
            line = trim(line);
            char *id = trim(strsep(&line, "="));
            line = trim(line);
            size_t used = strlen(wanted);
            (void)snprintf(wanted + used, sizeof wanted - used, "%s%s=%s", used > 0 ? " " : "", id,
                           strcmp(line, "-") == 0 ? "" : line);
        }
        if (got != NULL && strcmp(got, wanted) != 0)
            fail_msg("%s: %s: %s instead of %s", name, assignor_name, got, wanted);
        free(got);
    }
    assert_int_equal(cases, 17 * 4);
    free(bytes);
}

static void test_names(void **state)
{
    (void)state;
    enum kj_assignor got = KJ_ASSIGNOR_STICKY;
    for (int i = 0; i < KJ_ASSIGNOR_COUNT; i++) {
        const char *name = kj_assignor_name((enum kj_assignor)i);
        assert_true(kj_assignor_parse(name, strlen(name), &got));
        assert_int_equal(got, i);
    }
    got = KJ_ASSIGNOR_STICKY;
    assert_false(kj_assignor_parse("rang", 4, &got));
    assert_false(kj_assignor_parse("ranges", 6, &got));
    assert_false(kj_assignor_parse("", 0, &got));
    assert_int_equal(got, KJ_ASSIGNOR_STICKY);
    assert_true(kj_assignor_is_cooperative(KJ_ASSIGNOR_COOPERATIVE_STICKY));
    assert_false(kj_assignor_is_cooperative(KJ_ASSIGNOR_STICKY));
}

/* Where the order of ids is not that of UTF-8 bytes: what is beyond 16 bits comes before U+E000 and
 * what follows it, and behind all else. */
static void test_order_of_ids(void **state)
{
    (void)state;
    expect(KJ_ASSIGNOR_RANGE, "t=4", "\xef\xbf\xbd:t \xf0\x9f\x98\x80:t z:t \xc3\xa9:t",
           "\xef\xbf\xbd=t-3 \xf0\x9f\x98\x80=t-2 z=t-0 \xc3\xa9=t-1");
    expect(KJ_ASSIGNOR_RANGE, "t=3", "b@:t a@x:t c@w:t", "b=t-2 a=t-1 c=t-0"); /* "": dynamic */
}

static void test_empty(void **state)
{
    (void)state;
    for (int a = 0; a < KJ_ASSIGNOR_COUNT; a++) {
        if (!is_built((enum kj_assignor)a))
            continue;
        expect((enum kj_assignor)a, "t=3", "", "");
        expect((enum kj_assignor)a, "t=3", "a: b:", "a= b=");
        expect((enum kj_assignor)a, "", "a:t b:u;u-1;4", "a= b=");
        expect((enum kj_assignor)a, "t=0", "a:t b:t;t-0;1", "a= b=");
        expect((enum kj_assignor)a, "t=2,u=1", "a:t+t", "a=t-0,t-1"); /* named twice */
    }
}

static long fail_at, allocations;

static int count_allocations(void *arg)
{
    (void)arg;
    return allocations++ == fail_at;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    char topics[] = "t0=9,t1=4,t2=2",
         members[] = "a:t0+t1;t0-0,t0-1,t0-2,t0-3,t0-4,t0-5,t1-0;3 b:t0+t2;t0-6;2 c:t0+t1+t2;;1";
    struct assign_case one;
    case_parse(&one, topics, members);
    for (int a = 0; a < KJ_ASSIGNOR_COUNT; a++) {
        if (!is_built((enum kj_assignor)a))
            continue;
        int err = KAJA_ERR_OUT_OF_MEMORY;
        for (fail_at = 0; err != 0; fail_at++) {
            struct kj_assignment made = {.starts = NULL};
            allocations = 0;
            kj_alloc_set_hook(count_allocations, NULL);
            err = kj_assign((enum kj_assignor)a, &one.input, &made);
            kj_alloc_set_hook(NULL, NULL);
            assert_true(err == 0 || err == KAJA_ERR_OUT_OF_MEMORY);
            assert_true((made.starts != NULL) == (err == 0));
            kj_assignment_free(&made);
        }
        assert_true(fail_at > 5);
    }
    case_free(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_order_of_ids), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
