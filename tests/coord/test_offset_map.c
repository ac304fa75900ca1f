/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_map.c: which record of a key counts.
 */
#include "golden.h"

#include "base/err.h"
#include "coord/offset_map.h"
#include "record/control.h"

static struct kj_offset_map map;
static int odd_count;
static int64_t log_end;

static void odd(void *arg, int64_t offset, const char *what)
{
    (void)arg;
    (void)offset;
    assert_true(strlen(what) > 0);
    odd_count++;
}

static int setup(void **state)
{
    (void)state;
    kj_offset_map_init(&map, odd, NULL);
    odd_count = 0;
    log_end = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kj_offset_map_clear(&map);
    return 0;
}

static void give_bytes(uint8_t *bytes)
{
    struct kj_batch batch;
    kj_batch_assign(bytes, log_end, 0);
    kj_batch_decode(bytes, &batch);
    log_end = kj_batch_next_offset(&batch);
    assert_ok(kj_offset_map_batch(&map, &batch, bytes));
}

static void give(const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                 int64_t producer_id)
{
    uint8_t buf[1024], *bytes;
    size_t len;
    struct kj_batch_writer writer;
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    const struct kj_record record = {
        .key = key, .key_bytes = key_bytes, .value = value, .value_bytes = value_bytes};
    if (producer_id >= 0) {
        seal.transactional = true;
        seal.producer_id = producer_id;
        seal.producer_epoch = 0;
        seal.base_sequence = 0;
    }
    kj_batch_writer_init(&writer, buf, sizeof buf);
    assert_true(kj_batch_writer_append(&writer, &record));
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &bytes, &len));
    give_bytes(bytes);
}

static size_t key_of(const char *group, const char *topic, int32_t partition, uint8_t *p)
{
    const struct kj_coord_key key = {.group = {group, strlen(group)},
                                     .topic = {topic, topic != NULL ? strlen(topic) : 0},
                                     .partition = partition};
    return (size_t)(kj_coord_key_encode(&key, p) - p);
}

static void commit(const char *group, int32_t partition, int64_t offset, const char *metadata,
                   int64_t producer_id)
{
    uint8_t key[256], value[256];
    const struct kj_coord_offset v = {.version = 3,
                                      .offset = offset,
                                      .leader_epoch = 4,
                                      .metadata = {metadata, strlen(metadata)},
                                      .commit_ms = 1000 + offset};
    size_t bytes = key_of(group, "events", partition, key);
    give(key, bytes, value, (size_t)(kj_coord_offset_encode(&v, value) - value), producer_id);
}

static void tombstone(const char *group, const char *topic, int32_t partition)
{
    uint8_t key[256];
    give(key, key_of(group, topic, partition, key), NULL, 0, -1);
}

static void marker(enum kj_control_type type, int64_t producer_id)
{
    uint8_t bytes[KJ_MARKER_BYTES];
    kj_marker_encode(bytes, type, producer_id, 0, 0, 0);
    give_bytes(bytes);
}

/* -1: none */
static int64_t offset_of(const char *group, int32_t partition)
{
    uint8_t key[256];
    const struct kj_offset_kept *e =
        kj_offset_map_get(&map, key, key_of(group, "events", partition, key));
    return e != NULL ? e->offset : -1;
}

static void newest_counts(void **state)
{
    (void)state;
    commit("g", 0, 5, "", -1);
    commit("g", 1, 6, "why", -1);
    commit("h", 0, 7, "", -1);
    commit("g", 0, 3, "", -1); /* back is allowed */
    assert_int_equal(offset_of("g", 0), 3);
    assert_int_equal(offset_of("g", 1), 6);
    assert_int_equal(offset_of("h", 0), 7);
    assert_int_equal(offset_of("h", 1), -1);
    const struct kj_offset_owner *g = kj_offset_map_owner(&map, "g");
    assert_non_null(g);
    assert_int_equal(g->count, 2);
    assert_string_equal(g->first->metadata, "why");
    assert_int_equal(g->first->leader_epoch, 4);
    assert_int_equal(g->first->commit_ms, 1006);
    commit("g", 1, 8, "", -1);
    assert_string_equal(g->first->metadata, "");
    tombstone("g", "events", 0);
    tombstone("g", "events", 0);
    tombstone("g", "events", 77);
    assert_int_equal(offset_of("g", 0), -1);
    assert_int_equal(g->count, 1);
    tombstone("g", "events", 1);
    assert_null(kj_offset_map_owner(&map, "g"));
    assert_int_equal(offset_of("h", 0), 7);
    assert_int_equal(odd_count, 0);
}

