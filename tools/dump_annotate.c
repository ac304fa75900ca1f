/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/dump_annotate.c - a batch byte by byte: where, the bytes, the field's name, what it says.
 *
 *       0  00 00 00 00 00 00 00 00              baseOffset            0
 *       8  00 00 00 52                          batchLength           82: bytes that follow this
 * field
 */
#include "tools/dump.h"
#include "tools/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HEX_A_LINE = 12, LINES_MAX = 8, HEADER_BYTES = 61 };

struct page {
    const uint8_t *raw;
    int64_t file_pos; /* of raw in the file */
};

/* One field of bytes raw[pos .. pos + count). */
static void field(const struct page *page, size_t pos, size_t count, const char *name,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

static void field(const struct page *page, size_t pos, size_t count, const char *name,
                  const char *format, ...)
{
    size_t done = 0;
    for (int line = 0; line == 0 || done < count; line++) {
        char hex[3 * HEX_A_LINE + 1] = "";
        size_t n = count - done < HEX_A_LINE ? count - done : HEX_A_LINE;
        if (line == LINES_MAX) {
            printf("%8s  ... %zu more bytes\n", "", count - done);
            return;
        }
        for (size_t i = 0; i < n; i++)
            snprintf(hex + 3 * i, 4, "%02x ", page->raw[pos + done + i]);
        if (n > 0)
            hex[3 * n - 1] = '\0';
        printf("%8lld  %*s", (long long)(page->file_pos + (int64_t)(pos + done)),
               line == 0 ? -35 : 0, hex);
        if (line == 0) {
            va_list list;
            printf("  %-20s  ", name);
            va_start(list, format);
            vprintf(format, list);
            va_end(list);
        }
        putchar('\n');
        done += n;
    }
}

/* Bytes as text where they can be read, in quotes, cut at 40. */
static const char *quoted(const uint8_t *bytes, size_t count, char text[64])
{
    size_t n = count < 40 ? count : 40;
    text[0] = '"';
    for (size_t i = 0; i < n; i++)
        text[1 + i] = bytes[i] >= ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '.';
    strcpy(text + 1 + n, count > n ? "\"..." : "\"");
    return text;
}

static void header_fields(const struct page *page, const struct kaja_batch_info *b)
{
    field(page, 0, 8, "baseOffset", "%lld: offset of the first record", (long long)b->base_offset);
    field(page, 8, 4, "batchLength", "%d: bytes behind this field", (int)b->bytes - 12);
    field(page, 12, 4, "partitionLeaderEpoch", "%d", (int)b->leader_epoch);
    field(page, 16, 1, "magic", "%d", (int)b->magic);
    field(page, 17, 4, "crc", "%u: CRC-32C of the rest, %s", b->crc,
          b->crc_valid ? "right" : "WRONG");
    field(page, 21, 2, "attributes", "codec %s, %s%s%s%s", b->codec != NULL ? b->codec : "unknown",
          (b->attributes & 8) != 0 ? "LogAppendTime" : "CreateTime",
          (b->attributes & 16) != 0 ? ", transactional" : "",
          (b->attributes & 32) != 0 ? ", control batch" : "",
          (b->attributes & 64) != 0 ? ", baseTimestamp is the delete horizon" : "");
    field(page, 23, 4, "lastOffsetDelta", "%lld: last offset is %lld",
          (long long)(b->last_offset - b->base_offset), (long long)b->last_offset);
    field(page, 27, 8, "baseTimestamp", "%lld ms since 1970", (long long)b->base_timestamp);
    field(page, 35, 8, "maxTimestamp", "%lld", (long long)b->max_timestamp);
    field(page, 43, 8, "producerId", "%lld%s", (long long)b->producer_id,
          b->producer_id < 0 ? ": none" : "");
    field(page, 51, 2, "producerEpoch", "%d", (int)b->producer_epoch);
    field(page, 53, 4, "baseSequence", "%d%s", (int)b->base_sequence,
          b->base_sequence < 0 ? ": none" : "");
    field(page, 57, 4, "recordCount", "%d", (int)b->record_count);
}

/* A length as varint, then the bytes; -1 is null. False if they do not fit. */
static bool sized_field(const struct page *page, struct kj_wire *wire, const char *length_name,
                        const char *name)
{
    size_t from = wire->pos;
    int64_t count = kj_wire_varint(wire);
    if (wire->bad)
        return false;
    field(page, from, wire->pos - from, length_name, "%lld%s", (long long)count,
          count < 0 ? ": null" : "");
    if (count <= 0)
        return true;
    from = wire->pos;
    const uint8_t *bytes = kj_wire_take(wire, (size_t)count);
    char text[64];
    if (bytes == NULL)
        return false;
    field(page, from, (size_t)count, name, "%s", quoted(bytes, (size_t)count, text));
    return true;
}

static bool record_fields(const struct page *page, struct kj_wire *wire,
                          const struct kaja_batch_info *b, int i)
{
    size_t from = wire->pos;
    int64_t length = kj_wire_varint(wire);
    if (wire->bad || length < 0)
        return false;
    printf("  record %d\n", i);
    field(page, from, wire->pos - from, "length", "%lld: bytes of the rest of this record",
          (long long)length);
    from = wire->pos;
    kj_wire_take(wire, 1);
    if (wire->bad)
        return false;
    field(page, from, 1, "attributes", "unused");
    from = wire->pos;
    int64_t delta = kj_wire_varint(wire);
    if (wire->bad)
        return false;
    field(page, from, wire->pos - from, "timestampDelta", "%lld: time %lld", (long long)delta,
          (b->attributes & 8) != 0 ? (long long)b->max_timestamp
                                   : (long long)((uint64_t)b->base_timestamp + (uint64_t)delta));
    from = wire->pos;
    delta = kj_wire_varint(wire);
    if (wire->bad)
        return false;
    field(page, from, wire->pos - from, "offsetDelta", "%lld: offset %lld", (long long)delta,
          (long long)((uint64_t)b->base_offset + (uint64_t)delta));
    if (!sized_field(page, wire, "keyLength", "key") ||
        !sized_field(page, wire, "valueLength", "value"))
        return false;
    from = wire->pos;
    int64_t headers = kj_wire_varint(wire);
    if (wire->bad || headers < 0)
        return false;
    field(page, from, wire->pos - from, "headerCount", "%lld", (long long)headers);
    for (int64_t h = 0; h < headers; h++)
        if (!sized_field(page, wire, "headerKeyLength", "headerKey") ||
            !sized_field(page, wire, "headerValueLength", "headerValue"))
            return false;
    return true;
}

void kj_dump_annotate(const struct kaja_batch_info *b)
{
    struct page page = {b->raw, b->pos};
    size_t bytes = b->bytes > 0 ? (size_t)b->bytes : 0;
    printf("\nbatch at position %lld, %d bytes, offsets %lld to %lld\n", (long long)b->pos,
           (int)b->bytes, (long long)b->base_offset, (long long)b->last_offset);
    printf("position  %-35s  %-20s  %s\n", "bytes", "field", "meaning");
    if (b->magic < 2 || bytes < HEADER_BYTES) {
        field(&page, 0, bytes, "message set", "magic %d, older than batches", (int)b->magic);
        return;
    }
    header_fields(&page, b);
    if ((b->attributes & 7) != 0) {
        if (bytes > HEADER_BYTES)
            field(
                &page, HEADER_BYTES, bytes - HEADER_BYTES, "records",
                "compressed with %s; they are:", b->codec != NULL ? b->codec : "an unknown codec");
        return;
    }
    struct kj_wire wire = {b->raw, bytes, HEADER_BYTES, false};
    for (int i = 0; i < b->record_count; i++) {
        size_t from = wire.pos;
        if (record_fields(&page, &wire, b, i))
            continue;
        if (from < bytes)
            field(&page, from, bytes - from, "not a record", "the fields do not fit");
        return;
    }
}
