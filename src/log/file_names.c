/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/file_names.h"

#include "base/assert.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum { OFFSET_DIGITS = 20, ID_HEX_DIGITS = 32, UUID_CHARS = 22 };

/* Named as in enum kj_file_kind, whose first members these are. */
static const char *const kind_names[] = {
    [KJ_FILE_LOG] = "log",
    [KJ_FILE_INDEX] = "index",
    [KJ_FILE_TIMEINDEX] = "timeindex",
    [KJ_FILE_TXNINDEX] = "txnindex",
    [KJ_FILE_SNAPSHOT] = "snapshot",
    [KJ_FILE_PREPARED] = "prepared",
};
enum { KIND_NAMES = sizeof kind_names / sizeof kind_names[0] };

static const char *const suffix_names[] = {
    [KJ_SUFFIX_NONE] = "",
    [KJ_SUFFIX_DELETED] = ".deleted",
    [KJ_SUFFIX_CLEANED] = ".cleaned",
    [KJ_SUFFIX_SWAP] = ".swap",
};
enum { SUFFIX_NAMES = sizeof suffix_names / sizeof suffix_names[0] };

static const char id_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The number that text begins with, at most max; *ret_end behind its last digit. False: no digit
 * there, or too large. */
static bool take_number(const char *text, int64_t max, const char **ret_end, int64_t *ret_number)
{
    int64_t number = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        int digit = *p - '0';
        if (number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (p == text)
        return false;
    *ret_end = p;
    *ret_number = number;
    return true;
}

/* The same in canonical form: nothing behind it, no leading zero. */
static bool parse_canonical(const char *text, int64_t max, int64_t *ret_number)
{
    const char *end;
    int64_t number;
    if (!take_number(text, max, &end, &number) || *end != '\0' ||
        (text[0] == '0' && end != text + 1))
        return false;
    *ret_number = number;
    return true;
}

static bool parse_suffix(const char *text, enum kj_file_suffix *ret_suffix)
{
    for (int i = 0; i < SUFFIX_NAMES; i++)
        if (strcmp(text, suffix_names[i]) == 0) {
            *ret_suffix = (enum kj_file_suffix)i;
            return true;
        }
    return false;
}

/* What stands behind "<20 digits>.". */
static bool parse_kind(const char *text, enum kj_file_kind *ret_kind,
                       enum kj_file_suffix *ret_suffix)
{
    static const char damaged[] = "log.damaged-";
    int64_t pos;
    if (strncmp(text, damaged, sizeof damaged - 1) == 0 &&
        parse_canonical(text + sizeof damaged - 1, INT64_MAX, &pos)) {
        *ret_kind = KJ_FILE_DAMAGED;
        *ret_suffix = KJ_SUFFIX_NONE;
        return true;
    }
    for (int i = 0; i < KIND_NAMES; i++) {
        size_t n = strlen(kind_names[i]);
        enum kj_file_suffix suffix;
        if (strncmp(text, kind_names[i], n) != 0 || !parse_suffix(text + n, &suffix))
            continue;
        if (i == KJ_FILE_PREPARED && suffix != KJ_SUFFIX_NONE)
            continue;
        *ret_kind = (enum kj_file_kind)i;
        *ret_suffix = suffix;
        return true;
    }
    return false;
}

void kj_file_name_parse(const char *name, enum kj_file_kind *ret_kind,
                        enum kj_file_suffix *ret_suffix, int64_t *ret_offset)
{
    const char *end;
    int64_t offset;
    if (take_number(name, INT64_MAX, &end, &offset) && end == name + OFFSET_DIGITS && *end == '.' &&
        parse_kind(end + 1, ret_kind, ret_suffix)) {
        *ret_offset = offset;
        return;
    }
    *ret_kind = KJ_FILE_OTHER;
    *ret_suffix = KJ_SUFFIX_NONE;
    *ret_offset = -1;
}

bool kj_file_name_known(const char *name)
{
    static const char *const whole[] = {"partition.metadata", "leader-epoch-checkpoint"};
    static const char tmp[] = ".tmp";
    enum { TMP_BYTES = sizeof tmp - 1 };
    char plain[KJ_DIR_NAME_MAX + 1];
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    size_t len = strlen(name);
    if (len >= sizeof plain)
        return false;
    memcpy(plain, name, len + 1);
    if (len > TMP_BYTES && strcmp(plain + len - TMP_BYTES, tmp) == 0)
        plain[len - TMP_BYTES] = '\0';
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strcmp(plain, whole[i]) == 0)
            return true;
    kj_file_name_parse(plain, &kind, &suffix, &offset);
    return kind != KJ_FILE_OTHER;
}

void kj_file_path(char path[static KJ_PATH_MAX], const char *dir, enum kj_file_kind kind,
                  int64_t offset)
{
    KJ_ASSERT(offset >= 0 && (unsigned)kind < KIND_NAMES && strlen(dir) <= KJ_DIR_NAME_MAX);
    int n = snprintf(path, KJ_PATH_MAX, "%s/%020lld.%s", dir, (long long)offset, kind_names[kind]);
    KJ_ASSERT(n > 0 && n < KJ_PATH_MAX);
}

/* --- topics and their directories --- */

static bool topic_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* Number of leading characters that a topic may have. */
static size_t topic_letters(const char *text)
{
    size_t n = 0;
    while (topic_letter(text[n]))
        n++;
    return n;
}

