/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/java_value.h"
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
    } rows[] = {{"String", KJ_DECODE_BYTES},     {"ByteArray", KJ_DECODE_BYTES},
                {"ByteBuffer", KJ_DECODE_BYTES}, {"Bytes", KJ_DECODE_BYTES},
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

/* The fewest digits that give the same number again; digits holds "d.ddde+xx". */
static void shortest(double value, bool single, char digits[40])
{
    for (int precision = 0; precision <= 17; precision++) {
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

/* 0: any size. */
static size_t size_of(enum kj_decoder decoder)
{
    switch (decoder) {
    case KJ_DECODE_LONG:
    case KJ_DECODE_DOUBLE:
        return 8;
    case KJ_DECODE_INTEGER:
    case KJ_DECODE_FLOAT:
        return 4;
    case KJ_DECODE_SHORT:
        return 2;
    case KJ_DECODE_BOOLEAN:
        return 1;
    case KJ_DECODE_BYTES:
    case KJ_DECODE_UUID: /* stored as its text */
    case KJ_DECODE_VOID:
        break;
    }
    return 0;
}

bool kj_decoder_fits(enum kj_decoder decoder, size_t count, const char **ret_why)
{
    static char why[80];
    size_t wanted = size_of(decoder);
    if (decoder == KJ_DECODE_VOID)
        snprintf(why, sizeof why, "Data should be null for a VoidDeserializer.");
    else if (wanted != 0 && count != wanted)
        snprintf(why, sizeof why, "Size of data received by the deserializer is not %zu but %zu",
                 wanted, count);
    else
        return true;
    *ret_why = why;
    return false;
}

void kj_decoder_show(enum kj_decoder decoder, const void *bytes, size_t count,
                     struct kj_shown *ret_shown)
{
    ret_shown->text = bytes;
    ret_shown->bytes = count;
    if (size_of(decoder) == 0)
        return;
    struct kj_wire wire = {bytes, count, 0, false};
    int64_t value = kj_wire_int(&wire, count);
    char *room = ret_shown->room;
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
        snprintf(room, sizeof ret_shown->room, "%lld", (long long)value);
    }
    ret_shown->text = room;
    ret_shown->bytes = strlen(room);
}
