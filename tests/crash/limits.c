/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/limits.c - figures that may not be passed, and work within narrow limits:
 *
 *     limits idle [PARTITIONS]     resident memory, open files and opening of idle partitions
 *     limits many [PARTITIONS]     partitions made, produced to and consumed under 1,024
 * descriptors limits allocs [RECORDS]      calls of the allocator for each record produced and
 * consumed limits produce DIR RECORDS   only produces, to be watched by a tracer limits consume DIR
 * RECORDS   only consumes
 */
#include "crash.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char topic[] = "limits";
static char dir[128];

/* --- counting allocations: this program's functions stand in front of the C library's -----------
 */

static _Atomic uint64_t alloc_calls;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KJ_COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KJ_COUNTED 0
#endif
#endif
#ifndef KJ_COUNTED
#define KJ_COUNTED 1

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);

/* dlsym() itself may allocate before the next functions are known. */
static _Alignas(16) char early[65536];
static size_t early_used;

static void *early_alloc(size_t bytes)
{
    void *p = early + early_used;
    early_used += (bytes + 15) / 16 * 16;
    if (early_used > sizeof early)
        abort();
    return p;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void find_next(void)
{
    static bool finding;
    if (finding)
        return;
    finding = true;
    *(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
}

void *malloc(size_t bytes)
{
    if (next_malloc == NULL)
        find_next();
    alloc_calls++;
    return next_malloc != NULL ? next_malloc(bytes) : early_alloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    if (next_malloc == NULL)
        find_next();
    alloc_calls++;
    return next_malloc != NULL ? next_calloc(count, bytes) : early_alloc(count * bytes);
}

void *realloc(void *p, size_t bytes)
{
    if (next_malloc == NULL)
        find_next();
    alloc_calls++;
    if (p != NULL && is_early(p)) {
        void *q = malloc(bytes);
        size_t room = (size_t)(early + sizeof early - (char *)p);
        if (q != NULL)
            memcpy(q, p, bytes < room ? bytes : room);
        return q;
    }
    return next_realloc != NULL ? next_realloc(p, bytes) : early_alloc(bytes);
}

void free(void *p)
{
    static void (*next_free)(void *);
    if (p == NULL || is_early(p))
        return;
    if (next_free == NULL)
        *(void **)&next_free = dlsym(RTLD_NEXT, "free");
    next_free(p);
}
#endif

/* --- the process ----------------------------------------------------------------------------- */

static double resident_mib(void)
{
    char line[200];
    double kib = -1;
    FILE *f = fopen("/proc/self/status", "re");
    CHECK(f != NULL, "/proc/self/status: %s", strerror(errno));
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtod(line + 6, NULL);
    (void)fclose(f);
    return kib / 1024;
}

static int open_files(void)
{
    int count = -1; /* the directory itself */
    DIR *d = opendir("/proc/self/fd");
    CHECK(d != NULL, "/proc/self/fd: %s", strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        count += e->d_name[0] != '.';
    (void)closedir(d);
    return count;
}

static int maps(void)
{
    int c, count = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    CHECK(f != NULL, "/proc/self/maps: %s", strerror(errno));
    while ((c = getc(f)) != EOF)
        count += c == '\n';
    (void)fclose(f);
    return count;
}

static double since_ms(int64_t begun_ns)
{
    return (double)(now_ns() - begun_ns) / 1e6;
}

/* --- partitions ------------------------------------------------------------------------------ */

static int32_t partitions;
static struct kaja_topic_partition *every;

static void count_ack(void *arg, int error, const struct kaja_metadata *metadata)
{
    (void)arg;
    CHECK(error == 0, "delivery to %d: %s (%s)", (int)metadata->partition, kaja_error_name(error),
          kaja_error_detail());
}

static void produce_to_each(struct kaja_store *store, const char *acks)
{
    struct kaja_producer *producer = open_producer(store, conf("acks", acks, NULL));
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        record.topic = topic;
        record.partition = i;
        record.value = &i;
        record.value_bytes = sizeof i;
        MUST(kaja_producer_produce(producer, &record, count_ack, NULL));
        if (i % 100 == 99)
            MUST(kaja_producer_poll(producer, 0, NULL));
    }
    MUST(kaja_producer_flush(producer, 60000));
    MUST(kaja_producer_close(producer, 60000));
}

static struct kaja_consumer *assign_each(struct kaja_store *store)
{
    struct kaja_consumer *consumer = open_consumer(
        store, conf("auto.offset.reset", "earliest", "max.poll.records", "5000", NULL));
    MUST(kaja_consumer_assign(consumer, every, (size_t)partitions));
    return consumer;
}

/* Each partition's record, wanted times. */
static void consume_each(struct kaja_consumer *consumer, int64_t wanted)
{
    int64_t count = 0, until_ns = now_ns() + 60000 * MS_NS;
    while (count < wanted * partitions) {
        struct kaja_batch *batch;
        struct kaja_record_view r;
        MUST(kaja_consumer_poll(consumer, 100, &batch));
        while (kaja_batch_next(batch, &r)) {
            int32_t value = -1;
            if (r.value_bytes == sizeof value)
                memcpy(&value, r.value, sizeof value);
            CHECK(value == r.partition, "partition %d holds the record of %d", (int)r.partition,
                  (int)value);
            count++;
        }
        kaja_batch_release(batch);
        CHECK(now_ns() < until_ns, "%lld records instead of %lld", (long long)count,
              (long long)(wanted * partitions));
    }
}

static void fill(void *arg)
{
    (void)arg;
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, partitions, NULL);
    produce_to_each(store, "1");
    MUST(kaja_store_close(store));
}

struct idle {
    double empty_mib; /* a handle on an empty directory */
    double open_ms, opened_mib, used_mib, close_ms;
    int opened_files, loaded_files, used_files;
};

static void measure_empty(void *arg)
{
    struct idle *idle = arg;
    char path[160];
    (void)snprintf(path, sizeof path, "%s.empty", dir);
    struct kaja_store *store = open_store(path, NULL);
    idle->empty_mib = resident_mib();
    MUST(kaja_store_close(store));
}

static void measure_idle(void *arg)
{
    struct idle *idle = arg;
    int64_t begun_ns = now_ns();
    struct kaja_store *store = open_store(dir, NULL);
    idle->open_ms = since_ms(begun_ns);
    idle->opened_mib = resident_mib();
    idle->opened_files = open_files();
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_partition_info info;
        MUST(kaja_admin_partition(store, topic, i, &info));
    }
    idle->loaded_files = open_files();
    struct kaja_consumer *consumer = assign_each(store);
    consume_each(consumer, 1);
    idle->used_mib = resident_mib();
    idle->used_files = open_files();
    MUST(kaja_consumer_close(consumer, 30000));
    begun_ns = now_ns();
    MUST(kaja_store_close(store));
    idle->close_ms = since_ms(begun_ns);
}

