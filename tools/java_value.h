/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/java_value.h - keys and values as Java's deserializers and toString() show them.
 */
#ifndef KJ_TOOLS_JAVA_VALUE_H
#define KJ_TOOLS_JAVA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_decoder {
    KJ_DECODE_BYTES, /* as they are: ByteArray and ByteBuffer, of which Java shows an address */
    KJ_DECODE_STRING,
    KJ_DECODE_ESCAPED, /* Bytes */
    KJ_DECODE_LONG,
    KJ_DECODE_INTEGER,
    KJ_DECODE_SHORT,
    KJ_DECODE_DOUBLE,
    KJ_DECODE_FLOAT,
    KJ_DECODE_BOOLEAN,
    KJ_DECODE_UUID,
    KJ_DECODE_VOID
};

/* By the last part of a class name, with or without "Deserializer" or "Decoder" behind it. */
bool kj_decoder_find(const char *class_name, enum kj_decoder *ret_decoder);

/* Whether these are the bytes of a value of this kind; *ret_why says in words why not, as Kafka
 * does. */
bool kj_decoder_fits(enum kj_decoder decoder, const void *bytes, size_t count,
                     const char **ret_why);
struct kj_shown {
    const char *text; /* the bytes themselves, room, or more */
    size_t bytes;
    char room[40];
    char *more;
};
/* The text of a value that fits. kj_shown_free() afterwards. */
void kj_decoder_show(enum kj_decoder decoder, const void *bytes, size_t count,
                     struct kj_shown *ret_shown);
void kj_shown_free(struct kj_shown *shown);

/* Double.toString() and Float.toString(); text has room for 40 bytes. */
void kj_java_double(double value, bool single, char *text);

#endif
