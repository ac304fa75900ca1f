/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/crash.h - for tests in which processes die: children, memory that outlives them, and
 * an oracle of what was sent and acknowledged.
 *
 * The oracle. A worker is one sender (one thread of one process and one producer). Its entries lie
 * in memory that the parent shares: an entry is SENT before the record is handed to the library and
 * ACKED after the library said so, so that a process killed at any moment leaves behind what it was
 * promised. Every value names its run, worker and sequence number, and its other bytes follow from
 * them. A census reads a whole topic and is then compared with the workers.
 */
#ifndef KJ_TESTS_CRASH_H
#define KJ_TESTS_CRASH_H

#include <kaja.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* --- the program itself --- */

/* Takes KJ_SEED or makes a seed, and prints it. After limit_s seconds SIGALRM ends the program. */
uint64_t begin(unsigned limit_s);
/* Words for the message of whoever dies: what this process is. */
void role(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line on stderr, the directory stays for whoever looks for the reason, exit 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The program cannot run here. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define MUST(call)                                                                                 \
    do {                                                                                           \
        int must_err_ = (call);                                                                    \
        if (must_err_ != 0)                                                                        \
            die("%s:%d: %s: %s (%s)", __FILE__, __LINE__, #call, kaja_error_name(must_err_),       \
                kaja_error_detail());                                                              \
    } while (0)
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(__VA_ARGS__);                                                                      \
    } while (0)

/* True under a sanitizer: things take longer. */
bool slow_build(void);
int64_t now_ns(void);
void nap_us(int64_t us);
#define MS_NS INT64_C(1000000)

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t limit);

/* Zeroed memory that children share, also after fork; only what is touched costs anything. */
void *share(size_t bytes);
void share_free(void *memory, size_t bytes);

/* --- directories --- */

/* A directory that does not exist yet inside a temporary one. */
void dir_new(char ret_path[128]);
/* Removes it with all that is in it. */
void dir_free(const char *path);
bool dir_has(const char *path, const char *name);

/* --- children --- */

typedef void child_fn(void *arg);
/* Runs fn in a child that dies with its parent, and ends with 0 when fn returns. */
pid_t child_start(child_fn *fn, void *arg);
/* The same, but the child outlives its parent, up to limit_s seconds. */
pid_t child_start_detached(child_fn *fn, void *arg, unsigned limit_s);
/* kill -9; dies if the child had ended otherwise than with 0 before. */
void child_kill(pid_t pid);
/* Waits for its end, which must be 0. */
void child_wait(pid_t pid);
/* True if it ended by itself, with 0. */
bool child_ended(pid_t pid);

/* --- the library --- */

/* name, value, ..., NULL. Adds the back end that KJ_TEST_BACKEND asks for. */
struct kaja_conf *conf(const char *name, ...) __attribute__((sentinel));
/* Each frees bag, which may be NULL. */
struct kaja_store *open_store(const char *path, struct kaja_conf *bag);
struct kaja_producer *open_producer(struct kaja_store *store, struct kaja_conf *bag);
struct kaja_consumer *open_consumer(struct kaja_store *store, struct kaja_conf *bag);
/* Makes the topic unless it is there. */
void make_topic(struct kaja_store *store, const char *topic, int32_t partitions,
                struct kaja_conf *bag);
/* A codec that was built in, or none. */
const char *random_codec(struct rng *rng);

struct heard {
    _Atomic int recovered, dropped, timed_out;
    bool stops; /* others are stopped: background work may find a lock held for long */
};
/* Damage and failures end the program at once; recoveries are counted (heard may be NULL). */
void hear(struct kaja_store *store, struct heard *heard);

/* Nothing damaged, no index that disagrees, no foreign file, or die. Gives the records. */
int64_t verify_sound(const char *path);

/* --- the oracle --- */

enum { ENTRY_NONE, ENTRY_SENT, ENTRY_ACKED };
struct entry {
    _Atomic uint32_t state;
    int32_t partition;
    int64_t offset;
};
struct worker {
    _Atomic uint32_t sent; /* entries in use */
    uint32_t room;
    struct entry *entries;
};
/* Workers with their entries in shared memory. */
struct worker *workers_new(size_t count, uint32_t room);
void workers_free(struct worker *workers, size_t count);

struct sender {
    struct kaja_producer *producer;
    const char *topic;
    int32_t partitions;
    uint64_t run;
    uint32_t number; /* of the worker */
    struct worker *worker;
    uint32_t value_bytes_max;
    struct rng rng;
};
/* Sends the next record, to a random partition or with a key; wait: kaja_producer_send(). False if
 * all entries are used up. */
bool send_next(struct sender *sender, bool wait);
/* Called in this process after each acknowledgement, unless NULL. */
extern void (*on_acked)(void);

enum { VALUE_BYTES_MIN = 24, VALUE_BYTES_MAX = 8192, PARTITIONS_MAX = 16 };
size_t value_make(uint8_t *ret_value, size_t bytes, uint64_t run, uint32_t worker, uint32_t seq);
/* False if the bytes are not what value_make() makes. */
bool value_parse(const void *value, size_t bytes, uint64_t run, uint32_t *ret_worker,
                 uint32_t *ret_seq);

struct column {
    uint64_t *ids; /* worker << 32 | seq, by offset */
    size_t count, room;
};
struct census {
    int32_t partitions;
    struct column columns[PARTITIONS_MAX];
};
/* Reads every record of the topic: offsets from 0 without a gap, all values whole and of this run.
 */
void census_take(struct kaja_store *store, const char *topic, int32_t partitions, uint64_t run,
                 struct census *ret_census);
/* What was there before is still there. */
void census_compare(const struct census *before, const struct census *now);
/* Against workers 0 to count: all that was acknowledged stands at its offset; nothing that was not
 * sent, nothing twice, and each worker's records in its order. Gives the acknowledged ones. */
uint64_t census_check(const struct census *census, const struct worker *workers, size_t count);
void census_free(struct census *census);

#endif
