/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"
#include "kjtest.h"

#include "base/alloc.h"
#include "base/err.h"
#include "group_model.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* --- a group whose state goes through the blob behind each step --- */

static struct kj_group *group;
static int64_t now_ms;
static size_t assigned; /* calls of the assignor */
static uint64_t seen;

static const uint8_t RANGE_STICKY[] = {0, 3};
static const uint8_t ROUND[] = {1};
static const uint8_t STICKY_RANGE[] = {3, 0};

static void begin(void)
{
    kj_group_free(group);
    now_ms = 1000;
    seen = 1;
    assigned = 0;
    assert_ok(kj_group_new("g", 0, &group));
}

static void through_blob(void)
{
    struct kj_buffer blob = {0}, again = {0};
    struct kj_group *other;
    assert_true(kj_group_valid(group));
    assert_ok(kj_group_encode(group, &blob));
    assert_true(blob.len % 8 == 0);
    assert_ok(kj_group_decode(blob.bytes, blob.len, &other));
    assert_true(kj_group_valid(other));
    assert_ok(kj_group_encode(other, &again));
    assert_int_equal(blob.len, again.len);
    assert_memory_equal(blob.bytes, again.bytes, blob.len);
    kj_group_free(group);
    group = other;
    kj_buffer_free(&blob);
    kj_buffer_free(&again);
}

static void complete(void)
{
    assert_ok(kj_group_complete(group, now_ms, now_ms, model_assign, &assigned));
    group->record_due = false;
    through_blob();
}

static struct kj_group_join_topic topics_t[] = {{"t", 6}};
static struct kj_group_join_topic topics_u[] = {{"u", 2}, {"t", 6}};

static struct kj_group_join join_of(const char *id, bool new)
{
    return (struct kj_group_join){.member_id = new ? "" : id,
                                  .new_id = new ? id : "",
                                  .instance_id = "",
                                  .client_id = "client",
                                  .slot = 7,
                                  .session_timeout_ms = 100,
                                  .rebalance_timeout_ms = 500,
                                  .assignors = RANGE_STICKY,
                                  .assignor_count = 2,
                                  .topics = topics_t,
                                  .topic_count = 1,
                                  .seen = seen,
                                  .owned_generation = -1,
                                  .max_size = 100,
                                  .now_ms = now_ms};
}

static int step(struct kj_group_join join)
{
    join.now_ms = now_ms;
    int err = kj_group_join(group, &join);
    if (err == 0)
        complete();
    return err;
}

static void joins(const char *id)
{
    assert_ok(step(join_of(id, true)));
}

static void rejoins(const char *id)
{
    assert_ok(step(join_of(id, false)));
}

static void removes(const char *id)
{
    struct kj_group_member *member = kj_group_find(group, id);
    assert_non_null(member);
    kj_group_remove(group, member, now_ms);
    complete();
}

static size_t share(const char *id)
{
    return kj_group_find(group, id)->assigned.count;
}

static void check(enum kj_group_phase phase, int32_t generation, size_t members)
{
    assert_int_equal(group->phase, phase);
    assert_int_equal(group->generation, generation);
    assert_int_equal(group->member_count, members);
}

static void two_members(void)
{
    begin();
    joins("a");
    joins("b");
    rejoins("a");
    check(KJ_GROUP_STABLE, 2, 2);
}

/* --- joining --- */

static void test_first_member(void **state)
{
    (void)state;
    begin();
    check(KJ_GROUP_EMPTY, 0, 0);
    joins("a");
    check(KJ_GROUP_STABLE, 1, 1);
    assert_int_equal(share("a"), 6);
    assert_string_equal(group->leader, "a");
    assert_int_equal(assigned, 1);
    assert_true(kj_group_due_ms(group) == INT64_MAX);
}

