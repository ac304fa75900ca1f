/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The simulated disk against its own promise: what was synced always survives, the rest sometimes,
 * the same seed gives the same.
 */
#include "os_test.h"

#include "base/alloc.h"
#include "sim/sim_io.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

static struct kj_sim *sim;
static struct kj_io *io;

static int setup(void **state)
{
    (void)state;
    sim = kj_sim_new(1);
    io = kj_sim_open(sim, false, NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kj_io_destroy(io);
    kj_sim_free(sim);
    return 0;
}

static void reopen(void)
{
    kj_io_destroy(io);
    io = kj_sim_open(sim, false, NULL, NULL);
}

static struct kj_file *must_open(struct kj_io *in, const char *path, unsigned flags)
{
    struct kj_file *file;
    assert_errno(kj_io_open(in, path, flags, &file), 0);
    return file;
}

static struct kj_file *create(const char *path)
{
    return must_open(io, path, KJ_IO_WRITE | KJ_IO_CREATE);
}

static void put(struct kj_file *file, const char *text, int64_t pos)
{
    assert_errno(kj_io_pwrite(file, text, strlen(text), pos), 0);
}

static bool exists(struct kj_io *in, const char *path)
{
    struct kj_io_stat stat;
    int err = kj_io_stat(in, path, &stat);
    assert_true(err == 0 || err == ENOENT || err == ENOTDIR);
    return err == 0;
}

static bool holds(struct kj_io *in, const char *path, const char *text)
{
    uint8_t *bytes;
    size_t len;
    if (kj_io_read_file(in, path, 1 << 20, &bytes, &len) != 0)
        return false;
    bool same = len == strlen(text) && memcmp(bytes, text, len) == 0;
    kj_free(bytes);
    return same;
}

/* --- an ordinary disk as long as the power is on --- */

static void test_files(void **state)
{
    (void)state;
    struct kj_file *file;
    assert_errno(kj_io_open(io, "f", KJ_IO_WRITE, &file), ENOENT);
    assert_errno(kj_io_open(io, "d/f", KJ_IO_WRITE | KJ_IO_CREATE, &file), ENOENT);
    assert_errno(kj_io_open(io, "../f", KJ_IO_READ, &file), EINVAL);
    file = create("f");
    assert_int_equal(file->fd, -1);
    put(file, "0123456789", 5);
    uint8_t buf[32];
    size_t got;
    assert_errno(kj_io_pread(file, buf, 32, 3, &got), 0);
    assert_int_equal(got, 12);
    assert_memory_equal(buf,
                        "\0\0"
                        "0123456789",
                        12);
    /* Seen by another process at once, through maps too. */
    struct kj_io *other = kj_sim_open(sim, true, NULL, NULL);
    struct kj_file *theirs = must_open(other, "f", KJ_IO_READ);
    assert_int_equal(theirs->ino, file->ino);
    const uint8_t *base;
    assert_errno(kj_io_map(theirs, 1 << 20, &base), 0);
    assert_memory_equal(base + 5, "0123456789", 10);
    put(file, "abc", 100000);
    assert_memory_equal(base + 100000, "abc", 3);
    int64_t data = -1;
    assert_errno(kj_io_next_data(file, 8, &data), 0);
    assert_int_equal(data, 8);
    assert_errno(kj_io_next_data(file, 20, &data), 0);
    assert_int_equal(data, 100000 / 4096 * 4096);
    assert_errno(kj_io_next_data(file, 100003, &data), 0);
    assert_int_equal(data, INT64_MAX);
    assert_errno(kj_io_populate(file, 0, 100003), 0);
    assert_errno(kj_io_populate(file, 0, 100004), EFAULT);
    assert_errno(kj_io_truncate(file, 7), 0);
    struct kj_io_stat stat;
    assert_errno(kj_io_stat_file(theirs, &stat), 0);
    assert_int_equal(stat.size, 7);
    struct kj_io_req req = {.op = KJ_IO_OP_ALLOCATE, .file = file, .pos = 0, .len = 9};
    assert_errno(kj_io_submit(io, &req, 1), 0);
    assert_true(holds(other, "f", "") == false);
    assert_errno(kj_io_pread(theirs, buf, 32, 0, &got), 0);
    assert_int_equal(got, 9);
    assert_memory_equal(buf,
                        "\0\0\0\0\0"
                        "01\0\0",
                        9);
    assert_errno(kj_io_unlink(other, "f"), EROFS);
    assert_errno(kj_io_unlink(io, "f"), 0);
    assert_errno(kj_io_pread(theirs, buf, 32, 5, &got), 0); /* still there for who has it open */
    assert_memory_equal(buf, "01", 2);
    assert_memory_equal(base + 5, "01", 2);
    kj_io_unmap(other, base, 1 << 20);
    kj_io_close(theirs);
    kj_io_close(file);
    kj_io_destroy(other);
}

static int count_entries(void *arg, const char *name, enum kj_io_type type)
{
    (void)name;
    *(int *)arg += type == KJ_IO_DIR ? 100 : 1;
    return kj_io_unlink(io, "d/two") == 1; /* changes what is being listed */
}

static void test_names(void **state)
{
    (void)state;
    struct kj_file *file;
    assert_errno(kj_io_mkdir(io, "d"), 0);
    assert_errno(kj_io_mkdir(io, "d"), EEXIST);
    assert_errno(kj_io_mkdir(io, "d/e"), 0);
    kj_io_close(create("d/one"));
    kj_io_close(create("d/two"));
    int entries = 0;
    assert_errno(kj_io_list(io, "d", count_entries, &entries), 0);
    assert_int_equal(entries, 102);
    assert_errno(kj_io_list(io, "x", count_entries, &entries), ENOENT);
    assert_errno(kj_io_list(io, "d/one", count_entries, &entries), ENOTDIR);
    assert_errno(kj_io_open(io, "d", KJ_IO_READ, &file), EISDIR);
    assert_errno(kj_io_open(io, "d/one/x", KJ_IO_READ, &file), ENOTDIR);
    assert_errno(kj_io_rmdir(io, "d"), ENOTEMPTY);
    assert_errno(kj_io_rmdir(io, "d/one"), ENOTDIR);
    assert_errno(kj_io_unlink(io, "d/e"), EISDIR);
    assert_errno(kj_io_unlink(io, "d/two"), ENOENT);
    assert_errno(kj_io_rename(io, "d", "d/e/f"), EINVAL);
    assert_errno(kj_io_rename(io, "d/one", "d/e"), EISDIR);
    assert_errno(kj_io_rename(io, "d/e", "d/one"), ENOTDIR);
    assert_errno(kj_io_rename(io, "d/x", "d/y"), ENOENT);
    assert_errno(kj_io_rename(io, "d", "dd"), 0);
    assert_true(exists(io, "dd/one") && !exists(io, "d"));
    assert_errno(kj_io_rename(io, "dd/one", "one"), 0);
    assert_errno(kj_io_rmdir(io, "dd/e"), 0);
    assert_errno(kj_io_rmdir(io, "dd"), 0);
    assert_errno(kj_io_replace_file(io, "one", "text", 4, true), 0);
    assert_true(holds(io, "one", "text"));
    assert_errno(kj_io_sync_dir(io, "one"), ENOTDIR);
}

static void test_direct(void **state)
{
    (void)state;
    uint8_t *buf = kj_alloc_aligned(4096, 8192);
    struct kj_file *file = create("f");
    put(file, "bytes", 0);
    struct kj_file *direct = must_open(io, "f", KJ_IO_READ | KJ_IO_DIRECT);
    size_t got;
    assert_errno(kj_io_pread(direct, buf, 8192, 0, &got), 0);
    assert_int_equal(got, 5);
    assert_errno(kj_io_pread(direct, buf, 100, 0, &got), EINVAL);
    assert_errno(kj_io_pread(direct, buf + 1, 4096, 0, &got), EINVAL);
    assert_errno(kj_io_pread(direct, buf, 4096, 5, &got), EINVAL);
    kj_io_close(direct);
    kj_io_close(file);
    kj_free(buf);
}

static void test_limits(void **state)
{
    (void)state;
    kj_sim_limit(sim, 10 * 4096, 8 * 4096);
    struct kj_io_fs fs;
    struct kj_file *a = create("a"), *b = create("b");
    static uint8_t bytes[9 * 4096];
    assert_errno(kj_io_pwrite(a, bytes, 9 * 4096, 0), EFBIG);
    assert_errno(kj_io_truncate(a, 8 * 4096), 0);
    assert_errno(kj_io_fs(io, &fs), 0);
    assert_int_equal(fs.free_bytes, 2 * 4096);
    assert_errno(kj_io_pwrite(b, bytes, 3 * 4096, 0), ENOSPC); /* what fits is there */
    struct kj_io_stat stat;
    assert_errno(kj_io_stat_file(b, &stat), 0);
    assert_int_equal(stat.size, 2 * 4096);
    assert_errno(kj_io_truncate(b, 100), 0);
    assert_errno(kj_io_pwrite(b, bytes, 10, 100), 0);
    kj_io_close(a);
    assert_errno(kj_io_unlink(io, "a"), 0);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    assert_errno(kj_io_fs(io, &fs), 0);
    assert_int_equal(fs.free_bytes, 9 * 4096);
    kj_io_close(b);
}

/* --- the power goes --- */

static void test_synced_survives(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        kj_io_destroy(io);
        kj_sim_free(sim);
        setup(NULL);
        assert_errno(kj_io_mkdir(io, "d"), 0);
        struct kj_file *file = create("d/f");
        put(file, "synced", 0);
        assert_errno(kj_io_sync(file), 0);
        assert_errno(kj_io_sync_dir(io, "d"), 0);
        assert_errno(kj_io_sync_dir(io, ""), 0);
        put(file, "not synced", 5000);
        kj_io_close(create("d/g"));
        kj_io_close(file);
        kj_sim_crash(sim, seed, (enum kj_sim_crash_mode)(seed % KJ_SIM_CRASH_MODES));
        struct kj_file *none;
        assert_errno(kj_io_open(io, "d/f", KJ_IO_READ, &none), EIO); /* a dead process */
        reopen();
        file = must_open(io, "d/f", KJ_IO_READ);
        char buf[8] = {0};
        size_t got;
        assert_errno(kj_io_pread(file, buf, 6, 0, &got), 0);
        assert_string_equal(buf, "synced");
        kj_io_close(file);
        /* What a cut left is on the disk: another one takes nothing away. */
        bool had = exists(io, "d/g");
        kj_sim_crash(sim, seed, KJ_SIM_CRASH_DROP);
        reopen();
        assert_true(exists(io, "d/g") == had);
    }
}

