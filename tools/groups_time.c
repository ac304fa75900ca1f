/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/groups.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Exactly so many digits. */
static bool digits(const char **text, int count, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        value = value * 10 + (**text - '0');
    }
    *ret_value = value;
    return true;
}

static bool sign(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    (*text)++;
    return true;
}

/* Nothing, Z, +hh, +hhmm or +hh:mm. */
static bool zone(const char *text, int *ret_minutes)
{
    int hours = 0, minutes = 0;
    *ret_minutes = 0;
    if (strcmp(text, "") == 0 || strcmp(text, "Z") == 0)
        return true;
    bool west = *text == '-';
    if ((!west && *text != '+') || (text++, !digits(&text, 2, &hours)) || hours > 23)
        return false;
    if (*text != '\0') {
        (void)sign(&text, ':'); /* may be left out */
        if (!digits(&text, 2, &minutes) || minutes > 59 || *text != '\0')
            return false;
    }
    *ret_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
    return true;
}

bool kj_parse_datetime(const char *text, int64_t *ret_ms)
{
    int year, month, ms, minutes;
    struct tm tm = {0};
    if (!digits(&text, 4, &year) || !sign(&text, '-') || !digits(&text, 2, &month) ||
        !sign(&text, '-') || !digits(&text, 2, &tm.tm_mday) || !sign(&text, 'T') ||
        !digits(&text, 2, &tm.tm_hour) || !sign(&text, ':') || !digits(&text, 2, &tm.tm_min) ||
        !sign(&text, ':') || !digits(&text, 2, &tm.tm_sec) || !sign(&text, '.') ||
        !digits(&text, 3, &ms) || !zone(text, &minutes))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    struct tm asked = tm;
    int64_t seconds = (int64_t)timegm(&tm);
    if (tm.tm_year != asked.tm_year || tm.tm_mon != asked.tm_mon || tm.tm_mday != asked.tm_mday ||
        tm.tm_hour != asked.tm_hour || tm.tm_min != asked.tm_min || tm.tm_sec != asked.tm_sec)
        return false; /* the 31st of June */
    *ret_ms = (seconds - (int64_t)minutes * 60) * 1000 + ms;
    return true;
}

/* A number with its sign, and for seconds a fraction, before one of the units, which must come in
 * this order. */
static bool term(const char **text, const char **units, int64_t *ret_ms)
{
    static const char letters[] = "DHMS";
    static const int64_t ms_of[] = {86400000, 3600000, 60000, 1000};
    int64_t value = 0, fraction = 0, weight = 100;
    bool negative = **text == '-', any = false, point = false;
    if (**text == '-' || **text == '+')
        (*text)++;
    for (; isdigit((unsigned char)**text); (*text)++, any = true)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, **text - '0', &value))
            return false;
    if (any && (**text == '.' || **text == ',')) {
        point = true;
        for ((*text)++; isdigit((unsigned char)**text); (*text)++, weight /= 10)
            fraction += (**text - '0') * weight;
    }
    char unit = (char)toupper((unsigned char)**text);
    const char *found = unit != '\0' ? strchr(*units, unit) : NULL;
    if (!any || found == NULL || (point && unit != 'S'))
        return false;
    (*text)++;
    *units = found + 1;
    if (__builtin_mul_overflow(value, ms_of[strchr(letters, unit) - letters], &value) ||
        __builtin_add_overflow(value, fraction, &value))
        return false;
    *ret_ms = negative ? -value : value;
    return true;
}

bool kj_parse_duration(const char *text, int64_t *ret_ms)
{
    const char *units = "D";
    int64_t sum = 0, ms;
    bool negative = *text == '-', any = false;
    if (*text == '-' || *text == '+')
        text++;
    if (toupper((unsigned char)*text++) != 'P')
        return false;
    while (*text != '\0') {
        if (toupper((unsigned char)*text) == 'T' && (strcmp(units, "D") == 0 || *units == '\0')) {
            text++;
            units = "HMS";
            any = false; /* a T with nothing behind it */
            continue;
        }
        if (!term(&text, &units, &ms) || __builtin_add_overflow(sum, ms, &sum))
            return false;
        any = true;
    }
    *ret_ms = negative ? -sum : sum;
    return any;
}
