/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_consumer_perf.c - kaja consumer-perf-test: how fast records come out.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/perf_stats.h"
#include "tools/topic_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "NAME", "the topic to read"},
    {"include", NULL, KJ_OPT_ONE, "REGEX", "all topics whose names match"},
    {"num-records", "messages", KJ_OPT_ONE, "N", "how many records"},
    {"from-latest", NULL, KJ_OPT_FLAG, NULL,
     "start behind the last record instead of at the first"},
    {"timeout", NULL, KJ_OPT_ONE, "MS", "end when no record came for so long (default 10000)"},
    {"fetch-size", NULL, KJ_OPT_ONE, "BYTES", "max.partition.fetch.bytes (default 1048576)"},
    {"group", NULL, KJ_OPT_ONE, "NAME", "share the partitions with the other members of a group"},
    {"reporting-interval", NULL, KJ_OPT_ONE, "MS", "time between detailed lines (default 5000)"},
    {"show-detailed-stats", NULL, KJ_OPT_FLAG, NULL,
     "a line each interval instead of one at the end"},
    {"date-format", NULL, KJ_OPT_ONE, "FORMAT", "as in Java; default yyyy-MM-dd HH:mm:ss:SSS"},
    {"hide-header", NULL, KJ_OPT_FLAG, NULL, "leave the line with the names out"},
    {"print-metrics", NULL, KJ_OPT_FLAG, NULL, "print the library's counters at the end"},
    {"command-property", "consumer-property", KJ_OPT_MANY, "NAME=VALUE", "a consumer property"},
    {"command-config", "consumer.config", KJ_OPT_ONE, "FILE", "consumer properties file"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "the result as JSON"},
    {"threads", NULL, KJ_OPT_ONE, "N", NULL},
    {"num-fetch-threads", NULL, KJ_OPT_ONE, "N", NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

struct test {
    const struct kj_args *args;
    struct kaja_store *store;
    struct kaja_consumer *consumer;
    uint64_t wanted;
    int64_t timeout_ms, interval_ms;
    bool detailed, as_json;
    bool grouped; /* subscribed: the group says which partitions */
    const char *date_format;
    uint64_t count, bytes;
    uint64_t window_count, window_bytes;
    int64_t start_wall_ms, end_wall_ms, start_ns, end_ns;
    int64_t join_start_ns; /* since when there are no partitions; 0: there are */
    int64_t join_ns;       /* the sum of such times */
    int64_t window_join_ns;
};

/* --- dates as Java writes them ------------------------------------------------------------------
 */

/* The letters y M d H m s S and quoted text of SimpleDateFormat; the local time zone. */
static void format_date(int64_t wall_ms, const char *format, char *text, size_t room)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    size_t at = 0;
    bool quoted = false;
    while (*format != '\0' && at + 24 < room) {
        char c = *format;
        int run = 1;
        if (c == '\'') {
            quoted = !quoted;
            format++;
            continue;
        }
        int value = c == 'y'   ? tm.tm_year + 1900
                    : c == 'M' ? tm.tm_mon + 1
                    : c == 'd' ? tm.tm_mday
                    : c == 'H' ? tm.tm_hour
                    : c == 'm' ? tm.tm_min
                    : c == 's' ? tm.tm_sec
                    : c == 'S' ? (int)(wall_ms % 1000)
                               : -1;
        if (quoted || value < 0) {
            text[at++] = c;
            format++;
            continue;
        }
        while (format[run] == c && run < 16)
            run++;
        if (c == 'y' && run == 2)
            value %= 100;
        at += (size_t)snprintf(text + at, room - at, "%0*d", run, value);
        format += run;
    }
    text[at] = '\0';
}

/* --- lines
 * ---------------------------------------------------------------------------------------- */

