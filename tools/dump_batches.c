/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/dump_batches.c - a .log file: its batches and their records.
 */
#include "tools/common.h"
#include "tools/dump.h"
#include "tools/offsets_decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_APPEND_TIME_BIT = 8, TRANSACTIONAL_BIT = 16, CONTROL_BIT = 32, HORIZON_BIT = 64 };

struct walk {
    struct kj_dump *dump;
    struct kj_dump_report *report;
    int64_t last_offset; /* of the record before, -1 at the beginning */
    bool in_batch;       /* JSON: the batch's object is open */
};

static const char *time_type(const struct kaja_batch_info *batch)
{
    if (batch->magic == 0)
        return "NoTimestampType";
    return (batch->attributes & LOG_APPEND_TIME_BIT) != 0 ? "LogAppendTime" : "CreateTime";
}

static const char *control_name(int type)
{
    static const char *const names[] = {"ABORT",           "COMMIT",          "LEADER_CHANGE",
                                        "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER", "KRAFT_VERSION",
                                        "KRAFT_VOTERS"};
    return type >= 0 && (size_t)type < sizeof names / sizeof *names ? names[type] : "UNKNOWN";
}

static bool is_marker(int control_type)
{
    return control_type == 0 || control_type == 1;
}

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

/* --- text ---------------------------------------------------------------------------------------
 */

static void print_batch(const struct kaja_batch_info *b)
{
    if (b->magic >= 2) {
        char horizon[48] = "OptionalLong.empty", count[16] = "null";
        if ((b->attributes & HORIZON_BIT) != 0)
            snprintf(horizon, sizeof horizon, "OptionalLong[%lld]", (long long)b->base_timestamp);
        if (b->record_count >= 0)
            snprintf(count, sizeof count, "%d", (int)b->record_count);
        printf("baseOffset: %lld lastOffset: %lld count: %s baseSequence: %d lastSequence: %d "
               "producerId: %lld producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %s "
               "isControl: %s deleteHorizonMs: %s",
               (long long)b->base_offset, (long long)b->last_offset, count, (int)b->base_sequence,
               (int)b->last_sequence, (long long)b->producer_id, (int)b->producer_epoch,
               (int)b->leader_epoch, yes_no((b->attributes & TRANSACTIONAL_BIT) != 0),
               yes_no((b->attributes & CONTROL_BIT) != 0), horizon);
    } else {
        printf("offset: %lld", (long long)b->last_offset);
    }
    printf(" position: %lld %s: %lld size: %d magic: %d compresscodec: %s crc: %u isvalid: %s\n",
           (long long)b->pos, time_type(b), (long long)b->max_timestamp, (int)b->bytes,
           (int)b->magic, b->codec != NULL ? b->codec : "unknown", b->crc,
           yes_no(b->crc_valid != 0));
}

static void print_shown(const char *label, enum kj_decoder decoder, const void *bytes, size_t count)
{
    const char *why;
    struct kj_shown shown;
    if (!kj_decoder_fits(decoder, bytes, count, &why)) {
        printf("%s(%s)", label, why);
        return;
    }
    kj_decoder_show(decoder, bytes, count, &shown);
    fputs(label, stdout);
    fwrite(shown.text, 1, shown.bytes, stdout);
    kj_shown_free(&shown);
}

/* The key or value of a coordinator's record as JSON text; NULL if it is none. */
static char *coord_text(enum kj_coord_topic topic, const struct kaja_record_view *view, bool key)
{
    char *text = NULL;
    size_t bytes;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL)
        return NULL;
    struct kj_json json;
    kj_json_init(&json, memory);
    bool good = key ? kj_coord_key_json(&json, NULL, topic, true, view->key, view->key_bytes)
                    : kj_coord_value_json(&json, NULL, topic, true,
                                          kj_coord_key_type(view->key, view->key_bytes),
                                          view->value, view->value_bytes);
    if (fclose(memory) == 0 && good)
        return text;
    free(text);
    return NULL;
}

static void print_coord(const struct kj_dump *dump, const struct kaja_record_view *view,
                        const char *prefix)
{
    enum kj_coord_topic topic =
        dump->decoder == KJ_DUMP_OFFSETS ? KJ_COORD_OFFSETS : KJ_COORD_TRANSACTIONS;
    if (view->key == NULL) {
        printf("%skey: Error at offset %lld, skipping. The key is null.", prefix,
               (long long)view->offset);
        return;
    }
    char *key = coord_text(topic, view, true);
    int type = kj_coord_key_type(view->key, view->key_bytes);
    if (key == NULL && type >= 0 && type > (topic == KJ_COORD_OFFSETS ? 2 : 0)) {
        printf("%skey: Unknown record type %d at offset %lld, skipping.", prefix, type,
               (long long)view->offset);
        return;
    }
    char *value = key != NULL && view->value != NULL ? coord_text(topic, view, false) : NULL;
    if (key == NULL || (view->value != NULL && value == NULL))
        printf("%skey: Error at offset %lld, skipping. The %s cannot be decoded.", prefix,
               (long long)view->offset, key == NULL ? "key" : "value");
    else
        printf("%skey: %s payload: %s", prefix, key, value != NULL ? value : "<DELETE>");
    free(key);
    free(value);
}