/* What of these comes up in many cuts, by bits. */
static unsigned outcomes(enum kj_sim_crash_mode cut, unsigned (*look)(struct kj_io *left))
{
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct kj_sim *copy = kj_sim_crash_copy(sim, seed, cut);
        struct kj_io *left = kj_sim_open(copy, false, NULL, NULL);
        seen |= 1u << look(left);
        kj_io_destroy(left);
        kj_sim_free(copy);
    }
    return seen;
}

enum { MISSING, OLD, NEW, ZEROS, MIXED, SHORT };

/* A file whose first sector was "o" and became "n", 1,024 bytes. */
static unsigned look_at_two_sectors(struct kj_io *left)
{
    uint8_t *bytes;
    size_t len;
    if (kj_io_read_file(left, "f", 1 << 20, &bytes, &len) != 0)
        return MISSING;
    unsigned kinds = 0;
    for (size_t i = 0; i < len; i++)
        kinds |= bytes[i] == 'o' ? 1u : bytes[i] == 'n' ? 2u : bytes[i] == 0 ? 4u : 8u;
    kj_free(bytes);
    assert_int_equal(kinds & 8, 0);
    if (len < 1024)
        return SHORT;
    return kinds == 1 ? OLD : kinds == 2 ? NEW : kinds == 4 ? ZEROS : MIXED;
}

