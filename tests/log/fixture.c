/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include "base/alloc.h"
#include "record/batch_reader.h"
#include "record/control.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const uint8_t fixture_topic_id[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                      0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
enum { SLOT = 64 };

static int64_t fixture_wall(void *arg)
{
    return ((struct fixture *)arg)->now_ms;
}

static int64_t fixture_mono(void *arg)
{
    (void)arg;
    return kj_clock_system.mono_ns(NULL);
}

static void fixture_random(void *arg, void *buf, size_t bytes)
{
    (void)arg;
    memset(buf, 7, bytes);
}

const char *fixture_base = "/tmp";

void fixture_base_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        fixture_base = "/dev/shm";
}

void fixture_begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    snprintf(fixture->root, sizeof fixture->root, "%s/kaja-log-XXXXXX", fixture_base);
    assert_non_null(mkdtemp(fixture->root));
    fixture->root_fd = open(fixture->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->root_fd >= 0);
    fixture->now_ms = FIXTURE_T;
    fixture->clock = (struct kj_clock){fixture_wall, fixture_mono, fixture_random, fixture};
    kj_log_config_defaults(&fixture->config);
    fixture->files_max = 64;
    fixture->config.producer_expiration_ms = INT64_C(86400000);
}

void fixture_end(struct fixture *fixture)
{
    char command[128];
    close(fixture->root_fd);
    snprintf(command, sizeof command, "rm -rf %s", fixture->root);
    assert_int_equal(system(command), 0);
}

static void fill_nothing(struct kj_shared *shared, void *arg)
{
    (void)shared;
    (void)arg;
}

static void note_news(void *arg, const struct kj_log_news *news)
{
    struct fixture *fixture = arg;
    size_t at = strlen(fixture->news);
    snprintf(fixture->news + at, sizeof fixture->news - at, "%d:%s\n", news->kind, news->text);
}

static struct kj_io *open_io(struct fixture *fixture)
{
    struct kj_io *io;
    const char *backend = getenv("KJ_TEST_BACKEND");
    struct kj_io_options options = {.root = fixture->root, .helper_threads = 1};
    if (backend != NULL && strcmp(backend, "posix") == 0)
        options.backend = KJ_IO_POSIX;
    assert_int_equal(kj_io_create(&options, &io), 0);
    return io;
}

void fixture_create_files(struct fixture *fixture)
{
    struct kj_io *io = open_io(fixture);
    assert_ok(kj_log_create_files(io, "events-0", fixture_topic_id));
    kj_io_destroy(io);
}

void handle_open(struct handle *handle, struct fixture *fixture, bool first)
{
    memset(handle, 0, sizeof *handle);
    handle->fixture = fixture;
    handle->io = open_io(fixture);
    struct kj_shared_options shared = {.root_fd = fixture->root_fd,
                                       .lock_name = "kaja.lock",
                                       .control_name = "kaja.control",
                                       .clock = &fixture->clock};
    assert_int_equal(kj_shared_open(&shared, &handle->shared), 0);
    if (first) {
        int os = kj_shared_build(handle->shared, SLOT + KJ_SLOT_WORDS, fill_nothing, NULL);
        assert_int_equal(os, 0);
    } else {
        assert_int_equal(kj_shared_attach(handle->shared), 0);
        assert_int_equal(kj_shared_reach(handle->shared, SLOT + KJ_SLOT_WORDS), 0);
    }
    assert_ok(kj_file_cache_new(fixture->files_max, 64, &handle->files));
    handle->env = (struct kj_log_env){
        .io = handle->io,
        .shared = handle->shared,
        .clock = &fixture->clock,
        .files = handle->files,
        .owner = (uint64_t)getpid(),
        .lock_timeout_ns = INT64_C(5000000000),
        .prepare_window_max = 1 << 20,
        .producer_ids_max = 10000,
    };
    struct kj_log_options options = {
        .env = &handle->env,
        .topic = "events",
        .partition = 0,
        .dir = "events-0",
        .slot_number = 0,
        .slot = SLOT,
        .adopted = fixture->adopted,
        .config = fixture->config,
        .news = note_news,
        .news_arg = fixture,
    };
    memcpy(options.topic_id, fixture_topic_id, 16);
    assert_ok(kj_log_new(&options, &handle->log));
}

void handle_close(struct handle *handle)
{
    kj_log_free(handle->log);
    kj_file_cache_free(handle->files);
    kj_shared_close(handle->shared);
    kj_io_destroy(handle->io);
}

/* --- batches --- */

