/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/demo.h - what the parts of kaja demo share.
 */
#ifndef KJ_TOOLS_DEMO_H
#define KJ_TOOLS_DEMO_H

#include "tools/table.h"

#include <kaja.h>

enum { KJ_DEMO_PARTITIONS = 3, KJ_DEMO_SPACING_MS = 10000, KJ_DEMO_ORDERS = 9 };
#define KJ_DEMO_TOPIC "orders"

struct kj_demo {
    char *dir;
    struct kaja_store *store;
    int64_t start_ms; /* timestamp of the first order */
    struct kaja_metadata sent[KJ_DEMO_ORDERS];
    int sent_count; /* all orders so far, which gives each its time */
    int step;
};

void kj_demo_heading(struct kj_demo *demo, const char *title, const char *command);
/* Complains; returns the exit status. */
int kj_demo_fail(int err, const char *what);
int kj_demo_send(struct kj_demo *demo, struct kaja_producer *producer, const char *key,
                 const char *value, struct kaja_metadata *ret_metadata);
/* The columns of a record, from partition to value. */
void kj_demo_record_names(struct kj_table *table);
void kj_demo_record_cells(const struct kj_demo *demo, struct kj_table *table,
                          const struct kaja_record_view *record);

/* Groups share and remember (tools/demo_groups.c). Returns the exit status. */
int kj_demo_groups(struct kj_demo *demo);

#endif