static void print_contents(const struct kj_dump *dump, const struct kaja_record_view *view,
                           const char *prefix)
{
    if (dump->decoder != KJ_DUMP_PLAIN) {
        print_coord(dump, view, prefix);
        return;
    }
    if (view->key != NULL) {
        fputs(prefix, stdout);
        print_shown("key: ", dump->key_decoder, view->key, view->key_bytes);
        prefix = " ";
    }
    if (view->value != NULL) {
        fputs(prefix, stdout);
        print_shown("payload: ", dump->value_decoder, view->value, view->value_bytes);
    }
}

static void print_record(const struct kj_dump *dump, const struct kaja_batch_info *batch,
                         const struct kaja_dump_record *record)
{
    const struct kaja_record_view *view = &record->view;
    const char *prefix = "| ";
    if (!dump->skip_metadata) {
        printf("| offset: %lld %s: %lld keySize: %lld valueSize: %lld", (long long)view->offset,
               time_type(batch), (long long)view->timestamp,
               view->key != NULL ? (long long)view->key_bytes : -1,
               view->value != NULL ? (long long)view->value_bytes : -1);
        prefix = " ";
        if (batch->magic >= 2) {
            printf(" sequence: %d headerKeys: [", (int)record->sequence);
            for (size_t i = 0; i < view->header_count; i++) {
                struct kaja_header header;
                if (kaja_record_header(view, i, &header) != 0)
                    break;
                fputs(i > 0 ? "," : "", stdout);
                fwrite(header.key, 1, header.key_bytes, stdout);
            }
            putchar(']');
        }
        if (is_marker(record->control_type))
            printf(" endTxnMarker: %s coordinatorEpoch: %d", control_name(record->control_type),
                   (int)record->coordinator_epoch);
        else if (record->control_type >= 0)
            printf(" controlType: %s(%d)", control_name(record->control_type),
                   record->control_type);
    }
    if (dump->print && record->control_type < 0)
        print_contents(dump, view, prefix);
    putchar('\n');
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

static void close_batch(struct walk *walk)
{
    if (!walk->in_batch)
        return;
    if (walk->dump->deep)
        kj_json_close(walk->dump->json, ']');
    kj_json_close(walk->dump->json, '}');
    walk->in_batch = false;
}

static void batch_json(struct walk *walk, const struct kaja_batch_info *b)
{
    struct kj_json *json = walk->dump->json;
    close_batch(walk);
    kj_json_open(json, NULL, '{');
    kj_json_int(json, "position", b->pos);
    kj_json_int(json, "baseOffset", b->base_offset);
    kj_json_int(json, "lastOffset", b->last_offset);
    if (b->record_count >= 0)
        kj_json_int(json, "count", b->record_count);
    else
        kj_json_null(json, "count");
    kj_json_int(json, "baseSequence", b->base_sequence);
    kj_json_int(json, "lastSequence", b->last_sequence);
    kj_json_int(json, "producerId", b->producer_id);
    kj_json_int(json, "producerEpoch", b->producer_epoch);
    kj_json_int(json, "partitionLeaderEpoch", b->leader_epoch);
    kj_json_bool(json, "isTransactional", (b->attributes & TRANSACTIONAL_BIT) != 0);
    kj_json_bool(json, "isControl", (b->attributes & CONTROL_BIT) != 0);
    if ((b->attributes & HORIZON_BIT) != 0)
        kj_json_int(json, "deleteHorizonMs", b->base_timestamp);
    else
        kj_json_null(json, "deleteHorizonMs");
    kj_json_text(json, "timestampType", time_type(b));
    kj_json_int(json, "maxTimestamp", b->max_timestamp);
    kj_json_int(json, "size", b->bytes);
    kj_json_int(json, "magic", b->magic);
    kj_json_text(json, "compresscodec", b->codec);
    kj_json_uint(json, "crc", b->crc);
    kj_json_bool(json, "isvalid", b->crc_valid != 0);
    if (walk->dump->deep)
        kj_json_open(json, "records", '[');
    walk->in_batch = true;
}

/* Key and value: the coordinator's structures if they are asked for and can be read, else bytes. */
static void contents_json(const struct kj_dump *dump, const struct kaja_record_view *view)
{
    struct kj_json *json = dump->json;
    char *key = NULL, *value = NULL;
    if (dump->decoder != KJ_DUMP_PLAIN && view->key != NULL) {
        enum kj_coord_topic topic =
            dump->decoder == KJ_DUMP_OFFSETS ? KJ_COORD_OFFSETS : KJ_COORD_TRANSACTIONS;
        key = coord_text(topic, view, true);
        value = key != NULL && view->value != NULL ? coord_text(topic, view, false) : NULL;
    }
    if (key != NULL)
        kj_json_raw(json, "key", key);
    else
        kj_json_bytes(json, "key", view->key, view->key_bytes);
    if (value != NULL)
        kj_json_raw(json, "payload", value);
    else
        kj_json_bytes(json, "payload", view->value, view->value_bytes);
    free(key);
    free(value);
}

static void record_json(const struct kj_dump *dump, const struct kaja_dump_record *record)
{
    struct kj_json *json = dump->json;
    const struct kaja_record_view *view = &record->view;
    kj_json_open(json, NULL, '{');
    kj_json_int(json, "offset", view->offset);
    kj_json_int(json, "timestamp", view->timestamp);
    kj_json_int(json, "keySize", view->key != NULL ? (int64_t)view->key_bytes : -1);
    kj_json_int(json, "valueSize", view->value != NULL ? (int64_t)view->value_bytes : -1);
    kj_json_int(json, "sequence", record->sequence);
    kj_json_open(json, "headers", '[');
    for (size_t i = 0; i < view->header_count; i++) {
        struct kaja_header header;
        if (kaja_record_header(view, i, &header) != 0)
            break;
        kj_json_open(json, NULL, '{');
        kj_json_bytes(json, "key", header.key, header.key_bytes);
        kj_json_bytes(json, "value", header.value, header.value_bytes);
        kj_json_close(json, '}');
    }
    kj_json_close(json, ']');
    if (record->control_type >= 0) {
        kj_json_text(json, "controlType", control_name(record->control_type));
        if (is_marker(record->control_type))
            kj_json_int(json, "coordinatorEpoch", record->coordinator_epoch);
    } else if (dump->print) {
        contents_json(dump, view);
    }
    kj_json_close(json, '}');
}

/* --- the walk
 * ------------------------------------------------------------------------------------- */

static int on_batch(void *arg, const struct kaja_batch_info *batch)
{
    struct walk *walk = arg;
    if (walk->dump->annotate)
        kj_dump_annotate(batch);
    else if (walk->dump->json != NULL)
        batch_json(walk, batch);
    else
        print_batch(batch);
    return kj_stdout_broken();
}

static int on_record(void *arg, const struct kaja_batch_info *batch,
                     const struct kaja_dump_record *record)
{
    struct walk *walk = arg;
    int64_t offset = record->view.offset;
    if (walk->last_offset >= 0 && offset != walk->last_offset + 1)
        kj_dump_pair_add(&walk->report->gaps, walk->last_offset, offset);
    walk->last_offset = offset;
    if (walk->dump->json != NULL)
        record_json(walk->dump, record);
    else if (!walk->dump->annotate || (batch->attributes & 7) != 0)
        print_record(walk->dump, batch, record);
    return kj_stdout_broken();
}

void kj_dump_log_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    struct walk walk = {.dump = dump, .report = report, .last_offset = -1};
    int64_t base = kj_dump_base_offset(report->file), trailing = 0;
    if (dump->json == NULL) {
        printf("Log starting offset: %lld\n", (long long)base);
    } else {
        kj_json_int(dump->json, "startingOffset", base);
        kj_json_open(dump->json, "batches", '[');
    }
    if (dump->annotate)
        puts("Numbers are big-endian; lengths and deltas inside records are zigzag varints: 00 is "
             "0, 01 "
             "is -1, 02 is 1.");
    /* Of a compressed batch only the records' meaning can be shown, not their bytes in the file. */
    bool deep = dump->deep || dump->annotate;
    int err = kaja_dump_log(report->file, dump->max_bytes, on_batch, deep ? on_record : NULL, &walk,
                            &trailing);
    const char *name = strrchr(report->file, '/');
    name = name != NULL ? name + 1 : report->file;
    if (dump->json != NULL) {
        close_batch(&walk);
        kj_json_close(dump->json, ']');
        kj_json_int(dump->json, "invalidBytesAtEnd", trailing);
    } else if (err == 0 && trailing > 0 && dump->max_bytes < 0) {
        printf("Found %lld invalid bytes at the end of %s\n", (long long)trailing, name);
    }
    if (err != 0) {
        fflush(stdout);
        kj_complain_err(err, "kaja dump-log: %s", report->file);
        dump->status = KJ_EXIT_FAILURE;
    }
}
