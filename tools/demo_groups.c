/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/demo_groups.c - the part of kaja demo about groups: alone, with a second member, and after
 * a pause. Both members live in this process; in two terminals it would be the same.
 */
#include "tools/common.h"
#include "tools/demo.h"

#include <stdio.h>
#include <string.h>

enum { MEMBERS = 2, PATIENCE_MS = 10000 };
static const char group[] = "kitchen";
static const char *const names[MEMBERS] = {"tom", "eve"};

struct kitchen {
    struct kj_demo *demo;
    struct kaja_producer *producer;
    struct kaja_consumer *members[MEMBERS];
    struct kj_table *rows; /* what the members get, or NULL: only counted */
    size_t got;
};

static int join(struct kitchen *kitchen, int member)
{
    static const char *const topic = KJ_DEMO_TOPIC;
    const char *const properties[][2] = {{"group.id", group},
                                         {"client.id", names[member]},
                                         {"auto.offset.reset", "earliest"},
                                         {"enable.auto.commit", "false"}};
    struct kaja_conf *conf;
    int err = kaja_conf_new(&conf);
    if (err != 0)
        return err;
    for (size_t i = 0; i < sizeof properties / sizeof *properties && err == 0; i++)
        err = kaja_conf_set(conf, properties[i][0], properties[i][1]);
    if (err == 0)
        err = kaja_consumer_open(kitchen->demo->store, conf, &kitchen->members[member]);
    if (err == 0)
        err = kaja_consumer_subscribe(kitchen->members[member], &topic, 1, NULL);
    kaja_conf_free(conf);
    return err;
}

/* Commits what it read and gives its partitions back. */
static int leave(struct kitchen *kitchen, int member)
{
    struct kaja_consumer *consumer = kitchen->members[member];
    if (consumer == NULL)
        return 0;
    kitchen->members[member] = NULL;
    int err = kaja_consumer_commit(consumer, NULL, 0, PATIENCE_MS);
    int closed = kaja_consumer_close(consumer, PATIENCE_MS);
    return err != 0 ? err : closed;
}

static int poll_once(struct kitchen *kitchen, int member)
{
    struct kaja_batch *batch;
    struct kaja_record_view record;
    int err = kaja_consumer_poll(kitchen->members[member], 10, &batch);
    if (err != 0)
        return err;
    for (; kaja_batch_next(batch, &record); kitchen->got++)
        if (kitchen->rows != NULL) {
            kj_table_cell(kitchen->rows, "%s", names[member]);
            kj_demo_record_cells(kitchen->demo, kitchen->rows, &record);
        }
    kaja_batch_release(batch);
    return 0;
}

/* Everybody polls until the partitions are shared out and so many records came. */
static int poll_all(struct kitchen *kitchen, size_t records)
{
    int64_t end_ns = kj_now_ns() + PATIENCE_MS * INT64_C(1000000);
    for (kitchen->got = 0; kj_signal_status() == 0;) {
        size_t partitions = 0, idle = 0;
        for (int i = 0; i < MEMBERS; i++) {
            if (kitchen->members[i] == NULL)
                continue;
            int err = poll_once(kitchen, i);
            if (err != 0)
                return err;
            size_t mine = kaja_consumer_assignment(kitchen->members[i], NULL, 0);
            partitions += mine;
            idle += mine == 0;
        }
        if (partitions == KJ_DEMO_PARTITIONS && idle == 0 && kitchen->got >= records)
            return 0;
        if (kj_now_ns() > end_ns)
            return KAJA_ERR_REQUEST_TIMED_OUT;
    }
    return 0;
}

static void show_shares(struct kitchen *kitchen)
{
    struct kj_table table;
    kj_table_init(&table, 2);
    kj_table_cell(&table, "member");
    kj_table_cell(&table, "has");
    for (int i = 0; i < MEMBERS; i++) {
        struct kaja_topic_partition has[KJ_DEMO_PARTITIONS];
        if (kitchen->members[i] == NULL)
            continue;
        size_t count =
            kaja_consumer_assignment(kitchen->members[i], has, KJ_DEMO_PARTITIONS);
        char text[128] = "";
        for (size_t p = 0, at = 0; p < count && p < KJ_DEMO_PARTITIONS; p++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s-%d", p > 0 ? " " : "",
                                   has[p].topic, (int)has[p].partition);
        kj_table_cell(&table, "%s", names[i]);
        kj_table_cell(&table, "%s", text);
    }
    kj_table_print(&table, 3);
}

/* The members read so many records, which are shown. */
static int show_reading(struct kitchen *kitchen, size_t records)
{
    struct kj_table table;
    kj_table_init(&table, 6);
    table.right[3] = true;
    kj_table_cell(&table, "member");
    kj_demo_record_names(&table);
    kitchen->rows = &table;
    int err = poll_all(kitchen, records);
    kitchen->rows = NULL;
    kj_table_print(&table, 3);
    return err;
}