static bool is_dots(const char *text, size_t len)
{
    return (len == 1 && text[0] == '.') || (len == 2 && text[0] == '.' && text[1] == '.');
}

int kj_topic_name_check(const char *topic)
{
    size_t len = strlen(topic);
    if (len == 0)
        return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION, "an empty topic name");
    if (len > KJ_TOPIC_NAME_MAX)
        return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                      "a topic name of %zu characters, more than %d: %.32s...", len,
                      KJ_TOPIC_NAME_MAX, topic);
    if (is_dots(topic, len))
        return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION, "a topic may not be named \"%s\"", topic);
    size_t legal = topic_letters(topic);
    if (legal < len)
        return kj_err(KAJA_ERR_INVALID_TOPIC_EXCEPTION,
                      "topic name \"%s\": byte 0x%02x at %zu is none of a-z A-Z 0-9 . _ -", topic,
                      (unsigned)(unsigned char)topic[legal], legal);
    return 0;
}

bool kj_partition_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *topic,
                           int32_t partition)
{
    KJ_ASSERT(partition >= 0);
    char number[16];
    int digits = snprintf(number, sizeof number, "-%d", partition);
    size_t len = strlen(topic);
    if (len + (size_t)digits > KJ_DIR_NAME_MAX)
        return false;
    memcpy(name, topic, len);
    memcpy(name + len, number, (size_t)digits + 1);
    return true;
}

bool kj_partition_dir_parse(const char *name, char topic[static KJ_TOPIC_NAME_MAX + 1],
                            int32_t *ret_partition)
{
    const char *dash = strrchr(name, '-');
    if (dash == NULL || strlen(name) > KJ_DIR_NAME_MAX)
        return false;
    size_t len = (size_t)(dash - name);
    int64_t partition;
    if (len == 0 || len > KJ_TOPIC_NAME_MAX || topic_letters(name) < len || is_dots(name, len) ||
        !parse_canonical(dash + 1, INT32_MAX, &partition))
        return false;
    memcpy(topic, name, len);
    topic[len] = '\0';
    *ret_partition = (int32_t)partition;
    return true;
}

static const char deleted_end[] = "-delete";

void kj_deleted_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *topic,
                         int32_t partition, const uint8_t id[static 16])
{
    KJ_ASSERT(partition >= 0);
    char tail[64];
    size_t n = (size_t)snprintf(tail, sizeof tail, "-%d.", partition);
    for (int i = 0; i < 16; i++)
        n += (size_t)snprintf(tail + n, sizeof tail - n, "%02x", id[i]);
    memcpy(tail + n, deleted_end, sizeof deleted_end);
    n += sizeof deleted_end - 1;
    size_t len = strlen(topic);
    if (len + n > KJ_DIR_NAME_MAX)
        len = KJ_DIR_NAME_MAX - n;
    memcpy(name, topic, len);
    memcpy(name + len, tail, n + 1);
}

void kj_stray_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *deleted_dir)
{
    static const char stray_end[] = "-stray";
    size_t len = strlen(deleted_dir) - (sizeof deleted_end - 1);
    KJ_ASSERT(kj_deleted_dir_parse(deleted_dir));
    memcpy(name, deleted_dir, len);
    memcpy(name + len, stray_end, sizeof stray_end);
}

bool kj_deleted_dir_parse(const char *name)
{
    enum { END_BYTES = sizeof deleted_end - 1, FIXED = 1 + ID_HEX_DIGITS + END_BYTES };
    size_t len = strlen(name);
    if (len > KJ_DIR_NAME_MAX || len < FIXED || strcmp(name + len - END_BYTES, deleted_end) != 0)
        return false;
    const char *id = name + len - FIXED;
    if (id[0] != '.' || strspn(id + 1, "0123456789abcdef") < ID_HEX_DIGITS)
        return false;
    /* What is left is a directory's name whose topic may have been cut, even to nothing. */
    char left[KJ_DIR_NAME_MAX + 1];
    memcpy(left, name, (size_t)(id - name));
    left[id - name] = '\0';
    const char *dash = strrchr(left, '-');
    int64_t partition;
    return dash != NULL && dash > left && topic_letters(left) >= (size_t)(dash - left) &&
           parse_canonical(dash + 1, INT32_MAX, &partition);
}

/* --- ids --- */

void kj_uuid_text(const uint8_t id[static 16], char text[static 23])
{
    uint32_t bits = 0;
    int have = 0, n = 0;
    for (int i = 0; i < 16; i++) {
        bits = bits << 8 | id[i];
        for (have += 8; have >= 6; have -= 6)
            text[n++] = id_letters[bits >> (have - 6) & 63];
    }
    text[n++] = id_letters[bits << (6 - have) & 63]; /* 2 bits and 4 zeros */
    text[n] = '\0';
}

bool kj_uuid_parse(const char *text, uint8_t ret_id[static 16])
{
    uint8_t id[16];
    uint32_t bits = 0;
    int have = 0, n = 0;
    bool zero = true;
    for (int i = 0; i < UUID_CHARS; i++) {
        const char *letter = text[i] != '\0' ? strchr(id_letters, text[i]) : NULL;
        if (letter == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(letter - id_letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            id[n] = (uint8_t)(bits >> have);
            zero = zero && id[n] == 0;
            n++;
        }
    }
    /* One text per id: the 4 bits too many must be zero. */
    if (text[UUID_CHARS] != '\0' || zero || (bits & 15) != 0)
        return false;
    memcpy(ret_id, id, sizeof id);
    return true;
}
