/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/log/newest.h - what compaction may never change: the newest record of each key, and its offset.
 */
#ifndef KJ_TESTS_LOG_NEWEST_H
#define KJ_TESTS_LOG_NEWEST_H

#include "fixture.h"

#include "record/batch_reader.h"

/* The newest value of each key, as text "key=value " in order of offsets: what compaction may never change. */
static inline void newest(struct kj_log *log, char text[static 4096])
{
    char keys[64][16] = {{0}}, values[64][64] = {{0}};
    int64_t offsets[64];
    int count = 0;
    struct kj_log_cursor cursor = {0};
    int64_t offset = kj_log_start(log);
    while (offset < kj_log_end(log)) {
        struct kj_log_read read = {0};
        assert_ok(kj_log_read(log, offset, kj_log_end(log), 300, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len;) {
            struct kj_batch batch;
            struct kj_batch_reader reader;
            struct kj_record_view view;
            assert_int_equal(kj_batch_look(read.bytes + at, read.len - at, &batch), KJ_BATCH_OK);
            assert_ok(kj_batch_reader_init(&reader, read.bytes + at, kj_batch_bytes(&batch), NULL, 0));
            while (kj_batch_reader_next(&reader, &view) == 1) {
                int i = 0;
                while (i < count && (strlen(keys[i]) != view.key_bytes || memcmp(keys[i], view.key, view.key_bytes)))
                    i++;
                assert_true(i < 64 && view.key_bytes < 16 && view.value_bytes < 64);
                count += i == count;
                memcpy(keys[i], view.key, view.key_bytes);
                memset(values[i], 0, sizeof values[i]);
                memcpy(values[i], view.value, view.value_bytes);
                offsets[i] = batch.base_offset + view.offset_delta;
            }
            at += kj_batch_bytes(&batch);
        }
        kj_view_release(read.view);
        assert_true(read.next_offset > offset);
        offset = read.next_offset;
    }
    size_t len = 0;
    text[0] = 0;
    for (int i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, 4096 - len, "%s=%s@%lld ", keys[i], values[i], (long long)offsets[i]);
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The same whatever the order. */
static inline void sorted(char text[static 4096])
{
    char *words[64], copy[4096];
    size_t count = 0, len = 0;
    memcpy(copy, text, 4096);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    qsort(words, count, sizeof *words, by_text);
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, 4096 - len, "%s\n", words[i]);
}

static inline void what_counts(struct kj_log *log, char text[static 4096])
{
    newest(log, text);
    sorted(text);
}

#endif
