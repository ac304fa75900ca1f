/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A process dies at every step of joining a group, leaving it, completing its rebalance, taking
 * over the place of another group. Who survives, or comes later, finds a group that works: each
 * partition with one living member, a generation that did not fall.
 *
 * KJ_STRIDE=1 stops at every step; the short form at some.
 */
#include "group_process.h"

enum action { JOIN, LEAVE, JOIN_LEAVE, OTHER_GROUPS };

struct job {
    const char *path;
    enum action action;
    int at;
    int count;
};

static void job_step(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    struct job *job = arg;
    (void)number;
    (void)name;
    if (step != KJ_STEP_LOAD && step != KJ_STEP_WAIT && job->at > 0 && ++job->count == job->at)
        (void)kill(getpid(), SIGKILL);
}

static int join_one(struct process *p, const char *group_id, struct kj_member **ret_member)
{
    struct kj_member_options options = member_options(NULL);
    options.group_id = group_id;
    KJ_TRY(kj_member_new(p->groups, &options, ret_member));
    return kj_member_join(*ret_member, topic_t, 1, NULL, 0);
}

static int run_job(void *arg)
{
    struct job *job = arg;
    struct process p;
    struct kj_store_options options = test_options(job->path);
    struct kj_member *member;
    int at = job->at;
    job->at = 0;
    options.shared_step = job_step;
    options.step_arg = job;
    KJ_TRY(start(&p, &options));
    if (job->action == LEAVE)
        KJ_TRY(join_one(&p, "g", &member));
    job->at = at;
    switch (job->action) {
    case LEAVE:
        return kj_member_leave(member);
    case JOIN:
        return join_one(&p, "g", &member);
    case JOIN_LEAVE:
        KJ_TRY(join_one(&p, "g", &member));
        return kj_member_leave(member);
    case OTHER_GROUPS:
    default:
        KJ_TRY(join_one(&p, "h", &member));
        KJ_TRY(kj_member_leave(member));
        return join_one(&p, "i", &member); /* in the place of h */
    }
}

static int count_members(void *arg, const struct kj_group_info *info)
{
    *(size_t *)arg = info->member_count;
    return 0;
}

/* A member of this process is in the group all the while. True: the child came through. */
static bool survived(struct process *p, struct kj_member *a, enum action action, int at)
{
    struct job job = {.path = dir.path, .action = action, .at = at};
    int32_t generation = kj_member_generation(a);
    size_t members = 0;
    int result = child_end(child_start(run_job, &job));
    assert_true(result == 0 || result == 1000 + SIGKILL);
    enum kj_member_state state = look(a);
    assert_true(state == KJ_MEMBER_STABLE || state == KJ_MEMBER_REJOIN);
    joins(a); /* and whoever holds it up is dead */
    assert_int_equal(share(a), 6);
    assert_true(kj_member_generation(a) > generation);
    assert_ok(kj_group_describe(p->groups, "g", count_members, &members));
    assert_int_equal(members, 1);
    return result == 0;
}

static void test_survivor(void **state)
{
    (void)state;
    int stride = test_number("KJ_STRIDE", 3);
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    for (int action = JOIN; action <= OTHER_GROUPS; action++) {
        int at = 1, steps = 0;
        for (; !survived(&p, a, (enum action)action, at); at += stride)
            steps++;
        assert_true(steps * stride > 20);
        assert_true(steps < 5000);
    }
    kj_member_free(a);
    close_process(&p);
}

/* Nobody is left. */
static void test_all_dead(void **state)
{
    (void)state;
    int stride = test_number("KJ_STRIDE", 7);
    int32_t generation = 0;
    for (int action = JOIN; action <= JOIN_LEAVE; action++) {
        int result = 1;
        for (int at = 1; result != 0; at += stride) {
            struct job job = {.path = dir.path, .action = (enum action)action, .at = at};
            result = child_end(child_start(run_job, &job));
            assert_true(result == 0 || result == 1000 + SIGKILL);
            struct process p = open_process();
            struct kj_member *a = new_member(&p, NULL);
            joins(a);
            assert_int_equal(share(a), 6);
            assert_true(kj_member_generation(a) > generation);
            generation = kj_member_generation(a);
            kj_member_free(a);
            close_process(&p);
        }
    }
}

int main(void)
{
    prefer_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_survivor, make, clear),
        cmocka_unit_test_setup_teardown(test_all_dead, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
