/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/formatter.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/offsets_decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char kj_formatter_notes[] =
    "Formatter properties: print.timestamp, print.partition, print.offset, print.delivery,\n"
    "print.epoch, print.headers, print.key (all false), print.value=true, key.separator=<tab>,\n"
    "line.separator=<newline>, headers.separator=',', null.literal=null, key.deserializer,\n"
    "value.deserializer, headers.deserializer.\n"
    "Deserializers: String, ByteArray, Bytes, Long, Integer, Short, Double, Float, Boolean, UUID,\n"
    "Void;\n"
    "a class name counts by its last word.\n";

static struct kj_text text_of(const struct kj_props *props, const char *name, const char *fallback)
{
    const char *text = kj_props_get(props, name, fallback);
    return (struct kj_text){text, strlen(text)};
}

static enum kj_decoder decoder_of(const struct kj_args *args, const struct kj_props *props,
                                  const char *name, const char *option)
{
    enum kj_decoder decoder = KJ_DECODE_BYTES;
    const char *class_name = kj_props_get(props, name, NULL);
    if (option != NULL && kj_args_has(args, option))
        class_name = kj_args_get(args, option);
    if (class_name != NULL && !kj_decoder_find(class_name, &decoder))
        kj_usage(args, "'%s' is not a deserializer that is known here (see --help)", class_name);
    return decoder;
}

static enum kj_formatter_kind kind_of(const struct kj_args *args)
{
    static const struct {
        const char *name;
        enum kj_formatter_kind kind;
    } rows[] = {{"DefaultMessageFormatter", KJ_FORMAT_DEFAULT},
                {"LoggingMessageFormatter", KJ_FORMAT_DEFAULT},
                {"NoOpMessageFormatter", KJ_FORMAT_NOTHING},
                {"OffsetsMessageFormatter", KJ_FORMAT_OFFSETS},
                {"GroupMetadataMessageFormatter", KJ_FORMAT_OFFSETS},
                {"TransactionLogMessageFormatter", KJ_FORMAT_TRANSACTIONS}};
    const char *class_name = kj_args_get(args, "formatter");
    if (kj_args_has(args, "json")) {
        kj_args_exclude(args, "json", "formatter");
        return KJ_FORMAT_JSON;
    }
    if (class_name == NULL)
        return KJ_FORMAT_DEFAULT;
    /* Nested Java classes have a $ before the last word. */
    const char *last = class_name + strlen(class_name);
    while (last > class_name && last[-1] != '.' && last[-1] != '$')
        last--;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, last) == 0)
            return rows[i].kind;
    kj_usage(args,
             "'%s' is not a formatter that is known here: DefaultMessageFormatter, "
             "NoOpMessageFormatter, OffsetsMessageFormatter, TransactionLogMessageFormatter",
             class_name);
}

void kj_formatter_init(const struct kj_args *args, struct kj_formatter *ret_formatter)
{
    static const char *const names[] = {"print.timestamp",
                                        "print.partition",
                                        "print.offset",
                                        "print.delivery",
                                        "print.epoch",
                                        "print.headers",
                                        "print.key",
                                        "print.value",
                                        "key.separator",
                                        "line.separator",
                                        "headers.separator",
                                        "null.literal",
                                        "key.deserializer",
                                        "value.deserializer",
                                        "headers.deserializer",
                                        NULL};
    struct kj_formatter f = {.kind = kind_of(args)};
    kj_props_load(args, "formatter-config", "formatter-property", &f.props);
    const struct kj_props *props = &f.props;
    kj_props_check(args, props, names, "formatter");
    f.timestamp = kj_props_flag(props, "print.timestamp", false);
    f.partition = kj_props_flag(props, "print.partition", false);
    f.offset = kj_props_flag(props, "print.offset", false);
    f.delivery = kj_props_flag(props, "print.delivery", false);
    f.epoch = kj_props_flag(props, "print.epoch", false);
    f.headers = kj_props_flag(props, "print.headers", false);
    f.key = kj_props_flag(props, "print.key", false);
    f.value = kj_props_flag(props, "print.value", true);
    f.key_separator = text_of(props, "key.separator", "\t");
    f.line_separator = text_of(props, "line.separator", "\n");
    f.headers_separator = text_of(props, "headers.separator", ",");
    f.null_literal = text_of(props, "null.literal", "null");
    f.key_decoder = decoder_of(args, props, "key.deserializer", "key-deserializer");
    f.value_decoder = decoder_of(args, props, "value.deserializer", "value-deserializer");
    f.headers_decoder = decoder_of(args, props, "headers.deserializer", NULL);
    f.value_only =
        f.kind == KJ_FORMAT_DEFAULT && f.value && f.value_decoder == KJ_DECODE_BYTES &&
        !(f.timestamp || f.partition || f.offset || f.delivery || f.epoch || f.headers || f.key);
    *ret_formatter = f;
}

