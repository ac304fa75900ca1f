/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/serde.h - numbers, strings and UUIDs as keys and values, in the bytes of Kafka's own
 * serialisers, so that Kafka's deserialisers (and those of librdkafka's users) read them, and the
 * other way round. Whoever produces and whoever consumes agree on the type; nothing in a record
 * tells it.
 *
 *     int16, int32, int64   2, 4, 8 bytes, big endian   ShortSerializer, Integer-, LongSerializer
 *     float, double         4, 8 bytes, IEEE 754, big endian   FloatSerializer, DoubleSerializer
 *     uuid                  36 characters, lower case   UUIDSerializer
 *     string                UTF-8, no end               StringSerializer
 *     bytes                 themselves                  ByteArraySerializer: nothing to be done
 *
 * A null key or value is none of them: it has no bytes at all (NULL), and is the caller's to check.
 */
#ifndef KAJA_SERDE_H
#define KAJA_SERDE_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KAJA_INT16_BYTES = 2,
    KAJA_INT32_BYTES = 4,
    KAJA_INT64_BYTES = 8,
    KAJA_FLOAT_BYTES = 4,
    KAJA_DOUBLE_BYTES = 8,
    KAJA_UUID_BYTES = 36
};

/* Write the bytes of a number; ret_bytes has room for that many.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_encode_int16(int16_t value, void *ret_bytes);
KAJA_API void kaja_encode_int32(int32_t value, void *ret_bytes);
KAJA_API void kaja_encode_int64(int64_t value, void *ret_bytes);
KAJA_API void kaja_encode_float(float value, void *ret_bytes);
KAJA_API void kaja_encode_double(double value, void *ret_bytes);

/* Read a number. Errors: DESERIALIZATION (NULL, or not that many bytes). Threads: any. Blocks: no. */
KAJA_API int kaja_decode_int16(const void *bytes, size_t count, int16_t *ret_value);
KAJA_API int kaja_decode_int32(const void *bytes, size_t count, int32_t *ret_value);
KAJA_API int kaja_decode_int64(const void *bytes, size_t count, int64_t *ret_value);
KAJA_API int kaja_decode_float(const void *bytes, size_t count, float *ret_value);
KAJA_API int kaja_decode_double(const void *bytes, size_t count, double *ret_value);

/* Writes the 16 bytes of a UUID as KAJA_UUID_BYTES characters, without an end.
 * Errors: none. Threads: any. Blocks: no. */
KAJA_API void kaja_encode_uuid(const uint8_t *uuid, void *ret_bytes);

/* Reads one into 16 bytes, in either case of letters.
 * Errors: DESERIALIZATION. Threads: any. Blocks: no. */
KAJA_API int kaja_decode_uuid(const void *bytes, size_t count, uint8_t *ret_uuid);

/* Finds the bytes of a string: text itself, without its end; of NULL: NULL, a null. Nothing is
 * copied. Errors: SERIALIZATION (it is not UTF-8: a Java program would read something else).
 * Threads: any. Blocks: no. */
KAJA_API int kaja_encode_string(const char *text, const void **ret_bytes, size_t *ret_count);

/* Copies a string into ret_text with an end behind it; capacity: room there, the end included, at
 * least count + 1. Errors: DESERIALIZATION (NULL, not UTF-8, or with a zero inside), INVALID_ARG
 * (no room). Threads: any. Blocks: no. */
KAJA_API int kaja_decode_string(const void *bytes, size_t count, char *ret_text, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
