/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Properties: each row of the table, the bag, files, and what the rooms get out of it.
 */
#include "kjtest.h"

#include "api/conf.h"
#include "api/conf_file.h"
#include "api/conf_row.h"

#include "base/alloc.h"
#include "client/consumer.h"
#include "client/producer.h"

#include <unistd.h>

static struct kaja_conf *new_conf(void)
{
    struct kaja_conf *conf = NULL;
    assert_ok(kaja_conf_new(&conf));
    return conf;
}

static bool detail_has(const char *text)
{
    if (strstr(kaja_error_detail(), text) != NULL)
        return true;
    print_message("detail: %s\n", kaja_error_detail());
    return false;
}

/* --- the table --- */

static void test_rows(void **state)
{
    (void)state;
    const struct kj_conf_row *row;
    size_t count = 0;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++, count++) {
        const struct kaja_conf_info *info = &row->info;
        assert_ptr_equal(info, kaja_conf_table(i));
        if (info->name == NULL || info->scope == NULL || info->type == NULL ||
            info->valid == NULL ||
            info->unit == NULL || info->text == NULL || info->effect < -1 || info->effect > 1)
            fail_msg("row %zu is not complete", i);
        assert_true(strlen(info->name) <= 80);
        assert_true(info->text[strlen(info->text) - 1] == '.');
        /* (name, scope) is a key */
        assert_ptr_equal(kj_conf_row_find(info->name, row->scopes), row);
        /* A member of 32 bits takes whatever the row takes. */
        if (row->field.ctype == KJ_CONF_C_I32 || row->field.ctype == KJ_CONF_C_U32)
            assert_true(row->type == KJ_CONF_INT || row->choices != NULL);
        if (row->field.ctype == KJ_CONF_C_U32 || row->field.ctype == KJ_CONF_C_SIZE)
            assert_true(row->choices != NULL || (row->min >= 0 && row->also >= 0));
        if (row->field.ctype == KJ_CONF_C_BOOL)
            assert_true(row->type == KJ_CONF_BOOL || row->choices != NULL);
        if (info->broker_name != NULL)
            assert_non_null(kj_conf_row_find(info->broker_name, KJ_SCOPE_DIRECTORY));
        if (info->default_value != NULL) {
            int64_t number;
            assert_ok(kj_conf_value_parse(row, info->default_value, &number));
            char *text;
            assert_ok(kj_conf_value_text(row, info->default_value, &text));
            assert_ok(kj_conf_value_built(row, text));
            kj_free(text);
        }
    }
    assert_null(kaja_conf_table(count));
    assert_true(count > 150);
}

static void expect(const struct kj_conf_row *row, const char *text, bool good)
{
    int64_t number = 77;
    int err = kj_conf_value_parse(row, text, &number);
    if ((err == 0) != good)
        fail_msg("%s=%s: %s", row->info.name, text, kaja_error_name(err));
    if (!good) {
        assert_int_equal(err, KAJA_ERR_INVALID_CONFIG);
        assert_int_equal(number, 77);
        assert_true(detail_has(row->info.name));
        assert_true(detail_has(row->info.valid));
    }
}

static void expect_number(const struct kj_conf_row *row, int64_t number, bool good)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    expect(row, text, good);
}

static void test_limits(void **state)
{
    (void)state;
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        bool wide = row->type == KJ_CONF_LONG;
        switch (row->type) {
        case KJ_CONF_BOOL:
            expect(row, " TRUE ", true);
            expect(row, "False", true);
            expect(row, "yes", false);
            expect(row, "", false);
            expect(row, "truee", false);
            expect(row, "tru", false);
            break;
        case KJ_CONF_INT:
        case KJ_CONF_LONG: {
            int64_t least = wide || row->min > INT32_MIN ? row->min : INT32_MIN;
            int64_t most = wide || row->max < INT32_MAX ? row->max : INT32_MAX;
            expect_number(row, least, true);
            expect_number(row, most, true);
            expect_number(row, row->also, true);
            if (least > INT64_MIN)
                expect_number(row, least - 1, least - 1 == row->also);
            if (most < INT64_MAX)
                expect_number(row, most + 1, false);
            expect(row, "", false);
            expect(row, "1x", false);
            expect(row, "1 2", false);
            expect(row, "0x10", false);
            expect(row, "1.0", false);
            expect(row, "-", false);
            expect(row, "9223372036854775808", false);
            expect(row, "-9223372036854775809", false);
            break;
        }
        case KJ_CONF_DOUBLE:
            expect(row, "0.25", true);
            expect(row, "1e-3", true);
            expect(row, "nan", false);
            expect(row, "-0.1", false);
            expect(row, "", false);
            expect(row, ".", false);
            expect(row, "1e", false);
            expect(row, "0,5", false);
            break;
        case KJ_CONF_STRING:
        case KJ_CONF_LIST:
            if (row->choices == NULL)
                break;
            expect(row, "nonsense", false);
            expect(row, row->choices, row->type == KJ_CONF_LIST);
            expect(row, "", row->type == KJ_CONF_LIST);
            break;
        }
    }
}

