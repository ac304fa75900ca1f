/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "log/checkpoint.h"
#include "log/file_names.h"

static struct temp_dir dir;

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

static void put(const char *text)
{
    temp_dir_put(&dir, "c", text, strlen(text));
}

static void test_bytes(void **state)
{
    (void)state;
    static const char golden[] =
        "0\n3\norders 0 46\n__consumer_offsets 2147483647 9223372036854775807\n"
        "a.b_c-9 17 0\n";
    struct kj_checkpoint c;
    size_t len;
    put(golden);
    assert_ok(kj_checkpoint_read(dir.io, "c", &c));
    assert_int_equal(c.count, 3);
    assert_string_equal(c.entries[0].topic, "orders");
    assert_int_equal(kj_checkpoint_get(&c, "orders", 0), 46);
    assert_int_equal(kj_checkpoint_get(&c, "__consumer_offsets", INT32_MAX), INT64_MAX);
    assert_int_equal(kj_checkpoint_get(&c, "a.b_c-9", 17), 0);
    assert_int_equal(kj_checkpoint_get(&c, "a.b_c-9", 16), -1);
    assert_int_equal(kj_checkpoint_get(&c, "order", 0), -1);
    assert_ok(kj_checkpoint_write(dir.io, "d", &c, true));
    uint8_t *bytes = temp_dir_get(&dir, "d", &len);
    assert_string_equal((char *)bytes, golden);
    kj_free(bytes);
    kj_checkpoint_free(&c);

    kj_checkpoint_init(&c);
    assert_ok(kj_checkpoint_write(dir.io, "d", &c, false));
    bytes = temp_dir_get(&dir, "d", &len);
    assert_string_equal((char *)bytes, "0\n0\n");
    kj_free(bytes);
    assert_ok(kj_checkpoint_read(dir.io, "d", &c));
    assert_int_equal(c.count, 0);
    assert_int_equal(kj_checkpoint_get(&c, "x", 0), -1);
    kj_checkpoint_remove(&c, "x", 0);
    kj_checkpoint_free(&c);
}

static void test_missing_or_empty(void **state)
{
    (void)state;
    struct kj_checkpoint c;
    assert_ok(kj_checkpoint_read(dir.io, "not-there", &c));
    assert_int_equal(c.count, 0);
    kj_checkpoint_free(&c);
    put("");
    assert_ok(kj_checkpoint_read(dir.io, "c", &c));
    assert_int_equal(c.count, 0);
    kj_checkpoint_free(&c);
    put("0\n2\na\t1 5\nb  1\t \t6\n"); /* any blanks between fields */
    assert_ok(kj_checkpoint_read(dir.io, "c", &c));
    assert_int_equal(kj_checkpoint_get(&c, "a", 1), 5);
    assert_int_equal(kj_checkpoint_get(&c, "b", 1), 6);
    kj_checkpoint_free(&c);
}

static const struct {
    int line; /* the story's */
    const char *text;
} malformed[] = {
    {1, "\n"},
    {1, "0"},
    {1, " 0\n0\n"},
    {1, "0 \n0\n"},
    {1, "1\n0\n"},
    {1, "00\n0\n"},
    {1, "0 0\n0\n"},
    {1, "0\r\n0\r\n"},
    {2, "0\n"},
    {2, "0\n0"},
    {2, "0\n-1\n"},
    {2, "0\n+0\n"},
    {2, "0\n01\na 0 0\n"},
    {2, "0\nx\n"},
    {2, "0\n9223372036854775807\na 0 0\n"},
    {2, "0\n99999999999999999999999999\na 0 0\n"},
    {2, "0\n4294967297\na 0 0\n"},
    {3, "0\n0\na 0 0\n"},
    {3, "0\n0\n\n"},
    {3, "0\n1\n"},
    {3, "0\n1\na 0 0"},
    {3, "0\n1\na 0\n"},
    {3, "0\n1\na 0 \n"},
    {3, "0\n1\n a 0 0\n"},
    {3, "0\n1\na 0 0 \n"},
    {3, "0\n1\na 0 0 0\n"},
    {3, "0\n1\na 0 -1\n"},
    {3, "0\n1\na -1 0\n"},
    {3, "0\n1\na +1 0\n"},
    {3, "0\n1\na 01 0\n"},
    {3, "0\n1\na 0 1.5\n"},
    {3, "0\n1\na 0 0x10\n"},
    {3, "0\n1\na 2147483648 0\n"},
    {3, "0\n1\na 0 9223372036854775808\n"},
    {3, "0\n1\na 0 18446744073709551616\n"},
    {3, "0\n1\na/b 0 0\n"},
    {3, "0\n1\n.. 0 0\n"},
    {3, "0\n1\n\xff 0 0\n"},
    {4, "0\n2\na 0 0\n"},
    {4, "0\n1\na 0 0\nb 0 0\n"},
    {4, "0\n2\na 0 0\na 0 1\n"},
    {4, "0\n2\na 0 0\n\nb 0 1\n"},
};

