/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/group.c, group_op.c, group_tick.c, group_area.c, group_record.c, group_describe.c on real
 * directories: several handles, which are processes to each other, and forked ones that die.
 */
#include "group_process.h"

#include "coord/group_internal.h"
#include "record/coord_record.h"

/* --- rebalances --- */

static void test_alone(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *member = new_member(&p, NULL);
    assert_int_equal(look(member), KJ_MEMBER_NONE);
    assert_string_equal(kj_member_id(member), "");
    assert_int_equal(kj_member_next_due_ns(member), INT64_MAX);
    joins(member);
    assert_int_equal(share(member), 6);
    assert_int_equal(kj_member_generation(member), 1);
    assert_memory_equal(kj_member_id(member), "client-", 7);
    assert_int_equal(strlen(kj_member_id(member)), 7 + 36);
    struct kj_offset_group stored;
    bool found;
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_true(found && stored.has_record && stored.consumer);
    assert_int_equal(stored.generation, 1);
    assert_int_equal(stored.member_count, 1);
    assert_ok(kj_member_leave(member));
    assert_int_equal(look(member), KJ_MEMBER_NONE);
    assert_ok(kj_member_leave(member));
    assert_ok(kj_offset_store_group(p.offsets, "g", &found, &stored));
    assert_int_equal(stored.generation, 2);
    assert_int_equal(stored.member_count, 0);
    kj_member_free(member);
    close_process(&p);
}

static void test_two_processes(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    joins(a);
    assert_int_equal(share(a), 6);
    joins(b);
    assert_int_equal(look(b), KJ_MEMBER_JOINED);
    assert_int_equal(look(a), KJ_MEMBER_REJOIN);
    const struct kj_member_partition *partitions;
    size_t count;
    int32_t generation;
    assert_err(kj_member_assignment(a, &partitions, &count, &generation),
               KAJA_ERR_ILLEGAL_GENERATION);
    joins(a);
    assert_int_equal(share(a), 3);
    assert_int_equal(share(b), 3);
    assert_int_equal(kj_member_generation(b), 2);
    assert_ok(kj_member_leave(a));
    assert_int_equal(look(b), KJ_MEMBER_REJOIN);
    joins(b);
    assert_int_equal(share(b), 6);
    joins(a); /* comes back, as another */
    joins(b);
    assert_int_equal(share(a) + share(b), 6);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    close_process(&q);
}

static void test_member_options(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *member = NULL;
    struct kj_member_options options = member_options(NULL);
    options.session_timeout_ms = 9;
    assert_err(kj_member_new(p.groups, &options, &member), KAJA_ERR_INVALID_SESSION_TIMEOUT);
    options.session_timeout_ms = 100001;
    assert_err(kj_member_new(p.groups, &options, &member), KAJA_ERR_INVALID_SESSION_TIMEOUT);
    options = member_options("");
    assert_err(kj_member_new(p.groups, &options, &member), KAJA_ERR_INVALID_ARG);
    options = member_options(NULL);
    options.group_id = "";
    assert_err(kj_member_new(p.groups, &options, &member), KAJA_ERR_INVALID_GROUP_ID);
    options = member_options(NULL);
    options.assignor_count = 0;
    assert_err(kj_member_new(p.groups, &options, &member), KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL);
    assert_null(member);
    member = new_member(&p, NULL);
    joins(member);
    options = member_options(NULL);
    options.assignors[0] = KJ_ASSIGNOR_ROUNDROBIN;
    struct kj_member *other;
    assert_ok(kj_member_new(p.groups, &options, &other));
    assert_err(kj_member_join(other, topic_t, 1, NULL, 0), KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL);
    assert_int_equal(look(other), KJ_MEMBER_NONE);
    assert_int_equal(look(member), KJ_MEMBER_STABLE);
    kj_member_free(other);
    kj_member_free(member);
    close_process(&p);
}