void kj_formatter_free(struct kj_formatter *formatter)
{
    kj_props_free(&formatter->props);
}

/* --- columns ---------------------------------------------------------------------------------- */

static void put_text(struct kj_out *out, struct kj_text text)
{
    kj_out_put(out, text.text, text.bytes);
}

static void put_bytes(const struct kj_formatter *f, struct kj_out *out, enum kj_decoder decoder,
                      const void *bytes, size_t count)
{
    if (bytes == NULL) {
        put_text(out, f->null_literal);
        return;
    }
    struct kj_shown shown;
    kj_decoder_show(decoder, bytes, count, &shown);
    kj_out_put(out, shown.text, shown.bytes);
    kj_shown_free(&shown);
}

static void put_timestamp(struct kj_out *out, const struct kaja_record_view *record)
{
    if (record->timestamp_type == KAJA_NO_TIMESTAMP || record->timestamp < 0) {
        kj_out_put(out, "NO_TIMESTAMP", 12);
        return;
    }
    if (record->timestamp_type == KAJA_LOG_APPEND_TIME)
        kj_out_put(out, "LogAppendTime:", 14);
    else
        kj_out_put(out, "CreateTime:", 11);
    kj_out_int(out, record->timestamp);
}

static void put_headers(const struct kj_formatter *f, struct kj_out *out,
                        const struct kaja_record_view *record)
{
    if (record->header_count == 0)
        kj_out_put(out, "NO_HEADERS", 10);
    for (size_t i = 0; i < record->header_count; i++) {
        struct kaja_header header;
        if (kaja_record_header(record, i, &header) != 0)
            return;
        if (i > 0)
            put_text(out, f->headers_separator);
        kj_out_put(out, header.key, header.key_bytes);
        kj_out_put(out, ":", 1);
        put_bytes(f, out, f->headers_decoder, header.value, header.value_bytes);
    }
}

static bool fits(const struct kj_formatter *f, const struct kaja_record_view *record,
                 const char **ret_why)
{
    if (f->key && record->key != NULL &&
        !kj_decoder_fits(f->key_decoder, record->key, record->key_bytes, ret_why))
        return false;
    if (f->value && record->value != NULL &&
        !kj_decoder_fits(f->value_decoder, record->value, record->value_bytes, ret_why))
        return false;
    for (size_t i = 0;
         f->headers && f->headers_decoder != KJ_DECODE_BYTES && i < record->header_count; i++) {
        struct kaja_header header;
        if (kaja_record_header(record, i, &header) == 0 && header.value != NULL &&
            !kj_decoder_fits(f->headers_decoder, header.value, header.value_bytes, ret_why))
            return false;
    }
    return true;
}

