/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- the program itself --- */

static uint64_t seed;
static char own_role[64];
static char last_dir[128];

uint64_t begin(unsigned limit_s)
{
    const char *text = getenv("KJ_SEED");
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = text != NULL ? (uint64_t)strtoull(text, NULL, 0)
                        : ((uint64_t)now.tv_nsec * 2654435761U) ^ (uint64_t)getpid();
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("KJ_SEED=%llu\n", (unsigned long long)seed);
    (void)alarm(slow_build() ? limit_s * 5 : limit_s);
    return seed;
}

void role(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(own_role, sizeof own_role, format, args);
    va_end(args);
}

void die(const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fflush(stdout);
    fprintf(stderr, "FAILED%s%s: %s; KJ_SEED=%llu, directory %s\n", own_role[0] != 0 ? " " : "",
            own_role, text, (unsigned long long)seed, last_dir[0] != 0 ? last_dir : "gone");
    _exit(1);
}

void skip(const char *format, ...)
{
    va_list args;
    printf("SKIP: ");
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(77);
}

bool slow_build(void)
{
    const char *text = getenv("KJ_SANITIZER");
    return text != NULL && text[0] != 0 && strcmp(text, "no") != 0;
}

int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void nap_us(int64_t us)
{
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint32_t rng_below(struct rng *rng, uint32_t limit)
{
    return (uint32_t)((rng_next(rng) >> 32) * limit >> 32);
}

void *share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED, "mmap of %zu bytes: %s", bytes, strerror(errno));
    return memory;
}

void share_free(void *memory, size_t bytes)
{
    (void)munmap(memory, bytes);
}

/* --- directories --- */

