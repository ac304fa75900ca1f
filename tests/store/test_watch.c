/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Waiting without a thread of one's own. The worker here is the real one, but it never wakes by
 * itself: a wake-up that is missed is never made up for, and the test stands still.
 */
#include "store_test.h"

#include "golden.h"
#include "os/bell.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

enum { PATIENCE_MS = 60000 };

struct scene {
    struct temp_dir dir;
    struct kj_store *store, *other; /* other: as another process */
    struct kj_topic *topic;
    struct kj_partition *partitions[3];
    struct kj_watch *watch;
    int bell;
    kj_atomic_u64 told;
};

static void ring(void *arg)
{
    struct scene *scene = arg;
    kj_fetch_add_relaxed(&scene->told, 1);
    kj_bell_ring(scene->bell);
}

/* Nothing, or up to some 100 us: so that any two steps of three threads come in any order. */
static void spin(uint64_t *rng)
{
    uint64_t most = (uint64_t)1 << kjtest_random(rng) % 18;
    for (volatile uint64_t left = kjtest_random(rng) % most; left > 0; left--)
        ;
}

static void dawdle(void)
{
    static uint64_t rng = 1; /* the worker's */
    spin(&rng);
}

/* The watches alone: what else a store does has deadlines. */
static int64_t work(void *arg)
{
    struct kj_store *store = arg;
    dawdle();
    kj_watches_mark(store);
    dawdle();
    kj_lock_acquire(&store->lock);
    struct kj_store_task *task = store->tasks;
    kj_lock_release(&store->lock);
    if (task != NULL)
        (void)task->run(task->arg);
    return INT64_MAX;
}

static bool sleep_late(void *arg, _Atomic uint32_t *state, uint32_t idle, int64_t until_ns)
{
    dawdle();
    return kj_watches_sleep(arg, state, idle, until_ns);
}

static void begin(struct scene *scene)
{
    *scene = (struct scene){.dir = temp_dir_new()};
    scene->store = open_store(scene->dir.path);
    scene->other = open_store(scene->dir.path);
    assert_ok(kj_topic_create(scene->store, "t", 3, NULL, 0));
    scene->topic = topic_of(scene->store, "t");
    for (int i = 0; i < 3; i++)
        scene->partitions[i] = partition_of(scene->topic, i);
    assert_int_equal(kj_bell_open(&scene->bell), 0);
    scene->store->options.background_threads = 1;
    assert_ok(kj_watch_open(scene->store, ring, scene, &scene->watch));
    assert_int_equal(kj_worker_start_with("test", &kj_clock_system, work, sleep_late, scene->store,
                                          &scene->store->worker),
                     0);
}

static void end(struct scene *scene)
{
    kj_worker_stop(scene->store->worker);
    scene->store->worker = NULL;
    kj_watch_close(scene->watch);
    scene->store->options.background_threads = 0;
    kj_bell_close(scene->bell);
    kj_topic_release(scene->topic);
    assert_ok(kj_store_close(scene->store));
    assert_ok(kj_store_close(scene->other));
    temp_dir_free(&scene->dir);
}

static bool rings(const struct scene *scene, int timeout_ms)
{
    struct pollfd wanted = {scene->bell, POLLIN, 0};
    return poll(&wanted, 1, timeout_ms) == 1;
}

static void watch(struct scene *scene, const int64_t offsets[3])
{
    kj_bell_quiet(scene->bell);
    const struct kj_watch_for what = {
        .partitions = scene->partitions, .offsets = offsets, .count = 3, .at_ns = INT64_MAX};
    assert_ok(kj_watch_set(scene->watch, &what));
}

static void append(struct scene *scene, int32_t number)
{
    struct kj_topic *topic = topic_of(scene->other, "t");
    assert_ok(append_text(partition_of(topic, number), "x", false, NULL));
    kj_topic_release(topic);
}

static void tells_once(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    int64_t offsets[3] = {0, 0, 0};
    watch(&scene, offsets);
    assert_false(rings(&scene, 20));
    append(&scene, 1);
    assert_true(rings(&scene, PATIENCE_MS));
    append(&scene, 2);
    assert_true(rings(&scene, 20));
    assert_int_equal(kj_load_acquire(&scene.told), 1);
    kj_bell_quiet(scene.bell);
    append(&scene, 0);
    assert_false(rings(&scene, 20)); /* quiet until set anew */
    watch(&scene, offsets);
    assert_true(rings(&scene, 0)); /* there already: at once */
    offsets[0] = offsets[1] = offsets[2] = 1;
    watch(&scene, offsets);
    assert_false(rings(&scene, 20));
    kj_watch_unset(scene.watch);
    append(&scene, 0);
    assert_false(rings(&scene, 20));
    end(&scene);
}

static void at_a_time(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    const struct kj_watch_for past = {.at_ns = kj_mono_ns(&kj_clock_system)};
    assert_ok(kj_watch_set(scene.watch, &past));
    assert_true(rings(&scene, 0));
    end(&scene);
}