static void test_bytes(void **state)
{
    (void)state;
    char text[1025];
    memset(text, 'o', 1024);
    text[1024] = '\0';
    struct kj_file *file = create("f");
    assert_errno(kj_io_sync_dir(io, ""), 0);
    /* New bytes: none, all, zeros, a part, a shorter file. */
    put(file, text, 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_DROP, look_at_two_sectors), 1u << SHORT);
    assert_int_equal(outcomes(KJ_SIM_CRASH_KEEP, look_at_two_sectors), 1u << OLD);
    assert_int_equal(outcomes(KJ_SIM_CRASH_SIZES, look_at_two_sectors), 1u << ZEROS);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_two_sectors),
                     1u << SHORT | 1u << ZEROS | 1u << MIXED | 1u << OLD);
    /* Overwritten: old, new, mixed, but never zeros and never shorter. */
    assert_errno(kj_io_sync(file), 0);
    memset(text, 'n', 1024);
    put(file, text, 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_DROP, look_at_two_sectors), 1u << OLD);
    assert_int_equal(outcomes(KJ_SIM_CRASH_SIZES, look_at_two_sectors), 1u << OLD);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_two_sectors),
                     1u << OLD | 1u << NEW | 1u << MIXED);
    assert_int_equal(outcomes(KJ_SIM_CRASH_TORN, look_at_two_sectors) & ~(1u << OLD | 1u << NEW),
                     1u << MIXED);
    assert_int_equal(outcomes(KJ_SIM_CRASH_PREFIX, look_at_two_sectors) & (1u << OLD | 1u << NEW),
                     1u << OLD | 1u << NEW);
    assert_errno(kj_io_sync(file), 0);
    for (int cut = 0; cut < KJ_SIM_CRASH_MODES; cut++)
        assert_int_equal(outcomes((enum kj_sim_crash_mode)cut, look_at_two_sectors), 1u << NEW);
    /* Cut short and grown again: the bytes behind are old, or zeros. */
    assert_errno(kj_io_truncate(file, 0), 0);
    assert_errno(kj_io_truncate(file, 1024), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_two_sectors),
                     1u << NEW | 1u << ZEROS | 1u << SHORT);
    kj_io_close(file);
}

