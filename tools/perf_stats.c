/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/perf_stats.h"
#include "tools/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 500000 };

void kj_perf_part_init(struct kj_perf_part *part, uint64_t expected)
{
    *part = (struct kj_perf_part){.sample_every = expected / SAMPLES_MAX + 1};
    part->sample_room = (size_t)(expected / part->sample_every) + 1;
    part->samples = kj_xmalloc(part->sample_room * sizeof *part->samples);
    part->steady_samples = kj_xmalloc(part->sample_room * sizeof *part->samples);
}

void kj_perf_part_free(struct kj_perf_part *part)
{
    free(part->samples);
    free(part->steady_samples);
}

void kj_perf_part_add(struct kj_perf_part *part, uint64_t bytes, uint64_t latency_us, int steady)
{
    uint32_t sample = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX;
    part->count++;
    part->bytes += bytes;
    part->latency_us += latency_us;
    if (latency_us > part->latency_max_us)
        part->latency_max_us = latency_us;
    bool sampled = part->seen++ % part->sample_every == 0;
    if (sampled && part->sample_count < part->sample_room)
        part->samples[part->sample_count++] = sample;
    if (!steady)
        return;
    part->steady_count++;
    part->steady_bytes += bytes;
    part->steady_latency_us += latency_us;
    if (latency_us > part->steady_max_us)
        part->steady_max_us = latency_us;
    if (sampled && part->steady_sample_count < part->sample_room)
        part->steady_samples[part->steady_sample_count++] = sample;
}

static void add_sum(struct kj_perf_sum *sum, uint64_t count, uint64_t bytes, uint64_t latency_us,
                    uint64_t max_us)
{
    sum->count += count;
    sum->bytes += bytes;
    sum->latency_us += latency_us;
    if (max_us > sum->latency_max_us)
        sum->latency_max_us = max_us;
}

void kj_perf_publish(struct kj_perf *perf, struct kj_perf_part *part)
{
    if (part->count == 0)
        return;
    pthread_mutex_lock(&perf->lock);
    add_sum(&perf->total, part->count, part->bytes, part->latency_us, part->latency_max_us);
    add_sum(&perf->window, part->count, part->bytes, part->latency_us, part->latency_max_us);
    add_sum(&perf->steady, part->steady_count, part->steady_bytes, part->steady_latency_us,
            part->steady_max_us);
    pthread_mutex_unlock(&perf->lock);
    part->count = part->bytes = part->latency_us = part->latency_max_us = 0;
    part->steady_count = part->steady_bytes = part->steady_latency_us = part->steady_max_us = 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

struct kj_perf_percentiles kj_perf_percentiles(struct kj_perf_part *parts, size_t count, int steady)
{
    static const double shares[4] = {0.5, 0.95, 0.99, 0.999};
    struct kj_perf_percentiles result = {{0, 0, 0, 0}};
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += steady ? parts[i].steady_sample_count : parts[i].sample_count;
    if (total == 0)
        return result;
    uint32_t *all = kj_xmalloc(total * sizeof *all);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = steady ? parts[i].steady_sample_count : parts[i].sample_count;
        memcpy(all + at, steady ? parts[i].steady_samples : parts[i].samples, n * sizeof *all);
        at += n;
    }
    qsort(all, total, sizeof *all, by_value);
    for (size_t i = 0; i < 4; i++)
        result.us[i] = all[(size_t)(shares[i] * (double)total)];
    free(all);
    return result;
}

const char *kj_perf_number(double value, int digits, char *text)
{
    if (isnan(value))
        return "NaN";
    if (isinf(value))
        return value > 0 ? "Infinity" : "-Infinity";
    /* Java rounds halves up, C to even: push a value that lies exactly between over the half. */
    double scale = pow(10, digits);
    double scaled = value * scale;
    if (fabs(scaled) < 1e15 && scaled - floor(scaled) == 0.5)
        value = (floor(scaled) + 1) / scale;
    snprintf(text, 64, "%.*f", digits, value);
    return text;
}
