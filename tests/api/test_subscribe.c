/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/api/test_subscribe.c - consumer groups as a program sees them: who is told what, in which
 * order, and what is refused.
 */
#include "api_test.h"

#include <pthread.h>
#include <time.h>

static const char *const letters[] = {"letters"};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes conf over. */
static struct kaja_consumer *open_consumer(struct kaja_store *store, struct kaja_conf *conf)
{
    struct kaja_consumer *consumer = NULL;
    assert_ok(kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    return consumer;
}

static struct kaja_consumer *member(struct kaja_store *store, const char *assignor)
{
    return open_consumer(
        store, conf_of("group.id", "g", "partition.assignment.strategy", assignor, NULL));
}

static void poll_once(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(consumer, timeout_ms, &batch));
    kaja_batch_release(batch);
}

static size_t owned(struct kaja_consumer *consumer)
{
    return kaja_consumer_assignment(consumer, NULL, 0);
}

/* Polls both in turn until they own so many. */
static void poll_until(struct kaja_consumer *a, size_t a_count, struct kaja_consumer *b,
                       size_t b_count)
{
    int64_t began = now_ms();
    while (owned(a) != a_count || (b != NULL && owned(b) != b_count)) {
        if (now_ms() - began > 20000)
            fail_msg("%zu and %zu partitions instead of %zu and %zu", owned(a),
                     b != NULL ? owned(b) : 0, a_count, b_count);
        poll_once(a, 5);
        if (b != NULL)
            poll_once(b, 5);
    }
    for (int i = 0; i < 10; i++) { /* and nothing more happens */
        poll_once(a, 5);
        if (b != NULL)
            poll_once(b, 5);
    }
    assert_int_equal(owned(a), a_count);
}

/* --- seen from outside --- */

static void check_members(struct kaja_store *store, const char *joined_last)
{
    struct kaja_group_member_list *list = NULL;
    assert_ok(kaja_admin_group_members(store, "g", &list));
    assert_int_equal(list->group.state, KAJA_GROUP_STABLE);
    assert_string_equal(list->group.assignor, "range");
    assert_int_equal(list->group.member_count, 2);
    assert_int_equal(list->count, 2);
    const struct kaja_group_member *m = &list->members[1];
    assert_string_equal(m->member_id, joined_last);
    assert_string_equal(m->client_id, "second");
    assert_string_equal(m->instance_id, "two");
    assert_null(list->members[0].instance_id);
    assert_int_equal(m->topic_count, 2);
    assert_string_equal(m->topics[0], "letters");
    assert_string_equal(m->topics[1], "numbers");
    size_t total = 0;
    for (size_t i = 0; i < list->count; i++) {
        m = &list->members[i];
        total += m->partition_count;
        for (size_t p = 0; p < m->partition_count; p++) {
            assert_string_equal(m->partitions[p].topic, p < 1 ? "letters" : "numbers");
            assert_int_equal(m->partitions[p].offset, KAJA_OFFSET_NONE);
        }
    }
    assert_int_equal(total, 4);
    kaja_group_member_list_free(list);
}

