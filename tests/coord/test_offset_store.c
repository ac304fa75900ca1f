/* SPDX-License-Identifier: BSD-2-Clause
 *
 * coord/offset_store.c, offset_commit.c, offset_expire.c on real directories.
 */
#include "store/store_test.h"

#include "coord/offset_store.h"
#include "record/coord_record.h"
#include "store/internal.h"

static struct temp_dir dir;
static struct kj_store *store;
static struct kj_offset_store *offsets;
static int64_t wall_ms; /* added to the clock */

static int64_t late_wall(void *arg)
{
    (void)arg;
    return kj_wall_ms(&kj_clock_system) + wall_ms;
}

static int64_t mono(void *arg)
{
    (void)arg;
    return kj_mono_ns(&kj_clock_system);
}

static void random_bytes(void *arg, void *buf, size_t bytes)
{
    kj_clock_system.random(arg, buf, bytes);
}

static const struct kj_clock late_clock = {late_wall, mono, random_bytes, NULL};

static struct kj_offset_store *open_offsets(struct kj_store *of, int32_t partitions)
{
    struct kj_offset_store_options options;
    struct kj_offset_store *ret = NULL;
    kj_offset_store_options_defaults(&options);
    options.partition_count = partitions;
    options.metadata_units_max = 10;
    assert_ok(kj_offset_store_open(of, &options, &ret));
    return ret;
}

/* As api/ would: what is compacted is not deleted. */
static int log_config(const struct kj_property *topic, size_t topic_count,
                      const struct kj_property *directory, size_t directory_count,
                      struct kj_log_config *ret_config)
{
    (void)directory;
    (void)directory_count;
    kj_log_config_defaults(ret_config);
    for (size_t i = 0; i < topic_count; i++)
        if (strcmp(topic[i].name, "cleanup.policy") == 0) {
            ret_config->cleanup_compact = strcmp(topic[i].value, "compact") == 0;
            ret_config->cleanup_delete = !ret_config->cleanup_compact;
        }
    return 0;
}

static struct kj_store *open_late(bool read_only)
{
    struct kj_store_options options = test_options(dir.path);
    struct kj_store *ret = NULL;
    options.clock = &late_clock;
    options.read_only = read_only;
    options.create = !read_only;
    options.rules.log_config = log_config;
    assert_ok(kj_store_open(&options, &ret));
    return ret;
}