static void test_topics_grow(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    static const char *const both[] = {"t", "later"};
    assert_ok(kj_member_join(a, both, 2, NULL, 0));
    joins(b);
    assert_ok(kj_member_join(a, both, 2, NULL, 0));
    assert_int_equal(share(a) + share(b), 6);
    assert_ok(kj_topic_add_partitions(q.store, "t", 8));
    assert_true(until(a, KJ_MEMBER_REJOIN) < 1000);
    assert_int_equal(look(b), KJ_MEMBER_REJOIN);
    assert_ok(kj_member_join(a, both, 2, NULL, 0));
    joins(b);
    assert_int_equal(share(a) + share(b), 8);
    assert_ok(kj_topic_create(q.store, "later", 1, NULL, 0));
    (void)until(a, KJ_MEMBER_REJOIN);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    close_process(&q);
    struct kj_store *store = open_store(dir.path);
    assert_ok(kj_topic_delete(store, "t"));
    assert_ok(kj_topic_delete(store, "later"));
    assert_ok(kj_topic_create(store, "t", 6, NULL, 0));
    assert_ok(kj_store_close(store));
}

/* --- death and silence --- */

static void test_member_freed(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    struct kj_member *c = new_member(&q, NULL);
    joins(a);
    joins(b);
    joins(a);
    joins(c);
    joins(a);
    joins(b);
    assert_int_equal(share(a), 2);
    kj_member_free(b); /* does not leave */
    kj_member_free(c);
    assert_true(until(a, KJ_MEMBER_REJOIN) < 1000);
    joins(a);
    assert_int_equal(share(a), 6);
    kj_member_free(a);
    close_process(&p);
    close_process(&q);
}

struct child {
    int to_parent[2];
    pid_t pid;
};

/* A process with a member that rejoins as it should, until it is killed; exits with 7 when lost. */
static int run_child(const char *instance_id, int64_t session_ms, int fd)
{
    struct process p;
    struct kj_store_options options = test_options(dir.path);
    struct kj_member_options member_of = member_options(instance_id);
    struct kj_member *member;
    char stable = 's';
    bool told = false;
    member_of.session_timeout_ms = session_ms;
    options.background_threads = 1;
    KJ_TRY(start(&p, &options));
    KJ_TRY(kj_member_new(p.groups, &member_of, &member));
    KJ_TRY(kj_member_join(member, topic_t, 1, NULL, 0));
    for (;;) {
        enum kj_member_state state;
        kj_member_poll_seen(member);
        KJ_TRY(kj_member_look(member, &state));
        if (state == KJ_MEMBER_LOST || state == KJ_MEMBER_FENCED) {
            kj_member_free(member);
            kj_groups_close(p.groups);
            kj_offset_store_close(p.offsets);
            KJ_TRY(kj_store_close(p.store));
            return state == KJ_MEMBER_LOST ? 7 : 8;
        }
        if (state == KJ_MEMBER_REJOIN)
            KJ_TRY(kj_member_join(member, topic_t, 1, NULL, 0));
        if (state == KJ_MEMBER_STABLE && !told && write(fd, &stable, 1) == 1)
            told = true;
        nap(1);
    }
}

static struct child fork_child(const char *instance_id, int64_t session_ms)
{
    struct child child;
    assert_int_equal(pipe(child.to_parent), 0);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0)
        _exit(run_child(instance_id, session_ms, child.to_parent[1]));
    return child;
}