static void test_members(void **state)
{
    (void)state;
    static const char *const topics[] = {"numbers", "letters"};
    struct kaja_store *store = open_store(NULL), *other = NULL;
    struct kaja_group_member_list *list = NULL;
    struct kaja_group_metadata metadata;
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    assert_ok(kaja_admin_create_topic(store, "numbers", 2, NULL));
    assert_err(kaja_admin_group_members(store, "g", &list), KAJA_ERR_GROUP_ID_NOT_FOUND);
    assert_err(kaja_admin_group_members(store, "", &list), KAJA_ERR_INVALID_GROUP_ID);
    assert_err(kaja_admin_group_members(store, NULL, &list), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_group_members(store, "g", NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_admin_group_members(NULL, "g", &list), KAJA_ERR_INVALID_ARG);
    assert_null(list);
    kaja_group_member_list_free(NULL);
    struct kaja_consumer *a = member(store, "range");
    struct kaja_consumer *b =
        open_consumer(store, conf_of("group.id", "g", "partition.assignment.strategy", "range",
                                     "client.id", "second", "group.instance.id", "two", NULL));
    assert_ok(kaja_consumer_subscribe(a, topics, 2, NULL));
    poll_until(a, 4, NULL, 0);
    assert_ok(kaja_consumer_subscribe(b, topics, 2, NULL));
    poll_until(a, 2, b, 2);
    assert_ok(kaja_consumer_group_metadata(b, &metadata));
    check_members(store, metadata.member_id);
    other = open_store(NULL); /* as another process */
    check_members(other, metadata.member_id);
    assert_ok(kaja_store_close(other));
    other = open_store(conf_of("kaja.read.only", "true", NULL));
    check_members(other, metadata.member_id);
    assert_ok(kaja_store_close(other));
    assert_ok(kaja_consumer_close(b, 0));
    assert_ok(kaja_consumer_close(a, 0));
    assert_ok(kaja_store_close(store));
}

/* --- the listener --- */

/* "+3" assigned three, "-2" revoked two, "!2" lost two. */
struct told {
    char text[256];
    bool (*inside)(struct kaja_consumer *consumer, const struct kaja_topic_partition *partition);
    bool good;
};

static void note(struct told *told, char sign, struct kaja_consumer *consumer,
                 const struct kaja_topic_partition *partitions, size_t count)
{
    size_t len = strlen(told->text);
    (void)snprintf(told->text + len, sizeof told->text - len, "%c%zu", sign, count);
    for (size_t i = 0; i < count; i++) {
        told->good = told->good && partitions[i].offset == KAJA_OFFSET_NONE &&
                     (i == 0 || partitions[i - 1].partition < partitions[i].partition);
        if (told->inside != NULL)
            told->good = told->good && told->inside(consumer, &partitions[i]);
    }
}

static void assigned(void *arg, struct kaja_consumer *consumer,
                     const struct kaja_topic_partition *partitions, size_t count)
{
    note(arg, '+', consumer, partitions, count);
}

static void revoked(void *arg, struct kaja_consumer *consumer,
                    const struct kaja_topic_partition *partitions, size_t count)
{
    note(arg, '-', consumer, partitions, count);
}

static void lost(void *arg, struct kaja_consumer *consumer,
                 const struct kaja_topic_partition *partitions, size_t count)
{
    note(arg, '!', consumer, partitions, count);
}

static struct kaja_rebalance_listener listener_for(struct told *told)
{
    struct kaja_rebalance_listener listener = KAJA_REBALANCE_LISTENER_INIT;
    *told = (struct told){.good = true};
    listener.arg = told;
    listener.assigned = assigned;
    listener.revoked = revoked;
    listener.lost = lost;
    return listener;
}

static void assert_told(struct told *told, const char *text)
{
    assert_true(told->good);
    assert_string_equal(told->text, text);
    told->text[0] = '\0';
}

static void test_eager(void **state)
{
    (void)state;
    struct told first, second;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&first);
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    struct kaja_consumer *a = member(store, "range");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, &listener));
    assert_int_equal(owned(a), 0);
    poll_until(a, 4, NULL, 0);
    assert_told(&first, "+4"); /* nothing to revoke before the first join */
    struct kaja_consumer *b = member(store, "range");
    listener = listener_for(&second);
    assert_ok(kaja_consumer_subscribe(b, letters, 1, &listener));
    poll_until(a, 2, b, 2);
    assert_told(&first, "-4+2");
    assert_told(&second, "+2");
    assert_ok(kaja_consumer_close(b, 1000));
    assert_told(&second, "-2");
    poll_until(a, 4, NULL, 0);
    assert_told(&first, "-2+4");
    assert_ok(kaja_consumer_unsubscribe(a));
    assert_told(&first, "-4");
    assert_int_equal(owned(a), 0);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_told(&first, "");
    assert_ok(kaja_store_close(store));
}

static void test_cooperative(void **state)
{
    (void)state;
    struct told first, second;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&first);
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    struct kaja_consumer *a = member(store, "cooperative-sticky");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, &listener));
    poll_until(a, 4, NULL, 0);
    assert_told(&first, "+4");
    struct kaja_consumer *b = member(store, "cooperative-sticky");
    listener = listener_for(&second);
    assert_ok(kaja_consumer_subscribe(b, letters, 1, &listener));
    poll_until(a, 2, b, 2);
    assert_told(&first, "-2+0+0"); /* two given up, two kept all the time */
    /* It may see the generation in which the two were not free yet, or not. */
    assert_true(strcmp(second.text, "+2") == 0 || strcmp(second.text, "+0+2") == 0);
    assert_true(second.good);
    assert_ok(kaja_consumer_close(b, 1000));
    poll_until(a, 4, NULL, 0);
    assert_told(&first, "+2");
    assert_ok(kaja_consumer_close(a, 1000));
    assert_told(&first, "-4");
    assert_ok(kaja_store_close(store));
}