void maker_begin(struct maker *maker)
{
    maker->seal = KJ_BATCH_SEAL_PLAIN;
    kj_batch_writer_init(&maker->writer, maker->buf, sizeof maker->buf);
}

void maker_add(struct maker *maker, int64_t timestamp, const char *key, const char *value)
{
    struct kj_record record = {.timestamp = timestamp,
                               .key = key,
                               .key_bytes = key != NULL ? strlen(key) : 0,
                               .value = value,
                               .value_bytes = value != NULL ? strlen(value) : 0};
    assert_true(kj_batch_writer_append(&maker->writer, &record));
}

int maker_append(struct maker *maker, struct kj_log *log, enum kj_append_origin origin, bool durable,
                 struct kj_append_batch *ret_batch)
{
    struct kj_append_batch batch = {.durable = durable};
    struct kj_buffer out = {0};
    assert_ok(kj_batch_writer_seal(&maker->writer, &maker->seal, &out, &batch.bytes, &batch.len));
    int err = kj_log_append(log, &batch, 1, origin);
    if (err == 0)
        err = batch.ret_error;
    if (ret_batch != NULL)
        *ret_batch = batch;
    kj_buffer_free(&out);
    return err;
}

int append_marker(struct kj_log *log, int type, int64_t producer_id, int16_t producer_epoch, int64_t timestamp,
                  struct kj_append_batch *ret_batch)
{
    uint8_t bytes[KJ_MARKER_BYTES];
    kj_marker_encode(bytes, (enum kj_control_type)type, producer_id, producer_epoch, 0, timestamp);
    struct kj_append_batch batch = {.bytes = bytes, .len = sizeof bytes};
    int err = kj_log_append(log, &batch, 1, KJ_APPEND_INTERNAL);
    if (err == 0)
        err = batch.ret_error;
    if (ret_batch != NULL)
        *ret_batch = batch;
    return err;
}

int64_t append_one(struct kj_log *log, int64_t timestamp, const char *value, bool durable)
{
    static struct maker maker;
    struct kj_append_batch batch;
    maker_begin(&maker);
    maker_add(&maker, timestamp, NULL, value);
    assert_ok(maker_append(&maker, log, KJ_APPEND_TRUSTED, durable, &batch));
    return batch.ret_base_offset;
}

/* --- files --- */

uint8_t *slurp(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    uint8_t *bytes = malloc((size_t)len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)len, f), len);
    bytes[len] = 0;
    fclose(f);
    *ret_len = (size_t)len;
    return bytes;
}

void spit(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

void copy_dir(const char *from, const char *to)
{
    mkdir(to, 0700);
    DIR *dir = opendir(from);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char a[512], b[512];
        size_t len;
        snprintf(a, sizeof a, "%s/%s", from, entry->d_name);
        snprintf(b, sizeof b, "%s/%s", to, entry->d_name);
        uint8_t *bytes = slurp(a, &len);
        assert_non_null(bytes);
        spit(b, bytes, len);
        free(bytes);
    }
    closedir(dir);
}

char *read_all(struct kj_log *log)
{
    size_t capacity = 1 << 16, len = 0;
    char *text = malloc(capacity);
    text[0] = 0;
    int64_t offset = kj_log_start(log);
    int64_t limit = kj_log_high_watermark(log);
    struct kj_log_cursor cursor = {0};
    while (offset < limit) {
        struct kj_log_read read = {0};
        assert_ok(kj_log_read(log, offset, limit, 4096, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len;) {
            struct kj_batch_reader reader;
            struct kj_buffer plain = {0};
            struct kj_record_view view;
            struct kj_batch batch;
            assert_int_equal(kj_batch_look(read.bytes + at, read.len - at, &batch), KJ_BATCH_OK);
            size_t bytes = kj_batch_bytes(&batch);
            assert_true(kj_batch_crc_ok(read.bytes + at, bytes));
            assert_ok(kj_batch_reader_init(&reader, read.bytes + at, bytes, &plain, 1 << 24));
            while (kj_batch_reader_next(&reader, &view) == 1) {
                if (len + view.value_bytes + 64 > capacity)
                    text = realloc(text, capacity *= 2);
                len += (size_t)sprintf(text + len, "%lld:%.*s\n", (long long)(batch.base_offset + view.offset_delta),
                                       (int)view.value_bytes, (const char *)view.value);
            }
            kj_buffer_free(&plain);
            at += bytes;
        }
        kj_view_release(read.view);
        offset = read.next_offset;
    }
    return text;
}
