/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A whole store in a simulation: several processes on one simulated disk, one step at a time, make,
 * fill and delete topics, open and close, and are killed at any step. Who runs next, who dies and
 * what everybody does follows from the seed.
 *
 * What must hold in the end: every record that was acknowledged is at its offset in the topic it
 * was sent to, once, unless that topic was deleted; offsets have no gaps; nothing is pending.
 *
 * KJ_SEED repeats a run, KJ_ROUNDS lengthens it.
 */
#include "store_test.h"

#include "sim/sim_io.h"
#include "sim/sim_shared.h"
#include "sim/sim_tasks.h"

#include <time.h>

enum { PROCESSES = 4, LIVES = 24, OPS = 10, TOPICS = 2, RECORDS_MAX = 20000 };

/* A wrong outcome inside a task: cmocka's jumps do not cross threads. */
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (void)fprintf(stderr, "seed %llu: ", (unsigned long long)world.seed);                  \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fprintf(stderr, "\n");                                                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct acked {
    uint8_t id[16];
    int32_t partition;
    int64_t offset;
    uint64_t value;
};

static struct world {
    uint64_t seed;
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *shared;
    struct acked acked[RECORDS_MAX];
    size_t acked_count;
    uint64_t next_value;
    unsigned lives; /* processes begun */
    bool running[LIVES];
    unsigned kills, recoveries;
} world;

static uint64_t draw(uint64_t below)
{
    return kj_sim_draw(world.tasks, below);
}

/* Errors that dying and deleting neighbours may cause. */
static bool expected(int err)
{
    return err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION || err == KAJA_ERR_UNKNOWN_TOPIC_ID ||
           err == KAJA_ERR_UNKNOWN_PARTITION || err == KAJA_ERR_TOPIC_ALREADY_EXISTS ||
           err == KAJA_ERR_TIMED_OUT || err == KAJA_ERR_INVALID_PARTITIONS;
}

static void judge(const char *what, int err)
{
    CHECK(err == 0 || expected(err), "%s: %s (%s)", what, kaja_error_name(err),
          kaja_error_detail());
}

static const char *name_of(uint64_t i)
{
    return i == 0 ? "a" : "b";
}

static int append_some(struct kj_partition *partition, struct kj_topic *topic,
                       struct kj_store *store)
{
    bool durable = draw(2) == 0;
    for (uint64_t i = 1 + draw(3); i > 0; i--) {
        char text[32];
        uint64_t value = world.next_value++;
        int64_t offset = -1;
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        KJ_TRY(append_text(partition, text, durable, &offset));
        if (durable && draw(3) != 0) /* else somebody else may flush it */
            KJ_TRY(kj_store_flush(store, &partition, 1));
        CHECK(world.acked_count < RECORDS_MAX, "too many records");
        struct acked *acked = &world.acked[world.acked_count++];
        memcpy(acked->id, kj_topic_id(topic), sizeof acked->id);
        acked->partition = kj_partition_number(partition);
        acked->offset = offset;
        acked->value = value;
    }
    return 0;
}

static int use_topic(struct kj_store *store, const char *name)
{
    struct kj_topic *topic;
    struct kj_partition *partition;
    KJ_TRY(kj_topic_find(store, name, true, &topic));
    int32_t number = (int32_t)draw((uint64_t)kj_topic_partition_count(topic));
    int err = kj_topic_partition(topic, number, &partition);
    if (err == 0 && draw(4) == 0) {
        int64_t offset = kj_log_end(kj_partition_log(partition));
        err = kj_store_wait(store, &partition, &offset, 1, false, NULL, 0,
                            kj_mono_ns(kj_store_clock(store)) + 2000000);
        if (err == KAJA_ERR_TIMED_OUT)
            err = 0;
    }
    if (err == 0)
        err = append_some(partition, topic, store);
    kj_topic_release(topic);
    return err;
}

static void some_op(struct kj_store *store)
{
    const char *name = name_of(draw(TOPICS));
    switch (draw(16)) {
    case 0:
        judge("delete", kj_topic_delete(store, name));
        break;
    case 1:
        judge("create", kj_topic_create(store, name, 1 + (int32_t)draw(2), NULL, 0));
        break;
    case 2:
        judge("grow", kj_topic_add_partitions(store, name, 3));
        break;
    case 3:
        judge("step", kj_store_step(store));
        break;
    default:
        judge("use", use_topic(store, name));
        break;
    }
}

static void begin_life(void);

/* One process from its open to its end; somebody may kill it anywhere. */
static void live(void *arg)
{
    struct kj_store_options options = test_options("simulated");
    struct kj_store *store = NULL;
    bool *running = arg;
    options.io = kj_sim_open(world.sim, false, kj_sim_io_step, world.tasks);
    options.clock = kj_sim_tasks_clock(world.tasks);
    options.shared_step = kj_sim_shared_step;
    options.step_arg = world.tasks;
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = world.shared;
    int err = kj_store_open(&options, &store);
    CHECK(err == 0, "open: %s (%s)", kaja_error_name(err), kaja_error_detail());
    world.recoveries += store->first && !store->clean;
    for (int i = 0; i < OPS; i++)
        some_op(store);
    struct kj_event event;
    while (kj_store_event_take(store, &event))
        CHECK(event.kind == KAJA_EVENT_RECOVERED, "event %d: %s", event.kind, event.text);
    err = kj_store_close(store);
    CHECK(err == 0, "close: %s (%s)", kaja_error_name(err), kaja_error_detail());
    *running = false;
    begin_life();
}

