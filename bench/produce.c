/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/produce.c - how fast records go in, beside what the machine can do at most.
 *
 *     produce [--dir DIR] [--records N] [--value BYTES] [--partitions N] [--rounds N] [--sends N]
 *             [--only WAY] [--roofs 0]
 *
 * Per round, in alternating order: the roofs, then each way of producing into a fresh directory.
 * Every run is read back; one that does not hold all records has no figure.
 */
#include "bench.h"

static long records, value_bytes, partitions, sends;

struct way {
    const char *name;
    const char *acks;
    int keyed; /* 1: by key, 0: partitions in turn, -1: null keys */
    int callbacks;
    int ready;               /* the files are whole and their pages in memory before the clock starts */
    struct bench_figure ns;  /* a record, until everything is acknowledged */
    struct bench_figure own; /* a record, in produce() alone */
    struct bench_figure cpu; /* a record, of all threads */
    double stored;           /* bytes in the logs */
};

/* Room for all records of a partition, whoever of them gets more, and for the batches' headers. */
static long segment_bytes(void)
{
    return records / partitions * (value_bytes + 16) * 2 + (1 << 20);
}

static struct way ways[] = {
    {.name = "acks=1, partitions in turn", .acks = "1", .keyed = 0},
    {.name = "acks=1, by key", .acks = "1", .keyed = 1},
    {.name = "acks=1, null keys", .acks = "1", .keyed = -1},
    {.name = "acks=1, with callbacks", .acks = "1", .keyed = 0, .callbacks = 1},
    {.name = "acks=1, pages ready", .acks = "1", .keyed = 0, .ready = 1},
    {.name = "acks=1, null keys, pages ready", .acks = "1", .keyed = -1, .ready = 1},
    {.name = "acks=0, partitions in turn", .acks = "0", .keyed = 0},
    {.name = "acks=all, partitions in turn", .acks = "all", .keyed = 0},
};
enum { WAYS = sizeof ways / sizeof *ways };

static struct kaja_store *open_store(const char *name, int preallocate)
{
    struct kaja_store *store;
    struct kaja_conf *conf;
    char segment[24];
    bench_ok(kaja_store_open(bench_path(name), NULL, &store), "open");
    bench_ok(kaja_conf_new(&conf), "conf");
    if (preallocate) {
        (void)snprintf(segment, sizeof segment, "%ld", segment_bytes());
        bench_ok(kaja_conf_set(conf, "segment.bytes", segment), "conf");
        bench_ok(kaja_conf_set(conf, "preallocate", "true"), "conf");
    }
    bench_ok(kaja_admin_create_topic(store, "bench", (int32_t)partitions, conf), "create");
    kaja_conf_free(conf);
    return store;
}

static struct kaja_producer *open_producer(struct kaja_store *store, const char *acks)
{
    struct kaja_conf *conf;
    struct kaja_producer *producer;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "acks", acks), "conf");
    bench_ok(kaja_producer_open(store, conf, &producer), "producer");
    kaja_conf_free(conf);
    return producer;
}

static double read_back(struct kaja_store *store, long expected)
{
    double bytes = 0;
    int64_t sum = 0;
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_partition_info info;
        bench_ok(kaja_admin_partition(store, "bench", i, &info), "partition");
        sum += info.end_offset - info.log_start_offset;
        bytes += (double)info.bytes;
    }
    if (sum != expected) {
        fprintf(stderr, "%lld records arrived instead of %ld\n", (long long)sum, expected);
        exit(1);
    }
    return bytes;
}

static void count_report(void *arg, int error, const struct kaja_metadata *metadata)
{
    long *count = arg;
    (void)metadata;
    bench_ok(error, "delivery");
    ++*count;
}

/* One record makes the segment; then each page of it is written to, as it is in the roof's file. */
static void make_ready(struct kaja_producer *producer)
{
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        char path[96];
        struct stat stat;
        record.topic = "bench";
        record.partition = i;
        bench_ok(kaja_producer_send(producer, &record, -1, NULL), "send");
        (void)snprintf(path, sizeof path, "store/bench-%d/00000000000000000000.log", (int)i);
        int fd = open(bench_path(path), O_RDWR);
        if (fd < 0 || fstat(fd, &stat) != 0 || stat.st_size < segment_bytes())
            bench_die(path);
        size_t bytes = (size_t)stat.st_size;
        void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED || madvise(map, bytes, MADV_POPULATE_WRITE) != 0)
            bench_die(path);
        munmap(map, bytes);
        close(fd);
    }
}

static void produce(struct way *way)
{
    struct kaja_store *store = open_store("store", way->ready);
    struct kaja_producer *producer = open_producer(store, way->acks);
    long expected = records + (way->ready ? partitions : 0);
    if (way->ready)
        make_ready(producer);
    char *value = calloc(1, (size_t)value_bytes + 1);
    long reported = 0;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "bench";
    record.value = value;
    record.value_bytes = (size_t)value_bytes;
    uint32_t key = 0;
    double cpu = bench_cpu();
    double began = bench_now();
    for (long i = 0; i < records; i++) {
        if (way->keyed == 1) {
            key = (uint32_t)i;
            record.key = &key;
            record.key_bytes = sizeof key;
        } else if (way->keyed == 0) {
            record.partition = (int32_t)(i % partitions);
        }
        int err = kaja_producer_produce(producer, &record, way->callbacks ? count_report : NULL,
                                        &reported);
        if (err != 0)
            bench_ok(err, "produce");
        if (way->callbacks && i % 1024 == 0)
            bench_ok(kaja_producer_poll(producer, 0, NULL), "poll");
    }
    double produced = bench_now();
    bench_ok(kaja_producer_flush(producer, -1), "flush");
    double ended = bench_now();
    cpu = bench_cpu() - cpu;
    bench_add(&way->ns, (ended - began) / (double)records);
    bench_add(&way->own, (produced - began) / (double)records);
    bench_add(&way->cpu, cpu / (double)records);
    if (way->callbacks && reported != records)
        bench_ok(KAJA_ERR_UNKNOWN_SERVER_ERROR, "reports are missing");
    way->stored = read_back(store, expected);
    bench_ok(kaja_producer_close(producer, -1), "close");
    bench_ok(kaja_store_close(store), "close");
    free(value);
    bench_remove("store");
}

