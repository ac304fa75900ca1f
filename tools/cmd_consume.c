/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_consume.c - kaja console-consumer: records become lines of standard output.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/formatter.h"
#include "tools/topic_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "NAME", "the topic to read; made if it does not exist"},
    {"include", "whitelist", KJ_OPT_ONE, "REGEX", "all topics whose names match"},
    {"partition", NULL, KJ_OPT_ONE, "N", "this partition only"},
    {"offset", NULL, KJ_OPT_ONE, "OFFSET",
     "with --partition: earliest, latest (default) or a number"},
    {"from-beginning", NULL, KJ_OPT_FLAG, NULL,
     "start at the first record instead of behind the last"},
    {"max-messages", NULL, KJ_OPT_ONE, "N", "end after so many records"},
    {"timeout-ms", NULL, KJ_OPT_ONE, "MS", "end when no record came for so long"},
    {"isolation-level", NULL, KJ_OPT_ONE, "LEVEL", "read_uncommitted (default) or read_committed"},
    {"group", NULL, KJ_OPT_ONE, "NAME", "share the topics with the others of a group"},
    {"formatter", NULL, KJ_OPT_ONE, "CLASS",
     "DefaultMessageFormatter, NoOp..., Offsets..., TransactionLog..."},
    {"formatter-property", "property", KJ_OPT_MANY, "NAME=VALUE", "what is shown, see below"},
    {"formatter-config", NULL, KJ_OPT_ONE, "FILE", "the same from a properties file"},
    {"key-deserializer", NULL, KJ_OPT_ONE, "CLASS", "how keys are shown"},
    {"value-deserializer", NULL, KJ_OPT_ONE, "CLASS", "how values are shown"},
    {"command-property", "consumer-property", KJ_OPT_MANY, "NAME=VALUE", "a consumer property"},
    {"command-config", "consumer.config", KJ_OPT_ONE, "FILE", "consumer properties file"},
    {"skip-message-on-error", NULL, KJ_OPT_FLAG, NULL, "pass over records that cannot be shown"},
    {"enable-systest-events", NULL, KJ_OPT_FLAG, NULL, "print shutdown_complete at the end"},
    {"json", NULL, KJ_OPT_FLAG, NULL, "a JSON object a line"},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

enum { REFRESH_MS = 2000 /* how soon new partitions and topics are noticed */ };

struct session {
    const struct kj_args *args;
    struct kaja_store *store;
    struct kaja_consumer *consumer;
    struct kj_formatter formatter;
    struct kj_out out;
    const char *topic; /* NULL: include */
    struct kj_pattern include;
    bool internal;      /* include matches internal topics too */
    bool grouped;       /* subscribed: the group says which partitions */
    int32_t partition;  /* -1: all */
    int64_t offset;     /* with partition: KAJA_OFFSET_..., or the number */
    int64_t max_count;  /* -1: no limit */
    int64_t timeout_ms; /* -1: none */
    bool skip_errors;
    bool show_terminal;                    /* stdout is one: flush every batch */
    struct kaja_topic_partition *assigned; /* topics are our own copies */
    size_t assigned_count;
    uint64_t count; /* records shown */
};

/* --- what is read ------------------------------------------------------------------------------
 */

static bool is_assigned(const struct session *s, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < s->assigned_count; i++)
        if (s->assigned[i].partition == partition && strcmp(s->assigned[i].topic, topic) == 0)
            return true;
    return false;
}

static void drop_list(struct kaja_topic_partition *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)list[i].topic);
    free(list);
}

