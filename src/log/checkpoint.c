/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/checkpoint.c - an entry and its key in the map are one allocation, which topic points to:
 *
 *     topic, NUL, partition (4 bytes)
 *
 * The map's values are numbers of entries plus 1 in the form of pointers: entries move when the
 * array grows. Removing puts the last entry into the gap.
 */
#include "log/checkpoint.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "log/file_error.h"
#include "log/file_names.h"
#include "log/text_file.h"

#include <stdio.h>
#include <string.h>

enum { KEY_BYTES_MAX = KJ_TOPIC_NAME_MAX + 1 + 4 };

void kj_checkpoint_init(struct kj_checkpoint *checkpoint)
{
    *checkpoint = (struct kj_checkpoint){0};
}

void kj_checkpoint_free(struct kj_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->count; i++)
        kj_free(checkpoint->entries[i].topic);
    kj_free(checkpoint->entries);
    if (checkpoint->index != NULL)
        kj_map_free(checkpoint->index);
    kj_free(checkpoint->index);
    kj_checkpoint_init(checkpoint);
}

static size_t key_bytes_of(const char *topic)
{
    return strlen(topic) + 1 + 4;
}

/* 0 if no entry can have such a topic. */
static size_t make_key(uint8_t key[static KEY_BYTES_MAX], const char *topic, int32_t partition)
{
    size_t len = strnlen(topic, KJ_TOPIC_NAME_MAX + 1);
    if (len > KJ_TOPIC_NAME_MAX)
        return 0;
    memcpy(key, topic, len);
    key[len] = '\0';
    memcpy(key + len + 1, &partition, sizeof partition);
    return len + 1 + sizeof partition;
}

static void *value_of(size_t i)
{
    return (void *)(uintptr_t)(i + 1);
}

/* The entry's number, SIZE_MAX if there is none. */
static size_t find(const struct kj_checkpoint *checkpoint, const char *topic, int32_t partition)
{
    uint8_t key[KEY_BYTES_MAX];
    size_t len = make_key(key, topic, partition);
    if (len == 0 || checkpoint->index == NULL)
        return SIZE_MAX;
    return (uintptr_t)kj_map_get(checkpoint->index, key, len) - 1; /* NULL becomes SIZE_MAX */
}

int64_t kj_checkpoint_get(const struct kj_checkpoint *checkpoint, const char *topic,
                          int32_t partition)
{
    size_t i = find(checkpoint, topic, partition);
    return i == SIZE_MAX ? -1 : checkpoint->entries[i].offset;
}

static int add(struct kj_checkpoint *checkpoint, const char *topic, int32_t partition,
               int64_t offset)
{
    uint8_t key[KEY_BYTES_MAX];
    size_t len = make_key(key, topic, partition);
    KJ_ASSERT(len > 0);
    if (checkpoint->index == NULL) {
        checkpoint->index = kj_alloc_zero(1, sizeof(struct kj_map));
        if (checkpoint->index == NULL)
            return kj_err_oom("a checkpoint");
    }
    KJ_TRY(kj_grow((void **)&checkpoint->entries, &checkpoint->capacity, checkpoint->count + 1,
                   sizeof *checkpoint->entries));
    char *own = kj_memdup(key, len);
    if (own == NULL)
        return kj_err_oom("a checkpoint");
    int err = kj_map_put(checkpoint->index, own, len, value_of(checkpoint->count));
    if (err != 0) {
        kj_free(own);
        return err;
    }
    checkpoint->entries[checkpoint->count++] = (struct kj_checkpoint_entry){own, partition, offset};
    return 0;
}

int kj_checkpoint_put(struct kj_checkpoint *checkpoint, const char *topic, int32_t partition,
                      int64_t offset)
{
    KJ_ASSERT(partition >= 0 && offset >= 0);
    size_t i = find(checkpoint, topic, partition);
    if (i != SIZE_MAX) {
        checkpoint->entries[i].offset = offset;
        return 0;
    }
    KJ_TRY(kj_topic_name_check(topic));
    return add(checkpoint, topic, partition, offset);
}

void kj_checkpoint_remove(struct kj_checkpoint *checkpoint, const char *topic, int32_t partition)
{
    size_t i = find(checkpoint, topic, partition);
    if (i == SIZE_MAX)
        return;
    struct kj_checkpoint_entry *gap = &checkpoint->entries[i];
    struct kj_checkpoint_entry *last = &checkpoint->entries[checkpoint->count - 1];
    void *removed = kj_map_remove(checkpoint->index, gap->topic, key_bytes_of(gap->topic));
    KJ_ASSERT(removed == value_of(i));
    kj_free(gap->topic);
    if (gap != last) {
        *gap = *last;
        /* Its key is in the map, which has just become smaller: nothing is allocated. */
        int err = kj_map_put(checkpoint->index, gap->topic, key_bytes_of(gap->topic), value_of(i));
        KJ_ASSERT(err == 0);
    }
    checkpoint->count--;
}

static int read_entry(struct kj_text_file *file, struct kj_checkpoint *checkpoint)
{
    char *fields[3];
    int64_t partition, offset;
    KJ_TRY(kj_text_fields(file, fields, 3));
    KJ_TRY(kj_text_number(file, fields[1], INT32_MAX, &partition));
    KJ_TRY(kj_text_number(file, fields[2], INT64_MAX, &offset));
    if (kj_topic_name_check(fields[0]) != 0)
        return kj_text_bad(file, "not a legal topic name");
    if (find(checkpoint, fields[0], (int32_t)partition) != SIZE_MAX)
        return kj_text_bad(file, "the partition has an entry already");
    return add(checkpoint, fields[0], (int32_t)partition, offset);
}

int kj_checkpoint_read(struct kj_io *io, const char *path, struct kj_checkpoint *ret_checkpoint)
{
    struct kj_text_file file;
    struct kj_checkpoint checkpoint;
    KJ_TRY(kj_text_open(io, path, &file));
    kj_checkpoint_init(&checkpoint);
    int err = 0;
    for (int64_t i = 0; i < file.count && err == 0; i++)
        err = read_entry(&file, &checkpoint);
    if (err == 0)
        err = kj_text_end(&file);
    kj_text_close(&file);
    if (err != 0) {
        kj_checkpoint_free(&checkpoint);
        return err;
    }
    *ret_checkpoint = checkpoint;
    return 0;
}

int kj_checkpoint_write(struct kj_io *io, const char *path, const struct kj_checkpoint *checkpoint,
                        bool durable)
{
    enum { HEAD_BYTES = 32, NUMBERS_BYTES = 40 }; /* two numbers, two blanks, a newline */
    size_t room = HEAD_BYTES;
    for (size_t i = 0; i < checkpoint->count; i++)
        room += strlen(checkpoint->entries[i].topic) + NUMBERS_BYTES;
    char *text = kj_alloc(room);
    if (text == NULL)
        return kj_err_oom("a checkpoint");
    size_t len = (size_t)snprintf(text, room, "0\n%zu\n", checkpoint->count);
    for (size_t i = 0; i < checkpoint->count; i++) {
        const struct kj_checkpoint_entry *entry = &checkpoint->entries[i];
        len += (size_t)snprintf(text + len, room - len, "%s %d %lld\n", entry->topic,
                                entry->partition, (long long)entry->offset);
    }
    KJ_ASSERT(len < room);
    int os = kj_io_replace_file(io, path, text, len, durable);
    kj_free(text);
    return os == 0 ? 0 : kj_file_replace_error(io, os, path);
}
