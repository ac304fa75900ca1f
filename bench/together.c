/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/together.c - what becomes of speed when work is shared.
 *
 *     together [--dir DIR] [--records N] [--value BYTES] [--threads N] [--rounds N] [--pin 1]
 *
 *   many threads with one producer into one partition       beside one thread
 *   two processes into one partition, and into one each      beside one process
 *   a group of two processes reading                         beside a group of one
 *     and processes that only map the same files and add them up: what the memory allows
 *
 * acks=1. The same number of records in all; two of anything can at best take half the time, and
 * only where there are two processors. --pin 1 gives each process a processor of its own.
 */
#include "bench.h"

#include <glob.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { THREADS_MAX = 256, PROCESSES_MAX = 16, PARTITIONS = 8 };

static long records, value_bytes, threads, pin;

/* Between the processes. */
static struct line {
    atomic_long ready, go, taken;
} *line;

static void begin_line(void)
{
    atomic_store(&line->ready, 0);
    atomic_store(&line->go, 0);
    atomic_store(&line->taken, 0);
}

static void await(atomic_long *word, long value)
{
    while (atomic_load(word) < value)
        (void)usleep(50);
}

static void ready(void)
{
    atomic_fetch_add(&line->ready, 1);
    await(&line->go, 1);
}

static void stay_on(int number)
{
    cpu_set_t set;
    if (!pin)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)(number % sysconf(_SC_NPROCESSORS_ONLN)), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_die("sched_setaffinity");
}

/* Runs so many processes, lets them go together once all are ready; ns until the last has ended its
 * work. */
static double processes(int count, void work(int number, int count))
{
    pid_t children[PROCESSES_MAX];
    begin_line();
    (void)fflush(NULL);
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            stay_on(i);
            work(i, count);
            _exit(0);
        }
    }
    await(&line->ready, count);
    double began = bench_now();
    atomic_store(&line->go, 1);
    await(&line->ready, 2 * count); /* each says so once more */
    double took = bench_now() - began;
    for (int i = 0; i < count; i++) {
        int status;
        if (waitpid(children[i], &status, 0) != children[i] || status != 0)
            bench_die("a process failed");
    }
    return took / (double)records;
}

static struct kaja_store *open_store(void)
{
    struct kaja_store *store;
    bench_ok(kaja_store_open(bench_path("store"), NULL, &store), "open");
    return store;
}

static struct kaja_store *create(void)
{
    struct kaja_store *store = open_store();
    bench_ok(kaja_admin_create_topic(store, "bench", PARTITIONS, NULL), "create");
    return store;
}

static struct kaja_producer *open_producer(struct kaja_store *store)
{
    struct kaja_conf *conf;
    struct kaja_producer *producer;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "acks", "1"), "conf");
    bench_ok(kaja_producer_open(store, conf, &producer), "producer");
    kaja_conf_free(conf);
    return producer;
}

static void produce(struct kaja_producer *producer, long count, int32_t first, int32_t partitions)
{
    char *value = calloc(1, (size_t)value_bytes + 1);
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "bench";
    record.value = value;
    record.value_bytes = (size_t)value_bytes;
    for (long i = 0; i < count; i++) {
        record.partition = first + (int32_t)(i % partitions);
        int err = kaja_producer_produce(producer, &record, NULL, NULL);
        if (err != 0)
            bench_ok(err, "produce");
    }
    free(value);
}

/* Every record is there; then the directory goes. */
static void read_back(void)
{
    struct kaja_store *store = open_store();
    int64_t sum = 0;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct kaja_partition_info info;
        bench_ok(kaja_admin_partition(store, "bench", i, &info), "partition");
        sum += info.end_offset;
    }
    if (sum < records) {
        fprintf(stderr, "%lld records arrived instead of %ld\n", (long long)sum, records);
        exit(1);
    }
    bench_ok(kaja_store_close(store), "close");
    bench_remove("store");
}

/* --- threads with one producer --- */

static struct kaja_producer *shared;
static long thread_count;
static pthread_barrier_t barrier;

static void *produce_share(void *arg)
{
    (void)arg;
    (void)pthread_barrier_wait(&barrier);
    produce(shared, records / thread_count, 0, 1);
    return NULL;
}

