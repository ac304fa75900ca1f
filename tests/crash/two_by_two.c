/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/two_by_two.c - two producing and two consuming processes over one topic: consumers
 * see every record once, in offset order, woken and not polling.
 *
 *     two_by_two [SECONDS]       KJ_SEED=... repeats the choices
 *
 * Time goes in turns: producers run; then they pause, and the processor time and context switches
 * of the waiting consumers are counted; then single records are sent to consumers that sleep, and
 * the time from acknowledgement to arrival is taken.
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PRODUCERS = 2,
    CONSUMERS = 2,
    PARTITIONS = 4,
    PINGS = 50, /* in each turn */
    PINGS_MAX = 100 * PINGS,
    PING_WORKER = 1000
};
static const char topic[] = "both";

enum phase { RUN, PAUSE, END };

static struct shared {
    _Atomic int phase;
    _Atomic int pausing;    /* producers that have nothing on the way */
    _Atomic uint64_t acked; /* records */
    _Atomic uint32_t pings;
    _Atomic int64_t ping_acked_ns[PINGS_MAX], ping_seen_ns[CONSUMERS][PINGS_MAX];
    _Atomic uint64_t seen[CONSUMERS], ends;
} * shared;
static char dir[128];
static uint64_t run;

/* --- producing --- */

static void count_ack(void *arg, int error, const struct kaja_metadata *metadata)
{
    (void)arg;
    (void)metadata;
    CHECK(error == 0, "delivery: %s (%s)", kaja_error_name(error), kaja_error_detail());
    shared->acked++;
}

static void produce_one(struct kaja_producer *producer, uint32_t worker, uint32_t seq,
                        struct rng *rng)
{
    uint8_t value[200];
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.partition = (int32_t)rng_below(rng, PARTITIONS);
    record.value = value;
    record.value_bytes = value_make(
        value, VALUE_BYTES_MIN + rng_below(rng, sizeof value - VALUE_BYTES_MIN), run, worker, seq);
    MUST(kaja_producer_produce(producer, &record, count_ack, NULL));
}

static void producer_run(void *arg)
{
    uint32_t worker = *(const uint32_t *)arg, seq = 0;
    struct rng rng = {run + worker};
    role("producer %u", worker);
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_producer *producer =
        open_producer(store, conf("acks", worker == 0 ? "1" : "all", NULL));
    while (shared->phase != END) {
        if (shared->phase == PAUSE) {
            MUST(kaja_producer_flush(producer, 30000));
            shared->pausing++;
            while (shared->phase == PAUSE)
                nap_us(1000);
            continue;
        }
        for (uint32_t n = rng_below(&rng, 200) + 1; n > 0; n--)
            produce_one(producer, worker, seq++, &rng);
        MUST(kaja_producer_poll(producer, 0, NULL));
        nap_us(rng_below(&rng, 8000));
    }
    MUST(kaja_producer_close(producer, 30000));
    MUST(kaja_store_close(store));
}

/* One at a time, so that the consumers sleep again in between. */
static void send_pings(struct kaja_producer *producer, struct rng *rng)
{
    for (int i = 0; i < PINGS && shared->pings < PINGS_MAX; i++) {
        uint8_t value[VALUE_BYTES_MIN];
        struct kaja_record record = KAJA_RECORD_INIT;
        struct kaja_metadata metadata;
        uint32_t ping = shared->pings;
        record.topic = topic;
        record.partition = (int32_t)rng_below(rng, PARTITIONS);
        record.value = value;
        record.value_bytes = value_make(value, sizeof value, run, PING_WORKER, ping);
        MUST(kaja_producer_send(producer, &record, 30000, &metadata));
        shared->ping_acked_ns[ping] = now_ns();
        shared->acked++;
        shared->pings = ping + 1;
        nap_us(1000 + rng_below(rng, 1000));
    }
}

/* --- consuming --- */

struct reader {
    int number;
    int64_t next[PARTITIONS];
    uint32_t next_seq[PRODUCERS + 1][PARTITIONS];
};

