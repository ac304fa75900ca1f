/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/cmd_produce.c - kaja console-producer: lines of standard input become records.
 */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/line_reader.h"
#include "tools/props.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct kj_option options[] = {
    {"topic", NULL, KJ_OPT_ONE, "NAME", "the topic to send to; made if it does not exist"},
    {"partition", NULL, KJ_OPT_ONE, "N", "send to this partition (default: by key, else in turns)"},
    {"acks", "request-required-acks", KJ_OPT_ONE, "0|1|all",
     "what a record must survive (default all)"},
    {"reader-property", "property", KJ_OPT_MANY, "NAME=VALUE",
     "how lines are taken apart, see below"},
    {"reader-config", NULL, KJ_OPT_ONE, "FILE", "the same from a properties file"},
    {"command-property", "producer-property", KJ_OPT_MANY, "NAME=VALUE", "a producer property"},
    {"command-config", "producer.config", KJ_OPT_ONE, "FILE", "producer properties file"},
    {"compression-codec", NULL, KJ_OPT_OPTIONAL, "CODEC",
     "none (default), gzip, snappy, lz4 or zstd; gzip without value"},
    {"batch-size", NULL, KJ_OPT_ONE, "BYTES", "batch.size"},
    {"max-partition-memory-bytes", NULL, KJ_OPT_ONE, "BYTES",
     "the older name of --batch-size, wins over it"},
    {"timeout", NULL, KJ_OPT_ONE, "MS", "linger.ms (default 0)"},
    {"sync", NULL, KJ_OPT_FLAG, NULL, "wait for each record before the next line is read"},
    {"message-send-max-retries", NULL, KJ_OPT_ONE, "N", "retries"},
    {"retry-backoff-ms", NULL, KJ_OPT_ONE, "MS", "retry.backoff.ms"},
    {"max-block-ms", NULL, KJ_OPT_ONE, "MS", "max.block.ms"},
    {"max-memory-bytes", NULL, KJ_OPT_ONE, "BYTES", "buffer.memory"},
    {"line-reader", NULL, KJ_OPT_ONE, "CLASS", NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

static const char notes[] =
    "Reader properties: parse.key=false, key.separator=<tab>, parse.headers=false,\n"
    "headers.delimiter=<tab>, headers.separator=',', headers.key.separator=':',\n"
    "ignore.error=false, null.marker (unset). A line is: "
    "[headers<delimiter>][key<separator>]value.\n"
    "A line ends at LF or CRLF; a single CR is data. Every line is a record, also an empty one.\n";

/* --- how a line is taken apart -----------------------------------------------------------------
 */

struct word {
    const char *text; /* NULL: not set */
    size_t bytes;
};

struct line_format {
    struct kj_props props; /* owns the texts */
    bool parse_key, parse_headers, ignore_error;
    struct word key_separator, headers_delimiter, headers_separator, headers_key_separator;
    struct word null_marker;
};

static struct word word_of(const struct kj_props *props, const char *name, const char *fallback)
{
    const char *text = kj_props_get(props, name, fallback);
    return (struct word){text, text != NULL ? strlen(text) : 0};
}

static bool same_word(struct word a, struct word b)
{
    return a.text != NULL && b.text != NULL && a.bytes == b.bytes &&
           memcmp(a.text, b.text, a.bytes) == 0;
}

static void load_format(const struct kj_args *args, struct line_format *format)
{
    static const char *const names[] = {"parse.key",
                                        "key.separator",
                                        "parse.headers",
                                        "headers.delimiter",
                                        "ignore.error",
                                        "headers.separator",
                                        "headers.key.separator",
                                        "null.marker",
                                        "topic",
                                        NULL};
    kj_props_load(args, "reader-config", "reader-property", &format->props);
    const struct kj_props *props = &format->props;
    kj_props_check(args, props, names, "line reader");
    format->parse_key = kj_props_flag(props, "parse.key", false);
    format->parse_headers = kj_props_flag(props, "parse.headers", false);
    format->ignore_error = kj_props_flag(props, "ignore.error", false);
    format->key_separator = word_of(props, "key.separator", "\t");
    format->headers_delimiter = word_of(props, "headers.delimiter", "\t");
    format->headers_separator = word_of(props, "headers.separator", ",");
    format->headers_key_separator = word_of(props, "headers.key.separator", ":");
    format->null_marker = word_of(props, "null.marker", NULL);

    const struct {
        struct word word;
        const char *name;
    } rows[] = {{format->headers_delimiter, "headers.delimiter"},
                {format->headers_separator, "headers.separator"},
                {format->headers_key_separator, "headers.key.separator"},
                {format->key_separator, "key.separator"}};
    for (size_t i = 0; i < 4; i++) {
        if (rows[i].word.bytes == 0)
            kj_usage(args, "%s may not be empty", rows[i].name);
        if (same_word(rows[i].word, format->null_marker))
            kj_usage(args, "null.marker and %s may not be equal", rows[i].name);
        for (size_t j = i + 1; j < 3; j++)
            if (same_word(rows[i].word, rows[j].word))
                kj_usage(args, "%s and %s may not be equal", rows[i].name, rows[j].name);
    }
}

static const char *find(const char *text, size_t bytes, struct word word)
{
    if (word.bytes == 1)
        return bytes > 0 ? memchr(text, word.text[0], bytes) : NULL;
    return memmem(text, bytes, word.text, word.bytes);
}

static bool is_null(const struct line_format *format, const char *text, size_t bytes)
{
    return same_word(format->null_marker, (struct word){text, bytes});
}

struct headers {
    struct kaja_header *items;
    size_t count, room;
};

/* h1:v1,h2:v2; false after a complaint. */
static bool parse_headers(const struct line_format *format, const char *text, size_t bytes,
                          uint64_t line_number, struct headers *headers)
{
    const char *end = text + bytes;
    struct word separator = format->headers_separator;
    /* Empty pairs at the end are none, as Java splits; a text of nothing else has no headers. */
    while ((size_t)(end - text) >= separator.bytes &&
           memcmp(end - separator.bytes, separator.text, separator.bytes) == 0)
        end -= separator.bytes;
    if (end == text && bytes > 0)
        return true;
    for (const char *p = text;;) {
        const char *pair_end = find(p, (size_t)(end - p), separator);
        bool last = pair_end == NULL;
        pair_end = last ? end : pair_end;
        size_t pair_bytes = (size_t)(pair_end - p);
        const char *colon = find(p, pair_bytes, format->headers_key_separator);
        if (colon == NULL && !format->ignore_error) {
            kj_complain("No header key separator found in pair '%.*s' on line number %llu",
                        (int)(pair_bytes < 200 ? pair_bytes : 200), p,
                        (unsigned long long)line_number);
            return false;
        }
        if (headers->count == headers->room) {
            headers->room = headers->room == 0 ? 8 : headers->room * 2;
            headers->items = kj_xrealloc(headers->items, headers->room * sizeof *headers->items);
        }
        struct kaja_header *header = &headers->items[headers->count++];
        *header = (struct kaja_header){.key = p, .key_bytes = pair_bytes};
        if (colon != NULL) {
            const char *value = colon + format->headers_key_separator.bytes;
            header->key_bytes = (size_t)(colon - p);
            if (is_null(format, p, header->key_bytes)) {
                kj_complain("Header keys should not be equal to the null marker '%s' as they can't "
                            "be null (line number %llu)",
                            format->null_marker.text, (unsigned long long)line_number);
                return false;
            }
            if (!is_null(format, value, (size_t)(pair_end - value))) {
                header->value = value;
                header->value_bytes = (size_t)(pair_end - value);
            }
        }
        if (last)
            return true;
        p = pair_end + separator.bytes;
    }
}

/* Cuts the part up to the separator off the line. 1 cut, 0 there is none and that is all right, -1
 * after a complaint. */
static int cut(const struct line_format *format, struct word separator, const char *what,
               uint64_t line_number, const char *whole, size_t whole_bytes, const char **line,
               size_t *bytes, struct word *ret_part)
{
    const char *found = find(*line, *bytes, separator);
    if (found == NULL) {
        if (format->ignore_error)
            return 0;
        kj_complain("No %s found on line number %llu: '%.*s'", what,
                    (unsigned long long)line_number, (int)(whole_bytes < 200 ? whole_bytes : 200),
                    whole);
        return -1;
    }
    *ret_part = (struct word){*line, (size_t)(found - *line)};
    size_t taken = ret_part->bytes + separator.bytes;
    *line += taken;
    *bytes -= taken;
    return 1;
}

/* Fills key, value and headers of the record with views into the line; false after a complaint. */
static bool parse_line(const struct line_format *format, const char *line, size_t bytes,
                       uint64_t line_number, struct headers *headers, struct kaja_record *record)
{
    const char *whole = line;
    size_t whole_bytes = bytes;
    struct word part;
    record->key = NULL;
    record->key_bytes = 0;
    headers->count = 0;
    if (format->parse_headers) {
        int found = cut(format, format->headers_delimiter, "headers delimiter", line_number, whole,
                        whole_bytes, &line, &bytes, &part);
        if (found < 0 || (found > 0 && !is_null(format, part.text, part.bytes) &&
                          !parse_headers(format, part.text, part.bytes, line_number, headers)))
            return false;
    }
    if (format->parse_key) {
        int found = cut(format, format->key_separator, "key separator", line_number, whole,
                        whole_bytes, &line, &bytes, &part);
        if (found < 0)
            return false;
        if (found > 0 && !is_null(format, part.text, part.bytes)) {
            record->key = part.text;
            record->key_bytes = part.bytes;
        }
    }
    bool null_value = is_null(format, line, bytes);
    record->value = null_value ? NULL : line;
    record->value_bytes = null_value ? 0 : bytes;
    record->headers = headers->items;
    record->header_count = headers->count;
    return true;
}

/* --- sending ---------------------------------------------------------------------------------- */

enum { ERRORS_SHOWN_MAX = 10 };

/* The callback's argument carries the sizes of key and value, so that no record needs memory of its
 * own: value bytes + 1 in the low half, key bytes + 1 in the high one, 0 for null. */
static struct {
    const char *topic;
    uint64_t sent, answered, failed;
} deliveries;

static uint64_t pack_sizes(const struct kaja_record *record)
{
    uint64_t key = record->key != NULL ? (uint32_t)(record->key_bytes + 1) : 0;
    uint64_t value = record->value != NULL ? (uint32_t)(record->value_bytes + 1) : 0;
    return key << 32 | value;
}

static void tell_failure(uint64_t sizes, int error, const char *reason)
{
    char key[32] = "null", value[32] = "null";
    if (++deliveries.failed > ERRORS_SHOWN_MAX)
        return;
    if (sizes >> 32 != 0)
        snprintf(key, sizeof key, "%u bytes", (uint32_t)(sizes >> 32) - 1);
    if ((uint32_t)sizes != 0)
        snprintf(value, sizeof value, "%u bytes", (uint32_t)sizes - 1);
    kj_complain(
        "Error when sending message to topic %s with key: %s, value: %s with error: %s (%s)",
        deliveries.topic, key, value, reason, kaja_error_name(error));
}

static void on_delivery(void *arg, int error, const struct kaja_metadata *metadata)
{
    (void)metadata;
    deliveries.answered++;
    if (error != 0)
        tell_failure((uint64_t)(uintptr_t)arg, error, kj_reason(error)); /* the detail is this delivery's */
}

/* Whether the next record may fare better. */
static bool can_go_on(int err)
{
    switch (err) {
    case KAJA_ERR_RECORD_TOO_LARGE:
    case KAJA_ERR_INVALID_RECORD:
    case KAJA_ERR_INVALID_TIMESTAMP:
    case KAJA_ERR_INVALID_ARG:
    case KAJA_ERR_BUFFER_EXHAUSTED:
    case KAJA_ERR_QUEUE_FULL:
    case KAJA_ERR_TIMED_OUT:
    case KAJA_ERR_MSG_TIMED_OUT:
    case KAJA_ERR_DISK_FULL:
    case KAJA_ERR_LOCK_TIMED_OUT:
        return true;
    default:
        return false;
    }
}

/* False if there is no point in going on. */
static bool send_record(struct kaja_producer *producer, const struct kaja_record *record, bool sync)
{
    uint64_t sizes = pack_sizes(record);
    int err;
    if (sync) {
        struct kaja_metadata metadata;
        err = kaja_producer_send(producer, record, -1, &metadata);
    } else {
        err = kaja_producer_produce(producer, record, on_delivery, (void *)(uintptr_t)sizes);
        deliveries.sent += err == 0;
    }
    if (err == 0)
        return true;
    tell_failure(sizes, err, kj_reason(err));
    return can_go_on(err);
}

/* --- the command ------------------------------------------------------------------------------ */

struct session {
    const struct kj_args *args;
    struct kaja_producer *producer;
    struct line_format format;
    struct kj_line_reader reader;
    struct headers headers;
    struct kaja_record record;
    uint64_t line_number;
    bool sync;
    bool prompt;
    bool unreadable; /* reading stdin failed */
};

/* Waits for input; serves deliveries meanwhile. False if a signal came or reading failed. */
static bool read_more(struct session *s)
{
    if (s->prompt) {
        fputs(">", stdout);
        fflush(stdout);
    }
    kaja_producer_poll(s->producer, 0, NULL);
    int ready = kj_wait_readable(s->reader.fd, 0);
    while (ready == 0) {
        bool waiting = deliveries.sent > deliveries.answered;
        kaja_producer_poll(s->producer, waiting ? 10 : 0, NULL); /* also serves events */
        ready = kj_wait_readable(s->reader.fd, waiting ? 0 : 1000);
    }
    if (ready < 0)
        return false;
    int error = kj_line_fill(&s->reader);
    if (error == 0 || error == EINTR || error == EAGAIN)
        return true;
    kj_complain("kaja: cannot read standard input: %s", strerror(error));
    s->unreadable = true;
    return false;
}

enum { POLL_EVERY = 1024 /* records between two looks at deliveries */ };

/* 0, or 1 if a line could not be taken apart or nothing more can be sent. */
static int pump(struct session *s)
{
    for (;;) {
        const char *line;
        size_t bytes;
        switch (kj_line_next(&s->reader, &line, &bytes)) {
        case KJ_LINE_MORE:
            if (!read_more(s))
                return s->unreadable ? KJ_EXIT_FAILURE : 0;
            continue;
        case KJ_LINE_END:
            return 0;
        case KJ_LINE_TOO_LONG:
            s->line_number++;
            deliveries.failed++;
            kj_complain("Error when sending message to topic %s: line number %llu is longer than "
                        "max.request.size allows and is left out (RECORD_TOO_LARGE)",
                        deliveries.topic, (unsigned long long)s->line_number);
            continue;
        case KJ_LINE:
            break;
        }
        s->line_number++;
        if (!parse_line(&s->format, line, bytes, s->line_number, &s->headers, &s->record))
            return KJ_EXIT_FAILURE;
        if (!send_record(s->producer, &s->record, s->sync))
            return KJ_EXIT_FAILURE;
        if (s->line_number % POLL_EVERY == 0) {
            kaja_producer_poll(s->producer, 0, NULL);
            if (kj_signal_status() != 0)
                return 0;
        }
    }
}

/* Console options are other names for producer properties; a number given on the line wins over the
 * property, the property over the default. */
static void apply_options(const struct kj_args *args, struct kaja_conf *conf)
{
    static const struct {
        const char *option, *property;
    } numbers[] = {{"batch-size", "batch.size"},
                   {"max-partition-memory-bytes", "batch.size"},
                   {"timeout", "linger.ms"},
                   {"message-send-max-retries", "retries"},
                   {"retry-backoff-ms", "retry.backoff.ms"},
                   {"max-block-ms", "max.block.ms"},
                   {"max-memory-bytes", "buffer.memory"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        kj_args_int(args, numbers[i].option, 0, 0, INT64_MAX);
        if (kj_args_has(args, numbers[i].option))
            kj_conf_set_option(args, conf, numbers[i].property,
                               kj_args_get(args, numbers[i].option));
    }
    const char *acks = kj_args_get(args, "acks");
    if (acks != NULL)
        kj_conf_set_option(args, conf, "acks", acks);

    const char *codec = kj_args_get(args, "compression-codec");
    if (codec == NULL)
        codec = kj_args_has(args, "compression-codec") ? "gzip" : "none";
    if (kaja_conf_is_set(conf, "compression.type") &&
        strcmp(kaja_conf_get(conf, "compression.type"), codec) != 0)
        kj_complain("WARN --compression-codec (%s) overrides compression.type=%s", codec,
                    kaja_conf_get(conf, "compression.type"));
    kj_conf_set_option(args, conf, "compression.type", codec);
    if (!kaja_conf_is_set(conf, "client.id"))
        kj_conf_set_option(args, conf, "client.id", "console-producer");
}

static size_t line_max_of(const struct kaja_conf *conf)
{
    const char *text = kaja_conf_get(conf, "max.request.size");
    int64_t value;
    if (text == NULL || !kj_parse_int(text, &value))
        value = 1048576;
    return (size_t)value + 4096; /* separators and null markers do not reach the record */
}

static int produce(struct session *s, struct kaja_store *store, const struct kaja_conf *conf)
{
    int err = kaja_producer_open(store, conf, &s->producer);
    if (err != 0) {
        kj_complain_err(err, "kaja console-producer");
        return KJ_EXIT_FAILURE;
    }
    kj_line_init(&s->reader, STDIN_FILENO, line_max_of(conf));
    kj_signals_catch(NULL);
    int status = pump(s);
    /* Every record has its delivery.timeout.ms, so this ends; a second signal ends it at once. */
    err = kaja_producer_close(s->producer, -1);
    if (err != 0) {
        kj_complain_err(err, "kaja console-producer: closing the producer");
        status = KJ_EXIT_FAILURE;
    }
    kj_line_free(&s->reader);
    free(s->headers.items);
    return status;
}

static int run(const struct kj_args *args)
{
    struct session s = {.args = args, .record = KAJA_RECORD_INIT};
    deliveries.topic = s.record.topic = kj_args_required(args, "topic");
    s.record.partition = (int32_t)kj_args_int(args, "partition", KAJA_PARTITION_ANY, 0, INT32_MAX);
    s.sync = kj_args_has(args, "sync");
    s.prompt = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    load_format(args, &s.format);
    struct kaja_conf *conf = kj_conf_from_args(args);
    apply_options(args, conf);
    struct kaja_store *store = kj_tool_open(args, conf, KJ_OPEN_CREATE);
    int status = kj_topic_ensure(store, s.record.topic, true);
    if (status == 0)
        status = produce(&s, store, conf);
    kaja_conf_free(conf);
    kj_props_free(&s.format.props);
    if (deliveries.failed > 0) {
        status = KJ_EXIT_FAILURE;
        kj_complain("kaja console-producer: %llu of %llu records were not sent",
                    (unsigned long long)deliveries.failed, (unsigned long long)s.line_number);
    }
    status = kj_tool_close(store, status);
    return kj_signal_status() != 0 ? kj_signal_status() : status;
}

const struct kj_command kj_cmd_console_producer = {
    .name = "console-producer",
    .alias = "produce",
    .summary = "Send lines of standard input as records.",
    .notes = notes,
    .options = options,
    .run = run,
};
