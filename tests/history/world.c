/* SPDX-License-Identifier: BSD-2-Clause */
#include "history/world.h"

#include "client/consumer.h"
#include "client/fetched.h"
#include "client/producer.h"
#include "coord/group.h"
#include "coord/offset_store.h"
#include "sim/sim_io.h"
#include "sim/sim_shared.h"
#include "sim/sim_tasks.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUPS_MAX = 2,
    TOPICS_MAX = 2,
    PARTITIONS_MAX = 5,
    LIVES_MAX = 24,
    CONSUMERS = 2, /* of a process */
    PLACES_MAX = TOPICS_MAX * PARTITIONS_MAX,
    MS = 1000000,
    SESSION_MS = 60,
    HEARTBEAT_MS = 15,
    POLL_MS = 150, /* max.poll.interval.ms */
    CALL_MS = 5000 /* of calls that shall not take so long */
};

struct life;

struct consumer {
    struct life *life;
    struct kj_consumer *client; /* NULL: none now */
    uint32_t number, group, instance;
    bool auto_commit, durable, commit_revoked, ask_position;
};

struct life {
    unsigned process;
    bool running;
    int64_t begin_after_ms;
    struct kj_store *store;
    struct kj_offset_store *offsets;
    struct kj_groups *groups;
    struct kj_producer_client *producer;
    uint32_t producer_number;
    int producer_acks;
    struct consumer consumers[CONSUMERS];
};

/* A group: all its members have the same. */
struct plan {
    enum kj_assignor assignors[2];
    size_t assignor_count;
    bool is_static;
};

static struct world {
    uint64_t seed;
    FILE *to;
    struct kj_sim *sim;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *shared;
    struct history history;
    unsigned topics, groups, lives, lives_max, ops_max, kills, cuts;
    bool with_cuts;
    struct plan plans[GROUPS_MAX];
    struct life life[LIVES_MAX];
    uint32_t next_number; /* of consumers and producers */
    uint32_t next_value;
} world;

/* The run cannot go on, or what happened is wrong by itself. */
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (void)fprintf(world.to, "KJ_SEED=%" PRIu64 ": ", world.seed);                          \
            (void)fprintf(world.to, __VA_ARGS__);                                                  \
            (void)fprintf(world.to, "\n");                                                         \
            (void)fflush(world.to);                                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const char *const topic_names[TOPICS_MAX] = {"t0", "t1"};
static const char *const group_names[GROUPS_MAX] = {"g0", "g1"};

static uint64_t draw(uint64_t below)
{
    return kj_sim_draw(world.tasks, below);
}

static bool chance(unsigned pct)
{
    return draw(100) < pct;
}

static int64_t now_ns(void)
{
    return kj_mono_ns(kj_sim_tasks_clock(world.tasks)); /* each look gives a later time */
}

static void sleep_ms(int64_t ms)
{
    kj_sim_sleep(world.tasks, ms * MS);
}

static uint32_t topic_of(const char *name)
{
    return (uint32_t)(name[1] - '0');
}

/* --- writing it down --- */

/* Open until it is known how it went; it stays as it is if the process dies. */
static size_t note_begin(const struct history_event *event)
{
    struct history_event e = *event;
    e.begin = now_ns();
    e.end = INT64_MAX;
    history_add(&world.history, &e);
    return world.history.count - 1;
}

static struct history_event *note_end(size_t at, int error)
{
    struct history_event *e = &world.history.events[at];
    e->end = now_ns();
    e->error = error;
    return e;
}

static void note(const struct history_event *event)
{
    (void)note_end(note_begin(event), event->error);
}

static struct history_event of_consumer(const struct consumer *c, enum history_kind kind)
{
    struct kaja_group_metadata metadata = {.generation = -1};
    if (c->client != NULL)
        (void)kj_consumer_group_metadata(c->client, &metadata); /* -1 will do, if it fails */
    return (struct history_event){.kind = kind,
                                  .process = c->life->process,
                                  .consumer = c->number,
                                  .group = c->group,
                                  .instance = c->instance,
                                  .generation = metadata.generation};
}

static void note_moment(const struct consumer *c, enum history_kind kind)
{
    struct history_event e = of_consumer(c, kind);
    e.begin = e.end = now_ns();
    history_add(&world.history, &e);
}

