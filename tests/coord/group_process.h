/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/coord/group_process.h - a process with groups, as far as a handle is one, and its members.
 */
#ifndef KJ_TESTS_GROUP_PROCESS_H
#define KJ_TESTS_GROUP_PROCESS_H

#include "store/store_test.h"

#include "coord/group.h"
#include "coord/offset_store.h"

#include <time.h>

static struct temp_dir dir;

/* --- a process --- */

struct process {
    struct kj_store *store;
    struct kj_offset_store *offsets;
    struct kj_groups *groups;
};

static inline int start(struct process *process, const struct kj_store_options *store_options)
{
    struct kj_offset_store_options options;
    const struct kj_groups_options groups = {
        .min_session_timeout_ms = 10, .max_session_timeout_ms = 100000, .max_size = 200};
    kj_offset_store_options_defaults(&options);
    KJ_TRY(kj_store_open(store_options, &process->store));
    KJ_TRY(kj_offset_store_open(process->store, &options, &process->offsets));
    return kj_groups_open(process->store, process->offsets, &groups, &process->groups);
}

static inline struct process open_process(void)
{
    struct process process;
    struct kj_store_options options = test_options(dir.path);
    assert_ok(start(&process, &options));
    return process;
}

static inline void close_process(struct process *process)
{
    kj_groups_close(process->groups);
    kj_offset_store_close(process->offsets);
    assert_ok(kj_store_close(process->store));
}

static inline struct kj_member_options member_options(const char *instance_id)
{
    return (struct kj_member_options){.group_id = "g",
                                      .client_id = "client",
                                      .instance_id = instance_id,
                                      .session_timeout_ms = 30000,
                                      .heartbeat_interval_ms = 50,
                                      .rebalance_timeout_ms = 60000,
                                      .assignors = {KJ_ASSIGNOR_RANGE},
                                      .assignor_count = 1};
}

static inline struct kj_member *new_member(struct process *process, const char *instance_id)
{
    struct kj_member_options options = member_options(instance_id);
    struct kj_member *member = NULL;
    assert_ok(kj_member_new(process->groups, &options, &member));
    return member;
}

static const char *const topic_t[] = {"t"};

static inline void joins(struct kj_member *member)
{
    assert_ok(kj_member_join(member, topic_t, 1, NULL, 0));
}

static inline enum kj_member_state look(struct kj_member *member)
{
    enum kj_member_state state;
    assert_ok(kj_member_look(member, &state));
    return state;
}

static inline size_t share(struct kj_member *member)
{
    const struct kj_member_partition *partitions;
    size_t count;
    int32_t generation;
    assert_int_equal(look(member), KJ_MEMBER_STABLE);
    assert_ok(kj_member_assignment(member, &partitions, &count, &generation));
    assert_int_equal(generation, kj_member_generation(member));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(partitions[i].topic, "t");
    return count;
}

static inline int64_t now_ms(void)
{
    return kj_mono_ns(&kj_clock_system) / 1000000;
}

static inline void nap(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&t, NULL);
}

/* What a poll loop does until the state is there; the time it took. */
static inline int64_t until(struct kj_member *member, enum kj_member_state state)
{
    int64_t begin = now_ms();
    while (look(member) != state) {
        assert_true(now_ms() - begin < 20000);
        assert_ok(kj_member_tick(member, NULL));
        kj_member_poll_seen(member);
        nap(2);
    }
    return now_ms() - begin;
}

static inline int make(void **state)
{
    (void)state;
    struct kj_store *store;
    dir = temp_dir_new();
    store = open_store(dir.path);
    assert_ok(kj_topic_create(store, "t", 6, NULL, 0));
    assert_ok(kj_store_close(store));
    return 0;
}

static inline int clear(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

#endif
