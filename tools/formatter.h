/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/formatter.h - how the console consumer shows a record.
 */
#ifndef KJ_TOOLS_FORMATTER_H
#define KJ_TOOLS_FORMATTER_H

#include "tools/args.h"
#include "tools/java_value.h"
#include "tools/out.h"
#include "tools/props.h"

#include <kaja.h>

#include <stdbool.h>

enum kj_formatter_kind {
    KJ_FORMAT_DEFAULT,      /* columns */
    KJ_FORMAT_NOTHING,      /* NoOpMessageFormatter */
    KJ_FORMAT_OFFSETS,      /* records of __consumer_offsets as JSON */
    KJ_FORMAT_TRANSACTIONS, /* records of __transaction_state as JSON */
    KJ_FORMAT_JSON          /* --json: an object a line */
};

struct kj_text {
    const char *text;
    size_t bytes;
};

struct kj_formatter {
    enum kj_formatter_kind kind;
    struct kj_props props; /* owns the texts */
    bool timestamp, partition, offset, delivery, epoch, headers, key, value;
    bool value_only; /* the usual case, with a short way */
    struct kj_text key_separator, line_separator, headers_separator, null_literal;
    enum kj_decoder key_decoder, value_decoder, headers_decoder;
};

extern const char kj_formatter_notes[]; /* for --help */

/* From --formatter, --formatter-property, --formatter-config, --key-deserializer,
 * --value-deserializer and --json. */
void kj_formatter_init(const struct kj_args *args, struct kj_formatter *ret_formatter);
void kj_formatter_free(struct kj_formatter *formatter);

/* Writes the record to out, or to stdout for the JSON kinds. False, with nothing written, if it
 * cannot be decoded. */
bool kj_formatter_put(const struct kj_formatter *formatter, struct kj_out *out,
                      const struct kaja_record_view *record, const char **ret_why);

#endif