/* What stays, stays where it was and paused; an eager rebalance forgets both. */
static void test_positions_stay(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    struct kaja_consumer *a = member(store, "cooperative-sticky");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL));
    poll_until(a, 2, NULL, 0);
    for (int32_t p = 0; p < 2; p++)
        assert_ok(kaja_consumer_pause(a, "letters", p));
    send_records(store, "letters", 0, 5, 10, false, NULL);
    send_records(store, "letters", 1, 5, 10, false, NULL);
    struct kaja_consumer *b = member(store, "cooperative-sticky");
    assert_ok(kaja_consumer_subscribe(b, letters, 1, NULL));
    poll_until(a, 1, b, 1);
    struct kaja_topic_partition kept;
    int64_t position = -1;
    assert_int_equal(kaja_consumer_assignment(a, &kept, 1), 1);
    assert_ok(kaja_consumer_position(a, kept.topic, kept.partition, &position));
    assert_int_equal(position, 0); /* paused: nothing was read, and the end is not asked anew */
    assert_ok(kaja_consumer_resume(a, kept.topic, kept.partition));
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(a, 1000, &batch));
    assert_int_equal(kaja_batch_count(batch), 5);
    kaja_batch_release(batch);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_consumer_close(b, 1000));
    assert_ok(kaja_store_close(store));
}

/* --- inside the listener --- */

static void *ask_from_outside(void *arg)
{
    int64_t position;
    int *err = malloc(sizeof *err);
    *err = kaja_consumer_position(arg, "letters", 0, &position);
    return err;
}

static bool inside(struct kaja_consumer *consumer, const struct kaja_topic_partition *at)
{
    int64_t position;
    struct kaja_batch *batch = NULL;
    pthread_t thread;
    void *result;
    bool good = kaja_consumer_seek(consumer, at->topic, at->partition, 3) == 0 &&
                kaja_consumer_position(consumer, at->topic, at->partition, &position) == 0 &&
                position == 3 &&
                kaja_consumer_pause(consumer, at->topic, at->partition) == 0 &&
                kaja_consumer_resume(consumer, at->topic, at->partition) == 0 &&
                kaja_consumer_assignment(consumer, NULL, 0) > 0;
    good = good && kaja_consumer_poll(consumer, 0, &batch) == KAJA_ERR_STATE &&
           kaja_consumer_subscribe(consumer, letters, 1, NULL) == KAJA_ERR_STATE &&
           kaja_consumer_subscribe_pattern(consumer, "x", NULL) == KAJA_ERR_STATE &&
           kaja_consumer_unsubscribe(consumer) == KAJA_ERR_STATE &&
           kaja_consumer_assign(consumer, at, 1) == KAJA_ERR_STATE &&
           kaja_consumer_close(consumer, 0) == KAJA_ERR_STATE;
    /* Another thread is not let in. */
    if (pthread_create(&thread, NULL, ask_from_outside, consumer) != 0 ||
        pthread_join(thread, &result) != 0)
        return false;
    good = good && *(int *)result == KAJA_ERR_STATE;
    free(result);
    return good;
}

static void test_inside(void **state)
{
    (void)state;
    struct told told;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&told);
    told.inside = inside;
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    send_records(store, "letters", 0, 5, 10, false, NULL);
    struct kaja_consumer *a = member(store, "range");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, &listener));
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_consumer_poll(a, 1000, &batch));
    assert_told(&told, "+2");
    assert_int_equal(kaja_batch_count(batch), 2); /* from 3, where the listener sought to */
    kaja_batch_release(batch);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_told(&told, "-2");
    assert_ok(kaja_store_close(store));
}

/* --- what is refused --- */