static void child_is_stable(struct kj_member *member, const struct child *child)
{
    char c;
    struct timespec t = {.tv_nsec = 1000000};
    assert_int_equal(fcntl(child->to_parent[0], F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; read(child->to_parent[0], &c, 1) != 1; i++) {
        assert_true(i < 20000);
        assert_ok(kj_member_tick(member, NULL));
        kj_member_poll_seen(member);
        if (look(member) == KJ_MEMBER_REJOIN)
            joins(member);
        (void)nanosleep(&t, NULL);
    }
    close(child->to_parent[0]);
    close(child->to_parent[1]);
}

static void test_killed(void **state)
{
    (void)state;
    struct child child = fork_child(NULL, 30000);
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    child_is_stable(a, &child);
    (void)until(a, KJ_MEMBER_STABLE);
    assert_int_equal(share(a), 3);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(child_end(child.pid), 1000 + SIGKILL);
    int64_t took = until(a, KJ_MEMBER_REJOIN);
    print_message("a dead process was noticed after %lld ms\n", (long long)took);
    assert_true(took < 1000); /* 200 where the machine has nothing else to do */
    joins(a);
    assert_int_equal(share(a), 6);
    kj_member_free(a);
    close_process(&p);
}

static void test_stopped(void **state)
{
    (void)state;
    struct child child = fork_child(NULL, 400);
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    child_is_stable(a, &child);
    (void)until(a, KJ_MEMBER_STABLE);
    assert_int_equal(kill(child.pid, SIGSTOP), 0);
    assert_true(until(a, KJ_MEMBER_REJOIN) >= 300);
    joins(a);
    assert_int_equal(share(a), 6);
    assert_int_equal(kill(child.pid, SIGCONT), 0);
    assert_int_equal(child_end(child.pid), 7);
    kj_member_free(a);
    close_process(&p);
}

static void test_silent(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member_options options = member_options(NULL);
    struct kj_member *a;
    options.rebalance_timeout_ms = 60;
    assert_ok(kj_member_new(p.groups, &options, &a));
    joins(a);
    kj_member_poll_enter(a); /* waits long in its poll: that is no silence */
    nap(100);
    assert_ok(kj_member_tick(a, NULL));
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    kj_member_poll_seen(a);
    nap(200);
    assert_ok(kj_member_tick(a, NULL));
    assert_true(kj_member_wait(a)->changed(kj_member_wait(a)->arg));
    assert_int_equal(look(a), KJ_MEMBER_LOST);
    assert_false(kj_member_wait(a)->changed(kj_member_wait(a)->arg));
    joins(a);
    assert_int_equal(share(a), 6);
    kj_member_free(a);
    close_process(&p);
}

/* Who joins again and again lives: it was taken for dead when it never came to a heartbeat. */
static void test_joining_again_is_a_heartbeat(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    uint64_t first = kj_shared_load(kj_scratch_shared(p.store), a->slot);
    nap(5);
    joins(a);
    assert_true(kj_shared_load(kj_scratch_shared(p.store), a->slot) >= first + 5);
    kj_member_free(a);
    close_process(&p);
}

/* A static one whose owner polls again beats at once, not with the tick after. */
static void test_poll_after_silence_beats(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member_options options = member_options(NULL);
    struct kj_member *s;
    options.rebalance_timeout_ms = 20;
    options.instance_id = "s";
    assert_ok(kj_member_new(p.groups, &options, &s));
    joins(s);
    kj_member_poll_seen(s);
    nap(60);
    assert_ok(kj_member_tick(s, NULL)); /* silent: no beat */
    uint64_t now_ms = (uint64_t)kj_groups_now_ms(p.groups);
    assert_true(kj_shared_load(kj_scratch_shared(p.store), s->slot) < now_ms);
    nap(2);
    kj_member_poll_enter(s);
    assert_true(kj_shared_load(kj_scratch_shared(p.store), s->slot) > now_ms);
    kj_member_free(s);
    close_process(&p);
}

/* --- static members --- */

/* The others did not wait for it: it may not go on, nor commit, in a generation it did not join. */
static void test_static_missed_a_rebalance(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member_options options = member_options(NULL);
    struct kj_member *a, *s;
    struct kj_commit_as as = {0};
    options.rebalance_timeout_ms = 500; /* a, too, is out if it does not look for so long */
    assert_ok(kj_member_new(p.groups, &options, &a));
    options.instance_id = "s";
    assert_ok(kj_member_new(q.groups, &options, &s));
    joins(s);
    assert_int_equal(share(s), 6);
    joins(a);
    (void)until(a, KJ_MEMBER_STABLE);
    assert_int_equal(kj_member_generation(a), 2);
    kj_member_commit_as(s, &as);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_ILLEGAL_GENERATION);
    assert_int_equal(look(s), KJ_MEMBER_LOST);
    kj_member_commit_as(s, &as);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_ILLEGAL_GENERATION);
    joins(s); /* takes what the others left for it */
    assert_int_equal(share(s), 3);
    assert_int_equal(share(a), 3);
    assert_int_equal(kj_member_generation(s), 2);
    kj_member_free(a);
    kj_member_free(s);
    close_process(&p);
    close_process(&q);
}