/* The same key under both of its numbers. */
static void old_key(void **state)
{
    (void)state;
    uint8_t key[256];
    commit("g", 0, 5, "", -1);
    size_t bytes = key_of("g", "events", 0, key);
    key[1] = 0;
    give(key, bytes, NULL, 0, -1);
    assert_int_equal(offset_of("g", 0), -1);
}

static void groups(void **state)
{
    (void)state;
    uint8_t key[256], value[256];
    size_t len, bytes = key_of("g", NULL, -1, key);
    const struct kj_coord_group v = {
        .protocol_type = {"consumer", 8}, .generation = 9, .state_ms = 1234};
    len = (size_t)(kj_coord_group_encode(&v, NULL, value) - value);
    give(key, bytes, value, len, -1);
    const struct kj_offset_owner *g = kj_offset_map_owner(&map, "g");
    assert_non_null(g);
    assert_true(g->has_record && g->consumer);
    assert_int_equal(g->generation, 9);
    assert_int_equal(g->state_ms, 1234);
    commit("g", 0, 5, "", -1);
    tombstone("g", NULL, -1);
    assert_non_null(kj_offset_map_owner(&map, "g"));
    assert_false(g->has_record);
    tombstone("g", "events", 0);
    assert_null(kj_offset_map_owner(&map, "g"));
}

static void transactions(void **state)
{
    (void)state;
    commit("g", 0, 5, "", 70);
    commit("g", 1, 5, "", 71);
    assert_int_equal(offset_of("g", 0), -1);
    marker(KJ_CONTROL_COMMIT, 70);
    assert_int_equal(offset_of("g", 0), 5);
    assert_int_equal(offset_of("g", 1), -1);
    marker(KJ_CONTROL_ABORT, 71);
    marker(KJ_CONTROL_COMMIT, 71);
    assert_int_equal(offset_of("g", 1), -1);
    /* What was committed outside meanwhile is newer. */
    commit("g", 0, 8, "", 70);
    commit("g", 0, 6, "", -1);
    marker(KJ_CONTROL_COMMIT, 70);
    assert_int_equal(offset_of("g", 0), 6);
    commit("g", 2, 1, "", 72); /* open at the end: freed */
}

static void odd_ones(void **state)
{
    (void)state;
    uint8_t key[256], buf[512];
    size_t bytes = key_of("g", "events", 0, key);
    commit("g", 0, 5, "", -1);
    give(key, bytes, "\0\11 nine", 7, -1); /* a version of the future */
    give(key, bytes, "", 0, -1);
    give(key, bytes - 1, "x", 1, -1);
    give(NULL, 0, "x", 1, -1);
    give("\0\3abc", 5, "x", 1, -1); /* a newer kind of group is no error */
    assert_int_equal(odd_count, 4);
    assert_int_equal(offset_of("g", 0), 5);
    /* A wrong checksum: nothing of that batch. */
    struct kj_batch_writer writer;
    uint8_t *batch;
    size_t len;
    const struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    const struct kj_record record = {.key = key, .key_bytes = bytes};
    kj_batch_writer_init(&writer, buf, sizeof buf);
    assert_true(kj_batch_writer_append(&writer, &record));
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &batch, &len));
    batch[len - 1] ^= 1;
    give_bytes(batch);
    assert_int_equal(odd_count, 5);
    assert_int_equal(offset_of("g", 0), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(newest_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(old_key, setup, teardown),
        cmocka_unit_test_setup_teardown(groups, setup, teardown),
        cmocka_unit_test_setup_teardown(transactions, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_ones, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