static void test_second_member(void **state)
{
    (void)state;
    begin();
    joins("a");
    joins("b");
    check(KJ_GROUP_PREPARING, 1, 2);
    assert_false(kj_group_find(group, "a")->joined);
    assert_true(kj_group_find(group, "b")->joined);
    assert_int_equal(kj_group_due_ms(group), now_ms + 500);
    rejoins("a");
    check(KJ_GROUP_STABLE, 2, 2);
    assert_int_equal(share("a"), 3);
    assert_int_equal(share("b"), 3);
    assert_string_equal(group->leader, "a");
}

static void test_rejoin_unchanged(void **state)
{
    (void)state;
    two_members();
    rejoins("b"); /* not the leader, nothing new */
    check(KJ_GROUP_STABLE, 2, 2);
    rejoins("a"); /* the leader */
    check(KJ_GROUP_PREPARING, 2, 2);
    rejoins("b");
    check(KJ_GROUP_STABLE, 3, 2);
}

static void test_rejoin_changed(void **state)
{
    (void)state;
    const struct kj_group_join_partition owned[] = {{"t", 3}, {"t", 1}};
    two_members();
    struct kj_group_join join = join_of("b", false);
    join.topics = topics_u;
    join.topic_count = 2;
    assert_ok(step(join));
    check(KJ_GROUP_PREPARING, 2, 2);
    rejoins("a");
    check(KJ_GROUP_STABLE, 3, 2);
    assert_int_equal(share("b"), 5);
    join.owned = owned; /* other partitions are a change as well: the follow-up of cooperative */
    join.owned_count = 2;
    join.owned_generation = 3;
    assert_ok(step(join));
    check(KJ_GROUP_PREPARING, 3, 2);
    const struct kj_group_member *b = kj_group_find(group, "b");
    assert_int_equal(b->owned.count, 2);
    assert_int_equal(b->owned.items[0].partition, 1);
    assert_int_equal(b->owned_generation, 3);
}

static void test_deadline(void **state)
{
    (void)state;
    two_members();
    joins("c");
    now_ms += 499;
    complete();
    check(KJ_GROUP_PREPARING, 2, 3);
    now_ms += 1;
    complete();
    check(KJ_GROUP_STABLE, 3, 1); /* a and b did not come */
    assert_string_equal(group->leader, "c");
    assert_int_equal(share("c"), 6);
    struct kj_group_join join = join_of("a", false);
    assert_err(kj_group_join(group, &join), KAJA_ERR_UNKNOWN_MEMBER_ID);
}

static void test_deadline_is_the_longest(void **state)
{
    (void)state;
    begin();
    struct kj_group_join join = join_of("a", true);
    join.rebalance_timeout_ms = 9000;
    assert_ok(step(join));
    joins("b");
    assert_int_equal(kj_group_due_ms(group), now_ms + 9000);
    now_ms += 10;
    joins("c"); /* who comes late does not stretch it */
    assert_int_equal(kj_group_due_ms(group), now_ms - 10 + 9000);
}

static void test_size(void **state)
{
    (void)state;
    two_members();
    struct kj_group_join join = join_of("c", true);
    join.max_size = 2;
    assert_err(kj_group_join(group, &join), KAJA_ERR_GROUP_MAX_SIZE_REACHED);
    two_members();
    join = join_of("b", false);
    join.max_size = 2;
    assert_ok(step(join));
}

/* --- assignors --- */

static void test_assignors(void **state)
{
    (void)state;
    two_members();
    struct kj_group_join join = join_of("c", true);
    join.assignors = ROUND;
    join.assignor_count = 1;
    assert_err(kj_group_join(group, &join), KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL);
    two_members();
    assert_int_equal(group->assignor, 0);
    join.assignors = STICKY_RANGE;
    join.assignor_count = 2;
    assert_ok(step(join));
    rejoins("a");
    rejoins("b");
    assert_int_equal(group->assignor, 0); /* two votes to one */
    join = join_of("a", false);
    join.assignors = STICKY_RANGE;
    assert_ok(step(join));
    rejoins("b");
    join = join_of("c", false);
    join.assignors = STICKY_RANGE;
    assert_ok(step(join));
    check(KJ_GROUP_STABLE, 4, 3);
    assert_int_equal(group->assignor, 3);
    begin(); /* alone it may change its mind */
    joins("a");
    join = join_of("a", false);
    join.assignors = ROUND;
    join.assignor_count = 1;
    assert_ok(step(join));
    assert_int_equal(group->assignor, 1);
}

