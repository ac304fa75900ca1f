/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/table.h - columns for people: each as wide as its longest cell, numbers to the right.
 */
#ifndef KJ_TOOLS_TABLE_H
#define KJ_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { KJ_TABLE_COLUMNS_MAX = 8 };

struct kj_table {
    size_t columns;
    bool right[KJ_TABLE_COLUMNS_MAX]; /* aligned to the right */
    size_t count;                     /* of cells */
    char **cells;
};

void kj_table_init(struct kj_table *table, size_t columns);
void kj_table_cell(struct kj_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints every row with indent blanks in front and frees the cells. */
void kj_table_print(struct kj_table *table, int indent);

#endif
