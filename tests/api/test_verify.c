/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja_verify(): nothing wrong with what is sound, and each kind of damage found where it was done.
 */
#include "api_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

struct findings {
    struct kaja_verify_result result;
    int count[5]; /* by kind */
    int64_t offset, pos, bytes; /* of the first */
    int error;
    char file[256], text[256];
};

static void found(void *arg, const struct kaja_finding *finding)
{
    struct findings *f = arg;
    assert_non_null(finding->file);
    assert_non_null(finding->text);
    int before = f->count[0]++;
    f->count[finding->kind]++;
    if (getenv("KJ_VERBOSE") != NULL)
        print_message("%d %s: %s\n", (int)finding->kind, finding->file, finding->text);
    if (before > 0)
        return;
    f->offset = finding->offset;
    f->pos = finding->pos;
    f->bytes = finding->bytes;
    f->error = finding->error;
    (void)snprintf(f->file, sizeof f->file, "%s", finding->file);
    (void)snprintf(f->text, sizeof f->text, "%s", finding->text);
}

static struct findings verify(const char *topic)
{
    struct findings f;
    memset(&f, 0, sizeof f);
    assert_ok(kaja_verify(test_dir, topic, found, &f, &f.result));
    assert_int_equal(f.result.damage,
                     f.count[KAJA_FINDING_DAMAGE] + f.count[KAJA_FINDING_INDEX]);
    return f;
}

static void path_of(const char *file, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", test_dir, file);
}