static void test_static(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *s = new_member(&q, "s");
    joins(a);
    joins(s);
    joins(a);
    assert_int_equal(share(s), 3);
    assert_memory_equal(kj_member_id(s), "s-", 2);
    kj_member_free(s); /* its process died, and is started again */
    nap(150);
    assert_ok(kj_member_tick(a, NULL));
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    s = new_member(&q, "s");
    joins(s);
    assert_int_equal(share(s), 3);
    assert_int_equal(kj_member_generation(s), 2);
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    struct kj_member *other = new_member(&p, "s");
    joins(other);
    assert_int_equal(look(s), KJ_MEMBER_FENCED);
    assert_err(kj_member_join(s, topic_t, 1, NULL, 0), KAJA_ERR_FENCED_INSTANCE_ID);
    struct kj_commit_as as;
    kj_member_commit_as(s, &as);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_FENCED_INSTANCE_ID);
    assert_int_equal(share(other), 3);
    kj_member_free(a);
    kj_member_free(s);
    kj_member_free(other);
    close_process(&p);
    close_process(&q);
}

static struct kj_member *hasty_member(struct process *process, const char *instance_id)
{
    struct kj_member_options options = member_options(instance_id);
    struct kj_member *member = NULL;
    options.rebalance_timeout_ms = 400;
    assert_ok(kj_member_new(process->groups, &options, &member));
    return member;
}

/* A static member that did not rejoin in time is still in the group, but what it had may be
 * another's: it has lost it, cannot commit for it, and gets its share of now without a rebalance.
 * again: yet another rebalance is on when it looks. */
static void static_passed_over(bool again)
{
    struct process p = open_process(), q = open_process();
    struct kj_member *s = hasty_member(&p, "s"), *a = hasty_member(&q, NULL);
    struct kj_member *b = hasty_member(&q, NULL);
    struct kj_commit_as as;
    joins(s);
    assert_int_equal(share(s), 6);
    joins(a);
    nap(450);
    kj_member_poll_seen(a);
    assert_ok(kj_member_tick(a, NULL));
    assert_int_equal(kj_member_generation(s), 1);
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    assert_int_equal(share(a), 3); /* it is expected back */
    if (again)
        joins(b);
    kj_member_commit_as(s, &as);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_ILLEGAL_GENERATION);
    assert_int_equal(look(s), KJ_MEMBER_LOST);
    kj_member_commit_as(s, &as);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_ILLEGAL_GENERATION);
    joins(s);
    if (again) {
        joins(a);
        assert_int_equal(share(a) + share(b) + share(s), 6);
        assert_int_equal(kj_member_generation(s), 3);
    } else {
        assert_int_equal(share(s), 3);
        assert_int_equal(kj_member_generation(s), 2);
        assert_int_equal(look(a), KJ_MEMBER_STABLE);
    }
    kj_member_free(s);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    close_process(&q);
}

static void test_static_passed_over(void **state)
{
    (void)state;
    static_passed_over(false);
}

static void test_static_passed_over_twice(void **state)
{
    (void)state;
    static_passed_over(true);
}

/* One that joined in time and did not look before the next rebalance has lost nothing. */
static void test_static_slow_to_look(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *s = new_member(&p, "s"), *a = new_member(&q, NULL);
    struct kj_member *b = new_member(&q, NULL);
    joins(a);
    joins(s);
    assert_int_equal(look(s), KJ_MEMBER_JOINED);
    joins(a); /* completes, */
    joins(b); /* and begins again */
    assert_int_equal(look(s), KJ_MEMBER_REJOIN);
    kj_member_free(s);
    kj_member_free(a);
    kj_member_free(b);
    close_process(&p);
    close_process(&q);
}