static int by_open(const void *a, const void *b)
{
    double x = ((const struct idle *)a)->open_ms, y = ((const struct idle *)b)->open_ms;
    return (x > y) - (x < y);
}

/* The median of the openings; memory and files may never be more. */
static void idle(void)
{
    enum { TIMES = 5 };
    struct idle *all = share(TIMES * sizeof *all);
    child_wait(child_start(fill, NULL));
    for (int i = 0; i < TIMES; i++) {
        child_wait(child_start(measure_empty, &all[i]));
        child_wait(child_start(measure_idle, &all[i]));
        printf(
            "%d partitions after a clean stop: opened in %.1f ms, %.1f MiB resident, %d files; "
            "asked for each one's offsets: %d files; each read once: %.1f MiB, %d files; an empty "
            "directory: %.1f MiB; closed in %.1f ms\n",
            (int)partitions, all[i].open_ms, all[i].opened_mib, all[i].opened_files,
            all[i].loaded_files, all[i].used_mib, all[i].used_files, all[i].empty_mib,
            all[i].close_ms);
        CHECK(slow_build() || all[i].used_mib < 16, "16 MiB or more");
        CHECK(all[i].opened_files < 64, "64 or more files");
    }
    qsort(all, TIMES, sizeof *all, by_open);
    printf("opening: median %.1f ms, %.1f to %.1f\n", all[TIMES / 2].open_ms, all[0].open_ms,
           all[TIMES - 1].open_ms);
    CHECK(all[TIMES / 2].open_ms < (slow_build() ? 1000 : 100), "opening takes 100 ms or more");
    share_free(all, TIMES * sizeof *all);
}

static void many(void *arg)
{
    const struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
    (void)arg;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit: %s", strerror(errno));
    int64_t begun_ns = now_ns();
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    make_topic(store, topic, partitions, NULL);
    printf("%d partitions made in %.0f ms\n", (int)partitions, since_ms(begun_ns));
    begun_ns = now_ns();
    produce_to_each(store, "1");
    printf("a record to each, acks=1, in %.0f ms\n", since_ms(begun_ns));
    begun_ns = now_ns();
    produce_to_each(store, "all");
    printf("another one, acks=all, in %.0f ms\n", since_ms(begun_ns));
    struct kaja_consumer *consumer = assign_each(store);
    begun_ns = now_ns();
    consume_each(consumer, 2);
    printf("all consumed in %.0f ms; %d files, %d maps, %.1f MiB resident\n", since_ms(begun_ns),
           open_files(), maps(), resident_mib());
    CHECK(open_files() <= 1024, "more than 1,024 files");
    MUST(kaja_consumer_close(consumer, 30000));
    begun_ns = now_ns();
    MUST(kaja_store_close(store));
    printf("closed in %.0f ms\n", since_ms(begun_ns));
    begun_ns = now_ns();
    store = open_store(dir, NULL);
    printf("opened in %.0f ms\n", since_ms(begun_ns));
    consumer = assign_each(store);
    consume_each(consumer, 2);
    MUST(kaja_consumer_close(consumer, 30000));
    MUST(kaja_store_close(store));
}

