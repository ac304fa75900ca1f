/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/history/history_live.c - the laws of tests/history/history.h over real processes: several
 * of them produce, poll, commit, leave and come again; one after the other is killed (kill -9),
 * stopped for longer than its session, or told to end. A survivor reads everything, and the history
 * of all is checked. Each writes what happens to it into memory that outlives it.
 *
 *     history_live [SECONDS]     KJ_SEED=... repeats the choices, not the times
 */
#include "crash.h"

#include "history/history.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    WORKERS = 4,
    CONSUMERS = 2, /* of each */
    GROUPS = 2,    /* the second one's members are static */
    TOPICS = 2,
    PARTITIONS = 4,
    ROOM = 400000, /* events of a process */
    PENDING = 20,  /* records that are on their way */
    SESSION_MS = 3000,
    SILENCE_MS = 2000,
    STOP_MS = 3500,
    CALL_MS = 30000
};

/* What a process leaves behind. */
struct trace {
    _Atomic uint32_t count;
    _Atomic bool end; /* it is asked to */
    struct history_event events[ROOM];
};

struct consumer {
    struct kaja_consumer *client; /* NULL: none now */
    uint32_t number, group, instance;
    bool auto_commit, durable;
};

/* The process, if it is one of the workers. */
static struct {
    uint32_t process, slot, next_number;
    struct trace *trace;
    struct rng rng;
    struct kaja_store *store;
    struct kaja_producer *producer;
    int acks;
    uint32_t next_value;
    struct consumer consumers[CONSUMERS];
} me;

static const char *const topic_names[TOPICS] = {"t0", "t1"};
static const char *const group_names[GROUPS] = {"g0", "g1"};
static char dir[128];

static uint32_t topic_of(const char *name)
{
    return (uint32_t)(name[1] - '0');
}

static bool chance(uint32_t pct)
{
    return rng_below(&me.rng, 100) < pct;
}

/* --- writing it down --- */

static struct history_event *put(const struct history_event *event)
{
    uint32_t at = me.trace->count;
    CHECK(at < ROOM, "too many events");
    me.trace->events[at] = *event;
    me.trace->events[at].process = me.process;
    me.trace->count = at + 1; /* whole, whenever the process dies */
    return &me.trace->events[at];
}

static struct history_event *put_open(const struct history_event *event)
{
    struct history_event e = *event;
    e.begin = now_ns();
    e.end = INT64_MAX;
    return put(&e);
}

static void put_end(struct history_event *event, int error)
{
    event->error = error;
    event->end = now_ns();
}

static struct history_event of_consumer(const struct consumer *c, enum history_kind kind)
{
    struct kaja_group_metadata metadata = {.generation = -1};
    if (c->client != NULL)
        MUST(kaja_consumer_group_metadata(c->client, &metadata));
    return (struct history_event){.kind = kind,
                                  .consumer = c->number,
                                  .group = c->group,
                                  .instance = c->instance,
                                  .generation = metadata.generation};
}

/* --- commits --- */

struct commit {
    struct history_event *at[TOPICS * PARTITIONS];
    size_t count;
};

static struct commit begin_commit(struct consumer *c, bool by_itself)
{
    struct kaja_topic_partition places[TOPICS * PARTITIONS];
    struct commit commit = {.count = 0};
    struct history_event e = of_consumer(c, HISTORY_COMMITTED);
    size_t count = kaja_consumer_assignment(c->client, places, TOPICS * PARTITIONS);
    e.acks = c->durable ? -1 : 1;
    e.error = HISTORY_UNKNOWN;
    e.value = by_itself;
    for (size_t i = 0; i < count; i++) {
        e.topic = topic_of(places[i].topic);
        e.partition = places[i].partition;
        e.offset = places[i].offset;
        if (e.offset != KAJA_OFFSET_NONE)
            commit.at[commit.count++] = put_open(&e);
    }
    return commit;
}

