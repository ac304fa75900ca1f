/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/perf_stats.h - latencies and rates of the producer's performance test.
 *
 * Latencies are counted in microseconds and shown in Kafka's whole milliseconds too. Every record
 * counts for averages and maxima; samples for percentiles are all of the first half million, or
 * every k-th where more are expected.
 */
#ifndef KJ_TOOLS_PERF_STATS_H
#define KJ_TOOLS_PERF_STATS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* What one thread gathers without a lock between two publications. */
struct kj_perf_part {
    uint64_t count, bytes, latency_us, latency_max_us;
    uint64_t steady_count, steady_bytes, steady_latency_us, steady_max_us;
    uint32_t *samples; /* room for sample_room */
    size_t sample_count, sample_room;
    uint32_t *steady_samples;
    size_t steady_sample_count;
    uint64_t sample_every, seen;
};

struct kj_perf_sum {
    uint64_t count, bytes, latency_us, latency_max_us;
};

struct kj_perf {
    pthread_mutex_t lock;
    struct kj_perf_sum total, window, steady;
    uint64_t failed;
};

void kj_perf_part_init(struct kj_perf_part *part, uint64_t expected);
void kj_perf_part_free(struct kj_perf_part *part);
void kj_perf_part_add(struct kj_perf_part *part, uint64_t bytes, uint64_t latency_us, int steady);
/* Adds what was gathered since the last time and forgets it (but for the samples). */
void kj_perf_publish(struct kj_perf *perf, struct kj_perf_part *part);

/* Element (int)(p * n) of the samples of several parts, for each p. */
struct kj_perf_percentiles {
    uint32_t us[4]; /* 0.5, 0.95, 0.99, 0.999 */
};
struct kj_perf_percentiles kj_perf_percentiles(struct kj_perf_part *parts, size_t count,
                                               int steady);

/* Java's words for what a division by zero gives; text has room for 64 bytes. */
const char *kj_perf_number(double value, int digits, char *text);

#endif
