/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/export_offsets.c: each group's records stand where a broker with another number of
 * partitions looks for them, in their order, and only those that count.
 */
#include "broker_dir.h"
#include "golden.h"
#include "store_test.h"

#include "base/javahash.h"
#include "log/inspect.h"
#include "record/control.h"
#include "store/export.h"

enum { SOURCE = 3, TARGET = 7 };
#define OFFSETS "__consumer_offsets"

static struct temp_dir dir;
static char src[200], dst[200];
static struct kj_store *store;
static struct kj_topic *topic;
static int64_t now; /* timestamp of the next record */
static char wanted[TARGET][16384];

static int setup(void **state)
{
    (void)state;
    dir = temp_dir_new();
    (void)snprintf(src, sizeof src, "%s/src", dir.path);
    (void)snprintf(dst, sizeof dst, "%s/dst", dir.path);
    memset(wanted, 0, sizeof wanted);
    now = 1700000000000;
    broker_format(dst);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

static void source_open(void)
{
    static const uint8_t id[16] = {1, 2, 3};
    struct kj_io *io;
    const struct kj_io_options options = {.root = src, .backend = KJ_IO_POSIX, .create = true};
    assert_int_equal(kj_io_create(&options, &io), 0);
    for (int p = 0; p < SOURCE; p++) {
        char name[64];
        (void)snprintf(name, sizeof name, OFFSETS "-%d", p);
        assert_ok(kj_log_create_files(io, name, id));
    }
    kj_io_destroy(io);
    store = open_store(src);
    topic = topic_of(store, OFFSETS);
}

static void source_close(void)
{
    kj_topic_release(topic);
    assert_ok(kj_store_close(store));
}

/* --- what is written --- */

struct entry {
    uint8_t key[256], value[256];
    size_t key_bytes, value_bytes;
    bool tombstone;
    int32_t home; /* partition of the source */
};

static size_t put_text(uint8_t *p, const char *text)
{
    size_t len = strlen(text);
    p[0] = 0;
    p[1] = (uint8_t)len;
    memcpy(p + 2, text, len);
    return len + 2;
}

/* An offset of events-0, or with version 2 the group itself. */
static struct entry entry_of(const char *group, int version, const char *value_hex)
{
    struct entry entry = {.key = {0, (uint8_t)version}};
    entry.key_bytes = 2 + put_text(entry.key + 2, group);
    if (version < 2) {
        entry.key_bytes += put_text(entry.key + entry.key_bytes, "events");
        entry.key_bytes += 4;
    }
    entry.tombstone = value_hex == NULL;
    if (value_hex != NULL)
        entry.value_bytes = golden_hex(value_hex, entry.value);
    entry.home = kj_partition_for_group(kj_javahash(group, strlen(group)), SOURCE);
    return entry;
}

static void append_bytes(int32_t partition, uint8_t *bytes, size_t len)
{
    struct kj_append_batch batch = {.bytes = bytes, .len = len};
    assert_ok(kj_partition_append(partition_of(topic, partition), &batch, 1, KJ_APPEND_INTERNAL));
    assert_ok(batch.ret_error);
}

static struct kj_batch_seal seal_of(int64_t producer_id, int32_t sequence)
{
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    if (producer_id >= 0) {
        seal.transactional = true;
        seal.producer_id = producer_id;
        seal.producer_epoch = 0;
        seal.base_sequence = sequence;
    }
    return seal;
}

/* One batch of one record; producer_id -1: no transaction. */
static void put(const struct entry *entry, const struct kj_batch_seal *seal)
{
    uint8_t buf[1024], *bytes;
    size_t len;
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    const struct kj_record record = {.timestamp = now++,
                                     .key = entry->key,
                                     .key_bytes = entry->key_bytes,
                                     .value = entry->tombstone ? NULL : entry->value,
                                     .value_bytes = entry->value_bytes};
    kj_batch_writer_init(&writer, buf, sizeof buf);
    assert_true(kj_batch_writer_append(&writer, &record));
    assert_ok(kj_batch_writer_seal(&writer, seal, &out, &bytes, &len));
    append_bytes(entry->home, bytes, len);
    kj_buffer_free(&out);
}

static void mark(int32_t partition, enum kj_control_type type, int64_t producer_id)
{
    uint8_t bytes[KJ_MARKER_BYTES];
    kj_marker_encode(bytes, type, producer_id, 0, 0, now);
    append_bytes(partition, bytes, sizeof bytes);
}

/* --- what shall be read --- */

static void describe(char *text, size_t size, int64_t timestamp, const uint8_t *key,
                     size_t key_bytes, const uint8_t *value, size_t value_bytes)
{
    size_t len = strlen(text);
    len += (size_t)snprintf(text + len, size - len, "%lld ", (long long)timestamp);
    for (size_t i = 0; i < key_bytes; i++)
        len += (size_t)snprintf(text + len, size - len, "%02x", key[i]);
    len += (size_t)snprintf(text + len, size - len, value == NULL ? " null" : " ");
    for (size_t i = 0; i < value_bytes; i++)
        len += (size_t)snprintf(text + len, size - len, "%02x", value[i]);
    assert_true(len + 2 < size);
    (void)snprintf(text + len, size - len, "\n");
}

static int32_t home_in_target(const struct entry *entry)
{
    size_t len = entry->key[3];
    return kj_partition_for_group(kj_javahash((const char *)entry->key + 4, len), TARGET);
}

/* The record put next is to be found, with this value. */
static void want(const struct entry *entry, const char *value_hex)
{
    uint8_t value[256];
    size_t bytes = value_hex == NULL ? 0 : golden_hex(value_hex, value);
    char *text = wanted[home_in_target(entry)];
    describe(text, sizeof wanted[0], now, entry->key, entry->key_bytes,
             value_hex == NULL ? NULL : value, bytes);
}

static int read_batch(void *arg, const struct kj_inspect_batch *seen)
{
    char *text = arg;
    struct kj_batch_reader reader;
    struct kj_record_view view;
    assert_true(seen->crc_ok);
    assert_int_equal(seen->batch.attributes, 0);
    assert_int_equal(seen->batch.producer_id, -1);
    assert_int_equal(seen->batch.epoch, 4);
    assert_ok(kj_batch_reader_init(&reader, seen->bytes, kj_batch_bytes(&seen->batch), NULL, 0));
    int got;
    while ((got = kj_batch_reader_next(&reader, &view)) > 0)
        describe(text, sizeof wanted[0], kj_batch_record_timestamp(&seen->batch, &view), view.key,
                 view.key_bytes, view.value, view.value_bytes);
    assert_int_equal(got, 0);
    return 0;
}

static void check_target(void)
{
    for (int p = 0; p < TARGET; p++) {
        char path[300];
        static char got[sizeof wanted[0]];
        struct kj_inspect inspect;
        int64_t trailing;
        got[0] = '\0';
        (void)snprintf(path, sizeof path, "%s/" OFFSETS "-%d/00000000000000000000.log", dst, p);
        assert_ok(kj_inspect_open(path, &inspect));
        assert_ok(kj_inspect_log(&inspect, -1, read_batch, got, &trailing));
        kj_inspect_close(&inspect);
        assert_string_equal(got, wanted[p]);
    }
}

/* --- exporting --- */

static char reports[4096];
static struct kj_export_result result;

static void on_report(void *arg, const struct kj_export_report *report)
{
    (void)arg;
    assert_string_equal(report->topic, OFFSETS);
    assert_int_equal(report->first_offset, 0);
    size_t len = strlen(reports);
    (void)snprintf(reports + len, sizeof reports - len, "%d:%lld:%d ", (int)report->partition,
                   (long long)report->end_offset, (int)report->how);
}

struct shortage {
    int at, count;
};

static int fail_once(void *arg)
{
    struct shortage *shortage = arg;
    return ++shortage->count == shortage->at;
}

/* shortage: of memory while it runs, or NULL. */
static int export_with(struct shortage *shortage)
{
    const struct kj_export_options options = {
        .source = src, .target = dst, .callback = on_report};
    struct kj_store_options store_options = test_options(src);
    struct kj_export *export;
    struct kj_store *reading;
    struct kj_err_saved why;
    bool clean;
    store_options.read_only = true;
    reports[0] = '\0';
    assert_ok(kj_export_open(&options, &export));
    assert_ok(kj_export_hold_source(export, &clean));
    assert_true(clean);
    assert_ok(kj_store_open(&store_options, &reading));
    kj_alloc_set_hook(shortage != NULL ? fail_once : NULL, shortage);
    int err = kj_export_run(export, reading, &result);
    kj_alloc_set_hook(NULL, NULL);
    kj_err_save(err, &why);
    assert_ok(kj_store_close(reading));
    kj_export_close(export);
    return kj_err_restore(&why);
}

static int export_offsets(void)
{
    return export_with(NULL);
}

/* --- tests --- */

#define V3 "000300000000000004d20000000500046d6574610000018bcfe56800"
#define V3_NO_EPOCH "000300000000000004d2ffffffff00046d6574610000018bcfe56800"
#define V3_EPOCH_0 "000300000000000004d20000000000046d6574610000018bcfe56800"

/* Values of all versions (vectors of Kafka's own writer), groups, tombstones. */
static void every_kind(void **state)
{
    static const struct {
        const char *group;
        int version;
        const char *value, *wanted; /* NULL: a tombstone */
    } kinds[] = {
        {"g1", 1, "000000000000000004d200046d6574610000018bcfe56800",
         "000000000000000004d200046d6574610000018bcfe56800"},
        {"g1", 0, "000100000000000004d200046d6574610000018bcfe568000000018bcfe57b88",
         "000100000000000004d200046d6574610000018bcfe568000000018bcfe57b88"},
        {"polygenelubricants", 1, "000200000000000004d200046d6574610000018bcfe56800",
         "000200000000000004d200046d6574610000018bcfe56800"}, /* whose hash is -2^31 */
        {"группа", 1, V3, V3_NO_EPOCH},
        {"my-group", 1, V3_EPOCH_0, V3_EPOCH_0},
        {"my-group", 1, V3_NO_EPOCH, V3_NO_EPOCH},
        {"𝄞clef", 1, "000400000000000004d200000005056d6574610000018bcfe5680000",
         "000400000000000004d2ffffffff056d6574610000018bcfe5680000"},
        {"g1", 1,
         "000400000000000004d2ffffffff010000018bcfe568000100100123456789abcdef1122334455667788",
         "000400000000000004d2ffffffff010000018bcfe5680000"},
        {"", 1, "000400000000000004d2ffffffff056d6574610000018bcfe5680000",
         "000400000000000004d2ffffffff056d6574610000018bcfe5680000"},
        {"g1", 1, NULL, NULL},
        {"g1", 2, "00030008636f6e73756d657200000009ffffffff0000018bcfe5680000000000",
         "00030008636f6e73756d657200000009ffffffff0000018bcfe5680000000000"},
        {"my-group", 2, NULL, NULL},
        {"a", 2, "0009ffff", "0009ffff"}, /* a group is handed on as it is */
    };
    (void)state;
    const struct kj_batch_seal plain = KJ_BATCH_SEAL_PLAIN;
    source_open();
    /* In the order of the source: partition by partition. */
    for (int32_t home = 0; home < SOURCE; home++)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            struct entry entry = entry_of(kinds[i].group, kinds[i].version, kinds[i].value);
            if (entry.home != home)
                continue;
            want(&entry, kinds[i].wanted);
            put(&entry, &plain);
        }
    source_close();
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    assert_ok(export_offsets());
    check_target();
    assert_int_equal(result.offsets, sizeof kinds / sizeof kinds[0]);
    assert_int_equal(result.left_out, 0);
    assert_non_null(strstr(shell("cat '%s/replication-offset-checkpoint'", dst), OFFSETS " 0 "));
    assert_string_equal(shell("find '%s' -name '*-delete'", dst), "");
}