/* The partitions that shall be read now. */
static int wanted_partitions(const struct session *s, struct kaja_topic_partition **ret_list,
                             size_t *ret_count)
{
    struct kaja_topic_list *all;
    const struct kaja_topic_info **topics = NULL;
    size_t topic_count = 0, count = 0;
    int err;
    if (s->topic != NULL) {
        err = kaja_admin_topic(s->store, s->topic, &all);
        if (err != 0)
            return err;
        topics = kj_xmalloc(sizeof *topics);
        topics[topic_count++] = &all->topics[0];
    } else {
        err = kj_topics_matching(s->store, &s->include, s->internal, &all, &topics, &topic_count);
        if (err != 0)
            return err;
    }
    for (size_t i = 0; i < topic_count; i++)
        count += (size_t)topics[i]->partition_count;
    struct kaja_topic_partition *list = kj_xmalloc(count * sizeof *list);
    count = 0;
    for (size_t i = 0; i < topic_count; i++)
        for (int32_t p = 0; p < topics[i]->partition_count; p++)
            if (s->partition < 0 || s->partition == p)
                list[count++] = (struct kaja_topic_partition){kj_xstrdup(topics[i]->name), p, 0};
    free(topics);
    kaja_topic_list_free(all);
    *ret_list = list;
    *ret_count = count;
    return 0;
}

/* Where the first look starts: an offset or end that was asked for; else auto.offset.reset, found
 * out now, so that what is sent from here on is seen. */
static int place_first(struct session *s, const struct kaja_topic_partition *at)
{
    int64_t offset;
    if (s->partition >= 0 && s->offset == KAJA_OFFSET_EARLIEST)
        return kaja_consumer_seek_to_beginning(s->consumer, at->topic, at->partition);
    if (s->partition >= 0 && s->offset >= 0)
        return kaja_consumer_seek(s->consumer, at->topic, at->partition, s->offset);
    return kaja_consumer_position(s->consumer, at->topic, at->partition, &offset);
}

/* Assigns what is there now. Partitions that came later are read from their beginning: nothing that
 * was sent while we were running is left out. */
static int refresh(struct session *s, bool first)
{
    struct kaja_topic_partition *list;
    size_t count, new_count = 0;
    int err = wanted_partitions(s, &list, &count);
    if (err != 0)
        return err;
    for (size_t i = 0; i < count; i++)
        new_count += !is_assigned(s, list[i].topic, list[i].partition);
    if (new_count == 0 && count == s->assigned_count) {
        drop_list(list, count);
        return 0;
    }
    err = kaja_consumer_assign(s->consumer, list, count);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (is_assigned(s, list[i].topic, list[i].partition))
            continue;
        err = first
                  ? place_first(s, &list[i])
                  : kaja_consumer_seek_to_beginning(s->consumer, list[i].topic, list[i].partition);
    }
    drop_list(s->assigned, s->assigned_count);
    s->assigned = list;
    s->assigned_count = count;
    return err;
}