static int open_file(const char *file)
{
    char path[256];
    path_of(file, path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static void fd_append(const char *file, const void *bytes, size_t len)
{
    int fd = open_file(file);
    assert_int_equal(pwrite(fd, bytes, len, lseek(fd, 0, SEEK_END)), (ssize_t)len);
    close(fd);
}

static off_t size_of(const char *file)
{
    struct stat st;
    char path[256];
    path_of(file, path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}


static void flip_bits(const char *file, off_t pos, uint8_t bits)
{
    uint8_t byte = 0;
    int fd = open_file(file);
    assert_int_equal(pread(fd, &byte, 1, pos), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, pos), 1);
    close(fd);
}

static void flip(const char *file, off_t pos)
{
    flip_bits(file, pos, 0x10);
}

static void cut(const char *file, off_t size)
{
    int fd = open_file(file);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

#define LOG0 "t-0/00000000000000000000.log"
#define INDEX0 "t-0/00000000000000000000.index"
#define TIMEINDEX0 "t-0/00000000000000000000.timeindex"

/* 40 batches of one record of 500 bytes in one segment, closed cleanly. */
static void fill(const char *segment_bytes, const char *codec)
{
    struct kaja_store *store = open_store(NULL);
    struct kaja_conf *conf = conf_of("segment.bytes", segment_bytes, "index.interval.bytes", "1000",
                                     "retention.ms", "-1", NULL);
    send_timestamp = 1000; /* they rise, so that the time index has entries */
    assert_ok(kaja_admin_create_topic(store, "t", 1, conf));
    kaja_conf_free(conf);
    conf = conf_of("acks", "1", "compression.type", codec, NULL);
    send_records(store, "t", 0, 40, 500, true, conf);
    send_timestamp = KAJA_TIMESTAMP_NOW;
    assert_ok(kaja_store_close(store));
}

/* Position and bytes of batch i. */
static off_t batch_at(int i, int32_t *ret_bytes)
{
    int fd = open_file(LOG0);
    off_t pos = 0;
    for (;; i--) {
        uint8_t head[12];
        assert_int_equal(pread(fd, head, sizeof head, pos), 12);
        int32_t bytes = 12 + (head[8] << 24 | head[9] << 16 | head[10] << 8 | head[11]);
        if (i == 0) {
            *ret_bytes = bytes;
            close(fd);
            return pos;
        }
        pos += bytes;
    }
}

static void test_sound(void **state)
{
    (void)state;
    struct kaja_verify_result result;
    assert_err(kaja_verify("no-such-directory", NULL, NULL, NULL, NULL), KAJA_ERR_NO_DIRECTORY);
    assert_err(kaja_verify(NULL, NULL, NULL, NULL, NULL), KAJA_ERR_INVALID_ARG);
    fill("1000000", "none");
    struct findings f = verify(NULL);
    assert_int_equal(f.count[0], 0);
    assert_int_equal(f.result.partitions, 1);
    assert_int_equal(f.result.segments, 1);
    assert_int_equal(f.result.batches, 40);
    assert_int_equal(f.result.records, 40);
    assert_int_equal(f.result.bytes, size_of(LOG0));
    assert_true(size_of(INDEX0) > 8 * 5);
    f = verify("t");
    assert_int_equal(f.result.batches, 40);
    assert_err(kaja_verify(test_dir, "u", found, &f, &result), KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_ok(kaja_verify(test_dir, NULL, NULL, NULL, NULL));
}

static void test_many_segments(void **state)
{
    (void)state;
    fill("3000", SOME_CODEC); /* a few batches each */
    struct findings f = verify(NULL);
    assert_int_equal(f.count[0], 0);
    assert_true(f.result.segments > 1);
    assert_int_equal(f.result.records, 40);
}

/* A byte anywhere in a batch that others follow. Which bytes are told by offset and position; the
 * leader epoch (12 .. 15) lies outside the checksum and is not judged. */
static void test_flips(void **state)
{
    (void)state;
    fill("1000000", "none");
    int32_t bytes = 0;
    off_t pos = batch_at(20, &bytes);
    for (int32_t i = 0; i < bytes; i += i < 80 ? 1 : 37) {
        if (i >= 12 && i < 16)
            continue;
        flip(LOG0, pos + i);
        struct findings f = verify(NULL);
        if (f.count[KAJA_FINDING_DAMAGE] != 1 || f.count[KAJA_FINDING_UNFLUSHED_TAIL] != 0)
            fail_msg("byte %d: %d findings, first %s", (int)i, f.count[0], f.text);
        if (f.count[KAJA_FINDING_INDEX] != 0) /* what names the damaged batch is right */
            fail_msg("byte %d: %d of indexes", (int)i, f.count[KAJA_FINDING_INDEX]);
        if (f.offset != 20 || f.pos != pos)
            fail_msg("byte %d: offset %lld, position %lld: %s", (int)i, (long long)f.offset,
                     (long long)f.pos, f.text);
        assert_int_equal(f.bytes, bytes);
        assert_int_equal(f.result.batches, 39);
        assert_string_equal(f.file, LOG0);
        flip(LOG0, pos + i);
    }
    assert_int_equal(verify(NULL).count[0], 0);
}

static void remove_file(const char *file)
{
    char path[256];
    path_of(file, path);
    assert_int_equal(unlink(path), 0);
}

/* As if it had crashed before anything was flushed. */
static void make_unclean(void)
{
    remove_file(".kafka_cleanshutdown");
    remove_file("recovery-point-offset-checkpoint");
}

/* The end of the last segment: damage after a clean stop, a tail after a crash. */
static void test_tails(void **state)
{
    (void)state;
    fill("1000000", "none");
    int32_t bytes = 0;
    off_t pos = batch_at(39, &bytes);
    flip(LOG0, pos + 70);
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
    flip(LOG0, pos + 70);
    remove_file(".kafka_cleanshutdown"); /* but flushed up to the end */
    flip(LOG0, pos + 70);
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
    flip(LOG0, pos + 70);
    remove_file("recovery-point-offset-checkpoint");
    assert_int_equal(verify(NULL).count[0], 0);
    for (int32_t keep = 1; keep < bytes; keep += keep < 64 ? 9 : 101) {
        int fd = open_file(LOG0);
        uint8_t saved[2048];
        assert_int_equal(pread(fd, saved, (size_t)bytes, pos), bytes);
        cut(LOG0, pos + keep);
        struct findings f = verify(NULL);
        if (f.count[KAJA_FINDING_UNFLUSHED_TAIL] != 1 || f.count[KAJA_FINDING_DAMAGE] != 0)
            fail_msg("%d bytes left: %s", (int)keep, f.text);
        assert_int_equal(f.offset, 39);
        assert_int_equal(f.pos, pos);
        assert_int_equal(f.bytes, keep);
        assert_int_equal(pwrite(fd, saved, (size_t)bytes, pos), bytes);
        close(fd);
    }
    cut(LOG0, pos + bytes + 100000); /* prepared space */
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 1);
    assert_int_equal(f.count[0], 1);
    assert_int_equal(f.bytes, 100000);
    assert_int_equal(f.offset, 40);
    flip(LOG0, pos + 70); /* torn inside, zeros behind */
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 1);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 0);
    assert_int_equal(f.offset, 39);
}

/* In a directory that was closed in order nothing may be torn, even if its checkpoint is lost. */
static void test_clean_tail(void **state)
{
    (void)state;
    fill("1000000", "none");
    int32_t bytes = 0;
    off_t pos = batch_at(39, &bytes);
    remove_file("recovery-point-offset-checkpoint");
    assert_int_equal(verify(NULL).count[0], 0);
    cut(LOG0, pos + bytes - 1);
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
}

/* A record whose value is a batch that would fit behind it is not taken for the log's own. */
static void test_batch_in_record(void **state)
{
    (void)state;
    fill("1000000", "none");
    int32_t bytes = 0;
    uint8_t value[2048];
    off_t pos = batch_at(5, &bytes);
    int fd = open_file(LOG0);
    assert_int_equal(pread(fd, value, (size_t)bytes, pos), bytes);
    close(fd);
    value[7] = 41; /* its base offset; the checksum leaves that out */
    struct kaja_store *store = open_store(NULL);
    struct kaja_producer *producer = NULL;
    struct kaja_record record = KAJA_RECORD_INIT;
    struct kaja_metadata metadata;
    record.topic = "t";
    record.value = value;
    record.value_bytes = (size_t)bytes;
    assert_ok(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < 3; i++) {
        record.timestamp = 1100 + i; /* in the same segment */
        assert_ok(kaja_producer_send(producer, &record, 10000, &metadata));
    }
    assert_ok(kaja_producer_close(producer, 10000));
    assert_ok(kaja_store_close(store));
    assert_int_equal(verify(NULL).count[0], 0);
    pos = batch_at(40, &bytes);
    flip(LOG0, pos + 16); /* no header to skip by */
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_int_equal(f.offset, 40);
    assert_int_equal(f.bytes, bytes);
    assert_int_equal(f.result.batches, 42);
}

/* Base of the first segment behind this one. */
static long long segment_after(long long offset)
{
    char path[256];
    path_of("t-0", path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    long long found = INT64_MAX;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        long long base = atoll(e->d_name);
        if (strstr(e->d_name, ".log") != NULL && base > offset && base < found)
            found = base;
    }
    closedir(dir);
    assert_true(found < 40);
    return found;
}

static void test_missing(void **state)
{
    (void)state;
    fill("3000", "none");
    char name[64] = "", path[256];
    long long second = segment_after(0);
    (void)snprintf(name, sizeof name, "t-0/%020lld.log", second);
    off_t size = size_of(name);
    cut(name, size - 100); /* not the last segment: its tail is damage */
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 0);
    assert_string_equal(f.file, name);
    path_of(name, path);
    assert_int_equal(unlink(path), 0);
    f = verify(NULL);
    assert_true(f.count[KAJA_FINDING_DAMAGE] >= 1);
    assert_non_null(strstr(f.text, "missing"));
    char command[300];
    path_of("t-0", path);
    (void)snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_string_equal(f.file, "t-0");
}