static double mb(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

static void print_header(const struct test *test)
{
    if (kj_args_has(test->args, "hide-header") || test->as_json)
        return;
    puts(
        test->detailed
            ? "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
              "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            : "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
              "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec");
}

/* Time for fetching is what a rebalance did not take. Never 0, as rates are made of it. */
static int64_t fetching(int64_t all_ns, int64_t join_ns)
{
    return all_ns > join_ns ? all_ns - join_ns : 1;
}

static void print_detailed(struct test *test, int64_t window_ns)
{
    char date[128], text[5][64];
    double seconds = (double)window_ns / 1e9;
    int64_t fetch_ns = fetching(window_ns, test->window_join_ns);
    double fetch_seconds = (double)fetch_ns / 1e9;
    format_date(kj_wall_ms(), test->date_format, date, sizeof date);
    const char *mb_rate = kj_perf_number(mb(test->window_bytes) / seconds, 4, text[1]);
    const char *rate = kj_perf_number((double)test->window_count / seconds, 4, text[2]);
    printf("%s, 0, %s, %s, %llu, %s, %lld, %lld, %s, %s\n", date,
           kj_perf_number(mb(test->bytes), 4, text[0]), mb_rate, (unsigned long long)test->count,
           rate, (long long)(test->window_join_ns / 1000000), (long long)(fetch_ns / 1000000),
           kj_perf_number(mb(test->window_bytes) / fetch_seconds, 4, text[3]),
           kj_perf_number((double)test->window_count / fetch_seconds, 4, text[4]));
    fflush(stdout);
    test->window_bytes = test->window_count = 0;
    test->window_join_ns = 0;
}

static void print_final(const struct test *test)
{
    int64_t fetch_ns = fetching(test->end_ns - test->start_ns, test->join_ns);
    double seconds = (double)(test->end_ns - test->start_ns) / 1e9;
    double fetch_seconds = (double)fetch_ns / 1e9;
    if (test->as_json) {
        struct kj_json json;
        kj_json_init(&json, stdout);
        kj_json_open(&json, NULL, '{');
        kj_json_uint(&json, "records", test->count);
        kj_json_uint(&json, "bytes", test->bytes);
        kj_json_number(&json, "seconds", seconds);
        kj_json_number(&json, "rebalanceSeconds", (double)test->join_ns / 1e9);
        kj_json_number(&json, "mbPerSec", mb(test->bytes) / seconds);
        kj_json_number(&json, "recordsPerSec", (double)test->count / seconds);
        kj_json_text(&json, "backend", kaja_store_backend(test->store));
        kj_json_close(&json, '}');
        kj_json_end(&json);
        return;
    }
    char start[128], end[128], text[5][64];
    format_date(test->start_wall_ms, test->date_format, start, sizeof start);
    format_date(test->end_wall_ms, test->date_format, end, sizeof end);
    const char *mb_rate = kj_perf_number(mb(test->bytes) / seconds, 4, text[1]);
    const char *rate = kj_perf_number((double)test->count / seconds, 4, text[2]);
    printf("%s, %s, %s, %s, %llu, %s, %lld, %lld, %s, %s\n", start, end,
           kj_perf_number(mb(test->bytes), 4, text[0]), mb_rate, (unsigned long long)test->count,
           rate, (long long)(test->join_ns / 1000000), (long long)(fetch_ns / 1000000),
           kj_perf_number(mb(test->bytes) / fetch_seconds, 4, text[3]),
           kj_perf_number((double)test->count / fetch_seconds, 4, text[4]));
}

static void print_metrics(struct kaja_store *store)
{
    size_t room = kaja_metrics(store, NULL, 0);
    struct kaja_metric *metrics = kj_xmalloc(room * sizeof *metrics);
    size_t count = kaja_metrics(store, metrics, room);
    puts("");
    for (size_t i = 0; i < count && i < room; i++)
        printf("kaja:%s:{} : %.3f\n", metrics[i].name, (double)metrics[i].value);
    free(metrics);
}

/* --- reading
 * -------------------------------------------------------------------------------------- */

static void revoked(void *arg, struct kaja_consumer *consumer,
                    const struct kaja_topic_partition *partitions, size_t count)
{
    struct test *test = arg;
    (void)consumer;
    (void)partitions;
    (void)count;
    test->join_start_ns = kj_now_ns();
}

static void assigned(void *arg, struct kaja_consumer *consumer,
                     const struct kaja_topic_partition *partitions, size_t count)
{
    struct test *test = arg;
    (void)consumer;
    (void)partitions;
    (void)count;
    if (test->join_start_ns == 0)
        return; /* cooperative: nothing was revoked, reading went on */
    int64_t took_ns = kj_now_ns() - test->join_start_ns;
    test->join_ns += took_ns;
    test->window_join_ns += took_ns;
    test->join_start_ns = 0;
}

static int subscribe(struct test *test, const char *topic,
                     const struct kaja_topic_info *const *topics, size_t count)
{
    struct kaja_rebalance_listener listener = KAJA_REBALANCE_LISTENER_INIT;
    listener.arg = test;
    listener.revoked = revoked;
    listener.assigned = assigned;
    test->join_start_ns = test->start_ns;
    if (topic != NULL)
        return kaja_consumer_subscribe(test->consumer, &topic, 1, &listener);
    const char **names = kj_xmalloc(count * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = topics[i]->name;
    int err = kaja_consumer_subscribe(test->consumer, names, count, &listener);
    free(names);
    return err;
}

/* All partitions, or in a group those that it gives. */
static int choose(struct test *test)
{
    const char *topic = kj_args_get(test->args, "topic");
    struct kj_pattern include;
    struct kaja_topic_list *all;
    const struct kaja_topic_info **topics;
    size_t topic_count, count = 0;
    if (topic == NULL)
        kj_topic_filter(test->args, kj_args_get(test->args, "include"), &include);
    int err = kj_topics_matching(test->store, topic == NULL ? &include : NULL, topic != NULL, &all,
                                 &topics, &topic_count);
    if (topic == NULL)
        kj_pattern_free(&include);
    if (err != 0)
        return err;
    for (size_t i = 0; i < topic_count; i++)
        count += (size_t)topics[i]->partition_count;
    struct kaja_topic_partition *list = kj_xmalloc(count * sizeof *list);
    count = 0;
    for (size_t i = 0; i < topic_count; i++)
        for (int32_t p = 0; p < topics[i]->partition_count; p++)
            if (topic == NULL || strcmp(topics[i]->name, topic) == 0)
                list[count++] = (struct kaja_topic_partition){topics[i]->name, p, 0};
    if (count > 0)
        err = test->grouped ? subscribe(test, topic, topics, topic_count)
                            : kaja_consumer_assign(test->consumer, list, count);
    free(list);
    free(topics);
    kaja_topic_list_free(all);
    if (err == 0 && count == 0) {
        kj_complain("kaja consumer-perf-test: no topic matches");
        return KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return err;
}

static void count_batch(struct test *test, struct kaja_batch *batch)
{
    struct kaja_record_view record;
    uint64_t count = 0, bytes = 0;
    while (kaja_batch_next(batch, &record)) {
        count++;
        bytes += record.key_bytes + record.value_bytes;
    }
    test->count += count;
    test->bytes += bytes;
    test->window_count += count;
    test->window_bytes += bytes;
}

/* *ret_complete: the records were there before the timeout. */
static int pump(struct test *test, bool *ret_complete)
{
    int64_t now_ns = test->start_ns, last_ns = now_ns, window_ns = now_ns;
    while (test->count < test->wanted && kj_signal_status() == 0) {
        struct kaja_batch *batch;
        int err = kaja_consumer_poll(test->consumer, 100, &batch);
        if (err == KAJA_ERR_INTERRUPTED)
            continue;
        if (err != 0)
            return err;
        bool any = kaja_batch_count(batch) > 0;
        count_batch(test, batch);
        kaja_batch_release(batch);
        now_ns = kj_now_ns();
        if (any)
            last_ns = now_ns;
        else if (now_ns - last_ns > test->timeout_ms * 1000000)
            break;
        if (test->detailed && now_ns - window_ns >= test->interval_ms * 1000000) {
            print_detailed(test, now_ns - window_ns);
            window_ns = now_ns;
        }
    }
    test->end_ns = kj_now_ns();
    test->end_wall_ms = kj_wall_ms();
    if (test->detailed && test->window_count > 0)
        print_detailed(test, test->end_ns - window_ns);
    *ret_complete = test->count >= test->wanted;
    return 0;
}

static int measure(struct test *test, const struct kaja_conf *conf)
{
    int err = kaja_consumer_open(test->store, conf, &test->consumer);
    if (err != 0) {
        kj_complain_err(err, "kaja consumer-perf-test");
        return KJ_EXIT_FAILURE;
    }
    bool complete = false;
    kj_signals_catch(test->consumer);
    test->start_wall_ms = kj_wall_ms();
    test->start_ns = kj_now_ns();
    err = choose(test);
    print_header(test);
    if (err == 0)
        err = pump(test, &complete);
    kj_signals_forget_consumer();
    if (err != 0) {
        kj_complain_err(err, "kaja consumer-perf-test");
    } else if (kj_signal_status() == 0) {
        if (!complete && !test->as_json)
            printf(
                "WARNING: Exiting before consuming the expected number of records: timeout (%lld "
                "ms) exceeded. You can use the --timeout option to increase the timeout.\n",
                (long long)test->timeout_ms);
        if (!test->detailed || test->as_json)
            print_final(test);
        if (kj_args_has(test->args, "print-metrics"))
            print_metrics(test->store);
    }
    int closed = kaja_consumer_close(test->consumer, -1);
    if (closed != 0)
        kj_complain_err(closed, "kaja consumer-perf-test: closing the consumer");
    return err != 0 || closed != 0 ? KJ_EXIT_FAILURE : KJ_EXIT_OK;
}

static int run(const struct kj_args *args)
{
    struct test test = {.args = args};
    if (kj_args_has(args, "topic") == kj_args_has(args, "include"))
        kj_usage(args, "Exactly one of the following arguments is required: [topic], [include]");
    kj_args_required(args, "num-records");
    test.wanted = (uint64_t)kj_args_int(args, "num-records", 0, 1, INT64_MAX);
    test.timeout_ms = kj_args_int(args, "timeout", 10000, 0, INT32_MAX);
    test.interval_ms = kj_args_int(args, "reporting-interval", 5000, 1, INT32_MAX);
    test.detailed = kj_args_has(args, "show-detailed-stats");
    test.as_json = kj_args_has(args, "json");
    test.date_format = kj_args_get(args, "date-format");
    if (test.date_format == NULL)
        test.date_format = "yyyy-MM-dd HH:mm:ss:SSS";
    if (kj_args_has(args, "include")) {
        struct kj_pattern pattern; /* wrong usage is told before anything is opened */
        kj_topic_filter(args, kj_args_get(args, "include"), &pattern);
        kj_pattern_free(&pattern);
    }
    struct kaja_conf *conf = kj_conf_from_args(args);
    if (kj_args_has(args, "group"))
        kj_conf_set_option(args, conf, "group.id", kj_args_get(args, "group"));
    test.grouped = kaja_conf_is_set(conf, "group.id");
    /* What Kafka's tool sets: no checksums, start at the beginning. */
    if (!kaja_conf_is_set(conf, "check.crcs"))
        kj_conf_set_option(args, conf, "check.crcs", "false");
    if (!kaja_conf_is_set(conf, "max.partition.fetch.bytes"))
        kj_conf_set_option(args, conf, "max.partition.fetch.bytes",
                           kj_args_has(args, "fetch-size") ? kj_args_get(args, "fetch-size")
                                                           : "1048576");
    kj_conf_set_option(args, conf, "auto.offset.reset",
                       kj_args_has(args, "from-latest") ? "latest" : "earliest");
    test.store = kj_tool_open(args, conf, KJ_OPEN_EXISTING);
    int status = 0;
    if (kj_args_has(args, "topic"))
        status = kj_topic_ensure(test.store, kj_args_get(args, "topic"), false);
    if (status == 0)
        status = measure(&test, conf);
    kaja_conf_free(conf);
    status = kj_tool_close(test.store, status);
    return kj_signal_status() != 0 ? kj_signal_status() : status;
}

const struct kj_command kj_cmd_consumer_perf_test = {
    .name = "consumer-perf-test",
    .summary = "Measure how fast records come out.",
    .options = options,
    .run = run,
};