static void test_refused(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_topic_partition partition = {"letters", 0, 0};
    static const char *const bad[] = {"le/tters"};
    static const char *const none[] = {NULL};
    struct kaja_group_metadata metadata;
    struct kaja_rebalance_listener listener = KAJA_REBALANCE_LISTENER_INIT;
    struct kaja_consumer *consumer = NULL;
    struct kaja_batch *batch = NULL;
    char pattern[5000];
    assert_ok(kaja_admin_create_topic(store, "letters", 1, NULL));

    struct kaja_consumer *alone = open_consumer(store, NULL);
    assert_err(kaja_consumer_subscribe(alone, letters, 1, NULL), KAJA_ERR_INVALID_GROUP_ID);
    assert_true(detail_has("group.id"));
    assert_err(kaja_consumer_group_metadata(alone, &metadata), KAJA_ERR_INVALID_GROUP_ID);
    assert_ok(kaja_consumer_close(alone, 1000));

    struct kaja_consumer *a = member(store, "range");
    assert_err(kaja_consumer_poll(a, 0, &batch), KAJA_ERR_STATE);
    assert_err(kaja_consumer_subscribe(a, bad, 1, NULL), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_err(kaja_consumer_subscribe(a, none, 1, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_subscribe(a, NULL, 1, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_subscribe_pattern(a, NULL, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_subscribe_pattern(a, "", NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_subscribe_pattern(a, "a(b", NULL), KAJA_ERR_INVALID_ARG);
    memset(pattern, 'a', sizeof pattern);
    pattern[sizeof pattern - 1] = '\0';
    assert_err(kaja_consumer_subscribe_pattern(a, pattern, NULL), KAJA_ERR_INVALID_ARG);
    listener.size = 3;
    assert_err(kaja_consumer_subscribe(a, letters, 1, &listener), KAJA_ERR_INVALID_ARG);
    /* Of a later release, which uses what it added. */
    struct {
        struct kaja_rebalance_listener ours;
        int (*added)(const char *);
    } later = {KAJA_REBALANCE_LISTENER_INIT, puts};
    later.ours.size = sizeof later;
    assert_err(kaja_consumer_subscribe(a, letters, 1, &later.ours), KAJA_ERR_UNSUPPORTED_FEATURE);
    assert_err(kaja_consumer_group_metadata(a, NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_consumer_poll(a, 0, &batch), KAJA_ERR_STATE); /* none of it took */

    /* By hand or by the group, not both. */
    assert_ok(kaja_consumer_assign(a, &partition, 1));
    assert_err(kaja_consumer_subscribe(a, letters, 1, NULL), KAJA_ERR_STATE);
    assert_ok(kaja_consumer_unsubscribe(a));
    later.added = NULL;
    assert_ok(kaja_consumer_subscribe(a, letters, 1, &later.ours));
    assert_err(kaja_consumer_assign(a, &partition, 1), KAJA_ERR_STATE);
    poll_until(a, 1, NULL, 0);
    assert_ok(kaja_consumer_group_metadata(a, &metadata));
    assert_string_equal(metadata.group_id, "g");
    assert_true(metadata.generation >= 1 && metadata.member_id[0] != '\0');

    /* No assignor in common. */
    struct kaja_consumer *b = member(store, "roundrobin");
    assert_ok(kaja_consumer_subscribe(b, letters, 1, NULL));
    assert_err(kaja_consumer_poll(b, 1000, &batch), KAJA_ERR_INCONSISTENT_GROUP_PROTOCOL);
    assert_ok(kaja_consumer_close(b, 1000));
    poll_once(a, 0);
    assert_int_equal(owned(a), 1); /* the group did not mind */
    assert_ok(kaja_consumer_close(a, 1000));

    struct kaja_conf *conf = conf_of("group.id", "g", "session.timeout.ms", "5",
                                     "heartbeat.interval.ms", "1", NULL);
    assert_err(kaja_consumer_open(store, conf, &consumer), KAJA_ERR_INVALID_SESSION_TIMEOUT);
    kaja_conf_free(conf);
    conf = conf_of("group.id", "g", "session.timeout.ms", "500", NULL);
    assert_err(kaja_consumer_open(store, conf, &consumer), KAJA_ERR_CONFLICT);
    assert_true(detail_has("heartbeat.interval.ms"));
    kaja_conf_free(conf);
    conf = conf_of("group.id", "g", "partition.assignment.strategy", "range, rang", NULL);
    assert_err(kaja_consumer_open(store, conf, &consumer), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has("\"rang\""));
    kaja_conf_free(conf);
    assert_ok(kaja_store_close(store));
}

static void test_max_size(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("group.max.size", "1", NULL));
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    struct kaja_consumer *a = member(store, "range");
    struct kaja_consumer *b = member(store, "range");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL));
    assert_ok(kaja_consumer_subscribe(b, letters, 1, NULL));
    poll_until(a, 2, NULL, 0);
    assert_err(kaja_consumer_poll(b, 1000, &batch), KAJA_ERR_GROUP_MAX_SIZE_REACHED);
    assert_ok(kaja_consumer_close(a, 1000));
    poll_until(b, 2, NULL, 0); /* now there is room */
    assert_ok(kaja_consumer_close(b, 1000));
    assert_ok(kaja_store_close(store));
}

/* --- patterns --- */

static void test_pattern(void **state)
{
    (void)state;
    const char *topics[4];
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "log.a", 1, NULL));
    assert_ok(kaja_admin_create_topic(store, "log.b", 2, NULL));
    assert_ok(kaja_admin_create_topic(store, "xlog.a", 1, NULL));
    struct kaja_consumer *a = member(store, "range");
    assert_ok(kaja_consumer_subscribe_pattern(a, "log\\.[ab]|log\\.new", NULL));
    poll_until(a, 3, NULL, 0);
    assert_int_equal(kaja_consumer_subscription(a, topics, 4), 2);
    assert_string_equal(topics[0], "log.a");
    assert_string_equal(topics[1], "log.b");
    assert_ok(kaja_admin_create_topic(store, "log.new", 3, NULL));
    poll_until(a, 6, NULL, 0);
    assert_ok(kaja_admin_delete_topic(store, "log.b"));
    poll_until(a, 4, NULL, 0);
    /* Everything but what is internal: __consumer_offsets is there by now. */
    assert_ok(kaja_consumer_subscribe_pattern(a, ".*", NULL));
    poll_until(a, 5, NULL, 0);
    assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL)); /* which does not exist yet */
    poll_until(a, 0, NULL, 0);
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    poll_until(a, 2, NULL, 0);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_store_close(store));
}