/* In the directory. */
static void shell(const char *what)
{
    char command[512];
    (void)snprintf(command, sizeof command, "cd %s && %s", test_dir, what);
    assert_int_equal(system(command), 0);
}

static void put(const char *file, const char *text)
{
    char path[256];
    path_of(file, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Offsets may be missing below what kaja.cleaned, or Kafka's checkpoint, says, and nowhere else. */
static void test_cleaned(void **state)
{
    (void)state;
    fill("3000", "none");
    long long second = segment_after(0), third = segment_after(second);
    char command[128], below[64], short_of[64];
    (void)snprintf(command, sizeof command, "rm t-0/%020lld.*", second);
    (void)snprintf(below, sizeof below, "0\n1\nt 0 %lld\n", third);
    (void)snprintf(short_of, sizeof short_of, "0\n1\nt 0 %lld\n", third - 1);
    shell(command);
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
    put("kaja.cleaned", short_of);
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
    put("cleaner-offset-checkpoint", below);
    assert_int_equal(verify(NULL).count[0], 0);
    put("kaja.cleaned", below);
    put("cleaner-offset-checkpoint", short_of);
    assert_int_equal(verify(NULL).count[0], 0);
    put("kaja.cleaned", "0\n1\nu 0 100\n");
    assert_int_equal(verify(NULL).count[KAJA_FINDING_DAMAGE], 1);
    /* Nothing is known: nothing is called lost. */
    put("kaja.cleaned", "nonsense\n");
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 0);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 1);
    assert_string_equal(f.file, "kaja.cleaned");
}

