/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Groups where something is wrong, or goes on at the same time: words of the control file that are
 * damaged or used again, threads, no memory, a full disk, a stopped process that holds the lock;
 * and many members.
 */
#include "group_process.h"

#include "store/scratch.h"
#include "sim/sim_io.h"
#include "sim/sim_shared.h"

#include <pthread.h>

/* --- words --- */

static void test_areas_are_used_again(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_shared *shared = kj_shared_of(p.store);
    struct kj_member *stays = new_member(&p, NULL);
    uint64_t after = 0;
    joins(stays);
    for (int i = 0; i < 30; i++) {
        char id[20];
        struct kj_member_options options = member_options(NULL);
        struct kj_member *member;
        (void)snprintf(id, sizeof id, "group-%d", i % 7);
        options.group_id = id;
        assert_ok(kj_member_new(p.groups, &options, &member));
        joins(member);
        assert_int_equal(share(member), 6);
        assert_int_equal(kj_member_generation(member), 1 + 2 * (i / 7));
        assert_ok(kj_member_leave(member));
        kj_member_free(member);
        if (i == 0)
            after = kj_shared_load(shared, KJ_CONTROL_NEXT);
    }
    assert_int_equal(kj_shared_load(shared, KJ_CONTROL_NEXT), after);
    assert_int_equal(share(stays), 6);
    kj_member_free(stays);
    close_process(&p);
}

static struct kj_member *join_group(struct process *p, const char *group_id,
                                    const char *instance_id)
{
    struct kj_member_options options = member_options(instance_id);
    struct kj_member *member = NULL;
    options.group_id = group_id;
    options.session_timeout_ms = instance_id != NULL ? 100 : 30000;
    assert_ok(kj_member_new(p->groups, &options, &member));
    joins(member);
    return member;
}

/* What dead members had of the control file is used again: in one group, and in always others. */
static void die_in_turn(bool one_group)
{
    enum { TIMES = 10000, SETTLED = 50 };
    struct process p = open_process(), q = open_process();
    struct kj_member *stays = join_group(&q, "stays", NULL);
    uint64_t after = 0;
    for (int i = 0; i < TIMES; i++) {
        char id[20];
        (void)snprintf(id, sizeof id, "group-%d", one_group ? 0 : i);
        struct kj_member *member = join_group(&p, id, NULL);
        assert_int_equal(share(member), 6);
        kj_member_free(member); /* without a word, as if its process were killed */
        if (i == SETTLED)
            after = kj_shared_load(kj_shared_of(p.store), KJ_CONTROL_NEXT);
    }
    assert_int_equal(kj_shared_load(kj_shared_of(p.store), KJ_CONTROL_NEXT), after);
    assert_int_equal(share(stays), 6);
    kj_member_free(stays);
    close_process(&p);
    close_process(&q);
}

static void test_dead_in_turn(void **state)
{
    (void)state;
    die_in_turn(true);
}

static void test_dead_groups_in_turn(void **state)
{
    (void)state;
    die_in_turn(false);
}

/* --- groups all of whose members died --- */

static struct process open_process_expiring(void)
{
    struct process process;
    struct kj_store_options store_options = test_options(dir.path);
    struct kj_offset_store_options options;
    const struct kj_groups_options groups = {
        .min_session_timeout_ms = 10, .max_session_timeout_ms = 100000, .max_size = 200};
    kj_offset_store_options_defaults(&options);
    options.retention_minutes = 0;
    assert_ok(kj_store_open(&store_options, &process.store));
    assert_ok(kj_offset_store_open(process.store, &options, &process.offsets));
    assert_ok(kj_groups_open(process.store, process.offsets, &groups, &process.groups));
    return process;
}

static void commit_one(struct process *p, struct kj_member *member)
{
    struct kj_commit_as as;
    struct kj_offset_ticket ticket;
    const struct kj_offset_item item = {"t", 0, -1, 1, NULL};
    kj_member_commit_as(member, &as);
    const struct kj_offset_commit commit = {.group_id = kj_member_group_id(member),
                                            .items = &item,
                                            .count = 1,
                                            .check = kj_group_check_commit,
                                            .check_arg = &as};
    assert_ok(kj_offset_store_commit(p->offsets, &commit, &ticket));
}

static int note_group(void *arg, const struct kj_group_info *info)
{
    char *text = arg;
    size_t len = strlen(text);
    (void)snprintf(text + len, 200 - len, "%s:%d:%zu ", info->group_id, (int)info->phase,
                   info->member_count);
    return 0;
}