static void begin_life(void)
{
    if (world.lives >= LIVES)
        return;
    unsigned process = world.lives++;
    world.running[process] = true;
    kj_sim_task_add(world.tasks, process, live, &world.running[process]);
}

static void kill_one(unsigned victim)
{
    if (!world.running[victim])
        return;
    kj_sim_kill(world.tasks, victim);
    world.running[victim] = false;
    world.kills++;
}

/* Kills somebody from time to time, now and then everybody. Another life begins for each that
 * ended. */
static void reaper(void *arg)
{
    (void)arg;
    while (world.lives < LIVES) {
        for (uint64_t naps = draw(1500); naps > 0; naps--)
            kj_sim_yield(world.tasks);
        unsigned kills = world.kills;
        if (draw(4) == 0)
            for (unsigned i = 0; i < world.lives; i++)
                kill_one(i);
        else
            kill_one((unsigned)draw(world.lives));
        for (; kills < world.kills; kills++)
            begin_life();
    }
}

/* --- in the end --- */

static uint64_t value_at(struct kj_log *log, int64_t wanted)
{
    struct kj_log_cursor cursor = {0};
    struct kj_log_read read = {0};
    char text[32] = "";
    assert_ok(kj_log_read(log, wanted, kj_log_end(log), 1, true, &cursor, &read));
    assert_non_null(read.view);
    struct kj_batch_reader reader;
    struct kj_record_view view;
    struct kj_buffer plain = {0};
    struct kj_batch batch;
    assert_int_equal(kj_batch_look(read.bytes, read.len, &batch), KJ_BATCH_OK);
    assert_int_equal(batch.base_offset, wanted);
    assert_ok(kj_batch_reader_init(&reader, read.bytes, kj_batch_bytes(&batch), &plain, 1 << 20));
    assert_int_equal(kj_batch_reader_next(&reader, &view), 1);
    assert_true(view.value_bytes < sizeof text);
    memcpy(text, view.value, view.value_bytes);
    kj_buffer_free(&plain);
    kj_view_release(read.view);
    return strtoull(text, NULL, 10);
}

static int check_topic(void *arg, struct kj_topic *topic)
{
    size_t *checked = arg;
    for (int32_t p = 0; p < kj_topic_partition_count(topic); p++) {
        struct kj_partition *partition = partition_of(topic, p);
        struct kj_log *log = kj_partition_log(partition);
        assert_ok(kj_log_flush(log));
        assert_int_equal(count_records(partition), kj_log_end(log)); /* no gaps */
        for (size_t i = 0; i < world.acked_count; i++) {
            const struct acked *acked = &world.acked[i];
            if (acked->partition != p || memcmp(acked->id, kj_topic_id(topic), 16) != 0)
                continue;
            assert_true(acked->offset < kj_log_end(log));
            assert_int_equal(value_at(log, acked->offset), acked->value);
            ++*checked;
        }
    }
    return 0;
}

static void check_all(void)
{
    struct kj_store_options options = test_options("simulated");
    struct kj_store *store = NULL;
    size_t checked = 0;
    options.io = kj_sim_open(world.sim, false, NULL, NULL);
    options.clock = kj_sim_tasks_clock(world.tasks);
    options.shared_sim = &kj_sim_shared_ops;
    options.shared_sim_arg = world.shared;
    for (int round = 0; round < 2; round++) {
        options.io = round == 0 ? options.io : kj_sim_open(world.sim, false, NULL, NULL);
        assert_ok(kj_store_open(&options, &store));
        assert_int_equal(count_events(store, KAJA_EVENT_BACKGROUND), 0);
        assert_false(kj_catalog_pending(store->catalog));
        assert_ok(kj_store_topics(store, check_topic, &checked));
        assert_ok(kj_store_close(store));
    }
    print_message(
        "         seed %llu: %u lives, %u killed, %u recoveries, %zu of %zu records checked\n",
        (unsigned long long)world.seed, world.lives, world.kills, world.recoveries, checked / 2,
        world.acked_count);
}

static void one_world(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.sim = kj_sim_new(seed);
    world.tasks = kj_sim_tasks_new(seed, 20);
    world.shared = kj_sim_shared_new(world.tasks);
    for (int i = 0; i < PROCESSES; i++)
        begin_life();
    kj_sim_task_add(world.tasks, 1000000, reaper, NULL);
    CHECK(kj_sim_tasks_run(world.tasks), "everybody waits for somebody else, for ever");
    check_all();
    /* Threads of the killed are parked, and use what they have for ever. */
    if (kj_sim_tasks_free(world.tasks)) {
        kj_sim_shared_free(world.shared);
        kj_sim_free(world.sim);
    }
}

static void worlds(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)test_number("KJ_SEED", (int)(time(NULL) % 100000));
    int rounds = test_number("KJ_ROUNDS", 6);
    print_message("KJ_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < rounds; round++)
        one_world(seed + (uint64_t)round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