/* --- leaving --- */

static void test_leave(void **state)
{
    (void)state;
    two_members();
    removes("a");
    check(KJ_GROUP_PREPARING, 2, 1);
    assert_string_equal(group->leader, "b");
    rejoins("b");
    check(KJ_GROUP_STABLE, 3, 1);
    assert_int_equal(share("b"), 6);
    removes("b");
    check(KJ_GROUP_EMPTY, 4, 0);
    assert_string_equal(group->leader, "");
    assert_int_equal(group->topic_count, 0);
    joins("c");
    check(KJ_GROUP_STABLE, 5, 1);
}

/* The one who was waited for goes: that completes it. */
static void test_leave_completes(void **state)
{
    (void)state;
    two_members();
    joins("c");
    rejoins("a");
    check(KJ_GROUP_PREPARING, 2, 3);
    removes("b");
    check(KJ_GROUP_STABLE, 3, 2);
    joins("d");
    removes("d");
    rejoins("a");
    removes("c");
    check(KJ_GROUP_STABLE, 4, 1);
}

static void test_records_are_due(void **state)
{
    (void)state;
    begin();
    struct kj_group_join join = join_of("a", true);
    assert_ok(kj_group_join(group, &join));
    assert_false(group->record_due);
    assert_ok(kj_group_complete(group, now_ms, 77, model_assign, NULL));
    assert_true(group->record_due && group->changed);
    assert_int_equal(group->state_timestamp_ms, 77);
    group->record_due = false;
    kj_group_remove(group, kj_group_find(group, "a"), now_ms);
    assert_false(group->record_due);
    assert_ok(kj_group_complete(group, now_ms, 78, model_assign, NULL));
    assert_true(group->record_due);
}

/* --- static members --- */

static struct kj_group_join static_join(const char *id, const char *instance)
{
    struct kj_group_join join = join_of(id, true);
    join.instance_id = instance;
    return join;
}

static void test_static_takeover(void **state)
{
    (void)state;
    begin();
    joins("a");
    assert_ok(step(static_join("s1", "s")));
    rejoins("a");
    check(KJ_GROUP_STABLE, 2, 2);
    struct kj_group_join join = static_join("s2", "s");
    join.slot = 9;
    assert_ok(kj_group_join(group, &join));
    assert_true(group->record_due && group->changed);
    complete();
    check(KJ_GROUP_STABLE, 2, 2); /* the old assignment, no rebalance */
    assert_null(kj_group_find(group, "s1"));
    assert_int_equal(share("s2"), 3);
    assert_int_equal(kj_group_find(group, "s2")->slot, 9);
    join = join_of("s1", false);
    join.instance_id = "s";
    assert_err(kj_group_join(group, &join), KAJA_ERR_FENCED_INSTANCE_ID);
    assert_err(kj_group_commit_error(group, "s1", "s", 2), KAJA_ERR_FENCED_INSTANCE_ID);
    assert_ok(kj_group_commit_error(group, "s2", "s", 2));
    join = static_join("s3", "s"); /* comes back with other topics */
    join.topics = topics_u;
    join.topic_count = 2;
    assert_ok(step(join));
    check(KJ_GROUP_PREPARING, 2, 2);
    rejoins("a");
    check(KJ_GROUP_STABLE, 3, 2);
}

static void test_static_leader_takeover(void **state)
{
    (void)state;
    begin();
    assert_ok(step(static_join("s1", "s")));
    assert_ok(step(static_join("s2", "s")));
    check(KJ_GROUP_STABLE, 1, 1);
    assert_string_equal(group->leader, "s2");
}