/* "name:phase:members " of each, by list, and by describe. */
static void assert_groups(struct process *p, const char *expected)
{
    char text[200] = "";
    assert_ok(kj_groups_list(p->groups, note_group, text));
    assert_string_equal(text, expected);
}

static bool offset_there(struct process *p, const char *group_id)
{
    bool found;
    int64_t offset;
    assert_ok(kj_offset_store_fetch(p->offsets, group_id, "t", 0, &found, &offset, NULL, NULL));
    return found;
}

/* Dynamic ones are known dead at once, static ones when their session ended. */
static void test_dead_groups_expire(void **state)
{
    (void)state;
    struct process p = open_process_expiring(), q = open_process();
    struct kj_member *a = join_group(&q, "dead", NULL), *s = join_group(&q, "still", "s");
    struct kj_member *l = join_group(&q, "live", NULL);
    commit_one(&q, a);
    commit_one(&q, s);
    commit_one(&q, l);
    kj_member_free(a);
    kj_member_free(s);
    assert_ok(kj_offset_store_expire(p.offsets));
    assert_false(offset_there(&p, "dead"));
    assert_true(offset_there(&p, "live"));
    nap(150);
    assert_groups(&p, "live:3:1 still:1:0 ");
    assert_ok(kj_offset_store_expire(p.offsets));
    assert_false(offset_there(&p, "still"));
    assert_true(offset_there(&p, "live"));
    assert_groups(&p, "live:3:1 ");
    kj_member_free(l);
    close_process(&p);
    close_process(&q);
}

/* Nor comes back, when the dead are swept out. */
static void test_dead_group_is_deleted(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = join_group(&q, "dead", NULL), *s = join_group(&q, "still", "s");
    const struct kj_commit_as as[] = {{.groups = p.groups, .group_id = "dead", .generation = -1},
                                      {.groups = p.groups, .group_id = "still", .generation = -1}};
    commit_one(&q, a);
    commit_one(&q, s);
    kj_member_free(a);
    kj_member_free(s);
    for (int i = 0; i < 2; i++) {
        struct kj_commit_as by = as[i];
        struct kj_offset_ticket ticket;
        const struct kj_offset_commit all = {
            .group_id = by.group_id, .check = kj_group_check_empty, .check_arg = &by};
        if (i == 1) {
            assert_err(kj_offset_store_delete(p.offsets, &all, &ticket),
                       KAJA_ERR_NON_EMPTY_GROUP);
            nap(150);
        }
        assert_ok(kj_offset_store_delete(p.offsets, &all, &ticket));
    }
    assert_groups(&p, "");
    assert_ok(kj_offset_store_expire(p.offsets));
    assert_groups(&p, "");
    a = join_group(&q, "dead", NULL);
    assert_int_equal(share(a), 6);
    assert_groups(&p, "dead:3:1 ");
    kj_member_free(a);
    close_process(&p);
    close_process(&q);
}

/* The housekeeping of a handle without members sees to it, and the group is as one that was left. */
static void test_dead_are_swept(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_offset_group stored;
    bool found;
    struct kj_member *a = join_group(&q, "g", NULL);
    commit_one(&q, a);
    int32_t generation = kj_member_generation(a);
    kj_member_free(a);
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.member_count, 1);
    assert_ok(kj_offset_store_expire(p.offsets));
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.member_count, 0);
    assert_int_equal(stored.generation, generation + 1);
    assert_true(offset_there(&p, "g"));
    close_process(&p);
    close_process(&q);
}

static void test_damaged_blob(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    joins(a);
    joins(b);
    joins(a);
    int32_t generation = kj_member_generation(a);
    struct kj_shared *shared = kj_shared_of(p.store);
    uint64_t area = kj_shared_load(shared, KJ_CONTROL_GROUPS);
    uint64_t next = kj_shared_load(shared, KJ_CONTROL_NEXT);
    for (uint64_t word = area + 16; word < next; word++)
        kj_shared_store(shared, (kj_word)word, 0x1234567890abcdef);
    kj_shared_store(shared, (kj_word)area + 3, UINT64_MAX - 5); /* the state too */
    assert_int_equal(look(a), KJ_MEMBER_LOST);
    assert_int_equal(look(b), KJ_MEMBER_LOST);
    /* A chain of slots that leads nowhere cannot be mended while anybody is here. */
    kj_shared_store(shared, (kj_word)area + 8, 0);
    joins(a);
    assert_true(kj_member_generation(a) > generation);
    joins(b);
    joins(a);
    assert_int_equal(share(a) + share(b), 6);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    close_process(&q);
}