/* Its session ended: it is no member any more. */
static void test_static_session_ends(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member_options options = member_options("s");
    struct kj_member *s, *a = new_member(&q, NULL);
    struct kj_commit_as as;
    options.session_timeout_ms = 150;
    assert_ok(kj_member_new(p.groups, &options, &s));
    joins(a);
    joins(s);
    joins(a);
    assert_int_equal(share(s), 3);
    nap(200); /* without a tick, so without a heartbeat */
    kj_member_commit_as(s, &as);
    assert_true(until(a, KJ_MEMBER_REJOIN) < 5000);
    joins(a);
    assert_err(kj_group_check_commit(&as), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(look(s), KJ_MEMBER_LOST);
    kj_member_free(s);
    kj_member_free(a);
    close_process(&p);
    close_process(&q);
}

/* --- commits --- */

static int commit(struct process *p, struct kj_commit_as *as, int64_t offset)
{
    const struct kj_offset_item item = {
        .topic = "t", .partition = 0, .leader_epoch = -1, .offset = offset};
    const struct kj_offset_commit commit = {.group_id = as->group_id,
                                            .items = &item,
                                            .count = 1,
                                            .check = kj_group_check_commit,
                                            .check_arg = as};
    struct kj_offset_ticket ticket;
    return kj_offset_store_commit(p->offsets, &commit, &ticket);
}

static void test_commits(void **state)
{
    (void)state;
    struct process p = open_process(), q = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&q, NULL);
    struct kj_commit_as as, nobody = {.groups = p.groups, .group_id = "g", .generation = -1};
    assert_ok(commit(&p, &nobody, 1));
    joins(a);
    kj_member_commit_as(a, &as);
    assert_ok(commit(&p, &as, 2));
    assert_err(commit(&p, &nobody, 3), KAJA_ERR_UNKNOWN_MEMBER_ID);
    assert_err(kj_group_check_empty(&nobody), KAJA_ERR_NON_EMPTY_GROUP);
    joins(b);
    assert_ok(commit(&p, &as, 4)); /* a rebalance is on */
    joins(a);
    assert_err(commit(&p, &as, 5), KAJA_ERR_ILLEGAL_GENERATION);
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    kj_member_commit_as(a, &as);
    assert_ok(commit(&p, &as, 6));
    assert_ok(kj_member_leave(a));
    assert_err(commit(&p, &as, 7), KAJA_ERR_UNKNOWN_MEMBER_ID);
    kj_member_free(b); /* dead, though nobody has noticed */
    assert_ok(kj_group_check_empty(&nobody));
    assert_ok(commit(&p, &nobody, 8));
    int64_t offset;
    bool found;
    assert_ok(kj_offset_store_fetch(q.offsets, "g", "t", 0, &found, &offset, NULL, NULL));
    assert_true(found);
    assert_int_equal(offset, 8);
    kj_member_free(a);
    close_process(&p);
    close_process(&q);
}

/* --- what outlives everybody --- */

static void test_generation_is_kept(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    int32_t generation = kj_member_generation(a);
    kj_member_free(a);
    close_process(&p);
    p = open_process(); /* another control file */
    a = new_member(&p, NULL);
    joins(a);
    assert_int_equal(kj_member_generation(a), generation + 1);
    assert_int_equal(share(a), 6);
    kj_member_free(a);
    close_process(&p);
}

/* --- the record --- */