/* A member of before commits as nobody's member afterwards; a cooperative one goes on without a topic
 * that was deleted while it gave another one up. */
static void test_pattern_internal(void **state)
{
    (void)state;
    const char *topic = NULL;
    struct kaja_store *store = open_store(NULL);
    struct kaja_consumer *a = open_consumer(
        store, conf_of("group.id", "g", "exclude.internal.topics", "false", NULL));
    assert_ok(kaja_admin_create_topic(store, "letters", 1, NULL));
    assert_ok(kaja_consumer_subscribe_pattern(a, "__.*", NULL));
    poll_until(a, 1, NULL, 0); /* the group itself makes it */
    assert_int_equal(kaja_consumer_subscription(a, &topic, 1), 1);
    assert_string_equal(topic, "__consumer_offsets");
    assert_ok(kaja_consumer_subscribe_pattern(a, ".*", NULL));
    poll_until(a, 2, NULL, 0);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_store_close(store));
}

static int32_t generation_of(struct kaja_consumer *consumer)
{
    struct kaja_group_metadata metadata;
    assert_ok(kaja_consumer_group_metadata(consumer, &metadata));
    return metadata.generation;
}

/* Of a leader, of another member, of either strategy. */
static void test_enforce(void **state)
{
    (void)state;
    static const char *const assignors[] = {"range", "cooperative-sticky"};
    struct kaja_store *store = open_store(NULL);
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    for (int i = 0; i < 2; i++) {
        struct told told;
        struct kaja_rebalance_listener listener = listener_for(&told);
        struct kaja_consumer *a = member(store, assignors[i]), *b = member(store, assignors[i]);
        assert_err(kaja_consumer_enforce_rebalance(a), KAJA_ERR_STATE);
        assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL));
        assert_ok(kaja_consumer_enforce_rebalance(a)); /* it will join anyway */
        poll_until(a, 2, NULL, 0);
        int32_t before = generation_of(a);
        assert_ok(kaja_consumer_enforce_rebalance(a));
        assert_ok(kaja_consumer_enforce_rebalance(a)); /* once is enough */
        assert_int_equal(generation_of(a), before); /* not by itself */
        poll_until(a, 2, NULL, 0);
        assert_int_equal(generation_of(a), before + 1);
        assert_ok(kaja_consumer_subscribe(b, letters, 1, &listener));
        poll_until(a, 1, b, 1);
        told.text[0] = '\0';
        before = generation_of(a);
        assert_ok(kaja_consumer_enforce_rebalance(b));
        int64_t began = now_ms();
        while (generation_of(a) == before || generation_of(b) == before) {
            assert_true(now_ms() - began < 20000);
            poll_once(a, 5);
            poll_once(b, 5);
        }
        poll_until(a, 1, b, 1);
        assert_told(&told, i == 0 ? "-1+1" : "+0");
        assert_int_equal(generation_of(a), before + 1);
        assert_ok(kaja_consumer_close(b, 1000));
        assert_ok(kaja_consumer_close(a, 1000));
    }
    assert_err(kaja_consumer_enforce_rebalance(NULL), KAJA_ERR_INVALID_ARG);
    assert_ok(kaja_store_close(store));
}

