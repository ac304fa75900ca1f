/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/metrics.h - counters of a store handle.
 */
#ifndef KAJA_METRICS_H
#define KAJA_METRICS_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum kaja_metric_kind { KAJA_METRIC_COUNTER = 1, KAJA_METRIC_GAUGE = 2 };

struct kaja_metric {
    const char *name; /* for example "append.batches" */
    const char *unit; /* "1", "bytes", "ns" */
    const char *text; /* what it counts */
    enum kaja_metric_kind kind;
    uint64_t value;
};

/* Copies up to capacity metrics of this handle and returns how many there are. Some concern the
 * whole directory (their text says so), the others this handle since it was opened.
 * Ownership: strings are static. Errors: none. Threads: any. Blocks: no. */
KAJA_API size_t kaja_metrics(struct kaja_store *store, struct kaja_metric *ret_metrics, size_t capacity);

/* "io_uring" or "posix": how flushes and cold reads reach the kernel.
 * Ownership: static storage. Errors: none. Threads: any. Blocks: no. */
KAJA_API const char *kaja_store_backend(struct kaja_store *store);

#ifdef __cplusplus
}
#endif
#endif