/* The newest record of a partition's last batch. */
static void check_record(struct process *p, const char *member_id)
{
    static const char subscription[] = "\0\3\0\0\0\1\0\1t\377\377\377\377"
                                       "\0\0\0\1\0\1t\0\0\0\2\0\0\0\1\0\0\0\4\0\0\0\1\377\377";
    static const char assignment[] = "\0\3\0\0\0\1\0\1t\0\0\0\6\0\0\0\0\0\0\0\1\0\0\0\2"
                                     "\0\0\0\3\0\0\0\4\0\0\0\5\377\377\377\377";
    struct kj_partition *partition;
    struct kj_log_cursor cursor = {0};
    struct kj_log_read read = {0};
    struct kj_batch_reader reader;
    struct kj_buffer plain = {0};
    struct kj_record_view view;
    struct kj_coord_key key;
    struct kj_coord_group group;
    struct kj_coord_member member;
    assert_ok(kj_offset_store_partition(p->offsets, "g", false, &partition));
    struct kj_log *log = kj_partition_log(partition);
    assert_ok(kj_log_read(log, kj_log_end(log) - 1, kj_log_end(log), 1 << 20, true, &cursor,
                          &read));
    assert_ok(kj_batch_reader_init(&reader, read.bytes, read.len, &plain, 1 << 20));
    assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
    assert_int_equal(kj_coord_key_decode(view.key, view.key_bytes, &key), KJ_COORD_GROUP);
    assert_memory_equal(key.group.at, "g", 1);
    assert_true(kj_coord_group_decode(view.value, view.value_bytes, &group));
    assert_int_equal(group.version, 3);
    assert_int_equal(group.generation, 2);
    assert_memory_equal(group.protocol_type.at, "consumer", 8);
    assert_memory_equal(group.protocol.at, "range", 5);
    assert_memory_equal(group.leader.at, member_id, group.leader.len);
    assert_int_equal(group.member_count, 1);
    const uint8_t *at = group.members;
    assert_true(kj_coord_member_next(&group, &at, &member));
    assert_memory_equal(member.id.at, member_id, member.id.len);
    assert_null(member.instance_id.at);
    assert_int_equal(member.session_timeout_ms, 30000);
    assert_int_equal(member.rebalance_timeout_ms, 60000);
    assert_int_equal(member.subscription.len, sizeof subscription - 1);
    assert_memory_equal(member.subscription.at, subscription, sizeof subscription - 1);
    assert_int_equal(member.assignment.len, sizeof assignment - 1);
    assert_memory_equal(member.assignment.at, assignment, sizeof assignment - 1);
    kj_view_release(read.view);
    kj_buffer_free(&plain);
}

static void test_record(void **state)
{
    (void)state;
    static const struct kj_member_partition owned[] = {{"t", 4}, {"t", 1}};
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    assert_ok(kj_member_join(a, topic_t, 1, owned, 2));
    check_record(&p, kj_member_id(a));
    kj_member_free(a);
    close_process(&p);
}

/* --- waiting --- */

static void test_wait(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL);
    joins(a);
    assert_int_equal(look(a), KJ_MEMBER_STABLE);
    int64_t begin = now_ms();
    assert_err(kj_store_wait_also(p.store, NULL, NULL, 0, false, NULL, 0, kj_member_wait(a),
                                  kj_deadline_ns(&kj_clock_system, 30)),
               KAJA_ERR_TIMED_OUT);
    assert_true(now_ms() - begin >= 29);
    struct child child = fork_child(NULL, 30000);
    begin = now_ms();
    assert_ok(kj_store_wait_also(p.store, NULL, NULL, 0, false, NULL, 0, kj_member_wait(a),
                                 kj_deadline_ns(&kj_clock_system, 20000)));
    assert_int_equal(look(a), KJ_MEMBER_REJOIN);
    child_is_stable(a, &child);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(child_end(child.pid), 1000 + SIGKILL);
    kj_member_free(a);
    close_process(&p);
}

/* --- looking from outside --- */

struct seen {
    int calls;
    enum kj_group_phase phase;
    int32_t generation;
    size_t members, partitions;
    char ids[200], assignor[30], client[30];
};

