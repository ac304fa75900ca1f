/* SPDX-License-Identifier: BSD-2-Clause */
#include "golden_logs.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "log/checkpoint.h"

static struct temp_dir dir;
static const char epochs_path[] = "t-0/leader-epoch-checkpoint";
static const char metadata_path[] = "t-0/partition.metadata";

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_new();
    return kj_io_mkdir(dir.io, "t-0");
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_free(&dir);
    return 0;
}

static void golden_epochs(const struct golden_file *golden)
{
    size_t len, out_len;
    uint8_t *bytes = golden_file_bytes(golden, &len);
    struct kj_epochs epochs;
    temp_dir_put(&dir, epochs_path, bytes, len);
    assert_ok(kj_epochs_read(dir.io, "t-0", &epochs));
    assert_int_equal(epochs.count, 1);
    assert_int_equal(kj_epochs_last(&epochs), 0);
    assert_int_equal(epochs.items[0].start_offset, 0);
    temp_dir_put(&dir, epochs_path, "", 0);
    assert_ok(kj_epochs_write(dir.io, "t-0", &epochs, true));
    uint8_t *out = temp_dir_get(&dir, epochs_path, &out_len);
    assert_int_equal(out_len, len);
    assert_memory_equal(out, bytes, len);
    kj_free(out);
    free(bytes);
    kj_epochs_free(&epochs);
}

static void golden_metadata(const struct golden_file *golden)
{
    static const uint8_t wanted[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                       0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    size_t len, out_len;
    uint8_t *bytes = golden_file_bytes(golden, &len), id[16];
    temp_dir_put(&dir, metadata_path, bytes, len);
    assert_ok(kj_partition_metadata_read(dir.io, "t-0", id));
    assert_memory_equal(id, wanted, 16);
    assert_ok(kj_partition_metadata_write(dir.io, "t-0", id, true));
    uint8_t *out = temp_dir_get(&dir, metadata_path, &out_len);
    assert_int_equal(out_len, len);
    assert_memory_equal(out, bytes, len);
    kj_free(out);
    free(bytes);
}

static void test_golden(void **state)
{
    (void)state;
    assert_int_equal(golden_logs_each("leader-epoch-checkpoint", golden_epochs), GOLDEN_LOGS);
    assert_int_equal(golden_logs_each("partition.metadata", golden_metadata), GOLDEN_LOGS);
}

static void test_malformed_epochs(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0\n1\n",
        "0\n1\n0\n",
        "0\n1\n0 0",
        "0\n1\n0 0 0\n",
        "0\n1\n-1 0\n",
        "0\n1\n0 -1\n",
        "0\n1\n2147483648 0\n",
        "0\n1\n0 9223372036854775808\n",
        "0\n2\n0 0\n0 1\n",
        "0\n2\n1 0\n0 1\n",
        "0\n2\n0 5\n1 5\n",
        "0\n2\n0 5\n1 4\n",
        "1\n1\n0 0\n",
        "0\n0\n0 0\n",
        "0\n1\na 0\n",
        "0\n99999999\n0 0\n",
    };
    struct kj_epochs epochs;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        temp_dir_put(&dir, epochs_path, bad[i], strlen(bad[i]));
        if (kj_epochs_read(dir.io, "t-0", &epochs) != KAJA_ERR_DAMAGED)
            fail_msg("taken: %s", bad[i]);
    }
    temp_dir_put(&dir, epochs_path, "", 0);
    assert_ok(kj_epochs_read(dir.io, "t-0", &epochs));
    assert_int_equal(epochs.count, 0);
    assert_int_equal(kj_epochs_last(&epochs), 0);
    assert_int_equal(kj_io_unlink(dir.io, epochs_path), 0);
    assert_ok(kj_epochs_read(dir.io, "t-0", &epochs));
    assert_int_equal(epochs.count, 0);
}