static void test_sync_through_any_descriptor(void **state)
{
    (void)state;
    struct kj_file *writer = create("f");
    assert_errno(kj_io_sync_dir(io, ""), 0);
    put(writer, "bytes", 0);
    struct kj_io *other = kj_sim_open(sim, false, NULL, NULL);
    struct kj_file *theirs = must_open(other, "f", KJ_IO_READ);
    assert_errno(kj_io_sync(theirs), 0);
    kj_io_close(theirs);
    kj_io_destroy(other);
    kj_io_close(writer);
    kj_sim_crash(sim, 1, KJ_SIM_CRASH_DROP);
    reopen();
    assert_true(holds(io, "f", "bytes"));
}

/* Bit 0: a; 1: b; 2: c */
static unsigned look_at_abc(struct kj_io *left)
{
    return (unsigned)(exists(left, "a") | exists(left, "d/b") << 1 | exists(left, "c") << 2);
}

static void test_names_survive(void **state)
{
    (void)state;
    assert_errno(kj_io_mkdir(io, "d"), 0);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    kj_io_close(create("a"));
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_abc), 1u << 0 | 1u << 1);
    kj_io_close(create("d/b"));
    kj_io_close(create("c"));
    /* A beginning of what was done: nothing; a; a and b; all. */
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_abc),
                     1u << 0 | 1u << 1 | 1u << 3 | 1u << 7);
    assert_int_equal(outcomes(KJ_SIM_CRASH_DROP, look_at_abc), 1u << 0);
    /* A directory's sync keeps its own names only. */
    assert_errno(kj_io_sync_dir(io, "d"), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_DROP, look_at_abc), 1u << 2);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_DROP, look_at_abc), 1u << 7);
    /* A rename is there or not, in both directories at once. */
    assert_errno(kj_io_rename(io, "a", "d/b"), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_abc), 1u << 7 | 1u << 6);
    assert_errno(kj_io_sync_dir(io, "d"), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_abc), 1u << 6);
    /* Made elsewhere, then moved: synced where it is now, it is nowhere else. */
    kj_io_close(create("a"));
    assert_errno(kj_io_rename(io, "a", "d/x"), 0);
    assert_errno(kj_io_sync_dir(io, "d"), 0);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_abc), 1u << 6);
    /* A directory that was not synced is gone with all that is in it. */
    assert_errno(kj_io_mkdir(io, "e"), 0);
    kj_io_close(create("e/f"));
    assert_errno(kj_io_sync_dir(io, "e"), 0);
    kj_sim_crash(sim, 5, KJ_SIM_CRASH_DROP);
    reopen();
    assert_true(!exists(io, "e") && exists(io, "d/x") && !exists(io, "a"));
    kj_io_close(create("late"));
    kj_sim_settle(sim);
    kj_sim_crash(sim, 5, KJ_SIM_CRASH_DROP);
    reopen();
    assert_true(exists(io, "late"));
}

/* The way of replacing a file survives every cut at every step; leaving out a sync does not. */
static unsigned look_at_replaced(struct kj_io *left)
{
    return holds(left, "f", "old") ? OLD : holds(left, "f", "new, longer") ? NEW : MIXED;
}

struct cuts_at_steps {
    unsigned seen;
};

static int cut_here(void *arg, const char *op, const char *path)
{
    (void)op, (void)path;
    struct cuts_at_steps *cuts = arg;
    for (int cut = 0; cut < KJ_SIM_CRASH_MODES; cut++)
        cuts->seen |= outcomes((enum kj_sim_crash_mode)cut, look_at_replaced);
    return 0;
}