static int note(void *arg, const struct kj_group_info *info)
{
    struct seen *seen = arg;
    seen->calls++;
    seen->phase = info->phase;
    seen->generation = info->generation;
    seen->members = info->member_count;
    seen->partitions = 0;
    for (size_t i = 0; i < info->member_count; i++) {
        seen->partitions += info->members[i].partition_count;
        (void)snprintf(seen->client, sizeof seen->client, "%s", info->members[i].client_id);
        assert_null(info->members[i].instance_id);
        assert_int_equal(info->members[i].topic_count, 1);
        assert_string_equal(info->members[i].topics[0], "t");
    }
    (void)snprintf(seen->assignor, sizeof seen->assignor, "%s", info->assignor);
    strcat(strcat(seen->ids, info->group_id), " ");
    return 0;
}

static void test_describe(void **state)
{
    (void)state;
    struct process p = open_process();
    struct kj_member *a = new_member(&p, NULL), *b = new_member(&p, NULL);
    struct seen seen = {0};
    assert_ok(kj_group_describe(p.groups, "no such", note, &seen));
    assert_int_equal(seen.phase, KJ_GROUP_DEAD);
    joins(a);
    joins(b);
    seen = (struct seen){0};
    assert_ok(kj_group_describe(p.groups, "g", note, &seen));
    assert_int_equal(seen.phase, KJ_GROUP_PREPARING);
    joins(a);
    seen = (struct seen){0};
    assert_ok(kj_group_describe(p.groups, "g", note, &seen));
    assert_int_equal(seen.phase, KJ_GROUP_STABLE);
    assert_int_equal(seen.members, 2);
    assert_int_equal(seen.partitions, 6);
    assert_string_equal(seen.assignor, "range");
    assert_string_equal(seen.client, "client");
    assert_int_equal(seen.generation, kj_member_generation(a));
    struct kj_commit_as nobody = {.groups = p.groups, .group_id = "f", .generation = -1};
    assert_ok(commit(&p, &nobody, 1));
    seen = (struct seen){0};
    assert_ok(kj_groups_list(p.groups, note, &seen));
    assert_string_equal(seen.ids, "f g ");
    kj_member_free(a);
    kj_member_free(b);
    seen = (struct seen){0};
    assert_ok(kj_group_describe(p.groups, "g", note, &seen)); /* dead ones are left out */
    assert_int_equal(seen.phase, KJ_GROUP_EMPTY);
    close_process(&p);
}

int main(void)
{
    prefer_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alone, make, clear),
        cmocka_unit_test_setup_teardown(test_two_processes, make, clear),
        cmocka_unit_test_setup_teardown(test_member_options, make, clear),
        cmocka_unit_test_setup_teardown(test_topics_grow, make, clear),
        cmocka_unit_test_setup_teardown(test_member_freed, make, clear),
        cmocka_unit_test_setup_teardown(test_killed, make, clear),
        cmocka_unit_test_setup_teardown(test_stopped, make, clear),
        cmocka_unit_test_setup_teardown(test_silent, make, clear),
        cmocka_unit_test_setup_teardown(test_joining_again_is_a_heartbeat, make, clear),
        cmocka_unit_test_setup_teardown(test_static_missed_a_rebalance, make, clear),
        cmocka_unit_test_setup_teardown(test_poll_after_silence_beats, make, clear),
        cmocka_unit_test_setup_teardown(test_static, make, clear),
        cmocka_unit_test_setup_teardown(test_static_passed_over, make, clear),
        cmocka_unit_test_setup_teardown(test_static_passed_over_twice, make, clear),
        cmocka_unit_test_setup_teardown(test_static_slow_to_look, make, clear),
        cmocka_unit_test_setup_teardown(test_static_session_ends, make, clear),
        cmocka_unit_test_setup_teardown(test_commits, make, clear),
        cmocka_unit_test_setup_teardown(test_generation_is_kept, make, clear),
        cmocka_unit_test_setup_teardown(test_record, make, clear),
        cmocka_unit_test_setup_teardown(test_wait, make, clear),
        cmocka_unit_test_setup_teardown(test_describe, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