static void end_commit(const struct commit *commit, int error)
{
    /* Also while the flush is waited for. */
    bool unclear = error == KAJA_ERR_LOCK_TIMED_OUT;
    for (size_t i = 0; i < commit->count; i++)
        put_end(commit->at[i], unclear ? HISTORY_UNKNOWN : error);
    CHECK(error == 0 || error == HISTORY_UNKNOWN || error == KAJA_ERR_UNKNOWN_MEMBER_ID ||
              error == KAJA_ERR_ILLEGAL_GENERATION || error == KAJA_ERR_FENCED_INSTANCE_ID ||
              error == KAJA_ERR_LOCK_TIMED_OUT,
          "commit: %s (%s)", kaja_error_name(error), kaja_error_detail());
}

static void commit_sync(struct consumer *c)
{
    struct commit commit = begin_commit(c, false);
    end_commit(&commit, kaja_consumer_commit(c->client, NULL, 0, CALL_MS));
}

static void commit_done(void *arg, int error)
{
    end_commit(arg, error);
    free(arg);
}

static void commit_async(struct consumer *c)
{
    struct commit *commit = malloc(sizeof *commit);
    CHECK(commit != NULL, "out of memory");
    *commit = begin_commit(c, false);
    MUST(kaja_consumer_commit_async(c->client, NULL, 0, commit_done, commit));
}

static void ask_committed(struct consumer *c)
{
    struct history_event e = of_consumer(c, HISTORY_FETCHED);
    e.topic = rng_below(&me.rng, TOPICS);
    e.partition = (int32_t)rng_below(&me.rng, PARTITIONS);
    struct kaja_topic_partition place = {topic_names[e.topic], e.partition, 0};
    struct kaja_committed_offset offset;
    e.begin = now_ns();
    MUST(kaja_consumer_committed(c->client, &place, 1, &offset));
    e.end = now_ns();
    e.offset = offset.offset == KAJA_OFFSET_NONE ? -1 : offset.offset;
    (void)put(&e);
}

/* --- the listener --- */

static void put_places(struct consumer *c, enum history_kind kind,
                       const struct kaja_topic_partition *places, size_t count)
{
    struct history_event e = of_consumer(c, kind);
    for (size_t i = 0; i < count; i++) {
        e.topic = topic_of(places[i].topic);
        e.partition = places[i].partition;
        e.begin = e.end = now_ns();
        (void)put(&e);
    }
}

static void on_assigned(void *arg, struct kaja_consumer *client,
                        const struct kaja_topic_partition *places, size_t count)
{
    (void)client;
    put_places(arg, HISTORY_ASSIGNED, places, count);
}

static void on_revoked(void *arg, struct kaja_consumer *client,
                       const struct kaja_topic_partition *places, size_t count)
{
    struct consumer *c = arg;
    (void)client;
    if (!c->auto_commit && count > 0)
        commit_sync(c);
    put_places(c, HISTORY_REVOKED, places, count);
}

static void on_lost(void *arg, struct kaja_consumer *client,
                    const struct kaja_topic_partition *places, size_t count)
{
    (void)client;
    put_places(arg, HISTORY_LOST, places, count);
}

/* --- consumers --- */

static void begin_consumer(struct consumer *c, bool is_static)
{
    static const char *const assignors[GROUPS][2] = {
        {"range", "cooperative-sticky"}, {"cooperative-sticky", "cooperative-sticky,sticky"}};
    const struct kaja_rebalance_listener listener = {sizeof listener, c, on_revoked, on_assigned,
                                                     on_lost};
    char instance[16], session[16];
    struct kaja_conf *bag;
    c->group = rng_below(&me.rng, GROUPS);
    c->instance = is_static && c->group == 1 ? 1 + me.slot * CONSUMERS + (c == &me.consumers[1])
                                             : 0;
    c->number = me.process * 10000 + ++me.next_number;
    c->auto_commit = chance(40);
    c->durable = chance(60);
    (void)snprintf(instance, sizeof instance, "i%u", c->instance);
    (void)snprintf(session, sizeof session, "%d", (int)SESSION_MS);
    bag = conf("group.id", group_names[c->group], "auto.offset.reset", "earliest",
               "session.timeout.ms", session, "heartbeat.interval.ms", "300",
               "max.poll.interval.ms", "60000",
               "enable.auto.commit", c->auto_commit ? "true" : "false",
               "auto.commit.interval.ms", "50", "kaja.commit.acks", c->durable ? "all" : "1",
               "partition.assignment.strategy", assignors[c->group][0], NULL);
    if (c->instance != 0)
        MUST(kaja_conf_set(bag, "group.instance.id", instance));
    c->client = open_consumer(me.store, bag);
    MUST(kaja_consumer_subscribe(c->client, topic_names, TOPICS, &listener));
}