static void what_is_left_out(void **state)
{
    (void)state;
    static const struct {
        int at, byte; /* of the key */
        const char *value;
    } odd[] = {
        {1, 3, V3},                                      /* a newer kind of group */
        {1, 20, V3},                                     /* unknown */
        {0, 0x80, V3},                                   /* negative */
        {3, 250, V3},                                    /* the name is longer than the key */
        {2, 0xff, V3},                                   /* and negative */
        {0, 0, "000500000000000004d2"},                  /* unknown version of a value */
        {0, 0, "00"},                                    /* shorter than a version */
        {0, 0, "000300000000000004d2"},                  /* than an epoch */
        {0, 0, "000400000000000004d200000005056d657461"}, /* than its metadata says */
        {0, 0, "000400000000000004d200000005"},
        {0, 0, "000400000000000004d200000005ffffffffff"},
        {0, 0, "000400000000000004d2ffffffff010000018bcfe56800"}, /* no tags at all */
    };
    const struct kj_batch_seal plain = KJ_BATCH_SEAL_PLAIN;
    struct entry good = entry_of("g1", 1, V3);
    source_open();
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct entry entry = entry_of("g1", 1, odd[i].value);
        if (odd[i].byte != 0)
            entry.key[odd[i].at] = (uint8_t)odd[i].byte;
        put(&entry, &plain);
    }
    struct entry no_key = good;
    no_key.key_bytes = 3;
    put(&no_key, &plain);
    want(&good, V3_NO_EPOCH);
    put(&good, &plain);
    source_close();
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    assert_ok(export_offsets());
    check_target();
    assert_int_equal(result.offsets, 1);
    assert_int_equal(result.left_out, sizeof odd / sizeof odd[0] + 1);
}

