/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/java_value.h"
#include "tools/common.h"
#include "tools/java_text.h"
#include "tools/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kj_decoder_find(const char *class_name, enum kj_decoder *ret_decoder)
{
    static const struct {
        const char *name;
        enum kj_decoder decoder;
    } rows[] = {{"String", KJ_DECODE_STRING},    {"ByteArray", KJ_DECODE_BYTES},
                {"ByteBuffer", KJ_DECODE_BYTES}, {"Bytes", KJ_DECODE_ESCAPED},
                {"Default", KJ_DECODE_BYTES},    {"Long", KJ_DECODE_LONG},
                {"Integer", KJ_DECODE_INTEGER},  {"Short", KJ_DECODE_SHORT},
                {"Double", KJ_DECODE_DOUBLE},    {"Float", KJ_DECODE_FLOAT},
                {"Boolean", KJ_DECODE_BOOLEAN},  {"UUID", KJ_DECODE_UUID},
                {"Void", KJ_DECODE_VOID}};
    const char *last = strrchr(class_name, '.');
    last = last != NULL ? last + 1 : class_name;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t bytes = strlen(rows[i].name);
        if (strncmp(last, rows[i].name, bytes) != 0)
            continue;
        const char *tail = last + bytes;
        if (*tail == '\0' || strcmp(tail, "Deserializer") == 0 || strcmp(tail, "Decoder") == 0) {
            *ret_decoder = rows[i].decoder;
            return true;
        }
    }
    return false;
}

/* The fewest digits, but two, that give the same number again; digits holds "d.ddde+xx". */
static void shortest(double value, bool single, char digits[40])
{
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, 40, "%.*e", precision, value);
        if (single ? strtof(digits, NULL) == (float)value : strtod(digits, NULL) == value)
            return;
    }
}

void kj_java_double(double value, bool single, char *text)
{
    char digits[40];
    if (!isfinite(value)) {
        strcpy(text, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    if (value == 0) {
        strcpy(text, signbit(value) ? "-0.0" : "0.0");
        return;
    }
    shortest(fabs(value), single, digits);
    char *e = strchr(digits, 'e');
    int exponent = atoi(e + 1);
    *e = '\0';
    char plain[24]; /* the digits without the point */
    size_t count = 0;
    for (const char *p = digits; *p != '\0'; p++)
        if (*p != '.')
            plain[count++] = *p;
    while (count > 1 && plain[count - 1] == '0')
        count--;
    plain[count] = '\0';
    char *to = text;
    if (value < 0)
        *to++ = '-';
    if (exponent < -3 || exponent >= 7) {
        sprintf(to, "%c.%sE%d", plain[0], count > 1 ? plain + 1 : "0", exponent);
    } else if (exponent < 0) {
        sprintf(to, "0.%.*s%s", -exponent - 1, "00", plain);
    } else if (count <= (size_t)exponent + 1) {
        sprintf(to, "%s%.*s.0", plain, exponent + 1 - (int)count, "000000");
    } else {
        sprintf(to, "%.*s.%s", exponent + 1, plain, plain + exponent + 1);
    }
}

/* 0: any size; *ret_name as Kafka's classes call themselves in their errors. */
static size_t size_of(enum kj_decoder decoder, const char **ret_name)
{
    switch (decoder) {
    case KJ_DECODE_LONG:
        *ret_name = "LongDeserializer";
        return 8;
    case KJ_DECODE_DOUBLE:
        *ret_name = "Deserializer";
        return 8;
    case KJ_DECODE_INTEGER:
        *ret_name = "IntegerDeserializer";
        return 4;
    case KJ_DECODE_FLOAT:
        *ret_name = "Deserializer";
        return 4;
    case KJ_DECODE_SHORT:
        *ret_name = "ShortDeserializer";
        return 2;
    case KJ_DECODE_BOOLEAN:
        *ret_name = "BooleanDeserializer";
        return 1;
    case KJ_DECODE_BYTES:
    case KJ_DECODE_STRING:
    case KJ_DECODE_ESCAPED:
    case KJ_DECODE_UUID: /* stored as its text */
    case KJ_DECODE_VOID:
        break;
    }
    return 0;
}

bool kj_decoder_fits(enum kj_decoder decoder, const void *bytes, size_t count, const char **ret_why)
{
    static char why[200];
    char text[4 * 36];
    const uint8_t *p = bytes;
    const char *name;
    size_t wanted = size_of(decoder, &name);
    if (decoder == KJ_DECODE_VOID)
        snprintf(why, sizeof why, "Data should be null for a VoidDeserializer.");
    else if (wanted != 0 && count != wanted)
        snprintf(why, sizeof why, "Size of data received by %s is not %zu but %zu", name, wanted,
                 count);
    else if (decoder == KJ_DECODE_BOOLEAN && p[0] > 1)
        snprintf(why, sizeof why, "Unexpected byte received by BooleanDeserializer: %d",
                 (int)(int8_t)p[0]);
    else if (decoder == KJ_DECODE_UUID && count > 36)
        snprintf(why, sizeof why, "Error parsing data into UUID: UUID string too large");
    else if (decoder == KJ_DECODE_UUID && !kj_java_uuid(p, count, text))
        snprintf(why, sizeof why, "Error parsing data into UUID: Invalid UUID string: %.*s",
                 (int)kj_java_escape(p, count, text), text);
    else
        return true;
    *ret_why = why;
    return false;
}

static void show_number(enum kj_decoder decoder, const void *bytes, size_t count,
                        struct kj_shown *shown)
{
    struct kj_wire wire = {bytes, count, 0, false};
    int64_t value = kj_wire_int(&wire, count);
    char *room = shown->room;
    if (decoder == KJ_DECODE_DOUBLE) {
        double number;
        memcpy(&number, &value, sizeof number);
        kj_java_double(number, false, room);
    } else if (decoder == KJ_DECODE_FLOAT) {
        float number;
        int32_t low = (int32_t)value;
        memcpy(&number, &low, sizeof number);
        kj_java_double((double)number, true, room);
    } else if (decoder == KJ_DECODE_BOOLEAN) {
        strcpy(room, value != 0 ? "true" : "false");
    } else {
        snprintf(room, sizeof shown->room, "%lld", (long long)value);
    }
    shown->text = room;
    shown->bytes = strlen(room);
}

void kj_decoder_show(enum kj_decoder decoder, const void *bytes, size_t count,
                     struct kj_shown *ret_shown)
{
    const char *name;
    ret_shown->text = bytes;
    ret_shown->bytes = count;
    ret_shown->more = NULL;
    if (size_of(decoder, &name) != 0) {
        show_number(decoder, bytes, count, ret_shown);
    } else if (decoder == KJ_DECODE_UUID) {
        if (kj_java_uuid(bytes, count, ret_shown->room)) {
            ret_shown->text = ret_shown->room;
            ret_shown->bytes = strlen(ret_shown->room);
        }
    } else if ((decoder == KJ_DECODE_STRING || decoder == KJ_DECODE_ESCAPED) && count > 0) {
        ret_shown->more = kj_xmalloc(4 * count);
        ret_shown->bytes = decoder == KJ_DECODE_STRING
                               ? kj_java_string(bytes, count, ret_shown->more)
                               : kj_java_escape(bytes, count, ret_shown->more);
        ret_shown->text = ret_shown->more;
    }
}

void kj_shown_free(struct kj_shown *shown)
{
    free(shown->more);
}