/* What was open when the process died ended there. */
static void note_death(struct life *life)
{
    int64_t now = now_ns();
    for (size_t i = 0; i < world.history.count; i++)
        if (world.history.events[i].end == INT64_MAX &&
            world.history.events[i].process == life->process) {
            world.history.events[i].end = now;
            if (world.history.events[i].kind == HISTORY_FETCHED)
                world.history.events[i].error = HISTORY_UNKNOWN; /* it never said */
        }
    for (int i = 0; i < CONSUMERS; i++)
        if (life->consumers[i].number != 0) {
            const struct consumer *c = &life->consumers[i];
            history_add(&world.history, &(struct history_event){.kind = HISTORY_GONE,
                                                                .begin = now,
                                                                .end = now,
                                                                .process = life->process,
                                                                .consumer = c->number,
                                                                .instance = c->instance,
                                                                .group = c->group});
        }
}

/* --- commits --- */

struct commit {
    size_t at[PLACES_MAX];
    size_t count;
};

/* Writes a commit of all positions down, as one that is not known to have happened. */
static struct commit begin_commit(struct consumer *c, bool by_itself)
{
    struct kaja_topic_partition places[PLACES_MAX];
    struct commit commit = {.count = 0};
    struct history_event e = of_consumer(c, HISTORY_COMMITTED);
    size_t count = kj_consumer_assignment(c->client, places, PLACES_MAX);
    e.acks = c->durable ? -1 : 1;
    e.error = HISTORY_UNKNOWN;
    e.value = by_itself;
    for (size_t i = 0; i < count; i++) {
        if (places[i].offset == KAJA_OFFSET_NONE)
            continue;
        e.topic = topic_of(places[i].topic);
        e.partition = places[i].partition;
        e.offset = places[i].offset;
        commit.at[commit.count++] = note_begin(&e);
    }
    return commit;
}

static void end_commit(const struct commit *commit, int error)
{
    for (size_t i = 0; i < commit->count; i++)
        (void)note_end(commit->at[i], error);
}