static void test_special_values(void **state)
{
    (void)state;
    const struct kj_conf_row *row = kj_conf_row_find("log.retention.ms", KJ_SCOPE_DIRECTORY);
    expect(row, "-1", true);
    expect(row, "0", false);
    expect(row, "1", true);
    row = kj_conf_row_find("retention.ms", KJ_SCOPE_TOPIC);
    expect(row, "0", true);
    expect(row, "+5", true);
    row = kj_conf_row_find("compression.gzip.level", KJ_SCOPE_TOPIC);
    expect(row, "0", false);
    expect(row, "9", true);
    expect(row, "10", false);
    row = kj_conf_row_find("auto.offset.reset", KJ_SCOPE_CONSUMER);
    expect(row, "earliest", true);
    expect(row, "by_duration:P1DT2H", true);
    expect(row, "by_duration:x", false);
    expect(row, "first", false);
    row = kj_conf_row_find("cleanup.policy", KJ_SCOPE_TOPIC);
    expect(row, "delete,compact", true);
    expect(row, "delete,,compact", false);
    expect(row, "delete,delete", false);
    expect(row, "Delete", false);
    row = kj_conf_row_find("log.cleaner.io.max.bytes.per.second", KJ_SCOPE_DIRECTORY);
    expect(row, "1e999", false);
    expect(row, "12.5E3", true);
}

/* --- the bag --- */

static void test_bag(void **state)
{
    (void)state;
    struct kaja_conf *conf = new_conf();
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "0");
    assert_int_equal(kaja_conf_is_set(conf, "linger.ms"), 0);
    assert_ok(kaja_conf_set(conf, "linger.ms", " +007 "));
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "7");
    assert_int_equal(kaja_conf_is_set(conf, "linger.ms"), 1);
    assert_ok(kaja_conf_set(conf, "linger.ms", "8"));
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "8");
    assert_err(kaja_conf_set(conf, "linger.ms", "-1"), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has("linger.ms: \"-1\" is not valid; allowed: long, at least 0"));
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "8");
    assert_ok(kaja_conf_set(conf, "check.crcs", "TRUE"));
    assert_string_equal(kaja_conf_get(conf, "check.crcs"), "true");
    assert_ok(kaja_conf_set(conf, "bootstrap.servers", " a:1 , b:2 "));
    assert_string_equal(kaja_conf_get(conf, "bootstrap.servers"), "a:1,b:2");
    assert_null(kaja_conf_get(conf, "group.id"));
    assert_null(kaja_conf_get(conf, "no.such.thing"));
    assert_null(kaja_conf_get(conf, NULL));
    /* shared names: what any of the scopes takes */
    assert_ok(kaja_conf_set(conf, "compression.type", "producer"));
    assert_ok(kaja_conf_set(conf, "compression.type", "none"));
    assert_err(kaja_conf_set(conf, "compression.type", "zip"), KAJA_ERR_INVALID_CONFIG);

    assert_err(kaja_conf_set(conf, NULL, "1"), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_conf_set(conf, "linger.ms", NULL), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_conf_set(NULL, "linger.ms", "1"), KAJA_ERR_INVALID_ARG);
    assert_err(kaja_conf_new(NULL), KAJA_ERR_INVALID_ARG);
    char *huge = malloc(40000);
    assert_non_null(huge);
    memset(huge, 'x', 39999);
    huge[39999] = '\0';
    assert_err(kaja_conf_set(conf, "client.id", huge), KAJA_ERR_INVALID_CONFIG);
    assert_err(kaja_conf_set(conf, huge, "x"), KAJA_ERR_INVALID_CONFIG);
    free(huge);
    kaja_conf_free(conf);
    kaja_conf_free(NULL);
}

static void test_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *wrong, *meant;
    } pairs[] = {
        {"retention_ms", "\"retention.ms\""},
        {"Retention-MS", "\"retention.ms\""},
        {"retenton.ms", "\"retention.ms\""},
        {"linger", "\"linger.ms\""},
        {"ack", "\"acks\""},
        {"akcs", "\"acks\""},
        {"sgement.bytes", "\"segment.bytes\""},
        {"group_id", "\"group.id\""},
        {"kaja.readonly", "\"kaja.read.only\""},
        {"log.retention.hour", "\"log.retention.hours\""},
    };
    struct kaja_conf *conf = new_conf();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_err(kaja_conf_set(conf, pairs[i].wrong, "1"), KAJA_ERR_INVALID_CONFIG);
        assert_true(detail_has("did you mean"));
        assert_true(detail_has(pairs[i].meant));
    }
    assert_err(kaja_conf_set(conf, "xyzzy", "1"), KAJA_ERR_INVALID_CONFIG);
    assert_false(strstr(kaja_error_detail(), "did you mean") != NULL);
    assert_err(kaja_conf_set(conf, "", "1"), KAJA_ERR_INVALID_CONFIG);
    kaja_conf_free(conf);
}