static void test_replace_file(void **state)
{
    (void)state;
    assert_errno(kj_io_replace_file(io, "f", "old", 3, true), 0);
    struct cuts_at_steps cuts = {0};
    struct kj_io *watched = kj_sim_open(sim, false, cut_here, &cuts);
    assert_errno(kj_io_replace_file(watched, "f", "new, longer", 11, true), 0);
    assert_int_equal(cuts.seen, 1u << OLD | 1u << NEW);
    cut_here(&cuts, "", "");
    assert_int_equal(cuts.seen, 1u << OLD | 1u << NEW);
    assert_int_equal(outcomes(KJ_SIM_CRASH_RANDOM, look_at_replaced), 1u << NEW);
    assert_errno(kj_io_replace_file(watched, "f", "old", 3, false), 0);
    assert_true((outcomes(KJ_SIM_CRASH_RANDOM, look_at_replaced) & 1u << MIXED) != 0);
    kj_io_destroy(watched);
}

/* A workload and a cut from one seed, twice: the same disk. */
static uint64_t digest_of_run(uint64_t seed)
{
    struct kj_sim *disk = kj_sim_new(seed);
    struct kj_io *in = kj_sim_open(disk, false, NULL, NULL);
    uint64_t random = seed;
    struct kj_file *files[3];
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), '\0'};
        files[i] = must_open(in, name, KJ_IO_WRITE | KJ_IO_CREATE);
    }
    for (int i = 0; i < 60; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct kj_file *file = files[random >> 60 & 1];
        uint64_t words[200];
        for (int w = 0; w < 200; w++)
            words[w] = random + (uint64_t)w;
        size_t len = random >> 20 & 1023;
        if (i % 17 == 16)
            kj_sim_fail(disk, NULL, 1, EIO, false);
        (void)kj_io_pwrite(file, words, len, (int64_t)(random >> 40 & 4095));
        if (i % 11 == 10)
            (void)kj_io_sync(file);
        if (i == 30)
            (void)kj_io_sync_dir(in, "");
    }
    for (int i = 0; i < 3; i++)
        kj_io_close(files[i]);
    kj_io_destroy(in);
    kj_sim_crash(disk, seed, (enum kj_sim_crash_mode)(seed % KJ_SIM_CRASH_MODES));
    in = kj_sim_open(disk, false, NULL, NULL);
    uint64_t digest = 14695981039346656037u;
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), '\0'};
        uint8_t *bytes;
        size_t len;
        if (kj_io_read_file(in, name, 1 << 20, &bytes, &len) != 0)
            continue;
        for (size_t b = 0; b < len; b++)
            digest = (digest ^ bytes[b]) * 1099511628211u;
        digest = (digest ^ len) * 1099511628211u;
        kj_free(bytes);
    }
    kj_io_destroy(in);
    kj_sim_free(disk);
    return digest;
}

static void test_replay(void **state)
{
    (void)state;
    unsigned different = 0;
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t digest = digest_of_run(seed);
        assert_true(digest == digest_of_run(seed));
        different += digest != last;
        last = digest;
    }
    assert_true(different > 50);
}

/* --- faults --- */

static void test_nth_fault(void **state)
{
    (void)state;
    struct kj_file *file = create("f");
    uint64_t before = kj_sim_count(sim, NULL);
    kj_sim_fail(sim, "pwrite", 3, ENOSPC, false);
    for (int i = 1; i <= 5; i++) {
        assert_errno(kj_io_pwrite(file, "x", 1, i), i == 3 ? ENOSPC : 0);
        assert_errno(kj_io_sync(file), 0);
    }
    assert_int_equal(kj_sim_count(sim, NULL) - before, 10);
    assert_int_equal(kj_sim_count(sim, "sync"), 5);
    kj_sim_fail(sim, NULL, 2, EIO, true);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    assert_errno(kj_io_sync_dir(io, ""), EIO);
    assert_errno(kj_io_truncate(file, 0), EIO);
    kj_sim_fail(sim, NULL, 0, 0, false);
    assert_errno(kj_io_truncate(file, 0), 0);
    kj_io_close(file);
}