static void assert_end_lost(int64_t from, int64_t end, const char *file)
{
    char wanted[96];
    (void)snprintf(wanted, sizeof wanted, "up to offset %lld, ends at %lld: ", (long long)end,
                   (long long)from);
    struct findings f = verify("t");
    if (f.count[KAJA_FINDING_DAMAGE] != 1 || strstr(f.text, wanted) == NULL)
        fail_msg("%d, %s: %s", f.count[KAJA_FINDING_DAMAGE], f.file, f.text);
    assert_string_equal(f.file, file);
    assert_int_equal(f.offset, from);
}

/* A partition whose records are gone is not sound because what is left of it is. */
static void test_end_lost(void **state)
{
    (void)state;
    fill("3000", "none");
    char last[64];
    long long base = 0;
    while (base < 35)
        base = segment_after(base);
    (void)snprintf(last, sizeof last, "t-0/%020lld.log", base);
    remove_file(last);
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_non_null(strstr(f.text, "flushed up to offset 40, ends at "));
    shell("mv kaja.catalog aside"); /* where compaction may have been, too */
    f = verify("t");
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_non_null(strstr(f.text, "flushed up to offset 40, ends at "));
    shell("mv aside kaja.catalog");
    for (int unclean = 0; unclean <= 1; unclean++) {
        shell("rm -rf t-0/*");
        assert_end_lost(0, 40, "t-0");
        shell("rm -f .kafka_cleanshutdown");
    }
}

/* While others are at work, who have published more. */
static void test_end_lost_live(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_conf *conf = conf_of("acks", "1", NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, NULL));
    send_records(store, "t", 0, 20, 100, true, conf);
    assert_int_equal(verify(NULL).count[0], 0);
    shell("mkdir aside && mv t-0/* aside");
    assert_end_lost(0, 20, "t-0");
    shell("mv aside/* t-0 && rmdir aside");
    assert_ok(kaja_store_close(store));
}

static void test_no_directory(void **state)
{
    (void)state;
    fill("1000000", "none");
    static const char *const makes[] = {"touch t-0", "mkfifo t-0"};
    shell("mv t-0 kept");
    for (size_t i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        shell(makes[i]);
        struct findings f = verify("t");
        assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
        assert_string_equal(f.file, "t-0");
        shell("rm t-0");
    }
}

/* A hole of a tebibyte is passed over, not read. */
static void test_sparse(void **state)
{
    (void)state;
    fill("1000000", "none");
    int32_t bytes = 0;
    off_t pos = batch_at(39, &bytes);
    alarm(60);
    cut(LOG0, (off_t)1 << 40);
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 1);
    assert_int_equal(f.result.damage, 0);
    flip(LOG0, pos + 12 + 60); /* a record */
    assert_int_equal(verify(NULL).result.damage, 1);
    flip(LOG0, pos + 12 + 60);
    flip(LOG0, pos + 10); /* the length: its end is looked for */
    assert_int_equal(verify(NULL).result.damage, 1);
    alarm(0);
}

static void test_indexes(void **state)
{
    (void)state;
    fill("1000000", "none");
    off_t size = size_of(INDEX0);
    flip(INDEX0, 8 * 3 + 7); /* position */
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 1);
    assert_int_equal(f.count[0], 1);
    assert_string_equal(f.file, INDEX0);
    assert_int_equal(f.pos, 8 * 3);
    flip(INDEX0, 8 * 3 + 7);
    flip(INDEX0, 8 * 4 + 3); /* offset */
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 1);
    assert_int_equal(f.pos, 8 * 4);
    flip(INDEX0, 8 * 4 + 3);
    flip_bits(TIMEINDEX0, 12 * 2 + 7, 1); /* timestamp, still rising */
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 1);
    assert_string_equal(f.file, TIMEINDEX0);
    flip_bits(TIMEINDEX0, 12 * 2 + 7, 1);
    cut(INDEX0, 8 * 3); /* shorter is slower, not wrong */
    assert_int_equal(verify(NULL).count[0], 0);
    cut(INDEX0, size + 80); /* zeros: as Kafka leaves a live one */
    remove_file(INDEX0);
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 1);
    make_unclean(); /* after a crash they are rebuilt anyway */
    f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_INDEX], 0);
    assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 1);
}