static void test_static_stays(void **state)
{
    (void)state;
    begin();
    assert_ok(step(static_join("s1", "s")));
    joins("a");
    now_ms += 500;
    complete();
    check(KJ_GROUP_STABLE, 2, 2); /* s did not join, and has its share */
    assert_int_equal(share("s1"), 3);
    assert_string_equal(group->leader, "a");
    removes("a");
    check(KJ_GROUP_PREPARING, 2, 1);
    now_ms += 500;
    complete(); /* nobody is here at all: wait on */
    check(KJ_GROUP_PREPARING, 2, 1);
    assert_int_equal(kj_group_due_ms(group), now_ms + 500);
    removes("s1");
    check(KJ_GROUP_EMPTY, 3, 0);
}

/* --- waiting for the first members --- */

static struct kj_group_join delayed(const char *id)
{
    struct kj_group_join join = join_of(id, true);
    join.initial_delay_ms = 100;
    join.rebalance_timeout_ms = 250;
    return join;
}

static void test_initial_delay(void **state)
{
    (void)state;
    begin();
    assert_ok(step(delayed("a")));
    check(KJ_GROUP_PREPARING, 0, 1);
    assert_int_equal(kj_group_due_ms(group), 1100);
    now_ms = 1099;
    complete();
    check(KJ_GROUP_PREPARING, 0, 1);
    assert_ok(step(delayed("b")));
    now_ms = 1100;
    complete(); /* b came in this period: another one */
    assert_int_equal(kj_group_due_ms(group), 1200);
    assert_ok(step(delayed("c")));
    now_ms = 1200;
    complete(); /* only 50 are left of 250 */
    assert_int_equal(kj_group_due_ms(group), 1250);
    assert_ok(step(delayed("d")));
    now_ms = 1250;
    complete();
    check(KJ_GROUP_STABLE, 1, 4);
    begin();
    assert_ok(step(delayed("a")));
    now_ms = 1100;
    complete(); /* nobody else came */
    check(KJ_GROUP_STABLE, 1, 1);
    begin();
    assert_ok(step(delayed("a")));
    removes("a");
    check(KJ_GROUP_EMPTY, 1, 0);
}

/* --- topics --- */

static void test_topics(void **state)
{
    (void)state;
    const struct kj_group_join_topic grown[] = {{"t", 7}, {"other", 3}};
    const struct kj_group_join_topic same[] = {{"t", 6}};
    bool different;
    two_members();
    assert_ok(kj_group_topics(group, same, 1, 2, now_ms, &different));
    assert_false(different);
    assert_ok(kj_group_topics(group, grown, 2, 1, now_ms, &different)); /* older news */
    assert_false(different);
    assert_ok(kj_group_topics(group, grown, 2, 3, now_ms, &different));
    assert_true(different);
    check(KJ_GROUP_PREPARING, 2, 2);
    rejoins("a");
    rejoins("b"); /* with what they saw before: it is not believed */
    check(KJ_GROUP_STABLE, 3, 2);
    assert_int_equal(share("a") + share("b"), 7);
    seen = 4; /* the topic is deleted, which somebody sees who joins */
    topics_t[0].partition_count = -1;
    joins("c");
    rejoins("a");
    rejoins("b");
    topics_t[0].partition_count = 6;
    seen = 1;
    assert_int_equal(share("a") + share("b") + share("c"), 0);
}

/* --- commits, sessions --- */

