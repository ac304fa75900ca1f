/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The checker of histories must be able to fail: a good history, and for each law small ones that
 * break it and no other.
 */
#include "history/history.h"

#include "kjtest.h"

static struct history history;
static char told[8192];

static struct history_event *add(enum history_kind kind, int64_t begin, int64_t end)
{
    history_add(&history, &(struct history_event){.kind = kind, .begin = begin, .end = end});
    return &history.events[history.count - 1];
}

static void produced(int64_t begin, int64_t end, int64_t offset, uint64_t value, int acks)
{
    struct history_event *e = add(HISTORY_PRODUCED, begin, end);
    e->offset = offset;
    e->value = value;
    e->acks = acks;
}

static void stands(int64_t offset, uint64_t value)
{
    struct history_event *e = add(HISTORY_STANDS, 10000 + offset, 10000 + offset);
    e->offset = offset;
    e->value = value;
}

static struct history_event *told_of(enum history_kind kind, int64_t at, uint32_t consumer,
                                     int32_t generation)
{
    struct history_event *e = add(kind, at, at);
    e->process = e->consumer = consumer;
    e->generation = generation;
    return e;
}

static void polled(int64_t begin, int64_t end, uint32_t consumer)
{
    struct history_event *e = add(HISTORY_POLLED, begin, end);
    e->process = e->consumer = consumer;
}

static void delivered(int64_t begin, int64_t end, uint32_t consumer, int32_t generation,
                      int64_t offset, uint64_t value)
{
    struct history_event *e = told_of(HISTORY_DELIVERED, begin, consumer, generation);
    e->end = end;
    e->offset = offset;
    e->value = value;
}

static struct history_event *committed(int64_t begin, int64_t end, uint32_t consumer,
                                       int32_t generation, int64_t offset)
{
    struct history_event *e = told_of(HISTORY_COMMITTED, begin, consumer, generation);
    e->end = end;
    e->offset = offset;
    e->acks = -1;
    return e;
}

static struct history_event *fetched(int64_t begin, int64_t end, int64_t offset)
{
    struct history_event *e = add(HISTORY_FETCHED, begin, end);
    e->consumer = 99;
    e->offset = offset;
    return e;
}

/* Three records; consumer 1 reads two and commits, then 2 takes over and reads the last. */
static void good(void)
{
    history_free(&history);
    history.silence = 300;
    produced(1, 5, 0, 7, -1);
    produced(2, 6, 1, 8, 1);
    produced(3, 7, 2, 9, -1);
    polled(10, 20, 1);
    told_of(HISTORY_ASSIGNED, 15, 1, 1);
    delivered(10, 20, 1, 1, 0, 7);
    delivered(10, 20, 1, 1, 1, 8);
    (void)committed(30, 40, 1, 1, 2);
    polled(50, 60, 1);
    told_of(HISTORY_REVOKED, 55, 1, 1);
    polled(70, 80, 2);
    told_of(HISTORY_ASSIGNED, 75, 2, 2);
    fetched(76, 77, 2)->consumer = 2;
    history.events[history.count - 1].value = 1;
    delivered(70, 80, 2, 2, 2, 9);
    (void)committed(90, 100, 2, 2, 3);
    (void)fetched(110, 120, 3);
    stands(0, 7);
    stands(1, 8);
    stands(2, 9);
    (void)add(HISTORY_DRAINED, 20000, 20000);
}

static size_t check(void)
{
    FILE *to = fmemopen(told, sizeof told, "w");
    assert_non_null(to);
    memset(told, 0, sizeof told);
    size_t broken = history_check(&history, to);
    assert_int_equal(fclose(to), 0);
    return broken;
}

/* Broken, and each time this law. */
static void breaks(const char *law)
{
    char wanted[64];
    assert_true(check() > 0);
    (void)snprintf(wanted, sizeof wanted, "BROKEN %s:", law);
    for (const char *at = strstr(told, "BROKEN"); at != NULL; at = strstr(at + 1, "BROKEN"))
        if (strncmp(at, wanted, strlen(wanted)) != 0)
            fail_msg("not (only) %s: %s", law, told);
}