static void end_consumer(struct consumer *c)
{
    if (c->client == NULL)
        return;
    struct commit commit = {.count = 0};
    if (c->auto_commit)
        commit = begin_commit(c, true);
    MUST(kaja_consumer_close(c->client, CALL_MS));
    c->client = NULL;
    end_commit(&commit, HISTORY_UNKNOWN);
    struct history_event e = of_consumer(c, HISTORY_GONE);
    e.begin = e.end = now_ns();
    (void)put(&e);
}

static void put_batch(struct consumer *c, const struct history_event *poll,
                      struct kaja_batch *batch)
{
    struct history_event e = of_consumer(c, HISTORY_DELIVERED);
    struct kaja_record_view record;
    e.begin = poll->begin;
    e.end = poll->end;
    while (kaja_batch_next(batch, &record) == 1) {
        CHECK(record.value_bytes == sizeof e.value, "a value of %zu bytes", record.value_bytes);
        memcpy(&e.value, record.value, sizeof e.value);
        e.topic = topic_of(record.topic);
        e.partition = record.partition;
        e.offset = record.offset;
        (void)put(&e);
    }
}

static void poll_once(struct consumer *c, int64_t timeout_ms)
{
    struct commit commit = {.count = 0};
    struct kaja_batch *batch = NULL;
    struct history_event e = of_consumer(c, HISTORY_POLLED);
    if (c->auto_commit)
        commit = begin_commit(c, true);
    struct history_event *poll = put_open(&e);
    int err = kaja_consumer_poll(c->client, timeout_ms, &batch);
    put_end(poll, err);
    end_commit(&commit, HISTORY_UNKNOWN);
    CHECK(err == 0 || err == KAJA_ERR_UNKNOWN_MEMBER_ID || err == KAJA_ERR_LOCK_TIMED_OUT ||
              err == KAJA_ERR_FENCED_INSTANCE_ID,
          "poll: %s (%s)", kaja_error_name(err), kaja_error_detail());
    if (err == 0)
        put_batch(c, poll, batch);
    kaja_batch_release(batch);
    if (err == KAJA_ERR_FENCED_INSTANCE_ID)
        end_consumer(c);
}

/* --- producing --- */

static void on_sent(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct history_event *e = arg;
    if (error == 0) {
        e->partition = metadata->partition;
        e->offset = metadata->offset;
    }
    put_end(e, error == 0 ? 0 : HISTORY_UNKNOWN); /* a stopped one's lock, for too long */
}

static void produce(void)
{
    for (uint32_t i = 1 + rng_below(&me.rng, PENDING); i > 0; i--) {
        struct kaja_record record = KAJA_RECORD_INIT;
        struct history_event e = {.kind = HISTORY_PRODUCED,
                                  .topic = rng_below(&me.rng, TOPICS),
                                  .partition = -1,
                                  .offset = -1,
                                  .value = (uint64_t)me.process << 32 | ++me.next_value,
                                  .acks = me.acks,
                                  .error = HISTORY_UNKNOWN};
        record.topic = topic_names[e.topic];
        record.key = record.value = &e.value;
        record.key_bytes = record.value_bytes = sizeof e.value;
        struct history_event *event = put_open(&e);
        MUST(kaja_producer_produce(me.producer, &record, on_sent, event));
    }
    if (chance(50))
        MUST(kaja_producer_flush(me.producer, 10 * CALL_MS));
}

/* --- a worker --- */

