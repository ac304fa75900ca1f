/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/catalog_text.c - the catalog as text, and its file. The grammar is in catalog.h.
 *
 * Reading is strict: the file is ours, replaced as a whole and covered by a checksum, so whatever
 * does not fit means that it is not what was written, and nothing is guessed.
 */
#include "store/catalog.h"

#include "base/alloc.h"
#include "base/err.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "store/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const char magic[] = "kaja-catalog ";
enum { END_LINE_BYTES = 4 + 16 + 1 /* "end <16 digits>\n" */ };

/* --- writing --- */

struct text {
    char *bytes;
    size_t len;
    size_t capacity;
    int err;
};

static void put_bytes(struct text *text, const char *bytes, size_t len)
{
    void *grown = text->bytes;
    if (text->err == 0)
        text->err = kj_grow(&grown, &text->capacity, text->len + len + 1, 1);
    text->bytes = grown;
    if (text->err != 0)
        return;
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *text, const char *format, ...)
{
    char line[512]; /* of numbers, ids and names: values go by put_value() */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_bytes(text, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

static void put_value(struct text *text, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const char *p = value; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c > ' ' && c < 0x7f && c != '%')
            put_bytes(text, p, 1);
        else
            put_bytes(text, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static void put_properties(struct text *text, const char *word, const struct kj_property_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        put(text, "%s ", word);
        put_value(text, set->items[i].name);
        put_bytes(text, " ", 1);
        put_value(text, set->items[i].value);
        put_bytes(text, "\n", 1);
    }
}

static void put_topic(struct text *text, const struct kj_catalog_topic *topic)
{
    char id[23];
    kj_uuid_text(topic->id, id);
    put(text, "topic %s %s %d %d %s%s%s ", topic->name, id, topic->partitions, topic->target,
        topic->adopted ? "a" : "", topic->deleting ? "d" : "",
        topic->adopted || topic->deleting ? "" : "-");
    for (size_t i = 0; i < topic->run_count; i++)
        put(text, "%s%u+%u", i > 0 ? "," : "", topic->runs[i].first, topic->runs[i].count);
    put(text, "%s\n", topic->run_count > 0 ? "" : "-");
    put_properties(text, "config", &topic->properties);
}

int kj_catalog_encode(const struct kj_catalog *catalog, char **ret_text, size_t *ret_len)
{
    struct text text = {0};
    put(&text, "%s%d\n", magic, KJ_CATALOG_VERSION);
    put(&text, "generation %llu\nslots %u\n", (unsigned long long)catalog->generation,
        catalog->slots);
    put_properties(&text, "store", &catalog->directory);
    for (size_t i = 0; i < catalog->count; i++)
        put_topic(&text, catalog->topics[i]);
    if (text.err == 0)
        put(&text, "end %016llx\n", (unsigned long long)XXH3_64bits(text.bytes, text.len));
    if (text.err != 0) {
        kj_free(text.bytes);
        return text.err;
    }
    *ret_text = text.bytes;
    *ret_len = text.len;
    return 0;
}

/* --- reading --- */

struct reader {
    const char *at;
    const char *end;
    int line;
    char *scratch; /* the line, its fields NUL-terminated */
    size_t scratch_bytes;
    char *fields[8];
    int count;
};

static int bad(const struct reader *reader, const char *what)
{
    return kj_err(KAJA_ERR_DAMAGED,
                  KJ_CATALOG_NAME
                  " is damaged at line %d: %s; nothing was changed. The version before "
                  "is " KJ_CATALOG_OLD_NAME
                  "; without either, the topics are found again by their directories, but not "
                  "their properties",
                  reader->line, what);
}

/* Takes the next line apart at single blanks. *ret_more is false at the end. */
static int next_line(struct reader *reader, bool *ret_more)
{
    *ret_more = reader->at < reader->end;
    if (!*ret_more)
        return 0;
    reader->line++;
    const char *stop = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    if (stop == NULL)
        return bad(reader, "the line does not end");
    size_t len = (size_t)(stop - reader->at);
    if (len + 1 > reader->scratch_bytes) {
        char *grown = kj_realloc(reader->scratch, len + 1);
        if (grown == NULL)
            return kj_err_oom("the catalog");
        reader->scratch = grown;
        reader->scratch_bytes = len + 1;
    }
    memcpy(reader->scratch, reader->at, len);
    reader->scratch[len] = '\0';
    if (strlen(reader->scratch) != len)
        return bad(reader, "a NUL byte");
    reader->at = stop + 1;
    reader->count = 0;
    for (char *p = reader->scratch;;) {
        if (reader->count == (int)(sizeof reader->fields / sizeof reader->fields[0]))
            return bad(reader, "too many words");
        reader->fields[reader->count++] = p;
        p = strchr(p, ' ');
        if (p == NULL)
            return 0;
        *p++ = '\0';
    }
}

static bool is_line(const struct reader *reader, const char *word, int fields)
{
    return reader->count == fields && strcmp(reader->fields[0], word) == 0;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > (max - (uint64_t)(*text - '0')) / 10)
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = number;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place. */
static bool parse_value(char *text)
{
    char *to = text;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '%') {
            *to++ = *p;
            continue;
        }
        int high = hex_digit(p[1]);
        int low = high < 0 ? -1 : hex_digit(p[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        p += 2;
    }
    *to = '\0';
    return true;
}

static int read_property(struct reader *reader, struct kj_property_set *set)
{
    if (!parse_value(reader->fields[1]) || !parse_value(reader->fields[2]) ||
        reader->fields[1][0] == '\0')
        return bad(reader, "not a property");
    if (kj_property_set_get(set, reader->fields[1]) != NULL)
        return bad(reader, "a property stands there twice");
    return kj_property_set_put(set, reader->fields[1], reader->fields[2]);
}

static int read_runs(struct reader *reader, char *text, uint32_t slots,
                     struct kj_catalog_topic *topic)
{
    uint64_t sum = 0;
    bool none = strcmp(text, "-") == 0;
    for (char *p = none ? NULL : text; p != NULL;) {
        char *comma = strchr(p, ',');
        char *plus = strchr(p, '+');
        uint64_t first, count;
        if (comma != NULL)
            *comma = '\0';
        if (plus == NULL || (comma != NULL && plus > comma))
            return bad(reader, "slot numbers");
        *plus = '\0';
        if (!parse_number(p, slots, &first) || !parse_number(plus + 1, slots, &count) ||
            count == 0 || first + count > slots)
            return bad(reader, "slot numbers");
        struct kj_slot_run *runs = kj_realloc(topic->runs, (topic->run_count + 1) * sizeof *runs);
        if (runs == NULL)
            return kj_err_oom("the catalog");
        runs[topic->run_count++] = (struct kj_slot_run){(uint32_t)first, (uint32_t)count};
        topic->runs = runs;
        sum += count;
        p = comma == NULL ? NULL : comma + 1;
    }
    return sum == (uint64_t)topic->target ? 0 : bad(reader, "slot numbers");
}

static int read_topic(struct reader *reader, struct kj_catalog *catalog,
                      struct kj_catalog_topic **ret_topic)
{
    uint8_t id[16];
    uint64_t partitions, target;
    char *name = reader->fields[1];
    if (kj_topic_name_check(name) != 0) {
        kj_err_clear();
        return bad(reader, "not a topic's name");
    }
    if (!kj_uuid_parse(reader->fields[2], id))
        return bad(reader, "not a topic's id");
    if (!parse_number(reader->fields[3], KJ_SLOTS_MAX, &partitions) ||
        !parse_number(reader->fields[4], KJ_SLOTS_MAX, &target) || target < partitions)
        return bad(reader, "not a number of partitions");
    if (catalog->count > 0 && strcmp(catalog->topics[catalog->count - 1]->name, name) >= 0)
        return bad(reader, "topics are not in order");
    const char *flags = reader->fields[5];
    if (strcmp(flags, "-") != 0 && strcmp(flags, "a") != 0 && strcmp(flags, "d") != 0 &&
        strcmp(flags, "ad") != 0)
        return bad(reader, "unknown flags");
    struct kj_catalog_topic *topic;
    KJ_TRY(kj_catalog_add(catalog, name, id, &topic));
    topic->partitions = (int32_t)partitions;
    topic->target = (int32_t)target;
    topic->adopted = strchr(flags, 'a') != NULL;
    topic->deleting = strchr(flags, 'd') != NULL;
    KJ_TRY(read_runs(reader, reader->fields[6], catalog->slots, topic));
    *ret_topic = topic;
    return 0;
}

/* No slot number may be given twice: two partitions would share their words. */
static int check_slots(struct reader *reader, const struct kj_catalog *catalog)
{
    uint8_t *seen = kj_alloc_zero((size_t)catalog->slots / 8 + 1, 1);
    if (seen == NULL)
        return kj_err_oom("the catalog");
    int err = 0;
    for (size_t i = 0; i < catalog->count && err == 0; i++)
        for (int32_t p = 0; p < catalog->topics[i]->target && err == 0; p++) {
            uint32_t slot = kj_catalog_slot(catalog->topics[i], p);
            if ((seen[slot / 8] >> (slot % 8) & 1) != 0)
                err = bad(reader, "a slot number is given twice");
            seen[slot / 8] = (uint8_t)(seen[slot / 8] | 1u << (slot % 8));
        }
    kj_free(seen);
    return err;
}

static int read_lines(struct reader *reader, struct kj_catalog *catalog)
{
    struct kj_catalog_topic *topic = NULL;
    uint64_t number;
    bool more;
    KJ_TRY(next_line(reader, &more)); /* the version: looked at before */
    KJ_TRY(next_line(reader, &more));
    if (!more || !is_line(reader, "generation", 2) ||
        !parse_number(reader->fields[1], INT64_MAX, &catalog->generation))
        return bad(reader, "the generation is missing");
    KJ_TRY(next_line(reader, &more));
    if (!more || !is_line(reader, "slots", 2) ||
        !parse_number(reader->fields[1], KJ_SLOTS_MAX, &number))
        return bad(reader, "the number of slots is missing");
    catalog->slots = (uint32_t)number;
    for (;;) {
        KJ_TRY(next_line(reader, &more));
        if (!more)
            return check_slots(reader, catalog);
        if (is_line(reader, "store", 3) && topic == NULL)
            KJ_TRY(read_property(reader, &catalog->directory));
        else if (is_line(reader, "topic", 7))
            KJ_TRY(read_topic(reader, catalog, &topic));
        else if (is_line(reader, "config", 3) && topic != NULL)
            KJ_TRY(read_property(reader, &topic->properties));
        else
            return bad(reader, "a line that does not belong here");
    }
}

static int check_frame(struct reader *reader, const char *text, size_t len)
{
    size_t magic_len = sizeof magic - 1;
    if (len < magic_len || memcmp(text, magic, magic_len) != 0) {
        bool empty = true; /* zeros are what a power cut leaves of a file that was not flushed */
        for (size_t i = 0; i < len && empty; i++)
            empty = text[i] == '\0';
        if (empty)
            return bad(reader, "it is empty");
        return kj_err(KAJA_ERR_NOT_KAJA,
                      KJ_CATALOG_NAME " was not written by kaja: it does not begin with \"%s\"",
                      magic);
    }
    const char *line_end = memchr(text, '\n', len);
    uint64_t version;
    char number[16];
    size_t number_len = line_end == NULL ? SIZE_MAX : (size_t)(line_end - text) - magic_len;
    if (number_len >= sizeof number)
        return bad(reader, "no version");
    memcpy(number, text + magic_len, number_len);
    number[number_len] = '\0';
    if (!parse_number(number, UINT32_MAX, &version))
        return bad(reader, "no version");
    if (version != KJ_CATALOG_VERSION)
        return kj_err(
            KAJA_ERR_UNSUPPORTED_VERSION,
            KJ_CATALOG_NAME
            " has version %llu, this release of kaja knows version %d: open the directory "
            "with a newer release; nothing was changed",
            (unsigned long long)version, KJ_CATALOG_VERSION);
    char end[32];
    if (len <= END_LINE_BYTES)
        return bad(reader, "it is cut short");
    (void)snprintf(end, sizeof end, "end %016llx\n",
                   (unsigned long long)XXH3_64bits(text, len - END_LINE_BYTES));
    if (memcmp(text + len - END_LINE_BYTES, end, END_LINE_BYTES) != 0)
        return bad(reader, "the checksum at its end does not fit");
    return 0;
}

int kj_catalog_decode(const char *text, size_t len, struct kj_catalog **ret_catalog)
{
    struct reader reader = {.line = 1};
    KJ_TRY(check_frame(&reader, text, len));
    reader = (struct reader){.at = text, .end = text + len - END_LINE_BYTES};
    struct kj_catalog *catalog;
    KJ_TRY(kj_catalog_new(&catalog));
    int err = read_lines(&reader, catalog);
    kj_free(reader.scratch);
    if (err != 0) {
        kj_catalog_release(catalog);
        return err;
    }
    *ret_catalog = catalog;
    return 0;
}

/* --- the file --- */

int kj_catalog_read(struct kj_io *io, struct kj_catalog **ret_catalog)
{
    uint8_t *text;
    size_t len;
    int os = kj_io_read_file(io, KJ_CATALOG_NAME, KJ_CATALOG_BYTES_MAX, &text, &len);
    if (os == ENOENT) {
        *ret_catalog = NULL;
        return 0;
    }
    if (os == EFBIG)
        return kj_err(KAJA_ERR_NOT_KAJA, KJ_CATALOG_NAME " is larger than kaja makes it");
    if (os != 0)
        return kj_file_error(io, os, "reading", KJ_CATALOG_NAME);
    int err = kj_catalog_decode((const char *)text, len, ret_catalog);
    kj_free(text);
    return err;
}

/* The version before, for people: not worth a flush. */
static void keep_old(struct kj_io *io)
{
    uint8_t *text;
    size_t len;
    if (kj_io_read_file(io, KJ_CATALOG_NAME, KJ_CATALOG_BYTES_MAX, &text, &len) != 0)
        return;
    (void)kj_io_replace_file(io, KJ_CATALOG_OLD_NAME, text, len, false); /* only a convenience */
    kj_free(text);
}

int kj_catalog_write(struct kj_io *io, struct kj_catalog *catalog)
{
    char *text;
    size_t len;
    catalog->generation++;
    KJ_TRY(kj_catalog_encode(catalog, &text, &len));
    keep_old(io);
    int os = kj_io_replace_file(io, KJ_CATALOG_NAME, text, len, true);
    kj_free(text);
    return os == 0 ? 0 : kj_file_replace_error(io, os, KJ_CATALOG_NAME);
}