/* The word of a partition and of a group, changed by another handle. */
static kj_atomic_u64 group_news;

static bool group_changed(void *arg)
{
    (void)arg;
    return kj_load_acquire(&group_news) != 0;
}

static void news_of_groups(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    kj_store_release(&group_news, 0);
    const struct kj_wait_also also = {77, group_changed, NULL};
    const struct kj_watch_for what = {.also = &also, .at_ns = INT64_MAX};
    assert_ok(kj_watch_set(scene.watch, &what));
    kj_store_wake_group(scene.other, 77); /* of another group with the same word */
    assert_false(rings(&scene, 20));
    kj_store_release(&group_news, 1);
    kj_store_wake_group(scene.other, 77);
    assert_true(rings(&scene, PATIENCE_MS));
    end(&scene);
}

/* All words at once: more than one sleep can watch. */
static void more_than_fit(void **state)
{
    (void)state;
    struct scene scene;
    struct kj_wait_also also[KJ_WAKE_WORDS];
    struct kj_watch *watches[KJ_WAKE_WORDS];
    struct kj_partition *partitions[KJ_WAKE_WORDS];
    int64_t offsets[KJ_WAKE_WORDS] = {0};
    begin(&scene);
    kj_worker_stop(scene.store->worker);
    scene.store->worker = NULL;
    assert_ok(kj_topic_create(scene.store, "wide", KJ_WAKE_WORDS, NULL, 0));
    struct kj_topic *topic = topic_of(scene.store, "wide");
    kj_store_release(&group_news, 0);
    for (uint32_t i = 0; i < KJ_WAKE_WORDS; i++) {
        partitions[i] = partition_of(topic, (int32_t)i);
        also[i] = (struct kj_wait_also){i, group_changed, NULL};
        assert_ok(kj_watch_open(scene.store, ring, &scene, &watches[i]));
        const struct kj_watch_for group = {.also = &also[i], .at_ns = INT64_MAX};
        assert_ok(kj_watch_set(watches[i], &group));
    }
    const struct kj_watch_for all = {.partitions = partitions,
                                     .offsets = offsets,
                                     .count = KJ_WAKE_WORDS,
                                     .at_ns = INT64_MAX};
    assert_ok(kj_watch_set(watches[0], &all));
    const struct kj_watch_for group = {.also = &also[0], .at_ns = INT64_MAX};
    assert_ok(kj_watch_set(scene.watch, &group));
    kj_watches_mark(scene.store);
    assert_int_equal(scene.store->watch_count, KJ_SHARED_WAIT_MAX);
    _Atomic uint32_t state_word = 0;
    assert_true(kj_watches_sleep(scene.store, &state_word, 0, INT64_MAX)); /* not for ever */
    for (uint32_t i = 0; i < KJ_WAKE_WORDS; i++)
        kj_watch_close(watches[i]);
    kj_topic_release(topic);
    end(&scene);
}

/* --- nothing is missed --- */

enum { RECORDS = 4000 };

struct writer {
    struct kj_store *store;
    uint64_t seed;
    int err;
    kj_atomic_u64 seen; /* by the reader */
};

static void *write_all(void *arg)
{
    struct writer *writer = arg;
    uint64_t rng = writer->seed;
    struct kj_topic *topic;
    writer->err = kj_topic_find(writer->store, "t", false, &topic);
    for (uint64_t i = 0; i < RECORDS && writer->err == 0; i++) {
        struct kj_partition *partition;
        writer->err = kj_topic_partition(topic, (int32_t)(kjtest_random(&rng) % 3), &partition);
        if (writer->err == 0)
            writer->err = append_text(partition, "x", false, NULL);
        /* Mostly one at a time, so that the reader goes to sleep for each. */
        bool alone = kjtest_random(&rng) % 4 != 0;
        while (alone && kj_load_acquire(&writer->seen) <= i)
            (void)sched_yield();
        spin(&rng);
    }
    kj_topic_release(topic);
    return NULL;
}

static void nothing_is_missed(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    uint64_t seed = kjtest_seed();
    uint64_t rng = seed;
    struct writer writer = {.store = scene.other, .seed = seed + 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_all, &writer), 0);
    int64_t offsets[3] = {0, 0, 0};
    for (int64_t seen = 0; seen < RECORDS;) {
        spin(&rng);
        watch(&scene, offsets);
        if (kjtest_random(&rng) % 8 == 0)
            watch(&scene, offsets);
        if (!rings(&scene, PATIENCE_MS))
            fail_msg("a wake-up was missed behind %lld records", (long long)seen);
        seen = 0;
        for (int i = 0; i < 3; i++) {
            offsets[i] = kj_log_high_watermark(kj_partition_log(scene.partitions[i]));
            seen += offsets[i];
        }
        kj_store_release(&writer.seen, (uint64_t)seen);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(writer.err);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_once),     cmocka_unit_test(at_a_time),
        cmocka_unit_test(news_of_groups), cmocka_unit_test(more_than_fit),
        cmocka_unit_test(nothing_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