/* Who was put out of the group may not commit; nothing else may go wrong here. */
static void judge_commit(const struct consumer *c, int err)
{
    CHECK(err == 0 || err == KAJA_ERR_UNKNOWN_MEMBER_ID || err == KAJA_ERR_ILLEGAL_GENERATION ||
              (err == KAJA_ERR_FENCED_INSTANCE_ID && c->instance != 0),
          "commit: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void committed(void *arg, int error)
{
    struct commit *commit = arg;
    end_commit(commit, error);
    free(commit);
}

static void commit_sync(struct consumer *c)
{
    struct commit commit = begin_commit(c, false);
    int err = kj_consumer_commit(c->client, NULL, 0, CALL_MS);
    end_commit(&commit, err);
    judge_commit(c, err);
}

/* One place, perhaps a little behind: that is for the application to say. */
static void commit_given(struct consumer *c)
{
    struct kaja_topic_partition places[PLACES_MAX];
    size_t count = kj_consumer_assignment(c->client, places, PLACES_MAX);
    const struct kaja_topic_partition *place = count == 0 ? NULL : &places[draw(count)];
    if (place == NULL || place->offset == KAJA_OFFSET_NONE)
        return;
    struct history_event e = of_consumer(c, HISTORY_COMMITTED);
    int64_t back = (int64_t)draw(2);
    e.topic = topic_of(place->topic);
    e.partition = place->partition;
    e.offset = place->offset > back ? place->offset - back : place->offset;
    e.acks = c->durable ? -1 : 1;
    e.error = HISTORY_UNKNOWN;
    const struct kaja_committed_offset offset = {.topic = topic_names[e.topic],
                                                 .partition = e.partition,
                                                 .leader_epoch = -1,
                                                 .offset = e.offset};
    size_t at = note_begin(&e);
    int err = kj_consumer_commit(c->client, &offset, 1, CALL_MS);
    (void)note_end(at, err);
    judge_commit(c, err);
}

static void commit_async(struct consumer *c)
{
    struct commit *commit = malloc(sizeof *commit);
    CHECK(commit != NULL, "out of memory");
    *commit = begin_commit(c, false);
    int err = kj_consumer_commit_async(c->client, NULL, 0, committed, commit);
    CHECK(err == 0, "commit_async: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void ask_committed(struct consumer *c)
{
    struct kaja_topic_partition place = {topic_names[draw(world.topics)], 0, 0};
    struct kaja_committed_offset offset;
    struct history_event e = of_consumer(c, HISTORY_FETCHED);
    e.topic = topic_of(place.topic);
    size_t at = note_begin(&e);
    int err = kj_consumer_committed(c->client, &place, 1, &offset);
    CHECK(err == 0, "committed: %s (%s)", kaja_error_name(err), kaja_error_detail());
    note_end(at, 0)->offset = offset.offset == KAJA_OFFSET_NONE ? -1 : offset.offset;
}

/* --- the listener --- */

static void note_places(struct consumer *c, enum history_kind kind,
                        const struct kaja_topic_partition *places, size_t count)
{
    struct history_event e = of_consumer(c, kind);
    for (size_t i = 0; i < count; i++) {
        e.topic = topic_of(places[i].topic);
        e.partition = places[i].partition;
        e.begin = e.end = now_ns();
        history_add(&world.history, &e);
    }
}

static void on_assigned(void *arg, const struct kaja_topic_partition *places, size_t count)
{
    struct consumer *c = arg;
    note_places(c, HISTORY_ASSIGNED, places, count);
    for (size_t i = 0; i < count && c->ask_position; i++) {
        struct history_event e = of_consumer(c, HISTORY_FETCHED);
        int64_t offset = -1;
        e.topic = topic_of(places[i].topic);
        e.partition = places[i].partition;
        e.value = 1;
        size_t at = note_begin(&e);
        int err = kj_consumer_position(c->client, places[i].topic, places[i].partition, &offset);
        CHECK(err == 0, "position: %s (%s)", kaja_error_name(err), kaja_error_detail());
        note_end(at, 0)->offset = offset;
    }
}

static void on_revoked(void *arg, const struct kaja_topic_partition *places, size_t count)
{
    struct consumer *c = arg;
    if (c->commit_revoked && count > 0)
        commit_sync(c);
    note_places(c, HISTORY_REVOKED, places, count);
}

static void on_lost(void *arg, const struct kaja_topic_partition *places, size_t count)
{
    note_places(arg, HISTORY_LOST, places, count);
}

/* --- consumers --- */

static void subscribe(struct consumer *c)
{
    const struct kj_listener listener = {on_revoked, on_assigned, on_lost, c};
    int err = kj_consumer_subscribe(c->client, topic_names, world.topics, &listener);
    CHECK(err == 0, "subscribe: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void open_consumer(struct consumer *c, uint32_t group, uint32_t instance)
{
    const struct plan *plan = &world.plans[group];
    struct kj_consumer_options options;
    char instance_id[16];
    (void)snprintf(instance_id, sizeof instance_id, "i%u", instance);
    c->group = group;
    c->instance = instance;
    c->number = world.next_number++;
    c->auto_commit = chance(40);
    c->durable = chance(60);
    c->commit_revoked = !c->auto_commit && chance(50);
    c->ask_position = chance(50);
    kj_consumer_options_defaults(&options);
    options.reset = KJ_RESET_EARLIEST;
    options.read_durable = chance(10);
    options.max_poll_records = chance(50) ? 500 : 3;
    options.member.group_id = group_names[group];
    options.member.instance_id = instance == 0 ? NULL : instance_id;
    options.member.session_timeout_ms = SESSION_MS;
    options.member.heartbeat_interval_ms = HEARTBEAT_MS;
    options.member.rebalance_timeout_ms = POLL_MS;
    options.member.assignors[0] = plan->assignors[0];
    options.member.assignors[1] = plan->assignors[1];
    options.member.assignor_count = plan->assignor_count;
    options.groups = c->life->groups;
    options.offsets = c->life->offsets;
    options.auto_commit = c->auto_commit;
    options.auto_commit_interval_ms = 30;
    options.commit_durable = c->durable;
    int err = kj_consumer_new(c->life->store, &options, &c->client);
    CHECK(err == 0, "consumer: %s (%s)", kaja_error_name(err), kaja_error_detail());
    subscribe(c);
}

static void close_consumer(struct consumer *c)
{
    struct commit commit = {.count = 0};
    if (c->client == NULL)
        return;
    if (c->auto_commit)
        commit = begin_commit(c, true);
    int err = kj_consumer_free(c->client, -1);
    CHECK(err == 0, "close: %s (%s)", kaja_error_name(err), kaja_error_detail());
    c->client = NULL;
    end_commit(&commit, HISTORY_UNKNOWN);
    note_moment(c, HISTORY_GONE);
    c->number = 0;
}

static void unsubscribe(struct consumer *c)
{
    struct commit commit = {.count = 0};
    if (c->auto_commit)
        commit = begin_commit(c, true);
    int err = kj_consumer_unsubscribe(c->client);
    CHECK(err == 0, "unsubscribe: %s (%s)", kaja_error_name(err), kaja_error_detail());
    end_commit(&commit, HISTORY_UNKNOWN);
}

static void note_batch(struct consumer *c, size_t polled, struct kaja_batch *batch)
{
    struct history_event e = of_consumer(c, HISTORY_DELIVERED);
    struct kaja_record_view record;
    while (kj_fetched_next(batch, &record) == 1) {
        char text[32] = "";
        CHECK(record.value_bytes < sizeof text, "a value of %zu bytes", record.value_bytes);
        memcpy(text, record.value, record.value_bytes);
        e.begin = world.history.events[polled].begin;
        e.end = world.history.events[polled].end;
        e.topic = topic_of(record.topic);
        e.partition = record.partition;
        e.offset = record.offset;
        e.value = strtoull(text, NULL, 10);
        history_add(&world.history, &e);
    }
}

static void poll_once(struct consumer *c, int64_t timeout_ms)
{
    struct kaja_batch *batch = NULL;
    struct commit commit = {.count = 0};
    if (c->auto_commit)
        commit = begin_commit(c, true);
    struct history_event e = of_consumer(c, HISTORY_POLLED);
    size_t at = note_begin(&e);
    int err = kj_consumer_poll(c->client, timeout_ms, &batch);
    (void)note_end(at, err);
    end_commit(&commit, HISTORY_UNKNOWN);
    if (err == 0) {
        note_batch(c, at, batch);
        kj_fetched_release(batch);
        return;
    }
    CHECK(err == KAJA_ERR_UNKNOWN_MEMBER_ID ||
              (err == KAJA_ERR_FENCED_INSTANCE_ID && c->instance != 0),
          "poll: %s (%s)", kaja_error_name(err), kaja_error_detail());
    if (err == KAJA_ERR_FENCED_INSTANCE_ID) /* what it is told to do */
        close_consumer(c);
}

/* --- producers --- */

static void open_producer(struct life *life)
{
    struct kj_producer_options options;
    kj_producer_options_defaults(&options);
    options.acks = chance(60) ? KJ_ACKS_ALL : 1;
    options.idempotent = options.acks == KJ_ACKS_ALL && chance(80);
    life->producer_number = world.next_number++;
    life->producer_acks = options.acks;
    int err = kj_producer_new(life->store, &options, &life->producer);
    CHECK(err == 0, "producer: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void sent(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct history_event *e = note_end((size_t)(uintptr_t)arg, error);
    CHECK(error == 0, "produce: %s", kaja_error_name(error));
    e->partition = metadata->partition;
    e->offset = metadata->offset;
}

static void produce(struct life *life)
{
    for (uint64_t i = 1 + draw(6); i > 0; i--) {
        char text[32];
        struct kaja_record record = KAJA_RECORD_INIT;
        struct history_event e = {.kind = HISTORY_PRODUCED,
                                  .process = life->process,
                                  .consumer = life->producer_number,
                                  .topic = (uint32_t)draw(world.topics),
                                  .partition = -1,
                                  .offset = -1,
                                  .acks = life->producer_acks,
                                  .error = HISTORY_UNKNOWN};
        e.value = (uint64_t)life->producer_number << 32 | world.next_value++;
        (void)snprintf(text, sizeof text, "%" PRIu64, e.value);
        record.topic = topic_names[e.topic];
        record.key = text; /* everywhere */
        record.key_bytes = strlen(text);
        record.value = text;
        record.value_bytes = strlen(text);
        size_t at = note_begin(&e);
        int err = kj_producer_produce(life->producer, &record, sent, (void *)(uintptr_t)at);
        CHECK(err == 0, "produce: %s (%s)", kaja_error_name(err), kaja_error_detail());
    }
    if (chance(80)) {
        int err = kj_producer_flush(life->producer, CALL_MS);
        CHECK(err == 0, "flush: %s (%s)", kaja_error_name(err), kaja_error_detail());
    }
}

/* --- a process --- */

/* As api/ does it. */
static int ends_fell(void *arg, struct kj_store *store)
{
    (void)arg;
    return kj_offset_store_move_back(store);
}

static void open_store(struct life *life, bool steps)
{
    struct kj_store_options options = {
        .path = "simulated",
        .create = true,
        .backend = KJ_IO_POSIX,
        .lock_timeout_ms = 20000,
        .disk_max = -1,
        .producer_ids_max = 1000,
        .event_queue_max = 1000,
        .num_partitions = 1,
        .retention_check_ms = 300000,
        .checkpoint_ms = 60000,
        .start_checkpoint_ms = 60000,
        .io = kj_sim_open(world.sim, false, steps ? kj_sim_io_step : NULL, world.tasks),
        .clock = kj_sim_tasks_clock(world.tasks),
        .shared_step = steps ? kj_sim_shared_step : NULL,
        .step_arg = world.tasks,
        .shared_sim = &kj_sim_shared_ops,
        .shared_sim_arg = world.shared,
        .hooks = {.ends_fell = ends_fell},
    };
    struct kj_offset_store_options offsets;
    const struct kj_groups_options groups = {
        .min_session_timeout_ms = 10, .max_session_timeout_ms = 100000, .max_size = 200};
    kj_offset_store_options_defaults(&offsets);
    int err = kj_store_open(&options, &life->store);
    if (err == 0)
        err = kj_offset_store_open(life->store, &offsets, &life->offsets);
    if (err == 0)
        err = kj_groups_open(life->store, life->offsets, &groups, &life->groups);
    CHECK(err == 0, "open: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void close_store(struct life *life)
{
    kj_groups_close(life->groups);
    kj_offset_store_close(life->offsets);
    int err = kj_store_close(life->store);
    CHECK(err == 0, "close: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

static void begin_life(int64_t after_ms);

/* By itself, where it is now. */
static void die(struct life *life)
{
    begin_life((int64_t)draw(3 * SESSION_MS));
    life->running = false;
    world.kills++;
    note_death(life);
    kj_sim_kill(world.tasks, life->process);
}

static void open_some_consumer(struct life *life, struct consumer *c)
{
    uint32_t group = (uint32_t)draw(world.groups), instance = 0;
    /* Mostly the place of an earlier process, sometimes that of one that is there: it is fenced. */
    if (world.plans[group].is_static && chance(80))
        instance = 1 + (uint32_t)draw(3);
    (void)life;
    open_consumer(c, group, instance);
}

/* Alive, but it does not poll. */
static void busy(struct life *life)
{
    for (int64_t until = now_ns() + (int64_t)(POLL_MS / 2 + draw(POLL_MS)) * MS;
         now_ns() < until;) {
        sleep_ms(HEARTBEAT_MS);
        (void)kj_store_step(life->store); /* its failures are events, and tried again */
    }
}

static void add_partitions(struct life *life)
{
    const char *name = topic_names[draw(world.topics)];
    struct kj_topic *topic;
    int err = kj_topic_find(life->store, name, false, &topic);
    CHECK(err == 0, "find: %s (%s)", kaja_error_name(err), kaja_error_detail());
    int32_t count = kj_topic_partition_count(topic);
    kj_topic_release(topic);
    if (count < PARTITIONS_MAX)
        err = kj_topic_add_partitions(life->store, name, count + 1);
    CHECK(err == 0 || err == KAJA_ERR_INVALID_PARTITIONS, "grow: %s (%s)", kaja_error_name(err),
          kaja_error_detail());
}

static void some_op(struct life *life)
{
    struct consumer *c = &life->consumers[draw(CONSUMERS)];
    uint64_t what = draw(100);
    if (c->client == NULL)
        c = &life->consumers[0];
    if (c->client == NULL)
        open_some_consumer(life, c);
    if (what < 42) {
        static const int64_t timeouts_ms[] = {0, 0, 5, 20, 60};
        poll_once(c, timeouts_ms[draw(sizeof timeouts_ms / sizeof *timeouts_ms)]);
    } else if (what < 58) {
        produce(life);
    } else if (what < 65) {
        commit_sync(c);
    } else if (what < 70) {
        commit_async(c);
    } else if (what < 73) {
        commit_given(c);
    } else if (what < 75) {
        ask_committed(c);
    } else if (what < 83) {
        sleep_ms((int64_t)draw(10));
    } else if (what < 87) {
        sleep_ms(SESSION_MS / 2 + (int64_t)draw(2 * SESSION_MS));
    } else if (what < 90) {
        busy(life);
        if (chance(70)) /* what it had may be another's by now */
            commit_sync(c);
    } else if (what < 93) {
        close_consumer(c);
    } else if (what < 94) {
        unsubscribe(c);
        subscribe(c);
    } else if (what < 96) {
        struct consumer *other = &life->consumers[1];
        if (other->client == NULL)
            open_some_consumer(life, other);
    } else if (what < 97) {
        add_partitions(life);
    } else if (what < 98) {
        die(life);
    } else {
        (void)kj_store_step(life->store); /* its failures are events */
    }
}

static void live(void *arg)
{
    struct life *life = arg;
    if (life->begin_after_ms > 0)
        sleep_ms(life->begin_after_ms);
    open_store(life, true);
    open_producer(life);
    for (uint64_t ops = 5 + draw(world.ops_max); ops > 0; ops--)
        some_op(life);
    if (chance(20))
        die(life);
    for (int i = 0; i < CONSUMERS; i++)
        close_consumer(&life->consumers[i]);
    int err = kj_producer_close(life->producer, CALL_MS);
    CHECK(err == 0, "producer's close: %s (%s)", kaja_error_name(err), kaja_error_detail());
    close_store(life);
    life->running = false;
    begin_life((int64_t)draw(SESSION_MS));
}

static struct life *new_life(void)
{
    struct life *life = &world.life[world.lives];
    *life = (struct life){.process = world.lives++, .running = true};
    for (int i = 0; i < CONSUMERS; i++)
        life->consumers[i].life = life;
    return life;
}

static void begin_life(int64_t after_ms)
{
    if (world.lives >= world.lives_max)
        return;
    struct life *life = new_life();
    life->begin_after_ms = after_ms;
    kj_sim_task_add(world.tasks, life->process, live, life);
}

/* --- fate --- */

static void kill_one(struct life *life)
{
    if (!life->running)
        return;
    kj_sim_kill(world.tasks, life->process);
    life->running = false;
    note_death(life);
    world.kills++;
}

static struct kj_partition *partition_of(struct kj_topic *topic, int32_t number)
{
    struct kj_partition *partition;
    int err = kj_topic_partition(topic, number, &partition);
    CHECK(err == 0, "partition: %s (%s)", kaja_error_name(err), kaja_error_detail());
    return partition;
}

/* Every partition: calls each(arg, topic number, partition number, end). */
static void each_end(struct life *life, void (*each)(void *arg, uint32_t, int32_t, int64_t),
                     void *arg)
{
    for (uint32_t t = 0; t < world.topics; t++) {
        struct kj_topic *topic;
        int err = kj_topic_find(life->store, topic_names[t], false, &topic);
        CHECK(err == 0, "find: %s (%s)", kaja_error_name(err), kaja_error_detail());
        for (int32_t p = 0; p < kj_topic_partition_count(topic); p++)
            each(arg, t, p, kj_log_end(kj_partition_log(partition_of(topic, p))));
        kj_topic_release(topic);
    }
}

static void note_log_end(void *arg, uint32_t topic, int32_t partition, int64_t end)
{
    const struct life *life = arg;
    note(&(struct history_event){.kind = HISTORY_END,
                                 .process = life->process,
                                 .topic = topic,
                                 .partition = partition,
                                 .offset = end});
}

static void power_cut(struct life *fate)
{
    for (unsigned i = 0; i < world.lives; i++)
        kill_one(&world.life[i]);
    kj_sim_shared_crash(world.shared);
    kj_sim_crash(world.sim, draw(UINT64_MAX), (enum kj_sim_crash_mode)draw(KJ_SIM_CRASH_MODES));
    note(&(struct history_event){.kind = HISTORY_CUT, .process = fate->process});
    world.cuts++;
    open_store(fate, true);
    each_end(fate, note_log_end, fate);
    close_store(fate);
}

static void fate(void *arg)
{
    struct life life = {.process = LIVES_MAX};
    (void)arg;
    for (unsigned idle = 0; world.lives < world.lives_max && idle < 100; idle++) {
        unsigned kills = world.kills;
        sleep_ms((int64_t)draw(100));
        if (chance(50)) { /* in the middle of something */
            for (uint64_t yields = draw(200); yields > 0; yields--)
                kj_sim_yield(world.tasks);
        }
        uint64_t what = draw(10);
        if (what == 0 && world.with_cuts)
            power_cut(&life);
        else if (what == 1)
            for (unsigned i = 0; i < world.lives; i++)
                kill_one(&world.life[i]);
        else if (what < 6)
            kill_one(&world.life[draw(world.lives)]);
        for (; kills < world.kills; kills++)
            begin_life((int64_t)draw(SESSION_MS));
    }
    if (chance(30))
        for (unsigned i = 0; i < world.lives; i++)
            kill_one(&world.life[i]);
}

/* --- in the end --- */

struct goal {
    struct kaja_topic_partition places[PLACES_MAX];
    size_t count;
};

static void add_goal(void *arg, uint32_t topic, int32_t partition, int64_t end)
{
    struct goal *goal = arg;
    goal->places[goal->count++] =
        (struct kaja_topic_partition){topic_names[topic], partition, end};
}

static bool reached(const struct consumer *c, const struct goal *goal)
{
    struct kaja_topic_partition places[PLACES_MAX];
    size_t count = kj_consumer_assignment(c->client, places, PLACES_MAX), there = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < goal->count; k++)
            if (strcmp(places[i].topic, goal->places[k].topic) == 0 &&
                places[i].partition == goal->places[k].partition)
                there += places[i].offset == goal->places[k].offset;
    return there == goal->count;
}

static void note_committed(struct consumer *c, const struct goal *goal)
{
    struct kaja_committed_offset offsets[PLACES_MAX];
    int64_t begin = now_ns();
    int err = kj_consumer_committed(c->client, goal->places, goal->count, offsets);
    CHECK(err == 0, "committed: %s (%s)", kaja_error_name(err), kaja_error_detail());
    for (size_t i = 0; i < goal->count; i++) {
        struct history_event e = of_consumer(c, HISTORY_FETCHED);
        e.begin = begin;
        e.end = now_ns();
        e.topic = topic_of(offsets[i].topic);
        e.partition = offsets[i].partition;
        e.offset = offsets[i].offset == KAJA_OFFSET_NONE ? -1 : offsets[i].offset;
        history_add(&world.history, &e);
    }
}

/* Everything that stands, read without a group. */
static void read_all(struct life *life, const struct goal *goal)
{
    struct kj_consumer_options options;
    struct kj_consumer *client;
    struct kaja_record_view record;
    kj_consumer_options_defaults(&options);
    options.reset = KJ_RESET_EARLIEST;
    int err = kj_consumer_new(life->store, &options, &client);
    if (err == 0)
        err = kj_consumer_assign(client, goal->places, goal->count);
    CHECK(err == 0, "reading: %s (%s)", kaja_error_name(err), kaja_error_detail());
    const struct consumer reader = {.client = client};
    for (int64_t until = now_ns() + (int64_t)CALL_MS * MS; !reached(&reader, goal);) {
        struct kaja_batch *batch;
        CHECK(now_ns() < until, "not everything can be read");
        err = kj_consumer_poll(client, 10, &batch);
        CHECK(err == 0, "reading: %s (%s)", kaja_error_name(err), kaja_error_detail());
        while (kj_fetched_next(batch, &record) == 1)
            note(&(struct history_event){.kind = HISTORY_STANDS,
                                         .process = life->process,
                                         .topic = topic_of(record.topic),
                                         .partition = record.partition,
                                         .offset = record.offset,
                                         .value = strtoull(record.value, NULL, 10)});
        kj_fetched_release(batch);
    }
    err = kj_consumer_free(client, -1);
    CHECK(err == 0, "close: %s (%s)", kaja_error_name(err), kaja_error_detail());
}

/* A survivor: all groups get to the end of everything, within a bounded time. */
static void drain(void)
{
    struct life *life = new_life();
    struct goal goal = {.count = 0};
    unsigned done = 0;
    open_store(life, false);
    each_end(life, add_goal, &goal);
    for (uint32_t g = 0; g < world.groups; g++) {
        open_consumer(&life->consumers[g], g, 0);
        note_committed(&life->consumers[g], &goal);
    }
    for (int64_t until = now_ns() + (int64_t)CALL_MS * MS; done < world.groups;) {
        CHECK(now_ns() < until, "the groups do not get to the end");
        done = 0;
        for (uint32_t g = 0; g < world.groups; g++) {
            poll_once(&life->consumers[g], 10);
            done += reached(&life->consumers[g], &goal);
        }
    }
    for (uint32_t g = 0; g < world.groups; g++) {
        commit_sync(&life->consumers[g]);
        note_committed(&life->consumers[g], &goal);
        for (uint32_t t = 0; t < world.topics; t++)
            note(&(struct history_event){
                .kind = HISTORY_DRAINED, .process = life->process, .group = g, .topic = t});
        close_consumer(&life->consumers[g]);
    }
    read_all(life, &goal);
    close_store(life);
}

/* --- a run --- */

static void make_topics(void)
{
    struct life *life = new_life();
    open_store(life, false);
    for (unsigned t = 0; t < world.topics; t++) {
        int err = kj_topic_create(life->store, topic_names[t], 1 + (int32_t)draw(4), NULL, 0);
        CHECK(err == 0, "create: %s (%s)", kaja_error_name(err), kaja_error_detail());
    }
    /* A group that has neither members nor offsets is forgotten, and its generations begin anew. */
    for (uint32_t g = 0; g < world.groups; g++) {
        const struct kj_offset_item item = {
            .topic = topic_names[0], .leader_epoch = -1, .offset = 0};
        const struct kj_offset_commit first = {
            .group_id = group_names[g], .items = &item, .count = 1, .durable = true};
        struct kj_offset_ticket ticket;
        int err = kj_offset_store_commit(life->offsets, &first, &ticket);
        if (err == 0)
            err = kj_offset_store_wait(life->offsets, &ticket);
        CHECK(err == 0, "commit: %s (%s)", kaja_error_name(err), kaja_error_detail());
    }
    close_store(life);
    life->running = false;
}

static void draw_plans(void)
{
    world.topics = 1 + (unsigned)draw(TOPICS_MAX);
    world.groups = 1 + (unsigned)draw(GROUPS_MAX);
    world.lives_max = 6 + (unsigned)draw(LIVES_MAX - 8);
    world.ops_max = 10 + (unsigned)draw(25);
    world.with_cuts = chance(50);
    for (unsigned g = 0; g < world.groups; g++) {
        struct plan *plan = &world.plans[g];
        plan->assignors[0] = (enum kj_assignor)draw(KJ_ASSIGNOR_COUNT);
        plan->assignors[1] = (enum kj_assignor)draw(KJ_ASSIGNOR_COUNT);
        plan->assignor_count = plan->assignors[0] == plan->assignors[1] || chance(70) ? 1 : 2;
        plan->is_static = chance(35);
    }
}

static uint32_t count_kind(enum history_kind kind)
{
    uint32_t count = 0;
    for (size_t i = 0; i < world.history.count; i++)
        count += world.history.events[i].kind == kind;
    return count;
}

void world_run(uint64_t seed, bool all, FILE *to, struct world_result *ret_result)
{
    static const unsigned switches_pct[] = {0, 1, 3, 10};
    world = (struct world){.seed = seed, .to = to, .next_number = 1};
    world.sim = kj_sim_new(seed + 1);
    world.tasks = kj_sim_tasks_new(seed, switches_pct[seed % 4]);
    world.shared = kj_sim_shared_new(world.tasks);
    world.history.silence = (int64_t)(SESSION_MS - HEARTBEAT_MS) * MS;
    draw_plans();
    make_topics();
    for (uint64_t i = 2 + draw(3); i > 0; i--)
        begin_life(0);
    kj_sim_task_add(world.tasks, LIVES_MAX, fate, NULL);
    CHECK(kj_sim_tasks_run(world.tasks), "everybody waits for somebody else, for ever");
    for (unsigned i = 0; i < world.lives; i++)
        CHECK(!world.life[i].running || i >= world.lives_max, "process %u did not end", i);
    drain();
    uint64_t hash = history_hash(&world.history) ^ kj_sim_trace(world.tasks);
    size_t broken = history_check(&world.history, to);
    for (size_t i = 0; all && i < world.history.count; i++)
        history_print_event(to, &world.history.events[i]);
    if (broken > 0)
        (void)fprintf(to, "KJ_SEED=%" PRIu64 ": %zu times\n", seed, broken);
    *ret_result = (struct world_result){.hash = hash,
                                        .lives = world.lives,
                                        .kills = world.kills,
                                        .cuts = world.cuts,
                                        .events = (uint32_t)world.history.count,
                                        .delivered = count_kind(HISTORY_DELIVERED),
                                        .commits = count_kind(HISTORY_COMMITTED),
                                        .taken_over = count_kind(HISTORY_LOST),
                                        .broken = (uint32_t)broken};
    history_free(&world.history);
}