/* --- threads --- */

struct worker {
    pthread_t thread;
    struct kj_member *member;
    _Atomic bool stop;
};

static void *work_on(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; !worker->stop; i++) {
        enum kj_member_state state;
        kj_member_poll_seen(worker->member);
        if (kj_member_look(worker->member, &state) != 0)
            return worker;
        if (state != KJ_MEMBER_STABLE && state != KJ_MEMBER_JOINED &&
            kj_member_join(worker->member, topic_t, 1, NULL, 0) != 0)
            return worker;
        if (i % 50 == 49 && kj_member_leave(worker->member) != 0)
            return worker;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    struct worker workers[THREADS] = {0};
    struct process p;
    struct kj_store_options options = test_options(dir.path);
    options.background_threads = 1;
    assert_ok(start(&p, &options));
    for (int i = 0; i < THREADS; i++) {
        workers[i].member = new_member(&p, NULL);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_on, &workers[i]), 0);
    }
    nap(400);
    for (int i = 0; i < THREADS; i++)
        workers[i].stop = true;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(workers[i].thread, &result), 0);
        assert_null(result);
        kj_member_free(workers[i].member);
    }
    close_process(&p);
}

/* --- what fails --- */

static int hold_and_stop(void *arg)
{
    struct process p;
    struct kj_partition *partition;
    struct kj_store_options options = test_options(dir.path);
    int fd = *(int *)arg;
    KJ_TRY(start(&p, &options));
    KJ_TRY(kj_offset_store_partition(p.offsets, "g", false, &partition));
    KJ_TRY(kj_partition_hold(partition));
    if (write(fd, "h", 1) != 1)
        return 1;
    return pause();
}

/* Whoever ticks also sends what producers wait for: it does not wait for a stopped process. */
static void test_lock_held(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    int to_parent[2];
    char c;
    joins(a);
    joins(b);
    joins(a);
    assert_int_equal(pipe(to_parent), 0);
    pid_t pid = child_start(hold_and_stop, &to_parent[1]);
    assert_int_equal(read(to_parent[0], &c, 1), 1);
    kj_member_free(b);
    nap(110);
    int64_t begin = now_ms();
    assert_err(kj_member_tick(a, NULL), KAJA_ERR_LOCK_TIMED_OUT);
    assert_true(now_ms() - begin < 2000); /* the lock's timeout is 20 s */
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    assert_true(kj_member_next_due_ns(a) < kj_deadline_ns(&kj_clock_system, 1000));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(child_end(pid), 1000 + SIGKILL);
    assert_true(until(a, KJ_MEMBER_REJOIN) < 2000);
    close(to_parent[0]);
    close(to_parent[1]);
    kj_member_free(a);
    close_process(&p);
    close_process(&q);
}

/* Nor does expiry. */
static void test_expiry_waits_for_nobody(void **state)
{
    (void)state;
    struct process p = open_process_expiring();
    struct kj_member *a = join_group(&p, "old", NULL);
    int to_parent[2];
    char c;
    commit_one(&p, a);
    assert_ok(kj_member_leave(a));
    kj_member_free(a);
    assert_int_equal(pipe(to_parent), 0);
    pid_t pid = child_start(hold_and_stop, &to_parent[1]);
    assert_int_equal(read(to_parent[0], &c, 1), 1);
    int64_t begin = now_ms();
    assert_err(kj_offset_store_expire(p.offsets), KAJA_ERR_LOCK_TIMED_OUT);
    assert_true(now_ms() - begin < 5000); /* the lock's timeout is 20 s */
    assert_true(offset_there(&p, "old"));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(child_end(pid), 1000 + SIGKILL);
    assert_ok(kj_offset_store_expire(p.offsets));
    assert_false(offset_there(&p, "old"));
    close(to_parent[0]);
    close(to_parent[1]);
    close_process(&p);
}

static bool no_locks;

static int try_lock_unless(void *arg, const struct kj_shared *owner, uint64_t lock, int mode)
{
    return no_locks && lock >= kj_scratch_lock(0) ? ENOLCK
                                                  : kj_sim_shared_ops.try_lock(arg, owner, lock,
                                                                               mode);
}