static void test_malformed(void **state)
{
    (void)state;
    struct kj_checkpoint c;
    char wanted[32];
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        put(malformed[i].text);
        memset(&c, 0x5a, sizeof c);
        if (kj_checkpoint_read(dir.io, "c", &c) != KAJA_ERR_DAMAGED)
            fail_msg("taken: %s", malformed[i].text);
        (void)snprintf(wanted, sizeof wanted, "c, line %d: ", malformed[i].line);
        if (strncmp(kaja_error_detail(), wanted, strlen(wanted)) != 0)
            fail_msg("%s told of: %s", kaja_error_detail(), malformed[i].text);
        assert_int_equal(((uint8_t *)&c)[0], 0x5a); /* untouched */
    }
    static const char nul[] = "0\n1\na\0b 0 0\n";
    temp_dir_put(&dir, "c", nul, sizeof nul - 1);
    assert_err(kj_checkpoint_read(dir.io, "c", &c), KAJA_ERR_DAMAGED);
    static const char nul_behind[] = "0\n1\nb 0 0\0\n";
    temp_dir_put(&dir, "c", nul_behind, sizeof nul_behind - 1);
    assert_err(kj_checkpoint_read(dir.io, "c", &c), KAJA_ERR_DAMAGED);
}

/* Every cut of a good file is refused, but nothing at all. */
static void test_cuts(void **state)
{
    (void)state;
    static const char good[] = "0\n2\norders 0 46\nb 12 7\n";
    struct kj_checkpoint c;
    for (size_t len = 1; len < sizeof good - 1; len++) {
        temp_dir_put(&dir, "c", good, len);
        assert_err(kj_checkpoint_read(dir.io, "c", &c), KAJA_ERR_DAMAGED);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct kj_checkpoint c;
    char text[2000];
    /* The longest topic and numbers. */
    char topic[KJ_TOPIC_NAME_MAX + 2];
    memset(topic, 't', sizeof topic);
    topic[KJ_TOPIC_NAME_MAX] = 0;
    (void)snprintf(text, sizeof text, "0\n1\n%s 2147483647 9223372036854775807\n", topic);
    put(text);
    assert_ok(kj_checkpoint_read(dir.io, "c", &c));
    assert_int_equal(kj_checkpoint_get(&c, topic, INT32_MAX), INT64_MAX);
    topic[KJ_TOPIC_NAME_MAX] = 't';
    topic[KJ_TOPIC_NAME_MAX + 1] = 0;
    assert_int_equal(kj_checkpoint_get(&c, topic, INT32_MAX), -1);
    assert_err(kj_checkpoint_put(&c, topic, 0, 0), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_err(kj_checkpoint_put(&c, "a b", 0, 0), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    kj_checkpoint_free(&c);
    (void)snprintf(text, sizeof text, "0\n1\n%s 0 0\n", topic);
    put(text);
    assert_err(kj_checkpoint_read(dir.io, "c", &c), KAJA_ERR_DAMAGED);
    /* A line without end. */
    memset(text, '0', sizeof text);
    text[sizeof text - 1] = 0;
    put(text);
    assert_err(kj_checkpoint_read(dir.io, "c", &c), KAJA_ERR_DAMAGED);
    /* A file without end: sparse, so that it costs nothing. */
    struct kj_file *file;
    assert_int_equal(kj_io_open(dir.io, "big", KJ_IO_WRITE | KJ_IO_CREATE, &file), 0);
    assert_int_equal(kj_io_truncate(file, (64 << 20) + 1), 0);
    kj_io_close(file);
    assert_err(kj_checkpoint_read(dir.io, "big", &c), KAJA_ERR_DAMAGED);
}

/* Random puts and removals, against an array. */
static void test_model(void **state)
{
    (void)state;
    enum { TOPICS = 40, PARTITIONS = 10 };
    uint64_t random = kjtest_seed();
    int64_t model[TOPICS][PARTITIONS];
    struct kj_checkpoint c;
    kj_checkpoint_init(&c);
    memset(model, 0xff, sizeof model);
    size_t count = 0;
    for (int round = 0; round < 20000; round++) {
        uint64_t r = kjtest_random(&random);
        int t = (int)(r % TOPICS), p = (int)((r >> 8) % PARTITIONS);
        char topic[32];
        (void)snprintf(topic, sizeof topic, "topic-%d", t);
        assert_int_equal(kj_checkpoint_get(&c, topic, p), model[t][p]);
        if ((r >> 40) % 3 == 0) {
            kj_checkpoint_remove(&c, topic, p);
            count -= model[t][p] >= 0;
            model[t][p] = -1;
        } else {
            assert_ok(kj_checkpoint_put(&c, topic, p, (int64_t)(r >> 16)));
            count += model[t][p] < 0;
            model[t][p] = (int64_t)(r >> 16);
        }
        assert_int_equal(c.count, count);
    }
    assert_ok(kj_checkpoint_write(dir.io, "c", &c, false));
    kj_checkpoint_free(&c);
    assert_ok(kj_checkpoint_read(dir.io, "c", &c));
    assert_int_equal(c.count, count);
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            char topic[32];
            (void)snprintf(topic, sizeof topic, "topic-%d", t);
            assert_int_equal(kj_checkpoint_get(&c, topic, p), model[t][p]);
        }
    kj_checkpoint_free(&c);
}

static int fail_at;

static int fail_alloc(void *arg)
{
    (void)arg;
    return --fail_at == 0;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    put("0\n3\na 0 1\nb 0 2\nc 0 3\n");
    for (int n = 1;; n++) {
        struct kj_checkpoint c;
        fail_at = n;
        kj_alloc_set_hook(fail_alloc, NULL);
        int err = kj_checkpoint_read(dir.io, "c", &c);
        kj_alloc_set_hook(NULL, NULL);
        if (err == 0) {
            assert_in_range(n, 4, 40);
            kj_checkpoint_free(&c);
            break;
        }
        assert_int_equal(err, KAJA_ERR_OUT_OF_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),         cmocka_unit_test(test_missing_or_empty),
        cmocka_unit_test(test_malformed),     cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_model),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
