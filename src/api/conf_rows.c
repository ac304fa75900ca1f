/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_rows.c - the table of properties as an array, and finding rows in it.
 */
#include "api/conf_row.h"

#include "base/err.h"
#include "client/consumer.h"
#include "client/producer.h"

#include <stddef.h>
#include <string.h>

#define KJ_SCOPE_PRODUCER_SCOPE KJ_SCOPE_PRODUCER
#define KJ_SCOPE_CONSUMER_SCOPE KJ_SCOPE_CONSUMER
#define KJ_SCOPE_CLIENTS (KJ_SCOPE_PRODUCER | KJ_SCOPE_CONSUMER)
#define KJ_SCOPE_EVERYWHERE (KJ_SCOPE_DIRECTORY | KJ_SCOPE_CLIENTS)
#define SCOPE_TEXT_DIRECTORY "store"
#define SCOPE_TEXT_HANDLE "store"
#define SCOPE_TEXT_PRODUCER_SCOPE "producer"
#define SCOPE_TEXT_CONSUMER_SCOPE "consumer"
#define SCOPE_TEXT_CLIENTS "producer,consumer"
#define SCOPE_TEXT_EVERYWHERE "store,producer,consumer"
#define TYPE_TEXT_BOOL "bool"
#define TYPE_TEXT_INT "int"
#define TYPE_TEXT_LONG "long"
#define TYPE_TEXT_DOUBLE "double"
#define TYPE_TEXT_STRING "string"
#define TYPE_TEXT_LIST "list"
#define IMPORTANCE_HIGH "high"
#define IMPORTANCE_MEDIUM "medium"
#define IMPORTANCE_LOW "low"
#define EFFECT_ON 1
#define EFFECT_NONE 0
#define EFFECT_LATER -1

/* Number macros take what stands in front of their text too, so that each row is judged by what it
 * says. */
#define FLAG .info.valid = "true or false", .max = 1
#define ANY .info.valid = "any", .min = INT64_MIN, .max = INT64_MAX
#define AT_LEAST(a) .info.valid = "at least " #a, .min = (a), .max = INT64_MAX, .also = (a)
#define BETWEEN(a, b) .info.valid = #a " to " #b, .min = (a), .max = (b), .also = (a)
#define ALSO(x, a, b)                                                                              \
    .info.valid = #x ", or " #a " to " #b, .min = (a), .max = (b), .also = (x)
#define ALSO_FROM(x, a)                                                                            \
    .info.valid = #x ", or at least " #a, .min = (a), .max = INT64_MAX, .also = (x)
#define ONE_OF(list) .info.valid = list, .choices = list
#define WORDS(text) .info.valid = text
#define PARSED(text, function) .info.valid = text, .parsed = function

#define CTYPE(strukt, member)                                                                      \
    _Generic(((struct strukt *)NULL)->member,                                                      \
        int64_t: KJ_CONF_C_I64,                                                                    \
        int32_t: KJ_CONF_C_I32,                                                                    \
        uint32_t: KJ_CONF_C_U32,                                                                   \
        size_t: KJ_CONF_C_SIZE,                                                                    \
        bool: KJ_CONF_C_BOOL)
#define FIELD(a_room, strukt, member)                                                              \
    .field = {.room = (a_room), .ctype = CTYPE(strukt, member),                                    \
              .offset = offsetof(struct strukt, member)}
#define NO .field = {.room = KJ_CONF_ROOM_NONE}
#define LOG(member) FIELD(KJ_CONF_ROOM_LOG, kj_log_config, member)
#define STORE(member) FIELD(KJ_CONF_ROOM_STORE, kj_store_options, member)
#define PRODUCER(member) FIELD(KJ_CONF_ROOM_PRODUCER, kj_producer_options, member)
#define CONSUMER(member) FIELD(KJ_CONF_ROOM_CONSUMER, kj_consumer_options, member)

#define COMMON(a_scope, a_scope_text, a_name, a_type, a_type_text, a_default, a_unit, a_weight,    \
               a_effect, a_broker, a_text)                                                         \
    .scopes = (a_scope), .info.scope = (a_scope_text), .info.name = (a_name), .type = (a_type),    \
    .info.type = (a_type_text), .info.default_value = (a_default), .info.unit = (a_unit),          \
    .importance = (a_weight), .info.effect = (a_effect), .info.broker_name = (a_broker),           \
    .info.text = a_text

