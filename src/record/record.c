/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/record.h"

#include "base/varint.h"

#include <stdbool.h>
#include <string.h>

/* Bytes of a key, value or header value with its length; NULL is one byte, length -1. */
static inline size_t field_bytes(const void *p, size_t bytes)
{
    return p == NULL ? 1 : kj_uvarlong_bytes((uint64_t)bytes << 1) + bytes;
}

static inline uint8_t *put_field(uint8_t *to, const void *p, size_t bytes)
{
    if (p == NULL) {
        *to = 1; /* zigzag of -1 */
        return to + 1;
    }
    to = kj_varint_put(to, (int32_t)bytes);
    if (bytes != 0)
        memcpy(to, p, bytes);
    return to + bytes;
}

/* Bytes of all headers without their count; SIZE_MAX if they can never fit. */
static size_t headers_bytes(const struct kj_record *record)
{
    size_t sum = 0;
    for (size_t i = 0; i < record->header_count; i++) {
        const struct kj_header *header = &record->headers[i];
        if (header->key_bytes > INT32_MAX || header->value_bytes > INT32_MAX)
            return SIZE_MAX;
        sum += kj_uvarlong_bytes((uint64_t)header->key_bytes << 1) + header->key_bytes +
               field_bytes(header->value, header->value_bytes);
        if (sum > INT32_MAX)
            return SIZE_MAX;
    }
    return sum;
}

/* Key, value, headers and their lengths: what does not depend on the deltas. */
static inline size_t content_bytes(const struct kj_record *record)
{
    if (__builtin_expect((record->key_bytes | record->value_bytes) > INT32_MAX, 0))
        return SIZE_MAX;
    size_t sum = field_bytes(record->key, record->key_bytes) +
                 field_bytes(record->value, record->value_bytes);
    if (__builtin_expect(record->header_count == 0, 1))
        return sum + 1;
    if (record->header_count > INT32_MAX)
        return SIZE_MAX;
    size_t headers = headers_bytes(record);
    if (headers == SIZE_MAX)
        return SIZE_MAX;
    return sum + kj_uvarlong_bytes((uint64_t)record->header_count << 1) + headers;
}

size_t kj_record_body_bytes(const struct kj_record *record, int64_t timestamp_delta,
                            int32_t offset_delta)
{
    size_t content = content_bytes(record);
    if (__builtin_expect(content == SIZE_MAX, 0))
        return SIZE_MAX;
    return 1 + kj_varlong_bytes(timestamp_delta) + kj_varint_bytes(offset_delta) + content;
}

size_t kj_record_bytes(const struct kj_record *record, int64_t timestamp_delta,
                       int32_t offset_delta)
{
    size_t body = kj_record_body_bytes(record, timestamp_delta, offset_delta);
    return body > INT32_MAX ? SIZE_MAX : kj_varint_bytes((int32_t)body) + body;
}

size_t kj_record_bytes_max(const struct kj_record *record)
{
    /* length 5, attributes 1, timestamp 10, offset 5 */
    enum {
        BEFORE_CONTENT_MAX = KJ_VARINT_BYTES_MAX + 1 + KJ_VARLONG_BYTES_MAX + KJ_VARINT_BYTES_MAX
    };
    size_t content = content_bytes(record);
    return content == SIZE_MAX ? SIZE_MAX : BEFORE_CONTENT_MAX + content;
}

static uint8_t *put_headers(const struct kj_record *record, uint8_t *p)
{
    p = kj_varint_put(p, (int32_t)record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        const struct kj_header *header = &record->headers[i];
        /* A header's key is never null. */
        p = put_field(p, header->key != NULL ? header->key : "", header->key_bytes);
        p = put_field(p, header->value, header->value_bytes);
    }
    return p;
}

uint8_t *kj_record_put(const struct kj_record *record, size_t body_bytes, int64_t timestamp_delta,
                       int32_t offset_delta, uint8_t *p)
{
    p = kj_varint_put(p, (int32_t)body_bytes);
    *p++ = 0;
    p = kj_varlong_put(p, timestamp_delta);
    p = kj_varint_put(p, offset_delta);
    p = put_field(p, record->key, record->key_bytes);
    p = put_field(p, record->value, record->value_bytes);
    if (__builtin_expect(record->header_count != 0, 0))
        return put_headers(record, p);
    *p = 0;
    return p + 1;
}

uint8_t *kj_record_encode(const struct kj_record *record, int64_t timestamp_delta,
                          int32_t offset_delta, uint8_t *p)
{
    return kj_record_put(record, kj_record_body_bytes(record, timestamp_delta, offset_delta),
                         timestamp_delta, offset_delta, p);
}

/* A key or value at p: its bytes, NULL for null. Any negative length is null. */
static inline const uint8_t *get_field(const uint8_t *p, const uint8_t *end,
                                       const uint8_t **ret_bytes, size_t *ret_len)
{
    int32_t len;
    p = kj_varint_get(p, end, &len);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    if (len < 0) {
        *ret_bytes = NULL;
        *ret_len = 0;
        return p;
    }
    if (__builtin_expect(len > end - p, 0))
        return NULL;
    *ret_bytes = p;
    *ret_len = (size_t)len;
    return p + len;
}

const uint8_t *kj_header_decode(const uint8_t *p, const uint8_t *end, struct kj_header *ret_header)
{
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
    p = get_field(p, end, &key, &key_bytes);
    if (p == NULL || key == NULL)
        return NULL;
    p = get_field(p, end, &value, &value_bytes);
    if (p == NULL)
        return NULL;
    *ret_header = (struct kj_header){(const char *)key, key_bytes, value, value_bytes};
    return p;
}

/* True if exactly count headers fill p .. end. Each takes bytes, so a count that lies costs no more
 * than those that are there. */
static bool headers_ok(const uint8_t *p, const uint8_t *end, int32_t count)
{
    if (count < 0)
        return false;
    struct kj_header header;
    for (; count > 0; count--) {
        p = kj_header_decode(p, end, &header);
        if (p == NULL)
            return false;
    }
    return p == end;
}

const uint8_t *kj_record_decode(const uint8_t *p, const uint8_t *end,
                                struct kj_record_view *ret_view)
{
    const uint8_t *start = p;
    int32_t body;
    p = kj_varint_get(p, end, &body);
    if (__builtin_expect(p == NULL || body < 1 || body > end - p, 0))
        return NULL;
    end = p + body;
    p++; /* attributes: nothing is defined there */
    struct kj_record_view view;
    p = kj_varlong_get(p, end, &view.timestamp_delta);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    p = kj_varint_get(p, end, &view.offset_delta);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    p = get_field(p, end, &view.key, &view.key_bytes);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    p = get_field(p, end, &view.value, &view.value_bytes);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    p = kj_varint_get(p, end, &view.header_count);
    if (__builtin_expect(p == NULL, 0))
        return NULL;
    if (__builtin_expect(view.header_count != 0 || p != end, 0) &&
        !headers_ok(p, end, view.header_count))
        return NULL;
    view.headers = p;
    view.headers_bytes = (size_t)(end - p);
    view.bytes = (size_t)(end - start);
    *ret_view = view;
    return end;
}