static void transactions(void **state)
{
    (void)state;
    const struct kj_batch_seal plain = KJ_BATCH_SEAL_PLAIN;
    struct entry entry = entry_of("g1", 1, V3);
    source_open();
    /* Producer 1 commits, aborts, commits; 2 aborts across all that; 3 stays open. */
    struct kj_batch_seal one = seal_of(1, 0), two = seal_of(2, 0), three = seal_of(3, 0);
    want(&entry, V3_NO_EPOCH);
    put(&entry, &one);
    put(&entry, &two);
    mark(entry.home, KJ_CONTROL_COMMIT, 1);
    put(&entry, &three);
    one.base_sequence++;
    put(&entry, &one);
    mark(entry.home, KJ_CONTROL_ABORT, 1);
    want(&entry, V3_NO_EPOCH);
    put(&entry, &plain); /* behind what stays open, and not of it */
    one.base_sequence++;
    want(&entry, V3_NO_EPOCH);
    put(&entry, &one);
    mark(entry.home, KJ_CONTROL_ABORT, 2);
    mark(entry.home, KJ_CONTROL_COMMIT, 1);
    source_close();
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    assert_ok(export_offsets());
    check_target();
    assert_int_equal(result.offsets, 3);
    assert_int_equal(result.left_out, 3);
}

