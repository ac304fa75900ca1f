/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_checkpoint.c - bytes as each of the text files, and as names. What is taken must
 * come back the same when it is written and read again.
 */
#include "log/checkpoint.h"
#include "log/file_names.h"

#include "memory_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_checkpoint(const uint8_t *data, size_t size)
{
    struct kj_checkpoint one, two;
    memory_put("c", data, size);
    if (kj_checkpoint_read(&memory_io, "c", &one) != 0)
        return;
    check(kj_checkpoint_write(&memory_io, "c", &one, false) == 0);
    check(kj_checkpoint_read(&memory_io, "c", &two) == 0);
    check(one.count == two.count);
    for (size_t i = 0; i < one.count; i++) {
        const struct kj_checkpoint_entry *entry = &one.entries[i];
        check(kj_topic_name_check(entry->topic) == 0);
        check(entry->partition >= 0 && entry->offset >= 0);
        check(kj_checkpoint_get(&two, entry->topic, entry->partition) == entry->offset);
    }
    for (size_t i = 0; i < one.count; i++)
        kj_checkpoint_remove(&two, one.entries[i].topic, one.entries[i].partition);
    check(two.count == 0);
    kj_checkpoint_free(&one);
    kj_checkpoint_free(&two);
}

static void run_epochs(const uint8_t *data, size_t size)
{
    struct kj_epochs one, two;
    memory_put("t-0/leader-epoch-checkpoint", data, size);
    if (kj_epochs_read(&memory_io, "t-0", &one) != 0)
        return;
    check(kj_epochs_write(&memory_io, "t-0", &one, false) == 0);
    check(kj_epochs_read(&memory_io, "t-0", &two) == 0);
    check(one.count == two.count);
    for (size_t i = 0; i < one.count; i++) {
        check(one.items[i].epoch == two.items[i].epoch);
        check(one.items[i].start_offset == two.items[i].start_offset);
        check(i == 0 || one.items[i].epoch > one.items[i - 1].epoch);
        check(i == 0 || one.items[i].start_offset > one.items[i - 1].start_offset);
    }
    if (one.count > 0) {
        int64_t middle = one.items[one.count / 2].start_offset;
        (void)kj_epochs_cut_start(&one, middle);
        check(one.items[0].start_offset == middle);
        (void)kj_epochs_cut_end(&one, middle);
        check(one.count == 0);
    }
    kj_epochs_free(&one);
    kj_epochs_free(&two);
}

static void run_metadata(const uint8_t *data, size_t size)
{
    uint8_t id[16];
    memory_put("t-0/partition.metadata", data, size);
    if (kj_partition_metadata_read(&memory_io, "t-0", id) != 0)
        return;
    check(kj_partition_metadata_write(&memory_io, "t-0", id, false) == 0);
    const struct memory_entry *entry = memory_find("t-0/partition.metadata");
    check(entry != NULL && entry->len <= size && memcmp(entry->bytes, data, entry->len) == 0);
}

static void run_names(const uint8_t *data, size_t size)
{
    char *name = malloc(size + 1), topic[KJ_TOPIC_NAME_MAX + 1], again[KJ_DIR_NAME_MAX + 1];
    check(name != NULL);
    memcpy(name, data, size);
    name[size] = '\0';
    enum kj_file_kind kind;
    enum kj_file_suffix suffix;
    int64_t offset;
    int32_t partition;
    uint8_t id[16];
    kj_file_name_parse(name, &kind, &suffix, &offset);
    check((kind == KJ_FILE_OTHER) == (offset < 0));
    if (kind < KJ_FILE_DAMAGED) {
        char file[KJ_PATH_MAX];
        kj_file_path(file, "d", kind, offset);
        check(strncmp(file + 2, name, strlen(file + 2)) == 0);
        check((suffix == KJ_SUFFIX_NONE) == (strcmp(file + 2, name) == 0));
    }
    if (kj_partition_dir_parse(name, topic, &partition)) {
        check(kj_topic_name_check(topic) == 0);
        check(kj_partition_dir_name(again, topic, partition) && strcmp(again, name) == 0);
    }
    if (kj_deleted_dir_parse(name))
        check(strlen(name) <= KJ_DIR_NAME_MAX && strchr(name, '/') == NULL);
    if (kj_uuid_parse(name, id)) {
        char text[23];
        kj_uuid_text(id, text);
        check(strcmp(text, name) == 0);
    }
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_checkpoint(data, size);
    run_epochs(data, size);
    run_metadata(data, size);
    run_names(data, size);
    memory_clear();
    return 0;
}
