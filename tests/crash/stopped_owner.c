/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/stopped_owner.c - a process is stopped (SIGSTOP) at random moments; where it held the
 * append lock of a partition, others get LOCK_TIMED_OUT, which is retriable and names it. Other
 * partitions go on, and after SIGCONT so does this one; what was refused did not slip in.
 *
 *     stopped_owner [HITS]       KJ_SEED=... repeats the choices
 */
#include "crash.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PARTITIONS = 2, OWNER = 0, OTHER = 1, WORKERS = 2, ROOM = 100000, TRIES = 600 };
static const char topic[] = "stopped";

static char dir[128];
static uint64_t run;
static struct worker *workers;

static void count_ack(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct entry *entry = arg;
    CHECK(error == 0, "delivery: %s (%s)", kaja_error_name(error), kaja_error_detail());
    entry->partition = metadata->partition;
    entry->offset = metadata->offset;
    entry->state = ENTRY_ACKED;
}

/* Long writes, so that most of the time passes under the lock. */
static void owner(void *arg)
{
    static uint8_t value[VALUE_BYTES_MAX];
    struct worker *worker = &workers[OWNER];
    (void)arg;
    role("owner");
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_producer *producer =
        open_producer(store, conf("acks", "1", "batch.size", "1000000", NULL));
    for (;;) {
        for (int i = 0; i < 100 && worker->sent < worker->room; i++) {
            struct kaja_record record = KAJA_RECORD_INIT;
            uint32_t seq = worker->sent;
            record.topic = topic;
            record.partition = 0;
            record.value = value;
            record.value_bytes = value_make(value, sizeof value, run, OWNER, seq);
            worker->entries[seq].state = ENTRY_SENT;
            worker->sent = seq + 1;
            MUST(kaja_producer_produce(producer, &record, count_ack, &worker->entries[seq]));
        }
        MUST(kaja_producer_flush(producer, 60000));
        if (worker->sent == worker->room)
            nap_us(1000);
    }
}

/* One record to a partition; the error of its delivery. */
static int send_to(struct kaja_producer *producer, int32_t partition)
{
    uint8_t value[100];
    struct worker *worker = &workers[OTHER];
    struct kaja_record record = KAJA_RECORD_INIT;
    struct kaja_metadata metadata;
    uint32_t seq = worker->sent;
    CHECK(seq < worker->room, "too many tries");
    record.topic = topic;
    record.partition = partition;
    record.value = value;
    record.value_bytes = value_make(value, sizeof value, run, OTHER, seq);
    worker->entries[seq].state = ENTRY_SENT;
    worker->sent = seq + 1;
    int err = kaja_producer_send(producer, &record, 30000, &metadata);
    if (err == 0) {
        worker->entries[seq].partition = metadata.partition;
        worker->entries[seq].offset = metadata.offset;
        worker->entries[seq].state = ENTRY_ACKED;
    }
    return err;
}

static void stop(pid_t pid)
{
    int status;
    CHECK(kill(pid, SIGSTOP) == 0, "kill: %s", strerror(errno));
    while (waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    CHECK(WIFSTOPPED(status), "the owner has ended");
}

/* Stopped between taking the lock and writing its name, it is not the one whom the error names. */
static unsigned misnamed;

/* True if the stop found the owner holding the lock. */
static bool try_once(struct kaja_producer *producer, pid_t pid)
{
    char number[16];
    stop(pid);
    int64_t begun_ns = now_ns();
    int err = send_to(producer, 0);
    if (err == 0) {
        (void)kill(pid, SIGCONT);
        return false;
    }
    CHECK(err == KAJA_ERR_LOCK_TIMED_OUT, "beside a stopped owner: %s (%s)", kaja_error_name(err),
          kaja_error_detail());
    CHECK(kaja_error_retriable(err), "the error is not retriable");
    (void)snprintf(number, sizeof number, "%d", (int)pid);
    misnamed += strstr(kaja_error_detail(), number) == NULL;
    CHECK(now_ns() - begun_ns < 5000 * MS_NS, "the error took %.0f ms",
          (double)(now_ns() - begun_ns) / 1e6);
    MUST(send_to(producer, 1));
    (void)kill(pid, SIGCONT);
    /* It is not up to us who of the two gets the lock next: a few timeouts are all right. */
    int64_t until_ns = now_ns() + 5000 * MS_NS;
    while ((err = send_to(producer, 0)) == KAJA_ERR_LOCK_TIMED_OUT)
        CHECK(now_ns() < until_ns, "it does not go on after SIGCONT");
    MUST(err);
    return true;
}

/* A record whose delivery failed is not in the log. */
static void check_refused(const struct census *census)
{
    for (int i = 0; i < PARTITIONS; i++) {
        for (size_t k = 0; k < census->columns[i].count; k++) {
            uint64_t id = census->columns[i].ids[k];
            CHECK(id >> 32 != OTHER || workers[OTHER].entries[(uint32_t)id].state == ENTRY_ACKED,
                  "partition %d, offset %zu was refused and is there", i, k);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned wanted = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 5;
    struct rng rng = {begin(120)};
    unsigned hits = 0, tries = 0;
    run = rng_next(&rng);
    workers = workers_new(WORKERS, ROOM);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, NULL);
    MUST(kaja_store_close(store));
    pid_t pid = child_start(owner, NULL);
    while (workers[OWNER].sent < 200)
        nap_us(1000);

    store = open_store(dir, conf("kaja.lock.timeout.ms", "60", NULL));
    struct heard heard = {.stops = true}; /* the owner also flushes what it filled */
    hear(store, &heard);
    struct kaja_producer *producer = open_producer(store, conf("acks", "1", "retries", "0", NULL));
    for (; hits < wanted && tries < TRIES; tries++) {
        nap_us(rng_below(&rng, 2000));
        hits += try_once(producer, pid);
    }
    MUST(kaja_producer_close(producer, 30000));
    MUST(kaja_store_close(store));
    child_kill(pid);

    struct census census;
    store = open_store(dir, NULL);
    hear(store, NULL);
    census_take(store, topic, PARTITIONS, run, &census);
    MUST(kaja_store_close(store));
    uint64_t acked = census_check(&census, workers, WORKERS);
    check_refused(&census);
    (void)verify_sound(dir);
    printf("%u stops, %u while the append lock was held; %llu records acknowledged\n", tries, hits,
           (unsigned long long)acked);
    CHECK(misnamed <= 1 + hits / 5, "%u of %u errors do not name the owner", misnamed, hits);
    CHECK(hits > 0, "no stop hit an owner of the lock: nothing was tested");
    census_free(&census);
    workers_free(workers, WORKERS);
    dir_free(dir);
    return 0;
}