static void some_op(void)
{
    struct consumer *c = &me.consumers[rng_below(&me.rng, CONSUMERS)];
    uint32_t what = rng_below(&me.rng, 100);
    if (c->client == NULL)
        c = &me.consumers[0];
    if (c->client == NULL)
        begin_consumer(c, true);
    if (what < 50) {
        poll_once(c, rng_below(&me.rng, 40));
    } else if (what < 65) {
        produce();
    } else if (what < 72) {
        commit_sync(c);
    } else if (what < 78) {
        commit_async(c);
    } else if (what < 82) {
        ask_committed(c);
    } else if (what < 95) {
        nap_us(rng_below(&me.rng, 20000));
    } else if (what < 97) {
        end_consumer(c);
    } else if (me.consumers[1].client == NULL) {
        begin_consumer(&me.consumers[1], true);
    }
}

/* Who comes late to a rebalance hears that way that its automatic commit was refused; and a lock of
 * one that is stopped is waited for in vain. */
static void on_event(void *arg, const struct kaja_event *event)
{
    (void)arg;
    CHECK(event->kind == KAJA_EVENT_RECOVERED || event->error == KAJA_ERR_LOCK_TIMED_OUT ||
              event->error == KAJA_ERR_ILLEGAL_GENERATION ||
              event->error == KAJA_ERR_UNKNOWN_MEMBER_ID ||
              event->error == KAJA_ERR_FENCED_INSTANCE_ID,
          "event %d (%s): %s", (int)event->kind, kaja_error_name(event->error), event->text);
}

static void work(void *arg)
{
    (void)arg;
    role("worker %u", me.process);
    me.store = open_store(dir, NULL);
    kaja_store_on_event(me.store, on_event, NULL);
    me.acks = chance(60) ? -1 : 1;
    me.producer = open_producer(me.store, conf("acks", me.acks == 1 ? "1" : "all", NULL));
    while (!me.trace->end)
        some_op();
    for (int i = 0; i < CONSUMERS; i++)
        end_consumer(&me.consumers[i]);
    MUST(kaja_producer_flush(me.producer, 10 * CALL_MS));
    MUST(kaja_producer_close(me.producer, CALL_MS));
    MUST(kaja_store_close(me.store));
}

/* --- the parent --- */

static struct history history;
static struct slot {
    pid_t pid;
    uint32_t process;
    struct trace *trace;
    int64_t until_ns; /* stopped until then; 0: it is not */
    int64_t stopped_ns;
} slots[WORKERS];
static uint32_t processes, kills, stops;

static void start(uint32_t number)
{
    struct slot *slot = &slots[number];
    *slot = (struct slot){.process = ++processes, .trace = share(sizeof *slot->trace)};
    me.process = slot->process;
    me.slot = number;
    me.trace = slot->trace;
    me.rng.state = rng_next(&me.rng);
    slot->pid = child_start(work, NULL);
}

/* What it left behind; at_ns: when it ended. */
static void collect(struct slot *slot, int64_t at_ns)
{
    struct history left = {.events = NULL};
    for (uint32_t i = 0; i < slot->trace->count; i++) {
        struct history_event e = slot->trace->events[i];
        if (e.end == INT64_MAX)
            e.end = at_ns;
        history_add(&left, &e);
    }
    for (size_t i = 0; i < left.count; i++) {
        const struct history_event *e = &left.events[i];
        history_add(&history, e);
        if (e->kind != HISTORY_POLLED)
            continue;
        bool last = true; /* of this consumer, and it was not closed */
        for (size_t k = i + 1; k < left.count && last; k++)
            last = left.events[k].consumer != e->consumer ||
                   (left.events[k].kind != HISTORY_POLLED && left.events[k].kind != HISTORY_GONE);
        if (last)
            history_add(&history, &(struct history_event){.kind = HISTORY_GONE,
                                                          .begin = at_ns,
                                                          .end = at_ns,
                                                          .process = e->process,
                                                          .consumer = e->consumer,
                                                          .group = e->group,
                                                          .instance = e->instance});
    }
    history_free(&left);
    share_free(slot->trace, sizeof *slot->trace);
    slot->trace = NULL;
}