/* "epoch:start ..." of what is in there. */
static void check(const struct kj_epochs *epochs, const char *wanted)
{
    char text[256] = "";
    for (size_t i = 0; i < epochs->count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d:%lld",
                       i > 0 ? " " : "", epochs->items[i].epoch,
                       (long long)epochs->items[i].start_offset);
    assert_string_equal(text, wanted);
}

static void note(struct kj_epochs *epochs, int32_t epoch, int64_t start, bool changed)
{
    bool got = !changed;
    assert_ok(kj_epochs_note(epochs, epoch, start, &got));
    assert_int_equal(got, changed);
}

static void test_changes(void **state)
{
    (void)state;
    struct kj_epochs epochs = {0}, back;
    assert_false(kj_epochs_cut_end(&epochs, 0));
    assert_false(kj_epochs_cut_start(&epochs, 5));
    note(&epochs, -1, 0, false);
    note(&epochs, 0, 0, true);
    note(&epochs, 0, 10, false);
    note(&epochs, 2, 10, true);
    note(&epochs, 1, 15, false);
    note(&epochs, 5, 20, true);
    check(&epochs, "0:0 2:10 5:20");
    note(&epochs, 7, 20, true); /* epoch 5 had no batch */
    check(&epochs, "0:0 2:10 7:20");
    note(&epochs, 9, 30, true);
    assert_int_equal(kj_epochs_last(&epochs), 9);
    assert_ok(kj_epochs_write(dir.io, "t-0", &epochs, false));
    assert_ok(kj_epochs_read(dir.io, "t-0", &back));
    check(&back, "0:0 2:10 7:20 9:30");
    kj_epochs_free(&back);

    assert_false(kj_epochs_cut_start(&epochs, 0));
    assert_true(kj_epochs_cut_start(&epochs, 4));
    check(&epochs, "0:4 2:10 7:20 9:30");
    assert_true(kj_epochs_cut_start(&epochs, 15));
    check(&epochs, "2:15 7:20 9:30");
    assert_true(kj_epochs_cut_start(&epochs, 20));
    check(&epochs, "7:20 9:30");
    assert_false(kj_epochs_cut_start(&epochs, 20));
    assert_false(kj_epochs_cut_end(&epochs, 31));
    assert_true(kj_epochs_cut_end(&epochs, 30));
    check(&epochs, "7:20");
    note(&epochs, 8, 25, true);
    assert_true(kj_epochs_cut_start(&epochs, 1000));
    check(&epochs, "8:1000");
    assert_true(kj_epochs_cut_end(&epochs, 1000));
    check(&epochs, "");
    assert_int_equal(kj_epochs_last(&epochs), 0);
    kj_epochs_free(&epochs);
}

static void test_metadata(void **state)
{
    (void)state;
    uint8_t id[16];
    (void)kj_io_unlink(dir.io, metadata_path);
    assert_err(kj_partition_metadata_read(dir.io, "t-0", id), KAJA_ERR_UNKNOWN_TOPIC_ID);
    static const char *const bad[] = {
        "",
        "version: 0",
        "version: 0\n",
        "version: 0\ntopic_id: ",
        "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3i",
        "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iAA",
        "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA\n\n",
        "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA ",
        "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
        "version: 1\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA",
        "topic_id: ASNFZ4mrze8RIjNEVWZ3iA\nversion: 0",
        " version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        temp_dir_put(&dir, metadata_path, bad[i], strlen(bad[i]));
        if (kj_partition_metadata_read(dir.io, "t-0", id) != KAJA_ERR_DAMAGED)
            fail_msg("taken: %s", bad[i]);
    }
    static const char newline[] = "version: 0\ntopic_id: ASNFZ4mrze8RIjNEVWZ3iA\n";
    temp_dir_put(&dir, metadata_path, newline, sizeof newline - 1);
    assert_ok(kj_partition_metadata_read(dir.io, "t-0", id));
    static uint8_t big[5000];
    temp_dir_put(&dir, metadata_path, big, sizeof big);
    assert_err(kj_partition_metadata_read(dir.io, "t-0", id), KAJA_ERR_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_malformed_epochs),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