/* Of the good one, in the order of good(). */
static struct history_event *event(enum history_kind kind, int number)
{
    for (size_t i = 0; i < history.count; i++)
        if (history.events[i].kind == kind && number-- == 0)
            return &history.events[i];
    fail_msg("no such event");
    abort();
}

static void drop(enum history_kind kind, int number)
{
    struct history_event *e = event(kind, number);
    *e = history.events[--history.count];
}

static void test_good(void **state)
{
    (void)state;
    good();
    if (check() != 0)
        fail_msg("%s", told);
}

static void test_acknowledged(void **state)
{
    (void)state;
    good();
    event(HISTORY_STANDS, 1)->value = 10; /* another record at its offset */
    event(HISTORY_DELIVERED, 1)->value = 10;
    produced(4, 8, 1, 10, 1);
    event(HISTORY_PRODUCED, 3)->error = HISTORY_UNKNOWN;
    breaks("acknowledged");
    good();
    drop(HISTORY_STANDS, 2); /* not there */
    drop(HISTORY_DELIVERED, 2);
    breaks("acknowledged");
    good();
    produced(4, 8, 3, 6, 1); /* behind records that were sent later */
    stands(3, 6);
    delivered(70, 80, 2, 2, 3, 6);
    breaks("acknowledged");
    good();
    stands(3, 9); /* twice */
    delivered(70, 80, 2, 2, 3, 9);
    breaks("acknowledged");
}

static void test_acknowledged_power_cut(void **state)
{
    (void)state;
    good();
    (void)add(HISTORY_CUT, 500, 500);
    drop(HISTORY_STANDS, 1); /* of acks=1 */
    event(HISTORY_DRAINED, 0)->topic = 1;
    assert_int_equal(check(), 0);
    drop(HISTORY_STANDS, 0); /* of acks=all */
    drop(HISTORY_DELIVERED, 0);
    breaks("acknowledged");
}

static void test_delivered(void **state)
{
    (void)state;
    good();
    drop(HISTORY_DELIVERED, 2); /* never */
    breaks("delivered");
    good();
    event(HISTORY_DRAINED, 0)->group = 1; /* not to the other group */
    breaks("delivered");
    good();
    delivered(130, 140, 2, 2, 3, 11); /* nobody sent it */
    breaks("delivered");
    good();
    produced(4, 8, -1, 11, -1);
    event(HISTORY_PRODUCED, 3)->error = HISTORY_UNKNOWN;
    delivered(130, 140, 2, 2, 3, 11); /* read, and does not stand */
    breaks("delivered");
}

static void test_order(void **state)
{
    (void)state;
    good();
    event(HISTORY_DELIVERED, 0)->offset = 1;
    event(HISTORY_DELIVERED, 0)->value = 8;
    delivered(22, 24, 1, 1, 0, 7); /* back */
    breaks("order");
    good();
    delivered(130, 140, 2, 2, 2, 9); /* again */
    breaks("order");
    good();
    event(HISTORY_FETCHED, 0)->offset = 1; /* not where it said it would begin */
    assert_true(check() > 0);
    assert_non_null(strstr(told, "BROKEN order:"));
}

/* A power cut took a record of acks=1 out of the middle. */
static void test_order_over_a_hole(void **state)
{
    (void)state;
    good();
    drop(HISTORY_STANDS, 1);
    drop(HISTORY_DELIVERED, 1);
    event(HISTORY_FETCHED, 0)->offset = 1;
    event(HISTORY_COMMITTED, 0)->offset = 1;
    (void)add(HISTORY_CUT, 9, 9);
    if (check() != 0)
        fail_msg("%s", told);
    drop(HISTORY_CUT, 0);
    event(HISTORY_PRODUCED, 1)->error = HISTORY_UNKNOWN;
    breaks("order");
}

static void test_one_owner(void **state)
{
    (void)state;
    good();
    told_of(HISTORY_ASSIGNED, 21, 3, 1)->process = 3; /* in the same generation */
    history.silence = 0;
    breaks("one owner");
    good();
    drop(HISTORY_ASSIGNED, 1); /* reads what it was not given */
    breaks("one owner");
    good();
    told_of(HISTORY_REVOKED, 85, 2, 2);
    delivered(130, 140, 2, 2, 0, 7); /* or not any more */
    breaks("one owner");
}

