/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/broker_dir.h - the log directory of a stopped broker, as far as files go: formatted, with
 * topics that were just created.
 */
#ifndef KJ_TESTS_BROKER_DIR_H
#define KJ_TESTS_BROKER_DIR_H

#include "kjtest.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#define BROKER_TOPIC_ID "AAECAwQFBgcICQoLDA0ODw"

static inline void broker_put(const char *dir, const char *name, const char *text)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* NULL if it is not there; freed by the caller. */
static inline char *broker_get(const char *dir, const char *name, size_t *ret_len)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char *bytes = calloc(1, 1 << 20);
    assert_non_null(bytes);
    *ret_len = fread(bytes, 1, (1 << 20) - 1, f);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

static inline void broker_format(const char *dir)
{
    assert_int_equal(mkdir(dir, 0755), 0);
    broker_put(dir, "meta.properties",
               "#\n#Sat Nov 21 07:00:00 UTC 2026\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\nversion=1\n"
               "node.id=1\n");
    broker_put(dir, "bootstrap.checkpoint", "x");
}

/* epochs: NULL for a partition that never had a leader (an empty file). */
static inline void broker_partition(const char *dir, const char *topic, int partition,
                                    const char *epochs)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s-%d", dir, topic, partition);
    assert_int_equal(mkdir(path, 0755), 0);
    broker_put(path, "partition.metadata", "version: 0\ntopic_id: " BROKER_TOPIC_ID);
    broker_put(path, "leader-epoch-checkpoint", epochs != NULL ? epochs : "");
    broker_put(path, "00000000000000000000.log", "");
    broker_put(path, "00000000000000000000.index", "");
    broker_put(path, "00000000000000000000.timeindex", "");
}

static inline void broker_topic(const char *dir, const char *topic, int partitions,
                                const char *epochs)
{
    for (int p = 0; p < partitions; p++)
        broker_partition(dir, topic, p, epochs);
}

/* What a shell command prints, without its last newline. */
static inline const char *__attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    static char out[2][16384];
    static int next;
    char command[2048], *text = out[next++ % 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof out[0] - 1, f);
    assert_int_equal(pclose(f), 0);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    text[len] = '\0';
    return text;
}

/* Every file below a directory with a checksum of its content. */
static inline const char *everything(const char *dir)
{
    return shell("cd '%s' && find . -type f | LC_ALL=C sort | xargs cksum", dir);
}

#endif