/* One record after the other, each waited for: ns each. */
static double send_each(const char *acks)
{
    struct kaja_store *store = open_store("store", 0);
    struct kaja_producer *producer = open_producer(store, acks);
    static char value[100];
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "bench";
    record.partition = 0;
    record.value = value;
    record.value_bytes = sizeof value;
    for (int i = 0; i < 100; i++) /* until space is prepared */
        bench_ok(kaja_producer_send(producer, &record, -1, NULL), "send");
    double began = bench_now();
    for (long i = 0; i < sends; i++)
        bench_ok(kaja_producer_send(producer, &record, -1, NULL), "send");
    double took = bench_now() - began;
    read_back(store, 100 + sends);
    bench_ok(kaja_producer_close(producer, -1), "close");
    bench_ok(kaja_store_close(store), "close");
    bench_remove("store");
    return took / (double)sends;
}

int main(int argc, char **argv)
{
    records = bench_number(argc, argv, "--records", 2000000);
    value_bytes = bench_number(argc, argv, "--value", 100);
    partitions = bench_number(argc, argv, "--partitions", 8);
    sends = bench_number(argc, argv, "--sends", 2000);
    long rounds = bench_number(argc, argv, "--rounds", 5);
    long roofs = bench_number(argc, argv, "--roofs", 1); /* 0: none, for a profiler */
    const char *only = bench_text(argc, argv, "--only", "");
    bench_begin(bench_text(argc, argv, "--dir", "."));
    size_t bytes = (size_t)records * (size_t)(value_bytes + 10);
    bench_need(3.0 * (double)bytes + 1e9);
    struct bench_figure fresh = {.name = "roof: write, fresh file, 1 MiB"};
    struct bench_figure resident = {.name = "roof: pwrite, resident, 1 MiB"};
    struct bench_figure resident16 = {.name = "roof: pwrite, resident, 16 KiB"};
    struct bench_figure copy = {.name = "roof: memcpy"};
    struct bench_figure sync = {.name = "roof: 4 KiB pwrite + fdatasync"};
    struct bench_figure send_all = {.name = "send, acks=all"};
    struct bench_figure send_one = {.name = "send, acks=1"};
    for (long round = 0; round < rounds; round++) {
        /* A-B-B-A: the roofs come before in even rounds, behind in odd ones. */
        for (int part = 0; part < 2; part++) {
            if ((part == 0) == (round % 2 == 0)) {
                if (!roofs)
                    continue;
                bench_add(&fresh, bench_roof_fresh(bytes) / (double)records);
                bench_add(&resident, bench_roof_resident(bytes, BENCH_PIECE) / (double)records);
                bench_add(&resident16, bench_roof_resident(bytes, 16384) / (double)records);
                bench_add(&copy, bench_roof_memcpy(bytes) / (double)records);
                bench_add(&sync, bench_roof_sync((int)sends) / 1000);
                continue;
            }
            for (int w = 0; w < WAYS; w++)
                if (strstr(ways[w].name, only) != NULL)
                    produce(&ways[w]);
            if (*only == 0) {
                bench_add(&send_one, send_each("1") / 1000);
                bench_add(&send_all, send_each("all") / 1000);
            }
        }
    }
    printf("%ld records of %ld bytes, %ld partitions, %ld rounds: median (least .. most)\n",
           records, value_bytes, partitions, rounds);
    bench_print(&copy, "ns/record", NULL, NULL);
    bench_print(&resident, "ns/record", NULL, NULL);
    bench_print(&resident16, "ns/record", NULL, NULL);
    bench_print(&fresh, "ns/record", NULL, NULL);
    for (int w = 0; w < WAYS; w++) {
        if (ways[w].ns.count == 0)
            continue;
        ways[w].ns.name = ways[w].name;
        ways[w].own.name = "  of it in produce()";
        ways[w].cpu.name = "  processor time";
        /* Ready pages stand beside writes of the same size, which is batch.size. */
        bench_print(&ways[w].ns, "ns/record", ways[w].ready ? &resident16 : &fresh,
                    ways[w].ready ? "pwrite, resident, 16 KiB" : "write, fresh");
        bench_print(&ways[w].own, "ns/record", &resident, "pwrite, resident, 1 MiB");
        bench_print(&ways[w].cpu, "ns/record", NULL, NULL);
    }
    printf("%-34s %10.2f bytes/record\n", "stored", ways[0].stored / (double)records);
    bench_print(&sync, "us each", NULL, NULL);
    bench_print(&send_one, "us each", NULL, NULL);
    bench_print(&send_all, "us each", &sync, "pwrite + fdatasync");
    bench_end();
    return 0;
}