static int setup(void **state)
{
    (void)state;
    dir = temp_dir_new();
    wall_ms = 0;
    store = open_late(false);
    offsets = open_offsets(store, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kj_offset_store_close(offsets);
    assert_ok(kj_store_close(store));
    temp_dir_free(&dir);
    return 0;
}

static void reopen(int32_t partitions)
{
    kj_offset_store_close(offsets);
    assert_ok(kj_store_close(store));
    store = open_late(false);
    offsets = open_offsets(store, partitions);
}

static int commit_checked(struct kj_offset_store *to, const char *group, const char *topic,
                          int32_t partition, int64_t offset, kj_offset_check *check, void *arg)
{
    const struct kj_offset_item item = {
        .topic = topic, .partition = partition, .leader_epoch = -1, .offset = offset};
    const struct kj_offset_commit commit = {.group_id = group,
                                            .items = &item,
                                            .count = 1,
                                            .durable = true,
                                            .check = check,
                                            .check_arg = arg};
    struct kj_offset_ticket ticket;
    int error;
    KJ_TRY(kj_offset_store_commit(to, &commit, &ticket));
    KJ_TRY(kj_offset_store_wait(to, &ticket));
    assert_true(kj_offset_store_done(to, &ticket, &error));
    return error;
}

static int commit(const char *group, const char *topic, int32_t partition, int64_t offset)
{
    return commit_checked(offsets, group, topic, partition, offset, NULL, NULL);
}

static int64_t committed_in(struct kj_offset_store *in, const char *group, const char *topic,
                            int32_t partition)
{
    bool found;
    int64_t offset = -2;
    assert_ok(
        kj_offset_store_fetch(in, group, topic, partition, &found, &offset, NULL, NULL));
    return found ? offset : -1;
}

static int64_t committed(const char *group, const char *topic, int32_t partition)
{
    return committed_in(offsets, group, topic, partition);
}

static int delete_of(const char *group, const struct kj_offset_item *items, size_t count)
{
    const struct kj_offset_commit which = {
        .group_id = group, .items = items, .count = count, .durable = true};
    struct kj_offset_ticket ticket;
    KJ_TRY(kj_offset_store_delete(offsets, &which, &ticket));
    return kj_offset_store_wait(offsets, &ticket);
}

static struct kj_log *the_log(void)
{
    struct kj_partition *partition;
    assert_ok(kj_offset_store_partition(offsets, "g", false, &partition));
    assert_non_null(partition);
    return kj_partition_log(partition);
}

/* --- */

static void commit_and_fetch(void **state)
{
    (void)state;
    assert_int_equal(committed("g", "t", 0), -1);
    assert_false(exists(dir.path, "__consumer_offsets-0")); /* asking makes nothing */
    assert_ok(commit("g", "t", 0, 42));
    assert_ok(commit("g", "t", 1, 43));
    assert_ok(commit("h", "t", 0, 44));
    assert_ok(commit("g", "t", 0, 45));
    assert_int_equal(committed("g", "t", 0), 45);
    assert_int_equal(committed("g", "t", 1), 43);
    assert_int_equal(committed("h", "t", 0), 44);
    assert_int_equal(committed("h", "t", 1), -1);
    assert_int_equal(committed("nobody", "t", 0), -1);
    assert_int_equal(kj_log_durable(the_log()), kj_log_end(the_log()));
    reopen(1);
    assert_int_equal(committed("g", "t", 0), 45);
    struct kj_property *properties;
    size_t count, found = 0;
    assert_ok(kj_topic_properties(store, KJ_OFFSETS_TOPIC, &properties, &count));
    for (size_t i = 0; i < count; i++)
        found += (strcmp(properties[i].name, "cleanup.policy") == 0 &&
                  strcmp(properties[i].value, "compact") == 0) ||
                 (strcmp(properties[i].name, "segment.bytes") == 0 &&
                  strcmp(properties[i].value, "4194304") == 0);
    assert_int_equal(found, 2);
    kj_free_properties(properties, count);
}

/* acks=1 does not flush; what it waits for is nothing. */
static void levels(void **state)
{
    (void)state;
    const struct kj_offset_item item = {.topic = "t", .leader_epoch = -1, .offset = 7};
    struct kj_offset_commit one = {.group_id = "g", .items = &item, .count = 1};
    struct kj_offset_ticket ticket;
    int error;
    assert_ok(kj_offset_store_commit(offsets, &one, &ticket));
    assert_true(kj_offset_store_done(offsets, &ticket, &error));
    assert_ok(error);
    assert_true(kj_log_durable(the_log()) < kj_log_end(the_log()));
    one.durable = true;
    assert_ok(kj_offset_store_commit(offsets, &one, &ticket));
    assert_false(kj_offset_store_done(offsets, &ticket, &error));
    assert_int_equal(committed("g", "t", 0), 7); /* seen before it is flushed */
    kj_offset_store_flush_soon(offsets);
    assert_ok(kj_store_step(store));
    assert_true(kj_offset_store_done(offsets, &ticket, &error));
    assert_ok(error);
}

static void other_handles_follow(void **state)
{
    (void)state;
    struct kj_store *other = open_late(false);
    struct kj_offset_store *theirs = open_offsets(other, 7); /* the number is the topic's */
    assert_int_equal(committed_in(theirs, "g", "t", 0), -1);
    for (int i = 0; i < 50; i++) {
        assert_ok(commit_checked(i % 2 ? theirs : offsets, "g", "t", i % 3, i, NULL, NULL));
        assert_int_equal(committed("g", "t", i % 3), i);
        assert_int_equal(committed_in(theirs, "g", "t", i % 3), i);
    }
    kj_offset_store_close(theirs);
    assert_ok(kj_store_close(other));
    /* One that only reads, with nobody there and with somebody. */
    other = open_late(true);
    theirs = open_offsets(other, 1);
    assert_int_equal(committed_in(theirs, "g", "t", 49 % 3), 49);
    assert_ok(commit("g", "t", 1, 99));
    assert_int_equal(committed_in(theirs, "g", "t", 1), 99);
    assert_err(commit_checked(theirs, "g", "t", 0, 1, NULL, NULL), KAJA_ERR_READ_ONLY);
    kj_offset_store_close(theirs);
    assert_ok(kj_store_close(other));
}

static void partition_of_a_group(void **state)
{
    (void)state;
    kj_offset_store_close(offsets);
    offsets = open_offsets(store, 50);
    assert_ok(commit("test-group", "t", 0, 1)); /* javahash.txt: 12 of 50 */
    struct kj_partition *partition;
    assert_ok(kj_offset_store_partition(offsets, "my-group", true, &partition));
    assert_int_equal(kj_partition_number(partition), 12);
    assert_int_equal(kj_log_end(kj_partition_log(partition)), 1);
    assert_ok(kj_offset_store_partition(offsets, "polygenelubricants", true, &partition));
    assert_int_equal(kj_partition_number(partition), 0);
    assert_int_equal(kj_log_end(kj_partition_log(partition)), 0);
}

/* --- check and append are one --- */

static int refuse(void *arg)
{
    ++*(int *)arg;
    return kj_err(KAJA_ERR_ILLEGAL_GENERATION, "an old generation");
}

/* What the check sees is what the log has: the group is looked at with the append lock held. */
static int look_inside(void *arg)
{
    struct kj_offset_group group;
    bool found;
    KJ_TRY(kj_offset_store_group(offsets, "g", &found, &group));
    *(int *)arg = found ? (int)group.offset_count : -1;
    return 0;
}

static void checked(void **state)
{
    (void)state;
    int n = 0;
    assert_err(commit_checked(offsets, "g", "t", 0, 5, refuse, &n), KAJA_ERR_ILLEGAL_GENERATION);
    assert_int_equal(n, 1);
    assert_int_equal(committed("g", "t", 0), -1);
    assert_int_equal(kj_log_end(the_log()), 0);
    assert_ok(commit("g", "t", 0, 6)); /* the lock was given up */
    assert_ok(commit_checked(offsets, "g", "t", 1, 7, look_inside, &n));
    assert_int_equal(n, 1);
}

#define SMILE "\xf0\x9f\x98\x80" /* two units of UTF-16 */

static void refused(void **state)
{
    (void)state;
    struct kj_offset_item item = {.topic = "t", .offset = 1, .metadata = "12345678901"};
    const struct kj_offset_commit one = {.group_id = "g", .items = &item, .count = 1};
    const struct kj_offset_commit nameless = {.group_id = "", .items = &item, .count = 1};
    struct kj_offset_ticket ticket;
    char *name = malloc(40000);
    assert_non_null(name);
    memset(name, 'g', 39999);
    name[39999] = '\0';
    const struct kj_offset_commit long_name = {.group_id = name, .items = &item, .count = 1};
    assert_err(kj_offset_store_commit(offsets, &one, &ticket), KAJA_ERR_OFFSET_METADATA_TOO_LARGE);
    item.metadata = SMILE SMILE SMILE SMILE "\xc3\xa4\xc3\xa4";
    assert_ok(kj_offset_store_commit(offsets, &one, &ticket)); /* ten units in 20 bytes */
    item.metadata = SMILE SMILE SMILE SMILE SMILE "x";
    assert_err(kj_offset_store_commit(offsets, &one, &ticket), KAJA_ERR_OFFSET_METADATA_TOO_LARGE);
    item.metadata = NULL;
    assert_err(kj_offset_store_commit(offsets, &nameless, &ticket), KAJA_ERR_INVALID_GROUP_ID);
    assert_err(kj_offset_store_commit(offsets, &long_name, &ticket), KAJA_ERR_INVALID_GROUP_ID);
    name[32767] = '\0'; /* the longest there can be */
    assert_ok(kj_offset_store_commit(offsets, &long_name, &ticket));
    assert_int_equal(committed(name, "t", 0), 1);
    free(name);
}

/* --- many at once --- */

static int count_one(void *arg, const struct kj_committed *c)
{
    int *n = arg;
    assert_int_equal(c->partition, *n);
    assert_int_equal(c->offset, 1000 + *n);
    assert_string_equal(c->metadata, "meta");
    assert_int_equal(c->leader_epoch, 3);
    ++*n;
    return 0;
}

static void many(void **state)
{
    (void)state;
    enum { COUNT = 30000 }; /* more than one batch holds */
    struct kj_offset_item *items = calloc(COUNT, sizeof *items);
    assert_non_null(items);
    for (int i = 0; i < COUNT; i++)
        items[i] = (struct kj_offset_item){"topic", i, 3, 1000 + i, "meta"};
    const struct kj_offset_commit all = {
        .group_id = "g", .items = items, .count = COUNT, .durable = true};
    struct kj_offset_ticket ticket;
    for (int round = 0; round < 2; round++) {
        assert_ok(kj_offset_store_commit(offsets, &all, &ticket));
        assert_ok(kj_offset_store_wait(offsets, &ticket));
        int n = 0;
        assert_ok(kj_offset_store_each(offsets, "g", count_one, &n));
        assert_int_equal(n, COUNT);
    }
    free(items);
    assert_ok(delete_of("g", NULL, 0));
    int n = 0;
    assert_ok(kj_offset_store_each(offsets, "g", count_one, &n));
    assert_int_equal(n, 0);
}

/* --- deleting, listing --- */

static int list_one(void *arg, const struct kj_offset_group *group)
{
    char *text = arg;
    (void)snprintf(text + strlen(text), 100, "%s:%zu ", group->group_id, group->offset_count);
    return 0;
}

static void deleting(void **state)
{
    (void)state;
    char text[400] = "";
    assert_err(delete_of("g", NULL, 0), KAJA_ERR_GROUP_ID_NOT_FOUND);
    assert_ok(commit("g2", "t", 0, 1));
    assert_ok(commit("g1", "t", 0, 1));
    assert_ok(commit("g1", "t", 1, 1));
    assert_ok(commit("g1", "u", 0, 1));
    assert_ok(kj_offset_store_groups(offsets, list_one, text));
    assert_string_equal(text, "g1:3 g2:1 ");
    const struct kj_offset_item two[] = {{.topic = "t", .partition = 1}, {.topic = "u"}};
    assert_ok(delete_of("g1", two, 2));
    assert_int_equal(committed("g1", "t", 0), 1);
    assert_int_equal(committed("g1", "t", 1), -1);
    assert_int_equal(committed("g1", "u", 0), -1);
    assert_ok(delete_of("g1", NULL, 0));
    assert_err(delete_of("g1", NULL, 0), KAJA_ERR_GROUP_ID_NOT_FOUND);
    text[0] = '\0';
    reopen(1);
    assert_ok(kj_offset_store_groups(offsets, list_one, text));
    assert_string_equal(text, "g2:1 ");
}

/* --- expiry --- */

static bool members_of(void *arg, const char *group_id)
{
    (void)arg;
    return strcmp(group_id, "busy") == 0;
}

static bool subscribed_to(void *arg, const char *group_id, const char *topic)
{
    (void)arg;
    assert_string_equal(group_id, "busy");
    return strcmp(topic, "read") == 0;
}

static void put_group(const char *id, int64_t state_ms, int32_t members)
{
    struct kj_partition *partition;
    uint8_t buf[1024], key[64], value[256], *bytes;
    size_t len;
    struct kj_batch_writer writer;
    const struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    const struct kj_coord_key k = {.group = {id, strlen(id)}};
    const struct kj_coord_member member = {.id = {"m", 1}, .client_id = {"c", 1}};
    const struct kj_coord_group g = {.protocol_type = {"consumer", 8},
                                     .generation = 3,
                                     .state_ms = state_ms,
                                     .member_count = members};
    const struct kj_record record = {
        .key = key,
        .key_bytes = (size_t)(kj_coord_key_encode(&k, key) - key),
        .value = value,
        .value_bytes = (size_t)(kj_coord_group_encode(&g, &member, value) - value)};
    kj_batch_writer_init(&writer, buf, sizeof buf);
    assert_true(kj_batch_writer_append(&writer, &record));
    assert_ok(kj_batch_writer_seal(&writer, &seal, NULL, &bytes, &len));
    struct kj_append_batch batch = {.bytes = bytes, .len = len};
    assert_ok(kj_offset_store_partition(offsets, id, true, &partition));
    assert_ok(kj_partition_append(partition, &batch, 1, KJ_APPEND_INTERNAL));
}

static void expiry(void **state)
{
    (void)state;
    const int64_t year = INT64_C(525600) * 60000, day = 86400000;
    const struct kj_offset_groups groups = {.has_members = members_of,
                                            .subscribes = subscribed_to};
    int64_t start = late_wall(NULL);
    char text[400] = "";
    kj_offset_store_set_groups(offsets, &groups);
    assert_ok(commit("simple", "t", 0, 1));
    assert_ok(commit("busy", "read", 0, 1));
    assert_ok(commit("busy", "left", 0, 1));
    assert_ok(commit("left", "t", 0, 1));
    put_group("left", start + 100 * day, 0); /* empty since day 100 */
    assert_ok(commit("died", "t", 0, 1));
    put_group("died", start - 100 * day, 1); /* its members died after the commit of day 0 */
    put_group("done", start, 0);
    wall_ms = year - day;
    assert_ok(commit("simple", "t", 1, 2));
    assert_ok(kj_offset_store_expire(offsets));
    assert_ok(kj_offset_store_groups(offsets, list_one, text));
    assert_string_equal(text, "busy:2 died:1 left:1 simple:2 ");
    wall_ms = year + day;
    assert_ok(kj_offset_store_expire(offsets));
    text[0] = '\0';
    assert_ok(kj_offset_store_groups(offsets, list_one, text));
    assert_string_equal(text, "busy:1 left:1 simple:1 ");
    assert_int_equal(committed("busy", "read", 0), 1);
    assert_int_equal(committed("simple", "t", 1), 2);
    wall_ms = year + 101 * day;
    assert_ok(kj_offset_store_expire(offsets));
    text[0] = '\0';
    reopen(1);
    assert_ok(kj_offset_store_groups(offsets, list_one, text));
    assert_string_equal(text, "busy:1 simple:1 ");
}

/* The task does it, from the first use on. */
static void expiry_by_itself(void **state)
{
    (void)state;
    assert_ok(commit("g", "t", 0, 1));
    wall_ms = INT64_C(525601) * 60000;
    reopen(1);
    assert_ok(kj_store_step(store)); /* not used: nothing is read */
    int64_t end = kj_log_end(the_log());
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_log_end(the_log()), end + 1);
    assert_int_equal(committed("g", "t", 0), -1);
    assert_ok(kj_store_step(store));
    assert_int_equal(kj_log_end(the_log()), end + 1);
}