/* In a group: the topics of today. */
static int subscribe(struct session *s)
{
    struct kaja_topic_list *all = NULL;
    const struct kaja_topic_info **topics = NULL;
    size_t count = 1, old_count = kaja_consumer_subscription(s->consumer, NULL, 0);
    int err = 0;
    if (s->topic == NULL)
        err = kj_topics_matching(s->store, &s->include, s->internal, &all, &topics, &count);
    if (err != 0)
        return err;
    const char **names = kj_xmalloc((count + 1) * sizeof *names);
    const char **old = kj_xmalloc((old_count + 1) * sizeof *old);
    if (s->topic != NULL)
        names[0] = s->topic;
    else
        for (size_t i = 0; i < count; i++)
            names[i] = topics[i]->name;
    (void)kaja_consumer_subscription(s->consumer, old, old_count);
    bool same = count == old_count; /* both are sorted */
    for (size_t i = 0; i < count && same; i++)
        same = strcmp(names[i], old[i]) == 0;
    if (!same)
        err = kaja_consumer_subscribe(s->consumer, names, count, NULL);
    s->assigned_count = count; /* nothing to poll for without a topic */
    free(names);
    free(old);
    free(topics);
    kaja_topic_list_free(all);
    return err;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void flush(struct session *s)
{
    kj_out_flush(&s->out);
    if (fflush(stdout) != 0 && s->out.error == 0)
        s->out.error = errno;
}

static bool is_done(const struct session *s)
{
    return s->max_count >= 0 && s->count >= (uint64_t)s->max_count;
}

/* An earlier record of its partition was given back, or the partition is no longer ours. */
static bool is_back_at(const struct session *s, const struct kaja_record_view *record)
{
    int64_t position;
    return kaja_consumer_position(s->consumer, record->topic, record->partition, &position) != 0 ||
           position <= record->offset;
}

/* In a group: what was polled but not shown is not committed; the position goes back to it, the
 * first of each partition that the batch has left. */
static void give_back(struct session *s, struct kaja_batch *batch)
{
    struct kaja_record_view record;
    while (s->grouped && kaja_batch_next(batch, &record))
        if (!is_back_at(s, &record))
            (void)kaja_consumer_seek(s->consumer, record.topic, record.partition, record.offset);
}

/* Shows the records of a batch. 0, or the exit status if one cannot be shown. */
static int show(struct session *s, struct kaja_batch *batch)
{
    struct kaja_record_view record;
    while (!is_done(s) && kaja_batch_next(batch, &record)) {
        const char *why;
        if (kj_formatter_put(&s->formatter, &s->out, &record, &why)) {
            s->count++;
            continue;
        }
        if (s->skip_errors) {
            kj_complain("Error processing message, skipping this message: %s", why);
            continue;
        }
        kj_complain("Error processing message, terminating consumer process: %s-%d offset %lld: %s",
                    record.topic, (int)record.partition, (long long)record.offset, why);
        if (s->grouped)
            (void)kaja_consumer_seek(s->consumer, record.topic, record.partition, record.offset);
        return KJ_EXIT_FAILURE;
    }
    return 0;
}

/* A poll that does not wait comes first; only when it is empty, what was gathered is written out
 * and the next one waits. *ret_batch is NULL if a signal woke us or nothing is assigned. */
static int next_batch(struct session *s, int64_t wait_ms, struct kaja_batch **ret_batch)
{
    *ret_batch = NULL;
    if (s->assigned_count == 0) {
        flush(s);
        kj_wait_readable(-1, (int)wait_ms);
        return 0;
    }
    struct kaja_batch *batch;
    int err = kaja_consumer_poll(s->consumer, 0, &batch);
    if (err == 0 && kaja_batch_count(batch) == 0) {
        kaja_batch_release(batch);
        flush(s);
        if (s->out.error != 0)
            return 0;
        err = kaja_consumer_poll(s->consumer, wait_ms, &batch);
    }
    if (err == 0)
        *ret_batch = batch;
    return err == KAJA_ERR_INTERRUPTED ? 0 : err;
}

static int stop_on_error(int err)
{
    kj_complain("Error processing message, terminating consumer process: %s (%s)", kj_reason(err),
                kaja_error_name(err));
    return KJ_EXIT_FAILURE;
}

static int pump(struct session *s)
{
    int64_t last_record_ns = kj_now_ns(), next_refresh_ns = last_record_ns;
    bool first = true;
    for (;;) {
        int64_t now = kj_now_ns();
        if (kj_signal_status() != 0 || s->out.error != 0 || is_done(s))
            return 0;
        if (now >= next_refresh_ns) {
            int err = s->grouped ? subscribe(s) : refresh(s, first);
            if (err != 0)
                return stop_on_error(err);
            first = false;
            next_refresh_ns = now + REFRESH_MS * INT64_C(1000000);
        }
        int64_t wait_ns = next_refresh_ns - now;
        if (s->timeout_ms >= 0) {
            int64_t left_ns = last_record_ns + s->timeout_ms * 1000000 - now;
            wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
        }
        struct kaja_batch *batch;
        int err = next_batch(s, wait_ns > 0 ? (wait_ns + 999999) / 1000000 : 0, &batch);
        if (err != 0)
            return stop_on_error(err);
        size_t got = kaja_batch_count(batch);
        if (got > 0) {
            int status = show(s, batch);
            /* The next poll may commit: what cannot be written stays the group's. */
            if (s->grouped)
                flush(s);
            if (s->grouped && s->out.error != 0)
                kaja_batch_rewind(batch);
            give_back(s, batch);
            kaja_batch_release(batch);
            if (status != 0)
                return status;
            last_record_ns = kj_now_ns();
            if (s->show_terminal && !s->grouped)
                flush(s);
        } else {
            kaja_batch_release(batch);
            if (s->timeout_ms >= 0 &&
                kj_now_ns() - last_record_ns >= s->timeout_ms * INT64_C(1000000))
                return 0;
        }
    }
}

/* --- the command ---------------------------------------------------------------------------------
 */

static int64_t offset_option(const struct kj_args *args)
{
    const char *text = kj_args_get(args, "offset");
    int64_t value;
    if (text == NULL)
        return kj_args_has(args, "from-beginning") ? KAJA_OFFSET_EARLIEST : KAJA_OFFSET_LATEST;
    if (strcasecmp(text, "earliest") == 0)
        return KAJA_OFFSET_EARLIEST;
    if (strcasecmp(text, "latest") == 0)
        return KAJA_OFFSET_LATEST;
    if (!kj_parse_int(text, &value) || value < 0)
        kj_usage(args,
                 "The provided offset value '%s' is incorrect. Valid values are 'earliest', "
                 "'latest', or a non-negative long.",
                 text);
    return value;
}

static void check_usage(const struct kj_args *args)
{
    if (kj_args_has(args, "topic") == kj_args_has(args, "include"))
        kj_usage(args, "Exactly one of the following arguments is required: [topic], [include]");
    if (kj_args_has(args, "partition")) {
        if (!kj_args_has(args, "topic"))
            kj_usage(args, "The topic is required when partition is specified.");
        kj_args_exclude(args, "group", "partition");
    }
    if (kj_args_has(args, "offset")) {
        if (!kj_args_has(args, "partition"))
            kj_usage(args, "The partition is required when offset is specified.");
        if (kj_args_has(args, "from-beginning"))
            kj_usage(args, "Options from-beginning and offset cannot be specified together.");
    }
}

/* The consumer's properties from files, properties and options, in rising order. */
static struct kaja_conf *consumer_conf(const struct kj_args *args)
{
    struct kaja_conf *conf = kj_conf_from_args(args);
    const char *group = kj_args_get(args, "group");
    if (group != NULL && kaja_conf_is_set(conf, "group.id") &&
        strcmp(kaja_conf_get(conf, "group.id"), group) != 0)
        kj_usage(args,
                 "The group ids provided in different places (directly using '--group' and as a "
                 "consumer property) do not match: %s, %s",
                 group, kaja_conf_get(conf, "group.id"));
    if (group != NULL)
        kj_conf_set_option(args, conf, "group.id", group);
    if (kaja_conf_is_set(conf, "group.id") && !kaja_conf_is_set(conf, "enable.auto.commit"))
        kj_conf_set_option(args, conf, "enable.auto.commit", "true");
    const char *level = kj_args_get(args, "isolation-level");
    if (level != NULL)
        kj_conf_set_option(args, conf, "isolation.level", level);
    bool latest = kaja_conf_is_set(conf, "auto.offset.reset") &&
                  strcmp(kaja_conf_get(conf, "auto.offset.reset"), "latest") == 0;
    if (kj_args_has(args, "from-beginning")) {
        if (latest)
            kj_usage(args, "Can't simultaneously specify --from-beginning and "
                           "'auto.offset.reset=latest', please remove one option");
        kj_conf_set_option(args, conf, "auto.offset.reset", "earliest");
    }
    if (kj_args_has(args, "offset") && offset_option(args) == KAJA_OFFSET_LATEST)
        kj_conf_set_option(args, conf, "auto.offset.reset", "latest");
    if (!kaja_conf_is_set(conf, "client.id"))
        kj_conf_set_option(args, conf, "client.id", "console-consumer");
    return conf;
}

static bool flag_of(const struct kaja_conf *conf, const char *name, bool fallback)
{
    const char *value = kaja_conf_get(conf, name);
    return value != NULL ? strcasecmp(value, "true") == 0 : fallback;
}

/* Makes the topic if it may, and sees that the partition exists. */
static int check_topic(const struct session *s, const struct kaja_conf *conf)
{
    if (s->topic == NULL)
        return 0;
    int status =
        kj_topic_ensure(s->store, s->topic, flag_of(conf, "allow.auto.create.topics", true));
    if (status != 0 || s->partition < 0)
        return status;
    struct kaja_topic_list *list;
    int err = kaja_admin_topic(s->store, s->topic, &list);
    if (err != 0)
        return stop_on_error(err);
    if (s->partition >= list->topics[0].partition_count) {
        kj_complain(
            "Topic '%s' has no partition %d: it has %d, numbered from 0 (UNKNOWN_PARTITION)",
            s->topic, (int)s->partition, (int)list->topics[0].partition_count);
        status = KJ_EXIT_FAILURE;
    }
    kaja_topic_list_free(list);
    return status;
}

/* What to say and return when stdout failed. */
static int output_status(const struct session *s, int status)
{
    if (s->out.error == 0)
        return status;
    if (s->out.error == EPIPE) {
        kj_complain("Unable to write to standard out, closing consumer.");
        return status;
    }
    kj_complain("kaja: cannot write to standard output: %s", strerror(s->out.error));
    return KJ_EXIT_FAILURE;
}

static int consume(struct session *s, const struct kaja_conf *conf)
{
    int status = check_topic(s, conf);
    if (status == 0) {
        int err = kaja_consumer_open(s->store, conf, &s->consumer);
        if (err != 0) {
            kj_complain_err(err, "kaja console-consumer");
            status = KJ_EXIT_FAILURE;
        }
    }
    if (status != 0)
        return status;
    kj_signals_catch(s->consumer);
    status = pump(s);
    flush(s);
    status = output_status(s, status);
    kj_signals_forget_consumer();
    int err = kaja_consumer_close(s->consumer, -1);
    if (err != 0) {
        kj_complain_err(err, "kaja console-consumer: closing the consumer");
        status = KJ_EXIT_FAILURE;
    }
    if (!s->grouped)
        drop_list(s->assigned, s->assigned_count);
    if (kj_args_has(s->args, "enable-systest-events") && s->out.error == 0)
        puts("shutdown_complete");
    kj_complain("Processed a total of %llu messages", (unsigned long long)s->count);
    return status;
}

static int run(const struct kj_args *args)
{
    struct session s = {.args = args};
    check_usage(args);
    s.topic = kj_args_get(args, "topic");
    s.partition = (int32_t)kj_args_int(args, "partition", -1, 0, INT32_MAX);
    s.offset = offset_option(args);
    s.max_count = kj_args_int(args, "max-messages", -1, -1, INT64_MAX);
    s.timeout_ms = kj_args_int(args, "timeout-ms", -1, -1, INT32_MAX);
    s.skip_errors = kj_args_has(args, "skip-message-on-error");
    s.show_terminal = isatty(STDOUT_FILENO);
    kj_formatter_init(args, &s.formatter);
    if (s.topic == NULL)
        kj_topic_filter(args, kj_args_get(args, "include"), &s.include);
    struct kaja_conf *conf = consumer_conf(args);
    s.internal = !flag_of(conf, "exclude.internal.topics", true);
    s.grouped = kaja_conf_is_set(conf, "group.id") && s.partition < 0;
    s.store = kj_tool_open(args, conf, KJ_OPEN_EXISTING);
    kj_out_init(&s.out, STDOUT_FILENO);
    static char stdout_buffer[KJ_OUT_BYTES]; /* for the formatters that write through stdio */
    setvbuf(stdout, stdout_buffer, _IOFBF, sizeof stdout_buffer);
    int status = consume(&s, conf);
    kaja_conf_free(conf);
    kj_out_free(&s.out);
    kj_formatter_free(&s.formatter);
    if (s.topic == NULL)
        kj_pattern_free(&s.include);
    status = kj_tool_close(s.store, status);
    return kj_signal_status() != 0 ? kj_signal_status() : status;
}

const struct kj_command kj_cmd_console_consumer = {
    .name = "console-consumer",
    .alias = "consume",
    .summary = "Print the records of a topic.",
    .notes = kj_formatter_notes,
    .options = options,
    .run = run,
};