/* After a crash the segment that ends at the recovery point is read anew: a second death may leave it without
 * its index. One that ends below was flushed with it. */
static void test_index_at_recovery_point(void **state)
{
    (void)state;
    fill("3000", "none");
    char name[64], path[256];
    long long second = segment_after(0), third = segment_after(second);
    (void)snprintf(name, sizeof name, "t-0/%020lld.index", second);
    remove_file(name);
    make_unclean();
    for (int below = 0; below <= 1; below++) {
        path_of("recovery-point-offset-checkpoint", path);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "0\n1\nt 0 %lld\n", third + below);
        assert_int_equal(fclose(file), 0);
        struct findings f = verify(NULL);
        assert_int_equal(f.count[KAJA_FINDING_INDEX], below);
        assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], 1 - below);
    }
}

static void test_foreign(void **state)
{
    (void)state;
    fill("1000000", "none");
    char path[256];
    path_of("notes.txt", path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    path_of("t-0/core", path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_FOREIGN], 2);
    assert_int_equal(f.result.damage, 0);
    assert_int_equal(verify("t").count[KAJA_FINDING_FOREIGN], 1);
}

/* Beside a writer only what is published is judged. */
static void test_live(void **state)
{
    (void)state;
    struct kaja_store *store = open_store(NULL);
    struct kaja_conf *conf = conf_of("segment.bytes", "20000", NULL);
    assert_ok(kaja_admin_create_topic(store, "t", 1, conf));
    kaja_conf_free(conf);
    for (int round = 0; round < 8; round++) {
        send_records(store, "t", 0, 20, 500, round % 2 == 0, conf_of("acks", "1", NULL));
        struct findings f = verify(NULL);
        if (f.count[0] != 0)
            fail_msg("round %d: %s: %s", round, f.file, f.text);
        assert_int_equal(f.result.records, 20 * (round + 1));
    }
    int32_t bytes = 0;
    off_t pos = batch_at(3, &bytes);
    flip(LOG0, pos + 80);
    struct findings f = verify(NULL);
    assert_int_equal(f.count[KAJA_FINDING_DAMAGE], 1);
    assert_int_equal(f.offset, 3);
    flip(LOG0, pos + 80);
    /* What lies behind the entries that count in the index being written means nothing. */
    char path[256], name[300] = "";
    path_of("t-0", path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strstr(e->d_name, ".index") != NULL &&
            (name[0] == 0 || strcmp(e->d_name, name + 4) > 0))
            (void)snprintf(name, sizeof name, "t-0/%s", e->d_name);
    closedir(dir);
    fd_append(name, "\0\0\0\1\0\0\0\1", 8);
    f = verify(NULL);
    if (f.count[0] != 0)
        fail_msg("%s: %s", f.file, f.text);
    assert_ok(kaja_store_close(store));
    assert_int_equal(verify(NULL).count[0], 0);
}

/* While another process writes as fast as it can, and after it was killed. */
static void test_beside_writer(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct kaja_store *store = open_store(conf_of("segment.bytes", "200000", NULL));
        for (;;)
            send_records(store, "t", 0, 50, 300, false, conf_of("acks", "1", NULL));
    }
    int good = 0;
    int64_t records = 0;
    for (int i = 0; i < 400 && good < 6; i++) {
        struct findings f;
        memset(&f, 0, sizeof f);
        if (kaja_verify(test_dir, NULL, found, &f, &f.result) != 0 || f.result.records == 0) {
            usleep(5000); /* it is still opening */
            continue;
        }
        if (f.count[KAJA_FINDING_DAMAGE] + f.count[KAJA_FINDING_INDEX] != 0)
            fail_msg("%s: %s", f.file, f.text);
        assert_true(f.result.records >= records);
        records = f.result.records;
        good++;
    }
    assert_int_equal(kill(child, 9), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(good, 6);
    struct findings f = verify(NULL);
    if (f.result.damage != 0)
        fail_msg("%s: %s", f.file, f.text);
    assert_true(f.result.records >= records);
    struct kaja_store *store = open_store(NULL); /* recovers */
    assert_ok(kaja_store_close(store));
    f = verify(NULL);
    if (f.result.damage != 0) /* an append cut short may lie set aside */
        fail_msg("after recovery: %s: %s", f.file, f.text);
}

