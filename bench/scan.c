/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/scan.c - how fast records come out, beside a scan of the same bytes in memory.
 *
 *     scan [--dir DIR] [--records N] [--value BYTES] [--partitions N] [--rounds N]
 *
 * The log is written once and its pages are resident. Every value's first and last byte is touched.
 */
#include "bench.h"

static long records, value_bytes, partitions;

struct way {
    const char *name;
    const char *crcs;
    const char *poll_records;
    struct bench_figure ns;
};

static struct way ways[] = {
    {.name = "poll + next, CRC checked", .crcs = "true", .poll_records = "500"},
    {.name = "poll + next, no CRC", .crcs = "false", .poll_records = "500"},
    {.name = "poll + next, CRC, 5000 a poll", .crcs = "true", .poll_records = "5000"},
    {.name = "poll + next, CRC, 1 a poll", .crcs = "true", .poll_records = "1"},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void fill(struct kaja_store *store)
{
    struct kaja_conf *conf;
    struct kaja_producer *producer;
    struct kaja_record record = KAJA_RECORD_INIT;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "acks", "1"), "conf");
    bench_ok(kaja_producer_open(store, conf, &producer), "producer");
    kaja_conf_free(conf);
    record.topic = "bench";
    record.value = calloc(1, (size_t)value_bytes + 1);
    record.value_bytes = (size_t)value_bytes;
    for (long i = 0; i < records; i++) {
        record.partition = (int32_t)(i % partitions);
        bench_ok(kaja_producer_produce(producer, &record, NULL, NULL), "produce");
    }
    bench_ok(kaja_producer_close(producer, -1), "close");
}

static uint64_t touched;

static double scan(struct kaja_store *store, const struct way *way)
{
    struct kaja_conf *conf;
    struct kaja_consumer *consumer;
    struct kaja_topic_partition wanted[64];
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "check.crcs", way->crcs), "conf");
    bench_ok(kaja_conf_set(conf, "max.poll.records", way->poll_records), "conf");
    bench_ok(kaja_conf_set(conf, "auto.offset.reset", "earliest"), "conf");
    bench_ok(kaja_consumer_open(store, conf, &consumer), "consumer");
    kaja_conf_free(conf);
    for (int32_t i = 0; i < partitions; i++)
        wanted[i] = (struct kaja_topic_partition){"bench", i, 0};
    bench_ok(kaja_consumer_assign(consumer, wanted, (size_t)partitions), "assign");
    long count = 0;
    double began = bench_now();
    for (;;) {
        struct kaja_batch *batch;
        struct kaja_record_view view;
        bench_ok(kaja_consumer_poll(consumer, 0, &batch), "poll");
        size_t got = kaja_batch_count(batch);
        while (kaja_batch_next(batch, &view)) {
            const unsigned char *value = view.value;
            touched += (uint64_t)value[0] + value[view.value_bytes - 1] + (uint64_t)view.offset;
            count++;
        }
        kaja_batch_release(batch);
        if (got == 0)
            break;
    }
    double took = bench_now() - began;
    if (count != records) {
        fprintf(stderr, "%ld records came instead of %ld\n", count, records);
        exit(1);
    }
    bench_ok(kaja_consumer_close(consumer, -1), "close");
    return took / (double)records;
}

/* Every word of as many bytes, in a mapped file beyond the caches. */
static double scan_roof(size_t bytes)
{
    enum { FILE_BYTES = 256 << 20 };
    static const uint64_t *map;
    if (map == NULL) {
        int fd = open(bench_path("map"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        static char piece[BENCH_PIECE];
        for (off_t at = 0; at < FILE_BYTES; at += BENCH_PIECE)
            if (fd < 0 || pwrite(fd, piece, BENCH_PIECE, at) != BENCH_PIECE)
                bench_die("map");
        void *p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (p == MAP_FAILED)
            bench_die("mmap");
        map = p;
        close(fd);
    }
    double began = bench_now();
    uint64_t sum[4] = {0};
    size_t at = 0;
    for (size_t i = 0; i < bytes / 32; i++) {
        for (size_t k = 0; k < 4; k++)
            sum[k] += map[at + k];
        at = at + 8 <= FILE_BYTES / 8 ? at + 4 : 0;
    }
    touched += sum[0] + sum[1] + sum[2] + sum[3];
    return bench_now() - began;
}

int main(int argc, char **argv)
{
    records = bench_number(argc, argv, "--records", 4000000);
    value_bytes = bench_number(argc, argv, "--value", 100);
    partitions = bench_number(argc, argv, "--partitions", 1);
    long rounds = bench_number(argc, argv, "--rounds", 5);
    if (partitions < 1 || partitions > 64)
        return 2;
    bench_begin(bench_text(argc, argv, "--dir", "."));
    size_t bytes = (size_t)records * (size_t)(value_bytes + 10);
    bench_need(2.0 * (double)bytes + 1e9);
    struct kaja_store *store;
    bench_ok(kaja_store_open(bench_path("store"), NULL, &store), "open");
    bench_ok(kaja_admin_create_topic(store, "bench", (int32_t)partitions, NULL), "create");
    fill(store);
    struct bench_figure roof = {.name = "roof: sum of the same bytes, mapped"};
    struct bench_figure copy = {.name = "roof: memcpy"};
    for (long round = 0; round < rounds; round++)
        for (int part = 0; part < 2; part++) {
            if ((part == 0) == (round % 2 == 0)) {
                bench_add(&roof, scan_roof(bytes) / (double)records);
                bench_add(&copy, bench_roof_memcpy(bytes) / (double)records);
                continue;
            }
            for (int w = 0; w < WAYS; w++)
                bench_add(&ways[w].ns, scan(store, &ways[w]));
        }
    printf("%ld records of %ld bytes, %ld partitions, %ld rounds: median (least .. most)\n",
           records, value_bytes, partitions, rounds);
    bench_print(&roof, "ns/record", NULL, NULL);
    bench_print(&copy, "ns/record", NULL, NULL);
    for (int w = 0; w < WAYS; w++) {
        ways[w].ns.name = ways[w].name;
        bench_print(&ways[w].ns, "ns/record", &roof, "sum");
    }
    bench_ok(kaja_store_close(store), "close");
    bench_end();
    return touched == 1; /* so that nothing is optimised away */
}