static void see(struct reader *reader, const struct kaja_record_view *r, int64_t now)
{
    uint32_t worker, seq;
    CHECK(r->offset == reader->next[r->partition], "partition %d: offset %lld instead of %lld",
          (int)r->partition, (long long)r->offset, (long long)reader->next[r->partition]);
    reader->next[r->partition]++;
    CHECK(value_parse(r->value, r->value_bytes, run, &worker, &seq),
          "partition %d, offset %lld: not sent", (int)r->partition, (long long)r->offset);
    uint32_t *next_seq = &reader->next_seq[worker < PRODUCERS ? worker : PRODUCERS][r->partition];
    CHECK(seq >= *next_seq, "partition %d, offset %lld: out of the producer's order",
          (int)r->partition, (long long)r->offset);
    *next_seq = seq + 1;
    if (worker == PING_WORKER)
        shared->ping_seen_ns[reader->number][seq] = now;
    shared->seen[reader->number]++;
}

static void consumer_run(void *arg)
{
    struct reader reader = {.number = *(const int *)arg};
    struct kaja_topic_partition assigned[PARTITIONS];
    role("consumer %d", reader.number);
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_consumer *consumer = open_consumer(
        store, conf("auto.offset.reset", "earliest", "max.poll.records", "2000", NULL));
    for (int i = 0; i < PARTITIONS; i++)
        assigned[i] = (struct kaja_topic_partition){.topic = topic, .partition = i};
    MUST(kaja_consumer_assign(consumer, assigned, PARTITIONS));
    /* The end is known once producers are gone; one more record then wakes everybody. */
    while (shared->ends == 0 || shared->seen[reader.number] < shared->ends) {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        MUST(kaja_consumer_poll(consumer, 30000, &batch));
        int64_t now = now_ns();
        while (kaja_batch_next(batch, &record))
            see(&reader, &record, now);
        kaja_batch_release(batch);
    }
    MUST(kaja_consumer_close(consumer, 30000));
    MUST(kaja_store_close(store));
}

/* --- measuring --- */

static int64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    CHECK(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0,
          "the processor time of a child");
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* Times that its threads went to sleep. */
static int64_t switches(pid_t pid)
{
    char path[600], line[200];
    int64_t sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    CHECK(d != NULL, "%s: %s", path, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, e->d_name);
        FILE *f = fopen(path, "re");
        if (f == NULL)
            continue;
        while (fgets(line, sizeof line, f) != NULL)
            if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
                sum += strtoll(line + 24, NULL, 10);
        (void)fclose(f);
    }
    (void)closedir(d);
    return sum;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void tell_latency(void)
{
    static int64_t all[CONSUMERS * PINGS_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < shared->pings; i++) {
        for (int c = 0; c < CONSUMERS; c++) {
            int64_t ns = shared->ping_seen_ns[c][i] - shared->ping_acked_ns[i];
            all[count++] = ns > 0 ? ns : 0; /* it may arrive before the sender has returned */
        }
    }
    qsort(all, count, sizeof *all, by_value);
    printf(
        "from acknowledgement to arrival: median %.0f us, 99 of 100 below %.0f us, %zu samples\n",
        (double)all[count / 2] / 1e3, (double)all[count * 99 / 100] / 1e3, count);
    CHECK(all[count / 2] < (slow_build() ? 50 : 5) * MS_NS,
          "half of the records took longer than 5 ms");
}

struct idle {
    double cpu_share, switches_per_s;
};

