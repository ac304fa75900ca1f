/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The control file's layout: slots that never move, and a file that cannot be trusted.
 */
#include "store_test.h"

static struct kj_shared *shared_open(const struct temp_dir *dir)
{
    struct kj_shared_options options = {.root_fd = dir->io->root_fd,
                                        .lock_name = KJ_LOCK_NAME,
                                        .control_name = KJ_CONTROL_NAME,
                                        .clock = &kj_clock_system};
    struct kj_shared *shared = NULL;
    assert_int_equal(kj_shared_open(&options, &shared), 0);
    return shared;
}

static void slots_stay_where_they_are(void **state)
{
    (void)state;
    struct temp_dir dir = temp_dir_new();
    struct kj_shared *a = shared_open(&dir), *b = shared_open(&dir);
    kj_word slot[200], again, first;
    assert_ok(kj_control_build(a, dir.io, 3));
    assert_ok(kj_control_check(a));
    assert_int_equal(kj_shared_attach(b), 0);
    assert_ok(kj_control_check(b));
    for (uint32_t i = 0; i < 3; i++)
        assert_ok(kj_control_slot(a, i, &slot[i]));
    assert_ok(kj_control_give(a, 1000, &first));
    assert_ok(kj_control_reach(a, 200));
    for (uint32_t i = 0; i < 200; i++) {
        assert_ok(kj_control_slot(a, i, &again));
        assert_true(i >= 3 || again == slot[i]);
        slot[i] = again;
        assert_true(again >= KJ_CONTROL_WORDS &&
                    (again + KJ_SLOT_WORDS <= first || again >= first + 1000));
        kj_shared_store(a, again + KJ_SLOT_END, i + 1);
        kj_shared_store(a, again + KJ_SLOT_WORDS - 1, i);
    }
    /* The other handle maps what was added when it gets there. */
    for (uint32_t i = 200; i-- > 0;) {
        assert_ok(kj_control_slot(b, i, &again));
        assert_int_equal(again, slot[i]);
        assert_int_equal(kj_shared_load(b, again + KJ_SLOT_END), i + 1);
        assert_int_equal(kj_shared_load(b, again + KJ_SLOT_WORDS - 1), i);
    }
    assert_int_equal(kj_shared_load(b, KJ_CONTROL_SLOTS), 200);
    assert_err(kj_control_slot(b, 256, &again), KAJA_ERR_DAMAGED); /* not made */
    assert_err(kj_control_slot(b, UINT32_MAX, &again), KAJA_ERR_DAMAGED);
    assert_err(kj_control_reach(b, KJ_SLOTS_MAX + 1), KAJA_ERR_INVALID_PARTITIONS);
    kj_shared_close(a);
    kj_shared_close(b);
    temp_dir_free(&dir);
}

/* Whatever the words say, nothing outside the file is touched. */
static void words_are_not_believed(void **state)
{
    (void)state;
    struct temp_dir dir = temp_dir_new();
    struct kj_shared *shared = shared_open(&dir);
    static const uint64_t lies[] = {1, KJ_CONTROL_WORDS - 1, UINT32_MAX, UINT64_MAX, INT64_MAX};
    kj_word slot;
    assert_ok(kj_control_build(shared, dir.io, 64));
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        kj_shared_store(shared, KJ_CONTROL_BLOCKS, lies[i]);
        assert_err(kj_control_slot(shared, 63, &slot), KAJA_ERR_DAMAGED);
    }
    kj_shared_store(shared, KJ_CONTROL_NEXT, UINT64_MAX);
    assert_err(kj_control_give(shared, 10, &slot), KAJA_ERR_DAMAGED);
    kj_shared_store(shared, KJ_CONTROL_NEXT, 5);
    assert_err(kj_control_give(shared, 10, &slot), KAJA_ERR_DAMAGED);
    kj_shared_close(shared);
    temp_dir_free(&dir);
}

static void sleepers_do_not_share_lines(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 1000; slot++) {
        kj_word word = kj_control_wake_word(slot);
        assert_true(word >= KJ_CONTROL_WAKE && word < KJ_CONTROL_BLOCKS && word % 8 == 0);
        assert_int_equal(word, kj_control_wake_word(slot + KJ_WAKE_WORDS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_stay_where_they_are),
        cmocka_unit_test(words_are_not_believed),
        cmocka_unit_test(sleepers_do_not_share_lines),
    };
    prefer_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