static void test_commits(void **state)
{
    (void)state;
    begin();
    assert_ok(kj_group_commit_error(group, "", "", -1));
    two_members();
    assert_err(kj_group_commit_error(group, "", "", -1), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_ok(kj_group_commit_error(group, "a", "", 2));
    assert_err(kj_group_commit_error(group, "a", "", 1), KAJA_ERR_ILLEGAL_GENERATION);
    assert_err(kj_group_commit_error(group, "a", "", 3), KAJA_ERR_ILLEGAL_GENERATION);
    assert_err(kj_group_commit_error(group, "a", "", -1), KAJA_ERR_ILLEGAL_GENERATION);
    assert_err(kj_group_commit_error(group, "x", "", 2), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_err(kj_group_commit_error(group, "", "i", 2), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_err(kj_group_commit_error(group, "", "", 2), KAJA_ERR_UNKNOWN_MEMBER_ID);
    joins("c"); /* a rebalance is on: the last generation may still commit */
    assert_ok(kj_group_commit_error(group, "a", "", 2));
    removes("a");
    removes("b");
    removes("c");
    assert_err(kj_group_commit_error(group, "a", "", 2), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_ok(kj_group_commit_error(group, "", "", -1));
}

static void test_sessions(void **state)
{
    (void)state;
    struct kj_group_member member = {.session_timeout_ms = 100};
    assert_false(kj_group_expired(&member, 1000, 1100));
    assert_true(kj_group_expired(&member, 1000, 1101));
    assert_false(kj_group_expired(&member, 5000, 1000)); /* another clock */
    assert_false(kj_group_expired(&member, INT64_MAX, 1000));
}

/* --- random walks against a model that knows only the rules --- */

struct model {
    bool there, joined;
    int generation; /* it joined in */
};
enum { MODEL = 12 };

static void id_of(int i, char id[16])
{
    (void)snprintf(id, 16, "m%d", i);
}

static void check_assignment(void)
{
    bool given[2][8] = {{false}};
    bool wanted[2] = {false, false};
    for (size_t m = 0; m < group->member_count; m++)
        for (size_t k = 0; k < group->members[m].topic_count; k++)
            wanted[strcmp(group->topics[group->members[m].topics[k]].name, "u") == 0] = true;
    for (size_t m = 0; m < group->member_count; m++)
        for (size_t k = 0; k < group->members[m].assigned.count; k++) {
            struct kj_group_partition at = group->members[m].assigned.items[k];
            int topic = strcmp(group->topics[at.topic].name, "u") == 0;
            assert_false(given[topic][at.partition]);
            given[topic][at.partition] = true;
        }
    for (int p = 0; p < 6; p++)
        assert_int_equal(given[0][p], wanted[0]);
    for (int p = 0; p < 2; p++)
        assert_int_equal(given[1][p], wanted[1]);
}

static void walk(uint64_t seed)
{
    uint64_t rng = seed;
    struct model model[MODEL] = {{0}};
    char id[16];
    int32_t generation = 0;
    begin();
    for (int i = 0; i < 300; i++) {
        int m = (int)(kjtest_random(&rng) % MODEL);
        enum kj_group_phase before = group->phase;
        id_of(m, id);
        switch (kjtest_random(&rng) % 8) {
        case 0:
        case 1:
        case 2:
        case 3: {
            struct kj_group_join join = join_of(id, !model[m].there);
            if (kjtest_random(&rng) % 8 == 0) {
                join.topics = topics_u;
                join.topic_count = 2;
            }
            assert_ok(step(join));
            assert_true(kj_group_find(group, id) != NULL);
            break;
        }
        case 4:
            if (model[m].there)
                removes(id);
            break;
        case 5:
            now_ms += (int64_t)(kjtest_random(&rng) % 300);
            complete();
            break;
        default: { /* somebody who is waited for comes */
            for (size_t k = 0; k < group->member_count; k++)
                if (group->phase == KJ_GROUP_PREPARING && !group->members[k].joined) {
                    (void)snprintf(id, sizeof id, "%s", group->members[k].id);
                    rejoins(id);
                    break;
                }
        }
        }
        assert_true(group->generation >= generation);
        if (group->phase == KJ_GROUP_PREPARING) {
            assert_int_equal(group->generation, generation);
            size_t joined = 0;
            for (size_t k = 0; k < group->member_count; k++)
                joined += group->members[k].joined;
            assert_true(joined < group->member_count && now_ms < group->deadline_ms);
        }
        if (group->phase == KJ_GROUP_STABLE) {
            check_assignment();
            assert_true(group->generation > generation || before == KJ_GROUP_STABLE);
        }
        generation = group->generation;
        for (int k = 0; k < MODEL; k++) {
            id_of(k, id);
            model[k].there = kj_group_find(group, id) != NULL;
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = kjtest_seed();
    for (uint64_t i = 0; i < 200; i++)
        walk(seed + i);
}

/* --- the blob --- */

static void test_blob_damage(void **state)
{
    (void)state;
    two_members();
    struct kj_buffer blob = {0};
    struct kj_group *other = NULL;
    assert_ok(kj_group_encode(group, &blob));
    for (size_t at = 0; at < blob.len; at++) {
        blob.bytes[at] ^= 0x20;
        assert_err(kj_group_decode(blob.bytes, blob.len, &other), KAJA_ERR_DAMAGED);
        blob.bytes[at] ^= 0x20;
    }
    for (size_t len = 0; len < blob.len; len++)
        assert_err(kj_group_decode(blob.bytes, len, &other), KAJA_ERR_DAMAGED);
    assert_null(other);
    kj_buffer_free(&blob);
}

static int allocations, fail_at;

static int fail_one(void *arg)
{
    (void)arg;
    return ++allocations == fail_at;
}

/* Damage makes a group anew, without its members; a shortage of memory must not. */
static void test_blob_memory_is_no_damage(void **state)
{
    (void)state;
    enum { MANY = 9000 }; /* more than one piece of the group's memory */
    static struct kj_group_join_partition owned[MANY];
    begin();
    for (int i = 0; i < MANY; i++)
        owned[i] = (struct kj_group_join_partition){"t", i};
    struct kj_group_join join = join_of("a", true);
    join.owned = owned;
    join.owned_count = MANY;
    assert_ok(step(join));
    struct kj_buffer blob = {0};
    assert_ok(kj_group_encode(group, &blob));
    bool failed = true;
    for (fail_at = 1; failed; fail_at++) {
        struct kj_group *other = NULL;
        allocations = 0;
        kj_alloc_set_hook(fail_one, NULL);
        int err = kj_group_decode(blob.bytes, blob.len, &other);
        kj_alloc_set_hook(NULL, NULL);
        failed = allocations >= fail_at;
        assert_int_equal(err, failed ? KAJA_ERR_OUT_OF_MEMORY : 0);
        kj_group_free(other);
    }
    assert_true(fail_at > 5);
    kj_buffer_free(&blob);
}

/* Lengths that would wrap if one were added to them. */
static void test_blob_hostile_lengths(void **state)
{
    (void)state;
    two_members();
    struct kj_buffer blob = {0};
    struct kj_group *other = NULL;
    assert_ok(kj_group_encode(group, &blob));
    for (size_t at = 8; at + 4 <= blob.len; at++) {
        uint8_t kept[4];
        memcpy(kept, blob.bytes + at, sizeof kept);
        memset(blob.bytes + at, 0xff, sizeof kept);
        uint64_t sum = XXH3_64bits(blob.bytes + 8, blob.len - 8);
        memcpy(blob.bytes, &sum, sizeof sum);
        if (kj_group_decode(blob.bytes, blob.len, &other) == 0)
            kj_group_free(other); /* some number, a time perhaps */
        memcpy(blob.bytes + at, kept, sizeof kept);
    }
    kj_buffer_free(&blob);
}

static int end(void **state)
{
    (void)state;
    kj_group_free(group);
    group = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_member),
        cmocka_unit_test(test_second_member),
        cmocka_unit_test(test_rejoin_unchanged),
        cmocka_unit_test(test_rejoin_changed),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_is_the_longest),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_assignors),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_leave_completes),
        cmocka_unit_test(test_records_are_due),
        cmocka_unit_test(test_static_takeover),
        cmocka_unit_test(test_static_leader_takeover),
        cmocka_unit_test(test_static_stays),
        cmocka_unit_test(test_initial_delay),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_blob_damage),
        cmocka_unit_test(test_blob_memory_is_no_damage),
        cmocka_unit_test(test_blob_hostile_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
