/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/metrics.c - kaja/metrics.h: the rows of base/metric_table.h with their values.
 */
#include "api/handles.h"

#include <pthread.h>

static const struct kaja_metric rows[] = {
#define KJ_METRIC(name, unit, kind, text) {#name, unit, text, KAJA_METRIC_##kind, 0},
#include "base/metric_table.h"
#undef KJ_METRIC
};

enum { NAME_BYTES = 40 };
static char names[KJ_METRIC_COUNT][NAME_BYTES]; /* written once, by make_names() */
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void make_names(void)
{
    for (size_t i = 0; i < KJ_METRIC_COUNT; i++) {
        const char *from = rows[i].name;
        for (size_t j = 0; from[j] != '\0' && j < NAME_BYTES - 1; j++)
            names[i][j] = from[j] == '_'                       ? '.'
                          : from[j] >= 'A' && from[j] <= 'Z' ? (char)(from[j] - 'A' + 'a')
                                                             : from[j];
    }
}

size_t kaja_metrics(struct kaja_store *store, struct kaja_metric *ret_metrics, size_t capacity)
{
    if (kj_handle_store(store) != 0)
        return 0;
    (void)pthread_once(&names_once, make_names);
    for (size_t i = 0; i < KJ_METRIC_COUNT && i < capacity && ret_metrics != NULL; i++) {
        ret_metrics[i] = rows[i];
        ret_metrics[i].name = names[i];
        ret_metrics[i].value = kj_store_metric(store->store, (enum kj_metric)i);
    }
    return KJ_METRIC_COUNT;
}

const char *kaja_store_backend(struct kaja_store *store)
{
    if (kj_handle_store(store) != 0)
        return "";
    return kj_store_io(store->store)->backend;
}