/* A join that gets no lock for its member says so, and takes no words. */
static void test_no_locks_left(void **state)
{
    (void)state;
    struct kj_sim *sim = kj_sim_new(1);
    struct kj_sim_tasks *tasks = kj_sim_tasks_new(1, 0);
    struct kj_sim_shared *shared = kj_sim_shared_new(tasks);
    struct kj_shared_sim_ops ops = kj_sim_shared_ops;
    struct kj_store_options options = test_options("simulated");
    struct process p;
    ops.try_lock = try_lock_unless;
    options.io = kj_sim_open(sim, false, NULL, NULL);
    options.clock = kj_sim_tasks_clock(tasks);
    options.shared_sim = &ops;
    options.shared_sim_arg = shared;
    assert_ok(start(&p, &options));
    assert_ok(kj_topic_create(p.store, "t", 6, NULL, 0));
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&p, NULL);
    joins(a);
    uint64_t words = kj_shared_load(kj_shared_of(p.store), KJ_CONTROL_NEXT);
    no_locks = true;
    assert_err(kj_member_join(b, topic_t, 1, NULL, 0), KAJA_ERR_CRIT_SYS_RESOURCE);
    no_locks = false;
    assert_int_equal(kj_shared_load(kj_shared_of(p.store), KJ_CONTROL_NEXT), words);
    assert_int_equal(share(a), 6);
    joins(b);
    joins(a);
    assert_int_equal(share(a) + share(b), 6);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    kj_sim_shared_free(shared);
    kj_sim_free(sim);
    assert_true(kj_sim_tasks_free(tasks));
}

/* A generation whose record is larger than max.message.bytes: told of once, without its members in
 * the record, and consuming goes on. */
static void test_record_too_large(void **state)
{
    (void)state;
    enum { MEMBERS = 40 };
    struct process p = open_process();
    struct kj_member *members[MEMBERS];
    struct kj_offset_group stored;
    struct kj_event event;
    static char client_id[32001];
    bool found;
    int told = 0;
    memset(client_id, 'c', sizeof client_id - 1);
    for (int i = 0; i < MEMBERS; i++) {
        struct kj_member_options options = member_options(NULL);
        options.client_id = client_id;
        assert_ok(kj_member_new(p.groups, &options, &members[i]));
        joins(members[i]);
    }
    joins(members[0]);
    assert_int_equal(look(members[0]), KJ_MEMBER_STABLE);
    assert_int_equal(kj_member_generation(members[0]), 2);
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.generation, 2); /* or it would be given again */
    struct kj_partition *partition;
    assert_ok(kj_offset_store_partition(p.offsets, "g", false, &partition));
    int64_t end = kj_log_end(kj_partition_log(partition));
    nap(1100);
    for (int i = 0; i < MEMBERS; i++)
        assert_ok(kj_member_tick(members[i], NULL));
    assert_int_equal(kj_log_end(kj_partition_log(partition)), end);
    while (kj_store_event_take(p.store, &event))
        if (event.kind == KAJA_EVENT_BACKGROUND && event.error == KAJA_ERR_RECORD_TOO_LARGE) {
            told++;
            assert_non_null(strstr(event.text, "group g goes on"));
        }
    assert_int_equal(told, 1);
    for (int i = 0; i < MEMBERS; i++)
        kj_member_free(members[i]);
    close_process(&p);
}

static int allocations, fail_at;

static int fail_one(void *arg)
{
    (void)arg;
    return ++allocations == fail_at;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    bool failed = true;
    for (fail_at = 1; failed; fail_at++) {
        struct kj_member *b = NULL;
        struct kj_member_options options = member_options(NULL);
        enum kj_member_state seen;
        allocations = 0;
        kj_alloc_set_hook(fail_one, NULL);
        int err = kj_member_new(p.groups, &options, &b);
        if (err == 0)
            err = kj_member_join(b, topic_t, 1, NULL, 0);
        if (err == 0)
            err = kj_member_join(a, topic_t, 1, NULL, 0);
        if (err == 0)
            err = kj_member_look(b, &seen);
        if (err == 0)
            err = kj_member_tick(a, NULL);
        if (err == 0)
            err = kj_member_leave(b);
        kj_alloc_set_hook(NULL, NULL);
        failed = allocations >= fail_at;
        assert_true(err == 0 || err == KAJA_ERR_OUT_OF_MEMORY);
        assert_true(fail_at < 1000);
        kj_member_free(b);
        (void)look(a);
        joins(a);
        assert_int_equal(share(a), 6);
    }
    print_message("%d allocations failed\n", fail_at - 2);
    assert_true(fail_at > 20);
    kj_member_free(a);
    close_process(&p);
}

static bool disk_full;

