/* SPDX-License-Identifier: BSD-2-Clause
 *
 * client/reset.c - the values of auto.offset.reset.
 */
#include "client/consumer.h"

#include <string.h>

/* Digits at *text; -1 if there are none or too many. */
static int64_t digits(const char **text)
{
    const char *p = *text;
    int64_t n = 0;
    while (*p >= '0' && *p <= '9') {
        if (n > INT64_MAX / 100)
            return -1;
        n = n * 10 + (*p++ - '0');
    }
    if (p == *text)
        return -1;
    *text = p;
    return n;
}

/* Thousandths behind a point; further digits are dropped. */
static int64_t thousandths(const char **text)
{
    const char *p = *text;
    int64_t ms = 0;
    int64_t unit = 100;
    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++, unit /= 10)
        ms += unit * (*p - '0');
    *text = p;
    return ms;
}

/* ISO-8601 as Java's Duration prints it, not negative: PnDTnHnMn.nS. */
static bool parse_duration(const char *p, int64_t *ret_ms)
{
    static const struct {
        char letter;
        bool time;
        int64_t ms;
    } units[] = {
        {'D', false, 86400000}, {'H', true, 3600000}, {'M', true, 60000}, {'S', true, 1000}};
    size_t next = 0; /* each unit once, in this order */
    bool time = false;
    bool any = false;
    int64_t sum = 0;
    if (*p != 'P' && *p != 'p')
        return false;
    for (p++; *p != '\0'; any = true) {
        if ((*p == 'T' || *p == 't') && !time) {
            time = true;
            p++;
            any = false; /* something must follow */
        }
        int64_t n = digits(&p);
        int64_t part = 0;
        bool point = *p == '.';
        if (point) {
            p++;
            part = thousandths(&p);
        }
        char letter = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        while (next < sizeof units / sizeof units[0] &&
               (units[next].letter != letter || units[next].time != time))
            next++;
        if (n < 0 || part < 0 || next == sizeof units / sizeof units[0] || (point && letter != 'S'))
            return false;
        int64_t ms;
        if (__builtin_mul_overflow(n, units[next].ms, &ms) ||
            __builtin_add_overflow(sum, ms + part, &sum))
            return false;
        next++;
        p++;
    }
    *ret_ms = sum;
    return any;
}

bool kj_offset_reset_parse(const char *text, enum kj_offset_reset *ret_reset,
                           int64_t *ret_duration_ms)
{
    static const char by_duration[] = "by_duration:";
    int64_t ms = 0;
    enum kj_offset_reset reset;
    if (strcmp(text, "latest") == 0)
        reset = KJ_RESET_LATEST;
    else if (strcmp(text, "earliest") == 0)
        reset = KJ_RESET_EARLIEST;
    else if (strcmp(text, "none") == 0)
        reset = KJ_RESET_NONE;
    else if (strncmp(text, by_duration, sizeof by_duration - 1) == 0 &&
             parse_duration(text + sizeof by_duration - 1, &ms))
        reset = KJ_RESET_BY_DURATION;
    else
        return false;
    *ret_reset = reset;
    *ret_duration_ms = ms;
    return true;
}