static void go_on(struct slot *slot)
{
    if (slot->until_ns == 0)
        return;
    (void)kill(slot->pid, SIGCONT);
    slot->until_ns = 0;
    history_add(&history, &(struct history_event){.kind = HISTORY_STOPPED,
                                                  .begin = slot->stopped_ns,
                                                  .end = now_ns(),
                                                  .process = slot->process});
}

static void kill_it(struct slot *slot)
{
    int64_t at_ns = now_ns();
    if (slot->until_ns != 0)
        history_add(&history, &(struct history_event){.kind = HISTORY_STOPPED,
                                                      .begin = slot->stopped_ns,
                                                      .end = at_ns,
                                                      .process = slot->process});
    slot->until_ns = 0;
    child_kill(slot->pid);
    collect(slot, at_ns);
    kills++;
}

static void ask_to_end(struct slot *slot)
{
    for (int i = 0; i < WORKERS; i++)
        go_on(&slots[i]); /* it may wait for a lock of one that is stopped */
    slot->trace->end = true;
    child_wait(slot->pid);
    collect(slot, now_ns());
}

static void stop_it(struct slot *slot)
{
    for (int i = 0; i < WORKERS; i++)
        if (slots[i].until_ns != 0)
            return; /* one at a time */
    slot->stopped_ns = now_ns();
    slot->until_ns = slot->stopped_ns + (STOP_MS + rng_below(&me.rng, 1000)) * MS_NS;
    (void)kill(slot->pid, SIGSTOP);
    stops++;
}