static void measure_idle(const pid_t *consumers, int64_t pause_us, struct idle *worst)
{
    int64_t cpu[CONSUMERS], count[CONSUMERS];
    nap_us(300000); /* until everything has arrived */
    int64_t begun_ns = now_ns();
    for (int c = 0; c < CONSUMERS; c++) {
        cpu[c] = cpu_ns(consumers[c]);
        count[c] = switches(consumers[c]);
    }
    nap_us(pause_us);
    for (int c = 0; c < CONSUMERS; c++) {
        double ns = (double)(now_ns() - begun_ns),
               share = (double)(cpu_ns(consumers[c]) - cpu[c]) / ns;
        double per_s = (double)(switches(consumers[c]) - count[c]) / (ns / 1e9);
        worst->cpu_share = share > worst->cpu_share ? share : worst->cpu_share;
        worst->switches_per_s = per_s > worst->switches_per_s ? per_s : worst->switches_per_s;
    }
}

static void turn(const pid_t *consumers, struct kaja_producer *producer, struct rng *rng,
                 int64_t run_us, int64_t pause_us, struct idle *worst)
{
    shared->phase = RUN;
    nap_us(run_us);
    shared->pausing = 0;
    shared->phase = PAUSE;
    for (int64_t until = now_ns() + 30000 * MS_NS; shared->pausing < PRODUCERS;) {
        CHECK(now_ns() < until, "the producers do not come to rest");
        nap_us(1000);
    }
    measure_idle(consumers, pause_us, worst);
    send_pings(producer, rng);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 3;
    struct rng rng = {begin(seconds * 3 + 60)};
    struct idle worst = {0, 0};
    uint32_t producer_numbers[PRODUCERS] = {0, 1};
    int consumer_numbers[CONSUMERS] = {0, 1};
    pid_t producers[PRODUCERS], consumers[CONSUMERS];
    run = rng_next(&rng);
    shared = share(sizeof *shared);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, conf("segment.bytes", "4000000", NULL));
    MUST(kaja_store_close(store));
    shared->phase = RUN;
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = child_start(consumer_run, &consumer_numbers[i]);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = child_start(producer_run, &producer_numbers[i]);

    store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_producer *pinger = open_producer(store, conf("acks", "1", NULL));
    int64_t until_ns = now_ns() + (int64_t)seconds * 1000 * MS_NS, begun_ns = now_ns();
    bool shorter = seconds < 10;
    do
        turn(consumers, pinger, &rng, shorter ? 600000 : 5000000, shorter ? 700000 : 1500000,
             &worst);
    while (now_ns() < until_ns);
    shared->phase = END;
    for (int i = 0; i < PRODUCERS; i++)
        child_wait(producers[i]);
    shared->ends = shared->acked + PINGS;
    CHECK(shared->pings + PINGS <= PINGS_MAX, "too many turns");
    send_pings(pinger, &rng); /* wakes the consumers, who now know the end */
    for (int i = 0; i < CONSUMERS; i++)
        child_wait(consumers[i]);
    MUST(kaja_producer_close(pinger, 30000));

    uint64_t ends = 0;
    for (int i = 0; i < PARTITIONS; i++) {
        struct kaja_partition_info info;
        MUST(kaja_admin_partition(store, topic, i, &info));
        ends += (uint64_t)info.end_offset;
    }
    MUST(kaja_store_close(store));
    CHECK(ends == shared->acked, "%llu records acknowledged, %llu there",
          (unsigned long long)shared->acked, (unsigned long long)ends);
    for (int i = 0; i < CONSUMERS; i++)
        CHECK(shared->seen[i] == ends, "consumer %d saw %llu of %llu records", i,
              (unsigned long long)shared->seen[i], (unsigned long long)ends);
    (void)verify_sound(dir);
    printf("%llu records, each seen once by both consumers, %.1f s\n", (unsigned long long)ends,
           (double)(now_ns() - begun_ns) / 1e9);
    tell_latency();
    printf("a waiting consumer: %.2f %% of a processor, %.1f sleeps a second\n",
           worst.cpu_share * 100, worst.switches_per_s);
    CHECK(worst.cpu_share < (slow_build() ? 0.1 : 0.01), "a waiting consumer uses the processor");
    CHECK(worst.switches_per_s < 40, "a waiting consumer polls");
    share_free(shared, sizeof *shared);
    dir_free(dir);
    return 0;
}
