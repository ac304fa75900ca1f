/* SPDX-License-Identifier: BSD-2-Clause */
#include "coord/assign.h"

#include "base/alloc.h"
#include "coord/assign_case.h"
#include "golden.h"

static char *run(enum kj_assignor assignor, struct assign_case *one)
{
    struct kj_assignment made;
    assert_ok(kj_assign(assignor, &one->input, &made));
    assert_true(case_valid(one, &made, assignor != KJ_ASSIGNOR_COOPERATIVE_STICKY));
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
        char wanted[1024] = "", *got = run_text(assignor, topics, members);
        while ((line = golden_line(&at)) != NULL && line[0] == ' ') {
            line = trim(line);
            char *id = trim(strsep(&line, "="));
            line = trim(line);
            size_t used = strlen(wanted);
            (void)snprintf(wanted + used, sizeof wanted - used, "%s%s=%s", used > 0 ? " " : "", id,
                           strcmp(line, "-") == 0 ? "" : line);
        }
        if (strcmp(got, wanted) != 0)
            fail_msg("%s: %s: %s instead of %s", name, assignor_name, got, wanted);
        free(got);
    }
    assert_int_equal(cases, 17 * 4);
    free(bytes);
}

/* 400 random cases. In two of them Kafka gives partitions back to a former owner that no longer
 * subscribes to their topic; there only what run() checks counts. Those of kind c were given to
 * Kafka behind the place where it leaves out topics without subscribers, so that all topics count
 * as subscribed by all. */
static void test_golden_random(void **state)
{
    (void)state;
    size_t len;
    int cases = 0, foreign = 0;
    char *bytes = (char *)golden_read("kafka/assignors-random.txt", &len), *at = bytes;
    for (char *line; (line = golden_line(&at)) != NULL; cases++) {
        char *kind = strsep(&line, "|"), *topics = strsep(&line, "|");
        char *members = strsep(&line, "|");
        struct assign_case one;
        uint32_t all[16];
        case_parse(&one, topics, members);
        for (uint32_t t = 0; t < 16; t++)
            all[t] = t;
        for (size_t i = 0; i < one.input.member_count && *kind == 'c'; i++) {
            free((void *)(uintptr_t)one.members[i].topics);
            one.members[i].topics = memcpy(case_alloc(16, sizeof *all), all, sizeof all);
            one.members[i].topic_count = one.input.topic_count;
        }
        char *got = run(KJ_ASSIGNOR_STICKY, &one);
        bool same = strcmp(got, line) == 0;
        if (!same && case_foreign(&one, line))
            foreign++;
        else if (!same)
            fail_msg("case %d: %s instead of %s", cases, got, line);
        free(got);
        case_free(&one);
    }
    assert_int_equal(cases, 400);
    assert_int_equal(foreign, 2);
    free(bytes);
}

/* The lives of groups whose members come, go, are late and subscribe anew. */
static void test_golden_lives(void **state)
{
    (void)state;
    size_t len;
    int cases = 0;
    char *bytes = (char *)golden_read("kafka/assignors-lives.txt", &len), *at = bytes;
    for (char *line; (line = golden_line(&at)) != NULL; cases++) {
        enum kj_assignor assignor;
        char *name = strsep(&line, "|"), *topics = strsep(&line, "|");
        char *members = strsep(&line, "|");
        assert_true(kj_assignor_parse(name, strlen(name), &assignor));
        expect(assignor, topics, members, line);
    }
    assert_int_equal(cases, 181);
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
        expect((enum kj_assignor)a, "t=3", "", "");
        expect((enum kj_assignor)a, "t=3", "a: b:", "a= b=");
        expect((enum kj_assignor)a, "", "a:t b:u;u-1;4", "a= b=");
        expect((enum kj_assignor)a, "t=0", "a:t b:t;t-0;1", "a= b=");
        expect((enum kj_assignor)a, "t=2,u=1", "a:t+t", "a=t-0,t-1"); /* named twice */
    }
}

/* Whoever has no topics is given nothing, also when it comes first in the order of Kafka's map,
 * where it would count as one that has the topics of the others. */
static void test_no_topics(void **state)
{
    (void)state;
    for (int a = 0; a < KJ_ASSIGNOR_COUNT; a++) {
        expect((enum kj_assignor)a, "t=2", "a: b:t", "a= b=t-0,t-1");
        expect((enum kj_assignor)a, "t=2", "b:t a: c:missing", "b=t-0,t-1 a= c=");
    }
}

/* Claims to partitions that a topic no longer has (it was deleted and made anew). */
static void test_fewer_partitions(void **state)
{
    (void)state;
    for (int a = KJ_ASSIGNOR_STICKY; a < KJ_ASSIGNOR_COUNT; a++) {
        expect((enum kj_assignor)a, "t=2", "a:t;t-0,t-1,t-2,t-3;1 b:t;t-4,t-5;1",
               a == KJ_ASSIGNOR_STICKY ? "a=t-0 b=t-1" : "a=t-0 b=");
        expect((enum kj_assignor)a, "t=2,u=1", "a:t+u;t-0,t-2,t-3;1 b:t;t-4;1",
               "a=t-0,u-0 b=t-1");
    }
}

/* Which members of those that have one too many keep it follows from the buckets of a Java map, not
 * from ids: here carol, bob, alice (as Kafka 3.9.1 and 4.2.0 have it). */
static void test_order_of_the_map(void **state)
{
    (void)state;
    const char *members = "alice:t;t-0,t-1,t-2;1 bob:t;;1 carol:t;t-3,t-4,t-5;1";
    expect(KJ_ASSIGNOR_STICKY, "t=7", members, "alice=t-0,t-1 bob=t-2,t-6 carol=t-3,t-4,t-5");
    expect(KJ_ASSIGNOR_COOPERATIVE_STICKY, "t=7", members,
           "alice=t-0,t-1 bob=t-6 carol=t-3,t-4,t-5");
}

/* A group of the size that an assignment should take no time for, in the worst of places for it:
 * one member has it all. Kafka's way, which looks at all members for each partition, would take
 * minutes here under valgrind. */
static void test_large(void **state)
{
    (void)state;
    enum { MEMBERS = 300, TOPICS = 30, EACH = 100 };
    char *members = NULL, *topics = NULL;
    size_t len;
    FILE *to = open_memstream(&topics, &len);
    for (int t = 0; t < TOPICS; t++)
        (void)fprintf(to, "%st%d=%d", t > 0 ? "," : "", t, EACH);
    (void)fclose(to);
    to = open_memstream(&members, &len);
    for (int m = 0; m < MEMBERS; m++) {
        (void)fprintf(to, " m%d:", m);
        for (int t = 0; t < TOPICS; t++)
            if (m == 0 || t % 7 != m % 7)
                (void)fprintf(to, "%st%d", t > 0 ? "+" : "", t);
        for (int p = 0; p < TOPICS * EACH && m == 0; p++)
            (void)fprintf(to, "%st%d-%d", p > 0 ? "," : ";", p / EACH, p % EACH);
        (void)fputs(m == 0 ? ";1" : ";;1", to);
    }
    (void)fclose(to);
    for (int a = 0; a < KJ_ASSIGNOR_COUNT; a++)
        free(run_text((enum kj_assignor)a, topics, members));
    free(members);
    free(topics);
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
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_golden_random),
        cmocka_unit_test(test_golden_lives),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_order_of_ids), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_topics),    cmocka_unit_test(test_fewer_partitions),
        cmocka_unit_test(test_order_of_the_map), cmocka_unit_test(test_large),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