static void test_not_built(void **state)
{
    (void)state;
    struct kaja_conf *conf = new_conf();
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        if (row->info.effect >= 0)
            continue;
        if (row->info.default_value != NULL)
            assert_ok(kaja_conf_set(conf, row->info.name, row->info.default_value));
        else
            assert_err(kaja_conf_set(conf, row->info.name, "1"), KAJA_ERR_UNSUPPORTED_FEATURE);
    }
    assert_err(kaja_conf_set(conf, "transactional.id", "t"), KAJA_ERR_UNSUPPORTED_FEATURE);
    assert_true(detail_has("transactional.id: this is not built yet"));
    assert_err(kaja_conf_set(conf, "group.protocol", "consumer"), KAJA_ERR_UNSUPPORTED_FEATURE);
    assert_err(kaja_conf_set(conf, "group.protocol", "classics"), KAJA_ERR_INVALID_CONFIG);
    assert_ok(kaja_conf_set(conf, "group.protocol", "classic"));
    assert_err(kaja_conf_set(conf, "session.timeout.ms", "x"), KAJA_ERR_INVALID_CONFIG);
    assert_ok(kaja_conf_set(conf, "cleanup.policy", "compact"));
    assert_ok(kaja_conf_set(conf, "log.cleanup.policy", "delete, compact"));
    assert_ok(kaja_conf_set(conf, "cleanup.policy", ""));
    assert_ok(kaja_conf_set(conf, "enable.idempotence", "true"));
    kaja_conf_free(conf);
}

/* --- files --- */

struct collected {
    char text[4096];
};

static int collect(void *arg, int line, const char *name, const char *value)
{
    struct collected *c = arg;
    size_t at = strlen(c->text);
    (void)snprintf(c->text + at, sizeof c->text - at, "%d[%s][%s]", line, name, value);
    return 0;
}

static void expect_parse(const char *bytes, size_t len, const char *wanted)
{
    struct collected c = {.text = ""};
    char *exact = malloc(len + 1); /* so that a read behind the end is seen */
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    assert_ok(kj_conf_file_parse("f", exact, len, collect, &c));
    free(exact);
    assert_string_equal(c.text, wanted);
}
#define PARSE(bytes, wanted) expect_parse(bytes, sizeof(bytes) - 1, wanted)

static void test_file_format(void **state)
{
    (void)state;
    PARSE("", "");
    PARSE("\n\r\r\n \t\f\n", "");
    PARSE("# c\n! d\n   # e\na=b", "4[a][b]");
    PARSE("a=b\r\nc:d\re f\n", "1[a][b]2[c][d]3[e][f]");
    PARSE("a = b \nc : d\ne\t=\tf\n", "1[a][b ]2[c][d]3[e][f]");
    PARSE("a==b\na2 = = b\na3 x=y\n", "1[a][=b]2[a2][= b]3[a3][x=y]");
    PARSE("a\nb=\nc:\nd \n", "1[a][]2[b][]3[c][]4[d][]");
    PARSE("=v\n", "1[][v]");
    PARSE("a=1,\\\n   2,\\\n  3\nb=4", "1[a][1,2,3]4[b][4]");
    PARSE("a=x\\\\\nb=y", "1[a][x\\]2[b][y]");
    PARSE("a=x\\\\\\\ny\n", "1[a][x\\y]");
    PARSE("a=x\\", "1[a][x]");
    PARSE("\\", "");
    PARSE("a\\\n=b", "1[a][b]");
    PARSE("# comment \\\na=b", "2[a][b]");
    PARSE("a=\\\n# not a comment\n", "1[a][# not a comment]");
    PARSE("a=\\\n\n\nb=c", "1[a][]4[b][c]");
    PARSE("a\\=b\\:c\\ d=e", "1[a=b:c d][e]");
    PARSE("a=\\t\\n\\r\\f\\q\\\"", "1[a][\t\n\r\fq\"]");
    PARSE("a=\\u00e9\\u20AC\\ud83d\\ude00", "1[a][\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80]");
    PARSE("a=\\ud83d!\\ude00", "1[a][\xef\xbf\xbd!\xef\xbf\xbd]");
    PARSE("a=\\ud83d\\u0041", "1[a][\xef\xbf\xbd" "A]");
    PARSE("a=\xc3\xa9\xff", "1[a][\xc3\xa9\xff]");

    struct collected c = {.text = ""};
    assert_err(kj_conf_file_parse("f", "x=1\na=\\u12", 10, collect, &c), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has("f, line 2"));
    assert_err(kj_conf_file_parse("f", "a=\\u0000", 8, collect, &c), KAJA_ERR_INVALID_CONFIG);
    assert_err(kj_conf_file_parse("f", "a=\0b", 4, collect, &c), KAJA_ERR_INVALID_CONFIG);
}

