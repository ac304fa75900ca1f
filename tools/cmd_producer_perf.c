/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_producer_perf.c - kaja producer-perf-test: how fast records go in, and how soon they
 * are as durable as acks says.
 *
 * Each thread has a producer of its own and serves its own deliveries; the main thread prints. A
 * record's latency goes from the send call to its acknowledgement: the callback's argument is the
 * time of the call, so that no record needs memory of its own.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/perf_stats.h"
#include "tools/props.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "NAME", "the topic to send to; made if it does not exist"},
    {"num-records", NULL, KJ_OPT_ONE, "N", "how many records"},
    {"throughput", NULL, KJ_OPT_ONE, "R", "records a second; -1: as fast as it goes"},
    {"record-size", NULL, KJ_OPT_ONE, "BYTES", "values of random letters"},
    {"payload-file", NULL, KJ_OPT_ONE, "FILE", "values taken at random from a file"},
    {"payload-delimiter", NULL, KJ_OPT_ONE, "TEXT",
     "what separates them (default newline; \\n is understood)"},
    {"payload-monotonic", NULL, KJ_OPT_FLAG, NULL, "values are the decimal number of the record"},
    {"acks", NULL, KJ_OPT_ONE, "0|1|all",
     "what a record must survive to count as sent (default all)"},
    {"threads", NULL, KJ_OPT_ONE, "N", "threads, each with its own producer (default 1)"},
    {"warmup-records", NULL, KJ_OPT_ONE, "N", "records that do not count as steady state"},
    {"reporting-interval", NULL, KJ_OPT_ONE, "MS", "time between lines (default 5000)"},
    {"command-property", "producer-props", KJ_OPT_REST, "NAME=VALUE",
     "producer properties, up to the next option"},
    {"command-config", "producer.config", KJ_OPT_ONE, "FILE", "producer properties file"},
    {"print-metrics", NULL, KJ_OPT_FLAG, NULL, "print the library's counters at the end"},
    {"transactional-id", NULL, KJ_OPT_ONE, "ID", "not built yet"},
    {"transaction-duration-ms", NULL, KJ_OPT_ONE, "MS", "not built yet"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "the result as JSON instead of lines"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

enum { THREADS_MAX = 256, POOL_BYTES = 1024 * 1024, POLL_EVERY = 128, ERRORS_SHOWN_MAX = 10 };

enum payload_kind { PAYLOAD_RANDOM, PAYLOAD_FILE, PAYLOAD_MONOTONIC };

struct payload {
    enum payload_kind kind;
    size_t record_bytes;
    char *pool; /* random letters, or the file */
    size_t pool_bytes;
    struct slice {
        const char *text;
        size_t bytes;
    } *slices; /* of the file */
    size_t slice_count;
};

struct test {
    const struct kj_args *args;
    const char *topic;
    uint64_t record_count, warmup_count;
    double throughput; /* of all threads; < 0: unlimited */
    struct payload payload;
    struct kaja_store *store;
    const struct kaja_conf *conf;
    struct kj_perf perf;
    pthread_cond_t finished; /* with perf.lock: a worker ended */
    size_t running;
    size_t thread_count;
    int status;
};

struct worker {
    struct test *test;
    pthread_t thread;
    struct kaja_producer *producer;
    struct kj_perf_part part;
    uint64_t first, count; /* numbers of the records it sends */
    uint64_t random;
    uint64_t failed;
    int64_t now_ns; /* read anew for each run of callbacks */
};

static __thread struct worker *current; /* whose deliveries this thread serves */

/* --- payloads ------------------------------------------------------------------------------------
 */

static uint64_t next_random(uint64_t *state) /* xorshift64 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void make_random(struct payload *payload)
{
    uint64_t state = 88172645463325252u;
    payload->pool_bytes = POOL_BYTES + payload->record_bytes;
    payload->pool = kj_xmalloc(payload->pool_bytes);
    for (size_t i = 0; i < payload->pool_bytes; i++)
        payload->pool[i] = (char)('A' + next_random(&state) % 26);
}

static void load_file(const struct kj_args *args, struct payload *payload, const char *path)
{
    const char *delimiter = kj_args_get(args, "payload-delimiter");
    if (delimiter == NULL || strcmp(delimiter, "\\n") == 0)
        delimiter = "\n";
    size_t delimiter_bytes = strlen(delimiter);
    if (delimiter_bytes == 0)
        kj_usage(args, "The payload delimiter is empty");
    FILE *file = fopen(path, "re");
    size_t room = 0, n;
    bool failed = file == NULL;
    while (!failed) {
        if (payload->pool_bytes == room)
            payload->pool = kj_xrealloc(payload->pool, room = room == 0 ? 65536 : 2 * room);
        n = fread(payload->pool + payload->pool_bytes, 1, room - payload->pool_bytes, file);
        payload->pool_bytes += n;
        if (n == 0)
            break;
    }
    if (failed || ferror(file)) {
        kj_complain("kaja producer-perf-test: cannot read %s: %s", path, strerror(errno));
        exit(KJ_EXIT_FAILURE);
    }
    fclose(file);
    if (!kj_args_has(args, "json"))
        printf("Reading payloads from: %s\n", path);
    const char *p = payload->pool, *end = p + payload->pool_bytes;
    while (p < end) {
        const char *cut = memmem(p, (size_t)(end - p), delimiter, delimiter_bytes);
        size_t bytes = (size_t)((cut != NULL ? cut : end) - p);
        if ((payload->slice_count & (payload->slice_count - 1)) == 0)
            payload->slices = kj_xrealloc(
                payload->slices, (payload->slice_count == 0 ? 1 : 2 * payload->slice_count) *
                                     sizeof *payload->slices);
        payload->slices[payload->slice_count++] = (struct slice){p, bytes};
        p += bytes + (cut != NULL ? delimiter_bytes : 0);
    }
    if (payload->slice_count == 0) {
        kj_complain(
            "kaja producer-perf-test: Payload file does not exist or empty file provided: %s",
            path);
        exit(KJ_EXIT_FAILURE);
    }
    if (!kj_args_has(args, "json"))
        printf("Number of records read: %zu\n", payload->slice_count);
}

static void read_payload(const struct kj_args *args, struct payload *payload)
{
    static const char *const names[] = {"record-size", "payload-file", "payload-monotonic"};
    int given = 0;
    for (size_t i = 0; i < 3; i++)
        given += kj_args_has(args, names[i]);
    if (given != 1)
        kj_usage(args, "Exactly one of the following arguments is required: [record-size], "
                       "[payload-file], [payload-monotonic]");
    if (kj_args_has(args, "payload-monotonic")) {
        payload->kind = PAYLOAD_MONOTONIC;
    } else if (kj_args_has(args, "payload-file")) {
        payload->kind = PAYLOAD_FILE;
        load_file(args, payload, kj_args_get(args, "payload-file"));
    } else {
        payload->kind = PAYLOAD_RANDOM;
        payload->record_bytes = (size_t)kj_args_int(args, "record-size", 0, 1, 1 << 30);
        make_random(payload);
    }
}

/* The value of record number i; text has room for a number. */
static void fill_value(struct worker *worker, uint64_t i, char text[24], struct kaja_record *record)
{
    const struct payload *payload = &worker->test->payload;
    if (payload->kind == PAYLOAD_RANDOM) {
        /* A window into random letters: every value differs, at no cost per byte. */
        record->value = payload->pool + next_random(&worker->random) % POOL_BYTES;
        record->value_bytes = payload->record_bytes;
    } else if (payload->kind == PAYLOAD_FILE) {
        const struct slice *slice =
            &payload->slices[next_random(&worker->random) % payload->slice_count];
        record->value = slice->text;
        record->value_bytes = slice->bytes;
    } else {
        record->value = text;
        record->value_bytes = (size_t)snprintf(text, 24, "%llu", (unsigned long long)i);
    }
}

/* --- sending
 * --------------------------------------------------------------------------------------- */

/* The time of the call and the value's size travel in the argument only where both fit: the time in
 * units of 128 ns, 40 bits of them (39 hours), and 24 bits for the size in bytes or, above 8 MiB,
 * in KiB. The steady-state mark is the top bit of the size. */
enum { TICK_SHIFT = 7, SIZE_BITS = 24 };
static const uint64_t tick_mask = (UINT64_C(1) << 40) - 1;

static void *pack(int64_t now_ns, size_t bytes, bool steady)
{
    uint64_t tick = ((uint64_t)now_ns >> TICK_SHIFT) & tick_mask;
    uint64_t size = bytes < (1u << 22) ? bytes : ((bytes >> 10) | 1u << 22);
    return (void *)(uintptr_t)(tick << SIZE_BITS | (steady ? UINT64_C(1) << 23 : 0) | size);
}

static void unpack(void *arg, int64_t now_ns, uint64_t *ret_us, uint64_t *ret_bytes,
                   bool *ret_steady)
{
    uint64_t word = (uintptr_t)arg;
    uint64_t ticks = (((uint64_t)now_ns >> TICK_SHIFT) - (word >> SIZE_BITS)) & tick_mask;
    uint64_t size = word & ((1u << 22) - 1);
    *ret_us = (ticks << TICK_SHIFT) / 1000;
    *ret_bytes = (word & (1u << 22)) != 0 ? size << 10 : size;
    *ret_steady = (word >> 23 & 1) != 0;
}

static void tell_failure(struct worker *worker, int error, const char *reason)
{
    if (worker->failed++ < ERRORS_SHOWN_MAX)
        kj_complain("kaja producer-perf-test: %s (%s)", reason, kaja_error_name(error));
}

static void on_delivery(void *arg, int error, const struct kaja_metadata *metadata)
{
    (void)metadata;
    struct worker *worker = current;
    if (error != 0) {
        tell_failure(worker, error, kaja_error_text(error));
        return;
    }
    if (worker->now_ns == 0)
        worker->now_ns = kj_now_ns();
    uint64_t us, bytes;
    bool steady;
    unpack(arg, worker->now_ns, &us, &bytes, &steady);
    kj_perf_part_add(&worker->part, bytes, us, steady);
}

/* Callbacks of one poll run back to back, so they share one look at the clock. */
static void serve(struct worker *worker, int64_t timeout_ms)
{
    worker->now_ns = 0;
    kaja_producer_poll(worker->producer, timeout_ms, NULL);
    kj_perf_publish(&worker->test->perf, &worker->part);
}

/* Sleeps until record i is due. */
static void throttle(struct worker *worker, uint64_t i, int64_t start_ns)
{
    double rate = worker->test->throughput / (double)worker->test->thread_count;
    int64_t due_ns = start_ns + (int64_t)((double)i * 1e9 / rate);
    for (;;) {
        int64_t left_ns = due_ns - kj_now_ns();
        if (left_ns <= 0 || kj_signal_status() != 0)
            return;
        serve(worker, 0);
        struct timespec nap = {0, left_ns < 1000000 ? left_ns : 1000000};
        nanosleep(&nap, NULL);
    }
}

static void send_all(struct worker *worker)
{
    const struct test *test = worker->test;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = test->topic;
    char text[24];
    int64_t start_ns = kj_now_ns();
    for (uint64_t i = 0; i < worker->count && kj_signal_status() == 0; i++) {
        if (test->throughput > 0)
            throttle(worker, i, start_ns);
        fill_value(worker, worker->first + i, text, &record);
        bool steady = i >= test->warmup_count / test->thread_count;
        int64_t now_ns = kj_now_ns();
        int err = kaja_producer_produce(worker->producer, &record, on_delivery,
                                        pack(now_ns, record.value_bytes, steady));
        if (err != 0) {
            tell_failure(worker, err, kj_reason(err));
            if (err != KAJA_ERR_BUFFER_EXHAUSTED && err != KAJA_ERR_QUEUE_FULL &&
                err != KAJA_ERR_RECORD_TOO_LARGE)
                return;
        }
        if (i % POLL_EVERY == 0)
            serve(worker, 0);
    }
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    struct test *test = worker->test;
    current = worker;
    int err = kaja_producer_open(test->store, test->conf, &worker->producer);
    if (err == 0) {
        send_all(worker);
        /* Callbacks are served as they come, each run with a fresh look at the clock. */
        while (kj_signal_status() == 0) {
            worker->now_ns = 0;
            err = kaja_producer_flush(worker->producer, 1);
            kj_perf_publish(&test->perf, &worker->part);
            if (err != KAJA_ERR_TIMED_OUT)
                break;
        }
        worker->now_ns = 0;
        int closed = kaja_producer_close(worker->producer, -1);
        err = err == 0 || err == KAJA_ERR_TIMED_OUT ? closed : err;
        kj_perf_publish(&test->perf, &worker->part);
    }
    if (err != 0)
        tell_failure(worker, err, kj_reason(err));
    pthread_mutex_lock(&test->perf.lock);
    test->perf.failed += worker->failed;
    test->running--;
    pthread_cond_signal(&test->finished);
    pthread_mutex_unlock(&test->perf.lock);
    return NULL;
}

/* --- results
 * ---------------------------------------------------------------------------------------- */

static double mb(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

static double mean_ms(const struct kj_perf_sum *sum)
{
    return (double)sum->latency_us / 1000.0 / (double)sum->count;
}

static void print_window(const struct kj_perf_sum *w, double seconds)
{
    char text[4][64];
    printf("%llu records sent, %s records/sec (%s MB/sec), %s ms avg latency, %s ms max latency.\n",
           (unsigned long long)w->count, kj_perf_number((double)w->count / seconds, 1, text[0]),
           kj_perf_number(mb(w->bytes) / seconds, 2, text[1]),
           kj_perf_number(mean_ms(w), 1, text[2]),
           kj_perf_number((double)(w->latency_max_us / 1000), 1, text[3]));
    fflush(stdout);
}

static void print_final(const struct kj_perf_sum *sum, double seconds,
                        const struct kj_perf_percentiles *p, const char *kind)
{
    char text[4][64];
    printf("%llu %srecords sent, %s records/sec (%s MB/sec), %s ms avg latency, %s ms max latency, "
           "%u ms 50th, %u ms 95th, %u ms 99th, %u ms 99.9th.\n",
           (unsigned long long)sum->count, kind,
           kj_perf_number((double)sum->count / seconds, 6, text[0]),
           kj_perf_number(mb(sum->bytes) / seconds, 2, text[1]),
           kj_perf_number(mean_ms(sum), 2, text[2]),
           kj_perf_number((double)(sum->latency_max_us / 1000), 2, text[3]), p->us[0] / 1000,
           p->us[1] / 1000, p->us[2] / 1000, p->us[3] / 1000);
}

static void print_us(const struct kj_perf_sum *sum, const struct kj_perf_percentiles *p)
{
    char text[64];
    printf("latency in us: %s avg, %llu max, %u 50th, %u 95th, %u 99th, %u 99.9th\n",
           kj_perf_number((double)sum->latency_us / (double)sum->count, 1, text),
           (unsigned long long)sum->latency_max_us, p->us[0], p->us[1], p->us[2], p->us[3]);
}

static void print_metrics(struct kaja_store *store)
{
    size_t room = kaja_metrics(store, NULL, 0), longest = strlen("Metric Name");
    struct kaja_metric *metrics = kj_xmalloc(room * sizeof *metrics);
    size_t count = kaja_metrics(store, metrics, room);
    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen("kaja::{}") + strlen(metrics[i].name);
        longest = bytes > longest ? bytes : longest;
    }
    printf("\n%-*s   Value\n", (int)longest, "Metric Name");
    for (size_t i = 0; i < count; i++) {
        char *name = kj_xprintf("kaja:%s:{}", metrics[i].name);
        printf("%-*s : %.3f\n", (int)longest, name, (double)metrics[i].value);
        free(name);
    }
    free(metrics);
}

static void print_json(const struct test *test, double seconds, const struct kj_perf_percentiles *p)
{
    const struct kj_perf_sum *sum = &test->perf.total;
    struct kj_json json;
    kj_json_init(&json, stdout);
    kj_json_open(&json, NULL, '{');
    kj_json_uint(&json, "records", sum->count);
    kj_json_uint(&json, "failed", test->perf.failed);
    kj_json_uint(&json, "bytes", sum->bytes);
    kj_json_number(&json, "seconds", seconds);
    kj_json_number(&json, "recordsPerSec", (double)sum->count / seconds);
    kj_json_number(&json, "mbPerSec", mb(sum->bytes) / seconds);
    kj_json_number(&json, "avgLatencyUs", (double)sum->latency_us / (double)sum->count);
    kj_json_uint(&json, "maxLatencyUs", sum->latency_max_us);
    kj_json_uint(&json, "p50Us", p->us[0]);
    kj_json_uint(&json, "p95Us", p->us[1]);
    kj_json_uint(&json, "p99Us", p->us[2]);
    kj_json_uint(&json, "p999Us", p->us[3]);
    kj_json_text(&json, "acks", kaja_conf_get(test->conf, "acks"));
    kj_json_uint(&json, "threads", test->thread_count);
    kj_json_text(&json, "backend", kaja_store_backend(test->store));
    kj_json_close(&json, '}');
    kj_json_end(&json);
}

/* Prints a line each interval until all workers are done. */
static void watch(struct test *test, int64_t interval_ms)
{
    int64_t window_ns = kj_now_ns();
    pthread_mutex_lock(&test->perf.lock);
    while (test->running > 0) {
        int64_t due_ns = window_ns + interval_ms * 1000000;
        struct timespec due = {due_ns / 1000000000, due_ns % 1000000000};
        pthread_cond_timedwait(&test->finished, &test->perf.lock, &due);
        int64_t now_ns = kj_now_ns();
        if (now_ns < due_ns || test->running == 0)
            continue;
        struct kj_perf_sum window = test->perf.window;
        memset(&test->perf.window, 0, sizeof test->perf.window);
        pthread_mutex_unlock(&test->perf.lock);
        if (!kj_args_has(test->args, "json"))
            print_window(&window, (double)(now_ns - window_ns) / 1e9);
        window_ns = now_ns;
        pthread_mutex_lock(&test->perf.lock);
    }
    pthread_mutex_unlock(&test->perf.lock);
}

static void start_workers(struct test *test, struct worker *workers)
{
    uint64_t left = test->record_count, first = 0;
    for (size_t i = 0; i < test->thread_count; i++) {
        struct worker *w = &workers[i];
        uint64_t count = left / (test->thread_count - i);
        *w =
            (struct worker){.test = test, .first = first, .count = count, .random = 0x9e3779b9 + i};
        kj_perf_part_init(&w->part, count);
        left -= count;
        first += count;
        pthread_mutex_lock(&test->perf.lock);
        test->running++;
        pthread_mutex_unlock(&test->perf.lock);
        int error = pthread_create(&w->thread, NULL, run_worker, w);
        if (error != 0) {
            kj_complain("kaja producer-perf-test: cannot start a thread: %s", strerror(error));
            exit(KJ_EXIT_FAILURE); /* the directory recovers at its next opening */
        }
    }
}

static int measure(struct test *test)
{
    struct worker *workers = kj_xmalloc(test->thread_count * sizeof *workers);
    struct kj_perf_part *parts = kj_xmalloc(test->thread_count * sizeof *parts);
    bool as_json = kj_args_has(test->args, "json");
    int64_t interval_ms = kj_args_int(test->args, "reporting-interval", 5000, 1, INT32_MAX);
    if (test->warmup_count > 0 && !as_json)
        printf("Warmup first %llu records. Steady state results will print after the complete test "
               "summary.\n",
               (unsigned long long)test->warmup_count);
    kj_signals_catch(NULL);
    int64_t start_ns = kj_now_ns();
    start_workers(test, workers);
    watch(test, interval_ms);
    double seconds = (double)(kj_now_ns() - start_ns) / 1e9;
    for (size_t i = 0; i < test->thread_count; i++) {
        pthread_join(workers[i].thread, NULL);
        parts[i] = workers[i].part;
    }
    if (kj_signal_status() == 0) {
        struct kj_perf_percentiles p = kj_perf_percentiles(parts, test->thread_count, 0);
        struct kj_perf_percentiles steady = kj_perf_percentiles(parts, test->thread_count, 1);
        if (as_json) {
            print_json(test, seconds, &p);
        } else {
            if (kj_args_has(test->args, "print-metrics"))
                print_metrics(test->store);
            print_us(&test->perf.total, &p);
            print_final(&test->perf.total, seconds, &p, "");
            if (test->warmup_count > 0)
                print_final(&test->perf.steady, seconds, &steady, "steady state ");
        }
    }
    for (size_t i = 0; i < test->thread_count; i++)
        kj_perf_part_free(&parts[i]);
    free(parts);
    free(workers);
    if (test->perf.failed == 0)
        return KJ_EXIT_OK;
    kj_complain("kaja producer-perf-test: %llu records failed",
                (unsigned long long)test->perf.failed);
    return KJ_EXIT_FAILURE;
}

/* --- the command
 * ------------------------------------------------------------------------------------ */

static void read_options(const struct kj_args *args, struct test *test)
{
    test->topic = kj_args_required(args, "topic");
    kj_args_required(args, "num-records");
    kj_args_required(args, "throughput");
    test->record_count = (uint64_t)kj_args_int(args, "num-records", 0, 1, INT64_C(1) << 40);
    test->warmup_count = (uint64_t)kj_args_int(args, "warmup-records", 0, 0, INT64_MAX);
    if (test->warmup_count >= test->record_count)
        kj_usage(args, "The value for --warmup-records must be strictly fewer than the number of "
                       "records in the test, --num-records.");
    char *end;
    const char *text = kj_args_get(args, "throughput");
    test->throughput = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || test->throughput == 0)
        kj_usage(args, "Cannot parse argument '%s' of option throughput", text);
    test->thread_count = (size_t)kj_args_int(args, "threads", 1, 1, THREADS_MAX);
    if (kj_args_has(args, "transactional-id") || kj_args_has(args, "transaction-duration-ms")) {
        kj_complain(
            "kaja producer-perf-test: transactions are not built yet (UNSUPPORTED_FEATURE)");
        exit(KJ_EXIT_FAILURE);
    }
    read_payload(args, &test->payload);
}

static int run(const struct kj_args *args)
{
    struct test test = {.args = args, .perf = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&test.finished, &attributes);
    pthread_condattr_destroy(&attributes);
    read_options(args, &test);
    struct kaja_conf *conf = kj_conf_from_args(args);
    if (kj_args_has(args, "acks"))
        kj_conf_set_option(args, conf, "acks", kj_args_get(args, "acks"));
    if (!kaja_conf_is_set(conf, "client.id"))
        kj_conf_set_option(args, conf, "client.id", "perf-producer-client");
    test.conf = conf;
    test.store = kj_tool_open(args, conf, KJ_OPEN_CREATE);
    int status = kj_topic_ensure(test.store, test.topic, true);
    if (status == 0)
        status = measure(&test);
    kaja_conf_free(conf);
    free(test.payload.pool);
    free(test.payload.slices);
    pthread_cond_destroy(&test.finished);
    status = kj_tool_close(test.store, status);
    return kj_signal_status() != 0 ? kj_signal_status() : status;
}

const struct kj_command kj_cmd_producer_perf_test = {
    .name = "producer-perf-test",
    .summary = "Measure how fast records go in.",
    .options = options,
    .run = run,
};