/* What a listener does to its partitions holds in the poll that it runs in, and after. */
static bool pause_first(struct kaja_consumer *consumer, const struct kaja_topic_partition *at)
{
    int64_t lag;
    if (at->partition == 0)
        return kaja_consumer_pause(consumer, at->topic, 0) == 0;
    return kaja_consumer_seek(consumer, at->topic, 1, 4) == 0 &&
           kaja_consumer_lag(consumer, at->topic, 1, &lag) == 0 && lag == 1;
}

static void test_pause_inside(void **state)
{
    (void)state;
    struct told told;
    struct kaja_rebalance_listener listener = listener_for(&told);
    struct kaja_store *store = open_store(NULL);
    told.inside = pause_first;
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    send_records(store, "letters", 0, 5, 10, false, NULL);
    send_records(store, "letters", 1, 5, 10, false, NULL);
    struct kaja_consumer *a = open_consumer(
        store, conf_of("group.id", "g", "auto.offset.reset", "earliest", NULL));
    assert_ok(kaja_consumer_subscribe(a, letters, 1, &listener));
    struct kaja_batch *batch = NULL;
    struct kaja_record_view record;
    assert_ok(kaja_consumer_poll(a, 1000, &batch));
    assert_true(told.good);
    assert_int_equal(kaja_batch_count(batch), 1);
    assert_int_equal(kaja_batch_next(batch, &record), 1);
    assert_int_equal(record.partition, 1);
    assert_int_equal(record.offset, 4);
    kaja_batch_release(batch);
    assert_ok(kaja_consumer_poll(a, 20, &batch));
    assert_int_equal(kaja_batch_count(batch), 0);
    kaja_batch_release(batch);
    assert_ok(kaja_consumer_resume(a, "letters", 0));
    assert_ok(kaja_consumer_poll(a, 1000, &batch));
    assert_int_equal(kaja_batch_count(batch), 5);
    kaja_batch_release(batch);
    told.inside = NULL; /* it runs once more at the close */
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_store_close(store));
}

static void test_after(void **state)
{
    (void)state;
    static const char *const three[] = {"a", "b", "c"};
    struct kaja_store *store = open_store(NULL);
    struct kaja_topic_partition partition = {"c", 0, 0};
    for (int i = 0; i < 3; i++)
        assert_ok(kaja_admin_create_topic(store, three[i], 1, NULL));
    struct kaja_consumer *a = open_consumer(
        store, conf_of("group.id", "g", "partition.assignment.strategy", "cooperative-sticky",
                       "auto.commit.interval.ms", "0", NULL));
    assert_ok(kaja_consumer_subscribe(a, three, 3, NULL));
    poll_until(a, 3, NULL, 0);
    assert_ok(kaja_admin_delete_topic(store, "a"));
    assert_ok(kaja_consumer_subscribe(a, three, 2, NULL));
    poll_until(a, 1, NULL, 0);
    assert_ok(kaja_consumer_unsubscribe(a));
    assert_ok(kaja_consumer_assign(a, &partition, 1));
    poll_once(a, 0);
    poll_once(a, 0);
    assert_ok(kaja_consumer_close(a, 1000)); /* commits, as a consumer without a group's member */
    assert_ok(kaja_store_close(store));
}

/* --- static members, slow members --- */

static struct kaja_consumer *static_member(struct kaja_store *store, const char *instance,
                                           const struct kaja_rebalance_listener *listener)
{
    struct kaja_consumer *consumer =
        open_consumer(store, conf_of("group.id", "g", "group.instance.id", instance, NULL));
    assert_ok(kaja_consumer_subscribe(consumer, letters, 1, listener));
    return consumer;
}

/* Everybody gives back its share in the same rebalance, however soon the first of them joins the
 * next: two are enough, not one for each. */