/* Whatever the bytes are: no crash, no endless loop, parts no longer than the whole. */
static void test_file_random(void **state)
{
    (void)state;
    static const char alphabet[] = "ab=: \t\f\\\n\r#!u0dD8\xff,";
    uint64_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[48];
        size_t len = 0;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (; len < (seed >> 58) % 48; len++)
            bytes[len] = alphabet[(seed >> (len % 32 + 8)) * (len + 3) % (sizeof alphabet - 1)];
        char *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact, bytes, len);
        struct collected c = {.text = ""};
        int err = kj_conf_file_parse("f", exact, len, collect, &c);
        assert_true(err == 0 || err == KAJA_ERR_INVALID_CONFIG);
        free(exact);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_file(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof path, "test_conf.%d.properties", (int)getpid());
    struct kaja_conf *conf = new_conf();
    assert_ok(kaja_conf_set(conf, "acks", "0"));
    write_file(path, "# server\nlinger.ms = 9\nacks=1\nsegment.bytes: 1048576\n");
    assert_ok(kaja_conf_set_file(conf, path));
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "9");
    assert_string_equal(kaja_conf_get(conf, "acks"), "1");
    assert_string_equal(kaja_conf_get(conf, "segment.bytes"), "1048576");
    /* all or nothing */
    write_file(path, "linger.ms=10\n\nbatch.sizes=1\n");
    assert_err(kaja_conf_set_file(conf, path), KAJA_ERR_INVALID_CONFIG);
    assert_true(detail_has(path));
    assert_true(detail_has("line 3: unknown property \"batch.sizes\""));
    assert_true(detail_has("did you mean \"batch.size\"?"));
    assert_string_equal(kaja_conf_get(conf, "linger.ms"), "9");
    write_file(path, "transactional.id=x\n");
    assert_err(kaja_conf_set_file(conf, path), KAJA_ERR_UNSUPPORTED_FEATURE);
    (void)unlink(path);
    assert_err(kaja_conf_set_file(conf, path), KAJA_ERR_KAFKA_STORAGE_ERROR);
    assert_err(kaja_conf_set_file(conf, "."), KAJA_ERR_KAFKA_STORAGE_ERROR);
    assert_err(kaja_conf_set_file(conf, NULL), KAJA_ERR_INVALID_ARG);
    kaja_conf_free(conf);
}

/* --- what the rooms get --- */

static void test_producer_options(void **state)
{
    (void)state;
    struct kj_producer_options defaults, options;
    kj_producer_options_defaults(&defaults);
    assert_ok(kj_conf_producer_options(NULL, &options));
    assert_int_equal(options.acks, defaults.acks);
    assert_int_equal(options.batch_bytes, defaults.batch_bytes);
    assert_int_equal(options.buffer_bytes, defaults.buffer_bytes);
    assert_int_equal(options.request_bytes_max, defaults.request_bytes_max);
    assert_int_equal(options.max_block_ms, defaults.max_block_ms);
    assert_int_equal(options.linger_ms, defaults.linger_ms);
    assert_int_equal(options.delivery_timeout_ms, defaults.delivery_timeout_ms);
    assert_int_equal(options.retry_backoff_ms, defaults.retry_backoff_ms);
    assert_int_equal(options.retry_backoff_max_ms, defaults.retry_backoff_max_ms);
    assert_int_equal(options.retries, defaults.retries);
    assert_int_equal(options.codec, defaults.codec);
    assert_int_equal(options.level, defaults.level);
    assert_int_equal(options.ignore_keys, defaults.ignore_keys);
    assert_int_equal(options.adaptive, defaults.adaptive);
    assert_int_equal(options.buffer_full, defaults.buffer_full);
    assert_int_equal(options.record_headers_max, defaults.record_headers_max);

    struct kaja_conf *conf = new_conf();
    assert_ok(kaja_conf_set(conf, "acks", "-1"));
    assert_ok(kaja_conf_set(conf, "compression.type", "zstd"));
    assert_ok(kaja_conf_set(conf, "compression.zstd.level", "-5"));
    assert_ok(kaja_conf_set(conf, "kaja.buffer.full", "drop.oldest"));
    assert_ok(kaja_conf_set(conf, "linger.ms", "120000"));
    assert_ok(kj_conf_producer_options(conf, &options));
    assert_int_equal(options.acks, KJ_ACKS_ALL);
    assert_int_equal(options.codec, KJ_CODEC_ZSTD);
    assert_int_equal(options.level, -5);
    assert_int_equal(options.buffer_full, KJ_BUFFER_FULL_DROP_OLDEST);
    assert_int_equal(options.linger_ms, 120000);
    assert_ok(kaja_conf_set(conf, "acks", "1"));
    assert_ok(kj_conf_producer_options(conf, &options));
    assert_int_equal(options.acks, 1);
    assert_ok(kaja_conf_set(conf, "linger.ms", "120001"));
    assert_ok(kj_conf_producer_options(conf, &options));
    assert_int_equal(options.delivery_timeout_ms, 120001);
    assert_ok(kaja_conf_set(conf, "delivery.timeout.ms", "120000"));
    assert_err(kj_conf_producer_options(conf, &options), KAJA_ERR_CONFLICT);
    assert_true(detail_has("delivery.timeout.ms=120000 is less than linger.ms=120001"));
    assert_ok(kaja_conf_set(conf, "linger.ms", "0"));
    /* good for a topic, not for a producer */
    assert_ok(kaja_conf_set(conf, "compression.type", "producer"));
    assert_err(kj_conf_producer_options(conf, &options), KAJA_ERR_INVALID_CONFIG);
    kaja_conf_free(conf);
}