/* Each column but the last is followed by the key separator, the last by the line separator. */
static bool put_columns(const struct kj_formatter *f, struct kj_out *out,
                        const struct kaja_record_view *record, const char **ret_why)
{
    if (!fits(f, record, ret_why))
        return false;
    bool any = false;
#define COLUMN(flag, put)                                                                          \
    do {                                                                                           \
        if (flag) {                                                                                \
            if (any)                                                                               \
                put_text(out, f->key_separator);                                                   \
            any = true;                                                                            \
            put;                                                                                   \
        }                                                                                          \
    } while (0)
    COLUMN(f->timestamp, put_timestamp(out, record));
    COLUMN(f->partition, kj_out_printf(out, "Partition:%d", (int)record->partition));
    COLUMN(f->offset, kj_out_printf(out, "Offset:%lld", (long long)record->offset));
    COLUMN(f->delivery, kj_out_put(out, "Delivery:NOT_PRESENT", 20));
    COLUMN(f->epoch, kj_out_printf(out, "Epoch:%d", (int)record->leader_epoch));
    COLUMN(f->headers, put_headers(f, out, record));
    COLUMN(f->key, put_bytes(f, out, f->key_decoder, record->key, record->key_bytes));
    COLUMN(f->value, put_bytes(f, out, f->value_decoder, record->value, record->value_bytes));
#undef COLUMN
    if (any)
        put_text(out, f->line_separator);
    return true;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void put_json(const struct kaja_record_view *record)
{
    struct kj_json json;
    kj_json_init(&json, stdout);
    kj_json_open(&json, NULL, '{');
    kj_json_text(&json, "topic", record->topic);
    kj_json_int(&json, "partition", record->partition);
    kj_json_int(&json, "offset", record->offset);
    kj_json_int(&json, "leaderEpoch", record->leader_epoch);
    if (record->timestamp_type == KAJA_NO_TIMESTAMP || record->timestamp < 0) {
        kj_json_null(&json, "timestamp");
    } else {
        kj_json_int(&json, "timestamp", record->timestamp);
        kj_json_text(&json, "timestampType",
                     record->timestamp_type == KAJA_LOG_APPEND_TIME ? "LogAppendTime"
                                                                    : "CreateTime");
    }
    kj_json_open(&json, "headers", '[');
    for (size_t i = 0; i < record->header_count; i++) {
        struct kaja_header header;
        if (kaja_record_header(record, i, &header) != 0)
            break;
        kj_json_open(&json, NULL, '{');
        kj_json_bytes(&json, "key", header.key, header.key_bytes);
        kj_json_bytes(&json, "value", header.value, header.value_bytes);
        kj_json_close(&json, '}');
    }
    kj_json_close(&json, ']');
    kj_json_bytes(&json, "key", record->key, record->key_bytes);
    kj_json_bytes(&json, "value", record->value, record->value_bytes);
    kj_json_close(&json, '}');
    kj_json_end(&json);
}

/* Records of other kinds than the topic's own are passed over, as Kafka's formatter does. */
static void put_coord(const struct kj_formatter *f, const struct kaja_record_view *record)
{
    enum kj_coord_topic topic =
        f->kind == KJ_FORMAT_OFFSETS ? KJ_COORD_OFFSETS : KJ_COORD_TRANSACTIONS;
    int type = kj_coord_key_type(record->key, record->key_bytes);
    char *text = NULL;
    size_t bytes;
    FILE *memory = record->key != NULL ? open_memstream(&text, &bytes) : NULL;
    if (memory == NULL)
        return;
    struct kj_json json;
    kj_json_init(&json, memory);
    kj_json_open(&json, NULL, '{');
    bool known = kj_coord_key_json(&json, "key", topic, false, record->key, record->key_bytes);
    if (known && record->value == NULL)
        kj_json_null(&json, "value");
    else if (known)
        known = kj_coord_value_json(&json, "value", topic, false, type, record->value,
                                    record->value_bytes);
    kj_json_close(&json, '}');
    if (fclose(memory) == 0 && known)
        puts(text);
    free(text);
}

bool kj_formatter_put(const struct kj_formatter *f, struct kj_out *out,
                      const struct kaja_record_view *record, const char **ret_why)
{
    if (f->value_only) {
        if (record->value != NULL)
            kj_out_put(out, record->value, record->value_bytes);
        else
            put_text(out, f->null_literal);
        put_text(out, f->line_separator);
        return true;
    }
    switch (f->kind) {
    case KJ_FORMAT_DEFAULT:
        return put_columns(f, out, record, ret_why);
    case KJ_FORMAT_NOTHING:
        return true;
    case KJ_FORMAT_JSON:
        put_json(record);
        return true;
    case KJ_FORMAT_OFFSETS:
    case KJ_FORMAT_TRANSACTIONS:
        put_coord(f, record);
        return true;
    }
    return true;
}
