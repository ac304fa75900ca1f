/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/golden_logs.h - the partition directories that Kafka wrote (tests/golden/kafka/logs) and
 * their decoded forms, NAME.txt: "file <name> size=<n>" and then a line per batch, record, entry.
 */
#ifndef KJ_TESTS_GOLDEN_LOGS_H
#define KJ_TESTS_GOLDEN_LOGS_H

#include "golden.h"

static const char *const golden_log_names[] = {
    "events",     "events-open", "recover-before", "recover-after", "compact-r0",
    "compact-r1", "compact-r2",  "compact-r3",     "compact-r4",    "compact-r5",
};
enum { GOLDEN_LOGS = sizeof golden_log_names / sizeof golden_log_names[0] };

/* One file of a decoded directory: the lines behind its "file" line are at .. end. */
struct golden_file {
    char dir[64];
    char name[64];
    int64_t size;
    char *at;
};

typedef void golden_file_callback(const struct golden_file *file);

/* Calls back for each file of each directory whose name ends in ending. Returns how many. */
static inline int golden_logs_each(const char *ending, golden_file_callback *callback)
{
    int count = 0;
    for (int i = 0; i < GOLDEN_LOGS; i++) {
        char path[128];
        size_t len;
        (void)snprintf(path, sizeof path, "kafka/logs/%s.txt", golden_log_names[i]);
        char *text = (char *)golden_read(path, &len);
        for (char *p = text; p != NULL; p = strchr(p, '\n')) {
            struct golden_file file;
            p += *p == '\n';
            if (strncmp(p, "file ", 5) != 0)
                continue;
            long long size;
            assert_int_equal(sscanf(p, "file %63s size=%lld", file.name, &size), 2);
            size_t n = strlen(file.name), m = strlen(ending);
            if (n < m || strcmp(file.name + n - m, ending) != 0)
                continue;
            file.size = size;
            (void)snprintf(file.dir, sizeof file.dir, "%s", golden_log_names[i]);
            char *begin = strchr(p, '\n');
            assert_non_null(begin);
            begin++;
            char *end = strstr(begin, "\nfile ");
            size_t lines = strncmp(begin, "file ", 5) == 0 ? 0
                           : end != NULL                   ? (size_t)(end + 1 - begin)
                                                           : strlen(begin);
            file.at = malloc(lines + 1);
            assert_non_null(file.at);
            memcpy(file.at, begin, lines);
            file.at[lines] = 0;
            callback(&file);
            free(file.at);
            count++;
        }
        free(text);
    }
    return count;
}

/* The bytes of such a file; the caller frees. */
static inline uint8_t *golden_file_bytes(const struct golden_file *file, size_t *ret_len)
{
    char path[256];
    (void)snprintf(path, sizeof path, "kafka/logs/%s/%s", file->dir, file->name);
    uint8_t *bytes = golden_read(path, ret_len);
    assert_int_equal(*ret_len, file->size);
    return bytes;
}

/* The text behind " <key>=" of a line. */
static inline const char *golden_text(const char *line, const char *key)
{
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, " %s=", key);
    const char *p = strstr(line, wanted);
    if (p == NULL)
        fail_msg("no %s in: %s", key, line);
    return p + strlen(wanted);
}

static inline int64_t golden_number(const char *line, const char *key)
{
    return strtoll(golden_text(line, key), NULL, 10);
}

static inline uint64_t golden_hex_number(const char *line, const char *key)
{
    return strtoull(golden_text(line, key), NULL, 16);
}

static inline bool golden_is(const char *line, const char *word)
{
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && (line[n] == ' ' || line[n] == 0);
}

#endif
