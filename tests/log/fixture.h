/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/log/fixture.h - one partition in a temporary directory, with as many handles as a test wants, and
 * a clock that stands still until it is told to move.
 */
#ifndef KJ_TESTS_LOG_FIXTURE_H
#define KJ_TESTS_LOG_FIXTURE_H

#include "kjtest.h"

#include "log/log.h"
#include "record/batch_writer.h"

#define FIXTURE_T INT64_C(1700000000000)

struct fixture {
    char root[64];
    int root_fd;
    struct kj_clock clock;
    int64_t now_ms;
    struct kj_log_config config;
    char news[4096]; /* texts of what the logs told, a line each */
    bool adopted;
    size_t files_max; /* of a handle's cache */
};

/* One handle: its own io, shared words and cache, as a process would have. */
struct handle {
    struct fixture *fixture;
    struct kj_io *io;
    struct kj_shared *shared;
    struct kj_file_cache *files;
    struct kj_log_env env;
    struct kj_log *log;
};

extern const uint8_t fixture_topic_id[16]; /* ASNFZ4mrze8RIjNEVWZ3iA */

/* Where directories are made: "/tmp". Tests that recover thousands of times, and look at bytes and not at
 * durability, take memory: a flush costs them nothing there. */
extern const char *fixture_base;
void fixture_base_in_memory(void);
void fixture_begin(struct fixture *fixture);
void fixture_end(struct fixture *fixture);
/* first: builds the words; else joins. Partition directory "events-0" must be there. */
void handle_open(struct handle *handle, struct fixture *fixture, bool first);
void handle_close(struct handle *handle);
void fixture_create_files(struct fixture *fixture);

/* Builds batches. */
struct maker {
    struct kj_batch_writer writer;
    struct kj_batch_seal seal;
    uint8_t buf[1 << 20];
};
void maker_begin(struct maker *maker);
void maker_add(struct maker *maker, int64_t timestamp, const char *key, const char *value);
/* Seals and appends; ret_ of the batch to *ret_batch (may be NULL). */
int maker_append(struct maker *maker, struct kj_log *log, enum kj_append_origin origin, bool durable,
                 struct kj_append_batch *ret_batch);
int append_marker(struct kj_log *log, int type, int64_t producer_id, int16_t producer_epoch, int64_t timestamp,
                  struct kj_append_batch *ret_batch);
/* One record of its own, value of n bytes 'v'; returns its offset. */
int64_t append_one(struct kj_log *log, int64_t timestamp, const char *value, bool durable);

/* Whole files. */
uint8_t *slurp(const char *path, size_t *ret_len); /* NULL if it is not there */
void spit(const char *path, const void *bytes, size_t len);
void copy_dir(const char *from, const char *to);
/* Every value below the high watermark as "offset:value\n". */
char *read_all(struct kj_log *log);

#endif