#define KJ_PROPERTY(scope, name, type, def, valid, unit, weight, effect, field, text)              \
    {COMMON(KJ_SCOPE_##scope, SCOPE_TEXT_##scope, name, KJ_CONF_##type, TYPE_TEXT_##type, def,     \
            unit, IMPORTANCE_##weight, EFFECT_##effect, NULL, text),                               \
     valid, field},
#define KJ_TOPIC_ONLY(name, broker, type, def, valid, unit, weight, effect, field, text)           \
    {COMMON(KJ_SCOPE_TOPIC, "topic", name, KJ_CONF_##type, TYPE_TEXT_##type, def, unit,            \
            IMPORTANCE_##weight, EFFECT_##effect, broker, text),                                   \
     valid, field},
/* The synonym's own row has no field: it comes into force through the topic's (api/conf_log.c). */
#define KJ_TOPIC(name, broker, type, def, valid, unit, weight, effect, field, text)                \
    {COMMON(KJ_SCOPE_TOPIC, "topic", name, KJ_CONF_##type, TYPE_TEXT_##type, def, unit,            \
            IMPORTANCE_##weight, EFFECT_##effect, broker, text),                                   \
     valid, field},                                                                                \
    {COMMON(KJ_SCOPE_DIRECTORY, "store", broker, KJ_CONF_##type, TYPE_TEXT_##type, def, unit,      \
            IMPORTANCE_##weight, EFFECT_##effect, NULL, name " of topics that do not set it."),    \
     valid, NO},

static bool good_offset_reset(const char *text)
{
    enum kj_offset_reset reset;
    int64_t duration_ms;
    return kj_offset_reset_parse(text, &reset, &duration_ms);
}

static const struct kj_conf_row rows[] = {
#include "api/conf_table.h"
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

const struct kj_conf_row *kj_conf_row(size_t i)
{
    return i < ROW_COUNT ? &rows[i] : NULL;
}

const struct kaja_conf_info *kaja_conf_table(size_t i)
{
    return i < ROW_COUNT ? &rows[i].info : NULL;
}

const struct kj_conf_row *kj_conf_row_find(const char *name, unsigned scopes)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if ((rows[i].scopes & scopes) != 0 && strcmp(rows[i].info.name, name) == 0)
            return &rows[i];
    return NULL;
}

size_t kj_conf_row_slot(const struct kj_conf_row *row)
{
    return (size_t)(kj_conf_row_find(row->info.name, KJ_SCOPE_ANY) - rows);
}

/* --- the nearest name --- */

enum { NAME_MAX_BYTES = 80 };

/* '_' and '-' for '.', and capitals, are no difference worth a step. */
static char plain(char c)
{
    if (c == '_' || c == '-')
        return '.';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Steps (insert, delete, replace, swap neighbours) from a to b, both at most NAME_MAX_BYTES. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned lines[3][NAME_MAX_BYTES + 1];
    for (unsigned j = 0; j <= b_len; j++)
        lines[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *now = lines[i % 3], *before = lines[(i + 2) % 3], *earlier = lines[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            char x = plain(a[i - 1]), y = plain(b[j - 1]);
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && y == plain(a[i - 2]))
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return lines[a_len % 3][b_len];
}

int kj_conf_unknown(const char *name)
{
    size_t len = strlen(name);
    const char *nearest = NULL;
    if (len > 0 && len <= NAME_MAX_BYTES) {
        unsigned best = (unsigned)len / 3 + 1;
        for (size_t i = 0; i < ROW_COUNT; i++) {
            size_t other_len = strlen(rows[i].info.name);
            if (other_len > NAME_MAX_BYTES)
                continue;
            unsigned steps = distance(name, len, rows[i].info.name, other_len);
            if (other_len > len && rows[i].info.name[len] == '.' &&
                memcmp(rows[i].info.name, name, len) == 0)
                steps = least(steps, 2); /* only its last parts are missing */
            if (steps < best) {
                best = steps;
                nearest = rows[i].info.name;
            }
        }
    }
    if (nearest != NULL)
        return kj_err(KAJA_ERR_INVALID_CONFIG, "unknown property \"%.100s\"; did you mean \"%s\"?",
                      name, nearest);
    return kj_err(KAJA_ERR_INVALID_CONFIG,
                  "unknown property \"%.100s\"; all are listed in kaja-config(5)",
                  name);
}