static double with_threads(long count)
{
    pthread_t ids[THREADS_MAX];
    struct kaja_store *store = create();
    shared = open_producer(store);
    thread_count = count;
    produce(shared, 1000, 0, 1);
    bench_ok(kaja_producer_flush(shared, -1), "flush");
    (void)pthread_barrier_init(&barrier, NULL, (unsigned)count + 1);
    for (long i = 0; i < count; i++)
        if (pthread_create(&ids[i], NULL, produce_share, NULL) != 0)
            bench_die("thread");
    (void)pthread_barrier_wait(&barrier);
    double began = bench_now();
    for (long i = 0; i < count; i++)
        (void)pthread_join(ids[i], NULL);
    bench_ok(kaja_producer_flush(shared, -1), "flush");
    double took = bench_now() - began;
    (void)pthread_barrier_destroy(&barrier);
    bench_ok(kaja_producer_close(shared, -1), "close");
    bench_ok(kaja_store_close(store), "close");
    read_back();
    return took / (double)(records / count * count);
}

/* --- processes that produce --- */

static int own_partition;

static void produce_process(int number, int count)
{
    struct kaja_store *store = open_store();
    struct kaja_producer *producer = open_producer(store);
    int32_t partition = own_partition ? number : 0;
    produce(producer, 1000, partition, 1);
    bench_ok(kaja_producer_flush(producer, -1), "flush");
    ready();
    produce(producer, records / count, partition, 1);
    bench_ok(kaja_producer_flush(producer, -1), "flush");
    atomic_fetch_add(&line->ready, 1);
    bench_ok(kaja_producer_close(producer, -1), "close");
    bench_ok(kaja_store_close(store), "close");
}

static double with_producers(int count, int apart)
{
    bench_ok(kaja_store_close(create()), "close");
    own_partition = apart;
    double ns = processes(count, produce_process);
    read_back();
    return ns;
}

/* --- processes that read --- */

static uint64_t touched;

/* Polls; how many records came. */
static long take(struct kaja_consumer *consumer, int64_t timeout_ms)
{
    struct kaja_batch *batch;
    struct kaja_record_view record;
    bench_ok(kaja_consumer_poll(consumer, timeout_ms, &batch), "poll");
    while (kaja_batch_next(batch, &record)) {
        const uint8_t *value = record.value;
        if (record.value_bytes > 0)
            touched += value[0] + value[record.value_bytes - 1];
    }
    long count = (long)kaja_batch_count(batch);
    kaja_batch_release(batch);
    return count;
}

static void read_process(int number, int count)
{
    const char *topic = "bench";
    struct kaja_topic_partition one;
    struct kaja_conf *conf;
    struct kaja_consumer *consumer;
    struct kaja_store *store = open_store();
    (void)number;
    bench_ok(kaja_conf_new(&conf), "conf");
    bench_ok(kaja_conf_set(conf, "group.id", count == 1 ? "one" : "two"), "conf");
    bench_ok(kaja_conf_set(conf, "auto.offset.reset", "latest"), "conf");
    bench_ok(kaja_conf_set(conf, "enable.auto.commit", "false"), "conf");
    bench_ok(kaja_consumer_open(store, conf, &consumer), "consumer");
    kaja_conf_free(conf);
    bench_ok(kaja_consumer_subscribe(consumer, &topic, 1, NULL), "subscribe");
    /* Standing at the end until everybody has his share. */
    while (kaja_consumer_assignment(consumer, &one, 1) != PARTITIONS / (size_t)count)
        (void)take(consumer, 1);
    for (int i = 0; i < 20; i++)
        (void)take(consumer, 1);
    ready();
    bench_ok(kaja_consumer_seek_to_beginning(consumer, NULL, 0), "seek");
    while (atomic_load(&line->taken) < records)
        atomic_fetch_add(&line->taken, take(consumer, 1));
    atomic_fetch_add(&line->ready, 1);
    bench_ok(kaja_consumer_close(consumer, -1), "close");
    bench_ok(kaja_store_close(store), "close");
}