static int full_step(void *arg, const char *op, const char *path)
{
    (void)arg;
    bool writes = strcmp(op, "pwritev") == 0 || strcmp(op, "pwrite") == 0;
    return disk_full && writes && strstr(path, "__consumer_offsets") != NULL ? ENOSPC : 0;
}

/* Consuming goes on where no record can be written; it is written later. */
static void test_disk_full(void **state)
{
    (void)state;
    struct process p;
    struct kj_store_options options = test_options(dir.path);
    struct kj_offset_group stored;
    bool found;
    options.io_step = full_step;
    assert_ok(start(&p, &options));
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    disk_full = true;
    joins(a);
    assert_int_equal(share(a), 6);
    assert_int_equal(kj_member_generation(a), 2);
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.generation, 1);
    assert_ok(kj_member_tick(a, NULL));
    disk_full = false;
    nap(1100);
    assert_ok(kj_member_tick(a, NULL));
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.generation, 2);
    assert_int_equal(share(a), 6);
    kj_member_free(a);
    close_process(&p);
}

/* --- many --- */

static void test_many(void **state)
{
    (void)state;
    enum { MEMBERS = 100, PARTITIONS = 1000 };
    struct kj_member *members[MEMBERS];
    static const char *const topics[] = {"many"};
    struct process p = open_process();
    assert_ok(kj_topic_create(p.store, "many", PARTITIONS, NULL, 0));
    for (int i = 0; i < MEMBERS; i++) {
        members[i] = new_member(&p, NULL);
        assert_ok(kj_member_join(members[i], topics, 1, NULL, 0));
    }
    assert_ok(kj_member_join(members[0], topics, 1, NULL, 0));
    assert_int_equal(look(members[0]), KJ_MEMBER_STABLE);
    int64_t begin = kj_mono_ns(&kj_clock_system);
    assert_ok(kj_member_join(members[0], topics, 1, NULL, 0)); /* the leader: all must come */
    for (int i = 1; i < MEMBERS; i++) {
        assert_int_equal(look(members[i]), KJ_MEMBER_REJOIN);
        assert_ok(kj_member_join(members[i], topics, 1, NULL, 0));
    }
    size_t sum = 0;
    for (int i = 0; i < MEMBERS; i++) {
        const struct kj_member_partition *partitions;
        size_t count;
        int32_t generation;
        assert_int_equal(look(members[i]), KJ_MEMBER_STABLE);
        assert_ok(kj_member_assignment(members[i], &partitions, &count, &generation));
        assert_int_equal(count, PARTITIONS / MEMBERS);
        sum += count;
    }
    int64_t took = kj_mono_ns(&kj_clock_system) - begin;
    print_message("rebalance of %d members over %d partitions: %.1f ms\n", MEMBERS, PARTITIONS,
                  (double)took / 1e6);
    assert_int_equal(sum, PARTITIONS);
    assert_true(took < 5000000000);
    begin = kj_mono_ns(&kj_clock_system);
    for (int i = 0; i < 100000; i++)
        (void)look(members[0]);
    print_message("a look at a stable group: %.1f ns\n",
                  (double)(kj_mono_ns(&kj_clock_system) - begin) / 100000);
    for (int i = 0; i < MEMBERS; i++)
        kj_member_free(members[i]);
    assert_ok(kj_topic_delete(p.store, "many"));
    close_process(&p);
}

int main(void)
{
    prefer_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_areas_are_used_again, make, clear),
        cmocka_unit_test_setup_teardown(test_dead_in_turn, make, clear),
        cmocka_unit_test_setup_teardown(test_dead_groups_in_turn, make, clear),
        cmocka_unit_test_setup_teardown(test_dead_groups_expire, make, clear),
        cmocka_unit_test_setup_teardown(test_dead_group_is_deleted, make, clear),
        cmocka_unit_test_setup_teardown(test_dead_are_swept, make, clear),
        cmocka_unit_test_setup_teardown(test_damaged_blob, make, clear),
        cmocka_unit_test_setup_teardown(test_threads, make, clear),
        cmocka_unit_test_setup_teardown(test_lock_held, make, clear),
        cmocka_unit_test_setup_teardown(test_expiry_waits_for_nobody, make, clear),
        cmocka_unit_test(test_no_locks_left),
        cmocka_unit_test_setup_teardown(test_record_too_large, make, clear),
        cmocka_unit_test_setup_teardown(test_memory_runs_out, make, clear),
        cmocka_unit_test_setup_teardown(test_disk_full, make, clear),
        cmocka_unit_test_setup_teardown(test_many, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