void dir_new(char ret_path[128])
{
    char parent[100];
    const char *base = getenv("TMPDIR");
    (void)snprintf(parent, sizeof parent, "%s/kaja-crash-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(parent) != NULL, "%s: %s", parent, strerror(errno));
    (void)snprintf(ret_path, 128, "%s/data", parent);
    (void)snprintf(last_dir, sizeof last_dir, "%s", ret_path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void dir_free(const char *path)
{
    char parent[128];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    CHECK(slash != NULL, "%s is no directory of dir_new()", path);
    *slash = 0;
    CHECK(nftw(parent, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "removing %s: %s", parent,
          strerror(errno));
    last_dir[0] = 0;
}

bool dir_has(const char *path, const char *name)
{
    char whole[512];
    struct stat st;
    (void)snprintf(whole, sizeof whole, "%s/%s", path, name);
    return lstat(whole, &st) == 0;
}

/* --- children --- */

static pid_t start(child_fn *fn, void *arg, bool detached, unsigned limit_s)
{
    (void)fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    if (detached) {
        (void)alarm(limit_s);
    } else {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
    }
    fn(arg);
    (void)fflush(NULL);
    _exit(0);
}

pid_t child_start(child_fn *fn, void *arg)
{
    return start(fn, arg, false, 0);
}

pid_t child_start_detached(child_fn *fn, void *arg, unsigned limit_s)
{
    return start(fn, arg, true, limit_s);
}

static int wait_for(pid_t pid, int flags, int *ret_status)
{
    pid_t got;
    do
        got = waitpid(pid, ret_status, flags);
    while (got < 0 && errno == EINTR);
    CHECK(got >= 0, "waitpid: %s", strerror(errno));
    return got == pid;
}

void child_kill(pid_t pid)
{
    int status;
    (void)kill(pid, SIGKILL);
    (void)wait_for(pid, 0, &status);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        die("a child died of signal %d", WTERMSIG(status));
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "a child failed");
}

static void must_be_well(int status)
{
    CHECK(!WIFSIGNALED(status), "a child died of signal %d", WTERMSIG(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed");
}

void child_wait(pid_t pid)
{
    int status;
    (void)wait_for(pid, 0, &status);
    must_be_well(status);
}

bool child_ended(pid_t pid)
{
    int status;
    if (!wait_for(pid, WNOHANG, &status))
        return false;
    must_be_well(status);
    return true;
}

/* --- the library --- */

struct kaja_conf *conf(const char *name, ...)
{
    struct kaja_conf *bag;
    const char *backend = getenv("KJ_TEST_BACKEND");
    MUST(kaja_conf_new(&bag));
    if (backend != NULL)
        MUST(kaja_conf_set(bag, "kaja.io.backend", backend));
    va_list args;
    va_start(args, name);
    for (; name != NULL; name = va_arg(args, const char *))
        MUST(kaja_conf_set(bag, name, va_arg(args, const char *)));
    va_end(args);
    return bag;
}

struct kaja_store *open_store(const char *path, struct kaja_conf *bag)
{
    struct kaja_store *store;
    if (bag == NULL)
        bag = conf("kaja.create", "true", NULL);
    MUST(kaja_store_open(path, bag, &store));
    kaja_conf_free(bag);
    return store;
}

struct kaja_producer *open_producer(struct kaja_store *store, struct kaja_conf *bag)
{
    struct kaja_producer *producer;
    MUST(kaja_producer_open(store, bag, &producer));
    kaja_conf_free(bag);
    return producer;
}

struct kaja_consumer *open_consumer(struct kaja_store *store, struct kaja_conf *bag)
{
    struct kaja_consumer *consumer;
    MUST(kaja_consumer_open(store, bag, &consumer));
    kaja_conf_free(bag);
    return consumer;
}

void make_topic(struct kaja_store *store, const char *topic, int32_t partitions,
                struct kaja_conf *bag)
{
    int err = kaja_admin_create_topic(store, topic, partitions, bag);
    if (err != KAJA_ERR_TOPIC_ALREADY_EXISTS)
        MUST(err);
    kaja_conf_free(bag);
}

const char *random_codec(struct rng *rng)
{
    static const char *const codecs[] = {"none",
#ifdef KJ_HAVE_GZIP
                                         "gzip",
#endif
#ifdef KJ_HAVE_SNAPPY
                                         "snappy",
#endif
#ifdef KJ_HAVE_LZ4
                                         "lz4",
#endif
#ifdef KJ_HAVE_ZSTD
                                         "zstd",
#endif
                                         "none"};
    return codecs[rng_below(rng, sizeof codecs / sizeof codecs[0])];
}

static void on_event(void *arg, const struct kaja_event *event)
{
    struct heard *heard = arg;
    switch (event->kind) {
    case KAJA_EVENT_RECOVERED:
        if (heard != NULL)
            heard->recovered++;
        break;
    case KAJA_EVENT_DROPPED:
        if (heard != NULL)
            heard->dropped++;
        break;
    case KAJA_EVENT_DAMAGE:
    case KAJA_EVENT_POISONED:
    case KAJA_EVENT_BACKGROUND:
    case KAJA_EVENT_OFFSETS_MOVED:
        if (heard != NULL && heard->stops && event->error == KAJA_ERR_LOCK_TIMED_OUT) {
            heard->timed_out++;
            break;
        }
        die("event %d (%s), %s-%d, offset %lld: %s", (int)event->kind,
            kaja_error_name(event->error), event->topic != NULL ? event->topic : "",
            (int)event->partition, (long long)event->offset, event->text);
    }
}

void hear(struct kaja_store *store, struct heard *heard)
{
    kaja_store_on_event(store, on_event, heard);
}

static void on_finding(void *arg, const struct kaja_finding *finding)
{
    (void)arg;
    /* An append that a dying process did not finish: as it stands, or as recovery set it aside. */
    if (finding->kind == KAJA_FINDING_UNFLUSHED_TAIL ||
        (finding->kind == KAJA_FINDING_FOREIGN && strstr(finding->file, ".log.damaged-") != NULL))
        return;
    die("verify: kind %d, %s, offset %lld, position %lld, %lld bytes: %s", (int)finding->kind,
        finding->file, (long long)finding->offset, (long long)finding->pos,
        (long long)finding->bytes, finding->text != NULL ? finding->text : "");
}

int64_t verify_sound(const char *path)
{
    struct kaja_verify_result result;
    MUST(kaja_verify(path, NULL, on_finding, NULL, &result));
    CHECK(result.damage == 0, "verify counts %lld damaged places", (long long)result.damage);
    return result.records;
}

/* --- the oracle --- */

void (*on_acked)(void);

struct worker *workers_new(size_t count, uint32_t room)
{
    struct worker *workers = share(count * sizeof *workers + count * room * sizeof(struct entry));
    struct entry *entries = (struct entry *)(workers + count);
    for (size_t i = 0; i < count; i++) {
        workers[i].room = room;
        workers[i].entries = entries + i * room;
    }
    return workers;
}

void workers_free(struct worker *workers, size_t count)
{
    share_free(workers, count * sizeof *workers + count * workers[0].room * sizeof(struct entry));
}

static void put32(uint8_t *p, uint32_t x)
{
    memcpy(p, &x, sizeof x);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

size_t value_make(uint8_t *ret_value, size_t bytes, uint64_t run, uint32_t worker, uint32_t seq)
{
    memcpy(ret_value, &run, sizeof run);
    put32(ret_value + 8, worker);
    put32(ret_value + 12, seq);
    put32(ret_value + 16, (uint32_t)bytes);
    put32(ret_value + 20, ~(worker ^ seq));
    for (size_t i = VALUE_BYTES_MIN; i < bytes; i++)
        ret_value[i] = (uint8_t)((seq + worker + i / 5) * 131);
    return bytes;
}

bool value_parse(const void *value, size_t bytes, uint64_t run, uint32_t *ret_worker,
                 uint32_t *ret_seq)
{
    static _Thread_local uint8_t wanted[VALUE_BYTES_MAX];
    const uint8_t *p = value;
    if (p == NULL || bytes < VALUE_BYTES_MIN || bytes > sizeof wanted)
        return false;
    *ret_worker = get32(p + 8);
    *ret_seq = get32(p + 12);
    value_make(wanted, bytes, run, *ret_worker, *ret_seq);
    return memcmp(wanted, p, bytes) == 0;
}

static void acked(struct entry *entry, int32_t partition, int64_t offset)
{
    entry->partition = partition;
    entry->offset = offset;
    entry->state = ENTRY_ACKED;
    if (on_acked != NULL)
        on_acked();
}

static void delivered(void *arg, int error, const struct kaja_metadata *metadata)
{
    CHECK(error == 0, "delivery: %s (%s)", kaja_error_name(error), kaja_error_detail());
    acked(arg, metadata->partition, metadata->offset);
}

bool send_next(struct sender *s, bool wait)
{
    static _Thread_local uint8_t value[VALUE_BYTES_MAX];
    uint32_t seq = s->worker->sent, extra = s->value_bytes_max - VALUE_BYTES_MIN;
    char key[16];
    if (seq == s->worker->room)
        return false;
    struct entry *entry = &s->worker->entries[seq];
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = s->topic;
    if (rng_below(&s->rng, 4) == 0) {
        record.key = key;
        record.key_bytes = (size_t)snprintf(key, sizeof key, "%u", rng_below(&s->rng, 1000));
    } else {
        record.partition = (int32_t)rng_below(&s->rng, (uint32_t)s->partitions);
    }
    /* Most are small, a few long. */
    uint32_t bytes = rng_below(&s->rng, (rng_below(&s->rng, 50) == 0 ? extra : extra / 16) + 1);
    record.value = value;
    record.value_bytes = value_make(value, VALUE_BYTES_MIN + bytes, s->run, s->number, seq);
    entry->state = ENTRY_SENT;
    s->worker->sent = seq + 1;
    if (wait) {
        struct kaja_metadata metadata;
        MUST(kaja_producer_send(s->producer, &record, 30000, &metadata));
        acked(entry, metadata.partition, metadata.offset);
    } else {
        MUST(kaja_producer_produce(s->producer, &record, delivered, entry));
    }
    return true;
}

static void column_add(struct column *column, uint64_t id)
{
    if (column->count == column->room) {
        column->room = column->room == 0 ? 4096 : column->room * 2;
        column->ids = realloc(column->ids, column->room * sizeof *column->ids);
        CHECK(column->ids != NULL, "no memory");
    }
    column->ids[column->count++] = id;
}

static void census_add(struct census *census, const struct kaja_record_view *r, uint64_t run)
{
    uint32_t worker, seq;
    CHECK(r->partition >= 0 && r->partition < census->partitions, "a record of partition %d",
          (int)r->partition);
    struct column *column = &census->columns[r->partition];
    CHECK(r->offset == (int64_t)column->count, "%s-%d: offset %lld follows %lld", r->topic,
          (int)r->partition, (long long)r->offset, (long long)column->count - 1);
    CHECK(value_parse(r->value, r->value_bytes, run, &worker, &seq),
          "%s-%d, offset %lld: not a value of this run", r->topic, (int)r->partition,
          (long long)r->offset);
    column_add(column, (uint64_t)worker << 32 | seq);
}

/* All positions have reached the ends. */
static bool at_ends(struct kaja_store *store, struct kaja_consumer *consumer, const char *topic,
                    int32_t partitions)
{
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_partition_info info;
        int64_t position;
        MUST(kaja_admin_partition(store, topic, i, &info));
        int err = kaja_consumer_position(consumer, topic, i, &position);
        if (err == KAJA_ERR_NO_OFFSET)
            return false;
        MUST(err);
        CHECK(info.log_start_offset == 0, "%s-%d starts at %lld", topic, (int)i,
              (long long)info.log_start_offset);
        CHECK(position <= info.end_offset, "%s-%d: position %lld behind the end %lld", topic,
              (int)i, (long long)position, (long long)info.end_offset);
        if (position < info.end_offset)
            return false;
    }
    return true;
}

void census_take(struct kaja_store *store, const char *topic, int32_t partitions, uint64_t run,
                 struct census *ret_census)
{
    struct kaja_topic_partition assigned[PARTITIONS_MAX];
    struct kaja_consumer *consumer = open_consumer(
        store, conf("auto.offset.reset", "earliest", "max.poll.records", "5000", NULL));
    memset(ret_census, 0, sizeof *ret_census);
    ret_census->partitions = partitions;
    for (int32_t i = 0; i < partitions; i++)
        assigned[i] = (struct kaja_topic_partition){.topic = topic, .partition = i};
    MUST(kaja_consumer_assign(consumer, assigned, (size_t)partitions));
    int64_t deadline_ns = now_ns() + (slow_build() ? 120000 : 30000) * MS_NS;
    do {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        MUST(kaja_consumer_poll(consumer, 20, &batch));
        while (kaja_batch_next(batch, &record))
            census_add(ret_census, &record, run);
        kaja_batch_release(batch);
        CHECK(now_ns() < deadline_ns, "the end of %s is not reached", topic);
    } while (!at_ends(store, consumer, topic, partitions));
    MUST(kaja_consumer_close(consumer, 30000));
}

void census_compare(const struct census *before, const struct census *now)
{
    for (int32_t i = 0; i < before->partitions; i++) {
        const struct column *a = &before->columns[i], *b = &now->columns[i];
        CHECK(a->count <= b->count, "partition %d has lost offsets %zu to %zu", (int)i, b->count,
              a->count);
        for (size_t k = 0; k < a->count; k++)
            CHECK(a->ids[k] == b->ids[k], "partition %d, offset %zu has changed", (int)i, k);
    }
}

/* Where each record was seen, to be compared with what was acknowledged. */
static void check_column(const struct column *column, int32_t partition,
                         const struct worker *workers, size_t count, uint32_t *next_seq,
                         uint64_t *const *seen)
{
    memset(next_seq, 0, count * sizeof *next_seq);
    for (size_t k = 0; k < column->count; k++) {
        uint32_t w = (uint32_t)(column->ids[k] >> 32), seq = (uint32_t)column->ids[k];
        CHECK(w < count && seq < workers[w].sent, "partition %d, offset %zu: never sent",
              (int)partition, k);
        CHECK(seen[w][seq] == 0, "partition %d, offset %zu: worker %u's record %u a second time",
              (int)partition, k, w, seq);
        CHECK(seq >= next_seq[w], "partition %d, offset %zu: worker %u's record %u after %u",
              (int)partition, k, w, seq, next_seq[w] - 1);
        next_seq[w] = seq + 1;
        seen[w][seq] = (uint64_t)partition << 48 | (k + 1);
    }
}

uint64_t census_check(const struct census *census, const struct worker *workers, size_t count)
{
    uint64_t total = 0;
    uint32_t *next_seq = calloc(count + 1, sizeof *next_seq);
    uint64_t **seen = calloc(count + 1, sizeof *seen);
    CHECK(next_seq != NULL && seen != NULL, "no memory");
    for (size_t w = 0; w < count; w++) {
        seen[w] = calloc((size_t)workers[w].sent + 1, sizeof **seen);
        CHECK(seen[w] != NULL, "no memory");
    }
    for (int32_t i = 0; i < census->partitions; i++)
        check_column(&census->columns[i], i, workers, count, next_seq, seen);
    for (size_t w = 0; w < count; w++) {
        for (uint32_t seq = 0; seq < workers[w].sent; seq++) {
            const struct entry *entry = &workers[w].entries[seq];
            if (entry->state != ENTRY_ACKED)
                continue;
            total++;
            CHECK(seen[w][seq] != 0, "worker %zu's record %u, acknowledged at %d:%lld, is lost", w,
                  seq, (int)entry->partition, (long long)entry->offset);
            CHECK(seen[w][seq] ==
                      ((uint64_t)entry->partition << 48 | (uint64_t)(entry->offset + 1)),
                  "worker %zu's record %u was acknowledged at %d:%lld and stands at %llu:%llu", w,
                  seq, (int)entry->partition, (long long)entry->offset,
                  (unsigned long long)(seen[w][seq] >> 48),
                  (unsigned long long)(seen[w][seq] << 16 >> 16) - 1);
        }
        free(seen[w]);
    }
    free(seen);
    free(next_seq);
    return total;
}

void census_free(struct census *census)
{
    for (int32_t i = 0; i < census->partitions; i++)
        free(census->columns[i].ids);
    memset(census, 0, sizeof *census);
}