static int alone(struct kitchen *kitchen)
{
    kj_demo_heading(kitchen->demo,
                    "Consumers of one group share the partitions. Who is alone has them all.",
                    "consume --topic orders --group kitchen --from-beginning");
    int err = join(kitchen, 0);
    if (err == 0)
        err = poll_all(kitchen, KJ_DEMO_ORDERS);
    if (err == 0)
        show_shares(kitchen);
    printf("\n   tom got %zu records.\n", kitchen->got);
    return err;
}

static int shared(struct kitchen *kitchen)
{
    kj_demo_heading(kitchen->demo,
                    "A second one joins: the partitions are shared out anew, each has one owner.",
                    "consume --topic orders --group kitchen");
    int err = join(kitchen, 1);
    if (err == 0)
        err = poll_all(kitchen, 0);
    if (err == 0)
        show_shares(kitchen);
    printf("\n   Three more orders come, and each goes to the owner of its partition:\n\n");
    struct kj_demo *demo = kitchen->demo;
    if (err == 0)
        err = kj_demo_send(demo, kitchen->producer, "ann", "ann orders cake", NULL);
    if (err == 0)
        err = kj_demo_send(demo, kitchen->producer, "bob", "bob orders jam", NULL);
    if (err == 0)
        err = kj_demo_send(demo, kitchen->producer, "joe", "joe orders nuts", NULL);
    return err != 0 ? err : show_reading(kitchen, 3);
}

static int show_lag(struct kitchen *kitchen)
{
    struct kaja_store *store = kitchen->demo->store;
    struct kaja_offset_list *offsets;
    struct kj_table table;
    int err = kaja_admin_group_offsets(store, group, &offsets);
    if (err != 0)
        return err;
    kj_table_init(&table, 4);
    table.right[1] = table.right[2] = table.right[3] = true;
    kj_table_cell(&table, "partition");
    kj_table_cell(&table, "committed");
    kj_table_cell(&table, "end");
    kj_table_cell(&table, "lag");
    for (size_t i = 0; i < offsets->count && err == 0; i++) {
        const struct kaja_committed_offset *offset = &offsets->offsets[i];
        struct kaja_partition_info info;
        err = kaja_admin_partition(store, offset->topic, offset->partition, &info);
        if (err != 0)
            break;
        kj_table_cell(&table, "%s-%d", offset->topic, (int)offset->partition);
        kj_table_cell(&table, "%lld", (long long)offset->offset);
        kj_table_cell(&table, "%lld", (long long)info.end_offset);
        kj_table_cell(&table, "%lld", (long long)(info.end_offset - offset->offset));
    }
    kj_table_print(&table, 3);
    kaja_offset_list_free(offsets);
    return err;
}

static int resumed(struct kitchen *kitchen)
{
    kj_demo_heading(kitchen->demo,
                    "A group remembers how far it got, also while nobody is there.",
                    "consumer-groups --describe --group kitchen");
    struct kj_demo *demo = kitchen->demo;
    int err = leave(kitchen, 0);
    if (err == 0)
        err = leave(kitchen, 1);
    if (err == 0)
        err = kj_demo_send(demo, kitchen->producer, "dan", "dan orders eggs", NULL);
    if (err == 0)
        err = kj_demo_send(demo, kitchen->producer, "mia", "mia pays", NULL);
    if (err == 0)
        err = show_lag(kitchen);
    printf("\n   (both left after they committed; then two orders came)\n"
           "   Now tom comes back and gets just those:\n\n");
    if (err == 0)
        err = join(kitchen, 0);
    return err != 0 ? err : show_reading(kitchen, 2);
}

int kj_demo_groups(struct kj_demo *demo)
{
    struct kitchen kitchen = {.demo = demo};
    int err = kaja_producer_open(demo->store, NULL, &kitchen.producer);
    if (err != 0)
        return kj_demo_fail(err, "opening a producer");
    static int (*const parts[])(struct kitchen *) = {alone, shared, resumed};
    for (size_t i = 0; i < 3 && err == 0 && kj_signal_status() == 0; i++)
        err = parts[i](&kitchen);
    int status = err != 0 ? kj_demo_fail(err, "the group") : 0;
    for (int i = 0; i < MEMBERS; i++) {
        int left = leave(&kitchen, i);
        if (status == 0 && left != 0)
            status = kj_demo_fail(left, "leaving the group");
    }
    err = kaja_producer_close(kitchen.producer, PATIENCE_MS);
    return status == 0 && err != 0 ? kj_demo_fail(err, "closing the producer") : status;
}