/* Segments are replaced while they are read, again and again: nothing is called damage for it. */
static void test_beside_cleaner(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct kaja_store *store = open_store(conf_of("log.cleaner.backoff.ms", "1", NULL));
        struct kaja_producer *producer;
        struct kaja_conf *topic =
            conf_of("cleanup.policy", "compact", "segment.bytes", "3000",
                    "min.cleanable.dirty.ratio", "0.01", NULL);
        struct kaja_conf *conf = conf_of("acks", "1", "batch.size", "500", NULL);
        if (kaja_admin_create_topic(store, "t", 1, topic) != 0 ||
            kaja_producer_open(store, conf, &producer) != 0)
            _exit(1);
        for (unsigned i = 0;; i++) {
            struct kaja_record record = KAJA_RECORD_INIT;
            char key[16];
            record.topic = "t";
            record.key = key;
            record.key_bytes = (size_t)snprintf(key, sizeof key, "%u", i * i % 1009);
            record.value = "some value or other";
            record.value_bytes = 19;
            if (kaja_producer_produce(producer, &record, NULL, NULL) != 0)
                _exit(2);
            if (i % 50 == 0 && kaja_producer_flush(producer, 20000) != 0)
                _exit(3);
            if (i % 50 == 0)
                usleep(10000); /* many a segment a second, and time to compact them */
        }
    }
    int good = 0;
    char path[256];
    path_of("kaja.cleaned", path);
    for (int i = 0; i < 4000 && good < 60; i++) {
        struct findings f;
        memset(&f, 0, sizeof f);
        if (access(path, F_OK) != 0 ||
            kaja_verify(test_dir, NULL, found, &f, &f.result) != 0) {
            usleep(5000); /* nothing was compacted yet */
            continue;
        }
        if (f.count[KAJA_FINDING_DAMAGE] + f.count[KAJA_FINDING_INDEX] != 0)
            fail_msg("%s: %s", f.file, f.text);
        good++;
        usleep(3000);
    }
    assert_int_equal(kill(child, 9), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(good, 60);
    struct kaja_store *store = open_store(NULL); /* recovers */
    assert_ok(kaja_store_close(store));
    struct findings f = verify(NULL);
    if (f.result.damage != 0)
        fail_msg("after recovery: %s: %s", f.file, f.text);
}

/* What Apache Kafka wrote: compacted logs, one of a running broker, one that was cut. */
static void test_kafka(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t batches;
        int tails;
    } logs[] = {{"compact-r0", 13, 0}, {"compact-r2", 11, 0},     {"compact-r5", 7, 0},
                {"events", 32, 0},     {"events-open", 32, 0},    {"recover-after", 31, 0},
                {"recover-before", 31, 2}};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        char command[512];
        (void)snprintf(command, sizeof command,
                       "rm -rf %s/t-0 && cp -R '%s/kafka/logs/%s' %s/t-0 && chmod -R u+w %s",
                       test_dir, KJ_GOLDEN_DIR, logs[i].name, test_dir, test_dir);
        assert_int_equal(system(command), 0);
        struct findings f = verify(NULL);
        if (f.result.damage != 0 || f.count[0] != logs[i].tails)
            fail_msg("%s: %s: %s", logs[i].name, f.file, f.text);
        assert_int_equal(f.count[KAJA_FINDING_UNFLUSHED_TAIL], logs[i].tails);
        assert_int_equal(f.result.batches, logs[i].batches);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_sound),   test_in_dir(test_many_segments), test_in_dir(test_flips),
        test_in_dir(test_tails),   test_in_dir(test_clean_tail),
        test_in_dir(test_batch_in_record),
        test_in_dir(test_missing),       test_in_dir(test_cleaned),
              test_in_dir(test_end_lost),
        test_in_dir(test_end_lost_live), test_in_dir(test_sparse),
         test_in_dir(test_no_directory),
              test_in_dir(test_indexes),
        test_in_dir(test_index_at_recovery_point),
        test_in_dir(test_foreign), test_in_dir(test_live),          test_in_dir(test_beside_writer), test_in_dir(test_beside_cleaner),
        test_in_dir(test_kafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