static void test_give_back_together(void **state)
{
    (void)state;
    enum { MEMBERS = 7, PARTITIONS = 42 };
    struct kaja_store *store = open_store(NULL);
    struct kaja_consumer *members[MEMBERS];
    assert_ok(kaja_admin_create_topic(store, "letters", PARTITIONS, NULL));
    int32_t before = 0;
    for (size_t count = 1; count <= MEMBERS; count++) {
        int64_t began = now_ms();
        if (count > 1)
            before = generation_of(members[0]);
        members[count - 1] = member(store, "cooperative-sticky");
        assert_ok(kaja_consumer_subscribe(members[count - 1], letters, 1, NULL));
        for (size_t least = 0, sum = 0; least < PARTITIONS / count || sum < PARTITIONS;) {
            assert_true(now_ms() - began < 20000);
            least = PARTITIONS;
            sum = 0;
            for (size_t i = 0; i < count; i++) {
                poll_once(members[i], 0);
                size_t has = owned(members[i]);
                least = has < least ? has : least;
                sum += has;
            }
        }
    }
    assert_in_range(generation_of(members[0]) - before, 2, 3);
    for (size_t i = 0; i < MEMBERS; i++)
        assert_ok(kaja_consumer_close(members[i], 20000));
    assert_ok(kaja_store_close(store));
}

static void test_static(void **state)
{
    (void)state;
    struct told told;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&told);
    struct kaja_batch *batch = NULL;
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    struct kaja_consumer *a = static_member(store, "one", NULL);
    struct kaja_consumer *b = static_member(store, "two", NULL);
    poll_until(a, 2, b, 2);
    int32_t generation = generation_of(a);
    assert_ok(kaja_consumer_close(b, 1000));
    poll_until(a, 2, NULL, 0); /* it is expected back */
    b = static_member(store, "two", &listener);
    poll_until(a, 2, b, 2);
    assert_int_equal(generation_of(a), generation);
    assert_int_equal(generation_of(b), generation);
    assert_told(&told, "+2");
    struct kaja_consumer *again = static_member(store, "two", NULL);
    poll_until(again, 2, a, 2);
    assert_err(kaja_consumer_poll(b, 1000, &batch), KAJA_ERR_FENCED_INSTANCE_ID);
    assert_told(&told, "!2");
    assert_err(kaja_consumer_poll(b, 1000, &batch), KAJA_ERR_FENCED_INSTANCE_ID);
    assert_ok(kaja_consumer_close(b, 1000));
    assert_ok(kaja_consumer_close(again, 1000));
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_store_close(store));
}

/* A generation passed without it: what it had is lost, not given back. */
static void test_static_passed_over(void **state)
{
    (void)state;
    struct told told;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&told);
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    struct kaja_consumer *s = open_consumer(
        store,
        conf_of("group.id", "g", "group.instance.id", "one", "max.poll.interval.ms", "300", NULL));
    assert_ok(kaja_consumer_subscribe(s, letters, 1, &listener));
    poll_until(s, 4, NULL, 0);
    assert_told(&told, "+4");
    struct kaja_consumer *other = open_consumer(
        store, conf_of("group.id", "g", "max.poll.interval.ms", "300", NULL));
    assert_ok(kaja_consumer_subscribe(other, letters, 1, NULL));
    poll_until(other, 2, NULL, 0); /* s does not poll */
    assert_told(&told, "");
    const struct kaja_committed_offset mine = {.topic = "letters", .leader_epoch = -1};
    assert_err(kaja_consumer_commit(s, &mine, 1, 1000), KAJA_ERR_ILLEGAL_GENERATION);
    poll_until(s, 2, other, 2);
    assert_told(&told, "!4+2");
    assert_ok(kaja_consumer_close(s, 1000));
    assert_ok(kaja_consumer_close(other, 1000));
    assert_ok(kaja_store_close(store));
}

/* Neither what it had under another subscription nor a share of what it does not read. */
static void test_static_unsubscribes(void **state)
{
    (void)state;
    struct told told;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&told);
    static const char *const words[] = {"words"};
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    assert_ok(kaja_admin_create_topic(store, "words", 3, NULL));
    struct kaja_consumer *s = static_member(store, "one", &listener);
    poll_until(s, 4, NULL, 0);
    assert_ok(kaja_consumer_unsubscribe(s));
    assert_told(&told, "+4-4");
    assert_ok(kaja_consumer_subscribe_pattern(s, "no such topic", &listener));
    poll_until(s, 0, NULL, 0);
    assert_told(&told, "+0");
    assert_ok(kaja_consumer_unsubscribe(s));
    assert_ok(kaja_consumer_subscribe(s, letters, 1, &listener));
    poll_until(s, 4, NULL, 0);
    assert_ok(kaja_consumer_unsubscribe(s));
    assert_told(&told, "+4-4");
    assert_ok(kaja_consumer_subscribe(s, words, 1, &listener));
    poll_until(s, 3, NULL, 0);
    assert_told(&told, "+3");
    int32_t generation = generation_of(s);
    assert_ok(kaja_consumer_unsubscribe(s));
    assert_ok(kaja_consumer_subscribe(s, words, 1, &listener));
    poll_until(s, 3, NULL, 0); /* it has come back to its place */
    assert_told(&told, "-3+3");
    assert_int_equal(generation_of(s), generation);
    assert_ok(kaja_consumer_close(s, 1000));
    assert_ok(kaja_store_close(store));
}