/* --- many records ---------------------------------------------------------------------------- */

static void produce_many(struct kaja_store *store, long count)
{
    uint8_t value[100] = {0};
    struct kaja_producer *producer = open_producer(store, conf("acks", "1", NULL));
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.value = value;
    record.value_bytes = sizeof value;
    for (long i = 0; i < count; i++) {
        memcpy(value, &i, sizeof i);
        record.key = &i;
        record.key_bytes = 4;
        MUST(kaja_producer_produce(producer, &record, count_ack, NULL));
        if (i % 1000 == 999)
            MUST(kaja_producer_poll(producer, 0, NULL));
    }
    MUST(kaja_producer_flush(producer, 60000));
    MUST(kaja_producer_close(producer, 60000));
}

static void consume_many(struct kaja_store *store, long count)
{
    struct kaja_consumer *consumer = open_consumer(
        store, conf("auto.offset.reset", "earliest", "max.poll.records", "5000", NULL));
    MUST(kaja_consumer_assign(consumer, every, (size_t)partitions));
    long seen = 0;
    while (seen < count) {
        struct kaja_batch *batch;
        struct kaja_record_view r;
        MUST(kaja_consumer_poll(consumer, 1000, &batch));
        CHECK(kaja_batch_count(batch) > 0, "%ld of %ld records", seen, count);
        while (kaja_batch_next(batch, &r))
            seen++;
        kaja_batch_release(batch);
    }
    MUST(kaja_consumer_close(consumer, 30000));
}

static void allocs(long count)
{
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, partitions, NULL);
    produce_many(store, 1000); /* what is made once */
    uint64_t before = alloc_calls;
    int64_t begun_ns = now_ns();
    produce_many(store, count);
    uint64_t produced = alloc_calls - before;
    printf("%ld records produced in %.0f ms with %llu allocations: 1 for %.0f records\n", count,
           since_ms(begun_ns), (unsigned long long)produced,
           (double)count / (double)(produced + 1));
    before = alloc_calls;
    begun_ns = now_ns();
    consume_many(store, count + 1000);
    uint64_t consumed = alloc_calls - before;
    printf("%ld records consumed in %.0f ms with %llu allocations: 1 for %.0f records\n",
           count + 1000, since_ms(begun_ns), (unsigned long long)consumed,
           (double)count / (double)(consumed + 1));
    MUST(kaja_store_close(store));
#if KJ_COUNTED
    CHECK(produced > 0 && consumed > 0, "the allocations were not counted");
    /* 16 KiB hold some 140 of these records: two allocations a batch are the most. */
    CHECK(produced < (uint64_t)count / 70, "more than one allocation for 70 records produced");
    CHECK(consumed < (uint64_t)count / 1000, "more than one allocation for 1,000 records consumed");
#else
    printf("allocations are not counted in this build\n");
#endif
}

static void list_partitions(int32_t count)
{
    partitions = count;
    every = calloc((size_t)count, sizeof *every);
    CHECK(every != NULL, "no memory");
    for (int32_t i = 0; i < count; i++)
        every[i] = (struct kaja_topic_partition){.topic = topic, .partition = i};
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bool traced = strcmp(what, "produce") == 0 || strcmp(what, "consume") == 0;
    if (argc < (traced ? 4 : 2)) {
        fprintf(stderr,
                "usage: limits idle|many|allocs [NUMBER], limits produce|consume DIR RECORDS\n");
        return 2;
    }
    const char *number = argc > (traced ? 3 : 2) ? argv[traced ? 3 : 2] : NULL;
    if (traced) {
        struct kaja_store *store = open_store(argv[2], NULL);
        list_partitions(8);
        make_topic(store, topic, partitions, NULL);
        if (what[0] == 'p')
            produce_many(store, strtol(number, NULL, 10));
        else
            consume_many(store, strtol(number, NULL, 10));
        MUST(kaja_store_close(store));
        free(every);
        return 0;
    }
    (void)begin(300);
    dir_new(dir);
    if (strcmp(what, "idle") == 0) {
        list_partitions(number != NULL ? (int32_t)strtol(number, NULL, 10) : 1000);
        idle();
    } else if (strcmp(what, "many") == 0) {
        list_partitions(number != NULL ? (int32_t)strtol(number, NULL, 10) : 10000);
        child_wait(child_start(many, NULL));
    } else if (strcmp(what, "allocs") == 0) {
        list_partitions(8);
        allocs(number != NULL ? strtol(number, NULL, 10) : 1000000);
    } else {
        die("no such test: %s", what);
    }
    free(every);
    dir_free(dir);
    return 0;
}
