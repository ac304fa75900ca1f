/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/table.h"
#include "tools/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kj_table_init(struct kj_table *table, size_t columns)
{
    *table = (struct kj_table){.columns = columns};
}

void kj_table_cell(struct kj_table *table, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    table->cells = kj_xrealloc(table->cells, (table->count + 1) * sizeof *table->cells);
    table->cells[table->count++] = kj_xstrdup(text);
}

/* Columns a terminal needs for UTF-8 text: its characters, not its bytes. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void kj_table_print(struct kj_table *table, int indent)
{
    int widths[KJ_TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        bool last = column == table->columns - 1;
        int pad = widths[column] - width_of(table->cells[i]);
        if (column == 0)
            printf("%*s", indent, "");
        if (table->right[column])
            printf("%*s%s", pad, "", table->cells[i]);
        else
            printf("%s%*s", table->cells[i], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", stdout);
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    table->count = 0;
}
