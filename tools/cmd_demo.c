/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_demo.c - kaja demo: a short tour for newcomers, in a directory that goes away again.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/demo.h"
#include "tools/dump.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct kj_option options[] = {
    {"dir", NULL, KJ_OPT_ONE, "DIR",
     "play in this directory and leave it (default a temporary one)"},
    {"keep", NULL, KJ_OPT_FLAG, NULL, "leave the directory behind to look around"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

static const char topic[] = KJ_DEMO_TOPIC;

static const struct {
    const char *key, *value;
} orders[] = {
    {"ann", "ann orders tea"}, {"bob", "bob orders bread"}, {"joe", "joe orders figs"},
    {"ann", "ann adds milk"},  {"dan", "dan orders salt"},  {"bob", "bob pays"},
    {"mia", "mia orders rye"}, {"ann", "ann pays"},         {"joe", "joe takes figs back"},
};
_Static_assert(sizeof orders / sizeof *orders == KJ_DEMO_ORDERS, "each order is sent");

void kj_demo_heading(struct kj_demo *demo, const char *title, const char *command)
{
    printf("\n%d. %s\n", ++demo->step, title);
    if (command != NULL)
        printf("   $ kaja %s\n", command);
    putchar('\n');
}

int kj_demo_fail(int err, const char *what)
{
    fflush(stdout);
    kj_complain_err(err, "kaja demo: %s", what);
    return KJ_EXIT_FAILURE;
}

/* --- topics and producing --------------------------------------------------------------------- */

static int create_topic(struct kj_demo *demo)
{
    kj_demo_heading(demo, "A topic is a log in several partitions. This one has three.",
                    "topics --create --topic orders --partitions 3");
    int err = kaja_admin_create_topic(demo->store, topic, KJ_DEMO_PARTITIONS, NULL);
    if (err != 0)
        return kj_demo_fail(err, "creating the topic");
    printf("   Each partition is a file that only grows: records get the offsets 0, 1, 2, ...\n"
           "   and keep them. There is order within a partition, none between partitions.\n");
    return 0;
}

int kj_demo_send(struct kj_demo *demo, struct kaja_producer *producer, const char *key,
                 const char *value, struct kaja_metadata *ret_metadata)
{
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.timestamp = demo->start_ms + (int64_t)demo->sent_count++ * KJ_DEMO_SPACING_MS;
    record.key = key;
    record.key_bytes = strlen(key);
    record.value = value;
    record.value_bytes = strlen(value);
    return kaja_producer_send(producer, &record, 10000, ret_metadata);
}

static int send_orders(struct kj_demo *demo)
{
    struct kaja_producer *producer;
    kj_demo_heading(demo,
                    "A record's key chooses its partition: same key, same partition, so in order.",
                    "produce --topic orders --reader-property parse.key=true");
    int err = kaja_producer_open(demo->store, NULL, &producer);
    if (err != 0)
        return kj_demo_fail(err, "opening a producer");
    for (size_t i = 0; i < KJ_DEMO_ORDERS && err == 0; i++)
        err = kj_demo_send(demo, producer, orders[i].key, orders[i].value, &demo->sent[i]);
    int closed = kaja_producer_close(producer, 10000);
    err = err != 0 ? err : closed;
    if (err != 0)
        return kj_demo_fail(err, "sending records");

    struct kj_table table;
    kj_table_init(&table, 7);
    table.right[2] = table.right[3] = true;
    const char *const names[] = {"key", "value",     "murmur2(key)", "& 0x7fffffff",
                                 "% 3", "partition", "offset"};
    for (size_t i = 0; i < 7; i++)
        kj_table_cell(&table, "%s", names[i]);
    for (size_t i = 0; i < KJ_DEMO_ORDERS; i++) {
        int32_t hash = kaja_murmur2(orders[i].key, strlen(orders[i].key));
        kj_table_cell(&table, "%s", orders[i].key);
        kj_table_cell(&table, "%s", orders[i].value);
        kj_table_cell(&table, "%d", (int)hash);
        kj_table_cell(&table, "%d", (int)(hash & 0x7fffffff));
        kj_table_cell(&table, "%d", (int)((hash & 0x7fffffff) % KJ_DEMO_PARTITIONS));
        kj_table_cell(&table, "%s-%d", topic, (int)demo->sent[i].partition);
        kj_table_cell(&table, "%lld", (long long)demo->sent[i].offset);
    }
    kj_table_print(&table, 3);
    printf("\n   murmur2 is a hash with 32 bits; the mask takes its sign away. A record without a "
           "key\n"
           "   goes wherever the producer is just filling a batch.\n"
           "   Each send returned once its record was on the disk (acks=all, the default).\n");
    return 0;
}

/* --- consuming ----------------------------------------------------------------------------------
 */

void kj_demo_record_names(struct kj_table *table)
{
    const char *const names[] = {"partition", "offset", "time", "key", "value"};
    for (size_t i = 0; i < 5; i++)
        kj_table_cell(table, "%s", names[i]);
}

void kj_demo_record_cells(const struct kj_demo *demo, struct kj_table *table,
                          const struct kaja_record_view *record)
{
    kj_table_cell(table, "%s-%d", record->topic, (int)record->partition);
    kj_table_cell(table, "%lld", (long long)record->offset);
    kj_table_cell(table, "+%lld s", (long long)((record->timestamp - demo->start_ms) / 1000));
    kj_table_cell(table, "%.*s", (int)record->key_bytes, (const char *)record->key);
    kj_table_cell(table, "%.*s", (int)record->value_bytes, (const char *)record->value);
}

/* Adds what is readable from the consumer's positions to the table, at most limit records. */
static int read_rows(struct kj_demo *demo, struct kaja_consumer *consumer, struct kj_table *table,
                     size_t limit)
{
    for (size_t rows = 0; rows < limit;) {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        int err = kaja_consumer_poll(consumer, 0, &batch);
        if (err != 0)
            return err;
        bool empty = kaja_batch_count(batch) == 0;
        for (; rows < limit && kaja_batch_next(batch, &record); rows++)
            kj_demo_record_cells(demo, table, &record);
        kaja_batch_release(batch);
        if (empty)
            return 0;
    }
    return 0;
}

static void begin_rows(struct kj_table *table)
{
    kj_table_init(table, 5);
    table->right[2] = true;
    kj_demo_record_names(table);
}

static int read_all(struct kj_demo *demo, struct kaja_consumer *consumer)
{
    kj_demo_heading(demo,
                    "A consumer reads partitions from an offset on. Reading takes nothing away.",
                    "consume --topic orders --from-beginning --timeout-ms 100");
    struct kj_table table;
    begin_rows(&table);
    int err = 0;
    for (int32_t p = 0; p < KJ_DEMO_PARTITIONS && err == 0; p++) {
        struct kaja_topic_partition at = {topic, p, 0};
        err = kaja_consumer_assign(consumer, &at, 1);
        if (err == 0)
            err = kaja_consumer_seek_to_beginning(consumer, topic, p);
        if (err == 0)
            err = read_rows(demo, consumer, &table, KJ_DEMO_ORDERS);
    }
    kj_table_print(&table, 3);
    return err != 0 ? kj_demo_fail(err, "reading") : 0;
}

/* The partition that got the most records: there is something to seek in. */
static int32_t fullest(const struct kj_demo *demo)
{
    int counts[KJ_DEMO_PARTITIONS] = {0};
    int32_t best = 0;
    for (size_t i = 0; i < KJ_DEMO_ORDERS; i++)
        if (demo->sent[i].partition >= 0 && demo->sent[i].partition < KJ_DEMO_PARTITIONS)
            counts[demo->sent[i].partition]++;
    for (int32_t p = 1; p < KJ_DEMO_PARTITIONS; p++)
        if (counts[p] > counts[best])
            best = p;
    return best;
}

static int seek_around(struct kj_demo *demo, struct kaja_consumer *consumer)
{
    int32_t p = fullest(demo);
    struct kaja_topic_partition at = {topic, p, 0};
    char command[128];
    struct kj_table table;
    snprintf(command, sizeof command,
             "consume --topic orders --partition %d --offset 1 --timeout-ms 100", (int)p);
    kj_demo_heading(demo, "An offset is a place to come back to.", command);
    begin_rows(&table);
    int err = kaja_consumer_assign(consumer, &at, 1);
    if (err == 0)
        err = kaja_consumer_seek(consumer, topic, p, 1);
    if (err == 0)
        err = read_rows(demo, consumer, &table, KJ_DEMO_ORDERS);
    kj_table_print(&table, 3);
    if (err != 0)
        return kj_demo_fail(err, "seeking by offset");

    int64_t time_ms = demo->start_ms + (KJ_DEMO_ORDERS / 2) * KJ_DEMO_SPACING_MS - 1;
    snprintf(command, sizeof command, "get-offsets --topic orders --time %lld", (long long)time_ms);
    kj_demo_heading(demo,
                    "A time leads to an offset: the first record that is not older.", command);
    begin_rows(&table);
    err = kaja_consumer_seek_to_timestamp(consumer, topic, p, time_ms);
    if (err == 0)
        err = read_rows(demo, consumer, &table, 1);
    kj_table_print(&table, 3);
    if (err != 0)
        return kj_demo_fail(err, "seeking by time");
    printf("\n   (asked for +%d s, less a millisecond, in %s-%d)\n",
           (KJ_DEMO_ORDERS / 2) * KJ_DEMO_SPACING_MS / 1000, topic, (int)p);
    return 0;
}

static int consume(struct kj_demo *demo)
{
    struct kaja_consumer *consumer;
    int err = kaja_consumer_open(demo->store, NULL, &consumer);
    if (err != 0)
        return kj_demo_fail(err, "opening a consumer");
    int status = read_all(demo, consumer);
    if (status == 0)
        status = seek_around(demo, consumer);
    err = kaja_consumer_close(consumer, -1);
    return status == 0 && err != 0 ? kj_demo_fail(err, "closing the consumer") : status;
}

/* --- files ---------------------------------------------------------------------------------------
 */

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static const char *meaning_of(const char *name)
{
    static const struct {
        const char *part, *meaning;
    } rows[] = {{".log", "the records, in batches"},
                {".index", "offset -> position in the .log"},
                {".timeindex", "time -> offset"},
                {".txnindex", "aborted transactions"},
                {".snapshot", "what producers sent last, to notice repeats"},
                {"leader-epoch-checkpoint", "Kafka's leader epochs; here there is one, 0"},
                {"partition.metadata", "the topic's id"},
                {"kaja.catalog", "topics and their properties"},
                {"kaja.catalog.old", "the same before the last change"},
                {"kaja.lock", "locks of the processes that share the directory"},
                {"kaja.control", "offsets that live processes share; rebuilt at need"},
                {"recovery-point-offset-checkpoint", "what is known to be on the disk"},
                {"log-start-offset-checkpoint", "where partitions begin after deletions"},
                {"replication-offset-checkpoint", "how far partitions may be read"},
                {"cleaner-offset-checkpoint", "how far compaction got"},
                {"kaja.cleaned", "up to where compaction may have removed offsets"},
                {".kafka_cleanshutdown", "closed in order: nothing to recover"},
                {".lock", "held while open, so that no broker comes in"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *found = strstr(name, rows[i].part);
        bool suffix = rows[i].part[0] == '.';
        if (found != NULL && strcmp(found, rows[i].part) == 0 && (suffix || found == name))
            return rows[i].meaning;
    }
    return "";
}

static void list_files(struct kj_table *table, const char *dir, const char *below)
{
    struct dirent **entries;
    char *path = kj_xprintf("%s%s%s", dir, below[0] != '\0' ? "/" : "", below);
    int count = scandir(path, &entries, not_dots, alphasort);
    for (int i = 0; i < count; i++) {
        struct stat st;
        char *file = kj_xprintf("%s/%s", path, entries[i]->d_name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            kj_table_cell(table, "%s%s%s", below, below[0] != '\0' ? "/" : "", entries[i]->d_name);
            kj_table_cell(table, "%lld", (long long)st.st_size);
            kj_table_cell(table, "%s", meaning_of(entries[i]->d_name));
        }
        free(file);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    free(path);
}

static int show_files(struct kj_demo *demo)
{
    char command[128];
    int32_t p = fullest(demo);
    char *partition = kj_xprintf("%s-%d", topic, (int)p);
    snprintf(command, sizeof command, "log-dirs --describe");
    kj_demo_heading(demo,
                    "On the disk a partition is a directory with Kafka's own files.", command);
    struct kj_table table;
    kj_table_init(&table, 3);
    table.right[1] = true;
    kj_table_cell(&table, "file");
    kj_table_cell(&table, "bytes");
    kj_table_cell(&table, "what it is");
    list_files(&table, demo->dir, "");
    list_files(&table, demo->dir, partition);
    kj_table_print(&table, 3);
    printf(
        "\n   (the other partitions look the same; the number is the first offset in the file)\n");
    free(partition);
    return 0;
}

static int show_first(void *arg, const struct kaja_batch_info *batch)
{
    (void)arg;
    kj_dump_annotate(batch);
    return 1;
}

static int show_bytes(struct kj_demo *demo)
{
    int64_t trailing;
    int32_t p = fullest(demo);
    char *file = kj_xprintf("%s/%s-%d/%020d.log", demo->dir, topic, (int)p, 0);
    char *command = kj_xprintf("dump-log --annotate --files %s-%d/%020d.log", topic, (int)p, 0);
    kj_demo_heading(demo, "And this is its first batch, byte by byte.", command);
    int err = kaja_dump_log(file, -1, show_first, NULL, NULL, &trailing);
    free(command);
    free(file);
    return err != 0 ? kj_demo_fail(err, "reading a segment") : 0;
}

/* --- the tour
 * ------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static char *make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = kj_xprintf("%s/kaja-demo-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(dir) != NULL)
        return dir;
    kj_complain("kaja demo: cannot make a directory like %s: %s (TMPDIR names another place)", dir,
                strerror(errno));
    free(dir);
    return NULL;
}

static int open_store(struct kj_demo *demo)
{
    int err = kaja_store_open(demo->dir, NULL, &demo->store);
    return err != 0 ? kj_demo_fail(err, "opening the directory") : 0;
}

static int close_store(struct kj_demo *demo)
{
    int err = kaja_store_close(demo->store);
    return err != 0 ? kj_demo_fail(err, "closing the directory") : 0;
}

static int tour(struct kj_demo *demo)
{
    int status = open_store(demo);
    if (status != 0)
        return status;
    static int (*const live[])(struct kj_demo *) = {create_topic, send_orders, consume,
                                                       kj_demo_groups};
    for (size_t i = 0; i < 4 && status == 0 && kj_signal_status() == 0; i++)
        status = live[i](demo);
    int closed = close_store(demo);
    status = status != 0 ? status : closed;
    static int (*const still[])(struct kj_demo *) = {show_files, show_bytes};
    for (size_t i = 0; i < 2 && status == 0 && kj_signal_status() == 0; i++)
        status = still[i](demo);
    return status;
}

static int run(const struct kj_args *args)
{
    bool own_place = kj_args_has(args, "dir");
    bool keep = kj_args_has(args, "keep") || own_place;
    struct kj_demo demo = {.dir = own_place ? kj_xstrdup(kj_dir(args)) : make_dir()};
    if (demo.dir == NULL)
        return KJ_EXIT_FAILURE;
    demo.start_ms = kj_wall_ms() / 1000 * 1000 - 2 * KJ_DEMO_ORDERS * KJ_DEMO_SPACING_MS;
    printf("kaja %s: Kafka's log as a library. This tour plays in %s%s\n", kaja_version(), demo.dir,
           keep ? "." : ",\nwhich is removed at the end (--keep leaves it).");
    kj_signals_catch(NULL);
    int status = tour(&demo);
    if (status == 0 && kj_signal_status() == 0) {
        if (keep)
            printf("\nLook around with: kaja topics --describe --dir %s\n", demo.dir);
        else
            printf("\nNow you: kaja produce --topic hello    in one terminal, and\n"
                   "         kaja consume --topic hello    in another. With --group readers\n"
                   "         added, and in two terminals more, they share the partitions.\n");
    }
    if (!keep && nftw(demo.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        kj_complain("kaja demo: cannot remove %s: %s", demo.dir, strerror(errno));
        status = KJ_EXIT_FAILURE;
    }
    free(demo.dir);
    return kj_signal_status() != 0 ? kj_signal_status() : status;
}

const struct kj_command kj_cmd_demo = {
    .name = "demo",
    .summary = "Show topics, partitions and offsets at work, in a temporary directory.",
    .options = options,
    .run = run,
};
