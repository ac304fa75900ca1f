/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden_logs.h"

#include "log/file_names.h"

static void check(const char *name, enum kj_file_kind kind, enum kj_file_suffix suffix,
                  int64_t offset)
{
    enum kj_file_kind got_kind = (enum kj_file_kind)99;
    enum kj_file_suffix got_suffix = (enum kj_file_suffix)99;
    int64_t got_offset = -99;
    kj_file_name_parse(name, &got_kind, &got_suffix, &got_offset);
    if (got_kind != kind || got_suffix != suffix || got_offset != offset)
        fail_msg("%s: kind %d, suffix %d, offset %lld", name, (int)got_kind, (int)got_suffix,
                 (long long)got_offset);
}

static void test_files(void **state)
{
    (void)state;
    static const char *const kinds[] = {"log", "index", "timeindex", "txnindex", "snapshot"};
    static const char *const suffixes[] = {"", ".deleted", ".cleaned", ".swap"};
    char name[80];
    for (int k = 0; k < 5; k++)
        for (int s = 0; s < 4; s++) {
            (void)snprintf(name, sizeof name, "00000000000000000042.%s%s", kinds[k], suffixes[s]);
            check(name, (enum kj_file_kind)k, (enum kj_file_suffix)s, 42);
        }
    check("09223372036854775807.log", KJ_FILE_LOG, KJ_SUFFIX_NONE, INT64_MAX);
    check("00000000000000000007.prepared", KJ_FILE_PREPARED, KJ_SUFFIX_NONE, 7);
    check("00000000000000000007.log.damaged-0", KJ_FILE_DAMAGED, KJ_SUFFIX_NONE, 7);
    check("00000000000000000007.log.damaged-4096", KJ_FILE_DAMAGED, KJ_SUFFIX_NONE, 7);
}

static void test_foreign_files(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "leader-epoch-checkpoint",
        "partition.metadata",
        ".",
        "..",
        "/etc/passwd",
        "../00000000000000000042.log",
        "00000000000000000042.log/..",
        "0000000000000000042.log",   /* 19 digits */
        "000000000000000000042.log", /* 21 */
        "09223372036854775808.log",  /* 2^63 */
        "99999999999999999999.log",
        "18446744073709551616.log",
        "-0000000000000000042.log",
        "+0000000000000000042.log",
        " 0000000000000000042.log",
        "0000000000000000004a.log",
        "00000000000000000042",
        "00000000000000000042.",
        "00000000000000000042log",
        "00000000000000000042.LOG",
        "00000000000000000042.logs",
        "00000000000000000042.log ",
        "00000000000000000042.log.",
        "00000000000000000042.log.deleted.deleted",
        "00000000000000000042.log.swap.cleaned",
        "00000000000000000042.log.tmp",
        "00000000000000000042.log.deletedx",
        "00000000000000000042.prepared.swap",
        "00000000000000000042.snapshot.checkpoint",
        "00000000000000000042.log.damaged-",
        "00000000000000000042.log.damaged-01",
        "00000000000000000042.log.damaged--1",
        "00000000000000000042.log.damaged-1x",
        "00000000000000000042.log.damaged-9223372036854775808",
        "00000000000000000042.index.damaged-1",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check(names[i], KJ_FILE_OTHER, KJ_SUFFIX_NONE, -1);
}

static void test_paths(void **state)
{
    (void)state;
    char path[KJ_PATH_MAX], dir[KJ_DIR_NAME_MAX + 1];
    kj_file_path(path, "t-0", KJ_FILE_TIMEINDEX, 30);
    assert_string_equal(path, "t-0/00000000000000000030.timeindex");
    memset(dir, 'd', sizeof dir - 1);
    dir[sizeof dir - 1] = 0;
    for (int kind = KJ_FILE_LOG; kind <= KJ_FILE_PREPARED; kind++) {
        kj_file_path(path, dir, (enum kj_file_kind)kind, INT64_MAX);
        assert_int_equal(strncmp(path, dir, KJ_DIR_NAME_MAX), 0);
        check(path + KJ_DIR_NAME_MAX + 1, (enum kj_file_kind)kind, KJ_SUFFIX_NONE, INT64_MAX);
    }
}