static void test_partitioners(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int partitioner;
        bool ignore_keys;
    } cases[] = {
        {"partitioner", "random", KJ_PARTITIONER_RANDOM, false},
        {"partitioner", "consistent", KJ_PARTITIONER_CONSISTENT, false},
        {"partitioner", "consistent_random", KJ_PARTITIONER_CONSISTENT_RANDOM, false},
        {"partitioner", "murmur2", KJ_PARTITIONER_MURMUR2, false},
        {"partitioner", "murmur2_random", KJ_PARTITIONER_MURMUR2_RANDOM, false},
        {"partitioner", "fnv1a", KJ_PARTITIONER_FNV1A, false},
        {"partitioner", "fnv1a_random", KJ_PARTITIONER_FNV1A_RANDOM, false},
        {"partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner",
         KJ_PARTITIONER_ROUND_ROBIN, false},
        {"partitioner.class", "org.apache.kafka.clients.producer.UniformStickyPartitioner",
         KJ_PARTITIONER_DEFAULT, true},
        {"partitioner.class", "org.apache.kafka.clients.producer.internals.DefaultPartitioner",
         KJ_PARTITIONER_DEFAULT, false},
    };
    struct kj_producer_options options;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kaja_conf *conf = new_conf();
        assert_ok(kaja_conf_set(conf, cases[i].name, cases[i].value));
        assert_ok(kj_conf_producer_options(conf, &options));
        assert_int_equal(options.partitioner, cases[i].partitioner);
        assert_int_equal(options.ignore_keys, cases[i].ignore_keys);
        kaja_conf_free(conf);
    }
    struct kaja_conf *conf = new_conf();
    assert_ok(kj_conf_producer_options(conf, &options));
    assert_int_equal(options.partitioner, KJ_PARTITIONER_DEFAULT);
    assert_err(kaja_conf_set(conf, "partitioner.class", "com.acme.Mine"), KAJA_ERR_INVALID_CONFIG);
    assert_ok(kaja_conf_set(conf, "partitioner", "fnv1a"));
    assert_ok(kaja_conf_set(conf, "partitioner.class",
                            "org.apache.kafka.clients.producer.RoundRobinPartitioner"));
    assert_err(kj_conf_producer_options(conf, &options), KAJA_ERR_CONFLICT);
    kaja_conf_free(conf);
}

static void set_if(struct kaja_conf *conf, const char *name, const char *value)
{
    if (value != NULL)
        assert_ok(kaja_conf_set(conf, name, value));
}