/* A failing write leaves nothing, something, or all. */
static void test_failing_write_leaves_a_part(void **state)
{
    (void)state;
    unsigned kinds = 0;
    for (int i = 0; i < 100; i++) {
        struct kj_file *file = create("f");
        assert_errno(kj_io_truncate(file, 0), 0);
        kj_sim_fail(sim, "pwrite", 1, EIO, false);
        assert_errno(kj_io_pwrite(file, "0123456789", 10, 0), EIO);
        struct kj_io_stat stat;
        assert_errno(kj_io_stat_file(file, &stat), 0);
        kinds |= stat.size == 0 ? 1 : stat.size < 10 ? 2 : 4;
        kj_io_close(file);
    }
    assert_int_equal(kinds & 3, 3);
}

/* The cache shows what the disk never got, the next sync succeeds, and a cut tells the truth. */
static void test_failed_sync(void **state)
{
    (void)state;
    enum { LEN = 64 * 512 };
    static uint8_t text[LEN];
    uint8_t *seen = kj_alloc_aligned(4096, LEN);
    struct kj_file *file = create("f");
    memset(text, 'o', LEN);
    assert_errno(kj_io_pwrite(file, text, LEN, 0), 0);
    assert_errno(kj_io_sync(file), 0);
    assert_errno(kj_io_sync_dir(io, ""), 0);
    memset(text, 'n', LEN);
    assert_errno(kj_io_pwrite(file, text, LEN, 0), 0);
    kj_sim_fail(sim, "sync", 1, EIO, false);
    assert_errno(kj_io_sync(file), EIO);
    assert_errno(kj_io_sync(file), 0); /* a lie */
    size_t got;
    assert_errno(kj_io_pread(file, seen, LEN, 0, &got), 0);
    assert_memory_equal(seen, text, LEN);
    struct kj_file *direct = must_open(io, "f", KJ_IO_READ | KJ_IO_DIRECT);
    assert_errno(kj_io_pread(direct, seen, LEN, 0, &got), 0);
    unsigned lost = 0;
    for (size_t i = 0; i < LEN; i += 512)
        lost += seen[i] == 'o';
    assert_true(lost > 10 && lost < 54);
    /* Written again beside it, the page goes down as a whole. */
    assert_errno(kj_io_pwrite(file, "x", 1, 100), 0);
    assert_errno(kj_io_sync(file), 0);
    assert_errno(kj_io_pread(direct, seen, LEN, 0, &got), 0);
    for (size_t i = 0; i < 4096; i += 512)
        assert_int_equal(seen[i], 'n');
    kj_io_close(direct);
    kj_io_close(file);
    kj_sim_crash(sim, 1, KJ_SIM_CRASH_KEEP);
    reopen();
    file = must_open(io, "f", KJ_IO_READ);
    uint8_t *left = kj_alloc(LEN);
    assert_errno(kj_io_pread(file, left, LEN, 0, &got), 0);
    assert_memory_equal(left, seen, LEN);
    kj_io_close(file);
    kj_free(left);
    kj_free(seen);
}

static void test_rot(void **state)
{
    (void)state;
    assert_errno(kj_io_replace_file(io, "f", "0123456789", 10, true), 0);
    assert_false(kj_sim_rot(sim, "none", 0, "x", 1));
    assert_false(kj_sim_rot(sim, "f", 10, "x", 1));
    assert_true(kj_sim_rot(sim, "f", 9, "x", 1));
    assert_true(holds(io, "f", "012345678x"));
    kj_sim_crash(sim, 1, KJ_SIM_CRASH_DROP);
    reopen();
    assert_true(holds(io, "f", "012345678x"));
}

/* Maps and files of the dead stay harmless. */
static void test_dead_processes(void **state)
{
    (void)state;
    struct kj_file *file = create("f");
    put(file, "bytes", 0);
    const uint8_t *base;
    assert_errno(kj_io_map(file, 4096, &base), 0);
    kj_sim_crash(sim, 1, KJ_SIM_CRASH_DROP);
    assert_errno(kj_io_pwrite(file, "x", 1, 0), EIO);
    assert_errno(kj_io_sync(file), EIO);
    assert_memory_equal(base, "bytes", 5);
    kj_io_unmap(io, base, 4096);
    kj_io_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_files),
        CASE(test_names),
        CASE(test_direct),
        CASE(test_limits),
        CASE(test_synced_survives),
        CASE(test_bytes),
        CASE(test_sync_through_any_descriptor),
        CASE(test_names_survive),
        CASE(test_replace_file),
        CASE(test_replay),
        CASE(test_nth_fault),
        CASE(test_failing_write_leaves_a_part),
        CASE(test_failed_sync),
        CASE(test_rot),
        CASE(test_dead_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