static void test_topics(void **state)
{
    (void)state;
    char name[300];
    static const char *const good[] = {"a", "A.b_c-9", "...", "-", "_", "__consumer_offsets", ".a"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_ok(kj_topic_name_check(good[i]));
    static const char *const bad[] = {"",    ".",    "..",       "a b", "a/b", "../a",
                                      "a\n", "\x01", "\xc3\xa5", "a:b", "a*",  "a\\b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_err(kj_topic_name_check(bad[i]), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    for (int c = 1; c < 256; c++) {
        (void)snprintf(name, sizeof name, "x%cy", c);
        bool legal =
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", c) != NULL;
        assert_int_equal(kj_topic_name_check(name), legal ? 0 : KAJA_ERR_INVALID_TOPIC_EXCEPTION);
    }
    memset(name, 'x', sizeof name);
    name[KJ_TOPIC_NAME_MAX] = 0;
    assert_ok(kj_topic_name_check(name));
    name[KJ_TOPIC_NAME_MAX] = 'x';
    name[KJ_TOPIC_NAME_MAX + 1] = 0;
    assert_err(kj_topic_name_check(name), KAJA_ERR_INVALID_TOPIC_EXCEPTION);
}

static void test_partition_dirs(void **state)
{
    (void)state;
    char topic[KJ_TOPIC_NAME_MAX + 1], name[KJ_DIR_NAME_MAX + 1], text[300];
    int32_t partition;
    static const struct {
        const char *name, *topic;
        int32_t partition;
    } good[] = {
        {"a-0", "a", 0},
        {"a-b-17", "a-b", 17},
        {"--1", "-", 1},
        {"a-2147483647", "a", INT32_MAX},
        {"a-1-2", "a-1", 2},
        {"...-3", "...", 3},
        {"x-0.0123456789abcdef0123456789abcdef-delete-4",
         "x-0.0123456789abcdef0123456789abcdef-delete", 4},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(kj_partition_dir_parse(good[i].name, topic, &partition));
        assert_string_equal(topic, good[i].topic);
        assert_int_equal(partition, good[i].partition);
        assert_true(kj_partition_dir_name(name, good[i].topic, good[i].partition));
        assert_string_equal(name, good[i].name);
    }
    static const char *const bad[] = {
        "",
        "-",
        "-0",
        "a",
        "a-",
        "a-01",
        "a-00",
        "a-+1",
        "a- 1",
        "a-1 ",
        "a-x",
        "a-1x",
        "a-2147483648",
        "a-99999999999999999999",
        ".-0",
        "..-0",
        "a/b-0",
        "../a-0",
        "a b-0",
        "/-0",
        "\xc3\xa5-0",
        "kaja.lock",
        "kaja.catalog",
        "meta.properties",
        "a-0.0123456789abcdef0123456789abcdef-delete",
        "a-0.0123456789abcdef0123456789abcdef-future",
        "a-0.0123456789abcdef0123456789abcdef-stray",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (kj_partition_dir_parse(bad[i], topic, &partition))
            fail_msg("\"%s\" taken as partition %d of \"%s\"", bad[i], partition, topic);

    /* Lengths: 249 + "-0" fits; with so long a number that 255 are passed there is no name. */
    memset(text, 't', sizeof text);
    text[KJ_TOPIC_NAME_MAX] = 0;
    assert_true(kj_partition_dir_name(name, text, 99999));
    assert_int_equal(strlen(name), KJ_DIR_NAME_MAX);
    assert_true(kj_partition_dir_parse(name, topic, &partition));
    assert_int_equal(partition, 99999);
    assert_false(kj_partition_dir_name(name, text, 100000));
    memset(text, 't', sizeof text);
    memcpy(text + KJ_TOPIC_NAME_MAX + 1, "-0", 3);
    assert_false(kj_partition_dir_parse(text, topic, &partition));
}

static void test_deleted_dirs(void **state)
{
    (void)state;
    uint8_t id[16];
    char name[KJ_DIR_NAME_MAX + 1], topic[KJ_TOPIC_NAME_MAX + 1];
    for (int i = 0; i < 16; i++)
        id[i] = (uint8_t)(i * 17);
    kj_deleted_dir_name(name, "orders", 12, id);
    assert_string_equal(name, "orders-12.00112233445566778899aabbccddeeff-delete");
    assert_true(kj_deleted_dir_parse(name));
    for (size_t len = 1; len <= KJ_TOPIC_NAME_MAX; len++) {
        memset(topic, 'q', len);
        topic[len] = 0;
        kj_deleted_dir_name(name, topic, INT32_MAX, id);
        size_t full = len + strlen("-2147483647.00112233445566778899aabbccddeeff-delete");
        assert_int_equal(strlen(name), full < KJ_DIR_NAME_MAX ? full : KJ_DIR_NAME_MAX);
        assert_true(kj_deleted_dir_parse(name));
    }
    static const char *const bad[] = {
        "",
        "-delete",
        "orders-12",
        "orders-12-delete",
        "orders-delete",
        "orders-12.00112233445566778899aabbccddeef-delete", /* 31 digits */
        "orders-12.00112233445566778899AABBCCDDEEFF-delete",
        "orders-12.00112233445566778899aabbccddeeff-deleted",
        "orders-12.00112233445566778899aabbccddeeff-stray",
        "orders-1200112233445566778899aabbccddeeff-delete",
        "orders-.00112233445566778899aabbccddeeff-delete",
        "orders.00112233445566778899aabbccddeeff-delete",
        "-12.00112233445566778899aabbccddeeff-delete",
        "or ders-12.00112233445566778899aabbccddeeff-delete",
        "a/b-12.00112233445566778899aabbccddeeff-delete",
        ".00112233445566778899aabbccddeeff-delete",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (kj_deleted_dir_parse(bad[i]))
            fail_msg("\"%s\" taken as deleted", bad[i]);
}

static void test_known(void **state)
{
    (void)state;
    static const char *const known[] = {
        "00000000000000000000.log",
        "00000000000000000000.log.deleted",
        "00000000000000000007.timeindex.swap",
        "00000000000000000007.txnindex.cleaned",
        "00000000000000000007.snapshot",
        "00000000000000000007.snapshot.tmp",
        "00000000000000000007.prepared",
        "00000000000000000007.log.damaged-12",
        "partition.metadata",
        "partition.metadata.tmp",
        "leader-epoch-checkpoint",
        "leader-epoch-checkpoint.tmp",
    };
    static const char *const foreign[] = {
        "", ".tmp", "notes.txt", "notes.tmp", "0.log", "00000000000000000000.log.bak",
        "00000000000000000000.log.tmp.tmp", "partition.metadata.txt", "PARTITION.METADATA",
        "00000000000000000000", "x00000000000000000000.log",
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!kj_file_name_known(known[i]))
            fail_msg("\"%s\" is not known", known[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (kj_file_name_known(foreign[i]))
            fail_msg("\"%s\" is taken as known", foreign[i]);
    char stray[KJ_DIR_NAME_MAX + 1];
    kj_stray_dir_name(stray, "orders-12.00112233445566778899aabbccddeeff-delete");
    assert_string_equal(stray, "orders-12.00112233445566778899aabbccddeeff-stray");
}

static void test_uuid(void **state)
{
    (void)state;
    static const uint8_t golden[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                       0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    uint8_t id[16];
    char text[23];
    kj_uuid_text(golden, text);
    assert_string_equal(text, "ASNFZ4mrze8RIjNEVWZ3iA");
    assert_true(kj_uuid_parse(text, id));
    assert_memory_equal(id, golden, 16);
    uint64_t random = kjtest_seed();
    for (int i = 0; i < 1000; i++) {
        uint8_t in[16];
        for (int b = 0; b < 16; b++)
            in[b] = (uint8_t)kjtest_random(&random);
        kj_uuid_text(in, text);
        assert_int_equal(strlen(text), 22);
        assert_true(kj_uuid_parse(text, id));
        assert_memory_equal(id, in, 16);
    }
    static const char *const bad[] = {
        "",
        "AAAAAAAAAAAAAAAAAAAAAA",  /* zero */
        "ASNFZ4mrze8RIjNEVWZ3i",   /* 21 */
        "ASNFZ4mrze8RIjNEVWZ3iA=", /* padded */
        "ASNFZ4mrze8RIjNEVWZ3iA==",
        "ASNFZ4mrze8RIjNEVWZ3iB", /* bits beyond the 16th byte */
        "ASNFZ4mrze8RIjNEVWZ3i/",
        "ASNFZ4mrze8RIjNEVWZ3+A",
        "ASNFZ4mrze8RIjNEVWZ3 A",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(kj_uuid_parse(bad[i], id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),          cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_paths),          cmocka_unit_test(test_topics),
        cmocka_unit_test(test_partition_dirs), cmocka_unit_test(test_deleted_dirs),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