/* What Kafka's ProducerConfig says to the same. */
static void test_idempotence(void **state)
{
    (void)state;
    static const struct {
        const char *asked_for, *acks, *retries, *in_flight;
        int error;
        bool on;
    } cases[] = {
        {NULL, NULL, NULL, NULL, 0, true},
        {"true", NULL, NULL, "5", 0, true},
        {"true", "-1", "1", NULL, 0, true},
        {"false", NULL, NULL, NULL, 0, false},
        {"false", "1", "0", "6", 0, false},
        {NULL, "1", NULL, NULL, 0, false},
        {NULL, "0", NULL, "6", 0, false},
        {NULL, NULL, "0", NULL, 0, false},
        {"true", "1", NULL, NULL, KAJA_ERR_CONFLICT, false},
        {"true", "0", NULL, NULL, KAJA_ERR_CONFLICT, false},
        {"true", NULL, "0", NULL, KAJA_ERR_CONFLICT, false},
        {"true", NULL, NULL, "6", KAJA_ERR_CONFLICT, false},
        {NULL, NULL, NULL, "6", KAJA_ERR_CONFLICT, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kj_producer_options options;
        struct kaja_conf *conf = new_conf();
        set_if(conf, "enable.idempotence", cases[i].asked_for);
        set_if(conf, "acks", cases[i].acks);
        set_if(conf, "retries", cases[i].retries);
        set_if(conf, "max.in.flight.requests.per.connection", cases[i].in_flight);
        if (cases[i].error != 0) {
            assert_err(kj_conf_producer_options(conf, &options), cases[i].error);
            assert_true(detail_has("enable.idempotence"));
        } else {
            assert_ok(kj_conf_producer_options(conf, &options));
            assert_int_equal(options.idempotent, cases[i].on);
        }
        kaja_conf_free(conf);
    }
}

static void test_consumer_options(void **state)
{
    (void)state;
    struct kj_consumer_options defaults, options;
    kj_consumer_options_defaults(&defaults);
    assert_ok(kj_conf_consumer_options(NULL, &options));
    assert_int_equal(options.reset, defaults.reset);
    assert_int_equal(options.read_committed, defaults.read_committed);
    assert_int_equal(options.read_durable, defaults.read_durable);
    assert_int_equal(options.check_crcs, defaults.check_crcs);
    assert_int_equal(options.max_poll_records, defaults.max_poll_records);
    assert_int_equal(options.fetch_bytes_max, defaults.fetch_bytes_max);
    assert_int_equal(options.partition_fetch_bytes_max, defaults.partition_fetch_bytes_max);
    assert_int_equal(options.fetch_bytes_min, defaults.fetch_bytes_min);
    assert_int_equal(options.fetch_wait_max_ms, defaults.fetch_wait_max_ms);
    assert_int_equal(options.decompressed_bytes_max, defaults.decompressed_bytes_max);

    struct kaja_conf *conf = new_conf();
    assert_ok(kaja_conf_set(conf, "auto.offset.reset", " by_duration:PT1M "));
    assert_ok(kaja_conf_set(conf, "isolation.level", "read_committed"));
    assert_ok(kaja_conf_set(conf, "check.crcs", "FALSE"));
    assert_ok(kaja_conf_set(conf, "max.poll.records", "1"));
    assert_ok(kj_conf_consumer_options(conf, &options));
    assert_int_equal(options.reset, KJ_RESET_BY_DURATION);
    assert_int_equal(options.reset_duration_ms, 60000);
    assert_true(options.read_committed);
    assert_false(options.check_crcs);
    assert_int_equal(options.max_poll_records, 1);
    kaja_conf_free(conf);
}

static const char *property(const struct kj_property *items, size_t count, const char *name)
{
    return kj_property_get((struct kj_property_list){items, count}, name);
}

static void test_store_options(void **state)
{
    (void)state;
    struct kj_store_options options;
    assert_ok(kj_conf_store_options(NULL, "d", &options));
    assert_string_equal(options.path, "d");
    assert_true(options.create);
    assert_false(options.read_only);
    assert_int_equal(options.background_threads, 1);
    assert_int_equal(options.directory_count, 0);
    assert_int_equal(options.num_partitions, 1);
    assert_true(options.auto_create);
    assert_non_null(options.rules.log_config);
    kj_conf_store_options_free(&options);

    struct kaja_conf *conf = new_conf();
    assert_ok(kaja_conf_set(conf, "kaja.read.only", "true"));
    assert_ok(kaja_conf_set(conf, "kaja.io.backend", "posix"));
    assert_ok(kaja_conf_set(conf, "kaja.fd.max", "99"));
    assert_ok(kaja_conf_set(conf, "num.partitions", "3"));
    assert_ok(kaja_conf_set(conf, "segment.bytes", "1000"));       /* the synonym's */
    assert_ok(kaja_conf_set(conf, "retention.ms", "5"));           /* the synonym is set too */
    assert_ok(kaja_conf_set(conf, "log.retention.ms", "6"));
    assert_ok(kaja_conf_set(conf, "compression.type", "gzip"));    /* the producer's */
    assert_ok(kaja_conf_set(conf, "acks", "1"));
    assert_ok(kaja_conf_set(conf, "listeners", "PLAINTEXT://:1")); /* no effect: not kept */
    assert_ok(kj_conf_store_options(conf, "d", &options));
    assert_true(options.read_only);
    assert_int_equal(options.backend, KJ_IO_POSIX);
    assert_int_equal(options.fd_max, 99);
    assert_int_equal(options.num_partitions, 3);
    assert_int_equal(options.directory_count, 3);
    assert_string_equal(property(options.directory, 3, "num.partitions"), "3");
    assert_string_equal(property(options.directory, 3, "log.segment.bytes"), "1000");
    assert_string_equal(property(options.directory, 3, "log.retention.ms"), "6");
    kj_conf_store_options_free(&options);

    /* A topic's own: its names only, with those it shares with the producer. */
    struct kj_property *items;
    size_t count;
    assert_ok(kj_conf_properties(conf, KJ_SCOPE_TOPIC, true, &items, &count));
    assert_int_equal(count, 3);
    assert_string_equal(property(items, count, "segment.bytes"), "1000");
    assert_string_equal(property(items, count, "retention.ms"), "5");
    assert_string_equal(property(items, count, "compression.type"), "gzip");
    kj_free(items);
    assert_ok(kj_conf_properties(conf, KJ_SCOPE_DIRECTORY, true, &items, &count));
    assert_int_equal(count, 4);
    kj_free(items);
    assert_ok(kaja_conf_set(conf, "compression.type", "none"));
    assert_err(kj_conf_properties(conf, KJ_SCOPE_TOPIC, true, &items, &count),
               KAJA_ERR_INVALID_CONFIG);
    kaja_conf_free(conf);
}

/* --- what follows from a catalog --- */

static void test_log_config_defaults(void **state)
{
    (void)state;
    struct kj_log_config defaults, config;
    kj_log_config_defaults(&defaults);
    assert_ok(kj_conf_rules.log_config(NULL, 0, NULL, 0, &config));
    assert_int_equal(config.segment_bytes, defaults.segment_bytes);
    assert_int_equal(config.segment_ms, defaults.segment_ms);
    assert_int_equal(config.segment_jitter_ms, defaults.segment_jitter_ms);
    assert_int_equal(config.index_interval_bytes, defaults.index_interval_bytes);
    assert_int_equal(config.max_message_bytes, defaults.max_message_bytes);
    assert_int_equal(config.timestamp_before_max_ms, defaults.timestamp_before_max_ms);
    assert_int_equal(config.timestamp_after_max_ms, defaults.timestamp_after_max_ms);
    assert_int_equal(config.retention_ms, defaults.retention_ms);
    assert_int_equal(config.retention_bytes, defaults.retention_bytes);
    assert_int_equal(config.flush_messages, defaults.flush_messages);
    assert_int_equal(config.flush_ms, defaults.flush_ms);
    assert_int_equal(config.delete_retention_ms, defaults.delete_retention_ms);
    assert_int_equal(config.min_compaction_lag_ms, defaults.min_compaction_lag_ms);
    assert_int_equal(config.max_compaction_lag_ms, defaults.max_compaction_lag_ms);
    assert_int_equal(config.min_cleanable_ppm, defaults.min_cleanable_ppm);
    assert_int_equal(config.producer_expiration_ms, defaults.producer_expiration_ms);
    assert_int_equal(config.log_append_time, defaults.log_append_time);
    assert_int_equal(config.cleanup_delete, defaults.cleanup_delete);
    assert_int_equal(config.cleanup_compact, defaults.cleanup_compact);
    assert_int_equal(config.preallocate, defaults.preallocate);
    assert_int_equal(config.compression, defaults.compression);
    assert_int_equal(config.compression_level, defaults.compression_level);
    /* 64 MiB / 4096 entries of 12 bytes and two more, in whole pages */
    assert_int_equal(config.segment_index_bytes, 200704);
}

static void test_log_config(void **state)
{
    (void)state;
    struct kj_log_config config;
    const struct kj_property topic[] = {
        {"segment.bytes", "100"},          {"index.interval.bytes", "0"},
        {"cleanup.policy", "compact"},     {"compression.type", "lz4"},
        {"compression.lz4.level", "3"},    {"message.timestamp.type", "LogAppendTime"},
        {"min.insync.replicas", "2"},      {"delete.retention.ms", "17"},
        {"min.cleanable.dirty.ratio", "1.25e-1"}, {"max.compaction.lag.ms", "18"},
    };
    const struct kj_property directory[] = {
        {"log.segment.bytes", "200"},      {"log.roll.hours", "2"},
        {"log.retention.minutes", "3"},    {"log.retention.hours", "4"},
        {"log.index.size.max.bytes", "8"}, {"num.partitions", "9"},
        {"producer.id.expiration.ms", "5"},
    };
    assert_ok(kj_conf_rules.log_config(topic, 10, directory, 7, &config));
    assert_int_equal(config.segment_bytes, 100);
    assert_int_equal(config.index_interval_bytes, 0);
    assert_int_equal(config.segment_index_bytes, 8);
    assert_false(config.cleanup_delete);
    assert_true(config.cleanup_compact);
    assert_int_equal(config.min_cleanable_ppm, 125000);
    assert_int_equal(config.max_compaction_lag_ms, 18);
    assert_int_equal(config.compression, KJ_CODEC_LZ4);
    assert_int_equal(config.compression_level, 3);
    assert_true(config.log_append_time);
    assert_int_equal(config.delete_retention_ms, 17);
    assert_int_equal(config.segment_ms, 2 * 3600000);
    assert_int_equal(config.retention_ms, 3 * 60000);
    assert_int_equal(config.producer_expiration_ms, 5);

    assert_ok(kj_conf_rules.log_config(topic, 2, NULL, 0, &config));
    assert_int_equal(config.segment_index_bytes, 10485760); /* no interval: as large as it may be */
    const struct kj_property off = {"log.retention.hours", "-1"};
    assert_ok(kj_conf_rules.log_config(NULL, 0, &off, 1, &config));
    assert_int_equal(config.retention_ms, -1);

    const struct kj_property unknown = {"retention.mss", "1"}, bad = {"retention.ms", "x"};
    const struct kj_property foreign = {"log.retention.ms", "1"};
    assert_err(kj_conf_rules.log_config(&unknown, 1, NULL, 0, &config), KAJA_ERR_INVALID_CONFIG);
    assert_err(kj_conf_rules.log_config(NULL, 0, &unknown, 1, &config), KAJA_ERR_INVALID_CONFIG);
    assert_err(kj_conf_rules.log_config(&bad, 1, NULL, 0, &config), KAJA_ERR_INVALID_CONFIG);
    assert_err(kj_conf_rules.log_config(&foreign, 1, NULL, 0, &config), KAJA_ERR_INVALID_CONFIG);
}

static void test_directory_config(void **state)
{
    (void)state;
    struct kj_store_options options = {.num_partitions = 7, .lock_timeout_ms = 3};
    assert_ok(kj_conf_rules.directory_config(NULL, 0, &options));
    assert_int_equal(options.num_partitions, 1);
    assert_int_equal(options.retention_check_ms, 300000);
    assert_true(options.cleaner_enable);
    assert_int_equal(options.cleaner_backoff_ms, 15000);
    assert_int_equal(options.cleaner_map_bytes, 8 << 20);
    assert_int_equal(options.cleaner_microbytes_per_second, INT64_MAX); /* no brake */
    assert_int_equal(options.lock_timeout_ms, 3); /* the handle's */
    const struct kj_property directory[] = {{"num.partitions", "4"},
                                            {"auto.create.topics.enable", "false"},
                                            {"log.cleaner.io.max.bytes.per.second", "0.5"}};
    assert_ok(kj_conf_rules.directory_config(directory, 3, &options));
    assert_int_equal(options.cleaner_microbytes_per_second, 500000);
    assert_int_equal(options.num_partitions, 4);
    assert_false(options.auto_create);
}

/* --- without memory: whichever allocation fails, an error, nothing lost, nothing half set --- */

static long allocations_left;

static int fail_after(void *arg)
{
    (void)arg;
    return allocations_left-- <= 0;
}

static int use_everything(const char *path)
{
    struct kaja_conf *conf = NULL;
    struct kj_store_options options = {.directory = NULL};
    struct kj_property *items = NULL;
    size_t count = 0;
    int err = kaja_conf_new(&conf);
    if (err == 0)
        err = kaja_conf_set(conf, "linger.ms", "1");
    if (err == 0 && (err = kaja_conf_set(conf, "linger.ms", "2")) != 0)
        assert_string_equal(kaja_conf_get(conf, "linger.ms"), "1");
    if (err == 0)
        err = kaja_conf_set_file(conf, path);
    if (err != 0 && conf != NULL)
        assert_int_equal(kaja_conf_is_set(conf, "acks"), 0);
    if (err == 0)
        err = kj_conf_store_options(conf, "d", &options);
    if (err == 0)
        err = kj_conf_properties(conf, KJ_SCOPE_TOPIC, true, &items, &count);
    kj_free(items);
    kj_conf_store_options_free(&options);
    kaja_conf_free(conf);
    return err;
}

static void test_no_memory(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof path, "test_conf.%d.properties", (int)getpid());
    write_file(path, "acks=1\nsegment.bytes=1000\nretention.ms=5\n");
    long n = 0;
    int err;
    do {
        allocations_left = n++;
        kj_alloc_set_hook(fail_after, NULL);
        err = use_everything(path);
        kj_alloc_set_hook(NULL, NULL);
        assert_true(err == 0 || err == KAJA_ERR_OUT_OF_MEMORY);
    } while (err != 0);
    assert_true(n > 10);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_bag),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_not_built),
        cmocka_unit_test(test_file_format),
        cmocka_unit_test(test_file_random),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_producer_options),
        cmocka_unit_test(test_idempotence),
        cmocka_unit_test(test_partitioners),
        cmocka_unit_test(test_consumer_options),
        cmocka_unit_test(test_store_options),
        cmocka_unit_test(test_log_config_defaults),
        cmocka_unit_test(test_log_config),
        cmocka_unit_test(test_directory_config),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