static void run(int64_t seconds)
{
    int64_t until_ns = now_ns() + seconds * 1000 * MS_NS;
    for (uint32_t i = 0; i < WORKERS; i++)
        start(i);
    while (now_ns() < until_ns) {
        uint32_t number = rng_below(&me.rng, WORKERS), what = rng_below(&me.rng, 10);
        nap_us(100000 + rng_below(&me.rng, 500000));
        for (uint32_t i = 0; i < WORKERS; i++)
            if (slots[i].until_ns != 0 && now_ns() >= slots[i].until_ns)
                go_on(&slots[i]);
        if (what == 0) {
            stop_it(&slots[number]);
        } else if (what < 4) {
            kill_it(&slots[number]);
            start(number);
        } else if (what == 4) {
            ask_to_end(&slots[number]);
            start(number);
        } else if (what == 5 && rng_below(&me.rng, 4) == 0) { /* nobody is left */
            for (uint32_t i = 0; i < WORKERS; i++)
                kill_it(&slots[i]);
            for (uint32_t i = 0; i < WORKERS; i++)
                start(i);
        }
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        if (rng_below(&me.rng, 2) == 0)
            kill_it(&slots[i]);
        else
            ask_to_end(&slots[i]);
}

/* --- in the end --- */

static bool at_the_end(struct consumer *c)
{
    struct kaja_topic_partition places[TOPICS * PARTITIONS];
    if (kaja_consumer_assignment(c->client, places, TOPICS * PARTITIONS) < TOPICS * PARTITIONS)
        return false;
    for (int i = 0; i < TOPICS * PARTITIONS; i++) {
        int64_t lag;
        MUST(kaja_consumer_lag(c->client, places[i].topic, places[i].partition, &lag));
        if (lag != 0)
            return false;
    }
    return true;
}

static void put_committed(struct consumer *c)
{
    for (uint32_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++) {
            struct kaja_topic_partition place = {topic_names[t], p, 0};
            struct kaja_committed_offset offset;
            struct history_event e = of_consumer(c, HISTORY_FETCHED);
            e.begin = now_ns();
            MUST(kaja_consumer_committed(c->client, &place, 1, &offset));
            e.end = now_ns();
            e.topic = t;
            e.partition = p;
            e.offset = offset.offset == KAJA_OFFSET_NONE ? -1 : offset.offset;
            (void)put(&e);
        }
}

static void read_all(void)
{
    struct kaja_topic_partition places[TOPICS * PARTITIONS];
    struct kaja_consumer *client =
        open_consumer(me.store, conf("auto.offset.reset", "earliest", NULL));
    struct consumer c = {.client = client};
    struct history_event e = {.kind = HISTORY_STANDS};
    struct kaja_record_view record;
    for (int i = 0; i < TOPICS * PARTITIONS; i++)
        places[i] = (struct kaja_topic_partition){topic_names[i / PARTITIONS], i % PARTITIONS, 0};
    MUST(kaja_consumer_assign(client, places, TOPICS * PARTITIONS));
    do {
        struct kaja_batch *batch;
        MUST(kaja_consumer_poll(client, 10, &batch));
        while (kaja_batch_next(batch, &record) == 1) {
            memcpy(&e.value, record.value, sizeof e.value);
            e.topic = topic_of(record.topic);
            e.partition = record.partition;
            e.offset = record.offset;
            e.begin = e.end = now_ns();
            (void)put(&e);
        }
        kaja_batch_release(batch);
    } while (!at_the_end(&c));
    MUST(kaja_consumer_close(client, CALL_MS));
}

static void drain(void)
{
    struct slot last = {.process = ++processes, .trace = share(sizeof *last.trace)};
    int64_t until_ns = now_ns() + (slow_build() ? 120000 : 60000) * MS_NS;
    unsigned done = 0;
    me.process = last.process;
    me.trace = last.trace;
    me.next_number = 0;
    me.store = open_store(dir, NULL);
    for (uint32_t g = 0; g < GROUPS; g++) {
        struct consumer *c = &me.consumers[g];
        do { /* whichever group it draws */
            end_consumer(c);
            begin_consumer(c, false);
        } while (c->group != g);
        put_committed(c);
    }
    while (done < GROUPS) {
        CHECK(now_ns() < until_ns, "the groups do not get to the end");
        done = 0;
        for (int g = 0; g < GROUPS; g++) {
            poll_once(&me.consumers[g], 20);
            done += at_the_end(&me.consumers[g]);
        }
    }
    for (uint32_t g = 0; g < GROUPS; g++) {
        commit_sync(&me.consumers[g]);
        put_committed(&me.consumers[g]);
        for (uint32_t t = 0; t < TOPICS; t++) {
            struct history_event e = {.kind = HISTORY_DRAINED, .group = g, .topic = t};
            e.begin = e.end = now_ns();
            (void)put(&e);
        }
        end_consumer(&me.consumers[g]);
    }
    read_all();
    MUST(kaja_store_close(me.store));
    collect(&last, now_ns());
}

int main(int argc, char **argv)
{
    int64_t seconds = argc > 1 ? strtoll(argv[1], NULL, 10) : 6;
    size_t counts[HISTORY_KINDS] = {0};
    me.rng.state = begin((unsigned)seconds + 300);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    for (int t = 0; t < TOPICS; t++)
        make_topic(store, topic_names[t], PARTITIONS, NULL);
    /* A group that has neither members nor offsets is forgotten, and its generations begin anew. */
    for (int g = 0; g < GROUPS; g++) {
        struct kaja_consumer *c = open_consumer(store, conf("group.id", group_names[g], NULL));
        const struct kaja_committed_offset first = {topic_names[0], 0, -1, 0, NULL};
        MUST(kaja_consumer_commit(c, &first, 1, CALL_MS));
        MUST(kaja_consumer_close(c, CALL_MS));
    }
    MUST(kaja_store_close(store));
    run(seconds);
    drain();
    history.silence = SILENCE_MS * MS_NS;
    for (size_t i = 0; i < history.count; i++)
        counts[history.events[i].kind]++;
    size_t broken = history_check(&history, stderr);
    (void)printf("%u processes, %u killed, %u stopped: %zu records, %zu deliveries, %zu commits, "
                 "%zu assigned, %zu lost\n",
                 processes, kills, stops, counts[HISTORY_STANDS], counts[HISTORY_DELIVERED],
                 counts[HISTORY_COMMITTED], counts[HISTORY_ASSIGNED], counts[HISTORY_LOST]);
    CHECK(broken == 0, "a law was broken %zu times", broken);
    history_free(&history);
    dir_free(dir);
    return 0;
}