/* --- damage --- */

static void flip(const char *name, long pos)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", dir.path, name);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, pos, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, pos, SEEK_SET), 0);
    assert_true(fputc(c ^ 0x55, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

/* A batch is passed over and told of; the others count. */
static void damaged_batch(void **state)
{
    (void)state;
    struct kj_log_stats stats;
    assert_ok(commit("g", "t", 0, 1));
    assert_ok(kj_log_get_stats(the_log(), &stats));
    assert_ok(commit("g", "t", 1, 2));
    assert_ok(commit("g", "t", 2, 3));
    flip("__consumer_offsets-0/00000000000000000000.log", (long)stats.bytes + 80);
    assert_int_equal(committed("g", "t", 0), 1);
    assert_int_equal(committed("g", "t", 1), -1);
    assert_int_equal(committed("g", "t", 2), 3);
    assert_int_equal(count_events(store, KAJA_EVENT_DAMAGE), 1);
    assert_ok(commit("g", "t", 1, 5));
    assert_int_equal(committed("g", "t", 1), 5);
}

/* A header that is none: reading goes on behind it, in the next segment. */
static void damaged_header(void **state)
{
    (void)state;
    struct kj_log_stats stats;
    assert_ok(commit("a", "t", 0, 1));
    assert_ok(kj_log_get_stats(the_log(), &stats));
    assert_ok(commit("b", "t", 0, 2));
    assert_ok(commit("c", "t", 0, 3));
    flip("__consumer_offsets-0/00000000000000000000.log", (long)stats.bytes + 16); /* its magic */
    assert_int_equal(committed("a", "t", 0), 1);
    assert_int_equal(committed("b", "t", 0), -1);
    assert_true(count_events(store, KAJA_EVENT_DAMAGE) >= 1);
    assert_ok(commit("d", "t", 0, 4)); /* not written where reading cannot come */
    flip("__consumer_offsets-0/00000000000000000000.log", (long)stats.bytes + 16);
}

/* --- memory --- */

static int fail_at, allocations;
static int fail_nth(void *arg)
{
    (void)arg;
    return ++allocations == fail_at;
}

static void no_memory(void **state)
{
    (void)state;
    int err = -1;
    for (fail_at = 1; fail_at < 100 && err != 0; fail_at++) {
        reopen(1);
        allocations = 0;
        kj_alloc_set_hook(fail_nth, NULL);
        err = commit("g", "t", fail_at, 5);
        if (err == 0) {
            bool found;
            int64_t offset = -1;
            err = kj_offset_store_fetch(offsets, "g", "t", fail_at, &found, &offset, NULL, NULL);
            assert_true(err != 0 || (found && offset == 5));
        }
        kj_alloc_set_hook(NULL, NULL);
        assert_true(err == 0 || err == KAJA_ERR_OUT_OF_MEMORY);
    }
    assert_in_range(fail_at, 5, 99);
    /* Once grown, a commit allocates nothing of its own. */
    assert_ok(commit("g", "t", 0, 5));
    allocations = 0;
    fail_at = 0;
    kj_alloc_set_hook(fail_nth, NULL);
    const struct kj_offset_item item = {.topic = "t", .offset = 6, .leader_epoch = -1};
    const struct kj_offset_commit one = {.group_id = "g", .items = &item, .count = 1};
    struct kj_offset_ticket ticket;
    for (int i = 0; i < 100; i++)
        assert_ok(kj_offset_store_commit(offsets, &one, &ticket));
    kj_alloc_set_hook(NULL, NULL);
    assert_in_range(allocations, 0, 20); /* entries of the indexes, each 4 KiB of log */
    assert_int_equal(committed("g", "t", 0), 6);
}

/* --- compacted --- */

static int small_segments(const struct kj_property *topic, size_t topic_count,
                          const struct kj_property *directory, size_t directory_count,
                          struct kj_log_config *ret_config)
{
    KJ_TRY(log_config(topic, topic_count, directory, directory_count, ret_config));
    ret_config->segment_bytes = 65536;
    return 0;
}

static struct kj_store *open_compacting(void)
{
    struct kj_store_options options = test_options(dir.path);
    struct kj_store *ret = NULL;
    options.rules.log_config = small_segments;
    options.cleaner_enable = true;
    options.cleaner_backoff_ms = 3600000;
    options.cleaner_map_bytes = 1 << 20;
    options.cleaner_microbytes_per_second = INT64_MAX;
    assert_ok(kj_store_open(&options, &ret));
    return ret;
}

static void housekeeping(void)
{
    struct kj_partition *partition;
    assert_ok(kj_offset_store_partition(offsets, "g", false, &partition));
    assert_ok(kj_store_flush(store, &partition, 1));
    kj_shared_store(kj_shared_of(store), KJ_CONTROL_TASKS + (kj_word)KJ_TASK_CLEANER, 0);
    do
        (void)kj_store_run(store);
    while (store->cleaner.state != KJ_CLEANER_WAITS);
}

/* However often few groups commit, __consumer_offsets has a few segments, and who follows it, or
 * begins with it, knows each group's last offset. KJ_COMMITS: how many, a million in the long form.
 * */
static void stays_small(void **state)
{
    (void)state;
    enum { GROUPS = 4, AT_A_TIME = 2000 };
    int commits = test_number("KJ_COMMITS", 30000);
    kj_offset_store_close(offsets);
    assert_ok(kj_store_close(store));
    store = open_compacting();
    offsets = open_offsets(store, 1);
    struct kj_store *other = open_compacting();
    struct kj_offset_store *follower = open_offsets(other, 1);
    struct kj_log_stats stats;
    int64_t most = 0, last[GROUPS] = {0};
    for (int i = 0; i < commits; i++) {
        char group[8];
        (void)snprintf(group, sizeof group, "g%d", i % GROUPS);
        last[i % GROUPS] = i;
        const struct kj_offset_item item = {.topic = "t", .leader_epoch = -1, .offset = i};
        const struct kj_offset_commit commit = {.group_id = group, .items = &item, .count = 1};
        struct kj_offset_ticket ticket;
        assert_ok(kj_offset_store_commit(offsets, &commit, &ticket));
        assert_ok(kj_offset_store_wait(offsets, &ticket));
        if ((i + 1) % AT_A_TIME != 0)
            continue;
        housekeeping();
        assert_ok(kj_log_get_stats(the_log(), &stats));
        most = stats.bytes > most ? stats.bytes : most;
        for (int g = 0; g < GROUPS; g++) {
            (void)snprintf(group, sizeof group, "g%d", g);
            assert_int_equal(committed_in(follower, group, "t", 0), last[g]);
        }
    }
    print_message("%d commits, at most %lld bytes in segments of 65536\n", commits,
                  (long long)most);
    assert_true(kj_log_end(the_log()) >= commits);
    assert_true(most < 4 * 65536);
    assert_ok(kj_log_get_stats(the_log(), &stats));
    assert_true(stats.segment_count < 8);
    kj_offset_store_close(follower);
    assert_ok(kj_store_close(other));
    kj_offset_store_close(offsets);
    assert_int_equal(count_events(store, KAJA_EVENT_BACKGROUND) + count_events(store,
                                                                               KAJA_EVENT_DAMAGE),
                                                                                   0);
    assert_ok(kj_store_close(store));
    store = open_late(false);
    offsets = open_offsets(store, 1);
    for (int g = 0; g < GROUPS; g++) {
        char group[8];
        (void)snprintf(group, sizeof group, "g%d", g);
        assert_int_equal(committed(group, "t", 0), last[g]);
    }
}

static int compacting_rules(const struct kj_property *topic, size_t topic_count,
                            const struct kj_property *directory, size_t directory_count,
                            struct kj_log_config *ret_config)
{
    KJ_TRY(log_config(topic, topic_count, directory, directory_count, ret_config));
    ret_config->segment_bytes = 700;
    ret_config->delete_retention_ms = 1000;
    ret_config->min_cleanable_ppm = 0;
    return 0;
}

static void clean(struct kj_store *in)
{
    kj_shared_store(kj_shared_of(in), KJ_CONTROL_TASKS + (kj_word)KJ_TASK_CLEANER, 0);
    for (int i = 0; i < 1000; i++) {
        (void)kj_store_run(in);
        if (in->cleaner.state == KJ_CLEANER_WAITS)
            return;
    }
    fail_msg("it is cleaned for ever");
}

/* A tombstone that one handle did not read in time is no reason to go on with what it deleted. */
static void tombstone_gone(void **state)
{
    (void)state;
    struct kj_store_options options = test_options(dir.path);
    struct kj_store *other = NULL;
    options.clock = &late_clock;
    options.rules.log_config = compacting_rules;
    options.cleaner_enable = true;
    options.cleaner_backoff_ms = 3600000;
    options.cleaner_map_bytes = 1 << 20;
    options.cleaner_microbytes_per_second = INT64_MAX;
    assert_ok(kj_store_open(&options, &other));
    struct kj_offset_store *idle = offsets, *theirs = open_offsets(other, 1);
    assert_ok(commit_checked(theirs, "g", "t", 0, 5, NULL, NULL));
    assert_ok(commit_checked(theirs, "g", "t", 1, 6, NULL, NULL));
    assert_int_equal(committed_in(idle, "g", "t", 0), 5);
    const struct kj_offset_item gone = {.topic = "t", .partition = 0};
    offsets = theirs;
    assert_ok(delete_of("g", &gone, 1));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            assert_ok(commit_checked(theirs, "g", "t", 1, i, NULL, NULL));
        clean(other);
        wall_ms += 5000;
    }
    assert_true(kj_store_metric(other, KJ_METRIC_COMPACTIONS) >= 2);
    assert_int_equal(committed_in(theirs, "g", "t", 0), -1);
    offsets = idle;
    assert_int_equal(committed_in(idle, "g", "t", 1), 19);
    assert_int_equal(committed_in(idle, "g", "t", 0), -1);
    kj_offset_store_close(theirs);
    assert_ok(kj_store_close(other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_and_fetch, setup, teardown),
        cmocka_unit_test_setup_teardown(levels, setup, teardown),
        cmocka_unit_test_setup_teardown(other_handles_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(partition_of_a_group, setup, teardown),
        cmocka_unit_test_setup_teardown(checked, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting, setup, teardown),
        cmocka_unit_test_setup_teardown(expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(expiry_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_header, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(tombstone_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(stays_small, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