static void test_fenced(void **state)
{
    (void)state;
    good();
    (void)committed(82, 84, 1, 1, 2); /* by the old owner */
    breaks("fenced");
    good();
    event(HISTORY_REVOKED, 0)->begin = event(HISTORY_REVOKED, 0)->end = 200;
    delivered(82, 84, 1, 1, 2, 9); /* it reads on */
    polled(82, 84, 1);
    history.silence = 0;
    breaks("fenced");
    good();
    committed(82, 84, 1, 1, 2)->error = 22; /* refused, as it must be */
    assert_int_equal(check(), 0);
}

static void test_static_member_is_fenced(void **state)
{
    (void)state;
    good();
    for (size_t i = 0; i < history.count; i++)
        if (history.events[i].consumer == 1 || history.events[i].consumer == 2) {
            history.events[i].instance = 5;
            history.events[i].generation = 1; /* takes the other's place in it */
        }
    drop(HISTORY_REVOKED, 0);
    assert_int_equal(check(), 0);
    committed(82, 84, 1, 1, 2)->instance = 5;
    breaks("fenced");
}

static void test_taken(void **state)
{
    (void)state;
    good();
    drop(HISTORY_REVOKED, 0);
    breaks("taken");
    good();
    drop(HISTORY_REVOKED, 0);
    history.silence = 10; /* it was away long enough */
    assert_int_equal(check(), 0);
    good();
    drop(HISTORY_REVOKED, 0);
    told_of(HISTORY_GONE, 65, 1, 0);
    assert_int_equal(check(), 0);
    good();
    drop(HISTORY_REVOKED, 0);
    add(HISTORY_STOPPED, 61, 400)->process = 1;
    assert_int_equal(check(), 0);
}

static void test_generations(void **state)
{
    (void)state;
    good();
    event(HISTORY_ASSIGNED, 0)->generation = 3;
    for (int i = 0; i < 2; i++)
        event(HISTORY_DELIVERED, i)->generation = 3;
    event(HISTORY_COMMITTED, 0)->generation = 3;
    event(HISTORY_REVOKED, 0)->generation = 3;
    assert_true(check() > 0);
    assert_non_null(strstr(told, "BROKEN generations:"));
    (void)add(HISTORY_CUT, 65, 65);
    assert_int_equal(check(), 0);
}

static void test_committed(void **state)
{
    (void)state;
    good();
    event(HISTORY_FETCHED, 1)->offset = 2; /* an older one */
    breaks("committed");
    good();
    event(HISTORY_FETCHED, 1)->offset = -1; /* none */
    breaks("committed");
    good();
    event(HISTORY_FETCHED, 1)->offset = 7; /* nobody's */
    breaks("committed");
    good();
    event(HISTORY_FETCHED, 1)->begin = 95; /* at the same time: either */
    event(HISTORY_FETCHED, 1)->offset = 2;
    assert_int_equal(check(), 0);
    good();
    event(HISTORY_COMMITTED, 1)->error = HISTORY_UNKNOWN; /* nobody heard of it: either */
    assert_int_equal(check(), 0);
    event(HISTORY_FETCHED, 1)->offset = 2;
    assert_int_equal(check(), 0);
    good();
    event(HISTORY_COMMITTED, 1)->error = 22; /* refused, and still there */
    breaks("committed");
}

static void test_committed_power_cut(void **state)
{
    (void)state;
    good();
    (void)add(HISTORY_CUT, 105, 105);
    event(HISTORY_FETCHED, 1)->offset = 2; /* the newest was acks=all: it stands */
    breaks("committed");
    event(HISTORY_COMMITTED, 1)->acks = 1;
    assert_int_equal(check(), 0);
    add(HISTORY_END, 106, 106)->offset = 1; /* moved back to the recovered end */
    breaks("committed");
    event(HISTORY_FETCHED, 1)->offset = 1;
    assert_int_equal(check(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_acknowledged),
        cmocka_unit_test(test_acknowledged_power_cut),
        cmocka_unit_test(test_delivered),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_over_a_hole),
        cmocka_unit_test(test_one_owner),
        cmocka_unit_test(test_fenced),
        cmocka_unit_test(test_static_member_is_fenced),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_committed),
        cmocka_unit_test(test_committed_power_cut),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    history_free(&history);
    return failed;
}