/* A batch with many records, compressed where this build can. */
static void many_groups(void **state)
{
    enum { GROUPS = 60 };
    (void)state;
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
#ifdef KJ_HAVE_GZIP
    seal.codec = KJ_CODEC_GZIP;
#endif
    source_open();
    for (int32_t home = 0; home < SOURCE; home++)
        for (int i = 0; i < GROUPS; i++) {
            char group[32];
            (void)snprintf(group, sizeof group, "group-%d", i);
            struct entry entry = entry_of(group, 1, V3_EPOCH_0);
            if (entry.home != home)
                continue;
            want(&entry, V3_EPOCH_0);
            put(&entry, &seal);
        }
    source_close();
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    assert_ok(export_offsets());
    check_target();
    assert_int_equal(result.offsets, GROUPS);
    assert_int_equal(result.partitions, TARGET);
    /* Once more, nothing changes. */
    char *before = strdup(everything(dst));
    assert_ok(export_offsets());
    assert_null(strstr(reports, ":3 "));
    assert_non_null(strstr(reports, ":4 "));
    assert_string_equal(everything(dst), before);
    free(before);
}

/* Each allocation fails once: the next try goes through. */
static void no_memory(void **state)
{
    (void)state;
    struct kj_batch_seal one = seal_of(1, 0);
    struct entry entry = entry_of("g1", 1, V3);
    int failed = 0;
    source_open();
    want(&entry, V3_NO_EPOCH);
    put(&entry, &one);
    mark(entry.home, KJ_CONTROL_COMMIT, 1);
    source_close();
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    for (int at = 1;; at++) {
        struct shortage shortage = {.at = at};
        int err = export_with(&shortage); /* some can be done without */
        if (shortage.count < at)
            break;
        if (err != 0)
            assert_int_equal(err, KAJA_ERR_OUT_OF_MEMORY);
        failed += err != 0;
        if (err == 0) { /* begin anew, or the rest would only be compared */
            (void)shell("rm -r '%s'/" OFFSETS "-*", dst);
            broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
        }
    }
    assert_true(failed > 20);
    assert_ok(export_offsets());
    check_target();
    assert_string_equal(shell("find '%s' -name '*-delete'", dst), "");
}

static void refusals(void **state)
{
    (void)state;
    const struct kj_batch_seal plain = KJ_BATCH_SEAL_PLAIN;
    struct entry entry = entry_of("g1", 1, V3);
    int32_t home = home_in_target(&entry);
    source_open();
    source_close();
    assert_ok(export_offsets()); /* nothing in it: nothing asked */
    assert_int_equal(result.partitions, 0);
    store = open_store(src);
    topic = topic_of(store, OFFSETS);
    want(&entry, V3_NO_EPOCH);
    put(&entry, &plain);
    source_close();
    assert_err(export_offsets(), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_non_null(strstr(kaja_error_detail(), OFFSETS));
    broker_topic(dst, OFFSETS, TARGET, "0\n1\n4 0\n");
    char name[100];
    (void)snprintf(name, sizeof name, OFFSETS "-%d/00000000000000000000.log", home);
    broker_put(dst, name, "records of the broker's own");
    char *before = strdup(everything(dst));
    assert_err(export_offsets(), KAJA_ERR_CONFLICT);
    assert_string_equal(everything(dst), before);
    free(before);
    broker_put(dst, name, "");
    /* Another partition than ours may hold some. */
    (void)snprintf(name, sizeof name, OFFSETS "-%d/note", (home + 1) % TARGET);
    broker_put(dst, name, "not touched");
    assert_ok(export_offsets());
    assert_int_equal(result.partitions, 1);
    check_target();
    assert_true(exists(dst, name));
}

int main(void)
{
    prefer_memory();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_kind),  CASE(what_is_left_out), CASE(transactions),
        CASE(many_groups), CASE(no_memory),        CASE(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