/* The roof of both: the same files, mapped anew and added up word by word, and nothing else. */
static void touch_process(int number, int count)
{
    char pattern[800];
    ready();
    for (int p = number; p < PARTITIONS; p += count) {
        glob_t found;
        (void)snprintf(pattern, sizeof pattern, "%s/bench-%d/*.log", bench_path("store"), p);
        if (glob(pattern, 0, NULL, &found) != 0)
            bench_die("glob");
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct stat st;
            int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
            if (fd < 0 || fstat(fd, &st) != 0)
                bench_die(found.gl_pathv[i]);
            size_t words = (size_t)st.st_size / sizeof(uint64_t);
            if (words > 0) {
                const uint64_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
                if (at == MAP_FAILED)
                    bench_die("mmap");
                for (size_t k = 0; k < words; k++)
                    touched += at[k];
                (void)munmap((void *)(uintptr_t)at, (size_t)st.st_size);
            }
            (void)close(fd);
        }
        globfree(&found);
    }
    atomic_fetch_add(&line->ready, 1);
}

static void fill(void)
{
    struct kaja_store *store = create();
    struct kaja_producer *producer = open_producer(store);
    produce(producer, records, 0, PARTITIONS);
    bench_ok(kaja_producer_close(producer, -1), "close");
    bench_ok(kaja_store_close(store), "close");
}

int main(int argc, char **argv)
{
    records = bench_number(argc, argv, "--records", 2000000);
    value_bytes = bench_number(argc, argv, "--value", 100);
    threads = bench_number(argc, argv, "--threads", 64);
    pin = bench_number(argc, argv, "--pin", 0);
    long rounds = bench_number(argc, argv, "--rounds", 5);
    const char *only = bench_text(argc, argv, "--only", ""); /* threads, processes, group */
    if (threads < 1 || threads > THREADS_MAX || records < threads)
        return 2;
    bench_begin(bench_text(argc, argv, "--dir", "."));
    bench_need(4.0 * (double)records * (double)(value_bytes + 10) + 1e9);
    line = mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (line == MAP_FAILED)
        bench_die("mmap");
    struct bench_figure fresh = {.name = "roof: write, fresh file, 1 MiB"};
    struct bench_figure one_thread = {.name = "one thread"};
    struct bench_figure many_threads = {.name = "all threads, one producer"};
    struct bench_figure alone = {.name = "one process writes"};
    struct bench_figure same = {.name = "two, into one partition"};
    struct bench_figure apart = {.name = "two, each its own partition"};
    struct bench_figure one = {.name = "a group of one process reads"};
    struct bench_figure two = {.name = "a group of two"};
    struct bench_figure touch_one = {.name = "roof: one process adds the bytes up"};
    struct bench_figure touch_two = {.name = "roof: two processes do"};
    for (long round = 0; round < rounds; round++) {
        bench_add(&fresh, bench_roof_fresh((size_t)records * (size_t)(value_bytes + 10)) /
                              (double)records);
        bool even = round % 2 == 0; /* A-B-B-A */
        for (int part = 0; part < 2 && strstr("threads", only) != NULL; part++) {
            bool first = (part == 0) == even;
            bench_add(first ? &one_thread : &many_threads, with_threads(first ? 1 : threads));
        }
        for (int part = 0; part < 3 && strstr("processes", only) != NULL; part++) {
            int way = even ? part : 2 - part;
            bench_add(way == 0 ? &alone : way == 1 ? &same : &apart,
                      with_producers(way == 0 ? 1 : 2, way == 2));
        }
        if (strstr("group", only) != NULL) {
            fill();
            for (int part = 0; part < 2; part++) {
                bool first = (part == 0) == even;
                bench_add(first ? &one : &two, processes(first ? 1 : 2, read_process));
                bench_add(first ? &touch_one : &touch_two,
                          processes(first ? 1 : 2, touch_process));
            }
            read_back();
        }
    }
    printf("%ld records of %ld bytes, acks=1, %ld threads, %ld rounds: median (least .. most)\n",
           records, value_bytes, threads, rounds);
    bench_print(&fresh, "ns/record", NULL, NULL);
    bench_print(&one_thread, "ns/record", &fresh, "write, fresh");
    bench_print(&many_threads, "ns/record", &one_thread, "one thread");
    bench_print(&alone, "ns/record", &fresh, "write, fresh");
    bench_print(&same, "ns/record", &alone, "one process");
    bench_print(&apart, "ns/record", &alone, "one process");
    bench_print(&one, "ns/record", NULL, NULL);
    bench_print(&two, "ns/record", &one, "a group of one");
    bench_print(&touch_one, "ns/record", NULL, NULL);
    bench_print(&touch_two, "ns/record", &touch_one, "one that adds up");
    bench_end();
    return 0;
}