static void test_slow(void **state)
{
    (void)state;
    struct told told;
    struct kaja_store *store = open_store(NULL);
    struct kaja_rebalance_listener listener = listener_for(&told);
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    struct kaja_consumer *slow =
        open_consumer(store, conf_of("group.id", "g", "max.poll.interval.ms", "400", NULL));
    assert_ok(kaja_consumer_subscribe(slow, letters, 1, &listener));
    poll_until(slow, 2, NULL, 0);
    poll_once(slow, 1500); /* one long poll is no silence */
    assert_told(&told, "+2");
    struct kaja_consumer *other = member(store, "range");
    assert_ok(kaja_consumer_subscribe(other, letters, 1, NULL));
    poll_until(other, 1, slow, 1);
    assert_told(&told, "-2+1");
    poll_until(other, 2, NULL, 0); /* slow does not poll */
    assert_told(&told, "");
    poll_once(slow, 0);
    assert_true(strncmp(told.text, "!1", 2) == 0);
    poll_until(other, 1, slow, 1);
    assert_ok(kaja_consumer_close(slow, 1000));
    assert_ok(kaja_consumer_close(other, 1000));
    assert_ok(kaja_store_close(store));
}

/* --- without a worker; wakeups --- */

static void test_no_worker(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(conf_of("kaja.background.threads", "0", NULL));
    assert_ok(kaja_admin_create_topic(store, "letters", 4, NULL));
    struct kaja_consumer *a = member(store, "range");
    struct kaja_consumer *b = member(store, "range");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL));
    assert_ok(kaja_consumer_subscribe(b, letters, 1, NULL));
    poll_until(a, 2, b, 2);
    assert_ok(kaja_consumer_close(a, 1000));
    poll_until(b, 4, NULL, 0);
    assert_ok(kaja_consumer_close(b, 1000));
    assert_ok(kaja_store_close(store));
}

static void *wake_soon(void *arg)
{
    (void)usleep(50000);
    kaja_consumer_wakeup(arg);
    return NULL;
}

/* A poll of the one ends when the other has joined, and a wakeup ends the wait for others. */
static void test_waits(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_batch *batch = NULL;
    pthread_t thread;
    assert_ok(kaja_admin_create_topic(store, "letters", 2, NULL));
    struct kaja_consumer *a = member(store, "range");
    struct kaja_consumer *b = member(store, "range");
    assert_ok(kaja_consumer_subscribe(a, letters, 1, NULL));
    assert_ok(kaja_consumer_subscribe(b, letters, 1, NULL));
    poll_until(a, 2, NULL, 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, b), 0);
    int64_t began = now_ms();
    assert_err(kaja_consumer_poll(b, 20000, &batch), KAJA_ERR_INTERRUPTED); /* a does not poll */
    assert_true(now_ms() - began < 10000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    poll_until(a, 1, b, 1);
    assert_ok(kaja_consumer_close(a, 1000));
    assert_ok(kaja_consumer_close(b, 1000));
    assert_ok(kaja_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_eager),
        test_in_dir(test_cooperative),
        test_in_dir(test_positions_stay),
        test_in_dir(test_pattern_internal),
        test_in_dir(test_enforce),
        test_in_dir(test_pause_inside),
        test_in_dir(test_inside),
        test_in_dir(test_refused),
        test_in_dir(test_max_size),
        test_in_dir(test_pattern),
        test_in_dir(test_static),
        test_in_dir(test_slow),
        test_in_dir(test_static_passed_over),
        test_in_dir(test_static_unsubscribes),
        test_in_dir(test_no_worker),
        test_in_dir(test_members),
        test_in_dir(test_waits),
        test_in_dir(test_after),
        test_in_dir(test_give_back_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
