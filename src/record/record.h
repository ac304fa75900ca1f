/* SPDX-License-Identifier: BSD-2-Clause
 *
 * record/record.h - one record inside a batch.
 *
 *   varint  length           of everything behind this field
 *   i8      attributes       0
 *   varlong timestamp delta  from the batch's base timestamp
 *   varint  offset delta     from the batch's base offset
 *   varint  key length       -1: null key (any negative length reads as null)
 *           key
 *   varint  value length     -1: null value
 *           value
 *   varint  header count
 *           headers: varint key length, key, varint value length (-1: null), value
 *
 * Kafka: DefaultRecord.
 */
#ifndef KJ_RECORD_RECORD_H
#define KJ_RECORD_RECORD_H

#include <stddef.h>
#include <stdint.h>

/* Same members and order as struct kaja_header, checked where both are seen (api/). */
struct kj_header {
    const char *key;
    size_t key_bytes;
    const void *value; /* NULL: null */
    size_t value_bytes;
};

/* A record to encode. */
struct kj_record {
    int64_t timestamp;
    const void *key; /* NULL: null */
    size_t key_bytes;
    const void *value; /* NULL: null */
    size_t value_bytes;
    const struct kj_header *headers;
    size_t header_count;
};

/* A decoded record: pointers into the records section. */
struct kj_record_view {
    int64_t timestamp_delta;
    int32_t offset_delta;
    int32_t header_count;
    const uint8_t *key;
    size_t key_bytes;
    const uint8_t *value;
    size_t value_bytes;
    const uint8_t *headers; /* encoded, checked */
    size_t headers_bytes;
    size_t bytes; /* of the whole record with its length field */
};

/* The bytes a record takes with these deltas; SIZE_MAX when a part, or all of it, is longer than an
 * i32 can say. */
size_t kj_record_bytes(const struct kj_record *record, int64_t timestamp_delta, int32_t offset_delta);
/* Kafka's upper bound before the deltas are known: 21 + key, value and headers with their lengths.
 * SIZE_MAX when a part is longer than an i32 can say. */
size_t kj_record_bytes_max(const struct kj_record *record);
/* Encodes at p, which has room for kj_record_bytes(). Returns the end. */
uint8_t *kj_record_encode(const struct kj_record *record, int64_t timestamp_delta, int32_t offset_delta,
                          uint8_t *p);

/* The two halves of the above, for the batch writer, which wants the size before it writes and does
 * not want to compute it twice: the value of the length field (SIZE_MAX as above), and encoding
 * with it. */
size_t kj_record_body_bytes(const struct kj_record *record, int64_t timestamp_delta,
                            int32_t offset_delta);
uint8_t *kj_record_put(const struct kj_record *record, size_t body_bytes, int64_t timestamp_delta,
                       int32_t offset_delta, uint8_t *p);

/* Decodes the record at p, not past end; checks everything (lengths, headers, nothing left over).
 * Returns the position behind it, or NULL if it is malformed. Hot path: no story, no allocation. */
const uint8_t *kj_record_decode(const uint8_t *p, const uint8_t *end, struct kj_record_view *ret_view);

/* Walks encoded headers: returns the position behind one, NULL if it is malformed, which it is not
 * where kj_record_decode() has checked them. */
const uint8_t *kj_header_decode(const uint8_t *p, const uint8_t *end, struct kj_header *ret_header);

#endif
